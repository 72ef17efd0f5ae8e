/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The decision of the kernel, run over what lower makes, against the oracle: random rulesets, random flows at the borders of the rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/bpf/flow.h"
#include "engine/bpf/load.h"
#include "random_bpf.h"

/* ---- flows ---- */
static uint32_t number_near(unsigned *s, const struct zt_u32_ranges *l, uint32_t other)
{
	const struct zt_u32_range *r = l->n ? &l->v[rnd(s, (unsigned)l->n)] : NULL;

	if (!r || rnd(s, 5) == 0)
		return other;
	return rnd(s, 2) ? r->lo + rnd(s, 3) - (r->lo > 0) : r->hi + rnd(s, 3) - (r->hi > 0);
}

static struct zt_addr addr_near(unsigned *s, const struct zt_addr_ranges *l, uint8_t family)
{
	struct zt_addr a = {.family = family};
	unsigned n = family == 4 ? 4 : 16;

	if (l->n && rnd(s, 5)) {
		a = rnd(s, 2) ? l->v[rnd(s, (unsigned)l->n)].lo : l->v[rnd(s, (unsigned)l->n)].hi;
		if (rnd(s, 3) == 0)
			a.b[n - 1] = (uint8_t)(a.b[n - 1] + (rnd(s, 2) ? 1 : 255));
		return a;
	}
	for (unsigned i = 0; i < n; i++)
		a.b[i] = (uint8_t)rnd(s, 256);
	return a;
}

static void random_actor(unsigned *s, struct zt_actor *a, uint32_t *groups)
{
	static const uint64_t chains[][4] = {{0}, {101, 0}, {101, 102, 0}, {103, 0}, {103, 110, 104, 0}};
	unsigned chain = rnd(s, 5);

	*a = (struct zt_actor){.known = rnd(s, 6) != 0,
			       .uid = 999 + rnd(s, 9),
			       .gid = 49 + rnd(s, 9),
			       .groups = groups,
			       .n_groups = rnd(s, 3)};
	for (size_t i = 0; i < a->n_groups; i++)
		groups[i] = 49 + rnd(s, 9);
	for (int i = 0; i < 4; i++)
		a->cgroup[i] = chains[chain][i];
	a->exe = (struct zt_file_id){
		.dev = 8 << 20 | 1, .ino = 1000 + rnd(s, 4), .ctime_sec = 5, .ctime_nsec = rnd(s, 3)};
	a->parent = (struct zt_file_id){
		.dev = 8 << 20 | 1, .ino = 1000 + rnd(s, 4), .ctime_sec = 5, .ctime_nsec = rnd(s, 3)};
}

struct question {
	struct zt_flow f;
	struct zt_actor sender, receiver;
	uint32_t groups[2][4];
};

static void random_flow(unsigned *s, const struct zt_ruleset *rs, struct question *q)
{
	static const struct zt_match none;
	static const uint8_t protos[] = {6, 17, 132, 1, 58, 47, 2};
	const struct zt_rule *near = rs->n_rules ? &rs->rules[rnd(s, (unsigned)rs->n_rules)] : NULL;
	const struct zt_match *m = near ? &near->match : &none;
	uint8_t family = near && rnd(s, 8) ? (m->families == 1	 ? 4
					      : m->families == 2 ? 6
					      : rnd(s, 2)	 ? 4
								 : 6)
			 : rnd(s, 2)	   ? 4
					   : 6;
	struct zt_flow *f = &q->f;

	*f = (struct zt_flow){.dir = near && rnd(s, 8) ? near->dir : (enum zt_direction)rnd(s, 3)};
	f->proto = m->proto.n && rnd(s, 6) ? (uint8_t)m->proto.v[rnd(s, (unsigned)m->proto.n)].lo
					   : protos[rnd(s, sizeof(protos))];
	f->port = zt_proto_has_ports(f->proto) ? (uint16_t)number_near(s, &m->port, rnd(s, 65536)) : 0;
	f->src = addr_near(s, family == 4 ? &m->src4 : &m->src6, family);
	f->dst = addr_near(s, family == 4 ? &m->dst4 : &m->dst6, family);
	f->loopback = f->dir != ZT_DIR_FORWARD && rnd(s, 4) == 0;
	f->at = (UINT64_C(1899980000) + rnd(s, 60000) + UINT64_C(60000) * rnd(s, 10)) * 1000000;
	random_actor(s, &q->sender, q->groups[0]);
	random_actor(s, &q->receiver, q->groups[1]);
	if (near && near->dir == ZT_DIR_UNIX && rnd(s, 8))
		f->unix_name = m->unix_names.n && rnd(s, 4) ? m->unix_names.v[rnd(s, (unsigned)m->unix_names.n)]
			       : rnd(s, 2)		    ? "/run/b/c"
							    : NULL;
	if ((f->dir == ZT_DIR_EGRESS || f->dir == ZT_DIR_UNIX) && rnd(s, 8)) {
		f->owned = true;
		q->sender.uid = f->uid = number_near(s, m->from ? &m->from->uid : &m->uid, q->sender.uid);
		q->sender.gid = f->gid = number_near(s, m->from ? &m->from->gid : &m->gid, q->sender.gid);
		memcpy(f->cgroup, q->sender.cgroup, sizeof(f->cgroup));
		f->sender = &q->sender;
	}
	if (f->dir != ZT_DIR_FORWARD && rnd(s, 4))
		f->receiver = &q->receiver;
}

/* ---- as the kernel sees it ---- */
static uint32_t label_of(const struct zt_image *img, const struct zt_actor *a)
{
	struct zt_set_bits set = {0};

	if (!a || !a->known)
		return ZT_LABEL_UNKNOWN;
	for (size_t i = 0; i < img->rs->n_subjects; i++)
		if (zt_subject_match(img->rs->subjects[i], a))
			set.w[i / 64] |= UINT64_C(1) << (i % 64);
	return zt_labels_find(&img->subjects, &set);
}

static uint32_t cgroup_label_of(const struct zt_image *img, const struct zt_flow *f)
{
	struct zt_actor a = {.known = true};
	struct zt_set_bits set = {0};

	memcpy(a.cgroup, f->cgroup, sizeof(a.cgroup));
	for (size_t i = 0; i < img->cgroup_rs->n_subjects; i++)
		if (zt_subject_match(img->cgroup_rs->subjects[i], &a))
			set.w[i / 64] |= UINT64_C(1) << (i % 64);
	return img->cgroup_rs->n_subjects ? zt_labels_find(&img->cgroups, &set) : 0;
}

static struct zt_bpf_flow kernel_flow(const struct zt_image *img, const struct zt_flow *f)
{
	struct zt_bpf_flow k = {.uid = f->uid,
				.gid = f->gid,
				.from = label_of(img, f->sender),
				.to = f->receiver ? label_of(img, f->receiver) : ZT_LABEL_NONE,
				.cgroup = f->owned ? cgroup_label_of(img, f) : 0,
				.port = f->port,
				.dir = (uint8_t)f->dir,
				.six = f->dst.family == 6,
				.proto = f->proto,
				.owned = f->owned,
				.src_known = f->src.family != 0,
				.lo = f->loopback};

	if (f->dir == ZT_DIR_UNIX) {
		uint32_t number = 0;

		for (size_t i = 0; f->unix_name && i < img->n_names; i++)
			if (!strcmp(img->names[i].key.text, f->unix_name))
				number = img->names[i].number;
		k.six = k.lo = k.proto = k.src_known = 0;
		k.port = 0;
		memcpy(k.dst, &number, sizeof(number));
		return k;
	}
	memcpy(k.src, f->src.b, 16);
	memcpy(k.dst, f->dst.b, 16);
	return k;
}

static void assert_same_decision(const struct zt_image *img, const struct question *q, unsigned seed, unsigned n)
{
	static const uint32_t reasons[] = {[ZT_BY_LOOPBACK] = ZT_BPF_R_LOOPBACK, [ZT_BY_SSH] = ZT_BPF_R_SSH};
	struct zt_bpf_flow k = kernel_flow(img, &q->f);
	struct zt_bpf_decision got = {0};
	struct zt_decision want;

	zt_oracle_decide(img->rs, &q->f, &want);
	bpf_decide(img, &k, q->f.at / 1000000, &got);
	if (got.verdict != want.verdict || got.rule != (want.rule ? want.rule->seq - 1 : ZT_BPF_NO_RULE))
		fail_msg("ruleset %u, flow %u: the oracle says %s by rule %d, the kernel %u by %d", seed, n,
			 zt_verdict_name(want.verdict), want.rule ? (int)want.rule->seq - 1 : -1, got.verdict,
			 (int)got.rule);
	if (want.by == ZT_BY_LOOPBACK || want.by == ZT_BY_SSH)
		assert_int_equal(got.reason, reasons[want.by]);
}

static size_t compare_all(unsigned seed, unsigned max_rules, bool processes, unsigned flows)
{
	struct zt_ruleset *rs = random_bpf_ruleset(seed, max_rules, processes);
	struct zt_image *img = NULL;
	struct zt_diags d = {0};
	unsigned s = seed + 99;
	size_t n = 0;
	int r;

	for (size_t i = 0; processes && i < rs->n_rules; i++)
		if (rnd(&s, 3) == 0)
			random_unix(&s, &rs->rules[i]);
	r = bpf_lower(rs, &img, &d);

	if (r == -ENOTSUP) { /* too much for the engine: it says so */
		assert_true(d.errors > 0);
	} else {
		if (r < 0)
			zt_diags_print(&d, stderr, false);
		assert_int_equal(r, 0);
		for (; n < flows; n++) {
			struct question q;

			random_flow(&s, rs, &q);
			assert_same_decision(img, &q, seed, (unsigned)n);
		}
	}
	bpf_image_free(img);
	zt_ruleset_free(rs);
	zt_diags_done(&d);
	return n;
}

static void test_oracle(void **state)
{
	unsigned rounds = getenv("ZT_ROUNDS") ? (unsigned)strtoul(getenv("ZT_ROUNDS"), NULL, 10) : 120;
	size_t asked = 0;

	(void)state;
	for (unsigned seed = 1; seed <= rounds; seed++)
		asked += compare_all(seed, seed % 3 ? 12 : 40, seed & 1, 400);
	print_message("%zu flows compared in %u rulesets\n", asked, rounds);
	assert_true(asked > rounds * 400 * 3 / 4); /* few may be refused */
}

/* ---- classes ---- */
static int count_id(void *arg, uint32_t id)
{
	*(uint64_t *)arg |= UINT64_C(1) << (id & 63);
	return 0;
}

static int in_prefix(void *arg, bpf_u128 base, unsigned len, uint32_t id)
{
	uint32_t *want = arg;

	(void)id;
	assert_true(len <= 8);
	for (unsigned v = (unsigned)base; v < (unsigned)base + (1u << (8 - len)); v++)
		want[v]++;
	return 0;
}

/* Every range over one byte is cut into prefixes that cover it once. */
static void test_prefixes(void **state)
{
	(void)state;
	for (unsigned lo = 0; lo < 256; lo++)
		for (unsigned hi = lo; hi < 256; hi++) {
			uint32_t times[256] = {0};

			assert_int_equal(bpf_range_prefixes(lo, hi, 8, in_prefix, times, 1), 0);
			for (unsigned v = 0; v < 256; v++)
				assert_int_equal(times[v], v >= lo && v <= hi);
		}
}

/* 10/8 with a hole asked for by another rule: the two parts around the hole are one class. */
static void test_classes(void **state)
{
	struct bpf_classes c = {0};
	uint64_t outer = 0, inner = 0, all = 0;

	(void)state;
	assert_int_equal(bpf_classes_add(&c, 0x0a000000, 0x0affffff), 0);
	assert_int_equal(bpf_classes_add(&c, 0x0a010000, 0x0a01ffff), 0);
	assert_int_equal(bpf_classes_add(&c, 0x0a000000, 0x0affffff), 0);
	assert_int_equal(bpf_classes_add(&c, 0, ~(bpf_u128)0), 0);
	assert_int_equal(bpf_classes_make(&c), 0);
	assert_int_equal(c.n_ids, 3);
	assert_int_equal(bpf_classes_of(&c, 0x0a000000, 0x0affffff, count_id, &outer), 0);
	assert_int_equal(bpf_classes_of(&c, 0x0a010000, 0x0a01ffff, count_id, &inner), 0);
	assert_int_equal(bpf_classes_of(&c, 0, ~(bpf_u128)0, count_id, &all), 0);
	assert_int_equal(__builtin_popcountll(outer), 2);
	assert_int_equal(__builtin_popcountll(inner), 1);
	assert_int_equal(__builtin_popcountll(all), 3);
	assert_true((outer & inner) == inner);
	bpf_classes_done(&c);
}

/* Forwarded packets have tables and a default of their own. */
static void test_forward(void **state)
{
	struct zt_ruleset *rs = random_bpf_ruleset(3, 10, false);
	struct zt_bpf_flow f = {
		.dir = ZT_BPF_FORWARD, .proto = 132, .to = ZT_LABEL_NONE, .port = 60999, .src_known = 1};
	struct zt_bpf_decision d = {0};

	(void)state;
	assert_true(rs->n_rules > 1);
	for (int forward = 0; forward < 2; forward++) {
		struct zt_image *img = NULL;

		for (size_t i = 0; i < rs->n_rules; i++)
			rs->rules[i].dir = forward && !i ? ZT_DIR_FORWARD : ZT_DIR_INGRESS;
		rs->settings.def[ZT_DIR_EGRESS] = rs->settings.def[ZT_DIR_INGRESS] = ZT_DEFAULT_ALLOW;
		rs->settings.def[ZT_DIR_FORWARD] = ZT_DEFAULT_DENY;
		rs->settings.mode = ZT_MODE_ENFORCE;
		assert_int_equal(bpf_lower(rs, &img, NULL), 0);
		assert_int_equal(bpf_forward_needed(img), forward);
		bpf_decide(img, &f, 0, &d);
		assert_true(d.verdict == ZT_BPF_REJECT || d.verdict == ZT_BPF_DROP);
		assert_int_equal(d.reason, ZT_BPF_R_DEFAULT_FORWARD);
		bpf_image_free(img);
	}
	zt_ruleset_free(rs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_forward),
		cmocka_unit_test(test_oracle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
