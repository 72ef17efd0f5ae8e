/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "event/event.h"

enum { GROUPS_MAX = 10000, SCAN_PORTS = 10, SWEEP_HOSTS = 10, BURST_PER_SECOND = 10, BURST_COUNT = 100 };

static int compare(const struct zt_event *a, const struct zt_event *b)
{
	int r;

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->has_uid != b->has_uid)
		return a->has_uid ? -1 : 1;
	if (a->has_uid && a->uid != b->uid)
		return a->uid < b->uid ? -1 : 1;
	r = a->has_uid ? 0 : zt_addr_cmp(&a->src, &b->src);
	if (!r)
		r = zt_addr_cmp(&a->dst, &b->dst);
	if (!r)
		r = (int)a->proto - (int)b->proto;
	if (!r)
		r = (int)a->dport - (int)b->dport;
	if (!r)
		r = (int)a->forwarded - (int)b->forwarded ?: (int)a->is_unix - (int)b->is_unix ?: strcmp(a->unix_name, b->unix_name);
	if (!r && a->number && b->number) /* others only guess programs */
		r = strcmp(a->program, b->program) ?: strcmp(a->receiver.program, b->receiver.program);
	return r;
}

/* Place of e in the sorted list; *ret_found tells whether it is there. */
static size_t place(const struct zt_event_groups *g, const struct zt_event *e, bool *ret_found)
{
	size_t lo = 0, hi = g->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int r = compare(&g->items[mid].sample, e);

		if (r == 0) {
			*ret_found = true;
			return mid;
		}
		if (r < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*ret_found = false;
	return lo;
}

static void merge(struct zt_event_group *k, const struct zt_event *e)
{
	char program[sizeof(k->sample.program)];
	enum zt_event_how how = k->sample.how;

	memcpy(program, k->sample.program, sizeof(program));
	k->count++;
	if (e->when && (!k->first || e->when < k->first))
		k->first = e->when;
	if (e->when >= k->last) {
		k->last = e->when;
		k->sample = *e;
		if (!*k->sample.program) {
			memcpy(k->sample.program, program, sizeof(program));
			k->sample.how = how;
		}
	}
}

int zt_event_groups_add(struct zt_event_groups *g, const struct zt_event *e)
{
	bool found;
	size_t at = place(g, e, &found);
	int r;

	if (found) {
		merge(&g->items[at], e);
		g->total++;
		return 0;
	}
	if (g->n >= GROUPS_MAX) {
		g->total++;
		g->overflowed++;
		return 0;
	}
	r = zt_grow(g->items, g->cap, g->n);
	if (r < 0)
		return r;
	memmove(&g->items[at + 1], &g->items[at], (g->n - at) * sizeof(*g->items));
	g->items[at] = (struct zt_event_group){.sample = *e, .count = 1, .first = e->when, .last = e->when};
	g->n++;
	g->total++;
	return 0;
}

void zt_event_groups_done(struct zt_event_groups *g)
{
	free(g->items);
	*g = (struct zt_event_groups){0};
}

/* ---- patterns: per sender, in one pass over the groups sorted by sender, destination, port ---- */

struct list {
	struct zt_event_pattern *items;
	size_t n, cap;
};

struct seen { /* of one sender */
	size_t first, end, hosts, most_ports, most_at;
	uint64_t count;
	zt_usec from, to;
};

static bool same_sender(const struct zt_event *a, const struct zt_event *b)
{
	if (a->has_uid != b->has_uid)
		return false;
	return a->has_uid ? a->uid == b->uid : zt_addr_cmp(&a->src, &b->src) == 0;
}

static int by_sender(const void *a, const void *b)
{
	struct zt_event x = ((const struct zt_event_group *)a)->sample, y = ((const struct zt_event_group *)b)->sample;

	x.kind = y.kind = ZT_EVENT_BLOCKED;
	return compare(&x, &y);
}

static struct seen look(const struct zt_event_group *g, size_t n, size_t first)
{
	struct seen s = {.first = first, .end = first, .from = UINT64_MAX};
	size_t ports = 0;

	for (; s.end < n && same_sender(&g[s.end].sample, &g[first].sample); s.end++) {
		const struct zt_event_group *k = &g[s.end];
		bool new_host = s.end == first || zt_addr_cmp(&k->sample.dst, &g[s.end - 1].sample.dst) != 0;

		bool same_port = !new_host && k->sample.dport == g[s.end - 1].sample.dport &&
				 k->sample.proto == g[s.end - 1].sample.proto; /* by another program */

		s.hosts += new_host;
		ports = (new_host ? 0 : ports) + (k->sample.has_ports && !same_port);
		if (ports > s.most_ports) {
			s.most_ports = ports;
			s.most_at = s.end;
		}
		s.count += k->count;
		s.from = k->first && k->first < s.from ? k->first : s.from;
		s.to = k->last > s.to ? k->last : s.to;
	}
	return s;
}

static int add(struct list *l, const char *kind, const struct zt_event *sample, const char *text)
{
	struct zt_event_pattern *p;
	char from[64] = "";
	int r = zt_grow(l->items, l->cap, l->n);

	if (r < 0)
		return r;
	p = &l->items[l->n++];
	*p = (struct zt_event_pattern){.kind = kind, .uid = sample->uid, .has_uid = sample->has_uid};
	if (!sample->has_uid && sample->src.family)
		zt_addr_format(&sample->src, from);
	snprintf(p->text, sizeof(p->text), "%s%s%s", from, *from ? " " : "", text);
	return 0;
}

static int judge(struct list *l, const struct zt_event_group *g, const struct seen *s)
{
	char text[128], host[64] = "";
	double seconds = s->to > s->from ? (double)(s->to - s->from) / (double)ZT_USEC_PER_SEC : 1;
	int r = 0;

	if (s->most_ports >= SCAN_PORTS) {
		zt_addr_format(&g[s->most_at].sample.dst, host);
		snprintf(text, sizeof(text), "tried %zu ports of %s", s->most_ports, host);
		r = add(l, "port scan", &g[s->first].sample, text);
	}
	if (r >= 0 && s->hosts >= SWEEP_HOSTS) {
		snprintf(text, sizeof(text), "tried %zu hosts", s->hosts);
		r = add(l, "host sweep", &g[s->first].sample, text);
	}
	if (r >= 0 && s->count >= BURST_COUNT && s->to &&
	    (double)s->count / (seconds < 1 ? 1 : seconds) >= BURST_PER_SECOND) {
		snprintf(text, sizeof(text), "was blocked %llu times in %.0f s", (unsigned long long)s->count,
			 seconds < 1 ? 1 : seconds);
		r = add(l, "burst", &g[s->first].sample, text);
	}
	return r;
}

int zt_event_patterns(const struct zt_event_groups *g, struct zt_event_pattern **ret, size_t *ret_n)
{
	ZT_FREE struct zt_event_group *sorted = zt_new(struct zt_event_group, g->n + 1);
	struct list l = {0};
	int r = 0;

	if (!sorted)
		return -ENOMEM;
	if (g->n)
		memcpy(sorted, g->items, g->n * sizeof(*sorted));
	qsort(sorted, g->n, sizeof(*sorted), by_sender);
	for (size_t i = 0; i < g->n && r >= 0;) {
		struct seen s = look(sorted, g->n, i);

		r = judge(&l, sorted, &s);
		i = s.end;
	}
	if (r < 0) {
		free(l.items);
		return r;
	}
	*ret = l.items;
	*ret_n = l.n;
	return 0;
}
