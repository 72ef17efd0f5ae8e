/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
#include "base/macros.h"

typedef uint64_t zt_usec; /* microseconds since the epoch (realtime) or since boot (monotonic) */
#define ZT_USEC_PER_SEC UINT64_C(1000000)

zt_usec zt_now(void);		/* CLOCK_REALTIME */
zt_usec zt_now_monotonic(void); /* CLOCK_MONOTONIC */
zt_usec zt_now_boottime(void);	/* CLOCK_BOOTTIME: nobody sets it, and it goes on while the machine sleeps */
/* "2024-12-27T10:00:00Z" (seconds, UTC); buf of at least 32 bytes. */
void zt_time_format(zt_usec t, char buf[static 32]);
/* RFC 3339 with Z or a numeric offset, or a date alone (midnight UTC); whole string; 0 or -EINVAL. */
int zt_time_parse(const char *s, zt_usec *ret);
/* "90", "90s", "15m", "2h", "7d" -> microseconds; 0 or -EINVAL / -ERANGE. */
int zt_duration_parse(const char *s, zt_usec *ret);
