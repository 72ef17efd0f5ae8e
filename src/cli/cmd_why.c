/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <grp.h>
#include <jansson.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pwd.h>
#include <string.h>

#include "base/mem.h"
#include "base/time.h"
#include "cli/why.h"

enum { MISSES_SHOWN = 8 };

/* ---- what was asked ---- */

static int resolve(struct zt_cli *c, const char *host, struct zt_addr *ret)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *ai = NULL;
	char text[NI_MAXHOST];
	int r;

	if (!strcmp(host, "localhost"))
		host = "127.0.0.1";
	if (zt_addr_parse(host, ret) == 0)
		return 0;
	r = getaddrinfo(host, NULL, &hints, &ai);
	if (r == 0)
		r = getnameinfo(ai->ai_addr, ai->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST);
	freeaddrinfo(ai);
	if (r || zt_addr_parse(text, ret) < 0)
		return zt_cli_error(c, ZT_EXIT_USAGE, 5012, "name an address instead", "no address for host \"%s\"",
				    host);
	if (!c->quiet && !c->json)
		fprintf(c->out, "(%s is %s)\n", host, text);
	return 0;
}

static int take_user(struct zt_cli *c, const char *user, struct zt_flow *f)
{
	struct passwd *pw;
	uint64_t n;

	if (zt_user_lookup(user, &f->uid) < 0) {
		if (zt_parse_u64(user, UINT32_MAX - 1, &n) < 0) {
			ZT_FREE char *near = zt_user_nearest(user),
				     *hint = near ? zt_asprintf("did you mean \"%s\"?", near) : NULL;

			return zt_cli_error(c, ZT_EXIT_USAGE, 5011, hint, "there is no user \"%s\"", user);
		}
		f->uid = (uint32_t)n;
	}
	pw = getpwuid(f->uid);
	f->gid = pw ? pw->pw_gid : f->uid;
	f->owned = true;
	return 0;
}

static int take_group(struct zt_cli *c, const char *group, struct zt_flow *f)
{
	uint64_t n;

	if (zt_group_lookup(group, &f->gid) == 0)
		return 0;
	if (zt_parse_u64(group, UINT32_MAX - 1, &n) < 0)
		return zt_cli_error(c, ZT_EXIT_USAGE, 5011, NULL, "there is no group \"%s\"", group);
	f->gid = (uint32_t)n;
	return 0;
}

static int take_process(struct zt_cli *c, const char *text, struct zt_person *ret)
{
	uint64_t pid;
	int r = zt_parse_u64(text, INT32_MAX, &pid) < 0 ? -ESRCH : zt_person_read((int)pid, NULL, ret);

	if (!r)
		r = zt_person_details(ret);
	if (r == -ESRCH)
		return zt_cli_error(c, ZT_EXIT_USAGE, 5041, "\"zt-segment who --all\" lists those with sockets",
				    "there is no process \"%s\"", text);
	return r < 0 ? zt_cli_fail(c, r) : 0;
}

/* --pid: who it is tells everything about the sender. */
static int take_running_sender(struct zt_cli *c, struct zt_question *q)
{
	int code;

	if (zt_opt(c, USER) || zt_opt(c, GROUP) || zt_opt(c, SERVICE) || zt_opt(c, CGROUP))
		return zt_cli_error(c, ZT_EXIT_USAGE, 5011, "leave one of them out",
				    "--pid tells user, group and cgroup itself");
	code = take_process(c, zt_opt(c, PID), &q->sender);
	q->flow.owned = true;
	q->flow.uid = q->sender.actor.uid;
	q->flow.gid = q->sender.actor.gid;
	memcpy(q->flow.cgroup, q->sender.actor.cgroup, sizeof(q->flow.cgroup));
	q->flow.sender = &q->sender.actor;
	return code;
}

static int take_sender(struct zt_cli *c, struct zt_question *q)
{
	const char *user = zt_opt(c, USER), *group = zt_opt(c, GROUP), *service = zt_opt(c, SERVICE);
	int code = 0;

	q->flow.uid = q->flow.gid = UINT32_MAX;
	if (zt_opt(c, PID))
		return take_running_sender(c, q);
	if (user)
		code = take_user(c, user, &q->flow);
	if (!code && group)
		code = take_group(c, group, &q->flow);
	if (code)
		return code;
	if (service)
		(void)zt_service_cgroup(NULL, service, &q->cgroup); /* not running: the path it will have */
	else if (zt_opt(c, CGROUP))
		q->cgroup = zt_strdup(zt_opt(c, CGROUP) + strspn(zt_opt(c, CGROUP), "/"));
	q->flow.cgroup_path = q->cgroup;
	q->flow.owned = user || group || q->cgroup;
	if (!q->flow.owned)
		return zt_cli_error(c, ZT_EXIT_USAGE, 5011,
				    "outbound: --user USER --to HOST:PORT; inbound: --from HOST --to :PORT",
				    "who sends? --user, --service, --cgroup or --pid is missing");
	return 0;
}

static int take_egress(struct zt_cli *c, const struct zt_target *t, struct zt_question *q)
{
	int code = take_sender(c, q);

	if (code)
		return code;
	if (*t->unix_name) {
		memcpy(q->name, t->unix_name, sizeof(q->name));
		q->flow.dir = ZT_DIR_UNIX;
		q->flow.unix_name = q->name;
		return 0;
	}
	if (!t->has_host)
		return zt_cli_error(c, ZT_EXIT_USAGE, 5010, "a port of this host is meant? Say where from: --from HOST",
				    "--to names no host");
	code = resolve(c, t->host, &q->flow.dst);
	q->flow.loopback = !code && zt_addr_is_own(&q->flow.dst);
	if (q->flow.loopback)
		q->flow.src = q->flow.dst;
	return code;
}

static int take_ingress(struct zt_cli *c, const struct zt_target *t, struct zt_question *q)
{
	int code = resolve(c, zt_opt(c, FROM), &q->flow.src);

	q->flow.dir = ZT_DIR_INGRESS;
	if (!code && t->has_host)
		code = resolve(c, t->host, &q->flow.dst);
	if (!code && (zt_opt(c, USER) || zt_opt(c, GROUP) || zt_opt(c, SERVICE) || zt_opt(c, CGROUP) || zt_opt(c, PID)))
		return zt_cli_error(c, ZT_EXIT_USAGE, 5011, "leave one of them out",
				    "--from names another machine; its users are not known here");
	q->flow.loopback = !code && zt_addr_is_own(&q->flow.src);
	return code;
}

static int take_question(struct zt_cli *c, struct zt_question *q)
{
	struct zt_target t;

	if (zt_why_asks_event(c))
		return zt_why_take_event(c, q);
	if (!zt_opt(c, TO))
		return zt_cli_error(c, ZT_EXIT_USAGE, 5010, "such as --to 127.0.0.1:6379/tcp",
				    "where to? --to is missing");
	if (zt_target_parse(zt_opt(c, TO), &t) < 0)
		return zt_cli_error(
			c, ZT_EXIT_USAGE, 5010,
			"such as 127.0.0.1:6379/tcp, [::1]:53/udp, :22/tcp, 10.0.0.1/icmp, unix:/run/x.sock",
			"cannot understand the destination \"%s\"", zt_opt(c, TO));
	if (*t.unix_name && zt_opt(c, FROM))
		return zt_cli_error(c, ZT_EXIT_USAGE, 5010,
				    "say who connects with --user, --service, --cgroup or --pid",
				    "Unix sockets are of this host: --from is another machine");
	q->flow.proto = t.proto;
	q->flow.port = t.port;
	q->flow.at = zt_now();
	if (zt_opt(c, AT) && zt_time_parse(zt_opt(c, AT), &q->flow.at) < 0)
		return zt_cli_error(c, ZT_EXIT_USAGE, 5013, "such as 2026-12-31T18:00:00Z", "\"%s\" is not a time",
				    zt_opt(c, AT));
	return zt_opt(c, FROM) ? take_ingress(c, &t, q) : take_egress(c, &t, q);
}

/* ---- who receives ---- */
static bool listens_for(const struct zt_netsock *s, const struct zt_flow *f)
{
	static const uint8_t any[16];

	return s->listens && s->port == f->port && s->proto == f->proto &&
	       (!memcmp(s->local.b, any, sizeof(any)) || !f->dst.family || zt_addr_cmp(&s->local, &f->dst) == 0);
}

static int find_receiver(struct zt_question *q)
{
	ZT_CLEANUP(zt_netsocks_done) struct zt_netsocks sockets = {0};
	ZT_CLEANUP(zt_owners_done) struct zt_owners owners = {0};
	bool local = q->flow.dir == ZT_DIR_UNIX;
	int r = local ? zt_unixsocks_read(q->flow.unix_name, &sockets) : zt_netsocks_read(&sockets);

	if (!r)
		r = zt_owners_read(&sockets, &owners);
	for (size_t i = 0; !r && !q->receiver.process.pid && i < owners.n; i++)
		if ((local || listens_for(owners.v[i].socket, &q->flow)) &&
		    zt_person_read(owners.v[i].pid, NULL, &q->receiver) == 0)
			r = zt_person_details(&q->receiver);
	return r;
}

static bool asks_for_receiver(const struct zt_ruleset *rs)
{
	for (size_t i = 0; i < rs->n_rules; i++)
		if (rs->rules[i].match.to)
			return true;
	return false;
}

/* Of a flow that ends on this host: the process named, else the one that listens now, where a rule asks for it at all. */
static int take_receiver(struct zt_cli *c, struct zt_question *q, const struct zt_ruleset *rs)
{
	int code = 0, r = 0;

	if (q->last)
		r = 0; /* who received is recorded */
	else if (zt_opt(c, TO_PID))
		code = take_process(c, zt_opt(c, TO_PID), &q->receiver);
	else if ((q->flow.loopback || q->flow.dir != ZT_DIR_EGRESS) && asks_for_receiver(rs))
		r = find_receiver(q);
	zt_person_judge(&q->sender, rs);
	zt_person_judge(&q->receiver, rs);
	if (q->receiver.process.pid)
		q->flow.receiver = &q->receiver.actor;
	return r < 0 ? zt_cli_fail(c, r) : code;
}

/* ---- the answer ---- */

static void end_text(const char *end, const struct zt_subject *s, const struct zt_person *p, struct zt_strbuf *out)
{
	enum zt_subject_miss miss = s && p->process.pid ? zt_subject_miss(s, &p->actor) : ZT_SUBJECT_MATCH;

	if (miss == ZT_SUBJECT_MATCH)
		return;
	zt_strbuf_printf(out, "; %s %d ", end, p->process.pid);
	zt_strbuf_escaped(out, p->process.comm, strlen(p->process.comm));
	zt_strbuf_str(out, ": ");
	zt_subject_miss_text(s, p, miss, out);
}

/* The conditions that failed, and of processes that are known also why. */
static void near_text(const struct zt_near *n, const struct zt_question *q, struct zt_strbuf *out)
{
	zt_near_text(n, &q->flow, out);
	for (unsigned i = 0; i < n->n_misses; i++) {
		if (n->misses[i] == ZT_MISS_SENDER)
			end_text("sender", n->rule->match.from, &q->sender, out);
		if (n->misses[i] == ZT_MISS_RECEIVER)
			end_text("receiver", n->rule->match.to, &q->receiver, out);
	}
}

static bool blocked(const struct zt_decision *d)
{
	return d->verdict == ZT_DROP || d->verdict == ZT_REJECT;
}

/* An edit is asked for: observed passes only until the policy enforces. */
static bool wants_edits(const struct zt_decision *d)
{
	return blocked(d) || d->verdict == ZT_OBSERVE;
}

static void print_verdict(struct zt_cli *c, const struct zt_ruleset *rs, const struct zt_flow *f,
			  const struct zt_decision *d)
{
	ZT_STRBUF struct zt_strbuf flow = {0}, rule = {0}, place = {0};
	const char *word = blocked(d)		      ? "DENIED"
			   : d->verdict == ZT_OBSERVE ? "ALLOWED (observed: would be denied)"
						      : "ALLOWED";

	zt_flow_text(f, &flow);
	fprintf(c->out, "%s:%s%s%s%s by ", zt_strbuf_cstr(&flow),
		flow.len + strlen(word) + 30 > c->width ? "\n  " : " ", zt_colour(c, blocked(d) ? ZT_RED : ZT_GREEN),
		word, zt_colour(c, ZT_PLAIN));
	if (d->by == ZT_BY_RULE && d->rule) {
		zt_rule_place(rs, d->rule, &place);
		(void)zt_rule_text(rs, d->rule, &rule); /* a failed buffer prints what there is */
		fprintf(c->out, "rule '%s'\n", d->rule->id);
		zt_strbuf_printf(&place, "%s%s", place.len ? ": " : "", zt_strbuf_cstr(&rule));
		zt_cli_wrap(c->out, zt_strbuf_cstr(&place), 2, c->width - 1);
		return;
	}
	fprintf(c->out, "%s%s\n", d->by == ZT_BY_SSH ? "" : "the ", zt_decider_text(d));
	if (d->by == ZT_BY_SSH)
		fprintf(c->out, "  New SSH connections are let in before any rule is asked (preserve_ssh).\n");
	if (d->by == ZT_BY_DEFAULT)
		fprintf(c->out, "  No rule matches, and the %s default is \"%s\".\n", zt_direction_name(f->dir),
			f->dir != ZT_DIR_UNIX && rs->settings.def[f->dir] == ZT_DEFAULT_DENY ? "deny" : "allow");
	if (d->by == ZT_BY_DEFAULT && f->dir == ZT_DIR_UNIX)
		fprintf(c->out, "  Unix sockets that no rule names, by name or by receiver, are open to everybody.\n");
	if (d->by == ZT_BY_LOOPBACK && f->dir == ZT_DIR_INGRESS)
		fprintf(c->out, "  What arrives over loopback was decided at its sender: ask with --user.\n");
}

/* Rules for another direction are near nothing: they are only listed with -v. */
static size_t worth_showing(struct zt_near *near, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (near[i].n_misses && near[i].misses[0] != ZT_MISS_DIRECTION)
			near[kept++] = near[i];
	return kept;
}

static void print_misses(struct zt_cli *c, const struct zt_ruleset *rs, const struct zt_question *q,
			 struct zt_near *near, size_t all, bool decided)
{
	size_t n = c->verbose ? all : worth_showing(near, all), shown = c->verbose ? n : ZT_MIN(n, MISSES_SHOWN);

	if (!n)
		return;
	fprintf(c->out, "\n%s, nearest first:\n",
		decided ? "Rules before it that do not match" : "Rules that do not match");
	for (size_t i = 0; i < shown; i++) {
		ZT_STRBUF struct zt_strbuf why = {0}, place = {0}, head = {0};

		zt_rule_place(rs, near[i].rule, &place);
		near_text(&near[i], q, &why);
		zt_strbuf_printf(&head, "%s: %s%s%s%s", zt_verdict_name(near[i].rule->verdict), near[i].rule->id,
				 place.len ? " (" : "", zt_strbuf_cstr(&place), place.len ? ")" : "");
		zt_cli_wrap(c->out, zt_strbuf_cstr(&head), 2, c->width - 1);
		zt_cli_wrap(c->out, zt_strbuf_cstr(&why), 6, c->width - 1);
	}
	if (shown < n)
		fprintf(c->out, "  ... and %zu more (-v shows all)\n", n - shown);
}

static const char *who_has_it(const struct zt_flow *f)
{
	if (f->dir == ZT_DIR_INGRESS)
		return "Nothing else; but every program of that machine has it, to whatever listens here.";
	if (f->loopback || f->dir == ZT_DIR_UNIX)
		return "Nothing else; but every program of that sender has it, to whatever listens there.";
	return "Nothing else; but every program of that sender has it, and it is a way out of this host.";
}

static void print_opening(struct zt_cli *c, const struct zt_ruleset *rs, const struct zt_edit *e,
			  const struct zt_flow *f)
{
	ZT_STRBUF struct zt_strbuf whole = {0};

	fprintf(c->out, "   It opens:\n");
	zt_edit_opens_text(rs, e, f->dir, &whole);
	zt_cli_wrap(c->out, zt_strbuf_cstr(&whole), 5, c->width - 1);
	for (size_t i = 0; c->verbose && e->opening.n > 1 && i < e->opening.n; i++) {
		ZT_STRBUF struct zt_strbuf line = {0};

		zt_opened_text(&e->opening.v[i], f->dir, &line);
		zt_cli_wrap(c->out, zt_strbuf_cstr(&line), 7, c->width - 1);
	}
	if (c->verbose && e->opening.cut)
		fprintf(c->out, "       ... and more\n");
	if (e->kind == ZT_EDIT_ADD && e->opening.n == 1 && !e->opening.at_most)
		zt_cli_wrap(c->out, who_has_it(f), 3, c->width - 1);
}

static void print_edits(struct zt_cli *c, const struct zt_ruleset *rs, const struct zt_flow *f, const struct zt_edit *e,
			size_t n)
{
	fprintf(c->out, "\nWhat would allow it, and all that each edit opens:\n");
	for (size_t i = 0; i < n; i++) {
		ZT_STRBUF struct zt_strbuf words = {0}, text = {0}, yaml = {0};

		zt_edit_text(rs, &e[i], f, &words);
		zt_strbuf_printf(&text, "%zu. %c%s", i + 1, toupper((unsigned char)zt_strbuf_cstr(&words)[0]),
				 zt_strbuf_cstr(&words) + (words.len > 0));
		fputc('\n', c->out);
		zt_cli_wrap(c->out, zt_strbuf_cstr(&text), 0, c->width - 1);
		if (e[i].kind == ZT_EDIT_ADD) {
			zt_edit_yaml(f, e[i].before, &yaml);
			fprintf(c->out, "\n%s\n", zt_strbuf_cstr(&yaml));
		}
		print_opening(c, rs, &e[i], f);
	}
	if (n)
		fputs("\nWith one of them in FILE, \"zt-segment apply FILE --confirm 60s\" tries it: what\n"
		      "is not confirmed is rolled back.\n",
		      c->out);
}

static const char *edit_kind(enum zt_edit_kind k)
{
	switch (k) {
	case ZT_EDIT_ADD:
		return "add";
	case ZT_EDIT_WIDEN:
		return "widen";
	case ZT_EDIT_TIME:
		return "time";
	case ZT_EDIT_MOVE:
		return "move";
	}
	return "";
}

static json_t *edits_json(const struct zt_ruleset *rs, const struct zt_flow *f, const struct zt_edit *e, size_t n)
{
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++) {
		ZT_STRBUF struct zt_strbuf text = {0}, yaml = {0}, whole = {0};
		json_t *opens = json_array(), *j;

		zt_edit_text(rs, &e[i], f, &text);
		zt_edit_opens_text(rs, &e[i], f->dir, &whole);
		for (size_t k = 0; k < e[i].opening.n; k++) {
			ZT_STRBUF struct zt_strbuf line = {0};

			zt_opened_text(&e[i].opening.v[k], f->dir, &line);
			(void)json_array_append_new(opens,
						    json_string(zt_strbuf_cstr(&line))); /* a failed one is left out */
		}
		j = json_pack("{s:s, s:s, s:o, s:b}", "kind", edit_kind(e[i].kind), "text", zt_strbuf_cstr(&text),
			      "opens", opens, "opens_more", (int)e[i].opening.cut);
		if (e[i].rule)
			(void)json_object_set_new(j, "rule", zt_rule_json(rs, e[i].rule));
		if (e[i].kind == ZT_EDIT_ADD) {
			zt_edit_yaml(f, e[i].before, &yaml);
			(void)json_object_set_new(j, "yaml", json_string(zt_strbuf_cstr(&yaml)));
		}
		if ((e[i].kind == ZT_EDIT_ADD || e[i].kind == ZT_EDIT_MOVE) && e[i].before)
			(void)json_object_set_new(j, "before", zt_rule_json(rs, e[i].before));
		(void)json_array_append_new(a, j);
	}
	return a;
}

static json_t *misses_json(const struct zt_ruleset *rs, const struct zt_question *q, const struct zt_near *near,
			   size_t n)
{
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++) {
		ZT_STRBUF struct zt_strbuf why = {0};
		json_t *failed = json_array();

		near_text(&near[i], q, &why);
		for (unsigned k = 0; k < near[i].n_misses; k++)
			(void)json_array_append_new(failed, json_string(zt_miss_name(near[i].misses[k])));
		(void)json_array_append_new(a, json_pack("{s:o, s:o, s:s}", "rule", zt_rule_json(rs, near[i].rule),
							 "failed", failed, "text", zt_strbuf_cstr(&why)));
	}
	return a;
}

static int answer_json(struct zt_cli *c, const struct zt_ruleset *rs, const struct zt_question *q,
		       const struct zt_decision *d, const struct zt_near *near, size_t n, json_t *edits)
{
	json_t *j = json_pack("{s:b, s:o, s:o, s:o}", "allowed", (int)!blocked(d), "flow", zt_flow_json(&q->flow),
			      "decision", zt_decision_json(rs, d), "not_matching",
			      misses_json(rs, q, near, c->verbose ? n : ZT_MIN(n, 100)));

	if (edits)
		(void)json_object_set_new(j, "edits", edits); /* a failed set leaves a key out */
	if (q->last)
		(void)json_object_set_new(j, "event", zt_event_json(&q->event));
	if (q->last && q->event.generation)
		(void)json_object_set_new(j, "then", zt_why_then_json(c, rs, q));
	if (q->recorded)
		zt_why_add_recorded(c, j, q);
	return zt_cli_json(c, j);
}

/* Where all passes that is only observed, no edit would open anything: they are those of the policy that enforces. */
static int find_edits(struct zt_ruleset *rs, const struct zt_flow *f, const struct zt_decision *d,
		      const struct zt_near *near, size_t n, struct zt_edit **ret, size_t *ret_n)
{
	struct zt_settings set = rs->settings;
	ZT_FREE bool *observes = d->verdict == ZT_OBSERVE ? zt_new(bool, rs->n_rules + 1) : NULL;
	int r;

	if (d->verdict == ZT_OBSERVE && !observes)
		return -ENOMEM;
	for (size_t i = 0; observes && i < rs->n_rules; i++) {
		observes[i] = rs->rules[i].verdict == ZT_OBSERVE;
		rs->rules[i].verdict = observes[i] ? ZT_REJECT : rs->rules[i].verdict;
	}
	if (observes)
		rs->settings.mode = ZT_MODE_ENFORCE;
	if (observes && set.loopback == ZT_LOOPBACK_OBSERVE)
		rs->settings.loopback = ZT_LOOPBACK_ENFORCE;
	r = zt_edits_find(rs, f, d, near, n, ret, ret_n);
	rs->settings.mode = set.mode;
	rs->settings.loopback = set.loopback;
	for (size_t i = 0; observes && i < rs->n_rules; i++)
		rs->rules[i].verdict = observes[i] ? ZT_OBSERVE : rs->rules[i].verdict;
	return r;
}

static int answer(struct zt_cli *c, struct zt_ruleset *rs, const struct zt_question *q)
{
	const struct zt_flow *f = &q->flow;
	struct zt_decision d = {0};
	ZT_FREE struct zt_near *near = NULL;
	struct zt_edit *edits = NULL;
	size_t n = 0, n_edits = 0;
	int r, code = 0;

	zt_oracle_decide(rs, f, &d);
	r = zt_near_list(rs, f, d.by == ZT_BY_RULE ? d.rule : NULL, &near, &n);
	if (r >= 0 && wants_edits(&d))
		r = find_edits(rs, f, &d, near, n, &edits, &n_edits);
	if (r < 0)
		return zt_cli_fail(c, r);
	if (d.by != ZT_BY_RULE && d.by != ZT_BY_DEFAULT)
		n = 0;
	if (c->json) {
		code = answer_json(c, rs, q, &d, near, n, wants_edits(&d) ? edits_json(rs, f, edits, n_edits) : NULL);
	} else {
		if (q->last)
			zt_why_print_event(c, rs, q);
		print_verdict(c, rs, f, &d);
		print_misses(c, rs, q, near, n, d.by == ZT_BY_RULE);
		if (wants_edits(&d))
			print_edits(c, rs, f, edits, n_edits);
	}
	zt_edits_free(edits, n_edits);
	return code;
}

static int obtain(struct zt_cli *c, struct zt_policy **ret_p, struct zt_ruleset **ret_rs)
{
	int code;

	if (zt_opt(c, POLICY)) {
		c->engine = zt_engine_by_name("memory"); /* knows every kind of identity */
		code = zt_cli_load(c, ret_p);
		return code ?: zt_cli_compile(c, *ret_p, false, ret_rs);
	}
	code = zt_cli_engine(c);
	if (!code)
		code = zt_cli_raise(c, ret_rs);
	if (!code)
		zt_cli_add_lines(c, *ret_rs);
	if (code == ZT_EXIT_INACTIVE)
		return zt_cli_error(c, code, 5016, "ask a file instead: --policy FILE",
				    "nothing is enforced here, everything is allowed");
	return code;
}

int zt_cmd_why(struct zt_cli *c)
{
	ZT_CLEANUP(zt_policy_freep) struct zt_policy *p = NULL;
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	struct zt_question q = {0};
	int code = take_question(c, &q);

	if (!code)
		code = obtain(c, &p, &rs);
	if (!code && rs)
		code = take_receiver(c, &q, rs);
	if (!code && rs) {
		zt_cli_flush_diags(c);
		code = answer(c, rs, &q);
	}
	zt_person_done(&q.sender);
	zt_person_done(&q.receiver);
	free(q.recorded);
	free(q.cgroup);
	return code;
}
