/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The journal's upkeep: age, size, free space, soundness. */
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <fcntl.h>

#include "base/mem.h"
#include "event/journal_parts.h"

#define PATIENCE (3600 * ZT_USEC_PER_SEC)

uint64_t zt_journal_wal_limit(const struct zt_journal *j)
{
	return ZT_MIN(j->c.max_bytes / 8, UINT64_C(16) << 20);
}

static uint64_t size_of(const struct zt_journal *j, const char *suffix)
{
	ZT_FREE char *path = zt_asprintf("%s%s", j->path, suffix);
	struct stat st;

	return path && stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

uint64_t zt_journal_wal_bytes(const struct zt_journal *j)
{
	return size_of(j, "-wal");
}

static int used_bytes(struct zt_journal *j, uint64_t *ret_used, uint64_t *ret_all)
{
	uint64_t pages = 0, unused = 0;
	int r = zt_journal_pragma(j, ZT_SQL_PAGES, &pages) ?: zt_journal_pragma(j, ZT_SQL_FREE, &unused);

	*ret_used = (pages - unused) * 4096;
	*ret_all = pages * 4096;
	return r;
}

/* Deletes chunks by a statement that returns first, n, size of each. */
static int drop_chunks(struct zt_journal *j, unsigned which, unsigned stream, zt_usec before, uint64_t *ret_n)
{
	struct zt_stream *st = &j->streams[stream];
	int r = 0, rc;
	sqlite3_stmt *s = zt_journal_sql(j, which + stream, &r);

	if (!s)
		return r;
	if (which == ZT_SQL_OLD)
		(void)sqlite3_bind_int64(s, 1, (sqlite3_int64)before);
	for (*ret_n = 0; (rc = sqlite3_step(s)) == SQLITE_ROW; ++*ret_n) {
		if ((uint64_t)sqlite3_column_int64(s, 0) == st->partial.first)
			st->partial.n = 0; /* comes back with this flush */
		j->totals.records[stream] -= (uint64_t)sqlite3_column_int64(s, 1);
		j->totals.bytes[stream] -= (uint64_t)sqlite3_column_int64(s, 2);
	}
	(void)sqlite3_reset(s);
	return zt_journal_rc(j, rc);
}

static int oldest_minute(struct zt_journal *j, uint64_t *ret)
{
	int r = 0, rc;
	sqlite3_stmt *s = zt_journal_sql(j, ZT_SQL_FLOW_FIRST, &r);

	if (!s)
		return r;
	rc = sqlite3_step(s);
	*ret = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(s, 0) : UINT64_C(1) << 62;
	(void)sqlite3_reset(s);
	return zt_journal_rc(j, rc);
}

static int run_before(struct zt_journal *j, unsigned which, uint64_t before, uint64_t *ret_n)
{
	int r = 0;
	sqlite3_stmt *s = zt_journal_sql(j, which, &r);

	if (!s)
		return r;
	(void)sqlite3_bind_int64(s, 1, (sqlite3_int64)before);
	r = zt_journal_run(j, s);
	*ret_n = r ? 0 : (uint64_t)sqlite3_changes(j->db);
	return r;
}

/* Keys that no flow has any more. */
static int drop_keys(struct zt_journal *j)
{
	uint64_t minute = 0, n = 0;
	int r = oldest_minute(j, &minute) ?: run_before(j, ZT_SQL_KEY_OLD, minute, &n);

	j->totals.keys -= n;
	if (n)
		zt_flow_forget(j->flows, minute);
	return r;
}

/* Flows of minutes before, 2000 at once. */
static int drop_flows(struct zt_journal *j, uint64_t before, uint64_t *ret_n)
{
	int r = run_before(j, ZT_SQL_FLOW_OLD, before, ret_n);

	j->totals.flows -= *ret_n;
	return r ?: drop_keys(j);
}

/*
 * A clock that was set forward must not empty the journal: time since opening is measured by the other clock. One that was wrong already when it was
 * opened, as at boot, is given an hour to be put right: till then no time is believed to have passed while nobody wrote.
 */
static zt_usec retention_clock(const struct zt_journal *j)
{
	zt_usec now = j->c.now(), open = zt_now_monotonic() - j->opened_mono;

	if (j->c.now != zt_now)
		return now;
	if (j->written && open < PATIENCE)
		now = ZT_MIN(now, j->written + open);
	return ZT_MIN(now, j->opened_real + open);
}

static int keep_age(struct zt_journal *j)
{
	zt_usec now = retention_clock(j);
	zt_usec raw = now > j->c.keep_raw ? now - j->c.keep_raw : 0,
		flows = now > j->c.keep_flows ? now - j->c.keep_flows : 0;
	uint64_t n = 0;
	int r = 0;

	for (unsigned s = 0; s < ZT_STREAMS && !r; s++)
		r = drop_chunks(j, ZT_SQL_OLD, s, raw, &n);
	return r ?: drop_flows(j, flows / ZT_MINUTE, &n);
}

/* What has to give: the larger of both kinds of records, or flows where they hold more than half. */
static int drop_some(struct zt_journal *j, uint64_t used, uint64_t *ret_n)
{
	const uint64_t *bytes = j->totals.bytes;
	uint64_t raw = bytes[ZT_ORDINARY] + bytes[ZT_VITAL];
	int r = 0;

	*ret_n = 0;
	if (raw && (used < raw || used - raw < j->c.max_bytes / 2))
		r = drop_chunks(j, ZT_SQL_EVICT, bytes[ZT_ORDINARY] >= bytes[ZT_VITAL] ? ZT_ORDINARY : ZT_VITAL, 0,
				ret_n);
	return r ?: *ret_n ? 0 : drop_flows(j, UINT64_C(1) << 62, ret_n);
}

static int keep_size(struct zt_journal *j, uint64_t need)
{
	uint64_t limit = j->c.max_bytes - zt_journal_wal_limit(j), used, all, n = 1;
	int r = used_bytes(j, &used, &all);

	while (!r && used + need > limit && n) {
		r = drop_some(j, used, &n) ?: used_bytes(j, &used, &all);
	}
	if (!r && (all > limit || all - used > all / 4 + (1 << 20)))
		r = zt_journal_exec(j, ZT_SQL_VACUUM);
	return r;
}

int zt_journal_keep(struct zt_journal *j, uint64_t need)
{
	return keep_age(j) ?: keep_size(j, need);
}

/* ---- status ---- */
static int edge(struct zt_journal *j, unsigned which, unsigned stream, uint64_t *id, zt_usec *time)
{
	int r = 0, rc;
	sqlite3_stmt *s = zt_journal_sql(j, which + stream, &r);

	if (!s)
		return r;
	rc = sqlite3_step(s);
	*id = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(s, 0) : 0;
	*time = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(s, 1) : 0;
	(void)sqlite3_reset(s);
	return zt_journal_rc(j, rc);
}

static int edges(struct zt_journal *j, struct zt_journal_status *st)
{
	for (unsigned s = 0; s < ZT_STREAMS; s++) {
		uint64_t first = 0, last = 0;
		zt_usec oldest = 0, newest = 0;
		int r = edge(j, ZT_SQL_EDGE, s, &first, &oldest) ?: edge(j, ZT_SQL_LAST, s, &last, &newest);

		if (r)
			return r;
		if (!first)
			continue;
		st->first_id = st->first_id ? ZT_MIN(st->first_id, first) : first;
		st->oldest = st->oldest ? ZT_MIN(st->oldest, oldest) : oldest;
		st->last_id = ZT_MAX(st->last_id, last);
		st->newest = ZT_MAX(st->newest, newest);
	}
	return 0;
}

/* Is there a writer? It holds the lock. */
static bool locked(const struct zt_journal *j)
{
	ZT_FREE char *path = zt_asprintf("%s.lock", j->path);
	ZT_CLOSE int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;

	return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

static void own(const struct zt_journal *j, struct zt_journal_status *st)
{
	for (unsigned s = 0; s < ZT_STREAMS; s++)
		st->pending_bytes += j->streams[s].queued;
	zt_flow_counts(j, &st->flow_entries, &st->max_flow_entries, &st->flows_dropped);
	memcpy(st->dropped, j->dropped, sizeof(st->dropped));
	st->max_bytes = j->c.max_bytes;
	st->queue_bytes = j->c.queue_bytes;
	st->appended = j->appended;
	st->flushes = j->flushes;
	st->failures = j->failures;
	st->error = j->error;
}

int zt_journal_status(struct zt_journal *j, struct zt_journal_status *ret)
{
	struct zt_journal_status st = {.written = j->writer || locked(j)};
	uint64_t clean = 0, used = 0, all = 0, minute = 0;
	int r;

	if (j->writer)
		own(j, &st);
	r = zt_journal_totals_load(j) ?: edges(j, &st) ?: zt_journal_get_u64(j, "heartbeat", &st.heartbeat)
		    ?: zt_journal_get_u64(j, "clean", &clean) ?: oldest_minute(j, &minute) ?: used_bytes(j, &used, &all);
	st.clean = clean || st.written;
	st.oldest_flow = minute < UINT64_C(1) << 62 ? minute * ZT_MINUTE : 0;
	st.records = j->totals.records[ZT_ORDINARY] + j->totals.records[ZT_VITAL];
	st.vital_records = j->totals.records[ZT_VITAL];
	st.flows = j->totals.flows;
	st.keys = j->totals.keys;
	st.file_bytes = size_of(j, "");
	st.wal_bytes = zt_journal_wal_bytes(j);
	st.free_bytes = all - used;
	if (r && j->writer && j->error) /* what this process knows of itself counts when the disk does not answer */
		r = 0;
	if (!r)
		*ret = st;
	return r;
}
