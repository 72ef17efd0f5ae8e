/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Whose a flow is, and flows without connections that may be answered. Included once, by core.bpf.c. */

#define UDP_TIMEOUT (30 * SEC_NS) /* like connection tracking: unanswered, answered */
#define UDP_STREAM (120 * SEC_NS)
#define NOTE_AGAIN SEC_NS

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

/* ---- flows that may be answered ---- */
/* Of what began here, who sends; of what another began, who is asked, where rules tell that apart. asked: the label of who that is. */
static __always_inline __u32 whose(const struct zt_bpf_flow *f, __u32 dir, __u32 asked, __u32 live_epoch)
{
	struct zt_bpf_config *cfg = config_of(live_epoch);

	if (dir == ZT_BPF_EGRESS)
		return (f->from * 0x9e3779b1u ^ f->uid * 0x85ebca6bu ^ f->gid * 0xc2b2ae35u ^ f->cgroup * 0x27d4eb2fu) & ~1u;
	return cfg && cfg->flags & ZT_BPF_HAS_TO ? asked << 1 : 0;
}

/* Not within 127.0.0.0/8 and ::1: twice, once without the address here. */
__noinline int flow_note(const struct zt_bpf_flow *f, __u64 netns, int remote_is_src, __u32 dir, __u32 live_epoch)
{
	struct zt_bpf_flow_seen v = {.last = bpf_ktime_get_boot_ns(), .epoch = live_epoch};
	struct zt_bpf_flow_seen *old;
	struct zt_bpf_flow_key k;

	if (!f)
		return 0;
	v.told = v.last;
	v.whose = whose(f, dir, f->to, live_epoch);
	flow_key(&k, f, netns, remote_is_src, dir);
	old = bpf_map_lookup_elem(&flows, &k);
	if (old) {
		old->last = v.last;
		v.whose |= old->whose & 1;
		old->whose = v.whose;
		old->epoch = live_epoch;
		if (is_loopback(f) || v.last - old->told < NOTE_AGAIN)
			return 0;
		old->told = v.last;
	} else {
		bpf_map_update_elem(&flows, &k, &v, BPF_ANY); /* no room: answers are denied */
	}
	if (is_loopback(f))
		return 0;
	__builtin_memset(k.local, 0, sizeof(k.local));
	bpf_map_update_elem(&flows, &k, &v, BPF_ANY);
	return 0;
}

enum {
	ANSWER = 1,
	OLD_ANSWER,   /* of a flow that was allowed in another epoch */
	OTHERS_ANSWER /* the flow was another process's: a port changes hands */
};
/* Does f answer a flow that the other side began? f->from: who answers, or gets the answer. */
__noinline int answers(const struct zt_bpf_flow *f, __u64 netns, int remote_is_src, __u32 dir, __u32 live_epoch)
{
	struct zt_bpf_flow_seen *v;
	struct zt_bpf_flow_key k;
	__u32 was;
	__u64 now;

	if (!f)
		return 0;
	flow_key(&k, f, netns, remote_is_src, dir);
	v = bpf_map_lookup_elem(&flows, &k);
	if (!v)
		return 0;
	now = bpf_ktime_get_boot_ns();
	was = v->whose;
	if (now - v->last > (was & 1 ? UDP_STREAM : UDP_TIMEOUT))
		return 0;
	v->last = now;
	v->whose = was | 1;
	if (v->epoch != live_epoch)
		return OLD_ANSWER;
	return (was & ~1u) == whose(f, dir, f->from, live_epoch) ? ANSWER : OTHERS_ANSWER;
}

/* f, an answer, becomes the question that it answers, as it would be asked now. own: of the socket here that is answered, with began EGRESS. */
__noinline int question_of(struct __sk_buff *ctx, struct zt_bpf_flow *f, struct zt_bpf_sock *own, __u32 began,
			   __u32 live_epoch)
{
	struct bpf_sock *sk = 0;
	__u32 label;

	if (!f)
		return 0;
	if (began != ZT_BPF_EGRESS && f->lo) {
		LOOK_UP_RECEIVER(ctx, f, sk);
	}
	label = f->from; /* of who answers */
	f->from = f->uid = f->gid = f->cgroup = 0;
	f->owned = 0;
	f->dir = began == ZT_BPF_EGRESS || f->lo ? ZT_BPF_EGRESS : ZT_BPF_INGRESS;
	f->to = began == ZT_BPF_EGRESS ? 1 : label;
	if (sk) {
		own = bpf_sk_storage_get(&socks, sk, 0, 0);
		if (own)
			who_is(live_epoch, own, f);
		bpf_sk_release(sk);
	} else if (own && began == ZT_BPF_EGRESS) {
		who_is(live_epoch, own, f);
	}
	turn_around(f);
	return 0;
}

/* Is an ICMP error, with its header at `at`, about a flow that passed here? The sockets of other flows are told by the kernel, which looks for
 * them itself and shows that to nobody: only raw sockets get the error through the hook. */
__noinline int known_error(struct __sk_buff *skb, __u32 at, int six, __u64 netns)
{
	struct zt_bpf_flow_key k = {.family = six ? 6 : 4, .dir = ZT_BPF_EGRESS, .netns = netns};

	if (quoted(skb, at, six, &k))
		return 0;
	if (bpf_map_lookup_elem(&flows, &k))
		return 1;
	k.dir = ZT_BPF_INGRESS;
	return bpf_map_lookup_elem(&flows, &k) ? 1 : 0;
}
