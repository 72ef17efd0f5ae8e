/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lower, commit, raise is the identity: random rulesets through the kernel, in a network namespace of this process alone. Exit 77: not root. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "base/proc.h"
#include "engine/nft/nft.h"

#define E (&zt_engine_nft)

static uint64_t state;

static unsigned rnd(unsigned below)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(state >> 33) % below;
}

static void random_addrs(struct zt_addr_ranges *l, int family)
{
	for (unsigned n = rnd(3); n; n--) {
		struct zt_addr_range r;
		char text[64];

		if (family == 4)
			(void)snprintf(text, sizeof(text), rnd(2) ? "10.99.%u.%u" : "10.%u.%u.0/24", rnd(4), rnd(5));
		else
			(void)snprintf(text, sizeof(text), rnd(2) ? "fd00::%x" : "fd00:%x::/32", rnd(9));
		assert_int_equal(zt_addr_range_parse(text, &r, NULL), 0);
		assert_int_equal(zt_addr_ranges_add(l, &r), 0);
	}
	zt_addr_ranges_normalise(l);
}

static void random_numbers(struct zt_u32_ranges *l, uint32_t base)
{
	for (unsigned n = rnd(3); n; n--) {
		uint32_t lo = base + rnd(10);

		assert_int_equal(zt_u32_ranges_add(l, lo, rnd(2) ? lo : lo + rnd(100)), 0);
	}
	zt_u32_ranges_normalise(l);
}

static void random_rule(struct zt_rule *r)
{
	struct zt_match *m = &r->match;
	unsigned proto = rnd(4);

	r->dir = rnd(8) ? (rnd(3) ? ZT_DIR_EGRESS : ZT_DIR_INGRESS) : ZT_DIR_FORWARD;
	r->verdict = (enum zt_verdict)rnd(4);
	r->log = !rnd(8);
	m->families = rnd(4) ? ZT_FAMILY_4 | ZT_FAMILY_6 : (uint8_t)(1 + rnd(2));
	if (r->dir == ZT_DIR_EGRESS) {
		random_numbers(&m->uid, 1000);
		if (!rnd(4))
			random_numbers(&m->gid, 500);
	}
	if (m->families & ZT_FAMILY_4) {
		random_addrs(&m->dst4, 4);
		if (!rnd(3))
			random_addrs(&m->src4, 4);
	}
	if (m->families & ZT_FAMILY_6)
		random_addrs(&m->dst6, 6);
	if (proto == 1)
		assert_int_equal(zt_u32_ranges_add(&m->proto, 1, 1), 0);
	if (proto >= 2)
		assert_int_equal(zt_u32_ranges_add(&m->proto, 6, 6), 0);
	if (proto == 2)
		assert_int_equal(zt_u32_ranges_add(&m->proto, 17, 17), 0);
	if (proto >= 2)
		random_numbers(&m->port, proto == 2 ? 80 : 8000);
	if (!rnd(10)) {
		r->windows = zt_new(struct zt_window, 2);
		assert_non_null(r->windows);
		r->windows[0] = (struct zt_window){3600, 90000};
		r->windows[1] = (struct zt_window){200000, 300000};
		r->n_windows = 2;
	}
	if (!rnd(10))
		r->expires = (1900000000ull + rnd(3)) * ZT_USEC_PER_SEC;
}

static struct zt_ruleset *random_ruleset(unsigned seed, unsigned n)
{
	struct zt_ruleset *rs = NULL;

	state = seed * 7919ull + 1;
	assert_int_equal(zt_ruleset_new(&rs), 0);
	rs->generation = seed;
	rs->settings.block = rnd(2) ? ZT_BLOCK_DROP : ZT_BLOCK_REJECT;
	rs->settings.loopback = (enum zt_loopback)rnd(3);
	rs->settings.socket_passing = seed & 1;
	assert_int_equal(zt_u32_ranges_add(&rs->ssh_ports, 22, 22), 0);
	for (unsigned i = 0; i < n; i++) {
		struct zt_rule *r = zt_ruleset_add(rs);

		assert_non_null(r);
		r->id = zt_asprintf("rule %u", i);
		assert_non_null(r->id);
		random_rule(r);
	}
	assert_int_equal(zt_ruleset_rehash(rs), 0);
	return rs;
}

static struct zt_image *lowered(const struct zt_ruleset *rs)
{
	struct zt_image *img = NULL;
	struct zt_diags d = {0};
	int r = E->lower(rs, &img, &d);

	zt_diags_print(&d, stderr, false);
	zt_diags_done(&d);
	assert_int_equal(r, 0);
	return img;
}

static void expect_live(const struct zt_ruleset *rs)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *now = NULL;
	ZT_STRBUF struct zt_strbuf want = {0}, got = {0};
	struct zt_diags d = {0};
	int r = E->raise("default", &now, &d);

	zt_diags_print(&d, stderr, false);
	zt_diags_done(&d);
	assert_int_equal(r, 0);
	assert_int_equal(zt_ruleset_canonical(rs, &want), 0);
	assert_int_equal(zt_ruleset_canonical(now, &got), 0);
	assert_string_equal(zt_strbuf_cstr(&got), zt_strbuf_cstr(&want));
	assert_string_equal(now->hash, rs->hash);
	assert_int_equal(now->generation, rs->generation);
}

static void commit(const struct zt_ruleset *rs, bool want_change)
{
	struct zt_image *img = lowered(rs);
	struct zt_diags d = {0};
	bool changed = !want_change;
	int r = E->commit(img, &changed, &d);

	zt_diags_print(&d, stderr, false);
	zt_diags_done(&d);
	E->image_free(img);
	assert_int_equal(r, 0);
	assert_int_equal(changed, want_change);
}

static void reload_text(const struct zt_ruleset *rs)
{
	ZT_STRBUF struct zt_strbuf text = {0};
	struct zt_image *img = lowered(rs);
	struct zt_diags d = {0};
	int r = E->image_text(img, &text);

	r = r ? r : E->load_text("default", text.buf, text.len, &d);
	zt_diags_print(&d, stderr, false);
	zt_diags_done(&d);
	E->image_free(img);
	assert_int_equal(r, 0);
}

static void test_identity(void **unused)
{
	unsigned rounds = getenv("ZT_ROUNDS") ? (unsigned)strtoul(getenv("ZT_ROUNDS"), NULL, 10) : 15;

	(void)unused;
	for (unsigned seed = 1; seed <= rounds; seed++) {
		struct zt_ruleset *rs = random_ruleset(seed, 1 + seed % 25);

		commit(rs, true);
		expect_live(rs);
		commit(rs, false);
		reload_text(rs);
		expect_live(rs);
		zt_ruleset_free(rs);
	}
	assert_int_equal(E->flush("default", NULL), 0);
}

static void sh(const char *line)
{
	const char *const argv[] = {"sh", "-c", line, NULL};
	struct zt_run run = {.argv = argv};

	assert_int_equal(zt_run(&run), 0);
	if (run.status)
		print_message("%s: %s\n", line, run.err);
	assert_int_equal(run.status, 0);
	zt_run_done(&run);
}

/* Whatever somebody does to our table is seen, and the next commit mends it. */
static void test_damage(void **unused)
{
	static const char *const damage[] = {
		"nft flush chain inet zt_segment output",
		"nft insert rule inet zt_segment out_rules accept",
		"nft add rule inet zt_segment in_new accept",
		"nft flush set inet zt_segment zt_meta",
		"nft add map inet zt_segment mine '{ type mark : verdict; }'",
		"nft delete element inet zt_segment out0_uid_proto_port_x_g0_v1 '{ 1001 . tcp . 80 }'",
		"nft add element inet zt_segment out0_uid_proto_port_x_g0_v1 '{ 1666 . tcp . 80 : accept }'",
	};

	(void)unused;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(damage); i++) {
		ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL, *now = NULL;
		struct zt_diags d = {0};
		struct zt_rule *r;
		int e;

		assert_int_equal(zt_ruleset_new(&rs), 0);
		rs->generation = 1;
		r = zt_ruleset_add(rs);
		r->id = zt_strdup("web");
		r->match.families = ZT_FAMILY_4 | ZT_FAMILY_6;
		assert_int_equal(zt_u32_ranges_add(&r->match.uid, 1001, 1001), 0);
		assert_int_equal(zt_u32_ranges_add(&r->match.proto, 6, 6), 0);
		assert_int_equal(zt_u32_ranges_add(&r->match.port, 80, 81), 0);
		assert_int_equal(zt_ruleset_rehash(rs), 0);
		(void)E->flush("default", NULL);
		commit(rs, true);
		sh(damage[i]);
		e = E->raise("default", &now, &d);
		if (!(e == -EUCLEAN || (e == 0 && strcmp(now->hash, rs->hash) != 0)))
			print_message("not seen: %s\n", damage[i]);
		assert_true(e == -EUCLEAN || (e == 0 && strcmp(now->hash, rs->hash) != 0));
		zt_diags_done(&d);
		commit(rs, true);
		expect_live(rs);
	}
	(void)E->flush("default", NULL);
}

/* An unchanged rule keeps its counter while others come, go and move, and while the whole is swapped. */
static void test_counters(void **unused)
{
	(void)unused;
	for (int form = 0; form < 4; form++) {
		ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = random_ruleset(7, 3), *next = NULL;
		struct zt_counters c = {0};
		ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *live = NULL;
		struct zt_rule *r = &rs->rules[0];

		zt_match_done(&r->match);
		r->dir = ZT_DIR_EGRESS;
		r->verdict = ZT_ALLOW;
		r->n_windows = 0;
		r->expires = 0;
		r->log = false;
		r->match.families = ZT_FAMILY_4;
		assert_int_equal(zt_u32_ranges_add(&r->match.uid, 0, 0), 0);
		assert_int_equal(zt_ruleset_rehash(rs), 0);
		(void)E->flush("default", NULL);
		commit(rs, true);
		sh("ip link set lo up; ping -c 3 -i 0.01 -W 1 127.0.0.1 >/dev/null");
		assert_int_equal(zt_ruleset_dup(rs, &next), 0);
		next->generation++;
		if (form == 1)
			next->rules[2].log = !next->rules[2].log;
		if (form == 2)
			next->settings.block = next->settings.block == ZT_BLOCK_DROP ? ZT_BLOCK_REJECT : ZT_BLOCK_DROP;
		if (form == 3)
			assert_int_equal(zt_u32_ranges_add(&next->rules[1].match.gid, 7, 90), 0);
		assert_int_equal(zt_ruleset_rehash(next), 0);
		commit(next, true);
		expect_live(next);
		assert_int_equal(E->raise("default", &live, NULL), 0);
		assert_int_equal(E->counters(live, &c), 0);
		if (rs->settings.loopback != ZT_LOOPBACK_ALLOW)
			assert_true(c.rule[0].packets >= 3);
		zt_counters_done(&c);
	}
	(void)E->flush("default", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_counters),
	};

	if (geteuid() || unshare(CLONE_NEWNET) < 0)
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
