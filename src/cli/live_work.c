/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/mem.h"
#include "cli/live.h"

/* ---- who does what ---- */
static bool fits(const struct zt_live_board *b, const struct zt_live_worker *w, const struct zt_live_probe *p, int side)
{
	const struct zt_live_probe *first = &b->probes[w->probe[0]];

	return w->side == side && w->peer == (!side && p->kind >= ZT_LIVE_IN) &&
	       p->program[side] == first->program[side] && p->parent[side] == first->parent[side] &&
	       !strcmp(p->cgroup[side], first->cgroup[side]);
}

static void give(struct zt_live_board *b, size_t i, int side)
{
	const struct zt_live_probe *p = &b->probes[i];
	size_t k = 0;

	while (k < b->n_workers && !fits(b, &b->workers[k], p, side))
		k++;
	if (k == b->n_workers)
		b->workers[b->n_workers++] = (struct zt_live_worker){.side = (uint8_t)side,
								     .peer = !side && p->kind >= ZT_LIVE_IN};
	b->workers[k].probe[b->workers[k].n++] = (uint8_t)i;
}

/* Receivers of one address, port and identity are one socket: the first one's. */
static bool has_listener(const struct zt_live_board *b, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (zt_live_same_receiver(&b->probes[k], &b->probes[i]))
			return true;
	return false;
}

void zt_live_share_out(struct zt_live_board *b)
{
	b->n_workers = 0;
	for (size_t i = 0; i < b->n; i++)
		if (b->probes[i].listens && !has_listener(b, i))
			give(b, i, 1);
	for (size_t i = 0; i < b->n; i++)
		give(b, i, 0);
}

/* ---- a process ---- */
static int failed(struct zt_live_board *b, const struct zt_live_worker *w, int r)
{
	for (size_t i = 0; i < w->n; i++) {
		b->marks[w->probe[i]].error = r;
		b->marks[w->probe[i]].sent = 1;
	}
	if (w->side)
		(void)!write(b->ready, "", 1); /* nobody waits for what failed */
	return r;
}

static int move(const char *cgroups, const char *cgroup)
{
	char path[512];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s/cgroup.procs", cgroups, cgroup);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		return -errno;
	(void)close(fd); /* nothing is lost with it */
	return 0;
}

static void keep_open(int fd)
{
	(void)fcntl(fd, F_SETFD, 0); /* a descriptor that is open has flags */
}

/* As program, or as this one (by its file: its path may be the program's by now). Returns only where that fails. */
static int start_anew(const char *program, int self, int memory, size_t i, const char *then)
{
	char numbers[3][16], last[4096];
	char *argv[] = {(char[]){ZT_LIVE_WORKER}, numbers[0], numbers[1], numbers[2], last, NULL};
	static char *const none[] = {NULL};

	(void)snprintf(numbers[0], sizeof(numbers[0]), "%d", memory);
	(void)snprintf(numbers[1], sizeof(numbers[1]), "%zu", i);
	(void)snprintf(last, sizeof(last), "%s", then);
	(void)snprintf(numbers[2], sizeof(numbers[2]), "%d", self);
	if (program)
		(void)execve(program, argv, none);
	else
		(void)fexecve(self, argv, none);
	return -errno;
}

static int work(const struct zt_live_crew *c, size_t i)
{
	const struct zt_live_worker *w = &c->board->workers[i];
	const struct zt_live_probe *p = &c->board->probes[w->probe[0]];
	const char *program = p->program[w->side], *parent = p->parent[w->side];
	int r = w->peer ? (setns(c->bed->ns_peer, CLONE_NEWNET) < 0 ? -errno : 0)
			: move(c->cgroups, p->cgroup[w->side]);

	if (r || w->peer || (!program && !parent)) {
		if (!r)
			zt_live_work(c->board, w);
		return r;
	}
	if (setns(c->bed->ns_mounts, CLONE_NEWNS) < 0)
		return -errno;
	keep_open(c->memory);
	keep_open(c->bed->self);
	keep_open(c->board->stop);
	keep_open(c->board->ready);
	return start_anew(parent ? parent : program, c->bed->self, c->memory, i,
			  !parent   ? ""
			  : program ? program
				    : "-");
}

int zt_live_start(const struct zt_live_crew *c, size_t i, int *ret_pid)
{
	pid_t parent = getpid(), pid = fork();

	if (pid) {
		*ret_pid = pid;
		return pid < 0 ? -errno : 0;
	}
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == parent) {
		int r;

		(void)close(c->hold); /* else it would hold itself */
		r = work(c, i);
		if (r)
			(void)failed(c->board, &c->board->workers[i], r);
	}
	_exit(0);
}

/* ---- the same, started anew as another program ---- */
/* The parent of the one that works has nothing to do but to be it. */
static int be_parent(struct zt_live_board *b, const struct zt_live_worker *w, int memory, size_t i, int self,
		     const char *then)
{
	pid_t parent = getpid(), pid = fork();

	if (!pid) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			(void)failed(b, w, start_anew(strcmp(then, "-") != 0 ? then : NULL, self, memory, i, ""));
		_exit(0);
	}
	if (pid < 0)
		return failed(b, w, -errno);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return 0;
}

static int number(const char *s)
{
	return (int)strtol(s, NULL, 10); /* written above */
}

int zt_live_worker_main(int argc, char **argv)
{
	struct zt_live_board *b;
	size_t i;

	if (argc != 5)
		return ZT_EXIT_USAGE;
	b = mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE, MAP_SHARED, number(argv[1]), 0);
	i = (size_t)number(argv[2]);
	if (b == MAP_FAILED || i >= b->n_workers)
		return ZT_EXIT_USAGE;
	if (*argv[4])
		return be_parent(b, &b->workers[i], number(argv[1]), i, number(argv[3]), argv[4]) ? ZT_EXIT_FAILED
												  : ZT_EXIT_OK;
	zt_live_work(b, &b->workers[i]);
	return ZT_EXIT_OK;
}
