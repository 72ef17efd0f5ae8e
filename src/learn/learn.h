/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * learn: what recorded flows say about policies: the policy that covers them (learn.c), what another policy would have done with them
 * (weigh.c), which rules nothing used (unused.c). May use event, ruleset and what is below. Touches no kernel and reads no journal:
 * everything works on lists of flows in memory, already summed up.
 *
 * What a record does not tell, and what is taken for it:
 *  - control groups: service and container are recorded, and stand for the groups that the policy language makes of them. A rule about
 *    another control group matches no recorded flow;
 *  - supplementary groups: none. A rule by group matches where it is the primary one;
 *  - a program is its path. Where a policy pins another digest than the recorded one it is another program; in a container it is no program of this host;
 *  - the user is the real one;
 *  - a process without a recorded program is unknown, as to the kernel a memory-only program is, and one whose file was removed. Where there
 *    is a file again under the name of a removed one (an upgrade) it is that program;
 *  - the address of this host that a peer connected to, and that a flow left from.
 */
#include "event/activity.h"
#include "ruleset/ruleset.h"

/* ---- flows in memory (seen.c) ---- */
struct zt_seen_who {	/* a process; each once in a list */
	uint32_t index; /* in whos */
	bool has_uid, has_gid;
	bool nameless; /* its program has no file: removed, or in memory only. Told by zt_seen_ready() */
	uint32_t uid, gid;
	const char *user, *exe, *digest, *service, *container; /* "" where not known */
	const char *cgroup; /* as the language has it for service or container; NULL */
};
enum zt_seen_verdict { ZT_SEEN_PASSED, ZT_SEEN_OBSERVED, ZT_SEEN_DENIED }; /* observed: passed, and would be blocked */
struct zt_seen {
	const struct zt_seen_who *who;	/* of this host: who connected, or who was connected to; never NULL */
	const struct zt_seen_who *peer; /* egress: the local process that receives; NULL: another host, or not known */
	enum zt_direction dir;
	enum zt_seen_verdict verdict;
	uint8_t proto;
	bool loopback;
	uint16_t port; /* destination port, 0 where the protocol has none */
	struct zt_addr remote;
	const char *name;      /* by which who had looked remote up; "" */
	const char *rule;      /* that decided then; "" */
	uint64_t count, bytes; /* count 0: only its end was seen, it was open already */
	zt_usec first, last;
};
enum zt_left_out {		       /* why a record is no flow of this host's policy */
		   ZT_LEFT_NETNS,      /* of another network namespace */
		   ZT_LEFT_INCOMPLETE, /* without address, direction or port; ICMP of the other IP version */
		   ZT_LEFT_REASONS
};
struct zt_strings;
struct zt_seen_list {
	struct zt_seen *v;
	size_t n, cap;
	struct zt_seen_who **whos;
	size_t n_whos, cap_whos;
	uint64_t left_out[ZT_LEFT_REASONS]; /* counts */
	uint64_t netns; /* cookie of the one that is meant, 0: the initial one. Records without belong to any */
	const struct zt_addr_ranges *own; /* addresses of this host besides loopback, borrowed; may be NULL */
	struct zt_strings *strings;
	uint32_t *slots; /* open addressing over whos */
	size_t n_slots;
};
/* a: the key of a flow of the journal (ZT_JOURNAL_KEY_FIELDS); same order of memory as what is kept, so the caller may reuse it. */
int zt_seen_add(struct zt_seen_list *l, const struct zt_activity *a, uint64_t count, uint64_t bytes, zt_usec first,
		zt_usec last);
/* After the last one: control groups of services and containers (root: as in policies), receivers completed by what they accepted
 * themselves (where none is recorded, the only process that accepted at that port), and the order that zt_judge wants. */
int zt_seen_ready(struct zt_seen_list *l, const char *root);
/*
 * Part of zt_seen_ready(), after the receivers (fold.c). Records of one flow are one, where process, direction, protocol, port and remote
 * address are the same and neither was blocked:
 *  - what mode: observe let through was told by who connected too: it counts there, and by itself only where nobody told it;
 *  - an end (count 0) goes to its beginning, whatever of receiver or name was not known at one of the two. Without a beginning in the
 *    records it stays, with count 0: it was open already;
 *  - where the receiver is known of one, it is that of the others (of several: the one most connected to).
 * 0, -ENOMEM
 */
int zt_seen_fold(struct zt_seen_list *l);
void zt_seen_list_done(struct zt_seen_list *l);

/* ---- what a ruleset says of them (judge.c) ---- */
/*
 * The oracle, made fast for many flows: rules that the processes of a flow can match are picked once for all flows of the same two processes,
 * of those the ones for its protocol and port, and only these go to the oracle. Flows in the order of zt_seen_ready() make this effective; the
 * results are the oracle's in any order.
 */
struct zt_judge;
int zt_judge_new(const struct zt_ruleset *rs, const struct zt_seen_list *l, struct zt_judge **ret); /* borrows both */
void zt_judge_free(struct zt_judge *j);
void zt_judge_freep(struct zt_judge **j);
/* The flow as the oracle sees it, with the time of its last record. Points into j and s. */
void zt_judge_flow(const struct zt_judge *j, const struct zt_seen *s, struct zt_flow *ret);
void zt_judge_decide(struct zt_judge *j, const struct zt_seen *s, struct zt_decision *ret);

/* ---- the policy that covers them (learn.c) ---- */
enum { ZT_BY_USER = 1, ZT_BY_EXE = 2, ZT_BY_SERVICE = 4, ZT_BY_CONTAINER = 8, ZT_BY_ALL = 15 };
/*
 * A process becomes an identity of the parts in `by` that are known of it, the user where none is: {user, service, exe}; in a container
 * {user, container}, because paths there are not this host's. Identities that more than one rule needs get names.
 *
 * A flow becomes (sender, receiver, direction, protocol, host, port). The host is, in this order: localhost; the name by which the process
 * had looked it up, where the language takes the name and it resolves now; the address. A rule is a full product of senders, hosts, protocols and
 * ports of which every cell was seen: what differs in ports only is put together first, then what differs in the protocol, then in the sender.
 * Where the program is unknown, or the language cannot say its path, the rule is for every program of the user or service: it says so.
 * Only these go further than what was seen, each for one sender, receiver, protocol and port, and each shows in the score:
 *  - ZT_LEARN_PORTS or more ports from 1024 up at one host: 1024-65535;
 *  - ZT_LEARN_HOSTS or more addresses of one /24 (IPv6: /64): the longest prefix that holds them all, never shorter than these;
 *  - ZT_LEARN_NETS or more /24 of one private block (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16): the block;
 *  - incoming ZT_LEARN_NETS, outgoing ZT_LEARN_OPEN or more public /16 (IPv6: /32; each name counts as one): the set "internet", which is all
 *    public addresses and no private ones. Private and public are never joined; multicast, link-local and broadcast stay as they are.
 *
 * Score of a rule: 1 - seen/space. space: identities of senders x hosts x (protocol, port) pairs that it matches; a name, and localhost, count as
 * one host, a prefix as its addresses, "internet" as those of the IP versions that were seen. seen: how many of these cells some flow was in.
 *
 * Flows that mode: observe let through are covered: that is what it is for. What was really blocked is not, unless `denied` says so. Flows of
 * sockets without an owner (the kernel's own) and without a user are left out and counted: no rule could tell them apart.
 */
enum { ZT_LEARN_PORTS = 16, ZT_LEARN_HOSTS = 8, ZT_LEARN_NETS = 8, ZT_LEARN_OPEN = 32, ZT_LEARN_BLOCKS = 3 };
extern const char
	*const zt_learn_blocks[ZT_LEARN_BLOCKS]; /* of private addresses: what so many networks of one become */
struct zt_learn_options {
	unsigned by;	  /* 0 = ZT_BY_ALL */
	bool denied;	  /* also what was blocked */
	const char *root; /* users, hosts and programs of this tree; NULL = this host */
};
struct zt_learned_rule {
	char *name;
	uint64_t count, bytes;
	zt_usec first, last;
	double score;
	bool any_program; /* of a sender or receiver: its own could not be named, though it was asked for */
};
struct zt_learned {
	struct zt_strbuf yaml; /* in the form of `fmt` */
	struct zt_learned_rule *rules;
	size_t n_rules, n_tests;
	uint64_t covered; /* connections */
	uint64_t denied, unowned,
		moved;		 /* left out: blocked; without a user; moved: the name has another address now */
	size_t names_unresolved; /* became addresses */
};
/* l is ready. 0; -ENODATA: nothing to learn from; -E2BIG: too many identities or rules (d says what to do); -ENOMEM. What comes out passes
 * zt_policy_parse and all of its tests hold. */
int zt_learn(const struct zt_seen_list *l, const struct zt_learn_options *o, struct zt_learned *ret,
	     struct zt_diags *d);
void zt_learned_done(struct zt_learned *l);

/* ---- weighing (weigh.c) ---- */
struct zt_weighed { /* one flow that two rulesets decide differently, or one that is blocked */
	const struct zt_seen *seen;
	struct zt_decision before, after;
};
struct zt_weighing {
	struct zt_weighed *v; /* heaviest first: by count, then by last */
	size_t n, cap;
	uint64_t keys, count;		   /* of all flows */
	size_t blocked_keys, allowed_keys; /* newly */
	uint64_t blocked_count, allowed_count;
};
/* What passes under `before` and not under `after` (blocked), and the other way round (allowed). Observe passes. before NULL:
 * everything that was seen to pass, except what was denied then. What was open already (count 0) is left out: no connection is judged. */
int zt_weigh(const struct zt_seen_list *l, const struct zt_ruleset *before, const struct zt_ruleset *after,
	     struct zt_weighing *ret);
void zt_weighing_done(struct zt_weighing *w);
enum zt_blind {
	ZT_BLIND_GROUP = 1,
	ZT_BLIND_CGROUP = 2,
	ZT_BLIND_PARENT = 4,
	ZT_BLIND_ADDRESS = 8,
	ZT_BLIND_TIME = 16,
	ZT_BLIND_UNIX = 32 /* all of it: connections to Unix sockets are not recorded */
};
/* What of a rule the records cannot tell, see above: bits. A schedule is judged at the time of the last record. */
unsigned zt_rule_blind(const struct zt_rule *r, const struct zt_seen_list *l);

/* ---- what of a policy's rules was used (unused.c) ---- */
enum { ZT_USE_VALUES = 16 };	    /* more different values than that support no list */
struct zt_rule_use {		    /* of a rule by name, all of its parts */
	const struct zt_rule *rule; /* the first part */
	size_t n_parts;
	uint64_t keys, count;
	zt_usec first, last;
	/* Single values that were seen, sorted and not joined; more than ZT_USE_VALUES of them: too many to tell. */
	struct zt_u32_ranges ports, protos, uids;
	struct zt_addr_ranges hosts;
};
struct zt_uses {
	struct zt_rule_use *v; /* in the order of the rules */
	size_t n;
	uint32_t *of_rule; /* index in v, by index of the ruleset's rules */
};
/* Each flow counts for the rule that would decide it now, whatever decided it then. */
int zt_uses_make(const struct zt_seen_list *l, const struct zt_ruleset *rs, struct zt_uses *ret);
void zt_uses_done(struct zt_uses *u);
enum { ZT_TIGHTER_PORTS = 1, ZT_TIGHTER_PROTOS = 2, ZT_TIGHTER_HOSTS = 4, ZT_TIGHTER_USERS = 8 };
/* Which lists of what was seen could stand in place of something wider in the rule: bits. Only for rules that allow and have one part;
 * loopback is left as it is. */
unsigned zt_use_tighter(const struct zt_rule_use *u);

/* ---- parts of the room ---- */
const char *zt_strings_get(struct zt_strings **s, const char *text); /* the one copy; NULL on ENOMEM */
size_t zt_strings_count(const struct zt_strings *s);
void zt_strings_free(struct zt_strings *s);
uint64_t zt_keyed_hash(const void *data, size_t n); /* SipHash-2-4 with a key of this process */
bool zt_verdict_passes(enum zt_verdict v);	    /* allow, observe */
