/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* What the files of this room share. */
#include <sys/types.h>

#include "identity/identity.h"

/*
 * dev, ino and ctime of an open file (O_PATH is enough) as the kernel has them. The device is looked up in mountinfo
 * ("/proc/PID/mountinfo"; NULL = /proc/self/mountinfo; that of the caller is tried as well): st_dev is another one where a file
 * system has subvolumes. A file on a mount that neither shows (a detached one) keeps its st_dev.
 */
int zt_fd_identity(int fd, const char *mountinfo, struct zt_exe_seen *ret, uint32_t *ret_nlink);

/* ---- state files of container runtimes (container_state.c): bytes that others wrote ---- */
enum zt_container_file {
	ZT_FILE_DOCKER, /* config.v2.json: {"ID": …, "Name": "/web"} */
	ZT_FILE_PODMAN, /* containers.json: [{"id": …, "names": ["web"]}] */
	ZT_FILE_CRUN,	/* status: {"cgroup-path": "/c1", "pid": …}; the id is the folder's name */
	ZT_FILE_RUNC, /* state.json: {"id": …, "cgroup_paths": {"": "/sys/fs/cgroup/…"}, "config": {"cgroups": {"path": …}}} */
	ZT_FILE_OCI, /* config.json of a containerd task: {"annotations": …, "linux": {"cgroupsPath": …}} */
};
enum { ZT_CONTAINER_FILES = ZT_FILE_OCI + 1 };
struct zt_container_state {
	enum zt_container_file file;
	uint32_t owner; /* uid whose files these are */
	char *id;	/* never NULL */
	char *name;	/* NULL: the file has none */
	char *cgroup;	/* as the file claims it, without slashes around; NULL: it tells none */
};
struct zt_container_states {
	struct zt_container_state *v;
	size_t n, cap;
};
/*
 * Appends what the text tells. folder: the name of the folder it lies in, which is the id where the text has none. Bad JSON, missing members,
 * ids and names that are too long or have control characters, slashes or bad UTF-8, cgroups with "..": skipped, 0. Only -ENOMEM is an error.
 */
int zt_container_state_parse(enum zt_container_file file, uint32_t owner, const char *folder, const char *text,
			     size_t len, struct zt_container_states *l);
/* All state files below root. */
int zt_container_states_read(const char *root, struct zt_container_states *l);
void zt_container_states_done(struct zt_container_states *l);
bool zt_container_name_ok(const char *s); /* 1..255 bytes, text, no control characters */
