/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common.h"

#include "base/diag.h"

static void one_as_printed(void **state)
{
	struct zt_diags d = {0};
	char name[] = "rules.yaml", *text;
	struct zt_span span = {.file = name, .line = 12, .col = 7, .len = 4};

	(void)state;
	assert_int_equal(zt_diag(&d, ZT_ERROR, 1107, &span, "unknown key \"%s\"", "potr"), -EINVAL);
	zt_diag_source(&d, "      potr: 6379   # no more", 16);
	zt_diag_hint(&d, "did you mean \"%s\"?", "prt");
	zt_diag_hint(&d, "did you mean \"%s\"?", "port"); /* the last one counts */
	memset(name, 'x', sizeof(name) - 1);		  /* names are kept by the list */
	text = WRITTEN(f, zt_diags_print(&d, f, false));
	assert_string_equal(text, "rules.yaml:12:7: error: unknown key \"potr\" [ZT1107]\n"
				  "   12 |       potr: 6379\n"
				  "      |       ^~~~\n"
				  "hint: did you mean \"port\"?\n");
	free(text);
	zt_diags_done(&d);
}

static void colours_only_when_wanted(void **state)
{
	struct zt_diags d = {0};
	char *plain, *colour;

	(void)state;
	assert_int_equal(zt_diag(&d, ZT_WARNING, 0, NULL, "w"), 0);
	assert_int_equal(zt_diag(&d, ZT_NOTE, 0, &(struct zt_span){.file = "f"}, "n"), 0);
	plain = WRITTEN(f, zt_diags_print(&d, f, false));
	colour = WRITTEN(f, zt_diags_print(&d, f, true));
	assert_string_equal(plain, "warning: w\nf: note: n\n");
	assert_non_null(strstr(colour, "\033[1;33mwarning:\033[0m w"));
	assert_int_equal(d.errors, 0);
	assert_int_equal(d.warnings, 1);
	free(plain);
	free(colour);
	zt_diags_done(&d);
}

static void hostile_source_lines(void **state)
{
	struct zt_diags d = {0};
	struct zt_span span = {.file = "f", .line = 1, .col = 3, .len = 400},
		       zero = {.file = "f", .line = 2, .col = 0, .len = 9};
	char *text;

	(void)state;
	(void)zt_diag(&d, ZT_ERROR, 1, &span, "m");
	zt_diag_source(&d, "a\tb\033[2J", 7);
	(void)zt_diag(&d, ZT_ERROR, 1, &zero, "m");
	zt_diag_source(&d, "", 0);
	text = WRITTEN(f, zt_diags_print(&d, f, false));
	assert_null(strchr(text, '\033'));
	assert_null(strchr(text, '\t'));
	assert_non_null(strstr(text, "1 | a b?[2J\n      |   ^~~~~\n")); /* the mark ends with the line */
	free(text);
	zt_diags_done(&d);
}

static void a_flood_is_counted(void **state)
{
	struct zt_diags d = {.max = 3};
	char *text;

	(void)state;
	for (int i = 0; i < 10; i++) {
		assert_int_equal(zt_diag(&d, i % 2 ? ZT_ERROR : ZT_WARNING, 1, NULL, "m%d", i), i % 2 ? -EINVAL : 0);
		zt_diag_hint(&d, "h%d", i); /* of one that was suppressed: goes nowhere */
	}
	assert_int_equal(d.n, 3);
	assert_int_equal(d.errors, 5);
	assert_int_equal(d.warnings, 5);
	assert_int_equal(d.suppressed, 7);
	assert_string_equal(d.items[2].hint, "h2");
	text = WRITTEN(f, zt_diags_print(&d, f, false));
	assert_non_null(strstr(text, "... and 7 more\n"));
	free(text);
	zt_diags_done(&d);
}

static void without_a_list(void **state)
{
	(void)state;
	assert_int_equal(zt_diag(NULL, ZT_ERROR, 1, NULL, "m"), -EINVAL);
	assert_int_equal(zt_diag(NULL, ZT_WARNING, 1, NULL, "m"), 0);
	zt_diag_hint(NULL, "h");
	zt_diag_source(NULL, "s", 1);
	assert_int_equal(zt_diag_errno(NULL, 1, -EIO, "w"), -EIO);
}

static void errors_of_the_system(void **state)
{
	struct zt_diags d = {0};

	(void)state;
	assert_int_equal(zt_diag_errno(&d, 4001, -ENOENT, "cannot open %s", "x"), -ENOENT);
	assert_string_equal(d.items[0].message, "cannot open x: No such file or directory");
	assert_int_equal(d.items[0].code, 4001);
	assert_ptr_equal(zt_diags_intern(&d, "same"), zt_diags_intern(&d, "same"));
	zt_diags_done(&d);
	assert_int_equal(d.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_as_printed),	cmocka_unit_test(colours_only_when_wanted),
		cmocka_unit_test(hostile_source_lines), cmocka_unit_test(a_flood_is_counted),
		cmocka_unit_test(without_a_list),	cmocka_unit_test(errors_of_the_system),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
