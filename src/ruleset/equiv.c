/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ruleset/equiv.h"

#include <string.h>

#include "base/mem.h"
#include "base/time.h"
#include "ruleset/equiv_dims.h"

struct walk {
	const struct zt_ruleset *rs[2];
	struct equiv_point at; /* the class walked now, by its representative */
	uint64_t walked, budget;
	struct zt_equiv *ret;
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

static void difference(struct walk *w)
{
	struct zt_equiv *e = w->ret;

	equiv_flow(&w->at, &e->flow, &e->sender, &e->receiver);
	for (int i = 0; i < 2; i++) {
		struct zt_actor *a = i ? &e->receiver : &e->sender;

		memcpy(e->groups[i], w->at.p[i].group, sizeof(e->groups[i]));
		a->groups = e->groups[i];
	}
	zt_oracle_decide(w->rs[0], &e->flow, &e->a);
	zt_oracle_decide(w->rs[1], &e->flow, &e->b);
	e->equal = e->a.verdict == e->b.verdict && (!e->a.rule || !e->b.rule || e->a.rule->log == e->b.rule->log);
}

/* All dimensions are settled, or none matters any more. The oracle has the last word: it knows the defaults and the settings. */
static int leaf(struct walk *w)
{
	w->walked++;
	difference(w);
	return !w->ret->equal ? 1 : w->walked > w->budget ? -E2BIG : 0;
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

static void keep(const struct walk *w, const struct rules from[2], int dim, struct rules to[2], uint64_t *row)
{
	size_t bit = 0;

	for (int s = 0; s < 2; s++) {
		to[s].n = 0;
		for (size_t i = 0; i < from[s].n; i++, bit++) {
			if (!equiv_matches(from[s].v[i], dim, &w->at))
				continue;
			row[bit / 64] |= UINT64_C(1) << (bit % 64);
			to[s].v[to[s].n++] = from[s].v[i];
		}
	}
}

static int walk(struct walk *w, const struct rules now[2], int dim);

static int walk_class(struct walk *w, const struct rules now[2], int dim, struct rules next[2], struct seen *seen,
		      uint64_t *row)
{
	int r;

	memset(row, 0, seen->words * sizeof(*row));
	keep(w, now, dim, next, row);
	/* Which dimension matters to the defaults: those of direction and loopback are never merged. */
	if (dim > EQUIV_KIND && seen_before(seen, row))
		return 0;
	r = remember(seen, row);
	return r ? r : walk(w, next, dim + 1);
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

	for (size_t i = 0; !r && i < c.n; i++) {
		struct equiv_point before = w->at;

		equiv_set(&c, i, dim, &w->at);
		r = walk_class(w, now, dim, next, &seen, row);
		w->at = before;
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

/* The SSH ports stand before all rules. */
static struct zt_rule ssh_rule(const struct zt_ruleset *rs)
{
	static struct zt_u32_range tcp = {6, 6};

	return (struct zt_rule){
		.dir = ZT_DIR_INGRESS,
		.match = {.families = ZT_FAMILY_4 | ZT_FAMILY_6, .proto = {.v = &tcp, .n = 1}, .port = rs->ssh_ports}};
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
	struct zt_rule ssh[2] = {ssh_rule(a), ssh_rule(b)};
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
	if (r < 0)
		return r;
	if (ret->equal)
		ret->flow = (struct zt_flow){0};
	return 0;
}
