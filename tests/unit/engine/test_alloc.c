/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every allocation fails once: format, load, compile, warnings, both engines' lowering, text, JSON, copies and differences, each run in
 * a process of its own, until a run has no Nth allocation. A failure is an error (-ENOMEM) without crash or leak; a success
 * is the very ruleset that an undisturbed run gives.
 */
#include "../base/common.h"

#include <jansson.h>
#include <sys/wait.h>

#include "engine/engine.h"

int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

enum { FAILED = 10, SAME = 11, LEAKED = 13, OTHER = 14, WRONG = 15 };

static const char text[] =
	"version: \"1.0\"\nsettings: {block: drop}\nsets: {lan: {addresses: [10.0.0.0/8, \"fd00::/8\"]}, mail: {ports: [465, 993-995]}}\n"
	"identities: {web: {user: web-user}, db: {uid: 5-7, gid: 9}}\nrules:\n"
	"  - {name: a, from: {identity: [web, db]}, to: {host: \"@lan\", port: \"@mail\"}, action: allow, schedule: {days: mon-fri}}\n"
	"  - {name: b, from: {host: [localhost, 10.0.0.7]}, to: {port: 22}, action: deny, log: true}\n"
	"  - {name: c, from: {user: \"*\"}, to: {protocol: icmp}, action: observe, expires: 2036-01-01}\n"
	"  - {name: d, from: {uid: 5}, action: allow, priority: 7} # overlaps\n"
	"tests: [{name: t, from: {user: web-user}, to: {host: 10.1.1.1, port: 465}, expect: allow}]\n";

static int lowered(const struct zt_engine *e, const struct zt_ruleset *rs)
{
	ZT_STRBUF struct zt_strbuf out = {0};
	struct zt_image *img = NULL;
	struct zt_diags d = {0};
	int r = e->lower(rs, &img, &d);

	if (!r)
		r = e->image_text(img, &out);
	e->image_free(img);
	zt_diags_done(&d);
	return r;
}

static int written(const struct zt_ruleset *rs)
{
	ZT_STRBUF struct zt_strbuf out = {0};
	struct zt_ruleset *copy = NULL;
	struct zt_diff diff = {0};
	struct zt_diags d = {0};
	int r = zt_ruleset_json_text(rs, &out) ?: zt_ruleset_dup(rs, &copy) ?: zt_ruleset_lint(rs, "/nonexistent", &d);

	if (!r)
		r = zt_ruleset_diff(rs, copy, &diff);
	if (!r && !zt_diff_empty(&diff))
		r = -EBADE; /* never */
	zt_diff_done(&diff);
	zt_ruleset_free(copy);
	zt_diags_done(&d);
	return r;
}

static int whole(char hash[static 65])
{
	struct zt_policy_options o = {.root = getenv("ZT_TEST_ROOT"), .allow_unsafe_file = true};
	struct zt_compile_options co = {.offline = true};
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	ZT_STRBUF struct zt_strbuf formatted = {0};
	struct zt_diags d = {0};
	int r = zt_policy_format("t.yaml", text, sizeof(text) - 1, &formatted, &d);

	r = r ?: zt_policy_parse("t.yaml", text, sizeof(text) - 1, &o, &p, &d) ?: zt_ruleset_compile(p, &co, &rs, &d);
	if (r == -EINVAL && !d.errors)
		r = -EBADE; /* an error without a word */
	zt_diags_done(&d);
	r = r ?: lowered(&zt_engine_nft, rs) ?: lowered(&zt_engine_iptables, rs) ?: written(rs);
	if (!r)
		memcpy(hash, rs->hash, 65);
	return r;
}

static int child(unsigned n, const char *want)
{
	char number[16], hash[65] = "";
	int r;

	(void)snprintf(number, sizeof(number), "%u", n);
	if (setenv("ZT_FAIL_ALLOC", number, 1) < 0)
		return OTHER;
	r = whole(hash);
	if (unsetenv("ZT_FAIL_ALLOC") < 0 || (&__lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check()))
		return LEAKED;
	if (r && r != -ENOMEM)
		(void)fprintf(stderr, "result %d\n", r);
	if (r)
		return r == -ENOMEM ? FAILED : OTHER;
	return strcmp(hash, want) ? WRONG : SAME;
}

static void each_allocation(void **state)
{
	char want[65];
	const bool each = getenv("ZT_EACH");
	unsigned failed = 0, same = 0, in_a_row = 0, n;

	(void)state;
	assert_int_equal(whole(want), 0);
	/* A hint that could not be made is no failure; twenty in a row is the end. Beyond the first forty every thirteenth, or each with ZT_EACH=1 (and fifty then). */
	for (n = 1; in_a_row < (each ? 50U : 20U); n += 40 < n && !each ? 13 : 1) {
		pid_t pid = fork();
		int status;

		assert_true(pid >= 0);
		if (!pid)
			_exit(child(n, want));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFEXITED(status) || (WEXITSTATUS(status) != FAILED && WEXITSTATUS(status) != SAME))
			fail_msg("allocation %u: status %x", n, (unsigned)status);
		failed += WEXITSTATUS(status) == FAILED;
		same += WEXITSTATUS(status) == SAME;
		in_a_row = WEXITSTATUS(status) == SAME ? in_a_row + 1 : 0;
	}
	print_message("up to allocation %u: %u failed, %u without effect\n", n, failed, same - in_a_row);
	assert_true(failed > 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(each_allocation)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
