/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Flows: who talked to whom, added up by minute. In memory only what came since the last flush, and the numbers of keys. */
#include <sodium.h>
#include <string.h>

#include "base/mem.h"
#include "event/journal_parts.h"

enum { SLOTS = 32768, ENTRIES = SLOTS / 2, ROW_BYTES = 128 }; /* of a flow, its key, their indices */

struct flow_entry {
	uint64_t hash;
	char *key; /* NULL = free slot */
	uint32_t len;
	bool pending;
	int64_t id;    /* of the key; 0 = not known */
	uint64_t seen; /* minute that the key has on the disk */
	uint64_t minute, count, sent, received;
	zt_usec first, last;
};
struct zt_flow_table {
	struct flow_entry slots[SLOTS];
	size_t used, pending;
	uint64_t dropped, pending_bytes;
	struct zt_strbuf key;
};

int zt_flow_table_new(struct zt_flow_table **ret)
{
	struct zt_flow_table *t = zt_new(struct zt_flow_table, 1);

	if (!t)
		return -ENOMEM;
	*ret = t;
	return 0;
}

static void empty(struct zt_flow_table *t)
{
	for (size_t i = 0; i < SLOTS; i++)
		free(t->slots[i].key);
	memset(t->slots, 0, sizeof(t->slots));
	t->used = t->pending = 0;
	t->pending_bytes = 0;
}

void zt_flow_table_free(struct zt_flow_table *t)
{
	if (!t)
		return;
	empty(t);
	zt_strbuf_done(&t->key);
	free(t);
}

uint64_t zt_flow_pending(const struct zt_flow_table *t)
{
	return t->pending_bytes;
}

void zt_flow_counts(const struct zt_journal *j, uint64_t *ret_entries, uint64_t *ret_max, uint64_t *ret_dropped)
{
	*ret_entries = j->flows ? j->flows->used : 0;
	*ret_max = ENTRIES;
	*ret_dropped = j->flows ? j->flows->dropped : 0;
}

/* ---- what contributes: journal.h ---- */
static bool passed(const struct zt_activity *a)
{
	return !zt_activity_has(a, ZT_FIELD_verdict) || !strcmp(a->verdict, "allow");
}

/* false: nothing. */
static bool contributes(const struct zt_journal *j, const struct zt_activity *a, uint64_t *count)
{
	*count = zt_activity_has(a, ZT_FIELD_count) ? a->count : 1;
	if (zt_activity_has(a, ZT_FIELD_direction) && !strcmp(a->direction, "unix"))
		return false; /* not of the network */
	switch (a->kind) {
	case ZT_ACTIVITY_CONNECT:
	case ZT_ACTIVITY_ACCEPT:
	case ZT_ACTIVITY_FLOW:
		return passed(a) && !zt_activity_has(a, ZT_FIELD_error);
	case ZT_ACTIVITY_DENY:
		return true;
	case ZT_ACTIVITY_ALLOW:
		return j->c.count_allowed;
	case ZT_ACTIVITY_CLOSE:
		*count = 0;
		return true;
	case ZT_ACTIVITY_EXEC:
	case ZT_ACTIVITY_EXIT:
	case ZT_ACTIVITY_LISTEN:
	case ZT_ACTIVITY_BIND:
	case ZT_ACTIVITY_DNS:
	case ZT_ACTIVITY_OPEN:
	case ZT_ACTIVITY_PRIVILEGE:
	case ZT_ACTIVITY_MODULE:
	case ZT_ACTIVITY_PTRACE:
	case ZT_ACTIVITY_STATE:
	case ZT_ACTIVITY_LOST:
	case ZT_ACTIVITY_KINDS:
		break;
	}
	return false;
}

static void put_text(struct zt_strbuf *out, enum zt_field f, const char *s)
{
	zt_strbuf_char(out, (char)f);
	zt_strbuf_char(out, (char)strlen(s));
	zt_strbuf_str(out, s);
}

/* A packed activity of kind flow and time 0: unpacked as any other. What is not said is said: direction and verdict. */
static void make_key(const struct zt_activity *a, struct zt_strbuf *out)
{
	bool in = zt_activity_has(a, ZT_FIELD_direction) ? !strcmp(a->direction, "ingress")
							 : a->kind == ZT_ACTIVITY_ACCEPT;
	uint64_t fields = ZT_JOURNAL_KEY_FIELDS & ~(in ? ZT_JOURNAL_BIT(dst) : ZT_JOURNAL_BIT(src));

	zt_strbuf_clear(out);
	zt_strbuf_add(out, (const char[]){ZT_FIELD_time, 0, ZT_FIELD_kind, ZT_ACTIVITY_FLOW}, 4);
	put_text(out, ZT_FIELD_direction, in ? "ingress" : "egress");
	put_text(out, ZT_FIELD_verdict, zt_activity_has(a, ZT_FIELD_verdict) ? a->verdict : "allow");
	zt_activity_pack_fields(a, fields & ~(ZT_JOURNAL_BIT(direction) | ZT_JOURNAL_BIT(verdict)), out);
}

static uint64_t hash_of(const struct zt_journal *j, const struct zt_strbuf *key)
{
	unsigned char out[crypto_shorthash_BYTES];
	uint64_t v;

	(void)crypto_shorthash(out, (const unsigned char *)key->buf, key->len, j->salt); /* cannot fail */
	memcpy(&v, out, sizeof(v));
	return v;
}

/* The entry of the key in that minute, or the free slot for it. */
static struct flow_entry *find(struct zt_flow_table *t, uint64_t hash, uint64_t minute)
{
	const struct zt_strbuf *key = &t->key;

	for (size_t i = hash + minute * 2654435761U;; i++) {
		struct flow_entry *e = &t->slots[i % SLOTS];

		if (!e->key || (e->hash == hash && e->minute == minute && e->len == key->len &&
				!memcmp(e->key, key->buf, key->len)))
			return e;
	}
}

static struct flow_entry *find_or_new(struct zt_journal *j, uint64_t hash, uint64_t minute)
{
	struct zt_flow_table *t = j->flows;
	struct flow_entry *e = find(t, hash, minute);

	if (e->key)
		return e;
	if (t->used >= ENTRIES) {
		if (t->pending && zt_journal_flush(j) < 0)
			return NULL;
		empty(t);
		e = find(t, hash, minute);
	}
	e->key = zt_malloc(t->key.len);
	if (!e->key)
		return NULL;
	memcpy(e->key, t->key.buf, t->key.len);
	e->len = (uint32_t)t->key.len;
	e->hash = hash;
	e->minute = minute;
	t->used++;
	return e;
}

static void add(struct flow_entry *e, const struct zt_activity *a, uint64_t count)
{
	if (!e->pending) {
		e->count = e->sent = e->received = 0;
		e->first = e->last = a->time;
	}
	e->count += count;
	if (a->kind == ZT_ACTIVITY_CLOSE) {
		e->sent += zt_activity_has(a, ZT_FIELD_bytes_sent) ? a->bytes_sent : 0;
		e->received += zt_activity_has(a, ZT_FIELD_bytes_received) ? a->bytes_received : 0;
	}
	e->first = ZT_MIN(e->first, a->time);
	e->last = ZT_MAX(e->last, a->time);
}

void zt_flow_add(struct zt_journal *j, const struct zt_activity *a)
{
	struct zt_flow_table *t = j->flows;
	struct flow_entry *e;
	uint64_t count;

	if (!contributes(j, a, &count))
		return;
	make_key(a, &t->key);
	e = zt_strbuf_error(&t->key) ? NULL : find_or_new(j, hash_of(j, &t->key), a->time / ZT_MINUTE);
	if (!e) {
		t->dropped++;
		return;
	}
	add(e, a, count);
	if (!e->pending) {
		t->pending++;
		t->pending_bytes += e->len + ROW_BYTES;
	}
	e->pending = true;
}

/* ---- to the disk ---- */
static void bind(sqlite3_stmt *s, int at, uint64_t v)
{
	(void)sqlite3_bind_int64(s, at, (sqlite3_int64)ZT_MIN(v, UINT64_C(1) << 62)); /* step() tells what matters */
}

static int key_find(struct zt_journal *j, struct flow_entry *e)
{
	int r = 0;
	sqlite3_stmt *s = zt_journal_sql(j, ZT_SQL_KEY_FIND, &r);

	if (!s)
		return r;
	(void)sqlite3_bind_int64(s, 1, (sqlite3_int64)e->hash);
	(void)sqlite3_bind_blob(s, 2, e->key, (int)e->len, SQLITE_STATIC);
	r = sqlite3_step(s);
	if (r == SQLITE_ROW) {
		e->id = sqlite3_column_int64(s, 0);
		e->seen = (uint64_t)sqlite3_column_int64(s, 1);
	}
	r = zt_journal_rc(j, r);
	(void)sqlite3_reset(s);
	return r;
}

static int key_add(struct zt_journal *j, struct flow_entry *e)
{
	int r = 0;
	sqlite3_stmt *s = zt_journal_sql(j, ZT_SQL_KEY_ADD, &r);

	if (!s)
		return r;
	(void)sqlite3_bind_int64(s, 1, (sqlite3_int64)e->hash);
	bind(s, 2, e->minute);
	(void)sqlite3_bind_blob(s, 3, e->key, (int)e->len, SQLITE_STATIC);
	r = zt_journal_run(j, s);
	if (r)
		return r;
	e->id = sqlite3_last_insert_rowid(j->db);
	e->seen = e->minute;
	j->totals.keys++;
	return 0;
}

/* A key's minute is never before that of a flow that has it: what is older than the oldest flow can go. */
static int key_touch(struct zt_journal *j, struct flow_entry *e)
{
	int r = 0;
	sqlite3_stmt *s;

	if (e->seen >= e->minute)
		return 0;
	s = zt_journal_sql(j, ZT_SQL_KEY_TOUCH, &r);
	if (!s)
		return r;
	bind(s, 1, (uint64_t)e->id);
	bind(s, 2, e->minute);
	r = zt_journal_run(j, s);
	if (!r)
		e->seen = e->minute;
	return r;
}

static int write_row(struct zt_journal *j, unsigned which, const struct flow_entry *e)
{
	uint64_t start = e->minute * ZT_MINUTE;
	int r = 0;
	sqlite3_stmt *s = zt_journal_sql(j, which, &r);

	if (!s)
		return r;
	bind(s, 1, e->minute);
	bind(s, 2, (uint64_t)e->id);
	bind(s, 3, e->count);
	bind(s, 4, e->sent);
	bind(s, 5, e->received);
	bind(s, 6, e->first - start);
	bind(s, 7, e->last - start);
	return zt_journal_run(j, s);
}

static int write_entry(struct zt_journal *j, struct flow_entry *e)
{
	int r = e->id ? 0 : key_find(j, e);

	r = r ?: e->id ? key_touch(j, e) : key_add(j, e);
	r = r ?: write_row(j, ZT_SQL_FLOW_ADD, e);
	if (r || sqlite3_changes(j->db))
		return r;
	r = write_row(j, ZT_SQL_FLOW_NEW, e);
	j->totals.flows += !r;
	return r;
}

int zt_flow_write(struct zt_journal *j)
{
	struct zt_flow_table *t = j->flows;
	int r = 0;

	for (size_t i = 0; i < SLOTS && t->pending && !r; i++)
		if (t->slots[i].pending)
			r = write_entry(j, &t->slots[i]);
	return r;
}

void zt_flow_written(struct zt_flow_table *t)
{
	for (size_t i = 0; i < SLOTS && t->pending; i++)
		t->slots[i].pending = false;
	t->pending = 0;
	t->pending_bytes = 0;
}

void zt_flow_forget(struct zt_flow_table *t, uint64_t before)
{
	for (size_t i = 0; i < SLOTS; i++)
		if (t->slots[i].seen < before)
			t->slots[i].id = 0;
}
