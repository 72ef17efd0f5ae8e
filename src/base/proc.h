/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Child processes and namespaces. */
#include <sched.h>
#include <sys/types.h>

#include "base/macros.h"

struct zt_run {
	/* in */
	const char *const
		*argv;	   /* argv[0] is searched in a fixed PATH (/usr/sbin:/usr/bin:/sbin:/bin), never in $PATH */
	const void *input; /* fed to standard input, may be NULL */
	size_t input_len;
	const char *const
		*extra_env;    /* "TZ=UTC", NULL-terminated; the rest of the environment is LC_ALL=C and PATH only */
	size_t max_output;     /* 0 = 256 MiB */
	uint64_t timeout_usec; /* 0 = none; then the child is killed and -ETIMEDOUT returned */
	bool new_netns;	       /* run it in a fresh, empty network namespace (loopback down) */
	/* out, freed by zt_run_done */
	char *out, *err; /* NUL-terminated */
	size_t out_len, err_len;
	int status; /* exit status 0..255, or 128 + signal */
};
/* 0 when the child ran (see status), else -errno (-ENOENT: no such program). Never leaves a child behind. */
int zt_run(struct zt_run *r);
void zt_run_done(struct zt_run *r);
/* The last children that zt_run() started in this process, or the one it was forked from, in no order. Returns how many. */
enum { ZT_RUN_RECENT = 32 };
size_t zt_run_recent(pid_t ret[static ZT_RUN_RECENT]);

/* Moves the calling (single-threaded) process into /run/netns/NAME, or a path that contains a slash. */
int zt_netns_enter(const char *name);
uint64_t zt_netns_cookie(void); /* of the current one; 0: cannot be told (before Linux 5.14) */
/* Connections that the kernel tracks in the current one, and how many it can: when they are that many, new ones are dropped. -ENOENT: it tracks none. */
int zt_netns_tracked(uint64_t *ret_used, uint64_t *ret_max);
static inline bool zt_tracked_alarm(uint64_t used, uint64_t max) /* four fifths */
{
	return max && used * 5 >= max * 4;
}
bool zt_pidns_is_initial(void); /* of process numbers */
bool zt_netns_is_initial(void); /* is the current one the namespace of process 1? unknown counts as yes */
