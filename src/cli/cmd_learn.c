/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A policy from what the journal has seen, and how well it would have foretold the last part of it. */
#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "cli/seenflows.h"

enum { MINUTE = 60000000, EXAMPLES = 5 };

struct held_out {      /* learned on the first 80 % of the time, judged on the rest */
	zt_usec split; /* 0: too little for a check */
	uint64_t connections;
	struct zt_seen_list rest;
	struct zt_ruleset *rs;
	struct zt_weighing w;
};
struct work {
	struct zt_cli *c;
	struct zt_journal *j;
	zt_usec since;
	struct zt_learn_options o;
	struct zt_addr_ranges own;
	struct zt_seen_list all;
	struct zt_learned policy;
	struct held_out held;
	uint64_t unix_calls;
};

static void work_done(struct work *w)
{
	zt_weighing_done(&w->held.w);
	zt_ruleset_free(w->held.rs);
	zt_seen_list_done(&w->held.rest);
	zt_learned_done(&w->policy);
	zt_seen_list_done(&w->all);
	zt_addr_ranges_done(&w->own);
	zt_journal_close(w->j);
}

static int read_parts(struct zt_cli *c, unsigned *ret)
{
	static const struct {
		const char *word;
		unsigned part;
	} parts[] = {
		{"user", ZT_BY_USER}, {"exe", ZT_BY_EXE}, {"service", ZT_BY_SERVICE}, {"container", ZT_BY_CONTAINER}};
	ZT_FREE char *list = zt_opt(c, FOR) ? zt_strdup(zt_opt(c, FOR)) : NULL;
	char *rest = list, *word;

	while ((word = strsep(&rest, ","))) {
		size_t i = 0;

		while (i < ZT_ARRAY_SIZE(parts) && strcmp(parts[i].word, word) != 0)
			i++;
		if (i == ZT_ARRAY_SIZE(parts))
			return zt_cli_error(c, ZT_EXIT_USAGE, 5070,
					    "user, service, exe and container, a comma between them",
					    "\"%s\" is no part of an identity", word);
		*ret |= parts[i].part;
	}
	return 0;
}

/* ---- the held-out check ---- */
static zt_usec split_of(const struct zt_seen_list *l)
{
	zt_usec first = UINT64_MAX, last = 0;

	for (size_t i = 0; i < l->n; i++) {
		first = ZT_MIN(first, l->v[i].first);
		last = ZT_MAX(last, l->v[i].last);
	}
	return last > first ? (first + (last - first) / 5 * 4) / MINUTE * MINUTE
			    : 0; /* flows are summed up by minute */
}

static int compile(struct work *w, const struct zt_learned *l)
{
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
	struct zt_policy_options po = {.root = w->o.root, .allow_unsafe_file = true};
	struct zt_compile_options o = {.offline = true, .labels = true, .root = w->o.root};
	int r = zt_policy_parse("the learned policy", l->yaml.buf, l->yaml.len, &po, &p, &w->c->diags);

	r = r ?: zt_ruleset_compile(p, &o, &w->held.rs, &w->c->diags);
	return r < 0 ? zt_cli_fail(w->c, r) : 0;
}

static int hold_out(struct work *w)
{
	ZT_CLEANUP(zt_seen_list_done) struct zt_seen_list begin = {0};
	ZT_CLEANUP(zt_learned_done) struct zt_learned l = {0};
	zt_usec split = split_of(&w->all);
	int r, code = split ? zt_cli_seen(w->c, w->j, w->since, split - 1, &w->own, &begin) : 0;

	code = code || !split ? code : zt_cli_seen(w->c, w->j, split, 0, &w->own, &w->held.rest);
	if (code || !begin.n || !w->held.rest.n)
		return code;
	r = zt_learn(&begin, &w->o, &l, &w->c->diags);
	if (r < 0)
		return r == -ENODATA ? 0 : zt_cli_fail(w->c, r);
	code = compile(w, &l);
	r = code ? 0 : zt_weigh(&w->held.rest, NULL, w->held.rs, &w->held.w);
	if (code || r < 0)
		return code ? code : zt_cli_fail(w->c, r);
	w->held.split = split;
	return 0;
}

static bool is_blocked(const struct zt_weighed *d)
{
	return zt_verdict_passes(d->before.verdict);
}

/* ---- what is said ---- */
static void say_held_out(struct work *w)
{
	const struct held_out *h = &w->held;
	FILE *f = w->c->err;
	char when[32];
	unsigned shown = 0;

	if (!h->split) {
		fprintf(f, "Not checked on a part that was held out: there is too little.\n");
		return;
	}
	zt_time_format(h->split, when);
	fprintf(f,
		"Held out: of %llu connections since %s, a policy learned from what was before blocks %llu (%.1f %%).\n",
		(unsigned long long)h->w.count, when, (unsigned long long)h->w.blocked_count,
		h->w.count ? 100.0 * (double)h->w.blocked_count / (double)h->w.count : 0);
	for (size_t i = 0; i < h->w.n && shown < EXAMPLES; i++) {
		ZT_STRBUF struct zt_strbuf b = {0};

		if (!is_blocked(&h->w.v[i]))
			continue;
		zt_seen_text(h->w.v[i].seen, &b);
		fprintf(f, "  %llu of %s\n", (unsigned long long)h->w.v[i].seen->count, zt_strbuf_cstr(&b));
		shown++;
	}
}

static void say_left_out(struct work *w)
{
	FILE *f = w->c->err;

	if (w->all.left_out[ZT_LEFT_NETNS])
		fprintf(f,
			"%llu connections of other network namespaces were left out (--netns learns from one of them).\n",
			(unsigned long long)w->all.left_out[ZT_LEFT_NETNS]);
	if (w->all.left_out[ZT_LEFT_INCOMPLETE])
		fprintf(f, "%llu connections were left out: their records are not complete.\n",
			(unsigned long long)w->all.left_out[ZT_LEFT_INCOMPLETE]);
	if (w->unix_calls)
		fprintf(f,
			"%llu calls to Unix sockets were blocked or observed; no rules are written for them: calls that pass are\n"
			"not recorded, so what is needed there is not known. Take such rules over from the policy in force.\n",
			(unsigned long long)w->unix_calls);
	if (w->policy.names_unresolved)
		fprintf(f, "%zu host names do not resolve now: their addresses stand in the policy.\n",
			w->policy.names_unresolved);
}

static void say(struct work *w)
{
	size_t wide = 0;

	if (w->c->quiet)
		return;
	for (size_t i = 0; i < w->policy.n_rules; i++)
		wide += w->policy.rules[i].score > 0 || w->policy.rules[i].any_program;
	fprintf(w->c->err, "%zu rules and %zu tests from %llu connections; %zu rules go further than what was seen.\n",
		w->policy.n_rules, w->policy.n_tests, (unsigned long long)w->policy.covered, wide);
	say_left_out(w);
	say_held_out(w);
}

static json_t *rules_json(const struct zt_learned *l)
{
	json_t *a = json_array();

	for (size_t i = 0; i < l->n_rules; i++) {
		const struct zt_learned_rule *r = &l->rules[i];
		char first[32], last[32];

		zt_time_format(r->first, first);
		zt_time_format(r->last, last);
		(void)json_array_append_new(a, json_pack("{s:s, s:I, s:I, s:s, s:s, s:f, s:b}", "name", r->name,
							 "count", (json_int_t)r->count, "bytes", (json_int_t)r->bytes,
							 "first", first, "last", last, "never_seen", r->score,
							 "any_program", (int)r->any_program));
	}
	return a;
}

static json_t *held_json(const struct held_out *h)
{
	json_t *a = json_array();
	char when[32];

	zt_time_format(h->split, when);
	for (size_t i = 0; i < h->w.n && json_array_size(a) < 100; i++)
		if (is_blocked(&h->w.v[i]))
			(void)json_array_append_new(a, zt_seen_json(h->w.v[i].seen));
	if (h->split)
		return json_pack("{s:s, s:I, s:I, s:o}", "since", when, "connections", (json_int_t)h->w.count,
				 "blocked", (json_int_t)h->w.blocked_count, "examples", a);
	json_decref(a);
	return json_null();
}

static int report_json(struct work *w)
{
	const struct zt_learned *l = &w->policy;

	return zt_cli_json(w->c, json_pack("{s:s, s:o, s:I, s:I, s:{s:I, s:I, s:I, s:I, s:I, s:I}, s:o}", "policy",
					   l->yaml.buf, "rules", rules_json(l), "tests", (json_int_t)l->n_tests,
					   "connections", (json_int_t)l->covered, "left_out", "blocked",
					   (json_int_t)l->denied, "unowned", (json_int_t)l->unowned, "moved",
					   (json_int_t)l->moved, "other_namespaces",
					   (json_int_t)w->all.left_out[ZT_LEFT_NETNS], "incomplete",
					   (json_int_t)w->all.left_out[ZT_LEFT_INCOMPLETE], "unix_calls",
					   (json_int_t)w->unix_calls, "held_out", held_json(&w->held)));
}

static int nothing(struct work *w)
{
	if (w->policy.denied)
		return zt_cli_error(w->c, ZT_EXIT_FAILED, 5071,
				    "--denied learns from it; `mode: observe` lets it through meanwhile",
				    "all %llu connections that were recorded since then were blocked",
				    (unsigned long long)w->policy.denied);
	return zt_cli_error(w->c, ZT_EXIT_FAILED, 5071,
			    "--since looks back further, --netns into another network namespace",
			    "no connection of this host was recorded since then");
}

int zt_cmd_learn(struct zt_cli *c)
{
	ZT_CLEANUP(work_done) struct work w = {.c = c, .o = {.denied = zt_opt(c, DENIED), .root = zt_opt(c, ROOT)}};
	int r, code = read_parts(c, &w.o.by);

	code = code ? code : zt_cli_since(c, "7d", &w.since);
	code = code ? code : zt_cli_journal(c, &w.j);
	code = code ? code : zt_cli_seen(c, w.j, w.since, 0, &w.own, &w.all);
	code = code ? code : zt_cli_say_lacking(c, w.j, w.since, ZT_FLOW_KINDS);
	if (code)
		return code;
	(void)zt_journal_unix(w.j, w.since, &w.unix_calls); /* it is only told */
	r = zt_learn(&w.all, &w.o, &w.policy, &c->diags);
	if (r == -ENODATA)
		return nothing(&w);
	code = r < 0 ? zt_cli_fail(c, r) : hold_out(&w);
	if (code)
		return code;
	if (c->json)
		return report_json(&w);
	fwrite(w.policy.yaml.buf, 1, w.policy.yaml.len, c->out);
	(void)fflush(c->out); /* a write error shows at exit */
	say(&w);
	return 0;
}
