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

#include "identity.bpf.h"

#define ECONNREFUSED 111
#define EPERM 1
#define SEC_NS 1000000000ull
#define UDP_TIMEOUT (30 * SEC_NS) /* like connection tracking: unanswered, answered */
#define UDP_STREAM (120 * SEC_NS)
#define LO_IFINDEX 1

/* ---- look-ups of the decision ---- */
struct look {
	__u32 slot;
};
#define ZT_CTX struct look
#define zt_inline static __always_inline

static __always_inline const struct zt_bpf_entry *zt_look_entry(ZT_CTX *c, const struct zt_bpf_key *k)
{
	void *inner = bpf_map_lookup_elem(&entries, &c->slot);

	return inner ? bpf_map_lookup_elem(inner, k) : 0;
}

static __always_inline zt_u32 zt_look_class(ZT_CTX *c, const struct zt_bpf_lpm *k)
{
	return lpm_of(c->slot, k);
}

static __always_inline zt_u32 zt_look_port(ZT_CTX *c, zt_u16 port)
{
	void *inner = bpf_map_lookup_elem(&ports, &c->slot);
	__u32 zero = 0;
	struct ports_value *v = inner ? bpf_map_lookup_elem(inner, &zero) : 0;

	return v ? v->class[port] : 0;
}

static __always_inline zt_u64 zt_look_time(ZT_CTX *c)
{
	struct zt_bpf_config *cfg = bpf_map_lookup_elem(&config, &c->slot);

	return bpf_ktime_get_tai_ns() / SEC_NS - (cfg ? cfg->tai_offset : 0);
}

#include "decide.h"
#include "packet.bpf.h"

static long decide_step(__u32 i, void *arg)
{
	return zt_decide_shape(i, arg);
}

/* ---- the live configuration ---- */
struct live {
	struct zt_bpf_config *cfg;
	__u32 epoch, slot;
};

static __always_inline int live_get(struct live *l)
{
	__u32 zero = 0, *e = bpf_map_lookup_elem(&epoch, &zero);

	if (!e)
		return -1;
	l->epoch = *e;
	l->slot = l->epoch & 1;
	l->cfg = bpf_map_lookup_elem(&config, &l->slot);
	return l->cfg && l->cfg->epoch == l->epoch ? 0 : -1;
}

static __always_inline struct zt_bpf_config *config_of(__u32 slot)
{
	slot &= 1;
	return bpf_map_lookup_elem(&config, &slot);
}

/* ---- counting and telling ---- */
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

/* -1: too many at the moment. */
static __always_inline int event_allowed(const struct zt_bpf_config *cfg, __u64 now, __u32 *ret_suppressed)
{
	__u32 zero = 0;
	struct zt_bpf_limit *m = bpf_map_lookup_elem(&limit, &zero);

	if (!m)
		return -1;
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

#ifndef ZT_NO_PROCESS
static __always_inline void tell_process(struct zt_bpf_event *e)
{
	e->pid = bpf_get_current_pid_tgid() >> 32;
	e->cgroup = bpf_get_current_cgroup_id();
	bpf_get_current_comm(e->comm, sizeof(e->comm));
}
#endif

static __always_inline void tell(const struct zt_bpf_config *cfg, const struct zt_bpf_flow *f,
				 const struct zt_bpf_decision *d, int process)
{
	__u64 now = bpf_ktime_get_boot_ns();
	__u32 suppressed = 0;
	struct zt_bpf_event *e;

	if (event_allowed(cfg, now, &suppressed) < 0)
		return;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_reason(ZT_BPF_R_LOST, 0);
		return;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->time = now;
	e->generation = cfg->generation;
	e->rule = d->rule;
	e->uid = f->uid;
	e->gid = f->gid;
	e->owned = f->owned;
	e->from = f->from;
	e->to = f->to;
	e->port = f->port;
	e->sport = f->sport;
	e->verdict = d->verdict;
	e->dir = f->dir;
	e->proto = f->proto;
	e->family = f->six ? 6 : 4;
	e->suppressed = suppressed;
	__builtin_memcpy(e->src, f->src, 16);
	__builtin_memcpy(e->dst, f->dst, 16);
	if (process)
		tell_process(e);
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	count_reason(ZT_BPF_R_LOGGED, 0);
}

/* ---- the decision. Global functions are verified by themselves, once, whatever the callers do ---- */
__noinline int classify(const struct zt_bpf_flow *f, struct zt_bpf_key *k, __u32 slot, __u32 kinds)
{
	struct look look = {.slot = slot & 1};

	if (f && k)
		zt_flow_classed(&look, kinds, f, k);
	return 0;
}

__noinline int decide(const struct zt_bpf_flow *f, struct zt_bpf_decision *ret, __u32 slot)
{
	struct zt_bpf_config *cfg = config_of(slot);
	struct look look = {.slot = slot & 1};
	struct zt_decide d;
	__u32 kinds;

	if (!f || !ret)
		return 0;
	*ret = (struct zt_bpf_decision){.rule = ZT_BPF_NO_RULE, .verdict = ZT_BPF_DROP, .reason = ZT_BPF_R_NO_CONFIG};
	if (!cfg || zt_decide_early(cfg, f, ret))
		return 0;
	kinds = zt_decide_begin(&d, &look, cfg, f);
	if (kinds)
		classify(f, &d.classed, slot, kinds);
	bpf_loop(ZT_BPF_SHAPES, decide_step, &d, 0);
	zt_decide_end(&d, f, ret);
	return 0;
}

static __always_inline int blocks(const struct zt_bpf_decision *d)
{
	return d->verdict == ZT_BPF_DROP || d->verdict == ZT_BPF_REJECT;
}

static __always_inline void account(const struct zt_bpf_flow *f, const struct zt_bpf_decision *d, __u32 slot,
				    __u32 bytes, int process)
{
	struct zt_bpf_config *cfg = config_of(slot);

	if (!cfg)
		return;
	if (d->rule != ZT_BPF_NO_RULE)
		count_rule(cfg, slot & 1, d->rule, bytes);
	else if (blocks(d) || d->reason < ZT_BPF_R_DEFAULT_EGRESS)
		count_reason(d->reason & (ZT_BPF_REASONS - 1), bytes);
	if (blocks(d) && f->from == 0 && f->dir == ZT_BPF_EGRESS)
		count_reason(ZT_BPF_R_UNKNOWN, bytes);
	if (d->flags & ZT_BPF_LOG && (d->rule != ZT_BPF_NO_RULE || d->verdict != ZT_BPF_ALLOW))
		tell(cfg, f, d, process);
}

__noinline int account_call(const struct zt_bpf_flow *f, const struct zt_bpf_decision *d, __u32 slot, __u32 bytes)
{
	if (f && d)
		account(f, d, slot, bytes, 1);
	return 0;
}

__noinline int account_packet(const struct zt_bpf_flow *f, const struct zt_bpf_decision *d, __u32 slot, __u32 bytes)
{
	if (f && d)
		account(f, d, slot, bytes, 0);
	return 0;
}

/* ---- sockets ---- */
static __always_inline void who_is(__u32 live_epoch, const struct zt_bpf_sock *s, struct zt_bpf_flow *f)
{
	__u32 slot = live_epoch & 1;

	f->owned = 1;
	f->uid = s->uid;
	f->gid = s->gid;
	if (s->epoch[slot] == live_epoch) {
		f->from = s->who[slot].label;
		f->cgroup = s->who[slot].cgroup;
	}
}

static __always_inline int is_loopback(const struct zt_bpf_flow *f)
{
	__u32 w[4];

	__builtin_memcpy(w, f->dst, 16);
	return f->six ? !w[0] && !w[1] && !w[2] && w[3] == bpf_htonl(1) : f->dst[0] == 127;
}

static __always_inline int is_any(const __u8 *a)
{
	__u64 w[2];

	__builtin_memcpy(w, a, 16);
	return !(w[0] | w[1]);
}

#define FOUND 0x80000000u
/* The label of who receives, with FOUND when there is somebody; ZT_LABEL_NONE when there is nobody. */
#define RECEIVER(ctx, f, live_epoch)                                                              \
	struct bpf_sock_tuple t = {};                                                             \
	struct zt_bpf_sock *s;                                                                    \
	struct bpf_sock *sk;                                                                      \
	__u32 label = 0, len = f->six ? sizeof(t.ipv6) : sizeof(t.ipv4);                          \
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
	if (f->proto == 6)                                                                        \
		sk = f->six ? bpf_sk_lookup_tcp(ctx, &t, sizeof(t.ipv6), BPF_F_CURRENT_NETNS, 0)  \
			    : bpf_sk_lookup_tcp(ctx, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0); \
	else if (f->proto == 17)                                                                  \
		sk = f->six ? bpf_sk_lookup_udp(ctx, &t, sizeof(t.ipv6), BPF_F_CURRENT_NETNS, 0)  \
			    : bpf_sk_lookup_udp(ctx, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0); \
	else                                                                                      \
		return 1;                                                                         \
	(void)len;                                                                                \
	if (!sk)                                                                                  \
		return 1;                                                                         \
	s = bpf_sk_storage_get(&socks, sk, 0, 0);                                                 \
	if (s && s->epoch[live_epoch & 1] == live_epoch)                                          \
		label = s->who[live_epoch & 1].label;                                             \
	bpf_sk_release(sk);                                                                       \
	return label | FOUND

__noinline int receiver_of_call(struct bpf_sock_addr *ctx, const struct zt_bpf_flow *f, __u32 live_epoch)
{
	if (!f)
		return 1;
	RECEIVER(ctx, f, live_epoch);
}

__noinline int receiver_of_packet(struct __sk_buff *ctx, const struct zt_bpf_flow *f, __u32 live_epoch)
{
	if (!f)
		return 1;
	RECEIVER(ctx, f, live_epoch);
}

/* ---- what was allowed last ---- */
static __always_inline __u32 port_word(const struct zt_bpf_flow *f)
{
	return f->port | (__u32)f->proto << 16 | (__u32)(f->six ? 6 : 4) << 24;
}

static __always_inline void remember(struct zt_bpf_sock *s, __u32 live_epoch, const struct zt_bpf_flow *f, __u32 rule)
{
	__u32 seq = s->seq;

	if (seq & 1 || __sync_val_compare_and_swap(&s->seq, seq, seq + 1) != seq)
		return; /* another thread is at it */
	s->rule = rule;
	s->port = port_word(f);
	__builtin_memcpy(s->dst, f->dst, 16);
	s->epoch_allowed = live_epoch;
	__sync_fetch_and_add(&s->seq, 1);
}

static __always_inline int remembered(struct zt_bpf_sock *s, __u32 live_epoch, const struct zt_bpf_flow *f,
				      __u32 *ret_rule)
{
	__u64 a[2], b[2];
	__u32 seq = *(volatile __u32 *)&s->seq;

	if (seq & 1 || s->epoch_allowed != live_epoch || s->port != port_word(f))
		return 0;
	__builtin_memcpy(a, s->dst, 16);
	__builtin_memcpy(b, f->dst, 16);
	*ret_rule = s->rule;
	return a[0] == b[0] && a[1] == b[1] && __sync_fetch_and_add(&s->seq, 0) == seq;
}

/* ---- flows that may be answered ---- */
static __always_inline void flow_key(struct zt_bpf_flow_key *k, const struct zt_bpf_flow *f, __u64 netns,
				     int remote_is_src, __u32 dir)
{
	*k = (struct zt_bpf_flow_key){.proto = f->proto, .family = f->six ? 6 : 4, .dir = dir, .netns = netns};
	if (remote_is_src)
		__builtin_memcpy(k->remote, f->src, 16);
	else
		__builtin_memcpy(k->remote, f->dst, 16);
	k->local_port = f->sport; /* the echo id where there are no ports */
	if (has_ports(f->proto)) {
		k->local_port = remote_is_src ? f->port : f->sport;
		k->remote_port = remote_is_src ? f->sport : f->port;
	}
}

__noinline int flow_note(const struct zt_bpf_flow *f, __u64 netns, int remote_is_src, __u32 dir, __u32 live_epoch)
{
	struct zt_bpf_flow_seen v = {.last = bpf_ktime_get_boot_ns(), .epoch = live_epoch};
	struct zt_bpf_flow_seen *old;
	struct zt_bpf_flow_key k;

	if (!f)
		return 0;
	flow_key(&k, f, netns, remote_is_src, dir);
	old = bpf_map_lookup_elem(&flows, &k);
	if (old) {
		old->last = v.last;
		return 0;
	}
	v.label = f->from;
	if (remote_is_src)
		__builtin_memcpy(v.local, f->dst, 16);
	else
		__builtin_memcpy(v.local, f->src, 16);
	bpf_map_update_elem(&flows, &k, &v, BPF_ANY); /* no room: answers are denied */
	return 0;
}

/* Does f answer a flow that the other side began? */
__noinline int answers(const struct zt_bpf_flow *f, __u64 netns, int remote_is_src, __u32 dir)
{
	struct zt_bpf_flow_seen *v;
	struct zt_bpf_flow_key k;
	__u64 now;

	if (!f)
		return 0;
	flow_key(&k, f, netns, remote_is_src, dir);
	v = bpf_map_lookup_elem(&flows, &k);
	if (!v)
		return 0;
	now = bpf_ktime_get_boot_ns();
	if (now - v->last > (v->answered ? UDP_STREAM : UDP_TIMEOUT))
		return 0;
	v->last = now;
	v->answered = 1;
	return 1;
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
 * (a port changes hands), not the time. A connection begins with one packet, which follows at once. */
static __always_inline int lasting(__u32 flags, const struct zt_bpf_flow *f)
{
	return f->proto == 6 || !(flags & ZT_BPF_HAS_GUARDS || (flags & ZT_BPF_HAS_TO && f->lo));
}

/* 1 go on, 0 refuse. Where the outcome depends on what is not known here (own address, source), egress decides. */
static __always_inline int judge_early(struct bpf_sock_addr *ctx, const struct live *l, struct zt_bpf_flow *f,
				       struct zt_bpf_sock *s)
{
	struct zt_bpf_decision d = {};
	__u32 flags = l->cfg->flags, to = 1, certain;

	source_of(ctx, f);
	certain = f->src_known || !(flags & (f->six ? ZT_BPF_SRC_MATTERS6 : ZT_BPF_SRC_MATTERS4));
	if (!f->lo && l->cfg->loopback != ZT_BPF_LO_ENFORCE)
		certain = 0;
	if (flags & ZT_BPF_HAS_TO)
		to = receiver_of_call(ctx, f, l->epoch);
	f->to = f->lo ? to & ~FOUND : 1;
	decide(f, &d, l->epoch);
	if (!blocks(&d)) {
		if (certain && (f->lo || !(to & FOUND)) && !(d.flags & ZT_BPF_LOG) && lasting(flags, f))
			remember(s, l->epoch, f, d.rule);
		else
			s->epoch_allowed = 0;
		return 1;
	}
	s->epoch_allowed = 0;
	if (!certain || (to & FOUND && !f->lo) ||
	    (f->proto != 6 && f->sport && answers(f, l->cfg->netns, 0, ZT_BPF_INGRESS)))
		return 1;
	account_call(f, &d, l->epoch, 0);
	if (d.verdict == ZT_BPF_REJECT)
		bpf_set_retval(-ECONNREFUSED);
	return 0;
}

/* Stamps as global functions: who is current. */
__noinline int stamp_current(struct zt_bpf_sock *s)
{
	return s ? stamp(s, bpf_get_current_task_btf(), 0) : -1;
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

/* A packet of a TCP connection that exists already, after the policy changed. */
static __always_inline int judge_established(struct __sk_buff *skb, const struct live *l, struct zt_bpf_sock *s,
					     struct zt_bpf_flow *f)
{
	struct zt_bpf_decision d = {};

	if (!(s->flags & ZT_BPF_ACTIVE)) { /* the other side began: the question was the mirror image */
		__u64 a[2];
		__u16 port = f->port;

		__builtin_memcpy(a, f->src, 16);
		__builtin_memcpy(f->src, f->dst, 16);
		__builtin_memcpy(f->dst, a, 16);
		f->port = f->sport;
		f->sport = port;
		f->dir = ZT_BPF_INGRESS;
		f->to = f->from;
		f->from = 0;
		f->owned = 0;
	} else if (f->lo && l->cfg->flags & ZT_BPF_HAS_TO) {
		f->to = receiver_of_packet(skb, f, l->epoch) & ~FOUND;
	}
	decide(f, &d, l->epoch);
	if (blocks(&d)) {
		account_packet(f, &d, l->epoch, skb->len);
		count_reason(ZT_BPF_R_REVOKED, skb->len);
		return 0;
	}
	s->judged = l->epoch;
	return pass(ZT_BPF_R_ESTABLISHED, skb->len);
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

static __always_inline int judge_egress(struct __sk_buff *skb, const struct live *l, struct zt_bpf_sock *s,
					struct zt_bpf_flow *f)
{
	struct zt_bpf_decision d = {};
	__u32 rule = ZT_BPF_NO_RULE;

	if (s && remembered(s, l->epoch, f, &rule)) {
		if (rule != ZT_BPF_NO_RULE)
			count_rule(l->cfg, l->slot, rule, skb->len);
		note_sent(l, f);
		return 1;
	}
	if (f->proto != 6 && answers(f, l->cfg->netns, 0, ZT_BPF_INGRESS))
		return pass(ZT_BPF_R_ESTABLISHED, skb->len);
	if (f->lo && l->cfg->flags & ZT_BPF_HAS_TO)
		f->to = receiver_of_packet(skb, f, l->epoch) & ~FOUND;
	decide(f, &d, l->epoch);
	account_packet(f, &d, l->epoch, skb->len);
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

/* What both directions begin with: -1 not ours, 0 deny, 1 go on. */
static __always_inline int packet_enter(struct __sk_buff *skb, struct live *l, struct zt_bpf_sock **ret,
					int *ret_stream)
{
	struct bpf_sock *sk = skb->sk;

	if (live_get(l) < 0) {
		count_reason(ZT_BPF_R_NO_CONFIG, skb->len);
		return 0;
	}
	if (sk) {
		struct bpf_sock *full = bpf_sk_fullsock(sk);

		if (full) {
			*ret_stream = full->type == 1 && full->protocol == 6;
			*ret = bpf_sk_storage_get(&socks, full, 0, 0);
		} else {
			*ret_stream = 1; /* a connection that is being accepted, or ended */
		}
		if (!*ret && netns_of(sk) != l->cfg->netns)
			return -1;
	}
	return 1;
}

SEC("cgroup_skb/egress")
int zt_egress(struct __sk_buff *skb)
{
	struct packet p = {};
	struct zt_bpf_sock *s = 0;
	int stream = 0, r;
	struct live l;

	r = packet_enter(skb, &l, &s, &stream);
	if (r <= 0)
		return r ? 1 : 0;
	if (parse(skb, &p)) {
		count_reason(ZT_BPF_R_UNREADABLE, skb->len);
		return 0;
	}
	p.f.to = 1;
	p.f.src_known = 1;
	p.f.lo = skb->ifindex == LO_IFINDEX;
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
	return judge_egress(skb, &l, s, &p.f) ? 1 : 0;
}

SEC("cgroup_skb/ingress")
int zt_ingress(struct __sk_buff *skb)
{
	struct zt_bpf_decision d = {};
	struct packet p = {};
	struct zt_bpf_sock *s = 0;
	int stream = 0, r;
	struct live l;

	r = packet_enter(skb, &l, &s, &stream);
	if (r <= 0)
		return r ? 1 : 0;
	if (skb->ifindex == LO_IFINDEX) /* judged at the sender */
		return pass(ZT_BPF_R_LOOPBACK, skb->len);
	if (parse(skb, &p)) {
		count_reason(ZT_BPF_R_UNREADABLE, skb->len);
		return 0;
	}
	if (essential(&p))
		return pass(ZT_BPF_R_ESSENTIAL, skb->len);
	if (icmp_error(&p))
		return pass(ZT_BPF_R_RELATED, skb->len);
	if (p.f.proto == 6 && (p.tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return pass(ZT_BPF_R_ESTABLISHED, skb->len);
	if (s) /* the receiver */
		who_is(l.epoch, s, &p.f);
	p.f.to = p.f.from;
	p.f.from = p.f.uid = p.f.gid = p.f.cgroup = 0;
	p.f.owned = 0;
	p.f.dir = ZT_BPF_INGRESS;
	p.f.src_known = 1;
	if (p.f.proto != 6 && answers(&p.f, l.cfg->netns, 1, ZT_BPF_EGRESS))
		return pass(ZT_BPF_R_ESTABLISHED, skb->len);
	decide(&p.f, &d, l.epoch);
	account_packet(&p.f, &d, l.epoch, skb->len);
	if (blocks(&d))
		return 0;
	if (p.f.proto != 6)
		flow_note(&p.f, l.cfg->netns, 1, ZT_BPF_INGRESS, l.epoch);
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
