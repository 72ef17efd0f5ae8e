/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "apply/state.h"
#include "base/file.h"
#include "base/mem.h"

/*
 * audit.jsonl: one object a line, {"n":…,"time":…,…,"prev":"<sha256 of the line before, without its newline>"}. The first line's prev is 64
 * zeros. A line that was cut off by a crash (no newline at the end) is ended by the next writer and reported by verify.
 */
enum { TAIL = 64 << 10 };
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

/* Number and digest of the last line, from the last 64 KiB. */
static int last_line(int fd, uint64_t *ret_n, char ret_hash[static 65], bool *ret_torn)
{
	struct stat st;
	ZT_FREE char *buf = zt_malloc(65537);
	ssize_t n;
	size_t end, start;
	json_t *j;

	*ret_n = 0;
	*ret_torn = false;
	memcpy(ret_hash, ZEROS, 65);
	if (!buf)
		return -ENOMEM;
	if (fstat(fd, &st) < 0)
		return -errno;
	n = pread(fd, buf, 65536, st.st_size > 65536 ? st.st_size - 65536 : 0);
	if (n < 0)
		return -errno;
	if (!n)
		return 0;
	*ret_torn = buf[n - 1] != '\n';
	end = (size_t)n - (*ret_torn ? 0 : 1);
	for (start = end; start && buf[start - 1] != '\n'; start--)
		;
	zt_sha256_hex(buf + start, end - start, ret_hash);
	j = json_loadb(buf + start, end - start, 0, NULL);
	*ret_n = (uint64_t)json_integer_value(json_object_get(j, "n"));
	json_decref(j);
	return 0;
}

/* audit.head: number and digest of the last line, so that a log that was cut off is noticed. False: there is none. */
static bool read_head(const struct zt_apply_ctx *c, uint64_t *ret_n, char ret_hash[static 65])
{
	ZT_FREE char *path = zt_state_path(c, "audit.head"), *text = NULL;
	unsigned long long n = 0;
	size_t len = 0;

	if (!path || zt_file_read(path, 256, &text, &len) < 0 || sscanf(text, "%llu %64s", &n, ret_hash) != 2)
		return false;
	*ret_n = n;
	return true;
}

/* Where the next line goes on: after the last one, or after the one that the head says should be the last. */
static int log_end(const struct zt_apply_ctx *c, int fd, uint64_t *ret_n, char ret_hash[static 65], bool *ret_torn)
{
	char hash[65];
	uint64_t n = 0;
	int r = last_line(fd, ret_n, ret_hash, ret_torn);

	if (!r && read_head(c, &n, hash) && n > *ret_n) {
		*ret_n = n; /* lines are missing: the gap stays to be seen */
		memcpy(ret_hash, hash, sizeof(hash));
	}
	return r;
}

static json_t *entry(const struct zt_apply_ctx *c, uint64_t n, const char *prev, const char *action,
		     uint64_t generation, const char *hash, const char *detail)
{
	ZT_FREE char *who = zt_who_am_i(), *from = zt_where_from();
	char when[32], meta[65] = "";

	zt_time_format(zt_now(), when);
	if (hash)
		(void)zt_generation_digest(c, generation, meta); /* gone: verify has nothing to compare */
	return json_pack("{s:I, s:s, s:s, s:s, s:I, s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:s}", "n", (json_int_t)n,
			 "time", when, "action", action, "instance", c->instance, "generation", (json_int_t)generation,
			 "hash", hash ? hash : "", "meta", meta, "engine", c->engine->name, "uid", (int)geteuid(),
			 "who", who ? who : "", "from", from ? from : "", "detail", detail ? detail : "", "prev", prev);
}

static int write_head(const struct zt_apply_ctx *c, uint64_t n, const char *line, size_t len)
{
	ZT_FREE char *path = zt_state_path(c, "audit.head"), *text = NULL;
	char hex[65];

	zt_sha256_hex(line, len, hex);
	text = zt_asprintf("%llu %s\n", (unsigned long long)n, hex);
	return path && text ? zt_file_write_atomic(path, text, strlen(text), 0600) : -ENOMEM;
}

static void verify_head(const struct zt_apply_ctx *c, size_t number, const char *last, const char *before,
			struct zt_diags *d)
{
	char hex[65] = "";
	uint64_t n = 0;

	if (!read_head(c, &n, hex))
		(void)zt_diag(d, ZT_ERROR, 4021, NULL,
			      "audit.head, the digest of the last line, is missing or damaged");
	else if (n > number)
		(void)zt_diag(d, ZT_ERROR, 4021, NULL, "audit log: %llu lines were written, %zu are there",
			      (unsigned long long)n, number);
	else if (strcmp(hex, n == number ? last : before) != 0 || n + 1 < number)
		(void)zt_diag(d, ZT_ERROR, 4021, NULL, "audit log: the last line was changed");
}

/* Line and head belong together: what cannot be written whole is taken back. */
static int append(const struct zt_apply_ctx *c, int fd, uint64_t n, const struct zt_strbuf *line, bool torn)
{
	off_t size = lseek(fd, 0, SEEK_END);
	int r = size < 0 ? -errno : zt_write_all(fd, line->buf, line->len);

	if (!r && fsync(fd) < 0)
		r = -errno;
	r = r ?: write_head(c, n, line->buf + torn, line->len - torn - 1);
	if (r < 0 && size >= 0 && ftruncate(fd, size) < 0)
		return r; /* verify will tell of it */
	return r;
}

static uint64_t written;

uint64_t zt_audit_written(void)
{
	return written;
}

int zt_audit(const struct zt_apply_ctx *c, const char *action, uint64_t generation, const char *hash,
	     const char *detail, struct zt_diags *d)
{
	ZT_FREE char *path = zt_state_path(c, "audit.jsonl"), *text = NULL;
	ZT_STRBUF struct zt_strbuf line = {0};
	ZT_CLOSE int fd = path ? open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
	char prev[65];
	uint64_t n = 0;
	bool torn = false;
	json_t *j;
	int r = !path ? -ENOMEM : fd < 0 ? -errno : log_end(c, fd, &n, prev, &torn);

	if (!r) {
		j = entry(c, n + 1, prev, action, generation, hash, detail);
		text = j ? json_dumps(j, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_PRESERVE_ORDER) : NULL;
		json_decref(j);
		zt_strbuf_printf(&line, "%s%s\n", torn ? "\n" : "", text ? text : "");
		r = text ? zt_strbuf_error(&line) : -ENOMEM;
	}
	r = r ?: append(c, fd, n + 1, &line, torn);
	written += !r;
	if (r < 0) {
		(void)zt_diag_errno(d, 4020, r, "cannot write the audit log %s", path ? path : "");
		zt_diag_hint(d, "no change is made that cannot be recorded; free some space, or use --force");
	}
	return r;
}

int zt_audit_tail(const struct zt_apply_ctx *c, uint64_t after, json_t *ret_list, uint64_t *ret_last)
{
	ZT_FREE char *path = zt_state_path(c, "audit.jsonl"), *buf = zt_malloc(TAIL);
	ZT_CLOSE int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
	off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	ssize_t n = size < 0 || !buf ? -1 : pread(fd, buf, TAIL, size > TAIL ? size - TAIL : 0);

	*ret_last = 0;
	if (n < 0)
		return path && buf ? -errno : -ENOMEM;
	for (const char *p = buf, *end; (end = memchr(p, '\n', (size_t)(buf + n - p))); p = end + 1) {
		json_t *j = json_loadb(p, (size_t)(end - p), 0, NULL); /* the first may be cut */
		json_int_t number = json_integer_value(json_object_get(j, "n"));

		if (number > 0)
			*ret_last = (uint64_t)number;
		if (ret_list && number > 0 && (uint64_t)number > after)
			(void)json_array_append(ret_list, j); /* one that fails is left out */
		json_decref(j);
	}
	return 0;
}

/* What the log says of the generations. */
struct sealed {
	uint64_t generation;
	char digest[65];
};
struct seals {
	struct sealed *v;
	size_t n, cap;
};

static int seal(struct seals *s, const json_t *line)
{
	const char *digest = json_string_value(json_object_get(line, "meta"));
	const char *action = json_string_value(json_object_get(line, "action"));
	uint64_t generation = (uint64_t)json_integer_value(json_object_get(line, "generation"));
	size_t i;

	if (!digest || strlen(digest) != 64 || !action || !strcmp(action, "failed"))
		return 0;
	for (i = 0; i < s->n && s->v[i].generation != generation; i++)
		;
	if (i == s->n && zt_grow(s->v, s->cap, s->n) < 0)
		return -ENOMEM;
	s->n += i == s->n;
	s->v[i].generation = generation;
	memcpy(s->v[i].digest, digest, 65);
	return 0;
}

static void verify_seals(const struct zt_apply_ctx *c, const struct seals *s, struct zt_diags *d)
{
	for (size_t i = 0; i < s->n; i++) {
		char now[65];
		int r = zt_generation_digest(c, s->v[i].generation, now);

		if (r != -ENOENT && (r < 0 || strcmp(now, s->v[i].digest) != 0))
			(void)zt_diag(d, ZT_ERROR, 4030, NULL,
				      "generation %llu: meta.json is not what the audit log says",
				      (unsigned long long)s->v[i].generation);
	}
}

static int verify_line(const char *line, size_t len, size_t number, char prev[static 65], struct seals *seals,
		       struct zt_diags *d)
{
	int r;

	json_t *j = json_loadb(line, len, 0, NULL);
	const char *want = json_string_value(json_object_get(j, "prev"));

	if (!json_is_object(j))
		(void)zt_diag(d, ZT_ERROR, 4021, NULL, "audit log line %zu is damaged", number);
	else if (!want || strcmp(want, prev) != 0)
		(void)zt_diag(d, ZT_ERROR, 4021, NULL, "audit log: the line before line %zu was changed or removed",
			      number);
	else if (json_integer_value(json_object_get(j, "n")) != (json_int_t)number)
		(void)zt_diag(d, ZT_ERROR, 4021, NULL, "audit log line %zu has the wrong number", number);
	r = seal(seals, j);
	json_decref(j);
	zt_sha256_hex(line, len, prev);
	return r;
}

/* No log at all: right only where nothing was ever recorded. */
static void verify_empty(const struct zt_apply_ctx *c, struct zt_diags *d)
{
	uint64_t head, current;
	char hash[65];
	bool flushed;

	if (read_head(c, &head, hash))
		(void)zt_diag(d, ZT_ERROR, 4021, NULL, "audit log: %llu lines were written, none is there",
			      (unsigned long long)head);
	else if (zt_state_current(c, &current, &flushed) == 0)
		(void)zt_diag(d, ZT_ERROR, 4021, NULL, "the audit log is missing, and there is a current generation");
}

int zt_audit_verify(const struct zt_apply_ctx *c, size_t *ret_entries, struct zt_diags *d)
{
	ZT_FREE char *path = zt_state_path(c, "audit.jsonl"), *text = NULL;
	char prev[65] = ZEROS, before[65] = ZEROS;
	struct seals seals = {0};
	size_t len = 0, number = 0;
	int r = path ? zt_file_read(path, ZT_STATE_BYTES, &text, &len) : -ENOMEM;

	*ret_entries = 0;
	if (r < 0 && r != -ENOENT)
		return zt_diag_errno(d, 4021, r, "cannot read the audit log");
	r = 0;
	for (const char *p = text; p && !r && p < text + len;) {
		const char *end = memchr(p, '\n', (size_t)(text + len - p));

		memcpy(before, prev, sizeof(before));
		r = verify_line(p, (size_t)((end ? end : text + len) - p), ++number, prev, &seals, d);
		p = end ? end + 1 : text + len;
	}
	if (number)
		verify_head(c, number, prev, before, d);
	else
		verify_empty(c, d);
	verify_seals(c, &seals, d);
	free(seals.v);
	*ret_entries = number;
	return r;
}
