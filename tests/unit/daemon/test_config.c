/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
/* after the above */
#include <cmocka.h>
#include <sys/stat.h>

#include "base/file.h"
#include "daemon/config.h"

static int parse(const char *text, struct zt_daemon_config *ret, size_t *ret_errors)
{
	struct zt_diags d = {0};
	int r = zt_daemon_config_parse("daemon.yaml", text, strlen(text), ret, &d);

	assert_true(r == 0 || d.errors);
	*ret_errors = d.errors;
	zt_diags_done(&d);
	return r;
}

static void test_defaults(void **state)
{
	struct zt_daemon_config c, e;
	size_t n;

	(void)state;
	zt_daemon_config_default(&c);
	assert_true(c.drift);
	assert_int_equal(c.heals_per_minute, 5);
	assert_true(c.follow_policy);
	assert_int_equal(c.refresh_every, 60 * ZT_USEC_PER_SEC);
	assert_int_equal(c.clients, 16);
	assert_true(c.failed_opens);
	for (size_t i = 0; i < zt_n_config_keys; i++) { /* every default of the table is a value of its key */
		char line[128];

		snprintf(line, sizeof(line), "%s: %s\n", zt_config_keys[i].name, zt_config_keys[i].def);
		assert_int_equal(parse(line, &e, &n), 0);
		zt_daemon_config_done(&e);
	}
	assert_int_equal(parse("", &e, &n), 0);
	assert_int_equal(e.clients, c.clients);
	assert_int_equal(e.drift, c.drift);
}

static void test_values(void **state)
{
	struct zt_daemon_config c;
	size_t n;

	(void)state;
	assert_int_equal(
		parse("drift: alert\nheals_per_minute: 1\nfollow_policy: false\nrefresh_every: 0s\nclients: 64\n", &c,
		      &n),
		0);
	assert_false(c.drift);
	assert_int_equal(c.heals_per_minute, 1);
	assert_false(c.follow_policy);
	assert_int_equal(c.refresh_every, 0);
	assert_int_equal(c.clients, 64);
	assert_int_equal(parse("failed_opens: no", &c, &n), 0);
	assert_false(c.failed_opens);
	assert_int_equal(parse("follow_policy: no", &c, &n), 0);
	assert_false(c.follow_policy);
	assert_int_equal(parse("follow_policy: true", &c, &n), 0);
	assert_true(c.follow_policy);
}

static void test_refused(void **state)
{
	struct zt_daemon_config c = {.clients = 4711};
	size_t n;

	(void)state;
	assert_int_equal(
		parse("drift: maybe\nclients: 3\nrefresh_every: 2d\nnothing: 1\nheals_per_minute: [1]\n", &c, &n),
		-EINVAL);
	assert_int_equal(n, 5); /* all of them in one run */
	assert_int_equal(parse("- drift\n", &c, &n), -EINVAL);
	assert_int_equal(parse("drift: heal\ndrift: alert\n", &c, &n), -EINVAL);
	assert_int_equal(c.clients, 4711); /* untouched */
}

/* What is kept for less than a while is refused, with the least that is taken. */
static void test_minimum(void **state)
{
	static const char *const few[] = {"keep_events: 0s\n", "keep_events: 59m\n", "keep_flows: 23h\n"};
	struct zt_daemon_config c;
	struct zt_diags d = {0};
	size_t n;

	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(few); i++)
		assert_int_equal(parse(few[i], &c, &n), -EINVAL);
	assert_int_equal(parse("keep_events: 1h\nkeep_flows: 1d\n", &c, &n), 0);
	assert_int_equal(c.keep_events, 3600 * ZT_USEC_PER_SEC);
	assert_int_equal(zt_daemon_config_parse("daemon.yaml", few[0], strlen(few[0]), &c, &d), -EINVAL);
	assert_non_null(strstr(d.items[0].hint, "at least 1h"));
	zt_diags_done(&d);
}

static size_t count(const struct zt_daemon_config *c)
{
	size_t n = 0;

	while (c->sensitive_files[n])
		n++;
	return n;
}

static void test_patterns(void **state)
{
	static const char *const wrong[] = {"[default, keys]", "{a: b}", "[[/a]]", "''",
					    "[default, default, default, default, default, default, default]"};
	struct zt_daemon_config c = {0};
	size_t n, built_in;

	(void)state;
	assert_int_equal(parse("clients: 5\n", &c, &n), 0);
	assert_null(c.sensitive_files);
	assert_int_equal(parse("sensitive_files: default\n", &c, &n), 0);
	built_in = count(&c);
	assert_true(built_in > 8);
	assert_string_equal(c.sensitive_files[0], "/etc/shadow");
	zt_daemon_config_done(&c);
	assert_int_equal(parse("sensitive_files:\n- /srv/keys/*\n- default\n", &c, &n), 0);
	assert_int_equal(count(&c), built_in + 1);
	assert_string_equal(c.sensitive_files[0], "/srv/keys/*");
	zt_daemon_config_done(&c);
	assert_int_equal(parse("sensitive_files: []\n", &c, &n), 0);
	assert_int_equal(count(&c), 0);
	zt_daemon_config_done(&c);
	for (size_t i = 0; i < ZT_ARRAY_SIZE(wrong); i++) {
		char line[128];

		snprintf(line, sizeof(line), "sensitive_files: %s\n", wrong[i]);
		assert_int_equal(parse(line, &c, &n), -EINVAL);
		assert_int_equal(n, 1);
		assert_null(c.sensitive_files);
	}
}

static void test_file(void **state)
{
	char path[] = "/tmp/zt-config-XXXXXX";
	int fd = mkstemp(path);
	struct zt_daemon_config c;
	struct zt_diags d = {0};

	(void)state;
	assert_int_equal(write(fd, "clients: 5\n", 11), 11);
	assert_int_equal(zt_daemon_config_load(path, true, &c, &d), 0);
	assert_int_equal(c.clients, 5);
	assert_int_equal(fchmod(fd, 0622), 0);
	assert_int_equal(zt_daemon_config_load(path, true, &c, &d), -EPERM);
	close(fd);
	unlink(path);
	assert_int_equal(zt_daemon_config_load(path, false, &c, &d), 0);
	assert_int_equal(c.clients, 16);
	assert_int_equal(zt_daemon_config_load(path, true, &c, &d), -ENOENT);
	zt_diags_done(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_values),	  cmocka_unit_test(test_refused),
		cmocka_unit_test(test_minimum),	 cmocka_unit_test(test_patterns), cmocka_unit_test(test_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
