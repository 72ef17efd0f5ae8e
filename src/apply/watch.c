/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "apply/state.h"

struct watch_ctx {
	const struct zt_apply_ctx *c;
	char table[64]; /* "": every change may be one of ours (iptables has no tables of its own) */
	bool touched;	/* by the transaction that is being told */
	int (*changed)(void *arg, uint32_t pid, const char *program, uint32_t nft_generation);
	void *arg;
	int r;
};

/* All messages about what a table holds name it in attribute 1: NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, … */
static bool touches(const struct watch_ctx *w, const struct nlmsghdr *nlh)
{
	const struct nlattr *attr;

	if (!w->table[0])
		return true;
	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) == NFTA_TABLE_NAME && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			return !strcmp(mnl_attr_get_str(attr), w->table);
	}
	return false;
}

/* After a change by us, once it is complete, the kernel holds what the state folder says. Waits for the transaction that may be running. */
static bool is_drift(const struct zt_apply_ctx *c)
{
	ZT_CLEANUP(zt_drift_done) struct zt_drift drift = {0};
	ZT_CLOSE int lock = -1;

	(void)zt_state_lock(c, 5 * ZT_USEC_PER_SEC, &lock, NULL); /* held for ever by somebody: told rather too much */
	return zt_drift_check(c, &drift, NULL) < 0 || drift.drifted;
}

/* Every transaction ends with NFT_MSG_NEWGEN: the new generation and who made it. */
static int on_message(const struct nlmsghdr *nlh, void *arg)
{
	struct watch_ctx *w = arg;
	const struct nlattr *attr;
	const char *name = "";
	uint32_t pid = 0, gen = 0;

	if (nlh->nlmsg_type != ((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWGEN)) {
		w->touched = w->touched || touches(w, nlh);
		return MNL_CB_OK;
	}
	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) == NFTA_GEN_ID)
			gen = ntohl(mnl_attr_get_u32(attr));
		if (mnl_attr_get_type(attr) == NFTA_GEN_PROC_PID)
			pid = ntohl(mnl_attr_get_u32(attr));
		if (mnl_attr_get_type(attr) == NFTA_GEN_PROC_NAME && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			name = mnl_attr_get_str(attr);
	}
	if (w->touched && is_drift(w->c)) {
		(void)zt_culprit_write(w->c, pid, name); /* `drift` names nobody then */
		w->r = w->changed(w->arg, pid, name, gen);
	}
	w->touched = false;
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
		if (len < 0 && errno == ENOBUFS) {
			w->touched =
				true; /* a burst was lost: the end of one is seen, and whether it was about us is looked up */
			continue;
		}
		if (len < 0)
			return -errno;
		(void)mnl_cb_run(buf, (size_t)len, 0, 0, on_message, w); /* the callback's answer is in w */
	}
	return w->r < 0 ? w->r : 0;
}

int zt_drift_watch(const struct zt_apply_ctx *c, zt_usec timeout,
		   int (*changed)(void *arg, uint32_t pid, const char *program, uint32_t nft_generation), void *arg)
{
	struct watch_ctx w = {.c = c, .changed = changed, .arg = arg};
	struct mnl_socket *sock = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	int group = NFNLGRP_NFTABLES, r;

	if (!sock)
		return -errno;
	if (!strcmp(c->engine->name, "nft")) {
		bool first = !strcmp(c->instance, "default");

		(void)snprintf(w.table, sizeof(w.table), "zt_segment%s%s", first ? "" : "_",
			       first ? "" : c->instance); /* 16 at most */
	}
	if (mnl_socket_bind(sock, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_setsockopt(sock, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		r = -errno;
	else
		r = loop(sock, timeout ? zt_now_monotonic() + timeout : 0, &w);
	(void)mnl_socket_close(sock); /* only read */
	return r;
}
