/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copies, and canonical bytes: everything an engine must enforce changes them, nothing else does. */
#include "common.h"

static void copies_are_whole_and_apart(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed < 200; seed++) {
		struct zt_ruleset *a = random_whole(seed, 10), *b = NULL;
		char *was = canonical(a), *now;

		assert_int_equal(zt_ruleset_dup(a, &b), 0);
		assert_same_policy(a, b);
		assert_string_equal(a->hash, b->hash);
		for (size_t i = 0; i < b->n_rules; i++) {
			assert_ptr_not_equal(a->rules[i].id, b->rules[i].id);
			b->rules[i].id[0] = '~';
			if (b->rules[i].match.n_cgroups)
				b->rules[i].match.cgroups[0].path[0] = '~';
		}
		now = canonical(a);
		assert_string_equal(was, now);
		zt_ruleset_free(b);
		zt_ruleset_free(a);
		free(was);
		free(now);
	}
}

static struct zt_ruleset *sample(void)
{
	return must_compile(
		V
		"rules:\n- {name: r, from: {uid: 5, gid: 6, cgroup: a}, to: {host: [10.0.0.1, \"fd00::1\"], port: 80},"
		" action: allow, schedule: {days: mon}, expires: 2199-01-01}\n");
}

/* Sets one field to something else; false when there are no more. */
static bool change(struct zt_ruleset *rs, int which)
{
	struct zt_rule *r = &rs->rules[0];

	switch (which) {
	case 0:
		r->id[0] = 'q';
		break;
	case 1:
		r->part = 1;
		break;
	case 2:
		r->dir = ZT_DIR_FORWARD;
		break;
	case 3:
		r->verdict = ZT_DROP;
		break;
	case 4:
		r->log = true;
		break;
	case 5:
		r->match.families = 1;
		break;
	case 6:
		r->match.uid.v[0].hi = 9;
		break;
	case 7:
		r->match.gid.v[0].lo = 1;
		break;
	case 8:
		r->match.cgroups[0].path[0] = 'b';
		break;
	case 9:
		r->match.cgroups[0].id = 9;
		break;
	case 10:
		r->match.dst4.v[0].lo.b[3] ^= 2;
		break;
	case 11:
		r->match.dst6.v[0].hi.b[15] ^= 2;
		break;
	case 12:
		r->match.proto.v[0].hi = 17;
		break;
	case 13:
		r->match.port.v[0].lo = 79;
		break;
	case 14:
		r->windows[0].end = 5;
		break;
	case 15:
		r->expires = 1;
		break;
	default:
		return false;
	}
	return true;
}

static void every_field_counts(void **state)
{
	struct zt_ruleset *same = sample();
	int n = 0;

	(void)state;
	for (;; n++) {
		struct zt_ruleset *rs = sample();
		char hash[65];
		bool more = change(rs, n);

		memcpy(hash, rs->hash, sizeof(hash));
		assert_int_equal(zt_ruleset_rehash(rs), 0);
		if (more) {
			assert_string_not_equal(rs->hash, hash);
			assert_false(zt_rule_eq(&rs->rules[0], &same->rules[0]));
		}
		zt_ruleset_free(rs);
		if (!more)
			break;
	}
	assert_int_equal(n, 16);
	/* What the kernel does not enforce is not part of it. */
	same->generation = 99;
	same->rules[0].line = 7;
	same->rules[0].file = 3;
	free(same->rules[0].to_text);
	same->rules[0].to_text = zt_strdup("other words");
	{
		struct zt_ruleset *rs = sample();

		assert_same_policy(rs, same);
		assert_true(zt_rule_eq(&rs->rules[0], &same->rules[0]));
		zt_ruleset_free(rs);
	}
	zt_ruleset_free(same);
}

/* Bytes that a name might smuggle in do not make two policies look alike. */
static void fields_do_not_run_together(void **state)
{
	struct zt_ruleset *a = must_compile(
		V "rules: [{name: a, from: {uid: 1}, action: allow}, {name: b, from: {uid: 2}, action: allow}]\n");
	struct zt_ruleset *b = must_compile(
		V "rules: [{name: b, from: {uid: 2}, action: allow}, {name: a, from: {uid: 1}, action: allow}]\n");

	(void)state;
	assert_string_not_equal(a->hash, b->hash); /* order decides */
	zt_ruleset_free(a);
	zt_ruleset_free(b);
}

static void nothing_is_freed_twice(void **state)
{
	struct zt_ruleset *rs = NULL;

	(void)state;
	zt_ruleset_free(NULL);
	zt_ruleset_freep(&rs);
	assert_int_equal(zt_ruleset_new(&rs), 0);
	assert_non_null(zt_ruleset_add(rs)); /* half-built */
	zt_ruleset_freep(&rs);
	assert_null(rs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_are_whole_and_apart),
		cmocka_unit_test(every_field_counts),
		cmocka_unit_test(fields_do_not_run_together),
		cmocka_unit_test(nothing_is_freed_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
