/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <jansson.h>
#include <string.h>

#include "base/time.h"
#include "cli/cli.h"

enum { DESTINATIONS_SHOWN = 5 };

struct user { /* a run of groups with one sender */
	size_t first, end;
	uint64_t count;
};

static bool same_sender(const struct zt_event *a, const struct zt_event *b)
{
	if (a->has_uid != b->has_uid)
		return false;
	return a->has_uid ? a->uid == b->uid : zt_addr_cmp(&a->src, &b->src) == 0;
}

static int by_sender_then_count(const void *a, const void *b)
{
	const struct zt_event_group *x = a, *y = b;
	int r;

	if (x->sample.has_uid != y->sample.has_uid)
		return x->sample.has_uid ? -1 : 1;
	if (x->sample.has_uid && x->sample.uid != y->sample.uid)
		return x->sample.uid < y->sample.uid ? -1 : 1;
	r = x->sample.has_uid ? 0 : zt_addr_cmp(&x->sample.src, &y->sample.src);
	return r ?: (x->count < y->count) - (x->count > y->count);
}

static size_t count_users(const struct zt_event_groups *g)
{
	size_t n = 0;

	for (size_t i = 0; i < g->n; i++)
		n += i == 0 || !same_sender(&g->items[i].sample, &g->items[i - 1].sample);
	return n;
}

static struct user next_user(const struct zt_event_groups *g, size_t first)
{
	struct user u = {.first = first, .end = first};

	while (u.end < g->n && same_sender(&g->items[u.end].sample, &g->items[first].sample))
		u.count += g->items[u.end++].count;
	return u;
}

static void programs(const struct zt_event *e, struct zt_strbuf *out)
{
	ZT_STRBUF struct zt_strbuf from = {0}, to = {0};

	if (e->number && e->sender.known)
		zt_event_end_text(&e->sender, false, &from);
	else
		zt_strbuf_escaped(&from, e->program, strlen(e->program));
	if (e->receiver.known)
		zt_event_end_text(&e->receiver, true, &to);
	zt_strbuf_printf(out, "%s%s%s%s", from.len ? "  by " : "", zt_strbuf_cstr(&from), to.len ? "  to " : "",
			 zt_strbuf_cstr(&to));
}

enum { COUNT_WIDTH = 10, PLACE_WIDTH = 26, INDENT = 12 };

/* What does not fit into a line of the terminal goes on below. */
static void print_line(struct zt_cli *c, const char *count, const char *place, const struct zt_strbuf *rest)
{
	size_t room = ZT_MAX(strlen(place), rest->len ? (size_t)PLACE_WIDTH : 0);

	if (!c->columns || INDENT + room + rest->len <= c->columns) {
		fprintf(c->out, "%*s  %-*s%s\n", COUNT_WIDTH, count, rest->len ? PLACE_WIDTH : 0, place,
			zt_strbuf_cstr(rest));
		return;
	}
	fprintf(c->out, "%*s  %s\n", COUNT_WIDTH, count, place);
	zt_cli_wrap(c->out, zt_strbuf_cstr(rest) + strspn(zt_strbuf_cstr(rest), " "), INDENT, c->columns);
}

static void destination(struct zt_cli *c, const struct zt_event_group *g)
{
	const struct zt_event *e = &g->sample;
	ZT_STRBUF struct zt_strbuf to = {0}, rest = {0};
	char count[32], last[32] = "";

	zt_event_to_text(e, &to);
	zt_format_thousands(g->count, count);
	if (g->last)
		zt_time_format(g->last, last);
	zt_strbuf_printf(&rest, "%s%s", *last ? "  last " : "", last);
	programs(e, &rest);
	zt_strbuf_str(&rest, e->kind == ZT_EVENT_OBSERVED ? "  (observed)" : "");
	print_line(c, count, zt_strbuf_cstr(&to), &rest);
}

static void sender(struct zt_cli *c, const struct zt_event_groups *g, const struct user *u)
{
	size_t n = u->end - u->first, shown = c->verbose ? n : ZT_MIN(n, DESTINATIONS_SHOWN);
	ZT_STRBUF struct zt_strbuf who = {0};
	char count[32];

	zt_event_who_text(&g->items[u->first].sample, &who);
	zt_format_thousands(u->count, count);
	fprintf(c->out, "\n%s%s%s: %s packet%s to %zu destination%s\n", zt_colour(c, ZT_BOLD), zt_strbuf_cstr(&who),
		zt_colour(c, ZT_PLAIN), count, u->count == 1 ? "" : "s", n, n == 1 ? "" : "s");
	for (size_t i = u->first; i < u->first + shown; i++)
		destination(c, &g->items[i]);
	if (shown < n)
		fprintf(c->out, "            ... and %zu more (-v shows all)\n", n - shown);
}

static void patterns(struct zt_cli *c, const struct zt_event_groups *g)
{
	struct zt_event_pattern *p = NULL;
	size_t n = 0;

	if (zt_event_patterns(g, &p, &n) < 0 || !n)
		return;
	fprintf(c->out, "\n%sWorth a look:%s\n", zt_colour(c, ZT_YELLOW), zt_colour(c, ZT_PLAIN));
	for (size_t i = 0; i < n; i++) {
		ZT_STRBUF struct zt_strbuf line = {0};

		zt_strbuf_printf(&line, "%s: ", p[i].kind);
		if (p[i].has_uid)
			zt_uid_text(p[i].uid, &line);
		zt_strbuf_printf(&line, "%s%s", p[i].has_uid ? " " : "", p[i].text);
		zt_cli_bullet(c->out, zt_strbuf_cstr(&line), c->width - 1);
	}
	free(p);
}

static int report_json(struct zt_cli *c, const struct zt_event_groups *g, const char *source)
{
	json_t *users = json_array();

	for (size_t i = 0; i < g->n;) {
		struct user u = next_user(g, i);
		ZT_STRBUF struct zt_strbuf who = {0};
		json_t *destinations = json_array();

		zt_event_who_text(&g->items[i].sample, &who);
		for (; i < u.end; i++)
			(void)json_array_append_new(destinations,
						    zt_group_json(&g->items[i])); /* a failed one is left out */
		(void)json_array_append_new(users, json_pack("{s:s, s:I, s:o}", "who", zt_strbuf_cstr(&who), "count",
							     (json_int_t)u.count, "destinations", destinations));
	}
	return zt_cli_json(c, json_pack("{s:o, s:I, s:o, s:o, s:I, s:I}", "source", zt_json_text(source), "total",
					(json_int_t)g->total, "senders", users, "patterns", zt_patterns_json(g), "lost",
					(json_int_t)g->lost, "suppressed", (json_int_t)g->suppressed));
}

static void period(struct zt_cli *c, const char *source)
{
	if (zt_opt(c, FOLLOW))
		fprintf(c->out, "Blocked traffic while watched");
	else if (zt_opt(c, SINCE))
		fprintf(c->out, "Blocked traffic since %s", zt_opt(c, SINCE));
	else
		fprintf(c->out, "Blocked traffic of the last 24 hours");
	fprintf(c->out, ", from %s", source);
}

static int report(struct zt_cli *c, const struct zt_event_groups *g, const char *source)
{
	char total[32];
	size_t n = count_users(g);

	zt_format_thousands(g->total, total);
	period(c, source);
	fprintf(c->out, ":\n%s packet%s logged, %zu sender%s.\n", total, g->total == 1 ? "" : "s", n,
		n == 1 ? "" : "s");
	if (!g->n)
		zt_cli_no_past_hint(c, source);
	for (size_t i = 0; i < g->n;) {
		struct user u = next_user(g, i);

		sender(c, g, &u);
		i = u.end;
	}
	patterns(c, g);
	if (g->overflowed)
		fprintf(c->out, "\n... and %llu packets of further kinds.\n", (unsigned long long)g->overflowed);
	return 0;
}

int zt_cmd_report(struct zt_cli *c)
{
	struct zt_event_groups g = {0};
	const char *source = NULL;
	bool has_uid;
	uint32_t uid;
	int code = zt_cli_event_user(c, &has_uid, &uid) ?: zt_cli_events_group(c, &g, &source);

	if (!code && g.n)
		qsort(g.items, g.n, sizeof(*g.items), by_sender_then_count);
	if (!code)
		code = c->json ? report_json(c, &g, source) : report(c, &g, source);
	zt_event_groups_done(&g);
	return code;
}
