/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The fuzzer's bytes as what the readers take: a string, or a file. A harness may include the .c file of a reader that is static there. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/file.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* NUL-terminated, of just its size; caller frees. */
static inline char *text_of(const uint8_t *data, size_t size)
{
	char *s = malloc(size + 1);

	if (!s)
		abort();
	if (size)
		memcpy(s, data, size);
	s[size] = '\0';
	return s;
}

/* The path of a file in memory, one of two, that holds the bytes. */
static inline const char *file_of(int which, const uint8_t *data, size_t size)
{
	static char paths[2][64];
	static int fds[2] = {-1, -1};

	if (fds[which] < 0 && (fds[which] = memfd_create("fuzz", MFD_CLOEXEC)) < 0)
		abort();
	if (ftruncate(fds[which], 0) < 0 || pwrite(fds[which], data, size, 0) != (ssize_t)size)
		abort();
	(void)snprintf(paths[which], sizeof(paths[which]), "/proc/self/fd/%d", fds[which]);
	return paths[which];
}

static char fuzz_folder[] = "/tmp/zt-fuzz-XXXXXX";

static inline void fuzz_sweep(void)
{
	(void)zt_remove_tree(fuzz_folder); /* of links and small files */
}

/* A folder of its own, gone at the end, in which all names are links to one path. */
static inline void folder_of_links(const char *const *names, size_t n, const char *to)
{
	if (!mkdtemp(fuzz_folder) || atexit(fuzz_sweep) != 0)
		abort();
	for (size_t i = 0; i < n; i++) {
		ZT_FREE char *path = zt_path_join(fuzz_folder, names[i]), *parent = path ? zt_strdup(path) : NULL;

		if (!parent)
			abort();
		*strrchr(parent, '/') = '\0';
		if (zt_mkdir_p(parent, 0700) < 0 || symlink(to, path) < 0)
			abort();
	}
}

/* What is refused is refused with a reason. */
static inline void must_explain(int r, struct zt_diags *d)
{
	if (r < 0 && !d->errors)
		abort();
	zt_diags_done(d);
}
