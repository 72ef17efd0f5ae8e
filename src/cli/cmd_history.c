/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <jansson.h>
#include <string.h>

#include "base/table.h"
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
		return zt_cli_error(c, ZT_EXIT_FAILED, 5015, "\"zt-segment history\" lists them", "there is no generation %s", number);
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
		return zt_cli_json(c, json_pack("{s:b, s:I, s:I}", "ok", r >= 0, "entries", (json_int_t)entries, "findings",
						(json_int_t)errors)) ?: r < 0 ? ZT_EXIT_FAILED : ZT_EXIT_OK;
	if (r < 0)
		return r == -EACCES || r == -EPERM ? ZT_EXIT_PERMISSION : ZT_EXIT_FAILED;
	if (!c->quiet)
		fprintf(c->out, "%sVerified%s: %zu audit entries, chain and digests are intact.\n", zt_colour(c, ZT_GREEN),
			zt_colour(c, ZT_PLAIN), entries);
	return 0;
}

static int table(struct zt_cli *c, const struct zt_generation *g, size_t n)
{
	static const struct zt_table_column cols[] = {
		{.title = "Gen", .right = true}, {.title = "When", .min = 20}, {.title = "Who", .flexible = true, .min = 4},
		{.title = "From", .flexible = true, .min = 5}, {.title = "State", .min = 9},
		{.title = "Change", .flexible = true, .min = 8},
	};
	ZT_CLEANUP(zt_table_freep) struct zt_table *t = zt_table_new(cols, ZT_ARRAY_SIZE(cols));

	for (size_t i = 0; t && i < n; i++) {
		char number[24], when[32];
		const char *state = g[i].corrupt ? "CORRUPT" : g[i].state ? g[i].state : "";
		const char *cells[] = {number, when, g[i].who ? g[i].who : "", g[i].from ? g[i].from : "", state,
				       g[i].summary ? g[i].summary : ""};

		snprintf(number, sizeof(number), "%s%llu", g[i].current ? "*" : "", (unsigned long long)g[i].number);
		zt_time_format(g[i].when, when);
		(void)zt_table_row(t, cells); /* out of memory shows at print */
	}
	if (!t || zt_table_print(t, c->out, "HISTORY", NULL, 0, c->width, c->colour) < 0)
		return zt_cli_fail(c, -ENOMEM);
	fprintf(c->out, "* current   \"zt-segment history --show N\" prints one, \"zt-segment rollback N\" goes back\n");
	return 0;
}

static int list_json(struct zt_cli *c, const struct zt_generation *g, size_t n)
{
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++) {
		char when[32];

		zt_time_format(g[i].when, when);
		(void)json_array_append_new(a, json_pack("{s:I, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b}", "generation",
							 (json_int_t)g[i].number, "when", when, "who", zt_json_text(g[i].who), "from", zt_json_text(g[i].from),
							 "hash", zt_json_text(g[i].hash), "engine", zt_json_text(g[i].engine), "summary", zt_json_text(g[i].summary), "state",
							 zt_json_text(g[i].state), "current", (int)g[i].current, "corrupt", (int)g[i].corrupt));
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
		code = table(c, g, n);
	else
		code = (fprintf(c->out, "No generations yet: nothing was ever applied here (%s).\n", c->state_dir), 0);
	zt_history_free(g, n);
	return code;
}
