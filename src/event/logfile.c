/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sources of text lines: the kernel log, the journal by its own program, files. */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/mem.h"
#include "event/source.h"

/* The next whole line in the buffer, NULL when there is none. Lines longer than the buffer are damaged and skipped. */
static const char *buffered_line(struct zt_event_source *s, size_t *ret_len)
{
	for (;;) {
		char *start = s->buf + s->done, *nl = memchr(start, '\n', s->len - s->done);

		if (!nl && s->eof && s->len > s->done && !s->follow)
			nl = s->buf + s->len; /* the last line may lack its end */
		if (!nl)
			return NULL;
		*ret_len = (size_t)(nl - start);
		s->done = ZT_MIN((size_t)(nl - s->buf) + 1, s->len);
		if (!s->skipping)
			return start;
		s->skipping = false;
	}
}

static void make_room(struct zt_event_source *s)
{
	memmove(s->buf, s->buf + s->done, s->len - s->done);
	s->len -= s->done;
	s->done = 0;
	if (s->len < ZT_LINE_MAX)
		return;
	s->damaged += !s->skipping;
	s->skipping = true;
	s->len = 0;
}

static int fill(struct zt_event_source *s)
{
	ssize_t n;

	make_room(s);
	n = read(s->fd, s->buf + s->len, ZT_LINE_MAX - s->len);
	if (n < 0 && errno == EINTR)
		return 1;
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	s->eof = n == 0;
	s->len += (size_t)n;
	return n > 0;
}

/* A child that ended badly has not said all there is; what it said about that went to our standard error. */
static bool child_failed(struct zt_event_source *s)
{
	int status = 0;

	if (s->child <= 0)
		return false;
	while (waitpid(s->child, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	s->child = 0;
	return status != 0;
}

static int line_read(struct zt_event_source *s, struct zt_event *ret)
{
	const char *line;
	size_t len;
	int r;

	for (;;) {
		while ((line = buffered_line(s, &len))) {
			r = zt_event_parse_line(line, len, s->prefix, ret);
			if (r == 0)
				return 1;
			s->damaged += r == -EBADMSG;
		}
		if (s->eof && !s->follow)
			return child_failed(s) ? -EIO : -ENODATA;
		r = fill(s);
		if (r < 0 || (r == 0 && !s->eof))
			return r;
		if (s->eof && s->follow)
			return s->child > 0 ? -ENODATA : 0;
	}
}

static int alloc_buffer(struct zt_event_source *s)
{
	s->buf = zt_malloc(ZT_LINE_MAX);
	return s->buf ? 0 : -ENOMEM;
}

/* ---- file ---- */

static void no_close(struct zt_event_source *s)
{
	(void)s;
}

const struct zt_event_ops zt_event_file = {.name = "file", .read = line_read, .close = no_close};

int zt_event_file_open(struct zt_event_source *s, const char *path, struct zt_diags *d)
{
	struct stat st;

	s->ops = &zt_event_file;
	s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (s->fd < 0)
		return zt_diag_errno(d, 4503, -errno, "cannot read the log file %s", path);
	if (fstat(s->fd, &st) == 0 && S_ISDIR(st.st_mode))
		return zt_diag_errno(d, 4503, -EISDIR, "cannot read the log file %s", path);
	if (s->follow && S_ISREG(st.st_mode))
		(void)lseek(s->fd, 0, SEEK_END); /* a file that cannot seek is read from where it is */
	return alloc_buffer(s);
}

/* ---- /dev/kmsg: one record a read, "6,1234,5678901,-;text\n KEY=value\n" ---- */

static int kmsg_record(struct zt_event_source *s, size_t len, struct zt_event *ret)
{
	char *text = memchr(s->buf, ';', len), *nl, *comma = s->buf;
	unsigned long long stamp = 0;
	int r;

	if (!text)
		return -ENOMSG;
	for (int i = 0; i < 2 && comma; i++) {
		comma = memchr(comma, ',', (size_t)(text - comma));
		comma = comma ? comma + 1 : NULL;
	}
	if (comma)
		stamp = strtoull(comma, NULL, 10);
	nl = memchr(text, '\n', len - (size_t)(text - s->buf));
	r = zt_event_parse_line(text + 1, (size_t)((nl ? nl : s->buf + len) - text - 1), s->prefix, ret);
	s->damaged += r == -EBADMSG;
	if (r == 0)
		ret->when = zt_now() - zt_now_monotonic() + stamp; /* the clock may have been set */
	return r;
}

static int kmsg_read(struct zt_event_source *s, struct zt_event *ret)
{
	for (;;) {
		ssize_t n = read(s->fd, s->buf, ZT_LINE_MAX - 1);

		if (n < 0 && errno == EPIPE) { /* records were overwritten before we came to them */
			s->lost++;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno != EAGAIN ? -errno : s->follow ? 0 : -ENODATA;
		if (n == 0)
			return -ENODATA;
		s->buf[n] = 0;
		if (kmsg_record(s, (size_t)n, ret) == 0)
			return 1;
	}
}

const struct zt_event_ops zt_event_kmsg = {.name = "kmsg", .read = kmsg_read, .close = no_close};

int zt_event_kmsg_open(struct zt_event_source *s, struct zt_diags *d)
{
	s->ops = &zt_event_kmsg;
	s->fd = open("/dev/kmsg", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (s->fd < 0) {
		int r = -errno;

		(void)zt_diag_errno(d, 4503, r, "cannot read the kernel log /dev/kmsg");
		zt_diag_hint(
			d,
			"run it as root, or as a member of the group zt-segment while zt-segmentd runs, or of adm where "
			"there is a journal or /var/log/kern.log");
		return r;
	}
	if (s->follow)
		(void)lseek(s->fd, 0, SEEK_END); /* without it old records come too and are left out by their time */
	return alloc_buffer(s);
}

/* ---- journal ---- */

static void journal_close(struct zt_event_source *s)
{
	if (s->child <= 0)
		return;
	(void)kill(s->child, SIGTERM); /* it may have ended by itself */
	while (waitpid(s->child, NULL, 0) < 0 && errno == EINTR)
		;
	s->child = 0;
}

const struct zt_event_ops zt_event_journal = {.name = "journal", .read = line_read, .close = journal_close};

static int spawn(struct zt_event_source *s, const char *const *argv, int out)
{
	static const char *const env[] = {"PATH=/usr/bin:/bin", "LC_ALL=C", "SYSTEMD_COLORS=0", NULL};
	posix_spawn_file_actions_t fa;
	int r = -posix_spawn_file_actions_init(&fa);

	if (r < 0)
		return r;
	r = -posix_spawn_file_actions_adddup2(&fa, out, STDOUT_FILENO);
	if (r == 0)
		r = -posix_spawn_file_actions_addopen(&fa, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (r == 0) /* the casts drop const, which exec never uses */
		r = -posix_spawn(&s->child, argv[0], &fa, NULL, (char *const *)(uintptr_t)argv,
				 (char *const *)(uintptr_t)env);
	posix_spawn_file_actions_destroy(&fa);
	return r;
}

int zt_event_journal_open(struct zt_event_source *s, struct zt_diags *d)
{
	char since[40];
	/* Not -k, which means this boot only. Users cannot write with the transport of the kernel. */
	const char *argv[] = {"/usr/bin/journalctl",
			      "-q",
			      "--no-pager",
			      "--output=short-unix",
			      "_TRANSPORT=kernel",
			      s->follow ? "--follow" : since,
			      s->follow ? "--lines=0" : NULL,
			      NULL};
	ZT_CLOSE int out = -1;
	int fds[2], r;

	s->ops = &zt_event_journal;
	snprintf(since, sizeof(since), "--since=@%llu", (unsigned long long)(s->since / ZT_USEC_PER_SEC));
	if (!zt_path_exists(argv[0]))
		return zt_diag(d, ZT_ERROR, 4503, NULL, "there is no journalctl here"), -ENOENT;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	s->fd = fds[0];
	out = fds[1];
	if (s->follow && fcntl(s->fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	r = spawn(s, argv, out);
	if (r < 0)
		return zt_diag_errno(d, 4503, r, "cannot run journalctl");
	return alloc_buffer(s);
}
