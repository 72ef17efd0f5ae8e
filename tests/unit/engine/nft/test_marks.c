/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers of processes: what they mean for good, their text, and verdict maps looked up by them against the oracle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../bpf/random_bpf.h"
#include "engine/nft/nft.h"

static uint32_t number_of(const struct nft_marks *m, const struct zt_actor *a)
{
	return nft_marks_number(m, a);
}

/* ---- maps as the kernel looks them up ---- */
struct packet {
	const struct zt_flow *f;
	uint32_t from, to; /* numbers */
	bool receiver;	   /* a socket was found */
};

static bool in_range(const struct nft_value *v, uint64_t x)
{
	return v->lo <= x && x <= v->hi;
}

static bool in_addrs(const struct nft_value *v, const struct zt_addr *a)
{
	return zt_addr_cmp(&v->alo, a) <= 0 && zt_addr_cmp(a, &v->ahi) <= 0;
}

static bool dim_matches(const struct zt_image *img, const struct nft_shape *s, int dim, const struct nft_value *v,
			const struct packet *p)
{
	const struct zt_flow *f = p->f;
	uint32_t shift = img->marks ? nft_marks_shift(img->marks) : 0;

	switch ((enum nft_dim)dim) {
	case DIM_FROM:
		return in_range(v, (uint64_t)p->from << shift);
	case DIM_TO:
		return p->receiver && in_range(v, (uint64_t)p->to << shift);
	case DIM_CGROUP:
		return f->owned && in_range(v, f->cgroup[s->level - 1]);
	case DIM_UID:
		return f->owned && in_range(v, f->uid);
	case DIM_GID:
		return f->owned && in_range(v, f->gid);
	case DIM_NFPROTO:
		return in_range(v, f->dst.family == 4 ? 2 : 10);
	case DIM_SRC:
		return s->family == f->src.family && in_addrs(v, &f->src);
	case DIM_DST:
		return s->family == f->dst.family && in_addrs(v, &f->dst);
	case DIM_PROTO:
		return in_range(v, f->proto);
	case DIM_PORT:
		return in_range(v, f->port);
	case N_DIMS:
		break;
	}
	return false;
}

static bool guard_open(const struct nft_guard *g, zt_usec at)
{
	uint32_t second = (uint32_t)((at / ZT_USEC_PER_SEC + 3 * 86400) % 604800);
	bool open = !g->n_windows;

	for (size_t i = 0; i < g->n_windows; i++)
		open = open || (g->windows[i].start <= second && second < g->windows[i].end);
	return open && (!g->expires || at < g->expires);
}

static bool elem_matches(const struct zt_image *img, const struct nft_elem *e, const struct packet *p)
{
	const struct nft_shape *s = &img->strata[e->stratum].shape;
	struct nft_value v[N_DIMS];

	nft_shape_decode(s, e->key, e->end, v);
	for (int d = 0; d < N_DIMS; d++)
		if (s->dims & (1u << d) && !dim_matches(img, s, d, &v[d], p))
			return false;
	return true;
}

/* The rule that decides, or -1: the default. Two elements of one map that match would be an error of the kernel's. */
static int look_up(const struct zt_image *img, const struct packet *p)
{
	bool pairs = img->marks && img->marks->pairs;

	for (size_t s = 0; s < img->n_strata; s++) { /* strata of a direction are in the order of their places */
		int found = -1;

		if (img->strata[s].dir != p->f->dir || !guard_open(&img->guards[img->strata[s].guard], p->f->at))
			continue;
		if (pairs && p->f->dir == ZT_DIR_EGRESS && !p->f->loopback &&
		    img->strata[s].shape.dims & (1u << DIM_TO))
			continue; /* not looked up in output */
		for (size_t i = 0; i < img->n_elems; i++)
			if (img->elems[i].stratum == s && elem_matches(img, &img->elems[i], p)) {
				assert_true(found < 0 || found == (int)img->elems[i].rule);
				found = (int)img->elems[i].rule;
			}
		if (found >= 0)
			return found;
	}
	return -1;
}

/* ---- flows near the rules ---- */
struct question {
	struct zt_flow f;
	struct zt_actor sender, receiver;
	uint32_t groups[2][4];
};

static void random_actor(unsigned *s, struct zt_actor *a, uint32_t *groups)
{
	static const uint64_t chains[][4] = {{0}, {101, 0}, {101, 102, 0}, {103, 0}, {103, 110, 104, 0}};
	unsigned chain = rnd(s, 5);

	*a = (struct zt_actor){.known = rnd(s, 4) != 0,
			       .uid = 999 + rnd(s, 9),
			       .gid = 49 + rnd(s, 9),
			       .groups = groups,
			       .n_groups = rnd(s, 3)};
	for (size_t i = 0; i < a->n_groups; i++)
		groups[i] = 49 + rnd(s, 9);
	for (int i = 0; i < 4; i++)
		a->cgroup[i] = chains[chain][i];
	a->exe = (struct zt_file_id){.dev = 8 << 20 | 1, .ino = 1000 + rnd(s, 4), .ctime_sec = 5};
	a->exe.ctime_nsec = (uint32_t)(a->exe.ino - 1000);
	a->parent = (struct zt_file_id){.dev = 8 << 20 | 1, .ino = 1000 + rnd(s, 4), .ctime_sec = 5};
	a->parent.ctime_nsec = (uint32_t)(a->parent.ino - 1000);
}

static struct zt_addr addr_near(unsigned *s, const struct zt_addr_ranges *l, uint8_t family)
{
	struct zt_addr a = {.family = family, .b = {10, 0, 0, 1}};

	if (l->n && rnd(s, 6))
		return rnd(s, 2) ? l->v[rnd(s, (unsigned)l->n)].lo : l->v[rnd(s, (unsigned)l->n)].hi;
	return a;
}

static void random_question(unsigned *s, const struct zt_ruleset *rs, struct question *q)
{
	const struct zt_rule *near = &rs->rules[rnd(s, (unsigned)rs->n_rules)];
	const struct zt_match *m = &near->match;
	uint8_t family = m->families == 1 ? 4 : m->families == 2 ? 6 : rnd(s, 2) ? 4 : 6;
	struct zt_flow *f = &q->f;

	*f = (struct zt_flow){.dir = near->dir, .loopback = near->dir == ZT_DIR_EGRESS && rnd(s, 2)};
	f->proto = m->proto.n && rnd(s, 8) ? (uint8_t)m->proto.v[0].lo : 6;
	f->port = zt_proto_has_ports(f->proto) ? (uint16_t)(m->port.n && rnd(s, 8) ? m->port.v[0].lo : rnd(s, 65536))
					       : 0;
	f->src = addr_near(s, family == 4 ? &m->src4 : &m->src6, family);
	f->dst = addr_near(s, family == 4 ? &m->dst4 : &m->dst6, family);
	f->at = (UINT64_C(1899980000) + rnd(s, 60000) + UINT64_C(60000) * rnd(s, 10)) * 1000000;
	random_actor(s, &q->sender, q->groups[0]);
	random_actor(s, &q->receiver, q->groups[1]);
	if (f->dir == ZT_DIR_EGRESS && rnd(s, 8)) {
		f->owned = true;
		f->uid = q->sender.uid;
		f->gid = q->sender.gid;
		memcpy(f->cgroup, q->sender.cgroup, sizeof(f->cgroup));
		f->sender = &q->sender;
	}
	if ((f->dir == ZT_DIR_INGRESS || f->loopback) && rnd(s, 6))
		f->receiver = &q->receiver;
}

static void ask(const struct zt_image *img, unsigned *s, unsigned seed)
{
	struct zt_decision want;
	struct question q;
	struct packet p;
	int got;

	random_question(s, img->rs, &q);
	if (img->rs->settings.loopback == ZT_LOOPBACK_ALLOW && q.f.loopback)
		return; /* accepted before any map */
	if (q.f.dir == ZT_DIR_INGRESS && q.f.proto == 6 && zt_u32_ranges_has(&img->rs->ssh_ports, q.f.port))
		return;
	p = (struct packet){.f = &q.f, .receiver = q.f.receiver};
	if (img->marks && q.f.sender)
		p.from = number_of(img->marks, q.f.sender);
	if (img->marks && q.f.receiver)
		p.to = number_of(img->marks, q.f.receiver);
	zt_oracle_decide(img->rs, &q.f, &want);
	got = look_up(img, &p);
	if (got != (want.rule ? (int)want.rule->seq - 1 : -1))
		fail_msg("ruleset %u: the oracle says rule %d, the maps %d", seed,
			 want.rule ? (int)want.rule->seq - 1 : -1, got);
}

/* A primary group of a sender beside receivers cannot come from a policy, and is refused. */
static void drop_groups(struct zt_ruleset *rs)
{
	for (size_t i = 0; i < rs->n_rules; i++)
		zt_u32_ranges_done(&rs->rules[i].match.gid);
	assert_int_equal(zt_ruleset_rehash(rs), 0);
}

static size_t compare_all(unsigned seed, unsigned max_rules)
{
	struct zt_ruleset *rs = random_bpf_ruleset(seed, max_rules, true);
	struct zt_image *img = NULL;
	struct zt_diags d = {0};
	unsigned s = seed + 7;
	size_t n = 0;
	int r;

	drop_groups(rs);
	r = nft_lower(rs, &img, &d);
	if (r == -ENOTSUP)
		assert_true(d.errors > 0); /* too much for the engine: it says so */
	else
		assert_int_equal(r, 0);
	for (; !r && rs->n_rules && n < 150; n++)
		ask(img, &s, seed);
	nft_image_free(img);
	zt_ruleset_free(rs);
	zt_diags_done(&d);
	return n;
}

static void test_oracle(void **state)
{
	unsigned rounds = getenv("ZT_ROUNDS") ? (unsigned)strtoul(getenv("ZT_ROUNDS"), NULL, 10) : 60;
	size_t asked = 0;

	(void)state;
	for (unsigned seed = 1; seed <= rounds; seed++)
		asked += compare_all(seed, 10);
	assert_true(asked > (size_t)rounds * 75);
}

/* ---- rules that only an unknown process has in common ---- */
static void add_rule(struct zt_ruleset *rs, enum zt_verdict verdict, uint32_t uid, uint64_t ino)
{
	struct zt_rule *r = zt_ruleset_add(rs);
	struct zt_exe exe = {.path = (char[]){"/x"}, .id = {.dev = 1, .ino = ino, .ctime_sec = 1}};
	struct zt_subject s = {.text = exe.path, .exes = &exe, .n_exes = 1};

	r->id = zt_strdup("rule");
	r->part = r->seq;
	r->verdict = verdict;
	r->match.families = 3;
	exe.path[1] = (char)('a' + ino);
	assert_int_equal(zt_u32_ranges_add(&r->match.uid, uid, uid), 0);
	assert_int_equal(zt_u32_ranges_add(&r->match.proto, 6, 6), 0);
	assert_int_equal(zt_u32_ranges_add(&r->match.port, 80, 80), 0);
	assert_int_equal(zt_u32_ranges_copy(&s.uid, &r->match.uid), 0);
	if (ino)
		assert_int_equal(zt_ruleset_subject(rs, &s, &r->match.from), 0);
	zt_u32_ranges_done(&s.uid);
}

static int decider(const struct zt_image *img, uint32_t uid)
{
	struct zt_actor a = {.uid = uid};
	struct zt_flow f = {.dir = ZT_DIR_EGRESS,
			    .owned = true,
			    .uid = uid,
			    .sender = &a,
			    .dst = {.family = 4},
			    .proto = 6,
			    .port = 80};
	struct zt_decision want;
	int got = look_up(img, &(struct packet){.f = &f, .from = number_of(img->marks, &a)});

	zt_oracle_decide(img->rs, &f, &want);
	assert_int_equal(got, want.rule ? (int)want.rule->seq - 1 : -1);
	return got;
}

static void test_unknown_in_common(void **state)
{
	struct zt_ruleset *rs;
	struct zt_image *img;

	(void)state;
	assert_int_equal(zt_ruleset_new(&rs), 0);
	add_rule(rs, ZT_ALLOW, 1000, 1);
	add_rule(rs, ZT_ALLOW, 1001, 0); /* a rule for a user: also when his program is unknown */
	add_rule(rs, ZT_DROP, 1002, 2);	 /* does not stand with the first, before the second */
	add_rule(rs, ZT_REJECT, 1003, 3);
	assert_int_equal(zt_ruleset_rehash(rs), 0);
	assert_int_equal(nft_lower(rs, &img, NULL), 0);
	assert_int_equal(decider(img, 1001), 1);
	assert_int_equal(decider(img, 1000), 2);
	assert_int_equal(decider(img, 1003), 2); /* the first of two that block */
	nft_image_free(img);
	zt_ruleset_free(rs);
}

/* ---- numbers stay ---- */
static struct zt_ruleset *policy_of(const char *const *exes, size_t n, uint32_t plain_uid)
{
	struct zt_ruleset *rs;

	assert_int_equal(zt_ruleset_new(&rs), 0);
	for (size_t i = 0; i < n; i++) {
		struct zt_exe exe = {.path = (char *)(uintptr_t)exes[i],
				     .id = {.dev = 1, .ino = (uint64_t)exes[i][1], .ctime_sec = 1}};
		struct zt_subject s = {.text = (char *)(uintptr_t)exes[i], .exes = &exe, .n_exes = 1};
		struct zt_rule *r = zt_ruleset_add(rs);

		r->id = zt_strdup(exes[i]);
		r->match.families = 3;
		assert_int_equal(zt_ruleset_subject(rs, &s, &r->match.to), 0);
	}
	if (plain_uid) {
		struct zt_rule *r = zt_ruleset_add(rs);

		r->id = zt_strdup("plain");
		r->match.families = 3;
		assert_int_equal(zt_u32_ranges_add(&r->match.uid, plain_uid, plain_uid), 0);
	}
	assert_int_equal(zt_ruleset_rehash(rs), 0);
	return rs;
}

static struct nft_marks *marks_of(const char *const *exes, size_t n, uint32_t plain_uid, const struct nft_marks *old)
{
	struct zt_ruleset *rs = policy_of(exes, n, plain_uid);
	struct nft_marks *m = NULL;

	assert_int_equal(nft_marks_make(rs, &m, NULL), 0);
	if (old)
		assert_int_equal(nft_marks_follow(m, old), 0);
	zt_ruleset_free(rs);
	return m;
}

static uint32_t number_at(const struct nft_marks *m, uint64_t ino, uint32_t uid, bool known)
{
	struct zt_actor a = {.known = known, .uid = uid, .exe = {.dev = 1, .ino = ino, .ctime_sec = 1}};

	return number_of(m, &a);
}

static void test_numbers_stay(void **state)
{
	static const char *const two[] = {"/a", "/b"}, *const three[] = {"/a", "/b", "/c"};
	struct nft_marks *m = marks_of(two, 2, 0, NULL), *same = marks_of(two, 2, 0, m),
			 *more = marks_of(three, 3, 0, same), *less = marks_of(two, 2, 0, more),
			 *uid = marks_of(two, 2, 7, less);

	(void)state;
	assert_int_equal(number_at(same, 'a', 1, true), number_at(m, 'a', 1, true));
	assert_int_equal(number_at(same, 'z', 1, true), number_at(m, 'z', 1, true));
	assert_int_equal(same->next, m->next);
	/* c was one of the others: a and b stay, the others are no longer the same. */
	assert_int_equal(number_at(more, 'a', 1, true), number_at(m, 'a', 1, true));
	assert_int_equal(number_at(more, 'b', 1, true), number_at(m, 'b', 1, true));
	assert_int_not_equal(number_at(more, 'z', 1, true), number_at(m, 'z', 1, true));
	assert_true(number_at(more, 'c', 1, true) >= m->next && number_at(more, 'z', 1, true) >= m->next);
	/* and back: no number comes a second time, though the set is the same as before */
	assert_int_equal(number_at(less, 'a', 1, true), number_at(m, 'a', 1, true));
	assert_true(number_at(less, 'z', 1, true) >= more->next);
	/* all are split by a user */
	for (int ino = 'a'; ino <= 'b'; ino++)
		for (uint32_t who = 6; who <= 7; who++)
			assert_true(number_at(uid, (uint64_t)ino, who, true) >= less->next);
	assert_int_equal(number_at(less, 'a', 6, false), 0);
	assert_true(number_at(uid, 'a', 6, false) >= less->next);
	assert_true(number_at(uid, 'a', 7, false) >= less->next);
	nft_marks_free(m);
	nft_marks_free(same);
	nft_marks_free(more);
	nft_marks_free(less);
	nft_marks_free(uid);
}

static void test_numbers_wrap(void **state)
{
	static const char *const two[] = {"/a", "/b"}, *const other[] = {"/b", "/c"};
	struct nft_marks *m = marks_of(two, 2, 0, NULL), *next;

	(void)state;
	m->next = nft_marks_max(m);
	for (int i = 0; i < 5; i++) {
		next = marks_of(i % 2 ? two : other, 2, 0, m);
		assert_int_equal(number_at(next, 'b', 1, true), number_at(m, 'b', 1, true));
		assert_int_not_equal(number_at(next, 'z', 1, true), number_at(m, 'z', 1, true));
		assert_int_not_equal(number_at(next, 'z', 1, true), number_at(m, i % 2 ? 'c' : 'a', 1, true));
		nft_marks_free(m);
		m = next;
	}
	nft_marks_free(m);
}

/* What made processes unknown makes others unknown now. */
static void test_numbers_of_doubt(void **state)
{
	static const char *const two[] = {"/a", "/b"};
	struct nft_marks *m = marks_of(two, 2, 0, NULL), *grouped;
	struct zt_ruleset *rs = policy_of(two, 2, 0);
	struct zt_subject s = {.text = (char[]){"g"}};
	struct zt_rule *r = zt_ruleset_add(rs);

	(void)state;
	r->id = zt_strdup("group");
	r->match.families = 3;
	assert_int_equal(zt_u32_ranges_add(&s.gid, 5, 5), 0);
	assert_int_equal(zt_ruleset_subject(rs, &s, &r->match.from), 0);
	assert_int_equal(nft_marks_make(rs, &grouped, NULL), 0);
	assert_int_equal(nft_marks_follow(grouped, m), 0);
	assert_true(number_at(grouped, 'a', 1, true) >= m->next);
	zt_u32_ranges_done(&s.gid);
	zt_ruleset_free(rs);
	nft_marks_free(m);
	nft_marks_free(grouped);
}

/* ---- text ---- */
static void test_text(void **state)
{
	static const char *const two[] = {"/a", "/b"};
	struct nft_marks *m = marks_of(two, 2, 7, NULL), *back = NULL;
	char *text = NULL, *again = NULL, hash[65], other[65];

	(void)state;
	assert_int_equal(nft_marks_text(m, &text), 0);
	assert_int_equal(nft_marks_parse(text, strlen(text), &back), 0);
	assert_int_equal(nft_marks_text(back, &again), 0);
	assert_string_equal(text, again);
	assert_int_equal(nft_marks_hash(m, hash), 0);
	back->next += 5;
	assert_int_equal(nft_marks_hash(back, other), 0);
	assert_string_equal(hash, other);
	back->number[0][0]++;
	assert_int_equal(nft_marks_hash(back, other), 0);
	assert_string_not_equal(hash, other);
	nft_marks_free(back);
	for (size_t i = 0; i < strlen(text); i++) { /* a torn text is none */
		back = NULL;
		assert_int_not_equal(nft_marks_parse(text, i, &back), 0);
	}
	assert_int_equal(nft_marks_parse("{\"mask\":5,\"pairs\":true,\"next\":1,\"numbers\":[1]}", 46, &back), -EINVAL);
	free(text);
	free(again);
	nft_marks_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_oracle),
		cmocka_unit_test(test_numbers_stay),
		cmocka_unit_test(test_numbers_wrap),
		cmocka_unit_test(test_numbers_of_doubt),
		cmocka_unit_test(test_unknown_in_common),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
