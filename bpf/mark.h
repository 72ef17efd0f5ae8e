/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Marks of the nft engine: what the programs in mark.bpf.c, mark_iter.bpf.c and user space both know, beside abi.h. The maps are those of
 * abi.h (evidence, classes, labels, config, epoch, socks, meta) and
 *
 *   marks    array[2]    zt_mark_config of a slot
 *
 * Private bits of a socket's mark, a contiguous mask: the highest is nft's own (set on a packet on its way through lo), below it stands the
 * number of the process, which the map labels gives in the spaces ZT_BPF_L_SUBJECTS and ZT_MARK_L_PLAIN. 0 is a socket that nobody knows.
 */
#include "abi.h"

#define ZT_MARK_LAYOUT 3
#define ZT_MARK_DEFAULT 0xffff0000u /* the private bits */
/* Priority of a packet on lo that begins a connection where an ended one still has the ports (TIME_WAIT): the receiver's number stands in the lowest
 * bits of its mark, as the sender's does in the private ones. */
#define ZT_MARK_ENDED 0x5a545457u
#define ZT_MARK_REFRESH 0x5a544d4bu /* second word of a value of SO_MARK: leave the public bits, bring the private ones up to date */

/* Space of labels: sets of the plain subjects (users, control groups) of a process whose program or groups are unknown. */
enum { ZT_MARK_L_PLAIN = 2 };

struct zt_mark_config {
	zt_u32 layout, mask;
	zt_u32 shift, number_mask; /* of the number, shifted down */
	struct zt_bpf_set plain;   /* the subjects that an unknown process can satisfy */
};
struct zt_mark_stale { /* what the iterator tells: a socket whose mark is not what it should be */
	zt_u32 tgid, fd, mark, wanted;
};

_Static_assert(sizeof(struct zt_mark_config) == 16 + 64, "layout");
_Static_assert(sizeof(struct zt_mark_stale) == 16, "layout");
