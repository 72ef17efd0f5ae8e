/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "fixture.h"

#define ELF "\177ELF-and-some-bytes"

static int look(void **state, const char *path, struct zt_exe_seen *ret)
{
	return zt_exe_lookup(*state, path, true, ret);
}

static void test_digest_and_identity(void **state)
{
	struct zt_exe_seen seen, quick;
	char expected[65];
	ZT_FREE char *full = below_tree(state, "usr/bin/tool");
	struct stat st;

	put(state, "usr/bin/tool", ELF);
	zt_sha256_hex(ELF, strlen(ELF), expected);
	assert_int_equal(look(state, "/usr/bin/tool", &seen), 0);
	assert_string_equal(seen.digest, expected);
	assert_int_equal(stat(full, &st), 0);
	assert_int_equal(seen.ino, st.st_ino);
	assert_int_equal(seen.ctime_sec, st.st_ctim.tv_sec);
	assert_int_equal(seen.ctime_nsec, st.st_ctim.tv_nsec);
	assert_true(seen.dev != 0);
	assert_int_equal(zt_exe_lookup(*state, "/usr/bin/tool", false, &quick), 0);
	assert_string_equal(quick.digest, "");
	assert_int_equal(quick.ino, seen.ino);
	assert_int_equal(zt_exe_lookup(NULL, full, true, &quick), 0);
	assert_memory_equal(&quick, &seen, sizeof(seen));
}

/* major << 20 | minor, as mountinfo has it for the mount of /proc. */
static void test_device_of_the_mount(void **state)
{
	unsigned major = 0, minor = 0;
	char line[4096], point[4096];
	struct zt_exe_seen seen;
	FILE *f = fopen("/proc/self/mountinfo", "re");
	ZT_FREE char *full = below_tree(state, "tool");
	struct stat st;

	put(state, "tool", ELF);
	assert_int_equal(zt_exe_lookup(NULL, full, false, &seen), 0);
	assert_int_equal(stat(full, &st), 0);
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%*u %*u %u:%u %*s %4095s", &major, &minor, point) == 3 &&
		    seen.dev == ((uint64_t)major << 20 | minor))
			break;
	assert_true(seen.dev == ((uint64_t)major << 20 | minor));
	(void)fclose(f);
}

static void test_what_is_no_program(void **state)
{
	struct zt_exe_seen seen;
	ZT_FREE char *fifo = below_tree(state, "fifo");

	put_folder(state, "dir");
	put(state, "text", "hello\n");
	put(state, "empty", "");
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(look(state, "/missing", &seen), -ENOENT);
	assert_int_equal(look(state, "/text/below", &seen), -ENOTDIR);
	assert_int_equal(look(state, "/dir", &seen), -EISDIR);
	assert_int_equal(look(state, "/fifo", &seen), -EINVAL); /* and does not wait for a writer */
	assert_int_equal(zt_exe_lookup(NULL, "/dev/null", true, &seen), -EINVAL);
	assert_int_equal(look(state, "/text", &seen), -ENOEXEC);
	assert_string_equal(seen.interpreter, "");
	assert_int_equal(look(state, "/empty", &seen), -ENOEXEC);
}

static void expect_interpreter(void **state, const char *text, const char *interpreter)
{
	struct zt_exe_seen seen;

	put(state, "script", text);
	assert_int_equal(look(state, "/script", &seen), -ENOEXEC);
	assert_string_equal(seen.interpreter, interpreter);
}

static void test_scripts(void **state)
{
	char longest[600] = "#!/";

	put(state, "usr/bin/python3", ELF);
	expect_interpreter(state, "#!/bin/sh\necho\n", "/bin/sh");
	expect_interpreter(state, "#!  /usr/bin/perl -w -T\n", "/usr/bin/perl");
	expect_interpreter(state, "#!/bin/sh", "/bin/sh");
	expect_interpreter(state, "#!/bin/sh\r\n", "/bin/sh");
	expect_interpreter(state, "#!/usr/bin/env python3\n", "/usr/bin/python3");
	expect_interpreter(state, "#!/usr/bin/env -S A=b python3 -u\n", "/usr/bin/python3");
	expect_interpreter(state, "#!/usr/bin/env nothing\n", "nothing");
	expect_interpreter(state, "#!/usr/bin/env\n", "/usr/bin/env");
	expect_interpreter(state, "#!\n", "");
	expect_interpreter(state, "#!/bin/\033[31m\n", "");
	memset(longest + 3, 'x', sizeof(longest) - 4);
	put(state, "script", longest);
	assert_int_equal(look(state, "/script", &(struct zt_exe_seen){0}), -ENOEXEC);
}

static void test_services(void **state)
{
	char *unit = NULL;

	put(state, "usr/lib/systemd/system/report.service", "[Service]\nExecStart=/usr/bin/reporter\n");
	put(state, "usr/lib/systemd/system/job@.service",
	    "[Service]\n ExecStart=-/usr/bin/job --once\nExecStop=/usr/bin/off\n");
	put(state, "usr/lib/systemd/system/job.timer", "ExecStart=/usr/bin/timer\n");
	assert_int_equal(zt_service_running(*state, "/usr/bin/job", &unit), 0);
	assert_string_equal(unit, "job@.service");
	zt_freep(&unit);
	assert_int_equal(zt_service_running(*state, "/usr/bin/report", &unit), -ENOENT); /* it begins alike */
	assert_int_equal(zt_service_running(*state, "/usr/bin/off", &unit), -ENOENT);
	assert_int_equal(zt_service_running(*state, "/usr/bin/timer", &unit), -ENOENT);
	put(state, "etc/systemd/system/mine.service", "ExecStart=@!/usr/bin/reporter reporter");
	assert_int_equal(zt_service_running(*state, "/usr/bin/reporter", &unit), 0);
	assert_string_equal(unit, "mine.service");
	zt_freep(&unit);
}

/* Links of the other root stay in it: /etc/alternatives of a fixture is not the host's. */
static void test_links(void **state)
{
	ZT_FREE char *link = below_tree(state, "usr/bin/tool"), *out = below_tree(state, "usr/bin/out");
	struct zt_exe_seen direct, linked;

	put(state, "opt/tool-1.2", ELF);
	put_folder(state, "usr/bin");
	assert_int_equal(symlink("/opt/tool-1.2", link), 0);
	assert_int_equal(symlink("../../../../../../../../bin/busybox-of-the-host", out), 0);
	assert_int_equal(look(state, "/opt/tool-1.2", &direct), 0);
	assert_int_equal(look(state, "/usr/bin/tool", &linked), 0);
	assert_memory_equal(&direct, &linked, sizeof(direct));
	assert_int_equal(look(state, "/usr/bin/out", &linked), -ENOENT);
}

/* Two names of one file are one program; a copy is another. A new name of the file moves its ctime: it is another from then on. */
static void test_hard_links(void **state)
{
	ZT_FREE char *a = below_tree(state, "a"), *b = below_tree(state, "b");
	struct zt_exe_seen before, first, second, copy;

	put(state, "a", ELF);
	put(state, "copy", ELF);
	assert_int_equal(look(state, "/a", &before), 0); /* takes until the clock has moved on */
	assert_int_equal(link(a, b), 0);
	assert_int_equal(look(state, "/a", &first), 0);
	assert_int_equal(look(state, "/b", &second), 0);
	assert_int_equal(look(state, "/copy", &copy), 0);
	assert_memory_equal(&first, &second, sizeof(first));
	assert_string_equal(first.digest, copy.digest);
	assert_true(first.ino != copy.ino);
	assert_int_equal(before.ino, first.ino);
	assert_true(before.ctime_sec != first.ctime_sec || before.ctime_nsec != first.ctime_nsec);
}

struct writer {
	int fd;
	atomic_bool stop;
};

static void *keep_writing(void *arg)
{
	struct writer *w = arg;
	unsigned char byte = 0;

	while (!atomic_load(&w->stop)) {
		byte++;
		if (pwrite(w->fd, &byte, 1, 4096) != 1)
			break;
	}
	return NULL;
}

static void test_changed_while_read(void **state)
{
	ZT_FREE char *full = below_tree(state, "busy");
	static char big[8 << 20] = "\177ELF";
	struct writer w = {0};
	struct zt_exe_seen seen = {0};
	pthread_t thread;
	int r = 0;

	put_bytes(state, "busy", big, sizeof(big));
	w.fd = open(full, O_WRONLY | O_CLOEXEC);
	assert_true(w.fd >= 0);
	assert_int_equal(pthread_create(&thread, NULL, keep_writing, &w), 0);
	for (int i = 0; i < 500 && r == 0; i++) { /* on a busy machine the writer may have to wait */
		seen.ino = 1;
		r = look(state, "/busy", &seen);
	}
	assert_int_equal(r, -EBUSY);
	assert_int_equal(seen.ino, 1); /* nothing is told on failure */
	atomic_store(&w.stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	(void)close(w.fd);
	assert_int_equal(look(state, "/busy", &seen), 0);
}

/* Written to right after the look-up: never two contents with one identity. */
static void test_same_tick(void **state)
{
	for (int i = 0; i < 20; i++) {
		struct zt_exe_seen first, second;

		put(state, "quick", i & 1 ? ELF "1" : ELF "2");
		assert_int_equal(look(state, "/quick", &first), 0);
		put(state, "quick", i & 1 ? ELF "3" : ELF "4");
		assert_int_equal(look(state, "/quick", &second), 0);
		assert_string_not_equal(first.digest, second.digest);
		assert_true(first.ctime_sec != second.ctime_sec || first.ctime_nsec != second.ctime_nsec);
	}
}

static void test_package(void **state)
{
	ZT_FREE char *package = NULL, *upgraded = NULL, *other = NULL, *when = NULL;
	struct stat st;

	(void)state;
	if (stat("/var/lib/dpkg/info/dpkg.list", &st) < 0)
		skip(); /* not a Debian host */
	assert_int_equal(zt_exe_package("/usr/bin/dpkg", &package, &upgraded), 0);
	assert_string_equal(package, "dpkg");
	assert_int_equal(strlen(upgraded), strlen("2024-12-27T10:00:00Z"));
	assert_int_equal(zt_exe_package("/usr/bin/cat", &other, &when), 0); /* listed as /bin/cat until Debian 12 */
	assert_string_equal(other, "coreutils");
	assert_int_equal(zt_exe_package("/usr/bin/dpk", &other, &when), -ENOENT);
	assert_int_equal(zt_exe_package("/no/such/file", &other, &when), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_digest_and_identity, make_tree, drop_tree),
		cmocka_unit_test_setup_teardown(test_device_of_the_mount, make_tree, drop_tree),
		cmocka_unit_test_setup_teardown(test_what_is_no_program, make_tree, drop_tree),
		cmocka_unit_test_setup_teardown(test_scripts, make_tree, drop_tree),
		cmocka_unit_test_setup_teardown(test_services, make_tree, drop_tree),
		cmocka_unit_test_setup_teardown(test_links, make_tree, drop_tree),
		cmocka_unit_test_setup_teardown(test_hard_links, make_tree, drop_tree),
		cmocka_unit_test_setup_teardown(test_changed_while_read, make_tree, drop_tree),
		cmocka_unit_test_setup_teardown(test_same_tick, make_tree, drop_tree),
		cmocka_unit_test(test_package),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
