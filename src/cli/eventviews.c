/* SPDX-License-Identifier: GPL-2.0-or-later */
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
CELL(fd, fd)
CELL(query, query)
CELL(type, query_type)
CELL(rcode, rcode)
CELL(answers, answers)
CELL(user, user)

/* "10:01:00.123" today, "12-27 10:01" before, "2025-12-27" where the year would not be clear (a clock that was set tells of the future, too); UTC. */
static void cell_time(const struct zt_activity *a, struct zt_strbuf *out)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	zt_usec time = zt_now(), day = 24 * 3600 * ZT_USEC_PER_SEC;
	char now[32];

	zt_activity_value(a, ZT_FIELD_time, &b);
	zt_time_format(time, now);
	if (b.len < 23)
		zt_strbuf_char(out, '-');
	else if (!strncmp(b.buf, now, 10))
		zt_strbuf_add(out, b.buf + 11, 12);
	else if (a->time > time + day || a->time + 300 * day < time)
		zt_strbuf_add(out, b.buf, 10);
	else
		zt_strbuf_printf(out, "%.5s %.5s", b.buf + 5, b.buf + 11);
}

static void cell_args(const struct zt_activity *a, struct zt_strbuf *out)
{
	put(a, zt_activity_has(a, ZT_FIELD_args) ? ZT_FIELD_args : ZT_FIELD_filename, out);
}

static void cell_error(const struct zt_activity *a, struct zt_strbuf *out)
{
	zt_strbuf_u64(out, zt_activity_has(a, ZT_FIELD_error_number) ? a->error_number : 0);
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

/* "1,204 of kind connect: No space left on device" */
static void put_loss(const struct zt_activity *a, struct zt_strbuf *out)
{
	char n[32];

	zt_format_thousands(zt_activity_has(a, ZT_FIELD_count) ? a->count : 1, n);
	zt_strbuf_printf(out, "%s of kind ", n);
	put(a, ZT_FIELD_detail, out);
	if (zt_activity_has(a, ZT_FIELD_error))
		zt_strbuf_printf(out, ": %s", a->error);
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
		if (zt_activity_has(a, ZT_FIELD_error))
			zt_strbuf_printf(out, ": %s", a->error);
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
	case ZT_ACTIVITY_LOST:
		put_loss(a, out);
		break;
	case ZT_ACTIVITY_STATE:
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
	 {{"PID", -7, cell_pid},
	  {"COMM", -16, cell_comm},
	  {"USER", -12, cell_user},
	  {"FD", 3, cell_fd},
	  {"ERR", 3, cell_error},
	  {"PATH", 0, cell_path}}},
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
enum { WIDE = 110, GOES_ON = 2 /* lines more at most, without --verbose */, INDENT = 10 };

static bool is_narrow(const struct zt_cli *c)
{
	return !c->verbose && isatty(fileno(c->out)) && c->width < WIDE;
}

/* What is cut off where the terminal is not wide: it helps to see who, and --verbose or a pipe has it whole. */
static bool may_cut(const struct column *col)
{
	return col->put == cell_time || col->put == cell_user || col->put == cell_comm || col->put == cell_program;
}

static int width_of(const struct column *col, bool narrow)
{
	if (!narrow)
		return col->width;
	if (col->put == cell_time)
		return -11;
	if (col->put == cell_user)
		return -8;
	if (col->put == cell_comm || col->put == cell_program)
		return -10;
	if (col->put == cell_laddr || col->put == cell_raddr)
		return -13;
	if (col->put == cell_tx || col->put == cell_rx)
		return 5;
	return col->put == cell_query ? -24 : col->width;
}

/* Texts of records are printable; a character of UTF-8 is not cut in two. */
static int fitting(const char *text, int columns)
{
	int i = 0;

	for (; text[i] && (columns > 0 || ((unsigned char)text[i] & 0xc0) == 0x80); i++)
		columns -= ((unsigned char)text[i + 1] & 0xc0) != 0x80;
	return i;
}

/* How many columns it took. */
static int print_cell(FILE *f, const struct column *col, const char *text, bool narrow)
{
	int width = width_of(col, narrow), room = abs(width), have = (int)strlen(text);

	if (narrow && may_cut(col) && fitting(text, room) < have) {
		bool clock = col->put == cell_time;

		fprintf(f, "%.*s%s ", fitting(text, clock ? room : room - 2), text, clock ? "" : "..");
		return room + 1;
	}
	fprintf(f, width < 0 ? "%-*s " : "%*s ", room, text);
	return ZT_MAX(have, room) + 1;
}

/* How much of it goes into a line: to a blank, or what would not fit into the next one either. */
static int piece(const char *text, int left, int next)
{
	int n = fitting(text, left), blank = n;

	if (!text[n])
		return n;
	while (blank > 0 && text[blank] != ' ')
		blank--;
	while (blank > 0 && text[blank - 1] == ' ')
		blank--;
	if (blank > 0)
		return blank;
	return left < next && fitting(text, next) >= (int)strcspn(text, " ") ? 0 : n;
}

/* The last column takes what is left of a line of the terminal and goes on below, or without a terminal all it needs. */
static void print_last(const struct zt_cli *c, const char *text, int left)
{
	int lines = 0, next = (int)c->width - INDENT, n;

	if (c->verbose || !isatty(fileno(c->out))) {
		fprintf(c->out, "%s\n", text);
		return;
	}
	for (left = ZT_MAX(left, 1);; left = next) {
		n = piece(text, left, next);
		if (text[n] && lines++ == GOES_ON) {
			fprintf(c->out, "%.*s..\n", fitting(text, left - 2), text);
			return;
		}
		fprintf(c->out, "%.*s\n", n, text);
		text += n + strspn(text + n, " ");
		if (!*text)
			return;
		fprintf(c->out, "%*s", INDENT, "");
	}
}

static int id_width(const struct zt_cli *c)
{
	return is_narrow(c) ? 6 : 9;
}

void zt_view_head(const struct zt_cli *c, const struct zt_view *v, bool with_ids)
{
	const struct column *col = v->columns;

	if (with_ids)
		fprintf(c->out, "%*s ", id_width(c), "ID");
	for (; col->width; col++)
		(void)print_cell(c->out, col, col->title, is_narrow(c)); /* the head is no row */
	fprintf(c->out, "%s\n", col->title);
}

void zt_view_row(const struct zt_cli *c, const struct zt_view *v, uint64_t id, const struct zt_activity *a)
{
	ZT_STRBUF struct zt_strbuf last = {0};
	const struct column *col = v->columns;
	bool narrow = is_narrow(c);
	int left = (int)c->width;

	if (id)
		left -= fprintf(c->out, "%*llu ", id_width(c), (unsigned long long)id);
	for (; col->width; col++) {
		ZT_STRBUF struct zt_strbuf b = {0};

		col->put(a, &b);
		left -= print_cell(c->out, col, zt_strbuf_cstr(&b), narrow);
	}
	col->put(a, &last);
	print_last(c, zt_strbuf_cstr(&last), left);
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
