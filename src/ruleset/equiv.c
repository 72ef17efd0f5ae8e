/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ruleset/equiv.h"

#include <string.h>

#include "base/mem.h"
#include "base/time.h"
#include "ruleset/equiv_dims.h"

struct walk {
	const struct zt_ruleset *rs[2];
	struct equiv_point at; /* the class walked now, by its representative */
	unsigned asked;	       /* attributes of it that some rule names */
	uint64_t walked, budget;
	struct zt_equiv *ret;
	struct equiv_point best; /* the smallest difference so far, once ret->equal is false */
	unsigned best_asked;
};

/* Rules of one ruleset that can still match, in order. */
struct rules {
	const struct zt_rule **v;
	size_t n;
};

/* A rule that asks nothing of the dimensions to come hides all behind it. */
static size_t until_certain(const struct rules *l, int dim)
{
	for (size_t i = 0; i < l->n; i++) {
		bool asks = false;

		for (int d = dim; d < EQUIV_DIMS && !asks; d++)
			asks = equiv_asks(l->v[i], d);
		if (!asks)
			return i + 1;
	}
	return l->n;
}

/* Decides the flow of a class by both rulesets. */
static bool differs(const struct walk *w, const struct equiv_point *at, struct zt_equiv *e)
{
	equiv_flow(at, &e->flow, &e->sender, &e->receiver);
	for (int i = 0; i < 2; i++) {
		struct zt_actor *a = i ? &e->receiver : &e->sender;

		memcpy(e->groups[i], at->p[i].group, sizeof(e->groups[i]));
		a->groups = e->groups[i];
	}
	zt_oracle_decide(w->rs[0], &e->flow, &e->a);
	zt_oracle_decide(w->rs[1], &e->flow, &e->b);
	return e->a.verdict != e->b.verdict || (e->a.rule && e->b.rule && e->a.rule->log != e->b.rule->log);
}

/* ---- the smallest ---- */
/* The order in which the values of a dimension are tried: of classes alike the first is taken. A sender is a process rather than nobody. */
static unsigned rank(int dim, uint64_t value)
{
	if (dim == EQUIV_PROTO)
		return value == 6 ? 0 : value == 17 ? 1 : 2;
	return dim == EQUIV_KNOWN ? (unsigned)(EQUIV_PROCESS - value) : 0;
}

static int by_numbers(const struct equiv_point *a, const struct equiv_point *b)
{
	const uint64_t x[] = {rank(EQUIV_KNOWN, a->p[0].known), a->p[1].known, rank(EQUIV_PROTO, a->proto), a->port};
	const uint64_t y[] = {rank(EQUIV_KNOWN, b->p[0].known), b->p[1].known, rank(EQUIV_PROTO, b->proto), b->port};

	for (size_t i = 0; i < ZT_ARRAY_SIZE(x); i++)
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	return 0;
}

static bool smaller(const struct walk *w)
{
	const struct equiv_point *a = &w->at, *b = &w->best;
	int k;

	if (w->asked != w->best_asked)
		return w->asked < w->best_asked;
	k = by_numbers(a, b) ?: zt_addr_cmp(&a->dst, &b->dst) ?: zt_addr_cmp(&a->src, &b->src);
	return k ? k < 0 : a->p[0].uid < b->p[0].uid;
}

/*
 * All dimensions are settled, or none matters any more. The oracle has the last word: it knows the defaults and the settings. Once there is a
 * difference, smaller ones are looked for as long again as it took to find it.
 */
static int leaf(struct walk *w)
{
	struct zt_equiv here = {0};
	bool first = w->ret->equal;

	w->walked++;
	if (differs(w, &w->at, &here) && (first || smaller(w))) {
		w->best = w->at;
		w->best_asked = w->asked;
		w->ret->equal = false;
		if (first)
			w->budget = ZT_MIN(w->budget, 2 * w->walked + 100000);
	}
	return w->walked > w->budget ? -E2BIG : 0;
}

static bool anybody_asks(const struct rules l[2], int dim)
{
	for (int s = 0; s < 2; s++)
		for (size_t i = 0; i < l[s].n; i++)
			if (equiv_asks(l[s].v[i], dim))
				return true;
	return false;
}

/* ---- classes that keep the same rules are walked once ---- */
struct seen {
	uint64_t *bits; /* n rows of words */
	size_t words, n, cap;
};

static bool seen_before(const struct seen *s, const uint64_t *row)
{
	for (size_t i = 0; i < s->n; i++)
		if (!memcmp(s->bits + i * s->words, row, s->words * sizeof(*row)))
			return true;
	return false;
}

static int remember(struct seen *s, const uint64_t *row)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 8;
		uint64_t *bigger = zt_realloc(s->bits, cap * s->words * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		s->bits = bigger;
		s->cap = cap;
	}
	memcpy(s->bits + s->n++ * s->words, row, s->words * sizeof(*row));
	return 0;
}

/* Whether a rule asks for this class by name; directions and families are no attributes, and a process is told by what it is. */
static bool keep(const struct walk *w, const struct rules from[2], int dim, struct rules to[2], uint64_t *row)
{
	bool counts = dim > EQUIV_FAMILY && dim != EQUIV_KNOWN && dim != EQUIV_TO_KNOWN, named = false;
	size_t bit = 0;

	for (int s = 0; s < 2; s++) {
		to[s].n = 0;
		for (size_t i = 0; i < from[s].n; i++, bit++) {
			if (!equiv_matches(from[s].v[i], dim, &w->at))
				continue;
			row[bit / 64] |= UINT64_C(1) << (bit % 64);
			to[s].v[to[s].n++] = from[s].v[i];
			named = named || (counts && equiv_asks(from[s].v[i], dim));
		}
	}
	return named;
}

static int walk(struct walk *w, const struct rules now[2], int dim);

static int walk_class(struct walk *w, const struct rules now[2], int dim, struct rules next[2], struct seen *seen,
		      uint64_t *row)
{
	int r;

	memset(row, 0, seen->words * sizeof(*row));
	w->asked += keep(w, now, dim, next, row);
	if (!w->ret->equal && w->asked > w->best_asked)
		return 0;
	/* Direction and loopback matter to the defaults, the family to the addresses: classes of these are never merged. */
	if (dim > EQUIV_FAMILY && seen_before(seen, row))
		return 0;
	r = remember(seen, row);
	return r ? r : walk(w, next, dim + 1);
}

static bool in_turn(const struct equiv_classes *c, size_t i, int dim, unsigned turn)
{
	return rank(dim, c->v[i].number) == turn;
}

static int walk_dim(struct walk *w, const struct rules now[2], int dim)
{
	size_t n = now[0].n + now[1].n;
	ZT_FREE const struct zt_rule **room = zt_new(const struct zt_rule *, n + 1);
	struct rules next[2] = {{.v = room}, {.v = room + now[0].n}};
	struct seen seen = {.words = n / 64 + 1};
	ZT_FREE uint64_t *row = zt_new(uint64_t, seen.words);
	struct equiv_classes c = {0};
	int r = room && row ? equiv_classes_make(now[0].v, now[0].n, now[1].v, now[1].n, dim, &w->at, &c) : -ENOMEM;

	for (size_t k = 0; !r && k < 3 * c.n; k++) {
		struct equiv_point before = w->at;
		unsigned asked = w->asked;

		if (!in_turn(&c, k % c.n, dim, (unsigned)(k / c.n)))
			continue;
		equiv_set(&c, k % c.n, dim, &w->at);
		r = walk_class(w, now, dim, next, &seen, row);
		w->at = before;
		w->asked = asked;
	}
	equiv_classes_done(&c);
	free(seen.bits);
	return r;
}

static int walk(struct walk *w, const struct rules now[2], int dim)
{
	struct rules l[2] = {{now[0].v, until_certain(&now[0], dim)}, {now[1].v, until_certain(&now[1], dim)}};

	while (dim < EQUIV_DIMS && dim > EQUIV_KIND && !anybody_asks(l, dim))
		dim++;
	return dim == EQUIV_DIMS ? leaf(w) : walk_dim(w, l, dim);
}

/* ---- the size of the whole space ---- */
static int count(const struct zt_rule **a, size_t n, const struct zt_rule **b, size_t m, double *ret)
{
	struct equiv_point at = equiv_start();
	int r = 0;

	*ret = 1;
	for (int dim = 0; !r && dim < EQUIV_DIMS; dim++) {
		struct equiv_classes c = {0};

		r = equiv_classes_make(a, n, b, m, dim, &at, &c);
		*ret *= (double)ZT_MAX(c.n, (size_t)1);
		equiv_classes_done(&c);
	}
	return r;
}

static int all(const struct zt_ruleset *rs, const struct zt_rule *ssh, struct rules *ret)
{
	ret->v = zt_new(const struct zt_rule *, rs->n_rules + 1);
	if (!ret->v)
		return -ENOMEM;
	if (rs->ssh_ports.n)
		ret->v[ret->n++] = ssh;
	for (size_t i = 0; i < rs->n_rules; i++)
		ret->v[ret->n++] = &rs->rules[i];
	return 0;
}

static bool identical(const struct zt_ruleset *a, const struct zt_ruleset *b)
{
	ZT_STRBUF struct zt_strbuf x = {0}, y = {0};

	return zt_ruleset_canonical(a, &x) == 0 && zt_ruleset_canonical(b, &y) == 0 && x.len == y.len &&
	       !memcmp(x.buf, y.buf, x.len);
}

int zt_ruleset_equiv(const struct zt_ruleset *a, const struct zt_ruleset *b, uint64_t budget, struct zt_equiv *ret)
{
	struct zt_rule ssh[2] = {equiv_ssh_rule(a), equiv_ssh_rule(b)};
	struct rules l[2] = {{0}, {0}};
	struct walk w = {.rs = {a, b}, .at = equiv_start(), .budget = budget ? budget : 20000000, .ret = ret};
	int r = all(a, &ssh[0], &l[0]) ?: all(b, &ssh[1], &l[1]);

	*ret = (struct zt_equiv){.equal = true};
	r = r ?: count(l[0].v, l[0].n, l[1].v, l[1].n, &ret->classes);
	if (!r && !identical(a, b))
		r = walk(&w, l, 0);
	ret->walked = w.walked;
	free(l[0].v);
	free(l[1].v);
	if (ret->equal)
		return r;
	ret->smallest = !r;
	if (r == -E2BIG) /* there is one; a smaller may be left */
		r = 0;
	(void)differs(&w, &w.best, ret); /* it does */
	return r;
}
