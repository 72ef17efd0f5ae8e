/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "cli/cli.h"

/* The option on the left, its text wrapped on the right of it. */
static void option_line(FILE *f, enum zt_opt o, const char *doc)
{
	const struct zt_option *d = &zt_options[o];
	char left[64], letter[8] = "    ", *text = NULL;
	size_t len = 0;
	FILE *m;
	int n;

	if (d->letter)
		snprintf(letter, sizeof(letter), "-%c, ", d->letter);
	n = snprintf(left, sizeof(left), "  %s--%s%s%s", letter, d->name, d->arg ? " " : "", d->arg ? d->arg : "");
	if (n > 25) {
		fprintf(f, "%s\n", left);
		zt_cli_wrap(f, doc, 26, 79);
		return;
	}
	m = open_memstream(&text, &len);
	if (!m)
		return;
	zt_cli_wrap(m, doc, 26, 79);
	if (fclose(m) == 0 && len > (size_t)n)
		memcpy(text, left, (size_t)n);
	fputs(text ? text : "", f);
	free(text);
}

static void globals(FILE *f)
{
	fprintf(f, "\nOptions of every command:\n");
	for (size_t o = 0; o < ZT_OPT_COUNT; o++)
		if (zt_options[o].global)
			option_line(f, (enum zt_opt)o, zt_options[o].doc);
}

void zt_help_short(FILE *f)
{
	const char *group = "";

	fprintf(f, "Every process behind its own wall: nothing talks unless the policy says so.\n\n"
		   "Usage: zt-segment COMMAND [OPTIONS] [FILE]\n"
		   "       zt-segment --config FILE | --status | --flush\n");
	for (size_t i = 0; i < zt_n_verbs; i++) {
		const struct zt_verb *v = &zt_verbs[i];

		if (v->flags & ZT_VERB_HIDDEN)
			continue;
		if (strcmp(group, v->group))
			fprintf(f, "\n%s:\n", v->group);
		group = v->group;
		fprintf(f, "  %-11s %s\n", v->name, v->summary);
	}
	globals(f);
	fprintf(f,
		"\nWhere no FILE is named it is %s; \"-\" is standard input.\n"
		"\"zt-segment COMMAND -h\" tells more, zt-segment(8) and zt-segment.yaml(5) all.\n",
		ZT_DEFAULT_POLICY);
}

static void exits(FILE *f, const struct zt_verb *v)
{
	const char *text;
	int code;

	fprintf(f, "\nExit codes:\n");
	for (size_t i = 0; zt_verb_exit(v, i, &code, &text); i++)
		fprintf(f, "  %-4d %s\n", code, text);
}

void zt_help_verb(FILE *f, const struct zt_verb *v)
{
	fprintf(f, "zt-segment %s: %s\n\nUsage: zt-segment %s%s%s%s\n\n", v->name, v->summary, v->name,
		v->n_opts ? " [OPTIONS]" : "", *v->args ? " " : "", v->args);
	zt_cli_wrap(f, v->help, 0, 79);
	if (v->example)
		fprintf(f, "\nExample:\n  %s\n", v->example);
	if (v->n_opts)
		fprintf(f, "\nOptions:\n");
	for (unsigned i = 0; i < v->n_opts; i++)
		option_line(f, v->opts[i].opt, zt_verb_opt_doc(v, v->opts[i].opt));
	exits(f, v);
	fprintf(f, "\n\"zt-segment --help\" lists the options of every command (-o json, --netns, ...).\n");
}
