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
#include "base/mem.h"

#define LOOK_MSEC 800 /* drift is told within a second */

struct zt_watch {
	struct mnl_socket *sock;
	char table[64]; /* "": every change may be one of ours (iptables has no tables of its own) */
	bool touched;	/* by the transaction that is being told */
	uint64_t lost;
	int (*fn)(void *arg, uint32_t pid, const char *program, uint32_t nft_generation);
	void *arg;
	int r;
	char buf[65536];
};

/* All messages about what a table holds name it in attribute 1: NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, … */
static bool touches(const struct zt_watch *w, const struct nlmsghdr *nlh)
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

/* Every transaction ends with NFT_MSG_NEWGEN: the new generation and who made it. */
static int on_message(const struct nlmsghdr *nlh, void *arg)
{
	struct zt_watch *w = arg;
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
	if (w->touched)
		w->r = w->fn(w->arg, pid, name, gen);
	w->touched = false;
	return w->r ? MNL_CB_STOP : MNL_CB_OK;
}

int zt_watch_open(struct zt_watch **ret)
{
	struct zt_watch *w = zt_new(struct zt_watch, 1);
	int group = NFNLGRP_NFTABLES, r = 0;

	if (!w)
		return -ENOMEM;
	w->sock = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!w->sock || mnl_socket_bind(w->sock, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_setsockopt(w->sock, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		r = -errno;
	if (r < 0) {
		zt_watch_free(w);
		return r;
	}
	*ret = w;
	return 0;
}

void zt_watch_free(struct zt_watch *w)
{
	if (w && w->sock)
		(void)mnl_socket_close(w->sock); /* only read */
	free(w);
}

void zt_watch_engine(struct zt_watch *w, const struct zt_engine *e, const char *instance)
{
	bool first = !strcmp(instance, "default");

	w->table[0] = '\0';
	if (!e || !strcmp(e->name, "nft"))
		(void)snprintf(w->table, sizeof(w->table), "zt_segment%s%s", first ? "" : "_",
			       first ? "" : instance); /* 16 at most */
}

int zt_watch_fd(const struct zt_watch *w)
{
	return mnl_socket_get_fd(w->sock);
}

uint64_t zt_watch_lost(const struct zt_watch *w)
{
	return w->lost;
}

int zt_watch_read(struct zt_watch *w, int (*fn)(void *arg, uint32_t pid, const char *program, uint32_t nft_generation),
		  void *arg)
{
	w->fn = fn;
	w->arg = arg;
	w->r = 0;
	while (!w->r) {
		ssize_t len = mnl_socket_recvfrom(w->sock, w->buf, sizeof(w->buf));

		if (len < 0 && errno == ENOBUFS) { /* a burst was lost, the end of it perhaps: may have been about us */
			w->lost++;
			w->touched = true;
			w->r = fn(arg, 0, "", 0);
		} else if (len < 0) {
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		} else {
			(void)mnl_cb_run(w->buf, (size_t)len, 0, 0, on_message, w); /* the callback's answer is in w */
		}
	}
	return w->r;
}

/* ---- drift --watch ---- */
struct drift_ctx {
	const struct zt_apply_ctx *c;
	int (*changed)(void *arg, uint32_t pid, const char *program, uint32_t nft_generation);
	void *arg;
};

/* After a change by us, once it is complete, the kernel holds what the state folder says. Waits for the transaction that may be running. */
static bool is_drift(const struct zt_apply_ctx *c)
{
	ZT_CLEANUP(zt_drift_done) struct zt_drift drift = {0};
	ZT_CLOSE int lock = -1;

	(void)zt_state_lock(c, 5 * ZT_USEC_PER_SEC, &lock, NULL); /* held for ever by somebody: told rather too much */
	return zt_drift_check(c, &drift, NULL) < 0 || drift.drifted;
}

static int on_touch(void *arg, uint32_t pid, const char *program, uint32_t gen)
{
	const struct drift_ctx *x = arg;

	if (!is_drift(x->c))
		return 0;
	(void)zt_culprit_write(x->c, pid, program); /* `drift` names nobody then */
	return x->changed(x->arg, pid, program, gen);
}

static int listen_for(struct zt_watch *w, struct drift_ctx *x, zt_usec deadline)
{
	int r = 0;

	while (!r) {
		struct pollfd p = {.fd = zt_watch_fd(w), .events = POLLIN};
		zt_usec now = zt_now_monotonic();
		int n = poll(&p, 1, !deadline ? -1 : deadline <= now ? 0 : (int)((deadline - now) / 1000 + 1));

		if (n < 0 && errno != EINTR)
			return -errno;
		if (!n)
			return 0;
		if (n > 0)
			r = zt_watch_read(w, on_touch, x);
	}
	return r < 0 ? r : 0;
}

/* Nothing tells of changes to programs of the bpf engine: they are looked at, and each drift is told once. */
static int look_again(const struct drift_ctx *x, zt_usec deadline)
{
	bool was = false;
	int r = 0;

	while (!r && (!deadline || zt_now_monotonic() < deadline)) {
		bool drift = is_drift(x->c);

		if (drift && !was)
			r = x->changed(x->arg, 0, "", 0);
		was = drift;
		(void)poll(NULL, 0, LOOK_MSEC);
	}
	return r < 0 ? r : 0;
}

int zt_drift_watch(const struct zt_apply_ctx *c, zt_usec timeout,
		   int (*changed)(void *arg, uint32_t pid, const char *program, uint32_t nft_generation), void *arg)
{
	struct drift_ctx x = {.c = c, .changed = changed, .arg = arg};
	zt_usec deadline = timeout ? zt_now_monotonic() + timeout : 0;
	struct zt_watch *w = NULL;
	int r;

	if (!strcmp(c->engine->name, "bpf"))
		return look_again(&x, deadline);
	r = zt_watch_open(&w);
	if (r < 0)
		return r;
	zt_watch_engine(w, c->engine, c->instance);
	r = listen_for(w, &x, deadline);
	zt_watch_free(w);
	return r;
}
