/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Overlap and containment against the oracle: asked of every flow of a small world. */
#include "common.h"

enum { UIDS = 4, PORTS = 4, HOSTS = 4 };
static const uint8_t protocols[] = {6, 17, 1};
static const char *const groups[] = {"a", "a/b", "ab", "c"};

static void some_numbers(unsigned *s, struct zt_u32_ranges *l, uint32_t below)
{
	if (rnd(s, 3) == 0)
		return;
	for (unsigned n = 1 + rnd(s, 2); n; n--) {
		uint32_t lo = rnd(s, below), hi = lo + rnd(s, below - lo);

		assert_int_equal(zt_u32_ranges_add(l, lo, hi), 0);
	}
	zt_u32_ranges_normalise(l);
}

static void some_hosts(unsigned *s, uint8_t family, struct zt_addr_ranges *l)
{
	struct zt_addr_range r = {{.family = family}, {.family = family}};
	size_t last = family == 4 ? 3 : 15;

	if (rnd(s, 3) == 0)
		return;
	r.lo.b[last] = (uint8_t)rnd(s, HOSTS);
	r.hi.b[last] = (uint8_t)(r.lo.b[last] + rnd(s, HOSTS - r.lo.b[last]));
	assert_int_equal(zt_addr_ranges_add(l, &r), 0);
}

static void make(unsigned *s, struct zt_rule *r)
{
	struct zt_match *m = &r->match;

	*r = (struct zt_rule){.dir = ZT_DIR_EGRESS};
	m->families = (uint8_t)(1 + rnd(s, 3));
	some_numbers(s, &m->uid, UIDS);
	if (rnd(s, 2)) {
		uint8_t p = protocols[rnd(s, 3)];

		assert_int_equal(zt_u32_ranges_add(&m->proto, p, p), 0);
		if (p != 1)
			some_numbers(s, &m->port, PORTS);
	}
	if (m->families & ZT_FAMILY_4)
		some_hosts(s, 4, &m->dst4);
	if (m->families & ZT_FAMILY_6)
		some_hosts(s, 6, &m->dst6);
	if (rnd(s, 4) == 0) {
		m->cgroups = zt_new(struct zt_cgroup, 1);
		m->cgroups[0].path = zt_strdup(groups[rnd(s, 4)]);
		m->n_cgroups = 1;
	}
}

/* Calls see() with every flow of the world. */
struct seen {
	bool both, inner_only;
};

static void one(const struct zt_rule *a, const struct zt_rule *b, const struct zt_flow *f, struct seen *s)
{
	bool x = zt_oracle_match(a, f) == ZT_MISS_NONE, y = zt_oracle_match(b, f) == ZT_MISS_NONE;

	s->both = s->both || (x && y);
	s->inner_only = s->inner_only || (y && !x);
}

static struct seen every_flow(const struct zt_rule *a, const struct zt_rule *b)
{
	struct seen s = {0};

	for (unsigned i = 0; i < UIDS * PORTS * HOSTS * 3 * 2 * 5; i++) {
		unsigned at = i, group;
		struct zt_flow f = {.dir = ZT_DIR_EGRESS, .owned = true};

		f.uid = at % UIDS;
		at /= UIDS;
		f.port = (uint16_t)(at % PORTS);
		at /= PORTS;
		f.dst.family = at / HOSTS % 2 ? 4 : 6;
		f.dst.b[f.dst.family == 4 ? 3 : 15] = (uint8_t)(at % HOSTS);
		at /= HOSTS * 2;
		f.proto = protocols[at % 3];
		group = at / 3;
		f.cgroup_path = group < 4 ? groups[group] : "elsewhere";
		one(a, b, &f, &s);
	}
	return s;
}

static void agree_with_the_oracle(void **state)
{
	unsigned seed = 7, overlapping = 0, contained = 0;

	(void)state;
	for (int i = 0; i < 1500; i++) {
		struct zt_rule a, b;
		struct seen s;

		make(&seed, &a);
		make(&seed, &b);
		s = every_flow(&a, &b);
		/* Both may err to one side only: a flow in both is always seen, and what is called contained is. */
		assert_true(zt_match_overlap(&a.match, &b.match) >= s.both);
		assert_true(zt_match_contains(&a.match, &b.match) <= !s.inner_only);
		assert_int_equal(zt_match_overlap(&a.match, &b.match), zt_match_overlap(&b.match, &a.match));
		assert_true(zt_match_contains(&a.match, &a.match) && zt_match_overlap(&a.match, &a.match));
		if (zt_match_contains(&a.match, &b.match)) {
			assert_true(zt_match_overlap(&a.match, &b.match));
			contained++;
			if (zt_match_contains(&b.match, &a.match))
				assert_true(every_flow(&b, &a).inner_only == false);
		}
		/* And they seldom err: of this world an overlap is missed only where a rule covers no flow of it. */
		assert_int_equal(zt_match_overlap(&a.match, &b.match), s.both);
		overlapping += s.both;
		zt_match_done(&a.match);
		zt_match_done(&b.match);
	}
	assert_true(overlapping > 100 && overlapping < 1400 &&
		    contained > 20); /* the world is neither empty nor full */
}

static struct zt_match match_of(const char *rule)
{
	char yaml[512];
	struct zt_ruleset *rs;
	struct zt_match m;

	(void)snprintf(yaml, sizeof(yaml), V "rules: [{name: r, action: allow, %s}]\n", rule);
	rs = must_compile(yaml);
	m = rs->rules[0].match;
	rs->rules[0].match = (struct zt_match){0};
	zt_ruleset_free(rs);
	return m;
}

static void expect(const char *outer, const char *inner, bool overlap, bool contains)
{
	struct zt_match a = match_of(outer), b = match_of(inner);

	assert_int_equal(zt_match_overlap(&a, &b), overlap);
	assert_int_equal(zt_match_overlap(&b, &a), overlap);
	assert_int_equal(zt_match_contains(&a, &b), contains);
	assert_int_equal(zt_match_contains(&b, &a) && contains, zt_match_eq(&a, &b));
	zt_match_done(&a);
	zt_match_done(&b);
}

static void by_hand(void **state)
{
	(void)state;
	expect("from: {user: \"*\"}", "from: {user: root}", true, true);
	expect("from: {user: root}", "from: {user: \"*\"}", true, false);
	expect("from: {uid: 0-4294967294}", "from: {user: \"*\"}", true, false); /* sockets without an owner */
	expect("from: {user: root}, to: {host: any}", "from: {user: root}", true, true);
	expect("from: {user: root}, to: {host: 0.0.0.0/0}", "from: {user: root}", true, false); /* IPv6 is left */
	expect("from: {user: root}, to: {port: 1-65535, protocol: tcp}", "from: {user: root}, to: {port: 80}", true,
	       true);
	expect("from: {user: root}, to: {port: 80}", "from: {user: root}, to: {protocol: tcp}", true, false);
	expect("from: {user: root}, to: {port: 80}", "from: {user: root}, to: {port: 80, protocol: udp}", false, false);
	expect("from: {user: root}, to: {host: 10.0.0.0/8}", "from: {user: root}, to: {host: [10.1.0.0/16, 10.9.9.9]}",
	       true, true);
	expect("from: {user: root}, to: {host: 10.0.0.0/8}",
	       "from: {user: root}, to: {host: [10.1.0.0/16, \"fd00::1\"]}", true, false);
	expect("from: {cgroup: a}", "from: {cgroup: a/b}", true, true);
	expect("from: {cgroup: a/b}", "from: {cgroup: a}", true, false);
	expect("from: {cgroup: a}", "from: {cgroup: ab}", false, false);
	expect("from: {cgroup: a}", "from: {user: root}", true, false);
	expect("from: {uid: [1, 3]}", "from: {uid: 1-3}", true, false);
	expect("from: {uid: [1, 3]}", "from: {uid: 2}", false, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(agree_with_the_oracle), cmocka_unit_test(by_hand)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
