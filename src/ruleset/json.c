/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "ruleset/json_subject.h"

/* Numbers above 2^53 (cgroup ids, times) fit: jansson keeps 64-bit integers. Ranges are text: "1000", "1000-1999", "10.0.0.0/8". */

/* JSON holds UTF-8 only, and names of files are whatever the file system holds. */
static json_t *text_out(const char *s)
{
	ZT_STRBUF struct zt_strbuf b = {0};

	if (zt_utf8_valid(s, strlen(s)))
		return json_string(s);
	zt_strbuf_escaped(&b, s, strlen(s));
	return zt_strbuf_error(&b) ? NULL : json_string(zt_strbuf_cstr(&b));
}

json_t *zt_json_numbers(const struct zt_u32_ranges *l)
{
	json_t *a = json_array();

	for (size_t i = 0; a && i < l->n; i++) {
		char text[32];

		(void)snprintf(text, sizeof(text), l->v[i].lo == l->v[i].hi ? "%u" : "%u-%u", l->v[i].lo, l->v[i].hi);
		if (json_array_append_new(a, json_string(text)) < 0) {
			json_decref(a);
			return NULL;
		}
	}
	return a;
}

static json_t *addrs_out(const struct zt_addr_ranges *l)
{
	json_t *a = json_array();

	for (size_t i = 0; a && i < l->n; i++) {
		char text[128];

		zt_addr_range_format(&l->v[i], text);
		if (json_array_append_new(a, json_string(text)) < 0) {
			json_decref(a);
			return NULL;
		}
	}
	return a;
}

json_t *zt_json_cgroups(const struct zt_cgroup *v, size_t n)
{
	json_t *a = json_array();

	for (size_t i = 0; a && i < n; i++)
		if (json_array_append_new(a, json_pack("{s:s, s:I, s:i}", "path", v[i].path, "id", (json_int_t)v[i].id,
						       "level", (int)v[i].level)) < 0) {
			json_decref(a);
			return NULL;
		}
	return a;
}

static json_t *names_out(const struct zt_unix_names *l)
{
	json_t *a = json_array();

	for (size_t i = 0; a && i < l->n; i++)
		if (json_array_append_new(a, json_string(l->v[i])) < 0) {
			json_decref(a);
			return NULL;
		}
	return a;
}

static json_t *windows_out(const struct zt_rule *r)
{
	json_t *a = json_array();

	for (size_t i = 0; a && i < r->n_windows; i++)
		if (json_array_append_new(a, json_pack("[i,i]", (int)r->windows[i].start, (int)r->windows[i].end)) <
		    0) {
			json_decref(a);
			return NULL;
		}
	return a;
}

/* Adds value under key unless it is an empty list; takes value. */
int zt_json_put_list(json_t *o, const char *key, json_t *value)
{
	if (!value)
		return -ENOMEM;
	if (!json_array_size(value)) {
		json_decref(value);
		return 0;
	}
	return json_object_set_new(o, key, value) < 0 ? -ENOMEM : 0;
}

static int match_out(json_t *o, const struct zt_match *m)
{
	return zt_json_put_list(o, "uid", zt_json_numbers(&m->uid)) ?: zt_json_put_list(o, "gid", zt_json_numbers(&m->gid)) ?:
	       zt_json_put_list(o, "cgroup", zt_json_cgroups(m->cgroups, m->n_cgroups)) ?: zt_json_put_list(o, "src4", addrs_out(&m->src4)) ?:
	       zt_json_put_list(o, "src6", addrs_out(&m->src6)) ?: zt_json_put_list(o, "dst4", addrs_out(&m->dst4)) ?:
	       zt_json_put_list(o, "dst6", addrs_out(&m->dst6)) ?: zt_json_put_list(o, "protocol", zt_json_numbers(&m->proto)) ?:
	       zt_json_put_list(o, "port", zt_json_numbers(&m->port)) ?: zt_json_put_list(o, "unix", names_out(&m->unix_names));
}

static json_t *rule_out(const struct zt_rule *r)
{
	json_t *o = json_pack("{s:s, s:i, s:s, s:s, s:b, s:i, s:i, s:i, s:s, s:s, s:i}", "id", r->id, "part",
			      (int)r->part, "direction", zt_direction_name(r->dir), "verdict",
			      zt_verdict_name(r->verdict), "log", r->log, "families", (int)r->match.families, "file",
			      (int)r->file, "line", (int)r->line, "from", r->from_text ? r->from_text : "", "to",
			      r->to_text ? r->to_text : "", "priority", (int)r->priority);
	int e = o ? match_out(o, &r->match) : -ENOMEM;

	if (!e && r->match.from && json_object_set_new(o, "sender", json_integer(r->match.from->index)) < 0)
		e = -ENOMEM;
	if (!e && r->match.to && json_object_set_new(o, "receiver", json_integer(r->match.to->index)) < 0)
		e = -ENOMEM;
	if (!e)
		e = zt_json_put_list(o, "windows", windows_out(r));
	if (!e && r->expires && json_object_set_new(o, "expires", json_integer((json_int_t)r->expires)) < 0)
		e = -ENOMEM;
	if (e < 0) {
		json_decref(o);
		return NULL;
	}
	return o;
}

static json_t *settings_out(const struct zt_settings *s)
{
	json_t *o = json_pack("{s:[i,i,i], s:i, s:i, s:i, s:b, s:b, s:b, s:s, s:i, s:i}", "default", s->def[0],
			      s->def[1], s->def[2], "mode", s->mode, "block", s->block, "loopback", s->loopback,
			      "log_blocked", s->log_blocked, "preserve_ssh", s->preserve_ssh, "preserve_established",
			      s->preserve_established, "log_prefix", s->log_prefix, "log_limit", (int)s->log_limit,
			      "log_limit_per", (int)s->log_limit_per);

	if (o && ((s->mark_mask && json_object_set_new(o, "mark_mask", json_integer(s->mark_mask)) < 0) ||
		  (s->socket_passing && json_object_set_new(o, "socket_passing", json_true()) < 0))) {
		json_decref(o);
		return NULL;
	}
	return o;
}

int zt_ruleset_to_json(const struct zt_ruleset *rs, json_t **ret)
{
	json_t *files = json_array(), *rules = json_array(), *o;
	int e = files && rules ? 0 : -ENOMEM;

	for (size_t i = 0; !e && i < rs->n_files; i++)
		e = json_array_append_new(files, text_out(rs->files[i])) < 0 ? -ENOMEM : 0;
	for (size_t i = 0; !e && i < rs->n_rules; i++)
		e = json_array_append_new(rules, rule_out(&rs->rules[i])) < 0 ? -ENOMEM : 0;
	if (e < 0) {
		json_decref(files);
		json_decref(rules);
		return e;
	}
	o = json_pack("{s:i, s:s, s:I, s:s, s:o, s:o, s:o, s:o, s:o}", "format", 1, "instance", rs->instance,
		      "generation", (json_int_t)rs->generation, "hash", rs->hash, "policy", text_out(rs->policy_name),
		      "files", files, "settings", settings_out(&rs->settings), "ssh_ports",
		      zt_json_numbers(&rs->ssh_ports), "rules", rules);
	if (!o)
		return -ENOMEM;
	if ((rs->n_subjects && json_object_set_new(o, "subjects", zt_subjects_to_json(rs)) < 0) ||
	    (rs->n_accounts && json_object_set_new(o, "accounts", zt_accounts_to_json(rs)) < 0)) {
		json_decref(o);
		return -ENOMEM;
	}
	*ret = o;
	return 0;
}

/* ---- back ---- */
int zt_json_numbers_in(const json_t *a, uint32_t max, struct zt_u32_ranges *ret)
{
	int e = 0;

	for (size_t i = 0; !e && i < json_array_size(a); i++) {
		const char *text = json_string_value(json_array_get(a, i)), *dash = text ? strchr(text, '-') : NULL;
		ZT_FREE char *first = text ? zt_strndup(text, dash ? (size_t)(dash - text) : strlen(text)) : NULL;
		uint64_t lo = 0, hi = 0;

		if (!text || !first || zt_parse_u64(first, max, &lo) < 0 ||
		    (dash && zt_parse_u64(dash + 1, max, &hi) < 0))
			return -EINVAL;
		hi = dash ? hi : lo;
		e = lo > hi ? -EINVAL : zt_u32_ranges_add(ret, (uint32_t)lo, (uint32_t)hi);
	}
	zt_u32_ranges_normalise(ret);
	return e;
}

static int addrs_in(const json_t *a, uint8_t family, struct zt_addr_ranges *ret)
{
	int e = 0;

	for (size_t i = 0; !e && i < json_array_size(a); i++) {
		const char *text = json_string_value(json_array_get(a, i));
		struct zt_addr_range r;

		if (!text || zt_addr_range_parse(text, &r, NULL) < 0 || r.lo.family != family)
			return -EINVAL;
		e = zt_addr_ranges_add(ret, &r);
	}
	zt_addr_ranges_normalise(ret);
	return e;
}

int zt_json_cgroups_in(const json_t *a, struct zt_cgroup **ret, size_t *ret_n)
{
	size_t n = json_array_size(a);

	if (n && !(*ret = zt_new(struct zt_cgroup, n)))
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const json_t *o = json_array_get(a, i);
		const char *path = json_string_value(json_object_get(o, "path"));
		json_int_t level = json_integer_value(json_object_get(o, "level"));

		if (!path || !*path || strpbrk(path, "\"\n") || level < 0 || level > 255)
			return -EINVAL;
		(*ret)[i] = (struct zt_cgroup){.path = zt_strdup(path),
					       .id = (uint64_t)json_integer_value(json_object_get(o, "id")),
					       .level = (uint32_t)level};
		*ret_n = i + 1;
		if (!(*ret)[i].path)
			return -ENOMEM;
	}
	return 0;
}

/* A list that is empty, no list, or under a key we do not know would silently mean "everything". */
static bool rule_keys_ok(json_t *o)
{
	static const char *const lists[] = {"uid",  "gid",	"cgroup", "src4",    "src6", "dst4",
					    "dst6", "protocol", "port",	  "windows", "unix"};
	static const char *const others[] = {"id",	 "part",     "direction", "verdict", "log",
					     "families", "file",     "line",	  "from",    "to",
					     "expires",	 "priority", "sender",	  "receiver"};
	const char *key;
	json_t *v;

	json_object_foreach (o, key, v) {
		bool known = false;

		for (size_t i = 0; i < ZT_ARRAY_SIZE(lists); i++)
			known = known || (!strcmp(key, lists[i]) && json_array_size(v));
		for (size_t i = 0; i < ZT_ARRAY_SIZE(others); i++)
			known = known || !strcmp(key, others[i]);
		if (!known)
			return false;
	}
	return true;
}

static int names_in(const json_t *a, struct zt_unix_names *ret)
{
	int e = 0;

	for (size_t i = 0; !e && i < json_array_size(a); i++) {
		const char *text = json_string_value(json_array_get(a, i));

		if (!text || !zt_unix_name_valid(text) || i == ZT_UNIX_NAMES_MAX)
			return -EINVAL;
		e = zt_unix_names_add(ret, text);
	}
	return e;
}

static int match_in(const json_t *o, struct zt_match *m)
{
	json_int_t families = json_integer_value(json_object_get(o, "families"));

	if (families < 1 || families > 3)
		return -EINVAL;
	m->families = (uint8_t)families;
	return zt_json_numbers_in(json_object_get(o, "uid"), UINT32_MAX, &m->uid) ?: zt_json_numbers_in(json_object_get(o, "gid"), UINT32_MAX, &m->gid) ?:
	       zt_json_cgroups_in(json_object_get(o, "cgroup"), &m->cgroups, &m->n_cgroups) ?: addrs_in(json_object_get(o, "src4"), 4, &m->src4) ?:
	       addrs_in(json_object_get(o, "src6"), 6, &m->src6) ?: addrs_in(json_object_get(o, "dst4"), 4, &m->dst4) ?:
	       addrs_in(json_object_get(o, "dst6"), 6, &m->dst6) ?: zt_json_numbers_in(json_object_get(o, "protocol"), 255, &m->proto) ?:
	       zt_json_numbers_in(json_object_get(o, "port"), 65535, &m->port) ?: names_in(json_object_get(o, "unix"), &m->unix_names);
}

static int windows_in(const json_t *a, struct zt_rule *r)
{
	size_t n = json_array_size(a);

	if (n && !(r->windows = zt_new(struct zt_window, n)))
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		json_int_t start = json_integer_value(json_array_get(json_array_get(a, i), 0));
		json_int_t end = json_integer_value(json_array_get(json_array_get(a, i), 1));

		if (start < 0 || end <= start || end > 604800)
			return -EINVAL;
		r->windows[r->n_windows++] = (struct zt_window){(uint32_t)start, (uint32_t)end};
	}
	return 0;
}

static int word_in(const json_t *o, const char *key, const char *(*name)(int), int n, int *ret)
{
	const char *text = json_string_value(json_object_get(o, key));

	for (int i = 0; text && i < n; i++)
		if (!strcmp(text, name(i))) {
			*ret = i;
			return 0;
		}
	return -EINVAL;
}

static const char *direction_at(int i)
{
	return zt_direction_name((enum zt_direction)i);
}

static const char *verdict_at(int i)
{
	return zt_verdict_name((enum zt_verdict)i);
}

static int string_in(const json_t *o, const char *key, char **ret)
{
	const char *text = json_string_value(json_object_get(o, key));

	if (!text)
		return -EINVAL;
	free(*ret);
	*ret = zt_strdup(text);
	return *ret ? 0 : -ENOMEM;
}

static bool valid_id(const char *id)
{
	size_t len = strlen(id);

	for (const char *p = id; *p; p++)
		if (*p < 0x20 || *p >= 0x7f || *p == '"' || *p == '\\' || *p == ';')
			return false;
	return len && len <= 64;
}

static bool valid_prefix(const char *s)
{
	size_t len = strlen(s);

	for (const char *p = s; *p; p++)
		if (*p < 0x20 || *p >= 0x7f || *p == '"' || *p == '\\')
			return false;
	return len <= 60;
}

static bool valid_instance(const char *s)
{
	size_t len = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return len && len <= 16 && !s[len];
}

static int u32_in(const json_t *o, const char *key, uint32_t *ret)
{
	json_int_t n = json_integer_value(json_object_get(o, key));

	if (n < 0 || n > UINT32_MAX)
		return -EINVAL;
	*ret = (uint32_t)n;
	return 0;
}

static int bool_in(const json_t *o, const char *key, bool *ret)
{
	const json_t *v = json_object_get(o, key);

	*ret = json_is_true(v);
	return json_is_boolean(v) ? 0 : -EINVAL;
}

/* Unix sockets have names and nothing else; nobody else has. */
static bool unix_only(const struct zt_rule *r)
{
	const struct zt_match *m = &r->match;

	return r->dir == ZT_DIR_UNIX ? m->families == (ZT_FAMILY_4 | ZT_FAMILY_6) && !m->src4.n && !m->src6.n &&
					       !m->dst4.n && !m->dst6.n && !m->proto.n && !m->port.n
				     : !m->unix_names.n;
}

static int rule_in(json_t *o, const struct zt_ruleset *rs, struct zt_rule *r)
{
	int dir = 0, verdict = 0, e = rule_keys_ok(o) ? string_in(o, "id", &r->id) : -EINVAL;

	e = e ?: word_in(o, "direction", direction_at, 4, &dir) ?: word_in(o, "verdict", verdict_at, 4, &verdict);
	if (e < 0 || !valid_id(r->id) || json_integer_value(json_object_get(o, "expires")) < 0)
		return e ?: -EINVAL;
	r->dir = (enum zt_direction)dir;
	r->verdict = (enum zt_verdict)verdict;
	r->priority = (int32_t)json_integer_value(json_object_get(o, "priority")); /* stored before it was kept: 0 */
	r->expires = (zt_usec)json_integer_value(json_object_get(o, "expires"));
	e = u32_in(o, "part", &r->part) ?: u32_in(o, "file", &r->file) ?: u32_in(o, "line", &r->line) ?: bool_in(o, "log", &r->log);
	e = e ?: match_in(o, &r->match) ?: zt_subject_at(o, "sender", rs, &r->match.from) ?: zt_subject_at(o, "receiver", rs, &r->match.to);
	if (!e && !unix_only(r))
		e = -EINVAL;
	return e ?: windows_in(json_object_get(o, "windows"), r) ?: string_in(o, "from", &r->from_text) ?:
	       string_in(o, "to", &r->to_text);
}

static int number_in(const json_t *o, const char *key, int max, int *ret)
{
	const json_t *v = json_object_get(o, key);
	json_int_t n = json_integer_value(v);

	if (!json_is_integer(v) || n < 0 || n > max)
		return -EINVAL;
	*ret = (int)n;
	return 0;
}

static int settings_in(const json_t *o, struct zt_settings *s)
{
	const json_t *def = json_object_get(o, "default");
	json_int_t mask = json_integer_value(json_object_get(o, "mark_mask"));
	int mode = 0, block = 0, loopback = 0, limit = 0, per = 0, e;

	e = number_in(o, "mode", 1, &mode) ?: number_in(o, "block", 1, &block) ?: number_in(o, "loopback", 2, &loopback) ?:
	    number_in(o, "log_limit", 1000000, &limit) ?: number_in(o, "log_limit_per", 3, &per) ?: string_in(o, "log_prefix", &s->log_prefix);
	e = e ?: bool_in(o, "log_blocked", &s->log_blocked) ?: bool_in(o, "preserve_ssh", &s->preserve_ssh) ?:
	    bool_in(o, "preserve_established", &s->preserve_established);
	if (e < 0 || json_array_size(def) != 3 || !valid_prefix(s->log_prefix) || (mask && !zt_mark_mask_valid(mask)))
		return e ?: -EINVAL;
	s->mark_mask = (uint32_t)mask;
	s->socket_passing = json_is_true(json_object_get(o, "socket_passing"));
	for (size_t i = 0; i < 3; i++) {
		json_int_t v = json_integer_value(json_array_get(def, i));

		if (!json_is_integer(json_array_get(def, i)) || v < ZT_DEFAULT_DENY || v > ZT_DEFAULT_ALLOW)
			return -EINVAL;
		s->def[i] = (enum zt_default)v;
	}
	s->mode = (enum zt_mode)mode;
	s->block = (enum zt_block)block;
	s->loopback = (enum zt_loopback)loopback;
	s->log_limit = (uint32_t)limit;
	s->log_limit_per = per;
	return 0;
}

static int files_in(const json_t *a, struct zt_ruleset *rs)
{
	size_t n = json_array_size(a);

	if (n && !(rs->files = zt_new(char *, n)))
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(a, i));

		if (!text)
			return -EINVAL;
		rs->files[i] = zt_strdup(text);
		if (!rs->files[i])
			return -ENOMEM;
		rs->n_files = i + 1;
	}
	return 0;
}

int zt_ruleset_head_in(const json_t *j, struct zt_ruleset *rs)
{
	int format = 0, e = number_in(j, "format", 1, &format) ?: string_in(j, "instance", &rs->instance);

	e = e ?: string_in(j, "policy", &rs->policy_name) ?: settings_in(json_object_get(j, "settings"), &rs->settings);
	e = e ?: zt_json_numbers_in(json_object_get(j, "ssh_ports"), 65535, &rs->ssh_ports) ?: files_in(json_object_get(j, "files"), rs);
	if (e < 0 || format != 1 || !json_is_array(json_object_get(j, "rules")) || !valid_instance(rs->instance) ||
	    json_integer_value(json_object_get(j, "generation")) < 0)
		return e ?: -EINVAL;
	rs->generation = (uint64_t)json_integer_value(json_object_get(j, "generation"));
	return zt_subjects_from_json(json_object_get(j, "subjects"), rs)
		       ?: zt_accounts_from_json(json_object_get(j, "accounts"), rs);
}

int zt_ruleset_rules_in(const json_t *rules, struct zt_ruleset *rs)
{
	int e = 0;

	for (size_t i = 0; !e && i < json_array_size(rules); i++)
		e = zt_ruleset_rule_in(json_array_get(rules, i), rs);
	return e;
}

int zt_ruleset_rule_in(json_t *o, struct zt_ruleset *rs)
{
	struct zt_rule *r = zt_ruleset_add(rs);

	return r ? rule_in(o, rs, r) : -ENOMEM;
}

int zt_ruleset_in_done(int e, struct zt_ruleset **rs, struct zt_ruleset **ret, struct zt_diags *d)
{
	e = e ?: zt_ruleset_rehash(*rs);
	if (e == -EINVAL)
		return zt_diag(d, ZT_ERROR, 2003, NULL, "not a ruleset in JSON form, or a damaged one");
	if (!e)
		*ret = ZT_TAKE(*rs);
	return e;
}

int zt_ruleset_from_json(json_t *j, struct zt_ruleset **ret, struct zt_diags *d)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	int e = zt_ruleset_new(&rs);

	e = e ?: zt_ruleset_head_in(j, rs) ?: zt_ruleset_rules_in(json_object_get(j, "rules"), rs);
	return zt_ruleset_in_done(e, &rs, ret, d);
}
