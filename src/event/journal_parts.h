/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Inside the journal: what its files share. journal.h says what it promises. */
#include <sqlite3.h>
#include <zstd.h>

#include "event/journal.h"

/* ---- journal_chunk.c: up to 1024 records as one compressed blob ----
 * A record is its id minus the one before it (0 for the first) and its length, both LEB128, then zt_activity_pack(). A blob is a byte that
 * says how the records are stored (0: plain, 1: zstd) and the records. */
enum { ZT_CHUNK_RECORDS = 1024, ZT_CHUNK_FULL = 128 * 1024, ZT_CHUNK_MAX = 192 * 1024 };
_Static_assert(sizeof(struct zt_activity) < ZT_CHUNK_MAX - ZT_CHUNK_FULL - 64,
	       "a chunk that is not full takes any record");

struct zt_chunk_head {
	uint64_t first, last; /* ids */
	zt_usec tmin, tmax;
	uint64_t kinds; /* bits */
	uint32_t n;
};
struct zt_chunk {
	struct zt_chunk_head head;
	uint8_t *data; /* ZT_CHUNK_MAX bytes */
	size_t len;
};
/* packed is the record of a. */
void zt_chunk_add(struct zt_chunk *c, uint64_t id, const struct zt_activity *a, const struct zt_strbuf *packed);
bool zt_chunk_full(const struct zt_chunk *c);
/* out: ZT_CHUNK_BLOB bytes. Bytes used. */
#define ZT_CHUNK_BLOB (ZSTD_COMPRESSBOUND(ZT_CHUNK_MAX) + 1)
size_t zt_chunk_encode(ZSTD_CCtx *z, const struct zt_chunk *c, uint8_t *out);
/* out: ZT_CHUNK_MAX bytes. -EBADMSG. */
int zt_chunk_decode(ZSTD_DCtx *z, const uint8_t *blob, size_t len, uint8_t *out, size_t *ret_len);
struct zt_chunk_record {
	uint64_t id;
	zt_usec time;
	uint64_t kind;
	const uint8_t *packed;
	size_t len;
};
/* at: where the last one ended, 0 for the first; record of the last one, zero (but id: head.first) for the first. 1, 0 = end, -EBADMSG. */
int zt_chunk_next(const uint8_t *data, size_t len, size_t *at, struct zt_chunk_record *record);

/* ---- journal_db.c: SQLite ---- */
enum { ZT_ORDINARY, ZT_VITAL, ZT_STREAMS };
#define ZT_VITAL_KINDS                                                                                                \
	(1U << ZT_ACTIVITY_DENY | 1U << ZT_ACTIVITY_PRIVILEGE | 1U << ZT_ACTIVITY_MODULE | 1U << ZT_ACTIVITY_PTRACE | \
	 1U << ZT_ACTIVITY_STATE | 1U << ZT_ACTIVITY_LOST)

enum zt_statement {
	ZT_SQL_BEGIN,
	ZT_SQL_COMMIT,
	ZT_SQL_ROLLBACK,
	ZT_SQL_SET,
	ZT_SQL_GET,
	ZT_SQL_PAGES,
	ZT_SQL_FREE,
	ZT_SQL_VACUUM,
	/* one for each stream */
	ZT_SQL_PUT,
	ZT_SQL_LAST = ZT_SQL_PUT + ZT_STREAMS,
	ZT_SQL_EDGE = ZT_SQL_LAST + ZT_STREAMS,
	ZT_SQL_OLD = ZT_SQL_EDGE + ZT_STREAMS,
	ZT_SQL_EVICT = ZT_SQL_OLD + ZT_STREAMS,
	ZT_SQL_SINCE = ZT_SQL_EVICT + ZT_STREAMS,
	ZT_SQL_UP = ZT_SQL_SINCE + ZT_STREAMS,
	ZT_SQL_DOWN = ZT_SQL_UP + ZT_STREAMS,
	ZT_SQL_BY_ID = ZT_SQL_DOWN + ZT_STREAMS,
	ZT_SQL_KEY_FIND = ZT_SQL_BY_ID + ZT_STREAMS,
	ZT_SQL_KEY_ADD,
	ZT_SQL_KEY_TOUCH,
	ZT_SQL_KEY_OLD,
	ZT_SQL_KEY_DATA,
	ZT_SQL_FLOW_ADD,
	ZT_SQL_FLOW_NEW,
	ZT_SQL_FLOW_FIRST,
	ZT_SQL_FLOW_OLD,
	ZT_SQL_FLOW_LIST,
	ZT_SQL_KEY_LIST,
	ZT_STATEMENTS,
};

struct zt_journal_totals { /* what the tables hold; stored in stat with each transaction */
	uint64_t records[ZT_STREAMS], bytes[ZT_STREAMS], flows, keys;
};
struct zt_sealed { /* a full chunk that waits to be written */
	struct zt_sealed *next;
	struct zt_chunk_head head;
	size_t len;
	uint8_t blob[];
};
struct zt_stream {
	struct zt_chunk open; /* written again with each flush until it is full */
	bool dirty;	      /* open has what the disk has not */
	struct {	      /* of the first that is to be written: what the disk has of it already */
		uint64_t first, n, bytes;
	} partial;
	struct zt_sealed *head, **tail;
	uint64_t queued; /* bytes */
};

struct zt_journal {
	char *path;
	int lock;
	bool writer, fresh, aside; /* fresh: just made; aside: in place of one that was damaged */
	struct zt_journal_config c;
	sqlite3 *db;
	sqlite3_stmt *stmt[ZT_STATEMENTS];
	unsigned char salt[16];
	struct zt_journal_totals totals;
	ZSTD_CCtx *cctx;
	ZSTD_DCtx *dctx;
	uint8_t *blob; /* ZT_CHUNK_BLOB bytes */
	struct zt_strbuf packed;
	struct zt_stream streams[ZT_STREAMS];
	struct zt_flow_table *flows;
	uint64_t next_id;
	uint32_t pending;   /* records since the last flush */
	zt_usec due, retry; /* monotonic; 0 = not */
	zt_usec opened_real, opened_mono, gap;
	zt_usec written; /* before it was opened; 0: never, or not known */
	int error;
	uint64_t appended, flushes, failures;
	uint64_t dropped[ZT_ACTIVITY_KINDS], told[ZT_ACTIVITY_KINDS];
	uint64_t flows_told; /* of the flows that were dropped */
	zt_usec lossy_since; /* realtime of the first loss that was not told */
};

int zt_journal_rc(struct zt_journal *j, int rc); /* SQLite's result as 0 or -errno */
/* The statement, prepared and reset; NULL with *ret_error set. */
sqlite3_stmt *zt_journal_sql(struct zt_journal *j, unsigned which, int *ret_error);
/* Steps to the end: 0 or -errno. */
int zt_journal_run(struct zt_journal *j, sqlite3_stmt *s);
int zt_journal_exec(struct zt_journal *j, unsigned which);		       /* without parameters */
int zt_journal_get_u64(struct zt_journal *j, const char *name, uint64_t *ret); /* 0 when it is not there */
int zt_journal_set_u64(struct zt_journal *j, const char *name, uint64_t v);
int zt_journal_pragma(struct zt_journal *j, unsigned which, uint64_t *ret); /* the one number that it gives */
int zt_journal_totals_load(struct zt_journal *j);
int zt_journal_totals_store(struct zt_journal *j);
/* Opens, makes or adopts the file. Reports. */
int zt_journal_db_open(struct zt_journal *j, struct zt_diags *d);
void zt_journal_db_close(struct zt_journal *j);
void zt_journal_db_set_aside(struct zt_journal *j);
bool zt_journal_db_gone(struct zt_journal *j); /* the file at path is another one, or none */

/* ---- journal_flow.c: sums in memory until the next flush ---- */
int zt_flow_table_new(struct zt_flow_table **ret);
void zt_flow_table_free(struct zt_flow_table *t);
uint64_t zt_flow_pending(const struct zt_flow_table *t); /* bytes that are to be written, about */
void zt_flow_add(struct zt_journal *j,
		 const struct zt_activity *a); /* a full table is flushed; what finds no place is counted */
int zt_flow_write(struct zt_journal *j);       /* in a transaction */
void zt_flow_written(struct zt_flow_table *t); /* after it */
void zt_flow_forget(struct zt_flow_table *t,
		    uint64_t before); /* numbers of keys that were last seen before this minute; UINT64_MAX: all */
void zt_flow_counts(const struct zt_journal *j, uint64_t *ret_entries, uint64_t *ret_max, uint64_t *ret_dropped);
#define ZT_MINUTE (60 * ZT_USEC_PER_SEC)
#define ZT_DAY (86400 * ZT_USEC_PER_SEC)

/* ---- journal_keep.c ---- */
/* In a transaction, before writing need bytes: what is too old or too much goes. */
int zt_journal_keep(struct zt_journal *j, uint64_t need);
uint64_t zt_journal_wal_bytes(const struct zt_journal *j);
uint64_t zt_journal_wal_limit(const struct zt_journal *j); /* what is set aside for it */

/* ---- journal_query.c, journal_sum.c: reading flows ---- */
bool zt_journal_who_fits(const struct zt_journal_query *q, const struct zt_activity *a);
int zt_journal_key_data(struct zt_journal *j, uint64_t key, struct zt_activity *ret); /* -ENOENT, -EBADMSG */
void zt_journal_bind_minutes(sqlite3_stmt *s, const struct zt_journal_query *q);
void zt_journal_take_flow(sqlite3_stmt *s, struct zt_journal_flow *f); /* a row of ZT_SQL_FLOW_LIST; all but who */
int zt_journal_sums(struct zt_journal *j, const struct zt_journal_query *q,
		    int (*fn)(const struct zt_journal_flow *f, void *arg), void *arg);
