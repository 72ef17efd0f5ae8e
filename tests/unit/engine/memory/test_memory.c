/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../iptables/random.h"
#include "base/file.h"
#include "engine/memory/memory.h"

#define E (&zt_engine_memory)

static bool commit(const struct zt_ruleset *rs)
{
	struct zt_image *img = NULL;
	bool changed = false;

	assert_int_equal(E->lower(rs, &img, NULL), 0);
	assert_int_equal(E->check(img, NULL), 0);
	assert_int_equal(E->commit(img, &changed, NULL), 0);
	E->image_free(img);
	return changed;
}

static void assert_raises(const char *instance, const struct zt_ruleset *rs)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *back = NULL;
	ZT_STRBUF struct zt_strbuf x = {0}, y = {0};
	uint64_t generation = 0;
	char hash[65] = "";

	assert_int_equal(E->raise(instance, &back, NULL), 0);
	assert_int_equal(zt_ruleset_canonical(rs, &x), 0);
	assert_int_equal(zt_ruleset_canonical(back, &y), 0);
	assert_string_equal(zt_strbuf_cstr(&x), zt_strbuf_cstr(&y));
	assert_int_equal(E->identify(instance, &generation, hash), 0);
	assert_int_equal(generation, rs->generation);
	assert_string_equal(hash, rs->hash);
}

static void test_round_trip(void **state)
{
	struct zt_ruleset *back = NULL;

	(void)state;
	assert_int_equal(E->raise("default", &back, NULL), -ENOENT);
	for (unsigned seed = 1; seed <= 50; seed++) {
		struct zt_ruleset *rs = random_ruleset(seed, 30);

		assert_true(commit(rs));
		assert_raises("default", rs);
		assert_false(commit(rs));
		zt_ruleset_free(rs);
	}
	assert_int_equal(E->flush("default", NULL), 0);
	assert_int_equal(E->flush("default", NULL), 0);
	assert_int_equal(E->raise("default", &back, NULL), -ENOENT);
}

static void test_text(void **state)
{
	struct zt_ruleset *a = random_ruleset(1, 20), *b = random_ruleset(2, 20);
	ZT_STRBUF struct zt_strbuf text = {0};
	struct zt_image *img = NULL;

	(void)state;
	assert_int_equal(E->lower(a, &img, NULL), 0);
	assert_int_equal(E->image_text(img, &text), 0);
	E->image_free(img);
	assert_true(commit(b));
	assert_true(E->load_text("default", text.buf, text.len / 2, NULL) < 0);
	assert_raises("default", b);
	assert_int_equal(E->load_text("default", text.buf, text.len, NULL), 0);
	assert_raises("default", a);
	assert_int_equal(E->flush("default", NULL), 0);
	zt_ruleset_free(a);
	zt_ruleset_free(b);
}

static void test_counters_damage_foreign(void **state)
{
	struct zt_ruleset *rs = random_ruleset(5, 20), *back = NULL;
	struct zt_counters c = {0};
	struct zt_foreign *f = NULL;
	size_t n = 0;

	(void)state;
	assert_true(rs->n_rules > 2);
	assert_int_equal(zt_memory_set_count("default", rs->rules[1].id, rs->rules[1].part, &(struct zt_count){7, 8}),
			 -ENOENT);
	assert_true(commit(rs));
	assert_int_equal(zt_memory_set_count("default", rs->rules[1].id, rs->rules[1].part, &(struct zt_count){7, 8}),
			 0);
	rs->rules[0].log = !rs->rules[0].log;
	assert_int_equal(zt_ruleset_rehash(rs), 0);
	assert_true(commit(rs));
	assert_int_equal(E->counters(rs, &c), 0);
	assert_int_equal(c.rule[1].packets, 7);
	assert_int_equal(c.rule[1].bytes, 8);
	assert_int_equal(c.rule[0].packets, 0);
	zt_counters_done(&c);
	assert_int_equal(zt_memory_set_damage("default", "someone was here"), 0);
	assert_int_equal(E->raise("default", &back, NULL), -EUCLEAN);
	assert_true(commit(rs));
	assert_raises("default", rs);
	assert_int_equal(zt_memory_add_foreign("ip", "docker"), 0);
	assert_int_equal(E->foreign("default", &f, &n), 0);
	assert_int_equal(n, 1);
	assert_string_equal(f[0].name, "docker");
	zt_foreign_free(f, n);
	zt_ruleset_free(rs);
	zt_memory_reset();
}

static void test_file(void **state)
{
	struct zt_ruleset *a = random_ruleset(11, 20), *b = random_ruleset(12, 20), *back = NULL;
	char path[] = "/tmp/zt-memory-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(setenv("ZT_MEMORY_KERNEL", path, 1), 0);
	free(b->instance);
	b->instance = zt_strdup("second");
	assert_true(commit(a));
	assert_true(commit(b));
	assert_raises("default", a);
	assert_raises("second", b);
	assert_int_equal(E->flush("default", NULL), 0);
	assert_int_equal(E->raise("default", &back, NULL), -ENOENT);
	assert_raises("second", b);
	assert_int_equal(zt_file_write_atomic(path, "{ damaged", 9, 0600), 0);
	assert_true(E->raise("second", &back, NULL) < 0);
	assert_int_equal(E->flush("second", NULL), 0);
	assert_int_equal(E->raise("second", &back, NULL), -ENOENT);
	assert_int_equal(unsetenv("ZT_MEMORY_KERNEL"), 0);
	(void)unlink(path);
	zt_ruleset_free(a);
	zt_ruleset_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_counters_damage_foreign),
		cmocka_unit_test(test_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
