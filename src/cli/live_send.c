/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "cli/live.h"

struct place {
	union {
		struct sockaddr sa;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
	socklen_t len;
};

static struct place place_of(const struct zt_addr *a, uint16_t port, bool mapped)
{
	struct place p = {.len = sizeof(p.v6)};

	if (a->family == 4 && !mapped) {
		p.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
		memcpy(&p.v4.sin_addr, a->b, 4);
		p.len = sizeof(p.v4);
		return p;
	}
	p.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
	if (mapped) {
		p.v6.sin6_addr.s6_addr[10] = p.v6.sin6_addr.s6_addr[11] = 0xff;
		memcpy(&p.v6.sin6_addr.s6_addr[12], a->b, 4);
	} else {
		memcpy(&p.v6.sin6_addr, a->b, 16);
	}
	return p;
}

/* ---- who ---- */
/* For one socket: root stays in reserve. */
static int become(const struct zt_live_probe *p, int side)
{
	const struct zt_actor *a = side ? &p->receiver : &p->sender;
	gid_t groups[64] = {0};
	size_t n = 0;

	for (; n < a->n_groups && n < ZT_ARRAY_SIZE(groups); n++)
		groups[n] = p->groups[side][n];
	return setgroups(n, groups) < 0 || setresgid(a->gid, a->gid, 0) < 0 || setresuid(a->uid, a->uid, 0) < 0 ? -errno
														: 0;
}

static int be_root(void)
{
	return setresuid(0, 0, 0) < 0 || setresgid(0, 0, 0) < 0 ? -errno : 0;
}

/* ---- receivers ---- */
#define LATE_MSEC 40
#define LATE_ROUNDS 10

static void mark_from(struct zt_live_board *b, const struct zt_live_probe *like, const struct sockaddr_in6 *from)
{
	uint16_t port = ntohs(from->sin6_port); /* at the same place in both families */

	for (size_t i = 0; i < b->n; i++)
		if (b->probes[i].sport == port && b->probes[i].flow.proto == like->flow.proto)
			b->marks[i].seen = 1;
}

static void take(struct zt_live_board *b, const struct zt_live_probe *p, int fd)
{
	struct sockaddr_in6 from = {0}; /* large enough for both families */
	socklen_t len = sizeof(from);
	char buf[64];

	if (p->flow.proto == 6) {
		int peer;

		while ((peer = accept4(fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
			mark_from(b, p, &from);
			(void)close(peer); /* it was only to arrive */
			len = sizeof(from);
		}
		return;
	}
	while (recvfrom(fd, buf, sizeof(buf), MSG_DONTWAIT, (struct sockaddr *)&from, &len) >= 0) {
		mark_from(b, p, &from);
		len = sizeof(from);
	}
}

static int listener(const struct zt_live_probe *p)
{
	struct place at = place_of(&p->flow.dst, p->flow.port, false);
	int one = 1, fd = socket(at.sa.sa_family,
				 (p->flow.proto == 6 ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, &at.sa, at.len) < 0 || (p->flow.proto == 6 && listen(fd, 64) < 0))
		return -errno;
	return fd;
}

static int listen_as(const struct zt_live_probe *p)
{
	int r = become(p, 1), fd = r ? r : listener(p);

	r = be_root();
	return r ? r : fd;
}

static void take_all(struct zt_live_board *b, const struct zt_live_worker *w, const struct pollfd *fds)
{
	for (size_t i = 0; i < w->n; i++)
		if (fds[i].fd >= 0)
			take(b, &b->probes[w->probe[i]], fds[i].fd);
}

static void receive(struct zt_live_board *b, const struct zt_live_worker *w)
{
	struct pollfd fds[ZT_LIVE_BATCH + 1] = {{.fd = b->stop, .events = POLLIN}};

	for (size_t i = 0; i < w->n; i++) {
		int fd = listen_as(&b->probes[w->probe[i]]);

		fds[i + 1] = (struct pollfd){.fd = fd, .events = POLLIN};
		if (fd < 0)
			b->marks[w->probe[i]].error = fd;
	}
	if (write(b->ready, "", 1) != 1)
		return;
	while (!fds[0].revents) {
		(void)poll(fds, w->n + 1, -1); /* looked at below in any case */
		take_all(b, w, fds + 1);
	}
	/* What was sent just before the end is still on its way where the kernel is busy. */
	for (int rounds = 0; rounds < LATE_ROUNDS && poll(fds + 1, w->n, LATE_MSEC) > 0; rounds++)
		take_all(b, w, fds + 1);
}

bool zt_live_same_port(const struct zt_live_probe *a, const struct zt_live_probe *b)
{
	return a->flow.proto == b->flow.proto && a->flow.port == b->flow.port &&
	       !zt_addr_cmp(&a->flow.dst, &b->flow.dst);
}

bool zt_live_same_receiver(const struct zt_live_probe *a, const struct zt_live_probe *b)
{
	const struct zt_actor *x = &a->receiver, *y = &b->receiver;

	return a->listens == b->listens && zt_live_same_port(a, b) &&
	       (!a->listens || (x->uid == y->uid && x->gid == y->gid && x->n_groups == y->n_groups &&
				!strcmp(a->cgroup[1], b->cgroup[1]) && a->program[1] == b->program[1] &&
				a->parent[1] == b->parent[1] &&
				!memcmp(a->groups[1], b->groups[1], x->n_groups * sizeof(*x->groups))));
}

/* ---- senders ---- */
static int sender_socket(const struct zt_live_probe *p)
{
	static const struct zt_addr any4 = {.family = 4}, any6 = {.family = 6};
	bool six = p->flow.dst.family == 6, named = p->bind_source || p->kind >= ZT_LIVE_IN;
	struct place from = place_of(named ? &p->flow.src : six ? &any6 : &any4, p->sport, p->mapped);
	int type = p->flow.proto == 6 ? SOCK_STREAM : SOCK_DGRAM, one = 1, fd;

	if (p->mapped && !named)
		from.v6.sin6_addr = in6addr_any;
	fd = socket(from.sa.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC,
		    p->flow.proto == 6 || p->flow.proto == 17 ? 0 : p->flow.proto);
	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	return bind(fd, &from.sa, from.len) < 0 ? -errno : fd;
}

static void send_datagram(const struct zt_live_probe *p, int fd, const struct place *to)
{
	struct icmphdr echo = {.type = p->flow.proto == 58 ? 128 : ICMP_ECHO};
	const void *data = p->flow.proto == 17 ? "zt-probe" : (const void *)&echo;

	/* What comes of it is seen at the other end. */
	if (p->connected && connect(fd, &to->sa, to->len) == 0)
		(void)!send(fd, data, 8, MSG_NOSIGNAL);
	else if (!p->connected)
		(void)!sendto(fd, data, 8, MSG_NOSIGNAL, &to->sa, to->len);
}

/* The socket, or -errno. */
static int send_one(const struct zt_live_probe *p)
{
	struct place to = place_of(&p->flow.dst, p->flow.port, p->mapped);
	int r = p->kind < ZT_LIVE_IN ? become(p, 0) : 0, fd = r ? r : sender_socket(p);

	if (fd >= 0 && p->flow.proto == 6)
		(void)!connect(fd, &to.sa, to.len); /* likewise */
	else if (fd >= 0)
		send_datagram(p, fd, &to);
	r = be_root();
	return r ? r : fd;
}

/* A handshake goes on as long as somebody holds the socket. */
static void send_all(struct zt_live_board *b, const struct zt_live_worker *w)
{
	struct pollfd stop = {.fd = b->stop, .events = POLLIN};

	for (size_t i = 0; i < w->n; i++) {
		struct zt_live_mark *m = &b->marks[w->probe[i]];
		int fd = send_one(&b->probes[w->probe[i]]);

		if (fd < 0)
			m->error = fd;
		m->sent = 1;
	}
	(void)poll(&stop, 1, -1); /* that it ends is all that is waited for */
}

void zt_live_work(struct zt_live_board *b, const struct zt_live_worker *w)
{
	if (w->side)
		receive(b, w);
	else
		send_all(b, w);
}
