/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * A table of bounded size: fixed-size keys (compared as bytes: no padding that is not set) to fixed-size values. When it is full, the entry that was longest not looked up
 * goes. Memory is allocated once. Hashing is keyed per table (SipHash-2-4 of libsodium), so that what hostile processes choose cannot make it slow.
 */
#include "base/macros.h"

struct zt_lru;
/* done (may be NULL) frees what a value holds, when it goes. */
int zt_lru_new(uint32_t max, size_t key_size, size_t value_size, void (*done)(void *value), struct zt_lru **ret);
void zt_lru_free(struct zt_lru *l);
void zt_lru_freep(struct zt_lru **l);
void *zt_lru_get(struct zt_lru *l, const void *key); /* NULL: not there; else it is the youngest now */
/* The value of key, made with zero bytes when it was not there. The pointer holds until the next put or drop. */
void *zt_lru_put(struct zt_lru *l, const void *key);
void zt_lru_drop(struct zt_lru *l, const void *key);
uint32_t zt_lru_count(const struct zt_lru *l);
uint64_t zt_lru_evicted(const struct zt_lru *l);
