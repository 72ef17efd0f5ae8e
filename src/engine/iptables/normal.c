/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <netdb.h>
#include <string.h>

#include "engine/iptables/iptables.h"

#define WORDS_MAX 128

int ipt_words(char *args, char **words, size_t max, size_t *ret_n)
{
	size_t n = 0;
	char *p = args;

	for (;;) {
		bool quoted = false;
		char *out;

		p += strspn(p, " \t");
		if (!*p)
			break;
		if (n == max)
			return -E2BIG;
		words[n++] = out = p;
		for (; *p && (quoted || (*p != ' ' && *p != '\t')); p++) {
			if (*p == '"')
				quoted = !quoted;
			else if (*p == '\\' && p[1])
				*out++ = *++p;
			else
				*out++ = *p;
		}
		if (*p)
			p++;
		*out = '\0';
	}
	*ret_n = n;
	return 0;
}

/* iptables prints a rate by its period: so do we, with both sides. */
static void limit_value(const char *s, struct zt_strbuf *out)
{
	static const struct {
		const char *name;
		uint32_t mult;
	} rates[] = {{"day", 864000000}, {"hour", 36000000}, {"min", 600000}, {"sec", 10000}};
	char *unit;
	unsigned long n = strtoul(s, &unit, 10);
	uint32_t period = 0;
	size_t i;

	for (i = 0; *unit == '/' && n && i < ZT_ARRAY_SIZE(rates); i++)
		if (!strncmp(unit + 1, rates[i].name, 1))
			period = (uint32_t)(rates[i].mult / n);
	if (!period) {
		zt_strbuf_str(out, s);
		return;
	}
	for (i = 1; i < ZT_ARRAY_SIZE(rates); i++)
		if (period > rates[i].mult || rates[i].mult / period < rates[i].mult % period)
			break;
	zt_strbuf_printf(out, "%u/%s", rates[i - 1].mult / period, rates[i - 1].name);
}

static void proto_value(const char *s, struct zt_strbuf *out)
{
	const struct protoent *known;
	uint8_t number;

	if (zt_proto_parse(s, &number) == 0) {
		zt_strbuf_printf(out, "%u", number);
		return;
	}
	known = getprotobyname(s);
	if (known)
		zt_strbuf_printf(out, "%d", known->p_proto);
	else
		zt_strbuf_str(out, s);
}

static void addr_value(const char *s, struct zt_strbuf *out)
{
	struct zt_addr_range range;
	char text[128];

	if (zt_addr_range_parse(s, &range, NULL) == 0) {
		zt_addr_range_format(&range, text);
		s = text;
	}
	zt_strbuf_str(out, s);
}

static void value(const char *option, const char *s, struct zt_strbuf *out)
{
	zt_strbuf_char(out, ' ');
	if (!strcmp(option, "-p"))
		proto_value(s, out);
	else if (!strcmp(option, "-s") || !strcmp(option, "-d") || !strcmp(option, "--src-range") ||
		 !strcmp(option, "--dst-range"))
		addr_value(s, out);
	else if (!strcmp(option, "--limit"))
		limit_value(s, out);
	else
		ipt_quote(out, s);
}

/* How many values an option takes; -1: it says nothing and is left out (with the one that follows). */
static int arity(const char *option, const char *next)
{
	static const char *const defaults[][2] = {{"--limit-burst", "5"}, {"--datestop", "2038-01-19T03:14:07"}};

	if (!strcmp(option, "-m"))
		return -1;
	for (size_t i = 0; next && i < ZT_ARRAY_SIZE(defaults); i++)
		if (!strcmp(option, defaults[i][0]) && !strcmp(next, defaults[i][1]))
			return -1;
	if (!strcmp(option, "--tcp-flags"))
		return 2;
	return strcmp(option, "!") != 0 && strcmp(option, "--log-uid") != 0;
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int keep(const char *s, char **ret)
{
	free(*ret);
	*ret = zt_strdup(s);
	return *ret ? 0 : -ENOMEM;
}

static int options(char **words, size_t n, char **out, size_t *ret_n, char **comment, char **target)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	int r = 0;

	for (size_t i = 0; !r && i < n;) {
		const char *option = words[i++], *next = i < n ? words[i] : NULL;
		int values = arity(option, next);

		if (values < 0) {
			i++;
			continue;
		}
		zt_strbuf_str(&b, option);
		if (next && !strcmp(option, "--comment"))
			r = keep(next, comment);
		if (next && (!strcmp(option, "-j") || !strcmp(option, "-g")))
			r = keep(next, target);
		for (; values > 0 && i < n; values--)
			value(option, words[i++], &b);
		if (!strcmp(option, "!")) /* negation belongs to the option after it */
			continue;
		out[*ret_n] = zt_strbuf_steal(&b);
		r = r ? r : out[*ret_n] ? 0 : -ENOMEM;
		(*ret_n)++;
	}
	return r;
}

int ipt_normal(const char *args, char **ret, char **ret_comment, char **ret_target)
{
	ZT_FREE char *copy = zt_strdup(args), *comment = NULL, *target = NULL;
	ZT_STRBUF struct zt_strbuf joined = {0};
	char *words[WORDS_MAX], *out[WORDS_MAX];
	size_t n = 0, n_out = 0;
	int r = copy ? ipt_words(copy, words, WORDS_MAX, &n) : -ENOMEM;

	if (!r)
		r = options(words, n, out, &n_out, &comment, &target);
	qsort(out, n_out, sizeof(*out), compare_strings);
	for (size_t i = 0; i < n_out; i++) {
		zt_strbuf_printf(&joined, "%s ", out[i]);
		free(out[i]);
	}
	if (r < 0)
		return r;
	*ret = zt_strbuf_steal(&joined);
	if (ret_comment)
		*ret_comment = ZT_TAKE(comment);
	if (ret_target)
		*ret_target = ZT_TAKE(target);
	return *ret ? 0 : -ENOMEM;
}
