/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets from port 53. */
#include "bytes.h"

#include "event/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zt_dns d;

	if (!size || zt_dns_parse(data + 1, size - 1, data[0] & 1, &d) < 0)
		return 0;
	if (!memchr(d.name, '\0', sizeof(d.name)) || d.n_answers > ZT_DNS_ANSWERS)
		abort();
	for (const char *c = d.name; *c; c++)
		if (*c <= 0x20 || *c == 0x7f || *c & 0x80)
			abort();
	return 0;
}
