/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
/* after the above */
#include <cmocka.h>

#include "base/file.h"
#include "event/event.h"

#define PREFIX "ZT-BLOCKED: "
#define LINE(t, uid, port) \
	t " h kernel: " PREFIX "IN= OUT=lo SRC=127.0.0.1 DST=127.0.0.1 PROTO=TCP SPT=9 DPT=" port " UID=" uid " GID=1\n"

static char path[] = "/tmp/zt-test-event-XXXXXX", name[64];

static int setup(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	snprintf(name, sizeof(name), "file:%s", path);
	return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
	(void)state;
	return unlink(path);
}

static void put(const char *text, size_t n)
{
	assert_int_equal(zt_file_write_atomic(path, text, n, 0600), 0);
}

static void test_file(void **state)
{
	static const char text[] =
		"something else\n" LINE("1732420000.000000", "1", "1") "kernel: " PREFIX "damaged\n" LINE(
			"1732420900.000000", "2",
			"2") "1732420901.000000 h kernel: " PREFIX
			     "IN= OUT=lo SRC=127.0.0.1 DST=127.0.0.1 PROTO=TCP SPT=9 DPT=3 UID=3 GID=1"; /* no newline at the end */
	struct zt_event_source *s = NULL;
	struct zt_event e;

	(void)state;
	put(text, sizeof(text) - 1);
	assert_int_equal(zt_event_open(name, PREFIX, 1732420500 * ZT_USEC_PER_SEC, false, &s, NULL), 0);
	assert_int_equal(zt_event_next(s, -1, &e), 1);
	assert_int_equal(e.uid, 2); /* the first one is older than since */
	assert_int_equal(zt_event_next(s, -1, &e), 1);
	assert_int_equal(e.uid, 3);
	assert_int_equal(zt_event_next(s, -1, &e), 0);
	assert_int_equal(zt_event_damaged(s), 1);
	zt_event_close(s);
}

/* A line of 100 kB, NULs and no newline anywhere: skipped, and the next line is found. */
static void test_long_and_binary(void **state)
{
	static char text[200000];
	static const char good[] = "\n" LINE("1732420900.000000", "5", "5");
	struct zt_event_source *s = NULL;
	struct zt_event e;

	(void)state;
	memset(text, 'A', 100000);
	memset(text + 1000, 0, 1000);
	memcpy(text + 100000, good, sizeof(good) - 1);
	put(text, 100000 + sizeof(good) - 1);
	assert_int_equal(zt_event_open(name, PREFIX, 0, false, &s, NULL), 0);
	assert_int_equal(zt_event_next(s, -1, &e), 1);
	assert_int_equal(e.uid, 5);
	assert_int_equal(zt_event_next(s, -1, &e), 0);
	zt_event_close(s);
}

static void test_follow_file(void **state)
{
	static const char first[] = LINE("1732420900.000000", "1", "1"), second[] = LINE("1732420901.000000", "2", "2");
	struct zt_event_source *s = NULL;
	struct zt_event e;
	int fd;

	(void)state;
	put(first, sizeof(first) - 1);
	assert_int_equal(zt_event_open(name, PREFIX, 0, true, &s, NULL), 0);
	assert_int_equal(zt_event_next(s, 10, &e), 0); /* what was there before does not count */
	fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, second, 20), 20); /* half a line is no line */
	assert_int_equal(zt_event_next(s, 10, &e), 0);
	assert_int_equal(write(fd, second + 20, sizeof(second) - 21), sizeof(second) - 21);
	close(fd);
	assert_int_equal(zt_event_next(s, 2000, &e), 1);
	assert_int_equal(e.uid, 2);
	zt_event_close(s);
}

static void test_bad_sources(void **state)
{
	static const char *const names[] = {"", "no-such", "file:", "file:/no/such/file", "file:/tmp", "nflog"};
	struct zt_event_source *s = NULL;

	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(names); i++) {
		struct zt_diags d = {0};

		assert_true(zt_event_open(names[i], PREFIX, 0, false, &s, &d) < 0);
		assert_int_equal(d.errors, 1);
		assert_null(s);
		zt_diags_done(&d);
	}
	zt_event_close(NULL);
}

static struct zt_event event(uint32_t uid, const char *dst, uint16_t port, zt_usec when)
{
	struct zt_event e = {
		.when = when, .proto = 6, .has_ports = true, .has_uid = true, .uid = uid, .dport = port, .sport = port};

	assert_int_equal(zt_addr_parse("127.0.0.1", &e.src), 0);
	assert_int_equal(zt_addr_parse(dst, &e.dst), 0);
	return e;
}

static void test_groups(void **state)
{
	struct zt_event_groups g = {0};
	struct zt_event a = event(1, "10.0.0.1", 80, 500), b = event(1, "10.0.0.1", 80, 300),
			c = event(2, "10.0.0.1", 80, 400);

	(void)state;
	snprintf(a.program, sizeof(a.program), "curl");
	assert_int_equal(zt_event_groups_add(&g, &a), 0);
	assert_int_equal(zt_event_groups_add(&g, &b), 0);
	assert_int_equal(zt_event_groups_add(&g, &c), 0);
	assert_int_equal(g.n, 2);
	assert_int_equal(g.total, 3);
	assert_int_equal(g.items[0].count, 2);
	assert_int_equal(g.items[0].first, 300);
	assert_int_equal(g.items[0].last, 500);
	assert_string_equal(g.items[0].sample.program, "curl");
	zt_event_groups_done(&g);
}

static void test_groups_limit(void **state)
{
	struct zt_event_groups g = {0};

	(void)state;
	for (unsigned i = 0; i < 10050; i++) {
		struct zt_event e = event(i, "10.0.0.1", 80, 1);

		assert_int_equal(zt_event_groups_add(&g, &e), 0);
	}
	assert_int_equal(g.n, 10000);
	assert_int_equal(g.overflowed, 50);
	assert_int_equal(g.total, 10050);
	zt_event_groups_done(&g);
}

static void test_patterns(void **state)
{
	struct zt_event_groups g = {0};
	struct zt_event_pattern *p = NULL;
	size_t n = 0;

	(void)state;
	assert_int_equal(zt_event_patterns(&g, &p, &n), 0);
	assert_int_equal(n, 0);
	free(p);
	for (unsigned i = 0; i < 12; i++) {
		char dst[32];
		struct zt_event scan = event(7, "10.0.0.1", (uint16_t)(100 + i), 1000000 + i), sweep,
				quiet = event(9, "10.9.9.9", 80, 1);

		snprintf(dst, sizeof(dst), "10.0.1.%u", i);
		sweep = event(8, dst, 22, 1000000 + i);
		assert_int_equal(zt_event_groups_add(&g, &scan), 0);
		assert_int_equal(zt_event_groups_add(&g, &sweep), 0);
		assert_int_equal(zt_event_groups_add(&g, &quiet), 0);
	}
	assert_int_equal(zt_event_patterns(&g, &p, &n), 0);
	assert_int_equal(n, 2);
	assert_string_equal(p[0].kind, "port scan");
	assert_int_equal(p[0].uid, 7);
	assert_string_equal(p[0].text, "tried 12 ports of 10.0.0.1");
	assert_string_equal(p[1].kind, "host sweep");
	assert_int_equal(p[1].uid, 8);
	free(p);
	zt_event_groups_done(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file),	    cmocka_unit_test(test_long_and_binary),
		cmocka_unit_test(test_follow_file), cmocka_unit_test(test_bad_sources),
		cmocka_unit_test(test_groups),	    cmocka_unit_test(test_groups_limit),
		cmocka_unit_test(test_patterns),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
