/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "engine/nft/nft.h"

static const struct {
	const char *name;
	uint8_t len;	 /* in the kernel's key, padded to 4 */
	uint8_t width;	 /* bytes that carry the value; 0 = an address */
	bool host_order; /* loaded in host byte order: swapped in interval maps */
	const char *text;
} dims[] = {
	[DIM_FROM] = {"from", 4, 4, true, "meta mark"},
	[DIM_TO] = {"to", 4, 4, true, "socket mark"},
	[DIM_CGROUP] = {"cg", 8, 8, true, NULL},
	[DIM_UID] = {"uid", 4, 4, true, "meta skuid"},
	[DIM_GID] = {"gid", 4, 4, true, "meta skgid"},
	[DIM_NFPROTO] = {"nf", 4, 1, false, "meta nfproto"},
	[DIM_SRC] = {"s", 0, 0, false, "saddr"},
	[DIM_DST] = {"d", 0, 0, false, "daddr"},
	[DIM_PROTO] = {"proto", 4, 1, false, "meta l4proto"},
	[DIM_PORT] = {"port", 4, 2, false, "th dport"},
};
_Static_assert(ZT_ARRAY_SIZE(dims) == N_DIMS, "one entry a dimension");

static size_t dim_len(const struct nft_shape *s, int dim)
{
	if (dims[dim].width)
		return dims[dim].len;
	return s->family == 4 ? 4 : 16;
}

size_t nft_shape_keylen(const struct nft_shape *s)
{
	size_t len = 0;

	for (int i = 0; i < N_DIMS; i++)
		if (s->dims & (1u << i))
			len += dim_len(s, i);
	return len;
}

bool nft_shape_eq(const struct nft_shape *a, const struct nft_shape *b)
{
	return a->dims == b->dims && a->family == b->family && a->level == b->level && a->interval == b->interval;
}

void nft_shape_name(const struct nft_shape *s, struct zt_strbuf *out)
{
	for (int i = 0; i < N_DIMS; i++) {
		if (!(s->dims & (1u << i)))
			continue;
		zt_strbuf_str(out, dims[i].name);
		if (i == DIM_CGROUP)
			zt_strbuf_printf(out, "%u", s->level);
		if (!dims[i].width)
			zt_strbuf_printf(out, "%u", s->family);
		zt_strbuf_char(out, '_');
	}
	zt_strbuf_char(out, s->interval ? 'r' : 'x');
}

static int parse_dim(const char *word, size_t len, struct nft_shape *s)
{
	for (int i = 0; i < N_DIMS; i++) {
		size_t n = strlen(dims[i].name);
		unsigned number = 0;

		if (len < n || memcmp(word, dims[i].name, n))
			continue;
		for (size_t k = n; k < len; k++) {
			if (word[k] < '0' || word[k] > '9' || number > 25)
				return -EINVAL;
			number = number * 10 + (unsigned)(word[k] - '0');
		}
		if ((len > n) != (i == DIM_CGROUP || !dims[i].width))
			continue;
		if (i == DIM_CGROUP)
			s->level = (uint8_t)number;
		else if (!dims[i].width)
			s->family = (uint8_t)number;
		s->dims |= (uint16_t)(1u << i);
		return 0;
	}
	return -EINVAL;
}

int nft_shape_parse(const char *name, struct nft_shape *ret, const char **ret_rest)
{
	struct nft_shape s = {0};

	for (;;) {
		size_t len = strcspn(name, "_");

		if (len == 1 && (name[0] == 'x' || name[0] == 'r')) {
			s.interval = name[0] == 'r';
			*ret = s;
			*ret_rest = name + 1;
			return s.dims && (s.family == 0 || s.family == 4 || s.family == 6) ? 0 : -EINVAL;
		}
		if (!len || name[len] != '_' || parse_dim(name, len, &s) < 0)
			return -EINVAL;
		name += len + 1;
	}
}

/* A number is the part of a mark that is left by the mask. See lo_chains() for where both ends are when a connection has ended. */
static void mark_text(int dim, uint32_t mask, bool ended, struct zt_strbuf *out)
{
	const char *where = !ended ? dims[dim].text : dim == DIM_FROM ? "ct mark" : "meta mark";

	zt_strbuf_printf(out, "%s & 0x%08x", where, mask);
}

void nft_shape_key_text(const struct nft_shape *s, uint32_t mask, bool ended, struct zt_strbuf *out)
{
	bool first = true;

	for (int i = 0; i < N_DIMS; i++) {
		if (!(s->dims & (1u << i)))
			continue;
		if (!first)
			zt_strbuf_str(out, " . ");
		first = false;
		if (mask && (i == DIM_FROM || i == DIM_TO))
			mark_text(i, mask, ended, out);
		else if (i == DIM_CGROUP)
			zt_strbuf_printf(out, "socket cgroupv2 level %u", s->level);
		else if (!dims[i].width)
			zt_strbuf_printf(out, "%s %s", s->family == 4 ? "ip" : "ip6", dims[i].text);
		else
			zt_strbuf_str(out, dims[i].text);
	}
}

static void put_number(uint8_t *at, uint64_t v, unsigned width, bool little)
{
	for (unsigned i = 0; i < width; i++)
		at[little ? i : width - 1 - i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get_number(const uint8_t *at, unsigned width, bool little)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < width; i++)
		v |= (uint64_t)at[little ? i : width - 1 - i] << (8 * i);
	return v;
}

static bool little_endian(const struct nft_shape *s, int dim)
{
	return dims[dim].host_order && !s->interval && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
}

void nft_shape_encode(const struct nft_shape *s, const struct nft_value *vals, uint8_t *key, uint8_t *end)
{
	memset(key, 0, NFT_KEY_MAX);
	memset(end, 0, NFT_KEY_MAX);
	for (int i = 0; i < N_DIMS; i++) {
		if (!(s->dims & (1u << i)))
			continue;
		if (dims[i].width) {
			put_number(key, vals[i].lo, dims[i].width, little_endian(s, i));
			put_number(end, vals[i].hi, dims[i].width, little_endian(s, i));
		} else {
			memcpy(key, vals[i].alo.b, dim_len(s, i));
			memcpy(end, vals[i].ahi.b, dim_len(s, i));
		}
		key += dim_len(s, i);
		end += dim_len(s, i);
	}
}

void nft_shape_decode(const struct nft_shape *s, const uint8_t *key, const uint8_t *end, struct nft_value *vals)
{
	memset(vals, 0, N_DIMS * sizeof(*vals));
	for (int i = 0; i < N_DIMS; i++) {
		if (!(s->dims & (1u << i)))
			continue;
		if (dims[i].width) {
			vals[i].lo = get_number(key, dims[i].width, little_endian(s, i));
			vals[i].hi = get_number(end, dims[i].width, little_endian(s, i));
		} else {
			vals[i].alo.family = vals[i].ahi.family = s->family;
			memcpy(vals[i].alo.b, key, dim_len(s, i));
			memcpy(vals[i].ahi.b, end, dim_len(s, i));
		}
		key += dim_len(s, i);
		end += dim_len(s, i);
	}
}

uint64_t nft_cgroup_key(const struct zt_cgroup *c)
{
	uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */

	if (c->id)
		return c->id;
	for (const char *p = c->path; *p; p++)
		h = (h ^ (uint8_t)*p) * UINT64_C(1099511628211);
	return h | NFT_ABSENT_CGROUP;
}

const char *nft_cgroup_path(const struct zt_ruleset *rs, uint64_t key_id)
{
	for (size_t i = 0; i < rs->n_rules; i++)
		for (size_t k = 0; k < rs->rules[i].match.n_cgroups; k++)
			if (nft_cgroup_key(&rs->rules[i].match.cgroups[k]) == key_id)
				return rs->rules[i].match.cgroups[k].path;
	return NULL;
}

static bool value_text(const struct zt_image *img, const struct nft_elem *e, int dim, const struct nft_value *v,
		       const char *prefix, struct zt_strbuf *out)
{
	char a[64], b[64];
	const struct zt_match *m = &img->rs->rules[e->rule].match;

	if (dim == DIM_CGROUP) {
		for (size_t k = 0; k < m->n_cgroups; k++)
			if (m->cgroups[k].id && m->cgroups[k].id == v->lo) {
				zt_strbuf_printf(out, "\"%s%s\"", prefix, m->cgroups[k].path);
				return true;
			}
		return false;
	}
	if (dim == DIM_NFPROTO) {
		zt_strbuf_str(out, v->lo == 2 ? "ipv4" : "ipv6");
	} else if (dims[dim].width) {
		zt_strbuf_printf(out, v->lo == v->hi ? "%llu" : "%llu-%llu", (unsigned long long)v->lo,
				 (unsigned long long)v->hi);
	} else {
		zt_addr_format(&v->alo, a);
		zt_addr_format(&v->ahi, b);
		zt_strbuf_str(out, a);
		if (zt_addr_cmp(&v->alo, &v->ahi))
			zt_strbuf_printf(out, "-%s", b);
	}
	return true;
}

bool nft_shape_elem_text(const struct zt_image *img, const struct nft_shape *s, const struct nft_elem *e,
			 const char *prefix, struct zt_strbuf *out)
{
	struct nft_value vals[N_DIMS];
	bool first = true;

	nft_shape_decode(s, e->key, e->end, vals);
	for (int i = 0; i < N_DIMS; i++) {
		if (!(s->dims & (1u << i)))
			continue;
		if (!first)
			zt_strbuf_str(out, " . ");
		first = false;
		if (!value_text(img, e, i, &vals[i], prefix, out))
			return false;
	}
	return true;
}
