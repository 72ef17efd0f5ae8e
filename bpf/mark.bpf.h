/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The number of a process in the slots, and the mark it makes. */
#define ZT_PLAIN /* what else a label may be */
#include "identity.bpf.h"
#include "mark.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, struct zt_mark_config);
} marks SEC(".maps");

/* Of a process whose program cannot be told: its user and control groups are known all the same. */
static __noinline int plain_label(struct who_ctx *w, const struct zt_bpf_config *cfg, __u32 uid)
{
	struct zt_bpf_evidence k = {.kind = ZT_BPF_E_UID};
	struct zt_mark_config *m;
	struct zt_bpf_set *s;
	__u32 slot;

	if (!w || !cfg)
		return 0;
	slot = w->slot;
	k.a = uid_class(slot, uid);
	s = evidence_of(slot, &k);
	m = bpf_map_lookup_elem(&marks, &slot);
	if (!s || !m)
		return 0;
	w->key.space = ZT_MARK_L_PLAIN;
	w->key.set = *s;
	if (cfg->flags & ZT_BPF_E_CGROUPS_USED)
		and_cgroups(w, cfg);
	set_and(&w->key.set, &m->plain);
	return label_of(slot, &w->key);
}

/* The mark that the socket should have in the live slot; 0 private bits where it is not known. */
static __always_inline __u32 mark_of(__u32 old, const struct zt_bpf_sock *s, __u32 live_epoch)
{
	__u32 slot = live_epoch & 1, n = 0;
	struct zt_mark_config *m = bpf_map_lookup_elem(&marks, &slot);

	if (!m)
		return old;
	/* Constant places: a slot that is a look-up's key lies on the stack, where the verifier forgets its range. */
	if (s && live_epoch & 1 && s->epoch[1] == live_epoch)
		n = s->who[1].label;
	else if (s && !(live_epoch & 1) && s->epoch[0] == live_epoch)
		n = s->who[0].label;
	n &= m->number_mask;
	return (old & ~m->mask) | n << (m->shift & 31);
}
