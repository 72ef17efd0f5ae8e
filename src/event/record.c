/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The record that an engine keeps in the kernel. Reading it takes nothing away, so that several may. */
#include <string.h>

#include "base/mem.h"
#include "event/source.h"

enum { RULESETS_KEPT = 8 };

struct known { /* of a generation */
	uint64_t generation;
	struct zt_ruleset *rs; /* NULL: there is none */
	struct zt_labels labels;
};

struct zt_record_reader {
	struct zt_event_record from;
	struct zt_records records;
	size_t next;
	uint64_t after;
	bool looked;
	uint64_t counted, before; /* suppressed ahead of the records read; ahead of the first look, where it follows */
	struct known known[RULESETS_KEPT];
	size_t n_known;
	struct zt_record_names *names;
};

/* ---- names ---- */
static void forget(struct known *k)
{
	zt_ruleset_free(k->rs);
	zt_labels_done(&k->labels);
	*k = (struct known){0};
}

static const struct known *known_of(struct zt_record_reader *r, uint64_t generation)
{
	struct known *k;

	for (size_t i = 0; i < r->n_known; i++)
		if (r->known[i].generation == generation)
			return &r->known[i];
	if (r->n_known == RULESETS_KEPT)
		forget(&r->known[--r->n_known]);
	k = &r->known[r->n_known++];
	k->generation = generation;
	if (r->from.ruleset(r->from.arg, generation, &k->rs) < 0 || (k->rs && k->rs->generation != generation)) {
		zt_ruleset_free(k->rs);
		k->rs = NULL;
	}
	if (k->rs && zt_labels_make(k->rs, &k->labels, NULL) < 0)
		k->labels = (struct zt_labels){0}; /* the names are missing then */
	return k;
}

static enum zt_event_kind kind_of(enum zt_verdict v)
{
	switch (v) {
	case ZT_ALLOW:
		return ZT_EVENT_ALLOWED;
	case ZT_OBSERVE:
		return ZT_EVENT_OBSERVED;
	case ZT_DROP:
	case ZT_REJECT:
		break;
	}
	return ZT_EVENT_BLOCKED;
}

static void rule_name(const struct zt_record *r, const struct zt_ruleset *rs, char ret[static 72])
{
	if (r->rule == UINT32_MAX)
		*ret = 0;
	else if (rs && r->rule < rs->n_rules)
		snprintf(ret, 72, "%s", rs->rules[r->rule].id);
	else
		snprintf(ret, 72, "#%u of generation %llu", r->rule + 1, (unsigned long long)r->generation);
}

static void to_event(struct zt_record_reader *reader, const struct zt_record *r, struct zt_event *e)
{
	const struct known *k = known_of(reader, r->generation);

	*e = (struct zt_event){.kind = kind_of(r->verdict),
			       .when = r->when,
			       .src = r->src,
			       .dst = r->dst,
			       .proto = r->proto,
			       .has_ports = zt_proto_has_ports(r->proto),
			       .has_uid = r->owned,
			       .sport = r->sport,
			       .dport = r->dport,
			       .uid = r->uid,
			       .gid = r->gid,
			       .number = r->number,
			       .generation = r->generation,
			       .inbound = r->dir == ZT_DIR_INGRESS,
			       .received = r->received,
			       .forwarded = r->dir == ZT_DIR_FORWARD,
			       .reason = r->reason};
	e->is_unix = r->dir == ZT_DIR_UNIX;
	memcpy(e->unix_name, r->unix_name, sizeof(e->unix_name));
	if (r->loopback)
		snprintf(e->out, sizeof(e->out), "lo");
	rule_name(r, k->rs, e->rule);
	zt_record_end_names(reader->names, &r->sender, k->rs, &k->labels, &e->sender);
	zt_record_end_names(reader->names, &r->receiver, k->rs, &k->labels, &e->receiver);
	memcpy(e->program, e->sender.program, sizeof(e->program));
	e->how = e->sender.how;
}

/* ---- the source ---- */
/* Of the past only what was overwritten within the time asked for is a loss. What was kept back after the newest record is told again by the next. */
static void count_losses(struct zt_event_source *s, const struct zt_records *v)
{
	struct zt_record_reader *r = s->reader;
	bool all = v->n && v->v[0].when < s->since;

	s->lost += all ? 0 : v->overwritten;
	for (size_t i = 0; i < v->n; i++)
		r->counted += v->v[i].when >= s->since ? v->v[i].suppressed : 0;
	s->suppressed = ZT_MAX(s->suppressed,
			       r->counted + v->suppressed - ZT_MIN(r->before, r->counted + v->suppressed));
}

static int record_read(struct zt_event_source *s, struct zt_event *ret)
{
	struct zt_record_reader *r = s->reader;
	int e;

	if (r->next == r->records.n) {
		struct zt_records fresh = {0};

		zt_ring_clear(&s->ring); /* before the look */
		e = r->looked && !s->follow ? -ENODATA : r->from.engine->records(r->from.instance, r->after, &fresh);

		if (e == -ENOENT)
			e = s->follow ? 0 : -ENODATA; /* nothing is enforced at the moment */
		if (e < 0)
			return e;
		zt_records_done(&r->records);
		r->records = fresh;
		r->next = 0;
		r->looked = true;
		r->after = fresh.told;
		count_losses(s, &fresh);
		s->held_back = fresh.held_back;
		if (!fresh.n)
			return s->follow ? 0 : -ENODATA;
	}
	to_event(r, &r->records.v[r->next++], ret);
	return 1;
}

static void record_close(struct zt_event_source *s)
{
	struct zt_record_reader *r = s->reader;

	zt_ring_close(&s->ring);
	s->fd = -1; /* it was the ring's */
	if (!r)
		return;
	for (size_t i = 0; i < r->n_known; i++)
		forget(&r->known[i]);
	zt_records_done(&r->records);
	zt_record_names_free(r->names);
	free(r);
	s->reader = NULL;
}

const struct zt_event_ops zt_event_record_ops = {.name = "record", .read = record_read, .close = record_close};

/* Where the engine rings it need not be looked at all the time. */
static void begin_ring(struct zt_event_source *s, const struct zt_event_record *from)
{
	struct zt_bells b = {.ring = -1};

	if (!from->engine->bells || from->engine->bells(from->instance, &b) < 0)
		return;
	if (zt_ring_open(b.ring, &s->ring) < 0)
		zt_ring_close(&s->ring);
	s->fd = s->ring.fd;
}

static int begin(struct zt_event_source *s, const struct zt_event_record *from)
{
	struct zt_records now = {0};
	int r;

	s->reader = zt_new(struct zt_record_reader, 1);
	if (!s->reader)
		return -ENOMEM;
	s->reader->from = *from;
	s->reader->names = zt_record_names_new();
	if (!s->reader->names)
		return -ENOMEM;
	r = from->engine->records(from->instance, 0, &now);
	s->reader->after = s->follow ? now.told /* from now on */ : from->after;
	s->reader->before = s->follow ? now.suppressed : 0;
	zt_records_done(&now);
	if (r >= 0 && s->follow)
		begin_ring(s, from);
	return r;
}

int zt_event_record_open(const struct zt_event_record *from, zt_usec since, bool follow, struct zt_event_source **ret,
			 struct zt_diags *d)
{
	ZT_CLEANUP(zt_event_closep) struct zt_event_source *s = zt_new(struct zt_event_source, 1);
	int r;

	if (!s)
		return -ENOMEM;
	*s = (struct zt_event_source){
		.ops = &zt_event_record_ops, .since = since, .follow = follow, .fd = -1, .ring = {.fd = -1}};
	r = begin(s, from);
	if (r == -ENOENT || r == -EUCLEAN)
		return zt_diag(d, ZT_ERROR, 4505, NULL,
			       "there is no record in the kernel: the %s engine does not enforce here",
			       from->engine->name),
		       r;
	if (r < 0)
		return r;
	*ret = ZT_TAKE(s);
	return 0;
}
