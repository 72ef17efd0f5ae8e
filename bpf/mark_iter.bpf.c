/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One pass over the open files of all processes: numbers the sockets that existed before, for each slot that is filled, and tells user space
 * which of them have another mark than they should. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_core_read.h>

#define ZT_ITERATOR
#include "mark.bpf.h"
#include "below.bpf.h"

const volatile __u64 netns;  /* cookie of the network namespace that is enforced */
const volatile __u64 cgroup; /* id of the control group that the programs are attached to, 0 = the root */

static __always_inline struct sock *sock_of(struct file *file)
{
	struct socket *socket = bpf_sock_from_file(file);
	struct sock *sk = socket ? socket->sk : 0;
	struct net *net;
	__u16 family;

	if (!sk)
		return 0;
	family = sk->__sk_common.skc_family;
	net = sk->__sk_common.skc_net.net;
	return (family == 2 || family == 10) && net && net->net_cookie == netns ? sk : 0;
}

/* The number that whoever reads this knows a process by: in a container the kernel's own is somebody else's. The iterator shows its processes only. */
static __always_inline __u32 number_here(struct task_struct *task)
{
	struct task_struct *reader = (struct task_struct *)bpf_get_current_task();
	__u32 level = BPF_CORE_READ(reader, group_leader, thread_pid, level);
	struct pid *pid = BPF_CORE_READ(task, group_leader, thread_pid);
	int nr = 0;

	if (pid && level < 32) /* MAX_PID_NS_LEVEL */
		(void)bpf_core_read(&nr, sizeof(nr), &pid->numbers[level].nr);
	return (__u32)nr;
}

SEC("iter/task_file")
int zt_mark_all(struct bpf_iter__task_file *ctx)
{
	__u32 zero = 0, *e = bpf_map_lookup_elem(&epoch, &zero);
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct zt_mark_stale stale;
	struct zt_bpf_sock *s;
	struct sock *sk;

	if (!task || !file || !e)
		return 0;
	sk = sock_of(file);
	if (!sk || !is_below(task, cgroup)) /* others have no guard on their marks, and no number */
		return 0;
	s = bpf_sk_storage_get(&socks, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (s && stamp(s, task) < 0)
		s = 0;
	stale.mark = sk->sk_mark;
	stale.wanted = mark_of(stale.mark, s, *e);
	if (stale.wanted == stale.mark)
		return 0;
	stale.tgid = number_here(task);
	stale.fd = ctx->fd;
	bpf_seq_write(ctx->meta->seq, &stale, sizeof(stale));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
