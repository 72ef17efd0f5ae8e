/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "event/sums.h"

#include <string.h>

#include "base/mem.h"
#include "identity/identity.h"

/* ---- what is summed by ---- */
static void put_or_none(const struct zt_activity *a, enum zt_field f, struct zt_strbuf *out)
{
	if (zt_activity_has(a, f))
		zt_activity_value(a, f, out);
	else
		zt_strbuf_str(out, "(none)");
}

static void by_user(const struct zt_activity *a, struct zt_strbuf *out)
{
	if (!zt_activity_has(a, ZT_FIELD_user) && zt_activity_has(a, ZT_FIELD_uid))
		zt_strbuf_printf(out, "UID %u", a->uid);
	else
		put_or_none(a, ZT_FIELD_user, out);
}

static void by_group(const struct zt_activity *a, struct zt_strbuf *out)
{
	ZT_FREE char *name = zt_activity_has(a, ZT_FIELD_gid) ? zt_group_name(a->gid) : NULL;

	zt_strbuf_str(out, name ? name : "(none)");
}

static void by_program(const struct zt_activity *a, struct zt_strbuf *out)
{
	put_or_none(a, ZT_FIELD_exe, out);
}

static void by_service(const struct zt_activity *a, struct zt_strbuf *out)
{
	put_or_none(a, ZT_FIELD_service, out);
}

static void by_container(const struct zt_activity *a, struct zt_strbuf *out)
{
	put_or_none(a, ZT_FIELD_container, out);
}

static void by_rule(const struct zt_activity *a, struct zt_strbuf *out)
{
	if (!zt_activity_has(a, ZT_FIELD_rule) && a->kind == ZT_ACTIVITY_DENY)
		zt_strbuf_str(out, "(default policy)");
	else
		put_or_none(a, ZT_FIELD_rule, out);
}

/* The other end, by name where it was looked up. */
static void by_peer(const struct zt_activity *a, struct zt_strbuf *out)
{
	bool in = zt_activity_has(a, ZT_FIELD_direction) && !strcmp(a->direction, "ingress");

	if (zt_activity_has(a, ZT_FIELD_name))
		zt_strbuf_str(out, a->name);
	else
		put_or_none(a, in ? ZT_FIELD_src : ZT_FIELD_dst, out);
}

static const struct {
	const char *name, *title;
	void (*key)(const struct zt_activity *who, struct zt_strbuf *out);
} kinds[] = {
	{"user", "User", by_user},
	{"group", "Group", by_group},
	{"program", "Program", by_program},
	{"service", "Service", by_service},
	{"container", "Container", by_container},
	{"peer", "Peer", by_peer},
	{"rule", "Rule", by_rule},
};

bool zt_sums_find(const char *name, unsigned *ret_by)
{
	for (unsigned i = 0; i < ZT_ARRAY_SIZE(kinds); i++)
		if (!strcmp(kinds[i].name, name)) {
			*ret_by = i;
			return true;
		}
	return false;
}

const char *zt_sums_title(unsigned by)
{
	return by < ZT_ARRAY_SIZE(kinds) ? kinds[by].title : NULL;
}

/* ---- summing ---- */
enum { ROW_BYTES = 96 /* of numbers */ };

static int take(struct zt_sums *s, struct zt_sum one)
{
	if (!one.key || zt_grow(s->v, s->cap, s->n) < 0) {
		free(one.key);
		return -ENOMEM;
	}
	s->bytes += strlen(one.key) + ROW_BYTES;
	s->v[s->n++] = one;
	return 0;
}

int zt_sums_put(struct zt_sums *s, const struct zt_sum *one)
{
	struct zt_sum copy = *one;

	copy.key = zt_strdup(one->key);
	return take(s, copy);
}

int zt_sums_add(struct zt_sums *s, const struct zt_journal_flow *f)
{
	ZT_STRBUF struct zt_strbuf key = {0};
	const char *verdict = zt_activity_has(&f->who, ZT_FIELD_verdict) ? f->who.verdict : "allow";
	bool observed = !strcmp(verdict, "observe"), denied = !observed && strcmp(verdict, "allow") != 0;

	kinds[s->by].key(&f->who, &key);
	return take(s, (struct zt_sum){.key = zt_strbuf_steal(&key),
				       .flows = denied || observed ? 0 : f->count, /* who connected has told it */
				       .denied = denied ? f->count : 0,
				       .observed = observed ? f->count : 0,
				       .sent = f->bytes_sent,
				       .received = f->bytes_received,
				       .last = f->last});
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct zt_sum *)a)->key, ((const struct zt_sum *)b)->key);
}

static int by_weight(const void *a, const void *b)
{
	const struct zt_sum *x = a, *y = b;
	uint64_t p = x->sent + x->received, q = y->sent + y->received;

	if (p != q)
		return p < q ? 1 : -1;
	p = x->flows + x->denied + x->observed;
	q = y->flows + y->denied + y->observed;
	return p != q ? (p < q ? 1 : -1) : by_key(a, b);
}

void zt_sums_merge(struct zt_sums *s)
{
	size_t kept = 0;

	if (s->n)
		qsort(s->v, s->n, sizeof(*s->v), by_key);
	for (size_t i = 0; i < s->n; i++) {
		struct zt_sum *to = kept ? &s->v[kept - 1] : NULL, *from = &s->v[i];

		if (!to || strcmp(to->key, from->key) != 0) {
			s->v[kept++] = *from;
			continue;
		}
		to->flows += from->flows;
		to->denied += from->denied;
		to->observed += from->observed;
		to->sent += from->sent;
		to->received += from->received;
		to->last = ZT_MAX(to->last, from->last);
		free(from->key);
	}
	s->n = kept;
	s->bytes = 0;
	for (size_t i = 0; i < s->n; i++)
		s->bytes += strlen(s->v[i].key) + ROW_BYTES;
	if (s->n)
		qsort(s->v, s->n, sizeof(*s->v), by_weight);
}

void zt_sums_done(struct zt_sums *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i].key);
	free(s->v);
	*s = (struct zt_sums){.by = s->by};
}

/* ---- a part ---- */
enum { LOOK_EVERY = 64 /* flows */ };

struct part {
	struct zt_sums *s;
	struct zt_sums_place *place;
	size_t bytes;
	zt_usec end;
	uint64_t seen;
};

static int part_flow(const struct zt_journal_flow *f, void *arg)
{
	struct part *p = arg;
	int r;

	if (f->minute == p->place->minute && f->key <= p->place->key)
		return 0;
	if (p->s->bytes >= 2 * p->bytes)
		zt_sums_merge(p->s);
	if (p->s->bytes >= 2 * p->bytes || (++p->seen % LOOK_EVERY == 0 && zt_now_monotonic() >= p->end))
		return 1;
	r = zt_sums_add(p->s, f);
	if (!r)
		*p->place = (struct zt_sums_place){.minute = f->minute, .key = f->key};
	return r;
}

int zt_sums_part(struct zt_journal *j, struct zt_sums *s, struct zt_sums_place *place, size_t bytes, zt_usec end,
		 bool *ret_more)
{
	struct zt_journal_query q = {.since = place->minute};
	struct part p = {.s = s, .place = place, .bytes = bytes / 2, .end = end};
	int r = zt_journal_flows(j, &q, false, part_flow, &p);

	zt_sums_merge(s);
	if (r < 0)
		return r;
	*ret_more = r > 0;
	return 0;
}
