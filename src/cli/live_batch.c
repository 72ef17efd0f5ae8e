/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/mem.h"
#include "base/time.h"
#include "cli/live.h"

enum {
	BATCH = ZT_LIVE_BATCH,
	READY_MSEC = 5000,
	SETTLE_MSEC = 15,
	LATEST_MSEC = 500,
	AGAIN_MSEC = 2000,
	CONFIRMED = 2
};

struct running {
	struct zt_live_job *job;
	struct zt_live_bed *bed;
	struct zt_live_crew crew;
	struct zt_live_probe *v[BATCH];
	size_t index[BATCH], n; /* of the plan */
	int pids[2 * BATCH];
	size_t n_pids, receivers;
};

/* ---- what goes together ---- */
static bool clash(const struct zt_live_probe *a, const struct zt_live_probe *b)
{
	if (a->kind != b->kind || (a->sport == b->sport && a->flow.proto == b->flow.proto))
		return true;
	if (a->kind == ZT_LIVE_OUT)
		return false;
	if (a->flow.proto == b->flow.proto && (a->sport == b->flow.port || b->sport == a->flow.port))
		return true;
	if (a->kind >= ZT_LIVE_IN &&
	    (!zt_addr_cmp(&a->flow.src, &b->flow.dst) || !zt_addr_cmp(&a->flow.dst, &b->flow.src)))
		return true; /* an address is at one end of the wire */
	return zt_live_same_port(a, b) && !zt_live_same_receiver(a, b);
}

static bool fits(const struct running *r, const struct zt_live_probe *p)
{
	for (size_t i = 0; i < r->n; i++)
		if (clash(r->v[i], p))
			return false;
	return true;
}

static void put(struct running *r, size_t i)
{
	r->index[r->n] = i;
	r->v[r->n++] = &r->job->plan->probes[i];
}

static void fill(struct running *r, size_t from, size_t max)
{
	const struct zt_live_job *job = r->job;

	for (size_t i = from; i < job->plan->n && r->n < max; i++)
		if (job->seen[i] == ZT_LIVE_UNTRIED && fits(r, &job->plan->probes[i]))
			put(r, i);
}

static void write_board(struct running *r, int stop, int ready)
{
	struct zt_live_board *b = r->crew.board;

	memset(b->marks, 0, sizeof(b->marks));
	b->n = r->n;
	b->stop = stop;
	b->ready = ready;
	for (size_t i = 0; i < r->n; i++)
		b->probes[i] = *r->v[i];
	zt_live_share_out(b);
}

/* ---- processes ---- */
static int start(struct running *r, uint8_t side)
{
	for (size_t i = 0; i < r->crew.board->n_workers; i++) {
		int e;

		if (r->crew.board->workers[i].side != side)
			continue;
		e = zt_live_start(&r->crew, i, &r->pids[r->n_pids]);
		if (e < 0)
			return e;
		r->n_pids++;
		r->receivers += side;
	}
	return 0;
}

static int wait_ready(const struct running *r, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	for (size_t got = 0; got < r->receivers;) {
		char buf[BATCH];
		ssize_t n = poll(&p, 1, READY_MSEC) == 1 ? read(fd, buf, sizeof(buf)) : 0;

		if (n <= 0)
			return -ETIMEDOUT;
		got += (size_t)n;
	}
	return 0;
}

static void end_processes(struct running *r)
{
	zt_closep(&r->crew.hold);
	for (size_t i = 0; i < r->n_pids; i++)
		while (waitpid(r->pids[i], NULL, 0) < 0 && errno == EINTR)
			;
	r->n_pids = 0;
}

/* ---- waiting ---- */
static void found(void *arg, enum zt_live_kind kind, uint8_t proto, uint16_t sport)
{
	struct running *r = arg;

	for (size_t i = 0; i < r->n; i++)
		if (kind == (r->v[i]->kind == ZT_LIVE_IN ? ZT_LIVE_LOCAL : r->v[i]->kind) && r->v[i]->sport == sport &&
		    r->v[i]->flow.proto == proto && !r->v[i]->listens)
			r->crew.board->marks[i].seen = 1;
}

/* Is everything sent, and everything here that is to come? */
static bool complete(const struct running *r, bool *ret_sent)
{
	bool all = true;

	*ret_sent = true;
	for (size_t i = 0; i < r->n; i++) {
		const volatile struct zt_live_mark *m = &r->crew.board->marks[i];

		*ret_sent = *ret_sent && m->sent;
		all = all && (m->seen || m->error || !r->job->expect[r->index[i]]);
	}
	return all;
}

static void wait_arrivals(struct running *r, unsigned msec)
{
	zt_usec end = zt_now_monotonic() + READY_MSEC * (zt_usec)1000, settled = 0;
	bool sent, all;

	for (;;) {
		zt_usec now = zt_now_monotonic();

		zt_live_bed_drain(r->bed, found, r);
		all = complete(r, &sent);
		if (sent && !settled) {
			settled = now + SETTLE_MSEC * (zt_usec)1000;
			end = now + msec * (zt_usec)1000;
		}
		if ((settled && all && now >= settled) || now >= end)
			break;
		(void)usleep(1000);
	}
	zt_live_bed_drain(r->bed, found, r);
}

static void judge(struct running *r, int error)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct zt_live_mark *m = &r->crew.board->marks[i];

		r->job->seen[r->index[i]] = m->seen		? ZT_LIVE_ARRIVED
					    : error || m->error ? ZT_LIVE_UNSENT
								: ZT_LIVE_BLOCKED;
		if (!m->seen && (error || m->error))
			r->job->error = m->error ? m->error : error;
	}
}

static int run_batch(struct running *r, unsigned msec)
{
	int stop[2], ready[2], e;

	if (pipe2(stop, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(ready, O_CLOEXEC) < 0) {
		e = -errno;
		(void)close(stop[0]);
		(void)close(stop[1]);
		return e;
	}
	r->crew.hold = stop[1];
	zt_live_bed_drain(r->bed, found, r); /* of before: nobody is marked yet, and marks start anew */
	write_board(r, stop[0], ready[1]);
	e = zt_live_bed_addresses(r->bed, r->v, r->n, true);
	e = e ? e : start(r, 1);
	e = e ? e : wait_ready(r, ready[0]);
	e = e ? e : start(r, 0);
	if (!e)
		wait_arrivals(r, msec);
	end_processes(r);
	judge(r, e);
	(void)zt_live_bed_addresses(r->bed, r->v, r->n, false);
	(void)close(stop[0]);
	(void)close(ready[0]);
	(void)close(ready[1]);
	return 0;
}

/* What did not come, or could not be sent, is tried once more, alone and with patience: a busy machine is no broken engine. Two that
 * fail again are enough. What came and should
 * not have come is never excused. */
static void again(const struct running *like)
{
	const struct zt_live_job *job = like->job;
	size_t confirmed = 0;

	for (size_t i = 0; i < job->plan->n && confirmed < CONFIRMED; i++) {
		struct running r = *like;

		if (job->seen[i] != ZT_LIVE_UNSENT && !(job->seen[i] == ZT_LIVE_BLOCKED && job->expect[i]))
			continue;
		put(&r, i);
		if (run_batch(&r, AGAIN_MSEC) < 0)
			return;
		confirmed += job->seen[i] != ZT_LIVE_ARRIVED;
	}
}

static void run_all(const struct running *like, zt_usec until)
{
	const struct zt_live_job *job = like->job;

	for (size_t i = 0; i < job->plan->n; i++) {
		struct running r = *like;

		if (job->seen[i] != ZT_LIVE_UNTRIED)
			continue;
		if (zt_now_monotonic() >= until)
			break;
		fill(&r, i, BATCH);
		if (r.n && run_batch(&r, LATEST_MSEC) < 0)
			break;
	}
	again(like);
}

int zt_live_job_run(struct zt_live_job *job, struct zt_live_bed *bed, zt_usec until)
{
	struct running r = {.job = job, .bed = bed, .crew = {.bed = bed, .cgroups = job->cgroups, .hold = -1}};
	ZT_CLOSE int memory = memfd_create("zt-prove", MFD_CLOEXEC);

	if (memory < 0 || ftruncate(memory, sizeof(*r.crew.board)) < 0)
		return -errno;
	r.crew.memory = memory;
	r.crew.board = mmap(NULL, sizeof(*r.crew.board), PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	if (r.crew.board == MAP_FAILED)
		return -errno;
	run_all(&r, until);
	(void)munmap(r.crew.board, sizeof(*r.crew.board)); /* ours */
	return 0;
}
