/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reference of keys as scdoc text, from the table. */
#include <string.h>

#include "policy/keys.h"
#include "policy/policy.h"

/* scdoc takes _ and * for markup. */
static void plain(struct zt_strbuf *out, const char *s)
{
	for (; *s; s++) {
		if (strchr("_*\\<>#`[]()", *s))
			zt_strbuf_char(out, '\\');
		zt_strbuf_char(out, *s);
	}
}

static const char *type_text(const struct zt_key *k)
{
	switch (k->type) {
	case ZT_TYPE_TEXT:
	case ZT_TYPE_WORD:
	case ZT_TYPE_NUMBER:
		return "";
	case ZT_TYPE_BOOL:
		return "true or false";
	case ZT_TYPE_LIST:
		return ", or a list of these";
	case ZT_TYPE_MAP:
		return "mapping, see below";
	case ZT_TYPE_MAPS:
		return "list of mappings, see below";
	case ZT_TYPE_NAMED:
		return "mapping of names, see below";
	case ZT_TYPE_WORD_OR_MAP:
		return ", or a mapping, see below";
	}
	return "";
}

static void values_text(struct zt_strbuf *out, const struct zt_key *k)
{
	bool listed = k->type == ZT_TYPE_WORD || k->type == ZT_TYPE_WORD_OR_MAP;

	for (const char *p = k->values ? k->values : ""; *p; p++) {
		char one[2] = {*p, '\0'};

		plain(out, listed && *p == '|' ? ", " : one);
	}
	plain(out, type_text(k));
}

static void key(struct zt_strbuf *out, const struct zt_key *k)
{
	zt_strbuf_str(out, "*");
	plain(out, k->name);
	zt_strbuf_str(out, ":* ");
	values_text(out, k);
	if (k->flags & ZT_KEY_REQUIRED)
		zt_strbuf_str(out, " (required)");
	zt_strbuf_str(out, "\n\t");
	plain(out, k->doc);
	if (k->def) {
		zt_strbuf_str(out, " Default: ");
		plain(out, k->def);
		zt_strbuf_char(out, '.');
	}
	if (k->example) {
		zt_strbuf_str(out, "++\nExample: *");
		plain(out, k->name);
		zt_strbuf_str(out, ":* ");
		plain(out, k->example);
	}
	zt_strbuf_str(out, "\n\n");
}

static void again(struct zt_strbuf *out, const struct zt_map *m)
{
	unsigned n = 0;

	for (size_t i = 0; i < m->n; i++) {
		if (!(m->keys[i].flags & ZT_KEY_AGAIN))
			continue;
		zt_strbuf_str(out, n++ ? ", *" : "*");
		plain(out, m->keys[i].name);
		zt_strbuf_char(out, '*');
	}
	if (n)
		zt_strbuf_str(out, "\n\tAs under *rules.from*.\n\n");
}

int zt_policy_man(struct zt_strbuf *out)
{
	zt_strbuf_str(out, "# KEYS\n\n");
	for (enum zt_map_id id = ZT_MAP_ROOT; id < ZT_MAP_COUNT; id++) {
		struct zt_map m = zt_map(id);

		zt_strbuf_str(out, "## ");
		plain(out, m.title);
		zt_strbuf_str(out, "\n\n");
		plain(out, m.doc);
		zt_strbuf_str(out, "\n\n");
		again(out, &m);
		for (size_t i = 0; i < m.n; i++)
			if (!(m.keys[i].flags & ZT_KEY_AGAIN))
				key(out, &m.keys[i]);
	}
	return zt_strbuf_error(out);
}
