/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk as bad as a test wants it, for a program that is started with LD_PRELOAD: of files below the folder ZT_DISK, by what ZT_DISK_CONTROL holds
 * (struct control, mapped): fsync and fdatasync wait while hang is set; write, pwrite and their kin find no space at the one that left counts down to.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

struct control {
	volatile int32_t hang, hanging;
	int32_t left;  /* the next but so many finds no space: 1 the next; 0 or less: it was */
	int32_t stays; /* and all after it */
	int32_t writes;
};
static struct control *control;
static const char *folder;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("ZT_DISK_CONTROL");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (fd >= 0)
		(void)close(fd);
	folder = getenv("ZT_DISK");
	if (p != MAP_FAILED && folder)
		control = p;
}

static int meant(int fd)
{
	int saved = errno;
	char link[32], name[256] = "";

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (!control || readlink(link, name, sizeof(name) - 1) < 0)
		name[0] = '\0';
	errno = saved;
	return control && !strncmp(name, folder, strlen(folder));
}

static int no_space(int fd)
{
	int left;

	if (!meant(fd))
		return 0;
	(void)__atomic_add_fetch(&control->writes, 1, __ATOMIC_RELAXED);
	left = __atomic_sub_fetch(&control->left, 1, __ATOMIC_RELAXED);
	if (left && !(left < 0 && control->stays))
		return 0;
	errno = ENOSPC;
	return 1;
}

static void wait_for_it(int fd)
{
	while (meant(fd) && control->hang) {
		control->hanging = 1;
		(void)usleep(10000);
	}
}

#define REAL(fn) ((__typeof__(&fn))dlsym(RTLD_NEXT, #fn))

int fsync(int fd)
{
	wait_for_it(fd);
	return REAL(fsync)(fd);
}

int fdatasync(int fd)
{
	wait_for_it(fd);
	return REAL(fdatasync)(fd);
}

ssize_t write(int fd, const void *data, size_t n)
{
	return no_space(fd) ? -1 : REAL(write)(fd, data, n);
}

/* With 64-bit offsets, as everything here is built: pwrite64. */
ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
	return no_space(fd) ? -1 : REAL(pwrite)(fd, data, n, at);
}
