/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happens on this host: live from the kernel, as lines, in the columns of the known tools, or as JSON lines. */
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>

#include "base/mem.h"
#include "base/proc.h"
#include "cli/eventviews.h"
#include "event/sources.h"

enum { LOOK_MSEC = 250, LOOK_OF_MEMBER = 1000, SETTLE_MSEC = 50 };
#define BIT(kind) (1u << ZT_ACTIVITY_##kind)

/* ---- what is asked for ---- */
struct wanted {
	struct zt_cli *c;
	const struct zt_view *view;
	uint32_t kinds;
	bool has_uid, has_pid;
	uint32_t uid, pid;
	bool broken; /* nobody reads any more */
	/* Of what is asked for, lost and not said yet; the last: of a kind that this program does not know. */
	uint64_t lost[ZT_ACTIVITY_KINDS + 1];
};

static void print(const struct wanted *w, uint64_t id, const struct zt_activity *a)
{
	if (w->c->json)
		zt_view_json(w->c, id, a);
	else
		zt_view_row(w->c, w->view, id, a);
}

static int on_activity(void *arg, struct zt_activity *a)
{
	struct wanted *w = arg;

	if (!(w->kinds >> a->kind & 1) || (w->has_uid && (!zt_activity_has(a, ZT_FIELD_uid) || a->uid != w->uid)) ||
	    (w->has_pid && (!zt_activity_has(a, ZT_FIELD_pid) || a->pid != w->pid)))
		return 0;
	print(w, 0, a);
	if (fflush(w->c->out))
		w->broken = true;
	return w->broken;
}

static int read_who(struct zt_cli *c, struct wanted *w)
{
	const char *pid = zt_opt(c, PID);
	uint64_t n = 0;
	int code = zt_cli_event_user(c, &w->has_uid, &w->uid);

	if (code)
		return code;
	if (pid && zt_parse_u64(pid, INT32_MAX, &n) < 0)
		return zt_cli_error(c, ZT_EXIT_USAGE, 5013, "\"zt-segment events\" shows the numbers of processes",
				    "\"%s\" is not the number of a process", pid);
	w->has_pid = pid;
	w->pid = (uint32_t)n;
	return 0;
}

static int read_view(struct zt_cli *c, struct wanted *w)
{
	const char *name = c->args.n_pos ? c->args.pos[0] : "";

	w->view = zt_view_find(name);
	if (!w->view)
		return zt_cli_error(c, ZT_EXIT_USAGE, 5025, "the views are exec, tcp, open and dns",
				    "\"%s\" is no view of events", name);
	w->kinds = zt_view_kinds(w->view);
	return 0;
}

static int read_wanted(struct zt_cli *c, struct wanted *w)
{
	uint32_t kinds = ~0u;
	int code = read_view(c, w);

	code = code ? code : read_who(c, w);
	code = code ? code : zt_cli_kinds(c, &kinds);
	w->kinds &= kinds;
	if (!code && !w->kinds)
		return zt_cli_error(c, ZT_EXIT_USAGE, 5025, NULL, "that view has no events of these kinds");
	return code;
}

/* ---- live ---- */
/* What blocks here now, when something does. */
static struct zt_event_source *denies(struct zt_cli *c, const struct wanted *w)
{
	struct zt_event_source *s = NULL;
	ZT_FREE char *prefix = NULL;

	if (!(w->kinds & (BIT(DENY) | BIT(ALLOW))) || !zt_engine_active(c->instance, NULL))
		return NULL;
	return zt_cli_events(c, true, &s, &prefix) == 0 ? s : NULL;
}

static void say_lost(struct zt_cli *c, const struct zt_sources *s)
{
	uint64_t lost[ZT_ACTIVITY_KINDS];

	zt_sources_losses(s, lost);
	for (enum zt_activity_kind k = 0; k < ZT_ACTIVITY_KINDS; k++)
		if (lost[k])
			fprintf(c->err,
				"zt-segment: %llu events of kind %s were lost: they came faster than they could be read\n",
				(unsigned long long)lost[k], zt_activity_info(k)->name);
}

/* Of kinds that were asked for by name; a view of all does not speak of what is not in it. */
static int say_lacks(struct zt_cli *c, const struct wanted *w, const struct zt_sources *s)
{
	uint32_t none = 0;

	for (enum zt_activity_kind k = 0; k < ZT_ACTIVITY_KINDS; k++) {
		bool some = false;
		const char *why = zt_opt(c, KIND) && w->kinds >> k & 1 ? zt_sources_lack(s, k, &some) : NULL;

		if (!why)
			continue;
		none |= some ? 0 : 1u << k;
		if (w->kinds == none)
			return zt_cli_error(c, ZT_EXIT_FAILED, 4530, NULL, "events of kind %s cannot be seen here: %s",
					    zt_activity_info(k)->name, why);
		fprintf(c->err, "zt-segment: %s: %s\n", zt_activity_info(k)->name, why);
	}
	return 0;
}

static int follow(struct zt_sources *s, struct wanted *w)
{
	ZT_CLOSE int signals = zt_cli_signals();
	struct pollfd fds[2] = {{.fd = signals, .events = POLLIN}, {.fd = zt_sources_fd(s), .events = POLLIN}};
	int r = signals < 0 ? -errno : 0;

	while (r >= 0 && !w->broken && !fds[0].revents) {
		r = zt_sources_read(s, on_activity, w);
		if (r >= 0 && poll(fds, 2, zt_sources_wait(s)) < 0 && errno != EINTR)
			r = -errno;
	}
	if (r >= 0 && !w->broken) /* what happened until the signal came */
		r = zt_sources_read(s, on_activity, w);
	return w->broken ? 0 : r;
}

static int live(struct zt_cli *c, struct wanted *w)
{
	ZT_CLEANUP(zt_sources_closep) struct zt_sources *s = NULL;
	struct zt_sources_options o = {.kinds = w->kinds,
				       .cgroup = zt_opt(c, CGROUP),
				       .netns = zt_opt(c, NETNS) ? zt_netns_cookie() : 0,
				       .digests = c->json,
				       .denies = denies(c, w)};
	int r = zt_sources_open(&o, &s, &c->diags);

	if (r < 0)
		return zt_cli_fail(c, r);
	r = say_lacks(c, w, s);
	if (r)
		return r;
	if (!c->json && !c->quiet) {
		zt_view_head(c, w->view, false);
		(void)fflush(c->out); /* a broken pipe shows with the first row */
	}
	r = follow(s, w);
	say_lost(c, s);
	return r < 0 ? zt_cli_fail(c, r) : 0;
}

/* ---- from the journal ---- */
/* In the control group that --cgroup names, or one below it? The journal holds those of all. What happened to the journal itself concerns each. */
static bool is_inside(struct zt_cli *c, const struct zt_activity *a)
{
	const char *group = zt_opt(c, CGROUP) ? zt_opt(c, CGROUP) : "";
	size_t n;

	group += strspn(group, "/"); /* as /proc/PID/cgroup has it; the journal has none */
	for (n = strlen(group); n && group[n - 1] == '/'; n--)
		;
	if (n && !zt_activity_has(a, ZT_FIELD_cgroup))
		return (BIT(STATE) | BIT(LOST)) >> a->kind & 1;
	return !n || (!strncmp(a->cgroup, group, n) && (!a->cgroup[n] || a->cgroup[n] == '/'));
}

/* A loss has neither user nor process, and a view of some kinds has no row for it: who looks at a part is told beside it. */
static bool hides_losses(const struct wanted *w)
{
	return !(w->kinds & BIT(LOST)) || w->has_uid || w->has_pid;
}

static int take_loss(void *arg, uint64_t id, const struct zt_activity *a)
{
	struct wanted *w = arg;
	uint64_t n;
	int kind = zt_activity_loss(a, &n);

	(void)id;
	if (kind < 0 || w->kinds & BIT(LOST) || w->kinds >> kind & 1)
		w->lost[kind < 0 ? ZT_ACTIVITY_KINDS : kind] += n;
	return 0;
}

static void say_missing(struct wanted *w)
{
	for (unsigned k = 0; k <= ZT_ACTIVITY_KINDS; k++) {
		const char *name = k < ZT_ACTIVITY_KINDS ? zt_activity_info(k)->name : "unknown";
		char n[32];

		if (!w->lost[k])
			continue;
		zt_format_thousands(w->lost[k], n);
		fprintf(w->c->err,
			"zt-segment: %s more events of kind %s were lost, nobody knows whose: \"events --kind lost\" says when\n",
			n, name);
		w->lost[k] = 0;
	}
}

static int say_losses(struct wanted *w, struct zt_journal_iter *losses)
{
	struct zt_activity a;
	int r = 0;

	while (losses && (r = zt_journal_next(losses, &a, NULL)) > 0)
		(void)take_loss(w, 0, &a);
	say_missing(w);
	return r;
}

/* Both where the journal stands; losses NULL: they are among the others. */
struct reading {
	struct zt_journal *j;
	struct zt_journal_iter *it, *losses;
};

static void reading_done(struct reading *r)
{
	zt_journal_iter_free(r->it);
	zt_journal_iter_free(r->losses);
}

static int begin(const struct wanted *w, const struct zt_journal_query *q, struct reading *ret)
{
	struct zt_journal_query lost = {.kinds = BIT(LOST), .since = q->since, .after = q->after};
	int r = zt_journal_query(ret->j, q, &ret->it);

	return r ?: hides_losses(w) ? zt_journal_query(ret->j, &lost, &ret->losses) : 0;
}

static int print_more(struct wanted *w, const struct reading *from)
{
	struct zt_activity a;
	uint64_t id;
	int r = 0;

	while (!w->broken && (r = zt_journal_next(from->it, &a, &id)) > 0) {
		if (is_inside(w->c, &a))
			print(w, id, &a);
		w->broken = ferror(w->c->out);
	}
	w->broken = fflush(w->c->out) || w->broken;
	return r < 0 ? r : say_losses(w, from->losses);
}

/* Readable when somebody writes the journal, or closes it. -1: it has to be looked at. */
static int watch_journal(struct zt_cli *c)
{
	ZT_FREE char *path = zt_cli_journal_path(c);
	ZT_CLOSE int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	char *slash = path ? strrchr(path, '/') : NULL;

	if (!slash || fd < 0)
		return -1;
	*slash = '\0';
	return inotify_add_watch(fd, path, IN_MODIFY | IN_CLOSE_WRITE) < 0 ? -1 : ZT_TAKE_FD(fd);
}

/* A transaction is many writes: they are waited for, not read one by one. */
static int wait_written(struct pollfd fds[2])
{
	char buf[4096] __attribute__((aligned(8)));

	if (poll(fds, 2, fds[1].fd < 0 ? LOOK_MSEC : -1) < 0 && errno != EINTR)
		return -errno;
	if (!fds[0].revents && fds[1].revents && poll(fds, 1, SETTLE_MSEC) < 0 && errno != EINTR)
		return -errno;
	while (fds[1].fd >= 0 && read(fds[1].fd, buf, sizeof(buf)) > 0)
		;
	return 0;
}

/* What zt-segmentd writes, each second, until a signal comes. */
static int tail(struct wanted *w, const struct reading *from)
{
	ZT_CLOSE int signals = zt_cli_signals();
	ZT_CLOSE int changes = watch_journal(w->c);
	struct pollfd fds[2] = {{.fd = signals, .events = POLLIN}, {.fd = changes, .events = POLLIN}};
	struct zt_journal_status now = {.written = true};
	bool written = true;
	int r = signals < 0 ? -errno : 0;

	while (r >= 0 && !w->broken && !fds[0].revents) {
		r = print_more(w, from);
		if (r >= 0)
			r = wait_written(fds);
		if (r < 0 || zt_journal_status(from->j, &now) < 0)
			continue;
		if (written && !now.written)
			fprintf(w->c->err, "zt-segment: zt-segmentd has ended; waiting for it\n");
		written = now.written;
	}
	return w->broken ? 0 : r;
}

static int read_journal(struct wanted *w, struct zt_journal *j, const struct zt_journal_query *q)
{
	ZT_CLEANUP(reading_done) struct reading from = {.j = j};
	struct zt_cli *c = w->c;
	int r = begin(w, q, &from);

	if (r >= 0 && !c->json && !c->quiet)
		zt_view_head(c, w->view, true);
	if (r >= 0)
		r = zt_opt(c, FOLLOW) ? tail(w, &from) : print_more(w, &from);
	if (from.it && zt_journal_iter_damaged(from.it))
		fprintf(c->err, "zt-segment: %llu parts of the journal cannot be read: zt-segment journal check\n",
			(unsigned long long)zt_journal_iter_damaged(from.it));
	if (r < 0)
		return zt_cli_fail(c, r);
	return w->broken && !zt_opt(c, FOLLOW) ? ZT_EXIT_FAILED : 0;
}

static struct zt_journal_query query_of(const struct wanted *w)
{
	return (struct zt_journal_query){
		.kinds = w->kinds, .has_uid = w->has_uid, .uid = w->uid, .has_pid = w->has_pid, .pid = w->pid};
}

/* ---- not root ---- */
static int print_told(void *arg, uint64_t id, const struct zt_activity *a)
{
	struct wanted *w = arg;

	if (is_inside(w->c, a))
		print(w, id, a);
	w->broken = ferror(w->c->out);
	return w->broken;
}

static int through_daemon(struct wanted *w, struct zt_journal_query *q)
{
	struct zt_cli *c = w->c;
	bool follow = zt_opt(c, FOLLOW);
	ZT_CLOSE int signals = follow ? zt_cli_signals() : -1;
	struct pollfd fd = {.fd = signals, .events = POLLIN};
	struct zt_journal_query lost = {.kinds = BIT(LOST)};
	uint64_t newest = 0;
	int code = zt_cli_member_newest(c, &newest); /* who may not read is told before the head */

	if (follow && !q->since)
		q->after = newest;
	lost.since = q->since;
	lost.after = q->after;
	if (!code && !c->json && !c->quiet)
		zt_view_head(c, w->view, true);
	do {
		code = code ?: zt_cli_member_events(c, q, print_told, w);
		w->broken = fflush(c->out) || w->broken;
		if (hides_losses(w) && !w->broken)
			code = code ?: zt_cli_member_events(c, &lost, take_loss, w);
		say_missing(w);
	} while (follow && !code && !w->broken && poll(&fd, 1, LOOK_OF_MEMBER) == 0);
	return w->broken && !follow ? ZT_EXIT_FAILED : code;
}

static int past(struct zt_cli *c, struct wanted *w)
{
	ZT_CLEANUP(zt_journal_closep) struct zt_journal *j = NULL;
	struct zt_journal_query q = query_of(w);
	int code = zt_cli_since(c, "24h", &q.since);

	if (!code && zt_cli_is_member(c))
		return through_daemon(w, &q);
	code = code ?: zt_cli_journal(c, &j);
	return code ?: read_journal(w, j, &q);
}

/* ---- as the daemon tells it ---- */
/* Of the kinds that are asked for, those that it does not see. Those that were asked for by name are said to be missing. */
static uint32_t not_seen(const json_t *status, const struct wanted *w, bool say)
{
	uint32_t kinds = 0;
	const json_t *one;
	size_t i;

	json_array_foreach (json_object_get(status, "events_not_seen"), i, one) {
		const char *name = json_string_value(json_object_get(one, "kind")) ?: "";
		int k = zt_activity_find(name);

		if (k < 0 || !(w->kinds >> k & 1))
			continue;
		if (!json_is_true(json_object_get(one, "some")))
			kinds |= 1u << k;
		if (say && zt_opt(w->c, KIND))
			fprintf(w->c->err, "zt-segment: %s: %s\n", name,
				json_string_value(json_object_get(one, "why")) ?: "");
	}
	return kinds;
}

/* It records what is asked for, or as much as can be seen on this machine. */
static bool tells(const json_t *status, const struct wanted *w)
{
	uint32_t lacks = not_seen(status, w, false);

	return json_is_true(json_object_get(status, "events_recorded")) && lacks != w->kinds &&
	       !(lacks & ~(BIT(OPEN) | BIT(MODULE) | BIT(PTRACE)));
}

/* Where zt-segmentd runs and records, the end of its journal. A second set of programs would only cost every process as much again. */
static bool is_recorded(struct zt_cli *c, const struct wanted *w, struct zt_journal **ret, uint64_t *ret_last)
{
	ZT_FREE char *path = zt_cli_journal_path(c);
	ZT_CLEANUP(zt_journal_closep) struct zt_journal *j = NULL;
	struct zt_journal_status now;
	struct zt_diags unsaid = {0};
	json_t *status = NULL;
	bool r = path && zt_journal_open_readonly(path, &j, &unsaid) == 0 && zt_journal_status(j, &now) == 0 &&
		 now.written && zt_cli_daemon(c, "status", ZT_USEC_PER_SEC, &status) == 0 && tells(status, w);

	if (r) {
		(void)not_seen(status, w, true); /* what it lacks is known; it is said */
		*ret = ZT_TAKE(j);
		*ret_last = now.last_id;
	}
	json_decref(status);
	zt_diags_done(&unsaid);
	return r;
}

static int followed(struct zt_cli *c, struct wanted *w)
{
	ZT_CLEANUP(zt_journal_closep) struct zt_journal *j = NULL;
	struct zt_journal_query q = query_of(w);
	uint64_t last = 0;
	int code = zt_cli_since(c, NULL, &q.since);

	if (code)
		return code;
	if (zt_cli_is_member(c))
		return through_daemon(w, &q);
	if (is_recorded(c, w, &j, &last)) {
		q.after = q.since ? 0 : last;
		return read_journal(w, j, &q);
	}
	if (q.since)
		return zt_cli_error(c, ZT_EXIT_FAILED, 5026, "leave --since away, or start zt-segmentd",
				    "nothing that is past is recorded: --follow --since needs a running zt-segmentd");
	return live(c, w);
}

int zt_cmd_events(struct zt_cli *c)
{
	struct wanted w = {.c = c};
	int code = read_wanted(c, &w);

	if (code)
		return code;
	return zt_opt(c, FOLLOW) ? followed(c, &w) : past(c, &w);
}
