/* SPDX-License-Identifier: GPL-2.0-or-later */
/* journal-bench FILE N [week]: appends N connections of 50 programs to 200 places to a new journal; prints how many a second of the clock and of the processor,
 * how many were lost, and the bytes that all of them take on the disk. week: they happened in the last seven days, each program at most at the places that it likes most. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "event/journal.h"

#define WEEK (UINT64_C(7) * 24 * 3600 * ZT_USEC_PER_SEC)

/* The same in every run. */
static uint64_t mixed(uint64_t v)
{
	v = (v ^ v >> 31) * UINT64_C(0x9e3779b97f4a7c15);
	v = (v ^ v >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
	return v ^ v >> 32;
}

/* Of `places` the first ones most often. */
static uint64_t liked(uint64_t i, uint64_t places)
{
	uint64_t u = mixed(i) & 0xffff;

	return u * u * u * places >> 48;
}

static void connection(uint64_t i, uint64_t n, bool week, struct zt_activity *a)
{
	char text[64];
	uint64_t place = week ? liked(i, 200) : i % 10 * 20 + i * 7 % 20;
	struct zt_addr addr = {.family = 4, .b = {10, 0, (uint8_t)(place / 20), (uint8_t)(place % 20)}};

	zt_activity_init(a, ZT_ACTIVITY_CONNECT, week ? zt_now() - WEEK + i * (WEEK / n) : zt_now());
	zt_activity_set(a, pid, (uint32_t)(1000 + i % 5000));
	zt_activity_set(a, start, 100000 + i / 16);
	zt_activity_set(a, uid, (uint32_t)(1000 + i % 5));
	zt_activity_set(a, gid, (uint32_t)(1000 + i % 5));
	zt_activity_text(a, direction, "egress", 6);
	zt_activity_set(a, protocol, 6);
	zt_activity_addr(a, ZT_FIELD_dst, &addr);
	addr = (struct zt_addr){.family = 4, .b = {10, 0, 0, 1}};
	zt_activity_addr(a, ZT_FIELD_src, &addr);
	zt_activity_set(a, sport, (uint16_t)(32768 + i % 28000));
	zt_activity_set(a, dport, 443);
	(void)snprintf(text, sizeof(text), "/usr/lib/service-%u/bin/program", (unsigned)(i % 50));
	zt_activity_text(a, exe, text, strlen(text));
	(void)snprintf(text, sizeof(text), "system.slice/service-%u.service", (unsigned)(i % 50));
	zt_activity_text(a, cgroup, text, strlen(text));
}

static double used(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u); /* cannot fail */
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
	struct zt_journal *j = NULL;
	struct zt_diags d = {0};
	bool week = argc == 4 && !strcmp(argv[3], "week");
	uint64_t n = argc == 3 || week ? strtoull(argv[2], NULL, 10) : 0, lost = 0;
	zt_usec began;
	double cpu;
	struct stat st;
	int r = n ? zt_journal_open(argv[1], NULL, &j, &d) : -EINVAL;

	zt_diags_print(&d, stderr, false);
	if (r < 0)
		return 1;
	began = zt_now_monotonic();
	cpu = used();
	for (uint64_t i = 0; i < n; i++) {
		struct zt_activity a;

		connection(i, n, week, &a);
		lost += zt_journal_append(j, &a, NULL) < 0;
	}
	r = zt_journal_flush(j);
	cpu = used() - cpu;
	began = zt_now_monotonic() - began;
	zt_journal_close(j);
	if (r < 0 || stat(argv[1], &st) < 0)
		return 1;
	printf("%.0f %.0f %llu %lld\n", (double)n * 1e6 / (double)began, (double)n / cpu, (unsigned long long)lost,
	       (long long)st.st_size);
	return 0;
}
