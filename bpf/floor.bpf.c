/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For measuring only: programs that do nothing, at the hooks of core.bpf.c. What a connection costs with them is what the kernel takes for the hooks
 * themselves, below which no program at them can get. With storage each socket has as much room as core.bpf.c needs to know whose it is, which
 * accepted ones inherit, and each packet finds it.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

const volatile __u32 storage;

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct zt_bpf_sock);
} room SEC(".maps");

SEC("cgroup/sock_create")
int zt_f_create(struct bpf_sock *ctx)
{
	if (storage)
		(void)bpf_sk_storage_get(&room, ctx, 0, BPF_SK_STORAGE_GET_F_CREATE);
	return 1;
}

SEC("cgroup/connect4")
int zt_f_connect4(struct bpf_sock_addr *ctx)
{
	return 1;
}

SEC("cgroup/sendmsg4")
int zt_f_sendmsg4(struct bpf_sock_addr *ctx)
{
	return 1;
}

SEC("cgroup/setsockopt")
int zt_f_setsockopt(struct bpf_sockopt *ctx)
{
	return 1;
}

static __always_inline int packet(struct __sk_buff *skb)
{
	struct bpf_sock *sk = storage && skb->sk ? bpf_sk_fullsock(skb->sk) : 0;

	if (sk)
		(void)bpf_sk_storage_get(&room, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	return 1;
}

SEC("cgroup_skb/egress")
int zt_f_egress(struct __sk_buff *skb)
{
	return packet(skb);
}

SEC("cgroup_skb/ingress")
int zt_f_ingress(struct __sk_buff *skb)
{
	return packet(skb);
}

char LICENSE[] SEC("license") = "GPL";
