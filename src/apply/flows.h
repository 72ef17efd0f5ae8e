/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The sockets of the current network namespace that hold flows (sock_diag(7), NETLINK_SOCK_DIAG), and ending them
 * (SOCK_DESTROY, Documentation/networking and ss -K): the program gets ECONNABORTED, the peer a reset.
 */
#include "base/net.h"

struct zt_socket {
	uint8_t proto;		      /* 6 or 17 */
	bool listening;		      /* TCP in state LISTEN, UDP without a peer */
	struct zt_addr local, remote; /* v4-mapped is IPv4; remote has family 0 where there is none */
	uint16_t lport, rport;
	uint32_t uid, inode; /* inode 0: nobody holds it any more */
	uint64_t cgroup;     /* id; 0: the kernel does not tell */
	/* What SOCK_DESTROY wants back, as the kernel sent it: */
	uint8_t family;
	uint8_t id[48];
	uint64_t sent, received; /* TCP: bytes of payload so far */
	int pid;		 /* a process that holds it; 0: not looked for, or not found */
};
struct zt_sockets {
	struct zt_socket *v;
	size_t n, cap;
};
/* TCP sockets with a connection or listening, UDP sockets; both families. */
int zt_sockets_read(struct zt_sockets *ret);
/* TCP sockets that listen, without a look at all connections of the host, which /proc/net/tcp takes. -ENOENT: the kernel lacks INET_DIAG. */
int zt_sockets_read_listening(struct zt_sockets *ret);
void zt_sockets_done(struct zt_sockets *s);
/* Fills pid by looking through /proc/PID/fd: as long as that takes. */
int zt_sockets_find_processes(struct zt_sockets *s);
/* 0; -ENOENT: it is gone already; -EOPNOTSUPP: the kernel lacks INET_DIAG_DESTROY. */
int zt_socket_destroy(const struct zt_socket *s);
