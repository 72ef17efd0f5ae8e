/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * daemon: zt-segmentd, optional. It keeps what is in force in step with the policy file and the host, repairs drift, answers on the control
 * socket and passes on what happens. Enforcement lives in the kernel and needs none of it: killing the daemon changes no verdict.
 *
 * Two processes. The loop (this struct) has given its rights away and never blocks: what waits for the disk is done by a thread beside it, which
 * writes the journal (event/journal_writer.h) and the heart beat. The hand (job.h) keeps the rights and knows five jobs. Files: loop.c
 * (descriptors, timers), hand.c job.c (the hand and what it does), daemon.c (when which job), places.c (files, control groups), kernel.c (changes
 * of the packet filter, devices), sentry.c (what rings, so that nothing is polled), control.c request.c (clients), life.c (heart beat, gaps, systemd), rights.c (capabilities, seccomp), status.c.
 *
 * No unbounded memory: everything that can fill up has a struct zt_gauge that `status` shows; what is lost is counted there, by class in lost[],
 * and told as an event.
 *
 * Adding a source of events: open its descriptors before zt_rights_drop() in main.c, zt_loop_add(d->loop, …), zt_daemon_emit() for each event,
 * zt_daemon_lost() for those that did not fit, zt_daemon_gauge() for its buffers. Adding a sink: zt_daemon_sink().
 */
#include "daemon/config.h"
#include "daemon/job.h"
#include "daemon/loop.h"
#include "event/activity.h"

/* ---- what is bounded ---- */
struct zt_gauge {
	const char *name, *unit; /* "clients", "KiB" … */
	uint64_t used, max, lost;
	uint64_t peak; /* where it is emptied at once: the most there was; 0: not known */
	struct zt_gauge *next;
};

/* ---- clients ---- */
struct zt_client;
struct zt_control;

struct zt_last { /* what became of the last job of a kind that mattered */
	zt_usec when;
	bool ok;
	char outcome[16], reason[160];
	uint64_t generation, errors, warnings;
	char *text; /* diagnostics; NULL */
};

enum { ZT_SINKS_MAX = 8, ZT_HEALS_REMEMBERED = 64, ZT_SUSPECTS_MAX = 4 };

struct zt_daemon {
	struct zt_loop *loop;
	struct zt_job_ctx ctx;
	struct zt_daemon_config config;
	const char *config_path;
	bool config_given, quiet;
	zt_usec started;

	/* the hand */
	int hand;
	pid_t hand_pid;
	bool busy, stopping;
	struct zt_job job; /* that runs now */
	zt_usec job_since;
	struct zt_timer job_late;
	uint64_t jobs[ZT_JOBS];
	struct zt_want { /* by kind */
		bool wanted, ready, asked, recent;
		char reason[160];
		struct zt_timer timer;
	} want[ZT_JOBS];

	/* what is in force, as the hand saw it last */
	bool seen, active, damaged, meant, pending, source_differs, reload_waits;
	uint64_t generation, current, n_rules;
	char engine[16], hash[65];
	zt_usec expires;
	struct zt_last last_reload, last_refresh, last_heal;

	/* drift */
	struct zt_watch *nft;
	struct zt_suspect {
		struct zt_culprit by;
		bool meanwhile; /* it came while a job ran that may have put it in order without knowing of it */
	} suspects[ZT_SUSPECTS_MAX];
	size_t n_suspects, n_accused; /* accused: that the check that runs was told of */
	bool same_pids;		      /* ours are those that the kernel tells */
	uint64_t drifts, heals, alerts;
	zt_usec heal_times[ZT_HEALS_REMEMBERED];
	size_t n_heal_times;
	unsigned backoff_steps;
	bool backoff, told_drift;
	struct zt_timer backoff_end, poll, tick, offset;
	int expiry;	      /* timerfd on the clock of the wall */
	int64_t clock_offset; /* of that clock to one that is not set, when it was last told */
	int rtnl;

	uint64_t record_after; /* of the engine's record: number of the last one told; UINT64_MAX: not known */

	uint64_t held_back; /* by the limit of the policy, as the engine counted last; UINT64_MAX: not known */

	uint64_t audit; /* last line of the audit log that is known; UINT64_MAX: not known */

	struct zt_sentry *sentry;
	uint32_t ring; /* id of the engine's ring that rings for us; 0: none */

	struct zt_events *events;
	struct zt_places *places;
	struct zt_control *control;

	/* events */
	struct zt_sink {
		const char *name;
		int (*emit)(void *arg, const struct zt_activity *a);
		void *arg;
		uint64_t failed;
	} sinks[ZT_SINKS_MAX];
	size_t n_sinks;
	uint64_t emitted[ZT_ACTIVITY_KINDS], lost[ZT_ACTIVITY_KINDS], lost_told[ZT_ACTIVITY_KINDS];
	struct zt_timer lost_timer;
	struct zt_gauge *gauges;
	struct zt_gauge loop_gauge, suspect_gauge;

	/* life */
	char *beat_path, *run_dir;
	int run_lock;
	struct zt_timer beat;
	zt_usec watchdog; /* of systemd; 0 = none */
	zt_usec gap_from, gap_to;
	char gap_why[32];
};

/* ---- events ---- */
/* Passes a on to every sink. What a sink did not take (it returned < 0) is counted as lost. */
void zt_daemon_emit(struct zt_daemon *d, const struct zt_activity *a);
int zt_daemon_sink(struct zt_daemon *d, const char *name, int (*emit)(void *arg, const struct zt_activity *a),
		   void *arg);
/* n events of a kind could not be told; a LOST event says so within a second. */
void zt_daemon_lost(struct zt_daemon *d, enum zt_activity_kind kind, uint64_t n);
void zt_daemon_gauge(struct zt_daemon *d, struct zt_gauge *g); /* g stays the caller's and must live as long as d */
/* A STATE event, and a line of the log. It is of the generation in force as it is known here, or of one that somebody told of (_of). */
void zt_daemon_say(struct zt_daemon *d, int priority, const char *reason, const char *fmt, ...) ZT_PRINTF(4, 5);
void zt_daemon_say_of(struct zt_daemon *d, uint64_t generation, int priority, const char *reason, const char *fmt, ...)
	ZT_PRINTF(5, 6);

/* ---- daemon.c ---- */
int zt_daemon_start(struct zt_daemon *d); /* the first look is on its way afterwards */
/* A job is to be done after a while; several wishes become one job. asked: by a person. */
void zt_daemon_want(struct zt_daemon *d, enum zt_job_kind kind, zt_usec after, bool asked, const char *fmt, ...)
	ZT_PRINTF(5, 6);
void zt_daemon_reload(struct zt_daemon *d, const char *why); /* settings and policy, asked by a person */
void zt_daemon_stop(struct zt_daemon *d);
void zt_daemon_done(struct zt_daemon *d);

/* ---- answers.c: what follows from the answer of a job ---- */
void zt_daemon_answer(struct zt_daemon *d, const struct zt_job *job, json_t *answer);

/* ---- kernel.c ---- */
int zt_kernel_open(struct zt_daemon *d);    /* needs CAP_NET_ADMIN */
void zt_kernel_read(struct zt_daemon *d);   /* what was told and not read yet */
void zt_kernel_engine(struct zt_daemon *d); /* another engine enforces now */
void zt_kernel_close(struct zt_daemon *d);

/* ---- sentry.c: who rings, so that nothing is polled ---- */
struct zt_sentry;
int zt_sentry_open(struct zt_daemon *d); /* needs rights; a kernel that takes none is polled */
void zt_sentry_take(struct zt_daemon *d, const json_t *answer, int ring); /* what is in force now; the ring is ours */
bool zt_sentry_rings(const struct zt_daemon *d);
void zt_sentry_close(struct zt_daemon *d);

/* ---- places.c ---- */
struct zt_places;
int zt_places_open(struct zt_daemon *d);
void zt_places_set(struct zt_daemon *d, const json_t *answer); /* from a job's answer: the new ones, all others go */
void zt_places_close(struct zt_daemon *d);

/* ---- events.c: what the host does, into the journal ---- */
struct zt_events;
int zt_events_open(struct zt_daemon *d);   /* needs rights; what cannot be had is told and gone without */
void zt_events_read(struct zt_daemon *d);  /* what there is now */
void zt_events_count(struct zt_daemon *d); /* losses and gauges, up to date */
void zt_events_emit(struct zt_daemon *d, struct zt_activity *a);    /* completed by what is known here, then told */
void zt_events_prefix(struct zt_daemon *d, const char *log_prefix); /* of the policy in force; "" the default */
void zt_events_files(struct zt_daemon *d);			    /* the settings name others */
zt_usec
zt_events_before(const struct zt_daemon *d); /* when the journal was written last by one that was killed; 0: none */
int zt_events_start(struct zt_daemon *d);    /* the thread that writes the journal, with the rights that are left */
/* fn(arg) soon, by that thread: what may have to wait for the disk of the state folder. Without a journal at once. */
void zt_events_work(struct zt_daemon *d, void (*fn)(void *arg), void *arg);
void zt_events_flush(
	struct zt_daemon *d); /* what was emitted is on the disk, if that is possible now; at the start only */
const char *zt_events_lack(const struct zt_daemon *d, enum zt_activity_kind kind,
			   bool *ret_some);	    /* why it is not told, or in part only; NULL: it is */
bool zt_events_recorded(const struct zt_daemon *d); /* there is a journal */
void zt_events_close(struct zt_daemon *d);

/* ---- clock.c: expiry, daylight saving ---- */
int zt_clock_open(struct zt_daemon *d);
void zt_clock_set(struct zt_daemon *d);
void zt_clock_close(struct zt_daemon *d);

/* ---- control.c ---- */
int zt_control_open(struct zt_daemon *d);
/* What a client that waits for ZT_JOB_READ asked for; false: nobody waits. */
bool zt_control_next(struct zt_daemon *d, struct zt_job *job);
void zt_control_answered(struct zt_daemon *d, const struct zt_job *job,
			 const json_t *answer); /* to those who wait for it */
void zt_control_close(struct zt_daemon *d);
json_t *zt_daemon_status(struct zt_daemon *d); /* status.c */

/* ---- life.c ---- */
int zt_life_begin(struct zt_daemon *d); /* alone here? then the gap since last time is known, and the heart beats */
void zt_life_stir(struct zt_daemon *d); /* something happens: the heart beats, which it does not while nothing does */
void zt_life_end(struct zt_daemon *d);
void zt_notify(const char *fmt, ...) ZT_PRINTF(1, 2); /* sd_notify(3); nothing where there is no systemd */

/* ---- rights.c ---- */
struct zt_right {
	int cap;
	const char *name, *why;
};
extern const struct zt_right zt_rights_kept[];
extern const size_t zt_n_rights_kept;
int zt_rights_drop(void); /* of the loop, for good; everything that needs more was opened before */

/* ---- log.c ---- */
void zt_log(int priority, const char *fmt, ...) ZT_PRINTF(2, 3); /* LOG_INFO …; stderr, with <N> for the journal */
