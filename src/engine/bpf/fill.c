/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/mem.h"
#include "engine/bpf/load.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#define INNER_FREE 0x1000 /* BPF_F_INNER_MAP */
#define BATCH 4096u

uint64_t bpf_netns_cookie(void)
{
	ZT_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) < 0)
		return 0;
	return cookie;
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
			return -errno;
		done += n;
	}
	return 0;
}

static int fill_table(int outer, uint32_t slot, enum bpf_map_type type, uint32_t flags, const struct table *t)
{
	LIBBPF_OPTS(bpf_map_create_opts, o, .map_flags = flags);
	ZT_CLOSE int fd = bpf_map_create(type, "zt_inner", (uint32_t)t->key, (uint32_t)t->value,
					 (uint32_t)ZT_MAX(t->n, (size_t)1), &o);
	int r = fd < 0 ? -errno : type == BPF_MAP_TYPE_HASH ? insert_batches(fd, t) : insert_all(fd, t);

	return r ?: put_inner(outer, slot, fd);
}

static int fill_array(int outer, uint32_t slot, size_t value, size_t n, const void *content, size_t len)
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
	return r ?: put_inner(outer, slot, fd);
}

#define TABLE(items, count, record, key_field, value_field)                                                    \
	{                                                                                                      \
		.v = (items), .n = (count), .stride = sizeof(record), .key = sizeof(((record *)0)->key_field), \
		.value = sizeof(((record *)0)->value_field), .value_at = offsetof(record, value_field)         \
	}
struct contents {
	struct table entries, lpms, evidence, labels;
};

static struct contents contents_of(const struct zt_image *img)
{
	return (struct contents){.entries = TABLE(img->entries, img->n_entries, struct bpf_pair, key, entry),
				 .lpms = TABLE(img->lpms, img->n_lpms, struct bpf_lpm, key, id),
				 .evidence = TABLE(img->evidence, img->n_evidence, struct bpf_evidence, key, set),
				 .labels = TABLE(img->labels, img->n_labels, struct bpf_label, key, label)};
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

static int put_config(const struct bpf_live *l, uint32_t slot, const struct zt_bpf_config *cfg)
{
	return bpf_map_update_elem(l->map[MAP_CONFIG], &slot, cfg, BPF_ANY) < 0 ? -errno : 0;
}

int bpf_fill(const struct bpf_live *l, const struct zt_image *img, uint32_t epoch)
{
	struct contents c = contents_of(img);
	ZT_FREE struct zt_bpf_config *cfg = zt_new(struct zt_bpf_config, 1);
	uint32_t slot = epoch & 1;
	int r = cfg ? put_config(l, slot, cfg) : -ENOMEM; /* epoch 0: nobody looks at the slot */

	r = r ?: fill_table(l->map[MAP_ENTRIES], slot, BPF_MAP_TYPE_HASH, 0, &c.entries);
	r = r ?: fill_table(l->map[MAP_CLASSES], slot, BPF_MAP_TYPE_LPM_TRIE, BPF_F_NO_PREALLOC, &c.lpms);
	r = r ?: fill_table(l->map[MAP_EVIDENCE], slot, BPF_MAP_TYPE_HASH, 0, &c.evidence);
	r = r ?: fill_table(l->map[MAP_LABELS], slot, BPF_MAP_TYPE_HASH, 0, &c.labels);
	r = r
		    ?: fill_array(l->map[MAP_PORTS], slot, 65536 * sizeof(uint16_t), 1, img->ports,
				  img->ports ? 65536 * sizeof(uint16_t) : 0);
	r = r
		    ?: fill_array(l->map[MAP_COUNTS], slot, sizeof(struct zt_bpf_count),
				  (size_t)bpf_cpus() * img->cfg->stride, NULL, 0);
	r = r ?: fill_array(l->map[MAP_META], slot, ZT_BPF_CHUNK, chunks(img->json_len), img->json, img->json_len);
	if (r < 0)
		return r;
	*cfg = *img->cfg;
	cfg->netns = bpf_netns_cookie();
	cfg->tai_offset = tai_offset();
	cfg->cgroup = l->cgroup;
	cfg->epoch = epoch;
	return put_config(l, slot, cfg);
}

/* ---- reading back ---- */
static int compare_table(int outer, uint32_t slot, const struct table *t)
{
	ZT_CLOSE int fd = bpf_inner(outer, slot);
	ZT_FREE char *key = zt_malloc(t->key), *next = zt_malloc(t->key), *value = zt_malloc(t->value);
	size_t n = 0;

	if (fd < 0 || !key || !next || !value)
		return fd == -ENOENT ? 1 : fd < 0 ? fd : -ENOMEM;
	for (size_t i = 0; i < t->n; i++) {
		const char *at = (const char *)t->v + i * t->stride;

		if (bpf_map_lookup_elem(fd, at, value) < 0 || memcmp(value, at + t->value_at, t->value) != 0)
			return 1;
	}
	/* and nothing else */
	for (int r = bpf_map_get_next_key(fd, NULL, next); r == 0 && n <= t->n;
	     r = bpf_map_get_next_key(fd, key, next), n++)
		memcpy(key, next, t->key);
	return n != t->n;
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
	want->netns = bpf_netns_cookie();
	want->epoch = got->epoch;
	want->tai_offset = got->tai_offset;
	want->cgroup = got->cgroup;
	return memcmp(got, want, sizeof(*got)) != 0 || (got->epoch & 1) != slot || !got->epoch;
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
	if (!r && (r = compare_table(l->map[MAP_EVIDENCE], slot, &c.evidence)))
		*ret_what = "the evidence about processes";
	if (!r && (r = compare_table(l->map[MAP_LABELS], slot, &c.labels)))
		*ret_what = "the labels";
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
int bpf_read_counts(const struct bpf_live *l, uint32_t slot, const struct zt_bpf_config *cfg, struct zt_count **ret)
{
	ZT_CLOSE int fd = bpf_inner(l->map[MAP_COUNTS], slot);
	ZT_FREE struct zt_count *v = zt_new(struct zt_count, cfg->n_rules + 1);
	uint32_t n = cfg->stride * (uint32_t)bpf_cpus();

	if (fd < 0 || !v)
		return fd < 0 ? fd : -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		struct zt_bpf_count c;

		if (bpf_map_lookup_elem(fd, &i, &c) < 0)
			return -errno;
		v[i % cfg->stride].packets += c.packets;
		v[i % cfg->stride].bytes += c.bytes;
	}
	*ret = ZT_TAKE(v);
	return 0;
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

/*
 * After a switch. Taking an inner map out waits until no program that began before runs any more (the text of the policy goes first: no program
 * reads it), so that nobody is found without a configuration.
 */
int bpf_clear_slot(const struct bpf_live *l, uint32_t slot)
{
	static const int outers[] = {MAP_META,	   MAP_ENTRIES, MAP_CLASSES, MAP_PORTS,
				     MAP_EVIDENCE, MAP_LABELS,	MAP_COUNTS};
	ZT_FREE struct zt_bpf_config *empty = zt_new(struct zt_bpf_config, 1);
	int r = empty ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < ZT_ARRAY_SIZE(outers); i++) {
		if (bpf_map_delete_elem(l->map[outers[i]], &slot) < 0 && errno != ENOENT)
			r = -errno;
		if (!i)
			r = r ?: put_config(l, slot, empty);
	}
	return r;
}
