/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What another policy would have done with what the journal has seen. */
#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "cli/seenflows.h"

enum { SHOWN = 20, JSON_MAX = 10000 };

struct question {
	struct zt_cli *c;
	struct zt_journal *j;
	struct zt_addr_ranges own;
	struct zt_seen_list seen;
	struct zt_ruleset *before, *after; /* before NULL: nothing is in force */
	const char *against;		   /* what before is */
	bool observes;			   /* the new policy only observes */
	struct zt_weighing w;
};

static void question_done(struct question *q)
{
	zt_weighing_done(&q->w);
	zt_ruleset_free(q->before);
	zt_ruleset_free(q->after);
	zt_seen_list_done(&q->seen);
	zt_addr_ranges_done(&q->own);
	zt_journal_close(q->j);
}

/* ---- what is compared ---- */
static int in_force(struct question *q)
{
	struct zt_cli *c = q->c;
	int code = zt_cli_engine(c);

	q->against = "the policy in force";
	code = code ? code : zt_cli_raise(c, &q->before);
	if (code == ZT_EXIT_INACTIVE) { /* then everything passes, but for what others block */
		q->against = "what happened: no policy is in force";
		return 0;
	}
	if (!code)
		zt_cli_add_lines(c, q->before);
	return code;
}

static int old_policy(struct question *q)
{
	bool observes = false;

	if (!zt_opt(q->c, AGAINST))
		return in_force(q);
	q->against = zt_opt(q->c, AGAINST);
	return zt_cli_compile_file(q->c, q->against, &q->before, &observes);
}

/* ---- answers ---- */
static bool newly_blocked(const struct zt_weighed *d)
{
	return zt_verdict_passes(d->before.verdict);
}

static void decider(const struct zt_ruleset *rs, const struct zt_decision *d, struct zt_strbuf *out)
{
	ZT_STRBUF struct zt_strbuf place = {0};

	if (d->by != ZT_BY_RULE) {
		zt_strbuf_printf(out, "the %s", zt_decider_text(d));
		return;
	}
	zt_rule_place(rs, d->rule, &place);
	zt_strbuf_printf(out, "rule '%s' (%s)", d->rule->id, zt_strbuf_cstr(&place));
}

/* "  1,204  www-data /usr/sbin/nginx -> 10.0.0.1:80/tcp", and below it what decides. */
static void print_flow(const struct question *q, const struct zt_weighed *d)
{
	ZT_STRBUF struct zt_strbuf flow = {0}, by = {0};
	char count[32], first[32], last[32];

	zt_format_thousands(d->seen->count, count);
	zt_time_format(d->seen->first, first);
	zt_time_format(d->seen->last, last);
	zt_seen_text(d->seen, &flow);
	decider(q->after, &d->after, &by);
	fprintf(q->c->out, "%9s  %s\n           by %s; %s to %s\n", count, zt_strbuf_cstr(&flow), zt_strbuf_cstr(&by),
		first, last);
}

static void print_list(const struct question *q, bool blocked, size_t n, uint64_t connections)
{
	struct zt_cli *c = q->c;
	char count[32];
	size_t shown = 0;

	if (!n)
		return;
	zt_format_thousands(connections, count);
	fprintf(c->out, "\n%sNEWLY %s%s: %s connections of %zu kind%s\n", zt_colour(c, blocked ? ZT_RED : ZT_YELLOW),
		blocked ? "BLOCKED" : "ALLOWED", zt_colour(c, ZT_PLAIN), count, n, n == 1 ? "" : "s");
	for (size_t i = 0; i < q->w.n && (shown < SHOWN || c->verbose); i++)
		if (newly_blocked(&q->w.v[i]) == blocked) {
			print_flow(q, &q->w.v[i]);
			shown++;
		}
	if (shown < n)
		fprintf(c->out, "... and %zu more (-v shows all)\n", n - shown);
}

static int report(const struct question *q)
{
	const struct zt_weighing *w = &q->w;
	struct zt_cli *c = q->c;
	char count[32];

	zt_format_thousands(w->count, count);
	if (!c->quiet)
		fprintf(c->out, "%s connections of %llu kind%s, compared with %s.\n", count,
			(unsigned long long)w->keys, w->keys == 1 ? "" : "s", q->against);
	if (q->observes && !c->quiet)
		fprintf(c->out, "The policy only observes (mode: observe); it was judged as if it enforced.\n");
	if (!w->n && !c->quiet)
		fprintf(c->out, "No difference.\n");
	print_list(q, true, w->blocked_keys, w->blocked_count);
	print_list(q, false, w->allowed_keys, w->allowed_count);
	zt_cli_say_blind(c, q->after, &q->seen);
	return w->n ? ZT_EXIT_FAILED : ZT_EXIT_OK;
}

static json_t *flows_json(const struct question *q, bool blocked)
{
	json_t *a = json_array();

	for (size_t i = 0; i < q->w.n && json_array_size(a) < JSON_MAX; i++) {
		const struct zt_weighed *d = &q->w.v[i];
		json_t *j;

		if (newly_blocked(d) != blocked)
			continue;
		j = zt_seen_json(d->seen);
		(void)json_object_set_new(j, "after",
					  zt_decision_json(q->after, &d->after)); /* a failed set leaves it out */
		if (q->before)
			(void)json_object_set_new(j, "before", zt_decision_json(q->before, &d->before));
		(void)json_array_append_new(a, j);
	}
	return a;
}

static int report_json(const struct question *q)
{
	const struct zt_weighing *w = &q->w;

	zt_cli_say_blind(q->c, q->after, &q->seen);
	return zt_cli_json(q->c,
			   json_pack("{s:s, s:I, s:I, s:{s:I, s:I, s:o}, s:{s:I, s:I, s:o}}", "against", q->against,
				     "connections", (json_int_t)w->count, "different", (json_int_t)w->keys,
				     "newly_blocked", "connections", (json_int_t)w->blocked_count, "different",
				     (json_int_t)w->blocked_keys, "flows", flows_json(q, true), "newly_allowed",
				     "connections", (json_int_t)w->allowed_count, "different",
				     (json_int_t)w->allowed_keys, "flows", flows_json(q, false)))
		       ?: w->n ? ZT_EXIT_FAILED
			       : ZT_EXIT_OK;
}

int zt_cmd_whatif(struct zt_cli *c)
{
	ZT_CLEANUP(question_done) struct question q = {.c = c};
	zt_usec since;
	int r, code = zt_cli_since(c, "7d", &since);

	code = code ? code : zt_cli_journal(c, &q.j);
	code = code ? code : zt_cli_compile_file(c, zt_cli_policy_path(c), &q.after, &q.observes);
	code = code ? code : old_policy(&q);
	code = code ? code : zt_cli_seen(c, q.j, since, 0, &q.own, &q.seen);
	code = code ? code : zt_cli_say_lacking(c, q.j, since, ZT_FLOW_KINDS);
	if (code)
		return code;
	if (!q.seen.n)
		return zt_cli_error(c, ZT_EXIT_FAILED, 5071,
				    "--since looks back further, --netns into another network namespace",
				    "no connection of this host was recorded since then");
	r = zt_weigh(&q.seen, q.before, q.after, &q.w);
	if (r < 0)
		return zt_cli_fail(c, r);
	zt_cli_flush_diags(c);
	return c->json ? report_json(&q) : report(&q);
}
