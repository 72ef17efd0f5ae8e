/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is at the other end of a connection, by what both ends did. The processes have numbers that no process has. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "event/ends.h"

#include "identity/identity.h"
#include "trace_abi.h"

static struct zt_trace_flow flow(uint32_t kind, uint32_t pid, const char *local, uint16_t lport, const char *remote,
				 uint16_t rport)
{
	struct zt_trace_flow f = {.head = {.kind = kind},
				  .process = {.pid = pid, .start = UINT64_C(10000000) * pid},
				  .netns = 7,
				  .proto = 6,
				  .local_port = lport,
				  .remote_port = rport};
	struct zt_addr l, r;

	assert_true(zt_addr_parse(local, &l) == 0 && zt_addr_parse(remote, &r) == 0);
	f.family = l.family;
	memcpy(f.local, l.b, l.family == 4 ? 4 : 16);
	memcpy(f.remote, r.b, r.family == 4 ? 4 : 16);
	return f;
}

static uint64_t peer(struct zt_ends *e, struct zt_trace_flow f)
{
	struct zt_process_id id;

	return zt_ends_peer(e, &f, &id) == 0 ? id.pid : 0;
}

static void add(struct zt_ends *e, struct zt_trace_flow f)
{
	zt_ends_add(e, &f);
}

static void both_ends(void **state)
{
	struct zt_ends *e;

	(void)state;
	assert_true(zt_ends_new(&e) == 0);
	add(e, flow(ZT_TRACE_LISTEN, 4000001, "0.0.0.0", 80, "0.0.0.0", 0));
	assert_true(peer(e, flow(ZT_TRACE_CONNECT, 4000002, "127.0.0.1", 5000, "127.0.0.1", 80)) == 4000001);
	/* What waits at any address of this machine is not what answers far away, or in a container. */
	assert_true(peer(e, flow(ZT_TRACE_CONNECT, 4000002, "10.0.0.1", 5000, "10.0.0.2", 80)) == 0);
	assert_true(peer(e, flow(ZT_TRACE_CONNECT, 4000002, "10.0.0.1", 5000, "10.0.0.1", 80)) == 4000001);
	add(e, flow(ZT_TRACE_CONNECT, 4000002, "127.0.0.1", 5000, "127.0.0.1", 80));
	assert_true(peer(e, flow(ZT_TRACE_ACCEPT, 4000001, "127.0.0.1", 80, "127.0.0.1", 5000)) == 4000002);
	assert_true(peer(e, flow(ZT_TRACE_ACCEPT, 4000001, "127.0.0.1", 80, "127.0.0.1", 5001)) == 0);
	add(e, flow(ZT_TRACE_ACCEPT, 4000001, "127.0.0.1", 80, "127.0.0.1", 5000));
	assert_true(peer(e, flow(ZT_TRACE_CLOSE, 4000002, "127.0.0.1", 5000, "127.0.0.1", 80)) == 4000001);
	zt_ends_free(e);
}

/* 127.0.0.1 is another place in each; 10.0.0.1 is not. */
static void namespaces(void **state)
{
	struct zt_trace_flow f = flow(ZT_TRACE_CONNECT, 4000002, "127.0.0.1", 5000, "127.0.0.1", 80);
	struct zt_ends *e;

	(void)state;
	assert_true(zt_ends_new(&e) == 0);
	add(e, f);
	f = flow(ZT_TRACE_ACCEPT, 4000001, "127.0.0.1", 80, "127.0.0.1", 5000);
	f.netns = 8;
	assert_true(peer(e, f) == 0);
	add(e, flow(ZT_TRACE_CONNECT, 4000002, "10.0.0.1", 5000, "10.0.0.2", 80));
	f = flow(ZT_TRACE_ACCEPT, 4000001, "10.0.0.2", 80, "10.0.0.1", 5000);
	f.netns = 8;
	assert_true(peer(e, f) == 4000002);
	zt_ends_free(e);
}

static void families(void **state)
{
	struct zt_ends *e;

	(void)state;
	assert_true(zt_ends_new(&e) == 0);
	add(e, flow(ZT_TRACE_LISTEN, 4000001, "::", 80, "::", 0));
	assert_true(peer(e, flow(ZT_TRACE_CONNECT, 4000002, "127.0.0.1", 5000, "127.0.0.1", 80)) == 4000001);
	assert_true(peer(e, flow(ZT_TRACE_CONNECT, 4000002, "::1", 5000, "::1", 80)) == 4000001);
	add(e, flow(ZT_TRACE_LISTEN, 4000003, "127.0.0.1", 80, "0.0.0.0", 0));
	assert_true(peer(e, flow(ZT_TRACE_CONNECT, 4000002, "127.0.0.1", 5000, "127.0.0.1", 80)) == 4000003);
	assert_true(peer(e, flow(ZT_TRACE_CONNECT, 4000002, "127.0.0.2", 5000, "127.0.0.2", 80)) == 4000001);
	zt_ends_free(e);
}

/* A port that is shared names nobody, one whose process is gone names the next. */
static void several(void **state)
{
	struct zt_trace_flow f = flow(ZT_TRACE_LISTEN, (uint32_t)getpid(), "127.0.0.1", 80, "0.0.0.0", 0);
	struct zt_trace_flow c = flow(ZT_TRACE_CONNECT, 4000002, "127.0.0.1", 5000, "127.0.0.1", 80);
	struct zt_process_id id;
	struct zt_process own;
	struct zt_ends *e;

	(void)state;
	assert_true(zt_ends_new(&e) == 0 && zt_process_read(getpid(), &own) == 0);
	add(e, flow(ZT_TRACE_LISTEN, 4000001, "127.0.0.1", 80, "0.0.0.0", 0));
	f.process.start = own.start_time * 10000000;
	add(e, f);
	assert_true(zt_ends_peer(e, &c, &id) == 0 && id.pid == (uint64_t)getpid());
	add(e, flow(ZT_TRACE_LISTEN, 4000001, "127.0.0.1", 80, "0.0.0.0", 0));
	assert_true(zt_ends_peer(e, &c, &id) == -EEXIST);
	zt_process_done(&own);
	zt_ends_free(e);
}

static void failed(void **state)
{
	struct zt_trace_flow f = flow(ZT_TRACE_CONNECT, 4000002, "10.0.0.1", 5000, "198.51.100.7", 80);
	struct zt_process_id id;
	struct zt_ends *e;

	(void)state;
	assert_true(zt_ends_new(&e) == 0);
	zt_ends_add(e, &f);
	assert_true(zt_ends_find(e, &f, &id) == -ENOENT); /* far away: nobody asks */
	f.error = 111;
	zt_ends_add(e, &f);
	assert_true(zt_ends_find(e, &f, &id) == 0 && id.pid == 4000002);
	assert_true(zt_ends_peer(e, &f, &id) == -ENOENT);
	zt_ends_free(e);
}

int main(void)
{
	const struct CMUnitTest list[] = {
		cmocka_unit_test(both_ends), cmocka_unit_test(namespaces), cmocka_unit_test(families),
		cmocka_unit_test(several),   cmocka_unit_test(failed),
	};

	return cmocka_run_group_tests(list, NULL, NULL);
}
