/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/job.h"

#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/proc.h"
#include "event/sources.h"

enum { RECORDS_MAX = 64 << 10 /* bytes of an answer */, AUDIT_MAX = 8 };

struct work {
	const struct zt_job *job;
	struct zt_apply_ctx ctx;
	const char *policy, *outcome;
	struct zt_in_force now;
	struct zt_diags d;
	json_t *out, *places; /* borrowed from out */
	size_t n_places;
	struct zt_watch *watch; /* of a check, from its beginning on; NULL: none could be had */
	zt_usec newest;		/* file of the policy */
};

const char *zt_job_name(enum zt_job_kind k)
{
	static const char *const names[] = {
		[ZT_JOB_CHECK] = "check", [ZT_JOB_RELOAD] = "reload", [ZT_JOB_REFRESH] = "refresh",
		[ZT_JOB_LOOK] = "look",	  [ZT_JOB_POLL] = "poll",     [ZT_JOB_READ] = "read"};

	_Static_assert(ZT_ARRAY_SIZE(names) == ZT_JOBS, "every job has a name");
	return names[k];
}

/* ---- places ---- */
static void add_place(struct work *w, const char *kind, const char *path)
{
	json_t *set = json_object_get(w->places, kind);

	if (!set && json_object_set_new(w->places, kind, json_object()) == 0)
		set = json_object_get(w->places, kind);
	if (json_object_get(set, path))
		return;
	if (w->n_places == ZT_PLACES_MAX || json_object_set_new(set, path, json_true()) < 0)
		(void)json_object_set_new(w->out, "places_cut", json_true()); /* without it only a little is missed */
	else
		w->n_places++;
}

static void policy_place(void *arg, const char *path)
{
	struct work *w = arg;
	struct stat st;

	add_place(w, "policy", path);
	if (stat(path, &st) == 0)
		w->newest = ZT_MAX(w->newest,
				   (zt_usec)st.st_ctim.tv_sec * ZT_USEC_PER_SEC + (zt_usec)st.st_ctim.tv_nsec / 1000);
}

static void subject_places(struct work *w, const struct zt_subject *s)
{
	for (size_t i = 0; i < s->n_exes; i++)
		add_place(w, "exe", s->exes[i].path);
	for (size_t i = 0; i < s->n_parents; i++)
		add_place(w, "exe", s->parents[i].path);
	for (size_t i = 0; i < s->n_cgroups; i++)
		add_place(w, "cgroup", s->cgroups[i].path);
}

/* What the generation in force depends on, and when the next of its rules expires, by the clock as it is set now. */
static void ruleset_places(struct work *w, const struct zt_ruleset *rs)
{
	zt_usec wall = zt_now(), steady = zt_expiry_now(&w->ctx, w->now.current), next = 0, expired = 0, left;

	for (size_t i = 0; i < rs->n_subjects; i++)
		subject_places(w, rs->subjects[i]);
	for (size_t i = 0; i < rs->n_rules; i++) {
		const struct zt_rule *r = &rs->rules[i];

		for (size_t k = 0; k < r->match.n_cgroups; k++)
			add_place(w, "cgroup", r->match.cgroups[k].path);
		left = r->expires - ZT_MIN(r->expires, zt_expiry_clock(r->verdict, wall, steady));
		if (r->expires && !left)
			expired++;
		else if (r->expires && (!next || wall + left < next))
			next = wall + left;
	}
	(void)json_object_set_new(w->out, "expires", json_integer((json_int_t)next));
	(void)json_object_set_new(w->out, "expired", json_integer((json_int_t)expired));
	(void)json_object_set_new(w->out, "rules", json_integer((json_int_t)rs->n_rules));
	(void)json_object_set_new(w->out, "log_prefix", json_string(rs->settings.log_prefix));
}

/* Engines with a record say it there. */
static void tell_held_back(struct work *w, const struct zt_ruleset *rs)
{
	ZT_CLEANUP(zt_counters_done) struct zt_counters c = {0};
	const struct zt_engine *e = w->now.engine;

	if (w->now.active && !w->now.damaged && w->now.generation == rs->generation && !e->records &&
	    e->counters(rs, &c) == 0)
		(void)json_object_set_new(w->out, "held_back", json_integer((json_int_t)c.suppressed.packets));
}

static void tell_places(struct work *w)
{
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	ZT_FREE char *source = NULL;
	struct zt_diags quiet = {0};
	struct zt_policy_options o = {.no_resolve = true, .place = policy_place, .place_arg = w};
	size_t len = 0;

	add_place(w, "policy", w->policy);
	(void)zt_policy_load(w->policy, &o, &p, &quiet); /* one with errors has places too */
	if (w->now.meant && zt_generation_load(&w->ctx, w->now.current, &rs, &source, &len, NULL) == 0) {
		ruleset_places(w, rs);
		tell_held_back(w, rs);
		if (p && (p->source_len != len || memcmp(p->source, source, len) != 0))
			(void)json_object_set_new(w->out, "source_differs", json_true());
		if (memmem(source, len, "container", strlen("container")))
			(void)json_object_set_new(w->out, "containers", json_true());
	}
	zt_diags_done(&quiet);
}

/* ---- the jobs ---- */
static int compile(struct work *w, const struct zt_policy *p, struct zt_ruleset **ret)
{
	ZT_CLEANUP(zt_u32_ranges_done) struct zt_u32_ranges ports = {0};
	struct zt_compile_options o = {.instance = w->ctx.instance,
				       .cgroup_root = w->ctx.cgroup_root,
				       .ssh_ports = &ports,
				       .labels = w->ctx.engine->labels,
				       .at = zt_now()};
	int r = zt_ssh_ports(NULL, &ports);

	o.no_unix = !zt_engine_sees_unix(w->ctx.engine, w->ctx.instance, p);
	return r < 0 ? r : zt_ruleset_compile(p, &o, ret, &w->d);
}

static int put_in_force(struct work *w, const struct zt_policy *p)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	struct zt_apply_options o = {.reason = w->job->reason, .lock_wait = 10 * ZT_USEC_PER_SEC};
	struct zt_apply_result result = {0};
	struct zt_revoke_report ended = {0};
	int r = compile(w, p, &rs);

	if (r < 0) {
		w->outcome = "refused";
		return r;
	}
	r = zt_apply(&w->ctx, rs, p->source, p->source_len, &o, &result, &w->d);
	if (r < 0)
		return r;
	w->outcome = result.outcome == ZT_APPLY_UNCHANGED ? "unchanged" : "applied";
	if (result.outcome == ZT_APPLY_APPLIED && !rs->settings.preserve_established) {
		(void)zt_revoke(rs, NULL, &ended, &w->d); /* what went wrong is told */
		zt_revoke_report_done(&ended);
	}
	return 0;
}

/* The policy in force was made from the same text, and nobody asks for it once more: what it depends on is a refresh's business. Times of files would
 * say otherwise after the clock was set, and rules that expired would begin anew. */
static bool in_force_already(const struct work *w, const struct zt_policy *p)
{
	ZT_FREE char *source = NULL;
	size_t len = 0;

	return !w->job->asked && w->now.active && !w->now.damaged && w->now.generation == w->now.current &&
	       zt_generation_load(&w->ctx, w->now.current, NULL, &source, &len, NULL) == 0 && p->source_len == len &&
	       !memcmp(p->source, source, len);
}

static int reload(struct work *w, bool chosen)
{
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
	struct zt_policy_options o = {.place = policy_place, .place_arg = w, .cgroup_root = w->ctx.cgroup_root};
	int r;

	w->outcome = "inactive";
	if (!w->job->asked && !w->now.meant)
		return 0;
	if (chosen && zt_engine_active(w->ctx.instance, w->ctx.engine)) {
		(void)zt_diag(&w->d, ZT_ERROR, 5020, NULL, "another engine enforces here now, and not %s",
			      w->ctx.engine->name);
		return -EBUSY;
	}
	r = zt_policy_load(w->policy, &o, &p, &w->d);
	w->outcome = "unchanged";
	if (w->job->recent && w->newest <= w->now.settled)
		return 0;
	if (r == 0 && in_force_already(w, p))
		return 0;
	w->outcome = r < 0 ? "refused" : "failed";
	if (r < 0)
		return r;
	if (!chosen && !w->now.active)
		w->ctx.engine = zt_engine_suiting(w->ctx.engine, w->ctx.instance, p);
	return put_in_force(w, p);
}

static int refresh(struct work *w)
{
	bool changed = false;
	int r;

	w->outcome = "drifted"; /* first a check says by whom */
	if (w->now.meant && !w->now.pending &&
	    (!w->now.active || w->now.damaged || w->now.generation != w->now.current))
		return 0;
	w->ctx.sound = true;
	r = zt_refresh(&w->ctx, w->job->reason, &changed, &w->d);
	if (r == -EUCLEAN && !w->d.errors)
		return 0;
	w->outcome = r == -ENOENT && !w->d.errors ? "inactive" : r < 0 ? "failed" : changed ? "changed" : "unchanged";
	return r == -ENOENT && !w->d.errors ? 0 : r;
}

/* What stands there when a job begins is not its own doing, nor what does when it has waited for the lock. */
static void tell_audit(struct work *w)
{
	json_t *all = json_array(), *list = json_array(), *line;
	uint64_t last;
	size_t i;

	if (zt_audit_tail(&w->ctx, w->job->audit, all, &last) == 0)
		json_array_foreach (all, i, line)
			if (i + AUDIT_MAX >= json_array_size(all))
				(void)json_array_append(list, line); /* one that fails is left out */
	json_decref(all);
	(void)json_object_set_new(w->out, "audit", json_pack("{s:o}", "list", list));
}

static bool others(const struct work *w)
{
	return json_array_size(json_object_get(json_object_get(w->out, "audit"), "list")) > 0;
}

static int check(struct work *w)
{
	ZT_CLEANUP(zt_drift_done) struct zt_drift x = {0};
	bool healed = false;
	json_t *notes = json_array();
	uint64_t own = zt_audit_written();
	int r = zt_heal(&w->ctx, &w->job->by, w->watch, w->job->mend, &x, &healed, &w->d);

	if (zt_audit_written() == own) /* what is new there is of others */
		tell_audit(w);
	/* What somebody did by hand meanwhile was not undone by us: it was his. */
	if (!r && !x.drifted && w->job->undone && x.actual && !others(w)) {
		r = zt_heal_undone(&w->ctx, &w->job->by, &x, &w->d);
		healed = !r;
	}
	w->outcome = r < 0 ? "failed" : healed ? "healed" : x.drifted ? "drifted" : "clean";
	for (size_t i = 0; i < x.n_notes && i < 8; i++)
		(void)json_array_append_new(notes, json_string(x.notes[i])); /* one that fails is left out */
	(void)json_object_set_new(w->out, "notes", notes);
	if (x.drifted && x.culprit)
		(void)json_object_set_new(w->out, "culprit", json_string(x.culprit));
	(void)json_object_set_new(w->out, "drifted", json_boolean(x.drifted));
	return r;
}

/* ---- the answer ---- */
static void tell_diags(struct work *w)
{
	ZT_STRBUF struct zt_strbuf clean = {0};
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return;
	zt_diags_print(&w->d, f, false);
	if (fclose(f) == 0 &&
	    json_object_set_new(w->out, "text", json_stringn(text, ZT_MIN(len, ZT_JOB_TEXT_MAX))) < 0) {
		zt_strbuf_escaped(&clean, text, ZT_MIN(len, ZT_JOB_TEXT_MAX)); /* cut inside a character */
		(void)json_object_set_new(w->out, "text", json_string(zt_strbuf_cstr(&clean)));
	}
	free(text);
	(void)json_object_set_new(w->out, "errors",
				  json_integer((json_int_t)w->d.errors + (json_int_t)w->d.suppressed));
	(void)json_object_set_new(w->out, "warnings", json_integer((json_int_t)w->d.warnings));
}

static void tell_in_force(struct work *w)
{
	const struct zt_in_force *f = &w->now;

	(void)json_object_set_new(w->out, "in_force",
				  json_pack("{s:s, s:b, s:b, s:I, s:s, s:b, s:I, s:I, s:b}", "engine", f->engine->name,
					    "active", (int)f->active, "damaged", (int)f->damaged, "generation",
					    (json_int_t)f->generation, "hash", f->hash, "meant", (int)f->meant,
					    "current", (json_int_t)f->current, "settled", (json_int_t)f->settled,
					    "pending", (int)f->pending));
}

/* ---- what the engine recorded ---- */
static int ruleset_of(void *arg, uint64_t generation, struct zt_ruleset **ret)
{
	struct work *w = arg;
	ZT_FREE char *source = NULL;
	size_t len = 0;

	if (w->now.active && !w->now.damaged && w->now.generation == generation)
		return w->now.engine->raise(w->ctx.instance, ret, NULL);
	return zt_generation_load(&w->ctx, generation, ret, &source, &len, NULL);
}

static size_t add_record(json_t *list, const struct zt_event *e)
{
	ZT_STRBUF struct zt_strbuf text = {0};
	struct zt_activity a;

	zt_event_activity(e, NULL, &a);
	zt_activity_json(&a, &text);
	(void)json_array_append_new(list, json_loadb(text.buf, text.len, 0, NULL)); /* one that fails is left out */
	return text.len;
}

/* From the number on that the loop knows; the first look only learns it. */
static void tell_records(struct work *w)
{
	struct zt_event_record from = {.engine = w->now.engine,
				       .instance = w->ctx.instance,
				       .ruleset = ruleset_of,
				       .arg = w,
				       .after = w->job->after};
	ZT_CLEANUP(zt_event_closep) struct zt_event_source *s = NULL;
	ZT_CLEANUP(zt_records_done) struct zt_records now = {0};
	json_t *list = json_array();
	uint64_t after = w->job->after, held_back = 0;
	size_t bytes = 0;
	struct zt_event e;
	bool known = false;

	if (after == UINT64_MAX && from.engine->records(from.instance, 0, &now) == 0) {
		after = now.told;
		held_back = now.held_back;
		known = true;
	} else if (after != UINT64_MAX && zt_event_record_open(&from, 0, false, &s, NULL) == 0) {
		while (bytes < RECORDS_MAX && zt_event_next(s, 0, &e) > 0) {
			bytes += add_record(list, &e);
			after = e.number;
		}
		held_back = zt_event_held_back(s); /* 0 also where it could not be read */
		known = held_back;
	}
	if (known)
		(void)json_object_set_new(w->out, "held_back", json_integer((json_int_t)held_back));
	(void)json_object_set_new(w->out, "records",
				  json_pack("{s:o, s:b, s:I, s:o}", "after",
					    after == UINT64_MAX ? json_null() : json_integer((json_int_t)after), "more",
					    (int)(bytes >= RECORDS_MAX), "lost", (json_int_t)(s ? zt_event_lost(s) : 0),
					    "list", list));
}

/* ---- who else changed what is in force ---- */
static void tell_audit_end(struct work *w)
{
	uint64_t last = 0;
	int r = zt_audit_tail(&w->ctx, 0, NULL, &last);

	if (!r || r == -ENOENT)
		(void)json_object_set_new(json_object_get(w->out, "audit"), "last", json_integer((json_int_t)last));
}

static int run(struct work *w, bool chosen)
{
	switch (w->job->kind) {
	case ZT_JOB_CHECK:
		return check(w);
	case ZT_JOB_READ:
		return zt_job_read(&w->ctx, &w->now, w->job, w->out);
	case ZT_JOB_RELOAD:
		return reload(w, chosen);
	case ZT_JOB_REFRESH:
		return refresh(w);
	case ZT_JOB_LOOK:
	case ZT_JOB_POLL:
	case ZT_JOBS:
		break;
	}
	return 0;
}

static void tell_ran(struct work *w)
{
	json_t *list = json_array();
	pid_t pids[ZT_RUN_RECENT];
	size_t n = zt_run_recent(pids);

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(list,
					    json_integer(pids[i])); /* what fails is taken for another program's */
	(void)json_array_append_new(list, json_integer(getpid()));
	(void)json_object_set_new(w->out, "ran", list);
}

/* It may change something, or its answer says where a change would matter. */
static bool thorough(const struct zt_job *job)
{
	return job->kind != ZT_JOB_POLL && job->kind != ZT_JOB_READ;
}

/* ---- who rings ---- */
static void tell_bells(struct work *w, int *ret_ring)
{
	struct zt_bells b = {.ring = -1};
	json_t *links;

	if (!w->now.engine->bells || w->now.engine->bells(w->ctx.instance, &b) < 0)
		return;
	links = json_array();
	for (size_t i = 0; i < b.n_links; i++)
		(void)json_array_append_new(links, json_integer(b.links[i])); /* one that fails is looked for later */
	(void)json_object_set_new(w->out, "bells",
				  json_pack("{s:I, s:o}", "ring", (json_int_t)b.ring_id, "links", links));
	if (b.ring_id == w->job->ring)
		zt_closep(&b.ring);
	*ret_ring = b.ring;
}

json_t *zt_job_run(const struct zt_job_ctx *c, const struct zt_job *job, int *ret_ring)
{
	struct work w = {.job = job, .policy = c->policy, .outcome = "unchanged", .out = json_object()};
	int r;

	w.ctx = (struct zt_apply_ctx){.engine = c->engine ? zt_engine_by_name(c->engine) : NULL,
				      .instance = c->instance,
				      .state_dir = c->state_dir,
				      .cgroup_root = c->cgroup,
				      .netns = c->netns,
				      .quiet = true};
	*ret_ring = -1;
	(void)json_object_set_new(w.out, "places", w.places = json_object());
	if (job->kind == ZT_JOB_CHECK && zt_watch_open(&w.watch) < 0)
		w.watch = NULL; /* nobody is named where the loop does not know more */
	if (thorough(job))	/* first: what it tells of is then seen as well */
		tell_audit(&w);
	r = zt_in_force(&w.ctx, &w.now);
	if (r < 0)
		(void)zt_diag_errno(&w.d, 4015, r, "cannot read what is active now");
	w.ctx.engine = w.now.engine;
	if (w.watch)
		zt_watch_engine(w.watch, w.ctx.engine, c->instance);
	r = r ?: run(&w, c->engine != NULL);
	if (thorough(job))
		tell_audit_end(&w);
	if (!r && thorough(job) && job->kind != ZT_JOB_LOOK)
		r = zt_in_force(&w.ctx, &w.now);
	if (r < 0 && !w.d.errors)
		(void)zt_diag_errno(&w.d, 4060, r, "%s failed", zt_job_name(job->kind));
	if (w.now.engine)
		tell_in_force(&w);
	if (w.now.engine && w.now.active && w.now.engine->records &&
	    (job->kind == ZT_JOB_POLL || job->kind == ZT_JOB_LOOK))
		tell_records(&w);
	if (w.now.engine && job->kind != ZT_JOB_READ)
		tell_bells(&w, ret_ring);
	if (w.now.engine && thorough(job) && !(job->kind == ZT_JOB_CHECK && !strcmp(w.outcome, "clean")))
		tell_places(&w);
	tell_diags(&w);
	tell_ran(&w);
	(void)json_object_set_new(w.out, "ok", json_boolean(r >= 0));
	(void)json_object_set_new(w.out, "outcome",
				  json_string(r < 0 && !strcmp(w.outcome, "unchanged") ? "failed" : w.outcome));
	(void)json_object_set_new(w.out, "busy", json_boolean(r == -EBUSY));
	zt_diags_done(&w.d);
	zt_watch_free(w.watch);
	return w.out;
}
