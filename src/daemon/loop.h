/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The one loop of the daemon: descriptors (epoll), timers, signals (signalfd). Single-threaded; callbacks run one after another and must not
 * block. A callback may add and remove anything, itself included: what was removed is not called any more, also where its
 * event had been fetched already.
 *
 * Timers live in their owners' structs and cost no descriptor: the nearest one bounds the wait. An idle loop without timers never wakes.
 */
#include <signal.h>
#include <sys/epoll.h>

#include "base/time.h"

enum { ZT_LOOP_MAX = 256 }; /* descriptors */

struct zt_loop;
typedef void (*zt_loop_fn)(void *arg, uint32_t events); /* events: EPOLLIN … */

int zt_loop_new(struct zt_loop **ret);
void zt_loop_free(struct zt_loop *l); /* closes no descriptor of others */
void zt_loop_freep(struct zt_loop **l);

/* fd stays the caller's and must be removed before it is closed. -ENOSPC beyond ZT_LOOP_MAX, -EEXIST. */
int zt_loop_add(struct zt_loop *l, int fd, uint32_t events, zt_loop_fn fn, void *arg);
int zt_loop_change(struct zt_loop *l, int fd, uint32_t events);
void zt_loop_remove(struct zt_loop *l, int fd); /* unknown: nothing */
size_t zt_loop_used(const struct zt_loop *l);

struct zt_timer { /* zeroed, then zt_timer_init() */
	struct zt_loop *loop;
	struct zt_timer *next;
	zt_usec at; /* CLOCK_MONOTONIC; 0 = off */
	void (*fn)(void *arg);
	void *arg;
};
void zt_timer_init(struct zt_timer *t, struct zt_loop *l, void (*fn)(void *arg), void *arg);
void zt_timer_set(struct zt_timer *t, zt_usec after);	    /* once, so many microseconds from now; again: moved */
void zt_timer_set_early(struct zt_timer *t, zt_usec after); /* the same, but never later than it is set already */
void zt_timer_stop(struct zt_timer *t);
static inline bool zt_timer_on(const struct zt_timer *t)
{
	return t->at;
}

/* Blocks the signals of set in this process and calls fn for each that comes. Once a loop. */
int zt_loop_signals(struct zt_loop *l, const sigset_t *set, void (*fn)(void *arg, int sig), void *arg);

/* Until zt_loop_stop(). 0 or -errno of the wait itself. */
int zt_loop_run(struct zt_loop *l);
/* One round: waits at most `max` (UINT64_MAX: for ever). For tests, and run. */
int zt_loop_step(struct zt_loop *l, zt_usec max);
void zt_loop_stop(struct zt_loop *l);
