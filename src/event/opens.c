/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "event/opens.h"

enum { FILES_MAX = 1024, HELD = 64, TRIES = 4 }; /* files of each pattern: users name theirs as they like */
#define LOOK_AGAIN (60 * ZT_USEC_PER_SEC)	 /* what could not be watched */

const char *const zt_opens_default[] = {"/etc/shadow",
					"/etc/shadow-",
					"/etc/gshadow",
					"/etc/gshadow-",
					"/etc/sudoers",
					"/etc/sudoers.d/*",
					"/etc/ssh/ssh_host_*_key",
					"/root/.ssh/id_*",
					"/home/*/.ssh/id_*",
					"/etc/ssl/private/*",
					"/etc/zt-segment/*",
					NULL};

struct opened {
	struct zt_activity activity;
	uint64_t ino;
	uint32_t pid;
	unsigned tries;
	bool known; /* its program is */
};

struct zt_opens {
	int fd, folders, both; /* fanotify, inotify, an epoll of them */
	const char *const *paths;
	struct zt_procs *procs;
	struct zt_trace *trace; /* NULL */
	zt_usec looked;
	bool blind;	     /* a folder cannot be watched */
	size_t marked, left; /* files that were there at the last look: are watched, are not */
	uint64_t lost;
	struct opened *held; /* HELD */
	size_t n_held;
};

/* Always anew, which changes nothing for a file that is marked: a mark ends with its file, and the next file may get the same number. 1: it is; 0: there is none. */
static int mark(const struct zt_opens *o, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	if (fanotify_mark(o->fd, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, path) == 0)
		return 1;
	return errno == ENOENT ? 0 : -errno;
}

/* Public keys are no secret. */
bool zt_opens_is_public(const char *path)
{
	size_t n = strlen(path);

	return n > 4 && !strcmp(path + n - 4, ".pub");
}

static void watch(struct zt_opens *o, const char *folder)
{
	if (inotify_add_watch(o->folders, folder, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR) < 0 && errno != ENOENT &&
	    errno != ENOTDIR)
		o->blind = true; /* it is looked at every minute */
}

/* Folders that match, of which all are watched, or those alone that have no `part`. */
static void watch_matching(struct zt_opens *o, const char *pattern, const char *part)
{
	glob_t g = {0};

	if (glob(*pattern ? pattern : "/", GLOB_NOSORT, NULL, &g) == 0)
		for (size_t k = 0; k < g.gl_pathc; k++) {
			ZT_FREE char *next = part ? zt_asprintf("%s/%s", g.gl_pathv[k], part) : NULL;

			if (!part || !next || !zt_path_exists(next))
				watch(o, g.gl_pathv[k]);
		}
	globfree(&g);
}

/* The folders a file of the pattern may appear in, and those in which such a folder may. */
static void watch_folders(struct zt_opens *o, const char *pattern)
{
	ZT_FREE char *folder = zt_strdup(pattern);
	char *slash = folder ? strrchr(folder, '/') : NULL;

	if (!slash || slash == folder)
		return;
	*slash = '\0';
	watch_matching(o, folder, NULL);
	while ((slash = strrchr(folder, '/'))) {
		*slash = '\0';
		watch_matching(o, folder, strpbrk(slash + 1, "*?[") ? NULL : slash + 1);
	}
}

/* One that cannot be marked does not keep the others from it. */
static int mark_pattern(struct zt_opens *o, const char *pattern)
{
	glob_t g = {0};
	size_t n = 0;
	int first = 0;

	if (glob(pattern, GLOB_NOSORT, NULL, &g) == 0)
		for (size_t k = 0; k < g.gl_pathc; k++) {
			int r = 0;

			if (!zt_opens_is_public(g.gl_pathv[k]))
				r = n++ < FILES_MAX ? mark(o, g.gl_pathv[k]) : -E2BIG;
			o->left += r < 0;
			o->marked += r > 0;
			first = first ? first : ZT_MIN(r, 0);
		}
	globfree(&g);
	return first;
}

static int mark_all(struct zt_opens *o)
{
	int first = 0;

	o->marked = o->left = 0;
	o->blind = false;
	for (size_t i = 0; o->paths[i]; i++)
		watch_folders(o, o->paths[i]);
	for (size_t i = 0; o->paths[i]; i++) {
		int r = mark_pattern(o, o->paths[i]);

		first = first && first != -E2BIG ? first : r;
	}
	o->looked = zt_now_monotonic();
	return first;
}

void zt_opens_close(struct zt_opens *o)
{
	if (!o)
		return;
	zt_closep(&o->fd);
	zt_closep(&o->folders);
	zt_closep(&o->both);
	free(o->held);
	free(o);
}

static int open_all(struct zt_opens *o)
{
	struct epoll_event e = {.events = EPOLLIN};
	int r;

	o->fd = fanotify_init(FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY | O_CLOEXEC);
	if (o->fd < 0)
		return -errno;
	o->folders = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	o->both = epoll_create1(EPOLL_CLOEXEC);
	if (o->folders < 0 || o->both < 0 || epoll_ctl(o->both, EPOLL_CTL_ADD, o->fd, &e) < 0 ||
	    epoll_ctl(o->both, EPOLL_CTL_ADD, o->folders, &e) < 0)
		return -errno;
	r = mark_all(o);
	return r == -E2BIG ? 0 : r; /* zt_opens_lack() says so */
}

int zt_opens_open(const char *const *paths, struct zt_procs *procs, struct zt_trace *trace, struct zt_opens **ret,
		  struct zt_diags *d)
{
	struct zt_opens *o = zt_new(struct zt_opens, 1);
	int r;

	if (!o)
		return -ENOMEM;
	o->paths = paths ? paths : zt_opens_default;
	o->procs = procs;
	o->trace = trace;
	o->fd = o->folders = o->both = -1;
	o->held = zt_new(struct opened, HELD);
	r = o->held ? open_all(o) : -ENOMEM;
	if (r < 0) {
		zt_opens_close(o);
		return zt_diag_errno(d, 4508, r, "cannot watch sensitive files");
	}
	*ret = o;
	return 0;
}

void zt_opens_set_files(struct zt_opens *o, const char *const *paths)
{
	(void)fanotify_mark(o->fd, FAN_MARK_FLUSH, 0, AT_FDCWD, NULL); /* cannot fail: what is left is told as before */
	o->paths = paths ? paths : zt_opens_default;
	(void)mark_all(o); /* as in zt_opens_take() */
}

int zt_opens_fd(const struct zt_opens *o)
{
	return o->both;
}

bool zt_opens_looks(const struct zt_opens *o)
{
	return o->blind || o->left;
}

struct zt_limit zt_opens_limit(const struct zt_opens *o)
{
	struct zt_limit l = {.name = "sensitive files", .used = o->marked, .evicted = o->left};

	for (size_t i = 0; o->paths[i]; i++)
		l.max += FILES_MAX;
	return l;
}

uint64_t zt_opens_lost(const struct zt_opens *o)
{
	return o->lost;
}

const char *zt_opens_lack(const struct zt_opens *o)
{
	return o->left ? "not of all files: some cannot be watched, or a pattern has more than 1,024" : NULL;
}

static void take(struct zt_opens *o, const struct fanotify_event_metadata *m)
{
	struct opened *e = &o->held[o->n_held];
	char link[64], path[1024];
	struct stat st;
	ssize_t n;

	if (m->pid == getpid()) /* program files are read here, too */
		return;
	zt_activity_init(&e->activity, ZT_ACTIVITY_OPEN, zt_now());
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", m->fd);
	n = readlink(link, path, sizeof(path));
	if (n > 0)
		zt_activity_text(&e->activity, path, path, (size_t)n);
	e->pid = (uint32_t)m->pid;
	e->ino = fstat(m->fd, &st) == 0 ? st.st_ino : 0;
	e->known = zt_procs_fill_pid(o->procs, e->pid, &e->activity) == 0 &&
		   zt_activity_has(&e->activity, ZT_FIELD_exe);
	e->tries = 0;
	o->n_held++;
}

void zt_opens_take(struct zt_opens *o)
{
	char buf[8192] __attribute__((aligned(8)));
	bool changed = zt_opens_looks(o) && zt_now_monotonic() - o->looked > LOOK_AGAIN;
	struct fanotify_event_metadata m;
	ssize_t n;

	while (read(o->folders, buf, sizeof(buf)) > 0)
		changed = true;
	if (changed)
		(void)mark_all(o); /* what cannot be marked now is tried again; zt_opens_lack() says so */
	while (o->n_held < HELD && (n = read(o->fd, &m, sizeof(m))) != 0) {
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) { /* the file could not be opened for us: that event is gone */
			o->lost++;
			continue;
		}
		if (m.mask & FAN_Q_OVERFLOW)
			o->lost++;
		if (m.fd < 0)
			continue;
		take(o, &m);
		(void)close(m.fd); /* only read */
	}
}

/* The call ends after the file was opened: a little later, what became of it is known. */
static bool has_descriptor(struct zt_opens *o, struct opened *e)
{
	uint32_t fd;

	if (!o->trace || !zt_trace_has_descriptors(o->trace) || zt_activity_has(&e->activity, ZT_FIELD_fd))
		return true;
	if (zt_trace_descriptor(o->trace, e->pid, e->ino, &fd) < 0)
		return false;
	zt_activity_set(&e->activity, fd, fd);
	return true;
}

/* What the kernel says of the end of a process may come a little later than that it has ended. */
static bool identify(struct zt_opens *o, struct opened *e)
{
	bool complete = has_descriptor(o, e);

	if (e->known || zt_procs_fill_last(o->procs, e->pid, &e->activity) == 0)
		e->known = zt_activity_has(&e->activity, ZT_FIELD_exe);
	complete = complete && e->known;
	if (complete || e->tries++ == TRIES)
		zt_activity_set(&e->activity, pid, e->pid);
	return complete || e->tries > TRIES;
}

int zt_opens_tell(struct zt_opens *o, zt_trace_got *got, void *arg)
{
	size_t kept = 0;
	int told = 0, r = 0;

	for (size_t i = 0; i < o->n_held; i++) {
		if (r || !identify(o, &o->held[i])) {
			if (kept != i)
				o->held[kept] = o->held[i];
			kept++;
			continue;
		}
		r = got(arg, &o->held[i].activity);
		told++;
	}
	o->n_held = kept;
	return r ? r : told;
}

bool zt_opens_wait(const struct zt_opens *o)
{
	return o->n_held;
}
