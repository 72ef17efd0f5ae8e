/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/mem.h"
#include "ruleset/label.h"

static void exes_done(struct zt_exe *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(v[i].path);
	free(v);
}

void zt_subject_done(struct zt_subject *s)
{
	for (size_t i = 0; i < s->n_cgroups; i++)
		free(s->cgroups[i].path);
	free(s->cgroups);
	exes_done(s->exes, s->n_exes);
	exes_done(s->parents, s->n_parents);
	zt_u32_ranges_done(&s->uid);
	zt_u32_ranges_done(&s->gid);
	free(s->text);
	*s = (struct zt_subject){0};
}

/* ---- copies ---- */
static int copy_exes(struct zt_exe **dst, size_t *n, const struct zt_exe *src, size_t n_src)
{
	if (!n_src)
		return 0;
	*dst = zt_new(struct zt_exe, n_src);
	if (!*dst)
		return -ENOMEM;
	for (; *n < n_src; ++*n) {
		(*dst)[*n] = src[*n];
		(*dst)[*n].path = zt_strdup(src[*n].path);
		if (!(*dst)[*n].path)
			return -ENOMEM;
	}
	return 0;
}

static int copy_cgroups(struct zt_subject *dst, const struct zt_subject *src)
{
	if (!src->n_cgroups)
		return 0;
	dst->cgroups = zt_new(struct zt_cgroup, src->n_cgroups);
	if (!dst->cgroups)
		return -ENOMEM;
	for (size_t i = 0; i < src->n_cgroups; i++) {
		dst->cgroups[i] = src->cgroups[i];
		dst->cgroups[i].path = zt_strdup(src->cgroups[i].path);
		if (!dst->cgroups[i].path)
			return -ENOMEM;
		dst->n_cgroups++;
	}
	return 0;
}

static int copy(struct zt_subject *dst, const struct zt_subject *src)
{
	int r = zt_u32_ranges_copy(&dst->uid, &src->uid) ?: zt_u32_ranges_copy(&dst->gid, &src->gid);

	r = r ?: copy_cgroups(dst, src) ?: copy_exes(&dst->exes, &dst->n_exes, src->exes, src->n_exes);
	r = r ?: copy_exes(&dst->parents, &dst->n_parents, src->parents, src->n_parents);
	dst->text = zt_strdup(src->text ? src->text : "");
	return dst->text ? r : -ENOMEM;
}

int zt_ruleset_subject(struct zt_ruleset *rs, const struct zt_subject *s, const struct zt_subject **ret)
{
	struct zt_subject *mine;
	int r;

	for (size_t i = 0; i < rs->n_subjects; i++)
		if (zt_subject_eq(rs->subjects[i], s)) {
			*ret = rs->subjects[i];
			return 0;
		}
	if (rs->n_subjects == ZT_SUBJECTS_MAX)
		return -E2BIG;
	if (zt_grow(rs->subjects, rs->cap_subjects, rs->n_subjects) < 0 || !(mine = zt_new(struct zt_subject, 1)))
		return -ENOMEM;
	r = copy(mine, s);
	if (r < 0) {
		zt_subject_done(mine);
		free(mine);
		return r;
	}
	mine->index = (uint32_t)rs->n_subjects;
	rs->subjects[rs->n_subjects++] = mine;
	*ret = mine;
	return 0;
}

/* ---- comparing: what must be enforced, not the text ---- */
static bool file_eq(const struct zt_file_id *a, const struct zt_file_id *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->ctime_sec == b->ctime_sec && a->ctime_nsec == b->ctime_nsec;
}

static bool exes_eq(const struct zt_exe *a, size_t n, const struct zt_exe *b, size_t m)
{
	for (size_t i = 0; n == m && i < n; i++)
		if (strcmp(a[i].path, b[i].path) != 0 || strcmp(a[i].digest, b[i].digest) != 0 ||
		    a[i].pinned != b[i].pinned || !file_eq(&a[i].id, &b[i].id))
			return false;
	return n == m;
}

static bool cgroups_eq(const struct zt_subject *a, const struct zt_subject *b)
{
	for (size_t i = 0; a->n_cgroups == b->n_cgroups && i < a->n_cgroups; i++)
		if (strcmp(a->cgroups[i].path, b->cgroups[i].path) != 0 || a->cgroups[i].id != b->cgroups[i].id)
			return false;
	return a->n_cgroups == b->n_cgroups;
}

bool zt_subject_eq(const struct zt_subject *a, const struct zt_subject *b)
{
	if (!a || !b)
		return a == b;
	return zt_u32_ranges_eq(&a->uid, &b->uid) && zt_u32_ranges_eq(&a->gid, &b->gid) && cgroups_eq(a, b) &&
	       exes_eq(a->exes, a->n_exes, b->exes, b->n_exes) &&
	       exes_eq(a->parents, a->n_parents, b->parents, b->n_parents);
}

static bool same_path(const struct zt_exe *v, size_t n, const struct zt_exe *e)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(v[i].path, e->path))
			return true;
	return false;
}

static bool exes_meet(const struct zt_exe *a, size_t n, const struct zt_exe *b, size_t m)
{
	for (size_t i = 0; i < n; i++)
		if (same_path(b, m, &a[i]))
			return true;
	return !n || !m;
}

static bool exes_hold(const struct zt_exe *outer, size_t n, const struct zt_exe *inner, size_t m)
{
	for (size_t i = 0; n && i < m; i++)
		if (!same_path(outer, n, &inner[i]))
			return false;
	return !n || m;
}

static bool within(const char *outer, const char *inner)
{
	size_t n = strlen(outer);

	return !strncmp(outer, inner, n) && (!inner[n] || inner[n] == '/' || !n);
}

static bool cgroups_meet(const struct zt_subject *a, const struct zt_subject *b)
{
	for (size_t i = 0; i < a->n_cgroups; i++)
		for (size_t k = 0; k < b->n_cgroups; k++)
			if (within(a->cgroups[i].path, b->cgroups[k].path) ||
			    within(b->cgroups[k].path, a->cgroups[i].path))
				return true;
	return !a->n_cgroups || !b->n_cgroups;
}

static bool cgroups_hold(const struct zt_subject *outer, const struct zt_subject *inner)
{
	for (size_t k = 0; outer->n_cgroups && k < inner->n_cgroups; k++) {
		bool found = false;

		for (size_t i = 0; i < outer->n_cgroups; i++)
			found = found || within(outer->cgroups[i].path, inner->cgroups[k].path);
		if (!found)
			return false;
	}
	return !outer->n_cgroups || inner->n_cgroups;
}

/* Groups never exclude each other: a process has many. */
bool zt_subject_overlap(const struct zt_subject *a, const struct zt_subject *b)
{
	if (!a || !b)
		return true;
	return (!a->uid.n || !b->uid.n || zt_u32_ranges_overlap(&a->uid, &b->uid)) && cgroups_meet(a, b) &&
	       exes_meet(a->exes, a->n_exes, b->exes, b->n_exes) &&
	       exes_meet(a->parents, a->n_parents, b->parents, b->n_parents);
}

static bool numbers_hold(const struct zt_u32_ranges *outer, const struct zt_u32_ranges *inner)
{
	return !outer->n || (inner->n && zt_u32_ranges_contain(outer, inner));
}

bool zt_subject_contains(const struct zt_subject *outer, const struct zt_subject *inner)
{
	if (!outer || !inner)
		return !outer;
	return numbers_hold(&outer->uid, &inner->uid) && numbers_hold(&outer->gid, &inner->gid) &&
	       cgroups_hold(outer, inner) && exes_hold(outer->exes, outer->n_exes, inner->exes, inner->n_exes) &&
	       exes_hold(outer->parents, outer->n_parents, inner->parents, inner->n_parents);
}

/* ---- one process ---- */
static bool in_groups(const struct zt_subject *s, const struct zt_actor *a)
{
	bool in = !s->gid.n || zt_u32_ranges_has(&s->gid, a->gid);

	for (size_t i = 0; !in && i < a->n_groups; i++)
		in = zt_u32_ranges_has(&s->gid, a->groups[i]);
	return in;
}

static bool in_cgroup(const struct zt_cgroup *c, const struct zt_actor *a)
{
	if (a->cgroup_path && within(c->path, a->cgroup_path))
		return true;
	for (size_t i = 0; c->id && i < ZT_ARRAY_SIZE(a->cgroup) && a->cgroup[i]; i++)
		if (a->cgroup[i] == c->id)
			return true;
	return false;
}

static bool in_cgroups(const struct zt_subject *s, const struct zt_actor *a)
{
	for (size_t i = 0; i < s->n_cgroups; i++)
		if (in_cgroup(&s->cgroups[i], a))
			return true;
	return !s->n_cgroups;
}

static bool is_program(const struct zt_exe *v, size_t n, const struct zt_file_id *id, const char *path)
{
	for (size_t i = 0; i < n; i++)
		if ((path && !strcmp(path, v[i].path)) || (id->ino && file_eq(id, &v[i].id)))
			return true;
	return !n;
}

enum zt_subject_miss zt_subject_miss(const struct zt_subject *s, const struct zt_actor *a)
{
	if (!a->known)
		return ZT_SUBJECT_UNKNOWN;
	if (s->uid.n && !zt_u32_ranges_has(&s->uid, a->uid))
		return ZT_SUBJECT_UID;
	if (!in_groups(s, a))
		return ZT_SUBJECT_GID;
	if (!in_cgroups(s, a))
		return ZT_SUBJECT_CGROUP;
	if (!is_program(s->exes, s->n_exes, &a->exe, a->exe_path))
		return ZT_SUBJECT_EXE;
	return is_program(s->parents, s->n_parents, &a->parent, a->parent_path) ? ZT_SUBJECT_MATCH : ZT_SUBJECT_PARENT;
}

bool zt_subject_match(const struct zt_subject *s, const struct zt_actor *a)
{
	return zt_subject_miss(s, a) == ZT_SUBJECT_MATCH;
}

static struct zt_file_id file_of(const struct zt_process *p)
{
	if (p->exe_deleted)
		return (struct zt_file_id){0};
	return (struct zt_file_id){
		.dev = p->exe_dev, .ino = p->exe_ino, .ctime_sec = p->exe_ctime_sec, .ctime_nsec = p->exe_ctime_nsec};
}

static bool programs_count(const struct zt_ruleset *rs)
{
	for (size_t i = 0; rs && i < rs->n_subjects; i++)
		if (rs->subjects[i]->n_exes || rs->subjects[i]->n_parents)
			return true;
	return !rs;
}

bool zt_actor_told(const struct zt_actor *a, const struct zt_ruleset *rs)
{
	return a->exe.ino || !programs_count(rs);
}

struct zt_actor zt_actor_of(const struct zt_process *p, const struct zt_process *parent, const struct zt_ruleset *rs)
{
	struct zt_actor a = {
		.uid = p->uid, .gid = p->gid, .groups = p->groups, .n_groups = p->n_groups, .exe = file_of(p)};

	if (parent)
		a.parent = file_of(parent);
	a.known = p->pid && zt_actor_told(&a, rs);
	return a;
}
