/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rows 10, 13, 15 to 20, 22 to 25 for engines that know programs: what a process must do to be taken for the program that may, or to be taken for
 * another than the one that may not. One policy: program `good` of user 3201 may reach the program `server` of user 4201 on this host and the
 * peer's port 7601; nobody else may reach anything. The judgement is the receiver's.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/mem.h"
#include "bed_actor.h"

enum {
	GOOD = 3201,
	OTHER = 3202,
	SERVER = 4201,
	GROUP = 3301,
	PORT = 7600,
	PEER_PORT = 7601,
	HANDED_PORT = 7610,
	SEGMENTS_PORT = 7620,
	SHARED_PORT = 7630
};
#define HERE "127.0.0.1"
#define THERE "10.99.0.2"
#define REFUSED "refused: not passed to another identity"

static const char *good, *evil, *server_path;
static struct bed_actor server, peer;

static void row(struct bed *b, const struct bed_column *c, const char *number, const char *what, bool ok,
		const char *result)
{
	bed_ok(b, ok, "%s: row %s, %s: %s", c->label, number, what, result);
	bed_publish("programs", number, what, "", c->label, ok ? result : "WRONG");
}

static int policy(struct bed *b, const struct bed_column *c)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	struct zt_addr_range there;
	struct zt_rule *rule;
	int r = bed_ruleset(&rs);

	if (!r)
		rs->settings.log_limit = 1000; /* rows about what is told want to see some of each */
	for (int i = 0; !r && i < 2; i++) {
		rule = bed_rule(rs, i ? "to-peer" : "to-server", ZT_ALLOW);
		if (rule)
			rule->log = i;
		r = rule ? bed_subject(rs, GOOD, good, &rule->match.from) : -ENOMEM;
		r = r ? r : zt_u32_ranges_add(&rule->match.uid, GOOD, GOOD);
		if (!r && !i)
			r = bed_subject(rs, SERVER, server_path, &rule->match.to);
		if (!r && i) {
			rule->match.families = ZT_FAMILY_4;
			r = zt_addr_range_parse(THERE, &there, NULL);
			r = r ? r : zt_addr_ranges_add(&rule->match.dst4, &there);
			r = r ? r : zt_u32_ranges_add(&rule->match.proto, 6, 6) ?: zt_u32_ranges_add(&rule->match.proto, 17, 17);
			r = r ? r : zt_u32_ranges_add(&rule->match.port, PEER_PORT, PEER_PORT);
		}
	}
	return r ? r : bed_apply(b, c->engine, rs);
}

static bool says(struct bed_actor *a, enum bed_deed deed, const char *text, uint16_t port)
{
	uint32_t number = bed_number();

	(void)bed_order(a, deed, text, port, number); /* what it is told does not count */
	bed_settle(10);
	return bed_seen(number, 0);
}

/* Over every way that leads to the server and the peer: 0 none, 1 all, -1 some. */
static int reaches(struct bed_actor *a)
{
	int n = says(a, BED_DO_TCP, HERE, PORT) + says(a, BED_DO_UDP, HERE, PORT) +
		says(a, BED_DO_TCP, THERE, PEER_PORT) + says(a, BED_DO_UDP, THERE, PEER_PORT);

	return n == 4 ? 1 : n ? -1 : 0;
}

/* An actor in that role, what it reaches, and its end; -2: it does not start. */
static int tried(struct bed *b, const struct bed_role *role)
{
	struct bed_actor a;
	int r = bed_actor_start(b, role, &a);

	r = r < 0 ? -2 : reaches(&a);
	bed_actor_stop(&a);
	return r;
}

static struct bed_role as(const char *program, uint32_t uid)
{
	return (struct bed_role){.program = program, .uid = uid};
}

static const char *in_stage(const char *name)
{
	static char paths[8][128];
	static unsigned n;
	char *path = paths[n++ % 8];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", bed_stage_dir(), name);
	return path;
}

/* ---- row 15: code of others in a program that may, and the loader ---- */
static void injected(struct bed *b, const struct bed_column *c)
{
	const char *const preload[] = {"/usr/bin/env", "LD_PRELOAD=libm.so.6", NULL};
	const char *const loader[] = {"/lib64/ld-linux-x86-64.so.2", NULL};
	struct bed_role role = as(good, GOOD);

	role.through = preload;
	row(b, c, "15", "LD_PRELOAD into the program that may, by its own user", tried(b, &role) == 1,
	    "passes: one principal (documented)");
	role.through = loader;
	if (access(loader[0], X_OK) < 0)
		bed_skip(b, "row 15, the loader", "it is somewhere else on this machine");
	else
		row(b, c, "15", "ld.so ./program: the loader is no program that may", tried(b, &role) == 0, "blocked");
}

/* Another program of that user puts the right file in the place of its own: what /proc/PID/exe shows, and `who` with it, is that file. */
static void named(struct bed *b, const struct bed_column *c)
{
	static const char what[] = "another program that names the one that may as its own (PR_SET_MM)";
	struct bed_role role = as(evil, GOOD);
	struct bed_actor a;
	int r = bed_actor_start(b, &role, &a) ?: bed_order(&a, BED_DO_NAME, good, 0, 0);

	if (r == -EPERM || r == -ENOSPC || r == -ENOSYS)
		bed_skip(b, "row 15, PR_SET_MM", "no user namespaces, or no CRIU, in this kernel");
	else
		row(b, c, "15", what, r == 0 && reaches(&a) == 0, "blocked: exec did not start it");
	bed_actor_stop(&a);
}

/* ---- rows 16, 17: the process changes ---- */
/* As user: attaches to the process as a debugger does, which may then make it do anything, and lets it go. 0 or -errno. */
static int traces(pid_t victim, uint32_t uid)
{
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		if (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0 ||
		    ptrace(PTRACE_ATTACH, victim, NULL, NULL) < 0 || waitpid(victim, &status, __WALL) < 0 ||
		    ptrace(PTRACE_DETACH, victim, NULL, NULL) < 0)
			_exit(errno);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

/* Yama may leave a debugger its own children only. */
static bool yama(void)
{
	ZT_FREE char *text = NULL;
	size_t len = 0;

	return zt_file_read("/proc/sys/kernel/yama/ptrace_scope", 16, &text, &len) == 0 && *text > '0';
}

static void debugged(struct bed *b, const struct bed_column *c)
{
	struct bed_role role = as(good, GOOD);
	struct bed_actor a;
	bool ok = bed_actor_start(b, &role, &a) == 0;
	int own = traces(a.pid, GOOD), other = traces(a.pid, OTHER);

	row(b, c, "15", "ptrace of the program that may, by its own user",
	    ok && (c->lsm ? own == -EPERM : own == 0 || (own == -EPERM && yama())),
	    c->lsm     ? "refused (EPERM): another identity"
	    : own == 0 ? "attached: one principal (documented)"
		       : "refused: not in this kernel (Yama)");
	row(b, c, "15", "ptrace of the program that may, by another user", ok && other == -EPERM,
	    "refused by the kernel");
	row(b, c, "15", "the program that was traced", ok && reaches(&a) == 1, "passes: it is still itself");
	bed_actor_stop(&a);
}

static bool uses(struct bed_actor *a, enum bed_deed deed, const char *program)
{
	uint32_t number = bed_number();

	(void)bed_order(a, deed, program, 0, number);
	bed_settle(10);
	return bed_seen(number, 0);
}

static void changed(struct bed *b, const struct bed_column *c)
{
	static const struct {
		enum bed_deed deed;
		const char *what;
	} ways[] = {{BED_DO_SPAWN, "connection used by another program after fork and exec"},
		    {BED_DO_VSPAWN, "connection used by another program after vfork and exec"}};
	struct bed_role role = as(good, GOOD);
	struct bed_actor a;
	bool ok, kept;

	for (size_t i = 0; i < ZT_ARRAY_SIZE(ways); i++) {
		ok = bed_actor_start(b, &role, &a) == 0 && bed_order(&a, BED_DO_HOLD, HERE, PORT, SOCK_STREAM) == 0;
		kept = uses(&a, ways[i].deed, evil);
		row(b, c, "16", ways[i].what, ok && kept, "goes on: it stays that of who connected it");
		bed_actor_stop(&a);
	}
	ok = bed_actor_start(b, &role, &a) == 0 && bed_order(&a, BED_DO_HOLD, HERE, PORT, SOCK_STREAM) == 0 &&
	     reaches(&a) == 1;
	ok = ok && bed_order(&a, BED_DO_EXEC, evil, 0, 0) == 0;
	kept = says(&a, BED_DO_USE, NULL, 0);
	row(b, c, "16", "connection used after exec of another program", ok && kept,
	    "goes on: it stays that of who connected it");
	row(b, c, "16", "new connections after exec of another program", ok && reaches(&a) == 0, "blocked");
	row(b, c, "20", "another program with the process number of one that may", ok && reaches(&a) == 0,
	    "blocked: no identity hangs on a number");
	ok = ok && bed_order(&a, BED_DO_EXEC, good, 0, 0) == 0;
	row(b, c, "16", "new connections after exec of the program again", ok && reaches(&a) == 1, "pass");
	bed_actor_stop(&a);
}

static void other_user(struct bed *b, const struct bed_column *c)
{
	struct bed_role root = as(good, 0), setuid = as(NULL, OTHER);
	struct bed_actor a;
	bool ok = bed_actor_start(b, &root, &a) == 0 && reaches(&a) == 0;

	row(b, c, "17", "the program as root, and as the user after setuid",
	    ok && bed_order(&a, BED_DO_USER, NULL, 0, GOOD) == 0 && reaches(&a) == 1, "blocked, then passes");
	bed_actor_stop(&a);
	ok = bed_actor_start(b, &(struct bed_role){.program = good}, &a) == 0 &&
	     bed_order(&a, BED_DO_USER, NULL, 0, OTHER) == 0;
	row(b, c, "17", "the program after setuid to another user", ok && reaches(&a) == 0, "blocked");
	bed_actor_stop(&a);
	setuid.program = in_stage("setuid");
	ok = bed_sh("cp %s %s && chown %d %s && chmod 4755 %s", good, setuid.program, GOOD, setuid.program,
		    setuid.program) == 0;
	row(b, c, "17", "setuid copy of the program, started by another user", ok && tried(b, &setuid) == 0, "blocked");
}

/* Rules of a group mean who has it by a setgid file, or among the supplementary ones, or not at all. */
static void groups(struct bed *b, const struct bed_column *c)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	struct zt_u32_range range = {GROUP, GROUP};
	struct zt_subject s = {.text = (char[]){"group"}, .gid = {.v = &range, .n = 1}};
	struct bed_role plain = as(evil, OTHER), member = plain, setgid = as(in_stage("setgid"), OTHER);
	struct zt_rule *rule = bed_ruleset(&rs) == 0 ? bed_rule(rs, "group", ZT_ALLOW) : NULL;
	bool ok = rule && zt_ruleset_subject(rs, &s, &rule->match.from) == 0 && bed_apply(b, c->engine, rs) == 0 &&
		  bed_sh("cp %s %s && chgrp %d %s && chmod 2755 %s", evil, setgid.program, GROUP, setgid.program,
			 setgid.program) == 0;

	member.member = GROUP;
	row(b, c, "17", "group by a setgid file", ok && tried(b, &setgid) == 1, "passes");
	row(b, c, "17", "group among the supplementary ones", ok && tried(b, &member) == 1, "passes");
	row(b, c, "17", "neither", ok && tried(b, &plain) == 0, "blocked");
	bed_ok(b, policy(b, c) == 0, "%s: the policy is back", c->label);
}

/* ---- row 18: the file ---- */
static bool shell(const char *script, const char *path)
{
	return bed_sh("cd %s && set -e; good=%s evil=%s new=%s; %s", bed_stage_dir(), good, evil, path, script) == 0;
}

/* A program file that is made by a script and started by the right user. */
static void file_case(struct bed *b, const struct bed_column *c, const char *what, const char *script, int expect,
		      const char *result)
{
	const char *path = in_stage("made");
	struct bed_role role = as(path, GOOD);
	bool ok = shell(script, path);

	row(b, c, "18", what, ok && tried(b, &role) == expect, result);
	(void)bed_sh("umount %s 2>/dev/null; umount %s-o/m 2>/dev/null; rm -rf %s %s-o", path, bed_stage_dir(), path,
		     bed_stage_dir());
}

static void files(struct bed *b, const struct bed_column *c)
{
	file_case(b, c, "copy of the program", "cp $good $new", 0, "blocked");
	file_case(b, c, "symbolic link to the program", "ln -s $good $new", 1, "passes: it is the same file");
	file_case(b, c, "another program mounted over by the program", "cp $evil $new; mount --bind $good $new", 1,
		  "passes: it is the same file");
	file_case(
		b, c, "the program through an overlay",
		"o=$PWD-o; mkdir -p $o/e $o/m; mount -t overlay overlay -o lowerdir=$PWD:$o/e $o/m; ln -s $o/m/good $new",
		0, "blocked: another file system");
	file_case(b, c, "script that another program interprets", "printf '#!%s\n' $evil >$new; chmod 755 $new", 0,
		  "blocked");
	file_case(b, c, "script that the program interprets", "printf '#!%s\n' $good >$new; chmod 755 $new", 1,
		  "passes: a script is its interpreter (documented)");
}

static void mounted_over(struct bed *b, const struct bed_column *c)
{
	struct bed_role role = as(good, GOOD);
	bool ok = shell("mount --bind $evil $good", "");

	row(b, c, "18", "another program mounted over the path of the program", ok && tried(b, &role) == 0, "blocked");
	ok = bed_sh("umount %s", good) == 0;
	row(b, c, "18", "the program when that is taken away", ok && tried(b, &role) == 1, "passes");
}

static void in_memory(struct bed *b, const struct bed_column *c)
{
	char path[32];
	struct bed_role role = as(path, GOOD);
	ZT_CLOSE int fd = memfd_create("good", 0);
	bool ok;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ok = fd >= 0 && bed_sh("cat %s >/proc/%d/fd/%d", good, (int)getpid(), fd) == 0;
	row(b, c, "18", "the program's bytes from memory (memfd)", ok && tried(b, &role) == 0, "blocked");
}

/* Changes the file that the policy names; the policy is applied anew afterwards. */
static void replaced(struct bed *b, const struct bed_column *c)
{
	struct bed_role role = as(good, GOOD);
	struct bed_actor a;
	bool ok = bed_actor_start(b, &role, &a) == 0 && reaches(&a) == 1;

	row(b, c, "18", "replaced by rename: who starts it now",
	    ok && shell("cp $evil new; mv -f new $good", "") && tried(b, &role) == 0, "blocked");
	row(b, c, "18", "replaced by rename: who runs the old file, deleted now", ok && reaches(&a) == 0, "blocked");
	bed_actor_stop(&a);
	ok = policy(b, c) == 0 && tried(b, &role) == 1;
	row(b, c, "18", "applied again: the new file", ok, "passes");
	/* A new name is a change of the file: its owner, and root, can make one. Closed until it is looked at again. */
	ok = shell("ln $good hard", "");
	row(b, c, "18", "hard link to the program, which changes it",
	    ok && tried(b, &(struct bed_role){.program = in_stage("hard"), .uid = GOOD}) == 0 && tried(b, &role) == 0,
	    "blocked until refresh");
	ok = policy(b, c) == 0 && tried(b, &role) == 1;
	row(b, c, "18", "written to in place", ok && shell("cat $evil >>$good", "") && tried(b, &role) == 0,
	    "blocked until refresh");
	ok = bed_sh("rm -f %s", in_stage("hard")) == 0 && policy(b, c) == 0;
	row(b, c, "18", "applied again: the changed file", ok && tried(b, &role) == 1, "passes");
}

/* A mount namespace in which the path of the program is another file. */
static void other_mounts(struct bed *b, const struct bed_column *c)
{
	char script[300];
	const char *const through[] = {"/usr/bin/unshare", "--map-root-user", "--mount", "/bin/sh", "-c", script, NULL};
	struct bed_role role = as(good, GOOD);

	(void)snprintf(script, sizeof(script), "mount --bind %s %s && exec \"$0\" \"$@\"", evil, good);
	role.through = through;
	row(b, c, "18", "own mount namespace, another file at the program's path", tried(b, &role) == 0, "blocked");
	(void)snprintf(script, sizeof(script), "exec \"$0\" \"$@\"");
	row(b, c, "22", "user namespace in which the user is root", tried(b, &role) == 1,
	    "passes: the user outside counts");
	role.uid = OTHER;
	row(b, c, "22", "user namespace of another user", tried(b, &role) == 0, "blocked: the user outside counts");
}

/* ---- rows 13, 25: sockets of others ---- */
/* What one holds is given to another. True: that was all, the LSM layer lets none arrive. */
static bool refused(struct bed *b, const struct bed_column *c, const char *what, bool *ok, struct bed_actor *from,
		    struct bed_actor *to)
{
	int r = *ok ? bed_give(from, to) : -ECANCELED;

	if (c->lsm)
		row(b, c, "13", what, r == -EBADF, REFUSED);
	*ok = *ok && r == 0;
	return c->lsm;
}

static void handed(struct bed *b, const struct bed_column *c)
{
	static const char *const what[] = {"unconnected socket of a program that may not, used by one that may",
					   "unconnected socket of a program that may, used by one that may not",
					   "connection of a program that may, used by one that may not"};
	struct bed_role maker = as(evil, OTHER), user = as(good, GOOD);
	struct bed_actor a, z;
	bool started = bed_actor_start(b, &maker, &a) == 0 && bed_actor_start(b, &user, &z) == 0, ok;

	ok = started && bed_order(&a, BED_DO_HOLD, HERE, 0, SOCK_STREAM) == 0;
	if (!refused(b, c, what[0], &ok, &a, &z))
		row(b, c, "13", what[0], says(&z, BED_DO_USE, HERE, PORT) && ok, "passes: who connects counts");
	ok = started && bed_order(&z, BED_DO_HOLD, HERE, 0, SOCK_STREAM) == 0;
	if (!refused(b, c, what[1], &ok, &z, &a))
		row(b, c, "13", what[1], !says(&a, BED_DO_USE, HERE, PORT) && ok, "blocked: who connects counts");
	ok = started && bed_order(&z, BED_DO_HOLD, HERE, PORT, SOCK_STREAM) == 0;
	if (!refused(b, c, what[2], &ok, &z, &a))
		row(b, c, "13", what[2],
		    says(&a, BED_DO_USE, NULL, 0) && ok && bed_says_not_covered(c->engine, "handed over"),
		    "goes on, status says so");
	bed_actor_stop(&a);
	bed_actor_stop(&z);
}

/* A listener that is handed to the server, and one that the server made and handed away. */
static void listeners(struct bed *b, const struct bed_column *c)
{
	static const char *const what[] = {"listener of a stranger, handed to the right server",
					   "listener of the right server, handed to a stranger"};
	struct bed_role client = as(good, GOOD), stranger = as(evil, OTHER), right = as(server_path, SERVER), started;
	struct bed_actor from, a, z, activated;
	int held = -1;
	bool ok = bed_actor_start(b, &client, &from) == 0 && bed_actor_start(b, &stranger, &a) == 0 &&
		  bed_actor_start(b, &right, &z) == 0;

	ok = ok && bed_order(&a, BED_DO_LISTEN, NULL, HANDED_PORT, 0) == 0;
	if (!refused(b, c, what[0], &ok, &a, &z))
		row(b, c, "13", what[0],
		    ok && bed_order(&z, BED_DO_ACCEPT, NULL, 0, 0) == 0 && !says(&from, BED_DO_TCP, HERE, HANDED_PORT),
		    "blocked: who listened counts");
	ok = bed_order(&z, BED_DO_LISTEN, NULL, HANDED_PORT + 1, 0) == 0;
	if (!refused(b, c, what[1], &ok, &z, &a))
		row(b, c, "13", what[1],
		    ok && bed_order(&a, BED_DO_ACCEPT, NULL, 0, 0) == 0 &&
			    says(&from, BED_DO_TCP, HERE, HANDED_PORT + 1) &&
			    bed_says_not_covered(c->engine, "handed over"),
		    "passes: who listened counts, status says so");
	/* Socket activation: this process, root and no program of the policy, is the service manager. */
	held = bed_listener(HANDED_PORT + 2);
	started = right;
	started.hand_down = &held;
	ok = held >= 0 && bed_actor_start(b, &started, &activated) == 0 &&
	     bed_order(&activated, BED_DO_ACCEPT, NULL, 0, 0) == 0;
	row(b, c, "25", "listener of a service manager (LISTEN_FDS)",
	    ok && !says(&from, BED_DO_TCP, HERE, HANDED_PORT + 2),
	    "blocked: it is the manager's; name that, or let the service listen (documented)");
	bed_ok(b,
	       bed_says_not_covered(c->engine, "never bound") != c->lsm &&
		       bed_says_not_covered(c->engine, "debuggers that attach") != c->lsm,
	       "%s: rows 15 and 25, status says whether debuggers and listeners without bind are covered", c->label);
	zt_closep(&held);
	bed_actor_stop(&activated);
	bed_actor_stop(&from);
	bed_actor_stop(&a);
	bed_actor_stop(&z);
}

/* ---- row 19 ---- */
static uint64_t newest_record(struct bed *b, const struct bed_column *c)
{
	ZT_CLEANUP(zt_records_done) struct zt_records v = {0};

	(void)b;
	return c->engine->records && c->engine->records("default", UINT64_MAX, &v) == 0 ? v.told : 0;
}

/* What is told of the race is what was judged, not what the thread wrote next: whatever was denied went to the port that is denied, whatever
 * was allowed (the rule logs) to the other. */
static void recorded(struct bed *b, const struct bed_column *c, uint64_t before, pid_t pid)
{
	ZT_CLEANUP(zt_records_done) struct zt_records v = {0};
	size_t told[2] = {0}, wrong = 0;

	if (!c->engine->records)
		return; /* its log takes the addresses from the packet itself */
	if (c->engine->records("default", before, &v) < 0)
		wrong = 1;
	for (size_t i = 0; i < v.n; i++) {
		bool allowed = v.v[i].verdict == ZT_ALLOW;

		if (v.v[i].sender.pid != pid)
			continue;
		told[allowed]++;
		wrong += v.v[i].dport != (allowed ? PEER_PORT : PEER_PORT + 1);
	}
	bed_ok(b, told[0] && told[1], "%s: row 19: %zu denials and %zu permissions are told", c->label, told[0],
	       told[1]);
	row(b, c, "19", "and the port that is recorded of each", !wrong, "the one that was judged");
}

static void rewritten(struct bed *b, const struct bed_column *c)
{
	struct bed_role role = as(good, GOOD), other = {.program = evil, .peer = true};
	struct bed_actor a, denied;
	bool ok = bed_actor_start(b, &role, &a) == 0 && bed_actor_start(b, &other, &denied) == 0 &&
		  bed_order(&denied, BED_DO_SERVE, NULL, PEER_PORT + 1, BED_SERVE_DENIED) == 0;
	uint64_t before;
	int r;

	bed_unsee(PEER_PORT); /* the number that is sent */
	bed_unsee(BED_DENIED_NUMBER);
	before = newest_record(b, c);
	r = ok ? bed_order(&a, BED_DO_RACE, THERE, PEER_PORT, 100000) : -ECANCELED;

	bed_settle(30);
	printf("# %s: row 19: the race ended with %d, packets to the open port %d, to the denied one %d\n", c->label, r,
	       (int)bed_seen(PEER_PORT, 0), (int)bed_seen(BED_DENIED_NUMBER, 0));
	row(b, c, "19", "address rewritten by another thread, 100,000 connects and sends",
	    ok && !r && bed_seen(PEER_PORT, 0) && !bed_seen(BED_DENIED_NUMBER, 0),
	    "none reaches the port that is denied");
	recorded(b, c, before, a.pid);
	bed_actor_stop(&a);
	bed_actor_stop(&denied);
}

/* ---- the port of the right server in other hands ---- */
/* A server that shares its address (SO_REUSEADDR) is not alone: who binds the same port to one address of its is handed what is sent there. */
static void taken_over(struct bed *b, const struct bed_column *c)
{
	static const char *const to[] = {"127.0.0.1", "127.0.0.2", "10.99.0.1", "::1"};
	struct bed_role stranger = as(evil, OTHER), right = as(good, GOOD);
	struct bed_actor thief, a;
	bool ok = bed_actor_start(b, &stranger, &thief) == 0 && bed_actor_start(b, &right, &a) == 0, stolen = false,
	     refused = true;

	bed_unsee(BED_DENIED_NUMBER);
	for (size_t i = 0; i < ZT_ARRAY_SIZE(to); i++) {
		ok = ok && bed_order(&thief, BED_DO_TAKE_OVER, to[i], PORT, SOCK_DGRAM) == 0;
		refused = refused && bed_order(&thief, BED_DO_TAKE_OVER, to[i], PORT, SOCK_STREAM) == -EADDRINUSE;
		stolen = says(&a, BED_DO_UDP, to[i], PORT) || stolen;
	}
	stolen = bed_seen(BED_DENIED_NUMBER, 50) || stolen;
	row(b, c, "25", "UDP port of the right server, shared, bound to one address by a stranger", ok && !stolen,
	    "blocked: who would get it counts");
	row(b, c, "25", "TCP port of the right server, bound to one address by a stranger", ok && refused,
	    "refused by the kernel");
	bed_actor_stop(&thief);
	row(b, c, "25", "and when the stranger is gone", ok && reaches(&a) == 1, "passes");
	bed_actor_stop(&a);
}

/* The port that the right server shares by SO_REUSEPORT is joined by another program of its own user: the kernel gives it every second packet.
 * A connect whose look-up, without a source port yet, finds the other one is refused: of TCP it may be that none passes. */
static void shared(struct bed *b, const struct bed_column *c)
{
	struct bed_role role = as(server_path, SERVER), stranger = as(evil, SERVER), right = as(good, GOOD);
	struct bed_actor owner, thief, a;
	unsigned got[2] = {0};
	bool ok = bed_actor_start(b, &role, &owner) == 0 && bed_actor_start(b, &stranger, &thief) == 0 &&
		  bed_actor_start(b, &right, &a) == 0 &&
		  bed_order(&owner, BED_DO_SERVE, NULL, SHARED_PORT, BED_SERVE_SHARED) == 0 &&
		  bed_order(&thief, BED_DO_SERVE, NULL, SHARED_PORT, BED_SERVE_SHARED | BED_SERVE_DENIED) == 0;

	for (int tcp = 0; tcp < 2; tcp++) {
		bed_unsee(BED_DENIED_NUMBER);
		for (int i = 0; ok && i < 16; i++)
			got[tcp] += says(&a, tcp ? BED_DO_TCP : BED_DO_UDP, i & 1 ? HERE : "::1", SHARED_PORT);
		row(b, c, "25",
		    tcp ? "TCP port of the right server, shared by SO_REUSEPORT with another program of its user"
			: "UDP port of the right server, shared by SO_REUSEPORT with another program of its user",
		    ok && (tcp || got[tcp]) && got[tcp] < 16 && !bed_seen(BED_DENIED_NUMBER, 50),
		    "only what the right server gets arrives: who would get it counts");
	}
	bed_actor_stop(&owner);
	bed_actor_stop(&thief);
	bed_actor_stop(&a);
}

/* Four datagrams in one call (GSO), which the receiver takes in one piece (GRO): from one end to the other the kernel sees a single packet. */
static void segments(struct bed *b, const struct bed_column *c)
{
	struct bed_role role = as(server_path, SERVER), stranger = as(evil, OTHER), right = as(good, GOOD);
	struct bed_actor owner, other, a;
	bool ok = bed_actor_start(b, &role, &owner) == 0 && bed_actor_start(b, &stranger, &other) == 0 &&
		  bed_actor_start(b, &right, &a) == 0 &&
		  bed_order(&owner, BED_DO_SERVE, NULL, SEGMENTS_PORT, BED_SERVE_TOGETHER) == 0 &&
		  bed_order(&other, BED_DO_SERVE, NULL, SEGMENTS_PORT + 1, BED_SERVE_TOGETHER) == 0;

	row(b, c, "10", "datagrams in one piece (GSO, GRO): from the program that may to the right server",
	    ok && says(&a, BED_DO_SEGMENTS, HERE, SEGMENTS_PORT) && says(&a, BED_DO_SEGMENTS, "::1", SEGMENTS_PORT),
	    "pass");
	row(b, c, "10", "datagrams in one piece (GSO, GRO): to a stranger",
	    ok && !says(&a, BED_DO_SEGMENTS, HERE, SEGMENTS_PORT + 1) &&
		    !says(&a, BED_DO_SEGMENTS, "::1", SEGMENTS_PORT + 1),
	    "blocked");
	row(b, c, "10", "datagrams in one piece (GSO, GRO): from a stranger to the right server",
	    ok && !says(&other, BED_DO_SEGMENTS, HERE, SEGMENTS_PORT) &&
		    !says(&other, BED_DO_SEGMENTS, "::1", SEGMENTS_PORT),
	    "blocked");
	bed_actor_stop(&owner);
	bed_actor_stop(&other);
	bed_actor_stop(&a);
}

/* ---- rows 23, 24 ---- */
static void escaped(struct bed *b, const struct bed_column *c)
{
	struct bed_role root = {.program = evil};
	struct bed_actor a;
	char folder[256];
	bool ok = bed_actor_start(b, &root, &a) == 0 && reaches(&a) == 0, got;

	ok = ok && bed_order(&a, BED_DO_NETNS, NULL, 0, (uint32_t)b->ns_b) == 0;
	got = says(&a, BED_DO_TCP, "127.0.0.1", PEER_PORT);
	row(b, c, "23", "entered another network namespace (root)", ok && got,
	    "not of this host's policy (documented)");
	ok = ok && bed_order(&a, BED_DO_NETNS, NULL, 0, (uint32_t)b->ns_a) == 0;
	row(b, c, "23", "and came back", ok && reaches(&a) == 0, "blocked");
	bed_actor_stop(&a);
	ok = bed_actor_start(b, &root, &a) == 0 && bed_order(&a, BED_DO_HOLD, HERE, 0, SOCK_STREAM) == 0;
	bed_group_folder(b, BED_INNER, folder);
	ok = ok && bed_order(&a, BED_DO_JOIN, folder, 0, 0) == 0;
	row(b, c, "24", "moved to another cgroup below, with a socket and without",
	    ok && !says(&a, BED_DO_USE, HERE, PORT) && reaches(&a) == 0, "blocked");
	bed_actor_stop(&a);
	root = as(evil, OTHER);
	ok = bed_actor_start(b, &root, &a) == 0;
	(void)snprintf(folder, sizeof(folder), "%.*s", (int)(strlen(b->home) - strlen("cgroup.procs")), b->home);
	row(b, c, "24", "another user moves out of the cgroup that is enforced",
	    ok && bed_order(&a, BED_DO_JOIN, folder, 0, 0) == -EACCES, "refused by the kernel");
	bed_actor_stop(&a);
}

static void run_column(struct bed *b, const struct bed_column *c)
{
	struct bed_role serves = as(server_path, SERVER), far = {.program = evil, .peer = true};
	struct bed_role right = as(good, GOOD), program = as(evil, GOOD), user = as(good, OTHER);
	bool ok;

	if (!c->engine->labels) {
		bed_ok(b, policy(b, c) == -ENOTSUP, "%s: rules about programs are refused", c->label);
		return;
	}
	ok = bed_actor_start(b, &serves, &server) == 0 && bed_order(&server, BED_DO_SERVE, NULL, PORT, 0) == 0 &&
	     bed_actor_start(b, &far, &peer) == 0 && bed_order(&peer, BED_DO_SERVE, NULL, PEER_PORT, 0) == 0 &&
	     policy(b, c) == 0;
	bed_ok(b, ok, "%s: the servers run and the policy applies", c->label);
	row(b, c, "15", "the program that may, by the user who may", ok && tried(b, &right) == 1, "passes");
	row(b, c, "15", "another program of that user", ok && tried(b, &program) == 0, "blocked");
	row(b, c, "15", "that program of another user", ok && tried(b, &user) == 0, "blocked");
	injected(b, c);
	debugged(b, c);
	named(b, c);
	changed(b, c);
	other_user(b, c);
	groups(b, c);
	files(b, c);
	mounted_over(b, c);
	in_memory(b, c);
	other_mounts(b, c);
	handed(b, c);
	listeners(b, c);
	taken_over(b, c);
	shared(b, c);
	segments(b, c);
	if (!getenv("ZT_VM")) /* minutes where the processor is emulated, and no race there */
		rewritten(b, c);
	escaped(b, c);
	replaced(b, c);
	bed_actor_stop(&server);
	bed_actor_stop(&peer);
}

static void test(struct bed *b)
{
	if (bed_stage_open() < 0) {
		bed_ok(b, false, "no folder for programs");
		return;
	}
	good = bed_program("good");
	evil = bed_program("evil");
	server_path = bed_program("server");
	bed_each_column(b, run_column);
	bed_stage_close();
}

BED_MAIN(programs, test)
