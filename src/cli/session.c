/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/time.h"
#include "cli/cli.h"
#include "identity/identity.h"

enum { TEXT_WIDTH = 80 };

int zt_cli_error(struct zt_cli *c, int code, unsigned zt_code, const char *hint, const char *fmt, ...)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	va_list ap;

	va_start(ap, fmt);
	zt_strbuf_vprintf(&b, fmt, ap);
	va_end(ap);
	zt_cli_flush_diags(c);
	fprintf(c->err, "zt-segment: %serror:%s %s [ZT%u]\n", c->err_colour ? "\033[1;31m" : "",
		c->err_colour ? "\033[0m" : "", zt_strbuf_cstr(&b), zt_code);
	if (hint)
		fprintf(c->err, "hint: %s\n", hint);
	return code;
}

void zt_cli_flush_diags(struct zt_cli *c)
{
	if (c->keep_diags)
		return;
	(void)fflush(c->out); /* keeps the order on a terminal; a write error shows at exit */
	zt_diags_print(&c->diags, c->err, c->err_colour);
	zt_diags_done(&c->diags);
	c->diags = (struct zt_diags){0};
}

/* Refused for the user's own good: overridden by --force, not by more rights. */
static bool refused_for_safety(const struct zt_diags *d)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->items[i].code == 4004 || (d->items[i].code >= 4100 && d->items[i].code < 4200))
			return true;
	return false;
}

int zt_cli_fail(struct zt_cli *c, int r)
{
	bool silent = c->diags.errors == 0, safety = refused_for_safety(&c->diags);

	zt_cli_flush_diags(c);
	if (silent)
		fprintf(c->err, "zt-segment: error: %s: %s\n", c->args.verb->name, strerror(-r));
	if ((r == -EPERM || r == -EACCES) && !safety)
		return ZT_EXIT_PERMISSION;
	if (r == -ENOTSUP)
		return ZT_EXIT_POLICY;
	return ZT_EXIT_FAILED;
}

int zt_cli_fail_policy(struct zt_cli *c, int r)
{
	size_t errors = c->diags.errors + c->diags.suppressed;
	int code = zt_cli_fail(c, r);

	if (errors && !c->keep_diags)
		fprintf(c->err, "%zu error%s; nothing was changed\n", errors, errors == 1 ? "" : "s");

	return r == -EINVAL || r == -ENOTSUP || r == -EFBIG ? ZT_EXIT_POLICY : code;
}

void zt_cli_info(struct zt_cli *c, const char *fmt, ...)
{
	FILE *f = c->json ? c->err : c->out;
	ZT_STRBUF struct zt_strbuf b = {0};
	char when[32];
	va_list ap;

	if (c->quiet || (c->json && !c->verbose))
		return;
	va_start(ap, fmt);
	zt_strbuf_vprintf(&b, fmt, ap);
	va_end(ap);
	zt_time_format(zt_now(), when);
	fprintf(f, "[INFO] %s %s\n", when, zt_strbuf_cstr(&b));
	(void)fflush(f); /* a person watches; a write error shows at exit */
}

static void say(void *arg, const char *line)
{
	zt_cli_info(arg, "%s", line);
}

static bool instance_valid(const char *s)
{
	size_t n = strlen(s);

	return n >= 1 && n <= 16 && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

static bool colour_wanted(FILE *f)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fileno(f)) && !(no && *no) && !(term && !strcmp(term, "dumb"));
}

static unsigned screen_columns(FILE *f)
{
	const char *said = getenv("COLUMNS");
	struct winsize w;
	uint64_t n;

	if (isatty(fileno(f)))
		return ioctl(fileno(f), TIOCGWINSZ, &w) == 0 && w.ws_col >= 40 ? ZT_MIN(w.ws_col, 160) : TEXT_WIDTH;
	return said && zt_parse_u64(said, UINT16_MAX, &n) == 0 && n >= 40 ? (unsigned)n : 0;
}

static char *state_dir(struct zt_cli *c)
{
	const char *netns = zt_opt(c, NETNS), *base;

	if (zt_opt(c, STATE_DIR))
		return zt_strdup(zt_opt(c, STATE_DIR));
	if (!netns)
		return zt_asprintf("%s%s/%s", zt_opt(c, ROOT) ? zt_opt(c, ROOT) : "", ZT_DEFAULT_STATE, c->instance);
	base = strrchr(netns, '/');
	return zt_asprintf("%s/netns-%s/%s", ZT_DEFAULT_STATE, base ? base + 1 : netns, c->instance);
}

static int enter_netns(struct zt_cli *c, const char *name)
{
	int r;

	if (!*name || (!strchr(name, '/') && *name == '.'))
		return zt_cli_error(c, ZT_EXIT_USAGE, 5004, NULL, "\"%s\" is not the name of a network namespace",
				    name);
	r = zt_netns_enter(name);
	if (r == -ENOENT)
		return zt_cli_error(c, ZT_EXIT_FAILED, 5004, "\"ip netns list\" shows those that exist",
				    "there is no network namespace \"%s\"", name);
	if (r == -EPERM || r == -EACCES)
		return zt_cli_error(c, ZT_EXIT_PERMISSION, 5003, "run it as root, with sudo for example",
				    "not allowed to enter network namespace \"%s\"", name);
	if (r < 0)
		return zt_cli_error(c, ZT_EXIT_FAILED, 5004, NULL, "cannot enter network namespace \"%s\": %s", name,
				    strerror(-r));
	return 0;
}

int zt_cli_init(struct zt_cli *c)
{
	c->out = c->out ? c->out : stdout;
	c->err = c->err ? c->err : stderr;
	c->json = zt_opt(c, OUTPUT) && !strcmp(zt_opt(c, OUTPUT), "json");
	c->quiet = zt_opt(c, QUIET);
	c->verbose = zt_opt(c, VERBOSE);
	c->colour = colour_wanted(c->out);
	c->err_colour = colour_wanted(c->err);
	c->columns = screen_columns(c->out);
	c->width = c->columns ? c->columns : TEXT_WIDTH;
	c->instance = zt_opt(c, INSTANCE) ? zt_opt(c, INSTANCE) : "default";
	if (!instance_valid(c->instance))
		return zt_cli_error(c, ZT_EXIT_USAGE, 5002, NULL,
				    "the name of an instance is 1 to 16 of a-z, 0-9 and _: \"%s\"", c->instance);
	if (zt_opt(c, ENGINE) && !zt_engine_by_name(zt_opt(c, ENGINE)) && strcmp(zt_opt(c, ENGINE), "auto"))
		return zt_cli_error(c, ZT_EXIT_USAGE, 5005, "engines are nft, bpf, iptables, memory and auto",
				    "unknown engine \"%s\"", zt_opt(c, ENGINE));
	if (strcmp(c->args.verb->name, "why") != 0) /* there it is the sender's */
		zt_engine_cgroup(zt_opt(c, CGROUP));
	c->state_dir = state_dir(c);
	if (!c->state_dir)
		return zt_cli_error(c, ZT_EXIT_FAILED, 5000, NULL, "out of memory");
	if (!zt_opt(c, NETNS) || (geteuid() && c->args.verb->flags & ZT_VERB_READS)) /* zt-segmentd is there */
		return 0;
	return enter_netns(c, zt_opt(c, NETNS));
}

void zt_cli_done(struct zt_cli *c)
{
	zt_diags_done(&c->diags);
	zt_freep(&c->state_dir);
}

int zt_cli_engine(struct zt_cli *c)
{
	const char *name = zt_opt(c, ENGINE);

	if (name && strcmp(name, "auto"))
		c->engine = zt_engine_by_name(name);
	if (geteuid() != 0 && !(c->engine && !strcmp(c->engine->name, "memory")) &&
	    (c->args.verb->flags & ZT_VERB_READS))
		return zt_cli_member_engine(c);
	if (geteuid() != 0 && !(c->engine && !strcmp(c->engine->name, "memory")))
		return zt_cli_error(c, ZT_EXIT_PERMISSION, 5003, "run it as root, with sudo for example",
				    "\"%s\" reads or changes the packet filter, which only root may",
				    c->args.verb->name);
	if (!c->engine)
		c->engine = zt_engine_active(c->instance, NULL);
	c->engine_active = c->engine && !(name && strcmp(name, "auto"));
	if (!c->engine)
		c->engine = zt_engine_by_name("auto");
	if (!c->engine)
		return zt_cli_error(
			c, ZT_EXIT_FAILED, 5006,
			"install nftables (or iptables), or see \"zt-segment version -o json\" for the reasons",
			"no engine can enforce here");
	return 0;
}

int zt_cli_engine_or_nft(struct zt_cli *c)
{
	const char *name = zt_opt(c, ENGINE);

	c->engine = zt_engine_by_name(name && strcmp(name, "auto") ? name : "nft");
	return 0;
}

struct zt_apply_ctx zt_cli_apply_ctx(struct zt_cli *c)
{
	return (struct zt_apply_ctx){.engine = c->engine,
				     .instance = c->instance,
				     .state_dir = c->state_dir,
				     .cgroup_root = zt_opt(c, CGROUP),
				     .netns = zt_opt(c, NETNS),
				     .quiet = c->quiet,
				     .say = say,
				     .say_arg = c};
}

const char *zt_cli_policy_path(const struct zt_cli *c)
{
	if (c->args.value[ZT_OPT_POLICY])
		return c->args.value[ZT_OPT_POLICY];
	if (c->args.value[ZT_OPT_CONFIG])
		return c->args.value[ZT_OPT_CONFIG];
	return c->args.n_pos ? c->args.pos[0] : ZT_DEFAULT_POLICY;
}

/* One that is second choice is told in any case. */
static void say_engine(struct zt_cli *c)
{
	ZT_STRBUF struct zt_strbuf why = {0};

	if (!strcmp(c->engine->name, "memory")) /* the command wants one that knows everything */
		return;
	if (!c->engine_active)
		zt_engine_passed_over(c->engine, &why);
	if (c->engine_active && c->verbose)
		zt_cli_info(c, "Using the %s engine: it enforces here already", c->engine->name);
	else if (why.len)
		zt_cli_info(c, "Using the %s engine: %s", c->engine->name, zt_strbuf_cstr(&why));
	else if (c->verbose)
		zt_cli_info(c, "Using the %s engine: it is the first choice, and can enforce this policy",
			    c->engine->name);
}

/* Nobody chose an engine and none is active: one that can enforce what the policy says. */
static void engine_for(struct zt_cli *c, const struct zt_policy *p)
{
	const char *name = zt_opt(c, ENGINE);
	const struct zt_engine *e;

	if (!c->engine || (name && strcmp(name, "auto")))
		return;
	e = zt_engine_suiting(c->engine, c->instance, p);
	if (e == c->engine)
		say_engine(c);
	else
		zt_cli_info(c, "Using the %s engine: the policy names programs%s", e->name,
			    zt_policy_needs_unix(p) ? ", Unix sockets or the processes that receive"
						    : " or the processes that receive");
	c->engine = e;
}

/* The control group that bounds what a policy means; to `why` --cgroup is another thing. */
static const char *bound(const struct zt_cli *c)
{
	return strcmp(c->args.verb->name, "why") ? zt_opt(c, CGROUP) : NULL;
}

int zt_cli_load(struct zt_cli *c, struct zt_policy **ret)
{
	const char *path = zt_cli_policy_path(c);
	struct zt_policy_options o = {
		.root = zt_opt(c, ROOT), .allow_unsafe_file = !strcmp(path, "-"), .cgroup_root = bound(c)};
	int r = zt_policy_load(path, &o, ret, &c->diags);

	if (r < 0)
		return zt_cli_fail_policy(c, r);
	engine_for(c, *ret);
	return 0;
}

/* Are rules about Unix sockets left out here? Who cannot find out checks them as they are. */
static bool without_unix(struct zt_cli *c, const struct zt_policy *p)
{
	const char *why = "";

	if (!c->engine || zt_engine_sees_unix(c->engine, c->instance, p))
		return false;
	if (!c->engine->unix_sockets || c->engine->unix_sockets(c->instance, &why) != -EPERM)
		return true;
	(void)zt_diag(&c->diags, ZT_WARNING, 4921, NULL,
		      "whether rules about Unix sockets can be enforced here was not looked at: %s", why);
	zt_diag_hint(&c->diags, "as root, check says it");
	return false;
}

int zt_cli_compile(struct zt_cli *c, const struct zt_policy *p, bool offline, struct zt_ruleset **ret)
{
	struct zt_u32_ranges ports = {0};
	struct zt_compile_options o = {.instance = c->instance,
				       .ssh_ports = &ports,
				       .offline = offline,
				       .labels = offline || (c->engine && c->engine->labels),
				       .at = offline ? 0 : zt_now(),
				       .cgroup_root = bound(c),
				       .root = zt_opt(c, ROOT)};
	int r = zt_ssh_ports(zt_opt(c, ROOT), &ports);

	o.no_unix = !offline && without_unix(c, p);
	if (!strcmp(c->args.verb->name, "why"))
		o.at = 0; /* it asks about other times too */
	if (r >= 0)
		r = zt_ruleset_compile(p, &o, ret, &c->diags);
	zt_u32_ranges_done(&ports);
	return r < 0 ? zt_cli_fail_policy(c, r) : 0;
}

void zt_cli_add_lines(struct zt_cli *c, struct zt_ruleset *rs)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *stored = NULL;
	struct zt_apply_ctx ctx = zt_cli_apply_ctx(c);
	bool known = rs->n_rules && rs->rules[0].line;
	ZT_FREE char *source = NULL;
	size_t len = 0;

	if (!rs->n_rules || zt_generation_load(&ctx, rs->generation, &stored, &source, &len, NULL) < 0)
		return;
	if (strcmp(stored->hash, rs->hash) != 0 || stored->n_rules != rs->n_rules)
		return;
	for (size_t i = 0; i < rs->n_rules; i++) {
		rs->rules[i].priority = stored->rules[i].priority;
		if (!known) {
			rs->rules[i].line = stored->rules[i].line;
			rs->rules[i].file = stored->rules[i].file;
		}
	}
	if (!known && !rs->n_files) { /* no names in the kernel either: take those */
		rs->files = ZT_TAKE(stored->files);
		rs->n_files = stored->n_files;
		stored->n_files = 0;
	}
}

static void look_again(struct zt_cgroup *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned level;

		v[i].id = 0;
		(void)zt_cgroup_lookup(NULL, v[i].path, &v[i].id, &level); /* 0: there is none now */
	}
}

/* Where the kernel follows control groups, ids of the commit are not what it goes by. */
static void follow_cgroups(struct zt_cli *c, struct zt_ruleset *rs)
{
	enum zt_follows how = c->engine->follows ? c->engine->follows(c->instance) : ZT_FOLLOWS_NONE;

	for (size_t i = 0; how && i < rs->n_rules; i++)
		if (how == ZT_FOLLOWS_ALL || rs->rules[i].match.from)
			look_again(rs->rules[i].match.cgroups, rs->rules[i].match.n_cgroups);
	for (size_t i = 0; how && i < rs->n_subjects; i++)
		look_again(rs->subjects[i]->cgroups, rs->subjects[i]->n_cgroups);
}

int zt_cli_raise(struct zt_cli *c, struct zt_ruleset **ret)
{
	int r = c->engine->raise(c->instance, ret, &c->diags);

	if (!r)
		follow_cgroups(c, *ret);
	if (r == -ENOENT)
		return ZT_EXIT_INACTIVE;
	if (r == -EUCLEAN) {
		(void)zt_cli_fail(c, r); /* the exit code below is what counts */
		fprintf(c->err,
			"hint: our rules in the kernel were changed by someone: \"zt-segment drift\" shows how, "
			"\"zt-segment apply\" repairs it, \"zt-segment flush\" removes it\n");
		return ZT_EXIT_FAILED;
	}
	return r < 0 ? zt_cli_fail(c, r) : 0;
}

int zt_cli_signals(void)
{
	sigset_t set;

	(void)sigemptyset(&set); /* none of these can fail with these signals */
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}
