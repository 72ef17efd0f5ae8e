/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "ruleset/json_subject.h"

/* The bytes of zt_ruleset_to_json(), written straight out: 100,000 rules as a tree of objects cost a second and 300 MiB. */

static void put_text(struct zt_strbuf *out, const char *key, const char *s)
{
	zt_strbuf_str(out, key);
	zt_strbuf_json(out, s);
}

/* Names of files are whatever the file system holds, JSON is UTF-8. */
static void put_name(struct zt_strbuf *out, const char *key, const char *s)
{
	ZT_STRBUF struct zt_strbuf b = {0};

	if (!zt_utf8_valid(s, strlen(s))) {
		zt_strbuf_escaped(&b, s, strlen(s));
		out->failed = out->failed || b.failed;
		s = zt_strbuf_cstr(&b);
	}
	put_text(out, key, s);
}

static void put_number(struct zt_strbuf *out, const char *key, int64_t v)
{
	zt_strbuf_str(out, key);
	if (v < 0)
		zt_strbuf_char(out, '-');
	zt_strbuf_u64(out, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

static void put_bool(struct zt_strbuf *out, const char *key, bool v)
{
	zt_strbuf_str(out, key);
	zt_strbuf_str(out, v ? "true" : "false");
}

static void put_ranges(struct zt_strbuf *out, const char *key, const struct zt_u32_ranges *l)
{
	zt_strbuf_str(out, key);
	for (size_t i = 0; i < l->n; i++) {
		zt_strbuf_str(out, i ? ",\"" : "[\"");
		zt_strbuf_u64(out, l->v[i].lo);
		if (l->v[i].lo != l->v[i].hi) {
			zt_strbuf_char(out, '-');
			zt_strbuf_u64(out, l->v[i].hi);
		}
		zt_strbuf_char(out, '"');
	}
	zt_strbuf_str(out, l->n ? "]" : "[]");
}

static void put_numbers(struct zt_strbuf *out, const char *key, const struct zt_u32_ranges *l)
{
	if (l->n)
		put_ranges(out, key, l);
}

static void put_addrs(struct zt_strbuf *out, const char *key, const struct zt_addr_ranges *l)
{
	if (!l->n)
		return;
	zt_strbuf_str(out, key);
	for (size_t i = 0; i < l->n; i++) {
		char text[128];

		zt_addr_range_format(&l->v[i], text);
		zt_strbuf_str(out, i ? ",\"" : "[\"");
		zt_strbuf_str(out, text);
		zt_strbuf_char(out, '"');
	}
	zt_strbuf_char(out, ']');
}

static void put_cgroups(struct zt_strbuf *out, const struct zt_match *m)
{
	for (size_t i = 0; i < m->n_cgroups; i++) {
		put_text(out, i ? ",{\"path\":" : ",\"cgroup\":[{\"path\":", m->cgroups[i].path);
		put_number(out, ",\"id\":", (int64_t)m->cgroups[i].id);
		put_number(out, ",\"level\":", (int)m->cgroups[i].level);
		zt_strbuf_char(out, '}');
	}
	if (m->n_cgroups)
		zt_strbuf_char(out, ']');
}

static void put_rule(struct zt_strbuf *out, const struct zt_rule *r)
{
	const struct zt_match *m = &r->match;

	put_text(out, "{\"id\":", r->id);
	put_number(out, ",\"part\":", (int)r->part);
	put_text(out, ",\"direction\":", zt_direction_name(r->dir));
	put_text(out, ",\"verdict\":", zt_verdict_name(r->verdict));
	put_bool(out, ",\"log\":", r->log);
	put_number(out, ",\"families\":", m->families);
	put_number(out, ",\"file\":", (int)r->file);
	put_number(out, ",\"line\":", (int)r->line);
	put_text(out, ",\"from\":", r->from_text ? r->from_text : "");
	put_text(out, ",\"to\":", r->to_text ? r->to_text : "");
	put_number(out, ",\"priority\":", r->priority);
	put_numbers(out, ",\"uid\":", &m->uid);
	put_numbers(out, ",\"gid\":", &m->gid);
	put_cgroups(out, m);
	put_addrs(out, ",\"src4\":", &m->src4);
	put_addrs(out, ",\"src6\":", &m->src6);
	put_addrs(out, ",\"dst4\":", &m->dst4);
	put_addrs(out, ",\"dst6\":", &m->dst6);
	put_numbers(out, ",\"protocol\":", &m->proto);
	put_numbers(out, ",\"port\":", &m->port);
	for (size_t i = 0; i < m->unix_names.n; i++)
		put_text(out, i ? "," : ",\"unix\":[", m->unix_names.v[i]);
	if (m->unix_names.n)
		zt_strbuf_char(out, ']');
	if (m->from)
		put_number(out, ",\"sender\":", m->from->index);
	if (m->to)
		put_number(out, ",\"receiver\":", m->to->index);
	for (size_t i = 0; i < r->n_windows; i++) {
		put_number(out, i ? ",[" : ",\"windows\":[[", (int)r->windows[i].start);
		put_number(out, ",", (int)r->windows[i].end);
		zt_strbuf_str(out, i + 1 < r->n_windows ? "]" : "]]");
	}
	if (r->expires)
		put_number(out, ",\"expires\":", (int64_t)r->expires);
	zt_strbuf_char(out, '}');
}

static void put_settings(struct zt_strbuf *out, const struct zt_settings *s)
{
	zt_strbuf_printf(out, ",\"settings\":{\"default\":[%d,%d,%d],\"mode\":%d,\"block\":%d,\"loopback\":%d",
			 s->def[0], s->def[1], s->def[2], s->mode, s->block, s->loopback);
	put_bool(out, ",\"log_blocked\":", s->log_blocked);
	put_bool(out, ",\"preserve_ssh\":", s->preserve_ssh);
	put_bool(out, ",\"preserve_established\":", s->preserve_established);
	put_text(out, ",\"log_prefix\":", s->log_prefix);
	put_number(out, ",\"log_limit\":", (int)s->log_limit);
	put_number(out, ",\"log_limit_per\":", (int)s->log_limit_per);
	if (s->mark_mask)
		put_number(out, ",\"mark_mask\":", s->mark_mask);
	if (s->socket_passing)
		put_bool(out, ",\"socket_passing\":", true);
	zt_strbuf_char(out, '}');
}

/* There are few. */
static int put_list(struct zt_strbuf *out, const char *key, json_t *a)
{
	char *text = a ? json_dumps(a, JSON_COMPACT) : NULL;

	json_decref(a);
	if (text)
		zt_strbuf_printf(out, ",\"%s\":%s", key, text);
	free(text);
	return text ? 0 : -ENOMEM;
}

int zt_ruleset_json_text(const struct zt_ruleset *rs, struct zt_strbuf *out)
{
	size_t begin = out->len;

	put_text(out, "{\"format\":1,\"instance\":", rs->instance);
	put_number(out, ",\"generation\":", (int64_t)rs->generation);
	put_text(out, ",\"hash\":", rs->hash);
	put_name(out, ",\"policy\":", rs->policy_name);
	zt_strbuf_str(out, ",\"files\":[");
	for (size_t i = 0; i < rs->n_files; i++)
		put_name(out, i ? "," : "", rs->files[i]);
	zt_strbuf_char(out, ']');
	put_settings(out, &rs->settings);
	put_ranges(out, ",\"ssh_ports\":", &rs->ssh_ports);
	zt_strbuf_str(out, ",\"rules\":[");
	for (size_t i = 0; i < rs->n_rules; i++) {
		if (i)
			zt_strbuf_char(out, ',');
		put_rule(out, &rs->rules[i]);
	}
	zt_strbuf_char(out, ']');
	if ((rs->n_subjects && put_list(out, "subjects", zt_subjects_to_json(rs)) < 0) ||
	    (rs->n_accounts && put_list(out, "accounts", zt_accounts_to_json(rs)) < 0))
		return -ENOMEM;
	zt_strbuf_char(out, '}');
	if (zt_strbuf_error(out))
		return -ENOMEM;
	return zt_utf8_valid(out->buf + begin, out->len - begin) ? 0 : -EINVAL;
}
