/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "event/source.h"

/* A flood must not turn into a walk through /proc for each packet. Where there are many sockets and processes a walk takes long: no more than a tenth
 * of the time goes into them. */
enum { WALKS_PER_SECOND = 20, WALKING_PER_SECOND = ZT_USEC_PER_SEC / 10 };
static struct {
	zt_usec second, spent;
	unsigned walks;
} walked;

static bool may_walk(void)
{
	zt_usec now = zt_now_monotonic() / ZT_USEC_PER_SEC;

	if (now != walked.second) {
		walked.spent -= ZT_MIN(walked.spent, (now - walked.second) * WALKING_PER_SECOND);
		walked.second = now;
		walked.walks = 0;
	}
	return walked.spent < WALKING_PER_SECOND && walked.walks++ < WALKS_PER_SECOND;
}

/* inode of the socket with this local port and uid, from /proc/net/{tcp,udp}{,6}; 0 when it is gone already. */
static unsigned long socket_inode(const struct zt_event *e)
{
	char path[32], line[512];
	unsigned long found = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/net/%s%s", e->proto == 17 ? "udp" : "tcp",
		 e->src.family == 6 ? "6" : "");
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (!found && fgets(line, sizeof(line), f)) {
		unsigned port, uid;
		unsigned long inode;

		if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%4x %*[0-9A-Fa-f]:%*x %*x %*x:%*x %*x:%*x %*x %u %*u %lu", &port,
			   &uid, &inode) == 3 &&
		    port == e->sport && uid == e->uid)
			found = inode;
	}
	(void)fclose(f); /* read only */
	return found;
}

static bool holds_socket(int proc, const char *pid, unsigned long inode)
{
	char path[288], want[64], link[64];
	struct dirent *de;
	bool found = false;
	DIR *dir;
	int fd;

	snprintf(path, sizeof(path), "%s/fd", pid);
	snprintf(want, sizeof(want), "socket:[%lu]", inode);
	fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		zt_closep(&fd);
		return false;
	}
	while (!found && (de = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), de->d_name, link, sizeof(link) - 1);

		if (n > 0) {
			link[n] = 0;
			found = !strcmp(link, want);
		}
	}
	(void)closedir(dir); /* read only */
	return found;
}

static bool read_comm(const char *pid, char ret[static 64])
{
	ZT_CLOSE int fd = -1;
	char path[288];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, ret, 63);
	if (n <= 0)
		return false;
	ret[n - (ret[n - 1] == '\n')] = 0; /* the kernel ends it with one; others in it are the name's own */
	return *ret;
}

struct walk {
	const struct zt_event *e;
	unsigned long inode;
	bool exact, several;
	char comm[64];
};

/* Which process of the uid holds the socket; else the uid's only program. */
static void look_at(struct walk *w, int proc, const char *pid)
{
	char comm[64];
	struct stat st;

	if (fstatat(proc, pid, &st, 0) < 0 || st.st_uid != w->e->uid || !read_comm(pid, comm))
		return;
	if (w->inode && holds_socket(proc, pid, w->inode)) {
		memcpy(w->comm, comm, sizeof(comm));
		w->exact = true;
		return;
	}
	w->several = w->several || (*w->comm && strcmp(w->comm, comm) != 0);
	memcpy(w->comm, comm, sizeof(comm));
}

void zt_event_find_program(struct zt_event *e)
{
	struct walk w = {.e = e};
	zt_usec began = zt_now_monotonic();
	struct dirent *de;
	DIR *dir;

	if (!e->has_uid || *e->program || !may_walk())
		return;
	w.inode = e->has_ports ? socket_inode(e) : 0;
	dir = opendir("/proc");
	if (!dir)
		return;
	while (!w.exact && (de = readdir(dir)))
		if (isdigit((unsigned char)de->d_name[0]))
			look_at(&w, dirfd(dir), de->d_name);
	(void)closedir(dir); /* read only */
	walked.spent += zt_now_monotonic() - began;
	if (w.exact || (!w.several && e->uid != 0))
		memcpy(e->program, w.comm, sizeof(w.comm));
	e->how = *e->program ? ZT_HOW_GUESS : ZT_HOW_UNKNOWN;
}
