/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <bpf/bpf.h>
#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "engine/bpf/load.h"

static int damage(struct zt_diags *d, const char *what)
{
	(void)zt_diag(d, ZT_ERROR, 3405, NULL, "changed by someone else: %s", what); /* the result says the same */
	return -EUCLEAN;
}

static int read_ruleset(const struct bpf_live *l, struct zt_ruleset **ret, struct zt_diags *d)
{
	ZT_FREE struct zt_bpf_config *cfg = NULL;
	ZT_FREE char *text = NULL;
	struct zt_diags quiet = {0};
	json_t *j = NULL;
	int r = bpf_read_config(l, l->epoch & 1, &cfg);

	r = r ?: bpf_read_meta(l, l->epoch & 1, cfg->meta_len, &text);
	if (!r)
		j = json_loadb(text, cfg->meta_len, JSON_REJECT_DUPLICATES, NULL);
	if (!r)
		r = j ? zt_ruleset_from_json(j, ret, &quiet) : -EUCLEAN;
	json_decref(j);
	zt_diags_done(&quiet);
	return r == -ENOMEM || !r ? r : damage(d, "the text of the policy");
}

int bpf_raise(const char *instance, struct zt_ruleset **ret, struct zt_diags *d)
{
	ZT_CLEANUP(bpf_live_done) struct bpf_live l;
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	ZT_CLEANUP(bpf_image_freep) struct zt_image *img = NULL;
	const char *what = "";
	int r = bpf_live_open(instance, &l);

	if (r == -EUCLEAN)
		return damage(d, "links and maps are missing");
	if (r < 0)
		return r;
	r = read_ruleset(&l, &rs, d);
	r = r ?: bpf_lower(rs, &img, NULL);
	r = r ?: bpf_compare(&l, img, l.epoch & 1, &what);
	if (r > 0)
		return damage(d, what);
	if (!r && l.missing)
		return damage(d, "programs are detached");
	if (!r)
		*ret = ZT_TAKE(rs);
	return r;
}

int bpf_identify(const char *instance, uint64_t *ret_generation, char ret_hash[static 65])
{
	ZT_CLEANUP(bpf_live_done) struct bpf_live l;
	ZT_FREE struct zt_bpf_config *cfg = NULL;
	int r = bpf_live_open(instance, &l);

	r = r ?: bpf_read_config(&l, l.epoch & 1, &cfg);
	if (r < 0)
		return r;
	if (!cfg || l.missing || cfg->epoch != l.epoch)
		return -EUCLEAN;
	*ret_generation = cfg->generation;
	memcpy(ret_hash, cfg->hash, 64);
	ret_hash[64] = '\0';
	return 0;
}

/* ---- counters ---- */
static int read_reason(const struct bpf_live *l, uint32_t reason, struct zt_count *ret)
{
	ZT_FREE struct zt_bpf_count *v = zt_new(struct zt_bpf_count, (size_t)bpf_cpus());

	if (!v)
		return -ENOMEM;
	if (bpf_map_lookup_elem(l->map[MAP_REASONS], &reason, v) < 0)
		return -errno;
	for (int i = 0; i < bpf_cpus(); i++) {
		ret->packets += v[i].packets;
		ret->bytes += v[i].bytes;
	}
	return 0;
}

static int read_reasons(const struct bpf_live *l, struct zt_counters *c)
{
	const struct {
		uint32_t reason;
		struct zt_count *to;
	} map[] = {{ZT_BPF_R_ESTABLISHED, &c->established},
		   {ZT_BPF_R_RELATED, &c->related},
		   {ZT_BPF_R_ESSENTIAL, &c->essential},
		   {ZT_BPF_R_LOOPBACK, &c->loopback},
		   {ZT_BPF_R_SSH, &c->ssh},
		   {ZT_BPF_R_DEFAULT_EGRESS, &c->dropped[ZT_DIR_EGRESS]},
		   {ZT_BPF_R_DEFAULT_INGRESS, &c->dropped[ZT_DIR_INGRESS]},
		   {ZT_BPF_R_UNREADABLE, &c->invalid},
		   {ZT_BPF_R_NO_CONFIG, &c->invalid},
		   {ZT_BPF_R_NO_STORAGE, &c->invalid},
		   {ZT_BPF_R_LOGGED, &c->logged},
		   {ZT_BPF_R_SUPPRESSED, &c->suppressed},
		   {ZT_BPF_R_LOST, &c->suppressed},
		   {ZT_BPF_R_FENCED, &c->raw_frames}};
	int r = 0;

	for (size_t i = 0; !r && i < ZT_ARRAY_SIZE(map); i++)
		r = read_reason(l, map[i].reason, map[i].to);
	return r;
}

int bpf_counters(const struct zt_ruleset *rs, struct zt_counters *ret)
{
	ZT_CLEANUP(bpf_live_done) struct bpf_live l;
	ZT_CLEANUP(zt_counters_done) struct zt_counters c = {0};
	ZT_FREE struct zt_bpf_config *cfg = NULL;
	int r = bpf_live_open(rs->instance, &l);

	r = r ?: bpf_read_config(&l, l.epoch & 1, &cfg);
	if (!r && cfg->n_rules != rs->n_rules)
		r = -EUCLEAN;
	r = r ?: bpf_read_counts(&l, l.epoch & 1, cfg, &c.rule);
	c.n_rules = rs->n_rules;
	r = r ?: read_reasons(&l, &c);
	if (r < 0)
		return r;
	*ret = c;
	c.rule = NULL;
	return 0;
}
