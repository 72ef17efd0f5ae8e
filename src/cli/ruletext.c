/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <jansson.h>
#include <string.h>

#include "base/net.h"
#include "cli/cli.h"
#include "identity/identity.h"

void zt_u32_ranges_text(const struct zt_u32_ranges *l, struct zt_strbuf *out)
{
	for (size_t i = 0; i < l->n; i++) {
		zt_strbuf_printf(out, "%s%u", i ? "," : "", l->v[i].lo);
		if (l->v[i].hi != l->v[i].lo)
			zt_strbuf_printf(out, "-%u", l->v[i].hi);
	}
}

/* A table of 100,000 rules asks for the same few names again and again, and each question reads the user database. */
enum { NAMES = 8192 };
struct names {
	uint32_t id[NAMES];
	char *name[NAMES];
	char *(*look_up)(uint32_t id);
};
static struct names users = {.look_up = zt_user_name}, groups = {.look_up = zt_group_name};

static const char *name_of(struct names *n, uint32_t id)
{
	uint32_t at = id % NAMES;

	if (!n->name[at] || n->id[at] != id) {
		free(n->name[at]);
		n->name[at] = n->look_up(id);
		n->id[at] = id;
	}
	return n->name[at];
}

void zt_uid_text(uint32_t uid, struct zt_strbuf *out)
{
	const char *name = name_of(&users, uid);

	if (name && (*name < '0' || *name > '9'))
		zt_strbuf_printf(out, "%s (UID %u)", name, uid);
	else
		zt_strbuf_printf(out, "UID %u", uid);
}

/* Names for single ids, ranges as numbers; prefix "uid " or "gid " where a bare number would be unclear. */
static void ids_text(const struct zt_u32_ranges *l, const char *prefix, struct names *names, struct zt_strbuf *out)
{
	bool numbers = false;

	for (size_t i = 0; i < l->n; i++) {
		bool single = l->v[i].lo == l->v[i].hi;
		const char *name = single ? name_of(names, l->v[i].lo) : NULL;
		bool named = name && (*name < '0' || *name > '9');

		zt_strbuf_printf(out, "%s%s", i ? "," : "", named || numbers ? "" : prefix);
		numbers = numbers || !named;
		if (named)
			zt_strbuf_str(out, name);
		else if (single)
			zt_strbuf_printf(out, "%u", l->v[i].lo);
		else
			zt_strbuf_printf(out, "%u-%u", l->v[i].lo, l->v[i].hi);
	}
}

static void cgroups_text(const struct zt_match *m, struct zt_strbuf *out)
{
	for (size_t i = 0; i < m->n_cgroups; i++) {
		const char *slash = strrchr(m->cgroups[i].path, '/'), *base = slash ? slash + 1 : m->cgroups[i].path;
		const char *dot = strrchr(base, '.');

		zt_strbuf_str(out, i ? "," : "");
		if (!dot || strcmp(dot, ".service") != 0) {
			zt_strbuf_str(out, "cgroup ");
			base = m->cgroups[i].path;
		}
		zt_strbuf_escaped(out, base, strlen(base));
	}
}

static bool whole_family(const struct zt_addr_ranges *l)
{
	if (l->n != 1)
		return false;
	for (size_t i = 0; i < (l->v[0].lo.family == 4 ? 4u : 16u); i++)
		if (l->v[0].lo.b[i] != 0 || l->v[0].hi.b[i] != 0xff)
			return false;
	return true;
}

static bool any_host(const struct zt_match *m, const struct zt_addr_ranges *v4, const struct zt_addr_ranges *v6)
{
	return m->families == (ZT_FAMILY_4 | ZT_FAMILY_6) && (!v4->n || whole_family(v4)) &&
	       (!v6->n || whole_family(v6));
}

/* IPv6 in brackets where a port follows, as in a URL. */
static void ranges_text(const struct zt_addr_ranges *l, bool brackets, bool *first, struct zt_strbuf *out)
{
	for (size_t i = 0; i < l->n; i++) {
		char buf[128];

		zt_addr_range_format(&l->v[i], buf);
		zt_strbuf_printf(out, brackets ? "%s[%s]" : "%s%s", *first ? "" : ",", buf);
		*first = false;
	}
}

static bool is_localhost(const struct zt_match *m, const struct zt_addr_ranges *v4, const struct zt_addr_ranges *v6)
{
	char a[128] = "", b[128] = "";

	if (v4->n == 1 && v6->n == 1) {
		zt_addr_range_format(&v4->v[0], a);
		zt_addr_range_format(&v6->v[0], b);
	}
	return m->families == (ZT_FAMILY_4 | ZT_FAMILY_6) && !strcmp(a, "127.0.0.0/8") && !strcmp(b, "::1");
}

/* ICMP lives in one IP version: every host of that one is every host. */
static bool any_icmp_host(const struct zt_match *m, const struct zt_addr_ranges *v4, const struct zt_addr_ranges *v6)
{
	bool one = m->proto.n == 1 && m->proto.v[0].lo == m->proto.v[0].hi;

	return one && ((m->proto.v[0].lo == 1 && m->families == ZT_FAMILY_4 && (!v4->n || whole_family(v4))) ||
		       (m->proto.v[0].lo == 58 && m->families == ZT_FAMILY_6 && (!v6->n || whole_family(v6))));
}

static void hosts_text(const struct zt_match *m, const struct zt_addr_ranges *v4, const struct zt_addr_ranges *v6,
		       bool brackets, struct zt_strbuf *out)
{
	bool first = true;

	if (any_host(m, v4, v6) || any_icmp_host(m, v4, v6)) {
		zt_strbuf_char(out, '*');
		return;
	}
	if (is_localhost(m, v4, v6)) {
		zt_strbuf_str(out, "localhost");
		return;
	}
	if ((m->families & ZT_FAMILY_4) && !v4->n) {
		zt_strbuf_str(out, "0.0.0.0/0");
		first = false;
	} else if (m->families & ZT_FAMILY_4) {
		ranges_text(v4, false, &first, out);
	}
	if ((m->families & ZT_FAMILY_6) && !v6->n)
		zt_strbuf_str(out, first ? "::/0" : ",::/0");
	else if (m->families & ZT_FAMILY_6)
		ranges_text(v6, brackets, &first, out);
}

static bool any_sender(const struct zt_match *m)
{
	return !m->uid.n && !m->gid.n && !m->n_cgroups && !m->from;
}

static void who_text(const struct zt_match *m, struct zt_strbuf *out)
{
	const char *sep = "";

	if (m->from) {
		zt_strbuf_str(out, m->from->text);
		return;
	}
	if (m->uid.n) {
		ids_text(&m->uid, "uid ", &users, out);
		sep = " ";
	}
	if (m->gid.n) {
		zt_strbuf_printf(out, "%sgroup ", sep);
		ids_text(&m->gid, "", &groups, out);
		sep = " ";
	}
	if (m->n_cgroups) {
		zt_strbuf_str(out, sep);
		cgroups_text(m, out);
	}
}

void zt_rule_from(const struct zt_rule *r, struct zt_strbuf *out)
{
	const struct zt_match *m = &r->match;
	bool any_src = any_host(m, &m->src4, &m->src6) || (!m->src4.n && !m->src6.n);

	if (r->dir == ZT_DIR_FORWARD)
		zt_strbuf_str(out, "fwd ");
	if (!any_sender(m))
		who_text(m, out);
	if (any_src && any_sender(m))
		zt_strbuf_char(out, '*');
	else if (!any_src) {
		zt_strbuf_str(out, any_sender(m) ? "" : " at ");
		hosts_text(m, &m->src4, &m->src6, false, out);
	}
}

void zt_rule_from_long(const struct zt_rule *r, struct zt_strbuf *out)
{
	const struct zt_match *m = &r->match;

	if (!m->from && m->uid.n == 1 && m->uid.v[0].lo == m->uid.v[0].hi && !m->gid.n && !m->n_cgroups && !m->src4.n &&
	    !m->src6.n)
		zt_uid_text(m->uid.v[0].lo, out);
	else
		zt_rule_from(r, out);
}

static void protos_text(const struct zt_match *m, struct zt_strbuf *out)
{
	for (size_t i = 0; i < m->proto.n; i++)
		for (uint32_t p = m->proto.v[i].lo; p <= m->proto.v[i].hi; p++) {
			const char *name = zt_proto_name((uint8_t)p);

			if (m->proto.v[i].hi - m->proto.v[i].lo > 3) {
				zt_strbuf_printf(out, "%s%u-%u", i ? "+" : "", m->proto.v[i].lo, m->proto.v[i].hi);
				break;
			}
			zt_strbuf_str(out, i || p > m->proto.v[i].lo ? "+" : "");
			if (name)
				zt_strbuf_str(out, name);
			else
				zt_strbuf_printf(out, "%u", p);
		}
}

static bool every_port_protocol(const struct zt_match *m)
{
	return m->proto.n && zt_u32_ranges_has(&m->proto, 6) && zt_u32_ranges_has(&m->proto, 17) &&
	       zt_u32_ranges_has(&m->proto, 132) && zt_u32_ranges_has(&m->proto, 136) && m->port.n;
}

void zt_rule_to(const struct zt_rule *r, struct zt_strbuf *out)
{
	const struct zt_match *m = &r->match;

	if (m->to)
		zt_strbuf_printf(out, "%s at ", m->to->text);
	if (r->dir == ZT_DIR_UNIX) {
		zt_unix_names_text(&m->unix_names, out);
		return;
	}
	if (r->dir != ZT_DIR_INGRESS || m->dst4.n || m->dst6.n)
		hosts_text(m, &m->dst4, &m->dst6, m->port.n, out);
	if (m->port.n) {
		zt_strbuf_char(out, ':');
		zt_u32_ranges_text(&m->port, out);
	} else if (r->dir == ZT_DIR_INGRESS && !m->dst4.n && !m->dst6.n) {
		zt_strbuf_str(out, ":*");
	}
	if (m->proto.n && !every_port_protocol(m)) {
		zt_strbuf_char(out, '/');
		protos_text(m, out);
	}
}

void zt_rule_hosts(const struct zt_rule *r, bool source, struct zt_strbuf *out)
{
	const struct zt_match *m = &r->match;

	hosts_text(m, source ? &m->src4 : &m->dst4, source ? &m->src6 : &m->dst6, false, out);
}

void zt_rule_place(const struct zt_ruleset *rs, const struct zt_rule *r, struct zt_strbuf *out)
{
	const char *file = r->file < rs->n_files ? rs->files[r->file] : NULL;

	if (!file || !r->line)
		return;
	zt_strbuf_escaped(out, file, strlen(file));
	zt_strbuf_printf(out, ":%u", r->line);
}

json_t *zt_rule_json(const struct zt_ruleset *rs, const struct zt_rule *r)
{
	ZT_STRBUF struct zt_strbuf from = {0}, to = {0};
	const char *file = r->file < rs->n_files ? rs->files[r->file] : NULL;

	zt_rule_from(r, &from);
	zt_rule_to(r, &to);
	return json_pack("{s:s, s:i, s:i, s:s, s:s, s:s, s:s, s:b, s:o, s:i}", "name", r->id, "part", (int)r->part,
			 "order", (int)r->seq, "direction", zt_direction_name(r->dir), "verdict",
			 zt_verdict_name(r->verdict), "from", zt_strbuf_cstr(&from), "to", zt_strbuf_cstr(&to), "log",
			 (int)r->log, "file", zt_json_text(file), "line", (int)r->line);
}

size_t zt_active_rules(const struct zt_ruleset *rs)
{
	const struct zt_settings *s = &rs->settings;
	size_t n = 3; /* established, link essentials, the default */

	for (size_t i = 0; i < rs->n_rules; i++)
		n += i == 0 || strcmp(rs->rules[i].id, rs->rules[i - 1].id) != 0;
	n += rs->ssh_ports.n != 0;
	n += s->loopback == ZT_LOOPBACK_ALLOW;
	n += s->log_blocked;
	n += s->def[ZT_DIR_EGRESS] != s->def[ZT_DIR_INGRESS];
	return n;
}

const char *zt_engine_title(const char *name)
{
	return !strcmp(name, "nft") ? "nftables" : name;
}

const char *zt_default_text(const struct zt_settings *s)
{
	bool out_deny = s->def[ZT_DIR_EGRESS] == ZT_DEFAULT_DENY, in_deny = s->def[ZT_DIR_INGRESS] == ZT_DEFAULT_DENY;

	if (s->mode == ZT_MODE_OBSERVE)
		return "OBSERVE ONLY (nothing is blocked)";
	if (out_deny && in_deny)
		return "DEFAULT DENY";
	if (!out_deny && !in_deny)
		return "DEFAULT ALLOW";
	return out_deny ? "DEFAULT DENY outbound, ALLOW inbound" : "DEFAULT ALLOW outbound, DENY inbound";
}
