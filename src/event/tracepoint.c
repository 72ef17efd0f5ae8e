/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "event/tracepoint.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

/* A mount of its own, at no place: nobody else sees it. */
static int mount_here(void)
{
	ZT_CLOSE int fs = (int)syscall(SYS_fsopen, "tracefs", FSOPEN_CLOEXEC);
	int fd;

	if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	fd = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_id(const char *name)
{
	static const char *const places[] = {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"};
	ZT_FREE char *inside = zt_asprintf("events/%s/id", name);
	int fd = -1, r;

	if (!inside)
		return -ENOMEM;
	for (size_t i = 0; fd < 0 && i < ZT_ARRAY_SIZE(places); i++) {
		ZT_FREE char *path = zt_asprintf("%s/%s", places[i], inside);

		fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	}
	if (fd < 0) {
		ZT_CLOSE int tree = mount_here();

		if (tree < 0)
			return tree;
		fd = openat(tree, inside, O_RDONLY | O_CLOEXEC);
	}
	r = fd < 0 ? -errno : fd;
	return r;
}

int zt_tracepoint_open(const char *name)
{
	struct perf_event_attr a = {.type = PERF_TYPE_TRACEPOINT, .size = sizeof(a)};
	ZT_CLOSE int id = open_id(name);
	char text[32];
	ssize_t n = id < 0 ? 0 : read(id, text, sizeof(text) - 1);
	int fd;

	if (id < 0 || n <= 0)
		return id < 0 ? id : -EIO;
	text[n] = '\0';
	a.config = strtoull(text, NULL, 10);
	fd = (int)syscall(SYS_perf_event_open, &a, -1, 0, -1,
			  PERF_FLAG_FD_CLOEXEC); /* the program hears of all processors */
	return fd < 0 ? -errno : fd;
}
