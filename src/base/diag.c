/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/diag.h"

#include <stdarg.h>
#include <string.h>

#include "base/mem.h"
#include "base/strbuf.h"

#define DIAG_MAX 200

void zt_diags_done(struct zt_diags *d)
{
	for (size_t i = 0; i < d->n; i++) {
		free(d->items[i].message);
		free(d->items[i].hint);
		free(d->items[i].source);
	}
	for (size_t i = 0; i < d->n_strings; i++)
		free(d->strings[i]);
	free(d->items);
	free(d->strings);
	*d = (struct zt_diags){0};
}

const char *zt_diags_intern(struct zt_diags *d, const char *s)
{
	for (size_t i = 0; i < d->n_strings; i++)
		if (!strcmp(d->strings[i], s))
			return d->strings[i];
	if (zt_grow(d->strings, d->cap_strings, d->n_strings) < 0 || !(d->strings[d->n_strings] = zt_strdup(s)))
		return "";
	return d->strings[d->n_strings++];
}

static int result(enum zt_severity severity)
{
	return severity == ZT_ERROR ? -EINVAL : 0;
}

static void count(struct zt_diags *d, enum zt_severity severity)
{
	if (severity == ZT_ERROR)
		d->errors++;
	if (severity == ZT_WARNING)
		d->warnings++;
}

int zt_diag(struct zt_diags *d, enum zt_severity severity, unsigned code, const struct zt_span *span, const char *fmt,
	    ...)
{
	struct zt_diag item = {.severity = severity, .code = code};
	ZT_STRBUF struct zt_strbuf b = {0};
	va_list ap;

	if (!d)
		return result(severity);
	count(d, severity);
	if (d->n >= (d->max ? d->max : DIAG_MAX)) {
		d->suppressed++;
		return result(severity);
	}
	va_start(ap, fmt);
	zt_strbuf_vprintf(&b, fmt, ap);
	va_end(ap);
	if (span) {
		item.span = *span;
		item.span.file = span->file ? zt_diags_intern(d, span->file) : NULL;
	}
	item.message = zt_strbuf_steal(&b);
	if (!item.message || zt_grow(d->items, d->cap, d->n) < 0) {
		free(item.message);
		d->suppressed++;
		return result(severity);
	}
	d->items[d->n++] = item;
	return result(severity);
}

static struct zt_diag *last(struct zt_diags *d)
{
	return d && d->n && !d->suppressed ? &d->items[d->n - 1] : NULL;
}

void zt_diag_hint(struct zt_diags *d, const char *fmt, ...)
{
	struct zt_diag *item = last(d);
	ZT_STRBUF struct zt_strbuf b = {0};
	va_list ap;

	if (!item)
		return;
	va_start(ap, fmt);
	zt_strbuf_vprintf(&b, fmt, ap);
	va_end(ap);
	free(item->hint);
	item->hint = zt_strbuf_steal(&b);
}

void zt_diag_source(struct zt_diags *d, const char *line, size_t len)
{
	struct zt_diag *item = last(d);

	if (!item)
		return;
	free(item->source);
	item->source = zt_strndup(line, len);
}

int zt_diag_errno(struct zt_diags *d, unsigned code, int r, const char *fmt, ...)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	va_list ap;

	va_start(ap, fmt);
	zt_strbuf_vprintf(&b, fmt, ap);
	va_end(ap);
	(void)zt_diag(d, ZT_ERROR, code, NULL, "%s: %s", zt_strbuf_cstr(&b),
		      strerror(r < 0 ? -r : r)); /* r is the result */
	return r;
}

/* The line with tabs as single blanks, so that columns stay columns; bytes a terminal would act on are shown as '?'. */
static void print_source(const struct zt_diag *item, FILE *f, const char *on, const char *off)
{
	uint32_t len = item->span.len ? item->span.len : 1;
	size_t width = strlen(item->source);

	fprintf(f, "%5u | ", item->span.line);
	for (const char *p = item->source; *p; p++)
		(void)fputc((unsigned char)*p < 0x20 ? (*p == '\t' ? ' ' : '?') : *p, f);
	fprintf(f, "\n      | %*s%s^", (int)(item->span.col ? item->span.col - 1 : 0), "", on);
	for (uint32_t i = 1; i < len && item->span.col - 1 + i < width; i++)
		(void)fputc('~', f);
	fprintf(f, "%s\n", off);
}

static void print_one(const struct zt_diag *item, FILE *f, bool colour)
{
	static const char *const words[] = {[ZT_ERROR] = "error", [ZT_WARNING] = "warning", [ZT_NOTE] = "note"};
	static const char *const colours[] = {
		[ZT_ERROR] = "\033[1;31m", [ZT_WARNING] = "\033[1;33m", [ZT_NOTE] = "\033[1;36m"};
	const char *on = colour ? colours[item->severity] : "", *off = colour ? "\033[0m" : "";

	if (item->span.line)
		fprintf(f, "%s:%u:%u: ", item->span.file ? item->span.file : "", item->span.line, item->span.col);
	else if (item->span.file)
		fprintf(f, "%s: ", item->span.file);
	fprintf(f, "%s%s:%s %s", on, words[item->severity], off, item->message);
	if (item->code)
		fprintf(f, " [ZT%u]", item->code);
	(void)fputc('\n', f);
	if (item->source && item->span.line)
		print_source(item, f, on, off);
	if (item->hint)
		fprintf(f, "hint: %s\n", item->hint);
}

void zt_diags_print(const struct zt_diags *d, FILE *f, bool colour)
{
	for (size_t i = 0; i < d->n; i++)
		print_one(&d->items[i], f, colour);
	if (d->suppressed)
		fprintf(f, "... and %zu more\n", d->suppressed);
}
