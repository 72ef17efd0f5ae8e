/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Alone on this instance, alive for systemd, and known to have been away. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>

#include "apply/control.h"
#include "base/file.h"
#include "base/mem.h"
#include "daemon/daemon.h"

#define BEAT (5 * ZT_USEC_PER_SEC)

/* ---- systemd ---- */
void zt_notify(const char *fmt, ...)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	size_t len = path ? strlen(path) : 0;
	char text[512];
	va_list ap;
	int n, fd;

	if (len < 2 || len >= sizeof(a.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	memcpy(a.sun_path, path, len);
	if (a.sun_path[0] == '@') /* abstract */
		a.sun_path[0] = '\0';
	fd = n < 0 ? -1 : socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, text, ZT_MIN((size_t)n, sizeof(text) - 1), MSG_NOSIGNAL | MSG_DONTWAIT,
		     (const struct sockaddr *)&a,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
				 len)); /* systemd is gone, or does not listen: nobody to tell */
	(void)close(fd);
}

static zt_usec watchdog_time(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint64_t t = 0, p = 0;

	if (!usec || zt_parse_u64(usec, UINT64_MAX / 4, &t) < 0)
		return 0;
	if (pid && (zt_parse_u64(pid, INT32_MAX, &p) < 0 || (pid_t)p != getpid()))
		return 0;
	return t;
}

/* ---- the heart ---- */
static int write_beat(const struct zt_daemon *d, bool clean)
{
	char boot[64] = "";
	ZT_FREE char *text = NULL, *id = NULL;
	size_t len = 0;
	json_t *j;
	int r;

	if (zt_file_read("/proc/sys/kernel/random/boot_id", 64, &id, &len) == 0)
		(void)snprintf(boot, sizeof(boot), "%.*s", (int)strcspn(id, "\n"), id);
	j = json_pack("{s:I, s:s, s:I, s:I, s:b}", "pid", (json_int_t)getpid(), "boot_id", boot, "started",
		      (json_int_t)d->started, "written", (json_int_t)zt_now(), "clean", (int)clean);
	text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	r = text ? zt_file_write_atomic(d->beat_path, text, strlen(text), 0600) : -ENOMEM;
	return r;
}

/* The time of the file is the beat: nothing is written for it. By the thread that may wait for a disk. When the loop is killed while it sleeps, the
 * hand sets it. */
static void touch(void *arg)
{
	const struct zt_daemon *d = arg;

	if (utimensat(AT_FDCWD, d->beat_path, NULL, 0) < 0 && errno == ENOENT)
		(void)write_beat(d, false); /* tried again at the next beat */
}

static void beat(void *arg)
{
	struct zt_daemon *d = arg;

	if (d->watchdog)
		zt_notify("WATCHDOG=1");
	zt_events_work(d, touch, d);
	if (d->watchdog)
		zt_timer_set(&d->beat, ZT_MIN(BEAT, d->watchdog / 3));
}

void zt_life_stir(struct zt_daemon *d)
{
	if (d->beat.fn && !zt_timer_on(&d->beat))
		zt_timer_set(&d->beat, BEAT);
}

/* When was the last daemon seen, and how did it end? */
static void find_gap(struct zt_daemon *d)
{
	ZT_FREE char *text = NULL, *id = NULL;
	const char *boot;
	size_t len = 0;
	struct stat st;
	json_t *j;

	if (stat(d->beat_path, &st) < 0 || zt_file_read(d->beat_path, 4096, &text, &len) < 0)
		return;
	j = json_loadb(text, len, 0, NULL);
	boot = json_string_value(json_object_get(j, "boot_id"));
	d->gap_from = (zt_usec)st.st_mtim.tv_sec * ZT_USEC_PER_SEC + (zt_usec)st.st_mtim.tv_nsec / 1000;
	d->gap_to = d->started;
	if (json_is_true(json_object_get(j, "clean")))
		(void)snprintf(d->gap_why, sizeof(d->gap_why), "stopped");
	else if (zt_file_read("/proc/sys/kernel/random/boot_id", 64, &id, &len) == 0 && boot &&
		 strncmp(id, boot, strlen(boot)) != 0)
		(void)snprintf(d->gap_why, sizeof(d->gap_why), "reboot");
	else
		(void)snprintf(d->gap_why, sizeof(d->gap_why), "killed");
	json_decref(j);
	d->gap_from = ZT_MAX(d->gap_from,
			     zt_events_before(d)); /* events were written each second, the beat is slower */
}

static void tell_gap(struct zt_daemon *d)
{
	zt_usec away = d->gap_to > d->gap_from ? d->gap_to - d->gap_from : 0;
	struct zt_activity a;
	char from[32], to[32], text[192];

	if (!d->gap_from)
		return;
	zt_time_format(d->gap_from, from);
	zt_time_format(d->gap_to, to);
	if (d->gap_to < d->gap_from)
		(void)snprintf(
			text, sizeof(text),
			"no daemon from %s on until the clock, set back since, showed %s (%s): what happened then is not recorded",
			from, to, d->gap_why);
	else
		(void)snprintf(text, sizeof(text),
			       "no daemon from %s on, for %llu.%03llu s (%s): what happened then is not recorded", from,
			       (unsigned long long)(away / ZT_USEC_PER_SEC), (unsigned long long)(away / 1000 % 1000),
			       d->gap_why);
	zt_log(LOG_NOTICE, "%s", text);
	zt_activity_init(&a, ZT_ACTIVITY_STATE, zt_now());
	zt_activity_text(&a, reason, "gap", 3);
	zt_activity_set(&a, duration, away);
	zt_activity_text(&a, detail, text, strlen(text));
	zt_daemon_emit(d, &a);
	zt_events_flush(d); /* before the heart beats anew: nothing else would know of it */
}

int zt_life_begin(struct zt_daemon *d)
{
	int r;

	d->watchdog = watchdog_time();
	find_gap(d);
	tell_gap(d);
	r = write_beat(d, false);
	if (r < 0)
		zt_log(LOG_WARNING, "cannot write %s: %s; a gap will not be known", d->beat_path, strerror(-r));
	zt_timer_init(&d->beat, d->loop, beat, d);
	beat(d);
	return 0;
}

static void write_end(void *arg)
{
	(void)write_beat(arg, true); /* else the next one calls it killed */
}

void zt_life_end(struct zt_daemon *d)
{
	zt_events_work(d, write_end, d);
}
