/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common.h"

#include <time.h>

#include "base/time.h"

static void expect(const char *in, const char *out)
{
	char text[32];
	zt_usec t;

	assert_int_equal(zt_time_parse(in, &t), 0);
	zt_time_format(t, text);
	assert_string_equal(text, out);
}

static void times(void **state)
{
	static const char *const bad[] = {"",
					  "2026",
					  "2026-1-1",
					  "2026-13-01",
					  "2026-00-10",
					  "2026-02-29",
					  "2026-04-31",
					  "1969-12-31",
					  "2026-12-31T",
					  "2026-12-31T24:00:00Z",
					  "2026-12-31T10:60:00Z",
					  "2026-12-31T10:00:00",
					  "2026-12-31T10:00:00Zx",
					  "2026-12-31T10:00Z",
					  "2026-12-31T10:00:00+24:00",
					  "2026-12-31T10:00:00.Z",
					  " 2026-12-31",
					  "2026-12-31 ",
					  "1970-01-01T00:30:00+01:00"};
	zt_usec t = 42;

	(void)state;
	expect("2024-12-27T10:00:00Z", "2024-12-27T10:00:00Z");
	expect("2024-12-27t10:00:00z", "2024-12-27T10:00:00Z");
	expect("2024-12-27 10:00:00+02:00", "2024-12-27T08:00:00Z");
	expect("2024-12-27T10:00:00-0530", "2024-12-27T15:30:00Z");
	expect("2024-12-31T23:30:00-01:00", "2025-01-01T00:30:00Z");
	expect("2024-12-27T10:00:00.123456789Z", "2024-12-27T10:00:00Z");
	expect("2024-02-29", "2024-02-29T00:00:00Z");
	expect("2000-02-29", "2000-02-29T00:00:00Z");
	expect("1970-01-01", "1970-01-01T00:00:00Z");
	expect("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z");
	for (size_t i = 0; i < ZT_ARRAY_SIZE(bad); i++)
		assert_int_equal(zt_time_parse(bad[i], &t), -EINVAL);
	assert_int_equal(zt_time_parse("2100-02-29", &t), -EINVAL);
	assert_int_equal(t, 42);
}

/* Against the C library, a day at a time over four centuries. */
static void every_day(void **state)
{
	(void)state;
	for (time_t day = 0; day < (time_t)400 * 366; day++) {
		time_t s = day * 86400;
		struct tm tm;
		char text[32];
		zt_usec t;

		assert_non_null(gmtime_r(&s, &tm));
		assert_int_equal(strftime(text, sizeof(text), "%Y-%m-%d", &tm), 10);
		assert_int_equal(zt_time_parse(text, &t), 0);
		assert_true(t == (zt_usec)s * ZT_USEC_PER_SEC);
	}
}

static void formats_whatever_it_gets(void **state)
{
	char text[32];

	(void)state;
	zt_time_format(UINT64_MAX, text);
	assert_true(strlen(text) < 32 && text[strlen(text) - 1] == 'Z');
	zt_time_format(1999999, text);
	assert_string_equal(text, "1970-01-01T00:00:01Z");
}

static void durations(void **state)
{
	static const struct {
		const char *text;
		zt_usec seconds;
	} good[] = {{"0", 0}, {"90", 90}, {"90s", 90}, {"15m", 900}, {"2h", 7200}, {"7d", 604800}, {"2w", 1209600}};
	static const char *const bad[] = {
		"", "s", "-1", "1.5h", "1 h", "1x", "1hh", "1H", "111111111111111111111111111"};
	zt_usec t = 42;

	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(good); i++) {
		assert_int_equal(zt_duration_parse(good[i].text, &t), 0);
		assert_true(t == good[i].seconds * ZT_USEC_PER_SEC);
	}
	for (size_t i = 0; i < ZT_ARRAY_SIZE(bad); i++)
		assert_true(zt_duration_parse(bad[i], &t) < 0);
	assert_int_equal(zt_duration_parse("99999999999999999999w", &t), -ERANGE);
	assert_true(t == good[6].seconds * ZT_USEC_PER_SEC);
}

static void clocks(void **state)
{
	zt_usec a = zt_now_monotonic(), b = zt_now_monotonic();

	(void)state;
	assert_true(b >= a);
	assert_true(zt_now() > UINT64_C(1700000000) * ZT_USEC_PER_SEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times),     cmocka_unit_test(every_day), cmocka_unit_test(formats_whatever_it_gets),
		cmocka_unit_test(durations), cmocka_unit_test(clocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
