/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What follows from rules about Unix sockets. A Unix socket that a rule names is closed to whom no rule allows; all others stay open, so that
 * no policy cuts a host off from its log, its message bus and its service manager. As rules, behind all others:
 *   1. unix-others: names that rules have are closed, whoever receives there;
 *   2. unix-system: sockets of the base system that root has bound stay open, also where rules name root's processes as receivers;
 *   3. unix-others: receivers that rules have without a name are closed.
 * A rule that names neither closes nothing. A rule that has expired still names.
 */
#include <string.h>

#include "base/mem.h"
#include "ruleset/compile.h"

enum { ALIKE_LOOKED_AT = 64, LAST_PRIORITY = 1000000 };

static const char *const system_names[] = {
	"/dev/log",
	"/run/dbus/system_bus_socket",
	"/run/nscd/socket",
	"/run/systemd/journal/dev-log",
	"/run/systemd/journal/socket",
	"/run/systemd/journal/stdout",
	"/run/systemd/notify",
	"/run/systemd/private",
	"/run/systemd/userdb/io.systemd.DynamicUser",
	"/run/systemd/userdb/io.systemd.Multiplexer",
	"/run/udev/control",
	"/var/run/dbus/system_bus_socket",
	"/var/run/nscd/socket",
};

bool zt_rule_follows(const struct zt_rule *r)
{
	return r->dir == ZT_DIR_UNIX && (!strcmp(r->id, ZT_RULE_UNIX_OTHERS) || !strcmp(r->id, ZT_RULE_UNIX_SYSTEM));
}

char *zt_unix_text(const struct zt_unix_names *l)
{
	ZT_STRBUF struct zt_strbuf b = {0};

	zt_unix_names_text(l, &b);
	return zt_strbuf_steal(&b);
}

static enum zt_verdict closed(const struct compile *c)
{
	if (c->p->settings.mode == ZT_MODE_OBSERVE)
		return ZT_OBSERVE;
	return c->p->settings.block == ZT_BLOCK_DROP ? ZT_DROP : ZT_REJECT;
}

/* Whether the last ones say the same already. Where they do not, saying it twice does no harm. */
static bool said(const struct zt_ruleset *rs, const struct zt_subject *to, const struct zt_unix_names *names)
{
	for (size_t i = rs->n_rules, looked = 0; i-- > 0 && looked < ALIKE_LOOKED_AT; looked++) {
		const struct zt_rule *r = &rs->rules[i];

		if (!zt_rule_follows(r))
			break;
		if (r->match.to == to && zt_unix_names_eq(&r->match.unix_names, names))
			return true;
	}
	return false;
}

static int add(struct compile *c, const struct zt_policy_rule *pr, const char *id, uint32_t part, enum zt_verdict v,
	       const struct zt_subject *to, const struct zt_unix_names *names)
{
	ZT_FREE char *text = zt_unix_text(names);
	struct zt_rule *r = zt_ruleset_add(c->rs);

	if (!r || !text)
		return -ENOMEM;
	r->part = part;
	r->dir = ZT_DIR_UNIX;
	r->verdict = v;
	r->file = zt_compile_file(c, pr);
	r->line = pr->span.line;
	r->priority = LAST_PRIORITY;
	r->match.families = ZT_FAMILY_4 | ZT_FAMILY_6;
	r->match.to = to;
	r->id = zt_strdup(id);
	r->from_text = zt_strdup("*");
	r->to_text = to && !names->n ? zt_asprintf("%s at %s", to->text, text) : ZT_TAKE(text);
	return r->id && r->from_text && r->to_text ? zt_unix_names_copy(&r->match.unix_names, names) : -ENOMEM;
}

static bool closes(const struct compile *c)
{
	return c->p->settings.def[ZT_DIR_EGRESS] == ZT_DEFAULT_DENY;
}

static int close_to_others(struct compile *c, const struct zt_policy_rule *pr, const struct zt_subject *to)
{
	if (said(c->rs, to, &pr->unix_names))
		return 0;
	return add(c, pr, ZT_RULE_UNIX_OTHERS, c->n_closed++, closed(c), to, &pr->unix_names);
}

int zt_compile_unix_names(struct compile *c, const struct zt_policy_rule *pr)
{
	return closes(c) && pr->unix_names.n ? close_to_others(c, pr, NULL) : 0;
}

static int keep_system_open(struct compile *c, const struct zt_policy_rule *pr)
{
	struct zt_u32_range zero = {0, 0};
	struct zt_subject root = {.text = (char[]){"root"}, .uid = {.v = &zero, .n = 1}};
	ZT_CLEANUP(zt_unix_names_done) struct zt_unix_names names = {0};
	const struct zt_subject *to;
	int r = zt_ruleset_subject(c->rs, &root, &to);

	for (size_t i = 0; !r && i < ZT_ARRAY_SIZE(system_names); i++)
		r = zt_unix_names_add(&names, system_names[i]);
	c->system_open = true;
	return r ?: add(c, pr, ZT_RULE_UNIX_SYSTEM, 0, ZT_ALLOW, to, &names);
}

/* The receivers of the rule as it was compiled, or those of one that has expired. */
static int receivers(struct compile *c, const struct zt_policy_rule *pr, size_t n_rules)
{
	bool found = false;
	int r = 0;

	for (size_t i = 0; !r && i < n_rules; i++)
		if (!strcmp(c->rs->rules[i].id, pr->name) && c->rs->rules[i].match.to) {
			found = true;
			r = close_to_others(c, pr, c->rs->rules[i].match.to);
		}
	for (size_t i = 0; !r && !found && i < pr->to.n_whos; i++) {
		struct zt_rule scratch = {0};

		if (!pr->to.whos[i].any)
			r = zt_compile_receiver(c, pr, &pr->to.whos[i], &scratch)
				    ?: close_to_others(c, pr, scratch.match.to);
	}
	return r;
}

static bool names_a_receiver(const struct zt_policy_rule *pr)
{
	for (size_t i = 0; i < pr->to.n_whos; i++)
		if (!pr->to.whos[i].any)
			return true;
	return false;
}

int zt_compile_unix_receivers(struct compile *c, const struct zt_policy_rule *pr)
{
	int r = 0;

	if (!closes(c) || pr->unix_names.n || !names_a_receiver(pr))
		return 0;
	if (!c->n_own)
		c->n_own = c->rs->n_rules;
	if (!c->system_open)
		r = keep_system_open(c, pr);
	return r ?: receivers(c, pr, c->n_own);
}
