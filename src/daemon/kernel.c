/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel tells by itself: transactions of nftables with who made them, network devices that come. The rest is polled. */
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>

#include "base/proc.h"
#include "daemon/daemon.h"

#define POLL (ZT_USEC_PER_SEC / 2)
#define POLL_RUNG (60 * ZT_USEC_PER_SEC) /* where somebody rings: one who keeps its rights to itself and does not end */

/* ---- the packet filter ---- */
static bool same(const struct zt_culprit *a, uint32_t pid, const char *program)
{
	return a->pid == pid && !strcmp(a->program, program);
}

static int on_transaction(void *arg, uint32_t pid, const char *program, uint32_t gen)
{
	struct zt_daemon *d = arg;
	bool working = d->busy && d->job.kind < ZT_JOB_LOOK;
	struct zt_suspect *s;

	(void)gen;
	zt_daemon_want(d, ZT_JOB_CHECK, 20000, false, "the packet filter was changed");
	if (!*program)
		return 0;
	for (size_t i = 0; i < d->n_suspects; i++)
		if (same(&d->suspects[i].by, pid, program))
			return 0;
	if (d->n_suspects == ZT_SUSPECTS_MAX) {
		d->suspect_gauge.lost++;
		return 0;
	}
	s = &d->suspects[d->n_suspects++];
	*s = (struct zt_suspect){.by = {.pid = pid}, .meanwhile = working};
	(void)snprintf(s->by.program, sizeof(s->by.program), "%s", program);
	d->suspect_gauge.peak = ZT_MAX(d->suspect_gauge.peak, d->n_suspects);
	return 0;
}

void zt_kernel_read(struct zt_daemon *d)
{
	int r = zt_watch_read(d->nft, on_transaction, d);

	if (r < 0)
		zt_log(LOG_WARNING, "changes of the packet filter cannot be read: %s", strerror(-r));
}

static void on_nft(void *arg, uint32_t events)
{
	(void)events;
	zt_kernel_read(arg);
}

/* ---- devices ---- */
static void on_rtnl(void *arg, uint32_t events)
{
	struct zt_daemon *d = arg;
	char buf[16384] __attribute__((aligned(NLMSG_ALIGNTO)));
	ssize_t n;

	(void)events;
	while ((n = recv(d->rtnl, buf, sizeof(buf), 0)) > 0) {
		int left = (int)n;

		for (struct nlmsghdr *h = (struct nlmsghdr *)buf; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
			const struct ifinfomsg *i = NLMSG_DATA(h);

			/* All bits at once: it is new. */
			if (h->nlmsg_type == RTM_NEWLINK && h->nlmsg_len >= NLMSG_LENGTH(sizeof(*i)) &&
			    i->ifi_change == ~0U)
				zt_daemon_want(d, ZT_JOB_REFRESH, 50000, false, "refresh: a network device came");
		}
	}
	if (n < 0 && errno == ENOBUFS)
		zt_daemon_want(d, ZT_JOB_REFRESH, 50000, false, "refresh: network devices came");
}

static int open_rtnl(struct zt_daemon *d)
{
	struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};

	d->rtnl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (d->rtnl < 0 || bind(d->rtnl, (const struct sockaddr *)&a, sizeof(a)) < 0)
		return -errno;
	return zt_loop_add(d->loop, d->rtnl, EPOLLIN, on_rtnl, d);
}

/* ---- what nothing tells: detached programs of the bpf engine, iptables of the old kind ---- */
static void on_poll(void *arg)
{
	struct zt_daemon *d = arg;

	zt_daemon_want(d, ZT_JOB_POLL, 0, false, "poll");
	zt_timer_set(&d->poll, zt_sentry_rings(d) ? POLL_RUNG : POLL);
}

void zt_kernel_engine(struct zt_daemon *d)
{
	const struct zt_engine *e = d->engine[0] ? zt_engine_by_name(d->engine) : NULL;

	if (d->nft)
		zt_watch_engine(d->nft, e, d->ctx.instance);
	if (e && strcmp(e->name, "nft") != 0 && (d->active || d->meant)) /* else there is nothing that could go */
		zt_timer_set_early(&d->poll, POLL);
	else
		zt_timer_stop(&d->poll);
}

int zt_kernel_open(struct zt_daemon *d)
{
	int r = zt_watch_open(&d->nft);

	zt_timer_init(&d->poll, d->loop, on_poll, d);
	d->same_pids = zt_pidns_is_initial();
	if (!r)
		r = zt_loop_add(d->loop, zt_watch_fd(d->nft), EPOLLIN, on_nft, d);
	r = r ?: open_rtnl(d);
	zt_kernel_engine(d);
	return r;
}

void zt_kernel_close(struct zt_daemon *d)
{
	if (d->nft)
		zt_loop_remove(d->loop, zt_watch_fd(d->nft));
	zt_watch_free(d->nft);
	d->nft = NULL;
	zt_loop_remove(d->loop, d->rtnl);
	zt_closep(&d->rtnl);
}
