/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* From a packet to a question. */
#include "decide.h"

#ifndef PACKET /* what holds it; others say how they read */
#define PACKET struct __sk_buff
#define load_bytes bpf_skb_load_bytes
#define PARSE __noinline /* global: verified by itself, once */

static __always_inline __be16 type_of_packet(const struct __sk_buff *skb)
{
	return skb->protocol;
}
#endif

struct packet {
	struct zt_bpf_flow f; /* addresses, ports, protocol */
	__u8 tcp_flags, icmp_type, hops;
	__u8 fragment; /* not the first: the upper header is not there */
	__u32 at;      /* of the upper header */
	__u32 piece;   /* where the header is that says it is one (IPv6); 0: it is not */
};
enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };

static __always_inline int has_ports(__u8 p)
{
	return p == 6 || p == 17 || p == 33 || p == 132 || p == 136;
}

static __always_inline int parse_upper(PACKET *skb, struct packet *p)
{
	__u16 ports[2];
	__u8 byte = 0;

	if (p->fragment)
		return 0;
	if (has_ports(p->f.proto)) {
		if (load_bytes(skb, p->at, ports, sizeof(ports)))
			return -1;
		p->f.sport = bpf_ntohs(ports[0]);
		p->f.port = bpf_ntohs(ports[1]);
		if (p->f.proto == 6 && load_bytes(skb, p->at + 13, &p->tcp_flags, 1))
			return -1;
	} else if (p->f.proto == 1 || p->f.proto == 58) {
		if (load_bytes(skb, p->at, &byte, 1))
			return -1;
		p->icmp_type = byte;
		if (!load_bytes(skb, p->at + 4, ports, 2))
			p->f.sport = bpf_ntohs(ports[0]); /* the id of an echo */
	}
	return 0;
}

/*
 * A source route sends a packet past the address that its header shows. What could hold one is not read: IPv4 options of more than a word (a router alert
 * is one, a route with one address two), and routing headers.
 */
enum { WORDS_MAX = 6, ROUTING = 43 };

static __always_inline int parse4(PACKET *skb, struct packet *p)
{
	__u8 h[20];

	if (load_bytes(skb, 0, h, sizeof(h)) || h[0] >> 4 != 4 || (h[0] & 15) > WORDS_MAX)
		return -1;
	p->at = (h[0] & 15) * 4;
	p->hops = h[8];
	p->f.proto = h[9];
	p->fragment = ((h[6] & 0x1f) | h[7]) != 0;
	__builtin_memcpy(p->f.src, h + 12, 4);
	__builtin_memcpy(p->f.dst, h + 16, 4);
	return 0;
}

static __always_inline int parse6(PACKET *skb, struct packet *p)
{
	__u8 h[8], next;

	if (load_bytes(skb, 0, h, sizeof(h)) || h[0] >> 4 != 6 || load_bytes(skb, 8, p->f.src, 16) ||
	    load_bytes(skb, 24, p->f.dst, 16))
		return -1;
	next = h[6];
	p->hops = h[7];
	p->f.six = 1;
	p->at = 40;
	for (int i = 0; i < 8; i++) { /* extension headers */
		if (next != 0 && next != ROUTING && next != 44 && next != 51 && next != 60 && next != 135)
			break;
		if (next == ROUTING || load_bytes(skb, p->at, h, 4))
			return -1;
		if (next == 44)
			p->fragment = (h[2] | (h[3] & 0xf8)) != 0, p->piece = p->at;
		p->at += next == 44 ? 8 : next == 51 ? (h[1] + 2) * 4 : (h[1] + 1) * 8;
		next = h[0];
		if (p->fragment)
			break;
	}
	p->f.proto = next;
	return 0;
}

/* p is zero. */
PARSE int parse(PACKET *skb, struct packet *p)
{
	__be16 type;
	int r;

	if (!p)
		return -1;
	type = type_of_packet(skb);
	r = type == bpf_htons(0x86dd) ? parse6(skb, p) : type == bpf_htons(0x0800) ? parse4(skb, p) : -1;

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

static __always_inline void turn_around(struct zt_bpf_flow *f)
{
	__u16 port = f->port;
	__u64 a[2];

	__builtin_memcpy(a, f->src, 16);
	__builtin_memcpy(f->src, f->dst, 16);
	__builtin_memcpy(f->dst, a, 16);
	if (has_ports(f->proto)) {
		f->port = f->sport;
		f->sport = port;
	}
}

static __always_inline int same_ends(const struct zt_bpf_flow *f)
{
	__u64 a[2], b[2];

	__builtin_memcpy(a, f->src, 16);
	__builtin_memcpy(b, f->dst, 16);
	return a[0] == b[0] && a[1] == b[1];
}

/* As the process on this host sees it; of what passes through, as who began does. */
static __always_inline void flow_key(struct zt_bpf_flow_key *k, const struct zt_bpf_flow *f, __u64 netns,
				     int remote_is_src, __u32 dir)
{
	*k = (struct zt_bpf_flow_key){.proto = f->proto, .family = f->six ? 6 : 4, .dir = dir, .netns = netns};
	if (remote_is_src) {
		__builtin_memcpy(k->remote, f->src, 16);
		__builtin_memcpy(k->local, f->dst, 16);
	} else {
		__builtin_memcpy(k->remote, f->dst, 16);
		__builtin_memcpy(k->local, f->src, 16);
	}
	k->local_port = f->sport; /* the echo id where there are no ports */
	if (has_ports(f->proto)) {
		k->local_port = remote_is_src ? f->port : f->sport;
		k->remote_port = remote_is_src ? f->sport : f->port;
	}
}

/* What an ICMP error, with its header at `at`, is about: a packet from the local end of the key, of which family, dir and netns are filled in. */
static __always_inline int quoted(PACKET *skb, __u32 at, int six, struct zt_bpf_flow_key *k)
{
	__u32 upper = at + 8 + 40;
	__u16 ports[2] = {};
	__u8 first = 0;

	if (load_bytes(skb, at + 8, &first, 1))
		return -1;
	if (!six)
		upper = at + 8 + (first & 15) * 4;
	if (load_bytes(skb, at + 8 + (six ? 6 : 9), &k->proto, 1) ||
	    (six ? load_bytes(skb, at + 8 + 24, k->remote, 16) || load_bytes(skb, at + 8 + 8, k->local, 16)
		 : load_bytes(skb, at + 8 + 16, k->remote, 4) || load_bytes(skb, at + 8 + 12, k->local, 4)))
		return -1;
	if (has_ports(k->proto) && load_bytes(skb, upper, ports, sizeof(ports)))
		return -1;
	if (!has_ports(k->proto) && load_bytes(skb, upper + 4, ports, 2))
		return -1;
	k->local_port = bpf_ntohs(ports[0]);
	k->remote_port = bpf_ntohs(ports[1]);
	return 0;
}

/* Can this be an answer at all? Without ports a question from an address to itself looks like one. */
static __always_inline int may_answer(const struct packet *p)
{
	if (p->f.proto == 1 || p->f.proto == 58)
		return echo_reply(p);
	return p->f.proto != 6 && (has_ports(p->f.proto) || !same_ends(&p->f));
}
