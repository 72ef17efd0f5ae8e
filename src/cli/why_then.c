/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was, when it happened: the rules of the generation that decided, and the processes above the one that an event is about. The record has names
 * and numbers of those; their exec events say what ran.
 */
#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "base/time.h"
#include "cli/why.h"

enum { DEPTH = 12 };
#define TOLD_LATE (5 * ZT_USEC_PER_SEC)
#define SEARCH (ZT_USEC_PER_SEC / 4) /* for one of them */

struct ancestor {
	char name[32];
	uint32_t pid;
	zt_usec event;
	struct zt_activity started; /* of kind exec, where it is found */
	bool found;
};

/* "sshd[811] systemd[1]": names may hold anything but the end of a number. */
static size_t parse(const char *text, struct ancestor *v)
{
	size_t n = 0;

	while (*text && n < DEPTH) {
		const char *at = text, *end = NULL;
		char number[12];
		uint64_t pid = 0;

		while ((at = strchr(at, '['))) {
			size_t digits = strspn(at + 1, "0123456789");

			end = at + 1 + digits;
			if (digits && digits < sizeof(number) && *end == ']' && (end[1] == ' ' || !end[1])) {
				memcpy(number, at + 1, digits);
				number[digits] = '\0';
				break;
			}
			at++;
		}
		if (!at || zt_parse_u64(number, UINT32_MAX, &pid) < 0)
			return n;
		v[n] = (struct ancestor){.pid = (uint32_t)pid};
		(void)snprintf(v[n].name, sizeof(v[n].name), "%.*s", (int)(at - text), text);
		n++;
		text = end + 1 + (end[1] == ' ');
	}
	return n;
}

/* Its newest start before the event. An end in between is of a process that had the number before, unless it is recent: denies are told late. */
static int take_start(void *arg, uint64_t id, const struct zt_activity *a)
{
	struct ancestor *p = arg;

	(void)id;
	if (a->kind == ZT_ACTIVITY_EXIT && a->time + TOLD_LATE >= p->event)
		return 0;
	p->found = a->kind == ZT_ACTIVITY_EXEC && zt_activity_has(a, ZT_FIELD_exe) &&
		   zt_activity_has(a, ZT_FIELD_comm) && !strcmp(a->comm, p->name);
	if (p->found)
		p->started = *a;
	return 1;
}

static void search(struct zt_journal *j, const struct zt_journal_query *q, struct ancestor *p)
{
	ZT_CLEANUP(zt_journal_iter_freep) struct zt_journal_iter *it = NULL;
	struct zt_journal_query all = *q;
	zt_usec end = zt_now_monotonic() + SEARCH;
	struct zt_activity a;
	uint64_t id;

	all.has_pid = false; /* so that each step ends */
	if (zt_journal_query(j, &all, &it) < 0)
		return;
	while (zt_now_monotonic() < end && zt_journal_next(it, &a, &id) > 0)
		if (zt_activity_has(&a, ZT_FIELD_pid) && a.pid == p->pid && take_start(p, id, &a))
			return;
}

static size_t find(struct zt_cli *c, const struct zt_activity *a, struct ancestor *v)
{
	ZT_CLEANUP(zt_journal_closep) struct zt_journal *j = NULL;
	ZT_FREE char *path = zt_cli_journal_path(c);
	size_t n = zt_activity_has(a, ZT_FIELD_parents) ? parse(a->parents, v) : 0;
	bool member = zt_cli_is_member(c);

	if (!member && (!path || zt_journal_open_readonly(path, &j, NULL) < 0))
		return n;
	for (size_t i = 0; i < n; i++) {
		struct zt_journal_query q = {.kinds = 1u << ZT_ACTIVITY_EXEC | 1u << ZT_ACTIVITY_EXIT,
					     .until = a->time,
					     .reverse = true,
					     .has_pid = true,
					     .pid = v[i].pid};

		v[i].event = a->time;
		if (member)
			(void)zt_cli_member_events(c, &q, take_start, &v[i]); /* then only its name is known */
		else
			search(j, &q, &v[i]);
	}
	return n;
}

void zt_why_tree_text(struct zt_cli *c, const struct zt_activity *a, struct zt_strbuf *out)
{
	struct ancestor *v = zt_new(struct ancestor, DEPTH);
	size_t n = v ? find(c, a, v) : 0;

	for (size_t i = 0; i < n; i++) {
		zt_strbuf_printf(out, "%s%s[%u]", i ? ", " : "Started by: ", v[i].name, v[i].pid);
		if (v[i].found)
			zt_strbuf_printf(out, " (%s%s%s)", v[i].started.exe,
					 zt_activity_has(&v[i].started, ZT_FIELD_digest) ? ", SHA-256 " : "",
					 zt_activity_has(&v[i].started, ZT_FIELD_digest) ? v[i].started.digest : "");
	}
	if (n)
		zt_strbuf_str(out, ". ");
	free(v);
}

json_t *zt_why_tree_json(struct zt_cli *c, const struct zt_activity *a)
{
	struct ancestor *v = zt_new(struct ancestor, DEPTH);
	size_t n = v ? find(c, a, v) : 0;
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		const struct zt_activity *s = v[i].found ? &v[i].started : NULL;

		(void)json_array_append_new(list, json_pack("{s:s, s:I, s:s?, s:s?}", "comm", v[i].name, "pid",
							    (json_int_t)v[i].pid, "exe", s ? s->exe : NULL, "digest",
							    s && zt_activity_has(s, ZT_FIELD_digest)
								    ? s->digest
								    : NULL)); /* one that fails is left out */
	}
	free(v);
	return list;
}

/* ---- the rules ---- */
enum then_kind { SAME, KEPT, GONE, CLOSED };
struct then {
	enum then_kind kind;
	struct zt_ruleset *rs; /* KEPT */
	struct zt_decision d;
};

static bool same_rule(const struct zt_decision *d, const char *id)
{
	return d->by == ZT_BY_RULE && d->rule && !strcmp(d->rule->id, id);
}

/* The recorded name decides; of several rules under it (a list) the one that the flow matches. */
static void decide(const struct zt_question *q, struct then *t)
{
	struct zt_flow f = q->flow;

	f.at = q->event.when ? q->event.when : f.at;
	zt_oracle_decide(t->rs, &f, &t->d);
	if (!*q->event.rule || same_rule(&t->d, q->event.rule))
		return;
	for (size_t i = 0; i < t->rs->n_rules; i++)
		if (!strcmp(t->rs->rules[i].id, q->event.rule)) {
			t->d = (struct zt_decision){
				.by = ZT_BY_RULE, .rule = &t->rs->rules[i], .verdict = t->rs->rules[i].verdict};
			return;
		}
}

static struct then look(struct zt_cli *c, const struct zt_ruleset *now, const struct zt_question *q)
{
	struct zt_apply_ctx ctx = zt_cli_apply_ctx(c);
	struct then t = {.kind = SAME};
	ZT_FREE char *source = NULL;
	size_t len = 0;
	int r;

	if (!q->event.generation || (q->event.generation == now->generation && !zt_opt(c, POLICY)))
		return t;
	if (c->member)
		return (struct then){.kind = CLOSED};
	r = zt_generation_load(&ctx, q->event.generation, &t.rs, &source, &len, NULL);
	t.kind = r == -EACCES ? CLOSED : r < 0 ? GONE : KEPT;
	if (t.kind == KEPT)
		decide(q, &t);
	if (t.kind == KEPT && !strcmp(t.rs->hash, now->hash) && !zt_opt(c, POLICY))
		t.kind = SAME;
	return t;
}

static void kept_text(const struct then *t, const struct zt_question *q, struct zt_strbuf *out)
{
	ZT_STRBUF struct zt_strbuf place = {0}, rule = {0};

	if (t->d.by != ZT_BY_RULE || !t->d.rule) {
		zt_strbuf_printf(out, "no rule of generation %llu matched, and the %s decided.",
				 (unsigned long long)q->event.generation, zt_decider_text(&t->d));
		return;
	}
	zt_rule_place(t->rs, t->d.rule, &place);
	(void)zt_rule_text(t->rs, t->d.rule, &rule); /* a failed buffer prints what there is */
	zt_strbuf_printf(out, "rule '%s' of generation %llu%s%s: %s", t->d.rule->id,
			 (unsigned long long)q->event.generation, place.len ? ", " : "", zt_strbuf_cstr(&place),
			 zt_strbuf_cstr(&rule));
}

void zt_why_print_then(struct zt_cli *c, const struct zt_ruleset *now, const struct zt_question *q)
{
	struct then t = look(c, now, q);
	ZT_STRBUF struct zt_strbuf out = {0};

	zt_strbuf_str(&out, "By the policy of then: ");
	if (t.kind == KEPT)
		kept_text(&t, q, &out);
	else if (t.kind == GONE)
		zt_strbuf_printf(&out,
				 "generation %llu is not kept any more; of what decided only the name is known%s%s.",
				 (unsigned long long)q->event.generation,
				 *q->event.rule ? ": rule " : ", the default policy", q->event.rule);
	else if (t.kind == CLOSED)
		zt_strbuf_printf(&out, "the rules of generation %llu are for root; \"why\" of root shows the line.",
				 (unsigned long long)q->event.generation);
	if (t.kind != SAME)
		zt_cli_wrap(c->out, zt_strbuf_cstr(&out), 2, c->width - 1);
	zt_ruleset_free(t.rs);
}

json_t *zt_why_then_json(struct zt_cli *c, const struct zt_ruleset *now, const struct zt_question *q)
{
	static const char *const kinds[] = {
		[SAME] = "in force", [KEPT] = "kept", [GONE] = "not kept", [CLOSED] = "closed"};
	struct then t = look(c, now, q);
	json_t *j = json_pack("{s:I, s:s}", "generation", (json_int_t)q->event.generation, "rules", kinds[t.kind]);

	if (t.kind == KEPT)
		(void)json_object_set_new(j, "decision",
					  zt_decision_json(t.rs, &t.d)); /* a failed set leaves a key out */
	zt_ruleset_free(t.rs);
	return j;
}
