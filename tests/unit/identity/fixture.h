/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "identity/identity.h"

/* A folder for one test; the teardown removes it. */
static inline int make_tree(void **state)
{
	char *path = strdup("/tmp/zt-identity-XXXXXX");

	*state = path;
	return mkdtemp(path) ? 0 : -1;
}

static inline int drop_tree(void **state)
{
	int r = zt_remove_tree(*state);

	free(*state);
	return r;
}

static inline char *below_tree(void **state, const char *path)
{
	char *full = zt_path_join(*state, path);

	assert_non_null(full);
	return full;
}

static inline void put_folder(void **state, const char *path)
{
	ZT_FREE char *full = below_tree(state, path);

	assert_int_equal(zt_mkdir_p(full, 0755), 0);
}

static inline void put_bytes(void **state, const char *path, const void *data, size_t len)
{
	ZT_FREE char *full = below_tree(state, path), *folder = strdup(full);
	FILE *f;

	*strrchr(folder, '/') = '\0';
	assert_int_equal(zt_mkdir_p(folder, 0755), 0);
	f = fopen(full, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static inline void put(void **state, const char *path, const char *text)
{
	put_bytes(state, path, text, strlen(text));
}
