/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "apply/state.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"

static volatile sig_atomic_t stop_now;

static void on_term(int sig)
{
	(void)sig;
	stop_now = 1;
}

static const struct zt_engine *engine_of(const struct zt_apply_ctx *c, const struct zt_pending *p)
{
	const struct zt_engine *e = p->engine[0] ? zt_engine_by_name(p->engine) : NULL;

	return e ? e : c->engine;
}

/* An apply that failed on its last step had recorded its generation already; a flush that was interrupted, that nothing is active. */
static void record_backup(const struct zt_apply_ctx *c, const struct zt_pending *p)
{
	uint64_t current = 0;
	bool flushed = false;

	if (!p->generation || zt_state_current(c, &current, &flushed) < 0)
		return;
	if (current == p->generation)
		(void)zt_state_set_current(c, p->backup_of ? p->backup_of : current,
					   !p->backup_of); /* shown as drift otherwise */
	else if (flushed && current == p->backup_of)
		(void)zt_state_set_current(c, current, false); /* the same */
}

int zt_pending_rollback(const struct zt_apply_ctx *c, const struct zt_pending *p, const char *why, struct zt_diags *d)
{
	ZT_FREE char *path = zt_state_path(c, "backup"), *bytes = NULL;
	const struct zt_engine *engine = engine_of(c, p);
	struct zt_diags quiet = {0};
	size_t len = 0;
	int r = path ? zt_file_read(path, ZT_STATE_BYTES, &bytes, &len) : -ENOMEM;

	if (r == -ENOENT)
		r = p->backup_of ? zt_generation_image(c, p->backup_of, &bytes, &len) : -ENOENT;
	if (r == -ENOENT && !p->backup_of)
		r = engine->flush(c->instance, d);
	else
		r = r ?: engine->load_text(c->instance, bytes, len, d);
	if (r < 0)
		return zt_diag_errno(d, 4016, r, "cannot put the previous ruleset back");
	(void)zt_fault_step("rollback: loaded");
	record_backup(c, p);
	(void)zt_generation_set_state(c, p->generation, "rolled-back");
	(void)zt_audit(c, "auto-rollback", p->backup_of, NULL, why, &quiet); /* the host comes first */
	zt_diags_done(&quiet);
	(void)zt_fault_step("rollback: recorded");
	return zt_pending_clear(c);
}

static bool this_boot(const struct zt_pending *p)
{
	char boot[40];

	zt_boot_id(boot);
	return !strcmp(boot, p->boot_id);
}

int zt_pending_open(const struct zt_apply_ctx *c, struct zt_pending *ret)
{
	uint64_t current = 0;
	bool flushed = false;
	int r = zt_pending_read(c, ret);

	if (r || zt_state_current(c, &current, &flushed) < 0 || !ret->generation || current != ret->generation ||
	    flushed)
		return r;
	(void)zt_pending_clear(c); /* killed between confirming and tidying */
	return -ENOENT;
}

bool zt_pending_waits(const struct zt_apply_ctx *c, const struct zt_pending *p)
{
	uint64_t generation = 0;
	char hash[65];

	return p->deadline && zt_now_boottime() < p->deadline && this_boot(p) &&
	       engine_of(c, p)->identify(c->instance, &generation, hash) == 0 && generation == p->generation;
}

/* A dead process that nobody waited for is dead. */
static bool lives(int64_t pid)
{
	ZT_FREE char *path = zt_asprintf("/proc/%lld/stat", (long long)pid), *text = NULL;
	const char *after = NULL;
	size_t len = 0;

	if (pid <= 0 || kill((pid_t)pid, 0) < 0)
		return false;
	if (path && zt_file_read(path, 4096, &text, &len) == 0)
		after = strrchr(text, ')'); /* the name before it may contain anything */
	return !after || strlen(after) < 3 || !strchr("ZX", after[2]);
}

int zt_pending_recover(const struct zt_apply_ctx *c, struct zt_diags *d)
{
	struct zt_pending p = {0};
	uint64_t current = 0;
	bool flushed;
	int r = zt_pending_open(c, &p);

	if (r < 0 && r != -ENOENT) /* unreadable: what was confirmed last is the truth */
		p = (struct zt_pending){0};
	if (!r && zt_pending_waits(c, &p) && lives(p.pid))
		return -EBUSY;
	if (!p.backup_of && !p.generation && zt_state_current(c, &current, &flushed) == 0 && !flushed)
		p.backup_of = current;
	r = r == -ENOENT
		    ? 0
		    : zt_pending_rollback(c, &p, p.deadline ? "not confirmed in time" : "an apply was interrupted", d);
	zt_state_sweep(c);
	return r;
}

/* ---- the process that outlives the command ---- */
static void nap(void)
{
	struct timespec t = {.tv_nsec = 200 * 1000 * 1000};

	(void)nanosleep(&t, NULL); /* woken early is fine */
}

/* The journal as it is now: gone, or of another apply, and the watch is over. */
static void follow(const struct zt_apply_ctx *c, struct zt_pending *mine)
{
	struct zt_pending p;
	int r = zt_pending_read(c, &p);

	if (r == -ENOENT || (!r && p.generation != mine->generation))
		_exit(0);
	if (!r)
		*mine = p;
}

static void watch(const struct zt_apply_ctx *c, struct zt_pending *p)
{
	struct zt_diags d = {0};
	int lock = -1;

	for (;;) {
		for (; !stop_now && zt_now_boottime() < p->deadline; follow(c, p))
			nap();
		/* The transaction holds the lock until it has swapped, and only then the time begins to run. */
		for (int i = 0; i < 50 && zt_state_lock(c, ZT_USEC_PER_SEC, &lock, &d) < 0; i++)
			zt_diags_done(&d);
		follow(c, p);
		if (stop_now || zt_now_boottime() >= p->deadline)
			break;
		zt_closep(&lock);
	}
	if (zt_pending_open(c, p) != -ENOENT)
		(void)zt_pending_rollback(
			c, p, stop_now ? "the waiting process was told to end" : "not confirmed in time", &d);
	_exit(0);
}

static void become_deadman(const struct zt_apply_ctx *c, struct zt_pending *p, int ready)
{
	struct sigaction term = {.sa_handler = on_term}, ignore = {.sa_handler = SIG_IGN};
	char ok = 1;
	int null = open("/dev/null", O_RDWR);

	(void)setsid();
	(void)sigaction(SIGTERM, &term, NULL);
	(void)sigaction(SIGHUP, &ignore, NULL);
	(void)sigaction(SIGINT, &ignore, NULL);
	(void)sigaction(SIGPIPE, &ignore, NULL);
	(void)umask(077);
	p->pid = (int64_t)getpid();
	if (zt_pending_write(c, p) < 0)
		_exit(1);
	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
		_exit(1);
	/* Everything else goes before the parent hears of it, the lock of the transaction above all: the next command must find it free. */
	if (ready > 3)
		(void)close_range(3, (unsigned)ready - 1, 0);
	(void)close_range((unsigned)ready + 1, ~0U, 0);
	if (zt_write_all(ready, &ok, 1) < 0)
		_exit(1);
	(void)close(ready);
	watch(c, p);
}

int zt_deadman_start(const struct zt_apply_ctx *c, struct zt_pending *p)
{
	int fds[2], status = 0;
	char ok = 0;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (!pid) {
		/* Twice, so that nobody has to wait for it. */
		pid = fork();
		if (!pid)
			become_deadman(c, p, fds[1]);
		_exit(pid < 0);
	}
	(void)close(fds[1]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid < 0 || read(fds[0], &ok, 1) != 1)
		ok = 0;
	(void)close(fds[0]);
	return ok ? zt_pending_read(c, p) : -EIO;
}
