/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random rulesets and random flows as real packets: what arrives is what the oracle says. ZT_SEEDS=N sets how many rulesets. */
#include <string.h>

#include "base/mem.h"
#include "bed.h"

#define FLOWS 120

static uint64_t state;

static unsigned rnd(unsigned below)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(state >> 33) % below;
}

static const char *const targets[] = {"127.0.0.1", "127.0.0.3", "::1", "10.99.0.1", "fd99::1", "10.99.0.2", "fd99::2"};
static const char *const ranges[] = {"127.0.0.0/8", "127.0.0.1", "127.0.0.2-127.0.0.9", "10.99.0.0/24", "10.99.0.2",
				     "10.0.0.0/9",  "::1",	 "fd99::/64",		"fd99::2",	"fd00::/8"};

static void random_uids(struct zt_u32_ranges *l)
{
	for (unsigned n = rnd(3); n; n--) {
		uint32_t lo = 2000 + rnd(8);

		(void)zt_u32_ranges_add(l, lo, lo + (rnd(2) ? 0 : rnd(4))); /* a shorter list is as good */
	}
	zt_u32_ranges_normalise(l);
}

static void random_hosts(struct zt_match *m)
{
	unsigned n = rnd(3);

	if (!n)
		return;
	m->families = 0;
	for (; n; n--) {
		struct zt_addr_range r;

		if (zt_addr_range_parse(ranges[rnd(ZT_ARRAY_SIZE(ranges))], &r, NULL) < 0)
			continue;
		(void)zt_addr_ranges_add(r.lo.family == 4 ? &m->dst4 : &m->dst6, &r);
		m->families |= r.lo.family == 4 ? ZT_FAMILY_4 : ZT_FAMILY_6;
	}
	zt_addr_ranges_normalise(&m->dst4);
	zt_addr_ranges_normalise(&m->dst6);
}

static void random_protocol(struct zt_match *m)
{
	unsigned what = rnd(5);

	if (what == 0)
		return;
	if (what == 1 || what == 3)
		(void)zt_u32_ranges_add(&m->proto, 6, 6);
	if (what == 2 || what == 3)
		(void)zt_u32_ranges_add(&m->proto, 17, 17);
	if (what == 4) {
		(void)zt_u32_ranges_add(&m->proto, 1, 1);
		(void)zt_u32_ranges_add(&m->proto, 58, 58);
		return;
	}
	for (unsigned n = rnd(3); n; n--) {
		uint32_t lo = 100 + rnd(20);

		(void)zt_u32_ranges_add(&m->port, lo, lo + (rnd(2) ? 0 : rnd(10)));
	}
	zt_u32_ranges_normalise(&m->port);
}

static int random_ruleset(struct zt_ruleset **ret)
{
	int r = bed_ruleset(ret);
	struct zt_settings *s = r ? NULL : &(*ret)->settings;

	if (r < 0)
		return r;
	s->def[ZT_DIR_EGRESS] = rnd(4) ? ZT_DEFAULT_DENY : ZT_DEFAULT_ALLOW;
	s->block = rnd(2) ? ZT_BLOCK_REJECT : ZT_BLOCK_DROP;
	s->loopback = rnd(6) ? ZT_LOOPBACK_ENFORCE : rnd(2) ? ZT_LOOPBACK_OBSERVE : ZT_LOOPBACK_ALLOW;
	s->mode = rnd(10) ? ZT_MODE_ENFORCE : ZT_MODE_OBSERVE;
	for (unsigned i = 0, n = 1 + rnd(12); i < n; i++) {
		char id[32];
		struct zt_rule *rule;

		(void)snprintf(id, sizeof(id), "rule-%u", i);
		rule = bed_rule(*ret, id, (enum zt_verdict)rnd(4));
		if (!rule)
			return -ENOMEM;
		rule->log = !rnd(6);
		random_uids(&rule->match.uid);
		if (!rnd(4))
			(void)zt_u32_ranges_add(&rule->match.gid, 3000 + rnd(3), 3003);
		random_hosts(&rule->match);
		random_protocol(&rule->match);
	}
	return 0;
}

static struct bed_send random_send(void)
{
	static const enum bed_method methods[] = {BED_UDP, BED_UDP, BED_TCP, BED_TCP, BED_ICMP};

	return (struct bed_send){.method = methods[rnd(5)],
				 .uid = 1999 + rnd(12),
				 .gid = 2999 + rnd(6),
				 .dst = targets[rnd(ZT_ARRAY_SIZE(targets))],
				 .port = (uint16_t)(98 + rnd(30))};
}

static struct zt_flow flow_of(const struct bed_send *s)
{
	struct zt_flow f = {.dir = ZT_DIR_EGRESS, .owned = true, .uid = s->uid, .gid = s->gid, .at = zt_now()};

	(void)zt_addr_parse(s->dst, &f.dst); /* constants */
	f.loopback = strcmp(s->dst, "10.99.0.2") != 0 && strcmp(s->dst, "fd99::2") != 0;
	f.proto = s->method == BED_UDP ? 17 : s->method == BED_TCP ? 6 : f.dst.family == 4 ? 1 : 58;
	f.port = s->method == BED_ICMP ? 0 : s->port;
	return f;
}

static unsigned check_flows(struct bed *b, const char *label, const struct zt_ruleset *rs, uint32_t base, unsigned seed)
{
	static bool seen[50000];
	struct bed_send sends[FLOWS];
	unsigned wrong = 0;

	for (uint32_t i = 0; i < FLOWS; i++) {
		sends[i] = random_send();
		(void)bed_send(b, &sends[i],
			       base + i); /* what cannot be sent does not arrive either, and shows below */
	}
	memset(seen, 0, sizeof(seen));
	bed_collect(b, 60, seen, ZT_ARRAY_SIZE(seen));
	for (uint32_t i = 0; i < FLOWS; i++) {
		struct zt_flow f = flow_of(&sends[i]);
		struct zt_decision d;
		bool expect;

		zt_oracle_decide(rs, &f, &d);
		expect = d.verdict == ZT_ALLOW || d.verdict == ZT_OBSERVE;
		if (seen[base + i] == expect)
			continue;
		if (wrong++ < 3)
			printf("# seed %u, %s: uid %u gid %u %s to %s port %u: oracle %s (%s), %s\n", seed, label,
			       sends[i].uid, sends[i].gid, bed_method_name(sends[i].method), sends[i].dst,
			       sends[i].port, zt_verdict_name(d.verdict), d.rule ? d.rule->id : "default",
			       seen[base + i] ? "arrived" : "did not arrive");
	}
	return wrong;
}

static unsigned seeds_of(const struct bed_column *c)
{
	const char *n = getenv("ZT_SEEDS");
	unsigned seeds = n ? (unsigned)strtoul(n, NULL, 10) : 80;

	return c->variant ? seeds / 4 + 1 : seeds;
}

static void run_column(struct bed *b, const struct bed_column *c)
{
	unsigned wrong = 0, tried = 0, refused = 0, failed = 0, seeds = seeds_of(c);
	char result[64];

	for (unsigned seed = 1; seed <= seeds; seed++) {
		ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
		int r;

		state = seed * 7919ull;
		r = random_ruleset(&rs);
		r = r ? r : bed_apply(b, c->engine, rs);
		refused += r == -ENOTSUP;
		failed += r < 0 && r != -ENOTSUP;
		if (r < 0)
			continue;
		tried++;
		wrong += check_flows(b, c->label, rs, seed % 400 * FLOWS, seed);
	}
	bed_ok(b, !failed && tried, "%s: %u of %u random rulesets load, %u are refused", c->label, tried, seeds,
	       refused);
	bed_ok(b, !wrong, "%s: the oracle and %u real packets agree (%u do not)", c->label, tried * FLOWS, wrong);
	(void)snprintf(result, sizeof(result), "%u of %u", tried * FLOWS - wrong, tried * FLOWS);
	bed_publish("proof", "property", "random policies, random flows: as the oracle says (row 41)",
		    "packets that agree", c->label, result);
}

static void test(struct bed *b)
{
	bed_each_column(b, run_column);
}

int main(void)
{
	return bed_main("ztprop", test);
}
