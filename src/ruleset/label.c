/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ruleset/label.h"

#include <string.h>

#include "base/mem.h"

/* Which sets can a process satisfy? Each kind of evidence leaves one of a few sets possible; what a process satisfies is the intersection of
 * one from each kind. Kinds are multiplied one after another, equal results once. */

static bool set_eq(const struct zt_set_bits *a, const struct zt_set_bits *b)
{
	return !memcmp(a, b, sizeof(*a));
}

static struct zt_set_bits set_and(const struct zt_set_bits *a, const struct zt_set_bits *b)
{
	struct zt_set_bits out;

	for (int i = 0; i < ZT_SET_WORDS; i++)
		out.w[i] = a->w[i] & b->w[i];
	return out;
}

static struct zt_set_bits set_or(const struct zt_set_bits *a, const struct zt_set_bits *b)
{
	struct zt_set_bits out;

	for (int i = 0; i < ZT_SET_WORDS; i++)
		out.w[i] = a->w[i] | b->w[i];
	return out;
}

/* ---- a set of sets ---- */
struct sets {
	struct zt_set_bits *v;
	size_t n, cap;
	uint32_t *slot; /* open addressing: index + 1 */
	size_t n_slots;
};

static void sets_done(struct sets *s)
{
	free(s->v);
	free(s->slot);
	*s = (struct sets){0};
}

static size_t set_hash(const struct zt_set_bits *b)
{
	uint64_t h = UINT64_C(1469598103934665603);

	for (int i = 0; i < ZT_SET_WORDS; i++) {
		h ^= b->w[i];
		h *= UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	return (size_t)h;
}

static int sets_grow(struct sets *s)
{
	size_t n = s->n_slots ? s->n_slots * 2 : 64;
	uint32_t *slot = zt_new(uint32_t, n);

	if (!slot)
		return -ENOMEM;
	for (size_t i = 0; i < s->n; i++) {
		size_t at = set_hash(&s->v[i]) & (n - 1);

		while (slot[at])
			at = (at + 1) & (n - 1);
		slot[at] = (uint32_t)i + 1;
	}
	free(s->slot);
	s->slot = slot;
	s->n_slots = n;
	return 0;
}

static int sets_add(struct sets *s, const struct zt_set_bits *b)
{
	size_t at;

	if (s->n * 2 >= s->n_slots && sets_grow(s) < 0)
		return -ENOMEM;
	for (at = set_hash(b) & (s->n_slots - 1); s->slot[at]; at = (at + 1) & (s->n_slots - 1))
		if (set_eq(&s->v[s->slot[at] - 1], b))
			return 0;
	if (s->n == ZT_LABELS_MAX)
		return -E2BIG;
	if (zt_grow(s->v, s->cap, s->n) < 0)
		return -ENOMEM;
	s->v[s->n++] = *b;
	s->slot[at] = (uint32_t)s->n;
	return 0;
}

/* all = { a & b } */
static int multiply(struct sets *all, const struct sets *kind)
{
	ZT_CLEANUP(sets_done) struct sets out = {0};
	int r = 0;

	for (size_t i = 0; !r && i < all->n; i++)
		for (size_t k = 0; !r && k < kind->n; k++) {
			struct zt_set_bits b = set_and(&all->v[i], &kind->v[k]);

			r = sets_add(&out, &b);
		}
	if (!r) {
		struct sets old = *all;

		*all = out;
		out = old;
	}
	return r;
}

/* ---- kinds ---- */
/* A process is in any number of groups at once. */
static int groups_kind(const struct zt_evidence *e, struct sets *kind)
{
	int r = sets_add(kind, &e->group_other);

	for (size_t i = 0; !r && i < e->n_groups; i++)
		for (size_t k = 0, n = kind->n; !r && k < n; k++) {
			struct zt_set_bits b = set_or(&kind->v[k], &e->groups[i].set);

			r = sets_add(kind, &b);
		}
	return r;
}

static bool above(const char *outer, const char *inner)
{
	size_t n = strlen(outer);

	return !strncmp(outer, inner, n) && (!inner[n] || inner[n] == '/');
}

/* A process is in one control group and all above it. */
static int cgroups_kind(const struct zt_evidence *e, struct sets *kind)
{
	int r = sets_add(kind, &e->cgroup_other);

	for (size_t i = 0; !r && i < e->n_cgroups; i++) {
		struct zt_set_bits b = e->cgroup_other;

		for (size_t k = 0; k < e->n_cgroups; k++)
			if (above(e->cgroups[k].cgroup->path, e->cgroups[i].cgroup->path))
				b = set_or(&b, &e->cgroups[k].set);
		r = sets_add(kind, &b);
	}
	return r;
}

static int exes_kind(const struct zt_exe_class *v, size_t n, const struct zt_set_bits *other, struct sets *kind)
{
	int r = sets_add(kind, other);

	for (size_t i = 0; !r && i < n; i++)
		r = sets_add(kind, &v[i].set);
	return r;
}

static int uids_kind(const struct zt_evidence *e, struct sets *kind)
{
	int r = 0;

	for (size_t i = 0; !r && i < e->n_uids; i++)
		r = sets_add(kind, &e->uids[i].set);
	return r;
}

static int all_sets(const struct zt_evidence *e, struct sets *all)
{
	int r = uids_kind(e, all);

	for (int kind = 0; !r && kind < 4; kind++) {
		ZT_CLEANUP(sets_done) struct sets k = {0};

		r = kind == 0	? groups_kind(e, &k)
		    : kind == 1 ? cgroups_kind(e, &k)
		    : kind == 2 ? exes_kind(e->exes, e->n_exes, &e->exe_other, &k)
				: exes_kind(e->parents, e->n_parents, &e->parent_other, &k);
		r = r ?: multiply(all, &k);
	}
	return r;
}

/* The empty set first: it is ZT_LABEL_NONE. */
static int compare_sets(const void *a, const void *b)
{
	const struct zt_set_bits *x = a, *y = b;

	for (int i = ZT_SET_WORDS - 1; i >= 0; i--)
		if (x->w[i] != y->w[i])
			return x->w[i] < y->w[i] ? -1 : 1;
	return 0;
}

int zt_labels_make(const struct zt_ruleset *rs, struct zt_labels *ret, struct zt_diags *d)
{
	static const struct zt_set_bits none;
	ZT_CLEANUP(zt_evidence_done) struct zt_evidence e = {0};
	ZT_CLEANUP(sets_done) struct sets all = {0};
	int r = zt_evidence_make(rs, &e);

	r = r ?: all_sets(&e, &all) ?: sets_add(&all, &none);
	if (r == -E2BIG) {
		(void)zt_diag(d, ZT_ERROR, 2101, NULL, "the identities of the policy overlap in more than %d ways",
			      ZT_LABELS_MAX);
		zt_diag_hint(d, "fewer groups, or services instead of groups, keep them apart");
	}
	if (r < 0)
		return r;
	qsort(all.v, all.n, sizeof(*all.v), compare_sets);
	*ret = (struct zt_labels){.sets = all.v, .n = all.n, .cap = all.cap};
	all.v = NULL;
	return 0;
}

void zt_labels_done(struct zt_labels *l)
{
	free(l->sets);
	*l = (struct zt_labels){0};
}

uint32_t zt_labels_find(const struct zt_labels *l, const struct zt_set_bits *s)
{
	const struct zt_set_bits *at = l->n ? bsearch(s, l->sets, l->n, sizeof(*s), compare_sets) : NULL;

	return at ? (uint32_t)(at - l->sets) + 1 : ZT_LABEL_UNKNOWN;
}
