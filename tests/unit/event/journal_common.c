/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "journal_common.h"

char dir[64], path[96];
zt_usec fake_now;

zt_usec clock_of_test(void)
{
	return fake_now;
}

int setup(void **state)
{
	(void)state;
	(void)strcpy(dir, "/tmp/zt-journal-XXXXXX");
	fake_now = T0;
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/journal/events.db", dir);
	return 0;
}

int teardown(void **state)
{
	(void)state;
	return zt_remove_tree(dir);
}

struct zt_journal *writer(const struct zt_journal_config *c)
{
	struct zt_journal_config own = c ? *c : (struct zt_journal_config){0};
	struct zt_journal *j = NULL;
	struct zt_diags d = {0};

	own.now = own.now ? own.now : clock_of_test;
	own.keep_raw = own.keep_raw ? own.keep_raw : 36500 * DAY;
	if (zt_journal_open(path, &own, &j, &d) < 0)
		zt_diags_print(&d, stderr, false);
	assert_non_null(j);
	zt_diags_done(&d);
	return j;
}

struct zt_journal *reader(void)
{
	struct zt_journal *j = NULL;

	assert_int_equal(zt_journal_open_readonly(path, &j, NULL), 0);
	return j;
}

void text(struct zt_activity *a, enum zt_field f, const char *s)
{
	zt_activity_text_(a, f, s, strlen(s));
}

void set_addr(struct zt_activity *a, enum zt_field f, const char *s)
{
	assert_int_equal(zt_addr_parse(s, (struct zt_addr *)((char *)a + zt_field_info(f)->offset)), 0);
	a->has |= UINT64_C(1) << f;
}

/* The i-th of a stream as a host makes it: kinds in turn, twenty programs, some thousand peers. */
void sample(struct zt_activity *a, uint64_t i)
{
	char b[128];

	zt_activity_init(a, (enum zt_activity_kind)(i % ZT_ACTIVITY_KINDS), T0 + i * 1000);
	zt_activity_set(a, pid, (uint32_t)(1000 + i % 5000));
	zt_activity_set(a, start, 100000 + i);
	zt_activity_set(a, uid, (uint32_t)(1000 + i % 7));
	zt_activity_set(a, gid, (uint32_t)(1000 + i % 7));
	(void)snprintf(b, sizeof(b), "/usr/bin/program-%u", (unsigned)(i % 20));
	text(a, ZT_FIELD_exe, b);
	text(a, ZT_FIELD_comm, "program");
	(void)snprintf(b, sizeof(b), "unit-%u.service", (unsigned)(i % 5));
	text(a, ZT_FIELD_service, b);
	(void)snprintf(b, sizeof(b), "/system.slice/unit-%u.service", (unsigned)(i % 5));
	text(a, ZT_FIELD_cgroup, b);
	text(a, ZT_FIELD_digest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	text(a, ZT_FIELD_parents, "sh[812] sshd[801] sshd[700] systemd[1]");
	set_addr(a, ZT_FIELD_src, "10.0.0.1");
	set_addr(a, ZT_FIELD_dst, "10.0.1.0");
	a->dst.b[3] = (uint8_t)(i * 7 % 200);
	a->dst.b[2] = (uint8_t)(i % 11);
	zt_activity_set(a, sport, (uint16_t)(32768 + i % 20000));
	zt_activity_set(a, dport, (uint16_t)(i % 3 ? 443 : 5432));
	zt_activity_set(a, protocol, 6);
}

void fill(struct zt_journal *j, uint64_t from, uint64_t n)
{
	struct zt_activity a;

	for (uint64_t i = from; i < from + n; i++) {
		sample(&a, i);
		assert_int_equal(zt_journal_append(j, &a, NULL), 0);
	}
}

void same(const struct zt_activity *a, const struct zt_activity *b)
{
	struct zt_strbuf x = {0}, y = {0};

	zt_activity_pack(a, &x);
	zt_activity_pack(b, &y);
	assert_int_equal(x.len, y.len);
	assert_memory_equal(x.buf, y.buf, x.len);
	zt_strbuf_done(&x);
	zt_strbuf_done(&y);
}

void assert_intact(struct zt_journal *j, uint64_t records)
{
	struct zt_journal_findings f = {0};
	int r = zt_journal_check(j, &f);

	if (r)
		print_error("check: %d, %s, %lu damaged, %lu miscounted, %lu orphans\n", r, zt_strbuf_cstr(&f.text),
			    f.damaged_chunks, f.miscounted, f.orphans);
	assert_int_equal(r, 0);
	if (records != UINT64_MAX)
		assert_int_equal(f.records, records);
	zt_strbuf_done(&f.text);
}

uint64_t count(struct zt_journal *j, const struct zt_journal_query *q)
{
	struct zt_journal_iter *it = NULL;
	struct zt_activity a;
	uint64_t n = 0, id, before = q->reverse ? UINT64_MAX : 0;
	int r;

	assert_int_equal(zt_journal_query(j, q, &it), 0);
	while ((r = zt_journal_next(it, &a, &id)) > 0) {
		assert_true(q->reverse ? id < before : id > before);
		assert_true(zt_journal_match(q, &a));
		before = id;
		n++;
	}
	assert_int_equal(r, 0);
	assert_int_equal(zt_journal_iter_damaged(it), 0);
	zt_journal_iter_free(it);
	return n;
}

/* What no compression makes small. */
void make_noise(char *out, size_t size)
{
	static uint64_t x = 88172645463325252U;

	for (size_t i = 0; i + 1 < size; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		out[i] = (char)('0' + x % 64);
	}
	out[size - 1] = '\0';
}

uint64_t size_of(const char *suffix)
{
	char name[128];
	struct stat st;

	(void)snprintf(name, sizeof(name), "%s%s", path, suffix);
	return stat(name, &st) == 0 ? (uint64_t)st.st_size : 0;
}
