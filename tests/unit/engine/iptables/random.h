/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Random rulesets of what the iptables engine can express, from a seed. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ruleset/ruleset.h"

static unsigned rnd(unsigned *seed, unsigned below)
{
	*seed = *seed * 1103515245u + 12345u;
	return (*seed >> 16) % below;
}

static inline void random_numbers(unsigned *s, struct zt_u32_ranges *l, unsigned chance, uint32_t max)
{
	unsigned n = rnd(s, 100) < chance ? 1 + rnd(s, rnd(s, 6) ? 2 : 20) : 0;

	for (unsigned i = 0; i < n; i++) {
		uint32_t lo = rnd(s, max), hi = rnd(s, 2) ? lo : lo + rnd(s, 2000);

		hi = ZT_MIN(hi, max);
		(void)zt_u32_ranges_add(l, lo, hi);
	}
	zt_u32_ranges_normalise(l);
}

static inline void random_addrs(unsigned *s, struct zt_addr_ranges *l, int family, unsigned chance)
{
	unsigned n = rnd(s, 100) < chance ? 1 + rnd(s, rnd(s, 6) ? 2 : 8) : 0;

	for (unsigned i = 0; i < n; i++) {
		struct zt_addr_range r = {0};
		char text[128];

		if (family == 4)
			(void)snprintf(text, sizeof(text), rnd(s, 2) ? "10.%u.%u.0/%u" : "10.%u.0.%u", rnd(s, 250),
				       rnd(s, 250), 8 + rnd(s, 25));
		else
			(void)snprintf(text, sizeof(text), rnd(s, 2) ? "fd00:%x::/%u" : "fd00::%x", rnd(s, 0xffff),
				       16 + rnd(s, 113));
		if (rnd(s, 4) == 0)
			(void)snprintf(text, sizeof(text), family == 4 ? "10.1.%u.3-10.1.%u.9" : "fd00::%x-fd01::%x",
				       rnd(s, 100), 100 + rnd(s, 100));
		if (zt_addr_range_parse(text, &r, NULL) == 0)
			(void)zt_addr_ranges_add(l, &r);
	}
	zt_addr_ranges_normalise(l);
}

static inline void random_protos(unsigned *s, struct zt_match *m)
{
	static const uint8_t ports[] = {6, 17, 132, 136, 33}, others[] = {1, 2, 47, 50, 58, 89};
	unsigned kind = rnd(s, 4), n = 1 + rnd(s, 3);

	for (unsigned i = 0; kind && i < n; i++) {
		uint8_t p = kind == 1 ? others[rnd(s, sizeof(others))] : ports[rnd(s, sizeof(ports))];

		(void)zt_u32_ranges_add(&m->proto, p, p);
	}
	zt_u32_ranges_normalise(&m->proto);
	if (kind > 1)
		random_numbers(s, &m->port, 70, 65535);
}

static inline void random_windows(unsigned *s, struct zt_rule *r)
{
	if (rnd(s, 6) == 0)
		r->expires = (UINT64_C(1900000000) + rnd(s, 30000)) * 1000000;
	if (rnd(s, 6))
		return;
	r->windows = zt_new(struct zt_window, 2);
	r->n_windows = 1 + rnd(s, 2);
	r->windows[0] = (struct zt_window){.start = rnd(s, 100000), .end = 110000 + rnd(s, 90000)};
	r->windows[1] = (struct zt_window){.start = 300000, .end = rnd(s, 2) ? 604800 : 345600};
}

static inline void random_rule(unsigned *s, struct zt_ruleset *rs, unsigned i)
{
	static const char *const words[] = {"web to redis", "-t nat",	 "it's", "a|b",	   "x%20",
					    "#1",	    "--comment", "rule", "zt:ssh", "$(id)"};
	struct zt_rule *r = zt_ruleset_add(rs);

	r->id = zt_asprintf("%s %u", words[rnd(s, ZT_ARRAY_SIZE(words))], i / 2);
	r->part = i & 1;
	r->dir = (enum zt_direction)(rnd(s, 5) ? 0 : rnd(s, 3));
	r->verdict = (enum zt_verdict)rnd(s, 4);
	r->log = rnd(s, 4) == 0;
	r->file = rnd(s, 2);
	r->line = rnd(s, 5000);
	r->match.families = (uint8_t)(1 + rnd(s, 3));
	if (r->dir == ZT_DIR_EGRESS) {
		random_numbers(s, &r->match.uid, 60, 60000);
		random_numbers(s, &r->match.gid, 20, 60000);
	}
	if (r->match.families & ZT_FAMILY_4) {
		random_addrs(s, &r->match.src4, 4, 25);
		random_addrs(s, &r->match.dst4, 4, 60);
	}
	if (r->match.families & ZT_FAMILY_6) {
		random_addrs(s, &r->match.src6, 6, 25);
		random_addrs(s, &r->match.dst6, 6, 60);
	}
	random_protos(s, &r->match);
	random_windows(s, r);
}

/* Makes r one about Unix sockets. */
static inline void random_unix(unsigned *s, struct zt_rule *r)
{
	static const char *const names[] = {"/run/a", "/run/a.sock", "/run/b/c", "@a", "@/run/a"};
	struct zt_match *m = &r->match;

	zt_addr_ranges_done(&m->src4);
	zt_addr_ranges_done(&m->src6);
	zt_addr_ranges_done(&m->dst4);
	zt_addr_ranges_done(&m->dst6);
	zt_u32_ranges_done(&m->proto);
	zt_u32_ranges_done(&m->port);
	m->families = 3;
	r->dir = ZT_DIR_UNIX;
	for (unsigned n = rnd(s, 4); n-- > 0;)
		(void)zt_unix_names_add(&m->unix_names, names[rnd(s, 5)]);
}

static inline struct zt_ruleset *random_ruleset(unsigned seed, unsigned max_rules)
{
	static const char *const prefixes[] = {"ZT-BLOCKED: ", "-t filter ", "it's 'so' $x: ", "",
					       "a prefix of sixty bytes: 0123456789 0123456789 0123456789 "};
	static const char *const files[] = {"/etc/zt-segment/rules.yaml",
					    "/etc/zt-segment/policy.d/\xc3\xa4 \"b\"|;%,\\.yaml"};
	struct zt_ruleset *rs = NULL;
	unsigned s = seed, n;

	if (zt_ruleset_new(&rs) < 0)
		return NULL;
	rs->generation = 1 + rnd(&s, 30000);
	rs->files = zt_new(char *, 2);
	rs->files[0] = zt_strdup(files[0]);
	rs->files[1] = zt_strdup(files[1]);
	rs->n_files = 2;
	free(rs->policy_name);
	rs->policy_name = zt_strdup(files[rnd(&s, 2)]);
	free(rs->settings.log_prefix);
	rs->settings.log_prefix = zt_strdup(prefixes[rnd(&s, ZT_ARRAY_SIZE(prefixes))]);
	for (int i = 0; i < 3; i++)
		rs->settings.def[i] = rnd(&s, 3) ? ZT_DEFAULT_DENY : ZT_DEFAULT_ALLOW;
	rs->settings.mode = rnd(&s, 4) ? ZT_MODE_ENFORCE : ZT_MODE_OBSERVE;
	rs->settings.block = rnd(&s, 2) ? ZT_BLOCK_REJECT : ZT_BLOCK_DROP;
	rs->settings.loopback = (enum zt_loopback)rnd(&s, 3);
	rs->settings.socket_passing = seed & 1;
	rs->settings.log_blocked = rnd(&s, 2);
	rs->settings.preserve_ssh = rnd(&s, 2);
	rs->settings.preserve_established = rnd(&s, 2);
	rs->settings.log_limit = 1 + rnd(&s, 400);
	rs->settings.log_limit_per = rnd(&s, 4);
	if (rs->settings.preserve_ssh)
		random_numbers(&s, &rs->ssh_ports, 100, 60000);
	n = rnd(&s, max_rules + 1);
	for (unsigned i = 0; i < n; i++)
		random_rule(&s, rs, i);
	(void)zt_ruleset_rehash(rs);
	return rs;
}
