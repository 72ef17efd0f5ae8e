/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* A journal in a folder of its own, and what is put into it. */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "event/journal.h"

#define T0 UINT64_C(1735293600000000) /* 2024-12-27T10:00:00Z */
#define DAY (86400 * ZT_USEC_PER_SEC)
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define EXPECT(n, ...) assert_int_equal(count(j, &(struct zt_journal_query){__VA_ARGS__}), n)

extern char dir[64], path[96];
extern zt_usec fake_now; /* what the journals of writer() take for now */

zt_usec clock_of_test(void);
int setup(void **state);
int teardown(void **state);
struct zt_journal *writer(const struct zt_journal_config *c);
struct zt_journal *reader(void);
void text(struct zt_activity *a, enum zt_field f, const char *s);
void set_addr(struct zt_activity *a, enum zt_field f, const char *s);
void sample(struct zt_activity *a, uint64_t i);
void fill(struct zt_journal *j, uint64_t from, uint64_t n);
void same(const struct zt_activity *a, const struct zt_activity *b);
void assert_intact(struct zt_journal *j, uint64_t records);
uint64_t count(struct zt_journal *j, const struct zt_journal_query *q);
void make_noise(char *out, size_t size);
uint64_t size_of(const char *suffix);
