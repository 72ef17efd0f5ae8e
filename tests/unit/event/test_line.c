/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "base/mem.h"
#include "event/activity.h"
#include "event/event.h"
#include "event/sources.h"

#define PREFIX "ZT-BLOCKED: "
#define KERNEL                                                                                                                 \
	PREFIX "IN= OUT=lo SRC=127.0.0.1 DST=127.0.0.1 LEN=60 TOS=0x00 PREC=0x00 TTL=64 ID=1 DF PROTO=TCP SPT=54321 DPT=6379 " \
	       "SEQ=1 ACK=0 WINDOW=65495 RES=0x00 SYN URGP=0 UID=1003 GID=1004"

static int parse(const char *s, struct zt_event *e)
{
	/* a copy of exactly this length, so that a read past the end is seen by a sanitizer */
	size_t n = strlen(s);
	char *copy = malloc(n ? n : 1);
	int r;

	memcpy(copy, s, n);
	r = zt_event_parse_line(copy, n, PREFIX, e);
	free(copy);
	return r;
}

static void test_kernel_line(void **state)
{
	struct zt_event e = {0};
	char addr[64];

	(void)state;
	assert_int_equal(parse("Dec 27 10:01:00 hostname kernel: " KERNEL, &e), 0);
	assert_int_equal(e.kind, ZT_EVENT_BLOCKED);
	assert_string_equal(e.out, "lo");
	assert_string_equal(e.in, "");
	zt_addr_format(&e.dst, addr);
	assert_string_equal(addr, "127.0.0.1");
	assert_int_equal(e.proto, 6);
	assert_true(e.has_ports && e.has_uid);
	assert_int_equal(e.sport, 54321);
	assert_int_equal(e.dport, 6379);
	assert_int_equal(e.uid, 1003);
	assert_int_equal(e.gid, 1004);
	assert_int_equal(e.length, 60);
	assert_string_equal(e.rule, "");
	assert_true(e.when > 0);
}

static void test_reference_line(void **state)
{
	struct zt_event e = {0};

	(void)state;
	assert_int_equal(
		parse("Dec 27 10:02:00 hostname kernel: ZT-BLOCKED: IN= OUT=eth0 SRC=192.168.1.100 DST=8.8.8.8 PROTO=ICMP "
		      "UID=1001",
		      &e),
		0);
	assert_int_equal(e.proto, 1);
	assert_false(e.has_ports);
	assert_int_equal(e.uid, 1001);
}

static void test_kinds_and_rules(void **state)
{
	struct zt_event e = {0};

	(void)state;
	assert_int_equal(parse("ZT-OBSERVED: IN= OUT=lo SRC=::1 DST=::1 PROTO=UDP SPT=1 DPT=53 UID=0 GID=0", &e), 0);
	assert_int_equal(e.kind, ZT_EVENT_OBSERVED);
	assert_int_equal(e.src.family, 6);
	assert_int_equal(
		parse("ZT-ALLOWED: rule=web to redis IN= OUT=lo SRC=1.2.3.4 DST=1.2.3.5 PROTO=TCP SPT=1 DPT=2", &e), 0);
	assert_int_equal(e.kind, ZT_EVENT_ALLOWED);
	assert_string_equal(e.rule, "web to redis");
	assert_false(e.has_uid);
}

static void test_times(void **state)
{
	struct zt_event e = {0};

	(void)state;
	assert_int_equal(parse("1732420000.123456 host kernel: " KERNEL, &e), 0);
	assert_int_equal(e.when, 1732420000123456);
	assert_int_equal(parse("2024-12-27T10:01:00.654321+01:00 host kernel: " KERNEL, &e), 0);
	assert_int_equal(e.when, 1735290060000000);
	assert_int_equal(parse("[   12.345678] " KERNEL, &e), 0);
	assert_int_equal(e.when, 0);
	assert_int_equal(parse("Foo 99 99:99:99 host kernel: " KERNEL, &e), 0);
	assert_int_equal(e.when, 0);
}

/* An ICMP error quotes the packet it is about in brackets; that one is not ours. */
static void test_quoted_packet(void **state)
{
	struct zt_event e = {0};
	char addr[64];

	(void)state;
	assert_int_equal(
		parse(PREFIX
		      "IN= OUT=lo SRC=10.0.0.1 DST=10.0.0.2 LEN=88 PROTO=ICMP TYPE=3 CODE=3 [SRC=9.9.9.9 DST=8.8.8.8 "
		      "LEN=60 PROTO=UDP SPT=1 DPT=2 LEN=40 ] UID=7 GID=8",
		      &e),
		0);
	zt_addr_format(&e.src, addr);
	assert_string_equal(addr, "10.0.0.1");
	assert_int_equal(e.proto, 1);
	assert_false(e.has_ports);
	assert_int_equal(e.uid, 7);
}

static void test_not_ours(void **state)
{
	static const char *const lines[] = {"", "x", "kernel: IN= OUT=lo SRC=1.1.1.1 DST=1.1.1.1 PROTO=TCP",
					    "ZT-BLOCKED:", "ZT-BLOCKED"};
	struct zt_event e = {.uid = 42};

	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(lines); i++)
		assert_int_equal(parse(lines[i], &e), -ENOMSG);
	assert_int_equal(e.uid, 42); /* untouched on failure */
}

static void test_damaged(void **state)
{
	static const char *const lines[] = {
		PREFIX,
		PREFIX "IN= OUT=lo",
		PREFIX "IN= OUT=lo SRC=127.0.0.1 DST=127.0.0.1",
		PREFIX "IN= OUT=lo SRC=127.0.0.1 PROTO=TCP",
		PREFIX "IN= OUT=lo DST=127.0.0.1 PROTO=TCP",
		PREFIX "IN= OUT=lo SRC=127.0.0.1 DST=::1 PROTO=TCP",
		PREFIX "IN= OUT=lo SRC=127.0.0.999 DST=127.0.0.1 PROTO=TCP",
		PREFIX "IN= OUT=lo SRC= DST=127.0.0.1 PROTO=TCP",
		PREFIX "IN= OUT=lo SRC=127.0.0.1 DST=127.0.0.1 PROTO=TCP SPT=1 DPT=65536",
		PREFIX "IN= OUT=lo SRC=127.0.0.1 DST=127.0.0.1 PROTO=TCP SPT=1 DPT=-1",
		PREFIX "IN= OUT=lo SRC=127.0.0.1 DST=127.0.0.1 PROTO=TCP SPT=1 DPT=2 UID=4294967296",
		PREFIX "IN= OUT=lo SRC=127.0.0.1 DST=127.0.0.1 PROTO=TCP SPT=1 DPT=2 UID=root",
		PREFIX "IN= OUT=lo SRC=127.0.0.1 DST=127.0.0.1 PROTO=256",
		PREFIX "IN= OUT=lo SRC=127.0.0.1 DST=127.0.0.1 PROTO=NOSUCHPROTOCOLATALL",
		PREFIX "IN= OUT=averyveryverylongname SRC=127.0.0.1 DST=127.0.0.1 PROTO=TCP",
		PREFIX "rule= IN= OUT=lo SRC=127.0.0.1 DST=127.0.0.1 PROTO=TCP",
		PREFIX "rule=never ends",
		PREFIX
		"rule=12345678901234567890123456789012345678901234567890123456789012345 IN= OUT=lo SRC=1.1.1.1 DST=1.1.1.1 PROTO=TCP",
		PREFIX "rule=\033[31m IN= OUT=lo SRC=1.1.1.1 DST=1.1.1.1 PROTO=TCP",
	};
	struct zt_event e = {.uid = 42};

	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(lines); i++) {
		if (parse(lines[i], &e) != -EBADMSG)
			fail_msg("not seen as damaged: %s", lines[i]);
	}
	assert_int_equal(e.uid, 42);
}

/* Every cut and every changed byte of a good line: no crash, and a result that is one of the three. */
static void test_every_damage(void **state)
{
	char line[] = "Dec 27 10:01:00 h kernel: " PREFIX
		      "rule=a b IN= OUT=lo SRC=127.0.0.1 DST=127.0.0.1 LEN=60 PROTO=TCP SPT=54321 "
		      "DPT=6379 UID=1003 GID=1004";
	static const char bad[] = "\0\n\xff=[ ]9:";
	struct zt_event e = {0};

	(void)state;
	for (size_t n = 0; n <= sizeof(line) - 1; n++) {
		char *copy = malloc(n + 1);
		int r;

		memcpy(copy, line, n);
		r = zt_event_parse_line(copy, n, PREFIX, &e);
		assert_true(r == 0 || r == -ENOMSG || r == -EBADMSG);
		free(copy);
	}
	for (size_t i = 0; i < sizeof(line) - 1; i++)
		for (size_t k = 0; k < sizeof(bad) - 1; k++) {
			char saved = line[i];
			int r;

			line[i] = bad[k];
			r = zt_event_parse_line(line, sizeof(line) - 1, PREFIX, &e);
			assert_true(r == 0 || r == -ENOMSG || r == -EBADMSG);
			line[i] = saved;
		}
}

static void test_format_round_trip(void **state)
{
	struct zt_strbuf b = {0};
	struct zt_event e = {0}, again = {0};

	(void)state;
	assert_int_equal(parse(KERNEL, &e), 0);
	assert_int_equal(zt_event_format_line(&e, PREFIX, &b), 0);
	assert_string_equal(zt_strbuf_cstr(&b),
			    "ZT-BLOCKED: IN= OUT=lo SRC=127.0.0.1 DST=127.0.0.1 LEN=60 PROTO=TCP SPT=54321 DPT=6379 "
			    "UID=1003 GID=1004");
	assert_int_equal(parse(zt_strbuf_cstr(&b), &again), 0);
	assert_memory_equal(&e, &again, sizeof(e));
	zt_strbuf_done(&b);
}

static void test_own_prefix(void **state)
{
	struct zt_event e = {0};
	const char *line = "kernel: MY WALL IN= OUT=lo SRC=127.0.0.1 DST=127.0.0.1 PROTO=TCP SPT=1 DPT=2";

	(void)state;
	assert_int_equal(zt_event_parse_line(line, strlen(line), "MY WALL ", &e), 0);
	assert_int_equal(zt_event_parse_line(line, strlen(line), "", &e),
			 -ENOMSG); /* an empty prefix matches nothing */
}

/* To a Unix socket: no addresses; into the journal and back. */
static void unix_sockets(void **state)
{
	struct zt_event e = {.kind = ZT_EVENT_BLOCKED,
			     .rule = "unix-others",
			     .is_unix = true,
			     .unix_name = "/run/x y\n.sock",
			     .has_uid = true,
			     .uid = 1001,
			     .gid = 100,
			     .number = 7,
			     .when = 5},
			back;
	ZT_STRBUF struct zt_strbuf line = {0};
	struct zt_activity a;

	(void)state;
	assert_int_equal(zt_event_format_line(&e, "P: ", &line), 0);
	assert_string_equal(zt_strbuf_cstr(&line),
			    "P: rule=unix-others IN= OUT= PROTO=UNIX PATH=/run/x y\\x0a.sock UID=1001 GID=100");
	memcpy(e.unix_name, "@shop", sizeof("@shop"));
	zt_event_activity(&e, NULL, &a);
	assert_string_equal(a.direction, "unix");
	assert_string_equal(a.path, "@shop");
	assert_false(zt_activity_has(&a, ZT_FIELD_dst) || zt_activity_has(&a, ZT_FIELD_protocol));
	zt_event_of_activity(&a, &back);
	assert_true(back.is_unix && !back.inbound && back.has_uid && back.uid == 1001);
	assert_string_equal(back.unix_name, "@shop");
	assert_string_equal(back.rule, "unix-others");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernel_line),	  cmocka_unit_test(test_reference_line),
		cmocka_unit_test(test_kinds_and_rules),	  cmocka_unit_test(test_times),
		cmocka_unit_test(test_quoted_packet),	  cmocka_unit_test(test_not_ours),
		cmocka_unit_test(test_damaged),		  cmocka_unit_test(test_every_damage),
		cmocka_unit_test(test_format_round_trip), cmocka_unit_test(test_own_prefix),
		cmocka_unit_test(unix_sockets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
