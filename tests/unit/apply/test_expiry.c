/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What expires while the clock is set. No test may set the clock of the machine: what a generation says of both clocks is changed instead. */
#include "common.h"

#define HOUR (3600 * ZT_USEC_PER_SEC)

/* One rule that allows, one that denies and one for good; both expire after a while. */
static char *text_of(zt_usec after)
{
	char when[32];

	zt_time_format(zt_now() + after, when);
	return zt_asprintf(
		"version: \"1.0\"\nrules:\n"
		"  - {name: grant, from: {uid: 1}, to: {port: 1, protocol: tcp}, action: allow, expires: %s}\n"
		"  - {name: ban, from: {uid: 2}, to: {port: 2, protocol: tcp}, action: deny, expires: %s}\n"
		"  - {name: for-good, from: {uid: 3}, to: {port: 3, protocol: tcp}, action: allow}\n",
		when, when);
}

/* source: what is kept of it; NULL: what it was made from. */
static void apply_until(struct room *r, zt_usec after, const char *source)
{
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	ZT_CLEANUP(zt_u32_ranges_done) struct zt_u32_ranges ssh = {0};
	ZT_FREE char *text = text_of(after);
	struct zt_apply_result result = {0};

	assert_int_equal(zt_policy_parse("test.yaml", text, strlen(text),
					 &(struct zt_policy_options){.allow_unsafe_file = true}, &p, NULL),
			 0);
	assert_int_equal(zt_ssh_ports(NULL, &ssh), 0);
	assert_int_equal(
		zt_ruleset_compile(
			p, &(struct zt_compile_options){.instance = r->ctx.instance, .ssh_ports = &ssh, .at = zt_now()},
			&rs, NULL),
		0);
	source = source ? source : text;
	assert_int_equal(zt_apply(&r->ctx, rs, source, strlen(source), &(struct zt_apply_options){0}, &result, &r->d),
			 0);
}

/* As if generation n had been decided on when the clock of the wall showed so much more, so long ago, in this boot or in another. */
static void decided(const struct room *r, uint64_t n, zt_usec wall_ahead, zt_usec ago, const char *boot)
{
	ZT_FREE char *name = zt_asprintf("generations/%llu/meta.json", (unsigned long long)n);
	ZT_FREE char *old = NULL, *new = NULL;
	struct zt_anchor a;
	size_t len = 0;
	json_t *j;

	old = slurp(r, name, &len);
	j = json_loadb(old, len, 0, NULL);
	zt_anchor_take(&a);
	a.wall += wall_ahead - ago;
	a.boot -= ago;
	if (boot)
		(void)snprintf(a.boot_id, sizeof(a.boot_id), "%s", boot);
	assert_int_equal(json_object_set_new(j, "clock", zt_anchor_json(&a)), 0);
	new = json_dumps(j, 0);
	json_decref(j);
	spit(r, name, new, strlen(new));
}

static bool has(const struct room *r, const char *rule)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;

	assert_int_equal(r->ctx.engine->raise(r->ctx.instance, &rs, NULL), 0);
	for (size_t i = 0; i < rs->n_rules; i++)
		if (!strcmp(rs->rules[i].id, rule) && rs->rules[i].expires != ZT_USEC_PER_SEC)
			return true;
	return false;
}

static void refresh(struct room *r)
{
	bool changed;

	assert_int_equal(zt_refresh(&r->ctx, NULL, &changed, &r->d), 0);
}

static void near(zt_usec a, zt_usec b)
{
	assert_true(a > b ? a - b < 60 * ZT_USEC_PER_SEC : b - a < 60 * ZT_USEC_PER_SEC);
}

static void which_time(void **state)
{
	struct room r;

	(void)state;
	room_open(&r);
	near(zt_expiry_now(&r.ctx, 1), zt_now()); /* there is none */
	apply_until(&r, HOUR, NULL);
	near(zt_expiry_now(&r.ctx, 1), zt_now());
	decided(&r, 1, 2 * HOUR, 30 * ZT_USEC_PER_SEC, NULL); /* set back by two hours since */
	near(zt_expiry_now(&r.ctx, 1), zt_now() + 2 * HOUR);
	decided(&r, 1, 2 * HOUR, 30 * ZT_USEC_PER_SEC,
		"another"); /* and a reboot: what passed meanwhile is not known */
	near(zt_expiry_now(&r.ctx, 1), zt_now() + 2 * HOUR);
	decided(&r, 1, 0, 0, NULL);
	near(zt_expiry_now(&r.ctx, 1), zt_now());
	room_close(&r);
}

/* A grant of an hour, the clock set back by two as soon as it was given. */
static void set_back(void **state)
{
	struct room r;

	(void)state;
	room_open(&r);
	apply_until(&r, HOUR, NULL);
	decided(&r, 1, 2 * HOUR, 0, NULL);
	refresh(&r);
	assert_false(has(&r, "grant"));
	assert_true(has(&r, "ban"));
	assert_true(has(&r, "for-good"));
	near(zt_expiry_now(&r.ctx, 2), zt_now() + 2 * HOUR); /* the refresh was no decision */
	refresh(&r);
	assert_false(has(&r, "grant"));
	apply_until(&r, HOUR, NULL); /* this is one */
	assert_true(has(&r, "grant"));
	near(zt_expiry_now(&r.ctx, enforced_generation(&r)), zt_now());
	refresh(&r);
	assert_true(has(&r, "grant"));
	room_close(&r);
}

/* What cannot be compiled any more is kept, but not what has expired. */
static void not_compiled(void **state)
{
	struct room r;

	(void)state;
	room_open(&r);
	apply_until(&r, HOUR, "of a version that had another language");
	decided(&r, 1, 2 * HOUR, 0, NULL);
	refresh(&r);
	assert_false(has(&r, "grant"));
	assert_true(has(&r, "ban"));
	room_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(which_time), cmocka_unit_test(set_back),
					   cmocka_unit_test(not_compiled)};

	return cmocka_run_group_tests_name("apply/expiry", tests, NULL, NULL);
}
