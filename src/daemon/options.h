/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The command line of zt-segmentd, and the texts made of its tables. */
#include <stdio.h>

#include "base/strbuf.h"

enum zt_daemon_opt {
	ZT_DOPT_NETNS,
	ZT_DOPT_CGROUP,
	ZT_DOPT_STATE_DIR,
	ZT_DOPT_INSTANCE,
	ZT_DOPT_ENGINE,
	ZT_DOPT_POLICY,
	ZT_DOPT_SETTINGS,
	ZT_DOPT_HELP,
	ZT_DOPT_VERSION,
	ZT_DOPT_MAN,
	ZT_DOPTS,
};
struct zt_daemon_args {
	const char *value[ZT_DOPTS]; /* NULL = not given; "" for a switch that was */
};
/* 0, or -EINVAL with a one-line reason in err. */
int zt_daemon_args_parse(int argc, char *const *argv, struct zt_daemon_args *ret, struct zt_strbuf *err);
void zt_daemon_help(FILE *f);
void zt_daemon_man(FILE *f); /* zt-segmentd.8.scd */
