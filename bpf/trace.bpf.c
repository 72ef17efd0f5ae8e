/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What processes do: programs that only look. Baseline: Linux 6.1.
 *
 *   exec, exit                 tracepoints of the scheduler
 *   inet_sock_set_state        TCP connections: begun, accepted, listening, ended
 *   sock_create, connect, sendmsg   remember on the socket which process uses it
 *   post_bind                  sockets that get an address
 *   egress, ingress            everything that is not TCP: flows with their bytes; messages of DNS
 *   an iterator                at the beginning: which process holds which socket
 *
 * Nothing waits for whoever reads: a record that finds no room is counted, by kind. Only what the kernel has already copied is read; but for
 * the arguments of a program, which belong to the process and may be changed by it later.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_core_read.h>

#include "trace_kernel.h"
#include "trace_abi.h"
#include "trace.bpf.h"
#include "below.bpf.h"
#define ZT_FLOW_ONLY
#include "packet.bpf.h"

enum { SYN_SENT = 2, SYN_RECV = 3, ESTABLISHED = 1, CLOSED = 7, LISTENING = 10 };
enum { EEXIST = 17, SIGNAL_GROUP_EXIT = 4 };
enum { ECANCELED = 125, SOCK_DONE_BIT = 2, LOOPBACK_INDEX = 1 /* of lo in every network namespace */ };

struct tracked { /* what is known of a socket */
	struct zt_trace_process process;
	__u64 began, netns;
	__u32 flags, local_port; /* port: a connection has lost its own when it ends */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct tracked);
} tracked SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ZT_TRACE_FLOWS);
	__type(key, struct zt_trace_flow_key);
	__type(value, struct zt_trace_flow_value);
} open_flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct zt_trace_port);
	__type(value, __u32);
} listened SEC(".maps"); /* ports of TCP at which somebody waited when this was loaded */

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u32);
} ended SEC(".maps"); /* processes that were told to have ended */

const volatile __u64 own_netns; /* cookie; 0: all network namespaces */

/* ---- programs ---- */
static __always_inline __u32 ancestors(struct task_struct *t, struct zt_trace_exec *e)
{
	struct task_struct *at = t->real_parent;
	__u32 n = 0;

	for (; n < ZT_TRACE_ANCESTORS; n++) {
		struct task_struct *up = 0;
		int pid = 0;

		if (!at)
			break;
		bpf_core_read(&pid, sizeof(pid), &at->tgid);
		e->ancestors[n].pid = pid;
		bpf_core_read(&e->ancestors[n].start, sizeof(__u64), &at->start_boottime);
		e->ancestors[n].pad = 0;
		if (pid <= 1)
			return n + 1;
		bpf_core_read(&up, sizeof(up), &at->real_parent);
		at = up;
	}
	return n;
}

SEC("tp_btf/sched_process_exec")
int zt_exec(__u64 *ctx)
{
	struct task_struct *t = (struct task_struct *)ctx[0];
	struct linux_binprm *bprm = (struct linux_binprm *)ctx[2];
	struct mm_struct *mm = t->mm;
	struct zt_trace_exec *e;
	__u64 len, all;

	if (!wanted(ZT_TRACE_EXEC) || !ours())
		return 0;
	e = reserve(ZT_TRACE_EXEC, sizeof(*e));
	if (!e)
		return 0;
	process_of(t, &e->process);
	rights_of(t->cred, e);
	e->n_ancestors = ancestors(t, e);
	e->filename[0] = 0;
	bpf_probe_read_kernel_str(e->filename, sizeof(e->filename), bprm->filename);
	len = all = mm ? mm->arg_end - mm->arg_start : 0;
	if (len > ZT_TRACE_ARGS - 1)
		len = ZT_TRACE_ARGS - 1;
	len &= ZT_TRACE_ARGS - 1;
	e->args_len = 0;
	if (mm && len && !bpf_probe_read_user(e->args, len, (void *)mm->arg_start))
		e->args_len = all < ZT_TRACE_ARGS ? len : ZT_TRACE_ARGS;
	submit(e);
	return 0;
}

/* What wait(2) tells of the process. */
static __always_inline __u32 status_of(struct task_struct *t)
{
	struct signal_struct *s = t->signal;
	struct task_struct *leader = t->group_leader;

	if (s && s->flags & SIGNAL_GROUP_EXIT)
		return s->group_exit_code;
	return leader ? leader->exit_code : t->exit_code;
}

/*
 * A process has ended when its last thread ends: the first one can end before the others, and does where another one starts a program. Threads that end at
 * the same time may both find that none is left.
 */
SEC("tp_btf/sched_process_exit")
int zt_exit(__u64 *ctx)
{
	struct task_struct *t = (struct task_struct *)ctx[0], *leader = t->group_leader;
	struct signal_struct *s = t->signal;
	struct zt_trace_exit *e;
	__u64 key = leader ? leader->start_boottime : 0;
	__u32 pid = t->tgid;

	if (!wanted(ZT_TRACE_EXIT) || !ours() || (s && s->live.counter > 0))
		return 0;
	key = key << 22 ^ pid;
	if (bpf_map_update_elem(&ended, &key, &pid, BPF_NOEXIST) == -EEXIST)
		return 0;
	e = reserve(ZT_TRACE_EXIT, sizeof(*e));
	if (!e)
		return 0;
	process_of(t, &e->process);
	e->code = status_of(t);
	e->pad = 0;
	submit(e);
	return 0;
}

/* ---- TCP ---- */
static __always_inline int mapped(const __u8 *a)
{
	const __u64 *w = (const __u64 *)a;

	return !w[0] && (w[1] & 0xffffffff) == bpf_htonl(0xffff);
}

static __always_inline void addresses_of(const struct sock *sk, struct zt_trace_flow *f)
{
	const struct sock_common *c = &sk->__sk_common;

	__builtin_memset(f->local, 0, sizeof(f->local));
	__builtin_memset(f->remote, 0, sizeof(f->remote));
	f->family = 4;
	if (c->skc_family == 10) {
		bpf_core_read(f->local, 16, &c->skc_v6_rcv_saddr);
		bpf_core_read(f->remote, 16, &c->skc_v6_daddr);
		f->family = mapped(f->remote) ? 4 : 6;
	}
	if (f->family == 4) {
		__u32 l = c->skc_rcv_saddr, r = c->skc_daddr;

		__builtin_memset(f->local, 0, sizeof(f->local));
		__builtin_memset(f->remote, 0, sizeof(f->remote));
		__builtin_memcpy(f->local, &l, 4);
		__builtin_memcpy(f->remote, &r, 4);
	}
	f->local_port = c->skc_num;
	if (!f->local_port &&
	    !bpf_core_read(&f->local_port, sizeof(f->local_port), &((const struct inet_sock *)sk)->inet_sport))
		f->local_port = bpf_ntohs(f->local_port);
	f->remote_port = bpf_ntohs(c->skc_dport);
}

/* Bytes of payload, each once: what was retransmitted and the FIN do not count. */
static __always_inline void bytes_of(struct sock *sk, struct zt_trace_flow *f)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	__u64 flags = 0;

	if (!tp)
		return;
	f->sent = tp->bytes_sent - tp->bytes_retrans;
	f->received = tp->bytes_received;
	flags = sk->__sk_common.skc_flags;
	if (flags & SOCK_DONE_BIT && f->received)
		f->received--;
}

static __always_inline __u64 namespace_of(const struct sock *sk)
{
	struct net *net = sk->__sk_common.skc_net.net;

	return net ? net->net_cookie : 0;
}

static __always_inline void tell_tcp(struct sock *sk, struct tracked *s, __u32 kind, __u32 error)
{
	struct zt_trace_flow *f;

	if (!wanted(kind) || (own_cgroup && !s))
		return;
	f = reserve(kind, sizeof(*f));
	if (!f)
		return;
	__builtin_memset(&f->process, 0, sizeof(f->process));
	if (s)
		f->process = s->process;
	f->cookie = bpf_get_socket_cookie(sk);
	f->netns = namespace_of(sk);
	f->began = s ? s->began : 0;
	f->sent = f->received = 0;
	f->proto = 6;
	f->flags = s ? s->flags : 0;
	f->pad = f->seq = 0;
	f->error = error;
	addresses_of(sk, f);
	if (s && f->local_port)
		s->local_port = f->local_port;
	else if (s)
		f->local_port = s->local_port;
	if (kind == ZT_TRACE_CLOSE)
		bytes_of(sk, f);
	submit(f);
}

static __always_inline struct tracked *track_current(struct sock *sk, __u32 flags)
{
	struct tracked *s = ours() ? bpf_sk_storage_get(&tracked, sk, 0, BPF_SK_STORAGE_GET_F_CREATE) : 0;

	if (s) {
		process_of(bpf_get_current_task_btf(), &s->process);
		s->began = bpf_ktime_get_boot_ns();
		s->flags = flags;
		s->netns = namespace_of(sk);
	}
	return s;
}

/* What a change of state is to us: a kind of record, or BEGINS; 0: nothing. Most are nothing. */
enum { BEGINS = ZT_TRACE_KINDS };
static __always_inline __u32 meaning(int before, int now)
{
	if (now == SYN_SENT)
		return BEGINS;
	if (now == LISTENING)
		return ZT_TRACE_LISTEN;
	if (now == ESTABLISHED)
		return before == SYN_RECV ? ZT_TRACE_ACCEPT : before == SYN_SENT ? ZT_TRACE_CONNECT : 0;
	if (now != CLOSED || before == LISTENING || before == CLOSED || before == SYN_RECV)
		return 0;
	return before == SYN_SENT ? ZT_TRACE_CONNECT : ZT_TRACE_CLOSE;
}

static __always_inline void change(struct sock *sk, __u32 kind, int now)
{
	struct tracked *s;
	int error = 0;

	if (kind == BEGINS) {
		track_current(sk, 0);
		return;
	}
	if (kind == ZT_TRACE_LISTEN) {
		s = track_current(sk, ZT_TRACE_INCOMING);
		if (s)
			tell_tcp(sk, s, ZT_TRACE_LISTEN, 0);
		return;
	}
	s = bpf_sk_storage_get(&tracked, sk, 0, 0);
	if (kind == ZT_TRACE_ACCEPT && s && !(s->flags & ZT_TRACE_INCOMING))
		kind = ZT_TRACE_CONNECT; /* both sides have begun it, or it goes to itself */
	if (kind == ZT_TRACE_ACCEPT && s) {
		s->began = bpf_ktime_get_boot_ns();
		s->flags = ZT_TRACE_INCOMING;
	}
	if (kind == ZT_TRACE_CONNECT && now == CLOSED)
		error = sk->sk_err ?: ECANCELED;
	tell_tcp(sk, s, kind, error);
}

/*
 * The kernel does not run a program inside itself: when an interrupt comes while zt_tcp runs, what the packet changes would be lost. zt_tcp_again, which
 * comes after it, does what zt_tcp has not: zt_tcp leaves word of each change. One of the two always runs, since an interrupt that changes the state of a
 * connection is not interrupted by another one that does.
 */
enum { NESTED = 4 };
struct word {
	__u64 keys[NESTED]; /* of changes that zt_tcp has taken and zt_tcp_again has not seen, the last one last */
	__u32 n, pad;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct word);
} words SEC(".maps");

static __always_inline __u64 key_of(struct sock *sk, __u32 kind)
{
	return bpf_get_socket_cookie(sk) << 8 | kind;
}

static __always_inline void leave_word(__u64 key)
{
	__u32 zero = 0, n;
	struct word *w = bpf_map_lookup_elem(&words, &zero);

	if (!w)
		return;
	n = w->n & (NESTED - 1); /* those that are too many are old: their end was interrupted */
	w->keys[n] = key;
	w->n = n + 1;
}

static __always_inline int has_word(__u64 key)
{
	__u32 zero = 0;
	struct word *w = bpf_map_lookup_elem(&words, &zero);

	if (!w)
		return 0;
	for (int i = NESTED - 1; i >= 0; i--)
		if ((__u32)i < w->n && w->keys[i] == key) {
			w->n = i;
			return 1;
		}
	return 0;
}

static __always_inline __u32 meaning_here(const struct sock *sk, int before, int now)
{
	__u32 kind = meaning(before, now);

	return kind && sk->sk_protocol == 6 && (!own_netns || namespace_of(sk) == own_netns) ? kind : 0;
}

SEC("tp_btf/inet_sock_set_state")
int zt_tcp(__u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	__u32 kind = meaning_here(sk, (int)ctx[1], (int)ctx[2]);

	if (!kind)
		return 0;
	leave_word(key_of(sk, kind));
	change(sk, kind, (int)ctx[2]);
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int zt_tcp_again(__u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	__u32 kind = meaning_here(sk, (int)ctx[1], (int)ctx[2]);

	if (kind && !has_word(key_of(sk, kind)))
		change(sk, kind, (int)ctx[2]);
	return 0;
}

/* ---- sockets that were there before ---- */
__u32 listeners; /* 1: the pass over those that listen, 0: over the others */

static __always_inline struct sock *sock_of(struct file *file)
{
	struct socket *socket = file ? bpf_sock_from_file(file) : 0;
	struct sock *sk = socket ? socket->sk : 0;
	__u16 family;

	if (!sk)
		return 0;
	family = sk->__sk_common.skc_family;
	return (family == 2 || family == 10) && (!own_netns || namespace_of(sk) == own_netns) ? sk : 0;
}

/* Who began, of a connection that is older than us: the other side, if somebody waits at its port. */
static __always_inline __u32 began_by(const struct sock *sk, __u64 netns, int state)
{
	struct zt_trace_port k = {.netns = netns, .port = sk->__sk_common.skc_num, .proto = 6};
	__u32 one = 1;

	if (state == LISTENING) {
		bpf_map_update_elem(&listened, &k, &one, BPF_ANY);
		return ZT_TRACE_INCOMING;
	}
	return sk->sk_protocol == 6 && bpf_map_lookup_elem(&listened, &k) ? ZT_TRACE_INCOMING : 0;
}

/* Sockets that process 1 waits at for a service belong to the service, once it has them. */
static __always_inline struct tracked *track_found(struct sock *sk, struct task_struct *task, int state)
{
	struct tracked *s = bpf_sk_storage_get(&tracked, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);

	if (!s || s->process.pid > 1)
		return 0;
	process_of(task, &s->process);
	s->netns = namespace_of(sk);
	s->flags = began_by(sk, s->netns, state);
	s->local_port = sk->__sk_common.skc_num;
	return s;
}

SEC("iter/task_file")
int zt_found(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct sock *sk = task ? sock_of(ctx->file) : 0;
	struct zt_trace_flow f = {};
	struct tracked *s;
	int state;

	if (!sk || (own_pid && task->tgid == own_pid) || !is_below(task, own_cgroup))
		return 0;
	state = sk->__sk_common.skc_state;
	f.proto = sk->sk_protocol;
	if ((f.proto == 6 && state == CLOSED) || (state == LISTENING) != listeners)
		return 0;
	s = track_found(sk, task, state);
	if (!s || f.proto != 6)
		return 0;
	f.head.kind = state == LISTENING ? ZT_TRACE_LISTEN : s->flags ? ZT_TRACE_ACCEPT : ZT_TRACE_CONNECT;
	f.head.size = sizeof(f);
	f.process = s->process;
	f.netns = s->netns;
	f.flags = s->flags;
	addresses_of(sk, &f);
	bpf_seq_write(ctx->meta->seq, &f, sizeof(f));
	return 0;
}

/* ---- who uses a socket that is not TCP ---- */
static __always_inline void use(struct bpf_sock *sk, __u64 netns)
{
	struct task_struct *t = bpf_get_current_task_btf();
	struct tracked *s;

	if (!sk || sk->protocol == 6 || (own_netns && netns != own_netns) || !ours())
		return;
	s = bpf_sk_storage_get(&tracked, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!s || s->process.pid == (__u32)t->tgid)
		return;
	process_of(t, &s->process);
	s->netns = netns;
}

SEC("cgroup/sock_create")
int zt_create(struct bpf_sock *ctx)
{
	use(ctx, bpf_get_netns_cookie(ctx));
	return 1;
}

#define USE(name, section)                               \
	SEC(section)                                     \
	int name(struct bpf_sock_addr *ctx)              \
	{                                                \
		use(ctx->sk, bpf_get_netns_cookie(ctx)); \
		return 1;                                \
	}
USE(zt_use_connect4, "cgroup/connect4")
USE(zt_use_connect6, "cgroup/connect6")
USE(zt_use_sendmsg4, "cgroup/sendmsg4")
USE(zt_use_sendmsg6, "cgroup/sendmsg6")

/* Only what a process asks for: a port that the kernel chooses by itself comes without. */
static __always_inline int bound(struct bpf_sock *ctx, int six)
{
	struct zt_trace_flow *f;
	__u64 netns = bpf_get_netns_cookie(ctx), cookie = bpf_get_socket_cookie(ctx);
	__u32 port = ctx->src_port, proto = ctx->protocol, v4 = six ? 0 : ctx->src_ip4;
	__u32 v6[4] = {};

	if (!wanted(ZT_TRACE_BIND) || (own_netns && netns != own_netns) || !ours())
		return 1;
	if (six) {
		v6[0] = ctx->src_ip6[0];
		v6[1] = ctx->src_ip6[1];
		v6[2] = ctx->src_ip6[2];
		v6[3] = ctx->src_ip6[3];
	}
	f = reserve(ZT_TRACE_BIND, sizeof(*f));
	if (!f)
		return 1;
	process_of(bpf_get_current_task_btf(), &f->process);
	__builtin_memset((char *)f + __builtin_offsetof(struct zt_trace_flow, cookie), 0,
			 sizeof(*f) - __builtin_offsetof(struct zt_trace_flow, cookie));
	f->cookie = cookie;
	f->netns = netns;
	f->family = six ? 6 : 4;
	f->proto = proto;
	f->local_port = port;
	f->flags = ZT_TRACE_INCOMING;
	if (six)
		__builtin_memcpy(f->local, v6, 16);
	else
		__builtin_memcpy(f->local, &v4, 4);
	submit(f);
	return 1;
}

SEC("cgroup/post_bind4")
int zt_bound4(struct bpf_sock *ctx)
{
	return bound(ctx, 0);
}

SEC("cgroup/post_bind6")
int zt_bound6(struct bpf_sock *ctx)
{
	return bound(ctx, 1);
}

/* ---- packets ---- */
static __always_inline void side(const struct packet *p, int out, struct zt_trace_flow_key *k, __u8 *local)
{
	k->family = p->f.six ? 6 : 4;
	k->proto = p->f.proto;
	__builtin_memcpy(k->remote, out ? p->f.dst : p->f.src, 16);
	__builtin_memcpy(local, out ? p->f.src : p->f.dst, 16);
	if (!has_ports(p->f.proto))
		return;
	k->local_port = out ? p->f.sport : p->f.port;
	k->remote_port = out ? p->f.port : p->f.sport;
}

static __always_inline void add_bytes(struct zt_trace_flow_value *v, int out, __u64 bytes)
{
	if (out) {
		__sync_fetch_and_add(&v->sent, bytes);
		__sync_fetch_and_add(&v->packets_sent, 1);
	} else {
		__sync_fetch_and_add(&v->received, bytes);
		__sync_fetch_and_add(&v->packets_received, 1);
	}
	v->last = bpf_ktime_get_boot_ns();
}

static __always_inline void fill_flow(struct zt_trace_flow *f, const struct zt_trace_flow_key *k,
				      const struct zt_trace_flow_value *v)
{
	f->process = v->process;
	f->cookie = k->cookie;
	f->netns = v->netns;
	f->began = v->began;
	f->sent = v->sent;
	f->received = v->received;
	__builtin_memcpy(f->local, v->local, 16);
	__builtin_memcpy(f->remote, k->remote, 16);
	f->local_port = k->local_port;
	f->remote_port = k->remote_port;
	f->family = k->family;
	f->proto = k->proto;
	f->flags = v->flags;
	f->pad = f->seq = 0;
	f->error = 0;
}

struct seen {
	struct zt_trace_flow_key key;
	struct zt_trace_flow_value value;
};

/* Whose socket gets what comes from remote to local. */
static __noinline int who_receives(struct __sk_buff *skb, const struct zt_trace_question *q,
				   struct zt_trace_process *ret)
{
	struct bpf_sock_tuple t = {};
	struct tracked *s;
	struct bpf_sock *sk;
	__u32 size = sizeof(t.ipv6);

	if (!q || !ret)
		return 0;
	if (q->family == 4) {
		size = sizeof(t.ipv4);
		__builtin_memcpy(&t.ipv4.saddr, q->remote, 4);
		__builtin_memcpy(&t.ipv4.daddr, q->local, 4);
		t.ipv4.sport = bpf_htons(q->remote_port);
		t.ipv4.dport = bpf_htons(q->local_port);
	} else {
		__builtin_memcpy(t.ipv6.saddr, q->remote, 16);
		__builtin_memcpy(t.ipv6.daddr, q->local, 16);
		t.ipv6.sport = bpf_htons(q->remote_port);
		t.ipv6.dport = bpf_htons(q->local_port);
	}
	if (q->proto == 6)
		sk = bpf_sk_lookup_tcp(skb, &t, size, BPF_F_CURRENT_NETNS, 0);
	else
		sk = bpf_sk_lookup_udp(skb, &t, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	s = bpf_sk_storage_get(&tracked, sk, 0, 0);
	if (s)
		*ret = s->process;
	bpf_sk_release(sk);
	return s != 0;
}

/* The other end of a flow over lo: the one that is sent to, or has sent. */
static __always_inline int find_peer(struct __sk_buff *skb, const struct seen *n, struct zt_trace_process *ret)
{
	struct zt_trace_question q = {};

	if (!n || n->key.proto != 17 || skb->ifindex != LOOPBACK_INDEX)
		return 0;
	__builtin_memcpy(q.local, n->key.remote, 16);
	__builtin_memcpy(q.remote, n->value.local, 16);
	q.local_port = n->key.remote_port;
	q.remote_port = n->key.local_port;
	q.family = n->key.family;
	q.proto = n->key.proto;
	return who_receives(skb, &q, ret);
}

/* The first packet of a flow; no room is counted as a lost flow. */
static __noinline int begin_flow(struct __sk_buff *skb, const struct seen *n)
{
	struct zt_trace_pair *f;
	__u32 kind = ZT_TRACE_FLOW;

	if (!n)
		return 0;
	if (bpf_map_update_elem(&open_flows, &n->key, &n->value, BPF_NOEXIST)) {
		struct zt_trace_count *c = bpf_map_lookup_elem(&counts, &kind);

		if (c)
			__sync_fetch_and_add(&c->lost, 1);
		return 0;
	}
	if (!wanted(ZT_TRACE_FLOW))
		return 0;
	f = reserve(ZT_TRACE_FLOW, sizeof(*f));
	if (!f)
		return 0;
	fill_flow(&f->flow, &n->key, &n->value);
	__builtin_memset(&f->peer, 0, sizeof(f->peer));
	find_peer(skb, n, &f->peer);
	submit(f);
	return 0;
}

static __always_inline void tell_dns(struct __sk_buff *skb, const struct seen *n, int out, __u32 at, __u32 transport)
{
	struct zt_trace_packet *e = reserve(ZT_TRACE_DNS, sizeof(*e));
	__u8 flags = 0;
	__u32 len;

	if (!e)
		return;
	fill_flow(&e->flow, &n->key, &n->value);
	e->flow.flags = out ? 0 : ZT_TRACE_INCOMING;
	e->len = 0;
	if (n->key.proto == 6 && !bpf_skb_load_bytes(skb, transport + 4, &e->flow.seq, 4) &&
	    !bpf_skb_load_bytes(skb, transport + 13, &flags, 1))
		e->flow.seq = bpf_ntohl(e->flow.seq) +
			      (flags >> 1 & 1); /* SYN has a number of its own (TCP Fast Open) */
	len = e->all = skb->len - at;		/* more than 0 */
	if (len > ZT_TRACE_PAYLOAD)
		len = ZT_TRACE_PAYLOAD;
	len = ((len - 1) & (ZT_TRACE_PAYLOAD - 1)) + 1; /* 6.1 does not see it otherwise */
	if (!bpf_skb_load_bytes(skb, at, e->payload, len))
		e->len = len;
	submit(e);
}

static __always_inline __u32 payload_at(struct __sk_buff *skb, const struct packet *p)
{
	__u8 offset = 0;

	if (p->f.proto == 17 || p->f.proto == 136)
		return p->at + 8;
	if (p->f.proto != 6 || bpf_skb_load_bytes(skb, p->at + 12, &offset, 1))
		return p->at;
	return p->at + (offset >> 4) * 4;
}

static __always_inline int look(struct __sk_buff *skb, int out)
{
	struct bpf_sock *sk = skb->sk ? bpf_sk_fullsock(skb->sk) : 0;
	struct zt_trace_flow_value *v;
	struct seen n = {};
	struct packet p = {};
	struct tracked *s;
	__u32 at;
	int dns;

	/* Of TCP only DNS is looked at, and most is not: before anything is read of it. */
	if (!sk || (sk->protocol == 6 && sk->src_port != 53 && sk->dst_port != bpf_htons(53)))
		return 1;
	if (parse(skb, &p) || (p.f.proto == 6 && p.f.port != 53 && p.f.sport != 53))
		return 1;
	s = bpf_sk_storage_get(&tracked, sk, 0, 0);
	if (own_netns && (!s || s->netns != own_netns))
		return 1;
	side(&p, out, &n.key, n.value.local);
	n.key.cookie = bpf_get_socket_cookie(skb);
	if (s) {
		n.value.process = s->process;
		n.value.netns = s->netns;
	}
	if (own_pid && n.value.process.pid == own_pid)
		return 1;
	at = payload_at(skb, &p);
	dns = wanted(ZT_TRACE_DNS) && (p.f.proto == 17 || p.f.proto == 6) && (p.f.port == 53 || p.f.sport == 53) &&
	      skb->len > at;
	if (p.f.proto != 6) {
		v = bpf_map_lookup_elem(&open_flows, &n.key);
		if (v) {
			add_bytes(v, out, skb->len - at);
		} else {
			n.value.began = bpf_ktime_get_boot_ns();
			n.value.flags = out ? 0 : ZT_TRACE_INCOMING;
			add_bytes(&n.value, out, skb->len - at);
			begin_flow(skb, &n);
		}
	}
	if (dns)
		tell_dns(skb, &n, out, at, p.at);
	return 1;
}

SEC("cgroup_skb/egress")
int zt_look_out(struct __sk_buff *skb)
{
	return look(skb, 1);
}

SEC("cgroup_skb/ingress")
int zt_look_in(struct __sk_buff *skb)
{
	return look(skb, 0);
}

/* ---- asked by user space, in its network namespace ---- */
struct zt_trace_question question;
struct zt_trace_process answer;

SEC("tc")
int zt_who(struct __sk_buff *skb)
{
	struct zt_trace_question q = question;
	struct zt_trace_process p = {};

	who_receives(skb, &q, &p);
	answer = p;
	return 0;
}

/* Sockets of UDP that are gone: most who are refused a packet give up at once. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, ZT_TRACE_RELEASED);
	__type(key, struct zt_trace_port);
	__type(value, struct zt_trace_process);
} released SEC(".maps");

SEC("cgroup/sock_release")
int zt_release(struct bpf_sock *ctx)
{
	struct sock *sk = (struct sock *)ctx; /* which it is; a number to the verifier */
	struct zt_trace_port k = {.proto = 17};
	struct tracked *s;

	if (ctx->protocol != 17)
		return 1;
	s = bpf_sk_storage_get(&tracked, ctx, 0, 0);
	if (!s || bpf_core_read(&k.port, sizeof(k.port), &sk->__sk_common.skc_num) || !k.port)
		return 1;
	k.netns = s->netns;
	bpf_map_update_elem(&released, &k, &s->process, BPF_ANY);
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
