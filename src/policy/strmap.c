/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/strmap.h"

#include <string.h>

#include "base/mem.h"

static uint64_t hash(const char *s)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * UINT64_C(1099511628211);
	return h ^ h >> 32;
}

static struct zt_strmap_slot *find(const struct zt_strmap *m, const char *key, uint64_t h)
{
	size_t i = h & (m->cap - 1);

	while (m->v[i].key && (m->v[i].hash != h || strcmp(m->v[i].key, key) != 0))
		i = (i + 1) & (m->cap - 1);
	return &m->v[i];
}

void *zt_strmap_get(const struct zt_strmap *m, const char *key)
{
	return m->cap ? find(m, key, hash(key))->value : NULL;
}

static int enlarge(struct zt_strmap *m)
{
	struct zt_strmap bigger = {.n = m->n, .cap = m->cap ? m->cap * 2 : 32};

	bigger.v = zt_new(struct zt_strmap_slot, bigger.cap);
	if (!bigger.v)
		return -ENOMEM;
	for (size_t i = 0; i < m->cap; i++)
		if (m->v[i].key)
			*find(&bigger, m->v[i].key, m->v[i].hash) = m->v[i];
	free(m->v);
	*m = bigger;
	return 0;
}

int zt_strmap_put(struct zt_strmap *m, const char *key, void *value)
{
	struct zt_strmap_slot *slot;
	uint64_t h = hash(key);

	if (m->n * 2 >= m->cap && enlarge(m) < 0)
		return -ENOMEM;
	slot = find(m, key, h);
	m->n += !slot->key;
	*slot = (struct zt_strmap_slot){key, value, h};
	return 0;
}

void zt_strmap_done(struct zt_strmap *m)
{
	free(m->v);
	*m = (struct zt_strmap){0};
}
