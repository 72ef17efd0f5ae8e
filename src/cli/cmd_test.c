/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "base/time.h"
#include "cli/cli.h"

/* Tests run as if the policy enforced, whatever its mode: they say what should be blocked. */
struct result {
	struct zt_expectation e;
	struct zt_decision decision; /* of the flow that failed, else of the first */
	bool passed;
};
struct mutation {
	const struct zt_rule *rule;
	bool flip_noticed, removal_noticed;
};
struct run {
	struct zt_ruleset *rs;
	struct result *results;
	size_t n, failed;
	bool *covered; /* by index of the ruleset's rules */
	size_t n_ids, n_covered;
	struct mutation *mutations;
	size_t n_mutations, n_survived;
};

static void run_done(struct run *u)
{
	zt_ruleset_free(u->rs);
	free(u->results);
	free(u->covered);
	free(u->mutations);
}

static bool evaluate(struct run *u, struct result *r, bool cover)
{
	for (unsigned i = 0; i < r->e.n_flows; i++) {
		struct zt_decision d = {0};

		zt_oracle_decide(u->rs, &r->e.flow[i], &d);
		if (cover && d.by == ZT_BY_RULE)
			u->covered[d.rule - u->rs->rules] = true;
		if (i == 0 && cover)
			r->decision = d;
		if (!zt_action_expects(r->e.test->expect, d.verdict)) {
			if (cover)
				r->decision = d;
			return false;
		}
	}
	return true;
}

/* The number of rules by name, and how many of those some test reached; parts of one rule are next to one another. */
static void coverage(struct run *u)
{
	for (size_t i = 0; i < u->rs->n_rules;) {
		const char *id = u->rs->rules[i].id;
		bool any = false;

		for (; i < u->rs->n_rules && !strcmp(u->rs->rules[i].id, id); i++)
			any = any || u->covered[i];
		if (zt_rule_follows(&u->rs->rules[i - 1])) /* nobody wrote it */
			continue;
		u->n_ids++;
		u->n_covered += any;
	}
}

static bool id_covered(const struct run *u, size_t i)
{
	for (size_t k = i; k < u->rs->n_rules && !strcmp(u->rs->rules[k].id, u->rs->rules[i].id); k++)
		if (u->covered[k])
			return true;
	return false;
}

/* The first of the parts of a rule that somebody wrote, and that decided no test. */
static bool to_be_told(const struct run *u, size_t i)
{
	const struct zt_rule *r = &u->rs->rules[i];

	return !(i && !strcmp(r->id, r[-1].id)) && !zt_rule_follows(r) && !id_covered(u, i);
}

static int run_tests(struct run *u, const struct zt_policy *p)
{
	u->results = zt_new(struct result, p->n_tests + 1);
	u->covered = zt_new(bool, u->rs->n_rules + 1);
	if (!u->results || !u->covered)
		return -ENOMEM;
	u->n = p->n_tests;
	for (size_t i = 0; i < u->n; i++) {
		zt_expectation_init(&u->results[i].e, &p->tests[i]);
		u->results[i].passed = evaluate(u, &u->results[i], true);
		u->failed += !u->results[i].passed;
	}
	coverage(u);
	return 0;
}

/* ---- mutation: only tests that passed count, and only rules that decided something can be noticed at all ---- */

static bool noticed(struct run *u)
{
	for (size_t i = 0; i < u->n; i++)
		if (u->results[i].passed && !evaluate(u, &u->results[i], false))
			return true;
	return false;
}

static void set_verdict(struct run *u, size_t i, size_t end, enum zt_verdict v)
{
	for (; i < end; i++)
		u->rs->rules[i].verdict = v;
}

static void flip_rule(struct run *u, size_t i, size_t end, struct mutation *m)
{
	enum zt_verdict v = u->rs->rules[i].verdict; /* the same for all parts of a rule */

	if (!id_covered(u, i))
		return;
	set_verdict(u, i, end, v == ZT_ALLOW || v == ZT_OBSERVE ? ZT_DROP : ZT_ALLOW);
	m->flip_noticed = noticed(u);
	set_verdict(u, i, end, v);
}

static void remove_rule(struct run *u, size_t i, size_t end, struct mutation *m)
{
	struct zt_rule *rules = u->rs->rules;

	if (!id_covered(u, i))
		return;
	for (size_t k = i; k < end; k++)
		rules[k].dir = (enum zt_direction)(rules[k].dir + 8); /* no flow has this direction */
	m->removal_noticed = noticed(u);
	for (size_t k = i; k < end; k++)
		rules[k].dir = (enum zt_direction)(rules[k].dir - 8);
}

static int mutate(struct run *u)
{
	u->mutations = zt_new(struct mutation, u->n_ids + 1);
	if (!u->mutations)
		return -ENOMEM;
	for (size_t i = 0, end; i < u->rs->n_rules; i = end) {
		struct mutation *m = &u->mutations[u->n_mutations++];

		for (end = i + 1; end < u->rs->n_rules && !strcmp(u->rs->rules[end].id, u->rs->rules[i].id);)
			end++;
		if (zt_rule_follows(&u->rs->rules[i])) { /* nobody wrote it */
			u->n_mutations--;
			continue;
		}
		m->rule = &u->rs->rules[i];
		flip_rule(u, i, end, m);
		remove_rule(u, i, end, m);
		u->n_survived += !m->flip_noticed + !m->removal_noticed;
	}
	return 0;
}

/* ---- report ---- */

static void decision_text(const struct zt_decision *d, struct zt_strbuf *out)
{
	zt_strbuf_printf(out, "%s by ", zt_verdict_name(d->verdict));
	if (d->by == ZT_BY_RULE && d->rule)
		zt_strbuf_printf(out, "rule '%s'", d->rule->id);
	else
		zt_strbuf_printf(out, "the %s", zt_decider_text(d));
}

static void print_result(struct zt_cli *c, const struct result *r)
{
	ZT_STRBUF struct zt_strbuf flow = {0}, why = {0};

	if (r->passed && c->quiet)
		return;
	decision_text(&r->decision, &why);
	fprintf(c->out, "%s%s%s  ", zt_colour(c, r->passed ? ZT_GREEN : ZT_RED), r->passed ? "pass" : "FAIL",
		zt_colour(c, ZT_PLAIN));
	zt_cli_puts_escaped(c->out, r->e.test->name ? r->e.test->name : "(no name)");
	fprintf(c->out, "\n");
	if (r->passed && !c->verbose)
		return;
	zt_flow_text(&r->e.flow[0], &flow);
	fprintf(c->out, "      %s\n      expected %s, got %s  (%s:%u)\n", zt_strbuf_cstr(&flow),
		zt_action_name(r->e.test->expect), zt_strbuf_cstr(&why),
		r->e.test->span.file ? r->e.test->span.file : "-", r->e.test->span.line);
}

static void print_uncovered(struct zt_cli *c, const struct run *u)
{
	size_t shown = 0;

	fprintf(c->out, "Rule coverage: %zu of %zu", u->n_covered, u->n_ids);
	if (u->n_ids)
		fprintf(c->out, " (%zu %%)", u->n_covered * 100 / u->n_ids);
	fprintf(c->out, "\n");
	for (size_t i = 0; i < u->rs->n_rules; i++) {
		ZT_STRBUF struct zt_strbuf place = {0};

		if (!to_be_told(u, i))
			continue;
		if (shown++ == 20 && !c->verbose) {
			fprintf(c->out, "  ... (-v shows all)\n");
			return;
		}
		zt_rule_place(u->rs, &u->rs->rules[i], &place);
		fprintf(c->out, "  decided no test: %s  (%s)\n", u->rs->rules[i].id, zt_strbuf_cstr(&place));
	}
}

static void print_mutations(struct zt_cli *c, const struct run *u)
{
	size_t total = 2 * u->n_mutations;

	fprintf(c->out, "Mutations: %zu of %zu noticed\n", total - u->n_survived, total);
	for (size_t i = 0; i < u->n_mutations; i++) {
		const struct mutation *m = &u->mutations[i];
		bool allows = m->rule->verdict == ZT_ALLOW || m->rule->verdict == ZT_OBSERVE;
		ZT_STRBUF struct zt_strbuf place = {0};

		zt_rule_place(u->rs, m->rule, &place);
		if (m->flip_noticed && m->removal_noticed)
			continue;
		fprintf(c->out, "  no test notices when '%s' is ", m->rule->id);
		if (!m->flip_noticed)
			fprintf(c->out, "turned into %s%s", allows ? "deny" : "allow",
				m->removal_noticed ? "" : " or ");
		fprintf(c->out, "%s  (%s)\n", m->removal_noticed ? "" : "removed", zt_strbuf_cstr(&place));
	}
}

static json_t *results_json(const struct run *u)
{
	json_t *a = json_array();

	for (size_t i = 0; i < u->n; i++) {
		const struct result *r = &u->results[i];

		(void)json_array_append_new(
			a, json_pack("{s:s, s:b, s:s, s:o, s:o, s:i}", "name", r->e.test->name ? r->e.test->name : "",
				     "passed", (int)r->passed, "expect", zt_action_name(r->e.test->expect), "flow",
				     zt_flow_json(&r->e.flow[0]), "got", zt_decision_json(u->rs, &r->decision), "line",
				     (int)r->e.test->span.line));
	}
	return a;
}

static int report_json(struct zt_cli *c, const struct run *u)
{
	json_t *uncovered = json_array(), *survived = json_array(), *j;

	for (size_t i = 0; i < u->rs->n_rules; i++)
		if (to_be_told(u, i))
			(void)json_array_append_new(uncovered, json_string(u->rs->rules[i].id));
	for (size_t i = 0; i < u->n_mutations; i++) {
		const struct mutation *m = &u->mutations[i];

		if (!m->flip_noticed)
			(void)json_array_append_new(survived,
						    json_pack("{s:s, s:s}", "rule", m->rule->id, "mutation", "flip"));
		if (!m->removal_noticed)
			(void)json_array_append_new(survived,
						    json_pack("{s:s, s:s}", "rule", m->rule->id, "mutation", "remove"));
	}
	j = json_pack("{s:I, s:I, s:o, s:{s:I, s:I, s:o}}", "passed", (json_int_t)(u->n - u->failed), "failed",
		      (json_int_t)u->failed, "tests", results_json(u), "coverage", "rules", (json_int_t)u->n_ids,
		      "covered", (json_int_t)u->n_covered, "uncovered", uncovered);
	if (u->mutations)
		(void)json_object_set_new(j, "mutations_unnoticed", survived); /* a failed set leaves a key out */
	else
		json_decref(survived);
	return zt_cli_json(c, j);
}

static int report(struct zt_cli *c, const struct run *u, bool observe)
{
	int code = u->failed ? ZT_EXIT_FAILED : ZT_EXIT_OK;

	if (c->json)
		return report_json(c, u) ?: code;
	for (size_t i = 0; i < u->n; i++)
		print_result(c, &u->results[i]);
	fprintf(c->out, "%s%zu passed, %zu failed\n", u->n && !c->quiet ? "\n" : "", u->n - u->failed, u->failed);
	if (observe)
		fprintf(c->out, "The policy only observes (mode: observe); it was tested as if it enforced.\n");
	if (!c->quiet || c->verbose)
		print_uncovered(c, u);
	if (u->mutations)
		print_mutations(c, u);
	return code;
}

int zt_cmd_test(struct zt_cli *c)
{
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
	struct run u = {0};
	bool observe;
	int r, code = zt_cli_load(c, &p);

	if (code)
		return code;
	observe = p->settings.mode == ZT_MODE_OBSERVE;
	p->settings.mode = ZT_MODE_ENFORCE;
	code = zt_cli_compile(c, p, true, &u.rs);
	if (!code) {
		zt_cli_flush_diags(c);
		r = run_tests(&u, p);
		if (r >= 0 && zt_opt(c, MUTATE))
			r = mutate(&u);
		code = r < 0 ? zt_cli_fail(c, r) : report(c, &u, observe);
	}
	if (!code && !p->n_tests && !c->json)
		fprintf(c->err, "%s has no tests; add a list tests: (zt-segment.yaml(5)) [ZT5014]\n",
			zt_cli_policy_path(c));
	run_done(&u);
	return code;
}
