/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * identity: users, groups, cgroups and services of this host. May use base only. Promises: no state, no caching
 * across calls; names are resolved with the C library's user database (NSS), cgroups by looking at the cgroup2 mount.
 * Executables and digests, processes, containers: at the end.
 */
#include <sys/types.h>

#include "base/macros.h"
#include "base/strbuf.h"
#include "base/time.h"

/* 0, -ENOENT (no such name), or -errno of the database. */
int zt_user_lookup(const char *name, uint32_t *ret_uid);
int zt_group_lookup(const char *name, uint32_t *ret_gid);
/* Nearest existing name for a hint; malloc'ed, NULL when nothing is near. */
char *zt_user_nearest(const char *name);
char *zt_group_nearest(const char *name);
/* malloc'ed name, or the number in decimal when there is none; NULL on ENOMEM only. */
char *zt_user_name(uint32_t uid);
char *zt_group_name(uint32_t gid);
/* True when some account has gid as a supplementary (not primary) group. */
bool zt_group_has_supplementary_members(uint32_t gid);

/* Where cgroup2 is mounted ("/sys/fs/cgroup", or "/sys/fs/cgroup/unified" on hybrid hosts); from /proc/self/mountinfo.
 * 0 or -ENOENT. */
int zt_cgroup_mount(char **ret_path);
/* The same from the text of a mountinfo file, which is cut up: the first below /sys/fs/cgroup, else the first of all. */
int zt_cgroup_mount_find(char *mountinfo, char **ret_path);
/* What nft wants in front of a path below the mount: "" or "unified/" (nft stats /sys/fs/cgroup/PATH). */
int zt_cgroup_nft_prefix(char **ret_prefix);
/* id (= inode number, what the kernel stores in rules) and level (1 = child of the root) of a path inside cgroup2,
 * without leading or trailing slash. root (may be NULL or "") is put in front: the --cgroup bound. -ENOENT when it does not exist. */
int zt_cgroup_lookup(const char *root, const char *path, uint64_t *ret_id, unsigned *ret_level);
/* Path inside cgroup2 of a live cgroup id (open_by_handle_at); malloc'ed; -ENOENT/-ESTALE when gone. */
int zt_cgroup_path(uint64_t id, char **ret_path);

/* ---- services (service.c) ---- */
/* A template, which stands for all its instances: "getty@", "getty@.service". */
bool zt_service_template(const char *unit);
/* "nginx", "nginx.service" -> "system.slice/nginx.service"; template instances live in a slice of their own
 * ("getty@tty1.service" -> "system.slice/system-getty.slice/getty@tty1.service"), which is what a template itself is; a unit that runs somewhere
 * else (Slice=) is found by searching the tree below root (NULL: all of it) for a directory of that name (depth-limited; in
 * slices alone, and in none that is delegated: what is in other groups may be called anything). malloc'ed path below root, 0 or -errno; -ENOENT: not running now, then *ret_path is still set
 * to the expected path. */
int zt_service_cgroup(const char *root, const char *unit, char **ret_path);
/* The same for what may be a template: a line for each path, that of zt_service_cgroup() first, then those of the instances that are in other
 * slices now. -E2BIG: they are too many. */
int zt_service_cgroups(const char *root, const char *unit, char **ret_paths);
/* The unit of the system manager whose ExecStart= runs the program at path, of those below root (NULL = this host) in the order in which systemd
 * looks; of a template "getty@.service". For hints: what runs it may be something else. malloc'ed name; -ENOENT. */
int zt_service_running(const char *root, const char *path, char **ret_unit);

/* ---- executables (exe.c) ---- */
/* A device is another one where a process serves its file system (FUSE), which may say of a file what it likes: no bit of a number. bpf/abi.h has it. */
#define ZT_EXE_DEV_FUSE 0x80000000u
struct zt_exe_seen {
	uint64_t
		dev; /* of the superblock as the kernel has it, major << 20 | minor: from the mount, since btrfs shows another st_dev */
	uint64_t ino;
	int64_t ctime_sec;
	uint32_t ctime_nsec;
	char digest[65]; /* SHA-256 of the content, hex */
	char interpreter
		[256]; /* with -ENOEXEC: of the script ("#!/usr/bin/env x": that of x); "" where it names none */
};
/* What path (below root; NULL = this host) is now, symbolic links followed. The file did not change while it was read.
 * 0, -ENOENT, -EACCES, -EISDIR, -EINVAL (not a regular file), -ENOEXEC (not ELF. A script: the kernel runs its interpreter, so that a process
 * cannot be told from others of the interpreter), -EBUSY (written to meanwhile), -EFBIG, -errno. digest may be skipped (faster); of a file
 * that was written to in the last 20 ms it takes as long. */
int zt_exe_lookup(const char *root, const char *path, bool want_digest, struct zt_exe_seen *ret);
/* Is the file at path, as this process sees it, the one that the kernel calls so? */
bool zt_exe_is(const char *path, uint64_t dev, uint64_t ino);
/* Its SHA-256, for whoever must not wait for a file that anybody can make as large as he likes: -ETIME where `most` does not suffice, at
 * 256 MiB a second (a slow disk has twice the time); -ESTALE: another file. mountinfo: where its mount is found if not among our own; or NULL. */
int zt_exe_digest(const char *path, const char *mountinfo, uint64_t dev, uint64_t ino, zt_usec most,
		  char ret[static 65]);
/* The Debian package that owns path and when it was last upgraded ("redis-server", RFC 3339), from dpkg's files; -ENOENT. For `why`. */
int zt_exe_package(const char *path, char **ret_package, char **ret_upgraded);

/* ---- processes (process.c): what /proc tells; for `who`, sessions, tests ---- */
struct zt_process {
	int pid, ppid;
	uint64_t start_time; /* clock ticks since boot: with the pid the identity of a process */
	uint32_t uid, gid;   /* effective (what a new socket gets: fsuid, fsgid) */
	uint32_t real_uid;
	uint32_t *groups;
	size_t n_groups;
	char comm[16];
	char *exe; /* path; " (deleted)" is cut off; NULL: kernel thread, zombie, or not readable */
	bool exe_deleted; /* the file has no name any more, or never had one (memfd): to the kernel programs an unknown program */
	uint64_t exe_dev, exe_ino; /* kernel form, 0 when unknown */
	int64_t exe_ctime_sec;
	uint32_t exe_ctime_nsec;
	char *cgroup; /* path inside cgroup2 without leading slash, "" for the root */
};
int zt_process_read(int pid, struct zt_process *ret); /* -ESRCH */
void zt_process_done(struct zt_process *p);

/* ---- containers (container.c) ---- */
struct zt_container {
	char *id;      /* as the runtime has it */
	char *name;    /* NULL where no state file tells */
	char *runtime; /* "docker" "podman" "containerd" "crun" "runc" */
	char *cgroup;  /* path inside cgroup2 */
};
/* Running containers: cgroup shapes (docker-ID.scope, docker/ID, libpod-ID.scope, cri-containerd-ID.scope, crun-ID.scope, kubepods…) and the
 * runtimes' state files below root (NULL = this host): docker config.v2.json, podman containers.json, crun status, runc state.json,
 * containerd's config.json. What lies inside a container is not looked at; a user's files are believed about that user's slice only. Sorted by
 * cgroup. A pod's container is called POD/CONTAINER. */
int zt_containers_list(const char *root, struct zt_container **ret, size_t *ret_n);
void zt_containers_free(struct zt_container *c, size_t n);
/* By id, name, or unique prefix of an id of at least 8 digits, in this order: malloc'ed cgroup path. -ENOENT, -EEXIST (several). Containers of
 * users (below user.slice, or in a cgroup that belongs to somebody else than root) count only where the system has none of that name. */
int zt_container_cgroup(const char *root, const char *name, char **ret_path);
