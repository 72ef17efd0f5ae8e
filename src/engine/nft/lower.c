/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "engine/nft/nft.h"

#define EXPAND_MAX 32 /* a box of ranges that holds at most this many single flows is written out one by one */

struct values {
	struct nft_value *v;
	size_t n, cap;
};

/* One family of one rule, ready to be multiplied out. */
struct piece {
	struct nft_shape shape;
	struct values dim[N_DIMS];
};

static void piece_done(struct piece *p)
{
	for (int i = 0; i < N_DIMS; i++)
		free(p->dim[i].v);
}

static int add_value(struct piece *p, int dim, struct nft_value v)
{
	struct values *l = &p->dim[dim];
	int r = zt_grow(l->v, l->cap, l->n);

	if (r < 0)
		return r;
	l->v[l->n++] = v;
	p->shape.dims |= (uint16_t)(1u << dim);
	return 0;
}

static int add_numbers(struct piece *p, int dim, const struct zt_u32_ranges *l)
{
	int r = 0;

	for (size_t i = 0; !r && i < l->n; i++)
		r = add_value(p, dim, (struct nft_value){.lo = l->v[i].lo, .hi = l->v[i].hi});
	return r;
}

static int add_addrs(struct piece *p, int dim, const struct zt_addr_ranges *l)
{
	int r = 0;

	for (size_t i = 0; !r && i < l->n; i++)
		r = add_value(p, dim, (struct nft_value){.alo = l->v[i].lo, .ahi = l->v[i].hi});
	return r;
}

static int add_cgroups(struct piece *p, const struct zt_match *m, uint32_t level)
{
	int r = 0;

	for (size_t i = 0; !r && i < m->n_cgroups; i++) {
		uint64_t id = nft_cgroup_key(&m->cgroups[i]);

		if (m->cgroups[i].level == level)
			r = add_value(p, DIM_CGROUP, (struct nft_value){.lo = id, .hi = id});
	}
	p->shape.level = (uint8_t)level;
	return r;
}

static int add_nfproto(struct piece *p, unsigned families)
{
	int r = 0;

	if (families & ZT_FAMILY_4)
		r = add_value(p, DIM_NFPROTO, (struct nft_value){.lo = 2, .hi = 2});
	if (!r && families & ZT_FAMILY_6)
		r = add_value(p, DIM_NFPROTO, (struct nft_value){.lo = 10, .hi = 10});
	return r;
}

static bool addr_is_single(const struct nft_value *v)
{
	return !zt_addr_cmp(&v->alo, &v->ahi);
}

/* How many single flows the box holds; stops above max. Address ranges count as too many. */
static uint64_t volume(const struct piece *p, uint64_t max, bool *ret_all_single)
{
	uint64_t total = 1;

	*ret_all_single = true;
	for (int d = 0; d < N_DIMS; d++) {
		uint64_t sum = p->dim[d].n ? 0 : 1;

		for (size_t i = 0; i < p->dim[d].n; i++) {
			const struct nft_value *v = &p->dim[d].v[i];
			bool single = v->alo.family ? addr_is_single(v) : v->lo == v->hi;

			*ret_all_single = *ret_all_single && single;
			sum += single ? 1 : v->alo.family ? max + 1 : v->hi - v->lo + 1;
		}
		total = sum > max || total * sum > max ? max + 1 : total * sum;
	}
	return total;
}

/* Ranges of numbers become lists of single numbers. */
static int expand(struct piece *p)
{
	for (int d = 0; d < N_DIMS; d++) {
		struct values old = p->dim[d];
		int r = 0;

		p->dim[d] = (struct values){0};
		for (size_t i = 0; !r && i < old.n; i++)
			if (old.v[i].alo.family)
				r = add_value(p, d, old.v[i]);
			else
				for (uint64_t v = old.v[i].lo; !r && v <= old.v[i].hi; v++)
					r = add_value(p, d, (struct nft_value){.lo = v, .hi = v});
		free(old.v);
		if (r < 0)
			return r;
	}
	return 0;
}

struct numbers_ctx {
	struct piece *p;
	int dim;
	uint32_t shift;
};

static int add_mark(void *arg, uint32_t number)
{
	const struct numbers_ctx *c = arg;
	uint64_t mark = (uint64_t)number << c->shift;

	return add_value(c->p, c->dim, (struct nft_value){.lo = mark, .hi = mark});
}

static int add_marks(struct piece *p, int dim, const struct nft_marks *marks, uint32_t subject, enum zt_verdict verdict)
{
	struct numbers_ctx c = {p, dim, subject ? nft_marks_shift(marks) : 0};

	return subject ? nft_marks_each(marks, subject, verdict, add_mark, &c) : 0;
}

/* Who sends and who receives: by number where there is one, else what the kernel can match itself. */
static int add_ends(const struct nft_marks *marks, const struct zt_rule *rule, uint32_t level, struct piece *p)
{
	const struct zt_match *m = &rule->match;
	uint32_t from = nft_marks_from(marks, rule);
	int r = add_marks(p, DIM_FROM, marks, from, rule->verdict)
			?: add_marks(p, DIM_TO, marks, nft_marks_to(marks, rule), rule->verdict);

	if (from)
		return r;
	r = r ?: m->n_cgroups ? add_cgroups(p, m, level) : 0;
	return r ?: add_numbers(p, DIM_UID, &m->uid) ?: add_numbers(p, DIM_GID, &m->gid);
}

/* family 0: the rule says nothing about addresses and covers both. */
static int make_piece(const struct nft_marks *marks, const struct zt_rule *rule, unsigned family, uint32_t level,
		      struct piece *p)
{
	const struct zt_match *m = &rule->match;
	const struct zt_addr_ranges *src = family == 4 ? &m->src4 : &m->src6, *dst = family == 4 ? &m->dst4 : &m->dst6;
	unsigned families = family == 0 ? ZT_FAMILY_4 | ZT_FAMILY_6 : family == 4 ? ZT_FAMILY_4 : ZT_FAMILY_6;
	bool single;
	int r = add_ends(marks, rule, level, p);

	if (!r && family)
		r = add_addrs(p, DIM_SRC, src);
	if (!r && family)
		r = add_addrs(p, DIM_DST, dst);
	if (!r)
		r = add_numbers(p, DIM_PROTO, &m->proto);
	if (!r)
		r = add_numbers(p, DIM_PORT, &m->port);
	if (p->dim[DIM_SRC].n || p->dim[DIM_DST].n)
		p->shape.family = (uint8_t)family;
	if (!r && ((family && !p->shape.family) || __builtin_popcount(p->shape.dims) < 2))
		r = add_nfproto(p, families);
	/* A concatenation has at least two fields. */
	if (!r && __builtin_popcount(p->shape.dims) < 2)
		r = add_value(p, DIM_PROTO, (struct nft_value){.lo = 0, .hi = 255});
	if (r < 0)
		return r;
	if (volume(p, EXPAND_MAX, &single) <= EXPAND_MAX && !single)
		r = expand(p);
	else
		p->shape.interval = !single;
	return r;
}

static bool guard_eq(const struct nft_guard *g, const struct zt_rule *r)
{
	return g->expires == r->expires && g->n_windows == r->n_windows &&
	       (!r->n_windows || !memcmp(g->windows, r->windows, r->n_windows * sizeof(*r->windows)));
}

static int find_guard(struct zt_image *img, const struct zt_rule *rule, uint32_t *ret)
{
	int r;

	for (size_t i = 0; i < img->n_guards; i++)
		if (guard_eq(&img->guards[i], rule)) {
			*ret = (uint32_t)i;
			return 0;
		}
	r = zt_grow(img->guards, img->cap_guards, img->n_guards);
	if (r < 0)
		return r;
	*ret = (uint32_t)img->n_guards;
	img->guards[img->n_guards++] =
		(struct nft_guard){.windows = rule->windows, .n_windows = rule->n_windows, .expires = rule->expires};
	return 0;
}

/* The first stratum at or after floor with this shape and guard, made at the end when there is none. */
static int find_stratum(struct zt_image *img, enum zt_direction dir, unsigned floor, const struct nft_shape *shape,
			uint32_t guard, uint32_t *ret)
{
	unsigned pos = 0;
	int r;

	for (size_t i = 0; i < img->n_strata; i++) {
		const struct nft_stratum *s = &img->strata[i];

		if (s->dir != dir)
			continue;
		pos = s->pos + 1;
		if (s->pos >= floor && s->guard == guard && nft_shape_eq(&s->shape, shape)) {
			*ret = (uint32_t)i;
			return 0;
		}
	}
	r = zt_grow(img->strata, img->cap_strata, img->n_strata);
	if (r < 0)
		return r;
	*ret = (uint32_t)img->n_strata;
	img->strata[img->n_strata++] = (struct nft_stratum){.dir = dir, .pos = pos, .shape = *shape, .guard = guard};
	return 0;
}

static int add_elem(struct zt_image *img, uint32_t stratum, uint32_t rule, const struct nft_value *vals)
{
	int r = zt_grow(img->elems, img->cap_elems, img->n_elems);
	struct nft_elem *e;

	if (r < 0)
		return r;
	e = &img->elems[img->n_elems++];
	e->stratum = stratum;
	e->rule = rule;
	e->packets = e->bytes = 0;
	nft_shape_encode(&img->strata[stratum].shape, vals, e->key, e->end);
	return 0;
}

/* The product of all dimensions, like an odometer. */
static int multiply(struct zt_image *img, uint32_t stratum, uint32_t rule, const struct piece *p)
{
	size_t at[N_DIMS] = {0};
	struct nft_value vals[N_DIMS] = {0};
	int r = 0;

	for (;;) {
		int d;

		for (d = 0; d < N_DIMS; d++)
			if (p->dim[d].n)
				vals[d] = p->dim[d].v[at[d]];
		r = img->n_elems >= NFT_ELEMS_MAX ? -E2BIG : add_elem(img, stratum, rule, vals);
		if (r < 0)
			return r;
		for (d = 0; d < N_DIMS && (!p->dim[d].n || ++at[d] == p->dim[d].n); d++)
			at[d] = 0;
		if (d == N_DIMS)
			return 0;
	}
}

static int lower_piece(struct zt_image *img, struct nft_index *ix, uint32_t rule, unsigned family, uint32_t level,
		       unsigned floor)
{
	const struct zt_rule *zr = &img->rs->rules[rule];
	ZT_CLEANUP(piece_done) struct piece p = {0};
	uint32_t guard = 0, stratum = 0;
	int r = make_piece(img->marks, zr, family, level, &p);

	if (!r)
		r = find_guard(img, zr, &guard);
	if (!r)
		r = find_stratum(img, zr->dir, floor, &p.shape, guard, &stratum);
	if (!r)
		r = nft_index_place(ix, rule, img->strata[stratum].pos);
	return r ? r : multiply(img, stratum, rule, &p);
}

static bool is_agnostic(const struct zt_match *m)
{
	return m->families == (ZT_FAMILY_4 | ZT_FAMILY_6) && !m->src4.n && !m->src6.n && !m->dst4.n && !m->dst6.n;
}

static bool first_of_level(const struct zt_match *m, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (m->cgroups[k].level == m->cgroups[i].level)
			return false;
	return true;
}

static int lower_families(struct zt_image *img, struct nft_index *ix, uint32_t rule, uint32_t level, unsigned floor)
{
	const struct zt_match *m = &img->rs->rules[rule].match;
	int r = 0;

	if (is_agnostic(m))
		return lower_piece(img, ix, rule, 0, level, floor);
	if (m->families & ZT_FAMILY_4)
		r = lower_piece(img, ix, rule, 4, level, floor);
	if (!r && m->families & ZT_FAMILY_6)
		r = lower_piece(img, ix, rule, 6, level, floor);
	return r;
}

static int lower_rule(struct zt_image *img, struct nft_index *ix, uint32_t rule)
{
	const struct zt_match *m = &img->rs->rules[rule].match;
	unsigned floor = nft_index_floor(ix, rule);
	int r = 0;

	if (!m->n_cgroups || (img->refs && img->refs[rule].from))
		return lower_families(img, ix, rule, 0, floor);
	for (size_t i = 0; !r && i < m->n_cgroups; i++)
		if (first_of_level(m, i))
			r = lower_families(img, ix, rule, m->cgroups[i].level, floor);
	return r;
}

void nft_image_free(struct zt_image *img)
{
	if (!img)
		return;
	free(img->guards);
	free(img->strata);
	free(img->elems);
	free(img->okey);
	free(img->refs);
	nft_marks_free(img->marks);
	nft_work_free(img->work);
	free(img);
}

static void name_strata(const struct zt_image *img)
{
	for (size_t i = 0; i < img->n_strata; i++) {
		struct nft_stratum *s = &img->strata[i];
		ZT_STRBUF struct zt_strbuf b = {0};

		nft_shape_name(&s->shape, &b);
		(void)snprintf(s->name, sizeof(s->name), "%s%u_%s_g%u_v%u", nft_dir_name(s->dir), s->pos,
			       zt_strbuf_cstr(&b), s->guard,
			       img->work->version); /* the longest name is under 80 bytes */
	}
}

void nft_image_set_version(const struct zt_image *img, unsigned version)
{
	img->work->version = version;
	name_strata(img);
}

static int count_piece(const struct nft_marks *marks, const struct zt_rule *rule, unsigned family, uint32_t level,
		       size_t *total)
{
	ZT_CLEANUP(piece_done) struct piece p = {0};
	int r = make_piece(marks, rule, family, level, &p);
	size_t n = 1;

	for (int d = 0; d < N_DIMS; d++)
		n *= p.dim[d].n ? p.dim[d].n : 1;
	*total += n;
	return r;
}

static int count_families(const struct nft_marks *marks, const struct zt_rule *rule, uint32_t level, size_t *total)
{
	const struct zt_match *m = &rule->match;
	int r = 0;

	if (is_agnostic(m))
		return count_piece(marks, rule, 0, level, total);
	if (m->families & ZT_FAMILY_4)
		r = count_piece(marks, rule, 4, level, total);
	if (!r && m->families & ZT_FAMILY_6)
		r = count_piece(marks, rule, 6, level, total);
	return r;
}

int nft_lower_count(const struct nft_marks *marks, const struct zt_rule *rule, size_t *ret)
{
	const struct zt_match *m = &rule->match;
	int r = 0;

	*ret = 0;
	if (!m->n_cgroups || nft_marks_from(marks, rule))
		return count_families(marks, rule, 0, ret);
	for (size_t i = 0; !r && i < m->n_cgroups; i++)
		if (first_of_level(m, i))
			r = count_families(marks, rule, m->cgroups[i].level, ret);
	return r;
}

static int refuse(const struct zt_ruleset *rs, uint32_t rule, int r, struct zt_diags *d)
{
	const struct zt_rule *zr = &rs->rules[rule];
	struct zt_span span = {.file = zr->file < rs->n_files ? rs->files[zr->file] : "", .line = zr->line, .col = 1};

	if (r != -E2BIG)
		return r;
	(void)zt_diag(d, ZT_ERROR, 3101, &span, "rule \"%s\": the policy needs more than %u map elements", zr->id,
		      NFT_ELEMS_MAX);
	zt_diag_hint(d, "lists of users, hosts and ports multiply; use ranges or prefixes, or split the rule");
	return -ENOTSUP;
}

static int compare_elems(const void *a, const void *b)
{
	const struct nft_elem *x = a, *y = b;

	if (x->stratum != y->stratum)
		return x->stratum < y->stratum ? -1 : 1;
	return x->rule != y->rule ? (x->rule < y->rule ? -1 : 1) : memcmp(x->key, y->key, sizeof(x->key));
}

static int make_marks(struct zt_image *img, struct zt_diags *d)
{
	int r = nft_marks_make(img->rs, &img->marks, d);

	if (r < 0 || !img->marks)
		return r;
	img->refs = zt_new(struct nft_refs, img->rs->n_rules + 1);
	for (size_t i = 0; img->refs && i < img->rs->n_rules; i++)
		img->refs[i] = (struct nft_refs){nft_marks_from(img->marks, &img->rs->rules[i]),
						 nft_marks_to(img->marks, &img->rs->rules[i])};
	return img->refs ? 0 : -ENOMEM;
}

struct nft_refs nft_refs_of(const struct zt_image *img, uint32_t rule)
{
	return img->refs ? img->refs[rule] : (struct nft_refs){0};
}

/* ---- the numbers that the kernel is to know ---- */
static void renumber_elem(const struct zt_image *img, struct nft_elem *e, const uint32_t *now)
{
	const struct nft_shape *shape = &img->strata[e->stratum].shape;
	uint32_t shift = nft_marks_shift(img->marks);
	struct nft_value v[N_DIMS];

	nft_shape_decode(shape, e->key, e->end, v);
	for (int d = DIM_FROM; d <= DIM_TO; d++)
		v[d].lo = v[d].hi = (uint64_t)now[v[d].lo >> shift] << shift;
	nft_shape_encode(shape, v, e->key, e->end);
}

static size_t n_numbers(const struct nft_marks *m)
{
	return m->sets[0].n + m->sets[1].n;
}

static void copy_numbers(const struct nft_marks *m, uint32_t *to)
{
	for (int s = 0; s < N_MARK_SPACES; s++)
		for (size_t i = 0; i < m->sets[s].n; i++)
			*to++ = m->number[s][i];
}

static int follow(const struct zt_image *img, const struct nft_marks *old)
{
	struct nft_marks *m = img->marks;
	ZT_FREE uint32_t *now = zt_new(uint32_t, (size_t)nft_marks_max(m) + 1);
	ZT_FREE uint32_t *before = zt_new(uint32_t, n_numbers(m) + 1), *after = zt_new(uint32_t, n_numbers(m) + 1);
	int r;

	if (!now || !before || !after)
		return -ENOMEM;
	copy_numbers(m, before);
	r = nft_marks_follow(m, old);
	if (r < 0)
		return r;
	copy_numbers(m, after);
	for (size_t i = 0; i < n_numbers(m); i++)
		now[before[i]] = after[i];
	for (size_t i = 0; i < img->n_elems; i++)
		renumber_elem(img, &img->elems[i], now);
	if (img->n_elems)
		qsort(img->elems, img->n_elems, sizeof(*img->elems), compare_elems);
	return 0;
}

/* The stamp is lost, the rules are not: numbers go on from where they were. */
static uint32_t next_of_rules(const char *instance)
{
	ZT_CLEANUP(nft_state_done) struct nft_state s = {0};
	const char *text = nft_state_read(instance, NFT_READ_META, &s) < 0 ? NULL : nft_meta_get(&s.meta, "marknext");
	uint64_t v = 0;

	return text && !zt_parse_u64(text, UINT32_MAX, &v) ? (uint32_t)v : 0;
}

int nft_image_number(const struct zt_image *img, struct zt_diags *d)
{
	ZT_CLEANUP(nft_marks_freep) struct nft_marks *old = NULL;
	struct zt_diags quiet = {0};
	uint32_t next;
	int r;

	if (!img->marks || img->work->numbered)
		return 0;
	r = nft_stamp_read(img->rs->instance, &old, &quiet);
	zt_diags_done(&quiet);
	if (r == -ENOMEM)
		return r;
	next = old ? 0 : next_of_rules(img->rs->instance);
	if (!old && next > 1)
		r = nft_marks_blank(img->marks, next, &old);
	r = old ? follow(img, old) : 0;
	img->work->numbered = !r;
	return r < 0 ? zt_diag_errno(d, 3110, r, "cannot number the labels") : 0;
}

int nft_lower(const struct zt_ruleset *rs, struct zt_image **ret, struct zt_diags *d)
{
	struct nft_index *ix = nft_index_new(rs);
	struct zt_image *img = zt_new(struct zt_image, 1);
	int r = zt_engine_refuse_unix(&zt_engine_nft, rs, d);

	if (!ix || !img)
		r = -ENOMEM;
	if (!r) {
		img->rs = rs;
		img->okey = zt_new(uint64_t, rs->n_rules + 1);
		img->work = zt_new(struct nft_work, 1);
		r = img->okey && img->work ? make_marks(img, d) : -ENOMEM;
		r = r ?: find_guard(img, &(struct zt_rule){0}, &(uint32_t){0});
	}
	for (uint32_t i = 0; !r && i < rs->n_rules; i++) {
		img->okey[i] = (uint64_t)(i + 1) << 12;
		r = lower_rule(img, ix, i);
		if (r < 0)
			r = refuse(rs, i, r, d);
	}
	nft_index_free(ix);
	if (r < 0) {
		nft_image_free(img);
		return r;
	}
	if (img->n_elems)
		qsort(img->elems, img->n_elems, sizeof(*img->elems), compare_elems);
	nft_image_set_version(img, 1);
	*ret = img;
	return 0;
}
