/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/self/mountinfo: where cgroup2 is mounted. */
#include "bytes.h"

#include "identity/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = text_of(data, size), *found = NULL;

	if (zt_cgroup_mount_find(text, &found) == 0 && found[0] != '/')
		abort();
	free(found);
	free(text);
	return 0;
}
