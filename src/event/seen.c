/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "event/seen.h"

#include <string.h>

struct looking {
	const struct zt_activity *a;
	struct zt_seen_often *seen;
};

static const char *direction_of(const struct zt_activity *a)
{
	return zt_activity_has(a, ZT_FIELD_direction) ? a->direction : "";
}

static const char *path_of(const struct zt_activity *a)
{
	return zt_activity_has(a, ZT_FIELD_path) ? a->path : "";
}

static int add(const struct zt_journal_flow *f, void *arg)
{
	const struct looking *l = arg;
	bool denied = zt_activity_has(&f->who, ZT_FIELD_verdict) && strcmp(f->who.verdict, "allow") != 0;

	if (denied != (l->a->kind == ZT_ACTIVITY_DENY) || f->who.protocol != l->a->protocol ||
	    strcmp(direction_of(&f->who), direction_of(l->a)) != 0)
		return 0;
	l->seen->count += f->count;
	l->seen->first = l->seen->first ? ZT_MIN(l->seen->first, f->first) : f->first;
	l->seen->last = ZT_MAX(l->seen->last, f->last);
	return 0;
}

/* ---- calls to Unix sockets are no flows: the denies themselves are counted, as long as they are kept ---- */
static int each_unix(struct zt_journal *j, struct zt_journal_query q, const char *path, struct zt_seen_often *seen)
{
	ZT_CLEANUP(zt_journal_iter_freep) struct zt_journal_iter *it = NULL;
	struct zt_activity a;
	uint64_t id;
	int r;

	q.kinds = 1u << ZT_ACTIVITY_DENY;
	r = zt_journal_query(j, &q, &it);
	while (!r && (r = zt_journal_next(it, &a, &id)) > 0) {
		r = 0;
		if (strcmp(direction_of(&a), "unix") != 0 || (path && strcmp(path_of(&a), path) != 0))
			continue;
		seen->count += zt_activity_has(&a, ZT_FIELD_count) ? a.count : 1;
		seen->first = seen->first ? ZT_MIN(seen->first, a.time) : a.time;
		seen->last = ZT_MAX(seen->last, a.time);
	}
	return r;
}

static int count_unix(struct zt_journal *j, const struct zt_activity *a, struct zt_seen_often *seen)
{
	struct zt_journal_query like = {.has_uid = zt_activity_has(a, ZT_FIELD_uid),
					.uid = a->uid,
					.exe = zt_activity_has(a, ZT_FIELD_exe) ? a->exe : NULL};

	return each_unix(j, like, path_of(a), seen);
}

int zt_journal_unix(struct zt_journal *j, zt_usec since, uint64_t *ret)
{
	struct zt_seen_often seen = {0};
	int r = each_unix(j, (struct zt_journal_query){.since = since}, NULL, &seen);

	if (r >= 0)
		*ret = seen.count;
	return r;
}

int zt_journal_seen(struct zt_journal *j, const struct zt_activity *a, struct zt_seen_often *ret)
{
	struct zt_seen_often seen = {0};
	struct looking l = {.a = a, .seen = &seen};
	bool in = !strcmp(direction_of(a), "ingress");
	struct zt_journal_query like = {.has_uid = zt_activity_has(a, ZT_FIELD_uid),
					.uid = a->uid,
					.has_port = zt_activity_has(a, ZT_FIELD_dport),
					.port = a->dport,
					.addr = in ? a->src : a->dst,
					.exe = zt_activity_has(a, ZT_FIELD_exe) ? a->exe : NULL};
	int r = !strcmp(direction_of(a), "unix") ? count_unix(j, a, &seen) : zt_journal_flows(j, &like, true, add, &l);

	if (r >= 0)
		*ret = seen;
	return r;
}
