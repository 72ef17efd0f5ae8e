/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common.h"

#include "base/mem.h"

struct pair {
	uint64_t a, b;
};

static void nothing_is_something(void **state)
{
	void *p = zt_malloc(0), *q = zt_calloc(0, 8), *s;

	(void)state;
	assert_non_null(p);
	assert_non_null(q);
	s = zt_realloc(p, 0);
	assert_non_null(s);
	free(s);
	free(q);
}

static void products_do_not_wrap(void **state)
{
	size_t cap = SIZE_MAX / 8;
	struct pair *items = NULL;

	(void)state;
	assert_null(zt_calloc(SIZE_MAX / 2, 4));
	assert_int_equal(zt_grow(items, cap, cap), -ENOMEM);
	assert_null(items);
	assert_int_equal(cap, SIZE_MAX / 8);
}

static void strings(void **state)
{
	char *s = zt_strndup("abcdef", 3), *whole = zt_strndup("ab", 100), *f = zt_asprintf("%s-%d", "x", 7);
	const char unterminated[2] = {'y', 'z'};
	char *z = zt_strndup(unterminated, 2);

	(void)state;
	assert_string_equal(s, "abc");
	assert_string_equal(whole, "ab");
	assert_string_equal(f, "x-7");
	assert_string_equal(z, "yz");
	free(s);
	free(whole);
	free(f);
	free(z);
}

static void growing_keeps_what_is_there(void **state)
{
	struct pair *v = NULL;
	size_t cap = 0, moved = 0;

	(void)state;
	for (size_t n = 0; n < 1000; n++) {
		size_t before = cap;

		assert_int_equal(zt_grow(v, cap, n), 0);
		assert_true(cap > n);
		moved += cap != before;
		v[n] = (struct pair){n, n * n};
	}
	assert_true(moved < 12); /* doubles: linear growth would move a hundred times */
	for (size_t i = 0; i < 1000; i++)
		assert_true(v[i].a == i && v[i].b == i * i);
	free(v);
}

static void hand_over(void **state)
{
	char *p = zt_strdup("x"), *q = ZT_TAKE(p);
	int fd = 5, taken = ZT_TAKE_FD(fd), none = -1;

	(void)state;
	assert_null(p);
	assert_string_equal(q, "x");
	assert_int_equal(fd, -1);
	assert_int_equal(taken, 5);
	zt_freep(&q);
	assert_null(q);
	zt_freep(&q);
	errno = E2BIG;
	zt_closep(&none);
	assert_int_equal(errno, E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_something),
		cmocka_unit_test(products_do_not_wrap),
		cmocka_unit_test(strings),
		cmocka_unit_test(growing_keeps_what_is_there),
		cmocka_unit_test(hand_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
