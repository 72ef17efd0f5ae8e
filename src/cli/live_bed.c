/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "base/proc.h"
#include "base/strbuf.h"
#include "cli/live.h"

/* Of the veth pair; addresses that nobody's policy is about: IETF protocol assignments, local translation prefix. */
#define HOST4 "192.0.0.1"
#define PEER4 "192.0.0.2"
#define HOST6 "64:ff9b:1::1"
#define PEER6 "64:ff9b:1::2"
#define NEAR4 "192.0.0.3"
#define FAR4 "192.0.0.4"
#define NEAR6 "64:ff9b:1::1:1"
#define FAR6 "64:ff9b:1::1:2"
#define HOST_MAC "02:00:00:00:00:01"
#define PEER_MAC "02:00:00:00:00:02"
#define NEAR_MAC "02:00:00:00:00:03"
#define FAR_MAC "02:00:00:00:00:04"

/* ---- programs ---- */
static int ip(const char *text)
{
	const char *argv[] = {"ip", "-force", "-batch", "-", NULL};
	ZT_CLEANUP(zt_run_done) struct zt_run run = {.argv = argv, .input = text, .input_len = strlen(text)};
	int r = zt_run(&run);

	return r ? r : run.status ? -EIO : 0;
}

static int enter(int ns)
{
	return setns(ns, CLONE_NEWNET) < 0 ? -errno : 0;
}

static int put(const char *path, const char *text)
{
	ZT_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* What a kernel has not, it does not hold against us. */
static void settings(void)
{
	static const char *const list[][2] = {
		{"net/ipv4/ping_group_range", "0 2147483647"},
		{"net/ipv4/ip_unprivileged_port_start", "0"},
		{"net/ipv4/ip_nonlocal_bind", "1"},
		{"net/ipv6/ip_nonlocal_bind", "1"},
		{"net/ipv4/conf/all/rp_filter", "0"},
		{"net/ipv4/conf/default/rp_filter", "0"},
		{"net/ipv6/conf/all/accept_dad", "0"},
		{"net/ipv6/conf/default/accept_dad", "0"},
		{"net/ipv6/conf/default/accept_ra", "0"},
		{"net/ipv4/icmp_ratelimit", "0"},
		{"net/ipv6/conf/all/disable_ipv6", "0"},
		{"net/ipv6/conf/default/disable_ipv6", "0"},
		{"net/ipv4/conf/all/accept_local", "1"},
	};

	for (size_t i = 0; i < ZT_ARRAY_SIZE(list); i++) {
		char path[128];

		(void)snprintf(path, sizeof(path), "/proc/sys/%s", list[i][0]);
		(void)put(path, list[i][1]);
	}
}

/* ---- namespaces ---- */
static int new_namespace(void)
{
	int fd;

	if (unshare(CLONE_NEWNET) < 0)
		return -errno;
	settings();
	fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* A bpf file system of our own: what is pinned there ends with us. */
static int own_mounts(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	(void)mount("bpf", "/sys/fs/bpf", "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700"); /* the engine tells */
	return 0;
}

static int wire(struct zt_live_bed *b)
{
	/* The descriptor is this process's, not that of the program which reads it. */
	ZT_FREE char *text = zt_asprintf(
		"link set lo up\nlink add zt-h address " HOST_MAC " type veth peer name zt-p address " PEER_MAC "\n"
		"link set zt-p netns /proc/%d/fd/%d\naddr add " HOST4 " peer " PEER4 "/32 dev zt-h\n"
		"addr add " HOST6 "/112 dev zt-h nodad\nlink set zt-h up\n"
		"neigh add " PEER4 " lladdr " PEER_MAC " dev zt-h nud permanent\n"
		"neigh add " PEER6 " lladdr " PEER_MAC " dev zt-h nud permanent\n"
		"route add default via " PEER4 " dev zt-h src " HOST4 "\n"
		"route add ::/0 via " PEER6 " dev zt-h src " HOST6 "\n",
		(int)getpid(), b->ns_peer);
	int r = text ? ip(text) : -ENOMEM;

	r = r ? r : enter(b->ns_peer);
	return r ? r
		 : ip("link set lo up\naddr add " PEER4 " peer " HOST4 "/32 dev zt-p\naddr add " PEER6
		      "/112 dev zt-p nodad\nlink set zt-p up\nneigh add " HOST4 " lladdr " HOST_MAC
		      " dev zt-p nud permanent\nneigh add " HOST6 " lladdr " HOST_MAC " dev zt-p nud permanent\n"
		      "route add default via " HOST4 " dev zt-p\nroute add ::/0 via " HOST6 " dev zt-p\n");
}

/* From here on the host forwards: to what is behind a second pair. */
static int wire_far(struct zt_live_bed *b, int ns_far)
{
	ZT_FREE char *text =
		zt_asprintf("link add zt-n address " NEAR_MAC " type veth peer name zt-f address " FAR_MAC "\n"
			    "link set zt-f netns /proc/%d/fd/%d\naddr add " NEAR4 " peer " FAR4 "/32 dev zt-n\n"
			    "addr add " NEAR6 "/112 dev zt-n nodad\nlink set zt-n up\n"
			    "neigh add " FAR4 " lladdr " FAR_MAC " dev zt-n nud permanent\n"
			    "neigh add " FAR6 " lladdr " FAR_MAC " dev zt-n nud permanent\n",
			    (int)getpid(), ns_far);
	int r = enter(b->ns_host);

	r = r ? r : text ? ip(text) : -ENOMEM;
	r = r ? r : put("/proc/sys/net/ipv4/ip_forward", "1");
	if (!r)
		(void)put("/proc/sys/net/ipv6/conf/all/forwarding", "1"); /* a kernel without IPv6 forwards none */
	r = r ? r : enter(ns_far);
	return r ? r : ip("link set zt-f up\n");
}

/* ---- where packets are seen ---- */
static int packet_socket(const char *device)
{
	struct sockaddr_ll a = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(device)};
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), size = 16 << 20, one = 1;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	(void)setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
	return bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : fd;
}

static const uint8_t tapped[ZT_LIVE_TAPS] = {6, 17, 1, 6, 17, 58}; /* the first half is IPv4 */

static int open_taps(struct zt_live_bed *b)
{
	int size = 8 << 20;

	for (size_t i = 0; i < ZT_LIVE_TAPS; i++) {
		b->taps[i] = socket(i < ZT_LIVE_TAPS / 2 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
				    tapped[i]);
		if (b->taps[i] < 0)
			return -errno;
		(void)setsockopt(b->taps[i], SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	}
	return 0;
}

int zt_live_bed_open(struct zt_live_bed *b)
{
	int r = own_mounts(), ns_far;

	b->ns_mounts = -1;
	b->self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	b->ns_peer = r ? r : new_namespace();
	ns_far = b->ns_peer < 0 ? b->ns_peer : new_namespace();
	b->ns_host = ns_far < 0 ? ns_far : new_namespace();
	r = b->ns_host < 0 ? b->ns_host : wire(b);
	b->wire = r ? r : packet_socket("zt-p");
	r = b->wire < 0 ? b->wire : wire_far(b, ns_far);
	b->far = r ? r : packet_socket("zt-f");
	r = b->far < 0 ? b->far : enter(b->ns_host);
	return r ? r : b->self < 0 ? -EBADF : open_taps(b);
}

/* ---- addresses ---- */
static bool reserved6(const struct zt_addr *a, bool local)
{
	static const uint8_t zero[12], mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (zt_addr_is_loopback(a))
		return !local;
	return a->b[0] == 0xff || (a->b[0] == 0xfe && (a->b[1] & 0x80)) || !memcmp(a->b, zero, 12) ||
	       !memcmp(a->b, mapped, 12);
}

static bool on_the_wire(const struct zt_addr *a)
{
	static const char *const own[] = {HOST4, PEER4, HOST6, PEER6, NEAR4, FAR4, NEAR6, FAR6};
	struct zt_addr x;

	for (size_t i = 0; i < ZT_ARRAY_SIZE(own); i++)
		if (zt_addr_parse(own[i], &x) == 0 && !zt_addr_cmp(&x, a))
			return true;
	return false;
}

bool zt_live_addr_usable(const struct zt_addr *a, bool local)
{
	if (on_the_wire(a))
		return false;
	if (a->family == 6)
		return !reserved6(a, local);
	if (a->b[0] == 127) /* the network's own address is none of an interface's */
		return local && (a->b[1] || a->b[2] || a->b[3]) &&
		       !(a->b[1] == 255 && a->b[2] == 255 && a->b[3] == 255);
	return a->family == 4 && a->b[0] && a->b[0] < 224;
}

static void route(struct zt_strbuf *out, const struct zt_addr *a, bool add)
{
	char text[64];

	zt_addr_format(a, text);
	zt_strbuf_printf(out, "route %s %s/%d via %s dev zt-n\n", add ? "add" : "del", text, a->family == 4 ? 32 : 128,
			 a->family == 4 ? FAR4 : FAR6);
}

static void line(struct zt_strbuf *out, const struct zt_addr *a, bool add)
{
	char text[64];

	if (zt_addr_is_loopback(a) || !a->family)
		return;
	zt_addr_format(a, text);
	zt_strbuf_printf(out, "addr %s %s/%d dev lo%s\n", add ? "add" : "del", text, a->family == 4 ? 32 : 128,
			 add && a->family == 6 ? " nodad" : "");
}

/* The kernel makes the route to a new IPv6 address a moment later, from a work queue. A connected datagram socket tells by its MTU. */
static bool is_local6(const struct zt_addr *a)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(1)};
	ZT_CLOSE int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int mtu = 0;
	socklen_t len = sizeof(mtu);

	memcpy(&to.sin6_addr, a->b, 16);
	return fd < 0 || (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
			  getsockopt(fd, IPPROTO_IPV6, IPV6_MTU, &mtu, &len) == 0 && mtu > 1500);
}

static void wait_local(const struct zt_addr *a)
{
	if (a->family == 6 && !zt_addr_is_loopback(a))
		for (int i = 0; i < 20000 && !is_local6(a); i++)
			(void)usleep(500);
}

static int wait_all(const struct zt_live_bed *b, struct zt_live_probe *const *batch, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		if (batch[i]->kind == ZT_LIVE_OUT)
			continue;
		if (batch[i]->kind != ZT_LIVE_FORWARD)
			wait_local(&batch[i]->flow.dst);
		if (batch[i]->kind == ZT_LIVE_LOCAL)
			wait_local(&batch[i]->flow.src);
	}
	for (size_t i = 0; !r && i < n; i++) {
		if (batch[i]->kind < ZT_LIVE_IN || batch[i]->flow.src.family != 6)
			continue;
		r = enter(b->ns_peer);
		if (!r)
			wait_local(&batch[i]->flow.src);
		r = enter(b->ns_host);
	}
	return r;
}

int zt_live_bed_addresses(struct zt_live_bed *b, struct zt_live_probe *const *batch, size_t n, bool add)
{
	ZT_STRBUF struct zt_strbuf host = {0}, peer = {0};
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		const struct zt_live_probe *p = batch[i];

		if (p->kind == ZT_LIVE_OUT)
			continue;
		if (p->kind == ZT_LIVE_FORWARD)
			route(&host, &p->flow.dst, add);
		else
			line(&host, &p->flow.dst, add);
		if (p->kind == ZT_LIVE_LOCAL)
			line(&host, &p->flow.src, add);
		else
			line(&peer, &p->flow.src, add);
	}
	if (host.len) /* the same address twice is no error */
		(void)ip(zt_strbuf_cstr(&host));
	if (peer.len) {
		r = enter(b->ns_peer);
		if (!r)
			(void)ip(zt_strbuf_cstr(&peer));
		r = enter(b->ns_host);
	}
	return r || !add ? r : wait_all(b, batch, n);
}

/* ---- what arrived ---- */
struct arrival {
	void (*found)(void *arg, enum zt_live_kind kind, uint8_t proto, uint16_t sport);
	void *arg;
	enum zt_live_kind kind;
};

/* Only what starts a flow: answers carry the same numbers the other way round. */
static void upper(const struct arrival *a, uint8_t proto, const uint8_t *p, size_t len)
{
	if (len < 8)
		return;
	if ((proto == 6 && len >= 14 && (p[13] & 0x12) == 2) || proto == 17)
		a->found(a->arg, a->kind, proto, (uint16_t)(p[0] << 8 | p[1]));
	else if ((proto == 1 && p[0] == 8) || (proto == 58 && p[0] == 128))
		a->found(a->arg, a->kind, proto, (uint16_t)(p[4] << 8 | p[5]));
}

static void packet(const struct arrival *a, const uint8_t *p, size_t len)
{
	bool six = len > 40 && p[0] >> 4 == 6;
	size_t head = six ? 40 : (size_t)(p[0] & 15) * 4;

	if (len > head && (six || len > 20))
		upper(a, six ? p[6] : p[9], p + head, len - head);
}

static void drain(int fd, const struct arrival *a, uint8_t headless)
{
	uint8_t buf[2048];
	ssize_t len;

	while ((len = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		if (headless)
			upper(a, headless, buf, (size_t)len);
		else
			packet(a, buf, (size_t)len);
}

void zt_live_bed_drain(struct zt_live_bed *b,
		       void (*found)(void *arg, enum zt_live_kind kind, uint8_t proto, uint16_t sport), void *arg)
{
	struct arrival a = {found, arg, ZT_LIVE_OUT};

	drain(b->wire, &a, 0);
	a.kind = ZT_LIVE_FORWARD;
	drain(b->far, &a, 0);
	a.kind = ZT_LIVE_LOCAL;
	for (size_t i = 0; i < ZT_LIVE_TAPS; i++)
		drain(b->taps[i], &a, i < ZT_LIVE_TAPS / 2 ? 0 : tapped[i]);
}
