/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The journal: what happened on this host, in one SQLite file of bounded size. Raw activities for days, and for long what remains of them
 * that matters to a policy: flows, summed up by minute and by who talked to whom.
 *
 * Single-threaded: one struct, one thread (journal_writer.h gives it one of its own). One process writes (a lock beside the file says so), any number reads meanwhile. Readers hold
 * no lock between two calls (but see zt_journal_flows), so that one which pauses never makes the file grow.
 *
 * What is stored:
 *  - Activities get ids from 1 upwards in the order in which they were appended; ids never go back, times may (a clock that is set). They lie
 *    in chunks of up to 1024, compressed, in two tables, so that a flood of what anybody can cause (exec, open, connect, …) cannot push out what
 *    tells of an attack (deny, privilege, module, ptrace, state, lost): when space is short, the larger of the two gives.
 *  - flow(minute, key) adds up what happened in a minute; key holds both identities, address, port, protocol, direction, name, verdict, rule.
 *
 * What survives: everything up to the last flush, which is at most commit_usec (a second) or commit_records ago; each flush is one transaction
 * with fsync, so this holds for a power loss as well. (WAL with synchronous=NORMAL would not promise it: it syncs at checkpoints only.)
 *
 * When the disk is full, read-only or broken, append() keeps compressed chunks in memory up to queue_bytes, then counts what it drops, by
 * kind; flush() tries again at most once a second. When it succeeds, one LOST activity for each kind says how many: detail = the kind,
 * count, error = why, duration = since the first loss; flows that found no room in the sums are told by a STATE activity. A lock held by another process is waited for at most ZT_JOURNAL_BUSY_MSEC in a flush.
 *
 * A file that is newer than this program is refused; one that is damaged is moved aside to PATH.damaged (the one before is
 * removed) and a new one begun, which says so; one that was deleted is made anew.
 */
#include "base/diag.h"
#include "event/activity.h"

struct zt_journal;

enum { ZT_JOURNAL_VERSION = 1, ZT_JOURNAL_BUSY_MSEC = 250 };
#define ZT_JOURNAL_FILE "journal/events.db" /* in the state folder */

struct zt_journal_config {	 /* 0 = the default */
	zt_usec keep_raw;	 /* 7 days */
	zt_usec keep_flows;	 /* 400 days */
	uint64_t max_bytes;	 /* 1 GiB; file and write-ahead log together. At least 8 MiB */
	uint64_t queue_bytes;	 /* 8 MiB, at least 1 MiB: compressed records in memory while nothing can be written */
	uint32_t commit_records; /* 65536 */
	zt_usec commit_usec;	 /* a second */
	bool gap_told;		 /* the caller tells of a gap itself: zt_journal_gap() */
	bool count_allowed;	 /* nobody tells of connect, accept and flow: allow counts in their place */
	zt_usec (*now)(void);	 /* zt_now; for tests */
};

/* Creates folder (0700) and file (0600) as needed. After an unclean end of the last writer the first activity is a STATE "gap from … to …", from the
 * last flush to now. -EBUSY: another process writes; -EPROTONOSUPPORT: newer. Reports. */
int zt_journal_open(const char *path, const struct zt_journal_config *c, struct zt_journal **ret, struct zt_diags *d);
/* When the last writer, which ended without stopping, wrote last; 0: it stopped, or there was none. */
zt_usec zt_journal_gap(const struct zt_journal *j);
/* While another process writes or not. -ENOENT: there is no journal yet (not reported). */
int zt_journal_open_readonly(const char *path, struct zt_journal **ret, struct zt_diags *d);
void zt_journal_close(struct zt_journal *j); /* flushes; what cannot be written is lost */
void zt_journal_closep(struct zt_journal **j);

/* Id of the next activity is *ret_id (may be NULL). 0; -ENOBUFS: dropped and counted. Never waits for more than one flush. */
int zt_journal_append(struct zt_journal *j, const struct zt_activity *a, uint64_t *ret_id);
/* n that somebody else could not append: told as its own are. */
void zt_journal_lost(struct zt_journal *j, enum zt_activity_kind kind, uint64_t n);
/* Everything appended is on the disk afterwards; retention is kept. 0 or -errno: all that was pending is pending still. Does nothing for up to
 * a second after a failure (and returns that failure). */
int zt_journal_flush(struct zt_journal *j);
/* CLOCK_MONOTONIC of the next flush that is needed, UINT64_MAX while nothing is pending. */
zt_usec zt_journal_due(const struct zt_journal *j);
int zt_journal_tick(struct zt_journal *j); /* flushes when it is due */

/* ---- flows ----
 * What contributes, so that a connection counts once and a byte once at each end that lies on this host:
 *   connect   count 1 (egress)    without error, and with verdict allow or none: what was blocked is told by deny
 *   accept    count 1 (ingress)   the same
 *   flow      count 1             the same
 *   deny      its count, or 1     verdict reject, drop, or observe (it passed; its bytes come with close, and its connect counts under a key
 *                                 of its own: zt_seen_fold() of learn makes one of the two)
 *   allow     count 1             only with count_allowed
 *   close     bytes, no count     key must be that of its connect, accept or flow: same process, direction, name, verdict, rule
 * Remote address: dst for egress, src for ingress; port: dport; first and last: times of the activities. */
struct zt_journal_flow {
	uint64_t key;
	zt_usec minute; /* its beginning; 0 in sums */
	uint64_t count, bytes_sent, bytes_received;
	zt_usec first, last;
	struct zt_activity
		who; /* the fields of ZT_JOURNAL_KEY_FIELDS; time is first, kind connect, accept, flow or deny */
};
#define ZT_JOURNAL_BIT(f) (UINT64_C(1) << ZT_FIELD_##f)
#define ZT_JOURNAL_KEY_FIELDS                                                                                   \
	(ZT_JOURNAL_BIT(uid) | ZT_JOURNAL_BIT(gid) | ZT_JOURNAL_BIT(user) | ZT_JOURNAL_BIT(exe) |               \
	 ZT_JOURNAL_BIT(digest) | ZT_JOURNAL_BIT(service) | ZT_JOURNAL_BIT(container) | ZT_JOURNAL_BIT(label) | \
	 ZT_JOURNAL_BIT(direction) | ZT_JOURNAL_BIT(protocol) | ZT_JOURNAL_BIT(src) | ZT_JOURNAL_BIT(dst) |     \
	 ZT_JOURNAL_BIT(dport) | ZT_JOURNAL_BIT(name) | ZT_JOURNAL_BIT(netns) | ZT_JOURNAL_BIT(verdict) |       \
	 ZT_JOURNAL_BIT(rule) | ZT_JOURNAL_BIT(reason) | ZT_JOURNAL_BIT(peer_uid) | ZT_JOURNAL_BIT(peer_user) | \
	 ZT_JOURNAL_BIT(peer_exe) | ZT_JOURNAL_BIT(peer_label))

/* Kept apart from what anybody can cause: deny, privilege, module, ptrace, state, lost. */
bool zt_journal_is_vital(enum zt_activity_kind kind);

/* ---- reading ---- */
struct zt_journal_query {     /* all 0: everything */
	zt_usec since, until; /* inclusive; 0 = open. Of the time that the records have */
	uint64_t after;	      /* only ids greater than this */
	uint64_t kinds;	      /* bits 1 << kind; 0 = all */
	uint64_t limit;	      /* 0 = none */
	bool reverse;	      /* newest first */
	bool has_uid, has_pid, has_port;
	uint32_t uid, pid;		    /* of the process */
	uint16_t port;			    /* either end */
	struct zt_addr addr;		    /* either end; family 0 = any */
	const char *exe;		    /* whole path, or the last part of it when there is no slash in exe */
	const char *service, *rule, *label; /* whole */
	const char *text; /* somewhere in a text field, case ignored for ASCII. Strings are borrowed */
};
/* Does the activity fit, time and kind included? id, limit and order are not looked at. */
bool zt_journal_match(const struct zt_journal_query *q, const struct zt_activity *a);

struct zt_journal_iter;
/* In the order of ids. Borrows j and the strings of q. */
int zt_journal_query(struct zt_journal *j, const struct zt_journal_query *q, struct zt_journal_iter **ret);
/* 1; 0: no more for now (a later call sees what was flushed meanwhile, unless reverse); -errno. A chunk that cannot be read is passed over and counted. */
int zt_journal_next(struct zt_journal_iter *it, struct zt_activity *ret, uint64_t *ret_id);
uint64_t zt_journal_iter_damaged(const struct zt_journal_iter *it);
void zt_journal_iter_free(struct zt_journal_iter *it);
void zt_journal_iter_freep(struct zt_journal_iter **it);
int zt_journal_get(struct zt_journal *j, uint64_t id, struct zt_activity *ret); /* -ENOENT */

/* Flows whose minute overlaps since … until and whose key fits q (kinds, pid, limit, text of other fields do not apply): by minute and key, or
 * with sum one for each key over the whole time. fn returns 0 to go on; else this returns what it did. Holds a read
 * transaction until it returns: do not wait in fn. */
int zt_journal_flows(struct zt_journal *j, const struct zt_journal_query *q, bool sum,
		     int (*fn)(const struct zt_journal_flow *f, void *arg), void *arg);

/* ---- upkeep ---- */
struct zt_journal_status {
	uint64_t first_id, last_id; /* on the disk; 0 = none */
	uint64_t records, flows, keys;
	uint64_t vital_records;			    /* of records: deny, privilege, module, ptrace, state, lost */
	zt_usec oldest, newest;			    /* times of records; 0 = none */
	zt_usec oldest_flow;			    /* minute */
	uint64_t file_bytes, wal_bytes, free_bytes; /* free: inside the file */
	zt_usec heartbeat;			    /* realtime of the last flush */
	bool clean;				    /* the last writer ended as it should, or writes now */
	bool written;				    /* by a process that is alive */
	uint64_t max_bytes;			    /* of the writer; 0 when it is not this process */
	/* of this process */
	uint64_t pending_bytes, queue_bytes, flow_entries, max_flow_entries;
	uint64_t appended, flushes, failures, flows_dropped;
	uint64_t dropped[ZT_ACTIVITY_KINDS];
	int error; /* of the last flush: 0 or -errno */
};
int zt_journal_status(struct zt_journal *j, struct zt_journal_status *ret);
struct zt_journal_findings {
	uint64_t records, flows, chunks, damaged_chunks, miscounted, orphans; /* orphans: flows without a key */
	struct zt_strbuf text;						      /* what SQLite found; caller frees */
};
/* Reads everything. 0: intact; -EBADMSG: not, see ret; -errno. */
int zt_journal_check(struct zt_journal *j, struct zt_journal_findings *ret);
/* Gives free space back to the file system, in small transactions that a writer does not notice. Opens for itself. */
int zt_journal_vacuum(const char *path, uint64_t *ret_freed, struct zt_diags *d);
