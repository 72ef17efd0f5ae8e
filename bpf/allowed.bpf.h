/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* What a socket was allowed last, see struct zt_bpf_allowed. Included once, by core.bpf.c. */

#define TICKET 8000000ull /* ns; the coarse clock steps by up to 10 ms, mostly by 4 */

static __always_inline __u32 port_word(__u16 port, __u32 proto, int six, int lo)
{
	return port | proto << 16 | (six ? 6u : 4u) << 24 | (lo ? 1u : 0) << 28;
}

static __always_inline int same_place(const struct zt_bpf_allowed *a, const __u8 *dst)
{
	__u64 x[2], y[2];

	__builtin_memcpy(x, a->dst, 16);
	__builtin_memcpy(y, dst, 16);
	return x[0] == y[0] && x[1] == y[1];
}

static __always_inline int same_source(const struct zt_bpf_allowed *a, const __u8 *src, __u32 sport)
{
	__u64 x[2], y[2];

	__builtin_memcpy(x, a->src, 16);
	__builtin_memcpy(y, src, 16);
	return x[0] == y[0] && x[1] == y[1] && a->sport == sport;
}

/* A writer's turn: the even number, or an odd one when another thread is at it. */
static __always_inline __u32 seq_take(struct zt_bpf_sock *s)
{
	__u32 seq = s->seq;

	if (!(seq & 1) && __sync_val_compare_and_swap(&s->seq, seq, seq + 1) != seq)
		return 1;
	return seq;
}

static __always_inline int seq_same(struct zt_bpf_sock *s, __u32 seq)
{
	return __sync_fetch_and_add(&s->seq, 0) == seq;
}

static __always_inline void remember(struct zt_bpf_sock *s, __u32 live_epoch, const struct zt_bpf_flow *f, __u32 rule,
				     __u32 how)
{
	struct zt_bpf_allowed *a = &s->allowed;

	if (seq_take(s) & 1)
		return;
	a->rule = rule;
	a->port = port_word(f->port, f->proto, f->six, f->lo);
	a->how = how;
	a->from = f->from;
	a->to = f->to;
	a->cgroup = f->cgroup;
	a->uid = f->uid;
	a->gid = f->gid;
	__builtin_memcpy(a->dst, f->dst, 16);
	a->noted = 0;
	a->epoch = live_epoch;
	__sync_fetch_and_add(&s->seq, 1);
}

static __always_inline void forget(struct zt_bpf_sock *s)
{
	s->allowed.epoch = 0;
	s->ticket = 0;
}

/* Was this allowed in this epoch, from the same process to the same one? */
static __always_inline int remembered_call(struct zt_bpf_sock *s, __u32 live_epoch, const struct zt_bpf_flow *f)
{
	const struct zt_bpf_allowed *a = &s->allowed;
	__u32 seq = *(volatile __u32 *)&s->seq;

	return !(seq & 1) && a->epoch == live_epoch && a->port == port_word(f->port, f->proto, f->six, f->lo) &&
	       !(a->how & ZT_BPF_A_TIMED) && a->from == f->from && a->to == f->to && a->cgroup == f->cgroup &&
	       a->uid == f->uid && a->gid == f->gid && same_place(a, f->dst) && seq_same(s, seq);
}

/* The packet that sendmsg decided follows at once; a tick later another one may have got the port. */
static __always_inline void ticket_give(struct zt_bpf_sock *s)
{
	s->ticket = bpf_ktime_get_coarse_ns();
}

static __always_inline int ticket_take(struct zt_bpf_sock *s)
{
	__u64 given = __sync_lock_test_and_set(&s->ticket, 0);

	return given && bpf_ktime_get_coarse_ns() - given <= TICKET;
}

struct answer {
	__u32 rule, how, to;
};

static __always_inline int remembered(struct zt_bpf_sock *s, __u32 live_epoch, const struct zt_bpf_flow *f,
				      struct answer *ret)
{
	const struct zt_bpf_allowed *a = &s->allowed;
	__u32 seq = *(volatile __u32 *)&s->seq;

	*ret = (struct answer){.rule = a->rule, .how = a->how, .to = a->to};
	return !(seq & 1) && a->epoch == live_epoch && a->port == port_word(f->port, f->proto, f->six, f->lo) &&
	       same_place(a, f->dst) && seq_same(s, seq);
}

/* flows has been told. */
static __always_inline void noted(struct zt_bpf_sock *s, __u32 live_epoch, const struct zt_bpf_flow *f)
{
	struct zt_bpf_allowed *a = &s->allowed;

	if (seq_take(s) & 1)
		return;
	if (a->epoch == live_epoch && a->port == port_word(f->port, f->proto, f->six, f->lo) && same_place(a, f->dst)) {
		__builtin_memcpy(a->src, f->src, 16);
		a->sport = f->sport;
		a->noted = bpf_ktime_get_coarse_ns();
	}
	__sync_fetch_and_add(&s->seq, 1);
}
