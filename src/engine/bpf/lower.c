/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "engine/bpf/bpf.h"

/*
 * A rule is a product of lists. Each list is taken apart into single values (exact) and ranges (classes); each choice of one part a list is a
 * shape, and each choice of one value a list is an entry of it.
 */
enum dim { DIM_FROM, DIM_TO, DIM_CGROUP, DIM_UID, DIM_GID, DIM_SRC, DIM_DST, DIM_PROTO, DIM_PORT, N_DIMS };
static const struct {
	unsigned word, shift;
	uint64_t mask;
} fields[N_DIMS] = {
	[DIM_FROM] = {0, 32, UINT32_MAX}, [DIM_TO] = {1, 0, UINT32_MAX},   [DIM_CGROUP] = {1, 32, UINT32_MAX},
	[DIM_UID] = {2, 0, UINT32_MAX},	  [DIM_GID] = {2, 32, UINT32_MAX}, [DIM_SRC] = {3, 0, UINT64_MAX},
	[DIM_DST] = {5, 0, UINT64_MAX},	  [DIM_PROTO] = {7, 16, 0xff},	   [DIM_PORT] = {7, 0, 0xffff},
};

struct values { /* one part of one dimension */
	struct value {
		uint64_t lo, hi; /* hi: the second word of an address */
	} * v;
	size_t n, cap;
};
struct list {
	bool any;
	struct values exact, classed;
};

enum { KIND_SRC4, KIND_SRC6, KIND_DST4, KIND_DST6, KIND_UID, KIND_GID, KIND_ONE_UID, KIND_ONE_GID, KIND_PORT, N_KINDS };
struct lower {
	struct zt_image *img;
	struct zt_diags *d;
	struct bpf_classes kinds[N_KINDS];
	struct list lists[N_DIMS];
	const struct zt_rule *rule;
	unsigned table; /* see abi.h */
	unsigned guard;
	int over; /* why the rule does not fit, a text of `limits` */
};
static const char *const limits[] = {
	"", "the rules of the policy look at flows in too many different ways", "the policy needs too many map entries",
	"too many different schedules and expiry dates", "its schedule has too many windows"};
enum { OVER_SHAPES = 1, OVER_ENTRIES, OVER_GUARDS, OVER_WINDOWS };

static void lists_clear(struct lower *l)
{
	for (int i = 0; i < N_DIMS; i++) {
		free(l->lists[i].exact.v);
		free(l->lists[i].classed.v);
		l->lists[i] = (struct list){0};
	}
}

static void lower_done(struct lower *l)
{
	lists_clear(l);
	for (int i = 0; i < N_KINDS; i++)
		bpf_classes_done(&l->kinds[i]);
}

static int value_add(struct values *l, uint64_t lo, uint64_t hi)
{
	if (zt_grow(l->v, l->cap, l->n) < 0)
		return -ENOMEM;
	l->v[l->n++] = (struct value){lo, hi};
	return 0;
}

/* ---- constraints that are ranges, over all rules ---- */
static bpf_u128 addr_number(const struct zt_addr *a)
{
	bpf_u128 v = 0;

	for (unsigned i = 0; i < (a->family == 4 ? 4u : 16u); i++)
		v = v << 8 | a->b[i];
	return v;
}

static int collect_numbers(struct bpf_classes *c, const struct zt_u32_ranges *l, bool single)
{
	int r = 0;

	for (size_t i = 0; !r && i < l->n; i++)
		if (single || l->v[i].lo != l->v[i].hi)
			r = bpf_classes_add(c, l->v[i].lo, l->v[i].hi);
	return r;
}

static int collect_addrs(struct bpf_classes *c, const struct zt_addr_ranges *l)
{
	int r = 0;

	for (size_t i = 0; !r && i < l->n; i++)
		if (zt_addr_cmp(&l->v[i].lo, &l->v[i].hi))
			r = bpf_classes_add(c, addr_number(&l->v[i].lo), addr_number(&l->v[i].hi));
	return r;
}

static int collect(struct lower *l)
{
	int r = 0;

	for (size_t i = 0; !r && i < l->img->rs->n_rules; i++) {
		const struct zt_match *m = &l->img->rs->rules[i].match;

		r = collect_addrs(&l->kinds[KIND_SRC4], &m->src4) ?: collect_addrs(&l->kinds[KIND_SRC6], &m->src6);
		r = r ?: collect_addrs(&l->kinds[KIND_DST4], &m->dst4) ?: collect_addrs(&l->kinds[KIND_DST6], &m->dst6);
		r = r ?: collect_numbers(&l->kinds[KIND_UID], &m->uid, false) ?: collect_numbers(&l->kinds[KIND_GID], &m->gid, false);
		r = r ?: collect_numbers(&l->kinds[KIND_ONE_UID], &m->uid, true) ?: collect_numbers(&l->kinds[KIND_ONE_GID], &m->gid, true);
		r = r ?: collect_numbers(&l->kinds[KIND_PORT], &m->port, false);
	}
	for (int k = 0; !r && k < N_KINDS; k++)
		r = bpf_classes_make(&l->kinds[k]);
	return r;
}

/* ---- classes into the maps ---- */
int bpf_add_lpm(struct zt_image *img, uint32_t kind, bpf_u128 base, unsigned len, unsigned bits, uint32_t id)
{
	struct bpf_lpm *e;

	if (zt_grow(img->lpms, img->cap_lpms, img->n_lpms) < 0)
		return -ENOMEM;
	e = &img->lpms[img->n_lpms++];
	*e = (struct bpf_lpm){.key = {.prefix = ZT_BPF_LPM_BITS(len), .kind = __builtin_bswap32(kind)}, .id = id};
	for (unsigned i = 0; i < bits / 8; i++)
		e->key.data[i] = (uint8_t)(base >> (bits - 8 - 8 * i));
	return 0;
}

struct trie {
	struct zt_image *img;
	uint32_t kind;
	unsigned bits;
};

static int trie_add(void *arg, bpf_u128 base, unsigned len, uint32_t id)
{
	struct trie *t = arg;

	return bpf_add_lpm(t->img, t->kind, base, len, t->bits, id);
}

static int lower_ports(struct lower *l)
{
	const struct bpf_classes *c = &l->kinds[KIND_PORT];

	if (!c->n_ids)
		return 0;
	l->img->ports = zt_new(uint16_t, 65536);
	for (size_t i = 0; l->img->ports && i < c->n_pieces; i++)
		for (uint32_t p = (uint32_t)c->pieces[i].lo;
		     p < 65536 && (i + 1 == c->n_pieces || p < c->pieces[i + 1].lo); p++)
			l->img->ports[p] = (uint16_t)c->pieces[i].id;
	return l->img->ports ? 0 : -ENOMEM;
}

static int lower_classes(struct lower *l)
{
	static const struct {
		uint32_t kind;
		unsigned bits;
	} tries[] = {[KIND_SRC4] = {ZT_BPF_SRC4, 32},	    [KIND_SRC6] = {ZT_BPF_SRC6, 128},
		     [KIND_DST4] = {ZT_BPF_DST4, 32},	    [KIND_DST6] = {ZT_BPF_DST6, 128},
		     [KIND_UID] = {ZT_BPF_UID, 32},	    [KIND_GID] = {ZT_BPF_GID, 32},
		     [KIND_ONE_UID] = {ZT_BPF_ONE_UID, 32}, [KIND_ONE_GID] = {ZT_BPF_ONE_GID, 32}};
	int r = lower_ports(l);

	for (size_t k = 0; !r && k < ZT_ARRAY_SIZE(tries); k++) {
		struct trie t = {l->img, tries[k].kind, tries[k].bits};

		r = bpf_classes_prefixes(&l->kinds[k], tries[k].bits, trie_add, &t);
	}
	return r;
}

/* ---- lists of a rule ---- */
static int add_class(void *arg, uint32_t id)
{
	return value_add(arg, id, 0);
}

static int list_numbers(struct lower *l, enum dim dim, int kind, const struct zt_u32_ranges *src)
{
	struct list *to = &l->lists[dim];
	int r = 0;

	to->any = !src->n;
	for (size_t i = 0; !r && i < src->n; i++)
		if (src->v[i].lo == src->v[i].hi)
			r = value_add(&to->exact, src->v[i].lo, 0);
		else if (kind >= 0)
			r = bpf_classes_of(&l->kinds[kind], src->v[i].lo, src->v[i].hi, add_class, &to->classed);
		else /* protocols: each by itself */
			for (uint32_t v = src->v[i].lo; !r && v <= src->v[i].hi; v++)
				r = value_add(&to->exact, v, 0);
	return r;
}

static int list_addrs(struct lower *l, enum dim dim, int kind, const struct zt_addr_ranges *src)
{
	struct list *to = &l->lists[dim];
	uint64_t w[2];
	int r = 0;

	to->any = !src->n;
	for (size_t i = 0; !r && i < src->n; i++) {
		memcpy(w, src->v[i].lo.b, sizeof(w));
		r = zt_addr_cmp(&src->v[i].lo, &src->v[i].hi)
			    ? bpf_classes_of(&l->kinds[kind], addr_number(&src->v[i].lo), addr_number(&src->v[i].hi),
					     add_class, &to->classed)
			    : value_add(&to->exact, w[0], w[1]);
	}
	return r;
}

/* An unknown process is each subject of a rule that blocks. */
static int list_labels(struct list *to, const struct zt_labels *labels, bool any, uint32_t subject, bool blocks)
{
	int r = !any && blocks ? value_add(&to->exact, ZT_LABEL_UNKNOWN, 0) : 0;

	to->any = any;
	for (uint32_t k = 1; !any && !r && k <= labels->n; k++)
		if (zt_labels_has(labels, k, subject))
			r = value_add(&to->exact, k, 0);
	return r;
}

/* The number of a name: names are numbered as they come. */
static int number_of(struct zt_image *img, const char *name, uint32_t *ret)
{
	struct bpf_name *n;

	for (size_t i = 0; i < img->n_names; i++)
		if (!strcmp(img->names[i].key.text, name)) {
			*ret = img->names[i].number;
			return 0;
		}
	if (zt_grow(img->names, img->cap_names, img->n_names) < 0)
		return -ENOMEM;
	n = &img->names[img->n_names++];
	*n = (struct bpf_name){.key.len = (uint32_t)strlen(name), .number = (uint32_t)img->n_names};
	memcpy(n->key.text, name, n->key.len); /* at most ZT_UNIX_NAME_MAX */
	*ret = n->number;
	return 0;
}

static int list_names(struct lower *l, const struct zt_unix_names *names)
{
	struct list *to = &l->lists[DIM_DST];
	uint32_t number = 0;
	int r = 0;

	to->any = !names->n;
	for (size_t i = 0; !r && i < names->n; i++)
		r = number_of(l->img, names->v[i], &number) ?: value_add(&to->exact, number, 0);
	return r;
}

static int rule_lists(struct lower *l, bool six)
{
	static const struct zt_u32_ranges none;
	const struct zt_match *m = &l->rule->match;
	bool blocks = l->rule->verdict == ZT_DROP || l->rule->verdict == ZT_REJECT, groups = !m->from && m->n_cgroups;
	int r;

	lists_clear(l);
	r = list_labels(&l->lists[DIM_FROM], &l->img->subjects, !m->from, m->from ? m->from->index : 0, blocks);
	r = r ?: list_labels(&l->lists[DIM_TO], &l->img->subjects, !m->to, m->to ? m->to->index : 0, blocks);
	r = r
		    ?: list_labels(&l->lists[DIM_CGROUP], &l->img->cgroups, !groups,
				   groups ? bpf_cgroup_subject(l->img, m) : 0, false);
	r = r ?: list_numbers(l, DIM_UID, KIND_UID, m->from ? &none : &m->uid) ?: list_numbers(l, DIM_GID, KIND_GID, &m->gid);
	r = r ?: list_addrs(l, DIM_SRC, six ? KIND_SRC6 : KIND_SRC4, six ? &m->src6 : &m->src4);
	if (l->rule->dir == ZT_DIR_UNIX)
		r = r ?: list_names(l, &m->unix_names);
	else
		r = r ?: list_addrs(l, DIM_DST, six ? KIND_DST6 : KIND_DST4, six ? &m->dst6 : &m->dst4);
	r = r ?: list_numbers(l, DIM_PROTO, -1, &m->proto);
	return r ?: list_numbers(l, DIM_PORT, KIND_PORT, &m->port);
}

/* ---- shapes and entries ---- */
static void mask_add(struct zt_bpf_key *k, enum dim d, bool address)
{
	k->w[fields[d].word] |= fields[d].mask << fields[d].shift;
	if (address)
		k->w[fields[d].word + 1] = UINT64_MAX;
}

static bool owner_needed(const struct lower *l)
{
	return !l->lists[DIM_UID].any || !l->lists[DIM_GID].any || !l->lists[DIM_CGROUP].any;
}

/* classed: bit d set = dimension d goes by classes. */
static int shape_of(struct lower *l, unsigned classed, unsigned *ret)
{
	struct zt_bpf_config *cfg = l->img->cfg;
	struct zt_bpf_shape s = {.min_seq = l->rule->seq, .guard = l->guard};
	struct zt_bpf_shape *all = &cfg->shapes[l->table * ZT_BPF_SHAPES];
	static const uint32_t wants[N_DIMS] = {[DIM_UID] = ZT_BPF_WANT_UID,
					       [DIM_GID] = ZT_BPF_WANT_GID,
					       [DIM_SRC] = ZT_BPF_WANT_SRC,
					       [DIM_DST] = ZT_BPF_WANT_DST,
					       [DIM_PORT] = ZT_BPF_WANT_PORT};
	uint32_t *n = &cfg->n_shapes[l->table];

	for (int d = 0; d < N_DIMS; d++)
		if (!l->lists[d].any)
			mask_add(classed >> d & 1 ? &s.classed : &s.exact, (enum dim)d,
				 !(classed >> d & 1) && (d == DIM_SRC || d == DIM_DST));
	for (int d = 0; d < N_DIMS; d++)
		cfg->kinds[l->table] |= classed >> d & 1 ? wants[d] : 0;
	if (owner_needed(l))
		s.exact.w[7] |= ZT_BPF_OWNED;
	for (*ret = 0; *ret < *n; (*ret)++)
		if (all[*ret].guard == s.guard && !memcmp(&all[*ret].exact, &s.exact, 2 * sizeof(s.exact)))
			return 0;
	if (*n == ZT_BPF_SHAPES) {
		l->over = OVER_SHAPES;
		return -ENOTSUP;
	}
	all[(*n)++] = s;
	return 0;
}

static const struct values *part(const struct lower *l, int d, unsigned classed)
{
	return classed >> d & 1 ? &l->lists[d].classed : &l->lists[d].exact;
}

static uint8_t entry_flags(const struct lower *l)
{
	const struct zt_rule *r = l->rule;
	bool blocks = r->verdict == ZT_DROP || r->verdict == ZT_REJECT;

	return r->log || r->verdict == ZT_OBSERVE || (blocks && l->img->rs->settings.log_blocked) ? ZT_BPF_LOG : 0;
}

static int entry_add(struct lower *l, unsigned shape, unsigned classed, const size_t *at)
{
	struct zt_image *img = l->img;
	struct bpf_pair *e;

	if (img->n_entries == BPF_ENTRIES_MAX) {
		l->over = OVER_ENTRIES;
		return -ENOTSUP;
	}
	if (zt_grow(img->entries, img->cap_entries, img->n_entries) < 0)
		return -ENOMEM;
	e = &img->entries[img->n_entries++];
	*e = (struct bpf_pair){
		.entry = {.seq = l->rule->seq, .rule = l->rule->seq - 1, .verdict = (uint8_t)l->rule->verdict}};
	e->entry.flags = entry_flags(l);
	e->key.w[0] = l->table * ZT_BPF_SHAPES + shape;
	e->key.w[7] = owner_needed(l) ? ZT_BPF_OWNED : 0;
	for (int d = 0; d < N_DIMS; d++) {
		const struct value *v;

		if (l->lists[d].any)
			continue;
		v = &part(l, d, classed)->v[at[d]];
		e->key.w[fields[d].word] |= v->lo << fields[d].shift;
		if (d == DIM_SRC || d == DIM_DST)
			e->key.w[fields[d].word + 1] = v->hi;
	}
	return 0;
}

static int shape_entries(struct lower *l, unsigned classed)
{
	size_t at[N_DIMS] = {0};
	unsigned shape = 0;
	int r, d = 0;

	for (int i = 0; i < N_DIMS; i++)
		if (!l->lists[i].any && !part(l, i, classed)->n)
			return 0; /* an empty part: nothing to enter */
	r = shape_of(l, classed, &shape);
	while (!r && d < N_DIMS) {
		r = entry_add(l, shape, classed, at);
		for (d = 0; d < N_DIMS; d++) {
			if (l->lists[d].any)
				continue;
			if (++at[d] < part(l, d, classed)->n)
				break;
			at[d] = 0;
		}
	}
	return r;
}

static int guard_of(struct lower *l)
{
	const struct zt_rule *r = l->rule;
	struct zt_bpf_guard g = {.expires = (r->expires + ZT_USEC_PER_SEC - 1) / ZT_USEC_PER_SEC,
				 .n_windows = (uint32_t)r->n_windows};

	l->guard = 0;
	if (!r->expires && !r->n_windows)
		return 0;
	l->img->cfg->flags |= ZT_BPF_HAS_GUARDS;
	if (r->n_windows > ZT_BPF_WINDOWS) {
		l->over = OVER_WINDOWS;
		return -ENOTSUP;
	}
	for (size_t i = 0; i < r->n_windows; i++) {
		g.windows[i].start = r->windows[i].start;
		g.windows[i].end = r->windows[i].end;
	}
	for (l->guard = 1; l->guard < ZT_BPF_GUARDS; l->guard++) {
		struct zt_bpf_guard *at = &l->img->cfg->guards[l->guard];

		if (!at->expires && !at->n_windows)
			*at = g;
		if (!memcmp(at, &g, sizeof(g)))
			return 0;
	}
	l->over = OVER_GUARDS;
	return -ENOTSUP;
}

static void note_rule(struct lower *l)
{
	const struct zt_match *m = &l->rule->match;
	uint32_t *flags = &l->img->cfg->flags;

	*flags |= m->from ? ZT_BPF_HAS_FROM : m->n_cgroups ? ZT_BPF_HAS_CGROUPS : 0;
	if (l->rule->dir == ZT_DIR_UNIX)
		*flags |= ZT_BPF_HAS_UNIX;
	else
		*flags |= m->to ? ZT_BPF_HAS_TO : 0;
	if (l->rule->dir == ZT_DIR_EGRESS)
		*flags |= (m->src4.n ? ZT_BPF_SRC_MATTERS4 : 0) | (m->src6.n ? ZT_BPF_SRC_MATTERS6 : 0);
}

static int lower_rule(struct lower *l)
{
	int r = guard_of(l);

	note_rule(l);
	for (int six = 0; !r && six < 2; six++) {
		bool of_unix = l->rule->dir == ZT_DIR_UNIX;

		if (!(l->rule->match.families & (six ? ZT_FAMILY_6 : ZT_FAMILY_4)) || (of_unix && six))
			continue;
		l->table = of_unix ? ZT_BPF_UNIX_TABLE : (unsigned)l->rule->dir * 2 + (unsigned)six;
		r = rule_lists(l, six);
		/* Every choice of parts: dimensions that have no ranges have one part only. */
		for (unsigned c = 0; !r && c < 1u << N_DIMS; c++) {
			bool exists = true;

			for (int d = 0; d < N_DIMS; d++)
				exists = exists && (!(c >> d & 1) || l->lists[d].classed.n);
			r = exists ? shape_entries(l, c) : 0;
		}
	}
	return r;
}

static struct zt_span place(const struct zt_ruleset *rs, const struct zt_rule *r)
{
	return (struct zt_span){.file = r->file < rs->n_files ? rs->files[r->file] : NULL, .line = r->line, .col = 1};
}

static int lower_rules(struct lower *l)
{
	const struct zt_ruleset *rs = l->img->rs;
	int result = 0;

	for (size_t i = 0; i < rs->n_rules; i++) {
		struct zt_span at = place(rs, &rs->rules[i]);
		int r = 0;

		l->rule = &rs->rules[i];
		l->over = 0;
		r = lower_rule(l);
		if (r == -ENOTSUP && l->over) {
			(void)zt_diag(l->d, ZT_ERROR, 3402, &at, "rule \"%s\": %s", l->rule->id, limits[l->over]);
			zt_diag_hint(
				l->d,
				"write fewer kinds of conditions, or larger blocks; --engine nft has other limits");
		}
		if (r == -ENOMEM || l->over == OVER_ENTRIES)
			return r;
		result = r ?: result;
	}
	return result;
}

/* ---- order ---- */
static int compare_pairs(const void *a, const void *b)
{
	const struct bpf_pair *x = a, *y = b;
	int c = memcmp(&x->key, &y->key, sizeof(x->key));

	return c ? c : x->entry.seq < y->entry.seq ? -1 : x->entry.seq > y->entry.seq;
}

static void unique_entries(struct zt_image *img)
{
	size_t n = 0;

	if (img->n_entries)
		qsort(img->entries, img->n_entries, sizeof(*img->entries), compare_pairs);
	for (size_t i = 0; i < img->n_entries; i++)
		if (!n || memcmp(&img->entries[n - 1].key, &img->entries[i].key, sizeof(img->entries[i].key)) != 0)
			img->entries[n++] = img->entries[i];
	img->n_entries = n;
}

/* Shapes are made in the order of the rules, so that they are sorted by their first rule already. */

/* ---- settings ---- */
static uint32_t default_verdict(const struct zt_settings *s, enum zt_direction dir)
{
	if (s->def[dir] == ZT_DEFAULT_ALLOW)
		return ZT_BPF_ALLOW;
	if (s->mode == ZT_MODE_OBSERVE)
		return ZT_BPF_OBSERVE;
	return s->block == ZT_BLOCK_DROP ? ZT_BPF_DROP : ZT_BPF_REJECT;
}

static int lower_settings(struct zt_image *img, struct zt_diags *d)
{
	static const uint64_t seconds[] = {
		[ZT_PER_SECOND] = 1, [ZT_PER_MINUTE] = 60, [ZT_PER_HOUR] = 3600, [ZT_PER_DAY] = 86400};
	const struct zt_ruleset *rs = img->rs;
	const struct zt_settings *s = &rs->settings;
	struct zt_bpf_config *c = img->cfg;

	c->layout = ZT_BPF_LAYOUT;
	c->generation = rs->generation;
	memcpy(c->hash, rs->hash, sizeof(rs->hash));
	(void)snprintf(c->instance, sizeof(c->instance), "%s", rs->instance); /* at most 16 bytes */
	c->def[0] = default_verdict(s, ZT_DIR_EGRESS);
	c->def[1] = default_verdict(s, ZT_DIR_INGRESS);
	c->def[2] = default_verdict(s, ZT_DIR_FORWARD);
	c->loopback = s->loopback;
	c->n_rules = c->stride = (uint32_t)rs->n_rules;
	c->log_limit = s->log_limit;
	c->log_window = seconds[s->log_limit_per] * UINT64_C(1000000000);
	c->flags |= (s->mode == ZT_MODE_ENFORCE ? ZT_BPF_ENFORCE : 0) | (s->log_blocked ? ZT_BPF_LOG_BLOCKED : 0) |
		    (s->preserve_established ? ZT_BPF_KEEP_ESTABLISHED : 0) |
		    (s->socket_passing ? ZT_BPF_PASS_SOCKETS : 0);
	if (rs->ssh_ports.n > ZT_BPF_SSH_RANGES) {
		(void)zt_diag(d, ZT_ERROR, 3402, NULL, "sshd listens on more than %d ranges of ports",
			      ZT_BPF_SSH_RANGES);
		zt_diag_hint(d, "let sshd listen on fewer ports, or on ports in a row");
		return -ENOTSUP;
	}
	for (size_t i = 0; i < rs->ssh_ports.n; i++) {
		c->ssh[i].lo = (uint16_t)rs->ssh_ports.v[i].lo;
		c->ssh[i].hi = (uint16_t)rs->ssh_ports.v[i].hi;
	}
	c->n_ssh = (uint32_t)rs->ssh_ports.n;
	return 0;
}

static int lower_json(struct zt_image *img)
{
	ZT_STRBUF struct zt_strbuf text = {0};
	int r = zt_ruleset_json_text(img->rs, &text);

	if (r < 0)
		return r;
	img->cfg->meta_len = img->json_len = text.len;
	img->json = ZT_TAKE(text.buf);
	return img->json ? 0 : -ENOMEM;
}

/* ---- images ---- */
static struct zt_image *known[2]; /* the newest first: what is live, and what shall be */

const struct zt_image *bpf_known(const char *json, size_t len)
{
	for (size_t i = 0; i < ZT_ARRAY_SIZE(known); i++)
		if (known[i] && known[i]->json_len == len && !memcmp(known[i]->json, json, len))
			return known[i];
	return NULL;
}

static void keep(struct zt_image *img)
{
	if (bpf_known(img->json, img->json_len))
		return;
	bpf_image_free(known[1]);
	known[1] = known[0];
	known[0] = img;
	img->refs++;
}

void bpf_image_free(struct zt_image *img)
{
	if (!img || (img->refs && --img->refs))
		return;
	zt_labels_done(&img->subjects);
	zt_labels_done(&img->cgroups);
	zt_ruleset_free(img->cgroup_rs);
	zt_ruleset_free(img->rs);
	free(img->cfg);
	free(img->entries);
	free(img->lpms);
	free(img->evidence);
	free(img->paths);
	free(img->labels);
	free(img->names);
	free(img->ports);
	free(img->json);
	free(img);
}

void bpf_image_freep(struct zt_image **img)
{
	bpf_image_free(*img);
	*img = NULL;
}

int bpf_lower(const struct zt_ruleset *rs, struct zt_image **ret, struct zt_diags *d)
{
	ZT_CLEANUP(bpf_image_freep) struct zt_image *img = NULL;
	ZT_CLEANUP(lower_done) struct lower l = {.d = d};
	int r;

	img = zt_new(struct zt_image, 1);
	l.img = img;
	if (!img || !(img->cfg = zt_new(struct zt_bpf_config, 1)))
		return -ENOMEM;
	r = zt_ruleset_dup(rs, &img->rs);
	r = r ?: lower_settings(img, d) ?: lower_json(img) ?: bpf_lower_labels(img, d);
	r = r ?: collect(&l) ?: lower_classes(&l) ?: lower_rules(&l);
	if (r < 0)
		return r;
	unique_entries(img);
	img->refs = 1;
	keep(img);
	*ret = ZT_TAKE(img);
	return 0;
}
