/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <jansson.h>
#include <string.h>

#include "base/time.h"
#include "cli/cli.h"

enum { RULES_SHOWN = 40 };

static const char *verdict_suffix(enum zt_verdict v)
{
	switch (v) {
	case ZT_ALLOW:
		return "";
	case ZT_DROP:
		return " [DROP]";
	case ZT_REJECT:
		return " [REJECT]";
	case ZT_OBSERVE:
		return " [OBSERVE]";
	}
	return "";
}

static void announce_rule(struct zt_cli *c, const struct zt_rule *r)
{
	ZT_STRBUF struct zt_strbuf from = {0}, to = {0};

	zt_rule_from_long(r, &from);
	zt_rule_to(r, &to);
	zt_cli_info(c, "  Rule '%s': %s -> %s%s", r->id, zt_strbuf_cstr(&from), zt_strbuf_cstr(&to),
		    verdict_suffix(r->verdict));
}

static void announce(struct zt_cli *c, const struct zt_ruleset *rs)
{
	size_t shown = c->verbose ? rs->n_rules : ZT_MIN(rs->n_rules, RULES_SHOWN);
	ZT_STRBUF struct zt_strbuf ports = {0};
	char more[32];

	for (size_t i = 0; i < shown; i++)
		announce_rule(c, &rs->rules[i]);
	zt_format_thousands(rs->n_rules - shown, more);
	if (shown < rs->n_rules)
		zt_cli_info(c, "  ... and %s more", more);
	zt_u32_ranges_text(&rs->ssh_ports, &ports);
	if (rs->ssh_ports.n)
		zt_cli_info(c, "  Rule 'preserve-ssh': * -> *:%s/tcp", zt_strbuf_cstr(&ports));
	zt_cli_info(c, "  Rule 'established': ESTABLISHED,RELATED -> ACCEPT");
}

int zt_apply_options_from(struct zt_cli *c, struct zt_apply_options *ret)
{
	const char *confirm = zt_opt(c, CONFIRM), *wait = zt_opt(c, LOCK_WAIT);
	struct zt_apply_options o = {.force = zt_opt(c, FORCE),
				     .reason = zt_opt(c, REASON),
				     .lock_wait = 10 * ZT_USEC_PER_SEC,
				     .dry_run = zt_opt(c, DRY_RUN)};

	if (confirm && (zt_duration_parse(confirm, &o.confirm) < 0 || o.confirm < ZT_USEC_PER_SEC))
		return zt_cli_error(c, ZT_EXIT_USAGE, 5013, "such as 60s or 5m", "--confirm wants a time, not \"%s\"",
				    confirm);
	if (wait && zt_duration_parse(wait, &o.lock_wait) < 0)
		return zt_cli_error(c, ZT_EXIT_USAGE, 5013, "such as 10s or 1m", "--lock-wait wants a time, not \"%s\"",
				    wait);
	*ret = o;
	return 0;
}

static const char *outcome_name(enum zt_apply_outcome o)
{
	switch (o) {
	case ZT_APPLY_UNCHANGED:
		return "unchanged";
	case ZT_APPLY_APPLIED:
		return "applied";
	case ZT_APPLY_PENDING:
		return "pending";
	}
	return "";
}

static int report_json(struct zt_cli *c, const struct zt_apply_result *r, bool dry_run, const char *until,
		       const struct zt_ruleset *revoke)
{
	json_t *j = json_pack("{s:s, s:I, s:I, s:s*, s:s}", "outcome", dry_run ? "dry-run" : outcome_name(r->outcome),
			      "generation", (json_int_t)r->generation, "rules", (json_int_t)r->n_rules, "deadline",
			      r->deadline ? until : NULL, "engine", c->engine->name);
	int code = j && revoke ? zt_revoke_denied(c, revoke, j) : 0;

	return zt_cli_json(c, j) ?: code;
}

int zt_apply_report(struct zt_cli *c, const struct zt_apply_result *r, bool dry_run, const struct zt_ruleset *revoke)
{
	char until[32] = "";

	if (r->deadline)
		zt_time_format(r->deadline, until);
	if (c->json)
		return report_json(c, r, dry_run, until, revoke);
	if (dry_run)
		zt_cli_info(c, "Everything up to the swap went well; nothing was changed (--dry-run)");
	else if (r->outcome == ZT_APPLY_UNCHANGED)
		zt_cli_info(c, "No changes: generation %llu enforces this policy already",
			    (unsigned long long)r->generation);
	else
		zt_cli_info(c, "Micro-segmentation ACTIVE");
	if (r->outcome == ZT_APPLY_PENDING) {
		fprintf(c->out,
			"%sNot confirmed yet.%s Open a new login and run \"zt-segment confirm\" there before\n"
			"%s, or generation %llu is rolled back by itself.\n",
			zt_colour(c, ZT_YELLOW), zt_colour(c, ZT_PLAIN), until, (unsigned long long)r->generation);
	}
	return revoke ? zt_revoke_denied(c, revoke, NULL) : 0;
}

struct progress {
	struct zt_cli *c;
	size_t n_rules;
};

/* The reference says how many rules were applied before it says that they were verified. */
static void progress(void *arg, const char *line)
{
	const struct progress *p = arg;
	char n[32];

	zt_format_thousands(p->n_rules, n);
	if (!strncmp(line, "Rules verified", strlen("Rules verified")))
		zt_cli_info(p->c, "Applied %s %s rules", n, zt_engine_title(p->c->engine->name));
	zt_cli_info(p->c, "%s", line);
}

static int apply_ruleset(struct zt_cli *c, const struct zt_policy *p, struct zt_ruleset *rs,
			 const struct zt_apply_options *o)
{
	struct progress say = {.c = c, .n_rules = zt_active_rules(rs)};
	struct zt_apply_ctx ctx = zt_cli_apply_ctx(c);
	struct zt_apply_result result = {0};
	bool revoke;
	int r;

	ctx.say = progress;
	ctx.say_arg = &say;
	announce(c, rs);
	zt_cli_flush_diags(c);
	r = zt_apply(&ctx, rs, p->source, p->source_len, o, &result, &c->diags);
	if (r < 0)
		return zt_cli_fail(c, r);
	zt_cli_flush_diags(c);
	revoke = !o->dry_run && result.outcome != ZT_APPLY_PENDING &&
		 (zt_opt(c, REVOKE) || !rs->settings.preserve_established);
	return zt_apply_report(c, &result, o->dry_run, revoke ? rs : NULL);
}

/* Two engines at once would enforce both policies, and nobody could tell which of them denied. */
static int refuse_second_engine(struct zt_cli *c)
{
	const struct zt_engine *other = !strcmp(c->engine->name, "memory") ? NULL
									   : zt_engine_active(c->instance, c->engine);

	if (!other)
		return 0;
	return zt_cli_error(c, ZT_EXIT_FAILED, 5020, "\"zt-segment flush\" first, or leave --engine out",
			    "%s enforces here now, and not %s", zt_engine_title(other->name),
			    zt_engine_title(c->engine->name));
}

int zt_cmd_apply(struct zt_cli *c)
{
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	struct zt_apply_options o;
	int code = zt_apply_options_from(c, &o);

	if (!code && zt_opt(c, REVOKE) && o.confirm)
		return zt_cli_error(
			c, ZT_EXIT_USAGE, 5001, "\"zt-segment confirm --revoke\" ends them once it is certain",
			"--revoke does not go with --confirm: a flow that was ended does not come back when the policy is rolled back");
	if (!code)
		code = refuse_second_engine(c);
	if (code)
		return code;
	zt_cli_info(c, "Loading micro-segmentation rules from %s", zt_cli_policy_path(c));
	code = zt_cli_load(c, &p);
	if (code)
		return code;
	zt_cli_info(c, "Validating rules...");
	code = zt_cli_compile(c, p, false, &rs);
	return code ? code : apply_ruleset(c, p, rs, &o);
}
