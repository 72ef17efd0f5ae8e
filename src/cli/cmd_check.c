/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <jansson.h>
#include <string.h>

#include "cli/cli.h"

struct checked {
	size_t rules, tests, warnings;
	bool loaded;
	const char *why_not;
};

static int lower_and_load(struct zt_cli *c, const struct zt_ruleset *rs, struct checked *k)
{
	struct zt_image *img = NULL;
	int r = c->engine->lower(rs, &img, &c->diags);

	if (r >= 0 && (geteuid() == 0 || !strcmp(c->engine->name, "memory"))) {
		r = c->engine->check(img, &c->diags);
		k->loaded = r >= 0;
	} else if (r >= 0) {
		k->why_not = "that needs root";
	}
	if (img)
		c->engine->image_free(img);
	return r < 0 ? zt_cli_fail_policy(c, r) : 0;
}

static json_t *diags_json(const struct zt_diags *d)
{
	static const char *const severity[] = {[ZT_ERROR] = "error", [ZT_WARNING] = "warning", [ZT_NOTE] = "note"};
	json_t *a = json_array();

	for (size_t i = 0; i < d->n; i++) {
		const struct zt_diag *g = &d->items[i];
		char code[16];

		snprintf(code, sizeof(code), "ZT%u", g->code);
		(void)json_array_append_new(a, json_pack("{s:s, s:s*, s:o, s:i, s:i, s:o, s:o}", "severity",
							 severity[g->severity], "code", g->code ? code : NULL, "file",
							 zt_json_text(g->span.line ? g->span.file : NULL), "line",
							 (int)g->span.line, "column", (int)g->span.col, "message",
							 zt_json_text(g->message), "hint", zt_json_text(g->hint)));
	}
	return a;
}

/* JSON carries the findings themselves; they are not printed as text too. */
static int report_json(struct zt_cli *c, const struct checked *k, int code)
{
	json_t *j = json_pack("{s:b, s:o, s:I, s:I, s:b, s:o}", "ok", code == 0, "file",
			      zt_json_text(zt_cli_policy_path(c)), "rules", (json_int_t)k->rules, "tests",
			      (json_int_t)k->tests, "loaded", (int)k->loaded, "findings", diags_json(&c->diags));

	zt_diags_done(&c->diags);
	c->diags = (struct zt_diags){0};
	c->keep_diags = false;
	return zt_cli_json(c, j) ?: code;
}

static int report(struct zt_cli *c, const struct checked *k)
{
	const char *path = zt_cli_policy_path(c);

	zt_cli_flush_diags(c);
	if (c->quiet)
		return 0;
	fprintf(c->out, "%s%s: OK%s, %zu rule%s, %zu test%s", zt_colour(c, ZT_GREEN),
		strcmp(path, "-") ? path : "standard input", zt_colour(c, ZT_PLAIN), k->rules, k->rules == 1 ? "" : "s",
		k->tests, k->tests == 1 ? "" : "s");
	if (k->warnings)
		fprintf(c->out, ", %zu warning%s", k->warnings, k->warnings == 1 ? "" : "s");
	fprintf(c->out, "\n");
	if (k->loaded)
		fprintf(c->out, "Loaded by %s in a scratch network namespace; nothing on this host changed.\n",
			c->engine->name);
	else
		fprintf(c->out, "Not loaded in a scratch network namespace: %s.\n", k->why_not);
	return 0;
}

static int check(struct zt_cli *c, struct checked *k)
{
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	int r, code = zt_cli_load(c, &p);

	if (!code)
		code = zt_cli_compile(c, p, false, &rs);
	if (code)
		return code;
	k->rules = p->n_rules;
	k->tests = p->n_tests;
	r = zt_ruleset_lint(rs, zt_opt(c, ROOT), &c->diags);
	if (r < 0 && r != -EINVAL)
		return zt_cli_fail(c, r);
	code = lower_and_load(c, rs, k);
	k->warnings = c->diags.warnings;
	return code ?: c->json ? 0 : report(c, k);
}

int zt_cmd_check(struct zt_cli *c)
{
	struct checked k = {0};
	int code;

	c->keep_diags = c->json;
	(void)zt_cli_engine_or_nft(c); /* cannot fail: names were checked */
	code = check(c, &k);
	return c->json ? report_json(c, &k, code) : code;
}
