/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/netfilter.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/time.h"
#include "engine/bpf/load.h"

#pragma GCC diagnostic push /* generated */
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "forward.skel.h"
#pragma GCC diagnostic pop

/* Linux 6.4: not in the headers of the baseline */
#define TYPE_NETFILTER 32
#define ATTACH_NETFILTER 45
#define LINK_NETFILTER 10

enum { PRIORITY = -10 /* that of the nft engine: before others' filters */, PLACES = 64 };
enum { PROGRAM_MAPS = 32, FLOWS_MAX = 65536 };

static const struct {
	const char *pin;
	uint32_t family;
} hooks[N_FORWARD_LINKS] = {{FORWARD4, NFPROTO_IPV4}, {FORWARD6, NFPROTO_IPV6}};
static const int shared[] = {MAP_EPOCH,	  MAP_CONFIG, MAP_ENTRIES, MAP_CLASSES, MAP_PORTS,
			     MAP_REASONS, MAP_COUNTS, MAP_RECORD,  MAP_EVENTS,	MAP_LIMIT};

/* ---- the program ---- */
static int load(const struct bpf_live *l, struct forward_bpf **ret)
{
	struct forward_bpf *obj = forward_bpf__open();
	int r;

	if (!obj)
		return errno ? -errno : -EIO;
	r = l ? bpf_share_maps(obj->obj, l, shared, ZT_ARRAY_SIZE(shared)) : 0;
	if (!r) {
		r = bpf_map__set_autocreate(obj->maps.forwards, true);
		/* libbpf does not know the section before 1.3. */
		r = r ?: bpf_program__set_type(obj->progs.zt_forward, (enum bpf_prog_type)TYPE_NETFILTER);
		r = r
			    ?: bpf_program__set_expected_attach_type(obj->progs.zt_forward,
								     (enum bpf_attach_type)ATTACH_NETFILTER);
	}
	r = r ?: forward_bpf__load(obj);
	if (r < 0) {
		forward_bpf__destroy(obj);
		return r;
	}
	*ret = obj;
	return 0;
}

/* A link, or -errno: -EBUSY where a program is at that place already. */
static int link_at(int prog, uint32_t family, uint32_t hook, int32_t priority)
{
	union bpf_attr attr;
	struct { /* of union bpf_attr, link_create */
		uint32_t prog, target, attach_type, flags, family, hook;
		int32_t priority;
		uint32_t hook_flags;
	} at = {.prog = (uint32_t)prog,
		.attach_type = ATTACH_NETFILTER,
		.family = family,
		.hook = hook,
		.priority = priority};
	int fd;

	memset(&attr, 0, sizeof(attr));
	memcpy(&attr, &at, sizeof(at));
	fd = (int)syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	return fd < 0 ? -errno : fd;
}

static int link_hook(int prog, uint32_t family)
{
	int fd = -EBUSY;

	for (int i = 0; fd == -EBUSY && i < PLACES; i++)
		fd = link_at(prog, family, NF_INET_FORWARD, PRIORITY + i);
	return fd;
}

/* In an empty network namespace; the exit status of the child tells. */
static int try_hooks(void)
{
	struct forward_bpf *obj = NULL;
	int r = unshare(CLONE_NEWNET) < 0 ? -errno : load(NULL, &obj);

	for (int i = 0; !r && i < N_FORWARD_LINKS; i++) {
		int fd = link_hook(bpf_program__fd(obj->progs.zt_forward), hooks[i].family);

		r = fd < 0 ? fd : 0;
	}
	return r;
}

bool bpf_forward_probe(void)
{
	int status = 1;
	pid_t pid = fork();

	if (!pid)
		_exit(try_hooks() < 0);
	while (pid > 0 && waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int bpf_forward_attach(const struct bpf_live *l, const char *dir)
{
	struct forward_bpf *obj = NULL;
	int r = load(l, &obj);

	if (r < 0)
		return r == -ENOMEM ? r : 0;
	for (int i = 0; !r && i < N_FORWARD_LINKS; i++) {
		ZT_FREE char *pin = zt_path_join(dir, hooks[i].pin);
		int fd_or = pin ? link_hook(bpf_program__fd(obj->progs.zt_forward), hooks[i].family) : -ENOMEM;
		ZT_CLOSE int fd = fd_or < 0 ? -1 : fd_or;

		r = fd < 0 ? fd_or : bpf_obj_pin(fd, pin) < 0 ? -errno : 0;
		r = r ?: zt_fault_step("bpf: forwarded packets are looked at");
	}
	forward_bpf__destroy(obj);
	return r ?: 1;
}

/* ---- what is attached ---- */
static uint32_t map_id(int fd)
{
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);

	return fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) < 0 ? 0 : info.id;
}

/* Nothing that can be read of a link says that it was detached, and lets nothing be decided any more. A place takes one program: where the link's own can
 * be put there once more, it was not. */
static bool at_hook(const struct bpf_link_info *link, int prog)
{
	struct { /* what the headers of the baseline do not have */
		uint32_t family, hook;
		int32_t priority;
		uint32_t flags;
	} at;
	ZT_CLOSE int fd = -1;

	static_assert(sizeof(*link) - offsetof(struct bpf_link_info, xdp) >= sizeof(at), "layout");
	memcpy(&at, &link->xdp, sizeof(at));
	fd = link_at(prog, at.family, at.hook, at.priority);
	return fd < 0;
}

/* The maps of the program that the pinned link holds; 0: there is none at the hook. */
static uint32_t maps_of(const struct bpf_live *l, const char *pin, uint32_t ids[static PROGRAM_MAPS])
{
	struct bpf_prog_info p = {.nr_map_ids = PROGRAM_MAPS, .map_ids = (uintptr_t)ids};
	uint32_t len = sizeof(p);
	struct bpf_link_info link;
	ZT_CLOSE int fd = bpf_open_link(l->dir, pin, &link) < 0 || link.type != LINK_NETFILTER
				  ? -1
				  : bpf_prog_get_fd_by_id(link.prog_id);

	return fd < 0 || !at_hook(&link, fd) || bpf_obj_get_info_by_fd(fd, &p, &len) < 0
		       ? 0
		       : ZT_MIN(p.nr_map_ids, (uint32_t)PROGRAM_MAPS);
}

unsigned bpf_forward_links(const struct bpf_live *l)
{
	uint32_t ids[PROGRAM_MAPS], epoch = map_id(l->map[MAP_EPOCH]);
	unsigned sound = 0;

	for (int i = 0; epoch && i < N_FORWARD_LINKS; i++)
		for (uint32_t n = maps_of(l, hooks[i].pin, ids); n-- > 0;)
			sound += ids[n] == epoch;
	return sound;
}

unsigned bpf_forward_missing(const struct bpf_live *l)
{
	ZT_FREE struct zt_bpf_config *cfg = NULL;
	unsigned links = bpf_forward_links(l);
	bool all = bpf_read_config(l, l->epoch & 1, &cfg) == 0 && cfg->epoch == l->epoch &&
		   cfg->flags & ZT_BPF_FORWARDED;

	return links || all ? N_FORWARD_LINKS - links : 0;
}

/* ---- rules that cannot be ---- */
bool bpf_forward_needed(const struct zt_image *img)
{
	return img->cfg->n_shapes[ZT_BPF_FORWARD * 2] || img->cfg->n_shapes[ZT_BPF_FORWARD * 2 + 1];
}

int bpf_refuse_forward(const struct zt_image *img, struct zt_diags *d)
{
	ZT_CLEANUP(bpf_live_done) struct bpf_live l;
	const struct zt_ruleset *rs = img->rs;

	bpf_live_init(&l);
	if (!bpf_forward_needed(img) ||
	    (bpf_live_open(rs->instance, &l) == 0 && bpf_forward_links(&l) == N_FORWARD_LINKS) || bpf_forward_probe())
		return 0;
	for (size_t i = 0; i < rs->n_rules; i++) {
		const struct zt_rule *r = &rs->rules[i];
		struct zt_span at = {
			.file = r->file < rs->n_files ? rs->files[r->file] : NULL, .line = r->line, .col = 1};

		if (r->dir != ZT_DIR_FORWARD)
			continue;
		(void)zt_diag(d, ZT_ERROR, 3401, r->line ? &at : NULL,
			      "rule \"%s\": this kernel lets no program decide forwarded packets (Linux 6.4 does)",
			      r->id);
		zt_diag_hint(d, "--engine nft decides what the host forwards");
	}
	return -ENOTSUP;
}

/* ---- flows ---- */
/* The maps of flows that the attached programs have: one, or what is left of it where the hooks have different programs. */
static int open_flows(const struct bpf_live *l)
{
	uint32_t ids[PROGRAM_MAPS];

	for (int i = 0; i < N_FORWARD_LINKS; i++)
		for (uint32_t n = maps_of(l, hooks[i].pin, ids); n-- > 0;) {
			struct bpf_map_info m = {0};
			uint32_t len = sizeof(m);
			int fd = bpf_map_get_fd_by_id(ids[n]);

			if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &m, &len) == 0 && !strcmp(m.name, "forwards"))
				return fd;
			zt_closep(&fd);
		}
	return -ENOENT;
}

static struct zt_forwarded flow_of(const struct zt_bpf_flow_key *k)
{
	struct zt_forwarded f = {.proto = k->proto,
				 .sport = k->local_port,
				 .dport = k->remote_port,
				 .src.family = k->family,
				 .dst.family = k->family};

	memcpy(f.src.b, k->local, sizeof(f.src.b));
	memcpy(f.dst.b, k->remote, sizeof(f.dst.b));
	return f;
}

static struct zt_bpf_flow_key key_of(const struct zt_forwarded *f)
{
	struct zt_bpf_flow_key k = {.proto = f->proto,
				    .local_port = f->sport,
				    .remote_port = f->dport,
				    .family = f->src.family,
				    .dir = ZT_BPF_FORWARD};

	memcpy(k.local, f->src.b, sizeof(k.local));
	memcpy(k.remote, f->dst.b, sizeof(k.remote));
	return k;
}

int bpf_forwarded(const char *instance, struct zt_forwarded **ret, size_t *ret_n)
{
	ZT_CLEANUP(bpf_live_done) struct bpf_live l;
	ZT_FREE struct zt_forwarded *v = NULL;
	int r = bpf_live_open(instance, &l), fd_or = r ? r : open_flows(&l);
	ZT_CLOSE int fd = fd_or < 0 ? -1 : fd_or;
	struct zt_bpf_flow_key key, next;
	size_t n = 0, cap = 0, left = 4 * FLOWS_MAX; /* it may begin anew when the last one was taken away */

	*ret = NULL;
	*ret_n = 0;
	if (fd < 0)
		return fd_or == -ENOENT ? 0 : fd_or;
	for (r = bpf_map_get_next_key(fd, NULL, &next); r == 0 && left-- > 0;
	     r = bpf_map_get_next_key(fd, &key, &next)) {
		key = next;
		if (key.dir != ZT_BPF_FORWARD)
			continue;
		if (zt_grow(v, cap, n) < 0)
			return -ENOMEM;
		v[n++] = flow_of(&key);
	}
	*ret = ZT_TAKE(v);
	*ret_n = n;
	return 0;
}

int bpf_forget_forwarded(const char *instance, const struct zt_forwarded *f)
{
	ZT_CLEANUP(bpf_live_done) struct bpf_live l;
	int r = bpf_live_open(instance, &l), fd_or = r ? r : open_flows(&l);
	ZT_CLOSE int fd = fd_or < 0 ? -1 : fd_or;
	struct zt_bpf_flow_key k = key_of(f);

	return fd < 0 ? fd_or : bpf_map_delete_elem(fd, &k) < 0 ? -errno : 0;
}
