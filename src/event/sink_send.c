/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records on their way: datagrams to journald and syslog, octet-counted frames over TCP. Nothing waits but zt_sink_flush(). */
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/file.h"
#include "base/mem.h"
#include "event/sink.h"

struct zt_sink {
	enum zt_sink_format format;
	char *host;
	union {
		struct sockaddr sa;
		struct sockaddr_un un;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} to;
	socklen_t to_len;
	int type, fd;
	bool connecting;
	zt_usec retry; /* monotonic */
	char *buffer;  /* TCP: ZT_SINK_BUFFER bytes */
	size_t len;
	size_t sent_of_first; /* bytes of the first frame in buffer that are gone: after a new connection it begins again */
	uint64_t lost;
	int error; /* the last one */
	struct zt_strbuf text;
};

/* ---- where to ---- */
static int parse_unix(struct zt_sink *s, const char *path)
{
	if (!*path || strlen(path) >= sizeof(s->to.un.sun_path))
		return -EINVAL;
	s->to.un.sun_family = AF_UNIX;
	memcpy(s->to.un.sun_path, path, strlen(path)); /* the rest is zero */
	s->to_len = sizeof(s->to.un);
	s->type = SOCK_DGRAM;
	return 0;
}

static int parse_inet(struct zt_sink *s, const char *text, int type)
{
	const char *colon = strrchr(text, ':');
	char host[64];
	size_t n = colon ? (size_t)(colon - text) : 0;
	struct zt_addr addr;
	uint64_t port;

	if (n && text[0] == '[' && text[n - 1] == ']') {
		text++;
		n -= 2;
	}
	if (!n || n >= sizeof(host) || zt_parse_u64(colon + 1, 65535, &port) < 0 || !port)
		return -EINVAL;
	memcpy(host, text, n);
	host[n] = '\0';
	if (zt_addr_parse(host, &addr) < 0)
		return -EINVAL;
	s->type = type;
	if (addr.family == 4) {
		s->to.in.sin_family = AF_INET;
		s->to.in.sin_port = htons((uint16_t)port);
		memcpy(&s->to.in.sin_addr, addr.b, 4);
		s->to_len = sizeof(s->to.in);
	} else {
		s->to.in6.sin6_family = AF_INET6;
		s->to.in6.sin6_port = htons((uint16_t)port);
		memcpy(&s->to.in6.sin6_addr, addr.b, 16);
		s->to_len = sizeof(s->to.in6);
	}
	return 0;
}

static int parse(struct zt_sink *s, const char *to)
{
	s->format = !strncmp(to, "journald", 8) ? ZT_FORMAT_JOURNALD : ZT_FORMAT_SYSLOG;
	if (!strcmp(to, "journald"))
		return parse_unix(s, "/run/systemd/journal/socket");
	if (!strncmp(to, "journald:", 9))
		return parse_unix(s, to + 9);
	if (!strncmp(to, "syslog:unix:", 12))
		return parse_unix(s, to + 12);
	if (!strncmp(to, "syslog:udp:", 11))
		return parse_inet(s, to + 11, SOCK_DGRAM);
	if (!strncmp(to, "syslog:tcp:", 11))
		return parse_inet(s, to + 11, SOCK_STREAM);
	return -EINVAL;
}

static int new_socket(struct zt_sink *s)
{
	s->fd = socket(s->to.sa.sa_family, s->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return s->fd < 0 ? -errno : 0;
}

int zt_sink_open(const char *to, const char *host, struct zt_sink **ret, struct zt_diags *d)
{
	ZT_CLEANUP(zt_sink_closep) struct zt_sink *s = zt_new(struct zt_sink, 1);
	int r = s ? 0 : -ENOMEM;

	if (s)
		s->fd = -1;
	if (!r && parse(s, to) < 0) {
		r = zt_diag(d, ZT_ERROR, 4520, NULL, "\"%s\" is nowhere to send events to", to);
		zt_diag_hint(
			d, "journald, syslog:unix:/dev/log, syslog:udp:192.0.2.1:514 or syslog:tcp:[2001:db8::1]:601");
		return r;
	}
	if (!r) {
		s->host = zt_strdup(host);
		s->buffer = s->type == SOCK_STREAM ? zt_malloc(ZT_SINK_BUFFER) : NULL;
		r = !s->host || (s->type == SOCK_STREAM && !s->buffer) ? -ENOMEM
		    : s->type == SOCK_DGRAM			       ? new_socket(s)
								       : 0;
	}
	if (r)
		return zt_diag_errno(d, 4521, r, "events cannot be sent to %s", to);
	*ret = ZT_TAKE(s);
	return 0;
}

void zt_sink_close(struct zt_sink *s)
{
	if (!s)
		return;
	zt_closep(&s->fd);
	zt_strbuf_done(&s->text);
	free(s->buffer);
	free(s->host);
	free(s);
}

void zt_sink_closep(struct zt_sink **s)
{
	zt_sink_close(*s);
	*s = NULL;
}

/* ---- datagrams ---- */
/* journald takes what is too large as a file that nobody can change any more. */
static int send_file(struct zt_sink *s)
{
	ZT_CLOSE int fd = memfd_create("zt-segment", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr m = {.msg_name = &s->to,
			   .msg_namelen = s->to_len,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control.space)};
	int r = fd < 0 ? -errno : zt_write_all(fd, s->text.buf, s->text.len);

	if (!r && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		r = -errno;
	if (r)
		return r;
	control.head =
		(struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	return sendmsg(s->fd, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int send_datagram(struct zt_sink *s)
{
	if (sendto(s->fd, s->text.buf, s->text.len, MSG_NOSIGNAL, &s->to.sa, s->to_len) >= 0)
		return 0;
	return (errno == EMSGSIZE || errno == ENOBUFS) && s->format == ZT_FORMAT_JOURNALD ? send_file(s) : -errno;
}

/* ---- TCP ---- */
static void broken(struct zt_sink *s)
{
	zt_closep(&s->fd);
	s->connecting = false;
	s->sent_of_first = 0;
	s->retry = zt_now_monotonic() + ZT_USEC_PER_SEC;
}

/* 0 when bytes can be written; -EAGAIN: not yet; -errno: broken. */
static int connected(struct zt_sink *s)
{
	struct pollfd p = {.fd = s->fd, .events = POLLOUT};
	socklen_t size = sizeof(int);
	int error = 0;

	if (s->fd < 0) {
		if (zt_now_monotonic() < s->retry)
			return -EAGAIN;
		s->error = new_socket(s) ?: s->error;
		if (s->fd < 0)
			return -EAGAIN;
		s->connecting = connect(s->fd, &s->to.sa, s->to_len) < 0;
		if (s->connecting && errno != EINPROGRESS)
			return -errno;
		p.fd = s->fd;
	}
	if (!s->connecting)
		return 0;
	if (poll(&p, 1, 0) <= 0)
		return -EAGAIN;
	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error)
		return error ? -error : -EIO;
	s->connecting = false;
	return 0;
}

/* Bytes of the first frame in the buffer, its length included. */
static size_t first_frame(const struct zt_sink *s)
{
	char *end;
	size_t n = strtoul(s->buffer, &end, 10);

	return (size_t)(end + 1 - s->buffer) + n;
}

/* Whole frames that are gone leave the buffer. A receiver that went away gets the broken one again, whole. */
static void forget(struct zt_sink *s, size_t n)
{
	size_t gone = 0;

	s->sent_of_first += n;
	while (s->len - gone) {
		struct zt_sink rest = {.buffer = s->buffer + gone};
		size_t frame = first_frame(&rest);

		if (s->sent_of_first < frame)
			break;
		s->sent_of_first -= frame;
		gone += frame;
	}
	memmove(s->buffer, s->buffer + gone, s->len - gone);
	s->len -= gone;
}

static int drain(struct zt_sink *s)
{
	while (s->len) {
		int r = connected(s);
		ssize_t n = r < 0 ? -1
				  : send(s->fd, s->buffer + s->sent_of_first, s->len - s->sent_of_first, MSG_NOSIGNAL);

		if (!r && n < 0)
			r = -errno;
		if (r == -EAGAIN || r == -EINTR)
			return 0;
		if (r < 0) {
			broken(s);
			s->error = r;
			return r;
		}
		forget(s, (size_t)n);
	}
	return 0;
}

static int send_frame(struct zt_sink *s)
{
	char length[16];
	size_t n = (size_t)snprintf(length, sizeof(length), "%zu ", s->text.len);

	if (s->len + n + s->text.len >= ZT_SINK_BUFFER)
		(void)drain(s); /* what is wrong shows in what stays */
	if (s->len + n + s->text.len >= ZT_SINK_BUFFER)
		return -ENOBUFS;
	memcpy(s->buffer + s->len, length, n);
	memcpy(s->buffer + s->len + n, s->text.buf, s->text.len);
	s->len += n + s->text.len;
	(void)drain(s); /* is kept, and tried again */
	return 0;
}

int zt_sink_send(struct zt_sink *s, const struct zt_activity *a)
{
	int r;

	zt_strbuf_clear(&s->text);
	r = zt_sink_text(s->format, a, s->host, 0, &s->text);
	r = r ?: s->type == SOCK_STREAM ? send_frame(s) : send_datagram(s);
	if (!r)
		return 0;
	s->lost++;
	if (r != -ENOBUFS || !s->error) /* no room, because: what broke */
		s->error = r;
	return -ENOBUFS;
}

int zt_sink_flush(struct zt_sink *s, unsigned timeout_msec)
{
	zt_usec end = zt_now_monotonic() + timeout_msec * UINT64_C(1000);
	int r = 0;

	while (s->type == SOCK_STREAM && s->len) {
		struct pollfd p = {.fd = s->fd, .events = POLLOUT};
		zt_usec now = zt_now_monotonic();
		int error = drain(s);

		r = error ?: r;
		if (!s->len)
			return 0;
		if (now >= end)
			return r ?: -ETIMEDOUT;
		p.fd = s->fd;
		(void)poll(&p, s->fd >= 0,
			   (int)ZT_MIN((end - now) / 1000 + 1, 100)); /* a closed one is opened after a while */
	}
	return 0;
}

uint64_t zt_sink_lost(const struct zt_sink *s)
{
	return s->lost;
}

int zt_sink_error(const struct zt_sink *s)
{
	return s->error;
}

uint64_t zt_sink_pending(const struct zt_sink *s)
{
	return s->len;
}
