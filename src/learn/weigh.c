/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/mem.h"
#include "learn/learn.h"

void zt_weighing_done(struct zt_weighing *w)
{
	free(w->v);
	*w = (struct zt_weighing){0};
}

static int compare_weight(const void *a, const void *b)
{
	const struct zt_seen *x = ((const struct zt_weighed *)a)->seen, *y = ((const struct zt_weighed *)b)->seen;

	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return x->last > y->last ? -1 : x->last < y->last;
}

static int weigh_one(struct zt_weighing *w, const struct zt_weighed *d)
{
	bool before = zt_verdict_passes(d->before.verdict), after = zt_verdict_passes(d->after.verdict);

	w->keys++;
	w->count += d->seen->count;
	if (before == after)
		return 0;
	w->blocked_keys += before;
	w->allowed_keys += after;
	w->blocked_count += before ? d->seen->count : 0;
	w->allowed_count += after ? d->seen->count : 0;
	if (zt_grow(w->v, w->cap, w->n) < 0)
		return -ENOMEM;
	w->v[w->n++] = *d;
	return 0;
}

/* What arrives over loopback was told by its sender too, and is decided there. */
static bool told_twice(const struct zt_seen *s)
{
	return s->dir == ZT_DIR_INGRESS && s->loopback;
}

int zt_weigh(const struct zt_seen_list *l, const struct zt_ruleset *before, const struct zt_ruleset *after,
	     struct zt_weighing *ret)
{
	ZT_CLEANUP(zt_judge_freep) struct zt_judge *old = NULL, *new = NULL;
	ZT_CLEANUP(zt_weighing_done) struct zt_weighing w = {0};
	int r = (before ? zt_judge_new(before, l, &old) : 0) ?: zt_judge_new(after, l, &new);

	for (size_t i = 0; !r && i < l->n; i++) {
		struct zt_weighed d = {.seen = &l->v[i]};

		if (told_twice(d.seen) || !d.seen->count)
			continue;
		if (old)
			zt_judge_decide(old, d.seen, &d.before);
		else
			d.before = (struct zt_decision){
				.verdict = d.seen->verdict == ZT_SEEN_DENIED ? ZT_DROP : ZT_ALLOW, .by = ZT_BY_DEFAULT};
		zt_judge_decide(new, d.seen, &d.after);
		r = weigh_one(&w, &d);
	}
	if (r < 0)
		return r;
	if (w.n)
		qsort(w.v, w.n, sizeof(*w.v), compare_weight);
	*ret = w;
	w = (struct zt_weighing){0};
	return 0;
}

/* ---- what records cannot tell ---- */
static bool recorded(const struct zt_cgroup *c, const struct zt_seen_list *l)
{
	size_t n = strlen(c->path);

	for (size_t i = 0; i < l->n_whos; i++)
		if (l->whos[i]->cgroup && !strncmp(l->whos[i]->cgroup, c->path, n))
			return true;
	return n > 8 && !strcmp(c->path + n - 8, ".service");
}

static bool unrecorded_group(const struct zt_cgroup *v, size_t n, const struct zt_seen_list *l)
{
	for (size_t i = 0; i < n; i++)
		if (!recorded(&v[i], l))
			return true;
	return false;
}

static unsigned subject_blind(const struct zt_subject *s, const struct zt_seen_list *l)
{
	if (!s)
		return 0;
	return (s->gid.n ? ZT_BLIND_GROUP : 0) | (s->n_parents ? ZT_BLIND_PARENT : 0) |
	       (unrecorded_group(s->cgroups, s->n_cgroups, l) ? ZT_BLIND_CGROUP : 0);
}

unsigned zt_rule_blind(const struct zt_rule *r, const struct zt_seen_list *l)
{
	const struct zt_match *m = &r->match;
	bool near = r->dir == ZT_DIR_INGRESS ? m->dst4.n || m->dst6.n : m->src4.n || m->src6.n;

	if (r->dir == ZT_DIR_UNIX)
		return ZT_BLIND_UNIX;
	return subject_blind(m->from, l) | subject_blind(m->to, l) | (m->gid.n ? ZT_BLIND_GROUP : 0) |
	       (unrecorded_group(m->cgroups, m->n_cgroups, l) ? ZT_BLIND_CGROUP : 0) | (near ? ZT_BLIND_ADDRESS : 0) |
	       (r->n_windows || r->expires ? ZT_BLIND_TIME : 0);
}
