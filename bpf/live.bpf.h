/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The live configuration, and the decision of a flow by it, for programs of every type. */
#include "identity.bpf.h"

#define SEC_NS 1000000000ull

/* ---- look-ups of the decision ---- */
struct look {
	__u32 slot;
};
#define ZT_CTX struct look
#define zt_inline static __always_inline

static __always_inline const struct zt_bpf_entry *zt_look_entry(ZT_CTX *c, const struct zt_bpf_key *k)
{
	void *inner = bpf_map_lookup_elem(&entries, &c->slot);

	return inner ? bpf_map_lookup_elem(inner, k) : 0;
}

static __always_inline zt_u32 zt_look_class(ZT_CTX *c, const struct zt_bpf_lpm *k)
{
	return lpm_of(c->slot, k);
}

static __always_inline zt_u32 zt_look_port(ZT_CTX *c, zt_u16 port)
{
	void *inner = bpf_map_lookup_elem(&ports, &c->slot);
	__u32 zero = 0;
	struct ports_value *v = inner ? bpf_map_lookup_elem(inner, &zero) : 0;

	return v ? v->class[port] : 0;
}

static __always_inline zt_u64 zt_look_time(ZT_CTX *c)
{
	struct zt_bpf_config *cfg = bpf_map_lookup_elem(&config, &c->slot);

	return bpf_ktime_get_tai_ns() / SEC_NS - (cfg ? cfg->tai_offset : 0);
}

#include "decide.h"

static long decide_step(__u32 i, void *arg)
{
	return zt_decide_shape(i, arg);
}

/* ---- the live configuration ---- */
struct live {
	struct zt_bpf_config *cfg;
	__u32 epoch, slot;
};

static __always_inline int live_get(struct live *l)
{
	__u32 zero = 0, *e = bpf_map_lookup_elem(&epoch, &zero);

	if (!e)
		return -1;
	l->epoch = *e;
	l->slot = l->epoch & 1;
	l->cfg = bpf_map_lookup_elem(&config, &l->slot);
	return l->cfg && l->cfg->epoch == l->epoch ? 0 : -1;
}

static __always_inline struct zt_bpf_config *config_of(__u32 slot)
{
	slot &= 1;
	return bpf_map_lookup_elem(&config, &slot);
}

/* ---- the decision. Global functions are verified by themselves, once, whatever the callers do ---- */
__noinline int classify(const struct zt_bpf_flow *f, struct zt_bpf_key *k, __u32 slot, __u32 kinds)
{
	struct look look = {.slot = slot & 1};

	if (f && k)
		zt_flow_classed(&look, kinds, f, k);
	return 0;
}

__noinline int decide(const struct zt_bpf_flow *f, struct zt_bpf_decision *ret, __u32 slot)
{
	struct zt_bpf_config *cfg = config_of(slot);
	struct look look = {.slot = slot & 1};
	struct zt_decide d;
	__u32 kinds;

	if (!f || !ret)
		return 0;
	*ret = (struct zt_bpf_decision){.rule = ZT_BPF_NO_RULE, .verdict = ZT_BPF_DROP, .reason = ZT_BPF_R_NO_CONFIG};
	if (!cfg || zt_decide_early(cfg, f, ret))
		return 0;
	kinds = zt_decide_begin(&d, &look, cfg, f);
	if (kinds)
		classify(f, &d.classed, slot, kinds);
	bpf_loop(ZT_BPF_SHAPES, decide_step, &d, 0);
	zt_decide_end(&d, f, ret);
	return 0;
}
