/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/mem.h"
#include "learn/parts.h"

const char *const zt_internet[] = {"1.0.0.0-9.255.255.255",
				   "11.0.0.0-100.63.255.255",
				   "100.128.0.0-126.255.255.255",
				   "128.0.0.0-169.253.255.255",
				   "169.255.0.0-172.15.255.255",
				   "172.32.0.0-192.167.255.255",
				   "192.169.0.0-223.255.255.255",
				   "2000::/3",
				   NULL};

/* ---- comparing ---- */
#define BY(a, b)                                   \
	do {                                       \
		if ((a) != (b))                    \
			return (a) < (b) ? -1 : 1; \
	} while (0)

int zt_host_compare(const struct zt_host *a, const struct zt_host *b)
{
	int c;

	BY(a->kind, b->kind);
	if (a->kind == ZT_HOST_NAME)
		return strcmp(a->name, b->name);
	c = zt_addr_cmp(&a->range.lo, &b->range.lo);
	return c ? c : zt_addr_cmp(&a->range.hi, &b->range.hi);
}

static int compare_parties(const struct zt_cell *a, const struct zt_cell *b)
{
	BY(a->dir, b->dir);
	BY(a->sender, b->sender);
	BY(a->receiver, b->receiver);
	BY(a->proto, b->proto);
	return 0;
}

static int compare_ports(const struct zt_cell *a, const struct zt_cell *b)
{
	BY(a->lo, b->lo);
	BY(a->hi, b->hi);
	return 0;
}

static int port_last(const void *a, const void *b)
{
	int c = compare_parties(a, b);

	c = c ? c : zt_host_compare(&((const struct zt_cell *)a)->host, &((const struct zt_cell *)b)->host);
	return c ? c : compare_ports(a, b);
}

int zt_cell_compare(const void *a, const void *b)
{
	int c = compare_parties(a, b);

	c = c ? c : compare_ports(a, b);
	return c ? c : zt_host_compare(&((const struct zt_cell *)a)->host, &((const struct zt_cell *)b)->host);
}

/* ---- joining what is the same ---- */
void zt_evidence_join(struct zt_evidence_sum *a, const struct zt_evidence_sum *b)
{
	a->count += b->count;
	a->bytes += b->bytes;
	a->first = ZT_MIN(a->first, b->first);
	a->last = ZT_MAX(a->last, b->last);
	a->cells += b->cells;
	if (b->example->count > a->example->count)
		a->example = b->example;
}

/* Cells that are the same from the beginning are one cell seen; those that became the same are several. */
static void join(struct zt_learning *x, int (*compare)(const void *, const void *), bool one)
{
	size_t n = 0;

	if (x->n_cells)
		qsort(x->cells, x->n_cells, sizeof(*x->cells), compare);
	for (size_t i = 0; i < x->n_cells; i++) {
		struct zt_cell *c = n ? &x->cells[n - 1] : NULL;

		if (c && compare(c, &x->cells[i]) == 0) {
			zt_evidence_join(&c->seen, &x->cells[i].seen);
			c->host.families |= x->cells[i].host.families;
			c->seen.cells = one ? 1 : c->seen.cells;
		} else {
			x->cells[n++] = x->cells[i];
		}
	}
	x->n_cells = n;
}

/* ---- one flow ---- */
static struct zt_host host_of(struct zt_learning *x, const struct zt_seen *s)
{
	const struct zt_name *name = s->dir == ZT_DIR_EGRESS && *s->name ? zt_names_find(x, s->name) : NULL;
	struct zt_host h = {.kind = ZT_HOST_RANGE, .families = s->remote.family == 4 ? ZT_FAMILY_4 : ZT_FAMILY_6};

	if (zt_addr_is_loopback(&s->remote)) {
		h.kind = ZT_HOST_LOCAL;
	} else if (name && !s->loopback) {
		h.kind = ZT_HOST_NAME;
		h.name = name->text;
		if (!zt_addr_ranges_has(&name->addrs, &s->remote))
			x->out->moved += s->count;
	} else {
		h.kind = s->loopback ? ZT_HOST_OWN : ZT_HOST_RANGE;
		h.range = (struct zt_addr_range){s->remote, s->remote};
	}
	return h;
}

/* An allow rule by receiver matches only who can be identified. */
static int receiver_of(struct zt_learning *x, const struct zt_seen_who *w, int32_t *ret)
{
	*ret = ZT_NO_PARTY;
	return w && ((*w->exe && !w->nameless) || *w->container) ? zt_party(x, w, ret) : 0;
}

static int add(struct zt_learning *x, const struct zt_seen *s)
{
	bool egress = s->dir == ZT_DIR_EGRESS;
	struct zt_cell c = {.dir = s->dir,
			    .sender = ZT_NO_PARTY,
			    .proto = s->proto,
			    .lo = s->port,
			    .hi = s->port,
			    .seen = {s->count, s->bytes, s->first, s->last, 1, s}};
	int r = receiver_of(x, egress ? s->peer : s->who, &c.receiver) ?: egress ? zt_party(x, s->who, &c.sender) : 0;

	if (!r && egress && c.sender == ZT_NO_PARTY) {
		x->out->unowned += s->count;
		return 0;
	}
	if (!r && zt_grow(x->cells, x->cap_cells, x->n_cells) < 0)
		return -ENOMEM;
	if (r < 0)
		return r;
	c.host = host_of(x, s);
	x->cells[x->n_cells++] = c;
	x->out->covered += s->count;
	return 0;
}

/* What arrives over loopback was decided at its sender. */
static int add_all(struct zt_learning *x)
{
	int r = 0;

	for (size_t i = 0; !r && i < x->l->n; i++) {
		const struct zt_seen *s = &x->l->v[i];

		if (s->dir == ZT_DIR_INGRESS && s->loopback)
			continue;
		if (s->verdict == ZT_SEEN_DENIED && !x->o.denied)
			x->out->denied += s->count;
		else
			r = add(x, s);
	}
	return r;
}

/* ---- ports from 1024 up ---- */
static size_t run_end(const struct zt_learning *x, size_t i, bool same_host)
{
	size_t k = i + 1;

	for (; k < x->n_cells && compare_parties(&x->cells[i], &x->cells[k]) == 0; k++)
		if (same_host ? zt_host_compare(&x->cells[i].host, &x->cells[k].host) != 0
			      : compare_ports(&x->cells[i], &x->cells[k]) != 0)
			break;
	return k;
}

static void widen_ports(struct zt_learning *x)
{
	for (size_t i = 0, end; i < x->n_cells; i = end) {
		size_t first = end = run_end(x, i, true);

		while (first > i && x->cells[first - 1].lo >= 1024)
			first--;
		for (size_t k = first; end - first >= ZT_LEARN_PORTS && k < end; k++) {
			x->cells[k].lo = 1024;
			x->cells[k].hi = 65535;
		}
	}
}

/* ---- hosts ---- */
static struct zt_addr_range network(const struct zt_addr *a, unsigned bits)
{
	struct zt_addr_range r = {*a, *a};

	for (unsigned i = 0; i < (a->family == 4 ? 4u : 16u); i++) {
		unsigned kept = bits >= 8 * (i + 1) ? 8 : bits > 8 * i ? bits - 8 * i : 0;
		uint8_t mask = (uint8_t)(0xff00u >> kept);

		r.lo.b[i] &= mask;
		r.hi.b[i] |= (uint8_t)~mask;
	}
	return r;
}

static bool in_range(const struct zt_addr_range *r, const struct zt_addr *a)
{
	return r->lo.family == a->family && zt_addr_cmp(&r->lo, a) <= 0 && zt_addr_cmp(a, &r->hi) <= 0;
}

static bool is_address(const struct zt_cell *c)
{
	return c->host.kind == ZT_HOST_RANGE && zt_addr_cmp(&c->host.range.lo, &c->host.range.hi) == 0;
}

static bool is_public(const struct zt_learning *x, const struct zt_cell *c)
{
	return (c->host.kind == ZT_HOST_NAME || is_address(c)) &&
	       zt_addr_ranges_has(&x->internet, &c->seen.example->remote);
}

static void to_internet(const struct zt_learning *x, struct zt_cell *v, size_t n)
{
	struct zt_addr_range net = {0};
	unsigned nets = 0;

	for (size_t i = 0; i < n; i++) {
		const struct zt_addr *a = &v[i].host.range.lo;

		if (!is_public(x, &v[i]) || (v[i].host.kind != ZT_HOST_NAME && in_range(&net, a)))
			continue;
		nets++;
		if (v[i].host.kind != ZT_HOST_NAME)
			net = network(a, a->family == 4 ? 16 : 32);
	}
	if (nets < (v[0].dir == ZT_DIR_INGRESS ? ZT_LEARN_NETS : ZT_LEARN_OPEN))
		return;
	for (size_t i = 0; i < n; i++)
		if (is_public(x, &v[i]))
			v[i].host = (struct zt_host){.kind = ZT_HOST_INTERNET, .families = v[i].host.families};
}

static void to_block(struct zt_cell *v, size_t n, const struct zt_addr_range *block)
{
	struct zt_addr_range net = {0};
	unsigned nets = 0;

	for (size_t i = 0; i < n; i++)
		if (is_address(&v[i]) && in_range(block, &v[i].host.range.lo) && !in_range(&net, &v[i].host.range.lo)) {
			net = network(&v[i].host.range.lo, 24);
			nets++;
		}
	for (size_t i = 0; nets >= ZT_LEARN_NETS && i < n; i++)
		if (is_address(&v[i]) && in_range(block, &v[i].host.range.lo))
			v[i].host.range = *block;
}

const char *const zt_learn_blocks[ZT_LEARN_BLOCKS] = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"};

static void to_blocks(struct zt_cell *v, size_t n)
{
	for (size_t i = 0; i < ZT_LEARN_BLOCKS; i++) {
		struct zt_addr_range block;

		if (zt_addr_range_parse(zt_learn_blocks[i], &block, NULL) == 0)
			to_block(v, n, &block);
	}
}

/* The longest prefix that holds both, not shorter than min. */
static struct zt_addr_range tightest(const struct zt_addr *a, const struct zt_addr *b, unsigned min)
{
	unsigned bits = a->family == 4 ? 32 : 128;
	struct zt_addr_range r = network(a, bits);

	while (bits > min && !in_range(&r, b))
		r = network(a, --bits);
	return r;
}

static bool unicast(const struct zt_addr *a)
{
	return a->family == 4 ? a->b[0] && a->b[0] < 224 && !(a->b[0] == 169 && a->b[1] == 254)
			      : a->b[0] != 0xff && !(a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80);
}

/* v is sorted: addresses of one network stand together. */
static void to_prefixes(struct zt_cell *v, size_t n)
{
	for (size_t i = 0, end; i < n; i = end) {
		const struct zt_addr *a = &v[i].host.range.lo;
		unsigned bits = a->family == 4 ? 24 : 64;
		struct zt_addr_range net = network(a, bits), tight;

		end = i + 1;
		if (!is_address(&v[i]) || !unicast(a))
			continue;
		while (end < n && is_address(&v[end]) && in_range(&net, &v[end].host.range.lo))
			end++;
		if (end - i < ZT_LEARN_HOSTS)
			continue;
		tight = tightest(a, &v[end - 1].host.range.lo, bits);
		for (size_t k = i; k < end; k++)
			v[k].host.range = tight;
	}
}

static void widen_hosts(struct zt_learning *x)
{
	for (size_t i = 0, end; i < x->n_cells; i = end) {
		end = run_end(x, i, false);
		to_internet(x, &x->cells[i], end - i);
		to_blocks(&x->cells[i], end - i);
		to_prefixes(&x->cells[i], end - i);
	}
}

static int read_internet(struct zt_learning *x)
{
	int r = 0;

	for (size_t i = 0; !r && zt_internet[i]; i++) {
		struct zt_addr_range range;

		r = zt_addr_range_parse(zt_internet[i], &range, NULL) ?: zt_addr_ranges_add(&x->internet, &range);
	}
	zt_addr_ranges_normalise(&x->internet);
	return r;
}

int zt_cells_make(struct zt_learning *x)
{
	int r = read_internet(x) ?: add_all(x);

	if (r < 0)
		return r;
	join(x, port_last, true);
	widen_ports(x);
	join(x, zt_cell_compare, false);
	widen_hosts(x);
	join(x, zt_cell_compare, false);
	return 0;
}
