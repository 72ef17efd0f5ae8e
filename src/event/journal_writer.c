/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "event/journal_writer.h"

#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "event/journal_parts.h"

enum { WAKE_AT = ZT_WRITER_QUEUE / 8 };

struct half { /* records: length, zt_activity_pack() */
	uint8_t *data;
	size_t len;
};

struct zt_writer {
	struct zt_journal *j; /* of the thread */
	struct half own;      /* of the thread, while it writes */
	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t wake, done;
	bool started, stop, ended, abandoned;
	struct half fill;
	size_t taken;  /* bytes that the journal got since the status was made */
	zt_usec since; /* monotonic: of the first record that is not on the disk; 0: all are */
	uint64_t dropped[ZT_ACTIVITY_KINDS], told[ZT_ACTIVITY_KINDS]; /* told: to the journal */
	uint64_t counted;					      /* of all kinds, that status has */
	uint64_t asked, synced;					      /* flushes */
	int error;						      /* of the last */
	void (*work)(void *arg);
	void *work_arg;
	struct zt_journal_status status;

	struct zt_strbuf packed; /* of the caller */
};

static void destroy(struct zt_writer *w)
{
	(void)pthread_cond_destroy(&w->wake); /* nobody uses them any more */
	(void)pthread_cond_destroy(&w->done);
	(void)pthread_mutex_destroy(&w->lock);
	zt_strbuf_done(&w->packed);
	free(w->own.data);
	free(w->fill.data);
	free(w);
}

int zt_writer_new(struct zt_journal *j, struct zt_writer **ret)
{
	struct zt_writer *w = zt_new(struct zt_writer, 1);
	pthread_condattr_t attr;

	if (!w)
		return -ENOMEM;
	(void)pthread_condattr_init(&attr); /* these do not fail in the GNU C library */
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&w->wake, &attr);
	(void)pthread_cond_init(&w->done, &attr);
	(void)pthread_condattr_destroy(&attr);
	(void)pthread_mutex_init(&w->lock, NULL);
	w->own.data = zt_malloc(ZT_WRITER_QUEUE);
	w->fill.data = zt_malloc(ZT_WRITER_QUEUE);
	if (!w->own.data || !w->fill.data) {
		destroy(w);
		return -ENOMEM;
	}
	w->j = j;
	(void)zt_journal_status(j, &w->status); /* what it was opened with; zero else */
	*ret = w;
	return 0;
}

static struct timespec timespec_of(zt_usec t)
{
	return (struct timespec){.tv_sec = (time_t)(t / ZT_USEC_PER_SEC),
				 .tv_nsec = (long)(t % ZT_USEC_PER_SEC) * 1000};
}

/* ---- the thread ---- */
static zt_usec flush_at(const struct zt_writer *w)
{
	zt_usec at = w->since ? w->since + w->j->c.commit_usec : UINT64_MAX;

	return w->error && at != UINT64_MAX ? ZT_MAX(at, zt_journal_due(w->j)) : at;
}

static bool wanted(const struct zt_writer *w)
{
	return w->stop || w->work || w->asked != w->synced || w->fill.len >= WAKE_AT ||
	       zt_now_monotonic() >= flush_at(w);
}

static void await(struct zt_writer *w)
{
	while (!wanted(w)) {
		zt_usec at = flush_at(w);
		struct timespec t = timespec_of(at);

		if (at == UINT64_MAX)
			(void)pthread_cond_wait(&w->wake, &w->lock);
		else
			(void)pthread_cond_timedwait(&w->wake, &w->lock, &t); /* its time has come, or it was woken */
	}
}

static void append_all(struct zt_writer *w)
{
	struct zt_activity a;
	uint32_t len;

	for (size_t at = 0; at < w->own.len; at += len) {
		memcpy(&len, w->own.data + at, sizeof(len));
		at += sizeof(len);
		if (zt_activity_unpack(w->own.data + at, len, &a) == 0) /* what was packed can be */
			(void)zt_journal_append(w->j, &a, NULL);	/* dropped: counted */
	}
	w->own.len = 0;
}

/* With the lock, which is given away meanwhile. */
static void round_of(struct zt_writer *w)
{
	bool flush = w->stop || w->asked != w->synced || zt_now_monotonic() >= flush_at(w);
	uint64_t asked = w->asked, lost[ZT_ACTIVITY_KINDS];
	zt_usec began = zt_now_monotonic();
	struct half full = w->fill;
	void (*work)(void *arg) = w->work;
	void *arg = w->work_arg;
	struct zt_journal_status s;
	uint64_t told = 0;
	int r = 0;

	w->fill = w->own;
	w->own = full;
	w->taken += full.len;
	w->work = NULL;
	for (unsigned k = 0; k < ZT_ACTIVITY_KINDS; k++) {
		lost[k] = w->dropped[k] - w->told[k];
		w->told[k] = w->dropped[k];
		told += w->told[k];
	}
	s = w->status;
	(void)pthread_mutex_unlock(&w->lock);
	if (work)
		work(arg);
	append_all(w);
	for (unsigned k = 0; k < ZT_ACTIVITY_KINDS; k++)
		zt_journal_lost(w->j, (enum zt_activity_kind)k, lost[k]);
	if (flush) {
		r = zt_journal_flush(w->j);
		r = r ?: zt_journal_due(w->j) == UINT64_MAX ? r : zt_journal_flush(w->j); /* what it tells of losses */
		(void)zt_journal_status(w->j, &s); /* the one of before, where the disk does not answer */
	}
	(void)pthread_mutex_lock(&w->lock);
	if (!flush)
		return;
	w->status = s;
	w->taken = 0;
	w->counted = told;
	w->error = r;
	w->synced = asked;
	if (!r)
		w->since = w->fill.len ? began : 0;
	(void)pthread_cond_broadcast(&w->done);
}

static void *run(void *arg)
{
	struct zt_writer *w = arg;
	bool last = false, abandoned;

	(void)pthread_mutex_lock(&w->lock);
	while (!last) {
		await(w);
		last = w->stop; /* what was put before is written in this round */
		round_of(w);
	}
	(void)pthread_mutex_unlock(&w->lock);
	zt_journal_close(w->j);
	(void)pthread_mutex_lock(&w->lock);
	w->ended = true;
	abandoned = w->abandoned;
	(void)pthread_cond_broadcast(&w->done);
	(void)pthread_mutex_unlock(&w->lock);
	if (abandoned)
		destroy(w);
	return NULL;
}

int zt_writer_start(struct zt_writer *w)
{
	int r = pthread_create(&w->thread, NULL, run, w);

	w->started = !r;
	return -r;
}

/* ---- the caller ---- */
int zt_writer_put(struct zt_writer *w, const struct zt_activity *a)
{
	size_t limit = ZT_VITAL_KINDS >> a->kind & 1 ? ZT_WRITER_QUEUE : ZT_WRITER_QUEUE / 4 * 3;
	uint32_t len;
	bool wake, fits;

	zt_strbuf_clear(&w->packed);
	zt_activity_pack(a, &w->packed);
	len = (uint32_t)w->packed.len;
	(void)pthread_mutex_lock(&w->lock);
	fits = !zt_strbuf_error(&w->packed) && w->fill.len + sizeof(len) + len <= limit;
	wake = !w->since || (w->fill.len < WAKE_AT && w->fill.len + sizeof(len) + len >= WAKE_AT);
	if (!w->since)
		w->since = zt_now_monotonic();
	if (fits) {
		memcpy(w->fill.data + w->fill.len, &len, sizeof(len));
		memcpy(w->fill.data + w->fill.len + sizeof(len), w->packed.buf, len);
		w->fill.len += sizeof(len) + len;
	} else {
		w->dropped[a->kind]++;
	}
	if (wake)
		(void)pthread_cond_signal(&w->wake);
	(void)pthread_mutex_unlock(&w->lock);
	return fits ? 0 : -ENOBUFS;
}

void zt_writer_work(struct zt_writer *w, void (*fn)(void *arg), void *arg)
{
	(void)pthread_mutex_lock(&w->lock);
	w->work = fn;
	w->work_arg = arg;
	(void)pthread_cond_signal(&w->wake);
	(void)pthread_mutex_unlock(&w->lock);
}

int zt_writer_sync(struct zt_writer *w, zt_usec max)
{
	struct timespec end = timespec_of(zt_now_monotonic() + max);
	uint64_t mine;
	int r = 0;

	(void)pthread_mutex_lock(&w->lock);
	mine = ++w->asked;
	(void)pthread_cond_signal(&w->wake);
	while (w->synced < mine && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&w->done, &w->lock, &end);
	r = w->synced < mine ? -ETIMEDOUT : w->error;
	(void)pthread_mutex_unlock(&w->lock);
	return r;
}

void zt_writer_status(struct zt_writer *w, struct zt_writer_status *ret)
{
	(void)pthread_mutex_lock(&w->lock);
	*ret = (struct zt_writer_status){.journal = w->status, .queued = w->fill.len + w->taken};
	for (unsigned k = 0; k < ZT_ACTIVITY_KINDS; k++)
		ret->dropped += w->dropped[k] + w->status.dropped[k];
	ret->dropped -= w->counted;
	ret->late = w->since ? zt_now_monotonic() - w->since : 0;
	(void)pthread_mutex_unlock(&w->lock);
}

int zt_writer_close(struct zt_writer *w, zt_usec max)
{
	struct timespec end = timespec_of(zt_now_monotonic() + max);
	bool ended;
	int r = 0;

	if (!w)
		return 0;
	if (!w->started)
		(void)zt_writer_start(w); /* writes what is left; where it cannot: lost with all else */
	(void)pthread_mutex_lock(&w->lock);
	w->stop = true;
	(void)pthread_cond_signal(&w->wake);
	while (w->started && !w->ended && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&w->done, &w->lock, &end);
	if (w->started && !w->ended)
		(void)pthread_detach(w->thread);
	ended = w->ended || !w->started;
	w->abandoned = !ended;
	(void)pthread_mutex_unlock(&w->lock);
	if (!ended)
		return -ETIMEDOUT;
	if (w->started)
		(void)pthread_join(w->thread, NULL); /* it has ended */
	else
		zt_journal_close(w->j);
	destroy(w);
	return 0;
}
