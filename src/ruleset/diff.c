/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/mem.h"
#include "ruleset/ruleset.h"

void zt_diff_done(struct zt_diff *d)
{
	free(d->items);
	free(d->settings_text);
	*d = (struct zt_diff){0};
}

bool zt_diff_empty(const struct zt_diff *d)
{
	return !d->n && !d->settings_changed;
}

static int add_item(struct zt_diff *d, enum zt_change change, const struct zt_rule *before, const struct zt_rule *after)
{
	int r = zt_grow(d->items, d->cap, d->n);

	if (!r)
		d->items[d->n++] = (struct zt_diff_item){change, before, after};
	return r;
}

static int compare_rules(const void *a, const void *b)
{
	const struct zt_rule *x = *(const struct zt_rule *const *)a, *y = *(const struct zt_rule *const *)b;
	int c = strcmp(x->id, y->id);

	return c ? c : x->part < y->part ? -1 : x->part > y->part;
}

static const struct zt_rule **sorted_rules(const struct zt_ruleset *rs)
{
	const struct zt_rule **v = zt_new(const struct zt_rule *, (rs ? rs->n_rules : 0) + 1);

	for (size_t i = 0; v && rs && i < rs->n_rules; i++)
		v[i] = &rs->rules[i];
	if (v && rs && rs->n_rules)
		qsort(v, rs->n_rules, sizeof(*v), compare_rules);
	return v;
}

static const struct zt_rule *find(const struct zt_rule *want, const struct zt_rule **v, size_t n)
{
	const struct zt_rule **found = n ? bsearch(&want, v, n, sizeof(*v), compare_rules) : NULL;

	return found ? *found : NULL;
}

/* Marks the longest run of rules that kept their order; places are 1-based, 0 = not there before. */
static int longest_in_order(const uint32_t *old, size_t n, bool *keep)
{
	ZT_FREE size_t *tail = zt_new(size_t, n + 1), *prev = zt_new(size_t, n + 1);
	size_t len = 0;

	if (!tail || !prev)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		size_t lo = 0, hi = len;

		while (old[i] && lo < hi) {
			size_t mid = (lo + hi) / 2;

			if (old[tail[mid]] < old[i])
				lo = mid + 1;
			else
				hi = mid;
		}
		if (!old[i])
			continue;
		prev[i] = lo ? tail[lo - 1] : n;
		tail[lo] = i;
		len = ZT_MAX(len, lo + 1);
	}
	for (size_t i = len ? tail[len - 1] : n; i < n; i = prev[i])
		keep[i] = true;
	return 0;
}

static int diff_rules(const struct zt_ruleset *before, const struct zt_ruleset *after, struct zt_diff *d)
{
	size_t n_before = before ? before->n_rules : 0;
	ZT_FREE const struct zt_rule **old = sorted_rules(before), **new = sorted_rules(after);
	ZT_FREE uint32_t *places = zt_new(uint32_t, after->n_rules + 1);
	ZT_FREE bool *keep = zt_new(bool, after->n_rules + 1);
	int r = old && new &&places &&keep ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < n_before; i++)
		if (!find(&before->rules[i], new, after->n_rules))
			r = add_item(d, ZT_REMOVED, &before->rules[i], NULL);
	for (size_t i = 0; !r && i < after->n_rules; i++) {
		const struct zt_rule *was = find(&after->rules[i], old, n_before);

		places[i] = was ? (uint32_t)(was - before->rules) + 1 : 0;
	}
	if (!r)
		r = longest_in_order(places, after->n_rules, keep);
	for (size_t i = 0; !r && i < after->n_rules; i++) {
		const struct zt_rule *now = &after->rules[i], *was = places[i] ? &before->rules[places[i] - 1] : NULL;

		if (!was)
			r = add_item(d, ZT_ADDED, NULL, now);
		else if (!zt_rule_eq(was, now))
			r = add_item(d, ZT_CHANGED, was, now);
		else if (!keep[i])
			r = add_item(d, ZT_MOVED, was, now);
	}
	return r;
}

/* ---- settings ---- */
static void say(struct zt_strbuf *out, const char *key, const char *before, const char *after)
{
	if (!strcmp(before, after))
		return;
	zt_strbuf_printf(out, "%s%s: %s -> %s", out->len ? ", " : "", key, before, after);
}

static const char *yes(bool v)
{
	return v ? "true" : "false";
}

static void say_ports(struct zt_strbuf *out, const struct zt_u32_ranges *l)
{
	for (size_t i = 0; i < l->n; i++)
		zt_strbuf_printf(out, l->v[i].lo == l->v[i].hi ? "%s%u" : "%s%u-%u", i ? "," : "", l->v[i].lo,
				 l->v[i].hi);
	if (!l->n)
		zt_strbuf_str(out, "none");
}

static int diff_settings(const struct zt_ruleset *a, const struct zt_ruleset *b, struct zt_diff *d)
{
	static const char *const def[] = {"deny", "allow"}, *const mode[] = {"enforce", "observe"},
				 *const block[] = {"reject", "drop"};
	static const char *const loopback[] = {"enforce", "observe", "allow"}, *const unit[] = {"second", "minute",
												"hour", "day"};
	const struct zt_settings *x = &a->settings, *y = &b->settings;
	ZT_STRBUF struct zt_strbuf out = {0}, p = {0}, q = {0};
	char limit_a[40], limit_b[40];

	for (int i = 0; i < 3; i++) {
		char key[40];

		(void)snprintf(key, sizeof(key), "default_policy.%s", zt_direction_name((enum zt_direction)i));
		say(&out, key, def[x->def[i]], def[y->def[i]]);
	}
	(void)snprintf(limit_a, sizeof(limit_a), "%u/%s", x->log_limit, unit[x->log_limit_per]);
	(void)snprintf(limit_b, sizeof(limit_b), "%u/%s", y->log_limit, unit[y->log_limit_per]);
	say_ports(&p, &a->ssh_ports);
	say_ports(&q, &b->ssh_ports);
	say(&out, "mode", mode[x->mode], mode[y->mode]);
	say(&out, "block", block[x->block], block[y->block]);
	say(&out, "loopback", loopback[x->loopback], loopback[y->loopback]);
	say(&out, "log_blocked", yes(x->log_blocked), yes(y->log_blocked));
	say(&out, "log_prefix", x->log_prefix, y->log_prefix);
	say(&out, "log_limit", limit_a, limit_b);
	say(&out, "preserve_ssh", yes(x->preserve_ssh), yes(y->preserve_ssh));
	say(&out, "preserve_established", yes(x->preserve_established), yes(y->preserve_established));
	(void)snprintf(limit_a, sizeof(limit_a), "%08x", x->mark_mask ?: 0xffff0000u);
	(void)snprintf(limit_b, sizeof(limit_b), "%08x", y->mark_mask ?: 0xffff0000u);
	say(&out, "mark_bits", limit_a, limit_b);
	say(&out, "socket_passing", def[x->socket_passing], def[y->socket_passing]);
	say(&out, "ssh ports", zt_strbuf_cstr(&p), zt_strbuf_cstr(&q));
	if (zt_strbuf_error(&p) || zt_strbuf_error(&q) || zt_strbuf_error(&out))
		return -ENOMEM;
	d->settings_changed = out.len > 0;
	d->settings_text = out.len ? zt_strbuf_steal(&out) : NULL;
	return d->settings_changed && !d->settings_text ? -ENOMEM : 0;
}

int zt_ruleset_diff(const struct zt_ruleset *before, const struct zt_ruleset *after, struct zt_diff *ret)
{
	ZT_CLEANUP(zt_diff_done) struct zt_diff d = {0};
	int r = diff_rules(before, after, &d);

	if (!r && before)
		r = diff_settings(before, after, &d);
	if (!r && !before) {
		d.settings_changed = true;
		d.settings_text = zt_strdup("nothing is active now");
		r = d.settings_text ? 0 : -ENOMEM;
	}
	if (r < 0)
		return r;
	*ret = d;
	d = (struct zt_diff){0};
	return 0;
}

/* ---- one rule as a line ---- */
static void text_numbers(struct zt_strbuf *out, const char *before, const struct zt_u32_ranges *l)
{
	if (!l->n)
		return;
	zt_strbuf_printf(out, "%s", before);
	say_ports(out, l);
}

static void text_addrs(struct zt_strbuf *out, const struct zt_match *m, bool src)
{
	const struct zt_addr_ranges *lists[] = {src ? &m->src4 : &m->dst4, src ? &m->src6 : &m->dst6};
	size_t n = 0;

	for (size_t k = 0; k < 2; k++)
		for (size_t i = 0; i < lists[k]->n; i++) {
			char text[128];

			zt_addr_range_format(&lists[k]->v[i], text);
			zt_strbuf_printf(out, "%s%s", n++ ? "," : " ", text);
		}
	if (!n)
		zt_strbuf_str(out, " *");
}

static void text_proto(struct zt_strbuf *out, const struct zt_match *m)
{
	for (size_t i = 0; i < m->proto.n; i++) {
		const char *name = m->proto.v[i].lo == m->proto.v[i].hi ? zt_proto_name((uint8_t)m->proto.v[i].lo)
									: NULL;

		if (name)
			zt_strbuf_printf(out, "%s%s", i ? "," : " ", name);
		else
			zt_strbuf_printf(out, m->proto.v[i].lo == m->proto.v[i].hi ? "%s%u" : "%s%u-%u", i ? "," : " ",
					 m->proto.v[i].lo, m->proto.v[i].hi);
	}
	text_numbers(out, "/", &m->port);
}

static void text_who(struct zt_strbuf *out, const struct zt_u32_ranges *uid, const struct zt_u32_ranges *gid,
		     const struct zt_cgroup *cgroups, size_t n)
{
	text_numbers(out, " uid ", uid);
	text_numbers(out, " gid ", gid);
	for (size_t i = 0; i < n; i++)
		zt_strbuf_printf(out, "%s%s", i ? "," : " cgroup ", cgroups[i].path);
}

static void text_exes(struct zt_strbuf *out, const char *before, const struct zt_exe *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		zt_strbuf_printf(out, "%s%s", i ? "," : before, v[i].path);
}

static void text_subject(struct zt_strbuf *out, const struct zt_subject *s)
{
	text_who(out, &s->uid, &s->gid, s->cgroups, s->n_cgroups);
	text_exes(out, " exe ", s->exes, s->n_exes);
	text_exes(out, " parent ", s->parents, s->n_parents);
}

int zt_rule_text(const struct zt_ruleset *rs, const struct zt_rule *r, struct zt_strbuf *out)
{
	const struct zt_match *m = &r->match;

	(void)rs;
	zt_strbuf_printf(out, "%s %s:", zt_verdict_name(r->verdict), r->id);
	if (r->dir != ZT_DIR_EGRESS)
		zt_strbuf_printf(out, " %s", zt_direction_name(r->dir));
	if (m->from)
		text_subject(out, m->from);
	else
		text_who(out, &m->uid, &m->gid, m->cgroups, m->n_cgroups);
	if (m->src4.n || m->src6.n || (r->dir != ZT_DIR_EGRESS && r->dir != ZT_DIR_UNIX) ||
	    (!m->uid.n && !m->gid.n && !m->n_cgroups && !m->from))
		text_addrs(out, m, true);
	zt_strbuf_str(out, " ->");
	if (m->to)
		text_subject(out, m->to);
	if (r->dir == ZT_DIR_UNIX)
		zt_strbuf_char(out, ' ');
	if (r->dir == ZT_DIR_UNIX)
		zt_unix_names_text(&m->unix_names, out);
	else
		text_addrs(out, m, false);
	text_proto(out, m);
	if (m->families == ZT_FAMILY_4 && !m->src4.n && !m->dst4.n)
		zt_strbuf_str(out, " (IPv4)");
	if (m->families == ZT_FAMILY_6 && !m->src6.n && !m->dst6.n)
		zt_strbuf_str(out, " (IPv6)");
	if (r->n_windows)
		zt_strbuf_str(out, " (scheduled)");
	if (r->expires) {
		char iso[32];

		zt_time_format(r->expires, iso);
		zt_strbuf_printf(out, " (until %s)", iso);
	}
	if (r->log)
		zt_strbuf_str(out, " log");
	return zt_strbuf_error(out);
}
