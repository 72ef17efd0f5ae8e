/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The programs of the bpf engine on the hooks of a control group. Baseline: Linux 6.1.
 *
 *   sock_create, bind         stamp: who makes the socket
 *   connect, sendmsg          stamp who really does it; decide early, so that the program gets an errno at once
 *   egress                    decides every packet that no decision at connect or sendmsg covers
 *   ingress                   decides what comes from other hosts
 *
 * A map that misses, is full or is not filled denies. Only sockets of the network namespace of the configuration are looked at.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_core_read.h>

#define ECONNREFUSED 111
#define EPERM 1
#define LO_IFINDEX 1

#define ZT_SEEN
#include "live.bpf.h"
#include "packet.bpf.h"
#include "record.bpf.h"
#include "flows.bpf.h"
#include "allowed.bpf.h"

/* ---- who receives ---- */
#define FOUND 0x80000000u
#define SHARED 0x40000000u
#define LABEL(to) ((to) & ~(FOUND | SHARED))

/* Of a group that has one port (SO_REUSEPORT): which of them gets a packet hangs on its source port, which connect does not know yet. The pointer
 * is read back from the stack as a number, which may be walked. */
static __always_inline __u32 shares_port(struct bpf_sock *sk)
{
	struct sock *at = 0;
	void *group = 0;

	bpf_probe_read_kernel(&at, sizeof(at), &sk);
	if (at)
		bpf_core_read(&group, sizeof(group), &at->sk_reuseport_cb);
	return group ? SHARED : 0;
}

/* The label of who receives, with FOUND when there is somebody and what more_of(its socket) adds; ZT_LABEL_NONE when there is nobody. */
#define RECEIVER(ctx, f, live_epoch, more_of)            \
	struct zt_bpf_sock *s;                           \
	struct bpf_sock *sk;                             \
	__u32 label = 0;                                 \
                                                         \
	LOOK_UP_RECEIVER(ctx, f, sk);                    \
	if (!sk)                                         \
		return 1;                                \
	s = bpf_sk_storage_get(&socks, sk, 0, 0);        \
	if (s && s->epoch[live_epoch & 1] == live_epoch) \
		label = s->who[live_epoch & 1].label;    \
	label |= more_of(sk);                            \
	bpf_sk_release(sk);                              \
	return label | FOUND

#define no_more(sk) 0

__noinline int receiver_of_call(struct bpf_sock_addr *ctx, const struct zt_bpf_flow *f, __u32 live_epoch)
{
	if (!f)
		return 1;
	RECEIVER(ctx, f, live_epoch, shares_port);
}

__noinline int receiver_of_packet(struct __sk_buff *ctx, const struct zt_bpf_flow *f, __u32 live_epoch)
{
	if (!f)
		return 1;
	RECEIVER(ctx, f, live_epoch, no_more);
}

/* ---- connect and sendmsg ---- */
static __always_inline void source_of(struct bpf_sock_addr *ctx, struct zt_bpf_flow *f)
{
	struct bpf_sock *sk = ctx->sk;

	if (sk) {
		if (f->six) {
			__u32 w[4] = {sk->src_ip6[0], sk->src_ip6[1], sk->src_ip6[2], sk->src_ip6[3]};

			__builtin_memcpy(f->src, w, 16);
		} else {
			__u32 a = sk->src_ip4;

			__builtin_memcpy(f->src, &a, 4);
		}
		f->sport = sk->src_port;
	}
	f->lo = is_loopback(f);
	f->src_known = !is_any(f->src);
	if (f->lo && !f->src_known) { /* what routing will choose */
		if (f->six)
			f->src[15] = 1;
		else
			f->src[0] = 127, f->src[3] = 1;
		f->src_known = 1;
	}
}

/* May the next packet to the same place go without a decision? Only while nothing else than the place decides: not who receives there
 * (a port changes hands), not the time. TCP's first packet too may go much later than connect said (TCP_FASTOPEN_CONNECT), and again and again. */
static __always_inline __u32 how_long(__u32 flags, const struct zt_bpf_flow *f, __u32 to)
{
	__u32 timed = flags & ZT_BPF_HAS_GUARDS ? ZT_BPF_A_TIMED : 0;

	if (to & SHARED)
		return timed;
	return timed | (!timed && !(flags & ZT_BPF_HAS_TO && f->lo) ? ZT_BPF_A_LASTING : 0);
}

/* The packet goes without another decision, unless it may come to somebody else than was found. */
static __always_inline void follow(struct zt_bpf_sock *s, __u32 to)
{
	if (to & SHARED)
		s->ticket = 0;
	else
		ticket_give(s);
}

/* 1 go on, 0 refuse. Where the outcome depends on what is not known here (own address, source), egress decides. */
static __always_inline int judge_early(struct bpf_sock_addr *ctx, const struct live *l, struct zt_bpf_flow *f,
				       struct zt_bpf_sock *s)
{
	struct zt_bpf_decision d = {};
	__u32 flags = l->cfg->flags, to = 1, matters = flags & (f->six ? ZT_BPF_SRC_MATTERS6 : ZT_BPF_SRC_MATTERS4);
	int certain, sure;

	source_of(ctx, f);
	certain = f->src_known || !matters;
	if (!f->lo && l->cfg->loopback != ZT_BPF_LO_ENFORCE)
		certain = 0;
	if (flags & ZT_BPF_HAS_TO)
		to = receiver_of_call(ctx, f, l->epoch);
	f->to = f->lo ? LABEL(to) : 1;
	sure = certain && !matters &&
	       (f->lo || !(to & FOUND)); /* a control message may give the packet another source */
	if (sure && remembered_call(s, l->epoch, f)) {
		follow(s, to);
		return 1;
	}
	decide(f, &d, l->epoch);
	if (!blocks(&d)) {
		if (!sure || d.flags & ZT_BPF_LOG) {
			forget(s);
			return 1;
		}
		remember(s, l->epoch, f, d.rule, how_long(flags, f, to));
		follow(s, to);
		return 1;
	}
	forget(s);
	if (!certain || (f->proto != 6 && f->sport && answers(f, l->cfg->netns, 0, ZT_BPF_INGRESS, l->epoch)))
		return 1;
	if (to & FOUND &&
	    !f->lo) { /* an address of this host, or another's with a port that is served here too: refused as both */
		f->lo = 1;
		f->to = LABEL(to);
		decide(f, &d, l->epoch);
		if (!blocks(&d))
			return 1;
	}
	if (account(f, &d, l->epoch, 0))
		tell_call(ctx, f, &d, s, l->epoch);
	if (d.verdict == ZT_BPF_REJECT)
		bpf_set_retval(-ECONNREFUSED);
	return 0;
}

/* Stamps as global functions: who is current. */
__noinline int stamp_current(struct zt_bpf_sock *s)
{
	return s ? stamp(s) : -1;
}

/* 1 pass (not ours), 0 refuse, 2 decide. */
static __always_inline int enter(struct bpf_sock_addr *ctx, struct live *l, struct zt_bpf_sock **ret, int connecting)
{
	struct zt_bpf_sock *s;

	if (live_get(l) < 0) {
		count_reason(ZT_BPF_R_NO_CONFIG, 0);
		return 0;
	}
	if (bpf_get_netns_cookie(ctx) != l->cfg->netns || !ctx->sk)
		return 1;
	s = bpf_sk_storage_get(&socks, ctx->sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!s || stamp_current(s) < 0) {
		count_reason(ZT_BPF_R_NO_STORAGE, 0);
		return 0;
	}
	if (connecting)
		s->flags |= ZT_BPF_ACTIVE;
	*ret = s;
	return 2;
}

static __always_inline int destination4(struct bpf_sock_addr *ctx, int connecting)
{
	struct zt_bpf_flow f = {.proto = ctx->protocol};
	__u32 a = ctx->user_ip4;
	struct zt_bpf_sock *s;
	struct live l;
	int r = enter(ctx, &l, &s, connecting);

	if (r != 2)
		return r;
	__builtin_memcpy(f.dst, &a, 4);
	if (!a)
		f.dst[0] = 127, f.dst[3] = 1;
	who_is(l.epoch, s, &f);
	f.port = has_ports(f.proto) ? bpf_ntohs(ctx->user_port) : 0;
	return judge_early(ctx, &l, &f, s);
}

static __always_inline int destination6(struct bpf_sock_addr *ctx, int connecting)
{
	__u32 a[4] = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]};
	struct zt_bpf_flow f = {.six = 1, .proto = ctx->protocol};
	struct zt_bpf_sock *s;
	struct live l;
	int r = enter(ctx, &l, &s, connecting);

	if (r != 2)
		return r;
	if (!a[0] && !a[1] && a[2] == bpf_htonl(0xffff)) { /* IPv4 in IPv6 */
		f.six = 0;
		__builtin_memcpy(f.dst, &a[3], 4);
		if (!a[3])
			f.dst[0] = 127, f.dst[3] = 1;
	} else {
		__builtin_memcpy(f.dst, a, 16);
		if (is_any(f.dst))
			f.dst[15] = 1;
	}
	who_is(l.epoch, s, &f);
	f.port = has_ports(f.proto) ? bpf_ntohs(ctx->user_port) : 0;
	return judge_early(ctx, &l, &f, s);
}

SEC("cgroup/connect4")
int zt_connect4(struct bpf_sock_addr *ctx)
{
	return destination4(ctx, 1) ? 1 : 0;
}

SEC("cgroup/connect6")
int zt_connect6(struct bpf_sock_addr *ctx)
{
	return destination6(ctx, 1) ? 1 : 0;
}

SEC("cgroup/sendmsg4")
int zt_sendmsg4(struct bpf_sock_addr *ctx)
{
	return destination4(ctx, 0) ? 1 : 0;
}

SEC("cgroup/sendmsg6")
int zt_sendmsg6(struct bpf_sock_addr *ctx)
{
	return destination6(ctx, 0) ? 1 : 0;
}

/* ---- stamps ---- */
static __always_inline void stamp_socket(struct bpf_sock *sk, __u64 netns)
{
	struct zt_bpf_sock *s;
	struct live l;

	if (live_get(&l) < 0 || netns != l.cfg->netns || !sk)
		return; /* egress denies what is not known */
	s = bpf_sk_storage_get(&socks, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!s || stamp_current(s) < 0)
		count_reason(ZT_BPF_R_NO_STORAGE, 0);
}

SEC("cgroup/sock_create")
int zt_sock_create(struct bpf_sock *ctx)
{
	stamp_socket(ctx, bpf_get_netns_cookie(ctx));
	return 1;
}

SEC("cgroup/bind4")
int zt_bind4(struct bpf_sock_addr *ctx)
{
	stamp_socket(ctx->sk, bpf_get_netns_cookie(ctx));
	return 1;
}

SEC("cgroup/bind6")
int zt_bind6(struct bpf_sock_addr *ctx)
{
	stamp_socket(ctx->sk, bpf_get_netns_cookie(ctx));
	return 1;
}

/* ---- packets ---- */
/* The namespace of a socket that was never stamped. The pointer is read back from the stack as a number, which may be walked. */
static __always_inline __u64 netns_of(struct bpf_sock *sk)
{
	struct sock_common *c = 0;
	struct net *net = 0;
	__u64 cookie = 0;

	bpf_probe_read_kernel(&c, sizeof(c), &sk);
	if (!c)
		return 0;
	bpf_core_read(&net, sizeof(net), &c->skc_net.net);
	bpf_core_read(&cookie, sizeof(cookie), &net->net_cookie);
	return cookie;
}

static __always_inline int pass(__u32 reason, __u32 bytes)
{
	count_reason(reason, bytes);
	return 1;
}

/* f is the question of a flow that exists already, after the policy changed (old) or the process. */
static __always_inline int judge_question(struct __sk_buff *skb, const struct live *l, struct zt_bpf_sock *s,
					  struct zt_bpf_flow *f, struct zt_bpf_decision *d, int old)
{
	decide(f, d, l->epoch);
	if (!blocks(d))
		return pass(ZT_BPF_R_ESTABLISHED, skb->len);
	if (account(f, d, l->epoch, skb->len)) {
		if (old)
			d->reason = ZT_BPF_R_REVOKED;
		tell_packet(skb, f, d, s, l->epoch);
	}
	if (old)
		count_reason(ZT_BPF_R_REVOKED, skb->len);
	return 0;
}

static __always_inline int judge_established(struct __sk_buff *skb, const struct live *l, struct zt_bpf_sock *s,
					     struct zt_bpf_flow *f)
{
	struct zt_bpf_decision d = {};

	if (!(s->flags & ZT_BPF_ACTIVE)) { /* the other side began: the question was the mirror image */
		turn_around(f);
		f->dir = ZT_BPF_INGRESS;
		f->to = f->from;
		f->from = 0;
		f->owned = 0;
	} else if (f->lo && l->cfg->flags & ZT_BPF_HAS_TO) {
		f->to = LABEL(receiver_of_packet(skb, f, l->epoch));
	}
	if (!judge_question(skb, l, s, f, &d, 1))
		return 0;
	s->judged = l->epoch;
	return 1;
}

/* An answer that the policy does not allow by itself, to a question of an earlier epoch or of another process. */
static __always_inline int judge_answer(struct __sk_buff *skb, const struct live *l, struct zt_bpf_sock *s,
					struct zt_bpf_flow *f, struct zt_bpf_decision *d, __u32 began, int answer)
{
	question_of(skb, f, s, began, l->epoch);
	return judge_question(skb, l, s, f, d, answer == OLD_ANSWER);
}

/* May an answer go without being judged again? */
static __always_inline int goes_along(const struct live *l, int answer)
{
	return answer == ANSWER || (answer == OLD_ANSWER && l->cfg->flags & ZT_BPF_KEEP_ESTABLISHED);
}

static __always_inline void note_sent(const struct live *l, const struct zt_bpf_flow *f)
{
	if (f->proto == 6)
		return;
	if (f->lo)
		flow_note(f, l->cfg->netns, 1, ZT_BPF_INGRESS, l->epoch);
	else
		flow_note(f, l->cfg->netns, 0, ZT_BPF_EGRESS, l->epoch);
}

static __always_inline int pass_by(const struct live *l, __u32 rule, __u32 bytes)
{
	if (rule != ZT_BPF_NO_RULE)
		count_rule(l->cfg, l->slot, rule, bytes);
	return 1;
}

static __always_inline int judge_egress(struct __sk_buff *skb, const struct live *l, struct zt_bpf_sock *s,
					struct zt_bpf_flow *f, int answering)
{
	struct zt_bpf_decision d = {};
	struct answer a = {};
	int known = s && remembered(s, l->epoch, f, &a), answer;

	if (known && (a.how & ZT_BPF_A_LASTING || ticket_take(s))) {
		f->to = a.to;
		note_sent(l, f);
		noted(s, l->epoch, f);
		return pass_by(l, a.rule, skb->len);
	}
	answer = answering ? answers(f, l->cfg->netns, 0, ZT_BPF_INGRESS, l->epoch) : 0;
	if (goes_along(l, answer))
		return pass(ZT_BPF_R_ESTABLISHED, skb->len);
	if (f->lo && l->cfg->flags & ZT_BPF_HAS_TO)
		f->to = LABEL(receiver_of_packet(skb, f, l->epoch));
	if (known && !(a.how & ZT_BPF_A_TIMED) && a.to == f->to) {
		note_sent(l, f);
		return pass_by(l, a.rule, skb->len);
	}
	decide(f, &d, l->epoch);
	if (answer && blocks(&d))
		return judge_answer(skb, l, s, f, &d, ZT_BPF_INGRESS, answer);
	if (account(f, &d, l->epoch, skb->len))
		tell_packet(skb, f, &d, s, l->epoch);
	if (blocks(&d))
		return 0;
	note_sent(l, f);
	return 1;
}

/* Packets that the kernel sends by itself on behalf of nobody: resets, ICMP errors, echo replies. */
static __always_inline int kernels_own(const struct packet *p)
{
	return (p->f.proto == 6 && p->tcp_flags & TCP_RST) || icmp_error(p) || echo_reply(p);
}

/* ---- the common case: a packet without options, of a socket that is known, about which there is nothing new to decide ---- */
static __always_inline const __u8 *plain4(struct __sk_buff *skb, __u32 len)
{
	const __u8 *at = (void *)(long)skb->data;

	return skb->protocol == bpf_htons(0x0800) && at + len <= (__u8 *)(long)skb->data_end && at[0] == 0x45 &&
			       !((at[6] & 0x3f) | at[7])
		       ? at
		       : 0;
}

static __always_inline const __u8 *plain6(struct __sk_buff *skb, __u32 len)
{
	const __u8 *at = (void *)(long)skb->data;

	return skb->protocol == bpf_htons(0x86dd) && at + len <= (__u8 *)(long)skb->data_end && at[0] >> 4 == 6 ? at
														: 0;
}

/* TCP, and not the first packet of a connection. */
static __always_inline int goes_on(struct __sk_buff *skb)
{
	const __u8 *at = plain4(skb, 40);

	if (at)
		return at[9] == 6 && (at[33] & (TCP_SYN | TCP_ACK)) != TCP_SYN;
	at = plain6(skb, 60);
	return at && at[6] == 6 && (at[53] & (TCP_SYN | TCP_ACK)) != TCP_SYN;
}

static __always_inline void plain_ends(struct zt_bpf_flow *f, const __u8 *upper)
{
	__be16 ports[2];

	__builtin_memcpy(ports, upper, sizeof(ports));
	f->sport = bpf_ntohs(ports[0]);
	f->port = bpf_ntohs(ports[1]);
}

static __always_inline int plain_flow(struct __sk_buff *skb, struct zt_bpf_flow *f)
{
	const __u8 *at = plain4(skb, 28);

	if (at) {
		f->proto = at[9];
		__builtin_memcpy(f->src, at + 12, 4);
		__builtin_memcpy(f->dst, at + 16, 4);
		plain_ends(f, at + 20);
		return f->proto == 6 || f->proto == 17;
	}
	at = plain6(skb, 48);
	if (!at)
		return 0;
	f->six = 1;
	f->proto = at[6];
	__builtin_memcpy(f->src, at + 8, 16);
	__builtin_memcpy(f->dst, at + 24, 16);
	plain_ends(f, at + 40);
	return f->proto == 6 || f->proto == 17;
}

/* 1: it may go. 0: it has to be looked at more closely. */
static __noinline int quick_egress(struct __sk_buff *skb, const struct live *l, struct zt_bpf_sock *s, int stream)
{
	const struct zt_bpf_allowed *a;
	struct zt_bpf_flow f = {};
	__u32 seq, rule, how;
	int fresh;

	if (!l || !s)
		return 0;
	a = &s->allowed;
	seq = *(volatile __u32 *)&s->seq;

	if (stream && goes_on(skb))
		return l->cfg->flags & ZT_BPF_KEEP_ESTABLISHED || s->judged == l->epoch
			       ? pass(ZT_BPF_R_ESTABLISHED, skb->len)
			       : 0;
	if (seq & 1 || a->epoch != l->epoch || !plain_flow(skb, &f) || !same_place(a, f.dst) ||
	    a->port != port_word(f.port, f.proto, f.six, skb->ifindex == LO_IFINDEX))
		return 0;
	rule = a->rule;
	how = a->how;
	fresh = f.proto == 6 ||
		(a->noted && same_source(a, f.src, f.sport) && bpf_ktime_get_coarse_ns() - a->noted < NOTE_AGAIN);
	if (!seq_same(s, seq) || !fresh || (!(how & ZT_BPF_A_LASTING) && !ticket_take(s)))
		return 0;
	return pass_by(l, rule, skb->len);
}

/* What both directions begin with: 0 deny, 1 go on. */
static __always_inline int packet_enter(struct __sk_buff *skb, struct live *l, struct zt_bpf_sock **ret,
					int *ret_stream, int *ret_part)
{
	struct bpf_sock *full = skb->sk ? bpf_sk_fullsock(skb->sk) : 0;

	if (live_get(l) < 0) {
		count_reason(ZT_BPF_R_NO_CONFIG, skb->len);
		return 0;
	}
	if (full) {
		*ret_stream = full->type == 1 && full->protocol == 6;
		*ret = bpf_sk_storage_get(&socks, full, 0, 0);
	} else if (skb->sk) {
		*ret_stream = *ret_part = 1; /* of a connection that is being accepted, or has ended */
	}
	return 1;
}

/* Of another network namespace? */
static __always_inline int foreign(struct __sk_buff *skb, const struct live *l, const struct zt_bpf_sock *s)
{
	struct bpf_sock *sk = skb->sk;

	return !s && sk && netns_of(sk) != l->cfg->netns;
}

SEC("cgroup_skb/egress")
int zt_egress(struct __sk_buff *skb)
{
	struct zt_bpf_sock *s = 0;
	int stream = 0, part = 0;
	struct packet p = {};
	struct live l;

	if (!packet_enter(skb, &l, &s, &stream, &part))
		return 0;
	if (s ? quick_egress(skb, &l, s, stream) : part && goes_on(skb))
		return 1;
	if (foreign(skb, &l, s))
		return 1;
	p.f.lo = skb->ifindex == LO_IFINDEX;
	/* A rule about localhost means this host. A socket that is bound to another device sends there what it sends to 127.0.0.1. */
	if (parse(skb, &p) || (!p.f.lo && is_loopback(&p.f))) {
		count_reason(ZT_BPF_R_UNREADABLE, skb->len);
		return 0;
	}
	p.f.to = 1;
	p.f.src_known = 1;
	if (stream && p.f.proto == 6 && (p.tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN) {
		if (!s || l.cfg->flags & ZT_BPF_KEEP_ESTABLISHED || s->judged == l.epoch)
			return pass(ZT_BPF_R_ESTABLISHED, skb->len);
		who_is(l.epoch, s, &p.f);
		return judge_established(skb, &l, s, &p.f) ? 1 : 0;
	}
	if (essential(&p))
		return pass(ZT_BPF_R_ESSENTIAL, skb->len);
	if (!s && kernels_own(&p))
		return pass(ZT_BPF_R_RELATED, skb->len);
	if (s)
		who_is(l.epoch, s, &p.f);
	return judge_egress(skb, &l, s, &p.f, may_answer(&p)) ? 1 : 0;
}

/* A datagram on lo that goes to all who have the port: the sender's side asked about one of them. */
static __always_inline int to_many(struct __sk_buff *skb)
{
	const __u8 *at = plain4(skb, 28);

	if (at)
		return at[9] == 17 &&
		       (at[16] >= 224 || (at[16] == 127 && at[17] == 255 && at[18] == 255 && at[19] == 255));
	at = plain6(skb, 48);
	return at && at[24] == 0xff;
}

/* Each of them is judged as if it had been asked alone: p as an answer of s would be. */
static __always_inline int judge_one_of_many(struct __sk_buff *skb, const struct live *l, struct zt_bpf_sock *s,
					     struct packet *p)
{
	struct zt_bpf_decision d = {};

	if (parse(skb, p)) {
		count_reason(ZT_BPF_R_UNREADABLE, skb->len);
		return 0;
	}
	who_is(l->epoch, s, &p->f);
	p->f.lo = p->f.src_known = 1;
	turn_around(&p->f);
	return judge_answer(skb, l, s, &p->f, &d, ZT_BPF_INGRESS, OTHERS_ANSWER);
}

SEC("cgroup_skb/ingress")
int zt_ingress(struct __sk_buff *skb)
{
	struct zt_bpf_decision d = {};
	struct zt_bpf_sock *s = 0;
	int stream = 0, part = 0, answer;
	struct packet p = {};
	struct live l;

	if (!packet_enter(skb, &l, &s, &stream, &part))
		return 0;
	if (skb->ifindex == LO_IFINDEX) { /* judged at the sender */
		if (s && l.cfg->flags & ZT_BPF_HAS_TO && to_many(skb))
			return judge_one_of_many(skb, &l, s, &p) ? 1 : 0;
		return s ? pass(ZT_BPF_R_LOOPBACK, skb->len) : 1;
	}
	if (stream && goes_on(skb))
		return s ? pass(ZT_BPF_R_ESTABLISHED, skb->len) : 1;
	if (foreign(skb, &l, s))
		return 1;
	if (parse(skb, &p)) {
		count_reason(ZT_BPF_R_UNREADABLE, skb->len);
		return 0;
	}
	if (essential(&p))
		return pass(ZT_BPF_R_ESSENTIAL, skb->len);
	if (icmp_error(&p) && known_error(skb, p.at, p.f.six, l.cfg->netns))
		return pass(ZT_BPF_R_RELATED, skb->len);
	if (p.f.proto == 6 && (p.tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return pass(ZT_BPF_R_ESTABLISHED, skb->len);
	if (s) /* the receiver */
		who_is(l.epoch, s, &p.f);
	answer = may_answer(&p) ? answers(&p.f, l.cfg->netns, 1, ZT_BPF_EGRESS, l.epoch) : 0;
	p.f.to = p.f.from;
	p.f.from = p.f.uid = p.f.gid = p.f.cgroup = 0;
	p.f.owned = 0;
	p.f.dir = ZT_BPF_INGRESS;
	p.f.src_known = 1;
	if (goes_along(&l, answer))
		return pass(ZT_BPF_R_ESTABLISHED, skb->len);
	decide(&p.f, &d, l.epoch);
	if (answer && blocks(&d))
		return judge_answer(skb, &l, s, &p.f, &d, ZT_BPF_EGRESS, answer) ? 1 : 0;
	if (account(&p.f, &d, l.epoch, skb->len))
		tell_packet(skb, &p.f, &d, s, l.epoch);
	if (blocks(&d))
		return 0;
	if (p.f.proto != 6)
		flow_note(&p.f, l.cfg->netns, 1, ZT_BPF_INGRESS, l.epoch);
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
