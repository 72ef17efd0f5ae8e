/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/mem.h"
#include "ruleset/label.h"

static void set_add(struct zt_set_bits *s, uint32_t subject)
{
	s->w[subject / 64] |= UINT64_C(1) << (subject % 64);
}

void zt_evidence_done(struct zt_evidence *e)
{
	free(e->uids);
	free(e->groups);
	free(e->cgroups);
	free(e->exes);
	free(e->parents);
	*e = (struct zt_evidence){0};
}

/* ---- numbers: elementary intervals between the bounds that subjects name ---- */
static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static size_t unique(uint64_t *v, size_t n)
{
	size_t m = 0;

	qsort(v, n, sizeof(*v), compare_u64);
	for (size_t i = 0; i < n; i++)
		if (!m || v[m - 1] != v[i])
			v[m++] = v[i];
	return m;
}

static const struct zt_u32_ranges *numbers_of(const struct zt_subject *s, bool gid)
{
	return gid ? &s->gid : &s->uid;
}

/* Where an interval begins: 0, and the first number of and after each range. *ret has room for all, sorted. */
static int bounds(const struct zt_ruleset *rs, bool gid, uint64_t **ret, size_t *ret_n)
{
	size_t n = 1;

	for (size_t i = 0; i < rs->n_subjects; i++)
		n += 2 * numbers_of(rs->subjects[i], gid)->n;
	*ret = zt_new(uint64_t, n + 1);
	if (!*ret)
		return -ENOMEM;
	n = 1;
	for (size_t i = 0; i < rs->n_subjects; i++) {
		const struct zt_u32_ranges *l = numbers_of(rs->subjects[i], gid);

		for (size_t k = 0; k < l->n; k++) {
			(*ret)[n++] = l->v[k].lo;
			if (l->v[k].hi != UINT32_MAX)
				(*ret)[n++] = (uint64_t)l->v[k].hi + 1;
		}
	}
	*ret_n = unique(*ret, n);
	return 0;
}

static struct zt_u32_range interval(const uint64_t *v, size_t n, size_t i)
{
	return (struct zt_u32_range){(uint32_t)v[i], i + 1 < n ? (uint32_t)(v[i + 1] - 1) : UINT32_MAX};
}

static int make_uids(const struct zt_ruleset *rs, struct zt_evidence *e)
{
	ZT_FREE uint64_t *v = NULL;
	size_t n = 0;
	int r = bounds(rs, false, &v, &n);

	if (r < 0)
		return r;
	e->uids = zt_new(struct zt_uid_class, n);
	if (!e->uids)
		return -ENOMEM;
	for (; e->n_uids < n; e->n_uids++) {
		struct zt_uid_class *c = &e->uids[e->n_uids];

		c->range = interval(v, n, e->n_uids);
		for (size_t i = 0; i < rs->n_subjects; i++)
			if (!rs->subjects[i]->uid.n || zt_u32_ranges_has(&rs->subjects[i]->uid, c->range.lo))
				set_add(&c->set, (uint32_t)i);
	}
	return 0;
}

static int make_groups(const struct zt_ruleset *rs, struct zt_evidence *e)
{
	ZT_FREE uint64_t *v = NULL;
	size_t n = 0;
	int r = bounds(rs, true, &v, &n);

	if (r < 0)
		return r;
	e->groups = zt_new(struct zt_group_class, n);
	if (!e->groups)
		return -ENOMEM;
	for (size_t i = 0; i < rs->n_subjects; i++)
		if (!rs->subjects[i]->gid.n)
			set_add(&e->group_other, (uint32_t)i);
	for (size_t k = 0; k < n; k++) {
		struct zt_group_class *c = &e->groups[e->n_groups];
		bool named = false;

		*c = (struct zt_group_class){.range = interval(v, n, k)};
		for (size_t i = 0; i < rs->n_subjects; i++) {
			if (!zt_u32_ranges_has(&rs->subjects[i]->gid, c->range.lo))
				continue;
			set_add(&c->set, (uint32_t)i);
			named = true;
		}
		e->n_groups += named;
	}
	return 0;
}

/* ---- control groups: each by its own name; ancestors are united by whoever looks ---- */
static struct zt_cgroup_class *cgroup_class(struct zt_evidence *e, const struct zt_cgroup *c)
{
	for (size_t i = 0; i < e->n_cgroups; i++)
		if (!strcmp(e->cgroups[i].cgroup->path, c->path))
			return &e->cgroups[i];
	e->cgroups[e->n_cgroups] = (struct zt_cgroup_class){.cgroup = c};
	return &e->cgroups[e->n_cgroups++];
}

static int make_cgroups(const struct zt_ruleset *rs, struct zt_evidence *e)
{
	size_t n = 0;

	for (size_t i = 0; i < rs->n_subjects; i++)
		n += rs->subjects[i]->n_cgroups;
	e->cgroups = zt_new(struct zt_cgroup_class, n + 1);
	if (!e->cgroups)
		return -ENOMEM;
	for (size_t i = 0; i < rs->n_subjects; i++) {
		const struct zt_subject *s = rs->subjects[i];

		if (!s->n_cgroups)
			set_add(&e->cgroup_other, (uint32_t)i);
		for (size_t k = 0; k < s->n_cgroups; k++)
			set_add(&cgroup_class(e, &s->cgroups[k])->set, (uint32_t)i);
	}
	return 0;
}

/* ---- programs ---- */
static bool names(const struct zt_exe *v, size_t n, const struct zt_exe *e)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(v[i].path, e->path))
			return true;
	return !n;
}

static int make_exes(const struct zt_ruleset *rs, bool parent, struct zt_exe_class **ret, size_t *ret_n,
		     struct zt_set_bits *other)
{
	size_t max = 0;

	for (size_t i = 0; i < rs->n_subjects; i++)
		max += parent ? rs->subjects[i]->n_parents : rs->subjects[i]->n_exes;
	*ret = zt_new(struct zt_exe_class, max + 1);
	if (!*ret)
		return -ENOMEM;
	for (size_t i = 0; i < rs->n_subjects; i++) {
		const struct zt_subject *s = rs->subjects[i];
		const struct zt_exe *v = parent ? s->parents : s->exes;
		size_t n = parent ? s->n_parents : s->n_exes;

		if (!n)
			set_add(other, (uint32_t)i);
		for (size_t k = 0; k < n; k++) {
			bool seen = false;

			for (size_t j = 0; j < *ret_n && !seen; j++)
				seen = !strcmp((*ret)[j].exe->path, v[k].path);
			if (!seen)
				(*ret)[(*ret_n)++] = (struct zt_exe_class){.exe = &v[k]};
		}
	}
	for (size_t j = 0; j < *ret_n; j++)
		for (size_t i = 0; i < rs->n_subjects; i++) {
			const struct zt_subject *s = rs->subjects[i];

			if (names(parent ? s->parents : s->exes, parent ? s->n_parents : s->n_exes, (*ret)[j].exe))
				set_add(&(*ret)[j].set, (uint32_t)i);
		}
	return 0;
}

int zt_evidence_make(const struct zt_ruleset *rs, struct zt_evidence *ret)
{
	ZT_CLEANUP(zt_evidence_done) struct zt_evidence e = {0};
	int r = make_uids(rs, &e) ?: make_groups(rs, &e) ?: make_cgroups(rs, &e);

	r = r ?: make_exes(rs, false, &e.exes, &e.n_exes, &e.exe_other) ?: make_exes(rs, true, &e.parents, &e.n_parents, &e.parent_other);
	if (r < 0)
		return r;
	*ret = e;
	e = (struct zt_evidence){0};
	return 0;
}
