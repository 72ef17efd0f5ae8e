/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/time.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/strbuf.h"

static zt_usec read_clock(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts); /* cannot fail for these clocks */
	return (zt_usec)ts.tv_sec * ZT_USEC_PER_SEC + (zt_usec)ts.tv_nsec / 1000;
}

zt_usec zt_now(void)
{
	return read_clock(CLOCK_REALTIME);
}

zt_usec zt_now_monotonic(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

zt_usec zt_now_boottime(void)
{
	return read_clock(CLOCK_BOOTTIME);
}

void zt_time_format(zt_usec t, char buf[static 32])
{
	time_t s = (time_t)(t / ZT_USEC_PER_SEC);
	struct tm tm;

	if (!gmtime_r(&s, &tm) || !strftime(buf, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
		(void)snprintf(buf, 32, "%s", "0000-00-00T00:00:00Z");
}

static bool number(const char **p, int digits, int lo, int hi, int *ret)
{
	int v = 0;

	for (int i = 0; i < digits; i++, (*p)++) {
		if (**p < '0' || **p > '9')
			return false;
		v = v * 10 + (**p - '0');
	}
	*ret = v;
	return v >= lo && v <= hi;
}

static bool literal(const char **p, char c)
{
	return *(*p)++ == c;
}

/* "Z", "+02:00", "-0530" left of the string; seconds to subtract. */
static bool offset(const char **p, int *ret)
{
	int sign = **p == '-' ? -1 : 1, h, m;

	*ret = 0;
	if (**p == 'Z' || **p == 'z') {
		(*p)++;
		return true;
	}
	if (**p != '+' && **p != '-')
		return false;
	(*p)++;
	if (!number(p, 2, 0, 23, &h))
		return false;
	if (**p == ':')
		(*p)++;
	if (!number(p, 2, 0, 59, &m))
		return false;
	*ret = sign * (h * 3600 + m * 60);
	return true;
}

static bool day_exists(int y, int m, int d)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;

	return d <= days[m - 1] + (m == 2 && leap);
}

int zt_time_parse(const char *s, zt_usec *ret)
{
	struct tm tm = {0};
	int year, month, off = 0;
	const char *p = s;
	time_t t;

	if (!number(&p, 4, 1970, 9999, &year) || !literal(&p, '-') || !number(&p, 2, 1, 12, &month) ||
	    !literal(&p, '-') || !number(&p, 2, 1, 31, &tm.tm_mday) || !day_exists(year, month, tm.tm_mday))
		return -EINVAL;
	if (*p == 'T' || *p == 't' || *p == ' ') {
		p++;
		if (!number(&p, 2, 0, 23, &tm.tm_hour) || !literal(&p, ':') || !number(&p, 2, 0, 59, &tm.tm_min) ||
		    !literal(&p, ':') || !number(&p, 2, 0, 60, &tm.tm_sec))
			return -EINVAL;
		if (*p == '.' && p[1] >= '0' && p[1] <= '9')
			for (p++; *p >= '0' && *p <= '9'; p++)
				;
		if (!offset(&p, &off))
			return -EINVAL;
	}
	if (*p)
		return -EINVAL;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	t = timegm(&tm) - off;
	if (t < 0)
		return -EINVAL;
	*ret = (zt_usec)t * ZT_USEC_PER_SEC;
	return 0;
}

int zt_duration_parse(const char *s, zt_usec *ret)
{
	static const struct {
		const char *unit;
		uint64_t seconds;
	} units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}, {"w", 604800}};
	size_t digits = strspn(s, "0123456789");
	char text[24];
	uint64_t v;
	int r;

	if (!digits || digits >= sizeof(text))
		return -EINVAL;
	memcpy(text, s, digits);
	text[digits] = '\0';
	r = zt_parse_u64(text, UINT64_MAX / ZT_USEC_PER_SEC / 604800, &v);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(units); i++)
		if (!strcmp(s + digits, units[i].unit)) {
			*ret = v * units[i].seconds * ZT_USEC_PER_SEC;
			return 0;
		}
	return -EINVAL;
}
