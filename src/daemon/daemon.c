/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When which job is done: wishes wait a little for others, then the hand does one at a time. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "daemon/daemon.h"

#define JOB_TIME (120 * ZT_USEC_PER_SEC)

/* Wishes of the first are fulfilled by the second as well. */
static bool covers(enum zt_job_kind small, enum zt_job_kind big)
{
	return small == ZT_JOB_POLL && big != ZT_JOB_POLL && big != ZT_JOB_READ;
}

/* Not one of ours, such as an `apply` by hand. iptables tells of every change in the namespace, those of our own tools too. */
static bool foreign(const struct zt_daemon *d, const struct zt_suspect *s)
{
	return !strcmp(d->engine, "nft") && strncmp(s->by.program, "zt-segment", strlen("zt-segment")) != 0;
}

static void fill_check(struct zt_daemon *d, struct zt_job *job)
{
	const struct zt_suspect *s = d->suspects;

	zt_kernel_read(d); /* what was told by now, whatever the check was wanted for */
	for (size_t i = 0; i < d->n_suspects; i++)
		if (foreign(d, &d->suspects[i])) {
			s = &d->suspects[i];
			break;
		}
	job->mend = d->config.drift && !d->backoff;
	d->n_accused = d->n_suspects;
	if (!d->n_suspects)
		return;
	job->by = s->by;
	job->undone = s->meanwhile && d->same_pids && foreign(d, s);
}

static void start_job(struct zt_daemon *d, enum zt_job_kind kind)
{
	struct zt_want *w = &d->want[kind];
	struct zt_job job = {.kind = kind,
			     .asked = w->asked,
			     .recent = w->recent && !w->asked,
			     .after = d->record_after,
			     .ring = d->ring,
			     .audit = d->audit};
	int r;

	(void)snprintf(job.reason, sizeof(job.reason), "%s", w->reason);
	if (kind == ZT_JOB_CHECK)
		fill_check(d, &job);
	if (kind == ZT_JOB_READ && !zt_control_next(d, &job)) { /* who asked has gone */
		w->wanted = w->ready = false;
		return;
	}
	r = zt_hand_send(d->hand, &job);
	if (r < 0) { /* it is gone: its end of file comes next */
		zt_log(LOG_ERR, "the process that does the work cannot be asked: %s", strerror(-r));
		return;
	}
	d->job = job;
	d->busy = true;
	d->job_since = zt_now_monotonic();
	d->jobs[kind]++;
	w->wanted = w->ready = w->asked = w->recent = false;
	zt_control_answered(d, &job, NULL);
	zt_timer_set(&d->job_late, JOB_TIME);
}

/* What puts a policy in force puts everything in order, drift too: what was changed is looked at first, with who did it. A refresh leaves it alone
 * where it is only to be told. */
static void drift_first(struct zt_daemon *d)
{
	struct zt_want *check = &d->want[ZT_JOB_CHECK], *refresh = &d->want[ZT_JOB_REFRESH];

	if (d->busy || (!refresh->ready && !d->want[ZT_JOB_RELOAD].ready))
		return;
	zt_kernel_read(d);
	if (check->wanted) {
		check->ready = true;
		zt_timer_stop(&check->timer);
	} else if (d->told_drift && refresh->ready) {
		refresh->wanted = refresh->ready = false;
	}
}

static void dispatch(struct zt_daemon *d)
{
	drift_first(d);
	for (int k = 0; k < ZT_JOBS && !d->busy && !d->stopping; k++) {
		bool covered = false;

		for (int other = 0; other < ZT_JOBS && d->want[k].ready; other++)
			covered = covered ||
				  (d->want[other].wanted && covers((enum zt_job_kind)k, (enum zt_job_kind)other));
		if (covered)
			d->want[k].wanted = d->want[k].ready = false;
		else if (d->want[k].ready)
			start_job(d, (enum zt_job_kind)k);
	}
}

static void due_check(void *arg)
{
	struct zt_daemon *d = arg;

	/* One timer function serves all: those whose time has come are off. */
	for (int k = 0; k < ZT_JOBS; k++)
		if (d->want[k].wanted && !zt_timer_on(&d->want[k].timer))
			d->want[k].ready = true;
	dispatch(d);
}

void zt_daemon_want(struct zt_daemon *d, enum zt_job_kind kind, zt_usec after, bool asked, const char *fmt, ...)
{
	struct zt_want *w = &d->want[kind];
	va_list ap;

	if (!w->wanted || (asked && !w->asked)) { /* the first reason counts, a person's above all */
		va_start(ap, fmt);
		(void)vsnprintf(w->reason, sizeof(w->reason), fmt, ap);
		va_end(ap);
	}
	w->wanted = true;
	w->asked = w->asked || asked;
	if (!w->ready)
		zt_timer_set_early(&w->timer, after);
}

/* The places of clients, the sources and the journal are made once, at the start: c keeps what they were made by. */
static void keep_what_stays(struct zt_daemon *d, struct zt_daemon_config *c)
{
	const struct zt_daemon_config *now = &d->config;

	if (c->clients != now->clients || c->events != now->events || c->journal != now->journal ||
	    c->keep_events != now->keep_events || c->keep_flows != now->keep_flows ||
	    c->journal_mib != now->journal_mib || c->failed_opens != now->failed_opens)
		zt_daemon_say(
			d, LOG_WARNING, "settings-later",
			"%s: clients, events, journal, keep_events, keep_flows, journal_mib and failed_opens take "
			"effect when zt-segmentd is restarted",
			d->config_path);
	c->clients = now->clients;
	c->events = now->events;
	c->journal = now->journal;
	c->keep_events = now->keep_events;
	c->keep_flows = now->keep_flows;
	c->journal_mib = now->journal_mib;
	c->failed_opens = now->failed_opens;
}

void zt_daemon_reload(struct zt_daemon *d, const char *why)
{
	struct zt_daemon_config c, old = d->config;
	struct zt_diags diags = {0};

	if (zt_daemon_config_load(d->config_path, d->config_given, &c, &diags) < 0) {
		zt_daemon_say(d, LOG_ERR, "settings-refused", "%s is wrong: the settings of before stay",
			      d->config_path);
		for (size_t i = 0; i < diags.n; i++)
			zt_log(LOG_ERR, "%s:%u: %s", d->config_path, diags.items[i].span.line, diags.items[i].message);
	} else {
		keep_what_stays(d, &c);
		d->config = c;
		zt_events_files(d);
		zt_daemon_config_done(&old);
		if (c.refresh_every)
			zt_timer_set(&d->tick, c.refresh_every);
		else
			zt_timer_stop(&d->tick);
	}
	zt_diags_done(&diags);
	zt_daemon_want(d, ZT_JOB_RELOAD, 0, true, "reload, %s", why);
}

/* ---- the hand ---- */
static void on_hand(void *arg, uint32_t events)
{
	struct zt_daemon *d = arg;
	json_t *answer = NULL;
	struct zt_job job;
	int ring = -1, r = zt_hand_receive(d->hand, &answer, &ring);

	(void)events;
	if (r == -EAGAIN)
		return;
	if (r == -EPIPE || r == -ECONNRESET) {
		zt_log(LOG_CRIT, "the process that does the work is gone: ending, what is enforced stays");
		zt_loop_remove(d->loop, d->hand);
		zt_loop_stop(d->loop);
		d->hand_pid = -1;
		return;
	}
	zt_kernel_read(d); /* the job's own changes are told by now, and are known as such only while it runs */
	job = d->job;
	d->busy = false;
	zt_timer_stop(&d->job_late);
	if (!answer)
		answer = json_pack("{s:b, s:s, s:s}", "ok", 0, "outcome", "failed", "text",
				   "the answer cannot be read");
	zt_daemon_answer(d, &job, answer);
	zt_sentry_take(d, answer, ring);
	zt_control_answered(d, &job, answer);
	json_decref(answer);
	if (d->stopping)
		zt_loop_stop(d->loop);
	dispatch(d);
}

static void late(void *arg)
{
	struct zt_daemon *d = arg;

	zt_daemon_say(d, LOG_ERR, "job-late", "the job \"%s\" runs for %llu s", zt_job_name(d->job.kind),
		      (unsigned long long)((zt_now_monotonic() - d->job_since) / ZT_USEC_PER_SEC));
	zt_timer_set(&d->job_late, JOB_TIME);
}

static void tick(void *arg)
{
	struct zt_daemon *d = arg;

	if (d->meant)
		zt_daemon_want(d, ZT_JOB_REFRESH, 0, false, "refresh: looked up again");
	if (d->config.refresh_every)
		zt_timer_set(&d->tick, d->config.refresh_every);
}

static void backoff_over(void *arg)
{
	struct zt_daemon *d = arg;

	d->backoff = false;
	d->n_heal_times = 0;
	zt_daemon_want(d, ZT_JOB_CHECK, 0, false, "repairing again");
}

int zt_daemon_start(struct zt_daemon *d)
{
	for (int k = 0; k < ZT_JOBS; k++)
		zt_timer_init(&d->want[k].timer, d->loop, due_check, d);
	zt_timer_init(&d->job_late, d->loop, late, d);
	zt_timer_init(&d->tick, d->loop, tick, d);
	zt_timer_init(&d->backoff_end, d->loop, backoff_over, d);
	d->loop_gauge = (struct zt_gauge){.name = "descriptors", .max = ZT_LOOP_MAX};
	zt_daemon_gauge(d, &d->loop_gauge);
	d->suspect_gauge = (struct zt_gauge){.name = "who changed rules", .max = ZT_SUSPECTS_MAX};
	zt_daemon_gauge(d, &d->suspect_gauge);
	if (d->config.refresh_every)
		zt_timer_set(&d->tick, d->config.refresh_every);
	zt_daemon_want(d, ZT_JOB_LOOK, 0, false, "start");
	return zt_loop_add(d->loop, d->hand, EPOLLIN, on_hand, d);
}

void zt_daemon_stop(struct zt_daemon *d)
{
	zt_notify("STOPPING=1");
	d->stopping = true;
	if (!d->busy) /* else when it is done */
		zt_loop_stop(d->loop);
}

void zt_daemon_done(struct zt_daemon *d)
{
	free(d->last_reload.text);
	free(d->last_refresh.text);
	free(d->last_heal.text);
	zt_closep(&d->hand);
	zt_closep(&d->run_lock);
	free(d->beat_path);
	free(d->run_dir);
	zt_daemon_config_done(&d->config);
}
