/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Counting and telling. Told is what blocks or has log: true, as often as the policy's limit allows: to the record, which keeps the newest, and to
 * the ring, which keeps the oldest until somebody takes them. */

/* ---- counting ---- */
static __always_inline void count_reason(__u32 reason, __u32 bytes)
{
	struct zt_bpf_count *c = bpf_map_lookup_elem(&reasons, &reason);

	if (c) {
		c->packets++;
		c->bytes += bytes;
	}
}

static __always_inline void count_rule(const struct zt_bpf_config *cfg, __u32 slot, __u32 rule, __u32 bytes)
{
	__u32 at = bpf_get_smp_processor_id() * cfg->stride + rule;
	void *inner = bpf_map_lookup_elem(&counts, &slot);
	struct zt_bpf_count *c = inner ? bpf_map_lookup_elem(inner, &at) : 0;

	if (c) {
		__sync_fetch_and_add(&c->packets, 1);
		__sync_fetch_and_add(&c->bytes, bytes);
	}
}

static __always_inline int blocks(const struct zt_bpf_decision *d)
{
	return d->verdict == ZT_BPF_DROP || d->verdict == ZT_BPF_REJECT;
}

/* Counts; 1: it is to be told as well. */
__noinline int account(const struct zt_bpf_flow *f, const struct zt_bpf_decision *d, __u32 slot, __u32 bytes)
{
	struct zt_bpf_config *cfg = config_of(slot);

	if (!f || !d || !cfg)
		return 0;
	if (d->rule != ZT_BPF_NO_RULE)
		count_rule(cfg, slot & 1, d->rule, bytes);
	else if (blocks(d) || d->reason < ZT_BPF_R_DEFAULT_EGRESS)
		count_reason(d->reason & (ZT_BPF_REASONS - 1), bytes);
	if (blocks(d) && f->from == 0 && f->dir == ZT_BPF_EGRESS)
		count_reason(ZT_BPF_R_UNKNOWN, bytes);
	return d->flags & ZT_BPF_LOG && (d->rule != ZT_BPF_NO_RULE || d->verdict != ZT_BPF_ALLOW);
}

/* ---- who receives ---- */
/* sk: the socket here that would receive f, to be released; 0: none. An ended connection with the same ports hides the listener that gets the
 * next one: no connection comes from port 0, so with that only a listener fits. */
#define LOOK_UP_TCP(ctx, t, size, from, sk)                                                       \
	do {                                                                                      \
		sk = bpf_sk_lookup_tcp(ctx, &t, size, BPF_F_CURRENT_NETNS, 0);                    \
		if (!sk && from) {                                                                \
			from = 0;                                                                 \
			sk = bpf_sk_lookup_tcp(ctx, &t, size, BPF_F_CURRENT_NETNS, 0);            \
		}                                                                                 \
	} while (0)

#define LOOK_UP_RECEIVER(ctx, f, sk)                                                              \
	struct bpf_sock_tuple t = {};                                                             \
                                                                                                  \
	if (f->six) {                                                                             \
		__builtin_memcpy(t.ipv6.saddr, f->src, 16);                                       \
		__builtin_memcpy(t.ipv6.daddr, f->dst, 16);                                       \
		t.ipv6.sport = bpf_htons(f->sport);                                               \
		t.ipv6.dport = bpf_htons(f->port);                                                \
	} else {                                                                                  \
		__builtin_memcpy(&t.ipv4.saddr, f->src, 4);                                       \
		__builtin_memcpy(&t.ipv4.daddr, f->dst, 4);                                       \
		t.ipv4.sport = bpf_htons(f->sport);                                               \
		t.ipv4.dport = bpf_htons(f->port);                                                \
	}                                                                                         \
	if (f->proto == 6 && f->six)                                                              \
		LOOK_UP_TCP(ctx, t, sizeof(t.ipv6), t.ipv6.sport, sk);                            \
	else if (f->proto == 6)                                                                   \
		LOOK_UP_TCP(ctx, t, sizeof(t.ipv4), t.ipv4.sport, sk);                            \
	else if (f->proto == 17)                                                                  \
		sk = f->six ? bpf_sk_lookup_udp(ctx, &t, sizeof(t.ipv6), BPF_F_CURRENT_NETNS, 0)  \
			    : bpf_sk_lookup_udp(ctx, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0); \
	else                                                                                      \
		sk = 0

/* ---- telling ---- */
/* -1: too many at the moment. */
static __always_inline int event_allowed(const struct zt_bpf_config *cfg, struct zt_bpf_limit *m, __u64 now,
					 __u32 *ret_suppressed)
{
	if (now - m->since >= cfg->log_window) {
		m->since = now;
		m->used = 0;
	}
	if (__sync_fetch_and_add(&m->used, 1) >= cfg->log_limit) {
		__sync_fetch_and_add(&m->suppressed, 1);
		count_reason(ZT_BPF_R_SUPPRESSED, 0);
		return -1;
	}
	*ret_suppressed = m->suppressed;
	m->suppressed = 0;
	return 0;
}

/* A place of the record, ours alone until event_end(). */
static __always_inline struct zt_bpf_event *event_begin(const struct zt_bpf_config *cfg, __u64 *ret_seq)
{
	__u32 zero = 0, at, suppressed = 0;
	struct zt_bpf_limit *m = bpf_map_lookup_elem(&limit, &zero);
	__u64 now = bpf_ktime_get_boot_ns(), n, old;
	struct zt_bpf_event *e;

	if (!m || event_allowed(cfg, m, now, &suppressed) < 0)
		return 0;
	n = __sync_fetch_and_add(&m->told, 1);
	at = n & (ZT_BPF_RECORDED - 1);
	e = bpf_map_lookup_elem(&record, &at);
	if (!e)
		return 0;
	old = e->seq;
	if (old & ZT_BPF_WRITING || __sync_val_compare_and_swap(&e->seq, old, (n + 1) | ZT_BPF_WRITING) != old) {
		count_reason(ZT_BPF_R_COLLIDED, 0);
		return 0;
	}
	*ret_seq = n + 1;
	e->time = now;
	e->generation = cfg->generation;
	e->suppressed = suppressed;
	return e;
}

static __always_inline void event_flow(struct zt_bpf_event *e, const struct zt_bpf_flow *f,
				       const struct zt_bpf_decision *d)
{
	e->rule = d->rule;
	e->reason = d->rule == ZT_BPF_NO_RULE || d->reason == ZT_BPF_R_REVOKED ? d->reason : ZT_BPF_NO_RULE;
	e->uid = f->uid;
	e->gid = f->gid;
	e->from = f->from;
	e->to = f->to;
	e->port = f->port;
	e->sport = f->sport;
	e->verdict = d->verdict;
	e->dir = f->dir;
	e->proto = f->proto;
	e->family = f->six ? 6 : 4;
	__builtin_memcpy(e->src, f->src, 16);
	__builtin_memcpy(e->dst, f->dst, 16);
	e->flags = (f->owned ? ZT_BPF_EV_OWNED : 0) | (f->lo ? ZT_BPF_EV_LO : 0);
	__builtin_memset(&e->sender, 0, sizeof(e->sender));
	__builtin_memset(&e->receiver, 0, sizeof(e->receiver));
	__builtin_memset(&e->name, 0, sizeof(e->name));
}

static __always_inline void event_end(struct zt_bpf_event *e, __u64 seq)
{
	__sync_lock_test_and_set(&e->seq, seq);
	if (bpf_ringbuf_output(&events, e, sizeof(*e), 0 /* wakes who has read all before */))
		count_reason(ZT_BPF_R_LOST, 0);
	count_reason(ZT_BPF_R_LOGGED, 0);
}

#ifndef ZT_LSM /* of sockets and packets, of which the LSM layer sees none */
#define TELL(ctx, f, d, own, slot)                            \
	struct zt_bpf_config *cfg = config_of(slot);          \
	struct zt_bpf_sock *other;                            \
	struct bpf_sock *sk = 0;                              \
	struct zt_bpf_event *e;                               \
	__u64 seq = 0;                                        \
                                                              \
	if (!f || !d || !cfg)                                 \
		return 0;                                     \
	e = event_begin(cfg, &seq);                           \
	if (!e)                                               \
		return 0;                                     \
	event_flow(e, f, d);                                  \
	if (own && f->dir == ZT_BPF_EGRESS)                   \
		e->sender = own->maker;                       \
	else if (own)                                         \
		e->receiver = own->maker;                     \
	if (f->lo && f->dir == ZT_BPF_EGRESS) {               \
		LOOK_UP_RECEIVER(ctx, f, sk);                 \
	}                                                     \
	if (sk) {                                             \
		e->flags |= ZT_BPF_EV_RECEIVED;               \
		other = bpf_sk_storage_get(&socks, sk, 0, 0); \
		if (other)                                    \
			e->receiver = other->maker;           \
		bpf_sk_release(sk);                           \
	}                                                     \
	event_end(e, seq);                                    \
	return 0

/* own: of the socket at which it was decided, the sender's or, inbound, the receiver's; or 0. */
__noinline int tell_call(struct bpf_sock_addr *ctx, const struct zt_bpf_flow *f, const struct zt_bpf_decision *d,
			 struct zt_bpf_sock *own, __u32 slot)
{
	TELL(ctx, f, d, own, slot);
}

__noinline int tell_packet(struct __sk_buff *ctx, const struct zt_bpf_flow *f, const struct zt_bpf_decision *d,
			   struct zt_bpf_sock *own, __u32 slot)
{
	TELL(ctx, f, d, own, slot);
}
#endif
