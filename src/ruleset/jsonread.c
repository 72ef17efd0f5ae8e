/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ruleset from its JSON text (RFC 8259). A tree of a hundred thousand rules takes longer to build and to free than the rules themselves, so
 * the array of the rules is cut out: jansson reads the rest as one small document, then one element after another. What the cut finds is checked
 * by what is read: no text is taken that jansson would refuse as a whole.
 */
#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "ruleset/json_subject.h"

static const char *space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
		p++;
	return p;
}

/* p is at a quotation mark; behind the one that ends the string, or end. */
static const char *string(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		p += *p == '\\';
	return p < end ? p + 1 : end;
}

/* p is at a bracket; at the one that belongs to it, or NULL. */
static const char *closing(const char *p, const char *end)
{
	size_t depth = 0;

	while (p < end) {
		if (*p == '"') {
			p = string(p, end);
			continue;
		}
		depth += *p == '[' || *p == '{';
		if ((*p == ']' || *p == '}') && --depth == 0)
			return p;
		p++;
	}
	return NULL;
}

/* The array under the key "rules" of the outermost object: at its brackets. False: not found in that spelling. */
static bool find_rules(const char *text, const char *end, const char **ret_open, const char **ret_close)
{
	static const char key[] = "\"rules\"";
	const char *p = space(text, end);

	if (p == end || *p != '{')
		return false;
	for (p++; p < end; p++) {
		const char *word = p;

		if (*p == '[' || *p == '{') {
			if (!(p = closing(p, end)))
				return false;
		} else if (*p == '"') {
			const char *behind = string(p, end), *colon = space(behind, end), *open;

			p = behind - 1;
			if ((size_t)(behind - word) != sizeof(key) - 1 || memcmp(word, key, sizeof(key) - 1) != 0 ||
			    colon == end || *colon != ':')
				continue;
			open = space(colon + 1, end);
			if (open == end || *open != '[')
				return false;
			*ret_open = open;
			*ret_close = closing(open, end);
			return *ret_close && **ret_close == ']';
		}
	}
	return false;
}

/* Between p and end: elements and commas. */
static int elements_in(const char *p, const char *end, struct zt_ruleset *rs)
{
	int e = 0;

	for (p = space(p, end); !e && p < end; p = space(p, end)) {
		json_error_t where;
		json_t *o = *p == '{' ? json_loadb(p, (size_t)(end - p),
						   JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, &where)
				      : NULL;

		e = o ? zt_ruleset_rule_in(o, rs) : -EINVAL;
		json_decref(o);
		if (e < 0)
			return e;
		p = space(p + where.position, end);
		if (p == end)
			return 0;
		if (*p != ',' || space(p + 1, end) == end)
			return -EINVAL;
		p++;
	}
	return e;
}

static int whole_in(const char *text, size_t len, struct zt_ruleset *rs)
{
	json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	int e = j ? zt_ruleset_head_in(j, rs) ?: zt_ruleset_rules_in(json_object_get(j, "rules"), rs) : -EINVAL;

	json_decref(j);
	return e;
}

static int parts_in(const char *text, size_t len, const char *open, const char *close, struct zt_ruleset *rs)
{
	ZT_STRBUF struct zt_strbuf head = {0};
	json_t *j;
	int e;

	zt_strbuf_add(&head, text, (size_t)(open + 1 - text));
	zt_strbuf_add(&head, close, (size_t)(text + len - close));
	if (zt_strbuf_error(&head))
		return zt_strbuf_error(&head);
	j = json_loadb(head.buf, head.len, JSON_REJECT_DUPLICATES, NULL);
	e = j ? zt_ruleset_head_in(j, rs) : -EINVAL;
	json_decref(j);
	return e ?: elements_in(open + 1, close, rs);
}

int zt_ruleset_from_text(const char *text, size_t len, struct zt_ruleset **ret, struct zt_diags *d)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	const char *open, *close;
	int e = zt_ruleset_new(&rs);

	if (!e)
		e = find_rules(text, text + len, &open, &close) ? parts_in(text, len, open, close, rs)
								: whole_in(text, len, rs);
	return zt_ruleset_in_done(e, &rs, ret, d);
}
