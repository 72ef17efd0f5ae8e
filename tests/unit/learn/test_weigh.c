/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common.h"

#include "base/time.h"

static const char *const exes[] = {"/usr/sbin/nginx", "/usr/bin/redis-server", "/usr/bin/curl", ""};
static const char *const services[] = {"nginx.service", "redis.service", ""};

/* Rules by programs, services and receivers besides those by users and addresses. */
static void add_subjects(unsigned *seed, struct zt_ruleset *rs)
{
	for (size_t i = 0; i < rs->n_rules; i++) {
		struct zt_rule *r = &rs->rules[i];
		struct zt_exe exe = {.path = zt_strdup(exes[rnd(seed, 3)])};
		struct zt_subject s = {.exes = &exe, .n_exes = 1};
		const struct zt_subject **side = r->dir == ZT_DIR_EGRESS && rnd(seed, 2) ? &r->match.from
											 : &r->match.to;

		r->match.uid.n = r->dir == ZT_DIR_EGRESS && rnd(seed, 2) ? r->match.uid.n : 0;
		if (rnd(seed, 3) == 0)
			assert_int_equal(zt_ruleset_subject(rs, &s, side), 0);
		free(exe.path);
	}
}

static void random_seen(unsigned *seed, struct zt_seen_list *l, const struct zt_ruleset *rs)
{
	const struct zt_match *m = rs->n_rules ? &rs->rules[rnd(seed, (unsigned)rs->n_rules)].match : NULL;
	struct seen_line s = {.dir = rnd(seed, 4) ? "egress" : "ingress",
			      .user = "u",
			      .uid = m && m->uid.n && rnd(seed, 2) ? m->uid.v[0].lo : rnd(seed, 60000),
			      .exe = exes[rnd(seed, 4)],
			      .service = services[rnd(seed, 3)],
			      .proto = m && m->proto.n ? (uint8_t)m->proto.v[0].lo : 6,
			      .port = m && m->port.n && rnd(seed, 3) ? (uint16_t)ZT_MAX(m->port.v[0].lo, 1u) : 443,
			      .hour = rnd(seed, 200)};
	char remote[64];

	(void)snprintf(remote, sizeof(remote), "10.%u.%u.%u", rnd(seed, 250), rnd(seed, 3), rnd(seed, 250));
	if (m && m->dst4.n && rnd(seed, 3))
		zt_addr_format(&m->dst4.v[0].lo, remote);
	else if (m && m->dst6.n && rnd(seed, 3))
		zt_addr_format(&m->dst6.v[0].hi, remote);
	else if (rnd(seed, 5) == 0)
		(void)snprintf(remote, sizeof(remote), "127.0.0.1");
	s.remote = remote;
	if (!strcmp(s.dir, "egress") && rnd(seed, 3) == 0) {
		s.peer = "v";
		s.peer_uid = rnd(seed, 60000);
		s.peer_exe = exes[rnd(seed, 4)];
	}
	add_line(l, &s);
}

static void equals_the_oracle(void **state)
{
	unsigned by_rule = 0;

	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		struct zt_ruleset *rs = random_whole(round, round % 5 ? 20 : 200);
		unsigned seed = round + 4711;
		struct zt_seen_list l = {0};
		struct zt_judge *j = NULL;

		add_subjects(&seed, rs);
		for (unsigned i = 0; i < 300; i++)
			random_seen(&seed, &l, rs);
		if (round % 2)
			assert_int_equal(zt_seen_ready(&l, NULL), 0);
		assert_int_equal(zt_judge_new(rs, &l, &j), 0);
		for (size_t i = 0; i < l.n; i++) {
			struct zt_decision fast, plain;
			struct zt_flow f;

			zt_judge_flow(j, &l.v[i], &f);
			zt_oracle_decide(rs, &f, &plain);
			zt_judge_decide(j, &l.v[i], &fast);
			assert_int_equal(fast.verdict, plain.verdict);
			assert_int_equal(fast.by, plain.by);
			assert_ptr_equal(fast.rule, plain.rule);
			by_rule += plain.by == ZT_BY_RULE;
		}
		zt_judge_free(j);
		zt_seen_list_done(&l);
		zt_ruleset_free(rs);
	}
	assert_true(by_rule > 10000);
}

/* ---- what records say of who it is ---- */
#define POLICY(rules) V "rules:\n" rules

static enum zt_verdict verdict(const char *yaml, const struct seen_line *s)
{
	struct zt_ruleset *rs = must_compile(yaml);
	struct zt_seen_list l = {0};
	struct zt_judge *j = NULL;
	struct zt_decision d;

	add_lines(&l, s, 1);
	assert_int_equal(zt_judge_new(rs, &l, &j), 0);
	zt_judge_decide(j, &l.v[0], &d);
	zt_judge_free(j);
	zt_seen_list_done(&l);
	zt_ruleset_free(rs);
	return d.verdict;
}

static void who_it_is(void **state)
{
	static const struct seen_line nginx = {.dir = "egress",
					       .user = "www-data",
					       .uid = 33,
					       .exe = "/usr/sbin/nginx",
					       .service = "nginx.service",
					       .remote = "10.0.0.1",
					       .port = 80};
	static const struct seen_line unknown = {
		.dir = "egress", .user = "www-data", .uid = 33, .remote = "10.0.0.1", .port = 80};
	static const struct seen_line https = {.dir = "ingress",
					       .user = "www-data",
					       .uid = 33,
					       .exe = "/usr/sbin/nginx",
					       .service = "nginx.service",
					       .remote = "10.0.0.1",
					       .port = 443};

	(void)state;
	assert_int_equal(verdict(POLICY("- {name: a, from: {user: www-data}, action: allow}\n"), &nginx), ZT_ALLOW);
	assert_int_equal(verdict(POLICY("- {name: a, from: {user: root}, action: allow}\n"), &nginx), ZT_REJECT);
	assert_int_equal(verdict(POLICY("- {name: a, from: {service: nginx}, action: allow}\n"), &nginx), ZT_ALLOW);
	assert_int_equal(verdict(POLICY("- {name: a, from: {service: redis}, action: allow}\n"), &nginx), ZT_REJECT);
	assert_int_equal(verdict(POLICY("- {name: a, from: {exe: /usr/sbin/nginx}, action: allow}\n"), &nginx),
			 ZT_ALLOW);
	assert_int_equal(verdict(POLICY("- {name: a, from: {exe: /usr/bin/curl}, action: allow}\n"), &nginx),
			 ZT_REJECT);
	assert_int_equal(verdict(POLICY("- {name: a, from: {user: www-data}, action: allow}\n"), &unknown), ZT_ALLOW);
	assert_int_equal(verdict(POLICY("- {name: a, from: {exe: /usr/sbin/nginx}, action: allow}\n"), &unknown),
			 ZT_REJECT);
	assert_int_equal(
		verdict(POLICY("- {name: d, from: {exe: /usr/bin/curl}, action: deny}\n- {name: a, from: {user: www-data}, action: allow}\n"),
			&unknown),
		ZT_REJECT);
	assert_int_equal(
		verdict(POLICY("- {name: a, from: {host: any}, to: {user: www-data, service: nginx, port: 443}, action: allow}\n"),
			&https),
		ZT_ALLOW);
	assert_int_equal(
		verdict(POLICY("- {name: a, from: {host: any}, to: {user: root, port: 443}, action: allow}\n"), &https),
		ZT_REJECT);
	assert_int_equal(
		verdict(POLICY("- {name: a, from: {exe: \"/usr/sbin/nginx@sha256:0123456789012345678901234567890123456789012345678901234567890123\"}, action: allow}\n"),
			&nginx),
		ZT_ALLOW);
}

/* Recorded with a digest, a program is the one that a policy pins, or another. */
static void pinned(void **state)
{
	static const char other[] = "1111111111111111111111111111111111111111111111111111111111111111";
	struct zt_ruleset *rs = must_compile(POLICY(
		"- {name: a, from: {exe: \"/usr/sbin/nginx@sha256:0123456789012345678901234567890123456789012345678901234567890123\"}, action: allow}\n"));
	static const struct seen_line nginx = {.dir = "egress",
					       .user = "www-data",
					       .uid = 33,
					       .exe = "/usr/sbin/nginx",
					       .remote = "10.0.0.1",
					       .port = 80};
	struct zt_seen_list l = {0};
	struct zt_activity a;
	struct zt_judge *j = NULL;
	struct zt_decision d;

	(void)state;
	activity_of(&nginx, &a);
	zt_activity_text(&a, digest, other, 64);
	assert_int_equal(zt_seen_add(&l, &a, 1, 0, T0, T0), 0);
	assert_int_equal(zt_seen_ready(&l, NULL), 0);
	assert_int_equal(zt_judge_new(rs, &l, &j), 0);
	zt_judge_decide(j, &l.v[0], &d);
	assert_int_equal(d.verdict, ZT_REJECT);
	zt_judge_free(j);
	zt_seen_list_done(&l);
	zt_ruleset_free(rs);
}

/* A receiver is recorded by user and program; what it accepted itself tells its service. */
static void receivers_are_completed(void **state)
{
	static const struct seen_line lines[] = {
		{.dir = "egress",
		 .user = "www-data",
		 .uid = 33,
		 .exe = "/usr/sbin/nginx",
		 .remote = "127.0.0.1",
		 .port = 6379,
		 .peer = "db-user",
		 .peer_uid = 1002,
		 .peer_exe = "/usr/bin/redis-server"},
		{.dir = "egress",
		 .user = "www-data",
		 .uid = 33,
		 .exe = "/usr/sbin/nginx",
		 .remote = "127.0.0.1",
		 .port = 6380,
		 .peer = "db-user",
		 .peer_uid = 1002,
		 .peer_exe = "/usr/bin/redis-server"},
		{.dir = "ingress",
		 .user = "db-user",
		 .uid = 1002,
		 .exe = "/usr/bin/redis-server",
		 .service = "redis.service",
		 .remote = "127.0.0.1",
		 .port = 6379},
	};
	struct zt_ruleset *rs =
		must_compile(POLICY("- {name: a, from: {user: www-data}, to: {service: redis}, action: allow}\n"));
	struct zt_seen_list l = {0};
	struct zt_weighing w = {0};

	(void)state;
	add_lines(&l, lines, ZT_ARRAY_SIZE(lines));
	assert_int_equal(zt_weigh(&l, NULL, rs, &w), 0);
	assert_int_equal(w.keys, 2); /* what arrives over loopback was told by its sender */
	assert_int_equal(w.blocked_keys, 1);
	assert_int_equal(w.v[0].seen->port, 6380);
	zt_weighing_done(&w);
	zt_seen_list_done(&l);
	zt_ruleset_free(rs);
}

/* None recorded: whoever accepted at that port, where it was one only. */
static void receivers_are_found(void **state)
{
	static const struct seen_line lines[] = {
		{.dir = "egress",
		 .user = "www-data",
		 .uid = 33,
		 .exe = "/usr/sbin/nginx",
		 .remote = "127.0.0.1",
		 .port = 6379},
		{.dir = "egress",
		 .user = "www-data",
		 .uid = 33,
		 .exe = "/usr/sbin/nginx",
		 .remote = "127.0.0.1",
		 .port = 6380},
		{.dir = "egress",
		 .user = "www-data",
		 .uid = 33,
		 .exe = "/usr/sbin/nginx",
		 .remote = "10.0.0.1",
		 .port = 6379},
		{.dir = "ingress",
		 .user = "db-user",
		 .uid = 1002,
		 .exe = "/usr/bin/redis-server",
		 .remote = "127.0.0.1",
		 .port = 6379},
		{.dir = "ingress",
		 .user = "db-user",
		 .uid = 1002,
		 .exe = "/usr/bin/redis-server",
		 .remote = "::1",
		 .port = 6379},
		{.dir = "ingress",
		 .user = "db-user",
		 .uid = 1002,
		 .exe = "/usr/bin/redis-server",
		 .remote = "127.0.0.1",
		 .port = 6380},
		{.dir = "ingress",
		 .user = "bob",
		 .uid = 2002,
		 .exe = "/usr/bin/redis-server",
		 .remote = "127.0.0.1",
		 .port = 6380},
	};
	struct zt_seen_list l = {0};

	(void)state;
	add_lines(&l, lines, ZT_ARRAY_SIZE(lines));
	for (size_t i = 0; i < l.n; i++) {
		bool found = l.v[i].dir == ZT_DIR_EGRESS && l.v[i].port == 6379 && l.v[i].loopback;

		assert_int_equal(l.v[i].peer != NULL, found);
		if (found)
			assert_int_equal(l.v[i].peer->uid, 1002);
	}
	zt_seen_list_done(&l);
}

/* ---- weighing ---- */
static void newly_blocked_and_allowed(void **state)
{
	static const struct seen_line lines[] = {
		{.dir = "egress", .user = "alice", .uid = 2001, .remote = "10.0.0.1", .port = 80, .count = 5},
		{.dir = "egress", .user = "alice", .uid = 2001, .remote = "10.0.0.2", .port = 80, .count = 50},
		{.dir = "egress",
		 .user = "bob",
		 .uid = 2002,
		 .remote = "10.0.0.1",
		 .port = 80,
		 .count = 7,
		 .verdict = "reject"},
		{.dir = "egress", .user = "bob", .uid = 2002, .remote = "10.0.0.1", .port = 443, .count = 1000},
	};
	struct zt_ruleset *before = must_compile(POLICY(
		"- {name: a, from: {user: alice}, action: allow}\n- {name: s, from: {user: bob}, to: {port: 443}, action: allow}\n"));
	struct zt_ruleset *after = must_compile(POLICY("- {name: b, from: {user: bob}, action: allow}\n"));
	struct zt_seen_list l = {0};
	struct zt_weighing w = {0};

	(void)state;
	add_lines(&l, lines, ZT_ARRAY_SIZE(lines));
	for (int live = 0; live < 2; live++) {
		assert_int_equal(zt_weigh(&l, live ? NULL : before, after, &w), 0);
		assert_int_equal(w.keys, 4);
		assert_int_equal(w.count, 1062);
		assert_int_equal(w.blocked_keys, 2);
		assert_int_equal(w.blocked_count, 55);
		assert_int_equal(w.allowed_keys, 1);
		assert_int_equal(w.allowed_count, 7);
		assert_int_equal(w.v[0].seen->count, 50);
		assert_int_equal(w.v[1].seen->count, 7);
		assert_string_equal(w.v[1].after.rule->id, "b");
		zt_weighing_done(&w);
	}
	assert_int_equal(zt_weigh(&l, after, after, &w), 0);
	assert_int_equal(w.n, 0);
	zt_weighing_done(&w);
	zt_seen_list_done(&l);
	zt_ruleset_free(before);
	zt_ruleset_free(after);
}

static void what_records_cannot_tell(void **state)
{
	static const struct {
		const char *rule;
		unsigned blind;
	} cases[] = {
		{"- {name: a, from: {user: alice}, action: allow}\n", 0},
		{"- {name: a, from: {group: www-data}, action: allow}\n", ZT_BLIND_GROUP},
		{"- {name: a, from: {service: x}, action: allow}\n", 0},
		{"- {name: a, from: {cgroup: user.slice}, action: allow}\n", ZT_BLIND_CGROUP},
		{"- {name: a, from: {parent: /usr/sbin/cron}, action: allow}\n", ZT_BLIND_PARENT},
		{"- {name: a, from: {host: any}, to: {host: 10.0.0.1, port: 1}, action: allow}\n", ZT_BLIND_ADDRESS},
		{"- {name: a, from: {user: alice}, schedule: {days: [mon]}, action: allow}\n", ZT_BLIND_TIME},
	};
	struct zt_seen_list l = {0};

	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(cases); i++) {
		ZT_STRBUF struct zt_strbuf b = {0};
		struct zt_ruleset *rs;

		zt_strbuf_printf(&b, V "rules:\n%s", cases[i].rule);
		rs = must_compile(b.buf);
		assert_int_equal(zt_rule_blind(&rs->rules[0], &l), cases[i].blind);
		zt_ruleset_free(rs);
	}
}

/* ---- use ---- */
static const struct zt_rule_use *use_of(const struct zt_uses *u, const char *name)
{
	for (size_t i = 0; i < u->n; i++)
		if (!strcmp(u->v[i].rule->id, name))
			return &u->v[i];
	fail_msg("no rule %s", name);
	return NULL;
}

static void used_and_tighter(void **state)
{
	static const struct seen_line lines[] = {
		{.dir = "egress", .user = "alice", .uid = 2001, .remote = "10.0.0.1", .port = 443, .count = 5},
		{.dir = "egress",
		 .user = "alice",
		 .uid = 2001,
		 .remote = "10.0.0.1",
		 .port = 80,
		 .count = 50,
		 .hour = 9},
		{.dir = "egress",
		 .user = "alice",
		 .uid = 2001,
		 .remote = "10.0.0.1",
		 .port = 81,
		 .count = 50,
		 .hour = 9},
		{.dir = "egress", .user = "bob", .uid = 2002, .remote = "127.0.0.1", .port = 53, .proto = 17},
		{.dir = "ingress", .user = "root", .remote = "10.0.0.9", .port = 9000},
		{.dir = "ingress", .user = "root", .remote = "127.0.0.1", .port = 9000},
	};
	struct zt_ruleset *rs = must_compile(POLICY(
		"- {name: wide, from: {user: [alice, bob]}, to: {host: 10.0.0.0/8, port: 1-1024}, action: allow}\n"
		"- {name: exact, from: {user: bob}, to: {host: localhost, port: 53, protocol: udp}, action: allow}\n"
		"- {name: never, from: {user: deploy}, action: allow}\n"
		"- {name: any, from: {host: any}, to: {port: 9000}, action: allow}\n"
		"- {name: blocks, from: {user: bob}, action: deny}\n"));
	struct zt_seen_list l = {0};
	struct zt_uses u = {0};
	const struct zt_rule_use *wide;

	(void)state;
	add_lines(&l, lines, ZT_ARRAY_SIZE(lines));
	assert_int_equal(zt_uses_make(&l, rs, &u), 0);
	assert_int_equal(u.n, 5);
	wide = use_of(&u, "wide");
	assert_int_equal(wide->count, 105);
	assert_int_equal(wide->first, T0);
	assert_int_equal(wide->last, T0 + 10 * HOUR);
	assert_int_equal(wide->ports.n, 3); /* single values, also where they are neighbours */
	assert_int_equal(wide->ports.v[0].lo, 80);
	assert_int_equal(wide->ports.v[2].lo, 443);
	assert_int_equal(zt_use_tighter(wide), ZT_TIGHTER_PORTS | ZT_TIGHTER_HOSTS | ZT_TIGHTER_USERS);
	assert_int_equal(use_of(&u, "exact")->keys, 1);
	assert_int_equal(zt_use_tighter(use_of(&u, "exact")), 0);
	assert_int_equal(use_of(&u, "never")->keys, 0);
	assert_int_equal(zt_use_tighter(use_of(&u, "never")), 0);
	assert_int_equal(use_of(&u, "any")->keys, 1); /* what arrives over loopback is no use of it */
	assert_int_equal(zt_use_tighter(use_of(&u, "any")), ZT_TIGHTER_HOSTS);
	assert_int_equal(zt_use_tighter(use_of(&u, "blocks")), 0);
	zt_uses_done(&u);
	zt_seen_list_done(&l);
	zt_ruleset_free(rs);
}

/* What was seen, in other words, is not wider than what was seen. */
static void as_tight_as_seen(void **state)
{
	static const struct {
		const char *host, *proto;
		unsigned n, tighter;
	} cases[] = {
		{"10.0.0.0/30", "tcp", 4, 0},
		{"10.0.0.0-10.0.0.2", "tcp", 3, 0},
		{"10.0.0.0/30", "tcp", 3, ZT_TIGHTER_HOSTS},
		{"[localhost, 10.0.0.0/31]", "tcp", 2, 0},
		{"[localhost, 10.0.0.0/8]", "tcp", 2, ZT_TIGHTER_HOSTS},
		{"[10.0.0.0, \"2001:db8::/64\"]", "tcp", 1, ZT_TIGHTER_HOSTS},
		{"10.0.0.0/28", "tcp", 8, ZT_TIGHTER_HOSTS},
		{"10.0.0.0/28", "tcp", 9, 0}, /* learn would write it */
		{"10.0.0.0/27", "tcp", 9, ZT_TIGHTER_HOSTS},
		{"10.0.0.0", "both", 1, ZT_TIGHTER_PROTOS},
		{"10.0.0.0", "[tcp, udp]", 1, ZT_TIGHTER_PROTOS},
	};

	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(cases); i++) {
		ZT_STRBUF struct zt_strbuf b = {0};
		struct zt_seen_list l = {0};
		struct zt_uses u = {0};
		struct zt_ruleset *rs;

		zt_strbuf_printf(
			&b,
			V
			"rules: [{name: a, from: {user: alice}, to: {host: %s, port: 80, protocol: %s}, action: allow}]\n",
			cases[i].host, cases[i].proto);
		rs = must_compile(b.buf);
		for (unsigned k = 0; k < cases[i].n; k++) {
			char remote[] = {'1', '0', '.', '0', '.', '0', '.', (char)('0' + k), 0};
			struct seen_line s = {
				.dir = "egress", .user = "alice", .uid = 2001, .remote = remote, .port = 80};

			add_line(&l, &s);
		}
		assert_int_equal(zt_seen_ready(&l, NULL), 0);
		assert_int_equal(zt_uses_make(&l, rs, &u), 0);
		if (zt_use_tighter(&u.v[0]) != cases[i].tighter)
			fail_msg("%s %s: %u", cases[i].host, cases[i].proto, zt_use_tighter(&u.v[0]));
		zt_uses_done(&u);
		zt_seen_list_done(&l);
		zt_ruleset_free(rs);
	}
}

/* A name is all of its addresses, whichever was seen. */
static void names_are_not_wider(void **state)
{
	static const struct {
		const char *text;
		unsigned tighter;
	} cases[] = {
		{"10.0.0.0,10.0.0.1:80/tcp", ZT_TIGHTER_HOSTS},
		{"@lan:80/tcp", ZT_TIGHTER_HOSTS},
		{"2001:db8::1:80/tcp", ZT_TIGHTER_HOSTS},
		{"localhost,10.0.0.1:80/tcp", ZT_TIGHTER_HOSTS},
		{"db.example:80/tcp", 0},
		{"10.0.0.0,db:80/tcp", 0},
		{"web-user at db.example", 0},
		{"any.example:80", 0},
	};
	struct zt_ruleset *rs = must_compile(POLICY(
		"- {name: a, from: {user: alice}, to: {host: [10.0.0.0, 10.0.0.1], port: 80}, action: allow}\n"));
	struct seen_line s = {.dir = "egress", .user = "alice", .uid = 2001, .remote = "10.0.0.0", .port = 80};
	struct zt_seen_list l = {0};
	struct zt_uses u = {0};

	(void)state;
	add_lines(&l, &s, 1);
	assert_int_equal(zt_uses_make(&l, rs, &u), 0);
	for (size_t i = 0; i < ZT_ARRAY_SIZE(cases); i++) {
		free(rs->rules[0].to_text);
		rs->rules[0].to_text = zt_strdup(cases[i].text);
		if (zt_use_tighter(&u.v[0]) != cases[i].tighter)
			fail_msg("%s: %u", cases[i].text, zt_use_tighter(&u.v[0]));
	}
	zt_uses_done(&u);
	zt_seen_list_done(&l);
	zt_ruleset_free(rs);
}

/* More values than fit a line say nothing. */
static void many_values(void **state)
{
	struct zt_ruleset *rs =
		must_compile(POLICY("- {name: a, from: {user: alice}, to: {port: 1-1024}, action: allow}\n"));
	struct zt_seen_list l = {0};
	struct zt_uses u = {0};

	(void)state;
	for (unsigned i = 1; i <= ZT_USE_VALUES + 1; i++) {
		struct seen_line s = {
			.dir = "egress", .user = "alice", .uid = 2001, .remote = "10.0.0.1", .port = (uint16_t)(3 * i)};

		add_line(&l, &s);
		if (i < ZT_USE_VALUES)
			continue;
		assert_int_equal(zt_seen_ready(&l, NULL), 0);
		assert_int_equal(zt_uses_make(&l, rs, &u), 0);
		assert_int_equal(zt_use_tighter(&u.v[0]),
				 ZT_TIGHTER_HOSTS | (i > ZT_USE_VALUES ? 0 : ZT_TIGHTER_PORTS));
		zt_uses_done(&u);
	}
	zt_seen_list_done(&l);
	zt_ruleset_free(rs);
}

/* ---- a million keys: as a ratio to the plain oracle on a part of them ---- */
static struct zt_ruleset *many_rules(unsigned n)
{
	ZT_STRBUF struct zt_strbuf b = {0};

	zt_strbuf_str(&b, V "rules:\n");
	for (unsigned i = 0; i < n; i++)
		zt_strbuf_printf(
			&b,
			"- {name: r%u, from: {uid: %u}, to: {host: 10.%u.0.0/16, port: [%u, 443]}, action: allow}\n", i,
			1000 + i % 100, i % 200, 1 + i);
	return must_compile(b.buf);
}

static void a_million_keys(void **state)
{
	struct zt_ruleset *rs = many_rules(1000);
	struct zt_seen_list l = {0};
	struct zt_weighing w = {0};
	zt_usec start, fast, plain;
	struct zt_judge *j = NULL;
	unsigned seed = 1;

	(void)state;
	for (unsigned i = 0; i < 1000000; i++) {
		static struct zt_activity a;
		struct zt_addr remote = {4, {10, (uint8_t)rnd(&seed, 250), (uint8_t)rnd(&seed, 250), (uint8_t)i}};

		zt_activity_init(&a, ZT_ACTIVITY_CONNECT, T0);
		zt_activity_text(&a, direction, "egress", 6);
		zt_activity_set(&a, uid, 1000 + rnd(&seed, 120));
		zt_activity_set(&a, protocol, 6);
		zt_activity_set(&a, dport, (uint16_t)(rnd(&seed, 3) ? 443 : 1 + rnd(&seed, 1000)));
		zt_activity_set(&a, dst, remote);
		assert_int_equal(zt_seen_add(&l, &a, 1, 0, T0, T0), 0);
	}
	assert_int_equal(zt_seen_ready(&l, NULL), 0);
	start = zt_now_monotonic();
	assert_int_equal(zt_weigh(&l, NULL, rs, &w), 0);
	fast = zt_now_monotonic() - start;
	assert_int_equal(zt_judge_new(rs, &l, &j), 0);
	start = zt_now_monotonic();
	for (size_t i = 0; i < l.n; i += 1000) {
		struct zt_decision d;
		struct zt_flow f;

		zt_judge_flow(j, &l.v[i], &f);
		zt_oracle_decide(rs, &f, &d);
	}
	plain = (zt_now_monotonic() - start) * 1000;
	print_message(
		"a million keys, 1,000 rules: %.2f s, %.0f times as fast as one after the other (%zu keys blocked)\n",
		(double)fast / 1e6, (double)plain / (double)fast, w.blocked_keys);
	assert_true(w.blocked_keys > 1000 && w.blocked_keys < 1000000);
	assert_true(plain > 5 * fast);
	zt_judge_free(j);
	zt_weighing_done(&w);
	zt_seen_list_done(&l);
	zt_ruleset_free(rs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equals_the_oracle),
		cmocka_unit_test(who_it_is),
		cmocka_unit_test(pinned),
		cmocka_unit_test(receivers_are_completed),
		cmocka_unit_test(receivers_are_found),
		cmocka_unit_test(newly_blocked_and_allowed),
		cmocka_unit_test(what_records_cannot_tell),
		cmocka_unit_test(used_and_tighter),
		cmocka_unit_test(as_tight_as_seen),
		cmocka_unit_test(names_are_not_wider),
		cmocka_unit_test(many_values),
		cmocka_unit_test(a_million_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
