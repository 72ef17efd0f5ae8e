/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Times, durations, addresses, protocols, numbers, names: what is understood is printed so that it is understood again. */
#include "bytes.h"

#include "base/net.h"
#include "base/strbuf.h"
#include "base/time.h"

static void range(const char *s)
{
	struct zt_addr_range a, b;
	char text[128];

	if (zt_addr_range_parse(s, &a, NULL) < 0)
		return;
	zt_addr_range_format(&a, text);
	if (zt_addr_cmp(&a.lo, &a.hi) > 0 || zt_addr_range_parse(text, &b, NULL) < 0 || zt_addr_cmp(&a.lo, &b.lo) ||
	    zt_addr_cmp(&a.hi, &b.hi))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const words[] = {"egress", "ingress", "forward"};
	char *s = text_of(data, size), iso[32];
	struct zt_strbuf b = {0};
	zt_usec t, again;
	uint64_t number;
	uint8_t proto;

	range(s);
	if (zt_time_parse(s, &t) == 0) {
		zt_time_format(t, iso);
		if (zt_time_parse(iso, &again) < 0 || t != again)
			abort();
	}
	(void)zt_duration_parse(s, &t);
	(void)zt_parse_u64(s, UINT64_MAX, &number);
	if (zt_proto_parse(s, &proto) == 0 && zt_proto_name(proto) && *zt_proto_name(proto) == '\0')
		abort();
	(void)zt_str_nearest(s, words, ZT_ARRAY_SIZE(words));
	zt_strbuf_escaped(&b, (const char *)data, size);
	if (b.len && (!zt_utf8_valid(b.buf, b.len) || memchr(b.buf, '\033', b.len) || memchr(b.buf, '\n', b.len)))
		abort();
	zt_strbuf_done(&b);
	free(s);
	return 0;
}
