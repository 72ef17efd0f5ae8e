/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/proc.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "base/time.h"

#define OUTPUT_MAX ((size_t)256 << 20)
#define FIXED_PATH "/usr/sbin:/usr/bin:/sbin:/bin"

void zt_run_done(struct zt_run *r)
{
	free(r->out);
	free(r->err);
	r->out = r->err = NULL;
}

static int find_program(const char *name, char buf[static 256])
{
	static const char *const dirs[] = {"/usr/sbin", "/usr/bin", "/sbin", "/bin"};

	if (strchr(name, '/')) {
		(void)snprintf(buf, 256, "%s", name);
		return access(buf, X_OK) == 0 ? 0 : -ENOENT;
	}
	for (size_t i = 0; i < ZT_ARRAY_SIZE(dirs); i++) {
		(void)snprintf(buf, 256, "%s/%s", dirs[i], name);
		if (access(buf, X_OK) == 0)
			return 0;
	}
	return -ENOENT;
}

#define CHILD_SETUP_FAILED 126

static void child(const struct zt_run *r, const char *program, const int in, const int out, const int err)
{
	char *env[16] = {(char *)(uintptr_t) "PATH=" FIXED_PATH, (char *)(uintptr_t) "LC_ALL=C"};
	size_t n = 2;

	for (size_t i = 0; r->extra_env && r->extra_env[i] && n + 1 < ZT_ARRAY_SIZE(env); i++)
		env[n++] = (char *)(uintptr_t)r->extra_env[i];
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* without it an orphan only ends later */
	if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0 ||
	    close_range(3, ~0U, 0) < 0 || (r->new_netns && unshare(CLONE_NEWNET) < 0))
		_exit(CHILD_SETUP_FAILED);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)execve(program, (char *const *)(uintptr_t)r->argv, env);
	_exit(127);
}

struct pipes {
	int in[2], out[2], err[2];
};

static void close_pipes(struct pipes *p)
{
	int *all[] = {p->in, p->out, p->err};

	for (size_t i = 0; i < ZT_ARRAY_SIZE(all); i++) {
		zt_closep(&all[i][0]);
		zt_closep(&all[i][1]);
	}
}

/* Drains one output into b; closes at its end. */
static int drain(int *fd, struct zt_strbuf *b, size_t max)
{
	char chunk[65536];
	ssize_t n = read(*fd, chunk, sizeof(chunk));

	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	if (!n) {
		zt_closep(fd);
		return 0;
	}
	if (b->len + (size_t)n > max)
		return -EFBIG;
	zt_strbuf_add(b, chunk, (size_t)n);
	return zt_strbuf_error(b);
}

static int feed(int *fd, const struct zt_run *r, size_t *sent)
{
	ssize_t n = write(*fd, (const char *)r->input + *sent, r->input_len - *sent);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		*sent = r->input_len; /* the child does not want the rest */
	if (n > 0)
		*sent += (size_t)n;
	if (*sent == r->input_len)
		zt_closep(fd);
	return 0;
}

static int wait_msec(zt_usec deadline)
{
	zt_usec now = zt_now_monotonic();

	if (!deadline)
		return -1;
	return deadline <= now ? 0 : (int)ZT_MIN((deadline - now) / 1000 + 1, (zt_usec)60000);
}

static int converse(struct zt_run *r, struct pipes *p, zt_usec deadline, struct zt_strbuf *out, struct zt_strbuf *err)
{
	size_t max = r->max_output ? r->max_output : OUTPUT_MAX, sent = 0;
	int e = 0;

	if (!r->input_len)
		zt_closep(&p->in[1]);
	while (!e && (p->out[0] >= 0 || p->err[0] >= 0)) {
		struct pollfd fds[3] = {{p->out[0], POLLIN, 0}, {p->err[0], POLLIN, 0}, {p->in[1], POLLOUT, 0}};
		int n = poll(fds, 3, wait_msec(deadline));

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0 && deadline && zt_now_monotonic() >= deadline)
			return -ETIMEDOUT;
		if (n <= 0)
			continue;
		if (fds[0].revents)
			e = drain(&p->out[0], out, max);
		if (!e && fds[1].revents)
			e = drain(&p->err[0], err, max);
		if (!e && fds[2].revents)
			e = feed(&p->in[1], r, &sent);
	}
	return e;
}

/* A child may close its outputs and go on. */
static int await(pid_t pid, zt_usec deadline)
{
	ZT_CLOSE int fd = deadline ? pidfd_open(pid, 0) : -1;
	struct pollfd p = {fd, POLLIN, 0};

	if (deadline && fd < 0)
		return -errno;
	while (deadline && poll(&p, 1, wait_msec(deadline)) <= 0)
		if (zt_now_monotonic() >= deadline)
			return -ETIMEDOUT;
	return 0;
}

static int make_pipes(struct pipes *p)
{
	*p = (struct pipes){{-1, -1}, {-1, -1}, {-1, -1}};
	if (pipe2(p->in, O_CLOEXEC) < 0 || pipe2(p->out, O_CLOEXEC) < 0 || pipe2(p->err, O_CLOEXEC) < 0)
		return -errno;
	return fcntl(p->in[1], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int finish(struct zt_run *r, pid_t pid, int e, struct zt_strbuf *out, struct zt_strbuf *err)
{
	int status = 0;

	if (e < 0)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (e < 0)
		return e;
	r->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	r->out_len = out->len;
	r->err_len = err->len;
	r->out = zt_strbuf_steal(out);
	r->err = zt_strbuf_steal(err);
	if (!r->out || !r->err)
		return -ENOMEM;
	return r->new_netns && r->status == CHILD_SETUP_FAILED && !r->err_len ? -EPERM : 0;
}

static pid_t recent[ZT_RUN_RECENT];
static size_t n_recent;

size_t zt_run_recent(pid_t ret[static ZT_RUN_RECENT])
{
	memcpy(ret, recent, sizeof(recent));
	return ZT_MIN(n_recent, (size_t)ZT_RUN_RECENT);
}

int zt_run(struct zt_run *r)
{
	ZT_CLEANUP(close_pipes) struct pipes p;
	ZT_STRBUF struct zt_strbuf out = {0}, err = {0};
	struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
	zt_usec deadline = r->timeout_usec ? zt_now_monotonic() + r->timeout_usec : 0;
	char program[256];
	int e = make_pipes(&p);
	pid_t pid;

	if (!e)
		e = find_program(r->argv[0], program);
	if (e < 0)
		return e;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		child(r, program, p.in[0], p.out[1], p.err[1]);
	recent[n_recent++ % ZT_RUN_RECENT] = pid;
	zt_closep(&p.in[0]);
	zt_closep(&p.out[1]);
	zt_closep(&p.err[1]);
	(void)sigaction(SIGPIPE, &ignore, &before); /* arguments are valid */
	e = converse(r, &p, deadline, &out, &err);
	if (!e)
		e = await(pid, deadline);
	(void)sigaction(SIGPIPE, &before, NULL);
	return finish(r, pid, e, &out, &err);
}

int zt_netns_enter(const char *name)
{
	ZT_FREE char *path = strchr(name, '/') ? zt_strdup(name) : zt_asprintf("/run/netns/%s", name);
	ZT_CLOSE int fd = -1;

	if (!path)
		return -ENOMEM;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 || setns(fd, CLONE_NEWNET) < 0 ? -errno : 0;
}

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

uint64_t zt_netns_cookie(void)
{
	ZT_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) < 0)
		return 0;
	return cookie;
}

static int tracked(const char *path, uint64_t *ret)
{
	ZT_FREE char *text = NULL;
	size_t len;
	int r = zt_file_read(path, 64, &text, &len);

	if (r < 0)
		return r;
	text[strcspn(text, "\n")] = '\0';
	return zt_parse_u64(text, UINT64_MAX, ret);
}

int zt_netns_tracked(uint64_t *ret_used, uint64_t *ret_max)
{
	return tracked("/proc/sys/net/netfilter/nf_conntrack_count", ret_used)
		       ?: tracked("/proc/sys/net/netfilter/nf_conntrack_max", ret_max);
}

#define INITIAL_PIDNS 0xEFFFFFFC /* PROC_PID_INIT_INO of the kernel */

bool zt_pidns_is_initial(void)
{
	struct stat mine;

	return stat("/proc/self/ns/pid", &mine) == 0 && mine.st_ino == INITIAL_PIDNS;
}

bool zt_netns_is_initial(void)
{
	struct stat mine, first;

	if (stat("/proc/self/ns/net", &mine) < 0)
		return true;
	/* Where process 1 cannot be looked at: this setting of the whole machine is shown in the initial namespace only. */
	if (stat("/proc/1/ns/net", &first) < 0)
		return access("/proc/sys/net/core/netdev_max_backlog", F_OK) == 0 ||
		       access("/proc/sys/net/core/somaxconn", F_OK) < 0;
	return mine.st_ino == first.st_ino && mine.st_dev == first.st_dev;
}
