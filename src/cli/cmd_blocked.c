/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <jansson.h>
#include <string.h>
#include <time.h>

#include "base/table.h"
#include "base/time.h"
#include "cli/cli.h"
#include "identity/identity.h"

/* ---- one line an event ---- */

/* Who: the address of another host, the user and, of the record, all else. */
static void sender_text(const struct zt_event *e, struct zt_strbuf *out)
{
	zt_event_who_text(e, out);
	if (e->number && e->sender.known) {
		zt_strbuf_char(out, ' ');
		zt_event_end_text(&e->sender, false, out);
	} else if (*e->program) {
		zt_strbuf_char(out, ' ');
		zt_strbuf_escaped(out, e->program, strlen(e->program));
	}
}

static void print_line(struct zt_cli *c, const struct zt_event *e)
{
	ZT_STRBUF struct zt_strbuf from = {0}, to = {0}, reason = {0};
	char when[32] = "-";

	if (e->when)
		zt_time_format(e->when, when);
	sender_text(e, &from);
	zt_event_to_text(e, &to);
	if (e->number && e->receiver.known) {
		zt_strbuf_char(&to, ' ');
		zt_event_end_text(&e->receiver, true, &to);
	}
	zt_event_reason_text(e, &reason);
	fprintf(c->out, "%-20s  %s%-8s%s  %s -> %s%s%s%s%s\n", when,
		zt_colour(c, e->kind == ZT_EVENT_BLOCKED ? ZT_RED : ZT_YELLOW),
		e->kind == ZT_EVENT_BLOCKED ? "blocked" : "observed", zt_colour(c, ZT_PLAIN), zt_strbuf_cstr(&from),
		zt_strbuf_cstr(&to), *e->rule ? "  by " : "", e->rule, reason.len ? "  " : "", zt_strbuf_cstr(&reason));
}

static void print_event(struct zt_cli *c, const struct zt_event *e, const char *prefix)
{
	ZT_STRBUF struct zt_strbuf line = {0};

	if (c->json) {
		json_t *j = zt_event_json(e);

		(void)json_dumpf(j, c->out, JSON_COMPACT); /* a write error shows at exit */
		fputc('\n', c->out);
		json_decref(j);
	} else if (zt_opt(c, RAW)) {
		if (zt_event_format_line(e, prefix, &line) == 0)
			fprintf(c->out, "%s\n", zt_strbuf_cstr(&line));
	} else {
		print_line(c, e);
	}
}

static int print_groups(struct zt_cli *c, struct zt_event_groups *g);

struct seen {
	struct zt_cli *c;
	bool follow;
	const char *prefix;
	struct zt_event_groups g;
};

static int print_one(void *arg, const struct zt_event *e)
{
	struct seen *s = arg;

	print_event(s->c, e, s->prefix);
	if (s->follow && fflush(s->c->out))
		return -EPIPE;
	return s->follow ? zt_event_groups_add(&s->g, e) : 0;
}

static int print_source(struct zt_cli *c, struct seen *seen)
{
	ZT_CLEANUP(zt_event_closep) struct zt_event_source *s = NULL;
	ZT_FREE char *prefix = NULL;
	struct zt_event e;
	uint64_t lost = 0, suppressed = 0;
	int r, code = zt_cli_events(c, seen->follow, &s, &prefix);

	if (code)
		return code;
	seen->prefix = prefix;
	while ((r = zt_cli_next_event(s, &e)) > 0) {
		if (seen->follow) { /* else once, at the end */
			zt_cli_event_losses(c, s, lost, suppressed);
			lost = zt_event_lost(s);
			suppressed = zt_event_suppressed(s);
		}
		r = zt_cli_event_wanted(c, &e) ? print_one(seen, &e) : 0;
		if (r < 0)
			break;
	}
	zt_cli_event_losses(c, s, lost, suppressed);
	seen->prefix = NULL;
	return r == -EPIPE ? ZT_EXIT_FAILED : r < 0 ? zt_cli_fail(c, r) : 0;
}

/* Lines until the end, or Ctrl-C; then, on a terminal's behalf, the table of what was seen. */
static int print_events(struct zt_cli *c, bool follow)
{
	struct seen seen = {.c = c, .follow = follow, .prefix = "ZT-BLOCKED: "};
	uint64_t lost;
	int code = zt_cli_events_told(c) ? zt_cli_told_events(c, follow, print_one, &seen, &lost)
					 : print_source(c, &seen);

	if (!code && seen.g.n && !c->json && !c->quiet && !zt_opt(c, RAW)) {
		fputc('\n', c->out);
		code = print_groups(c, &seen.g);
	}
	zt_event_groups_done(&seen.g);
	return code;
}

/* ---- grouped ---- */

static int by_user_then_count(const void *a, const void *b)
{
	const struct zt_event_group *x = a, *y = b;

	if (x->sample.has_uid != y->sample.has_uid)
		return x->sample.has_uid ? -1 : 1;
	if (x->sample.uid != y->sample.uid)
		return x->sample.uid < y->sample.uid ? -1 : 1;
	return (x->count < y->count) - (x->count > y->count);
}

/* "10:01:00" today, "12-27 10:01" before. */
static void short_time(zt_usec t, char buf[static 20])
{
	time_t s = (time_t)(t / ZT_USEC_PER_SEC), now = (time_t)(zt_now() / ZT_USEC_PER_SEC);
	bool today = s / 86400 == now / 86400;
	struct tm tm;

	if (!t || !gmtime_r(&s, &tm) ||
	    !(today ? strftime(buf, 20, "%H:%M:%S", &tm) : strftime(buf, 20, "%m-%d %H:%M", &tm)))
		snprintf(buf, 20, "-");
}

/* The name alone where there is one: the table is narrow, and -o json has the number. */
static void short_who(const struct zt_event *e, struct zt_strbuf *out)
{
	ZT_FREE char *name = e->has_uid ? zt_user_name(e->uid) : NULL;

	if (name && (*name < '0' || *name > '9'))
		zt_strbuf_str(out, name);
	else
		zt_event_who_text(e, out);
}

static void add_group(struct zt_table *t, const struct zt_event_group *g, bool programs)
{
	ZT_STRBUF struct zt_strbuf who = {0}, to = {0};
	char count[32], first[20], last[20];
	const char *cells[6];
	size_t n = 0;

	short_who(&g->sample, &who);
	zt_event_to_text(&g->sample, &to);
	if (*g->sample.receiver.program) { /* its name alone: the table is narrow */
		const char *name = strrchr(g->sample.receiver.program, '/');

		zt_strbuf_char(&to, ' ');
		zt_strbuf_str(&to, name ? name + 1 : g->sample.receiver.program);
	}
	zt_format_thousands(g->count, count);
	if (g->sample.kind == ZT_EVENT_OBSERVED) /* where nothing is cut off */
		(void)snprintf(count + strlen(count), sizeof(count) - strlen(count), "*");
	short_time(g->first, first);
	short_time(g->last, last);
	cells[n++] = zt_strbuf_cstr(&who);
	if (programs)
		cells[n++] = g->sample.program;
	cells[n++] = zt_strbuf_cstr(&to);
	cells[n++] = count;
	cells[n++] = first;
	cells[n++] = last;
	(void)zt_table_row(t, cells); /* out of memory shows at print */
}

static bool has_program(const struct zt_event *e)
{
	return *e->program;
}

static bool observed(const struct zt_event *e)
{
	return e->kind == ZT_EVENT_OBSERVED;
}

static bool any(const struct zt_event_groups *g, bool (*is)(const struct zt_event *))
{
	for (size_t i = 0; i < g->n; i++)
		if (is(&g->items[i].sample))
			return true;
	return false;
}

static struct zt_table *new_table(bool programs)
{
	struct zt_table_column cols[6];
	size_t n = 0;

	cols[n++] = (struct zt_table_column){.title = "Who", .flexible = true, .min = 8};
	if (programs)
		cols[n++] = (struct zt_table_column){.title = "Program", .flexible = true, .min = 7, .path = true};
	cols[n++] = (struct zt_table_column){.title = "Destination", .flexible = true, .min = 11, .vital = true};
	cols[n++] = (struct zt_table_column){.title = "Count", .right = true};
	cols[n++] = (struct zt_table_column){.title = "First"};
	cols[n++] = (struct zt_table_column){.title = "Last"};
	return zt_table_new(cols, n);
}

static int print_groups(struct zt_cli *c, struct zt_event_groups *g)
{
	bool programs = any(g, has_program);
	ZT_CLEANUP(zt_table_freep) struct zt_table *t = new_table(programs);
	char head[96], total[32];
	const char *heads[] = {head};

	if (g->n)
		qsort(g->items, g->n, sizeof(*g->items), by_user_then_count);
	for (size_t i = 0; t && i < g->n; i++)
		add_group(t, &g->items[i], programs);
	zt_format_thousands(g->total, total);
	snprintf(head, sizeof(head), "Logged: %s packet%s, %zu kind%s; times are UTC", total, g->total == 1 ? "" : "s",
		 g->n, g->n == 1 ? "" : "s");
	if (!t || zt_table_print(t, c->out, "BLOCKED TRAFFIC", heads, 1, c->columns, c->colour) == -ENOMEM)
		return zt_cli_fail(c, -ENOMEM); /* a write error shows at exit */
	if (any(g, observed))
		fprintf(c->out, "* only observed: it would be blocked if the policy enforced\n");
	if (g->overflowed)
		fprintf(c->out, "... and %llu packets of further kinds.\n", (unsigned long long)g->overflowed);
	return 0;
}

static int groups_json(struct zt_cli *c, struct zt_event_groups *g, const char *source)
{
	json_t *a = json_array();

	if (g->n)
		qsort(g->items, g->n, sizeof(*g->items), by_user_then_count);
	for (size_t i = 0; i < g->n; i++)
		(void)json_array_append_new(a, zt_group_json(&g->items[i])); /* a failed one is left out */
	return zt_cli_json(c, json_pack("{s:o, s:I, s:o, s:I, s:I, s:I}", "source", zt_json_text(source), "total",
					(json_int_t)g->total, "groups", a, "not_grouped", (json_int_t)g->overflowed,
					"lost", (json_int_t)g->lost, "suppressed", (json_int_t)g->suppressed));
}

static int groups(struct zt_cli *c)
{
	ZT_CLEANUP(zt_event_groups_done) struct zt_event_groups g = {0};
	const char *source = NULL;
	int code = zt_cli_events_group(c, &g, &source);

	if (code)
		return code;
	if (c->json)
		return groups_json(c, &g, source);
	if (g.n)
		return print_groups(c, &g);
	if (c->quiet)
		return 0;
	fprintf(c->out, "Nothing was blocked%s%s, says %s.\n", zt_opt(c, SINCE) ? " since " : " in the last 24 hours",
		zt_opt(c, SINCE) ? zt_opt(c, SINCE) : "", source);
	zt_cli_no_past_hint(c, source);
	return 0;
}

int zt_cmd_blocked(struct zt_cli *c)
{
	bool follow = zt_opt(c, FOLLOW), has_uid;
	uint32_t uid;
	int code = zt_cli_event_user(c, &has_uid, &uid); /* one that does not exist was never blocked: a mistake */

	if (code)
		return code;
	return follow || zt_opt(c, RAW) ? print_events(c, follow) : groups(c);
}
