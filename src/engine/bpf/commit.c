/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <bpf/bpf.h>
#include <jansson.h>
#include <string.h>

#include "base/fault.h"
#include "base/mem.h"
#include "engine/bpf/flow.h"
#include "engine/bpf/load.h"
#include "identity/identity.h"

#define FIRST_EPOCH 2u
#define TESTED_RULES 64u

const char *bpf_cgroup;

void zt_engine_cgroup(const char *path)
{
	bpf_cgroup = path && *path ? path : NULL;
}

/* ---- a test run of the egress program ---- */
static size_t packet_of(const struct zt_bpf_flow *f, uint8_t *p)
{
	uint8_t *ip = p + 14, *l4 = ip + (f->six ? 40 : 20);
	size_t len = 64;

	memset(p, 0, 14 + 40 + len);
	p[12] = f->six ? 0x86 : 0x08;
	p[13] = f->six ? 0xdd : 0x00;
	if (f->six) {
		ip[0] = 0x60;
		ip[5] = (uint8_t)len;
		ip[6] = f->proto;
		ip[7] = 64;
		memcpy(ip + 8, f->src, 16);
		memcpy(ip + 24, f->dst, 16);
	} else {
		ip[0] = 0x45;
		ip[3] = (uint8_t)(20 + len);
		ip[8] = 64;
		ip[9] = f->proto;
		memcpy(ip + 12, f->src, 4);
		memcpy(ip + 16, f->dst, 4);
	}
	l4[0] = (uint8_t)(f->sport >> 8);
	l4[1] = (uint8_t)f->sport;
	l4[2] = (uint8_t)(f->port >> 8);
	l4[3] = (uint8_t)f->port;
	if (f->proto == 6)
		l4[12] = 0x50, l4[13] = 2; /* SYN */
	if (f->proto == 1)
		l4[0] = 8;
	if (f->proto == 58)
		l4[0] = 128;
	return 14 + (f->six ? 40 : 20) + len;
}

int bpf_test_packet(const struct bpf_live *l, const struct zt_bpf_flow *f)
{
	uint8_t packet[128];
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = packet, .repeat = 1);

	o.data_size_in = (uint32_t)packet_of(f, packet);
	if (bpf_prog_test_run_opts(l->egress, &o) < 0)
		return -errno;
	return o.retval & 1;
}

/* A flow that the rule was made for, as a test run shows it: on lo, from no socket. */
static bool flow_of(const struct zt_rule *r, struct zt_bpf_flow *f)
{
	const struct zt_match *m = &r->match;
	bool six = !(m->families & ZT_FAMILY_4);
	const struct zt_addr_ranges *src = six ? &m->src6 : &m->src4, *dst = six ? &m->dst6 : &m->dst4;

	*f = (struct zt_bpf_flow){.six = six, .lo = 1, .src_known = 1, .to = ZT_LABEL_NONE, .sport = 1};
	f->proto = m->proto.n ? (uint8_t)m->proto.v[0].lo : 6;
	f->port = m->port.n ? (uint16_t)m->port.v[0].lo : 0;
	memcpy(f->src, src->n ? src->v[0].lo.b : (const uint8_t[16]){10, 1, 2, 3}, 16);
	memcpy(f->dst, dst->n ? dst->v[0].hi.b : (const uint8_t[16]){10, 3, 2, 1}, 16);
	return r->dir == ZT_DIR_EGRESS && (f->proto == 6 || f->proto == 17 || f->proto == 132) && !m->to;
}

static int test_rules(const struct bpf_live *l, const struct zt_image *img, struct zt_diags *d)
{
	uint64_t now = zt_now() / ZT_USEC_PER_SEC;

	for (size_t i = 0, n = 0; i < img->rs->n_rules && n < TESTED_RULES; i++) {
		struct zt_bpf_decision want = {0};
		struct zt_bpf_flow f;
		int r;

		if (!flow_of(&img->rs->rules[i], &f) || img->cfg->kinds[0] == UINT32_MAX)
			continue;
		n++;
		bpf_decide(img, &f, now, &want);
		r = bpf_test_packet(l, &f);
		if (r < 0)
			return zt_diag_errno(d, 3403, r, "the kernel does not run the program");
		if (r != (want.verdict == ZT_BPF_ALLOW || want.verdict == ZT_BPF_OBSERVE))
			return zt_diag(d, ZT_ERROR, 3403, NULL,
				       "a test run in the kernel decides rule \"%s\" otherwise than it reads",
				       img->rs->rules[i].id);
	}
	return 0;
}

/* ---- filling and reading back ---- */
static int fill_and_compare(const struct bpf_live *l, const struct zt_image *img, uint32_t epoch, struct zt_diags *d)
{
	const char *what = "";
	int r = bpf_fill(l, img, epoch);

	if (r < 0)
		return zt_diag_errno(d, 3404, r, "cannot fill the maps");
	r = bpf_compare(l, img, epoch & 1, &what);
	if (r > 0)
		(void)zt_diag(d, ZT_ERROR, 3404, NULL, "the kernel does not hold what was written: %s", what);
	return r > 0 ? -EIO : r;
}

static int set_epoch(const struct bpf_live *l, uint32_t epoch)
{
	uint32_t zero = 0;

	return bpf_map_update_elem(l->map[MAP_EPOCH], &zero, &epoch, BPF_ANY) < 0 ? -errno : 0;
}

int bpf_check(const struct zt_image *img, struct zt_diags *d)
{
	struct core_bpf *obj = NULL;
	struct bpf_live l;
	int r = bpf_load(&obj, &l, d);

	if (r < 0)
		return r;
	r = fill_and_compare(&l, img, FIRST_EPOCH, d);
	r = r ?: set_epoch(&l, FIRST_EPOCH);
	r = r ?: test_rules(&l, img, d);
	bpf_live_done(&l);
	bpf_unload(obj);
	return r;
}

/* ---- first commit, or one that cannot be built upon ---- */
static int guard(struct zt_diags *d)
{
	if (!getenv("ZT_TEST") || bpf_cgroup)
		return 0;
	(void)zt_diag(d, ZT_ERROR, 3404, NULL, "refusing the root control group while ZT_TEST is set");
	zt_diag_hint(d, "use --cgroup PATH with a control group made for the test");
	return -EPERM;
}

static int commit_fresh(const struct zt_image *img, struct zt_diags *d)
{
	struct core_bpf *obj = NULL;
	struct bpf_live l;
	int r = bpf_load(&obj, &l, d);

	if (r < 0)
		return r;
	r = bpf_dir(img->rs->instance, true, l.dir);
	if (r < 0)
		(void)zt_diag_errno(
			d, 3404, r,
			r == -ENXIO ? "no bpf file system is mounted, and this mount namespace would not outlive us"
				    : "no bpf file system on /sys/fs/bpf");
	r = r ?: fill_and_compare(&l, img, FIRST_EPOCH, d);
	r = r ?: set_epoch(&l, FIRST_EPOCH);
	r = r ?: zt_fault_step("bpf: maps are filled");
	r = r ?: bpf_attach(obj, &l, bpf_cgroup, d);
	bpf_live_done(&l);
	bpf_unload(obj);
	return r;
}

/* ---- the other slot ---- */
static int carry_counts(const struct bpf_live *l, const struct zt_image *img, const struct zt_ruleset *before,
			uint32_t epoch)
{
	ZT_FREE struct zt_bpf_config *old = NULL;
	ZT_FREE struct zt_count *from = NULL, *to = zt_new(struct zt_count, img->rs->n_rules + 1);
	int r = to ? bpf_read_config(l, l->epoch & 1, &old) : -ENOMEM;

	r = r ?: bpf_read_counts(l, l->epoch & 1, old, &from);
	for (size_t i = 0, k = 0; !r && i < img->rs->n_rules; i++) {
		const struct zt_rule *rule = &img->rs->rules[i];

		/* Most rules stay in order: look on from where the last one was found. */
		for (size_t n = 0; n < before->n_rules; n++, k++)
			if (zt_rule_eq(rule, &before->rules[k % before->n_rules])) {
				to[i] = from[k % before->n_rules];
				k++;
				break;
			}
	}
	return r ?: bpf_write_counts(l, epoch & 1, to, img->rs->n_rules);
}

static int commit_slot(struct bpf_live *l, const struct zt_image *img, const struct zt_ruleset *before,
		       struct zt_diags *d)
{
	uint32_t epoch = l->epoch + 1;
	int r = fill_and_compare(l, img, epoch, d);

	r = r ?: zt_fault_step("bpf: the other slot is filled");
	if (!r && img->cfg->flags & (ZT_BPF_HAS_SUBJECTS | ZT_BPF_HAS_CGROUPS)) {
		r = bpf_stamp_all(l);
		if (r < 0)
			(void)zt_diag_errno(d, 3404, r, "cannot label the sockets that exist");
	}
	if (!r && before && before->n_rules)
		r = carry_counts(l, img, before, epoch);
	r = r ?: set_epoch(l, epoch);
	if (r < 0) {
		(void)bpf_clear_slot(l, epoch & 1); /* nobody looks at it */
		return r;
	}
	(void)zt_fault_step("bpf: switched"); /* what follows is tidying that the next commit does as well */
	l->epoch = epoch;
	(void)bpf_clear_slot(l, (epoch - 1) & 1);
	return 0;
}

static bool another_cgroup(const struct bpf_live *l)
{
	uint64_t id = 0;
	unsigned level;

	return bpf_cgroup && zt_cgroup_lookup(NULL, bpf_cgroup, &id, &level) == 0 && id != l->cgroup;
}

int bpf_commit(const struct zt_image *img, bool *ret_changed, struct zt_diags *d)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *before = NULL;
	ZT_CLEANUP(bpf_live_done) struct bpf_live l;
	struct zt_diags quiet = {0};
	const char *what;
	int r = bpf_live_open(img->rs->instance, &l), g = guard(d);

	*ret_changed = true;
	if (g < 0)
		return g;
	if (!r && (l.missing || another_cgroup(&l)))
		r = -EUCLEAN;
	if (!r && bpf_compare(&l, img, l.epoch & 1, &what) == 0) {
		*ret_changed = false;
		return 0;
	}
	if (!r && bpf_raise(img->rs->instance, &before, &quiet) == -EUCLEAN)
		before = NULL; /* damaged: its counters are not carried */
	zt_diags_done(&quiet);
	if (!r) {
		ZT_FREE struct zt_bpf_config *cfg = NULL;

		r = bpf_read_config(&l, l.epoch & 1, &cfg);
	}
	r = r ? commit_fresh(img, d) : commit_slot(&l, img, before, d);
	return r < 0 && d && !d->errors ? zt_diag_errno(d, 3404, r, "cannot change the maps") : r;
}

/* ---- text ---- */
int bpf_load_text(const char *instance, const char *text, size_t len, struct zt_diags *d)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	ZT_CLEANUP(bpf_image_freep) struct zt_image *img = NULL;
	json_error_t e;
	json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);
	bool changed;
	int r;

	if (!j)
		return zt_diag(d, ZT_ERROR, 3406, NULL, "not a ruleset: line %d: %s", e.line, e.text);
	r = zt_ruleset_from_json(j, &rs, d);
	json_decref(j);
	if (!r && strcmp(rs->instance, instance ? instance : "default") != 0)
		r = zt_diag(d, ZT_ERROR, 3406, NULL, "the ruleset is of instance \"%s\"", rs->instance);
	r = r ?: bpf_lower(rs, &img, d);
	return r ?: bpf_commit(img, &changed, d);
}
