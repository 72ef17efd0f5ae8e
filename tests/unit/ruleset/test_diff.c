/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common.h"

/* "+a ~b -c >d": what changed, in order. */
static void expect(const struct zt_ruleset *before, const struct zt_ruleset *after, const char *want)
{
	static const char marks[] = {[ZT_ADDED] = '+', [ZT_REMOVED] = '-', [ZT_CHANGED] = '~', [ZT_MOVED] = '>'};
	struct zt_strbuf b = {0};
	struct zt_diff d = {0};

	assert_int_equal(zt_ruleset_diff(before, after, &d), 0);
	for (size_t i = 0; i < d.n; i++) {
		assert_int_equal(d.items[i].before == NULL, d.items[i].change == ZT_ADDED);
		assert_int_equal(d.items[i].after == NULL, d.items[i].change == ZT_REMOVED);
		zt_strbuf_printf(&b, "%s%c%s", i ? " " : "", marks[d.items[i].change],
				 d.items[i].after ? d.items[i].after->id : d.items[i].before->id);
	}
	if (d.settings_changed)
		zt_strbuf_printf(&b, "%s%s", b.len ? " | " : "", d.settings_text);
	else
		assert_null(d.settings_text);
	assert_int_equal(zt_diff_empty(&d), b.len == 0);
	assert_string_equal(zt_strbuf_cstr(&b), want);
	zt_strbuf_done(&b);
	zt_diff_done(&d);
}

static struct zt_ruleset *letters(const char *order, const char *settings)
{
	struct zt_strbuf b = {0};
	struct zt_ruleset *rs;

	zt_strbuf_printf(&b, V "settings: %s\n%s", settings, *order ? "rules:\n" : "");
	for (; *order; order++)
		zt_strbuf_printf(&b, "- {name: %c, from: {uid: %d}, to: {port: %d}, action: allow}\n", *order | 0x20,
				 *order | 0x20,
				 *order & 0x20 ? 80 : 81); /* an upper case letter is the same rule, changed */
	rs = must_compile(zt_strbuf_cstr(&b));
	zt_strbuf_done(&b);
	return rs;
}

static void rules(void **state)
{
	static const char *const cases[][3] =
		{
			{"abc", "abc", ""},	 {"", "", ""},		 {"abc", "", "-a -b -c"},
			{"", "abc", "+a +b +c"}, {"abc", "aBc", "~b"},	 {"abc", "ac", "-b"},
			{"abc", "xabc", "+x"}, /* what moved down because something is new above did not move */
			{"abcd", "dabc", ">d"},	 {"abcd", "bcda", ">a"}, {"abcd", "axCb", "-d +x ~c"},
		};

	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(cases); i++) {
		struct zt_ruleset *a = letters(cases[i][0], "{}"), *b = letters(cases[i][1], "{}");

		expect(a, b, cases[i][2]);
		zt_ruleset_free(a);
		zt_ruleset_free(b);
	}
}

static void settings(void **state)
{
	static const char *const cases[][2] = {
		{"{mode: observe}", "mode: enforce -> observe"},
		{"{block: drop}", "block: reject -> drop"},
		{"{loopback: allow}", "loopback: enforce -> allow"},
		{"{log_blocked: false}", "log_blocked: true -> false"},
		{"{log_limit: 5/minute}", "log_limit: 10/second -> 5/minute"},
		{"{mark_bits: 8-15}", "mark_bits: ffff0000 -> 0000ff00"},
		{"{log_prefix: \"X: \"}", "log_prefix: ZT-BLOCKED:  -> X: "},
		{"{default_policy: {ingress: allow}}", "default_policy.ingress: deny -> allow"},
		{"{preserve_ssh: false}", "preserve_ssh: true -> false, ssh ports: 22 -> none"},
		{"{preserve_established: false, mode: observe}",
		 "mode: enforce -> observe, preserve_established: true -> false"},
	};
	struct zt_ruleset *a = letters("a", "{}");

	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(cases); i++) {
		struct zt_ruleset *b = letters("a", cases[i][0]);

		assert_string_not_equal(a->hash, b->hash);
		expect(a, b, cases[i][1]);
		zt_ruleset_free(b);
	}
	expect(NULL, a, "+a | nothing is active now");
	zt_ruleset_free(a);
}

/* Equal canonical bytes and an empty diff are the same thing; and every item is true. */
static void random_pairs(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed < 400; seed++) {
		struct zt_ruleset *a = random_whole(seed, 8), *b = NULL;
		unsigned s = seed * 7;
		char *x, *y;
		struct zt_diff d = {0};

		assert_int_equal(zt_ruleset_dup(a, &b), 0);
		for (size_t i = 0; i < b->n_rules && s % 3; i++) /* change some of them in one place */
			if (rnd(&s, 3) == 0)
				b->rules[i].log = !b->rules[i].log;
			else if (rnd(&s, 3) == 0)
				b->rules[i].match.families ^= 3;
		x = canonical(a);
		y = canonical(b);
		assert_int_equal(zt_ruleset_diff(a, b, &d), 0);
		assert_int_equal(zt_diff_empty(&d), !strcmp(x, y));
		for (size_t i = 0; i < d.n; i++) {
			assert_int_equal(d.items[i].change, ZT_CHANGED);
			assert_false(zt_rule_eq(d.items[i].before, d.items[i].after));
		}
		zt_diff_done(&d);
		free(x);
		free(y);
		zt_ruleset_free(a);
		zt_ruleset_free(b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(rules), cmocka_unit_test(settings),
					   cmocka_unit_test(random_pairs)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
