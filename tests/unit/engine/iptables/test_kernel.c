/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The iptables engine against the kernel, in a network namespace of this process alone. Exit 77: not root. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/proc.h"
#include "engine/iptables/iptables.h"
#include "random.h"

#define E (&zt_engine_iptables)

static void explain(const struct zt_diags *d, const char *what, unsigned seed)
{
	print_message("%s, seed %u\n", what, seed);
	zt_diags_print(d, stderr, false);
}

static void run_ok(const char *const *argv)
{
	struct zt_run r = {.argv = argv};

	assert_int_equal(zt_run(&r), 0);
	if (r.status)
		print_message("%s: %s\n", argv[0], r.err);
	assert_int_equal(r.status, 0);
	zt_run_done(&r);
}
#define RUN(...) run_ok((const char *const[]){__VA_ARGS__, NULL})

static const char *program(const char *family, char buf[static 64])
{
	const char *variant = getenv("ZT_IPTABLES_VARIANT");

	(void)snprintf(buf, 64, "%s%s%s", family, variant ? "-" : "", variant ? variant : "");
	return buf;
}
#define IPT4 program("iptables", (char[64]){0})
#define IPT6 program("ip6tables", (char[64]){0})

static struct zt_image *lowered(const struct zt_ruleset *rs, unsigned seed)
{
	struct zt_image *img = NULL;
	struct zt_diags d = {0};
	int r = E->lower(rs, &img, &d);

	if (r < 0)
		explain(&d, "lower", seed);
	assert_int_equal(r, 0);
	zt_diags_done(&d);
	return img;
}

static bool commit(const struct zt_ruleset *rs, unsigned seed)
{
	struct zt_image *img = lowered(rs, seed);
	struct zt_diags d = {0};
	bool changed = false;
	int r = E->commit(img, &changed, &d);

	if (r < 0)
		explain(&d, "commit", seed);
	assert_int_equal(r, 0);
	/* Frames of packet sockets go round this engine: whoever applies hears of it. */
	assert_int_equal(d.n, changed);
	assert_true(!changed || (d.items[0].code == 3106 && d.items[0].severity == ZT_WARNING));
	E->image_free(img);
	zt_diags_done(&d);
	return changed;
}

static int raised(struct zt_ruleset **ret, bool quiet)
{
	struct zt_diags d = {0};
	int r = E->raise("default", ret, &d);

	if (r < 0 && !quiet)
		explain(&d, "raise", 0);
	zt_diags_done(&d);
	return r;
}

static void assert_same(const struct zt_ruleset *a, const struct zt_ruleset *b)
{
	ZT_STRBUF struct zt_strbuf x = {0}, y = {0};

	assert_int_equal(zt_ruleset_canonical(a, &x), 0);
	assert_int_equal(zt_ruleset_canonical(b, &y), 0);
	assert_string_equal(zt_strbuf_cstr(&x), zt_strbuf_cstr(&y));
	assert_int_equal(a->generation, b->generation);
	assert_string_equal(a->hash, b->hash);
	assert_string_equal(a->policy_name, b->policy_name);
	assert_int_equal(a->n_files, b->n_files);
	for (size_t i = 0; i < a->n_files; i++)
		assert_string_equal(a->files[i], b->files[i]);
	for (size_t i = 0; i < a->n_rules; i++) {
		assert_int_equal(a->rules[i].line, b->rules[i].line);
		assert_int_equal(a->rules[i].file, b->rules[i].file);
		assert_int_equal(a->rules[i].seq, b->rules[i].seq);
	}
}

static void flush(void)
{
	struct zt_diags d = {0};
	int r = E->flush("default", &d);

	if (r < 0)
		explain(&d, "flush", 0);
	assert_int_equal(r, 0);
	zt_diags_done(&d);
}

static char *saved(int family)
{
	char *text = NULL;

	assert_int_equal(ipt_save(family, false, &text), 0);
	return text;
}

/* commit, raise, again over one another: what comes back is what went in, and the second time nothing changes. */
static void test_random(void **state)
{
	unsigned rounds = getenv("ZT_ROUNDS") ? (unsigned)strtoul(getenv("ZT_ROUNDS"), NULL, 10) : 10;

	(void)state;
	for (unsigned seed = 1; seed <= rounds; seed++) {
		struct zt_ruleset *rs = random_ruleset(seed, 30), *back = NULL;
		uint64_t generation = 0;
		char hash[65] = "";

		assert_non_null(rs);
		assert_true(commit(rs, seed));
		if (raised(&back, false) < 0)
			fail_msg("seed %u", seed);
		assert_same(rs, back);
		assert_false(commit(rs, seed));
		assert_int_equal(E->identify("default", &generation, hash), 0);
		assert_int_equal(generation, rs->generation);
		assert_string_equal(hash, rs->hash);
		zt_ruleset_free(rs);
		zt_ruleset_free(back);
	}
	flush();
}

static void test_text(void **state)
{
	struct zt_ruleset *rs = random_ruleset(4711, 20), *other = random_ruleset(4712, 20), *back = NULL;
	struct zt_image *img = lowered(rs, 4711);
	ZT_STRBUF struct zt_strbuf text = {0};
	struct zt_diags d = {0};

	(void)state;
	assert_int_equal(E->check(img, &d), 0);
	assert_int_equal(raised(&back, true), -ENOENT); /* the scratch load left nothing */
	assert_int_equal(E->image_text(img, &text), 0);
	assert_true(commit(other, 4712));
	assert_int_equal(E->load_text("default", text.buf, text.len, &d), 0);
	assert_int_equal(raised(&back, false), 0);
	assert_same(rs, back);
	assert_true(E->load_text("default", "*filter\nCOMMIT\n", 15, &d) < 0);
	assert_true(E->load_text("default", text.buf, text.len / 2, &d) < 0);
	E->image_free(img);
	zt_ruleset_free(rs);
	zt_ruleset_free(other);
	zt_ruleset_free(back);
	zt_diags_done(&d);
	flush();
}

/* flush takes all and only what is ours, whatever was done to it. */
static void test_flush(void **state)
{
	struct zt_ruleset *rs = random_ruleset(77, 30), *back = NULL;
	char *before[2], *after[2];

	(void)state;
	RUN(IPT4, "-N", "OTHER");
	RUN(IPT4, "-A", "OTHER", "-s", "10.9.9.9", "-m", "comment", "--comment", "ZT-OUT is not mine", "-j", "DROP");
	RUN(IPT4, "-A", "INPUT", "-j", "OTHER");
	RUN(IPT4, "-N", "ZT-OUT-other");
	RUN(IPT4, "-A", "OUTPUT", "-j", "ZT-OUT-other");
	RUN(IPT4, "-P", "FORWARD", "DROP");
	RUN(IPT6, "-P", "FORWARD", "DROP");
	before[0] = saved(IPT_4);
	before[1] = saved(IPT_6);
	for (int damaged = 0; damaged < 2; damaged++) {
		assert_true(commit(rs, 77));
		if (damaged) {
			RUN(IPT4, "-D", "OUTPUT", "-j", "ZT-OUT");
			RUN(IPT4, "-F", "ZT-OE");
			RUN(IPT4, "-F", "ZT-META");
			RUN(IPT4, "-N", "ZT-STRAY");
			RUN(IPT4, "-A", "OTHER", "-j", "ZT-LB");
			RUN(IPT6, "-A", "ZT-IN", "-p", "tcp", "-j", "ACCEPT");
			assert_int_equal(raised(&back, true), -EUCLEAN);
			RUN(IPT4, "-A", "OTHER", "-g", "ZT-LB");
			RUN(IPT4, "-A", "FORWARD", "-p", "udp", "-j", "ZT-FWD");
		}
		flush();
		assert_int_equal(raised(&back, true), -ENOENT);
		after[0] = saved(IPT_4);
		after[1] = saved(IPT_6);
		for (int f = 0; f < 2; f++) {
			struct ipt_table x = {0}, y = {0};

			assert_int_equal(ipt_table_parse("other", before[f], &x), 0);
			assert_int_equal(ipt_table_parse("other", after[f], &y), 0);
			assert_int_equal(x.n_chains, y.n_chains);
			assert_int_equal(x.links.n, y.links.n);
			assert_non_null(strstr(after[f], ":FORWARD DROP"));
			assert_non_null(strstr(after[f], ":INPUT ACCEPT"));
			assert_int_equal(strstr(after[f], "ZT-OUT is not mine") != NULL, f == 0);
			ipt_table_done(&x);
			ipt_table_done(&y);
			free(after[f]);
		}
	}
	free(before[0]);
	free(before[1]);
	RUN(IPT4, "-F");
	RUN(IPT4, "-X");
	RUN(IPT4, "-P", "FORWARD", "ACCEPT");
	RUN(IPT6, "-P", "FORWARD", "ACCEPT");
	flush(); /* nothing there: fine */
	zt_ruleset_free(rs);
}

/* Each of these is seen as damage, and the next commit repairs it. */
static void test_damage(void **state)
{
	static const char *const damages[][12] = {
		{"-D", "OUTPUT", "-j", "ZT-OUT"},
		{"-I", "INPUT", "1", "-p", "tcp", "-j", "ACCEPT"},
		{"-F", "ZT-OP"},
		{"-R", "ZT-OI", "1", "-j", "ACCEPT"},
		{"-I", "ZT-OP", "1", "-j", "ACCEPT"},
		{"-N", "ZT-NEW"},
		{"-A", "ZT-META", "-m", "comment", "--comment", ":r;x"},
		{"-D", "ZT-META", "1"},
		{"-A", "ZT-FP", "-j", "ACCEPT"},
	};
	struct zt_ruleset *rs = random_ruleset(99, 30), *back = NULL;

	(void)state;
	assert_true(commit(rs, 99));
	for (size_t i = 0; i < ZT_ARRAY_SIZE(damages); i++)
		for (int f = 0; f < 2; f++) {
			const char *argv[14] = {f ? IPT6 : IPT4};
			size_t n = 1;

			for (size_t k = 0; damages[i][k]; k++)
				argv[n++] = damages[i][k];
			run_ok(argv);
			if (raised(&back, true) != -EUCLEAN)
				fail_msg("damage %zu of family %d is not seen", i, f);
			assert_true(commit(rs, 99));
			assert_int_equal(raised(&back, false), 0);
			assert_same(rs, back);
			zt_ruleset_free(back);
			if (i == 1) { /* what someone put into a built-in chain stays, behind us */
				RUN(argv[0], "-D", "INPUT", "-p", "tcp", "-j", "ACCEPT");
			}
		}
	zt_ruleset_free(rs);
	flush();
}

/* Where iptables is a program of nf_tables its table can be switched off, with all that is in it, and iptables-save tells nothing of it. */
static void test_switched_off(void **state)
{
	static const char *const families[] = {"ip", "ip6"};
	const char *variant = getenv("ZT_IPTABLES_VARIANT");
	struct zt_ruleset *rs = random_ruleset(98, 10), *back = NULL;

	(void)state;
	assert_true(commit(rs, 98));
	for (size_t f = 0; f < 2 && variant && !strcmp(variant, "nft"); f++) {
		RUN("nft", "add", "table", families[f], "filter", "{ flags dormant; }");
		assert_int_equal(raised(&back, true), -EUCLEAN);
		assert_true(commit(rs, 98));
		assert_int_equal(raised(&back, true), 0);
		zt_ruleset_free(back);
		RUN("sh", "-c", "! nft list table $0 filter | grep -q dormant", families[f]);
		assert_false(commit(rs, 98)); /* all is as it should be */
	}
	flush();
	zt_ruleset_free(rs);
}

static struct zt_ruleset *two_rules(uint32_t uid, const char *cgroup)
{
	struct zt_ruleset *rs = NULL;
	struct zt_rule *r;

	assert_int_equal(zt_ruleset_new(&rs), 0);
	for (uint32_t i = 0; i < 2; i++) {
		r = zt_ruleset_add(rs);
		r->id = zt_asprintf("rule-%u", i);
		r->match.families = 3;
		r->verdict = ZT_ALLOW;
		(void)zt_u32_ranges_add(&r->match.uid, i ? uid : 1000, i ? uid : 1000);
		(void)zt_u32_ranges_add(&r->match.proto, 17, 17);
	}
	if (cgroup) {
		r->match.cgroups = zt_new(struct zt_cgroup, 1);
		r->match.cgroups[0] = (struct zt_cgroup){.path = zt_strdup(cgroup), .id = 4711, .level = 1};
		r->match.n_cgroups = 1;
	}
	rs->generation = 5;
	(void)zt_ruleset_rehash(rs);
	return rs;
}

/* Counters of a rule that stays survive a commit that changes its neighbour. */
static void test_counters(void **state)
{
	struct zt_ruleset *a = two_rules(2000, NULL), *b = two_rules(2001, NULL);
	struct zt_counters c = {0};
	ZT_STRBUF struct zt_strbuf text = {0};
	struct zt_image *img = lowered(a, 0);

	(void)state;
	assert_true(commit(a, 0));
	zt_strbuf_str(
		&text,
		"*filter\n[12:3456] -A ZT-OP -p udp -m owner --uid-owner 1000 -m comment --comment \"rule rule-0 #0\" -j ACCEPT\n"
		"-D ZT-OP 1\nCOMMIT\n");
	assert_int_equal(ipt_restore(IPT_4, text.buf, text.len, false, NULL), 0);
	RUN(IPT4, "-D", "ZT-OP", "2"); /* the default, to be put behind again */
	RUN(IPT4, "-A", "ZT-OP", "-m", "comment", "--comment", "zt:default_out", "-g", "ZT-OR");
	assert_true(commit(b, 0));
	assert_int_equal(E->counters(b, &c), 0);
	assert_int_equal(c.n_rules, 2);
	assert_int_equal(c.rule[0].packets, 12);
	assert_int_equal(c.rule[0].bytes, 3456);
	assert_int_equal(c.rule[1].packets, 0);
	zt_counters_done(&c);
	E->image_free(img);
	zt_ruleset_free(a);
	zt_ruleset_free(b);
	flush();
	assert_int_equal(E->counters(b = two_rules(1, NULL), &c), -ENOENT);
	zt_ruleset_free(b);
}

/* A ruleset that the kernel refuses leaves everything as it was, in both families. */
static void test_refused(void **state)
{
	struct zt_ruleset *good = two_rules(2000, NULL), *bad = two_rules(2000, "no/such/cgroup"), *back = NULL;
	struct zt_image *img = lowered(bad, 0);
	struct zt_diags d = {0};
	bool changed = false;

	(void)state;
	assert_true(E->check(img, &d) < 0);
	assert_true(E->commit(img, &changed, &d) < 0);
	assert_false(changed);
	assert_true(d.errors >= 1);
	assert_int_equal(d.items[0].code, 3202);
	assert_int_equal(raised(&back, true), -ENOENT);
	assert_true(commit(good, 0));
	assert_true(E->commit(img, &changed, &d) < 0);
	/* only IPv6 is refused: IPv4 gets its rules back */
	free(ZT_TAKE(img->text[IPT_4]));
	{
		struct zt_ruleset *other = two_rules(2002, NULL);
		struct zt_image *fine = lowered(other, 0);

		img->text[IPT_4] = ZT_TAKE(fine->text[IPT_4]);
		E->image_free(fine);
		zt_ruleset_free(other);
	}
	assert_true(E->commit(img, &changed, &d) < 0);
	assert_int_equal(raised(&back, false), 0);
	assert_same(good, back);
	flush();
	assert_true(E->commit(img, &changed, &d) < 0);
	zt_ruleset_free(back);
	assert_int_equal(raised(&back, true), -ENOENT);
	E->image_free(img);
	zt_ruleset_free(good);
	zt_ruleset_free(bad);
	zt_diags_done(&d);
}

static void test_instances(void **state)
{
	struct zt_ruleset *a = two_rules(1, NULL), *b = two_rules(2, NULL), *back = NULL;
	struct zt_foreign *f = NULL;
	struct zt_caps caps = {0};
	size_t n = 9;

	(void)state;
	free(b->instance);
	b->instance = zt_strdup("abcdefghijklmnop");
	assert_int_equal(E->foreign("default", &f, &n), 0);
	assert_int_equal(n, 0);
	zt_foreign_free(f, n);
	assert_true(commit(b, 0));
	assert_true(commit(a, 0));
	assert_int_equal(E->foreign("default", &f, &n), 0);
	assert_int_equal(n, 2);
	assert_string_equal(f[0].family, "ip");
	assert_string_equal(f[0].name, "filter");
	zt_foreign_free(f, n);
	flush();
	assert_int_equal(E->raise("abcdefghijklmnop", &back, NULL), 0);
	assert_same(b, back);
	assert_int_equal(E->flush("abcdefghijklmnop", NULL), 0);
	assert_int_equal(E->probe("default", &caps), 0);
	assert_true(caps.usable);
	zt_caps_done(&caps);
	zt_ruleset_free(a);
	zt_ruleset_free(b);
	zt_ruleset_free(back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_instances), cmocka_unit_test(test_text),	       cmocka_unit_test(test_flush),
		cmocka_unit_test(test_damage),	  cmocka_unit_test(test_switched_off), cmocka_unit_test(test_counters),
		cmocka_unit_test(test_refused),	  cmocka_unit_test(test_random),
	};

	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0) {
		(void)fprintf(stderr, "skipped: needs root for a network namespace\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
