/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "apply/state.h"

#include <dirent.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"

char *zt_state_path(const struct zt_apply_ctx *c, const char *fmt, ...)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	va_list ap;

	zt_strbuf_printf(&b, "%s/", c->state_dir);
	va_start(ap, fmt);
	zt_strbuf_vprintf(&b, fmt, ap);
	va_end(ap);
	return zt_strbuf_steal(&b);
}

int zt_state_prepare(const struct zt_apply_ctx *c, struct zt_diags *d)
{
	ZT_FREE char *generations = zt_state_path(c, "generations");
	struct stat st;
	int r = generations ? zt_mkdir_p(generations, 0700) : -ENOMEM;

	if (r < 0)
		return zt_diag_errno(d, 4010, r, "cannot make the state folder %s", c->state_dir);
	if (stat(c->state_dir, &st) < 0)
		return zt_diag_errno(d, 4010, -errno, "cannot look at the state folder %s", c->state_dir);
	if (st.st_uid != geteuid() || st.st_mode & (S_IWGRP | S_IWOTH)) {
		(void)zt_diag(d, ZT_ERROR, 4011, NULL,
			      "the state folder %s belongs to another user or others may write it", c->state_dir);
		zt_diag_hint(d, "chown root: %s && chmod 0700 %s", c->state_dir, c->state_dir);
		return -EPERM;
	}
	return 0;
}

int zt_state_lock(const struct zt_apply_ctx *c, zt_usec wait, int *ret_fd, struct zt_diags *d)
{
	ZT_FREE char *path = zt_state_path(c, "lock");
	int r = path ? zt_lock_acquire(path, wait, ret_fd) : -ENOMEM;

	if (r == -EWOULDBLOCK) {
		(void)zt_diag(d, ZT_ERROR, 4002, NULL, "another zt-segment is changing this instance");
		zt_diag_hint(d, "wait for it, or use --lock-wait 30s");
		return -EBUSY;
	}
	return r < 0 ? zt_diag_errno(d, 4010, r, "cannot lock %s", path ? path : c->state_dir) : 0;
}

/* ---- small JSON files ---- */
static int read_json(const char *path, json_t **ret)
{
	ZT_FREE char *text = NULL;
	size_t len = 0;
	json_t *j;
	int r = path ? zt_file_read(path, ZT_STATE_BYTES, &text, &len) : -ENOMEM;

	if (r < 0)
		return r;
	j = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(j)) {
		json_decref(j);
		return -EUCLEAN;
	}
	*ret = j;
	return 0;
}

/* Takes j. */
static int write_json(const char *path, json_t *j)
{
	ZT_FREE char *text = j ? json_dumps(j, JSON_INDENT(1) | JSON_PRESERVE_ORDER) : NULL;

	json_decref(j);
	return path && text ? zt_file_write_atomic(path, text, strlen(text), 0600) : -ENOMEM;
}

static uint64_t get_u64(const json_t *j, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(j, key));

	return v > 0 ? (uint64_t)v : 0;
}

static void get_text(const json_t *j, const char *key, char *buf, size_t size)
{
	const char *s = json_string_value(json_object_get(j, key));

	(void)snprintf(buf, size, "%s", s ? s : "");
}

int zt_state_current(const struct zt_apply_ctx *c, uint64_t *ret_generation, bool *ret_flushed)
{
	ZT_FREE char *path = zt_state_path(c, "current");
	json_t *j = NULL;
	int r = read_json(path, &j);

	if (r < 0)
		return r;
	*ret_generation = get_u64(j, "generation");
	*ret_flushed = !strcmp(json_string_value(json_object_get(j, "state")) ?: "", "flushed");
	json_decref(j);
	return 0;
}

int zt_state_set_current(const struct zt_apply_ctx *c, uint64_t generation, bool flushed)
{
	ZT_FREE char *path = zt_state_path(c, "current");

	return write_json(path, json_pack("{s:I, s:s}", "generation", (json_int_t)generation, "state",
					  flushed ? "flushed" : "confirmed"));
}

int zt_pending_read(const struct zt_apply_ctx *c, struct zt_pending *ret)
{
	ZT_FREE char *path = zt_state_path(c, "pending");
	json_t *j = NULL;
	int r = read_json(path, &j);

	if (r < 0)
		return r;
	*ret = (struct zt_pending){.generation = get_u64(j, "generation"),
				   .backup_of = get_u64(j, "backup_of"),
				   .deadline = get_u64(j, "deadline"),
				   .pid = (int64_t)get_u64(j, "pid")};
	get_text(j, "boot_id", ret->boot_id, sizeof(ret->boot_id));
	get_text(j, "session", ret->session, sizeof(ret->session));
	get_text(j, "engine", ret->engine, sizeof(ret->engine));
	json_decref(j);
	return 0;
}

int zt_pending_write(const struct zt_apply_ctx *c, const struct zt_pending *p)
{
	ZT_FREE char *path = zt_state_path(c, "pending");

	return write_json(path, json_pack("{s:I, s:I, s:I, s:I, s:s, s:s, s:s}", "generation",
					  (json_int_t)p->generation, "backup_of", (json_int_t)p->backup_of, "deadline",
					  (json_int_t)p->deadline, "pid", (json_int_t)p->pid, "boot_id", p->boot_id,
					  "session", p->session, "engine", p->engine));
}

int zt_pending_clear(const struct zt_apply_ctx *c)
{
	ZT_FREE char *pending = zt_state_path(c, "pending"), *backup = zt_state_path(c, "backup");
	ZT_FREE char *culprit = zt_state_path(c, "culprit");

	if (!pending || !backup || !culprit)
		return -ENOMEM;
	(void)unlink(culprit); /* what it was about is over */
	if (unlink(pending) < 0 && errno != ENOENT)
		return -errno;
	(void)unlink(backup); /* without its journal it means nothing */
	return 0;
}

int zt_culprit_write(const struct zt_apply_ctx *c, uint32_t pid, const char *program)
{
	ZT_FREE char *path = zt_state_path(c, "culprit");

	return write_json(path, json_pack("{s:I, s:s, s:I}", "pid", (json_int_t)pid, "program", program, "when",
					  (json_int_t)zt_now()));
}

char *zt_culprit_read(const struct zt_apply_ctx *c)
{
	ZT_FREE char *path = zt_state_path(c, "culprit");
	json_t *j = NULL;
	const char *program;
	char *text = NULL;

	if (read_json(path, &j) < 0)
		return NULL;
	program = json_string_value(json_object_get(j, "program"));
	if (program && *program)
		text = zt_asprintf("%s (pid %llu)", program, (unsigned long long)get_u64(j, "pid"));
	json_decref(j);
	return text;
}

void zt_boot_id(char buf[static 40])
{
	ZT_FREE char *text = NULL;
	size_t len = 0;

	buf[0] = '\0';
	if (zt_file_read("/proc/sys/kernel/random/boot_id", 64, &text, &len) == 0)
		(void)snprintf(buf, 40, "%.*s", (int)strcspn(text, "\n"), text);
}

/* ---- generations ---- */
static int compare_numbers(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int zt_generations(const struct zt_apply_ctx *c, uint64_t **ret, size_t *ret_n)
{
	ZT_FREE char *path = zt_state_path(c, "generations");
	DIR *dir = path ? opendir(path) : NULL;
	const struct dirent *e;
	uint64_t *v = NULL, number;
	size_t n = 0, cap = 0;
	int r = !path ? -ENOMEM : dir || errno == ENOENT ? 0 : -errno;

	while (dir && !r && (e = readdir(dir))) {
		if (zt_parse_u64(e->d_name, INT64_MAX, &number) < 0)
			continue;
		r = zt_grow(v, cap, n);
		if (!r)
			v[n++] = number;
	}
	if (dir)
		(void)closedir(dir); /* only read */
	if (r < 0) {
		free(v);
		return r;
	}
	if (n)
		qsort(v, n, sizeof(*v), compare_numbers);
	*ret = v;
	*ret_n = n;
	return 0;
}

/* Into a folder that has another name until it is complete: one sync of it, by the last file, is enough. */
static int write_part(const char *dir, const char *name, const char *data, size_t len, json_t *digests)
{
	ZT_FREE char *path = zt_path_join(dir, name);
	char hex[65];
	int r = path ? zt_file_write_new(path, data, len, 0600) : -ENOMEM;

	zt_sha256_hex(data, len, hex);
	return r ? r : json_object_set_new(digests, name, json_string(hex)) < 0 ? -ENOMEM : 0;
}

/* The same bytes once more: a second name of the file, where the file system knows such. */
static int name_part(const char *dir, const char *name, const char *other, const char *data, size_t len,
		     json_t *digests)
{
	ZT_FREE char *path = zt_path_join(dir, name), *from = zt_path_join(dir, other);

	if (!path || !from)
		return -ENOMEM;
	if (link(from, path) < 0)
		return write_part(dir, name, data, len, digests);
	return json_object_set(digests, name, json_object_get(digests, other)) < 0 ? -ENOMEM : 0;
}

static json_t *meta_json(const struct zt_apply_ctx *c, const struct zt_ruleset *rs, const char *summary,
			 const char *reason, const struct zt_anchor *anchor, json_t *digests)
{
	ZT_FREE char *who = zt_who_am_i(), *from = zt_where_from();

	return json_pack("{s:I, s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:o, s:O}", "generation",
			 (json_int_t)rs->generation, "when", (json_int_t)zt_now(), "who", who ? who : "", "from",
			 from ? from : "", "hash", rs->hash, "engine", c->engine->name, "summary", summary, "reason",
			 reason ? reason : "", "state", "pending", "rules", (json_int_t)rs->n_rules, "clock",
			 zt_anchor_json(anchor), "sha256", digests);
}

static int write_parts(const struct zt_apply_ctx *c, const char *dir, const struct zt_ruleset *rs, const char *image,
		       size_t image_len, const char *source, size_t source_len, const char *summary, const char *reason,
		       const struct zt_anchor *anchor)
{
	ZT_FREE char *meta = zt_path_join(dir, "meta.json");
	ZT_STRBUF struct zt_strbuf text = {0};
	json_t *digests = json_object();
	int r = meta && digests ? zt_ruleset_json_text(rs, &text) : -ENOMEM;

	if (!r)
		r = write_part(dir, "ruleset.json", text.buf, text.len, digests);
	if (!r && image_len == text.len && !memcmp(image, text.buf, image_len))
		r = name_part(dir, "image", "ruleset.json", image, image_len, digests);
	else if (!r)
		r = write_part(dir, "image", image, image_len, digests);
	if (!r)
		r = write_part(dir, "policy.yaml", source, source_len, digests);
	if (!r)
		r = write_json(meta, meta_json(c, rs, summary, reason, anchor, digests));
	json_decref(digests);
	return r;
}

int zt_generation_write(const struct zt_apply_ctx *c, const struct zt_ruleset *rs, const char *image, size_t image_len,
			const char *source, size_t source_len, const char *summary, const char *reason,
			const struct zt_anchor *anchor)
{
	ZT_FREE char *tmp = zt_state_path(c, "generations/.%llu.tmp", (unsigned long long)rs->generation);
	ZT_FREE char *final = zt_state_path(c, "generations/%llu", (unsigned long long)rs->generation);
	int r = tmp && final ? zt_remove_tree(tmp) : -ENOMEM;

	if (!r)
		r = zt_mkdir_p(tmp, 0700);
	if (!r)
		r = write_parts(c, tmp, rs, image, image_len, source, source_len, summary, reason, anchor);
	if (!r)
		r = zt_remove_tree(final);
	if (!r && rename(tmp, final) < 0)
		r = -errno;
	r = r ?: zt_sync_folder_of(final);
	if (r < 0 && tmp)
		(void)zt_remove_tree(tmp); /* a left-over is swept by the next one */
	return r;
}

int zt_generation_remove(const struct zt_apply_ctx *c, uint64_t n)
{
	ZT_FREE char *path = zt_state_path(c, "generations/%llu", (unsigned long long)n);

	return path ? zt_remove_tree(path) : -ENOMEM;
}

int zt_generation_meta(const struct zt_apply_ctx *c, uint64_t n, json_t **ret)
{
	ZT_FREE char *path = zt_state_path(c, "generations/%llu/meta.json", (unsigned long long)n);

	return read_json(path, ret);
}

int zt_generation_set_state(const struct zt_apply_ctx *c, uint64_t n, const char *state)
{
	ZT_FREE char *path = zt_state_path(c, "generations/%llu/meta.json", (unsigned long long)n);
	json_t *j = NULL;
	int r = read_json(path, &j);

	if (r < 0)
		return r;
	if (json_object_set_new(j, "state", json_string(state)) < 0) {
		json_decref(j);
		return -ENOMEM;
	}
	return write_json(path, j);
}

int zt_generation_digest(const struct zt_apply_ctx *c, uint64_t n, char ret[static 65])
{
	json_t *j = NULL;
	char *text;
	int r = zt_generation_meta(c, n, &j);

	if (r < 0)
		return r;
	(void)json_object_del(j, "state"); /* the only key that changes */
	text = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(j);
	if (!text)
		return -ENOMEM;
	zt_sha256_hex(text, strlen(text), ret);
	free(text);
	return 0;
}

static int read_part(const struct zt_apply_ctx *c, uint64_t n, const char *name, char **ret, size_t *ret_len)
{
	ZT_FREE char *path = zt_state_path(c, "generations/%llu/%s", (unsigned long long)n, name), *text = NULL;
	json_t *meta = NULL;
	const char *want;
	size_t len = 0;
	char hex[65];
	int r = path ? zt_generation_meta(c, n, &meta) : -ENOMEM;

	if (!r)
		r = zt_file_read(path, ZT_STATE_BYTES, &text, &len);
	if (!r) {
		want = json_string_value(json_object_get(json_object_get(meta, "sha256"), name));
		zt_sha256_hex(text, len, hex);
		r = want && !strcmp(want, hex) ? 0 : -EUCLEAN;
	}
	json_decref(meta);
	if (r < 0)
		return r;
	*ret = ZT_TAKE(text);
	*ret_len = len;
	return 0;
}

int zt_generation_image(const struct zt_apply_ctx *c, uint64_t n, char **ret, size_t *ret_len)
{
	return read_part(c, n, "image", ret, ret_len);
}

int zt_generation_check(const struct zt_apply_ctx *c, uint64_t n, struct zt_diags *d)
{
	static const char *const parts[] = {"ruleset.json", "image", "policy.yaml"};
	int result = 0;

	for (size_t i = 0; i < ZT_ARRAY_SIZE(parts); i++) {
		ZT_FREE char *text = NULL;
		size_t len;
		int r = read_part(c, n, parts[i], &text, &len);

		if (r < 0) {
			(void)zt_diag(d, ZT_ERROR, 4030, NULL, "generation %llu: %s is %s", (unsigned long long)n,
				      parts[i], r == -EUCLEAN ? "not what was written" : strerror(-r));
			result = -EUCLEAN;
		}
	}
	return result;
}

int zt_generation_load(const struct zt_apply_ctx *c, uint64_t n, struct zt_ruleset **ret_rs, char **ret_source,
		       size_t *ret_len, struct zt_diags *d)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	ZT_FREE char *text = NULL, *source = NULL;
	size_t len = 0, source_len = 0;
	int r = read_part(c, n, "ruleset.json", &text, &len) ?: read_part(c, n, "policy.yaml", &source, &source_len);

	if (r == -ENOENT)
		return r;
	r = r ?: zt_ruleset_from_text(text, len, &rs, d);
	if (r < 0)
		return zt_diag_errno(d, 4030, r, "generation %llu cannot be read", (unsigned long long)n);
	if (ret_rs)
		*ret_rs = ZT_TAKE(rs);
	if (ret_source) {
		*ret_source = ZT_TAKE(source);
		*ret_len = source_len;
	}
	return 0;
}

void zt_generations_prune(const struct zt_apply_ctx *c, uint64_t keep)
{
	ZT_FREE uint64_t *v = NULL;
	size_t n = 0;

	if (zt_generations(c, &v, &n) < 0)
		return;
	for (size_t i = 0; i + ZT_GENERATIONS_KEPT < n; i++) {
		if (v[i] != keep)
			(void)zt_generation_remove(c, v[i]); /* tried again at the next change */
	}
}

/* ---- what a killed process left ---- */
static void sweep_folder(const struct zt_apply_ctx *c, const char *name)
{
	ZT_FREE char *path = zt_state_path(c, "%s", name);
	DIR *dir = path ? opendir(path) : NULL;
	const struct dirent *e;

	while (dir && (e = readdir(dir))) {
		size_t len = strlen(e->d_name);
		ZT_FREE char *tmp = len > 4 && !strcmp(e->d_name + len - 4, ".tmp") ? zt_path_join(path, e->d_name)
										    : NULL;

		if (tmp)
			(void)zt_remove_tree(tmp); /* tried again by the next command */
	}
	if (dir)
		(void)closedir(dir); /* only read */
}

/* A generation that is called pending and is neither current nor in the journal was given up before it was recorded. */
static void settle(const struct zt_apply_ctx *c, uint64_t n, uint64_t current, uint64_t journal)
{
	json_t *meta = NULL;
	bool pending = zt_generation_meta(c, n, &meta) == 0 &&
		       !strcmp(json_string_value(json_object_get(meta, "state")) ?: "", "pending");

	json_decref(meta);
	if (pending && n != journal)
		(void)zt_generation_set_state(
			c, n, n == current ? "confirmed" : "failed"); /* tried again by the next command */
}

void zt_state_sweep(const struct zt_apply_ctx *c)
{
	ZT_FREE uint64_t *v = NULL;
	struct zt_pending p = {0};
	uint64_t current = 0;
	bool flushed;
	size_t n = 0;
	int r;

	sweep_folder(c, "");
	sweep_folder(c, "generations");
	(void)zt_state_current(c, &current, &flushed); /* none: 0 */
	r = zt_pending_read(c, &p);
	if (r == -ENOENT)
		(void)zt_pending_clear(c); /* a backup without its journal */
	if ((r < 0 && r != -ENOENT) || zt_generations(c, &v, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		ZT_FREE char *folder = zt_asprintf("generations/%llu", (unsigned long long)v[i]);

		if (folder)
			sweep_folder(c, folder);
		settle(c, v[i], current, p.generation);
	}
}
