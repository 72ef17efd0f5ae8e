/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The journal's life: opened, filled, written in transactions, closed. */
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "base/file.h"
#include "base/mem.h"
#include "event/journal_parts.h"

static uint64_t bounded(uint64_t v, uint64_t otherwise, uint64_t least, uint64_t most)
{
	v = v ? v : otherwise;
	return v < least ? least : ZT_MIN(v, most);
}

static void configure(struct zt_journal *j, const struct zt_journal_config *c)
{
	if (c)
		j->c = *c;
	j->c.keep_raw = bounded(j->c.keep_raw, 7 * ZT_DAY, 1, 36500 * ZT_DAY);
	j->c.keep_flows = bounded(j->c.keep_flows, 400 * ZT_DAY, 1, 36500 * ZT_DAY);
	j->c.max_bytes = bounded(j->c.max_bytes, UINT64_C(1) << 30, 8 << 20, UINT64_C(1) << 40);
	j->c.queue_bytes = bounded(j->c.queue_bytes, 8 << 20, 1 << 20, UINT64_C(1) << 30);
	j->c.commit_records = (uint32_t)bounded(j->c.commit_records, 65536, 1, 1 << 20);
	j->c.commit_usec = bounded(j->c.commit_usec, ZT_USEC_PER_SEC, 1000, 60 * ZT_USEC_PER_SEC);
	j->c.now = j->c.now ? j->c.now : zt_now;
}

static struct zt_journal *new_journal(const char *path, const struct zt_journal_config *c, bool writer)
{
	struct zt_journal *j = zt_new(struct zt_journal, 1);

	if (!j)
		return NULL;
	j->lock = -1;
	j->writer = writer;
	for (unsigned i = 0; i < ZT_STREAMS; i++)
		j->streams[i].tail = &j->streams[i].head;
	configure(j, c);
	j->path = zt_strdup(path);
	j->dctx = ZSTD_createDCtx();
	return j;
}

static int buffers(struct zt_journal *j)
{
	int r = j->path && j->dctx ? 0 : -ENOMEM;

	if (!j->writer || r)
		return r;
	j->cctx = ZSTD_createCCtx();
	j->blob = zt_malloc(ZT_CHUNK_BLOB);
	for (unsigned i = 0; i < ZT_STREAMS; i++) {
		j->streams[i].open.data = zt_malloc(ZT_CHUNK_MAX);
		r = j->streams[i].open.data ? r : -ENOMEM;
	}
	return r ?: j->cctx && j->blob ? zt_flow_table_new(&j->flows) : -ENOMEM;
}

/* The folder first: the lock lies in it. */
static int take_lock(struct zt_journal *j, struct zt_diags *d)
{
	ZT_FREE char *lock = zt_asprintf("%s.lock", j->path), *folder = zt_strdup(j->path);
	char *slash = folder ? strrchr(folder, '/') : NULL;
	int r = lock && folder ? 0 : -ENOMEM;

	if (slash && slash != folder) {
		*slash = '\0';
		r = r ?: zt_mkdir_p(folder, 0700);
	}
	r = r ?: zt_lock_acquire(lock, ZT_USEC_PER_SEC, &j->lock);
	if (r != -EWOULDBLOCK)
		return r;
	(void)zt_diag(d, ZT_ERROR, 4514, NULL, "%s: another process writes this journal", j->path);
	zt_diag_hint(d, "one daemon writes it; everything else reads");
	return -EBUSY;
}

static int last_id(struct zt_journal *j)
{
	struct zt_journal_status st = {0};
	int r = zt_journal_status(j, &st);

	j->next_id = ZT_MAX(j->next_id, st.last_id + 1);
	return r;
}

/* ---- what the journal tells of itself ---- */
static int append(struct zt_journal *j, const struct zt_activity *a, uint64_t *ret_id);

static void tell_state(struct zt_journal *j, const char *text, zt_usec duration)
{
	struct zt_activity a;

	zt_activity_init(&a, ZT_ACTIVITY_STATE, j->c.now());
	zt_activity_text(&a, detail, text, strlen(text));
	if (duration)
		zt_activity_set(&a, duration, duration);
	(void)append(j, &a, NULL); /* dropped: counted */
}

static void tell_gap(struct zt_journal *j, zt_usec from)
{
	zt_usec now = j->c.now();
	char begin[32], end[32], text[128];

	zt_time_format(from, begin);
	zt_time_format(now, end);
	(void)snprintf(text, sizeof(text), "gap from %s to %s: the last writer ended without stopping", begin, end);
	tell_state(j, text, now > from ? now - from : 0);
}

static void tell_lost(struct zt_journal *j, const char *why)
{
	zt_usec now = j->c.now(), since = j->lossy_since;

	for (unsigned k = 0; k < ZT_ACTIVITY_KINDS && since; k++) {
		uint64_t n = j->dropped[k] - j->told[k];
		const char *kind = zt_activity_info(k)->name;
		struct zt_activity a;

		if (!n)
			continue;
		zt_activity_init(&a, ZT_ACTIVITY_LOST, now);
		zt_activity_text(&a, detail, kind, strlen(kind));
		zt_activity_text(&a, error, why, strlen(why));
		zt_activity_set(&a, count, n);
		zt_activity_set(&a, duration, now > since ? now - since : 0);
		j->told[k] += n; /* before: a flush in between tells the others */
		if (append(j, &a, NULL) < 0)
			j->told[k] -= n;
	}
	j->lossy_since = 0;
}

/* Flows for which there was no room: the events are there, the sums lack them. */
static void tell_unsummed(struct zt_journal *j, const char *why)
{
	uint64_t entries, max, dropped;
	char text[192];

	zt_flow_counts(j, &entries, &max, &dropped);
	if (dropped == j->flows_told)
		return;
	(void)snprintf(text, sizeof(text),
		       "%llu flows were not summed up (%s): stats, learn, whatif and unused lack them",
		       (unsigned long long)(dropped - j->flows_told), why);
	j->flows_told = dropped;
	tell_state(j, text, 0);
}

/* ---- opening ---- */
static int adopt(struct zt_journal *j)
{
	uint64_t heartbeat = 0, clean = 0;
	int r = last_id(j) ?: zt_journal_get_u64(j, "heartbeat", &heartbeat) ?: zt_journal_get_u64(j, "clean", &clean);

	if (r)
		return r;
	if (j->aside)
		tell_state(j, "the journal was damaged and moved aside; this is a new one", 0);
	else if (!j->fresh)
		j->written = heartbeat;
	if (!clean && j->written)
		j->gap = j->written;
	if (j->gap && !j->c.gap_told)
		tell_gap(j, j->gap);
	return zt_journal_set_u64(j, "clean", 0);
}

int zt_journal_open(const char *path, const struct zt_journal_config *c, struct zt_journal **ret, struct zt_diags *d)
{
	ZT_CLEANUP(zt_journal_closep) struct zt_journal *j = new_journal(path, c, true);
	size_t errors = d ? d->errors : 0;
	int r = j ? buffers(j) ?: take_lock(j, d) : -ENOMEM;

	if (!r) {
		j->opened_real = j->c.now();
		j->opened_mono = zt_now_monotonic();
		j->next_id = 1;
		r = zt_journal_db_open(j, d);
	}
	r = r ?: adopt(j) ?: zt_journal_flush(j);
	if (r && (!d || d->errors == errors))
		return zt_diag_errno(d, 4510, r, "%s: the journal cannot be written", path);
	if (r)
		return r;
	*ret = ZT_TAKE(j);
	return 0;
}

zt_usec zt_journal_gap(const struct zt_journal *j)
{
	return j->gap;
}

int zt_journal_open_readonly(const char *path, struct zt_journal **ret, struct zt_diags *d)
{
	ZT_CLEANUP(zt_journal_closep) struct zt_journal *j = new_journal(path, NULL, false);
	size_t errors = d ? d->errors : 0;
	int r = j ? buffers(j) ?: zt_journal_db_open(j, d) : -ENOMEM;

	if (r == -ENOENT)
		return r;
	if (r && (!d || d->errors == errors)) {
		r = zt_diag_errno(d, 4515, r, "%s: the journal cannot be read", path);
		if (r == -EBADMSG && d)
			zt_diag_hint(d,
				     "it is damaged: the next start of zt-segmentd sets it aside and begins a new one");
	}
	if (r)
		return r;
	*ret = ZT_TAKE(j);
	return 0;
}

static void free_stream(struct zt_stream *s)
{
	for (struct zt_sealed *n; s->head; s->head = n) {
		n = s->head->next;
		free(s->head);
	}
	free(s->open.data);
}

void zt_journal_close(struct zt_journal *j)
{
	if (!j)
		return;
	if (j->db && j->writer && j->opened_mono) {
		j->retry = 0;
		if (zt_journal_flush(j) == 0)
			(void)zt_journal_set_u64(j, "clean", 1); /* else the next writer tells of a gap */
	}
	zt_journal_db_close(j);
	for (unsigned i = 0; i < ZT_STREAMS; i++)
		free_stream(&j->streams[i]);
	zt_flow_table_free(j->flows);
	(void)ZSTD_freeCCtx(j->cctx); /* cannot fail */
	(void)ZSTD_freeDCtx(j->dctx);
	zt_strbuf_done(&j->packed);
	free(j->blob);
	zt_closep(&j->lock);
	free(j->path);
	free(j);
}

void zt_journal_closep(struct zt_journal **j)
{
	zt_journal_close(*j);
	*j = NULL;
}

/* ---- appending ---- */
/* The open chunk goes to the queue, where there is room for it. */
static int seal(struct zt_journal *j, struct zt_stream *s)
{
	size_t len = zt_chunk_encode(j->cctx, &s->open, j->blob);
	struct zt_sealed *n;

	if (s->queued + len > j->c.queue_bytes / ZT_STREAMS)
		return -ENOBUFS;
	n = zt_malloc(sizeof(*n) + len);
	if (!n)
		return -ENOBUFS;
	*n = (struct zt_sealed){.head = s->open.head, .len = len};
	memcpy(n->blob, j->blob, len);
	*s->tail = n;
	s->tail = &n->next;
	s->queued += len;
	return 0;
}

static void begin_chunk(struct zt_stream *s)
{
	s->open.head = (struct zt_chunk_head){0};
	s->open.len = 0;
	s->dirty = false;
}

static int drop(struct zt_journal *j, const struct zt_activity *a)
{
	j->dropped[a->kind]++;
	if (!j->lossy_since)
		j->lossy_since = j->c.now();
	return -ENOBUFS;
}

void zt_journal_lost(struct zt_journal *j, enum zt_activity_kind kind, uint64_t n)
{
	if (!n)
		return;
	j->dropped[kind] += n;
	if (!j->lossy_since)
		j->lossy_since = j->c.now();
	if (!j->due)
		j->due = zt_now_monotonic() + j->c.commit_usec;
}

/* A full chunk is written as it is with the next flush, or queued; while neither works there is no place. */
static int make_room(struct zt_journal *j, struct zt_stream *s)
{
	if (!zt_chunk_full(&s->open))
		return 0;
	return zt_journal_flush(j) < 0 ? -ENOBUFS : 0;
}

static int append(struct zt_journal *j, const struct zt_activity *a, uint64_t *ret_id)
{
	struct zt_stream *s = &j->streams[ZT_VITAL_KINDS >> a->kind & 1 ? ZT_VITAL : ZT_ORDINARY];

	if (make_room(j, s) < 0)
		return drop(j, a);
	zt_strbuf_clear(&j->packed);
	zt_activity_pack(a, &j->packed);
	if (zt_strbuf_error(&j->packed))
		return drop(j, a);
	zt_chunk_add(&s->open, j->next_id, a, &j->packed);
	s->dirty = true;
	if (ret_id)
		*ret_id = j->next_id;
	j->next_id++;
	j->appended++;
	j->pending++;
	if (!j->due)
		j->due = zt_now_monotonic() + j->c.commit_usec;
	return 0;
}

int zt_journal_append(struct zt_journal *j, const struct zt_activity *a, uint64_t *ret_id)
{
	struct zt_stream *s = &j->streams[ZT_VITAL_KINDS >> a->kind & 1 ? ZT_VITAL : ZT_ORDINARY];
	int r = append(j, a, ret_id);

	if (r)
		return r;
	zt_flow_add(j, a);
	if (zt_chunk_full(&s->open) && seal(j, s) == 0)
		begin_chunk(s);
	if (j->pending >= j->c.commit_records || s->queued + zt_flow_pending(j->flows) >= zt_journal_wal_limit(j) / 4)
		(void)zt_journal_flush(j); /* what is wrong is in the status; the record is in memory */
	return 0;
}

/* ---- writing ---- */
static int put(struct zt_journal *j, unsigned stream, const struct zt_chunk_head *h, const uint8_t *blob, size_t len)
{
	uint64_t columns[] = {h->first, h->last, h->tmin, h->tmax, h->kinds, h->n, len};
	int r = 0;
	sqlite3_stmt *s = zt_journal_sql(j, ZT_SQL_PUT + stream, &r);

	if (!s)
		return r;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(columns); i++)
		(void)sqlite3_bind_int64(s, (int)i + 1, (sqlite3_int64)columns[i]);
	(void)sqlite3_bind_blob64(s, 8, blob, len, SQLITE_STATIC);
	r = zt_journal_run(j, s);
	(void)sqlite3_clear_bindings(s); /* the blob goes away */
	return r;
}

static int put_counted(struct zt_journal *j, unsigned stream, const struct zt_chunk_head *h, const uint8_t *blob,
		       size_t len)
{
	struct zt_stream *s = &j->streams[stream];
	bool again = s->partial.n && s->partial.first == h->first;

	j->totals.records[stream] += h->n - (again ? s->partial.n : 0);
	j->totals.bytes[stream] += len - (again ? s->partial.bytes : 0);
	s->partial.n = 0;
	return put(j, stream, h, blob, len);
}

static int write_stream(struct zt_journal *j, unsigned stream)
{
	struct zt_stream *s = &j->streams[stream];
	size_t len;
	int r = 0;

	for (const struct zt_sealed *c = s->head; c && !r; c = c->next)
		r = put_counted(j, stream, &c->head, c->blob, c->len);
	if (r || !s->dirty)
		return r;
	len = zt_chunk_encode(j->cctx, &s->open, j->blob);
	r = put_counted(j, stream, &s->open.head, j->blob, len);
	s->partial.first = s->open.head.first;
	s->partial.n = s->open.head.n;
	s->partial.bytes = len;
	return r;
}

static uint64_t need(const struct zt_journal *j)
{
	uint64_t bytes = (64 << 10) + zt_flow_pending(j->flows);

	for (unsigned i = 0; i < ZT_STREAMS; i++)
		bytes += j->streams[i].queued * 9 / 8 + j->streams[i].open.len;
	return bytes;
}

static int write_all(struct zt_journal *j)
{
	int r = zt_journal_keep(j, need(j));

	for (unsigned i = 0; i < ZT_STREAMS && !r; i++)
		r = write_stream(j, i);
	return r ?: zt_flow_write(j) ?: zt_journal_set_u64(j, "heartbeat", j->c.now()) ?: zt_journal_totals_store(j)
			?: zt_journal_exec(j, ZT_SQL_COMMIT);
}

static int transaction(struct zt_journal *j)
{
	struct zt_journal_totals before = j->totals;
	__typeof__(j->streams[0].partial) partial[ZT_STREAMS];
	int r = zt_journal_exec(j, ZT_SQL_BEGIN);

	for (unsigned i = 0; i < ZT_STREAMS; i++)
		partial[i] = j->streams[i].partial;
	r = r ?: write_all(j);
	if (!r)
		return 0;
	if (j->db && !sqlite3_get_autocommit(j->db))
		(void)zt_journal_exec(j, ZT_SQL_ROLLBACK); /* r says what went wrong */
	j->totals = before;
	for (unsigned i = 0; i < ZT_STREAMS; i++)
		j->streams[i].partial = partial[i];
	zt_flow_forget(j->flows, UINT64_MAX);
	return r;
}

static void written(struct zt_journal *j)
{
	for (unsigned i = 0; i < ZT_STREAMS; i++) {
		struct zt_stream *s = &j->streams[i];

		for (struct zt_sealed *n; s->head; s->head = n) {
			n = s->head->next;
			free(s->head);
		}
		s->tail = &s->head;
		s->queued = 0;
		s->dirty = false;
		if (zt_chunk_full(&s->open))
			begin_chunk(s);
	}
	zt_flow_written(j->flows);
	j->pending = 0;
	j->due = 0;
	j->flushes++;
}

/* The file was deleted, or is damaged: a new one. What is pending goes there. */
static int renew(struct zt_journal *j, bool damaged)
{
	int r;

	if (damaged)
		zt_journal_db_set_aside(j);
	else
		zt_journal_db_close(j);
	j->totals = (struct zt_journal_totals){0};
	j->fresh = false;
	for (unsigned i = 0; i < ZT_STREAMS; i++) { /* the open chunk goes there whole */
		j->streams[i].partial.n = 0;
		j->streams[i].dirty |= j->streams[i].open.head.n > 0;
	}
	zt_flow_forget(j->flows, UINT64_MAX);
	r = zt_journal_db_open(j, NULL) ?: zt_journal_set_u64(j, "clean", 0);
	if (!r && j->fresh)
		tell_state(j,
			   damaged ? "the journal was damaged and moved aside; this is a new one"
				   : "the journal was deleted; this is a new one",
			   0);
	return r;
}

/* Readers that stay in a transaction keep the log from being reused: rather than let it grow without end, wait for them. */
static int log_bounded(struct zt_journal *j)
{
	if (zt_journal_wal_bytes(j) <= zt_journal_wal_limit(j) * 4)
		return 0;
	return zt_journal_rc(j, sqlite3_wal_checkpoint_v2(j->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL));
}

static int try_flush(struct zt_journal *j)
{
	int r = j->db && !zt_journal_db_gone(j) ? 0 : renew(j, false);

	r = r ?: log_bounded(j) ?: transaction(j);
	if (r == -EBADMSG)
		r = renew(j, true) ?: transaction(j);
	return r;
}

int zt_journal_flush(struct zt_journal *j)
{
	char why[64];

	if (j->retry && zt_now_monotonic() < j->retry)
		return j->error;
	(void)snprintf(why, sizeof(why), "%s", strerror(j->error ? -j->error : ENOBUFS));
	j->error = try_flush(j);
	if (j->error) {
		j->retry = zt_now_monotonic() + ZT_USEC_PER_SEC;
		j->due = j->retry;
		j->failures++;
		return j->error;
	}
	j->retry = 0;
	written(j);
	tell_lost(j, why);
	tell_unsummed(j, why);
	return 0;
}

zt_usec zt_journal_due(const struct zt_journal *j)
{
	return j->due ? j->due : UINT64_MAX;
}

int zt_journal_tick(struct zt_journal *j)
{
	return zt_now_monotonic() < zt_journal_due(j) ? 0 : zt_journal_flush(j);
}
