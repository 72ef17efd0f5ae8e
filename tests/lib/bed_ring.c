/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Senders that hand packets to the kernel through shared memory instead of a system call each: io_uring (raw system calls, as in
 * io_uring(7)), TX_RING of packet sockets (Documentation/networking/packet_mmap.rst) and AF_XDP (Documentation/networking/af_xdp.rst).
 */
#include "bed.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/if_xdp.h>
#include <linux/io_uring.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* ---- io_uring ---- */
struct uring {
	int fd;
	struct io_uring_params p;
	uint8_t *sq, *cq;
	struct io_uring_sqe *sqes;
	size_t sq_len, cq_len;
};

static void uring_done(struct uring *u)
{
	if (u->sqes)
		(void)munmap(u->sqes, u->p.sq_entries * sizeof(*u->sqes));
	if (u->cq)
		(void)munmap(u->cq, u->cq_len);
	if (u->sq)
		(void)munmap(u->sq, u->sq_len);
	zt_closep(&u->fd);
}

static void *map_ring(int fd, size_t len, uint64_t at)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, (off_t)at);

	return p == MAP_FAILED ? NULL : p;
}

/* polled: a thread of the kernel takes the requests, with the rights of who made the ring. */
static int uring_open(struct uring *u, bool polled)
{
	*u = (struct uring){.fd = -1, .p.flags = polled ? IORING_SETUP_SQPOLL : 0, .p.sq_thread_idle = 1};
	u->fd = (int)syscall(SYS_io_uring_setup, 8, &u->p);
	if (u->fd < 0)
		return -errno;
	u->sq_len = u->p.sq_off.array + u->p.sq_entries * sizeof(uint32_t);
	u->cq_len = u->p.cq_off.cqes + u->p.cq_entries * sizeof(struct io_uring_cqe);
	u->sq = map_ring(u->fd, u->sq_len, IORING_OFF_SQ_RING);
	u->cq = map_ring(u->fd, u->cq_len, IORING_OFF_CQ_RING);
	u->sqes = map_ring(u->fd, u->p.sq_entries * sizeof(*u->sqes), IORING_OFF_SQES);
	return u->sq && u->cq && u->sqes ? 0 : -ENOMEM;
}

/* One request, one completion; the result of the operation. A zero-copy send completes twice: the first tells the result. */
static int uring_do(struct uring *u, const struct io_uring_sqe *sqe)
{
	uint32_t *tail = (uint32_t *)(u->sq + u->p.sq_off.tail), mask = *(uint32_t *)(u->sq + u->p.sq_off.ring_mask);
	uint32_t *head = (uint32_t *)(u->cq + u->p.cq_off.head), cmask = *(uint32_t *)(u->cq + u->p.cq_off.ring_mask);
	struct io_uring_cqe *cqe = (struct io_uring_cqe *)(u->cq + u->p.cq_off.cqes) + (*head & cmask);
	uint32_t slot = *tail & mask, wake = u->p.flags & IORING_SETUP_SQPOLL ? IORING_ENTER_SQ_WAKEUP : 0;
	int result;

	u->sqes[slot] = *sqe;
	((uint32_t *)(u->sq + u->p.sq_off.array))[slot] = slot;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, u->fd, 1, 1, IORING_ENTER_GETEVENTS | wake, NULL, 0) < 0)
		return -errno;
	if (__atomic_load_n((uint32_t *)(u->cq + u->p.cq_off.tail), __ATOMIC_ACQUIRE) == *head)
		return -EIO;
	result = cqe->res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return result;
}

static int uring_socket(struct uring *u, const struct bed_send *s, int family, int type, uint8_t flags)
{
	struct io_uring_sqe sqe = {.opcode = IORING_OP_SOCKET, .flags = flags, .fd = family, .off = (uint64_t)type};
	(void)s;
	return uring_do(u, &sqe);
}

static void bind_id(int fd, int family, uint32_t id)
{
	struct sockaddr_in6 any = {.sin6_family = (sa_family_t)family,
				   .sin6_port = htons((uint16_t)(10000 + id % 50000))};
	struct linger reset = {.l_onoff = 1};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	(void)bind(fd, (struct sockaddr *)&any, family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(any));
}

static int uring_send(struct uring *u, const struct bed_send *s, int fd, const struct bed_target *t, struct bed_mark *m)
{
	uint8_t flags = s->method == BED_URING_UDP_ASYNC ? IOSQE_ASYNC : 0;
	struct io_uring_sqe connecting = {
		.opcode = IORING_OP_CONNECT, .flags = flags, .fd = fd, .addr = (uintptr_t)&t->a, .off = t->len};
	struct iovec iov = {.iov_base = m, .iov_len = sizeof(*m)};
	struct msghdr msg = {
		.msg_name = (void *)(uintptr_t)&t->a, .msg_namelen = t->len, .msg_iov = &iov, .msg_iovlen = 1};
	struct io_uring_sqe sending = {
		.opcode = IORING_OP_SEND, .flags = flags, .fd = fd, .addr = (uintptr_t)m, .len = sizeof(*m)};
	int r;

	if (s->method == BED_URING_SENDMSG_ZC) {
		sending = (struct io_uring_sqe){
			.opcode = IORING_OP_SENDMSG_ZC, .fd = fd, .addr = (uintptr_t)&msg, .len = 1};
	} else {
		r = uring_do(u, &connecting);
		if (s->method == BED_URING_SEND_ZC)
			sending.opcode = IORING_OP_SEND_ZC;
		if (r < 0) /* refused: nothing to send on; that is what the count at the peer tells */
			return 0;
	}
	sending.msg_flags = MSG_NOSIGNAL;
	r = uring_do(u, &sending);
	return r == -EINVAL || r == -EOPNOTSUPP ? r : 0;
}

static int send_uring(const struct bed_send *s, const struct bed_target *t, uint32_t id)
{
	ZT_CLEANUP(uring_done) struct uring u = {.fd = -1};
	struct bed_mark m = bed_mark(id);
	bool tcp = s->method == BED_URING_TCP || s->method == BED_URING_POLLED_TCP;
	struct io_uring_sqe connecting;
	int r = uring_open(&u, s->method >= BED_URING_POLLED_UDP);
	ZT_CLOSE int fd = r < 0 ? -1
				: uring_socket(&u, s, t->family, tcp ? SOCK_STREAM | SOCK_NONBLOCK : SOCK_DGRAM,
					       s->method == BED_URING_UDP_ASYNC ? IOSQE_ASYNC : 0);

	if (r < 0 || fd < 0)
		return r < 0 ? r : fd;
	if (!tcp)
		return uring_send(&u, s, fd, t, &m);
	/* The socket does not wait: the request ends with EAGAIN once the connection is begun, which is all that counts. */
	bind_id(fd, t->family, id);
	connecting =
		(struct io_uring_sqe){.opcode = IORING_OP_CONNECT, .fd = fd, .addr = (uintptr_t)&t->a, .off = t->len};
	(void)uring_do(&u, &connecting);
	return 0;
}

/* ---- TX_RING ---- */
static int send_tx_ring(const struct bed_send *s, const uint8_t *packet, size_t len)
{
	ZT_CLOSE int fd = bed_socket_as(s, AF_PACKET, SOCK_DGRAM, 0);
	struct tpacket_req req = {.tp_block_size = 4096, .tp_block_nr = 1, .tp_frame_size = 2048, .tp_frame_nr = 2};
	struct sockaddr_ll to = {.sll_family = AF_PACKET,
				 .sll_protocol = htons(ETH_P_IP),
				 .sll_halen = 6,
				 .sll_ifindex = (int)if_nametoindex("va"),
				 .sll_addr = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
	int version = TPACKET_V2;
	struct tpacket2_hdr *h;
	uint8_t *ring;

	if (fd < 0)
		return fd;
	if (setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_TX_RING, &req, sizeof(req)) < 0)
		return -errno;
	ring = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ring == MAP_FAILED)
		return -errno;
	h = (struct tpacket2_hdr *)ring;
	memcpy(ring + TPACKET2_HDRLEN - sizeof(struct sockaddr_ll), packet, len);
	h->tp_len = (uint32_t)len;
	h->tp_status = TP_STATUS_SEND_REQUEST;
	(void)sendto(fd, NULL, 0, 0, (struct sockaddr *)&to, sizeof(to));
	(void)munmap(ring, 4096);
	return 0;
}

/* ---- AF_XDP ---- */
#define XDP_AREA (64u << 10)
#define XDP_RING 4u

static int xdp_ring(int fd, int option, uint64_t at, const struct xdp_ring_offset *off, size_t entry, uint8_t **ret)
{
	int entries = XDP_RING;

	if (setsockopt(fd, SOL_XDP, option, &entries, sizeof(entries)) < 0)
		return -errno;
	*ret = ret && off ? mmap(NULL, off->desc + XDP_RING * entry, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
				 fd, (off_t)at)
			  : NULL;
	return *ret == MAP_FAILED ? -errno : 0;
}

/* The sockets of the area, its rings and the binding; tx is the ring of packets to be sent. */
static int xdp_setup(int fd, const struct bed_send *s, void *area, struct xdp_mmap_offsets *off, uint8_t **ret_tx)
{
	struct xdp_umem_reg reg = {.addr = (uintptr_t)area, .len = XDP_AREA, .chunk_size = 4096};
	struct sockaddr_xdp to = {.sxdp_family = AF_XDP,
				  .sxdp_ifindex = if_nametoindex("va"),
				  .sxdp_flags = s->method == BED_XDP_COPY ? XDP_COPY : XDP_ZEROCOPY};
	socklen_t len = sizeof(*off);
	int entries = XDP_RING, r;

	if (setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)) < 0 ||
	    setsockopt(fd, SOL_XDP, XDP_UMEM_FILL_RING, &entries, sizeof(entries)) < 0 ||
	    setsockopt(fd, SOL_XDP, XDP_UMEM_COMPLETION_RING, &entries, sizeof(entries)) < 0 ||
	    getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, off, &len) < 0)
		return -errno;
	r = xdp_ring(fd, XDP_TX_RING, XDP_PGOFF_TX_RING, &off->tx, sizeof(struct xdp_desc), ret_tx);
	if (!r && bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		r = -errno;
	return r;
}

static int send_xdp(const struct bed_send *s, const uint8_t *packet, size_t len)
{
	static const uint8_t link[14] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 0};
	ZT_CLOSE int fd = bed_socket_as(s, AF_XDP, SOCK_RAW, 0);
	uint8_t *area = mmap(NULL, XDP_AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *tx = NULL;
	struct xdp_mmap_offsets off;
	int r = fd < 0 ? fd : area == MAP_FAILED ? -ENOMEM : xdp_setup(fd, s, area, &off, &tx);

	if (!r) {
		memcpy(area, link, sizeof(link));
		memcpy(area + sizeof(link), packet, len);
		*(struct xdp_desc *)(tx + off.tx.desc) = (struct xdp_desc){.addr = 0,
									   .len = (uint32_t)(sizeof(link) + len)};
		__atomic_store_n((uint32_t *)(tx + off.tx.producer), 1, __ATOMIC_RELEASE);
		if (sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN && errno != EBUSY)
			r = -errno;
		(void)poll(NULL, 0, 2); /* the socket's buffers are taken back when it is closed */
		(void)munmap(tx, off.tx.desc + XDP_RING * sizeof(struct xdp_desc));
	}
	if (area != MAP_FAILED)
		(void)munmap(area, XDP_AREA);
	return r;
}

int bed_ring_send(const struct bed_send *s, const struct bed_target *t, uint32_t id)
{
	struct bed_craft c = {.src = "10.99.0.1", .dst = s->dst, .proto = 17, .sport = 4444, .port = s->port, .id = id};
	struct bed_packets packets;
	int r;

	if (s->method >= BED_URING_UDP)
		return send_uring(s, t, id);
	r = bed_craft(&c, &packets);
	if (r < 0)
		return r;
	return s->method == BED_PACKET_RING ? send_tx_ring(s, packets.p[0].bytes, packets.p[0].len)
					    : send_xdp(s, packets.p[0].bytes, packets.p[0].len);
}
