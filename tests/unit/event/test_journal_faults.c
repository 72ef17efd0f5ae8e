/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The journal when things go wrong: the writer is killed, the file is another, the disk is full, memory is short. */
#include "event/journal_parts.h"
#include "journal_common.h"

/* ---- the writer dies ---- */
enum { KILLS = 25 };

static void killed_writer(uint64_t from, int to_parent)
{
	struct zt_journal_config c = {.commit_usec = 20000, .keep_raw = 36500 * DAY};
	struct zt_journal *j = NULL;
	struct zt_activity a;

	if (zt_journal_open(path, &c, &j, NULL) < 0)
		_exit(1);
	for (uint64_t i = from;; i++) {
		uint64_t id = 0;

		sample(&a, i);
		if (zt_journal_append(j, &a, &id) < 0)
			_exit(2);
		if (i % 100 == 0 && zt_journal_flush(j) == 0 && write(to_parent, &id, sizeof(id)) != sizeof(id))
			_exit(3);
	}
}

/* Kills it at a random moment; the last id that it said was on the disk. */
static uint64_t kill_one(uint64_t from, unsigned usec)
{
	uint64_t id, last = 0;
	int pipes[2], status;
	pid_t pid;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pid = fork();
	if (!pid)
		killed_writer(from, pipes[1]);
	close(pipes[1]);
	assert_int_equal(read(pipes[0], &last, sizeof(last)), sizeof(last));
	(void)usleep(usec);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	while (read(pipes[0], &id, sizeof(id)) == sizeof(id))
		last = id;
	close(pipes[0]);
	return last;
}

static void killed(void **state)
{
	struct zt_journal_status st;
	struct zt_journal *j;
	uint64_t gaps = 0;

	(void)state;
	for (unsigned i = 0; i < KILLS; i++) {
		uint64_t last = kill_one(100 * i, i * 7919 % 20000);

		j = reader();
		assert_int_equal(zt_journal_status(j, &st), 0);
		assert_true(st.last_id >= last);
		assert_true(!st.clean && !st.written);
		assert_intact(j, st.last_id);
		zt_journal_close(j);
	}
	j = writer(&(struct zt_journal_config){.now = zt_now});
	for (unsigned i = 0; i < 2; i++) {
		gaps = count(j, &(struct zt_journal_query){.kinds = 1U << ZT_ACTIVITY_STATE, .text = "gap from "});
		assert_int_equal(gaps, KILLS);
		zt_journal_close(j); /* a clean end: no gap more */
		j = writer(&(struct zt_journal_config){.now = zt_now});
	}
	zt_journal_close(j);
}

/* ---- the power fails ---- */
/* What a disk surely has of a file is what it had at the last sync: kept beside it. These stand before those of the C library. */
static bool watched;

static void keep_synced(int fd)
{
	char link[32], name[128], copy[160], tmp[160], *data = NULL;
	size_t len = 0;
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, name, sizeof(name) - 1);
	if (!watched || n <= 0 || strncmp(name, dir, strlen(dir)) != 0)
		return;
	name[n] = '\0';
	(void)snprintf(copy, sizeof(copy), "%s.synced", name);
	(void)snprintf(tmp, sizeof(tmp), "%s.syncing", name);
	if (zt_file_read(name, 1 << 26, &data, &len) < 0)
		return; /* a folder */
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || zt_write_all(fd, data, len) < 0 || close(fd) < 0 || rename(tmp, copy) < 0)
		_exit(4);
	free(data);
}

int fdatasync(int fd)
{
	keep_synced(fd);
	return 0;
}

int fsync(int fd)
{
	keep_synced(fd);
	return 0;
}

/* The file is what the disk surely had; one that was never synced is not there. */
static void lose_the_rest(const char *suffix)
{
	char name[128], copy[160];

	(void)snprintf(name, sizeof(name), "%s%s", path, suffix);
	(void)snprintf(copy, sizeof(copy), "%s.synced", name);
	if (rename(copy, name) < 0)
		(void)unlink(name);
}

static void power_loss(void **state)
{
	struct zt_journal_status st;
	struct zt_journal *j;

	(void)state;
	watched = true;
	for (unsigned i = 0; i < 12; i++) {
		uint64_t last = kill_one(100 * i, i * 7919 % 30000);

		lose_the_rest("");
		lose_the_rest("-wal");
		lose_the_rest("-shm");
		j = writer(&(struct zt_journal_config){.now = zt_now});
		assert_int_equal(zt_journal_status(j, &st), 0);
		assert_true(st.last_id >= last); /* a flush that returned is on the disk */
		assert_intact(j, UINT64_MAX);
		zt_journal_close(j);
	}
	watched = false;
}

/* ---- what else the file may be ---- */
static void sql(const char *text)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void refused(int r, unsigned code)
{
	struct zt_journal *j = NULL;
	struct zt_diags d = {0};

	assert_int_equal(zt_journal_open(path, NULL, &j, &d), r);
	assert_null(j);
	assert_int_equal(d.errors, 1);
	assert_int_equal(d.items[0].code, code);
	zt_diags_done(&d);
}

static void other_files(void **state)
{
	struct zt_journal *j = NULL, *second;

	(void)state;
	assert_int_equal(zt_journal_open_readonly(path, &j, NULL), -ENOENT);
	j = writer(NULL);
	refused(-EBUSY, 4514);
	second = reader();
	zt_journal_close(second);
	zt_journal_close(j);
	sql("PRAGMA user_version = 2");
	refused(-EPROTONOSUPPORT, 4511);
	assert_int_equal(zt_journal_open_readonly(path, &j, NULL), -EPROTONOSUPPORT);
	assert_int_equal(unlink(path), 0);
	sql("CREATE TABLE t(x); PRAGMA user_version = 1");
	refused(-EPROTONOSUPPORT, 4512);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/dev/null", path), 0);
	refused(-ELOOP, 4510);
}

static void damaged_file(void **state)
{
	struct zt_journal *j = writer(NULL);
	char aside[128];

	(void)state;
	fill(j, 0, 3000);
	zt_journal_close(j);
	assert_int_equal(zt_file_write_atomic(path, "this is no database, whatever its name says", 43, 0600), 0);
	j = writer(NULL);
	EXPECT(1);
	EXPECT(1, .text = "damaged");
	(void)snprintf(aside, sizeof(aside), "%s.damaged", path);
	assert_true(zt_path_exists(aside));
	fill(j, 0, 100);
	assert_int_equal(zt_journal_flush(j), 0);
	assert_int_equal(unlink(path), 0); /* while it is written */
	fill(j, 100, 100);
	assert_int_equal(zt_journal_flush(j), 0);
	assert_int_equal(zt_journal_flush(j), 0);
	EXPECT(1, .text = "deleted");
	assert_true(zt_path_exists(path));
	assert_true(count(j, &(struct zt_journal_query){0}) >= 101);
	assert_intact(j, UINT64_MAX);
	zt_journal_close(j);
}

/* A chunk whose bytes were changed is passed over and counted; check finds it. */
static void damaged_chunk(void **state)
{
	struct zt_journal_findings f = {0};
	struct zt_journal_iter *it = NULL;
	struct zt_journal *j = writer(NULL);
	struct zt_activity a;
	uint64_t n = 0, id;

	(void)state;
	fill(j, 0, 6000);
	zt_journal_close(j);
	sql("UPDATE ordinary SET data = zeroblob(length(data)) WHERE first = (SELECT min(first) FROM ordinary);"
	    "UPDATE vital SET last = last + 1000000 WHERE first = (SELECT min(first) FROM vital);");
	j = reader();
	assert_int_equal(zt_journal_query(j, &(struct zt_journal_query){0}, &it), 0);
	while (zt_journal_next(it, &a, &id) == 1)
		n++;
	assert_true(n < 6000 && n > 4000);
	assert_int_equal(zt_journal_iter_damaged(it), 1);
	zt_journal_iter_free(it);
	assert_int_equal(zt_journal_check(j, &f), -EBADMSG);
	assert_int_equal(f.damaged_chunks, 2);
	zt_strbuf_done(&f.text);
	zt_journal_close(j);
}

/* ---- full disk ---- */
static void occupy(const char *filler, unsigned spare_kib)
{
	int fd = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	struct stat fs = {0};

	while (write(fd, dir, 1) == 1 && lseek(fd, 1023, SEEK_CUR) > 0 && fstat(fd, &fs) == 0)
		;
	fs.st_size = fs.st_size > (off_t)spare_kib * 1024 ? fs.st_size - (off_t)spare_kib * 1024 : 0;
	assert_int_equal(ftruncate(fd, fs.st_size), 0);
	close(fd);
}

/* There is room for the events, but not for all that has to be summed up: that is told. */
static void unsummed(unsigned flows)
{
	struct zt_journal_config c = {.now = zt_now};
	struct zt_journal_query state = {.kinds = 1U << ZT_ACTIVITY_STATE};
	struct zt_journal_iter *it = NULL;
	struct zt_journal_status st;
	struct zt_activity a;
	struct zt_journal *j;
	char filler[96], said[64];

	assert_int_equal(mount("none", dir, "tmpfs", 0, "size=48m"), 0);
	(void)snprintf(filler, sizeof(filler), "%s/filler", dir);
	j = writer(&c);
	assert_int_equal(zt_journal_flush(j), 0);
	occupy(filler, 0);
	for (unsigned i = 0; i < flows; i++) {
		sample(&a, i);
		a.kind = ZT_ACTIVITY_CONNECT;
		zt_activity_set(&a, dport, (uint16_t)(1 + i));
		assert_int_equal(zt_journal_append(j, &a, NULL), 0);
	}
	assert_int_equal(zt_journal_status(j, &st), 0);
	assert_int_equal(st.flows_dropped, flows - st.max_flow_entries);
	assert_int_equal(unlink(filler), 0);
	(void)usleep(1100000); /* the pause between two tries */
	assert_int_equal(zt_journal_flush(j), 0);
	assert_int_equal(zt_journal_flush(j), 0);
	(void)snprintf(said, sizeof(said), "%llu flows were not summed up (No space",
		       (unsigned long long)st.flows_dropped);
	assert_int_equal(zt_journal_query(j, &state, &it), 0);
	assert_int_equal(zt_journal_next(it, &a, NULL), 1);
	assert_int_equal(strncmp(a.detail, said, strlen(said)), 0);
	assert_int_equal(zt_journal_next(it, &a, NULL), 0); /* once */
	zt_journal_iter_free(it);
	zt_journal_close(j);
}

/* In a mount namespace of its own, a tmpfs that is filled by a file to leave so much. */
static void full_disk(unsigned spare_kib)
{
	struct zt_journal_config c = {.queue_bytes = 1 << 20, .commit_records = 2000, .now = zt_now};
	char filler[96];
	struct zt_journal_status st;
	struct zt_journal_query lost = {.kinds = 1U << ZT_ACTIVITY_LOST, .since = T0 + 300 * DAY};
	struct zt_journal_iter *it = NULL;
	uint64_t accepted = 0, dropped = 0, told = 0, id;
	struct zt_activity a;
	struct zt_journal *j;

	assert_int_equal(mount("none", dir, "tmpfs", 0, "size=4m"), 0);
	(void)snprintf(filler, sizeof(filler), "%s/filler", dir);
	j = writer(&c);
	fill(j, 0, 100);
	assert_int_equal(zt_journal_flush(j), 0);
	accepted = 100;
	occupy(filler, spare_kib);
	for (uint64_t i = 0; i < 120000; i++) {
		char noise[65];

		sample(&a, i);
		a.kind = i % 5 ? ZT_ACTIVITY_EXEC : ZT_ACTIVITY_CONNECT;
		make_noise(noise, sizeof(noise));
		text(&a, ZT_FIELD_args, noise);
		if (zt_journal_append(j, &a, NULL) == 0)
			accepted++;
		else
			dropped++;
	}
	for (unsigned i = 0; i < ZT_CHUNK_RECORDS - 1 - 36;
	     i++) { /* room for one more: what is lost is told across two chunks */
		zt_activity_init(&a, ZT_ACTIVITY_STATE, T0);
		assert_int_equal(zt_journal_append(j, &a, NULL), 0);
		accepted++;
	}
	assert_int_not_equal(zt_journal_flush(j), 0);
	assert_int_equal(zt_journal_status(j, &st), 0);
	assert_true(dropped > 0 && st.dropped[ZT_ACTIVITY_EXEC] + st.dropped[ZT_ACTIVITY_CONNECT] == dropped);
	assert_true(st.pending_bytes <= st.queue_bytes && st.error == -ENOSPC && st.failures > 0);
	assert_int_equal(unlink(filler), 0);
	(void)usleep(1100000); /* the pause between two tries */
	assert_int_equal(zt_journal_flush(j), 0);
	assert_int_equal(zt_journal_flush(j), 0); /* what was lost is told by now */
	assert_int_equal(zt_journal_query(j, &lost, &it), 0);
	while (zt_journal_next(it, &a, &id) == 1) {
		told += a.count;
		accepted++;
		assert_true(!strcmp(a.detail, "exec") || !strcmp(a.detail, "connect"));
		assert_true(zt_activity_has(&a, ZT_FIELD_error));
	}
	zt_journal_iter_free(it);
	assert_int_equal(told, dropped);
	assert_intact(j, accepted);
	zt_journal_close(j);
}

static int isolated(void)
{
	return unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ? -errno : 0;
}

/* In a child: its mounts go with it. */
static void in_child(void (*fn)(unsigned), unsigned arg)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (isolated() < 0)
			_exit(77);
		fn(arg);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_message("needs root: a mount namespace of its own\n");
		skip();
	}
	assert_int_equal(status, 0);
}

static void disk_is_full(void **state)
{
	(void)state;
	for (unsigned spare = 0; spare < 60; spare += 20)
		in_child(full_disk, spare);
}

static void no_room_for_flows(void **state)
{
	(void)state;
	in_child(unsummed, 17000);
}

/* Every size of disk at which opening fails, until one is large enough: an error, and the next try is as good as the first. */
static void small_disk(unsigned kib)
{
	struct zt_journal_config c = {.now = zt_now, .keep_raw = 36500 * DAY};
	struct zt_journal *j = NULL;
	char size[32];
	int r;

	(void)snprintf(size, sizeof(size), "size=%uk", kib);
	assert_int_equal(mount("none", dir, "tmpfs", 0, size), 0);
	r = zt_journal_open(path, &c, &j, NULL);
	if (!r)
		fill(j, 0, 50);
	zt_journal_close(j);
	(void)snprintf(size, sizeof(size), "size=%uk", 4096U);
	assert_int_equal(mount("none", dir, "tmpfs", MS_REMOUNT, size), 0);
	j = writer(&c);
	fill(j, 50, 50);
	assert_int_equal(zt_journal_flush(j), 0);
	assert_true(count(j, &(struct zt_journal_query){0}) >= 50);
	assert_intact(j, UINT64_MAX);
	zt_journal_close(j);
}

static void disk_is_small(void **state)
{
	(void)state;
	for (unsigned kib = 4; kib < 400; kib += 28)
		in_child(small_disk, kib);
}

static void read_only_disk(unsigned arg)
{
	struct zt_journal *j = writer(NULL);

	(void)arg;
	fill(j, 0, 100);
	zt_journal_close(j);
	assert_int_equal(mount(dir, dir, NULL, MS_BIND, NULL), 0);
	assert_int_equal(mount(NULL, dir, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), 0);
	j = reader(); /* still to be read */
	EXPECT(100);
	zt_journal_close(j);
	refused(-EROFS, 4510);
}

static void disk_is_read_only(void **state)
{
	(void)state;
	in_child(read_only_disk, 0);
}

/* ---- every write in turn ---- */
/* Every seventh of them, or each with ZT_EACH=1. */
static unsigned step(void)
{
	return getenv("ZT_EACH") ? 1 : 7;
}

enum how { NOTHING_WRITTEN, HALF_WRITTEN, FROM_THEN_ON, HOWS };
static struct {
	unsigned long at, n; /* at: 0 = none fails */
	enum how how;
	ssize_t (*pwrite64)(int fd, const void *data, size_t len, off_t at);
	ssize_t (*write)(int fd, const void *data, size_t len);
} full;

static bool is_full(void)
{
	return full.at && (++full.n == full.at || (full.how == FROM_THEN_ON && full.n > full.at));
}

static ssize_t full_pwrite(int fd, const void *data, size_t len, off_t at)
{
	if (!is_full())
		return full.pwrite64(fd, data, len, at);
	if (full.how == HALF_WRITTEN && len > 1)
		return full.pwrite64(fd, data, len / 2, at);
	errno = ENOSPC;
	return -1;
}

static ssize_t full_write(int fd, const void *data, size_t len)
{
	if (!is_full())
		return full.write(fd, data, len);
	errno = ENOSPC;
	return -1;
}

/* SQLite's own door for tests: the calls that it writes by. */
static void hook_writes(void)
{
	sqlite3_vfs *v = sqlite3_vfs_find(NULL);
	sqlite3_syscall_ptr large = v->xGetSystemCall(v, "pwrite64"), plain = v->xGetSystemCall(v, "pwrite"),
			    simple = v->xGetSystemCall(v, "write");

	full.pwrite64 = (__typeof__(full.pwrite64))(large ? large : plain);
	full.write = (__typeof__(full.write))simple;
	for (unsigned i = 0; i < 2; i++)
		(void)v->xSetSystemCall(v, i ? "pwrite" : "pwrite64", (sqlite3_syscall_ptr)full_pwrite);
	(void)v->xSetSystemCall(v, "write", (sqlite3_syscall_ptr)full_write);
}

static void fail_at(unsigned long n, enum how how)
{
	full.at = n;
	full.n = 0;
	full.how = how;
}

/* Nothing that was accepted is lost, and what was there before is as it was. false: no write failed any more. */
static bool write_fails(unsigned long n, enum how how)
{
	struct zt_journal_status st;
	struct zt_journal *j = writer(NULL);
	bool failed;
	int r;

	fill(j, 0, 1500);
	assert_int_equal(zt_journal_flush(j), 0);
	fail_at(n, how);
	fill(j, 1500, 1500);
	r = zt_journal_flush(j);
	failed = full.n >= n;
	if (r) {
		assert_int_equal(zt_journal_status(j, &st), 0);
		assert_true(failed && r == st.error && (r == -ENOSPC || r == -EIO) && st.failures == 1);
		fail_at(0, how);
		assert_intact(j, 1500); /* as a reader sees it meanwhile */
	}
	fail_at(0, how);
	zt_journal_close(j);
	j = reader();
	assert_int_equal(count(j, &(struct zt_journal_query){0}), 3000);
	assert_intact(j, 3000);
	zt_journal_close(j);
	assert_int_equal(zt_remove_tree(dir), 0);
	assert_int_equal(mkdir(dir, 0700), 0);
	return failed;
}

static void every_write_fails(void **state)
{
	(void)state;
	hook_writes();
	for (enum how how = 0; how < HOWS; how++) {
		unsigned long n = 1;

		while (write_fails(n, how))
			n += step();
		assert_true(n > 10);
	}
}

/* The making of a new journal and the adoption of one whose writer was killed. */
static bool opening_fails(unsigned long n, enum how how, bool adopt)
{
	struct zt_journal_config c = {.now = zt_now, .keep_raw = 36500 * DAY};
	struct zt_journal *j = NULL;
	bool failed;

	if (adopt)
		(void)kill_one(1500, 0);
	fail_at(n, how);
	if (zt_journal_open(path, &c, &j, NULL) == 0)
		zt_journal_close(j);
	failed = full.n >= n;
	fail_at(0, how);
	j = writer(&c);
	fill(j, 0, 50);
	zt_journal_close(j);
	j = reader();
	assert_true(count(j, &(struct zt_journal_query){0}) >= 50);
	assert_intact(j, UINT64_MAX);
	zt_journal_close(j);
	assert_int_equal(zt_remove_tree(dir), 0);
	assert_int_equal(mkdir(dir, 0700), 0);
	return failed;
}

static void every_write_of_opening_fails(void **state)
{
	(void)state;
	for (enum how how = 0; how < HOWS; how++)
		for (unsigned adopt = 0; adopt < 2; adopt++)
			for (unsigned long n = 1; opening_fails(n, how, adopt); n += step())
				;
}

/* ---- no memory ---- */
#ifdef ZT_FAULTS
static void starved(unsigned n)
{
	struct zt_journal_config c = {.now = zt_now, .keep_raw = 36500 * DAY};
	struct zt_journal *j = NULL;
	char text_of_n[16];

	(void)snprintf(text_of_n, sizeof(text_of_n), "%u", n);
	(void)setenv("ZT_FAIL_ALLOC", text_of_n, 1);
	if (zt_journal_open(path, &c, &j, NULL) == 0) {
		struct zt_journal_iter *it = NULL;
		struct zt_activity a;
		uint64_t lost = 0, id;

		for (unsigned i = 0; i < 3000; i++) {
			sample(&a, i);
			lost += zt_journal_append(j, &a, NULL) < 0;
		}
		assert_true(lost <= 1024);
		(void)zt_journal_flush(j);
		if (zt_journal_query(j, &(struct zt_journal_query){0}, &it) == 0)
			while (zt_journal_next(it, &a, &id) == 1)
				;
		zt_journal_iter_free(it);
	}
	zt_journal_close(j);
	(void)unsetenv("ZT_FAIL_ALLOC");
	zt_journal_close(writer(NULL)); /* whatever was left can be adopted */
	j = reader();
	assert_intact(j, UINT64_MAX);
	zt_journal_close(j);
	assert_int_equal(zt_remove_tree(dir), 0);
}

static void no_memory(void **state)
{
	(void)state;
	for (unsigned n = 1; n < 120; n += 20 < n ? step() : 1)
		in_child(starved, n); /* it removes what it made */
}
#endif

int main(void)
{
	const struct CMUnitTest list[] = {
		TEST(killed),
		TEST(power_loss),
		TEST(other_files),
		TEST(damaged_file),
		TEST(damaged_chunk),
		TEST(disk_is_full),
		TEST(no_room_for_flows),
		TEST(disk_is_small),
		TEST(disk_is_read_only),
		TEST(every_write_fails),
		TEST(every_write_of_opening_fails),
#ifdef ZT_FAULTS
		TEST(no_memory),
#endif
	};

	return cmocka_run_group_tests(list, NULL, NULL);
}
