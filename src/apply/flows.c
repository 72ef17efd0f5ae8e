/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "apply/flows.h"

#include <dirent.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#ifndef SOCK_DESTROY
#define SOCK_DESTROY 21
#endif
enum {
	STATE_TIME_WAIT = 6,
	STATE_CLOSE = 7,
	STATE_LISTEN = 10,
	ATTR_CGROUP_ID = 21 /* INET_DIAG_CGROUP_ID, since 5.9 */
};
enum { /* places in struct tcp_info (linux/tcp.h), which grows at its end */
       INFO_RECEIVED = offsetof(struct tcp_info, tcpi_bytes_received),
       INFO_SENT = offsetof(struct tcp_info, tcpi_bytes_sent),
       INFO_RETRANS = offsetof(struct tcp_info, tcpi_bytes_retrans),
};
_Static_assert(sizeof(struct inet_diag_sockid) == sizeof(((struct zt_socket *)0)->id), "the kernel's name of a socket");

void zt_sockets_done(struct zt_sockets *s)
{
	free(s->v);
	*s = (struct zt_sockets){0};
}

/* ---- reading ---- */
static void take_addr(uint8_t family, const void *from, struct zt_addr *ret)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	*ret = (struct zt_addr){.family = family == AF_INET ? 4 : 6};
	memcpy(ret->b, from, family == AF_INET ? 4 : 16);
	if (ret->family == 6 && !memcmp(ret->b, mapped, sizeof(mapped))) {
		memmove(ret->b, ret->b + 12, 4);
		memset(ret->b + 4, 0, 12);
		ret->family = 4;
	}
}

static int take_attr(const struct nlattr *attr, void *arg)
{
	struct zt_socket *s = arg;

	const char *p = mnl_attr_get_payload(attr);
	size_t len = mnl_attr_get_payload_len(attr);

	if (mnl_attr_get_type(attr) == ATTR_CGROUP_ID && len >= sizeof(uint64_t))
		memcpy(&s->cgroup, p, sizeof(s->cgroup));
	if (mnl_attr_get_type(attr) == INET_DIAG_INFO && len >= INFO_SENT + sizeof(uint64_t)) {
		uint64_t retransmitted = 0;

		memcpy(&s->sent, p + INFO_SENT, sizeof(s->sent));
		memcpy(&s->received, p + INFO_RECEIVED, sizeof(s->received));
		if (len >= INFO_RETRANS + sizeof(uint64_t))
			memcpy(&retransmitted, p + INFO_RETRANS, sizeof(retransmitted));
		s->sent -= retransmitted;
	}
	return MNL_CB_OK;
}

struct reading {
	struct zt_sockets *out;
	uint8_t proto;
	int r;
};

static int take_socket(const struct nlmsghdr *nlh, void *arg)
{
	struct reading *rd = arg;
	const struct inet_diag_msg *m = mnl_nlmsg_get_payload(nlh);
	struct zt_socket s = {
		.proto = rd->proto, .family = m->idiag_family, .uid = m->idiag_uid, .inode = m->idiag_inode};

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*m))
		return MNL_CB_OK;
	s.lport = ntohs(m->id.idiag_sport);
	s.rport = ntohs(m->id.idiag_dport);
	s.listening = rd->proto == IPPROTO_TCP ? m->idiag_state == STATE_LISTEN : !s.rport;
	take_addr(m->idiag_family, m->id.idiag_src, &s.local);
	if (s.rport)
		take_addr(m->idiag_family, m->id.idiag_dst, &s.remote);
	memcpy(s.id, &m->id, sizeof(s.id));
	(void)mnl_attr_parse(nlh, sizeof(*m), take_attr, &s); /* what does not parse is not there */
	if (zt_grow(rd->out->v, rd->out->cap, rd->out->n) < 0) {
		rd->r = -ENOMEM;
		return MNL_CB_ERROR;
	}
	rd->out->v[rd->out->n++] = s;
	return MNL_CB_OK;
}

/* Of TCP those in one of the states. -ENOENT, -EINVAL: a kernel without UDP or IPv6 diagnostics. */
static int dump(struct mnl_socket *nl, uint8_t family, uint8_t proto, uint32_t states, struct zt_sockets *out)
{
	char buf[65536];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct inet_diag_req_v2 *req;
	struct reading rd = {.out = out, .proto = proto};
	ssize_t n;
	int r = MNL_CB_OK;

	nlh->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = 1;
	req = mnl_nlmsg_put_extra_header(nlh, sizeof(*req));
	*req = (struct inet_diag_req_v2){.sdiag_family = family,
					 .sdiag_protocol = proto,
					 .idiag_states = states,
					 .idiag_ext = 1 << (INET_DIAG_INFO - 1)};
	if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while (r == MNL_CB_OK && (n = mnl_socket_recvfrom(nl, buf, sizeof(buf))) > 0)
		r = mnl_cb_run(buf, (size_t)n, 1, mnl_socket_get_portid(nl), take_socket, &rd);
	return rd.r ?: r == MNL_CB_STOP ? 0 : -errno;
}

static int dump_all(struct mnl_socket *nl, struct zt_sockets *out)
{
	uint32_t live = ~(1u << STATE_TIME_WAIT | 1u << STATE_CLOSE); /* what is over already holds no flow */
	int r = 0;

	for (int i = 0; !r && i < 4; i++) {
		bool udp = i & 2;

		r = dump(nl, i & 1 ? AF_INET6 : AF_INET, udp ? IPPROTO_UDP : IPPROTO_TCP, udp ? UINT32_MAX : live, out);
		if (r == -ENOENT || r == -EINVAL) /* no such sockets to show */
			r = 0;
	}
	return r;
}

static int dump_listening(struct mnl_socket *nl, struct zt_sockets *out)
{
	int r = dump(nl, AF_INET, IPPROTO_TCP, 1u << STATE_LISTEN, out);

	return r ?: dump(nl, AF_INET6, IPPROTO_TCP, 1u << STATE_LISTEN, out);
}

static int read_by(int (*how)(struct mnl_socket *, struct zt_sockets *), struct zt_sockets *ret)
{
	ZT_CLEANUP(zt_sockets_done) struct zt_sockets s = {0};
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
	int r = nl ? 0 : -errno;

	if (!r && mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0)
		r = -errno;
	r = r ?: how(nl, &s);
	if (nl)
		(void)mnl_socket_close(nl);
	if (r < 0)
		return r;
	*ret = s;
	s = (struct zt_sockets){0};
	return 0;
}

int zt_sockets_read(struct zt_sockets *ret)
{
	return read_by(dump_all, ret);
}

int zt_sockets_read_listening(struct zt_sockets *ret)
{
	return read_by(dump_listening, ret);
}

/* ---- who holds them ---- */
static int compare_inodes(const void *a, const void *b)
{
	const struct zt_socket *x = *(struct zt_socket *const *)a, *y = *(struct zt_socket *const *)b;

	return x->inode < y->inode ? -1 : x->inode > y->inode;
}

static void note_inode(struct zt_socket **by, size_t n, uint32_t inode, int pid)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (by[mid]->inode < inode)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < n && by[lo]->inode == inode; lo++)
		if (!by[lo]->pid)
			by[lo]->pid = pid;
}

static void look_through(const char *pid, struct zt_socket **by, size_t n)
{
	char path[300], link[64];
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%s/fd", pid); /* pid is at most 255 bytes */
	dir = opendir(path);
	for (const struct dirent *e; dir && (e = readdir(dir));) {
		unsigned inode;
		ssize_t len = readlinkat(dirfd(dir), e->d_name, link, sizeof(link) - 1);

		link[len > 0 ? len : 0] = 0;
		if (sscanf(link, "socket:[%u]", &inode) == 1)
			note_inode(by, n, inode, atoi(pid));
	}
	if (dir)
		(void)closedir(dir);
}

int zt_sockets_find_processes(struct zt_sockets *s)
{
	ZT_FREE struct zt_socket **by = zt_new(struct zt_socket *, s->n + 1);
	DIR *dir = opendir("/proc");

	if (!by || !dir) {
		if (dir)
			(void)closedir(dir);
		return -ENOMEM;
	}
	for (size_t i = 0; i < s->n; i++)
		by[i] = &s->v[i];
	if (s->n)
		qsort(by, s->n, sizeof(struct zt_socket *), compare_inodes);
	for (const struct dirent *e; (e = readdir(dir));)
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9')
			look_through(e->d_name, by, s->n);
	(void)closedir(dir);
	return 0;
}

/* ---- ending one ---- */
int zt_socket_destroy(const struct zt_socket *s)
{
	char buf[4096];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
	struct inet_diag_req_v2 *req;
	ssize_t n;
	int r = nl && mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) == 0 ? 0 : -errno;

	nlh->nlmsg_type = SOCK_DESTROY;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	nlh->nlmsg_seq = 1;
	req = mnl_nlmsg_put_extra_header(nlh, sizeof(*req));
	*req = (struct inet_diag_req_v2){
		.sdiag_family = s->family, .sdiag_protocol = s->proto, .idiag_states = UINT32_MAX};
	memcpy(&req->id, s->id, sizeof(req->id));
	if (!r && mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		r = -errno;
	n = r ? 0 : mnl_socket_recvfrom(nl, buf, sizeof(buf));
	if (!r && (n < 0 || mnl_cb_run(buf, (size_t)n, 1, mnl_socket_get_portid(nl), NULL, NULL) < 0))
		r = -errno;
	if (nl)
		(void)mnl_socket_close(nl);
	return r;
}
