/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <jansson.h>

#include "cli/cli.h"

int zt_cmd_flush(struct zt_cli *c)
{
	struct zt_apply_ctx ctx = zt_cli_apply_ctx(c);
	int r = zt_flush(&ctx, &c->diags);

	if (r >= 0 && !zt_opt(c, ENGINE)) { /* all of ours, whichever engine put it there */
		ctx.engine = zt_engine_active(c->instance, c->engine);
		r = ctx.engine ? zt_flush(&ctx, &c->diags) : 0;
	}
	if (r < 0)
		return zt_cli_fail(c, r);
	zt_cli_flush_diags(c);
	if (c->json)
		return zt_cli_json(c, json_pack("{s:s, s:s}", "outcome", "flushed", "engine", c->engine->name));
	zt_cli_info(c, "All rules of zt-segment are removed; nothing is blocked any more, SSH keeps working");
	return 0;
}
