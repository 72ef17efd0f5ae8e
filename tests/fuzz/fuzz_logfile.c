/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A log file from its beginning, and the same bytes as one record of /dev/kmsg. */
#include "bytes.h"

#include "event/logfile.c"

static void kmsg(const uint8_t *data, size_t size)
{
	char prefix[] = "ZT-BLOCKED: ";
	struct zt_event_source s = {.prefix = prefix, .buf = text_of(data, ZT_MIN(size, (size_t)ZT_LINE_MAX - 1))};
	struct zt_event e;

	(void)kmsg_record(&s, ZT_MIN(size, (size_t)ZT_LINE_MAX - 1), &e); /* ours, or not */
	free(s.buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *path = file_of(0, data, size);
	struct zt_event_source *s = NULL;
	struct zt_diags d = {0};
	char name[80];
	struct zt_event e;
	size_t n = 0;
	int r;

	kmsg(data, size);
	(void)snprintf(name, sizeof(name), "file:%s", path);
	r = zt_event_open(name, "ZT-BLOCKED: ", 0, false, &s, &d);
	must_explain(r, &d);
	while (r == 0 && (r = zt_event_next(s, 0, &e)) > 0 && n++ <= size)
		r = 0;
	if (r < 0 || n > size) /* it ends, and never says more than there are bytes */
		abort();
	zt_event_close(s);
	return 0;
}
