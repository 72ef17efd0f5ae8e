/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records and their forms: every field by the table, hostile texts, damaged records. */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "event/activity.h"

static void fill(struct zt_activity *a, enum zt_field f, unsigned seed)
{
	const struct zt_field_info *info = zt_field_info(f);
	char *at = (char *)a + info->offset, text[600];
	uint64_t v = UINT64_MAX >> seed % 64;

	switch (info->type) {
	case ZT_TYPE_TEXT:
		memset(text, 'a' + (int)(seed % 26), sizeof(text));
		zt_activity_text_(a, f, text, seed % 2 ? 5 : sizeof(text));
		return;
	case ZT_TYPE_ADDR:
		assert_int_equal(zt_addr_parse(seed % 2 ? "10.1.2.3" : "2001:db8::7", (struct zt_addr *)at), 0);
		break;
	case ZT_TYPE_TIME:
		v = UINT64_C(1735293600123456);
		memcpy(at, &v, info->size);
		break;
	case ZT_TYPE_KIND:
		a->kind = seed % ZT_ACTIVITY_KINDS;
		break;
	case ZT_TYPE_U64: /* JSON's integers are signed */
		v >>= 1;
		memcpy(at, &v, info->size);
		break;
	case ZT_TYPE_U32:
	case ZT_TYPE_U16:
	case ZT_TYPE_PROTO:
		memcpy(at, &v, info->size);
		break;
	}
	a->has |= UINT64_C(1) << f;
}

static void same(const struct zt_activity *a, const struct zt_activity *b)
{
	struct zt_strbuf x = {0}, y = {0};

	assert_int_equal(a->has, b->has);
	zt_activity_json(a, &x);
	zt_activity_json(b, &y);
	assert_string_equal(zt_strbuf_cstr(&x), zt_strbuf_cstr(&y));
	zt_strbuf_done(&x);
	zt_strbuf_done(&y);
}

static void forms(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 200; seed++) {
		struct zt_strbuf json = {0}, packed = {0};
		struct zt_activity a, b;

		zt_activity_init(&a, seed % ZT_ACTIVITY_KINDS, 1);
		for (enum zt_field f = 0; f < ZT_FIELDS; f++)
			if (f < 2 || (seed * 2654435761u >> (f % 24)) & 1 || seed == 7)
				fill(&a, f, seed + f);
		zt_activity_json(&a, &json);
		assert_int_equal(zt_activity_from_json(json.buf, json.len, &b), 0);
		same(&a, &b);
		zt_activity_pack(&a, &packed);
		assert_int_equal(zt_activity_unpack(packed.buf, packed.len, &b), 0);
		same(&a, &b);
		for (size_t cut = 0; cut < packed.len; cut++) /* must not read past it; what is whole may be read */
			(void)zt_activity_unpack(packed.buf, cut, &b);
		zt_strbuf_done(&json);
		zt_strbuf_done(&packed);
	}
}

static void values(void **state)
{
	struct zt_strbuf b = {0};
	struct zt_activity a;

	(void)state;
	zt_activity_init(&a, ZT_ACTIVITY_CONNECT, UINT64_C(1735293600000042));
	zt_activity_set(&a, pid, 811);
	zt_activity_set(&a, protocol, 6);
	assert_int_equal(zt_addr_parse("10.0.0.1", &a.dst), 0);
	a.has |= UINT64_C(1) << ZT_FIELD_dst;
	zt_activity_set(&a, dport, 443);
	zt_activity_text(&a, comm, "ng\"inx", 16);
	zt_activity_json(&a, &b);
	assert_string_equal(
		zt_strbuf_cstr(&b),
		"{\"time\":\"2024-12-27T10:00:00.000042Z\",\"kind\":\"connect\",\"pid\":811,\"comm\":\"ng\\\"inx\","
		"\"protocol\":\"tcp\",\"dst\":\"10.0.0.1\",\"dport\":443}");
	zt_strbuf_done(&b);
}

/* What a process may be called, and what is left of it. */
static void hostile(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"a\nb", "a\\x0ab"},
		{"\033[2J", "\\x1b[2J"},
		{"\xff\xfe", "\\xff\\xfe"},
		{"\xc2\x9b", "\\xc2\\x9b"},	     /* C1: CSI */
		{"\xe2\x80\xae", "\\xe2\\x80\\xae"}, /* right to left override */
		{"\xe2\x80\xa8", "\\xe2\\x80\\xa8"}, /* line separator */
		{"\xed\xa0\x80", "\\xed\\xa0\\x80"}, /* a surrogate */
		{"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
		{"\xf0\x9f\x94\xa5", "\xf0\x9f\x94\xa5"},
		{"\xc3", "\\xc3"},
		{"\"}\\", "\"}\\"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct zt_strbuf b = {0};
		struct zt_activity a;
		json_t *j;

		zt_activity_init(&a, ZT_ACTIVITY_EXEC, 1);
		zt_activity_text(&a, comm, cases[i].in, 64);
		assert_string_equal(a.comm, cases[i].out);
		zt_activity_json(&a, &b);
		j = json_loadb(b.buf, b.len, 0, NULL);
		assert_non_null(j);
		assert_string_equal(json_string_value(json_object_get(j, "comm")), cases[i].out);
		json_decref(j);
		zt_strbuf_done(&b);
	}
}

static void truncated(void **state)
{
	char text[128];
	struct zt_activity a;

	(void)state;
	memset(text, '\n', sizeof(text));
	zt_activity_init(&a, ZT_ACTIVITY_EXEC, 1);
	zt_activity_text(&a, user, text, sizeof(text)); /* an escape is whole or not there */
	assert_int_equal(strlen(a.user), 15 * 4 + 3);
	assert_string_equal(a.user + 56, "\\x0a...");
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (i & 1) ? (char)0xbc : (char)0xc3;
	zt_activity_text(&a, user, text, sizeof(text));
	assert_string_equal(a.user + 58, "\xc3\xbc...");
	memset(text, 'a', sizeof(text));
	zt_activity_text(&a, user, text, 63); /* it fits */
	assert_int_equal(strspn(a.user, "a"), 63);
	zt_activity_text(&a, user, text, 64);
	assert_string_equal(a.user + 59, "a...");
	zt_activity_text(&a, exe, "", 1);
	assert_false(zt_activity_has(&a, ZT_FIELD_exe));
}

static void damaged(void **state)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{\"time\":1,\"kind\":\"exec\"}",
		"{\"time\":\"2024-12-27T10:00:00Z\"}",
		"{\"time\":\"2024-12-27T10:00:00Z\",\"kind\":\"none\"}",
		"{\"time\":\"2024-12-27T10:00:00Z\",\"kind\":\"exec\",\"pid\":-1}",
		"{\"time\":\"2024-12-27T10:00:00Z\",\"kind\":\"exec\",\"pid\":4294967296}",
		"{\"time\":\"2024-12-27T10:00:00Z\",\"kind\":\"exec\",\"dport\":65536}",
		"{\"time\":\"2024-12-27T10:00:00Z\",\"kind\":\"exec\",\"dst\":\"10.0.0\"}",
		"{\"time\":\"2024-12-27T10:00:00Z\",\"kind\":\"exec\",\"comm\":7}",
		"{\"time\":\"2024-12-27T10:00:00Z\",\"kind\":\"exec\",\"colour\":\"red\"}",
		"{\"time\":\"2024-12-27T10:00:00.Z\",\"kind\":\"exec\"}",
	};
	static const struct {
		const char *bytes;
		size_t len;
	} packed[] = {
		{"\x00\x01", 2},
		{"\x00\x01\x01", 3},
		{"\x00\x01\x01\x7f", 4},
		{"\x00\x01\x01\x00\x40\x01", 6},
		{"\x00\x01\x01\x00\x02\xff\xff\xff\xff\x7f", 10},
		{"\x00\x01\x01\x00\x00\x01", 6},
		{"\x00\x01\x01\x00\x08\x05"
		 "ab",
		 8},
	};
	struct zt_activity a;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(zt_activity_from_json(bad[i], strlen(bad[i]), &a), -EINVAL);
	for (size_t i = 0; i < sizeof(packed) / sizeof(packed[0]); i++)
		assert_int_equal(zt_activity_unpack(packed[i].bytes, packed[i].len, &a), -EBADMSG);
}

/* Numbers are stored: what they mean may never change. */
static void numbers(void **state)
{
	(void)state;
	assert_int_equal(zt_field_find("time"), 0);
	assert_int_equal(zt_field_find("kind"), 1);
	assert_int_equal(zt_field_find("exe"), 10);
	assert_int_equal(zt_field_find("protocol"), 22);
	assert_int_equal(zt_field_find("rule"), 34);
	assert_int_equal(zt_field_find("count"), 48);
	assert_int_equal(zt_field_find("nothing"), -ENOENT);
	assert_int_equal(zt_activity_find("exec"), 0);
	assert_int_equal(zt_activity_find("deny"), 9);
	assert_int_equal(zt_activity_find("lost"), 15);
	assert_int_equal(zt_activity_find("nothing"), -ENOENT);
	for (enum zt_field f = 0; f < ZT_FIELDS; f++)
		assert_true(zt_field_info(f)->doc[0] && (int)f == zt_field_find(zt_field_info(f)->name));
}

int main(void)
{
	const struct CMUnitTest list[] = {
		cmocka_unit_test(forms),     cmocka_unit_test(values),	cmocka_unit_test(hostile),
		cmocka_unit_test(truncated), cmocka_unit_test(damaged), cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests(list, NULL, NULL);
}
