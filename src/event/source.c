/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "event/source.h"

#include <glob.h>
#include <poll.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"

enum {
	IDLE_MSEC = 250,
	RUNG_MSEC = 5000
}; /* how often a followed file or record is looked at: it cannot be waited for */

static bool journal_readable(void)
{
	static const char *const files[] = {"/var/log/journal/*/*.journal", "/run/log/journal/*/*.journal"};
	bool found = false;

	for (size_t i = 0; i < ZT_ARRAY_SIZE(files) && !found; i++) {
		glob_t g = {0};

		if (glob(files[i], GLOB_NOSORT, NULL, &g) == 0)
			for (size_t k = 0; k < g.gl_pathc && !found; k++)
				found = access(g.gl_pathv[k], R_OK) == 0;
		globfree(&g);
	}
	return found;
}

/* The best source for the past: one that is there, that we may read, and that only the kernel writes (/var/log/syslog has lines of
 * anybody). */
static const char *best(void)
{
	if (zt_path_exists("/usr/bin/journalctl") && journal_readable())
		return "journal";
	return access("/var/log/kern.log", R_OK) == 0 ? "/var/log/kern.log" : "kmsg";
}

static int open_named(struct zt_event_source *s, const char *name, struct zt_diags *d)
{
	if (!strcmp(name, "nflog") && !s->follow)
		return zt_diag(d, ZT_ERROR, 4504, NULL, "nflog only tells what happens from now on: add --follow");
	if (!strcmp(name, "nflog"))
		return zt_event_nflog_open(s, d);
	if (!strcmp(name, "journal"))
		return zt_event_journal_open(s, d);
	if (!strcmp(name, "kmsg"))
		return zt_event_kmsg_open(s, d);
	if (!strncmp(name, "file:", 5) && name[5])
		return zt_event_file_open(s, name + 5, d);
	if (name[0] == '/')
		return zt_event_file_open(s, name, d);
	return zt_diag(d, ZT_ERROR, 4501, NULL,
		       "unknown source \"%s\": it is record, nflog, journal, kmsg or file:PATH", name);
}

int zt_event_open(const char *name, const char *blocked_prefix, zt_usec since, bool follow,
		  struct zt_event_source **ret, struct zt_diags *d)
{
	ZT_CLEANUP(zt_event_closep) struct zt_event_source *s = zt_new(struct zt_event_source, 1);
	int r;

	if (!s)
		return -ENOMEM;
	s->fd = -1;
	s->since = since;
	s->follow = follow;
	s->prefix = zt_strdup(blocked_prefix && *blocked_prefix ? blocked_prefix : "ZT-BLOCKED: ");
	if (!s->prefix)
		return -ENOMEM;
	r = open_named(s, name ? name : follow ? "nflog" : best(), d);
	if (r < 0)
		return r;
	*ret = ZT_TAKE(s);
	return 0;
}

/* Waits for more. 1: look again, 0: the time is up, -errno. */
static int wait_more(const struct zt_event_source *s, int timeout_msec)
{
	struct pollfd p = {.fd = s->fd, .events = POLLIN};
	int r;

	if (s->fd < 0 || s->ops == &zt_event_file) { /* always ready */
		int step = timeout_msec < 0 ? IDLE_MSEC : ZT_MIN(timeout_msec, (int)IDLE_MSEC);

		r = poll(NULL, 0, step); /* a plain pause, unless a signal comes */
		return r == 0 && (timeout_msec < 0 || timeout_msec > IDLE_MSEC);
	}
	if (s->reader &&
	    (timeout_msec < 0 || timeout_msec > RUNG_MSEC)) { /* what is in force may have another ring now */
		r = poll(&p, 1, RUNG_MSEC);
		return r < 0 ? errno == EINTR ? 0 : -errno : 1;
	}
	r = poll(&p, 1, timeout_msec);
	if (r < 0)
		return errno == EINTR ? 0 : -errno;
	return r > 0;
}

int zt_event_next(struct zt_event_source *s, int timeout_msec, struct zt_event *ret)
{
	zt_usec start = zt_now_monotonic();

	for (;;) {
		int left = timeout_msec, r = s->ops->read(s, ret);

		if (r == -ENODATA)
			return 0;
		if (r < 0)
			return r;
		if (r > 0 && ret->when && ret->when < s->since)
			continue;
		if (r > 0)
			return 1;
		if (timeout_msec >= 0) {
			zt_usec gone = (zt_now_monotonic() - start) / 1000;

			left = gone >= (zt_usec)timeout_msec ? 0 : timeout_msec - (int)gone;
		}
		r = wait_more(s, left);
		if (r <= 0)
			return r;
	}
}

void zt_event_set_prefix(struct zt_event_source *s, const char *blocked_prefix)
{
	char *copy = zt_strdup(blocked_prefix && *blocked_prefix ? blocked_prefix : "ZT-BLOCKED: ");

	if (!copy) /* the old one stays */
		return;
	free(s->prefix);
	s->prefix = copy;
}

int zt_event_fd(const struct zt_event_source *s)
{
	return s->fd;
}

const char *zt_event_source_name(const struct zt_event_source *s)
{
	return s->ops->name;
}

uint64_t zt_event_lost(const struct zt_event_source *s)
{
	return s->lost;
}

uint64_t zt_event_damaged(const struct zt_event_source *s)
{
	return s->damaged;
}

uint64_t zt_event_held_back(const struct zt_event_source *s)
{
	return s->held_back;
}

uint64_t zt_event_suppressed(const struct zt_event_source *s)
{
	return s->suppressed;
}

void zt_event_close(struct zt_event_source *s)
{
	if (!s)
		return;
	if (s->ops)
		s->ops->close(s);
	zt_closep(&s->fd);
	free(s->queue);
	free(s->buf);
	free(s->prefix);
	free(s);
}

void zt_event_closep(struct zt_event_source **s)
{
	zt_event_close(*s);
	*s = NULL;
}
