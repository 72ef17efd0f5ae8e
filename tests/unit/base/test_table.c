/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common.h"

#include "base/table.h"

static const struct zt_table_column columns[] = {{.title = "Rule", .min = 4, .flexible = true},
						 {.title = "From", .min = 4, .flexible = true},
						 {.title = "To", .min = 4, .flexible = true},
						 {.title = "Hits", .min = 4, .right = true}};

static struct zt_table *filled(void)
{
	struct zt_table *t = zt_table_new(columns, ZT_ARRAY_SIZE(columns));

	assert_non_null(t);
	assert_int_equal(zt_table_row(t, (const char *const[]){"web-to-redis", "web-user", "127.0.0.1:6379", "1,024"}),
			 0);
	assert_int_equal(zt_table_row(t, (const char *const[]){"default", NULL, "*", "7"}), 0);
	return t;
}

static unsigned columns_of(const char *s, size_t len)
{
	unsigned n = 0;

	for (size_t i = 0; i < len; i++)
		n += ((unsigned char)s[i] & 0xc0) != 0x80;
	return n;
}

/* Every line has the same width; returns it. */
static unsigned width_of(const char *text)
{
	unsigned width = 0;

	for (const char *p = text, *end; *p; p = end + 1) {
		end = strchr(p, '\n');
		assert_non_null(end);
		if (!width)
			width = columns_of(p, (size_t)(end - p));
		assert_int_equal(columns_of(p, (size_t)(end - p)), width);
	}
	return width;
}

static void as_in_the_reference(void **state)
{
	struct zt_table *t = filled();
	char *text = WRITTEN(f, assert_int_equal(zt_table_print(t, f, NULL, NULL, 0, 0, false), 0));

	(void)state;
	assert_string_equal(text, "+--------------------------------------------------+\n"
				  "| Rule         | From     | To             |  Hits |\n"
				  "|--------------|----------|----------------|-------|\n"
				  "| web-to-redis | web-user | 127.0.0.1:6379 | 1,024 |\n"
				  "| default      |          | *              |     7 |\n"
				  "+--------------------------------------------------+\n");
	free(text);
	zt_table_free(t);
}

static void every_width(void **state)
{
	static const char *const head[] = {"Policy: DEFAULT DENY",
					   "a line that is longer than any narrow table would ever like to be"};
	struct zt_table *t = filled();
	unsigned narrowest = 0;

	(void)state;
	assert_int_equal(
		zt_table_row(t,
			     (const char *const[]){
				     "\xc3\xa4\xc3\xb6\xc3\xbc-\xe2\x82\xac-a-rule-with-a-very-long-name-indeed",
				     "\xf0\x9f\x98\x80", "2001:db8:1111:2222:3333:4444:5555:6666/128 tcp", "1"}),
		0);
	for (unsigned w = 200; w >= 30; w--) {
		char *text = WRITTEN(f, assert_int_equal(zt_table_print(t, f, "zt-segment", head, 2, w, false), 0));
		unsigned got = width_of(text);

		if (got > w) /* no column can give any more */
			narrowest = narrowest ? narrowest : got;
		assert_true(got <= w || got == narrowest);
		free(text);
	}
	assert_true(narrowest < 60);
	zt_table_free(t);
}

static void what_is_cut_says_so(void **state)
{
	struct zt_table *t = filled();
	char *text = WRITTEN(f, assert_int_equal(zt_table_print(t, f, NULL, NULL, 0, 46, false), 0));

	(void)state;
	assert_int_equal(width_of(text), 46);
	assert_non_null(strstr(text, ".. |"));
	assert_non_null(strstr(text, "1,024 |")); /* a column that is not flexible keeps all of it */
	free(text);
	zt_table_free(t);
}

/* Into a pipe: whoever reads there looks for all of it. */
static void without_a_limit(void **state)
{
	struct zt_table *t = filled();
	char cell[400], *text;

	(void)state;
	memset(cell, 'x', sizeof(cell) - 1);
	cell[sizeof(cell) - 1] = '\0';
	assert_int_equal(zt_table_row(t, (const char *const[]){cell, cell, cell, "1"}), 0);
	text = WRITTEN(f, assert_int_equal(zt_table_print(t, f, "t", (const char *const[]){cell}, 1, 0, false), 0));
	assert_true(width_of(text) > 1200);
	assert_null(strstr(text, ".."));
	free(text);
	zt_table_free(t);
}

/* Of a path the end tells most; what is vital gives last. */
static void paths_and_vital_columns(void **state)
{
	const struct zt_table_column cols[] = {{.title = "Program", .flexible = true, .min = 11, .path = true},
					       {.title = "Where", .flexible = true, .vital = true}};
	struct zt_table *t = zt_table_new(cols, 2);
	char *text;

	(void)state;
	assert_int_equal(zt_table_row(t, (const char *const[]){"/usr/lib/\xc3\xa4/redis-server", "127.0.0.1:6379/tcp"}),
			 0);
	text = WRITTEN(f, assert_int_equal(zt_table_print(t, f, NULL, NULL, 0, 38, false), 0));
	assert_non_null(strstr(text, "| ..edis-server | 127.0.0.1:6379/tcp |"));
	free(text);
	text = WRITTEN(f, assert_int_equal(zt_table_print(t, f, NULL, NULL, 0, 30, false), 0));
	assert_non_null(strstr(text, "| ..is-server | 127.0.0.1:.. |"));
	free(text);
	zt_table_free(t);
}

static void hostile_cells(void **state)
{
	struct zt_table *t = filled();
	char *text;

	(void)state;
	assert_int_equal(zt_table_row(t, (const char *const[]){"\033[2Jx", "a\nb", "\xff", ""}), 0);
	text = WRITTEN(
		f, assert_int_equal(zt_table_print(t, f, "t", (const char *const[]){"\033[1mh\n"}, 1, 0, false), 0));
	assert_null(strchr(text, '\033'));
	assert_non_null(strstr(text, "\\x1b[2Jx"));
	(void)width_of(text);
	free(text);
	zt_table_free(t);
}

static void colours(void **state)
{
	struct zt_table *t = filled();
	char *plain, *colour;

	(void)state;
	assert_int_equal(zt_table_row(t, (const char *const[]){"deny", "DROP", "REJECT", "x"}), 0);
	plain = WRITTEN(f, assert_int_equal(zt_table_print(t, f, "title", NULL, 0, 0, false), 0));
	colour = WRITTEN(f, assert_int_equal(zt_table_print(t, f, "title", NULL, 0, 0, true), 0));
	assert_null(strchr(plain, '\033'));
	assert_non_null(strstr(colour, "\033[31mDROP"));
	assert_non_null(strstr(colour, "\033[31mREJECT"));
	assert_non_null(strstr(colour, "\033[1mtitle\033[0m"));
	free(plain);
	free(colour);
	zt_table_free(t);
}

static void limits(void **state)
{
	struct zt_table_column many[17] = {{.title = "x", .min = 1}};
	struct zt_table *t = NULL;

	(void)state;
	assert_null(zt_table_new(many, 17));
	assert_null(zt_table_new(many, 0));
	zt_table_free(NULL);
	zt_table_freep(&t);
	t = filled();
	zt_table_freep(&t);
	assert_null(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_in_the_reference),
		cmocka_unit_test(every_width),
		cmocka_unit_test(what_is_cut_says_so),
		cmocka_unit_test(without_a_limit),
		cmocka_unit_test(paths_and_vital_columns),
		cmocka_unit_test(hostile_cells),
		cmocka_unit_test(colours),
		cmocka_unit_test(limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
