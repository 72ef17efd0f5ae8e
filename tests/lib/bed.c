/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bed.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/time.h"
#include "identity/identity.h"

#define MAGIC "ztBed!"

static const char *const names[] = {
	"udp sendto", "udp connected", "udp sendmmsg", "udp re-connected", "udp 4000 bytes", "udp destination options", "udp hop-by-hop options",
	"udp from port 53", "udp with SO_MARK", "tcp", "tcp fast open sendto", "tcp fast open connect", "mptcp", "udplite", "icmp echo", "ping socket",
	"raw protocol 253", "raw udp header included", "raw udp spoofed source", "raw udp source route", "packet socket",
	"packet socket, queue bypass", "packet socket on lo",
};
_Static_assert(ZT_ARRAY_SIZE(names) == BED_N_METHODS, "one name a method");

const char *bed_method_name(enum bed_method m)
{
	return names[m];
}

/* ---- TAP ---- */
void bed_ok(struct bed *b, bool ok, const char *fmt, ...)
{
	va_list ap;

	b->planned++;
	b->failed += !ok;
	printf("%sok %u - ", ok ? "" : "not ", b->planned);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	(void)fflush(stdout);
}

void bed_skip(struct bed *b, const char *what, const char *why)
{
	b->planned++;
	b->skipped++;
	printf("ok %u - %s # SKIP %s\n", b->planned, what, why);
}

int bed_finish(struct bed *b)
{
	printf("1..%u\n", b->planned);
	return b->failed ? 1 : 0;
}

/* ---- namespaces ---- */
static int run(const char *line)
{
	const char *argv[] = {"sh", "-c", line, NULL};
	ZT_CLEANUP(zt_run_done) struct zt_run r = {.argv = argv};
	int e = zt_run(&r);

	if (!e && r.status)
		fprintf(stderr, "# %s: %s", line, r.err);
	return e ? e : r.status ? -EIO : 0;
}

static int tap(const char *device)
{
	struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(device)};
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL)), size = 64 << 20, one = 1;

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	(void)setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
	return fd;
}

static int make_cgroup(struct bed *b, const char *name)
{
	ZT_FREE char *mount = NULL, *dir = NULL;
	int r = zt_cgroup_mount(&mount);

	if (r < 0)
		return 0;
	(void)snprintf(b->cgroup, sizeof(b->cgroup), "%s-%d", name, (int)getpid());
	dir = zt_path_join(mount, b->cgroup);
	if (!dir || (mkdir(dir, 0755) < 0 && errno != EEXIST) || zt_cgroup_lookup(NULL, b->cgroup, &b->cgroup_id, &b->cgroup_level) < 0)
		b->cgroup[0] = '\0';
	return 0;
}

static int open_namespaces(struct bed *b)
{
	char line[512];

	if (unshare(CLONE_NEWNET) < 0 || (b->ns_b = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)) < 0)
		return -errno;
	if (unshare(CLONE_NEWNET) < 0 || (b->ns_a = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)) < 0)
		return -errno;
	(void)snprintf(line, sizeof(line),
		       "ip link set lo up; ip link add va type veth peer name vb; ip link set vb netns /proc/%d/fd/%d; ip addr add "
		       "10.99.0.1/24 dev va; ip addr add fd99::1/64 dev va nodad; ip link set va up; "
		       "sysctl -qw net.ipv4.ping_group_range='0 2147483647' net.ipv4.tcp_fastopen=3 net.ipv6.conf.all.accept_dad=0",
		       (int)getpid(), b->ns_b);
	if (run(line) < 0 || setns(b->ns_b, CLONE_NEWNET) < 0)
		return -EIO;
	if (run("ip link set lo up; ip addr add 10.99.0.2/24 dev vb; ip addr add fd99::2/64 dev vb nodad; ip link set vb up") < 0)
		return -EIO;
	b->tap_b = tap("vb");
	if (setns(b->ns_a, CLONE_NEWNET) < 0)
		return -errno;
	b->tap_lo = tap("lo");
	/* Neighbours are known: a packet is not held back for them. */
	return run("ping -c1 -W2 10.99.0.2 >/dev/null; "
		   "ping -6 -c1 -W2 fd99::2 >/dev/null; true");
}

int bed_open(struct bed *b, const char *name)
{
	int r;

	*b = (struct bed){.ns_a = -1, .ns_b = -1, .tap_b = -1, .tap_lo = -1};
	if (geteuid())
		return -EPERM;
	r = open_namespaces(b);
	if (r < 0 || b->tap_b < 0 || b->tap_lo < 0)
		return r ? r : -EIO;
	return make_cgroup(b, name);
}

void bed_close(struct bed *b)
{
	ZT_FREE char *mount = NULL, *dir = NULL;

	if (b->cgroup[0] && zt_cgroup_mount(&mount) == 0 && (dir = zt_path_join(mount, b->cgroup)))
		(void)rmdir(dir);
	zt_closep(&b->tap_b);
	zt_closep(&b->tap_lo);
	zt_closep(&b->ns_a);
	zt_closep(&b->ns_b);
}

/* ---- sending ---- */
struct target {
	union {
		struct sockaddr sa;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} a;
	socklen_t len;
	int family;
};

static int make_target(const struct bed_send *s, struct target *t)
{
	*t = (struct target){0};
	if (inet_pton(AF_INET, s->dst, &t->a.v4.sin_addr) == 1) {
		t->a.v4.sin_family = AF_INET;
		t->a.v4.sin_port = htons(s->port);
		t->len = sizeof(t->a.v4);
	} else if (inet_pton(AF_INET6, s->dst, &t->a.v6.sin6_addr) == 1) {
		t->a.v6.sin6_family = AF_INET6;
		t->a.v6.sin6_port = htons(s->port);
		t->len = sizeof(t->a.v6);
	} else {
		return -EINVAL;
	}
	t->family = t->a.sa.sa_family;
	return 0;
}

struct mark {
	char magic[6];
	uint8_t pad[2];
	uint32_t id;
};

static struct mark make_mark(uint32_t id)
{
	struct mark m = {.id = id};

	memcpy(m.magic, MAGIC, sizeof(m.magic));
	return m;
}

/* What netfilter calls the owner of a socket is the file system user of its maker. */
static int socket_as(const struct bed_send *s, int family, int type, int proto)
{
	int fd, saved;

	if (!s->setuid_late) {
		(void)setfsgid(s->gid);
		(void)setfsuid(s->uid);
	}
	fd = socket(family, type | SOCK_CLOEXEC, proto);
	saved = errno;
	(void)setfsuid(0);
	(void)setfsgid(0);
	return fd < 0 ? -saved : fd;
}

static void options_header(int fd, int option, uint8_t size)
{
	uint8_t h[16] = {0, (uint8_t)(size / 8 - 1), 1, (uint8_t)(size - 4)}; /* PadN */

	(void)setsockopt(fd, IPPROTO_IPV6, option, h, size);
}

static int send_udp(const struct bed_send *s, const struct target *t, const struct mark *m)
{
	static char big[4000];
	ZT_CLOSE int fd = socket_as(s, t->family, SOCK_DGRAM, s->method == BED_UDPLITE ? IPPROTO_UDPLITE : 0);
	struct sockaddr unspec = {.sa_family = AF_UNSPEC};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)m, .iov_len = sizeof(*m)};
	struct mmsghdr mm = {.msg_hdr = {.msg_name = (void *)(uintptr_t)&t->a, .msg_namelen = t->len, .msg_iov = &iov, .msg_iovlen = 1}};
	struct target other = *t;
	int mark = 0x1337;

	if (fd < 0)
		return fd;
	switch (s->method) {
	case BED_UDP_CONNECTED:
		if (connect(fd, &t->a.sa, t->len) == 0)
			(void)send(fd, m, sizeof(*m), 0);
		return 0;
	case BED_UDP_SENDMMSG:
		(void)sendmmsg(fd, &mm, 1, 0);
		return 0;
	case BED_UDP_RECONNECT:
		other.a.v4.sin_port = htons(9);
		(void)connect(fd, &other.a.sa, other.len);
		(void)connect(fd, &unspec, sizeof(unspec));
		if (connect(fd, &t->a.sa, t->len) == 0)
			(void)send(fd, m, sizeof(*m), 0);
		return 0;
	case BED_UDP_BIG:
		memcpy(big, m, sizeof(*m));
		(void)sendto(fd, big, sizeof(big), 0, &t->a.sa, t->len);
		return 0;
	case BED_UDP_DSTOPTS:
		options_header(fd, IPV6_DSTOPTS, 8);
		break;
	case BED_UDP_HOPOPTS:
		options_header(fd, IPV6_HOPOPTS, 16);
		break;
	case BED_UDP_MARK:
		(void)setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
		break;
	case BED_UDP_SPORT53:
		if (t->family == AF_INET)
			(void)bind(fd, (struct sockaddr *)&(struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(53)},
				   sizeof(struct sockaddr_in));
		break;
	default:
		break;
	}
	(void)sendto(fd, m, sizeof(*m), 0, &t->a.sa, t->len);
	return 0;
}

/* The identifier of a connection is its source port: bound to 10000 + id. */
static int send_tcp(const struct bed_send *s, const struct target *t, uint32_t id)
{
	ZT_CLOSE int fd = socket_as(s, t->family, SOCK_STREAM | SOCK_NONBLOCK, s->method == BED_MPTCP ? 262 : 0);
	struct linger reset = {.l_onoff = 1};
	struct target from = {.family = t->family};
	int one = 1;

	if (fd < 0)
		return fd;
	from.a.sa.sa_family = (sa_family_t)t->family;
	from.a.v4.sin_port = htons((uint16_t)(10000 + id % 50000)); /* at the same place in both families */
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (bind(fd, &from.a.sa, t->len) < 0)
		return -errno;
	if (s->method == BED_TCP_FASTOPEN_CONNECT)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof(one));
	if (s->method == BED_TCP_FASTOPEN)
		(void)sendto(fd, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, &t->a.sa, t->len);
	else if (connect(fd, &t->a.sa, t->len) == 0 || s->method == BED_TCP_FASTOPEN_CONNECT)
		(void)send(fd, "x", 1, MSG_NOSIGNAL);
	(void)poll(NULL, 0, 2);
	return 0;
}

static uint16_t checksum(const void *data, size_t len, uint32_t sum)
{
	const uint8_t *p = data;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static int send_icmp(const struct bed_send *s, const struct target *t, const struct mark *m)
{
	bool v6 = t->family == AF_INET6;
	ZT_CLOSE int fd = socket_as(s, t->family, s->method == BED_PING ? SOCK_DGRAM : SOCK_RAW, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	uint8_t packet[8 + sizeof(*m)] = {v6 ? 128 : 8};
	struct target to = *t;
	uint16_t sum;

	if (fd < 0)
		return fd;
	to.a.v4.sin_port = 0;
	memcpy(packet + 8, m, sizeof(*m));
	sum = v6 ? 0 : checksum(packet, sizeof(packet), 0);
	memcpy(packet + 2, &sum, 2);
	(void)sendto(fd, packet, sizeof(packet), 0, &to.a.sa, to.len);
	return 0;
}

static int send_raw(const struct bed_send *s, const struct target *t, const struct mark *m)
{
	ZT_CLOSE int fd = socket_as(s, t->family, SOCK_RAW, 253);
	struct target to = *t;

	if (fd < 0)
		return fd;
	to.a.v4.sin_port = 0;
	(void)sendto(fd, m, sizeof(*m), 0, &to.a.sa, to.len);
	return 0;
}

/* An IPv4 packet with a UDP datagram; returns its length. */
static size_t build_ipv4(const struct bed_send *s, const struct target *t, const struct mark *m, uint8_t *out)
{
	size_t options = s->method == BED_RAW_SOURCE_ROUTE ? 8 : 0, head = 20 + options, len = head + 8 + sizeof(*m);
	struct iphdr ip = {.version = 4, .ihl = (unsigned)(head / 4) & 15, .tot_len = htons((uint16_t)len), .ttl = 64, .protocol = 17};
	struct udphdr udp = {.source = htons(4444), .dest = htons(s->port), .len = htons(8 + sizeof(*m))};
	bool lo = s->method == BED_PACKET_LO;

	ip.saddr = inet_addr(lo ? "127.0.0.1" : s->method == BED_RAW_SPOOFED ? "10.99.0.77" : "10.99.0.1");
	ip.daddr = t->a.v4.sin_addr.s_addr;
	memcpy(out, &ip, 20);
	if (options) {
		out[20] = 131; /* loose source route over the destination */
		out[21] = 7;
		out[22] = 4;
		memcpy(out + 23, &ip.daddr, 4);
	}
	ip.check = checksum(out, head, 0);
	memcpy(out + 10, &ip.check, 2);
	memcpy(out + head, &udp, 8);
	memcpy(out + head + 8, m, sizeof(*m));
	return len;
}

static int send_raw_udp(const struct bed_send *s, const struct target *t, const struct mark *m)
{
	ZT_CLOSE int fd = socket_as(s, AF_INET, SOCK_RAW, IPPROTO_RAW);
	uint8_t packet[128];
	size_t len = build_ipv4(s, t, m, packet);

	if (fd < 0)
		return fd;
	(void)sendto(fd, packet, len, 0, &t->a.sa, t->len);
	return 0;
}

static int send_packet(const struct bed_send *s, const struct target *t, const struct mark *m)
{
	ZT_CLOSE int fd = socket_as(s, AF_PACKET, SOCK_DGRAM, 0);
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_halen = 6,
				 .sll_ifindex = (int)if_nametoindex(s->method == BED_PACKET_LO ? "lo" : "va")};
	uint8_t packet[128];
	size_t len = build_ipv4(s, t, m, packet);
	int one = 1;

	if (fd < 0)
		return fd;
	memset(to.sll_addr, s->method == BED_PACKET_LO ? 0 : 0xff, 6);
	if (s->method == BED_PACKET_BYPASS)
		(void)setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one));
	(void)sendto(fd, packet, len, 0, (struct sockaddr *)&to, sizeof(to));
	return 0;
}

static int send_now(const struct bed_send *s, uint32_t id)
{
	struct mark m = make_mark(id);
	struct target t;
	int r = make_target(s, &t);

	if (r < 0)
		return r;
	switch (s->method) {
	case BED_TCP:
	case BED_TCP_FASTOPEN:
	case BED_TCP_FASTOPEN_CONNECT:
	case BED_MPTCP:
		return send_tcp(s, &t, id);
	case BED_ICMP:
	case BED_PING:
		return send_icmp(s, &t, &m);
	case BED_RAW:
		return send_raw(s, &t, &m);
	case BED_RAW_UDP:
	case BED_RAW_SPOOFED:
	case BED_RAW_SOURCE_ROUTE:
		return send_raw_udp(s, &t, &m);
	case BED_PACKET:
	case BED_PACKET_BYPASS:
	case BED_PACKET_LO:
		return send_packet(s, &t, &m);
	default:
		return send_udp(s, &t, &m);
	}
}

static int join_cgroup(const struct bed *b)
{
	ZT_FREE char *mount = NULL, *procs = NULL;
	ZT_CLOSE int fd = -1;

	if (zt_cgroup_mount(&mount) < 0 || !(procs = zt_asprintf("%s/%s/cgroup.procs", mount, b->cgroup)))
		return -ENOENT;
	fd = open(procs, O_WRONLY | O_CLOEXEC);
	return fd < 0 ? -errno : zt_write_all(fd, "0", 1);
}

int bed_send(struct bed *b, const struct bed_send *s, uint32_t id)
{
	int status = 0;
	pid_t pid;

	if (!s->in_cgroup)
		return send_now(s, id);
	(void)fflush(stdout);
	pid = fork();
	if (!pid)
		_exit(join_cgroup(b) < 0 ? 100 : -send_now(s, id));
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

/* ---- arriving ---- */
static void note_tcp(const uint8_t *p, size_t len, bool *seen, uint32_t n)
{
	uint32_t id;

	if (len < 14 || !(p[13] & 2) || p[13] & 0x10) /* SYN without ACK */
		return;
	id = (uint32_t)(p[0] << 8 | p[1]) - 10000;
	if (id < n)
		seen[id] = true;
}

static void note(const uint8_t *p, size_t len, bool *seen, uint32_t n)
{
	bool v6 = len > 40 && p[0] >> 4 == 6;
	size_t head = v6 ? 40 : (size_t)(p[0] & 15) * 4;
	uint8_t proto = v6 ? p[6] : len > 20 ? p[9] : 0;

	if (proto == 6 && len > head)
		note_tcp(p + head, len - head, seen, n);
	for (size_t at = head; at + sizeof(struct mark) <= len; at++) {
		struct mark m;

		memcpy(&m, p + at, sizeof(m));
		if (!memcmp(m.magic, MAGIC, sizeof(m.magic)) && m.id < n) {
			seen[m.id] = true;
			return;
		}
	}
}

/* An answer (echo reply, port unreachable) carries the mark back: only what goes towards a destination counts. */
static bool is_answer(const uint8_t *p, size_t len)
{
	bool v6 = len > 40 && p[0] >> 4 == 6;
	size_t head = v6 ? 40 : (size_t)(p[0] & 15) * 4;
	uint8_t proto = v6 ? p[6] : len > 20 ? p[9] : 0;

	return len > head && ((proto == 1 && p[head] != 8) || (proto == 58 && p[head] != 128));
}

void bed_collect(struct bed *b, unsigned msec, bool *seen, uint32_t n)
{
	zt_usec end = zt_now_monotonic() + msec * (zt_usec)1000;

	for (;;) {
		struct pollfd fds[2] = {{.fd = b->tap_b, .events = POLLIN}, {.fd = b->tap_lo, .events = POLLIN}};
		zt_usec now = zt_now_monotonic();
		int ready = poll(fds, 2, now >= end ? 0 : (int)((end - now) / 1000 + 1));

		for (int i = 0; ready > 0 && i < 2; i++) {
			uint8_t packet[70000];
			ssize_t len;

			while ((len = recv(fds[i].fd, packet, sizeof(packet), MSG_DONTWAIT)) > 0)
				if (!is_answer(packet, (size_t)len))
					note(packet, (size_t)len, seen, n);
		}
		if (!ready && zt_now_monotonic() >= end)
			return;
	}
}

int bed_arrives(struct bed *b, const struct bed_send *s, bool *ret)
{
	static uint32_t next;
	bool seen[4096] = {false};
	uint32_t id = next++ % 4096;
	int r;

	bed_collect(b, 0, seen, 4096);
	memset(seen, 0, sizeof(seen));
	r = bed_send(b, s, id);
	if (r < 0)
		return r;
	bed_collect(b, 30, seen, 4096);
	*ret = seen[id];
	return 0;
}

/* ---- rulesets ---- */
int bed_ruleset(struct zt_ruleset **ret)
{
	static uint64_t generation;
	int r = zt_ruleset_new(ret);

	if (!r)
		(*ret)->generation = ++generation;
	return r;
}

struct zt_rule *bed_rule(struct zt_ruleset *rs, const char *id, enum zt_verdict v)
{
	struct zt_rule *r = zt_ruleset_add(rs);

	if (!r || !(r->id = zt_strdup(id)))
		return NULL;
	r->verdict = v;
	r->match.families = ZT_FAMILY_4 | ZT_FAMILY_6;
	return r;
}

int bed_apply(struct bed *b, const struct zt_engine *e, struct zt_ruleset *rs)
{
	struct zt_image *img = NULL;
	struct zt_diags d = {0};
	bool changed;
	int r = zt_ruleset_rehash(rs);

	(void)b;
	r = r ? r : e->lower(rs, &img, &d);
	r = r ? r : e->commit(img, &changed, &d);
	if (r < 0 && r != -ENOTSUP)
		zt_diags_print(&d, stderr, false);
	if (img)
		e->image_free(img);
	zt_diags_done(&d);
	return r;
}
