/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Labels against the plain definition: for random subjects and random processes, the set that the pieces of evidence give is the set of
 * subjects that match, and it is one of the labels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "ruleset/label.h"

static const char *const paths[] = {"/bin/a", "/bin/b", "/bin/c", "/bin/d"};
static const char *const groups[] = {"sys", "sys/a", "sys/a/x", "sys/b", "user", "sy"};
static unsigned seed = 7;

static unsigned pick(unsigned n)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 16) % n;
}

static void exes(struct zt_exe *v, size_t *n, unsigned chance)
{
	*n = 0;
	for (unsigned i = 0; i < 4; i++)
		if (pick(chance) == 0)
			v[(*n)++] = (struct zt_exe){.path = (char *)(uintptr_t)paths[i],
						    .id = {.dev = 1, .ino = i + 1}};
}

static void random_subject(struct zt_ruleset *rs)
{
	struct zt_exe exe[4], parent[4];
	struct zt_cgroup cg[6];
	struct zt_subject s = {.text = (char *)(uintptr_t) "random", .exes = exe, .parents = parent, .cgroups = cg};
	const struct zt_subject *mine;

	if (pick(2))
		assert_int_equal(zt_u32_ranges_add(&s.uid, pick(5), 5 + pick(5)), 0);
	if (!pick(4))
		assert_int_equal(zt_u32_ranges_add(&s.gid, pick(3), 3 + pick(2)), 0);
	for (unsigned i = 0; i < 6; i++)
		if (!pick(8))
			cg[s.n_cgroups++] =
				(struct zt_cgroup){.path = (char *)(uintptr_t)groups[i], .id = i + 1, .level = 1};
	exes(exe, &s.n_exes, 4);
	exes(parent, &s.n_parents, 12);
	assert_int_equal(zt_ruleset_subject(rs, &s, &mine), 0);
	assert_true(zt_subject_eq(mine, &s));
	zt_u32_ranges_done(&s.uid);
	zt_u32_ranges_done(&s.gid);
}

static bool above(const char *outer, const char *inner)
{
	size_t n = strlen(outer);

	return !strncmp(outer, inner, n) && (!inner[n] || inner[n] == '/');
}

static void unite(struct zt_set_bits *a, const struct zt_set_bits *b)
{
	for (int i = 0; i < ZT_SET_WORDS; i++)
		a->w[i] |= b->w[i];
}

static void meet(struct zt_set_bits *a, const struct zt_set_bits *b)
{
	for (int i = 0; i < ZT_SET_WORDS; i++)
		a->w[i] &= b->w[i];
}

static void meet_exes(struct zt_set_bits *s, const struct zt_exe_class *v, size_t n, const struct zt_set_bits *other,
		      const char *path)
{
	for (size_t i = 0; i < n; i++)
		if (path && !strcmp(v[i].exe->path, path)) {
			meet(s, &v[i].set);
			return;
		}
	meet(s, other);
}

/* As the kernel does it. */
static struct zt_set_bits by_evidence(const struct zt_evidence *e, const struct zt_actor *a)
{
	struct zt_set_bits s = {0}, g = e->group_other, c = e->cgroup_other;

	for (size_t i = 0; i < e->n_uids; i++)
		if (e->uids[i].range.lo <= a->uid && a->uid <= e->uids[i].range.hi)
			s = e->uids[i].set;
	for (size_t i = 0; i < e->n_groups; i++)
		for (size_t k = 0; k <= a->n_groups; k++) {
			uint32_t gid = k ? a->groups[k - 1] : a->gid;

			if (e->groups[i].range.lo <= gid && gid <= e->groups[i].range.hi)
				unite(&g, &e->groups[i].set);
		}
	for (size_t i = 0; i < e->n_cgroups; i++)
		if (above(e->cgroups[i].cgroup->path, a->cgroup_path))
			unite(&c, &e->cgroups[i].set);
	meet(&s, &g);
	meet(&s, &c);
	meet_exes(&s, e->exes, e->n_exes, &e->exe_other, a->exe_path);
	meet_exes(&s, e->parents, e->n_parents, &e->parent_other, a->parent_path);
	return s;
}

static void check_actor(const struct zt_ruleset *rs, const struct zt_evidence *e, const struct zt_labels *l)
{
	uint32_t member[3];
	struct zt_actor a = {.known = true,
			     .uid = pick(12),
			     .gid = pick(6),
			     .groups = member,
			     .n_groups = pick(3),
			     .cgroup_path = pick(4) ? groups[pick(6)] : "sys/a/x/deeper",
			     .exe_path = pick(5) ? paths[pick(4)] : "/bin/other",
			     .parent_path = pick(2) ? paths[pick(4)] : NULL};
	struct zt_set_bits s;
	uint32_t label;

	for (size_t i = 0; i < a.n_groups; i++)
		member[i] = pick(6);
	s = by_evidence(e, &a);
	label = zt_labels_find(l, &s);
	assert_int_not_equal(label, ZT_LABEL_UNKNOWN);
	for (uint32_t i = 0; i < rs->n_subjects; i++)
		assert_int_equal(zt_labels_has(l, label, i), zt_subject_match(rs->subjects[i], &a));
}

static void random_processes(void **state)
{
	(void)state;
	for (int round = 0; round < 60; round++) {
		ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
		ZT_CLEANUP(zt_evidence_done) struct zt_evidence e = {0};
		ZT_CLEANUP(zt_labels_done) struct zt_labels l = {0};
		struct zt_diags d = {0};

		assert_int_equal(zt_ruleset_new(&rs), 0);
		for (unsigned i = 0, n = pick(12); i < n; i++)
			random_subject(rs);
		assert_int_equal(zt_evidence_make(rs, &e), 0);
		assert_int_equal(zt_labels_make(rs, &l, &d), 0);
		for (int i = 0; i < 200; i++)
			check_actor(rs, &e, &l);
	}
}

static void nothing_known(void **state)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	ZT_CLEANUP(zt_labels_done) struct zt_labels l = {0};
	struct zt_set_bits none = {0};
	struct zt_diags d = {0};

	(void)state;
	assert_int_equal(zt_ruleset_new(&rs), 0);
	assert_int_equal(zt_labels_make(rs, &l, &d), 0);
	assert_int_equal(l.n, 1);
	assert_int_equal(zt_labels_find(&l, &none), ZT_LABEL_NONE);
}

/* Each group alone doubles what a process can be: beyond the limit it is refused, not cut. */
static void too_many(void **state)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	ZT_CLEANUP(zt_labels_done) struct zt_labels l = {0};
	struct zt_diags d = {0};

	(void)state;
	assert_int_equal(zt_ruleset_new(&rs), 0);
	for (uint32_t i = 0; i < 17; i++) {
		struct zt_subject s = {.text = (char *)(uintptr_t) "group"};
		const struct zt_subject *mine;

		assert_int_equal(zt_u32_ranges_add(&s.gid, i * 2, i * 2), 0);
		assert_int_equal(zt_ruleset_subject(rs, &s, &mine), 0);
		zt_u32_ranges_done(&s.gid);
	}
	assert_int_equal(zt_labels_make(rs, &l, &d), -E2BIG);
	assert_int_equal(d.items[0].code, 2101);
	zt_diags_done(&d);
}

static void limit(void **state)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	const struct zt_subject *mine;
	int r = 0;

	(void)state;
	assert_int_equal(zt_ruleset_new(&rs), 0);
	for (uint32_t i = 0; i <= ZT_SUBJECTS_MAX; i++) {
		struct zt_subject s = {.text = (char *)(uintptr_t) "user"};

		assert_int_equal(zt_u32_ranges_add(&s.uid, i, i), 0);
		r = zt_ruleset_subject(rs, &s, &mine);
		zt_u32_ranges_done(&s.uid);
		assert_int_equal(r, i < ZT_SUBJECTS_MAX ? 0 : -E2BIG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(random_processes), cmocka_unit_test(nothing_known),
					   cmocka_unit_test(too_many), cmocka_unit_test(limit)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
