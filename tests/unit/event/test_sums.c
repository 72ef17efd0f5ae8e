/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sums of flows: in parts they are the same as at once, however small the parts. */
#include "event/sums.h"
#include "journal_common.h"

enum { USERS = 40, MINUTES = 30 };

static void connect_as(struct zt_journal *j, unsigned user, zt_usec time, const char *verdict)
{
	struct zt_activity a;
	char name[64];

	zt_activity_init(&a, *verdict ? ZT_ACTIVITY_DENY : ZT_ACTIVITY_CONNECT, time);
	zt_activity_set(&a, uid, user);
	(void)snprintf(name, sizeof(name), "user-%u", user);
	text(&a, ZT_FIELD_user, name);
	text(&a, ZT_FIELD_direction, "egress");
	text(&a, ZT_FIELD_verdict, verdict);
	set_addr(&a, ZT_FIELD_src, "10.0.0.1");
	set_addr(&a, ZT_FIELD_dst, user % 2 ? "10.0.0.2" : "10.0.0.3");
	zt_activity_set(&a, dport, 5432);
	zt_activity_set(&a, protocol, 6);
	assert_int_equal(zt_journal_append(j, &a, NULL), 0);
}

static int add(const struct zt_journal_flow *f, void *arg)
{
	return zt_sums_add(arg, f);
}

static void same_sums(const struct zt_sums *a, const struct zt_sums *b)
{
	assert_int_equal(a->n, b->n);
	for (size_t i = 0; i < a->n; i++) {
		assert_string_equal(a->v[i].key, b->v[i].key);
		assert_int_equal(a->v[i].flows, b->v[i].flows);
		assert_int_equal(a->v[i].denied, b->v[i].denied);
		assert_int_equal(a->v[i].observed, b->v[i].observed);
		assert_int_equal(a->v[i].last, b->v[i].last);
	}
}

/* How many parts it took. */
static unsigned in_parts(struct zt_journal *j, unsigned by, zt_usec since, size_t bytes, struct zt_sums *ret)
{
	struct zt_sums_place place = {.minute = since};
	unsigned parts = 0;
	bool more = true;

	for (; more; parts++) {
		ZT_CLEANUP(zt_sums_done) struct zt_sums part = {.by = by};

		assert_int_equal(zt_sums_part(j, &part, &place, bytes, UINT64_MAX, &more), 0);
		assert_true(part.bytes <= bytes + 512);
		assert_true(part.n || !more);
		for (size_t i = 0; i < part.n; i++)
			assert_int_equal(zt_sums_put(ret, &part.v[i]), 0);
		assert_true(parts < USERS * MINUTES);
	}
	zt_sums_merge(ret);
	return parts;
}

static void parts(void **state)
{
	struct zt_journal *j = writer(NULL);

	(void)state;
	for (unsigned m = 0; m < MINUTES; m++)
		for (unsigned u = 0; u < USERS; u++)
			connect_as(j, u, T0 + m * 60 * ZT_USEC_PER_SEC + u, u % 5 ? "" : u % 10 ? "observe" : "reject");
	assert_int_equal(zt_journal_flush(j), 0);
	for (unsigned by = 0; zt_sums_title(by); by++) {
		ZT_CLEANUP(zt_sums_done) struct zt_sums all = {.by = by}, small = {.by = by}, large = {.by = by};
		struct zt_journal_query q = {.since = T0 + 600 * ZT_USEC_PER_SEC};

		assert_int_equal(zt_journal_flows(j, &q, true, add, &all), 0);
		zt_sums_merge(&all);
		assert_true(in_parts(j, by, q.since, 1024, &small) > 1 || all.n < 8);
		same_sums(&all, &small);
		assert_int_equal(in_parts(j, by, q.since, 1 << 20, &large), 1);
		same_sums(&all, &large);
	}
	zt_journal_close(j);
}

static void time_is_up(void **state)
{
	ZT_CLEANUP(zt_sums_done) struct zt_sums s = {0};
	struct zt_sums_place place = {0};
	struct zt_journal *j = writer(NULL);
	bool more = false;

	(void)state;
	for (unsigned u = 0; u < 1000; u++)
		connect_as(j, u, T0, "");
	assert_int_equal(zt_journal_flush(j), 0);
	assert_int_equal(zt_sums_part(j, &s, &place, 1 << 20, 0, &more), 0);
	assert_true(more && s.n > 0 && s.n < 1000); /* a few in any case, or it would never end */
	zt_journal_close(j);
}

static void names(void **state)
{
	unsigned by = 77;

	(void)state;
	assert_false(zt_sums_find("nonsense", &by));
	assert_int_equal(by, 77);
	assert_true(zt_sums_find("rule", &by));
	assert_string_equal(zt_sums_title(by), "Rule");
	assert_null(zt_sums_title(by + 1));
	assert_null(zt_sums_title(UINT32_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(parts), TEST(time_is_up), cmocka_unit_test(names)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
