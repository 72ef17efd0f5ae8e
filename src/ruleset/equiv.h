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
	/* Not equal: a flow that is decided differently, as plain as can be. Its actors live here. */
	struct zt_flow flow;
	struct zt_actor sender, receiver;
	uint32_t groups[2][64]; /* theirs */
	struct zt_decision a, b;
};
/* 0; -E2BIG: more than budget classes of the diagram (0 = 20 million) without a difference found. The flow borrows from both rulesets. */
int zt_ruleset_equiv(const struct zt_ruleset *a, const struct zt_ruleset *b, uint64_t budget, struct zt_equiv *ret);
