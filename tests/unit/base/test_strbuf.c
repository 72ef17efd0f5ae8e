/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common.h"

#include "base/strbuf.h"

static void appends(void **state)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	char *s;

	(void)state;
	assert_string_equal(zt_strbuf_cstr(&b), "");
	zt_strbuf_str(&b, "ab");
	zt_strbuf_char(&b, 'c');
	zt_strbuf_add(&b, "d\0e", 3);
	zt_strbuf_add(&b, "", 0);
	zt_strbuf_printf(&b, "%05d", 42);
	assert_int_equal(b.len, 11);
	assert_memory_equal(b.buf, "abcd\0e00042", 12);
	zt_strbuf_clear(&b);
	assert_int_equal(b.len, 0);
	assert_string_equal(zt_strbuf_cstr(&b), "");
	zt_strbuf_str(&b, "again");
	s = zt_strbuf_steal(&b);
	assert_string_equal(s, "again");
	assert_null(b.buf);
	free(s);
	s = zt_strbuf_steal(&b); /* of an empty one */
	assert_string_equal(s, "");
	free(s);
}

static void long_prints_are_whole(void **state)
{
	(void)state;
	for (int n = 200; n < 300; n++) { /* around the first guess of 256 bytes, and around a power of two */
		ZT_STRBUF struct zt_strbuf b = {0};

		zt_strbuf_printf(&b, "%*s", n, "x");
		zt_strbuf_printf(&b, "%*s", 4 * n, "y");
		assert_int_equal(zt_strbuf_error(&b), 0);
		assert_int_equal(b.len, 5 * n);
		assert_int_equal(strlen(b.buf), 5 * n);
		assert_int_equal(b.buf[n - 1], 'x');
		assert_int_equal(b.buf[5 * n - 1], 'y');
	}
}

static void poison_spreads(void **state)
{
	struct zt_strbuf b = {0};

	(void)state;
	zt_strbuf_str(&b, "kept");
	zt_strbuf_add(&b, "x", SIZE_MAX / 2); /* no such memory */
	assert_int_equal(zt_strbuf_error(&b), -ENOMEM);
	zt_strbuf_str(&b, "more");
	zt_strbuf_printf(&b, "%d", 1);
	assert_string_equal(zt_strbuf_cstr(&b), "kept");
	assert_null(zt_strbuf_steal(&b));
	assert_int_equal(zt_strbuf_error(&b), 0); /* stealing leaves a new one */
	zt_strbuf_done(&b);
}

static void escapes(void **state)
{
	static const struct {
		const char *in;
		size_t len;
		const char *out;
	} cases[] = {
		{"plain text", 10, "plain text"},
		{"\033[31mred\n", 9, "\\x1b[31mred\\x0a"},
		{"a\0b", 3, "a\\x00b"},
		{"say \"hi\" \\", 10, "say \\\"hi\\\" \\\\"},
		{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
		{"\xc3", 1, "\\xc3"},			/* cut off */
		{"\xc0\xaf", 2, "\\xc0\\xaf"},		/* overlong */
		{"\xed\xa0\x80", 3, "\\xed\\xa0\\x80"}, /* surrogate */
		{"\x7f", 1, "\\x7f"},
		{"\xc2\x9b", 2, "\\xc2\\x9b"}, /* CSI of terminals that take 8-bit controls */
	};

	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(cases); i++) {
		ZT_STRBUF struct zt_strbuf b = {0};

		zt_strbuf_escaped(&b, cases[i].in, cases[i].len);
		assert_string_equal(zt_strbuf_cstr(&b), cases[i].out);
	}
}

static void utf8(void **state)
{
	(void)state;
	assert_true(zt_utf8_valid("", 0));
	assert_true(zt_utf8_valid("a\xc3\xa4\xef\xbf\xbd\xf4\x8f\xbf\xbf", 10));
	assert_false(zt_utf8_valid("\xf4\x90\x80\x80", 4)); /* above U+10FFFF */
	assert_false(zt_utf8_valid("\xe0\x80\xaf", 3));
	assert_false(zt_utf8_valid("\xf0\x80\x80\xaf", 4));
	assert_false(zt_utf8_valid("\xed\xbf\xbf", 3));
	assert_false(zt_utf8_valid("\x80", 1));
	assert_false(zt_utf8_valid("\xe2\x82\xac", 2)); /* length counts, not the bytes behind it */
}

static void distances(void **state)
{
	char many[80];

	(void)state;
	assert_int_equal(zt_str_distance("port", "port", 3), 0);
	assert_int_equal(zt_str_distance("potr", "port", 3), 1); /* neighbours swapped */
	assert_int_equal(zt_str_distance("prt", "port", 3), 1);
	assert_int_equal(zt_str_distance("ports", "port", 3), 1);
	assert_int_equal(zt_str_distance("", "abc", 3), 3);
	assert_int_equal(zt_str_distance("kitten", "sitting", 5), 3);
	assert_int_equal(zt_str_distance("abcdef", "ghijkl", 2), 3); /* max + 1, whatever it is */
	memset(many, 'a', sizeof(many) - 1);
	many[sizeof(many) - 1] = '\0';
	assert_int_equal(zt_str_distance(many, many, 9), 10); /* too long to compare */
}

static void nearest(void **state)
{
	static const char *const words[] = {"host", "port", "protocol", "priority"};

	(void)state;
	assert_string_equal(zt_str_nearest("potr", words, 4), "port");
	assert_string_equal(zt_str_nearest("protocl", words, 4), "protocol");
	assert_null(zt_str_nearest("zzzzzz", words, 4));
	assert_null(zt_str_nearest("port", words, 0));
}

static void numbers(void **state)
{
	static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "0x10", "1e3", "12a"};
	char text[32];
	uint64_t v = 7;

	(void)state;
	assert_int_equal(zt_parse_u64("18446744073709551615", UINT64_MAX, &v), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(zt_parse_u64("18446744073709551616", UINT64_MAX, &v), -ERANGE);
	assert_int_equal(zt_parse_u64("99999999999999999999999", UINT64_MAX, &v), -ERANGE);
	assert_int_equal(zt_parse_u64("65535", 65535, &v), 0);
	assert_int_equal(zt_parse_u64("65536", 65535, &v), -ERANGE);
	assert_int_equal(v, 65535);
	assert_int_equal(zt_parse_u64("007", 10, &v), 0);
	assert_int_equal(v, 7);
	for (size_t i = 0; i < ZT_ARRAY_SIZE(bad); i++)
		assert_int_equal(zt_parse_u64(bad[i], UINT64_MAX, &v), -EINVAL);
	zt_format_thousands(0, text);
	assert_string_equal(text, "0");
	zt_format_thousands(999, text);
	assert_string_equal(text, "999");
	zt_format_thousands(1234567, text);
	assert_string_equal(text, "1,234,567");
	zt_format_thousands(UINT64_MAX, text);
	assert_string_equal(text, "18,446,744,073,709,551,615");
}

static void equality(void **state)
{
	(void)state;
	assert_true(zt_str_eq(NULL, NULL));
	assert_false(zt_str_eq("", NULL));
	assert_false(zt_str_eq(NULL, ""));
	assert_true(zt_str_eq("a", "a"));
	assert_false(zt_str_eq("a", "b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends),	  cmocka_unit_test(long_prints_are_whole),
		cmocka_unit_test(poison_spreads), cmocka_unit_test(escapes),
		cmocka_unit_test(utf8),		  cmocka_unit_test(distances),
		cmocka_unit_test(nearest),	  cmocka_unit_test(numbers),
		cmocka_unit_test(equality),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
