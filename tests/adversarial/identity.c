/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose packet is it? Ports taken over, flows older than the policy, sockets handed over, stolen, used after setuid, supplementary groups.
 * A socket belongs to whoever made it (netfilter) or uses it (bpf): what follows from that is measured here and published, not hidden.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/mem.h"
#include "bed_actor.h"

#define MAKER "identity of the maker (documented)"
#define SENDER "identity of the sender"
#define REFUSED "refused: not passed to another identity"

static void act_as(uint32_t user)
{
	(void)bed_act_as(&(struct bed_send){.uid = user, .gid = user}); /* no groups: cannot fail */
}

static int wait_for(int fd, int msec)
{
	struct timeval wait = {.tv_sec = msec / 1000, .tv_usec = msec % 1000 * 1000};

	return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) |
	       setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
}

static int peer_socket(struct bed *b, int type, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_ANY)};
	int fd = -1, one = 1, r = bed_enter(b, true);

	if (!r)
		fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	if (bed_enter(b, false) < 0 || fd < 0)
		return -EIO;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (wait_for(fd, 200) || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    (type == SOCK_STREAM && listen(fd, 8) < 0))
		return -errno;
	return fd;
}

static int made_by(uint32_t uid, uint32_t gid, int type)
{
	struct bed_send s = {.uid = uid, .gid = gid};
	int fd = bed_socket_as(&s, AF_INET, type, 0);

	return fd < 0 || wait_for(fd, 400) ? -1 : fd;
}

/* Binds (false: it cannot be tried) and connects as user. */
static bool to_peer_as(uint32_t user, int fd, uint16_t sport, uint16_t dport, bool *ret_connected)
{
	struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons(sport)};
	struct bed_target to;
	int one = 1;
	bool bound;

	(void)bed_target("10.99.0.2", dport, &to); /* a constant */
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	act_as(user);
	bound = bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0;
	*ret_connected = bound && connect(fd, &to.a.sa, to.len) == 0;
	bed_act_root();
	return bound;
}

static bool to_peer(int fd, uint16_t sport, uint16_t dport)
{
	bool connected;

	return to_peer_as(BED_ALLOWED, fd, sport, dport, &connected) && connected;
}

static bool heard(int server, char what)
{
	char c = 0;

	while (recv(server, &c, 1, 0) == 1)
		if (c == what)
			return true;
	return false;
}

static void outcome(struct bed *b, const struct bed_column *c, const char *row, const char *what, bool ok,
		    const char *result)
{
	bed_ok(b, ok, "%s: row %s, %s: %s", c->label, row, what, result);
	bed_publish("attacks", row, what, "10.99.0.2", c->label, ok ? result : "WRONG");
}

/* Row 11: the flow of an allowed user, answered, then the same source port in the hands of a denied one. */
static void inherit_port(struct bed *b, const struct bed_column *c)
{
	ZT_CLOSE int server = peer_socket(b, SOCK_DGRAM, 7001), first = made_by(BED_ALLOWED, BED_ALLOWED, SOCK_DGRAM);
	ZT_CLOSE int second = made_by(BED_DENIED, BED_DENIED, SOCK_DGRAM);
	struct sockaddr_in from,
		peer = {.sin_family = AF_INET, .sin_port = htons(7001), .sin_addr.s_addr = htonl(0x0a630002)};
	socklen_t len = sizeof(from);
	char x = 'a';
	bool ok = server >= 0 && to_peer(first, 5555, 7001) && send(first, &x, 1, 0) == 1 &&
		  recvfrom(server, &x, 1, 0, (struct sockaddr *)&from, &len) == 1 &&
		  sendto(server, &x, 1, 0, (struct sockaddr *)&from, len) == 1 && recv(first, &x, 1, 0) == 1;
	bool leak, connected;

	zt_closep(&first);
	ok = ok && to_peer_as(BED_DENIED, second, 5555, 7001, &connected);
	act_as(BED_DENIED);
	(void)send(second, "d", 1, 0);
	(void)sendto(second, "d", 1, 0, (struct sockaddr *)&peer, sizeof(peer));
	bed_act_root();
	leak = heard(server, 'd');
	outcome(b, c, "11", "source port of an established UDP flow taken over", ok && !leak,
		leak ? "LEAKS" : "blocked");
}

/* Row 12: a connection that is older than the policy which denies it. */
static void old_connection(struct bed *b, const struct bed_column *c, bool preserve)
{
	uint16_t port = preserve ? 7002 : 7003;
	ZT_CLOSE int server = peer_socket(b, SOCK_STREAM, port),
		     client = made_by(BED_ALLOWED, BED_ALLOWED, SOCK_STREAM), conn = -1;
	bool ok = server >= 0 && to_peer(client, port - 1000, port), passed;

	conn = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	ok = ok && conn >= 0 && !wait_for(conn, 300) && send(client, "1", 1, MSG_NOSIGNAL) == 1 && heard(conn, '1');
	ok = ok && bed_policy(b, c->engine, false, preserve) == 0;
	(void)send(client, "2", 1, MSG_NOSIGNAL);
	passed = heard(conn, '2');
	outcome(b, c, "12",
		preserve ? "older TCP connection, preserve_established: true"
			 : "older TCP connection, preserve_established: false",
		ok && passed == preserve, passed ? "goes on, as configured" : "cut");
}

/* The same for UDP: a flow has no owner but its socket, and is judged by every packet. */
static void old_udp_flow(struct bed *b, const struct bed_column *c)
{
	ZT_CLOSE int server = peer_socket(b, SOCK_DGRAM, 7004), client = made_by(BED_ALLOWED, BED_ALLOWED, SOCK_DGRAM);
	bool ok = server >= 0 && to_peer(client, 6004, 7004) && send(client, "1", 1, 0) == 1 && heard(server, '1'),
	     passed;

	ok = ok && bed_policy(b, c->engine, false, true) == 0;
	(void)send(client, "2", 1, 0);
	passed = heard(server, '2');
	outcome(b, c, "12", "older UDP flow, denied now", ok && !passed, passed ? "LEAKS" : "cut");
}

/* ---- sockets of others ---- */
/* Becomes another user for good, as a program that was started by root does. */
static bool become(uint32_t uid, uint32_t gid)
{
	return setgroups(0, NULL) == 0 && setresgid(gid, gid, gid) == 0 && setresuid(uid, uid, uid) == 0;
}

static bool hand_over(int sock, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	char x = 'x';
	struct iovec iov = {.iov_base = &x, .iov_len = 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *h = CMSG_FIRSTHDR(&msg);

	*h = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
	memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	return sendmsg(sock, &msg, 0) == 1;
}

static int take_over(int sock)
{
	char control[CMSG_SPACE(sizeof(int))], x;
	struct iovec iov = {.iov_base = &x, .iov_len = 1};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	int fd = -1;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&msg))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

/* A child that is `user` for good gets fd over a Unix socket, or has inherited it, and sends with it; connects first where port is given. Whether
 * it got it. */
static bool send_as(uint32_t user, int fd, uint16_t port, bool inherits)
{
	int pair[2], status = -1;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) < 0)
		return false;
	(void)fflush(stdout);
	pid = fork();
	if (!pid) {
		bool connected;
		int got;

		if (!inherits)
			(void)close(fd); /* only what is handed over counts */
		got = !become(user, user) ? -1 : inherits ? fd : take_over(pair[1]);
		if (got >= 0 && (!port || (to_peer_as(user, got, 0, port, &connected) && connected)))
			(void)send(got, "h", 1, MSG_NOSIGNAL);
		_exit(got < 0);
	}
	if (!inherits)
		(void)hand_over(pair[0], fd);
	(void)waitpid(pid, &status, 0);
	(void)close(pair[0]);
	(void)close(pair[1]);
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

enum handed { UDP_UNCONNECTED, UDP_CONNECTED, TCP_UNCONNECTED, TCP_CONNECTED, N_HANDED };
static const char *const handed_names[] = {"UDP socket", "connected UDP socket", "TCP socket", "TCP connection"};

struct handing {
	enum handed kind;
	uint32_t maker, user;
	bool inherited; /* by a child, not over a Unix socket */
};

/* Row 13: made by one user, used by another. False: it could not be tried, or was passed where it must not be. */
static bool handed_arrives(struct bed *b, const struct bed_column *c, const struct handing *h, bool *ret_arrived)
{
	static uint16_t port = 7100;
	bool tcp = h->kind >= TCP_UNCONNECTED, connected = h->kind == UDP_CONNECTED || h->kind == TCP_CONNECTED,
	     ok = true;
	int type = tcp ? SOCK_STREAM : SOCK_DGRAM;
	ZT_CLOSE int server = peer_socket(b, type, ++port), fd = made_by(h->maker, h->maker, type), conn = -1;

	if (connected)
		ok = to_peer(fd, 0, port);
	ok = send_as(h->user, fd, connected ? 0 : port, h->inherited) == (h->inherited || !c->lsm) && ok;
	if (tcp) {
		conn = accept4(server, NULL, NULL, SOCK_CLOEXEC);
		*ret_arrived = conn >= 0 && !wait_for(conn, 200) && heard(conn, 'h');
	} else {
		*ret_arrived = heard(server, 'h');
	}
	return ok && server >= 0 && fd >= 0;
}

static void handed_over(struct bed *b, const struct bed_column *c)
{
	for (int kind = 0; kind < N_HANDED; kind++) {
		struct handing from_allowed = {.kind = (enum handed)kind, .maker = BED_ALLOWED, .user = BED_DENIED};
		struct handing from_denied = {.kind = (enum handed)kind, .maker = BED_DENIED, .user = BED_ALLOWED};
		bool connected = kind == UDP_CONNECTED || kind == TCP_CONNECTED, judged = c->by_sender && !connected;
		bool by_allowed = false, by_denied = true, ok;
		char what[96];

		ok = handed_arrives(b, c, &from_allowed, &by_allowed);
		(void)snprintf(what, sizeof(what), "%s of an allowed user, used by a denied one", handed_names[kind]);
		outcome(b, c, "13", what, ok && by_allowed == (!judged && !c->lsm),
			c->lsm		? REFUSED
			: judged	? "blocked: " SENDER
			: !c->by_sender ? MAKER
					: "identity of who connected it, status says so");
		if (connected)
			continue; /* a denied user has none that is connected */
		ok = handed_arrives(b, c, &from_denied, &by_denied);
		(void)snprintf(what, sizeof(what), "%s of a denied user, used by an allowed one", handed_names[kind]);
		outcome(b, c, "13", what, ok && by_denied == (judged && !c->lsm),
			c->lsm	 ? REFUSED
			: judged ? "passes: " SENDER
				 : "blocked: " MAKER);
	}
	bed_ok(b, bed_says_not_covered(c->engine, "handed over") != c->lsm,
	       "%s: row 13, status says whether sockets handed over are covered", c->label);
}

/* Row 14: taking a socket out of another process: by the same user and group it goes, and is the same principal; else the kernel refuses. */
static int steal(pid_t victim, int fd, uint32_t uid, uint32_t gid)
{
	int status;
	pid_t pid;

	(void)fflush(stdout);
	pid = fork();
	if (!pid) {
		int p, got;

		if (!become(uid, gid))
			_exit(100);
		p = (int)syscall(SYS_pidfd_open, victim, 0);
		got = p < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, p, fd, 0);
		if (got < 0)
			_exit(errno);
		_exit(send(got, "s", 1, 0) == 1 ? 0 : errno);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static pid_t victim_with(int fd, int *ret_ready)
{
	int pair[2];
	pid_t pid;
	char x;

	if (pipe2(pair, O_CLOEXEC) < 0)
		return -1;
	(void)fflush(stdout);
	pid = fork();
	if (!pid) {
		bool ok = become(BED_ALLOWED, BED_ALLOWED);

		/* what setuid made undumpable could be taken by nobody but root */
		(void)syscall(SYS_prctl, 4 /* PR_SET_DUMPABLE */, 1, 0, 0, 0);
		(void)write(pair[1], ok ? "y" : "n", 1);
		for (;;)
			(void)pause();
	}
	(void)fd;
	*ret_ready = read(pair[0], &x, 1) == 1 && x == 'y';
	(void)close(pair[0]);
	(void)close(pair[1]);
	return pid;
}

static void stolen(struct bed *b, const struct bed_column *c)
{
	ZT_CLOSE int server = peer_socket(b, SOCK_DGRAM, 7200), fd = made_by(BED_ALLOWED, BED_ALLOWED, SOCK_DGRAM);
	int ready = 0, same, other_group, other_user;
	bool ok = to_peer(fd, 0, 7200), by_same, by_others;
	pid_t victim = victim_with(fd, &ready);

	if (victim < 0 || !ready) {
		bed_ok(b, false, "%s: row 14: cannot be tried", c->label);
		return;
	}
	other_group = steal(victim, fd, BED_ALLOWED, BED_DENIED);
	other_user = steal(victim, fd, BED_DENIED, BED_ALLOWED);
	by_others = heard(server, 's');
	same = steal(victim, fd, BED_ALLOWED, BED_ALLOWED);
	by_same = heard(server, 's');
	(void)kill(victim, SIGKILL);
	(void)waitpid(victim, NULL, 0);
	outcome(b, c, "14", "pidfd_getfd by another user or group",
		ok && other_group == EPERM && other_user == EPERM && !by_others, "refused by the kernel");
	outcome(b, c, "14", "pidfd_getfd by the same user and group", same == 0 && by_same,
		"one principal (documented)");
}

/* Row 17: a socket belongs to the user who made it, whoever uses it later. */
static void late_setuid(struct bed *b, const struct bed_column *c)
{
	struct bed_send root = {.method = BED_UDP,
				.uid = BED_ALLOWED,
				.gid = BED_ALLOWED,
				.setuid_late = true,
				.dst = "10.99.0.2",
				.port = 7777};
	struct handing made = {.kind = UDP_UNCONNECTED, .maker = BED_ALLOWED, .user = BED_DENIED, .inherited = true};
	bool arrived = true, ok = bed_arrives(b, &root, &arrived) == 0;

	outcome(b, c, "17", "made by root, then setuid to an allowed user", ok && arrived == c->by_sender,
		c->by_sender ? "passes: " SENDER : "blocked: " MAKER);
	ok = handed_arrives(b, c, &made, &arrived);
	outcome(b, c, "17", "made by an allowed user, then setuid to a denied one", ok && arrived != c->by_sender,
		c->by_sender ? "blocked: " SENDER : MAKER);
}

/* Engines with labels get `group:` as a subject, as compile makes it; the others as a match of the primary group. */
static int set_group(struct zt_ruleset *rs, bool labels, struct zt_match *m)
{
	struct zt_u32_range range = {3001, 3001};
	struct zt_subject s = {.text = (char[]){"group"}, .gid = {.v = &range, .n = 1}};

	return labels ? zt_ruleset_subject(rs, &s, &m->from) : zt_u32_ranges_add(&m->gid, 3001, 3001);
}

static int group_policy(struct bed *b, const struct bed_column *c, bool allow)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	struct zt_rule *rule;
	int r = bed_ruleset(&rs);

	rule = r ? NULL : bed_rule(rs, "group", allow ? ZT_ALLOW : ZT_REJECT);
	r = rule ? set_group(rs, c->engine->labels, &rule->match) : -ENOMEM;
	if (r < 0)
		return r;
	rs->settings.def[ZT_DIR_EGRESS] = allow ? ZT_DEFAULT_DENY : ZT_DEFAULT_ALLOW;
	return bed_apply(b, c->engine, rs);
}

/* Row 17: a member of a group by a supplementary group only. Without labels rules of the group do not mean it, allow and deny alike. */
static void supplementary(struct bed *b, const struct bed_column *c)
{
	struct bed_send s = {
		.method = BED_UDP, .uid = 2002, .gid = 2002, .member = 3001, .dst = "10.99.0.2", .port = 7777};
	bool meant = c->engine->labels, arrived = !meant,
	     ok = group_policy(b, c, true) == 0 && bed_arrives(b, &s, &arrived) == 0;

	outcome(b, c, "17", "supplementary group of an allow rule", ok && arrived == meant,
		meant ? "meant: passes" : "not meant: blocked (documented)");
	arrived = meant;
	ok = group_policy(b, c, false) == 0 && bed_arrives(b, &s, &arrived) == 0;
	outcome(b, c, "17", "supplementary group of a deny rule", ok && arrived != meant,
		meant ? "meant: blocked" : "not meant: passes (documented)");
	s.member = 3002;
	arrived = false;
	ok = bed_arrives(b, &s, &arrived) == 0;
	bed_ok(b, ok && arrived, "%s: row 17, a member of another group is not meant", c->label);
	bed_ok(b, bed_says_not_covered(c->engine, "supplementary") != meant,
	       "%s: row 17, status says whether supplementary groups are covered", c->label);
}

static void run_column(struct bed *b, const struct bed_column *c)
{
	int r = bed_policy(b, c->engine, true, true);

	if (r < 0) {
		bed_ok(b, false, "%s: cannot apply: %s", c->label, strerror(-r));
		return;
	}
	bed_forget_flows(b);
	inherit_port(b, c);
	handed_over(b, c);
	stolen(b, c);
	late_setuid(b, c);
	old_connection(b, c, true);
	r = bed_policy(b, c->engine, true, false);
	old_connection(b, c, false);
	r = r ? r : bed_policy(b, c->engine, true, true);
	old_udp_flow(b, c);
	supplementary(b, c);
	bed_ok(b, !r, "%s: policies between the rows load", c->label);
}

static void test(struct bed *b)
{
	bed_each_column(b, run_column);
}

BED_MAIN(identity, test)
