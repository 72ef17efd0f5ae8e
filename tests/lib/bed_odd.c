/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Senders by system calls that few programs use: other protocols, other families of addresses than the socket's, the kernel as the one who copies,
 * many segments in one call, sources and destinations that are not a host's own.
 */
#include "bed.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/mman.h>

#define SOCK_DCCP_TYPE 6
#define DCCP_SERVICE 2
#define SOL_DCCP_LEVEL 269

static void bind_port(int fd, int family, uint16_t port)
{
	struct sockaddr_in6 any = {.sin6_family = (sa_family_t)family, .sin6_port = htons(port)};

	(void)bind(fd, (struct sockaddr *)&any, family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(any));
}

/* ---- protocols ---- */
/* The identifier is the source port, as with TCP. */
static int send_dccp(const struct bed_send *s, const struct bed_target *t, uint32_t id)
{
	ZT_CLOSE int fd = bed_socket_as(s, t->family, SOCK_DCCP_TYPE | SOCK_NONBLOCK, IPPROTO_DCCP);
	uint32_t service = htonl(42);

	if (fd < 0)
		return fd;
	(void)setsockopt(fd, SOL_DCCP_LEVEL, DCCP_SERVICE, &service, sizeof(service));
	bind_port(fd, t->family, (uint16_t)(10000 + id % 50000));
	(void)connect(fd, &t->a.sa, t->len);
	(void)poll(NULL, 0, 2);
	return 0;
}

/* One to many: no connect, the message makes the association; its first packet has the source port. */
static int send_sctp_message(const struct bed_send *s, const struct bed_target *t, uint32_t id)
{
	ZT_CLOSE int fd = bed_socket_as(s, t->family, SOCK_SEQPACKET | SOCK_NONBLOCK, IPPROTO_SCTP);

	if (fd < 0)
		return fd;
	bind_port(fd, t->family, (uint16_t)(10000 + id % 50000));
	(void)sendto(fd, "x", 1, MSG_NOSIGNAL, &t->a.sa, t->len);
	(void)poll(NULL, 0, 2);
	return 0;
}

/* struct sockaddr_l2tpip of linux/l2tp.h, which does not go with netinet/in.h. */
static int send_l2tp(const struct bed_send *s, const struct bed_target *t, const struct bed_mark *m)
{
	ZT_CLOSE int fd = bed_socket_as(s, t->family, SOCK_DGRAM, 115 /* IPPROTO_L2TP */);
	struct {
		struct sockaddr_in a; /* port is not used */
	} to = {*(const struct sockaddr_in *)&t->a};
	uint32_t connection = htonl(1);

	if (fd < 0)
		return fd;
	to.a.sin_port = 0;
	memcpy(to.a.sin_zero, &connection, sizeof(connection));
	(void)sendto(fd, m, sizeof(*m), 0, (struct sockaddr *)&to, sizeof(to));
	return 0;
}

/* ---- datagrams ---- */
/* The address says AF_UNSPEC, which the kernel takes for IPv4. */
static int send_unspec(const struct bed_send *s, const struct bed_target *t, const struct bed_mark *m)
{
	ZT_CLOSE int fd = bed_socket_as(s, AF_INET, SOCK_DGRAM, 0);
	struct bed_target to = *t;

	if (fd < 0)
		return fd;
	to.a.sa.sa_family = AF_UNSPEC;
	(void)sendto(fd, m, sizeof(*m), 0, &to.a.sa, to.len);
	return 0;
}

/* An IPv4 address, not a mapped one, on an IPv6 socket. */
static int send_v4_on_v6(const struct bed_send *s, const struct bed_target *t, const struct bed_mark *m)
{
	ZT_CLOSE int fd = bed_socket_as(s, AF_INET6, SOCK_DGRAM, 0);

	if (fd < 0)
		return fd;
	if (s->method == BED_UDP_V4_ON_V6)
		(void)sendto(fd, m, sizeof(*m), 0, &t->a.sa, t->len);
	else if (connect(fd, &t->a.sa, t->len) == 0)
		(void)send(fd, m, sizeof(*m), 0);
	return 0;
}

/* Four segments in one call: the kernel cuts them behind the hooks. */
static int send_segments(int fd, const struct bed_target *t, const struct bed_mark *m)
{
	struct bed_mark four[4] = {*m, *m, *m, *m};
	int size = sizeof(*m);

	if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)) < 0)
		return -errno;
	(void)sendto(fd, four, sizeof(four), 0, &t->a.sa, t->len);
	return 0;
}

/* Put together by several calls; what is sent at the end was addressed by the first. */
static void send_corked(int fd, const struct bed_target *t, const struct bed_mark *m)
{
	(void)sendto(fd, m, 4, MSG_MORE, &t->a.sa, t->len);
	(void)sendto(fd, (const char *)m + 4, sizeof(*m) - 4, 0, &t->a.sa, t->len);
}

/* No byte of it is written to the socket by the sender: from a pipe, or a file. */
static void send_spliced(int fd, const struct bed_send *s, const struct bed_target *t, const struct bed_mark *m)
{
	ZT_CLOSE int file = memfd_create("bed", MFD_CLOEXEC);
	int p[2];

	if (connect(fd, &t->a.sa, t->len) < 0 || write(file, m, sizeof(*m)) != sizeof(*m) || pipe2(p, O_CLOEXEC) < 0)
		return;
	if (s->method == BED_UDP_SENDFILE) {
		off_t at = 0;

		(void)sendfile(fd, file, &at, sizeof(*m));
	} else if (write(p[1], m, sizeof(*m)) == sizeof(*m)) {
		(void)splice(p[0], NULL, fd, NULL, sizeof(*m), 0);
	}
	(void)close(p[0]);
	(void)close(p[1]);
}

/* The way is chosen by a message of control: another device, another source. */
static void send_pktinfo(int fd, const struct bed_target *t, const struct bed_mark *m)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)m, .iov_len = sizeof(*m)};
	struct msghdr msg = {.msg_name = (void *)(uintptr_t)&t->a,
			     .msg_namelen = t->len,
			     .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};
	struct in_pktinfo info = {.ipi_ifindex = (int)if_nametoindex("va"), .ipi_spec_dst.s_addr = htonl(0x0a630001)};
	struct cmsghdr *h = CMSG_FIRSTHDR(&msg);

	*h = (struct cmsghdr){.cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO, .cmsg_len = CMSG_LEN(sizeof(info))};
	memcpy(CMSG_DATA(h), &info, sizeof(info));
	(void)sendmsg(fd, &msg, 0);
}

/* Bound to an address of somebody else. */
static int send_transparent(int fd, const struct bed_target *t, const struct bed_mark *m)
{
	struct sockaddr_in other = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a63004d)};
	int one = 1;

	if (setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&other, sizeof(other)) < 0)
		return -errno;
	(void)sendto(fd, m, sizeof(*m), 0, &t->a.sa, t->len);
	return 0;
}

/* A loose source route over the peer, by an option of the socket. */
static int send_source_routed(int fd, const struct bed_target *t, const struct bed_mark *m)
{
	uint8_t option[12] = {131, 11, 4, 10, 99, 0, 2, 10, 99, 0, 2, 0};

	if (setsockopt(fd, IPPROTO_IP, IP_OPTIONS, option, sizeof(option)) < 0)
		return -errno;
	(void)sendto(fd, m, sizeof(*m), 0, &t->a.sa, t->len);
	return 0;
}

/* To all, or to many. */
static void send_cast(int fd, const struct bed_target *t, const struct bed_mark *m)
{
	struct ip_mreqn from = {.imr_ifindex = (int)if_nametoindex("va")};
	int one = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof(one));
	(void)setsockopt(fd, t->family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6,
			 t->family == AF_INET ? IP_MULTICAST_IF : IPV6_MULTICAST_IF,
			 t->family == AF_INET ? (const void *)&from : &from.imr_ifindex,
			 t->family == AF_INET ? sizeof(from) : sizeof(from.imr_ifindex));
	(void)sendto(fd, m, sizeof(*m), 0, &t->a.sa, t->len);
}

static int send_udp_odd(const struct bed_send *s, const struct bed_target *t, const struct bed_mark *m)
{
	ZT_CLOSE int fd = bed_socket_as(s, t->family, SOCK_DGRAM, 0);

	if (fd < 0)
		return fd;
	switch (s->method) {
	case BED_UDP_GSO:
		return send_segments(fd, t, m);
	case BED_UDP_CORKED:
		send_corked(fd, t, m);
		return 0;
	case BED_UDP_SPLICE:
	case BED_UDP_SENDFILE:
		send_spliced(fd, s, t, m);
		return 0;
	case BED_UDP_PKTINFO:
		send_pktinfo(fd, t, m);
		return 0;
	case BED_UDP_TRANSPARENT:
		return send_transparent(fd, t, m);
	case BED_UDP_SOURCE_ROUTE:
		return send_source_routed(fd, t, m);
	default:
		send_cast(fd, t, m);
		return 0;
	}
}

/* ---- tcp ---- */
/* A connection that was begun to elsewhere, taken back, and begun again. */
static int send_tcp_again(const struct bed_send *s, const struct bed_target *t, uint32_t id)
{
	ZT_CLOSE int fd = bed_socket_as(s, t->family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct sockaddr unspec = {.sa_family = AF_UNSPEC};
	struct linger reset = {.l_onoff = 1};
	struct bed_target other = *t;

	if (fd < 0)
		return fd;
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	bed_target_port(&other, 9);
	(void)connect(fd, &other.a.sa, other.len);
	(void)connect(fd, &unspec, sizeof(unspec));
	bind_port(fd, t->family, (uint16_t)(10000 + id % 50000));
	(void)connect(fd, &t->a.sa, t->len);
	(void)poll(NULL, 0, 2);
	return 0;
}

int bed_odd_send(const struct bed_send *s, const struct bed_target *t, uint32_t id)
{
	struct bed_mark m = bed_mark(id);

	switch (s->method) {
	case BED_DCCP:
		return send_dccp(s, t, id);
	case BED_SCTP_MESSAGE:
		return send_sctp_message(s, t, id);
	case BED_L2TP:
		return send_l2tp(s, t, &m);
	case BED_UDP_UNSPEC:
		return send_unspec(s, t, &m);
	case BED_UDP_V4_ON_V6:
	case BED_UDP_V4_ON_V6_CONNECTED:
		return send_v4_on_v6(s, t, &m);
	case BED_TCP_AGAIN:
		return send_tcp_again(s, t, id);
	default:
		return send_udp_odd(s, t, &m);
	}
}
