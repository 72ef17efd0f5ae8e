/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who is not root reads through zt-segmentd, as a member of the group zt-segment: what the kernel enforces, as an engine that can be read and not
 * changed, and events of the journal. Everything comes in parts; what changes between two of them is asked for again.
 */
#include <jansson.h>
#include <string.h>

#include "apply/control.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/cli.h"

#define KERNEL_TIME (60 * ZT_USEC_PER_SEC)
enum { TRIES = 3 };

bool zt_cli_is_member(const struct zt_cli *c)
{
	ZT_FREE char *path = geteuid() ? zt_cli_journal_path(c) : NULL;

	return path && access(path, R_OK) < 0 && errno == EACCES;
}

static int refuse(struct zt_cli *c, int r)
{
	if (r == -ENOENT || r == -ECONNREFUSED)
		return zt_cli_error(
			c, ZT_EXIT_PERMISSION, 4650,
			"run it as root, or start zt-segmentd: members of the group zt-segment read through it",
			"only root reads the kernel and the journal, and no zt-segmentd runs that could do it");
	if (r == -EACCES || r == -EPERM)
		return zt_cli_error(
			c, ZT_EXIT_PERMISSION, 4651,
			"run it as root, or be made a member: \"usermod -aG zt-segment USER\", and log in anew",
			"\"%s\" is for root and the group zt-segment", c->args.verb->name);
	return zt_cli_error(c, ZT_EXIT_FAILED, 5091, "\"systemctl status zt-segmentd\" and its log tell more",
			    "zt-segmentd does not answer: %s", strerror(-r));
}

/* What it says in `key` of its answer to the request, an object that is taken. Exit code */
static int ask(struct zt_cli *c, json_t *request, const char *key, json_t **ret)
{
	ZT_FREE char *line = request ? json_dumps(request, JSON_COMPACT) : NULL, *text = NULL;
	int r = line ? zt_control_call(zt_opt(c, NETNS), c->instance, line, KERNEL_TIME, &text) : -ENOMEM, code = 0;
	json_t *j = NULL;

	json_decref(request);
	if (r < 0)
		return refuse(c, r);
	j = json_loads(text, 0, NULL);
	if (!json_is_true(json_object_get(j, "ok")) || !json_is_object(json_object_get(j, key))) {
		const char *why = json_string_value(json_object_get(j, "error"))
					  ?: json_string_value(json_object_get(j, "text"));

		code = zt_cli_error(c, ZT_EXIT_FAILED, 4652, "its log tells more", "zt-segmentd cannot tell: %s",
				    why && *why ? why : "it knows no such request; restart it after an upgrade");
	}
	if (!code)
		*ret = json_incref(json_object_get(j, key));
	if (!code)
		(void)json_object_set(*ret, "in_force", json_object_get(j, "in_force")); /* may be missing */
	json_decref(j);
	return code;
}

/* ---- the kernel ---- */
static struct {
	json_t *kernel; /* the first part, with all rules and counts; until the program ends */
	struct zt_engine engine;
} now;

static json_t *in_force(void)
{
	return json_object_get(now.kernel, "in_force");
}

static int member_raise(const char *instance, struct zt_ruleset **ret, struct zt_diags *d)
{
	json_t *rs = json_object_get(now.kernel, "ruleset");

	(void)instance;
	if (!json_is_true(json_object_get(in_force(), "active")))
		return -ENOENT;
	if (json_is_true(json_object_get(in_force(), "damaged")) || !rs)
		return -EUCLEAN;
	return zt_ruleset_from_json(rs, ret, d);
}

static int member_identify(const char *instance, uint64_t *ret_generation, char ret_hash[static 65])
{
	(void)instance;
	if (!json_is_true(json_object_get(in_force(), "active")))
		return -ENOENT;
	*ret_generation = (uint64_t)json_integer_value(json_object_get(in_force(), "generation"));
	(void)snprintf(ret_hash, 65, "%s", json_string_value(json_object_get(in_force(), "hash")) ?: "");
	return 0;
}

static int member_counters(const struct zt_ruleset *rs, struct zt_counters *ret)
{
	const json_t *counts = json_object_get(now.kernel, "counts"), *one;
	struct zt_counters n = {0};
	size_t i;

	zt_counters_from_json(json_object_get(now.kernel, "counters"), &n);
	if (rs->n_rules && json_array_size(counts) == rs->n_rules) {
		n.rule = zt_new(struct zt_count, rs->n_rules);
		if (!n.rule)
			return -ENOMEM;
		n.n_rules = rs->n_rules;
		json_array_foreach (counts, i, one)
			n.rule[i] = (struct zt_count){.packets = (uint64_t)json_integer_value(json_array_get(one, 0)),
						      .bytes = (uint64_t)json_integer_value(json_array_get(one, 1))};
	}
	*ret = n;
	return 0;
}

static const char *text_of(const json_t *j, const char *key)
{
	return json_string_value(json_object_get(j, key)) ?: "";
}

static int member_probe(const char *instance, struct zt_caps *ret)
{
	const json_t *one;
	size_t i;
	int r = 0;

	(void)instance;
	json_array_foreach (json_object_get(now.kernel, "not_covered"), i, one)
		r = r ?: zt_caps_gap(ret, text_of(one, "what"), text_of(one, "why"));
	return r;
}

static int member_foreign(const char *instance, struct zt_foreign **ret, size_t *ret_n)
{
	const json_t *list = json_object_get(now.kernel, "foreign_tables"), *one;
	struct zt_foreign *f = zt_new(struct zt_foreign, json_array_size(list) + 1);
	size_t i, n = 0;

	(void)instance;
	if (!f)
		return -ENOMEM;
	json_array_foreach (list, i, one) {
		f[n].family = zt_strdup(text_of(one, "family"));
		f[n].name = zt_strdup(text_of(one, "name"));
		if (f[n].family && f[n].name)
			n++;
	}
	*ret = f;
	*ret_n = n;
	return 0;
}

static json_t *kernel_request(size_t after)
{
	return json_pack("{s:s, s:I}", "request", "kernel", "after", (json_int_t)after);
}

static const char *hash_of(const json_t *kernel)
{
	return text_of(json_object_get(kernel, "in_force"), "hash");
}

/* The rules that did not fit into the first answer. 1: they are of another generation by now. */
static int take_rest(struct zt_cli *c, json_t *kernel)
{
	json_t *rules = json_object_get(json_object_get(kernel, "ruleset"), "rules");
	json_t *counts = json_object_get(kernel, "counts");
	size_t of = (size_t)json_integer_value(json_object_get(kernel, "of"));

	while (json_array_size(rules) < of) {
		size_t before = json_array_size(rules);
		json_t *part = NULL;
		int code = ask(c, kernel_request(before), "kernel", &part);

		if (code)
			return -code;
		if (strcmp(hash_of(part), hash_of(kernel)) != 0) {
			json_decref(part);
			return 1;
		}
		(void)json_array_extend(rules, json_object_get(json_object_get(part, "ruleset"), "rules"));
		(void)json_array_extend(counts, json_object_get(part, "counts")); /* memory: seen below */
		json_decref(part);
		if (json_array_size(rules) == before)
			return -zt_cli_fail(c, -EBADMSG);
	}
	return 0;
}

static int take_kernel(struct zt_cli *c)
{
	int r = 1;

	for (int i = 0; i < TRIES && r > 0; i++) {
		json_decref(now.kernel);
		now.kernel = NULL;
		r = -ask(c, kernel_request(0), "kernel", &now.kernel);
		r = r ? r : take_rest(c, now.kernel);
	}
	return r > 0 ? zt_cli_fail(c, -EAGAIN) : -r;
}

int zt_cli_member_engine(struct zt_cli *c)
{
	const struct zt_engine *real;
	int code = take_kernel(c);

	if (code)
		return code;
	real = zt_engine_by_name(text_of(in_force(), "engine"));
	now.engine = (struct zt_engine){.name = real ? real->name : "nft",
					.labels = real && real->labels,
					.probe = member_probe,
					.raise = member_raise,
					.identify = member_identify,
					.counters = member_counters,
					.foreign = member_foreign};
	c->engine = &now.engine;
	c->member = true;
	return 0;
}

bool zt_cli_member_state(struct zt_drift *ret, zt_usec *ret_settled, bool *ret_pending)
{
	const char *culprit = text_of(now.kernel, "culprit");

	ret->active = json_is_true(json_object_get(in_force(), "active"));
	ret->drifted = json_is_true(json_object_get(now.kernel, "drifted"));
	ret->culprit = *culprit ? zt_strdup(culprit) : NULL; /* out of memory: nobody is named */
	*ret_settled = (zt_usec)json_integer_value(json_object_get(in_force(), "settled"));
	*ret_pending = json_is_true(json_object_get(in_force(), "pending"));
	return json_is_true(json_object_get(now.kernel, "drift_known"));
}

/* ---- the journal ---- */
static json_t *events_request(const struct zt_journal_query *q, uint64_t id)
{
	json_t *j = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "request", "events", "after", (json_int_t)q->after,
			      "since", (json_int_t)q->since, "until", (json_int_t)q->until, "kinds",
			      (json_int_t)q->kinds, "newest", (json_int_t)q->reverse, "id", (json_int_t)id);

	if (q->has_uid)
		(void)json_object_set_new(j, "uid", json_integer(q->uid)); /* without it more come: */
	if (q->has_pid)
		(void)json_object_set_new(j, "pid", json_integer(q->pid)); /* they are looked at again */
	return j;
}

static int give(const json_t *one, const struct zt_journal_query *q, zt_member_event_fn fn, void *arg)
{
	ZT_FREE char *text = json_dumps(json_object_get(one, "event"), JSON_COMPACT);
	struct zt_activity a;

	if (!text || zt_activity_from_json(text, strlen(text), &a) < 0 || !zt_journal_match(q, &a))
		return 0;
	return fn(arg, (uint64_t)json_integer_value(json_object_get(one, "id")), &a);
}

int zt_cli_member_events(struct zt_cli *c, struct zt_journal_query *q, zt_member_event_fn fn, void *arg)
{
	bool more = true;

	while (more) {
		json_t *e = NULL;
		const json_t *one;
		size_t i;
		int code = ask(c, events_request(q, 0), "events", &e), r = 0;

		if (code)
			return code;
		if (json_is_true(json_object_get(e, "none")))
			code = zt_cli_no_journal(c);
		json_array_foreach (json_object_get(e, "list"), i, one)
			if ((r = give(one, q, fn, arg)))
				break;
		q->after = ZT_MAX(q->after, (uint64_t)json_integer_value(json_object_get(e, "after")));
		more = !r && !code && !q->reverse && json_is_true(json_object_get(e, "more"));
		json_decref(e);
		if (code)
			return code;
	}
	return 0;
}

static int newest_id(void *arg, uint64_t id, const struct zt_activity *a)
{
	(void)a;
	*(uint64_t *)arg = id;
	return 1;
}

int zt_cli_member_newest(struct zt_cli *c, uint64_t *ret_id)
{
	struct zt_journal_query newest = {.reverse = true};

	*ret_id = 0;
	return zt_cli_member_events(c, &newest, newest_id, ret_id);
}

static int take_one(void *arg, uint64_t id, const struct zt_activity *a)
{
	(void)id;
	*(struct zt_activity *)arg = *a;
	return 1;
}

int zt_cli_member_event(struct zt_cli *c, uint64_t id, struct zt_activity *ret, struct zt_seen_often *ret_seen)
{
	static const struct zt_journal_query any = {0};
	const json_t *seen, *one;
	json_t *e = NULL;
	int code = ask(c, events_request(&any, id), "events", &e);
	bool found = false;

	if (code)
		return code;
	one = json_array_get(json_object_get(e, "list"), 0);
	found = one && give(one, &any, take_one, ret) > 0;
	seen = json_object_get(e, "seen");
	ret_seen->count = (uint64_t)json_integer_value(json_object_get(seen, "count"));
	ret_seen->first = (zt_usec)json_integer_value(json_object_get(seen, "first"));
	ret_seen->last = (zt_usec)json_integer_value(json_object_get(seen, "last"));
	if (json_is_true(json_object_get(e, "none")))
		code = zt_cli_no_journal(c);
	json_decref(e);
	if (code)
		return code;
	return found ? 0 : zt_cli_no_event(c, id);
}

/* ---- sums ---- */
static uint64_t number_at(const json_t *row, size_t i)
{
	return (uint64_t)json_integer_value(json_array_get(row, i));
}

static int put_sums(const json_t *list, struct zt_sums *s)
{
	const json_t *row;
	size_t i;
	int r = 0;

	json_array_foreach (list, i, row) {
		struct zt_sum one = {.flows = number_at(row, 1),
				     .denied = number_at(row, 2),
				     .observed = number_at(row, 3),
				     .sent = number_at(row, 4),
				     .received = number_at(row, 5),
				     .last = number_at(row, 6)};
		const char *key = json_string_value(json_array_get(row, 0));

		one.key = (char *)(uintptr_t)(key ? key : "");
		r = r ?: zt_sums_put(s, &one);
	}
	zt_sums_merge(s);
	return r;
}

int zt_cli_member_sums(struct zt_cli *c, zt_usec since, struct zt_sums *s)
{
	uint64_t after = 0, id = 0;
	bool more = true;

	while (more) {
		json_t *e = NULL;
		int code = ask(c,
			       json_pack("{s:s, s:I, s:I, s:I, s:I}", "request", "stats", "by", (json_int_t)s->by,
					 "since", (json_int_t)since, "after", (json_int_t)after, "id", (json_int_t)id),
			       "stats", &e),
		    r = 0;

		if (code)
			return code;
		if (json_is_true(json_object_get(e, "none")))
			code = zt_cli_no_journal(c);
		else
			r = put_sums(json_object_get(e, "list"), s);
		more = json_is_true(json_object_get(e, "more")) &&
		       (uint64_t)json_integer_value(json_object_get(e, "after")) >= after;
		after = (uint64_t)json_integer_value(json_object_get(e, "after"));
		id = (uint64_t)json_integer_value(json_object_get(e, "id"));
		json_decref(e);
		if (code || r < 0)
			return code ? code : zt_cli_fail(c, r);
	}
	return 0;
}
