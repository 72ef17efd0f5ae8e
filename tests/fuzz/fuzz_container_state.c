/* SPDX-License-Identifier: GPL-2.0-or-later */
/* State files of container runtimes; the first byte says whose. What is taken from them is fit to be printed and joined to a path. */
#include <stdlib.h>
#include <string.h>

#include "identity/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool climbs(const char *path)
{
	const char *dots = strstr(path, "..");

	while (dots && ((dots > path && dots[-1] != '/') || (dots[2] && dots[2] != '/')))
		dots = strstr(dots + 1, "..");
	return dots;
}

static void judge(const struct zt_container_state *s)
{
	if (!zt_container_name_ok(s->id) || strchr(s->id, '/') || (s->name && !zt_container_name_ok(s->name)))
		abort();
	if (s->cgroup &&
	    (!s->cgroup[0] || s->cgroup[0] == '/' || s->cgroup[strlen(s->cgroup) - 1] == '/' || climbs(s->cgroup)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zt_container_states l = {0};

	if (!size)
		return 0;
	if (zt_container_state_parse(data[0] % ZT_CONTAINER_FILES, 0, "folder", (const char *)data + 1, size - 1, &l) <
	    0)
		abort();
	for (size_t i = 0; i < l.n; i++)
		judge(&l.v[i]);
	zt_container_states_done(&l);
	return 0;
}
