/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <assert.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/proc.h"
#include "engine/bpf/load.h"
#include "identity/identity.h"

static_assert(ZT_EXE_DEV_FUSE == ZT_BPF_DEV_FUSE, "the programs and user space call a device the same");

#define INNER_FREE 0x1000 /* BPF_F_INNER_MAP */
#define BATCH 4096u

uint64_t bpf_netns_cookie(void)
{
	return zt_netns_cookie();
}

int bpf_cpus(void)
{
	int n = libbpf_num_possible_cpus();

	return n > 0 ? n : 1;
}

int bpf_inner(int outer, uint32_t slot)
{
	uint32_t id = 0;
	int fd;

	if (bpf_map_lookup_elem(outer, &slot, &id) < 0)
		return -errno;
	fd = bpf_map_get_fd_by_id(id);
	return fd < 0 ? -errno : fd;
}

/* ---- writing ---- */
static int put_inner(int outer, uint32_t slot, int fd)
{
	return bpf_map_update_elem(outer, &slot, &fd, BPF_ANY) < 0 ? -errno : 0;
}

struct table { /* an array of records: the key first, the value at an offset */
	const void *v;
	size_t n, stride, key, value, value_at;
	size_t room; /* for more */
};

static int insert_all(int fd, const struct table *t)
{
	for (size_t i = 0; i < t->n; i++) {
		const char *at = (const char *)t->v + i * t->stride;

		if (bpf_map_update_elem(fd, at, at + t->value_at, BPF_NOEXIST) < 0)
			return -errno;
	}
	return 0;
}

/* A kernel without batches for this kind of map says ENOTSUPP, which user space has no name for, or EINVAL. */
static bool no_batches(int r)
{
	return r == -524 || r == -EOPNOTSUPP || r == -EINVAL;
}

static int insert_batches(int fd, const struct table *t)
{
	ZT_FREE char *keys = zt_malloc(BATCH * t->key), *values = zt_malloc(BATCH * t->value);

	if (!keys || !values)
		return -ENOMEM;
	for (size_t done = 0; done < t->n;) {
		uint32_t n = (uint32_t)ZT_MIN((size_t)BATCH, t->n - done);

		for (uint32_t i = 0; i < n; i++) {
			const char *at = (const char *)t->v + (done + i) * t->stride;

			memcpy(keys + i * t->key, at, t->key);
			memcpy(values + i * t->value, at + t->value_at, t->value);
		}
		if (bpf_map_update_batch(fd, keys, values, &n, NULL) < 0)
			return !done && no_batches(-errno) ? insert_all(fd, t) : -errno;
		done += n;
	}
	return 0;
}

/* A filled map; -errno. */
static int make_table(enum bpf_map_type type, uint32_t flags, const struct table *t)
{
	LIBBPF_OPTS(bpf_map_create_opts, o, .map_flags = flags);
	ZT_CLOSE int fd = bpf_map_create(type, "zt_inner", (uint32_t)t->key, (uint32_t)t->value,
					 (uint32_t)ZT_MAX(t->n + t->room, (size_t)1), &o);
	int r = fd < 0 ? -errno : insert_batches(fd, t);

	return r < 0 ? r : ZT_TAKE_FD(fd);
}

static int make_array(size_t value, size_t n, const void *content, size_t len)
{
	LIBBPF_OPTS(bpf_map_create_opts, o, .map_flags = INNER_FREE);
	ZT_CLOSE int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "zt_inner", sizeof(uint32_t), (uint32_t)value,
					 (uint32_t)ZT_MAX(n, (size_t)1), &o);
	ZT_FREE char *chunk = zt_calloc(1, value);
	int r = fd < 0 ? -errno : chunk ? 0 : -ENOMEM;

	for (uint32_t i = 0; !r && i < n && content && (size_t)i * value < len; i++) {
		size_t part = ZT_MIN(value, len - (size_t)i * value);

		memset(chunk, 0, value);
		memcpy(chunk, (const char *)content + (size_t)i * value, part);
		r = bpf_map_update_elem(fd, &i, chunk, BPF_ANY) < 0 ? -errno : 0;
	}
	return r < 0 ? r : ZT_TAKE_FD(fd);
}

/* ---- the maps of a slot, put in or taken out ---- */
struct place {
	int outer, inner; /* inner -1: take out */
	uint32_t slot;
	int r;
};

static void *change_place(void *arg)
{
	struct place *p = arg;

	p->r = 0;
	if (p->inner >= 0)
		p->r = put_inner(p->outer, p->slot, p->inner);
	else if (bpf_map_delete_elem(p->outer, &p->slot) < 0 && errno != ENOENT)
		p->r = -errno;
	return NULL;
}

/* Each change waits in the kernel until no program runs that may have seen what was there. Waiting together costs one wait instead of many. */
static int change_places(struct place *v, size_t n)
{
	pthread_t threads[16];
	bool started[16] = {false};
	int r = 0;

	assert(n <= ZT_ARRAY_SIZE(threads));
	for (size_t i = 1; i < n; i++)
		started[i] = pthread_create(&threads[i], NULL, change_place, &v[i]) == 0;
	for (size_t i = 0; i < n; i++)
		if (!started[i])
			(void)change_place(&v[i]); /* its result is in v[i] */
	for (size_t i = 0; i < n; i++) {
		if (started[i])
			(void)pthread_join(threads[i], NULL); /* cannot fail: started, and joined once */
		r = r ?: v[i].r;
	}
	return r;
}

#define TABLE(items, count, record, key_field, value_field)                                                    \
	{                                                                                                      \
		.v = (items), .n = (count), .stride = sizeof(record), .key = sizeof(((record *)0)->key_field), \
		.value = sizeof(((record *)0)->value_field), .value_at = offsetof(record, value_field)         \
	}
struct contents {
	struct table entries, lpms, evidence, paths, labels, names;
};

static struct contents contents_of(const struct zt_image *img)
{
	struct contents c = {.entries = TABLE(img->entries, img->n_entries, struct bpf_pair, key, entry),
			     .lpms = TABLE(img->lpms, img->n_lpms, struct bpf_lpm, key, id),
			     .evidence = TABLE(img->evidence, img->n_evidence, struct bpf_evidence, key, set),
			     .paths = TABLE(img->paths, img->n_paths, struct bpf_path, key, value),
			     .labels = TABLE(img->labels, img->n_labels, struct bpf_label, key, label),
			     .names = TABLE(img->names, img->n_names, struct bpf_name, key, number)};

	c.evidence.room = 2 * img->n_paths; /* for ids beside those of the compilation, one a path and kind */
	return c;
}

static size_t chunks(size_t len)
{
	return (len + ZT_BPF_CHUNK - 1) / ZT_BPF_CHUNK;
}

static uint64_t tai_offset(void)
{
	struct timespec tai = {0}, real = {0};
	int64_t ns;

	(void)clock_gettime(CLOCK_TAI, &tai); /* cannot fail with these clocks */
	(void)clock_gettime(CLOCK_REALTIME, &real);
	/* Whole seconds apart, but read a moment after one another. */
	ns = (tai.tv_sec - real.tv_sec) * INT64_C(1000000000) + tai.tv_nsec - real.tv_nsec;
	return (uint64_t)((ns + 500000000) / 1000000000);
}

/* The clock may have been told of leap seconds since; it was not years off. */
static bool offset_plausible(uint64_t offset)
{
	int64_t d = (int64_t)(offset - tai_offset());

	return d >= -60 && d <= 60;
}

/* Is it the group that the links are attached to? Nothing is attached yet where l has none. */
static bool right_group(const struct bpf_live *l, const struct zt_bpf_config *got)
{
	ZT_FREE char *path = NULL;
	uint32_t level = 0;

	if (!l->cgroup || zt_cgroup_path(l->cgroup, &path) < 0)
		return true;
	for (const char *at = path; *at; at++)
		level += at == path || *at == '/';
	return got->cgroup == l->cgroup && got->cgroup_level == level;
}

static int put_config(const struct bpf_live *l, uint32_t slot, const struct zt_bpf_config *cfg)
{
	return bpf_map_update_elem(l->map[MAP_CONFIG], &slot, cfg, BPF_ANY) < 0 ? -errno : 0;
}

int bpf_where(const struct bpf_live *l, char **ret_path, uint64_t *ret_id, uint32_t *ret_level)
{
	int r = l->cgroup ? zt_cgroup_path(l->cgroup, ret_path) : 0;

	if (!l->cgroup && !(*ret_path = zt_strdup(bpf_cgroup ? bpf_cgroup : "")))
		r = -ENOMEM;
	return r ?: zt_cgroup_lookup(NULL, *ret_path, ret_id, ret_level);
}

static const int inner_maps[] = {MAP_ENTRIES, MAP_CLASSES, MAP_EVIDENCE, MAP_PATHS, MAP_LABELS,
				 MAP_NAMES,   MAP_PORTS,   MAP_COUNTS,	 MAP_META};

static int make_inner(int map, const struct zt_image *img)
{
	struct contents c = contents_of(img);

	switch (map) {
	case MAP_ENTRIES:
		return make_table(BPF_MAP_TYPE_HASH, 0, &c.entries);
	case MAP_CLASSES:
		return make_table(BPF_MAP_TYPE_LPM_TRIE, BPF_F_NO_PREALLOC, &c.lpms);
	case MAP_EVIDENCE:
		return make_table(BPF_MAP_TYPE_HASH, 0, &c.evidence);
	case MAP_PATHS:
		return make_table(BPF_MAP_TYPE_HASH, 0, &c.paths);
	case MAP_LABELS:
		return make_table(BPF_MAP_TYPE_HASH, 0, &c.labels);
	case MAP_NAMES:
		return make_table(BPF_MAP_TYPE_HASH, 0, &c.names);
	case MAP_PORTS:
		return make_array(65536 * sizeof(uint16_t), 1, img->ports, img->ports ? 65536 * sizeof(uint16_t) : 0);
	case MAP_COUNTS:
		return make_array(sizeof(struct zt_bpf_count), (size_t)bpf_cpus() * img->cfg->stride, NULL, 0);
	default:
		return make_array(ZT_BPF_CHUNK, chunks(img->json_len), img->json, img->json_len);
	}
}

/* Not every engine has every map: one without is not given anything to put there. */
static int fill_inner(const struct bpf_live *l, const struct zt_image *img, uint32_t slot)
{
	struct place v[ZT_ARRAY_SIZE(inner_maps)];
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; !r && i < ZT_ARRAY_SIZE(inner_maps); i++) {
		int outer = l->map[inner_maps[i]];

		if (outer < 0)
			continue;
		v[n] = (struct place){outer, make_inner(inner_maps[i], img), slot, 0};
		r = ZT_MIN(v[n].inner, 0);
		n++;
	}
	r = r ?: change_places(v, n);
	for (size_t i = 0; i < n; i++)
		zt_closep(&v[i].inner);
	return r;
}

static uint32_t optional_parts(const struct bpf_live *l)
{
	return (bpf_lsm_pins(l->dir) ? ZT_BPF_GUARDED : 0) | (bpf_forward_links(l) ? ZT_BPF_FORWARDED : 0);
}

int bpf_fill(const struct bpf_live *l, const struct zt_image *img, uint32_t epoch)
{
	ZT_FREE struct zt_bpf_config *cfg = zt_new(struct zt_bpf_config, 1);
	ZT_FREE char *path = NULL;
	uint32_t slot = epoch & 1;
	int r = cfg ? 0 : -ENOMEM;

	if (r < 0)
		return r;
	cfg->spent = epoch;
	r = put_config(l, slot, cfg); /* epoch 0: nobody looks at the slot */
	r = r ?: fill_inner(l, img, slot) ?: bpf_follow_catch_up(l, img, slot);
	if (r < 0)
		return r;
	*cfg = *img->cfg;
	cfg->flags |= (l->followed ? ZT_BPF_FOLLOWED : 0) | optional_parts(l);
	cfg->netns = bpf_netns_cookie();
	cfg->tai_offset = tai_offset();
	(void)bpf_where(l, &path, &cfg->cgroup, &cfg->cgroup_level); /* attaching to it fails */
	cfg->epoch = cfg->spent = epoch;
	return put_config(l, slot, cfg);
}

int bpf_note_guard(const struct bpf_live *l)
{
	ZT_FREE struct zt_bpf_config *cfg = NULL;
	uint32_t slot = l->epoch & 1;
	int r = bpf_read_config(l, slot, &cfg);

	if (r < 0)
		return r;
	cfg->flags &= ~(uint32_t)(ZT_BPF_GUARDED | ZT_BPF_FORWARDED);
	cfg->flags |= optional_parts(l);
	return put_config(l, slot, cfg);
}

/* ---- reading back ---- */
struct found { /* where the record with a key is, plus one; open addressing */
	const struct table *t;
	uint32_t *at;
	size_t mask;
};

static const char *record_at(const struct table *t, size_t i)
{
	return (const char *)t->v + i * t->stride;
}

static size_t hash_of(const void *key, size_t len)
{
	uint64_t h = len;

	for (size_t i = 0; i < len; i += sizeof(uint32_t)) { /* all keys are made of whole words */
		uint32_t w;

		memcpy(&w, (const char *)key + i, sizeof(w));
		h = (h ^ w) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	return (size_t)h;
}

static int found_make(struct found *f, const struct table *t)
{
	*f = (struct found){.t = t, .mask = 1};
	while (f->mask < 2 * t->n)
		f->mask = f->mask * 2 + 1;
	f->at = zt_new(uint32_t, f->mask + 1);
	for (size_t i = 0; f->at && i < t->n; i++) {
		size_t k = hash_of(record_at(t, i), t->key) & f->mask;

		while (f->at[k])
			k = (k + 1) & f->mask;
		f->at[k] = (uint32_t)i + 1;
	}
	return f->at ? 0 : -ENOMEM;
}

static bool found_same(const struct found *f, const char *key, const char *value)
{
	for (size_t k = hash_of(key, f->t->key) & f->mask; f->at[k]; k = (k + 1) & f->mask) {
		const char *at = record_at(f->t, f->at[k] - 1);

		if (!memcmp(at, key, f->t->key))
			return !memcmp(at + f->t->value_at, value, f->t->value);
	}
	return false;
}

/* 0: the map holds what the table says, each of its keys once, and nothing else; 1: it does not. */
static int compare_batches(int fd, const struct table *t)
{
	ZT_FREE char *keys = zt_malloc(BATCH * t->key), *values = zt_malloc(BATCH * t->value);
	ZT_FREE char *token = zt_malloc(2 * (t->key + sizeof(uint32_t)));
	char *out = token ? token + t->key + sizeof(uint32_t) : NULL;
	ZT_FREE uint32_t *index = NULL;
	struct found f;
	size_t seen = 0;
	int r = keys && values && token ? found_make(&f, t) : -ENOMEM;

	if (r < 0)
		return r;
	index = f.at;
	for (bool first = true, last = false; !last && seen <= t->n; first = false) {
		uint32_t n = BATCH;

		if (bpf_map_lookup_batch(fd, first ? NULL : token, out, keys, values, &n, NULL) < 0) {
			if (errno != ENOENT)
				return -errno;
			last = true;
		}
		for (uint32_t i = 0; i < n; i++)
			if (!found_same(&f, keys + i * t->key, values + i * t->value))
				return 1;
		seen += n;
		memcpy(token, out, t->key + sizeof(uint32_t));
	}
	return seen != t->n;
}

static int compare_one_by_one(int fd, const struct table *t)
{
	ZT_FREE char *key = zt_malloc(t->key), *next = zt_malloc(t->key), *value = zt_malloc(t->value);
	size_t n = 0;

	if (!key || !next || !value)
		return -ENOMEM;
	for (size_t i = 0; i < t->n; i++) {
		const char *at = record_at(t, i);

		if (bpf_map_lookup_elem(fd, at, value) < 0 || memcmp(value, at + t->value_at, t->value) != 0)
			return 1;
	}
	/* and nothing else */
	for (int r = bpf_map_get_next_key(fd, NULL, next); r == 0 && n <= t->n;
	     r = bpf_map_get_next_key(fd, key, next), n++)
		memcpy(key, next, t->key);
	return n != t->n;
}

static int compare_table(int outer, uint32_t slot, const struct table *t)
{
	ZT_CLOSE int fd = outer < 0 ? -1 : bpf_inner(outer, slot);
	int r;

	if (outer < 0)
		return t->n != 0;
	if (fd < 0)
		return fd == -ENOENT ? 1 : fd;
	r = compare_batches(fd, t);
	return no_batches(r) || r == -ENOSPC ? compare_one_by_one(fd, t) : r; /* ENOSPC: many keys of one hash */
}

static int compare_array(int outer, uint32_t slot, size_t value, const void *content, size_t len)
{
	ZT_CLOSE int fd = bpf_inner(outer, slot);
	ZT_FREE char *got = zt_malloc(value);

	if (fd < 0 || !got)
		return fd == -ENOENT ? 1 : fd < 0 ? fd : -ENOMEM;
	for (uint32_t i = 0; (size_t)i * value < len; i++)
		if (bpf_map_lookup_elem(fd, &i, got) < 0 ||
		    memcmp(got, (const char *)content + (size_t)i * value, ZT_MIN(value, len - (size_t)i * value)) != 0)
			return 1;
	return 0;
}

static int compare_config(const struct bpf_live *l, const struct zt_image *img, uint32_t slot)
{
	ZT_FREE struct zt_bpf_config *got = NULL;
	ZT_FREE struct zt_bpf_config *want = zt_new(struct zt_bpf_config, 1);
	int r = want ? bpf_read_config(l, slot, &got) : -ENOMEM;

	if (r < 0)
		return r;
	*want = *img->cfg;
	want->flags |= got->flags & (ZT_BPF_FOLLOWED | ZT_BPF_GUARDED | ZT_BPF_FORWARDED);
	want->netns = bpf_netns_cookie();
	want->epoch = got->epoch;
	want->spent = got->epoch;
	want->tai_offset = got->tai_offset;
	want->cgroup = got->cgroup;
	want->cgroup_level = got->cgroup_level;
	return memcmp(got, want, sizeof(*got)) != 0 || (got->epoch & 1) != slot || !got->epoch ||
	       !offset_plausible(got->tai_offset) || !right_group(l, got);
}

int bpf_compare(const struct bpf_live *l, const struct zt_image *img, uint32_t slot, const char **ret_what)
{
	struct contents c = contents_of(img);
	int r = compare_config(l, img, slot);

	*ret_what = "the settings and shapes";
	if (!r && (r = compare_table(l->map[MAP_ENTRIES], slot, &c.entries)))
		*ret_what = "the rules";
	if (!r && (r = compare_table(l->map[MAP_CLASSES], slot, &c.lpms)))
		*ret_what = "the classes of addresses and users";
	if (!r && (r = bpf_follow_compare(l, img, slot)))
		*ret_what = "the evidence about processes";
	if (!r && (r = compare_table(l->map[MAP_PATHS], slot, &c.paths)))
		*ret_what = "the paths of control groups";
	if (!r && (r = compare_table(l->map[MAP_LABELS], slot, &c.labels)))
		*ret_what = "the labels";
	if (!r && (r = compare_table(l->map[MAP_NAMES], slot, &c.names)))
		*ret_what = "the names of Unix sockets";
	if (!r && img->ports &&
	    (r = compare_array(l->map[MAP_PORTS], slot, 65536 * sizeof(uint16_t), img->ports,
			       65536 * sizeof(uint16_t))))
		*ret_what = "the classes of ports";
	if (!r && (r = compare_array(l->map[MAP_META], slot, ZT_BPF_CHUNK, img->json, img->json_len)))
		*ret_what = "the text of the policy";
	return r;
}

int bpf_read_config(const struct bpf_live *l, uint32_t slot, struct zt_bpf_config **ret)
{
	struct zt_bpf_config *c = zt_new(struct zt_bpf_config, 1);
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);
	int r = c ? 0 : -ENOMEM;

	if (!r && (bpf_obj_get_info_by_fd(l->map[MAP_CONFIG], &info, &len) < 0 || info.value_size != sizeof(*c)))
		r = -EUCLEAN; /* another layout */
	if (!r && bpf_map_lookup_elem(l->map[MAP_CONFIG], &slot, c) < 0)
		r = -errno;
	if (!r && c->layout && c->layout != ZT_BPF_LAYOUT)
		r = -EUCLEAN;
	if (r < 0) {
		free(c);
		return r;
	}
	*ret = c;
	return 0;
}

int bpf_read_meta(const struct bpf_live *l, uint32_t slot, size_t len, char **ret)
{
	ZT_CLOSE int fd = bpf_inner(l->map[MAP_META], slot);
	ZT_FREE char *text = len > (size_t)1 << 30 ? NULL : zt_malloc(chunks(len) * ZT_BPF_CHUNK + 1);

	if (fd < 0 || !text)
		return fd < 0 ? -EUCLEAN : -ENOMEM;
	for (uint32_t i = 0; i < chunks(len); i++)
		if (bpf_map_lookup_elem(fd, &i, text + (size_t)i * ZT_BPF_CHUNK) < 0)
			return -EUCLEAN;
	text[len] = '\0';
	*ret = ZT_TAKE(text);
	return 0;
}

/* ---- counters of rules: a row for each cpu ---- */
/* n records of an array, from the start. */
static int read_array(int fd, uint32_t n, struct zt_bpf_count *v)
{
	ZT_FREE uint32_t *keys = zt_new(uint32_t, n + 1);
	uint32_t token = 0, got = n;

	if (!keys)
		return -ENOMEM;
	if (n && (bpf_map_lookup_batch(fd, NULL, &token, keys, v, &got, NULL) == 0 || errno == ENOENT) && got == n)
		return 0;
	for (uint32_t i = 0; i < n; i++)
		if (bpf_map_lookup_elem(fd, &i, &v[i]) < 0)
			return -errno;
	return 0;
}

int bpf_read_counts(const struct bpf_live *l, uint32_t slot, const struct zt_bpf_config *cfg, struct zt_count **ret)
{
	ZT_CLOSE int fd = bpf_inner(l->map[MAP_COUNTS], slot);
	ZT_FREE struct zt_count *v = zt_new(struct zt_count, cfg->n_rules + 1);
	uint32_t n = cfg->stride * (uint32_t)bpf_cpus();
	ZT_FREE struct zt_bpf_count *rows = zt_new(struct zt_bpf_count, n + 1);
	int r = fd < 0 ? fd : v && rows ? read_array(fd, n, rows) : -ENOMEM;

	for (uint32_t i = 0; !r && i < n; i++) {
		v[i % cfg->stride].packets += rows[i].packets;
		v[i % cfg->stride].bytes += rows[i].bytes;
	}
	if (!r)
		*ret = ZT_TAKE(v);
	return r;
}

int bpf_write_counts(const struct bpf_live *l, uint32_t slot, const struct zt_count *v, size_t n)
{
	ZT_CLOSE int fd = bpf_inner(l->map[MAP_COUNTS], slot);

	if (fd < 0)
		return fd;
	for (uint32_t i = 0; i < n; i++) {
		struct zt_bpf_count c = {v[i].packets, v[i].bytes};

		if (c.packets && bpf_map_update_elem(fd, &i, &c, BPF_ANY) < 0)
			return -errno;
	}
	return 0;
}

uint32_t bpf_next_epoch(const struct bpf_live *l)
{
	ZT_FREE struct zt_bpf_config *idle = NULL;
	uint32_t next = l->epoch + 1;

	if (bpf_read_config(l, next & 1, &idle) == 0)
		while (next <= idle->spent)
			next += 2;
	return next;
}

/*
 * After a switch. Taking an inner map out waits until no program that began before runs any more (the text of the policy goes first: no program
 * reads it), so that nobody is found without a configuration.
 */
int bpf_clear_slot(const struct bpf_live *l, uint32_t slot)
{
	ZT_FREE struct zt_bpf_config *empty = zt_new(struct zt_bpf_config, 1), *old = NULL;
	struct place meta = {l->map[MAP_META], -1, slot, 0}, v[ZT_ARRAY_SIZE(inner_maps)];
	size_t n = 0;

	if (!empty)
		return -ENOMEM;
	if (bpf_read_config(l, slot, &old) == 0)
		empty->spent = old->spent;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(inner_maps); i++)
		if (inner_maps[i] != MAP_META && l->map[inner_maps[i]] >= 0)
			v[n++] = (struct place){l->map[inner_maps[i]], -1, slot, 0};
	(void)change_place(&meta); /* its result is in it */
	return meta.r ?: put_config(l, slot, empty) ?: change_places(v, n);
}
