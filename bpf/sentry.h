/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* What bpf/sentry.bpf.c and user space share. */
#include "abi.h" /* the types of fixed width */

enum { ZT_SENTRY_LINKS = 16 };
struct zt_sentry_link { /* a link of the kernel, by its address, and what hung on it where */
	zt_u64 link, prog;
	zt_u64 place; /* its control group; of one at a hook of the network namespace 1; 0: detached */
};
struct zt_sentry_found { /* as the iterator tells it */
	zt_u32 id, pad;
	struct zt_sentry_link at;
};
_Static_assert(sizeof(struct zt_sentry_found) == 32, "layout");
