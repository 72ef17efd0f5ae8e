/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Row 42: policies are swapped while a denied and an allowed user flood the peer over IPv4 and IPv6. Of the denied user's packets none may
 * arrive, of the allowed user's none may be lost. Swaps go through every form: an element, a log chain, other maps, other settings. Then the same
 * while whoever swaps is killed at any moment, or the program that it started. ZT_SWAPS=N, ZT_KILLS=N.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/time.h"
#include "bed.h"

struct counts {
	volatile uint64_t sent, refused, arrived_allowed, denied_tried, arrived_denied;
	volatile int stop, listening;
};

static void flood(struct counts *c, uint32_t uid)
{
	bool allowed = uid == BED_ALLOWED;
	struct bed_send s = {.uid = uid, .gid = uid};
	struct bed_target to[2];
	int fd[2];

	for (int i = 0; i < 2; i++) {
		(void)bed_target(i ? "fd99::2" : "10.99.0.2", allowed ? 7777 : 7778, &to[i]); /* constants */
		fd[i] = bed_socket_as(&s, to[i].family, SOCK_DGRAM, 0);
	}
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* after the last change of user, which takes it back */
	while (!c->stop && getppid() != 1) {
		for (int i = 0; i < 16; i++) {
			bool ok = sendto(fd[i & 1], &uid, sizeof(uid), 0, &to[i & 1].a.sa, to[i & 1].len) ==
				  (ssize_t)sizeof(uid);

			if (!allowed)
				c->denied_tried++;
			else if (ok)
				c->sent++;
			else
				c->refused++;
		}
		(void)poll(NULL, 0, allowed ? 1 : 0);
	}
	_exit(0);
}

static void count_arrivals(struct bed *b, struct counts *c)
{
	struct pollfd p[2];

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (bed_enter(b, true) < 0)
		_exit(1);
	for (int i = 0; i < 2; i++) {
		struct sockaddr_in6 a = {.sin6_family = AF_INET6,
					 .sin6_port = htons((uint16_t)(7777 + i))}; /* and IPv4, mapped */
		int size = 64 << 20;

		p[i] = (struct pollfd){.fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0), .events = POLLIN};
		(void)setsockopt(p[i].fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
		if (p[i].fd < 0 || bind(p[i].fd, (struct sockaddr *)&a, sizeof(a)) < 0)
			_exit(1);
	}
	c->listening = 1;
	for (;;) {
		uint32_t uid;

		if (poll(p, 2, 200) == 0 && c->stop)
			_exit(0);
		while (recv(p[0].fd, &uid, sizeof(uid), 0) > 0)
			c->arrived_allowed++;
		while (recv(p[1].fd, &uid, sizeof(uid), 0) > 0)
			c->arrived_denied++;
	}
}

/* ---- policies ---- */
static struct zt_rule *rule_for(struct zt_ruleset *rs, const char *id, uint32_t uid, uint32_t port)
{
	struct zt_rule *r = bed_rule(rs, id, ZT_ALLOW);

	if (r && (zt_u32_ranges_add(&r->match.uid, uid, uid) < 0 || zt_u32_ranges_add(&r->match.proto, 17, 17) < 0 ||
		  zt_u32_ranges_add(&r->match.port, port, port) < 0))
		return NULL;
	return r;
}

static int make_policy(unsigned n, struct zt_ruleset **ret)
{
	struct zt_addr_range prefix;
	struct zt_rule *extra;
	int r = bed_ruleset(ret);

	if (r < 0 || !rule_for(*ret, "allowed", BED_ALLOWED, 7777))
		return -ENOMEM;
	for (unsigned i = 0; i < 40; i++) {
		char id[32];

		(void)snprintf(id, sizeof(id), "other-%u", i);
		if (!rule_for(*ret, id, 3000 + i + n % 3, 1000 + i))
			return -ENOMEM;
	}
	if (n % 4 == 1) /* another kind of map */
		if (!(extra = rule_for(*ret, "ranges", 3999, 9000)) ||
		    zt_addr_range_parse("10.50.0.0/16", &prefix, NULL) < 0 ||
		    zt_addr_ranges_add(&extra->match.dst4, &prefix) < 0)
			return -ENOMEM;
	if (n % 4 == 2 && (extra = rule_for(*ret, "logs", 3998, 9001)))
		extra->log = true;
	(*ret)->settings.block = n % 8 < 4 ? ZT_BLOCK_REJECT : ZT_BLOCK_DROP;
	(*ret)->settings.log_blocked = false;
	return 0;
}

static int swap(struct bed *b, const struct zt_engine *e, unsigned n)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	int r = make_policy(n, &rs);

	return r ? r : bed_apply(b, e, rs);
}

/* ---- the flood around them ---- */
struct run {
	struct counts *c;
	pid_t pids[3];
};

static bool start(struct bed *b, struct run *r)
{
	r->c = mmap(NULL, sizeof(*r->c), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (r->c == MAP_FAILED)
		return false;
	(void)fflush(stdout);
	if (!(r->pids[0] = fork()))
		count_arrivals(b, r->c);
	for (int i = 0; i < 500 && !r->c->listening; i++)
		(void)poll(NULL, 0, 10);
	if (!(r->pids[1] = fork()))
		flood(r->c, BED_ALLOWED);
	if (!(r->pids[2] = fork()))
		flood(r->c, BED_DENIED);
	for (int i = 0; i < 500 && !(r->c->sent && r->c->denied_tried); i++)
		(void)poll(NULL, 0, 10);
	return r->c->listening;
}

static void finish(struct bed *b, struct run *r, const struct bed_column *col, const char *row, const char *what)
{
	struct counts *c = r->c;
	unsigned long long lost;
	char result[64];

	c->stop = 1;
	for (int i = 2; i >= 0; i--)
		(void)waitpid(r->pids[i], NULL, 0);
	lost = c->sent - c->arrived_allowed;
	bed_ok(b, c->denied_tried > 1000 && c->arrived_denied == 0,
	       "%s: %s: 0 of the denied user's %llu packets arrived (%llu did)", col->label, what,
	       (unsigned long long)c->denied_tried, (unsigned long long)c->arrived_denied);
	bed_ok(b, c->sent > 1000 && c->refused == 0 && lost == 0,
	       "%s: %s: 0 of the allowed user's %llu packets were lost (%llu refused, %lld lost)", col->label, what,
	       (unsigned long long)c->sent, (unsigned long long)c->refused, (long long)lost);
	(void)snprintf(result, sizeof(result), "%llu leaked, %llu lost", (unsigned long long)c->arrived_denied,
		       lost + (unsigned long long)c->refused);
	bed_publish("proof", row, what, "packets at the peer", col->label, result);
	(void)munmap(c, sizeof(*c));
}

static unsigned number(const char *name, unsigned otherwise)
{
	const char *n = getenv(name);

	return n ? (unsigned)strtoul(n, NULL, 10) : otherwise;
}

static void swaps_under_flood(struct bed *b, const struct bed_column *c)
{
	unsigned failed = 0, swaps = number("ZT_SWAPS", 200);
	zt_usec began = zt_now_monotonic();
	struct run r;
	char what[64];

	if (swap(b, c->engine, 0) < 0 || !start(b, &r)) { /* the first policy stands before the flood begins */
		bed_ok(b, false, "%s: cannot begin", c->label);
		return;
	}
	for (unsigned i = 1; i <= swaps; i++)
		failed += swap(b, c->engine, i) < 0;
	(void)snprintf(what, sizeof(what), "%u swaps under flood", swaps);
	printf("# %s: %u swaps in %llu ms\n", c->label, swaps, (unsigned long long)(zt_now_monotonic() - began) / 1000);
	bed_ok(b, !failed, "%s: %u swaps, none failed (%u did)", c->label, swaps, failed);
	finish(b, &r, c, "42", what);
}

/* ---- killed in the middle ---- */
/* The programs that pid has started, as far as they can be seen just now. */
static pid_t child_of(pid_t pid)
{
	ZT_FREE char *path = zt_asprintf("/proc/%d/task/%d/children", (int)pid, (int)pid), *text = NULL;
	size_t len;

	if (!path || zt_file_read(path, 4096, &text, &len) < 0)
		return 0;
	return (pid_t)strtol(text, NULL, 10);
}

/* Begins a swap in a process of its own and kills that, or what it runs, after so long. */
static bool swap_killed(struct bed *b, const struct zt_engine *e, unsigned n, zt_usec after, bool the_child)
{
	zt_usec end = zt_now_monotonic() + after;
	pid_t pid, victim = 0;
	int status = 0;

	(void)fflush(stdout);
	pid = fork();
	if (!pid) {
		(void)freopen("/dev/null", "w", stderr); /* it is going to complain */
		_exit(swap(b, e, n) < 0);
	}
	while (zt_now_monotonic() < end)
		(void)poll(NULL, 0, 0);
	if (the_child)
		for (int i = 0; i < 200 && !victim && waitpid(pid, &status, WNOHANG) == 0; i++)
			victim = child_of(pid);
	else
		victim = pid;
	if (victim > 0)
		(void)kill(victim, SIGKILL);
	(void)waitpid(pid, &status, 0);
	return victim > 0;
}

static void killed_under_flood(struct bed *b, const struct bed_column *c)
{
	unsigned kills = number("ZT_KILLS", 40), hit = 0, broken = 0;
	zt_usec took = zt_now_monotonic();
	struct run r;

	if (swap(b, c->engine, 1) < 0 || swap(b, c->engine, 2) < 0 || !start(b, &r)) {
		bed_ok(b, false, "%s: cannot begin", c->label);
		return;
	}
	took = (zt_now_monotonic() - took) / 2;
	for (unsigned i = 0; i < kills; i++) {
		ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
		int live;

		hit += swap_killed(b, c->engine, i, took * (i * 7 % kills) / kills, i & 1);
		/* Old, new, or (two families, two commands) damage that is seen; a policy that cannot be read at all would be neither. */
		live = c->engine->raise("default", &rs, NULL);
		broken += live < 0 && live != -EUCLEAN;
		broken += swap(b, c->engine, i + 1) < 0;
	}
	bed_ok(b, hit > kills / 2 && !broken,
	       "%s: %u of %u swaps killed, each time the next one went well (%u did not)", c->label, hit, kills,
	       broken);
	finish(b, &r, c, "1 kill", "swaps killed with SIGKILL under flood");
}

static void run_column(struct bed *b, const struct bed_column *c)
{
	swaps_under_flood(b, c);
	killed_under_flood(b, c);
}

static void test(struct bed *b)
{
	bed_each_column(b, run_column);
}

int main(void)
{
	return bed_main("ztflood", test);
}
