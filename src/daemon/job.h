/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What changes the kernel. The loop parses what strangers send and has given its rights away; it never does such work itself. It asks the *hand*, a
 * process of the daemon that kept them and hears nothing but the fixed jobs below, one at a time; the hand lets a child do each, so that
 * memory of a big policy is given back, a crash in a parser is one failed job, and a transaction goes on when the daemon is killed.
 * When the loop ends, the hand sees the end of its socket and ends too.
 *
 * The result of a job is a JSON object, ZT_JOB_ANSWER_MAX bytes at most:
 *   ok, outcome   "applied" "unchanged" "inactive" (nothing is meant to be in force) "refused" (the policy is wrong) "waits" (for a confirmation)
 *                 "failed" | refresh: "changed" "unchanged" "drifted" (nothing was done) | check: "clean" "healed" "drifted"
 *   text, errors, warnings   diagnostics as `check` prints them
 *   culprit, notes           of a check
 *   ran                      processes that may have changed the packet filter for it: the job's own and its children
 *   in_force {engine active damaged generation hash meant current settled pending}
 *   records {after, lost, more, list: [activity, …]}   (more: the rest of them did not fit) of a poll, where the engine keeps a record of what it blocked
 *   audit {last, list: [{action who from generation detail}, …]}   lines that others wrote before the job began; not after a poll
 *   kernel {drift_known drifted culprit notes counters rules counts from of not_covered foreign_tables ruleset}, events {list after more seen}   of a read
 *   held_back   what the limit of the policy for messages kept back, since the engine counts: after a poll, where there is a record; else with the places
 *   bells {ring, links: [id, …]}   as struct zt_bells; with a ring that the loop does not have its descriptor comes along
 *   places {policy: {PATH: true}, …}, places_cut, expires, expired, source_differs     where a change would matter; not after a poll
 */
#include <jansson.h>

#include "apply/apply.h"
#include "daemon/request.h"

enum { ZT_JOB_ANSWER_MAX = 128 << 10, ZT_PLACES_MAX = 1024, ZT_JOB_TEXT_MAX = 16 << 10 };

enum zt_job_kind {		   /* in the order of urgency */
		   ZT_JOB_CHECK,   /* zt_heal() */
		   ZT_JOB_RELOAD,  /* the policy file, as `apply` */
		   ZT_JOB_REFRESH, /* zt_refresh() */
		   ZT_JOB_LOOK,	   /* nothing changes */
		   ZT_JOB_POLL,	   /* the same, only what is in force */
		   ZT_JOB_READ,	   /* the same: what one client asked for */
		   ZT_JOBS
};
const char *zt_job_name(enum zt_job_kind k);

struct zt_job {
	enum zt_job_kind kind;
	bool mend;   /* CHECK: heal */
	bool undone; /* CHECK: a job that ran meanwhile undid what `by` did, if nothing is wrong now */
	bool asked;  /* RELOAD: by a person; else only where a policy is in force */
	bool recent; /* RELOAD: only where the files are younger than what is in force */
	bool places; /* CHECK, … tell the places too */
	struct zt_culprit by;
	uint64_t after; /* POLL: the number of the last record that is known; UINT64_MAX: only that is asked */
	uint32_t ring;	/* id of the ring that the loop has; 0: none */
	uint64_t audit; /* the number of the last line of the audit log that is known; UINT64_MAX: only that is asked */
	struct zt_ask ask; /* READ */
	size_t client;	   /* … of this one */
	char reason[160];
};

struct zt_job_ctx {	    /* what the daemon was started with; borrowed */
	const char *engine; /* NULL = the one that enforces */
	const char *instance, *state_dir, *cgroup, *netns, *policy;
};

/* Here and now. Always an object, NULL only on ENOMEM. ret_ring: a descriptor, or -1. */
json_t *zt_job_run(const struct zt_job_ctx *c, const struct zt_job *job, int *ret_ring);

/* ---- read.c ---- */
/* Adds what job->ask asks for to out; f is what is in force. */
int zt_job_read(const struct zt_apply_ctx *c, const struct zt_in_force *f, const struct zt_job *job, json_t *out);

/* ---- hand.c ---- */
/* Starts the hand; *ret_fd carries struct zt_job there and answers back, one message each. The caller is single-threaded. */
int zt_hand_start(const struct zt_job_ctx *c, pid_t *ret_pid, int *ret_fd);
int zt_hand_send(int fd, const struct zt_job *job);
/* -EAGAIN: none yet; -EPIPE: the hand is gone; -EBADMSG. */
int zt_hand_receive(int fd, json_t **ret, int *ret_ring); /* ret_ring: -1: none came along */
