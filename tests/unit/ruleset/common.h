/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "../base/common.h"

#include "../engine/iptables/random.h"

#define V "version: \"1.0\"\n"

/* A policy in YAML as a ruleset; accounts are those of the golden tests. */
static inline int compiled(const char *yaml, const struct zt_compile_options *o, struct zt_ruleset **ret,
			   struct zt_diags *d)
{
	struct zt_policy_options po = {.root = getenv("ZT_TEST_ROOT"), .allow_unsafe_file = true};
	struct zt_policy *p = NULL;
	int r = zt_policy_parse("test.yaml", yaml, strlen(yaml), &po, &p, d);

	if (!r)
		r = zt_ruleset_compile(p, o, ret, d);
	zt_policy_free(p);
	return r;
}

static inline struct zt_ruleset *must_compile(const char *yaml)
{
	struct zt_compile_options o = {.offline = true};
	struct zt_ruleset *rs = NULL;
	struct zt_diags d = {0};
	int r = compiled(yaml, &o, &rs, &d);

	if (r)
		zt_diags_print(&d, stderr, false);
	assert_int_equal(r, 0);
	zt_diags_done(&d);
	return rs;
}

static inline char *canonical(const struct zt_ruleset *rs)
{
	struct zt_strbuf b = {0};
	char *s;

	assert_int_equal(zt_ruleset_canonical(rs, &b), 0);
	s = zt_strbuf_steal(&b);
	assert_non_null(s);
	return s;
}

static inline void assert_same_policy(const struct zt_ruleset *a, const struct zt_ruleset *b)
{
	char *x = canonical(a), *y = canonical(b);

	assert_string_equal(x, y);
	free(x);
	free(y);
}

static inline void add_cgroup(unsigned *seed, struct zt_rule *r)
{
	static const char *const paths[] = {"a", "a/b", "a/b/c", "ab", "system.slice/nginx.service"};

	if (rnd(seed, 4) || !(r->match.cgroups = zt_new(struct zt_cgroup, 2)))
		return;
	for (unsigned n = 1 + rnd(seed, 2); r->match.n_cgroups < n;) {
		unsigned i = rnd(seed, 5);

		r->match.cgroups[r->match.n_cgroups++] = (struct zt_cgroup){
			.path = zt_strdup(paths[i]), .id = rnd(seed, 2) ? UINT64_C(1) << 62 | i : 0, .level = i};
	}
}

/* As random_ruleset, with cgroups and texts. */
static inline struct zt_ruleset *random_whole(unsigned seed, unsigned max_rules)
{
	struct zt_ruleset *rs = random_ruleset(seed, max_rules);

	for (size_t i = 0; i < rs->n_rules; i++) {
		if (rnd(&seed, 6) == 0)
			random_unix(&seed, &rs->rules[i]);
		add_cgroup(&seed, &rs->rules[i]);
		rs->rules[i].from_text = zt_strdup("web-user");
		rs->rules[i].to_text = zt_strdup("\xc3\xa4:1/tcp");
		for (char *p = rs->rules[i].id; *p; p++)
			*p = *p == '\\' || *p == '"' || *p == ';' ? '.' : *p;
	}
	for (char *p = rs->settings.log_prefix; *p; p++)
		*p = *p == '\\' || *p == '"' ? '.' : *p;
	assert_int_equal(zt_ruleset_rehash(rs), 0);
	return rs;
}
