/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/mem.h"
#include "base/proc.h"
#include "base/time.h"

#define SHELL(text)                    \
	(const char *const[])          \
	{                              \
		"sh", "-c", text, NULL \
	}

static void talks_both_ways(void **state)
{
	size_t big = 1 << 20;
	char *data = zt_malloc(big);
	struct zt_run r = {.argv = (const char *const[]){"cat", NULL}, .input = data, .input_len = big};

	(void)state;
	for (size_t i = 0; i < big; i++)
		data[i] = (char)('a' + i % 23);
	assert_int_equal(zt_run(&r), 0); /* more than the pipes hold in either direction */
	assert_int_equal(r.status, 0);
	assert_int_equal(r.out_len, big);
	assert_memory_equal(r.out, data, big);
	assert_int_equal(r.out[big], '\0');
	zt_run_done(&r);
	zt_run_done(&r);
	free(data);
}

static void outputs_and_status(void **state)
{
	struct zt_run r = {.argv = SHELL("echo out; echo err >&2; exit 3")};
	struct zt_run killed = {.argv = SHELL("kill -9 $$")};

	(void)state;
	assert_int_equal(zt_run(&r), 0);
	assert_int_equal(r.status, 3);
	assert_string_equal(r.out, "out\n");
	assert_string_equal(r.err, "err\n");
	zt_run_done(&r);
	assert_int_equal(zt_run(&killed), 0);
	assert_int_equal(killed.status, 128 + SIGKILL);
	zt_run_done(&killed);
}

static void only_known_places_and_a_known_environment(void **state)
{
	struct zt_run r = {.argv = SHELL("env | grep -v '^_=\\|^PWD=\\|^SHLVL=\\|^OLDPWD=' | sort"),
			   .extra_env = (const char *const[]){"TZ=UTC", NULL}};
	struct zt_run none = {.argv = (const char *const[]){"no-such-program", NULL}};
	struct zt_run path = {.argv = (const char *const[]){"/no/such/program", NULL}};

	(void)state;
	assert_int_equal(setenv("PATH", "/tmp", 1), 0);
	assert_int_equal(setenv("LD_PRELOAD_X", "evil", 1), 0);
	assert_int_equal(zt_run(&r), 0);
	assert_string_equal(r.out, "LC_ALL=C\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\nTZ=UTC\n");
	zt_run_done(&r);
	assert_int_equal(zt_run(&none), -ENOENT);
	assert_int_equal(zt_run(&path), -ENOENT);
}

static void no_descriptor_leaks(void **state)
{
	struct zt_run r = {.argv = SHELL("ls /proc/self/fd | wc -l")};
	int open_fd = open("/etc/passwd", O_RDONLY); /* NOLINT: without O_CLOEXEC on purpose */

	(void)state;
	assert_true(open_fd >= 0);
	assert_int_equal(zt_run(&r), 0);
	assert_string_equal(r.out, "4\n"); /* 0, 1, 2, and the folder ls looks at */
	zt_run_done(&r);
	assert_int_equal(close(open_fd), 0);
}

static void limits_end_it(void **state)
{
	struct zt_run slow = {.argv = SHELL("sleep 100"), .timeout_usec = 200000};
	/* Nothing is left to read, and still it does not end. */
	struct zt_run closed = {.argv = SHELL("exec >&- 2>&-; sleep 100"), .timeout_usec = 200000};
	struct zt_run much = {.argv = SHELL("cat /dev/zero"), .max_output = 100000};
	struct zt_run deaf = {.argv = SHELL("exec <&-; echo done"), .input = "x", .input_len = 1};
	zt_usec began = zt_now_monotonic();

	(void)state;
	assert_int_equal(zt_run(&slow), -ETIMEDOUT);
	assert_int_equal(zt_run(&closed), -ETIMEDOUT);
	assert_int_equal(zt_run(&much), -EFBIG);
	assert_int_equal(zt_run(&deaf), 0); /* not killed by a broken pipe */
	assert_string_equal(deaf.out, "done\n");
	assert_true(zt_now_monotonic() - began < 50 * ZT_USEC_PER_SEC); /* far from 200 s */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD); /* no child is left behind */
	zt_run_done(&slow);
	zt_run_done(&closed);
	zt_run_done(&much);
	zt_run_done(&deaf);
}

static void namespaces(void **state)
{
	struct zt_run r = {.argv = SHELL("cat /proc/self/net/dev | grep -c :"), .new_netns = true};
	int e = zt_run(&r);
	pid_t pid;

	(void)state;
	assert_int_equal(zt_netns_enter("no-such-namespace"), -ENOENT);
	assert_int_equal(zt_netns_enter("/etc/passwd"), -EINVAL);
	if (geteuid() != 0) {
		assert_int_equal(e, -EPERM);
		return;
	}
	assert_int_equal(e, 0);
	assert_string_equal(r.out, "1\n"); /* lo alone */
	zt_run_done(&r);
	pid = fork();
	if (!pid) { /* a namespace of our own is not that of process 1 */
		if (unshare(CLONE_NEWNET) < 0)
			_exit(2);
		_exit(zt_netns_is_initial() ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &e, 0), pid);
	assert_int_equal(e, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(talks_both_ways),
		cmocka_unit_test(outputs_and_status),
		cmocka_unit_test(only_known_places_and_a_known_environment),
		cmocka_unit_test(no_descriptor_leaks),
		cmocka_unit_test(limits_end_it),
		cmocka_unit_test(namespaces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
