/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A line that a client sends to the control socket of the daemon. */
#include "bytes.h"

#include "daemon/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zt_ask ask = {.what = ZT_REQUESTS};
	const char *error = NULL;
	int r = zt_request_parse((const char *)data, size, &ask, &error);

	if (r == 0 ? ask.what >= ZT_REQUESTS : !error || ask.what != ZT_REQUESTS)
		abort();
	return 0;
}
