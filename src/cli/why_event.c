/* SPDX-License-Identifier: GPL-2.0-or-later */
/* why about something that happened. */
#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "base/time.h"
#include "cli/why.h"

#define TICK_NS 10000000u /* of the clock of /proc/PID/stat */

/* ---- "last": the newest packet or call that was blocked ---- */
bool zt_why_asks_event(const struct zt_cli *c)
{
	return c->args.n_pos || (zt_opt(c, PID) && !zt_opt(c, TO) && !zt_opt(c, FROM));
}

/* Of a process also what mode: observe let through. */
static bool asked_for(const struct zt_cli *c, bool observed)
{
	return !observed || zt_opt(c, PID);
}

static bool of_pid(const struct zt_cli *c, const struct zt_event *e)
{
	const struct zt_event_end *end = e->inbound ? &e->receiver : &e->sender;
	uint64_t pid;

	return !zt_opt(c, PID) ||
	       (end->known && zt_parse_u64(zt_opt(c, PID), INT32_MAX, &pid) == 0 && (uint64_t)end->pid == pid);
}

/* 1, 0: nothing; or an exit code in *code */
static int find_told(struct zt_cli *c, struct zt_event *ret, int *code)
{
	ZT_CLEANUP(zt_event_closep) struct zt_event_source *s = NULL;
	struct zt_event e;
	bool found = false;
	int r;

	*code = zt_cli_events(c, false, &s, NULL);
	if (*code)
		return 0;
	while ((r = zt_cli_next_event(s, &e)) > 0)
		if (asked_for(c, e.kind == ZT_EVENT_OBSERVED) && zt_cli_event_wanted(c, &e) && of_pid(c, &e)) {
			*ret = e;
			found = true;
		}
	*code = r < 0 ? zt_cli_fail(c, r) : 0;
	return found && !*code;
}

static int nothing(struct zt_cli *c)
{
	return zt_cli_error(c, ZT_EXIT_FAILED, 5023,
			    "\"zt-segment blocked --follow\" shows what is blocked from now on",
			    "nothing was blocked%s%s in the last 24 hours that is known",
			    zt_opt(c, USER) ? " of this user" : "", zt_opt(c, PID) ? " of this process" : "");
}

/* ---- a number: what the journal has under it ---- */
/* The file that ran, where it is still the same: what the rules go by. */
static void find_program(const struct zt_activity *a, struct zt_event_end *e)
{
	struct zt_exe_seen seen;

	if (!e->known || !zt_activity_has(a, ZT_FIELD_exe) || !zt_activity_has(a, ZT_FIELD_digest))
		return;
	e->start = a->start * TICK_NS;
	if (zt_exe_lookup(NULL, a->exe, true, &seen) == 0 && !strcmp(seen.digest, a->digest))
		e->exe = (struct zt_file_id){seen.dev, seen.ino, seen.ctime_sec, seen.ctime_nsec};
	else
		e->deleted = true;
}

struct newest {	     /* of the journal */
	uint64_t id; /* 0: there is nothing of the kind in it */
	zt_usec time;
	bool written; /* zt-segmentd goes on with it: nobody knows more */
};

/* Exit code */
static int query_last(struct zt_cli *c, struct zt_journal_query *q)
{
	uint64_t pid = 0;

	q->has_pid = zt_opt(c, PID) && zt_parse_u64(zt_opt(c, PID), INT32_MAX, &pid) == 0;
	q->pid = (uint32_t)pid;
	return zt_cli_event_user(c, &q->has_uid, &q->uid) ?: zt_cli_since(c, "24h", &q->since);
}

static struct newest last_recorded(struct zt_cli *c)
{
	ZT_CLEANUP(zt_journal_closep) struct zt_journal *j = NULL;
	ZT_CLEANUP(zt_journal_iter_freep) struct zt_journal_iter *it = NULL;
	struct zt_journal_query q = {.kinds = 1u << ZT_ACTIVITY_DENY, .reverse = true};
	ZT_FREE char *path = zt_cli_journal_path(c);
	struct zt_journal_status now;
	struct newest n = {0};
	struct zt_activity a;

	if (!path || query_last(c, &q) || zt_journal_open_readonly(path, &j, NULL) < 0 ||
	    zt_journal_status(j, &now) < 0 || zt_journal_query(j, &q, &it) < 0)
		return n;
	while (!n.id && zt_journal_next(it, &a, &n.id) > 0)
		if (asked_for(c, zt_activity_has(&a, ZT_FIELD_verdict) && !strcmp(a.verdict, "observe")))
			n.time = a.time;
		else
			n.id = 0;
	n.written = now.written;
	return n;
}

static int read_recorded(struct zt_cli *c, uint64_t id, struct zt_question *q)
{
	ZT_CLEANUP(zt_journal_closep) struct zt_journal *j = NULL;
	int r, code = zt_cli_journal(c, &j);

	if (code)
		return code;
	r = zt_journal_get(j, id, q->recorded);
	if (r == -ENOENT)
		return zt_cli_no_event(c, id);
	r = r ?: zt_journal_seen(j, q->recorded, &q->seen);
	return r < 0 ? zt_cli_fail(c, r) : 0;
}

static int find_recorded(struct zt_cli *c, const char *word, struct zt_question *q)
{
	uint64_t id = 0;
	int code;

	if (zt_parse_u64(word, INT64_MAX, &id) < 0)
		return zt_cli_error(
			c, ZT_EXIT_USAGE, 5010,
			"\"zt-segment why last\", a number that \"zt-segment events\" shows, or --user and --to",
			"\"why\" does not know the word \"%s\"", word);
	q->recorded = zt_new(struct zt_activity, 1);
	if (!q->recorded)
		return zt_cli_fail(c, -ENOMEM);
	code = zt_cli_is_member(c) ? zt_cli_member_event(c, id, q->recorded, &q->seen) : read_recorded(c, id, q);
	if (code)
		return code;
	if (!zt_activity_has(q->recorded, ZT_FIELD_direction) ||
	    !(zt_activity_has(q->recorded, ZT_FIELD_dst) || !strcmp(q->recorded->direction, "unix")))
		return zt_cli_error(c, ZT_EXIT_FAILED, 5023, "ask about a deny, connect, accept or flow",
				    "event %s is no traffic: %s", word, zt_activity_info(q->recorded->kind)->name);
	zt_event_of_activity(q->recorded, &q->event);
	find_program(q->recorded, q->event.inbound ? &q->event.receiver : &q->event.sender);
	return 0;
}

struct newest_for {
	struct zt_cli *c;
	uint64_t id;
};

static int take_newest(void *arg, uint64_t id, const struct zt_activity *a)
{
	struct newest_for *n = arg;

	if (!asked_for(n->c, zt_activity_has(a, ZT_FIELD_verdict) && !strcmp(a->verdict, "observe")))
		return 0;
	n->id = id;
	return 1;
}

static int take_last_of_member(struct zt_cli *c, struct zt_question *q)
{
	struct zt_journal_query like = {.kinds = 1u << ZT_ACTIVITY_DENY, .reverse = true};
	struct newest_for n = {.c = c};
	char number[24];
	int code = query_last(c, &like) ?: zt_cli_member_events(c, &like, take_newest, &n);

	(void)snprintf(number, sizeof(number), "%llu", (unsigned long long)n.id);
	return code ? code : n.id ? find_recorded(c, number, q) : nothing(c);
}

/* The newest of two: the journal, and what the kernel and its log have since the journal ended. */
static int take_last(struct zt_cli *c, struct zt_question *q)
{
	struct newest n;
	struct zt_event told;
	char number[24];
	int code = 0, found;

	if (zt_cli_is_member(c))
		return take_last_of_member(c, q);
	n = last_recorded(c);
	found = n.id && n.written ? 0 : find_told(c, &told, &code);

	if (found && (!n.id || told.when > n.time)) {
		q->event = told;
		return 0;
	}
	(void)snprintf(number, sizeof(number), "%llu", (unsigned long long)n.id);
	return n.id ? find_recorded(c, number, q) : code ? code : nothing(c);
}

static int check_options(struct zt_cli *c)
{
	static const enum zt_opt others[] = {ZT_OPT_GROUP, ZT_OPT_SERVICE, ZT_OPT_FROM, ZT_OPT_TO,
					     ZT_OPT_AT,	   ZT_OPT_TO_PID,  ZT_OPT_USER, ZT_OPT_PID};
	bool last = !c->args.n_pos || !strcmp(c->args.pos[0], "last");
	uint64_t pid;

	for (size_t i = 0; i < ZT_ARRAY_SIZE(others) - (last ? 2 : 0); i++)
		if (c->args.value[others[i]])
			return zt_cli_error(c, ZT_EXIT_USAGE, 5001,
					    last ? "with \"last\" go --user, --pid and --policy"
						 : "with an event goes --policy; without one, --user and --to ask",
					    "what happened says who and where to: --%s does not go with it",
					    zt_options[others[i]].name);
	if (zt_opt(c, PID) && (zt_parse_u64(zt_opt(c, PID), INT32_MAX, &pid) < 0 || !pid))
		return zt_cli_error(c, ZT_EXIT_USAGE, 5010, "\"zt-segment events\" shows the numbers of processes",
				    "\"%s\" is no number of a process", zt_opt(c, PID));
	return 0;
}

int zt_why_take_event(struct zt_cli *c, struct zt_question *q)
{
	const struct zt_event *e = &q->event;
	bool last = !c->args.n_pos || !strcmp(c->args.pos[0], "last");
	bool has_uid;
	uint32_t uid;
	int code = check_options(c) ?: zt_cli_event_user(c, &has_uid, &uid), r;

	code = code ? code : last ? take_last(c, q) : find_recorded(c, c->args.pos[0], q);
	if (code)
		return code;
	q->last = true;
	q->flow = (struct zt_flow){.dir = zt_event_direction(e),
				   .owned = e->has_uid,
				   .uid = e->uid,
				   .gid = e->gid,
				   .loopback = !strcmp(e->out, "lo") || !strcmp(e->in, "lo"),
				   .src = e->src,
				   .dst = e->dst,
				   .proto = e->proto,
				   .port = e->dport,
				   .at = zt_now()};
	if (e->is_unix) {
		q->flow.dir = ZT_DIR_UNIX;
		q->flow.unix_name = zt_unix_name_valid(e->unix_name) ? e->unix_name : NULL;
	} else if (!e->number && !e->has_uid && !*e->out) {
		q->flow.dir = ZT_DIR_INGRESS;
	}
	r = zt_person_of_event(&e->sender, &q->sender) ?: zt_person_of_event(&e->receiver, &q->receiver);
	if (q->sender.process.pid) {
		memcpy(q->flow.cgroup, q->sender.actor.cgroup, sizeof(q->flow.cgroup));
		q->flow.sender = &q->sender.actor;
	}
	return r < 0 ? zt_cli_fail(c, r) : 0;
}

/* What only the journal has: the tree above the process, the name, how often. */
static void print_recorded(struct zt_cli *c, const struct zt_question *q)
{
	const struct zt_activity *a = q->recorded;
	ZT_STRBUF struct zt_strbuf out = {0};
	char first[32], last[32], n[32];

	zt_why_tree_text(c, a, &out);
	if (zt_activity_has(a, ZT_FIELD_digest))
		zt_strbuf_printf(&out, "SHA-256 of the program: %s. ", a->digest);
	if (zt_activity_has(a, ZT_FIELD_name))
		zt_strbuf_printf(&out, "It had looked the address up as %s. ", a->name);
	if (zt_activity_has(a, ZT_FIELD_generation))
		zt_strbuf_printf(&out, "Decided by generation %llu%s%s. ", (unsigned long long)a->generation,
				 zt_activity_has(a, ZT_FIELD_hook) ? " at " : "",
				 zt_activity_has(a, ZT_FIELD_hook) ? a->hook : "");
	if (q->seen.count) {
		zt_time_format(q->seen.first, first);
		zt_time_format(q->seen.last, last);
		zt_format_thousands(q->seen.count, n);
		zt_strbuf_printf(&out, "Seen %s time%s, first %s, last %s.", n, q->seen.count == 1 ? "" : "s", first,
				 last);
	}
	if (out.len)
		zt_cli_wrap(c->out, zt_strbuf_cstr(&out), 2, c->width - 1);
}

void zt_why_print_event(struct zt_cli *c, const struct zt_ruleset *now, const struct zt_question *q)
{
	const struct zt_event *e = &q->event;
	ZT_STRBUF struct zt_strbuf out = {0}, to = {0};
	char when[32] = "Last";

	if (e->when)
		zt_time_format(e->when, when);
	zt_event_who_text(e, &to);
	zt_strbuf_printf(&out, "%s: %s ", when, zt_strbuf_cstr(&to));
	zt_strbuf_clear(&to);
	zt_event_end_text(&e->sender, false, &out);
	zt_event_to_text(e, &to);
	zt_strbuf_printf(&out, "%s-> %s ", e->sender.known ? " " : "", zt_strbuf_cstr(&to));
	if (e->receiver.known) {
		zt_event_end_text(&e->receiver, true, &out);
		zt_strbuf_char(&out, ' ');
	}
	zt_strbuf_printf(&out, "was %s%s%s",
			 q->recorded && q->recorded->kind != ZT_ACTIVITY_DENY ? "seen"
			 : e->kind == ZT_EVENT_OBSERVED			      ? "let pass, but would be blocked"
									      : "blocked",
			 *e->rule ? " by rule " : "", e->rule);
	zt_strbuf_clear(&to);
	zt_event_reason_text(e, &to);
	zt_strbuf_printf(&out, "%s%s.", to.len ? ": " : "", zt_strbuf_cstr(&to));
	zt_cli_wrap(c->out, zt_strbuf_cstr(&out), 0, c->width - 1);
	if (q->recorded)
		print_recorded(c, q);
	zt_why_print_then(c, now, q);
	if (zt_opt(c, POLICY))
		fprintf(c->out, "By %s:\n", zt_opt(c, POLICY));
	else
		fputs("By the policy that is in force now:\n", c->out);
}

void zt_why_add_recorded(struct zt_cli *c, json_t *j, const struct zt_question *q)
{
	ZT_STRBUF struct zt_strbuf text = {0};
	char first[32], last[32];

	zt_activity_json(q->recorded, &text);
	zt_time_format(q->seen.first, first);
	zt_time_format(q->seen.last, last);
	(void)json_object_set_new(j, "recorded",
				  json_loadb(text.buf, text.len, 0, NULL)); /* a failed set leaves a key out */
	(void)json_object_set_new(j, "parents", zt_why_tree_json(c, q->recorded));
	(void)json_object_set_new(
		j, "seen",
		json_pack("{s:I, s:s, s:s}", "count", (json_int_t)q->seen.count, "first", first, "last", last));
}
