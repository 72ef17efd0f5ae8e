/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a policy becomes: order, directions, verdicts, identities, loopback. */
#include "common.h"

/* One line a rule, as `plan` shows it, with the direction in front. */
static void expect(const char *yaml, const char *want)
{
	struct zt_ruleset *rs = must_compile(yaml);
	struct zt_strbuf b = {0};

	for (size_t i = 0; i < rs->n_rules; i++) {
		assert_int_equal(rs->rules[i].seq, i + 1);
		zt_strbuf_printf(&b, "%u%s ", rs->rules[i].part, zt_direction_name(rs->rules[i].dir));
		assert_int_equal(zt_rule_text(rs, &rs->rules[i], &b), 0);
		zt_strbuf_char(&b, '\n');
	}
	assert_string_equal(zt_strbuf_cstr(&b), want);
	zt_strbuf_done(&b);
	zt_ruleset_free(rs);
}

static void order(void **state)
{
	(void)state;
	expect(V
	       "rules:\n- {name: c, from: {user: root}, action: allow}\n- {name: b, from: {user: root}, priority: 200, action: deny}\n"
	       "- {name: a, from: {user: root}, priority: 5, action: allow}\n- {name: d, from: {user: root}, action: observe}\n"
	       "- {name: e, from: {user: root}, priority: 5, action: reject}\n",
	       "0egress allow a: uid 0 -> *\n0egress reject e: uid 0 -> *\n0egress allow c: uid 0 -> *\n0egress observe d: uid 0 -> *\n"
	       "0egress reject b: uid 0 -> *\n");
}

static void many_keep_their_order(void **state)
{
	struct zt_strbuf yaml = {0};
	struct zt_ruleset *rs;

	(void)state;
	zt_strbuf_str(&yaml, V "rules:\n");
	for (int i = 0; i < 3000; i++)
		zt_strbuf_printf(&yaml, "- {name: r%d, from: {uid: %d}, priority: %d, action: allow}\n", i, i, i % 7);
	rs = must_compile(zt_strbuf_cstr(&yaml));
	for (size_t i = 1; i < rs->n_rules; i++) {
		const struct zt_rule *a = &rs->rules[i - 1], *b = &rs->rules[i];

		assert_true(a->match.uid.v[0].lo % 7 < b->match.uid.v[0].lo % 7 ||
			    (a->match.uid.v[0].lo % 7 == b->match.uid.v[0].lo % 7 && a->line < b->line));
	}
	zt_ruleset_free(rs);
	zt_strbuf_done(&yaml);
}

static void loopback_is_judged_at_the_sender(void **state)
{
	(void)state;
	expect(V "rules: [{name: r, from: {host: 10.0.0.0/8}, to: {port: 22}, action: allow}]\n",
	       "0ingress allow r: ingress 10.0.0.0/8 -> * tcp/22\n");
	expect(V "rules: [{name: r, from: {host: 127.0.0.1}, to: {port: 22}, action: allow}]\n",
	       "0egress allow r: 127.0.0.1 -> * tcp/22\n");
	expect(V "rules: [{name: r, from: {host: [localhost, 10.0.0.1]}, to: {port: 22}, action: allow}]\n",
	       "0ingress allow r: ingress 10.0.0.1 -> * tcp/22\n1egress allow r: 127.0.0.0/8,::1 -> * tcp/22\n");
	/* "Any host" opens nothing to local processes, nor does what only touches loopback. */
	expect(V "rules: [{name: r, from: {host: any}, to: {port: 22}, action: allow}]\n",
	       "0ingress allow r: ingress * -> * tcp/22\n");
	expect(V "rules: [{name: r, from: {host: 126.0.0.0-127.0.0.5}, to: {port: 22}, action: allow}]\n",
	       "0ingress allow r: ingress 126.0.0.0-127.0.0.5 -> * tcp/22\n");
}

static void identities(void **state)
{
	(void)state;
	expect(V
	       "identities: {web: {user: web-user}, db: {uid: 5-7, gid: 9}}\n"
	       "rules: [{name: r, from: {identity: [web, db]}, to: {host: 10.0.0.1, port: [80, 443]}, action: allow}]\n",
	       "0egress allow r: uid 1001 -> 10.0.0.1 tcp/80,443\n1egress allow r: uid 5-7 gid 9 -> 10.0.0.1 tcp/80,443\n");
	expect(V "rules: [{name: r, from: {cgroup: [b/c, a]}, action: allow, log: true}]\n",
	       "0egress allow r: cgroup a,b/c -> * log\n");
	expect(V "rules: [{name: r, from: {user: \"*\"}, to: {protocol: icmp}, action: allow}]\n",
	       "0egress allow r: * -> * icmp (IPv4)\n");
	expect(V "rules: [{name: r, from: {user: \"*\"}, to: {protocol: icmpv6}, action: allow}]\n",
	       "0egress allow r: * -> * icmpv6 (IPv6)\n");
	expect(V "rules: [{name: r, from: {user: root}, to: {protocol: 99}, action: allow}]\n",
	       "0egress allow r: uid 0 -> * 99\n");
	expect(V "rules: [{name: r, direction: forward, from: {host: 10.0.0.0/8}, to: {host: any}, action: allow}]\n",
	       "0forward allow r: forward 10.0.0.0/8 -> *\n");
}

static void verdicts(void **state)
{
	static const struct {
		const char *settings;
		enum zt_verdict deny, reject, allow, observe;
	} cases[] = {
		{"{}", ZT_REJECT, ZT_REJECT, ZT_ALLOW, ZT_OBSERVE},
		{"{block: drop}", ZT_DROP, ZT_REJECT, ZT_ALLOW, ZT_OBSERVE},
		{"{mode: observe}", ZT_OBSERVE, ZT_OBSERVE, ZT_ALLOW, ZT_OBSERVE},
		{"{mode: observe, block: drop}", ZT_OBSERVE, ZT_OBSERVE, ZT_ALLOW, ZT_OBSERVE},
	};

	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(cases); i++) {
		char yaml[512];
		struct zt_ruleset *rs;

		(void)snprintf(
			yaml, sizeof(yaml),
			V
			"settings: %s\nrules: [{name: a, from: {uid: 1}, action: deny}, {name: b, from: {uid: 2}, action: reject},"
			" {name: c, from: {uid: 3}, action: allow}, {name: d, from: {uid: 4}, action: observe}]\n",
			cases[i].settings);
		rs = must_compile(yaml);
		assert_int_equal(rs->rules[0].verdict, cases[i].deny);
		assert_int_equal(rs->rules[1].verdict, cases[i].reject);
		assert_int_equal(rs->rules[2].verdict, cases[i].allow);
		assert_int_equal(rs->rules[3].verdict, cases[i].observe);
		zt_ruleset_free(rs);
	}
}

static void everything_is_no_constraint(void **state)
{
	struct zt_ruleset *a = must_compile(V
					    "rules: [{name: r, from: {user: root}, to: {host: any}, action: allow}]\n"),
			  *b = must_compile(V "rules: [{name: r, from: {user: root}, action: allow}]\n");

	(void)state;
	assert_same_policy(a, b);
	assert_string_equal(a->hash, b->hash);
	zt_ruleset_free(a);
	zt_ruleset_free(b);
}

static void nothing_in_common_is_an_error(void **state)
{
	struct zt_compile_options o = {.offline = true};
	struct zt_ruleset *rs = NULL;
	struct zt_diags d = {0};

	(void)state;
	assert_int_equal(
		compiled(
			V
			"rules:\n- {name: a, from: {user: root, host: 10.0.0.1}, to: {host: \"fd00::1\"}, action: allow}\n"
			"- {name: b, from: {user: root}, to: {host: 10.0.0.1, protocol: icmpv6}, action: allow}\n",
			&o, &rs, &d),
		-EINVAL);
	assert_null(rs);
	assert_int_equal(d.errors, 2); /* all of them in one run */
	assert_int_equal(d.items[0].code, 2002);
	assert_int_equal(d.items[1].span.line, 4);
	zt_diags_done(&d);
}

/* What rules name is closed behind them: names first, then, with the system's own kept open, receivers. */
static void unix_sockets_that_rules_name(void **state)
{
	(void)state;
	expect(V "rules:\n"
		 "  - {name: a, from: {uid: 5}, to: {unix: [/run/x, \"@y\"], uid: 7}, action: allow}\n"
		 "  - {name: b, from: {uid: 6}, to: {unix: \"@y\"}, action: allow, expires: 2020-01-01}\n"
		 "  - {name: c, to: {unix: any}, action: observe}\n",
	       "0unix allow a: unix uid 5 -> uid 7 unix:/run/x,@y\n0unix allow b: unix uid 6 -> unix:@y (until 2020-01-01T00:00:00Z)\n"
	       "0unix observe c: unix * -> unix:*\n"
	       "0unix reject unix-others: unix * -> unix:/run/x,@y\n1unix reject unix-others: unix * -> unix:@y\n");
	expect(V "settings: {mode: observe}\nrules:\n"
		 "  - {name: a, from: {uid: 5}, to: {unix: any, uid: [7, 8]}, action: deny}\n",
	       "0unix observe a: unix uid 5 -> uid 7-8 unix:*\n"
	       "0unix allow unix-system: unix * -> uid 0 "
	       "unix:/dev/log,/run/dbus/system_bus_socket,/run/nscd/socket,/run/systemd/journal/dev-log and 9 more\n"
	       "0unix observe unix-others: unix * -> uid 7-8 unix:*\n");
	expect(V "settings: {default_policy: allow}\nrules:\n"
		 "  - {name: a, from: {uid: 5}, to: {unix: /run/x}, action: deny}\n",
	       "0unix reject a: unix uid 5 -> unix:/run/x\n");
}

/* A rule that has expired is gone; what it named stays closed. */
static void expired_rules_name(void **state)
{
	struct zt_compile_options o = {.offline = true, .at = zt_now()};
	struct zt_ruleset *rs = NULL;
	struct zt_diags d = {0};

	(void)state;
	assert_int_equal(
		compiled(V
			 "rules:\n"
			 "  - {name: a, from: {uid: 5}, to: {unix: any, uid: 7}, action: allow, expires: 2020-01-01}\n"
			 "  - {name: b, from: {uid: 5}, to: {unix: /run/x}, action: allow, expires: 2020-01-01}\n",
			 &o, &rs, &d),
		0);
	assert_int_equal(rs->n_rules, 3);
	for (size_t i = 0; i < 3; i++)
		assert_true(zt_rule_follows(&rs->rules[i]));
	assert_int_equal(rs->rules[2].match.to->uid.v[0].lo, 7);
	zt_ruleset_free(rs);
	zt_diags_done(&d);
}

static void unix_sockets_where_possible(void **state)
{
	static const char yaml[] = V "settings: {unix: where-possible}\nrules:\n"
				     "  - {name: a, from: {uid: 5}, to: {unix: /run/x}, action: allow}\n"
				     "  - {name: b, from: {uid: 5}, to: {unix: /run/y}, action: allow}\n"
				     "  - {name: c, from: {uid: 5}, to: {port: 80}, action: allow}\n";
	struct zt_compile_options o = {.offline = true};
	struct zt_ruleset *rs = NULL;
	struct zt_diags d = {0};

	(void)state;
	assert_int_equal(compiled(yaml, &o, &rs, &d), 0);
	assert_int_equal(rs->n_rules, 5);
	assert_int_equal(d.n, 0);
	zt_ruleset_free(rs);
	o.no_unix = true;
	assert_int_equal(compiled(yaml, &o, &rs, &d), 0);
	assert_int_equal(rs->n_rules, 1);
	assert_int_equal(d.n, 1);
	assert_int_equal(d.items[0].code, 2120);
	zt_ruleset_free(rs);
	assert_int_equal(
		compiled(V "rules: [{name: a, from: {uid: 5}, to: {unix: /run/x}, action: allow}]\n", &o, &rs, &d), 0);
	assert_int_equal(rs->n_rules, 2); /* kept, for the engine to refuse */
	zt_ruleset_free(rs);
	zt_diags_done(&d);
}

static void ssh_ports(void **state)
{
	struct zt_u32_range two[] = {{2222, 2222}, {22, 22}};
	struct zt_u32_ranges ports = {two, 2, 2};
	struct zt_compile_options o = {.offline = true, .ssh_ports = &ports, .instance = "lab"};
	struct zt_ruleset *rs = must_compile(V), *with = NULL, *without = NULL;

	(void)state;
	assert_int_equal(rs->ssh_ports.v[0].lo, 22);
	assert_string_equal(rs->instance, "default");
	assert_int_equal(compiled(V, &o, &with, NULL), 0);
	assert_int_equal(with->ssh_ports.n, 2);
	assert_int_equal(with->ssh_ports.v[1].hi, 2222);
	assert_string_equal(with->instance, "lab");
	assert_string_not_equal(with->hash, rs->hash);
	assert_int_equal(compiled(V "settings: {preserve_ssh: false}\n", &o, &without, NULL), 0);
	assert_int_equal(without->ssh_ports.n, 0);
	zt_ruleset_free(rs);
	zt_ruleset_free(with);
	zt_ruleset_free(without);
}

static void cgroups_that_are_not_there(void **state)
{
	struct zt_compile_options o = {.cgroup_root = "zt-none", .instance = "lab"};
	struct zt_ruleset *rs = NULL;
	struct zt_diags d = {0};

	(void)state;
	assert_int_equal(compiled(V "rules: [{name: r, from: {cgroup: x/y}, action: allow}]\n", &o, &rs, &d), 0);
	assert_int_equal(d.warnings, 1);
	assert_int_equal(d.items[0].code, 2001);
	assert_string_equal(rs->rules[0].match.cgroups[0].path, "zt-none/x/y");
	assert_int_equal(rs->rules[0].match.cgroups[0].id, 0);
	assert_int_equal(rs->rules[0].match.cgroups[0].level, 3);
	zt_ruleset_free(rs);
	zt_diags_done(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order),
		cmocka_unit_test(many_keep_their_order),
		cmocka_unit_test(loopback_is_judged_at_the_sender),
		cmocka_unit_test(identities),
		cmocka_unit_test(verdicts),
		cmocka_unit_test(everything_is_no_constraint),
		cmocka_unit_test(nothing_in_common_is_an_error),
		cmocka_unit_test(ssh_ports),
		cmocka_unit_test(cgroups_that_are_not_there),
		cmocka_unit_test(unix_sockets_that_rules_name),
		cmocka_unit_test(expired_rules_name),
		cmocka_unit_test(unix_sockets_where_possible),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
