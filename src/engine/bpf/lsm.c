/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/file.h"
#include "base/mem.h"
#include "engine/bpf/load.h"
#include "identity/identity.h"

#pragma GCC diagnostic push /* generated */
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "lsm.skel.h"
#pragma GCC diagnostic pop

/* In the order of attachment: the first one tells whether any of them would run. */
static const char *const lsm_links[N_LSM_LINKS] = {"zt_lsm_bpf",    "zt_lsm_listen", "zt_lsm_create",  "zt_lsm_receive",
						   "zt_lsm_ptrace", "zt_lsm_umount", "zt_lsm_unlink",  "zt_lsm_rename",
						   "zt_lsm_rmdir",  "zt_lsm_bind",   "zt_lsm_connect", "zt_lsm_send"};

#define NOT_BUILT "this kernel does not let programs be a security module (BPF LSM not built, or locked down)"
#define NOT_ACTIVE \
	"\"bpf\" is not among the security modules of this kernel: add it to lsm= of the kernel's command line"

unsigned bpf_lsm_pins(const char *dir)
{
	unsigned n = 0;

	for (int i = 0; i < N_LSM_LINKS; i++) {
		ZT_FREE char *path = zt_path_join(dir, lsm_links[i]);

		n += path && zt_path_exists(path);
	}
	return n;
}

/* ---- what is guarded ---- */
static uint32_t id_of_map(int fd)
{
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &len) < 0 ? 0 : info.id;
}

static uint32_t id_of_link(const char *dir, const char *name)
{
	ZT_FREE char *path = zt_path_join(dir, name);
	struct bpf_link_info info = {0};
	uint32_t len = sizeof(info);
	ZT_CLOSE int fd = path ? bpf_obj_get(path) : -1;

	return fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) < 0 ? 0 : info.id;
}

static int guard_folder(const char *dir, struct zt_bpf_ward *w)
{
	ZT_FREE char *above = zt_path_join(dir, "..");
	struct stat s;

	if (!above)
		return -ENOMEM;
	if (stat(above, &s) < 0)
		return -errno;
	w->parent = s.st_ino;
	if (stat(dir, &s) < 0)
		return -errno;
	w->folder = s.st_ino;
	w->dev = (uint32_t)(major(s.st_dev) << 20 | minor(s.st_dev)); /* as the kernel has it */
	return 0;
}

static int guard_ourselves(struct zt_bpf_ward *w)
{
	char exe[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	const char *name;
	struct stat s;

	if (n < 0 || stat("/proc/self/ns/pid", &s) < 0)
		return -errno;
	exe[n] = '\0';
	name = strrchr(exe, '/');
	(void)snprintf(w->program, sizeof(w->program), "%.31s", name ? name + 1 : exe);
	w->pid_ns = (uint32_t)s.st_ino;
	return 0;
}

static void guard_maps(const struct bpf_live *l, int own, struct zt_bpf_ward *w)
{
	_Static_assert(N_MAPS + 1 <= ZT_BPF_WARDED && N_LINKS + N_LSM_LINKS <= ZT_BPF_WARDED, "room in the ward");
	for (int i = 0; i < N_MAPS; i++)
		w->maps[w->n_maps++] = id_of_map(l->map[i]);
	w->maps[w->n_maps++] = id_of_map(own);
}

/* What is pinned so far, our own links come later. Fences of more devices than there is room for are guarded by their pins alone. */
static int guard_links(const char *dir, struct zt_bpf_ward *w)
{
	DIR *d = opendir(dir);
	const struct dirent *e;

	if (!d)
		return -errno;
	while ((e = readdir(d)) && w->n_links < ZT_BPF_WARDED - N_LSM_LINKS)
		if (e->d_name[0] != '.' && (w->links[w->n_links] = id_of_link(dir, e->d_name)))
			w->n_links++;
	(void)closedir(d); /* only read */
	return 0;
}

static int write_ward(const struct lsm_bpf *obj, const struct zt_bpf_ward *w)
{
	uint32_t zero = 0;

	return bpf_map_update_elem(bpf_map__fd(obj->maps.ward), &zero, w, BPF_ANY) < 0 ? -errno : 0;
}

static int whom(const char *cgroup, struct zt_bpf_ward *w)
{
	unsigned level = 0;
	uint64_t id;
	int r = zt_cgroup_lookup(NULL, cgroup ? cgroup : "", &id, &level);

	if (r < 0)
		return r;
	w->cgroup = id;
	w->level = level;
	return 0;
}

/* ---- loading ---- */
static void only_first(const struct lsm_bpf *obj)
{
	struct bpf_program *p;

	bpf_object__for_each_program(p, obj->obj)
	{
		if (strcmp(bpf_program__name(p), lsm_links[0]) != 0)
			(void)bpf_program__set_autoload(p, false); /* before loading it cannot fail */
	}
}

static int load_some(const struct bpf_live *l, bool alone, struct lsm_bpf **ret)
{
	struct lsm_bpf *obj = lsm_bpf__open();
	struct bpf_map *m;
	int r = 0;

	if (!obj)
		return errno ? -errno : -EIO;
	if (alone)
		only_first(obj);
	for (int i = 0; l && !r && i < N_MAPS; i++) {
		m = bpf_object__find_map_by_name(obj->obj, bpf_map_name(i));
		r = m ? bpf_map__reuse_fd(m, l->map[i]) : -ENOENT;
	}
	r = r ?: lsm_bpf__load(obj);
	if (r < 0) {
		lsm_bpf__destroy(obj);
		return r;
	}
	*ret = obj;
	return 0;
}

/* The first program tells whether the kernel takes any: who is refused all of them has not paid for finding the places of all in it. */
static int load(const struct bpf_live *l, struct lsm_bpf **ret)
{
	struct lsm_bpf *first;
	int r = load_some(l, true, &first);

	if (r < 0)
		return r;
	lsm_bpf__destroy(first);
	return load_some(l, false, ret);
}

static struct bpf_link *attach(const struct lsm_bpf *obj, int i)
{
	struct bpf_program *p = bpf_object__find_program_by_name(obj->obj, lsm_links[i]);

	return p ? bpf_program__attach_lsm(p) : NULL;
}

/* A kernel can take the programs and never run them. */
static bool runs(const struct lsm_bpf *obj)
{
	struct zt_bpf_ward w = {0};
	uint32_t zero = 0;
	int fd = bpf_map__fd(obj->maps.ward);

	(void)bpf_map_lookup_elem(fd, &zero, &w); /* the first one is seen, the second one sees that */
	return bpf_map_lookup_elem(fd, &zero, &w) == 0 && w.alive;
}

int bpf_lsm_probe(const char **ret_why)
{
	struct lsm_bpf *obj;
	struct bpf_link *link;
	int r = load(NULL, &obj);

	*ret_why = NOT_BUILT;
	if (r < 0)
		return r;
	link = attach(obj, 0);
	if (link && !runs(obj)) {
		*ret_why = NOT_ACTIVE;
		r = -EOPNOTSUPP;
	}
	r = link ? r : -errno;
	bpf_link__destroy(link);
	lsm_bpf__destroy(obj);
	return r;
}

/* ---- attaching ---- */
static int pin_all(const struct lsm_bpf *obj, const char *dir, struct zt_bpf_ward *w)
{
	for (int i = 0; i < N_LSM_LINKS; i++) {
		ZT_FREE char *path = zt_path_join(dir, lsm_links[i]);
		struct bpf_link *link = path ? attach(obj, i) : NULL;
		int r = !path ? -ENOMEM : !link ? -errno : bpf_link__pin(link, path);

		if (!r && i == 0 && !runs(obj))
			r = -EOPNOTSUPP;
		bpf_link__destroy(link); /* pinned: goes on */
		if (r < 0)
			return r;
		w->links[w->n_links++] = id_of_link(dir, lsm_links[i]);
	}
	return 0;
}

static void unpin_all(const char *dir)
{
	for (int i = 0; i < N_LSM_LINKS; i++) {
		ZT_FREE char *path = zt_path_join(dir, lsm_links[i]);

		if (path)
			(void)unlink(path); /* one that was never made */
	}
}

int bpf_lsm_attach(const struct bpf_live *l, const char *cgroup, const char *dir)
{
	struct zt_bpf_ward w = {0};
	struct lsm_bpf *obj;
	int r = whom(cgroup, &w);

	r = r ?: guard_folder(dir, &w);
	r = r ?: guard_ourselves(&w);
	r = r ?: load(l, &obj);
	if (r < 0)
		return 0;
	guard_maps(l, bpf_map__fd(obj->maps.ward), &w);
	r = guard_links(dir, &w) ?: pin_all(obj, dir, &w);
	r = r ?: write_ward(obj, &w);
	if (r < 0)
		unpin_all(dir);
	lsm_bpf__destroy(obj);
	return r < 0 ? 0 : 1;
}
