/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common.h"

#include "base/file.h"

/* A web server with its cache and database, name service, package upgrades, remote logins: what a week of a small host looks like. */
static const struct seen_line host[] = {
	{.dir = "ingress",
	 .user = "www-data",
	 .uid = 33,
	 .exe = "/usr/sbin/nginx",
	 .service = "nginx.service",
	 .remote = "198.51.100.7",
	 .port = 443,
	 .count = 900},
	{.dir = "ingress",
	 .user = "www-data",
	 .uid = 33,
	 .exe = "/usr/sbin/nginx",
	 .service = "nginx.service",
	 .remote = "198.51.100.7",
	 .port = 80,
	 .count = 100},
	{.dir = "ingress",
	 .user = "www-data",
	 .uid = 33,
	 .exe = "/usr/sbin/nginx",
	 .service = "nginx.service",
	 .remote = "10.1.2.3",
	 .port = 443,
	 .count = 7},
	{.dir = "egress",
	 .user = "www-data",
	 .uid = 33,
	 .exe = "/usr/sbin/nginx",
	 .service = "nginx.service",
	 .remote = "127.0.0.1",
	 .port = 6379,
	 .peer = "db-user",
	 .peer_uid = 1002,
	 .peer_exe = "/usr/bin/redis-server",
	 .count = 5000},
	{.dir = "ingress",
	 .user = "db-user",
	 .uid = 1002,
	 .exe = "/usr/bin/redis-server",
	 .service = "redis-server.service",
	 .remote = "127.0.0.1",
	 .port = 6379,
	 .count = 5000},
	{.dir = "egress",
	 .user = "www-data",
	 .uid = 33,
	 .exe = "/usr/sbin/nginx",
	 .service = "nginx.service",
	 .remote = "::1",
	 .port = 5432,
	 .peer = "postgres",
	 .peer_uid = 110,
	 .peer_exe = "/usr/lib/postgresql/15/bin/postgres",
	 .count = 40},
	{.dir = "ingress",
	 .user = "root",
	 .uid = 0,
	 .exe = "/usr/sbin/sshd",
	 .service = "ssh.service",
	 .remote = "10.1.2.3",
	 .port = 22,
	 .count = 12},
	{.dir = "egress",
	 .user = "systemd-resolve",
	 .uid = 996,
	 .exe = "/lib/systemd/systemd-resolved",
	 .service = "systemd-resolved.service",
	 .remote = "10.1.0.53",
	 .port = 53,
	 .proto = 17,
	 .count = 300},
	{.dir = "egress",
	 .user = "systemd-resolve",
	 .uid = 996,
	 .exe = "/lib/systemd/systemd-resolved",
	 .service = "systemd-resolved.service",
	 .remote = "10.1.0.53",
	 .port = 53,
	 .count = 2},
	{.dir = "egress",
	 .user = "www-data",
	 .uid = 33,
	 .exe = "/usr/sbin/nginx",
	 .service = "nginx.service",
	 .remote = "127.0.0.53",
	 .port = 53,
	 .proto = 17,
	 .count = 60},
	{.dir = "egress",
	 .user = "_apt",
	 .uid = 42,
	 .exe = "/usr/lib/apt/methods/http",
	 .remote = "127.0.0.53",
	 .port = 53,
	 .proto = 17,
	 .count = 6},
	{.dir = "egress",
	 .user = "_apt",
	 .uid = 42,
	 .exe = "/usr/lib/apt/methods/http",
	 .remote = "203.0.113.10",
	 .name = "example.org",
	 .port = 80,
	 .count = 14,
	 .hour = 20},
	{.dir = "egress",
	 .user = "_apt",
	 .uid = 42,
	 .exe = "/usr/lib/apt/methods/http",
	 .remote = "2001:db8::10",
	 .name = "example.org",
	 .port = 80,
	 .count = 3,
	 .hour = 21},
	{.dir = "egress",
	 .user = "_chrony",
	 .uid = 104,
	 .exe = "/usr/sbin/chronyd",
	 .service = "chrony.service",
	 .remote = "192.0.2.123",
	 .port = 123,
	 .proto = 17,
	 .count = 168,
	 .verdict = "observe"},
	{.dir = "egress",
	 .user = "alice",
	 .uid = 2001,
	 .exe = "/usr/bin/ping",
	 .remote = "192.0.2.1",
	 .proto = 1,
	 .count = 4},
	{.dir = "egress",
	 .user = "attacker-user",
	 .uid = 1003,
	 .exe = "/usr/bin/nc",
	 .remote = "192.0.2.66",
	 .port = 4444,
	 .count = 9,
	 .verdict = "reject"},
};

static void golden(const char *file, const char *text)
{
	ZT_FREE char *path = zt_path_join(getenv("ZT_LEARN_GOLDEN"), file), *want = NULL;
	size_t len = 0;

	if (getenv("ZT_LEARN_UPDATE"))
		assert_int_equal(zt_file_write_atomic(path, text, strlen(text), 0644), 0);
	assert_int_equal(zt_file_read(path, 1 << 20, &want, &len), 0);
	assert_string_equal(text, want);
}

static void a_small_host(void **state)
{
	struct zt_seen_list l = {0};
	struct zt_learned got = {0};
	struct zt_weighing w = {0};
	struct zt_ruleset *rs;

	(void)state;
	add_lines(&l, host, ZT_ARRAY_SIZE(host));
	learned(&l, 0, false, &got);
	golden("host.yaml", got.yaml.buf);
	rs = tested(&got);
	assert_int_equal(got.denied, 9);
	assert_int_equal(zt_weigh(&l, NULL, rs, &w), 0);
	assert_int_equal(w.n, 0); /* all that passed passes, what was denied is denied */
	zt_weighing_done(&w);
	zt_ruleset_free(rs);
	zt_learned_done(&got);
	learned(&l, ZT_BY_USER, true, &got);
	golden("host-users.yaml", got.yaml.buf);
	zt_ruleset_free(tested(&got));
	zt_learned_done(&got);
	zt_seen_list_done(&l);
}

/* ---- any flows: what passed passes, and each rule has a test of what was seen ---- */
static void random_remote(unsigned *seed, char buf[64], const char **name)
{
	static const char *const names[] = {
		"example.org", "no-such-name.invalid", "a\"b: [x\ny", "any", "10.0.0.0/8", "@internet", "localhost"};
	unsigned kind = rnd(seed, 10);

	if (kind == 0)
		*name = names[1 + rnd(seed, ZT_ARRAY_SIZE(names) - 1)];
	if (kind == 1)
		(void)snprintf(buf, 64, "%s", rnd(seed, 2) ? "203.0.113.10" : "2001:db8::10"), *name = names[0];
	else if (kind == 2)
		(void)snprintf(buf, 64, "127.0.0.%u", 1 + rnd(seed, 3));
	else if (kind == 3)
		(void)snprintf(buf, 64, "fd00:1::%x", rnd(seed, 20));
	else if (kind < 6)
		(void)snprintf(buf, 64, "10.%u.%u.%u", rnd(seed, 3), rnd(seed, 6), rnd(seed, 30));
	else if (kind < 8)
		(void)snprintf(buf, 64, "%u.%u.7.9", 20 + rnd(seed, 60), rnd(seed, 250));
	else
		(void)snprintf(buf, 64, "198.51.100.%u", rnd(seed, 40));
}

static void random_line(unsigned *seed, struct seen_line *s, char remote[64])
{
	static const struct {
		const char *user, *exe, *service;
		unsigned uid;
	} who[] = {{"www-data", "/usr/sbin/nginx", "nginx.service", 33},
		   {"www-data", "/usr/bin/php-fpm8.2", "php.service", 33},
		   {"db-user", "/usr/bin/redis-server", NULL, 1002},
		   {"root", "/usr/sbin/cron", "cron.service", 0},
		   {"root", NULL, "cron.service", 0},
		   {"nobody-of-this-host", "/usr/bin/curl", NULL, 7777},
		   {"*", "/opt/a \"b\": [c]/d#e", NULL, 7778},
		   {"alice", "/home/alice/\x01\n: x", "user@2001.service", 2001},
		   {"1000-2000", "relative", "not a service", 7779}};
	static const uint8_t protos[] = {6, 6, 6, 17, 17, 1, 132, 253};
	unsigned i = rnd(seed, ZT_ARRAY_SIZE(who)), k = rnd(seed, ZT_ARRAY_SIZE(who)), p = rnd(seed, 3);

	*s = (struct seen_line){.dir = rnd(seed, 3) ? "egress" : "ingress",
				.user = who[i].user,
				.exe = who[i].exe,
				.service = who[i].service,
				.uid = who[i].uid,
				.proto = protos[rnd(seed, ZT_ARRAY_SIZE(protos))],
				.count = 1 + rnd(seed, 1000),
				.hour = rnd(seed, 100),
				.verdict = rnd(seed, 8)	  ? NULL
					   : rnd(seed, 2) ? "observe"
							  : "drop"};
	random_remote(seed, remote, &s->name);
	s->remote = remote;
	if (zt_proto_has_ports(s->proto))
		s->port = (uint16_t)(p == 0 ? 443 : p == 1 ? 80 + rnd(seed, 3) : 2000 + rnd(seed, 20000));
	if (!strncmp(remote, "127.", 4) && !strcmp(s->dir, "egress") && rnd(seed, 2)) {
		s->peer = who[k].user;
		s->peer_uid = who[k].uid;
		s->peer_exe = who[k].exe;
	}
}

static size_t expecting(const struct zt_learned *l, enum zt_action what)
{
	struct zt_policy *p = policy_of(l);
	size_t n = 0;

	for (size_t i = 0; i < p->n_tests; i++)
		n += p->tests[i].expect == what;
	zt_policy_free(p);
	return n;
}

/* ---- and no more than that: what some process did, as another one, is blocked unless that one did it too ---- */
/* b: of the flow that made the rule. What of it cannot be named is not told apart. */
static bool same_process(const struct zt_seen_who *a, const struct zt_seen_who *b)
{
	bool program = b && b->exe[0] == '/' && !strpbrk(b->exe, "\\\""),
	     service = b && *b->service && !strchr(b->service, ' ');

	return a == b ||
	       (a && b && a->uid == b->uid && (!program || a->exe == b->exe) && (!service || a->service == b->service));
}

static bool same_end(const struct zt_seen *a, const struct zt_seen *b)
{
	if (a->dir != b->dir || a->proto != b->proto || a->port != b->port)
		return false;
	if (zt_addr_is_loopback(&a->remote) || zt_addr_is_loopback(&b->remote))
		return zt_addr_is_loopback(&a->remote) && zt_addr_is_loopback(&b->remote) &&
		       (same_process(a->peer, b->peer) || !b->peer || !*b->peer->exe);
	return !zt_addr_cmp(&a->remote, &b->remote) ||
	       (!strcmp(a->name, "example.org") && !strcmp(b->name, "example.org"));
}

static bool was_seen(const struct zt_seen_list *l, const struct zt_seen *s)
{
	for (size_t i = 0; i < l->n; i++)
		if (same_end(s, &l->v[i]) &&
		    (same_process(s->who, l->v[i].who) || (s->dir == ZT_DIR_INGRESS && !*l->v[i].who->exe)))
			return true;
	return false;
}

static unsigned no_more_than_seen(unsigned *seed, const struct zt_seen_list *l, const struct zt_ruleset *rs)
{
	struct zt_judge *j = NULL;
	unsigned blocked = 0;

	assert_int_equal(zt_judge_new(rs, l, &j), 0);
	for (unsigned i = 0; i < 400; i++) {
		struct zt_seen s = l->v[rnd(seed, (unsigned)l->n)];
		const struct zt_seen *other = &l->v[rnd(seed, (unsigned)l->n)];
		struct zt_decision d;

		if (s.dir == ZT_DIR_INGRESS && s.loopback) /* decided at the sender */
			continue;
		if (rnd(seed, 2))
			s.who = other->who;
		else if (s.port && other->port)
			s.port = other->port;
		zt_judge_decide(j, &s, &d);
		blocked += d.verdict == ZT_REJECT;
		if (d.by == ZT_BY_RULE && !was_seen(l, &s))
			fail_msg("%s was never seen with port %u, and rule %s allows it", s.who->exe, s.port,
				 d.rule->id);
	}
	zt_judge_free(j);
	return blocked;
}

static bool exact(const struct zt_learned *l)
{
	for (size_t i = 0; i < l->n_rules; i++)
		if (l->rules[i].score > 0)
			return false;
	return true;
}

static void any_flows(void **state)
{
	unsigned exact_ones = 0, blocked = 0,
		 rounds = getenv("ZT_ROUNDS") ? (unsigned)strtoul(getenv("ZT_ROUNDS"), NULL, 10) : 40;

	(void)state;
	for (unsigned round = 0; round < rounds; round++) {
		static const unsigned by[] = {0, ZT_BY_USER, ZT_BY_SERVICE, ZT_BY_USER | ZT_BY_EXE};
		struct zt_seen_list l = {0};
		struct zt_learned got = {0};
		struct zt_weighing w = {0};
		struct zt_ruleset *rs;
		unsigned seed = round * 7919 + 1, n = 1 + rnd(&seed, round % 3 ? 60 : 1200);

		for (unsigned i = 0; i < n; i++) {
			struct seen_line s;
			char remote[64];

			random_line(&seed, &s, remote);
			add_line(&l, &s);
		}
		assert_int_equal(zt_seen_ready(&l, getenv("ZT_TEST_ROOT")), 0);
		learned(&l, by[round % 4], true, &got);
		rs = tested(&got);
		assert_int_equal(zt_weigh(&l, NULL, rs, &w), 0);
		for (size_t i = 0; i < w.n; i++)
			if (zt_verdict_passes(w.v[i].before.verdict)) {
				char remote[64];

				zt_addr_format(&w.v[i].seen->remote, remote);
				fail_msg("round %u: blocked %s %s \"%s\" port %u of %s in:\n%s", round,
					 w.v[i].seen->who->user, remote, w.v[i].seen->name, w.v[i].seen->port,
					 w.v[i].seen->who->exe, got.yaml.buf);
			}
		assert_int_equal(expecting(&got, ZT_ACTION_ALLOW), got.n_rules);
		assert_true(expecting(&got, ZT_ACTION_DENY) > 0);
		if (!by[round % 4] && exact(&got)) {
			blocked += no_more_than_seen(&seed, &l, rs);
			exact_ones++;
		}
		zt_weighing_done(&w);
		zt_ruleset_free(rs);
		zt_learned_done(&got);
		zt_seen_list_done(&l);
	}
	assert_true(exact_ones > 5 && blocked > 1000);
}

/* ---- what goes further than was seen ---- */
static const struct zt_learned_rule *rule_named(const struct zt_learned *l, const char *name)
{
	for (size_t i = 0; i < l->n_rules; i++)
		if (!strcmp(l->rules[i].name, name))
			return &l->rules[i];
	fail_msg("no rule %s in:\n%s", name, l->yaml.buf);
	return NULL;
}

static struct zt_learned from_remotes(const char *dir, const char *format, unsigned n, unsigned step, uint16_t port)
{
	struct zt_seen_list l = {0};
	struct zt_learned got = {0};

	for (unsigned i = 0; i < n; i++) {
		struct seen_line s = {
			.dir = dir, .user = "root", .exe = "/usr/bin/x", .port = port ? port : (uint16_t)(3000 + i)};
		char remote[64];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		(void)snprintf(remote, sizeof(remote), format, i * step);
#pragma GCC diagnostic pop
		s.remote = remote;
		add_line(&l, &s);
	}
	assert_int_equal(zt_seen_ready(&l, NULL), 0);
	learned(&l, 0, false, &got);
	zt_ruleset_free(tested(&got));
	zt_seen_list_done(&l);
	return got;
}

static void expect_rule(const char *dir, const char *format, unsigned n, unsigned step, uint16_t port, const char *name,
			double score, const char *text)
{
	struct zt_learned got = from_remotes(dir, format, n, step, port);
	const struct zt_learned_rule *r = rule_named(&got, name);

	assert_int_equal(got.n_rules, 1);
	assert_true(r->score > score - 0.001 && r->score < score + 0.001);
	if (!strstr(got.yaml.buf, text))
		fail_msg("no %s in:\n%s", text, got.yaml.buf);
	zt_learned_done(&got);
}

static void generalising(void **state)
{
	(void)state;
	expect_rule("egress", "10.0.0.%u", 7, 1, 80, "x-to-http", 0,
		    "host: [10.0.0.0, 10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4, 10.0.0.5, 10.0.0.6]");
	expect_rule("egress", "10.0.0.%u", 8, 1, 80, "x-to-10.0.0.0-29", 0, "host: 10.0.0.0/29\n");
	expect_rule("egress", "10.0.0.%u", 9, 1, 80, "x-to-10.0.0.0-28", 1 - 9 / 16., "; 44 % of it was never seen\n");
	expect_rule("egress", "10.0.0.%u", 8, 32, 80, "x-to-10.0.0.0-24", 1 - 8 / 256., "host: 10.0.0.0/24\n");
	expect_rule("egress", "fd00::%x", 8, 1, 80, "x-to-fd00-125", 0, "host: fd00::/125\n");
	expect_rule("egress", "224.0.0.%u", 9, 1, 80, "x-to-http", 0, "224.0.0.8");
	expect_rule("egress", "169.254.0.%u", 9, 1, 80, "x-to-http", 0, "169.254.0.8");
	expect_rule("egress", "10.0.%u.1", 7, 1, 80, "x-to-http", 0, "10.0.6.1");
	expect_rule("egress", "10.0.%u.1", 8, 1, 80, "x-to-10.0.0.0-8", 1, "host: 10.0.0.0/8\n");
	expect_rule("ingress", "192.168.%u.1", 8, 1, 80, "http-to-x", 1, "host: 192.168.0.0/16\n");
	expect_rule("ingress", "20.%u.0.1", 7, 1, 80, "http-to-x", 0, "20.6.0.1");
	expect_rule("ingress", "20.%u.0.1", 8, 1, 80, "http-to-x", 1, "host: \"@internet\"\n");
	expect_rule("egress", "20.%u.0.1", 31, 1, 80, "x-to-http", 0, "20.30.0.1");
	expect_rule("egress", "20.%u.0.1", 32, 1, 80, "x-to-internet", 1, "\"@internet\"");
	expect_rule("egress", "20.0.0.1", 15, 0, 0, "x-to-20.0.0.1", 0, "port: 3000-3014\n");
	expect_rule("egress", "20.0.0.1", 16, 0, 0, "x-to-20.0.0.1", 1 - 16 / 64512., "port: 1024-65535\n");
}

/* Public and private together stay apart; a private host is not in @internet. */
static void private_is_not_public(void **state)
{
	struct zt_seen_list l = {0};
	struct zt_learned got = {0};
	struct zt_ruleset *rs;
	struct zt_judge *j = NULL;
	struct zt_decision d;
	struct zt_seen stranger;

	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		char remote[64];
		struct seen_line s = {
			.dir = "egress", .user = "root", .exe = "/usr/bin/x", .remote = remote, .port = 443};

		(void)snprintf(remote, sizeof(remote), i == 20 ? "172.16.0.9" : "20.%u.0.1", i);
		add_line(&l, &s);
	}
	assert_int_equal(zt_seen_ready(&l, NULL), 0);
	learned(&l, 0, false, &got);
	rs = tested(&got);
	assert_int_equal(zt_judge_new(rs, &l, &j), 0);
	stranger = l.v[0];
	assert_int_equal(zt_addr_parse("172.16.0.10", &stranger.remote), 0);
	zt_judge_decide(j, &stranger, &d);
	assert_int_equal(d.verdict, ZT_REJECT);
	assert_int_equal(zt_addr_parse("1.1.1.1", &stranger.remote), 0);
	zt_judge_decide(j, &stranger, &d);
	assert_int_equal(d.verdict, ZT_ALLOW);
	zt_judge_free(j);
	zt_ruleset_free(rs);
	zt_learned_done(&got);
	zt_seen_list_done(&l);
}

/* Two senders by their names, of more the first and how many others; and where to stays in it. */
static void several_senders(void **state)
{
	static const char *const programs[] = {"/usr/bin/one", "/usr/bin/two", "/usr/bin/three",
					       "/usr/bin/a-program-with-a-name-that-is-long"};
	static const struct {
		size_t from, n;
		const char *name;
	} want[] = {{0, 2, "name: one-and-two-to-192.0.2.9\n"},
		    {0, 3, "name: one-and-2-more-to-192.0.2.9\n"},
		    {2, 2, "name: three-and-1-more-to-192.0.2.9\n"}};

	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(want); i++) {
		struct zt_seen_list l = {0};
		struct zt_learned got = {0};

		for (size_t k = want[i].from; k < want[i].from + want[i].n; k++) {
			struct seen_line s = {.dir = "egress",
					      .user = "root",
					      .exe = programs[k],
					      .remote = "192.0.2.9",
					      .port = 443};

			add_line(&l, &s);
		}
		assert_int_equal(zt_seen_ready(&l, NULL), 0);
		learned(&l, 0, false, &got);
		if (!strstr(got.yaml.buf, want[i].name))
			fail_msg("no %s in %s", want[i].name, got.yaml.buf);
		zt_ruleset_free(tested(&got));
		zt_learned_done(&got);
		zt_seen_list_done(&l);
	}
}

static void nothing(void **state)
{
	static const struct seen_line unowned = {.dir = "egress", .remote = "192.0.2.1", .port = 2049, .count = 5};
	static const struct seen_line blocked = {
		.dir = "egress", .user = "root", .remote = "192.0.2.1", .port = 1, .verdict = "drop"};
	struct zt_learn_options o = {0};
	struct zt_seen_list l = {0};
	struct zt_learned got = {0};
	struct zt_diags d = {0};

	(void)state;
	assert_int_equal(zt_seen_ready(&l, NULL), 0);
	assert_int_equal(zt_learn(&l, &o, &got, &d), -ENODATA);
	add_line(&l, &unowned);
	add_line(&l, &blocked);
	assert_int_equal(zt_seen_ready(&l, NULL), 0);
	assert_int_equal(zt_learn(&l, &o, &got, &d), -ENODATA);
	assert_int_equal(got.unowned, 5);
	assert_int_equal(got.denied, 1);
	assert_int_equal(d.n, 0);
	zt_seen_list_done(&l);
}

static void too_many(void **state)
{
	struct zt_learn_options o = {0};
	struct zt_seen_list l = {0};
	struct zt_learned got = {0};
	struct zt_diags d = {0};

	(void)state;
	for (unsigned i = 0; i <= ZT_SUBJECTS_MAX; i++) {
		char exe[64];
		struct seen_line s = {.dir = "egress", .user = "root", .exe = exe, .remote = "192.0.2.1", .port = 80};

		(void)snprintf(exe, sizeof(exe), "/opt/%u", i);
		add_line(&l, &s);
	}
	assert_int_equal(zt_seen_ready(&l, NULL), 0);
	assert_int_equal(zt_learn(&l, &o, &got, &d), -E2BIG);
	assert_int_equal(d.items[0].code, 4601);
	o.by = ZT_BY_USER;
	assert_int_equal(zt_learn(&l, &o, &got, &d), 0);
	assert_int_equal(got.n_rules, 1);
	zt_learned_done(&got);
	zt_diags_done(&d);
	zt_seen_list_done(&l);
}

/* A process in a container is not at the other end of lo: no rule of this host knows it as a receiver. */
static void elsewhere(void **state)
{
	static const struct seen_line lines[] = {
		{.dir = "egress", .uid = 1001, .remote = "10.88.0.2", .port = 80, .peer = "www", .peer_uid = 33},
		{.dir = "egress", .uid = 1001, .remote = "10.0.0.1", .port = 80, .peer = "www", .peer_uid = 33}};
	struct zt_addr_range mine = {0};
	struct zt_addr_ranges own = {0};
	struct zt_seen_list l = {.own = &own};

	(void)state;
	assert_int_equal(zt_addr_parse("10.0.0.1", &mine.lo), 0);
	mine.hi = mine.lo;
	assert_int_equal(zt_addr_ranges_add(&own, &mine), 0);
	add_lines(&l, lines, ZT_ARRAY_SIZE(lines));
	for (size_t i = 0; i < l.n; i++) {
		bool here = l.v[i].remote.b[1] == 0;

		assert_int_equal(l.v[i].loopback, here);
		assert_int_equal(l.v[i].peer != NULL, here);
	}
	zt_seen_list_done(&l);
	zt_addr_ranges_done(&own);
}

/* The file is there again, was never there, or is gone. */
static void programs_without_a_file(void **state)
{
	static const struct seen_line lines[] = {
		{.dir = "egress", .user = "root", .exe = "/etc/hosts (deleted)", .remote = "192.0.2.1", .port = 80},
		{.dir = "egress",
		 .user = "alice",
		 .uid = 2001,
		 .exe = "/memfd:x (deleted)",
		 .remote = "192.0.2.1",
		 .port = 81},
		{.dir = "egress",
		 .user = "bob",
		 .uid = 2002,
		 .exe = "/opt/gone (deleted)",
		 .remote = "192.0.2.1",
		 .port = 82},
		{.dir = "ingress",
		 .user = "bob",
		 .uid = 2002,
		 .exe = "/opt/gone (deleted)",
		 .remote = "192.0.2.1",
		 .port = 83},
		{.dir = "egress", .user = "bob", .uid = 2002, .exe = "/opt/there", .remote = "192.0.2.1", .port = 84},
	};
	struct zt_seen_list l = {0};
	struct zt_learned got = {0};
	struct zt_weighing w = {0};
	struct zt_ruleset *rs;
	size_t n = 0;

	(void)state;
	add_lines(&l, lines, ZT_ARRAY_SIZE(lines));
	for (size_t i = 0; i < l.n; i++) {
		bool gone = l.v[i].port > 80 && l.v[i].port < 84;

		assert_int_equal(l.v[i].who->nameless, gone);
		if (l.v[i].port == 80)
			assert_string_equal(l.v[i].who->exe, "/etc/hosts");
	}
	learned(&l, 0, false, &got);
	assert_null(strstr(got.yaml.buf, "deleted"));
	rs = tested(&got);
	assert_int_equal(zt_weigh(&l, NULL, rs, &w), 0);
	assert_int_equal(w.n, 0);
	for (size_t i = 0; i < got.n_rules; i++)
		n += got.rules[i].any_program;
	assert_int_equal(n, 3); /* what is there now is no program */
	assert_non_null(strstr(got.yaml.buf, "; for any program: its own is not known or has no name\n"));
	zt_weighing_done(&w);
	zt_ruleset_free(rs);
	zt_learned_done(&got);
	zt_seen_list_done(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_flows),
		cmocka_unit_test(generalising),
		cmocka_unit_test(private_is_not_public),
		cmocka_unit_test(several_senders),
		cmocka_unit_test(nothing),
		cmocka_unit_test(too_many),
		cmocka_unit_test(a_small_host),
		cmocka_unit_test(elsewhere),
		cmocka_unit_test(programs_without_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
