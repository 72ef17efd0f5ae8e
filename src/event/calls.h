/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Inside the event room: what processes do to the kernel and to each other (bpf/calls.bpf.c). Its programs share the ring of trace.c and need more of
 * the kernel than those do; each is tried, and what cannot be had is known with the reason.
 */
#include "event/activity.h"

struct zt_calls_options {
	uint32_t kinds; /* 1 << ZT_ACTIVITY_MODULE, _PTRACE, _PRIVILEGE; others mean nothing here */
	uint32_t own_pid, level;
	uint64_t cgroup;
	uint32_t records;	     /* 1 << enum zt_trace_kind */
	int trace, counts, sleeping; /* maps */
};
struct zt_calls;
int zt_calls_open(const struct zt_calls_options *o, struct zt_calls **ret); /* only for lack of memory it fails */
void zt_calls_close(struct zt_calls *c);
/* Why a kind that was asked for is not told, or only in part; NULL: it is. ret_some: in part it is. */
const char *zt_calls_lack(const struct zt_calls *c, enum zt_activity_kind kind, bool *ret_some);
bool zt_calls_works(const struct zt_calls *c, enum zt_activity_kind kind);	/* at least in part */
uint64_t zt_calls_missed(const struct zt_calls *c, enum zt_activity_kind kind); /* the kernel did not run the program */

struct zt_trace_process;
/* What a process became: uid, euid, detail. caps: those that it has more. */
void zt_calls_rights(const struct zt_trace_process *from, const struct zt_trace_process *to, uint64_t caps,
		     struct zt_activity *a);
void zt_calls_error(uint32_t number, struct zt_activity *a);		  /* why something failed */
struct zt_trace_call;							  /* bpf/trace_abi.h */
void zt_calls_fill(const struct zt_trace_call *e, struct zt_activity *a); /* all but the processes */
