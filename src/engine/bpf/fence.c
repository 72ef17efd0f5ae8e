/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "engine/bpf/load.h"

#pragma GCC diagnostic push /* generated */
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "fence.skel.h"
#pragma GCC diagnostic pop

#define TCX_EGRESS 47	 /* BPF_TCX_EGRESS, Linux 6.6: not in the headers of the baseline */
#define BEFORE (1u << 3) /* BPF_F_BEFORE: in front of all others */
#define PRIORITY 0x5a54u /* of the filter of clsact */

static const int shared[] = {MAP_EPOCH,	  MAP_CONFIG, MAP_ENTRIES, MAP_CLASSES, MAP_PORTS,
			     MAP_REASONS, MAP_COUNTS, MAP_RECORD,  MAP_EVENTS,	MAP_LIMIT};

static int load(const struct bpf_live *l, struct fence_bpf **ret)
{
	struct fence_bpf *obj = fence_bpf__open();
	int r = obj ? 0 : errno ? -errno : -EIO;

	if (!r && l)
		r = bpf_share_maps(obj->obj, l, shared, ZT_ARRAY_SIZE(shared));
	r = r ?: fence_bpf__load(obj);
	if (r < 0) {
		fence_bpf__destroy(obj);
		return r;
	}
	*ret = obj;
	return 0;
}

/* ---- one device ---- */
/* Filters of several instances stand side by side. */
static uint32_t handle_of(const char *dir)
{
	uint32_t h = 2166136261u;
	size_t n = strlen(dir), fresh = strlen("+new");

	if (n > fresh && !strcmp(dir + n - fresh, "+new"))
		n -= fresh;
	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)dir[i]) * 16777619u;
	return h ?: 1;
}

static char *pin_of(const char *dir, unsigned ifindex)
{
	return zt_asprintf("%s/fence_%u", dir, ifindex);
}

static uint32_t program_id(int fd)
{
	struct bpf_prog_info info = {0};
	uint32_t len = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &len) < 0 ? 0 : info.id;
}

/* A link, or -errno. */
static int link_tcx(int prog, unsigned ifindex)
{
	union bpf_attr attr;
	int fd;

	memset(&attr, 0, sizeof(attr));
	attr.link_create.prog_fd = (uint32_t)prog;
	attr.link_create.target_ifindex = ifindex;
	attr.link_create.attach_type = TCX_EGRESS;
	attr.link_create.flags = BEFORE;
	fd = (int)syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	return fd < 0 ? -errno : fd;
}

static int attach_tcx(int prog, unsigned ifindex, const char *dir)
{
	ZT_FREE char *pin = pin_of(dir, ifindex);
	int fd_or = pin ? link_tcx(prog, ifindex) : -ENOMEM;
	ZT_CLOSE int fd = fd_or < 0 ? -1 : fd_or;

	if (fd < 0)
		return fd_or;
	(void)unlink(pin); /* of a device that had the number before */
	return bpf_obj_pin(fd, pin) < 0 ? -errno : 0;
}

static int attach_filter(int prog, unsigned ifindex, const char *dir)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, o, .prog_fd = prog, .handle = handle_of(dir), .priority = PRIORITY,
		    .flags = BPF_TC_F_REPLACE);
	int r = bpf_tc_hook_create(&hook);

	return r < 0 && r != -EEXIST ? r : bpf_tc_attach(&hook, &o);
}

static uint32_t filter_program(unsigned ifindex, const char *dir)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, o, .handle = handle_of(dir), .priority = PRIORITY);

	return bpf_tc_query(&hook, &o) < 0 ? 0 : o.prog_id;
}

static void detach_filter(unsigned ifindex, const char *dir)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, o, .handle = handle_of(dir), .priority = PRIORITY);

	(void)bpf_tc_detach(&hook, &o); /* most devices have none */
}

/* The id of the program that the pinned link holds, 0: none that is attached to the device. */
static uint32_t link_program(unsigned ifindex, const char *dir)
{
	/* What the headers of the baseline do not have: struct { __u32 ifindex, attach_type; } tcx. */
	struct bpf_link_info info = {0};
	uint32_t len = sizeof(info), at = 0;
	ZT_FREE char *pin = pin_of(dir, ifindex);
	ZT_CLOSE int fd = pin ? bpf_obj_get(pin) : -1;

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return 0;
	memcpy(&at, &info.xdp, sizeof(at)); /* 0 when the device is gone */
	return at == ifindex ? info.prog_id : 0;
}

static bool has_link_header(const char *name)
{
	struct ifreq q = {0};
	ZT_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)snprintf(q.ifr_name, sizeof(q.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &q) < 0)
		return true;
	return q.ifr_hwaddr.sa_family == ARPHRD_ETHER || q.ifr_hwaddr.sa_family == ARPHRD_LOOPBACK;
}

/* On lo of an empty network namespace; the exit status of the child tells. */
static int try_device(void)
{
	struct fence_bpf *obj = NULL;
	int r = unshare(CLONE_NEWNET) < 0 ? -errno : load(NULL, &obj), fd;

	if (r < 0)
		return r;
	fd = link_tcx(bpf_program__fd(obj->progs.zt_fence_ether), 1);
	return fd >= 0 ? 0 : attach_filter(bpf_program__fd(obj->progs.zt_fence_ether), 1, "");
}

bool bpf_fence_probe(void)
{
	int status = 1;
	pid_t pid = fork();

	if (!pid)
		_exit(try_device() < 0);
	while (pid > 0 && waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---- all of them ---- */
enum state { FENCED, BARE, TORN };

static enum state state_of(const struct bpf_live *l, unsigned ifindex)
{
	struct zt_bpf_fence f;
	uint32_t now;

	if (bpf_map_lookup_elem(l->map[MAP_FENCES], &ifindex, &f) < 0)
		return BARE;
	now = f.how == ZT_BPF_FENCE_TCX ? link_program(ifindex, l->dir) : filter_program(ifindex, l->dir);
	return now && now == f.prog ? FENCED : TORN;
}

static int fence_device(const struct bpf_live *l, struct fence_bpf *obj, const char *dir,
			const struct if_nameindex *dev)
{
	bool ether = has_link_header(dev->if_name);
	int prog = bpf_program__fd(ether ? obj->progs.zt_fence_ether : obj->progs.zt_fence_bare);
	struct zt_bpf_fence f = {.how = ZT_BPF_FENCE_TCX, .prog = program_id(prog)};
	int r = attach_tcx(prog, dev->if_index, dir);

	if (r == -EINVAL || r == -EOPNOTSUPP) {
		f.how = ZT_BPF_FENCE_FILTER;
		r = attach_filter(prog, dev->if_index, dir);
	}
	if (!r && bpf_map_update_elem(l->map[MAP_FENCES], &dev->if_index, &f, BPF_ANY) < 0)
		r = -errno;
	return r ?: zt_fault_step("bpf: a device is fenced");
}

static bool has_options(const char *dir)
{
	struct bpf_link_info info;

	return bpf_open_link(dir, FENCE_OPTIONS, &info) == 0 && info.cgroup.cgroup_id; /* 0: detached */
}

unsigned bpf_fence_options_missing(const struct bpf_live *l)
{
	uint32_t next;

	return bpf_map_get_next_key(l->map[MAP_FENCES], NULL, &next) == 0 && !has_options(l->dir);
}

static int guard_options(struct fence_bpf *obj, int cgroup, const char *dir)
{
	struct bpf_link *link = bpf_program__attach_cgroup(obj->progs.zt_setsockopt, cgroup);
	ZT_FREE char *path = zt_path_join(dir, FENCE_OPTIONS);
	int r = !path ? -ENOMEM : link ? 0 : -errno;

	if (!r)
		(void)unlink(path); /* of one that was detached */
	r = r ?: bpf_pin_link(link, dir, FENCE_OPTIONS);
	bpf_link__destroy(link); /* pinned: goes on */
	return r;
}

/* Devices that are gone leave nothing: their number may come again. */
static void forget_gone(const struct bpf_live *l)
{
	uint32_t key, next;
	char name[IF_NAMESIZE];

	for (int r = bpf_map_get_next_key(l->map[MAP_FENCES], NULL, &next); r == 0;) {
		key = next;
		r = bpf_map_get_next_key(l->map[MAP_FENCES], &key, &next);
		if (!if_indextoname(key, name)) {
			ZT_FREE char *pin = pin_of(l->dir, key);

			(void)bpf_map_delete_elem(l->map[MAP_FENCES], &key); /* it was there just now */
			if (pin)
				(void)unlink(pin);
		}
	}
}

int bpf_fence(const struct bpf_live *l, const char *dir, int cgroup, unsigned *ret_added)
{
	struct if_nameindex *devs = if_nameindex();
	bool options = has_options(dir);
	struct fence_bpf *obj = NULL;
	unsigned added = 0;
	int r = devs ? 0 : -errno;

	forget_gone(l);
	for (const struct if_nameindex *i = devs; !r && i && i->if_index; i++) {
		if (options && state_of(l, i->if_index) == FENCED)
			continue;
		r = obj ? 0 : load(l, &obj);
		if (!r && !options)
			r = guard_options(obj, cgroup, dir);
		options = options || !r;
		r = r ?: fence_device(l, obj, dir, i);
		r = r == -ENODEV ? 0 : r; /* it went meanwhile */
		added += !r;
	}
	fence_bpf__destroy(obj);
	if (devs)
		if_freenameindex(devs);
	*ret_added = added;
	return r;
}

int bpf_fence_missing(const struct bpf_live *l, char ***ret, size_t *ret_n, bool *ret_torn)
{
	struct if_nameindex *devs = if_nameindex();
	char **names = NULL;
	size_t n = 0, cap = 0;
	int r = devs ? 0 : -errno;

	*ret_torn = false;
	for (const struct if_nameindex *i = devs; !r && i && i->if_index; i++) {
		enum state s = state_of(l, i->if_index);

		*ret_torn = *ret_torn || s == TORN;
		if (s != BARE)
			continue;
		r = zt_grow(names, cap, n);
		if (!r && !(names[n] = zt_strdup(i->if_name)))
			r = -ENOMEM;
		n += r == 0;
	}
	if (devs)
		if_freenameindex(devs);
	*ret = names;
	*ret_n = n;
	return r;
}

void bpf_fence_remove(const char *dir)
{
	struct if_nameindex *devs = if_nameindex();

	for (const struct if_nameindex *i = devs; i && i->if_index; i++)
		detach_filter(i->if_index, dir); /* links go with the folder */
	if (devs)
		if_freenameindex(devs);
}
