/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "cli/actor.h"

#define SOCKETS_MAX ((size_t)1 << 20)

struct table {
	const char *path;
	uint8_t family, proto;
};
static const struct table tables[] = {
	{"/proc/self/net/tcp", 4, IPPROTO_TCP},
	{"/proc/self/net/tcp6", 6, IPPROTO_TCP},
	{"/proc/self/net/udp", 4, IPPROTO_UDP},
	{"/proc/self/net/udp6", 6, IPPROTO_UDP},
};
enum { TCP_LISTENS = 10, UDP_UNCONNECTED = 7, UNIX_ACCEPTS = 1 << 16 };

/* Words of 32 bits in the host's byte order, as the kernel prints them; mapped addresses are IPv4. */
static bool take_addr(const char *hex, uint8_t family, struct zt_addr *ret)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	uint8_t bytes[16] = {0};

	for (size_t i = 0; i < (family == 4 ? 1u : 4u); i++) {
		uint32_t word;

		if (sscanf(hex + 8 * i, "%8x", &word) != 1)
			return false;
		memcpy(bytes + 4 * i, &word, 4);
	}
	*ret = (struct zt_addr){.family = family};
	if (family == 6 && !memcmp(bytes, mapped, sizeof(mapped))) {
		ret->family = 4;
		memcpy(ret->b, bytes + 12, 4);
	} else {
		memcpy(ret->b, bytes, sizeof(bytes));
	}
	return true;
}

static int add(struct zt_netsocks *l, char *line, const void *arg)
{
	const struct table *t = arg;
	struct zt_netsock s = {.proto = t->proto};
	char local[40], remote[40];
	unsigned port, peer_port, state;
	unsigned long long inode;

	if (sscanf(line, " %*u: %39[0-9A-Fa-f]:%4x %39[0-9A-Fa-f]:%4x %2x %*x:%*x %*x:%*x %*x %*u %*u %llu", local,
		   &port, remote, &peer_port, &state, &inode) != 6 ||
	    !inode || l->n == SOCKETS_MAX)
		return 0;
	if (strlen(local) != (t->family == 4 ? 8u : 32u) || strlen(remote) != strlen(local) ||
	    !take_addr(local, t->family, &s.local) || !take_addr(remote, t->family, &s.remote))
		return 0;
	s.inode = inode;
	s.port = (uint16_t)port;
	s.remote_port = (uint16_t)peer_port;
	s.listens = state == (s.proto == IPPROTO_TCP ? TCP_LISTENS : UDP_UNCONNECTED);
	if (zt_grow(l->v, l->cap, l->n) < 0)
		return -ENOMEM;
	l->v[l->n++] = s;
	return 0;
}

static int by_inode(const void *a, const void *b)
{
	const struct zt_netsock *x = a, *y = b;

	return (x->inode > y->inode) - (x->inode < y->inode);
}

static int read_lines(struct zt_netsocks *l, const char *path, int (*take)(struct zt_netsocks *, char *, const void *),
		      const void *arg)
{
	FILE *f = fopen(path, "re"); /* not there: a kernel without it */
	char line[512];
	int r = 0;

	while (f && !r && fgets(line, sizeof(line), f))
		r = take(l, line, arg);
	if (f)
		(void)fclose(f); /* only read */
	return r;
}

static int finish(struct zt_netsocks *l, int r, struct zt_netsocks *ret)
{
	if (r < 0) {
		zt_netsocks_done(l);
		return r;
	}
	if (l->n)
		qsort(l->v, l->n, sizeof(*l->v), by_inode);
	*ret = *l;
	return 0;
}

int zt_netsocks_read(struct zt_netsocks *ret)
{
	struct zt_netsocks l = {0};
	int r = 0;

	for (size_t i = 0; !r && i < ZT_ARRAY_SIZE(tables); i++)
		r = read_lines(&l, tables[i].path, add, &tables[i]);
	return finish(&l, r, ret);
}

/* "Num: RefCount Protocol Flags Type St Inode Path": an accepting stream, or any datagram socket. */
static int add_unix(struct zt_netsocks *l, char *line, const void *arg)
{
	const char *name = arg;
	unsigned long long inode;
	unsigned flags, type;
	int at = 0;

	line[strcspn(line, "\n")] = '\0';
	if (sscanf(line, "%*x: %*x %*x %x %x %*x %llu %n", &flags, &type, &inode, &at) != 3 || !at ||
	    strcmp(line + at, name) != 0 || !(flags & UNIX_ACCEPTS || type == SOCK_DGRAM))
		return 0;
	if (zt_grow(l->v, l->cap, l->n) < 0)
		return -ENOMEM;
	l->v[l->n++] = (struct zt_netsock){.inode = inode, .listens = true};
	return 0;
}

int zt_unixsocks_read(const char *name, struct zt_netsocks *ret)
{
	struct zt_netsocks l = {0};

	return finish(&l, read_lines(&l, "/proc/self/net/unix", add_unix, name), ret);
}

void zt_netsocks_done(struct zt_netsocks *l)
{
	free(l->v);
	*l = (struct zt_netsocks){0};
}

/* ---- who holds them ---- */
static int add_owner(struct zt_owners *l, int pid, const struct zt_netsock *s)
{
	for (size_t i = l->n; i-- && l->v[i].pid == pid;)
		if (l->v[i].socket == s)
			return 0; /* a second descriptor of it */
	if (zt_grow(l->v, l->cap, l->n) < 0)
		return -ENOMEM;
	l->v[l->n++] = (struct zt_owner){.pid = pid, .socket = s};
	return 0;
}

static int look_at_fd(const struct zt_netsocks *sockets, int dir, const char *name, int pid, struct zt_owners *l)
{
	char link[64];
	ssize_t n = readlinkat(dir, name, link, sizeof(link) - 1);
	struct zt_netsock key = {0};
	unsigned long long inode;
	const struct zt_netsock *s;

	if (n <= 0)
		return 0;
	link[n] = '\0';
	if (sscanf(link, "socket:[%llu]", &inode) != 1)
		return 0;
	key.inode = inode;
	s = bsearch(&key, sockets->v, sockets->n, sizeof(key), by_inode);
	return s ? add_owner(l, pid, s) : 0;
}

static int look_at_process(const struct zt_netsocks *sockets, int pid, struct zt_owners *l)
{
	char path[32];
	const struct dirent *e;
	DIR *d;
	int r = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	while (d && !r && (e = readdir(d)))
		r = look_at_fd(sockets, dirfd(d), e->d_name, pid, l);
	if (d)
		(void)closedir(d); /* only read */
	return r;
}

static int by_pid(const void *a, const void *b)
{
	const struct zt_owner *x = a, *y = b;

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	if (x->socket->listens != y->socket->listens)
		return x->socket->listens ? -1 : 1;
	if (x->socket->proto != y->socket->proto)
		return x->socket->proto < y->socket->proto ? -1 : 1;
	return x->socket->port - y->socket->port ?: zt_addr_cmp(&x->socket->local, &y->socket->local);
}

int zt_owners_read(const struct zt_netsocks *sockets, struct zt_owners *ret)
{
	struct zt_owners l = {0};
	DIR *d = opendir("/proc");
	const struct dirent *e;
	uint64_t pid;
	int r = d ? 0 : -errno;

	while (d && !r && sockets->n && (e = readdir(d)))
		if (zt_parse_u64(e->d_name, INT32_MAX, &pid) == 0)
			r = look_at_process(sockets, (int)pid, &l);
	if (d)
		(void)closedir(d); /* only read */
	if (r < 0) {
		zt_owners_done(&l);
		return r;
	}
	if (l.n)
		qsort(l.v, l.n, sizeof(*l.v), by_pid);
	*ret = l;
	return 0;
}

void zt_owners_done(struct zt_owners *l)
{
	free(l->v);
	*l = (struct zt_owners){0};
}

static void end_text(const struct zt_addr *a, uint16_t port, struct zt_strbuf *out)
{
	char text[64];

	zt_addr_format(a, text);
	zt_strbuf_printf(out, a->family == 6 ? "[%s]:%u" : "%s:%u", text, port);
}

void zt_netsock_text(const struct zt_netsock *s, struct zt_strbuf *out)
{
	zt_strbuf_printf(out, "%s ", zt_proto_name(s->proto));
	end_text(&s->local, s->port, out);
	if (s->listens)
		return;
	zt_strbuf_str(out, " -> ");
	end_text(&s->remote, s->remote_port, out);
}
