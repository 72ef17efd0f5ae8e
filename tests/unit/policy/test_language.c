/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the words mean: directions, identities, hosts, ports, protocols, times, settings, tests. */
#include "common.h"

#include <time.h>

static struct zt_policy *rule(const char *body)
{
	char text[2048];

	(void)snprintf(
		text, sizeof(text),
		V
		"sets: {lan: {addresses: [10.0.0.0/8, \"fd00::/8\"]}, mail: {ports: [465, 993-995]}}\n"
		"identities: {web: {user: web-user, service: nginx}, cache: {user: db-user, exe: /usr/bin/redis-server},\n"
		"  either: {any: [web, cache]}, strict: {parent: /usr/bin/systemd, all: [web]}}\n"
		"rules:\n  - {name: r, action: allow, %s}\n",
		body);
	return must_parse(text);
}

static void expect_dir(const char *body, enum zt_direction dir)
{
	struct zt_policy *p = rule(body);

	assert_int_equal(p->rules[0].dir, dir);
	zt_policy_free(p);
}

static void directions(void **state)
{
	(void)state;
	expect_dir("from: {user: root}", ZT_DIR_EGRESS);
	expect_dir("from: {user: \"*\"}", ZT_DIR_EGRESS);
	expect_dir("from: {service: nginx}, to: {host: any}", ZT_DIR_EGRESS);
	expect_dir("from: {host: any}", ZT_DIR_INGRESS);
	expect_dir("from: {host: 10.0.0.1}, to: {port: 22}", ZT_DIR_INGRESS);
	expect_dir("from: {host: 10.0.0.1, user: root}", ZT_DIR_EGRESS);
	expect_dir("to: {user: db-user, port: 6379}", ZT_DIR_INGRESS);
	expect_dir("direction: egress, to: {port: 80}", ZT_DIR_EGRESS);
	expect_dir("direction: egress, from: {host: 10.0.0.1}", ZT_DIR_EGRESS);
	expect_dir("direction: ingress", ZT_DIR_INGRESS);
	expect_dir("direction: forward, from: {host: \"@lan\"}, to: {host: any}", ZT_DIR_FORWARD);
}

static void users(void **state)
{
	struct zt_policy *p = rule("from: {user: [web-user, 5, 1000-1002, root]}");
	const struct zt_who *w = &p->rules[0].from.whos[0];

	(void)state;
	assert_int_equal(w->uid.n, 3);
	assert_int_equal(w->uid.v[0].lo, 0);
	assert_int_equal(w->uid.v[1].lo, 5);
	assert_int_equal(w->uid.v[2].lo, 1000);
	assert_int_equal(w->uid.v[2].hi, 1002);
	assert_string_equal(w->label, "web-user,5,1000-1002,root");
	assert_false(w->any);
	zt_policy_free(p);
	p = rule("from: {user: [web-user, \"*\"]}");
	assert_true(p->rules[0].from.whos[0].any);
	assert_int_equal(p->rules[0].from.whos[0].uid.n, 0);
	zt_policy_free(p);
	p = rule("from: {user: \"*\", group: staff}");
	assert_false(p->rules[0].from.whos[0].any);
	assert_int_equal(p->rules[0].from.whos[0].gid.v[0].lo, 50);
	zt_policy_free(p);
	p = rule("from: {uid: 4294967294, gid: 0-4294967294}");
	assert_int_equal(p->rules[0].from.whos[0].uid.v[0].hi, 4294967294u);
	zt_policy_free(p);
}

static void keys_hold_together(void **state)
{
	struct zt_policy *p = rule("from: {user: [web-user, db-user], uid: 1002-1999}");

	(void)state;
	assert_int_equal(p->rules[0].from.whos[0].uid.n, 1);
	assert_int_equal(p->rules[0].from.whos[0].uid.v[0].lo, 1002);
	assert_int_equal(p->rules[0].from.whos[0].uid.v[0].hi, 1002);
	zt_policy_free(p);
	p = rule("from: {cgroup: [/system.slice/, user.slice], service: nginx}");
	assert_int_equal(p->rules[0].from.whos[0].n_cgroups, 1);
	assert_string_equal(p->rules[0].from.whos[0].cgroups[0].path, "system.slice/nginx.service");
	assert_string_equal(p->rules[0].from.whos[0].cgroups[0].service, "nginx.service");
	zt_policy_free(p);
}

static void identities(void **state)
{
	struct zt_policy *p = rule("from: {identity: [web, \"@cache\"], uid: 0-2000}");
	const struct zt_endpoint *e = &p->rules[0].from;

	(void)state;
	assert_int_equal(e->n_whos, 2);
	assert_int_equal(e->whos[0].uid.v[0].lo, 1001);
	assert_int_equal(e->whos[0].n_cgroups, 1);
	assert_int_equal(e->whos[0].n_exes, 0);
	assert_string_equal(e->whos[0].label, "uid 0-2000 @web");
	assert_int_equal(e->whos[1].n_exes, 1);
	assert_string_equal(e->whos[1].exes[0].path, "/usr/bin/redis-server");
	zt_policy_free(p);
}

static void receivers(void **state)
{
	static const char digest[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	struct zt_policy *p = rule("from: {user: web-user}, to: {host: 127.0.0.1, port: 6379, user: db-user}");

	(void)state;
	assert_int_equal(p->rules[0].dir, ZT_DIR_EGRESS);
	assert_int_equal(p->rules[0].to.n_whos, 1);
	assert_int_equal(p->rules[0].to.whos[0].uid.n, 1);
	assert_string_equal(p->rules[0].to.whos[0].label, "db-user");
	zt_policy_free(p);
	p = rule("from: {host: any}, to: {exe: /usr/sbin/nginx, port: 80}");
	assert_int_equal(p->rules[0].dir, ZT_DIR_INGRESS);
	assert_int_equal(p->rules[0].from.n_whos, 0);
	assert_string_equal(p->rules[0].to.whos[0].exes[0].path, "/usr/sbin/nginx");
	assert_true(p->rules[0].from.host_given);
	zt_policy_free(p);
	p = rule("from: {user: web-user}, to: {user: \"*\", port: 80}");
	assert_true(p->rules[0].to.whos[0].any);
	zt_policy_free(p);
	p = rule(
		"from: {exe: [/bin/a, \"/bin/b@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"], parent: /bin/c, app: staff}");
	assert_int_equal(p->rules[0].from.whos[0].n_exes, 2);
	assert_string_equal(p->rules[0].from.whos[0].exes[1].path, "/bin/b");
	assert_string_equal(p->rules[0].from.whos[0].exes[1].digest, digest);
	assert_string_equal(p->rules[0].from.whos[0].parents[0].path, "/bin/c");
	assert_int_equal(p->rules[0].from.whos[0].gid.n, 1);
	assert_int_equal(p->rules[0].from.whos[0].gid.v[0].lo, 50);
	assert_string_equal(p->rules[0].from.whos[0].label, "/bin/a,/bin/b parent /bin/c app staff");
	zt_policy_free(p);
	p = rule("from: {container: no-such-container}");
	assert_int_equal(p->rules[0].from.whos[0].n_cgroups, 1);
	assert_string_equal(p->rules[0].from.whos[0].cgroups[0].service, "no-such-container");
	zt_policy_free(p);
}

static void combined(void **state)
{
	struct zt_policy *p = rule("from: {identity: either}");
	const struct zt_endpoint *e = &p->rules[0].from;

	(void)state;
	assert_int_equal(e->n_whos, 2);
	assert_string_equal(e->whos[0].label, "@either");
	assert_int_equal(e->whos[0].n_cgroups, 1);
	assert_string_equal(e->whos[1].exes[0].path, "/usr/bin/redis-server");
	zt_policy_free(p);
	p = rule("from: {identity: strict}");
	assert_int_equal(p->rules[0].from.n_whos, 1);
	assert_int_equal(p->rules[0].from.whos[0].uid.v[0].lo, 1001);
	assert_int_equal(p->rules[0].from.whos[0].n_parents, 1);
	zt_policy_free(p);
}

static void hosts(void **state)
{
	struct zt_policy *p = rule("from: {user: root}, to: {host: any}");
	char text[128];

	(void)state;
	assert_int_equal(p->rules[0].to.hosts.n, 2);
	zt_addr_range_format(&p->rules[0].to.hosts.v[1], text);
	assert_string_equal(text, "::/0");
	zt_policy_free(p);
	p = rule("from: {user: root}, to: {host: localhost}");
	zt_addr_range_format(&p->rules[0].to.hosts.v[0], text);
	assert_string_equal(text, "127.0.0.0/8");
	zt_addr_range_format(&p->rules[0].to.hosts.v[1], text);
	assert_string_equal(text, "::1");
	zt_policy_free(p);
	p = rule(
		"from: {user: root}, to: {host: [\"@lan\", 10.1.2.3, 192.0.2.1-192.0.2.9, example.org, \"::ffff:1.2.3.4\"]}");
	assert_int_equal(p->rules[0].to.hosts.n, 6);
	assert_string_equal(p->rules[0].to.host_text, "@lan,10.1.2.3,192.0.2.1-192.0.2.9,example.org,::ffff:1.2.3.4");
	zt_policy_free(p);
	p = rule("from: {user: root}");
	assert_false(p->rules[0].to.given);
	assert_false(p->rules[0].to.host_given);
	zt_policy_free(p);
}

static void ports_and_protocols(void **state)
{
	struct zt_policy *p = rule("from: {user: root}, to: {port: [\"@mail\", 80, 81]}");

	(void)state;
	assert_int_equal(p->rules[0].port.n, 3);
	assert_int_equal(p->rules[0].port.v[0].lo, 80);
	assert_int_equal(p->rules[0].port.v[0].hi, 81);
	assert_int_equal(p->rules[0].proto.n, 1); /* a port without protocol is tcp */
	assert_int_equal(p->rules[0].proto.v[0].lo, 6);
	assert_string_equal(p->rules[0].port_text, "@mail,80,81");
	zt_policy_free(p);
	p = rule("from: {user: root}, to: {port: 53, protocol: both}");
	assert_int_equal(p->rules[0].proto.n, 2);
	zt_policy_free(p);
	p = rule("from: {user: root}, to: {host: any}");
	assert_int_equal(p->rules[0].proto.n, 0);
	zt_policy_free(p);
	p = rule("from: {user: root}, to: {protocol: [icmp, icmpv6, 47, \"0\", 255]}");
	assert_int_equal(p->rules[0].proto.n, 4); /* 0 and 1 are neighbours */
	zt_policy_free(p);
	p = rule("from: {user: root}, to: {protocol: [tcp, any]}");
	assert_int_equal(p->rules[0].proto.n, 0);
	zt_policy_free(p);
}

static void expect_windows(const char *schedule, const char *zone, size_t n, const struct zt_window *want)
{
	char body[256];
	struct zt_policy *p;

	assert_int_equal(setenv("TZ", zone, 1), 0);
	tzset();
	(void)snprintf(body, sizeof(body), "from: {user: root}, schedule: %s", schedule);
	p = rule(body);
	assert_int_equal(p->rules[0].n_windows, n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(p->rules[0].windows[i].start, want[i].start);
		assert_int_equal(p->rules[0].windows[i].end, want[i].end);
	}
	zt_policy_free(p);
	assert_int_equal(setenv("TZ", "UTC", 1), 0);
}

static void schedules(void **state)
{
	enum { H = 3600, D = 86400, W = 7 * D };

	(void)state;
	expect_windows("{days: tue}", "UTC", 1, (struct zt_window[]){{D, 2 * D}});
	expect_windows("{days: [mon-sun]}", "UTC", 1, (struct zt_window[]){{0, W}});
	expect_windows("{hours: \"00:00-24:00\"}", "UTC", 1, (struct zt_window[]){{0, W}});
	expect_windows("{days: [mon, tue], hours: \"08:00-18:00\"}", "UTC", 2,
		       (struct zt_window[]){{8 * H, 18 * H}, {D + 8 * H, D + 18 * H}});
	expect_windows("{days: mon, hours: [\"08:00-12:00\", \"11:30-13:00\"]}", "UTC", 1,
		       (struct zt_window[]){{8 * H, 13 * H}});
	expect_windows("{days: sun, hours: \"22:00-06:00\"}", "UTC", 2,
		       (struct zt_window[]){{0, 6 * H}, {6 * D + 22 * H, W}});
	expect_windows("{days: sat-mon}", "UTC", 2, (struct zt_window[]){{0, D}, {5 * D, W}});
	expect_windows("{days: mon, hours: \"01:00-03:00\"}", "EAST-2", 2, (struct zt_window[]){{0, H}, {W - H, W}});
	expect_windows("{days: sun, hours: \"20:00-21:00\"}", "WEST+5", 1, (struct zt_window[]){{H, 2 * H}});
}

static void rule_details(void **state)
{
	struct zt_policy *p =
		rule("description: \"a\\nb\", from: {user: root}, log: true, priority: 7, expires: 2999-01-01");

	(void)state;
	assert_true(p->rules[0].log);
	assert_int_equal(p->rules[0].priority, 7);
	assert_int_equal(p->rules[0].expires / ZT_USEC_PER_SEC, 32472144000);
	assert_string_equal(p->rules[0].description, "a\nb");
	assert_int_equal(p->rules[0].span.line, 6);
	assert_string_equal(p->rules[0].span.file, "test.yaml");
	zt_policy_free(p);
	p = rule("from: {user: root}");
	assert_int_equal(p->rules[0].priority, 100);
	assert_false(p->rules[0].log);
	zt_policy_free(p);
}

static void settings(void **state)
{
	struct zt_policy *p = must_parse(V);

	(void)state;
	assert_int_equal(p->settings.def[ZT_DIR_EGRESS], ZT_DEFAULT_DENY);
	assert_int_equal(p->settings.block, ZT_BLOCK_REJECT);
	assert_true(p->settings.preserve_ssh && p->settings.preserve_established && p->settings.log_blocked);
	assert_string_equal(p->settings.log_prefix, "ZT-BLOCKED: ");
	assert_int_equal(p->settings.log_limit, 10);
	assert_int_equal(p->settings.log_limit_per, ZT_PER_SECOND);
	zt_policy_free(p);
	p = must_parse(
		V
		"settings: {default_policy: {egress: allow}, mode: observe, block: drop, loopback: allow, log_blocked: false,\n"
		"  preserve_ssh: false, preserve_established: false, log_prefix: x, log_limit: 5/hour}\n");
	assert_int_equal(p->settings.def[ZT_DIR_EGRESS], ZT_DEFAULT_ALLOW);
	assert_int_equal(p->settings.def[ZT_DIR_INGRESS], ZT_DEFAULT_DENY);
	assert_int_equal(p->settings.mode, ZT_MODE_OBSERVE);
	assert_int_equal(p->settings.block, ZT_BLOCK_DROP);
	assert_int_equal(p->settings.loopback, ZT_LOOPBACK_ALLOW);
	assert_false(p->settings.preserve_ssh || p->settings.preserve_established || p->settings.log_blocked);
	assert_int_equal(p->settings.log_limit_per, ZT_PER_HOUR);
	zt_policy_free(p);
}

static void tests(void **state)
{
	struct zt_policy *p = must_parse(
		V
		"tests:\n"
		"  - {name: a, from: {user: alice}, to: {host: localhost, port: 80}, expect: deny}\n"
		"  - {name: b, from: {host: \"fd00::1\"}, to: {protocol: icmpv6}, expect: reject, at: 2026-06-01}\n"
		"  - {name: c, from: {uid: 77777, gid: 5, service: nginx}, to: {port: 53, protocol: udp}, expect: allow}\n"
		"  - {name: d, direction: forward, from: {host: 10.0.0.1}, to: {host: 10.0.0.2, port: 1}, expect: observe}\n"
		"  - {name: e, from: {user: 77777}, to: {host: 1.2.3.4, port: 1}, expect: allow}\n");
	const struct zt_policy_test *t = p->tests;

	(void)state;
	assert_int_equal(p->n_tests, 5);
	assert_int_equal(t[0].dir, ZT_DIR_EGRESS);
	assert_true(t[0].from.has_uid && t[0].from.has_gid);
	assert_int_equal(t[0].from.uid, 2001);
	assert_int_equal(t[0].from.gid, 2001); /* the primary group */
	assert_int_equal(t[0].proto, 6);
	assert_int_equal(t[0].dst.b[0], 127);
	assert_int_equal(t[1].dir, ZT_DIR_INGRESS);
	assert_int_equal(t[1].src.family, 6);
	assert_int_equal(t[1].proto, 58);
	assert_false(t[1].port_given);
	assert_int_equal(t[1].expect, ZT_ACTION_REJECT);
	assert_int_equal(t[1].at / ZT_USEC_PER_SEC, 1780272000);
	assert_int_equal(t[2].from.gid, 5);
	assert_string_equal(t[2].from.cgroup, "system.slice/nginx.service");
	assert_int_equal(t[3].dir, ZT_DIR_FORWARD);
	assert_true(t[4].from.has_uid);
	assert_false(t[4].from.has_gid);
	zt_policy_free(p);
}

static void without_resolving(void **state)
{
	static const char text[] = V
		"rules: [{name: a, from: {user: no-such, group: neither}, to: {host: nowhere.invalid}, action: deny}]\n";
	struct zt_policy_options o = {.no_resolve = true};
	struct zt_policy *p = NULL;
	struct zt_diags d = {0};

	(void)state;
	assert_int_equal(zt_policy_parse("-", text, strlen(text), &o, &p, &d), 0);
	assert_int_equal(d.n, 0);
	assert_int_equal(p->rules[0].to.hosts.n, 1);
	zt_policy_free(p);
	zt_diags_done(&d);
}

static void nothing_to_complain_to(void **state)
{
	struct zt_policy *p = NULL;

	(void)state;
	assert_int_equal(parse(V "rule: 1\nrules: [{name: a, from: {user: rot}, action: alow}]\n", &p, NULL), -EINVAL);
	assert_null(p);
	assert_int_equal(zt_policy_parse("x", NULL, 0, NULL, &p, NULL), -EINVAL);
	zt_policy_free(NULL);
}

static void many_errors_are_counted(void **state)
{
	struct zt_strbuf b = {0};
	struct zt_policy *p = NULL;
	struct zt_diags d = {0};

	(void)state;
	zt_strbuf_str(&b, V "rules:\n");
	for (int i = 0; i < 1000; i++)
		zt_strbuf_printf(&b, "  - {name: r%d, from: {user: nobody-here-%d}, action: allow}\n", i, i);
	assert_int_equal(parse(zt_strbuf_cstr(&b), &p, &d), -EINVAL);
	assert_int_equal(d.errors, 1000);
	assert_int_equal(d.n + d.suppressed, 1000);
	zt_diags_done(&d);
	zt_strbuf_done(&b);
}

int main(void)
{
	const struct CMUnitTest list[] = {
		cmocka_unit_test(directions),
		cmocka_unit_test(users),
		cmocka_unit_test(keys_hold_together),
		cmocka_unit_test(identities),
		cmocka_unit_test(combined),
		cmocka_unit_test(receivers),
		cmocka_unit_test(hosts),
		cmocka_unit_test(ports_and_protocols),
		cmocka_unit_test(schedules),
		cmocka_unit_test(rule_details),
		cmocka_unit_test(settings),
		cmocka_unit_test(tests),
		cmocka_unit_test(without_resolving),
		cmocka_unit_test(nothing_to_complain_to),
		cmocka_unit_test(many_errors_are_counted),
	};

	assert_int_equal(first_code(V), 0);
	return cmocka_run_group_tests(list, NULL, NULL);
}
