/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "engine/nft/nft.h"

/*
 * Which earlier rules can a rule overlap? Rules with a few single values in a dimension stand in buckets by value, the others in the
 * dimension's wide list; a query takes the dimension that gives the fewest candidates. Without this, placing n rules is O(n^2).
 */
enum { BY_UID, BY_PORT, BY_DST, N_BY };
#define FEW 16
#define BUCKETS (1u << 16)

struct list {
	uint32_t *v;
	size_t n, cap;
};

struct nft_index {
	const struct zt_ruleset *rs;
	unsigned *pos; /* by rule: the highest stratum one of its pieces stands in, plus 1; 0 = not placed */
	struct list *bucket[N_BY];
	struct list wide[N_BY];
};

struct nft_index *nft_index_new(const struct zt_ruleset *rs)
{
	struct nft_index *ix = zt_new(struct nft_index, 1);
	bool ok = ix != NULL;

	if (!ix)
		return NULL;
	ix->rs = rs;
	ix->pos = zt_new(unsigned, rs->n_rules + 1);
	ok = ix->pos != NULL;
	for (int by = 0; by < N_BY; by++) {
		ix->bucket[by] = zt_new(struct list, BUCKETS);
		ok = ok && ix->bucket[by];
	}
	if (!ok) {
		nft_index_free(ix);
		return NULL;
	}
	return ix;
}

void nft_index_free(struct nft_index *ix)
{
	if (!ix)
		return;
	for (int by = 0; by < N_BY; by++) {
		for (size_t i = 0; ix->bucket[by] && i < BUCKETS; i++)
			free(ix->bucket[by][i].v);
		free(ix->bucket[by]);
		free(ix->wide[by].v);
	}
	free(ix->pos);
	free(ix);
}

static uint32_t hash32(uint64_t v)
{
	v ^= v >> 33;
	v *= UINT64_C(0xff51afd7ed558ccd);
	v ^= v >> 33;
	return (uint32_t)v & (BUCKETS - 1);
}

static uint32_t hash_addr(const struct zt_addr *a)
{
	uint64_t lo, hi;

	memcpy(&hi, a->b, 8);
	memcpy(&lo, a->b + 8, 8);
	return hash32(hi * 31 + lo + a->family);
}

/* Bucket numbers of the rule in one dimension; returns their count, 0 = wide. */
static size_t few_numbers(const struct zt_u32_ranges *l, uint32_t out[FEW])
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		for (uint64_t v = l->v[i].lo; v <= l->v[i].hi; v++) {
			if (n == FEW)
				return 0;
			out[n++] = hash32(v);
		}
	return n;
}

static size_t few_addrs(const struct zt_match *m, uint32_t out[FEW])
{
	const struct zt_addr_ranges *lists[] = {m->families & ZT_FAMILY_4 ? &m->dst4 : NULL,
						m->families & ZT_FAMILY_6 ? &m->dst6 : NULL};
	size_t n = 0;

	for (size_t k = 0; k < ZT_ARRAY_SIZE(lists); k++) {
		if (!lists[k])
			continue;
		if (!lists[k]->n)
			return 0;
		for (size_t i = 0; i < lists[k]->n; i++) {
			if (n == FEW || zt_addr_cmp(&lists[k]->v[i].lo, &lists[k]->v[i].hi))
				return 0;
			out[n++] = hash_addr(&lists[k]->v[i].lo);
		}
	}
	return n;
}

/* A rule that blocks a sender by subject blocks unknown processes as well, whatever user they are. */
static bool blocks(const struct zt_rule *r)
{
	return r->verdict == ZT_DROP || r->verdict == ZT_REJECT;
}

static size_t few(const struct zt_rule *r, int by, uint32_t out[FEW])
{
	const struct zt_match *m = &r->match;

	switch (by) {
	case BY_UID:
		return m->from && blocks(r) ? 0 : few_numbers(&m->uid, out);
	case BY_PORT:
		return few_numbers(&m->port, out);
	default:
		return few_addrs(m, out);
	}
}

static bool ends_overlap(const struct zt_rule *a, const struct zt_subject *x, const struct zt_rule *b,
			 const struct zt_subject *y)
{
	return (blocks(a) && blocks(b)) || !x || !y || zt_subject_overlap(x, y);
}

/* Is there a packet that both match? Subjects that exclude each other still have unknown processes in common, where both rules block; and
 * an unknown process of some user is one of his, and one that a rule by subject blocks. */
static bool overlap(const struct zt_rule *a, const struct zt_rule *b)
{
	struct zt_match x = a->match, y = b->match;

	if (!x.from && !y.from && !x.to && !y.to)
		return zt_match_overlap(&x, &y);
	if (!ends_overlap(a, x.from, b, y.from) || !ends_overlap(a, x.to, b, y.to))
		return false;
	if ((x.from && blocks(a)) || (y.from && blocks(b))) { /* what is left to compare has no sender */
		x.uid.n = y.uid.n = 0;
		x.n_cgroups = y.n_cgroups = 0;
	}
	x.from = y.from = x.to = y.to = NULL;
	return zt_match_overlap(&x, &y);
}

static void scan(const struct nft_index *ix, const struct list *l, uint32_t rule, unsigned *floor)
{
	const struct zt_rule *r = &ix->rs->rules[rule];

	for (size_t i = 0; i < l->n; i++) {
		const struct zt_rule *q = &ix->rs->rules[l->v[i]];

		if (ix->pos[l->v[i]] > *floor && l->v[i] != rule && q->dir == r->dir && overlap(q, r))
			*floor = ix->pos[l->v[i]];
	}
}

static void scan_all(const struct nft_index *ix, uint32_t rule, unsigned *floor)
{
	for (uint32_t q = 0; q < rule; q++)
		scan(ix, &(struct list){.v = &q, .n = 1}, rule, floor);
}

unsigned nft_index_floor(const struct nft_index *ix, uint32_t rule)
{
	const struct zt_rule *m = &ix->rs->rules[rule];
	size_t best_cost = rule;
	int best = -1;
	uint32_t keys[FEW];
	unsigned floor = 0;

	for (int by = 0; by < N_BY; by++) {
		size_t n = few(m, by, keys), cost = ix->wide[by].n;

		for (size_t i = 0; i < n; i++)
			cost += ix->bucket[by][keys[i]].n;
		if (n && cost < best_cost) {
			best_cost = cost;
			best = by;
		}
	}
	if (best < 0) {
		scan_all(ix, rule, &floor);
		return floor;
	}
	scan(ix, &ix->wide[best], rule, &floor);
	for (size_t i = 0, n = few(m, best, keys); i < n; i++)
		scan(ix, &ix->bucket[best][keys[i]], rule, &floor);
	return floor;
}

static int list_add(struct list *l, uint32_t rule)
{
	int r;

	if (l->n && l->v[l->n - 1] == rule)
		return 0;
	r = zt_grow(l->v, l->cap, l->n);
	if (r < 0)
		return r;
	l->v[l->n++] = rule;
	return 0;
}

int nft_index_place(struct nft_index *ix, uint32_t rule, unsigned pos)
{
	const struct zt_rule *m = &ix->rs->rules[rule];
	uint32_t keys[FEW];
	bool first = !ix->pos[rule];
	int r = 0;

	ix->pos[rule] = ZT_MAX(ix->pos[rule], pos + 1);
	for (int by = 0; first && !r && by < N_BY; by++) {
		size_t n = few(m, by, keys);

		if (!n)
			r = list_add(&ix->wide[by], rule);
		for (size_t i = 0; !r && i < n; i++)
			r = list_add(&ix->bucket[by][keys[i]], rule);
	}
	return r;
}
