/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "engine/bpf/load.h"
#include "identity/identity.h"

static int image_text(const struct zt_image *img, struct zt_strbuf *out)
{
	zt_strbuf_add(out, img->json, img->json_len);
	return zt_strbuf_error(out);
}

/* ---- what is possible here ---- */
struct gap {
	const char *what, *why;
};
static const struct gap gaps[] = {
	{"packet sockets that are older than the policy and send past the queue, or set that with a 32-bit system call",
	 "PACKET_QDISC_BYPASS and AF_XDP are refused when they are asked for; others' frames are fenced at the device"},
	{"echo replies, resets from closed ports, ICMP that the kernel acts upon",
	 "the kernel answers by itself, and no control group sees the question"},
	{"a refusal to other hosts",
	 "what comes in or passes through and is not allowed is dropped, also with block: reject: only senders here get an error"},
	{"containers that are made anew under their old name",
	 "they have another control group: zt-segment refresh, which zt-segmentd does by itself"},
};
static const struct gap gaps_without_lsm[] = {
	{"who connects to a Unix socket", "no other hook sees both ends"},
	{"sockets of other families: vsock, Bluetooth, CAN", "no hook of control groups sees them"},
	{"connected sockets that are handed over", "they stay those of who connected them"},
	{"who listens, where that is not who made the socket and it was never bound",
	 "the receiver is who made the socket"},
	{"debuggers that attach to an allowed program of the same user", "what it says is then what the debugger says"},
	{"our pins, links and maps, against other programs of root", "\"zt-segment drift\" sees it afterwards"},
};
static const struct gap gaps_with_lsm[] = {
	{"Unix sockets that no rule names, and connections to them that exist already",
	 "they stay open, so that no policy cuts the host off from its log and its message bus"},
	{"allowed programs that are started under a debugger, or made to load another's code",
	 "who may start a program may change what it does"},
	{"our pins, links and maps, against a program of root that is called zt-segment",
	 "flush must work for every version"},
};

static int say_why_not(struct zt_caps *c, const char *text)
{
	c->why_not = zt_strdup(text);
	return c->why_not ? 0 : -ENOMEM;
}

static int add_gaps(struct zt_caps *c, const struct gap *v, size_t n)
{
	int r = 0;

	for (size_t i = 0; !r && i < n; i++)
		r = zt_caps_gap(c, v[i].what, v[i].why);
	return r;
}

/* What is attached counts; where nothing is, what could be. */
static int lsm_gaps(const char *instance, struct zt_caps *c)
{
	const char *why = "it was not there when the policy was applied: flush, and apply again";
	char dir[160];
	bool live = bpf_dir(instance, false, dir) == 0 && zt_path_exists(dir);
	int r = live && bpf_lsm_pins(dir) ? 0 : bpf_lsm_probe(&why);

	if (!r && (!live || bpf_lsm_pins(dir)))
		return add_gaps(c, gaps_with_lsm, ZT_ARRAY_SIZE(gaps_with_lsm));
	r = zt_caps_gap(c, "the LSM layer, and so what follows", why);
	return r ?: add_gaps(c, gaps_without_lsm, ZT_ARRAY_SIZE(gaps_without_lsm));
}

int bpf_unix_sockets(const char *instance, const char **ret_why)
{
	char dir[160];

	*ret_why = "only root can find out whether this kernel has BPF LSM";
	if (bpf_dir(instance, false, dir) == 0 && bpf_lsm_pins(dir) == N_LSM_LINKS)
		return 0;
	if (geteuid() != 0)
		return -EPERM;
	return bpf_lsm_probe(ret_why) < 0 ? -ENOTSUP : 0;
}

/* What is attached counts; where nothing is, what could be. */
static int forwards(const char *instance, const char **ret_why)
{
	ZT_CLEANUP(bpf_live_done) struct bpf_live l;

	*ret_why = "this kernel lets no program decide them (Linux 6.4 does): use the nft engine";
	return (bpf_live_open(instance, &l) == 0 ? bpf_forward_links(&l) == N_FORWARD_LINKS : bpf_forward_probe())
		       ? 0
		       : -ENOTSUP;
}

/* What is loaded need not be tried. Else: 0, or what the kernel says in d. */
static int loads(const char *instance, struct zt_diags *d)
{
	struct core_bpf *obj = NULL;
	struct bpf_live l;
	int r = bpf_live_open(instance, &l);

	if (!r) {
		bpf_live_done(&l);
		return 0;
	}
	r = bpf_load(&obj, &l, d);
	if (r < 0)
		return r;
	bpf_live_done(&l);
	bpf_unload(obj);
	return 0;
}

static int probe(const char *instance, struct zt_caps *ret)
{
	ZT_CLEANUP(zt_caps_done) struct zt_caps c = {0};
	struct zt_diags d = {0};
	ZT_FREE char *mount = NULL;
	const char *why = "";
	int r = 0;

	if (geteuid() != 0)
		r = say_why_not(&c, "only root may load programs into the kernel");
	else if (zt_cgroup_mount(&mount) < 0)
		r = say_why_not(&c, "no cgroup2 file system is mounted");
	else if (!bpf_netns_cookie())
		r = say_why_not(&c, "the kernel does not tell network namespaces apart (SO_NETNS_COOKIE, Linux 5.14)");
	else if (loads(instance, &d) < 0)
		r = say_why_not(&c, d.n ? d.items[0].message : "the kernel refuses the programs");
	else
		c.usable = true;
	zt_diags_done(&d);
	if (!r && c.usable)
		r = add_gaps(&c, gaps, ZT_ARRAY_SIZE(gaps)) ?: lsm_gaps(instance, &c);
	if (!r && c.usable && !bpf_fence_probe())
		r = zt_caps_gap(
			&c, "frames of packet sockets (AF_PACKET, AF_XDP)",
			"this kernel takes no program at its devices; take CAP_NET_RAW away, or use the nft engine");
	if (!r && c.usable && forwards(instance, &why) < 0)
		r = zt_caps_gap(&c, "forwarded packets", why);
	if (!r && c.usable && !bpf_follow_probe())
		r = zt_caps_gap(&c, "services and control groups that start again",
				"this kernel does not tell of new control groups: zt-segment refresh after each start");
	if (r < 0)
		return r;
	*ret = c;
	c = (struct zt_caps){0};
	return 0;
}

static int flush(const char *instance, struct zt_diags *d)
{
	char dir[160];
	ZT_FREE char *fresh = NULL;
	int r = bpf_dir(instance, false, dir), r2;

	if (r == -ENOENT)
		return 0;
	fresh = zt_asprintf("%s+new", dir);
	if (!fresh)
		return -ENOMEM;
	bpf_fence_remove(dir);
	r = bpf_remove(dir);
	r2 = bpf_remove(fresh);
	r = r ?: r2;
	return r < 0 ? zt_diag_errno(d, 3404, r, "cannot remove the programs") : 0;
}

static int foreign(const char *instance, struct zt_foreign **ret, size_t *ret_n)
{
	(void)instance;
	*ret = NULL; /* others' programs decide by themselves; both must allow */
	*ret_n = 0;
	return 0;
}

static enum zt_follows follows(const char *instance)
{
	ZT_CLEANUP(bpf_live_done) struct bpf_live l;

	return bpf_live_open(instance, &l) == 0 && l.followed ? ZT_FOLLOWS_ALL : ZT_FOLLOWS_NONE;
}

static void image_free(struct zt_image *img)
{
	bpf_image_forgotten(img);
	bpf_image_free(img);
}

const struct zt_engine zt_engine_bpf = {
	.name = "bpf",
	.unix_sockets = bpf_unix_sockets,
	.labels = true,
	.recalls = true,
	.probe = probe,
	.lower = bpf_lower,
	.image_free = image_free,
	.image_text = image_text,
	.check = bpf_check,
	.commit = bpf_commit,
	.load_text = bpf_load_text,
	.raise = bpf_raise,
	.identify = bpf_identify,
	.counters = bpf_counters,
	.flush = flush,
	.foreign = foreign,
	.records = bpf_records,
	.bells = bpf_bells,
	.forwards = forwards,
	.forwarded = bpf_forwarded,
	.forget_forwarded = bpf_forget_forwarded,
	.follows = follows,
};
