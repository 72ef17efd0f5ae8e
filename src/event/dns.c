/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "event/dns.h"

enum { HEADER = 12, JUMPS = 32, A = 1, CNAME = 5, PTR = 12, AAAA = 28, DNAME = 39, IN = 1 };

struct reader {
	const uint8_t *p;
	size_t len, at;
};

static int u16(struct reader *r, uint16_t *ret)
{
	if (r->len - r->at < 2)
		return -ENODATA;
	*ret = (uint16_t)(r->p[r->at] << 8 | r->p[r->at + 1]);
	r->at += 2;
	return 0;
}

static int u32(struct reader *r, uint32_t *ret)
{
	uint16_t hi, lo;
	int e = u16(r, &hi) ?: u16(r, &lo);

	if (!e)
		*ret = (uint32_t)hi << 16 | lo;
	return e;
}

/* One label; bytes that would end a name or are none of a text come as \DDD (RFC 4343). */
static int put_label(char out[static ZT_DNS_NAME], size_t *used, const uint8_t *p, size_t n)
{
	if (*used && *used + 1 < ZT_DNS_NAME)
		out[(*used)++] = '.';
	for (size_t i = 0; i < n; i++) {
		bool plain = p[i] > 0x20 && p[i] < 0x7f && p[i] != '.' && p[i] != '\\';

		if (*used + (plain ? 1 : 4) >= ZT_DNS_NAME)
			return -EBADMSG;
		if (plain)
			out[(*used)++] = (char)tolower(p[i]);
		else
			*used += (size_t)snprintf(out + *used, 5, "\\%03u", p[i]);
	}
	return 0;
}

/* A name, compressed or not (RFC 1035, 4.1.4): pointers lead backwards only, so that there is an end. */
static int read_name(struct reader *r, char out[static ZT_DNS_NAME])
{
	size_t at = r->at, used = 0, behind = 0;

	for (unsigned jumps = 0; jumps < JUMPS;) {
		unsigned n;

		if (at >= r->len)
			return -ENODATA;
		n = r->p[at];
		if (n >= 0xc0) {
			size_t to;

			if (at + 1 >= r->len)
				return -ENODATA;
			to = (size_t)(n & 0x3f) << 8 | r->p[at + 1];
			behind = behind ? behind : at + 2;
			if (to >= at)
				return -EBADMSG;
			at = to;
			jumps++;
			continue;
		}
		if (n > 63)
			return -EBADMSG;
		at++;
		if (!n) {
			r->at = behind ? behind : at;
			if (!used)
				out[used++] = '.';
			out[used] = '\0';
			return 0;
		}
		if (r->len - at < n)
			return -ENODATA;
		if (put_label(out, &used, r->p + at, n) < 0)
			return -EBADMSG;
		at += n;
	}
	return -EBADMSG;
}

static int read_data(struct reader *r, struct zt_dns_answer *a, uint16_t class, uint16_t len)
{
	struct reader data = {r->p, r->at + len, r->at};

	if (r->len - r->at < len)
		return -ENODATA;
	if (class == IN && ((a->type == A && len == 4) || (a->type == AAAA && len == 16))) {
		a->addr = (struct zt_addr){.family = a->type == A ? 4 : 6};
		memcpy(a->addr.b, r->p + r->at, len);
	} else if (a->type == CNAME || a->type == PTR) {
		if (read_name(&data, a->name) < 0)
			return -EBADMSG;
	} else {
		a->type = 0;
	}
	r->at += len;
	return 0;
}

static int read_answer(struct reader *r, struct zt_dns *d)
{
	struct zt_dns_answer a = {.type = 0};
	char owner[ZT_DNS_NAME];
	uint16_t class, len;
	int e = read_name(r, owner) ?: u16(r, &a.type) ?: u16(r, &class) ?: u32(r, &a.ttl) ?: u16(r, &len);

	e = e ?: read_data(r, &a, class, len);
	if (e)
		return e;
	if (a.type && d->n_answers < ZT_DNS_ANSWERS)
		d->answers[d->n_answers++] = a;
	return 0;
}

static int read_message(struct reader *r, struct zt_dns *d)
{
	uint16_t flags, questions, answers, skipped, class;
	int e = u16(r, &d->id) ?: u16(r, &flags) ?: u16(r, &questions) ?: u16(r, &answers) ?: u16(r, &skipped) ?: u16(r, &skipped);

	if (e || questions != 1)
		return -EBADMSG;
	d->response = flags >> 15;
	d->rcode = flags & 15;
	d->truncated = flags >> 9 & 1;
	e = read_name(r, d->name) ?: u16(r, &d->type) ?: u16(r, &class);
	if (e)
		return -EBADMSG;
	for (unsigned i = 0; d->response && i < answers; i++) {
		e = read_answer(r, d);
		if (e == -ENODATA) {
			d->truncated = true; /* only the beginning was looked at */
			return 0;
		}
		if (e)
			return -EBADMSG;
	}
	return 0;
}

int zt_dns_parse(const uint8_t *p, size_t len, bool tcp, struct zt_dns *ret)
{
	struct reader r = {p, len, 0};

	if (tcp) {
		if (len < 2)
			return -EBADMSG;
		r.p += 2;
		r.len -= 2;
	}
	memset(ret, 0, offsetof(struct zt_dns, answers));
	ret->n_answers = 0;
	ret->truncated = false;
	return r.len < HEADER ? -EBADMSG : read_message(&r, ret);
}

const char *zt_dns_type_name(uint16_t type, char buf[static 16])
{
	static const struct {
		uint16_t type;
		const char *name;
	} names[] = {{A, "A"},	     {2, "NS"},	     {CNAME, "CNAME"}, {6, "SOA"},    {PTR, "PTR"},	{15, "MX"},
		     {16, "TXT"},    {AAAA, "AAAA"}, {33, "SRV"},      {35, "NAPTR"}, {DNAME, "DNAME"}, {43, "DS"},
		     {48, "DNSKEY"}, {64, "SVCB"},   {65, "HTTPS"},    {255, "ANY"}};

	for (size_t i = 0; i < ZT_ARRAY_SIZE(names); i++)
		if (names[i].type == type)
			return names[i].name;
	(void)snprintf(buf, 16, "TYPE%u", type);
	return buf;
}

const char *zt_dns_rcode_name(uint8_t rcode, char buf[static 16])
{
	static const char *const names[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"};

	if (rcode < ZT_ARRAY_SIZE(names))
		return names[rcode];
	(void)snprintf(buf, 16, "RCODE%u", rcode);
	return buf;
}
