/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "engine/nft/nft.h"

/* ---- elements back to rules: ordered by order key, rule, part, map ---- */
static int compare_order(const void *a, const void *b)
{
	const struct nft_live_elem *x = a, *y = b;
	int c;

	if (x->okey != y->okey)
		return x->okey < y->okey ? -1 : 1;
	c = x->id == y->id ? 0 : strcmp(x->id, y->id);
	if (c)
		return c;
	if (x->part != y->part)
		return x->part < y->part ? -1 : 1;
	return x->map < y->map ? -1 : x->map > y->map;
}

static bool same_rule(const struct nft_live_elem *a, const struct nft_live_elem *b)
{
	return a->okey == b->okey && a->part == b->part && !strcmp(a->id, b->id);
}

struct raise_ctx {
	const struct nft_state *s;
	struct zt_ruleset *rs;
	struct nft_marks *marks; /* NULL: the rules know none */
	struct zt_diags *d;
	bool damaged;
};

static int damage(struct raise_ctx *c, const char *what, const char *name)
{
	c->damaged = true;
	(void)zt_diag(c->d, ZT_ERROR, 3107, NULL, "table inet %s: %s \"%s\"", c->s->table, what, name);
	return 0;
}

static int read_guard(const struct nft_state *s, uint32_t guard, struct zt_rule *rule)
{
	char key[32];
	const char *p;
	unsigned long long expires;
	unsigned from, to;
	int used;

	if (!guard)
		return 0;
	(void)snprintf(key, sizeof(key), "guard%u", guard);
	p = nft_meta_get(&s->meta, key);
	if (!p || sscanf(p, "%llu%n", &expires, &used) != 1)
		return -EUCLEAN;
	rule->expires = expires;
	for (p += used; sscanf(p, " %u-%u%n", &from, &to, &used) == 2; p += used) {
		struct zt_window *grown = zt_realloc(rule->windows, (rule->n_windows + 1) * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		rule->windows = grown;
		rule->windows[rule->n_windows++] = (struct zt_window){.start = from, .end = to};
	}
	return 0;
}

static int add_cgroup(const struct nft_state *s, uint64_t id, struct zt_match *m)
{
	struct zt_cgroup *grown, *c;
	char key[40];
	const char *line;
	int used;

	for (size_t i = 0; i < m->n_cgroups; i++)
		if (nft_cgroup_key(&m->cgroups[i]) == id)
			return 0;
	(void)snprintf(key, sizeof(key), "cg%llx", (unsigned long long)id);
	line = nft_meta_get(&s->meta, key);
	grown = zt_realloc(m->cgroups, (m->n_cgroups + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	m->cgroups = grown;
	c = &m->cgroups[m->n_cgroups];
	*c = (struct zt_cgroup){.id = id & NFT_ABSENT_CGROUP ? 0 : id};
	if (!line || sscanf(line, "%u %n", &c->level, &used) != 1)
		return -EUCLEAN;
	c->path = nft_meta_join_value(&s->meta, key, (size_t)used);
	if (!c->path)
		return -ENOMEM;
	m->n_cgroups++;
	return 0;
}

static int add_number(struct zt_u32_ranges *l, const struct nft_shape *s, int dim, const struct nft_value *v)
{
	return s->dims & (1u << dim) ? zt_u32_ranges_add(l, (uint32_t)v[dim].lo, (uint32_t)v[dim].hi) : 0;
}

static int add_addr(struct zt_addr_ranges *l, const struct nft_shape *s, int dim, const struct nft_value *v)
{
	return s->dims & (1u << dim)
		       ? zt_addr_ranges_add(l, &(struct zt_addr_range){.lo = v[dim].alo, .hi = v[dim].ahi})
		       : 0;
}

static uint8_t families_of(const struct nft_shape *s, const struct nft_value *v)
{
	if (s->family)
		return s->family == 4 ? ZT_FAMILY_4 : ZT_FAMILY_6;
	if (s->dims & (1u << DIM_NFPROTO))
		return v[DIM_NFPROTO].lo == 2 ? ZT_FAMILY_4 : ZT_FAMILY_6;
	return ZT_FAMILY_4 | ZT_FAMILY_6;
}

/* A number in the key must be one of a process that the subject is. */
static bool good_number(const struct raise_ctx *c, const struct nft_shape *shape, const struct nft_value *v, int dim,
			uint32_t subject, enum zt_verdict verdict)
{
	bool there = shape->dims & (1u << dim);
	uint32_t shift = there && c->marks ? nft_marks_shift(c->marks) : 0;

	if (!there || !subject)
		return !there && !subject;
	return c->marks && v[dim].lo == v[dim].hi && !(v[dim].lo & ((1u << shift) - 1)) &&
	       nft_marks_has(c->marks, subject, verdict, (uint32_t)(v[dim].lo >> shift));
}

static int add_elem(struct raise_ctx *c, const struct nft_live_elem *e, enum zt_verdict verdict, struct zt_match *m)
{
	const struct nft_state *s = c->s;
	const struct nft_shape *shape = &s->maps[e->map].shape;
	struct nft_value v[N_DIMS];
	int r;

	nft_shape_decode(shape, e->key, e->end, v);
	if (!good_number(c, shape, v, DIM_FROM, e->refs.from, verdict) ||
	    !good_number(c, shape, v, DIM_TO, e->refs.to, verdict))
		(void)damage(c, "a label is not one of rule", e->id);
	m->families |= families_of(shape, v);
	r = shape->dims & (1u << DIM_CGROUP) ? add_cgroup(s, v[DIM_CGROUP].lo, m) : 0;
	if (!r)
		r = add_number(&m->uid, shape, DIM_UID, v);
	if (!r)
		r = add_number(&m->gid, shape, DIM_GID, v);
	if (!r)
		r = add_number(&m->proto, shape, DIM_PROTO, v);
	if (!r)
		r = add_number(&m->port, shape, DIM_PORT, v);
	if (!r)
		r = add_addr(shape->family == 4 ? &m->src4 : &m->src6, shape, DIM_SRC, v);
	if (!r)
		r = add_addr(shape->family == 4 ? &m->dst4 : &m->dst6, shape, DIM_DST, v);
	return r;
}

static int compare_cgroups(const void *a, const void *b)
{
	return strcmp(((const struct zt_cgroup *)a)->path, ((const struct zt_cgroup *)b)->path);
}

/* After the union of all elements: normal form, and 0-255 protocols (padding of a short key) is no constraint. */
static void finish_match(struct zt_match *m)
{
	zt_u32_ranges_normalise(&m->uid);
	zt_u32_ranges_normalise(&m->gid);
	zt_u32_ranges_normalise(&m->proto);
	zt_u32_ranges_normalise(&m->port);
	zt_addr_ranges_normalise(&m->src4);
	zt_addr_ranges_normalise(&m->src6);
	zt_addr_ranges_normalise(&m->dst4);
	zt_addr_ranges_normalise(&m->dst6);
	if (m->proto.n == 1 && m->proto.v[0].lo == 0 && m->proto.v[0].hi == 255)
		m->proto.n = 0;
	if (m->n_cgroups > 1)
		qsort(m->cgroups, m->n_cgroups, sizeof(*m->cgroups), compare_cgroups);
}

static int copy_cgroups(struct zt_match *m, const struct zt_match *from)
{
	if (!from->n_cgroups)
		return 0;
	m->cgroups = zt_new(struct zt_cgroup, from->n_cgroups);
	for (size_t i = 0; m->cgroups && i < from->n_cgroups; i++) {
		m->cgroups[i] = from->cgroups[i];
		m->cgroups[i].path = zt_strdup(from->cgroups[i].path);
		m->n_cgroups = i + 1;
		if (!m->cgroups[i].path)
			return -ENOMEM;
	}
	return m->cgroups ? 0 : -ENOMEM;
}

/* The subjects behind the numbers. A sender's users and control groups stand in the match as well, see struct zt_match. */
static int set_subjects(struct raise_ctx *c, const struct nft_refs *refs, struct zt_match *m)
{
	const struct nft_marks *marks = c->marks;
	uint32_t n = marks ? (uint32_t)marks->joint->n_subjects : 0,
		 plain = marks ? (uint32_t)marks->plain->n_subjects : 0;
	const struct zt_subject *from;
	struct zt_match copy;
	int r;

	if (refs->from > n || refs->to > n || (refs->to && refs->to <= plain))
		return damage(c, "unknown identity in table", c->s->table);
	if (refs->to)
		m->to = c->rs->subjects[refs->to - 1 - plain];
	if (!refs->from)
		return 0;
	from = marks->joint->subjects[refs->from - 1];
	copy = (struct zt_match){.uid = from->uid, .cgroups = from->cgroups, .n_cgroups = from->n_cgroups};
	if (refs->from > plain)
		m->from = c->rs->subjects[refs->from - 1 - plain];
	r = zt_u32_ranges_copy(&m->uid, &copy.uid);
	return r ?: copy_cgroups(m, &copy);
}

/* A rule is a box: lowering it again must give just the elements that are there. Catches an element that somebody took away. */
static int check_count(struct raise_ctx *c, const struct zt_rule *rule, size_t n)
{
	size_t expected = 0;
	int r = nft_lower_count(c->marks, rule, &expected);

	return r ? r : expected == n ? 0 : damage(c, "elements were added to or removed from rule", rule->id);
}

static int raise_rule(struct raise_ctx *c, const struct nft_live_elem *e, size_t n)
{
	struct zt_rule *rule = zt_ruleset_add(c->rs);
	enum zt_verdict verdict = ZT_ALLOW;
	int r = rule ? read_guard(c->s, c->s->maps[e->map].guard, rule) : -ENOMEM;

	if (r < 0)
		return r;
	rule->id = zt_strdup(e->id);
	rule->part = e->part;
	rule->dir = c->s->maps[e->map].dir;
	if (!nft_verdict_parse(e->accept, e->chain, &verdict, &rule->log))
		return damage(c, "unknown verdict of rule", e->id);
	rule->verdict = verdict;
	for (size_t i = 0; !r && i < n; i++) {
		r = add_elem(c, &e[i], verdict, &rule->match);
		if (e[i].refs.from != e->refs.from || e[i].refs.to != e->refs.to)
			(void)damage(c, "identities differ within rule", e->id);
		if (e[i].accept != e->accept || strcmp(e[i].chain, e->chain) != 0 ||
		    c->s->maps[e[i].map].dir != rule->dir)
			(void)damage(c, "verdicts differ within rule", e->id);
	}
	r = r ?: set_subjects(c, &e->refs, &rule->match);
	if (r < 0)
		return r;
	finish_match(&rule->match);
	return rule->id ? check_count(c, rule, n) : -ENOMEM;
}

static int raise_rules(struct raise_ctx *c, struct nft_live_elem *e, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n; i++)
		if (e[i].flat)
			return damage(c, "foreign element in map", c->s->maps[e[i].map].name);
	if (n)
		qsort(e, n, sizeof(*e), compare_order);
	for (size_t i = 0, k; !r && i < n; i = k) {
		for (k = i + 1; k < n && same_rule(&e[i], &e[k]); k++)
			;
		r = raise_rule(c, &e[i], k - i);
	}
	return r;
}

static int check_frame(struct raise_ctx *c)
{
	const char *recorded = nft_meta_get(&c->s->meta, "rules");

	for (size_t i = 0; i < c->s->n_strangers; i++)
		(void)damage(c, "somebody else's", c->s->strangers[i]);
	for (size_t i = 0; i < c->s->n_torn; i++)
		(void)damage(c, "somebody changed the chain of the netdev table", c->s->torn[i]);
	if (c->s->dormant)
		(void)damage(c, "this table or the netdev one decides nothing: somebody gave it the flag", "dormant");
	else if (c->s->base_chains != NFT_BASE_CHAINS)
		(void)damage(c, "a base chain is missing or open among", "input, output, forward, prerouting");
	if (!recorded || strcmp(recorded, c->s->digest) != 0)
		(void)damage(c, "rules were changed in", "the fixed chains");
	return 0;
}

/* The stamp must be the one that the rules were made for. */
static int raise_marks(struct raise_ctx *c)
{
	const char *recorded = nft_meta_get(&c->s->meta, "marks");
	const struct zt_subject *mine;
	char hex[65] = "";
	int r;

	if (!recorded)
		return 0;
	r = nft_stamp_read(c->rs->instance, &c->marks, c->d);
	if (r == -ENOENT)
		return damage(c, "the programs that label sockets are gone, for table", c->s->table);
	c->damaged = c->damaged || r == -EUCLEAN;
	if (!c->marks)
		return r == -EUCLEAN ? 0 : r;
	r = nft_marks_hash(c->marks, hex);
	if (!r && strcmp(hex, recorded) != 0)
		(void)damage(c, "labels and rules are not of one policy, in table", c->s->table);
	for (size_t i = 0; !r && i < c->marks->real->n_subjects; i++)
		r = zt_ruleset_subject(c->rs, c->marks->real->subjects[i], &mine);
	return r;
}

static int raise_all(struct raise_ctx *c)
{
	int r = raise_marks(c) ?: check_frame(c);

	if (nft_meta_get(&c->s->meta, "marks") && !c->marks)
		return r; /* what the elements mean cannot be told */
	return r ?: raise_rules(c, c->s->elems, c->s->n_elems);
}

static int raise_state(struct nft_state *s, struct zt_ruleset *rs, struct zt_diags *d)
{
	struct raise_ctx c = {.s = s, .rs = rs, .d = d};
	int r = nft_meta_apply(&s->meta, rs);

	if (r == -EUCLEAN)
		return damage(&c, "unreadable set", "zt_meta") - EUCLEAN;
	if (!r)
		r = raise_all(&c);
	nft_marks_free(c.marks);
	if (r == -EUCLEAN)
		(void)damage(&c, "unreadable guard or control group in set", "zt_meta");
	if (!r)
		r = c.damaged ? -EUCLEAN : zt_ruleset_rehash(rs);
	return r;
}

/* Devices that came later, or whose chain somebody took away. */
static void warn_missing(const struct nft_state *s, struct zt_diags *d)
{
	char **names = NULL;
	bool tell;
	size_t n = 0;

	if (nft_fence_missing(s->table, &names, &n) < 0)
		return;
	tell = n && (s->n_fences || nft_fence_supported()); /* where the kernel cannot, commit and status say so */
	for (size_t i = 0; i < n; i++) {
		if (tell && !strchr(names[i], '"'))
			(void)zt_diag(d, ZT_WARNING, 3106, NULL,
				      "raw frames on %s are not fenced: zt-segment refresh mends it", names[i]);
		free(names[i]);
	}
	free(names);
}

int nft_raise(const char *instance, struct zt_ruleset **ret, struct zt_diags *d)
{
	ZT_CLEANUP(nft_state_done) struct nft_state s = {0};
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	int r = nft_state_read(instance, NFT_READ_ALL, &s);

	if (r < 0)
		return zt_diag_errno(d, 3108, r, "cannot read the nftables ruleset");
	if (!s.present)
		return -ENOENT;
	r = zt_ruleset_new(&rs);
	if (!r)
		r = raise_state(&s, rs, d);
	if (!r)
		warn_missing(&s, d);
	if (r < 0)
		return r;
	*ret = ZT_TAKE(rs);
	return 0;
}

int nft_raise_memo(const char *instance, const char *path, struct zt_ruleset **ret)
{
	ZT_CLEANUP(nft_state_done) struct nft_state s = {0};
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	int r = nft_memo_read(path, instance, &s);

	r = r ? r : zt_ruleset_new(&rs);
	r = r ? r : raise_state(&s, rs, NULL);
	if (!r)
		*ret = ZT_TAKE(rs);
	return r;
}

/* ---- counters ---- */
struct rule_at {
	const char *id;
	uint32_t part;
	size_t index;
};

static int compare_rule_at(const void *a, const void *b)
{
	const struct rule_at *x = a, *y = b;
	int c = strcmp(x->id, y->id);

	return c ? c : x->part < y->part ? -1 : x->part > y->part;
}

static int sum_elements(const struct zt_ruleset *rs, const struct nft_state *s, struct zt_counters *ret)
{
	ZT_FREE struct rule_at *at = zt_new(struct rule_at, rs->n_rules + 1);

	if (!at)
		return -ENOMEM;
	for (size_t i = 0; i < rs->n_rules; i++)
		at[i] = (struct rule_at){.id = rs->rules[i].id, .part = rs->rules[i].part, .index = i};
	qsort(at, rs->n_rules, sizeof(*at), compare_rule_at);
	for (size_t i = 0; i < s->n_elems; i++) {
		struct rule_at want = {.id = s->elems[i].id, .part = s->elems[i].part};
		const struct rule_at *found = s->elems[i].flat
						      ? NULL
						      : bsearch(&want, at, rs->n_rules, sizeof(*at), compare_rule_at);

		if (found) {
			ret->rule[found->index].packets += s->elems[i].packets;
			ret->rule[found->index].bytes += s->elems[i].bytes;
		}
	}
	return 0;
}

int nft_counters(const struct zt_ruleset *rs, struct zt_counters *ret)
{
	ZT_CLEANUP(nft_state_done) struct nft_state s = {0};
	ZT_CLEANUP(zt_counters_done)
	struct zt_counters c = {.rule = zt_new(struct zt_count, rs->n_rules + 1), .n_rules = rs->n_rules};
	int r = c.rule ? nft_state_read(rs->instance, NFT_READ_ELEMS, &s) : -ENOMEM;

	if (!r)
		r = s.present ? sum_elements(rs, &s, &c) : -ENOENT;
	if (!r)
		r = nft_state_counters(rs->instance, &c);
	if (r < 0)
		return r;
	*ret = c;
	c.rule = NULL;
	return 0;
}
