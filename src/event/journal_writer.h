/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * A journal that is written by a thread of its own: a disk that does not answer (fsync may take minutes, or never come back) keeps nobody waiting but
 * that thread.
 *
 *   who                      what                                     waits for
 *   one thread, the caller   put, work, status, late                  nothing but a short lock that is never held while the disk is used
 *   one thread, the caller   sync, close                              the disk, for as long as it says
 *   the writer's thread      append, flush, work, status of journal   the disk
 *
 *  1. The journal belongs to the writer from new to close; nobody else touches it.
 *  2. Between both is a queue of ZT_WRITER_QUEUE bytes. What it cannot take is dropped, counted by kind, and told by the journal as its own losses
 *     are, once it can write again. A quarter of it is for kinds that tell of attacks (ZT_VITAL_KINDS of journal_parts.h) alone.
 *  3. Records are on the disk a second (commit_usec) after they were put, if the disk answers, as journal.h promises it.
 *  4. The thread wakes for the first record after a flush, when the queue is large, and when a flush is due: not for each record, and never when idle.
 */
#include "event/journal.h"

enum { ZT_WRITER_QUEUE = 4 << 20 }; /* twice that: one half is filled while the other is written */

struct zt_writer;
/* Takes j over on success. The thread begins with zt_writer_start(): what a process gives up before holds for it, too. */
int zt_writer_new(struct zt_journal *j, struct zt_writer **ret);
int zt_writer_start(struct zt_writer *w);
int zt_writer_put(struct zt_writer *w, const struct zt_activity *a); /* 0; -ENOBUFS: dropped and counted */
/* fn(arg) is called by the thread soon; what was asked for before and was not begun is not done. */
void zt_writer_work(struct zt_writer *w, void (*fn)(void *arg), void *arg);
/* All that was put is on the disk: 0; or -errno; -ETIMEDOUT: not within max. */
int zt_writer_sync(struct zt_writer *w, zt_usec max);
/* As of the last flush, with what was dropped here. Never waits. */
struct zt_writer_status {
	struct zt_journal_status journal;
	uint64_t queued, dropped; /* bytes on their way to the journal; records of all kinds, here and by the journal */
	zt_usec late;		  /* for so long there is something that is not on the disk; 0: there is nothing */
};
void zt_writer_status(struct zt_writer *w, struct zt_writer_status *ret);
/* Writes what is left and closes the journal: 0, or -ETIMEDOUT: not within max. w is left to the thread then, which goes on. */
int zt_writer_close(struct zt_writer *w, zt_usec max);
