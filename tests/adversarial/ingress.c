/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a hostile neighbour sends: extension headers, fragments, IP options, forged ICMP, spray at a published port. A packet counts as arrived
 * when it has passed the input hook (or, for forwarded ones, when it reaches the machine behind). Each shape is sent to a port that the policy
 * opens to the peer and to one that it does not: the second must never arrive, in whatever shape; the first tells whether a shape is
 * deliverable at all.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <string.h>

#include "base/mem.h"
#include "bed.h"

#define OPEN 7001
#define CLOSED 7002

struct case_ {
	const char *row;
	enum bed_shape shape;
	bool v6;
	bool delivered; /* to an open port: what this kernel does with the shape */
};

static const struct case_ cases[] = {
	{"7", BED_S_PLAIN, true, true},
	{"7", BED_S_HOPOPTS, true, true},
	{"7", BED_S_DSTOPTS, true, true},
	{"7", BED_S_RH0, true, false},
	{"7", BED_S_SRH, true, false},
	{"7", BED_S_ATOMIC, true, true},
	{"7", BED_S_AH, true, false},
	{"7", BED_S_CHAIN, true, true},
	{"7", BED_S_CHAIN_2K, true, true},
	{"7", BED_S_UNKNOWN, true, false},
	{"7", BED_S_NO_NEXT, true, false},
	{"8", BED_S_PLAIN, false, true},
	{"8", BED_S_FRAGMENTS, false, true},
	{"8", BED_S_FRAGMENTS, true, true},
	{"8", BED_S_TINY, false, true},
	{"8", BED_S_TINY, true, false},
	{"8", BED_S_OVERLAP, false, false},
	{"8", BED_S_OVERLAP, true, false},
	{"8", BED_S_TRAILING, false, false},
	{"8", BED_S_TRAILING, true, false},
	{"9", BED_S_LSRR, false, false},
	{"9", BED_S_SSRR, false, false},
	{"9", BED_S_RECORD_ROUTE, false, false},
	{"9", BED_S_ROUTER_ALERT, false, true},
	{"26", BED_S_AH, false, false},
};

static uint32_t next_id;

static bool arrives(struct bed *b, struct bed_craft *c, bool *ret)
{
	static bool seen[20000];
	struct bed_packets p;

	c->id = next_id++ % 20000;
	c->src = c->src ? c->src : strchr(c->dst, ':') ? "fd99::2" : "10.99.0.2";
	bed_forget(b);
	memset(seen, 0, sizeof(seen));
	if (bed_craft(c, &p) < 0 || bed_frames(b, true, &p) < 0)
		return false;
	bed_collect(b, 25, seen, ZT_ARRAY_SIZE(seen));
	*ret = seen[c->id];
	return true;
}

static int policy(struct bed *b, const struct bed_column *c)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	struct zt_rule *in, *out;
	int r = bed_ruleset(&rs);

	in = r ? NULL : bed_rule(rs, "open", ZT_ALLOW);
	if (!in || zt_u32_ranges_add(&in->match.proto, 6, 6) < 0 || zt_u32_ranges_add(&in->match.proto, 17, 17) < 0 ||
	    zt_u32_ranges_add(&in->match.port, OPEN, OPEN) < 0)
		return -ENOMEM;
	in->dir = ZT_DIR_INGRESS;
	out = bed_rule(rs, "allowed", ZT_ALLOW);
	if (!out || zt_u32_ranges_add(&out->match.uid, BED_ALLOWED, BED_ALLOWED) < 0)
		return -ENOMEM;
	return bed_apply(b, c->engine, rs);
}

static void shapes(struct bed *b, const struct bed_column *c)
{
	for (size_t i = 0; i < ZT_ARRAY_SIZE(cases); i++) {
		const struct case_ *k = &cases[i];
		struct bed_craft open = {.shape = k->shape,
					 .dst = k->v6 ? "fd99::1" : "10.99.0.1",
					 .proto = 17,
					 .sport = 4000,
					 .port = OPEN,
					 .decoy = CLOSED};
		struct bed_craft closed = open;
		/* What the engine does not read on it denies. */
		bool unread = c->cgroup_wide && (k->shape == BED_S_CHAIN || k->shape == BED_S_CHAIN_2K);
		bool got_open = false, got_closed = true, ok;

		closed.port = CLOSED;
		closed.decoy = OPEN; /* an overlap shows the open port first */
		ok = arrives(b, &open, &got_open) && arrives(b, &closed, &got_closed);
		bed_ok(b, ok && !got_closed && got_open == (k->delivered && !unread),
		       "%s: row %s, %s from the peer, %s: closed port %s, open port %s", c->label, k->row,
		       bed_shape_name(k->shape), k->v6 ? "IPv6" : "IPv4", got_closed ? "LEAKS" : "blocked",
		       got_open ? "arrives" : "dropped too");
		bed_publish("inbound", k->row, bed_shape_name(k->shape), k->v6 ? "IPv6" : "IPv4", c->label,
			    got_closed ? "LEAKS"
			    : got_open ? "as plain: judged by the port"
			    : unread   ? "dropped for any port: more than 8 headers"
				       : "dropped for any port");
	}
}

/* Source ports that a careless rule would trust, and segments that begin no connection. */
static void tricks(struct bed *b, const struct bed_column *c)
{
	static const struct {
		const char *row, *what;
		uint8_t proto;
		uint16_t sport;
		const char *src;
	} list[] = {
		{"32", "udp from port 53", 17, 53, NULL},
		{"32", "udp from port 67", 17, 67, NULL},
		{"32", "tcp from port 22", 6, 22, NULL},
		{"32", "tcp from port 443", 6, 443, NULL},
		{"29", "udp with source 127.0.0.1", 17, 4001, "127.0.0.1"},
		{"29", "udp with the host's own source", 17, 4001, "10.99.0.1"},
	};

	for (size_t i = 0; i < ZT_ARRAY_SIZE(list); i++) {
		struct bed_craft k = {.src = list[i].src,
				      .dst = "10.99.0.1",
				      .proto = list[i].proto,
				      .sport = list[i].sport,
				      .port = CLOSED};
		bool got = true, seen[65536] = {false}, ok;

		if (k.proto == 17) {
			ok = arrives(b, &k, &got);
		} else { /* told by its source port, as note_tcp does */
			struct bed_packets p;

			bed_forget(b);
			ok = bed_craft(&(struct bed_craft){.src = "10.99.0.2",
							   .dst = k.dst,
							   .proto = 6,
							   .sport = k.sport,
							   .port = CLOSED},
				       &p) == 0 &&
			     bed_frames(b, true, &p) == 0;
			bed_collect(b, 25, seen, 65536);
			got = seen[0];
		}
		bed_ok(b, ok && !got, "%s: row %s, %s: %s", c->label, list[i].row, list[i].what,
		       got ? "LEAKS" : "blocked");
		bed_publish("inbound", list[i].row, list[i].what, "IPv4", c->label, got ? "LEAKS" : "blocked");
	}
}

/* ---- row 33: ICMP ---- */
/* Counts ICMP messages of one type that the host takes in: raw sockets get them behind the input hook. */
static int icmp_tap(bool v6)
{
	struct timeval wait = {.tv_usec = 40000};
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	return fd;
}

static bool heard(int fd, bool v6, uint8_t type)
{
	uint8_t p[2048];
	ssize_t n;

	while ((n = recv(fd, p, sizeof(p), 0)) > 0) {
		size_t head = v6 ? 0 : (size_t)(p[0] & 15) * 4;

		if ((size_t)n > head && p[head] == type)
			return true;
	}
	return false;
}

struct icmp {
	const char *what;
	bool v6;
	uint8_t type, code, hops;
	int inner; /* 0 none, 1 a flow that exists, 2 one that does not */
	bool passes;
};
static const struct icmp icmps[] = {
	{"ICMP redirect of a flow that exists", false, 5, 1, 0, 1, false},
	{"ICMP redirect of no flow", false, 5, 1, 0, 2, false},
	{"port unreachable of a flow that exists", false, 3, 3, 0, 1, true},
	{"port unreachable of no flow", false, 3, 3, 0, 2, false},
	{"fragmentation needed of no flow", false, 3, 4, 0, 2, false},
	{"source quench of a flow that exists", false, 4, 0, 0, 1, false},
	{"timestamp request", false, 13, 0, 0, 0, false},
	{"address mask request", false, 17, 0, 0, 0, false},
	{"router advertisement", false, 9, 0, 0, 0, false},
	{"ICMPv6 redirect", true, 137, 0, 255, 2, false},
	{"router advertisement from afar (hop limit 64)", true, 134, 0, 64, 0, false},
	{"neighbour advertisement from afar (hop limit 64)", true, 136, 0, 64, 0, false},
	{"packet too big of no flow", true, 2, 0, 64, 2, false},
	{"node information query", true, 139, 0, 64, 0, false},
	{"router advertisement on the link (hop limit 255)", true, 134, 0, 255, 0, true},
};

/* The packet of the host that an error claims to be about: UDP from sport to port 7300 of the peer. */
static size_t put_inner(const struct icmp *k, uint8_t *out)
{
	struct bed_craft in = {.src = k->v6 ? "fd99::1" : "10.99.0.1",
			       .dst = k->v6 ? "fd99::2" : "10.99.0.2",
			       .proto = 17,
			       .sport = k->inner == 1 ? 7301 : 7399,
			       .port = 7300,
			       .payload = "x",
			       .payload_len = 1};
	struct bed_packets p;

	if (!k->inner || bed_craft(&in, &p) < 0)
		return 0;
	memcpy(out, p.p[0].bytes, p.p[0].len);
	return p.p[0].len;
}

static size_t put_icmp(const struct icmp *k, const char *src, const char *dst, uint8_t *out)
{
	size_t head = k->v6 && k->type == 137 ? 40 : k->v6 && k->type >= 134 ? 24 : 8, len;
	uint16_t sum;

	memset(out, 0, head);
	out[0] = k->type;
	out[1] = k->code;
	if (k->type == 5)
		(void)inet_pton(AF_INET, "10.99.0.2", out + 4);
	len = head + put_inner(k, out + head);
	sum = bed_checksum(out, len, k->v6 ? bed_pseudo(src, dst, 58, len) : 0);
	memcpy(out + 2, &sum, 2);
	return len;
}

/* A flow for the errors to be about. */
static int flow(void)
{
	struct bed_send s = {.uid = BED_ALLOWED, .gid = BED_ALLOWED};
	struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons(7301)};
	struct bed_target to;
	int fd = bed_socket_as(&s, AF_INET, SOCK_DGRAM, 0);

	(void)bed_target("10.99.0.2", 7300, &to); /* a constant */
	(void)bed_act_as(&s);			  /* no groups: cannot fail */
	if (fd >= 0 &&
	    (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0 || sendto(fd, "x", 1, 0, &to.a.sa, to.len) != 1))
		zt_closep(&fd);
	bed_act_root();
	return fd;
}

static const char *icmp_result(const struct bed_column *c, bool got, bool expected)
{
	if (got != expected)
		return "WRONG";
	if (got)
		return "passes (link essential, or the flow's own error)";
	return c->cgroup_wide ? "no socket gets it; what the kernel does by itself is not seen, status says so"
			      : "blocked";
}

static void forged_icmp(struct bed *b, const struct bed_column *c)
{
	ZT_CLOSE int f = flow();

	bed_ok(b, bed_says_not_covered(c->engine, "ICMP") == c->cgroup_wide,
	       "%s: row 33, status says whether ICMP for the kernel itself is covered", c->label);

	for (size_t i = 0; i < ZT_ARRAY_SIZE(icmps); i++) {
		const struct icmp *k = &icmps[i];
		uint8_t body[1400];
		struct bed_craft m = {.src = k->v6 ? "fd99::2" : "10.99.0.2",
				      .dst = k->v6 ? "fd99::1" : "10.99.0.1",
				      .hops = k->hops,
				      .proto = k->v6 ? 58 : 1,
				      .payload = body};
		ZT_CLOSE int tap = icmp_tap(k->v6);
		struct bed_packets p;
		bool got, ok;

		m.payload_len = put_icmp(k, m.src, m.dst, body);
		ok = f >= 0 && tap >= 0 && bed_craft(&m, &p) == 0 && bed_frames(b, true, &p) == 0;
		got = heard(tap, k->v6, k->type);
		bed_ok(b, ok && got == k->passes, "%s: row 33, %s: %s", c->label, k->what, got ? "passes" : "blocked");
		bed_publish("inbound", "33", k->what, k->v6 ? "IPv6" : "IPv4", c->label,
			    icmp_result(c, got, k->passes));
	}
}

/* The other way round: an error as a way out, made by a denied user, about a flow that exists. */
static void forged_error_out(struct bed *b, const struct bed_column *c)
{
	struct icmp k = {.type = 3, .code = 3, .inner = 0};
	struct bed_send s = {.uid = BED_DENIED, .gid = BED_DENIED};
	ZT_CLOSE int f = flow(), fd = bed_socket_as(&s, AF_INET, SOCK_RAW, IPPROTO_ICMP), tap = -1;
	struct bed_craft in = {.src = "10.99.0.2",
			       .dst = "10.99.0.1",
			       .proto = 17,
			       .sport = 7300,
			       .port = 7301,
			       .payload = "x",
			       .payload_len = 1};
	struct bed_packets p;
	struct bed_target to;
	uint8_t body[256];
	size_t len = put_icmp(&k, "10.99.0.1", "10.99.0.2", body);
	uint16_t sum;
	bool ok, got;

	ok = bed_enter(b, true) == 0 && (tap = icmp_tap(false)) >= 0 && bed_enter(b, false) == 0 && f >= 0 && fd >= 0 &&
	     bed_craft(&in, &p) == 0;
	memcpy(body + len, p.p[0].bytes, p.p[0].len);
	len += p.p[0].len;
	memset(body + 2, 0, 2);
	sum = bed_checksum(body, len, 0);
	memcpy(body + 2, &sum, 2);
	(void)bed_target("10.99.0.2", 0, &to); /* a constant */
	(void)sendto(fd, body, len, 0, &to.a.sa, to.len);
	got = heard(tap, false, 3);
	bed_ok(b, ok && !got, "%s: row 33, forged error of an existing flow sent by a denied user: %s", c->label,
	       got ? "LEAKS" : "blocked");
	bed_publish("attacks", "33", "forged ICMP error of an existing flow", "10.99.0.2", c->label,
		    got ? "LEAKS" : "blocked");
}

/* An answer to what the peer began has the peer's flow, whoever sends it: rules for what comes in name no process. */
static void answers(struct bed *b, const struct bed_column *c)
{
	struct bed_craft begin = {.dst = "10.99.0.1", .proto = 17, .sport = 4100, .port = OPEN};
	struct bed_send s = {.uid = BED_DENIED, .gid = BED_DENIED};
	struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons(OPEN)};
	ZT_CLOSE int fd = bed_socket_as(&s, AF_INET, SOCK_DGRAM, 0);
	struct bed_mark m[2] = {bed_mark(1), bed_mark(2)};
	struct bed_target to, elsewhere;
	bool seen[4] = {false}, began = false, ok;

	(void)bed_target("10.99.0.2", 4100, &to);	 /* constants */
	(void)bed_target("10.99.0.2", 4101, &elsewhere); /* the same port of the host, but no flow of the peer's */
	ok = bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0 && arrives(b, &begin, &began) && began;
	bed_forget(b);
	(void)sendto(fd, &m[0], sizeof(m[0]), 0, &to.a.sa, to.len);
	(void)sendto(fd, &m[1], sizeof(m[1]), 0, &elsewhere.a.sa, elsewhere.len);
	bed_collect(b, 40, seen, 4);
	bed_ok(b, ok && seen[1] && !seen[2],
	       "%s: row 11, answer of a denied user to a flow that the peer began: %s, to anybody else: %s", c->label,
	       seen[1] ? "passes (documented)" : "blocked", seen[2] ? "LEAKS" : "blocked");
	bed_publish("attacks", "11", "answer to a flow that the peer began, allowed inbound", "10.99.0.2", c->label,
		    seen[1] && !seen[2] ? "passes: rules for inbound name no process (documented)" : "WRONG");
}

/* ---- row 26: the second subflow of an MPTCP connection is opened by the kernel, for nobody ---- */
static bool syn_from(int tap, const char *src)
{
	struct pollfd p = {.fd = tap, .events = POLLIN};
	uint8_t packet[2048], want[4];

	(void)inet_pton(AF_INET, src, want); /* a constant */
	for (;;) {
		ssize_t n;

		if (poll(&p, 1, 300) <= 0)
			return false;
		n = recv(tap, packet, sizeof(packet), MSG_DONTWAIT);
		if (n >= 40 && packet[9] == 6 && !memcmp(packet + 12, want, 4) && packet[33] & 2)
			return true;
	}
}

static int mptcp_server(struct bed *b)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(7400)};
	int fd = -1, one = 1;

	if (bed_enter(b, true) == 0)
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 262);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd >= 0 && (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 4) < 0))
		zt_closep(&fd);
	return bed_enter(b, false) < 0 ? -1 : fd;
}

static bool mptcp_joins(struct bed *b, int tap)
{
	struct bed_send s = {.uid = BED_ALLOWED, .gid = BED_ALLOWED};
	ZT_CLOSE int server = mptcp_server(b), fd = bed_socket_as(&s, AF_INET, SOCK_STREAM, 262), conn = -1;
	struct bed_target to;
	char x;

	while (recv(tap, &x, 1, MSG_DONTWAIT) > 0)
		;
	(void)bed_target("10.99.0.2", 7400, &to); /* a constant */
	if (server < 0 || fd < 0 || connect(fd, &to.a.sa, to.len) < 0)
		return false;
	conn = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	(void)send(fd, "x", 1, MSG_NOSIGNAL); /* the join follows the first acknowledgement of data */
	if (conn >= 0)
		(void)!read(conn, &x, 1);
	return syn_from(tap, "10.99.0.11");
}

static void mptcp_join(struct bed *b, const struct bed_column *c)
{
	struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
	ZT_CLOSE int tap = -1;
	bool control, leak;

	if (bed_sh("ip addr add 10.99.0.11/24 dev va; ip mptcp endpoint flush; ip mptcp limits set subflow 2 add_addr_accepted 2; "
		   "ip mptcp endpoint add 10.99.0.11 dev va subflow") ||
	    bed_enter(b, true) < 0 || bed_sh("ip mptcp limits set subflow 2 add_addr_accepted 2")) {
		(void)bed_enter(b, false);
		bed_skip(b, "MPTCP joins", "this kernel or ip has no MPTCP");
		return;
	}
	tap = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_IP));
	a.sll_ifindex = (int)if_nametoindex("vb");
	(void)bind(tap, (struct sockaddr *)&a, sizeof(a));
	(void)bed_enter(b, false);
	leak = mptcp_joins(b, tap);
	(void)c->engine->flush("default", NULL);
	control = mptcp_joins(b, tap);
	bed_ok(b, control && !leak, "%s: row 26, MPTCP join from a second address: %s%s", c->label,
	       leak ? "LEAKS" : "blocked, it has no owner",
	       control ? "" : ", and without a policy there is none either");
	bed_publish("attacks", "26", "MPTCP join from a second address", "10.99.0.2", c->label,
		    leak ? "LEAKS" : "blocked, it has no owner");
	(void)bed_sh("ip mptcp endpoint flush; ip addr del 10.99.0.11/24 dev va");
	bed_ok(b, policy(b, c) == 0, "%s: the policy is back", c->label);
}

/* ---- row 30: a published port: DNAT before routing, then forwarded to the machine behind ---- */
static int forward_policy(struct bed *b, const struct bed_column *c, bool allow)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	struct zt_addr_range behind;
	struct zt_rule *rule;
	int r = bed_ruleset(&rs);

	rule = r || !allow ? NULL : bed_rule(rs, "published", ZT_ALLOW);
	if (r < 0 || (allow && !rule))
		return -ENOMEM;
	if (allow) {
		rule->dir = ZT_DIR_FORWARD;
		if (zt_addr_range_parse("10.98.0.2", &behind, NULL) < 0 ||
		    zt_addr_ranges_add(&rule->match.dst4, &behind) < 0 ||
		    zt_u32_ranges_add(&rule->match.proto, 17, 17) < 0 ||
		    zt_u32_ranges_add(&rule->match.port, 8081, 8081) < 0)
			return -ENOMEM;
		rule->match.families = ZT_FAMILY_4;
	}
	return bed_apply(b, c->engine, rs);
}

static int behind_socket(struct bed *b, int ns, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct timeval wait = {.tv_usec = 60000};
	int fd = -1;

	if (setns(ns, CLONE_NEWNET) == 0)
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		zt_closep(&fd);
	return bed_enter(b, false) < 0 ? -1 : fd;
}

static bool reaches(struct bed *b, int behind, const char *dst, uint16_t port, uint16_t sport)
{
	struct bed_craft k = {.src = "10.99.0.2", .dst = dst, .proto = 17, .sport = sport, .port = port};
	struct bed_packets p;
	char buf[64];

	return bed_craft(&k, &p) == 0 && bed_frames(b, true, &p) == 0 && recv(behind, buf, sizeof(buf), 0) > 0;
}

/* Starts the machine behind, in a namespace of its own. The container engine's own rules accept what it published; ours decide first. */
static int open_behind(struct bed *b)
{
	ZT_CLOSE int ns = -1;

	if (unshare(CLONE_NEWNET) == 0)
		ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (ns < 0 || bed_enter(b, false) < 0 ||
	    bed_sh("ip link add vc type veth peer name vd; ip link set vd netns /proc/%d/fd/%d; ip addr add 10.98.0.1/24 dev vc; ip link set vc up; "
		   "sysctl -qw net.ipv4.ip_forward=1; nft -f - <<'NFT'\ntable ip emulated {\n\tchain pre {\n\t\ttype nat hook prerouting priority dstnat\n"
		   "\t\tudp dport 8080 dnat to 10.98.0.2:8081\n\t}\n\tchain forwarded {\n\t\ttype filter hook forward priority filter\n\t\taccept\n\t}\n}\nNFT",
		   (int)getpid(), ns) ||
	    setns(ns, CLONE_NEWNET) < 0 ||
	    bed_sh("ip link set lo up; ip addr add 10.98.0.2/24 dev vd; ip link set vd up; ip route add default via 10.98.0.1") ||
	    bed_enter(b, false) < 0 || bed_sh("ping -c1 -W2 10.98.0.2 >/dev/null; true"))
		return -EIO;
	return ZT_TAKE_FD(ns);
}

/* A gap (bpf before Linux 6.4): the engine sees no forwarded packets, and says so; it refuses rules about them instead of ignoring them. */
static void forwarded(struct bed *b, const struct bed_column *c, bool ok, bool passes, bool gap, const char *what)
{
	bed_ok(b, ok && passes == gap, "%s: row 30, %s: %s%s", c->label, what, passes ? "LEAKS" : "blocked",
	       gap ? ", status names it" : "");
	bed_publish("inbound", "30", what, "behind", c->label,
		    !passes ? "blocked"
		    : gap   ? "LEAKS, status says so"
			    : "LEAKS");
}

static void published_port(struct bed *b, const struct bed_column *c)
{
	ZT_CLOSE int ns = open_behind(b), behind = -1;
	bool gap = bed_says_not_covered(c->engine, "forwarded"), ok = ns >= 0 && forward_policy(b, c, false) == 0, dnat,
	     direct, other_port;
	int r;

	ok = ok && (behind = behind_socket(b, ns, 8081)) >= 0;
	(void)bed_enter(b, false);
	dnat = reaches(b, behind, "10.99.0.1", 8080, 5001);
	direct = reaches(b, behind, "10.98.0.2", 8081, 5002);
	forwarded(b, c, ok, dnat, gap, "published port (DNAT) without a forward rule");
	forwarded(b, c, ok, direct, gap, "machine behind addressed directly");
	r = forward_policy(b, c, true);
	dnat = reaches(b, behind, "10.99.0.1", 8080, 5003);
	other_port = reaches(b, behind, "10.98.0.2", 8082, 5004);
	ok = ok && (gap ? r == -ENOTSUP : r == 0 && dnat && !other_port);
	bed_ok(b, ok, "%s: row 30, published port with a forward rule: %s", c->label,
	       gap ? "the rule is refused" : "arrives");
	bed_publish("inbound", "30", "published port (DNAT) with a forward rule", "behind", c->label,
		    !ok	  ? "WRONG"
		    : gap ? "the rule is refused by line"
			  : "arrives");
	(void)bed_sh("nft delete table ip emulated; ip link del vc; sysctl -qw net.ipv4.ip_forward=0");
}

static void run_column(struct bed *b, const struct bed_column *c)
{
	int r = policy(b, c);

	if (r < 0) {
		bed_ok(b, false, "%s: cannot apply: %s", c->label, strerror(-r));
		return;
	}
	bed_forget_flows(b);
	shapes(b, c);
	tricks(b, c);
	forged_icmp(b, c);
	forged_error_out(b, c);
	answers(b, c);
	mptcp_join(b, c);
	published_port(b, c);
}

static void test(struct bed *b)
{
	bed_each_column(b, run_column);
}

int main(void)
{
	return bed_main("ztingr", test);
}
