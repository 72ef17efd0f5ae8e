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
	zt_strbuf_char(out, '\n');
	return zt_strbuf_error(out);
}

/* ---- what is possible here ---- */
static const struct {
	const char *what, *why;
} gaps[] = {
	{"lines in the log", "blocked and report have nothing to read; the counters above tell what was denied"},
	{"frames of packet sockets (AF_PACKET)",
	 "they pass by every hook of control groups; take CAP_NET_RAW away, or use the nft engine"},
	{"forwarded packets", "no socket of this host sends or receives them; use the nft engine for them"},
	{"echo replies and resets from closed ports",
	 "the kernel answers by itself, and no control group sees the question"},
	{"a refusal to other hosts",
	 "what comes in and is not allowed is dropped, also with block: reject: only senders here get an error"},
	{"who connects to a Unix or vsock socket", "needs the LSM layer"},
};

static int say_why_not(struct zt_caps *c, const char *text)
{
	c->why_not = zt_strdup(text);
	return c->why_not ? 0 : -ENOMEM;
}

static int probe(const char *instance, struct zt_caps *ret)
{
	ZT_CLEANUP(zt_caps_done) struct zt_caps c = {0};
	struct zt_diags d = {0};
	struct core_bpf *obj = NULL;
	struct bpf_live l;
	ZT_FREE char *mount = NULL;
	int r = 0;

	(void)instance;
	if (geteuid() != 0)
		r = say_why_not(&c, "only root may load programs into the kernel");
	else if (zt_cgroup_mount(&mount) < 0)
		r = say_why_not(&c, "no cgroup2 file system is mounted");
	else if (!bpf_netns_cookie())
		r = say_why_not(&c, "the kernel does not tell network namespaces apart (SO_NETNS_COOKIE, Linux 5.14)");
	else if (bpf_load(&obj, &l, &d) < 0)
		r = say_why_not(&c, d.n ? d.items[0].message : "the kernel refuses the programs");
	else
		c.usable = true;
	zt_diags_done(&d);
	if (c.usable) {
		bpf_live_done(&l);
		bpf_unload(obj);
	}
	for (size_t i = 0; !r && c.usable && i < ZT_ARRAY_SIZE(gaps); i++)
		r = zt_caps_gap(&c, gaps[i].what, gaps[i].why);
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

const struct zt_engine zt_engine_bpf = {
	.name = "bpf",
	.labels = true,
	.probe = probe,
	.lower = bpf_lower,
	.image_free = bpf_image_free,
	.image_text = image_text,
	.check = bpf_check,
	.commit = bpf_commit,
	.load_text = bpf_load_text,
	.raise = bpf_raise,
	.identify = bpf_identify,
	.counters = bpf_counters,
	.flush = flush,
	.foreign = foreign,
};
