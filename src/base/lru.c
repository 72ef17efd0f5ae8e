/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <sodium.h>
#include <string.h>

#include "base/lru.h"
#include "base/mem.h"

#define NONE UINT32_MAX

struct link {
	uint32_t chain; /* next of the same bucket */
	uint32_t older, younger;
};

struct zt_lru {
	size_t key_size, value_size, size;
	uint32_t max, n, mask, oldest, youngest, spare; /* spare: chain of dropped places */
	uint64_t evicted;
	void (*done)(void *value);
	uint32_t *buckets;
	struct link *links;
	char *items; /* key, value */
	unsigned char secret[crypto_shorthash_KEYBYTES];
};

static char *key_at(const struct zt_lru *l, uint32_t i)
{
	return l->items + i * l->size;
}

static void *value_at(const struct zt_lru *l, uint32_t i)
{
	return key_at(l, i) + (l->size - l->value_size);
}

void zt_lru_free(struct zt_lru *l)
{
	if (!l)
		return;
	for (uint32_t i = l->oldest; l->done && i != NONE; i = l->links[i].younger)
		l->done(value_at(l, i));
	free(l->buckets);
	free(l->links);
	free(l->items);
	free(l);
}

void zt_lru_freep(struct zt_lru **l)
{
	zt_lru_free(*l);
	*l = NULL;
}

int zt_lru_new(uint32_t max, size_t key_size, size_t value_size, void (*done)(void *value), struct zt_lru **ret)
{
	ZT_CLEANUP(zt_lru_freep) struct zt_lru *l = zt_new(struct zt_lru, 1);
	uint32_t buckets = 16;

	while (buckets < max)
		buckets *= 2;
	if (!l)
		return -ENOMEM;
	l->oldest = l->youngest = l->spare = NONE;
	l->key_size = key_size;
	l->value_size = value_size;
	l->size = (key_size + 7) / 8 * 8 + (value_size + 7) / 8 * 8;
	l->value_size = (value_size + 7) / 8 * 8;
	l->max = max;
	l->mask = buckets - 1;
	l->buckets = zt_malloc(buckets * sizeof(*l->buckets));
	l->links = zt_new(struct link, max);
	l->items = zt_calloc(max, l->size);
	if (!l->buckets || !l->links || !l->items)
		return -ENOMEM;
	memset(l->buckets, 0xff, buckets * sizeof(*l->buckets));
	l->done = done;
	randombytes_buf(l->secret, sizeof(l->secret));
	*ret = ZT_TAKE(l);
	return 0;
}

static uint32_t *bucket_of(struct zt_lru *l, const void *key)
{
	uint64_t h;

	(void)crypto_shorthash((unsigned char *)&h, key, l->key_size, l->secret); /* never fails */
	return &l->buckets[h & l->mask];
}

static uint32_t find(struct zt_lru *l, const void *key)
{
	uint32_t i = *bucket_of(l, key);

	while (i != NONE && memcmp(key_at(l, i), key, l->key_size) != 0)
		i = l->links[i].chain;
	return i;
}

/* ---- by age ---- */
static void take_out(struct zt_lru *l, uint32_t i)
{
	struct link *k = &l->links[i];

	*(k->older == NONE ? &l->oldest : &l->links[k->older].younger) = k->younger;
	*(k->younger == NONE ? &l->youngest : &l->links[k->younger].older) = k->older;
}

static void put_youngest(struct zt_lru *l, uint32_t i)
{
	l->links[i].older = l->youngest;
	l->links[i].younger = NONE;
	*(l->youngest == NONE ? &l->oldest : &l->links[l->youngest].younger) = i;
	l->youngest = i;
}

static void remove_at(struct zt_lru *l, uint32_t i)
{
	uint32_t *at = bucket_of(l, key_at(l, i));

	while (*at != i)
		at = &l->links[*at].chain;
	*at = l->links[i].chain;
	take_out(l, i);
	if (l->done)
		l->done(value_at(l, i));
	l->links[i].chain = l->spare;
	l->spare = i;
	l->n--;
}

void *zt_lru_get(struct zt_lru *l, const void *key)
{
	uint32_t i = find(l, key);

	if (i == NONE)
		return NULL;
	take_out(l, i);
	put_youngest(l, i);
	return value_at(l, i);
}

static uint32_t free_place(struct zt_lru *l)
{
	uint32_t i = l->spare;

	if (i == NONE && l->n < l->max)
		return l->n++;
	if (i == NONE) {
		remove_at(l, l->oldest);
		l->evicted++;
		i = l->spare;
	}
	l->spare = l->links[i].chain;
	l->n++;
	return i;
}

void *zt_lru_put(struct zt_lru *l, const void *key)
{
	void *v = zt_lru_get(l, key);
	uint32_t i, *bucket;

	if (v)
		return v;
	i = free_place(l);
	bucket = bucket_of(l, key);
	memset(key_at(l, i), 0, l->size);
	memcpy(key_at(l, i), key, l->key_size);
	l->links[i].chain = *bucket;
	*bucket = i;
	put_youngest(l, i);
	return value_at(l, i);
}

void zt_lru_drop(struct zt_lru *l, const void *key)
{
	uint32_t i = find(l, key);

	if (i != NONE)
		remove_at(l, i);
}

uint32_t zt_lru_count(const struct zt_lru *l)
{
	return l->n;
}

uint64_t zt_lru_evicted(const struct zt_lru *l)
{
	return l->evicted;
}
