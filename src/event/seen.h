/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* How often the like of an activity was seen. */
#include "event/journal.h"

struct zt_seen_often {
	uint64_t count;
	zt_usec first, last;
};
/* Flows of the same sender, address, port, direction and outcome as a (a deny, connect, accept or flow); of Unix sockets the denies of the same
 * sender and name. */
int zt_journal_seen(struct zt_journal *j, const struct zt_activity *a, struct zt_seen_often *ret);
/* Calls to Unix sockets since then that were blocked, or would have been with mode: observe. */
int zt_journal_unix(struct zt_journal *j, zt_usec since, uint64_t *ret);
