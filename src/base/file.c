/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "base/time.h"

int zt_fd_read_all(int fd, size_t max, char **ret, size_t *ret_len)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	char chunk[65536];

	for (;;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		if (b.len + (size_t)n > max)
			return -EFBIG;
		zt_strbuf_add(&b, chunk, (size_t)n);
	}
	if (zt_strbuf_error(&b))
		return -ENOMEM;
	*ret_len = b.len;
	*ret = zt_strbuf_steal(&b);
	return *ret ? 0 : -ENOMEM;
}

int zt_file_read(const char *path, size_t max, char **ret, size_t *ret_len)
{
	ZT_CLOSE int fd = -1;
	struct stat st;

	if (!strcmp(path, "-"))
		return zt_fd_read_all(STDIN_FILENO, max, ret, ret_len);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	return zt_fd_read_all(fd, max, ret, ret_len);
}

int zt_write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

#ifdef ZT_FAULTS
	if (zt_fault_write())
		return -ENOSPC;
#endif
	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int open_folder_of(const char *path, int *ret_fd)
{
	const char *slash = strrchr(path, '/');
	ZT_FREE char *folder = slash ? zt_strndup(path, slash == path ? 1 : (size_t)(slash - path)) : zt_strdup(".");
	int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd < 0)
		return folder ? -errno : -ENOMEM;
	*ret_fd = fd;
	return 0;
}

int zt_sync_folder_of(const char *path)
{
	ZT_CLOSE int fd = -1;
	int r = open_folder_of(path, &fd);

	return r ?: fsync(fd) < 0 ? -errno : 0;
}

int zt_file_write_new(const char *path, const void *data, size_t len, mode_t mode)
{
	ZT_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	int r;

	if (fd < 0)
		return -errno;
	r = fchmod(fd, mode) < 0 ? -errno : zt_write_all(fd, data, len);
	if (!r && fsync(fd) < 0)
		r = -errno;
	if (close(ZT_TAKE_FD(fd)) < 0 && !r)
		r = -errno;
	return r;
}

int zt_file_write_atomic(const char *path, const void *data, size_t len, mode_t mode)
{
	ZT_FREE char *tmp = zt_asprintf("%s.%d.tmp", path, (int)getpid());
	ZT_CLOSE int folder = -1;
	/* Everything that can fail comes before the rename. */
	int r = tmp ? open_folder_of(path, &folder) : -ENOMEM;

	if (r < 0)
		return r;
	(void)unlink(tmp); /* of an earlier process with our number */
	r = zt_file_write_new(tmp, data, len, mode);
	if (!r && rename(tmp, path) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlink(tmp);
		return r;
	}
	return fsync(folder) < 0 ? -errno : 0;
}

int zt_mkdir_p(const char *path, mode_t mode)
{
	ZT_FREE char *copy = zt_strdup(path);

	if (!copy)
		return -ENOMEM;
	for (char *p = copy; *p; p++) {
		if (*p != '/' || p == copy)
			continue;
		*p = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return mkdir(copy, mode) < 0 && errno != EEXIST ? -errno : 0;
}

static int remove_at(int parent, const char *name, unsigned depth)
{
	DIR *dir;
	struct dirent *e;
	int fd, r = 0;

	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM && errno != ENOTEMPTY)
		return -errno;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir || depth > 64) {
		r = dir ? -ELOOP : -errno;
		if (dir)
			(void)closedir(dir);
		else if (fd >= 0)
			(void)close(fd);
		return r;
	}
	while (!r && (e = readdir(dir)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = remove_at(fd, e->d_name, depth + 1);
	(void)closedir(dir); /* only read */
	if (!r && unlinkat(parent, name, AT_REMOVEDIR) < 0)
		r = -errno;
	return r;
}

int zt_remove_tree(const char *path)
{
	return remove_at(AT_FDCWD, path, 0);
}

bool zt_path_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

char *zt_path_join(const char *a, const char *b)
{
	size_t la = strlen(a);

	while (la && a[la - 1] == '/')
		la--;
	while (*b == '/')
		b++;
	return zt_asprintf("%.*s/%s", (int)la, a, b);
}

int zt_lock_acquire(const char *path, uint64_t wait_usec, int *ret_fd)
{
	ZT_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	zt_usec deadline = zt_now_monotonic() + wait_usec;

	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};

		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (zt_now_monotonic() >= deadline)
			return -EWOULDBLOCK;
		(void)nanosleep(&pause, NULL); /* woken early is fine */
	}
	*ret_fd = ZT_TAKE_FD(fd);
	return 0;
}

void zt_sha256_hex(const void *data, size_t len, char out[static 65])
{
	unsigned char digest[crypto_hash_sha256_BYTES];

	(void)crypto_hash_sha256(digest, data, len); /* always 0 */
	(void)sodium_bin2hex(out, 65, digest, sizeof(digest));
}

int zt_sha256_fd_hex(int fd, uint64_t max, zt_usec until, char out[static 65])
{
	unsigned char digest[crypto_hash_sha256_BYTES], chunk[65536];
	crypto_hash_sha256_state state;
	uint64_t total = 0;
	ssize_t n;

	(void)crypto_hash_sha256_init(&state); /* always 0, as the next two */
	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		total += (uint64_t)n;
		if (total > max)
			return -EFBIG;
		if (until && zt_now_monotonic() > until)
			return -ETIME;
		(void)crypto_hash_sha256_update(&state, chunk, (size_t)n);
	}
	(void)crypto_hash_sha256_final(&state, digest);
	(void)sodium_bin2hex(out, 65, digest, sizeof(digest));
	return 0;
}
