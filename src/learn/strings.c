/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Each text once. What is stored was chosen by processes that may be hostile: the hash is keyed. */
#include <sodium.h>
#include <string.h>

#include "base/mem.h"
#include "learn/learn.h"

struct zt_strings {
	char **slot;
	size_t n, cap;
};

uint64_t zt_keyed_hash(const void *data, size_t n)
{
	static unsigned char key[crypto_shorthash_KEYBYTES];
	static bool keyed;
	uint64_t h;

	if (!keyed) {
		randombytes_buf(key, sizeof(key));
		keyed = true;
	}
	(void)crypto_shorthash((unsigned char *)&h, data, n, key); /* never fails */
	return h;
}

static char **find(const struct zt_strings *s, const char *text)
{
	size_t i = zt_keyed_hash(text, strlen(text)) & (s->cap - 1);

	while (s->slot[i] && strcmp(s->slot[i], text) != 0)
		i = (i + 1) & (s->cap - 1);
	return &s->slot[i];
}

static int enlarge(struct zt_strings *s)
{
	struct zt_strings bigger = {.n = s->n, .cap = s->cap ? s->cap * 2 : 256};

	bigger.slot = zt_new(char *, bigger.cap);
	if (!bigger.slot)
		return -ENOMEM;
	for (size_t i = 0; i < s->cap; i++)
		if (s->slot[i])
			*find(&bigger, s->slot[i]) = s->slot[i];
	free(s->slot);
	*s = bigger;
	return 0;
}

const char *zt_strings_get(struct zt_strings **s, const char *text)
{
	char **at;

	if (!*s && !(*s = zt_new(struct zt_strings, 1)))
		return NULL;
	if ((*s)->n * 2 >= (*s)->cap && enlarge(*s) < 0)
		return NULL;
	at = find(*s, text);
	if (!*at) {
		*at = zt_strdup(text);
		(*s)->n += *at != NULL;
	}
	return *at;
}

size_t zt_strings_count(const struct zt_strings *s)
{
	return s ? s->n : 0;
}

void zt_strings_free(struct zt_strings *s)
{
	for (size_t i = 0; s && i < s->cap; i++)
		free(s->slot[i]);
	if (s)
		free(s->slot);
	free(s);
}
