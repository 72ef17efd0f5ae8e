/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/mem.h"

static char dir[] = "/tmp/zt-file-XXXXXX";

static char *at(const char *name)
{
	static char path[4][256];
	static unsigned turn;
	char *p = path[turn++ % 4];

	(void)snprintf(p, 256, "%s/%s", dir, name);
	return p;
}

static void expect_content(const char *path, const char *want, size_t want_len)
{
	char *text = NULL;
	size_t len = 0;

	assert_int_equal(zt_file_read(path, 1 << 20, &text, &len), 0);
	assert_int_equal(len, want_len);
	assert_memory_equal(text, want, want_len + 1); /* and a NUL */
	free(text);
}

static unsigned entries(const char *path)
{
	DIR *d = opendir(path);
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n - 2;
}

static void reads(void **state)
{
	char *text = (char *)1;
	size_t len = 77;

	(void)state;
	assert_int_equal(zt_file_write_atomic(at("a"), "x\0y", 3, 0600), 0);
	expect_content(at("a"), "x\0y", 3);
	assert_int_equal(zt_file_read(at("a"), 3, &text, &len), 0);
	free(text);
	text = (char *)1;
	assert_int_equal(zt_file_read(at("a"), 2, &text, &len), -EFBIG);
	assert_int_equal(zt_file_read(at("none"), 9, &text, &len), -ENOENT);
	assert_int_equal(zt_file_read(dir, 9, &text, &len), -EISDIR);
	assert_int_equal(mkfifo(at("fifo"), 0600), 0);
	assert_int_equal(zt_file_read(at("fifo"), 9, &text, &len), -EINVAL); /* and does not wait for a writer */
	assert_int_equal(zt_file_read("/dev/zero", 9, &text, &len), -EINVAL);
	assert_ptr_equal(text, (char *)1); /* outputs are untouched on failure */
	assert_int_equal(len, 3);
	assert_int_equal(zt_file_write_atomic(at("empty"), "", 0, 0600), 0);
	expect_content(at("empty"), "", 0);
}

static void write_aside(void **state)
{
	struct stat st;
	mode_t mask = umask(077);

	(void)state;
	assert_int_equal(zt_mkdir_p(at("w"), 0700), 0);
	assert_int_equal(zt_file_write_atomic(at("w/f"), "old", 3, 0644), 0);
	(void)umask(mask);
	assert_int_equal(stat(at("w/f"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644); /* not what umask makes of it */
	assert_int_equal(zt_file_write_atomic(at("w/f"), "new", 3, 0600), 0);
	expect_content(at("w/f"), "new", 3);
	assert_int_equal(entries(at("w")), 1);
	assert_int_equal(zt_file_write_atomic(at("none/f"), "x", 1, 0600), -ENOENT);
}

/* A process that may make no file larger than four bytes meets what a full disk would be: a write that ends early. */
static void expect_full_disk(const char *path)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		struct rlimit small = {4, 4};

		if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR || setrlimit(RLIMIT_FSIZE, &small) < 0)
			_exit(1);
		_exit(zt_file_write_atomic(path, "more than four", 14, 0600) == -EFBIG ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void the_old_content_stays_when_it_fails(void **state)
{
	char *left, *text = NULL;
	size_t len;

	(void)state;
	assert_int_equal(zt_mkdir_p(at("full"), 0700), 0);
	assert_int_equal(zt_file_write_atomic(at("full/f"), "old", 3, 0600), 0);
	expect_full_disk(at("full/f"));
	expect_content(at("full/f"), "old", 3);
	assert_int_equal(entries(at("full")), 1);
	/* The place is taken by a folder, which no rename can replace. */
	assert_int_equal(zt_mkdir_p(at("full/d/x"), 0700), 0);
	assert_true(zt_file_write_atomic(at("full/d"), "new", 3, 0600) < 0);
	assert_true(zt_path_exists(at("full/d/x")));
	assert_int_equal(entries(at("full")), 2); /* nothing is left aside */
	/* What an earlier process of our number left aside is no obstacle, and a link planted there is not followed. */
	left = zt_asprintf("%s/full/f.%d.tmp", dir, (int)getpid());
	assert_int_equal(symlink(at("full/victim"), left), 0);
	assert_int_equal(zt_file_write_atomic(at("full/f"), "new", 3, 0600), 0);
	assert_false(zt_path_exists(at("full/victim")));
	assert_int_equal(zt_file_read(at("full/f"), 9, &text, &len), 0);
	assert_string_equal(text, "new");
	free(text);
	free(left);
}

static void folders(void **state)
{
	char deep[4096];
	size_t n = (size_t)snprintf(deep, sizeof(deep), "%s/deep", dir);

	(void)state;
	assert_int_equal(zt_mkdir_p(at("p/q/r"), 0755), 0);
	assert_int_equal(zt_mkdir_p(at("p/q/r"), 0755), 0);
	assert_int_equal(zt_mkdir_p(at("p/q/s/"), 0755), 0);
	assert_int_equal(zt_mkdir_p("", 0755), -ENOENT);
	assert_int_equal(zt_file_write_atomic(at("p/file"), "", 0, 0600), 0);
	assert_int_equal(zt_mkdir_p(at("p/file/x"), 0755), -ENOTDIR);
	assert_int_equal(symlink("/etc", at("p/link")), 0);
	assert_int_equal(zt_remove_tree(at("p")), 0); /* the link goes, what it points to stays */
	assert_false(zt_path_exists(at("p")));
	assert_true(zt_path_exists("/etc/passwd"));
	assert_int_equal(zt_remove_tree(at("p")), 0);
	for (int i = 0; i < 70; i++)
		n += (size_t)snprintf(deep + n, sizeof(deep) - n, "/d");
	assert_int_equal(zt_mkdir_p(deep, 0700), 0);
	assert_int_equal(zt_remove_tree(at("deep")), -ELOOP); /* a limit on what anybody can make us walk */
	assert_int_equal(zt_remove_tree(at("deep/d/d/d/d/d/d/d/d")), 0);
	assert_int_equal(zt_remove_tree(at("deep")), 0);
}

static void paths(void **state)
{
	static const char *const cases[][3] = {
		{"a", "b", "a/b"}, {"a/", "/b", "a/b"}, {"/", "b", "/b"}, {"a//", "//b", "a/b"}, {"a", "", "a/"}};

	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(cases); i++) {
		char *s = zt_path_join(cases[i][0], cases[i][1]);

		assert_string_equal(s, cases[i][2]);
		free(s);
	}
}

static void locks(void **state)
{
	int first = -1, second = -1, status;
	pid_t pid;

	(void)state;
	assert_int_equal(zt_lock_acquire(at("lock"), 0, &first), 0);
	assert_int_equal(zt_lock_acquire(at("lock"), 0, &second), -EWOULDBLOCK);
	assert_int_equal(zt_lock_acquire(at("lock"), 50000, &second), -EWOULDBLOCK);
	assert_int_equal(second, -1);
	assert_int_equal(fcntl(first, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) { /* waits until the parent lets go */
		int fd = -1;

		(void)close(first);
		_exit(zt_lock_acquire(at("lock"), 20000000, &fd) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	assert_int_equal(close(first), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(symlink("elsewhere", at("link")), 0);
	assert_int_equal(zt_lock_acquire(at("link"), 0, &second), -ELOOP); /* would create a file where a link leads */
	assert_false(zt_path_exists(at("elsewhere")));
}

static void digests(void **state)
{
	char hex[65];

	(void)state;
	zt_sha256_hex("abc", 3, hex);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	zt_sha256_hex("", 0, hex);
	assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void pipes_are_read_whole(void **state)
{
	size_t big = 300000, len = 0;
	char *text = NULL, *data = zt_malloc(big);
	int fds[2], status;
	pid_t pid;

	(void)state;
	memset(data, 'z', big);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		(void)close(fds[0]);
		_exit(zt_write_all(fds[1], data, big) == 0 ? 0 : 1); /* more than a pipe holds: short writes */
	}
	assert_int_equal(close(fds[1]), 0);
	assert_int_equal(zt_fd_read_all(fds[0], big, &text, &len), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(len, big);
	assert_memory_equal(text, data, big);
	assert_int_equal(close(fds[0]), 0);
	assert_int_equal(zt_write_all(fds[0], "x", 1), -EBADF);
	free(text);
	free(data);
}

static int begin(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	return zt_remove_tree(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads),
		cmocka_unit_test(write_aside),
		cmocka_unit_test(the_old_content_stays_when_it_fails),
		cmocka_unit_test(folders),
		cmocka_unit_test(paths),
		cmocka_unit_test(locks),
		cmocka_unit_test(digests),
		cmocka_unit_test(pipes_are_read_whole),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
