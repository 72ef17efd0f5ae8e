/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "cli/cli.h"

static char message[256];

/* Words separated by blanks, after the program's name. */
static int parse(const char *line, struct zt_args *a)
{
	static char copy[512];
	struct zt_strbuf err = {0};
	char *argv[32] = {copy}, *save = NULL;
	int argc = 1, r;

	snprintf(copy, sizeof(copy), "zt-segment %s", line);
	(void)strtok_r(copy, " ", &save); /* the name itself */
	while ((argv[argc] = strtok_r(NULL, " ", &save)))
		argc++;
	memset(a, 0, sizeof(*a));
	r = zt_args_parse(argc, argv, a, &err);
	snprintf(message, sizeof(message), "%s", zt_strbuf_cstr(&err));
	zt_strbuf_done(&err);
	assert_true((r < 0) == (*message != 0)); /* a failure always says why */
	return r;
}

static void test_verbs_and_options(void **state)
{
	struct zt_args a;

	(void)state;
	assert_int_equal(parse("apply -fv --confirm=60s rules.yaml", &a), 0);
	assert_string_equal(a.verb->name, "apply");
	assert_non_null(a.value[ZT_OPT_FORCE]);
	assert_non_null(a.value[ZT_OPT_VERBOSE]);
	assert_string_equal(a.value[ZT_OPT_CONFIRM], "60s");
	assert_int_equal(a.n_pos, 1);
	assert_string_equal(a.pos[0], "rules.yaml");
	assert_int_equal(parse("-ojson --netns web status", &a), 0); /* options may stand before the verb */
	assert_string_equal(a.verb->name, "status");
	assert_string_equal(a.value[ZT_OPT_OUTPUT], "json");
	assert_string_equal(a.value[ZT_OPT_NETNS], "web");
	assert_int_equal(parse("check -", &a), 0);
	assert_string_equal(a.pos[0], "-");
	assert_int_equal(parse("check -- --odd", &a), 0);
	assert_string_equal(a.pos[0], "--odd");
}

static void test_reference_forms(void **state)
{
	struct zt_args a;

	(void)state;
	assert_int_equal(parse("--config ./rules.yaml", &a), 0);
	assert_string_equal(a.verb->name, "apply");
	assert_string_equal(a.value[ZT_OPT_CONFIG], "./rules.yaml");
	assert_int_equal(parse("--config ./rules.yaml --confirm 60s", &a), 0);
	assert_int_equal(parse("--status", &a), 0);
	assert_string_equal(a.verb->name, "status");
	assert_int_equal(parse("--status -o json", &a), 0);
	assert_int_equal(parse("--flush", &a), 0);
	assert_string_equal(a.verb->name, "flush");
	assert_int_equal(parse("--config=x check", &a), 0); /* the file of another verb */
	assert_string_equal(a.verb->name, "check");
	assert_int_equal(parse("--status --flush", &a), -EINVAL);
	assert_int_equal(parse("--status check", &a), -EINVAL);
}

static void test_nothing(void **state)
{
	struct zt_args a;

	(void)state;
	assert_int_equal(parse("", &a), 0);
	assert_null(a.verb);
	assert_int_equal(parse("--help", &a), 0);
	assert_non_null(a.value[ZT_OPT_HELP]);
	assert_int_equal(parse("plan --help", &a), 0);
	assert_string_equal(a.verb->name, "plan");
}

static void test_refused(void **state)
{
	static const struct {
		const char *line, *says;
	} bad[] = {
		{"frobnicate", "unknown command"},
		{"aply", "did you mean \"apply\"?"},
		{"status --wath", "did you mean \"--watch\"?"},
		{"status -Z", "-Z"},
		{"status --force", "no option \"--force\""},
		{"check a b", "one argument too many"},
		{"status x", "one argument too many"},
		{"apply --confirm", "argument is missing"},
		{"check -c", "argument is missing"},
		{"status --watch=yes", "takes no argument"},
		{"check --config a b", "two policy files"},
		{"-o xml status", "xml"},
		{"render -o json", "no JSON output"},
		{"apply --confirm 1s --confirm 2s", "given twice"},
		{"--", NULL},
		{"status --", NULL},
		{"--=", "unknown option"},
		{"check --config= x", "two policy files"},
	};
	struct zt_args a;

	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(bad); i++) {
		assert_int_equal(parse(bad[i].line, &a), bad[i].says ? -EINVAL : 0);
		if (bad[i].says && !strstr(message, bad[i].says))
			fail_msg("\"%s\" says \"%s\", not \"%s\"", bad[i].line, message, bad[i].says);
	}
}

static void test_hostile_words(void **state)
{
	struct zt_args a;

	(void)state;
	assert_int_equal(parse("\033[31m\a", &a), -EINVAL);
	assert_null(strchr(message, '\033'));
	assert_null(strchr(message, '\a'));
}

/* ---- the table itself ---- */

static void test_table(void **state)
{
	bool used[ZT_OPT_COUNT] = {0};

	(void)state;
	for (size_t i = 0; i < ZT_OPT_COUNT; i++) {
		assert_non_null(zt_options[i].name);
		assert_non_null(zt_options[i].doc);
		assert_true(zt_options[i].complete != ZT_COMPLETE_WORDS || zt_options[i].words);
		for (size_t k = 0; k < i; k++) {
			assert_string_not_equal(zt_options[i].name, zt_options[k].name);
			assert_true(!zt_options[i].letter || zt_options[i].letter != zt_options[k].letter);
		}
		used[i] = zt_options[i].global || i == ZT_OPT_STATUS || i == ZT_OPT_FLUSH;
	}
	for (size_t i = 0; i < zt_n_verbs; i++) {
		const struct zt_verb *v = &zt_verbs[i];

		assert_non_null(v->run);
		assert_true(strlen(v->name) <= 11 && strlen(v->summary) <= 60);
		assert_non_null(v->help);
		assert_non_null(v->example);
		assert_true(strstr(v->example, v->name));
		assert_non_null(v->exits[0].text);
		assert_true(!(v->flags & ZT_VERB_POLICY) || zt_verb_takes(v, ZT_OPT_CONFIG));
		assert_true((*v->args != 0) == (v->max_args > 0));
		for (unsigned k = 0; k < v->n_opts; k++)
			used[v->opts[k].opt] = true;
		assert_true(v->n_opts == ZT_ARRAY_SIZE(v->opts) ||
			    v->opts[v->n_opts].opt == 0); /* n_opts counts them all */
		assert_ptr_equal(zt_verb_by_name(v->name), v);
	}
	for (size_t i = 0; i < ZT_OPT_COUNT; i++)
		if (!used[i])
			fail_msg("no verb takes --%s", zt_options[i].name);
}

static char *printed(void (*print)(FILE *, const void *), const void *arg)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	assert_non_null(f);
	print(f, arg);
	assert_int_equal(fclose(f), 0);
	return text;
}

static void help_of(FILE *f, const void *v)
{
	if (v)
		zt_help_verb(f, v);
	else
		zt_help_short(f);
}

static void completion_of(FILE *f, const void *shell)
{
	assert_int_equal(zt_completion_print(f, shell), 0);
}

static void man_of(FILE *f, const void *arg)
{
	(void)arg;
	zt_man_print(f);
}

static void assert_fits(const char *text)
{
	for (const char *p = text; *p;) {
		size_t n = strcspn(p, "\n");

		if (n > 80)
			fail_msg("too long: %.*s", (int)n, p);
		p += n + (p[n] == '\n');
	}
}

static void test_help(void **state)
{
	char *all = printed(help_of, NULL);

	(void)state;
	assert_fits(all);
	for (size_t i = 0; i < zt_n_verbs; i++) {
		char *text = printed(help_of, &zt_verbs[i]);

		assert_fits(text);
		for (unsigned k = 0; k < zt_verbs[i].n_opts; k++)
			assert_non_null(strstr(text, zt_options[zt_verbs[i].opts[k].opt].name));
		assert_true((strstr(all, zt_verbs[i].summary) != NULL) == !(zt_verbs[i].flags & ZT_VERB_HIDDEN));
		free(text);
	}
	free(all);
}

static void test_generated(void **state)
{
	static const char *const shells[] = {"bash", "zsh", "fish"};

	(void)state;
	for (size_t k = 0; k < ZT_ARRAY_SIZE(shells) + 1; k++) {
		char *text = k < ZT_ARRAY_SIZE(shells) ? printed(completion_of, shells[k]) : printed(man_of, NULL);

		for (size_t i = 0; i < zt_n_verbs; i++)
			assert_non_null(strstr(text, zt_verbs[i].name));
		for (size_t i = 0; i < ZT_OPT_COUNT; i++)
			assert_non_null(strstr(text, zt_options[i].name));
		free(text);
	}
	assert_int_equal(zt_completion_print(stdout, "tcsh"), -EINVAL);
	assert_int_equal(zt_completion_print(stdout, ""), -EINVAL);
}

/* Help and completions of --kind name each kind. */
static void test_kinds(void **state)
{
	const struct zt_option *o = &zt_options[ZT_OPT_KIND];

	(void)state;
	for (unsigned k = 0; k < ZT_ACTIVITY_KINDS; k++) {
		const char *name = zt_activity_info(k)->name, *word = o->words;

		while (word && strcmp(name, "") &&
		       (strncmp(word, name, strlen(name)) || !strchr(" ", word[strlen(name)])))
			word = strchr(word, ' ') ? strchr(word, ' ') + 1 : NULL;
		if (!word || !strstr(o->doc, name))
			fail_msg("--kind does not name %s", name);
	}
}

/* Codes are stable and each has one meaning. */
static void test_codes(void **state)
{
	(void)state;
	for (size_t i = 0; i < zt_code_count(); i++) {
		const char *title, *other, *text;
		unsigned code, again;

		zt_code_at(i, &code, &title);
		assert_in_range(code, 1000, 5999);
		assert_true(zt_code_find(code, &other, &text));
		if (strlen(text) < 20)
			fail_msg("code %u is not explained", code);
		for (size_t k = 0; k < i; k++) {
			zt_code_at(k, &again, &other);
			if (again == code)
				fail_msg("code %u twice: \"%s\" and \"%s\"", code, other, title);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verbs_and_options),
		cmocka_unit_test(test_reference_forms),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_hostile_words),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_generated),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
