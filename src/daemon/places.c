/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files and folders where a change matters (inotify): the policy and what it includes, accounts, programs, control groups, containers, our own state
 * folder, pinned programs. For a path every folder above it is watched for its next part, so that a folder that is made anew,
 * or a file that editors replace by renaming, goes on being watched.
 */
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <syslog.h>

#include "base/mem.h"
#include "daemon/daemon.h"
#include "identity/identity.h"

enum { INTERESTS_MAX = 4 * ZT_PLACES_MAX, CONTAINERS_MAX = 1024, KEPT = 2 };
enum kind { POLICY, ACCOUNTS, PROGRAM, CGROUP, CONTAINER, STATE, PINS };

#define WATCHED                                                                                              \
	(IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE_SELF | \
	 IN_MOVE_SELF)
#define COMES_OR_GOES (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF)

struct interest {
	int wd;
	uint8_t kind;
	bool last;  /* the thing itself, not a folder above it */
	char *name; /* NULL: anything in there */
};

struct zt_places {
	int fd;
	struct interest *v;
	size_t n, cap;
	char *cgroups; /* where cgroup2 is mounted; NULL */
	struct zt_gauge gauge;
	bool cut;
};

/* ---- the table ---- */
static int add(struct zt_places *p, const char *folder, enum kind kind, const char *name, bool last)
{
	int wd = inotify_add_watch(p->fd, *folder ? folder : "/", WATCHED | IN_MASK_ADD | IN_ONLYDIR);
	struct interest *i;

	if (wd < 0)
		return -errno;
	for (size_t k = 0; k < p->n; k++) {
		i = &p->v[k];
		if (i->wd == wd && i->kind == kind && zt_str_eq(i->name, name)) {
			i->last = i->last || last;
			return 0;
		}
	}
	if (p->n == INTERESTS_MAX)
		return -ENOSPC;
	if (zt_grow(p->v, p->cap, p->n) < 0)
		return -ENOMEM;
	i = &p->v[p->n];
	*i = (struct interest){.wd = wd, .kind = (uint8_t)kind, .last = last, .name = name ? zt_strdup(name) : NULL};
	if (name && !i->name)
		return -ENOMEM;
	p->n++;
	return 0;
}

/* Every folder of path from byte `from` on is watched for what comes next in it; of a pattern the folder before its first wildcard for anything. */
static void chain(struct zt_places *p, enum kind kind, const char *path, size_t from)
{
	ZT_FREE char *s = zt_strdup(path);
	char *at = s ? s + from : NULL;

	while (at && *at) {
		char *end = strchr(at, '/'), *slash = at > s ? at - 1 : at;
		bool pattern, last = !end || !end[1];
		int r;

		if (end)
			*end = '\0';
		pattern = strpbrk(at, "*?[");
		if (at > s)
			*slash = '\0';
		r = add(p, s, kind, pattern ? NULL : at, last || pattern);
		if (at > s)
			*slash = '/';
		if (end)
			*end = '/';
		p->cut = p->cut || r == -ENOSPC || r == -ENOMEM;
		if (r < 0 || pattern || last)
			return;
		at = end + 1;
	}
}

static void watch(struct zt_places *p, enum kind kind, const char *path)
{
	char real[PATH_MAX];

	if (path[0] != '/') {
		if (!realpath(".", real) || strlen(real) + strlen(path) + 2 > sizeof(real))
			return;
		(void)snprintf(real + strlen(real), sizeof(real) - strlen(real), "/%s", path); /* checked above */
		chain(p, kind, real, 1);
		return;
	}
	chain(p, kind, path, 1);
	if (realpath(path, real) && strcmp(real, path) != 0)
		chain(p, kind, real, 1);
}

static void watch_cgroup(struct zt_places *p, const char *path)
{
	ZT_FREE char *full = p->cgroups ? zt_asprintf("%s/%s", p->cgroups, path) : NULL;

	if (full)
		chain(p, CGROUP, full, strlen(p->cgroups) + 1);
}

/* ---- what is watched ---- */
/* INSTANCE or INSTANCE@COOKIE, and what is pinned in there. */
static void pins(struct zt_daemon *d)
{
	ZT_FREE char *pattern = zt_asprintf("/sys/fs/bpf/zt-segment/%s*", d->ctx.instance);
	glob_t g = {0};

	watch(d->places, PINS, "/sys/fs/bpf/zt-segment/*");
	if (!pattern || glob(pattern, GLOB_NOSORT, NULL, &g) != 0)
		return;
	for (size_t i = 0; i < g.gl_pathc; i++) {
		ZT_FREE char *all = zt_asprintf("%s/*", g.gl_pathv[i]);

		if (all)
			watch(d->places, PINS, all);
	}
	globfree(&g);
}

static void always(struct zt_daemon *d)
{
	static const char *const accounts[] = {
		"/etc/passwd",	  "/etc/group",		  "/etc/nsswitch.conf",	     "/etc/hosts",
		"/etc/localtime", "/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/*"};
	ZT_FREE char *current = zt_asprintf("%s/current", d->ctx.state_dir),
		     *pending = zt_asprintf("%s/pending", d->ctx.state_dir),
		     *audit = zt_asprintf("%s/audit.head", d->ctx.state_dir); /* the last of an action by hand */

	for (size_t i = 0; i < ZT_ARRAY_SIZE(accounts); i++)
		watch(d->places, ACCOUNTS, accounts[i]);
	if (current && pending && audit) {
		watch(d->places, STATE, audit);
		watch(d->places, STATE, current);
		watch(d->places, STATE, pending);
	}
	if (!strcmp(d->engine, "bpf") || !strcmp(d->engine, "nft")) /* of its labels */
		pins(d);
}

/* A runtime makes the folder of a container first and fills it later: what comes into it is waited for as well. */
static void inside(struct zt_places *p, const char *pattern)
{
	glob_t g = {0};

	if (glob(pattern, GLOB_NOSORT | GLOB_ONLYDIR, NULL, &g) != 0)
		return;
	p->cut = p->cut || g.gl_pathc > CONTAINERS_MAX;
	for (size_t i = 0; i < g.gl_pathc && i < CONTAINERS_MAX; i++)
		p->cut = add(p, g.gl_pathv[i], CONTAINER, NULL, true) == -ENOSPC || p->cut;
	globfree(&g);
}

static void containers(struct zt_places *p)
{
	static const char *const folders[] = {"/var/lib/docker/containers/*",
					      "/run/containers/storage/*",
					      "/var/lib/containers/storage/overlay-containers/*",
					      "/run/crun/*",
					      "/run/runc/*",
					      "/run/containerd/io.containerd.runtime.v2.task/k8s.io/*"};

	for (size_t i = 0; i < ZT_ARRAY_SIZE(folders); i++) {
		watch(p, CONTAINER, folders[i]);
		inside(p, folders[i]);
	}
}

static bool among(const struct interest *v, size_t n, int wd)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].wd == wd)
			return true;
	return false;
}

/* Folders of containers that were not watched before can have been filled before they were. */
static bool new_containers(const struct zt_places *p, const struct interest *old, size_t n_old)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->v[i].kind == CONTAINER && !among(old, n_old, p->v[i].wd))
			return n_old > 0;
	return false;
}

static void forget(struct interest *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(v[i].name);
	free(v);
}

void zt_places_set(struct zt_daemon *d, const json_t *answer)
{
	struct zt_places *p = d->places;
	json_t *places = json_object_get(answer, "places"), *v;
	struct interest *old = p->v;
	size_t n_old = p->n;
	const char *path;

	p->v = NULL;
	p->n = p->cap = 0;
	p->cut = json_is_true(json_object_get(answer, "places_cut"));
	always(d);
	json_object_foreach (json_object_get(places, "policy"), path, v)
		watch(p, POLICY, path);
	json_object_foreach (json_object_get(places, "exe"), path, v)
		watch(p, PROGRAM, path);
	json_object_foreach (json_object_get(places, "cgroup"), path, v)
		watch_cgroup(p, path);
	if (json_is_true(json_object_get(answer, "containers")))
		containers(p);
	for (size_t i = 0; i < n_old; i++)
		if (!among(p->v, p->n, old[i].wd))
			(void)inotify_rm_watch(p->fd, old[i].wd); /* gone with its folder, or removed a line before */
	if (new_containers(p, old, n_old))
		zt_daemon_want(d, ZT_JOB_REFRESH, 100000, false, "refresh: a container's folder is new");
	forget(old, n_old);
	p->gauge.used = p->n;
	p->gauge.lost += p->cut;
}

/* ---- what happens ---- */
static void react(struct zt_daemon *d, enum kind kind, const char *name)
{
	switch (kind) {
	case POLICY:
		if (d->config.follow_policy)
			zt_daemon_want(d, ZT_JOB_RELOAD, 100000, false, "reload: %s changed", name);
		break;
	case ACCOUNTS:
	case PROGRAM:
	case CONTAINER:
		zt_daemon_want(d, ZT_JOB_REFRESH, 100000, false, "refresh: %s changed", name);
		break;
	case CGROUP:
		zt_daemon_want(d, ZT_JOB_REFRESH, 10000, false, "refresh: control group %s came or went", name);
		break;
	case STATE:
		zt_daemon_want(d, ZT_JOB_LOOK, 50000, false, "the state folder changed");
		break;
	case PINS:
		zt_daemon_want(d, ZT_JOB_CHECK, 20000, false, "pinned programs changed");
		break;
	}
}

static void on_event(struct zt_daemon *d, const struct inotify_event *e)
{
	const struct zt_places *p = d->places;
	const char *name = e->len ? e->name : NULL;

	for (size_t i = 0; i < p->n; i++) {
		const struct interest *x = &p->v[i];

		if (x->wd != e->wd || (name && x->name && strcmp(x->name, name) != 0))
			continue;
		if (!(e->mask & (x->last && name && x->kind != STATE ? WATCHED : COMES_OR_GOES)) ||
		    e->mask & IN_IGNORED)
			continue;
		react(d, (enum kind)x->kind, name ? name : x->name ? x->name : "a folder");
		if (!x->last) /* what is below it is to be watched anew */
			zt_daemon_want(d, ZT_JOB_LOOK, 20000, false, "a folder was made anew");
	}
}

static void overflow(struct zt_daemon *d)
{
	d->places->gauge.lost++;
	for (int k = POLICY; k <= PINS; k++)
		react(d, (enum kind)k, "something");
}

static void on_inotify(void *arg, uint32_t events)
{
	struct zt_daemon *d = arg;
	char buf[16384] __attribute__((aligned(8)));
	ssize_t n;

	(void)events;
	while ((n = read(d->places->fd, buf, sizeof(buf))) > 0)
		for (const char *at = buf; at < buf + n;) {
			const struct inotify_event *e = (const struct inotify_event *)(const void *)at;

			if (e->mask & IN_Q_OVERFLOW)
				overflow(d);
			else
				on_event(d, e);
			at += sizeof(*e) + e->len;
		}
}

int zt_places_open(struct zt_daemon *d)
{
	struct zt_places *p = zt_new(struct zt_places, 1);

	if (!p)
		return -ENOMEM;
	d->places = p;
	p->gauge = (struct zt_gauge){.name = "watched names", .max = INTERESTS_MAX};
	zt_daemon_gauge(d, &p->gauge);
	(void)zt_cgroup_mount(&p->cgroups); /* a host without: nothing to watch there */
	p->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (p->fd < 0)
		return -errno;
	return zt_loop_add(d->loop, p->fd, EPOLLIN, on_inotify, d);
}

void zt_places_close(struct zt_daemon *d)
{
	struct zt_places *p = d->places;

	if (!p)
		return;
	zt_loop_remove(d->loop, p->fd);
	zt_closep(&p->fd);
	forget(p->v, p->n);
	free(p->cgroups);
	free(p);
	d->places = NULL;
}
