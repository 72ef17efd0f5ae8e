/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "ruleset/ruleset.h"

/*
 * Warnings about a policy that loads. Comparing every pair of rules does not scale, so rules are compared only with those of the same
 * first user and with the wide rules (no user, or many); the comparisons are capped, and a note says when the cap was reached.
 */
#define COMPARISONS_MAX 4000000u
#define BUCKETS 16384u

struct bucket {
	uint32_t *v;
	size_t n, cap;
};

struct lint {
	const struct zt_ruleset *rs;
	struct zt_diags *d;
	struct bucket *by_uid, wide;
	uint64_t comparisons;
};

static struct zt_span span_of(const struct zt_ruleset *rs, const struct zt_rule *r)
{
	return (struct zt_span){.file = r->file < rs->n_files ? rs->files[r->file] : "", .line = r->line, .col = r->line ? 1 : 0};
}

static bool single_uid(const struct zt_rule *r)
{
	return r->match.uid.n == 1 && r->match.uid.v[0].lo == r->match.uid.v[0].hi;
}

static bool same_effect(const struct zt_rule *a, const struct zt_rule *b)
{
	bool blocks_a = a->verdict == ZT_DROP || a->verdict == ZT_REJECT, blocks_b = b->verdict == ZT_DROP || b->verdict == ZT_REJECT;

	return a->verdict == b->verdict || (blocks_a && blocks_b);
}

/* True when the earlier rule leaves nothing to the later one; then one warning is enough. */
static bool compare(struct lint *l, const struct zt_rule *early, const struct zt_rule *late)
{
	struct zt_span span = span_of(l->rs, late);

	l->comparisons++;
	if (early->dir != late->dir || early->n_windows || early->expires || !strcmp(early->id, late->id))
		return false;
	if (zt_match_contains(&early->match, &late->match)) {
		(void)zt_diag(l->d, ZT_WARNING, same_effect(early, late) ? 2010 : 2011, &span,
			      same_effect(early, late) ? "rule \"%s\" is shadowed: rule \"%s\" (line %u) decides all of it before, with the same result"
						       : "rule \"%s\" is unreachable: rule \"%s\" (line %u) decides all of it before, otherwise",
			      late->id, early->id, early->line);
		zt_diag_hint(l->d, same_effect(early, late) ? "remove one of them" : "give the narrower rule a smaller priority, or put it first");
		return true;
	}
	if (!same_effect(early, late) && zt_match_overlap(&early->match, &late->match) && !zt_match_contains(&late->match, &early->match)) {
		(void)zt_diag(l->d, ZT_WARNING, 2012, &span, "rules \"%s\" (line %u) and \"%s\" contradict each other where both match: the first one wins",
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

static int remember(struct lint *l, uint32_t at)
{
	const struct zt_rule *r = &l->rs->rules[at];
	struct bucket *b = single_uid(r) ? &l->by_uid[r->match.uid.v[0].lo % BUCKETS] : &l->wide;
	int e = zt_grow(b->v, b->cap, b->n);

	if (!e)
		b->v[b->n++] = at;
	return e;
}

static int pairs(struct lint *l)
{
	for (uint32_t i = 0; i < l->rs->n_rules; i++) {
		const struct zt_rule *r = &l->rs->rules[i];
		bool covered = compare_list(l, &l->wide, r);
		int e;

		if (!covered && single_uid(r))
			(void)compare_list(l, &l->by_uid[r->match.uid.v[0].lo % BUCKETS], r); /* only its warnings count */
		e = remember(l, i);
		if (e < 0)
			return e;
	}
	if (l->comparisons >= COMPARISONS_MAX)
		(void)zt_diag(l->d, ZT_NOTE, 2013, NULL, "the policy is large: not every pair of rules was compared");
	return 0;
}

/* ---- single rules ---- */
static bool any_dst(const struct zt_match *m)
{
	return (!(m->families & ZT_FAMILY_4) || !m->dst4.n) && (!(m->families & ZT_FAMILY_6) || !m->dst6.n);
}

static bool any_src(const struct zt_match *m)
{
	return (!(m->families & ZT_FAMILY_4) || !m->src4.n) && (!(m->families & ZT_FAMILY_6) || !m->src6.n);
}

static void broad(struct lint *l, const struct zt_rule *r)
{
	const struct zt_match *m = &r->match;
	bool everyone = !m->uid.n && !m->gid.n && !m->n_cgroups;
	struct zt_span span = span_of(l->rs, r);

	if (r->verdict != ZT_ALLOW || m->port.n || (m->proto.n && !zt_u32_ranges_has(&m->proto, 6)) || !any_dst(m))
		return;
	if (r->dir == ZT_DIR_EGRESS && everyone && any_src(m))
		(void)zt_diag(l->d, ZT_WARNING, 2014, &span, "rule \"%s\" lets every process reach every host and port", r->id);
	else if (r->dir != ZT_DIR_EGRESS && any_src(m))
		(void)zt_diag(l->d, ZT_WARNING, 2014, &span, "rule \"%s\" lets every machine reach every port", r->id);
	else
		return;
	zt_diag_hint(l->d, "name the users, hosts and ports that are meant; default deny protects nothing behind such a rule");
}

/* Exactly one address of 127.0.0.0/8, or ::1 alone. */
static bool literal_loopback(const struct zt_match *m)
{
	bool four = m->dst4.n == 1 && !zt_addr_cmp(&m->dst4.v[0].lo, &m->dst4.v[0].hi) && zt_addr_is_loopback(&m->dst4.v[0].lo);
	bool six = m->dst6.n == 1 && !zt_addr_cmp(&m->dst6.v[0].lo, &m->dst6.v[0].hi) && zt_addr_is_loopback(&m->dst6.v[0].lo);

	return (m->families == ZT_FAMILY_4 && four) || (m->families == ZT_FAMILY_6 && six);
}

static void loopback(struct lint *l, const struct zt_rule *r)
{
	struct zt_span span = span_of(l->rs, r);

	if (r->dir != ZT_DIR_EGRESS || !literal_loopback(&r->match) || r->verdict == ZT_ALLOW || r->verdict == ZT_OBSERVE)
		return;
	(void)zt_diag(l->d, ZT_WARNING, 2015, &span, "rule \"%s\" blocks one loopback address only: 127.0.0.2, ::1 and this host's own addresses "
						     "lead to the same services", r->id);
	zt_diag_hint(l->d, "use host: localhost, or leave the host out");
}

static void expired(struct lint *l, const struct zt_rule *r)
{
	struct zt_span span = span_of(l->rs, r);
	char iso[32];

	if (!r->expires || r->expires > zt_now())
		return;
	zt_time_format(r->expires, iso);
	(void)zt_diag(l->d, ZT_WARNING, 2016, &span, "rule \"%s\" expired at %s and matches nothing", r->id, iso);
}

/* ---- what a host needs ---- */
static bool lets_out(const struct zt_ruleset *rs, uint8_t proto, uint32_t port)
{
	if (rs->settings.def[ZT_DIR_EGRESS] == ZT_DEFAULT_ALLOW || rs->settings.mode == ZT_MODE_OBSERVE)
		return true;
	for (size_t i = 0; i < rs->n_rules; i++) {
		const struct zt_rule *r = &rs->rules[i];

		if (r->dir == ZT_DIR_EGRESS && (r->verdict == ZT_ALLOW || r->verdict == ZT_OBSERVE) &&
		    (!r->match.proto.n || zt_u32_ranges_has(&r->match.proto, proto)) &&
		    (!r->match.port.n || zt_u32_ranges_has(&r->match.port, port)))
			return true;
	}
	return false;
}

static bool any_path(const char *const *paths, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (zt_path_exists(paths[i]))
			return true;
	return false;
}

static void needs(struct lint *l)
{
	static const char *const dhcp[] = {"/run/systemd/netif/leases", "/var/lib/dhcp/dhclient.leases", "/run/NetworkManager/devices", "/var/lib/dhcpcd"};
	static const char *const ntp[] = {"/usr/sbin/chronyd", "/usr/sbin/ntpd", "/lib/systemd/systemd-timesyncd"};
	ZT_FREE char *forward = NULL;
	size_t len = 0;

	if (zt_path_exists("/etc/resolv.conf") && !lets_out(l->rs, 17, 53)) {
		(void)zt_diag(l->d, ZT_WARNING, 2017, NULL, "no rule lets DNS out (port 53): names will not resolve on this host");
		zt_diag_hint(l->d, "- {name: allow-dns, from: {user: \"*\"}, to: {port: 53, protocol: both}, action: allow}");
	}
	if (any_path(dhcp, ZT_ARRAY_SIZE(dhcp)) && !lets_out(l->rs, 17, 67)) {
		(void)zt_diag(l->d, ZT_WARNING, 2018, NULL, "no rule lets DHCP out (port 67/udp): this host may lose its address");
		zt_diag_hint(l->d, "- {name: allow-dhcp, from: {user: root}, to: {port: [67, 547], protocol: udp}, action: allow}");
	}
	if (any_path(ntp, ZT_ARRAY_SIZE(ntp)) && !lets_out(l->rs, 17, 123)) {
		(void)zt_diag(l->d, ZT_WARNING, 2019, NULL, "no rule lets time synchronisation out (port 123/udp)");
		zt_diag_hint(l->d, "- {name: allow-time, from: {user: \"*\"}, to: {port: 123, protocol: udp}, action: allow}");
	}
	if (l->rs->settings.def[ZT_DIR_FORWARD] == ZT_DEFAULT_DENY && l->rs->settings.mode == ZT_MODE_ENFORCE &&
	    zt_file_read("/proc/sys/net/ipv4/ip_forward", 16, &forward, &len) == 0 && forward[0] == '1')
		(void)zt_diag(l->d, ZT_WARNING, 2020, NULL, "this host forwards packets (containers, virtual machines?) and the policy denies forwarding");
}

int zt_ruleset_lint(const struct zt_ruleset *rs, struct zt_diags *d)
{
	struct lint l = {.rs = rs, .d = d, .by_uid = zt_new(struct bucket, BUCKETS)};
	int r = l.by_uid ? pairs(&l) : -ENOMEM;

	for (size_t i = 0; !r && i < rs->n_rules; i++) {
		broad(&l, &rs->rules[i]);
		loopback(&l, &rs->rules[i]);
		expired(&l, &rs->rules[i]);
	}
	if (!r)
		needs(&l);
	for (size_t i = 0; l.by_uid && i < BUCKETS; i++)
		free(l.by_uid[i].v);
	free(l.by_uid);
	free(l.wide.v);
	return r;
}
