/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "cli/cli.h"

struct parser {
	int argc, i;
	char *const *argv;
	struct zt_args *a;
	struct zt_strbuf *err;
	bool verb_seen;
};

static const char *nearest_option(const char *name)
{
	const char *names[ZT_OPT_COUNT];

	for (size_t i = 0; i < ZT_OPT_COUNT; i++)
		names[i] = zt_options[i].name;
	return zt_str_nearest(name, names, ZT_OPT_COUNT);
}

static int bad(struct parser *p, const char *fmt, const char *what)
{
	ZT_STRBUF struct zt_strbuf esc = {0};

	zt_strbuf_escaped(&esc, what, strlen(what));
	zt_strbuf_printf(p->err, "%s \"%s\"", fmt, zt_strbuf_cstr(&esc));
	return -EINVAL;
}

static int bad_option(struct parser *p, const char *what, enum zt_opt o)
{
	zt_strbuf_printf(p->err, "%s --%s", what, zt_options[o].name);
	return -EINVAL;
}

static int set(struct parser *p, enum zt_opt o, const char *value)
{
	if (p->a->value[o] && zt_options[o].arg)
		return bad_option(p, "given twice:", o);
	p->a->value[o] = value;
	return 0;
}

static int with_argument(struct parser *p, enum zt_opt o, const char *inlined)
{
	if (!zt_options[o].arg) {
		if (inlined)
			return bad_option(p, "takes no argument:", o);
		return set(p, o, "");
	}
	if (inlined)
		return set(p, o, inlined);
	if (p->i + 1 >= p->argc)
		return bad_option(p, "an argument is missing after", o);
	return set(p, o, p->argv[++p->i]);
}

static int parse_long(struct parser *p, const char *s)
{
	const char *eq = strchr(s, '=');
	size_t len = eq ? (size_t)(eq - s) : strlen(s);
	const char *near;
	char name[64] = "--";

	for (size_t o = 0; o < ZT_OPT_COUNT; o++)
		if (strlen(zt_options[o].name) == len && !strncmp(zt_options[o].name, s, len))
			return with_argument(p, (enum zt_opt)o, eq ? eq + 1 : NULL);
	memcpy(name + 2, s, ZT_MIN(len, sizeof(name) - 3));
	near = nearest_option(name + 2);
	(void)bad(p, "unknown option", name); /* the result is ours below */
	if (near)
		zt_strbuf_printf(p->err, "; did you mean \"--%s\"?", near);
	return -EINVAL;
}

static int parse_short(struct parser *p, const char *s)
{
	for (; *s; s++) {
		size_t o = 0;

		while (o < ZT_OPT_COUNT && zt_options[o].letter != *s)
			o++;
		if (o == ZT_OPT_COUNT)
			return bad(p, "unknown option", (char[]){'-', *s, 0});
		if (zt_options[o].arg)
			return with_argument(p, (enum zt_opt)o, s[1] ? s + 1 + (s[1] == '=') : NULL);
		if (with_argument(p, (enum zt_opt)o, NULL) < 0)
			return -EINVAL;
	}
	return 0;
}

static int unknown_verb(struct parser *p, const char *s)
{
	const char *names[64], *near;
	size_t n = ZT_MIN(zt_n_verbs, ZT_ARRAY_SIZE(names));

	for (size_t i = 0; i < n; i++)
		names[i] = zt_verbs[i].name;
	near = zt_str_nearest(s, names, n);
	(void)bad(p, "unknown command", s); /* the result is ours below */
	if (near)
		zt_strbuf_printf(p->err, "; did you mean \"%s\"?", near);
	return -EINVAL;
}

static int positional(struct parser *p, const char *s)
{
	struct zt_args *a = p->a;

	if (!p->verb_seen) {
		p->verb_seen = true;
		a->verb = zt_verb_by_name(s);
		return a->verb ? 0 : unknown_verb(p, s);
	}
	if (a->n_pos == ZT_ARRAY_SIZE(a->pos) || a->n_pos >= a->verb->max_args)
		return bad(p, "one argument too many:", s);
	a->pos[a->n_pos++] = s;
	return 0;
}

/* The forms of the reference: --status, --flush, --config FILE alone. */
static int reference_forms(struct parser *p)
{
	struct zt_args *a = p->a;
	bool status = a->value[ZT_OPT_STATUS], flush = a->value[ZT_OPT_FLUSH];

	if ((status || flush) && (p->verb_seen || (status && flush)))
		return bad(p, "more than one command:", flush ? "--flush" : "--status");
	if (p->verb_seen)
		return 0;
	if (status || flush)
		a->verb = zt_verb_by_name(status ? "status" : "flush");
	else if (a->value[ZT_OPT_CONFIG])
		a->verb = zt_verb_by_name("apply");
	return 0;
}

static int check_verb(struct parser *p)
{
	struct zt_args *a = p->a;

	if (!a->verb || a->value[ZT_OPT_HELP])
		return 0;
	for (size_t o = 0; o < ZT_OPT_COUNT; o++) {
		bool form = o == ZT_OPT_STATUS || o == ZT_OPT_FLUSH || (o == ZT_OPT_CONFIG && !p->verb_seen);

		if (a->value[o] && !form && !zt_verb_takes(a->verb, (enum zt_opt)o)) {
			zt_strbuf_printf(p->err, "\"%s\" has no option \"--%s\"", a->verb->name, zt_options[o].name);
			return -EINVAL;
		}
	}
	if (a->value[ZT_OPT_CONFIG] && a->n_pos)
		return bad(p, "two policy files: --config and", a->pos[0]);
	if (a->value[ZT_OPT_OUTPUT] && !strcmp(a->value[ZT_OPT_OUTPUT], "json") && !(a->verb->flags & ZT_VERB_JSON)) {
		zt_strbuf_printf(p->err, "\"%s\" has no JSON output", a->verb->name);
		return -EINVAL;
	}
	return 0;
}

int zt_args_parse(int argc, char *const *argv, struct zt_args *ret, struct zt_strbuf *err)
{
	struct zt_args a = {0};
	struct parser p = {.argc = argc, .i = 1, .argv = argv, .a = &a, .err = err};
	bool only_positional = false;
	int r = 0;

	for (; p.i < argc && r >= 0; p.i++) {
		const char *s = argv[p.i];

		if (only_positional || s[0] != '-' || !s[1])
			r = positional(&p, s);
		else if (!strcmp(s, "--"))
			only_positional = true;
		else
			r = s[1] == '-' ? parse_long(&p, s + 2) : parse_short(&p, s + 1);
	}
	if (r >= 0)
		r = reference_forms(&p);
	if (r >= 0)
		r = check_verb(&p);
	if (r >= 0 && a.value[ZT_OPT_OUTPUT] && strcmp(a.value[ZT_OPT_OUTPUT], "json") &&
	    strcmp(a.value[ZT_OPT_OUTPUT], "table"))
		r = bad(&p, "-o is \"table\" or \"json\", not", a.value[ZT_OPT_OUTPUT]);
	ret->verb = a.verb; /* also on failure, so that the caller can point to the verb's help */
	if (r < 0)
		return -EINVAL;
	*ret = a;
	return 0;
}
