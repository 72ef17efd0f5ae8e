/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decision: one function for both compilers. In the kernel the look-ups are map look-ups; in user space (tests, proofs, why) they go
 * to the lowered contents or to maps that were read back, so that what is proved is the code that decides.
 *
 * With ZT_FLOW_ONLY only question and answer are defined. Else the includer defines before:
 *   ZT_CTX                                 type of what the look-ups need
 *   const struct zt_bpf_entry *zt_look_entry(ZT_CTX *c, const struct zt_bpf_key *k)
 *   zt_u32 zt_look_class(ZT_CTX *c, const struct zt_bpf_lpm *k)      0 when there is none
 *   zt_u32 zt_look_port(ZT_CTX *c, zt_u16 port)
 *   zt_u64 zt_look_time(ZT_CTX *c)         seconds since the epoch
 *
 * Cost: one hash look-up a shape until no shape can beat what was found; it does not depend on the number of rules.
 */
#include "abi.h"

#ifndef zt_inline
#define zt_inline static inline __attribute__((always_inline))
#endif

#ifndef ZT_BPF_FLOW_DEFINED
#define ZT_BPF_FLOW_DEFINED
struct zt_bpf_flow { /* a question; IPv4-mapped addresses are IPv4 here */
	zt_u8 src[16], dst[16];
	zt_u32 uid, gid, from, to, cgroup;
	zt_u16 port, sport; /* host order; port: destination, 0 where the protocol has none */
	zt_u8 dir, six, proto;
	zt_u8 owned, src_known, lo; /* lo: leaves through lo, or came from there */
	zt_u8 pad[2];
};

struct zt_bpf_decision {
	zt_u32 seq; /* of the rule, 0xffffffff: none */
	zt_u32 rule;
	zt_u32 verdict, flags;
	zt_u32 reason; /* with no rule */
};
#endif

#if !defined(ZT_FLOW_ONLY) && !defined(ZT_BPF_DECIDE_DEFINED)
#define ZT_BPF_DECIDE_DEFINED
struct zt_decide { /* state of the loop over shapes */
	const struct zt_bpf_config *cfg;
	ZT_CTX *ctx;
	struct zt_bpf_key exact, classed;
	struct zt_bpf_decision best;
	zt_u32 base, n;
	zt_u64 now;
};

zt_inline void zt_lpm_number(struct zt_bpf_lpm *k, zt_u32 kind, zt_u32 v)
{
	*k = (struct zt_bpf_lpm){.prefix = ZT_BPF_LPM_BITS(32), .kind = __builtin_bswap32(kind)};
	k->data[0] = v >> 24;
	k->data[1] = v >> 16;
	k->data[2] = v >> 8;
	k->data[3] = v;
}

zt_inline zt_u32 zt_class_addr(ZT_CTX *c, zt_u32 kind, const zt_u8 *a)
{
	struct zt_bpf_lpm k = {.kind = __builtin_bswap32(kind)};

	k.prefix = ZT_BPF_LPM_BITS(kind == ZT_BPF_SRC4 || kind == ZT_BPF_DST4 ? 32 : 128);
	__builtin_memcpy(k.data, a, 16);
	return zt_look_class(c, &k);
}

zt_inline zt_u32 zt_class_number(ZT_CTX *c, zt_u32 kind, zt_u32 v)
{
	struct zt_bpf_lpm k;

	zt_lpm_number(&k, kind, v);
	return zt_look_class(c, &k);
}

zt_inline void zt_flow_exact(const struct zt_bpf_flow *f, struct zt_bpf_key *k)
{
	k->w[0] = (zt_u64)f->from << 32;
	k->w[1] = f->to | (zt_u64)f->cgroup << 32;
	k->w[2] = f->uid | (zt_u64)f->gid << 32;
	__builtin_memcpy(&k->w[3], f->src, 16);
	__builtin_memcpy(&k->w[5], f->dst, 16);
	k->w[7] = f->port | (zt_u64)f->proto << 16 | (f->owned ? ZT_BPF_OWNED : 0);
}

/* Class 0 is "none of the ranges"; entries never have it, so a miss matches nothing. */
zt_inline void zt_flow_classed(ZT_CTX *c, zt_u32 kinds, const struct zt_bpf_flow *f, struct zt_bpf_key *k)
{
	if (kinds & ZT_BPF_WANT_UID)
		k->w[2] |= zt_class_number(c, ZT_BPF_UID, f->uid);
	if (kinds & ZT_BPF_WANT_GID)
		k->w[2] |= (zt_u64)zt_class_number(c, ZT_BPF_GID, f->gid) << 32;
	if (kinds & ZT_BPF_WANT_SRC && f->src_known)
		k->w[3] = zt_class_addr(c, f->six ? ZT_BPF_SRC6 : ZT_BPF_SRC4, f->src);
	if (kinds & ZT_BPF_WANT_DST)
		k->w[5] = zt_class_addr(c, f->six ? ZT_BPF_DST6 : ZT_BPF_DST4, f->dst);
	if (kinds & ZT_BPF_WANT_PORT)
		k->w[7] = zt_look_port(c, f->port);
}

zt_inline int zt_guard_open(const struct zt_bpf_config *cfg, zt_u32 guard, zt_u64 now)
{
	const struct zt_bpf_guard *g = &cfg->guards[guard & (ZT_BPF_GUARDS - 1)];
	zt_u32 second = (now + 3 * 86400) % 604800; /* 1970-01-01 was a Thursday */
	zt_u64 open = g->n_windows == 0;

	if (g->expires && now >= g->expires)
		return 0;
		/* Without branches, of which the verifier would follow every combination: the subtraction borrows inside the window. Unused windows are
	 * empty. */
#pragma GCC unroll 28
	for (zt_u32 i = 0; i < ZT_BPF_WINDOWS; i++)
		open |= ((zt_u64)(zt_u32)(second - g->windows[i].start) -
			 (zt_u32)(g->windows[i].end - g->windows[i].start)) >>
			63;
	return open != 0;
}

/* One shape; non-zero ends the loop. */
zt_inline long zt_decide_shape(zt_u32 i, struct zt_decide *d)
{
	const struct zt_bpf_shape *s;
	const struct zt_bpf_entry *e;
	struct zt_bpf_key k;

	zt_u32 at = d->base + i;

	if (i >= d->n || at >= ZT_BPF_TABLES * ZT_BPF_SHAPES)
		return 1;
	s = &d->cfg->shapes[at];
	if (d->best.seq < s->min_seq)
		return 1;
	if (s->guard) {
		if (!d->now)
			d->now = zt_look_time(d->ctx);
		if (!zt_guard_open(d->cfg, s->guard, d->now))
			return 0;
	}
	for (int w = 0; w < ZT_BPF_KEY_WORDS; w++)
		k.w[w] = (d->exact.w[w] & s->exact.w[w]) | (d->classed.w[w] & s->classed.w[w]);
	k.w[0] |= at;
	e = zt_look_entry(d->ctx, &k);
	if (e && e->seq < d->best.seq)
		d->best = (struct zt_bpf_decision){
			.seq = e->seq, .rule = e->rule, .verdict = e->verdict, .flags = e->flags};
	return 0;
}

/* Without branches, see zt_guard_open(). */
zt_inline int zt_ssh(const struct zt_bpf_config *cfg, zt_u16 port)
{
	zt_u64 found = 0;

	for (zt_u32 i = 0; i < ZT_BPF_SSH_RANGES; i++)
		found |= ((zt_u64)i - cfg->n_ssh) &
			 ((zt_u64)(zt_u16)(port - cfg->ssh[i].lo) - (zt_u16)(cfg->ssh[i].hi - cfg->ssh[i].lo) - 1);
	return (int)(found >> 63);
}

/* What precedes the rules; non-zero: decided. */
zt_inline int zt_decide_early(const struct zt_bpf_config *cfg, const struct zt_bpf_flow *f, struct zt_bpf_decision *ret)
{
	*ret = (struct zt_bpf_decision){.seq = 0xffffffff, .rule = ZT_BPF_NO_RULE, .verdict = ZT_BPF_ALLOW};
	ret->reason = ZT_BPF_R_LOOPBACK;
	if (f->lo && (f->dir == ZT_BPF_INGRESS || cfg->loopback == ZT_BPF_LO_ALLOW))
		return 1;
	ret->reason = ZT_BPF_R_SSH;
	return f->dir == ZT_BPF_INGRESS && f->proto == 6 && zt_ssh(cfg, f->port);
}

/* Which table of shapes. Without branches: each would be another constant, and the verifier would follow the loop over shapes for each. */
zt_inline zt_u32 zt_decide_table(const struct zt_bpf_flow *f)
{
	zt_u32 dir = f->dir & 3u, table = dir << 1 | (f->six & 1u & ~(dir & dir >> 1)); /* Unix sockets are of no family */

	__asm__ volatile("" : "+r"(table)); /* the compiler knows the bounds, the verifier of 6.1 does not */
	return table & 7;
}

/* The caller fills d->classed (zt_flow_classed) where the returned kinds are not 0. */
zt_inline zt_u32 zt_decide_begin(struct zt_decide *d, ZT_CTX *c, const struct zt_bpf_config *cfg,
				 const struct zt_bpf_flow *f)
{
	zt_u32 table = zt_decide_table(f);

	*d = (struct zt_decide){.cfg = cfg, .ctx = c, .base = table * ZT_BPF_SHAPES};
	d->n = cfg->n_shapes[table];
	d->best = (struct zt_bpf_decision){.seq = 0xffffffff, .rule = ZT_BPF_NO_RULE};
	zt_flow_exact(f, &d->exact);
	return cfg->kinds[table];
}

zt_inline void zt_decide_end(const struct zt_decide *d, const struct zt_bpf_flow *f, struct zt_bpf_decision *ret)
{
	const struct zt_bpf_config *cfg = d->cfg;

	*ret = d->best;
	if (ret->rule == ZT_BPF_NO_RULE) {
		ret->verdict = f->dir == ZT_BPF_UNIX ? ZT_BPF_ALLOW : cfg->def[f->dir & 3];
		ret->flags = cfg->flags & ZT_BPF_LOG_BLOCKED ? ZT_BPF_LOG : 0;
		ret->reason = ZT_BPF_R_DEFAULT_EGRESS + (f->dir == ZT_BPF_UNIX ? 0 : f->dir & 3);
	}
	if (f->lo && f->dir == ZT_BPF_EGRESS && cfg->loopback == ZT_BPF_LO_OBSERVE &&
	    (ret->verdict == ZT_BPF_DROP || ret->verdict == ZT_BPF_REJECT))
		ret->verdict = ZT_BPF_OBSERVE;
}
#endif
