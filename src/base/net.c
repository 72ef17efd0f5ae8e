/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/strbuf.h"

/* ---- addresses ---- */
int zt_addr_parse(const char *s, struct zt_addr *ret)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	struct zt_addr a = {0};

	if (inet_pton(AF_INET, s, a.b) == 1) {
		a.family = 4;
	} else if (inet_pton(AF_INET6, s, a.b) == 1) {
		a.family = 6;
		if (!memcmp(a.b, mapped, sizeof(mapped))) {
			memmove(a.b, a.b + 12, 4);
			memset(a.b + 4, 0, 12);
			a.family = 4;
		}
	} else {
		return -EINVAL;
	}
	*ret = a;
	return 0;
}

/* inet_ntop goes through printf, and every element of a big policy passes here several times. */
static void format4(const uint8_t *b, char *out)
{
	for (int i = 0; i < 4; i++) {
		if (b[i] >= 100)
			*out++ = (char)('0' + b[i] / 100);
		if (b[i] >= 10)
			*out++ = (char)('0' + b[i] / 10 % 10);
		*out++ = (char)('0' + b[i] % 10);
		*out++ = i < 3 ? '.' : '\0';
	}
}

void zt_addr_format(const struct zt_addr *a, char buf[static 64])
{
	if (a->family == 4) {
		format4(a->b, buf);
		return;
	}
	if (!a->family || !inet_ntop(AF_INET6, a->b, buf, 64))
		(void)snprintf(buf, 64, "%s", "-");
}

int zt_addr_cmp(const struct zt_addr *a, const struct zt_addr *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->b, b->b, sizeof(a->b));
}

bool zt_addr_is_loopback(const struct zt_addr *a)
{
	static const uint8_t one[16] = {[15] = 1};

	return a->family == 4 ? a->b[0] == 127 : a->family == 6 && !memcmp(a->b, one, sizeof(one));
}

static size_t addr_len(const struct zt_addr *a)
{
	return a->family == 4 ? 4 : 16;
}

static bool addr_next(struct zt_addr *a)
{
	for (size_t i = addr_len(a); i-- > 0;)
		if (++a->b[i])
			return true;
	return false;
}

static void mask(struct zt_addr *a, unsigned prefix, uint8_t fill)
{
	for (size_t i = 0; i < addr_len(a); i++) {
		unsigned bits = prefix > i * 8 ? ZT_MIN(prefix - (unsigned)i * 8, 8u) : 0;
		uint8_t keep = (uint8_t)(0xff00u >> bits);

		a->b[i] = (uint8_t)((a->b[i] & keep) | (fill & (uint8_t)~keep));
	}
}

static int parse_prefix(const char *addr, const char *len, struct zt_addr_range *ret, bool *ret_masked)
{
	struct zt_addr a;
	uint64_t prefix;
	int r = zt_addr_parse(addr, &a);

	if (r < 0)
		return r;
	r = zt_parse_u64(len, 128, &prefix);
	if (!r && strchr(addr, ':') && a.family == 4) /* ::ffff:10.0.0.0/104 */
		r = prefix < 96 ? -ERANGE : (int)(prefix -= 96, 0);
	if (!r && prefix > addr_len(&a) * 8)
		r = -ERANGE;
	if (r < 0)
		return r;
	ret->lo = ret->hi = a;
	mask(&ret->lo, (unsigned)prefix, 0);
	mask(&ret->hi, (unsigned)prefix, 0xff);
	if (ret_masked)
		*ret_masked = zt_addr_cmp(&ret->lo, &a) != 0;
	return 0;
}

int zt_addr_range_parse(const char *s, struct zt_addr_range *ret, bool *ret_masked)
{
	char a[64], b[64];
	size_t len = strcspn(s, "/-");
	struct zt_addr_range range;
	int r;

	if (ret_masked)
		*ret_masked = false;
	if (len >= sizeof(a) || strlen(s + len) >= sizeof(b))
		return -EINVAL;
	(void)snprintf(a, sizeof(a), "%.*s", (int)len, s);
	if (!s[len]) {
		r = zt_addr_parse(a, &range.lo);
		range.hi = range.lo;
	} else if (s[len] == '/') {
		r = parse_prefix(a, s + len + 1, &range, ret_masked);
	} else {
		(void)snprintf(b, sizeof(b), "%s", s + len + 1);
		r = zt_addr_parse(a, &range.lo);
		if (!r)
			r = zt_addr_parse(b, &range.hi);
		if (!r && (range.lo.family != range.hi.family || zt_addr_cmp(&range.lo, &range.hi) > 0))
			r = -ERANGE;
	}
	if (!r)
		*ret = range;
	return r;
}

void zt_addr_range_format(const struct zt_addr_range *r, char buf[static 128])
{
	char lo[64], hi[64];

	zt_addr_format(&r->lo, lo);
	zt_addr_format(&r->hi, hi);
	if (!zt_addr_cmp(&r->lo, &r->hi)) {
		memcpy(buf, lo, strlen(lo) + 1);
		return;
	}
	for (unsigned prefix = 0; prefix < addr_len(&r->lo) * 8; prefix++) {
		struct zt_addr first = r->lo, last = r->lo;

		mask(&first, prefix, 0);
		mask(&last, prefix, 0xff);
		if (!zt_addr_cmp(&first, &r->lo) && !zt_addr_cmp(&last, &r->hi)) {
			(void)snprintf(buf, 128, "%s/%u", lo, prefix);
			return;
		}
	}
	(void)snprintf(buf, 128, "%s-%s", lo, hi);
}

int zt_addr_ranges_add(struct zt_addr_ranges *l, const struct zt_addr_range *r)
{
	int e = zt_grow(l->v, l->cap, l->n);

	if (!e)
		l->v[l->n++] = *r;
	return e;
}

static int compare_addr_ranges(const void *a, const void *b)
{
	return zt_addr_cmp(&((const struct zt_addr_range *)a)->lo, &((const struct zt_addr_range *)b)->lo);
}

static bool addr_touches(const struct zt_addr_range *a, const struct zt_addr_range *b)
{
	struct zt_addr next = a->hi;

	if (a->lo.family != b->lo.family)
		return false;
	return zt_addr_cmp(&b->lo, &a->hi) <= 0 || (addr_next(&next) && !zt_addr_cmp(&next, &b->lo));
}

void zt_addr_ranges_normalise(struct zt_addr_ranges *l)
{
	size_t out = 0;

	if (l->n > 1)
		qsort(l->v, l->n, sizeof(*l->v), compare_addr_ranges);
	for (size_t i = 1; i < l->n; i++) {
		if (!addr_touches(&l->v[out], &l->v[i]))
			l->v[++out] = l->v[i];
		else if (zt_addr_cmp(&l->v[i].hi, &l->v[out].hi) > 0)
			l->v[out].hi = l->v[i].hi;
	}
	if (l->n)
		l->n = out + 1;
}

bool zt_addr_ranges_has(const struct zt_addr_ranges *l, const struct zt_addr *a)
{
	for (size_t i = 0; i < l->n; i++)
		if (zt_addr_cmp(&l->v[i].lo, a) <= 0 && zt_addr_cmp(a, &l->v[i].hi) <= 0)
			return true;
	return false;
}

bool zt_addr_ranges_overlap(const struct zt_addr_ranges *a, const struct zt_addr_ranges *b)
{
	for (size_t i = 0, k = 0; i < a->n && k < b->n;) {
		if (zt_addr_cmp(&a->v[i].hi, &b->v[k].lo) < 0)
			i++;
		else if (zt_addr_cmp(&b->v[k].hi, &a->v[i].lo) < 0)
			k++;
		else
			return true;
	}
	return false;
}

bool zt_addr_ranges_contain(const struct zt_addr_ranges *outer, const struct zt_addr_ranges *inner)
{
	for (size_t i = 0, k = 0; i < inner->n; i++) {
		while (k < outer->n && zt_addr_cmp(&outer->v[k].hi, &inner->v[i].lo) < 0)
			k++;
		if (k == outer->n || zt_addr_cmp(&outer->v[k].lo, &inner->v[i].lo) > 0 ||
		    zt_addr_cmp(&outer->v[k].hi, &inner->v[i].hi) < 0)
			return false;
	}
	return true;
}

bool zt_addr_ranges_eq(const struct zt_addr_ranges *a, const struct zt_addr_ranges *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (zt_addr_cmp(&a->v[i].lo, &b->v[i].lo) || zt_addr_cmp(&a->v[i].hi, &b->v[i].hi))
			return false;
	return true;
}

int zt_addr_ranges_copy(struct zt_addr_ranges *dst, const struct zt_addr_ranges *src)
{
	struct zt_addr_range *v = src->n ? zt_new(struct zt_addr_range, src->n) : NULL;

	if (src->n && !v)
		return -ENOMEM;
	if (src->n)
		memcpy(v, src->v, src->n * sizeof(*v));
	*dst = (struct zt_addr_ranges){.v = v, .n = src->n, .cap = src->n};
	return 0;
}

void zt_addr_ranges_done(struct zt_addr_ranges *l)
{
	free(l->v);
	*l = (struct zt_addr_ranges){0};
}

/* ---- numbers ---- */
int zt_u32_ranges_add(struct zt_u32_ranges *l, uint32_t lo, uint32_t hi)
{
	int e = zt_grow(l->v, l->cap, l->n);

	if (!e)
		l->v[l->n++] = (struct zt_u32_range){lo, hi};
	return e;
}

static int compare_u32_ranges(const void *a, const void *b)
{
	const struct zt_u32_range *x = a, *y = b;

	return x->lo < y->lo ? -1 : x->lo > y->lo;
}

void zt_u32_ranges_normalise(struct zt_u32_ranges *l)
{
	size_t out = 0;

	if (l->n > 1)
		qsort(l->v, l->n, sizeof(*l->v), compare_u32_ranges);
	for (size_t i = 1; i < l->n; i++) {
		if (l->v[out].hi != UINT32_MAX && l->v[i].lo > l->v[out].hi + 1)
			l->v[++out] = l->v[i];
		else
			l->v[out].hi = ZT_MAX(l->v[out].hi, l->v[i].hi);
	}
	if (l->n)
		l->n = out + 1;
}

bool zt_u32_ranges_has(const struct zt_u32_ranges *l, uint32_t v)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].lo <= v && v <= l->v[i].hi)
			return true;
	return false;
}

bool zt_u32_ranges_overlap(const struct zt_u32_ranges *a, const struct zt_u32_ranges *b)
{
	for (size_t i = 0, k = 0; i < a->n && k < b->n;) {
		if (a->v[i].hi < b->v[k].lo)
			i++;
		else if (b->v[k].hi < a->v[i].lo)
			k++;
		else
			return true;
	}
	return false;
}

bool zt_u32_ranges_contain(const struct zt_u32_ranges *outer, const struct zt_u32_ranges *inner)
{
	for (size_t i = 0, k = 0; i < inner->n; i++) {
		while (k < outer->n && outer->v[k].hi < inner->v[i].lo)
			k++;
		if (k == outer->n || outer->v[k].lo > inner->v[i].lo || outer->v[k].hi < inner->v[i].hi)
			return false;
	}
	return true;
}

bool zt_u32_ranges_eq(const struct zt_u32_ranges *a, const struct zt_u32_ranges *b)
{
	return a->n == b->n && (!a->n || !memcmp(a->v, b->v, a->n * sizeof(*a->v)));
}

int zt_u32_ranges_copy(struct zt_u32_ranges *dst, const struct zt_u32_ranges *src)
{
	struct zt_u32_range *v = src->n ? zt_new(struct zt_u32_range, src->n) : NULL;

	if (src->n && !v)
		return -ENOMEM;
	if (src->n)
		memcpy(v, src->v, src->n * sizeof(*v));
	*dst = (struct zt_u32_ranges){.v = v, .n = src->n, .cap = src->n};
	return 0;
}

void zt_u32_ranges_done(struct zt_u32_ranges *l)
{
	free(l->v);
	*l = (struct zt_u32_ranges){0};
}

/* ---- protocols ---- */
static const struct {
	const char *name;
	uint8_t number;
	bool ports;
} protocols[] = {
	{"tcp", 6, true},    {"udp", 17, true},	     {"icmp", 1, false}, {"icmpv6", 58, false},
	{"sctp", 132, true}, {"udplite", 136, true}, {"dccp", 33, true}, {"gre", 47, false},
	{"esp", 50, false},  {"ah", 51, false},	     {"igmp", 2, false},
};

int zt_proto_parse(const char *s, uint8_t *ret)
{
	uint64_t v;

	for (size_t i = 0; i < ZT_ARRAY_SIZE(protocols); i++)
		if (!strcmp(s, protocols[i].name)) {
			*ret = protocols[i].number;
			return 0;
		}
	if (zt_parse_u64(s, 255, &v) < 0)
		return -EINVAL;
	*ret = (uint8_t)v;
	return 0;
}

const char *zt_proto_name(uint8_t proto)
{
	for (size_t i = 0; i < ZT_ARRAY_SIZE(protocols); i++)
		if (protocols[i].number == proto)
			return protocols[i].name;
	return NULL;
}

bool zt_proto_has_ports(uint8_t proto)
{
	for (size_t i = 0; i < ZT_ARRAY_SIZE(protocols); i++)
		if (protocols[i].number == proto)
			return protocols[i].ports;
	return false;
}

int zt_own_addresses(struct zt_addr_ranges *ret)
{
	struct ifaddrs *list = NULL;
	int r = 0;

	if (getifaddrs(&list) < 0)
		return -errno;
	for (const struct ifaddrs *i = list; i && !r; i = i->ifa_next) {
		struct zt_addr_range a = {0};

		if (!i->ifa_addr || (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
			continue;
		a.lo.family = i->ifa_addr->sa_family == AF_INET ? 4 : 6;
		if (a.lo.family == 4)
			memcpy(a.lo.b, &((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr, 4);
		else
			memcpy(a.lo.b, &((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr, 16);
		a.hi = a.lo;
		r = zt_addr_ranges_add(ret, &a);
	}
	freeifaddrs(list);
	zt_addr_ranges_normalise(ret);
	return r;
}
