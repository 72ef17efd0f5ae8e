/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <jansson.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"
#include "cli/live.h"

enum { PROBES_MAX = 20000, SHOWN = 200 };

/* ---- what is asked ---- */
static int number(const char *s, unsigned long long max, unsigned long long *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(s, &end, 10);
	return *s < '0' || *s > '9' || *end || errno || *ret > max ? -EINVAL : 0;
}

static int asked(struct zt_cli *c, size_t *ret_n, uint64_t *ret_seed)
{
	unsigned long long n = 0, seed = 0;

	if (number(zt_opt(c, PACKETS), PROBES_MAX, &n) < 0 || !n)
		return zt_cli_error(c, ZT_EXIT_USAGE, 5052, NULL, "--packets is a number from 1 to %d: \"%s\"",
				    PROBES_MAX, zt_opt(c, PACKETS));
	if (zt_opt(c, SEED) && number(zt_opt(c, SEED), UINT32_MAX, &seed) < 0)
		return zt_cli_error(c, ZT_EXIT_USAGE, 5052, NULL, "--seed is a number up to %u: \"%s\"", UINT32_MAX,
				    zt_opt(c, SEED));
	if (!zt_opt(c, SEED)) {
		uint32_t any = 1;

		(void)!getrandom(&any, sizeof(any), 0); /* any number is one */
		seed = any;
	}
	*ret_n = (size_t)n;
	*ret_seed = seed;
	return 0;
}

/* The file that was named, else the source of what is in force. */
static int policy_of(struct zt_cli *c, const struct zt_ruleset *live, struct zt_policy **ret)
{
	struct zt_policy_options o = {
		.root = zt_opt(c, ROOT), .allow_unsafe_file = true, .cgroup_root = zt_opt(c, CGROUP)};
	struct zt_apply_ctx ctx = zt_cli_apply_ctx(c);
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	ZT_FREE char *source = NULL;
	size_t len = 0;
	int r;

	if (!live || c->args.n_pos || zt_opt(c, CONFIG))
		return zt_cli_load(c, ret);
	r = zt_generation_load(&ctx, live->generation, &rs, &source, &len, &c->diags);
	r = r ?: zt_policy_parse(rs->policy_name ? rs->policy_name : "policy", source, len, &o, ret, &c->diags);
	return r < 0 ? zt_cli_fail_policy(c, r) : 0;
}

int zt_prove_live(struct zt_cli *c, const struct zt_ruleset *live, struct zt_live *ret)
{
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
	uint64_t seed = 0;
	size_t n = 0;
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *tried = NULL;
	int code = asked(c, &n, &seed) ?: policy_of(c, live, &p);

	code = code ?: zt_cli_compile(c, p, true, &tried); /* says what is wrong, in the words of check */
	code = code ?: zt_live_run(c, p, n, seed, ret);
	for (size_t i = 0; !code && i < p->n_rules; i++)
		ret->unix_rules += p->rules[i].dir == ZT_DIR_UNIX;
	return code;
}

/* ---- JSON ---- */
static const char *seen_text(const struct zt_live_engine *e, size_t i)
{
	static const char *const names[] = {[ZT_LIVE_UNTRIED] = "not tried",
					    [ZT_LIVE_BLOCKED] = "did not arrive",
					    [ZT_LIVE_ARRIVED] = "arrived",
					    [ZT_LIVE_UNSENT] = "could not be sent",
					    [ZT_LIVE_NOT_COVERED] = "not covered by this engine"};

	return names[e->seen[i]];
}

static json_t *engine_json(const struct zt_live *l, const struct zt_live_engine *e)
{
	json_t *j = json_pack("{s:s, s:b}", "engine", e->engine->name, "tried", (int)!e->left_out);

	(void)l;
	if (!j || e->left_out) {
		(void)json_object_set_new(
			j, "why_not", zt_json_text(e->left_out)); /* a failed set leaves a key out, here and below */
		return j;
	}
	(void)json_object_update_new(
		j, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f}", "agree", (json_int_t)e->agree, "arrived",
			     (json_int_t)e->arrived, "otherwise", (json_int_t)e->otherwise, "disagree",
			     (json_int_t)e->wrong, "not_sent", (json_int_t)e->unsent, "not_tried",
			     (json_int_t)e->untried, "not_covered", (json_int_t)e->not_covered, "seconds", e->seconds));
	return j;
}

static json_t *worst_json(const struct zt_live *l)
{
	const struct zt_flow *f = &l->plan.probes[l->worst].flow;
	json_t *list = json_array(), *j;

	for (size_t i = 0; i < ZT_LIVE_ENGINES; i++) {
		const struct zt_live_engine *e = &l->engines[i];
		struct zt_decision d;

		if (e->left_out)
			continue;
		zt_oracle_decide(e->rs, f, &d);
		j = json_pack("{s:s, s:o, s:b, s:s}", "engine", e->engine->name, "policy", zt_decision_json(e->rs, &d),
			      "expected", (int)e->expect[l->worst], "seen", seen_text(e, l->worst));
		(void)json_array_append_new(list, j);
	}
	return json_pack("{s:o, s:o}", "flow", zt_flow_json(f), "engines", list);
}

/* Where the probes go, and which of them are sent or received by a program of the policy. */
static const char *const where[] = {"to another host", "to this host", "from another host", "forwarded"};

static size_t count_kind(const struct zt_live *l, size_t kind)
{
	size_t n = 0;

	for (size_t i = 0; i < l->plan.n; i++)
		n += l->plan.probes[i].kind == kind;
	return n;
}

static size_t count_programs(const struct zt_live *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->plan.n; i++) {
		const struct zt_live_probe *p = &l->plan.probes[i];
		bool sends = p->kind < ZT_LIVE_IN && (p->program[0] || p->parent[0]);

		n += sends || (p->listens && (p->program[1] || p->parent[1]));
	}
	return n;
}

/* ---- all that was not as the policy says ---- */
static json_t *process_json(const struct zt_actor *a)
{
	json_t *groups = json_array();

	for (size_t i = 0; i < a->n_groups; i++)
		(void)json_array_append_new(groups, json_integer(a->groups[i])); /* a failed one is left out */
	return json_pack("{s:I, s:I, s:o, s:o, s:o}", "uid", (json_int_t)a->uid, "gid", (json_int_t)a->gid, "groups",
			 groups, "program", zt_json_text(a->exe_path), "cgroup", zt_json_text(a->cgroup_path));
}

static json_t *disagreement_json(const struct zt_live *l, const struct zt_live_engine *e, size_t i)
{
	const struct zt_live_probe *p = &l->plan.probes[i];
	struct zt_decision d;
	json_t *j;

	zt_oracle_decide(e->rs, &p->flow, &d);
	j = json_pack("{s:s, s:s, s:o, s:o, s:b, s:s}", "engine", e->engine->name, "way", where[p->kind], "flow",
		      zt_flow_json(&p->flow), "policy", zt_decision_json(e->rs, &d), "expected", (int)e->expect[i],
		      "seen", seen_text(e, i));
	if (p->flow.sender)
		(void)json_object_set_new(j, "sender", process_json(p->flow.sender));
	if (p->flow.receiver)
		(void)json_object_set_new(j, "receiver", process_json(p->flow.receiver));
	return j;
}

static json_t *disagreements_json(const struct zt_live *l)
{
	json_t *list = json_array();

	for (size_t i = 0; i < ZT_LIVE_ENGINES; i++)
		for (size_t k = 0; k < l->plan.n && json_array_size(list) < SHOWN; k++) {
			const struct zt_live_engine *e = &l->engines[i];
			bool arrived = e->seen && e->seen[k] == ZT_LIVE_ARRIVED;

			if (e->seen && (arrived || e->seen[k] == ZT_LIVE_BLOCKED) && arrived != e->expect[k])
				(void)json_array_append_new(list, disagreement_json(l, e, k));
		}
	return list;
}

json_t *zt_live_json(const struct zt_live *l)
{
	json_t *engines = json_array(), *skipped = json_object(), *kinds = json_object(), *j;

	for (size_t i = 0; i < ZT_LIVE_ENGINES; i++)
		(void)json_array_append_new(engines, engine_json(l, &l->engines[i]));
	for (size_t i = 0; i < ZT_LIVE_N_SKIPS; i++)
		(void)json_object_set_new(skipped, zt_live_skip_text[i], json_integer((json_int_t)l->plan.skipped[i]));
	for (size_t i = 0; i < ZT_ARRAY_SIZE(where); i++)
		(void)json_object_set_new(kinds, where[i], json_integer((json_int_t)count_kind(l, i)));
	j = json_pack("{s:b, s:I, s:o, s:I, s:I, s:f, s:o, s:o, s:I}", "agree", (int)l->agree, "probes",
		      (json_int_t)l->plan.n, "probes_by_way", kinds, "probes_of_programs",
		      (json_int_t)count_programs(l), "seed", (json_int_t)l->seed, "seconds", l->seconds, "engines",
		      engines, "drawn_but_not_sendable", skipped, "unix_rules_not_tried", (json_int_t)l->unix_rules);
	if (l->worst_engine) { /* a failed set leaves a key out */
		(void)json_object_set_new(j, "disagreement", worst_json(l));
		(void)json_object_set_new(j, "disagreements", disagreements_json(l));
	}
	return j;
}

/* ---- text ---- */
static void engine_text(struct zt_cli *c, const struct zt_live *l, const struct zt_live_engine *e)
{
	size_t judged = e->agree + e->wrong;

	fprintf(c->out, "    %-10s", e->engine->name);
	if (e->left_out) {
		fprintf(c->out, "left out: ");
		zt_cli_puts_escaped(c->out, e->left_out);
		fprintf(c->out, "\n");
		return;
	}
	fprintf(c->out, "%zu of %zu as the policy says, %zu arrived", e->agree, judged, e->arrived);
	if (e->not_covered)
		fprintf(c->out, ", %zu not covered by this engine", e->not_covered);
	if (e->otherwise)
		fprintf(c->out, ", %zu otherwise by its primary group alone", e->otherwise);
	if (e->unsent)
		fprintf(c->out, ", %zu could not be sent", e->unsent);
	if (e->untried)
		fprintf(c->out, ", %zu not tried: it took too long", e->untried);
	fprintf(c->out, " (%.1f s)\n", e->seconds);
	(void)l;
}

static void ways_text(struct zt_cli *c, const struct zt_live *l)
{
	fprintf(c->out, "    ");
	for (size_t i = 0; i < ZT_ARRAY_SIZE(where); i++)
		fprintf(c->out, "%s%zu %s", i ? ", " : "", count_kind(l, i), where[i]);
	fprintf(c->out, "; %zu with programs that the policy names\n", count_programs(l));
}

static void skipped_text(struct zt_cli *c, const struct zt_live *l)
{
	const char *sep = "    drawn as well, but not sendable: ";

	for (size_t i = 0; i < ZT_LIVE_N_SKIPS; i++) {
		if (!l->plan.skipped[i])
			continue;
		fprintf(c->out, "%s%zu of %s", sep, l->plan.skipped[i], zt_live_skip_text[i]);
		sep = "; ";
	}
	if (*sep == ';')
		fprintf(c->out, "\n");
	if (l->unix_rules)
		fprintf(c->out, "    not tried: %zu rule%s about Unix sockets, which send no packets\n", l->unix_rules,
			l->unix_rules == 1 ? "" : "s");
}

static void decision_text(struct zt_cli *c, const struct zt_live_engine *e, const struct zt_flow *f)
{
	struct zt_decision d;

	zt_oracle_decide(e->rs, f, &d);
	fprintf(c->out, "%s", zt_verdict_name(d.verdict));
	if (d.by == ZT_BY_RULE && d.rule)
		fprintf(c->out, ", rule \"%s\"", d.rule->id);
	else
		fprintf(c->out, ", %s", zt_decider_text(&d));
}

static void worst_text(struct zt_cli *c, const struct zt_live *l)
{
	const struct zt_live_probe *p = &l->plan.probes[l->worst];
	ZT_STRBUF struct zt_strbuf flow = {0};

	zt_flow_text(&p->flow, &flow);
	fprintf(c->out, "%sNOT AS THE POLICY SAYS%s, for example:\n    %s (%s%s)\n", zt_colour(c, ZT_RED),
		zt_colour(c, ZT_PLAIN), zt_strbuf_cstr(&flow), where[p->kind],
		p->mapped ? ", through an IPv6 socket" : "");
	for (size_t i = 0; i < ZT_LIVE_ENGINES; i++) {
		const struct zt_live_engine *e = &l->engines[i];

		if (e->left_out)
			continue;
		fprintf(c->out, "    %-10s%s, the policy says ", e->engine->name, seen_text(e, l->worst));
		decision_text(c, e, &p->flow);
		fprintf(c->out, "\n");
	}
	fprintf(c->out, "    The same probes again: --packets %zu --seed %llu\n", l->wanted,
		(unsigned long long)l->seed);
}

void zt_live_text(struct zt_cli *c, const struct zt_live *l)
{
	fprintf(c->out, "%zu live probes in throw-away namespaces, seed %llu, %.1f s:\n", l->plan.n,
		(unsigned long long)l->seed, l->seconds);
	ways_text(c, l);
	for (size_t i = 0; i < ZT_LIVE_ENGINES; i++)
		engine_text(c, l, &l->engines[i]);
	skipped_text(c, l);
	if (l->worst_engine)
		worst_text(c, l);
	else if (l->agree)
		fprintf(c->out, "%zu probes, %sall engines agree%s with the policy\n", l->plan.n,
			zt_colour(c, ZT_GREEN), zt_colour(c, ZT_PLAIN));
	else
		fprintf(c->out, "%snot proved%s: no engine was tried with every probe\n", zt_colour(c, ZT_YELLOW),
			zt_colour(c, ZT_PLAIN));
}
