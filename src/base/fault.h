/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Anomaly injection for tests, compiled only with -DZT_FAULTS (meson -Dfaults=true) and then only when ZT_TEST=1:
 *   ZT_FAIL_ALLOC=N   the Nth allocation of the process fails
 *   ZT_FAIL_STEP=N    the Nth zt_fault_step() returns -EIO
 *   ZT_KILL_STEP=N    the process SIGKILLs itself at the Nth zt_fault_step()
 *   ZT_FAIL_WRITE=N   the Nth write of base/file fails with -ENOSPC
 *   ZT_BREAK=COMMAND  zt_fault_break() runs it by the shell: a test breaks what was loaded where only this process can
 * Without ZT_FAULTS all of it is nothing.
 */
#include "base/macros.h"

#ifdef ZT_FAULTS
int zt_fault_step(const char *name); /* 0, or -EIO when it is this step's turn to fail */
bool zt_fault_alloc(void);
bool zt_fault_write(void);
void zt_fault_break(const char *what); /* in the environment of the command as ZT_BREAK_WHAT */
#else
static inline void zt_fault_break(const char *what)
{
	(void)what;
}
static inline int zt_fault_step(const char *name)
{
	(void)name;
	return 0;
}
#endif
