/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "engine/nft/nft.h"

bool nft_same_maps(const struct zt_image *img, const struct nft_state *live)
{
	size_t at = 0;

	if (live->n_maps != img->n_strata || live->n_strangers)
		return false;
	for (int dir = 0; dir < 3; dir++)
		for (size_t i = 0; i < img->n_strata; i++) {
			const struct nft_stratum *s = &img->strata[i];
			const struct nft_live_map *m = &live->maps[at];

			if ((int)s->dir != dir)
				continue;
			if (m->dir != s->dir || m->pos != s->pos || m->guard != s->guard ||
			    m->version != live->maps[0].version || !nft_shape_eq(&m->shape, &s->shape))
				return false;
			at++;
		}
	return true;
}

void nft_delta_done(struct nft_delta *d)
{
	free(d->del);
	free(d->add);
	*d = (struct nft_delta){0};
}

/* ---- order keys: what stays in order keeps its key, the others get one between their neighbours ---- */
struct live_key {
	const char *id;
	uint32_t part;
	uint64_t okey;
};

static int compare_live_keys(const void *a, const void *b)
{
	const struct live_key *x = a, *y = b;
	int c = strcmp(x->id, y->id);

	return c ? c : x->part < y->part ? -1 : x->part > y->part;
}

static int live_keys(const struct nft_state *live, struct live_key **ret, size_t *ret_n)
{
	struct live_key *v = zt_new(struct live_key, live->n_elems + 1);
	size_t n = 0;

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < live->n_elems; i++) {
		const struct nft_live_elem *e = &live->elems[i];

		if (!e->flat && (!n || v[n - 1].id != e->id || v[n - 1].part != e->part))
			v[n++] = (struct live_key){.id = e->id, .part = e->part, .okey = e->okey};
	}
	qsort(v, n, sizeof(*v), compare_live_keys);
	*ret = v;
	*ret_n = n;
	return 0;
}

/* Marks in keep[] the longest increasing run of old keys (patience sorting); 0 keys are rules that are new. */
static int longest_increasing(const uint64_t *old, size_t n, bool *keep)
{
	ZT_FREE size_t *tail = zt_new(size_t, n + 1), *prev = zt_new(size_t, n + 1);
	size_t len = 0;

	if (!tail || !prev)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		size_t lo = 0, hi = len;

		if (!old[i])
			continue;
		while (lo < hi) {
			size_t mid = (lo + hi) / 2;

			if (old[tail[mid]] < old[i])
				lo = mid + 1;
			else
				hi = mid;
		}
		prev[i] = lo ? tail[lo - 1] : n;
		tail[lo] = i;
		len = ZT_MAX(len, lo + 1);
	}
	for (size_t i = len ? tail[len - 1] : n; i < n; i = prev[i])
		keep[i] = true;
	return 0;
}

/* False: no room between two neighbours. */
static bool fill_gaps(const uint64_t *old, const bool *keep, size_t n, uint64_t *okey)
{
	uint64_t before = 0;

	for (size_t i = 0; i < n;) {
		size_t end = i;
		uint64_t after, step;

		if (keep[i]) {
			before = okey[i] = old[i];
			i++;
			continue;
		}
		while (end < n && !keep[end])
			end++;
		after = end < n ? old[end] : before + ((end - i + 1) << 12);
		step = (after - before) / (end - i + 1);
		if (!step)
			return false;
		for (; i < end; i++)
			okey[i] = before += step;
	}
	return true;
}

static int take_order_keys(const struct zt_image *img, const struct nft_state *live)
{
	size_t n = img->rs->n_rules, n_live = 0;
	ZT_FREE uint64_t *old = zt_new(uint64_t, n + 1);
	ZT_FREE bool *keep = zt_new(bool, n + 1);
	ZT_FREE struct live_key *keys = NULL;
	int r = old && keep ? live_keys(live, &keys, &n_live) : -ENOMEM;

	for (size_t i = 0; !r && i < n; i++) {
		struct live_key want = {.id = img->rs->rules[i].id, .part = img->rs->rules[i].part};
		const struct live_key *found = bsearch(&want, keys, n_live, sizeof(*keys), compare_live_keys);

		old[i] = found ? found->okey : 0;
	}
	if (!r)
		r = longest_increasing(old, n, keep);
	if (!r && !fill_gaps(old, keep, n, img->okey))
		for (size_t i = 0; i < n; i++)
			img->okey[i] = (uint64_t)(i + 1) << 12;
	return r;
}

/* ---- elements ---- */
static int compare_live(const void *a, const void *b)
{
	const struct nft_live_elem *x = a, *y = b;

	if (x->map != y->map)
		return x->map < y->map ? -1 : 1;
	return memcmp(x->key, y->key, sizeof(x->key) + sizeof(x->end));
}

/* Live maps are sorted by direction and place; strata are not. Index of the live map of each stratum. */
static int map_of_strata(const struct zt_image *img, const struct nft_state *live, uint32_t **ret)
{
	uint32_t *v = zt_new(uint32_t, img->n_strata + 1);

	if (!v)
		return -ENOMEM;
	for (uint32_t i = 0; i < img->n_strata; i++)
		for (uint32_t k = 0; k < live->n_maps; k++)
			if (live->maps[k].dir == img->strata[i].dir && live->maps[k].pos == img->strata[i].pos)
				v[i] = k;
	*ret = v;
	return 0;
}

static int compare_elem_to_live(const struct nft_elem *e, uint32_t map, const struct nft_live_elem *l)
{
	if (map != l->map)
		return map < l->map ? -1 : 1;
	return memcmp(e->key, l->key, sizeof(e->key) + sizeof(e->end));
}

static bool same_meaning(const struct zt_image *img, const struct nft_elem *e, const struct nft_live_elem *l)
{
	const struct zt_rule *rule = &img->rs->rules[e->rule];
	char text[64];
	struct nft_refs refs = nft_refs_of(img, e->rule);

	if (l->flat || l->okey != img->okey[e->rule] || l->refs.from != refs.from || l->refs.to != refs.to ||
	    l->part != rule->part || strcmp(l->id, rule->id) != 0)
		return false;
	nft_verdict_text(rule, text);
	return l->accept ? !strcmp(text, "accept") : !strncmp(text, "goto ", 5) && !strcmp(text + 5, l->chain);
}

struct by_map { /* image elements with the number of their live map, to sort like live */
	const struct nft_elem *e;
	uint32_t map;
};

static int compare_by_map(const void *a, const void *b)
{
	const struct by_map *x = a, *y = b;

	if (x->map != y->map)
		return x->map < y->map ? -1 : 1;
	return memcmp(x->e->key, y->e->key, sizeof(x->e->key) + sizeof(x->e->end));
}

static int del(struct nft_delta *d, uint32_t stratum, const struct nft_live_elem *l)
{
	int r = zt_grow(d->del, d->cap_del, d->n_del);
	struct nft_elem *e;

	if (r < 0)
		return r;
	e = &d->del[d->n_del++];
	e->stratum = stratum;
	memcpy(e->key, l->key, sizeof(e->key));
	memcpy(e->end, l->end, sizeof(e->end));
	return 0;
}

static int add(struct nft_delta *d, const struct nft_elem *e)
{
	int r = zt_grow(d->add, d->cap_add, d->n_add);

	if (!r)
		d->add[d->n_add++] = e;
	return r;
}

static void carry(const struct zt_image *img, const struct nft_elem *e, const struct nft_live_elem *l)
{
	struct nft_elem *mine = &img->elems[e - img->elems];

	if (!l->flat && !strcmp(l->id, img->rs->rules[e->rule].id)) {
		mine->packets = l->packets;
		mine->bytes = l->bytes;
	}
}

static int merge(const struct zt_image *img, const struct nft_state *live, const struct by_map *want,
		 const uint32_t *stratum_of, struct nft_delta *d)
{
	size_t i = 0, k = 0;
	int r = 0;

	while (!r && (i < img->n_elems || k < live->n_elems)) {
		const struct nft_live_elem *l = k < live->n_elems ? &live->elems[k] : NULL;
		int c = i == img->n_elems ? 1 : !l ? -1 : compare_elem_to_live(want[i].e, want[i].map, l);

		if (c < 0) {
			r = add(d, want[i++].e);
		} else if (c > 0) {
			r = del(d, stratum_of[l->map], l);
			k++;
		} else {
			carry(img, want[i].e, l);
			if (!same_meaning(img, want[i].e, l)) {
				r = del(d, want[i].e->stratum, l);
				if (!r)
					r = add(d, want[i].e);
			}
			i++;
			k++;
		}
	}
	return r;
}

int nft_delta_make(const struct zt_image *img, struct nft_state *live, struct nft_delta *ret)
{
	ZT_CLEANUP(nft_delta_done) struct nft_delta d = {0};
	ZT_FREE struct by_map *want = zt_new(struct by_map, img->n_elems + 1);
	ZT_FREE uint32_t *map_of = NULL, *stratum_of = zt_new(uint32_t, live->n_maps + 1);
	int r = want && stratum_of ? map_of_strata(img, live, &map_of) : -ENOMEM;

	if (!r)
		r = take_order_keys(img, live);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < img->n_strata; i++)
		stratum_of[map_of[i]] = i;
	for (size_t i = 0; i < img->n_elems; i++)
		want[i] = (struct by_map){.e = &img->elems[i], .map = map_of[img->elems[i].stratum]};
	qsort(want, img->n_elems, sizeof(*want), compare_by_map);
	qsort(live->elems, live->n_elems, sizeof(*live->elems), compare_live);
	r = merge(img, live, want, stratum_of, &d);
	if (r < 0)
		return r;
	*ret = d;
	d = (struct nft_delta){0};
	return 0;
}

/* Orders by rule and key, whatever map. */
static int compare_live_ids(const void *a, const void *b)
{
	const struct nft_live_elem *x = a, *y = b;
	int c = x->flat || y->flat ? (int)x->flat - (int)y->flat : strcmp(x->id, y->id);

	return c ? c : memcmp(x->key, y->key, sizeof(x->key) + sizeof(x->end));
}

void nft_carry_counters(const struct zt_image *img, struct nft_state *live)
{
	size_t n = live->n_elems;

	if (!n)
		return;
	qsort(live->elems, n, sizeof(*live->elems), compare_live_ids);
	while (n && live->elems[n - 1].flat)
		n--;
	for (size_t i = 0; i < img->n_elems; i++) {
		struct nft_live_elem want = {.id = img->rs->rules[img->elems[i].rule].id};
		const struct nft_live_elem *found;

		memcpy(want.key, img->elems[i].key, sizeof(want.key));
		memcpy(want.end, img->elems[i].end, sizeof(want.end));
		found = bsearch(&want, live->elems, n, sizeof(want), compare_live_ids);
		if (found && nft_shape_eq(&live->maps[found->map].shape, &img->strata[img->elems[i].stratum].shape))
			carry(img, &img->elems[i], found);
	}
}
