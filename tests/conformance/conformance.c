/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every cell of identity x allow, deny x protocol x address x engine: what may leave arrives, what may not does not; and the same for what the
 * peer sends in. Each rule is tried by a sender that it means and by ones that it barely does not mean.
 */
#include <string.h>

#include "base/mem.h"
#include "bed.h"

enum kind { USER, RANGE, LIST, GROUP, GROUP_RANGE, USER_AND_GROUP, CGROUP, ANY, N_KINDS };
static const char *const kinds[] = {"user", "range", "list", "group", "group range", "user and group", "cgroup", "any"};
static const char *const addresses[] = {"127.0.0.1",	    "127.0.0.2",       "::1",	  "10.99.0.1",
					"fd99::1",	    "10.99.0.2",       "fd99::2", "::ffff:10.99.0.2",
					"::ffff:127.0.0.1", "::ffff:10.99.0.1"};
static const enum bed_method methods[] = {BED_UDP,  BED_UDP_CONNECTED, BED_TCP,	   BED_ICMP,
					  BED_PING, BED_RAW,	       BED_UDPLITE};

struct sender {
	uint32_t uid, gid;
	enum bed_group group;
	bool matching;
};
static const struct sender senders[N_KINDS][5] = {
	[USER] = {{2001, 3001, BED_RUN, true}, {2002, 3001, BED_RUN, false}, {0, 0, BED_RUN, false}},
	[RANGE] = {{2000, 3666, BED_RUN, true},
		   {2009, 3666, BED_RUN, true},
		   {1999, 3001, BED_RUN, false},
		   {2010, 3001, BED_RUN, false}},
	[LIST] = {{2001, 3666, BED_RUN, true},
		  {2005, 3666, BED_RUN, true},
		  {70000, 3666, BED_RUN, true},
		  {2003, 3001, BED_RUN, false}},
	[GROUP] = {{2666, 3001, BED_RUN, true}, {2001, 3002, BED_RUN, false}, {3001, 3666, BED_RUN, false}},
	[GROUP_RANGE] = {{2666, 3000, BED_RUN, true},
			 {2666, 3009, BED_RUN, true},
			 {2666, 3010, BED_RUN, false},
			 {2666, 2999, BED_RUN, false}},
	[USER_AND_GROUP] = {{2001, 3001, BED_RUN, true}, {2001, 3002, BED_RUN, false}, {2002, 3001, BED_RUN, false}},
	[CGROUP] = {{2666, 3666, BED_SVC, true}, {2666, 3666, BED_INNER, true}, {2666, 3666, BED_RUN, false}},
	[ANY] = {{2001, 3001, BED_RUN, true}, {0, 0, BED_RUN, true}},
};

static int set_cgroup(const struct bed *b, struct zt_match *m)
{
	m->cgroups = zt_new(struct zt_cgroup, 1);
	if (!m->cgroups)
		return -ENOMEM;
	m->n_cgroups = 1;
	m->cgroups[0] = (struct zt_cgroup){
		.path = zt_strdup(b->cgroup[BED_SVC]), .id = b->cgroup_id[BED_SVC], .level = b->cgroup_level[BED_SVC]};
	return m->cgroups[0].path ? 0 : -ENOMEM;
}

static int set_identity(struct bed *b, enum kind kind, struct zt_match *m)
{
	int r;

	switch (kind) {
	case USER:
		return zt_u32_ranges_add(&m->uid, 2001, 2001);
	case RANGE:
		return zt_u32_ranges_add(&m->uid, 2000, 2009);
	case LIST:
		r = zt_u32_ranges_add(&m->uid, 2001, 2001);
		r = r ? r : zt_u32_ranges_add(&m->uid, 2005, 2005);
		return r ? r : zt_u32_ranges_add(&m->uid, 70000, 70000);
	case GROUP:
		return zt_u32_ranges_add(&m->gid, 3001, 3001);
	case GROUP_RANGE:
		return zt_u32_ranges_add(&m->gid, 3000, 3009);
	case USER_AND_GROUP:
		r = zt_u32_ranges_add(&m->uid, 2001, 2001);
		return r ? r : zt_u32_ranges_add(&m->gid, 3001, 3001);
	case CGROUP:
		return set_cgroup(b, m);
	case ANY:
	case N_KINDS:
		break;
	}
	return 0;
}

#define MAX_CELLS 400
struct cell {
	struct bed_send send;
	bool expect;
	int r;
};

/* Packets without a socket of UDP or TCP know no mapped addresses. */
static bool exists(enum bed_method m, const char *address)
{
	return !(m == BED_ICMP || m == BED_PING || m == BED_RAW) || !(strchr(address, '.') && strchr(address, ':'));
}

static size_t make_cells(enum kind kind, bool allow, struct cell *cells)
{
	size_t n = 0;

	for (const struct sender *s = senders[kind]; s < senders[kind] + 5; s++)
		for (size_t m = 0;
		     (s->matching || s->uid || s->gid || s == senders[kind]) && m < ZT_ARRAY_SIZE(methods); m++)
			for (size_t a = 0; a < ZT_ARRAY_SIZE(addresses); a++)
				if (exists(methods[m], addresses[a]))
					cells[n++] = (struct cell){
						.send = {.method = methods[m],
							 .uid = s->uid,
							 .gid = s->gid,
							 .group = s->group,
							 .dst = addresses[a],
							 .port = 7777},
						.expect = s->matching == allow,
					};
	return n;
}

static void report(struct bed *b, const struct bed_column *c, const char *rule, const struct cell *cells, size_t n,
		   const bool *seen)
{
	for (size_t i = 0; i < n; i++) {
		const struct bed_send *s = &cells[i].send;

		bed_ok(b, cells[i].r == 0 && seen[i] == cells[i].expect, "%s: %s, %s %u:%u, %s to %s: %s%s", c->label,
		       rule,
		       s->from_peer	     ? "peer as"
		       : s->group == BED_RUN ? "user"
					     : "in the cgroup, user",
		       s->uid, s->gid, bed_method_name(s->method), s->dst,
		       cells[i].expect ? "arrives" : "does not arrive", cells[i].r ? ": cannot be sent" : "");
	}
}

static void try_cells(struct bed *b, const struct bed_column *c, const char *rule, struct cell *cells, size_t n)
{
	bool seen[MAX_CELLS] = {false};

	bed_forget(b);
	for (uint32_t i = 0; i < n; i++)
		cells[i].r = bed_send(b, &cells[i].send, i);
	bed_collect(b, 100, seen, MAX_CELLS);
	report(b, c, rule, cells, n, seen);
}

static void run_kind(struct bed *b, const struct bed_column *c, enum kind kind, bool allow, enum zt_block block)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	static struct cell cells[MAX_CELLS];
	size_t n = make_cells(kind, allow, cells);
	struct zt_rule *rule;
	char what[64];
	int r = bed_ruleset(&rs);

	(void)snprintf(what, sizeof(what), "%s %s%s", allow ? "allow" : "deny", kinds[kind],
		       block == ZT_BLOCK_DROP ? " by drop" : "");
	rule = r ? NULL : bed_rule(rs, "cell", allow ? ZT_ALLOW : block == ZT_BLOCK_DROP ? ZT_DROP : ZT_REJECT);
	r = rule ? set_identity(b, kind, &rule->match) : -ENOMEM;
	if (!r) {
		rs->settings.def[ZT_DIR_EGRESS] = allow ? ZT_DEFAULT_DENY : ZT_DEFAULT_ALLOW;
		rs->settings.block = block;
		r = bed_apply(b, c->engine, rs);
	}
	if (r < 0)
		bed_ok(b, false, "%s: %s cannot be applied: %s", c->label, what, strerror(-r));
	else
		try_cells(b, c, what, cells, n);
}

/* ---- what the peer sends in ---- */
enum inbound { IN_ANY, IN_HOST, IN_OTHER_HOST, IN_PORT, IN_OTHER_PORT, N_INBOUND };
static const char *const inbounds[] = {"inbound any", "inbound from the peer", "inbound from another host",
				       "inbound to port 7777", "inbound to port 7778"};

static int set_inbound(enum inbound kind, struct zt_match *m)
{
	static const char *const hosts[2][2] = {{"10.99.0.2", "fd99::/64"}, {"10.99.0.3-10.99.0.9", "fd99::3"}};
	struct zt_addr_range a4, a6;
	int r;

	if (kind == IN_ANY)
		return 0;
	if (kind == IN_PORT || kind == IN_OTHER_PORT) {
		uint32_t port = kind == IN_PORT ? 7777 : 7778;

		r = zt_u32_ranges_add(&m->proto, 6, 6);
		r = r ? r : zt_u32_ranges_add(&m->proto, 17, 17);
		return r ? r : zt_u32_ranges_add(&m->port, port, port);
	}
	r = zt_addr_range_parse(hosts[kind == IN_OTHER_HOST][0], &a4, NULL);
	r = r ? r : zt_addr_range_parse(hosts[kind == IN_OTHER_HOST][1], &a6, NULL);
	r = r ? r : zt_addr_ranges_add(&m->src4, &a4);
	return r ? r : zt_addr_ranges_add(&m->src6, &a6);
}

static bool inbound_matches(enum inbound kind, enum bed_method m)
{
	return kind == IN_ANY || kind == IN_HOST || (kind == IN_PORT && (m == BED_UDP || m == BED_TCP));
}

static void run_inbound(struct bed *b, const struct bed_column *c, enum inbound kind, bool allow)
{
	static const enum bed_method from_peer[] = {BED_UDP, BED_TCP, BED_ICMP, BED_RAW};
	static const char *const own[] = {"10.99.0.1", "fd99::1", "::ffff:10.99.0.1"};
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	struct cell cells[MAX_CELLS];
	size_t n = 0;
	struct zt_rule *rule;
	char what[64];
	int r = bed_ruleset(&rs);

	(void)snprintf(what, sizeof(what), "%s %s", allow ? "allow" : "deny", inbounds[kind]);
	rule = r ? NULL : bed_rule(rs, "cell", allow ? ZT_ALLOW : ZT_REJECT);
	r = rule ? set_inbound(kind, &rule->match) : -ENOMEM;
	if (!r) {
		rule->dir = ZT_DIR_INGRESS;
		rs->settings.def[ZT_DIR_INGRESS] = allow ? ZT_DEFAULT_DENY : ZT_DEFAULT_ALLOW;
		r = bed_apply(b, c->engine, rs);
	}
	if (r < 0) {
		bed_ok(b, false, "%s: %s cannot be applied: %s", c->label, what, strerror(-r));
		return;
	}
	for (size_t m = 0; m < ZT_ARRAY_SIZE(from_peer); m++)
		for (size_t a = 0; a < ZT_ARRAY_SIZE(own); a++)
			if (exists(from_peer[m], own[a]))
				cells[n++] = (struct cell){.send = {.method = from_peer[m],
								    .from_peer = true,
								    .dst = own[a],
								    .port = 7777},
							   .expect = inbound_matches(kind, from_peer[m]) == allow};
	bed_forget_flows(b); /* a protocol without ports has no other way to tell an answer */
	try_cells(b, c, what, cells, n);
}

static void run_column(struct bed *b, const struct bed_column *c)
{
	unsigned planned = b->planned, failed = b->failed, skipped = b->skipped;
	char result[64];

	for (int kind = 0; kind < N_KINDS; kind++)
		for (int allow = 0; allow < 2; allow++)
			if (kind == CGROUP && !b->has_cgroup)
				bed_skip(b, "cgroup cells", "no cgroup2 tree can be made here");
			else
				run_kind(b, c, (enum kind)kind, allow, ZT_BLOCK_REJECT);
	run_kind(b, c, USER, false, ZT_BLOCK_DROP);
	for (int kind = 0; kind < N_INBOUND; kind++)
		for (int allow = 0; allow < 2; allow++)
			run_inbound(b, c, (enum inbound)kind, allow);
	(void)snprintf(result, sizeof(result), "%u of %u",
		       b->planned - planned - (b->failed - failed) - (b->skipped - skipped), b->planned - planned);
	bed_publish("proof", "conformance", "identity x verdict x protocol x address, inbound", "cells that hold",
		    c->label, result);
}

static void test(struct bed *b)
{
	bed_each_column(b, run_column);
}

int main(void)
{
	return bed_main("ztconf", test);
}
