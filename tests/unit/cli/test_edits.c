/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What `why` proposes is done to the text of the policy, as its user would, and then every flow that the policy tells apart is put to
 * the oracle before and after: the flow asked about is allowed, and what became allowed is exactly what was said to open.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "base/mem.h"
#include "cli/cli.h"

struct change { /* of the text, for an edit that is no new rule */
	enum zt_edit_kind kind;
	const char *rule, *search, *replace;
};
struct line {
	const char *policy;
	const char *from; /* "uid", "uid/gid", "@cgroup", or an address: inbound */
	const char *to;
	size_t n_edits;
	struct change changes[3];
	const char *opens; /* text of what the first edit opens */
};

#define HEAD "version: \"1.0\"\nsettings: {preserve_ssh: true}\n"
#define WEB "  - {name: web, from: {uid: 1001}, to: {host: 10.0.0.7, port: 6379, protocol: tcp}, action: allow}\n"
#define DNS "  - {name: dns, from: {user: \"*\"}, to: {port: 53, protocol: both}, action: allow}\n"
#define LAN "  - {name: lan, from: {uid: 1000-1999}, to: {host: 10.0.0.0/24}, action: allow}\n"
#define ISOLATED "  - {name: isolated, from: {uid: 1002}, to: {host: any}, action: deny}\n"

static const struct line lines[] = {
	{HEAD "rules:\n" WEB DNS,
	 "1003",
	 "10.0.0.7:6379/tcp",
	 2,
	 {{ZT_EDIT_WIDEN, "web", "uid: 1001", "uid: [1001, 1003]"}},
	 "uid 1003 -> 10.0.0.7:6379/tcp"},
	{HEAD "rules:\n" WEB DNS,
	 "1001",
	 "10.0.0.7:443/tcp",
	 2,
	 {{ZT_EDIT_WIDEN, "web", "port: 6379", "port: [443, 6379]"}},
	 "uid 1001 -> 10.0.0.7:443/tcp"},
	{HEAD "rules:\n" WEB DNS,
	 "1001",
	 "10.0.0.66:6379/tcp",
	 2,
	 {{ZT_EDIT_WIDEN, "web", "host: 10.0.0.7", "host: [10.0.0.7, 10.0.0.66]"}},
	 "uid 1001 -> 10.0.0.66:6379/tcp"},
	{HEAD "rules:\n" WEB DNS,
	 "1001",
	 "10.0.0.7:6379/udp",
	 2,
	 {{ZT_EDIT_WIDEN, "web", "protocol: tcp", "protocol: both"}},
	 "uid 1001 -> 10.0.0.7:6379/udp"},
	{HEAD "rules:\n" WEB DNS,
	 "1001",
	 "[2001:db8::1]:6379/tcp",
	 2,
	 {{ZT_EDIT_WIDEN, "web", "host: 10.0.0.7", "host: [10.0.0.7, \"2001:db8::1\"]"}},
	 "uid 1001 -> [2001:db8::1]:6379/tcp"},
	{HEAD "rules:\n" WEB DNS, "1001", "192.0.2.1/icmp", 1, {{0}}, "uid 1001 -> 192.0.2.1/icmp"},
	{HEAD "rules:\n" WEB DNS,
	 "@system.slice/a.service",
	 "10.0.0.66:443",
	 1,
	 {{0}},
	 "a.service -> 10.0.0.66:443/tcp"},
	{HEAD "rules:\n" WEB, "1001/50", "10.0.0.66:443", 1, {{0}}, NULL},
	/* a rule denies, and what others allow anyway is not opened */
	{HEAD "rules:\n" ISOLATED WEB DNS LAN,
	 "1002",
	 "10.0.0.7:5432/tcp",
	 2,
	 {{ZT_EDIT_MOVE, "lan", NULL, NULL}},
	 "uid 1002 -> 10.0.0.7:5432/tcp"},
	{HEAD "rules:\n" WEB ISOLATED DNS,
	 "1002",
	 "10.0.0.7:6379/tcp",
	 2,
	 {{ZT_EDIT_WIDEN, "web", "uid: 1001", "uid: [1001, 1002]"}},
	 NULL},
	{HEAD "rules:\n" DNS "  - {name: any-host, from: {uid: [0, 1001-1003]}, to: {port: [53, 80]}, action: allow}\n",
	 "1002",
	 "192.0.2.1:443",
	 2,
	 {{ZT_EDIT_WIDEN, "any-host", "port: [53, 80]", "port: [53, 80, 443]"}},
	 NULL},
	{HEAD
	 "rules:\n  - {name: vault, from: {user: \"*\"}, to: {host: 10.0.0.66}, action: deny, priority: 7}\n" LAN DNS,
	 "1001",
	 "10.0.0.66:443",
	 2,
	 {{ZT_EDIT_MOVE, "lan", NULL, NULL}},
	 "uid 1001 -> 10.0.0.66:443/tcp"},
	{HEAD
	 "rules:\n  - {name: no-web, from: {uid: 1001}, to: {host: any, port: 443}, action: deny}\n"
	 "  - {name: tcp-out, from: {uid: [1001, 1003]}, to: {host: 192.0.2.0/24, protocol: tcp}, action: allow}\n",
	 "1003",
	 "10.0.0.7:443",
	 2,
	 {{ZT_EDIT_WIDEN, "tcp-out", "host: 192.0.2.0/24", "host: [192.0.2.0/24, 10.0.0.7]"}},
	 NULL},
	/* time */
	{HEAD
	 "rules:\n  - {name: old, from: {uid: 1001}, to: {host: 10.0.0.7}, action: allow, expires: 2020-01-01T00:00:00Z}\n" DNS,
	 "1001",
	 "10.0.0.7:443",
	 2,
	 {{ZT_EDIT_TIME, "old", ", expires: 2020-01-01T00:00:00Z", ""}},
	 "uid 1001 -> 10.0.0.7:443/tcp"},
	{HEAD
	 "rules:\n  - {name: late, from: {uid: 1001}, to: {host: 10.0.0.7}, action: allow, schedule: {days: [sat], hours: \"01:00-02:00\"}}\n" DNS,
	 "1001",
	 "10.0.0.7:443",
	 2,
	 {{ZT_EDIT_TIME, "late", ", schedule: {days: [sat], hours: \"01:00-02:00\"}", ""}},
	 "uid 1001 -> 10.0.0.7:443/tcp"},
	/* services */
	{HEAD "rules:\n  - {name: unit, from: {cgroup: system.slice/b.service}, to: {host: 10.0.0.7}, action: allow}\n"
	      "  - {name: slice, from: {cgroup: system.slice}, to: {port: 53}, action: allow}\n",
	 "@system.slice/a.service",
	 "10.0.0.7:443",
	 3,
	 {{ZT_EDIT_WIDEN, "unit", "cgroup: system.slice/b.service",
	   "cgroup: [system.slice/b.service, system.slice/a.service]"},
	  {ZT_EDIT_WIDEN, "slice", "port: 53", "port: [53, 443]"}},
	 NULL},
	{HEAD "rules:\n  - {name: not-a, from: {cgroup: system.slice/a.service}, to: {host: any}, action: deny}\n"
	      "  - {name: group, from: {gid: 50}, to: {host: 10.0.0.7}, action: allow}\n",
	 "1001",
	 "10.0.0.7:443",
	 2,
	 {{ZT_EDIT_WIDEN, "group", "gid: 50", "gid: [50, 1001]"}},
	 NULL},
	/* inbound */
	{HEAD "rules:\n  - {name: office, from: {host: 10.0.0.0/24}, to: {port: 443}, action: allow}\n",
	 "192.0.2.1",
	 ":443",
	 2,
	 {{ZT_EDIT_WIDEN, "office", "host: 10.0.0.0/24", "host: [10.0.0.0/24, 192.0.2.1]"}},
	 "192.0.2.1 -> :443/tcp"},
	{HEAD "rules:\n  - {name: office, from: {host: 10.0.0.0/24}, to: {port: 443}, action: allow}\n",
	 "10.0.0.7",
	 ":80",
	 2,
	 {{ZT_EDIT_WIDEN, "office", "port: 443", "port: [80, 443]"}},
	 "10.0.0.7 -> :80/tcp"},
	{HEAD "rules:\n  - {name: bad, from: {host: 10.0.0.0/24}, action: deny}\n"
	      "  - {name: world, from: {host: any}, to: {port: [22, 443]}, action: allow}\n",
	 "10.0.0.66",
	 ":443",
	 2,
	 {{ZT_EDIT_MOVE, "world", NULL, NULL}},
	 "10.0.0.66 -> :443/tcp"},
	/* what is observed or allowed on loopback is not opened by an edit */
	{"version: \"1.0\"\nsettings: {loopback: observe}\nrules:\n"
	 "  - {name: web, from: {uid: 1001}, to: {port: 6379, protocol: tcp}, action: allow}\n" DNS,
	 "1001",
	 "192.0.2.1:443",
	 2,
	 {{ZT_EDIT_WIDEN, "web", "port: 6379", "port: [443, 6379]"}},
	 NULL},
	{"version: \"1.0\"\nsettings: {default_policy: {egress: allow}}\nrules:\n" ISOLATED LAN,
	 "1002",
	 "192.0.2.1:443",
	 1,
	 {{0}},
	 NULL},
};

static struct zt_ruleset *compile(const char *text)
{
	struct zt_policy_options o = {.allow_unsafe_file = true};
	struct zt_compile_options co = {.offline = true};
	struct zt_policy *p = NULL;
	struct zt_ruleset *rs = NULL;
	struct zt_diags d = {0};

	if (zt_policy_parse("policy", text, strlen(text), &o, &p, &d) < 0 || zt_ruleset_compile(p, &co, &rs, &d) < 0) {
		zt_diags_print(&d, stdout, false);
		fail_msg("does not compile:\n%s", text);
	}
	zt_policy_free(p);
	zt_diags_done(&d);
	return rs;
}

/* 2026-11-24 12:00, a Tuesday */
enum { NOON = 1795521600 };

static struct zt_flow question(const struct line *l)
{
	struct zt_flow f = {.dir = ZT_DIR_EGRESS, .uid = UINT32_MAX, .gid = UINT32_MAX, .at = NOON * ZT_USEC_PER_SEC};
	struct zt_target t;
	char *slash;

	assert_int_equal(zt_target_parse(l->to, &t), 0);
	f.proto = t.proto;
	f.port = t.port;
	if (t.has_host)
		assert_int_equal(zt_addr_parse(t.host, &f.dst), 0);
	if (!t.has_host) {
		f.dir = ZT_DIR_INGRESS;
		assert_int_equal(zt_addr_parse(l->from, &f.src), 0);
	} else if (l->from[0] == '@') {
		f.cgroup_path = l->from + 1;
		f.owned = true;
	} else {
		f.uid = f.gid = (uint32_t)strtoul(l->from, &slash, 10);
		if (*slash)
			f.gid = (uint32_t)strtoul(slash + 1, NULL, 10);
		f.owned = true;
	}
	return f;
}

/* ---- edits of the text ---- */

static char *put_before(const char *text, const char *rule, const char *yaml)
{
	const char *at = rule ? strstr(text, rule) : NULL;

	while (at && at > text && at[-1] != '\n')
		at--;
	return at ? zt_asprintf("%.*s%s%s", (int)(at - text), text, yaml, at) : zt_asprintf("%s%s", text, yaml);
}

static char *replace(const char *text, const char *search, const char *by)
{
	const char *at = strstr(text, search);

	if (!at)
		fail_msg("no \"%s\" in\n%s", search, text);
	return zt_asprintf("%.*s%s%s", (int)(at - text), text, by, at + strlen(search));
}

static char *move(const char *text, const char *rule, const char *before)
{
	ZT_FREE char *name = zt_asprintf("  - {name: %s,", rule), *target = zt_asprintf("  - {name: %s,", before);
	const char *start = strstr(text, name), *end = start ? strchr(start, '\n') + 1 : NULL;
	ZT_FREE char *moved = NULL, *rest = NULL;

	assert_non_null(start);
	moved = zt_asprintf("%.*s", (int)(end - start), start);
	rest = zt_asprintf("%.*s%s", (int)(start - text), text, end);
	if (strstr(text, "priority: 7")) { /* in front of it means its priority too */
		char *same = replace(moved, ", action", ", priority: 7, action");

		free(moved);
		moved = same;
	}
	return put_before(rest, target, moved);
}

static char *edited(const struct line *l, const struct zt_edit *e, const struct zt_flow *f)
{
	struct zt_strbuf yaml = {0};
	char *text = NULL;

	if (e->kind == ZT_EDIT_ADD) {
		ZT_FREE char *target = e->before ? zt_asprintf("  - {name: %s,", e->before->id) : NULL;

		zt_edit_yaml(f, e->before, &yaml);
		text = put_before(l->policy, target, zt_strbuf_cstr(&yaml));
		zt_strbuf_done(&yaml);
		return text;
	}
	for (size_t i = 0; i < ZT_ARRAY_SIZE(l->changes); i++) {
		const struct change *c = &l->changes[i];

		if (c->rule && c->kind == e->kind && !strcmp(c->rule, e->rule->id))
			return c->search ? replace(l->policy, c->search, c->replace)
					 : move(l->policy, c->rule, e->before->id);
	}
	fail_msg("an edit of rule \"%s\" that was not expected, of\n%s", e->rule->id, l->policy);
	return NULL;
}

/* ---- every flow that the policies above tell apart ---- */

static const uint32_t uids[] = {0, 999, 1000, 1001, 1002, 1003, 1999, 2000}, gids[] = {50, 1001, 1003};
static const char *const cgroups[] = {"user.slice", "system.slice", "system.slice/a.service",
				      "system.slice/b.service/x"};
static const char *const hosts[] = {"127.0.0.1", "10.0.0.7", "10.0.0.66",  "10.0.1.1",
				    "192.0.2.1", "::1",	     "2001:db8::1"};
static const uint8_t protocols[] = {1, 6, 17, 47, 58};
static const uint16_t ports[] = {22, 53, 80, 443, 5432, 6379};

struct compare {
	const struct zt_ruleset *before, *after;
	const struct zt_edit *e;
	const char *policy;
	size_t opened, seen;
};

static bool allowed(const struct zt_ruleset *rs, const struct zt_flow *f)
{
	struct zt_decision d;

	zt_oracle_decide(rs, f, &d);
	return d.verdict == ZT_ALLOW || d.verdict == ZT_OBSERVE;
}

static void compare(struct compare *c, const struct zt_flow *f)
{
	bool was = allowed(c->before, f), is = allowed(c->after, f), said = zt_opening_has(&c->e->opening, f->dir, f);

	c->seen++;
	c->opened += is && !was;
	if ((is && !was) != said || (was && !is)) {
		struct zt_strbuf b = {0};

		zt_flow_text(f, &b);
		fail_msg("%s (gid %u): was %d, is %d, said to open %d; edit of kind %d of\n%s", zt_strbuf_cstr(&b),
			 f->gid, was, is, said, c->e->kind, c->policy);
	}
}

static void each_target(struct compare *c, struct zt_flow *f)
{
	for (size_t h = 0; h < ZT_ARRAY_SIZE(hosts); h++)
		for (size_t p = 0; p < ZT_ARRAY_SIZE(protocols); p++)
			for (size_t k = 0; k < (zt_proto_has_ports(protocols[p]) ? ZT_ARRAY_SIZE(ports) : 1); k++) {
				assert_int_equal(zt_addr_parse(hosts[h], f->dir == ZT_DIR_EGRESS ? &f->dst : &f->src),
						 0);
				f->loopback = zt_addr_is_loopback(f->dir == ZT_DIR_EGRESS ? &f->dst : &f->src);
				f->proto = protocols[p];
				f->port = zt_proto_has_ports(f->proto) ? ports[k] : 0;
				compare(c, f);
			}
}

static void each_flow(struct compare *c)
{
	struct zt_flow f = {.dir = ZT_DIR_INGRESS, .uid = UINT32_MAX, .gid = UINT32_MAX, .at = NOON * ZT_USEC_PER_SEC};

	each_target(c, &f);
	f = (struct zt_flow){.dir = ZT_DIR_EGRESS, .at = f.at};
	each_target(c, &f);
	f.owned = true;
	for (size_t u = 0; u < ZT_ARRAY_SIZE(uids); u++)
		for (size_t g = 0; g < ZT_ARRAY_SIZE(gids); g++)
			for (size_t k = 0; k < ZT_ARRAY_SIZE(cgroups); k++) {
				f.uid = uids[u];
				f.gid = gids[g];
				f.cgroup_path = cgroups[k];
				each_target(c, &f);
			}
}

static void check_edit(const struct line *l, const struct zt_ruleset *rs, const struct zt_edit *e,
		       const struct zt_flow *f)
{
	ZT_FREE char *text = edited(l, e, f);
	struct zt_ruleset *after = compile(text);
	struct compare c = {.before = rs, .after = after, .e = e, .policy = l->policy};

	if (!allowed(after, f))
		fail_msg("%s -> %s is still denied by\n%s", l->from, l->to, text);
	assert_false(e->opening.cut);
	each_flow(&c);
	assert_true(c.opened > 0);
	assert_true(c.seen > 5000);
	zt_ruleset_free(after);
}

static void check_line(const struct line *l)
{
	struct zt_ruleset *rs = compile(l->policy);
	struct zt_flow f = question(l);
	struct zt_decision d;
	struct zt_near *near = NULL;
	struct zt_edit *edits = NULL;
	size_t n_near = 0, n = 0;

	zt_oracle_decide(rs, &f, &d);
	assert_false(allowed(rs, &f));
	assert_int_equal(zt_near_list(rs, &f, d.by == ZT_BY_RULE ? d.rule : NULL, &near, &n_near), 0);
	assert_int_equal(zt_edits_find(rs, &f, &d, near, n_near, &edits, &n), 0);
	if (n != l->n_edits)
		fail_msg("%zu edits, not %zu, for %s -> %s of\n%s", n, l->n_edits, l->from, l->to, l->policy);
	assert_int_equal(edits[0].kind, ZT_EDIT_ADD);
	if (l->opens) {
		struct zt_strbuf b = {0};

		assert_int_equal(edits[0].opening.n, 1);
		zt_opened_text(&edits[0].opening.v[0], f.dir, &b);
		assert_string_equal(zt_strbuf_cstr(&b), l->opens);
		zt_strbuf_done(&b);
	}
	for (size_t i = 0; i < n; i++)
		check_edit(l, rs, &edits[i], &f);
	zt_edits_free(edits, n);
	free(near);
	zt_ruleset_free(rs);
}

static void test_edits_open_what_they_say(void **state)
{
	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(lines); i++)
		check_line(&lines[i]);
}

/* A wide rule in front of many denies: bounded, and honest about it. */
static void test_bound(void **state)
{
	struct zt_strbuf b = {0};
	struct zt_opening o = {0};
	struct zt_match all = {.families = ZT_FAMILY_4 | ZT_FAMILY_6};
	struct zt_ruleset *rs;

	(void)state;
	zt_strbuf_str(&b, HEAD "rules:\n");
	for (unsigned i = 0; i < 3000; i++)
		zt_strbuf_printf(&b, "  - {name: r%u, from: {uid: %u}, to: {host: 10.%u.%u.1, port: %u}, action: %s}\n",
				 i, 1000 + i % 7, i % 200, i / 200, 1 + i, i % 2 ? "allow" : "deny");
	rs = compile(zt_strbuf_cstr(&b));
	assert_int_equal(zt_ruleset_opens(rs, 0, ZT_DIR_EGRESS, &all, 0, &o), 0);
	assert_true(o.cut);
	assert_true(o.n >= 1000);
	zt_opening_done(&o);
	zt_ruleset_free(rs);
	zt_strbuf_done(&b);
}

/* Who a rule by subject decides for is not known: nothing is taken out for it, and what it blocks counts. */
static void test_subjects(void **state)
{
	struct zt_ruleset *rs = compile(HEAD "rules:\n" ISOLATED WEB);
	struct zt_match m = {.families = ZT_FAMILY_4};
	struct zt_opening o = {0};
	struct zt_flow f = {.dir = ZT_DIR_EGRESS, .owned = true, .uid = 1001, .gid = 1001, .proto = 6, .port = 6379};
	const struct zt_subject *somebody;

	(void)state;
	assert_int_equal(zt_addr_parse("10.0.0.7", &f.dst), 0);
	assert_int_equal(zt_ruleset_subject(rs, &(struct zt_subject){0}, &somebody), 0);
	assert_int_equal(zt_ruleset_opens(rs, 0, ZT_DIR_EGRESS, &m, 0, &o), 0);
	assert_false(o.at_most);
	assert_false(zt_opening_has(&o, ZT_DIR_EGRESS, &f)); /* "web" allows it anyway */
	zt_opening_done(&o);
	rs->rules[1].match.to = somebody;
	assert_int_equal(zt_ruleset_opens(rs, 0, ZT_DIR_EGRESS, &m, 0, &o), 0);
	assert_true(o.at_most);
	assert_true(zt_opening_has(&o, ZT_DIR_EGRESS, &f));
	zt_opening_done(&o);
	rs->rules[0].match.from = somebody;
	f.uid = 1002;
	rs->settings.def[ZT_DIR_EGRESS] = ZT_DEFAULT_ALLOW;
	assert_int_equal(zt_ruleset_opens(rs, 0, ZT_DIR_EGRESS, &m, 0, &o), 0);
	assert_true(zt_opening_has(&o, ZT_DIR_EGRESS, &f));
	zt_opening_done(&o);
	assert_int_equal(zt_ruleset_opens(rs, 1, ZT_DIR_EGRESS, &m, 0, &o), 0);
	assert_false(zt_opening_has(&o, ZT_DIR_EGRESS, &f)); /* the rule before goes on blocking */
	zt_opening_done(&o);
	zt_ruleset_free(rs);
}

/* Control groups and sockets have any name; the rule that is offered reads back as what was asked about. */
static void test_names_that_yaml_means_something_by(void **state)
{
	static const char *const groups[] = {"system.slice/a}b.service", "a.slice/x,y:z#1", "[x]", "no", "1"};
	static const char *const sockets[] = {"/run/a}b].sock", "@{x}", "@[1:2]", "/run/#1", "@no"};

	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(groups) + ZT_ARRAY_SIZE(sockets); i++) {
		bool local = i >= ZT_ARRAY_SIZE(groups);
		struct zt_flow f = {.dir = local ? ZT_DIR_UNIX : ZT_DIR_EGRESS, .owned = true, .gid = UINT32_MAX};
		ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
		ZT_STRBUF struct zt_strbuf text = {0};
		struct zt_policy_options o = {.no_resolve = true};
		struct zt_diags d = {0};

		f.uid = local ? 1001 : UINT32_MAX;
		f.cgroup_path = local ? NULL : groups[i];
		f.unix_name = local ? sockets[i - ZT_ARRAY_SIZE(groups)] : NULL;
		f.proto = 6;
		f.port = 443;
		zt_strbuf_str(&text, HEAD "rules:\n");
		zt_edit_yaml(&f, NULL, &text);
		if (zt_policy_parse("test", text.buf, text.len, &o, &p, &d) < 0)
			fail_msg("%s\n%s", d.n ? d.items[0].message : "", zt_strbuf_cstr(&text));
		assert_int_equal(p->n_rules, 1);
		if (local)
			assert_string_equal(p->rules[0].unix_names.v[0], f.unix_name);
		else
			assert_string_equal(p->rules[0].from.whos[0].cgroups[0].path, f.cgroup_path);
		zt_diags_done(&d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_that_yaml_means_something_by),
		cmocka_unit_test(test_edits_open_what_they_say),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_subjects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
