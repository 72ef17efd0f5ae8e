/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Anomaly loops over every operation that changes something: for N = 1, 2, … until it passes, the Nth step fails, the process is
 * killed at the Nth step, the Nth write fails, the Nth allocation fails. After each the kernel holds exactly the old or the new
 * policy, and the next command ends with everything settled.
 */
#include "common.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/fault.h"

#define OLD 1001u
#define NEW 1002u
#define N_MAX 3000u

enum { DONE = 0, FAILED = 1, NOT_REACHED = 99 };

/* Made before the faults begin: what is tested is the transaction. */
static struct zt_ruleset *rules;
static char *text;

/* ---- operations ---- */
static int apply_with(struct room *r, const struct zt_apply_options *o)
{
	return zt_apply(&r->ctx, rules, text, strlen(text), o, &(struct zt_apply_result){0}, &r->d);
}

static int op_apply(struct room *r)
{
	return apply_with(r, &(struct zt_apply_options){0});
}

static int op_apply_confirm(struct room *r)
{
	return apply_with(r, &(struct zt_apply_options){.confirm = 3600 * ZT_USEC_PER_SEC});
}

static int op_confirm(struct room *r)
{
	uint64_t generation;

	return zt_confirm(&r->ctx, true, &generation, &r->d);
}

static int op_rollback(struct room *r)
{
	return zt_rollback(&r->ctx, 0, &(struct zt_apply_options){0}, &(struct zt_apply_result){0}, &r->d);
}

static int op_rollback_first(struct room *r)
{
	return zt_rollback(&r->ctx, 1, &(struct zt_apply_options){0}, &(struct zt_apply_result){0}, &r->d);
}

static int op_flush(struct room *r)
{
	return zt_flush(&r->ctx, &r->d);
}

static int op_refresh(struct room *r)
{
	bool changed;

	return zt_refresh(&r->ctx, NULL, &changed, &r->d);
}

static int op_restore(struct room *r)
{
	uint64_t generation;

	return zt_restore(&r->ctx, &generation, &r->d);
}

/* ---- what is there before ---- */
static void before_nothing(struct room *r)
{
	(void)r;
}

static void before_old(struct room *r)
{
	must_apply(r, OLD);
}

static void before_old_and_new(struct room *r)
{
	must_apply(r, OLD);
	must_apply(r, NEW);
}

static void before_pending(struct room *r)
{
	must_apply(r, OLD);
	assert_int_equal(op_apply_confirm(r), 0);
}

static void before_reboot(struct room *r)
{
	must_apply(r, OLD);
	assert_int_equal(r->ctx.engine->flush("default", NULL), 0);
}

static const struct scenario {
	const char *name;
	void (*before)(struct room *r);
	int (*op)(struct room *r);
	unsigned from, to; /* what is enforced before and after it went well */
	bool alike;	   /* its allocations are those of another one: left out without ZT_EACH=1 */
} scenarios[] = {
	{"first apply", before_nothing, op_apply, 0, NEW, true},
	{"apply", before_old, op_apply, OLD, NEW, false},
	{"apply --confirm", before_old, op_apply_confirm, OLD, NEW, false},
	{"first apply --confirm", before_nothing, op_apply_confirm, 0, NEW, true},
	{"confirm", before_pending, op_confirm, NEW, NEW, false},
	{"rollback of a pending one", before_pending, op_rollback, NEW, OLD, false},
	{"rollback", before_old_and_new, op_rollback, NEW, OLD, false},
	{"rollback 1", before_old_and_new, op_rollback_first, NEW, OLD, true},
	{"flush", before_old, op_flush, OLD, 0, false},
	{"flush while pending", before_pending, op_flush, NEW, 0, false},
	{"refresh", before_old, op_refresh, OLD, OLD, true},
	{"refresh of what somebody removed", before_reboot, op_refresh, 0, OLD, false},
	{"restore", before_reboot, op_restore, 0, OLD, false},
};

/* ---- faults ---- */
static const struct fault {
	const char *variable;
} faults[] = {{"ZT_FAIL_STEP"}, {"ZT_KILL_STEP"}, {"ZT_FAIL_WRITE"}, {"ZT_FAIL_ALLOC"}};

/* Did the operation end before its turn came? Then the turn comes now. */
static bool never_reached(const char *variable, unsigned n)
{
	bool fired = false;

	for (unsigned i = 0; !fired && i < n; i++)
		if (!strcmp(variable, "ZT_FAIL_STEP"))
			fired = zt_fault_step("after") < 0;
		else if (!strcmp(variable, "ZT_FAIL_WRITE"))
			fired = zt_fault_write();
		else if (!strcmp(variable, "ZT_FAIL_ALLOC"))
			fired = zt_fault_alloc();
	return fired || !strcmp(variable, "ZT_KILL_STEP");
}

/* Exit status of the operation in a process of its own; -1: killed. */
static int run(const struct scenario *s, struct room *r, const char *variable, unsigned n)
{
	int status = 0;
	pid_t pid;

	(void)fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		char number[16];
		int e;

		(void)snprintf(number, sizeof(number), "%u", n);
		(void)setenv(variable, number, 1);
		e = s->op(r);
		_exit(e == 0 && never_reached(variable, n) ? NOT_REACHED : e < 0 ? FAILED : DONE);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		assert_int_equal(WTERMSIG(status), SIGKILL);
	return WIFSIGNALED(status) ? -1 : WEXITSTATUS(status);
}

/* The next command. A policy that waits for its confirmation goes one way or the other. */
static void recover(struct room *r, bool confirm)
{
	struct zt_pending p;
	uint64_t generation;
	bool changed;
	int e;

	room_forget(r);
	e = zt_refresh(&r->ctx, NULL, &changed, &r->d);
	if (e < 0 && e != -ENOENT)
		zt_diags_print(&r->d, stderr, false);
	assert_true(e == 0 || e == -ENOENT);
	if (zt_pending_read(&r->ctx, &p) < 0)
		return;
	assert_int_equal(enforced_uid(r), NEW);
	assert_int_equal(confirm ? zt_confirm(&r->ctx, false, &generation, &r->d) : op_rollback(r), 0);
}

static void check(const struct scenario *s, struct room *r, const char *variable, unsigned n, int code)
{
	unsigned uid = enforced_uid(r);
	bool good = uid == s->from || uid == s->to;

	if (code == DONE || code == NOT_REACHED)
		good = uid == s->to;
	/* A pending policy that could not be kept was rolled back: OLD is as good as what the command wanted. */
	if (!good && s->before == before_pending)
		good = uid == OLD;
	/* A boot ends in the emergency policy rather than open. */
	if (!good && s->op == op_restore)
		good = uid == EMERGENCY && code == DONE;
	if (!good) {
		print_error("%s, %s=%u, exit %d: uid %u is enforced\n", s->name, variable, n, code, uid);
		zt_diags_print(&r->d, stderr, false);
	}
	assert_true(good);
	recover(r, n % 2);
	uid = enforced_uid(r);
	if (uid != 0 && uid != OLD && uid != NEW)
		fail();
	assert_settled(r);
	/* And life goes on. */
	assert_true(op_apply(r) == 0);
	assert_int_equal(enforced_uid(r), NEW);
	assert_settled(r);
}

/* Allocations are many, most of them of one policy read again: beyond the first twelve every seventeenth, or each with ZT_EACH=1. */
static unsigned next(const char *variable, unsigned n)
{
	return !strcmp(variable, "ZT_FAIL_ALLOC") && n > 12 && !getenv("ZT_EACH") ? n + 17 : n + 1;
}

static void loop(const struct scenario *s, const char *variable)
{
	bool over = false;
	unsigned n;

	for (n = 1; !over && n <= N_MAX; n = next(variable, n)) {
		struct room r;
		int code;

		room_open(&r);
		zt_ruleset_free(rules);
		free(text);
		rules = make_rules(&r, NEW);
		text = make_text(NEW);
		s->before(&r);
		code = run(s, &r, variable, n);
		over = code == NOT_REACHED;
		check(s, &r, variable, n, code);
		room_close(&r);
	}
	print_message("%s: %s passed at %u\n", s->name, variable, n - 1);
	assert_true(over);
	assert_true(n > 2 || s->from == s->to); /* else nothing was tried */
}

static void test_anomaly(void **state)
{
	const struct scenario *s = *state;

	for (size_t i = 0; i < ZT_ARRAY_SIZE(faults); i++)
		if (!s->alike || getenv("ZT_EACH") || strcmp(faults[i].variable, "ZT_FAIL_ALLOC") != 0)
			loop(s, faults[i].variable);
}

int main(void)
{
	struct CMUnitTest tests[ZT_ARRAY_SIZE(scenarios)];

	for (size_t i = 0; i < ZT_ARRAY_SIZE(scenarios); i++)
		tests[i] = (struct CMUnitTest){scenarios[i].name, test_anomaly, NULL, NULL,
					       (void *)(uintptr_t)&scenarios[i]};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
