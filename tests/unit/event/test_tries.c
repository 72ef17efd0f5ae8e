/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opens of sensitive files, as the kernel's programs tell of them: without the programs. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "event/tries.h"
#include "trace_abi.h"

static const char *const patterns[] = {"/etc/shadow", "/home/*/.ssh/id_*", "/srv/[ab]/k?y\\*", "/s*", NULL};

static struct zt_tries *without_programs(void)
{
	const struct zt_calls_options o = {.trace = -1, .counts = -1, .sleeping = -1};
	struct zt_tries *t = NULL;

	assert_int_equal(zt_tries_open(&o, &t), 0);
	assert_false(zt_tries_works(t));
	assert_non_null(strstr(zt_tries_lack(t), "failed opens are not seen"));
	return t;
}

/* What the programs compare: first bytes that every name has which matches, and no set of characters. */
static void test_lower(void **state)
{
	static struct zt_tries_patterns p;
	char path[ZT_TRIES_TEXT + 40];
	const char *const longest[] = {path, NULL};

	(void)state;
	zt_tries_lower(patterns, &p);
	assert_int_equal(p.n, 4);
	assert_memory_equal(&p.head[0], "/etc/sha", 8);
	assert_memory_equal(&p.head[1], "/home/\0\0", 8);
	assert_memory_equal(&p.mask[1], "\xff\xff\xff\xff\xff\xff\0\0", 8);
	assert_string_equal((const char *)p.text[2], "/srv/?/k?y?");
	assert_memory_equal(&p.mask[3], "\xff\xff\0\0\0\0\0\0", 8);
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	zt_tries_lower(longest, &p);
	assert_int_equal(p.text[0][ZT_TRIES_TEXT - 2], ZT_TRIES_REST);
	assert_int_equal(p.text[0][ZT_TRIES_TEXT - 1], 0);
	path[ZT_TRIES_TEXT - 1] = '\0'; /* just short enough */
	zt_tries_lower(longest, &p);
	assert_string_equal((const char *)p.text[0], path);
}

static bool sensitive(const struct zt_tries *t, const char *path)
{
	struct zt_trace_open e = {.error = EACCES};

	memset(e.path, 'x', sizeof(e.path)); /* nothing is read behind its end */
	memcpy(e.path, path, strlen(path) + 1);
	return zt_tries_is_sensitive(t, &e);
}

static void test_sensitive(void **state)
{
	struct zt_tries *t = without_programs();
	struct zt_trace_open endless;

	(void)state;
	assert_false(sensitive(t, "/etc/shadow")); /* nothing is yet */
	zt_tries_set_files(t, patterns);
	assert_true(sensitive(t, "/etc/shadow"));
	assert_false(sensitive(t, "/etc/shadow-"));
	assert_true(sensitive(t, "/home/ann/.ssh/id_one"));
	assert_false(sensitive(t, "/home/ann/.ssh/id_one.pub"));
	assert_false(sensitive(t, "/home/ann/deeper/.ssh/id_one"));
	assert_true(sensitive(t, "/srv/a/key*"));
	assert_false(sensitive(t, "/srv/a/keys"));
	assert_false(sensitive(t, "/srv/c/key*"));
	memset(&endless, 'a', sizeof(endless));
	assert_false(zt_tries_is_sensitive(t, &endless));
	zt_tries_set_files(t, NULL); /* the built-in ones */
	assert_true(sensitive(t, "/etc/sudoers.d/x"));
	assert_false(sensitive(t, "/srv/a/key*"));
	zt_tries_close(t);
	zt_tries_set_files(NULL, patterns);
	zt_tries_close(NULL);
}

static void note(struct zt_tries *t, uint32_t pid, uint64_t ino, uint32_t fd)
{
	struct zt_trace_open e = {.ino = ino, .fd = fd};

	e.process.pid = pid;
	zt_tries_note(t, &e);
}

/* Each once, in order, whatever came between; of too many the oldest are forgotten. */
static void test_descriptors(void **state)
{
	struct zt_tries *t = without_programs();
	uint32_t fd = 0;

	(void)state;
	assert_int_equal(zt_tries_take(t, 1, 10, &fd), -ENOENT);
	note(t, 1, 10, 3);
	note(t, 2, 10, 4);
	note(t, 1, 10, 5);
	note(t, 1, 11, 6);
	assert_int_equal(zt_tries_take(t, 1, 10, &fd), 0);
	assert_int_equal(fd, 3);
	assert_int_equal(zt_tries_take(t, 1, 11, &fd), 0);
	assert_int_equal(fd, 6);
	assert_int_equal(zt_tries_take(t, 1, 10, &fd), 0);
	assert_int_equal(fd, 5);
	assert_int_equal(zt_tries_take(t, 1, 10, &fd), -ENOENT);
	assert_int_equal(zt_tries_take(t, 2, 10, &fd), 0);
	for (uint32_t i = 0; i < 2500; i++)
		note(t, 7, i, i);
	assert_int_equal(zt_tries_take(t, 7, 0, &fd), -ENOENT);
	for (uint32_t i = 2499; i > 2499 - 1024; i--) {
		assert_int_equal(zt_tries_take(t, 7, i, &fd), 0);
		assert_int_equal(fd, i);
	}
	assert_int_equal(zt_tries_take(t, 7, 2499 - 1024, &fd), -ENOENT);
	zt_tries_close(t);
}

static void test_fill(void **state)
{
	struct zt_trace_open e = {.error = EACCES, .path = "/etc/\x1b[2Jshadow"};
	struct zt_activity a;

	(void)state;
	zt_activity_init(&a, ZT_ACTIVITY_OPEN, 1);
	zt_tries_fill(&e, &a);
	assert_string_equal(a.path, "/etc/\\x1b[2Jshadow");
	assert_string_equal(a.error, "Permission denied");
	assert_int_equal(a.error_number, EACCES);
	assert_false(zt_activity_has(&a, ZT_FIELD_fd));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lower),
		cmocka_unit_test(test_sensitive),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_fill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
