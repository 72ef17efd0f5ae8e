/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common.h"

#define CLIENT .dir = "egress", .user = "www-data", .uid = 33, .exe = "/usr/sbin/nginx"
#define REDIS .peer = "db-user", .peer_uid = 1002, .peer_exe = "/usr/bin/redis-server"

static struct zt_seen_list folded(const struct seen_line *v, size_t n)
{
	struct zt_seen_list l = {0};

	add_lines(&l, v, n);
	return l;
}

static void observed_counts_once(void **state)
{
	static const struct seen_line lines[] = {
		{CLIENT, .remote = "192.0.2.1", .port = 443, .count = 7},
		{CLIENT, .remote = "192.0.2.1", .port = 443, .count = 9, .verdict = "observe"},
		{.dir = "egress",
		 .uid = 33,
		 .user = "www-data",
		 .remote = "192.0.2.1",
		 .port = 443,
		 .verdict = "observe"},
		{CLIENT, .remote = "192.0.2.2", .port = 443, .count = 3,
		 .verdict = "observe"}, /* told by nobody else */
		{CLIENT, .remote = "192.0.2.1", .port = 443, .count = 5, .verdict = "drop"},
	};
	struct zt_seen_list l = folded(lines, ZT_ARRAY_SIZE(lines));
	struct zt_learned got = {0};
	uint64_t n[3] = {0};

	(void)state;
	assert_int_equal(l.n, 3);
	for (size_t i = 0; i < l.n; i++)
		n[l.v[i].verdict] += l.v[i].count;
	assert_int_equal(n[ZT_SEEN_PASSED], 7);
	assert_int_equal(n[ZT_SEEN_OBSERVED], 3);
	assert_int_equal(n[ZT_SEEN_DENIED], 5);
	learned(&l, 0, false, &got);
	assert_int_equal(got.covered, 10);
	zt_learned_done(&got);
	zt_seen_list_done(&l);
}

/* A close that did not find the receiver, and a connect that did not. */
static void an_end_goes_to_its_beginning(void **state)
{
	static const struct seen_line lines[] = {
		{CLIENT, REDIS, .remote = "127.0.0.1", .port = 6379, .count = 4},
		{CLIENT, .remote = "127.0.0.1", .port = 6379, .closed = true, .hour = 3},
		{CLIENT, .remote = "127.0.0.1", .port = 6379, .count = 2},
		{CLIENT, .remote = "127.0.0.1", .port = 6380, .count = 2},
		{CLIENT, REDIS, .remote = "127.0.0.1", .port = 6380, .closed = true},
	};
	struct zt_seen_list l = folded(lines, ZT_ARRAY_SIZE(lines));
	struct zt_learned got = {0};

	(void)state;
	assert_int_equal(l.n, 2);
	for (size_t i = 0; i < l.n; i++) {
		assert_int_equal(l.v[i].count, l.v[i].port == 6379 ? 6 : 2);
		assert_non_null(l.v[i].peer);
		assert_int_equal(l.v[i].peer->uid, 1002);
		if (l.v[i].port == 6379)
			assert_int_equal(l.v[i].last, T0 + 4 * HOUR);
	}
	learned(&l, 0, false, &got);
	assert_int_equal(got.n_rules, 1);
	assert_null(strstr(got.yaml.buf, "seen 0"));
	zt_learned_done(&got);
	zt_seen_list_done(&l);
}

/* Other receivers, other programs and other users are not the same flow. */
static void what_differs_stays(void **state)
{
	static const struct seen_line lines[] = {
		{CLIENT, REDIS, .remote = "127.0.0.1", .port = 6379, .count = 4},
		{CLIENT, .peer = "bob", .peer_uid = 2002, .peer_exe = "/usr/bin/nc", .remote = "127.0.0.1",
		 .port = 6379, .closed = true},
		{.dir = "egress",
		 .user = "www-data",
		 .uid = 33,
		 .exe = "/usr/bin/curl",
		 .remote = "127.0.0.1",
		 .port = 6379,
		 .closed = true},
		{.dir = "egress",
		 .user = "alice",
		 .uid = 2001,
		 .exe = "/usr/sbin/nginx",
		 .remote = "127.0.0.1",
		 .port = 6379,
		 .closed = true},
		{CLIENT, .remote = "127.0.0.2", .port = 6379, .closed = true},
		{CLIENT, .remote = "127.0.0.1", .proto = 17, .port = 6379, .closed = true},
	};
	struct zt_seen_list l = folded(lines, ZT_ARRAY_SIZE(lines));

	(void)state;
	assert_int_equal(l.n, ZT_ARRAY_SIZE(lines));
	zt_seen_list_done(&l);
}

static void open_already(void **state)
{
	static const struct seen_line line = {CLIENT, .remote = "192.0.2.1", .port = 443, .closed = true};
	struct zt_seen_list l = folded(&line, 1);
	struct zt_learned got = {0};
	struct zt_weighing w = {0};
	struct zt_ruleset *rs = must_compile(V "rules: [{name: a, from: {user: root}, action: allow}]\n");

	(void)state;
	learned(&l, 0, false, &got);
	assert_non_null(strstr(got.yaml.buf, "  # open already, closed 2026-11-28T09:00:00Z to "));
	assert_null(strstr(got.yaml.buf, "seen 0"));
	assert_int_equal(zt_weigh(&l, NULL, rs, &w), 0);
	assert_int_equal(w.keys, 0);
	assert_int_equal(w.n, 0);
	zt_weighing_done(&w);
	zt_ruleset_free(rs);
	zt_learned_done(&got);
	zt_seen_list_done(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(observed_counts_once),
		cmocka_unit_test(an_end_goes_to_its_beginning),
		cmocka_unit_test(what_differs_stays),
		cmocka_unit_test(open_already),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
