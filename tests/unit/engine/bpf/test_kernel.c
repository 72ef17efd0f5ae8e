/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bpf engine against the kernel: a mount and a network namespace of this process alone, a child control group. Exit 77: not possible. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/file.h"
#include "engine/bpf/flow.h"
#include "engine/bpf/load.h"
#include "identity/identity.h"
#include "random_bpf.h"

#define E (&zt_engine_bpf)
enum { CHILD_SECONDS = 60, TEST_SECONDS = 240 };

static char group[64], group_path[256];

/* Before Linux 6.4 rules about forwarded packets are refused. */
static struct zt_ruleset *random_enforceable(unsigned seed, unsigned max_rules, bool processes)
{
	struct zt_ruleset *rs = random_bpf_ruleset(seed, max_rules, processes);
	const char *why;

	if (!rs || E->forwards("default", &why) == 0)
		return rs;
	for (size_t i = 0; i < rs->n_rules; i++)
		if (rs->rules[i].dir == ZT_DIR_FORWARD)
			rs->rules[i].dir = ZT_DIR_INGRESS;
	assert_int_equal(zt_ruleset_rehash(rs), 0);
	return rs;
}

static void explain(const struct zt_diags *d, const char *what, unsigned seed)
{
	print_message("%s, seed %u\n", what, seed);
	zt_diags_print(d, stderr, false);
}

static int commit(const struct zt_ruleset *rs, unsigned seed, bool *ret_changed)
{
	ZT_CLEANUP(bpf_image_freep) struct zt_image *img = NULL;
	struct zt_diags d = {0};
	int r = E->lower(rs, &img, &d);

	r = r ?: E->commit(img, ret_changed, &d);
	if (r < 0)
		explain(&d, "commit", seed);
	zt_diags_done(&d);
	return r;
}

static void must_commit(const struct zt_ruleset *rs, unsigned seed, bool changes)
{
	bool changed = false;

	assert_int_equal(commit(rs, seed, &changed), 0);
	assert_int_equal(changed, changes);
}

static int raised(struct zt_ruleset **ret)
{
	struct zt_diags d = {0};
	int r = E->raise("default", ret, &d);

	zt_diags_done(&d);
	return r;
}

static void flush(void)
{
	assert_int_equal(E->flush("default", NULL), 0);
}

static void assert_same(const struct zt_ruleset *a, const struct zt_ruleset *b)
{
	ZT_STRBUF struct zt_strbuf x = {0}, y = {0};

	assert_int_equal(zt_ruleset_canonical(a, &x), 0);
	assert_int_equal(zt_ruleset_canonical(b, &y), 0);
	assert_string_equal(zt_strbuf_cstr(&x), zt_strbuf_cstr(&y));
	assert_int_equal(a->generation, b->generation);
	assert_string_equal(a->hash, b->hash);
}

/* Over one another: what comes back is what went in, and the second time nothing changes. */
static void test_random(void **state)
{
	unsigned rounds = getenv("ZT_ROUNDS") ? (unsigned)strtoul(getenv("ZT_ROUNDS"), NULL, 10) : 8;

	(void)state;
	for (unsigned seed = 1; seed <= rounds; seed++) {
		struct zt_ruleset *rs = random_enforceable(seed, 30, seed & 1), *back = NULL;
		uint64_t generation = 0;
		char hash[65] = "";

		must_commit(rs, seed, true);
		assert_int_equal(raised(&back), 0);
		assert_same(rs, back);
		must_commit(rs, seed, false);
		assert_int_equal(E->identify("default", &generation, hash), 0);
		assert_int_equal(generation, rs->generation);
		assert_string_equal(hash, rs->hash);
		zt_ruleset_free(rs);
		zt_ruleset_free(back);
	}
	flush();
	assert_int_equal(E->identify("default", &(uint64_t){0}, (char[65]){0}), -ENOENT);
}

/* ---- the loaded program on packets, against the oracle ---- */
static void random_packet(unsigned *s, const struct zt_ruleset *rs, struct zt_flow *f)
{
	static const uint8_t protos[] = {6, 17, 132, 47};
	const struct zt_match *m = &rs->rules[rnd(s, (unsigned)rs->n_rules)].match;
	uint8_t family = m->families & ZT_FAMILY_4 && rnd(s, 4) ? 4 : 6;
	const struct zt_addr_ranges *src = family == 4 ? &m->src4 : &m->src6, *dst = family == 4 ? &m->dst4 : &m->dst6;

	*f = (struct zt_flow){.dir = ZT_DIR_EGRESS, .loopback = true, .proto = protos[rnd(s, 4)], .at = zt_now()};
	if (m->proto.n && rnd(s, 5) && zt_proto_has_ports((uint8_t)m->proto.v[0].lo))
		f->proto = (uint8_t)m->proto.v[0].lo;
	if (zt_proto_has_ports(f->proto))
		f->port = (uint16_t)(m->port.n && rnd(s, 5) ? (rnd(s, 2) ? m->port.v[0].lo : m->port.v[0].hi)
							    : 2 + rnd(s, 65000));
	f->src = src->n ? src->v[rnd(s, (unsigned)src->n)].hi : (struct zt_addr){.family = family, .b = {10, 9, 8, 7}};
	f->dst = dst->n ? dst->v[rnd(s, (unsigned)dst->n)].lo : (struct zt_addr){.family = family, .b = {10, 7, 8, 9}};
	if (rnd(s, 4) == 0)
		f->dst.b[family == 4 ? 3 : 15] ^= 1;
}

static void test_packets(void **state)
{
	unsigned passed = 0, denied = 0;

	(void)state;
	for (unsigned seed = 101; seed <= 108; seed++) {
		struct zt_ruleset *rs = random_enforceable(seed, 30, false);
		ZT_CLEANUP(bpf_live_done) struct bpf_live l;
		unsigned s = seed;

		for (size_t i = 0; i < rs->n_rules; i++) /* the packets have no owner */
			if (i % 2)
				zt_u32_ranges_done(&rs->rules[i].match.uid),
					zt_u32_ranges_done(&rs->rules[i].match.gid);
		(void)zt_ruleset_rehash(rs);
		must_commit(rs, seed, true);
		assert_int_equal(bpf_live_open("default", &l), 0);
		for (unsigned n = 0; rs->n_rules && n < 150; n++) {
			struct zt_bpf_flow k = {.sport = 1};
			struct zt_decision want;
			struct zt_flow f;
			int got;

			random_packet(&s, rs, &f);
			k.six = f.dst.family == 6;
			k.proto = f.proto;
			k.port = f.port;
			memcpy(k.src, f.src.b, 16);
			memcpy(k.dst, f.dst.b, 16);
			zt_oracle_decide(rs, &f, &want);
			got = bpf_test_packet(&l, &k);
			if (got != (want.verdict == ZT_ALLOW || want.verdict == ZT_OBSERVE))
				fail_msg("ruleset %u, packet %u: the oracle says %s, the program %d", seed, n,
					 zt_verdict_name(want.verdict), got);
			passed += got == 1;
			denied += got == 0;
		}
		zt_ruleset_free(rs);
	}
	print_message("%u packets passed, %u were denied\n", passed, denied);
	assert_true(passed > 100 && denied > 100);
	flush();
}

/* ---- damage ---- */
static void drop_an_entry(const struct bpf_live *l)
{
	ZT_CLOSE int fd = bpf_inner(l->map[MAP_ENTRIES], l->epoch & 1);
	struct zt_bpf_key k;

	assert_true(fd >= 0);
	assert_int_equal(bpf_map_get_next_key(fd, NULL, &k), 0);
	assert_int_equal(bpf_map_delete_elem(fd, &k), 0);
}

static void add_an_entry(const struct bpf_live *l)
{
	ZT_CLOSE int fd = bpf_inner(l->map[MAP_ENTRIES], l->epoch & 1);
	struct zt_bpf_entry e = {.seq = 1};
	struct zt_bpf_key k = {.w = {9, 9, 9, 9, 9, 9, 9, 9}}, old;

	/* As big as its contents: one goes for the other. */
	assert_int_equal(bpf_map_get_next_key(fd, NULL, &old), 0);
	assert_int_equal(bpf_map_delete_elem(fd, &old), 0);
	assert_int_equal(bpf_map_update_elem(fd, &k, &e, BPF_ANY), 0);
}

static void open_the_default(const struct bpf_live *l)
{
	ZT_FREE struct zt_bpf_config *c = NULL;
	uint32_t slot = l->epoch & 1;

	assert_int_equal(bpf_read_config(l, slot, &c), 0);
	c->def[0] = ZT_BPF_ALLOW;
	assert_int_equal(bpf_map_update_elem(l->map[MAP_CONFIG], &slot, c, BPF_ANY), 0);
}

static void take_a_link(const struct bpf_live *l)
{
	ZT_FREE char *path = zt_path_join(l->dir, "zt_egress");

	assert_int_equal(unlink(path), 0);
}

static void test_damage(void **state)
{
	static void (*const damages[])(const struct bpf_live *l) = {drop_an_entry, add_an_entry, open_the_default,
								    take_a_link};
	struct zt_ruleset *rs = random_enforceable(99, 30, true), *back = NULL;

	(void)state;
	rs->settings.def[0] = ZT_DEFAULT_DENY;
	(void)zt_ruleset_rehash(rs);
	must_commit(rs, 99, true);
	for (size_t i = 0; i < ZT_ARRAY_SIZE(damages); i++) {
		ZT_CLEANUP(bpf_live_done) struct bpf_live l;

		assert_int_equal(bpf_live_open("default", &l), 0);
		damages[i](&l);
		if (raised(&back) != -EUCLEAN)
			fail_msg("damage %zu is not seen", i);
		must_commit(rs, 99, true);
		assert_int_equal(raised(&back), 0);
		assert_same(rs, back);
		zt_ruleset_free(back);
		back = NULL;
	}
	zt_ruleset_free(rs);
	flush();
}

static void test_text(void **state)
{
	struct zt_ruleset *rs = random_enforceable(4711, 20, true), *other = random_enforceable(4713, 20, true),
			  *back = NULL;
	ZT_CLEANUP(bpf_image_freep) struct zt_image *img = NULL;
	ZT_STRBUF struct zt_strbuf text = {0};
	struct zt_diags d = {0};

	(void)state;
	assert_int_equal(E->lower(rs, &img, &d), 0);
	if (E->check(img, &d) < 0)
		explain(&d, "check", 4711);
	assert_int_equal(d.errors, 0);
	assert_int_equal(raised(&back), -ENOENT); /* check left nothing */
	assert_int_equal(E->image_text(img, &text), 0);
	must_commit(other, 4713, true);
	assert_int_equal(E->load_text("default", text.buf, text.len, &d), 0);
	assert_int_equal(raised(&back), 0);
	assert_same(rs, back);
	assert_true(E->load_text("default", text.buf, text.len / 2, &d) < 0);
	assert_true(E->load_text("other", text.buf, text.len, &d) < 0);
	zt_ruleset_free(rs);
	zt_ruleset_free(other);
	zt_ruleset_free(back);
	zt_diags_done(&d);
	flush();
}

/* ---- processes on both ends, with real sockets ---- */
static void become(uint32_t uid)
{
	ZT_FREE char *procs = zt_path_join(group_path, "cgroup.procs");
	int fd = open(procs, O_WRONLY);

	/* Nothing of this outlives the test, also when it fails: a change of the user forgets PDEATHSIG, so it comes after. */
	if (fd < 0 || write(fd, "0", 1) != 1 || setgid(uid) < 0 || setuid(uid) < 0 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		_exit(99);
	(void)close(fd);
	(void)alarm(CHILD_SECONDS);
}

static struct sockaddr_in at_port(uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

/* Listens on TCP and UDP as uid; there when this returns. */
static pid_t serve(uint32_t uid, uint16_t port)
{
	struct sockaddr_in a = at_port(port);
	int ready[2];
	char c = 0;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		int t, u, on = 1;

		become(uid);
		t = socket(AF_INET, SOCK_STREAM, 0);
		u = socket(AF_INET, SOCK_DGRAM, 0);
		(void)setsockopt(t, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (bind(t, (struct sockaddr *)&a, sizeof(a)) < 0 || bind(u, (struct sockaddr *)&a, sizeof(a)) < 0 ||
		    listen(t, 9) < 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	(void)close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	(void)close(ready[0]);
	return pid;
}

/* errno of the attempt, as uid. */
static int attempt(uint32_t uid, int type, uint16_t port)
{
	pid_t pid = fork();
	int status = 0;

	if (!pid) {
		struct sockaddr_in a = at_port(port);
		struct timeval t = {.tv_sec = 3};
		int fd, r;

		become(uid);
		fd = socket(AF_INET, type, 0);
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
		r = type == SOCK_STREAM ? connect(fd, (struct sockaddr *)&a, sizeof(a))
					: (int)sendto(fd, "x", 1, 0, (struct sockaddr *)&a, sizeof(a));
		_exit(r < 0 ? errno : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static const struct zt_subject *subject(struct zt_ruleset *rs, uint32_t uid, const char *exe)
{
	struct zt_subject x = {.text = zt_strdup("somebody")};
	const struct zt_subject *mine = NULL;
	struct zt_exe_seen seen = {0};

	(void)zt_u32_ranges_add(&x.uid, uid, uid);
	if (exe) {
		assert_int_equal(zt_exe_lookup(NULL, exe, false, &seen), 0);
		x.exes = zt_new(struct zt_exe, 1);
		x.exes[x.n_exes++] = (struct zt_exe){.path = zt_strdup(exe),
						     .id = {seen.dev, seen.ino, seen.ctime_sec, seen.ctime_nsec}};
	}
	assert_int_equal(zt_ruleset_subject(rs, &x, &mine), 0);
	zt_subject_done(&x);
	return mine;
}

static void pair_rule(struct zt_ruleset *rs, const char *id, const struct zt_subject *from, const struct zt_subject *to)
{
	struct zt_rule *r = zt_ruleset_add(rs);

	r->id = zt_strdup(id);
	r->verdict = ZT_ALLOW;
	r->match.families = 3;
	r->match.from = from;
	r->match.to = to;
	(void)zt_u32_ranges_copy(&r->match.uid, &from->uid);
}

/* Only user 1001 running this program talks to user 2001; 1003 would have to run another program. Listeners before and after the commit. */
static void test_pairs(void **state)
{
	struct zt_ruleset *rs = NULL;
	const struct zt_subject *db;
	pid_t before[2], after;
	struct zt_counters c = {0};

	(void)state;
	before[0] = serve(2001, 7001);
	before[1] = serve(2002, 7002);
	assert_int_equal(zt_ruleset_new(&rs), 0);
	db = subject(rs, 2001, "/proc/self/exe");
	pair_rule(rs, "web to db", subject(rs, 1001, "/proc/self/exe"), db);
	pair_rule(rs, "other to db", subject(rs, 1003, "/bin/true"), db);
	rs->generation = 7;
	(void)zt_ruleset_rehash(rs);
	must_commit(rs, 0, true);
	after = serve(2001, 7003);
	for (int k = 0; k < 2; k++) {
		int type = k ? SOCK_DGRAM : SOCK_STREAM;

		assert_int_equal(attempt(1001, type, 7001), 0);
		assert_int_equal(attempt(1001, type, 7003), 0);
		assert_int_equal(attempt(1001, type, 7002), ECONNREFUSED); /* the wrong receiver */
		assert_int_equal(attempt(1002, type, 7001), ECONNREFUSED); /* the wrong sender */
		assert_int_equal(attempt(1003, type, 7001), ECONNREFUSED); /* the wrong program */
	}
	assert_int_equal(E->counters(rs, &c), 0);
	assert_int_equal(c.rule[0].packets, 4);
	assert_int_equal(c.rule[1].packets, 0);
	assert_int_equal(c.dropped[0].packets, 6);
	zt_counters_done(&c);
	rs->generation = 8; /* the same rules again, in the other slot: labels and counters move with them */
	must_commit(rs, 0, true);
	assert_int_equal(attempt(1001, SOCK_STREAM, 7001), 0);
	assert_int_equal(attempt(1001, SOCK_STREAM, 7002), ECONNREFUSED);
	assert_int_equal(E->counters(rs, &c), 0);
	assert_int_equal(c.rule[0].packets, 5);
	zt_counters_done(&c);
	for (int i = 0; i < 3; i++) {
		pid_t pid = i < 2 ? before[i] : after;

		(void)kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	}
	flush();
	assert_int_equal(attempt(1002, SOCK_DGRAM, 7009), 0); /* nothing of ours decides any more */
	zt_ruleset_free(rs);
}

/* ---- the bed ---- */
static int bed(void)
{
	ZT_FREE char *mount_point = NULL;
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd;

	if (geteuid() != 0 || unshare(CLONE_NEWNS | CLONE_NEWNET) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL) < 0 ||
	    zt_cgroup_mount(&mount_point) < 0)
		return -1;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0)
		return -1;
	(void)close(fd);
	(void)snprintf(group, sizeof(group), "zt-test-bpf-%d", (int)getpid());
	(void)snprintf(group_path, sizeof(group_path), "%s/%s", mount_point, group);
	zt_engine_cgroup(group);
	return mkdir(group_path, 0755);
}

static bool usable(void)
{
	ZT_CLEANUP(zt_caps_done) struct zt_caps c = {0};

	if (E->probe("default", &c) < 0 || !c.usable)
		print_message("SKIP: %s\n", c.why_not ? c.why_not : "probe failed");
	return c.usable;
}

/* test-bpf-kernel [PATTERN]: those whose name matches. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pairs),  cmocka_unit_test(test_random), cmocka_unit_test(test_packets),
		cmocka_unit_test(test_damage), cmocka_unit_test(test_text),
	};
	int failed;

	(void)alarm(TEST_SECONDS);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	if (bed() < 0 || !usable()) {
		(void)rmdir(group_path);
		return 77;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)E->flush("default", NULL);
	(void)rmdir(group_path);
	return failed;
}
