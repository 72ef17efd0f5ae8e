/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Each warning where it belongs, and none beside it; hosts are trees made for the purpose. */
#include "common.h"

#include "base/file.h"

static char root[] = "/tmp/zt-lint-XXXXXX";

#define RULES(text) V "settings: {default_policy: {egress: allow, ingress: deny, forward: allow}}\nrules:\n" text

static void expect(const char *yaml, const char *want)
{
	struct zt_ruleset *rs = must_compile(yaml);
	struct zt_strbuf b = {0};
	struct zt_diags d = {0};

	assert_int_equal(zt_ruleset_lint(rs, root, &d), 0);
	assert_int_equal(d.errors, 0);
	for (size_t i = 0; i < d.n; i++)
		zt_strbuf_printf(&b, "%s%u:%u", i ? " " : "", d.items[i].code, d.items[i].span.line);
	if (strcmp(zt_strbuf_cstr(&b), want) != 0)
		zt_diags_print(&d, stderr, false);
	assert_string_equal(zt_strbuf_cstr(&b), want);
	zt_strbuf_done(&b);
	zt_diags_done(&d);
	zt_ruleset_free(rs);
}

static void pairs_of_rules(void **state)
{
	(void)state;
	expect(RULES("- {name: a, from: {uid: 1-9}, action: allow}\n- {name: b, from: {uid: 5}, action: allow}\n"),
	       "2010:5");
	expect(RULES("- {name: a, from: {uid: 1-9}, action: deny}\n- {name: b, from: {uid: 5}, action: reject}\n"),
	       "2010:5");
	expect(RULES("- {name: a, from: {uid: 1-9}, action: deny}\n- {name: b, from: {uid: 5}, action: allow}\n"),
	       "2011:5");
	expect(RULES("- {name: a, from: {uid: 5}, to: {port: 80}, action: deny}\n- {name: b, from: {uid: 5}, action: allow}\n"),
	       "");
	expect(RULES("- {name: a, from: {uid: 5}, to: {port: 1-80}, action: deny}\n- {name: b, from: {uid: 5}, to: {port: 80-90}, action: allow}\n"),
	       "2012:5");
	expect(RULES("- {name: a, from: {uid: 5}, to: {port: 1-79}, action: deny}\n- {name: b, from: {uid: 5}, to: {port: 80-90}, action: allow}\n"),
	       "");
	expect(RULES("- {name: a, from: {uid: 5}, to: {port: 80}, action: allow}\n- {name: b, from: {uid: 5}, to: {port: 80}, action: deny, priority: 1}\n"),
	       "2011:4"); /* by order of deciding, not by place in the file */
	expect(RULES("- {name: a, from: {uid: 5}, action: deny, schedule: {days: mon}}\n- {name: b, from: {uid: 5}, action: allow}\n"),
	       "");
	expect(RULES("- {name: a, from: {uid: 5}, action: deny, expires: 2199-01-01}\n- {name: b, from: {uid: 5}, action: allow}\n"),
	       "");
	expect(RULES("- {name: a, from: {host: 10.0.0.1}, to: {port: 1}, action: deny}\n- {name: b, from: {uid: 5}, action: allow}\n"),
	       "");
	expect(RULES("- {name: a, from: {uid: 5}, to: {port: 1-80}, action: deny}\n- {name: b, from: {uid: 4-6}, to: {port: 80-90}, action: allow}\n"),
	       "2012:5"); /* a wide rule after that of one user */
	expect(RULES("- {name: a, from: {uid: 5}, to: {port: 1-80}, action: deny, priority: 5}\n- {name: b, from: {uid: 5}, to: {port: 80-90}, action: allow}\n"),
	       ""); /* the author has said which is meant */
	/* Every single user is compared with those of the same number, whichever bucket that is. */
	expect(RULES("- {name: a, from: {uid: 5}, to: {port: 80}, action: allow}\n- {name: b, from: {uid: 16389}, to: {port: 80}, action: deny}\n"),
	       "");
}

static void single_rules(void **state)
{
	(void)state;
	expect(RULES("- {name: a, from: {user: \"*\"}, action: allow}\n"), "2014:4");
	expect(RULES("- {name: a, from: {host: any}, action: allow}\n"), "2014:4");
	expect(RULES("- {name: a, from: {uid: 0-4294967294}, to: {host: 0.0.0.0/0, port: 1-65535}, action: allow}\n"),
	       "2014:4");
	expect(RULES("- {name: a, from: {uid: 0-4294967293}, to: {host: 0.0.0.0/0, port: 1-65535}, action: allow}\n"),
	       "");
	expect(RULES("- {name: a, from: {uid: 0-4294967294}, to: {host: 0.0.0.0/0, port: 2-65535}, action: allow}\n"),
	       "");
	expect(RULES("- {name: a, from: {uid: 0-4294967294}, to: {host: 128.0.0.0/1}, action: allow}\n"), "");
	expect(RULES("- {name: a, from: {exe: /bin/sh}, action: allow}\n"), "");
	expect(RULES("- {name: a, from: {user: \"*\"}, to: {uid: 5}, action: allow}\n"), "");
	expect(RULES("- {name: a, from: {user: \"*\"}, to: {host: 10.0.0.0/8}, action: allow}\n"), "");
	expect(RULES("- {name: a, from: {user: \"*\"}, to: {protocol: icmp}, action: allow}\n"), "");
	expect(RULES("- {name: a, from: {user: \"*\"}, action: observe}\n"), "");
	expect(RULES("- {name: a, from: {uid: 5}, to: {host: 127.0.0.1, port: 6379}, action: deny}\n"), "2015:4");
	expect(RULES("- {name: a, from: {uid: 5}, to: {host: \"::1\", port: 6379}, action: deny}\n"), "2015:4");
	expect(RULES("- {name: a, from: {uid: 5}, to: {host: localhost, port: 6379}, action: deny}\n"), "");
	expect(RULES("- {name: a, from: {uid: 5}, to: {host: 127.0.0.1, port: 6379}, action: allow}\n"), "2015:4");
}

static void touch(const char *path, const char *text)
{
	ZT_FREE char *full = zt_path_join(root, path), *folder = zt_strdup(full);

	*strrchr(folder, '/') = '\0';
	assert_int_equal(zt_mkdir_p(folder, 0755), 0);
	assert_int_equal(zt_file_write_atomic(full, text, strlen(text), 0644), 0);
}

#define DENY(rule) V "rules: [" rule "]\n"
#define OUT(port, protocol) "{name: a, from: {user: root}, to: {port: " port ", protocol: " protocol "}, action: allow}"

/* Nothing is said about what a host does not have. */
static void what_the_host_needs(void **state)
{
	(void)state;
	expect(DENY(""), "");
	touch("etc/resolv.conf", "");
	expect(DENY(""), "2017:0");
	expect(DENY(OUT("53", "tcp")), "2017:0");
	expect(DENY(OUT("53", "udp")), "");
	expect(DENY(OUT(
		       "53",
		       "udp") ", {name: b, from: {user: \"*\"}, to: {port: 53, protocol: udp}, action: deny, priority: 1}"),
	       "2011:2 2017:0"); /* given and taken back */
	touch("var/lib/dhcp/dhclient.leases", "");
	expect(DENY(OUT("53", "udp")), "2018:0");
	touch("usr/sbin/chronyd", "");
	expect(DENY(OUT("[53, 67]", "udp")), "2019:0");
	expect(DENY(OUT("[53, 67, 123]", "udp")), "");
	expect(DENY(""), "2017:0 2018:0 2019:0");
	expect(V "settings: {mode: observe}\n", "");
	expect(V "settings: {default_policy: {egress: allow}}\n", "");
	expect(V
	       "settings: {default_policy: {egress: allow}}\nrules: [{name: a, from: {user: \"*\"}, to: {port: 123, protocol: udp}, "
	       "action: deny}]\n",
	       "2019:0");
	touch("proc/sys/net/ipv4/ip_forward", "0\n");
	expect(V "settings: {default_policy: {egress: allow}}\n", "");
	touch("proc/sys/net/ipv4/ip_forward", "1\n");
	expect(V "settings: {default_policy: {egress: allow}}\n", "2020:0");
	expect(V "settings: {default_policy: {egress: allow, forward: allow}}\n", "");
	expect(V "settings: {default_policy: {egress: allow}, mode: observe}\n", "");
}

static void large_policies_end(void **state)
{
	struct zt_ruleset *rs = must_compile(RULES("- {name: a, from: {uid: 1}, action: allow}\n"));
	struct zt_diags d = {0};

	(void)state;
	for (unsigned i = 0; i < 6000; i++) { /* 18 million pairs of rules for many users, none inside another */
		struct zt_rule *r = zt_ruleset_add(rs);

		assert_non_null(r);
		*r = (struct zt_rule){
			.id = zt_asprintf("r%u", i), .seq = r->seq, .verdict = ZT_ALLOW, .match.families = 3};
		assert_int_equal(zt_u32_ranges_add(&r->match.uid, 10 * i + 10, 10 * i + 12), 0);
	}
	assert_int_equal(zt_ruleset_lint(rs, root, &d), 0);
	assert_int_equal(d.n, 1);
	assert_int_equal(d.items[0].code, 2013);
	zt_diags_done(&d);
	zt_ruleset_free(rs);
}

static int begin(void **state)
{
	(void)state;
	return mkdtemp(root) ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	return zt_remove_tree(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pairs_of_rules),
		cmocka_unit_test(single_rules),
		cmocka_unit_test(what_the_host_needs),
		cmocka_unit_test(large_policies_end),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
