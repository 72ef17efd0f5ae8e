/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The way to zt-segmentd for its clients: where its socket is, and one request. What can be asked is in daemon/requests.def. */
#include "base/time.h"

#define ZT_RUN_DIR "/run/zt-segment"
#define ZT_CONTROL_ANSWER_MAX ((size_t)1 << 20)

/* /run/zt-segment/INSTANCE, or /run/zt-segment/netns-NAME/INSTANCE; netns may be NULL. malloc'ed; NULL on ENOMEM. */
char *zt_run_dir(const char *netns, const char *instance);
/* One request, a JSON object in one line, and its answer, one line without its newline, malloc'ed. -ENOENT, -ECONNREFUSED: no daemon; -EACCES: not
 * root and not in group zt-segment; -ETIMEDOUT; -EPIPE: it hung up without an answer. */
int zt_control_call(const char *netns, const char *instance, const char *request, zt_usec timeout, char **ret_answer);
