/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/time.h"
#include "identity/internal.h"

#define EXE_MAX ((uint64_t)4 << 30)
#define HEAD_SIZE 256 /* what the kernel reads of a program to tell its format (BINPRM_BUF_SIZE) */
#define TRIES 3
#define DIGEST_BYTES_PER_USEC 256
#define SETTLE_NSEC (20 * 1000 * 1000) /* time stamps of files move on by clock ticks, at most 10 ms apart */

/* By the line of a mount, so that the process that serves it is not asked. */
static bool is_fuse(const char *line)
{
	const char *type = strstr(line, " - ");

	return type && (!strncmp(type + 3, "fuse", 4) || !strncmp(type + 3, "virtiofs", 8));
}

static bool mount_device(const char *mountinfo, uint64_t mnt_id, uint64_t *ret)
{
	FILE *f = fopen(mountinfo, "re");
	char *line = NULL;
	size_t size = 0;
	bool found = false;

	while (f && !found && getline(&line, &size, f) > 0) {
		unsigned long long id;
		unsigned major, minor;

		found = sscanf(line, "%llu %*u %u:%u", &id, &major, &minor) == 3 && id == mnt_id;
		if (found)
			*ret = (uint64_t)major << 20 | minor | (is_fuse(line) ? ZT_EXE_DEV_FUSE : 0);
	}
	free(line);
	if (f)
		(void)fclose(f); /* only read */
	return found;
}

int zt_fd_identity(int fd, const char *mountinfo, struct zt_exe_seen *ret, uint32_t *ret_nlink)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID, &st) < 0)
		return -errno;
	ret->dev = (uint64_t)st.stx_dev_major << 20 | st.stx_dev_minor;
	if (st.stx_mask & STATX_MNT_ID && (!mountinfo || !mount_device(mountinfo, st.stx_mnt_id, &ret->dev)))
		(void)mount_device("/proc/self/mountinfo", st.stx_mnt_id, &ret->dev); /* else st_dev it is */
	ret->ino = st.stx_ino;
	ret->ctime_sec = st.stx_ctime.tv_sec;
	ret->ctime_nsec = st.stx_ctime.tv_nsec;
	if (ret_nlink)
		*ret_nlink = st.stx_nlink;
	return 0;
}

/* Of one that is asked for by its plain number as well. */
static bool same_device(uint64_t a, uint64_t b)
{
	return ((a ^ b) & ~(uint64_t)ZT_EXE_DEV_FUSE) == 0;
}

/* Absolute links of another root stay inside it. */
static int open_below(const char *root, const char *path, int flags)
{
	struct open_how how = {.flags = (uint64_t)flags | O_CLOEXEC,
			       .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	ZT_CLOSE int dir = -1;
	int fd;

	if (!root)
		fd = open(path, flags | O_CLOEXEC);
	else if ((dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC)) >= 0)
		fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
	else
		fd = -1;
	return fd < 0 ? -errno : fd;
}

/* By way of O_PATH: to open a device or a FIFO would already do something. */
static int open_program(const char *root, const char *path)
{
	int opened = open_below(root, path, O_PATH), fd;
	ZT_CLOSE int at = opened < 0 ? -1 : opened;
	char link[64];
	struct stat st;

	if (opened < 0)
		return opened;
	if (fstat(at, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", at);
	fd = open(link, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

/* ---- scripts ---- */
static const char *const env_folders[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
					  "/usr/bin",	     "/sbin",	       "/bin"};

/* "#!/usr/bin/env python3": the program that stays is python3. */
static void resolve_env(const char *root, const char *word, char out[static 256])
{
	for (size_t i = 0; i < ZT_ARRAY_SIZE(env_folders); i++) {
		ZT_FREE char *path = zt_path_join(env_folders[i], word);
		ZT_CLOSE int fd = path ? open_below(root, path, O_PATH) : -1;

		if (fd >= 0 && strlen(path) < 256) {
			memcpy(out, path, strlen(path) + 1);
			return;
		}
	}
	memcpy(out, word, strlen(word) + 1);
}

/* line: the words after "#!", shorter than HEAD_SIZE. */
static void interpreter_of(const char *root, char *line, char out[static 256])
{
	char *rest = NULL, *word = strtok_r(line, " \t", &rest);
	const char *base;

	out[0] = '\0';
	if (!word)
		return;
	memcpy(out, word, strlen(word) + 1);
	base = strrchr(word, '/');
	if (strcmp(base ? base + 1 : word, "env") != 0)
		return;
	do
		word = strtok_r(NULL, " \t", &rest);
	while (word && (word[0] == '-' || strchr(word, '=')));
	if (word && !strchr(word, '/'))
		resolve_env(root, word, out);
	else if (word)
		memcpy(out, word, strlen(word) + 1);
}

/* 0 for ELF, else -ENOEXEC: the kernel starts another program for it, or none. */
static int check_format(int fd, const char *root, char interpreter[static 256])
{
	char head[HEAD_SIZE + 1];
	ssize_t n = pread(fd, head, HEAD_SIZE, 0);

	if (n < 0)
		return -errno;
	head[n] = '\0';
	interpreter[0] = '\0';
	if (n >= 4 && !memcmp(head, "\177ELF", 4))
		return 0;
	if (n < 2 || head[0] != '#' || head[1] != '!')
		return -ENOEXEC;
	head[2 + strcspn(head + 2, "\r\n")] = '\0';
	for (const char *p = head + 2; *p; p++)
		if ((unsigned char)*p < 0x20 && *p != '\t')
			return -ENOEXEC;
	interpreter_of(root, head + 2, interpreter);
	return -ENOEXEC;
}

/* ---- digest ---- */
static bool same(const struct zt_exe_seen *a, const struct zt_exe_seen *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->ctime_sec == b->ctime_sec && a->ctime_nsec == b->ctime_nsec;
}

/* A file written to in this tick of the clock can be written to again without another time stamp. */
static void settle(const struct zt_exe_seen *seen)
{
	struct timespec now, pause = {.tv_nsec = SETTLE_NSEC};
	int64_t age;

	(void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail */
	age = (now.tv_sec - seen->ctime_sec) * INT64_C(1000000000) + now.tv_nsec - seen->ctime_nsec;
	if (age >= 0 && age < SETTLE_NSEC)
		(void)nanosleep(&pause, NULL); /* woken early: a write after that is not seen, as by everybody else */
}

/* Every write and every change of a name, mode or owner moves ctime. */
static int digest_still(int fd, zt_usec until, struct zt_exe_seen *seen)
{
	for (unsigned i = 0; i < TRIES; i++) {
		struct zt_exe_seen after = {0};
		int r = zt_fd_identity(fd, NULL, seen, NULL);

		if (r < 0)
			return r;
		settle(seen);
		if (lseek(fd, 0, SEEK_SET) < 0)
			return -errno;
		r = zt_sha256_fd_hex(fd, EXE_MAX, until, seen->digest);
		if (!r)
			r = zt_fd_identity(fd, NULL, &after, NULL);
		if (r < 0)
			return r;
		if (same(seen, &after))
			return 0;
	}
	return -EBUSY;
}

int zt_exe_lookup(const char *root, const char *path, bool want_digest, struct zt_exe_seen *ret)
{
	struct zt_exe_seen seen = {0};
	int opened = open_program(root, path), r;
	ZT_CLOSE int fd = opened < 0 ? -1 : opened;

	if (opened < 0)
		return opened;
	r = check_format(fd, root, seen.interpreter);
	if (r == -ENOEXEC)
		memcpy(ret->interpreter, seen.interpreter, sizeof(ret->interpreter));
	if (!r)
		r = want_digest ? digest_still(fd, 0, &seen) : zt_fd_identity(fd, NULL, &seen, NULL);
	if (r < 0)
		return r;
	*ret = seen;
	return 0;
}

bool zt_exe_is(const char *path, uint64_t dev, uint64_t ino)
{
	struct zt_exe_seen seen;
	ZT_CLOSE int fd = open(path, O_PATH | O_CLOEXEC);

	return fd >= 0 && zt_fd_identity(fd, NULL, &seen, NULL) == 0 && same_device(seen.dev, dev) && seen.ino == ino;
}

int zt_exe_digest(const char *path, const char *mountinfo, uint64_t dev, uint64_t ino, zt_usec most,
		  char ret[static 65])
{
	struct zt_exe_seen seen = {0};
	int opened = open_program(NULL, path), r;
	ZT_CLOSE int fd = opened < 0 ? -1 : opened;
	struct stat st;

	if (opened < 0)
		return opened;
	r = zt_fd_identity(fd, mountinfo, &seen, NULL);
	if (r < 0)
		return r;
	if (!same_device(seen.dev, dev) || seen.ino != ino)
		return -ESTALE;
	if (fstat(fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size / DIGEST_BYTES_PER_USEC > most)
		return -ETIME;
	r = digest_still(fd, zt_now_monotonic() + 2 * most, &seen);
	if (!r)
		memcpy(ret, seen.digest, sizeof(seen.digest));
	return r;
}

/* ---- packages ---- */
#define DPKG_INFO "/var/lib/dpkg/info"
#define LIST_MAX ((size_t)64 << 20)

static bool list_has(const char *text, size_t len, const char *path)
{
	size_t n = strlen(path);

	for (const char *p = text; (p = memmem(p, len - (size_t)(p - text), path, n)); p += n)
		if ((p == text || p[-1] == '\n') && (p[n] == '\n' || !p[n]))
			return true;
	return false;
}

/* Files of the merged /usr are listed as their package has them, with or without /usr in front. */
static bool package_owns(const char *list, const char *path)
{
	const char *other = !strncmp(path, "/usr/", 5) ? path + 4 : NULL;
	ZT_FREE char *text = NULL;
	size_t len;

	return zt_file_read(list, LIST_MAX, &text, &len) == 0 &&
	       (list_has(text, len, path) || (other && list_has(text, len, other)));
}

/* dpkg writes the list anew each time it unpacks the package. */
static int describe_package(const char *list, const char *file, char **ret_package, char **ret_upgraded)
{
	ZT_FREE char *package = zt_strndup(file,
					   strcspn(file, ":") < strlen(file) ? strcspn(file, ":") : strlen(file) - 5);
	ZT_FREE char *upgraded = zt_calloc(1, 32);
	struct stat st;

	if (!package || !upgraded)
		return -ENOMEM;
	if (stat(list, &st) < 0)
		return -errno;
	zt_time_format((zt_usec)st.st_mtim.tv_sec * ZT_USEC_PER_SEC, upgraded);
	*ret_package = ZT_TAKE(package);
	*ret_upgraded = ZT_TAKE(upgraded);
	return 0;
}

static int package_of(const char *path, char **ret_package, char **ret_upgraded)
{
	DIR *d = opendir(DPKG_INFO);
	const struct dirent *e;
	int r = -ENOENT;

	while (d && r == -ENOENT && (e = readdir(d))) {
		size_t n = strlen(e->d_name);
		ZT_FREE char *list = NULL;

		if (n < 6 || strcmp(e->d_name + n - 5, ".list") != 0)
			continue;
		list = zt_path_join(DPKG_INFO, e->d_name);
		if (!list)
			r = -ENOMEM;
		else if (package_owns(list, path))
			r = describe_package(list, e->d_name, ret_package, ret_upgraded);
	}
	if (d)
		(void)closedir(d); /* only read */
	return r;
}

int zt_exe_package(const char *path, char **ret_package, char **ret_upgraded)
{
	ZT_FREE char *real = realpath(path, NULL);
	int r = real ? package_of(real, ret_package, ret_upgraded) : -ENOENT;

	return r == -ENOENT && (!real || strcmp(real, path) != 0) ? package_of(path, ret_package, ret_upgraded) : r;
}
