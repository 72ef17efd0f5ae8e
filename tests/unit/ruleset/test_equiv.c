/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Equivalence: what it calls equal is decided alike for random flows, what it calls different comes with a flow that shows it. */
#include "common.h"

#include "ruleset/equiv.h"

#define PAIR(USER, EXE)                                                                                                          \
	V "identities: {web: {uid: 33, exe: /usr/sbin/nginx}, cache: {uid: " USER ", exe: " EXE "}}\n"                           \
	  "rules:\n  - {name: pair, from: {identity: web}, to: {identity: cache, host: localhost, port: 6379}, action: allow}\n" \
	  "  - {name: group, from: {gid: 5}, to: {port: 80}, action: allow}\n"

static unsigned seed = 3;

static unsigned pick(unsigned n)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 16) % n;
}

static const char *one_of(const char *const *v, unsigned n)
{
	return v[pick(n)];
}

#define ONE_OF(...) \
	one_of((const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void add_rule(struct zt_strbuf *b, unsigned i)
{
	bool in = !pick(4);

	zt_strbuf_printf(b, "  - {name: r%u, ", i);
	if (in)
		zt_strbuf_printf(b, "from: {host: %s}, to: {port: %s%s}, ",
				 ONE_OF("any", "10.0.0.0/8", "10.0.0.7", "\"2001:db8::/32\""),
				 ONE_OF("80", "22", "1-100"), ONE_OF("", ", uid: 7", ", exe: /bin/a"));
	else
		zt_strbuf_printf(b, "from: {%s}, to: {%s%s}, ",
				 ONE_OF("user: \"*\"", "uid: 1-5", "uid: 3", "exe: /bin/a",
					"exe: [/bin/a, /bin/b], uid: 3", "cgroup: a/b", "gid: 4", "parent: /bin/c"),
				 ONE_OF("host: any", "host: localhost", "port: 80", "port: 1-100, protocol: both",
					"host: 10.0.0.7, port: 22", "protocol: icmp"),
				 ONE_OF("", "", ", uid: 7", ", exe: /bin/a"));
	zt_strbuf_printf(b, "%saction: %s}\n",
			 ONE_OF("", "", "schedule: {hours: \"08:00-18:00\"}, ", "expires: 2999-01-01, "),
			 ONE_OF("allow", "deny", "observe"));
}

static struct zt_ruleset *random_policy(unsigned n, unsigned skip)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	struct zt_compile_options o = {.offline = true, .labels = true};
	struct zt_ruleset *rs = NULL;
	struct zt_diags d = {0};

	zt_strbuf_str(&b, V "rules:\n");
	for (unsigned i = 0; i < n; i++) {
		size_t before = b.len;

		add_rule(&b, i);
		if (i == skip)
			b.buf[b.len = before] = 0;
	}
	if (n == 1 && skip == 0)
		zt_strbuf_str(&b, "  []\n");
	assert_int_equal(compiled(zt_strbuf_cstr(&b), &o, &rs, &d), 0);
	zt_diags_done(&d);
	return rs;
}

static void random_flow(struct zt_flow *f, struct zt_actor a[2])
{
	*f = (struct zt_flow){.dir = pick(3) ? ZT_DIR_EGRESS : ZT_DIR_INGRESS,
			      .uid = pick(9),
			      .gid = pick(6),
			      .proto = (uint8_t)(pick(2)   ? 6
						 : pick(2) ? 17
							   : 1),
			      .port = (uint16_t)(pick(2) ? 80 : pick(200)),
			      .at = pick(604800) * ZT_USEC_PER_SEC};
	for (int i = 0; i < 2; i++)
		a[i] = (struct zt_actor){.known = pick(5) != 0,
					 .uid = pick(9),
					 .gid = pick(6),
					 .cgroup_path = ONE_OF("a", "a/b", "a/b/c", "x"),
					 .exe_path = ONE_OF("/bin/a", "/bin/b", "/bin/x"),
					 .parent_path = ONE_OF("/bin/c", "/bin/x")};
	f->owned = f->dir == ZT_DIR_EGRESS;
	f->loopback = f->owned && pick(2);
	f->uid = a[0].uid;
	f->gid = a[0].gid;
	f->cgroup_path = a[0].cgroup_path;
	f->sender = f->owned ? &a[0] : NULL;
	f->receiver = (f->loopback || !f->owned) && pick(2) ? &a[1] : NULL;
	(void)zt_addr_parse(ONE_OF("10.0.0.7", "10.1.2.3", "127.0.0.1", "2001:db8::5", "::1"), &f->dst); /* constants */
	f->src = f->dst;
	if (f->port == 0)
		f->port = 1;
}

static void random_pairs(void **state)
{
	unsigned equal = 0, different = 0;

	(void)state;
	for (unsigned round = 0; round < 150; round++) {
		unsigned before = seed, n = 1 + pick(6), skip = pick(12);
		struct zt_ruleset *a = random_policy(n, 99), *b;
		struct zt_equiv e;

		seed = before;
		(void)pick(6);
		(void)pick(12);
		b = random_policy(n, skip);
		assert_int_equal(zt_ruleset_equiv(a, b, 0, &e), 0);
		equal += e.equal;
		different += !e.equal;
		if (!e.equal)
			assert_true(e.a.verdict != e.b.verdict || e.a.rule->log != e.b.rule->log);
		for (int i = 0; e.equal && i < 300; i++) {
			struct zt_actor actors[2];
			struct zt_decision x, y;
			struct zt_flow f;

			random_flow(&f, actors);
			zt_oracle_decide(a, &f, &x);
			zt_oracle_decide(b, &f, &y);
			assert_int_equal(x.verdict, y.verdict);
		}
		zt_ruleset_free(a);
		zt_ruleset_free(b);
	}
	assert_true(equal > 20 && different > 20);
}

static void expect(const char *a, const char *b, bool equal, struct zt_equiv *ret)
{
	struct zt_ruleset *x = must_compile(a), *y = must_compile(b);

	assert_int_equal(zt_ruleset_equiv(x, y, 0, ret), 0);
	assert_int_equal(ret->equal, equal);
	assert_true(ret->classes >= 1);
	zt_ruleset_free(x);
	zt_ruleset_free(y);
}

static void pairs(void **state)
{
	struct zt_equiv e;

	(void)state;
	expect(PAIR("7", "/usr/bin/redis-server"), PAIR("7", "/usr/bin/redis-server"), true, &e);
	expect(PAIR("7", "/usr/bin/redis-server"), PAIR("7-8", "/usr/bin/redis-server"), false, &e);
	assert_int_equal(e.receiver.uid, 8);
	assert_int_equal(e.flow.port, 6379);
	expect(PAIR("7", "/usr/bin/redis-server"), PAIR("7", "/usr/bin/other"), false, &e);
	assert_int_equal(e.receiver.uid, 7);
}

/* Written otherwise, decided alike. */
static void same_in_other_words(void **state)
{
	struct zt_equiv e;

	(void)state;
	expect(V "rules:\n  - {name: a, from: {uid: 1-10}, to: {port: 80}, action: allow}\n",
	       V "rules:\n  - {name: b, from: {uid: 6-10}, to: {port: 80}, action: allow}\n"
		 "  - {name: c, from: {uid: 1-5}, to: {port: 80}, action: allow}\n",
	       true, &e);
	assert_true(e.walked > 1);
	expect(V "rules:\n  - {name: a, from: {uid: 1-10}, to: {port: 80}, action: allow}\n",
	       V "rules:\n  - {name: b, from: {uid: 6-10}, to: {port: 80}, action: allow}\n"
		 "  - {name: c, from: {uid: 1-4}, to: {port: 80}, action: allow}\n",
	       false, &e);
	assert_int_equal(e.flow.uid, 5);
	expect(V "settings: {default_policy: allow}\nrules: []\n", V "rules: []\n", false, &e);
}

static void budget(void **state)
{
	struct zt_ruleset *x =
		must_compile(V "rules:\n  - {name: a, from: {uid: 1-10}, to: {port: 80}, action: allow}\n");
	struct zt_ruleset *y =
		must_compile(V "rules:\n  - {name: b, from: {uid: 1-10}, to: {port: 80}, action: allow}\n");
	struct zt_equiv e;

	(void)state;
	assert_int_equal(zt_ruleset_equiv(x, y, 1, &e), -E2BIG);
	assert_int_equal(zt_ruleset_equiv(x, y, 0, &e), 0);
	assert_true(e.equal);
	zt_ruleset_free(x);
	zt_ruleset_free(y);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(random_pairs), cmocka_unit_test(pairs),
					   cmocka_unit_test(same_in_other_words), cmocka_unit_test(budget)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
