/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records of the journal and JSON of others: whatever is accepted survives both forms unchanged. */
#include "bytes.h"

#include "event/activity.h"

static void again(const struct zt_activity *a)
{
	struct zt_strbuf json = {0}, packed = {0}, other = {0};
	struct zt_activity b;

	zt_activity_json(a, &json);
	if (zt_activity_from_json(json.buf, json.len, &b) == 0) { /* numbers beyond 2^63 are none in JSON */
		zt_activity_pack(&b, &packed);
		if (zt_activity_unpack(packed.buf, packed.len, &b) < 0)
			abort();
		zt_activity_json(&b, &other);
		if (strcmp(zt_strbuf_cstr(&json), zt_strbuf_cstr(&other)) != 0)
			abort();
	}
	zt_strbuf_done(&json);
	zt_strbuf_done(&packed);
	zt_strbuf_done(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zt_activity a;

	if (zt_activity_unpack(data, size, &a) == 0)
		again(&a);
	if (zt_activity_from_json((const char *)data, size, &a) == 0)
		again(&a);
	return 0;
}
