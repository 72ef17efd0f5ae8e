/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "event/source.h"

static const uint8_t tcp4[] = {0x45, 0, 0, 60, 0,   1, 0x40, 0, 64,   6,    0,	  0,
			       127,  0, 0, 1,  127, 0, 0,    2, 0xd4, 0x31, 0x18, 0xeb};

static int parse(const uint8_t *p, size_t n, struct zt_event *e)
{
	uint8_t *copy = malloc(n ? n : 1); /* exactly this long: a read past the end is seen by a sanitizer */
	int r;

	memcpy(copy, p, n);
	r = zt_event_parse_packet(copy, n, e);
	free(copy);
	return r;
}

static void test_tcp4(void **state)
{
	struct zt_event e = {0};

	(void)state;
	assert_int_equal(parse(tcp4, sizeof(tcp4), &e), 0);
	assert_int_equal(e.proto, 6);
	assert_true(e.has_ports);
	assert_int_equal(e.sport, 54321);
	assert_int_equal(e.dport, 6379);
	assert_int_equal(e.length, 60);
	assert_int_equal(e.dst.b[3], 2);
}

static void test_options_and_fragments4(void **state)
{
	uint8_t p[40] = {0x46, 0, 0, 60, 0, 1, 0, 0, 64, 17};
	struct zt_event e = {0};

	(void)state;
	p[24] = 0, p[25] = 53, p[26] = 1, p[27] = 0;
	assert_int_equal(parse(p, sizeof(p), &e), 0);
	assert_int_equal(e.sport, 53);
	assert_int_equal(e.dport, 256);
	e = (struct zt_event){0};
	p[7] = 1; /* a later fragment has no ports */
	assert_int_equal(parse(p, sizeof(p), &e), 0);
	assert_false(e.has_ports);
}

static size_t make6(uint8_t *p, const uint8_t *chain, size_t n, uint8_t first)
{
	memset(p, 0, 40);
	p[0] = 0x60;
	p[5] = (uint8_t)n;
	p[6] = first;
	p[23] = p[39] = 1;
	memcpy(p + 40, chain, n);
	return 40 + n;
}

static void test_extension_headers(void **state)
{
	/* hop by hop, destination options (16 bytes), first fragment, then UDP 9 -> 53 */
	static const uint8_t chain[] = {60, 0, 0, 0, 0,	 0, 0, 0, 44, 1, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0,
					0,  0, 0, 0, 17, 0, 0, 1, 0,  0, 0, 9, 0, 9, 0, 53, 0, 8, 0, 0};
	uint8_t p[128];
	struct zt_event e = {0};
	size_t n = make6(p, chain, sizeof(chain), 0);

	(void)state;
	assert_int_equal(parse(p, n, &e), 0);
	assert_int_equal(e.proto, 17);
	assert_true(e.has_ports);
	assert_int_equal(e.dport, 53);
	e = (struct zt_event){0};
	p[40 + 26] = 1; /* offset of the fragment is not zero any more */
	assert_int_equal(parse(p, n, &e), 0);
	assert_int_equal(e.proto, 17);
	assert_false(e.has_ports);
}

static void test_endless_chain(void **state)
{
	uint8_t p[40 + 8 * 64], chain[8 * 64] = {0};
	struct zt_event e = {0};
	size_t n = make6(p, chain, sizeof(chain), 0); /* hop by hop after hop by hop, without end */

	(void)state;
	assert_int_equal(parse(p, n, &e), 0);
	assert_false(e.has_ports);
}

static void test_cut(void **state)
{
	static const uint8_t chain[] = {44, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4};
	uint8_t p[128];
	size_t n = make6(p, chain, sizeof(chain), 60);
	struct zt_event e;

	(void)state;
	for (size_t i = 0; i <= n; i++) {
		e = (struct zt_event){0};
		assert_int_equal(parse(p, i, &e), i < 40 ? -EBADMSG : 0);
		assert_true(i == n || !e.has_ports);
	}
	for (size_t i = 0; i < sizeof(tcp4); i++) {
		e = (struct zt_event){0};
		assert_int_equal(parse(tcp4, i, &e), i < 20 ? -EBADMSG : 0);
		assert_false(e.has_ports);
	}
}

static void test_garbage(void **state)
{
	static const uint8_t starts[] = {0x00, 0x15, 0x44, 0x40, 0x50, 0xff};
	struct zt_event e = {0};
	uint8_t p[64] = {0};

	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(starts); i++) {
		p[0] = starts[i];
		assert_int_equal(parse(p, sizeof(p), &e), -EBADMSG);
	}
	p[0] = 0x4f; /* a header longer than what was captured */
	p[9] = 6;
	assert_int_equal(parse(p, 30, &e), 0);
	assert_false(e.has_ports);
}

static void test_prefix(void **state)
{
	struct zt_event e = {0};

	(void)state;
	assert_int_equal(zt_event_parse_prefix("ZT-BLOCKED: ", "ZT-BLOCKED: ", &e), 0);
	assert_int_equal(e.kind, ZT_EVENT_BLOCKED);
	assert_int_equal(zt_event_parse_prefix("ZT-BLOCKED: rule=no mail ", "ZT-BLOCKED: ", &e), 0);
	assert_string_equal(e.rule, "no mail");
	assert_int_equal(zt_event_parse_prefix("OTHER: ", "ZT-BLOCKED: ", &e), -ENOMSG);
	assert_int_equal(zt_event_parse_prefix("x ZT-BLOCKED: ", "ZT-BLOCKED: ", &e), -ENOMSG);
	assert_int_equal(zt_event_parse_prefix("", "ZT-BLOCKED: ", &e), -ENOMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp4),
		cmocka_unit_test(test_options_and_fragments4),
		cmocka_unit_test(test_extension_headers),
		cmocka_unit_test(test_endless_chain),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
