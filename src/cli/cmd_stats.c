/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Traffic by who: sums of the flows that the journal keeps. */
#include <jansson.h>
#include <string.h>

#include "base/table.h"
#include "cli/cli.h"

enum { ROWS_DEFAULT = 30 };
#define SUMMED (ZT_FLOW_KINDS | 1u << ZT_ACTIVITY_CLOSE | 1u << ZT_ACTIVITY_DENY)

/* ---- printing ---- */
static int print_table(struct zt_cli *c, const struct zt_sums *s, const char *title, const char *since)
{
	const struct zt_table_column cols[] = {
		{.title = title, .flexible = true, .min = 9, .path = !strcmp(title, "Program")},
		{.title = "Flows", .right = true},
		{.title = "Denied", .right = true},
		{.title = "Sent", .right = true},
		{.title = "Received", .right = true},
		{.title = "Last"}};
	ZT_CLEANUP(zt_table_freep) struct zt_table *t = zt_table_new(cols, ZT_ARRAY_SIZE(cols));
	size_t rows = c->verbose ? s->n : ZT_MIN(s->n, (size_t)ROWS_DEFAULT);
	char head[96];
	const char *heads[] = {head};

	for (size_t i = 0; t && i < rows; i++) {
		char count[32], denied[32], sent[16], received[16], last[32];

		zt_format_thousands(s->v[i].flows, count);
		zt_format_thousands(s->v[i].denied, denied);
		zt_amount_text((double)s->v[i].sent, sent);
		zt_amount_text((double)s->v[i].received, received);
		zt_time_format(s->v[i].last, last);
		last[16] = '\0'; /* to the minute */
		last[10] = ' ';
		(void)zt_table_row(t, (const char *[]){s->v[i].key, count, denied, sent, received,
						       last}); /* out of memory shows at print */
	}
	(void)snprintf(head, sizeof(head), "Since %s; bytes of payload; times are UTC", since);
	if (!t || zt_table_print(t, c->out, "TRAFFIC", heads, 1, c->columns, c->colour) == -ENOMEM)
		return zt_cli_fail(c, -ENOMEM); /* a write error shows at exit */
	if (rows < s->n)
		fprintf(c->out, "... and %zu more; --verbose lists them.\n", s->n - rows);
	return 0;
}

static int print_json(struct zt_cli *c, const struct zt_sums *s, const char *by)
{
	json_t *a = json_array();

	for (size_t i = 0; i < s->n; i++) {
		char last[32];

		zt_time_format(s->v[i].last, last);
		(void)json_array_append_new(
			a, json_pack("{s:o, s:I, s:I, s:I, s:I, s:I, s:s}", by, zt_json_text(s->v[i].key), "flows",
				     (json_int_t)s->v[i].flows, "denied", (json_int_t)s->v[i].denied, "observed",
				     (json_int_t)s->v[i].observed, "bytes_sent", (json_int_t)s->v[i].sent,
				     "bytes_received", (json_int_t)s->v[i].received, "last", last));
	}
	return zt_cli_json(c, json_pack("{s:s, s:o}", "by", by, "sums", a));
}

static int add(const struct zt_journal_flow *f, void *arg)
{
	return zt_sums_add(arg, f);
}

static int from_journal(struct zt_cli *c, zt_usec since, struct zt_sums *s)
{
	ZT_CLEANUP(zt_journal_closep) struct zt_journal *j = NULL;
	struct zt_journal_query q = {.since = since};
	int r, code = zt_cli_journal(c, &j);

	if (code)
		return code;
	r = zt_journal_flows(j, &q, true, add, s);
	zt_sums_merge(s);
	return r < 0 ? zt_cli_fail(c, r) : zt_cli_say_lacking(c, j, since, SUMMED);
}

static int through_daemon(struct zt_cli *c, zt_usec since, struct zt_sums *s)
{
	int code = zt_cli_member_sums(c, since, s);

	return code ? code : zt_cli_say_lacking(c, NULL, since, SUMMED);
}

int zt_cmd_stats(struct zt_cli *c)
{
	ZT_CLEANUP(zt_sums_done) struct zt_sums s = {0};
	const char *by = c->args.n_pos ? c->args.pos[0] : "user", *since = zt_opt(c, SINCE) ? zt_opt(c, SINCE) : "24h";
	zt_usec from = 0;
	int code;

	if (!zt_sums_find(by, &s.by))
		return zt_cli_error(c, ZT_EXIT_USAGE, 5025, "\"zt-segment stats --help\" lists them",
				    "there are no sums by \"%s\"", by);
	code = zt_cli_since(c, since, &from);
	if (!code)
		code = zt_cli_is_member(c) ? through_daemon(c, from, &s) : from_journal(c, from, &s);
	if (code)
		return code;
	if (c->json)
		return print_json(c, &s, by);
	if (s.n)
		return print_table(c, &s, zt_sums_title(s.by), since);
	if (!c->quiet)
		fprintf(c->out, "No traffic since %s.\n", since);
	return 0;
}
