/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Who opens sensitive files: fanotify marks on these files alone, so that no other open costs anything. The kernel names the very file, whatever path led to it. A file that
 * is replaced (as passwd does) is marked anew at once. Needs root.
 */
#include "base/diag.h"
#include "event/procs.h"
#include "event/trace.h"

struct zt_opens;
/* paths: shell patterns, NULL-terminated, borrowed; NULL: zt_opens_default. */
extern const char *const zt_opens_default[];
/* trace: says as which descriptor, where it can; NULL: nobody does. */
int zt_opens_open(const char *const *paths, struct zt_procs *procs, struct zt_trace *trace, struct zt_opens **ret,
		  struct zt_diags *d);
bool zt_opens_is_public(const char *path); /* a public key matches like a private one, and is no secret */
void zt_opens_close(struct zt_opens *o);
void zt_opens_set_files(struct zt_opens *o, const char *const *paths); /* these from now on instead */
int zt_opens_fd(const struct zt_opens *o);
/* In two steps, and what the kernel's programs tell is read between them: a process that was gone when its open was taken is known after that. */
void zt_opens_take(struct zt_opens *o);
int zt_opens_tell(struct zt_opens *o, zt_trace_got *got, void *arg); /* as zt_trace_read */
bool zt_opens_wait(const struct zt_opens *o);		  /* some are not told yet: again in some milliseconds */
bool zt_opens_looks(const struct zt_opens *o);		  /* some cannot be watched now: again in a minute */
uint64_t zt_opens_lost(const struct zt_opens *o);	  /* times the kernel's queue was full */
struct zt_limit zt_opens_limit(const struct zt_opens *o); /* how many are watched, as of the last look */
/* Why some files are not watched, as of the last look: NULL when all are. Of each pattern 1,024 files are, so that no user's keep out the others. */
const char *zt_opens_lack(const struct zt_opens *o);
