/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames that pass by every hook of a control group: those of packet sockets. A program at the way out of each device knows their socket; what
 * is sent without that way (PACKET_QDISC_BYPASS, AF_XDP) needs an option of the socket, which a control group can refuse. An object
 * of its own. Only sockets that were made in the control group of the configuration are looked at.
 *
 * May leave: ARP and 802.1X, DHCP where the policy lets the user speak to the server, everything where the default for what leaves does not block.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_core_read.h>

#include "live.bpf.h"
#include "record.bpf.h"

#define AF_PACKET 17
#define SOL_PACKET 263
#define PACKET_QDISC_BYPASS 20
#define SOL_XDP 283
#define XDP_TX_RING 3
#define NEXT (-1) /* TCX_NEXT, TC_ACT_UNSPEC: others decide */
#define DROP 2
#define NO_GID 0xffffffffu /* cannot be known here */

static __always_inline int open_by_default(const struct zt_bpf_config *cfg)
{
	return cfg->def[ZT_BPF_EGRESS] == ZT_BPF_ALLOW || cfg->def[ZT_BPF_EGRESS] == ZT_BPF_OBSERVE;
}

/* ---- the frame: what its bytes say, not what the sender says of them ---- */
static __always_inline __u16 type_of(struct __sk_buff *skb, __u32 link, __u32 *ret_at)
{
	__be16 type = 0;
	__u8 first = 0;

	*ret_at = link;
	if (!link) {
		bpf_skb_load_bytes(skb, 0, &first, 1);
		return first >> 4 == 4 ? 0x0800 : first >> 4 == 6 ? 0x86dd : 0;
	}
	bpf_skb_load_bytes(skb, 12, &type, 2);
	for (int i = 0; i < 2 && (type == bpf_htons(0x8100) || type == bpf_htons(0x88a8)); i++) {
		*ret_at += 4;
		if (bpf_skb_load_bytes(skb, *ret_at - 2, &type, 2))
			return 0;
	}
	return bpf_ntohs(type);
}

/* 0: an unfragmented UDP packet, or none that is understood: proto 0. */
static __always_inline void read_frame(struct __sk_buff *skb, __u16 type, __u32 at, struct zt_bpf_flow *f)
{
	__u8 h[20] = {};
	__be16 ports[2] = {};

	if (bpf_skb_load_bytes(skb, at, h, sizeof(h)))
		return;
	if (type == 0x0800 && h[0] >> 4 == 4) {
		__builtin_memcpy(f->src, h + 12, 4);
		__builtin_memcpy(f->dst, h + 16, 4);
		f->proto = (h[6] & 0x3f) | h[7] ? 0 : h[9];
		at += (h[0] & 15) * 4;
	} else if (type == 0x86dd && h[0] >> 4 == 6) {
		f->six = 1;
		if (bpf_skb_load_bytes(skb, at + 8, f->src, 16) || bpf_skb_load_bytes(skb, at + 24, f->dst, 16))
			return;
		f->proto = h[6];
		at += 40;
	}
	if ((f->proto == 6 || f->proto == 17) && !bpf_skb_load_bytes(skb, at, ports, sizeof(ports))) {
		f->sport = bpf_ntohs(ports[0]);
		f->port = bpf_ntohs(ports[1]);
	}
}

static __always_inline int is_dhcp(const struct zt_bpf_flow *f)
{
	return f->proto == 17 &&
	       (f->six ? f->sport == 546 && f->port == 547 : f->sport == 68 && f->port == 67);
}

/* ---- the decision ---- */
static __always_inline void tell_frame(const struct zt_bpf_config *cfg, const struct zt_bpf_flow *f)
{
	struct zt_bpf_decision d = {.rule = ZT_BPF_NO_RULE, .verdict = ZT_BPF_DROP, .reason = ZT_BPF_R_FENCED};
	struct zt_bpf_event *e;
	__u64 seq = 0;

	e = event_begin(cfg, &seq);
	if (!e)
		return;
	event_flow(e, f, &d);
	event_end(e, seq);
}

static __noinline int block(struct __sk_buff *skb, const struct zt_bpf_flow *f)
{
	struct live l;

	count_reason(ZT_BPF_R_FENCED, skb->len);
	if (f && live_get(&l) == 0 && l.cfg->flags & ZT_BPF_LOG_BLOCKED)
		tell_frame(l.cfg, f);
	return DROP;
}

static __always_inline int fence(struct __sk_buff *skb, __u32 link)
{
	struct zt_bpf_flow f = {.owned = 1, .to = 1, .src_known = 1, .gid = NO_GID};
	struct bpf_sock *sk = skb->sk, *full = sk ? bpf_sk_fullsock(sk) : 0;
	struct zt_bpf_decision d = {};
	struct live l;
	__u32 at;
	__u16 type;

	if (!full || full->family != AF_PACKET)
		return NEXT;
	if (live_get(&l) < 0) {
		count_reason(ZT_BPF_R_NO_CONFIG, skb->len);
		return DROP;
	}
	if (open_by_default(l.cfg) ||
	    (l.cfg->cgroup_level && bpf_skb_ancestor_cgroup_id(skb, l.cfg->cgroup_level) != l.cfg->cgroup))
		return NEXT;
	type = type_of(skb, link, &at);
	if (link && (type == 0x0806 || type == 0x888e))
		return NEXT;
	f.uid = bpf_get_socket_uid(skb);
	read_frame(skb, type, at, &f);
	if (!is_dhcp(&f))
		return block(skb, &f);
	decide(&f, &d, l.epoch);
	if (d.verdict == ZT_BPF_DROP || d.verdict == ZT_BPF_REJECT)
		return block(skb, &f);
	if (d.rule != ZT_BPF_NO_RULE)
		count_rule(l.cfg, l.slot, d.rule, skb->len);
	return NEXT;
}

SEC("tc")
int zt_fence_ether(struct __sk_buff *skb)
{
	return fence(skb, 14);
}

SEC("tc")
int zt_fence_bare(struct __sk_buff *skb)
{
	return fence(skb, 0);
}

/* ---- the options ---- */
SEC("cgroup/setsockopt")
int zt_setsockopt(struct bpf_sockopt *ctx)
{
	struct live l;

	/* Values longer than a page are not here, and zero means that the kernel goes on with the program's own. */
	if (ctx->optlen > (long)ctx->optval_end - (long)ctx->optval)
		ctx->optlen = 0;
	if ((ctx->level != SOL_PACKET || ctx->optname != PACKET_QDISC_BYPASS) &&
	    (ctx->level != SOL_XDP || ctx->optname != XDP_TX_RING))
		return 1;
	if (live_get(&l) < 0)
		return 0;
	if (bpf_get_netns_cookie(ctx) != l.cfg->netns || open_by_default(l.cfg))
		return 1;
	count_reason(ZT_BPF_R_FENCED, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
