/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The journal: what goes in comes out, whatever is asked, and it stays in bounds. "test-event-journal bench [N]" measures, "write|hold FILE N" makes one. */
#include "event/journal_parts.h"
#include "journal_common.h"

#ifdef __SANITIZE_ADDRESS__
enum { MANY = 50000 };
#else
enum { MANY = 1000000 };
#endif

/* Of n samples, which are of each kind in turn. */
static uint64_t of_kinds(uint64_t n, uint32_t kinds)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < n; i++)
		count += kinds >> (i % ZT_ACTIVITY_KINDS) & 1;
	return count;
}

static void round_trip(void **state)
{
	struct zt_journal *j = writer(NULL);
	struct zt_journal_iter *it = NULL;
	struct zt_journal_status st;
	struct zt_activity a, b;
	struct stat s;
	uint64_t id;

	(void)state;
	fill(j, 0, MANY);
	zt_journal_close(j);
	j = reader();
	assert_int_equal(zt_journal_query(j, &(struct zt_journal_query){0}, &it), 0);
	for (uint64_t i = 0; i < MANY; i++) {
		assert_int_equal(zt_journal_next(it, &b, &id), 1);
		assert_int_equal(id, i + 1);
		sample(&a, i);
		same(&a, &b);
	}
	assert_int_equal(zt_journal_next(it, &b, &id), 0);
	zt_journal_iter_free(it);
	for (uint64_t i = 1; i <= MANY; i += MANY / 100) {
		assert_int_equal(zt_journal_get(j, i, &b), 0);
		sample(&a, i - 1);
		same(&a, &b);
	}
	assert_int_equal(zt_journal_get(j, MANY + 1, &b), -ENOENT);
	assert_int_equal(zt_journal_get(j, 0, &b), -ENOENT);
	assert_intact(j, MANY);
	assert_int_equal(zt_journal_status(j, &st), 0);
	assert_true(st.clean && !st.written && st.records == MANY && st.first_id == 1 && st.last_id == MANY);
	assert_int_equal(st.vital_records, of_kinds(MANY, ZT_VITAL_KINDS));
	assert_int_equal(st.oldest, T0);
	assert_int_equal(st.newest, T0 + (MANY - 1) * UINT64_C(1000));
	zt_journal_close(j);
	assert_int_equal(stat(path, &s), 0);
	assert_int_equal(s.st_mode & 0777, 0600);
	*strrchr(path, '/') = '\0';
	assert_int_equal(stat(path, &s), 0);
	assert_int_equal(s.st_mode & 0777, 0700);
}

static void queries(void **state)
{
	enum { N = 20000 };
	struct zt_journal *j = writer(NULL);
	struct zt_journal_query q;

	(void)state;
	fill(j, 0, N);
	assert_int_equal(zt_journal_flush(j), 0);
	EXPECT(N);
	EXPECT(N, .reverse = true);
	EXPECT(10, .limit = 10);
	EXPECT(10, .limit = 10, .reverse = true);
	EXPECT(N - 7000, .after = 7000);
	EXPECT(N - 7000, .after = 7000, .reverse = true);
	EXPECT(of_kinds(N, 1U << ZT_ACTIVITY_DENY), .kinds = 1U << ZT_ACTIVITY_DENY);
	EXPECT(of_kinds(N, 1U << ZT_ACTIVITY_EXEC), .kinds = 1U << ZT_ACTIVITY_EXEC, .reverse = true);
	EXPECT(of_kinds(N, 1U << ZT_ACTIVITY_EXEC | 1U << ZT_ACTIVITY_LOST),
	       .kinds = 1U << ZT_ACTIVITY_EXEC | 1U << ZT_ACTIVITY_LOST);
	EXPECT(1001, .since = T0 + 5000000, .until = T0 + 6000000);
	EXPECT(1001, .since = T0 + 5000000, .until = T0 + 6000000, .reverse = true);
	EXPECT(0, .since = T0 + N * UINT64_C(1000));
	EXPECT(1, .since = T0 + (N - 1) * UINT64_C(1000));
	EXPECT(1, .until = T0);
	EXPECT(N / 7 + 1, .has_uid = true, .uid = 1000);
	EXPECT(N / 5000, .has_pid = true, .pid = 1007);
	EXPECT(N / 20, .exe = "/usr/bin/program-3");
	EXPECT(N / 20, .exe = "program-3");
	EXPECT(0, .exe = "usr/bin/program-3");
	EXPECT(N / 5, .service = "unit-2.service");
	EXPECT(0, .service = "unit-2");
	EXPECT(0, .rule = "web");
	EXPECT(N / 3 + 1, .has_port = true, .port = 5432);
	EXPECT(1, .has_port = true, .port = 32768);
	EXPECT(N / 20, .text = "PROGRAM-19");
	EXPECT(0, .text = "nothing like it");
	q = (struct zt_journal_query){0};
	assert_int_equal(zt_addr_parse("10.0.0.1", &q.addr), 0);
	assert_int_equal(count(j, &q), N);
	assert_int_equal(zt_addr_parse("10.0.3.21", &q.addr), 0);
	assert_int_equal(count(j, &q), N / 2200 + 1);
	assert_int_equal(zt_addr_parse("::1", &q.addr), 0);
	assert_int_equal(count(j, &q), 0);
	zt_journal_close(j);
}

/* An iterator that has come to the end goes on when there is more, also when the last chunk grew. */
static void follow(void **state)
{
	struct zt_journal *w = writer(NULL), *r = reader();
	struct zt_journal_iter *it = NULL;
	struct zt_activity a, b;
	uint64_t id, want = 0;

	(void)state;
	assert_int_equal(zt_journal_query(r, &(struct zt_journal_query){0}, &it), 0);
	assert_int_equal(zt_journal_next(it, &b, &id), 0);
	for (unsigned n = 1; n < 2000; n = n * 3 + 1) {
		fill(w, want, n);
		assert_int_equal(zt_journal_next(it, &b, &id), 0); /* not flushed yet */
		assert_int_equal(zt_journal_flush(w), 0);
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(zt_journal_next(it, &b, &id), 1);
			sample(&a, want);
			same(&a, &b);
			assert_int_equal(id, ++want);
		}
		assert_int_equal(zt_journal_next(it, &b, &id), 0);
	}
	zt_journal_iter_free(it);
	assert_intact(r, want);
	zt_journal_close(r);
	zt_journal_close(w);
}

/* A clock that is set back: ids go on, times are what they are, and both are found. */
static void clock_steps(void **state)
{
	struct zt_journal *j = writer(NULL);
	struct zt_activity a;

	(void)state;
	for (unsigned i = 0; i < 5000; i++) {
		sample(&a, i);
		a.time = T0 + (i < 2500 ? 100 : 0) * ZT_USEC_PER_SEC + i % 2500 * 1000;
		assert_int_equal(zt_journal_append(j, &a, NULL), 0);
	}
	fake_now = T0 - 1000 * ZT_USEC_PER_SEC;
	assert_int_equal(zt_journal_flush(j), 0);
	EXPECT(5000);
	EXPECT(2500, .since = T0 + 50 * ZT_USEC_PER_SEC);
	EXPECT(2500, .until = T0 + 50 * ZT_USEC_PER_SEC);
	EXPECT(2500, .until = T0 + 50 * ZT_USEC_PER_SEC, .reverse = true);
	assert_intact(j, 5000);
	zt_journal_close(j);
	j = writer(NULL);
	assert_int_equal(zt_journal_append(j, &a, NULL), 0);
	assert_int_equal(zt_journal_flush(j), 0);
	EXPECT(5001);
	zt_journal_close(j);
}

/* ---- flows ---- */
struct sums {
	uint64_t rows, count, sent, received;
	struct zt_journal_flow last;
};

static int add_up(const struct zt_journal_flow *f, void *arg)
{
	struct sums *s = arg;

	s->rows++;
	s->count += f->count;
	s->sent += f->bytes_sent;
	s->received += f->bytes_received;
	s->last = *f;
	return 0;
}

static struct sums sums(struct zt_journal *j, bool sum, const struct zt_journal_query *q)
{
	struct sums s = {0};

	assert_int_equal(zt_journal_flows(j, q, sum, add_up, &s), 0);
	return s;
}

static void talk(struct zt_journal *j, enum zt_activity_kind kind, zt_usec time, const char *verdict, const char *error)
{
	struct zt_activity a;

	zt_activity_init(&a, kind, time);
	zt_activity_set(&a, pid, (uint32_t)(time % 30000)); /* not part of the key */
	zt_activity_set(&a, uid, 33);
	text(&a, ZT_FIELD_exe, "/usr/sbin/nginx");
	text(&a, ZT_FIELD_direction, "egress");
	text(&a, ZT_FIELD_name, "db.example");
	set_addr(&a, ZT_FIELD_src, "10.0.0.1");
	set_addr(&a, ZT_FIELD_dst, "10.0.0.2");
	zt_activity_set(&a, sport, (uint16_t)(time % 60000));
	zt_activity_set(&a, dport, 5432);
	zt_activity_set(&a, protocol, 6);
	text(&a, ZT_FIELD_verdict, verdict);
	text(&a, ZT_FIELD_error, error);
	if (kind == ZT_ACTIVITY_CLOSE) {
		zt_activity_set(&a, bytes_sent, 100);
		zt_activity_set(&a, bytes_received, 1000);
	}
	assert_int_equal(zt_journal_append(j, &a, NULL), 0);
}

static void flows(void **state)
{
	struct zt_journal *j = writer(NULL);
	const zt_usec minute = 60 * ZT_USEC_PER_SEC;
	struct sums s;

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		talk(j, ZT_ACTIVITY_CONNECT, T0 + i * 30 * ZT_USEC_PER_SEC, i % 2 ? "allow" : "", "");
		talk(j, ZT_ACTIVITY_CLOSE, T0 + i * 30 * ZT_USEC_PER_SEC + 5, "", "");
		if (i % 3 == 0)
			assert_int_equal(zt_journal_flush(j), 0);
	}
	talk(j, ZT_ACTIVITY_CONNECT, T0, "", "connection refused");
	talk(j, ZT_ACTIVITY_CONNECT, T0, "reject", "operation not permitted");
	talk(j, ZT_ACTIVITY_ALLOW, T0, "allow", "");
	talk(j, ZT_ACTIVITY_EXEC, T0, "", "");
	assert_int_equal(zt_journal_flush(j), 0);
	s = sums(j, false, &(struct zt_journal_query){0});
	assert_true(s.rows == 5 && s.count == 10 && s.sent == 1000 && s.received == 10000);
	s = sums(j, true, &(struct zt_journal_query){0});
	assert_true(s.rows == 1 && s.count == 10 && s.sent == 1000 && s.last.first == T0);
	assert_int_equal(s.last.last, T0 + 270 * ZT_USEC_PER_SEC + 5);
	assert_string_equal(s.last.who.name, "db.example");
	assert_string_equal(s.last.who.verdict, "allow");
	assert_int_equal(s.last.who.uid, 33);
	assert_int_equal(s.last.who.dport, 5432);
	assert_false(zt_activity_has(&s.last.who, ZT_FIELD_sport) || zt_activity_has(&s.last.who, ZT_FIELD_src));
	s = sums(j, false, &(struct zt_journal_query){.since = T0 + minute, .until = T0 + 2 * minute});
	assert_true(s.rows == 2 && s.count == 4);
	talk(j, ZT_ACTIVITY_DENY, T0, "reject", "");
	talk(j, ZT_ACTIVITY_ACCEPT, T0, "", "");
	assert_int_equal(zt_journal_flush(j), 0);
	s = sums(j, true, &(struct zt_journal_query){0}); /* accept here says egress: the same key as connect */
	assert_true(s.rows == 2 && s.count == 12);
	assert_int_equal(sums(j, true, &(struct zt_journal_query){.has_uid = true, .uid = 34}).rows, 0);
	assert_int_equal(sums(j, true, &(struct zt_journal_query){.exe = "nginx"}).rows, 2);
	assert_intact(j, UINT64_MAX);
	zt_journal_close(j);
	j = writer(&(struct zt_journal_config){.count_allowed = true}); /* the same key again, found on the disk */
	talk(j, ZT_ACTIVITY_ALLOW, T0, "allow", "");
	assert_int_equal(zt_journal_flush(j), 0);
	s = sums(j, true, &(struct zt_journal_query){0});
	assert_true(s.rows == 2 && s.count == 13);
	assert_intact(j, UINT64_MAX);
	zt_journal_close(j);
}

/* More different flows than the table in memory holds: none is lost. */
static void many_flows(void **state)
{
	struct zt_journal *j = writer(NULL);
	struct zt_activity a;
	struct sums s;

	(void)state;
	for (unsigned i = 0; i < 40000; i++) {
		zt_activity_init(&a, ZT_ACTIVITY_ACCEPT, T0 + i);
		set_addr(&a, ZT_FIELD_src, "10.0.0.0");
		memcpy(&a.src.b[1], &i, 3);
		zt_activity_set(&a, dport, 80);
		assert_int_equal(zt_journal_append(j, &a, NULL), 0);
	}
	assert_int_equal(zt_journal_flush(j), 0);
	s = sums(j, true, &(struct zt_journal_query){0});
	assert_true(s.rows == 40000 && s.count == 40000);
	assert_string_equal(s.last.who.direction, "ingress");
	assert_true(zt_activity_has(&s.last.who, ZT_FIELD_src) && !zt_activity_has(&s.last.who, ZT_FIELD_dst));
	assert_intact(j, 40000);
	zt_journal_close(j);
}

/* ---- retention ---- */
static void old_goes(void **state)
{
	struct zt_journal_config c = {.keep_raw = DAY, .keep_flows = 30 * DAY, .now = clock_of_test};
	struct zt_journal *j = writer(&c);
	struct zt_journal_status st;

	(void)state;
	fill(j, 0, 5000);
	talk(j, ZT_ACTIVITY_CONNECT, T0, "", "");
	assert_int_equal(zt_journal_flush(j), 0);
	fake_now = T0 + 2 * DAY;
	for (unsigned i = 0; i < 3; i++) {
		talk(j, ZT_ACTIVITY_CONNECT, fake_now, "", "");
		assert_int_equal(zt_journal_flush(j), 0);
	}
	EXPECT(3, .since = fake_now);
	assert_true(count(j, &(struct zt_journal_query){0}) < 1100); /* chunks go whole: one may hold old and new */
	assert_true(sums(j, true, &(struct zt_journal_query){0}).rows > 100);
	assert_intact(j, UINT64_MAX);
	fake_now = T0 + 40 * DAY;
	for (unsigned i = 0; i < 3; i++) {
		talk(j, ZT_ACTIVITY_CONNECT, fake_now, "", "");
		assert_int_equal(zt_journal_flush(j), 0);
	}
	assert_int_equal(sums(j, true, &(struct zt_journal_query){0}).rows, 1);
	assert_int_equal(sums(j, true, &(struct zt_journal_query){0}).count, 3);
	assert_int_equal(zt_journal_status(j, &st), 0);
	assert_true(st.flows == 1 && st.keys == 1);
	assert_intact(j, UINT64_MAX);
	zt_journal_close(j);
}

/* A flood of what anybody can cause pushes out its own kind; what the policy blocked stays. */
static void size_is_bounded(void **state)
{
	struct zt_journal_config c = {.max_bytes = 8 << 20, .commit_records = 4096};
	struct zt_journal *j = writer(&c);
	struct zt_activity a;
	uint64_t largest = 0;
	char noise[300];

	(void)state;
	for (unsigned i = 0; i < 500; i++)
		talk(j, ZT_ACTIVITY_DENY, T0 + i, "reject", "");
	for (uint64_t i = 0; i < 120000; i++) {
		zt_activity_init(&a, i % 50 ? ZT_ACTIVITY_OPEN : ZT_ACTIVITY_FLOW, T0 + i * 100);
		make_noise(noise, sizeof(noise));
		text(&a, ZT_FIELD_path, noise);
		zt_activity_set(&a, dport, (uint16_t)i);
		assert_int_equal(zt_journal_append(j, &a, NULL), 0);
		if (i % 1000 == 0)
			largest = ZT_MAX(largest, size_of("") + size_of("-wal"));
	}
	assert_int_equal(zt_journal_flush(j), 0);
	assert_true(largest <= c.max_bytes);
	EXPECT(500, .kinds = 1U << ZT_ACTIVITY_DENY);
	assert_true(count(j, &(struct zt_journal_query){0}) < 100000);
	assert_true(count(j, &(struct zt_journal_query){.since = T0 + 118000 * 100}) >= 2000);
	assert_int_equal(sums(j, true, &(struct zt_journal_query){0}).count, 500 + 2400); /* flows outlive records */
	assert_intact(j, UINT64_MAX);
	zt_journal_close(j);
}

/* Flows alone beyond the limit: the oldest go, the file stays below. */
static void flows_are_bounded(void **state)
{
	struct zt_journal_config c = {.max_bytes = 8 << 20};
	struct zt_journal *j = writer(&c);
	struct zt_activity a;
	struct sums s;

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		zt_activity_init(&a, ZT_ACTIVITY_ACCEPT, T0 + i * ZT_USEC_PER_SEC);
		set_addr(&a, ZT_FIELD_src, "10.0.0.0");
		memcpy(&a.src.b[1], &i, 3);
		zt_activity_set(&a, dport, 80);
		assert_int_equal(zt_journal_append(j, &a, NULL), 0);
	}
	assert_int_equal(zt_journal_flush(j), 0);
	assert_true(size_of("") + size_of("-wal") <= c.max_bytes);
	s = sums(j, true, &(struct zt_journal_query){0});
	assert_true(s.rows > 10000 && s.rows < 150000);
	assert_int_equal(
		sums(j, true, &(struct zt_journal_query){.since = T0 + UINT64_C(199000) * ZT_USEC_PER_SEC}).count,
		1040);
	assert_true(count(j, &(struct zt_journal_query){0}) > 1000); /* records keep their share */
	assert_intact(j, UINT64_MAX);
	zt_journal_close(j);
}

/* ---- how fast ---- */
static int bench(uint64_t n)
{
	struct zt_journal *j;
	struct zt_journal_status st;
	struct zt_activity *ring = zt_new(struct zt_activity, 4096);
	zt_usec start, taken;

	(void)setup(NULL);
	j = writer(NULL);
	for (uint64_t i = 0; i < 4096; i++) {
		char args[81];

		sample(&ring[i], i);
		make_noise(args, sizeof(args)); /* a command line that no other has */
		text(&ring[i], ZT_FIELD_args, args);
	}
	start = zt_now_monotonic();
	for (uint64_t i = 0; i < n; i++) {
		struct zt_activity *a = &ring[i % 4096];

		a->time = T0 + i * 5;
		a->start = i;
		(void)zt_journal_append(j, a, NULL);
		if (i % 1000 == 0)
			(void)zt_journal_tick(j);
	}
	(void)zt_journal_flush(j);
	taken = zt_now_monotonic() - start;
	(void)zt_journal_status(j, &st);
	printf("%lu activities in %.2f s: %.0f/s, %.0f bytes each on the disk (%lu MiB + log %lu MiB), %lu flushes, %lu flows, error %d\n",
	       n, (double)taken / 1e6, (double)n * 1e6 / (double)taken, (double)st.file_bytes / (double)st.records,
	       st.file_bytes >> 20, st.wal_bytes >> 20, st.flushes, st.flows, st.error);
	start = zt_now_monotonic();
	n = count(j, &(struct zt_journal_query){0});
	printf("%lu read in %.2f s\n", n, (double)(zt_now_monotonic() - start) / 1e6);
	zt_journal_close(j);
	free(ring);
	return teardown(NULL);
}

/* For tests of the command line: N activities; with "hold" the writer stays until its input ends. */
static int write_journal(const char *file, uint64_t n, bool hold)
{
	struct zt_journal *j;

	(void)snprintf(path, sizeof(path), "%s", file);
	fake_now = zt_now();
	j = writer(NULL);
	fill(j, 0, n);
	if (hold && zt_journal_flush(j) == 0)
		while (puts("written") > 0 && fflush(stdout) == 0 && getchar() != EOF)
			fill(j, n++, 1);
	zt_journal_close(j);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest list[] = {
		TEST(round_trip), TEST(queries),  TEST(follow),		 TEST(clock_steps),	  TEST(flows),
		TEST(many_flows), TEST(old_goes), TEST(size_is_bounded), TEST(flows_are_bounded),
	};

	if (argc > 1 && !strcmp(argv[1], "bench"))
		return bench(argc > 2 ? strtoull(argv[2], NULL, 10) : 2000000);
	if (argc > 3)
		return write_journal(argv[2], strtoull(argv[3], NULL, 10), !strcmp(argv[1], "hold"));
	return cmocka_run_group_tests(list, NULL, NULL);
}
