/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
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

static int forget_packets(const struct bpf_live *l)
{
	struct zt_bpf_flow_key k;
	int r = 0;

	while (!r && bpf_map_get_next_key(l->map[MAP_FLOWS], NULL, &k) == 0)
		r = bpf_map_delete_elem(l->map[MAP_FLOWS], &k) < 0 ? -errno : 0;
	return r ?: errno == ENOENT ? 0 : -errno;
}

static int forget_reasons(const struct bpf_live *l)
{
	ZT_FREE struct zt_bpf_count *none = zt_new(struct zt_bpf_count, (size_t)bpf_cpus());
	int r = none ? 0 : -ENOMEM;

	for (uint32_t i = 0; !r && i < ZT_BPF_REASONS; i++)
		r = bpf_map_update_elem(l->map[MAP_REASONS], &i, none, BPF_ANY) < 0 ? -errno : 0;
	return r;
}

static int ignore_event(void *arg, void *data, size_t len)
{
	(void)arg;
	(void)data;
	(void)len;
	return 0;
}

static int forget_events(const struct bpf_live *l)
{
	static const struct zt_bpf_event none;
	struct zt_bpf_limit limit = {0};
	struct ring_buffer *ring = ring_buffer__new(l->map[MAP_EVENTS], ignore_event, NULL, NULL);
	uint32_t zero = 0;
	int r = ring ? ZT_MIN(ring_buffer__consume(ring), 0) : -errno;

	ring_buffer__free(ring);
	if (!r && bpf_map_lookup_elem(l->map[MAP_LIMIT], &zero, &limit) < 0)
		r = -errno;
	for (uint32_t i = 0; !r && i < ZT_MIN(limit.told, (uint64_t)ZT_BPF_RECORDED); i++)
		r = bpf_map_update_elem(l->map[MAP_RECORD], &i, &none, BPF_ANY) < 0 ? -errno : 0;
	limit = (struct zt_bpf_limit){0};
	if (!r && bpf_map_update_elem(l->map[MAP_LIMIT], &zero, &limit, BPF_ANY) < 0)
		r = -errno;
	return r;
}

/* What test runs leave behind: nothing of it happened. Counters of rules go with the maps of the slot. */
static int forget_tests(const struct bpf_live *l)
{
	return forget_packets(l) ?: forget_reasons(l) ?: forget_events(l);
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

/* Rules about Unix sockets are the LSM layer's: refused where it cannot be. */
static int refuse_unix(const struct zt_image *img, struct zt_diags *d)
{
	const struct zt_ruleset *rs = img->rs;
	const char *why = "";
	struct zt_span at = {.col = 1};

	if (!(img->cfg->flags & ZT_BPF_HAS_UNIX) || bpf_unix_sockets(img->rs->instance, &why) == 0)
		return 0;
	for (size_t i = rs->n_rules; i-- > 0;) /* the first one that somebody wrote */
		if (rs->rules[i].dir == ZT_DIR_UNIX && !zt_rule_follows(&rs->rules[i])) {
			at.file = rs->rules[i].file < rs->n_files ? rs->files[rs->rules[i].file] : NULL;
			at.line = rs->rules[i].line;
		}
	(void)zt_diag(d, ZT_ERROR, 4920, at.line ? &at : NULL, "rules about Unix sockets cannot be enforced: %s", why);
	zt_diag_hint(d, "settings: {unix: where-possible} leaves these rules out where they cannot be enforced");
	return -ENOTSUP;
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

/* Programs that bpf_check() loaded and tried, for the commit of the same image: those that decide are those that were tried. */
static struct {
	const struct zt_image *img;
	struct core_bpf *obj;
	struct bpf_live l;
} tried;

static void drop_tried(void)
{
	if (!tried.img)
		return;
	bpf_live_done(&tried.l);
	bpf_unload(tried.obj);
	tried.img = NULL;
}

void bpf_image_forgotten(const struct zt_image *img)
{
	if (img == tried.img)
		drop_tried();
}

static int take_tried(const struct zt_image *img, struct core_bpf **ret_obj, struct bpf_live *ret, struct zt_diags *d)
{
	if (tried.img != img)
		return bpf_load(ret_obj, ret, d);
	*ret_obj = tried.obj;
	*ret = tried.l;
	tried.img = NULL;
	return 0;
}

static int commit_fresh(const struct zt_image *img, struct zt_diags *d)
{
	struct core_bpf *obj = NULL;
	struct bpf_live l;
	int r = take_tried(img, &obj, &l, d);

	if (r < 0)
		return r;
	r = bpf_dir(img->rs->instance, true, l.dir);
	if (r < 0)
		(void)zt_diag_errno(
			d, 3404, r,
			r == -ENXIO ? "no bpf file system is mounted, and this mount namespace would not outlive us"
				    : "no bpf file system on /sys/fs/bpf");
	if (!r && img->n_paths)
		r = bpf_follow_attach(&l);
	r = r ?: fill_and_compare(&l, img, FIRST_EPOCH, d);
	r = r ?: set_epoch(&l, FIRST_EPOCH);
	r = r ?: zt_fault_step("bpf: maps are filled");
	r = r ?: bpf_attach(obj, &l, bpf_cgroup, img->cfg->flags & ZT_BPF_HAS_UNIX, d);
	l.epoch = FIRST_EPOCH;
	r = r ?: bpf_note_guard(&l);
	if (!r && img->cfg->flags & ZT_BPF_HAS_UNIX) /* those that were bound before the layer looked */
		r = bpf_stamp_all(&l);
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

	if (!r && (old->n_rules != before->n_rules || old->stride != old->n_rules))
		return 0; /* changed by someone else: whose counters these are cannot be known */
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
	uint32_t epoch = bpf_next_epoch(l);
	int r = img->n_paths && !l->followed ? bpf_follow_attach(l) ?: bpf_follow_pin(l, l->dir) : 0;

	r = r ?: fill_and_compare(l, img, epoch, d);

	r = r ?: zt_fault_step("bpf: the other slot is filled");
	if (!r && img->cfg->flags & (ZT_BPF_HAS_SUBJECTS | ZT_BPF_HAS_CGROUPS | ZT_BPF_HAS_UNIX)) {
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

/* 0: the next commit fills the other slot of what is attached. Else why it cannot. */
static int open_sound(const struct zt_image *img, struct bpf_live *l)
{
	ZT_FREE struct zt_bpf_config *cfg = NULL;
	int r = bpf_live_open(img->rs->instance, l);

	if (!r && (l->missing || bpf_follow_lost(l) || another_cgroup(l) ||
		   (img->cfg->flags & ZT_BPF_HAS_UNIX && !bpf_lsm_pins(l->dir)) ||
		   (bpf_forward_needed(img) && !bpf_forward_links(l))))
		r = -EUCLEAN;
	return r ?: bpf_read_config(l, l->epoch & 1, &cfg);
}

/*
 * In maps that nobody looks at yet, by the program that will decide; a commit of the same image goes on with them. Where the programs are attached
 * already, they are those that will decide, and the commit reads the other slot back before anybody looks at it: loading them once more would prove
 * nothing and take longer than all the rest.
 */
int bpf_check(const struct zt_image *img, struct zt_diags *d)
{
	ZT_CLEANUP(bpf_live_done) struct bpf_live live;
	int r = refuse_unix(img, d) ?: bpf_refuse_forward(img, d);

	bpf_live_init(&live);
	if (r < 0)
		return r;
	drop_tried();
	r = open_sound(img, &live);
	r = r ? bpf_load(&tried.obj, &tried.l, d) : 1;
	if (r)
		return ZT_MIN(r, 0);
	tried.img = img;
	r = fill_and_compare(&tried.l, img, FIRST_EPOCH, d);
	r = r ?: set_epoch(&tried.l, FIRST_EPOCH);
	r = r ?: test_rules(&tried.l, img, d);
	if (!r && (r = forget_tests(&tried.l)) < 0)
		(void)zt_diag_errno(d, 3404, r, "cannot empty the maps after the test");
	if (r < 0)
		drop_tried();
	return r;
}

/* Devices come and go without a policy. */
static int fence_devices(const char *instance, bool *ret_changed, struct zt_diags *d)
{
	ZT_CLEANUP(bpf_live_done) struct bpf_live l;
	ZT_FREE char *path = NULL;
	ZT_CLOSE int fd = -1;
	unsigned added = 0;
	uint32_t level;
	uint64_t id;
	int r = bpf_live_open(instance, &l);

	r = r ?: bpf_where(&l, &path, &id, &level);
	if (!r && (fd = bpf_open_cgroup(path)) < 0)
		r = fd;
	r = r ?: bpf_fence(&l, l.dir, fd, &added);
	if (r < 0)
		(void)zt_diag(d, ZT_WARNING, 3407, NULL, "frames of packet sockets are not fenced: %s", strerror(-r));
	*ret_changed = *ret_changed || added;
	return 0;
}

int bpf_commit(const struct zt_image *img, bool *ret_changed, struct zt_diags *d)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *before = NULL;
	ZT_CLEANUP(bpf_live_done) struct bpf_live l;
	const char *what;
	int r = open_sound(img, &l), g = guard(d);

	*ret_changed = true;
	if (g < 0)
		return g;
	g = refuse_unix(img, d) ?: bpf_refuse_forward(img, d);
	if (g < 0)
		return g;
	if (!r && bpf_compare(&l, img, l.epoch & 1, &what) == 0) {
		*ret_changed = false;
		return fence_devices(img->rs->instance, ret_changed, d);
	}
	if (!r && bpf_read_ruleset(&l, &before) < 0)
		before = NULL; /* damaged: its counters are not carried */
	if (r)
		r = commit_fresh(img, d);
	else
		r = commit_slot(&l, img, before, d) ?: fence_devices(img->rs->instance, ret_changed, d);
	return r < 0 && d && !d->errors ? zt_diag_errno(d, 3404, r, "cannot change the maps") : r;
}

/* ---- text ---- */
int bpf_load_text(const char *instance, const char *text, size_t len, struct zt_diags *d)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	ZT_CLEANUP(bpf_image_freep) struct zt_image *img = NULL;
	bool changed;
	int r = zt_ruleset_from_text(text, len, &rs, d);

	if (!r && strcmp(rs->instance, instance ? instance : "default") != 0)
		r = zt_diag(d, ZT_ERROR, 3406, NULL, "the ruleset is of instance \"%s\"", rs->instance);
	r = r ?: bpf_lower(rs, &img, d);
	return r ?: bpf_commit(img, &changed, d);
}
