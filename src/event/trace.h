/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What processes do, told by programs in the kernel (bpf/trace.bpf.c). Needs root and Linux 6.1. Everything is gone when the descriptor is
 * closed: nothing is pinned, nothing decides. Tests (ZT_TEST in the environment) have to name a control group: the root of the machine is left alone (-EPERM).
 *
 * Losses: a full ring loses records, counted by kind; zt_trace_losses() says how many were told and lost since the beginning, exactly.
 */
#include "base/diag.h"
#include "event/procs.h"

struct zt_trace_options {
	uint32_t
		kinds; /* 1 << enum zt_activity_kind: EXEC to DNS, PRIVILEGE, MODULE, PTRACE, BIND; what else is asked for is not told here. DENY: zt_trace_who() will be asked; OPEN: processes are to be known, opens that failed are told */
	const char *cgroup; /* inside cgroup2: only processes in it; NULL: all */
	uint64_t netns;	    /* cookie: only sockets of it; 0: all */
	bool plain_opens;   /* neither opens that failed, nor descriptors: opens cost nothing then */
	bool own;	    /* what this process does, too */
};
struct zt_trace;
typedef int zt_trace_got(void *arg, struct zt_activity *a); /* non-zero ends the pass and is returned */
int zt_trace_open(const struct zt_trace_options *o, struct zt_procs *procs, struct zt_trace **ret, struct zt_diags *d);
void zt_trace_close(struct zt_trace *t);
void zt_trace_closep(struct zt_trace **t);
int zt_trace_fd(const struct zt_trace *t); /* for poll */
/* Hands over what is there. Number of records, or what got returned, or -errno. */
int zt_trace_read(struct zt_trace *t, zt_trace_got *got, void *arg);
/* The process that has, or just had, the end of TCP or UDP at which packets from remote arrive. Only in the network namespace of the caller. -ESRCH */
struct zt_trace_end {
	uint8_t proto;
	struct zt_addr local, remote;
	uint16_t local_port, remote_port;
};
int zt_trace_who(struct zt_trace *t, const struct zt_trace_end *end, struct zt_trace_process *ret); /* it is open now */
/* It has ended, and what was told so far says whose it was. uid: of the socket. */
int zt_trace_whose(struct zt_trace *t, const struct zt_trace_end *end, uint32_t uid, struct zt_process_id *ret);
/* Sensitive files, as zt_opens_open() takes them, borrowed: which opens that failed are told. None until then. */
void zt_trace_set_files(struct zt_trace *t, const char *const *patterns);
/* As which descriptor a process opened a file that somebody watches for opens: what was told so far, each once, in order. -ENOENT */
int zt_trace_descriptor(struct zt_trace *t, uint32_t pid, uint64_t ino, uint32_t *ret);
bool zt_trace_has_descriptors(const struct zt_trace *t);
/* The next record makes the descriptor readable, once; records that are there already do not: arm, read, and then wait. Unarmed, records only wake
 * whoever waits when 512 KiB of them are there: read at least every 50 ms. */
void zt_trace_arm(struct zt_trace *t);
/* Flows without a connection that have been idle for so long are told as closed. The same return value as read. */
int zt_trace_sweep(struct zt_trace *t, zt_usec idle, zt_trace_got *got, void *arg);
bool zt_trace_sweeps(const struct zt_trace *t); /* there are some, as far as is known: again in some seconds */
/* Flows that have not been told as closed: whose, and their bytes so far. */
void zt_trace_flows(const struct zt_trace *t, void (*fn)(void *arg, uint32_t pid, uint64_t sent, uint64_t received),
		    void *arg);
/* Why a kind that was asked for is not told here, or only in part: NULL when it is. ret_some: in part it is. */
const char *zt_trace_lack(const struct zt_trace *t, enum zt_activity_kind kind, bool *ret_some);
void zt_trace_losses(const struct zt_trace *t, uint64_t *ret_told, uint64_t ret_lost[static ZT_ACTIVITY_KINDS]);
size_t zt_trace_limits(const struct zt_trace *t, struct zt_limit *ret, size_t max);
