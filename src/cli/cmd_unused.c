/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rules that nothing used, and what would do in place of those that are wider than what was seen. */
#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "cli/seenflows.h"
#include "identity/identity.h"

struct look {
	struct zt_cli *c;
	struct zt_journal *j;
	struct zt_addr_ranges own;
	struct zt_seen_list seen;
	struct zt_ruleset *rs;
	bool live; /* rs is what the kernel enforces: there are counters */
	struct zt_counters counters;
	struct zt_uses uses;
};

static void look_done(struct look *k)
{
	zt_uses_done(&k->uses);
	zt_counters_done(&k->counters);
	zt_ruleset_free(k->rs);
	zt_seen_list_done(&k->seen);
	zt_addr_ranges_done(&k->own);
	zt_journal_close(k->j);
}

/* Lines and names are not in the kernel: where the stored generation has the same rules, those are taken. */
static void take_texts(struct look *k)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *stored = NULL;
	struct zt_apply_ctx ctx = zt_cli_apply_ctx(k->c);
	ZT_FREE char *source = NULL;
	size_t len = 0;

	if (zt_generation_load(&ctx, k->rs->generation, &stored, &source, &len, NULL) < 0 ||
	    strcmp(stored->hash, k->rs->hash) != 0 || stored->n_rules != k->rs->n_rules)
		return;
	zt_ruleset_free(k->rs);
	k->rs = ZT_TAKE(stored);
}

static int read_rules(struct look *k)
{
	struct zt_cli *c = k->c;
	bool observes = false;
	int r, code;

	if (c->args.n_pos || zt_opt(c, CONFIG))
		return zt_cli_compile_file(c, zt_cli_policy_path(c), &k->rs, &observes);
	code = zt_cli_engine(c);
	code = code ? code : zt_cli_raise(c, &k->rs);
	if (code == ZT_EXIT_INACTIVE)
		return zt_cli_error(c, code, 5016, "name a policy: \"zt-segment unused FILE\"", "nothing is enforced");
	if (code)
		return code;
	k->live = true;
	r = c->engine->counters(k->rs, &k->counters);
	if (r < 0)
		return zt_cli_fail(c, r);
	take_texts(k);
	return 0;
}

/* Of all parts of a rule, since it was put in force. */
static uint64_t packets(const struct look *k, const struct zt_rule_use *u)
{
	uint64_t n = 0;

	for (size_t i = 0; i < u->n_parts && u->rule->seq - 1 + i < k->counters.n_rules; i++)
		n += k->counters.rule[u->rule->seq - 1 + i].packets;
	return n;
}

static bool unused(const struct look *k, const struct zt_rule_use *u)
{
	return !u->keys && !packets(k, u);
}

/* ---- the tighter form ---- */
static void numbers(const struct zt_u32_ranges *l, bool users, struct zt_strbuf *out)
{
	for (size_t i = 0; i < l->n; i++) {
		ZT_FREE char *name = users ? zt_user_name(l->v[i].lo) : NULL;

		zt_strbuf_str(out, i ? "," : "");
		if (name)
			zt_strbuf_escaped(out, name, strlen(name));
		else
			zt_strbuf_u64(out, l->v[i].lo);
	}
}

static void protocols(const struct zt_u32_ranges *l, struct zt_strbuf *out)
{
	for (size_t i = 0; i < l->n; i++) {
		const char *name = l->v[i].lo == l->v[i].hi ? zt_proto_name((uint8_t)l->v[i].lo) : NULL;

		zt_strbuf_str(out, i ? "," : "");
		if (name)
			zt_strbuf_str(out, name);
		else
			zt_strbuf_u64(out, l->v[i].lo);
		if (l->v[i].lo != l->v[i].hi)
			zt_strbuf_printf(out, "-%u", l->v[i].hi);
	}
}

static void hosts(const struct zt_addr_ranges *l, struct zt_strbuf *out)
{
	const char *comma = "";
	bool local = false;
	char text[64];

	for (size_t i = 0; i < l->n; i++) {
		bool loopback = zt_addr_is_loopback(&l->v[i].lo);

		if (loopback && local)
			continue;
		zt_addr_format(&l->v[i].lo, text);
		zt_strbuf_printf(out, "%s%s", comma, loopback ? "localhost" : text);
		local = local || loopback;
		comma = ",";
	}
}

static void was_or_any(const char *key, const char *was, struct zt_strbuf *out)
{
	zt_strbuf_printf(out, "%s%s %s -> ", out->len ? "\n" : "", key, *was ? was : "any");
}

static void tighter(const struct zt_rule_use *u, struct zt_strbuf *out)
{
	unsigned what = zt_use_tighter(u);
	const struct zt_match *m = &u->rule->match;
	ZT_STRBUF struct zt_strbuf port = {0}, uid = {0}, host = {0}, proto = {0};

	zt_u32_ranges_text(&m->port, &port);
	zt_u32_ranges_text(&m->uid, &uid);
	protocols(&m->proto, &proto);
	zt_rule_hosts(u->rule, u->rule->dir == ZT_DIR_INGRESS, &host);
	if (what & ZT_TIGHTER_USERS) {
		was_or_any("user", zt_strbuf_cstr(&uid), out);
		numbers(&u->uids, true, out);
	}
	if (what & ZT_TIGHTER_HOSTS) {
		was_or_any("host", zt_strbuf_cstr(&host), out);
		hosts(&u->hosts, out);
	}
	if (what & ZT_TIGHTER_PROTOS) {
		was_or_any("protocol", zt_strbuf_cstr(&proto), out);
		protocols(&u->protos, out);
	}
	if (what & ZT_TIGHTER_PORTS) {
		was_or_any("port", zt_strbuf_cstr(&port), out);
		numbers(&u->ports, false, out);
	}
}

/* ---- what is said ---- */
static void print_rule(const struct look *k, const struct zt_rule_use *u)
{
	ZT_STRBUF struct zt_strbuf form = {0}, place = {0};
	char count[32], last[32], text[32];

	tighter(u, &form);
	if (!unused(k, u) && !form.len && !k->c->verbose)
		return;
	zt_rule_place(k->rs, u->rule, &place);
	zt_format_thousands(u->count, count);
	zt_time_format(u->last, last);
	fprintf(k->c->out, "%s (%s): ", u->rule->id, zt_strbuf_cstr(&place));
	if (u->count)
		fprintf(k->c->out, "seen %s%s, last %s", u->count == 1 ? "once" : count, u->count == 1 ? "" : " times",
			last);
	else if (u->keys)
		fprintf(k->c->out, "open already, closed %s", last);
	else
		fputs(unused(k, u) ? "unused" : "seen never", k->c->out);
	if (k->live && packets(k, u)) {
		zt_format_thousands(packets(k, u), text);
		fprintf(k->c->out, ", %s packets", text);
	}
	fputc('\n', k->c->out);
	if (form.len) {
		fprintf(k->c->out, "  tighter:\n");
		zt_cli_wrap(k->c->out, form.buf, 4, k->c->width);
	}
}

static int report(const struct look *k, size_t n_unused, size_t n_tighter)
{
	struct zt_cli *c = k->c;

	for (size_t i = 0; i < k->uses.n; i++)
		print_rule(k, &k->uses.v[i]);
	if (!c->quiet)
		fprintf(c->out, "%zu of %zu rules unused; %zu could be tighter.\n", n_unused, k->uses.n, n_tighter);
	zt_cli_say_blind(c, k->rs, &k->seen);
	return 0;
}

static json_t *tighter_json(const struct zt_rule_use *u)
{
	ZT_STRBUF struct zt_strbuf form = {0};
	json_t *a = json_array();

	tighter(u, &form);
	for (char *rest = form.buf, *line; rest && (line = strsep(&rest, "\n"));)
		(void)json_array_append_new(a, zt_json_text(line)); /* one that fails is left out */
	return a;
}

static json_t *use_json(const struct look *k, const struct zt_rule_use *u)
{
	ZT_STRBUF struct zt_strbuf place = {0};
	char first[32], last[32];

	zt_rule_place(k->rs, u->rule, &place);
	zt_time_format(u->first, first);
	zt_time_format(u->last, last);
	return json_pack("{s:s, s:o, s:b, s:I, s:o, s:s?, s:s?, s:o}", "rule", u->rule->id, "place",
			 zt_json_text(zt_strbuf_cstr(&place)), "unused", (int)unused(k, u), "seen",
			 (json_int_t)u->count, "packets",
			 k->live ? json_integer((json_int_t)packets(k, u)) : json_null(), "first",
			 u->keys ? first : NULL, "last", u->keys ? last : NULL, "tighter", tighter_json(u));
}

static int report_json(const struct look *k)
{
	json_t *a = json_array();

	for (size_t i = 0; i < k->uses.n; i++)
		(void)json_array_append_new(a, use_json(k, &k->uses.v[i])); /* one that fails is left out */
	return zt_cli_json(k->c, json_pack("{s:o}", "rules", a));
}

int zt_cmd_unused(struct zt_cli *c)
{
	ZT_CLEANUP(look_done) struct look k = {.c = c};
	size_t n_unused = 0, n_tighter = 0;
	zt_usec since;
	int r, code = zt_cli_since(c, "30d", &since);

	code = code ? code : zt_cli_journal(c, &k.j);
	code = code ? code : read_rules(&k);
	code = code ? code : zt_cli_seen(c, k.j, since, 0, &k.own, &k.seen);
	code = code ? code : zt_cli_say_lacking(c, k.j, since, ZT_FLOW_KINDS);
	if (code)
		return code;
	r = zt_uses_make(&k.seen, k.rs, &k.uses);
	if (r < 0)
		return zt_cli_fail(c, r);
	zt_cli_flush_diags(c);
	for (size_t i = 0; i < k.uses.n; i++) {
		n_unused += unused(&k, &k.uses.v[i]);
		n_tighter += zt_use_tighter(&k.uses.v[i]) != 0;
	}
	code = c->json ? report_json(&k) : report(&k, n_unused, n_tighter);
	return code ? code : n_unused || n_tighter ? ZT_EXIT_FAILED : ZT_EXIT_OK;
}
