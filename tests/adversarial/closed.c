/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When something breaks, does the wall stay up? The rows of the fail-open/closed matrix for engines that need no daemon (disk full, changes by
 * others, connection tracking full), floods at the host (row 34) and hostile text on its way into the log (row 37). The program itself does the
 * applying here. Killed in the middle of a swap: flood.c. Corrupt boot files: tests/e2e/boot.bats.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <fcntl.h>
#include <grp.h>
#include <jansson.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/time.h"
#include "bed.h"
#include "engine/bpf/load.h"

static char dir[64];	  /* a tmpfs of our own mount namespace */
static char program[256]; /* zt-segment of this build */
static char group[256];	  /* the cgroup of the test */

/* zt-segment of the column's engine with a line of arguments, in the folder of the test; its exit status. */
static int zt(const struct bed_column *c, const char *line)
{
	return bed_sh(
		"cd %s && export ZT_TEST=1 NO_COLOR=1 ZT_IPTABLES_VARIANT=%s && timeout 60 %s --state-dir %s/state %s%s --engine %s %s",
		dir, c->variant ? c->variant : "", program, dir, c->cgroup_wide ? "--cgroup " : "",
		c->cgroup_wide ? group : "", c->engine->name, line);
}

static bool passes(struct bed *b, uint32_t uid)
{
	struct bed_send s = {.method = BED_UDP, .uid = uid, .gid = uid, .dst = "10.99.0.2", .port = 7777};
	bool arrived = uid != BED_ALLOWED; /* what cannot be sent is wrong either way */

	(void)bed_arrives(b, &s, &arrived);
	return arrived;
}

static bool as_it_was(struct bed *b)
{
	return passes(b, BED_ALLOWED) && !passes(b, BED_DENIED);
}

static void cell(struct bed *b, const struct bed_column *c, const char *row, const char *what, bool ok,
		 const char *result)
{
	bed_ok(b, ok, "%s: %s: %s", c->label, what, result);
	bed_publish("closed", row, what, "", c->label, ok ? result : "WRONG");
}

static int write_policy(const char *name, const char *uids, const char *block)
{
	return bed_sh(
		"cat >%s/%s <<'YAML'\nversion: \"1.0\"\nsettings: {default_policy: deny, log_blocked: true, block: %s}\nrules:\n  - name: allowed\n"
		"    from: {uid: [%s]}\n    to: {host: \"*\"}\n    action: allow\nYAML\n",
		dir, name, block, uids);
}

/* ---- the disk ---- */
static void disk(struct bed *b, const struct bed_column *c)
{
	bool ok = zt(c, "apply --force one.yaml") == 0 && as_it_was(b), refused;

	ok = ok && bed_sh("dd if=/dev/zero of=%s/state/fill bs=4k 2>/dev/null; test ! -e nothing", dir) == 0;
	refused = zt(c, "apply --force two.yaml") != 0;
	cell(b, c, "1 disk", "disk full", ok && refused && as_it_was(b), "apply refused, enforcement unaffected");
	(void)bed_sh("rm -f %s/state/fill", dir);
	ok = ok && mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0;
	refused = zt(c, "apply --force two.yaml") != 0;
	ok = ok && mount(NULL, dir, NULL, MS_REMOUNT, NULL) == 0;
	cell(b, c, "1 disk", "disk read-only", ok && refused && as_it_was(b), "apply refused, enforcement unaffected");
	/* The same with room: the refusals were about the disk. */
	ok = zt(c, "apply --force two.yaml") == 0 && passes(b, BED_DENIED) && zt(c, "apply --force one.yaml") == 0 &&
	     as_it_was(b);
	bed_ok(b, ok, "%s: with room on the disk both policies apply", c->label);
}

/* ---- changes by others ---- */
static bool file_has(const char *name, const char *text)
{
	ZT_FREE char *path = zt_asprintf("%s/%s", dir, name), *data = NULL;
	size_t len;

	return path && zt_file_read(path, 1 << 20, &data, &len) == 0 && strstr(data, text);
}

/* What somebody does to the rules of a column, and by what name the kernel tells of it; NULL: it does not. */
static const char *stranger_flushes(const struct bed_column *c, const char **ret_named)
{
	*ret_named = NULL;
	if (c->cgroup_wide)
		return "rm -r /sys/fs/bpf/zt-segment/*";
	if (!c->variant) {
		*ret_named = "by stranger";
		return "cp /usr/sbin/nft stranger; ./stranger flush ruleset";
	}
	if (!strcmp(c->variant, "legacy"))
		return "iptables-legacy -F; ip6tables-legacy -F";
	*ret_named = "by iptables";
	return "iptables-nft -F; ip6tables-nft -F";
}

/* The change comes when the watcher listens; where it is not told of it, it looks once another one comes. */
static bool watched(const struct bed_column *c, const char *flush, const char *until)
{
	return bed_sh("cd %s; export ZT_TEST=1 ZT_IPTABLES_VARIANT=%s; timeout 60 %s --state-dir %s/state --cgroup %s --engine %s drift --watch >watch.out 2>&1 "
		      "</dev/null & for i in $(seq 400); do [ %s = bpf ] || awk '$2 == 12 && $4 != \"00000000\" {n++} END {exit !n}' /proc/net/netlink && break; "
		      "sleep 0.05; done; [ %s != bpf ] || sleep 1; %s; [ '%s' != 'by nft' ] || { nft add table ip waiting; nft delete table ip waiting; }; "
		      "for i in $(seq 200); do grep -q '%s' watch.out && break; sleep 0.05; done; kill %%1 2>/dev/null; true",
		      dir, c->variant ? c->variant : "", program, dir, group, c->engine->name, c->engine->name,
		      c->engine->name, flush, until, until) == 0;
}

static void outside(struct bed *b, const struct bed_column *c)
{
	const char *named, *flush = stranger_flushes(c, &named),
			   *told = named	    ? named
				   : c->cgroup_wide ? "unknown"
						    : "by nft";
	bool ok = zt(c, "drift") == 0 && watched(c, flush, told);

	cell(b, c, "1 outside", "rules flushed by another program: seen by drift", ok && zt(c, "drift") == 1, "yes");
	cell(b, c, "1 outside", "rules flushed by another program: named by drift --watch",
	     ok && (named ? file_has("watch.out", named) : !file_has("watch.out", "by iptables")) &&
		     file_has("watch.out", told),
	     named	      ? "yes"
	     : c->cgroup_wide ? "told within a second, not by whom: the kernel does not tell"
			      : "no: the kernel does not tell");
	cell(b, c, "1 outside", "until then the denied user", passes(b, BED_DENIED),
	     "passes: what root removes is gone");
	ok = zt(c, "apply --force one.yaml") == 0 && zt(c, "drift") == 0;
	cell(b, c, "1 outside", "apply puts it back", ok && as_it_was(b), "yes");
}

/* ---- row 38: damage in part ---- */
static const struct damage {
	const char *what;
	const char *bpf, *nft;
} damages[] = {
	{"a part removed by another program", "rm /sys/fs/bpf/zt-segment/*/zt_egress",
	 "nft flush chain inet zt_segment output"},
	{"a program detached, or the table deleted",
	 "for i in $(bpftool link show pinned $(ls -d /sys/fs/bpf/zt-segment/*/zt_connect4) | sed -n '1s/:.*//p'); do bpftool link detach id $i; done",
	 "nft delete table inet zt_segment"},
};

static void damaged(struct bed *b, const struct bed_column *c)
{
	for (size_t i = 0; !c->variant && i < ZT_ARRAY_SIZE(damages); i++) {
		const struct damage *k = &damages[i];
		bool ok = zt(c, "drift") == 0 && bed_sh("%s", c->cgroup_wide ? k->bpf : k->nft) == 0, seen, said;

		seen = zt(c, "drift") == 1;
		said = zt(c, "status 2>&1 | grep -qi -e damaged -e 'not active' -e drift") == 0;
		ok = ok && seen && said && zt(c, "apply --force one.yaml") == 0 && zt(c, "drift") == 0 && as_it_was(b);
		cell(b, c, "38", k->what, ok, "drift and status tell it, apply puts it back");
	}
}

/* ---- row 35: what is remembered of flows ---- */
static unsigned remembered(void)
{
	ZT_CLEANUP(bpf_live_done) struct bpf_live l;
	struct zt_bpf_flow_key k, next;
	unsigned n = 0;

	if (bpf_live_open("default", &l) < 0)
		return UINT32_MAX;
	for (int r = bpf_map_get_next_key(l.map[MAP_FLOWS], NULL, &next); r == 0 && n < UINT32_MAX;
	     r = bpf_map_get_next_key(l.map[MAP_FLOWS], &k, &next), n++)
		k = next;
	return n;
}

/* A datagram of the allowed user's to each port of the peer, over both families. */
static bool fill_flows(int fd4, int fd6)
{
	struct bed_target to4, to6;
	unsigned sent = 0;

	(void)bed_target("10.99.0.2", 1, &to4); /* constants */
	(void)bed_target("fd99::2", 1, &to6);
	for (uint32_t port = 1; port < 65536; port++) {
		bed_target_port(&to4, (uint16_t)port);
		bed_target_port(&to6, (uint16_t)port);
		sent += sendto(fd4, "x", 1, MSG_DONTWAIT, &to4.a.sa, to4.len) == 1;
		sent += sendto(fd6, "x", 1, MSG_DONTWAIT, &to6.a.sa, to6.len) == 1;
	}
	return sent > 100000;
}

/* Does a datagram of the peer's from that port come to this socket, which is bound to ours? What listens with a raw socket did not ask. */
static bool answers(struct bed *b, int fd, uint16_t from, uint16_t to)
{
	struct bed_craft k = {.src = "10.99.0.2", .dst = "10.99.0.1", .proto = 17, .sport = from, .port = to, .id = 7};
	struct pollfd at = {.fd = fd, .events = POLLIN};
	struct bed_packets p;
	char buf[64];

	if (bed_craft(&k, &p) < 0 || bed_frames(b, true, &p) < 0)
		return false;
	return poll(&at, 1, 100) == 1 && recv(fd, buf, sizeof(buf), MSG_DONTWAIT) >= 0;
}

static void many_flows(struct bed *b, const struct bed_column *c)
{
	struct bed_send s = {.uid = BED_ALLOWED, .gid = BED_ALLOWED};
	struct sockaddr_in6 from = {.sin6_family = AF_INET, .sin6_port = htons(7350)};
	struct sockaddr_in6 beside = {.sin6_family = AF_INET, .sin6_port = htons(7352)};
	ZT_CLOSE int fd4 = bed_socket_as(&s, AF_INET, SOCK_DGRAM, 0), fd6 = bed_socket_as(&s, AF_INET6, SOCK_DGRAM, 0);
	ZT_CLOSE int other = bed_socket_as(&s, AF_INET, SOCK_DGRAM, 0);
	struct bed_target newest;
	bool ok, fresh, never;
	unsigned n;

	(void)bed_target("10.99.0.2", 7351, &newest); /* a constant */
	if (!c->cgroup_wide) {
		cell(b, c, "35", "130,000 flows of an allowed user", true, "see row 34");
		return;
	}
	(void)bed_act_as(&s); /* no groups: cannot fail */
	ok = bind(fd4, (struct sockaddr *)&from, sizeof(struct sockaddr_in)) == 0 &&
	     bind(other, (struct sockaddr *)&beside, sizeof(struct sockaddr_in)) == 0 && fill_flows(fd4, fd6);
	ok = ok && sendto(fd4, "x", 1, 0, &newest.a.sa, newest.len) == 1;
	bed_act_root();
	n = remembered();
	fresh = answers(b, fd4, 7351, 7350);
	never = answers(b, other, 7351, 7352);
	printf("# %s: %u flows are remembered\n", c->label, n);
	cell(b, c, "35", "130,000 flows of an allowed user",
	     ok && n > 30000 && n <= 65536 && fresh && !never && as_it_was(b),
	     "bounded: the newest can be answered, nothing else comes in");
	bed_forget_flows(b);
}

/* ---- row 34: connection tracking and floods ---- */
static unsigned long number_in(const char *path)
{
	ZT_FREE char *text = NULL;
	size_t len;

	return zt_file_read(path, 64, &text, &len) == 0 ? strtoul(text, NULL, 10) : 0;
}

static unsigned long tracked(void)
{
	return number_in("/proc/sys/net/netfilter/nf_conntrack_count");
}

/* Fills the table of this namespace up to the kernel's limit with flows of nobody; how many fitted. */
static unsigned long fill(bool assured, unsigned long max)
{
	struct nfct_handle *h = nfct_open(CONNTRACK, 0);
	unsigned long n = 0;
	int r = 0;

	for (unsigned long i = 0; h && !r && i < max + 1000; i++) {
		struct nf_conntrack *ct = nfct_new();

		if (!ct)
			break;
		nfct_set_attr_u8(ct, ATTR_L3PROTO, AF_INET);
		nfct_set_attr_u32(ct, ATTR_IPV4_SRC,
				  htonl(0xc6120000u + (uint32_t)(i >> 15))); /* 198.18.0.0/15: made for such tests */
		nfct_set_attr_u32(ct, ATTR_IPV4_DST, htonl(0xc6130001u));
		nfct_set_attr_u8(ct, ATTR_L4PROTO, IPPROTO_UDP);
		nfct_set_attr_u16(ct, ATTR_PORT_SRC, htons((uint16_t)(1 + (i & 0x7fff))));
		nfct_set_attr_u16(ct, ATTR_PORT_DST, htons(9));
		nfct_setobjopt(ct, NFCT_SOPT_SETUP_REPLY);
		nfct_set_attr_u32(ct, ATTR_TIMEOUT, 300);
		nfct_set_attr_u32(ct, ATTR_STATUS, IPS_CONFIRMED | (assured ? IPS_SEEN_REPLY | IPS_ASSURED : 0));
		r = nfct_query(h, NFCT_Q_CREATE, ct);
		n += r >= 0;
		nfct_destroy(ct);
	}
	if (h)
		(void)nfct_close(h); /* every entry was acknowledged */
	return n;
}

struct session {
	int server, client, conn;
};

static int peer_connects(struct bed *b)
{
	struct timeval wait = {.tv_usec = 700000};
	struct bed_target to;
	int fd = -1, r;

	(void)bed_target("10.99.0.1", 22, &to); /* a constant */
	if (bed_enter(b, true) == 0)
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	r = connect(fd, &to.a.sa, to.len);
	if (bed_enter(b, false) < 0 || r < 0)
		zt_closep(&fd);
	return fd;
}

/* A listener on the SSH port and a session of the peer's, which is how the administrator comes. */
static bool session_open(struct bed *b, struct session *s)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(22)};
	int one = 1;

	s->client = s->conn = -1;
	s->server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)setsockopt(s->server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (s->server < 0 || bind(s->server, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(s->server, 64) < 0)
		return false;
	s->client = peer_connects(b);
	s->conn = s->client < 0 ? -1 : accept4(s->server, NULL, NULL, SOCK_CLOEXEC);
	return s->conn >= 0;
}

static void session_close(struct session *s)
{
	zt_closep(&s->client);
	zt_closep(&s->conn);
	zt_closep(&s->server);
}

static bool session_lives(const struct session *s)
{
	struct pollfd p = {.fd = s->conn, .events = POLLIN};
	char x = 0;

	return send(s->client, "q", 1, MSG_NOSIGNAL) == 1 && poll(&p, 1, 1000) == 1 && recv(s->conn, &x, 1, 0) == 1 &&
	       x == 'q' && send(s->conn, "a", 1, MSG_NOSIGNAL) == 1 && recv(s->client, &x, 1, 0) == 1 && x == 'a';
}

static bool new_session(struct bed *b)
{
	ZT_CLOSE int fd = peer_connects(b);

	return fd >= 0;
}

/* n packets of the peer, each a flow of its own. */
static bool spray(struct bed *b, uint8_t proto, uint16_t port, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char src[32];
		struct bed_craft k = {.src = src,
				      .dst = "10.99.0.1",
				      .proto = proto,
				      .sport = (uint16_t)(1024 + i % 60000),
				      .port = port,
				      .id = i};
		struct bed_packets p;

		(void)snprintf(src, sizeof(src), "10.99.0.%u", 128 + i % 120);
		if (bed_craft(&k, &p) < 0 || bed_frames(b, true, &p) < 0)
			return false;
	}
	return true;
}

static bool goes_on(struct bed *b, const struct session *s)
{
	return session_lives(s) && new_session(b) && as_it_was(b);
}

static void floods(struct bed *b, const struct bed_column *c, const struct session *s)
{
	unsigned long before = tracked();
	bool ok = spray(b, 17, 9, 10000) && tracked() < before + 100;

	cell(b, c, "34", "10,000 UDP flows at closed ports", ok && goes_on(b, s),
	     "none is tracked; sessions, new and old, go on");
	ok = spray(b, 6, 9, 10000) && tracked() < before + 100;
	cell(b, c, "34", "10,000 TCP flows at closed ports, block: reject", ok && goes_on(b, s),
	     "none is tracked; sessions, new and old, go on");
	ok = zt(c, "apply --force drop.yaml") == 0;
	bed_forget_flows(b);
	ok = ok && session_lives(s) && spray(b, 6, 9, 10000) && tracked() < 100;
	cell(b, c, "34", "10,000 TCP flows at closed ports, block: drop", ok && goes_on(b, s),
	     "none is tracked; sessions, new and old, go on");
	ok = zt(c, "apply --force one.yaml") == 0 && spray(b, 6, 22, 10000);
	cell(b, c, "34", "SYN flood of 10,000 at the SSH port", ok && goes_on(b, s), "sessions, new and old, go on");
}

static void table_full(struct bed *b, const struct bed_column *c, const struct session *s, unsigned long max)
{
	bool ok, lives, fresh, allowed, denied;
	unsigned long n;

	bed_forget_flows(b);
	ok = session_lives(s); /* picked up again, in the right direction: SSH is let in */
	n = fill(false, max);
	ok = ok && n > max / 2 && tracked() >= max - max / 50;
	lives = session_lives(s);
	fresh = new_session(b);
	denied = passes(b, BED_DENIED);
	cell(b, c, "34", "table full of flows without an answer", ok && lives && fresh && !denied,
	     "they are evicted; sessions, new and old, go on");
	bed_forget_flows(b);
	ok = session_lives(s);
	n = fill(true, max);
	ok = ok && n > max / 2;
	lives = session_lives(s);
	fresh = new_session(b);
	allowed = passes(b, BED_ALLOWED);
	denied = passes(b, BED_DENIED);
	cell(b, c, "34", "table full of answered flows: sessions that exist", ok && lives, "go on");
	cell(b, c, "34", "table full of answered flows: new flows", ok && !fresh && !allowed && !denied,
	     "dropped: closed");
	bed_forget_flows(b);
	cell(b, c, "34", "table empty again", as_it_was(b) && new_session(b), "as before");
}

/* An engine that does without connection tracking has no such table; what it remembers of flows is row 35. */
static void table_unused(struct bed *b, const struct bed_column *c, const struct session *s)
{
	static const char *const rows[] = {"table full of flows without an answer",
					   "table full of answered flows: sessions that exist",
					   "table full of answered flows: new flows", "table empty again"};
	bool ok = goes_on(b, s) && tracked() == 0;

	for (size_t i = 0; i < ZT_ARRAY_SIZE(rows); i++)
		cell(b, c, "34", rows[i], ok, "not used: nothing is tracked");
}

static void exhaustion(struct bed *b, const struct bed_column *c)
{
	unsigned long max = number_in("/proc/sys/net/netfilter/nf_conntrack_max");
	struct session s;

	bed_forget_flows(b);
	/* Answers to forged sources leave at once: one that waits for a neighbour would hold its flow in the table. */
	(void)bed_sh("ip route replace 10.99.0.128/25 via 10.99.0.2");
	if (!session_open(b, &s)) {
		bed_ok(b, false, "%s: row 34: no session can be opened", c->label);
	} else {
		floods(b, c, &s);
		if (c->cgroup_wide)
			table_unused(b, c, &s);
		else if (max && max <= 600000)
			table_full(b, c, &s, max);
		else
			bed_skip(b, "row 34, table full",
				 "this machine's connection tracking table is too large to be filled in a test");
	}
	bed_forget_flows(b);
	session_close(&s);
}

/* ---- row 37: hostile text in the log ---- */
/* A denied user's program with a name that wants to be more than text sends until it is killed. */
static pid_t hostile_program(void)
{
	pid_t pid;

	(void)fflush(stdout);
	pid = fork();
	if (!pid) {
		struct bed_target to;
		int fd = -1;

		if (setgroups(0, NULL) == 0 && setresgid(BED_DENIED, BED_DENIED, BED_DENIED) == 0 &&
		    setresuid(BED_DENIED, BED_DENIED, BED_DENIED) == 0)
			fd = socket(AF_INET, SOCK_DGRAM, 0);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of user takes it back */
		(void)prctl(PR_SET_NAME, "\x1b[31m\r\"}\t{\xff\xc3|%s");
		(void)bed_target("10.99.0.2", 9, &to); /* a constant */
		for (int i = 0; i < 600; i++) {
			(void)sendto(fd, "x", 1, 0, &to.a.sa, to.len);
			(void)poll(NULL, 0, 25);
		}
		_exit(0);
	}
	return pid;
}

/* Text for a terminal: printable, and UTF-8. */
static bool harmless(const char *text)
{
	ZT_CLEANUP(zt_freep) char *copy = zt_strdup(text);
	json_t *j;
	bool ok = copy && *copy;

	for (const char *p = text; ok && *p; p++)
		ok = *p == '\n' || ((unsigned char)*p >= 0x20 && *p != 0x7f);
	j = ok ? json_string(text) : NULL; /* which checks UTF-8 */
	ok = ok && j;
	json_decref(j);
	return ok;
}

static bool all_json(char *text, bool *ret_program)
{
	unsigned n = 0;

	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), n++) {
		json_t *j = json_loads(line, 0, NULL);
		const json_t *sender = json_object_get(j, "sender");
		const char *name = json_string_value(json_object_get(sender ? sender : j, sender ? "name" : "program"));

		*ret_program = *ret_program || (name && *name);
		if (!j)
			return false;
		json_decref(j);
	}
	return n > 0;
}

static char *blocked(const struct bed_column *c, const char *options)
{
	ZT_FREE char *line = zt_asprintf("blocked --follow %s 2>/dev/null | head -n 3 >blocked.out; true", options);
	ZT_FREE char *path = zt_asprintf("%s/blocked.out", dir), *text = NULL;
	size_t len;

	if (!line || !path || zt(c, line) || zt_file_read(path, 1 << 20, &text, &len) < 0)
		return NULL;
	return strlen(text) == len ? ZT_TAKE(text) : NULL;
}

static void hostile_text(struct bed *b, const struct bed_column *c)
{
	pid_t pid = hostile_program();
	ZT_FREE char *plain = blocked(c, ""), *lines = blocked(c, "-o json");
	bool named = false;

	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	cell(b, c, "37", "program name of control bytes in blocked",
	     plain && strstr(plain, "10.99.0.2") && harmless(plain), "escaped");
	cell(b, c, "37", "the same in blocked -o json", lines && harmless(lines) && all_json(lines, &named) && named,
	     "valid, the program is named");
}

/* ---- row 36: many denials, to hide one ---- */
enum { HIDING = 20000, HIDDEN = 2667 };

static bool counted(const struct bed_column *c, struct zt_counters *ret)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;

	return c->engine->raise("default", &rs, NULL) == 0 && c->engine->counters(rs, ret) == 0;
}

static uint64_t more(const struct zt_count *after, const struct zt_count *before)
{
	return after->packets - before->packets;
}

static bool hide(uint32_t uid, unsigned n)
{
	struct bed_send s = {.uid = uid, .gid = uid};
	ZT_CLOSE int fd = bed_socket_as(&s, AF_INET, SOCK_DGRAM, 0);
	struct bed_target to;

	(void)bed_target("10.99.0.2", 7777, &to); /* a constant */
	(void)bed_act_as(&s);			  /* no groups: cannot fail */
	for (unsigned i = 0; i < n; i++)
		(void)!sendto(fd, "x", 1, MSG_DONTWAIT, &to.a.sa, to.len); /* it is denied */
	bed_act_root();
	return fd >= 0;
}

static void hidden(struct bed *b, const struct bed_column *c)
{
	struct zt_counters at[3] = {0};
	uint64_t denied, told, kept;
	bool ok = zt(c, "apply --force drop.yaml") == 0;

	(void)usleep(1200000); /* longer than the limit's second, in which others were told */
	ok = ok && counted(c, &at[0]) && hide(BED_DENIED, HIDING) && hide(HIDDEN, 1) && counted(c, &at[1]);
	(void)usleep(1200000);
	ok = ok && hide(HIDDEN, 1) && counted(c, &at[2]);
	denied = more(&at[1].dropped[ZT_DIR_EGRESS], &at[0].dropped[ZT_DIR_EGRESS]);
	told = more(&at[1].logged, &at[0].logged);
	kept = more(&at[1].suppressed, &at[0].suppressed);
	bed_ok(b, ok && denied >= HIDING + 1, "%s: %llu were denied, %llu told, %llu kept back", c->label,
	       (unsigned long long)denied, (unsigned long long)told, (unsigned long long)kept);
	cell(b, c, "36", "20,000 denials of one user to hide one of another",
	     ok && denied == told + kept && told > 0 && kept > 0,
	     "bounded by the limit of the log: denied = told + counted as kept back, exactly");
	cell(b, c, "36", "another one, a second later", ok && more(&at[2].logged, &at[1].logged) == 1, "told");
	for (int i = 0; i < 3; i++)
		zt_counters_done(&at[i]);
	(void)zt(c, "apply --force one.yaml");
}

static void run_column(struct bed *b, const struct bed_column *c)
{
	(void)bed_sh("rm -rf %s/state", dir);
	disk(b, c);
	outside(b, c);
	damaged(b, c);
	many_flows(b, c);
	hostile_text(b, c);
	hidden(b, c);
	exhaustion(b, c);
	bed_ok(b, zt(c, "flush") == 0 && passes(b, BED_DENIED), "%s: flush opens what was closed", c->label);
}

/* A small disk of our own, and the program beside this one. */
static bool prepare(void)
{
	const char *named = getenv("ZT_SEGMENT");
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 32);
	char *slash;

	(void)snprintf(dir, sizeof(dir), "/tmp/ztclosed-XXXXXX");
	if (n < 0 || !mkdtemp(dir) || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", dir, "tmpfs", 0, "size=2m,mode=0755") < 0)
		return false;
	program[n] = '\0';
	for (int i = 0; i < 3 && (slash = strrchr(program, '/')); i++)
		*slash = '\0';
	strcat(program, "/zt-segment");
	if (named)
		(void)snprintf(program, sizeof(program), "%s", named);
	return write_policy("one.yaml", "2001", "reject") == 0 &&
	       write_policy("two.yaml", "2001, 2666", "reject") == 0 && write_policy("drop.yaml", "2001", "drop") == 0;
}

static void test(struct bed *b)
{
	(void)snprintf(group, sizeof(group), "%s", b->top);
	if (!prepare())
		bed_ok(b, false, "a disk of our own: %s", strerror(errno));
	else
		bed_each_column(b, run_column);
	(void)umount2(dir, MNT_DETACH);
	(void)rmdir(dir);
}

int main(void)
{
	return bed_main("ztclosed", test);
}
