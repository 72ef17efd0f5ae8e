/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One pass over the open files of all processes: stamps the sockets that existed before, for each slot that is filled. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_core_read.h>

#define ZT_ITERATOR
#include "identity.bpf.h"

const volatile __u64 netns; /* cookie of the network namespace that is enforced */

SEC("iter/task_file")
int zt_stamp_all(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct zt_bpf_sock *s;
	struct socket *socket;
	struct sock *sk;
	struct net *net;
	__u16 family;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk)
		return 0;
	family = sk->__sk_common.skc_family;
	if (family == 1) { /* what has a name can be connected to, from every namespace */
		struct unix_sock *u = (void *)sk;

		if (!BPF_CORE_READ(u, addr) || !unix_matters())
			return 0;
	} else if (family == 2 || family == 10) {
		net = sk->__sk_common.skc_net.net;
		if (!net || net->net_cookie != netns)
			return 0;
	} else {
		return 0;
	}
	s = bpf_sk_storage_get(&socks, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (s)
		stamp(s, task);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
