/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* A growable byte string. After an allocation failure it is "poisoned": every later call is a no-op
 * and zt_strbuf_error() returns -ENOMEM, so that long sequences of appends need one check at the end. */
#include <stdarg.h>

#include "base/macros.h"

struct zt_strbuf {
	char *buf; /* NUL-terminated, or NULL when empty */
	size_t len, cap;
	bool failed;
};

void zt_strbuf_done(struct zt_strbuf *b);
void zt_strbuf_clear(struct zt_strbuf *b); /* keeps the memory */
void zt_strbuf_add(struct zt_strbuf *b, const void *data, size_t len);
void zt_strbuf_str(struct zt_strbuf *b, const char *s);
void zt_strbuf_char(struct zt_strbuf *b, char c);
void zt_strbuf_u64(struct zt_strbuf *b, uint64_t v); /* decimal; an order of magnitude cheaper than printf */
void zt_strbuf_printf(struct zt_strbuf *b, const char *fmt, ...) ZT_PRINTF(2, 3);
void zt_strbuf_vprintf(struct zt_strbuf *b, const char *fmt, va_list ap) ZT_PRINTF(2, 0);
int zt_strbuf_error(const struct zt_strbuf *b);	       /* 0 or -ENOMEM */
const char *zt_strbuf_cstr(const struct zt_strbuf *b); /* "" when empty, never NULL */
char *zt_strbuf_steal(struct zt_strbuf *b);	       /* caller frees; NULL when poisoned; "" when empty */
#define ZT_STRBUF ZT_CLEANUP(zt_strbuf_done)

/* Appends s with every byte that is not printable ASCII or valid UTF-8 text escaped as \xNN, and
 * quotes/backslashes escaped: safe for terminals and logs whatever a hostile process was named. */
void zt_strbuf_escaped(struct zt_strbuf *b, const char *s, size_t len);

/* Appends s, which is UTF-8, as a JSON string, quotes included (RFC 8259). */
void zt_strbuf_json(struct zt_strbuf *b, const char *s);

bool zt_utf8_valid(const char *s, size_t len); /* RFC 3629: no overlongs, surrogates, > U+10FFFF */
bool zt_str_eq(const char *a, const char *b);  /* NULL equals NULL only */
/* Optimal string alignment distance, for "did you mean"; stops early above max (then returns max+1). */
unsigned zt_str_distance(const char *a, const char *b, unsigned max);
/* The nearest of n candidates within distance 1 + len/4, or NULL. */
const char *zt_str_nearest(const char *word, const char *const *candidates, size_t n);
/* Decimal only, whole string, no sign or blanks: 0, -EINVAL or -ERANGE (> max). */
int zt_parse_u64(const char *s, uint64_t max, uint64_t *ret);
/* 1234567 -> "1,234,567" */
void zt_format_thousands(uint64_t v, char buf[static 32]);
