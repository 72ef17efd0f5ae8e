/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets as the kernel hands them to an own netlink socket: works in every network namespace and carries UID and GID. */
#include <fcntl.h>
#include <libnetfilter_log/libnetfilter_log.h>
#include <linux/netfilter.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/mem.h"
#include "event/source.h"

enum { COPY_BYTES = 256, QUEUE_MAX = 65536, RECEIVE_BUFFER = 4 << 20 };

static void device_name(uint32_t index, char ret[static IF_NAMESIZE])
{
	if (index == 0 || !if_indextoname(index, ret))
		*ret = 0;
}

static const char *hook_name(const struct nfgenmsg *msg, struct nflog_data *nfa)
{
	const struct nfulnl_msg_packet_hdr *h = nflog_get_msg_packet_hdr(nfa);

	if (msg->nfgen_family == NFPROTO_NETDEV)
		return "device";
	switch (h ? h->hook : NF_INET_NUMHOOKS) {
	case NF_INET_LOCAL_IN:
		return "input";
	case NF_INET_FORWARD:
		return "forward";
	case NF_INET_LOCAL_OUT:
		return "output";
	default:
		return NULL;
	}
}

static int to_event(struct zt_event_source *s, struct nflog_data *nfa, struct zt_event *e)
{
	char *payload = NULL, *prefix = nflog_get_prefix(nfa);
	int len = nflog_get_payload(nfa, &payload);
	struct timeval tv;

	if (!prefix || zt_event_parse_prefix(prefix, s->prefix, e) < 0)
		return -ENOMSG;
	if (len <= 0 || zt_event_parse_packet((const uint8_t *)payload, (size_t)len, e) < 0) {
		s->damaged++;
		return -ENOMSG;
	}
	e->when = nflog_get_timestamp(nfa, &tv) == 0 ? (zt_usec)tv.tv_sec * ZT_USEC_PER_SEC + (zt_usec)tv.tv_usec
						     : zt_now();
	device_name(nflog_get_indev(nfa), e->in);
	device_name(nflog_get_outdev(nfa), e->out);
	e->has_uid = nflog_get_uid(nfa, &e->uid) == 0;
	if (!e->has_uid || nflog_get_gid(nfa, &e->gid) < 0)
		e->gid = 0;
	return 0;
}

/* The kernel numbers what it hands over: what is missing was lost, exactly. That the socket ran over is told before what still waited in it
 * (net/netlink/af_netlink.c), so the one that stands for the unknown number stays until the gap comes. */
static void count_lost(struct zt_event_source *s, struct nflog_data *nfa)
{
	uint32_t seq, gap;

	if (nflog_get_seq(nfa, &seq) < 0)
		return;
	gap = s->counted ? seq - s->seq : 0;
	if (gap && s->overflowed) {
		s->lost--;
		s->overflowed = false;
	}
	s->lost += gap;
	s->counted = true;
	s->seq = seq + 1;
}

static int queue(struct nflog_g_handle *g, struct nfgenmsg *msg, struct nflog_data *nfa, void *arg)
{
	struct zt_event_source *s = arg;
	struct zt_event e = {0};

	(void)g;
	count_lost(s, nfa);
	if (to_event(s, nfa, &e) < 0)
		return 0;
	e.hook = hook_name(msg, nfa);
	if (s->n_queue >= QUEUE_MAX || zt_grow(s->queue, s->cap_queue, s->n_queue) < 0) {
		s->lost++;
		return 0;
	}
	s->queue[s->n_queue++] = e;
	s->peak_queue = ZT_MAX(s->peak_queue, s->n_queue);
	return 0;
}

static int take(struct zt_event_source *s, struct zt_event *ret)
{
	if (s->next == s->n_queue)
		return 0;
	*ret = s->queue[s->next++];
	if (!s->no_search)
		zt_event_find_program(ret);
	if (s->next == s->n_queue)
		s->next = s->n_queue = 0;
	return 1;
}

static int nflog_read(struct zt_event_source *s, struct zt_event *ret)
{
	static char buf[65536] __attribute__((aligned(8)));
	ssize_t n;

	while (!take(s, ret)) {
		n = recv(s->fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOBUFS) {
			s->lost += !s->overflowed; /* at least one; the next packet says how many */
			s->overflowed = true;
			continue;
		}
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		(void)nflog_handle_packet(s->handle, buf, (int)n); /* a message that is no packet is none of ours */
	}
	return 1;
}

static void nflog_done(struct zt_event_source *s)
{
	if (s->group)
		nflog_unbind_group(s->group);
	if (s->handle)
		nflog_close(s->handle);
	s->fd = -1; /* closed with the handle */
}

const struct zt_event_ops zt_event_nflog = {.name = "nflog", .read = nflog_read, .close = nflog_done};

static int cannot_bind(struct zt_diags *d)
{
	int r = errno ? -errno : -EIO;

	if (r == -EPERM && geteuid() == 0) /* what the kernel answers when the group has a listener */
		r = -EBUSY;
	(void)zt_diag(d, ZT_ERROR, 4502, NULL, "cannot listen to netlink log group %d: %s", ZT_NFLOG_GROUP,
		      strerror(-r));
	if (r == -EBUSY)
		zt_diag_hint(
			d,
			"another program listens to it, and the kernel takes one only; \"--source kmsg\" works beside it");
	else
		zt_diag_hint(d, r == -EPERM ? "run it as root"
					    : "\"--source journal\" or \"--source kmsg\" read the kernel log");
	return r;
}

int zt_event_nflog_open(struct zt_event_source *s, struct zt_diags *d)
{
	s->ops = &zt_event_nflog;
	errno = 0;
	s->handle = nflog_open();
	if (!s->handle)
		return cannot_bind(d);
	s->fd = nflog_fd(s->handle);
	(void)fcntl(s->fd, F_SETFD,
		    FD_CLOEXEC); /* the library offers no flag at birth; no child is started meanwhile */
	s->group = nflog_bind_group(s->handle, ZT_NFLOG_GROUP);
	if (!s->group)
		return cannot_bind(d);
	if (nflog_set_mode(s->group, NFULNL_COPY_PACKET, COPY_BYTES) < 0)
		return cannot_bind(d);
	(void)nflog_set_timeout(s->group, 1); /* 10 ms; the default of 1 s is only slower */
	(void)nflog_set_qthresh(s->group, 32);
	if (nflog_set_flags(s->group, NFULNL_CFG_F_SEQ) < 0) /* losses cannot be counted without */
		return cannot_bind(d);
	if (setsockopt(s->fd, SOL_SOCKET, SO_RCVBUFFORCE, &(int){RECEIVE_BUFFER}, sizeof(int)) < 0)
		(void)nflog_set_nlbufsiz(s->group,
					 1 << 17); /* a smaller buffer only loses more, and losses are counted */
	nflog_callback_register(s->group, queue, s);
	s->max_queue = QUEUE_MAX;
	return 0;
}
