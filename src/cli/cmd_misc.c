/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs that only print: explain, completion, schema, help, version. */
#include <ctype.h>
#include <jansson.h>
#include <string.h>

#include "cli/cli.h"

static int list_codes(struct zt_cli *c)
{
	for (size_t i = 0; i < zt_code_count(); i++) {
		const char *title;
		unsigned code;

		zt_code_at(i, &code, &title);
		fprintf(c->out, "ZT%u  %s\n", code, title);
	}
	return 0;
}

int zt_cmd_explain(struct zt_cli *c)
{
	const char *s = c->args.n_pos ? c->args.pos[0] : NULL, *title, *text;
	uint64_t code;

	if (!s)
		return list_codes(c);
	if (tolower(s[0]) == 'z' && tolower(s[1]) == 't')
		s += 2;
	if (zt_parse_u64(s, 99999, &code) < 0 || !zt_code_find((unsigned)code, &title, &text))
		return zt_cli_error(c, ZT_EXIT_FAILED, 5019, "\"zt-segment explain\" lists them all",
				    "there is no error code \"%s\"", c->args.pos[0]);
	fprintf(c->out, "%sZT%u: %s%s\n\n", zt_colour(c, ZT_BOLD), (unsigned)code, title, zt_colour(c, ZT_PLAIN));
	zt_cli_wrap(c->out, text, 0, 79);
	return 0;
}

int zt_cmd_completion(struct zt_cli *c)
{
	const char *shell = c->args.n_pos ? c->args.pos[0] : "";

	if (!strcmp(shell, "man")) {
		zt_man_print(c->out);
		return 0;
	}
	if (!strcmp(shell, "man-yaml"))
		return zt_man_yaml_print(c->out) < 0 ? ZT_EXIT_FAILED : 0;
	if (zt_completion_print(c->out, shell) < 0)
		return zt_cli_error(c, ZT_EXIT_USAGE, 5017, NULL, "completion wants bash, zsh or fish%s%s%s",
				    *shell ? ", not \"" : "", shell, *shell ? "\"" : "");
	return 0;
}

int zt_cmd_schema(struct zt_cli *c)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	int r = zt_policy_schema(&b);

	if (r >= 0)
		r = zt_strbuf_error(&b);
	if (r < 0)
		return zt_cli_fail(c, r);
	fprintf(c->out, "%s%s", zt_strbuf_cstr(&b), b.len && b.buf[b.len - 1] == '\n' ? "" : "\n");
	return 0;
}

int zt_cmd_help(struct zt_cli *c)
{
	const struct zt_verb *v = c->args.n_pos ? zt_verb_by_name(c->args.pos[0]) : NULL;

	if (c->args.n_pos && !v)
		return zt_cli_error(c, ZT_EXIT_USAGE, 5001, "\"zt-segment help\" lists the commands",
				    "unknown command \"%s\"", c->args.pos[0]);
	if (v)
		zt_help_verb(c->out, v);
	else
		zt_help_short(c->out);
	return 0;
}

int zt_cmd_version(struct zt_cli *c)
{
	static const char *const names[] = {"nft", "bpf", "iptables", "memory"};
	json_t *engines;

	if (!c->json) {
		fprintf(c->out, "zt-segment %s\n", ZT_VERSION);
		return 0;
	}
	engines = json_array();
	for (size_t i = 0; i < ZT_ARRAY_SIZE(names); i++) {
		const struct zt_engine *e = zt_engine_by_name(names[i]);
		struct zt_caps caps = {0};
		int r = e->probe(c->instance, &caps);

		(void)json_array_append_new(engines, /* a failed one is left out */
					    json_pack("{s:s, s:b, s:s*}", "name", names[i], "usable",
						      r >= 0 && caps.usable, "reason",
						      r < 0 ? strerror(-r) : caps.why_not));
		zt_caps_done(&caps);
	}
	return zt_cli_json(c, json_pack("{s:s, s:o}", "version", ZT_VERSION, "engines", engines));
}
