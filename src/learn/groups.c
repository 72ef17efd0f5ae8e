/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cells become rules: what differs in one dimension only is put together, dimension after dimension, so that each rule stays a full product. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "learn/parts.h"

enum dim { PORT, PROTO, SENDER };

/* ---- comparing ---- */
static int compare_int(int64_t a, int64_t b)
{
	return a < b ? -1 : a > b;
}

static int compare_ranges(const struct zt_u32_ranges *a, const struct zt_u32_ranges *b)
{
	int c = compare_int((int64_t)a->n, (int64_t)b->n);

	for (size_t i = 0; !c && i < a->n; i++) {
		c = compare_int(a->v[i].lo, b->v[i].lo);
		c = c ? c : compare_int(a->v[i].hi, b->v[i].hi);
	}
	return c;
}

static int compare_hosts(const struct zt_draft *a, const struct zt_draft *b)
{
	int c = compare_int((int64_t)a->n_hosts, (int64_t)b->n_hosts);

	for (size_t i = 0; !c && i < a->n_hosts; i++)
		c = zt_host_compare(&a->hosts[i], &b->hosts[i]);
	return c;
}

static int compare_senders(const struct zt_draft *a, const struct zt_draft *b)
{
	int c = compare_int((int64_t)a->n_senders, (int64_t)b->n_senders);

	for (size_t i = 0; !c && i < a->n_senders; i++)
		c = compare_int(a->senders[i], b->senders[i]);
	return c;
}

static int compare_but(const struct zt_draft *a, const struct zt_draft *b, enum dim but)
{
	int c = compare_int(a->dir, b->dir);

	c = c ? c : compare_int(a->receiver, b->receiver);
	c = c ? c : but == PORT ? compare_int(a->port.n != 0, b->port.n != 0) : compare_ranges(&a->port, &b->port);
	c = c ? c : but == PROTO ? 0 : compare_ranges(&a->proto, &b->proto);
	c = c ? c : but == SENDER ? 0 : compare_senders(a, b);
	return c ? c : compare_hosts(a, b);
}

static int but_port(const void *a, const void *b)
{
	return compare_but(a, b, PORT);
}

static int but_proto(const void *a, const void *b)
{
	return compare_but(a, b, PROTO);
}

static int but_sender(const void *a, const void *b)
{
	return compare_but(a, b, SENDER);
}

bool zt_drafts_same_hosts(const struct zt_draft *a, const struct zt_draft *b)
{
	return compare_hosts(a, b) == 0;
}

/* ---- joining ---- */
static int compare_party(const void *a, const void *b)
{
	return compare_int(*(const int32_t *)a, *(const int32_t *)b);
}

static int join_ranges(struct zt_u32_ranges *a, const struct zt_u32_ranges *b)
{
	int r = 0;

	for (size_t i = 0; !r && i < b->n; i++)
		r = zt_u32_ranges_add(a, b->v[i].lo, b->v[i].hi);
	zt_u32_ranges_normalise(a);
	return r;
}

static int join_senders(struct zt_draft *a, const struct zt_draft *b)
{
	int32_t *bigger = zt_realloc(a->senders, (a->n_senders + b->n_senders) * sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	a->senders = bigger;
	memcpy(bigger + a->n_senders, b->senders, b->n_senders * sizeof(*bigger));
	a->n_senders += b->n_senders;
	qsort(bigger, a->n_senders, sizeof(*bigger), compare_party);
	return 0;
}

static int join_two(struct zt_draft *a, const struct zt_draft *b, enum dim dim)
{
	zt_evidence_join(&a->seen, &b->seen);
	for (size_t i = 0; i < a->n_hosts; i++) /* the same hosts, perhaps in another family */
		a->hosts[i].families |= b->hosts[i].families;
	return dim == PORT    ? join_ranges(&a->port, &b->port)
	       : dim == PROTO ? join_ranges(&a->proto, &b->proto)
			      : join_senders(a, b);
}

static void draft_done(struct zt_draft *d)
{
	free(d->senders);
	free(d->hosts);
	zt_u32_ranges_done(&d->proto);
	zt_u32_ranges_done(&d->port);
	*d = (struct zt_draft){0};
}

static int join(struct zt_learning *x, enum dim dim)
{
	static int (*const compare[])(const void *, const void *) = {but_port, but_proto, but_sender};
	size_t n = 0;
	int r = 0;

	if (x->n_drafts)
		qsort(x->drafts, x->n_drafts, sizeof(*x->drafts), compare[dim]);
	for (size_t i = 0; i < x->n_drafts; i++) {
		struct zt_draft *last = n ? &x->drafts[n - 1] : NULL;

		if (last && (dim != SENDER || last->n_senders) && compare[dim](last, &x->drafts[i]) == 0) {
			r = r ?: join_two(last, &x->drafts[i], dim);
			draft_done(&x->drafts[i]);
			continue;
		}
		x->drafts[n] = x->drafts[i];
		if (n++ != i)
			x->drafts[i] = (struct zt_draft){0};
	}
	x->n_drafts = n;
	return r;
}

/* ---- from cells ---- */
static int fill(struct zt_draft *d, const struct zt_cell *c, size_t n)
{
	int r = zt_u32_ranges_add(&d->proto, c->proto, c->proto);

	d->dir = c->dir;
	d->receiver = c->receiver;
	d->set = -1;
	d->hosts = zt_new(struct zt_host, n);
	d->senders = zt_new(int32_t, 1);
	if (!d->hosts || !d->senders)
		return -ENOMEM;
	if (c->sender != ZT_NO_PARTY)
		d->senders[d->n_senders++] = c->sender;
	if (!r && c->lo)
		r = zt_u32_ranges_add(&d->port, c->lo, c->hi);
	d->seen = c->seen;
	for (size_t i = 0; i < n; i++) {
		d->hosts[d->n_hosts++] = c[i].host;
		if (i)
			zt_evidence_join(&d->seen, &c[i].seen);
	}
	return r;
}

static int from_cells(struct zt_learning *x)
{
	int r = 0;

	for (size_t i = 0, end; !r && i < x->n_cells; i = end) {
		const struct zt_cell *c = &x->cells[i];
		struct zt_cell key = *c;

		for (end = i + 1; end < x->n_cells; end++) {
			key.host = x->cells[end].host;
			if (zt_cell_compare(&key, &x->cells[end]) != 0)
				break;
		}
		r = zt_grow(x->drafts, x->cap_drafts, x->n_drafts);
		if (r < 0)
			return r;
		x->drafts[x->n_drafts] = (struct zt_draft){0};
		r = fill(&x->drafts[x->n_drafts++], c, end - i);
	}
	return r;
}

/* ---- score ---- */
static double range_size(const struct zt_addr_range *r)
{
	double lo = 0, hi = 0;

	for (unsigned i = 0; i < (r->lo.family == 4 ? 4u : 16u); i++) {
		lo = lo * 256 + r->lo.b[i];
		hi = hi * 256 + r->hi.b[i];
	}
	return hi - lo + 1 < 1 ? 1 : hi - lo + 1;
}

static double host_size(const struct zt_learning *x, const struct zt_host *h)
{
	double n = 0;

	if (h->kind == ZT_HOST_RANGE)
		return range_size(&h->range);
	if (h->kind != ZT_HOST_INTERNET)
		return 1;
	for (size_t i = 0; i < x->internet.n; i++)
		if (h->families & (x->internet.v[i].lo.family == 4 ? ZT_FAMILY_4 : ZT_FAMILY_6))
			n += range_size(&x->internet.v[i]);
	return n;
}

static double numbers_size(const struct zt_u32_ranges *l)
{
	double n = 0;

	for (size_t i = 0; i < l->n; i++)
		n += (double)l->v[i].hi - l->v[i].lo + 1;
	return l->n ? n : 1;
}

static void set_score(const struct zt_learning *x, struct zt_draft *d)
{
	double hosts = 0, space;

	for (size_t i = 0; i < d->n_hosts; i++)
		hosts += host_size(x, &d->hosts[i]);
	space = hosts * numbers_size(&d->port) * numbers_size(&d->proto) * (double)ZT_MAX(d->n_senders, 1u);
	d->score = space > d->seen.cells ? 1 - d->seen.cells / space : 0;
}

static bool any_program(const struct zt_learning *x, const struct zt_party *p)
{
	return x->o.by & ZT_BY_EXE && !(p->parts & (ZT_BY_EXE | ZT_BY_CONTAINER));
}

static void set_programs(const struct zt_learning *x, struct zt_draft *d)
{
	d->any_program = d->receiver != ZT_NO_PARTY && any_program(x, &x->parties[d->receiver]);
	for (size_t i = 0; i < d->n_senders && !d->any_program; i++)
		d->any_program = any_program(x, &x->parties[d->senders[i]]);
}

/* ---- sets: hosts that several rules list ---- */
void zt_drafts_sets(struct zt_learning *x)
{
	int32_t sets = 0;

	for (size_t i = 0; i < x->n_drafts; i++) {
		struct zt_draft *d = &x->drafts[i];
		bool again = false;

		if (d->set >= 0 || d->n_hosts < 3)
			continue;
		for (size_t k = i + 1; k < x->n_drafts; k++)
			if (x->drafts[k].set < 0 && zt_drafts_same_hosts(d, &x->drafts[k])) {
				x->drafts[k].set = sets;
				again = true;
			}
		if (again)
			d->set = sets++;
	}
}

static void count_uses(struct zt_learning *x)
{
	for (size_t i = 0; i < x->n_drafts; i++) {
		const struct zt_draft *d = &x->drafts[i];

		for (size_t k = 0; k < d->n_senders; k++)
			x->parties[d->senders[k]].uses += d->n_senders > 1 ? 2 : 1; /* a list is of names */
		if (d->receiver != ZT_NO_PARTY)
			x->parties[d->receiver].uses++;
	}
}

int zt_drafts_make(struct zt_learning *x)
{
	int r = from_cells(x);

	r = r ?: join(x, PORT);
	r = r ?: join(x, PROTO);
	r = r ?: join(x, SENDER);
	if (r < 0)
		return r;
	for (size_t i = 0; i < x->n_drafts; i++) {
		set_score(x, &x->drafts[i]);
		set_programs(x, &x->drafts[i]);
	}
	count_uses(x);
	return zt_parties_name(x);
}
