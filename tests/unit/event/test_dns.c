/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages as resolvers send them, cut anywhere, and lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "event/dns.h"

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
		cmocka_unit_test(messages),
		cmocka_unit_test(over_tcp),
		cmocka_unit_test(cut),
		cmocka_unit_test(lies),
	};

	return cmocka_run_group_tests(list, NULL, NULL);
}
