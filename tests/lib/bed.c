/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bed.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/time.h"
#include "engine/bpf/load.h"
#include "identity/identity.h"

#define MAGIC "ztBed!"

/* ---- TAP ---- */
void bed_ok(struct bed *b, bool ok, const char *fmt, ...)
{
	va_list ap;

	b->planned++;
	b->failed += !ok;
	printf("%sok %u - ", ok ? "" : "not ", b->planned);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	(void)fflush(stdout);
}

void bed_skip(struct bed *b, const char *what, const char *why)
{
	b->planned++;
	b->skipped++;
	printf("ok %u - %s # SKIP %s\n", b->planned, what, why);
}

void bed_publish(const char *table, const char *row, const char *what, const char *to, const char *column,
		 const char *result)
{
	const char *path = getenv("ZT_COVERAGE");
	FILE *f = path ? fopen(path, "ae") : NULL;

	if (!f)
		return;
	fprintf(f, "%s|%s|%s|%s|%s|%s\n", table, row, what, to, column, result);
	(void)fclose(f); /* a lost line shows in the table */
}

int bed_main(const char *name, void (*test)(struct bed *b))
{
	struct bed b;
	int r = bed_open(&b, name);

	if (r == -EPERM) {
		printf("1..0 # SKIP root is needed\n");
		return 0;
	}
	if (r < 0)
		bed_ok(&b, false, "test bed: %s", strerror(-r));
	else
		test(&b);
	bed_close(&b);
	printf("1..%u\n", b.planned);
	return b.failed ? 1 : 0;
}

/* ---- namespaces ---- */
int bed_sh(const char *fmt, ...)
{
	ZT_FREE char *text = NULL;
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (r < 0)
		return -ENOMEM;
	const char *argv[] = {"sh", "-c", text, NULL};
	ZT_CLEANUP(zt_run_done) struct zt_run run = {.argv = argv};

	r = zt_run(&run);
	if (!r && run.status)
		fprintf(stderr, "# %s: %s%s", text, run.out, run.err);
	return r ? r : run.status;
}

int bed_enter(const struct bed *b, bool peer)
{
	return setns(peer ? b->ns_b : b->ns_a, CLONE_NEWNET) < 0 ? -errno : 0;
}

static int tap(const char *device)
{
	struct sockaddr_ll a = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(device)};
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL)), size = 64 << 20,
	    one = 1;

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	(void)setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
	return fd;
}

/* A raw socket gets a copy of what passed the input hook and is about to be delivered, whether or not somebody listens. */
static int open_raw_taps(struct bed *b)
{
	static const uint8_t v4[] = {6, 17, 1, 136, 253, 47, 50}, v6[] = {6, 17, 58, 136, 253, 47, 50};
	int size = 32 << 20;

	_Static_assert(ZT_ARRAY_SIZE(v4) + ZT_ARRAY_SIZE(v6) == BED_RAW_SOCKETS, "one socket a protocol and family");
	for (size_t i = 0; i < BED_RAW_SOCKETS; i++) {
		bool six = i >= ZT_ARRAY_SIZE(v4);
		int fd = socket(six ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
				six ? v6[i - ZT_ARRAY_SIZE(v4)] : v4[i]);

		if (fd < 0)
			return -errno;
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
		b->tap_a[i] = fd;
	}
	return 0;
}

static int open_frames(struct bed *b, bool peer)
{
	b->device[peer] = (int)if_nametoindex(peer ? "vb" : "va");
	b->frames[peer] = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return b->frames[peer] < 0 ? -errno : 0;
}

static int open_namespaces(struct bed *b)
{
	int r;

	if (unshare(CLONE_NEWNET) < 0 || (b->ns_b = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)) < 0)
		return -errno;
	if (unshare(CLONE_NEWNET) < 0 || (b->ns_a = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)) < 0)
		return -errno;
	if (bed_sh("ip link set lo up; ip link add va address 02:00:00:00:00:01 type veth peer name vb address 02:00:00:00:00:02; ip link set vb netns /proc/%d/fd/%d; ip addr add "
		   "10.99.0.1/24 dev va; ip addr add fd99::1/64 dev va nodad; ip link set va up; "
		   "sysctl -qw net.ipv4.ping_group_range='0 2147483647' net.ipv4.tcp_fastopen=3 net.ipv6.conf.all.accept_dad=0 "
		   "net.ipv4.icmp_ratelimit=0 net.ipv4.conf.all.accept_source_route=1 net.ipv4.conf.va.accept_source_route=1",
		   (int)getpid(), b->ns_b) ||
	    bed_enter(b, true) < 0)
		return -EIO;
	if (bed_sh("ip link set lo up; ip addr add 10.99.0.2/24 dev vb; ip addr add fd99::2/64 dev vb nodad; ip link set vb up"))
		return -EIO;
	b->tap_b = tap("vb");
	r = open_frames(b, true);
	r = r ? r : bed_enter(b, false);
	r = r ? r : open_frames(b, false);
	/* Neighbours are known: a packet is not held back for them. */
	if (!r &&
	    (bed_sh("ping -c1 -W2 10.99.0.2 >/dev/null; ping -6 -c1 -W2 fd99::2 >/dev/null; "
		    "ip neigh change 10.99.0.2 dev va nud permanent; ip neigh change fd99::2 dev va nud permanent") ||
	     bed_enter(b, true) < 0 ||
	     bed_sh("ip neigh change 10.99.0.1 dev vb nud permanent; ip neigh change fd99::1 dev vb nud permanent")))
		return -EIO;
	return r ? r : bed_enter(b, false);
}

/* ---- cgroups ---- */
static int join(const char *procs)
{
	ZT_CLOSE int fd = open(procs, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -errno : zt_write_all(fd, "0", 1);
}

static int cgroup_file(const char *cgroup, const char *file, char buf[static 256])
{
	ZT_FREE char *mount = NULL;
	int r = zt_cgroup_mount(&mount);

	if (!r)
		(void)snprintf(buf, 256, "%s/%s%s%s", mount, cgroup, *cgroup ? "/" : "", file);
	return r;
}

/* Where the process is now, to go back to. */
static int find_home(struct bed *b)
{
	ZT_FREE char *text = NULL;
	size_t len;
	char *line;
	int r = zt_file_read("/proc/self/cgroup", 1 << 16, &text, &len);

	if (r < 0)
		return r;
	line = !strncmp(text, "0::/", 4) ? text : strstr(text, "\n0::/");
	if (!line)
		return -ENOENT;
	line = strchr(line, '/') + 1;
	line[strcspn(line, "\n")] = '\0';
	return cgroup_file(line, "cgroup.procs", b->home);
}

static int make_cgroup(struct bed *b, enum bed_group g, const char *path)
{
	char dir[256];
	int r;

	(void)snprintf(b->cgroup[g], sizeof(b->cgroup[g]), "%s", path);
	r = cgroup_file(path, "", dir);
	if (r < 0 || (mkdir(dir, 0755) < 0 && errno != EEXIST))
		return r ? r : -errno;
	return zt_cgroup_lookup(NULL, path, &b->cgroup_id[g], &b->cgroup_level[g]);
}

static void open_cgroups(struct bed *b, const char *name)
{
	static const char *const below[] = {"run", "svc", "svc/inner"};
	char path[160], top[256];
	int r = find_home(b);

	(void)snprintf(b->top, sizeof(b->top), "%s-%d", name, (int)getpid());
	r = r ? r : cgroup_file(b->top, "", top);
	if (!r && mkdir(top, 0755) < 0)
		r = -errno;
	for (int g = 0; !r && g < BED_N_GROUPS; g++) {
		(void)snprintf(path, sizeof(path), "%s-%d/%s", name, (int)getpid(), below[g]);
		r = make_cgroup(b, (enum bed_group)g, path);
	}
	if (!r)
		r = cgroup_file(b->cgroup[BED_RUN], "cgroup.procs", top);
	b->has_cgroup = !r && join(top) == 0;
}

static void close_cgroups(struct bed *b)
{
	char dir[256];

	if (!b->has_cgroup || join(b->home) < 0)
		return;
	for (int g = BED_N_GROUPS - 1; g >= 0; g--)
		if (cgroup_file(b->cgroup[g], "", dir) == 0)
			(void)rmdir(dir); /* an orphan stays visible under the name of the test */
	if (cgroup_file(b->top, "", dir) == 0)
		(void)rmdir(dir);
}

static bool open_bpffs(void)
{
	return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("bpf", "/sys/fs/bpf", "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") == 0;
}

int bed_open(struct bed *b, const char *name)
{
	int r;

	*b = (struct bed){.ns_a = -1, .ns_b = -1, .tap_b = -1, .frames = {-1, -1}};
	for (size_t i = 0; i < BED_RAW_SOCKETS; i++)
		b->tap_a[i] = -1;
	if (geteuid())
		return -EPERM;
	r = open_namespaces(b);
	if (r < 0 || b->tap_b < 0)
		return r ? r : -EIO;
	open_cgroups(b, name);
	b->has_bpffs = open_bpffs();
	return open_raw_taps(b); /* in the cgroup: its hooks see what is delivered there */
}

void bed_close(struct bed *b)
{
	close_cgroups(b);
	zt_closep(&b->tap_b);
	zt_closep(&b->frames[0]);
	zt_closep(&b->frames[1]);
	for (size_t i = 0; i < BED_RAW_SOCKETS; i++)
		zt_closep(&b->tap_a[i]);
	zt_closep(&b->ns_a);
	zt_closep(&b->ns_b);
}

/* ---- engines ---- */
static const struct bed_column columns[] = {
	{.label = "nft", .engine = &zt_engine_nft},
	{.label = "bpf", .engine = &zt_engine_bpf, .cgroup_wide = true, .by_sender = true},
	{.label = "iptables-nft", .engine = &zt_engine_iptables, .variant = "nft"},
	{.label = "iptables-legacy", .engine = &zt_engine_iptables, .variant = "legacy"},
};

static bool wanted(const struct bed_column *c)
{
	const char *only = getenv("ZT_COLUMN");

	return !only || !strcmp(only, c->label);
}

static bool names(const struct zt_caps *caps, const char *word)
{
	for (size_t i = 0; i < caps->n_gaps; i++)
		if (strcasestr(caps->gaps[i].what, word))
			return true;
	return false;
}

static void run_column(struct bed *b, struct bed_column c, void (*test)(struct bed *b, const struct bed_column *c))
{
	ZT_CLEANUP(zt_caps_done) struct zt_caps caps = {0};

	if (c.variant)
		(void)setenv("ZT_IPTABLES_VARIANT", c.variant, 1);
	if (c.engine->probe("default", &caps) < 0 || !caps.usable) {
		bed_skip(b, c.label, caps.why_not ? caps.why_not : "the engine cannot be used here");
	} else if (c.cgroup_wide && !(b->has_cgroup && b->has_bpffs)) {
		bed_skip(b, c.label, "no cgroup2 tree or no bpf file system can be made here");
	} else {
		c.lsm = c.cgroup_wide && !names(&caps, "LSM layer");
		c.label = c.lsm ? "bpf+LSM" : c.label;
		test(b, &c);
	}
	if (!getenv("ZT_STAY")) /* loading is slow where a processor is emulated */
		(void)c.engine->flush("default", NULL);
}

void bed_each_column(struct bed *b, void (*test)(struct bed *b, const struct bed_column *c))
{
	zt_engine_cgroup(b->top);
	for (size_t i = 0; i < ZT_ARRAY_SIZE(columns); i++)
		if (wanted(&columns[i]))
			run_column(b, columns[i], test);
}

bool bed_says_not_covered(const struct zt_engine *e, const char *word)
{
	ZT_CLEANUP(zt_caps_done) struct zt_caps caps = {0};

	return e->probe("default", &caps) == 0 && names(&caps, word);
}

/* ---- marks and targets ---- */
int bed_target(const char *dst, uint16_t port, struct bed_target *ret)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&ret->a;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&ret->a;

	*ret = (struct bed_target){0};
	if (inet_pton(AF_INET, dst, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		ret->len = sizeof(*v4);
	} else if (inet_pton(AF_INET6, dst, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		ret->len = sizeof(*v6);
	} else {
		return -EINVAL;
	}
	ret->family = ret->a.sa.sa_family;
	bed_target_port(ret, port);
	return 0;
}

void bed_target_port(struct bed_target *t, uint16_t port)
{
	((struct sockaddr_in *)&t->a)->sin_port = htons(port); /* at the same place in both families */
}

struct bed_mark bed_mark(uint32_t id)
{
	struct bed_mark m = {.id = id};

	memcpy(m.magic, MAGIC, sizeof(m.magic));
	return m;
}

/* ---- sending ---- */
int bed_group_folder(const struct bed *b, enum bed_group g, char ret[static 256])
{
	return cgroup_file(b->cgroup[g], "", ret);
}

int bed_join(const struct bed *b, enum bed_group g)
{
	char procs[256];
	int r = cgroup_file(b->cgroup[g], "cgroup.procs", procs);

	return r ? r : join(procs);
}

static int send_in(const struct bed *b, const struct bed_send *s, uint32_t id)
{
	int status = 0;
	pid_t pid;

	(void)fflush(stdout);
	pid = fork();
	if (!pid)
		_exit(bed_join(b, s->group) < 0 ? 100 : -bed_send_now(s, id));
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

int bed_send(struct bed *b, const struct bed_send *s, uint32_t id)
{
	int r, back;

	if (s->group != BED_RUN)
		return send_in(b, s, id);
	if (!s->from_peer)
		return bed_send_now(s, id);
	r = bed_enter(b, true);
	r = r ? r : bed_send_now(s, id);
	back = bed_enter(b, false);
	return r ? r : back;
}

/* ---- arriving ---- */
/* Whatever begins an association has the number in its source port: a SYN without ACK; an INIT of SCTP; a request of DCCP. */
static void note_port(uint8_t proto, const uint8_t *p, size_t len, bool *seen, uint32_t n)
{
	uint32_t id;

	if (len < 14 || (proto == 6 && (!(p[13] & 2) || p[13] & 0x10)) || (proto == 132 && p[12] != 1) ||
	    (proto == 33 && p[8] >> 1 & 15))
		return;
	id = (uint32_t)(p[0] << 8 | p[1]) - 10000;
	if (id < n)
		seen[id] = true;
}

/* p: from the transport header on, or from an extension header. */
static void note(uint8_t proto, const uint8_t *p, size_t len, bool *seen, uint32_t n)
{
	/* An answer (echo reply, port unreachable) carries the mark back: only what goes towards a destination counts. */
	if (len && ((proto == 1 && p[0] != 8) || (proto == 58 && p[0] != 128)))
		return;
	if (proto == 6 || proto == 132 || proto == 33)
		note_port(proto, p, len, seen, n);
	for (size_t at = 0; at + sizeof(struct bed_mark) <= len; at++) {
		struct bed_mark m;

		memcpy(&m, p + at, sizeof(m));
		if (!memcmp(m.magic, MAGIC, sizeof(m.magic)) && m.id < n) {
			seen[m.id] = true;
			return;
		}
	}
}

static void note_packet(const uint8_t *p, size_t len, bool *seen, uint32_t n)
{
	bool v6 = len > 40 && p[0] >> 4 == 6;
	size_t head = v6 ? 40 : (size_t)(p[0] & 15) * 4;

	if (len > head && (v6 || len > 20))
		note(v6 ? p[6] : p[9], p + head, len - head, seen, n);
}

static void drain(int fd, uint8_t proto6, bool *seen, uint32_t n)
{
	static uint8_t packet[70000];
	ssize_t len;

	while ((len = recv(fd, packet, sizeof(packet), MSG_DONTWAIT)) > 0)
		if (proto6)
			note(proto6, packet, (size_t)len, seen, n);
		else
			note_packet(packet, (size_t)len, seen, n);
}

/* A raw IPv6 socket hands out what follows the headers of IP. */
static uint8_t headless(int fd)
{
	int domain = 0, proto = 0;
	socklen_t len = sizeof(domain);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 || domain != AF_INET6)
		return 0;
	return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &proto, &len) < 0 ? 0 : (uint8_t)proto;
}

static void collect(struct bed *b, unsigned msec, bool *seen, uint32_t n, const bool *until)
{
	zt_usec end = zt_now_monotonic() + msec * (zt_usec)1000;
	struct pollfd fds[1 + BED_RAW_SOCKETS] = {{.fd = b->tap_b, .events = POLLIN}};
	uint8_t proto6[1 + BED_RAW_SOCKETS] = {0};

	for (size_t i = 0; i < BED_RAW_SOCKETS; i++) {
		fds[i + 1] = (struct pollfd){.fd = b->tap_a[i], .events = POLLIN};
		proto6[i + 1] = headless(b->tap_a[i]);
	}
	for (;;) {
		zt_usec now = zt_now_monotonic();
		int ready = poll(fds, ZT_ARRAY_SIZE(fds), now >= end ? 0 : (int)((end - now) / 1000 + 1));

		for (size_t i = 0; ready > 0 && i < ZT_ARRAY_SIZE(fds); i++)
			drain(fds[i].fd, proto6[i], seen, n);
		if ((!ready && zt_now_monotonic() >= end) || (until && *until))
			return;
	}
}

void bed_collect(struct bed *b, unsigned msec, bool *seen, uint32_t n)
{
	collect(b, msec, seen, n, NULL);
}

void bed_forget(struct bed *b)
{
	bool none;

	collect(b, 0, &none, 0, NULL);
}

int bed_arrives(struct bed *b, const struct bed_send *s, bool *ret)
{
	static uint32_t next;
	bool seen[4096] = {false};
	uint32_t id = next++ % 4096;
	int r;

	bed_forget(b);
	r = bed_send(b, s, id);
	if (r < 0)
		return r;
	collect(b, bed_keep_sockets ? 400 : 40, seen, 4096, &seen[id]); /* a verdict of user space takes its time */
	*ret = seen[id];
	return 0;
}

/* What the bpf engine keeps of flows. */
static void forget_remembered(void)
{
	ZT_CLEANUP(bpf_live_done) struct bpf_live l;
	struct zt_bpf_flow_key k;

	if (bpf_live_open("default", &l) == 0)
		while (bpf_map_get_next_key(l.map[MAP_FLOWS], NULL, &k) == 0 &&
		       bpf_map_delete_elem(l.map[MAP_FLOWS], &k) == 0)
			;
}

void bed_forget_flows(struct bed *b)
{
	(void)b;
	forget_remembered();
	(void)bed_sh("conntrack -F 2>/dev/null"); /* where the program is missing, what depends on it fails by itself */
}

/* ---- rulesets ---- */
int bed_ruleset(struct zt_ruleset **ret)
{
	static uint64_t generation;
	int r = zt_ruleset_new(ret);

	if (!r)
		(*ret)->generation = ++generation;
	return r;
}

struct zt_rule *bed_rule(struct zt_ruleset *rs, const char *id, enum zt_verdict v)
{
	struct zt_rule *r = zt_ruleset_add(rs);

	if (!r || !(r->id = zt_strdup(id)))
		return NULL;
	r->verdict = v;
	r->match.families = ZT_FAMILY_4 | ZT_FAMILY_6;
	return r;
}

int bed_apply(struct bed *b, const struct zt_engine *e, struct zt_ruleset *rs)
{
	struct zt_image *img = NULL;
	struct zt_diags d = {0};
	bool changed;
	int r = zt_ruleset_rehash(rs);

	(void)b;
	r = r ? r : e->lower(rs, &img, &d);
	r = r ? r : e->commit(img, &changed, &d);
	if (r < 0 && r != -ENOTSUP)
		zt_diags_print(&d, stderr, false);
	if (img)
		e->image_free(img);
	zt_diags_done(&d);
	return r;
}

int bed_policy(struct bed *b, const struct zt_engine *e, bool open, bool preserve)
{
	ZT_CLEANUP(zt_ruleset_freep) struct zt_ruleset *rs = NULL;
	struct zt_rule *rule;
	int r = bed_ruleset(&rs);

	if (r < 0)
		return r;
	rs->settings.preserve_established = preserve;
	rule = open ? bed_rule(rs, "allowed", ZT_ALLOW) : NULL;
	if (open && (!rule || zt_u32_ranges_add(&rule->match.uid, BED_ALLOWED, BED_ALLOWED) < 0))
		return -ENOMEM;
	return bed_apply(b, e, rs);
}
