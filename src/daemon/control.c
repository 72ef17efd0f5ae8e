/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket. Who connects is told by the kernel (SO_PEERCRED, SO_PEERGROUPS): root is admin, the group zt-segment reads, everybody else
 * is refused. A client sends one line and gets one line. Each has fixed buffers and a deadline; more clients than there are places are told so
 * and cut off. Four places are root's alone, and no user but root has more than four.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>

#include "apply/control.h"
#include "base/file.h"
#include "base/mem.h"
#include "daemon/daemon.h"
#include "daemon/request.h"
#include "identity/identity.h"

#define GROUP "zt-segment"
#define ASK_TIME (2 * ZT_USEC_PER_SEC)	  /* for the whole line */
#define TAKE_TIME (5 * ZT_USEC_PER_SEC)	  /* for the whole answer */
#define WORK_TIME (180 * ZT_USEC_PER_SEC) /* for a job */
enum { ROOTS_OWN = 4, OF_ONE_USER = 4, GROUPS_MAX = 1024, ANSWER_MAX = 256 << 10 };

struct zt_client {
	struct zt_control *c;
	int fd; /* -1: free */
	uid_t uid;
	pid_t pid;
	enum zt_role role;
	enum zt_job_kind waits; /* for a job of this kind; ZT_JOBS: for none */
	bool started;		/* … which was begun after the question */
	struct zt_ask ask;	/* of ZT_JOB_READ, which is done for each client alone */
	char in[ZT_REQUEST_MAX];
	size_t n_in;
	char *out; /* what is left to send; NULL: nothing */
	size_t n_out, sent;
	struct zt_timer deadline;
};

struct zt_control {
	struct zt_daemon *d;
	int fd;
	char *path;
	struct zt_client *clients;
	size_t n;
	gid_t gid; /* of the group; looked up once: a name service may be slow */
	bool has_group;
	struct zt_gauge gauge, bytes;
	uint64_t refused, answered;
};

static void drop(struct zt_client *k)
{
	zt_loop_remove(k->c->d->loop, k->fd);
	zt_closep(&k->fd);
	zt_timer_stop(&k->deadline);
	k->c->bytes.used -= k->n_out;
	zt_freep(&k->out);
	k->n_out = k->sent = k->n_in = 0;
	k->c->gauge.used--;
}

static void too_slow(void *arg)
{
	struct zt_client *k = arg;

	k->c->gauge.lost++;
	drop(k);
}

/* ---- answers ---- */
static void flush_out(struct zt_client *k)
{
	while (k->sent < k->n_out) {
		ssize_t n = send(k->fd, k->out + k->sent, k->n_out - k->sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN && zt_loop_change(k->c->d->loop, k->fd, EPOLLOUT) == 0)
			return;
		if (n < 0)
			break;
		k->sent += (size_t)n;
	}
	drop(k);
}

/* Takes j. */
static void answer(struct zt_client *k, json_t *j)
{
	char *text = j ? json_dumps(j, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;

	json_decref(j);
	k->waits = ZT_JOBS;
	if (!text || strlen(text) + 1 > ANSWER_MAX) {
		free(text);
		drop(k);
		return;
	}
	k->out = text;
	k->n_out = strlen(text) + 1;
	text[k->n_out - 1] = '\n'; /* in place of the NUL: lengths are known */
	k->c->bytes.used += k->n_out;
	k->c->answered++;
	zt_timer_set(&k->deadline, TAKE_TIME);
	flush_out(k);
}

static json_t *error_json(const char *text)
{
	return json_pack("{s:b, s:s}", "ok", 0, "error", text);
}

/* ---- requests ---- */
static void wait_for_job(struct zt_client *k, enum zt_job_kind kind)
{
	k->waits = kind;
	k->started = false;
	zt_timer_set(&k->deadline, WORK_TIME);
}

static void serve(struct zt_client *k)
{
	struct zt_daemon *d = k->c->d;
	char who[64];

	(void)snprintf(who, sizeof(who), "asked by uid %u, pid %d", k->uid, k->pid);
	switch (k->ask.what) {
	case ZT_REQUEST_PING:
		answer(k, json_pack("{s:b, s:I, s:s}", "ok", 1, "pid", (json_int_t)getpid(), "version", ZT_VERSION));
		break;
	case ZT_REQUEST_STATUS:
		d->loop_gauge.used = zt_loop_used(d->loop);
		answer(k, zt_daemon_status(d));
		break;
	case ZT_REQUEST_KERNEL:
	case ZT_REQUEST_EVENTS:
	case ZT_REQUEST_STATS:
		wait_for_job(k, ZT_JOB_READ);
		zt_daemon_want(d, ZT_JOB_READ, 0, true, "%s", who);
		break;
	case ZT_REQUEST_DRIFT:
		wait_for_job(k, ZT_JOB_CHECK);
		zt_daemon_want(d, ZT_JOB_CHECK, 0, true, "%s", who);
		break;
	case ZT_REQUEST_RELOAD:
		wait_for_job(k, ZT_JOB_RELOAD);
		zt_daemon_reload(d, who);
		break;
	case ZT_REQUESTS:
		break;
	}
}

static void asked(struct zt_client *k, size_t len)
{
	const char *error;

	zt_timer_stop(&k->deadline);
	if (zt_request_parse(k->in, len, &k->ask, &error) < 0)
		answer(k, error_json(error));
	else if (k->role < zt_requests[k->ask.what].role)
		answer(k, error_json("only root may ask for this"));
	else
		serve(k);
}

/* Before its question a client may only send; while it waits, only hang up. */
static void on_client(void *arg, uint32_t events)
{
	struct zt_client *k = arg;
	const char *end;
	ssize_t n;

	if (k->out) {
		if (events & (EPOLLERR | EPOLLHUP))
			drop(k);
		else
			flush_out(k);
		return;
	}
	n = recv(k->fd, k->in + k->n_in, sizeof(k->in) - k->n_in, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || k->waits != ZT_JOBS) {
		drop(k);
		return;
	}
	k->n_in += (size_t)n;
	end = memchr(k->in, '\n', k->n_in);
	if (end)
		asked(k, (size_t)(end - k->in));
	else if (k->n_in == sizeof(k->in))
		answer(k, error_json("the request is too long"));
}

bool zt_control_next(struct zt_daemon *d, struct zt_job *job)
{
	const struct zt_control *c = d->control;

	for (size_t i = 0; c && i < c->n; i++)
		if (c->clients[i].fd >= 0 && c->clients[i].waits == ZT_JOB_READ && !c->clients[i].started) {
			job->ask = c->clients[i].ask;
			job->client = i;
			return true;
		}
	return false;
}

void zt_control_answered(struct zt_daemon *d, const struct zt_job *job, const json_t *a)
{
	struct zt_control *c = d->control;

	for (size_t i = 0; c && i < c->n; i++) {
		struct zt_client *k = &c->clients[i];

		if (k->fd < 0 || k->waits != job->kind)
			continue;
		if (job->kind == ZT_JOB_READ && i != job->client) {
			if (a && !k->started)
				zt_daemon_want(d, ZT_JOB_READ, 0, true, "another client waits");
			continue;
		}
		if (a && k->started) {
			json_t *copy = json_copy((json_t *)(uintptr_t)a); /* what is in it is shared */

			(void)json_object_del(copy, "places");
			answer(k, copy);
		}
		if (!a)
			k->started = true;
	}
}

/* ---- who ---- */
static bool in_group(int fd, gid_t gid, gid_t primary)
{
	gid_t v[GROUPS_MAX];
	socklen_t len = sizeof(v);

	if (primary == gid)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, v, &len) < 0)
		return false;
	for (size_t i = 0; i < len / sizeof(*v); i++)
		if (v[i] == gid)
			return true;
	return false;
}

static enum zt_role role_of(const struct zt_control *c, int fd, const struct ucred *u)
{
	if (u->uid == 0)
		return ZT_ROLE_ADMIN;
	return c->has_group && in_group(fd, c->gid, u->gid) ? ZT_ROLE_READER : ZT_ROLE_NONE;
}

/* ---- connections ---- */
static struct zt_client *place_for(struct zt_control *c, const struct ucred *u)
{
	struct zt_client *first = NULL;
	size_t n_free = 0, of_user = 0;

	for (size_t i = 0; i < c->n; i++) {
		if (c->clients[i].fd < 0 && n_free++ == 0)
			first = &c->clients[i];
		of_user += c->clients[i].fd >= 0 && c->clients[i].uid == u->uid;
	}
	if (u->uid != 0 && (n_free <= ROOTS_OWN || of_user >= OF_ONE_USER))
		return NULL;
	return first;
}

/* Told without waiting; who does not read it learns by being cut off. */
static void turn_away(struct zt_control *c, int fd, const char *why)
{
	char text[128];
	int n = snprintf(text, sizeof(text), "{\"ok\":false,\"error\":\"%s\"}\n", why);

	c->refused++;
	(void)send(fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)close(fd);
}

static void admit(struct zt_control *c, int fd)
{
	struct ucred u = {0};
	socklen_t len = sizeof(u);
	struct zt_client *k;
	enum zt_role role;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &u, &len) < 0 || (role = role_of(c, fd, &u)) == ZT_ROLE_NONE) {
		turn_away(c, fd, "only root and the group " GROUP " may ask");
		return;
	}
	k = place_for(c, &u);
	if (!k) {
		c->gauge.lost++;
		turn_away(c, fd, "too many clients");
		return;
	}
	k->fd = fd;
	k->uid = u.uid;
	k->pid = u.pid;
	k->role = role;
	k->waits = ZT_JOBS;
	if (zt_loop_add(c->d->loop, fd, EPOLLIN, on_client, k) < 0) {
		k->fd = -1;
		turn_away(c, fd, "too many clients");
		return;
	}
	c->gauge.used++;
	zt_timer_set(&k->deadline, ASK_TIME);
}

static void on_connect(void *arg, uint32_t events)
{
	struct zt_control *c = arg;

	(void)events;
	for (int i = 0; i < 32; i++) { /* the loop has other work too */
		int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		admit(c, fd);
	}
}

/* ---- opening ---- */
/* Nobody may connect before owner and mode are right: it is made under another name. */
static int listen_at(struct zt_control *c)
{
	ZT_FREE char *tmp = zt_asprintf("%s.new", c->path);
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	if (!tmp)
		return -ENOMEM;
	if (strlen(tmp) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	memcpy(a.sun_path, tmp, strlen(tmp) + 1);
	(void)unlink(tmp); /* of one that was killed */
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0 || bind(c->fd, (const struct sockaddr *)&a, sizeof(a)) < 0 || chmod(tmp, 0600) < 0)
		return -errno;
	c->has_group = zt_group_lookup(GROUP, &c->gid) == 0;
	if (c->has_group && (chown(tmp, (uid_t)-1, c->gid) < 0 || chmod(tmp, 0660) < 0))
		return -errno;
	return listen(c->fd, 256) < 0 || rename(tmp, c->path) < 0 ? -errno : 0;
}

int zt_control_open(struct zt_daemon *d)
{
	struct zt_control *c = zt_new(struct zt_control, 1);
	int r;

	if (!c)
		return -ENOMEM;
	d->control = c;
	*c = (struct zt_control){.d = d, .fd = -1, .n = d->config.clients};
	c->gauge = (struct zt_gauge){.name = "clients", .max = c->n};
	c->bytes = (struct zt_gauge){.name = "answers", .unit = "bytes", .max = c->n * ANSWER_MAX};
	c->path = zt_asprintf("%s/control", d->run_dir);
	c->clients = zt_new(struct zt_client, c->n);
	if (!c->path || !c->clients)
		return -ENOMEM;
	for (size_t i = 0; i < c->n; i++) {
		c->clients[i].c = c;
		c->clients[i].fd = -1;
		zt_timer_init(&c->clients[i].deadline, d->loop, too_slow, &c->clients[i]);
	}
	zt_daemon_gauge(d, &c->gauge);
	zt_daemon_gauge(d, &c->bytes);
	r = listen_at(c);
	return r ?: zt_loop_add(d->loop, c->fd, EPOLLIN, on_connect, c);
}

void zt_control_close(struct zt_daemon *d)
{
	struct zt_control *c = d->control;

	if (!c)
		return;
	for (size_t i = 0; c->clients && i < c->n; i++)
		if (c->clients[i].fd >= 0)
			drop(&c->clients[i]);
	zt_loop_remove(d->loop, c->fd);
	zt_closep(&c->fd);
	if (c->path)
		(void)unlink(c->path); /* or the next one does */
	free(c->path);
	free(c->clients);
	free(c);
	d->control = NULL;
	d->gauges = NULL;
}
