/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "fixture.h"

/* A child that waits until it is told to go; ready tells that it has become what it is to be. */
struct child {
	pid_t pid;
	int hold, ready;
};

static struct child start(void (*become)(const void *arg), const void *arg)
{
	int hold[2], ready[2];
	struct child c;
	char byte;

	assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	c.pid = fork();
	assert_true(c.pid >= 0);
	if (!c.pid) {
		(void)close(hold[1]);
		become(arg);
		if (write(ready[1], "x", 1) != 1 || read(hold[0], &byte, 1) != 0)
			_exit(1);
		_exit(0);
	}
	(void)close(hold[0]);
	(void)close(ready[1]);
	c.hold = hold[1];
	c.ready = ready[0];
	assert_int_equal(read(c.ready, &byte, 1), 1);
	return c;
}

static void stop(struct child *c)
{
	(void)close(c->hold);
	(void)close(c->ready);
	assert_int_equal(waitpid(c->pid, NULL, 0), c->pid);
}

static void test_self(void **state)
{
	struct zt_process p;
	struct zt_exe_seen seen;

	(void)state;
	assert_int_equal(zt_process_read(getpid(), &p), 0);
	assert_int_equal(p.pid, getpid());
	assert_int_equal(p.ppid, getppid());
	assert_int_equal(p.uid, geteuid());
	assert_int_equal(p.gid, getegid());
	assert_int_equal(p.n_groups, getgroups(0, NULL));
	assert_true(p.start_time > 0);
	assert_false(p.exe_deleted);
	assert_non_null(p.cgroup);
	assert_true(p.cgroup[0] != '/');
	assert_int_equal(zt_exe_lookup(NULL, p.exe, true, &seen), 0);
	assert_true(p.exe_ino == seen.ino && p.exe_dev == seen.dev);
	assert_true(p.exe_ctime_sec == seen.ctime_sec && p.exe_ctime_nsec == seen.ctime_nsec);
	zt_process_done(&p);
	assert_null(p.exe);
}

static void be_other(const void *arg)
{
	const gid_t groups[] = {4000000000U, 33, 5};

	(void)arg;
	if (prctl(PR_SET_NAME, ") R 1 (\n0 ") < 0 || setgroups(3, groups) < 0 || setresgid(7, 3000000000U, 7) < 0 ||
	    setresuid(0, 4294967000U, 0) < 0)
		_exit(2);
}

static void test_credentials(void **state)
{
	struct child c;
	struct zt_process p;

	(void)state;
	if (geteuid())
		skip();
	c = start(be_other, NULL);
	assert_int_equal(zt_process_read(c.pid, &p), 0);
	assert_int_equal(p.ppid, getpid());
	assert_string_equal(p.comm, ") R 1 (\n0 ");
	assert_int_equal(p.uid, 4294967000U);
	assert_int_equal(p.gid, 3000000000U);
	assert_int_equal(p.n_groups, 3);
	assert_int_equal(p.groups[0], 5); /* sorted by the kernel */
	assert_int_equal(p.groups[1], 33);
	assert_int_equal(p.groups[2], 4000000000U);
	zt_process_done(&p);
	stop(&c);
}

static void be_nobody(const void *arg)
{
	(void)arg;
	if (setgroups(0, NULL) < 0)
		_exit(2);
}

static void test_no_groups(void **state)
{
	struct child c;
	struct zt_process p;

	(void)state;
	if (geteuid())
		skip();
	c = start(be_nobody, NULL);
	assert_int_equal(zt_process_read(c.pid, &p), 0);
	assert_int_equal(p.n_groups, 0);
	zt_process_done(&p);
	stop(&c);
}

static void be_nothing(const void *arg)
{
	(void)arg;
}

static void test_gone(void **state)
{
	struct child c = start(be_nothing, NULL);
	struct zt_process p = {.pid = -7};

	(void)state;
	stop(&c);
	assert_int_equal(zt_process_read(c.pid, &p), -ESRCH);
	assert_int_equal(zt_process_read(0, &p), -ESRCH);
	assert_int_equal(zt_process_read(-1, &p), -ESRCH);
	assert_int_equal(p.pid, -7); /* nothing is told on failure */
}

static void test_zombie(void **state)
{
	struct zt_process p;
	siginfo_t info;
	pid_t pid = fork();

	(void)state;
	if (!pid)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(zt_process_read(pid, &p), 0);
	assert_null(p.exe);
	assert_int_equal(p.exe_ino, 0);
	assert_false(p.exe_deleted);
	zt_process_done(&p);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* ---- programs: a copy of busybox that sleeps ---- */
static void copy_into(int fd)
{
	ZT_FREE char *data = NULL;
	size_t len = 0;

	assert_int_equal(zt_file_read("/bin/busybox", (size_t)64 << 20, &data, &len), 0);
	assert_int_equal(zt_write_all(fd, data, len), 0);
}

/* The child's end of the pipe closes at exec. */
static pid_t run(int fd)
{
	int started[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(started, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		char *const argv[] = {strdup("sleep"), strdup("600"), NULL};

		(void)fexecve(fd, argv, (char *const[]){NULL});
		_exit(127);
	}
	(void)close(started[1]);
	assert_int_equal(read(started[0], &byte, 1), 0);
	(void)close(started[0]);
	return pid;
}

static void finish(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_memfd(void **state)
{
	int fd = memfd_create("hidden", MFD_CLOEXEC);
	struct zt_process p;
	pid_t pid;

	(void)state;
	if (!zt_path_exists("/bin/busybox"))
		skip();
	copy_into(fd);
	pid = run(fd);
	(void)close(fd);
	assert_int_equal(zt_process_read(pid, &p), 0);
	assert_true(p.exe_deleted);
	assert_string_equal(p.exe, "/memfd:hidden");
	assert_true(p.exe_ino != 0);
	zt_process_done(&p);
	finish(pid);
}

static pid_t run_copy(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755), again;
	pid_t pid;

	assert_true(fd >= 0);
	copy_into(fd);
	(void)close(fd);
	again = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(again >= 0);
	pid = run(again);
	(void)close(again);
	return pid;
}

static void expect_exe(pid_t pid, const char *exe, bool deleted)
{
	struct zt_process p;

	assert_int_equal(zt_process_read(pid, &p), 0);
	assert_string_equal(p.exe, exe);
	assert_int_equal(p.exe_deleted, deleted);
	zt_process_done(&p);
}

static void test_deleted(void **state)
{
	ZT_FREE char *path = below_tree(state, "tool"), *odd = below_tree(state, "tool (deleted)");
	pid_t pid, other;

	if (!zt_path_exists("/bin/busybox"))
		skip();
	pid = run_copy(path);
	other = run_copy(odd);
	expect_exe(pid, path, false);
	expect_exe(other, odd, false); /* a file that is called so */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(unlink(odd), 0);
	expect_exe(pid, path, true);
	expect_exe(other, odd, true);
	finish(pid);
	finish(other);
}

/* Replaced as a package upgrade does it: the process runs the old file, which has no name, and the path is another one. */
static void test_replaced(void **state)
{
	ZT_FREE char *path = below_tree(state, "tool"), *fresh = below_tree(state, "tool.new");
	struct zt_exe_seen seen;
	struct zt_process p;
	pid_t pid;

	if (!zt_path_exists("/bin/busybox"))
		skip();
	pid = run_copy(path);
	put(state, "tool.new", "\177ELF");
	assert_int_equal(rename(fresh, path), 0);
	assert_int_equal(zt_process_read(pid, &p), 0);
	assert_int_equal(zt_exe_lookup(NULL, path, false, &seen), 0);
	assert_true(p.exe_deleted);
	assert_true(p.exe_ino != seen.ino);
	zt_process_done(&p);
	finish(pid);
}

/* One name of two is gone: the file is still known, and told apart by its change time. */
static void test_one_name_left(void **state)
{
	ZT_FREE char *path = below_tree(state, "tool"), *second = below_tree(state, "second");
	struct zt_exe_seen seen;
	struct zt_process p;
	pid_t pid;

	if (!zt_path_exists("/bin/busybox"))
		skip();
	pid = run_copy(path);
	assert_int_equal(link(path, second), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(zt_process_read(pid, &p), 0);
	assert_int_equal(zt_exe_lookup(NULL, second, false, &seen), 0);
	assert_false(p.exe_deleted);
	assert_string_equal(p.exe, path);
	assert_true(p.exe_ino == seen.ino && p.exe_dev == seen.dev && p.exe_ctime_nsec == seen.ctime_nsec);
	zt_process_done(&p);
	finish(pid);
}

/* A program on a mount that only its own mount namespace has. */
static void test_other_mount_namespace(void **state)
{
	ZT_FREE char *folder = below_tree(state, "m"), *tool = below_tree(state, "m/tool");
	ZT_FREE char *script = zt_asprintf("mount -t tmpfs zt-test %s && cp /bin/sleep %s && exec %s 600", folder, tool,
					   tool);
	struct zt_process p = {0};
	struct stat st;
	pid_t pid;

	if (geteuid())
		skip();
	put_folder(state, "m");
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		(void)execlp("unshare", "unshare", "-m", "sh", "-c", script, (char *)NULL);
		_exit(127);
	}
	for (int tries = 0; !p.exe || strcmp(p.exe, tool) != 0; tries++) {
		zt_process_done(&p);
		assert_int_equal(zt_process_read(pid, &p), 0);
		assert_true(tries < 6000 && usleep(10000) == 0); /* a minute */
	}
	assert_false(p.exe_deleted);
	assert_true(stat(tool, &st) < 0); /* not here */
	assert_true(p.exe_dev != 0 && p.exe_ino != 0);
	zt_process_done(&p);
	finish(pid);
}

static void test_kernel_thread(void **state)
{
	struct zt_process p;

	(void)state;
	if (zt_process_read(2, &p) < 0 || p.ppid != 0) {
		zt_process_done(&p);
		skip(); /* a pid namespace without them */
	}
	assert_null(p.exe);
	assert_int_equal(p.exe_ino, 0);
	zt_process_done(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_self),
		cmocka_unit_test(test_credentials),
		cmocka_unit_test(test_no_groups),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_zombie),
		cmocka_unit_test(test_memfd),
		cmocka_unit_test_setup_teardown(test_deleted, make_tree, drop_tree),
		cmocka_unit_test_setup_teardown(test_replaced, make_tree, drop_tree),
		cmocka_unit_test_setup_teardown(test_one_name_left, make_tree, drop_tree),
		cmocka_unit_test_setup_teardown(test_other_mount_namespace, make_tree, drop_tree),
		cmocka_unit_test(test_kernel_thread),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
