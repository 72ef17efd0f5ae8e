/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is generated from the table: schema, man page, codes; and fmt under random changes. */
#include "common.h"

#include <glob.h>
#include <jansson.h>

#include "base/file.h"
#include "policy/keys.h"

static void schema_has_every_key(void **state)
{
	struct zt_strbuf b = {0};
	json_error_t e;
	json_t *root;

	(void)state;
	assert_int_equal(zt_policy_schema(&b), 0);
	root = json_loads(zt_strbuf_cstr(&b), JSON_REJECT_DUPLICATES, &e);
	assert_non_null(root);
	for (enum zt_map_id id = ZT_MAP_ROOT; id < ZT_MAP_COUNT; id++) {
		struct zt_map m = zt_map(id);
		json_t *of = id == ZT_MAP_ROOT ? root : json_object_get(json_object_get(root, "$defs"), m.title);

		assert_true(m.n && m.n <= ZT_FIELDS_MAX);
		assert_true(json_is_false(json_object_get(of, "additionalProperties")));
		assert_int_equal(json_object_size(json_object_get(of, "properties")), m.n);
		for (size_t i = 0; i < m.n; i++)
			assert_non_null(json_object_get(
				json_object_get(json_object_get(of, "properties"), m.keys[i].name), "description"));
	}
	json_decref(root);
	zt_strbuf_done(&b);
}

static void man_has_every_key(void **state)
{
	struct zt_strbuf b = {0};

	(void)state;
	assert_int_equal(zt_policy_man(&b), 0);
	for (enum zt_map_id id = ZT_MAP_ROOT; id < ZT_MAP_COUNT; id++) {
		struct zt_map m = zt_map(id);

		for (size_t i = 0; i < m.n; i++) {
			char name[64] = "", *p = name;

			for (const char *s = m.keys[i].name; *s; s++) {
				if (*s == '_')
					*p++ = '\\';
				*p++ = *s;
			}
			*p = '\0';
			assert_non_null(strstr(zt_strbuf_cstr(&b), name));
			assert_true(m.keys[i].doc[0] && m.keys[i].example);
		}
	}
	zt_strbuf_done(&b);
}

/* The value of a key's example must be one the parser takes. */
static void examples_are_valid(void **state)
{
	(void)state;
	for (enum zt_map_id id = ZT_MAP_ROOT; id < ZT_MAP_COUNT; id++) {
		struct zt_map m = zt_map(id);

		for (size_t i = 0; i < m.n; i++) {
			ZT_FREE char *text = zt_asprintf("{%s: %s}\n", m.keys[i].name, m.keys[i].example);
			struct zt_doc doc;
			struct zt_fields f;
			struct zt_diags d = {0};

			assert_int_equal(zt_doc_parse(&doc, "example", text, strlen(text), &d), 0);
			assert_int_equal(zt_fields_read(&doc, id, doc.root, true, &f, &d), 0);
			zt_doc_done(&doc);
			zt_diags_done(&d);
		}
	}
}

static bool in_a_golden_case(unsigned code)
{
	ZT_FREE char *pattern = zt_asprintf("%s/tests/golden/policy/*.expected", getenv("ZT_SOURCE_ROOT"));
	char mark[16];
	bool found = false;
	glob_t g = {0};

	(void)snprintf(mark, sizeof(mark), "[ZT%u]", code);
	assert_int_equal(glob(pattern, 0, NULL, &g), 0);
	for (size_t i = 0; i < g.gl_pathc && !found; i++) {
		ZT_FREE char *text = NULL;
		size_t len;

		found = zt_file_read(g.gl_pathv[i], 1 << 20, &text, &len) == 0 && strstr(text, mark);
	}
	globfree(&g);
	return found;
}

static void every_code_is_held(void **state)
{
	static const struct {
		unsigned code;
		const char *title, *text;
	} codes[] = {
#define ZT_CODE(number, title, text) {number, title, text},
#include "policy/codes.def"
#undef ZT_CODE
	};
	/* These need files that git cannot hold: test_files.c; the last one control groups: test_cgroup.c. */
	static const unsigned elsewhere[] = {1002, 1003, 1203, 1301, 1305, 1310, 1263};
	unsigned last = 0;

	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(codes); i++) {
		bool other = false;

		assert_true(codes[i].code > last);
		assert_true(codes[i].title[0] && strlen(codes[i].text) > 40);
		last = codes[i].code;
		for (size_t k = 0; k < ZT_ARRAY_SIZE(elsewhere); k++)
			other = other || elsewhere[k] == last;
		if (!other && !in_a_golden_case(last))
			fail_msg("no golden case for ZT%u", last);
	}
}

/* ---- fmt ---- */
static uint32_t seed = 1;

static uint32_t pick(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

/* What can be formatted formats to itself, and means the same. */
static void check_stable(const char *text, size_t len)
{
	ZT_STRBUF struct zt_strbuf once = {0}, twice = {0};

	if (zt_policy_format("a", text, len, &once, NULL) < 0)
		return;
	assert_int_equal(zt_policy_format("b", zt_strbuf_cstr(&once), once.len, &twice, NULL), 0);
	if (strcmp(zt_strbuf_cstr(&once), zt_strbuf_cstr(&twice)) != 0) {
		print_message("%.*s\n--- once\n%s--- twice\n%s", (int)len, text, zt_strbuf_cstr(&once),
			      zt_strbuf_cstr(&twice));
		fail();
	}
}

static size_t count_of(const char *text, char c)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == c;
	return n;
}

static void mutate(char *text, size_t *len)
{
	static const char *const bits[] = {"\n# c\n", " # c", "\n", "  ", "- ", "#",	": ", "\"",
					   "[",	      "]",    "{",  "}",  ", ", "\n\n", "'"};
	const char *bit = bits[pick(ZT_ARRAY_SIZE(bits))];
	size_t at = pick((uint32_t)*len + 1), n = strlen(bit);

	if (pick(4) == 0 && *len > 4) {
		size_t cut = pick(4) + 1;

		at = pick((uint32_t)(*len - cut));
		memmove(text + at, text + at + cut, *len - at - cut);
		*len -= cut;
		return;
	}
	memmove(text + at + n, text + at, *len - at);
	memcpy(text + at, bit, n);
	*len += n;
}

static void fmt_is_stable_under_changes(void **state)
{
	ZT_FREE char *path = zt_asprintf("%s/tests/golden/policy/fmt/everything.yaml", getenv("ZT_SOURCE_ROOT")),
		     *text = NULL;
	ZT_FREE char *copy = NULL;
	size_t len, n;

	(void)state;
	assert_int_equal(zt_file_read(path, 1 << 20, &text, &len), 0);
	copy = zt_malloc(len + 256);
	assert_non_null(copy);
	for (int i = 0; i < 20000; i++) {
		memcpy(copy, text, len);
		n = len;
		for (uint32_t k = pick(4) + 1; k; k--)
			mutate(copy, &n);
		check_stable(copy, n);
	}
}

static void fmt_keeps_every_comment(void **state)
{
	ZT_FREE char *path = zt_asprintf("%s/tests/golden/policy/fmt/everything.yaml", getenv("ZT_SOURCE_ROOT")),
		     *text = NULL;
	ZT_STRBUF struct zt_strbuf out = {0};
	size_t len;

	(void)state;
	assert_int_equal(zt_file_read(path, 1 << 20, &text, &len), 0);
	assert_int_equal(zt_policy_format("a", text, len, &out, NULL), 0);
	assert_int_equal(count_of(text, '#'), count_of(zt_strbuf_cstr(&out), '#'));
}

int main(void)
{
	const struct CMUnitTest list[] = {
		cmocka_unit_test(schema_has_every_key),	   cmocka_unit_test(man_has_every_key),
		cmocka_unit_test(examples_are_valid),	   cmocka_unit_test(every_code_is_held),
		cmocka_unit_test(fmt_keeps_every_comment), cmocka_unit_test(fmt_is_stable_under_changes),
	};

	return cmocka_run_group_tests(list, NULL, NULL);
}
