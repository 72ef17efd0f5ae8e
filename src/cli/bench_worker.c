/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/bench.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/time.h"
#include "identity/identity.h"

#define SAMPLES 65536
#define CLIENT_ADDR "10.99.0.1"
#define SERVER_ADDR "10.99.0.2"

struct order { /* from the parent to the client */
	enum zt_bench_load load;
	unsigned msec;
};

/* Of the CPUs that may be used the first, or the last. Where a client and its server sit decides what a round trip costs, five times
 * over: left to the scheduler, which is slow to change its mind, that would be compared instead of rulesets. */
static void place(bool first, const cpu_set_t *usable)
{
	cpu_set_t one;
	int found = -1;

	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, usable) && (found < 0 || !first))
			found = i;
	if (found < 0)
		return;
	CPU_ZERO(&one);
	CPU_SET(found, &one);
	(void)sched_setaffinity(0, sizeof(one), &one); /* without it the numbers are noisier */
}

static cpu_set_t usable_cpus(void)
{
	cpu_set_t v;

	CPU_ZERO(&v);
	if (sched_getaffinity(0, sizeof(v), &v) < 0)
		CPU_ZERO(&v);
	return v;
}

static double now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* ---- server: accepts, echoes one byte at a time on 7001, swallows on 7002, ignores UDP ---- */
static int listen_on(unsigned port, int type)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_ANY)};
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || (type == SOCK_STREAM && listen(fd, 1024) < 0)) {
		int r = -errno;

		(void)close(fd);
		return r;
	}
	return fd;
}

static void serve_stream(struct pollfd *fds, size_t i, size_t *n, bool echo)
{
	static char buf[1 << 18];
	ssize_t got = recv(fds[i].fd, buf, echo ? 64 : sizeof(buf), MSG_DONTWAIT);

	if (got > 0 && echo)
		got = send(fds[i].fd, buf, (size_t)got, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (got == 0 || (got < 0 && errno != EAGAIN)) {
		(void)close(fds[i].fd);
		fds[i] = fds[--*n];
	}
}

static void server(int ready)
{
	struct pollfd fds[256] = {{.fd = listen_on(ZT_BENCH_PORT, SOCK_STREAM), .events = POLLIN},
				  {.fd = listen_on(ZT_BENCH_PORT + 1, SOCK_STREAM), .events = POLLIN},
				  {.fd = listen_on(ZT_BENCH_PORT, SOCK_DGRAM), .events = 0},
				  {.fd = ready, .events = POLLIN}};
	size_t n = 4;
	bool echo[256] = {0};
	cpu_set_t cpus = usable_cpus();
	char c = fds[0].fd >= 0 && fds[1].fd >= 0 && fds[2].fd >= 0;

	place(false, &cpus);
	if (zt_write_all(ready, &c, 1) < 0)
		_exit(1);
	for (;;) {
		if (poll(fds, n, -1) < 0 && errno != EINTR)
			_exit(1);
		/* The client is gone. Its death signal would not do: it has changed its user, and may not kill root's processes. */
		if (fds[3].revents)
			_exit(0);
		for (size_t i = n; i-- > 4;) {
			size_t before = n;

			if (!fds[i].revents)
				continue;
			serve_stream(fds, i, &n, echo[i]);
			if (n < before)
				echo[i] = echo[n];
		}
		for (size_t i = 0; i < 2; i++) {
			int fd = fds[i].revents ? accept4(fds[i].fd, NULL, NULL, SOCK_CLOEXEC) : -1;

			if (fd < 0 || n == ZT_ARRAY_SIZE(fds)) {
				zt_closep(&fd);
				continue;
			}
			echo[n] = i == 0;
			fds[n++] = (struct pollfd){.fd = fd, .events = POLLIN};
		}
	}
}

/* ---- client ---- */
struct client {
	struct sockaddr_in to, sink, closed;
	int echo_fd, sink_fd, udp_fd;
	double samples[SAMPLES];
	size_t n_samples;
};

static int connect_to(const struct sockaddr_in *a)
{
	struct linger reset = {.l_onoff = 1};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)); /* else ports run out in TIME_WAIT */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (const struct sockaddr *)a, sizeof(*a)) < 0) {
		int r = -errno;

		(void)close(fd);
		return r;
	}
	return fd;
}

static bool one_connect(struct client *c)
{
	int fd = connect_to(&c->to);
	bool ok = fd >= 0;

	zt_closep(&fd);
	return ok;
}

static bool one_denied(struct client *c)
{
	int fd = connect_to(&c->closed);
	bool refused = fd == -ECONNREFUSED;

	zt_closep(&fd);
	return refused;
}

static bool one_socket(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0;

	zt_closep(&fd);
	return ok;
}

static bool one_datagram(struct client *c)
{
	return sendto(c->udp_fd, "0123456789abcdef", 16, 0, (const struct sockaddr *)&c->to, sizeof(c->to)) == 16;
}

static bool one_request(struct client *c)
{
	char b;

	return send(c->echo_fd, "x", 1, MSG_NOSIGNAL) == 1 && recv(c->echo_fd, &b, 1, 0) == 1;
}

static bool one_write(struct client *c, uint64_t *bytes)
{
	static char block[1 << 16];
	ssize_t n = send(c->sink_fd, block, sizeof(block), MSG_NOSIGNAL);

	*bytes += n > 0 ? (uint64_t)n : 0;
	return n > 0;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static bool one(struct client *c, enum zt_bench_load load, uint64_t *bytes)
{
	switch (load) {
	case ZT_BENCH_CONNECT:
		return one_connect(c);
	case ZT_BENCH_UDP:
		return one_datagram(c);
	case ZT_BENCH_REQUEST:
		return one_request(c);
	case ZT_BENCH_STREAM:
		return one_write(c, bytes);
	case ZT_BENCH_DENIED:
		return one_denied(c);
	case ZT_BENCH_SOCKET:
		return one_socket();
	case ZT_BENCH_N_LOADS:
		break;
	}
	return false;
}

static void slice(struct client *c, const struct order *o, struct zt_bench_slice *ret)
{
	double start = now(), t = start, end = start + o->msec * 1e-3;
	uint64_t n = 0, bytes = 0;

	*ret = (struct zt_bench_slice){0};
	c->n_samples = 0;
	while (t < end) {
		double before = t;

		if (!one(c, o->load, &bytes)) {
			if (++ret->errors > 1000)
				break;
			t = now();
			continue;
		}
		n++;
		t = now();
		if (c->n_samples < SAMPLES)
			c->samples[c->n_samples++] = t - before;
	}
	ret->rate = (o->load == ZT_BENCH_STREAM ? (double)bytes : (double)n) / (t - start);
	if (!c->n_samples)
		return;
	qsort(c->samples, c->n_samples, sizeof(*c->samples), compare_doubles);
	ret->p50 = c->samples[c->n_samples / 2];
	ret->p99 = c->samples[c->n_samples * 99 / 100];
}

static int client_open(struct client *c, enum zt_bench_path path)
{
	const char *addr = path == ZT_BENCH_VETH ? SERVER_ADDR : "127.0.0.1";

	c->to = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(ZT_BENCH_PORT), .sin_addr.s_addr = inet_addr(addr)};
	c->sink = c->to;
	c->sink.sin_port = htons(ZT_BENCH_PORT + 1);
	c->closed = c->to;
	c->closed.sin_port = htons(ZT_BENCH_PORT + 2);
	c->udp_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	c->echo_fd = connect_to(&c->to);
	c->sink_fd = connect_to(&c->sink);
	return c->udp_fd < 0 ? -errno : c->echo_fd < 0 ? c->echo_fd : ZT_MIN(c->sink_fd, 0);
}

static int become(uint32_t uid)
{
	/* The socket's owner is what rules match: the process itself changes, for good. */
	return setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0 ? -errno : 0;
}

static void client(int fd, enum zt_bench_path path, uint32_t uid, int (*load)(void *), void *arg)
{
	struct client *c = zt_new(struct client, 1);
	int r = c ? 0 : -ENOMEM;
	struct order o;
	cpu_set_t cpus = usable_cpus();

	if (!r && load)
		r = load(arg);
	if (!r)
		r = become(uid);
	if (!r)
		r = client_open(c, path);
	if (zt_write_all(fd, &r, sizeof(r)) < 0 || r < 0)
		_exit(1);
	while (read(fd, &o, sizeof(o)) == sizeof(o)) {
		struct zt_bench_slice s;

		/* A request and its answer take turns: on the server's CPU. Everything else runs beside the server. */
		place(o.load != ZT_BENCH_REQUEST, &cpus);
		slice(c, &o, &s);
		if (zt_write_all(fd, &s, sizeof(s)) < 0)
			break;
	}
	_exit(0);
}

/* ---- namespaces ---- */
static int loopback_up(void)
{
	struct ifreq ifr = {.ifr_name = "lo"};
	ZT_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
		return -errno;
	ifr.ifr_flags |= IFF_UP;
	return ioctl(fd, SIOCSIFFLAGS, &ifr) < 0 ? -errno : 0;
}

static int ip_command(const char *const *argv)
{
	ZT_CLEANUP(zt_run_done) struct zt_run run = {.argv = argv};
	int r = zt_run(&run);

	return r < 0 ? r : run.status ? -EIO : 0;
}

static int link_peer(pid_t peer)
{
	char pid[16];
	const char *const make[] = {"ip",   "link", "add", "v0",    "type", "veth",
				    "peer", "name", "v1",  "netns", pid,    NULL};
	const char *const addr[] = {"ip", "addr", "add", CLIENT_ADDR "/24", "dev", "v0", NULL};
	const char *const up[] = {"ip", "link", "set", "v0", "up", NULL};
	int r;

	(void)snprintf(pid, sizeof(pid), "%d", (int)peer);
	r = ip_command(make);
	if (!r)
		r = ip_command(addr);
	return r ? r : ip_command(up);
}

static int raise_peer(void)
{
	static const char *const addr[] = {"ip", "addr", "add", SERVER_ADDR "/24", "dev", "v1", NULL};
	static const char *const up[] = {"ip", "link", "set", "v1", "up", NULL};
	int r = ip_command(addr);

	return r ? r : ip_command(up);
}

static void server_process(int fd, enum zt_bench_path path)
{
	char go;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (path == ZT_BENCH_VETH) {
		if (unshare(CLONE_NEWNET) < 0 || loopback_up() < 0 || zt_write_all(fd, "n", 1) < 0 ||
		    read(fd, &go, 1) != 1 || raise_peer() < 0)
			_exit(1);
	}
	server(fd);
}

static int start_server(enum zt_bench_path path, pid_t *ret_pid)
{
	int fds[2];
	char c = 0;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	pid = fork();
	if (!pid) {
		/* Nothing of the client's: the server ends when it sees the other end of its socket gone, and would itself hold it. */
		if (dup2(fds[1], 3) < 0)
			_exit(1);
		(void)close_range(4, ~0U, 0);
		server_process(3, path);
	}
	(void)close(fds[1]);
	*ret_pid = pid;
	if (path == ZT_BENCH_VETH &&
	    (read(fds[0], &c, 1) != 1 || link_peer(pid) < 0 || zt_write_all(fds[0], "g", 1) < 0))
		c = -1;
	if (c == -1 || read(fds[0], &c, 1) != 1)
		c = 0;
	if (!c)
		(void)close(
			fds[0]); /* else it stays open as long as this process lives: the server waits for its end */
	return c ? 0 : -EIO;
}

/* ---- a control group and a bpf file system ---- */
void zt_bench_group(int pid, char buf[static 32])
{
	(void)snprintf(buf, 32, "zt-bench-%d", pid);
}

static int group_file(int pid, const char *file, char buf[static 256])
{
	ZT_FREE char *mount = NULL;
	char name[32];
	int r = zt_cgroup_mount(&mount);

	zt_bench_group(pid, name);
	if (!r)
		(void)snprintf(buf, 256, "%.200s/%s%s", mount, name, file);
	return r;
}

/* Without either the bpf variants are not usable here, and the others are. */
static void own_surroundings(void)
{
	char path[256];

	if (group_file((int)getpid(), "", path) == 0 && mkdir(path, 0755) == 0 &&
	    group_file((int)getpid(), "/cgroup.procs", path) == 0) {
		ZT_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

		(void)(fd < 0 || zt_write_all(fd, "0", 1));
	}
	if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
		(void)mount("bpf", "/sys/fs/bpf", "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700");
}

/* The server ends a moment after its client. */
static void remove_group(int pid)
{
	char path[256];

	if (group_file(pid, "", path) < 0)
		return;
	for (int i = 0; i < 200 && rmdir(path) < 0 && errno == EBUSY; i++)
		(void)usleep(2000);
}

static void pair_process(int fd, enum zt_bench_path path, uint32_t uid, int (*load)(void *), void *arg)
{
	pid_t pid;
	int r;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Nothing of the other pairs: each end must see when the other one is gone. */
	if (fd != 3 && dup2(fd, 3) < 0)
		_exit(1);
	fd = 3;
	(void)close_range(4, ~0U, 0);
	/* Over a network device the server is another host, which no policy of this one is about. */
	if (path == ZT_BENCH_LOOPBACK)
		own_surroundings();
	r = unshare(CLONE_NEWNET) < 0 ? -errno : loopback_up();
	if (!r)
		r = start_server(path, &pid);
	if (path != ZT_BENCH_LOOPBACK)
		own_surroundings();
	if (r < 0) {
		(void)zt_write_all(fd, &r, sizeof(r)); /* the reader sees the end of the pipe otherwise */
		_exit(1);
	}
	client(fd, path, uid, load, arg);
}

int zt_bench_worker_start(struct zt_bench_worker *w, enum zt_bench_path path, uint32_t uid, int (*load)(void *),
			  void *arg)
{
	int fds[2], r = -EIO;

	*w = (struct zt_bench_worker){.fd = -1};
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	w->pid = fork();
	if (!w->pid) {
		(void)close(fds[0]);
		pair_process(fds[1], path, uid, load, arg);
	}
	(void)close(fds[1]);
	w->fd = fds[0];
	if (w->pid < 0 || read(w->fd, &r, sizeof(r)) != sizeof(r))
		r = -EIO;
	if (r < 0)
		zt_bench_worker_stop(w);
	return r;
}

int zt_bench_worker_slice(struct zt_bench_worker *w, enum zt_bench_load load, unsigned msec, struct zt_bench_slice *ret)
{
	struct order o = {.load = load, .msec = msec};
	int r = zt_write_all(w->fd, &o, sizeof(o));

	if (r < 0)
		return r;
	return read(w->fd, ret, sizeof(*ret)) == (ssize_t)sizeof(*ret) ? 0 : -EIO;
}

void zt_bench_worker_stop(struct zt_bench_worker *w)
{
	zt_closep(&w->fd);
	if (w->pid > 0) {
		(void)kill(w->pid, SIGKILL); /* its server dies with it */
		while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
			;
		remove_group(w->pid);
	}
	w->pid = 0;
}
