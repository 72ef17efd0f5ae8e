/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The language as JSON Schema (draft 2020-12), from the table of keys. */
#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "policy/keys.h"
#include "policy/policy.h"

/* Takes value over; false when something could not be allocated. */
static bool set(json_t *object, const char *key, json_t *value)
{
	return json_object_set_new(object, key, value) == 0;
}

static json_t *scalar(void)
{
	return json_pack("{s:[s,s]}", "type", "string", "integer");
}

static json_t *words(const char *values)
{
	json_t *list = json_array(), *schema;

	for (const char *p = values; *p;) {
		size_t n = strcspn(p, "|");

		if (json_array_append_new(list, json_stringn(p, n)) < 0)
			break;
		p += n + (p[n] == '|');
	}
	schema = json_pack("{s:o}", "enum", list);
	return schema;
}

static json_t *reference(enum zt_map_id id)
{
	return json_pack("{s:s+}", "$ref", "#/$defs/", zt_map(id).title);
}

static json_t *number(const char *values)
{
	char *end;
	long long lo = strtoll(values, &end, 10), hi = strtoll(end + 2, NULL, 10);

	return json_pack("{s:s,s:I,s:I}", "type", "integer", "minimum", (json_int_t)lo, "maximum", (json_int_t)hi);
}

static json_t *of_type(const struct zt_key *k)
{
	switch (k->type) {
	case ZT_TYPE_TEXT:
		return scalar();
	case ZT_TYPE_WORD:
		return words(k->values);
	case ZT_TYPE_BOOL:
		return json_pack("{s:s}", "type", "boolean");
	case ZT_TYPE_NUMBER:
		return number(k->values);
	case ZT_TYPE_LIST:
		return json_pack("{s:[o,{s:s,s:i,s:o}]}", "anyOf", scalar(), "type", "array", "minItems", 1, "items",
				 scalar());
	case ZT_TYPE_MAP:
		return reference(k->sub);
	case ZT_TYPE_MAPS:
		return json_pack("{s:s,s:o}", "type", "array", "items", reference(k->sub));
	case ZT_TYPE_NAMED:
		return json_pack("{s:s,s:o}", "type", "object", "additionalProperties", reference(k->sub));
	case ZT_TYPE_WORD_OR_MAP:
		return json_pack("{s:[o,o]}", "anyOf", words(k->values), reference(k->sub));
	}
	return NULL;
}

static bool describe(json_t *schema, const struct zt_key *k)
{
	ZT_FREE char *text = zt_asprintf("%s%s%s%s", k->doc, k->values ? " (" : "", k->values ? k->values : "",
					 k->values ? ")" : "");

	return text && set(schema, "description", json_string(text));
}

static json_t *of_map(enum zt_map_id id)
{
	json_t *properties = json_object(), *required = json_array(), *schema;
	struct zt_map m = zt_map(id);
	bool ok = properties && required;

	for (size_t i = 0; ok && i < m.n; i++) {
		json_t *one = of_type(&m.keys[i]);

		ok = one && describe(one, &m.keys[i]);
		if (ok)
			ok = set(properties, m.keys[i].name, one);
		else
			json_decref(one);
		if (ok && m.keys[i].flags & ZT_KEY_REQUIRED && id != ZT_MAP_ROOT)
			ok = json_array_append_new(required, json_string(m.keys[i].name)) == 0;
	}
	schema = json_pack("{s:s,s:s,s:o,s:b}", "type", "object", "description", m.doc, "properties", properties,
			   "additionalProperties", 0);
	if (json_array_size(required) && schema)
		(void)json_object_set(schema, "required", required); /* only fewer complaints of editors without it */
	json_decref(required);
	if (ok)
		return schema;
	json_decref(schema);
	return NULL;
}

static json_t *whole(void)
{
	json_t *defs = json_object(), *root = of_map(ZT_MAP_ROOT), *schema;
	bool ok = defs && root;

	for (enum zt_map_id id = ZT_MAP_ROOT + 1; ok && id < ZT_MAP_COUNT; id++)
		ok = set(defs, zt_map(id).title, of_map(id));
	schema = ok ? json_pack("{s:s,s:s}", "$schema", "https://json-schema.org/draft/2020-12/schema", "title",
				"zt-segment policy")
		    : NULL;
	if (schema && json_object_update(schema, root) < 0) {
		json_decref(schema);
		schema = NULL;
	}
	json_decref(root);
	if (!schema) {
		json_decref(defs);
		return NULL;
	}
	if (set(schema, "$defs", defs))
		return schema;
	json_decref(schema);
	return NULL;
}

int zt_policy_schema(struct zt_strbuf *out)
{
	json_t *schema = whole();
	char *text = schema ? json_dumps(schema, JSON_INDENT(2)) : NULL;

	json_decref(schema);
	if (!text)
		return -ENOMEM;
	zt_strbuf_str(out, text);
	zt_strbuf_char(out, '\n');
	free(text);
	return zt_strbuf_error(out);
}
