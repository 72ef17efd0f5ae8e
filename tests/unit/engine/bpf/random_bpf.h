/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Random rulesets of what the bpf engine can express: those of the iptables engine, with control groups and processes on both ends. */
#include "../iptables/random.h"

static inline struct zt_cgroup *random_cgroups(unsigned *s, size_t *ret_n)
{
	static const struct {
		const char *path;
		uint32_t id, level;
	} all[] = {{"a", 101, 1}, {"a/b", 102, 2}, {"c", 103, 1}, {"c/d/e", 104, 3}};
	struct zt_cgroup *v = zt_new(struct zt_cgroup, 2);
	unsigned first = rnd(s, 3);

	*ret_n = 1 + rnd(s, 2);
	for (size_t i = 0; i < *ret_n; i++) {
		v[i] = (struct zt_cgroup){zt_strdup(all[first + i].path), all[first + i].id, all[first + i].level};
	}
	return v;
}

static inline struct zt_exe random_exe(unsigned *s)
{
	static const char *const paths[] = {"/usr/bin/redis-server", "/usr/sbin/nginx", "/bin/sh"};
	unsigned i = rnd(s, 3);

	return (struct zt_exe){.path = zt_strdup(paths[i]),
			       .id = {.dev = 8 << 20 | 1, .ino = 1000 + i, .ctime_sec = 5, .ctime_nsec = i}};
}

static inline const struct zt_subject *random_subject(unsigned *s, struct zt_ruleset *rs)
{
	struct zt_subject x = {.text = zt_strdup("somebody")};
	const struct zt_subject *mine = NULL;

	if (rnd(s, 2))
		(void)zt_u32_ranges_add(&x.uid, 1000 + rnd(s, 3), 1003 + rnd(s, 3));
	if (rnd(s, 3) == 0)
		(void)zt_u32_ranges_add(&x.gid, 50 + rnd(s, 3), 52 + rnd(s, 3));
	if (rnd(s, 3) == 0)
		x.cgroups = random_cgroups(s, &x.n_cgroups);
	if (rnd(s, 2)) {
		x.exes = zt_new(struct zt_exe, 1);
		x.exes[x.n_exes++] = random_exe(s);
	}
	if (rnd(s, 4) == 0) {
		x.parents = zt_new(struct zt_exe, 1);
		x.parents[x.n_parents++] = random_exe(s);
	}
	if (zt_ruleset_subject(rs, &x, &mine) < 0)
		mine = NULL;
	zt_subject_done(&x);
	return mine;
}

static inline void random_process(unsigned *s, struct zt_ruleset *rs, struct zt_rule *r)
{
	struct zt_match *m = &r->match;

	if (r->dir == ZT_DIR_FORWARD)
		return;
	if (rnd(s, 4) == 0)
		m->to = random_subject(s, rs);
	if (r->dir != ZT_DIR_EGRESS)
		return;
	if (rnd(s, 3) == 0) {
		m->from = random_subject(s, rs);
		zt_u32_ranges_done(&m->gid);
		zt_u32_ranges_done(&m->uid);
		(void)zt_u32_ranges_copy(&m->uid, &m->from->uid);
	} else if (rnd(s, 5) == 0) {
		m->cgroups = random_cgroups(s, &m->n_cgroups);
	}
}

/* processes: with subjects and control groups. A third of the numbers come from small worlds, so that flows hit them. */
static inline struct zt_ruleset *random_bpf_ruleset(unsigned seed, unsigned max_rules, bool processes)
{
	struct zt_ruleset *rs = random_ruleset(seed, max_rules);
	unsigned s = seed * 7 + 3;

	for (size_t i = 0; rs && i < rs->n_rules; i++) {
		struct zt_rule *r = &rs->rules[i];

		if (r->match.uid.n && rnd(&s, 2)) {
			zt_u32_ranges_done(&r->match.uid);
			(void)zt_u32_ranges_add(&r->match.uid, 1000 + rnd(&s, 3), 1003 + rnd(&s, 3));
		}
		if (r->match.port.n && rnd(&s, 2)) {
			zt_u32_ranges_done(&r->match.port);
			(void)zt_u32_ranges_add(&r->match.port, 80, 80 + (rnd(&s, 2) ? rnd(&s, 8) : 0));
		}
		if (processes)
			random_process(&s, rs, r);
	}
	if (rs)
		(void)zt_ruleset_rehash(rs);
	return rs;
}
