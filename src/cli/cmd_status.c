/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <jansson.h>
#include <signal.h>
#include <string.h>

#include "base/file.h"
#include "base/proc.h"
#include "base/table.h"
#include "base/time.h"
#include "cli/cli.h"

struct state {		       /* all that status shows, gathered before anything is printed */
	struct zt_ruleset *rs; /* what the kernel holds; NULL: nothing */
	struct zt_counters counters;
	struct zt_caps caps;
	uint64_t tracked, tracked_max; /* connections; 0: not known */
	struct zt_foreign *foreign;
	size_t n_foreign;
	struct zt_drift drift;
	bool drift_known;
	char updated[32];
	bool pending;
	zt_usec deadline; /* realtime; 0: an apply is running just now */
	bool unwatched;	  /* the process that would roll back was killed */
	bool member;	  /* not root: the deadline is not known */
	json_t *daemon;	  /* what zt-segmentd says of itself; NULL: none runs */
};

static void state_done(struct state *s)
{
	zt_ruleset_free(s->rs);
	zt_counters_done(&s->counters);
	zt_caps_done(&s->caps);
	zt_foreign_free(s->foreign, s->n_foreign);
	zt_drift_done(&s->drift);
	json_decref(s->daemon);
}

static void gather_updated(const struct zt_apply_ctx *ctx, struct state *s)
{
	struct zt_generation *g = NULL;
	size_t n = 0;

	if (zt_history(ctx, &g, &n, NULL) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		if (g[i].number == s->rs->generation)
			zt_time_format(g[i].when, s->updated);
	zt_history_free(g, n);
}

static void gather_pending(const struct zt_cli *c, struct state *s)
{
	ZT_FREE char *path = zt_path_join(c->state_dir, "pending"), *text = NULL;
	size_t len = 0;
	json_t *j;

	if (!path || zt_file_read(path, 1 << 20, &text, &len) < 0)
		return;
	j = json_loadb(text, len, 0, NULL);
	s->pending = j;
	s->deadline = (zt_usec)json_integer_value(json_object_get(j, "deadline"));
	if (s->deadline)
		s->deadline += zt_now() - zt_now_boottime(); /* so that setting the clock moves none */
	s->unwatched = s->deadline && kill((pid_t)json_integer_value(json_object_get(j, "pid")), 0) < 0 &&
		       errno == ESRCH;
	json_decref(j);
}

/* The state folder is root's alone. */
static void gather_member(struct state *s)
{
	zt_usec settled;

	s->member = true;
	s->drift_known = zt_cli_member_state(&s->drift, &settled, &s->pending);
	if (settled)
		zt_time_format(settled, s->updated);
}

/* A member of the group is not inside --netns. */
static void gather_tracked(const struct zt_cli *c, struct state *s)
{
	if (c->member || zt_netns_tracked(&s->tracked, &s->tracked_max) < 0)
		s->tracked_max = 0;
}

static int gather(struct zt_cli *c, struct state *s)
{
	struct zt_apply_ctx ctx = zt_cli_apply_ctx(c);
	int r, code = 0;

	(void)zt_cli_daemon(c, "status", ZT_USEC_PER_SEC, &s->daemon); /* optional */
	if (s->daemon)
		zt_daemon_measure(c, s->daemon);
	gather_tracked(c, s);
	if (c->member)
		gather_member(s);
	else
		s->drift_known = zt_drift_check(&ctx, &s->drift, NULL) >= 0;
	if (s->drift_known)
		s->rs = ZT_TAKE(s->drift.actual); /* it was read just now: large rulesets take seconds */
	if (!s->rs)
		code = zt_cli_raise(c, &s->rs);
	if (code && code != ZT_EXIT_INACTIVE)
		return code;
	if (!c->member)
		gather_pending(c, s);
	(void)c->engine->probe(c->instance, &s->caps);			   /* without it no gaps are shown */
	(void)c->engine->foreign(c->instance, &s->foreign, &s->n_foreign); /* a list for information */
	if (code)
		return code;
	r = c->engine->counters(s->rs, &s->counters);
	if (r < 0)
		return zt_cli_fail(c, r);
	if (!c->member)
		gather_updated(&ctx, s);
	return 0;
}

/* ---- the table of the reference ---- */

struct row {
	struct zt_table *t;
	size_t number;
};

static void add_row(struct row *w, const char *name, const char *from, const char *to, bool counted, uint64_t packets)
{
	char number[24], count[32] = "-";
	const char *cells[5] = {number, name, from, to, count};

	snprintf(number, sizeof(number), "%zu", ++w->number);
	if (counted)
		zt_format_thousands(packets, count);
	(void)zt_table_row(w->t, cells); /* out of memory shows as a missing row, and at print */
}

static const char *verdict_mark(enum zt_verdict v)
{
	switch (v) {
	case ZT_ALLOW:
		return "";
	case ZT_DROP:
		return "DROP ";
	case ZT_REJECT:
		return "REJECT ";
	case ZT_OBSERVE:
		return "OBSERVE ";
	}
	return "";
}

/* Parts of one rule (alternatives of a list) are one row: their senders joined, their packets summed. */
static size_t user_row(struct row *w, const struct state *s, size_t i)
{
	const struct zt_rule *r = &s->rs->rules[i];
	ZT_STRBUF struct zt_strbuf from = {0}, to = {0};
	uint64_t packets = 0;
	size_t k = i;

	for (; k < s->rs->n_rules && (k == i || !strcmp(s->rs->rules[k].id, r->id)); k++) {
		if (k > i)
			zt_strbuf_char(&from, '|');
		zt_rule_from(&s->rs->rules[k], &from);
		packets += k < s->counters.n_rules ? s->counters.rule[k].packets : 0;
	}
	zt_strbuf_str(&to, verdict_mark(r->verdict));
	zt_rule_to(r, &to);
	add_row(w, r->id, zt_strbuf_cstr(&from), zt_strbuf_cstr(&to), s->counters.n_rules, packets);
	return k;
}

static const char *default_verdict(const struct zt_settings *s, enum zt_direction d)
{
	if (s->def[d] == ZT_DEFAULT_ALLOW)
		return "ALLOW";
	if (s->mode == ZT_MODE_OBSERVE)
		return "OBSERVE";
	return s->block == ZT_BLOCK_REJECT ? "REJECT" : "DROP";
}

static void default_rows(struct row *w, const struct state *s)
{
	const struct zt_settings *set = &s->rs->settings;
	const char *out = default_verdict(set, ZT_DIR_EGRESS), *in = default_verdict(set, ZT_DIR_INGRESS);
	const uint64_t *d[] = {&s->counters.dropped[0].packets, &s->counters.dropped[1].packets,
			       &s->counters.dropped[2].packets};
	bool deny = set->def[ZT_DIR_EGRESS] == ZT_DEFAULT_DENY;

	if (set->log_blocked)
		add_row(w, "log-denied", "*", "LOG", true, s->counters.logged.packets);
	if (set->def[ZT_DIR_EGRESS] == set->def[ZT_DIR_INGRESS]) {
		add_row(w, deny ? "default-deny" : "default-allow", "*", out, true, *d[0] + *d[1] + *d[2]);
		return;
	}
	add_row(w, deny ? "default-deny" : "default-allow", "(out) *", out, true, *d[ZT_DIR_EGRESS]);
	add_row(w, deny ? "default-allow" : "default-deny", "(in) *", in, true, *d[ZT_DIR_INGRESS]);
}

static void rows(struct row *w, const struct state *s)
{
	const struct zt_counters *k = &s->counters;
	ZT_STRBUF struct zt_strbuf ssh = {0};

	zt_strbuf_str(&ssh, "*:");
	zt_u32_ranges_text(&s->rs->ssh_ports, &ssh);
	zt_strbuf_str(&ssh, "/tcp");
	add_row(w, "established", "*", "ESTABLISHED", true, k->established.packets + k->related.packets);
	if (s->rs->ssh_ports.n)
		add_row(w, "preserve-ssh", "*", zt_strbuf_cstr(&ssh), true, k->ssh.packets);
	add_row(w, "link-essentials", "*", "ARP, ND, MLD", true, k->essential.packets);
	if (s->rs->settings.loopback == ZT_LOOPBACK_ALLOW)
		add_row(w, "loopback", "*", "ALLOW lo", true, k->loopback.packets);
	for (size_t i = 0; i < s->rs->n_rules;)
		i = user_row(w, s, i);
	for (int i = 0; i < ZT_LSM_KINDS; i++)
		if (k->lsm[i])
			add_row(w, zt_lsm_kinds[i], "*", "REFUSED", true, k->lsm[i]);
	default_rows(w, s);
}

enum { LINE = 128, MAX_LINES = 8 };

static void drift_line(const struct state *s, char b[static LINE])
{
	if (!s->drift_known || (!s->member && s->drift.active && !s->drift.expected))
		snprintf(b, LINE, "Drift: unknown (no stored generation to compare with)");
	else if (!s->drift.drifted)
		snprintf(b, LINE, "Drift: none");
	else
		snprintf(b, LINE, "Drift: CHANGED%s%s; see \"zt-segment drift\"",
			 s->drift.culprit ? " by " : " by someone", s->drift.culprit ? s->drift.culprit : "");
}

static void pending_line(const struct state *s, char b[static LINE])
{
	zt_usec now = zt_now();

	if (s->member)
		snprintf(b, LINE, "Confirm: PENDING");
	else if (!s->deadline)
		snprintf(b, LINE, "Confirm: an apply is running");
	else if (s->unwatched)
		snprintf(b, LINE, "Confirm: PENDING, but its process was killed: refresh rolls it back");
	else if (s->deadline > now)
		snprintf(b, LINE, "Confirm: PENDING, %llu s left until it is rolled back",
			 (unsigned long long)((s->deadline - now) / ZT_USEC_PER_SEC));
	else
		snprintf(b, LINE, "Confirm: PENDING, being rolled back");
}

static size_t daemon_lines(const struct state *s, char b[static 2][LINE])
{
	ZT_STRBUF struct zt_strbuf line = {0}, reload = {0};

	if (!s->daemon)
		return 0;
	zt_daemon_line(s->daemon, &line);
	snprintf(b[0], LINE, "%s", zt_strbuf_cstr(&line));
	if (!zt_daemon_reload_line(s->daemon, &reload))
		return 1;
	snprintf(b[1], LINE, "%s", zt_strbuf_cstr(&reload));
	return 2;
}

static size_t head_lines(const struct zt_cli *c, const struct state *s, char b[static MAX_LINES][LINE])
{
	bool named = strcmp(c->instance, "default");
	size_t n = 0;

	snprintf(b[n++], LINE, "Policy: %s", zt_default_text(&s->rs->settings));
	snprintf(b[n++], LINE, "Active Rules: %zu", zt_active_rules(s->rs));
	snprintf(b[n++], LINE, "Last Updated: %s", *s->updated ? s->updated : "unknown");
	snprintf(b[n++], LINE, "Engine: %s   Generation: %llu%s%s", zt_engine_title(c->engine->name),
		 (unsigned long long)s->rs->generation, named ? "   Instance: " : "", named ? c->instance : "");
	drift_line(s, b[n++]);
	if (s->pending)
		pending_line(s, b[n++]);
	return n + daemon_lines(s, b + n);
}

static int print_table(struct zt_cli *c, const struct state *s)
{
	static const struct zt_table_column cols[] = {
		{.title = "#", .min = 2},
		{.title = "Rule Name", .min = 16, .flexible = true},
		{.title = "From", .min = 12, .flexible = true},
		{.title = "To", .min = 15, .flexible = true},
		{.title = "Packets", .min = 7},
	};
	ZT_CLEANUP(zt_table_freep) struct zt_table *t = zt_table_new(cols, ZT_ARRAY_SIZE(cols));
	struct row w = {.t = t};
	char lines[MAX_LINES][LINE];
	const char *head[MAX_LINES];
	size_t n;
	int r;

	if (!t)
		return zt_cli_fail(c, -ENOMEM);
	rows(&w, s);
	n = head_lines(c, s, lines);
	for (size_t i = 0; i < n; i++)
		head[i] = lines[i];
	r = zt_table_print(t, c->out, "ZT-SEGMENT STATUS", head, n, c->columns, c->colour);
	return r < 0 ? zt_cli_fail(c, r) : 0;
}

/* What is denied because something was amiss. */
static void closed_text(struct zt_cli *c, const struct zt_count *n, const char *why)
{
	char text[32];

	if (!n->packets)
		return;
	zt_format_thousands(n->packets, text);
	fprintf(c->out, "Denied because %s: %s.\n", why, text);
}

/* From four fifths on it is an alarm; the daemon tells it as an event. */
static void tracked_text(struct zt_cli *c, const struct state *s)
{
	char used[32], max[32];

	if (!zt_tracked_alarm(s->tracked, s->tracked_max))
		return;
	zt_format_thousands(s->tracked, used);
	zt_format_thousands(s->tracked_max, max);
	fprintf(c->out,
		"%sConnection tracking is %llu %% full%s (%s of %s): when it is full, new connections are dropped.\n",
		zt_colour(c, ZT_YELLOW), (unsigned long long)(s->tracked * 100 / s->tracked_max),
		zt_colour(c, ZT_PLAIN), used, max);
}

static void print_remarks(struct zt_cli *c, const struct state *s)
{
	const struct zt_counters *k = &s->counters;

	if (k->suppressed.packets) {
		char n[32];

		zt_format_thousands(k->suppressed.packets, n);
		fprintf(c->out, "Not logged because of the rate limit: %s packets.\n", n);
	}
	closed_text(c, &k->no_rules, "the rules were not there");
	closed_text(c, &k->no_memory, "there was no memory to remember a socket");
	closed_text(c, &k->unknown, "the process that sent could not be identified");
	tracked_text(c, s);
	for (size_t i = 0; i < s->n_foreign; i++) {
		fprintf(c->out, "%s%s ", i ? ", " : "Tables of other programs (not touched): ", s->foreign[i].family);
		zt_cli_puts_escaped(c->out, s->foreign[i].name);
	}
	if (s->n_foreign)
		fprintf(c->out, "\n");
	if (s->daemon && c->verbose)
		zt_daemon_details(c, s->daemon);
	if (!s->rs && !c->verbose)
		return; /* what is not covered matters where something is enforced */
	if (s->caps.n_gaps)
		fprintf(c->out, "Not covered here:\n");
	for (size_t i = 0; i < s->caps.n_gaps; i++) {
		ZT_STRBUF struct zt_strbuf b = {0};

		zt_strbuf_printf(&b, "%s: %s", s->caps.gaps[i].what, s->caps.gaps[i].why);
		zt_cli_bullet(c->out, zt_strbuf_cstr(&b), c->width - 1);
	}
}

static int print_inactive(struct zt_cli *c, const struct state *s)
{
	fprintf(c->out, "Micro-segmentation is %snot active%s%s%s: zt-segment blocks nothing here.\n",
		zt_colour(c, ZT_YELLOW), zt_colour(c, ZT_PLAIN), zt_opt(c, NETNS) ? " in network namespace " : "",
		zt_opt(c, NETNS) ? zt_opt(c, NETNS) : "");
	fprintf(c->out, "\"zt-segment apply FILE\" enforces a policy.\n");
	if (s->daemon) {
		ZT_STRBUF struct zt_strbuf line = {0};

		zt_daemon_line(s->daemon, &line);
		fprintf(c->out, "%s\n", zt_strbuf_cstr(&line));
	}
	print_remarks(c, s);
	return ZT_EXIT_INACTIVE;
}

/* ---- JSON ---- */

static json_t *count_json(const struct zt_count *k)
{
	return json_pack("{s:I, s:I}", "packets", (json_int_t)k->packets, "bytes", (json_int_t)k->bytes);
}

static json_t *rules_json(const struct state *s)
{
	json_t *a = json_array();

	for (size_t i = 0; i < s->rs->n_rules; i++) {
		json_t *o = zt_rule_json(s->rs, &s->rs->rules[i]);

		if (i < s->counters.n_rules)
			(void)json_object_update_new(o,
						     count_json(&s->counters.rule[i])); /* a failure leaves them out */
		(void)json_array_append_new(a, o);
	}
	return a;
}

static json_t *lists_json(const struct state *s)
{
	json_t *foreign = json_array(), *gaps = json_array();

	for (size_t i = 0; i < s->n_foreign; i++)
		(void)json_array_append_new(foreign,
					    json_pack("{s:o, s:o}", "family", zt_json_text(s->foreign[i].family),
						      "name", zt_json_text(s->foreign[i].name)));
	for (size_t i = 0; i < s->caps.n_gaps; i++)
		(void)json_array_append_new(gaps, json_pack("{s:o, s:o}", "what", zt_json_text(s->caps.gaps[i].what),
							    "why", zt_json_text(s->caps.gaps[i].why)));
	return json_pack("{s:o, s:o}", "foreign_tables", foreign, "not_covered", gaps);
}

static int print_json(struct zt_cli *c, const struct state *s)
{
	json_t *j = json_pack("{s:b, s:s, s:s}", "active", s->rs != NULL, "engine", c->engine->name, "instance",
			      c->instance);

	if (s->rs)
		(void)json_object_update_new(
			j, json_pack("{s:s, s:s, s:I, s:o, s:s*, s:s?, s:o, s:o}", "policy",
				     zt_default_text(&s->rs->settings), "hash", s->rs->hash, "generation",
				     (json_int_t)s->rs->generation, "file", zt_json_text(s->rs->policy_name), "updated",
				     *s->updated ? s->updated : NULL, "drift",
				     !s->drift_known	? NULL
				     : s->drift.drifted ? "drifted"
							: "none",
				     "rules", rules_json(s), "counters", zt_counters_json(&s->counters)));
	if (s->pending && s->deadline) {
		char until[32];

		zt_time_format(s->deadline, until);
		(void)json_object_set_new(j, "confirm_until", json_string(until));
	}
	if (s->tracked_max)
		(void)json_object_set_new(j, "tracked",
					  json_pack("{s:I, s:I}", "connections", (json_int_t)s->tracked, "max",
						    (json_int_t)s->tracked_max));
	if (s->daemon)
		(void)json_object_set(j, "daemon", s->daemon); /* a failure leaves it out */
	(void)json_object_update_new(j, lists_json(s));
	return zt_cli_json(c, j) ?: (s->rs ? ZT_EXIT_OK : ZT_EXIT_INACTIVE);
}

static int show(struct zt_cli *c, bool clear)
{
	struct state s = {0};
	int code = gather(c, &s);

	if (clear)
		fputs("\033[H\033[2J", c->out);
	if (code == 0 || code == ZT_EXIT_INACTIVE) {
		if (c->json && s.rs && s.rs->n_rules && !s.rs->rules[0].line)
			zt_cli_add_lines(c, s.rs);
		if (c->json)
			code = print_json(c, &s);
		else if (code == ZT_EXIT_INACTIVE)
			code = print_inactive(c, &s);
		else if ((code = print_table(c, &s)) == 0)
			print_remarks(c, &s);
	}
	state_done(&s);
	return code;
}

int zt_cmd_status(struct zt_cli *c)
{
	bool watch = zt_opt(c, WATCH), terminal = isatty(fileno(c->out));
	int code = show(c, watch && terminal && !c->json);

	while (watch && (code == 0 || code == ZT_EXIT_INACTIVE)) {
		if (fflush(c->out) || ferror(c->out))
			return ZT_EXIT_FAILED;
		sleep(2);
		zt_cli_flush_diags(c);
		code = show(c, terminal && !c->json);
	}
	return code;
}
