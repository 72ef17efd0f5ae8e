/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <limits.h>
#include <signal.h>
#include <string.h>

#include "cli/eventviews.h"

#define BIT(kind) (1u << ZT_ACTIVITY_##kind)

struct column {
	const char *title;
	int width; /* negative: flush left; 0: the rest of the line */
	void (*put)(const struct zt_activity *a, struct zt_strbuf *out);
};
struct zt_view {
	const char *name;
	uint32_t kinds;
	struct column columns[10];
};

/* ---- cells ---- */
static void put(const struct zt_activity *a, enum zt_field f, struct zt_strbuf *out)
{
	if (zt_activity_has(a, f))
		zt_activity_value(a, f, out);
	else
		zt_strbuf_char(out, '-');
}

#define CELL(name, field)                                                           \
	static void cell_##name(const struct zt_activity *a, struct zt_strbuf *out) \
	{                                                                           \
		put(a, ZT_FIELD_##field, out);                                      \
	}
CELL(pid, pid)
CELL(ppid, ppid)
CELL(comm, comm)
CELL(kind, kind)
CELL(path, path)
CELL(query, query)
CELL(type, query_type)
CELL(rcode, rcode)
CELL(answers, answers)
CELL(user, user)

static void cell_time(const struct zt_activity *a, struct zt_strbuf *out)
{
	ZT_STRBUF struct zt_strbuf b = {0};

	zt_activity_value(a, ZT_FIELD_time, &b);
	zt_strbuf_add(out, zt_strbuf_cstr(&b) + 11, 12); /* 10:01:00.123 */
}

static void cell_args(const struct zt_activity *a, struct zt_strbuf *out)
{
	put(a, zt_activity_has(a, ZT_FIELD_args) ? ZT_FIELD_args : ZT_FIELD_filename, out);
}

static void cell_zero(const struct zt_activity *a, struct zt_strbuf *out)
{
	(void)a; /* only programs that were started are told */
	zt_strbuf_char(out, '0');
}

static bool is_in(const struct zt_activity *a)
{
	return zt_activity_has(a, ZT_FIELD_direction) && !strcmp(a->direction, "ingress");
}

static void cell_laddr(const struct zt_activity *a, struct zt_strbuf *out)
{
	put(a, is_in(a) ? ZT_FIELD_dst : ZT_FIELD_src, out);
}

static void cell_lport(const struct zt_activity *a, struct zt_strbuf *out)
{
	put(a, is_in(a) ? ZT_FIELD_dport : ZT_FIELD_sport, out);
}

static void cell_raddr(const struct zt_activity *a, struct zt_strbuf *out)
{
	put(a, is_in(a) ? ZT_FIELD_src : ZT_FIELD_dst, out);
}

static void cell_rport(const struct zt_activity *a, struct zt_strbuf *out)
{
	put(a, is_in(a) ? ZT_FIELD_sport : ZT_FIELD_dport, out);
}

static void cell_tx(const struct zt_activity *a, struct zt_strbuf *out)
{
	zt_strbuf_u64(out, a->bytes_sent / 1024);
}

static void cell_rx(const struct zt_activity *a, struct zt_strbuf *out)
{
	zt_strbuf_u64(out, a->bytes_received / 1024);
}

static void cell_ms(const struct zt_activity *a, struct zt_strbuf *out)
{
	if (zt_activity_has(a, ZT_FIELD_duration))
		zt_strbuf_u64(out, a->duration / 1000);
	else
		zt_strbuf_char(out, '-');
}

/* The program by its last part: what runs, not what it calls itself. */
static void cell_program(const struct zt_activity *a, struct zt_strbuf *out)
{
	const char *slash = zt_activity_has(a, ZT_FIELD_exe) ? strrchr(a->exe, '/') : NULL;

	if (slash && slash[1])
		zt_strbuf_str(out, slash + 1);
	else
		put(a, ZT_FIELD_comm, out);
}

static void put_endpoint(const struct zt_activity *a, enum zt_field addr, enum zt_field port, struct zt_strbuf *out)
{
	bool six = zt_activity_has(a, addr) && (addr == ZT_FIELD_src ? a->src.family : a->dst.family) == 6;
	bool ports = zt_activity_has(a, port);

	if (zt_activity_has(a, addr)) {
		zt_strbuf_str(out, six && ports ? "[" : "");
		zt_activity_value(a, addr, out);
		zt_strbuf_str(out, six && ports ? "]" : "");
	}
	if (ports) {
		zt_strbuf_char(out, ':');
		zt_activity_value(a, port, out);
	}
}

static void put_flow(const struct zt_activity *a, struct zt_strbuf *out)
{
	if (zt_activity_has(a, ZT_FIELD_direction) && !strcmp(a->direction, "unix")) {
		zt_strbuf_str(out, "unix:");
		put(a, ZT_FIELD_path, out);
		return;
	}
	if (is_in(a) && zt_activity_has(a, ZT_FIELD_src)) {
		put_endpoint(a, ZT_FIELD_src, ZT_FIELD_sport, out);
		zt_strbuf_str(out, " -> ");
	}
	put_endpoint(a, ZT_FIELD_dst, ZT_FIELD_dport, out);
	zt_strbuf_char(out, '/');
	put(a, ZT_FIELD_protocol, out);
	if (zt_activity_has(a, ZT_FIELD_name))
		zt_strbuf_printf(out, " (%s)", a->name);
	if (zt_activity_has(a, ZT_FIELD_error))
		zt_strbuf_printf(out, ": %s", a->error);
	if (a->kind == ZT_ACTIVITY_CLOSE)
		zt_strbuf_printf(out, "  sent %llu received %llu", (unsigned long long)a->bytes_sent,
				 (unsigned long long)a->bytes_received);
}

static void put_end(const struct zt_activity *a, struct zt_strbuf *out)
{
	if (zt_activity_has(a, ZT_FIELD_signal))
		zt_strbuf_printf(out, "signal %u (%s)", a->signal, sigabbrev_np((int)a->signal) ?: "?");
	else
		zt_strbuf_printf(out, "status %u", a->exit_code);
}

/* What matters of each kind. */
void zt_activity_what(const struct zt_activity *a, struct zt_strbuf *out)
{
	switch (a->kind) {
	case ZT_ACTIVITY_EXEC:
	case ZT_ACTIVITY_PRIVILEGE:
		if (zt_activity_has(a, ZT_FIELD_detail)) { /* by a system call */
			zt_strbuf_printf(out, "%s%s", zt_activity_has(a, ZT_FIELD_request) ? a->request : "",
					 zt_activity_has(a, ZT_FIELD_request) ? ": " : "");
			put(a, ZT_FIELD_detail, out);
			break;
		}
		cell_args(a, out);
		if (zt_activity_has(a, ZT_FIELD_euid))
			zt_strbuf_printf(out, "  as uid %u", a->euid);
		break;
	case ZT_ACTIVITY_EXIT:
		put_end(a, out);
		break;
	case ZT_ACTIVITY_DNS:
		zt_strbuf_printf(out, "%s %s", a->query, a->query_type);
		if (zt_activity_has(a, ZT_FIELD_rcode))
			zt_strbuf_printf(out, " %s %s", a->rcode,
					 zt_activity_has(a, ZT_FIELD_answers) ? a->answers : "");
		break;
	case ZT_ACTIVITY_OPEN:
		put(a, ZT_FIELD_path, out);
		break;
	case ZT_ACTIVITY_CONNECT:
	case ZT_ACTIVITY_ACCEPT:
	case ZT_ACTIVITY_LISTEN:
	case ZT_ACTIVITY_BIND:
	case ZT_ACTIVITY_CLOSE:
	case ZT_ACTIVITY_FLOW:
	case ZT_ACTIVITY_DENY:
	case ZT_ACTIVITY_ALLOW:
		put_flow(a, out);
		break;
	case ZT_ACTIVITY_MODULE:
		put(a, ZT_FIELD_module, out);
		break;
	case ZT_ACTIVITY_PTRACE:
		put(a, ZT_FIELD_request, out);
		zt_strbuf_printf(out, " of %s[%u]", zt_activity_has(a, ZT_FIELD_peer_exe) ? a->peer_exe : "process",
				 a->peer_pid);
		if (zt_activity_has(a, ZT_FIELD_error))
			zt_strbuf_printf(out, ": %s", a->error);
		break;
	case ZT_ACTIVITY_STATE:
	case ZT_ACTIVITY_LOST:
	case ZT_ACTIVITY_KINDS:
		put(a, ZT_FIELD_detail, out);
		break;
	}
}

static const struct zt_view views[] = {
	{"exec",
	 BIT(EXEC),
	 {{"PCOMM", -16, cell_comm},
	  {"PID", -7, cell_pid},
	  {"PPID", -7, cell_ppid},
	  {"RET", 3, cell_zero},
	  {"ARGS", 0, cell_args}}},
	{"tcp",
	 BIT(CLOSE),
	 {{"PID", -7, cell_pid},
	  {"COMM", -12, cell_comm},
	  {"LADDR", -15, cell_laddr},
	  {"LPORT", -5, cell_lport},
	  {"RADDR", -15, cell_raddr},
	  {"RPORT", -5, cell_rport},
	  {"TX_KB", 6, cell_tx},
	  {"RX_KB", 6, cell_rx},
	  {"MS", 0, cell_ms}}},
	{"open",
	 BIT(OPEN),
	 {{"PID", -7, cell_pid}, {"COMM", -16, cell_comm}, {"USER", -12, cell_user}, {"PATH", 0, cell_path}}},
	{"dns",
	 BIT(DNS),
	 {{"PID", -7, cell_pid},
	  {"COMM", -12, cell_comm},
	  {"QUERY", -30, cell_query},
	  {"TYPE", -6, cell_type},
	  {"RCODE", -9, cell_rcode},
	  {"ANSWERS", 0, cell_answers}}},
	{"",
	 ~0u,
	 {{"TIME", -12, cell_time},
	  {"KIND", -9, cell_kind},
	  {"PID", 7, cell_pid},
	  {"USER", -12, cell_user},
	  {"PROGRAM", -16, cell_program},
	  {"WHAT", 0, zt_activity_what}}},
};

const struct zt_view *zt_view_find(const char *name)
{
	for (size_t i = 0; i < ZT_ARRAY_SIZE(views); i++)
		if (!strcmp(views[i].name, name))
			return &views[i];
	return NULL;
}

uint32_t zt_view_kinds(const struct zt_view *v)
{
	return v->kinds;
}

/* ---- lines ---- */
/* The last column takes what is left of a line of the terminal, and without one all it needs. */
static void print_cell(FILE *f, const struct column *col, const char *text, int left)
{
	if (!col->width)
		fprintf(f, "%.*s\n", left, text);
	else if (col->width < 0)
		fprintf(f, "%-*s ", -col->width, text);
	else
		fprintf(f, "%*s ", col->width, text);
}

void zt_view_head(const struct zt_cli *c, const struct zt_view *v, bool with_ids)
{
	if (with_ids)
		fprintf(c->out, "%9s ", "ID");
	for (const struct column *col = v->columns; col->title; col++)
		print_cell(c->out, col, col->title, INT_MAX);
}

void zt_view_row(const struct zt_cli *c, const struct zt_view *v, uint64_t id, const struct zt_activity *a)
{
	int left = c->verbose || !isatty(fileno(c->out)) ? INT_MAX : (int)c->width;

	if (id)
		fprintf(c->out, "%9llu ", (unsigned long long)id);
	if (id && left != INT_MAX)
		left -= 10;
	for (const struct column *col = v->columns; col->title; col++) {
		ZT_STRBUF struct zt_strbuf b = {0};

		col->put(a, &b);
		print_cell(c->out, col, zt_strbuf_cstr(&b), ZT_MAX(left, 0));
		if (left != INT_MAX)
			left -= (int)ZT_MAX(b.len, (size_t)abs(col->width)) + 1;
	}
}

void zt_view_json(const struct zt_cli *c, uint64_t id, const struct zt_activity *a)
{
	ZT_STRBUF struct zt_strbuf b = {0};

	zt_activity_json(a, &b);
	if (zt_strbuf_error(&b))
		return;
	if (id)
		fprintf(c->out, "{\"id\":%llu,%s\n", (unsigned long long)id, zt_strbuf_cstr(&b) + 1);
	else
		fprintf(c->out, "%s\n", zt_strbuf_cstr(&b));
}
