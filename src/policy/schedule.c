/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "policy/load.h"

enum { DAY = 86400, WEEK = 7 * DAY };

int zt_when_read(struct zt_load *l, const struct zt_node *v, zt_usec *ret)
{
	if (zt_time_parse(v->text, ret) == 0 && *ret)
		return 0;
	(void)zt_complain(l, 1220, v, "\"%s\" is not a time", zt_shown(v)); /* the result follows */
	zt_diag_hint(l->d, "for example 2026-12-31T18:00:00Z, 2026-12-31T18:00:00+01:00, or 2026-12-31");
	return -EINVAL;
}

static int day_index(const char *s, size_t len)
{
	static const char *const days[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

	for (int i = 0; i < 7; i++)
		if (len == 3 && !strncmp(days[i], s, 3))
			return i;
	return -1;
}

/* "mon", "sat-mon": bits, 0 when it is neither. */
static unsigned parse_days(const char *s)
{
	const char *dash = strchr(s, '-');
	int from = day_index(s, dash ? (size_t)(dash - s) : strlen(s)),
	    to = dash ? day_index(dash + 1, strlen(dash + 1)) : from;
	unsigned bits = 0;

	if (from < 0 || to < 0)
		return 0;
	for (int i = from;; i = (i + 1) % 7) {
		bits |= 1u << i;
		if (i == to)
			return bits;
	}
}

static int read_days(struct zt_load *l, const struct zt_node *v, unsigned *ret)
{
	int r = 0;

	if (!v)
		*ret = 0x7f;
	for (const struct zt_node *i = zt_first(v); i; i = zt_next(v, i)) {
		unsigned bits = parse_days(i->text);

		*ret |= bits;
		if (bits)
			continue;
		r = zt_complain(l, 1219, i, "\"%s\" is not a day", zt_shown(i));
		zt_diag_hint(l->d, "mon, tue, wed, thu, fri, sat, sun, or a range such as mon-fri");
	}
	return r;
}

static int parse_clock(const char **p, bool is_end)
{
	const char *s = *p;
	int h, m;

	for (int i = 0; i < 5; i++)
		if (i == 2 ? s[i] != ':' : s[i] < '0' || s[i] > '9')
			return -1;
	h = (s[0] - '0') * 10 + s[1] - '0';
	m = (s[3] - '0') * 10 + s[4] - '0';
	*p += 5;
	return (h < 24 && m < 60) || (is_end && h == 24 && !m) ? h * 3600 + m * 60 : -1;
}

static bool parse_hours(const char *s, int *ret_from, int *ret_to)
{
	*ret_from = parse_clock(&s, false);
	if (*ret_from < 0 || *s++ != '-')
		return false;
	*ret_to = parse_clock(&s, true);
	return *ret_to >= 0 && !*s && *ret_from != *ret_to;
}

struct windows {
	struct zt_window *v;
	size_t n, cap;
};

static int add_window(struct windows *w, int64_t start, int64_t end)
{
	int64_t week = WEEK, shift = (start % week + week) % week - start;

	start += shift;
	end += shift;
	for (; end > 0; start = 0, end -= week) { /* what runs over the end of the week begins it anew */
		if (zt_grow(w->v, w->cap, w->n) < 0)
			return -ENOMEM;
		w->v[w->n++] = (struct zt_window){(uint32_t)start, (uint32_t)ZT_MIN(end, week)};
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct zt_window *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static void merge(struct windows *w)
{
	size_t out = 0;

	qsort(w->v, w->n, sizeof(*w->v), compare);
	for (size_t i = 1; i < w->n; i++) {
		if (w->v[i].start > w->v[out].end)
			w->v[++out] = w->v[i];
		else
			w->v[out].end = ZT_MAX(w->v[out].end, w->v[i].end);
	}
	w->n = out + 1;
}

static int64_t seconds_east(zt_usec now)
{
	time_t t = (time_t)(now / ZT_USEC_PER_SEC);
	struct tm tm = {0};

	tzset();
	return localtime_r(&t, &tm) ? tm.tm_gmtoff : 0;
}

static int add_span(struct windows *w, unsigned days, int from, int to, int64_t east)
{
	int length = to > from ? to - from : to - from + DAY, r = 0;

	for (int day = 0; !r && day < 7; day++)
		if (days & 1u << day)
			r = add_window(w, (int64_t)day * DAY + from - east, (int64_t)day * DAY + from + length - east);
	return r;
}

static int read_hours(struct zt_load *l, const struct zt_node *v, unsigned days, struct windows *w)
{
	int64_t east = seconds_east(l->now);
	int r = 0;

	if (!v)
		return add_span(w, days, 0, DAY, east);
	for (const struct zt_node *i = zt_first(v); i && r != -ENOMEM; i = zt_next(v, i)) {
		int from, to;

		if (parse_hours(i->text, &from, &to)) {
			r = zt_also(r, add_span(w, days, from, to, east));
			continue;
		}
		r = zt_also(r, zt_complain(l, 1219, i, "\"%s\" is not a span of hours", zt_shown(i)));
		zt_diag_hint(l->d, "for example \"08:00-18:00\"; \"22:00-06:00\" ends on the next day");
	}
	return r;
}

int zt_schedule_read(struct zt_load *l, const struct zt_node *node, struct zt_policy_rule *rule)
{
	struct windows w = {0};
	unsigned days = 0;
	struct zt_fields f;
	int r = zt_fields_read(l->doc, ZT_MAP_SCHEDULE, node, false, &f, l->d);

	if (!r && !node->n)
		r = zt_complain(l, 1219, node, "the schedule names neither days nor hours");
	r = zt_also(r, read_days(l, zt_field(&f, SCHEDULE, DAYS), &days));
	r = zt_also(r, read_hours(l, zt_field(&f, SCHEDULE, HOURS), days, &w));
	if (r || !w.n) {
		free(w.v);
		return r;
	}
	merge(&w);
	rule->windows = w.v;
	rule->n_windows = w.n;
	return 0;
}
