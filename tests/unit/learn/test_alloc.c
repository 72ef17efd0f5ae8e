/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every allocation fails once, each run in a process of its own: an error without crash or leak, or the very policy of an undisturbed run. No services:
 * they are looked for among the control groups of the machine, which come and go. */
#include "common.h"

#include <sys/wait.h>

int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

enum { FAILED = 10, SAME = 11, LEAKED = 13, OTHER = 14, WRONG = 15 };

static const struct seen_line lines[] = {
	{.dir = "egress", .user = "www-data", .uid = 33, .exe = "/usr/sbin/nginx", .remote = "127.0.0.1", .port = 6379},
	{.dir = "ingress",
	 .user = "db-user",
	 .uid = 1002,
	 .exe = "/usr/bin/redis-server",
	 .remote = "127.0.0.1",
	 .port = 6379},
	{.dir = "egress",
	 .user = "db-user",
	 .uid = 1002,
	 .exe = "/usr/bin/redis-server",
	 .remote = "203.0.113.10",
	 .name = "example.org",
	 .port = 80},
};

static int whole(struct zt_strbuf *out)
{
	struct zt_learn_options o = {.root = getenv("ZT_TEST_ROOT")};
	ZT_CLEANUP(zt_seen_list_done) struct zt_seen_list l = {0};
	ZT_CLEANUP(zt_learned_done) struct zt_learned got = {0};
	static struct zt_activity a;
	struct zt_diags d = {0};
	int r = 0;

	for (size_t i = 0; !r && i < ZT_ARRAY_SIZE(lines); i++) {
		activity_of(&lines[i], &a);
		r = zt_seen_add(&l, &a, 1, 0, T0, T0);
	}
	r = r ?: zt_seen_ready(&l, o.root) ?: zt_learn(&l, &o, &got, &d);
	if (!r) {
		*out = got.yaml;
		got.yaml = (struct zt_strbuf){0};
	}
	zt_diags_done(&d);
	return r;
}

static int child(unsigned n, const char *want)
{
	struct zt_strbuf got = {0};
	char number[16];
	int r;

	(void)snprintf(number, sizeof(number), "%u", n);
	if (setenv("ZT_FAIL_ALLOC", number, 1) < 0)
		return OTHER;
	r = whole(&got);
	if (unsetenv("ZT_FAIL_ALLOC") < 0)
		return OTHER;
	if (r)
		return r != -ENOMEM								 ? OTHER
		       : &__lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check() ? LEAKED
												 : FAILED;
	r = strcmp(got.buf, want) ? WRONG : SAME;
	zt_strbuf_done(&got);
	return r;
}

static void each_allocation(void **state)
{
	const bool each = getenv("ZT_EACH");
	unsigned failed = 0, in_a_row = 0, n;
	struct zt_strbuf want = {0};

	(void)state;
	assert_int_equal(whole(&want), 0);
	/* A hint that could not be made is no failure; twenty in a row is the end. Beyond the first forty every thirteenth, or each with ZT_EACH=1 (and fifty then). */
	for (n = 1; in_a_row < (each ? 50U : 20U); n += 40 < n && !each ? 13 : 1) {
		pid_t pid = fork();
		int status;

		assert_true(pid >= 0);
		if (!pid)
			_exit(child(n, want.buf));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFEXITED(status) || (WEXITSTATUS(status) != FAILED && WEXITSTATUS(status) != SAME))
			fail_msg("allocation %u: status %x", n, (unsigned)status);
		failed += WEXITSTATUS(status) == FAILED;
		in_a_row = WEXITSTATUS(status) == SAME ? in_a_row + 1 : 0;
	}
	print_message("up to allocation %u: %u failed the run\n", n, failed);
	assert_true(failed > 60);
	zt_strbuf_done(&want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(each_allocation)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
