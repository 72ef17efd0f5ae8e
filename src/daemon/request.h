/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The line a client sends: a JSON object {"request": "NAME"}, with numbers beside it where the request takes some. Untrusted bytes; nothing in them
 * makes memory grow. */
#include <stdint.h>

#include "base/macros.h"

enum { ZT_REQUEST_MAX = 4096 }; /* bytes of a line with its newline */

enum zt_role { ZT_ROLE_NONE, ZT_ROLE_READER, ZT_ROLE_ADMIN };
enum zt_request {
#define ZT_REQUEST(id, name, role, doc) ZT_REQUEST_##id,
#include "daemon/requests.def"
#undef ZT_REQUEST
	ZT_REQUESTS,
};
struct zt_request_info {
	const char *name, *doc;
	enum zt_role role; /* at least */
};
struct zt_ask { /* a request with what stands beside it; 0: not given */
	enum zt_request what;
	uint64_t after;	       /* KERNEL: the first rule; EVENTS: ids greater than this */
	uint64_t since, until; /* microseconds */
	uint64_t kinds;	       /* bits */
	uint64_t id;	       /* this one, with how often its like was seen */
	uint64_t newest;       /* 1: newest first */
	uint64_t uid, pid;     /* + 1 */
	uint64_t by;	       /* STATS: of zt_sums_find(); after and id there: minute and key after which it goes on */
};
extern const struct zt_request_info zt_requests[ZT_REQUESTS];

/* 0, or -EINVAL with a reason in *ret_error (static text). len without the newline. */
int zt_request_parse(const char *line, size_t len, struct zt_ask *ret, const char **ret_error);
