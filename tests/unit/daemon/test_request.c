/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "daemon/request.h"

static int parse(const char *s, struct zt_ask *ret)
{
	const char *error = NULL;
	int r = zt_request_parse(s, strlen(s), ret, &error);

	assert_true(r == 0 || (r == -EINVAL && error && *error));
	return r;
}

static void test_every_request(void **state)
{
	(void)state;
	for (size_t i = 0; i < ZT_REQUESTS; i++) {
		struct zt_ask ask = {.what = ZT_REQUESTS};
		char line[128];

		snprintf(line, sizeof(line), " { \"request\" : \"%s\" } ", zt_requests[i].name);
		assert_int_equal(parse(line, &ask), 0);
		assert_int_equal(ask.what, i);
		assert_true(zt_requests[i].role != ZT_ROLE_NONE);
	}
	assert_int_equal(zt_requests[ZT_REQUEST_RELOAD].role, ZT_ROLE_ADMIN);
}

static void test_refused(void **state)
{
	static const char *const lines[] = {"",
					    "{",
					    "ping",
					    "[]",
					    "\"ping\"",
					    "{}",
					    "{\"request\":1}",
					    "{\"request\":\"pin\"}",
					    "{\"request\":\"PING\"}",
					    "{\"request\":\"ping\",\"x\":1}",
					    "{\"request\":\"ping\",\"after\":1}",
					    "{\"request\":\"kernel\",\"uid\":1}",
					    "{\"request\":\"kernel\",\"after\":-1}",
					    "{\"request\":\"kernel\",\"by\":1}",
					    "{\"request\":\"stats\",\"uid\":1}",
					    "{\"request\":\"stats\",\"by\":\"user\"}",
					    "{\"request\":\"events\",\"after\":\"1\"}",
					    "{\"request\":\"events\",\"x\":1}",
					    "{\"request\":\"ping\",\"request\":\"status\"}",
					    "{\"request\":\"ping\"} x",
					    "{\"request\":\"ping\\u0000\"}",
					    "{\"request\":\"\xff\"}"};
	struct zt_ask ask = {.what = ZT_REQUESTS};

	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(lines); i++)
		assert_int_equal(parse(lines[i], &ask), -EINVAL);
	assert_int_equal(ask.what, ZT_REQUESTS); /* untouched */
}

static void test_members(void **state)
{
	struct zt_ask ask;

	(void)state;
	assert_int_equal(
		parse("{\"request\":\"events\",\"after\":7,\"since\":8,\"until\":9,\"kinds\":3,\"uid\":0,\"newest\":1}",
		      &ask),
		0);
	assert_int_equal(ask.after, 7);
	assert_int_equal(ask.since, 8);
	assert_int_equal(ask.until, 9);
	assert_int_equal(ask.kinds, 3);
	assert_int_equal(ask.uid, 1); /* root is somebody */
	assert_int_equal(ask.pid, 0);
	assert_int_equal(ask.newest, 1);
	assert_int_equal(parse("{\"request\":\"kernel\",\"after\":12}", &ask), 0);
	assert_int_equal(ask.after, 12);
	assert_int_equal(parse("{\"request\":\"stats\",\"by\":2,\"since\":3,\"after\":4,\"id\":5}", &ask), 0);
	assert_int_equal(ask.by, 2);
	assert_int_equal(ask.since, 3);
	assert_int_equal(ask.after, 4);
	assert_int_equal(ask.id, 5);
}

static void test_depth_and_length(void **state)
{
	char line[ZT_REQUEST_MAX + 1];
	struct zt_ask what;

	(void)state;
	memset(line, '[', sizeof(line) - 2);
	line[sizeof(line) - 2] = '\0';
	assert_int_equal(parse(line, &what), -EINVAL);
	memset(line, ' ', sizeof(line) - 1);
	memcpy(line, "{\"request\":\"ping\"}", 18);
	line[ZT_REQUEST_MAX - 1] = '\0';
	assert_int_equal(parse(line, &what), 0);
	line[ZT_REQUEST_MAX - 1] = ' ';
	line[ZT_REQUEST_MAX] = '\0';
	assert_int_equal(parse(line, &what), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_request),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_depth_and_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
