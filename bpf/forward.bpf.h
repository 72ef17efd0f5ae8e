/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What passes through this host, which no socket here sends or receives: decided by the packet that begins a flow; answers, and what goes on, by the flow
 * that was noted. A flow that is not noted any more, because others took its place, is asked for again by the next packet of who began it; what is never
 * noted lets nothing pass. After live.bpf.h, packet.bpf.h and record.bpf.h; the includer says how a packet is read.
 */
#define FORWARDS 65536

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FORWARDS);
	__type(key, struct zt_bpf_flow_key);
	__type(value, struct zt_bpf_forward);
} forwards SEC(".maps");

/* ---- how long a flow lasts: like connection tracking ---- */
static __always_inline __u64 lifetime(__u8 proto, __u32 state)
{
	__u32 both = ZT_BPF_W_ENDED | ZT_BPF_W_END_ANSWERED;

	if (proto == 6)
		return state & ZT_BPF_W_RESET					? 10
		       : (state & both) == both || !(state & ZT_BPF_W_ANSWERED) ? 120
										: 5 * 86400;
	if (proto == 17)
		return state & ZT_BPF_W_ANSWERED ? 120 : 30;
	return proto == 1 || proto == 58 ? 30 : 600;
}

static __always_inline struct zt_bpf_forward *flow_of(const struct zt_bpf_flow_key *k)
{
	struct zt_bpf_forward *v = bpf_map_lookup_elem(&forwards, k);

	return v && bpf_ktime_get_boot_ns() - v->last < lifetime(k->proto, v->state) * SEC_NS ? v : 0;
}

static __always_inline void goes_on(struct zt_bpf_forward *v, const struct packet *p, int answer)
{
	v->last = bpf_ktime_get_boot_ns();
	if (p->f.proto == 6 && p->tcp_flags & TCP_FIN)
		v->state |= answer ? ZT_BPF_W_END_ANSWERED : ZT_BPF_W_ENDED;
	if (p->f.proto == 6 && p->tcp_flags & TCP_RST)
		v->state |= ZT_BPF_W_RESET;
	if (answer)
		v->state |= ZT_BPF_W_ANSWERED;
}

/* No room: what would follow does not pass. */
static __noinline int note(const struct zt_bpf_flow_key *k, __u32 epoch)
{
	struct zt_bpf_forward v = {.last = bpf_ktime_get_boot_ns(), .epoch = epoch};

	return bpf_map_update_elem(&forwards, k, &v, BPF_ANY);
}

static __always_inline int let_pass(__u32 reason, __u32 bytes)
{
	count_reason(reason, bytes);
	return 1;
}

/* What belongs to no flow and cannot begin one. */
static __always_inline int out_of_place(__u32 bytes)
{
	count_reason(ZT_BPF_R_UNREADABLE, bytes);
	return 0;
}

/* ---- pieces of packets: the first one has the ports ---- */
static __always_inline int piece_key(PACKET *pk, const struct packet *p, struct zt_bpf_flow_key *k)
{
	__u16 n[2] = {};

	*k = (struct zt_bpf_flow_key){.proto = p->f.proto, .family = p->f.six ? 6 : 4, .dir = ZT_BPF_PIECES};
	__builtin_memcpy(k->local, p->f.src, 16);
	__builtin_memcpy(k->remote, p->f.dst, 16);
	if (p->f.six ? load_bytes(pk, p->piece + 4, n, 4) : load_bytes(pk, 4, n, 2))
		return -1;
	k->local_port = n[0];
	k->remote_port = n[1];
	return 0;
}

static __always_inline int is_first_piece(PACKET *pk, const struct packet *p)
{
	__u8 flags = 0;

	return p->f.six ? p->piece != 0 : !load_bytes(pk, 6, &flags, 1) && flags & 0x20;
}

/* In the place of the bytes behind the ports, which say what a packet of TCP is. */
static __always_inline int hides_flags(PACKET *pk, const struct packet *p)
{
	__be16 offset = 0;

	if (load_bytes(pk, p->f.six ? p->piece + 2 : 6, &offset, 2))
		return 1;
	return p->f.proto == 6 && (p->f.six ? bpf_ntohs(offset) >> 3 : bpf_ntohs(offset) & 0x1fff) == 1;
}

static __noinline int later_piece(PACKET *pk, const struct packet *p, __u32 bytes)
{
	struct zt_bpf_flow_key k;

	return !hides_flags(pk, p) && !piece_key(pk, p, &k) && flow_of(&k) ? let_pass(ZT_BPF_R_ESTABLISHED, bytes)
									   : out_of_place(bytes);
}

static __noinline int note_piece(PACKET *pk, const struct packet *p, __u32 epoch)
{
	struct zt_bpf_flow_key k;

	if (is_first_piece(pk, p) && !piece_key(pk, p, &k))
		note(&k, epoch);
	return 1;
}

/* ---- flows ---- */
static __always_inline void mirrored(struct zt_bpf_flow_key *k)
{
	__u16 port = k->local_port;
	__u64 a[2], b[2];

	__builtin_memcpy(a, k->local, 16);
	__builtin_memcpy(b, k->remote, 16);
	__builtin_memcpy(k->local, b, 16);
	__builtin_memcpy(k->remote, a, 16);
	if (has_ports(k->proto)) {
		k->local_port = k->remote_port;
		k->remote_port = port;
	}
}

/* An ICMP error about a flow that passes here, in either direction. */
static __noinline int related(PACKET *pk, const struct packet *p)
{
	struct zt_bpf_flow_key k = {.family = p->f.six ? 6 : 4, .dir = ZT_BPF_FORWARD};

	if (quoted(pk, p->at, p->f.six, &k))
		return 0;
	if (!has_ports(k.proto))
		k.remote_port = 0;
	if (flow_of(&k))
		return 1;
	mirrored(&k);
	return flow_of(&k) != 0;
}

static __always_inline int begins_connection(const struct packet *p)
{
	return p->f.proto == 6 && (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;
}

/* As connection tracking has it: a connection may also be met when it is under way. */
static __always_inline int can_begin(const struct packet *p)
{
	if (p->f.proto == 1 || (p->f.proto == 58 && p->icmp_type < 130))
		return p->icmp_type == (p->f.six ? 128 : 8);
	return p->f.proto != 6 || begins_connection(p) ||
	       (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_ACK;
}

static __always_inline int can_answer(const struct packet *p)
{
	return p->f.proto == 6 ? !begins_connection(p) : may_answer(p);
}

static __always_inline int is_noted(const struct packet *p)
{
	return (p->f.proto != 1 && p->f.proto != 58) || p->icmp_type == (p->f.six ? 128 : 8);
}

static __always_inline int may_go_on(const struct live *l, const struct zt_bpf_forward *v, int answer)
{
	return l->cfg->flags & ZT_BPF_KEEP_ESTABLISHED || (answer && v->epoch == l->epoch);
}

/* ---- what is to be done with a packet ---- */
enum {
	STOP,
	PASS,
	ASK,
	ASK_AGAIN /* about a flow that is noted */,
	ASK_ANSWERED /* the same, and the packet is an answer */
};

static __always_inline int of_flow(const struct live *l, struct zt_bpf_forward *v, const struct packet *p, int answer,
				   __u32 bytes)
{
	if (!may_go_on(l, v, answer) || begins_connection(p))
		return answer ? ASK_ANSWERED : ASK_AGAIN;
	goes_on(v, p, answer);
	return let_pass(ZT_BPF_R_ESTABLISHED, bytes);
}

static __always_inline int whole_packet(PACKET *pk, const struct live *l, struct packet *p, __u32 bytes)
{
	struct zt_bpf_forward *v;
	struct zt_bpf_flow_key k;

	if (icmp_error(p))
		return related(pk, p) ? let_pass(ZT_BPF_R_RELATED, bytes) : out_of_place(bytes);
	flow_key(&k, &p->f, 0, 0, ZT_BPF_FORWARD);
	v = is_noted(p) ? flow_of(&k) : 0;
	if (v)
		return of_flow(l, v, p, 0, bytes);
	if (can_answer(p)) {
		mirrored(&k);
		v = flow_of(&k);
		if (v)
			return of_flow(l, v, p, 1, bytes);
	}
	return can_begin(p) ? ASK : out_of_place(bytes);
}

static __always_inline int is_open(const struct zt_bpf_config *cfg)
{
	return cfg->def[ZT_BPF_FORWARD] == ZT_BPF_ALLOW && !cfg->n_shapes[ZT_BPF_FORWARD * 2] &&
	       !cfg->n_shapes[ZT_BPF_FORWARD * 2 + 1];
}

/* With ASK and above *f is the question. */
static __noinline int look_at(PACKET *pk, struct zt_bpf_flow *f, __u32 live_epoch, __u32 bytes)
{
	struct live l = {.cfg = config_of(live_epoch), .epoch = live_epoch};
	struct packet p = {};
	int r;

	if (!l.cfg || is_open(l.cfg))
		return l.cfg != 0;
	if (parse(pk, &p))
		return out_of_place(bytes);
	r = p.fragment ? later_piece(pk, &p, bytes) : whole_packet(pk, &l, &p, bytes);
	if (r < ASK) {
		if (r == PASS)
			note_piece(pk, &p, live_epoch);
		return r;
	}
	*f = p.f;
	if (r == ASK_ANSWERED)
		turn_around(f);
	f->dir = ZT_BPF_FORWARD;
	f->to = f->src_known = 1;
	return r;
}

/* After the answer. The packet is read once more: what is known of it would be too much for the stack while the question is asked. */
static __noinline int settle(PACKET *pk, const struct zt_bpf_flow *f, int how, int allowed, __u32 live_epoch)
{
	struct zt_bpf_forward *v;
	struct zt_bpf_flow_key k;
	struct packet p = {};

	flow_key(&k, f, 0, 0, ZT_BPF_FORWARD);
	if (!allowed) {
		if (how != ASK)
			(void)bpf_map_delete_elem(&forwards, &k); /* it may be gone already */
		return 0;
	}
	if (parse(pk, &p))
		return 0;
	v = how == ASK ? 0 : flow_of(&k);
	if (v) {
		v->epoch = live_epoch;
		if (begins_connection(&p)) /* once more, with the same ports */
			v->state = 0;
		goes_on(v, &p, how == ASK_ANSWERED);
	} else if (is_noted(&p)) {
		note(&k, live_epoch);
	}
	return note_piece(pk, &p, live_epoch);
}

static __noinline int tell_forward(const struct zt_bpf_flow *f, const struct zt_bpf_decision *d, __u32 live_epoch)
{
	struct zt_bpf_config *cfg = config_of(live_epoch);
	struct zt_bpf_event *e;
	__u64 seq = 0;

	if (!f || !d || !cfg)
		return 0;
	e = event_begin(cfg, &seq);
	if (!e)
		return 0;
	event_flow(e, f, d);
	event_end(e, seq);
	return 0;
}

/* 1: it may pass. */
static __always_inline int passes(PACKET *pk, __u32 bytes)
{
	struct zt_bpf_decision d = {};
	struct zt_bpf_flow f = {};
	struct live l;
	int how, tell;

	if (live_get(&l) < 0) {
		count_reason(ZT_BPF_R_NO_CONFIG, bytes);
		return 0;
	}
	how = look_at(pk, &f, l.epoch, bytes);
	if (how < ASK)
		return how == PASS;
	decide(&f, &d, l.epoch);
	tell = account(&f, &d, l.epoch, bytes);
	if (how != ASK && blocks(&d)) {
		d.reason = ZT_BPF_R_REVOKED;
		count_reason(ZT_BPF_R_REVOKED, bytes);
	}
	if (tell)
		tell_forward(&f, &d, l.epoch);
	return settle(pk, &f, how, !blocks(&d), l.epoch);
}
