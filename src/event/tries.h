/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Inside the event room: what became of calls that open sensitive files (bpf/tries.bpf.c), beside opens.c, which tells of those that succeeded: the
 * descriptor of these, and calls that failed. Optional: without it opens are told as fanotify tells them.
 */
#include "event/calls.h"

struct zt_tries;
int zt_tries_open(const struct zt_calls_options *o, struct zt_tries **ret); /* only for lack of memory it fails */
void zt_tries_close(struct zt_tries *t);				    /* NULL: nothing */
/* Shell patterns as zt_opens_open() takes them, borrowed. Until then nothing is sensitive. t NULL: nothing. */
void zt_tries_set_files(struct zt_tries *t, const char *const *patterns);
bool zt_tries_works(const struct zt_tries *t);
const char *zt_tries_lack(const struct zt_tries *t); /* what is not seen; NULL: all is */

struct zt_trace_open;						       /* bpf/trace_abi.h */
void zt_tries_note(struct zt_tries *t, const struct zt_trace_open *e); /* a descriptor: of whom and of which file */
/* The first that was noted of the process and the file since it was asked last, or -ENOENT. */
int zt_tries_take(struct zt_tries *t, uint32_t pid, uint64_t ino, uint32_t *ret);
bool zt_tries_is_sensitive(const struct zt_tries *t, const struct zt_trace_open *e);
void zt_tries_fill(const struct zt_trace_open *e, struct zt_activity *a); /* all but the process */

/* A pattern as the programs take it: what they accept is what it matches, or more. */
struct zt_tries_patterns;
void zt_tries_lower(const char *const *patterns, struct zt_tries_patterns *ret);
