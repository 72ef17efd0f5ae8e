/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The second half of a transaction: confirm, rollback, refresh, restore. */
#include <jansson.h>
#include <string.h>

#include "cli/cli.h"

/* What is confirmed cannot be rolled back by itself any more: now flows may be ended. */
static int confirmed(struct zt_cli *c, uint64_t generation)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	int code = zt_cli_raise(c, &rs);
	bool revoke = !code && (zt_opt(c, REVOKE) || !rs->settings.preserve_established);

	zt_cli_flush_diags(c);
	if (c->json) {
		json_t *j = json_pack("{s:s, s:I}", "outcome", "confirmed", "generation", (json_int_t)generation);

		code = revoke && j ? zt_revoke_denied(c, rs, j) : code;
		return zt_cli_json(c, j) ?: code;
	}
	if (!c->quiet)
		fprintf(c->out, "Generation %llu is confirmed and stays, also after a reboot.\n",
			(unsigned long long)generation);
	return revoke ? zt_revoke_denied(c, rs, NULL) : code;
}

/* Was the newest generation taken back before it was confirmed? */
static bool rolled_back(const struct zt_apply_ctx *ctx)
{
	struct zt_generation *g = NULL, *newest = NULL;
	bool result = false;
	size_t n = 0;

	if (zt_history(ctx, &g, &n, NULL) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		newest = !newest || g[i].number > newest->number ? &g[i] : newest;
	result = newest && newest->state && !strcmp(newest->state, "rolled-back");
	zt_history_free(g, n);
	return result;
}

int zt_cmd_confirm(struct zt_cli *c)
{
	struct zt_apply_ctx ctx = zt_cli_apply_ctx(c);
	uint64_t generation = 0;
	int r = zt_confirm(&ctx, zt_opt(c, FORCE), &generation, &c->diags);

	if (r >= 0)
		return confirmed(c, generation);
	if (r == -ENOENT && rolled_back(&ctx))
		r = -ETIME;
	if (r == -ENOENT && !c->diags.errors) {
		fprintf(c->err, "zt-segment: nothing is waiting to be confirmed\n");
		return ZT_EXIT_FAILED;
	}
	if (r == -ETIME && !c->diags.errors) {
		fprintf(c->err, "zt-segment: too late: it was not confirmed in time and was rolled back\n");
		return ZT_EXIT_UNCONFIRMED;
	}
	return r == -ETIME ? (zt_cli_fail(c, r), ZT_EXIT_UNCONFIRMED) : zt_cli_fail(c, r);
}

int zt_cmd_rollback(struct zt_cli *c)
{
	struct zt_apply_ctx ctx = zt_cli_apply_ctx(c);
	struct zt_apply_result result = {0};
	struct zt_apply_options o;
	uint64_t n = 0;
	int r, code = zt_apply_options_from(c, &o);

	if (code)
		return code;
	if (c->args.n_pos && (zt_parse_u64(c->args.pos[0], INT64_MAX, &n) < 0 || n == 0))
		return zt_cli_error(c, ZT_EXIT_USAGE, 5015, "\"zt-segment history\" lists the generations",
				    "\"%s\" is not the number of a generation", c->args.pos[0]);
	r = zt_rollback(&ctx, n, &o, &result, &c->diags);
	if (r < 0)
		return zt_cli_fail(c, r);
	zt_cli_flush_diags(c);
	if (!c->json && !c->quiet && result.outcome != ZT_APPLY_PENDING && !result.generation)
		fprintf(c->out, "Rolled back; nothing is enforced now, as before.\n");
	else if (!c->json && !c->quiet && result.outcome != ZT_APPLY_PENDING)
		fprintf(c->out, "Rolled back; this is generation %llu now.\n", (unsigned long long)result.generation);
	return c->json || result.outcome == ZT_APPLY_PENDING ? zt_apply_report(c, &result, false, NULL) : 0;
}

int zt_cmd_refresh(struct zt_cli *c)
{
	struct zt_apply_ctx ctx = zt_cli_apply_ctx(c);
	bool changed = false;
	int r = zt_refresh(&ctx, NULL, &changed, &c->diags);

	if (r == -ENOENT && !c->diags.errors) {
		fprintf(c->err, "zt-segment: nothing is meant to be in force, so there is nothing to refresh\n");
		return ZT_EXIT_INACTIVE;
	}
	if (r < 0)
		return zt_cli_fail(c, r);
	r = c->diags.errors ? ZT_EXIT_FAILED : ZT_EXIT_OK;
	zt_cli_flush_diags(c);
	if (c->json)
		return zt_cli_json(c, json_pack("{s:b}", "changed", (int)changed)) ?: r;
	if (r)
		fprintf(c->err,
			"zt-segment: the policy does not compile any more: what was applied stays, with the meaning that "
			"it had then; change the policy and apply it\n");
	else if (!c->quiet)
		fprintf(c->out,
			changed ? "Refreshed: names now mean something else, the kernel was brought up to date.\n"
				: "No changes: every name still means the same.\n");
	return r;
}

/* At boot nothing is active: the engine that the current generation was applied with. */
static void engine_of_generation(struct zt_cli *c, struct zt_apply_ctx *ctx)
{
	struct zt_generation *g = NULL;
	size_t n = 0;

	if (zt_opt(c, ENGINE) || zt_history(ctx, &g, &n, NULL) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		if (g[i].current && g[i].engine && zt_engine_by_name(g[i].engine))
			c->engine = ctx->engine = zt_engine_by_name(g[i].engine);
	zt_history_free(g, n);
}

static int restored_nothing(struct zt_cli *c)
{
	if (c->json)
		return zt_cli_json(c, json_pack("{s:n, s:b}", "generation", "emergency", 0));
	zt_cli_info(c, "Nothing is meant to be in force, so there is nothing to restore");
	return 0;
}

int zt_cmd_restore(struct zt_cli *c)
{
	struct zt_apply_ctx ctx = zt_cli_apply_ctx(c);
	uint64_t generation = 0;
	int r;

	engine_of_generation(c, &ctx);
	r = zt_restore(&ctx, &generation, &c->diags);
	if (r == -ENOENT &&
	    !c->diags.errors) /* as it should be: no reason for a failed unit at every boot after a flush */
		return restored_nothing(c);
	if (r < 0)
		return zt_cli_fail(c, r);
	zt_cli_flush_diags(c);
	if (c->json)
		return zt_cli_json(
			c, json_pack("{s:I, s:b}", "generation", (json_int_t)generation, "emergency", generation == 0));
	if (generation == 0)
		zt_cli_info(c, "Emergency policy ACTIVE: no stored generation could be used");
	else
		zt_cli_info(c, "Generation %llu ACTIVE", (unsigned long long)generation);
	return 0;
}
