/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/seenflows.h"

#include <jansson.h>
#include <string.h>

#include "base/proc.h"

static int take(const struct zt_journal_flow *f, void *arg)
{
	return zt_seen_add(arg, &f->who, f->count, f->bytes_sent + f->bytes_received, f->first, f->last);
}

int zt_cli_seen(struct zt_cli *c, struct zt_journal *j, zt_usec since, zt_usec until, struct zt_addr_ranges *own,
		struct zt_seen_list *ret)
{
	struct zt_journal_query q = {.since = since, .until = until};
	struct zt_seen_list l = {.netns = zt_netns_is_initial() ? 0 : zt_netns_cookie(), .own = own};
	int r = own->n ? 0 : zt_own_addresses(own);

	r = r ?: zt_journal_flows(j, &q, true, take, &l);
	r = r ?: zt_seen_ready(&l, zt_opt(c, ROOT));
	if (r < 0) {
		zt_seen_list_done(&l);
		return zt_cli_fail(c, r);
	}
	*ret = l;
	return 0;
}

/* ---- flows for people ---- */
static void who_text(const struct zt_seen_who *w, struct zt_strbuf *out)
{
	if (*w->user)
		zt_strbuf_escaped(out, w->user, strlen(w->user));
	else if (w->has_uid)
		zt_strbuf_printf(out, "UID %u", w->uid);
	else
		zt_strbuf_str(out, "a socket without owner");
	if (*w->exe) {
		zt_strbuf_char(out, ' ');
		zt_strbuf_escaped(out, w->exe, strlen(w->exe));
	}
	if (*w->service || *w->container) {
		const char *in = *w->service ? w->service : w->container;

		zt_strbuf_str(out, " in ");
		zt_strbuf_escaped(out, in, strlen(in));
	}
}

static void end_text(const struct zt_seen *s, struct zt_strbuf *out)
{
	const char *proto = zt_proto_name(s->proto);
	char text[64];

	zt_addr_format(&s->remote, text);
	if (s->dir == ZT_DIR_INGRESS && s->port)
		zt_strbuf_printf(out, ":%u", s->port);
	else if (s->dir == ZT_DIR_INGRESS)
		zt_strbuf_str(out, "this host");
	else if (s->port)
		zt_strbuf_printf(out, s->remote.family == 6 ? "[%s]:%u" : "%s:%u", text, s->port);
	else
		zt_strbuf_str(out, text);
	if (proto)
		zt_strbuf_printf(out, "/%s", proto);
	else
		zt_strbuf_printf(out, "/%u", s->proto);
}

void zt_seen_text(const struct zt_seen *s, struct zt_strbuf *out)
{
	bool egress = s->dir == ZT_DIR_EGRESS;
	char text[64];

	zt_addr_format(&s->remote, text);
	if (egress)
		who_text(s->who, out);
	else
		zt_strbuf_str(out, text);
	zt_strbuf_str(out, " -> ");
	end_text(s, out);
	if (!egress || s->peer) {
		zt_strbuf_str(out, " of ");
		who_text(egress ? s->peer : s->who, out);
	}
	if (*s->name) {
		zt_strbuf_str(out, " (");
		zt_strbuf_escaped(out, s->name, strlen(s->name));
		zt_strbuf_char(out, ')');
	}
}

static json_t *text_or_null(const char *s)
{
	return zt_json_text(*s ? s : NULL);
}

static json_t *who_json(const struct zt_seen_who *w)
{
	if (!w)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "user", text_or_null(w->user), "uid",
			 w->has_uid ? json_integer(w->uid) : json_null(), "exe", text_or_null(w->exe), "service",
			 text_or_null(w->service), "container", text_or_null(w->container));
}

json_t *zt_seen_json(const struct zt_seen *s)
{
	char remote[64], first[32], last[32];

	zt_addr_format(&s->remote, remote);
	zt_time_format(s->first, first);
	zt_time_format(s->last, last);
	return json_pack("{s:s, s:o, s:o, s:s, s:o, s:i, s:i, s:I, s:I, s:s, s:s}", "direction",
			 zt_direction_name(s->dir), "process", who_json(s->who), "receiver", who_json(s->peer),
			 "remote", remote, "name", text_or_null(s->name), "protocol", (int)s->proto, "port",
			 (int)s->port, "count", (json_int_t)s->count, "bytes", (json_int_t)s->bytes, "first", first,
			 "last", last);
}

/* ---- limits of what is known ---- */
void zt_cli_say_blind(struct zt_cli *c, const struct zt_ruleset *rs, const struct zt_seen_list *l)
{
	static const struct {
		unsigned bit;
		const char *text;
	} kinds[] = {
		{ZT_BLIND_GROUP, "supplementary groups are not recorded: only primary ones counted"},
		{ZT_BLIND_CGROUP, "of control groups only services and containers are recorded: nothing matched it"},
		{ZT_BLIND_PARENT, "parents are not recorded: nothing matched it"},
		{ZT_BLIND_ADDRESS, "the address of this host is not recorded: nothing matched it"},
		{ZT_BLIND_UNIX, "connections to Unix sockets are not recorded: nothing is known of its use"},
		{ZT_BLIND_TIME, "it was judged at the time when each flow was seen last"},
	};

	if (c->quiet)
		return;
	for (size_t k = 0; k < ZT_ARRAY_SIZE(kinds); k++)
		for (size_t i = 0; i < rs->n_rules; i++)
			if (zt_rule_blind(&rs->rules[i], l) & kinds[k].bit && !zt_rule_follows(&rs->rules[i]) &&
			    (!i || strcmp(rs->rules[i - 1].id, rs->rules[i].id) != 0))
				fprintf(c->err, "note: rule '%s': %s\n", rs->rules[i].id, kinds[k].text);
}

int zt_cli_compile_file(struct zt_cli *c, const char *path, struct zt_ruleset **ret, bool *ret_observes)
{
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
	struct zt_policy_options o = {.root = zt_opt(c, ROOT), .allow_unsafe_file = !strcmp(path, "-")};
	int r = zt_policy_load(path, &o, &p, &c->diags);

	if (r < 0) {
		int code = zt_cli_fail_policy(c, r);

		return code == ZT_EXIT_FAILED ? ZT_EXIT_POLICY : code; /* 1 is an answer */
	}
	*ret_observes = p->settings.mode == ZT_MODE_OBSERVE;
	p->settings.mode = ZT_MODE_ENFORCE;
	return zt_cli_compile(c, p, true, ret);
}
