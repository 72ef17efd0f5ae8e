/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the host does: sources of events into the journal. Their descriptors are opened while there are rights; reading needs few. */
#include <string.h>
#include <syslog.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "daemon/daemon.h"
#include "event/journal_writer.h"
#include "event/sources.h"

enum { GAUGES = 24 };
#define COUNT_EVERY (2 * ZT_USEC_PER_SEC)
#define RETRY (60 * ZT_USEC_PER_SEC)
#define SAY_EVERY (60 * ZT_USEC_PER_SEC)
#define LOOK_EVERY (2 * ZT_USEC_PER_SEC) /* while something waits to be written */
#define LATE (5 * ZT_USEC_PER_SEC)	 /* a disk that takes so long is said to hang */
#define WAIT (5 * ZT_USEC_PER_SEC)	 /* for it, at the start and at the end */

struct zt_events {
	struct zt_daemon *d;
	struct zt_sources *sources;
	struct zt_writer *writer; /* of the journal */
	zt_usec gap;		  /* zt_events_before() */
	uint32_t kinds;		  /* that the sources tell; 0: all */
	struct zt_timer read, look, count;
	uint64_t lost[ZT_ACTIVITY_KINDS], counted;
	zt_usec said; /* that the journal is not written */
	bool full;    /* it was said of connection tracking */
	struct zt_gauge gauges[GAUGES];
	size_t n_gauges;
};

/* ---- the journal ---- */
/* Once a minute: a full disk is full for long. */
static void say_unwritten(struct zt_events *e, const struct zt_writer_status *s)
{
	if (e->said && zt_now_monotonic() - e->said < SAY_EVERY)
		return;
	e->said = zt_now_monotonic();
	if (s->journal.error)
		zt_log(LOG_ERR, "the journal cannot be written: %s; events wait in memory, %llu are lost so far",
		       strerror(-s->journal.error), (unsigned long long)s->dropped);
	else
		zt_log(LOG_ERR,
		       "the disk of the journal has not answered for %llu s; events wait in memory, %llu are lost so far",
		       (unsigned long long)(s->late / ZT_USEC_PER_SEC), (unsigned long long)s->dropped);
}

static void on_look(void *arg)
{
	struct zt_events *e = arg;
	struct zt_writer_status s;

	zt_writer_status(e->writer, &s);
	if (s.late && (s.journal.error || s.late > LATE))
		say_unwritten(e, &s);
	if (s.late)
		zt_timer_set(&e->look, LOOK_EVERY);
}

/* What is dropped is counted and told there. */
static int to_journal(void *arg, const struct zt_activity *a)
{
	struct zt_events *e = arg;

	(void)zt_writer_put(e->writer, a);
	zt_timer_set_early(&e->look, LOOK_EVERY);
	return 0;
}

static int journal_open(struct zt_events *e)
{
	const struct zt_daemon_config *c = &e->d->config;
	struct zt_journal_config config = {.keep_raw = c->keep_events,
					   .keep_flows = c->keep_flows,
					   .max_bytes = (uint64_t)c->journal_mib << 20,
					   .count_allowed = !c->events,
					   .gap_told = zt_path_exists(e->d->beat_path)};
	ZT_FREE char *path = zt_asprintf("%s/journal/events.db", e->d->ctx.state_dir);
	ZT_CLEANUP(zt_journal_closep) struct zt_journal *j = NULL;
	struct zt_diags diags = {0};
	int r = path ? zt_journal_open(path, &config, &j, &diags) : -ENOMEM;

	zt_diags_print(&diags, stderr, false);
	zt_diags_done(&diags);
	r = r ?: zt_writer_new(j, &e->writer);
	if (r < 0)
		return r;
	e->gap = zt_journal_gap(ZT_TAKE(j));
	zt_timer_init(&e->look, e->d->loop, on_look, e);
	return zt_daemon_sink(e->d, "journal", to_journal, e);
}

/* ---- reading ---- */
/* The netlink log does not say by which generation. */
static int on_activity(void *arg, struct zt_activity *a)
{
	const struct zt_daemon *d = arg;

	if ((a->kind == ZT_ACTIVITY_DENY || a->kind == ZT_ACTIVITY_ALLOW) && d->active && d->generation &&
	    !zt_activity_has(a, ZT_FIELD_generation))
		zt_activity_set(a, generation, d->generation);
	zt_daemon_emit(arg, a);
	return 0;
}

static void read_all(struct zt_events *e)
{
	int r = zt_sources_read(e->sources, on_activity, e->d), wait;

	if (r < 0)
		zt_log(LOG_ERR, "events cannot be read: %s", strerror(-r));
	wait = zt_sources_wait(e->sources);
	if (wait < 0)
		zt_timer_stop(&e->read);
	else
		zt_timer_set(&e->read, (zt_usec)wait * 1000);
	if (r > 0 && !zt_timer_on(&e->count))
		zt_timer_set(&e->count, COUNT_EVERY);
}

void zt_events_read(struct zt_daemon *d)
{
	if (d->events && d->events->sources)
		read_all(d->events);
}

static void on_readable(void *arg, uint32_t events)
{
	(void)events;
	read_all(arg);
}

static void on_time(void *arg)
{
	read_all(arg);
}

/* ---- counting ---- */
static void set_gauge(struct zt_events *e, const struct zt_limit *l)
{
	size_t i = 0;

	while (i < e->n_gauges && strcmp(e->gauges[i].name, l->name) != 0)
		i++;
	if (i == GAUGES)
		return;
	if (i == e->n_gauges) {
		e->gauges[e->n_gauges++].name = l->name;
		zt_daemon_gauge(e->d, &e->gauges[i]);
	}
	e->gauges[i].unit = l->unit ? l->unit : "entries";
	e->gauges[i].used = l->used;
	e->gauges[i].max = l->max;
	e->gauges[i].lost = l->evicted;
	e->gauges[i].peak = l->peak;
}

static void count_limits(struct zt_events *e)
{
	struct zt_limit limits[GAUGES];
	size_t n = zt_sources_limits(e->sources, limits, GAUGES);

	for (size_t i = 0; i < n; i++)
		set_gauge(e, &limits[i]);
}

static void count_journal(struct zt_events *e)
{
	struct zt_writer_status s;

	if (!e->writer)
		return;
	zt_writer_status(e->writer, &s);
	set_gauge(e, &(struct zt_limit){.name = "journal",
					.unit = "KiB",
					.used = (s.journal.file_bytes + s.journal.wal_bytes) >> 10,
					.max = s.journal.max_bytes >> 10});
	set_gauge(e, &(struct zt_limit){.name = "journal queue",
					.unit = "bytes",
					.used = s.queued + s.journal.pending_bytes,
					.max = ZT_WRITER_QUEUE + s.journal.queue_bytes,
					.evicted = s.dropped});
	set_gauge(e, &(struct zt_limit){.name = "flows of the journal",
					.used = s.journal.flow_entries,
					.max = s.journal.max_flow_entries,
					.evicted = s.journal.flows_dropped});
}

/* Once, until it is well below again. */
static void count_tracked(struct zt_events *e)
{
	uint64_t used, max;

	if (zt_netns_tracked(&used, &max) < 0 || !max)
		return;
	set_gauge(e, &(struct zt_limit){.name = "connection tracking", .used = used, .max = max});
	if (used * 10 < max * 7)
		e->full = false;
	if (!zt_tracked_alarm(used, max) || e->full)
		return;
	e->full = true;
	zt_daemon_say(e->d, LOG_ALERT, "tracking-full",
		      "connection tracking is %llu %% full, %llu of %llu: when it is full, new connections are dropped",
		      (unsigned long long)(used * 100 / max), (unsigned long long)used, (unsigned long long)max);
}

void zt_events_count(struct zt_daemon *d)
{
	struct zt_events *e = d->events;
	uint64_t lost[ZT_ACTIVITY_KINDS];

	if (!e)
		return;
	if (e->sources) {
		zt_sources_losses(e->sources, lost);
		for (enum zt_activity_kind k = 0; k < ZT_ACTIVITY_KINDS; k++)
			if (lost[k] > e->lost[k])
				zt_daemon_lost(d, k, lost[k] - e->lost[k]);
		memcpy(e->lost, lost, sizeof(lost));
		count_limits(e);
	}
	count_journal(e);
	count_tracked(e);
}

/* Losses are looked for while events come; an idle host has none. */
static void on_count(void *arg)
{
	struct zt_events *e = arg;
	uint64_t told = zt_sources_told(e->sources);

	zt_events_count(e->d);
	if (told != e->counted) /* else with the next that comes */
		zt_timer_set(&e->count, COUNT_EVERY);
	e->counted = told;
}

void zt_events_emit(struct zt_daemon *d, struct zt_activity *a)
{
	struct zt_procs *procs = d->events && d->events->sources ? zt_sources_procs(d->events->sources) : NULL;

	if (procs && zt_activity_has(a, ZT_FIELD_uid) && !zt_activity_has(a, ZT_FIELD_user))
		zt_activity_text(a, user, zt_procs_user(procs, a->uid), 64);
	if (procs)
		zt_procs_complete(procs, a);
	zt_daemon_emit(d, a);
}

void zt_events_prefix(struct zt_daemon *d, const char *log_prefix)
{
	if (d->events && d->events->sources)
		zt_sources_set_prefix(d->events->sources, log_prefix);
}

void zt_events_files(struct zt_daemon *d)
{
	if (d->events && d->events->sources)
		zt_sources_set_files(d->events->sources, (const char *const *)d->config.sensitive_files);
}

const char *zt_events_lack(const struct zt_daemon *d, enum zt_activity_kind kind, bool *ret_some)
{
	const struct zt_events *e = d->events;
	const uint32_t own = 1u << ZT_ACTIVITY_STATE | 1u << ZT_ACTIVITY_LOST; /* of the daemon itself */

	*ret_some = false;
	if (own >> kind & 1)
		return NULL;
	if (!e || !e->sources)
		return "nothing that happens is seen";
	if (e->kinds && !(e->kinds >> kind & 1))
		return d->config.events ? "what processes do cannot be watched here"
					: "the settings say \"events: no\"";
	return zt_sources_lack(e->sources, kind, ret_some);
}

bool zt_events_recorded(const struct zt_daemon *d)
{
	return d->events && d->events->writer;
}

zt_usec zt_events_before(const struct zt_daemon *d)
{
	return d->events ? d->events->gap : 0;
}

/* ---- begin and end ---- */
static int sources_try(struct zt_events *e, uint32_t kinds)
{
	const struct zt_daemon *d = e->d;
	struct zt_sources_options o = {.kinds = kinds,
				       .cgroup = d->ctx.cgroup,
				       .netns = d->ctx.netns ? zt_netns_cookie() : 0,
				       .digests = true,
				       .files = (const char *const *)d->config.sensitive_files,
				       .plain_opens = !d->config.failed_opens,
				       .bare = !d->config.events};
	struct zt_diags diags = {0};
	int r;

	if (zt_event_open("nflog", NULL, 0, true, &o.denies, &diags) < 0)
		o.denies = NULL; /* said below */
	e->kinds = kinds;
	r = zt_sources_open(&o, &e->sources, &diags);
	zt_diags_print(&diags, stderr, false);
	zt_diags_done(&diags);
	return r;
}

/* Where processes cannot be watched, at least what is blocked is recorded. */
static int sources_open(struct zt_events *e)
{
	static const uint32_t denies = 1u << ZT_ACTIVITY_DENY | 1u << ZT_ACTIVITY_ALLOW;
	const struct zt_daemon *d = e->d;
	int r = sources_try(e, d->config.events ? 0 : denies);

	if (r < 0 && d->config.events) {
		zt_log(LOG_WARNING, "what processes do is not seen: %s", strerror(-r));
		r = sources_try(e, denies);
	}
	if (r < 0)
		return r;
	zt_timer_init(&e->read, d->loop, on_time, e);
	zt_timer_init(&e->count, d->loop, on_count, e);
	r = zt_loop_add(d->loop, zt_sources_fd(e->sources), EPOLLIN, on_readable, e);
	zt_timer_set(&e->read, 0);
	zt_timer_set(&e->count, COUNT_EVERY);
	return r;
}

int zt_events_open(struct zt_daemon *d)
{
	struct zt_events *e = zt_new(struct zt_events, 1);
	int r;

	if (!e)
		return -ENOMEM;
	e->d = d;
	d->events = e;
	r = d->config.journal ? journal_open(e) : 0;
	if (r < 0)
		zt_log(LOG_ERR, "no journal: %s; nothing that happens is recorded", strerror(-r));
	r = sources_open(e);
	if (r < 0)
		zt_log(LOG_ERR, "nothing that happens is seen: %s", strerror(-r));
	return r == -ENOMEM ? r : 0; /* the policy is looked after without it */
}

int zt_events_start(struct zt_daemon *d)
{
	return d->events && d->events->writer ? zt_writer_start(d->events->writer) : 0;
}

void zt_events_work(struct zt_daemon *d, void (*fn)(void *arg), void *arg)
{
	if (d->events && d->events->writer)
		zt_writer_work(d->events->writer, fn, arg);
	else
		fn(arg);
}

void zt_events_flush(struct zt_daemon *d)
{
	if (d->events && d->events->writer)
		(void)zt_writer_sync(d->events->writer,
				     WAIT); /* tried again within a second, which says what is wrong */
}

void zt_events_close(struct zt_daemon *d)
{
	struct zt_events *e = d->events;

	if (!e)
		return;
	if (e->sources) {
		(void)zt_sources_end(e->sources, on_activity,
				     d); /* what is there is still told, and how much each flow was */
		zt_loop_remove(d->loop, zt_sources_fd(e->sources));
	}
	zt_sources_close(e->sources);
	if (zt_writer_close(e->writer, WAIT) < 0)
		zt_log(LOG_ERR, "the disk of the journal does not answer: the last events are lost");
	free(e);
	d->events = NULL;
}
