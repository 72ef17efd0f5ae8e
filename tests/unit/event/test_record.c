/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The record of an engine, read while it grows: what the limit kept back counts once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "event/event.h"

/* What the engine has: records 1..told, `ahead[i]` kept back between the one before and record i, `after` since the newest. */
static uint64_t told, ahead[16], after;

static int records(const char *instance, uint64_t from, struct zt_records *ret)
{
	(void)instance;
	*ret = (struct zt_records){.told = told, .suppressed = after};
	ret->v = zt_new(struct zt_record, 16);
	assert_non_null(ret->v);
	for (uint64_t i = from + 1; i <= told; i++)
		ret->v[ret->n++] = (struct zt_record){
			.number = i, .when = i, .rule = UINT32_MAX, .verdict = ZT_DROP, .suppressed = ahead[i]};
	return 0;
}

static int no_ruleset(void *arg, uint64_t generation, struct zt_ruleset **ret)
{
	(void)arg;
	(void)generation;
	(void)ret;
	return -ENOENT;
}

static struct zt_event_source *source(bool follow)
{
	static const struct zt_engine engine = {.name = "test", .records = records};
	struct zt_event_record from = {.engine = &engine, .instance = "default", .ruleset = no_ruleset};
	struct zt_event_source *s = NULL;

	assert_int_equal(zt_event_record_open(&from, 0, follow, &s, NULL), 0);
	return s;
}

static void setup(uint64_t n)
{
	told = n;
	after = 0;
	memset(ahead, 0, sizeof(ahead));
}

static void followed(void **state)
{
	struct zt_event_source *s;
	struct zt_event e;

	(void)state;
	setup(2);
	ahead[1] = 100; /* long ago */
	after = 7;	/* since record 2, before anybody looked */
	s = source(true);
	assert_int_equal(zt_event_next(s, 0, &e), 0);
	assert_int_equal(zt_event_suppressed(s), 0);
	after = 10;
	for (int i = 0; i < 3; i++) { /* nothing new: the same three each time */
		assert_int_equal(zt_event_next(s, 0, &e), 0);
		assert_int_equal(zt_event_suppressed(s), 3);
	}
	told = 3;
	ahead[3] = 12; /* the ten and two more */
	after = 1;
	assert_int_equal(zt_event_next(s, 0, &e), 1);
	assert_int_equal(e.number, 3);
	assert_int_equal(zt_event_suppressed(s), 12 - 7 + 1);
	after = 5;
	assert_int_equal(zt_event_next(s, 0, &e), 0);
	assert_int_equal(zt_event_suppressed(s), 12 - 7 + 5);
	zt_event_close(s);
}

static void past(void **state)
{
	struct zt_event_source *s;
	struct zt_event e;

	(void)state;
	setup(2);
	ahead[1] = 4;
	ahead[2] = 5;
	after = 6;
	s = source(false);
	assert_int_equal(zt_event_next(s, 0, &e), 1);
	assert_int_equal(zt_event_next(s, 0, &e), 1);
	assert_int_equal(zt_event_next(s, 0, &e), 0);
	assert_int_equal(zt_event_suppressed(s), 15);
	zt_event_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(followed), cmocka_unit_test(past)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
