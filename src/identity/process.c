/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "identity/internal.h"

#define STATUS_MAX ((size_t)2 << 20) /* 65,536 groups of 11 characters and the rest */
#define DELETED " (deleted)"

/* dir is the process's folder in /proc: a later process of the same number is not found through it. */
static int read_at(int dir, const char *name, char **ret)
{
	ZT_CLOSE int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	size_t len;

	return fd < 0 ? -errno : zt_fd_read_all(fd, STATUS_MAX, ret, &len);
}

static int gone(int r)
{
	return r == -ENOENT || r == -ESRCH ? -ESRCH : r;
}

/* "PID (comm) S ppid …": comm may hold blanks and parentheses. */
static int parse_stat(const char *text, struct zt_process *p)
{
	const char *open = strchr(text, '('), *close = strrchr(text, ')');
	unsigned long long start;
	size_t n;

	if (!open || !close || close < open ||
	    sscanf(close + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
		   &p->ppid, &start) != 2)
		return -EIO;
	p->start_time = start;
	n = ZT_MIN((size_t)(close - open - 1), sizeof(p->comm) - 1);
	memcpy(p->comm, open + 1, n);
	p->comm[n] = '\0';
	return 0;
}

static int parse_groups(const char *line, struct zt_process *p)
{
	size_t cap = 0;
	char *end;

	line += strcspn(line, "0123456789\n");
	while (*line && *line != '\n') {
		uint32_t gid = (uint32_t)strtoul(line, &end, 10);

		if (end == line)
			return -EIO;
		if (zt_grow(p->groups, cap, p->n_groups) < 0)
			return -ENOMEM;
		p->groups[p->n_groups++] = gid;
		line = end + strspn(end, " \t");
	}
	return 0;
}

static int parse_status(const char *text, struct zt_process *p)
{
	const char *uid = strstr(text, "\nUid:"), *gid = strstr(text, "\nGid:"), *groups = strstr(text, "\nGroups:");

	if (!uid || !gid || !groups || sscanf(uid, " Uid: %u %*u %*u %u", &p->real_uid, &p->uid) != 2 ||
	    sscanf(gid, " Gid: %*u %*u %*u %u", &p->gid) != 1)
		return -EIO;
	return parse_groups(groups + strlen("\nGroups:"), p);
}

/* The line of hierarchy 0; a hybrid host has others. */
static int parse_cgroup(const char *text, struct zt_process *p)
{
	const char *line = !strncmp(text, "0::", 3) ? text : strstr(text, "\n0::");
	size_t n;

	if (!line) {
		p->cgroup = zt_strdup("");
		return p->cgroup ? 0 : -ENOMEM;
	}
	line += strspn(line, "\n") + 3;
	line += strspn(line, "/");
	n = strcspn(line, "\n");
	if (n >= strlen(DELETED) && !strncmp(line + n - strlen(DELETED), DELETED, strlen(DELETED)))
		n -= strlen(DELETED);
	p->cgroup = zt_strndup(line, n);
	return p->cgroup ? 0 : -ENOMEM;
}

static int set_exe_path(struct zt_process *p, const char *link)
{
	size_t n = strlen(link), d = strlen(DELETED);
	struct stat st;

	/* A living file may be called so. */
	if (n > d && !strcmp(link + n - d, DELETED) && (p->exe_deleted || stat(link, &st) < 0))
		n -= d;
	p->exe = zt_strndup(link, n);
	return p->exe ? 0 : -ENOMEM;
}

/* Nothing to read is no error: kernel threads and zombies have no program, and those of others are not shown to everybody. */
static int read_exe(int dir, struct zt_process *p)
{
	struct zt_exe_seen seen = {0};
	char link[PATH_MAX + 16], mountinfo[64];
	ssize_t n = readlinkat(dir, "exe", link, sizeof(link) - 1);
	ZT_CLOSE int fd = n < 0 ? -1 : openat(dir, "exe", O_PATH | O_CLOEXEC);
	uint32_t nlink;

	if (fd < 0)
		return 0;
	link[n] = '\0';
	(void)snprintf(mountinfo, sizeof(mountinfo), "/proc/%d/mountinfo", p->pid);
	if (zt_fd_identity(fd, mountinfo, &seen, &nlink) < 0)
		return 0;
	p->exe_dev = seen.dev;
	p->exe_ino = seen.ino;
	p->exe_ctime_sec = seen.ctime_sec;
	p->exe_ctime_nsec = seen.ctime_nsec;
	p->exe_deleted = nlink == 0;
	return set_exe_path(p, link);
}

static int read_text(int dir, const char *name, int (*parse)(const char *text, struct zt_process *p),
		     struct zt_process *p)
{
	ZT_FREE char *text = NULL;
	int r = read_at(dir, name, &text);

	return r < 0 ? r : parse(text, p);
}

int zt_process_read(int pid, struct zt_process *ret)
{
	struct zt_process p = {.pid = pid};
	ZT_CLOSE int dir = -1;
	char path[32];
	int r;

	if (pid <= 0)
		return -ESRCH;
	(void)snprintf(path, sizeof(path), "/proc/%d", pid);
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return gone(-errno);
	r = read_text(dir, "stat", parse_stat, &p);
	if (!r)
		r = read_text(dir, "status", parse_status, &p);
	if (!r)
		r = read_text(dir, "cgroup", parse_cgroup, &p);
	if (!r)
		r = read_exe(dir, &p);
	if (!r && faccessat(dir, "stat", F_OK, 0) < 0) /* it ended meanwhile: exe may be missing for that */
		r = -ESRCH;
	if (r < 0) {
		zt_process_done(&p);
		return gone(r);
	}
	*ret = p;
	return 0;
}

void zt_process_done(struct zt_process *p)
{
	free(p->groups);
	free(p->exe);
	free(p->cgroup);
	*p = (struct zt_process){0};
}
