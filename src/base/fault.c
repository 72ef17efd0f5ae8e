/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/fault.h"

#ifdef ZT_FAULTS
#include <signal.h>
#include <string.h>

/* Counts calls; true on the one the environment asks for. */
static bool turn(const char *variable, unsigned long *count)
{
	const char *want = getenv(variable), *test = getenv("ZT_TEST");

	return want && test && !strcmp(test, "1") && ++*count == strtoul(want, NULL, 10);
}

int zt_fault_step(const char *name)
{
	static unsigned long fails, kills;

	(void)name;
	if (turn("ZT_KILL_STEP", &kills))
		(void)raise(SIGKILL); /* does not come back */
	return turn("ZT_FAIL_STEP", &fails) ? -EIO : 0;
}

bool zt_fault_alloc(void)
{
	static unsigned long count;

	return turn("ZT_FAIL_ALLOC", &count);
}

bool zt_fault_write(void)
{
	static unsigned long count;

	return turn("ZT_FAIL_WRITE", &count);
}

void zt_fault_break(const char *what)
{
	const char *command = getenv("ZT_BREAK"), *test = getenv("ZT_TEST");

	if (!command || !test || strcmp(test, "1") != 0 || setenv("ZT_BREAK_WHAT", what, 1) < 0)
		return;
	(void)!system(command); /* the test sees what came of it */
}
#else
typedef int zt_fault_unused; /* a translation unit is never empty */
#endif
