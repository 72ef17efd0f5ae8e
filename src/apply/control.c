/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "apply/control.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/mem.h"
#include "base/strbuf.h"

char *zt_run_dir(const char *netns, const char *instance)
{
	const char *base = netns ? strrchr(netns, '/') : NULL;

	if (!netns)
		return zt_asprintf("%s/%s", ZT_RUN_DIR, instance);
	return zt_asprintf("%s/netns-%s/%s", ZT_RUN_DIR, base ? base + 1 : netns, instance);
}

static int connect_to(const char *path, zt_usec deadline)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	memcpy(a.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	while (connect(fd, (const struct sockaddr *)&a, sizeof(a)) < 0) {
		int r = errno != EAGAIN ? -errno : zt_now_monotonic() < deadline ? 0 : -ETIMEDOUT;

		if (r < 0) {
			(void)close(fd);
			return r;
		}
		(void)poll(NULL, 0, 10); /* others queue for it */
	}
	return fd;
}

static int wait_for(int fd, short events, zt_usec deadline)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = events};
		zt_usec now = zt_now_monotonic();
		int n = now >= deadline ? 0 : poll(&p, 1, (int)((deadline - now) / 1000 + 1));

		if (n > 0)
			return 0;
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

static int send_all(int fd, const char *text, zt_usec deadline)
{
	size_t len = strlen(text);

	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
		int r = n >= 0 ? 0 : errno == EAGAIN ? wait_for(fd, POLLOUT, deadline) : errno == EINTR ? 0 : -errno;

		if (r < 0)
			return r;
		text += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int read_line(int fd, struct zt_strbuf *out, zt_usec deadline)
{
	char buf[4096];

	while (!out->len || out->buf[out->len - 1] != '\n') {
		ssize_t n;
		int r = wait_for(fd, POLLIN, deadline);

		if (r < 0)
			return r;
		n = recv(fd, buf, sizeof(buf), 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EPIPE;
		if (out->len + (size_t)n > ZT_CONTROL_ANSWER_MAX)
			return -EFBIG;
		zt_strbuf_add(out, buf, (size_t)n);
		if (zt_strbuf_error(out) < 0)
			return -ENOMEM;
	}
	out->buf[--out->len] = '\0';
	return 0;
}

int zt_control_call(const char *netns, const char *instance, const char *request, zt_usec timeout, char **ret_answer)
{
	ZT_FREE char *dir = zt_run_dir(netns, instance), *path = dir ? zt_asprintf("%s/control", dir) : NULL;
	ZT_FREE char *line = zt_asprintf("%s\n", request);
	ZT_STRBUF struct zt_strbuf answer = {0};
	zt_usec deadline = zt_now_monotonic() + timeout;
	ZT_CLOSE int fd = -1;
	int r;

	if (!path || !line)
		return -ENOMEM;
	fd = connect_to(path, deadline);
	if (fd < 0)
		return fd;
	r = send_all(fd, line, deadline);
	if (r < 0 && r != -EPIPE) /* hung up on us: perhaps it said why */
		return r;
	r = read_line(fd, &answer, deadline);
	if (r < 0)
		return r;
	*ret_answer = zt_strbuf_steal(&answer);
	return *ret_answer ? 0 : -ENOMEM;
}
