/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a client may see and cannot look at itself: the kernel and the journal, a part at a time. Nothing changes. */
#include <string.h>

#include "base/mem.h"
#include "daemon/job.h"
#include "event/journal.h"
#include "event/seen.h"
#include "event/sums.h"

enum { PART = 96 << 10 /* bytes */, NOTES = 8 };
#define PART_TIME (ZT_USEC_PER_SEC / 4)

static void set(json_t *o, const char *key, json_t *v)
{
	(void)json_object_set_new(o, key, v); /* one that fails is left out */
}

/* ---- the kernel ---- */
static size_t size_of(const json_t *j)
{
	return json_dumpb(j, NULL, 0, JSON_COMPACT);
}

/* Of the rules those from number `from` on that fit, each with what it counted. */
static void cut_rules(json_t *k, json_t *ruleset, const struct zt_counters *n, uint64_t from)
{
	json_t *all = json_object_get(ruleset, "rules"), *part = json_array(), *counts = json_array();
	size_t size = from ? 0 : size_of(k);

	for (size_t i = from; i < json_array_size(all) && size < PART; i++) {
		json_t *rule = json_array_get(all, i);

		size += size_of(rule) + 32;
		(void)json_array_append(part, rule); /* a part that is short shows */
		if (i < n->n_rules)
			(void)json_array_append_new(counts, json_pack("[I, I]", (json_int_t)n->rule[i].packets,
								      (json_int_t)n->rule[i].bytes));
	}
	set(k, "of", json_integer((json_int_t)json_array_size(all)));
	set(k, "from", json_integer((json_int_t)from));
	set(ruleset, "rules", part);
	set(k, "counts", counts);
}

static json_t *notes_of(const struct zt_drift *x)
{
	json_t *a = json_array();

	for (size_t i = 0; i < x->n_notes && i < NOTES; i++)
		(void)json_array_append_new(a, json_string(x->notes[i])); /* one that fails is left out */
	return a;
}

static json_t *gaps_of(const struct zt_engine *e, const char *instance)
{
	ZT_CLEANUP(zt_caps_done) struct zt_caps caps = {0};
	json_t *a = json_array();

	(void)e->probe(instance, &caps); /* without it no gaps are shown */
	for (size_t i = 0; i < caps.n_gaps; i++)
		(void)json_array_append_new(
			a, json_pack("{s:s, s:s}", "what", caps.gaps[i].what, "why", caps.gaps[i].why));
	return a;
}

static json_t *foreign_of(const struct zt_engine *e, const char *instance)
{
	struct zt_foreign *f = NULL;
	json_t *a = json_array();
	size_t n = 0;

	(void)e->foreign(instance, &f, &n); /* a list for information */
	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(a, json_pack("{s:s, s:s}", "family", f[i].family, "name", f[i].name));
	zt_foreign_free(f, n);
	return a;
}

static int read_kernel(const struct zt_apply_ctx *c, const struct zt_ask *ask, json_t *out)
{
	ZT_CLEANUP(zt_drift_done) struct zt_drift x = {0};
	ZT_CLEANUP(zt_counters_done) struct zt_counters n = {0};
	json_t *k = json_object(), *ruleset = NULL;
	bool known = zt_drift_check(c, &x, NULL) >= 0;
	int r;

	set(out, "kernel", k);
	if (!ask->after) {
		set(k, "drift_known", json_boolean(known && (!x.active || x.expected)));
		set(k, "drifted", json_boolean(x.drifted));
		set(k, "culprit", x.culprit ? json_string(x.culprit) : json_null());
		set(k, "notes", notes_of(&x));
		set(k, "not_covered", gaps_of(c->engine, c->instance));
		set(k, "foreign_tables", foreign_of(c->engine, c->instance));
	}
	if (!known || !x.actual)
		return 0;
	r = c->engine->counters(x.actual, &n);
	if (r < 0)
		return r;
	if (!ask->after)
		set(k, "counters", zt_counters_json(&n));
	/* The stored one has lines and texts, which not every kernel keeps. */
	r = zt_ruleset_to_json(x.drifted || !x.expected ? x.actual : x.expected, &ruleset);
	if (r < 0)
		return r;
	cut_rules(k, ruleset, &n, ask->after);
	set(k, "ruleset", ruleset);
	return 0;
}

/* ---- the journal ---- */
static json_t *record_json(uint64_t id, const struct zt_activity *a, size_t *size)
{
	ZT_STRBUF struct zt_strbuf text = {0};
	json_t *j;

	zt_activity_json(a, &text);
	*size += text.len + 48;
	j = json_loadb(text.buf, text.len, 0, NULL);
	return json_pack("{s:I, s:o}", "id", (json_int_t)id, "event", j ? j : json_null());
}

static bool fits(const struct zt_ask *ask, const struct zt_activity *a)
{
	return (!ask->uid || (zt_activity_has(a, ZT_FIELD_uid) && a->uid == ask->uid - 1)) &&
	       (!ask->pid || (zt_activity_has(a, ZT_FIELD_pid) && a->pid == ask->pid - 1));
}

/* No longer than a moment: other work waits. Who and which process are looked at here, so that a search for what is not there ends too. */
static int read_part(struct zt_journal *j, const struct zt_ask *ask, json_t *e)
{
	ZT_CLEANUP(zt_journal_iter_freep) struct zt_journal_iter *it = NULL;
	struct zt_journal_query q = {.since = ask->since,
				     .until = ask->until,
				     .kinds = ask->kinds,
				     .after = ask->after,
				     .reverse = ask->newest};
	zt_usec end = zt_now_monotonic() + PART_TIME;
	json_t *list = json_array();
	uint64_t id = ask->after;
	struct zt_activity a;
	size_t size = 0;
	int r = zt_journal_query(j, &q, &it);

	while (!r && size < PART && zt_now_monotonic() < end && (r = zt_journal_next(it, &a, &id)) > 0) {
		if (fits(ask, &a))
			(void)json_array_append_new(list, record_json(id, &a, &size)); /* one that fails is left out */
		r = 0;
		if (size >= PART || zt_now_monotonic() >= end)
			set(e, "more", json_true());
	}
	set(e, "list", list);
	set(e, "after", json_integer((json_int_t)id));
	return r;
}

static int read_one(struct zt_journal *j, uint64_t id, json_t *e)
{
	struct zt_seen_often often = {0};
	struct zt_activity a;
	json_t *list = json_array();
	size_t size = 0;
	int r = zt_journal_get(j, id, &a);

	if (!r) {
		(void)json_array_append_new(list, record_json(id, &a, &size)); /* a list that is empty says the same */
		r = zt_journal_seen(j, &a, &often);
		set(e, "seen",
		    json_pack("{s:I, s:I, s:I}", "count", (json_int_t)often.count, "first", (json_int_t)often.first,
			      "last", (json_int_t)often.last));
	}
	set(e, "list", list);
	return r == -ENOENT ? 0 : r;
}

static int read_sums(struct zt_journal *j, const struct zt_ask *ask, json_t *out)
{
	ZT_CLEANUP(zt_sums_done) struct zt_sums s = {.by = (unsigned)ask->by};
	struct zt_sums_place place = {.minute = ask->after ? ask->after : ask->since, .key = ask->id};
	json_t *list = json_array();
	bool more = false;
	int r = zt_sums_part(j, &s, &place, PART, zt_now_monotonic() + PART_TIME, &more);

	for (size_t i = 0; i < s.n; i++) /* one that fails is left out */
		(void)json_array_append_new(list, json_pack("[s, I, I, I, I, I, I]", s.v[i].key,
							    (json_int_t)s.v[i].flows, (json_int_t)s.v[i].denied,
							    (json_int_t)s.v[i].observed, (json_int_t)s.v[i].sent,
							    (json_int_t)s.v[i].received, (json_int_t)s.v[i].last));
	set(out, "list", list);
	set(out, "after", json_integer((json_int_t)place.minute));
	set(out, "id", json_integer((json_int_t)place.key));
	set(out, "more", json_boolean(more));
	return r;
}

static int read_journal(const struct zt_apply_ctx *c, const struct zt_ask *ask, json_t *out)
{
	ZT_CLEANUP(zt_journal_closep) struct zt_journal *j = NULL;
	ZT_FREE char *path = zt_asprintf("%s/" ZT_JOURNAL_FILE, c->state_dir);
	json_t *e = json_object();
	int r;

	if (ask->what == ZT_REQUEST_STATS && !zt_sums_title((unsigned)ZT_MIN(ask->by, (uint64_t)UINT32_MAX))) {
		json_decref(e);
		return -EINVAL;
	}
	r = path ? zt_journal_open_readonly(path, &j, NULL) : -ENOMEM;
	set(out, zt_requests[ask->what].name, e);
	if (r == -ENOENT) {
		set(e, "none", json_true());
		return 0;
	}
	if (!r && ask->what == ZT_REQUEST_STATS)
		return read_sums(j, ask, e);
	return r ?: ask->id ? read_one(j, ask->id, e) : read_part(j, ask, e);
}

int zt_job_read(const struct zt_apply_ctx *c, const struct zt_in_force *f, const struct zt_job *job, json_t *out)
{
	if (job->ask.what != ZT_REQUEST_KERNEL)
		return read_journal(c, &job->ask, out);
	if (f->active || f->meant)
		return read_kernel(c, &job->ask, out);
	set(out, "kernel",
	    json_pack("{s:o, s:o}", "not_covered", gaps_of(c->engine, c->instance), "foreign_tables",
		      foreign_of(c->engine, c->instance)));
	return 0;
}
