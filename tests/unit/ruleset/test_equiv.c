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

static void add_unix(struct zt_strbuf *b, unsigned i)
{
	zt_strbuf_printf(b, "  - {name: r%u, from: {%s}, to: {unix: %s%s}, action: %s}\n", i,
			 ONE_OF("user: \"*\"", "uid: 1-5", "exe: /bin/a", "cgroup: a/b"),
			 ONE_OF("any", "/run/a", "[/run/b, \"@c\"]"), ONE_OF("", ", uid: 7", ", exe: /bin/a"),
			 ONE_OF("allow", "allow", "deny", "observe"));
}

static void add_rule(struct zt_strbuf *b, unsigned i)
{
	bool in = !pick(4);

	if (!pick(3)) {
		add_unix(b, i);
		return;
	}

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
	if (pick(3))
		return;
	*f = (struct zt_flow){.dir = ZT_DIR_UNIX,
			      .owned = true,
			      .uid = f->uid,
			      .gid = f->gid,
			      .cgroup_path = f->cgroup_path,
			      .unix_name = ONE_OF("/run/a", "/run/b", "@c", "/run/d", NULL),
			      .at = f->at,
			      .sender = &a[0],
			      .receiver = pick(4) ? &a[1] : NULL};
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

/* Of many that differ: the fewest attributes that a rule names, then the lowest port and address. */
static void smallest(void **state)
{
	struct zt_equiv e;

	(void)state;
	/* Everything differs: the flow that no rule is about. */
	expect(V
	       "settings: {default_policy: allow}\nrules:\n  - {name: a, from: {uid: 7}, to: {host: 10.0.0.7, port: 80}, action: allow}\n",
	       V "rules:\n  - {name: a, from: {uid: 7}, to: {host: 10.0.0.7, port: 80}, action: allow}\n", false, &e);
	assert_true(e.smallest && e.a.by == ZT_BY_DEFAULT && e.b.by == ZT_BY_DEFAULT && e.flow.uid != 7);
	/* Two rules are missing; the one that asks for less is shown, though it is the later one. */
	expect(V "rules:\n  - {name: a, from: {uid: 7}, to: {host: 10.0.0.7, port: 80}, action: allow}\n"
		 "  - {name: b, from: {user: \"*\"}, to: {port: 7000-7009}, action: allow}\n",
	       V "rules: []\n", false, &e);
	assert_int_equal(e.flow.port, 7000);
	assert_true(e.flow.uid != 7 && e.flow.dst.b[0] != 10);
	/* The same number of attributes: the lowest port, wherever its rule stands. */
	expect(V "rules:\n  - {name: a, from: {uid: 7}, to: {host: 10.0.0.7, port: 443}, action: allow}\n"
		 "  - {name: b, from: {uid: 8}, to: {host: 10.0.0.9, port: 80}, action: allow}\n"
		 "  - {name: c, from: {uid: 9}, to: {host: 10.0.0.8, port: 80}, action: allow}\n",
	       V "rules: []\n", false, &e);
	assert_true(e.flow.port == 80 && e.flow.uid == 9 && e.flow.dst.b[3] == 8);
}

/* Both families are meant by the rule, and only the addresses of one differ. */
static void each_family(void **state)
{
	struct zt_equiv e;

	(void)state;
	expect(V
	       "rules:\n  - {name: a, from: {uid: 7}, to: {host: [10.0.0.0/8, \"2001:db8::/32\"], port: 80}, action: allow}\n",
	       V
	       "rules:\n  - {name: a, from: {uid: 7}, to: {host: [10.0.0.0/8, \"2001:db9::/32\"], port: 80}, action: allow}\n",
	       false, &e);
	assert_int_equal(e.flow.dst.family, 6);
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

/* Two thirds of the samples come from the rules in turn: every rule decides some, and both ends of a class are among the values. */
static void samples(void **state)
{
	struct zt_ruleset *rs = must_compile(
		V "settings: {preserve_ssh: false}\nrules:\n"
		  "  - {name: a, from: {uid: 10-20}, to: {host: 10.0.0.0/8, port: 80-90}, action: allow}\n"
		  "  - {name: b, from: {host: \"2001:db8::/32\"}, to: {port: 53, protocol: udp}, action: allow}\n");
	unsigned by[2] = {0}, neither = 0, low = 0, high = 0, forwarded = 0, same = 0;
	uint64_t last = 0, turn = 0, numbers = 7, turn2 = 0, numbers2 = 7;

	(void)state;
	for (int i = 0; i < 600; i++) {
		struct zt_sample s, again;
		struct zt_decision d;

		assert_int_equal(zt_ruleset_sample(rs, &turn, &numbers, &s), 0);
		assert_int_equal(zt_ruleset_sample(rs, &turn2, &numbers2, &again), 0);
		assert_true(s.flow.uid == again.flow.uid && s.flow.port == again.flow.port &&
			    !zt_addr_cmp(&s.flow.dst, &again.flow.dst));
		s.flow.sender = &s.sender;
		zt_oracle_decide(rs, &s.flow, &d);
		by[0] += d.rule == &rs->rules[0];
		by[1] += d.rule == &rs->rules[1];
		neither += !d.rule;
		low += s.flow.uid == 10 || s.flow.uid == 9;
		high += s.flow.uid == 20 || s.flow.uid == 21;
		assert_true(s.flow.dir != ZT_DIR_FORWARD || !s.cell); /* no rule is about forwarded ones */
		forwarded += s.flow.dir == ZT_DIR_FORWARD;
		assert_true(s.cell == again.cell);
		same += i && s.cell == last;
		last = s.cell ? s.cell : last;
	}
	assert_true(forwarded > 20 && same < 20);
	assert_true(by[0] > 80 && by[1] > 80 && neither > 100 && low > 30 && high > 30);
	zt_ruleset_free(rs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_pairs), cmocka_unit_test(pairs),    cmocka_unit_test(same_in_other_words),
		cmocka_unit_test(budget),	cmocka_unit_test(smallest), cmocka_unit_test(each_family),
		cmocka_unit_test(samples)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
