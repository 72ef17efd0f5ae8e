/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Addresses, ranges of numbers and addresses. All range lists are kept normalised by zt_*_normalise:
 * sorted, disjoint, adjacent ones merged; an empty list means "not constrained" wherever a match uses it. */
#include "base/macros.h"

struct zt_addr {
	uint8_t family; /* 4 or 6; 0 = unset */
	uint8_t b[16];	/* network byte order; 4 bytes used for IPv4, the rest zero */
};
struct zt_addr_range {
	struct zt_addr lo, hi; /* inclusive, one family */
};
struct zt_addr_ranges {
	struct zt_addr_range *v;
	size_t n, cap;
};
struct zt_u32_range {
	uint32_t lo, hi; /* inclusive, host byte order */
};
struct zt_u32_ranges { /* uids, gids, ports, protocol numbers */
	struct zt_u32_range *v;
	size_t n, cap;
};

int zt_addr_parse(const char *s, struct zt_addr *ret); /* no scope ids; v4-mapped becomes IPv4; -EINVAL */
void zt_addr_format(const struct zt_addr *a, char buf[static 64]);
int zt_addr_cmp(const struct zt_addr *a, const struct zt_addr *b); /* family first, then bytes */
bool zt_addr_is_loopback(const struct zt_addr *a);		   /* 127.0.0.0/8, ::1 */
/* "10.0.0.1", "10.0.0.0/8", "10.0.0.1-10.0.0.9", both families. Host bits set under a prefix are accepted and masked
 * (*ret_masked tells, may be NULL). -EINVAL; -ERANGE for a bad prefix length or a reversed range. */
int zt_addr_range_parse(const char *s, struct zt_addr_range *ret, bool *ret_masked);
/* Shortest form: address, CIDR where exact, else lo-hi. */
void zt_addr_range_format(const struct zt_addr_range *r, char buf[static 128]);

int zt_addr_ranges_add(struct zt_addr_ranges *l, const struct zt_addr_range *r);
void zt_addr_ranges_normalise(struct zt_addr_ranges *l);
bool zt_addr_ranges_has(const struct zt_addr_ranges *l, const struct zt_addr *a);
bool zt_addr_ranges_overlap(const struct zt_addr_ranges *a, const struct zt_addr_ranges *b);
bool zt_addr_ranges_contain(const struct zt_addr_ranges *outer, const struct zt_addr_ranges *inner);
bool zt_addr_ranges_eq(const struct zt_addr_ranges *a, const struct zt_addr_ranges *b);
int zt_addr_ranges_copy(struct zt_addr_ranges *dst, const struct zt_addr_ranges *src);
void zt_addr_ranges_done(struct zt_addr_ranges *l);
int zt_own_addresses(struct zt_addr_ranges *ret); /* of this network namespace, all of 127.0.0.0/8 apart */

int zt_u32_ranges_add(struct zt_u32_ranges *l, uint32_t lo, uint32_t hi);
void zt_u32_ranges_normalise(struct zt_u32_ranges *l);
bool zt_u32_ranges_has(const struct zt_u32_ranges *l, uint32_t v);
bool zt_u32_ranges_overlap(const struct zt_u32_ranges *a, const struct zt_u32_ranges *b);
bool zt_u32_ranges_contain(const struct zt_u32_ranges *outer, const struct zt_u32_ranges *inner);
bool zt_u32_ranges_eq(const struct zt_u32_ranges *a, const struct zt_u32_ranges *b);
int zt_u32_ranges_copy(struct zt_u32_ranges *dst, const struct zt_u32_ranges *src);
void zt_u32_ranges_done(struct zt_u32_ranges *l);

/* "tcp", "17", …; names tcp udp icmp icmpv6 sctp udplite dccp gre esp ah igmp; -EINVAL */
int zt_proto_parse(const char *s, uint8_t *ret);
const char *zt_proto_name(uint8_t proto); /* NULL when it has none */
bool zt_proto_has_ports(uint8_t proto);	  /* tcp udp udplite dccp sctp */
