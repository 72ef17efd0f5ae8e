/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Flows as the journal has them, in one line each. Accounts and host names are those of the golden tests. */
#include "../ruleset/common.h"

#include "learn/learn.h"

#define T0 UINT64_C(1795856400000000) /* 2026-11-28T09:00:00Z */
#define HOUR (UINT64_C(3600) * ZT_USEC_PER_SEC)

struct seen_line { /* what is NULL or 0 is not recorded */
	const char *dir, *user, *exe, *service, *remote, *name, *peer, *peer_exe, *verdict;
	uint8_t proto;
	uint16_t port;
	uint64_t count;
	unsigned uid, peer_uid, hour;
	bool closed; /* only its end: count 0 */
};

static inline void activity_of(const struct seen_line *s, struct zt_activity *a)
{
	struct zt_addr addr = {0};

	zt_activity_init(a, ZT_ACTIVITY_CONNECT, T0);
#define TEXT(field, value) \
	if (value)         \
	zt_activity_text(a, field, value, strlen(value))
	TEXT(direction, s->dir);
	TEXT(user, s->user);
	TEXT(exe, s->exe);
	TEXT(service, s->service);
	TEXT(name, s->name);
	TEXT(peer_user, s->peer);
	TEXT(peer_exe, s->peer_exe);
	TEXT(verdict, s->verdict);
#undef TEXT
	zt_activity_set(a, protocol, s->proto ? s->proto : 6);
	if (s->port)
		zt_activity_set(a, dport, s->port);
	if (s->user || s->uid)
		zt_activity_set(a, uid, s->uid);
	if (s->peer || s->peer_uid)
		zt_activity_set(a, peer_uid, s->peer_uid);
	assert_int_equal(zt_addr_parse(s->remote, &addr), 0);
	if (!strcmp(s->dir, "egress"))
		zt_activity_set(a, dst, addr);
	else
		zt_activity_set(a, src, addr);
}

static inline void add_line(struct zt_seen_list *l, const struct seen_line *s)
{
	static struct zt_activity a;

	activity_of(s, &a);
	assert_int_equal(zt_seen_add(l, &a,
				     s->closed	? 0
				     : s->count ? s->count
						: 1,
				     1000, T0 + s->hour * HOUR, T0 + (s->hour + 1) * HOUR),
			 0);
}

static inline void add_lines(struct zt_seen_list *l, const struct seen_line *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		add_line(l, &s[i]);
	assert_int_equal(zt_seen_ready(l, getenv("ZT_TEST_ROOT")), 0);
}

/* The learned policy; it parses, its tests hold, and it is in canonical form. */
static inline void learned(const struct zt_seen_list *l, unsigned by, bool denied, struct zt_learned *ret)
{
	struct zt_learn_options o = {.by = by, .denied = denied, .root = getenv("ZT_TEST_ROOT")};
	struct zt_strbuf again = {0};
	struct zt_diags d = {0};
	int r = zt_learn(l, &o, ret, &d);

	if (r)
		zt_diags_print(&d, stderr, false);
	assert_int_equal(r, 0);
	assert_int_equal(zt_policy_format("again", ret->yaml.buf, ret->yaml.len, &again, &d), 0);
	assert_string_equal(again.buf, ret->yaml.buf);
	zt_strbuf_done(&again);
	zt_diags_done(&d);
}

static inline struct zt_policy *policy_of(const struct zt_learned *l)
{
	struct zt_policy_options o = {.root = getenv("ZT_TEST_ROOT"), .allow_unsafe_file = true};
	struct zt_policy *p = NULL;
	struct zt_diags d = {0};
	int r = zt_policy_parse("learned.yaml", l->yaml.buf, l->yaml.len, &o, &p, &d);

	if (r)
		zt_diags_print(&d, stderr, false);
	assert_int_equal(r, 0);
	zt_diags_done(&d);
	return p;
}

/* Runs the tests of the policy; the ruleset. */
static inline struct zt_ruleset *tested(const struct zt_learned *l)
{
	struct zt_compile_options o = {.offline = true, .labels = true};
	struct zt_policy *p = policy_of(l);
	struct zt_ruleset *rs = NULL;
	struct zt_diags d = {0};

	assert_int_equal(zt_ruleset_compile(p, &o, &rs, &d), 0);
	assert_int_equal(p->n_tests, l->n_tests);
	for (size_t i = 0; i < p->n_tests; i++) {
		struct zt_expectation e;
		struct zt_decision v;

		zt_expectation_init(&e, &p->tests[i]);
		zt_oracle_decide(rs, &e.flow[0], &v);
		if (!zt_action_expects(p->tests[i].expect, v.verdict))
			fail_msg("test \"%s\" fails", p->tests[i].name);
	}
	zt_policy_free(p);
	zt_diags_done(&d);
	return rs;
}
