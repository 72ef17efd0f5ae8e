/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Allocation. All allocations of the product go through these, so that builds with
 * -DZT_FAULTS can make the Nth one fail (environment ZT_FAIL_ALLOC=N, see fault.h).
 * They return NULL on failure; callers return -ENOMEM.
 */
#include "base/macros.h"

void *zt_malloc(size_t size);
void *zt_calloc(size_t n, size_t size);
void *zt_realloc(void *p, size_t size);
char *zt_strdup(const char *s);
char *zt_strndup(const char *s, size_t n);
char *zt_asprintf(const char *fmt, ...) ZT_PRINTF(1, 2); /* NULL on failure */

#define zt_new(type, n) ((type *)zt_calloc((n), sizeof(type)))

/*
 * Growable arrays: `T *items; size_t n_items, cap;`
 * zt_grow makes room for one more than n elements; 0 or -ENOMEM (array unchanged).
 */
int zt_grow_(void **items, size_t *cap, size_t n, size_t elem_size);
#define zt_grow(items, cap, n) zt_grow_((void **)&(items), &(cap), (n), sizeof(*(items)))
