/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Row 42: policies are swapped while a denied and an allowed user flood the peer. Of the denied user's packets none may arrive, of the allowed
 * user's none may be lost. Swaps go through every form: an element, a log chain, other maps, other settings. ZT_SWAPS=N.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/mem.h"
#include "base/time.h"
#include "bed.h"

#define ALLOWED 2001u
#define DENIED 2666u

struct counts {
	volatile uint64_t sent, refused, arrived_allowed, arrived_denied;
	volatile int stop;
};

static void flood(struct counts *c, uint32_t uid, bool count)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(uid == ALLOWED ? 7777 : 7778), .sin_addr.s_addr = inet_addr("10.99.0.2")};
	int fd;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)setfsuid(uid);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	(void)setfsuid(0);
	while (!c->stop) {
		for (int i = 0; i < 16; i++) {
			bool ok = sendto(fd, &uid, sizeof(uid), 0, (struct sockaddr *)&to, sizeof(to)) == (ssize_t)sizeof(uid);

			if (count)
				c->sent++;
			if (count && !ok)
				c->refused++;
		}
		(void)poll(NULL, 0, count ? 1 : 0);
	}
	_exit(0);
}

static void count_arrivals(struct bed *b, struct counts *c)
{
	int fds[2];

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (setns(b->ns_b, CLONE_NEWNET) < 0)
		_exit(1);
	for (int i = 0; i < 2; i++) {
		struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(7777 + i))};
		int size = 64 << 20;

		fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
		(void)setsockopt(fds[i], SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
		if (fds[i] < 0 || bind(fds[i], (struct sockaddr *)&a, sizeof(a)) < 0)
			_exit(1);
	}
	for (;;) {
		struct pollfd p[2] = {{.fd = fds[0], .events = POLLIN}, {.fd = fds[1], .events = POLLIN}};
		uint32_t uid;

		if (poll(p, 2, 200) == 0 && c->stop)
			_exit(0);
		while (recv(fds[0], &uid, sizeof(uid), 0) > 0)
			c->arrived_allowed++;
		while (recv(fds[1], &uid, sizeof(uid), 0) > 0)
			c->arrived_denied++;
	}
}

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

	if (r < 0 || !rule_for(*ret, "allowed", ALLOWED, 7777))
		return -ENOMEM;
	for (unsigned i = 0; i < 40; i++) {
		char id[32];

		(void)snprintf(id, sizeof(id), "other-%u", i);
		if (!rule_for(*ret, id, 3000 + i + n % 3, 1000 + i))
			return -ENOMEM;
	}
	if (n % 4 == 1) /* another kind of map */
		if (!(extra = rule_for(*ret, "ranges", 3999, 9000)) || zt_addr_range_parse("10.50.0.0/16", &prefix, NULL) < 0 ||
		    zt_addr_ranges_add(&extra->match.dst4, &prefix) < 0)
			return -ENOMEM;
	if (n % 4 == 2 && (extra = rule_for(*ret, "logs", 3998, 9001)))
		extra->log = true;
	(*ret)->settings.block = n % 8 < 4 ? ZT_BLOCK_REJECT : ZT_BLOCK_DROP;
	(*ret)->settings.log_blocked = false;
	return 0;
}

static void run_engine(struct bed *b, const struct zt_engine *e, unsigned swaps)
{
	struct counts *c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned failed = 0;
	pid_t pids[3];

	if (c == MAP_FAILED) {
		bed_ok(b, false, "out of memory");
		return;
	}
	(void)fflush(stdout);
	for (unsigned i = 0; i <= swaps + 1; i++) {
		ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;

		if (make_policy(i, &rs) < 0 || bed_apply(b, e, rs) < 0)
			failed++;
		if (i)
			continue;
		/* The first policy stands before the flood begins. */
		if (!(pids[0] = fork()))
			count_arrivals(b, c);
		(void)poll(NULL, 0, 100);
		if (!(pids[1] = fork()))
			flood(c, ALLOWED, true);
		if (!(pids[2] = fork()))
			flood(c, DENIED, false);
		(void)poll(NULL, 0, 100);
	}
	c->stop = 1;
	for (int i = 2; i >= 0; i--)
		(void)waitpid(pids[i], NULL, 0);
	(void)e->flush("default", NULL);
	bed_ok(b, !failed, "%s: %u swaps under flood", e->name, swaps);
	bed_ok(b, c->sent > 1000 && c->arrived_denied == 0, "%s: 0 of the denied user's packets arrived (%llu did)", e->name,
	       (unsigned long long)c->arrived_denied);
	bed_ok(b, c->refused == 0 && c->arrived_allowed == c->sent, "%s: 0 of the allowed user's %llu packets were lost (%llu refused, %lld lost)",
	       e->name, (unsigned long long)c->sent, (unsigned long long)c->refused, (long long)(c->sent - c->arrived_allowed));
	(void)munmap(c, sizeof(*c));
}

int main(void)
{
	const char *n = getenv("ZT_SWAPS");
	unsigned swaps = n ? (unsigned)strtoul(n, NULL, 10) : 200;
	struct bed b;
	int r = bed_open(&b, "ztflood");

	if (r == -EPERM) {
		printf("1..0 # SKIP root is needed\n");
		return 0;
	}
	if (r < 0) {
		bed_ok(&b, false, "test bed: %s", strerror(-r));
	} else {
		run_engine(&b, &zt_engine_nft, swaps);
		run_engine(&b, &zt_engine_iptables, swaps / 4);
	}
	bed_close(&b);
	return bed_finish(&b);
}
