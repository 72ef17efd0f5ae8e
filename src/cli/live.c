/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/live.h"

#include <dirent.h>
#include <ftw.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/time.h"
#include "identity/identity.h"

#define SCRATCH "zt-segment-prove-"
#define ENGINE_LIMIT (300 * ZT_USEC_PER_SEC)

/* ---- the scratch control group ---- */
struct scratch {
	char *mount, *top, *path; /* where cgroup2 is, inside it, both */
};

static int remove_one(const char *path, const struct stat *s, int what, struct FTW *ftw)
{
	(void)s;
	(void)ftw;
	if (what == FTW_DP)
		(void)rmdir(path); /* one that stays is swept by the next run */
	return 0;
}

static void remove_groups(const char *path)
{
	/* Processes that were just waited for leave their group a moment later. */
	for (int i = 0; i < 50 && zt_path_exists(path); i++) {
		(void)nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
		if (zt_path_exists(path))
			(void)usleep(2000);
	}
}

static void sweep(const char *folder)
{
	DIR *d = opendir(folder);
	const struct dirent *e;

	while (d && (e = readdir(d))) {
		ZT_FREE char *path = NULL;
		long pid = !strncmp(e->d_name, SCRATCH, strlen(SCRATCH)) ? strtol(e->d_name + strlen(SCRATCH), NULL, 10)
									 : 0;

		if (pid <= 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
			continue;
		path = zt_path_join(folder, e->d_name);
		if (path)
			remove_groups(path);
	}
	if (d)
		(void)closedir(d); /* only read */
}

static int scratch_open(const char *bound, struct scratch *s)
{
	ZT_FREE char *folder = NULL;
	int r = zt_cgroup_mount(&s->mount);

	if (r < 0)
		return r;
	folder = zt_path_join(s->mount, bound ? bound : "");
	s->top = zt_asprintf("%s%s" SCRATCH "%d", bound ? bound : "", bound && *bound ? "/" : "", (int)getpid());
	s->path = s->top ? zt_path_join(s->mount, s->top) : NULL;
	if (!folder || !s->path)
		return -ENOMEM;
	sweep(folder);
	return mkdir(s->path, 0755) < 0 ? -errno : 0;
}

static void scratch_close(struct scratch *s)
{
	if (s->path)
		remove_groups(s->path);
	free(s->mount);
	free(s->top);
	free(s->path);
}

/* Inside cgroup2, with its parents. */
static int make_group(const struct scratch *s, const char *path)
{
	ZT_FREE char *full = zt_asprintf("%s/%s/below", s->mount, path);

	if (!full)
		return -ENOMEM;
	for (char *at = full + strlen(s->path); *at; at++) {
		if (*at != '/')
			continue;
		*at = '\0';
		if (mkdir(full, 0755) < 0 && errno != EEXIST)
			return -errno;
		*at = '/';
	}
	return mkdir(full, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

static int make_groups(const struct scratch *s, const struct zt_ruleset *rs)
{
	ZT_FREE char *other = zt_asprintf("%s/other", s->top);
	int r = other ? make_group(s, other) : -ENOMEM;

	for (size_t i = 0; i < rs->n_rules; i++)
		for (size_t k = 0; !r && k < rs->rules[i].match.n_cgroups; k++)
			r = make_group(s, rs->rules[i].match.cgroups[k].path);
	for (size_t i = 0; i < rs->n_subjects; i++)
		for (size_t k = 0; !r && k < rs->subjects[i]->n_cgroups; k++)
			r = make_group(s, rs->subjects[i]->cgroups[k].path);
	return r;
}

/* ---- the policy, for an engine ---- */
static int compile(struct zt_cli *c, const struct zt_policy *p, const struct scratch *s, bool labels,
		   struct zt_ruleset **ret)
{
	struct zt_u32_ranges ports = {0};
	struct zt_diags d = {0};
	struct zt_policy packets = *p; /* of which Unix sockets send none; what it points to is p's */
	struct zt_compile_options o = {.instance = c->instance,
				       .ssh_ports = &ports,
				       .cgroup_root = s->top,
				       .no_unix = true,
				       .labels = labels,
				       .root = zt_opt(c, ROOT)};
	int r = zt_ssh_ports(zt_opt(c, ROOT), &ports);

	packets.settings.unix_sockets = ZT_UNIX_WHERE_POSSIBLE;
	if (r >= 0)
		r = zt_ruleset_compile(&packets, &o, ret, &d);
	zt_u32_ranges_done(&ports);
	if (r < 0 && d.errors)
		zt_diags_print(&d, c->err, c->err_colour);
	zt_diags_done(&d);
	if (r >= 0)
		(*ret)->generation = 1;
	return r < 0 ? r : 0;
}

/* The groups of the policy have to be there to be resolved. */
static int compile_in(struct zt_cli *c, const struct zt_policy *p, const struct scratch *s, bool labels,
		      struct zt_ruleset **ret)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *first = NULL;
	int r = compile(c, p, s, labels, &first);

	return r ?: make_groups(s, first) ?: compile(c, p, s, labels, ret);
}

static int leave_out(struct zt_live_engine *e, const char *why)
{
	e->left_out = zt_strdup(why);
	return e->left_out ? 0 : -ENOMEM;
}

static bool another_named(struct zt_cli *c, const struct zt_engine *e)
{
	const char *name = zt_opt(c, ENGINE);

	return name && strcmp(name, "auto") != 0 && strcmp(name, e->name) != 0;
}

static bool about_forwarded(const struct zt_ruleset *rs)
{
	for (size_t i = 0; i < rs->n_rules; i++)
		if (rs->rules[i].dir == ZT_DIR_FORWARD)
			return true;
	return false;
}

static int prepare(struct zt_cli *c, const struct zt_policy *p, const struct scratch *s, struct zt_live_engine *e)
{
	ZT_CLEANUP(zt_caps_done) struct zt_caps caps = {0};
	struct zt_image *img = NULL;
	struct zt_diags d = {0};
	const char *why = "";
	int r;

	if (another_named(c, e->engine))
		return leave_out(e, "--engine names another");
	r = e->engine->probe(c->instance, &caps);
	if (r < 0)
		return leave_out(e, strerror(-r));
	if (!caps.usable)
		return leave_out(e, caps.why_not ? caps.why_not : "it cannot be used here");
	r = compile_in(c, p, s, e->engine->labels, &e->rs);
	if (r < 0)
		return r;
	e->forwards = !e->engine->forwards || e->engine->forwards(c->instance, &why) == 0;
	r = e->engine->lower(e->rs, &img, &d);
	if (img)
		e->engine->image_free(img);
	if (r < 0)
		r = leave_out(e, d.n ? d.items[0].message : strerror(-r));
	else if (!e->forwards && about_forwarded(e->rs))
		r = leave_out(e, why);
	zt_diags_done(&d);
	return r;
}

/* ---- one engine, in a process of its own ---- */
struct shared {
	int result, error;
	char message[512];
	double seconds;
};

static int load(const struct zt_engine *e, const struct zt_ruleset *rs, struct zt_diags *d)
{
	struct zt_image *img = NULL;
	bool changed;
	int r = e->lower(rs, &img, d);

	r = r ?: e->commit(img, &changed, d);
	if (img)
		e->image_free(img);
	return r;
}

static void work(const struct zt_live_engine *e, const struct scratch *s, struct zt_live_job *job, struct shared *sh)
{
	zt_usec began = zt_now_monotonic();
	struct zt_live_bed bed;
	struct zt_diags d = {0};

	sh->result = zt_live_bed_open(&bed);
	if (sh->result < 0) {
		(void)snprintf(sh->message, sizeof(sh->message), "cannot make namespaces: %s", strerror(-sh->result));
		return;
	}
	sh->result = zt_live_stand_in(e->rs, bed.self, &bed.ns_mounts);
	if (sh->result < 0) {
		(void)snprintf(sh->message, sizeof(sh->message), "cannot stand in for programs: %s",
			       strerror(-sh->result));
		return;
	}
	zt_engine_cgroup(s->top);
	sh->result = load(e->engine, e->rs, &d);
	if (sh->result < 0) {
		(void)snprintf(sh->message, sizeof(sh->message), "%s",
			       d.n ? d.items[0].message : strerror(-sh->result));
		return;
	}
	zt_fault_break(e->engine->name);
	sh->result = zt_live_job_run(job, &bed, began + ENGINE_LIMIT);
	if (sh->result < 0)
		(void)snprintf(sh->message, sizeof(sh->message), "%s", strerror(-sh->result));
	sh->error = job->error;
	sh->seconds = (double)(zt_now_monotonic() - began) / (double)ZT_USEC_PER_SEC;
}

static int run_child(const struct zt_live_engine *e, const struct scratch *s, struct zt_live_job *job,
		     struct shared *sh)
{
	pid_t parent = getpid(), pid;
	int status = 0;

	sh->result = -EIO;
	(void)snprintf(sh->message, sizeof(sh->message), "the process that probed it ended");
	pid = fork();
	if (!pid) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			work(e, s, job, sh);
		_exit(0);
	}
	if (pid < 0)
		return -errno;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return 0;
}

static bool not_covered(const struct zt_live_engine *e, const struct zt_live_probe *p)
{
	if (p->kind == ZT_LIVE_FORWARD)
		return !e->forwards;
	/* The kernel answers an echo by itself: no control group sees it. */
	return !strcmp(e->engine->name, "bpf") && p->kind == ZT_LIVE_IN && p->flow.proto != 6 && p->flow.proto != 17;
}

static void ask_oracle(const struct zt_live_plan *plan, struct zt_live_engine *e, uint8_t *seen)
{
	for (size_t i = 0; i < plan->n; i++) {
		struct zt_decision d;

		zt_oracle_decide(e->rs, &plan->probes[i].flow, &d);
		e->expect[i] = d.verdict == ZT_ALLOW || d.verdict == ZT_OBSERVE;
		seen[i] = not_covered(e, &plan->probes[i]) ? ZT_LIVE_NOT_COVERED : ZT_LIVE_UNTRIED;
	}
}

static int probe_engine(struct zt_cli *c, struct zt_live *l, struct zt_live_engine *e, const struct scratch *s)
{
	size_t n = l->plan.n, size = sizeof(struct shared) + n;
	char *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct shared *sh = (void *)m;
	struct zt_live_job job = {.plan = &l->plan, .cgroups = s->mount};
	int r = 0;

	if (m == MAP_FAILED)
		return -errno;
	e->seen = zt_new(uint8_t, n + 1);
	e->expect = zt_new(bool, n + 1);
	if (!e->seen || !e->expect)
		r = -ENOMEM;
	job.seen = (uint8_t *)m + sizeof(struct shared);
	job.expect = e->expect;
	if (!r) {
		ask_oracle(&l->plan, e, job.seen);
		r = run_child(e, s, &job, sh);
	}
	if (!r && sh->result < 0)
		r = zt_diag(&c->diags, ZT_ERROR, 5050, NULL, "the %s engine: %.400s", e->engine->name, sh->message);
	if (!r) {
		memcpy(e->seen, job.seen, n);
		e->seconds = sh->seconds;
		if (sh->error)
			(void)zt_diag(&c->diags, ZT_WARNING, 5051, NULL, "a probe could not be sent: %s",
				      strerror(-sh->error));
	}
	(void)munmap(m, size); /* ours */
	return r;
}

/* ---- what came of it ---- */
/* The fewer of these, the plainer a flow is to look at. */
static unsigned oddness(const struct zt_live_probe *p)
{
	return 8u * (unsigned)p->kind + 4u * (p->flow.dst.family == 6) + 2u * p->mapped + p->bind_source +
	       p->connected + (p->sender.n_groups > 0) + (p->flow.proto != 6) + 3u * (p->flow.port > 1024) +
	       (p->sender.uid > 65535);
}

static void sum(struct zt_live *l, struct zt_live_engine *e)
{
	for (size_t i = 0; i < l->plan.n; i++) {
		bool arrived = e->seen[i] == ZT_LIVE_ARRIVED;

		e->arrived += arrived;
		e->unsent += e->seen[i] == ZT_LIVE_UNSENT;
		e->untried += e->seen[i] == ZT_LIVE_UNTRIED;
		e->not_covered += e->seen[i] == ZT_LIVE_NOT_COVERED;
		if (!arrived && e->seen[i] != ZT_LIVE_BLOCKED)
			continue;
		if (arrived == e->expect[i]) {
			e->agree++;
			continue;
		}
		e->wrong++;
		if (!l->worst_engine || oddness(&l->plan.probes[i]) < oddness(&l->plan.probes[l->worst])) {
			l->worst_engine = e->engine->name;
			l->worst = i;
		}
	}
}

static int all_engines(struct zt_cli *c, const struct zt_policy *p, const struct scratch *s, struct zt_live *l)
{
	const struct zt_engine *engines[ZT_LIVE_ENGINES] = {&zt_engine_nft, &zt_engine_bpf, &zt_engine_iptables};
	const struct zt_ruleset *first = NULL;
	int r = 0;

	for (size_t i = 0; !r && i < ZT_LIVE_ENGINES; i++) {
		l->engines[i].engine = engines[i];
		r = prepare(c, p, s, &l->engines[i]);
		/* One that knows labels distinguishes most. */
		if (!r && !l->engines[i].left_out &&
		    (!first || (engines[i]->labels && !strcmp(engines[i]->name, "bpf"))))
			first = l->engines[i].rs;
	}
	if (r || !first)
		return r;
	r = zt_live_plan(first, s->top, l->wanted, l->seed, &l->plan);
	for (size_t i = 0; !r && i < ZT_LIVE_ENGINES; i++) {
		if (l->engines[i].left_out)
			continue;
		r = probe_engine(c, l, &l->engines[i], s);
		if (!r)
			sum(l, &l->engines[i]);
	}
	return r;
}

/* Engines that see less of a process (only its primary group) have the policy compiled otherwise. */
static void count_otherwise(struct zt_live *l)
{
	const bool *first = NULL;

	for (size_t i = ZT_LIVE_ENGINES; i-- > 0;)
		if (l->engines[i].expect && l->engines[i].engine->labels)
			first = l->engines[i].expect;
	for (size_t i = 0; first && i < ZT_LIVE_ENGINES; i++)
		for (size_t k = 0; l->engines[i].expect && k < l->plan.n; k++)
			l->engines[i].otherwise += l->engines[i].expect[k] != first[k];
}

static bool all_agree(const struct zt_live *l)
{
	size_t tried = 0;

	for (size_t i = 0; i < ZT_LIVE_ENGINES; i++) {
		const struct zt_live_engine *e = &l->engines[i];

		if (e->left_out)
			continue;
		if (e->wrong || e->unsent || e->untried)
			return false;
		tried++;
	}
	return tried && l->plan.n;
}

int zt_live_run(struct zt_cli *c, const struct zt_policy *p, size_t n, uint64_t seed, struct zt_live *ret)
{
	zt_usec began = zt_now_monotonic();
	struct scratch s = {0};
	int r = scratch_open(zt_opt(c, CGROUP), &s);

	*ret = (struct zt_live){.seed = seed, .wanted = n};
	if (r < 0)
		(void)zt_diag_errno(&c->diags, 5050, r, "cannot make a control group");
	r = r ? r : all_engines(c, p, &s, ret);
	scratch_close(&s);
	count_otherwise(ret);
	ret->seconds = (double)(zt_now_monotonic() - began) / (double)ZT_USEC_PER_SEC;
	ret->agree = !r && all_agree(ret);
	return r < 0 ? zt_cli_fail(c, r) : 0;
}

void zt_live_done(struct zt_live *l)
{
	for (size_t i = 0; i < ZT_LIVE_ENGINES; i++) {
		zt_ruleset_free(l->engines[i].rs);
		free(l->engines[i].left_out);
		free(l->engines[i].seen);
		free(l->engines[i].expect);
	}
	zt_live_plan_done(&l->plan);
	*l = (struct zt_live){0};
}
