/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common.h"

static void spoil(struct room *r, unsigned generation, const char *file)
{
	ZT_FREE char *name = zt_asprintf("generations/%u/%s", generation, file);
	size_t len = 0;
	ZT_FREE char *text = slurp(r, name, &len);

	text[len / 2] ^= 4;
	spit(r, name, text, len);
}

/* The kernel forgets at a reboot. */
static uint64_t boot(struct room *r)
{
	uint64_t generation = 99;

	zt_memory_reset();
	assert_int_equal(r->ctx.engine->flush("default", NULL), 0);
	room_forget(r);
	assert_int_equal(zt_restore(&r->ctx, &generation, &r->d), 0);
	return generation;
}

static void test_current(void **state)
{
	struct room r;

	(void)state;
	room_open(&r);
	must_apply(&r, 1001);
	must_apply(&r, 1002);
	assert_int_equal(boot(&r), 2);
	assert_int_equal(enforced_uid(&r), 1002);
	assert_settled(&r);
	room_close(&r);
}

static void test_nothing(void **state)
{
	struct room r;
	uint64_t generation;

	(void)state;
	room_open(&r);
	assert_int_equal(zt_restore(&r.ctx, &generation, &r.d), -ENOENT);
	must_apply(&r, 1001);
	assert_int_equal(zt_flush(&r.ctx, &r.d), 0);
	assert_int_equal(zt_restore(&r.ctx, &generation, &r.d), -ENOENT);
	assert_int_equal(enforced_uid(&r), 0);
	room_close(&r);
}

static void test_pending(void **state)
{
	struct zt_apply_result result;
	ZT_FREE char *now = NULL;
	struct room r;

	(void)state;
	room_open(&r);
	must_apply(&r, 1001);
	assert_int_equal(apply_uid(&r, 1002, &(struct zt_apply_options){.confirm = 3600 * ZT_USEC_PER_SEC}, &result),
			 0);
	assert_int_equal(result.outcome, ZT_APPLY_PENDING);
	assert_int_equal(boot(&r), 1);
	assert_int_equal(enforced_uid(&r), 1001);
	now = states(&r);
	assert_string_equal(now, "1:confirmed 2:rolled-back");
	assert_settled(&r);
	room_close(&r);
}

static void test_fallback(void **state)
{
	static const char *const files[] = {"image", "ruleset.json", "policy.yaml", "meta.json"};

	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(files); i++) {
		struct room r;

		room_open(&r);
		must_apply(&r, 1001);
		must_apply(&r, 1002);
		must_apply(&r, 1003);
		spoil(&r, 3, files[i]);
		/* A byte of meta.json may be one that restoring does not need. */
		if (boot(&r) != 3 || i != 3) {
			assert_int_equal(enforced_uid(&r), 1002);
			assert_int_equal(boot(&r), 2);
		}
		room_close(&r);
	}
}

static void test_emergency(void **state)
{
	struct zt_ruleset *rs = NULL;
	struct zt_decision d;
	struct zt_flow ssh = {.dir = ZT_DIR_INGRESS, .proto = 6, .port = 22};
	struct zt_flow other = {.dir = ZT_DIR_EGRESS, .owned = true, .proto = 6, .port = 443, .uid = 1001};
	struct room r;

	(void)state;
	assert_int_equal(zt_addr_parse("192.0.2.7", &ssh.src), 0);
	assert_int_equal(zt_addr_parse("192.0.2.1", &ssh.dst), 0);
	other.src = ssh.dst;
	other.dst = ssh.src;
	room_open(&r);
	must_apply(&r, 1001);
	must_apply(&r, 1002);
	spoil(&r, 1, "image");
	spoil(&r, 2, "image");
	assert_int_equal(boot(&r), 0);
	assert_int_equal(enforced_uid(&r), EMERGENCY);
	assert_int_equal(r.ctx.engine->raise("default", &rs, NULL), 0);
	assert_true(rs->ssh_ports.n > 0);
	ssh.port = (uint16_t)rs->ssh_ports.v[0].lo;
	zt_oracle_decide(rs, &ssh, &d);
	assert_int_equal(d.verdict, ZT_ALLOW);
	zt_oracle_decide(rs, &other, &d);
	assert_true(d.verdict == ZT_DROP || d.verdict == ZT_REJECT);
	other.proto = 17;
	other.port = 53;
	zt_oracle_decide(rs, &other, &d);
	assert_int_equal(d.verdict, ZT_ALLOW);
	zt_ruleset_free(rs);
	room_close(&r);
}

/* Without its record the newest that was ever confirmed counts. */
static void test_no_record(void **state)
{
	struct zt_apply_result result;
	struct room r;
	ZT_FREE char *current = NULL;

	(void)state;
	room_open(&r);
	must_apply(&r, 1001);
	must_apply(&r, 1002);
	assert_int_equal(apply_uid(&r, 1003, &(struct zt_apply_options){.confirm = 3600 * ZT_USEC_PER_SEC}, &result),
			 0);
	current = room_path(&r, "current");
	assert_int_equal(unlink(current), 0);
	assert_int_equal(boot(&r), 2);
	spit(&r, "current", "{", 1);
	assert_int_equal(boot(&r), 2);
	assert_int_equal(enforced_uid(&r), 1002);
	room_close(&r);
}

static void must_apply_unix(struct room *r, const char *setting)
{
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	ZT_CLEANUP(zt_u32_ranges_done) struct zt_u32_ranges ssh = {0};
	struct zt_compile_options o = {.instance = r->ctx.instance, .ssh_ports = &ssh, .labels = true};
	struct zt_apply_result result = {0};
	ZT_FREE char *text = zt_asprintf(
		"version: \"1.0\"\nsettings: {unix: %s}\nrules:\n"
		"  - {name: sock, from: {uid: 1003}, to: {unix: /run/s, uid: 1004}, action: allow}\n"
		"  - {name: only, from: {uid: 1002}, to: {host: 192.0.2.1, port: 443, protocol: tcp}, action: allow}\n",
		setting);

	assert_int_equal(zt_policy_parse("test.yaml", text, strlen(text),
					 &(struct zt_policy_options){.allow_unsafe_file = true}, &p, NULL),
			 0);
	assert_int_equal(zt_ssh_ports(NULL, &ssh), 0);
	assert_int_equal(zt_ruleset_compile(p, &o, &rs, NULL), 0);
	assert_int_equal(zt_apply(&r->ctx, rs, text, strlen(text), &(struct zt_apply_options){0}, &result, &r->d), 0);
}

/* The kernel that boots has no LSM layer. */
static void test_without_unix(void **state)
{
	struct zt_ruleset *rs = NULL;
	struct room r;
	bool changed = false;

	(void)state;
	room_open(&r);
	must_apply(&r, 1001);
	must_apply_unix(&r, "where-possible");
	assert_int_equal(boot(&r), 2);
	assert_false(room_said(&r, 2120));
	assert_settled(&r);
	zt_memory_set_unix(false);
	assert_int_equal(boot(&r), 2);
	assert_true(room_said(&r, 2120));
	assert_int_equal(r.d.errors, 0);
	assert_int_equal(enforced_uid(&r), 1002);
	assert_int_equal(r.ctx.engine->raise("default", &rs, NULL), 0);
	assert_int_equal(rs->n_rules, 1);
	assert_int_equal(rs->n_subjects, 0);
	zt_ruleset_free(rs);
	assert_int_equal(zt_refresh(&r.ctx, NULL, &changed, &r.d), 0);
	assert_true(changed);
	assert_settled(&r);
	room_close(&r);
	/* Who insists on them gets the policy before, not this one with a hole. */
	zt_memory_set_unix(true);
	room_open(&r);
	must_apply(&r, 1001);
	must_apply_unix(&r, "enforce");
	zt_memory_set_unix(false);
	assert_int_equal(boot(&r), 1);
	assert_int_equal(enforced_uid(&r), 1001);
	zt_memory_set_unix(true);
	room_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_current),	     cmocka_unit_test(test_nothing),   cmocka_unit_test(test_pending),
		cmocka_unit_test(test_fallback),     cmocka_unit_test(test_emergency), cmocka_unit_test(test_no_record),
		cmocka_unit_test(test_without_unix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
