/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading the journal: both tables merged by id, a chunk at a time. */
#include <string.h>

#include "base/mem.h"
#include "event/journal_parts.h"

bool zt_journal_is_vital(enum zt_activity_kind kind)
{
	return ZT_VITAL_KINDS >> kind & 1;
}

/* ---- what fits ---- */
static bool time_and_kind(const struct zt_journal_query *q, zt_usec time, uint64_t kind)
{
	return time >= q->since && (!q->until || time <= q->until) && (!q->kinds || q->kinds >> kind & 1);
}

static bool same_text(const char *want, const struct zt_activity *a, enum zt_field f, const char *have)
{
	return !want || (zt_activity_has(a, f) && !strcmp(want, have));
}

static bool same_exe(const char *want, const struct zt_activity *a)
{
	const char *slash = strrchr(a->exe, '/');

	if (!want || !zt_activity_has(a, ZT_FIELD_exe))
		return !want;
	return !strcmp(want, a->exe) || (!strchr(want, '/') && slash && !strcmp(want, slash + 1));
}

static bool same_ends(const struct zt_journal_query *q, const struct zt_activity *a)
{
	bool src = zt_activity_has(a, ZT_FIELD_src), dst = zt_activity_has(a, ZT_FIELD_dst);

	if (q->addr.family && !(src && !zt_addr_cmp(&a->src, &q->addr)) && !(dst && !zt_addr_cmp(&a->dst, &q->addr)))
		return false;
	return !q->has_port || (zt_activity_has(a, ZT_FIELD_sport) && a->sport == q->port) ||
	       (zt_activity_has(a, ZT_FIELD_dport) && a->dport == q->port);
}

static bool has_text(const char *text, const struct zt_activity *a)
{
	for (enum zt_field f = 0; f < ZT_FIELDS; f++)
		if (zt_activity_has(a, f) && zt_field_info(f)->type == ZT_TYPE_TEXT &&
		    strcasestr((const char *)a + zt_field_info(f)->offset, text))
			return true;
	return false;
}

bool zt_journal_who_fits(const struct zt_journal_query *q, const struct zt_activity *a)
{
	if (q->has_uid && !(zt_activity_has(a, ZT_FIELD_uid) && a->uid == q->uid))
		return false;
	return same_text(q->service, a, ZT_FIELD_service, a->service) &&
	       same_text(q->rule, a, ZT_FIELD_rule, a->rule) && same_text(q->label, a, ZT_FIELD_label, a->label) &&
	       same_exe(q->exe, a) && same_ends(q, a);
}

bool zt_journal_match(const struct zt_journal_query *q, const struct zt_activity *a)
{
	if (!time_and_kind(q, a->time, a->kind) || !zt_journal_who_fits(q, a))
		return false;
	if (q->has_pid && !(zt_activity_has(a, ZT_FIELD_pid) && a->pid == q->pid))
		return false;
	return !q->text || has_text(q->text, a);
}

/* ---- one table ---- */
struct cursor {
	unsigned stream;
	uint64_t at;	  /* upwards: no chunk before it; downwards: none from it on */
	uint64_t bottom;  /* downwards: none before it */
	uint64_t last;	  /* upwards: the id up to which all is done */
	uint64_t chunk;	  /* first of the chunk in data */
	uint64_t highest; /* id in it */
	uint8_t *data;	  /* ZT_CHUNK_MAX bytes */
	struct zt_chunk_record *records;
	size_t n, next;
	bool loaded;
};
struct zt_journal_iter {
	struct zt_journal *j;
	struct zt_journal_query q;
	struct cursor c[ZT_STREAMS];
	uint64_t given, damaged;
};

/* The records that may fit, in the order of ids. */
static int index_chunk(struct zt_journal_iter *it, struct cursor *c, size_t len)
{
	struct zt_chunk_record r = {.id = c->chunk};
	size_t at = 0;
	int more;

	for (c->n = c->next = 0, c->highest = 0; (more = zt_chunk_next(c->data, len, &at, &r)) > 0;) {
		if (r.id < c->highest || c->n >= ZT_CHUNK_RECORDS)
			return -EBADMSG;
		c->highest = r.id;
		if (r.id > (it->q.reverse ? it->q.after : c->last) && time_and_kind(&it->q, r.time, r.kind))
			c->records[c->n++] = r;
	}
	return more;
}

static void bind(sqlite3_stmt *s, int at, uint64_t v)
{
	(void)sqlite3_bind_int64(s, at, (sqlite3_int64)ZT_MIN(v, (uint64_t)INT64_MAX)); /* step() tells what matters */
}

static int take_chunk(struct zt_journal_iter *it, struct cursor *c, sqlite3_stmt *s)
{
	const void *blob = sqlite3_column_blob(s, 1);
	size_t len = (size_t)sqlite3_column_bytes(s, 1), plain;
	int r;

	c->chunk = (uint64_t)sqlite3_column_int64(s, 0);
	c->loaded = true;
	r = blob ? zt_chunk_decode(it->j->dctx, blob, len, c->data, &plain) : -EBADMSG;
	r = r ?: index_chunk(it, c, plain);
	if (r < 0) { /* what was indexed before the damage is given */
		it->damaged++;
		c->highest = 0;
	}
	return 1;
}

/* 1; 0: there is none; -errno */
static int load(struct zt_journal_iter *it, struct cursor *c)
{
	const struct zt_journal_query *q = &it->q;
	int r = 0, rc;
	sqlite3_stmt *s = zt_journal_sql(it->j, (q->reverse ? ZT_SQL_DOWN : ZT_SQL_UP) + c->stream, &r);

	if (!s)
		return r;
	bind(s, 1, c->at);
	bind(s, 2, q->reverse ? q->after : c->last);
	bind(s, 3, q->since);
	bind(s, 4, q->until ? q->until : INT64_MAX);
	bind(s, 5, q->kinds ? q->kinds : INT64_MAX);
	if (q->reverse)
		bind(s, 6, c->bottom);
	rc = sqlite3_step(s);
	r = rc == SQLITE_ROW ? take_chunk(it, c, s) : zt_journal_rc(it->j, rc);
	(void)sqlite3_reset(s); /* no transaction stays open */
	return r;
}

/* A chunk that grew since is read again; one that gave nothing new is left behind, whatever its row says. */
static void leave(const struct zt_journal_iter *it, struct cursor *c)
{
	if (it->q.reverse) {
		c->at = c->chunk;
	} else {
		c->at = c->highest > c->last ? c->chunk : c->chunk + 1;
		c->last = ZT_MAX(c->last, c->highest);
	}
	c->loaded = false;
}

static int ready(struct zt_journal_iter *it, struct cursor *c)
{
	while (!c->loaded || c->next >= c->n) {
		int r;

		if (c->loaded)
			leave(it, c);
		r = load(it, c);
		if (r <= 0)
			return r;
	}
	return 1;
}

static struct zt_chunk_record *record(const struct zt_journal_iter *it, const struct cursor *c)
{
	return &c->records[it->q.reverse ? c->n - 1 - c->next : c->next];
}

/* The table whose next id comes first; NULL: neither has one. */
static int choose(struct zt_journal_iter *it, struct cursor **ret)
{
	struct cursor *best = NULL;

	for (unsigned i = 0; i < ZT_STREAMS; i++) {
		struct cursor *c = &it->c[i];
		int r;

		if (it->q.kinds && !(it->q.kinds & (i == ZT_VITAL ? ZT_VITAL_KINDS : ~(uint64_t)ZT_VITAL_KINDS)))
			continue;
		r = ready(it, c);
		if (r < 0)
			return r;
		if (r && (!best || (record(it, c)->id < record(it, best)->id) != it->q.reverse))
			best = c;
	}
	*ret = best;
	return 0;
}

int zt_journal_next(struct zt_journal_iter *it, struct zt_activity *ret, uint64_t *ret_id)
{
	for (struct cursor *c; !it->q.limit || it->given < it->q.limit;) {
		int r = choose(it, &c);
		const struct zt_chunk_record *rec;

		if (r || !c)
			return r;
		rec = record(it, c);
		c->next++;
		if (zt_activity_unpack(rec->packed, rec->len, ret) < 0) {
			it->damaged++;
			continue;
		}
		if (!zt_journal_match(&it->q, ret))
			continue;
		it->given++;
		if (ret_id)
			*ret_id = rec->id;
		return 1;
	}
	return 0;
}

static int since_chunk(struct zt_journal *j, unsigned stream, zt_usec since, uint64_t *ret)
{
	int r = 0, rc;
	sqlite3_stmt *s = zt_journal_sql(j, ZT_SQL_SINCE + stream, &r);

	if (!s)
		return r;
	bind(s, 1, since);
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW)
		*ret = (uint64_t)sqlite3_column_int64(s, 0); /* 0 when there is none */
	(void)sqlite3_reset(s);
	return zt_journal_rc(j, rc);
}

static int start(struct zt_journal_iter *it, unsigned stream)
{
	struct cursor *c = &it->c[stream];
	uint64_t from = 0;
	int r = it->q.since ? since_chunk(it->j, stream, it->q.since, &from) : 0;

	c->stream = stream;
	c->last = it->q.after;
	c->at = it->q.reverse ? INT64_MAX : from;
	c->bottom = from;
	c->data = zt_malloc(ZT_CHUNK_MAX);
	c->records = zt_new(struct zt_chunk_record, ZT_CHUNK_RECORDS);
	return r ?: c->data && c->records ? 0 : -ENOMEM;
}

int zt_journal_query(struct zt_journal *j, const struct zt_journal_query *q, struct zt_journal_iter **ret)
{
	ZT_CLEANUP(zt_journal_iter_freep) struct zt_journal_iter *it = zt_new(struct zt_journal_iter, 1);
	int r = it ? 0 : -ENOMEM;

	if (r)
		return r;
	it->j = j;
	it->q = *q;
	for (unsigned i = 0; i < ZT_STREAMS && !r; i++)
		r = start(it, i);
	if (!r)
		*ret = ZT_TAKE(it);
	return r;
}

uint64_t zt_journal_iter_damaged(const struct zt_journal_iter *it)
{
	return it->damaged;
}

void zt_journal_iter_free(struct zt_journal_iter *it)
{
	if (!it)
		return;
	for (unsigned i = 0; i < ZT_STREAMS; i++) {
		free(it->c[i].data);
		free(it->c[i].records);
	}
	free(it);
}

void zt_journal_iter_freep(struct zt_journal_iter **it)
{
	zt_journal_iter_free(*it);
	*it = NULL;
}

static int find_in(uint8_t *data, size_t len, uint64_t first, uint64_t id, struct zt_activity *ret)
{
	struct zt_chunk_record rec = {.id = first};
	size_t at = 0;
	int r;

	while ((r = zt_chunk_next(data, len, &at, &rec)) > 0)
		if (rec.id == id)
			return zt_activity_unpack(rec.packed, rec.len, ret);
	return r ?: -ENOENT;
}

static int get_from(struct zt_journal *j, unsigned stream, uint64_t id, uint8_t *data, struct zt_activity *ret)
{
	size_t plain = 0;
	int r = 0, rc;
	sqlite3_stmt *s = zt_journal_sql(j, ZT_SQL_BY_ID + stream, &r);

	if (!s)
		return r;
	bind(s, 1, id);
	rc = sqlite3_step(s);
	r = rc == SQLITE_ROW ? 0 : zt_journal_rc(j, rc) ?: -ENOENT;
	r = r ?: zt_chunk_decode(j->dctx, sqlite3_column_blob(s, 1), (size_t)sqlite3_column_bytes(s, 1), data, &plain);
	r = r ?: find_in(data, plain, (uint64_t)sqlite3_column_int64(s, 0), id, ret);
	(void)sqlite3_reset(s);
	return r;
}

int zt_journal_get(struct zt_journal *j, uint64_t id, struct zt_activity *ret)
{
	ZT_FREE uint8_t *data = zt_malloc(ZT_CHUNK_MAX);
	int r = -ENOENT;

	if (!data)
		return -ENOMEM;
	for (unsigned i = 0; i < ZT_STREAMS && r == -ENOENT; i++)
		r = get_from(j, i, id, data, ret);
	return r;
}

/* ---- flows ---- */
enum { KEYS = 256 };

struct known_key { /* unpacked, and whether it fits */
	uint64_t key;
	bool fits;
	struct zt_activity who;
};

int zt_journal_key_data(struct zt_journal *j, uint64_t key, struct zt_activity *ret)
{
	int r = 0, rc;
	sqlite3_stmt *s = zt_journal_sql(j, ZT_SQL_KEY_DATA, &r);

	if (!s)
		return r;
	bind(s, 1, key);
	rc = sqlite3_step(s);
	r = rc == SQLITE_ROW ? zt_activity_unpack(sqlite3_column_blob(s, 0), (size_t)sqlite3_column_bytes(s, 0), ret)
			     : zt_journal_rc(j, rc) ?: -ENOENT;
	(void)sqlite3_reset(s);
	return r;
}

static int know(struct zt_journal *j, const struct zt_journal_query *q, uint64_t key, struct known_key *k)
{
	int r;

	if (k->key == key)
		return 0;
	k->key = 0;
	r = zt_journal_key_data(j, key, &k->who);
	if (r == -ENOENT || r == -EBADMSG) { /* zt_journal_check() tells of it */
		k->fits = false;
		r = 0;
	} else if (!r) {
		k->fits = zt_journal_who_fits(q, &k->who);
	}
	k->key = r ? 0 : key;
	return r;
}

void zt_journal_take_flow(sqlite3_stmt *s, struct zt_journal_flow *f)
{
	uint64_t minute = (uint64_t)sqlite3_column_int64(s, 1) * ZT_MINUTE;

	f->key = (uint64_t)sqlite3_column_int64(s, 0);
	f->minute = minute;
	f->count = (uint64_t)sqlite3_column_int64(s, 2);
	f->bytes_sent = (uint64_t)sqlite3_column_int64(s, 3);
	f->bytes_received = (uint64_t)sqlite3_column_int64(s, 4);
	f->first = minute + (uint64_t)sqlite3_column_int64(s, 5);
	f->last = minute + (uint64_t)sqlite3_column_int64(s, 6);
}

void zt_journal_bind_minutes(sqlite3_stmt *s, const struct zt_journal_query *q)
{
	bind(s, 1, q->since / ZT_MINUTE);
	bind(s, 2, q->until ? q->until / ZT_MINUTE : INT64_MAX);
}

static int each_flow(struct zt_journal *j, const struct zt_journal_query *q, sqlite3_stmt *s, struct known_key *keys,
		     int (*fn)(const struct zt_journal_flow *f, void *arg), void *arg)
{
	ZT_FREE struct zt_journal_flow *f = zt_new(struct zt_journal_flow, 1);
	int r = f ? 0 : -ENOMEM, rc = SQLITE_DONE;

	while (!r && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		struct known_key *k;

		zt_journal_take_flow(s, f);
		k = &keys[f->key % KEYS];
		r = know(j, q, f->key, k);
		if (r || !k->fits)
			continue;
		f->who = k->who;
		f->who.time = f->first;
		r = fn(f, arg);
	}
	return r ?: zt_journal_rc(j, rc);
}

static int each_minute(struct zt_journal *j, const struct zt_journal_query *q,
		       int (*fn)(const struct zt_journal_flow *f, void *arg), void *arg)
{
	ZT_FREE struct known_key *keys = zt_new(struct known_key, KEYS);
	int r = 0;
	sqlite3_stmt *s = keys ? zt_journal_sql(j, ZT_SQL_FLOW_LIST, &r) : NULL;

	if (!s)
		return r ?: -ENOMEM;
	zt_journal_bind_minutes(s, q);
	r = each_flow(j, q, s, keys, fn, arg);
	(void)sqlite3_reset(s);
	return r;
}

int zt_journal_flows(struct zt_journal *j, const struct zt_journal_query *q, bool sum,
		     int (*fn)(const struct zt_journal_flow *f, void *arg), void *arg)
{
	return sum ? zt_journal_sums(j, q, fn, arg) : each_minute(j, q, fn, arg);
}
