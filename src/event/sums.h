/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Flows of the journal summed up by who: user, group, program, service, container, peer or rule. */
#include "event/journal.h"

struct zt_sum {
	char *key;
	uint64_t flows, denied, observed, sent, received; /* a flow that was observed is in flows by its connection */
	zt_usec last;
};
struct zt_sums { /* all 0 but by: empty */
	struct zt_sum *v;
	size_t n, cap;
	unsigned by;
	size_t bytes; /* about what they take as text */
};
bool zt_sums_find(const char *name, unsigned *ret_by); /* "user", …; not written when there is none */
const char *zt_sums_title(unsigned by);		       /* "User"; NULL: no such number */
int zt_sums_add(struct zt_sums *s, const struct zt_journal_flow *f);
int zt_sums_put(struct zt_sums *s, const struct zt_sum *one); /* copied */
void zt_sums_merge(struct zt_sums *s);			      /* each key once, the heaviest first */
void zt_sums_done(struct zt_sums *s);

/* A part of them for who may not wait: flows from minute (microseconds) on, in it those with a greater key, until `end` of CLOCK_MONOTONIC or until
 * they take about `bytes`. Where it ended is in minute and key; *ret_more: there is more. */
struct zt_sums_place {
	zt_usec minute;
	uint64_t key;
};
int zt_sums_part(struct zt_journal *j, struct zt_sums *s, struct zt_sums_place *place, size_t bytes, zt_usec end,
		 bool *ret_more);
