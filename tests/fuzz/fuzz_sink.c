/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any record in any form: one line, ended by nothing of its own; documents parse; a syslog element ends where it should. */
#include <jansson.h>

#include "bytes.h"

#include "event/sink.h"

static void element_ends(const char *s)
{
	bool quoted = false;

	s = strchr(s, '[');
	for (; s && *s && (quoted || *s != ']'); s++) {
		if (quoted && *s == '\\' && s[1])
			s++;
		else if (*s == '"')
			quoted = !quoted;
	}
	if (!s || quoted || strncmp(s, "] ", 2) != 0)
		abort();
}

static void document(const struct zt_strbuf *b)
{
	json_t *j = json_loadb(b->buf, b->len, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL,
			       NULL); /* 2^63 and more is a number too */

	if (!j)
		abort();
	json_decref(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zt_activity a;

	if (zt_activity_unpack(data, size, &a) < 0)
		return 0;
	for (enum zt_sink_format f = 0; f < ZT_FORMATS; f++) {
		ZT_STRBUF struct zt_strbuf b = {0};

		if (zt_sink_text(f, &a, "host", 1, &b) < 0)
			abort();
		if (f != ZT_FORMAT_JOURNALD && memchr(b.buf, '\n', b.len))
			abort();
		if (f == ZT_FORMAT_SYSLOG)
			element_ends(b.buf);
		else if (f != ZT_FORMAT_JOURNALD)
			document(&b);
	}
	return 0;
}
