/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's decision over lowered contents. */
#include <string.h>

#include "engine/bpf/bpf.h"

struct look {
	const struct zt_image *img;
	uint64_t at;
};
#define ZT_CTX struct look

static int compare_key(const void *a, const void *b)
{
	return memcmp(a, &((const struct bpf_pair *)b)->key, sizeof(struct zt_bpf_key));
}

static inline const struct zt_bpf_entry *zt_look_entry(ZT_CTX *c, const struct zt_bpf_key *k)
{
	const struct zt_image *img = c->img;
	const struct bpf_pair *p = img->n_entries ? bsearch(k, img->entries, img->n_entries, sizeof(*p), compare_key)
						  : NULL;

	return p ? &p->entry : NULL;
}

static bool lpm_covers(const struct zt_bpf_lpm *outer, const struct zt_bpf_lpm *k)
{
	uint32_t bits = outer->prefix - 32;

	if (outer->kind != k->kind || memcmp(outer->data, k->data, bits / 8) != 0)
		return false;
	return !(bits % 8) || (outer->data[bits / 8] ^ k->data[bits / 8]) >> (8 - bits % 8) == 0;
}

/* Pieces are disjoint: at most one covers. */
static inline zt_u32 zt_look_class(ZT_CTX *c, const struct zt_bpf_lpm *k)
{
	for (size_t i = 0; i < c->img->n_lpms; i++)
		if (lpm_covers(&c->img->lpms[i].key, k))
			return c->img->lpms[i].id;
	return 0;
}

static inline zt_u32 zt_look_port(ZT_CTX *c, zt_u16 port)
{
	return c->img->ports ? c->img->ports[port] : 0;
}

static inline zt_u64 zt_look_time(ZT_CTX *c)
{
	return c->at;
}

#include "decide.h"

void bpf_decide(const struct zt_image *img, const struct zt_bpf_flow *f, uint64_t at, struct zt_bpf_decision *ret)
{
	struct look look = {img, at};
	struct zt_decide d;
	zt_u32 kinds;

	if (zt_decide_early(img->cfg, f, ret))
		return;
	kinds = zt_decide_begin(&d, &look, img->cfg, f);
	if (kinds)
		zt_flow_classed(&look, kinds, f, &d.classed);
	for (zt_u32 i = 0; i < ZT_BPF_SHAPES && !zt_decide_shape(i, &d); i++)
		;
	zt_decide_end(&d, f, ret);
}
