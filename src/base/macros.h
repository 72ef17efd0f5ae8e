/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * base: memory, errors, strings, time, files, processes, tables, JSON.
 * Knows nothing of the product; every other room may use it, it uses no room.
 *
 * Conventions of the whole tree:
 *  - functions return 0 (or a count) or -errno; `ret_x` is written only on success;
 *  - free functions accept NULL; `_freep` variants take a pointer to the pointer for ZT_CLEANUP;
 *  - strings are NUL-terminated UTF-8 unless a length is given.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define ZT_CLEANUP(f) __attribute__((cleanup(f)))
#define ZT_PRINTF(a, b) __attribute__((format(printf, a, b)))
#define ZT_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define ZT_MIN(a, b) ((a) < (b) ? (a) : (b))
#define ZT_MAX(a, b) ((a) > (b) ? (a) : (b))

/* Hand over ownership: yields the pointer and leaves NULL behind. */
#define ZT_TAKE(p)                         \
	({                                 \
		__typeof__(p) _zt_t = (p); \
		(p) = NULL;                \
		_zt_t;                     \
	})
#define ZT_TAKE_FD(fd)             \
	({                         \
		int _zt_fd = (fd); \
		(fd) = -1;         \
		_zt_fd;            \
	})

static inline void zt_freep(void *p)
{
	free(*(void **)p);
	*(void **)p = NULL;
}

static inline void zt_closep(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		(void)close(*fd); /* nothing to do about a failed close of a descriptor we only read */
	*fd = -1;
	errno = saved;
}

#define ZT_FREE ZT_CLEANUP(zt_freep)
#define ZT_CLOSE ZT_CLEANUP(zt_closep)
