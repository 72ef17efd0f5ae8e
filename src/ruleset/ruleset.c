/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ruleset/ruleset.h"

#include <string.h>

#include "base/file.h"
#include "base/mem.h"

static void rule_done(struct zt_rule *r)
{
	free(r->id);
	free(r->windows);
	free(r->from_text);
	free(r->to_text);
	zt_match_done(&r->match);
}

void zt_ruleset_free(struct zt_ruleset *rs)
{
	if (!rs)
		return;
	for (size_t i = 0; i < rs->n_rules; i++)
		rule_done(&rs->rules[i]);
	for (size_t i = 0; i < rs->n_files; i++)
		free(rs->files[i]);
	for (size_t i = 0; i < rs->n_subjects; i++) {
		zt_subject_done(rs->subjects[i]);
		free(rs->subjects[i]);
	}
	zt_account_names_free(rs->accounts, rs->n_accounts);
	free(rs->subjects);
	free(rs->rules);
	free(rs->files);
	free(rs->instance);
	free(rs->policy_name);
	free(rs->settings.log_prefix);
	zt_u32_ranges_done(&rs->ssh_ports);
	free(rs);
}

void zt_ruleset_freep(struct zt_ruleset **rs)
{
	zt_ruleset_free(*rs);
	*rs = NULL;
}

int zt_ruleset_new(struct zt_ruleset **ret)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = zt_new(struct zt_ruleset, 1);

	if (!rs)
		return -ENOMEM;
	rs->settings = (struct zt_settings){.log_blocked = true,
					    .preserve_ssh = true,
					    .preserve_established = true,
					    .log_limit = 10,
					    .log_limit_per = ZT_PER_SECOND};
	rs->settings.log_prefix = zt_strdup("ZT-BLOCKED: ");
	rs->instance = zt_strdup("default");
	rs->policy_name = zt_strdup("");
	if (!rs->settings.log_prefix || !rs->instance || !rs->policy_name)
		return -ENOMEM;
	*ret = ZT_TAKE(rs);
	return 0;
}

struct zt_rule *zt_ruleset_add(struct zt_ruleset *rs)
{
	struct zt_rule *r;

	if (zt_grow(rs->rules, rs->cap_rules, rs->n_rules) < 0)
		return NULL;
	r = &rs->rules[rs->n_rules++];
	memset(r, 0, sizeof(*r));
	r->seq = (uint32_t)rs->n_rules;
	return r;
}

/* ---- copies ---- */
static int copy_string(char **dst, const char *src)
{
	char *s = src ? zt_strdup(src) : NULL;

	if (src && !s)
		return -ENOMEM;
	free(*dst);
	*dst = s;
	return 0;
}

static int copy_match(struct zt_match *dst, const struct zt_match *src)
{
	int r = 0;

	dst->families = src->families;
	if (src->n_cgroups && !(dst->cgroups = zt_new(struct zt_cgroup, src->n_cgroups)))
		return -ENOMEM;
	for (size_t i = 0; i < src->n_cgroups; i++) {
		dst->cgroups[i] = (struct zt_cgroup){.id = src->cgroups[i].id, .level = src->cgroups[i].level};
		dst->cgroups[i].path = zt_strdup(src->cgroups[i].path);
		dst->n_cgroups = i + 1;
		if (!dst->cgroups[i].path)
			return -ENOMEM;
	}
	r = zt_u32_ranges_copy(&dst->uid, &src->uid) ?: zt_u32_ranges_copy(&dst->gid, &src->gid);
	r = r ?: zt_u32_ranges_copy(&dst->proto, &src->proto) ?: zt_u32_ranges_copy(&dst->port, &src->port);
	r = r ?: zt_addr_ranges_copy(&dst->src4, &src->src4) ?: zt_addr_ranges_copy(&dst->src6, &src->src6);
	r = r ?: zt_addr_ranges_copy(&dst->dst4, &src->dst4) ?: zt_addr_ranges_copy(&dst->dst6, &src->dst6);
	return r ?: zt_unix_names_copy(&dst->unix_names, &src->unix_names);
}

int zt_match_copy(struct zt_match *dst, const struct zt_match *src)
{
	dst->from = src->from;
	dst->to = src->to;
	return copy_match(dst, src);
}

static int copy_rule(struct zt_ruleset *rs, struct zt_rule *dst, const struct zt_rule *src)
{
	int r = copy_string(&dst->id, src->id);

	if (!r && src->match.from)
		r = zt_ruleset_subject(rs, src->match.from, &dst->match.from);
	if (!r && src->match.to)
		r = zt_ruleset_subject(rs, src->match.to, &dst->match.to);

	dst->part = src->part;
	dst->dir = src->dir;
	dst->verdict = src->verdict;
	dst->log = src->log;
	dst->file = src->file;
	dst->line = src->line;
	dst->priority = src->priority;
	dst->expires = src->expires;
	if (src->n_windows && !(dst->windows = zt_new(struct zt_window, src->n_windows)))
		return -ENOMEM;
	if (src->n_windows)
		memcpy(dst->windows, src->windows, src->n_windows * sizeof(*dst->windows));
	dst->n_windows = src->n_windows;
	r = r ?: copy_string(&dst->from_text, src->from_text) ?: copy_string(&dst->to_text, src->to_text);
	return r ?: copy_match(&dst->match, &src->match);
}

static int copy_head(struct zt_ruleset *dst, const struct zt_ruleset *src)
{
	char *prefix = dst->settings.log_prefix;
	int r;

	dst->settings = src->settings;
	dst->settings.log_prefix = prefix;
	dst->generation = src->generation;
	memcpy(dst->hash, src->hash, sizeof(dst->hash));
	r = copy_string(&dst->settings.log_prefix, src->settings.log_prefix)
		    ?: copy_string(&dst->instance, src->instance);
	r = r ?: copy_string(&dst->policy_name, src->policy_name) ?: zt_u32_ranges_copy(&dst->ssh_ports, &src->ssh_ports);
	if (!r && src->n_files && !(dst->files = zt_new(char *, src->n_files)))
		return -ENOMEM;
	for (size_t i = 0; !r && i < src->n_files; i++, dst->n_files++)
		r = copy_string(&dst->files[i], src->files[i]);
	return r ?: zt_account_names_copy(src->accounts, src->n_accounts, &dst->accounts, &dst->n_accounts);
}

int zt_ruleset_dup(const struct zt_ruleset *rs, struct zt_ruleset **ret)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *copy = NULL;
	int r = zt_ruleset_new(&copy);

	if (!r)
		r = copy_head(copy, rs);
	for (size_t i = 0; !r && i < rs->n_rules; i++) {
		struct zt_rule *rule = zt_ruleset_add(copy);

		r = rule ? copy_rule(copy, rule, &rs->rules[i]) : -ENOMEM;
	}
	if (!r)
		*ret = ZT_TAKE(copy);
	return r;
}

/* ---- canonical bytes ---- */
static void put_numbers(struct zt_strbuf *out, char key, const struct zt_u32_ranges *l)
{
	if (!l->n)
		return;
	zt_strbuf_char(out, key);
	for (size_t i = 0; i < l->n; i++) {
		zt_strbuf_u64(out, l->v[i].lo);
		zt_strbuf_char(out, '-');
		zt_strbuf_u64(out, l->v[i].hi);
		zt_strbuf_char(out, ',');
	}
}

static void put_addrs(struct zt_strbuf *out, char key, const struct zt_addr_ranges *l)
{
	if (!l->n)
		return;
	zt_strbuf_char(out, key);
	for (size_t i = 0; i < l->n; i++) {
		char text[128];

		zt_addr_range_format(&l->v[i], text);
		zt_strbuf_str(out, text);
		zt_strbuf_char(out, ',');
	}
}

static void put_cgroups(struct zt_strbuf *out, const struct zt_cgroup *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		zt_strbuf_printf(out, "c%llu:%s,", (unsigned long long)v[i].id, v[i].path);
}

static void put_exes(struct zt_strbuf *out, char key, const struct zt_exe *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		zt_strbuf_printf(out, "%c%llu:%llu:%lld.%u%s%s:%s,", key, (unsigned long long)v[i].id.dev,
				 (unsigned long long)v[i].id.ino, (long long)v[i].id.ctime_sec, v[i].id.ctime_nsec,
				 v[i].pinned ? "=" : ":", v[i].digest, v[i].path);
}

static void put_subject(struct zt_strbuf *out, char key, const struct zt_subject *s)
{
	if (!s)
		return;
	zt_strbuf_printf(out, "%c{", key);
	put_numbers(out, 'u', &s->uid);
	put_numbers(out, 'g', &s->gid);
	put_cgroups(out, s->cgroups, s->n_cgroups);
	put_exes(out, 'x', s->exes, s->n_exes);
	put_exes(out, 'y', s->parents, s->n_parents);
	zt_strbuf_char(out, '}');
}

static void put_rule(struct zt_strbuf *out, const struct zt_rule *r)
{
	const struct zt_match *m = &r->match;

	zt_strbuf_str(out, r->id);
	zt_strbuf_char(out, '\t');
	zt_strbuf_u64(out, r->part);
	zt_strbuf_char(out, '\t');
	zt_strbuf_str(out, zt_direction_name(r->dir));
	zt_strbuf_char(out, '\t');
	zt_strbuf_str(out, zt_verdict_name(r->verdict));
	zt_strbuf_str(out, r->log ? "+log\tf" : "\tf");
	zt_strbuf_u64(out, m->families);
	put_numbers(out, 'u', &m->uid);
	put_numbers(out, 'g', &m->gid);
	put_cgroups(out, m->cgroups, m->n_cgroups);
	put_subject(out, 'F', m->from);
	put_subject(out, 'T', m->to);
	put_addrs(out, 's', &m->src4);
	put_addrs(out, 'S', &m->src6);
	put_addrs(out, 'd', &m->dst4);
	put_addrs(out, 'D', &m->dst6);
	put_numbers(out, 'p', &m->proto);
	put_numbers(out, 't', &m->port);
	for (size_t i = 0; i < m->unix_names.n; i++)
		zt_strbuf_printf(out, "U%s,", m->unix_names.v[i]);
	for (size_t i = 0; i < r->n_windows; i++)
		zt_strbuf_printf(out, "w%u-%u", r->windows[i].start, r->windows[i].end);
	if (r->expires)
		zt_strbuf_printf(out, "e%llu", (unsigned long long)r->expires);
	zt_strbuf_char(out, '\n');
}

int zt_ruleset_canonical(const struct zt_ruleset *rs, struct zt_strbuf *out)
{
	const struct zt_settings *s = &rs->settings;

	zt_strbuf_printf(
		out,
		"zt-segment ruleset 1\ndefault %d %d %d mode %d block %d loopback %d log %d %u/%d ssh %d established %d\n",
		s->def[0], s->def[1], s->def[2], s->mode, s->block, s->loopback, s->log_blocked, s->log_limit,
		s->log_limit_per, s->preserve_ssh, s->preserve_established);
	zt_strbuf_printf(out, "prefix %s\n", s->log_prefix);
	if (s->mark_mask)
		zt_strbuf_printf(out, "marks %08x\n", s->mark_mask);
	if (s->socket_passing)
		zt_strbuf_str(out, "sockets may be passed\n");
	put_numbers(out, 'S', &rs->ssh_ports);
	zt_strbuf_char(out, '\n');
	for (size_t i = 0; i < rs->n_rules; i++)
		put_rule(out, &rs->rules[i]);
	return zt_strbuf_error(out);
}

bool zt_mark_mask_valid(int64_t mask)
{
	int64_t first = mask > 0 ? mask & -mask : 1, run = mask / first;

	return mask > 0 && mask <= UINT32_MAX && run >= 15 && !(run & (run + 1)) && run >> 1 < first;
}

int zt_ruleset_rehash(struct zt_ruleset *rs)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	int r = zt_ruleset_canonical(rs, &b);

	if (!r)
		zt_sha256_hex(b.buf, b.len, rs->hash);
	return r;
}

static bool has_subject(const struct zt_ruleset *rs, const struct zt_subject *s)
{
	for (size_t i = 0; i < rs->n_rules; i++)
		if (rs->rules[i].match.from == s || rs->rules[i].match.to == s)
			return true;
	return false;
}

static void drop_subjects(struct zt_ruleset *rs)
{
	size_t n = 0;

	for (size_t i = 0; i < rs->n_subjects; i++)
		if (has_subject(rs, rs->subjects[i])) {
			rs->subjects[n] = rs->subjects[i];
			rs->subjects[n]->index = (uint32_t)n;
			n++;
		} else {
			zt_subject_done(rs->subjects[i]);
			free(rs->subjects[i]);
		}
	rs->n_subjects = n;
}

int zt_ruleset_drop_unix(struct zt_ruleset *rs)
{
	size_t n = 0;

	for (size_t i = 0; i < rs->n_rules; i++)
		if (rs->rules[i].dir == ZT_DIR_UNIX)
			rule_done(&rs->rules[i]);
		else
			rs->rules[n++] = rs->rules[i];
	rs->n_rules = n;
	drop_subjects(rs);
	return zt_ruleset_rehash(rs);
}

zt_usec zt_expiry_clock(enum zt_verdict v, zt_usec wall, zt_usec steady)
{
	return v == ZT_ALLOW || v == ZT_OBSERVE ? ZT_MAX(wall, steady) : wall;
}

bool zt_rule_eq(const struct zt_rule *a, const struct zt_rule *b)
{
	return !strcmp(a->id, b->id) && a->part == b->part && a->dir == b->dir && a->verdict == b->verdict &&
	       a->log == b->log && a->expires == b->expires && a->n_windows == b->n_windows &&
	       (!a->n_windows || !memcmp(a->windows, b->windows, a->n_windows * sizeof(*a->windows))) &&
	       zt_match_eq(&a->match, &b->match);
}
