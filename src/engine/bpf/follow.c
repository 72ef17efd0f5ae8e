/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "engine/bpf/load.h"
#include "identity/identity.h"

#pragma GCC diagnostic push /* generated */
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "follow.skel.h"
#pragma GCC diagnostic pop

enum { TRIES = 5 };

static const char *const names[] = {"follow_mkdir", "follow_rmdir"};

/* ---- the programs ---- */
static int load(const struct bpf_live *l, struct follow_bpf **ret)
{
	static const int shared[] = {MAP_EVIDENCE, MAP_PATHS};
	struct follow_bpf *obj = follow_bpf__open();
	int r = obj ? 0 : errno ? -errno : -EIO;

	if (!r && l)
		r = bpf_share_maps(obj->obj, l, shared, ZT_ARRAY_SIZE(shared));
	r = r ?: follow_bpf__load(obj);
	if (r < 0) {
		follow_bpf__destroy(obj);
		return r;
	}
	*ret = obj;
	return 0;
}

bool bpf_follow_probe(void)
{
	struct follow_bpf *obj = NULL;
	int r = load(NULL, &obj);

	follow_bpf__destroy(obj);
	return r == 0;
}

int bpf_follow_attach(struct bpf_live *l)
{
	struct follow_bpf *obj = NULL;
	int r = load(l, &obj);

	if (r < 0)
		return r == -ENOMEM ? r : 0;
	r = follow_bpf__attach(obj);
	if (!r) {
		l->follow[0] = fcntl(bpf_link__fd(obj->links.zt_mkdir), F_DUPFD_CLOEXEC, 3);
		l->follow[1] = fcntl(bpf_link__fd(obj->links.zt_rmdir), F_DUPFD_CLOEXEC, 3);
		l->followed = l->follow[0] >= 0 && l->follow[1] >= 0;
	}
	follow_bpf__destroy(obj);
	return 0;
}

int bpf_follow_pin(const struct bpf_live *l, const char *dir)
{
	int r = 0;

	for (size_t i = 0; !r && i < ZT_ARRAY_SIZE(names); i++) {
		ZT_FREE char *path = zt_path_join(dir, names[i]);

		if (l->follow[i] >= 0)
			r = path ? bpf_obj_pin(l->follow[i], path) < 0 ? -errno : 0 : -ENOMEM;
	}
	return r;
}

bool bpf_follow_pinned(const char *dir)
{
	bool all = true;

	for (size_t i = 0; i < ZT_ARRAY_SIZE(names); i++) {
		ZT_FREE char *path = zt_path_join(dir, names[i]);
		ZT_CLOSE int fd = path ? bpf_obj_get(path) : -1;

		all = all && fd >= 0;
	}
	return all;
}

bool bpf_follow_lost(const struct bpf_live *l)
{
	ZT_FREE struct zt_bpf_config *cfg = NULL;

	return !l->followed && bpf_read_config(l, l->epoch & 1, &cfg) == 0 && cfg->flags & ZT_BPF_FOLLOWED;
}

/* ---- what the groups are now ---- */
static uint64_t id_now(const struct bpf_path *p)
{
	uint64_t id = 0;
	unsigned level;

	return zt_cgroup_lookup(NULL, p->key.path + 1, &id, &level) == 0 ? id : 0;
}

static bool is_group(const struct zt_bpf_evidence *k)
{
	return k->kind == ZT_BPF_E_CGROUP || k->kind == ZT_BPF_E_RULE_CGROUP;
}

static const struct zt_bpf_set *set_of(const struct bpf_path *p, uint64_t kind)
{
	if (!(p->value.kinds >> kind & 1))
		return NULL;
	return kind == ZT_BPF_E_CGROUP ? &p->value.subjects : &p->value.rules;
}

static int put(int fd, const struct bpf_path *p, uint64_t id)
{
	static const uint64_t kinds[] = {ZT_BPF_E_CGROUP, ZT_BPF_E_RULE_CGROUP};

	for (size_t i = 0; i < ZT_ARRAY_SIZE(kinds); i++) {
		struct zt_bpf_evidence k = {.kind = kinds[i], .a = id};
		const struct zt_bpf_set *set = set_of(p, kinds[i]);

		if (set && bpf_map_update_elem(fd, &k, set, BPF_ANY) < 0)
			return -errno;
	}
	return 0;
}

static void take(int fd, uint64_t id)
{
	(void)bpf_map_delete_elem(fd, &(struct zt_bpf_evidence){.kind = ZT_BPF_E_CGROUP, .a = id}); /* may be gone */
	(void)bpf_map_delete_elem(fd, &(struct zt_bpf_evidence){.kind = ZT_BPF_E_RULE_CGROUP, .a = id});
}

/* From the paths in place on, the programs see to it; before them, nobody did. An id that goes while it is put stays: then it is taken again. */
static int catch_up(int fd, const struct bpf_path *p)
{
	uint64_t id = id_now(p), again;

	for (int i = 0; id && i < TRIES; i++, id = again) {
		int r = put(fd, p, id);

		again = id_now(p);
		if (r < 0 || again == id)
			return r;
		take(fd, id);
	}
	return 0;
}

static bool any_now(const uint64_t *now, size_t n, uint64_t id)
{
	for (size_t i = 0; i < n; i++)
		if (now[i] == id)
			return true;
	return false;
}

int bpf_follow_catch_up(const struct bpf_live *l, const struct zt_image *img, uint32_t slot)
{
	ZT_CLOSE int fd = img->n_paths ? bpf_inner(l->map[MAP_EVIDENCE], slot) : -1;
	int r = 0;

	if (!l->followed || !img->n_paths)
		return 0;
	for (size_t i = 0; fd >= 0 && !r && i < img->n_paths; i++)
		r = catch_up(fd, &img->paths[i]);
	return fd < 0 ? fd : r;
}

/* ---- reading back ---- */
struct look {
	const struct zt_image *img;
	const uint64_t *now; /* of each path */
	int fd;
	bool followed;
	size_t found;
};

/* 0: as it should be, 1: not. */
static int compiled(struct look *w)
{
	struct zt_bpf_set got;

	for (size_t i = 0; i < w->img->n_evidence; i++) {
		const struct bpf_evidence *e = &w->img->evidence[i];
		bool there = bpf_map_lookup_elem(w->fd, &e->key, &got) == 0;

		if (there && memcmp(&got, &e->set, sizeof(got)) != 0)
			return 1;
		if (!there && !(is_group(&e->key) && w->followed && !any_now(w->now, w->img->n_paths, e->key.a)))
			return 1;
		w->found += there;
	}
	return 0;
}

static bool is_compiled(const struct zt_image *img, const struct zt_bpf_evidence *k)
{
	for (size_t i = img->n_evidence; i-- > 0;)
		if (!memcmp(&img->evidence[i].key, k, sizeof(*k)))
			return true;
	return false;
}

static int made_since(struct look *w, const struct bpf_path *p, uint64_t id)
{
	static const uint64_t kinds[] = {ZT_BPF_E_CGROUP, ZT_BPF_E_RULE_CGROUP};

	for (size_t i = 0; id && i < ZT_ARRAY_SIZE(kinds); i++) {
		struct zt_bpf_evidence k = {.kind = kinds[i], .a = id};
		const struct zt_bpf_set *set = set_of(p, kinds[i]);
		struct zt_bpf_set got;

		if (!set || is_compiled(w->img, &k))
			continue;
		if (bpf_map_lookup_elem(w->fd, &k, &got) < 0 || memcmp(&got, set, sizeof(got)) != 0)
			return 1;
		w->found++;
	}
	return 0;
}

static size_t count_keys(int fd, size_t most)
{
	struct zt_bpf_evidence key, next;
	size_t n = 0;

	for (int r = bpf_map_get_next_key(fd, NULL, &next); r == 0 && n <= most;
	     r = bpf_map_get_next_key(fd, &key, &next), n++)
		key = next;
	return n;
}

static int compare_once(const struct bpf_live *l, const struct zt_image *img, int fd)
{
	ZT_FREE uint64_t *now = zt_new(uint64_t, img->n_paths + 1);
	struct look w = {.img = img, .now = now, .fd = fd, .followed = l->followed};
	int r = 0;

	if (!now)
		return -ENOMEM;
	for (size_t i = 0; i < img->n_paths; i++)
		now[i] = id_now(&img->paths[i]);
	r = compiled(&w);
	for (size_t i = 0; !r && l->followed && i < img->n_paths; i++)
		r = made_since(&w, &img->paths[i], now[i]);
	return r ?: count_keys(fd, w.found) != w.found;
}

int bpf_follow_compare(const struct bpf_live *l, const struct zt_image *img, uint32_t slot)
{
	ZT_CLOSE int fd = bpf_inner(l->map[MAP_EVIDENCE], slot);
	int r = 1;

	if (fd < 0)
		return fd == -ENOENT ? 1 : fd;
	/* A group that comes or goes meanwhile is no difference. */
	for (int i = 0; r > 0 && i < (img->n_paths && l->followed ? TRIES : 1); i++)
		r = compare_once(l, img, fd);
	return r;
}
