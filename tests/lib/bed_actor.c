/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bed_actor.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/time.h"
#include "identity/identity.h"

enum { NUMBERS = 1 << 20, SOCKETS = 64, PROGRAMS = 32, ACTORS = 16 };
struct order {
	uint32_t deed, arg;
	uint16_t port;
	char text[200];
};

/* ---- a descriptor over a socket ---- */
static int send_with(int fd, const void *data, size_t len, int passed)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (passed >= 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		*CMSG_FIRSTHDR(&msg) = (struct cmsghdr){
			.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), &passed, sizeof(passed));
	}
	return sendmsg(fd, &msg, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -errno;
}

static int receive_with(int fd, void *data, size_t len, int *ret_passed)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {.iov_base = data, .iov_len = len};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &msg, 0); /* what is passed stays open over exec */

	*ret_passed = -1;
	if (n == (ssize_t)len && CMSG_FIRSTHDR(&msg))
		memcpy(ret_passed, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(*ret_passed));
	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EPIPE;
}

/* ---- the actor ---- */
struct actor {
	int control, held, seen_fd;
	volatile uint8_t *seen;
	bool denied; /* whatever comes is BED_DENIED_NUMBER */
	struct {
		int fd;
		bool listens;
	} s[SOCKETS];
	size_t n;
};

static int actor_connect(int fd, const struct bed_target *t)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int err = 0;
	socklen_t len = sizeof(err);

	if (connect(fd, &t->a.sa, t->len) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return -errno;
	if (poll(&p, 1, 500) <= 0)
		return -ETIMEDOUT;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 ? -errno : -err;
}

static int send_segments(int fd, uint32_t number, const struct bed_target *t)
{
	uint32_t four[4] = {number, number, number, number};
	int size = sizeof(number);

	if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)) < 0)
		return -errno;
	return sendto(fd, four, sizeof(four), 0, &t->a.sa, t->len) < 0 ? -errno : 0;
}

static int actor_send(const struct order *o)
{
	bool tcp = o->deed == BED_DO_TCP;
	struct bed_target t;
	int r = bed_target(o->text, o->port, &t);
	ZT_CLOSE int fd = r ? -1 : socket(t.family, (tcp ? SOCK_STREAM | SOCK_NONBLOCK : SOCK_DGRAM) | SOCK_CLOEXEC, 0);

	if (r || fd < 0)
		return r ? r : -errno;
	if (o->deed == BED_DO_SEGMENTS)
		return send_segments(fd, o->arg, &t);
	if (!tcp)
		return sendto(fd, &o->arg, sizeof(o->arg), 0, &t.a.sa, t.len) < 0 ? -errno : 0;
	r = actor_connect(fd, &t);
	return r ? r : send(fd, &o->arg, sizeof(o->arg), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int bound(int family, int type, uint16_t port, uint32_t how)
{
	struct sockaddr_in6 any = {.sin6_family = (sa_family_t)family, .sin6_port = htons(port)};
	ZT_CLOSE int fd = socket(family, type | SOCK_NONBLOCK, 0);
	int one = 1, v6only = how & BED_SERVE_SPLIT;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, how & BED_SERVE_SHARED ? SO_REUSEPORT : SO_REUSEADDR, &one, sizeof(one));
	if (how & BED_SERVE_TOGETHER && type == SOCK_DGRAM &&
	    setsockopt(fd, IPPROTO_UDP, UDP_GRO, &one, sizeof(one)) < 0)
		return -errno;
	if (family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
	if (bind(fd, (struct sockaddr *)&any, family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(any)) < 0 ||
	    (type == SOCK_STREAM && listen(fd, 64) < 0))
		return -errno;
	return ZT_TAKE_FD(fd);
}

static int actor_watch(struct actor *a, int fd, bool listens)
{
	if (fd < 0 || a->n == SOCKETS)
		return fd < 0 ? fd : -ENOSPC;
	a->s[a->n].fd = fd;
	a->s[a->n++].listens = listens;
	return 0;
}

static int actor_serve(struct actor *a, uint16_t port, uint32_t how)
{
	int r = 0;

	a->denied = how & BED_SERVE_DENIED;
	for (int tcp = 0; !r && tcp < 2; tcp++) {
		r = actor_watch(a, bound(AF_INET6, tcp ? SOCK_STREAM : SOCK_DGRAM, port, how), tcp);
		if (!r && how & BED_SERVE_SPLIT)
			r = actor_watch(a, bound(AF_INET, tcp ? SOCK_STREAM : SOCK_DGRAM, port, how), tcp);
	}
	return r;
}

static int actor_take_over(struct actor *a, const struct order *o)
{
	struct bed_target t;
	int one = 1, r = bed_target(o->text, o->port, &t);
	ZT_CLOSE int fd = r ? -1 : socket(t.family, (int)o->arg | SOCK_NONBLOCK, 0);

	if (r || fd < 0)
		return r ? r : -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	a->denied = true;
	if (bind(fd, &t.a.sa, t.len) < 0 || (o->arg == SOCK_STREAM && listen(fd, 64) < 0))
		return -errno;
	return actor_watch(a, ZT_TAKE_FD(fd), o->arg == SOCK_STREAM);
}

static int actor_hold(struct actor *a, const struct order *o)
{
	struct bed_target t;
	int r = bed_target(o->text, o->port, &t);

	zt_closep(&a->held);
	a->held = r ? -1 : socket(t.family, (int)o->arg | SOCK_NONBLOCK, 0);
	if (r || a->held < 0)
		return r ? r : -errno;
	return o->port ? actor_connect(a->held, &t) : 0;
}

static int actor_use(struct actor *a, const struct order *o)
{
	struct bed_target t;
	int r = o->port ? bed_target(o->text, o->port, &t) : 0;

	if (!r && o->port)
		r = actor_connect(a->held, &t);
	return r ? r : send(a->held, &o->arg, sizeof(o->arg), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int actor_listen(struct actor *a, uint16_t port)
{
	zt_closep(&a->held);
	a->held = bound(AF_INET6, SOCK_STREAM, port, 0);
	return a->held < 0 ? a->held : 0;
}

static int become(uint32_t id, uint32_t gid, uint32_t member)
{
	gid_t group = member;

	return setgroups(member ? 1 : 0, &group) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(id, id, id) < 0
		       ? -errno
		       : 0;
}

static int actor_exec(const struct actor *a, const char *path, uint32_t once)
{
	char control[12], seen[12], held[12], number[12];
	char *argv[] = {(char[]){"x"}, (char[]){"--actor"}, control, seen, held, once ? number : NULL, NULL};

	(void)snprintf(control, sizeof(control), "%d", a->control);
	(void)snprintf(seen, sizeof(seen), "%d", a->seen_fd);
	(void)snprintf(held, sizeof(held), "%d", a->held);
	(void)snprintf(number, sizeof(number), "%u", once);
	(void)execv(path, argv);
	return -errno;
}

static int actor_spawn(const struct actor *a, const struct order *o)
{
	int status = 0;
	pid_t pid;

	pid = o->deed == BED_DO_VSPAWN ? vfork() : fork(); /* NOLINT: vfork is what is tried */
	if (!pid)
		_exit(-actor_exec(a, o->text, o->arg));
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

static int actor_join(const char *folder)
{
	ZT_FREE char *path = zt_path_join(folder, "cgroup.procs");
	ZT_CLOSE int fd = path ? open(path, O_WRONLY | O_CLOEXEC) : -1;

	return fd < 0 ? -errno : zt_write_all(fd, "0", 1);
}

/* ---- an address that changes while the kernel reads it ---- */
struct race {
	struct bed_target t;
	uint16_t port;
	volatile int stop;
};

static void *turn(void *arg)
{
	struct race *r = arg;
	volatile uint16_t *port = &((struct sockaddr_in *)&r->t.a)->sin_port;

	for (uint16_t i = 0; !r->stop; i++)
		*port = htons((uint16_t)(r->port + (i & 1)));
	return NULL;
}

static int actor_race(const struct order *o)
{
	struct race r = {.port = o->port};
	uint32_t number = o->port;
	pthread_t other;

	if (bed_target(o->text, o->port, &r.t) < 0 || pthread_create(&other, NULL, turn, &r))
		return -EAGAIN;
	for (uint32_t i = 0; i < o->arg; i++) {
		ZT_CLOSE int fd = socket(r.t.family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		if (i & 1)
			(void)sendto(fd, &number, sizeof(number), 0, &r.t.a.sa, r.t.len);
		else if (connect(fd, &r.t.a.sa, r.t.len) == 0)
			(void)send(fd, &number, sizeof(number), 0);
	}
	r.stop = 1;
	return -pthread_join(other, NULL);
}

/* ---- the program of a process, without exec ---- */
/* The same bytes from no file: nothing is mapped from the old program when another one is named. Only the stack is written to meanwhile. */
static int unmap_program(void)
{
	char me[512], line[1024], flags[8];
	unsigned long from, to;
	ssize_t n = readlink("/proc/self/exe", me, sizeof(me) - 1);
	FILE *maps = n > 0 ? fopen("/proc/self/maps", "re") : NULL;
	struct {
		unsigned long from, to;
		int prot;
	} v[32];
	size_t used = 0;

	if (!maps)
		return -EIO;
	me[n] = '\0';
	while (fgets(line, sizeof(line), maps))
		if (strstr(line, me) && used < ZT_ARRAY_SIZE(v) &&
		    sscanf(line, "%lx-%lx %7s", &from, &to, flags) == 3) {
			v[used].from = from;
			v[used].to = to;
			v[used++].prot = (flags[0] == 'r' ? PROT_READ : 0) | (flags[1] == 'w' ? PROT_WRITE : 0) |
					 (flags[2] == 'x' ? PROT_EXEC : 0);
		}
	(void)fclose(maps);
	for (size_t i = 0; i < used; i++) {
		size_t len = v[i].to - v[i].from;
		void *copy = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (copy == MAP_FAILED)
			return -errno;
		memcpy(copy, (void *)v[i].from, len);
		if (mprotect(copy, len, v[i].prot) < 0 ||
		    mremap(copy, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)v[i].from) == MAP_FAILED)
			return -errno;
	}
	return 0;
}

static int actor_name(const char *path)
{
	ZT_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct prctl_mm_map m = {.exe_fd = (uint32_t)fd, .brk = (uintptr_t)sbrk(0)};
	char text[2048] = "", *at;
	uint64_t v[52] = {0}; /* by the numbers of proc(5) */
	FILE *stat;

	if (fd < 0 || unshare(CLONE_NEWUSER) < 0)
		return -errno;
	stat = fopen("/proc/self/stat", "re");
	if (!stat || !fgets(text, sizeof(text), stat) || !(at = strrchr(text, ')'))) {
		if (stat)
			(void)fclose(stat);
		return -EIO;
	}
	(void)fclose(stat);
	at += 3; /* the third is a letter */
	for (size_t i = 4; i < ZT_ARRAY_SIZE(v); i++)
		v[i] = strtoull(at, &at, 10);
	m.start_code = v[26], m.end_code = v[27], m.start_stack = v[28];
	m.start_data = v[45], m.end_data = v[46], m.start_brk = v[47];
	m.arg_start = v[48], m.arg_end = v[49], m.env_start = v[50], m.env_end = v[51];
	return unmap_program() ?: prctl(PR_SET_MM, PR_SET_MM_MAP, &m, sizeof(m), 0) < 0 ? -errno : 0;
}

/* ---- the loop ---- */
static void actor_receive(struct actor *a, size_t i)
{
	uint32_t number;
	int fd = a->s[i].fd;

	if (a->s[i].listens) {
		int conn = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (conn >= 0 && actor_watch(a, conn, false) < 0)
			(void)close(conn);
		return;
	}
	switch (recv(fd, &number, sizeof(number), 0)) {
	case sizeof(number):
		if (a->denied || number < NUMBERS)
			a->seen[a->denied ? BED_DENIED_NUMBER : number] = 1;
		break;
	case -1:
		if (errno == EAGAIN)
			break;
		__attribute__((fallthrough));
	case 0: /* the end of a connection, or an error of one */
		(void)close(fd);
		a->s[i] = a->s[--a->n];
		break;
	default:
		break;
	}
}

static int actor_take_in(struct actor *a, bool orders, int msec)
{
	struct pollfd p[1 + SOCKETS] = {{.fd = orders ? a->control : -1, .events = POLLIN}};
	size_t n = a->n;
	int ready;

	for (size_t i = 0; i < n; i++)
		p[i + 1] = (struct pollfd){.fd = a->s[i].fd, .events = POLLIN};
	ready = poll(p, n + 1, msec);
	for (size_t i = n; ready > 0 && i-- > 0;)
		if (p[i + 1].revents)
			actor_receive(a, i);
	return ready > 0 && p[0].revents ? -EINTR : ready;
}

static int actor_drain(struct actor *a, int msec)
{
	while (a->n && actor_take_in(a, false, msec) > 0)
		;
	return 0;
}

static int obey(struct actor *a, const struct order *o, int passed)
{
	switch ((enum bed_deed)o->deed) {
	case BED_DO_UDP:
	case BED_DO_SEGMENTS:
	case BED_DO_TCP:
		return actor_send(o);
	case BED_DO_SERVE:
		return actor_serve(a, o->port, o->arg);
	case BED_DO_TAKE_OVER:
		return actor_take_over(a, o);
	case BED_DO_HOLD:
		return actor_hold(a, o);
	case BED_DO_USE:
		return actor_use(a, o);
	case BED_DO_LISTEN:
		return actor_listen(a, o->port);
	case BED_DO_ACCEPT:
		return actor_watch(a, a->held < 0 ? -EBADF : fcntl(a->held, F_DUPFD_CLOEXEC, 3), true);
	case BED_DO_DRAIN:
		return actor_drain(a, (int)o->arg);
	case BED_DO_USER:
		return become(o->arg, o->arg, 0);
	case BED_DO_EXEC:
		return actor_exec(a, o->text, 0);
	case BED_DO_SPAWN:
	case BED_DO_VSPAWN:
		return actor_spawn(a, o);
	case BED_DO_JOIN:
		return actor_join(o->text);
	case BED_DO_NAME:
		return actor_name(o->text);
	case BED_DO_NETNS:
		return (passed >= 0 ? setns(passed, CLONE_NEWNET) : unshare(CLONE_NEWNET)) < 0 ? -errno : 0;
	case BED_DO_RACE:
		return actor_race(o);
	case BED_N_DEEDS:
		break;
	}
	return -EINVAL;
}

static void answer_order(struct actor *a)
{
	struct order o;
	int passed, give = -1, r;

	if (receive_with(a->control, &o, sizeof(o), &passed) < 0)
		_exit(0);	     /* the test is over */
	if (o.deed == BED_N_DEEDS) { /* bed_give, the one or the other side of it */
		give = o.arg ? -1 : a->held;
		r = o.arg && passed < 0 ? -EBADF : 0;
		if (passed >= 0) {
			zt_closep(&a->held);
			a->held = passed;
		}
	} else {
		r = obey(a, &o, passed);
	}
	if (send_with(a->control, &r, sizeof(r), give) < 0)
		_exit(1);
}

static _Noreturn void act(struct actor *a)
{
	int ready = 0;

	if (send_with(a->control, &ready, sizeof(ready), -1) < 0)
		_exit(1);
	for (;;)
		if (actor_take_in(a, true, -1) == -EINTR)
			answer_order(a);
}

void bed_actor_main(int argc, char **argv)
{
	static struct actor a;

	if (argc > 2 && strcmp(argv[2], "--actor") == 0) { /* the interpreter of a script, which is argv[1] */
		argc--;
		argv++;
	}
	if (argc < 5 || strcmp(argv[1], "--actor") != 0)
		return;
	(void)signal(SIGPIPE, SIG_IGN);
	a.control = (int)strtol(argv[2], NULL, 10);
	a.seen_fd = (int)strtol(argv[3], NULL, 10);
	a.held = (int)strtol(argv[4], NULL, 10);
	if (argc > 5) { /* what BED_DO_SPAWN started */
		struct order o = {.arg = (uint32_t)strtoul(argv[5], NULL, 10)};

		_exit(-actor_use(&a, &o));
	}
	a.seen = mmap(NULL, NUMBERS, PROT_READ | PROT_WRITE, MAP_SHARED, a.seen_fd, 0);
	if (a.seen == MAP_FAILED)
		_exit(1);
	act(&a);
}

/* ---- the test's side ---- */
static struct {
	char dir[64];
	int seen_fd;
	volatile uint8_t *seen;
	struct bed_actor *actors[ACTORS];
} stage = {.seen_fd = -1};

static void enlist(struct bed_actor *old, struct bed_actor *fresh)
{
	for (size_t i = 0; i < ACTORS; i++)
		if (stage.actors[i] == old) {
			stage.actors[i] = fresh;
			return;
		}
}

int bed_stage_open(void)
{
	(void)snprintf(stage.dir, sizeof(stage.dir), "/tmp/ztstage-XXXXXX");
	stage.seen_fd = memfd_create("seen", 0); /* inherited by the actors */
	if (stage.seen_fd < 0 || ftruncate(stage.seen_fd, NUMBERS) < 0 || !mkdtemp(stage.dir) ||
	    chmod(stage.dir, 0755) < 0)
		return -errno;
	stage.seen = mmap(NULL, NUMBERS, PROT_READ | PROT_WRITE, MAP_SHARED, stage.seen_fd, 0);
	return stage.seen == MAP_FAILED ? -errno : 0;
}

void bed_stage_close(void)
{
	(void)zt_remove_tree(stage.dir);
	zt_closep(&stage.seen_fd);
}

const char *bed_stage_dir(void)
{
	return stage.dir;
}

const char *bed_program(const char *name)
{
	static char paths[PROGRAMS][128];
	static size_t n;
	char *path = paths[n++ % PROGRAMS];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", stage.dir, name);
	/* Never written in place: what is being executed cannot be. */
	if (bed_sh("cp /proc/%d/exe %s+ && mv -f %s+ %s", (int)getpid(), path, path, path))
		*path = '\0'; /* and whatever is done with it fails */
	return path;
}

static int role_exec(struct bed *b, const struct bed_role *role, int control)
{
	struct actor a = {
		.control = control, .seen_fd = stage.seen_fd, .held = role->hand_down ? *role->hand_down : -1};
	char fds[3][12];
	const char *argv[12];
	size_t n = 0;
	int r = bed_join(b, role->group);

	r = r ? r : role->peer ? bed_enter(b, true) : 0;
	r = r ? r : role->uid ? become(role->uid, role->gid ? role->gid : role->uid, role->member) : 0;
	if (r < 0)
		return r;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!role->through)
		return actor_exec(&a, role->program, 0);
	while (n < 6 && role->through[n])
		argv[n] = role->through[n], n++;
	(void)snprintf(fds[0], sizeof(fds[0]), "%d", a.control);
	(void)snprintf(fds[1], sizeof(fds[1]), "%d", a.seen_fd);
	(void)snprintf(fds[2], sizeof(fds[2]), "%d", a.held);
	const char *const rest[] = {role->program, "--actor", fds[0], fds[1], fds[2], NULL};

	memcpy(argv + n, rest, sizeof(rest));
	(void)execv(argv[0], (char **)(uintptr_t)argv);
	return -errno;
}

static int answer(struct bed_actor *a, int *ret_passed)
{
	struct pollfd p = {.fd = a->fd, .events = POLLIN};
	int r = 0, got, passed = -1;

	if (poll(&p, 1, 60000) <= 0) /* a busy machine takes its time */
		return -ETIMEDOUT;
	got = receive_with(a->fd, &r, sizeof(r), &passed);
	if (ret_passed)
		*ret_passed = passed;
	else
		zt_closep(&passed);
	return got ? got : r;
}

int bed_actor_start(struct bed *b, const struct bed_role *role, struct bed_actor *ret)
{
	int pair[2], r;

	*ret = (struct bed_actor){.fd = -1};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0)
		return -errno;
	(void)fcntl(pair[0], F_SETFD, FD_CLOEXEC); /* cannot fail */
	(void)fflush(stdout);
	ret->pid = fork();
	if (!ret->pid) {
		(void)close(pair[0]);
		r = role_exec(b, role, pair[1]);
		(void)send_with(pair[1], &r, sizeof(r), -1);
		_exit(127);
	}
	(void)close(pair[1]);
	ret->fd = pair[0];
	if (ret->pid < 0) {
		zt_closep(&ret->fd);
		return -EAGAIN;
	}
	enlist(NULL, ret);
	r = answer(ret, NULL);
	if (r < 0)
		bed_actor_stop(ret);
	return r;
}

void bed_actor_stop(struct bed_actor *a)
{
	if (a->pid > 0) {
		(void)kill(a->pid, SIGKILL);
		(void)waitpid(a->pid, NULL, 0);
		zt_closep(&a->fd);
		enlist(a, NULL);
	}
	*a = (struct bed_actor){.fd = -1};
}

static int order_with(struct bed_actor *a, const struct order *o, int passed, int *ret_passed)
{
	int r = a->pid > 0 ? send_with(a->fd, o, sizeof(*o), passed) : -ESRCH;

	return r ? r : answer(a, ret_passed);
}

int bed_order(struct bed_actor *a, enum bed_deed deed, const char *text, uint16_t port, uint32_t arg)
{
	struct order o = {.deed = deed, .arg = arg, .port = port};

	(void)snprintf(o.text, sizeof(o.text), "%s", text ? text : "");
	return order_with(a, &o, deed == BED_DO_NETNS && arg != UINT32_MAX ? (int)arg : -1, NULL);
}

int bed_give(struct bed_actor *from, struct bed_actor *to)
{
	struct order o = {.deed = BED_N_DEEDS};
	ZT_CLOSE int fd = -1;
	int r = order_with(from, &o, -1, &fd);

	if (r || fd < 0)
		return r ? r : -EBADF;
	o.arg = 1;
	return order_with(to, &o, fd, NULL);
}

void bed_settle(unsigned msec)
{
	for (size_t i = 0; i < ACTORS; i++)
		if (stage.actors[i])
			(void)bed_order(stage.actors[i], BED_DO_DRAIN, NULL, 0,
					msec); /* what has ended hears nothing */
}

void bed_unsee(uint32_t number)
{
	stage.seen[number % NUMBERS] = 0;
}

int bed_listener(uint16_t port)
{
	return bound(AF_INET6, SOCK_STREAM, port, false);
}

uint32_t bed_number(void)
{
	static uint32_t last = 70000;

	return last < NUMBERS - 1 ? ++last : NUMBERS; /* which nobody can mark */
}

bool bed_seen(uint32_t number, unsigned msec)
{
	zt_usec end = zt_now_monotonic() + msec * (zt_usec)1000;

	while (number < NUMBERS && !stage.seen[number] && zt_now_monotonic() < end)
		(void)poll(NULL, 0, 1);
	return number < NUMBERS && stage.seen[number];
}

int bed_subject(struct zt_ruleset *rs, uint32_t uid, const char *exe, const struct zt_subject **ret)
{
	struct zt_u32_range range = {uid, uid};
	char *path = (char *)(uintptr_t)exe; /* copied */
	struct zt_exe x = {.path = path};
	struct zt_exe_seen seen = {0};
	struct zt_subject s = {
		.text = (char[]){"actor"}, .uid = {.v = &range, .n = uid != 0}, .exes = &x, .n_exes = exe != NULL};
	int r = exe ? zt_exe_lookup(NULL, exe, true, &seen) : 0;

	if (r < 0)
		return r;
	x.id = (struct zt_file_id){
		.dev = seen.dev, .ino = seen.ino, .ctime_sec = seen.ctime_sec, .ctime_nsec = seen.ctime_nsec};
	memcpy(x.digest, seen.digest, sizeof(x.digest));
	return zt_ruleset_subject(rs, &s, ret);
}
