/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "identity/identity.h"
#include "ruleset/compile.h"

/* ---- hosts: by family, and what of them is this host's loopback ---- */
struct hosts {
	struct zt_addr_ranges v4, v6;
};

static void hosts_done(struct hosts *h)
{
	zt_addr_ranges_done(&h->v4);
	zt_addr_ranges_done(&h->v6);
}

static int split_families(const struct zt_addr_ranges *l, struct hosts *ret)
{
	int r = 0;

	for (size_t i = 0; !r && i < l->n; i++)
		r = zt_addr_ranges_add(l->v[i].lo.family == 4 ? &ret->v4 : &ret->v6, &l->v[i]);
	zt_addr_ranges_normalise(&ret->v4);
	zt_addr_ranges_normalise(&ret->v6);
	return r;
}

static bool within_loopback(const struct zt_addr_range *r)
{
	return zt_addr_is_loopback(&r->lo) && zt_addr_is_loopback(&r->hi);
}

/* Only what lies in loopback (local), or the rest. */
static int pick(const struct zt_addr_ranges *l, bool local, struct zt_addr_ranges *ret)
{
	int r = 0;

	for (size_t i = 0; !r && i < l->n; i++)
		if (within_loopback(&l->v[i]) == local)
			r = zt_addr_ranges_add(ret, &l->v[i]);
	return r;
}

static bool is_everything(const struct zt_addr_ranges *l)
{
	for (size_t i = 0; l->n == 1 && i < (l->v[0].lo.family == 4 ? 4u : 16u); i++)
		if (l->v[0].lo.b[i] || l->v[0].hi.b[i] != 0xff)
			return false;
	return l->n == 1;
}

/* "Any address of the family" is no constraint on the address. */
static int set_addrs(struct zt_addr_ranges *dst, const struct zt_addr_ranges *src)
{
	return is_everything(src) ? 0 : zt_addr_ranges_copy(dst, src);
}

static uint8_t families_of(const struct hosts *h, bool given)
{
	if (!given)
		return ZT_FAMILY_4 | ZT_FAMILY_6;
	return (uint8_t)((h->v4.n ? ZT_FAMILY_4 : 0) | (h->v6.n ? ZT_FAMILY_6 : 0));
}

/* ICMP lives in one IP version: a rule for nothing but ICMP says nothing about the other. */
static uint8_t families_of_proto(const struct zt_u32_ranges *proto)
{
	bool one = proto->n == 1 && proto->v[0].lo == proto->v[0].hi;

	if (one && proto->v[0].lo == 1)
		return ZT_FAMILY_4;
	if (one && proto->v[0].lo == 58)
		return ZT_FAMILY_6;
	return ZT_FAMILY_4 | ZT_FAMILY_6;
}

/* ---- cgroups ---- */
static int compare_cgroups(const void *a, const void *b)
{
	return strcmp(((const struct zt_cgroup *)a)->path, ((const struct zt_cgroup *)b)->path);
}

static uint32_t depth(const char *path)
{
	uint32_t n = 1;

	for (; *path; path++)
		n += *path == '/';
	return n;
}

static int add_cgroup(struct compile *c, const struct zt_policy_rule *pr, const struct zt_cgroup_ref *ref,
		      struct zt_cgroup *cg)
{
	const char *root = c->o->cgroup_root;
	unsigned level = 0;
	int r;

	cg->path = root && *root ? zt_asprintf("%s/%s", root, ref->path) : zt_strdup(ref->path);
	if (!cg->path)
		return -ENOMEM;
	cg->level = depth(cg->path);
	if (c->o->offline)
		return 0;
	r = zt_cgroup_lookup(NULL, cg->path, &cg->id, &level);
	if (r == 0) {
		cg->level = level;
		return 0;
	}
	cg->id = 0;
	if (ref->among)
		return 0;
	(void)zt_diag(c->d, ZT_WARNING, 2001, &ref->span, "rule \"%s\": cgroup \"%s\" does not exist now%s%s", pr->name,
		      cg->path, ref->service ? ", service or container not running: " : "",
		      ref->service ? ref->service : "");
	if (!strncmp(ref->path, "container-not-running/", 22) && geteuid() != 0)
		zt_diag_hint(c->d, "or you may not read its name: as root, check says whether it runs");
	else
		zt_diag_hint(
			c->d,
			c->o->labels
				? "the rule matches nothing until it exists"
				: "the rule matches nothing until it exists; `zt-segment refresh` brings it in then");
	return 0;
}

static int add_cgroups(struct compile *c, const struct zt_policy_rule *pr, const struct zt_who *who,
		       struct zt_cgroup **ret, size_t *ret_n)
{
	int r = 0;

	if (!who->n_cgroups)
		return 0;
	*ret = zt_new(struct zt_cgroup, who->n_cgroups);
	if (!*ret)
		return -ENOMEM;
	for (size_t i = 0; !r && i < who->n_cgroups; i++) {
		r = add_cgroup(c, pr, &who->cgroups[i], &(*ret)[i]);
		*ret_n += (*ret)[i].path != NULL;
	}
	if (!r)
		qsort(*ret, *ret_n, sizeof(**ret), compare_cgroups);
	return r;
}

/* ---- one rule of the ruleset ---- */
static enum zt_verdict verdict_of(const struct compile *c, enum zt_action action)
{
	bool observe = c->p->settings.mode == ZT_MODE_OBSERVE;

	switch (action) {
	case ZT_ACTION_ALLOW:
		return ZT_ALLOW;
	case ZT_ACTION_OBSERVE:
		return ZT_OBSERVE;
	case ZT_ACTION_REJECT:
		return observe ? ZT_OBSERVE : ZT_REJECT;
	case ZT_ACTION_DENY:
		break;
	}
	if (observe)
		return ZT_OBSERVE;
	return c->p->settings.block == ZT_BLOCK_DROP ? ZT_DROP : ZT_REJECT;
}

uint32_t zt_compile_file(const struct compile *c, const struct zt_policy_rule *pr)
{
	for (size_t i = 0; pr->span.file && i < c->p->n_files; i++)
		if (!strcmp(c->p->files[i], pr->span.file))
			return (uint32_t)i;
	return 0;
}

static int set_texts(struct zt_rule *rule, const struct zt_policy_rule *pr, const struct zt_who *who,
		     const struct zt_who *receiver)
{
	ZT_FREE char *name = pr->dir == ZT_DIR_UNIX ? zt_unix_text(&pr->unix_names) : NULL;
	const char *host = name ? name : pr->to.host_text;
	const char *proto = pr->proto.n == 1 && pr->proto.v[0].lo == pr->proto.v[0].hi
				    ? zt_proto_name((uint8_t)pr->proto.v[0].lo)
				    : NULL;
	ZT_STRBUF struct zt_strbuf to = {0};

	rule->from_text = zt_strdup(who && who->label ? who->label : pr->from.host_text ? pr->from.host_text : "*");
	if (receiver && receiver->label && !receiver->any)
		zt_strbuf_printf(&to, host ? "%s at " : "%s", receiver->label);
	if (host || !to.len)
		zt_strbuf_str(&to, host ? host : "*");
	if (pr->port_text)
		zt_strbuf_printf(&to, ":%s", pr->port_text);
	if (proto)
		zt_strbuf_printf(&to, "/%s", proto);
	else if (pr->proto.n == 2 && pr->proto.v[0].lo == 6 && pr->proto.v[1].lo == 17)
		zt_strbuf_str(&to, "/tcp+udp");
	rule->to_text = zt_strbuf_steal(&to);
	return rule->from_text && rule->to_text ? 0 : -ENOMEM;
}

static int set_head(struct compile *c, struct zt_rule *rule, const struct zt_policy_rule *pr, const struct zt_who *who,
		    const struct zt_who *receiver, enum zt_direction dir, uint32_t part)
{
	rule->id = zt_strdup(pr->name);
	rule->part = part;
	rule->dir = dir;
	rule->verdict = verdict_of(c, pr->action);
	rule->log = pr->log;
	rule->file = zt_compile_file(c, pr);
	rule->line = pr->span.line;
	rule->priority = pr->priority;
	rule->expires = pr->expires;
	if (!rule->id)
		return -ENOMEM;
	if (pr->n_windows) {
		rule->windows = zt_new(struct zt_window, pr->n_windows);
		if (!rule->windows)
			return -ENOMEM;
		memcpy(rule->windows, pr->windows, pr->n_windows * sizeof(*rule->windows));
		rule->n_windows = pr->n_windows;
	}
	return set_texts(rule, pr, who, receiver);
}

static int set_who(struct compile *c, const struct zt_policy_rule *pr, const struct zt_who *who, struct zt_match *m)
{
	int r = who ? zt_u32_ranges_copy(&m->uid, &who->uid) : 0;

	if (!r && who && !zt_who_needs_subject(who, c->o->labels))
		r = zt_u32_ranges_copy(&m->gid, &who->gid);
	zt_u32_ranges_normalise(&m->uid);
	zt_u32_ranges_normalise(&m->gid);
	r = r ? r : who ? add_cgroups(c, pr, who, &m->cgroups, &m->n_cgroups) : 0;
	return r ? r : who && zt_who_needs_subject(who, c->o->labels) ? zt_compile_subject(c, pr, who, m, &m->from) : 0;
}

int zt_compile_receiver(struct compile *c, const struct zt_policy_rule *pr, const struct zt_who *who,
			struct zt_rule *rule)
{
	struct zt_match m = {0}; /* only its cgroups: of the receiver */
	int r = add_cgroups(c, pr, who, &m.cgroups, &m.n_cgroups);

	r = r ?: zt_compile_subject(c, pr, who, &m, &rule->match.to);
	zt_match_done(&m);
	return r;
}

/* src and dst are by family already; given says whether the policy named any. */
static int add_rule(struct compile *c, const struct zt_policy_rule *pr, const struct zt_who *who,
		    const struct zt_who *receiver, enum zt_direction dir, uint32_t part, const struct hosts *src,
		    bool src_given, const struct hosts *dst)
{
	struct zt_rule *rule = zt_ruleset_add(c->rs);
	uint8_t families = families_of(src, src_given) & families_of(dst, pr->to.host_given) &
			   families_of_proto(&pr->proto);
	int r = rule ? set_head(c, rule, pr, who, receiver, dir, part) : -ENOMEM;

	if (!r && !families) {
		(void)zt_diag(c->d, ZT_ERROR, 2002, &pr->span,
			      "rule \"%s\": source, destination and protocol share no IP version", pr->name);
		zt_diag_hint(c->d, "one names IPv4 only and the other IPv6 only: the rule could never match");
		return -EINVAL;
	}
	if (!r)
		r = set_who(c, pr, who, &rule->match);
	if (!r && receiver && !receiver->any)
		r = zt_compile_receiver(c, pr, receiver, rule);
	if (r < 0)
		return r;
	rule->match.families = families;
	if (families & ZT_FAMILY_4)
		r = set_addrs(&rule->match.src4, &src->v4) ?: set_addrs(&rule->match.dst4, &dst->v4);
	if (!r && families & ZT_FAMILY_6)
		r = set_addrs(&rule->match.src6, &src->v6) ?: set_addrs(&rule->match.dst6, &dst->v6);
	r = r ?: zt_u32_ranges_copy(&rule->match.proto, &pr->proto) ?: zt_u32_ranges_copy(&rule->match.port, &pr->port);
	zt_u32_ranges_normalise(&rule->match.proto);
	zt_u32_ranges_normalise(&rule->match.port);
	r = r ?: zt_unix_names_copy(&rule->match.unix_names, &pr->unix_names);
	if (rule->match.proto.n == 1 && rule->match.proto.v[0].lo == 0 && rule->match.proto.v[0].hi == 255)
		rule->match.proto.n = 0;
	if (rule->match.port.n == 1 && rule->match.port.v[0].lo == 0 && rule->match.port.v[0].hi == 65535)
		rule->match.port.n = 0;
	return r;
}

/* A rule from hosts only: other machines come in, addresses of loopback are local processes and go out. */
static int add_inbound(struct compile *c, const struct zt_policy_rule *pr, const struct hosts *dst,
		       const struct zt_who *receiver, uint32_t *part)
{
	ZT_CLEANUP(zt_addr_ranges_done) struct zt_addr_ranges near = {0}, far = {0};
	ZT_CLEANUP(hosts_done) struct hosts local = {0}, remote = {0};
	int r = pick(&pr->from.hosts, true, &near) ?: pick(&pr->from.hosts, false, &far);

	r = r ?: split_families(&near, &local) ?: split_families(&far, &remote);
	if (!r && (far.n || !near.n))
		r = add_rule(c, pr, NULL, receiver, ZT_DIR_INGRESS, (*part)++, &remote, pr->from.host_given, dst);
	if (!r && near.n)
		r = add_rule(c, pr, NULL, receiver, ZT_DIR_EGRESS, (*part)++, &local, true, dst);
	return r;
}

/* Alternatives of senders and of receivers multiply. */
static int compile_rule(struct compile *c, const struct zt_policy_rule *pr)
{
	ZT_CLEANUP(hosts_done) struct hosts src = {0}, dst = {0};
	size_t n = pr->from.n_whos ? pr->from.n_whos : 1, m = pr->to.n_whos ? pr->to.n_whos : 1;
	uint32_t part = 0;
	int r = split_families(&pr->from.hosts, &src) ?: split_families(&pr->to.hosts, &dst);

	for (size_t i = 0; !r && i < n * m; i++) {
		const struct zt_who *who = pr->from.n_whos ? &pr->from.whos[i / m] : NULL;
		const struct zt_who *receiver = pr->to.n_whos ? &pr->to.whos[i % m] : NULL;

		if (pr->dir == ZT_DIR_INGRESS)
			r = add_inbound(c, pr, &dst, receiver, &part);
		else
			r = add_rule(c, pr, who, receiver, pr->dir, part++, &src, pr->from.host_given, &dst);
	}
	return r;
}

/* ---- the whole ---- */
static int compare_priority(const void *a, const void *b)
{
	const struct zt_policy_rule *x = *(const struct zt_policy_rule *const *)a,
				    *y = *(const struct zt_policy_rule *const *)b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	return x < y ? -1 : x > y; /* file order */
}

static const struct zt_policy_rule **sorted(const struct zt_policy *p)
{
	const struct zt_policy_rule **v = zt_new(const struct zt_policy_rule *, p->n_rules + 1);

	for (size_t i = 0; v && i < p->n_rules; i++)
		v[i] = &p->rules[i];
	if (v && p->n_rules)
		qsort(v, p->n_rules, sizeof(*v), compare_priority);
	return v;
}

/* Rules that cannot be enforced here, where the policy is content with that. It is said once. */
static bool left_out(struct compile *c, const struct zt_policy_rule *pr)
{
	if (pr->dir != ZT_DIR_UNIX || !c->o->no_unix || c->p->settings.unix_sockets != ZT_UNIX_WHERE_POSSIBLE)
		return false;
	if (!c->told_unix)
		(void)zt_diag(c->d, ZT_WARNING, 2120, &pr->span,
			      "rule \"%s\" and all others about Unix sockets are not enforced here", pr->name);
	c->told_unix = true;
	return true;
}

static int set_string(char **dst, const char *src)
{
	char *s = zt_strdup(src);

	if (!s)
		return -ENOMEM;
	free(*dst);
	*dst = s;
	return 0;
}

static int compile_head(struct compile *c)
{
	struct zt_ruleset *rs = c->rs;
	char *prefix = rs->settings.log_prefix;
	int r;

	rs->settings = c->p->settings;
	rs->settings.log_prefix = prefix;
	r = set_string(&rs->settings.log_prefix,
		       c->p->settings.log_prefix ? c->p->settings.log_prefix : "ZT-BLOCKED: ");
	r = r ?: set_string(&rs->instance, c->o->instance ? c->o->instance : "default");
	r = r ?: set_string(&rs->policy_name, c->p->name ? c->p->name : "");
	rs->files = zt_new(char *, c->p->n_files + 1);
	if (!rs->files)
		return -ENOMEM;
	for (size_t i = 0; !r && i < c->p->n_files; i++, rs->n_files++)
		r = set_string(&rs->files[i], c->p->files[i]);
	r = r ?: zt_account_names_copy(c->p->accounts, c->p->n_accounts, &rs->accounts, &rs->n_accounts);
	if (r || !rs->settings.preserve_ssh)
		return r;
	if (c->o->ssh_ports && c->o->ssh_ports->n)
		r = zt_u32_ranges_copy(&rs->ssh_ports, c->o->ssh_ports);
	else
		r = zt_u32_ranges_add(&rs->ssh_ports, 22, 22);
	zt_u32_ranges_normalise(&rs->ssh_ports);
	return r;
}

static bool expired(const struct compile *c, const struct zt_policy_rule *pr)
{
	return pr->expires && pr->expires <= zt_expiry_clock(verdict_of(c, pr->action), c->o->at, c->o->steady);
}

int zt_ruleset_compile(const struct zt_policy *p, const struct zt_compile_options *o, struct zt_ruleset **ret,
		       struct zt_diags *d)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	ZT_FREE const struct zt_policy_rule **order = sorted(p);
	ZT_CLEANUP(zt_compile_done) struct compile c = {.p = p, .o = o, .d = d};
	int r = order ? zt_ruleset_new(&rs) : -ENOMEM;

	c.rs = rs;
	if (!r)
		r = compile_head(&c);
	for (size_t i = 0; i < p->n_rules && (!r || r == -EINVAL); i++)
		if (!expired(&c, order[i]) && !left_out(&c, order[i]))
			r = compile_rule(&c, order[i]) ?: r;
	for (size_t i = 0; i < p->n_rules && !r; i++)
		if (order[i]->dir == ZT_DIR_UNIX && !left_out(&c, order[i]))
			r = zt_compile_unix_names(&c, order[i]);
	for (size_t i = 0; i < p->n_rules && !r; i++)
		if (order[i]->dir == ZT_DIR_UNIX && !left_out(&c, order[i]))
			r = zt_compile_unix_receivers(&c, order[i]);
	if (!r)
		r = zt_ruleset_rehash(rs);
	if (!r)
		*ret = ZT_TAKE(rs);
	return r;
}
