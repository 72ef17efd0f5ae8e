/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who uses the network now. What a process has sent and received is the sum of its open TCP sockets (sock_diag), of its connections that
 * have ended and of its other flows (both from the kernel's events), so that the difference of two looks is exact.
 */
#include <jansson.h>
#include <poll.h>
#include <string.h>
#include <termios.h>

#include "apply/flows.h"
#include "base/lru.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/table.h"
#include "cli/cli.h"
#include "event/sources.h"

enum { PROCESSES = 8192, ROWS_DEFAULT = 20 };
#define EVERY (2 * ZT_USEC_PER_SEC)
#define BIT(kind) (1u << ZT_ACTIVITY_##kind)

struct use {
	uint32_t pid, open;		     /* sockets with a peer */
	uint64_t ended_sent, ended_received; /* of what has ended */
	uint64_t sent, received, begun;	     /* so far */
	uint64_t was_sent, was_received, was_begun;
	double sent_rate, received_rate, begun_rate; /* a second */
	bool seen;
	char user[64], program[64], service[64], peer[96];
};

struct top {
	struct zt_cli *c;
	struct zt_sources *sources;
	struct zt_lru *uses; /* by pid */
	uint32_t *pids;	     /* that are in it */
	size_t n_pids, cap_pids;
	zt_usec looked, every;
	uint64_t rounds, max_rounds; /* 0: no end */
	int signals;
	bool tty;
	struct termios before;
};

/* ---- counting ---- */
static struct use *use_of(struct top *t, uint32_t pid)
{
	uint64_t key = pid;
	struct use *u = zt_lru_get(t->uses, &key);

	if (u)
		return u;
	if (t->n_pids >= PROCESSES || zt_grow(t->pids, t->cap_pids, t->n_pids) < 0)
		return NULL;
	t->pids[t->n_pids++] = pid;
	u = zt_lru_put(t->uses, &key);
	u->pid = pid;
	return u;
}

static void take_text(char *to, size_t size, const struct zt_activity *a, enum zt_field f, const char *s)
{
	if (zt_activity_has(a, f) && !to[0])
		(void)snprintf(to, size, "%.*s", (int)size - 1, s);
}

static void take_who(struct use *u, const struct zt_activity *a)
{
	const char *slash = zt_activity_has(a, ZT_FIELD_exe) ? strrchr(a->exe, '/') : NULL;

	take_text(u->user, sizeof(u->user), a, ZT_FIELD_user, a->user);
	take_text(u->service, sizeof(u->service), a, ZT_FIELD_service, a->service);
	take_text(u->program, sizeof(u->program), a, slash ? ZT_FIELD_exe : ZT_FIELD_comm, slash ? slash + 1 : a->comm);
}

static void take_peer(struct use *u, const struct zt_activity *a)
{
	bool in = zt_activity_has(a, ZT_FIELD_direction) && !strcmp(a->direction, "ingress");
	const struct zt_addr *addr = in ? &a->src : &a->dst;
	char text[64];

	if (!addr->family || !zt_activity_has(a, in ? ZT_FIELD_src : ZT_FIELD_dst))
		return;
	zt_addr_format(addr, text);
	if (zt_activity_has(a, ZT_FIELD_name))
		(void)snprintf(u->peer, sizeof(u->peer), "%.80s", a->name);
	else
		(void)snprintf(u->peer, sizeof(u->peer), "%s", text);
}

static int on_activity(void *arg, struct zt_activity *a)
{
	struct top *t = arg;
	struct use *u = zt_activity_has(a, ZT_FIELD_pid) && a->pid ? use_of(t, a->pid) : NULL;

	if (!u)
		return 0;
	take_who(u, a);
	take_peer(u, a);
	if (a->kind == ZT_ACTIVITY_CLOSE) {
		u->ended_sent += a->bytes_sent;
		u->ended_received += a->bytes_received;
	} else {
		u->begun++;
	}
	return 0;
}

static void on_flow(void *arg, uint32_t pid, uint64_t sent, uint64_t received)
{
	struct use *u = pid ? use_of(arg, pid) : NULL;

	if (!u)
		return;
	u->sent += sent;
	u->received += received;
	u->open++;
	u->seen = true;
}

static void take_socket(struct top *t, const struct zt_socket *s)
{
	struct use *u = s->pid > 0 && s->proto == 6 && !s->listening ? use_of(t, (uint32_t)s->pid) : NULL;

	if (!u)
		return;
	u->sent += s->sent;
	u->received += s->received;
	u->open++;
	u->seen = true;
	if (!u->peer[0])
		zt_addr_format(&s->remote, u->peer);
}

static void name(struct top *t, struct use *u)
{
	struct zt_activity a;

	if (u->program[0])
		return;
	zt_activity_init(&a, ZT_ACTIVITY_FLOW, 0);
	if (zt_procs_fill_pid(zt_sources_procs(t->sources), u->pid, &a) == 0)
		take_who(u, &a);
}

static int look(struct top *t)
{
	ZT_CLEANUP(zt_sockets_done) struct zt_sockets sockets = {0};
	zt_usec now = zt_now_monotonic();
	double seconds = (double)(now - t->looked) / (double)ZT_USEC_PER_SEC;
	int r = zt_sockets_read(&sockets) ?: zt_sockets_find_processes(&sockets);

	if (r < 0)
		return r;
	for (size_t i = 0; i < t->n_pids; i++) {
		struct use *u = use_of(t, t->pids[i]);

		if (!u)
			continue;
		u->sent = u->ended_sent;
		u->received = u->ended_received;
		u->open = 0;
		u->seen = false;
	}
	for (size_t i = 0; i < sockets.n; i++)
		take_socket(t, &sockets.v[i]);
	zt_trace_flows(zt_sources_trace(t->sources), on_flow, t);
	for (size_t i = 0; i < t->n_pids; i++) {
		struct use *u = use_of(t, t->pids[i]);

		if (!u)
			continue;
		name(t, u);
		u->sent_rate = u->sent > u->was_sent ? (double)(u->sent - u->was_sent) / seconds : 0;
		u->received_rate = u->received > u->was_received ? (double)(u->received - u->was_received) / seconds
								 : 0;
		u->begun_rate = (double)(u->begun - u->was_begun) / seconds;
		u->was_sent = u->sent;
		u->was_received = u->received;
		u->was_begun = u->begun;
	}
	t->looked = now;
	return 0;
}

/* Those that have neither a socket nor anything new are left out of the next look. */
static void forget(struct top *t)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->n_pids; i++) {
		uint64_t key = t->pids[i];
		const struct use *u = zt_lru_get(t->uses, &key);

		if (u && (u->seen || u->begun_rate > 0 || u->sent_rate > 0 || u->received_rate > 0))
			t->pids[kept++] = t->pids[i];
		else
			zt_lru_drop(t->uses, &key);
	}
	t->n_pids = kept;
}

/* ---- printing ---- */
static int by_rate(const void *a, const void *b)
{
	const struct use *x = *(struct use *const *)a, *y = *(struct use *const *)b;
	double p = x->sent_rate + x->received_rate, q = y->sent_rate + y->received_rate;

	if (p != q)
		return p < q ? 1 : -1;
	if (x->begun_rate != y->begun_rate)
		return x->begun_rate < y->begun_rate ? 1 : -1;
	return x->open != y->open ? (x->open < y->open ? 1 : -1) : (x->pid > y->pid) - (x->pid < y->pid);
}

static int print_json(const struct top *t, struct use **v, size_t n)
{
	json_t *a = json_array();
	int code;

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(a, json_pack("{s:I, s:s, s:s, s:s, s:I, s:f, s:f, s:f, s:I, s:I, s:s}",
							 "pid", (json_int_t)v[i]->pid, "user", v[i]->user, "program",
							 v[i]->program, "service", v[i]->service, "open",
							 (json_int_t)v[i]->open, "new_per_second", v[i]->begun_rate,
							 "sent_per_second", v[i]->sent_rate, "received_per_second",
							 v[i]->received_rate, "sent", (json_int_t)v[i]->sent,
							 "received", (json_int_t)v[i]->received, "peer", v[i]->peer));
	code = json_dumpf(a, t->c->out, JSON_COMPACT) < 0 ? ZT_EXIT_FAILED : 0;
	fputc('\n', t->c->out);
	json_decref(a);
	return code;
}

static int print_table(const struct top *t, struct use **v, size_t n)
{
	static const struct zt_table_column cols[] = {{.title = "PID", .right = true},
						      {.title = "User", .flexible = true, .min = 6},
						      {.title = "Program", .flexible = true, .min = 8},
						      {.title = "Open", .right = true},
						      {.title = "New/s", .right = true},
						      {.title = "Sent/s", .right = true},
						      {.title = "Received/s", .right = true},
						      {.title = "Last peer", .flexible = true, .min = 9}};
	ZT_CLEANUP(zt_table_freep) struct zt_table *table = zt_table_new(cols, ZT_ARRAY_SIZE(cols));
	char head[96];
	const char *heads[] = {head};
	size_t rows = t->c->verbose ? n : ZT_MIN(n, (size_t)ROWS_DEFAULT);

	for (size_t i = 0; table && i < rows; i++) {
		char pid[16], open[16], begun[16], sent[16], received[16];

		(void)snprintf(pid, sizeof(pid), "%u", v[i]->pid);
		(void)snprintf(open, sizeof(open), "%u", v[i]->open);
		zt_amount_text(v[i]->begun_rate, begun);
		zt_amount_text(v[i]->sent_rate, sent);
		zt_amount_text(v[i]->received_rate, received);
		(void)zt_table_row(table, (const char *[]){pid, v[i]->user, v[i]->program, open, begun, sent, received,
							   v[i]->peer}); /* out of memory shows at print */
	}
	(void)snprintf(head, sizeof(head), "%zu process%s with sockets; bytes of payload%s", n, n == 1 ? "" : "es",
		       t->tty ? "; q ends" : "");
	if (t->tty)
		fputs("\033[H\033[J", t->c->out);
	return !table || zt_table_print(table, t->c->out, "WHO USES THE NETWORK", heads, 1, t->c->columns,
					t->c->colour) < 0
		       ? -ENOMEM
		       : 0;
}

static int print(struct top *t)
{
	ZT_FREE struct use **v = zt_new(struct use *, t->n_pids + 1);
	int r;

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < t->n_pids; i++)
		v[i] = use_of(t, t->pids[i]);
	qsort(v, t->n_pids, sizeof(struct use *), by_rate);
	r = t->c->json ? print_json(t, v, t->n_pids) : print_table(t, v, t->n_pids);
	return r ? r : fflush(t->c->out) ? -EPIPE : 0;
}

/* ---- the screen ---- */
static void screen_begin(struct top *t)
{
	struct termios raw;

	t->tty = !t->c->json && isatty(STDIN_FILENO) && isatty(fileno(t->c->out)) &&
		 tcgetattr(STDIN_FILENO, &t->before) == 0;
	if (!t->tty)
		return;
	raw = t->before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &raw); /* else q wants a return */
	fputs("\033[?1049h\033[?25l", t->c->out);
}

static void screen_end(struct top *t)
{
	if (!t->tty)
		return;
	fputs("\033[?25h\033[?1049l", t->c->out);
	(void)fflush(t->c->out);
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &t->before); /* nothing more can be done */
}

/* ---- the loop ---- */
static bool ended(const struct top *t, const struct pollfd fds[3])
{
	char key = 0;

	if (fds[0].revents)
		return true;
	return t->tty && fds[2].revents && (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q');
}

static int run(struct top *t)
{
	struct pollfd fds[3] = {{.fd = t->signals, .events = POLLIN},
				{.fd = zt_sources_fd(t->sources), .events = POLLIN},
				{.fd = t->tty ? STDIN_FILENO : -1, .events = POLLIN}};
	int r = look(t); /* what there was before does not count */
	zt_usec next = zt_now_monotonic() + t->every;

	while (r >= 0 && !ended(t, fds)) {
		zt_usec now = zt_now_monotonic();
		int wait = zt_sources_wait(t->sources), left;

		r = zt_sources_read(t->sources, on_activity, t);
		if (r >= 0 && now >= next) {
			r = look(t) ?: print(t);
			if (r == -EPIPE)
				return 0;
			forget(t);
			next = now + t->every;
			t->rounds++;
		}
		if (r < 0 || (t->max_rounds && t->rounds >= t->max_rounds))
			break;
		left = (int)((next - ZT_MIN(next, zt_now_monotonic())) / 1000) + 1;
		wait = wait < 0 ? left : ZT_MIN(wait, left);
		if (poll(fds, 3, wait) < 0 && errno != EINTR)
			r = -errno;
	}
	return r < 0 ? r : 0;
}

static void top_done(struct top *t)
{
	screen_end(t);
	zt_sources_close(t->sources);
	zt_lru_free(t->uses);
	free(t->pids);
	zt_closep(&t->signals);
}

static int top_open(struct top *t)
{
	struct zt_sources_options o = {.kinds = BIT(CONNECT) | BIT(ACCEPT) | BIT(FLOW) | BIT(CLOSE),
				       .cgroup = zt_opt(t->c, CGROUP),
				       .netns = zt_opt(t->c, NETNS) ? zt_netns_cookie() : 0};
	int r = zt_lru_new(PROCESSES, sizeof(uint64_t), sizeof(struct use), NULL, &t->uses);

	r = r ?: zt_sources_open(&o, &t->sources, &t->c->diags);
	if (r < 0)
		return r;
	t->signals = zt_cli_signals();
	t->looked = zt_now_monotonic();
	return t->signals < 0 ? -errno : 0;
}

int zt_cmd_top(struct zt_cli *c)
{
	ZT_CLEANUP(top_done) struct top t = {.c = c, .signals = -1, .every = EVERY};
	const char *every = zt_opt(c, INTERVAL), *count = zt_opt(c, COUNT_OF);
	int r;

	if (every && (zt_duration_parse(every, &t.every) < 0 || t.every < ZT_USEC_PER_SEC))
		return zt_cli_error(c, ZT_EXIT_USAGE, 5013, "for example 2s",
				    "\"%s\" is not a time of a second or more", every);
	if (count && (zt_parse_u64(count, UINT32_MAX, &t.max_rounds) < 0 || !t.max_rounds))
		return zt_cli_error(c, ZT_EXIT_USAGE, 5013, "without --count it goes on until it is ended",
				    "\"%s\" is not a number from 1 up", count);
	r = top_open(&t);
	if (!r)
		screen_begin(&t);
	r = r ?: run(&t);
	screen_end(&t);
	t.tty = false;
	return r < 0 ? zt_cli_fail(c, r) : 0;
}
