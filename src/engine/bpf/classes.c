/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/mem.h"
#include "engine/bpf/bpf.h"

int bpf_classes_add(struct bpf_classes *c, bpf_u128 lo, bpf_u128 hi)
{
	if (zt_grow(c->ranges, c->cap_ranges, c->n_ranges) < 0)
		return -ENOMEM;
	c->ranges[c->n_ranges++] = (struct bpf_range){lo, hi};
	return 0;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct bpf_range *x = a, *y = b;

	if (x->lo != y->lo)
		return x->lo < y->lo ? -1 : 1;
	return x->hi < y->hi ? -1 : x->hi > y->hi;
}

static void unique_ranges(struct bpf_classes *c)
{
	size_t n = 0;

	if (c->n_ranges)
		qsort(c->ranges, c->n_ranges, sizeof(*c->ranges), compare_ranges);
	for (size_t i = 0; i < c->n_ranges; i++)
		if (!n || compare_ranges(&c->ranges[n - 1], &c->ranges[i]))
			c->ranges[n++] = c->ranges[i];
	c->n_ranges = n;
}

/* ---- which ranges cover a piece: the sum of a number drawn for each range ---- */
struct event {
	bpf_u128 at, sum; /* sum: added from here on (wraps around) */
};

static uint64_t mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static bpf_u128 drawn(size_t i)
{
	return (bpf_u128)mix(2 * i + 1) << 64 | mix(2 * i + 2);
}

static int compare_events(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

static size_t events_make(const struct bpf_classes *c, struct event *ev)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_ranges; i++) {
		ev[n++] = (struct event){c->ranges[i].lo, drawn(i)};
		if (c->ranges[i].hi + 1)
			ev[n++] = (struct event){c->ranges[i].hi + 1, -drawn(i)};
	}
	if (n)
		qsort(ev, n, sizeof(*ev), compare_events);
	return n;
}

struct cover {
	bpf_u128 sum;
	size_t piece;
};

static int compare_covers(const void *a, const void *b)
{
	const struct cover *x = a, *y = b;

	if (x->sum != y->sum)
		return x->sum < y->sum ? -1 : 1;
	return x->piece < y->piece ? -1 : x->piece > y->piece;
}

static void number_pieces(struct bpf_classes *c, struct cover *v)
{
	if (c->n_pieces)
		qsort(v, c->n_pieces, sizeof(*v), compare_covers);
	for (size_t i = 0; i < c->n_pieces; i++) {
		if (v[i].sum && (!i || v[i].sum != v[i - 1].sum))
			c->n_ids++;
		c->pieces[v[i].piece].id = v[i].sum ? c->n_ids : 0;
	}
}

int bpf_classes_make(struct bpf_classes *c)
{
	ZT_FREE struct event *ev = zt_new(struct event, 2 * c->n_ranges + 1);
	ZT_FREE struct cover *covers = zt_new(struct cover, 2 * c->n_ranges + 1);
	bpf_u128 sum = 0;
	size_t n;

	c->pieces = zt_new(struct bpf_piece, 2 * c->n_ranges + 1);
	if (!ev || !covers || !c->pieces)
		return -ENOMEM;
	unique_ranges(c);
	n = events_make(c, ev);
	for (size_t i = 0; i < n; i++) {
		sum += ev[i].sum;
		if (i + 1 < n && ev[i + 1].at == ev[i].at)
			continue;
		covers[c->n_pieces] = (struct cover){sum, c->n_pieces};
		c->pieces[c->n_pieces++].lo = ev[i].at;
	}
	number_pieces(c, covers);
	c->mark = zt_new(uint32_t, c->n_ids + 1);
	return c->mark ? 0 : -ENOMEM;
}

static size_t piece_at(const struct bpf_classes *c, bpf_u128 lo)
{
	size_t from = 0, to = c->n_pieces;

	while (from + 1 < to) {
		size_t mid = (from + to) / 2;

		if (c->pieces[mid].lo <= lo)
			from = mid;
		else
			to = mid;
	}
	return from;
}

int bpf_classes_of(struct bpf_classes *c, bpf_u128 lo, bpf_u128 hi, int (*found)(void *arg, uint32_t id), void *arg)
{
	int r = 0;

	c->asked++;
	for (size_t i = piece_at(c, lo); !r && i < c->n_pieces && c->pieces[i].lo <= hi; i++) {
		uint32_t id = c->pieces[i].id;

		if (!id || c->mark[id] == c->asked)
			continue;
		c->mark[id] = c->asked;
		r = found(arg, id);
	}
	return r;
}

int bpf_range_prefixes(bpf_u128 lo, bpf_u128 hi, unsigned bits,
		       int (*found)(void *arg, bpf_u128 base, unsigned len, uint32_t id), void *arg, uint32_t id)
{
	int r = 0;

	for (bool done = false; !r && !done;) {
		unsigned free_bits = 0;

		while (free_bits < bits && !(lo >> free_bits & 1)) {
			bpf_u128 size_less_one = free_bits + 1 == 128 ? ~(bpf_u128)0
								      : ((bpf_u128)1 << (free_bits + 1)) - 1;

			if (size_less_one > hi - lo)
				break;
			free_bits++;
		}
		r = found(arg, lo, bits - free_bits, id);
		if (free_bits == bits)
			break;
		done = hi - lo <= ((bpf_u128)1 << free_bits) - 1;
		lo += (bpf_u128)1 << free_bits;
	}
	return r;
}

int bpf_classes_prefixes(const struct bpf_classes *c, unsigned bits,
			 int (*found)(void *arg, bpf_u128 base, unsigned len, uint32_t id), void *arg)
{
	bpf_u128 max = bits == 128 ? ~(bpf_u128)0 : ((bpf_u128)1 << bits) - 1;
	int r = 0;

	for (size_t i = 0; !r && i < c->n_pieces; i++)
		if (c->pieces[i].id)
			r = bpf_range_prefixes(c->pieces[i].lo, i + 1 < c->n_pieces ? c->pieces[i + 1].lo - 1 : max,
					       bits, found, arg, c->pieces[i].id);
	return r;
}

void bpf_classes_done(struct bpf_classes *c)
{
	free(c->ranges);
	free(c->pieces);
	free(c->mark);
	*c = (struct bpf_classes){0};
}
