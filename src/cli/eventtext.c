/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <jansson.h>
#include <poll.h>
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

/* Without --source the best that is there: an engine that keeps a record writes no log lines. */
static bool use_record(struct zt_cli *c)
{
	const char *source = zt_opt(c, SOURCE);
	uint64_t generation;
	char hash[65];

	if (source)
		return !strcmp(source, "record");
	return c->engine && c->engine->records && c->engine->identify(c->instance, &generation, hash) == 0;
}

static int ruleset_of(void *arg, uint64_t generation, struct zt_ruleset **ret)
{
	struct zt_cli *c = arg;
	struct zt_apply_ctx ctx = zt_cli_apply_ctx(c);
	ZT_FREE char *source = NULL;
	uint64_t live = 0;
	size_t len = 0;
	char hash[65];

	if (c->engine->identify(c->instance, &live, hash) == 0 && live == generation)
		return c->engine->raise(c->instance, ret, NULL);
	return zt_generation_load(&ctx, generation, ret, &source, &len, NULL);
}

/* zt-segmentd holds the netlink log, which takes one listener, and tells more: while it runs, its journal is the best there is. */
static bool open_told(struct zt_cli *c, bool follow, zt_usec from, struct zt_event_source **ret)
{
	ZT_FREE char *path = zt_cli_journal_path(c);

	return path && zt_event_told_open(path, from, follow, ret, NULL) == 0;
}

static int open_record(struct zt_cli *c, bool follow, zt_usec from, struct zt_event_source **ret)
{
	struct zt_event_record what = {.engine = c->engine, .instance = c->instance, .ruleset = ruleset_of, .arg = c};
	int code = c->engine ? 0 : zt_cli_engine(c), r;

	if (code)
		return code;
	what.engine = c->engine;
	if (!what.engine->records)
		return zt_cli_error(c, ZT_EXIT_FAILED, 4505,
				    "leave --source away, or see \"zt-segment explain ZT4505\"",
				    "the %s engine keeps no record in the kernel", c->engine->name);
	r = zt_event_record_open(&what, from, follow, ret, &c->diags);
	return r < 0 ? zt_cli_fail(c, r) : 0;
}

static volatile sig_atomic_t stopped;

bool zt_cli_stopped(void)
{
	return stopped;
}

/* A signal between the last look and the wait would be slept over: the alarm wakes once more. */
static void stop(int sig)
{
	(void)sig;
	stopped = 1;
	(void)alarm(1); /* returns what was left of another one, and there is none */
}

void zt_cli_catch_end(void)
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
	int r, code = zt_cli_since(c, "24h", &from);

	if (code)
		return code;
	if (!prefix)
		return zt_cli_fail(c, -ENOMEM);
	if (use_record(c)) {
		code = open_record(c, follow, follow ? 0 : from, ret);
		if (code)
			return code;
	} else if (zt_opt(c, SOURCE) || !open_told(c, follow, follow ? 0 : from, ret)) {
		r = zt_event_open(zt_opt(c, SOURCE), prefix, follow ? 0 : from, follow, ret, &c->diags);
		if (r < 0)
			return zt_cli_fail(c, r);
	}
	zt_cli_flush_diags(c);
	if (follow)
		zt_cli_catch_end();
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
	if (!strcmp(name, "events"))
		return "zt-segmentd";
	if (!strcmp(name, "record"))
		return "the engine's record";
	if (!asked)
		return "/var/log/kern.log";
	return !strncmp(asked, "file:", 5) ? asked + 5 : asked;
}

void zt_cli_no_past_hint(struct zt_cli *c, const char *source)
{
	bool log = strcmp(source, source_title(c, "events")) != 0 && strcmp(source, source_title(c, "record")) != 0;

	if (zt_opt(c, NETNS) && !zt_opt(c, FOLLOW) && log)
		fprintf(c->out, "The kernel keeps what happens in a network namespace of its own out of its log\n"
				"(unless net.netfilter.nf_log_all_netns is 1); \"blocked --follow\" sees it while it\n"
				"happens.\n");
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

/* Of what zt-segmentd tells, both in one number: the policy's limit keeps denies back, and a flood can come too fast. */
static void say_missing(struct zt_cli *c, uint64_t missing)
{
	char n[32];

	zt_format_thousands(missing, n);
	if (missing && !c->quiet)
		fprintf(c->err,
			"zt-segment: %s more are not among these: kept back by log_limit of the policy, or lost\n", n);
}

void zt_cli_event_losses(struct zt_cli *c, const struct zt_event_source *s, uint64_t lost, uint64_t suppressed)
{
	bool record = !strcmp(zt_event_source_name(s), "record");
	char n[32];

	if (!strcmp(zt_event_source_name(s), "events")) {
		say_missing(c, zt_event_lost(s) - lost);
		return;
	}
	if (c->quiet)
		return;
	zt_format_thousands(zt_event_lost(s) - lost, n);
	if (zt_event_lost(s) > lost)
		fprintf(c->err,
			record ? "zt-segment: %s older events were overwritten: the kernel keeps the newest 4,096\n"
			       : "zt-segment: %s or more events were lost: they came faster than they could be read\n",
			n);
	zt_format_thousands(zt_event_suppressed(s) - suppressed, n);
	if (zt_event_suppressed(s) > suppressed)
		fprintf(c->err, "zt-segment: %s more were not recorded: log_limit of the policy\n", n);
}

/* ---- not root: through zt-segmentd ---- */
enum { LOOK_MSEC = 1000 };

bool zt_cli_events_told(struct zt_cli *c)
{
	json_t *j = NULL;
	bool r = !zt_opt(c, SOURCE) && zt_cli_is_member(c);

	/* Some may read the kernel's log, that of the host: they need nobody. */
	if (r && !zt_opt(c, NETNS))
		r = zt_cli_daemon(c, "ping", ZT_USEC_PER_SEC, &j) == 0 && json_is_true(json_object_get(j, "ok"));
	json_decref(j);
	return r;
}

struct told {
	struct zt_cli *c;
	int (*fn)(void *arg, const struct zt_event *e);
	void *arg;
	int r;
	uint64_t lost;
};

static int give_told(void *arg, uint64_t id, const struct zt_activity *a)
{
	struct told *t = arg;
	struct zt_event e;
	uint64_t n;

	(void)id;
	if (a->kind == ZT_ACTIVITY_LOST) {
		t->lost += zt_activity_loss(a, &n) == ZT_ACTIVITY_DENY ? n : 0;
		return 0;
	}
	zt_event_of_activity(a, &e);
	if (zt_cli_event_wanted(t->c, &e))
		t->r = t->fn(t->arg, &e);
	return t->r < 0 || stopped;
}

int zt_cli_told_events(struct zt_cli *c, bool follow, int (*fn)(void *arg, const struct zt_event *e), void *arg,
		       uint64_t *ret_lost)
{
	struct zt_journal_query q = {.kinds = 1u << ZT_ACTIVITY_DENY | 1u << ZT_ACTIVITY_LOST};
	struct told t = {.c = c, .fn = fn, .arg = arg};
	uint64_t said = 0;
	int code = follow ? zt_cli_member_newest(c, &q.after) : zt_cli_since(c, "24h", &q.since);

	if (follow)
		zt_cli_catch_end();
	while (!code) {
		code = zt_cli_member_events(c, &q, give_told, &t);
		say_missing(c, t.lost - said);
		said = t.lost;
		if (!follow || t.r < 0 || stopped || fflush(c->out) || poll(NULL, 0, LOOK_MSEC) < 0)
			break;
	}
	if (code || t.r < 0)
		return code ? code : zt_cli_fail(c, t.r);
	*ret_lost = t.lost;
	return 0;
}

static int add_told(void *arg, const struct zt_event *e)
{
	return zt_event_groups_add(arg, e);
}

int zt_cli_events_group(struct zt_cli *c, struct zt_event_groups *ret, const char **ret_source)
{
	ZT_CLEANUP(zt_event_closep) struct zt_event_source *s = NULL;
	struct zt_event e;
	int r, code;

	*ret_source = source_title(c, "events");
	if (zt_cli_events_told(c))
		return zt_cli_told_events(c, zt_opt(c, FOLLOW), add_told, ret, &ret->lost);
	code = zt_cli_events(c, zt_opt(c, FOLLOW), &s, NULL);
	if (code)
		return code;
	*ret_source = source_title(c, zt_event_source_name(s));
	while ((r = zt_cli_next_event(s, &e)) > 0) {
		if (zt_cli_event_wanted(c, &e))
			r = zt_event_groups_add(ret, &e);
		if (r < 0)
			break;
	}
	ret->lost = zt_event_lost(s);
	ret->suppressed = zt_event_suppressed(s);
	if (zt_event_damaged(s) && !c->quiet)
		fprintf(c->err, "zt-segment: %llu damaged log lines were left out\n",
			(unsigned long long)zt_event_damaged(s));
	zt_cli_event_losses(c, s, 0, 0);
	return r < 0 ? zt_cli_fail(c, r) : 0;
}

void zt_event_to_text(const struct zt_event *e, struct zt_strbuf *out)
{
	const char *proto = zt_proto_name(e->proto);
	char buf[64] = "?";

	if (e->is_unix) {
		zt_strbuf_str(out, *e->unix_name ? "unix:" : "a Unix socket");
		zt_strbuf_escaped(out, e->unix_name, strnlen(e->unix_name, sizeof(e->unix_name)));
		return;
	}
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

static void put_escaped(const char *s, struct zt_strbuf *out)
{
	zt_strbuf_escaped(out, s, strlen(s));
}

void zt_event_end_text(const struct zt_event_end *e, bool user, struct zt_strbuf *out)
{
	size_t before = out->len;

	if (e->known && user)
		zt_uid_text(e->uid, out);
	if (*e->program) {
		zt_strbuf_str(out, out->len > before ? " " : "");
		put_escaped(e->program, out);
	}
	if (*e->service) {
		zt_strbuf_str(out, out->len > before ? " in " : "in ");
		put_escaped(e->service, out);
	}
	if (*e->subjects) {
		zt_strbuf_str(out, out->len > before ? " (is " : "(is ");
		put_escaped(e->subjects, out);
		zt_strbuf_char(out, ')');
	}
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

static json_t *end_json(const struct zt_event_end *e)
{
	json_t *j = json_pack("{s:b, s:I}", "known", (int)e->known, "label", (json_int_t)e->label);

	if (*e->subjects)
		(void)json_object_set_new(j, "subjects", zt_json_text(e->subjects)); /* a failed set leaves a key out */
	if (e->known)
		(void)json_object_update_new(
			j, json_pack("{s:i, s:I, s:I, s:I, s:o, s:o, s:s, s:o, s:o}", "pid", e->pid, "start_ns",
				     (json_int_t)e->start, "uid", (json_int_t)e->uid, "gid", (json_int_t)e->gid, "name",
				     zt_json_text(e->comm), "program", text_or_null(e->program), "program_from",
				     zt_event_how_name(e->how), "cgroup", text_or_null(e->cgroup), "service",
				     text_or_null(e->service)));
	if (e->known && e->exe.ino)
		(void)json_object_set_new(j, "file",
					  json_pack("{s:I, s:I, s:I, s:I, s:b}", "device", (json_int_t)e->exe.dev,
						    "inode", (json_int_t)e->exe.ino, "changed_s",
						    (json_int_t)e->exe.ctime_sec, "changed_ns",
						    (json_int_t)e->exe.ctime_nsec, "deleted", (int)e->deleted));
	return j;
}

static void record_json(const struct zt_event *e, json_t *j)
{
	ZT_STRBUF struct zt_strbuf reason = {0};

	zt_event_reason_text(e, &reason);
	(void)json_object_update_new(j, json_pack("{s:I, s:I, s:s, s:s, s:b, s:o, s:o}", "number",
						  (json_int_t)e->number, "generation", (json_int_t)e->generation,
						  "direction", zt_direction_name(zt_event_direction(e)), "reason",
						  zt_event_reason_name(e->reason), "received", (int)e->received,
						  "sender", end_json(&e->sender), "receiver", end_json(&e->receiver)));
	if (reason.len)
		(void)json_object_set_new(j, "reason_text", json_string(zt_strbuf_cstr(&reason)));
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
	if (e->is_unix) {
		(void)json_object_set_new(j, "unix", text_or_null(e->unix_name)); /* a failed set leaves a key out */
		(void)json_object_del(j, "protocol_number");			  /* it has none */
		(void)json_object_del(j, "protocol");
	}
	if (e->has_ports)
		(void)json_object_update_new(
			j, json_pack("{s:i, s:i}", "source_port", (int)e->sport, "port", (int)e->dport));
	if (e->has_uid)
		(void)json_object_update_new(
			j, json_pack("{s:I, s:I}", "uid", (json_int_t)e->uid, "gid", (json_int_t)e->gid));
	if (e->number)
		record_json(e, j);
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
