/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of a policy's rules was used. */
#include <ctype.h>
#include <string.h>

#include "base/mem.h"
#include "learn/learn.h"

static void use_done(struct zt_rule_use *u)
{
	zt_u32_ranges_done(&u->ports);
	zt_u32_ranges_done(&u->protos);
	zt_u32_ranges_done(&u->uids);
	zt_addr_ranges_done(&u->hosts);
}

void zt_uses_done(struct zt_uses *u)
{
	for (size_t i = 0; i < u->n; i++)
		use_done(&u->v[i]);
	free(u->v);
	free(u->of_rule);
	*u = (struct zt_uses){0};
}

/* ---- one entry for each name ---- */
static int list_rules(const struct zt_ruleset *rs, struct zt_uses *u)
{
	u->v = zt_new(struct zt_rule_use, rs->n_rules + 1);
	u->of_rule = zt_new(uint32_t, rs->n_rules + 1);
	if (!u->v || !u->of_rule)
		return -ENOMEM;
	for (size_t i = 0; i < rs->n_rules; i++) {
		const struct zt_rule *r = &rs->rules[i];

		if (r->dir == ZT_DIR_UNIX) /* nobody records its use */
			continue;
		if (!i || strcmp(rs->rules[i - 1].id, r->id) != 0)
			u->v[u->n++].rule = r; /* parts of a rule stand together */
		u->v[u->n - 1].n_parts++;
		u->of_rule[i] = (uint32_t)u->n - 1;
	}
	return 0;
}

/* ---- what was seen of it: only as much as can be said in a line ---- */
static int note_number(struct zt_u32_ranges *l, uint32_t v)
{
	int r;

	if (l->n > ZT_USE_VALUES || zt_u32_ranges_has(l, v))
		return 0;
	r = zt_u32_ranges_add(l, v, v);
	for (size_t i = l->n - 1; !r && i > 0 && l->v[i].lo < l->v[i - 1].lo;
	     i--) { /* sorted, not joined: each is one value */
		struct zt_u32_range t = l->v[i];

		l->v[i] = l->v[i - 1];
		l->v[i - 1] = t;
	}
	return r;
}

static int compare_hosts(const void *a, const void *b)
{
	return zt_addr_cmp(&((const struct zt_addr_range *)a)->lo, &((const struct zt_addr_range *)b)->lo);
}

static int note_host(struct zt_addr_ranges *l, const struct zt_addr *a)
{
	struct zt_addr_range one = {*a, *a};
	int r;

	if (l->n > ZT_USE_VALUES || zt_addr_ranges_has(l, a))
		return 0;
	r = zt_addr_ranges_add(l, &one);
	if (!r)
		qsort(l->v, l->n, sizeof(*l->v), compare_hosts);
	return r;
}

static int note(struct zt_rule_use *u, const struct zt_seen *s)
{
	int r = note_number(&u->protos, s->proto) ?: note_host(&u->hosts, &s->remote);

	u->first = u->keys && u->first < s->first ? u->first : s->first;
	u->last = ZT_MAX(u->last, s->last);
	u->count += s->count;
	u->keys++;
	if (!r && s->port)
		r = note_number(&u->ports, s->port);
	if (!r && s->dir == ZT_DIR_EGRESS && s->who->has_uid)
		r = note_number(&u->uids, s->who->uid);
	return r;
}

int zt_uses_make(const struct zt_seen_list *l, const struct zt_ruleset *rs, struct zt_uses *ret)
{
	ZT_CLEANUP(zt_judge_freep) struct zt_judge *j = NULL;
	ZT_CLEANUP(zt_uses_done) struct zt_uses u = {0};
	int r = list_rules(rs, &u) ?: zt_judge_new(rs, l, &j);

	for (size_t i = 0; !r && i < l->n; i++) {
		struct zt_decision d;

		if (l->v[i].dir == ZT_DIR_INGRESS && l->v[i].loopback)
			continue;
		zt_judge_decide(j, &l->v[i], &d);
		if (d.by == ZT_BY_RULE)
			r = note(&u.v[u.of_rule[d.rule - rs->rules]], &l->v[i]);
	}
	if (r < 0)
		return r;
	*ret = u;
	u = (struct zt_uses){0};
	return 0;
}

/* ---- tighter ---- */
static bool wider(const struct zt_u32_ranges *rule, const struct zt_u32_ranges *seen)
{
	uint64_t n = 0;

	for (size_t i = 0; i < rule->n; i++)
		n += (uint64_t)rule->v[i].hi - rule->v[i].lo + 1;
	return seen->n && seen->n <= ZT_USE_VALUES && (!rule->n || n > seen->n);
}

static double size(const struct zt_addr_range *r)
{
	double n = 0;

	for (unsigned i = 0; i < (r->lo.family == 4 ? 4u : 16u); i++)
		n = n * 256 + r->hi.b[i] - r->lo.b[i];
	return n + 1;
}

/* Addresses that are not loopback. */
static double addresses(const struct zt_addr_ranges *l)
{
	double n = 0;

	for (size_t i = 0; i < l->n; i++)
		n += zt_addr_is_loopback(&l->v[i].lo) ? 0 : size(&l->v[i]);
	return n;
}

/* ---- where learn would write the same: what it generalises is as tight as the evidence supports ---- */
static unsigned common_bits(const struct zt_addr *a, const struct zt_addr *b)
{
	unsigned bits = 0, max = a->family == 4 ? 32 : 128;

	while (bits < max && !((a->b[bits / 8] ^ b->b[bits / 8]) >> (7 - bits % 8) & 1))
		bits++;
	return bits;
}

static bool same_prefix(const struct zt_addr_range *rule, const struct zt_addr_ranges *seen)
{
	const struct zt_addr *first = &seen->v[0].lo, *last = &seen->v[seen->n - 1].lo; /* sorted */

	return seen->n >= ZT_LEARN_HOSTS && rule->lo.family == first->family && first->family == last->family &&
	       common_bits(&rule->lo, &rule->hi) >= common_bits(first, last);
}

/* 10.0.0.0/8 and its like, for so many networks in it. */
static bool same_block(const struct zt_addr_range *rule, const struct zt_addr_ranges *seen)
{
	size_t nets = 1;

	for (size_t i = 0; i < ZT_LEARN_BLOCKS; i++) {
		struct zt_addr_range block;

		if (zt_addr_range_parse(zt_learn_blocks[i], &block, NULL) < 0 ||
		    zt_addr_cmp(&block.lo, &rule->lo) != 0 || zt_addr_cmp(&block.hi, &rule->hi) != 0)
			continue;
		for (size_t k = 1; k < seen->n; k++)
			nets += common_bits(&seen->v[k - 1].lo, &seen->v[k].lo) < 24;
		return nets >= ZT_LEARN_NETS;
	}
	return false;
}

static bool same_ports(const struct zt_u32_ranges *rule, const struct zt_u32_ranges *seen)
{
	return seen->n >= ZT_LEARN_PORTS && rule->n == 1 && rule->v[0].lo == 1024 && rule->v[0].hi == 65535;
}

/* "db.example:5432/tcp": a name stands for all of its addresses. */
static bool is_name(const char *text, size_t n)
{
	size_t host = strcspn(text, ":/"), end = ZT_MIN(host, n);
	bool letter = false;

	if (!end || strchr("@*[", *text) || (text[end] == ':' && memchr(text + end + 1, ':', n - ZT_MIN(n, end + 1))))
		return false;
	for (size_t i = 0; i < end; i++)
		letter = letter || isalpha((unsigned char)text[i]);
	return letter && strncmp(text, "localhost", ZT_MAX(end, sizeof("localhost") - 1)) != 0 &&
	       strncmp(text, "any", ZT_MAX(end, sizeof("any") - 1)) != 0;
}

static bool has_name(const struct zt_rule *r)
{
	const char *text = r->dir == ZT_DIR_INGRESS ? r->from_text : r->to_text,
		   *at = text ? strstr(text, " at ") : NULL;

	for (text = at ? at + 4 : text; text && *text; text += *text == ',') {
		size_t n = strcspn(text, ",");

		if (is_name(text, n))
			return true;
		text += n;
	}
	return false;
}

static bool wider_hosts(const struct zt_rule *r, const struct zt_addr_ranges *seen)
{
	const struct zt_match *m = &r->match;
	bool in = r->dir == ZT_DIR_INGRESS;
	const struct zt_addr_ranges *l4 = in ? &m->src4 : &m->dst4, *l6 = in ? &m->src6 : &m->dst6;

	if (!seen->n || seen->n > ZT_USE_VALUES)
		return false;
	if ((m->families & ZT_FAMILY_4 && !l4->n) || (m->families & ZT_FAMILY_6 && !l6->n))
		return true; /* any */
	if (has_name(r) || (l4->n + l6->n == 1 && same_prefix(l4->n ? l4->v : l6->v, seen)) ||
	    (l4->n == 1 && !l6->n && same_block(l4->v, seen)))
		return false;
	return (m->families & ZT_FAMILY_4 ? addresses(l4) : 0) + (m->families & ZT_FAMILY_6 ? addresses(l6) : 0) >
	       addresses(seen);
}

static bool wider_protocols(const struct zt_match *m, const struct zt_u32_ranges *seen)
{
	return m->proto.n ? wider(&m->proto, seen) : !m->port.n;
}

unsigned zt_use_tighter(const struct zt_rule_use *u)
{
	const struct zt_match *m = &u->rule->match;

	if (!u->keys || u->n_parts != 1 || !zt_verdict_passes(u->rule->verdict))
		return 0;
	return (wider(&m->port, &u->ports) && !same_ports(&m->port, &u->ports) ? ZT_TIGHTER_PORTS : 0) |
	       (wider_protocols(m, &u->protos) ? ZT_TIGHTER_PROTOS : 0) |
	       (wider_hosts(u->rule, &u->hosts) ? ZT_TIGHTER_HOSTS : 0) |
	       (u->rule->dir == ZT_DIR_EGRESS && !m->from && !m->n_cgroups && wider(&m->uid, &u->uids)
			? ZT_TIGHTER_USERS
			: 0);
}
