/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "cli/live.h"
#include "identity/identity.h"

/* Nobody's program lies there, and no worker needs what does. */
#define COPIES "/sys/fs/bpf"

static bool is_same_file(const struct zt_exe *a, const struct zt_exe *b)
{
	return a->id.ino == b->id.ino && a->id.dev == b->id.dev;
}

typedef void each_fn(void *arg, struct zt_exe *e);

static void each(struct zt_exe *v, size_t n, each_fn *f, void *arg)
{
	for (size_t i = 0; i < n; i++)
		f(arg, &v[i]);
}

/* Subjects are the ruleset's own; it hands them out as const. */
static void each_program(const struct zt_ruleset *rs, each_fn *f, void *arg)
{
	for (size_t i = 0; i < rs->n_subjects; i++) {
		struct zt_subject *s = rs->subjects[i];

		each(s->exes, s->n_exes, f, arg);
		each(s->parents, s->n_parents, f, arg);
	}
}

static void add(void *arg, struct zt_exe *e)
{
	struct zt_live_programs *p = arg;
	bool free_place = p->n < ZT_LIVE_PROGRAMS, twice = false;

	for (size_t i = 0; i < p->n; i++) {
		if (!strcmp(p->v[i].path, e->path))
			return;
		if (e->id.ino && is_same_file(p->v[i].exe, e)) /* two paths of one program cannot be told apart */
			p->v[i].usable = !(twice = true);
	}
	if (free_place)
		p->v[p->n++] = (struct zt_live_program){.path = e->path, .exe = e, .usable = e->id.ino && !twice};
}

void zt_live_programs(const struct zt_ruleset *rs, struct zt_live_programs *ret)
{
	struct zt_exe_seen self = {0};
	bool known = zt_exe_lookup(NULL, "/proc/self/exe", false, &self) == 0;

	*ret = (struct zt_live_programs){0};
	each_program(rs, add, ret);
	for (size_t i = 0; known && i < ret->n; i++)
		if (ret->v[i].exe->id.ino == self.ino && ret->v[i].exe->id.dev == self.dev)
			ret->v[i].usable = false; /* it needs none */
}

bool zt_live_program_usable(const struct zt_live_programs *p, const char *path)
{
	for (size_t i = 0; i < p->n; i++)
		if (!strcmp(p->v[i].path, path))
			return p->v[i].usable;
	return false;
}

/* ---- in the engine's process ---- */
static int copy(int self, const char *path)
{
	ZT_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	off_t at = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = sendfile(fd, self, &at, 1 << 20)) > 0)
		;
	return n < 0 || fchmod(fd, 0755) < 0 ? -errno : 0;
}

static int put_over(int self, size_t i, const char *path)
{
	char own[64];
	int r;

	(void)snprintf(own, sizeof(own), COPIES "/%zu", i);
	r = copy(self, own);
	return r ? r : mount(own, path, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

struct change {
	const char *path;
	const struct zt_exe_seen *seen;
};

static void change_id(void *arg, struct zt_exe *e)
{
	const struct change *c = arg;

	if (!strcmp(e->path, c->path))
		e->id = (struct zt_file_id){.dev = c->seen->dev,
					    .ino = c->seen->ino,
					    .ctime_sec = c->seen->ctime_sec,
					    .ctime_nsec = c->seen->ctime_nsec};
}

static int stand_in(const struct zt_live_programs *p, const struct zt_ruleset *rs, int self)
{
	int r = mount("zt-prove", COPIES, "tmpfs", 0, "mode=0755") < 0 ? -errno : 0;

	for (size_t i = 0; !r && i < p->n; i++)
		if (p->v[i].usable)
			r = put_over(self, i, p->v[i].path);
	for (size_t i = 0; !r && i < p->n; i++) {
		struct zt_exe_seen seen = {0};
		struct change c = {p->v[i].path, &seen};

		if (!p->v[i].usable)
			continue;
		r = zt_exe_lookup(NULL, c.path, false, &seen);
		if (!r)
			each_program(rs, change_id, &c);
	}
	return r;
}

int zt_live_stand_in(const struct zt_ruleset *rs, int self, int *ret_mounts)
{
	struct zt_live_programs p;
	ZT_CLOSE int here = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	int r = here < 0 ? -errno : 0;

	*ret_mounts = -1;
	zt_live_programs(rs, &p);
	if (r || !p.n)
		return r;
	if (unshare(CLONE_NEWNS) < 0)
		return -errno;
	r = stand_in(&p, rs, self);
	*ret_mounts = r ? -1 : open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	r = !r && *ret_mounts < 0 ? -errno : r;
	return setns(here, CLONE_NEWNS) < 0 ? -errno : r;
}
