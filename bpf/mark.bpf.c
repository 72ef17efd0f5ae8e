/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The programs that put a process's number into the mark of its sockets, for the nft engine: where a socket is made, bound, connected, and where
 * it sends without being connected. Baseline: Linux 6.1. They decide nothing. The one on setsockopt keeps the private bits what they are.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_core_read.h>

#define ZT_SEEN
#include "mark.bpf.h"

#ifndef SOL_SOCKET
#define SOL_SOCKET 1
#endif
#ifndef SO_MARK
#define SO_MARK 36
#endif

struct live {
	struct zt_bpf_config *cfg;
	__u32 epoch;
};

static __always_inline int live_get(struct live *l)
{
	__u32 zero = 0, slot, *e = bpf_map_lookup_elem(&epoch, &zero);

	if (!e)
		return -1;
	l->epoch = *e;
	slot = l->epoch & 1;
	l->cfg = bpf_map_lookup_elem(&config, &slot);
	return l->cfg && l->cfg->epoch == l->epoch ? 0 : -1;
}

__noinline int number_current(struct zt_bpf_sock *s)
{
	return s ? stamp(s) : -1;
}

/* A socket without room for what is known of it keeps a mark that nobody knows. */
SEC("cgroup/sock_create")
int zt_m_create(struct bpf_sock *ctx)
{
	struct zt_bpf_sock *s;
	struct live l;

	if (live_get(&l) < 0 || bpf_get_netns_cookie(ctx) != l.cfg->netns)
		return 1;
	s = bpf_sk_storage_get(&socks, ctx, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (s && number_current(s) < 0)
		s = 0;
	ctx->mark = mark_of(ctx->mark, s, l.epoch);
	return 1;
}

/* 1 go on, 0 refuse: the mark would say somebody else. */
static __always_inline int mark_again(struct bpf_sock_addr *ctx)
{
	struct zt_bpf_sock *s;
	struct live l;
	__u32 old, want;

	if (live_get(&l) < 0 || !ctx->sk || bpf_get_netns_cookie(ctx) != l.cfg->netns)
		return 1;
	s = bpf_sk_storage_get(&socks, ctx->sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (s && number_current(s) < 0)
		s = 0;
	old = ctx->sk->mark;
	want = mark_of(old, s, l.epoch);
	return want == old || bpf_setsockopt(ctx, SOL_SOCKET, SO_MARK, &want, sizeof(want)) == 0;
}

SEC("cgroup/connect4")
int zt_m_connect4(struct bpf_sock_addr *ctx)
{
	return mark_again(ctx) ? 1 : 0;
}

SEC("cgroup/connect6")
int zt_m_connect6(struct bpf_sock_addr *ctx)
{
	return mark_again(ctx) ? 1 : 0;
}

SEC("cgroup/sendmsg4")
int zt_m_sendmsg4(struct bpf_sock_addr *ctx)
{
	return mark_again(ctx) ? 1 : 0;
}

SEC("cgroup/sendmsg6")
int zt_m_sendmsg6(struct bpf_sock_addr *ctx)
{
	return mark_again(ctx) ? 1 : 0;
}

SEC("cgroup/bind4")
int zt_m_bind4(struct bpf_sock_addr *ctx)
{
	return mark_again(ctx) ? 1 : 0;
}

SEC("cgroup/bind6")
int zt_m_bind6(struct bpf_sock_addr *ctx)
{
	return mark_again(ctx) ? 1 : 0;
}

/*
 * Whoever sets a mark sets the public bits. Private bits that are not the socket's are refused (EPERM), also of those who may set marks; none
 * at all means "as they are". A value of two words, the second ZT_MARK_REFRESH, leaves the public bits alone.
 */
SEC("cgroup/setsockopt")
int zt_m_setsockopt(struct bpf_sockopt *ctx)
{
	__u32 *value = ctx->optval, *end = ctx->optval_end, slot, now, given;
	struct zt_mark_config *m;
	struct zt_bpf_sock *s;
	struct live l;

	if (ctx->level != SOL_SOCKET || ctx->optname != SO_MARK || !ctx->sk || value + 1 > end)
		return 1;
	if (live_get(&l) < 0 || bpf_get_netns_cookie(ctx) != l.cfg->netns)
		return 1;
	slot = l.epoch & 1;
	m = bpf_map_lookup_elem(&marks, &slot);
	if (!m)
		return 0;
	now = ctx->sk->mark;
	given = value[0];
	if (value + 2 <= end && ctx->optlen == 8 && value[1] == ZT_MARK_REFRESH)
		given = now;
	else if (given & m->mask && (given ^ now) & m->mask)
		return 0;
	s = bpf_sk_storage_get(&socks, ctx->sk, 0, 0);
	value[0] = mark_of(given, s, l.epoch);
	ctx->optlen = 4;
	return 1;
}

/* ---- policies with receivers ---- */
/*
 * A listener is found by the packet that comes in, unless an ended connection with the same ports stands before it. Then the receiver's number
 * comes with the packet, instead of the public bits; the priority says so. Nobody else can say it.
 */
static __always_inline __u32 listener_mark(struct __sk_buff *skb, struct bpf_sock_tuple *t, __u32 len)
{
	__be16 *port = len == sizeof(t->ipv4) ? &t->ipv4.sport : &t->ipv6.sport;
	struct bpf_sock *sk = bpf_sk_lookup_tcp(skb, t, len, BPF_F_CURRENT_NETNS, 0);
	__u32 mark = 0;

	if (sk) {
		bpf_sk_release(sk);
		return 0;
	}
	*port = 0; /* no connection comes from there: only a listener fits */
	sk = bpf_sk_lookup_tcp(skb, t, len, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	mark = sk->mark;
	bpf_sk_release(sk);
	return mark;
}

static __always_inline int begins(struct __sk_buff *skb, __u32 at, __be16 *ports)
{
	__u8 flags = 0;

	return !bpf_skb_load_bytes(skb, at, ports, 4) && !bpf_skb_load_bytes(skb, at + 13, &flags, 1) && (flags & 0x12) == 0x02;
}

__noinline __u32 receiver4(struct __sk_buff *skb)
{
	struct bpf_sock_tuple t = {};
	__u8 first = 0, proto = 0;
	__be16 ports[2];

	if (!skb || bpf_skb_load_bytes(skb, 0, &first, 1) || bpf_skb_load_bytes(skb, 9, &proto, 1) || proto != 6)
		return 0;
	if (!begins(skb, (first & 15) * 4, ports) || bpf_skb_load_bytes(skb, 12, &t.ipv4.saddr, 8))
		return 0;
	t.ipv4.sport = ports[0];
	t.ipv4.dport = ports[1];
	return listener_mark(skb, &t, sizeof(t.ipv4));
}

__noinline __u32 receiver6(struct __sk_buff *skb)
{
	struct bpf_sock_tuple t = {};
	__be16 ports[2];
	__u8 proto = 0;

	if (!skb || bpf_skb_load_bytes(skb, 6, &proto, 1) || proto != 6)
		return 0;
	if (!begins(skb, 40, ports) || bpf_skb_load_bytes(skb, 8, &t.ipv6.saddr, 32))
		return 0;
	t.ipv6.sport = ports[0];
	t.ipv6.dport = ports[1];
	return listener_mark(skb, &t, sizeof(t.ipv6));
}

SEC("cgroup_skb/egress")
int zt_m_egress(struct __sk_buff *skb)
{
	struct zt_mark_config *m;
	__u32 slot, mark;
	struct live l;

	if (skb->ifindex != 1)
		return 1;
	if (skb->priority == ZT_MARK_ENDED)
		skb->priority = 0;
	if (live_get(&l) < 0)
		return 1;
	slot = l.epoch & 1;
	m = bpf_map_lookup_elem(&marks, &slot);
	if (!m || !(skb->mark & m->mask & ~(m->number_mask << (m->shift & 31))))
		return 1; /* not left to the receiver's side */
	mark = skb->protocol == bpf_htons(0x0800) ? receiver4(skb) : skb->protocol == bpf_htons(0x86dd) ? receiver6(skb) : 0;
	mark = mark >> (m->shift & 31) & m->number_mask;
	if (!mark)
		return 1;
	skb->mark = (skb->mark & ~m->number_mask) | mark;
	skb->priority = ZT_MARK_ENDED;
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
