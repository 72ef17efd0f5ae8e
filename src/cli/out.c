/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "cli/cli.h"

const char *zt_colour(const struct zt_cli *c, enum zt_colour k)
{
	static const char *const seq[] = {
		[ZT_PLAIN] = "\033[0m",	 [ZT_BOLD] = "\033[1m",	   [ZT_RED] = "\033[31m",
		[ZT_GREEN] = "\033[32m", [ZT_YELLOW] = "\033[33m", [ZT_DIM] = "\033[2m",
	};

	return c->colour ? seq[k] : "";
}

int zt_cli_json(struct zt_cli *c, json_t *root)
{
	int r = root ? json_dumpf(root, c->out, JSON_INDENT(2)) : -1;

	json_decref(root);
	if (r < 0)
		return zt_cli_error(c, ZT_EXIT_FAILED, 5000, NULL, "cannot write the JSON result");
	fputc('\n', c->out);
	zt_cli_flush_diags(c);
	return 0;
}

json_t *zt_json_text(const char *s)
{
	ZT_STRBUF struct zt_strbuf b = {0};

	if (!s)
		return json_null();
	if (zt_utf8_valid(s, strlen(s)))
		return json_string(s);
	zt_strbuf_escaped(&b, s, strlen(s));
	return json_string(zt_strbuf_cstr(&b));
}

static const char *wrap_line(FILE *f, const char *p, const char *end, unsigned indent, unsigned width)
{
	size_t room = width > indent + 20 ? width - indent : 20, len = (size_t)(end - p), cut = len;

	if (len > room) {
		cut = room;
		while (cut > 0 && p[cut] != ' ')
			cut--;
		if (cut == 0)
			cut = (size_t)(strchrnul(p, ' ') - p);
	}
	cut = ZT_MIN(cut, len);
	fprintf(f, "%*s%.*s\n", (int)indent, "", (int)cut, p);
	p += cut;
	while (p < end && *p == ' ')
		p++;
	return p;
}

static const char *wrap_first(FILE *f, const char *p, unsigned width)
{
	size_t n = strcspn(p, "\n"), cut = n;

	while (cut > width - 4 && cut > 0)
		for (cut--; cut > 0 && p[cut] != ' ';)
			cut--;
	cut = cut ? cut : n;
	fprintf(f, "  - %.*s\n", (int)cut, p);
	return p + cut + strspn(p + cut, " ");
}

void zt_cli_bullet(FILE *f, const char *text, unsigned width)
{
	zt_cli_wrap(f, wrap_first(f, text, ZT_MAX(width, 40u)), 4, width);
}

void zt_cli_wrap(FILE *f, const char *text, unsigned indent, unsigned width)
{
	while (*text) {
		const char *end = strchrnul(text, '\n');

		if (end == text)
			fputc('\n', f);
		while (text < end)
			text = wrap_line(f, text, end, indent, width);
		text = *end ? end + 1 : end;
	}
}

void zt_cli_puts_escaped(FILE *f, const char *s)
{
	ZT_STRBUF struct zt_strbuf b = {0};

	zt_strbuf_escaped(&b, s, strlen(s));
	for (const char *p = zt_strbuf_cstr(&b); *p; p++) {
		p += p[0] == '\\' && p[1] == '"'; /* a quote alone harms no terminal */
		fputc(*p, f);
	}
}

void zt_age_format(zt_usec age, char buf[static 16])
{
	unsigned long long s = age / ZT_USEC_PER_SEC;

	if (s < 120)
		snprintf(buf, 16, "%llus", s);
	else if (s < 7200)
		snprintf(buf, 16, "%llum", s / 60);
	else if (s < 172800)
		snprintf(buf, 16, "%lluh", s / 3600);
	else
		snprintf(buf, 16, "%llud", ZT_MIN(s / 86400, 99999999ull));
}

void zt_amount_text(double v, char buf[static 16])
{
	static const char units[] = " KMGTPE";
	size_t i = 0;

	for (; v >= 1000 && units[i + 1]; i++)
		v /= 1000;
	if (i)
		(void)snprintf(buf, 16, "%.1f%c", v, units[i]);
	else
		(void)snprintf(buf, 16, "%.0f", v);
}
