/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Against a list that is moved about in the plainest way. */
#include "common.h"

#include "base/lru.h"

enum { MAX = 50, KEYS = 120 };

static unsigned freed;

static void done(void *value)
{
	assert_true(*(uint32_t *)value != 0);
	freed++;
}

struct model {
	uint32_t key[MAX], value[MAX]; /* oldest first */
	unsigned n;
};

static int at(const struct model *m, uint32_t key)
{
	for (unsigned i = 0; i < m->n; i++)
		if (m->key[i] == key)
			return (int)i;
	return -1;
}

static void cut(struct model *m, unsigned i)
{
	m->n--;
	memmove(m->key + i, m->key + i + 1, (m->n - i) * sizeof(*m->key));
	memmove(m->value + i, m->value + i + 1, (m->n - i) * sizeof(*m->value));
}

static void push(struct model *m, uint32_t key, uint32_t value)
{
	int i = at(m, key);

	if (i >= 0)
		cut(m, (unsigned)i);
	else if (m->n == MAX)
		cut(m, 0);
	m->key[m->n] = key;
	m->value[m->n++] = value;
}

static void as_a_list(void **state)
{
	struct model m = {.n = 0};
	struct zt_lru *l = NULL;
	unsigned gone = 0;

	(void)state;
	freed = 0;
	assert_int_equal(zt_lru_new(MAX, sizeof(uint32_t), sizeof(uint32_t), done, &l), 0);
	for (uint32_t step = 1; step < 20000; step++) {
		uint32_t key = (step * 2654435761u >> 7) % KEYS, *v;
		int i = at(&m, key);

		if (step % 7 == 0) {
			zt_lru_drop(l, &key);
			if (i >= 0) {
				cut(&m, (unsigned)i);
				gone++;
			}
		} else if (step % 3 == 0) {
			v = zt_lru_get(l, &key);
			assert_true((v != NULL) == (i >= 0));
			if (v) {
				assert_int_equal(*v, m.value[i]);
				push(&m, key, m.value[i]);
			}
		} else {
			v = zt_lru_put(l, &key);
			assert_int_equal(*v, i >= 0 ? m.value[i] : 0);
			gone += i < 0 && m.n == MAX;
			*v = step;
			push(&m, key, step);
		}
		assert_int_equal(zt_lru_count(l), m.n);
		assert_int_equal(freed, gone);
	}
	assert_true(zt_lru_evicted(l) > 100);
	zt_lru_free(l);
	assert_int_equal(freed, gone + m.n);
	zt_lru_free(NULL);
}

int main(void)
{
	const struct CMUnitTest list[] = {cmocka_unit_test(as_a_list)};

	return cmocka_run_group_tests(list, NULL, NULL);
}
