/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Traffic by who: sums of the flows that the journal keeps. */
#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "base/table.h"
#include "cli/cli.h"
#include "identity/identity.h"

enum { ROWS_DEFAULT = 30 };

struct sum {
	char *key;
	uint64_t count, denied, observed, sent, received; /* observed: of count, where a connection was told */
	zt_usec last;
};
struct sums {
	struct sum *v;
	size_t n, cap;
	void (*key)(const struct zt_activity *who, struct zt_strbuf *out);
};

static void sums_done(struct sums *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i].key);
	free(s->v);
}

/* ---- what is summed by ---- */
static void put_or_none(const struct zt_activity *a, enum zt_field f, struct zt_strbuf *out)
{
	if (zt_activity_has(a, f))
		zt_activity_value(a, f, out);
	else
		zt_strbuf_str(out, "(none)");
}

static void by_user(const struct zt_activity *a, struct zt_strbuf *out)
{
	if (!zt_activity_has(a, ZT_FIELD_user) && zt_activity_has(a, ZT_FIELD_uid))
		zt_strbuf_printf(out, "UID %u", a->uid);
	else
		put_or_none(a, ZT_FIELD_user, out);
}

static void by_group(const struct zt_activity *a, struct zt_strbuf *out)
{
	ZT_FREE char *name = zt_activity_has(a, ZT_FIELD_gid) ? zt_group_name(a->gid) : NULL;

	zt_strbuf_str(out, name ? name : "(none)");
}

static void by_program(const struct zt_activity *a, struct zt_strbuf *out)
{
	put_or_none(a, ZT_FIELD_exe, out);
}

static void by_service(const struct zt_activity *a, struct zt_strbuf *out)
{
	put_or_none(a, ZT_FIELD_service, out);
}

static void by_container(const struct zt_activity *a, struct zt_strbuf *out)
{
	put_or_none(a, ZT_FIELD_container, out);
}

static void by_rule(const struct zt_activity *a, struct zt_strbuf *out)
{
	if (!zt_activity_has(a, ZT_FIELD_rule) && a->kind == ZT_ACTIVITY_DENY)
		zt_strbuf_str(out, "(default policy)");
	else
		put_or_none(a, ZT_FIELD_rule, out);
}

/* The other end, by name where it was looked up. */
static void by_peer(const struct zt_activity *a, struct zt_strbuf *out)
{
	bool in = zt_activity_has(a, ZT_FIELD_direction) && !strcmp(a->direction, "ingress");

	if (zt_activity_has(a, ZT_FIELD_name))
		zt_strbuf_str(out, a->name);
	else
		put_or_none(a, in ? ZT_FIELD_src : ZT_FIELD_dst, out);
}

static const struct {
	const char *name, *title;
	void (*key)(const struct zt_activity *who, struct zt_strbuf *out);
} kinds[] = {
	{"user", "User", by_user},
	{"group", "Group", by_group},
	{"program", "Program", by_program},
	{"service", "Service", by_service},
	{"container", "Container", by_container},
	{"peer", "Peer", by_peer},
	{"rule", "Rule", by_rule},
};

/* ---- summing ---- */
static int add(const struct zt_journal_flow *f, void *arg)
{
	struct sums *s = arg;
	ZT_STRBUF struct zt_strbuf key = {0};
	const char *verdict = zt_activity_has(&f->who, ZT_FIELD_verdict) ? f->who.verdict : "allow";
	bool observed = !strcmp(verdict, "observe"), denied = !observed && strcmp(verdict, "allow") != 0;
	char *text;

	s->key(&f->who, &key);
	text = zt_strbuf_steal(&key);
	if (!text || zt_grow(s->v, s->cap, s->n) < 0) {
		free(text);
		return -ENOMEM;
	}
	s->v[s->n++] = (struct sum){.key = text,
				    .count = denied || observed ? 0 : f->count, /* who connected has told it */
				    .denied = denied ? f->count : 0,
				    .observed = observed ? f->count : 0,
				    .sent = f->bytes_sent,
				    .received = f->bytes_received,
				    .last = f->last};
	return 0;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct sum *)a)->key, ((const struct sum *)b)->key);
}

static int by_weight(const void *a, const void *b)
{
	const struct sum *x = a, *y = b;
	uint64_t p = x->sent + x->received, q = y->sent + y->received;

	if (p != q)
		return p < q ? 1 : -1;
	p = x->count + x->denied + x->observed;
	q = y->count + y->denied + y->observed;
	return p != q ? (p < q ? 1 : -1) : by_key(a, b);
}

static void merge(struct sums *s)
{
	size_t kept = 0;

	if (s->n)
		qsort(s->v, s->n, sizeof(*s->v), by_key);
	for (size_t i = 0; i < s->n; i++) {
		struct sum *to = kept ? &s->v[kept - 1] : NULL, *from = &s->v[i];

		if (!to || strcmp(to->key, from->key) != 0) {
			s->v[kept++] = *from;
			continue;
		}
		to->count += from->count;
		to->denied += from->denied;
		to->observed += from->observed;
		to->sent += from->sent;
		to->received += from->received;
		to->last = ZT_MAX(to->last, from->last);
		free(from->key);
	}
	s->n = kept;
	if (s->n)
		qsort(s->v, s->n, sizeof(*s->v), by_weight);
}

/* ---- printing ---- */
static int print_table(struct zt_cli *c, const struct sums *s, const char *title, const char *since)
{
	const struct zt_table_column cols[] = {
		{.title = title, .flexible = true, .min = 9}, {.title = "Flows", .right = true},
		{.title = "Denied", .right = true},	      {.title = "Sent", .right = true},
		{.title = "Received", .right = true},	      {.title = "Last"}};
	ZT_CLEANUP(zt_table_freep) struct zt_table *t = zt_table_new(cols, ZT_ARRAY_SIZE(cols));
	size_t rows = c->verbose ? s->n : ZT_MIN(s->n, (size_t)ROWS_DEFAULT);
	char head[96];
	const char *heads[] = {head};

	for (size_t i = 0; t && i < rows; i++) {
		char count[32], denied[32], sent[16], received[16], last[32];

		zt_format_thousands(s->v[i].count, count);
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
	if (!t || zt_table_print(t, c->out, "TRAFFIC", heads, 1, c->width, c->colour) < 0)
		return zt_cli_fail(c, -ENOMEM);
	if (rows < s->n)
		fprintf(c->out, "... and %zu more; --verbose lists them.\n", s->n - rows);
	return 0;
}

static int print_json(struct zt_cli *c, const struct sums *s, const char *by)
{
	json_t *a = json_array();

	for (size_t i = 0; i < s->n; i++) {
		char last[32];

		zt_time_format(s->v[i].last, last);
		(void)json_array_append_new(
			a, json_pack("{s:o, s:I, s:I, s:I, s:I, s:I, s:s}", by, zt_json_text(s->v[i].key), "flows",
				     (json_int_t)s->v[i].count, "denied", (json_int_t)s->v[i].denied, "observed",
				     (json_int_t)s->v[i].observed, "bytes_sent", (json_int_t)s->v[i].sent,
				     "bytes_received", (json_int_t)s->v[i].received, "last", last));
	}
	return zt_cli_json(c, json_pack("{s:s, s:o}", "by", by, "sums", a));
}

int zt_cmd_stats(struct zt_cli *c)
{
	ZT_CLEANUP(zt_journal_closep) struct zt_journal *j = NULL;
	ZT_CLEANUP(sums_done) struct sums s = {0};
	struct zt_journal_query q = {0};
	const char *by = c->args.n_pos ? c->args.pos[0] : "user", *since = zt_opt(c, SINCE) ? zt_opt(c, SINCE) : "24h";
	size_t kind = 0;
	int r, code;

	while (kind < ZT_ARRAY_SIZE(kinds) && strcmp(kinds[kind].name, by) != 0)
		kind++;
	if (kind == ZT_ARRAY_SIZE(kinds))
		return zt_cli_error(c, ZT_EXIT_USAGE, 5025, "\"zt-segment stats --help\" lists them",
				    "there are no sums by \"%s\"", by);
	code = zt_cli_since(c, since, &q.since);
	code = code ? code : zt_cli_journal(c, &j);
	if (code)
		return code;
	s.key = kinds[kind].key;
	r = zt_journal_flows(j, &q, true, add, &s);
	if (r < 0)
		return zt_cli_fail(c, r);
	merge(&s);
	if (c->json)
		return print_json(c, &s, by);
	if (s.n)
		return print_table(c, &s, kinds[kind].title, since);
	if (!c->quiet)
		fprintf(c->out, "No traffic since %s.\n", since);
	return 0;
}
