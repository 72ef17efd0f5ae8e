/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The table of keys (keys.def) and reading a mapping by it. */
#include "policy/tree.h"

enum zt_map_id {
	ZT_MAP_NONE,
#define ZT_MAP(id, title, doc) ZT_MAP_##id,
#define ZT_KEY(...)
#include "policy/keys.def"
#undef ZT_MAP
#undef ZT_KEY
	ZT_MAP_COUNT
};

/* Every key's number; ZT_K_<MAP>_FIRST is the one of the first key of a mapping. */
enum zt_key_id {
#define ZT_MAP(id, title, doc) ZT_K_##id##_FIRST, ZT_K_##id##_BEFORE = ZT_K_##id##_FIRST - 1,
#define ZT_KEY(map, id, ...) ZT_K_##map##_##id,
#include "policy/keys.def"
#undef ZT_MAP
#undef ZT_KEY
	ZT_K_COUNT
};

enum zt_key_type {
	ZT_TYPE_TEXT,
	ZT_TYPE_WORD, /* one of values */
	ZT_TYPE_BOOL,
	ZT_TYPE_NUMBER,
	ZT_TYPE_LIST, /* scalar or list of scalars */
	ZT_TYPE_MAP,
	ZT_TYPE_MAPS,  /* list of mappings */
	ZT_TYPE_NAMED, /* free names to mappings */
	ZT_TYPE_WORD_OR_MAP,
};
enum { ZT_KEY_REQUIRED = 1, ZT_KEY_AGAIN = 2 /* described before under the same name */ };

struct zt_key {
	enum zt_map_id map;
	const char *name;
	enum zt_key_type type;
	enum zt_map_id sub;
	unsigned flags;
	const char *def, *values, *example, *doc;
};
struct zt_map {
	const char *title, *doc;
	const struct zt_key *keys;
	size_t n;
};
struct zt_map zt_map(enum zt_map_id id);
size_t zt_key_index(const struct zt_map *m, const char *name); /* m->n: there is none */

/* A mapping sorted into its slots. */
enum { ZT_FIELDS_MAX = 16 };
struct zt_fields {
	const struct zt_node *keys[ZT_FIELDS_MAX]; /* NULL: not given, or wrong and complained about */
};
#define zt_field_key(f, map, id) ((f)->keys[ZT_K_##map##_##id - ZT_K_##map##_FIRST])
#define zt_field(f, map, id) zt_value_of(zt_field_key(f, map, id))
static inline const struct zt_node *zt_value_of(const struct zt_node *key)
{
	return key ? key->value : NULL;
}

/* Sorts node into ret; complains about unknown keys, wrong types and words, missing keys: 0 or -EINVAL.
 * Fields that were wrong are left out of ret. lenient: missing keys are no error. */
int zt_fields_read(const struct zt_doc *doc, enum zt_map_id map, const struct zt_node *node, bool lenient,
		   struct zt_fields *ret, struct zt_diags *d);
/* Place of the node's text in "a|b|c"; -1 when NULL. The word was checked before. */
int zt_word_index(const char *values, const char *word);
