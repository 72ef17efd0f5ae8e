/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common.h"

#include <sys/stat.h>

static const struct zt_apply_options now = {0}, later = {.confirm = 3600 * ZT_USEC_PER_SEC};

static int new_room(void **state)
{
	struct room *r = zt_new(struct room, 1);

	room_open(r);
	*state = r;
	return 0;
}

static int over(void **state)
{
	room_close(*state);
	free(*state);
	return 0;
}

static void assert_states(const struct room *r, const char *want)
{
	ZT_FREE char *have = states(r);

	assert_string_equal(have, want);
}

static void test_twice(void **state)
{
	struct room *r = *state;
	struct zt_apply_result result = {0};

	must_apply(r, 1001);
	assert_int_equal(apply_uid(r, 1001, &now, &result), 0);
	assert_int_equal(result.outcome, ZT_APPLY_UNCHANGED);
	assert_int_equal(result.generation, 1);
	/* Damaged: it is not unchanged. */
	assert_int_equal(zt_memory_set_damage("default", "somebody was here"), 0);
	assert_int_equal(apply_uid(r, 1001, &now, &result), 0);
	assert_int_equal(result.outcome, ZT_APPLY_APPLIED);
	assert_states(r, "1:confirmed 2:confirmed");
	assert_settled(r);
}

static void test_dry_run(void **state)
{
	struct room *r = *state;
	struct zt_apply_result result = {0};

	must_apply(r, 1001);
	assert_int_equal(apply_uid(r, 1002, &(struct zt_apply_options){.dry_run = true}, &result), 0);
	assert_int_equal(enforced_uid(r), 1001);
	assert_states(r, "1:confirmed");
	assert_settled(r);
}

static void test_pending(void **state)
{
	struct room *r = *state;
	struct zt_apply_result result = {0};
	uint64_t generation = 0;
	bool changed = true;

	assert_int_equal(zt_confirm(&r->ctx, false, &generation, &r->d), -ENOENT);
	must_apply(r, 1001);
	assert_int_equal(apply_uid(r, 1002, &later, &result), 0);
	assert_int_equal(result.outcome, ZT_APPLY_PENDING);
	assert_true(result.deadline > zt_now());
	assert_int_equal(apply_uid(r, 1003, &now, &result), -EBUSY);
	assert_true(room_said(r, 4003));
	room_forget(r);
	assert_int_equal(zt_refresh(&r->ctx, NULL, &changed, &r->d), 0);
	assert_false(changed);
	assert_int_equal(enforced_uid(r), 1002);
	assert_int_equal(zt_confirm(&r->ctx, false, &generation, &r->d), 0);
	assert_int_equal(generation, 2);
	assert_states(r, "1:confirmed 2:confirmed");
	assert_settled(r);
}

static void rewrite(struct room *r, void (*change)(struct zt_pending *p))
{
	struct zt_pending p;

	assert_int_equal(zt_pending_read(&r->ctx, &p), 0);
	change(&p);
	assert_int_equal(zt_pending_write(&r->ctx, &p), 0);
}

static void in_another_boot(struct zt_pending *p)
{
	(void)snprintf(p->boot_id, sizeof(p->boot_id), "another");
}

static void too_late(struct zt_pending *p)
{
	p->deadline = 1;
}

static void never_armed(struct zt_pending *p)
{
	p->deadline = 0;
}

static void test_not_confirmable(void **state)
{
	static void (*const changes[])(struct zt_pending *) = {in_another_boot, too_late, never_armed};
	struct room *r = *state;
	struct zt_apply_result result;
	uint64_t generation;

	must_apply(r, 1001);
	for (size_t i = 0; i < ZT_ARRAY_SIZE(changes); i++) {
		assert_int_equal(apply_uid(r, 1002, &later, &result), 0);
		rewrite(r, changes[i]);
		assert_int_equal(zt_confirm(&r->ctx, true, &generation, &r->d), -ETIME);
		assert_int_equal(enforced_uid(r), 1001);
		assert_settled(r);
	}
	/* Somebody removed it meanwhile. */
	assert_int_equal(apply_uid(r, 1002, &later, &result), 0);
	assert_int_equal(r->ctx.engine->flush("default", NULL), 0);
	assert_int_equal(zt_confirm(&r->ctx, true, &generation, &r->d), -ETIME);
	assert_int_equal(enforced_uid(r), 1001);
	assert_settled(r);
}

static void test_same_session(void **state)
{
	struct room *r = *state;
	struct zt_apply_result result;
	uint64_t generation;

	assert_int_equal(setenv("SSH_CONNECTION", "127.0.0.1 50000 127.0.0.1 22", 1), 0);
	assert_int_equal(apply_uid(r, 1001, &later, &result), 0);
	assert_int_equal(zt_confirm(&r->ctx, false, &generation, &r->d), -EACCES);
	assert_true(room_said(r, 4004));
	assert_int_equal(setenv("SSH_CONNECTION", "127.0.0.1 50001 127.0.0.1 22", 1), 0);
	assert_int_equal(zt_confirm(&r->ctx, false, &generation, &r->d), 0);
	assert_int_equal(setenv("SSH_CONNECTION", "127.0.0.1 50000 127.0.0.1 22", 1), 0);
	assert_int_equal(apply_uid(r, 1002, &later, &result), 0);
	assert_int_equal(zt_confirm(&r->ctx, true, &generation, &r->d), 0);
}

static void test_rollback(void **state)
{
	struct room *r = *state;
	struct zt_apply_result result = {0};

	assert_int_equal(zt_rollback(&r->ctx, 0, &now, &result, &r->d), -ENOENT);
	must_apply(r, 1001);
	assert_int_equal(zt_rollback(&r->ctx, 0, &now, &result, &r->d), -ENOENT);
	must_apply(r, 1002);
	assert_int_equal(zt_rollback(&r->ctx, 0, &now, &result, &r->d), 0);
	assert_int_equal(enforced_uid(r), 1001);
	assert_int_equal(result.generation, 3);
	assert_int_equal(zt_rollback(&r->ctx, 2, &later, &result, &r->d), 0);
	assert_int_equal(result.outcome, ZT_APPLY_PENDING);
	assert_int_equal(enforced_uid(r), 1002);
	assert_int_equal(zt_rollback(&r->ctx, 0, &now, &result, &r->d), 0);
	assert_int_equal(enforced_uid(r), 1001);
	assert_int_equal(zt_rollback(&r->ctx, 77, &now, &result, &r->d), -ENOENT);
	assert_true(room_said(r, 4005));
	assert_states(r, "1:confirmed 2:confirmed 3:confirmed 4:rolled-back");
	/* After a flush the last one is what there was before. */
	assert_int_equal(zt_flush(&r->ctx, &r->d), 0);
	assert_int_equal(zt_rollback(&r->ctx, 0, &now, &result, &r->d), 0);
	assert_int_equal(enforced_uid(r), 1001);
	assert_settled(r);
}

/* What is in force was removed by somebody: the way back is what was confirmed. */
static void test_way_back_of_nothing(void **state)
{
	struct room *r = *state;
	struct zt_apply_result result = {0};

	must_apply(r, 1001);
	assert_int_equal(r->ctx.engine->flush("default", NULL), 0);
	assert_int_equal(apply_uid(r, 1002, &later, &result), 0);
	assert_int_equal(zt_rollback(&r->ctx, 0, &now, &result, &r->d), 0);
	assert_int_equal(enforced_uid(r), 1001);
	assert_settled(r);
}

static void test_kept(void **state)
{
	struct room *r = *state;
	struct zt_generation *g = NULL;
	size_t n = 0;

	for (unsigned i = 0; i < 25; i++)
		must_apply(r, 1001 + i);
	assert_int_equal(zt_history(&r->ctx, &g, &n, &r->d), 0);
	assert_int_equal(n, ZT_GENERATIONS_KEPT);
	assert_int_equal(g[0].number, 25);
	assert_true(g[0].current);
	assert_int_equal(g[n - 1].number, 6);
	assert_string_equal(g[0].state, "confirmed");
	assert_string_equal(g[0].engine, "memory");
	zt_history_free(g, n);
	assert_settled(r);
}

static void test_lock(void **state)
{
	struct room *r = *state;
	struct zt_apply_result result;
	int lock = -1;

	must_apply(r, 1001);
	assert_int_equal(zt_state_lock(&r->ctx, 0, &lock, &r->d), 0);
	assert_int_equal(apply_uid(r, 1002, &now, &result), -EBUSY);
	assert_true(room_said(r, 4002));
	/* A flush must not hang on it. */
	zt_closep(&lock);
	assert_int_equal(apply_uid(r, 1002, &now, &result), 0);
}

static void test_foreign_folder(void **state)
{
	struct room *r = *state;
	struct zt_apply_result result;

	must_apply(r, 1001);
	assert_int_equal(chmod(r->state, 0777), 0);
	assert_int_equal(apply_uid(r, 1002, &now, &result), -EPERM);
	assert_true(room_said(r, 4011));
	assert_int_equal(enforced_uid(r), 1001);
	/* It does not keep the host closed. */
	assert_int_equal(zt_flush(&r->ctx, &r->d), 0);
	assert_int_equal(enforced_uid(r), 0);
	assert_int_equal(chmod(r->state, 0700), 0);
}

static void test_guard(void **state)
{
	struct room *r = *state;
	struct zt_apply_result result;

	assert_int_equal(unsetenv("ZT_TEST_ALLOW_INITIAL_NETNS"), 0);
	if (!zt_apply_guard(NULL))
		skip(); /* this test does not run in the initial namespace */
	assert_int_equal(apply_uid(r, 1001, &now, &result), -EPERM);
	assert_true(room_said(r, 4001));
	assert_int_equal(enforced_uid(r), 0);
}

/* Killed while it wrote: the next command tidies up, in every folder. */
static void test_sweep(void **state)
{
	static const char *const left[] = {"current.123.tmp", "backup", "generations/.7.tmp",
					   "generations/1/meta.json.123.tmp"};
	struct room *r = *state;
	bool changed;

	must_apply(r, 1001);
	for (size_t i = 0; i < ZT_ARRAY_SIZE(left); i++)
		spit(r, left[i], "half", 4);
	assert_int_equal(zt_refresh(&r->ctx, NULL, &changed, &r->d), 0);
	assert_settled(r);
}

#define T(f) cmocka_unit_test_setup_teardown(f, new_room, over)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_twice),	  T(test_dry_run), T(test_pending), T(test_not_confirmable),	 T(test_same_session),
		T(test_rollback), T(test_kept),	   T(test_lock),    T(test_way_back_of_nothing), T(test_foreign_folder),
		T(test_guard),	  T(test_sweep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
