/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <sys/types.h>

#include "base/macros.h"
#include "base/time.h"

/* Reads a whole regular file (or "-" = standard input), at most max bytes: -EFBIG beyond.
 * The buffer is NUL-terminated after len bytes; caller frees. */
int zt_file_read(const char *path, size_t max, char **ret, size_t *ret_len);
int zt_fd_read_all(int fd, size_t max, char **ret, size_t *ret_len);
int zt_write_all(int fd, const void *data, size_t len); /* retries EINTR and short writes */
/* Write-aside, fsync, rename, fsync of the folder. The old content stays on any failure. */
int zt_file_write_atomic(const char *path, const void *data, size_t len, mode_t mode);
/* A file that is not there yet, fsync. The folder is the caller's to sync (zt_sync_folder_of), once for all its files. */
int zt_file_write_new(const char *path, const void *data, size_t len, mode_t mode);
int zt_sync_folder_of(const char *path);
int zt_mkdir_p(const char *path, mode_t mode);
int zt_remove_tree(const char *path); /* missing is fine */
bool zt_path_exists(const char *path);
char *zt_path_join(const char *a, const char *b); /* exactly one slash between; NULL on ENOMEM */
/* Opens (creates 0600) and flock()s LOCK_EX. wait_usec 0 = try once. -EWOULDBLOCK when held by another. */
int zt_lock_acquire(const char *path, uint64_t wait_usec, int *ret_fd);

/* SHA-256 (libsodium) as 64 lower-case hex digits + NUL. */
void zt_sha256_hex(const void *data, size_t len, char out[static 65]);
/* The same of what is left to read in fd, without holding it in memory; -EFBIG beyond max bytes; -ETIME after this moment of the monotonic
 * clock, 0: whenever it is done. */
int zt_sha256_fd_hex(int fd, uint64_t max, zt_usec until, char out[static 65]);
