/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/bpf/load.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "identity/identity.h"

#pragma GCC diagnostic push /* generated */
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "core.skel.h"
#include "iter.skel.h"
#pragma GCC diagnostic pop

#define BPFFS "/sys/fs/bpf"
#define BPFFS_MAGIC 0xcafe4a11

static const char *const map_names[N_MAPS] = {"epoch",	"config", "entries", "classes", "ports",   "evidence", "paths",
					      "labels", "names",  "counts",  "meta",	"reasons", "socks",    "seen",
					      "flows",	"record", "fences",  "events",	"limit"};
/* In the order of attachment: stamps first, then what decides. */
static const char *const link_names[N_LINKS] = {"zt_sock_create", "zt_bind4",	 "zt_bind6",
						"zt_connect4",	  "zt_connect6", "zt_sendmsg4",
						"zt_sendmsg6",	  "zt_ingress",	 "zt_egress"};
enum { STAMPING_LINKS = 3 };
#define ITERATOR "stamp_all"

const char *bpf_map_name(int map)
{
	return map_names[map];
}

void bpf_live_init(struct bpf_live *l)
{
	*l = (struct bpf_live){.egress = -1, .follow = {-1, -1}};
	for (int i = 0; i < N_MAPS; i++)
		l->map[i] = -1;
}

void bpf_live_done(struct bpf_live *l)
{
	for (int i = 0; i < N_MAPS; i++)
		zt_closep(&l->map[i]);
	zt_closep(&l->egress);
	for (size_t i = 0; i < ZT_ARRAY_SIZE(l->follow); i++)
		zt_closep(&l->follow[i]);
}

/* ---- the folder ---- */
static bool is_bpffs(void)
{
	struct statfs s;

	return statfs(BPFFS, &s) == 0 && (unsigned long)s.f_type == BPFFS_MAGIC;
}

/* A file system mounted in a mount namespace of our own would end with it, and the enforcement too. */
static bool private_mounts(void)
{
	struct stat own, init;

	return stat("/proc/self/ns/mnt", &own) < 0 || stat("/proc/1/ns/mnt", &init) < 0 || own.st_ino != init.st_ino;
}

static int mount_bpffs(void)
{
	if (is_bpffs())
		return 0;
	if (private_mounts())
		return -ENXIO;
	return mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0 ? -errno : 0;
}

int bpf_dir(const char *instance, bool create, char ret[static 160])
{
	int r = create ? mount_bpffs() : is_bpffs() ? 0 : -ENOENT;
	const char *name = instance ? instance : "default";

	if (r < 0)
		return r;
	if (create && mkdir(BPFFS "/zt-segment", 0700) < 0 && errno != EEXIST)
		return -errno;
	if (zt_netns_is_initial())
		(void)snprintf(ret, 160, BPFFS "/zt-segment/%.32s", name);
	else
		(void)snprintf(ret, 160, BPFFS "/zt-segment/%.32s@%llu", name, (unsigned long long)bpf_netns_cookie());
	return 0;
}

/* ---- finding what is live ---- */
static int find_maps(struct bpf_live *l, uint32_t prog)
{
	uint32_t ids[2 * N_MAPS] = {0}, len = sizeof(struct bpf_prog_info);
	struct bpf_prog_info info = {.nr_map_ids = 2 * N_MAPS, .map_ids = (uintptr_t)ids};
	ZT_CLOSE int fd = bpf_prog_get_fd_by_id(prog);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return -errno;
	for (uint32_t i = 0; i < info.nr_map_ids && i < 2 * N_MAPS; i++) {
		struct bpf_map_info m = {0};
		uint32_t mlen = sizeof(m);
		ZT_CLOSE int mfd = bpf_map_get_fd_by_id(ids[i]);

		if (mfd < 0 || bpf_obj_get_info_by_fd(mfd, &m, &mlen) < 0)
			return -errno;
		for (int k = 0; k < N_MAPS; k++)
			if (!strcmp(m.name, map_names[k]) && l->map[k] < 0)
				l->map[k] = ZT_TAKE_FD(mfd);
	}
	if (!strncmp(info.name, "zt_egress", 9))
		l->egress = ZT_TAKE_FD(fd);
	return 0;
}

int bpf_open_link(const char *dir, const char *name, struct bpf_link_info *ret)
{
	ZT_FREE char *path = zt_path_join(dir, name);
	uint32_t len = sizeof(*ret);
	ZT_CLOSE int fd = path ? bpf_obj_get(path) : -1;

	memset(ret, 0, sizeof(*ret));
	if (!path || fd < 0)
		return path ? -errno : -ENOMEM;
	return bpf_obj_get_info_by_fd(fd, ret, &len) < 0 ? -errno : 0;
}

static bool all_maps(const struct bpf_live *l)
{
	for (int i = 0; i < N_MAPS; i++)
		if (l->map[i] < 0)
			return false;
	return true;
}

/* None at all is how it is where the kernel takes none, unless it was there at the commit. */
static unsigned lsm_missing(const struct bpf_live *l)
{
	ZT_FREE struct zt_bpf_config *cfg = NULL;
	unsigned pins = bpf_lsm_pins(l->dir);
	bool all = !pins && bpf_read_config(l, l->epoch & 1, &cfg) == 0 && cfg->epoch == l->epoch &&
		   cfg->flags & (ZT_BPF_GUARDED | ZT_BPF_HAS_UNIX);

	return pins || all ? N_LSM_LINKS - pins : 0;
}

int bpf_live_open(const char *instance, struct bpf_live *l)
{
	uint32_t zero = 0;
	int r;

	bpf_live_init(l);
	r = bpf_dir(instance, false, l->dir);
	if (r < 0 || !zt_path_exists(l->dir))
		return r < 0 ? r : -ENOENT;
	/* Egress first: all the maps are bound to it. */
	for (int i = N_LINKS - 1; i >= 0; i--) {
		struct bpf_link_info info;

		if (bpf_open_link(l->dir, link_names[i], &info) < 0 || !info.cgroup.cgroup_id ||
		    (l->cgroup && l->cgroup != info.cgroup.cgroup_id)) {
			l->missing++;
			continue;
		}
		l->cgroup = info.cgroup.cgroup_id;
		if (!all_maps(l))
			(void)find_maps(l, info.prog_id); /* what is lacking shows below */
	}
	l->followed = bpf_follow_pinned(l->dir);
	if (l->map[MAP_CONFIG] < 0 || l->map[MAP_EPOCH] < 0 || l->map[MAP_META] < 0 ||
	    bpf_map_lookup_elem(l->map[MAP_EPOCH], &zero, &l->epoch) < 0)
		return -EUCLEAN;
	l->missing += lsm_missing(l) + bpf_forward_missing(l) + bpf_fence_options_missing(l);
	return 0;
}

int bpf_bells(const char *instance, struct zt_bells *ret)
{
	static const char *const more[] = {FENCE_OPTIONS, FORWARD4, FORWARD6};
	ZT_CLEANUP(bpf_live_done) struct bpf_live l;
	int r = bpf_live_open(instance, &l);
	struct bpf_map_info ring = {0};
	uint32_t len = sizeof(ring);

	if (r < 0)
		return r;
	*ret = (struct zt_bells){.ring = -1};
	for (size_t i = 0; i < N_LINKS + ZT_ARRAY_SIZE(more); i++) {
		struct bpf_link_info info;

		if (bpf_open_link(l.dir, i < N_LINKS ? link_names[i] : more[i - N_LINKS], &info) == 0)
			ret->links[ret->n_links++] = info.id;
	}
	if (l.map[MAP_EVENTS] < 0 || bpf_obj_get_info_by_fd(l.map[MAP_EVENTS], &ring, &len) < 0)
		return 0;
	ret->ring_id = ring.id;
	ret->ring = ZT_TAKE_FD(l.map[MAP_EVENTS]);
	return 0;
}

/* ---- loading ---- */
/* What libbpf would print is said by who called it, better or not at all: a probe that fails is an answer. For every part of the program. */
__attribute__((constructor)) static void quiet(void)
{
	(void)libbpf_set_print(NULL);
}

static int take_maps(struct core_bpf *obj, struct bpf_live *l)
{
	for (int i = 0; i < N_MAPS; i++) {
		struct bpf_map *m = bpf_object__find_map_by_name(obj->obj, map_names[i]);

		if (!m)
			return -ENOENT;
		l->map[i] = fcntl(bpf_map__fd(m), F_DUPFD_CLOEXEC, 3);
		if (l->map[i] < 0)
			return -errno;
		/* The maps that egress does not use live with it as well: they are found, and held, through it. */
		if (bpf_prog_bind_map(bpf_program__fd(obj->progs.zt_egress), l->map[i], NULL) < 0)
			return -errno;
	}
	l->egress = fcntl(bpf_program__fd(obj->progs.zt_egress), F_DUPFD_CLOEXEC, 3);
	return l->egress < 0 ? -errno : 0;
}

int bpf_load(struct core_bpf **ret_obj, struct bpf_live *ret, struct zt_diags *d)
{
	struct core_bpf *obj;
	int r;

	bpf_live_init(ret);
	obj = core_bpf__open();
	if (!obj)
		return zt_diag_errno(d, 3403, -errno, "cannot open the programs");
	r = core_bpf__load(obj);
	if (r < 0)
		(void)zt_diag_errno(d, 3403, r, "the kernel refuses the programs");
	r = r ?: take_maps(obj, ret);
	if (r < 0) {
		core_bpf__destroy(obj);
		bpf_live_done(ret);
		return r;
	}
	*ret_obj = obj;
	return 0;
}

void bpf_unload(struct core_bpf *obj)
{
	core_bpf__destroy(obj);
}

/* ---- attaching ---- */
int bpf_pin_link(struct bpf_link *link, const char *dir, const char *name)
{
	ZT_FREE char *path = zt_path_join(dir, name);

	return path ? bpf_link__pin(link, path) : -ENOMEM;
}

int bpf_share_maps(struct bpf_object *obj, const struct bpf_live *l, const int *shared, size_t n)
{
	struct bpf_map *m;
	int r = 0;

	bpf_object__for_each_map(m, obj)
	{
		bool keep = bpf_map__is_internal(m);

		for (size_t i = 0; !r && i < n; i++)
			if (!strcmp(bpf_map__name(m), map_names[shared[i]])) {
				keep = true;
				r = bpf_map__reuse_fd(m, l->map[shared[i]]);
			}
		if (!keep)
			r = r ?: bpf_map__set_autocreate(m, false);
	}
	return r;
}

static int pin_iterator(const struct bpf_live *l, const char *dir)
{
	static const int shared[] = {MAP_CONFIG, MAP_CLASSES, MAP_EVIDENCE, MAP_LABELS, MAP_SOCKS};
	struct iter_bpf *obj = iter_bpf__open();
	struct bpf_link *link = NULL;
	int r;

	if (!obj)
		return errno ? -errno : -EIO;
	obj->rodata->netns = bpf_netns_cookie();
	r = bpf_share_maps(obj->obj, l, shared, ZT_ARRAY_SIZE(shared));
	r = r ?: iter_bpf__load(obj);
	if (!r) {
		link = bpf_program__attach_iter(obj->progs.zt_stamp_all, NULL);
		r = link ? bpf_pin_link(link, dir, ITERATOR) : -errno;
	}
	bpf_link__destroy(link);
	iter_bpf__destroy(obj);
	return r;
}

static int run_iterator(const char *dir)
{
	ZT_FREE char *path = zt_path_join(dir, ITERATOR);
	ZT_CLOSE int link = path ? bpf_obj_get(path) : -1, fd = -1;
	char buf[256];
	ssize_t n;

	if (link < 0)
		return path ? -errno : -ENOMEM;
	fd = bpf_iter_create(link);
	if (fd < 0)
		return -errno;
	while ((n = read(fd, buf, sizeof(buf))) > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		;
	return n < 0 ? -errno : 0;
}

int bpf_stamp_all(const struct bpf_live *l)
{
	return run_iterator(l->dir);
}

static int attach_links(struct core_bpf *obj, const struct bpf_live *l, int cgroup, const char *dir)
{
	int r = pin_iterator(l, dir) ?: bpf_follow_pin(l, dir);

	for (int i = 0; !r && i < N_LINKS; i++) {
		struct bpf_program *p = bpf_object__find_program_by_name(obj->obj, link_names[i]);
		struct bpf_link *link;

		if (i == STAMPING_LINKS)
			r = run_iterator(dir) ?: zt_fault_step("bpf: sockets are stamped");
		if (r < 0)
			break;
		link = p ? bpf_program__attach_cgroup(p, cgroup) : NULL;
		r = !p ? -ENOENT : !link ? -errno : bpf_pin_link(link, dir, link_names[i]);
		bpf_link__destroy(link); /* pinned: goes on */
		r = r ?: zt_fault_step("bpf: a link is attached");
	}
	return r;
}

int bpf_open_cgroup(const char *cgroup)
{
	ZT_FREE char *mount = NULL, *path = NULL;
	int r = zt_cgroup_mount(&mount), fd;

	if (r < 0)
		return r;
	if (getenv("ZT_TEST") && !(cgroup && *cgroup))
		return -EPERM; /* whatever a test is about, the machine goes on */
	path = cgroup && *cgroup ? zt_path_join(mount, cgroup) : zt_strdup(mount);
	fd = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	return !path ? -ENOMEM : fd < 0 ? -errno : fd;
}

int bpf_attach(struct core_bpf *obj, const struct bpf_live *l, const char *cgroup, bool lsm_needed, struct zt_diags *d)
{
	ZT_FREE char *fresh = zt_asprintf("%s+new", l->dir);
	ZT_CLOSE int fd = bpf_open_cgroup(cgroup);
	int r = fd < 0 ? fd : fresh ? bpf_remove(fresh) : -ENOMEM, fenced, forward;
	unsigned added;

	if (fd < 0)
		return zt_diag_errno(d, 3404, fd, "cannot open the control group \"%s\"", cgroup ? cgroup : "/");
	if (!r && mkdir(fresh, 0700) < 0)
		r = -errno;
	r = r ?: attach_links(obj, l, fd, fresh);
	if (!r && (fenced = bpf_fence(l, fresh, fd, &added)) < 0)
		(void)zt_diag(d, ZT_WARNING, 3407, NULL, "frames of packet sockets are not fenced: %s",
			      strerror(-fenced));
	if (!r && (forward = bpf_forward_attach(l, fresh)) < 0)
		r = forward;
	if (!r && bpf_lsm_attach(l, cgroup, fresh) > 0)
		r = zt_fault_step("bpf: the LSM layer is attached");
	else if (!r && lsm_needed)
		r = -EOPNOTSUPP;
	r = r ?: bpf_remove(l->dir);
	if (!r && rename(fresh, l->dir) < 0)
		r = -errno;
	if (r < 0 && fresh)
		(void)bpf_remove(fresh); /* the first error is what counts */
	return r < 0 ? zt_diag_errno(d, 3404, r, "cannot attach the programs") : 0;
}

/* ---- removing ---- */
static void detach(const char *dir, const char *name)
{
	ZT_FREE char *path = zt_path_join(dir, name);
	ZT_CLOSE int fd = path ? bpf_obj_get(path) : -1;

	if (fd >= 0)
		(void)bpf_link_detach(fd); /* an iterator has nothing to detach; unlinking ends the rest, only later */
	if (path)
		(void)unlink(path); /* what stays is seen by rmdir */
}

int bpf_remove(const char *dir)
{
	DIR *d = opendir(dir);
	const struct dirent *e;

	if (!d)
		return errno == ENOENT ? 0 : -errno;
	/* Deciding links go before stamping ones. */
	for (int i = N_LINKS - 1; i >= 0; i--)
		detach(dir, link_names[i]);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			detach(dir, e->d_name);
	(void)closedir(d); /* only read */
	return rmdir(dir) < 0 ? -errno : 0;
}
