/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Test bed: two network namespaces of this process alone, host A (where policies are enforced) and peer B, joined by a veth pair
 * (10.99.0.1/fd99::1 on va, 10.99.0.2/fd99::2 on vb). Packets are sent by sockets that are made as any user, and counted where they arrive: by a
 * packet socket on B's device for what leaves the host, and by raw sockets in A for what is delivered there, that is behind the input hook: from
 * lo and from the peer alike. Nothing is ever judged by the error that the sender got. Output is TAP.
 *
 * The test lives in a cgroup of its own, NAME-PID/run, so that an engine that attaches to a cgroup (NAME-PID) sees every sender, and every
 * receiver in A; senders may be started in NAME-PID/svc and its child NAME-PID/svc/inner instead. Where cgroup2 cannot be written, has_cgroup is
 * false. The mount namespace is the test's own too, with a bpf file system that ends with it.
 *
 * A sender is its user for as long as it sends: engines differ in whether a packet belongs to the maker of a socket or to who uses it, and only
 * what asks for the difference (setuid_late, sockets handed over) shows it.
 *
 * Files: bed.c (namespaces, arrivals, rulesets, TAP), bed_send.c and bed_odd.c (senders by system calls), bed_ring.c (senders by shared rings),
 * bed_craft.c (packets made by hand, of the host or of the peer).
 */
#include <sys/socket.h>

#include "engine/engine.h"

#define BED_ALLOWED 2001u
#define BED_DENIED 2666u
#define BED_RAW_SOCKETS 14

enum bed_group { BED_RUN, BED_SVC, BED_INNER, BED_N_GROUPS }; /* cgroups a sender can be started in */

struct bed {
	int ns_a, ns_b;
	int tap_b;		    /* packet socket on vb */
	int tap_a[BED_RAW_SOCKETS]; /* raw sockets, one a protocol and family */
	int frames[2],
		device[2]; /* packet sockets to send by, of A and of B: closing one takes the kernel milliseconds */
	bool has_cgroup, has_bpffs;
	char top[160];			/* NAME-PID inside cgroup2 */
	char cgroup[BED_N_GROUPS][160]; /* paths inside cgroup2 */
	uint64_t cgroup_id[BED_N_GROUPS];
	unsigned cgroup_level[BED_N_GROUPS];
	char home[256]; /* cgroup.procs of where the process came from */
	unsigned planned, failed, skipped;
};
int bed_open(struct bed *b, const char *name); /* enters A; -EPERM without root */
void bed_close(struct bed *b);
/* The main function of a bed program: opens, runs, closes, prints the plan; the exit code. */
int bed_main(const char *name, void (*test)(struct bed *b));
/* The main function, or in a program of several of them (BED_PARTS) one of its parts. */
#ifdef BED_PARTS
#define BED_MAIN(name, test)                 \
	void bed_part_##name(struct bed *b); \
	void bed_part_##name(struct bed *b)  \
	{                                    \
		test(b);                     \
	}
#else
#define BED_MAIN(name, test)                  \
	int main(int argc, char **argv)       \
	{                                     \
		bed_actor_main(argc, argv);   \
		return bed_main(#name, test); \
	}
#endif
void bed_ok(struct bed *b, bool ok, const char *fmt, ...) ZT_PRINTF(3, 4);
void bed_skip(struct bed *b, const char *what, const char *why);
int bed_sh(const char *fmt, ...)
	ZT_PRINTF(1, 2); /* a line of shell in the current namespace; its exit status or -errno */
int bed_group_folder(const struct bed *b, enum bed_group g, char ret[static 256]);
int bed_join(const struct bed *b, enum bed_group g); /* moves this process */
int bed_enter(const struct bed *b, bool peer);	     /* the peer's namespace, or the host's again */

/* ---- engines: a column each of the tables that are published ---- */
struct bed_column {
	const char *label;
	const struct zt_engine *engine;
	const char *variant; /* of the iptables programs */
	bool cgroup_wide;    /* it attaches to the cgroup of the test, and does without netfilter */
	bool by_sender;	     /* who connects or sends is judged, not who made the socket */
	bool lsm;	     /* with the LSM layer of the kernel: a column of its own, bpf+LSM */
};
/* Runs test once a column; skips those whose programs are not installed. Each starts and ends with nothing of ours in A. ZT_COLUMN=LABEL: that
 * column only; ZT_STAY besides: what it loaded stays, and is what the next test in this process begins with. */
void bed_each_column(struct bed *b, void (*test)(struct bed *b, const struct bed_column *c));
/* One line for docs/coverage.md, into the file that ZT_COVERAGE names. */
void bed_publish(const char *table, const char *row, const char *what, const char *to, const char *column,
		 const char *result);

/* ---- senders ---- */
enum bed_method {
	BED_UDP,
	BED_UDP_CONNECTED,
	BED_UDP_SENDMMSG,
	BED_UDP_RECONNECT,
	BED_UDP_BIG,
	BED_UDP_DSTOPTS,
	BED_UDP_HOPOPTS,
	BED_UDP_RTHDR,
	BED_UDP_CHAIN,
	BED_UDP_SPORT53,
	BED_UDP_SPORT67,
	BED_UDP_SPORT123,
	BED_UDP_MARK,
	BED_TCP,
	BED_TCP_FASTOPEN,
	BED_TCP_FASTOPEN_CONNECT,
	BED_MPTCP,
	BED_UDPLITE,
	BED_SCTP,
	BED_ICMP,
	BED_PING,
	BED_RAW,
	BED_RAW_GRE,
	BED_RAW_ESP,
	BED_RAW_UDP,
	BED_RAW_SPOOFED,
	BED_RAW_SOURCE_ROUTE,
	BED_RAW_FRAGMENTS,
	BED_RAW_TINY,
	BED_RAW_TRAILING,
	BED_RAW6_CHAIN,
	BED_RAW6_ATOMIC,
	BED_RAW6_FRAGMENTS,
	BED_PACKET,
	BED_PACKET_RAW,
	BED_PACKET_BYPASS,
	BED_PACKET_RING,
	BED_PACKET_LO,
	BED_XDP_COPY,
	BED_XDP_ZEROCOPY,
	BED_DCCP, /* from here to BED_TCP_AGAIN: bed_odd.c */
	BED_SCTP_MESSAGE,
	BED_L2TP,
	BED_UDP_UNSPEC,
	BED_UDP_V4_ON_V6,
	BED_UDP_V4_ON_V6_CONNECTED,
	BED_UDP_GSO,
	BED_UDP_CORKED,
	BED_UDP_SPLICE,
	BED_UDP_SENDFILE,
	BED_UDP_PKTINFO,
	BED_UDP_TRANSPARENT,
	BED_UDP_SOURCE_ROUTE,
	BED_UDP_CAST,
	BED_TCP_AGAIN,
	BED_URING_UDP,
	BED_URING_UDP_ASYNC,
	BED_URING_SEND_ZC,
	BED_URING_SENDMSG_ZC,
	BED_URING_TCP,
	BED_URING_POLLED_UDP,
	BED_URING_POLLED_TCP,
	BED_N_METHODS,
};
const char *bed_method_name(enum bed_method m);

struct bed_send {
	enum bed_method method;
	uint32_t uid, gid;
	uint32_t member;      /* supplementary group, 0 = none */
	enum bed_group group; /* other than BED_RUN: sent by a child process there */
	bool setuid_late;     /* the socket is made by root, and used by uid */
	bool from_peer;	      /* sent by the peer, as root; UDP, TCP, ICMP and RAW only */
	const char *dst;      /* "10.99.0.2", "::ffff:10.99.0.2", … */
	uint16_t port;
};
/* Sends one marked packet (TCP: starts a connection) and tells whether it arrived. -errno: the method does not exist on this kernel. */
int bed_arrives(struct bed *b, const struct bed_send *s, bool *ret);
/* For many at once: send now, collect later. id is any number below 2^31. */
int bed_send(struct bed *b, const struct bed_send *s, uint32_t id);
/* Sets seen[id] for every marked packet that has arrived since; waits up to msec for more. */
void bed_collect(struct bed *b, unsigned msec, bool *seen, uint32_t n);
void bed_forget(struct bed *b);	      /* whatever has arrived up to now */
void bed_forget_flows(struct bed *b); /* what A's connection tracking knows: an answer to an older flow is no new one */

/* ---- packets made by hand ---- */
enum bed_shape {
	BED_S_PLAIN,
	BED_S_LSRR,
	BED_S_SSRR,
	BED_S_RECORD_ROUTE,
	BED_S_ROUTER_ALERT,
	BED_S_FRAGMENTS,
	BED_S_TINY,
	BED_S_OVERLAP,
	BED_S_TRAILING,
	BED_S_HOPOPTS,
	BED_S_DSTOPTS,
	BED_S_RH0,
	BED_S_SRH,
	BED_S_ATOMIC,
	BED_S_AH,
	BED_S_CHAIN,
	BED_S_CHAIN_2K,
	BED_S_UNKNOWN,
	BED_S_NO_NEXT,
	BED_N_SHAPES,
};
const char *bed_shape_name(enum bed_shape s);
bool bed_shape_is_v6(enum bed_shape s); /* exists in IPv6 */
bool bed_shape_is_v4(enum bed_shape s);

#define BED_PACKETS 4
struct bed_packets {
	struct {
		uint8_t bytes[2600];
		size_t len;
	} p[BED_PACKETS];
	size_t n;
};
struct bed_craft {
	enum bed_shape shape;
	const char *src, *dst; /* the family is that of dst */
	uint8_t proto; /* with a port: 6 (a SYN, its source port tells the id) or 17; else the payload is the packet's */
	uint16_t sport, port;
	const char
		*past;	/* BED_S_LSRR, BED_S_SSRR: where the route goes on to; NULL: it has been travelled to its end */
	uint16_t decoy; /* BED_S_OVERLAP: the port that the first fragment shows */
	const void *payload; /* NULL: the mark with id */
	size_t payload_len;
	uint8_t hops; /* 0 = 64 */
	uint32_t id;
};
int bed_craft(const struct bed_craft *c, struct bed_packets *ret);
/* As frames from the peer's device to the host, or the other way round when from_peer is false. */
int bed_frames(struct bed *b, bool from_peer, const struct bed_packets *p);
uint16_t bed_checksum(const void *data, size_t len, uint32_t sum); /* network order */
/* sum of the pseudo header, to be fed to bed_checksum */
uint32_t bed_pseudo(const char *src, const char *dst, uint8_t proto, size_t len);

/* ---- for the senders ---- */
struct bed_target {
	union {
		struct sockaddr sa;
		struct sockaddr_storage all;
	} a;
	socklen_t len;
	int family;
};
struct bed_mark {
	char magic[6];
	uint8_t pad[2];
	uint32_t id;
};
int bed_target(const char *dst, uint16_t port, struct bed_target *ret);
void bed_target_port(struct bed_target *t, uint16_t port);
struct bed_mark bed_mark(uint32_t id);
/* The file system user and groups, which both netfilter and the programs of the bpf engine take for the user; until bed_act_root(). */
int bed_act_as(const struct bed_send *s);
void bed_act_root(void);
int bed_socket_as(const struct bed_send *s, int family, int type, int proto); /* as its user and groups */
extern bool
	bed_keep_sockets; /* each lives until the next is made: for firewalls that look for its owner from user space */
int bed_send_now(const struct bed_send *s, uint32_t id);			      /* bed_send.c */
int bed_ring_send(const struct bed_send *s, const struct bed_target *t, uint32_t id); /* bed_ring.c */
int bed_odd_send(const struct bed_send *s, const struct bed_target *t, uint32_t id);  /* bed_odd.c */

/* ---- rulesets ---- */
int bed_ruleset(struct zt_ruleset **ret);
struct zt_rule *bed_rule(struct zt_ruleset *rs, const char *id, enum zt_verdict v);
int bed_apply(struct bed *b, const struct zt_engine *e, struct zt_ruleset *rs);
/* Default deny in all directions; UDP and everything else to everywhere for BED_ALLOWED when open. */
int bed_policy(struct bed *b, const struct zt_engine *e, bool open, bool preserve);
bool bed_says_not_covered(const struct zt_engine *e, const char *word); /* is it among the gaps that status shows? */
