/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <jansson.h>
#include <signal.h>
#include <string.h>

#include "base/mem.h"
#include "base/time.h"
#include "cli/cli.h"
#include "identity/identity.h"

/* What the kernel logs with: the prefix of the policy in force, else the default one. */
static char *log_prefix(struct zt_cli *c)
{
	struct zt_ruleset *rs = NULL;
	char *prefix;

	if (geteuid() == 0 && zt_cli_engine(c) == 0 && c->engine->raise(c->instance, &rs, NULL) == 0) {
		prefix = zt_strdup(rs->settings.log_prefix ? rs->settings.log_prefix : "ZT-BLOCKED: ");
		zt_ruleset_free(rs);
		return prefix;
	}
	return zt_strdup("ZT-BLOCKED: ");
}

/* Without log lines an empty table would say that nothing was blocked. */
static bool writes_no_log(const struct zt_cli *c)
{
	uint64_t generation;
	char hash[65];

	return c->engine && !strcmp(c->engine->name, "bpf") && !zt_opt(c, SOURCE) &&
	       c->engine->identify(c->instance, &generation, hash) == 0;
}

static int since(struct zt_cli *c, zt_usec *ret)
{
	const char *s = zt_opt(c, SINCE);
	zt_usec age;

	*ret = zt_now() - 86400 * ZT_USEC_PER_SEC;
	if (!s)
		return 0;
	if (zt_duration_parse(s, &age) == 0)
		*ret = zt_now() > age ? zt_now() - age : 0;
	else if (zt_time_parse(s, ret) < 0)
		return zt_cli_error(c, ZT_EXIT_USAGE, 5013, "such as 10m, 2h, 7d or 2026-12-31",
				    "--since wants a time, not \"%s\"", s);
	return 0;
}

static volatile sig_atomic_t stopped;

/* A signal between the last look and the wait would be slept over: the alarm wakes once more. */
static void stop(int sig)
{
	(void)sig;
	stopped = 1;
	(void)alarm(1); /* returns what was left of another one, and there is none */
}

/* Ctrl-C ends the watching and not the program: what was seen is summed up. A second one ends it. */
static void catch_end(void)
{
	struct sigaction once = {.sa_handler = stop, .sa_flags = (int)SA_RESETHAND}, again = {.sa_handler = stop};

	(void)sigaction(SIGINT, &once, NULL); /* cannot fail with these signals */
	(void)sigaction(SIGTERM, &once, NULL);
	(void)sigaction(SIGALRM, &again, NULL);
}

int zt_cli_next_event(struct zt_event_source *s, struct zt_event *ret)
{
	return stopped ? 0 : zt_event_next(s, -1, ret);
}

int zt_cli_events(struct zt_cli *c, bool follow, struct zt_event_source **ret, char **ret_prefix)
{
	ZT_FREE char *prefix = log_prefix(c);
	zt_usec from = 0;
	int r, code = since(c, &from);

	if (code)
		return code;
	if (writes_no_log(c))
		return zt_cli_error(
			c, ZT_EXIT_FAILED, 5022,
			"\"zt-segment status\" counts what each rule and the default decided, \"zt-segment why\" explains a flow",
			"the bpf engine enforces here and writes no log lines: what it blocked cannot be listed");
	if (!prefix)
		return zt_cli_fail(c, -ENOMEM);
	r = zt_event_open(zt_opt(c, SOURCE), prefix, follow ? 0 : from, follow, ret, &c->diags);
	if (r < 0)
		return zt_cli_fail(c, r);
	zt_cli_flush_diags(c);
	if (follow)
		catch_end();
	if (ret_prefix)
		*ret_prefix = ZT_TAKE(prefix);
	return 0;
}

/* What a person calls the source. */
static const char *source_title(struct zt_cli *c, const char *name)
{
	const char *asked = zt_opt(c, SOURCE);

	if (!strcmp(name, "journal"))
		return "the journal";
	if (!strcmp(name, "kmsg"))
		return "the kernel's ring buffer";
	if (!strcmp(name, "nflog"))
		return "the netlink log";
	if (!asked)
		return "/var/log/kern.log";
	return !strncmp(asked, "file:", 5) ? asked + 5 : asked;
}

void zt_cli_no_past_hint(struct zt_cli *c)
{
	if (zt_opt(c, NETNS) && !zt_opt(c, FOLLOW))
		fprintf(c->out,
			"The kernel keeps what happens in a network namespace of its own out of its log (unless\n"
			"net.netfilter.nf_log_all_netns is 1); \"blocked --follow\" sees it while it happens.\n");
}

bool zt_cli_event_wanted(const struct zt_cli *c, const struct zt_event *e)
{
	const char *user = zt_opt(c, USER);
	uint32_t uid;
	uint64_t n;

	if (e->kind == ZT_EVENT_ALLOWED)
		return false;
	if (!user)
		return true;
	if (zt_user_lookup(user, &uid) < 0)
		uid = zt_parse_u64(user, UINT32_MAX, &n) == 0 ? (uint32_t)n : UINT32_MAX;
	return e->has_uid && e->uid == uid;
}

int zt_cli_events_group(struct zt_cli *c, struct zt_event_groups *ret, const char **ret_source)
{
	ZT_CLEANUP(zt_event_closep) struct zt_event_source *s = NULL;
	struct zt_event e;
	int r, code = zt_cli_events(c, zt_opt(c, FOLLOW), &s, NULL);

	if (code)
		return code;
	*ret_source = source_title(c, zt_event_source_name(s));
	while ((r = zt_cli_next_event(s, &e)) > 0) {
		if (zt_cli_event_wanted(c, &e))
			r = zt_event_groups_add(ret, &e);
		if (r < 0)
			break;
	}
	if (zt_event_damaged(s) && !c->quiet)
		fprintf(c->err, "zt-segment: %llu damaged log lines were left out\n",
			(unsigned long long)zt_event_damaged(s));
	if (zt_event_lost(s) && !c->quiet)
		fprintf(c->err, "zt-segment: %llu or more events were lost: they came faster than they could be read\n",
			(unsigned long long)zt_event_lost(s));
	return r < 0 ? zt_cli_fail(c, r) : 0;
}

void zt_event_to_text(const struct zt_event *e, struct zt_strbuf *out)
{
	const char *proto = zt_proto_name(e->proto);
	char buf[64] = "?";

	if (e->dst.family)
		zt_addr_format(&e->dst, buf);
	if (e->has_ports)
		zt_strbuf_printf(out, e->dst.family == 6 ? "[%s]:%u" : "%s:%u", buf, e->dport);
	else
		zt_strbuf_str(out, buf);
	if (proto)
		zt_strbuf_printf(out, "/%s", proto);
	else
		zt_strbuf_printf(out, "/%u", e->proto);
}

void zt_event_who_text(const struct zt_event *e, struct zt_strbuf *out)
{
	char buf[64] = "?";

	if (e->has_uid) {
		zt_uid_text(e->uid, out);
		return;
	}
	if (e->src.family)
		zt_addr_format(&e->src, buf);
	zt_strbuf_str(out, buf);
}

static const char *kind_name(enum zt_event_kind k)
{
	switch (k) {
	case ZT_EVENT_BLOCKED:
		return "blocked";
	case ZT_EVENT_OBSERVED:
		return "observed";
	case ZT_EVENT_ALLOWED:
		return "allowed";
	}
	return "";
}

static json_t *text_or_null(const char *s)
{
	return zt_json_text(*s ? s : NULL);
}

json_t *zt_event_json(const struct zt_event *e)
{
	char when[32] = "", src[64] = "", dst[64] = "";
	const char *proto = zt_proto_name(e->proto);
	json_t *j;

	if (e->when)
		zt_time_format(e->when, when);
	if (e->src.family)
		zt_addr_format(&e->src, src);
	if (e->dst.family)
		zt_addr_format(&e->dst, dst);
	j = json_pack("{s:s, s:s*, s:s*, s:o, s:o, s:s*, s:s*, s:i, s:s*, s:o}", "kind", kind_name(e->kind), "when",
		      *when ? when : NULL, "rule", *e->rule ? e->rule : NULL, "in", text_or_null(e->in), "out",
		      text_or_null(e->out), "source", *src ? src : NULL, "destination", *dst ? dst : NULL,
		      "protocol_number", (int)e->proto, "protocol", proto, "program", text_or_null(e->program));
	if (e->has_ports)
		(void)json_object_update_new(
			j, json_pack("{s:i, s:i}", "source_port", (int)e->sport, "port", (int)e->dport));
	if (e->has_uid)
		(void)json_object_update_new(
			j, json_pack("{s:I, s:I}", "uid", (json_int_t)e->uid, "gid", (json_int_t)e->gid));
	return j;
}

json_t *zt_group_json(const struct zt_event_group *g)
{
	json_t *j = zt_event_json(&g->sample);
	char first[32] = "", last[32] = "";

	if (g->first)
		zt_time_format(g->first, first);
	if (g->last)
		zt_time_format(g->last, last);
	(void)json_object_del(j, "when");	 /* of the sample; may be missing */
	(void)json_object_del(j, "source_port"); /* the same */
	(void)json_object_update_new(j, json_pack("{s:I, s:s*, s:s*}", "count", (json_int_t)g->count, "first",
						  *first ? first : NULL, "last", *last ? last : NULL));
	return j;
}

json_t *zt_patterns_json(const struct zt_event_groups *g)
{
	struct zt_event_pattern *p = NULL;
	json_t *a = json_array();
	size_t n = 0;

	if (zt_event_patterns(g, &p, &n) < 0)
		return a;
	for (size_t i = 0; i < n; i++) {
		json_t *j = json_pack("{s:s, s:s}", "kind", p[i].kind, "text", p[i].text);

		if (p[i].has_uid)
			(void)json_object_set_new(j, "uid", json_integer(p[i].uid)); /* a failed set leaves a key out */
		(void)json_array_append_new(a, j);
	}
	free(p);
	return a;
}
