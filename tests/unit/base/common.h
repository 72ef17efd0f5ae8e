/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

/* What print(f) writes, malloc'ed. */
#define WRITTEN(f, statement)                            \
	({                                               \
		char *_text = NULL;                      \
		size_t _len = 0;                         \
		FILE *f = open_memstream(&_text, &_len); \
		assert_non_null(f);                      \
		statement;                               \
		assert_int_equal(fclose(f), 0);          \
		_text;                                   \
	})
