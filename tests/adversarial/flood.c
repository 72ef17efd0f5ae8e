/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Row 42: policies are swapped while denied and allowed users flood the peer over IPv4 and IPv6 and connect to it. Of the denied user's packets none
 * may arrive, of the allowed user's none may be lost or refused, nor may a connection need a second SYN. Swaps go through every form: an element, a
 * log chain, other maps, other settings. Then the same while whoever swaps is killed at any moment, or the program that it started.
 * ZT_SWAPS=N: instead of both one run of N swaps, each tenth killed (ZT_EVERY), under as many probes as the machine can send.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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

enum { PORT_ALLOWED = 7777, PORT_DENIED, DENIERS = 2, PROCESSES = 4 + DENIERS };

/* Each is written by one process. */
struct counts {
	volatile uint64_t sent, refused, arrived_allowed, denied_tried[DENIERS], arrived_denied;
	volatile uint64_t connects, connects_lost, denied_connects, accepted, accepted_denied;
	volatile int stop, listening;
};

static bool going(const struct counts *c)
{
	return !c->stop && getppid() != 1;
}

static void act_for_good(const struct bed_send *s)
{
	(void)bed_act_as(s);			/* no groups: cannot fail */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* after the last change of user, which takes it back */
}

/* denier: which counter; pause: leave the others a processor. */
static void flood(struct counts *c, uint32_t uid, int denier, bool pause)
{
	bool allowed = uid == BED_ALLOWED;
	struct bed_send s = {.uid = uid, .gid = uid};
	struct bed_target to[2];
	int fd[2];

	for (int i = 0; i < 2; i++) {
		(void)bed_target(i ? "fd99::2" : "10.99.0.2", allowed ? PORT_ALLOWED : PORT_DENIED,
				 &to[i]); /* constants */
		fd[i] = bed_socket_as(&s, to[i].family, SOCK_DGRAM, 0);
	}
	act_for_good(&s);
	while (going(c)) {
		for (int i = 0; i < 16; i++) {
			bool ok = sendto(fd[i & 1], &uid, sizeof(uid), 0, &to[i & 1].a.sa, to[i & 1].len) ==
				  (ssize_t)sizeof(uid);

			if (!allowed)
				c->denied_tried[denier]++;
			else if (ok)
				c->sent++;
			else
				c->refused++;
		}
		if (allowed || pause)
			(void)poll(NULL, 0, allowed ? 1 : 0);
	}
	_exit(0);
}

/* A connection that is there within msec, and whose SYN was sent once. */
static bool connects(int fd, const struct bed_target *to, int msec)
{
	struct tcp_info info = {0};
	int error = -1;
	socklen_t len = sizeof(info), size = sizeof(error);
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	if (connect(fd, &to->a.sa, to->len) < 0 && errno != EINPROGRESS)
		return false;
	return poll(&p, 1, msec) == 1 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && !error &&
	       getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && !info.tcpi_total_retrans;
}

static unsigned ports_used; /* by all runs before */

static void connect_all_the_time(struct counts *c, uint32_t uid)
{
	bool allowed = uid == BED_ALLOWED;
	struct bed_send s = {.uid = uid, .gid = uid};
	struct linger reset = {.l_onoff = 1};
	struct bed_target to[2];

	for (int i = 0; i < 2; i++)
		(void)bed_target(i ? "fd99::2" : "10.99.0.2", allowed ? PORT_ALLOWED : PORT_DENIED,
				 &to[i]); /* constants */
	act_for_good(&s);
	for (unsigned i = ports_used; going(c); i++) {
		/* Ports in turn: one that the peer or the tracking of connections still remembers takes a second SYN by itself. */
		struct sockaddr_in6 from = {.sin6_family = (sa_family_t)to[i & 1].family,
					    .sin6_port = htons((uint16_t)((allowed ? 20000 : 40000) + i % 20000))};
		ZT_CLOSE int fd = socket(to[i & 1].family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) == 0 &&
			  bind(fd, (struct sockaddr *)&from, i & 1 ? sizeof(from) : sizeof(struct sockaddr_in)) == 0 &&
			  connects(fd, &to[i & 1], allowed ? 5000 : 1);

		if (allowed) {
			c->connects++;
			c->connects_lost += !ok;
		} else {
			c->denied_connects++;
		}
		(void)poll(NULL, 0, 4);
	}
	_exit(0);
}

/* For both families. */
static int peer_socket(int type, uint16_t port)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int fd = socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), size = 64 << 20, one = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)); /* connections of the last run linger */
	if (type == SOCK_DGRAM)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || (type == SOCK_STREAM && listen(fd, 4096) < 0))
		_exit(1);
	return fd;
}

static void take(int fd, bool listens, volatile uint64_t *count)
{
	uint32_t uid;

	for (;;) {
		ZT_CLOSE int conn = listens ? accept4(fd, NULL, NULL, SOCK_CLOEXEC) : -1;

		if (conn < 0 && (listens || recv(fd, &uid, sizeof(uid), 0) <= 0))
			return;
		(*count)++;
	}
}

static void count_arrivals(struct bed *b, struct counts *c)
{
	volatile uint64_t *counts[] = {&c->arrived_allowed, &c->arrived_denied, &c->accepted, &c->accepted_denied};
	struct pollfd p[ZT_ARRAY_SIZE(counts)];

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (bed_enter(b, true) < 0)
		_exit(1);
	for (int i = 0; i < 4; i++)
		p[i] = (struct pollfd){
			.fd = peer_socket(i < 2 ? SOCK_DGRAM : SOCK_STREAM, i & 1 ? PORT_DENIED : PORT_ALLOWED),
			.events = POLLIN};
	c->listening = 1;
	for (;;) {
		if (poll(p, ZT_ARRAY_SIZE(p), 200) == 0 && c->stop)
			_exit(0);
		for (int i = 0; i < 4; i++)
			take(p[i].fd, i >= 2, counts[i]);
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

	if (r < 0 || !(extra = rule_for(*ret, "allowed", BED_ALLOWED, PORT_ALLOWED)) ||
	    zt_u32_ranges_add(&extra->match.proto, 6, 6) < 0)
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
	pid_t pids[PROCESSES]; /* the first is who counts */
	zt_usec began;
	uint64_t wrong;
};

static void take_part(struct bed *b, struct counts *c, int which, bool pause)
{
	if (which == 0)
		count_arrivals(b, c);
	else if (which == 1)
		flood(c, BED_ALLOWED, 0, pause);
	else if (which < 4)
		connect_all_the_time(c, which == 2 ? BED_ALLOWED : BED_DENIED);
	else
		flood(c, BED_DENIED, which - 4, pause);
}

static bool start(struct bed *b, struct run *r, bool hard)
{
	struct counts *c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int n = hard ? PROCESSES : PROCESSES - DENIERS + 1;

	*r = (struct run){.c = c};
	if (c == MAP_FAILED)
		return false;
	(void)fflush(stdout);
	for (int i = 0; i < n; i++) {
		if (!(r->pids[i] = fork()))
			take_part(b, c, i, !hard);
		for (int k = 0; k < 500 && !c->listening; k++)
			(void)poll(NULL, 0, 10);
	}
	for (int i = 0; i < 500 && !(c->sent && c->denied_tried[0] && c->connects); i++)
		(void)poll(NULL, 0, 10);
	r->began = zt_now_monotonic();
	return c->listening;
}

static void publish(const struct bed_column *col, const struct counts *c, const char *row, const char *what, unsigned n)
{
	unsigned long long lost = c->sent - c->arrived_allowed + c->refused + c->connects_lost;
	char result[64];

	(void)snprintf(result, sizeof(result), "%u: %llu leaked, %llu lost", n,
		       (unsigned long long)(c->arrived_denied + c->accepted_denied), lost);
	bed_publish("proof", row, what, "packets at the peer", col->label, result);
}

static void finish(struct bed *b, struct run *r, const struct bed_column *col, const char *row, const char *what,
		   unsigned n)
{
	struct counts *c = r->c;
	zt_usec took = zt_now_monotonic() - r->began;
	unsigned long long denied = 0, lost;

	c->stop = 1;
	for (int i = PROCESSES - 1; i >= 0; i--)
		if (r->pids[i] > 0)
			(void)waitpid(r->pids[i], NULL, 0);
	for (int i = 0; i < DENIERS; i++)
		denied += c->denied_tried[i];
	lost = c->sent - c->arrived_allowed;
	bed_ok(b, denied > 1000 && c->arrived_denied == 0,
	       "%s: %s: 0 of the denied user's %llu packets arrived (%llu did)", col->label, what, denied,
	       (unsigned long long)c->arrived_denied);
	bed_ok(b, c->sent > 1000 && c->refused == 0 && lost == 0,
	       "%s: %s: 0 of the allowed user's %llu packets were lost (%llu refused, %lld lost)", col->label, what,
	       (unsigned long long)c->sent, (unsigned long long)c->refused, (long long)lost);
	bed_ok(b, c->denied_connects > 50 && c->accepted_denied == 0,
	       "%s: %s: 0 of the denied user's %llu connects arrived (%llu did)", col->label, what,
	       (unsigned long long)c->denied_connects, (unsigned long long)c->accepted_denied);
	bed_ok(b, c->connects > 50 && c->connects_lost == 0,
	       "%s: %s: 0 of the allowed user's %llu connects failed or were sent twice (%llu did)", col->label, what,
	       (unsigned long long)c->connects, (unsigned long long)c->connects_lost);
	printf("# %s: %s: %u in %llu ms, %llu probes/s\n", col->label, what, n, (unsigned long long)took / 1000,
	       (denied + c->sent + c->connects + c->denied_connects) * ZT_USEC_PER_SEC / ZT_MAX(took, (zt_usec)1));
	publish(col, c, row, what, n);
	ports_used += (unsigned)ZT_MAX(c->connects, c->denied_connects);
	(void)munmap(c, sizeof(*c));
}

static unsigned number(const char *name, unsigned otherwise)
{
	const char *n = getenv(name);

	return n ? (unsigned)strtoul(n, NULL, 10) : otherwise;
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

/* Old, new, or (two families, two commands) damage that is seen; a policy that cannot be read at all would be neither. */
static bool readable(const struct zt_engine *e)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	int r = e->raise("default", &rs, NULL);

	return r >= 0 || r == -EUCLEAN;
}

/* ---- all of it ---- */
struct plan {
	const char *row, *what;
	unsigned swaps, every; /* each so-manieth is killed at any moment of what a swap takes; 0: none is */
	bool hard;	       /* as many probes as can be */
};

/* Near which swap somebody was refused. */
static void told(const struct bed_column *c, struct run *r, unsigned swap)
{
	uint64_t wrong = r->c->refused + r->c->connects_lost + r->c->arrived_denied + r->c->accepted_denied;

	if (wrong != r->wrong)
		printf("# %s: swap %u: %llu wrong\n", c->label, swap, (unsigned long long)(wrong - r->wrong));
	r->wrong = wrong;
}

static void under_flood(struct bed *b, const struct bed_column *c, const struct plan *p)
{
	unsigned hit = 0, kills = 0, failed = 0, broken = 0, seed = 1;
	zt_usec took = 0, began;
	struct run r;

	if (swap(b, c->engine, 0) < 0 || !start(b, &r, p->hard)) { /* the first policy stands before the flood begins */
		bed_ok(b, false, "%s: cannot begin", c->label);
		return;
	}
	for (unsigned i = 1; i <= p->swaps; told(c, &r, i++)) {
		if (p->every && i % p->every == 0) {
			seed = seed * 1103515245u + 12345u;
			kills++;
			hit += swap_killed(b, c->engine, i, took * (seed >> 16 & 1023) / 1024,
					   seed >> 27 & 1 && !c->cgroup_wide);
			broken += !readable(c->engine);
			continue;
		}
		began = zt_now_monotonic();
		failed += swap(b, c->engine, i) < 0;
		took = zt_now_monotonic() - began;
	}
	failed += swap(b, c->engine, p->swaps + 1) < 0;
	bed_ok(b, !failed && !broken && hit >= kills / 2,
	       "%s: %s: %u swaps, %u killed in the middle; %u of the others failed, %u left what cannot be read",
	       c->label, p->what, p->swaps, hit, failed, broken);
	finish(b, &r, c, p->row, p->what, p->every == 2 ? kills : p->swaps);
}

static void run_column(struct bed *b, const struct bed_column *c)
{
	/* A swap of the bpf engine waits for the kernel's grace periods, which a flood on every CPU makes long. */
	bool slow = c->cgroup_wide;
	unsigned swaps = number("ZT_SWAPS", 0);
	struct plan calm = {"42", "swaps under flood", slow ? 50 : 100, 0, false};
	struct plan killed = {"1 kill", "swaps killed with SIGKILL under flood", 40, 2, false};
	struct plan hard = {"42", "swaps and kills under flood", swaps, number("ZT_EVERY", 10), true};

	if (swaps) {
		under_flood(b, c, &hard);
		return;
	}
	under_flood(b, c, &calm);
	under_flood(b, c, &killed);
}

static void test(struct bed *b)
{
	bed_each_column(b, run_column);
}

int main(void)
{
	return bed_main("ztflood", test);
}
