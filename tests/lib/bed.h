/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Test bed: two network namespaces of this process alone, host A (where policies are enforced) and peer B, joined by a veth pair
 * (10.99.0.1/fd99::1 and 10.99.0.2/fd99::2). Packets are sent by sockets that are made as any user, and counted where they arrive: by a
 * packet socket on B's device for what leaves the host, and on A's lo for what stays. A packet that is seen there has passed output;
 * nothing is ever judged by the error that the sender got. Output is TAP.
 */
#include "engine/engine.h"

struct bed {
	int ns_a, ns_b;
	int tap_b, tap_lo; /* packet sockets */
	char cgroup[128];  /* path inside cgroup2 of a child made for the test, "" when there is none */
	uint64_t cgroup_id;
	unsigned cgroup_level;
	unsigned planned, failed, skipped;
};
int bed_open(struct bed *b, const char *name); /* enters A; -EPERM without root */
void bed_close(struct bed *b);
int bed_finish(struct bed *b); /* prints the plan; exit code */
void bed_ok(struct bed *b, bool ok, const char *fmt, ...) ZT_PRINTF(3, 4);
void bed_skip(struct bed *b, const char *what, const char *why);

enum bed_method {
	BED_UDP, BED_UDP_CONNECTED, BED_UDP_SENDMMSG, BED_UDP_RECONNECT, BED_UDP_BIG, BED_UDP_DSTOPTS, BED_UDP_HOPOPTS, BED_UDP_SPORT53,
	BED_UDP_MARK, BED_TCP, BED_TCP_FASTOPEN, BED_TCP_FASTOPEN_CONNECT, BED_MPTCP, BED_UDPLITE, BED_ICMP, BED_PING, BED_RAW, BED_RAW_UDP, BED_RAW_SPOOFED,
	BED_RAW_SOURCE_ROUTE, BED_PACKET, BED_PACKET_BYPASS, BED_PACKET_LO, BED_N_METHODS,
};
const char *bed_method_name(enum bed_method m);

struct bed_send {
	enum bed_method method;
	uint32_t uid, gid;
	bool in_cgroup;
	bool setuid_late; /* made as root, used as uid */
	const char *dst;  /* "10.99.0.2", "::ffff:10.99.0.2", … */
	uint16_t port;
};
/* Sends one marked packet (TCP: starts a connection) and tells whether it arrived. -errno: the method does not exist on this kernel. */
int bed_arrives(struct bed *b, const struct bed_send *s, bool *ret);
/* For many at once: send now, collect later. id is any number below 2^31. */
int bed_send(struct bed *b, const struct bed_send *s, uint32_t id);
/* Sets seen[id] for every marked packet that has arrived since; waits up to msec for more. */
void bed_collect(struct bed *b, unsigned msec, bool *seen, uint32_t n);

/* ---- rulesets ---- */
int bed_ruleset(struct zt_ruleset **ret);
struct zt_rule *bed_rule(struct zt_ruleset *rs, const char *id, enum zt_verdict v);
int bed_apply(struct bed *b, const struct zt_engine *e, struct zt_ruleset *rs);
