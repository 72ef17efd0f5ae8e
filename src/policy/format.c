/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Canonical text: block style, two blanks a level, quotes only where needed, keys in the order of the table, lists of words on one
 * line where they fit, an empty line between the parts of a policy and between rules. Comments stay with what they belong to.
 */
#include <string.h>

#include "base/mem.h"
#include "policy/comments.h"
#include "policy/keys.h"
#include "policy/policy.h"

enum { WIDTH = 100 };

struct format {
	const struct zt_doc *doc;
	struct zt_comments comments;
	struct zt_strbuf *out;
	struct zt_diags *d;
};

/* ---- scalars ---- */
static bool is_one_of(const char *s, const char *const *words)
{
	for (; *words; words++)
		if (!strcasecmp(s, *words))
			return true;
	return false;
}

static bool plain_in_block(const char *s, size_t n)
{
	if (!n || strchr("-?:,[]{}#&*!|>'\"%@`=< ", s[0]) || s[n - 1] == ' ' || s[n - 1] == ':' ||
	    !strncmp(s, "...", 3))
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c < ' ' || c == 0x7f || (c == ':' && s[i + 1] == ' ') || (c == '#' && s[i - 1] == ' '))
			return false;
		if ((c == 0xc2 && (unsigned char)s[i + 1] < 0xa0) || (c == 0xe2 && (unsigned char)s[i + 1] == 0x80) ||
		    c == 0xef)
			return false; /* may be what YAML takes for a break, or not print */
	}
	return true;
}

static bool can_be_plain(const char *s, size_t n, enum zt_key_type type, bool flow)
{
	static const char *const words[] = {"true", "false", "yes", "no", "on", "off", "y", "n", "null", "~", NULL};

	if (type == ZT_TYPE_BOOL)
		return true;
	if (!plain_in_block(s, n) || is_one_of(s, words) || (type == ZT_TYPE_WORD && s[0] >= '0' && s[0] <= '9'))
		return false;
	return !flow || !strpbrk(s, ",[]{}:#");
}

static size_t escape(struct zt_strbuf *b, const unsigned char *p)
{
	if (*p == '"' || *p == '\\')
		zt_strbuf_printf(b, "\\%c", *p);
	else if (*p == '\n' || *p == '\t')
		zt_strbuf_str(b, *p == '\n' ? "\\n" : "\\t");
	else if (*p < ' ' || *p == 0x7f)
		zt_strbuf_printf(b, "\\x%02x", *p);
	else if (p[0] == 0xc2 && p[1] < 0xa0)
		return zt_strbuf_printf(b, "\\x%02x", p[1]), 2;
	else if (p[0] == 0xe2 && p[1] == 0x80)
		return zt_strbuf_printf(b, "\\u%04x", 0x2000u | (p[2] & 0x3fu)), 3;
	else if (p[0] == 0xef)
		return zt_strbuf_printf(b, "\\u%04x", 0xf000u | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu)), 3;
	else
		zt_strbuf_char(b, (char)*p);
	return 1;
}

static void quoted(struct zt_strbuf *b, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	zt_strbuf_char(b, '"');
	while (*p)
		p += escape(b, p);
	zt_strbuf_char(b, '"');
}

static void scalar(struct zt_strbuf *b, const struct zt_node *n, enum zt_key_type type, bool flow)
{
	if (can_be_plain(n->text, n->n, type, flow))
		zt_strbuf_add(b, n->text, n->n);
	else
		quoted(b, n->text);
}

void zt_yaml_scalar(const char *text, bool flow, struct zt_strbuf *out)
{
	if (can_be_plain(text, strlen(text), ZT_TYPE_WORD, flow))
		zt_strbuf_str(out, text);
	else
		quoted(out, text);
}

/* ---- lines ---- */
static void indent(struct format *f, unsigned level)
{
	zt_strbuf_printf(f->out, "%*s", (int)level * 2, "");
}

static void blank(struct format *f)
{
	const struct zt_strbuf *b = f->out;

	if (b->len >= 2 && !b->failed && (b->buf[b->len - 1] != '\n' || b->buf[b->len - 2] != '\n'))
		zt_strbuf_char(f->out, '\n');
}

static void comment_text(struct format *f, const struct zt_comment *c)
{
	zt_strbuf_add(f->out, f->doc->text + c->start, c->end - c->start);
}

static void comments_before(struct format *f, const struct zt_node *unit, unsigned level, bool first)
{
	const struct zt_comment *c;
	size_t n = zt_comments_of(&f->comments, unit, &c), last = n;

	for (size_t i = 0; i < n; i++) {
		if (c[i].behind || c[i].below)
			continue;
		if (c[i].blank_before && !(first && last == n))
			blank(f);
		last = i;
		indent(f, level);
		comment_text(f, &c[i]);
		zt_strbuf_char(f->out, '\n');
	}
	if (last != n && c[last].blank_after)
		blank(f);
}

static void comments_below(struct format *f, const struct zt_node *unit, unsigned level)
{
	const struct zt_comment *c;
	size_t n = zt_comments_of(&f->comments, unit, &c);

	for (size_t i = 0; i < n; i++) {
		if (!c[i].below)
			continue;
		if (c[i].blank_before)
			blank(f);
		indent(f, level);
		comment_text(f, &c[i]);
		zt_strbuf_char(f->out, '\n');
	}
}

/* The end of a line, with the comment behind. */
static void end_line(struct format *f, const struct zt_node *unit)
{
	const struct zt_comment *c;
	size_t n = zt_comments_of(&f->comments, unit, &c), seen = 0;

	for (size_t i = 0; i < n; i++) {
		if (!c[i].behind)
			continue;
		zt_strbuf_char(f->out, ' ');
		if (seen++)
			zt_strbuf_add(f->out, f->doc->text + c[i].start + 1,
				      c[i].end - c[i].start - 1); /* two become one */
		else
			comment_text(f, &c[i]);
	}
	zt_strbuf_char(f->out, '\n');
}

/* ---- values ---- */
static void mapping(struct format *f, enum zt_map_id id, const struct zt_node *node, unsigned level, const char *lead);

static bool on_one_line(struct format *f, const struct zt_key *k, const struct zt_node *v, size_t used)
{
	ZT_STRBUF struct zt_strbuf b = {0};

	if (zt_comments_in_list(f->doc, &f->comments, v))
		return false;
	zt_strbuf_char(&b, '[');
	for (const struct zt_node *i = v->first; i && b.len < WIDTH; i = i->next) {
		zt_strbuf_str(&b, i == v->first ? "" : ", ");
		scalar(&b, i, k->type, true);
	}
	zt_strbuf_char(&b, ']');
	if (b.failed || used + 1 + b.len > WIDTH)
		return false;
	zt_strbuf_char(f->out, ' ');
	zt_strbuf_add(f->out, b.buf, b.len);
	return true;
}

static void list_of_words(struct format *f, const struct zt_key *k, const struct zt_node *key, unsigned level)
{
	if (on_one_line(f, k, key->value, (size_t)level * 2 + strlen(k->name) + 1)) {
		end_line(f, key);
		return;
	}
	end_line(f, key);
	for (const struct zt_node *i = key->value->first; i; i = i->next) {
		comments_before(f, i, level + 1, i == key->value->first);
		indent(f, level + 1);
		zt_strbuf_str(f->out, "- ");
		scalar(f->out, i, k->type, false);
		end_line(f, i);
		comments_below(f, i, level + 1);
	}
}

static void list_of_maps(struct format *f, const struct zt_key *k, const struct zt_node *key, unsigned level)
{
	if (!key->value->n) {
		zt_strbuf_str(f->out, " []");
		end_line(f, key);
		return;
	}
	end_line(f, key);
	for (const struct zt_node *i = key->value->first; i; i = i->next) {
		if (i != key->value->first)
			blank(f);
		comments_before(f, i, level + 1, i == key->value->first);
		mapping(f, k->sub, i, level + 2, "- ");
		comments_below(f, i, level + 1);
	}
}

static void named(struct format *f, const struct zt_key *k, const struct zt_node *key, unsigned level)
{
	for (const struct zt_node *i = key->value->first; i; i = i->next) {
		comments_before(f, i, level + 1, i == key->value->first);
		indent(f, level + 1);
		scalar(f->out, i, ZT_TYPE_TEXT, false);
		zt_strbuf_char(f->out, ':');
		if (!i->value->n)
			zt_strbuf_str(f->out, " {}");
		end_line(f, i);
		mapping(f, k->sub, i->value, level + 2, NULL);
		comments_below(f, i, level + 1);
	}
}

static void value(struct format *f, const struct zt_key *k, const struct zt_node *key, unsigned level)
{
	const struct zt_node *v = key->value;

	if (v->kind == ZT_NODE_SCALAR) {
		zt_strbuf_char(f->out, ' ');
		scalar(f->out, v, k->type, false);
		end_line(f, key);
	} else if (k->type == ZT_TYPE_MAPS) {
		list_of_maps(f, k, key, level);
	} else if (v->kind == ZT_NODE_LIST) {
		list_of_words(f, k, key, level);
	} else if (!v->n) {
		zt_strbuf_str(f->out, " {}");
		end_line(f, key);
	} else {
		end_line(f, key);
		if (k->type == ZT_TYPE_NAMED)
			named(f, k, key, level);
		else
			mapping(f, k->sub, v, level + 1, NULL);
	}
}

/* ---- mappings ---- */

/* Table order; an include that stands behind rules: stays there, because its rules do. */
static size_t in_order(enum zt_map_id id, const struct zt_map *m, const struct zt_node *node,
		       const struct zt_node **ret)
{
	const struct zt_node *by_index[ZT_FIELDS_MAX] = {0};
	size_t n = 0, rules = ZT_K_ROOT_RULES - ZT_K_ROOT_FIRST, include = ZT_K_ROOT_INCLUDE - ZT_K_ROOT_FIRST;
	bool late = false;

	for (const struct zt_node *key = node->first; key; key = key->next) {
		size_t i = zt_key_index(m, key->text);

		late = late || (id == ZT_MAP_ROOT && i == include && by_index[rules]);
		by_index[i] = key;
	}
	for (size_t i = 0; i < m->n; i++) {
		if (by_index[i] && !(late && i == include))
			ret[n++] = by_index[i];
		if (late && i == rules)
			ret[n++] = by_index[include];
	}
	return n;
}

static void mapping(struct format *f, enum zt_map_id id, const struct zt_node *node, unsigned level, const char *lead)
{
	const struct zt_node *keys[ZT_FIELDS_MAX];
	struct zt_map m = zt_map(id);
	size_t n = in_order(id, &m, node, keys);

	for (size_t i = 0; i < n; i++) {
		const struct zt_key *k = &m.keys[zt_key_index(&m, keys[i]->text)];
		unsigned at = level - (i == 0 && lead ? 1 : 0);

		if (id == ZT_MAP_ROOT && i)
			blank(f);
		comments_before(f, keys[i], at, i == 0);
		indent(f, at);
		zt_strbuf_printf(f->out, "%s%s:", i == 0 && lead ? lead : "", k->name);
		value(f, k, keys[i], level);
		comments_below(f, keys[i], level);
	}
}

/* ---- only what is right can be formatted ---- */
static int worse(int a, int b)
{
	return a ? a : b;
}

static int check(struct format *f, enum zt_map_id id, const struct zt_node *node)
{
	struct zt_map m = zt_map(id);
	struct zt_fields fields;
	int r = zt_fields_read(f->doc, id, node, true, &fields, f->d);

	for (size_t i = 0; i < m.n; i++) {
		const struct zt_node *v = zt_value_of(fields.keys[i]);
		const struct zt_node *below = v && v->kind != ZT_NODE_SCALAR && m.keys[i].sub != ZT_MAP_NONE ? v->first
													     : NULL;

		if (below && (m.keys[i].type == ZT_TYPE_MAP || m.keys[i].type == ZT_TYPE_WORD_OR_MAP))
			r = worse(r, check(f, m.keys[i].sub, v));
		else
			for (; below; below = below->next)
				r = worse(r, check(f, m.keys[i].sub, below->is_key ? below->value : below));
	}
	return r;
}

static int whole(struct format *f)
{
	const struct zt_node *root = f->doc->root;
	int r;

	if (root && root->kind != ZT_NODE_MAP)
		return zt_doc_diag(f->doc, f->d, ZT_ERROR, 1102, root, "a policy is a mapping of keys");
	r = root ? check(f, ZT_MAP_ROOT, root) : 0;
	r = r ?: zt_comments_find(f->doc, &f->comments);
	if (r)
		return r;
	if (root) {
		comments_before(f, root, 0, true);
		mapping(f, ZT_MAP_ROOT, root, 0, NULL);
	}
	comments_before(f, NULL, 0, !f->out->len);
	while (f->out->len > 1 && !f->out->failed && f->out->buf[f->out->len - 1] == '\n' &&
	       f->out->buf[f->out->len - 2] == '\n')
		f->out->buf[--f->out->len] = '\0';
	return zt_strbuf_error(f->out);
}

int zt_policy_format(const char *name, const char *text, size_t len, struct zt_strbuf *out, struct zt_diags *d)
{
	ZT_CLEANUP(zt_doc_done) struct zt_doc doc = {0};
	ZT_STRBUF struct zt_strbuf b = {0};
	struct format f = {.doc = &doc, .out = &b, .d = d};
	int r = zt_doc_parse(&doc, name, text, len, d);

	if (!r)
		r = whole(&f);
	zt_comments_done(&f.comments);
	if (r)
		return r;
	zt_strbuf_add(out, zt_strbuf_cstr(&b), b.len);
	return zt_strbuf_error(out);
}
