/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/mem.h"
#include "daemon/job.h"

union descriptor { /* that comes along with an answer */
	char space[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static int send_answer(int fd, const char *text, int ring)
{
	struct iovec data = {.iov_base = (char *)(uintptr_t)text, .iov_len = strlen(text)};
	struct msghdr m = {.msg_iov = &data, .msg_iovlen = 1};
	union descriptor d;
	struct cmsghdr *c;

	if (ring >= 0) {
		m.msg_control = d.space;
		m.msg_controllen = sizeof(d.space);
		c = CMSG_FIRSTHDR(&m);
		*c = (struct cmsghdr){
			.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(ring))};
		memcpy(CMSG_DATA(c), &ring, sizeof(ring));
	}
	return sendmsg(fd, &m, MSG_NOSIGNAL) == (ssize_t)data.iov_len ? 0 : -EPIPE;
}

/* In a child of the hand. */
static int work(const struct zt_job_ctx *c, const struct zt_job *job, int fd)
{
	int ring = -1;
	json_t *j = zt_job_run(c, job, &ring);
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;

	if (text && strlen(text) > ZT_JOB_ANSWER_MAX) { /* only the places may be so many */
		(void)json_object_del(j, "places");
		(void)json_object_set_new(j, "places_cut", json_true());
		free(text);
		text = json_dumps(j, JSON_COMPACT);
	}
	json_decref(j);
	if (!text || strlen(text) > ZT_JOB_ANSWER_MAX || send_answer(fd, text, ring) < 0)
		return 1;
	free(text);
	return 0;
}

static void failed(int fd, int status)
{
	ZT_FREE char *text = zt_asprintf(
		"{\"ok\":false,\"outcome\":\"failed\",\"text\":\"zt-segmentd: error: the job %s %d [ZT4060]\"}",
		WIFSIGNALED(status) ? "was ended by signal" : "failed with status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));

	(void)send_answer(fd, text ? text : "{\"ok\":false,\"outcome\":\"failed\"}",
			  -1); /* nobody listens: the next read ends */
}

static void do_job(const struct zt_job_ctx *c, const struct zt_job *job, int fd)
{
	int status = 0;
	pid_t pid = fork();

	if (!pid)
		_exit(work(c, job, fd));
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid < 0 || status)
		failed(fd, pid < 0 ? 1 << 8 : status);
}

/* When the loop was there last: how long nobody recorded anything is known from it. */
static void last_beat(const struct zt_job_ctx *c, zt_usec when)
{
	ZT_FREE char *path = zt_asprintf("%s/daemon", c->state_dir);
	struct timespec t[2] = {
		{.tv_nsec = UTIME_OMIT},
		{.tv_sec = (time_t)(when / ZT_USEC_PER_SEC), .tv_nsec = (long)(when % ZT_USEC_PER_SEC) * 1000}};

	if (path)
		(void)utimensat(AT_FDCWD, path, t, 0); /* it is not there: nothing was recorded */
}

static void become_hand(const struct zt_job_ctx *c, int fd)
{
	static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGQUIT};
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	zt_usec began = 0; /* of the last job, where the loop may have gone meanwhile */
	struct zt_job job;
	sigset_t none;

	/* It ends when the loop does, not before: a transaction is not cut off by Ctrl-C or by systemd's end of a unit. */
	for (size_t i = 0; i < ZT_ARRAY_SIZE(ignored); i++)
		(void)sigaction(ignored[i], &ignore, NULL); /* cannot fail for these */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)prctl(PR_SET_NAME, "zt-segmentd/do");
	/* The lock that says "a daemon runs" above all. */
	if (dup2(fd, 3) < 0 || close_range(4, ~0U, 0) < 0)
		_exit(1);
	fd = 3;
	for (;;) {
		ssize_t n = recv(fd, &job, sizeof(job), began ? MSG_DONTWAIT : 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN && began) {
			began = 0;
			continue;
		}
		if (n <= 0)
			last_beat(c, began ? began : zt_now());
		if (n != (ssize_t)sizeof(job))
			_exit(n != 0);
		began = zt_now();
		if (job.kind < ZT_JOBS)
			do_job(c, &job, fd);
	}
}

int zt_hand_start(const struct zt_job_ctx *c, pid_t *ret_pid, int *ret_fd)
{
	int fds[2], size = 4 * ZT_JOB_ANSWER_MAX;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	(void)setsockopt(fds[1], SOL_SOCKET, SO_SNDBUFFORCE, &size,
			 sizeof(size)); /* else the default, which is enough as a rule */
	pid = fork();
	if (pid < 0) {
		int r = -errno;

		(void)close(fds[0]);
		(void)close(fds[1]);
		return r;
	}
	if (!pid) {
		(void)close(fds[0]);
		become_hand(c, fds[1]);
	}
	(void)close(fds[1]);
	(void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
	*ret_pid = pid;
	*ret_fd = fds[0];
	return 0;
}

int zt_hand_send(int fd, const struct zt_job *job)
{
	ssize_t n = send(fd, job, sizeof(*job), MSG_NOSIGNAL);

	return n == (ssize_t)sizeof(*job) ? 0 : n < 0 ? -errno : -EIO;
}

static int descriptor_of(struct msghdr *m)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	int fd = -1;

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(fd)))
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

int zt_hand_receive(int fd, json_t **ret, int *ret_ring)
{
	ZT_FREE char *buf = zt_malloc(ZT_JOB_ANSWER_MAX + 1);
	struct iovec data = {.iov_base = buf, .iov_len = ZT_JOB_ANSWER_MAX};
	union descriptor d;
	struct msghdr m = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = d.space, .msg_controllen = sizeof(d.space)};
	ssize_t n = buf ? recvmsg(fd, &m, MSG_TRUNC | MSG_CMSG_CLOEXEC) : -1;

	if (!buf)
		return -ENOMEM;
	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	if (n == 0)
		return -EPIPE;
	*ret_ring = descriptor_of(&m);
	*ret = n > ZT_JOB_ANSWER_MAX ? NULL : json_loadb(buf, (size_t)n, 0, NULL);
	return json_is_object(*ret) ? 0 : -EBADMSG;
}
