/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stddef.h>
#include <string.h>

#include "base/mem.h"
#include "ruleset/equiv.h"
#include "ruleset/equiv_dims.h"

enum { RULES_MAX = 48 }; /* whose classes one sample looks at */

struct draw {
	const struct zt_ruleset *rs;
	struct zt_rule ssh;
	const struct zt_rule *rules[RULES_MAX], *inside; /* NULL: anywhere */
	size_t n;
	uint64_t asked;
	int beside; /* the dimension in which it is not inside, or -1 */
	uint64_t *state, cell, place;
	struct equiv_point at;
};

/* splitmix64 */
static uint64_t next(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint64_t below(struct draw *d, uint64_t n)
{
	return n ? next(d->state) % n : 0;
}

/* ---- one value of a class ---- */
typedef unsigned __int128 u128;

static u128 number_of(const struct zt_addr *a)
{
	u128 v = 0;

	for (int i = 0; i < (a->family == 4 ? 4 : 16); i++)
		v = v << 8 | a->b[i];
	return v;
}

static void addr_of(u128 v, struct zt_addr *a)
{
	for (int i = a->family == 4 ? 3 : 15; i >= 0; i--, v >>= 8)
		a->b[i] = (uint8_t)v;
}

static u128 choose(struct draw *d, u128 lo, u128 hi)
{
	u128 any = (u128)next(d->state) << 64 | next(d->state);

	switch (below(d, 3)) {
	case 0:
		return lo;
	case 1:
		return hi;
	default:
		return hi - lo == ~(u128)0 ? any : lo + any % (hi - lo + 1);
	}
}

static void spread_addr(struct draw *d, const struct equiv_classes *c, size_t i)
{
	struct equiv_value *v = &c->v[i];
	u128 lo = number_of(&v->addr), hi = v->addr.family == 4 ? 0xffffffffu : ~(u128)0;

	if (i + 1 < c->n)
		hi = number_of(&c->v[i + 1].addr) - 1;
	addr_of(choose(d, lo, hi), &v->addr);
}

static uint64_t end_of(const struct equiv_classes *c, size_t i, uint64_t max)
{
	return i + 1 < c->n ? c->v[i + 1].number - 1 : max;
}

static void spread_proto(struct draw *d, const struct equiv_classes *c, size_t i)
{
	const uint8_t sent[] = {6, 17, d->at.family == 4 ? 1 : 58};
	uint64_t hi = end_of(c, i, 255);
	size_t first = below(d, ZT_ARRAY_SIZE(sent));

	for (size_t k = 0; k < ZT_ARRAY_SIZE(sent); k++) {
		uint8_t p = sent[(first + k) % ZT_ARRAY_SIZE(sent)];

		if (c->v[i].number <= p && p <= hi) {
			c->v[i].number = p;
			return;
		}
	}
}

static void spread(struct draw *d, const struct equiv_classes *c, size_t i, int dim)
{
	switch (dim) {
	case EQUIV_UID:
	case EQUIV_TO_UID:
		c->v[i].number = (uint64_t)choose(d, c->v[i].number, end_of(c, i, UINT32_MAX - 1));
		break;
	case EQUIV_PORT:
		c->v[i].number = (uint64_t)choose(d, c->v[i].number, end_of(c, i, 65535));
		break;
	case EQUIV_PROTO:
		spread_proto(d, c, i);
		break;
	case EQUIV_SRC:
	case EQUIV_DST:
		spread_addr(d, c, i);
		break;
	default:
		break;
	}
}

/* ---- one dimension ---- */
static bool wanted(const struct draw *d, int dim, const struct equiv_point *p)
{
	bool out = dim == d->beside;

	if (dim == EQUIV_KIND && p->dir == ZT_DIR_UNIX) /* no packets */
		return false;
	if (dim == EQUIV_KIND && p->dir == ZT_DIR_FORWARD && d->inside && d->inside->dir != ZT_DIR_FORWARD)
		return false;
	if (dim == EQUIV_KNOWN && p->dir == ZT_DIR_EGRESS && p->p[0].known != EQUIV_PROCESS)
		return false;
	if (dim == EQUIV_TO_KNOWN && p->p[1].known == EQUIV_UNKNOWN)
		return false;
	if (dim == EQUIV_PROTO && p->proto != 6 && p->proto != 17 && p->proto != 1 && p->proto != 58 &&
	    (!d->inside || out))
		return false;
	return !d->inside || equiv_matches(d->inside, dim, p) != out;
}

static size_t count_wanted(struct draw *d, const struct equiv_classes *c, int dim)
{
	struct equiv_point before = d->at;
	size_t n = 0;

	for (size_t i = 0; i < c->n; i++) {
		d->at = before;
		equiv_set(c, i, dim, &d->at);
		n += wanted(d, dim, &d->at);
	}
	d->at = before;
	return n;
}

/* Which of n: where it counts, by the part of the unit interval that the turn has reached, so that all come before any comes often. */
static size_t which(struct draw *d, int dim, size_t n)
{
	unsigned __int128 at = (unsigned __int128)d->place * n;

	if (!d->inside || d->beside >= 0 || !(dim == EQUIV_FAMILY || equiv_asks(d->inside, dim)))
		return below(d, n);
	d->place = (uint64_t)at;
	return (size_t)(at >> 64);
}

/* One of the classes that are wanted; where none is, any that can be sent at all. ret_class: its number. */
static int draw_dim(struct draw *d, int dim, size_t *ret_class)
{
	struct equiv_classes c = {0};
	int r = equiv_classes_make(d->rules, d->n, NULL, 0, dim, &d->at, &c);
	struct equiv_point before = d->at;
	size_t n, left;

	for (size_t i = 0; !r && i < c.n; i++)
		spread(d, &c, i, dim); /* upwards: a class ends where the next one begins */
	n = r ? 0 : count_wanted(d, &c, dim);
	if (!r && !n && d->beside == dim) { /* there is no outside after all */
		d->beside = -1;
		n = count_wanted(d, &c, dim);
	}
	left = n ? which(d, dim, n) : below(d, c.n);
	for (size_t i = 0; !r && i < c.n; i++) {
		d->at = before;
		equiv_set(&c, i, dim, &d->at);
		*ret_class = i;
		if ((!n || wanted(d, dim, &d->at)) && !left--)
			break;
	}
	equiv_classes_done(&c);
	return r;
}

/* ---- which cell it is of ---- */
static void mix(struct draw *d, uint64_t number)
{
	d->cell = next(&(uint64_t){d->cell ^ (number + 1)});
}

/* Inside of a rule its classes in all that the rule asks make a cell, outside of it those of the one dimension that is. */
static void count_cell(struct draw *d, int dim, size_t class)
{
	bool whole = d->rs->n_rules + 2 <= RULES_MAX; /* else the numbers of classes differ from draw to draw */

	if (!d->inside)
		return;
	if (dim == EQUIV_KIND || dim == EQUIV_FAMILY ||
	    (whole && (dim == d->beside || (d->beside < 0 && equiv_asks(d->inside, dim)))))
		mix(d, class);
}

/* ---- whose classes ---- */
static void choose_rules(struct draw *d, uint64_t turn)
{
	size_t own = d->rs->n_rules + (d->rs->ssh_ports.n != 0), k = own ? (size_t)(turn / 3) % own : 0;

	for (size_t i = 0; k < d->rs->n_rules && d->rs->rules[k].dir == ZT_DIR_UNIX && i < own; i++)
		k = (k + 1) % own;
	if (k < d->rs->n_rules && d->rs->rules[k].dir == ZT_DIR_UNIX) /* nothing but these */
		own = 0;

	if (turn % 3 < 2 && own)
		d->inside = k < d->rs->n_rules ? &d->rs->rules[k] : &d->ssh;
	if (d->inside)
		d->rules[d->n++] = d->inside;
	if (d->rs->n_rules + 2 <= RULES_MAX) {
		for (size_t i = 0; i < d->rs->n_rules; i++)
			d->rules[d->n++] = &d->rs->rules[i];
	} else {
		while (d->n < RULES_MAX - 1)
			d->rules[d->n++] = &d->rs->rules[below(d, d->rs->n_rules)];
	}
	if (d->rs->ssh_ports.n)
		d->rules[d->n++] = &d->ssh;
}

/* One of the dimensions in which there is an outside at all. */
static int any_asked(struct draw *d)
{
	int found = -1;

	for (int dim = 0; dim < EQUIV_WEEK; dim++)
		if (dim != EQUIV_KNOWN && equiv_asks(d->inside, dim) && !below(d, ++d->asked))
			found = dim;
	return found;
}

int zt_ruleset_sample(const struct zt_ruleset *rs, uint64_t *turn, uint64_t *state, struct zt_sample *ret)
{
	struct draw d = {.rs = rs, .ssh = equiv_ssh_rule(rs), .beside = -1, .state = state, .at = equiv_start()};
	int r = 0;

	choose_rules(&d, *turn);
	if (d.inside) {
		/* Fractions of the golden ratio leave the smallest gaps. */
		d.place = (*turn / 3 / (rs->n_rules + 1) + 1) * 0x9e3779b97f4a7c15u;
		if (*turn % 3 == 1)
			d.beside = any_asked(&d);
		mix(&d, (uint64_t)(d.inside == &d.ssh ? (ptrdiff_t)rs->n_rules : d.inside - rs->rules));
		mix(&d, (uint64_t)d.beside + 1);
	}
	++*turn;
	for (int dim = 0; !r && dim < EQUIV_WEEK; dim++) {
		size_t class = 0;

		r = draw_dim(&d, dim, &class);
		count_cell(&d, dim, class);
	}
	if (r < 0)
		return r;
	*ret = (struct zt_sample){.cell = d.cell, .beside = d.beside >= 0};
	equiv_flow(&d.at, &ret->flow, &ret->sender, &ret->receiver);
	memcpy(ret->groups[0], d.at.p[0].group, sizeof(ret->groups[0]));
	memcpy(ret->groups[1], d.at.p[1].group, sizeof(ret->groups[1]));
	ret->sender.groups = ret->groups[0];
	ret->receiver.groups = ret->groups[1];
	return 0;
}
