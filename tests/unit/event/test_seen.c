/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How often the like of an event was seen: connections by their flows, calls to Unix sockets by their denies. */
#include "event/seen.h"
#include "journal_common.h"

static void unix_deny(struct zt_journal *j, uint64_t i, const char *name, uint32_t uid, const char *kind)
{
	struct zt_activity a;

	zt_activity_init(&a, ZT_ACTIVITY_DENY, T0 + i * ZT_USEC_PER_SEC);
	zt_activity_set(&a, uid, uid);
	text(&a, ZT_FIELD_exe, "/usr/bin/curl");
	text(&a, ZT_FIELD_direction, kind);
	text(&a, ZT_FIELD_path, name);
	text(&a, ZT_FIELD_verdict, i % 2 ? "observe" : "reject");
	if (i == 3)
		zt_activity_set(&a, count, 5);
	assert_int_equal(zt_journal_append(j, &a, NULL), 0);
}

static void unix_sockets(void **state)
{
	struct zt_journal *j = writer(NULL);
	struct zt_seen_often seen = {0};
	struct zt_activity a;
	uint64_t n = 0;

	(void)state;
	for (uint64_t i = 0; i < 6; i++)
		unix_deny(j, i, i < 5 ? "/run/redis/redis.sock" : "/run/other.sock", 2001, "unix");
	unix_deny(j, 6, "/run/redis/redis.sock", 2002, "unix");
	unix_deny(j, 7, "/run/redis/redis.sock", 2001, "egress");
	zt_journal_close(j);
	j = reader();
	assert_int_equal(zt_journal_get(j, 1, &a), 0);
	assert_int_equal(zt_journal_seen(j, &a, &seen), 0);
	assert_int_equal(seen.count, 4 + 5); /* one of them stands for five */
	assert_int_equal(seen.first, T0);
	assert_int_equal(seen.last, T0 + 4 * ZT_USEC_PER_SEC);
	assert_int_equal(zt_journal_unix(j, 0, &n), 0);
	assert_int_equal(n, 6 + 5);
	assert_int_equal(zt_journal_unix(j, T0 + 4 * ZT_USEC_PER_SEC, &n), 0);
	assert_int_equal(n, 3);
	zt_journal_close(j);
}

static void denied_to(struct zt_journal *j, uint64_t i, const char *dst, enum zt_activity_kind kind)
{
	struct zt_activity a;

	zt_activity_init(&a, kind, T0 + i * ZT_USEC_PER_SEC);
	zt_activity_set(&a, uid, 2001);
	zt_activity_set(&a, protocol, 6);
	zt_activity_set(&a, dport, 443);
	text(&a, ZT_FIELD_direction, "egress");
	text(&a, ZT_FIELD_verdict, kind == ZT_ACTIVITY_DENY ? "drop" : "allow");
	set_addr(&a, ZT_FIELD_dst, dst);
	assert_int_equal(zt_journal_append(j, &a, NULL), 0);
}

static void connections(void **state)
{
	struct zt_journal *j = writer(NULL);
	struct zt_seen_often seen = {0};
	struct zt_activity a;

	(void)state;
	for (uint64_t i = 0; i < 3; i++)
		denied_to(j, i * 60, "192.0.2.1", ZT_ACTIVITY_DENY);
	denied_to(j, 1, "192.0.2.2", ZT_ACTIVITY_DENY);
	denied_to(j, 1, "192.0.2.1", ZT_ACTIVITY_CONNECT);
	zt_journal_close(j);
	j = reader();
	assert_int_equal(zt_journal_get(j, 1, &a), 0);
	assert_int_equal(zt_journal_seen(j, &a, &seen), 0);
	assert_int_equal(seen.count, 3);
	assert_int_equal(seen.last - seen.first, 120 * ZT_USEC_PER_SEC);
	assert_int_equal(zt_journal_get(j, 5, &a), 0);
	assert_int_equal(zt_journal_seen(j, &a, &seen), 0);
	assert_int_equal(seen.count, 1);
	zt_journal_close(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(unix_sockets), TEST(connections)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
