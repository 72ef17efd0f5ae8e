/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The settings of the daemon. */
#include "bytes.h"

#include "daemon/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = text_of(data, size);
	struct zt_daemon_config c = {0};
	struct zt_diags d = {0};

	must_explain(zt_daemon_config_parse("daemon.yaml", text, strlen(text), &c, &d), &d);
	free(text);
	return 0;
}
