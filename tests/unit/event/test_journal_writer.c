/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A disk that does not answer: fsync waits until the test lets it go on. */
#include "event/journal_writer.h"
#include "journal_common.h"

#include <pthread.h>

static pthread_mutex_t disk = PTHREAD_MUTEX_INITIALIZER;
static unsigned worked;

int fdatasync(int fd)
{
	(void)fd;
	(void)pthread_mutex_lock(&disk);
	return pthread_mutex_unlock(&disk);
}

int fsync(int fd)
{
	return fdatasync(fd);
}

static void hang(bool yes)
{
	assert_int_equal(yes ? pthread_mutex_lock(&disk) : pthread_mutex_unlock(&disk), 0);
}

static struct zt_writer *begin(zt_usec commit)
{
	struct zt_journal_config c = {.now = zt_now, .commit_usec = commit};
	struct zt_writer *w = NULL;

	assert_int_equal(zt_writer_new(writer(&c), &w), 0);
	assert_int_equal(zt_writer_start(w), 0);
	return w;
}

static int put(struct zt_writer *w, enum zt_activity_kind kind, uint64_t i)
{
	struct zt_activity a;

	sample(&a, i);
	a.kind = kind;
	return zt_writer_put(w, &a);
}

static void wait_until_written(struct zt_writer *w)
{
	struct zt_writer_status s;

	do {
		(void)usleep(1000);
		zt_writer_status(w, &s);
	} while (s.late);
}

/* Without being asked, after the commit time; and then nothing more happens. */
static void written_in_time(void **state)
{
	struct zt_writer *w = begin(50000);
	struct zt_writer_status s, later;

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(put(w, ZT_ACTIVITY_CONNECT, i), 0);
	wait_until_written(w);
	zt_writer_status(w, &s);
	assert_int_equal(s.journal.records, 100);
	assert_int_equal(s.queued, 0);
	(void)usleep(200000);
	zt_writer_status(w, &later);
	assert_int_equal(later.journal.flushes, s.journal.flushes);
	assert_int_equal(zt_writer_close(w, 10 * ZT_USEC_PER_SEC), 0);
}

static uint64_t told_as_lost(struct zt_journal *j)
{
	struct zt_journal_query q = {.kinds = 1U << ZT_ACTIVITY_LOST};
	struct zt_journal_iter *it = NULL;
	struct zt_activity a;
	uint64_t id, n = 0;

	assert_int_equal(zt_journal_query(j, &q, &it), 0);
	while (zt_journal_next(it, &a, &id) == 1) {
		assert_string_equal(a.detail, "exec");
		n += a.count;
	}
	zt_journal_iter_free(it);
	return n;
}

static void disk_hangs(void **state)
{
	struct zt_writer *w = begin(10000);
	struct zt_writer_status s;
	uint64_t accepted = 0, dropped = 0;
	struct zt_journal *j;
	zt_usec began;

	(void)state;
	hang(true);
	assert_int_equal(put(w, ZT_ACTIVITY_CONNECT, 0), 0);
	assert_int_equal(zt_writer_sync(w, 50000), -ETIMEDOUT);
	began = zt_now_monotonic();
	for (uint64_t i = 0; i < 60000 && dropped < 1000; i++)
		*(put(w, ZT_ACTIVITY_EXEC, i) == 0 ? &accepted : &dropped) += 1;
	assert_int_equal(dropped, 1000);
	for (unsigned i = 0; i < 100; i++) /* what tells of attacks has room left */
		assert_int_equal(put(w, ZT_ACTIVITY_DENY, i), 0);
	zt_writer_status(w, &s);
	assert_true(zt_now_monotonic() - began < 5 * ZT_USEC_PER_SEC);
	assert_true(s.late > 50000);
	assert_true(s.queued > ZT_WRITER_QUEUE / 2 && s.queued < 2 * ZT_WRITER_QUEUE);
	assert_int_equal(s.dropped, dropped);
	hang(false);
	assert_int_equal(zt_writer_sync(w, 60 * ZT_USEC_PER_SEC), 0);
	zt_writer_status(w, &s);
	assert_int_equal(s.dropped, dropped); /* by the journal's count now */
	assert_int_equal(s.queued, 0);
	assert_int_equal(zt_writer_close(w, 60 * ZT_USEC_PER_SEC), 0);
	j = reader();
	assert_int_equal(told_as_lost(j), dropped);
	assert_intact(j, 1 + accepted + 100 + 1);
	zt_journal_close(j);
}

static void work(void *arg)
{
	(void)arg;
	worked++;
}

/* Its end is waited for so long and no longer; what was begun goes on when the disk answers. */
static void hangs_at_the_end(void **state)
{
	struct zt_journal_config c = {.keep_raw = 36500 * DAY};
	struct zt_writer *w = begin(10000);
	struct zt_journal *j = NULL;

	(void)state;
	zt_writer_work(w, work, NULL);
	assert_int_equal(zt_writer_sync(w, 10 * ZT_USEC_PER_SEC), 0);
	assert_int_equal(worked, 1);
	hang(true);
	assert_int_equal(put(w, ZT_ACTIVITY_CONNECT, 0), 0);
	assert_int_equal(zt_writer_close(w, 50000), -ETIMEDOUT);
	hang(false);
	for (unsigned i = 0; i < 100 && !j; i++) /* it has the lock until then */
		(void)zt_journal_open(path, &c, &j, NULL);
	assert_non_null(j);
	assert_int_equal(zt_journal_gap(j), 0); /* ended as it should */
	zt_journal_close(j);
	j = reader();
	assert_intact(j, 1);
	zt_journal_close(j);
}

/* What is put last is there, and what was to be done last is done, however the thread stands. */
static void ends_with_all(void **state)
{
	struct zt_journal *j;

	(void)state;
	worked = 0;
	for (unsigned i = 0; i < 50; i++) {
		struct zt_writer *w = begin(1000 + i % 7 * 100);

		for (unsigned k = 0; k < 20; k++)
			assert_int_equal(put(w, ZT_ACTIVITY_CONNECT, k), 0);
		(void)usleep(i * 37 % 1500);
		assert_int_equal(put(w, ZT_ACTIVITY_STATE, 0), 0);
		zt_writer_work(w, work, NULL);
		assert_int_equal(zt_writer_close(w, 60 * ZT_USEC_PER_SEC), 0);
		assert_int_equal(worked, i + 1);
	}
	j = reader();
	assert_intact(j, 50 * 21);
	zt_journal_close(j);
}

int main(void)
{
	const struct CMUnitTest list[] = {
		TEST(written_in_time),
		TEST(disk_hangs),
		TEST(hangs_at_the_end),
		TEST(ends_with_all),
	};

	return cmocka_run_group_tests(list, NULL, NULL);
}
