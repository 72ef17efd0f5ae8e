/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The journal's file: opened, made, adopted, moved aside; its statements. */
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "event/journal_parts.h"

#define APPLICATION_ID 0x5a54736a /* "ZTsj" */

#define STREAM_TABLE(name)                                                                                             \
	"CREATE TABLE " name "(first INTEGER PRIMARY KEY, last INTEGER NOT NULL, tmin INTEGER NOT NULL, tmax INTEGER " \
	"NOT NULL, kinds INTEGER NOT NULL, n INTEGER NOT NULL, size INTEGER NOT NULL, data BLOB NOT NULL);"            \
	"CREATE INDEX " name "_time ON " name "(tmax);"

/* From version N to N + 1. */
static const char *const migrations[ZT_JOURNAL_VERSION] = {
	STREAM_TABLE("ordinary") STREAM_TABLE(
		"vital") "CREATE TABLE stat(name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
			 "CREATE TABLE key(id INTEGER PRIMARY KEY, hash INTEGER NOT NULL, minute INTEGER NOT NULL, data BLOB NOT NULL);"
			 "CREATE INDEX key_hash ON key(hash); CREATE INDEX key_minute ON key(minute);"
			 "CREATE TABLE flow(minute INTEGER, key INTEGER, count INTEGER NOT NULL, sent INTEGER NOT NULL, received INTEGER "
			 "NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY(minute, key)) WITHOUT ROWID;",
};

#define BOTH(at, before, after) [(at) + ZT_ORDINARY] = before "ordinary" after, [(at) + ZT_VITAL] = before "vital" after
/* A plus keeps SQLite from using the index of times and sorting. */
#define FITS "last > ?2 AND +tmax >= ?3 AND tmin <= ?4 AND kinds & ?5 "

static const char *const sql[ZT_STATEMENTS] = {
	[ZT_SQL_BEGIN] = "BEGIN IMMEDIATE",
	[ZT_SQL_COMMIT] = "COMMIT",
	[ZT_SQL_ROLLBACK] = "ROLLBACK",
	[ZT_SQL_SET] = "INSERT OR REPLACE INTO stat VALUES(?1, ?2)",
	[ZT_SQL_GET] = "SELECT value FROM stat WHERE name = ?1",
	[ZT_SQL_PAGES] = "PRAGMA page_count",
	[ZT_SQL_FREE] = "PRAGMA freelist_count",
	[ZT_SQL_VACUUM] = "PRAGMA incremental_vacuum(128)",
	BOTH(ZT_SQL_PUT, "INSERT OR REPLACE INTO ", " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"),
	BOTH(ZT_SQL_LAST, "SELECT last, tmax FROM ", " ORDER BY first DESC LIMIT 1"),
	BOTH(ZT_SQL_EDGE, "SELECT first, tmin FROM ", " ORDER BY first LIMIT 1"),
	[ZT_SQL_OLD] = "DELETE FROM ordinary WHERE first IN (SELECT first FROM ordinary WHERE tmax < ?1 ORDER BY tmax "
		       "LIMIT 64) RETURNING first, n, size",
	[ZT_SQL_OLD + ZT_VITAL] =
		"DELETE FROM vital WHERE first IN (SELECT first FROM vital WHERE tmax < ?1 ORDER BY tmax "
		"LIMIT 64) RETURNING first, n, size",
	[ZT_SQL_EVICT] = "DELETE FROM ordinary WHERE first IN (SELECT first FROM ordinary ORDER BY first LIMIT 16) "
			 "RETURNING first, n, size",
	[ZT_SQL_EVICT + ZT_VITAL] =
		"DELETE FROM vital WHERE first IN (SELECT first FROM vital ORDER BY first LIMIT 16) "
		"RETURNING first, n, size",
	BOTH(ZT_SQL_SINCE, "SELECT min(first) FROM ", " WHERE tmax >= ?1"),
	BOTH(ZT_SQL_UP, "SELECT first, data FROM ", " WHERE first >= ?1 AND " FITS "ORDER BY first LIMIT 1"),
	BOTH(ZT_SQL_DOWN, "SELECT first, data FROM ",
	     " WHERE first < ?1 AND first >= ?6 AND " FITS "ORDER BY first DESC LIMIT 1"),
	[ZT_SQL_BY_ID] =
		"SELECT first, data FROM (SELECT * FROM ordinary WHERE first <= ?1 ORDER BY first DESC LIMIT 1) "
		"WHERE last >= ?1",
	[ZT_SQL_BY_ID + ZT_VITAL] =
		"SELECT first, data FROM (SELECT * FROM vital WHERE first <= ?1 ORDER BY first DESC LIMIT 1) "
		"WHERE last >= ?1",
	[ZT_SQL_KEY_FIND] = "SELECT id, minute FROM key WHERE hash = ?1 AND data = ?2",
	[ZT_SQL_KEY_ADD] = "INSERT INTO key(hash, minute, data) VALUES(?1, ?2, ?3)",
	[ZT_SQL_KEY_TOUCH] = "UPDATE key SET minute = ?2 WHERE id = ?1",
	[ZT_SQL_KEY_OLD] = "DELETE FROM key WHERE id IN (SELECT id FROM key WHERE minute < ?1 LIMIT 4000)",
	[ZT_SQL_KEY_DATA] = "SELECT data FROM key WHERE id = ?1",
	[ZT_SQL_FLOW_ADD] =
		"UPDATE flow SET count = count + ?3, sent = sent + ?4, received = received + ?5, first = min(first, ?6), "
		"last = max(last, ?7) WHERE minute = ?1 AND key = ?2",
	[ZT_SQL_FLOW_NEW] = "INSERT INTO flow VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	[ZT_SQL_FLOW_FIRST] = "SELECT minute FROM flow ORDER BY minute LIMIT 1",
	[ZT_SQL_FLOW_OLD] =
		"DELETE FROM flow WHERE (minute, key) IN (SELECT minute, key FROM flow WHERE minute < ?1 ORDER BY minute, "
		"key LIMIT 2000)",
	[ZT_SQL_FLOW_LIST] =
		"SELECT key, minute, count, sent, received, first, last FROM flow WHERE minute >= ?1 AND minute <= ?2 "
		"ORDER BY minute, key",
	[ZT_SQL_KEY_LIST] = "SELECT id, data FROM key WHERE +minute >= ?1 ORDER BY id",
};

int zt_journal_rc(struct zt_journal *j, int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_FORMAT:
		return -EBADMSG;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	default: /* of SQLite, not ours */
		return j->db && sqlite3_system_errno(j->db) > 0 ? -sqlite3_system_errno(j->db) : -EIO;
	}
}

sqlite3_stmt *zt_journal_sql(struct zt_journal *j, unsigned which, int *ret_error)
{
	int rc = SQLITE_OK;

	if (!j->db) {
		*ret_error = -EBADF;
		return NULL;
	}
	if (!j->stmt[which])
		rc = sqlite3_prepare_v3(j->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT, &j->stmt[which], NULL);
	if (rc != SQLITE_OK) {
		*ret_error = zt_journal_rc(j, rc);
		return NULL;
	}
	(void)sqlite3_reset(j->stmt[which]); /* says again what its step said */
	return j->stmt[which];
}

int zt_journal_run(struct zt_journal *j, sqlite3_stmt *s)
{
	int rc;

	do
		rc = sqlite3_step(s);
	while (rc == SQLITE_ROW);
	rc = zt_journal_rc(j, rc);
	(void)sqlite3_reset(s);
	return rc;
}

int zt_journal_exec(struct zt_journal *j, unsigned which)
{
	int r = 0;
	sqlite3_stmt *s = zt_journal_sql(j, which, &r);

	return s ? zt_journal_run(j, s) : r;
}

int zt_journal_pragma(struct zt_journal *j, unsigned which, uint64_t *ret)
{
	int r = 0, rc;
	sqlite3_stmt *s = zt_journal_sql(j, which, &r);

	if (!s)
		return r;
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW)
		*ret = (uint64_t)sqlite3_column_int64(s, 0);
	r = rc == SQLITE_ROW ? 0 : zt_journal_rc(j, rc) ?: -EIO;
	(void)sqlite3_reset(s);
	return r;
}

int zt_journal_get_u64(struct zt_journal *j, const char *name, uint64_t *ret)
{
	int r = 0, rc;
	sqlite3_stmt *s = zt_journal_sql(j, ZT_SQL_GET, &r);

	if (!s)
		return r;
	(void)sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	rc = sqlite3_step(s);
	*ret = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(s, 0) : 0;
	r = zt_journal_rc(j, rc);
	(void)sqlite3_reset(s);
	return r;
}

int zt_journal_set_u64(struct zt_journal *j, const char *name, uint64_t v)
{
	int r = 0;
	sqlite3_stmt *s = zt_journal_sql(j, ZT_SQL_SET, &r);

	if (!s)
		return r;
	(void)sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	(void)sqlite3_bind_int64(s, 2, (sqlite3_int64)v);
	return zt_journal_run(j, s);
}

static const struct {
	const char *name;
	size_t offset;
} totals[] = {
	{"ordinary", offsetof(struct zt_journal_totals, records[ZT_ORDINARY])},
	{"vital", offsetof(struct zt_journal_totals, records[ZT_VITAL])},
	{"ordinary bytes", offsetof(struct zt_journal_totals, bytes[ZT_ORDINARY])},
	{"vital bytes", offsetof(struct zt_journal_totals, bytes[ZT_VITAL])},
	{"flows", offsetof(struct zt_journal_totals, flows)},
	{"keys", offsetof(struct zt_journal_totals, keys)},
};

int zt_journal_totals_load(struct zt_journal *j)
{
	int r = 0;

	for (size_t i = 0; i < ZT_ARRAY_SIZE(totals) && !r; i++)
		r = zt_journal_get_u64(j, totals[i].name, (uint64_t *)((char *)&j->totals + totals[i].offset));
	return r;
}

int zt_journal_totals_store(struct zt_journal *j)
{
	int r = 0;

	for (size_t i = 0; i < ZT_ARRAY_SIZE(totals) && !r; i++)
		r = zt_journal_set_u64(j, totals[i].name, *(uint64_t *)((char *)&j->totals + totals[i].offset));
	return r;
}

/* ---- opening ---- */
static int number_of(struct zt_journal *j, const char *text, int64_t *ret)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(j->db, text, -1, &s, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(s);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(s, 0);
	(void)sqlite3_finalize(s);
	return rc == SQLITE_ROW ? 0 : zt_journal_rc(j, rc) ?: -EIO;
}

static int settings(struct zt_journal *j)
{
	char text[512];

	(void)snprintf(
		text, sizeof(text),
		"PRAGMA synchronous = FULL; PRAGMA secure_delete = FAST; PRAGMA wal_autocheckpoint = %u; PRAGMA journal_size_limit = %llu; "
		"PRAGMA cache_size = -4096; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF; "
		"PRAGMA cell_size_check = ON; PRAGMA max_page_count = %llu;",
		(unsigned)(zt_journal_wal_limit(j) / 4 / 4096), (unsigned long long)zt_journal_wal_limit(j),
		(unsigned long long)(j->c.max_bytes / 4096));
	return zt_journal_rc(j, sqlite3_exec(j->db, text, NULL, NULL, NULL));
}

static int salt(struct zt_journal *j)
{
	int r = 0;
	sqlite3_stmt *s;

	randombytes_buf(j->salt, sizeof(j->salt));
	s = zt_journal_sql(j, ZT_SQL_SET, &r);
	if (!s)
		return r;
	(void)sqlite3_bind_text(s, 1, "salt", -1, SQLITE_STATIC);
	(void)sqlite3_bind_blob(s, 2, j->salt, sizeof(j->salt), SQLITE_STATIC);
	return zt_journal_run(j, s);
}

static int salt_load(struct zt_journal *j)
{
	int r = 0;
	sqlite3_stmt *s = zt_journal_sql(j, ZT_SQL_GET, &r);

	if (!s)
		return r;
	(void)sqlite3_bind_text(s, 1, "salt", -1, SQLITE_STATIC);
	r = zt_journal_rc(j, sqlite3_step(s));
	if (!r && sqlite3_column_bytes(s, 0) == sizeof(j->salt))
		memcpy(j->salt, sqlite3_column_blob(s, 0), sizeof(j->salt));
	else
		r = r ?: -EBADMSG;
	(void)sqlite3_reset(s);
	return r;
}

static int migrate_one(struct zt_journal *j, int64_t version)
{
	char text[80];
	int r = zt_journal_exec(j, ZT_SQL_BEGIN);

	if (r)
		return r;
	(void)snprintf(text, sizeof(text), "PRAGMA application_id = %d; PRAGMA user_version = %d", APPLICATION_ID,
		       (int)version + 1);
	r = zt_journal_rc(j, sqlite3_exec(j->db, migrations[version], NULL, NULL, NULL))
		    ?: zt_journal_rc(j, sqlite3_exec(j->db, text, NULL, NULL, NULL));
	if (!r && !version) {
		j->fresh = true;
		r = salt(j);
	}
	r = r ?: zt_journal_exec(j, ZT_SQL_COMMIT);
	if (r)
		(void)zt_journal_exec(j, ZT_SQL_ROLLBACK); /* r says what went wrong */
	return r;
}

static int version_ok(struct zt_journal *j, int64_t *version, struct zt_diags *d)
{
	int64_t id = 0, tables = 0;
	int r = number_of(j, "PRAGMA user_version", version) ?: number_of(j, "PRAGMA application_id", &id)
			?: number_of(j, "SELECT count(*) FROM sqlite_schema", &tables);

	if (r)
		return r;
	if (*version > ZT_JOURNAL_VERSION && id == APPLICATION_ID) {
		(void)zt_diag(d, ZT_ERROR, 4511, NULL, "%s: version %lld, this program knows versions up to %d",
			      j->path, (long long)*version, ZT_JOURNAL_VERSION);
		zt_diag_hint(d, "use the program that wrote it, or move the file away");
		return -EPROTONOSUPPORT;
	}
	if (id != APPLICATION_ID && (tables || *version)) {
		(void)zt_diag(d, ZT_ERROR, 4512, NULL, "%s: a database, but no journal of zt-segment", j->path);
		zt_diag_hint(d, "move the file away");
		return -EPROTONOSUPPORT;
	}
	return 0;
}

static int prepare_writer(struct zt_journal *j, int64_t version)
{
	int r = 0;

	if (!version) /* both must come before the first table */
		r = zt_journal_rc(j, sqlite3_exec(j->db, "PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL",
						  NULL, NULL, NULL));
	r = r ?: zt_journal_rc(j, sqlite3_exec(j->db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL)) ?: settings(j);
	for (; !r && version < ZT_JOURNAL_VERSION; version++)
		r = migrate_one(j, version);
	return r ?: salt_load(j) ?: zt_journal_totals_load(j);
}

static int make_file(const char *path)
{
	const char *slash = strrchr(path, '/');
	ZT_FREE char *folder = slash && slash != path ? zt_strndup(path, (size_t)(slash - path)) : zt_strdup(".");
	ZT_CLOSE int fd = -1;
	struct stat st;
	int r = folder ? zt_mkdir_p(folder, 0700) : -ENOMEM;

	if (r < 0)
		return r;
	fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	return st.st_mode & 077 && fchmod(fd, 0600) < 0 ? -errno : 0;
}

/* A reader needs the write-ahead log's index; where neither can be made (a read-only file system) and there is no log, none is needed. */
static int open_reader(struct zt_journal *j)
{
	ZT_STRBUF struct zt_strbuf uri = {0};
	ZT_FREE char *wal = zt_asprintf("%s-wal", j->path);
	int64_t version;
	int r = zt_journal_rc(j, sqlite3_open_v2(j->path, &j->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL));

	if (!wal)
		return -ENOMEM;
	r = r ?: number_of(j, "PRAGMA user_version", &version);
	if ((r != -EROFS && r != -ENOENT && r != -EACCES) || zt_path_exists(wal))
		return r;
	zt_journal_db_close(j);
	zt_strbuf_str(&uri, "file:");
	for (const char *p = j->path; *p; p++)
		zt_strbuf_printf(&uri, strchr("?#%", *p) ? "%%%02x" : "%c", *p);
	zt_strbuf_str(&uri, "?immutable=1");
	return zt_strbuf_error(&uri)
		       ?: zt_journal_rc(j, sqlite3_open_v2(zt_strbuf_cstr(&uri), &j->db,
							   SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI,
							   NULL));
}

static int open_file(struct zt_journal *j, struct zt_diags *d)
{
	int64_t version = 0;
	int r;

	if (j->writer)
		r = make_file(j->path)
			    ?: zt_journal_rc(j, sqlite3_open_v2(j->path, &j->db,
								SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL));
	else
		r = zt_path_exists(j->path) ? open_reader(j) : errno == ENOENT ? -ENOENT : -errno;
	if (r)
		return r;
	(void)sqlite3_extended_result_codes(j->db, 1);		 /* cannot fail */
	(void)sqlite3_busy_timeout(j->db, ZT_JOURNAL_BUSY_MSEC); /* nor this */
	r = version_ok(j, &version, d);
	if (r || !j->writer)
		return r ?: version ? zt_journal_totals_load(j) : -ENOENT;
	return prepare_writer(j, version);
}

void zt_journal_db_close(struct zt_journal *j)
{
	for (size_t i = 0; i < ZT_STATEMENTS; i++) {
		(void)sqlite3_finalize(j->stmt[i]); /* says again what its step said */
		j->stmt[i] = NULL;
	}
	(void)sqlite3_close(j->db); /* nothing is open any more */
	j->db = NULL;
}

void zt_journal_db_set_aside(struct zt_journal *j)
{
	static const char *const parts[] = {"", "-wal", "-shm"};

	zt_journal_db_close(j);
	j->aside = true;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(parts); i++) {
		ZT_FREE char *from = zt_asprintf("%s%s", j->path, parts[i]),
			     *to = zt_asprintf("%s.damaged%s", j->path, parts[i]);

		if (!from || !to)
			return; /* tried again with the next flush */
		if (rename(from, to) < 0 && errno == ENOENT)
			(void)unlink(to); /* of an earlier one */
	}
}

bool zt_journal_db_gone(struct zt_journal *j)
{
	int moved = 0;

	return sqlite3_file_control(j->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved;
}

int zt_journal_db_open(struct zt_journal *j, struct zt_diags *d)
{
	int r = open_file(j, d);

	if (r == -EBADMSG && j->writer) {
		zt_journal_db_set_aside(j);
		(void)zt_diag(d, ZT_WARNING, 4513, NULL, "%s was damaged: moved to %s.damaged, a new one is begun",
			      j->path, j->path);
		r = open_file(j, d);
	}
	if (r)
		zt_journal_db_close(j);
	return r;
}
