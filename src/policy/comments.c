/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/comments.h"

#include <string.h>

#include "base/mem.h"

struct unit {
	const struct zt_node *node, *outer; /* outer: the key of the flow list an item stands in */
	size_t start, flow_end, parent;	    /* parent: place + 1 */
	uint32_t line, last_line, col;	    /* col: UINT32_MAX when it does not begin its line */
};
struct scan {
	const struct zt_doc *doc;
	struct unit *units;
	size_t n_units, cap_units;
	struct stretch {
		size_t start, end;
	} * scalars; /* no comment begins in these */
	size_t n_scalars, cap_scalars;
	struct zt_comments *out;
};

void zt_comments_done(struct zt_comments *c)
{
	free(c->v);
	*c = (struct zt_comments){0};
}

static size_t start_of(const struct zt_doc *doc, const struct zt_node *n)
{
	return zt_doc_offset(doc, n->line, n->col);
}

static size_t end_of(const struct zt_doc *doc, const struct zt_node *n)
{
	return zt_doc_offset(doc, n->end_line, n->end_col);
}

static bool is_flow(const struct zt_doc *doc, const struct zt_node *n)
{
	size_t at = start_of(doc, n);

	return at < doc->len && (doc->text[at] == '[' || doc->text[at] == '{');
}

static bool is_words(const struct zt_node *list)
{
	for (const struct zt_node *i = list->first; i; i = i->next)
		if (i->kind != ZT_NODE_SCALAR)
			return false;
	return true;
}

/* ---- the tree in its order ---- */
static int add_scalar(struct scan *s, const struct zt_node *n)
{
	if (zt_grow(s->scalars, s->cap_scalars, s->n_scalars) < 0)
		return -ENOMEM;
	s->scalars[s->n_scalars].start = start_of(s->doc, n);
	s->scalars[s->n_scalars++].end = end_of(s->doc, n);
	return 0;
}

/* Where a line begins that this unit begins; an item's is its dash. */
static uint32_t indent_of(const struct zt_doc *doc, const struct zt_node *n)
{
	size_t at = doc->lines[n->line], start = start_of(doc, n), dash;

	while (at < start && doc->text[at] == ' ')
		at++;
	dash = at;
	if (at < start && doc->text[at] == '-')
		for (at++; at < start && doc->text[at] == ' '; at++)
			;
	if (at != start)
		return UINT32_MAX;
	return (uint32_t)((n->is_key ? start : dash) - doc->lines[n->line]);
}

static int add_unit(struct scan *s, const struct zt_node *n, const struct zt_node *outer, size_t flow_end,
		    size_t parent)
{
	const struct zt_node *value = n->is_key ? n->value : n;

	if (zt_grow(s->units, s->cap_units, s->n_units) < 0)
		return -ENOMEM;
	s->units[s->n_units++] = (struct unit){.node = n,
					       .outer = outer,
					       .start = start_of(s->doc, n),
					       .flow_end = flow_end,
					       .parent = parent,
					       .col = indent_of(s->doc, n),
					       .line = n->line,
					       .last_line = value->kind == ZT_NODE_SCALAR ? value->end_line
											  : n->end_line};
	return 0;
}

/* key: under which node stands, NULL for items and the root. The tree is at most 32 levels deep. */
static int visit(struct scan *s, const struct zt_node *node, const struct zt_node *key, size_t parent)
{
	bool inner = node->kind == ZT_NODE_LIST && key && is_flow(s->doc, node) && is_words(node);
	int r = 0;

	if (node->kind == ZT_NODE_SCALAR)
		return add_scalar(s, node);
	for (const struct zt_node *i = node->first; i && !r; i = i->next) {
		r = add_unit(s, i, inner ? key : NULL, inner ? end_of(s->doc, node) : 0, parent);
		if (!r && i->is_key)
			r = add_scalar(s, i) ?: visit(s, i->value, i, s->n_units);
		else if (!r)
			r = visit(s, i, NULL, s->n_units);
	}
	return r;
}

/* ---- the text ---- */
static bool blank_line(const struct zt_doc *doc, uint32_t line)
{
	size_t at, end;

	if (line >= doc->n_lines)
		return false;
	at = doc->lines[line];
	end = line + 1 < doc->n_lines ? doc->lines[line + 1] : doc->len;
	while (at < end &&
	       (doc->text[at] == ' ' || doc->text[at] == '\t' || doc->text[at] == '\r' || doc->text[at] == '\n'))
		at++;
	return at == end && end > doc->lines[line];
}

static int add_comment(struct scan *s, size_t start, size_t end, uint32_t line)
{
	struct zt_comments *c = s->out;
	size_t first = s->doc->lines[line];

	while (first < start && (s->doc->text[first] == ' ' || s->doc->text[first] == '\t'))
		first++;
	while (end > start && strchr(" \t\r\n", s->doc->text[end - 1]))
		end--;
	if (zt_grow(c->v, c->cap, c->n) < 0)
		return -ENOMEM;
	c->v[c->n++] = (struct zt_comment){.start = start,
					   .end = end,
					   .line = line,
					   .behind = first < start,
					   .blank_before = line && blank_line(s->doc, line - 1),
					   .blank_after = blank_line(s->doc, line + 1)};
	return 0;
}

static int find_in_text(struct scan *s)
{
	const struct zt_doc *doc = s->doc;
	size_t scalar = 0;
	int r = 0;

	for (uint32_t line = 0; line < doc->n_lines && !r; line++) {
		size_t end = line + 1 < doc->n_lines ? doc->lines[line + 1] : doc->len;

		for (size_t at = doc->lines[line]; at < end && !r; at++) {
			while (scalar < s->n_scalars && s->scalars[scalar].end <= at)
				scalar++;
			if (scalar < s->n_scalars && s->scalars[scalar].start <= at)
				continue;
			if (doc->text[at] != '#' || (at > doc->lines[line] && !strchr(" \t", doc->text[at - 1])))
				continue;
			r = add_comment(s, at, end, line);
			break;
		}
	}
	return r;
}

/* ---- to whom it belongs ---- */
static const struct unit *unit_before(const struct scan *s, size_t next, const struct zt_comment *c)
{
	const struct unit *u = next ? &s->units[next - 1] : NULL;

	return u && (u->line == c->line || u->last_line == c->line) ? u : NULL;
}

/* The unit above that is indented like the comment, or less, but more than what comes next. */
static const struct unit *unit_above(const struct scan *s, size_t next, const struct zt_comment *c)
{
	uint32_t col = (uint32_t)(c->start - s->doc->lines[c->line]),
		 floor = next < s->n_units ? s->units[next].col : 0;
	const struct unit *u = next ? &s->units[next - 1] : NULL;

	while (u && (u->col == UINT32_MAX || u->col > col))
		u = u->parent ? &s->units[u->parent - 1] : NULL;
	return u && u->col > floor ? u : NULL;
}

static void assign(struct scan *s)
{
	size_t next = 0;

	for (size_t i = 0; i < s->out->n; i++) {
		struct zt_comment *c = &s->out->v[i];
		const struct unit *before, *above;

		c->rank = i;
		while (next < s->n_units && s->units[next].start < c->start)
			next++;
		before = c->behind ? unit_before(s, next, c) : NULL;
		c->behind = before != NULL;
		above = before ? NULL : unit_above(s, next, c);
		c->below = above != NULL;
		if (above)
			c->unit = above->node;
		else if (before)
			c->unit = before->outer && c->start >= before->flow_end ? before->outer : before->node;
		else
			c->unit = next < s->n_units ? s->units[next].node : NULL;
	}
}

/* What an empty line parts from the first key is about the file, and stays on top. */
static void assign_head(struct scan *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->out->n && s->n_units && s->out->v[i].start < s->units[0].start; i++)
		if (s->out->v[i].blank_after)
			n = i + 1;
	for (size_t i = 0; i < n; i++)
		s->out->v[i].unit = s->doc->root;
}

static int compare(const void *a, const void *b)
{
	const struct zt_comment *x = a, *y = b;

	if (x->unit != y->unit)
		return (uintptr_t)x->unit < (uintptr_t)y->unit ? -1 : 1;
	return x->rank < y->rank ? -1 : x->rank > y->rank;
}

int zt_comments_find(const struct zt_doc *doc, struct zt_comments *ret)
{
	struct scan s = {.doc = doc, .out = ret};
	int r = doc->root ? visit(&s, doc->root, NULL, 0) : 0;

	r = r ? r : find_in_text(&s);
	if (!r)
		assign(&s);
	if (!r)
		assign_head(&s);
	if (!r && ret->n)
		qsort(ret->v, ret->n, sizeof(*ret->v), compare);
	free(s.units);
	free(s.scalars);
	return r;
}

size_t zt_comments_of(const struct zt_comments *c, const struct zt_node *unit, const struct zt_comment **ret_first)
{
	size_t lo = 0, hi = c->n, n = 0;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if ((uintptr_t)c->v[mid].unit < (uintptr_t)unit)
			lo = mid + 1;
		else
			hi = mid;
	}
	while (lo + n < c->n && c->v[lo + n].unit == unit)
		n++;
	*ret_first = n ? &c->v[lo] : NULL;
	return n;
}

bool zt_comments_in_list(const struct zt_doc *doc, const struct zt_comments *c, const struct zt_node *list)
{
	const struct zt_comment *first;

	(void)doc;
	for (const struct zt_node *i = list->first; i; i = i->next)
		if (zt_comments_of(c, i, &first))
			return true;
	return false;
}
