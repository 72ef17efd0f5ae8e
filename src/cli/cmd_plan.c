/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <jansson.h>

#include "cli/cli.h"

static int report(struct zt_cli *c, const struct zt_plan *plan, const struct zt_ruleset *rs)
{
	bool empty = zt_diff_empty(&plan->diff) && plan->before;

	zt_cli_flush_diags(c);
	if (c->json) {
		json_t *j = zt_diff_json(&plan->diff, plan->before, rs);

		(void)json_object_set_new(j, "active", json_boolean(plan->before)); /* a failed set leaves a key out */
		(void)json_object_set_new(j, "differs", json_boolean(!empty));
		return zt_cli_json(c, j) ?: (empty ? ZT_EXIT_OK : ZT_EXIT_FAILED);
	}
	if (empty) {
		fprintf(c->out, "No changes: the kernel enforces this policy (generation %llu).\n",
			(unsigned long long)plan->before->generation);
		return ZT_EXIT_OK;
	}
	if (plan->before)
		fprintf(c->out, "Changes against generation %llu (%s):\n\n",
			(unsigned long long)plan->before->generation, c->engine->name);
	else
		fprintf(c->out, "Nothing is enforced now. Applying this policy would put in force (%s):\n\n",
			c->engine->name);
	zt_diff_print(c, &plan->diff, plan->before, rs);
	return ZT_EXIT_FAILED;
}

int zt_cmd_plan(struct zt_cli *c)
{
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	struct zt_apply_ctx ctx = zt_cli_apply_ctx(c);
	struct zt_plan plan = {0};
	int r, code = zt_cli_load(c, &p);

	if (!code)
		code = zt_cli_compile(c, p, false, &rs);
	if (code)
		return code;
	r = zt_plan(&ctx, rs, &plan, &c->diags);
	code = r < 0 ? zt_cli_fail(c, r) : report(c, &plan, rs);
	zt_plan_done(&plan);
	return code;
}
