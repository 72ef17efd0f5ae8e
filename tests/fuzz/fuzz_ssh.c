/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sshd_config, units of systemd and /proc/net/tcp, by the first byte. */
#include "bytes.h"

#include "apply/ssh.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *path = file_of(0, size ? data + 1 : data, size ? size - 1 : 0);
	struct zt_u32_ranges ports = {0};
	struct listeners l = {0};
	int r = 0;

	if (size && data[0] % 3 == 0)
		r = read_config("/nonexistent", path, 0, &ports);
	else if (size && data[0] % 3 == 1)
		r = read_unit(path, &ports);
	else
		read_listeners(path, &l);
	if (r < 0 || l.n > SOCKETS_MAX)
		abort();
	for (size_t i = 0; i < ports.n; i++)
		if (!ports.v[i].lo || ports.v[i].hi > 65535)
			abort();
	zt_u32_ranges_done(&ports);
	free(l.v);
	return 0;
}
