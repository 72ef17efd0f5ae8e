/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/fault.h"

#ifdef ZT_FAULTS
#define FAILS() zt_fault_alloc()
#else
#define FAILS() false
#endif

void *zt_malloc(size_t size)
{
	return FAILS() ? NULL : malloc(size ? size : 1);
}

void *zt_calloc(size_t n, size_t size)
{
	return FAILS() ? NULL : calloc(n ? n : 1, size ? size : 1);
}

void *zt_realloc(void *p, size_t size)
{
	return FAILS() ? NULL : realloc(p, size ? size : 1);
}

char *zt_strdup(const char *s)
{
	return zt_strndup(s, strlen(s));
}

char *zt_strndup(const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *copy = zt_malloc(len + 1);

	if (!copy)
		return NULL;
	memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *zt_asprintf(const char *fmt, ...)
{
	char *out = NULL;
	va_list ap;
	int n;

	if (FAILS())
		return NULL;
	va_start(ap, fmt);
	n = vasprintf(&out, fmt, ap);
	va_end(ap);
	return n < 0 ? NULL : out;
}

int zt_grow_(void **items, size_t *cap, size_t n, size_t elem_size)
{
	size_t want = *cap ? *cap * 2 : 8;
	void *grown;

	if (n < *cap)
		return 0;
	if (want > SIZE_MAX / elem_size)
		return -ENOMEM;
	grown = zt_realloc(*items, want * elem_size);
	if (!grown)
		return -ENOMEM;
	*items = grown;
	*cap = want;
	return 0;
}
