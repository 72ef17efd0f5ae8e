/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/keys.h"

#include <assert.h>
#include <string.h>

#include "base/strbuf.h"

static const struct zt_key keys[] = {
#define ZT_MAP(...)
#define ZT_KEY(map_, id, name_, type_, sub_, flags_, def_, values_, example_, doc_) \
	{.map = ZT_MAP_##map_,                                                      \
	 .name = name_,                                                             \
	 .type = ZT_TYPE_##type_,                                                   \
	 .sub = ZT_MAP_##sub_,                                                      \
	 .flags = flags_,                                                           \
	 .def = def_,                                                               \
	 .values = values_,                                                         \
	 .example = example_,                                                       \
	 .doc = doc_},
#include "policy/keys.def"
#undef ZT_MAP
#undef ZT_KEY
};
static_assert(ZT_ARRAY_SIZE(keys) == ZT_K_COUNT, "one number for each key");

static const struct zt_map maps[] = {
	{.title = "", .keys = keys},
#define ZT_MAP(id, title_, doc_) {.title = title_, .doc = doc_, .keys = keys + ZT_K_##id##_FIRST},
#define ZT_KEY(...)
#include "policy/keys.def"
#undef ZT_MAP
#undef ZT_KEY
	{.keys = keys + ZT_K_COUNT},
};
static_assert(ZT_ARRAY_SIZE(maps) == ZT_MAP_COUNT + 1, "one entry for each mapping and the end");

struct zt_map zt_map(enum zt_map_id id)
{
	struct zt_map m = maps[id];

	m.n = (size_t)(maps[id + 1].keys - m.keys);
	return m;
}

size_t zt_key_index(const struct zt_map *m, const char *name)
{
	size_t i = 0;

	while (i < m->n && (m->keys[i].name[0] != name[0] || strcmp(m->keys[i].name, name) != 0))
		i++;
	return i;
}

int zt_word_index(const char *values, const char *word)
{
	size_t len = strlen(word);
	int i = 0;

	for (const char *p = values;; p++, i++) {
		size_t n = strcspn(p, "|");

		if (n == len && !memcmp(p, word, n))
			return i;
		p += n;
		if (!*p)
			return -1;
	}
}

/* ---- complaints ---- */
struct reader {
	const struct zt_doc *doc;
	struct zt_diags *d;
	struct zt_map map;
};

/* The key it was meant to be counts as seen: one mistake, one complaint. */
static int unknown_key(const struct reader *r, const struct zt_node *key, bool *seen)
{
	const char *names[ZT_FIELDS_MAX], *near;
	ZT_STRBUF struct zt_strbuf shown = {0}, all = {0};

	for (size_t i = 0; i < r->map.n; i++) {
		names[i] = r->map.keys[i].name;
		zt_strbuf_printf(&all, "%s%s", i ? ", " : "", names[i]);
	}
	near = zt_str_nearest(key->text, names, r->map.n);
	zt_strbuf_escaped(&shown, key->text, key->n);
	(void)zt_doc_diag(r->doc, r->d, ZT_ERROR, 1107, key, "unknown key \"%.64s\"",
			  zt_strbuf_cstr(&shown)); /* the result follows */
	if (near)
		zt_diag_hint(r->d, "did you mean \"%s\"?", near);
	else
		zt_diag_hint(r->d, "known here: %s", zt_strbuf_cstr(&all));
	if (near)
		seen[zt_key_index(&r->map, near)] = true;
	return -EINVAL;
}

static int bad_word(const struct reader *r, const struct zt_key *k, const struct zt_node *v)
{
	const char *words[8], *near;
	ZT_STRBUF struct zt_strbuf shown = {0}, list = {0};
	char copy[128];
	size_t n = 0;

	(void)snprintf(copy, sizeof(copy), "%s", k->values);
	for (char *save = NULL, *w = strtok_r(copy, "|", &save); w && n < ZT_ARRAY_SIZE(words);
	     w = strtok_r(NULL, "|", &save)) {
		zt_strbuf_printf(&list, "%s%s", n ? ", " : "", w);
		words[n++] = w;
	}
	near = zt_str_nearest(v->text, words, n);
	zt_strbuf_escaped(&shown, v->text, v->n);
	(void)zt_doc_diag(r->doc, r->d, ZT_ERROR, 1108, v, "\"%.64s\" is not a value of %s",
			  zt_strbuf_cstr(&shown), /* the result follows */
			  k->name);
	if (near)
		zt_diag_hint(r->d, "did you mean \"%s\"?", near);
	else
		zt_diag_hint(r->d, "%s%s", n > 1 ? "one of: " : "it is: ", zt_strbuf_cstr(&list));
	return -EINVAL;
}

static int wrong_type(const struct reader *r, const struct zt_key *k, const struct zt_node *v)
{
	static const char *const wanted[] = {
		[ZT_TYPE_TEXT] = "a single value",
		[ZT_TYPE_WORD] = "a single word",
		[ZT_TYPE_BOOL] = "true or false",
		[ZT_TYPE_NUMBER] = "a number",
		[ZT_TYPE_LIST] = "a value or a list of values",
		[ZT_TYPE_MAP] = "a mapping",
		[ZT_TYPE_MAPS] = "a list of mappings",
		[ZT_TYPE_NAMED] = "a mapping of names",
		[ZT_TYPE_WORD_OR_MAP] = "a word or a mapping",
	};
	bool empty = v->kind == ZT_NODE_SCALAR && v->plain && !v->n;

	if (empty)
		(void)zt_doc_diag(r->doc, r->d, ZT_ERROR, 1105, v, "\"%s\" has no value",
				  k->name); /* the result follows */
	else
		(void)zt_doc_diag(r->doc, r->d, ZT_ERROR, 1101, v, "\"%s\" must be %s", k->name,
				  wanted[k->type]); /* as above */
	if (k->type == ZT_TYPE_MAPS && empty)
		zt_diag_hint(r->d, "write %s: [] for none", k->name);
	else if (k->example)
		zt_diag_hint(r->d, "for example %s: %s", k->name, k->example);
	return -EINVAL;
}

/* ---- types ---- */
static int check_list(const struct reader *r, const struct zt_key *k, const struct zt_node *v)
{
	if (v->kind == ZT_NODE_SCALAR)
		return v->n ? 0 : wrong_type(r, k, v);
	if (v->kind == ZT_NODE_LIST && !v->n) {
		(void)zt_doc_diag(r->doc, r->d, ZT_ERROR, 1106, v, "the list is empty"); /* the result follows */
		zt_diag_hint(r->d, "leave \"%s\" out, or name something", k->name);
		return -EINVAL;
	}
	if (v->kind != ZT_NODE_LIST)
		return wrong_type(r, k, v);
	for (const struct zt_node *i = v->first; i; i = i->next)
		if (i->kind != ZT_NODE_SCALAR || !i->n)
			return wrong_type(r, k, i);
	return 0;
}

static int check_number(const struct reader *r, const struct zt_key *k, const struct zt_node *v)
{
	char *end;
	uint64_t lo = strtoull(k->values, &end, 10), hi = strtoull(end + 2, NULL, 10), n;

	if (v->kind == ZT_NODE_SCALAR && v->n && zt_parse_u64(v->text, hi, &n) == 0 && n >= lo)
		return 0;
	if (v->kind != ZT_NODE_SCALAR || !v->n)
		return wrong_type(r, k, v);
	return zt_doc_diag(r->doc, r->d, ZT_ERROR, 1109, v, "\"%s\" is a number from %llu to %llu", k->name,
			   (unsigned long long)lo, (unsigned long long)hi);
}

static int check_bool(const struct reader *r, const struct zt_key *k, const struct zt_node *v)
{
	if (v->kind == ZT_NODE_SCALAR && v->plain && (!strcmp(v->text, "true") || !strcmp(v->text, "false")))
		return 0;
	return wrong_type(r, k, v);
}

static int check_word(const struct reader *r, const struct zt_key *k, const struct zt_node *v)
{
	if (v->kind != ZT_NODE_SCALAR || !v->n)
		return wrong_type(r, k, v);
	return zt_word_index(k->values, v->text) >= 0 ? 0 : bad_word(r, k, v);
}

static int check_type(const struct reader *r, const struct zt_key *k, const struct zt_node *v)
{
	switch (k->type) {
	case ZT_TYPE_TEXT:
		return v->kind == ZT_NODE_SCALAR && v->n ? 0 : wrong_type(r, k, v);
	case ZT_TYPE_WORD:
		return check_word(r, k, v);
	case ZT_TYPE_WORD_OR_MAP:
		return v->kind == ZT_NODE_MAP	   ? 0
		       : v->kind == ZT_NODE_SCALAR ? check_word(r, k, v)
						   : wrong_type(r, k, v);
	case ZT_TYPE_BOOL:
		return check_bool(r, k, v);
	case ZT_TYPE_NUMBER:
		return check_number(r, k, v);
	case ZT_TYPE_LIST:
		return check_list(r, k, v);
	case ZT_TYPE_MAP:
	case ZT_TYPE_NAMED:
		return v->kind == ZT_NODE_MAP ? 0 : wrong_type(r, k, v);
	case ZT_TYPE_MAPS:
		return v->kind == ZT_NODE_LIST ? 0 : wrong_type(r, k, v);
	}
	return -EINVAL;
}

static int missing(const struct reader *r, const struct zt_key *k, const struct zt_node *node)
{
	(void)zt_doc_diag(r->doc, r->d, ZT_ERROR, 1104, node->first ? node->first : node, "\"%s\" is missing",
			  k->name); /* collected */
	if (k->type == ZT_TYPE_WORD && strchr(k->values, '|'))
		zt_diag_hint(r->d, "one of %s: %s", k->name, k->values);
	else
		zt_diag_hint(r->d, "for example %s: %s", k->name, k->example);
	return -EINVAL;
}

static int read_map(const struct reader *r, const struct zt_node *node, bool lenient, struct zt_fields *ret)
{
	bool seen[ZT_FIELDS_MAX] = {0};
	int result = 0;

	for (const struct zt_node *key = node->first; key; key = key->next) {
		size_t i = zt_key_index(&r->map, key->text);

		if (i == r->map.n) {
			result = unknown_key(r, key, seen);
			continue;
		}
		seen[i] = true;
		if (check_type(r, &r->map.keys[i], key->value) < 0)
			result = -EINVAL;
		else
			ret->keys[i] = key;
	}
	for (size_t i = 0; i < r->map.n; i++)
		if (!seen[i] && !lenient && r->map.keys[i].flags & ZT_KEY_REQUIRED)
			result = missing(r, &r->map.keys[i], node);
	return result;
}

int zt_fields_read(const struct zt_doc *doc, enum zt_map_id map, const struct zt_node *node, bool lenient,
		   struct zt_fields *ret, struct zt_diags *d)
{
	struct reader r = {.doc = doc, .d = d, .map = zt_map(map)};

	*ret = (struct zt_fields){0};
	if (node->kind == ZT_NODE_MAP)
		return read_map(&r, node, lenient, ret);
	return zt_doc_diag(doc, d, ZT_ERROR, 1103, node, "here stands one entry of %s: it must be a mapping of keys",
			   r.map.title);
}
