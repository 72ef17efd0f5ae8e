/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Inside the event room: which records of the kernel's programs (bpf/trace_abi.h) make which kinds of events. */
#include "event/activity.h"

/* What needs programs on the hooks of a control group. */
#define SOCKET_RECORDS                                                                                   \
	(1u << ZT_TRACE_CONNECT | 1u << ZT_TRACE_ACCEPT | 1u << ZT_TRACE_LISTEN | 1u << ZT_TRACE_CLOSE | \
	 1u << ZT_TRACE_FLOW | 1u << ZT_TRACE_DNS)
#define GROUP_RECORDS (1u << ZT_TRACE_BIND | 1u << ZT_TRACE_FLOW | 1u << ZT_TRACE_DNS | 1u << ZT_TRACE_CLOSE)

#define OPEN_RECORDS (1u << ZT_TRACE_OPENED | 1u << ZT_TRACE_REFUSED)

enum zt_activity_kind zt_trace_kind(uint32_t record); /* of enum zt_trace_kind: what it tells */
uint32_t zt_trace_records(uint32_t kinds); /* 1 << enum zt_trace_kind: what is needed to tell of these kinds */

struct zt_trace_flow;
struct zt_trace_exit;
/* Bytes and duration of a flow that ended at this time. */
void zt_trace_fill_end(const struct zt_trace_flow *f, uint64_t end_ns, struct zt_activity *a);
void zt_trace_fill_exit(const struct zt_trace_exit *e, struct zt_activity *a);
