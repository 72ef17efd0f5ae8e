/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Forwarded packets, at the hook of the network namespace through which all of them go whatever devices there are and will be: before the source is
 * rewritten, after the destination was. Linux 6.4. An object of its own: older kernels know neither the type of program nor the function.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_core_read.h>

#include "live.bpf.h"

extern int bpf_dynptr_from_skb(struct sk_buff *skb, __u64 flags, struct bpf_dynptr *ptr) __ksym;

#define PACKET struct bpf_dynptr
#define PARSE static __noinline
#define load_bytes(packet, at, to, len) bpf_dynptr_read(to, len, packet, at, 0)

/* There is nothing before the header here. */
static __always_inline __be16 type_of_packet(struct bpf_dynptr *packet)
{
	__u8 first = 0;

	if (load_bytes(packet, 0, &first, 1))
		return 0;
	return first >> 4 == 6 ? bpf_htons(0x86dd) : first >> 4 == 4 ? bpf_htons(0x0800) : 0;
}

#include "packet.bpf.h"
#include "record.bpf.h"
#include "forward.bpf.h"

enum { DROPPED, ACCEPTED };

SEC("netfilter")
int zt_forward(struct bpf_nf_ctx *ctx)
{
	struct sk_buff *skb = ctx->skb;
	struct bpf_dynptr packet;

	if (bpf_dynptr_from_skb(skb, 0, &packet))
		return DROPPED;
	return passes(&packet, skb->len) ? ACCEPTED : DROPPED;
}

char LICENSE[] SEC("license") = "GPL";
