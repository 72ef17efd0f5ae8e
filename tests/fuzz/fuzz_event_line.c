/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines of the kernel log; what was understood and printed must be understood again. */
#include <stdlib.h>

#include "event/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Odd bytes in names are printed escaped, which does not come back. */
static bool plain(const char *s)
{
	while (*s > 0x20 && *s < 0x7f && *s != '\\' && *s != '"')
		s++;
	return !*s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zt_strbuf line = {0};
	struct zt_event e, again;

	if (zt_event_parse_line((const char *)data, size, "ZT-BLOCKED: ", &e) == 0 && plain(e.in) && plain(e.out) &&
	    plain(e.rule) && zt_event_format_line(&e, "ZT-BLOCKED: ", &line) == 0 &&
	    (zt_event_parse_line(line.buf, line.len, "ZT-BLOCKED: ", &again) < 0 || again.kind != e.kind ||
	     again.dport != e.dport || again.uid != e.uid))
		abort();
	zt_strbuf_done(&line);
	return 0;
}
