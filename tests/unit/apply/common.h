/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What the tests of src/apply share: a state folder and a kernel in memory (ZT_MEMORY_KERNEL, so that processes share it), both in one
 * temporary folder, and small policies. Nothing here touches a real kernel.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "apply/state.h"
#include "base/file.h"
#include "base/mem.h"
#include "engine/memory/memory.h"

struct room {
	char dir[64]; /* in /dev/shm or /tmp */
	char state[80];
	struct zt_apply_ctx ctx;
	struct zt_diags d;
};

void room_open(struct room *r);	  /* a fresh one, made the place of the memory engine's kernel */
void room_close(struct room *r);  /* removes it */
void room_forget(struct room *r); /* drops the diagnostics gathered so far */
char *room_path(const struct room *r, const char *fmt, ...) ZT_PRINTF(2, 3); /* in the state folder */
bool room_said(const struct room *r, unsigned code);

/* Denies all but TCP of uid to 192.0.2.1:443. Owned by the caller. */
struct zt_ruleset *make_rules(const struct room *r, unsigned uid);
char *make_text(unsigned uid);
/* Applies it; the result of zt_apply(). */
int apply_uid(struct room *r, unsigned uid, const struct zt_apply_options *o, struct zt_apply_result *ret);
void must_apply(struct room *r, unsigned uid);
#define EMERGENCY 911u
/* What the kernel enforces: the uid of the only rule, 0 when nothing is there, EMERGENCY; fails on anything damaged. */
unsigned enforced_uid(const struct room *r);
uint64_t enforced_generation(const struct room *r);
/* Nothing half-done is left: no journal, no backup, no temporary file, states and audit log right, no drift. */
void assert_settled(struct room *r);
/* Generations by number, "1:confirmed 2:rolled-back"; malloc'ed. */
char *states(const struct room *r);
/* The file's bytes; malloc'ed. */
char *slurp(const struct room *r, const char *name, size_t *ret_len);
void spit(const struct room *r, const char *name, const char *data, size_t len);
