/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Inside the event room: tracepoints by name, also where nobody mounted their file system. */

/* A perf event of it for a program to be attached to; -ENOENT: this kernel has none. */
int zt_tracepoint_open(const char *name); /* "syscalls/sys_exit_openat" */
