/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records of one flow under several keys become one: learn.h. */
#include <string.h>

#include "base/mem.h"
#include "learn/learn.h"

enum stage {
	OBSERVED,
	CLOSED,
	PEERLESS,
	STAGES
}; /* in this order: each finds what the ones before have put together */

static uint64_t end_of(const struct zt_seen *s)
{
	return (uint64_t)s->dir << 40 | (uint64_t)s->loopback << 32 | (uint64_t)s->proto << 16 | s->port;
}

static int by_end(const void *a, const void *b)
{
	const struct zt_seen *x = a, *y = b;

	if (end_of(x) != end_of(y))
		return end_of(x) < end_of(y) ? -1 : 1;
	if (x->who->uid != y->who->uid)
		return x->who->uid < y->who->uid ? -1 : 1;
	return zt_addr_cmp(&x->remote, &y->remote);
}

/* x is t, or as much of it as was known at that moment. */
static bool known_as(const struct zt_seen_who *x, const struct zt_seen_who *t)
{
	return x == t ||
	       (x->has_uid == t->has_uid && x->uid == t->uid && (!*x->exe || x->exe == t->exe) &&
		(!*x->service || x->service == t->service) && (!*x->container || x->container == t->container));
}

static bool in_stage(const struct zt_seen *x, enum stage s)
{
	if (x->verdict == ZT_SEEN_DENIED)
		return false;
	switch (s) {
	case OBSERVED:
		return x->verdict == ZT_SEEN_OBSERVED;
	case CLOSED:
		return !x->count;
	case PEERLESS:
		return !x->peer && x->loopback && x->dir == ZT_DIR_EGRESS;
	case STAGES:
		break;
	}
	return false;
}

static bool stands_for(const struct zt_seen *t, const struct zt_seen *x, enum stage s)
{
	if (t->verdict == ZT_SEEN_DENIED || !known_as(x->who, t->who) ||
	    (x->peer && t->peer && !known_as(x->peer, t->peer)))
		return false;
	switch (s) {
	case OBSERVED:
		return t->verdict == ZT_SEEN_PASSED && t->count;
	case CLOSED:
		return t->count;
	case PEERLESS:
		return t->peer;
	case STAGES:
		break;
	}
	return false;
}

static struct zt_seen *twin(struct zt_seen *v, size_t n, const bool *gone, const struct zt_seen *x, enum stage s)
{
	struct zt_seen *best = NULL;

	for (size_t i = 0; i < n; i++) {
		struct zt_seen *t = &v[i];

		if (t == x || gone[i] || !stands_for(t, x, s))
			continue;
		if (!best || (t->peer == x->peer) > (best->peer == x->peer) ||
		    ((t->peer == x->peer) == (best->peer == x->peer) && t->count > best->count))
			best = t;
	}
	return best;
}

static void absorb(struct zt_seen *t, const struct zt_seen *x, enum stage s)
{
	t->count += s == OBSERVED ? 0 : x->count; /* who connected has counted it */
	t->bytes += x->bytes;
	t->first = ZT_MIN(t->first, x->first);
	t->last = ZT_MAX(t->last, x->last);
	t->peer = t->peer ? t->peer : x->peer;
	t->name = *t->name ? t->name : x->name;
}

static void fold_group(struct zt_seen *v, size_t n, bool *gone)
{
	for (enum stage s = OBSERVED; s < STAGES && n > 1; s++)
		for (size_t i = 0; i < n; i++) {
			struct zt_seen *t = !gone[i] && in_stage(&v[i], s) ? twin(v, n, gone, &v[i], s) : NULL;

			if (!t)
				continue;
			absorb(t, &v[i], s);
			gone[i] = true;
		}
}

int zt_seen_fold(struct zt_seen_list *l)
{
	ZT_FREE bool *gone = zt_new(bool, l->n + 1);
	size_t kept = 0;

	if (!gone)
		return -ENOMEM;
	if (l->n)
		qsort(l->v, l->n, sizeof(*l->v), by_end);
	for (size_t i = 0, end; i < l->n; i = end) {
		for (end = i + 1; end < l->n && by_end(&l->v[i], &l->v[end]) == 0;)
			end++;
		fold_group(&l->v[i], end - i, &gone[i]);
	}
	for (size_t i = 0; i < l->n; i++)
		if (!gone[i])
			l->v[kept++] = l->v[i];
	l->n = kept;
	return 0;
}
