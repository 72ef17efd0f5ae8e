/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Who a process is, for records: what the kernel said of it when it did something, completed by what is remembered of programs, control groups,
 * users and parents. A process is (pid, start); what ended is remembered until the table needs the room, so that a record that is read late is still attributed to
 * the right one. All tables are bounded, zt_procs_limits() tells how full they are.
 */
#include "event/activity.h"

struct zt_process_id {
	uint64_t start, pid; /* start: clock ticks since boot */
};
struct zt_procs_options {
	bool digests; /* read program files to tell their SHA-256 */
};
struct zt_procs;
int zt_procs_new(const struct zt_procs_options *o, struct zt_procs **ret); /* knows what runs now */
void zt_procs_free(struct zt_procs *p);

struct zt_trace_process; /* bpf/trace_abi.h */
struct zt_trace_exec;
/* A program was started: what it is becomes known, and the record gets filename, arguments and parents. */
void zt_procs_exec(struct zt_procs *p, const struct zt_trace_exec *e, struct zt_activity *a);
/* Nothing is told of it now, but somebody may ask later. filename: what it was started as, NULL: it was not started now. */
/* Had the process another user when it was seen last? Before anything else is done with now. */
bool zt_procs_before(struct zt_procs *p, const struct zt_trace_process *now, struct zt_trace_process *ret);
void zt_procs_note(struct zt_procs *p, const struct zt_trace_process *t, const char *filename);
uint64_t zt_process_start(uint64_t ns); /* ns since boot, as the kernel has it, in clock ticks */
struct zt_process_id zt_process_id_of(const struct zt_trace_process *t);
/* Sets the fields of the process in the record. */
void zt_procs_fill(struct zt_procs *p, const struct zt_trace_process *t, struct zt_activity *a);
/* What is remembered of a process, also one that has ended. */
void zt_procs_fill_id(struct zt_procs *p, const struct zt_process_id *id, struct zt_activity *a);
/* What a record, which has pid and start of its process, does not say of it: parents, digest, … */
void zt_procs_complete(struct zt_procs *p, struct zt_activity *a);
/* Sets the fields of the process at the other end; what is not known of it any more is left out. */
void zt_procs_peer_group(const char *path,
			 struct zt_activity *a); /* of a control group, "" unknown: what it tells of the peer */
void zt_procs_peer(struct zt_procs *p, const struct zt_process_id *peer, struct zt_activity *a);
void zt_procs_fill_peer(struct zt_procs *p, const struct zt_trace_process *t,
			struct zt_activity *a); /* and remembers it */
/* By number only, for records of others (nflog, fanotify): the process that has the pid now. -ESRCH: none, or it has ended and
 * waits for its parent, or is one of the kernel. */
int zt_procs_fill_pid(struct zt_procs *p, uint32_t pid, struct zt_activity *a);
/* By number only, of a process that has ended: the last one that is known to have had it. -ESRCH */
int zt_procs_fill_last(struct zt_procs *p, uint32_t pid, struct zt_activity *a);
/* Names that a user's processes looked up: remembered for their time to live (at least a minute, at most a day), so that connections say the name. */
void zt_procs_name(struct zt_procs *p, uint32_t uid, const struct zt_addr *addr, const char *name, uint32_t ttl);
const char *zt_procs_user(struct zt_procs *p, uint32_t uid); /* its name; until the next call */
const char *zt_procs_name_of(struct zt_procs *p, uint32_t uid,
			     const struct zt_addr *addr); /* NULL; until the next call */

struct zt_limit {		 /* a bounded table, for `status` */
	const char *name, *unit; /* unit NULL: entries */
	uint64_t used, max, evicted;
	uint64_t peak; /* the most there was at a look; 0: not known */
};
size_t zt_procs_limits(const struct zt_procs *p, struct zt_limit *ret, size_t max);
