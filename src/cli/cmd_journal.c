/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The journal of events: how it is, what is in it, and out of it. */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "base/table.h"
#include "cli/cli.h"
#include "event/journal.h"
#include "event/sink.h"

static int read_query(struct zt_cli *c, struct zt_journal_query *q)
{
	uint32_t kinds = 0;
	int code = zt_cli_since(c, NULL, &q->since) ?: zt_cli_time(c, ZT_OPT_UNTIL, NULL, &q->until)
						    ?: zt_cli_kinds(c, &kinds);

	q->kinds = kinds;
	return code ?: zt_cli_event_user(c, &q->has_uid, &q->uid);
}

/* ---- status ---- */
static json_t *time_json(zt_usec t)
{
	char when[32];

	if (!t)
		return json_null();
	zt_time_format(t, when);
	return json_string(when);
}

static json_t *own_number(uint64_t v)
{
	return json_integer((json_int_t)v);
}

static int status_json(struct zt_cli *c, const struct zt_journal_status *s)
{
	return zt_cli_json(c,
			   json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b}",
				     "records", own_number(s->records), "vital_records", own_number(s->vital_records),
				     "first_id", own_number(s->first_id), "last_id", own_number(s->last_id), "oldest",
				     time_json(s->oldest), "newest", time_json(s->newest), "flows",
				     own_number(s->flows), "keys", own_number(s->keys), "oldest_flow",
				     time_json(s->oldest_flow), "file_bytes", own_number(s->file_bytes), "log_bytes",
				     own_number(s->wal_bytes), "free_bytes", own_number(s->free_bytes), "last_write",
				     time_json(s->heartbeat), "clean", (int)s->clean, "written", (int)s->written));
}

static void size_line(struct zt_cli *c, const char *what, uint64_t bytes)
{
	if (bytes < 10 << 20)
		fprintf(c->out, "%s%" PRIu64 " KiB", what, (bytes + 1023) / 1024);
	else
		fprintf(c->out, "%s%" PRIu64 " MiB", what, bytes >> 20);
}

static void line(struct zt_cli *c, const char *title, uint64_t n, zt_usec since)
{
	char number[32], when[32];

	zt_format_thousands(n, number);
	zt_time_format(since, when);
	fprintf(c->out, "%-14s%s%s%s\n", title, number, since ? ", since " : "", since ? when : "");
}

/* Those that a flood of the others does not push out: which kinds that are says what the number means. */
static void apart_line(struct zt_cli *c, uint64_t n)
{
	const char *before = " (";
	char number[32];

	zt_format_thousands(n, number);
	fprintf(c->out, "%-14s%s", "  kept apart:", number);
	for (enum zt_activity_kind k = 0; k < ZT_ACTIVITY_KINDS; k++)
		if (zt_journal_is_vital(k)) {
			fprintf(c->out, "%s%s", before, zt_activity_info(k)->name);
			before = ", ";
		}
	fputs(")\n", c->out);
}

static int status(struct zt_cli *c)
{
	ZT_CLEANUP(zt_journal_closep) struct zt_journal *j = NULL;
	struct zt_journal_status s;
	char when[32];
	int code = zt_cli_journal(c, &j), r;

	if (code)
		return code;
	r = zt_journal_status(j, &s);
	if (r < 0)
		return zt_cli_fail(c, r);
	if (c->json)
		return status_json(c, &s);
	line(c, "Events:", s.records, s.oldest);
	apart_line(c, s.vital_records);
	line(c, "Flows:", s.flows, s.oldest_flow);
	line(c, "  different:", s.keys, 0);
	size_line(c, "Size:         ", s.file_bytes);
	size_line(c, " and a log of ", s.wal_bytes);
	size_line(c, ", free inside: ", s.free_bytes);
	zt_time_format(s.heartbeat, when);
	fprintf(c->out, "\nLast write:   %s, %s\n", when,
		s.written ? "a process is writing"
		: s.clean ? "the writer stopped"
			  : "the writer ended without stopping: the next one tells of the gap");
	return 0;
}

/* ---- export ---- */
struct target {
	enum zt_sink_format format;
	struct zt_sink *sink; /* or NULL: c->out */
	char host[256];
	uint64_t n;
};

static int open_target(struct zt_cli *c, struct target *t)
{
	const char *format = zt_opt(c, FORMAT), *to = zt_opt(c, TO);
	int f = format ? zt_sink_format_find(format) : ZT_FORMAT_JSON, r;

	if (f < 0)
		return zt_cli_error(c, ZT_EXIT_USAGE, 5061, "json, ecs, ocsf, syslog or journald",
				    "\"%s\" is no format of events", format);
	if (format && to)
		return zt_cli_error(c, ZT_EXIT_USAGE, 5001, NULL, "--to says the format: --format does not go with it");
	t->format = (enum zt_sink_format)f;
	if (gethostname(t->host, sizeof(t->host) - 1) < 0)
		t->host[0] = '\0';
	r = to ? zt_sink_open(to, t->host, &t->sink, &c->diags) : 0;
	if (r == -EINVAL)
		return zt_cli_fail(c, r), ZT_EXIT_USAGE;
	return r < 0 ? zt_cli_fail(c, r) : 0;
}

static int put(struct zt_cli *c, struct target *t, const struct zt_activity *a, uint64_t id)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	int r;

	t->n++;
	if (t->sink) { /* a file is faster than any receiver */
		while (zt_sink_pending(t->sink) > ZT_SINK_BUFFER / 2 && zt_sink_flush(t->sink, 5000) == 0)
			;
		(void)zt_sink_send(t->sink, a); /* counted */
		return 0;
	}
	r = zt_sink_text(t->format, a, t->host, id, &b);
	zt_strbuf_char(&b, '\n');
	errno = 0;
	if (!r && fwrite(b.buf, 1, b.len, c->out) != b.len)
		r = errno ? -errno : -EIO;
	return r;
}

/* What there is now. */
static int put_all(struct zt_cli *c, struct target *t, struct zt_journal_iter *it)
{
	struct zt_activity a;
	uint64_t id;
	int r;

	while ((r = zt_journal_next(it, &a, &id)) > 0) {
		r = put(c, t, &a, id);
		if (r < 0)
			return r;
	}
	return r ?: fflush(c->out) ? -errno : 0;
}

static int exported(struct zt_cli *c, struct target *t, uint64_t damaged)
{
	uint64_t lost = 0;

	if (t->sink) {
		int r = zt_sink_flush(t->sink, 5000); /* what stays is lost */

		lost = zt_sink_lost(t->sink);
		if (zt_sink_pending(t->sink))
			return zt_cli_error(c, ZT_EXIT_FAILED, 4521, NULL,
					    "%s did not take the last %" PRIu64 " bytes: %s", zt_opt(c, TO),
					    zt_sink_pending(t->sink), strerror(-(zt_sink_error(t->sink) ?: r)));
	}
	if (lost)
		return zt_cli_error(c, ZT_EXIT_FAILED, 4521, NULL,
				    "%" PRIu64 " of %" PRIu64 " events could not be sent to %s: %s", lost, t->n,
				    zt_opt(c, TO), strerror(-zt_sink_error(t->sink)));
	if (damaged)
		return zt_cli_error(c, ZT_EXIT_FAILED, 5062, "\"zt-segment journal check\" tells more",
				    "%" PRIu64 " parts of the journal could not be read", damaged);
	if (t->sink && !c->quiet)
		fprintf(c->out, "%" PRIu64 " events sent.\n", t->n);
	return 0;
}

/* The writer commits once a second: what happened before Ctrl-C is in the journal a moment after it. */
static int follow(struct zt_cli *c, struct target *t, struct zt_journal_iter *it)
{
	zt_usec end;
	int r = 0;

	zt_cli_catch_end();
	while (!r && !zt_cli_stopped()) {
		if (t->sink && zt_sink_pending(t->sink))
			(void)zt_sink_flush(t->sink, 1000); /* what stays is tried again */
		else
			(void)sleep(1); /* a signal ends it */
		r = put_all(c, t, it);
	}
	for (end = zt_now_monotonic() + 3 * ZT_USEC_PER_SEC / 2; !r && zt_now_monotonic() < end;)
		(void)usleep(100000);
	return r ?: put_all(c, t, it);
}

static int export(struct zt_cli *c)
{
	ZT_CLEANUP(zt_journal_closep) struct zt_journal *j = NULL;
	ZT_CLEANUP(zt_journal_iter_freep) struct zt_journal_iter *it = NULL;
	struct zt_journal_query q = {0};
	struct target t = {0};
	int code = read_query(c, &q) ?: open_target(c, &t) ?: zt_cli_journal(c, &j), r = 0;

	if (!code) {
		r = zt_journal_query(j, &q, &it) ?: put_all(c, &t, it);
		if (!r && zt_opt(c, FOLLOW))
			r = follow(c, &t, it);
		code = r < 0 ? zt_cli_fail(c, r) : exported(c, &t, zt_journal_iter_damaged(it));
	}
	zt_sink_close(t.sink);
	return code;
}

/* ---- flows ---- */
struct flow_list {
	struct zt_cli *c;
	json_t *rows;
};

static int put_flow(const struct zt_journal_flow *f, void *arg)
{
	struct flow_list *l = arg;
	ZT_STRBUF struct zt_strbuf b = {0};
	json_t *row;

	zt_activity_json(&f->who, &b);
	row = zt_strbuf_error(&b) ? NULL : json_loadb(b.buf, b.len, 0, NULL);
	(void)json_object_del(row, "kind"); /* of a sum of several */
	(void)json_object_del(row, "time");
	if (!row || json_object_update_new(row, json_pack("{s:o, s:o, s:o, s:o, s:o}", "count", own_number(f->count),
							  "bytes_sent", own_number(f->bytes_sent), "bytes_received",
							  own_number(f->bytes_received), "first", time_json(f->first),
							  "last", time_json(f->last))) < 0)
		return -ENOMEM;
	return json_array_append_new(l->rows, row) < 0 ? -ENOMEM : 0;
}

static int by_count(const void *a, const void *b)
{
	json_int_t x = json_integer_value(json_object_get(*(json_t *const *)a, "count"));
	json_int_t y = json_integer_value(json_object_get(*(json_t *const *)b, "count"));

	return (x < y) - (x > y);
}

static const char *text_of(const json_t *row, const char *name)
{
	const char *s = json_string_value(json_object_get(row, name));

	return s ? s : "";
}

static void flow_who(const json_t *row, struct zt_strbuf *out)
{
	const char *user = text_of(row, "user"), *exe = text_of(row, "exe"), *slash = strrchr(exe, '/');
	const json_t *uid = json_object_get(row, "uid");

	if (*user)
		zt_strbuf_str(out, user);
	else if (uid)
		zt_strbuf_printf(out, "uid %" JSON_INTEGER_FORMAT, json_integer_value(uid));
	if (*exe) /* its name alone: the table is narrow, and -o json has the path */
		zt_strbuf_printf(out, "%s%s", out->len ? " " : "", slash && slash[1] ? slash + 1 : exe);
}

static void flow_where(const json_t *row, struct zt_strbuf *out)
{
	bool in = !strcmp(text_of(row, "direction"), "ingress");
	const char *host = *text_of(row, "name") ? text_of(row, "name") : text_of(row, in ? "src" : "dst");
	const json_t *port = json_object_get(row, "dport");

	zt_strbuf_str(out, in ? "from " : "to ");
	zt_strbuf_str(out, host);
	if (port)
		zt_strbuf_printf(out, "%s%" JSON_INTEGER_FORMAT, in ? " at :" : ":", json_integer_value(port));
	zt_strbuf_printf(out, "/%s", *text_of(row, "protocol") ? text_of(row, "protocol") : "any");
}

static int flow_row(struct zt_table *t, const json_t *row)
{
	ZT_STRBUF struct zt_strbuf who = {0}, where = {0};
	char count[32];

	zt_format_thousands((uint64_t)json_integer_value(json_object_get(row, "count")), count);
	flow_who(row, &who);
	flow_where(row, &where);
	return zt_strbuf_error(&who) ?: zt_strbuf_error(&where)
		       ?: zt_table_row(t, (const char *[]){count, zt_strbuf_cstr(&who), zt_strbuf_cstr(&where), text_of(row, "verdict"),
							    text_of(row, "rule")});
}

enum { SHOWN = 50 };

static int flow_table(struct zt_cli *c, json_t *const *rows, size_t n)
{
	static const struct zt_table_column columns[] = {{.title = "Times", .min = 5, .right = true},
							 {.title = "Who", .min = 10, .flexible = true},
							 {.title = "Where", .min = 10, .flexible = true, .vital = true},
							 {.title = "Verdict", .min = 7},
							 {.title = "Rule", .flexible = true}};
	ZT_CLEANUP(zt_table_freep) struct zt_table *t = zt_table_new(columns, ZT_ARRAY_SIZE(columns));
	size_t shown = c->verbose ? n : ZT_MIN(n, (size_t)SHOWN);
	int r = t ? 0 : -ENOMEM;

	for (size_t i = 0; i < shown && !r; i++)
		r = flow_row(t, rows[i]);
	r = r ?: zt_table_print(t, c->out, "FLOWS", NULL, 0, c->columns, c->colour);
	if (!r && shown < n)
		fprintf(c->out, "%zu more, with fewer connections each; --verbose lists them.\n", n - shown);
	return r < 0 ? zt_cli_fail(c, r) : 0;
}

static int sorted(struct zt_cli *c, const json_t *rows)
{
	size_t n = json_array_size(rows);
	ZT_FREE json_t **v = zt_new(json_t *, n);
	json_t *out = json_array();
	int r = v && out ? 0 : -ENOMEM, code;

	for (size_t i = 0; i < n && !r; i++)
		v[i] = json_array_get(rows, i);
	if (!r)
		qsort(v, n, sizeof(*v), by_count);
	for (size_t i = 0; i < n && !r && c->json; i++)
		r = json_array_append(out, v[i]) < 0 ? -ENOMEM : 0;
	if (r)
		code = zt_cli_fail(c, r);
	else if (c->json)
		code = zt_cli_json(c, json_pack("{s:O}", "flows", out));
	else if (n)
		code = flow_table(c, v, n);
	else
		code = (fprintf(c->out, "No flows.\n"), 0);
	json_decref(out);
	return code;
}

static int flows(struct zt_cli *c)
{
	ZT_CLEANUP(zt_journal_closep) struct zt_journal *j = NULL;
	struct flow_list l = {c, json_array()};
	struct zt_journal_query q = {0};
	int code = read_query(c, &q) ?: zt_cli_journal(c, &j), r;

	if (!code) {
		r = zt_journal_flows(j, &q, true, put_flow, &l);
		code = r < 0 ? zt_cli_fail(c, r) : sorted(c, l.rows);
	}
	json_decref(l.rows);
	return code;
}

/* ---- upkeep ---- */
static int check(struct zt_cli *c)
{
	ZT_CLEANUP(zt_journal_closep) struct zt_journal *j = NULL;
	struct zt_journal_findings f = {0};
	int code = zt_cli_journal(c, &j), r;
	char records[32], n_flows[32];

	if (code)
		return code;
	r = zt_journal_check(j, &f);
	if (r < 0 && r != -EBADMSG)
		return zt_cli_fail(c, r);
	code = r ? ZT_EXIT_FAILED : 0;
	zt_format_thousands(f.records, records);
	zt_format_thousands(f.flows, n_flows);
	if (c->json)
		code = zt_cli_json(c, json_pack("{s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "ok", !r, "records",
						own_number(f.records), "flows", own_number(f.flows), "damaged_chunks",
						own_number(f.damaged_chunks), "miscounted", own_number(f.miscounted),
						"orphans", own_number(f.orphans), "database",
						zt_json_text(zt_strbuf_cstr(&f.text))))
			       ?: code;
	else if (!r && !c->quiet)
		fprintf(c->out, "%sIntact%s: %s events, %s flows.\n", zt_colour(c, ZT_GREEN), zt_colour(c, ZT_PLAIN),
			records, n_flows);
	else if (r)
		(void)zt_cli_error(
			c, code, 5062,
			"the readable part can be exported; the next start of zt-segmentd replaces a file that cannot be read",
			"the journal is damaged: %" PRIu64 " of %" PRIu64 " parts unreadable, %" PRIu64
			" counts wrong, %" PRIu64 " flows without a key%s%s",
			f.damaged_chunks, f.chunks, f.miscounted, f.orphans, f.text.len ? "; " : "",
			zt_strbuf_cstr(&f.text));
	zt_strbuf_done(&f.text);
	return code;
}

static int vacuum(struct zt_cli *c)
{
	ZT_CLEANUP(zt_journal_closep) struct zt_journal *j = NULL; /* is there one? */
	ZT_FREE char *path = zt_cli_journal_path(c);
	uint64_t freed = 0;
	int code = zt_cli_journal(c, &j), r;

	if (code)
		return code;
	r = path ? zt_journal_vacuum(path, &freed, &c->diags) : -ENOMEM;
	if (r < 0)
		return zt_cli_fail(c, r);
	if (c->json)
		return zt_cli_json(c, json_pack("{s:o}", "freed_bytes", own_number(freed)));
	if (!c->quiet) {
		size_line(c, "", freed);
		fprintf(c->out, " given back.\n");
	}
	return 0;
}

/* ---- fields ---- */
static const char *type_name(enum zt_field_type t)
{
	static const char *const names[] = {
		[ZT_TYPE_TIME] = "time",    [ZT_TYPE_KIND] = "kind",  [ZT_TYPE_U64] = "number",
		[ZT_TYPE_U32] = "number",   [ZT_TYPE_U16] = "number", [ZT_TYPE_PROTO] = "protocol",
		[ZT_TYPE_ADDR] = "address", [ZT_TYPE_TEXT] = "text",
	};
	_Static_assert(ZT_ARRAY_SIZE(names) == ZT_TYPE_TEXT + 1, "one for each type");

	return names[t];
}

static int fields_json(struct zt_cli *c)
{
	json_t *list = json_array(), *kinds = json_array();

	for (enum zt_field f = 0; f < ZT_FIELDS; f++) {
		const struct zt_field_info *i = zt_field_info(f);

		(void)json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", i->name, "type",
							    type_name(i->type), "ecs", i->ecs, "ocsf", i->ocsf, "doc",
							    i->doc)); /* a lack shows in zt_cli_json() */
	}
	for (unsigned k = 0; k < ZT_ACTIVITY_KINDS; k++)
		(void)json_array_append_new(kinds, json_pack("{s:s, s:s, s:i, s:s}", "name", zt_activity_info(k)->name,
							     "ecs_category", zt_activity_info(k)->category,
							     "ocsf_class", (int)zt_activity_info(k)->ocsf_class, "doc",
							     zt_activity_info(k)->doc));
	return zt_cli_json(c, json_pack("{s:o, s:o}", "fields", list, "kinds", kinds));
}

/* The tables of docs/events.md, as they stand there. */
static int fields(struct zt_cli *c)
{
	if (c->json)
		return fields_json(c);
	fprintf(c->out, "| kind | what | ECS category | OCSF class |\n|---|---|---|---|\n");
	for (unsigned k = 0; k < ZT_ACTIVITY_KINDS; k++)
		fprintf(c->out, "| %s | %s | %s | %u |\n", zt_activity_info(k)->name, zt_activity_info(k)->doc,
			zt_activity_info(k)->category, zt_activity_info(k)->ocsf_class);
	fprintf(c->out, "\n| field | type | what | ECS | OCSF |\n|---|---|---|---|---|\n");
	for (enum zt_field f = 0; f < ZT_FIELDS; f++)
		fprintf(c->out, "| %s | %s | %s | %s | %s |\n", zt_field_info(f)->name,
			type_name(zt_field_info(f)->type), zt_field_info(f)->doc, zt_field_info(f)->ecs,
			zt_field_info(f)->ocsf);
	return 0;
}

struct part {
	const char *name;
	int (*run)(struct zt_cli *c);
	bool queries, exports; /* takes the options of a query; of the export */
};

/* The verb has the options of all parts. */
static int check_options(struct zt_cli *c, const struct part *p)
{
	static const struct {
		enum zt_opt opt;
		bool of_query;
	} options[] = {{ZT_OPT_SINCE, true},   {ZT_OPT_UNTIL, true}, {ZT_OPT_USER, true},   {ZT_OPT_KIND, false},
		       {ZT_OPT_FORMAT, false}, {ZT_OPT_TO, false},   {ZT_OPT_FOLLOW, false}};

	for (size_t i = 0; i < ZT_ARRAY_SIZE(options); i++)
		if (c->args.value[options[i].opt] && !(options[i].of_query ? p->queries : p->exports))
			return zt_cli_error(c, ZT_EXIT_USAGE, 5001,
					    options[i].of_query ? "export and flows take it" : "export takes it",
					    "journal %s does not take --%s", p->name, zt_options[options[i].opt].name);
	return 0;
}

int zt_cmd_journal(struct zt_cli *c)
{
	static const struct part parts[] = {{"status", status, false, false}, {"export", export, true, true},
					    {"flows", flows, true, false},    {"check", check, false, false},
					    {"vacuum", vacuum, false, false}, {"fields", fields, false, false}};
	const char *what = c->args.n_pos ? c->args.pos[0] : "status";

	for (size_t i = 0; i < ZT_ARRAY_SIZE(parts); i++)
		if (!strcmp(what, parts[i].name))
			return check_options(c, &parts[i]) ?: parts[i].run(c);
	return zt_cli_error(c, ZT_EXIT_USAGE, 5001, "status, export, flows, check, vacuum or fields",
			    "journal has no \"%s\"", what);
}
