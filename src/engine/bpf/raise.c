/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <bpf/bpf.h>
#include <string.h>

#include "base/mem.h"
#include "engine/bpf/load.h"

static int damage(struct zt_diags *d, const char *what)
{
	(void)zt_diag(d, ZT_ERROR, 3405, NULL, "changed by someone else: %s", what); /* the result says the same */
	return -EUCLEAN;
}

static int read_text(const struct bpf_live *l, char **ret, size_t *ret_len)
{
	ZT_FREE struct zt_bpf_config *cfg = NULL;
	int r = bpf_read_config(l, l->epoch & 1, &cfg) ?: bpf_read_meta(l, l->epoch & 1, cfg->meta_len, ret);

	if (!r)
		*ret_len = cfg->meta_len;
	return r;
}

static int parse_text(const char *text, size_t len, struct zt_ruleset **ret)
{
	struct zt_diags quiet = {0};
	int r = zt_ruleset_from_text(text, len, ret, &quiet);

	zt_diags_done(&quiet);
	return r;
}

int bpf_read_ruleset(const struct bpf_live *l, struct zt_ruleset **ret)
{
	ZT_FREE char *text = NULL;
	size_t len = 0;
	int r = read_text(l, &text, &len);
	const struct zt_image *img = r ? NULL : bpf_known(text, len);

	return r ?: img ? zt_ruleset_dup(img->rs, ret) : parse_text(text, len, ret);
}

/* Do the maps hold what the text beside them says? *ret_rs is what it says. */
static int read_and_compare(const struct bpf_live *l, struct zt_ruleset **ret_rs, const char **ret_what)
{
	ZT_CLEANUP(bpf_image_freep) struct zt_image *fresh = NULL;
	ZT_FREE char *text = NULL;
	size_t len = 0;
	int r = read_text(l, &text, &len);
	const struct zt_image *img = r ? NULL : bpf_known(text, len);

	*ret_what = "the text of the policy";
	if (!r && img) {
		r = zt_ruleset_dup(img->rs, ret_rs);
	} else if (!r) {
		r = parse_text(text, len, ret_rs) ?: bpf_lower(*ret_rs, &fresh, NULL);
		img = fresh;
	}
	if (r)
		return r == -ENOMEM ? r : 1;
	return bpf_compare(l, img, l->epoch & 1, ret_what);
}

/* -EUCLEAN: a fence was taken off. Devices that came later are a warning. */
static int look_at_fences(const struct bpf_live *l, struct zt_diags *d)
{
	char **names = NULL;
	bool torn = false;
	size_t n = 0;
	int r = bpf_fence_missing(l, &names, &n, &torn);
	bool tell = n && d && !torn && bpf_fence_probe(); /* where the kernel cannot, commit and status say so */

	for (size_t i = 0; i < n; i++) {
		if (tell)
			(void)zt_diag(d, ZT_WARNING, 3407, NULL,
				      "frames of packet sockets on %s are not fenced: zt-segment refresh mends it",
				      names[i]);
		free(names[i]);
	}
	free(names);
	return torn ? damage(d, "the fence of a device") : r;
}

int bpf_raise(const char *instance, struct zt_ruleset **ret, struct zt_diags *d)
{
	ZT_CLEANUP(bpf_live_done) struct bpf_live l;
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	const char *what = "";
	int r = bpf_live_open(instance, &l);

	if (r == -EUCLEAN)
		return damage(d, "links and maps are missing");
	if (r < 0)
		return r;
	r = read_and_compare(&l, &rs, &what);
	if (r > 0)
		return damage(d, what);
	if (!r && (l.missing || bpf_follow_lost(&l)))
		return damage(d, "programs are detached");
	r = r ?: look_at_fences(&l, d);
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
	if (!cfg || l.missing || (cfg->flags & ZT_BPF_FOLLOWED && !l.followed) || cfg->epoch != l.epoch)
		return -EUCLEAN;
	*ret_generation = cfg->generation;
	memcpy(ret_hash, cfg->hash, 64);
	ret_hash[64] = '\0';
	return 0;
}

/* ---- counters ---- */
int bpf_read_reason(const struct bpf_live *l, uint32_t reason, struct zt_count *ret)
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
		   {ZT_BPF_R_DEFAULT_FORWARD, &c->dropped[ZT_DIR_FORWARD]},
		   {ZT_BPF_R_UNREADABLE, &c->invalid},
		   {ZT_BPF_R_NO_CONFIG, &c->invalid},
		   {ZT_BPF_R_NO_STORAGE, &c->invalid},
		   {ZT_BPF_R_NO_CONFIG, &c->no_rules},
		   {ZT_BPF_R_NO_STORAGE, &c->no_memory},
		   {ZT_BPF_R_UNKNOWN, &c->unknown},
		   {ZT_BPF_R_LOGGED, &c->logged},
		   {ZT_BPF_R_SUPPRESSED, &c->suppressed},
		   {ZT_BPF_R_FENCED, &c->raw_frames}};
	struct zt_count lsm[ZT_LSM_KINDS] = {0};
	int r = 0;

	for (size_t i = 0; !r && i < ZT_ARRAY_SIZE(map); i++)
		r = bpf_read_reason(l, map[i].reason, map[i].to);
	for (uint32_t i = 0; !r && i < ZT_LSM_KINDS; i++) {
		r = bpf_read_reason(l, ZT_BPF_R_FAMILY + i, &lsm[i]);
		c->lsm[i] = lsm[i].packets;
	}
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
