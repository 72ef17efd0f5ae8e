/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "daemon/daemon.h"

static void set(json_t *o, const char *key, json_t *v)
{
	(void)json_object_set_new(o, key, v); /* one that fails is left out */
}

static json_t *when(zt_usec t)
{
	char text[32];

	if (!t)
		return json_null();
	zt_time_format(t, text);
	return json_string(text);
}

static json_t *last_json(const struct zt_last *l)
{
	if (!l->when)
		return json_null();
	return json_pack("{s:b, s:o, s:s, s:s, s:I, s:I, s:I, s:s}", "ok", (int)l->ok, "when", when(l->when), "outcome",
			 l->outcome, "reason", l->reason, "generation", (json_int_t)l->generation, "errors",
			 (json_int_t)l->errors, "warnings", (json_int_t)l->warnings, "text", l->text ? l->text : "");
}

static json_t *limits_json(const struct zt_daemon *d)
{
	json_t *a = json_array();

	for (const struct zt_gauge *g = d->gauges; g; g = g->next)
		(void)json_array_append_new(a, json_pack("{s:s, s:s*, s:I, s:I, s:I, s:o*}", "name", g->name, "unit",
							 g->unit, "used", (json_int_t)g->used, "max",
							 (json_int_t)g->max, "lost", (json_int_t)g->lost, "peak",
							 g->peak ? json_integer((json_int_t)g->peak) : NULL));
	return a;
}

static json_t *events_json(const struct zt_daemon *d)
{
	json_t *o = json_object();

	for (size_t i = 0; i < ZT_ACTIVITY_KINDS; i++)
		if (d->emitted[i] || d->lost[i])
			set(o, zt_activity_info((enum zt_activity_kind)i)->name,
			    json_pack("{s:I, s:I}", "told", (json_int_t)d->emitted[i], "lost", (json_int_t)d->lost[i]));
	return o;
}

static json_t *not_seen_json(const struct zt_daemon *d)
{
	json_t *a = json_array();

	for (enum zt_activity_kind k = 0; k < ZT_ACTIVITY_KINDS; k++) {
		bool some;
		const char *why = zt_events_lack(d, k, &some);

		if (why)
			(void)json_array_append_new(a, json_pack("{s:s, s:s, s:b}", "kind", zt_activity_info(k)->name,
								 "why", why, "some", (int)some));
	}
	return a;
}

static json_t *jobs_json(const struct zt_daemon *d)
{
	json_t *o = json_object();

	for (int k = 0; k < ZT_JOBS; k++)
		set(o, zt_job_name((enum zt_job_kind)k), json_integer((json_int_t)d->jobs[k]));
	set(o, "running", d->busy ? json_string(zt_job_name(d->job.kind)) : json_null());
	return o;
}

static json_t *drift_json(const struct zt_daemon *d)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:b, s:b, s:I, s:o}", "mode", d->config.drift ? "heal" : "alert",
			 "found", (json_int_t)d->drifts, "healed", (json_int_t)d->heals, "alerts",
			 (json_int_t)d->alerts, "drifted", (int)d->told_drift, "backoff", (int)d->backoff,
			 "bursts_lost", (json_int_t)(d->nft ? zt_watch_lost(d->nft) : 0), "last",
			 last_json(&d->last_heal));
}

static json_t *gap_json(const struct zt_daemon *d)
{
	if (!d->gap_from)
		return json_null();
	return json_pack("{s:o, s:o, s:s}", "from", when(d->gap_from), "to", when(d->gap_to), "why", d->gap_why);
}

/* "VmRSS:     1234 kB" */
static uint64_t resident_kib(void)
{
	ZT_FREE char *text = NULL;
	unsigned long long v = 0;
	size_t len = 0;
	const char *at;

	if (zt_file_read("/proc/self/status", 65536, &text, &len) < 0)
		return 0;
	at = strstr(text, "VmRSS:");
	return at && sscanf(at, "VmRSS: %llu", &v) == 1 ? v : 0;
}

json_t *zt_daemon_status(struct zt_daemon *d)
{
	zt_usec now = zt_now();
	json_t *o;

	zt_events_count(d);
	d->suspect_gauge.used = d->n_suspects;
	o = json_pack("{s:b, s:I, s:s, s:s, s:o, s:I}", "ok", 1, "pid", (json_int_t)getpid(), "version", ZT_VERSION,
		      "instance", d->ctx.instance, "started", when(d->started), "uptime",
		      (json_int_t)((now > d->started ? now - d->started : 0) / ZT_USEC_PER_SEC));

	set(o, "netns", d->ctx.netns ? json_string(d->ctx.netns) : json_null());
	set(o, "policy", json_string(d->ctx.policy));
	set(o, "policy_differs", json_boolean(d->source_differs));
	set(o, "follow_policy", json_boolean(d->config.follow_policy));
	set(o, "engine", json_string(d->engine));
	set(o, "active", json_boolean(d->active));
	set(o, "generation", json_integer((json_int_t)d->generation));
	set(o, "pending", json_boolean(d->pending));
	set(o, "next_expiry", when(d->expires));
	set(o, "last_reload", last_json(&d->last_reload));
	set(o, "last_refresh", last_json(&d->last_refresh));
	set(o, "drift", drift_json(d));
	set(o, "gap", gap_json(d));
	set(o, "jobs", jobs_json(d));
	set(o, "events", events_json(d));
	set(o, "events_recorded", json_boolean(zt_events_recorded(d)));
	set(o, "events_not_seen", not_seen_json(d));
	set(o, "limits", limits_json(d));
	set(o, "resident_kib", json_integer((json_int_t)resident_kib()));
	return o;
}
