/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/table.h"

#include <limits.h>
#include <string.h>

#include "base/mem.h"
#include "base/strbuf.h"

#define COLUMNS_MAX 16

struct zt_table {
	struct zt_table_column cols[COLUMNS_MAX];
	size_t n_cols;
	char **cells; /* row by row */
	size_t n_cells, cap_cells;
	bool lacks; /* a row for which there was no memory */
};

struct zt_table *zt_table_new(const struct zt_table_column *cols, size_t n)
{
	struct zt_table *t = n && n <= COLUMNS_MAX ? zt_new(struct zt_table, 1) : NULL;

	if (!t)
		return NULL;
	memcpy(t->cols, cols, n * sizeof(*cols));
	t->n_cols = n;
	return t;
}

void zt_table_free(struct zt_table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n_cells; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t);
}

void zt_table_freep(struct zt_table **t)
{
	zt_table_free(*t);
	*t = NULL;
}

int zt_table_row(struct zt_table *t, const char *const *cells)
{
	for (size_t i = 0; i < t->n_cols; i++) {
		ZT_STRBUF struct zt_strbuf b = {0};
		const char *s = cells[i] ? cells[i] : "";
		int r = zt_grow(t->cells, t->cap_cells, t->n_cells);

		zt_strbuf_escaped(&b, s, strlen(s));
		if (r < 0 || !(t->cells[t->n_cells] = zt_strbuf_steal(&b))) {
			/* A row is whole or not there. */
			while (i--)
				free(t->cells[--t->n_cells]);
			t->lacks = true;
			return -ENOMEM;
		}
		t->n_cells++;
	}
	return 0;
}

/* Characters, not bytes: continuation bytes of UTF-8 take no column. */
static unsigned columns_of(const char *s)
{
	unsigned n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static size_t bytes_of(const char *s, unsigned columns)
{
	size_t i = 0;

	for (; s[i]; i++)
		if (((unsigned char)s[i] & 0xc0) != 0x80 && !columns--)
			break;
	return i;
}

/* "| a | b |": each column takes its width and three more, and one bar ends the line. */
static unsigned total(const struct zt_table *t, const unsigned *w)
{
	unsigned sum = 1;

	for (size_t i = 0; i < t->n_cols; i++)
		sum += w[i] + 3;
	return sum;
}

/* The widest column that may still give; n_cols: none. */
static size_t widest_of(const struct zt_table *t, const unsigned *w, bool vital)
{
	size_t widest = t->n_cols;

	for (size_t i = 0; i < t->n_cols; i++) {
		const struct zt_table_column *c = &t->cols[i];

		if (c->flexible && c->vital == vital && w[i] > ZT_MAX(ZT_MAX(c->min, columns_of(c->title)), 4u) &&
		    (widest == t->n_cols || w[i] > w[widest]))
			widest = i;
	}
	return widest;
}

static void measure(const struct zt_table *t, unsigned limit, unsigned *w)
{
	size_t widest;

	for (size_t i = 0; i < t->n_cols; i++)
		w[i] = ZT_MAX(t->cols[i].min, columns_of(t->cols[i].title));
	for (size_t i = 0; i < t->n_cells; i++)
		w[i % t->n_cols] = ZT_MAX(w[i % t->n_cols], columns_of(t->cells[i]));
	for (int vital = 0; vital < 2; vital++)
		while (total(t, w) > limit && (widest = widest_of(t, w, vital)) < t->n_cols)
			w[widest]--;
}

static void put_rule(FILE *f, unsigned width)
{
	(void)fputc('+', f);
	for (unsigned i = 2; i < width; i++)
		(void)fputc('-', f);
	fputs("+\n", f);
}

static void put_padded(FILE *f, const char *s, unsigned width, bool right, bool path)
{
	unsigned n = columns_of(s);

	if (n > width && path) {
		fprintf(f, "..%s", s + bytes_of(s, n - (width - 2)));
		return;
	}
	if (n > width) {
		fprintf(f, "%.*s..", (int)bytes_of(s, width - 2), s);
		return;
	}
	fprintf(f, "%*s%s%*s", right ? (int)(width - n) : 0, "", s, right ? 0 : (int)(width - n), "");
}

static const char *colour_of(const char *cell)
{
	if (!strncmp(cell, "DROP", 4) || !strncmp(cell, "REJECT", 6) || !strncmp(cell, "deny", 4))
		return "\033[31m";
	return NULL;
}

static void put_row(const struct zt_table *t, FILE *f, const char *const *cells, const unsigned *w, bool colour)
{
	for (size_t i = 0; i < t->n_cols; i++) {
		const char *on = colour ? colour_of(cells[i]) : NULL;

		fprintf(f, "| %s", on ? on : "");
		put_padded(f, cells[i], w[i], t->cols[i].right, t->cols[i].path);
		fprintf(f, "%s ", on ? "\033[0m" : "");
	}
	fputs("|\n", f);
}

static void put_head(FILE *f, const char *title, const char *const *lines, size_t n, unsigned width, bool colour)
{
	unsigned inner = width - 4;

	if (title) {
		unsigned len = ZT_MIN(columns_of(title), inner), left = (inner - len) / 2;

		fprintf(f, "| %*s%s%.*s%s%*s |\n", (int)left, "", colour ? "\033[1m" : "", (int)bytes_of(title, len),
			title, colour ? "\033[0m" : "", (int)(inner - len - left), "");
		put_rule(f, width);
	}
	for (size_t i = 0; i < n; i++) {
		ZT_STRBUF struct zt_strbuf b = {0};

		zt_strbuf_escaped(&b, lines[i], strlen(lines[i]));
		fputs("| ", f);
		put_padded(f, zt_strbuf_cstr(&b), inner, false, false);
		fputs(" |\n", f);
	}
	if (n)
		put_rule(f, width);
}

int zt_table_print(const struct zt_table *t, FILE *f, const char *title, const char *const *head_lines, size_t n_head,
		   unsigned width, bool colour)
{
	unsigned w[COLUMNS_MAX], limit = width ? width : UINT_MAX, used;
	const char *titles[COLUMNS_MAX];
	size_t widest = 0;

	measure(t, limit, w);
	used = total(t, w);
	/* A box with a title is as wide as its longest line wants; the widest column takes the room. */
	for (size_t i = 0; i < n_head; i++)
		used = ZT_MAX(used, ZT_MIN(limit, columns_of(head_lines[i]) + 4));
	if (title)
		used = ZT_MAX(used, ZT_MIN(limit, 68u));
	for (size_t i = 0; i < t->n_cols; i++) {
		titles[i] = t->cols[i].title;
		if (t->cols[i].flexible && (!t->cols[widest].flexible || w[i] > w[widest]))
			widest = i;
	}
	w[widest] += used - ZT_MIN(used, total(t, w));
	put_rule(f, used);
	put_head(f, title, head_lines, n_head, used, colour);
	put_row(t, f, titles, w, false);
	for (size_t i = 0; i < t->n_cols; i++) {
		(void)fputc('|', f);
		for (unsigned k = 0; k < w[i] + 2; k++)
			(void)fputc('-', f);
	}
	fputs("|\n", f);
	for (size_t i = 0; i + t->n_cols <= t->n_cells; i += t->n_cols)
		put_row(t, f, (const char *const *)&t->cells[i], w, colour);
	put_rule(f, used);
	return t->lacks ? -ENOMEM : ferror(f) ? -EIO : 0;
}
