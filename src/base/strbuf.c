/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/strbuf.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

void zt_strbuf_done(struct zt_strbuf *b)
{
	free(b->buf);
	*b = (struct zt_strbuf){0};
}

void zt_strbuf_clear(struct zt_strbuf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->buf)
		b->buf[0] = '\0';
}

static bool reserve(struct zt_strbuf *b, size_t more)
{
	size_t want = b->cap ? b->cap : 64;
	char *grown;

	if (b->failed || more > SIZE_MAX / 4 || b->len > SIZE_MAX / 4) {
		b->failed = true;
		return false;
	}
	if (b->len + more + 1 <= b->cap)
		return true;
	while (want < b->len + more + 1)
		want *= 2;
	grown = zt_realloc(b->buf, want);
	if (!grown) {
		b->failed = true;
		return false;
	}
	b->buf = grown;
	b->cap = want;
	return true;
}

void zt_strbuf_add(struct zt_strbuf *b, const void *data, size_t len)
{
	if (!reserve(b, len))
		return;
	if (len)
		memcpy(b->buf + b->len, data, len);
	b->len += len;
	b->buf[b->len] = '\0';
}

void zt_strbuf_str(struct zt_strbuf *b, const char *s)
{
	zt_strbuf_add(b, s, strlen(s));
}

void zt_strbuf_char(struct zt_strbuf *b, char c)
{
	zt_strbuf_add(b, &c, 1);
}

void zt_strbuf_u64(struct zt_strbuf *b, uint64_t v)
{
	char digits[20];
	size_t n = sizeof(digits);

	do
		digits[--n] = (char)('0' + v % 10);
	while (v /= 10);
	zt_strbuf_add(b, digits + n, sizeof(digits) - n);
}

void zt_strbuf_vprintf(struct zt_strbuf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	if (!reserve(b, 256))
		return;
	va_copy(again, ap);
	n = vsnprintf(b->buf + b->len, b->cap - b->len, fmt, ap);
	if (n >= 0 && (size_t)n >= b->cap - b->len) {
		if (reserve(b, (size_t)n))
			n = vsnprintf(b->buf + b->len, b->cap - b->len, fmt, again);
		else
			n = -1;
	}
	va_end(again);
	if (n < 0) {
		b->failed = true;
		b->buf[b->len] = '\0';
	} else {
		b->len += (size_t)n;
	}
}

void zt_strbuf_printf(struct zt_strbuf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	zt_strbuf_vprintf(b, fmt, ap);
	va_end(ap);
}

int zt_strbuf_error(const struct zt_strbuf *b)
{
	return b->failed ? -ENOMEM : 0;
}

const char *zt_strbuf_cstr(const struct zt_strbuf *b)
{
	return b->buf ? b->buf : "";
}

char *zt_strbuf_steal(struct zt_strbuf *b)
{
	char *s = b->failed ? NULL : b->buf ? b->buf : zt_strdup("");

	if (s == b->buf)
		b->buf = NULL;
	zt_strbuf_done(b);
	return s;
}

/* Length of the valid UTF-8 sequence at s, 0 when there is none (RFC 3629). */
static size_t utf8_len(const unsigned char *s, size_t len)
{
	static const struct {
		unsigned char lo, hi, second_lo, second_hi;
		size_t n;
	} forms[] = {
		{0x00, 0x7f, 0, 0, 1},	     {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
		{0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
		{0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	for (size_t i = 0; i < ZT_ARRAY_SIZE(forms); i++) {
		if (s[0] < forms[i].lo || s[0] > forms[i].hi || forms[i].n > len)
			continue;
		if (forms[i].n > 1 && (s[1] < forms[i].second_lo || s[1] > forms[i].second_hi))
			return 0;
		for (size_t k = 2; k < forms[i].n; k++)
			if ((s[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].n;
	}
	return 0;
}

bool zt_utf8_valid(const char *s, size_t len)
{
	for (size_t i = 0, n; i < len; i += n) {
		n = utf8_len((const unsigned char *)s + i, len - i);
		if (!n)
			return false;
	}
	return true;
}

/* What a terminal does not show, or shows text after it in another order or place: U+200B..F, U+2028..E, U+2060..9, U+FEFF. */
static bool is_invisible(const unsigned char *p, size_t n)
{
	if (n != 3)
		return false;
	if (p[0] == 0xe2 && p[1] == 0x80)
		return (p[2] >= 0x8b && p[2] <= 0x8f) || (p[2] >= 0xa8 && p[2] <= 0xae);
	return (p[0] == 0xe2 && p[1] == 0x81 && p[2] >= 0xa0 && p[2] <= 0xa9) ||
	       (p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf);
}

void zt_strbuf_escaped(struct zt_strbuf *b, const char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		const unsigned char *p = (const unsigned char *)s + i;
		size_t n = utf8_len(p, len - i);
		bool control = *p < 0x20 || *p == 0x7f || (n == 2 && p[0] == 0xc2 && p[1] < 0xa0) || is_invisible(p, n);

		if (!n || control) {
			zt_strbuf_printf(b, "\\x%02x", *p);
			i++;
			continue;
		}
		if (*p == '"' || *p == '\\')
			zt_strbuf_char(b, '\\');
		zt_strbuf_add(b, p, n);
		i += n;
	}
}

bool zt_str_eq(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

unsigned zt_str_distance(const char *a, const char *b, unsigned max)
{
	unsigned rows[3][66];
	size_t la = strlen(a), lb = strlen(b);

	if (la > 64 || lb > 64 || (la > lb ? la - lb : lb - la) > max)
		return max + 1;
	for (unsigned j = 0; j <= lb; j++)
		rows[0][j] = j;
	for (unsigned i = 1; i <= la; i++) {
		unsigned *row = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3], best = i;

		row[0] = i;
		for (unsigned j = 1; j <= lb; j++) {
			unsigned cost = a[i - 1] != b[j - 1];

			row[j] = ZT_MIN(ZT_MIN(up[j] + 1, row[j - 1] + 1), up[j - 1] + cost);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = ZT_MIN(row[j], up2[j - 2] + 1);
			best = ZT_MIN(best, row[j]);
		}
		if (best > max + 1)
			return max + 1;
	}
	return ZT_MIN(rows[la % 3][lb], max + 1);
}

const char *zt_str_nearest(const char *word, const char *const *candidates, size_t n)
{
	unsigned best = 1 + (unsigned)strlen(word) / 4;
	const char *found = NULL;

	for (size_t i = 0; i < n; i++) {
		unsigned dist = zt_str_distance(word, candidates[i], best);

		if (dist < best || (dist == best && !found)) {
			best = dist;
			found = candidates[i];
		}
	}
	return found;
}

int zt_parse_u64(const char *s, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (!*s)
		return -EINVAL;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -EINVAL;
		if (v > (UINT64_MAX - (uint64_t)(*s - '0')) / 10)
			return -ERANGE;
		v = v * 10 + (uint64_t)(*s - '0');
	}
	if (v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

void zt_format_thousands(uint64_t v, char buf[static 32])
{
	char digits[24];
	int n = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)v), at = 0;

	for (int i = 0; i < n; i++) {
		if (i && (n - i) % 3 == 0)
			buf[at++] = ',';
		buf[at++] = digits[i];
	}
	buf[at] = '\0';
}

/* ---- JSON ---- */
static void json_escape(struct zt_strbuf *out, unsigned char c)
{
	static const char letters[] = "\b\f\n\r\t\"\\", names[] = "bfnrt\"\\";
	const char *at = c ? strchr(letters, c) : NULL;

	if (at)
		zt_strbuf_add(out, (char[]){'\\', names[at - letters]}, 2);
	else
		zt_strbuf_printf(out, "\\u%04X", c);
}

void zt_strbuf_json(struct zt_strbuf *out, const char *s)
{
	zt_strbuf_char(out, '"');
	while (*s) {
		size_t n = 0;

		while (s[n] && (unsigned char)s[n] >= 0x20 && s[n] != '"' && s[n] != '\\')
			n++;
		zt_strbuf_add(out, s, n);
		s += n;
		if (*s)
			json_escape(out, (unsigned char)*s++);
	}
	zt_strbuf_char(out, '"');
}
