/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sshd_config, units of systemd and /proc/net/tcp, by the first byte. */
#include "bytes.h"

#include "apply/ssh.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *path = file_of(0, size ? data + 1 : data, size ? size - 1 : 0);
	struct ssh_config c = {.root = "/nonexistent"};
	struct listeners l = {0};
	int r = 0;

	if (size && data[0] % 3 == 0)
		r = read_config(&c, path, 0);
	else if (size && data[0] % 3 == 1)
		r = read_unit(path, &c.ports);
	else
		read_listeners(path, &l);
	if (r < 0 || l.n > SOCKETS_MAX)
		abort();
	for (size_t i = 0; i < c.ports.n; i++)
		if (!c.ports.v[i].lo || c.ports.v[i].hi > 65535)
			abort();
	zt_u32_ranges_done(&c.ports);
	free(l.v);
	return 0;
}
