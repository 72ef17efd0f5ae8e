/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <string.h>

#include "engine/iptables/iptables.h"

/*
 * Records end with "|", fields are separated by ";"; every other byte than letters, digits and ._/:,+@- is written %XX. Ranges are
 * "lo-hi," each.
 *   zt1;instance;generation;hash      first, and all there is in IPv6
 *   s;def0;def1;def2;mode;block;loopback;log;ssh;established;limit;per;prefix;ssh-ports;policy
 *   f;file
 *   r;id;part;dir;verdict;log;file;line;expires;families;uid;gid;cgroups;src4;src6;dst4;dst6;proto;port;windows
 */
enum { SET_FIELDS = 15, RULE_FIELDS = 20 };

static void put_text(struct zt_strbuf *out, const char *s)
{
	for (; *s; s++) {
		bool plain = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') ||
			     strchr("._/:,+@-", *s);

		zt_strbuf_printf(out, plain ? "%c" : "%%%02X", (uint8_t)*s);
	}
}

static void field(struct zt_strbuf *out, const char *s)
{
	zt_strbuf_char(out, ';');
	put_text(out, s);
}

static void number(struct zt_strbuf *out, uint64_t v)
{
	zt_strbuf_printf(out, ";%llu", (unsigned long long)v);
}

static void numbers(struct zt_strbuf *out, const struct zt_u32_ranges *l)
{
	zt_strbuf_char(out, ';');
	for (size_t i = 0; i < l->n; i++)
		zt_strbuf_printf(out, "%u-%u,", l->v[i].lo, l->v[i].hi);
}

static void addrs(struct zt_strbuf *out, const struct zt_addr_ranges *l)
{
	char text[128];

	zt_strbuf_char(out, ';');
	for (size_t i = 0; i < l->n; i++) {
		zt_addr_range_format(&l->v[i], text);
		zt_strbuf_printf(out, "%s,", text);
	}
}

static void cgroups(struct zt_strbuf *out, const struct zt_match *m)
{
	zt_strbuf_char(out, ';');
	for (size_t i = 0; i < m->n_cgroups; i++) {
		ZT_STRBUF struct zt_strbuf path = {0};

		zt_strbuf_printf(out, "%llu+%u+", (unsigned long long)m->cgroups[i].id, m->cgroups[i].level);
		put_text(&path, m->cgroups[i].path);
		for (const char *p = zt_strbuf_cstr(&path); *p; p++) {
			if (*p == ',')
				zt_strbuf_str(out, "%2C");
			else
				zt_strbuf_char(out, *p);
		}
		zt_strbuf_char(out, ',');
		if (zt_strbuf_error(&path) < 0)
			out->failed = true;
	}
}

static void put_rule(struct zt_strbuf *out, const struct zt_rule *r)
{
	const struct zt_match *m = &r->match;

	zt_strbuf_char(out, 'r');
	field(out, r->id);
	number(out, r->part);
	number(out, r->dir);
	number(out, r->verdict);
	number(out, r->log);
	number(out, r->file);
	number(out, r->line);
	number(out, r->expires);
	number(out, m->families);
	numbers(out, &m->uid);
	numbers(out, &m->gid);
	cgroups(out, m);
	addrs(out, &m->src4);
	addrs(out, &m->src6);
	addrs(out, &m->dst4);
	addrs(out, &m->dst6);
	numbers(out, &m->proto);
	numbers(out, &m->port);
	zt_strbuf_char(out, ';');
	for (size_t i = 0; i < r->n_windows; i++)
		zt_strbuf_printf(out, "%u-%u,", r->windows[i].start, r->windows[i].end);
	zt_strbuf_char(out, '|');
}

static void put_settings(struct zt_strbuf *out, const struct zt_ruleset *rs)
{
	const struct zt_settings *s = &rs->settings;

	zt_strbuf_printf(out, "s;%d;%d;%d;%d;%d;%d;%d;%d;%d;%u;%d", s->def[0], s->def[1], s->def[2], s->mode, s->block,
			 s->loopback, s->log_blocked, s->preserve_ssh, s->preserve_established, s->log_limit,
			 s->log_limit_per);
	field(out, s->log_prefix);
	numbers(out, &rs->ssh_ports);
	field(out, rs->policy_name);
	if (s->mark_mask || s->socket_passing)
		zt_strbuf_printf(out, ";%u", s->mark_mask);
	if (s->socket_passing)
		zt_strbuf_str(out, ";1");
	zt_strbuf_char(out, '|');
}

int ipt_meta_make(const struct zt_ruleset *rs, bool whole, struct zt_strbuf *out)
{
	zt_strbuf_str(out, "zt1");
	field(out, rs->instance);
	number(out, rs->generation);
	field(out, rs->hash);
	zt_strbuf_char(out, '|');
	if (!whole)
		return zt_strbuf_error(out);
	put_settings(out, rs);
	for (size_t i = 0; i < rs->n_files; i++) {
		zt_strbuf_char(out, 'f');
		field(out, rs->files[i]);
		zt_strbuf_char(out, '|');
	}
	for (size_t i = 0; i < rs->n_rules; i++)
		put_rule(out, &rs->rules[i]);
	return zt_strbuf_error(out);
}

/* ---- back ---- */
static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int get_text(const char *s, char **ret)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	char *text;

	for (; *s; s++) {
		int hi = *s == '%' ? hex(s[1]) : 0, lo = *s == '%' && hi >= 0 ? hex(s[2]) : 0;

		if (hi < 0 || lo < 0 || (*s == '%' && !hi && !lo))
			return -EUCLEAN;
		zt_strbuf_char(&b, *s == '%' ? (char)(hi << 4 | lo) : *s);
		if (*s == '%')
			s += 2;
	}
	text = zt_strbuf_steal(&b);
	if (!text)
		return -ENOMEM;
	free(*ret);
	*ret = text;
	return 0;
}

static int get_u64(const char *s, uint64_t max, uint64_t *ret)
{
	return zt_parse_u64(s, max, ret) < 0 ? -EUCLEAN : 0;
}

static int get_u32(const char *s, uint32_t max, uint32_t *ret)
{
	uint64_t v = 0;
	int r = get_u64(s, max, &v);

	if (!r)
		*ret = (uint32_t)v;
	return r;
}

/* Cuts the next "…," off *p; NULL at the end. */
static char *next_item(char **p)
{
	char *item = *p, *comma = strchr(item, ',');

	if (!comma)
		return NULL;
	*comma = '\0';
	*p = comma + 1;
	return item;
}

static int get_range(char *item, uint32_t *lo, uint32_t *hi)
{
	char *dash = strchr(item, '-');

	if (!dash)
		return -EUCLEAN;
	*dash = '\0';
	return get_u32(item, UINT32_MAX, lo) < 0 || get_u32(dash + 1, UINT32_MAX, hi) < 0 || *lo > *hi ? -EUCLEAN : 0;
}

static int get_numbers(char *s, struct zt_u32_ranges *ret)
{
	uint32_t lo = 0, hi = 0;
	char *item;
	int r = 0;

	while (!r && (item = next_item(&s)))
		r = get_range(item, &lo, &hi) ?: zt_u32_ranges_add(ret, lo, hi);
	return r;
}

static int get_addrs(char *s, struct zt_addr_ranges *ret)
{
	struct zt_addr_range range;
	char *item;
	int r = 0;

	while (!r && (item = next_item(&s)))
		r = zt_addr_range_parse(item, &range, NULL) < 0 ? -EUCLEAN : zt_addr_ranges_add(ret, &range);
	return r;
}

static int get_cgroup(char *item, struct zt_cgroup *c)
{
	char *level = strchr(item, '+'), *path = level ? strchr(level + 1, '+') : NULL;
	int r;

	if (!path)
		return -EUCLEAN;
	*level++ = '\0';
	*path++ = '\0';
	r = get_u64(item, UINT64_MAX, &c->id);
	return r ?: get_u32(level, UINT32_MAX, &c->level) ?: get_text(path, &c->path);
}

static int get_cgroups(char *s, struct zt_match *m)
{
	char *item;
	int r = 0;

	while (!r && (item = next_item(&s))) {
		struct zt_cgroup *grown = zt_realloc(m->cgroups, (m->n_cgroups + 1) * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		m->cgroups = grown;
		grown[m->n_cgroups] = (struct zt_cgroup){0};
		r = get_cgroup(item, &grown[m->n_cgroups++]);
	}
	return r;
}

static int get_windows(char *s, struct zt_rule *rule)
{
	char *item;
	int r = 0;

	while (!r && (item = next_item(&s))) {
		struct zt_window *grown = zt_realloc(rule->windows, (rule->n_windows + 1) * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		rule->windows = grown;
		r = get_range(item, &grown[rule->n_windows].start, &grown[rule->n_windows].end);
		rule->n_windows++;
	}
	return r;
}

static int get_rule(char **f, size_t n, struct zt_ruleset *rs)
{
	struct zt_rule *rule = n == RULE_FIELDS ? zt_ruleset_add(rs) : NULL;
	uint32_t dir = 0, verdict = 0, log = 0, families = 0;
	struct zt_match *m;
	int r;

	if (!rule)
		return n == RULE_FIELDS ? -ENOMEM : -EUCLEAN;
	m = &rule->match;
	r = get_text(f[1], &rule->id) ?: get_u32(f[2], UINT32_MAX, &rule->part) ?: get_u32(f[3], ZT_DIR_FORWARD, &dir);
	r = r ?: get_u32(f[4], ZT_OBSERVE, &verdict) ?: get_u32(f[5], 1, &log) ?: get_u32(f[6], UINT32_MAX, &rule->file);
	r = r ?: get_u32(f[7], UINT32_MAX, &rule->line) ?: get_u64(f[8], UINT64_MAX, &rule->expires) ?: get_u32(f[9], 3, &families);
	r = r ?: get_numbers(f[10], &m->uid) ?: get_numbers(f[11], &m->gid) ?: get_cgroups(f[12], m);
	r = r ?: get_addrs(f[13], &m->src4) ?: get_addrs(f[14], &m->src6) ?: get_addrs(f[15], &m->dst4);
	r = r ?: get_addrs(f[16], &m->dst6) ?: get_numbers(f[17], &m->proto) ?: get_numbers(f[18], &m->port);
	r = r ?: get_windows(f[19], rule);
	rule->dir = (enum zt_direction)dir;
	rule->verdict = (enum zt_verdict)verdict;
	rule->log = log != 0;
	m->families = (uint8_t)families;
	return r;
}

static int get_settings(char **f, size_t n, struct zt_ruleset *rs)
{
	static const uint32_t max[] = {1, 1, 1, 1, 1, 2, 1, 1, 1, UINT32_MAX, ZT_PER_DAY};
	struct zt_settings *s = &rs->settings;
	uint32_t v[ZT_ARRAY_SIZE(max)] = {0};
	uint32_t passing = 0;
	int r = n < SET_FIELDS || n > SET_FIELDS + 2 ? -EUCLEAN : 0;

	if (!r && n > SET_FIELDS)
		r = get_u32(f[SET_FIELDS], UINT32_MAX, &s->mark_mask);
	if (!r && n > SET_FIELDS + 1)
		r = get_u32(f[SET_FIELDS + 1], 1, &passing);
	s->socket_passing = passing;

	for (size_t i = 0; !r && i < ZT_ARRAY_SIZE(max); i++)
		r = get_u32(f[i + 1], max[i], &v[i]);
	if (r < 0)
		return r;
	for (int i = 0; i < 3; i++)
		s->def[i] = (enum zt_default)v[i];
	s->mode = (enum zt_mode)v[3];
	s->block = (enum zt_block)v[4];
	s->loopback = (enum zt_loopback)v[5];
	s->log_blocked = v[6] != 0;
	s->preserve_ssh = v[7] != 0;
	s->preserve_established = v[8] != 0;
	s->log_limit = v[9];
	s->log_limit_per = v[10];
	return get_text(f[12], &s->log_prefix) ?: get_numbers(f[13], &rs->ssh_ports) ?: get_text(f[14], &rs->policy_name);
}

static int get_head(char **f, size_t n, struct zt_ruleset *rs)
{
	if (n != 4 || strlen(f[3]) != sizeof(rs->hash) - 1 || f[3][strspn(f[3], "0123456789abcdef")])
		return -EUCLEAN;
	memcpy(rs->hash, f[3], strlen(f[3]) + 1);
	return get_text(f[1], &rs->instance) ?: get_u64(f[2], UINT64_MAX, &rs->generation);
}

static int get_file(char **f, size_t n, struct zt_ruleset *rs)
{
	char **grown = n == 2 ? zt_realloc(rs->files, (rs->n_files + 1) * sizeof(*grown)) : NULL;

	if (!grown)
		return n == 2 ? -ENOMEM : -EUCLEAN;
	rs->files = grown;
	grown[rs->n_files] = NULL;
	return get_text(f[1], &grown[rs->n_files++]);
}

static int get_record(char *record, bool first, struct zt_ruleset *rs)
{
	char *f[RULE_FIELDS + 1];
	size_t n = 0;

	for (char *p = record; p && n < ZT_ARRAY_SIZE(f); n++) {
		f[n] = p;
		p = strchr(p, ';');
		if (p)
			*p++ = '\0';
	}
	if (first)
		return !strcmp(f[0], "zt1") ? get_head(f, n, rs) : -EUCLEAN;
	if (!strcmp(f[0], "s"))
		return get_settings(f, n, rs);
	if (!strcmp(f[0], "f"))
		return get_file(f, n, rs);
	return !strcmp(f[0], "r") ? get_rule(f, n, rs) : -EUCLEAN;
}

int ipt_meta_parse(const char *text, struct zt_ruleset *rs)
{
	ZT_FREE char *copy = zt_strdup(text);
	bool first = true;
	int r = copy ? 0 : -ENOMEM;

	for (char *p = copy; !r && *p; first = false) {
		char *end = strchr(p, '|');

		if (!end)
			return -EUCLEAN;
		*end = '\0';
		r = get_record(p, first, rs);
		p = end + 1;
	}
	return r ? r : first ? -EUCLEAN : 0;
}
