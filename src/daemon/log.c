/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "daemon/daemon.h"

void zt_log(int priority, const char *fmt, ...)
{
	ZT_STRBUF struct zt_strbuf b = {0}, clean = {0};
	bool journal = getenv("JOURNAL_STREAM");
	va_list ap;

	va_start(ap, fmt);
	zt_strbuf_vprintf(&b, fmt, ap);
	va_end(ap);
	/* A line each; nothing in it breaks a line or a terminal. */
	for (const char *s = zt_strbuf_cstr(&b); *s;) {
		size_t n = strcspn(s, "\n");

		if (journal)
			zt_strbuf_printf(&clean, "<%d>", priority);
		else
			zt_strbuf_str(&clean, "zt-segmentd: ");
		for (const char *p = s; p < s + n; p++)
			zt_strbuf_char(&clean, (unsigned char)*p < ' ' || *p == 127 ? '?' : *p);
		zt_strbuf_char(&clean, '\n');
		s += n + (s[n] == '\n');
	}
	if (clean.len)
		(void)!write(STDERR_FILENO, clean.buf, clean.len); /* nowhere else to say so */
}

static void say(struct zt_daemon *d, uint64_t generation, int priority, const char *reason, const char *fmt, va_list ap)
	ZT_PRINTF(5, 0);
static void say(struct zt_daemon *d, uint64_t generation, int priority, const char *reason, const char *fmt, va_list ap)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	struct zt_activity a;

	zt_strbuf_vprintf(&b, fmt, ap);
	zt_log(priority, "%s", zt_strbuf_cstr(&b));
	zt_activity_init(&a, ZT_ACTIVITY_STATE, zt_now());
	zt_activity_set(&a, pid, (uint32_t)getpid());
	zt_activity_text(&a, comm, "zt-segmentd", 11);
	zt_activity_text(&a, reason, reason, strlen(reason));
	zt_activity_text(&a, detail, zt_strbuf_cstr(&b), b.len);
	if (generation)
		zt_activity_set(&a, generation, generation);
	zt_daemon_emit(d, &a);
}

void zt_daemon_say(struct zt_daemon *d, int priority, const char *reason, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(d, d->generation, priority, reason, fmt, ap);
	va_end(ap);
}

void zt_daemon_say_of(struct zt_daemon *d, uint64_t generation, int priority, const char *reason, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(d, generation, priority, reason, fmt, ap);
	va_end(ap);
}

/* ---- events ---- */
void zt_daemon_emit(struct zt_daemon *d, const struct zt_activity *a)
{
	d->emitted[a->kind]++;
	zt_life_stir(d);
	for (size_t i = 0; i < d->n_sinks; i++)
		if (d->sinks[i].emit(d->sinks[i].arg, a) < 0) {
			d->sinks[i].failed++;
			if (a->kind != ZT_ACTIVITY_LOST) /* or it would never end */
				zt_daemon_lost(d, a->kind, 1);
		}
}

int zt_daemon_sink(struct zt_daemon *d, const char *name, int (*emit)(void *arg, const struct zt_activity *a),
		   void *arg)
{
	if (d->n_sinks == ZT_SINKS_MAX)
		return -ENOSPC;
	d->sinks[d->n_sinks++] = (struct zt_sink){.name = name, .emit = emit, .arg = arg};
	return 0;
}

static void tell_lost(void *arg)
{
	struct zt_daemon *d = arg;

	for (size_t i = 0; i < ZT_ACTIVITY_KINDS; i++) {
		const char *name = zt_activity_info((enum zt_activity_kind)i)->name;
		struct zt_activity a;

		if (d->lost[i] == d->lost_told[i])
			continue;
		zt_activity_init(&a, ZT_ACTIVITY_LOST, zt_now());
		zt_activity_set(&a, count, d->lost[i] - d->lost_told[i]);
		zt_activity_text(&a, detail, name, strlen(name));
		d->lost_told[i] = d->lost[i];
		zt_daemon_emit(d, &a);
	}
}

void zt_daemon_lost(struct zt_daemon *d, enum zt_activity_kind kind, uint64_t n)
{
	d->lost[kind] += n;
	if (!d->lost_timer.fn)
		zt_timer_init(&d->lost_timer, d->loop, tell_lost, d);
	zt_timer_set_early(&d->lost_timer, ZT_USEC_PER_SEC / 2);
}

void zt_daemon_gauge(struct zt_daemon *d, struct zt_gauge *g)
{
	g->next = d->gauges;
	d->gauges = g;
}
