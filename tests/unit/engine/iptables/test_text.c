/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text side of the iptables engine, without a kernel: words, normal forms, tables, swaps, the compact form, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/iptables/iptables.h"
#include "random.h"

static void assert_words(const char *args, size_t n, ...)
{
	char *copy = zt_strdup(args), *words[8];
	size_t got = 0;
	va_list ap;

	assert_int_equal(ipt_words(copy, words, 8, &got), 0);
	assert_int_equal(got, n);
	va_start(ap, n);
	for (size_t i = 0; i < n; i++)
		assert_string_equal(words[i], va_arg(ap, const char *));
	va_end(ap);
	free(copy);
}

static void test_words(void **state)
{
	char many[] = "1 2 3 4 5 6 7 8 9", *words[8];
	size_t n;

	(void)state;
	assert_words("", 0);
	assert_words("  -j\tACCEPT ", 2, "-j", "ACCEPT");
	assert_words("--comment \"a b\" x", 3, "--comment", "a b", "x");
	assert_words("\"\" y", 2, "", "y");
	assert_words("\"a \\\"b\\\" \\\\c\"", 1, "a \"b\" \\c");
	assert_words("\"never closed", 1, "never closed");
	assert_words("ends\\", 1, "ends\\");
	assert_int_equal(ipt_words(many, words, 8, &n), -E2BIG);
}

static void assert_equal_rules(const char *a, const char *b, bool equal)
{
	ZT_FREE char *x = NULL, *y = NULL;

	assert_int_equal(ipt_normal(a, &x, NULL, NULL), 0);
	assert_int_equal(ipt_normal(b, &y, NULL, NULL), 0);
	if (equal)
		assert_string_equal(x, y);
	else
		assert_string_not_equal(x, y);
}

/* What the tools print for what they were given is the same rule; a rule that differs in any value is not. */
static void test_normal(void **state)
{
	ZT_FREE char *normal = NULL, *comment = NULL, *target = NULL;

	(void)state;
	assert_equal_rules("-p 6 -j ACCEPT", "-p tcp -j ACCEPT", true);
	assert_equal_rules("-p 6 -j ACCEPT", "-p udp -j ACCEPT", false);
	assert_equal_rules("-s 10.0.0.1 -j DROP", "-s 10.0.0.1/32 -j DROP", true);
	assert_equal_rules("-s 10.0.0.1 -j DROP", "-d 10.0.0.1/32 -j DROP", false);
	assert_equal_rules("-d fd00:0::1 -j DROP", "-d fd00::1/128 -j DROP", true);
	assert_equal_rules("-j DROP -p tcp", "-p tcp -j DROP", true);
	assert_equal_rules("-m limit --limit 60/min --limit-burst 5 -j LOG", "-m limit --limit 1/sec -j LOG", true);
	assert_equal_rules("-m limit --limit 1/sec --limit-burst 6 -j LOG", "-m limit --limit 1/sec -j LOG", false);
	assert_equal_rules("! -o lo -j DROP", "-o lo -j DROP", false);
	assert_equal_rules("-m owner --uid-owner 1000 -j ACCEPT", "-m owner --uid-owner 1000-1001 -j ACCEPT", false);
	assert_equal_rules("-m owner --uid-owner 1000 -j ACCEPT", "-m owner --gid-owner 1000 -j ACCEPT", false);
	assert_equal_rules("-m conntrack --ctdir REPLY -j ACCEPT", "-m conntrack --ctdir ORIGINAL -j ACCEPT", false);
	assert_int_equal(ipt_normal("-m comment --comment \"rule a b #0\" -g ZT-OR", &normal, &comment, &target), 0);
	assert_string_equal(comment, "rule a b #0");
	assert_string_equal(target, "ZT-OR");
}

static void test_names(void **state)
{
	(void)state;
	assert_true(ipt_chain_is_ours("default", "ZT-OUT"));
	assert_true(ipt_chain_is_ours("lab", "ZT-OUT-lab"));
	assert_false(ipt_chain_is_ours("default", "ZT-OUT-lab"));
	assert_false(ipt_chain_is_ours("lab", "ZT-OUT"));
	assert_false(ipt_chain_is_ours("default", "ZT-"));
	assert_false(ipt_chain_is_ours("default", "ZTOUT"));
	assert_false(ipt_chain_is_ours("default", "OUTPUT"));
}

static int parse(const char *text)
{
	struct ipt_table t = {0};
	int r = ipt_table_parse("default", text, &t);

	ipt_table_done(&t);
	return r;
}

static void test_tables(void **state)
{
	static const char text[] =
		"# a remark\n*nat\n:PREROUTING ACCEPT [1:2]\n-A PREROUTING -j RETURN\nCOMMIT\n*filter\n:OUTPUT ACCEPT [0:0]\n"
		":ZT-OUT - [0:0]\n:OTHER - [0:0]\n[3:40] -A OUTPUT -j ZT-OUT\n[5:60] -A ZT-OUT -j ACCEPT\n"
		"[1:1] -A OTHER -j ZT-OUT\nCOMMIT\n";
	struct ipt_table t = {0};

	(void)state;
	assert_int_equal(ipt_table_parse("default", text, &t), 0);
	assert_int_equal(t.n_chains, 1);
	assert_int_equal(t.lines.n, 1);
	assert_int_equal(t.lines.v[0].packets, 5);
	assert_int_equal(t.lines.v[0].bytes, 60);
	assert_int_equal(t.links.n, 2);
	assert_true(t.linked[ZT_DIR_EGRESS]);
	assert_false(t.linked[ZT_DIR_INGRESS]);
	assert_true(t.others);
	ipt_table_done(&t);
	assert_int_equal(parse(""), 0);
	assert_int_equal(parse("*filter\n:ZT-OUT - [0:0]\n"), -EBADMSG); /* cut off */
	assert_int_equal(parse("*filter\n-X ZT-OUT\nCOMMIT\n"), -EBADMSG);
	assert_int_equal(parse("no such text\n"), -EBADMSG);
	/* ours is not the first rule of the chain: it decides nothing that the one before it has let pass */
	assert_int_equal(ipt_table_parse("default",
					 "*filter\n:ZT-OUT - [0:0]\n-A OUTPUT -j ACCEPT\n-A OUTPUT -j ZT-OUT\nCOMMIT\n",
					 &t),
			 0);
	assert_false(t.linked[ZT_DIR_EGRESS]);
	ipt_table_done(&t);
}

/* A swap flushes in place and never unlinks: there is no moment without the jump from a built-in chain. */
static void test_swap(void **state)
{
	ZT_STRBUF struct zt_strbuf text = {0};

	(void)state;
	for (unsigned seed = 1; seed <= 20; seed++) {
		struct zt_ruleset *a = random_ruleset(seed, 12), *b = random_ruleset(seed + 100, 12);
		struct zt_image *x = NULL, *y = NULL;
		struct ipt_table from = {0}, to = {0};
		struct ipt_difference at;

		assert_int_equal(ipt_lower(a, &x, NULL), 0);
		assert_int_equal(ipt_lower(b, &y, NULL), 0);
		assert_int_equal(ipt_table_parse("default", x->text[IPT_4], &from), 0);
		assert_int_equal(ipt_table_parse("default", y->text[IPT_4], &to), 0);
		assert_int_equal(ipt_table_compare(&from, &from, &at), 0);
		assert_int_equal(ipt_table_compare(&from, &to, &at), 1);
		zt_strbuf_clear(&text);
		assert_int_equal(ipt_swap_text("default", &from, &to, &text), 0);
		assert_null(strstr(zt_strbuf_cstr(&text), "-D OUTPUT"));
		assert_null(strstr(zt_strbuf_cstr(&text), "-X ZT-OUT\n"));
		zt_strbuf_clear(&text);
		assert_int_equal(ipt_swap_text("default", &from, NULL, &text), 0);
		assert_non_null(strstr(zt_strbuf_cstr(&text), "-D OUTPUT"));
		assert_non_null(strstr(zt_strbuf_cstr(&text), "-X ZT-OUT\n"));
		ipt_table_done(&from);
		ipt_table_done(&to);
		ipt_image_free(x);
		ipt_image_free(y);
		zt_ruleset_free(a);
		zt_ruleset_free(b);
	}
}

/* The compact form is read back whole, or refused: never in part. */
static void test_meta(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 20; seed++) {
		struct zt_ruleset *rs = random_ruleset(seed, 12), *back = NULL;
		ZT_STRBUF struct zt_strbuf meta = {0}, x = {0}, y = {0};

		assert_int_equal(ipt_meta_make(rs, true, &meta), 0);
		assert_int_equal(zt_ruleset_new(&back), 0);
		assert_int_equal(ipt_meta_parse(zt_strbuf_cstr(&meta), back), 0);
		assert_int_equal(zt_ruleset_canonical(rs, &x), 0);
		assert_int_equal(zt_ruleset_canonical(back, &y), 0);
		assert_string_equal(zt_strbuf_cstr(&x), zt_strbuf_cstr(&y));
		zt_ruleset_free(back);
		zt_ruleset_free(rs);
	}
	for (size_t i = 0; i < 4; i++) {
		static const char *const bad[] = {"", "x", "r;x", "h;;;"};
		struct zt_ruleset *rs = NULL;

		assert_int_equal(zt_ruleset_new(&rs), 0);
		assert_int_equal(ipt_meta_parse(bad[i], rs), -EUCLEAN);
		zt_ruleset_free(rs);
	}
}

/* ---- what iptables has no match for is refused by name, not weakened ---- */
static void assert_refused(void (*spoil)(struct zt_ruleset *rs, struct zt_rule *r), const char *says)
{
	struct zt_ruleset *rs = NULL;
	struct zt_image *img = NULL;
	struct zt_diags d = {0};
	struct zt_rule *r;

	assert_int_equal(zt_ruleset_new(&rs), 0);
	r = zt_ruleset_add(rs);
	r->id = zt_strdup("the-rule");
	r->line = 7;
	r->match.families = ZT_FAMILY_4 | ZT_FAMILY_6;
	spoil(rs, r);
	assert_int_equal(ipt_lower(rs, &img, &d), -ENOTSUP);
	assert_null(img);
	assert_int_equal(d.errors, 1);
	assert_int_equal(d.items[0].code, 3201);
	assert_non_null(strstr(d.items[0].message, says));
	zt_diags_done(&d);
	zt_ruleset_free(rs);
}

static void inbound_user(struct zt_ruleset *rs, struct zt_rule *r)
{
	(void)rs;
	r->dir = ZT_DIR_INGRESS;
	(void)zt_u32_ranges_add(&r->match.uid, 1, 1);
}

static void protocol_zero(struct zt_ruleset *rs, struct zt_rule *r)
{
	(void)rs;
	(void)zt_u32_ranges_add(&r->match.proto, 0, 0);
}

static void extension(struct zt_ruleset *rs, struct zt_rule *r)
{
	(void)rs;
	(void)zt_u32_ranges_add(&r->match.proto, 51, 51);
}

static void far_date(struct zt_ruleset *rs, struct zt_rule *r)
{
	(void)rs;
	r->expires = UINT64_C(2200000000) * 1000000;
}

static void long_path(struct zt_ruleset *rs, struct zt_rule *r)
{
	(void)rs;
	r->match.cgroups = zt_new(struct zt_cgroup, 1);
	r->match.cgroups[0].path = zt_calloc(1, 600);
	memset(r->match.cgroups[0].path, 'x', 599);
	r->match.n_cgroups = 1;
}

static void fast_log(struct zt_ruleset *rs, struct zt_rule *r)
{
	(void)r;
	rs->settings.log_limit = 20000;
}

static void test_refusals(void **state)
{
	(void)state;
	assert_refused(inbound_user, "\"the-rule\"");
	assert_refused(inbound_user, "sender's side");
	assert_refused(protocol_zero, "protocol 0");
	assert_refused(extension, "protocol 51");
	assert_refused(far_date, "2037");
	assert_refused(long_path, "511");
	assert_refused(fast_log, "log_limit");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),	 cmocka_unit_test(test_normal), cmocka_unit_test(test_names),
		cmocka_unit_test(test_tables),	 cmocka_unit_test(test_swap),	cmocka_unit_test(test_meta),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
