/* SPDX-License-Identifier: GPL-2.0-or-later */
/* container-look NAME: the cgroup of a container, for end-to-end tests with real runtimes. */
#include <stdio.h>
#include <string.h>

#include "identity/identity.h"

int main(int argc, char **argv)
{
	ZT_FREE char *path = NULL;
	int r = argc == 2 ? zt_container_cgroup(NULL, argv[1], &path) : -EINVAL;

	if (r < 0) {
		fprintf(stderr, "%s\n", strerror(-r));
		return 1;
	}
	return puts(path) < 0;
}
