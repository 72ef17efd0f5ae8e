/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "base/mem.h"
#include "cli/cli.h"

static void test_targets(void **state)
{
	struct zt_target t;

	(void)state;
	assert_int_equal(zt_target_parse("127.0.0.1:6379/tcp", &t), 0);
	assert_string_equal(t.host, "127.0.0.1");
	assert_int_equal(t.port, 6379);
	assert_int_equal(t.proto, 6);
	assert_int_equal(zt_target_parse("[::1]:53/udp", &t), 0);
	assert_string_equal(t.host, "::1");
	assert_int_equal(t.proto, 17);
	assert_int_equal(zt_target_parse("::1/icmpv6", &t), 0);
	assert_string_equal(t.host, "::1");
	assert_false(t.has_port);
	assert_int_equal(zt_target_parse(":22", &t), 0);
	assert_false(t.has_host);
	assert_int_equal(t.port, 22);
	assert_int_equal(t.proto, 6);
	assert_int_equal(zt_target_parse("db.example:5432", &t), 0);
	assert_string_equal(t.host, "db.example");
	assert_int_equal(zt_target_parse("10.0.0.1/47", &t), 0);
	assert_int_equal(t.proto, 47);
}

static void test_bad_targets(void **state)
{
	static const char *const bad[] = {"",
					  ":",
					  "/",
					  "/tcp",
					  "10.0.0.1",
					  "10.0.0.1/tcp",
					  "10.0.0.1:/tcp",
					  "10.0.0.1:65536",
					  "10.0.0.1:-1",
					  "10.0.0.1:80/nope",
					  "10.0.0.1:80/",
					  "10.0.0.1:80/icmp",
					  "[::1:80",
					  "[]:80",
					  "::1:80/tcp",
					  "x:80x",
					  "10.0.0.1:80/tcp/udp",
					  "10.0.0.1:80/256"};
	char *huge = malloc(100001);
	struct zt_target t;

	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(bad); i++)
		if (zt_target_parse(bad[i], &t) != -EINVAL)
			fail_msg("accepted: \"%s\"", bad[i]);
	memset(huge, 'a', 100000);
	huge[100000] = 0;
	assert_int_equal(zt_target_parse(huge, &t), -EINVAL);
	free(huge);
}

/* ---- rules ---- */

static struct zt_ruleset *rs;
static struct zt_rule *rule; /* from uid 1001, to 127.0.0.1:6379/tcp */

static void range(struct zt_addr_ranges *l, const char *s)
{
	struct zt_addr_range r;

	assert_int_equal(zt_addr_range_parse(s, &r, NULL), 0);
	assert_int_equal(zt_addr_ranges_add(l, &r), 0);
}

static int setup(void **state)
{
	(void)state;
	assert_int_equal(zt_ruleset_new(&rs), 0);
	rule = zt_ruleset_add(rs);
	rule->id = zt_strdup("web-to-redis");
	rule->match.families = ZT_FAMILY_4;
	range(&rule->match.dst4, "127.0.0.1");
	assert_int_equal(zt_u32_ranges_add(&rule->match.uid, 64001, 64001), 0);
	assert_int_equal(zt_u32_ranges_add(&rule->match.proto, 6, 6), 0);
	return zt_u32_ranges_add(&rule->match.port, 6379, 6379);
}

static int teardown(void **state)
{
	(void)state;
	zt_ruleset_free(rs);
	return 0;
}

static const char *text_of(void (*f)(const struct zt_rule *, struct zt_strbuf *))
{
	static char text[256];
	struct zt_strbuf b = {0};

	f(rule, &b);
	snprintf(text, sizeof(text), "%s", zt_strbuf_cstr(&b));
	zt_strbuf_done(&b);
	return text;
}

static void test_rule_text(void **state)
{
	(void)state;
	assert_string_equal(text_of(zt_rule_from), "uid 64001");
	assert_string_equal(text_of(zt_rule_from_long), "UID 64001");
	assert_string_equal(text_of(zt_rule_to), "127.0.0.1:6379/tcp");
	rule->match.uid.v[0] = (struct zt_u32_range){0, 0};
	assert_string_equal(text_of(zt_rule_from), "root");
	assert_string_equal(text_of(zt_rule_from_long), "root (UID 0)");
	rule->match.uid.n = 0;
	assert_string_equal(text_of(zt_rule_from), "*");
	rule->match.families = ZT_FAMILY_4 | ZT_FAMILY_6;
	rule->match.dst4.n = 0;
	assert_string_equal(text_of(zt_rule_to), "*:6379/tcp");
	rule->dir = ZT_DIR_INGRESS;
	assert_string_equal(text_of(zt_rule_to), ":6379/tcp");
	range(&rule->match.src4, "10.0.0.0/8");
	rule->match.families = ZT_FAMILY_4;
	assert_string_equal(text_of(zt_rule_from), "10.0.0.0/8");
}

static struct zt_flow flow(uint32_t uid, const char *dst, uint16_t port)
{
	struct zt_flow f = {.dir = ZT_DIR_EGRESS,
			    .owned = true,
			    .uid = uid,
			    .gid = uid,
			    .proto = 6,
			    .port = port,
			    .loopback = true};

	assert_int_equal(zt_addr_parse(dst, &f.dst), 0);
	return f;
}

static void test_near_misses(void **state)
{
	struct zt_flow f = flow(64002, "127.0.0.1", 6379);
	struct zt_near n;
	struct zt_strbuf b = {0};

	(void)state;
	zt_near_miss(rule, &f, &n);
	assert_int_equal(n.n_misses, 1);
	assert_int_equal(n.misses[0], ZT_MISS_UID);
	zt_near_text(&n, &f, &b);
	assert_non_null(strstr(zt_strbuf_cstr(&b), "UID 64001"));
	f = flow(64002, "127.0.0.2", 80);
	zt_near_miss(rule, &f, &n);
	assert_int_equal(n.n_misses, 3); /* user, address, port */
	f = flow(64001, "127.0.0.1", 6379);
	zt_near_miss(rule, &f, &n);
	assert_int_equal(n.n_misses, 0);
	zt_strbuf_done(&b);
}

static void test_near_order(void **state)
{
	struct zt_flow f = flow(64001, "127.0.0.1", 80);
	struct zt_rule *second = zt_ruleset_add(rs);
	struct zt_near *list = NULL;
	size_t n = 0;

	(void)state;
	second->id = zt_strdup("nearer");
	second->match.families = ZT_FAMILY_4 | ZT_FAMILY_6;
	assert_int_equal(zt_u32_ranges_add(&second->match.uid, 5, 5), 0);
	rule = &rs->rules[0]; /* the array may have moved */
	assert_int_equal(zt_u32_ranges_add(&rule->match.gid, 9, 9), 0);
	assert_int_equal(zt_near_list(rs, &f, NULL, &list, &n), 0);
	assert_int_equal(n, 2);
	assert_string_equal(list[0].rule->id, "nearer");
	assert_int_equal(list[1].n_misses, 2);
	free(list);
	assert_int_equal(zt_near_list(rs, &f, &rs->rules[0], &list, &n), 0);
	assert_int_equal(n, 0);
	free(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_bad_targets),
		cmocka_unit_test_setup_teardown(test_rule_text, setup, teardown),
		cmocka_unit_test_setup_teardown(test_near_misses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_near_order, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
