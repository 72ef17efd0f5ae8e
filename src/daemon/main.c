/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>

#include "apply/control.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "daemon/daemon.h"
#include "daemon/options.h"

enum { FAILED = 1, USAGE = 2, PERMISSION = 77 };

static int refuse(int code, const char *fmt, ...) ZT_PRINTF(2, 3);
static int refuse(int code, const char *fmt, ...)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	va_list ap;

	va_start(ap, fmt);
	zt_strbuf_vprintf(&b, fmt, ap);
	va_end(ap);
	fprintf(stderr, "zt-segmentd: error: %s\n", zt_strbuf_cstr(&b));
	return code;
}

static bool instance_valid(const char *s)
{
	size_t n = strlen(s);

	return n >= 1 && n <= 16 && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

static char *state_dir(const struct zt_job_ctx *c, const char *given)
{
	const char *base = c->netns ? strrchr(c->netns, '/') : NULL;

	if (given)
		return zt_strdup(given);
	if (!c->netns)
		return zt_asprintf("/var/lib/zt-segment/%s", c->instance);
	return zt_asprintf("/var/lib/zt-segment/netns-%s/%s", base ? base + 1 : c->netns, c->instance);
}

/* An exit code. */
static int settle_options(struct zt_daemon *d, const struct zt_daemon_args *a)
{
	const char *engine = a->value[ZT_DOPT_ENGINE];
	int r;

	d->ctx = (struct zt_job_ctx){.instance = a->value[ZT_DOPT_INSTANCE] ? a->value[ZT_DOPT_INSTANCE] : "default",
				     .cgroup = a->value[ZT_DOPT_CGROUP],
				     .netns = a->value[ZT_DOPT_NETNS],
				     .engine = engine && strcmp(engine, "auto") ? engine : NULL,
				     .policy = a->value[ZT_DOPT_POLICY] ? a->value[ZT_DOPT_POLICY]
									: "/etc/zt-segment/rules.yaml"};
	if (!instance_valid(d->ctx.instance))
		return refuse(USAGE, "the name of an instance is 1 to 16 of a-z, 0-9 and _: \"%s\"", d->ctx.instance);
	if (d->ctx.engine && (!zt_engine_by_name(d->ctx.engine) || !strcmp(d->ctx.engine, "memory")))
		return refuse(USAGE, "engines are nft, bpf and iptables, not \"%s\"", d->ctx.engine);
	if (geteuid() != 0)
		return refuse(PERMISSION, "zt-segmentd reads and changes the packet filter, which only root may");
	zt_engine_cgroup(d->ctx.cgroup);
	r = d->ctx.netns ? zt_netns_enter(d->ctx.netns) : 0;
	return r < 0 ? refuse(FAILED, "cannot enter network namespace \"%s\"", d->ctx.netns) : 0;
}

static int guard(void)
{
	struct zt_diags diags = {0};
	int r = zt_apply_guard(&diags);

	zt_diags_print(&diags, stderr, false);
	zt_diags_done(&diags);
	return r < 0 ? PERMISSION : 0;
}

/* Others may enter, to find the socket. */
static int make_run_dir(const char *path)
{
	ZT_FREE char *up = zt_strdup(path);
	int r = up ? zt_mkdir_p(path, 0755) : -ENOMEM;

	for (char *slash; !r && strlen(up) >= strlen(ZT_RUN_DIR); *slash = '\0') {
		if (chmod(up, 0755) < 0)
			r = -errno;
		slash = strrchr(up, '/');
	}
	return r;
}

static int prepare_folders(struct zt_daemon *d, const struct zt_daemon_args *a)
{
	ZT_FREE char *lock = NULL;
	int r;

	d->ctx.state_dir = state_dir(&d->ctx, a->value[ZT_DOPT_STATE_DIR]);
	d->run_dir = zt_run_dir(d->ctx.netns, d->ctx.instance);
	if (!d->ctx.state_dir || !d->run_dir)
		return refuse(FAILED, "out of memory");
	d->beat_path = zt_asprintf("%s/daemon", d->ctx.state_dir);
	lock = zt_asprintf("%s/lock", d->run_dir);
	if (!d->beat_path || !lock)
		return refuse(FAILED, "out of memory");
	r = zt_mkdir_p(d->ctx.state_dir, 0700);
	if (r < 0)
		return refuse(FAILED, "cannot make the state folder %s", d->ctx.state_dir);
	r = make_run_dir(d->run_dir);
	r = r
		    ?: zt_lock_acquire(lock, 3 * ZT_USEC_PER_SEC,
				       &d->run_lock); /* the hand of one that was killed ends its work first */
	if (r == -EWOULDBLOCK)
		return refuse(FAILED, "another zt-segmentd runs for instance \"%s\"", d->ctx.instance);
	return r < 0 ? refuse(FAILED, "cannot use the folder %s", d->run_dir) : 0;
}

static int read_settings(struct zt_daemon *d, const struct zt_daemon_args *a)
{
	struct zt_diags diags = {0};
	int r;

	d->config_given = a->value[ZT_DOPT_SETTINGS];
	d->config_path = d->config_given ? a->value[ZT_DOPT_SETTINGS] : ZT_DAEMON_CONFIG;
	r = zt_daemon_config_load(d->config_path, d->config_given, &d->config, &diags);
	zt_diags_print(&diags, stderr, false);
	zt_diags_done(&diags);
	return r < 0 ? FAILED : 0;
}

static void on_signal(void *arg, int sig)
{
	struct zt_daemon *d = arg;

	if (sig != SIGHUP) {
		zt_daemon_stop(d);
		return;
	}
	zt_notify("RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)zt_now_monotonic());
	zt_daemon_reload(d, "by signal");
}

/* Everything that needs rights; they are gone afterwards. */
static int open_all(struct zt_daemon *d)
{
	sigset_t set;
	int r = zt_loop_new(&d->loop);

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)signal(SIGPIPE, SIG_IGN);
	r = r ?: zt_loop_signals(d->loop, &set, on_signal, d);
	r = r ?: zt_sentry_open(d);
	r = r ?: zt_kernel_open(d);
	r = r ?: zt_places_open(d);
	r = r ?: zt_clock_open(d);
	r = r ?: zt_control_open(d);
	r = r ?: zt_events_open(d);
	r = r ?: zt_rights_drop();
	r = r ?: zt_events_start(d);
	r = r ?: zt_life_begin(d);
	return r ?: zt_daemon_start(d);
}

static int run(struct zt_daemon *d)
{
	int r = open_all(d);

	if (r < 0)
		zt_log(LOG_CRIT, "cannot start: %s", strerror(-r));
	r = r ?: zt_loop_run(d->loop);
	if (!r && d->hand_pid > 0) {
		zt_daemon_say(d, LOG_INFO, "stopped", "ending; what is enforced stays");
		zt_life_end(d);
	} else if (!r) {
		r = -ECHILD;
	}
	if (d->loop) {
		zt_events_close(d);
		zt_control_close(d);
		zt_clock_close(d);
		zt_places_close(d);
		zt_kernel_close(d);
		zt_sentry_close(d);
	}
	zt_loop_free(d->loop);
	return r < 0 ? FAILED : 0;
}

int main(int argc, char **argv)
{
	struct zt_daemon d = {.hand = -1,
			      .run_lock = -1,
			      .expiry = -1,
			      .rtnl = -1,
			      .started = zt_now(),
			      .record_after = UINT64_MAX,
			      .held_back = UINT64_MAX,
			      .audit = UINT64_MAX};
	ZT_STRBUF struct zt_strbuf err = {0};
	struct zt_daemon_args a;
	int code;

	if (zt_daemon_args_parse(argc, argv, &a, &err) < 0)
		return refuse(USAGE, "%s", zt_strbuf_cstr(&err));
	if (a.value[ZT_DOPT_HELP] || a.value[ZT_DOPT_MAN]) {
		(a.value[ZT_DOPT_MAN] ? zt_daemon_man : zt_daemon_help)(stdout);
		return fflush(stdout) ? FAILED : 0;
	}
	if (a.value[ZT_DOPT_VERSION]) {
		printf("zt-segmentd %s\n", ZT_VERSION);
		return 0;
	}
	(void)umask(077);
	code = settle_options(&d, &a) ?: guard() ?: prepare_folders(&d, &a) ?: read_settings(&d, &a);
	if (!code && zt_hand_start(&d.ctx, &d.hand_pid, &d.hand) < 0)
		code = refuse(FAILED, "cannot start the process that does the work");
	code = code ?: run(&d);
	zt_daemon_done(&d);
	free((char *)(uintptr_t)d.ctx.state_dir);
	return code;
}
