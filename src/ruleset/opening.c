/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an allow rule would let through that is blocked now. The set is kept as boxes, products of lists of ranges with every limit
 * written out, and the rules are walked in order: what a rule decides is cut out of the box, the rest goes on to the next one.
 */
#include <string.h>

#include "base/mem.h"
#include "ruleset/ruleset.h"

__extension__ typedef unsigned __int128 number;

enum dimension { UID, GID, SRC, DST, PROTO, PORT, DIMENSIONS };
enum { WORK_MAX = 30000000, BOXES_MAX = 2000, DEPTH_MAX = 2000 };

struct ranges {
	struct range {
		number lo, hi;
	} * v; /* sorted, disjoint, not adjacent */
	size_t n, cap;
};

struct box {
	bool owned;
	uint8_t family;
	struct ranges dim[DIMENSIONS];
	char **in, **not_in; /* cgroups; n_in 0: any. Borrowed from the rules */
	size_t n_in, n_not, cap_in, cap_not;
};

struct search {
	const struct zt_ruleset *rs;
	enum zt_direction dir;
	size_t at; /* before this rule every decision stays as it is */
	zt_usec when;
	struct zt_opening *out;
	uint64_t work;
	unsigned depth;
};

/* ---- lists of ranges ---- */

static int ranges_add(struct ranges *l, number lo, number hi)
{
	if (l->n && lo && l->v[l->n - 1].hi >= lo - 1) {
		l->v[l->n - 1].hi = hi > l->v[l->n - 1].hi ? hi : l->v[l->n - 1].hi;
		return 0;
	}
	if (zt_grow(l->v, l->cap, l->n) < 0)
		return -ENOMEM;
	l->v[l->n++] = (struct range){lo, hi};
	return 0;
}

static bool ranges_meet(const struct ranges *a, const struct ranges *b)
{
	for (size_t i = 0, k = 0; i < a->n && k < b->n;) {
		if (a->v[i].lo <= b->v[k].hi && b->v[k].lo <= a->v[i].hi)
			return true;
		if (a->v[i].hi < b->v[k].hi)
			i++;
		else
			k++;
	}
	return false;
}

static int ranges_both(const struct ranges *a, const struct ranges *b, struct ranges *ret)
{
	for (size_t i = 0, k = 0; i < a->n && k < b->n;) {
		number lo = ZT_MAX(a->v[i].lo, b->v[k].lo), hi = ZT_MIN(a->v[i].hi, b->v[k].hi);

		if (lo <= hi && ranges_add(ret, lo, hi) < 0)
			return -ENOMEM;
		if (a->v[i].hi < b->v[k].hi)
			i++;
		else
			k++;
	}
	return 0;
}

static int ranges_without(const struct ranges *a, const struct ranges *b, struct ranges *ret)
{
	int r = 0;

	for (size_t i = 0, k = 0; !r && i < a->n; i++) {
		number lo = a->v[i].lo;
		bool gone = false;

		while (k < b->n && b->v[k].hi < lo)
			k++;
		for (size_t m = k; !r && m < b->n && b->v[m].lo <= a->v[i].hi; m++) {
			if (b->v[m].lo > lo)
				r = ranges_add(ret, lo, b->v[m].lo - 1);
			gone = b->v[m].hi >= a->v[i].hi;
			lo = b->v[m].hi + 1;
		}
		if (!r && !gone && lo <= a->v[i].hi)
			r = ranges_add(ret, lo, a->v[i].hi);
	}
	return r;
}

static number addr_number(const struct zt_addr *a)
{
	number n = 0;

	for (size_t i = 0; i < (a->family == 4 ? 4u : 16u); i++)
		n = n << 8 | a->b[i];
	return n;
}

static struct zt_addr number_addr(uint8_t family, number n)
{
	struct zt_addr a = {.family = family};

	for (size_t i = family == 4 ? 4 : 16; i-- > 0; n >>= 8)
		a.b[i] = (uint8_t)n;
	return a;
}

static number dimension_max(enum dimension d, uint8_t family)
{
	switch (d) {
	case UID:
	case GID:
		return UINT32_MAX; /* the last one is a sender whose user is not known */
	case SRC:
	case DST:
		return family == 4 ? UINT32_MAX : ~(number)0;
	case PROTO:
		return 255;
	case PORT:
		return 65535;
	case DIMENSIONS:
		break;
	}
	return 0;
}

static int from_numbers(struct ranges *ret, const struct zt_u32_ranges *l, number max)
{
	int r = l->n ? 0 : ranges_add(ret, 0, max);

	for (size_t i = 0; !r && i < l->n; i++)
		r = ranges_add(ret, l->v[i].lo, l->v[i].hi);
	return r;
}

static int from_addrs(struct ranges *ret, const struct zt_addr_ranges *l, number max)
{
	int r = l->n ? 0 : ranges_add(ret, 0, max);

	for (size_t i = 0; !r && i < l->n; i++)
		r = ranges_add(ret, addr_number(&l->v[i].lo), addr_number(&l->v[i].hi));
	return r;
}

/* ---- boxes ---- */

static void box_done(struct box *b)
{
	for (size_t i = 0; i < DIMENSIONS; i++)
		free(b->dim[i].v);
	free(b->in);
	free(b->not_in);
	*b = (struct box){0};
}

static int add_path(char ***list, size_t *n, size_t *cap, char *path)
{
	if (zt_grow(*list, *cap, *n) < 0)
		return -ENOMEM;
	(*list)[(*n)++] = path;
	return 0;
}

static bool within(const char *inner, const char *outer)
{
	size_t len = strlen(outer);

	return !strncmp(outer, inner, len) && (!inner[len] || inner[len] == '/' || !len);
}

static bool within_any(const char *path, char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (within(path, list[i]))
			return true;
	return false;
}

static int box_copy(const struct box *b, struct box *ret)
{
	int r = 0;

	*ret = (struct box){.owned = b->owned, .family = b->family};
	for (size_t d = 0; !r && d < DIMENSIONS; d++)
		for (size_t i = 0; !r && i < b->dim[d].n; i++)
			r = ranges_add(&ret->dim[d], b->dim[d].v[i].lo, b->dim[d].v[i].hi);
	for (size_t i = 0; !r && i < b->n_in; i++)
		r = add_path(&ret->in, &ret->n_in, &ret->cap_in, b->in[i]);
	for (size_t i = 0; !r && i < b->n_not; i++)
		r = add_path(&ret->not_in, &ret->n_not, &ret->cap_not, b->not_in[i]);
	if (r < 0)
		box_done(ret);
	return r;
}

/* The part of m with (or without) an owner in one family. 1: *ret is set, 0: there is none, -errno. */
static int box_of(const struct zt_match *m, uint8_t family, bool owned, struct box *ret)
{
	static const uint8_t with_ports[] = {6, 17, 33, 132, 136};
	const struct zt_addr_ranges *src = family == 4 ? &m->src4 : &m->src6, *dst = family == 4 ? &m->dst4 : &m->dst6;
	struct box b = {.owned = owned, .family = family};
	int r;

	if (!(m->families & (family == 4 ? ZT_FAMILY_4 : ZT_FAMILY_6)) ||
	    (!owned && (m->uid.n || m->gid.n || m->n_cgroups)))
		return 0;
	r = from_numbers(&b.dim[UID], &m->uid, dimension_max(UID, family)) ?:
	    from_numbers(&b.dim[GID], &m->gid, dimension_max(GID, family)) ?:
	    from_addrs(&b.dim[SRC], src, dimension_max(SRC, family)) ?:
	    from_addrs(&b.dim[DST], dst, dimension_max(DST, family)) ?:
	    from_numbers(&b.dim[PORT], &m->port, dimension_max(PORT, family));
	for (size_t i = 0; !r && m->port.n && !m->proto.n && i < ZT_ARRAY_SIZE(with_ports); i++)
		r = ranges_add(&b.dim[PROTO], with_ports[i], with_ports[i]);
	if (!r && !(m->port.n && !m->proto.n))
		r = from_numbers(&b.dim[PROTO], &m->proto, dimension_max(PROTO, family));
	for (size_t i = 0; !r && i < m->n_cgroups; i++)
		r = add_path(&b.in, &b.n_in, &b.cap_in, m->cgroups[i].path);
	if (r < 0) {
		box_done(&b);
		return r;
	}
	*ret = b;
	return 1;
}

/* The cgroups that are in both: the deeper one of each pair that lies in one another. */
static int cgroups_both(const struct box *a, const struct box *b, struct box *ret)
{
	int r = 0;

	for (size_t i = 0; !r && i < ZT_MAX(a->n_in, (size_t)1); i++)
		for (size_t k = 0; !r && k < ZT_MAX(b->n_in, (size_t)1); k++) {
			char *x = a->n_in ? a->in[i] : NULL, *y = b->n_in ? b->in[k] : NULL;
			char *deeper = !y || (x && within(x, y)) ? x : !x || within(y, x) ? y : NULL;

			if (deeper && !within_any(deeper, a->not_in, a->n_not))
				r = add_path(&ret->in, &ret->n_in, &ret->cap_in, deeper);
		}
	return r;
}

/* Is there a flow in both? b is of a rule and excludes no cgroup. */
static int boxes_meet(const struct box *a, const struct box *b, bool *ret)
{
	struct box cgroups = {0};
	int r = 0;

	*ret = false;
	if (a->owned != b->owned || a->family != b->family)
		return 0;
	for (size_t d = 0; d < DIMENSIONS; d++)
		if (!ranges_meet(&a->dim[d], &b->dim[d]))
			return 0;
	if (a->n_in || b->n_in)
		r = cgroups_both(a, b, &cgroups);
	*ret = r == 0 && (cgroups.n_in || (!a->n_in && !b->n_in));
	box_done(&cgroups);
	return r;
}

/* ---- the walk ---- */

static bool is_active(const struct zt_rule *r, zt_usec when)
{
	struct zt_rule bare = {.dir = ZT_DIR_INGRESS,
			       .match.families = ZT_FAMILY_4,
			       .windows = r->windows,
			       .n_windows = r->n_windows,
			       .expires = r->expires};
	struct zt_flow any = {.dir = ZT_DIR_INGRESS, .dst.family = 4, .at = when};

	return zt_oracle_match(&bare, &any) == ZT_MISS_NONE;
}

static bool blocks(enum zt_verdict v)
{
	return v == ZT_DROP || v == ZT_REJECT;
}

static int numbers_back(const struct ranges *l, number max, struct zt_u32_ranges *ret)
{
	int r = 0;

	if (l->n == 1 && l->v[0].lo == 0 && l->v[0].hi == max)
		return 0; /* everything */
	for (size_t i = 0; !r && i < l->n; i++)
		r = zt_u32_ranges_add(ret, (uint32_t)l->v[i].lo, (uint32_t)l->v[i].hi);
	return r;
}

static int addrs_back(const struct ranges *l, uint8_t family, struct zt_addr_ranges *ret)
{
	int r = 0;

	if (l->n == 1 && l->v[0].lo == 0 && l->v[0].hi == dimension_max(SRC, family))
		return 0;
	for (size_t i = 0; !r && i < l->n; i++) {
		struct zt_addr_range a = {number_addr(family, l->v[i].lo), number_addr(family, l->v[i].hi)};

		r = zt_addr_ranges_add(ret, &a);
	}
	return r;
}

/* Flows know their control groups by path or by id. */
static void identify(const struct zt_ruleset *rs, struct zt_cgroup *cg)
{
	for (size_t i = 0; i < rs->n_rules; i++)
		for (size_t k = 0; k < rs->rules[i].match.n_cgroups; k++) {
			const struct zt_cgroup *known = &rs->rules[i].match.cgroups[k];

			if (known->id && !strcmp(known->path, cg->path)) {
				cg->id = known->id;
				cg->level = known->level;
				return;
			}
		}
}

static int paths_back(const struct zt_ruleset *rs, char *const *paths, size_t n, struct zt_cgroup **ret, size_t *ret_n)
{
	if (!n)
		return 0;
	*ret = zt_new(struct zt_cgroup, n);
	for (size_t i = 0; *ret && i < n; i++) {
		(*ret)[i].path = zt_strdup(paths[i]);
		if (!(*ret)[i].path)
			return -ENOMEM;
		identify(rs, &(*ret)[i]);
		*ret_n = i + 1;
	}
	return *ret ? 0 : -ENOMEM;
}

static int found(struct search *s, const struct box *b)
{
	struct zt_opening *o = s->out;
	struct zt_opened *x;
	struct zt_match *m;

	if (o->n >= BOXES_MAX) {
		o->cut = true;
		return 0;
	}
	if (zt_grow(o->v, o->cap, o->n) < 0)
		return -ENOMEM;
	x = &o->v[o->n++];
	*x = (struct zt_opened){.owned = b->owned};
	m = &x->match;
	m->families = b->family == 4 ? ZT_FAMILY_4 : ZT_FAMILY_6;
	return numbers_back(&b->dim[UID], dimension_max(UID, 4), &m->uid) ?: numbers_back(&b->dim[GID], dimension_max(GID, 4), &m->gid) ?:
	       addrs_back(&b->dim[SRC], b->family, b->family == 4 ? &m->src4 : &m->src6) ?:
	       addrs_back(&b->dim[DST], b->family, b->family == 4 ? &m->dst4 : &m->dst6) ?:
	       numbers_back(&b->dim[PROTO], 255, &m->proto) ?: numbers_back(&b->dim[PORT], 65535, &m->port) ?:
	       paths_back(s->rs, b->in, b->n_in, &m->cgroups, &m->n_cgroups) ?: paths_back(s->rs, b->not_in, b->n_not, &x->not_in, &x->n_not_in);
}

static int walk(struct search *s, const struct box *b, size_t i);

/* What is left of b without the cgroups of cut: 1 and *ret, or 0 when nothing is. */
static int without_cgroups(const struct box *b, const struct box *cut, struct box *ret)
{
	size_t kept = 0;
	int r = box_copy(b, ret);

	for (size_t i = 0; !r && i < ret->n_in; i++)
		if (!within_any(ret->in[i], cut->in, cut->n_in))
			ret->in[kept++] = ret->in[i];
	if (!r && (!cut->n_in || (b->n_in && !kept))) {
		box_done(ret);
		return 0;
	}
	ret->n_in = kept;
	for (size_t i = 0; !r && i < cut->n_in; i++)
		r = add_path(&ret->not_in, &ret->n_not, &ret->cap_not, cut->in[i]);
	if (r < 0)
		box_done(ret);
	return r < 0 ? r : 1;
}

/* Sends what of b lies outside of cut on to rule i, one dimension after the other (not with s NULL); *ret_inside is what lies in both. */
static int split(struct search *s, const struct box *b, const struct box *cut, size_t i, struct box *ret_inside)
{
	struct box rest = {0}, part = {0};
	int r = box_copy(b, &rest);

	for (size_t d = 0; !r && d < DIMENSIONS; d++) {
		struct ranges outside = {0}, inside = {0};

		r = ranges_without(&rest.dim[d], &cut->dim[d], &outside)
			    ?: ranges_both(&rest.dim[d], &cut->dim[d], &inside);
		free(rest.dim[d].v);
		rest.dim[d] = outside;
		if (!r && s && outside.n)
			r = walk(s, &rest, i);
		free(rest.dim[d].v);
		rest.dim[d] = inside;
	}
	if (!r && s && (r = without_cgroups(&rest, cut, &part)) > 0)
		r = walk(s, &part, i);
	box_done(&part);
	if (!r && cut->n_in) {
		struct box both = {0};

		r = cgroups_both(&rest, cut, &both);
		free(rest.in);
		rest.in = ZT_TAKE(both.in);
		rest.n_in = both.n_in;
		rest.cap_in = both.cap_in;
		box_done(&both);
	}
	if (r < 0) {
		box_done(&rest);
		return r;
	}
	*ret_inside = rest;
	return 0;
}

static int kept(struct zt_opening *o, size_t i)
{
	for (size_t k = 0; k < o->n_kept; k++)
		if (o->kept[k] == i)
			return 0;
	if (o->n_kept < BOXES_MAX && zt_grow(o->kept, o->cap_kept, o->n_kept) < 0)
		return -ENOMEM;
	if (o->n_kept < BOXES_MAX)
		o->kept[o->n_kept++] = i;
	return 0;
}

/* A rule by subject decides for some of those in the box: it takes nothing out, and adds what it blocks. */
static int meet_subject(struct search *s, const struct box *b, const struct box *cut, size_t i)
{
	struct box inside = {0};
	int r;

	s->out->at_most = true;
	if (i < s->at || !blocks(s->rs->rules[i].verdict))
		return kept(s->out, i);
	r = split(NULL, b, cut, 0, &inside);
	r = r ?: found(s, &inside);
	box_done(&inside);
	return r;
}

/* 1: rule i decides a part of b. The rest was sent on. */
static int meet(struct search *s, const struct box *b, size_t i)
{
	const struct zt_rule *rule = &s->rs->rules[i];
	struct box cut = {0}, inside = {0};
	bool meets = false;
	int r;

	if (rule->dir != s->dir || !is_active(rule, s->when) ||
	    (r = box_of(&rule->match, b->family, b->owned, &cut)) == 0)
		return 0;
	if (r > 0)
		r = boxes_meet(b, &cut, &meets);
	if (!r && meets && (rule->match.from || rule->match.to)) {
		r = meet_subject(s, b, &cut, i);
		box_done(&cut);
		return r;
	}
	if (!r && meets) {
		s->depth++;
		r = split(s, b, &cut, i + 1, &inside);
		s->depth--;
	}
	if (!r && meets)
		r = i >= s->at && blocks(rule->verdict) ? found(s, &inside) : kept(s->out, i);
	box_done(&inside);
	box_done(&cut);
	return r < 0 ? r : meets;
}

/* Cheap refusal before a box is made of the rule. */
static bool far(const struct box *b, const struct zt_match *m)
{
	const struct zt_addr_ranges *dst = b->family == 4 ? &m->dst4 : &m->dst6;

	if (m->uid.n && b->dim[UID].n &&
	    (b->dim[UID].v[0].lo > m->uid.v[m->uid.n - 1].hi || b->dim[UID].v[b->dim[UID].n - 1].hi < m->uid.v[0].lo))
		return true;
	if (m->port.n && b->dim[PORT].n &&
	    (b->dim[PORT].v[0].lo > m->port.v[m->port.n - 1].hi ||
	     b->dim[PORT].v[b->dim[PORT].n - 1].hi < m->port.v[0].lo))
		return true;
	return dst->n && b->dim[DST].n &&
	       (b->dim[DST].v[0].lo > addr_number(&dst->v[dst->n - 1].hi) ||
		b->dim[DST].v[b->dim[DST].n - 1].hi < addr_number(&dst->v[0].lo));
}

static int walk(struct search *s, const struct box *b, size_t i)
{
	int r;

	for (; i < s->rs->n_rules; i++) {
		if (s->work++ >= WORK_MAX || s->depth >= DEPTH_MAX) {
			s->out->cut = true;
			return 0;
		}
		if (far(b, &s->rs->rules[i].match))
			continue;
		r = meet(s, b, i);
		if (r)
			return r < 0 ? r : 0;
	}
	if (s->rs->settings.def[s->dir] == ZT_DEFAULT_ALLOW || s->rs->settings.mode == ZT_MODE_OBSERVE)
		return 0;
	return found(s, b);
}

/* ---- what is decided before the rules ---- */

static int loopback_match(uint8_t families, bool source, struct zt_match *ret)
{
	static const char *const four = "127.0.0.0/8", *const six = "::1";
	struct zt_addr_range r;

	ret->families = families;
	if (families == ZT_FAMILY_4)
		return zt_addr_range_parse(four, &r, NULL) ?: zt_addr_ranges_add(source ? &ret->src4 : &ret->dst4, &r);
	return zt_addr_range_parse(six, &r, NULL) ?: zt_addr_ranges_add(source ? &ret->src6 : &ret->dst6, &r);
}

static int start(struct search *s, const struct box *b);

/* Takes m out of b and goes on with the rest. 1: it was, 0: they do not meet. */
static int take_out(struct search *s, const struct box *b, const struct zt_match *m,
		    int (*next)(struct search *, const struct box *))
{
	struct box cut = {0}, rest = {0};
	bool meets = false;
	int r = box_of(m, b->family, b->owned, &cut);

	if (r <= 0)
		return r;
	r = boxes_meet(b, &cut, &meets);
	r = r ?: box_copy(b, &rest);
	for (size_t d = 0; !r && meets && d < DIMENSIONS; d++) {
		struct ranges outside = {0}, inside = {0};

		r = ranges_without(&rest.dim[d], &cut.dim[d], &outside)
			    ?: ranges_both(&rest.dim[d], &cut.dim[d], &inside);
		free(rest.dim[d].v);
		rest.dim[d] = outside;
		if (!r && outside.n)
			r = next(s, &rest);
		free(rest.dim[d].v);
		rest.dim[d] = inside;
	}
	box_done(&rest);
	box_done(&cut);
	return r < 0 ? r : meets;
}

static int all_rules(struct search *s, const struct box *b)
{
	return walk(s, b, 0);
}

static int start(struct search *s, const struct box *b)
{
	struct zt_match m = {0};
	int r = 0;

	if (s->dir == ZT_DIR_INGRESS && s->rs->ssh_ports.n) {
		m.families = b->family == 4 ? ZT_FAMILY_4 : ZT_FAMILY_6;
		r = zt_u32_ranges_add(&m.proto, 6, 6) ?: zt_u32_ranges_copy(&m.port, &s->rs->ssh_ports);
		r = r ?: take_out(s, b, &m, all_rules);
	}
	zt_match_done(&m);
	return r < 0 ? r : r > 0 ? 0 : all_rules(s, b);
}

static int part(struct search *s, const struct zt_match *m, uint8_t family, bool owned)
{
	bool free_loopback = s->dir == ZT_DIR_INGRESS ||
			     (s->dir == ZT_DIR_EGRESS && s->rs->settings.loopback != ZT_LOOPBACK_ENFORCE);
	struct zt_match lo = {0};
	struct box b = {0};
	int r = box_of(m, family, owned, &b);

	if (r > 0) {
		r = free_loopback
			    ? loopback_match(family == 4 ? ZT_FAMILY_4 : ZT_FAMILY_6, s->dir == ZT_DIR_INGRESS, &lo)
			    : 0;
		r = r ?: free_loopback ? take_out(s, &b, &lo, start) : 0;
		r = r ?: start(s, &b);
	}
	zt_match_done(&lo);
	box_done(&b);
	return r < 0 ? r : 0;
}

/* IPv4 and IPv6 are kept apart in a match, so that two boxes that differ in nothing else are one. */
static bool same_but_family(const struct zt_opened *a, const struct zt_opened *b)
{
	struct zt_match x = a->match, y = b->match;

	if (a->owned != b->owned || (x.families & y.families) || a->n_not_in != b->n_not_in)
		return false;
	for (size_t i = 0; i < a->n_not_in; i++)
		if (strcmp(a->not_in[i].path, b->not_in[i].path) != 0)
			return false;
	x.families = y.families = 0;
	x.src4 = x.src6 = x.dst4 = x.dst6 = y.src4 = y.src6 = y.dst4 = y.dst6 = (struct zt_addr_ranges){0};
	return zt_match_eq(&x, &y);
}

static void opened_done(struct zt_opened *x)
{
	zt_match_done(&x->match);
	for (size_t k = 0; k < x->n_not_in; k++)
		free(x->not_in[k].path);
	free(x->not_in);
}

static void swap(struct zt_addr_ranges *a, struct zt_addr_ranges *b)
{
	struct zt_addr_ranges t = *a;

	*a = *b;
	*b = t;
}

static void join_families(struct zt_opening *o)
{
	for (size_t i = 0; i < o->n; i++)
		for (size_t k = i + 1; k < o->n; k++) {
			struct zt_match *a = &o->v[i].match, *b = &o->v[k].match;

			if (!same_but_family(&o->v[i], &o->v[k]))
				continue;
			a->families |= b->families;
			if (b->families == ZT_FAMILY_6) {
				swap(&a->src6, &b->src6);
				swap(&a->dst6, &b->dst6);
			} else {
				swap(&a->src4, &b->src4);
				swap(&a->dst4, &b->dst4);
			}
			opened_done(&o->v[k]);
			memmove(&o->v[k], &o->v[k + 1], (--o->n - k) * sizeof(*o->v));
			break;
		}
}

static int by_index(const void *a, const void *b)
{
	const size_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* No more than the match itself: who at the ends is decided otherwise is not computed. */
static int opens_unix(const struct zt_match *m, struct zt_opening *ret)
{
	struct zt_opened *o = zt_new(struct zt_opened, 1);
	int r = o ? zt_match_copy(&o->match, m) : -ENOMEM;

	if (r < 0) {
		if (o)
			opened_done(o);
		free(o);
		return r;
	}
	o->owned = true;
	*ret = (struct zt_opening){.v = o, .n = 1, .cap = 1, .at_most = true};
	return 0;
}

int zt_ruleset_opens(const struct zt_ruleset *rs, size_t at, enum zt_direction dir, const struct zt_match *m,
		     zt_usec when, struct zt_opening *ret)
{
	struct zt_opening o = {.at_most = m->from || m->to};
	struct search s = {.rs = rs, .dir = dir, .at = at, .when = when, .out = &o};
	bool out = dir == ZT_DIR_EGRESS;
	int r;

	if (dir == ZT_DIR_UNIX)
		return opens_unix(m, ret);
	r = part(&s, m, 4, out) ?: part(&s, m, 6, out);
	if (!r && out) /* sockets without an owner: what the kernel itself sends */
		r = part(&s, m, 4, false) ?: part(&s, m, 6, false);
	if (r < 0) {
		zt_opening_done(&o);
		return r;
	}
	join_families(&o);
	if (o.n_kept)
		qsort(o.kept, o.n_kept, sizeof(*o.kept), by_index);
	*ret = o;
	return 0;
}

static double numbers_size(const struct zt_u32_ranges *l, double all)
{
	double n = 0;

	for (size_t i = 0; i < l->n; i++)
		n += (double)(l->v[i].hi - l->v[i].lo) + 1;
	return l->n ? n : all;
}

static double addrs_size(const struct zt_addr_ranges *l, double all)
{
	double n = 0;

	for (size_t i = 0; i < l->n; i++)
		n += (double)(addr_number(&l->v[i].hi) - addr_number(&l->v[i].lo)) + 1;
	return l->n ? n : all;
}

double zt_opening_size(const struct zt_opening *o)
{
	double size = 0, v4 = 4294967296.0, v6 = v4 * v4 * v4 * v4;

	for (size_t i = 0; i < o->n; i++) {
		const struct zt_match *m = &o->v[i].match;
		double hosts = (m->families & ZT_FAMILY_4 ? addrs_size(&m->src4, v4) * addrs_size(&m->dst4, v4) : 0) +
			       (m->families & ZT_FAMILY_6 ? addrs_size(&m->src6, v6) * addrs_size(&m->dst6, v6) : 0);

		size += hosts * numbers_size(&m->uid, v4) * numbers_size(&m->gid, v4) * numbers_size(&m->proto, 256) *
			numbers_size(&m->port, 65536);
	}
	return size;
}

void zt_opening_done(struct zt_opening *o)
{
	for (size_t i = 0; i < o->n; i++)
		opened_done(&o->v[i]);
	free(o->v);
	free(o->kept);
	*o = (struct zt_opening){0};
}

bool zt_opening_has(const struct zt_opening *o, enum zt_direction dir, const struct zt_flow *f)
{
	for (size_t i = 0; i < o->n; i++) {
		const struct zt_opened *x = &o->v[i];
		struct zt_rule rule = {.dir = dir, .match = x->match}, not_in = {.dir = dir, .match.families = 3};

		not_in.match.cgroups = x->not_in;
		not_in.match.n_cgroups = x->n_not_in;
		if ((dir != ZT_DIR_EGRESS || x->owned == f->owned) && zt_oracle_match(&rule, f) == ZT_MISS_NONE &&
		    (!x->n_not_in || zt_oracle_match(&not_in, f) != ZT_MISS_NONE))
			return true;
	}
	return false;
}
