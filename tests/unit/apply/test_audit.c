/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common.h"

static int with_three(void **state)
{
	struct room *r = zt_new(struct room, 1);

	room_open(r);
	must_apply(r, 1001);
	must_apply(r, 1002);
	must_apply(r, 1003);
	*state = r;
	return 0;
}

static int over(void **state)
{
	room_close(*state);
	free(*state);
	return 0;
}

static size_t findings(struct room *r)
{
	size_t entries = 0, n;
	int e;

	room_forget(r);
	e = zt_history_verify(&r->ctx, &entries, &r->d);
	n = r->d.errors;
	assert_int_equal(e < 0, n != 0);
	return n;
}

static void test_good(void **state)
{
	struct room *r = *state;
	size_t entries = 0;

	assert_int_equal(zt_history_verify(&r->ctx, &entries, &r->d), 0);
	assert_int_equal(entries, 3);
}

/* Every single byte of the log, one bit each. */
static void test_changed_byte(void **state)
{
	struct room *r = *state;
	size_t len = 0;
	ZT_FREE char *log = slurp(r, "audit.jsonl", &len);

	for (size_t i = 0; i < len; i++) {
		log[i] ^= 1;
		spit(r, "audit.jsonl", log, len);
		if (!findings(r)) {
			print_error("byte %zu\n", i);
			fail();
		}
		log[i] ^= 1;
	}
	spit(r, "audit.jsonl", log, len);
	assert_int_equal(findings(r), 0);
}

/* Every length, from none to one byte less. Only the newline at the end may be missing unnoticed: nothing was said in it. */
static void test_cut(void **state)
{
	struct room *r = *state;
	size_t len = 0;
	ZT_FREE char *log = slurp(r, "audit.jsonl", &len);

	for (size_t i = 0; i + 1 < len; i++) {
		spit(r, "audit.jsonl", log, i);
		if (!findings(r)) {
			print_error("length %zu\n", i);
			fail();
		}
	}
}

static void test_removed_line(void **state)
{
	struct room *r = *state;
	size_t len = 0;
	ZT_FREE char *log = slurp(r, "audit.jsonl", &len);
	const char *second = strchr(log, '\n') + 1, *third = strchr(second, '\n') + 1;
	ZT_FREE char *without = zt_asprintf("%.*s%s", (int)(second - log), log, third);

	spit(r, "audit.jsonl", without, strlen(without));
	assert_true(findings(r) > 0);
	spit(r, "audit.jsonl", second, strlen(second));
	assert_true(findings(r) > 0);
}

/* Lines written after the log was cut do not hide the gap. */
static void test_cut_and_continued(void **state)
{
	struct room *r = *state;
	size_t len = 0;
	ZT_FREE char *log = slurp(r, "audit.jsonl", &len);
	const char *second = strchr(log, '\n') + 1;

	spit(r, "audit.jsonl", log, (size_t)(second - log));
	must_apply(r, 1004);
	must_apply(r, 1005);
	assert_true(findings(r) > 0);
}

/* A line that a crash cut off is ended by the next writer, and reported. */
static void test_torn(void **state)
{
	struct room *r = *state;
	size_t len = 0;
	ZT_FREE char *log = slurp(r, "audit.jsonl", &len);
	ZT_FREE char *torn = zt_asprintf("%s{\"n\":4,\"ti", log);

	spit(r, "audit.jsonl", torn, strlen(torn));
	assert_int_equal(zt_audit(&r->ctx, "test", 0, NULL, "", &r->d), 0);
	assert_true(findings(r) > 0);
}

/* The head may be one line behind: killed between the two writes. */
static void test_head_behind(void **state)
{
	struct room *r = *state;
	size_t len = 0;
	ZT_FREE char *head = slurp(r, "audit.head", &len);

	assert_int_equal(zt_audit(&r->ctx, "test", 0, NULL, "", &r->d), 0);
	spit(r, "audit.head", head, len);
	assert_int_equal(findings(r), 0);
	assert_int_equal(zt_audit(&r->ctx, "test", 0, NULL, "", &r->d), 0);
	assert_int_equal(findings(r), 0);
	spit(r, "audit.head", head, len);
	assert_true(findings(r) > 0);
}

/* What comes from outside stays on its line. */
static void test_hostile_detail(void **state)
{
	struct room *r = *state;

	assert_int_equal(zt_audit(&r->ctx, "test", 0, NULL, "a\n{\"n\":1}\n\"\\\033[31m\xc3\xa4", &r->d), 0);
	assert_int_equal(findings(r), 0);
}

static void test_generation(void **state)
{
	static const char *const files[] = {"policy.yaml", "ruleset.json", "image", "meta.json"};
	struct room *r = *state;

	for (size_t i = 0; i < ZT_ARRAY_SIZE(files); i++) {
		ZT_FREE char *name = zt_asprintf("generations/2/%s", files[i]);
		size_t len = 0;
		ZT_FREE char *text = slurp(r, name, &len);

		/* The state is what may change; its value alone is not covered. */
		const char *from = i == 3 ? strstr(text, "\"state\": ") + 9 : text,
			   *to = i == 3 ? strchr(from, '\n') : text;

		for (size_t at = 0; at < len; at += 7) {
			if (text + at >= from && text + at < to)
				continue;
			text[at] ^= 1;
			spit(r, name, text, len);
			if (!findings(r)) {
				print_error("%s: byte %zu\n", files[i], at);
				fail();
			}
			text[at] ^= 1;
		}
		spit(r, name, text, len);
	}
	assert_int_equal(findings(r), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_good, with_three, over),
		cmocka_unit_test_setup_teardown(test_changed_byte, with_three, over),
		cmocka_unit_test_setup_teardown(test_cut, with_three, over),
		cmocka_unit_test_setup_teardown(test_removed_line, with_three, over),
		cmocka_unit_test_setup_teardown(test_cut_and_continued, with_three, over),
		cmocka_unit_test_setup_teardown(test_torn, with_three, over),
		cmocka_unit_test_setup_teardown(test_head_behind, with_three, over),
		cmocka_unit_test_setup_teardown(test_hostile_detail, with_three, over),
		cmocka_unit_test_setup_teardown(test_generation, with_three, over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
