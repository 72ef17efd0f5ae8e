/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages as resolvers send them, cut anywhere, and lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "event/dns.h"
#include "event/dnsstream.h"

#define QUESTION      \
	"\x03www\x07" \
	"Example\x03org\x00\x00\x01\x00\x01"
#define BYTES(s) (const uint8_t *)(s), sizeof(s) - 1

static const char question[] = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" QUESTION;
/* CNAME to a compressed name, then A and AAAA of it. */
static const char answer[] =
	"\x12\x34\x81\x80\x00\x01\x00\x03\x00\x00\x00\x00" QUESTION
	"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x06\x03"
	"cdn\xc0\x10"
	"\xc0\x2d\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04\xc0\x00\x02\x07"
	"\xc0\x2d\x00\x1c\x00\x01\x00\x00\x01\x2c\x00\x10\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x09";

struct told {
	char names[8][ZT_DNS_NAME];
	size_t n;
};

static void got_message(void *arg, const uint8_t *p, size_t len)
{
	struct told *t = arg;
	struct zt_dns d;

	assert_true(t->n < 8);
	(void)snprintf(t->names[t->n++], ZT_DNS_NAME, "%s", zt_dns_parse(p, len, true, &d) == 0 ? d.name : "-");
}

static void add(struct zt_dns_streams *s, uint32_t seq, const uint8_t *data, size_t len, size_t all, struct told *t)
{
	zt_dns_streams_add(
		s, (struct zt_dns_piece){.socket = 7, .out = 1, .seq = seq, .data = data, .len = len, .all = all},
		got_message, t);
}

/* Two messages of TCP, cut into packets of any size, some sent twice; the sequence number wraps. */
static void pieces(void **state)
{
	uint8_t two[2 * (sizeof(question) + 1)];
	size_t one = sizeof(question) - 1 + 2;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		two[i * one] = 0;
		two[i * one + 1] = sizeof(question) - 1;
		memcpy(two + i * one + 2, question, sizeof(question) - 1);
	}
	for (size_t size = 1; size <= 2 * one; size++) {
		struct zt_dns_streams *s = NULL;
		struct told t = {0};

		assert_int_equal(zt_dns_streams_new(&s), 0);
		for (size_t at = 0; at < 2 * one; at += size) {
			size_t n = 2 * one - at < size ? 2 * one - at : size, before = at < 3 ? 0 : at - 3;

			add(s, (uint32_t)(0xfffffff0 + at), two + at, n, n, &t);
			add(s, (uint32_t)(0xfffffff0 + before), two + before, at + n - before, at + n - before, &t);
		}
		assert_int_equal(t.n, 2);
		assert_string_equal(t.names[0], "www.example.org");
		assert_string_equal(t.names[1], "www.example.org");
		zt_dns_streams_free(s);
	}
}

/* Of a long message the beginning is seen; what follows it is a message again. Lies are told, and do no harm. */
static void long_pieces(void **state)
{
	uint8_t big[2000] = {3000 >> 8, 3000 & 0xff}, lie[600];
	size_t one = sizeof(question) - 1 + 2;
	struct zt_dns_streams *s = NULL;
	struct told t = {0};
	uint8_t small[64] = {0, sizeof(question) - 1};

	(void)state;
	memcpy(big + 2, answer, sizeof(answer) - 1);
	memcpy(small + 2, question, sizeof(question) - 1);
	memset(lie, 0xff, sizeof(lie));
	assert_int_equal(zt_dns_streams_new(&s), 0);
	add(s, 100, big, 512, 2000, &t);
	add(s, 2100, big, 512, 1002, &t); /* the rest of it */
	add(s, 3102, small, one, one, &t);
	assert_int_equal(t.n, 2);
	assert_string_equal(t.names[0], "www.example.org");
	assert_string_equal(t.names[1], "www.example.org");
	add(s, 9000, small, one, one, &t); /* after a gap */
	add(s, (uint32_t)(9000 + one), (const uint8_t *)"\0\1xx", 4, 4, &t);
	add(s, (uint32_t)(9004 + one), lie, 512, 600, &t);
	assert_int_equal(t.n, 5);
	assert_string_equal(t.names[2], "www.example.org");
	assert_string_equal(t.names[3], "-");
	assert_string_equal(t.names[4], "-");
	/* Of a number that cannot be right (anybody can send such a packet) no more is believed than that packet. */
	zt_dns_streams_free(s);
	assert_int_equal(zt_dns_streams_new(&s), 0);
	add(s, 9000, small, 1, 1, &t);
	add(s, 0x40000000, small, one, one, &t);
	add(s, 9001, small + 1, one - 1, one - 1, &t);
	assert_int_equal(t.n, 7);
	assert_string_equal(t.names[5], "www.example.org");
	assert_string_equal(t.names[6], "www.example.org");
	zt_dns_streams_free(s);
}

static void messages(void **state)
{
	struct zt_dns d;
	char b[64];

	(void)state;
	assert_int_equal(zt_dns_parse(BYTES(question), false, &d), 0);
	assert_false(d.response);
	assert_int_equal(d.id, 0x1234);
	assert_string_equal(d.name, "www.example.org");
	assert_string_equal(zt_dns_type_name(d.type, b), "A");
	assert_int_equal(zt_dns_parse(BYTES(answer), false, &d), 0);
	assert_true(d.response && !d.truncated);
	assert_int_equal(d.n_answers, 3);
	assert_string_equal(d.answers[0].name, "cdn.example.org");
	zt_addr_format(&d.answers[1].addr, b);
	assert_string_equal(b, "192.0.2.7");
	assert_int_equal(d.answers[1].ttl, 300);
	zt_addr_format(&d.answers[2].addr, b);
	assert_string_equal(b, "2001:db8::9");
	assert_string_equal(zt_dns_rcode_name(3, b), "NXDOMAIN");
	assert_string_equal(zt_dns_rcode_name(11, b), "RCODE11");
	assert_string_equal(zt_dns_type_name(1234, b), "TYPE1234");
}

static void over_tcp(void **state)
{
	uint8_t b[sizeof(answer) + 2] = {0, sizeof(answer) - 1};
	struct zt_dns d;

	(void)state;
	memcpy(b + 2, answer, sizeof(answer) - 1);
	assert_int_equal(zt_dns_parse(b, sizeof(answer) + 1, true, &d), 0);
	assert_int_equal(d.n_answers, 3);
	assert_int_equal(zt_dns_parse(b, 1, true, &d), -EBADMSG);
}

/* What fits is told, the rest is said to be missing; before the question there is nothing to tell. */
static void cut(void **state)
{
	(void)state;
	for (size_t len = 0; len < sizeof(answer) - 1; len++) {
		struct zt_dns d;
		int r = zt_dns_parse((const uint8_t *)answer, len, false, &d);

		if (len < 33)
			assert_int_equal(r, -EBADMSG);
		else if (r == 0)
			assert_true(d.truncated && d.n_answers < 3);
	}
}

static void lies(void **state)
{
	struct zt_dns d;

	(void)state;
	/* no question, two, a pointer to itself, forwards, a label of 64, of no length at all */
	assert_int_equal(zt_dns_parse(BYTES("\0\0\0\0\0\0\0\0\0\0\0\0"), false, &d), -EBADMSG);
	assert_int_equal(zt_dns_parse(BYTES("\0\0\0\0\0\2\0\0\0\0\0\0\1a\0\0\1\0\1"), false, &d), -EBADMSG);
	assert_int_equal(zt_dns_parse(BYTES("\0\0\0\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1"), false, &d), -EBADMSG);
	assert_int_equal(zt_dns_parse(BYTES("\0\0\0\0\0\1\0\0\0\0\0\0\xc0\x10\0\1\0\1"), false, &d), -EBADMSG);
	assert_int_equal(zt_dns_parse(BYTES("\0\0\0\0\0\1\0\0\0\0\0\0\x40\x10\0\1\0\1"), false, &d), -EBADMSG);
	/* what is no text cannot pretend to be a dot, a blank or a line */
	assert_int_equal(zt_dns_parse(BYTES("\0\0\0\0\0\1\0\0\0\0\0\0\5a.b\n\xff\0\0\1\0\1"), false, &d), 0);
	assert_string_equal(d.name, "a\\046b\\010\\255");
	assert_int_equal(zt_dns_parse(BYTES("\0\0\0\0\0\1\0\0\0\0\0\0\0\0\2\0\1"), false, &d), 0);
	assert_string_equal(d.name, ".");
}

int main(void)
{
	const struct CMUnitTest list[] = {
		cmocka_unit_test(pieces),   cmocka_unit_test(long_pieces), cmocka_unit_test(messages),
		cmocka_unit_test(over_tcp), cmocka_unit_test(cut),	   cmocka_unit_test(lies),
	};

	return cmocka_run_group_tests(list, NULL, NULL);
}
