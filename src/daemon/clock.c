/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a rule expires, and when local time jumps: schedules are windows in UTC, made anew then. */
#include <sys/timerfd.h>
#include <syslog.h>
#include <time.h>

#include "daemon/daemon.h"

enum { HALF_HOUR = 1800, AHEAD = 2 * 24 * 7 }; /* steps of half an hour */

static long offset_at(time_t t)
{
	struct tm tm;

	return localtime_r(&t, &tm) ? tm.tm_gmtoff : 0;
}

/* Of the next week; the timer is set anew at the end of it. */
static zt_usec until_offset_change(void)
{
	time_t now = time(NULL), lo = now, hi;
	int i = 1;

	while (i < AHEAD && offset_at(now + (time_t)i * HALF_HOUR) == offset_at(now))
		i++;
	lo = now + (time_t)(i - 1) * HALF_HOUR;
	hi = now + (time_t)i * HALF_HOUR;
	while (i < AHEAD && hi - lo > 1) {
		time_t mid = lo + (hi - lo) / 2;

		if (offset_at(mid) == offset_at(now))
			lo = mid;
		else
			hi = mid;
	}
	return (zt_usec)(hi - now) * ZT_USEC_PER_SEC;
}

static void on_offset(void *arg)
{
	struct zt_daemon *d = arg;

	zt_daemon_want(d, ZT_JOB_REFRESH, 0, false, "refresh: local time may have changed");
	zt_timer_set(&d->offset, until_offset_change());
}

static int64_t clock_offset(void)
{
	return (int64_t)(zt_now() - zt_now_boottime());
}

/* Times of events before and after do not follow upon each other: who reads them is told. Waking from sleep is no step. */
static bool tell_step(struct zt_daemon *d)
{
	int64_t offset = clock_offset(), step = offset - d->clock_offset;
	zt_usec size = (zt_usec)(step < 0 ? -step : step);
	char was[32];

	if (size < ZT_USEC_PER_SEC)
		return false;
	d->clock_offset = offset;
	zt_time_format(zt_now() - (zt_usec)step, was);
	zt_daemon_say(d, LOG_NOTICE, "clock-set", "the clock was set %s by %llu s, it showed %s",
		      step < 0 ? "back" : "forward",
		      (unsigned long long)((size + ZT_USEC_PER_SEC / 2) / ZT_USEC_PER_SEC), was);
	return true;
}

static void on_expiry(void *arg, uint32_t events)
{
	struct zt_daemon *d = arg;
	uint64_t n;
	bool set = read(d->expiry, &n, sizeof(n)) < 0 && errno == ECANCELED;

	(void)events;
	set = tell_step(d) || set; /* one over the end of a rule looks like that end */
	if (set) {
		zt_timer_set(&d->offset, until_offset_change());
		zt_daemon_want(d, ZT_JOB_REFRESH, 0, false, "refresh: the clock was set");
	} else {
		zt_daemon_want(d, ZT_JOB_REFRESH, 0, false, "refresh: a rule expired");
	}
	zt_clock_set(d);
}

int zt_clock_open(struct zt_daemon *d)
{
	d->clock_offset = clock_offset();
	d->expiry = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (d->expiry < 0)
		return -errno;
	zt_timer_init(&d->offset, d->loop, on_offset, d);
	zt_timer_set(&d->offset, until_offset_change());
	zt_clock_set(d);
	return zt_loop_add(d->loop, d->expiry, EPOLLIN, on_expiry, d);
}

void zt_clock_set(struct zt_daemon *d)
{
	/* Without a rule that expires it is set far away, so that it tells when the clock is set. */
	zt_usec at = d->expires > zt_now() ? d->expires + 1000 : zt_now() + UINT64_C(365) * 86400 * ZT_USEC_PER_SEC;
	struct itimerspec t = {
		.it_value = {.tv_sec = (time_t)(at / ZT_USEC_PER_SEC), .tv_nsec = (long)(at % ZT_USEC_PER_SEC) * 1000}};

	(void)timerfd_settime(d->expiry, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &t,
			      NULL); /* valid by construction */
}

void zt_clock_close(struct zt_daemon *d)
{
	zt_loop_remove(d->loop, d->expiry);
	zt_closep(&d->expiry);
}
