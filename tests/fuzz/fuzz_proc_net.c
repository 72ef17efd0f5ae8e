/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/net/tcp as the seed of connection tracking reads it. */
#include "bytes.h"

#include "engine/nft/seed.c"

static int check(void *arg, const struct tcp_row *row)
{
	(void)arg;
	if ((row->local.family != 4 && row->local.family != 6) || (row->remote.family != 4 && row->remote.family != 6))
		abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seed_ctx c = {0};

	if (each_row(file_of(0, data, size), check, NULL) < 0 ||
	    each_row(file_of(0, data, size), note_listener, &c) < 0)
		abort();
	zt_u32_ranges_normalise(&c.listening);
	zt_u32_ranges_done(&c.listening);
	return 0;
}
