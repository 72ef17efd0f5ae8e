/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>
#include <time.h>

#include "engine/iptables/iptables.h"

#define UID_LAST 4294967294u /* the highest that -m owner takes; the next one is no user */
#define MULTIPORT_MAX 15
#define CGROUP_PATH_MAX 511
#define DATE_LAST UINT64_C(2145916799) /* end of 2037: iptables knows no later date */

static const uint8_t port_protos[] = {6, 17, 33, 132, 136};

void ipt_quote(struct zt_strbuf *out, const char *s)
{
	zt_strbuf_char(out, '"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			zt_strbuf_char(out, '\\');
		zt_strbuf_char(out, *s);
	}
	zt_strbuf_char(out, '"');
}

static int take(struct ipt_values *l, struct zt_strbuf *b)
{
	int r = zt_grow(l->v, l->cap, l->n);
	char *s = r < 0 ? NULL : zt_strbuf_steal(b);

	if (!s)
		return -ENOMEM;
	l->v[l->n++] = s;
	return 0;
}

ZT_PRINTF(2, 3) static int add(struct ipt_values *l, const char *fmt, ...)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	va_list ap;

	va_start(ap, fmt);
	zt_strbuf_vprintf(&b, fmt, ap);
	va_end(ap);
	return take(l, &b);
}

void ipt_box_done(struct ipt_box *b)
{
	for (size_t d = 0; d < IPT_DIMS; d++) {
		for (size_t i = 0; i < b->dim[d].n; i++)
			free(b->dim[d].v[i]);
		free(b->dim[d].v);
	}
	*b = (struct ipt_box){0};
}

static int add_windows(const struct zt_rule *rule, struct ipt_values *l)
{
	static const char *const days[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
	char stop[64] = "";
	int r = 0;

	if (rule->expires) {
		time_t last = (time_t)ZT_MIN(rule->expires / ZT_USEC_PER_SEC, DATE_LAST + 1) - 1;
		struct tm tm;

		(void)gmtime_r(&last, &tm);
		(void)strftime(stop, sizeof(stop), " --datestop %Y-%m-%dT%H:%M:%S", &tm);
	}
	if (!rule->n_windows && rule->expires)
		return add(l, "-m time%s", stop);
	for (size_t i = 0; i < rule->n_windows; i++)
		for (uint32_t day = rule->windows[i].start / 86400; !r && day < 7 && day * 86400 < rule->windows[i].end;
		     day++) {
			uint32_t from = ZT_MAX(rule->windows[i].start, day * 86400) - day * 86400;
			uint32_t to = ZT_MIN(rule->windows[i].end, (day + 1) * 86400) - day * 86400 - 1;

			if (from == 0 && to == 86399)
				r = add(l, "-m time --weekdays %s%s", days[day], stop);
			else
				r = add(l,
					"-m time --timestart %02u:%02u:%02u --timestop %02u:%02u:%02u --weekdays %s%s",
					from / 3600, from / 60 % 60, from % 60, to / 3600, to / 60 % 60, to % 60,
					days[day], stop);
		}
	return r;
}

static int add_owners(const struct zt_u32_ranges *l, const char *option, struct ipt_values *out, bool *never)
{
	int r = 0;

	for (size_t i = 0; !r && i < l->n; i++) {
		uint32_t hi = ZT_MIN(l->v[i].hi, UID_LAST);

		if (l->v[i].lo > UID_LAST)
			continue;
		if (l->v[i].lo == hi)
			r = add(out, "-m owner --%s %u", option, hi);
		else
			r = add(out, "-m owner --%s %u-%u", option, l->v[i].lo, hi);
	}
	*never = *never || (l->n && !out->n);
	return r;
}

static int add_cgroups(const struct zt_match *m, struct ipt_values *out, bool *never)
{
	int r = 0;

	for (size_t i = 0; !r && i < m->n_cgroups; i++) {
		ZT_STRBUF struct zt_strbuf b = {0};

		if (!m->cgroups[i].id)
			continue;
		zt_strbuf_str(&b, "-m cgroup --path ");
		ipt_quote(&b, m->cgroups[i].path);
		r = take(out, &b);
	}
	*never = *never || (m->n_cgroups && !out->n);
	return r;
}

static int add_addrs(const struct zt_addr_ranges *l, char side, struct ipt_values *out)
{
	int r = 0;

	for (size_t i = 0; !r && i < l->n; i++) {
		char text[128], lo[64], hi[64];

		zt_addr_range_format(&l->v[i], text);
		zt_addr_format(&l->v[i].lo, lo);
		zt_addr_format(&l->v[i].hi, hi);
		if (strchr(text, '-'))
			r = add(out, "-m iprange --%s-range %s-%s", side == 's' ? "src" : "dst", lo, hi);
		else
			r = add(out, "-%c %s", side, text);
	}
	return r;
}

/* ---- protocols and ports ---- */
static int add_ports(uint8_t proto, const struct zt_u32_ranges *l, struct ipt_values *out)
{
	int r = 0;

	for (size_t i = 0; !r && i < l->n;) {
		ZT_STRBUF struct zt_strbuf b = {0};
		unsigned used = 0;

		zt_strbuf_printf(&b, "-p %u -m multiport --dports ", proto);
		for (; i < l->n; i++) {
			bool single = l->v[i].lo == l->v[i].hi;

			if (used + (single ? 1u : 2u) > MULTIPORT_MAX)
				break;
			zt_strbuf_printf(&b, "%s%u", used ? "," : "", l->v[i].lo);
			if (!single)
				zt_strbuf_printf(&b, ":%u", l->v[i].hi);
			used += single ? 1 : 2;
		}
		r = take(out, &b);
	}
	return r;
}

static bool any_proto(const struct zt_u32_ranges *l)
{
	return !l->n || (l->n == 1 && l->v[0].lo == 0 && l->v[0].hi >= 255);
}

static int add_services(const struct zt_match *m, struct ipt_values *out, bool *never)
{
	int r = 0;

	if (m->port.n) {
		for (size_t i = 0; !r && i < ZT_ARRAY_SIZE(port_protos); i++)
			if (!m->proto.n || zt_u32_ranges_has(&m->proto, port_protos[i]))
				r = add_ports(port_protos[i], &m->port, out);
		*never = *never || !out->n;
		return r;
	}
	if (any_proto(&m->proto))
		return 0;
	for (uint32_t p = 1; !r && p < 256; p++)
		if (zt_u32_ranges_has(&m->proto, p))
			r = add(out, "-p %u", p);
	*never = *never || !out->n;
	return r;
}

int ipt_box_make(const struct zt_rule *rule, int family, struct ipt_box *ret)
{
	const struct zt_match *m = &rule->match;
	ZT_CLEANUP(ipt_box_done)
	struct ipt_box b = {.never = !(m->families & (family == IPT_4 ? ZT_FAMILY_4 : ZT_FAMILY_6))};
	int r = add_windows(rule, &b.dim[IPT_WINDOW]);

	if (!r)
		r = add_owners(&m->uid, "uid-owner", &b.dim[IPT_UID], &b.never);
	if (!r)
		r = add_owners(&m->gid, "gid-owner", &b.dim[IPT_GID], &b.never);
	if (!r)
		r = add_cgroups(m, &b.dim[IPT_CGROUP], &b.never);
	if (!r)
		r = add_addrs(family == IPT_4 ? &m->src4 : &m->src6, 's', &b.dim[IPT_SRC]);
	if (!r)
		r = add_addrs(family == IPT_4 ? &m->dst4 : &m->dst6, 'd', &b.dim[IPT_DST]);
	if (!r)
		r = add_services(m, &b.dim[IPT_SERVICE], &b.never);
	if (r < 0)
		return r;
	*ret = b;
	b = (struct ipt_box){0};
	return 0;
}

/* ---- what cannot be expressed ---- */
/* In IPv6 these are extension headers, never the protocol of a packet as ip6tables sees it. */
static int extension_header(const struct zt_match *m)
{
	static const uint8_t headers[] = {43, 44, 51, 60};

	for (size_t i = 0; m->families & ZT_FAMILY_6 && i < ZT_ARRAY_SIZE(headers); i++)
		if (zt_u32_ranges_has(&m->proto, headers[i]))
			return headers[i];
	return -1;
}

static const char *reason(const struct zt_rule *rule, char buf[static 128])
{
	const struct zt_match *m = &rule->match;
	bool protos = m->proto.n && !m->port.n && !any_proto(&m->proto);

	if (rule->dir != ZT_DIR_EGRESS && (m->uid.n || m->gid.n || m->n_cgroups))
		return "only the sender's side of a local process can be matched (-m owner), not what arrives or is forwarded";
	if (protos && zt_u32_ranges_has(&m->proto, 0))
		return "protocol 0 cannot be matched: iptables reads it as every protocol";
	if (protos && extension_header(m) >= 0) {
		(void)snprintf(buf, 128, "protocol %d is an extension header in IPv6 and cannot be matched there",
			       extension_header(m));
		return buf;
	}
	if (rule->expires / ZT_USEC_PER_SEC > DATE_LAST)
		return "dates after 2037 cannot be matched (-m time)";
	for (size_t i = 0; i < m->n_cgroups; i++)
		if (strlen(m->cgroups[i].path) > CGROUP_PATH_MAX)
			return "the path of the cgroup is longer than 511 bytes";
	return NULL;
}

int ipt_rule_refuse(const struct zt_ruleset *rs, const struct zt_rule *rule, struct zt_diags *d)
{
	char buf[128];
	const char *why = reason(rule, buf);
	struct zt_span span = {.line = rule->line};

	if (!why)
		return 0;
	if (rule->file < rs->n_files)
		span.file = d ? zt_diags_intern(d, rs->files[rule->file]) : NULL;
	(void)zt_diag(d, ZT_ERROR, 3201, &span, "rule \"%s\": the iptables engine cannot express it: %s", rule->id,
		      why);
	return -ENOTSUP;
}
