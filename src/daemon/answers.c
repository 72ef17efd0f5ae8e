/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What follows from the answers of the hand. */
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "base/mem.h"
#include "daemon/daemon.h"

enum { BACKOFF_STEPS = 4 }; /* 1, 2, 4, 8, 16 minutes */
#define TOLD 20000	    /* after which who made a change is told: the kernel makes it first */

static const char *text_of(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s ? s : "";
}

static uint64_t number(const json_t *j, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(j, key));

	return v > 0 ? (uint64_t)v : 0;
}

static bool flag(const json_t *j, const char *key)
{
	return json_is_true(json_object_get(j, key));
}

static void remember(struct zt_last *l, const struct zt_job *job, const json_t *a, uint64_t generation)
{
	free(l->text);
	*l = (struct zt_last){.when = zt_now(),
			      .ok = flag(a, "ok"),
			      .generation = generation,
			      .errors = number(a, "errors"),
			      .warnings = number(a, "warnings"),
			      .text = zt_strdup(text_of(a, "text"))};
	(void)snprintf(l->outcome, sizeof(l->outcome), "%s", text_of(a, "outcome"));
	(void)snprintf(l->reason, sizeof(l->reason), "%s", job->reason);
}

/* ---- what is in force ---- */
static void take_in_force(struct zt_daemon *d, const json_t *f)
{
	const struct zt_engine *e = zt_engine_by_name(text_of(f, "engine"));
	bool was_pending = d->pending, watched = d->active || d->meant, anew = false;
	uint64_t waited = d->generation;

	d->active = flag(f, "active");
	d->damaged = flag(f, "damaged");
	d->meant = flag(f, "meant");
	d->pending = flag(f, "pending");
	d->generation = number(f, "generation");
	d->current = number(f, "current");
	(void)snprintf(d->hash, sizeof(d->hash), "%s", text_of(f, "hash"));
	if (strcmp(d->engine, text_of(f, "engine")) != 0) {
		(void)snprintf(d->engine, sizeof(d->engine), "%s", text_of(f, "engine"));
		zt_kernel_engine(d);
		anew = d->seen;
	} else if (watched != (d->active || d->meant)) {
		zt_kernel_engine(d);
	}
	if (anew || !d->active) { /* those that come count from the beginning */
		d->held_back = 0;
		d->record_after = 0;
	}
	if (!e || !e->records) /* one that keeps a record begins it when it takes over */
		d->record_after = 0;
	if (was_pending && !d->pending && d->reload_waits) {
		d->reload_waits = false;
		if (d->current == waited) /* nobody wants back what was rolled back */
			zt_daemon_want(d, ZT_JOB_RELOAD, 0, false, "reload: it waited for a confirmation");
	}
}

static void take_places(struct zt_daemon *d, const json_t *a)
{
	if (!json_object_get(a, "in_force") || !json_object_size(json_object_get(a, "places")))
		return;
	d->expires = number(a, "expires");
	d->n_rules = number(a, "rules");
	d->source_differs = flag(a, "source_differs");
	zt_events_prefix(d, text_of(a, "log_prefix"));
	zt_places_set(d, a);
	zt_clock_set(d);
}

/* The kernel does not hold what it should. */
static bool off(const struct zt_daemon *d)
{
	return d->meant ? !d->active || d->damaged || (!d->pending && d->generation != d->current)
			: d->active && !d->pending;
}

/* ---- the kinds ---- */
static void ready(struct zt_daemon *d)
{
	d->seen = true;
	if (d->active)
		zt_daemon_say(d, LOG_INFO, "started", "generation %llu is in force (%s), adopted",
			      (unsigned long long)d->generation, d->engine);
	else
		zt_daemon_say(d, LOG_INFO, "started", "nothing is in force");
	zt_notify("READY=1\nSTATUS=%s", d->active ? "a policy is in force" : "nothing is in force");
	if (!d->meant)
		return;
	/* Accounts, services and programs may have changed while nobody looked, the policy too. */
	zt_daemon_want(d, ZT_JOB_CHECK, 0, false, "start");
	zt_daemon_want(d, ZT_JOB_REFRESH, 0, false, "refresh: the daemon started");
	if (d->config.follow_policy) {
		zt_daemon_want(d, ZT_JOB_RELOAD, 0, false, "reload: the policy changed while no daemon ran");
		d->want[ZT_JOB_RELOAD].recent = true;
	}
}

static void reloaded(struct zt_daemon *d, const struct zt_job *job, const json_t *a)
{
	const char *outcome = text_of(a, "outcome");

	zt_notify("READY=1\nSTATUS=last reload: %s", outcome);
	if (!flag(a, "ok") && flag(a, "busy")) { /* once the state folder says that it is over */
		d->reload_waits = true;
		if (!d->pending)
			zt_daemon_want(d, ZT_JOB_RELOAD, ZT_USEC_PER_SEC, false, "%s", job->reason);
	}
	if (!strcmp(outcome, "inactive") || (!strcmp(outcome, "unchanged") && !job->asked))
		return;
	remember(&d->last_reload, job, a, d->generation);
	if (!flag(a, "ok"))
		zt_daemon_say(d, LOG_ERR, "reload-refused", "%s: %s; generation %llu stays in force\n%s", job->reason,
			      strcmp(outcome, "refused") ? "it could not be put in force" : "the policy is wrong",
			      (unsigned long long)d->generation, text_of(a, "text"));
	else if (!strcmp(outcome, "applied"))
		zt_daemon_say(d, LOG_NOTICE, "reloaded", "%s: generation %llu is in force", job->reason,
			      (unsigned long long)d->generation);
	else
		zt_log(LOG_INFO, "%s: no changes", job->reason);
}

static void refreshed(struct zt_daemon *d, const struct zt_job *job, const json_t *a)
{
	const char *outcome = text_of(a, "outcome");

	if (!flag(a, "ok") && flag(a, "busy")) {
		zt_daemon_want(d, ZT_JOB_REFRESH, ZT_USEC_PER_SEC, false, "%s", job->reason);
		return;
	}
	if (!strcmp(outcome, "drifted")) {
		zt_daemon_want(d, ZT_JOB_CHECK, TOLD, false, "the kernel does not hold what it should");
		zt_daemon_want(d, ZT_JOB_REFRESH, TOLD, false, "%s", job->reason);
		return;
	}
	if (flag(a, "ok") && strcmp(outcome, "changed") != 0)
		return;
	remember(&d->last_refresh, job, a, d->generation);
	if (!flag(a, "ok"))
		zt_daemon_say(d, LOG_ERR, "refresh-failed", "%s: it failed\n%s", job->reason, text_of(a, "text"));
	else
		zt_daemon_say(d, LOG_NOTICE, "refreshed", "%s: generation %llu is in force", job->reason,
			      (unsigned long long)d->generation);
}

/* ---- drift ---- */
static void tell_drift(struct zt_daemon *d, int priority, const char *reason, const char *culprit, const json_t *a)
{
	const char *note = json_string_value(json_array_get(json_object_get(a, "notes"), 0));
	const char *by = *culprit ? culprit : "an unknown program";

	if (!strcmp(reason, "healed"))
		zt_daemon_say(d, priority, reason, "our rules were changed by %s: generation %llu was put back%s%s", by,
			      (unsigned long long)d->current, note ? "; " : "", note ? note : "");
	else
		zt_daemon_say(d, priority, reason, "our rules were changed by %s, and are not repaired: %s%s%s", by,
			      d->backoff	    ? "too many repairs in a minute, somebody else manages them too"
			      : !d->config.drift    ? "drift: alert"
			      : d->pending	    ? "a policy waits for its confirmation"
			      : *text_of(a, "text") ? text_of(a, "text")
						    : "nothing is known to put back",
			      note ? "; " : "", note ? note : "");
}

static void count_heal(struct zt_daemon *d)
{
	zt_usec now = zt_now_monotonic();
	size_t n = 0;

	d->heals++;
	for (size_t i = 0; i < d->n_heal_times; i++)
		if (d->heal_times[i] + 60 * ZT_USEC_PER_SEC > now)
			d->heal_times[n++] = d->heal_times[i];
	if (n == 0 && d->n_heal_times)
		d->backoff_steps = 0; /* a quiet minute */
	if (n < ZT_HEALS_REMEMBERED)
		d->heal_times[n++] = now;
	d->n_heal_times = n;
	if (n < d->config.heals_per_minute)
		return;
	d->backoff = true;
	zt_timer_set(&d->backoff_end, (60 * ZT_USEC_PER_SEC) << d->backoff_steps);
	zt_daemon_say(d, LOG_ALERT, "backoff",
		      "%zu repairs within a minute: another program manages our rules; repairing stops for %u min", n,
		      1U << d->backoff_steps);
	d->backoff_steps = ZT_MIN(d->backoff_steps + 1, (unsigned)BACKOFF_STEPS);
}

/* What a job changed by its processes is not another program's doing. A job that ended before it could say so leaves all of them in doubt. */
static void take_ran(struct zt_daemon *d, const json_t *ran)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n_suspects; i++) {
		struct zt_suspect s = d->suspects[i];
		bool ours = false;
		size_t k;
		json_t *v;

		json_array_foreach (ran, k, v)
			ours = ours || json_integer_value(v) == (json_int_t)s.by.pid;
		s.meanwhile = s.meanwhile && (ran || i < d->n_accused);
		if (ours && s.meanwhile)
			d->n_accused -= i < d->n_accused;
		else
			d->suspects[n++] = s;
	}
	d->n_suspects = n;
}

/* What came while the check ran may have come after its look: the next one is about that, unless it is what the check found. */
static void acquit(struct zt_daemon *d, const char *culprit)
{
	size_t n = 0;

	for (size_t i = d->n_accused; i < d->n_suspects; i++) {
		ZT_FREE char *name = zt_culprit_name(&d->suspects[i].by);

		if (!zt_str_eq(name, culprit))
			d->suspects[n++] = d->suspects[i];
	}
	d->n_suspects = n;
	d->n_accused = 0;
}

/* What they did was put in order by nobody, or was no harm: if it did some, a check finds it. */
static void nothing_undone(struct zt_daemon *d)
{
	for (size_t i = 0; i < d->n_suspects; i++)
		d->suspects[i].meanwhile = false;
}

static void checked(struct zt_daemon *d, const struct zt_job *job, const json_t *a)
{
	const char *outcome = text_of(a, "outcome"), *culprit = text_of(a, "culprit");
	bool drifted = flag(a, "drifted");

	if (!strcmp(outcome, "clean")) {
		d->told_drift = false;
		acquit(d, NULL);
		nothing_undone(d); /* an `apply` by hand, whose lock it waited for */
		return;
	}
	if (!drifted && !flag(a, "ok") && flag(a, "busy")) { /* the lock is held for long */
		zt_daemon_want(d, ZT_JOB_CHECK, ZT_USEC_PER_SEC, false, "%s", job->reason);
		return;
	}
	d->drifts += drifted && !d->told_drift;
	remember(&d->last_heal, job, a, d->generation);
	(void)snprintf(d->last_heal.reason, sizeof(d->last_heal.reason), "%s",
		       *culprit ? culprit : "an unknown program");
	if (!strcmp(outcome, "healed")) {
		tell_drift(d, LOG_WARNING, "healed", culprit, a);
		d->told_drift = false;
		acquit(d, culprit);
		count_heal(d);
		zt_daemon_want(d, ZT_JOB_CHECK, ZT_USEC_PER_SEC / 5, false, "after the repair");
	} else if (!d->told_drift) {
		d->alerts++;
		d->told_drift = true;
		tell_drift(d, LOG_ALERT, "drift", culprit, a);
	}
}

static void take_records(struct zt_daemon *d, const json_t *records)
{
	json_int_t lost = json_integer_value(json_object_get(records, "lost"));
	size_t i;
	json_t *v;

	if (!records)
		return;
	zt_events_read(d); /* what the processes did before, so that they are known */
	json_array_foreach (json_object_get(records, "list"), i, v) {
		ZT_FREE char *text = json_dumps(v, JSON_COMPACT);
		struct zt_activity a;

		if (text && zt_activity_from_json(text, strlen(text), &a) == 0)
			zt_events_emit(d, &a);
	}
	if (lost > 0)
		zt_daemon_lost(d, ZT_ACTIVITY_DENY, (uint64_t)lost);
	if (json_is_integer(json_object_get(records, "after")))
		d->record_after = (uint64_t)json_integer_value(json_object_get(records, "after"));
	if (flag(records, "more"))
		zt_daemon_want(d, ZT_JOB_POLL, 0, false, "more was recorded");
}

/* A deny that the limit kept back is lost for whoever reads the events. Counters that are smaller began anew. */
static void take_held_back(struct zt_daemon *d, const json_t *a)
{
	uint64_t now = number(a, "held_back"), before = d->held_back;

	if (!json_is_integer(json_object_get(a, "held_back")))
		return;
	d->held_back = now;
	if (before != UINT64_MAX && now != before)
		zt_daemon_lost(d, ZT_ACTIVITY_DENY, now > before ? now - before : now);
}

/* Somebody else changed what is in force: `apply`, `confirm`, `rollback`, `flush` by hand. */
static void take_audit(struct zt_daemon *d, const json_t *audit)
{
	size_t i;
	json_t *l;

	if (json_array_size(
		    json_object_get(audit, "list"))) /* what such a command starts goes by another name than ours */
		nothing_undone(d);
	json_array_foreach (json_object_get(audit, "list"), i, l)
		zt_daemon_say_of(d, number(l, "generation"), LOG_NOTICE, text_of(l, "action"),
				 "%s by %s (%s): generation %llu%s%s", text_of(l, "action"), text_of(l, "who"),
				 text_of(l, "from"), (unsigned long long)number(l, "generation"),
				 *text_of(l, "detail") ? ", " : "", text_of(l, "detail"));
	if (json_is_integer(json_object_get(audit, "last")))
		d->audit = number(audit, "last");
}

void zt_daemon_answer(struct zt_daemon *d, const struct zt_job *job, json_t *a)
{
	if (json_object_get(a, "in_force"))
		take_in_force(d, json_object_get(a, "in_force"));
	take_places(d, a);
	take_ran(d, json_object_get(a, "ran"));
	take_records(d, json_object_get(a, "records"));
	take_held_back(d, a);
	take_audit(d, json_object_get(a, "audit"));
	switch (job->kind) {
	case ZT_JOB_CHECK:
		checked(d, job, a);
		break;
	case ZT_JOB_RELOAD:
		reloaded(d, job, a);
		break;
	case ZT_JOB_REFRESH:
		refreshed(d, job, a);
		break;
	case ZT_JOB_LOOK:
		if (!d->seen)
			ready(d);
		break;
	case ZT_JOB_POLL:
	case ZT_JOB_READ:
	case ZT_JOBS:
		break;
	}
	if ((job->kind == ZT_JOB_POLL || job->kind == ZT_JOB_LOOK) && json_object_get(a, "in_force") && off(d) &&
	    !d->told_drift)
		zt_daemon_want(d, ZT_JOB_CHECK, TOLD, false, "the kernel does not hold what it should");
	if (job->kind == ZT_JOB_POLL && !off(d))
		d->told_drift = false;
}
