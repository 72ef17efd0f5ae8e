/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ways out past a host firewall, one case a row of the published coverage table (docs/coverage.md; the numbers are those of the list of attacks
 * there). Each is tried by a user the policy denies and, where the method can be allowed at all, by one it allows (else "did not arrive" would
 * prove nothing). A hole that an engine cannot close is held to be exactly where `status` says that it is.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "base/mem.h"
#include "bed_actor.h"

struct attack {
	const char *row;
	enum bed_method method;
	const char *dst;
	bool control;	 /* the allowed user's must arrive */
	const char *gap; /* a hole wherever status names this word, and only there */
};

static const struct attack attacks[] = {
	{"1", BED_RAW_UDP, "10.99.0.2", true, NULL},
	{"1", BED_RAW_SPOOFED, "10.99.0.2", true, NULL},
	{"1", BED_RAW, "10.99.0.2", true, NULL},
	{"1", BED_RAW, "fd99::2", true, NULL},
	{"1", BED_ICMP, "10.99.0.2", true, NULL},
	{"1", BED_ICMP, "fd99::2", true, NULL},
	{"1", BED_PING, "10.99.0.2", true, NULL},
	{"1", BED_PING, "fd99::2", true, NULL},
	{"1", BED_UDP_TRANSPARENT, "10.99.0.2", true, NULL},
	{"2", BED_PACKET, "10.99.0.2", false, "AF_PACKET"},
	{"2", BED_PACKET_RAW, "10.99.0.2", false, "AF_PACKET"},
	{"2", BED_PACKET_BYPASS, "10.99.0.2", false, "AF_PACKET"},
	{"2", BED_PACKET_RING, "10.99.0.2", false, "AF_PACKET"},
	{"2", BED_XDP_ZEROCOPY, "10.99.0.2", false, "AF_XDP"},
	{"2", BED_XDP_COPY, "10.99.0.2", false, "AF_XDP"},
	{"3", BED_URING_UDP, "10.99.0.2", true, NULL},
	{"3", BED_URING_UDP, "fd99::2", true, NULL},
	{"3", BED_URING_UDP_ASYNC, "10.99.0.2", true, NULL},
	{"3", BED_URING_SEND_ZC, "10.99.0.2", true, NULL},
	{"3", BED_URING_SENDMSG_ZC, "10.99.0.2", true, NULL},
	{"3", BED_URING_TCP, "10.99.0.2", true, NULL},
	{"3", BED_URING_TCP, "127.0.0.1", true, NULL},
	{"3", BED_URING_POLLED_UDP, "10.99.0.2", true, NULL},
	{"3", BED_URING_POLLED_TCP, "10.99.0.2", true, NULL},
	{"3", BED_URING_POLLED_TCP, "127.0.0.1", true, NULL},
	{"4", BED_TCP_FASTOPEN, "10.99.0.2", true, NULL},
	{"4", BED_TCP_FASTOPEN_CONNECT, "10.99.0.2", true, NULL},
	{"5", BED_UDP_MARK, "10.99.0.2", true, NULL},
	{"6", BED_UDP, "::ffff:10.99.0.2", true, NULL},
	{"6", BED_UDP_CONNECTED, "::ffff:10.99.0.2", true, NULL},
	{"6", BED_TCP, "::ffff:10.99.0.2", true, NULL},
	{"6", BED_TCP, "::ffff:127.0.0.2", true, NULL},
	{"6", BED_UDP_V4_ON_V6, "10.99.0.2", true, NULL},
	{"6", BED_UDP_V4_ON_V6_CONNECTED, "10.99.0.2", true, NULL},
	{"7", BED_UDP_DSTOPTS, "fd99::2", true, NULL},
	{"7", BED_UDP_HOPOPTS, "fd99::2", true, NULL},
	{"7", BED_UDP_RTHDR, "fd99::2", false, NULL},
	{"7", BED_UDP_CHAIN, "fd99::2", false, NULL},
	{"7", BED_RAW6_CHAIN, "fd99::2", true, NULL},
	{"7", BED_RAW6_ATOMIC, "fd99::2", false, NULL},
	{"8", BED_UDP_BIG, "10.99.0.2", true, NULL},
	{"8", BED_UDP_BIG, "fd99::2", true, NULL},
	{"8", BED_RAW_FRAGMENTS, "10.99.0.2", true, NULL},
	{"8", BED_RAW_TINY, "10.99.0.2", false, NULL},
	{"8", BED_RAW_TRAILING, "10.99.0.2", false, NULL},
	{"8", BED_RAW6_FRAGMENTS, "fd99::2", false, NULL},
	{"9", BED_RAW_SOURCE_ROUTE, "10.99.0.2", false, NULL},
	{"9", BED_UDP_SOURCE_ROUTE, "10.99.0.2", false, NULL},
	{"10", BED_UDP, "10.99.0.2", true, NULL},
	{"10", BED_UDP_CONNECTED, "10.99.0.2", true, NULL},
	{"10", BED_UDP_SENDMMSG, "10.99.0.2", true, NULL},
	{"10", BED_UDP_RECONNECT, "10.99.0.2", true, NULL},
	{"10", BED_UDP_UNSPEC, "10.99.0.2", true, NULL},
	{"10", BED_UDP_GSO, "10.99.0.2", true, NULL},
	{"10", BED_UDP_GSO, "fd99::2", true, NULL},
	{"10", BED_UDP_CORKED, "10.99.0.2", true, NULL},
	{"10", BED_UDP_CORKED, "fd99::2", true, NULL},
	{"10", BED_UDP_SPLICE, "10.99.0.2", true, NULL},
	{"10", BED_UDP_SENDFILE, "10.99.0.2", true, NULL},
	{"10", BED_UDP_PKTINFO, "10.99.0.2", true, NULL},
	{"10", BED_UDP_CAST, "10.99.0.255", true, NULL},
	{"10", BED_UDP_CAST, "224.0.0.251", true, NULL},
	{"10", BED_UDP_CAST, "ff02::fb", true, NULL},
	{"10", BED_TCP_AGAIN, "10.99.0.2", true, NULL},
	{"10", BED_TCP_AGAIN, "::1", true, NULL},
	{"26", BED_MPTCP, "10.99.0.2", true, NULL},
	{"26", BED_UDPLITE, "10.99.0.2", true, NULL},
	{"26", BED_SCTP, "10.99.0.2", true, NULL},
	{"26", BED_SCTP_MESSAGE, "10.99.0.2", true, NULL},
	{"26", BED_DCCP, "10.99.0.2", true, NULL},
	{"26", BED_L2TP, "10.99.0.2", true, NULL},
	{"26", BED_RAW_GRE, "10.99.0.2", true, NULL},
	{"26", BED_RAW_GRE, "fd99::2", true, NULL},
	{"26", BED_RAW_ESP, "10.99.0.2", true, NULL},
	{"26", BED_RAW_ESP, "fd99::2", true, NULL},
	{"29", BED_TCP, "127.0.0.2", true, NULL},
	{"29", BED_TCP, "127.255.255.254", true, NULL},
	{"29", BED_TCP, "::1", true, NULL},
	{"29", BED_TCP, "10.99.0.1", true, NULL},
	{"29", BED_TCP, "fd99::1", true, NULL},
	{"29", BED_TCP, "0.0.0.0", true, NULL},
	{"29", BED_TCP, "::", true, NULL},
	{"29", BED_UDP, "127.0.0.2", true, NULL},
	{"29", BED_UDP, "10.99.0.1", true, NULL},
	{"29", BED_UDP, "0.0.0.0", true, NULL},
	{"29", BED_UDP, "::ffff:0.0.0.0", true, NULL},
	{"32", BED_UDP_SPORT53, "10.99.0.2", true, NULL},
	{"32", BED_UDP_SPORT53, "fd99::2", true, NULL},
	{"32", BED_UDP_SPORT67, "10.99.0.2", true, NULL},
	{"32", BED_UDP_SPORT123, "10.99.0.2", true, NULL},
};

/* Kernels are built without these. */
static bool may_lack(enum bed_method m)
{
	return m == BED_SCTP || m == BED_SCTP_MESSAGE || m == BED_DCCP || m == BED_L2TP || m == BED_XDP_ZEROCOPY ||
	       m == BED_UDPLITE;
}

/* Calls that the LSM layer refuses to whoever may not ask for an address by DHCP. */
static bool opens_packets(enum bed_method m)
{
	return m >= BED_PACKET && m <= BED_XDP_ZEROCOPY;
}

static void publish(const struct bed_column *c, const struct attack *a, const char *result)
{
	bed_publish("attacks", a->row, bed_method_name(a->method), a->dst, c->label, result);
}

static void try_attack(struct bed *b, const struct bed_column *c, const struct attack *a)
{
	struct bed_send s = {.method = a->method, .uid = BED_ALLOWED, .gid = BED_ALLOWED, .dst = a->dst, .port = 7777};
	bool control = !a->control, leak = true, refused = c->lsm && opens_packets(a->method);
	bool gap = !refused && a->gap && bed_says_not_covered(c->engine, a->gap);
	const char *name = bed_method_name(a->method);
	int r = a->control ? bed_arrives(b, &s, &control) : 0;
	char what[128];

	(void)snprintf(what, sizeof(what), "%s: row %s, %s to %s", c->label, a->row, name, a->dst);
	s.uid = s.gid = BED_DENIED;
	r = r ? r : bed_arrives(b, &s, &leak);
	if (refused) {
		bed_ok(b, r == -EPERM, "%s: refused (EPERM)", what);
		publish(c, a, r == -EPERM ? "refused (EPERM)" : "WRONG");
		return;
	}
	if (r == -EPERM && (a->method == BED_XDP_COPY || a->method == BED_XDP_ZEROCOPY))
		r = leak = false; /* the ring to send by was refused: root may have it elsewhere */
	if (r < 0) {		  /* asserted too: a kernel that has it needs the row to be looked at */
		bed_ok(b, may_lack(a->method), "%s: not in this kernel (%s)", what, strerror(-r));
		publish(c, a, "not in this kernel");
		return;
	}
	bed_ok(b, control && leak == gap, "%s: %s%s%s", what, leak ? "LEAKS" : "blocked",
	       gap ? ", status names it" : "", control ? "" : ", and the allowed user is blocked too");
	publish(c, a, leak && gap ? "LEAKS, status says so" : leak ? "LEAKS" : "blocked");
}

/* Row 2: a frame written raw to lo; what counts is whether a local server gets it. From 127.0.0.1 the kernel takes none that it did not send. */
static void raw_loopback(struct bed *b, const struct bed_column *c, const char *dst, bool gap)
{
	const struct attack a = {"2", BED_PACKET_LO, dst, false, NULL};
	struct bed_send s = {.method = BED_PACKET_LO, .uid = BED_DENIED, .gid = BED_DENIED, .dst = dst, .port = 7010};
	bool leak = true;
	int r;

	if (c->lsm) {
		try_attack(b, c, &a);
		return;
	}
	r = bed_arrives(b, &s, &leak);
	bed_ok(b, !r && leak == gap, "%s: row 2, frame written to lo for %s: %s", c->label, dst,
	       leak ? "LEAKS" : "blocked");
	publish(c, &a, leak && gap ? "LEAKS, status says so" : leak ? "LEAKS" : "blocked");
}

/* Row 27: no netfilter hook sees vsock; what is left without the LSM layer is to say so. */
static void vsock(struct bed *b, const struct bed_column *c)
{
	struct bed_send s = {.uid = BED_DENIED, .gid = BED_DENIED};
	bool named = bed_says_not_covered(c->engine, "vsock"), refused = false;

	if (c->lsm) {
		ZT_CLOSE int fd = bed_socket_as(&s, AF_VSOCK, SOCK_STREAM, 0);

		refused = fd == -EPERM;
	}
	bed_ok(b, named != c->lsm && refused == c->lsm,
	       "%s: row 27, vsock is refused, or status says that it is not covered", c->label);
	bed_ok(b, bed_says_not_covered(c->engine, "Unix"), "%s: row 28, status says that Unix sockets are not covered",
	       c->label);
	bed_publish("attacks", "27", "vsock", "any", c->label,
		    refused ? "refused (EPERM)" : "not covered, status says so");
	bed_publish("attacks", "28", "Unix sockets as relay", "any", c->label,
		    c->lsm ? "not covered where no rule names them, status says so" : "not covered, status says so");
}

/*
 * Row 9, by a user who may send somewhere: the header shows that address, the route in it goes on to one that he may not send to. What counts is
 * whether it leaves the host: the next may be one that follows routes.
 */
static const struct past {
	enum bed_method method;
	const char *what, *may, *past;
} routes[] = {
	{BED_UDP_SOURCE_ROUTE, "an allowed user's source route past an allowed address", "10.99.0.2", "10.99.0.9"},
	{BED_RAW_SOURCE_ROUTE, "an allowed user's raw source route past an allowed address", "10.99.0.2", "10.99.0.9"},
	{BED_UDP_RTHDR, "an allowed user's routing header past an allowed address", "fd99::2", "fd99::9"},
};

static void route_past(struct bed *b, const struct bed_column *c, const struct past *p)
{
	struct bed_send s = {.method = BED_UDP, .uid = BED_ALLOWED, .gid = BED_ALLOWED, .dst = p->may, .port = 7777};
	bool arrives = false, direct = true, leak = true;
	int r = bed_arrives(b, &s, &arrives);

	s.dst = p->past;
	r = r ?: bed_arrives(b, &s, &direct);
	s.method = p->method;
	r = r ?: bed_arrives(b, &s, &leak);
	bed_ok(b, !r && arrives && !direct && !leak, "%s: row 9, %s to %s: %s%s%s", c->label, p->what, p->past,
	       leak ? "LEAKS" : "blocked", direct ? ", the address itself LEAKS" : "",
	       arrives ? "" : ", and so is the allowed address");
	bed_publish("attacks", "9", p->what, p->past, c->label, leak || direct ? "LEAKS" : "blocked");
}

static int only(struct zt_match *m, const char *text)
{
	struct zt_addr_range r;
	int e = zt_addr_range_parse(text, &r, NULL);

	return e ?: zt_addr_ranges_add(r.lo.family == 4 ? &m->dst4 : &m->dst6, &r);
}

static void source_routes(struct bed *b, const struct bed_column *c)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	struct zt_rule *one;
	int r = bed_ruleset(&rs);

	one = r ? NULL : bed_rule(rs, "one-address", ZT_ALLOW);
	r = one ? zt_u32_ranges_add(&one->match.uid, BED_ALLOWED, BED_ALLOWED) : -ENOMEM;
	r = r ?: only(&one->match, "10.99.0.2") ?: only(&one->match, "fd99::2") ?: bed_apply(b, c->engine, rs);
	/* Where they go if they go. */
	r = r
		    ?: bed_sh("ip neigh replace 10.99.0.9 lladdr 02:00:00:00:00:02 dev va nud permanent; "
			      "ip neigh replace fd99::9 lladdr 02:00:00:00:00:02 dev va nud permanent");
	if (r < 0) {
		bed_ok(b, false, "%s: row 9, cannot apply: %s", c->label, strerror(-r));
		return;
	}
	for (size_t i = 0; i < ZT_ARRAY_SIZE(routes); i++)
		route_past(b, c, &routes[i]);
}

/* Row 29, by a user who may send to localhost: out of another device, to the peer's own link address. */
static void local_out(struct bed *b, const struct bed_column *c)
{
	static const char what[] = "an allowed user's udp to localhost, out of another device";
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	struct bed_send s = {
		.method = BED_UDP_PKTINFO, .uid = BED_ALLOWED, .gid = BED_ALLOWED, .dst = "10.99.0.2", .port = 7777};
	bool arrives = false, leak = true;
	struct zt_rule *local;
	int r = bed_ruleset(&rs);

	local = r ? NULL : bed_rule(rs, "local", ZT_ALLOW);
	r = local ? zt_u32_ranges_add(&local->match.uid, BED_ALLOWED, BED_ALLOWED) : -ENOMEM;
	r = r ?: only(&local->match, "10.99.0.2") ?: only(&local->match, "127.0.0.0/8") ?: bed_apply(b, c->engine, rs);
	r = r ?: bed_sh("ip neigh replace 127.0.0.1 lladdr 02:00:00:00:00:02 dev va nud permanent") ?: bed_arrives(b, &s, &arrives);
	s.dst = "127.0.0.1";
	r = r ?: bed_arrives(b, &s, &leak);
	bed_ok(b, !r && arrives && !leak, "%s: row 29, %s: %s%s", c->label, what, leak ? "LEAKS" : "blocked",
	       arrives ? "" : ", and so is the peer");
	bed_publish("attacks", "29", what, "127.0.0.1", c->label, leak ? "LEAKS" : "blocked");
}

static void run_column(struct bed *b, const struct bed_column *c)
{
	int r = bed_policy(b, c->engine, true, true);

	if (r < 0) {
		bed_ok(b, false, "%s: cannot apply: %s", c->label, strerror(-r));
		return;
	}
	bed_forget_flows(b);
	for (size_t i = 0; i < ZT_ARRAY_SIZE(attacks); i++)
		try_attack(b, c, &attacks[i]);
	raw_loopback(b, c, "127.0.0.1", false);
	raw_loopback(b, c, "10.99.0.1", bed_says_not_covered(c->engine, "AF_PACKET"));
	vsock(b, c);
	source_routes(b, c);
	local_out(b, c);
}

/* ---- another firewall, for comparison ---- */
/* Started by the command that ZT_PEER_START names, in the bed's namespaces; held to nothing, only published. */
static void run_peer(struct bed *b, const char *label)
{
	const char *start = getenv("ZT_PEER_START");

	bed_ok(b, start && bed_sh("%s", start) == 0, "%s: runs", label);
	bed_keep_sockets = true;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(attacks); i++) {
		const struct attack *a = &attacks[i];
		struct bed_send s = {
			.method = a->method, .uid = BED_ALLOWED, .gid = BED_ALLOWED, .dst = a->dst, .port = 7777};
		const char *name = bed_method_name(a->method), *result;
		bool control = true, leak = true;
		int r = a->control ? bed_arrives(b, &s, &control) : 0;

		s.uid = s.gid = BED_DENIED;
		r = r ? r : bed_arrives(b, &s, &leak);
		result = r < 0	    ? "not in this kernel"
			 : leak	    ? "leaks"
			 : !control ? "blocked, for the allowed user too"
				    : "blocked";
		printf("# %s: row %s, %s to %s: %s\n", label, a->row, name, a->dst, result);
		bed_publish("attacks", a->row, name, a->dst, label, result);
	}
}

static void test(struct bed *b)
{
	const char *peer = getenv("ZT_PEER");

	if (peer)
		run_peer(b, peer);
	else
		bed_each_column(b, run_column);
}

BED_MAIN(adversarial, test)
