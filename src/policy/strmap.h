/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Strings to pointers, open addressing. Keys and values are borrowed. */
#include "base/macros.h"

struct zt_strmap_slot {
	const char *key;
	void *value;
	uint64_t hash;
};
struct zt_strmap {
	struct zt_strmap_slot *v;
	size_t n, cap;
};

void *zt_strmap_get(const struct zt_strmap *m, const char *key);
int zt_strmap_put(struct zt_strmap *m, const char *key, void *value); /* replaces; 0 or -ENOMEM */
void zt_strmap_done(struct zt_strmap *m);
