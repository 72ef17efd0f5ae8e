/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Blocked traffic as zt-segmentd has written it into its journal: it holds the netlink log, and knows more than that tells. */
#include <string.h>

#include "base/mem.h"
#include "event/journal.h"
#include "event/source.h"

struct zt_told {
	struct zt_journal *journal;
	struct zt_journal_iter *it;
};

static enum zt_event_kind kind_of(const struct zt_activity *a)
{
	if (a->kind == ZT_ACTIVITY_ALLOW)
		return ZT_EVENT_ALLOWED;
	return zt_activity_has(a, ZT_FIELD_verdict) && !strcmp(a->verdict, "observe") ? ZT_EVENT_OBSERVED
										      : ZT_EVENT_BLOCKED;
}

static void take_own(const struct zt_activity *a, struct zt_event_end *e)
{
	e->known = zt_activity_has(a, ZT_FIELD_pid);
	if (!e->known)
		return;
	e->pid = (int)a->pid;
	e->uid = a->uid;
	e->gid = a->gid;
	(void)snprintf(e->comm, sizeof(e->comm), "%.15s", zt_activity_has(a, ZT_FIELD_comm) ? a->comm : "");
	(void)snprintf(e->program, sizeof(e->program), "%.159s", zt_activity_has(a, ZT_FIELD_exe) ? a->exe : "");
	(void)snprintf(e->cgroup, sizeof(e->cgroup), "%.159s", zt_activity_has(a, ZT_FIELD_cgroup) ? a->cgroup : "");
	(void)snprintf(e->service, sizeof(e->service), "%.79s", zt_activity_has(a, ZT_FIELD_service) ? a->service : "");
	(void)snprintf(e->subjects, sizeof(e->subjects), "%.159s", zt_activity_has(a, ZT_FIELD_label) ? a->label : "");
	e->how = e->program[0] ? ZT_HOW_PROCESS : ZT_HOW_UNKNOWN;
}

static void take_peer(const struct zt_activity *a, struct zt_event_end *e)
{
	e->known = zt_activity_has(a, ZT_FIELD_peer_pid);
	if (!e->known)
		return;
	e->pid = (int)a->peer_pid;
	e->uid = a->peer_uid;
	(void)snprintf(e->program, sizeof(e->program), "%.159s",
		       zt_activity_has(a, ZT_FIELD_peer_exe) ? a->peer_exe : "");
	(void)snprintf(e->subjects, sizeof(e->subjects), "%.159s",
		       zt_activity_has(a, ZT_FIELD_peer_label) ? a->peer_label : "");
	e->how = e->program[0] ? ZT_HOW_PROCESS : ZT_HOW_UNKNOWN;
}

void zt_event_of_activity(const struct zt_activity *a, struct zt_event *e)
{
	bool in = zt_activity_has(a, ZT_FIELD_direction) && !strcmp(a->direction, "ingress");

	*e = (struct zt_event){.kind = kind_of(a),
			       .when = a->time,
			       .proto = zt_activity_has(a, ZT_FIELD_protocol) ? a->protocol : 0,
			       .has_ports = zt_activity_has(a, ZT_FIELD_dport),
			       .has_uid = !in && zt_activity_has(a, ZT_FIELD_uid),
			       .inbound = in};
	e->forwarded = zt_activity_has(a, ZT_FIELD_direction) && !strcmp(a->direction, "forward");
	e->is_unix = zt_activity_has(a, ZT_FIELD_direction) && !strcmp(a->direction, "unix");
	if (e->is_unix)
		(void)snprintf(e->unix_name, sizeof(e->unix_name), "%.111s",
			       zt_activity_has(a, ZT_FIELD_path) ? a->path : "");
	if (zt_activity_has(a, ZT_FIELD_src))
		e->src = a->src;
	if (zt_activity_has(a, ZT_FIELD_dst))
		e->dst = a->dst;
	if (e->has_ports) {
		e->sport = zt_activity_has(a, ZT_FIELD_sport) ? a->sport : 0;
		e->dport = a->dport;
	}
	if (e->has_uid) {
		e->uid = a->uid;
		e->gid = a->gid;
	}
	if (zt_activity_has(a, ZT_FIELD_generation))
		e->generation = a->generation;
	(void)snprintf(e->rule, sizeof(e->rule), "%.71s", zt_activity_has(a, ZT_FIELD_rule) ? a->rule : "");
	take_own(a, in ? &e->receiver : &e->sender);
	take_peer(a, in ? &e->sender : &e->receiver);
	if (zt_addr_is_loopback(&e->dst))
		(void)snprintf(e->out, sizeof(e->out), "lo");
	memcpy(e->program, e->sender.program[0] || !e->sender.comm[0] ? e->sender.program : e->sender.comm,
	       ZT_MIN(sizeof(e->program),
		      e->sender.program[0] || !e->sender.comm[0] ? sizeof(e->sender.program) : sizeof(e->sender.comm)));
	e->how = e->sender.program[0] ? ZT_HOW_PROCESS : e->sender.comm[0] ? ZT_HOW_GUESS : ZT_HOW_UNKNOWN;
}

static int told_read(struct zt_event_source *s, struct zt_event *ret)
{
	struct zt_activity a;
	uint64_t n;
	int r;

	while ((r = zt_journal_next(s->told->it, &a, NULL)) > 0 && a.kind == ZT_ACTIVITY_LOST)
		s->lost += zt_activity_loss(&a, &n) == ZT_ACTIVITY_DENY ? n : 0;
	if (r > 0)
		zt_event_of_activity(&a, ret);
	return r == 0 && !s->follow ? -ENODATA : r;
}

static void told_close(struct zt_event_source *s)
{
	if (!s->told)
		return;
	zt_journal_iter_free(s->told->it);
	zt_journal_close(s->told->journal);
	free(s->told);
	s->told = NULL;
}

const struct zt_event_ops zt_event_told_ops = {.name = "events", .read = told_read, .close = told_close};

static int begin(struct zt_event_source *s, const char *path, struct zt_diags *d)
{
	struct zt_journal_query q = {.kinds = 1u << ZT_ACTIVITY_DENY | 1u << ZT_ACTIVITY_ALLOW | 1u << ZT_ACTIVITY_LOST,
				     .since = s->since};
	struct zt_journal_status now;
	int r;

	s->told = zt_new(struct zt_told, 1);
	if (!s->told)
		return -ENOMEM;
	r = zt_journal_open_readonly(path, &s->told->journal, d) ?: zt_journal_status(s->told->journal, &now);
	if (r < 0)
		return r;
	if (!now.written)
		return -ESRCH;
	if (s->follow)
		q.after = now.last_id;
	return zt_journal_query(s->told->journal, &q, &s->told->it);
}

int zt_event_told_open(const char *path, zt_usec since, bool follow, struct zt_event_source **ret, struct zt_diags *d)
{
	ZT_CLEANUP(zt_event_closep) struct zt_event_source *s = zt_new(struct zt_event_source, 1);
	int r;

	if (!s)
		return -ENOMEM;
	*s = (struct zt_event_source){.ops = &zt_event_told_ops, .since = since, .follow = follow, .fd = -1};
	r = begin(s, path, d);
	if (r < 0)
		return r;
	*ret = ZT_TAKE(s);
	return 0;
}
