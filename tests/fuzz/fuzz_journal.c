/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Chunks of the journal: whatever the file holds, no byte beyond it is read, and ids do not run away. */
#include "bytes.h"

#include "event/journal_parts.h"

static void walk(const uint8_t *data, size_t len)
{
	struct zt_chunk_record rec = {.id = 1};
	struct zt_activity a;
	size_t at = 0, n = 0;

	while (zt_chunk_next(data, len, &at, &rec) > 0) {
		if (at > len || rec.packed + rec.len != data + at || n++ > len)
			abort();
		if (zt_activity_unpack(rec.packed, rec.len, &a) == 0 && (a.time != rec.time || a.kind != rec.kind))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t plain[ZT_CHUNK_MAX];
	static ZSTD_DCtx *z;
	size_t len;

	if (!z)
		z = ZSTD_createDCtx();
	walk(data, size);
	if (z && zt_chunk_decode(z, data, size, plain, &len) == 0)
		walk(plain, len);
	return 0;
}
