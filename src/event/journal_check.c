/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is the journal sound? And its free space given back. */
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "event/journal_parts.h"

static int prepare(struct zt_journal *j, const char *text, sqlite3_stmt **ret)
{
	return zt_journal_rc(j, sqlite3_prepare_v2(j->db, text, -1, ret, NULL));
}

static void finalizep(sqlite3_stmt **s)
{
	(void)sqlite3_finalize(*s); /* says again what its step said */
}
#define STATEMENT ZT_CLEANUP(finalizep) sqlite3_stmt *

static int integrity(struct zt_journal *j, struct zt_journal_findings *f)
{
	STATEMENT s = NULL;
	int r = prepare(j, "PRAGMA integrity_check(20)", &s), rc = SQLITE_DONE;

	while (!r && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		const char *line = (const char *)sqlite3_column_text(s, 0);

		if (!line || strcmp(line, "ok") != 0)
			zt_strbuf_printf(&f->text, "%s\n", line ? line : "?");
	}
	return r ?: zt_journal_rc(j, rc) ?: zt_strbuf_error(&f->text);
}

/* The chunk's records against what its row says of them. */
static bool chunk_sound(struct zt_journal *j, sqlite3_stmt *s, uint8_t *data, struct zt_activity *a)
{
	uint64_t last = (uint64_t)sqlite3_column_int64(s, 1), n = 0;
	struct zt_chunk_record rec = {.id = (uint64_t)sqlite3_column_int64(s, 0)};
	zt_usec tmin = (uint64_t)sqlite3_column_int64(s, 2), tmax = (uint64_t)sqlite3_column_int64(s, 3);
	size_t at = 0, len;
	int r;

	if (zt_chunk_decode(j->dctx, sqlite3_column_blob(s, 5), (size_t)sqlite3_column_bytes(s, 5), data, &len) < 0)
		return false;
	while ((r = zt_chunk_next(data, len, &at, &rec)) > 0) {
		n++;
		if (zt_activity_unpack(rec.packed, rec.len, a) < 0 || a->time < tmin || a->time > tmax)
			return false;
	}
	return !r && rec.id == last && n == (uint64_t)sqlite3_column_int64(s, 4);
}

static int chunks(struct zt_journal *j, const char *text, struct zt_journal_findings *f, uint64_t *ret_n)
{
	STATEMENT s = NULL;
	ZT_FREE uint8_t *data = zt_malloc(ZT_CHUNK_MAX);
	ZT_FREE struct zt_activity *a = zt_new(struct zt_activity, 1);
	int r = data && a ? prepare(j, text, &s) : -ENOMEM, rc = SQLITE_DONE;

	while (!r && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		f->chunks++;
		*ret_n += (uint64_t)sqlite3_column_int64(s, 4);
		f->damaged_chunks += !chunk_sound(j, s, data, a);
	}
	return r ?: zt_journal_rc(j, rc);
}

static int number(struct zt_journal *j, const char *text, uint64_t *ret)
{
	STATEMENT s = NULL;
	int r = prepare(j, text, &s), rc;

	if (r)
		return r;
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW)
		*ret = (uint64_t)sqlite3_column_int64(s, 0);
	return rc == SQLITE_ROW ? 0 : zt_journal_rc(j, rc) ?: -EIO;
}

#define CHUNK_COLUMNS "SELECT first, last, tmin, tmax, n, data FROM "

static int counts(struct zt_journal *j, struct zt_journal_findings *f)
{
	uint64_t n[ZT_STREAMS] = {0}, keys = 0;
	int r = chunks(j, CHUNK_COLUMNS "ordinary", f, &n[ZT_ORDINARY])
			?: chunks(j, CHUNK_COLUMNS "vital", f, &n[ZT_VITAL]);

	r = r ?: number(j, "SELECT count(*) FROM flow", &f->flows) ?: number(j, "SELECT count(*) FROM key", &keys);
	r = r
		    ?: number(j,
			      "SELECT count(*) FROM (SELECT DISTINCT key FROM flow) WHERE key NOT IN (SELECT id FROM key)",
			      &f->orphans);
	r = r ?: zt_journal_totals_load(j);
	f->records = n[ZT_ORDINARY] + n[ZT_VITAL];
	f->miscounted = (j->totals.records[ZT_ORDINARY] != n[ZT_ORDINARY]) +
			(j->totals.records[ZT_VITAL] != n[ZT_VITAL]) + (j->totals.flows != f->flows) +
			(j->totals.keys != keys);
	return r;
}

/* One read transaction, so that a writer's commits change nothing meanwhile. */
int zt_journal_check(struct zt_journal *j, struct zt_journal_findings *ret)
{
	struct zt_journal_findings f = {0};
	int r = zt_journal_rc(j, sqlite3_exec(j->db, "BEGIN", NULL, NULL, NULL));

	r = r ?: integrity(j, &f) ?: counts(j, &f);
	(void)sqlite3_exec(j->db, "ROLLBACK", NULL, NULL, NULL); /* nothing was written */
	if (!r && (f.text.len || f.damaged_chunks || f.miscounted || f.orphans))
		r = -EBADMSG;
	if (r && r != -EBADMSG) {
		zt_strbuf_done(&f.text);
		return r;
	}
	*ret = f;
	return r;
}

/* ---- vacuum ---- */
static int open_plain(struct zt_journal *j, const char *path)
{
	int r = zt_journal_rc(j, sqlite3_open_v2(path, &j->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL));

	if (!r)
		(void)sqlite3_busy_timeout(j->db, 5000); /* the writer is quick; it must not wait for us */
	return r;
}

static int vacuum_steps(struct zt_journal *j)
{
	uint64_t before = 0, after = 0;
	int r = zt_journal_pragma(j, ZT_SQL_FREE, &before);

	while (!r && before) {
		r = zt_journal_exec(j, ZT_SQL_VACUUM) ?: zt_journal_pragma(j, ZT_SQL_FREE, &after);
		if (after >= before) /* a writer makes as much as we give back */
			break;
		before = after;
	}
	return r ?: zt_journal_rc(j, sqlite3_wal_checkpoint_v2(j->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL));
}

static uint64_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

int zt_journal_vacuum(const char *path, uint64_t *ret_freed, struct zt_diags *d)
{
	struct zt_journal *plain = NULL;
	ZT_CLEANUP(zt_journal_closep) struct zt_journal *j = NULL;
	uint64_t before, after;
	int r = zt_journal_open_readonly(path, &j, d); /* is it one of ours, and of our version? */

	if (r)
		return r;
	zt_journal_db_close(j);
	plain = j;
	before = size_of(path);
	r = open_plain(plain, path) ?: vacuum_steps(plain);
	if (r)
		return zt_diag_errno(d, 4516, r, "%s: no space could be given back", path);
	after = size_of(path);
	*ret_freed = before > after ? before - after : 0;
	return 0;
}
