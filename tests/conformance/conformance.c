/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every cell of identity x protocol x address x allow and deny x engine: what may leave arrives, what may not does not. */
#include <string.h>

#include "base/mem.h"
#include "bed.h"

enum kind { USER, RANGE, GROUP, CGROUP, ANY, N_KINDS };
static const char *const kinds[] = {"user", "range", "group", "cgroup", "any"};
static const char *const addresses[] = {"127.0.0.1", "127.0.0.2", "::1",	   "10.99.0.1",	       "fd99::1",
					"10.99.0.2", "fd99::2",	  "::ffff:10.99.0.2", "::ffff:127.0.0.1"};
static const enum bed_method methods[] = {BED_UDP, BED_TCP, BED_ICMP, BED_RAW};

static int set_identity(struct bed *b, enum kind kind, struct zt_match *m)
{
	switch (kind) {
	case USER:
		return zt_u32_ranges_add(&m->uid, 2001, 2001);
	case RANGE:
		return zt_u32_ranges_add(&m->uid, 2000, 2009);
	case GROUP:
		return zt_u32_ranges_add(&m->gid, 3001, 3001);
	case CGROUP:
		m->cgroups = zt_new(struct zt_cgroup, 1);
		if (!m->cgroups)
			return -ENOMEM;
		m->cgroups[0] = (struct zt_cgroup){.path = zt_strdup(b->cgroup), .id = b->cgroup_id, .level = b->cgroup_level};
		m->n_cgroups = 1;
		return 0;
	case ANY:
	case N_KINDS:
		break;
	}
	return 0;
}

struct cell {
	struct bed_send send;
	bool expect;
	int r;
};

static size_t make_cells(enum kind kind, bool allow, struct cell *cells)
{
	size_t n = 0;

	for (int matching = kind == ANY; matching < 2; matching++)
		for (size_t m = 0; m < ZT_ARRAY_SIZE(methods); m++)
			for (size_t a = 0; a < ZT_ARRAY_SIZE(addresses); a++) {
				bool raw = methods[m] == BED_ICMP || methods[m] == BED_RAW;

				if (raw && strchr(addresses[a], '.') && strchr(addresses[a], ':'))
					continue; /* raw sockets have no mapped addresses */
				cells[n++] = (struct cell){
					.send = {.method = methods[m], .uid = matching ? 2001 : 2666, .gid = matching ? 3001 : 3666,
						 .in_cgroup = kind == CGROUP && matching, .dst = addresses[a], .port = 7777},
					.expect = matching ? allow : !allow,
				};
			}
	return n;
}

static void report(struct bed *b, const struct zt_engine *e, enum kind kind, bool allow, const struct cell *cells, size_t n, const bool *seen)
{
	for (size_t i = 0; i < n; i++) {
		const struct bed_send *s = &cells[i].send;

		bed_ok(b, cells[i].r == 0 && seen[i] == cells[i].expect, "%s: %s %s, uid %u, %s to %s: %s", e->name, allow ? "allow" : "deny",
		       kinds[kind], s->uid, bed_method_name(s->method), s->dst, cells[i].expect ? "arrives" : "does not arrive");
	}
}

static void run_kind(struct bed *b, const struct zt_engine *e, enum kind kind, bool allow)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	struct cell cells[128];
	bool seen[128] = {false};
	size_t n = make_cells(kind, allow, cells);
	struct zt_rule *rule;
	int r = bed_ruleset(&rs);

	rule = r ? NULL : bed_rule(rs, "cell", allow ? ZT_ALLOW : ZT_REJECT);
	r = rule ? set_identity(b, kind, &rule->match) : -ENOMEM;
	rs->settings.def[ZT_DIR_EGRESS] = allow ? ZT_DEFAULT_DENY : ZT_DEFAULT_ALLOW;
	r = r ? r : bed_apply(b, e, rs);
	if (r < 0) {
		bed_ok(b, false, "%s: %s %s cannot be applied: %s", e->name, allow ? "allow" : "deny", kinds[kind], strerror(-r));
		return;
	}
	bed_collect(b, 5, seen, ZT_ARRAY_SIZE(seen));
	memset(seen, 0, sizeof(seen));
	for (uint32_t i = 0; i < n; i++)
		cells[i].r = bed_send(b, &cells[i].send, i);
	bed_collect(b, 150, seen, ZT_ARRAY_SIZE(seen));
	report(b, e, kind, allow, cells, n, seen);
}

int main(void)
{
	static const struct zt_engine *const engines[] = {&zt_engine_nft, &zt_engine_iptables};
	struct bed b;
	int r = bed_open(&b, "ztconf");

	if (r == -EPERM) {
		printf("1..0 # SKIP root is needed\n");
		return 0;
	}
	for (size_t i = 0; !r && i < ZT_ARRAY_SIZE(engines); i++) {
		for (int kind = 0; kind < N_KINDS; kind++)
			for (int allow = 0; allow < 2; allow++)
				if (kind == CGROUP && !b.cgroup[0])
					bed_skip(&b, "cgroup cells", "no cgroup2 tree can be made here");
				else
					run_kind(&b, engines[i], (enum kind)kind, allow);
		(void)engines[i]->flush("default", NULL);
	}
	if (r < 0)
		bed_ok(&b, false, "test bed: %s", strerror(-r));
	bed_close(&b);
	return bed_finish(&b);
}
