/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * identity: users, groups, cgroups and services of this host. May use base only. Promises: no state, no caching
 * across calls; names are resolved with the C library's user database (NSS), cgroups by looking at the cgroup2 mount.
 * Later: executables and digests, containers, labels.
 */
#include <sys/types.h>

#include "base/macros.h"
#include "base/strbuf.h"

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
/* What nft wants in front of a path below the mount: "" or "unified/" (nft stats /sys/fs/cgroup/PATH). */
int zt_cgroup_nft_prefix(char **ret_prefix);
/* id (= inode number, what the kernel stores in rules) and level (1 = child of the root) of a path inside cgroup2,
 * without leading or trailing slash. root (may be NULL or "") is put in front: the --cgroup bound. -ENOENT when it does not exist. */
int zt_cgroup_lookup(const char *root, const char *path, uint64_t *ret_id, unsigned *ret_level);
/* Path inside cgroup2 of a live cgroup id (open_by_handle_at); malloc'ed; -ENOENT/-ESTALE when gone. */
int zt_cgroup_path(uint64_t id, char **ret_path);
/* "nginx", "nginx.service" -> "system.slice/nginx.service"; template instances live in a slice of their own
 * ("getty@tty1.service" -> "system.slice/system-getty.slice/getty@tty1.service"); a unit that runs somewhere else
 * (Slice=) is found by searching the tree for a directory of that name (depth-limited). malloc'ed path, 0 or -errno;
 * -ENOENT: not running now, then *ret_path is still set to the expected path. */
int zt_service_cgroup(const char *unit, char **ret_path);
