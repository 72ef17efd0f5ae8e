/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The smallest edits of a policy that would allow a flow, and what each of them would open besides it. */
#include <pwd.h>
#include <string.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "identity/identity.h"

enum { NEAR_TRIED = 16, OTHERS_KEPT = 3, KEPT_SHOWN = 4, DEFAULT_PRIORITY = 100 };

struct finder {
	const struct zt_ruleset *rs;
	const struct zt_flow *f;
	size_t decider; /* index; n_rules when the default decided */
	struct zt_edit *v;
	size_t n, cap;
};

/* ---- matches ---- */

static int one_addr(struct zt_match *m, bool source, const struct zt_addr *a)
{
	struct zt_addr_range r = {*a, *a};

	if (!a->family)
		return 0;
	if (a->family == 4)
		return zt_addr_ranges_add(source ? &m->src4 : &m->dst4, &r);
	return zt_addr_ranges_add(source ? &m->src6 : &m->dst6, &r);
}

static int one_number(struct zt_u32_ranges *l, uint32_t n)
{
	l->n = 0;
	return zt_u32_ranges_add(l, n, n);
}

static int one_cgroup(struct zt_match *m, const char *path)
{
	m->cgroups = zt_new(struct zt_cgroup, 1);
	if (!m->cgroups)
		return -ENOMEM;
	m->n_cgroups = 1;
	m->cgroups[0].path = zt_strdup(path);
	return m->cgroups[0].path ? 0 : -ENOMEM;
}

static uint8_t family_of(const struct zt_flow *f)
{
	uint8_t family = f->dst.family ? f->dst.family : f->src.family;

	return family == 4 ? ZT_FAMILY_4 : ZT_FAMILY_6;
}

bool zt_flow_names_group(const struct zt_flow *f)
{
	const struct passwd *pw = f->uid == UINT32_MAX ? NULL : getpwuid(f->uid);

	if (f->gid == UINT32_MAX)
		return false;
	return f->uid == UINT32_MAX || f->gid != (pw ? pw->pw_gid : f->uid);
}

/* The flow and nothing else: what a rule of its own would match. */
static int own_match(const struct zt_flow *f, struct zt_match *m)
{
	int r = 0;

	m->families = f->dir == ZT_DIR_UNIX ? ZT_FAMILY_4 | ZT_FAMILY_6 : family_of(f);
	if (f->dir == ZT_DIR_EGRESS || f->dir == ZT_DIR_UNIX) {
		if (f->uid != UINT32_MAX)
			r = one_number(&m->uid, f->uid);
		if (!r && zt_flow_names_group(f))
			r = one_number(&m->gid, f->gid);
		if (!r && f->cgroup_path)
			r = one_cgroup(m, f->cgroup_path);
	} else {
		r = one_addr(m, true, &f->src);
	}
	if (f->dir == ZT_DIR_UNIX)
		return r ?: f->unix_name ? zt_unix_names_add(&m->unix_names, f->unix_name) : -ENOTSUP;
	r = r ?: one_addr(m, false, &f->dst) ?: one_number(&m->proto, f->proto);
	return r ?: f->port ? one_number(&m->port, f->port) : 0;
}

static void clear_addrs(struct zt_match *m, bool source)
{
	(source ? &m->src4 : &m->dst4)->n = 0;
	(source ? &m->src6 : &m->dst6)->n = 0;
}

/* What a rule matches more once the value of f stands beside those of its one condition that failed. -ENOTSUP: not that way. */
static int widened_match(const struct zt_rule *rule, enum zt_miss miss, const struct zt_flow *f, struct zt_match *m)
{
	int r = zt_match_copy(m, &rule->match);

	if (r < 0)
		return r;
	switch (miss) {
	case ZT_MISS_UID:
		return f->uid == UINT32_MAX ? -ENOTSUP : one_number(&m->uid, f->uid);
	case ZT_MISS_GID:
		return f->gid == UINT32_MAX ? -ENOTSUP : one_number(&m->gid, f->gid);
	case ZT_MISS_CGROUP:
		if (!f->cgroup_path)
			return -ENOTSUP;
		for (size_t i = 0; i < m->n_cgroups; i++)
			free(m->cgroups[i].path);
		free(m->cgroups);
		m->n_cgroups = 0;
		return one_cgroup(m, f->cgroup_path);
	case ZT_MISS_FAMILY:
		if (!f->dst.family || m->src4.n || m->src6.n || !(m->dst4.n || m->dst6.n))
			return -ENOTSUP;
		clear_addrs(m, false);
		m->families = family_of(f);
		return one_addr(m, false, &f->dst);
	case ZT_MISS_SRC:
	case ZT_MISS_DST:
		if (!(miss == ZT_MISS_SRC ? f->src : f->dst).family)
			return -ENOTSUP;
		m->families = family_of(f);
		clear_addrs(m, miss == ZT_MISS_SRC);
		return one_addr(m, miss == ZT_MISS_SRC, miss == ZT_MISS_SRC ? &f->src : &f->dst);
	case ZT_MISS_PROTO:
		return one_number(&m->proto, f->proto);
	case ZT_MISS_PORT:
		return zt_proto_has_ports(f->proto) ? one_number(&m->port, f->port) : -ENOTSUP;
	case ZT_MISS_UNIX_NAME:
		zt_unix_names_done(&m->unix_names);
		return f->unix_name ? zt_unix_names_add(&m->unix_names, f->unix_name) : -ENOTSUP;
	case ZT_MISS_SCHEDULE:
	case ZT_MISS_EXPIRED:
		return 0;
	case ZT_MISS_NONE:
	case ZT_MISS_DIRECTION:
	case ZT_MISS_SENDER:
	case ZT_MISS_RECEIVER:
		break;
	}
	return -ENOTSUP;
}

/* ---- finding ---- */

/* Takes m. An edit that does not do what it is for is not offered. */
static int offer(struct finder *x, enum zt_edit_kind kind, const struct zt_rule *rule, enum zt_miss miss, size_t at,
		 struct zt_match *m)
{
	struct zt_rule added = {.dir = x->f->dir, .match = *m};
	struct zt_edit e = {.kind = kind, .rule = rule, .miss = miss};
	int r;

	if (at < x->rs->n_rules)
		e.before = &x->rs->rules[at];
	if (zt_oracle_match(&added, x->f) != ZT_MISS_NONE)
		return 0;
	r = zt_ruleset_opens(x->rs, at, x->f->dir, m, x->f->at, &e.opening);
	if (r < 0)
		return r;
	if ((!e.opening.cut && !zt_opening_has(&e.opening, x->f->dir, x->f)) || zt_grow(x->v, x->cap, x->n) < 0) {
		zt_opening_done(&e.opening);
		return 0;
	}
	e.added = *m;
	*m = (struct zt_match){0};
	x->v[x->n++] = e;
	return 0;
}

/* Where a new rule without a priority goes: behind all those that have none or a smaller one. */
static size_t place_of_new(const struct finder *x)
{
	size_t i = x->rs->n_rules;

	if (x->decider < x->rs->n_rules)
		return x->decider;
	while (i > 0 && x->rs->rules[i - 1].priority > DEFAULT_PRIORITY)
		i--;
	return i;
}

static int offer_new(struct finder *x)
{
	struct zt_match m = {0};
	int r = own_match(x->f, &m) ?: offer(x, ZT_EDIT_ADD, NULL, ZT_MISS_NONE, place_of_new(x), &m);

	zt_match_done(&m);
	return r == -ENOTSUP ? 0 : r; /* a Unix socket without a name */
}

static bool is_time(enum zt_miss m)
{
	return m == ZT_MISS_SCHEDULE || m == ZT_MISS_EXPIRED;
}

static int offer_widened(struct finder *x, const struct zt_near *near)
{
	enum zt_miss miss = near->misses[0];
	enum zt_edit_kind kind = is_time(miss) ? ZT_EDIT_TIME : ZT_EDIT_WIDEN;
	struct zt_match m = {0};
	int r = widened_match(near->rule, miss, x->f, &m);

	r = r ?: offer(x, kind, near->rule, miss, (size_t)(near->rule - x->rs->rules), &m);
	zt_match_done(&m);
	return r == -ENOTSUP ? 0 : r;
}

static bool for_everybody(const struct zt_rule *r)
{
	return (r->dir == ZT_DIR_EGRESS || r->dir == ZT_DIR_UNIX) && !r->match.from && !r->match.uid.n &&
	       !r->match.gid.n && !r->match.n_cgroups;
}

static int offer_near(struct finder *x, const struct zt_near *near, size_t n)
{
	size_t tried = 0;
	int r = 0;

	/* Nothing that is written for everybody is widened for the sake of one sender. */
	for (size_t i = 0; !r && i < n && near[i].n_misses <= 1 && tried < NEAR_TRIED; i++)
		if (near[i].n_misses == 1 && near[i].rule->verdict == ZT_ALLOW &&
		    (is_time(near[i].misses[0]) || !for_everybody(near[i].rule))) {
			tried++;
			r = offer_widened(x, &near[i]);
		}
	return r;
}

/* An allow rule that matches, but comes too late. */
static int offer_move(struct finder *x)
{
	for (size_t i = x->decider; i < x->rs->n_rules; i++) {
		const struct zt_rule *r = &x->rs->rules[i];
		struct zt_match m = {0};
		int e;

		if (r->verdict != ZT_ALLOW || zt_oracle_match(r, x->f) != ZT_MISS_NONE)
			continue;
		e = zt_match_copy(&m, &r->match) ?: offer(x, ZT_EDIT_MOVE, r, ZT_MISS_NONE, x->decider, &m);
		zt_match_done(&m);
		return e;
	}
	return 0;
}

static int by_size(const void *a, const void *b)
{
	const struct zt_edit *x = a, *y = b;
	double n = zt_opening_size(&x->opening), m = zt_opening_size(&y->opening);

	if (x->opening.cut != y->opening.cut)
		return x->opening.cut ? 1 : -1;
	if (n != m)
		return n < m ? -1 : 1;
	return (x->rule > y->rule) - (x->rule < y->rule);
}

static void edit_done(struct zt_edit *e)
{
	zt_opening_done(&e->opening);
	zt_match_done(&e->added);
}

int zt_edits_find(const struct zt_ruleset *rs, const struct zt_flow *f, const struct zt_decision *d,
		  const struct zt_near *near, size_t n_near, struct zt_edit **ret, size_t *ret_n)
{
	bool by_rule = d->by == ZT_BY_RULE && d->rule;
	struct finder x = {.rs = rs, .f = f, .decider = by_rule ? (size_t)(d->rule - rs->rules) : rs->n_rules};
	size_t first;
	int r = offer_new(&x);

	first = x.n;
	r = r ?: offer_near(&x, near, n_near) ?: offer_move(&x);
	if (r < 0) {
		zt_edits_free(x.v, x.n);
		return r;
	}
	if (x.n > first)
		qsort(x.v + first, x.n - first, sizeof(*x.v), by_size);
	while (x.n > first + OTHERS_KEPT)
		edit_done(&x.v[--x.n]);
	*ret = x.v;
	*ret_n = x.n;
	return 0;
}

void zt_edits_free(struct zt_edit *e, size_t n)
{
	for (size_t i = 0; i < n; i++)
		edit_done(&e[i]);
	free(e);
}

/* ---- words ---- */

static void rule_named(const struct zt_ruleset *rs, const struct zt_rule *r, struct zt_strbuf *out)
{
	ZT_STRBUF struct zt_strbuf place = {0};

	zt_rule_place(rs, r, &place);
	zt_strbuf_printf(out, "rule '%s'", r->id);
	if (place.len)
		zt_strbuf_printf(out, " (%s)", zt_strbuf_cstr(&place));
}

static void what_to_add(const struct zt_edit *e, const struct zt_flow *f, struct zt_strbuf *out)
{
	const char *proto = zt_proto_name(f->proto);
	char addr[64] = "";

	switch (e->miss) {
	case ZT_MISS_UID:
		zt_strbuf_str(out, "add ");
		zt_uid_text(f->uid, out);
		zt_strbuf_str(out, " to the users of from:");
		return;
	case ZT_MISS_GID:
		zt_strbuf_printf(out, "add group %u to the groups of from:", f->gid);
		return;
	case ZT_MISS_CGROUP:
		zt_strbuf_str(out, "add ");
		zt_strbuf_escaped(out, f->cgroup_path, strlen(f->cgroup_path));
		zt_strbuf_str(out, " to the cgroups or services of from:");
		return;
	case ZT_MISS_SRC:
		zt_addr_format(&f->src, addr);
		zt_strbuf_printf(out, "add %s to the hosts of from:", addr);
		return;
	case ZT_MISS_FAMILY:
	case ZT_MISS_DST:
		zt_addr_format(&f->dst, addr);
		zt_strbuf_printf(out, "add %s to the hosts of to:", addr);
		return;
	case ZT_MISS_PROTO:
		if (proto)
			zt_strbuf_printf(out, "let its protocol include %s", proto);
		else
			zt_strbuf_printf(out, "let its protocol include %u", f->proto);
		return;
	case ZT_MISS_PORT:
		zt_strbuf_printf(out, "add %u to the ports of to:", f->port);
		return;
	case ZT_MISS_UNIX_NAME:
		zt_strbuf_printf(out, "add %s to unix: of to:", f->unix_name);
		return;
	case ZT_MISS_SCHEDULE:
		zt_strbuf_str(out, "let its schedule include this time");
		return;
	case ZT_MISS_EXPIRED:
		zt_strbuf_str(out, "move its expires: into the future, or remove it");
		return;
	case ZT_MISS_NONE:
	case ZT_MISS_DIRECTION:
	case ZT_MISS_SENDER:
	case ZT_MISS_RECEIVER:
		return;
	}
}

void zt_edit_text(const struct zt_ruleset *rs, const struct zt_edit *e, const struct zt_flow *f, struct zt_strbuf *out)
{
	switch (e->kind) {
	case ZT_EDIT_ADD:
		zt_strbuf_str(out, "add a rule");
		if (e->before && !zt_rule_follows(e->before) && e->before->verdict != ZT_ALLOW) {
			zt_strbuf_str(out, " directly before ");
			rule_named(rs, e->before, out);
			zt_strbuf_str(out, e->before->priority ? "" : ", with its priority if it has one");
		} else {
			zt_strbuf_str(out, " to rules:");
		}
		return;
	case ZT_EDIT_WIDEN:
	case ZT_EDIT_TIME:
		zt_strbuf_str(out, "in ");
		rule_named(rs, e->rule, out);
		zt_strbuf_str(out, ", ");
		what_to_add(e, f, out);
		return;
	case ZT_EDIT_MOVE:
		zt_strbuf_str(out, "move ");
		rule_named(rs, e->rule, out);
		zt_strbuf_str(out, ", which allows it, in front of ");
		rule_named(rs, e->before, out);
		return;
	}
}

/* Nearly everybody is said by who is not in it. */
static bool all_but(const struct zt_u32_ranges *l, uint32_t last, struct zt_u32_ranges *ret)
{
	if (l->n < 2 || l->n > 6 || l->v[0].lo > 1 || l->v[l->n - 1].hi != last)
		return false;
	if (l->v[0].lo == 1 && zt_u32_ranges_add(ret, 0, 0) < 0)
		return false;
	for (size_t i = 1; i < l->n; i++)
		if (zt_u32_ranges_add(ret, l->v[i - 1].hi + 1, l->v[i].lo - 1) < 0)
			return false;
	return true;
}

void zt_opened_text(const struct zt_opened *o, enum zt_direction dir, struct zt_strbuf *out)
{
	struct zt_u32_ranges but = {0};
	struct zt_rule r = {.dir = dir, .match = o->match};
	bool but_users = all_but(&o->match.uid, UINT32_MAX, &but);

	bool out_from_here = dir == ZT_DIR_EGRESS || dir == ZT_DIR_UNIX;

	if (dir == ZT_DIR_EGRESS && !o->owned) {
		zt_strbuf_str(out, "the kernel itself");
	} else if (but_users) {
		struct zt_rule others = {.dir = dir, .match = {.families = 3, .uid = but}};

		r.match.uid = (struct zt_u32_ranges){0};
		if (r.match.gid.n || r.match.n_cgroups || r.match.src4.n || r.match.src6.n)
			zt_rule_from(&r, out);
		else
			zt_strbuf_str(out, "everybody");
		zt_strbuf_str(out, " but ");
		zt_rule_from(&others, out);
	} else if (out_from_here && !r.match.uid.n && !r.match.gid.n && !r.match.n_cgroups && !r.match.src4.n &&
		   !r.match.src6.n) {
		zt_strbuf_str(out, "everybody");
	} else if (!out_from_here && !r.match.src4.n && !r.match.src6.n) {
		zt_strbuf_str(out, "every machine");
	} else {
		zt_rule_from(&r, out);
	}
	for (size_t i = 0; i < o->n_not_in; i++) {
		zt_strbuf_str(out, i ? ", " : " outside of ");
		zt_strbuf_escaped(out, o->not_in[i].path, strlen(o->not_in[i].path));
	}
	zt_strbuf_str(out, " -> ");
	zt_rule_to(&r, out);
	zt_u32_ranges_done(&but);
}

/* One box is shown as it is; of more only a computer has a use, so what the edit adds is shown with what other rules keep of it. */
void zt_edit_opens_text(const struct zt_ruleset *rs, const struct zt_edit *e, enum zt_direction dir,
			struct zt_strbuf *out)
{
	struct zt_opened whole = {.owned = true, .match = e->added};
	size_t shown = ZT_MIN(e->opening.n_kept, (size_t)KEPT_SHOWN);

	if (e->opening.n == 1 && !e->opening.at_most) {
		zt_opened_text(&e->opening.v[0], dir, out);
		return;
	}
	if (e->opening.at_most)
		zt_strbuf_str(out, "at most ");
	zt_opened_text(&whole, dir, out);
	for (size_t i = 0; i < shown; i++) {
		zt_strbuf_str(out, i == 0 ? ", less what is decided by " : i + 1 == e->opening.n_kept ? " and " : ", ");
		rule_named(rs, &rs->rules[e->opening.kept[i]], out);
	}
	if (shown < e->opening.n_kept)
		zt_strbuf_printf(out, " and %zu more rules", e->opening.n_kept - shown);
}

/* ---- the rule as YAML ---- */

/* As the policy is written: in quotes where a scalar needs them inside of { }. */
static void scalar(const char *key, const char *text, const char *sep, struct zt_strbuf *out)
{
	zt_strbuf_printf(out, "%s%s: ", sep, key);
	zt_yaml_scalar(text, true, out);
}

#define UNIT_CHARS \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.@\\" /* of names of systemd's units */

/* An account without a name is called by its number. */
static bool is_number(const char *name)
{
	return *name && strspn(name, "0123456789") == strlen(name);
}

static void who_yaml(const struct zt_flow *f, struct zt_strbuf *out)
{
	ZT_FREE char *name = f->owned && f->uid != UINT32_MAX ? zt_user_name(f->uid) : NULL;
	ZT_FREE char *group = zt_flow_names_group(f) ? zt_group_name(f->gid) : NULL;
	const char *slash = f->cgroup_path ? strrchr(f->cgroup_path, '/') : NULL;
	const char *base = slash ? slash + 1 : f->cgroup_path, *dot = base ? strrchr(base, '.') : NULL;
	const char *sep = "";

	zt_strbuf_char(out, '{');
	if (name) {
		if (is_number(name))
			zt_strbuf_printf(out, "uid: %s", name);
		else
			scalar("user", name, "", out);
		sep = ", ";
	}
	if (group) {
		if (is_number(group))
			zt_strbuf_printf(out, "%sgid: %s", sep, group);
		else
			scalar("group", group, sep, out);
		sep = ", ";
	}
	if (dot && !strcmp(dot, ".service") && strspn(base, UNIT_CHARS) == strlen(base))
		scalar("service", base, sep, out);
	else if (base)
		scalar("cgroup", f->cgroup_path, sep, out);
	zt_strbuf_char(out, '}');
}

static void target_yaml(const struct zt_flow *f, struct zt_strbuf *out)
{
	const char *proto = zt_proto_name(f->proto), *sep = "";
	char host[64];

	if (f->dir == ZT_DIR_UNIX) {
		scalar("unix", f->unix_name, "{", out);
		zt_strbuf_char(out, '}');
		return;
	}
	zt_strbuf_char(out, '{');
	if (f->dst.family) {
		zt_addr_format(&f->dst, host);
		zt_strbuf_printf(out, f->dst.family == 6 ? "host: \"%s\"" : "host: %s", host);
		sep = ", ";
	}
	if (f->port) {
		zt_strbuf_printf(out, "%sport: %u", sep, f->port);
		sep = ", ";
	}
	if (proto)
		zt_strbuf_printf(out, "%sprotocol: %s}", sep, proto);
	else
		zt_strbuf_printf(out, "%sprotocol: %u}", sep, f->proto);
}

/* Names of rules are letters, digits and "._-": what else there is becomes one "-". */
static void name_part(const char *text, size_t max, struct zt_strbuf *out)
{
	bool dash = true;

	for (size_t i = 0; i < max && text[i]; i++) {
		bool plain = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'z') ||
			     (text[i] >= 'A' && text[i] <= 'Z') || text[i] == '_' || text[i] == '.';

		if (plain || (!dash && text[i + 1]))
			zt_strbuf_char(out, plain ? text[i] : '-');
		dash = !plain;
	}
}

static void edit_name(const struct zt_flow *f, struct zt_strbuf *out)
{
	ZT_FREE char *name = f->owned && f->uid != UINT32_MAX ? zt_user_name(f->uid) : NULL;
	const char *proto = zt_proto_name(f->proto), *slash = f->cgroup_path ? strrchr(f->cgroup_path, '/') : NULL;
	const char *base = slash ? slash + 1 : f->cgroup_path;
	size_t before = out->len;

	if (f->dir == ZT_DIR_INGRESS)
		zt_strbuf_str(out, "inbound");
	else if (name && is_number(name))
		zt_strbuf_printf(out, "uid-%s", name);
	else if (name)
		name_part(name, 31, out);
	else if (base)
		name_part(base, ZT_MIN(strcspn(base, "."), (size_t)31), out);
	if (out->len == before)
		zt_strbuf_str(out, f->cgroup_path ? "service" : name ? "user" : "group");
	if (f->dir == ZT_DIR_UNIX) {
		const char *last = strrchr(f->unix_name, '/');

		zt_strbuf_str(out, "-to-");
		name_part(last ? last + 1 : f->unix_name + 1, 30, out);
		return;
	}
	zt_strbuf_printf(out, "-to-%s", proto ? proto : "host");
	if (f->port)
		zt_strbuf_printf(out, "-%u", f->port);
}

void zt_edit_yaml(const struct zt_flow *f, const struct zt_rule *before, struct zt_strbuf *out)
{
	char host[64];

	zt_strbuf_str(out, "  - name: ");
	edit_name(f, out);
	zt_strbuf_str(out, "\n    from: ");
	if (f->dir == ZT_DIR_EGRESS || f->dir == ZT_DIR_UNIX) {
		who_yaml(f, out);
	} else if (f->src.family) {
		zt_addr_format(&f->src, host);
		zt_strbuf_printf(out, f->src.family == 6 ? "{host: \"%s\"}" : "{host: %s}", host);
	} else {
		zt_strbuf_str(out, "{host: \"*\"}");
	}
	zt_strbuf_str(out, "\n    to: ");
	target_yaml(f, out);
	zt_strbuf_str(out, "\n    action: allow\n");
	if (before && !zt_rule_follows(before) && before->verdict != ZT_ALLOW && before->priority &&
	    before->priority != DEFAULT_PRIORITY)
		zt_strbuf_printf(out, "    priority: %d\n", before->priority);
}
