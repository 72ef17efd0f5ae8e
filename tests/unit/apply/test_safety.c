/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who am I, and would this policy cut me off? */
#include "common.h"

#include <sys/wait.h>

static struct zt_ruleset *compile(const char *text)
{
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
	ZT_CLEANUP(zt_u32_ranges_done) struct zt_u32_ranges ssh = {0};
	struct zt_compile_options o = {.instance = "default", .ssh_ports = &ssh};
	struct zt_ruleset *rs = NULL;

	assert_int_equal(zt_u32_ranges_add(&ssh, 22, 22), 0);
	assert_int_equal(zt_policy_parse("t", text, strlen(text),
					 &(struct zt_policy_options){.allow_unsafe_file = true}, &p, NULL),
			 0);
	assert_int_equal(zt_ruleset_compile(p, &o, &rs, NULL), 0);
	return rs;
}

static int check(struct room *r, const char *connection, const char *text)
{
	struct zt_ruleset *rs = compile(text);
	int e;

	room_forget(r);
	assert_int_equal(connection ? setenv("SSH_CONNECTION", connection, 1) : unsetenv("SSH_CONNECTION"), 0);
	e = zt_safety_check(&r->ctx, rs, &r->d);
	zt_ruleset_free(rs);
	return e;
}

#define V "version: \"1.0\"\n"
#define NO_SSH V "settings: {preserve_ssh: false}\nrules:\n"
#define RULE "  - {name: x, direction: ingress, from: {host: 192.0.2.0/24}, to: {port: 22, protocol: tcp}, action: "
#define ANY "  - {name: y, from: {user: \"*\"}, to: {port: 53, protocol: both}, action: allow}\n"

static void test_ssh(void **state)
{
	static const char here[] = "192.0.2.7 50000 192.0.2.1 22", six[] = "fe80::7%eth0 50000 fe80::1%eth0 22";
	struct room r;

	(void)state;
	room_open(&r); /* its --netns has no resolver: only SSH is judged */
	assert_int_equal(check(&r, here, V "rules:\n" ANY), 0);
	assert_int_equal(check(&r, here, NO_SSH ANY), -EPERM);
	assert_true(room_said(&r, 4101));
	assert_int_equal(check(&r, here, NO_SSH RULE "allow}\n"), 0);
	assert_int_equal(check(&r, "198.51.100.7 50000 192.0.2.1 22", NO_SSH RULE "allow}\n"), -EPERM);
	assert_int_equal(check(&r, "192.0.2.7 50000 192.0.2.1 2222", NO_SSH RULE "allow}\n"), -EPERM);
	assert_int_equal(check(&r, six, NO_SSH RULE "allow}\n"), -EPERM);
	assert_int_equal(check(&r, six, V "rules:\n" ANY), 0);
	/* Nobody to cut off, or nothing that says so. */
	assert_int_equal(check(&r, NULL, NO_SSH ANY), 0);
	assert_int_equal(check(&r, "nonsense", NO_SSH ANY), 0);
	assert_int_equal(check(&r, "127.0.0.1 50000 127.0.0.1 22", NO_SSH ANY), 0);
	room_close(&r);
}

/* A shell in a session starts a process whose environment was emptied, as sudo does: its parents are asked. */
static void test_session(void **state)
{
	static const char connection[] = "192.0.2.7 50000 192.0.2.1 22";
	char mine[128];
	pid_t pid;
	int status;

	(void)state;
	assert_int_equal(setenv("SSH_CONNECTION", connection, 1), 0);
	assert_true(zt_session(mine));
	assert_string_equal(mine, connection);
	{
		ZT_FREE char *from = zt_where_from();

		assert_string_equal(from, "192.0.2.7 (ssh)");
	}
	/* The environment in /proc is the one a program was started with: start this one anew in the session. */
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		(void)execl("/proc/self/exe", "test", "outer", (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int outer(void)
{
	char mine[128] = "";
	int status = 1;
	pid_t pid = fork();

	if (!pid) {
		(void)unsetenv("SSH_CONNECTION");
		_exit(!zt_session(mine) || strcmp(mine, "192.0.2.7 50000 192.0.2.1 22") != 0);
	}
	return pid < 0 || waitpid(pid, &status, 0) != pid || status;
}

static void test_who(void **state)
{
	(void)state;
	assert_int_equal(setenv("SUDO_USER", "alice", 1), 0);
	{
		ZT_FREE char *who = zt_who_am_i();

		assert_non_null(strstr(who, " via sudo"));
	}
	assert_int_equal(unsetenv("SUDO_USER"), 0);
	{
		ZT_FREE char *who = zt_who_am_i();

		assert_null(strstr(who, "sudo"));
		assert_true(*who);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_ssh), cmocka_unit_test(test_session),
					   cmocka_unit_test(test_who)};

	if (argc > 1 && !strcmp(argv[1], "outer"))
		return outer();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
