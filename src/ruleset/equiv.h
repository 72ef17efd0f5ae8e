/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Do two rulesets decide every flow alike? Exact: each dimension of a flow (direction, IP version, who sends, who receives, addresses,
 * protocol, port, time) is cut into the classes that some rule of either ruleset distinguishes, and the product of the classes is walked
 * as a decision diagram: at each dimension only rules that still can match are carried on, classes that keep the same rules are walked once.
 * (Liu and Gouda, "Diverse Firewall Design", 2008.) Settings and SSH ports count as the oracle counts them.
 *
 * Supplementary groups: a process is tried in each group some rule names alone, in none, and in all at once.
 */
#include "ruleset/ruleset.h"

extern const char zt_equiv_other[]; /* the program or control group of an actor that no rule names */

struct zt_equiv {
	bool equal;
	double classes;	 /* size of the space: the product of the classes of each dimension */
	uint64_t walked; /* classes of the diagram that were looked at one by one */
	/*
	 * Not equal: the smallest flow that is decided differently: the fewest attributes (user, group, control group, program, parent, address,
	 * protocol, port, name, time) that a rule asks for by name, then the lowest port and address. smallest: all were compared; else it is the
	 * smallest that was met in as much time again as it took to find one. Its actors live here.
	 */
	bool smallest;
	struct zt_flow flow;
	struct zt_actor sender, receiver;
	uint32_t groups[2][64]; /* theirs */
	struct zt_decision a, b;
};
/* 0; -E2BIG: more than budget classes of the diagram (0 = 20 million) without a difference found. The flow borrows from both rulesets. */
int zt_ruleset_equiv(const struct zt_ruleset *a, const struct zt_ruleset *b, uint64_t budget, struct zt_equiv *ret);

/* ---- flows drawn from the classes, for probes with real packets ---- */
struct zt_sample {
	struct zt_flow flow; /* of now; its actors are the two below */
	struct zt_actor sender, receiver;
	uint32_t groups[2][64]; /* theirs */
	bool beside;		/* but for one dimension within a rule */
	/* The same number: the same classes of one rule, or the same class beside it; 0: from anywhere. */
	uint64_t cell;
};
/*
 * One flow: by turns from within a rule (each in its turn, the SSH ports too), from within one but for one dimension, and from anywhere. Of a
 * class of numbers or addresses its first value, its last or one between is taken. Senders are processes that are known; beside
 * a rule for another direction nothing is forwarded. Where a class of protocols has TCP, UDP or ICMP, that is taken. *turn counts calls, *state is the
 * seed; the same two give the same flow. Texts are borrowed from rs.
 */
int zt_ruleset_sample(const struct zt_ruleset *rs, uint64_t *turn, uint64_t *state, struct zt_sample *ret);
