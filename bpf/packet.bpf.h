/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* From a packet to a question. */
#include "decide.h"

struct packet {
	struct zt_bpf_flow f; /* addresses, ports, protocol */
	__u8 tcp_flags, icmp_type, hops;
	__u8 fragment; /* not the first: the upper header is not there */
	__u32 at;      /* of the upper header */
};
enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };

static __always_inline int has_ports(__u8 p)
{
	return p == 6 || p == 17 || p == 33 || p == 132 || p == 136;
}

static __always_inline int parse_upper(struct __sk_buff *skb, struct packet *p)
{
	__u16 ports[2];
	__u8 byte = 0;

	if (p->fragment)
		return 0;
	if (has_ports(p->f.proto)) {
		if (bpf_skb_load_bytes(skb, p->at, ports, sizeof(ports)))
			return -1;
		p->f.sport = bpf_ntohs(ports[0]);
		p->f.port = bpf_ntohs(ports[1]);
		if (p->f.proto == 6 && bpf_skb_load_bytes(skb, p->at + 13, &p->tcp_flags, 1))
			return -1;
	} else if (p->f.proto == 1 || p->f.proto == 58) {
		if (bpf_skb_load_bytes(skb, p->at, &byte, 1))
			return -1;
		p->icmp_type = byte;
		if (!bpf_skb_load_bytes(skb, p->at + 4, ports, 2))
			p->f.sport = bpf_ntohs(ports[0]); /* the id of an echo */
	}
	return 0;
}

static __always_inline int parse4(struct __sk_buff *skb, struct packet *p)
{
	__u8 h[20];

	if (bpf_skb_load_bytes(skb, 0, h, sizeof(h)) || h[0] >> 4 != 4)
		return -1;
	p->at = (h[0] & 15) * 4;
	p->hops = h[8];
	p->f.proto = h[9];
	p->fragment = ((h[6] & 0x1f) | h[7]) != 0;
	__builtin_memcpy(p->f.src, h + 12, 4);
	__builtin_memcpy(p->f.dst, h + 16, 4);
	return 0;
}

static __always_inline int parse6(struct __sk_buff *skb, struct packet *p)
{
	__u8 h[8], next;

	if (bpf_skb_load_bytes(skb, 0, h, sizeof(h)) || h[0] >> 4 != 6 || bpf_skb_load_bytes(skb, 8, p->f.src, 16) ||
	    bpf_skb_load_bytes(skb, 24, p->f.dst, 16))
		return -1;
	next = h[6];
	p->hops = h[7];
	p->f.six = 1;
	p->at = 40;
	for (int i = 0; i < 8; i++) { /* extension headers */
		if (next != 0 && next != 43 && next != 44 && next != 51 && next != 60 && next != 135)
			break;
		if (bpf_skb_load_bytes(skb, p->at, h, 4))
			return -1;
		if (next == 44)
			p->fragment = (h[2] | (h[3] & 0xf8)) != 0;
		p->at += next == 44 ? 8 : next == 51 ? (h[1] + 2) * 4 : (h[1] + 1) * 8;
		next = h[0];
		if (p->fragment)
			break;
	}
	p->f.proto = next;
	return 0;
}

/* p is zero. Global: verified by itself, once. */
__noinline int parse(struct __sk_buff *skb, struct packet *p)
{
	int r;

	if (!p)
		return -1;
	r = skb->protocol == bpf_htons(0x86dd)	 ? parse6(skb, p)
	    : skb->protocol == bpf_htons(0x0800) ? parse4(skb, p)
						 : -1;

	return r ? r : parse_upper(skb, p);
}

/* What a host needs to have a network at all (DESIGN: link essentials). */
static __always_inline int essential(const struct packet *p)
{
	if (!p->f.six || p->f.proto != 58)
		return 0;
	if (p->icmp_type == 133 || p->icmp_type == 134 || p->icmp_type == 135 || p->icmp_type == 136)
		return p->hops == 255;
	return (p->icmp_type == 130 || p->icmp_type == 131 || p->icmp_type == 132 || p->icmp_type == 143) &&
	       p->hops == 1;
}

static __always_inline int icmp_error(const struct packet *p)
{
	if (p->f.six)
		return p->f.proto == 58 && p->icmp_type >= 1 && p->icmp_type <= 4;
	return p->f.proto == 1 && (p->icmp_type == 3 || p->icmp_type == 11 || p->icmp_type == 12);
}

static __always_inline int echo_reply(const struct packet *p)
{
	return p->f.six ? p->f.proto == 58 && p->icmp_type == 129 : p->f.proto == 1 && p->icmp_type == 0;
}
