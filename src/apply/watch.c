/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <poll.h>
#include <string.h>

#include "apply/state.h"

struct watch_ctx {
	int (*changed)(void *arg, uint32_t pid, const char *program, uint32_t nft_generation);
	void *arg;
	int r;
};

/* Every transaction ends with NFT_MSG_NEWGEN: the new generation and who made it. */
static int on_message(const struct nlmsghdr *nlh, void *arg)
{
	struct watch_ctx *w = arg;
	const struct nlattr *attr;
	const char *name = "";
	uint32_t pid = 0, gen = 0;

	if (nlh->nlmsg_type != ((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWGEN))
		return MNL_CB_OK;
	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) == NFTA_GEN_ID)
			gen = ntohl(mnl_attr_get_u32(attr));
		if (mnl_attr_get_type(attr) == NFTA_GEN_PROC_PID)
			pid = ntohl(mnl_attr_get_u32(attr));
		if (mnl_attr_get_type(attr) == NFTA_GEN_PROC_NAME && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			name = mnl_attr_get_str(attr);
	}
	w->r = w->changed(w->arg, pid, name, gen);
	return w->r ? MNL_CB_STOP : MNL_CB_OK;
}

static int loop(struct mnl_socket *sock, zt_usec deadline, struct watch_ctx *w)
{
	char buf[65536];

	while (!w->r) {
		struct pollfd p = {.fd = mnl_socket_get_fd(sock), .events = POLLIN};
		zt_usec now = zt_now_monotonic();
		int n = poll(&p, 1, !deadline ? -1 : deadline <= now ? 0 : (int)((deadline - now) / 1000 + 1));
		ssize_t len;

		if (n < 0 && errno != EINTR)
			return -errno;
		if (!n)
			return 0;
		if (n < 0)
			continue;
		len = mnl_socket_recvfrom(sock, buf, sizeof(buf));
		if (len < 0 && errno == ENOBUFS)
			continue; /* a burst was lost; the next change is seen again */
		if (len < 0)
			return -errno;
		(void)mnl_cb_run(buf, (size_t)len, 0, 0, on_message, w); /* the callback's answer is in w */
	}
	return w->r < 0 ? w->r : 0;
}

int zt_drift_watch(const struct zt_apply_ctx *c, zt_usec timeout,
		   int (*changed)(void *arg, uint32_t pid, const char *program, uint32_t nft_generation), void *arg)
{
	struct watch_ctx w = {.changed = changed, .arg = arg};
	struct mnl_socket *sock = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	int group = NFNLGRP_NFTABLES, r;

	(void)c;
	if (!sock)
		return -errno;
	if (mnl_socket_bind(sock, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_setsockopt(sock, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		r = -errno;
	else
		r = loop(sock, timeout ? zt_now_monotonic() + timeout : 0, &w);
	(void)mnl_socket_close(sock); /* only read */
	return r;
}
