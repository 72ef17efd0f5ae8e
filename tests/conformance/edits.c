/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What `why` proposes for every cell of the conformance matrix that is denied: identity x allow, deny x sender x protocol x address, and what the
 * peer sends in. Its first edit is put into the text of the policy, and then over all classes of flows (ruleset/equiv.h)
 *   - the policy decides as before, but for the boxes that the edit says it opens, which are allowed,
 *   - each of these boxes was blocked before,
 *   - and lies within the user, address, protocol and port of the flow that was asked about.
 * Of each policy one cell is done for real, with what `zt-segment why -o json` answers: applied by the engines, every sender sends over, and what
 * arrives is what the oracle says of the edited policy: the cell itself, and nothing else that did not before.
 */
#include <jansson.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "bed.h"
#include "cli/cli.h"
#include "identity/identity.h"
#include "ruleset/equiv.h"

enum kind { USER, RANGE, LIST, GROUP, GROUP_RANGE, USER_AND_GROUP, CGROUP, ANY, IN_ANY, IN_HOST, IN_PORT, N_KINDS };
static const char *const from[] = {
	[USER] = "{uid: 2001}",
	[RANGE] = "{uid: 2000-2009}",
	[LIST] = "{uid: [2001, 2005, 70000]}",
	[GROUP] = "{gid: 3001}",
	[GROUP_RANGE] = "{gid: 3000-3009}",
	[USER_AND_GROUP] = "{uid: 2001, gid: 3001}",
	[CGROUP] = NULL,
	[ANY] = "{user: \"*\"}",
	[IN_ANY] = "{host: any}",
	[IN_HOST] = "{host: [10.99.0.2, \"fd99::/64\"]}",
	[IN_PORT] = "{host: any}",
};
static const struct sender {
	uint32_t uid, gid;
	enum bed_group group;
} senders[] = {{2001, 3001, BED_RUN}, {2002, 3001, BED_RUN}, {0, 0, BED_RUN},	     {2000, 3666, BED_RUN},
	       {1999, 3001, BED_RUN}, {2005, 3666, BED_RUN}, {70000, 3666, BED_RUN}, {2666, 3010, BED_RUN},
	       {2666, 3001, BED_RUN}, {2001, 3002, BED_RUN}, {2666, 3666, BED_SVC},  {2666, 3666, BED_INNER},
	       {2666, 3666, BED_RUN}};
static const char *const addresses[] = {"127.0.0.1", "127.0.0.2",	 "::1",
					"10.99.0.1", "fd99::1",		 "10.99.0.2",
					"fd99::2",   "::ffff:10.99.0.2", "::ffff:127.0.0.1"};
static const enum bed_method methods[] = {BED_UDP, BED_TCP, BED_ICMP, BED_RAW, BED_UDPLITE};

enum { N_SENDERS = ZT_ARRAY_SIZE(senders), N_ADDRESSES = ZT_ARRAY_SIZE(addresses), N_METHODS = ZT_ARRAY_SIZE(methods) };
enum { PORT = 7777, MAX_CELLS = N_SENDERS * N_ADDRESSES * N_METHODS };

struct test {
	struct bed *b;
	enum kind kind;
	bool allow;
	char name[64];
	char *text; /* the policy */
	struct zt_ruleset *rs;
};
static struct {
	unsigned denied;
} sum;

static bool inbound(enum kind k)
{
	return k >= IN_ANY;
}

/* ---- policies ---- */
static char *policy_text(const struct test *t)
{
	ZT_FREE char *group = t->kind == CGROUP ? zt_asprintf("{cgroup: %s}", t->b->cgroup[BED_SVC])
						: zt_strdup(from[t->kind]);

	return zt_asprintf("version: \"1.0\"\n"
			   "settings: {default_policy: {egress: %s, ingress: %s}, preserve_ssh: false}\n"
			   "rules:\n"
			   "  - {name: cell, from: %s, to: %s, action: %s}\n",
			   t->allow || inbound(t->kind) ? "deny" : "allow",
			   inbound(t->kind) && !t->allow ? "allow" : "deny", group,
			   t->kind == IN_PORT ? (t->allow ? "{port: 7778}" : "{port: 7777}")
			   : inbound(t->kind) ? "{port: 1-65535}"
					      : "{host: any}",
			   t->allow ? "allow" : "deny");
}

static struct zt_ruleset *compile(const char *text, bool labels)
{
	struct zt_policy_options o = {.allow_unsafe_file = true};
	struct zt_compile_options co = {.labels = labels};
	struct zt_policy *p = NULL;
	struct zt_ruleset *rs = NULL;
	struct zt_diags d = {0};

	if (zt_policy_parse("policy", text, strlen(text), &o, &p, &d) < 0 || zt_ruleset_compile(p, &co, &rs, &d) < 0)
		zt_diags_print(&d, stdout, false);
	zt_policy_free(p);
	zt_diags_done(&d);
	return rs;
}

/* As a reader of the edit would: in front of the rule that it names, else at the end. */
static char *edited(const struct test *t, const char *yaml, bool before)
{
	const char *at = before ? strstr(t->text, "  - {name: cell,") : t->text + strlen(t->text);

	return zt_asprintf("%.*s%s%s", (int)(at - t->text), t->text, yaml, at);
}

/* ---- cells ---- */
static bool exists(enum kind k, size_t sender, size_t method, size_t address)
{
	bool mapped = strchr(addresses[address], '.') && strchr(addresses[address], ':');

	if (mapped && (methods[method] == BED_ICMP || methods[method] == BED_RAW))
		return false;
	return !inbound(k) || (sender == 0 && methods[method] != BED_UDPLITE && address >= 3 && address < 5);
}

/* In the form that the record of an event has: identifiers of all control groups above; by path as --cgroup does. */
static void set_group(const struct test *t, enum bed_group g, bool by_path, struct zt_flow *f)
{
	char path[160];
	unsigned level = 0;

	f->cgroup_path = by_path ? t->b->cgroup[g] : NULL;
	for (const char *at = t->b->cgroup[g]; !by_path && at && level < ZT_ARRAY_SIZE(f->cgroup) - 1; level++) {
		unsigned found;

		at = strchr(*at == '/' ? at + 1 : at, '/');
		(void)snprintf(path, sizeof(path), "%.*s", at ? (int)(at - t->b->cgroup[g]) : 159, t->b->cgroup[g]);
		(void)zt_cgroup_lookup(NULL, path, &f->cgroup[level], &found); /* gone: matches no rule */
	}
}

static struct zt_flow flow_of(const struct test *t, size_t sender, size_t method, size_t address, bool by_path)
{
	static const uint8_t proto[] = {17, 6, 1, 253, 136};
	const struct sender *s = &senders[sender];
	struct zt_flow f = {.dir = ZT_DIR_EGRESS, .owned = true, .uid = s->uid, .gid = s->gid, .at = zt_now()};
	const char *far = addresses[address][0] == 'f' ? "fd99::2" : "10.99.0.2";

	(void)zt_addr_parse(addresses[address], &f.dst); /* constants */
	f.loopback = !strstr(addresses[address], "99.0.2") && strcmp(addresses[address], "fd99::2") != 0;
	f.proto = proto[method] == 1 && f.dst.family == 6 ? 58 : proto[method];
	f.port = zt_proto_has_ports(f.proto) ? PORT : 0;
	if (inbound(t->kind)) {
		f = (struct zt_flow){.dir = ZT_DIR_INGRESS,
				     .uid = UINT32_MAX,
				     .gid = UINT32_MAX,
				     .at = f.at,
				     .proto = f.proto,
				     .port = f.port};
		(void)zt_addr_parse(far, &f.src);
	} else if (t->kind == CGROUP) {
		set_group(t, s->group, by_path, &f);
	}
	return f;
}

static bool passes(const struct zt_ruleset *rs, const struct zt_flow *f, enum zt_verdict *ret)
{
	struct zt_decision d;

	zt_oracle_decide(rs, f, &d);
	*ret = d.verdict;
	return d.verdict == ZT_ALLOW || d.verdict == ZT_OBSERVE;
}

/* ---- what an edit opens ---- */
static int box_rule(struct zt_ruleset *rs, const struct zt_match *m, const struct zt_cgroup *within, enum zt_verdict v,
		    enum zt_direction dir)
{
	struct zt_rule *r = bed_rule(rs, "box", v);
	struct zt_match copy = {0};
	int e = r ? zt_match_copy(&copy, m) : -ENOMEM;

	if (e < 0)
		return e;
	if (within) {
		for (size_t i = 0; i < copy.n_cgroups; i++)
			free(copy.cgroups[i].path);
		free(copy.cgroups);
		copy.n_cgroups = 0;
		copy.cgroups = zt_new(struct zt_cgroup, 1);
		if (!copy.cgroups)
			return -ENOMEM;
		copy.cgroups[copy.n_cgroups++] = *within;
		copy.cgroups[0].path = zt_strdup(within->path);
	}
	zt_match_done(&r->match);
	r->match = copy;
	r->dir = dir;
	return 0;
}

/* The policy with its boxes decided first. What a box leaves out are control groups of the policy's only rule, which decides there. */
static int with_boxes(const struct test *t, const struct zt_edit *e, enum zt_direction dir, enum zt_verdict v,
		      struct zt_ruleset **ret)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	int r = zt_ruleset_new(&rs);

	for (int out = 0; out < 2; out++) /* those without exceptions first */
		for (size_t i = 0; !r && i < e->opening.n; i++) {
			const struct zt_opened *o = &e->opening.v[i];

			if ((o->n_not_in > 0) != (out > 0))
				continue;
			for (size_t k = 0; !r && k < o->n_not_in; k++)
				r = box_rule(rs, &o->match, &o->not_in[k], t->rs->rules[0].verdict, dir);
			r = r ?: box_rule(rs, &o->match, NULL, v, dir);
		}
	for (size_t i = 0; !r && i < t->rs->n_rules; i++) {
		struct zt_rule *rule = bed_rule(rs, t->rs->rules[i].id, t->rs->rules[i].verdict);

		r = rule ? zt_match_copy(&rule->match, &t->rs->rules[i].match) : -ENOMEM;
		if (!r)
			rule->dir = t->rs->rules[i].dir;
	}
	if (r < 0)
		return r;
	free(rs->settings.log_prefix);
	rs->settings = t->rs->settings;
	rs->settings.log_prefix = zt_strdup(t->rs->settings.log_prefix);
	*ret = ZT_TAKE(rs);
	return 0;
}

static bool alike(const struct zt_ruleset *a, const struct zt_ruleset *b, const char *what)
{
	ZT_STRBUF struct zt_strbuf text = {0};
	static struct zt_equiv q;
	int r = zt_ruleset_equiv(a, b, 0, &q);

	if (r < 0)
		printf("# %s: %s\n", what, strerror(-r));
	else if (!q.equal && !zt_strbuf_error(&text)) {
		zt_flow_text(&q.flow, &text);
		printf("# %s: %s (gid %u): verdict %d and %d\n", what, zt_strbuf_cstr(&text), q.flow.gid, q.a.verdict,
		       q.b.verdict);
	}
	return !r && q.equal;
}

static bool only(const struct zt_u32_ranges *l, uint32_t n)
{
	return l->n == 1 && l->v[0].lo == n && l->v[0].hi == n;
}

static bool only_addr(const struct zt_addr_ranges *l, const struct zt_addr *a)
{
	return l->n == 1 && !zt_addr_cmp(&l->v[0].lo, a) && !zt_addr_cmp(&l->v[0].hi, a);
}

static bool within_flow(const struct zt_edit *e, const struct zt_flow *f)
{
	const struct zt_addr *a = f->dir == ZT_DIR_EGRESS ? &f->dst : &f->src;

	for (size_t i = 0; i < e->opening.n; i++) {
		const struct zt_match *m = &e->opening.v[i].match;
		bool out = f->dir == ZT_DIR_EGRESS;

		if ((out && !only(&m->uid, f->uid)) || !only(&m->proto, f->proto) ||
		    (f->port && !only(&m->port, f->port)))
			return false;
		if (!only_addr(a->family == 4 ? (out ? &m->dst4 : &m->src4) : (out ? &m->dst6 : &m->src6), a))
			return false;
	}
	return e->opening.n > 0 && !e->opening.cut && !e->opening.at_most && zt_opening_has(&e->opening, f->dir, f);
}

static bool exact(const struct test *t, const struct zt_flow *f, enum zt_verdict v, const struct zt_edit *e)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *after = NULL, *allowed = NULL, *blocked = NULL;
	ZT_STRBUF struct zt_strbuf yaml = {0};
	ZT_FREE char *text = NULL;

	zt_edit_yaml(f, e->before, &yaml);
	text = edited(t, zt_strbuf_cstr(&yaml), e->before);
	after = text ? compile(text, false) : NULL;
	if (!after || with_boxes(t, e, f->dir, ZT_ALLOW, &allowed) < 0 || with_boxes(t, e, f->dir, v, &blocked) < 0)
		return false;
	return within_flow(e, f) && alike(after, allowed, "edited, and with what it says") &&
	       alike(t->rs, blocked, "before, and with what it opens blocked");
}

static bool first_edit(const struct test *t, const struct zt_flow *f)
{
	struct zt_near *near = NULL;
	struct zt_edit *edits = NULL;
	size_t n_near = 0, n = 0;
	struct zt_decision d;
	bool ok;

	zt_oracle_decide(t->rs, f, &d);
	ok = zt_near_list(t->rs, f, d.by == ZT_BY_RULE ? d.rule : NULL, &near, &n_near) == 0 &&
	     zt_edits_find(t->rs, f, &d, near, n_near, &edits, &n) == 0 && n > 0 && edits[0].kind == ZT_EDIT_ADD &&
	     exact(t, f, d.verdict, &edits[0]);
	zt_edits_free(edits, n);
	free(near);
	return ok;
}

/* By path and by identifier where control groups matter. Mapped addresses and the like are the same flows again. */
static void each_cell(struct test *t)
{
	unsigned denied = 0, wrong = 0;
	ZT_STRBUF struct zt_strbuf first = {0};

	for (unsigned i = 0; i < MAX_CELLS * (t->kind == CGROUP ? 2u : 1u); i++) {
		size_t sender = i / 2 % N_SENDERS, method = i / 2 / N_SENDERS % N_METHODS;
		size_t address = i / 2 / N_SENDERS / N_METHODS;
		struct zt_flow f;
		enum zt_verdict v;

		if (t->kind != CGROUP) {
			sender = i % N_SENDERS;
			method = i / N_SENDERS % N_METHODS;
			address = i / N_SENDERS / N_METHODS;
		}
		if (!exists(t->kind, sender, method, address))
			continue;
		f = flow_of(t, sender, method, address, i % 2);
		if (passes(t->rs, &f, &v))
			continue;
		denied++;
		if (first_edit(t, &f))
			continue;
		if (!wrong++)
			zt_flow_text(&f, &first);
	}
	sum.denied += denied;
	bed_ok(t->b, !wrong, "%s: the first edit of each of %u denied cells opens what it says%s%s", t->name, denied,
	       wrong ? ", not of " : "", wrong ? zt_strbuf_cstr(&first) : "");
}

/* ---- for real ---- */
static char *ask(const struct test *t, const struct zt_flow *f, enum bed_group g)
{
	ZT_FREE char *file = zt_asprintf("/tmp/zt-edits-%d.yaml", getpid()), *uid = zt_asprintf("%u", f->uid);
	ZT_FREE char *gid = zt_asprintf("%u", f->gid), *to = NULL, *yaml = NULL;
	const char *program = getenv("ZT_SEGMENT");
	char addr[64];
	const char *argv[] = {program,
			      "why",
			      "-o",
			      "json",
			      "--policy",
			      file,
			      "--to",
			      NULL,
			      "--user",
			      uid,
			      "--group",
			      gid,
			      t->kind == CGROUP ? "--cgroup" : NULL,
			      t->b->cgroup[g],
			      NULL};
	ZT_CLEANUP(zt_run_done) struct zt_run run = {.argv = argv};
	json_t *j = NULL, *e;

	zt_addr_format(f->dir == ZT_DIR_EGRESS ? &f->dst : &f->src, addr);
	if (f->dir == ZT_DIR_EGRESS) {
		to = zt_asprintf(f->dst.family == 6 ? "[%s]:%u/%u" : "%s:%u/%u", addr, PORT, f->proto);
	} else {
		to = zt_asprintf(":%u/%u", PORT, f->proto);
		argv[8] = "--from";
		argv[9] = addr;
		argv[10] = NULL;
	}
	argv[7] = to;
	if (file && to && zt_file_write_atomic(file, t->text, strlen(t->text), 0600) == 0 && zt_run(&run) == 0)
		j = json_loadb(run.out, run.out_len, 0, NULL);
	e = json_array_get(json_object_get(j, "edits"), 0);
	if (json_string_value(json_object_get(e, "yaml")))
		yaml = edited(t, json_string_value(json_object_get(e, "yaml")), json_object_get(e, "before"));
	else
		printf("# %s: %s%s\n", to, run.out ? run.out : "", run.err ? run.err : "");
	json_decref(j);
	(void)unlink(file); /* in /tmp */
	return ZT_TAKE(yaml);
}

/* Which cell: another for each policy, with a port, denied. */
static bool pick(const struct test *t, unsigned seed, size_t *ret)
{
	for (unsigned i = 0; i < MAX_CELLS; i++) {
		size_t at = (seed * 97 + i * 31) % MAX_CELLS, method = at / N_SENDERS % N_METHODS;
		size_t sender = at % N_SENDERS, address = at / N_SENDERS / N_METHODS;
		struct zt_flow f = flow_of(t, sender, method, address, true);
		enum zt_verdict v;

		if (method < 2 && exists(t->kind, sender, method, address) && !passes(t->rs, &f, &v)) {
			*ret = at;
			return true;
		}
	}
	return false;
}

static unsigned probe(const struct test *t, const struct zt_ruleset *after, size_t chosen, bool *ret_chosen)
{
	static bool seen[MAX_CELLS];
	unsigned wrong = 0;

	bed_forget(t->b);
	memset(seen, 0, sizeof(seen));
	for (int pass = 0; pass < 2; pass++) {
		for (unsigned i = 0; i < MAX_CELLS; i++) {
			size_t sender = i % N_SENDERS, method = i / N_SENDERS % N_METHODS;
			size_t address = i / N_SENDERS / N_METHODS;
			struct bed_send s = {.method = methods[method],
					     .uid = senders[sender].uid,
					     .gid = senders[sender].gid,
					     .group = senders[sender].group,
					     .from_peer = inbound(t->kind),
					     .dst = addresses[address],
					     .port = PORT};
			struct zt_flow f = flow_of(t, sender, method, address, true);
			enum zt_verdict v;

			if (!exists(t->kind, sender, method, address) || (i % 8 && i != chosen))
				continue;
			if (!pass)
				(void)bed_send(t->b, &s, i); /* what cannot be sent does not arrive */
			else if (seen[i] != passes(after, &f, &v))
				wrong++;
		}
		if (!pass)
			bed_collect(t->b, 100, seen, MAX_CELLS);
	}
	*ret_chosen = seen[chosen];
	return wrong;
}

static void enforce(struct test *t, const struct bed_column *c, unsigned seed)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *plain = NULL, *rs = NULL;
	ZT_FREE char *text = NULL;
	size_t at = 0;
	struct zt_flow f;
	bool arrived = false;
	unsigned wrong = 0;

	if (!pick(t, seed, &at))
		return;
	f = flow_of(t, at % N_SENDERS, at / N_SENDERS % N_METHODS, at / N_SENDERS / N_METHODS, true);
	text = ask(t, &f, senders[at % N_SENDERS].group);
	plain = text ? compile(text, false) : NULL;
	rs = text ? compile(text, c->engine->labels) : NULL;
	if (plain && rs && bed_apply(t->b, c->engine, rs) == 0) {
		if (inbound(t->kind))
			bed_forget_flows(t->b);
		wrong = probe(t, plain, at, &arrived);
	}
	bed_ok(t->b, arrived && !wrong,
	       "%s: %s: what why proposes lets its packet arrive, and %u others go on as they did", c->label, t->name,
	       wrong);
}

static void each_test(struct bed *b, const struct bed_column *c,
		      void (*done)(struct test *t, const struct bed_column *c, unsigned n))
{
	unsigned n = 0;

	for (int kind = 0; kind < N_KINDS; kind++)
		for (int allow = 0; allow < 2; allow++) {
			struct test t = {.b = b, .kind = (enum kind)kind, .allow = allow};

			if (kind == CGROUP && !b->has_cgroup) {
				bed_skip(b, "cgroup cells", "no cgroup2 tree can be made here");
				continue;
			}
			t.text = policy_text(&t);
			(void)snprintf(t.name, sizeof(t.name), "%s %s", allow ? "allow" : "deny",
				       kind == CGROUP	 ? "a control group"
				       : kind == IN_PORT ? "inbound to a port"
							 : from[kind]);
			t.rs = t.text ? compile(t.text, false) : NULL;
			if (t.rs)
				done(&t, c, n++);
			else
				bed_ok(b, false, "%s compiles", t.name);
			zt_ruleset_free(t.rs);
			free(t.text);
		}
}

static void in_process(struct test *t, const struct bed_column *c, unsigned n)
{
	(void)c;
	(void)n;
	each_cell(t);
}

static void run_column(struct bed *b, const struct bed_column *c)
{
	if (!strcmp(c->engine->name, "nft") || !strcmp(c->engine->name, "bpf"))
		each_test(b, c, enforce);
}

static void test(struct bed *b)
{
	each_test(b, NULL, in_process);
	bed_ok(b, sum.denied > 1000, "%u denied cells were asked about", sum.denied);
	bed_each_column(b, run_column);
}

int main(void)
{
	return bed_main("ztedits", test);
}
