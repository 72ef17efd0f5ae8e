/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/config.h"

#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "event/opens.h"
#include "policy/tree.h"

enum { CONFIG_MAX = 64 << 10 };
enum key {
#define ZT_DAEMON_KEY(t, name, d, min, max, doc) KEY_##name,
#include "daemon/config.def"
#undef ZT_DAEMON_KEY
	N_KEYS,
};

const struct zt_config_key zt_config_keys[] = {
#define ZT_DAEMON_KEY(t, n, d, lo, hi, text) {.name = #n, .type = #t, .def = d, .min = lo, .max = hi, .doc = text},
#include "daemon/config.def"
#undef ZT_DAEMON_KEY
};
const size_t zt_n_config_keys = ZT_ARRAY_SIZE(zt_config_keys);

/* ---- values ---- */
static int read_word(const char *words, const char *s, uint64_t *ret)
{
	size_t len = strlen(s), i = 0;

	for (const char *w = words; *w; i++) {
		size_t n = strcspn(w, " ");

		if (n == len && !strncmp(w, s, n)) {
			*ret = i;
			return 0;
		}
		w += n + (w[n] == ' ');
	}
	return -EINVAL;
}

static int read_value(const struct zt_config_key *k, const char *s, uint64_t *ret)
{
	uint64_t min = 0;

	if (!strcmp(k->type, "WORD"))
		return read_word(k->min, s, ret);
	if (!strcmp(k->type, "FLAG")) {
		int r = read_word("no false yes true", s, ret);

		*ret /= 2;
		return r;
	}
	if (!strcmp(k->type, "DURATION")) {
		(void)zt_duration_parse(k->min, &min); /* the table is right */
		if (zt_duration_parse(s, ret) < 0 || *ret < min || *ret > k->max * ZT_USEC_PER_SEC)
			return -EINVAL;
		return *ret && *ret < ZT_USEC_PER_SEC ? -EINVAL : 0;
	}
	(void)zt_parse_u64(k->min, k->max, &min); /* the table is right */
	return zt_parse_u64(s, k->max, ret) < 0 || *ret < min ? -EINVAL : 0;
}

static void store(struct zt_daemon_config *c, size_t key, uint64_t v)
{
	switch ((enum key)key) {
	case KEY_drift:
		c->drift = v == 0;
		break;
	case KEY_heals_per_minute:
		c->heals_per_minute = (uint32_t)v;
		break;
	case KEY_follow_policy:
		c->follow_policy = v;
		break;
	case KEY_refresh_every:
		c->refresh_every = v;
		break;
	case KEY_clients:
		c->clients = (uint32_t)v;
		break;
	case KEY_events:
		c->events = v;
		break;
	case KEY_journal:
		c->journal = v;
		break;
	case KEY_keep_events:
		c->keep_events = v;
		break;
	case KEY_keep_flows:
		c->keep_flows = v;
		break;
	case KEY_journal_mib:
		c->journal_mib = (uint32_t)v;
		break;
	case KEY_failed_opens:
		c->failed_opens = v;
		break;
	case KEY_sensitive_files: /* read_patterns() */
	case N_KEYS:
		break;
	}
}

void zt_daemon_config_default(struct zt_daemon_config *ret)
{
	ret->sensitive_files = NULL;
	for (size_t i = 0; i < zt_n_config_keys; i++) {
		uint64_t v = 0;

		(void)read_value(&zt_config_keys[i], zt_config_keys[i].def,
				 &v); /* the table is right: a test says so */
		store(ret, i, v);
	}
}

void zt_daemon_config_done(struct zt_daemon_config *c)
{
	for (size_t i = 0; c->sensitive_files && c->sensitive_files[i]; i++)
		free(c->sensitive_files[i]);
	free(c->sensitive_files);
	c->sensitive_files = NULL;
}

/* ---- the file ---- */
/* Adds a path, or all that "default" stands for. */
static int add_pattern(struct zt_daemon_config *c, size_t max, size_t *n, const char *s)
{
	const char *const one[] = {s, NULL}, *const *from = strcmp(s, "default") ? one : zt_opens_default;

	if (*s != '/' && from == one)
		return -EINVAL;
	for (; *from; from++) {
		if (*n == max)
			return -EINVAL;
		c->sensitive_files[*n] = zt_strdup(*from);
		if (!c->sensitive_files[*n])
			return -ENOMEM;
		++*n;
	}
	return 0;
}

/* A list, or its only item. */
static int read_patterns(const struct zt_config_key *k, const struct zt_node *value, struct zt_daemon_config *c)
{
	size_t n = 0;
	int r = 0;

	c->sensitive_files = zt_new(char *, k->max + 1);
	if (!c->sensitive_files)
		return -ENOMEM;
	if (value->kind == ZT_NODE_SCALAR)
		return add_pattern(c, k->max, &n, value->text);
	if (value->kind != ZT_NODE_LIST)
		return -EINVAL;
	for (const struct zt_node *item = value->first; item && !r; item = item->next)
		r = item->kind == ZT_NODE_SCALAR ? add_pattern(c, k->max, &n, item->text) : -EINVAL;
	return r;
}

static void expected(struct zt_diags *d, const struct zt_config_key *k)
{
	if (!strcmp(k->type, "WORD"))
		zt_diag_hint(d, "one of: %s", k->min);
	else if (!strcmp(k->type, "PATTERNS"))
		zt_diag_hint(
			d,
			"a list of absolute paths or shell patterns, %llu at most, and \"default\" for the built-in ones",
			(unsigned long long)k->max);
	else if (!strcmp(k->type, "FLAG"))
		zt_diag_hint(d, "yes or no");
	else if (!strcmp(k->type, "DURATION"))
		zt_diag_hint(d, "a time such as %s, at least %s%s and at most %llu s", k->def, k->min,
			     strcmp(k->min, "0s") ? "" : " (never)", (unsigned long long)k->max);
	else
		zt_diag_hint(d, "a number from %s to %llu", k->min, (unsigned long long)k->max);
}

static int unknown_key(const struct zt_doc *doc, const struct zt_node *key, struct zt_diags *d)
{
	const char *names[N_KEYS], *near;

	(void)zt_doc_diag(doc, d, ZT_ERROR, 4062, key, "there is no such setting"); /* the result follows */
	for (size_t i = 0; i < N_KEYS; i++)
		names[i] = zt_config_keys[i].name;
	near = zt_str_nearest(key->text, names, N_KEYS);
	if (near)
		zt_diag_hint(d, "did you mean \"%s\"?", near);
	return -EINVAL;
}

static int read_setting(size_t key, const struct zt_node *value, struct zt_daemon_config *c)
{
	const struct zt_config_key *k = &zt_config_keys[key];
	uint64_t v;

	if (!strcmp(k->type, "PATTERNS"))
		return read_patterns(k, value, c);
	if (value->kind != ZT_NODE_SCALAR || read_value(k, value->text, &v) < 0)
		return -EINVAL;
	store(c, key, v);
	return 0;
}

static int read_pair(const struct zt_doc *doc, const struct zt_node *key, struct zt_daemon_config *c,
		     struct zt_diags *d)
{
	for (size_t i = 0; i < N_KEYS; i++) {
		const struct zt_config_key *k = &zt_config_keys[i];

		if (strcmp(key->text, k->name))
			continue;
		if (read_setting(i, key->value, c) == 0)
			return 0;
		(void)zt_doc_diag(doc, d, ZT_ERROR, 4063, key->value, "not a value for %s", k->name); /* follows */
		expected(d, k);
		return -EINVAL;
	}
	return unknown_key(doc, key, d);
}

int zt_daemon_config_parse(const char *name, const char *text, size_t len, struct zt_daemon_config *ret,
			   struct zt_diags *d)
{
	struct zt_doc doc = {0};
	struct zt_daemon_config c;
	int r = zt_doc_parse(&doc, name, text, len, d);

	zt_daemon_config_default(&c);
	if (!r && doc.root && doc.root->kind != ZT_NODE_MAP)
		r = zt_doc_diag(&doc, d, ZT_ERROR, 4062, doc.root, "settings are a mapping of keys");
	for (const struct zt_node *k = !r && doc.root ? doc.root->first : NULL; k; k = k->next)
		r = read_pair(&doc, k, &c, d) ?: r;
	zt_doc_done(&doc);
	if (r < 0)
		zt_daemon_config_done(&c);
	else
		*ret = c;
	return r;
}

static int check_owner(const char *path, struct zt_diags *d)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if ((st.st_uid == 0 || st.st_uid == geteuid()) && !(st.st_mode & (S_IWGRP | S_IWOTH)))
		return 0;
	(void)zt_diag(d, ZT_ERROR, 4061, &(struct zt_span){.file = path}, "others may write this file"); /* follows */
	zt_diag_hint(d, "chown root: %s && chmod 0644 %s", path, path);
	return -EPERM;
}

int zt_daemon_config_load(const char *path, bool must, struct zt_daemon_config *ret, struct zt_diags *d)
{
	ZT_FREE char *text = NULL;
	size_t len = 0;
	int r = zt_file_read(path, CONFIG_MAX, &text, &len);

	if (r == -ENOENT && !must) {
		zt_daemon_config_default(ret);
		return 0;
	}
	if (r < 0)
		return zt_diag_errno(d, 4061, r, "cannot read %s", path);
	r = check_owner(path, d);
	return r ?: zt_daemon_config_parse(zt_diags_intern(d, path), text, len, ret, d);
}
