/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A memo stands for the kernel only as long as nobody touched the kernel. In network namespaces of this process alone. Exit 77: not root. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "base/proc.h"
#include "engine/nft/nft.h"

#define E (&zt_engine_nft)
#define RULES (NFT_MEMO_MIN + 500)
#define OWN 77u /* the rule under which this process sends */

static char memo[64];

static struct zt_ruleset *make(uint64_t generation, unsigned n)
{
	struct zt_ruleset *rs = NULL;

	assert_int_equal(zt_ruleset_new(&rs), 0);
	rs->generation = generation;
	for (unsigned i = 0; i < n; i++) {
		struct zt_rule *r = zt_ruleset_add(rs);
		struct zt_addr_range a;
		char addr[32];

		assert_non_null(r);
		r->id = zt_asprintf("rule-%u", i);
		r->match.families = ZT_FAMILY_4;
		(void)snprintf(addr, sizeof(addr), i == OWN ? "127.0.0.1" : "10.1.%u.%u", i / 250, i % 250);
		assert_int_equal(zt_addr_range_parse(addr, &a, NULL), 0);
		assert_int_equal(zt_addr_ranges_add(&r->match.dst4, &a), 0);
		assert_int_equal(zt_u32_ranges_add(&r->match.uid, i == OWN ? 0 : i, i == OWN ? 0 : i), 0);
		assert_int_equal(zt_u32_ranges_add(&r->match.proto, 17, 17), 0);
		assert_int_equal(zt_u32_ranges_add(&r->match.port, 9999, 9999), 0);
	}
	assert_int_equal(zt_ruleset_rehash(rs), 0);
	return rs;
}

/* Another generation in which rule i has another verdict. */
static struct zt_ruleset *with_verdict(const struct zt_ruleset *rs, unsigned i, enum zt_verdict v)
{
	struct zt_ruleset *other = NULL;

	assert_int_equal(zt_ruleset_dup(rs, &other), 0);
	other->generation++;
	other->rules[i].verdict = v;
	assert_int_equal(zt_ruleset_rehash(other), 0);
	return other;
}

static struct zt_image *checked(const struct zt_ruleset *rs, bool want_plan)
{
	struct zt_image *img = NULL;

	assert_int_equal(E->lower(rs, &img, NULL), 0);
	E->use_memo(img, memo);
	assert_int_equal(E->check(img, NULL), 0);
	assert_int_equal(img->work->plan != NULL, want_plan);
	return img;
}

static void commit(const struct zt_ruleset *rs, bool want_plan)
{
	struct zt_image *img = checked(rs, want_plan);
	bool changed = false;

	assert_int_equal(E->commit(img, &changed, NULL), 0);
	assert_true(changed);
	E->image_free(img);
}

static void expect(const struct zt_ruleset *rs, bool in_memo)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *now = NULL, *told = NULL;

	assert_int_equal(E->raise("default", &now, NULL), 0);
	assert_string_equal(now->hash, rs->hash);
	assert_int_equal(now->generation, rs->generation);
	assert_int_equal(E->raise_memo("default", memo, &told), in_memo ? 0 : -ESTALE);
	if (in_memo) {
		assert_string_equal(told->hash, rs->hash);
		assert_int_equal(told->generation, rs->generation);
	}
}

static void nft(const char *text)
{
	assert_int_equal(nft_run_text(text, strlen(text), false, NULL), 0);
}

static void new_namespace(void)
{
	struct ifreq ifr = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	ZT_CLOSE int fd = -1;

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &ifr), 0);
	(void)unlink(memo);
}

static void send_packets(unsigned n)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(9999), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	ZT_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	for (unsigned i = 0; i < n; i++)
		assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
}

static uint64_t own_packets(const struct zt_ruleset *rs)
{
	struct zt_counters c = {0};
	uint64_t n;

	assert_int_equal(E->counters(rs, &c), 0);
	n = c.rule[OWN].packets;
	zt_counters_done(&c);
	return n;
}

static const char delete_rule_9[] =
	"delete element inet zt_segment out0_uid_d4_proto_port_x_g0_v1 { 9 . 10.1.0.9 . 17 . 9999 }\n";

static void test_planned(void **arg)
{
	ZT_CLEANUP(zt_ruleset_freep)
	struct zt_ruleset *a = make(1, RULES), *b = with_verdict(a, 5, ZT_DROP), *c = with_verdict(b, OWN, ZT_OBSERVE);

	(void)arg;
	new_namespace();
	commit(a, false);
	expect(a, true);
	send_packets(3);
	commit(b, true);
	expect(b, true);
	assert_int_equal(own_packets(b), 3); /* not touched */
	commit(c, true);
	expect(c, true);
	assert_int_equal(own_packets(c), 3); /* its element was replaced */
}

static void test_small(void **arg)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *a = make(1, 100);

	(void)arg;
	new_namespace();
	commit(a, false);
	expect(a, false);
}

/* Whoever changes anything in between makes the memo worthless, and what was taken away comes back. */
static void test_touched(void **arg)
{
	ZT_CLEANUP(zt_ruleset_freep)
	struct zt_ruleset *a = make(1, RULES), *b = with_verdict(a, 5, ZT_DROP), *c = with_verdict(b, 6, ZT_DROP);

	(void)arg;
	new_namespace();
	commit(a, false);
	nft("table ip foreign {\n}\n");
	expect(a, false);
	commit(b, false);
	expect(b, true);
	nft(delete_rule_9);
	commit(c, false);
	expect(c, true);
}

/* The same between the check and the swap. */
static void test_race(void **arg)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *a = make(1, RULES), *b = with_verdict(a, 5, ZT_DROP);
	struct zt_image *img;
	bool changed;

	(void)arg;
	new_namespace();
	commit(a, false);
	img = checked(b, true);
	nft(delete_rule_9);
	assert_int_equal(E->commit(img, &changed, NULL), 0);
	E->image_free(img);
	expect(b, true);
}

static void test_torn(void **arg)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *a = make(1, RULES);
	struct stat st;
	char c;
	int fd;

	(void)arg;
	new_namespace();
	commit(a, false);
	assert_int_equal(stat(memo, &st), 0);
	fd = open(memo, O_RDWR | O_CLOEXEC);
	assert_int_equal(pread(fd, &c, 1, st.st_size / 2), 1);
	c ^= 1;
	assert_int_equal(pwrite(fd, &c, 1, st.st_size / 2), 1);
	expect(a, false);
	c ^= 1;
	assert_int_equal(pwrite(fd, &c, 1, st.st_size / 2), 1);
	expect(a, true);
	assert_int_equal(fchmod(fd, 0666), 0);
	expect(a, false);
	assert_int_equal(fchmod(fd, 0600), 0);
	assert_int_equal(ftruncate(fd, st.st_size - 1), 0);
	expect(a, false);
	(void)close(fd);
}

static uint32_t genid(void)
{
	struct nft_nl nl = {0};
	uint32_t n = 0;

	assert_int_equal(nft_nl_open(&nl), 0);
	assert_int_equal(nft_nl_genid(&nl, &n), 0);
	nft_nl_close(&nl);
	return n;
}

/* Another namespace with the very same generation number is not the one the memo speaks of. */
static void test_elsewhere(void **arg)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *a = make(1, RULES), *told = NULL;
	struct nft_state s = {0};
	uint32_t want;

	(void)arg;
	new_namespace();
	commit(a, false);
	want = genid();
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	while (genid() < want)
		nft("table ip t {\n}\ndelete table ip t\n");
	assert_int_equal(genid(), want);
	assert_int_equal(nft_memo_read(memo, "default", &s), -ESTALE);
	assert_int_equal(E->raise_memo("default", memo, &told), -ESTALE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_planned), cmocka_unit_test(test_small), cmocka_unit_test(test_touched),
		cmocka_unit_test(test_race),	cmocka_unit_test(test_torn),  cmocka_unit_test(test_elsewhere),
	};
	int r;

	if (geteuid() || unshare(CLONE_NEWNET) < 0)
		return 77;
	(void)snprintf(memo, sizeof(memo), "/tmp/zt-test-memo-%d", (int)getpid());
	r = cmocka_run_group_tests(tests, NULL, NULL);
	(void)unlink(memo);
	return r;
}
