/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Flows over all minutes, one for each key. SQLite would sort them all to group them: here those of keys that fit are added up in one pass, in the order in which they lie. */
#include <string.h>

#include "base/mem.h"
#include "event/journal_parts.h"

struct sum {
	uint64_t key, count, sent, received;
	zt_usec first, last; /* 0: no flow yet */
};
struct sums { /* by key */
	struct sum *v;
	size_t n, room;
};

static int add_key(struct sums *l, uint64_t key)
{
	if (l->n == l->room) {
		size_t room = l->room ? l->room * 2 : 1024;
		struct sum *v = zt_realloc(l->v, room * sizeof(*v));

		if (!v)
			return -ENOMEM;
		l->v = v;
		l->room = room;
	}
	l->v[l->n++] = (struct sum){.key = key};
	return 0;
}

/* A key that cannot be read fits nobody: zt_journal_check() tells of it. */
static int find_keys(struct zt_journal *j, const struct zt_journal_query *q, struct sums *l)
{
	struct zt_activity who;
	int r = 0, rc = SQLITE_DONE;
	sqlite3_stmt *s = zt_journal_sql(j, ZT_SQL_KEY_LIST, &r);

	if (!s)
		return r;
	(void)sqlite3_bind_int64(s, 1, (sqlite3_int64)(q->since / ZT_MINUTE)); /* step() tells what matters */
	while (!r && (rc = sqlite3_step(s)) == SQLITE_ROW)
		if (zt_activity_unpack(sqlite3_column_blob(s, 1), (size_t)sqlite3_column_bytes(s, 1), &who) == 0 &&
		    zt_journal_who_fits(q, &who))
			r = add_key(l, (uint64_t)sqlite3_column_int64(s, 0));
	r = r ?: zt_journal_rc(j, rc);
	(void)sqlite3_reset(s);
	return r;
}

static struct sum *find(const struct sums *l, uint64_t key)
{
	size_t at = 0, n = l->n;

	while (n > 1) {
		size_t half = n / 2;

		at = l->v[at + half].key <= key ? at + half : at;
		n -= half;
	}
	return n && l->v[at].key == key ? &l->v[at] : NULL;
}

static int add_flows(struct zt_journal *j, const struct zt_journal_query *q, struct sums *l)
{
	struct zt_journal_flow f;
	int r = 0, rc;
	sqlite3_stmt *s = zt_journal_sql(j, ZT_SQL_FLOW_LIST, &r);

	if (!s)
		return r;
	zt_journal_bind_minutes(s, q);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		struct sum *t = find(l, (uint64_t)sqlite3_column_int64(s, 0));

		if (!t)
			continue;
		zt_journal_take_flow(s, &f);
		t->count += f.count;
		t->sent += f.bytes_sent;
		t->received += f.bytes_received;
		t->first = t->last ? ZT_MIN(t->first, f.first) : f.first;
		t->last = ZT_MAX(t->last, f.last);
	}
	r = zt_journal_rc(j, rc);
	(void)sqlite3_reset(s);
	return r;
}

static int tell(struct zt_journal *j, const struct sum *t, int (*fn)(const struct zt_journal_flow *f, void *arg),
		void *arg)
{
	struct zt_journal_flow f = {.key = t->key,
				    .count = t->count,
				    .bytes_sent = t->sent,
				    .bytes_received = t->received,
				    .first = t->first,
				    .last = t->last};
	int r = zt_journal_key_data(j, t->key, &f.who);

	if (r == -ENOENT || r == -EBADMSG)
		return 0;
	f.who.time = f.first;
	return r ?: fn(&f, arg);
}

int zt_journal_sums(struct zt_journal *j, const struct zt_journal_query *q,
		    int (*fn)(const struct zt_journal_flow *f, void *arg), void *arg)
{
	struct sums l = {0};
	int r = find_keys(j, q, &l) ?: l.n ? add_flows(j, q, &l) : 0;

	for (size_t i = 0; !r && i < l.n; i++)
		if (l.v[i].last)
			r = tell(j, &l.v[i], fn, arg);
	free(l.v);
	return r;
}
