/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * memory engine: a "kernel" that is one JSON document, kept in this process or, with ZT_MEMORY_KERNEL=FILE in the environment, in that
 * file (written atomically, so that another process or a crash sees the old or the new state). It enforces nothing; the rooms above are
 * tested against it. Fault steps (base/fault.h) stand before the swap, as in the other engines.
 *
 * Document: {"instances": {NAME: {"ruleset": …, "counters": {"ID#PART": [packets, bytes]}, "damage": "…"}}, "foreign": [[family, name]]}
 *
 * What follows is for tests; each returns 0 or -errno, -ENOENT when the instance is not there.
 */
#include "engine/engine.h"

int zt_memory_set_count(const char *instance, const char *id, uint32_t part, const struct zt_count *c);
/* From now on raise gives -EUCLEAN with this message, until the next commit, load_text or flush; NULL takes it back. */
int zt_memory_set_damage(const char *instance, const char *message);
int zt_memory_add_foreign(const char *family, const char *name);
void zt_memory_set_unix(bool seen); /* of this process: as a kernel without BPF LSM. Seen at first */
void zt_memory_reset(void);	    /* forgets the state kept in this process */
