/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Headers of captured packets, and what a log statement put before them. */
#include "bytes.h"

#include "event/source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = text_of(data, size);
	struct zt_event e = {0}, p = {0};

	if (zt_event_parse_packet(data, size, &e) == 0 &&
	    ((e.src.family != 4 && e.src.family != 6) || e.src.family != e.dst.family ||
	     (e.has_ports && !zt_proto_has_ports(e.proto))))
		abort();
	if (zt_event_parse_prefix(text, "ZT-BLOCKED: ", &p) == 0 && strlen(p.rule) >= sizeof(p.rule))
		abort();
	free(text);
	return 0;
}
