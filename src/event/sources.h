/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Everything that tells of this host, as one: processes and connections (trace.h), sensitive files (opens.h), what the policy blocked (event.h). The
 * command line and the daemon read it in the same way:
 *
 *   for (;;) { zt_sources_read(s, got, arg); poll(zt_sources_fd(s), zt_sources_wait(s)); }
 *
 * Losses are exact: what was told plus what zt_sources_losses() says is all there was.
 */
#include "base/diag.h"
#include "event/event.h"
#include "event/trace.h"

struct zt_sources_options {
	uint32_t kinds;	    /* 1 << enum zt_activity_kind; 0: all */
	const char *cgroup; /* as in struct zt_trace_options */
	uint64_t netns;
	bool digests;			/* as in struct zt_procs_options */
	const char *const *files;	/* as zt_opens_open() takes them, borrowed */
	struct zt_event_source *denies; /* that follows, or NULL; taken over, also on failure */
	bool plain_opens;		/* as in struct zt_trace_options */
	bool bare;			/* no programs in the kernel: who was blocked is what the log says */
};
struct zt_sources;
int zt_sources_open(const struct zt_sources_options *o, struct zt_sources **ret, struct zt_diags *d);
void zt_sources_close(struct zt_sources *s);
void zt_sources_closep(struct zt_sources **s);
/* Replaces what tells of blocked traffic, when another engine or generation took over. */
void zt_sources_set_denies(struct zt_sources *s, struct zt_event_source *denies);
void zt_sources_set_prefix(struct zt_sources *s, const char *blocked_prefix); /* as zt_event_set_prefix */
void zt_sources_set_files(struct zt_sources *s, const char *const *files);    /* instead of those of the options */
int zt_sources_fd(const struct zt_sources *s);
int zt_sources_read(struct zt_sources *s, zt_trace_got *got, void *arg); /* as zt_trace_read */
/* Reads once more, and tells of all flows without a connection as closed: they are not looked at any more. 0 or as read. */
int zt_sources_end(struct zt_sources *s, zt_trace_got *got, void *arg);
/* Milliseconds that may be waited until the next read, while the descriptor stays quiet: short while much happens, -1 (for ever) when nothing does. */
int zt_sources_wait(struct zt_sources *s);
void zt_sources_losses(const struct zt_sources *s, uint64_t ret_lost[static ZT_ACTIVITY_KINDS]);
/* Why a kind that was asked for is not told, or only in part: NULL when it is. ret_some: in part it is. */
const char *zt_sources_lack(const struct zt_sources *s, enum zt_activity_kind kind, bool *ret_some);
const struct zt_trace *zt_sources_trace(const struct zt_sources *s); /* NULL */
struct zt_procs *zt_sources_procs(const struct zt_sources *s);
uint64_t zt_sources_told(const struct zt_sources *s);
size_t zt_sources_limits(const struct zt_sources *s, struct zt_limit *ret, size_t max);
/* A record of blocked traffic as an activity; procs may be NULL. */
void zt_event_activity(const struct zt_event *e, struct zt_procs *procs, struct zt_activity *ret);
