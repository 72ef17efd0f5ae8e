/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "ruleset/ruleset.h"

/*
 * Warnings about a policy that loads. Comparing every pair of rules does not scale, so rules are compared only with those of the same
 * first user and with the wide rules (no user, or many), and wide rules with all; the comparisons are capped, and a note says when the cap was reached.
 */
#define COMPARISONS_MAX 4000000u
#define BUCKETS 16384u
enum { SERVERS_MAX = 8 };

struct bucket {
	uint32_t *v;
	size_t n, cap;
};

struct lint {
	const struct zt_ruleset *rs;
	const char *root;
	struct zt_diags *d;
	struct bucket *by_uid, single, wide; /* single: all that are in by_uid */
	uint64_t comparisons;
};

static struct zt_span span_of(const struct zt_ruleset *rs, const struct zt_rule *r)
{
	return (struct zt_span){
		.file = r->file < rs->n_files ? rs->files[r->file] : "", .line = r->line, .col = r->line ? 1 : 0};
}

static bool single_uid(const struct zt_rule *r)
{
	return r->match.uid.n == 1 && r->match.uid.v[0].lo == r->match.uid.v[0].hi;
}

static bool same_effect(const struct zt_rule *a, const struct zt_rule *b)
{
	bool blocks_a = a->verdict == ZT_DROP || a->verdict == ZT_REJECT,
	     blocks_b = b->verdict == ZT_DROP || b->verdict == ZT_REJECT;

	return a->verdict == b->verdict || (blocks_a && blocks_b);
}

/* Alternatives of one rule are one rule to its author: the same thing is said once. */
static bool told(const struct lint *l, unsigned code, const struct zt_rule *r)
{
	const struct zt_diag *last = l->d && l->d->n ? &l->d->items[l->d->n - 1] : NULL;

	return last && last->code == code && last->span.line == r->line && r->line &&
	       !strcmp(last->span.file, span_of(l->rs, r).file);
}

/* Part of a rule is shadowed: say which. */
static void name_part(const struct zt_ruleset *rs, const struct zt_rule *r, char ret[static 128])
{
	bool more = r->part || (r->seq < rs->n_rules && !strcmp(rs->rules[r->seq].id, r->id));

	snprintf(ret, 128, more && r->from_text ? "\"%s\", for %s," : "\"%s\"", r->id,
		 r->from_text ? r->from_text : "");
}

/* True when the earlier rule leaves nothing to the later one; then one warning is enough. */
static bool compare(struct lint *l, const struct zt_rule *early, const struct zt_rule *late)
{
	struct zt_span span = span_of(l->rs, late);
	bool same = same_effect(early, late);
	char name[128];

	l->comparisons++;
	if (early->dir != late->dir || zt_rule_follows(late) || early->n_windows || early->expires ||
	    !strcmp(early->id, late->id))
		return false;
	if (zt_match_contains(&early->match, &late->match)) {
		name_part(l->rs, late, name);
		(void)zt_diag(
			l->d, ZT_WARNING, same ? 2010 : 2011, &span,
			same ? "rule %s is shadowed: rule \"%s\" (line %u) decides all of it before, with the same result"
			     : "rule %s is unreachable: rule \"%s\" (line %u) decides all of it before, otherwise",
			name, early->id, early->line);
		zt_diag_hint(l->d, same ? "remove one of them"
					: "give the narrower rule a smaller priority, or put it first");
		return true;
	}
	if (early->priority == late->priority && !same && zt_match_overlap(&early->match, &late->match) &&
	    !zt_match_contains(&late->match, &early->match) && !told(l, 2012, late)) {
		(void)zt_diag(
			l->d, ZT_WARNING, 2012, &span,
			"rules \"%s\" (line %u) and \"%s\" contradict each other where both match: the first one wins",
			early->id, early->line, late->id);
		zt_diag_hint(l->d, "say which is meant with priority, or make one narrower");
	}
	return false;
}

static bool compare_list(struct lint *l, const struct bucket *b, const struct zt_rule *late)
{
	for (size_t i = 0; i < b->n && l->comparisons < COMPARISONS_MAX; i++)
		if (compare(l, &l->rs->rules[b->v[i]], late))
			return true;
	return false;
}

static int put(struct bucket *b, uint32_t at)
{
	int e = zt_grow(b->v, b->cap, b->n);

	if (!e)
		b->v[b->n++] = at;
	return e;
}

static int remember(struct lint *l, uint32_t at)
{
	const struct zt_rule *r = &l->rs->rules[at];

	if (!single_uid(r))
		return put(&l->wide, at);
	return put(&l->by_uid[r->match.uid.v[0].lo % BUCKETS], at) ?: put(&l->single, at);
}

static int pairs(struct lint *l)
{
	for (uint32_t i = 0; i < l->rs->n_rules; i++) {
		const struct zt_rule *r = &l->rs->rules[i];
		bool covered = compare_list(l, &l->wide, r);
		int e;

		if (!covered) /* only its warnings count; a wide rule may contradict one of any user */
			(void)compare_list(l, single_uid(r) ? &l->by_uid[r->match.uid.v[0].lo % BUCKETS] : &l->single,
					   r);
		e = remember(l, i);
		if (e < 0)
			return e;
	}
	if (l->comparisons >= COMPARISONS_MAX)
		(void)zt_diag(l->d, ZT_NOTE, 2013, NULL, "the policy is large: not every pair of rules was compared");
	return 0;
}

/* ---- single rules ---- */
static bool all_numbers(const struct zt_u32_ranges *l, uint32_t lo, uint32_t hi)
{
	return !l->n || zt_u32_ranges_contain(l, &(struct zt_u32_ranges){.v = &(struct zt_u32_range){lo, hi}, .n = 1});
}

static bool all_addresses(const struct zt_match *m, uint8_t family, const struct zt_addr_ranges *l)
{
	struct zt_addr_range all = {.lo = {.family = family}, .hi = {.family = family}};

	memset(all.hi.b, 0xff, family == 4 ? 4 : 16);
	return !(m->families & (family == 4 ? ZT_FAMILY_4 : ZT_FAMILY_6)) || !l->n ||
	       zt_addr_ranges_contain(l, &(struct zt_addr_ranges){.v = &all, .n = 1});
}

static bool any_dst(const struct zt_match *m)
{
	return all_addresses(m, 4, &m->dst4) && all_addresses(m, 6, &m->dst6) && !m->to;
}

static bool any_src(const struct zt_match *m)
{
	return all_addresses(m, 4, &m->src4) && all_addresses(m, 6, &m->src6);
}

/* A rule that allows on purpose a part of what the broad one allows anyway. */
static const struct zt_rule *made_pointless(const struct zt_ruleset *rs, const struct zt_rule *broad)
{
	for (size_t i = 0; i < rs->n_rules; i++) {
		const struct zt_rule *r = &rs->rules[i];

		if (r->dir == broad->dir && r->verdict == ZT_ALLOW && strcmp(r->id, broad->id) != 0 &&
		    zt_match_contains(&broad->match, &r->match))
			return r;
	}
	return NULL;
}

static bool any_sender(const struct zt_rule *r)
{
	return all_numbers(&r->match.uid, 0, UINT32_MAX - 1) && all_numbers(&r->match.gid, 0, UINT32_MAX - 1) &&
	       !r->match.n_cgroups && !r->match.from;
}

static void broad(struct lint *l, const struct zt_rule *r)
{
	const struct zt_match *m = &r->match;
	bool out = r->dir == ZT_DIR_EGRESS;
	struct zt_span span = span_of(l->rs, r);
	const struct zt_rule *other;

	if (r->dir == ZT_DIR_UNIX || r->verdict != ZT_ALLOW || !all_numbers(&m->port, 1, 65535) ||
	    (m->proto.n && !zt_u32_ranges_has(&m->proto, 6)) || !any_dst(m) || !any_src(m) || (out && !any_sender(r)) ||
	    told(l, 2014, r))
		return;
	other = made_pointless(l->rs, r);
	if (other)
		(void)zt_diag(l->d, ZT_WARNING, 2014, &span,
			      "rule \"%s\" lets every %s reach every %s, and makes rule \"%s\" (line %u) pointless",
			      r->id, out ? "process" : "machine", out ? "host and port" : "port", other->id,
			      other->line);
	else
		(void)zt_diag(l->d, ZT_WARNING, 2014, &span, "rule \"%s\" lets every %s reach every %s", r->id,
			      out ? "process" : "machine", out ? "host and port" : "port");
	zt_diag_hint(
		l->d,
		"name the users, hosts and ports that are meant; default deny protects nothing behind such a rule");
}

/* Exactly one address of 127.0.0.0/8, or ::1 alone. */
static bool literal_loopback(const struct zt_match *m)
{
	bool four = m->dst4.n == 1 && !zt_addr_cmp(&m->dst4.v[0].lo, &m->dst4.v[0].hi) &&
		    zt_addr_is_loopback(&m->dst4.v[0].lo);
	bool six = m->dst6.n == 1 && !zt_addr_cmp(&m->dst6.v[0].lo, &m->dst6.v[0].hi) &&
		   zt_addr_is_loopback(&m->dst6.v[0].lo);

	return (m->families == ZT_FAMILY_4 && four) || (m->families == ZT_FAMILY_6 && six);
}

static void loopback(struct lint *l, const struct zt_rule *r)
{
	struct zt_span span = span_of(l->rs, r);
	bool blocks = r->verdict == ZT_DROP || r->verdict == ZT_REJECT, four = r->match.families == ZT_FAMILY_4;
	char addr[64];

	if (r->dir != ZT_DIR_EGRESS || !literal_loopback(&r->match) || told(l, 2015, r))
		return;
	zt_addr_format(four ? &r->match.dst4.v[0].lo : &r->match.dst6.v[0].lo, addr);
	if (blocks)
		(void)zt_diag(l->d, ZT_WARNING, 2015, &span,
			      "rule \"%s\" blocks %s only: %s and this host's own addresses lead to the same services",
			      r->id, addr, four ? "127.0.0.2, ::1" : "127.0.0.1");
	else
		(void)zt_diag(l->d, ZT_WARNING, 2015, &span,
			      "rule \"%s\" allows %s only: a program that says \"localhost\" may try %s and be refused",
			      r->id, addr, four ? "::1" : "127.0.0.1");
	zt_diag_hint(l->d, blocks ? "use host: localhost, or leave the host out"
				  : "host: localhost covers 127.0.0.0/8 and ::1");
}

/* ---- what a host needs ---- */
static bool covered(struct lint *l, size_t at)
{
	const struct zt_rule *r = &l->rs->rules[at];

	for (size_t i = 0; i < at && l->comparisons < COMPARISONS_MAX; i++) {
		const struct zt_rule *e = &l->rs->rules[i];

		l->comparisons++;
		if (e->dir == r->dir && !same_effect(e, r) && !e->n_windows && !e->expires &&
		    zt_match_contains(&e->match, &r->match))
			return true;
	}
	return false;
}

/* The servers that resolv.conf names; none when it cannot be read. */
static size_t name_servers(const struct lint *l, struct zt_addr ret[static SERVERS_MAX])
{
	ZT_FREE char *path = zt_asprintf("%s/etc/resolv.conf", l->root ? l->root : ""), *text = NULL;
	size_t n = 0, len = 0;

	if (!path || zt_file_read(path, 1 << 16, &text, &len) < 0)
		return 0;
	for (char *save = NULL, *line = strtok_r(text, "\n", &save); line && n < SERVERS_MAX;
	     line = strtok_r(NULL, "\n", &save)) {
		char host[64];

		if (sscanf(line, " nameserver %63s", host) == 1 && zt_addr_parse(host, &ret[n]) == 0)
			n++;
	}
	return n;
}

/* Is the rule about this service: its port, and a server of it? A rule that names neither the port nor everywhere is about others. */
static bool about(const struct zt_rule *r, uint8_t proto, uint32_t port, const struct zt_addr *servers, size_t n)
{
	const struct zt_match *m = &r->match;
	bool reaches = n == 0;

	for (size_t i = 0; i < n; i++) {
		const struct zt_addr_ranges *dst = servers[i].family == 4 ? &m->dst4 : &m->dst6;

		reaches = reaches || ((m->families & (servers[i].family == 4 ? ZT_FAMILY_4 : ZT_FAMILY_6)) &&
				      (!dst->n || zt_addr_ranges_has(dst, &servers[i])));
	}
	return r->dir == ZT_DIR_EGRESS && reaches && (!m->proto.n || zt_u32_ranges_has(&m->proto, proto)) &&
	       (m->port.n ? zt_u32_ranges_has(&m->port, port) : n || any_dst(m));
}

/* Does any rule let anybody out to this port (of these servers), without an earlier one that takes all of it back? */
static bool lets_out(struct lint *l, uint8_t proto, uint32_t port, const struct zt_addr *servers, size_t n)
{
	const struct zt_ruleset *rs = l->rs;

	if (rs->settings.mode == ZT_MODE_OBSERVE)
		return true;
	for (size_t i = 0; i < rs->n_rules; i++) {
		const struct zt_rule *r = &rs->rules[i];
		bool here = about(r, proto, port, servers, n);

		if (here && (r->verdict == ZT_ALLOW || r->verdict == ZT_OBSERVE) && !covered(l, i))
			return true;
		if (here && any_sender(r) && any_dst(&r->match) && any_src(&r->match) && !r->n_windows && !r->expires &&
		    r->match.families == (ZT_FAMILY_4 | ZT_FAMILY_6))
			return false; /* blocks all of it */
	}
	return rs->settings.def[ZT_DIR_EGRESS] == ZT_DEFAULT_ALLOW;
}

static bool exists(const struct lint *l, const char *path)
{
	ZT_FREE char *full = zt_asprintf("%s%s", l->root ? l->root : "", path);

	return full && zt_path_exists(full);
}

static bool any_path(const struct lint *l, const char *const *paths, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (exists(l, paths[i]))
			return true;
	return false;
}

static bool forwards(const struct lint *l)
{
	ZT_FREE char *path = zt_asprintf("%s/proc/sys/net/ipv4/ip_forward", l->root ? l->root : ""), *text = NULL;
	size_t len = 0;

	return path && zt_file_read(path, 16, &text, &len) == 0 && text[0] == '1';
}

static void needs(struct lint *l)
{
	static const char *const dhcp[] = {"/run/systemd/netif/leases", "/var/lib/dhcp/dhclient.leases",
					   "/run/NetworkManager/devices", "/var/lib/dhcpcd"};
	static const char *const ntp[] = {"/usr/sbin/chronyd", "/usr/sbin/ntpd", "/lib/systemd/systemd-timesyncd"};
	struct zt_addr servers[SERVERS_MAX];
	size_t n = name_servers(l, servers);

	if (exists(l, "/etc/resolv.conf") && !lets_out(l, 17, 53, servers, n)) {
		(void)zt_diag(l->d, ZT_WARNING, 2017, NULL,
			      "no rule lets DNS out (port 53): names will not resolve on this host");
		zt_diag_hint(l->d,
			     "- {name: allow-dns, from: {user: \"*\"}, to: {port: 53, protocol: both}, action: allow}");
	}
	if (any_path(l, dhcp, ZT_ARRAY_SIZE(dhcp)) && !lets_out(l, 17, 67, NULL, 0)) {
		(void)zt_diag(l->d, ZT_WARNING, 2018, NULL,
			      "no rule lets DHCP out (port 67/udp): this host may lose its address");
		zt_diag_hint(
			l->d,
			"- {name: allow-dhcp, from: {user: root}, to: {port: [67, 547], protocol: udp}, action: allow}");
	}
	if (any_path(l, ntp, ZT_ARRAY_SIZE(ntp)) && !lets_out(l, 17, 123, NULL, 0)) {
		(void)zt_diag(l->d, ZT_WARNING, 2019, NULL, "no rule lets time synchronisation out (port 123/udp)");
		zt_diag_hint(
			l->d,
			"- {name: allow-time, from: {user: \"*\"}, to: {port: 123, protocol: udp}, action: allow}");
	}
	if (l->rs->settings.def[ZT_DIR_FORWARD] == ZT_DEFAULT_DENY && l->rs->settings.mode == ZT_MODE_ENFORCE &&
	    forwards(l))
		(void)zt_diag(
			l->d, ZT_WARNING, 2020, NULL,
			"this host forwards packets (containers, virtual machines?) and the policy denies forwarding");
}

int zt_ruleset_lint(const struct zt_ruleset *rs, const char *root, struct zt_diags *d)
{
	struct lint l = {.rs = rs, .root = root, .d = d, .by_uid = zt_new(struct bucket, BUCKETS)};
	int r = l.by_uid ? pairs(&l) : -ENOMEM;

	for (size_t i = 0; !r && i < rs->n_rules; i++) {
		broad(&l, &rs->rules[i]);
		loopback(&l, &rs->rules[i]);
	}
	if (!r)
		needs(&l);
	for (size_t i = 0; l.by_uid && i < BUCKETS; i++)
		free(l.by_uid[i].v);
	free(l.by_uid);
	free(l.single.v);
	free(l.wide.v);
	return r;
}
