/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Which process is at the other end of a connection inside this machine: what is known of its ends, and of who listens. Fed with the records of the
 * kernel in their order (trace.c), asked for the peer of each. Loopback addresses belong to their network namespace, all others to the
 * machine, so that two containers find each other. Bounded: the ends longest not asked for are forgotten.
 */
#include "event/procs.h"

enum { ZT_ENDS_MAX = 32768, ZT_ENDS_LISTENERS = 4096 };
struct zt_trace_flow; /* bpf/trace_abi.h */
struct zt_ends;
int zt_ends_new(struct zt_ends **ret);
void zt_ends_free(struct zt_ends *e);
size_t zt_ends_limits(const struct zt_ends *e, struct zt_limit *ret, size_t max); /* for zt_trace_limits() */
/* f is a connection, a flow, or a process that listens (its head says it): whose is this end? Failed connections, too. */
void zt_ends_add(struct zt_ends *e, const struct zt_trace_flow *f);
/* The process at the other end of f. For a new connection that is who listens. -ENOENT; -EEXIST: several processes listen */
int zt_ends_peer(struct zt_ends *e, const struct zt_trace_flow *f, struct zt_process_id *ret);
/* The process that has, or had, the local end of f. -ENOENT */
int zt_ends_find(struct zt_ends *e, const struct zt_trace_flow *f, struct zt_process_id *ret);
