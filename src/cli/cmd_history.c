/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <jansson.h>
#include <string.h>

#include "base/time.h"
#include "cli/cli.h"

static int show_policy(struct zt_cli *c, const struct zt_apply_ctx *ctx, const char *number)
{
	ZT_FREE char *source = NULL;
	struct zt_ruleset *rs = NULL;
	uint64_t n;
	size_t len = 0;
	int r;

	if (zt_parse_u64(number, INT64_MAX, &n) < 0 || n == 0)
		return zt_cli_error(c, ZT_EXIT_USAGE, 5015, "\"zt-segment history\" lists them",
				    "\"%s\" is not the number of a generation", number);
	r = zt_generation_load(ctx, n, &rs, &source, &len, &c->diags);
	zt_ruleset_free(rs);
	if (r == -ENOENT && !c->diags.errors)
		return zt_cli_error(c, ZT_EXIT_FAILED, 5015, "\"zt-segment history\" lists them",
				    "there is no generation %s", number);
	if (r < 0)
		return zt_cli_fail(c, r);
	fwrite(source, 1, len, c->out);
	return 0;
}

static int verify(struct zt_cli *c, const struct zt_apply_ctx *ctx)
{
	size_t entries = 0, errors;
	int r = zt_history_verify(ctx, &entries, &c->diags);

	errors = c->diags.errors;
	if (r < 0)
		(void)zt_cli_fail(c, r); /* the code below is what counts */
	if (c->json)
		return zt_cli_json(c, json_pack("{s:b, s:I, s:I}", "ok", r >= 0, "entries", (json_int_t)entries,
						"findings", (json_int_t)errors))
			       ?: r < 0 ? ZT_EXIT_FAILED
					: ZT_EXIT_OK;
	if (r < 0)
		return r == -EACCES || r == -EPERM ? ZT_EXIT_PERMISSION : ZT_EXIT_FAILED;
	if (!c->quiet)
		fprintf(c->out, "%sVerified%s: %zu audit entries, chain and digests are intact.\n",
			zt_colour(c, ZT_GREEN), zt_colour(c, ZT_PLAIN), entries);
	return 0;
}

static enum zt_colour state_colour(const struct zt_generation *g)
{
	if (g->corrupt)
		return ZT_RED;
	return g->current ? ZT_GREEN : ZT_PLAIN;
}

static void list_one(struct zt_cli *c, const struct zt_generation *g)
{
	char when[32];

	zt_time_format(g->when, when);
	fprintf(c->out, "%s%c%4llu  %s  %-11s%s  ", zt_colour(c, state_colour(g)), g->current ? '*' : ' ',
		(unsigned long long)g->number, when,
		g->corrupt ? "CORRUPT"
		: g->state ? g->state
			   : "",
		zt_colour(c, ZT_PLAIN));
	zt_cli_puts_escaped(c->out, g->who ? g->who : "");
	if (g->from && *g->from) {
		fprintf(c->out, " from ");
		zt_cli_puts_escaped(c->out, g->from);
	}
	fprintf(c->out, "\n");
	if (g->summary && *g->summary) {
		ZT_STRBUF struct zt_strbuf b = {0};

		zt_strbuf_escaped(&b, g->summary, strlen(g->summary));
		zt_cli_wrap(c->out, zt_strbuf_cstr(&b), 7, c->width - 1);
	}
}

static int list(struct zt_cli *c, const struct zt_generation *g, size_t n)
{
	fprintf(c->out, "%s  Gen  When (UTC)            State        Who%s\n", zt_colour(c, ZT_BOLD),
		zt_colour(c, ZT_PLAIN));
	for (size_t i = 0; i < n; i++)
		list_one(c, &g[i]);
	fprintf(c->out, "\n* in force. \"history --show N\" prints the policy, \"rollback N\" goes back to it.\n");
	return 0;
}

static int list_json(struct zt_cli *c, const struct zt_generation *g, size_t n)
{
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++) {
		char when[32];

		zt_time_format(g[i].when, when);
		(void)json_array_append_new(a, json_pack("{s:I, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b}",
							 "generation", (json_int_t)g[i].number, "when", when, "who",
							 zt_json_text(g[i].who), "from", zt_json_text(g[i].from),
							 "hash", zt_json_text(g[i].hash), "engine",
							 zt_json_text(g[i].engine), "summary",
							 zt_json_text(g[i].summary), "state", zt_json_text(g[i].state),
							 "current", (int)g[i].current, "corrupt", (int)g[i].corrupt));
	}
	return zt_cli_json(c, json_pack("{s:o}", "generations", a));
}

int zt_cmd_history(struct zt_cli *c)
{
	struct zt_apply_ctx ctx = zt_cli_apply_ctx(c);
	struct zt_generation *g = NULL;
	size_t n = 0;
	int r, code;

	if (zt_opt(c, VERIFY) && zt_opt(c, SHOW))
		return zt_cli_error(c, ZT_EXIT_USAGE, 5001, NULL, "--verify and --show do not go together");
	if (zt_opt(c, VERIFY))
		return verify(c, &ctx);
	if (zt_opt(c, SHOW))
		return show_policy(c, &ctx, zt_opt(c, SHOW));
	r = zt_history(&ctx, &g, &n, &c->diags);
	if (r < 0 && r != -ENOENT)
		return zt_cli_fail(c, r);
	zt_cli_flush_diags(c);
	if (c->json)
		code = list_json(c, g, n);
	else if (n)
		code = list(c, g, n);
	else
		code = (fprintf(c->out, "No generations yet: nothing was ever applied here (%s).\n", c->state_dir), 0);
	zt_history_free(g, n);
	return code;
}
