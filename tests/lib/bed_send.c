/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bed.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/fsuid.h>

static const char *const names[] = {
	"udp sendto",
	"udp connected",
	"udp sendmmsg",
	"udp re-connected",
	"udp 4000 bytes",
	"udp destination options",
	"udp hop-by-hop options",
	"udp routing header",
	"udp three extension headers",
	"udp from port 53",
	"udp from port 67",
	"udp from port 123",
	"udp with SO_MARK",
	"tcp",
	"tcp fast open sendto",
	"tcp fast open connect",
	"mptcp",
	"udplite",
	"sctp",
	"icmp echo",
	"ping socket",
	"raw protocol 253",
	"raw GRE",
	"raw ESP",
	"raw udp header included",
	"raw udp spoofed source",
	"raw udp source route",
	"raw fragments",
	"raw first fragment of 8 bytes, not reassembled",
	"raw trailing fragment alone, not reassembled",
	"raw IPv6 header, long chain",
	"raw IPv6 header, atomic fragment",
	"raw IPv6 header, fragments",
	"packet socket",
	"packet socket, link header",
	"packet socket, queue bypass",
	"packet socket, TX_RING",
	"packet socket on lo",
	"AF_XDP, copy mode",
	"AF_XDP, zero copy",
	"dccp",
	"sctp message, one to many",
	"l2tp over ip",
	"udp sendto, address of family AF_UNSPEC",
	"udp sendto, IPv4 address on an IPv6 socket",
	"udp connected, IPv4 address on an IPv6 socket",
	"udp four segments in one call (GSO)",
	"udp corked",
	"udp splice from a pipe",
	"udp sendfile",
	"udp sendmsg, device and source by IP_PKTINFO",
	"udp from a foreign address (IP_TRANSPARENT)",
	"udp source route by IP_OPTIONS",
	"udp to many",
	"tcp connect, AF_UNSPEC, connect",
	"io_uring socket, connect, send: udp",
	"io_uring by a worker: udp",
	"io_uring SEND_ZC: udp",
	"io_uring SENDMSG_ZC: udp",
	"io_uring socket, connect: tcp",
	"io_uring by the kernel's own thread (SQPOLL): udp",
	"io_uring by the kernel's own thread (SQPOLL): tcp",
};
_Static_assert(ZT_ARRAY_SIZE(names) == BED_N_METHODS, "one name a method");

const char *bed_method_name(enum bed_method m)
{
	return names[m];
}

int bed_act_as(const struct bed_send *s)
{
	gid_t member = s->member;

	if (s->member && setgroups(1, &member) < 0)
		return -errno;
	(void)setfsgid(s->gid);
	(void)setfsuid(s->uid);
	return 0;
}

void bed_act_root(void)
{
	int saved = errno;

	(void)setfsuid(0);
	(void)setfsgid(0);
	(void)setgroups(0, NULL);
	errno = saved;
}

bool bed_keep_sockets;

static void keep(int fd)
{
	static int kept = -1;

	zt_closep(&kept);
	kept = fcntl(fd, F_DUPFD_CLOEXEC, 3); /* one that is lost is closed as ever */
}

/* Leaves the caller who it is: root, or s already. */
int bed_socket_as(const struct bed_send *s, int family, int type, int proto)
{
	uint32_t was = (uint32_t)setfsuid((uid_t)-1); /* tells, changes nothing */
	struct bed_send root = {0};
	int r = bed_act_as(s->setuid_late ? &root : s), fd = r < 0 ? r : socket(family, type | SOCK_CLOEXEC, proto);

	fd = fd < 0 && !r ? -errno : fd;
	if (fd >= 0 && bed_keep_sockets)
		keep(fd);
	if (!was)
		bed_act_root();
	else if (s->setuid_late)
		r = bed_act_as(s);
	return r < 0 ? r : fd;
}

/* ---- udp ---- */
static void options_header(int fd, int option, uint8_t size)
{
	uint8_t h[16] = {0, (uint8_t)(size / 8 - 1), 1, (uint8_t)(size - 4)}; /* PadN */

	(void)setsockopt(fd, IPPROTO_IPV6, option, h, size);
}

/* Segment routing by way of the peer, which may be the destination itself: a type 0 header is refused by the kernel. */
static void routing_header(int fd, const struct bed_target *t)
{
	uint8_t h[40] = {0, 4, 4, 1, 1};

	memcpy(h + 8, &((const struct sockaddr_in6 *)&t->a)->sin6_addr, 16); /* the last */
	(void)inet_pton(AF_INET6, "fd99::2", h + 24);			     /* a constant */
	(void)setsockopt(fd, IPPROTO_IPV6, IPV6_RTHDR, h, sizeof(h));
}

static void bind_port(int fd, int family, uint16_t port)
{
	struct sockaddr_in6 any = {.sin6_family = (sa_family_t)family, .sin6_port = htons(port)};
	int one = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	(void)bind(fd, (struct sockaddr *)&any, family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(any));
}

static int send_udp_connected(int fd, const struct bed_send *s, const struct bed_target *t, const struct bed_mark *m)
{
	struct sockaddr unspec = {.sa_family = AF_UNSPEC};
	struct bed_target other = *t;

	if (s->method == BED_UDP_RECONNECT) {
		bed_target_port(&other, 9);
		(void)connect(fd, &other.a.sa, other.len);
		(void)connect(fd, &unspec, sizeof(unspec));
	}
	if (connect(fd, &t->a.sa, t->len) == 0)
		(void)send(fd, m, sizeof(*m), 0);
	return 0;
}

static int send_udp_many(int fd, const struct bed_target *t, const struct bed_mark *m)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)m, .iov_len = sizeof(*m)};
	struct mmsghdr mm = {
		.msg_hdr = {
			.msg_name = (void *)(uintptr_t)&t->a, .msg_namelen = t->len, .msg_iov = &iov, .msg_iovlen = 1}};

	(void)sendmmsg(fd, &mm, 1, 0);
	return 0;
}

static void prepare_udp(int fd, const struct bed_send *s, const struct bed_target *t)
{
	int mark = 0x1337;

	if (s->method == BED_UDP_DSTOPTS || s->method == BED_UDP_CHAIN)
		options_header(fd, IPV6_DSTOPTS, 8);
	if (s->method == BED_UDP_HOPOPTS || s->method == BED_UDP_CHAIN)
		options_header(fd, IPV6_HOPOPTS, 16);
	if (s->method == BED_UDP_RTHDR || s->method == BED_UDP_CHAIN)
		routing_header(fd, t);
	if (s->method == BED_UDP_MARK)
		(void)setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
	if (s->method == BED_UDP_SPORT53 || s->method == BED_UDP_SPORT67 || s->method == BED_UDP_SPORT123)
		bind_port(fd, t->family, s->method == BED_UDP_SPORT53 ? 53 : s->method == BED_UDP_SPORT67 ? 67 : 123);
}

static int send_udp(const struct bed_send *s, const struct bed_target *t, const struct bed_mark *m)
{
	static char big[4000];
	ZT_CLOSE int fd = bed_socket_as(s, t->family, SOCK_DGRAM, s->method == BED_UDPLITE ? IPPROTO_UDPLITE : 0);

	if (fd < 0)
		return fd;
	if (s->method == BED_UDP_CONNECTED || s->method == BED_UDP_RECONNECT)
		return send_udp_connected(fd, s, t, m);
	if (s->method == BED_UDP_SENDMMSG)
		return send_udp_many(fd, t, m);
	prepare_udp(fd, s, t);
	memcpy(big, m, sizeof(*m));
	(void)sendto(fd, big, s->method == BED_UDP_BIG ? sizeof(big) : sizeof(*m), 0, &t->a.sa, t->len);
	return 0;
}

/* ---- tcp ---- */
/* The identifier of a connection is its source port: bound to 10000 + id. */
static int send_tcp(const struct bed_send *s, const struct bed_target *t, uint32_t id)
{
	int proto = s->method == BED_MPTCP ? 262 : s->method == BED_SCTP ? IPPROTO_SCTP : 0;
	ZT_CLOSE int fd = bed_socket_as(s, t->family, SOCK_STREAM | SOCK_NONBLOCK, proto);
	struct linger reset = {.l_onoff = 1};
	int one = 1;

	if (fd < 0)
		return fd;
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	bind_port(fd, t->family, (uint16_t)(10000 + id % 50000));
	if (s->method == BED_TCP_FASTOPEN_CONNECT)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof(one));
	if (s->method == BED_TCP_FASTOPEN)
		(void)sendto(fd, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, &t->a.sa, t->len);
	else if (connect(fd, &t->a.sa, t->len) == 0 || s->method == BED_TCP_FASTOPEN_CONNECT)
		(void)send(fd, "x", 1, MSG_NOSIGNAL);
	(void)poll(NULL, 0, 2);
	return 0;
}

/* ---- raw ---- */
static int send_icmp(const struct bed_send *s, const struct bed_target *t, const struct bed_mark *m)
{
	bool v6 = t->family == AF_INET6;
	ZT_CLOSE int fd = bed_socket_as(s, t->family, s->method == BED_PING ? SOCK_DGRAM : SOCK_RAW,
					v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	uint8_t packet[8 + sizeof(*m)] = {v6 ? 128 : 8};
	struct bed_target to = *t;
	uint16_t sum;

	if (fd < 0)
		return fd;
	bed_target_port(&to, 0);
	memcpy(packet + 8, m, sizeof(*m));
	sum = v6 ? 0 : bed_checksum(packet, sizeof(packet), 0);
	memcpy(packet + 2, &sum, 2);
	(void)sendto(fd, packet, sizeof(packet), 0, &to.a.sa, to.len);
	return 0;
}

static int send_raw(const struct bed_send *s, const struct bed_target *t, const struct bed_mark *m)
{
	uint8_t proto = s->method == BED_RAW_GRE ? 47 : s->method == BED_RAW_ESP ? 50 : 253;
	ZT_CLOSE int fd = bed_socket_as(s, t->family, SOCK_RAW, proto);
	uint8_t packet[8 + sizeof(*m)] = {0};
	struct bed_target to = *t;

	if (fd < 0)
		return fd;
	packet[proto == 47 ? 2 : 3] = proto == 47 ? 8 : 1; /* GRE of IPv4; an SPI */
	memcpy(packet + 8, m, sizeof(*m));
	bed_target_port(&to, 0);
	(void)sendto(fd, packet, sizeof(packet), 0, &to.a.sa, to.len);
	return 0;
}

static enum bed_shape shape_of(enum bed_method m)
{
	switch (m) {
	case BED_RAW_SOURCE_ROUTE:
		return BED_S_LSRR;
	case BED_RAW_FRAGMENTS:
	case BED_RAW6_FRAGMENTS:
		return BED_S_FRAGMENTS;
	case BED_RAW_TINY:
		return BED_S_TINY;
	case BED_RAW_TRAILING:
		return BED_S_TRAILING;
	case BED_RAW6_CHAIN:
		return BED_S_CHAIN;
	case BED_RAW6_ATOMIC:
		return BED_S_ATOMIC;
	default:
		return BED_S_PLAIN;
	}
}

static int craft_for(const struct bed_send *s, const struct bed_target *t, uint32_t id, struct bed_packets *ret)
{
	struct bed_craft c = {
		.shape = shape_of(s->method), .dst = s->dst, .proto = 17, .sport = 4444, .port = s->port, .id = id};

	c.src = t->family == AF_INET6 ? "fd99::1" : strncmp(s->dst, "127.", 4) == 0 ? "127.0.0.1" : "10.99.0.1";
	if (s->method == BED_RAW_SPOOFED || (s->method == BED_PACKET_LO && strncmp(s->dst, "10.", 3) == 0))
		c.src = "10.99.0.77";
	if (s->method == BED_RAW_SOURCE_ROUTE && strcmp(s->dst, "10.99.0.2") != 0) { /* past the peer */
		c.past = c.dst;
		c.dst = "10.99.0.2";
	}
	return bed_craft(&c, ret);
}

static int send_header_included(const struct bed_send *s, const struct bed_target *t, uint32_t id)
{
	ZT_CLOSE int fd = bed_socket_as(s, t->family, SOCK_RAW, IPPROTO_RAW);
	struct bed_packets packets;
	struct bed_target to = *t;
	int one = 1, r = craft_for(s, t, id, &packets);

	if (fd < 0 || r < 0)
		return fd < 0 ? fd : r;
	bed_target_port(&to, 0);
	if (s->method == BED_RAW_TINY ||
	    s->method == BED_RAW_TRAILING) /* they stay fragments on their way through the hooks */
		(void)setsockopt(fd, IPPROTO_IP, 22 /* IP_NODEFRAG */, &one, sizeof(one));
	for (size_t i = 0; i < packets.n; i++)
		(void)sendto(fd, packets.p[i].bytes, packets.p[i].len, 0, &to.a.sa, to.len);
	return 0;
}

/* ---- packet sockets ---- */
static int send_packet(const struct bed_send *s, const struct bed_target *t, uint32_t id)
{
	bool link = s->method == BED_PACKET_RAW;
	ZT_CLOSE int fd = bed_socket_as(s, AF_PACKET, link ? SOCK_RAW : SOCK_DGRAM, 0);
	struct sockaddr_ll to = {.sll_family = AF_PACKET,
				 .sll_protocol = htons(ETH_P_IP),
				 .sll_halen = 6,
				 .sll_ifindex = (int)if_nametoindex(s->method == BED_PACKET_LO ? "lo" : "va")};
	uint8_t frame[14 + 256] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 0};
	struct bed_packets packets;
	int one = 1, r = craft_for(s, t, id, &packets);

	if (fd < 0 || r < 0 || packets.p[0].len > 256)
		return fd < 0 ? fd : r ? r : -E2BIG;
	memset(to.sll_addr, s->method == BED_PACKET_LO ? 0 : 0xff, 6);
	if (s->method == BED_PACKET_BYPASS)
		(void)setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one));
	memcpy(frame + 14, packets.p[0].bytes, packets.p[0].len);
	(void)sendto(fd, link ? frame : frame + 14, packets.p[0].len + (link ? 14 : 0), 0, (struct sockaddr *)&to,
		     sizeof(to));
	return 0;
}

static int send_by_method(const struct bed_send *s, uint32_t id)
{
	struct bed_mark m = bed_mark(id);
	struct bed_target t;
	int r = bed_target(s->dst, s->port, &t);

	if (r < 0)
		return r;
	switch (s->method) {
	case BED_TCP:
	case BED_TCP_FASTOPEN:
	case BED_TCP_FASTOPEN_CONNECT:
	case BED_MPTCP:
	case BED_SCTP:
		return send_tcp(s, &t, id);
	case BED_ICMP:
	case BED_PING:
		return send_icmp(s, &t, &m);
	case BED_RAW:
	case BED_RAW_GRE:
	case BED_RAW_ESP:
		return send_raw(s, &t, &m);
	case BED_RAW_UDP:
	case BED_RAW_SPOOFED:
	case BED_RAW_SOURCE_ROUTE:
	case BED_RAW_FRAGMENTS:
	case BED_RAW_TINY:
	case BED_RAW_TRAILING:
	case BED_RAW6_CHAIN:
	case BED_RAW6_ATOMIC:
	case BED_RAW6_FRAGMENTS:
		return send_header_included(s, &t, id);
	case BED_PACKET:
	case BED_PACKET_RAW:
	case BED_PACKET_BYPASS:
	case BED_PACKET_LO:
		return send_packet(s, &t, id);
	case BED_PACKET_RING:
	case BED_XDP_COPY:
	case BED_XDP_ZEROCOPY:
	case BED_URING_UDP:
	case BED_URING_UDP_ASYNC:
	case BED_URING_SEND_ZC:
	case BED_URING_SENDMSG_ZC:
	case BED_URING_TCP:
	case BED_URING_POLLED_UDP:
	case BED_URING_POLLED_TCP:
		return bed_ring_send(s, &t, id);
	default:
		return s->method >= BED_DCCP && s->method <= BED_TCP_AGAIN ? bed_odd_send(s, &t, id)
									   : send_udp(s, &t, &m);
	}
}

int bed_send_now(const struct bed_send *s, uint32_t id)
{
	int r = bed_act_as(s);

	r = r ? r : send_by_method(s, id);
	bed_act_root();
	return r;
}
