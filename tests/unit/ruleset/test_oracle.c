/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common.h"

static struct zt_addr addr(const char *text)
{
	struct zt_addr a = {0};

	if (*text)
		assert_int_equal(zt_addr_parse(text, &a), 0);
	return a;
}

static struct zt_flow flow(uint32_t uid, const char *dst, uint8_t proto, uint16_t port)
{
	return (struct zt_flow){.dir = ZT_DIR_EGRESS,
				.owned = true,
				.uid = uid,
				.gid = uid,
				.dst = addr(dst),
				.proto = proto,
				.port = port};
}

static struct zt_ruleset *shop(void)
{
	return must_compile(V
			    "rules:\n- {name: no-99, from: {user: \"*\"}, to: {port: 99}, action: deny, priority: 1}\n"
			    "- {name: web, from: {uid: 1001}, to: {host: 127.0.0.1, port: 6379}, action: allow}\n"
			    "- {name: grp, from: {gid: 50}, to: {host: \"fd00::/8\"}, action: allow}\n"
			    "- {name: ssh-in, from: {host: 10.0.0.0/8}, to: {port: 2022}, action: allow}\n");
}

static const char *miss(const struct zt_ruleset *rs, size_t i, const struct zt_flow *f)
{
	return zt_miss_name(zt_oracle_match(&rs->rules[i], f));
}

static void the_first_condition_that_fails(void **state)
{
	struct zt_ruleset *rs = shop();
	struct zt_flow f = flow(1001, "127.0.0.1", 6, 6379);

	(void)state;
	assert_string_equal(miss(rs, 1, &f), "nothing");
	f.port = 6380;
	assert_string_equal(miss(rs, 1, &f), "destination port");
	f.proto = 17;
	assert_string_equal(miss(rs, 1, &f), "protocol");
	f.dst = addr("127.0.0.2");
	assert_string_equal(miss(rs, 1, &f), "destination address");
	f.dst = addr("::1");
	assert_string_equal(miss(rs, 1, &f), "IP version");
	f.uid = 1002;
	assert_string_equal(miss(rs, 1, &f), "user");
	f.uid = 1001;
	f.owned = false; /* a socket that nobody owns is nobody's */
	assert_string_equal(miss(rs, 1, &f), "user");
	f.dir = ZT_DIR_INGRESS;
	assert_string_equal(miss(rs, 1, &f), "direction");
	f = flow(7, "fd00::1", 6, 1);
	assert_string_equal(miss(rs, 2, &f), "group");
	zt_ruleset_free(rs);
}

static void ports_of_protocols_without_ports(void **state)
{
	struct zt_ruleset *rs = must_compile(V
					     "rules: [{name: r, from: {user: root}, to: {port: 80}, action: allow}]\n");
	struct zt_flow f = flow(0, "10.0.0.1", 1, 80);

	(void)state;
	rs->rules[0].match.proto.n = 0;
	assert_int_not_equal(zt_oracle_match(&rs->rules[0], &f), ZT_MISS_NONE);
	f.proto = 132;
	assert_int_equal(zt_oracle_match(&rs->rules[0], &f), ZT_MISS_NONE);
	zt_ruleset_free(rs);
}

static void groups_by_path_and_by_id(void **state)
{
	struct zt_ruleset *rs = must_compile(V "rules: [{name: r, from: {cgroup: a/b}, action: allow}]\n");
	struct zt_rule *r = &rs->rules[0];
	static const struct {
		const char *path;
		bool in;
	} cases[] = {{"a/b", true}, {"a/b/c", true}, {"a", false}, {"a/bc", false}, {"x/a/b", false}, {NULL, false}};
	struct zt_flow f = flow(0, "10.0.0.1", 6, 80);

	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(cases); i++) {
		f.cgroup_path = cases[i].path;
		assert_int_equal(zt_oracle_match(r, &f), cases[i].in ? ZT_MISS_NONE : ZT_MISS_CGROUP);
	}
	r->match.cgroups[0].id = 77;
	f.cgroup[0] = 5;
	assert_int_equal(zt_oracle_match(r, &f), ZT_MISS_CGROUP);
	f.cgroup[1] = 77;
	assert_int_equal(zt_oracle_match(r, &f), ZT_MISS_NONE);
	f.owned = false;
	assert_int_equal(zt_oracle_match(r, &f), ZT_MISS_CGROUP);
	zt_ruleset_free(rs);
}

static void time_passes(void **state)
{
	struct zt_ruleset *rs = must_compile(V "rules:\n- {name: r, from: {user: root}, action: allow, "
					       "schedule: {days: mon, hours: \"08:00-18:00\"}, expires: 2199-03-05}\n");
	struct zt_flow f = flow(0, "10.0.0.1", 6, 80);
	static const struct {
		const char *at;
		enum zt_miss miss;
	} cases[] = {
		{"2099-03-02T08:00:00Z", ZT_MISS_NONE},	    {"2099-03-02T17:59:59Z", ZT_MISS_NONE},
		{"2099-03-02T18:00:00Z", ZT_MISS_SCHEDULE}, {"2099-03-02T07:59:59Z", ZT_MISS_SCHEDULE},
		{"2099-03-03T10:00:00Z", ZT_MISS_SCHEDULE}, {"2199-03-04T10:00:00Z", ZT_MISS_NONE},
		{"2199-03-11T10:00:00Z", ZT_MISS_EXPIRED},
	};

	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(cases); i++) {
		assert_int_equal(zt_time_parse(cases[i].at, &f.at), 0);
		assert_int_equal(zt_oracle_match(&rs->rules[0], &f), cases[i].miss);
	}
	zt_ruleset_free(rs);
}

static void expect(const struct zt_ruleset *rs, struct zt_flow f, enum zt_verdict v, enum zt_decider by,
		   const char *rule)
{
	struct zt_decision d;

	zt_oracle_decide(rs, &f, &d);
	assert_int_equal(d.verdict, v);
	assert_int_equal(d.by, by);
	assert_string_equal(d.rule ? d.rule->id : "", rule);
}

static void who_decides(void **state)
{
	struct zt_ruleset *rs = shop();
	struct zt_flow f = flow(1001, "127.0.0.1", 6, 6379),
		       in = {.dir = ZT_DIR_INGRESS, .src = addr("10.1.2.3"), .proto = 6, .port = 2022};

	(void)state;
	f.loopback = true;
	expect(rs, f, ZT_ALLOW, ZT_BY_RULE, "web");
	f.uid = 1003;
	expect(rs, f, ZT_REJECT, ZT_BY_DEFAULT, "");
	f.uid = 1001;
	f.port = 99; /* the first that matches decides */
	expect(rs, f, ZT_REJECT, ZT_BY_RULE, "no-99");
	rs->settings.loopback = ZT_LOOPBACK_OBSERVE;
	expect(rs, f, ZT_OBSERVE, ZT_BY_RULE, "no-99");
	f.loopback = false;
	expect(rs, f, ZT_REJECT, ZT_BY_RULE, "no-99");
	f.loopback = true;
	rs->settings.loopback = ZT_LOOPBACK_ALLOW;
	expect(rs, f, ZT_ALLOW, ZT_BY_LOOPBACK, "");
	expect(rs, in, ZT_ALLOW, ZT_BY_RULE, "ssh-in");
	in.src = addr("192.0.2.1");
	expect(rs, in, ZT_REJECT, ZT_BY_DEFAULT, "");
	in.port = 22;
	expect(rs, in, ZT_ALLOW, ZT_BY_SSH, "");
	in.proto = 17;
	expect(rs, in, ZT_REJECT, ZT_BY_DEFAULT, "");
	in.loopback = true; /* was judged where it left */
	expect(rs, in, ZT_ALLOW, ZT_BY_LOOPBACK, "");
	zt_ruleset_free(rs);
}

static void defaults(void **state)
{
	(void)state;
	for (int i = 0; i < 3 * 2 * 2 * 2; i++) {
		enum zt_direction dir = (enum zt_direction)(i % 3);
		bool allow = i / 3 % 2, observe = i / 6 % 2, drop = i / 12 % 2;
		struct zt_ruleset *rs = must_compile(V);
		struct zt_flow f = flow(1, "10.0.0.1", 6, 80);

		f.dir = dir;
		rs->settings.def[dir] = allow ? ZT_DEFAULT_ALLOW : ZT_DEFAULT_DENY;
		rs->settings.mode = observe ? ZT_MODE_OBSERVE : ZT_MODE_ENFORCE;
		rs->settings.block = drop ? ZT_BLOCK_DROP : ZT_BLOCK_REJECT;
		expect(rs, f, allow ? ZT_ALLOW : observe ? ZT_OBSERVE : drop ? ZT_DROP : ZT_REJECT, ZT_BY_DEFAULT, "");
		zt_ruleset_free(rs);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_condition_that_fails),
		cmocka_unit_test(ports_of_protocols_without_ports),
		cmocka_unit_test(groups_by_path_and_by_id),
		cmocka_unit_test(time_passes),
		cmocka_unit_test(who_decides),
		cmocka_unit_test(defaults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
