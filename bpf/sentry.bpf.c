/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who rings when what is in force may have changed and nothing else tells: programs that only look. Baseline: Linux 6.1.
 *
 *   sched_process_exit   a process that had the right to change it has ended: are the links of the engine what they were? Where there is
 *                        nothing to compare (iptables of the old kind), it rings for each such process of the network namespace
 *   security_bpf         where the kernel lets programs look at its functions: somebody is about to detach or to replace
 *   an iterator          the addresses of links
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "trace_kernel.h"
#include "sentry.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct bpf_prog;
struct bpf_link {
	__u32 id;
	enum bpf_link_type type;
	struct bpf_prog *prog;
};
struct bpf_cgroup_link {
	struct bpf_link link;
	struct cgroup *cgroup; /* NULL: detached */
};
struct bpf_nf_link { /* Linux 6.4 */
	struct bpf_link link;
	__u32 dead; /* detached */
};
struct bpf_iter__bpf_link {
	struct bpf_iter_meta *meta;
	struct bpf_link *link;
};
#pragma clang attribute pop

enum { DEPTH = 4, LINK_NETFILTER = 10 /* not in the headers of the baseline */ };
#define RIGHTS (1ull << 12 | 1ull << 21 | 1ull << 39) /* CAP_NET_ADMIN CAP_SYS_ADMIN CAP_BPF */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} bell SEC(".maps");

const volatile __u32 own_pid, hand_pid;
struct zt_sentry_link watched[ZT_SENTRY_LINKS]; /* up to the first without an address */
__u64 any_in; /* cookie of a network namespace: who had rights in it rings; 0: nobody does */

static __always_inline void ring(void)
{
	__u32 one = 1;

	bpf_ringbuf_output(&bell, &one, sizeof(one), 0); /* full: it has rung */
}

static __always_inline void look_at(const struct zt_sentry_link *at, struct zt_sentry_link *ret)
{
	const struct bpf_cgroup_link *l = (const struct bpf_cgroup_link *)at->link;
	const struct bpf_nf_link *nf = (const struct bpf_nf_link *)at->link;

	__u32 type = 0, dead = 1;

	ret->link = at->link;
	ret->prog = ret->place = 0;
	bpf_core_read(&ret->prog, sizeof(ret->prog), &l->link.prog);
	bpf_core_read(&type, sizeof(type), &l->link.type);
	if (type != LINK_NETFILTER) {
		bpf_core_read(&ret->place, sizeof(ret->place), &l->cgroup);
	} else if (bpf_core_type_exists(struct bpf_nf_link)) {
		bpf_core_read(&dead, sizeof(dead), &nf->dead);
		ret->place = !dead;
	}
}

/* By itself for the verifier. */
__noinline int changed(void)
{
	for (__u32 i = 0; i < ZT_SENTRY_LINKS; i++) {
		const struct zt_sentry_link *was = &watched[i];
		struct zt_sentry_link now;

		if (!was->link)
			return 0;
		look_at(was, &now);
		if (now.prog != was->prog || now.place != was->place)
			return 1;
	}
	return 0;
}

/* The daemon itself, and what its hand starts. */
static __always_inline int is_own(struct task_struct *t)
{
	for (int i = 0; i < DEPTH && t; i++) {
		struct task_struct *up = 0;
		__u32 pid = 0;

		bpf_core_read(&pid, sizeof(pid), &t->tgid);
		if (pid == own_pid || pid == hand_pid)
			return 1;
		bpf_core_read(&up, sizeof(up), &t->real_parent);
		t = up;
	}
	return 0;
}

SEC("tp_btf/sched_process_exit")
int zt_ended(__u64 *ctx)
{
	struct task_struct *t = (struct task_struct *)ctx[0];
	const struct cred *cred = t->cred;
	struct nsproxy *ns = t->nsproxy;
	struct net *net;
	__u64 caps = 0;

	if (t->pid != t->tgid || !cred)
		return 0;
	bpf_core_read(&caps, sizeof(caps), &cred->cap_effective);
	if (!(caps & RIGHTS))
		return 0;
	net = ns ? ns->net_ns : 0;
	if ((any_in && net && net->net_cookie == any_in && !is_own(t)) || changed())
		ring();
	return 0;
}

enum { PROG_DETACH = 9, LINK_UPDATE = 29, LINK_DETACH = 34 };

SEC("fexit/security_bpf")
int zt_asked(__u64 *ctx)
{
	int command = (int)ctx[0];

	if ((command == PROG_DETACH || command == LINK_UPDATE || command == LINK_DETACH) &&
	    !is_own(bpf_get_current_task_btf()))
		ring();
	return 0;
}

SEC("iter/bpf_link")
int zt_links(struct bpf_iter__bpf_link *ctx)
{
	struct bpf_link *link = ctx->link;
	struct zt_sentry_found f = {};

	if (!link || (link->type != BPF_LINK_TYPE_CGROUP && (__u32)link->type != LINK_NETFILTER))
		return 0;
	f.id = link->id;
	f.at.link = (__u64)link;
	look_at(&f.at, &f.at);
	bpf_seq_write(ctx->meta->seq, &f, sizeof(f));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
