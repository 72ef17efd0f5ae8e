/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/tree.h"

#include <stdarg.h>
#include <string.h>
#include <yaml.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "policy/strmap.h"

/* ---- memory: everything of a tree goes at once ---- */
struct zt_arena_chunk {
	struct zt_arena_chunk *next;
	size_t used, size;
	max_align_t data[];
};

static void *arena_alloc(struct zt_doc *doc, size_t size)
{
	struct zt_arena_chunk *c = doc->arena;
	void *p;

	size = (size + 7) & ~(size_t)7;
	if (!c || c->size - c->used < size) {
		size_t room = ZT_MAX(size, (size_t)65536);

		c = zt_malloc(sizeof(*c) + room);
		if (!c)
			return NULL;
		*c = (struct zt_arena_chunk){.next = doc->arena, .size = room};
		doc->arena = c;
	}
	p = (char *)c->data + c->used;
	c->used += size;
	return p;
}

void zt_doc_done(struct zt_doc *doc)
{
	for (struct zt_arena_chunk *c = doc->arena, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	free(doc->lines);
	*doc = (struct zt_doc){0};
}

/* ---- places ---- */

/* Length of the line break at s as libyaml sees it: CR LF, LF, CR, NEL, LS, PS. */
static size_t break_len(const char *s, const char *end)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t left = (size_t)(end - s);

	if (*p == '\n')
		return 1;
	if (*p == '\r')
		return left > 1 && p[1] == '\n' ? 2 : 1;
	if (left > 1 && p[0] == 0xc2 && p[1] == 0x85)
		return 2;
	return left > 2 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9) ? 3 : 0;
}

static int find_lines(struct zt_doc *doc)
{
	const char *end = doc->text + doc->len;
	size_t cap = 0;

	doc->ascii = true;
	if (zt_grow(doc->lines, cap, doc->n_lines) < 0)
		return -ENOMEM;
	doc->lines[doc->n_lines++] = 0;
	for (const char *p = doc->text; p < end; p++) {
		size_t n = (signed char)*p < 0x0e ? break_len(p, end) : 0;

		doc->ascii = doc->ascii && !(*p & 0x80);
		if (!n)
			continue;
		p += n - 1;
		if (zt_grow(doc->lines, cap, doc->n_lines) < 0)
			return -ENOMEM;
		doc->lines[doc->n_lines++] = (uint32_t)(p + 1 - doc->text);
	}
	return 0;
}

static size_t line_end(const struct zt_doc *doc, uint32_t line)
{
	size_t end = line + 1 < doc->n_lines ? doc->lines[line + 1] : doc->len;

	while (end > doc->lines[line] && break_len(doc->text + end - 1, doc->text + doc->len))
		end--;
	return end;
}

size_t zt_doc_offset(const struct zt_doc *doc, uint32_t line, uint32_t col)
{
	size_t at;

	if (line >= doc->n_lines)
		return doc->len;
	at = doc->lines[line];
	if (doc->ascii)
		return ZT_MIN(at + col, doc->len);
	for (; col && at < doc->len; col--)
		for (at++; at < doc->len && (doc->text[at] & 0xc0) == 0x80; at++)
			;
	return at;
}

struct zt_span zt_doc_span(const struct zt_doc *doc, const struct zt_node *node)
{
	size_t start, end;
	uint32_t line;

	if (!node)
		return (struct zt_span){.file = doc->name, .line = 1, .col = 1};
	line = ZT_MIN(node->line, doc->n_lines - 1);
	start = zt_doc_offset(doc, node->line, node->col);
	end = node->end_line == node->line ? zt_doc_offset(doc, node->end_line, node->end_col) : line_end(doc, line);
	return (struct zt_span){.file = doc->name,
				.line = line + 1,
				.col = (uint32_t)(start - doc->lines[line]) + 1,
				.len = end > start ? (uint32_t)(end - start) : 0};
}

static int diag_at(const struct zt_doc *doc, struct zt_diags *d, enum zt_severity severity, unsigned code,
		   const struct zt_span *span, const char *message)
{
	int r = zt_diag(d, severity, code, span, "%s", message);
	uint32_t line = span->line - 1;

	if (span->line && line < doc->n_lines)
		zt_diag_source(d, doc->text + doc->lines[line], line_end(doc, line) - doc->lines[line]);
	return r;
}

int zt_doc_diag(const struct zt_doc *doc, struct zt_diags *d, enum zt_severity severity, unsigned code,
		const struct zt_node *node, const char *fmt, ...)
{
	struct zt_span span = zt_doc_span(doc, node);
	ZT_STRBUF struct zt_strbuf b = {0};
	va_list ap;

	va_start(ap, fmt);
	zt_strbuf_vprintf(&b, fmt, ap);
	va_end(ap);
	return diag_at(doc, d, severity, code, &span, zt_strbuf_cstr(&b));
}

static struct zt_span span_of_byte(const struct zt_doc *doc, size_t at)
{
	uint32_t lo = 0, hi = doc->n_lines;

	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (doc->lines[mid] <= at)
			lo = mid;
		else
			hi = mid;
	}
	return (struct zt_span){
		.file = doc->name, .line = lo + 1, .col = (uint32_t)(at - doc->lines[lo]) + 1, .len = 1};
}

/* ---- from events to nodes ---- */
struct level {
	struct zt_node *node, *last, *key; /* key: waits for its value */
	struct zt_strmap keys;		   /* used beyond a few */
};
struct build {
	struct zt_doc *doc;
	struct zt_diags *d;
	yaml_parser_t parser;
	struct level levels[ZT_DEPTH_MAX];
	unsigned depth;
	bool bad;
};

static struct zt_node *node_new(struct build *b, enum zt_node_kind kind, const yaml_event_t *e)
{
	struct zt_node *n = arena_alloc(b->doc, sizeof(*n));

	if (n)
		*n = (struct zt_node){.kind = (uint8_t)kind,
				      .line = (uint32_t)e->start_mark.line,
				      .col = (uint32_t)e->start_mark.column,
				      .end_line = (uint32_t)e->end_mark.line,
				      .end_col = (uint32_t)e->end_mark.column};
	return n;
}

static int complain(struct build *b, unsigned code, const struct zt_node *n, const char *what, const char *hint)
{
	b->bad = true;
	(void)zt_doc_diag(b->doc, b->d, ZT_ERROR, code, n, "%s", what); /* collected */
	if (hint)
		zt_diag_hint(b->d, "%s", hint);
	return 0;
}

enum { FEW_KEYS = 16 };

static int index_keys(struct level *l)
{
	for (struct zt_node *k = l->node->first; k; k = k->next)
		if (!zt_strmap_get(&l->keys, k->text) && zt_strmap_put(&l->keys, k->text, k) < 0)
			return -ENOMEM;
	return 0;
}

static int check_duplicate(struct build *b, struct level *l, struct zt_node *key)
{
	ZT_STRBUF struct zt_strbuf shown = {0};
	const struct zt_node *first = NULL;

	if (l->node->n == FEW_KEYS && index_keys(l) < 0)
		return -ENOMEM;
	if (l->node->n >= FEW_KEYS) {
		first = zt_strmap_get(&l->keys, key->text);
		if (!first && zt_strmap_put(&l->keys, key->text, key) < 0)
			return -ENOMEM;
	} else {
		for (first = l->node->first; first && strcmp(first->text, key->text) != 0; first = first->next)
			;
	}
	if (!first)
		return 0;
	zt_strbuf_escaped(&shown, key->text, key->n);
	b->bad = true;
	(void)zt_doc_diag(b->doc, b->d, ZT_ERROR, 1009, key, "the key \"%.64s\" stands here twice",
			  zt_strbuf_cstr(&shown)); /* collected */
	zt_diag_hint(b->d, "it was given first in line %u", first->line + 1);
	return 0;
}

static int add_key(struct build *b, struct level *l, struct zt_node *n)
{
	int r = 0;

	n->is_key = true;
	if (n->kind != ZT_NODE_SCALAR) {
		r = complain(b, 1012, n, "a key must be a word", "lists and mappings cannot be keys");
	} else {
		r = check_duplicate(b, l, n);
	}
	l->key = n;
	return r;
}

/* Hangs n under the open collection, as item, key or value. */
static int add(struct build *b, struct zt_node *n)
{
	struct level *l = b->depth ? &b->levels[b->depth - 1] : NULL;
	int r;

	if (!l) {
		b->doc->root = n;
		return 0;
	}
	if (l->node->kind == ZT_NODE_MAP && l->key) {
		l->key->value = n;
		l->key = NULL;
		return 0;
	}
	if (l->node->kind == ZT_NODE_MAP) {
		r = add_key(b, l, n);
		if (r < 0)
			return r;
	}
	if (l->last)
		l->last->next = n;
	else
		l->node->first = n;
	l->last = n;
	l->node->n++;
	return 0;
}

static int check_properties(struct build *b, const struct zt_node *n, const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor)
		(void)complain(b, 1010, n, "anchors and aliases are not part of the language",
			       "repeat the text, or use sets: and identities:");
	if (tag)
		(void)complain(b, 1011, n, "YAML tags are not part of the language", "leave the tag (!...) out");
	return 0;
}

static int on_scalar(struct build *b, const yaml_event_t *e)
{
	struct zt_node *n = node_new(b, ZT_NODE_SCALAR, e);
	size_t len = e->data.scalar.length;
	char *text = n ? arena_alloc(b->doc, len + 1) : NULL;

	if (!text)
		return -ENOMEM;
	memcpy(text, e->data.scalar.value, len);
	text[len] = '\0';
	n->text = text;
	n->n = (uint32_t)len;
	n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	if (strlen(text) != len)
		(void)complain(b, 1005, n, "a NUL byte in the text", NULL);
	(void)check_properties(b, n, e->data.scalar.anchor, e->data.scalar.tag);
	return add(b, n);
}

static int on_start(struct build *b, enum zt_node_kind kind, const yaml_event_t *e)
{
	bool list = kind == ZT_NODE_LIST;
	struct zt_node *n = node_new(b, kind, e);
	int r;

	if (!n)
		return -ENOMEM;
	if (b->depth == ZT_DEPTH_MAX) {
		(void)complain(b, 1008, n, "nested deeper than 32 levels", NULL);
		return -EINVAL;
	}
	(void)check_properties(b, n, list ? e->data.sequence_start.anchor : e->data.mapping_start.anchor,
			       list ? e->data.sequence_start.tag : e->data.mapping_start.tag);
	r = add(b, n);
	b->levels[b->depth++] = (struct level){.node = n};
	return r;
}

static int on_end(struct build *b, const yaml_event_t *e)
{
	struct level *l = &b->levels[--b->depth];

	l->node->end_line = (uint32_t)e->end_mark.line;
	l->node->end_col = (uint32_t)e->end_mark.column;
	zt_strmap_done(&l->keys);
	if (l->node->is_key) { /* complained about; forget what it held */
		l->node->kind = ZT_NODE_SCALAR;
		l->node->text = "";
		l->node->n = 0;
	}
	return 0;
}

static int on_alias(struct build *b, const yaml_event_t *e)
{
	struct zt_node *n = node_new(b, ZT_NODE_SCALAR, e);

	if (!n)
		return -ENOMEM;
	n->text = "";
	(void)check_properties(b, n, e->data.alias.anchor, NULL);
	return add(b, n);
}

static int on_document(struct build *b, const yaml_event_t *e)
{
	struct zt_node at = {.line = (uint32_t)e->start_mark.line, .col = (uint32_t)e->start_mark.column};

	if (!b->doc->root)
		return 0;
	at.end_line = at.line;
	(void)complain(b, 1013, &at, "a second YAML document in one file",
		       "a policy is one document; use include: for more files");
	return -EINVAL;
}

static int on_event(struct build *b, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return on_scalar(b, e);
	case YAML_SEQUENCE_START_EVENT:
		return on_start(b, ZT_NODE_LIST, e);
	case YAML_MAPPING_START_EVENT:
		return on_start(b, ZT_NODE_MAP, e);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return on_end(b, e);
	case YAML_ALIAS_EVENT:
		return on_alias(b, e);
	case YAML_DOCUMENT_START_EVENT:
		return on_document(b, e);
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		break;
	}
	return 0;
}

static int syntax_error(struct build *b)
{
	const yaml_parser_t *p = &b->parser;
	struct zt_span span;
	ZT_STRBUF struct zt_strbuf m = {0};

	if (p->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	b->bad = true;
	if (p->error == YAML_READER_ERROR) {
		span = span_of_byte(b->doc, ZT_MIN(p->problem_offset, b->doc->len));
	} else {
		struct zt_node at = {.line = (uint32_t)p->problem_mark.line, .col = (uint32_t)p->problem_mark.column};

		at.end_line = at.line;
		at.end_col = at.col + 1;
		at.line = at.end_line = ZT_MIN(at.line, b->doc->n_lines - 1);
		span = zt_doc_span(b->doc, &at);
	}
	zt_strbuf_printf(&m, "not YAML: %s", p->problem ? p->problem : "broken");
	if (p->context)
		zt_strbuf_printf(&m, ", %s", p->context);
	(void)diag_at(b->doc, b->d, ZT_ERROR, 1007, &span, zt_strbuf_cstr(&m)); /* the result follows */
	if (p->context && p->context_mark.line != p->problem_mark.line)
		zt_diag_hint(b->d, "that began in line %zu", p->context_mark.line + 1);
	return -EINVAL;
}

static int build(struct build *b)
{
	bool end = false;
	int r = 0;

	while (!r && !end) {
		yaml_event_t e;

		if (!yaml_parser_parse(&b->parser, &e))
			return syntax_error(b);
		end = e.type == YAML_STREAM_END_EVENT;
		r = on_event(b, &e);
		yaml_event_delete(&e);
	}
	return r;
}

/* ---- bytes ---- */
static size_t first_not_utf8(const char *s, size_t len)
{
	size_t at = 0, step = 65536;

	while (at < len) { /* narrows down: valid prefixes are skipped by halves of the step */
		size_t n = ZT_MIN(step, len - at);

		while (n < len - at && (s[at + n] & 0xc0) == 0x80)
			n++;
		if (zt_utf8_valid(s + at, n))
			at += n;
		else if (step == 1)
			return at;
		else
			step /= 2;
	}
	return at;
}

static int check_bytes(struct zt_doc *doc, struct zt_diags *d)
{
	const char *nul = memchr(doc->text, 0, doc->len);
	struct zt_span span;

	if (nul) {
		span = span_of_byte(doc, (size_t)(nul - doc->text));
		return zt_diag(d, ZT_ERROR, 1005, &span, "a NUL byte in the file");
	}
	if (zt_utf8_valid(doc->text, doc->len))
		return 0;
	span = span_of_byte(doc, first_not_utf8(doc->text, doc->len));
	(void)zt_diag(d, ZT_ERROR, 1006, &span, "the file is not UTF-8 text"); /* the result follows */
	zt_diag_hint(d, "save it as UTF-8");
	return -EINVAL;
}

int zt_doc_parse(struct zt_doc *doc, const char *name, const char *text, size_t len, struct zt_diags *d)
{
	struct build b = {.doc = doc, .d = d};
	int r;

	*doc = (struct zt_doc){.name = name, .text = text ? text : "", .len = text ? len : 0};
	if (len > ZT_FILE_MAX)
		return zt_diag(d, ZT_ERROR, 1002, &(struct zt_span){.file = name}, "larger than 4 MiB");
	if (doc->len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
		doc->text += 3;
		doc->len -= 3;
	}
	r = find_lines(doc);
	if (!r)
		r = check_bytes(doc, d);
	if (r < 0)
		return r;
	if (!yaml_parser_initialize(&b.parser))
		return -ENOMEM;
	yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&b.parser, (const unsigned char *)doc->text, doc->len);
	r = build(&b);
	while (b.depth)
		zt_strmap_done(&b.levels[--b.depth].keys);
	yaml_parser_delete(&b.parser);
	if (r < 0)
		doc->root = NULL;
	return r ? r : b.bad ? -EINVAL : 0;
}
