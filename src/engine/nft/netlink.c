/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "base/proc.h"
#include "engine/nft/nft.h"
#include "engine/nft/table.h"

#define MESSAGE_ROOM 60000u /* a nested attribute holds 64 KiB at most */

int nft_nl_open(struct nft_nl *nl)
{
	int size = 16 << 20;

	nl->sock = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!nl->sock)
		return -errno;
	if (mnl_socket_bind(nl->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
		int r = -errno;

		nft_nl_close(nl);
		return r;
	}
	/* A larger buffer only makes big dumps faster: failing to get it is harmless. */
	(void)setsockopt(mnl_socket_get_fd(nl->sock), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	nl->portid = mnl_socket_get_portid(nl->sock);
	nl->seq = 1;
	return 0;
}

void nft_nl_close(struct nft_nl *nl)
{
	if (nl->sock)
		(void)mnl_socket_close(nl->sock); /* read-only use is over */
	nl->sock = NULL;
}

static struct nlmsghdr *put_header(void *buf, int type, uint16_t flags, uint8_t family, uint16_t res_id, uint32_t seq)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *nfg;

	nlh->nlmsg_type = (uint16_t)type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = seq;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = family;
	nfg->version = NFNETLINK_V0;
	nfg->res_id = htons(res_id);
	return nlh;
}

#define NFT_TYPE(msg) ((NFNL_SUBSYS_NFTABLES << 8) | (msg))

struct dump_ctx {
	int (*cb)(const struct nlmsghdr *, void *);
	void *arg;
	int r;
};

static int dump_cb(const struct nlmsghdr *nlh, void *arg)
{
	struct dump_ctx *c = arg;

	c->r = c->cb(nlh, c->arg);
	return c->r < 0 ? MNL_CB_ERROR : MNL_CB_OK;
}

static int receive(struct nft_nl *nl, uint32_t seq, struct dump_ctx *c)
{
	ZT_FREE char *buf = zt_malloc(1 << 18);
	int r = buf ? 1 : -ENOMEM;

	while (r > 0) {
		ssize_t n = mnl_socket_recvfrom(nl->sock, buf, 1 << 18);

		if (n < 0)
			return errno == EINTR ? -EIO : -errno;
		errno = 0;
		r = mnl_cb_run(buf, (size_t)n, seq, nl->portid, dump_cb, c);
		if (r < 0)
			r = c->r < 0 ? c->r : errno ? -errno : -EIO;
	}
	return r;
}

int nft_nl_dump(struct nft_nl *nl, int type, uint8_t family, uint16_t attr1, const char *v1, uint16_t attr2,
		const char *v2, int (*cb)(const struct nlmsghdr *, void *), void *arg)
{
	char req[1024];
	struct dump_ctx c = {.cb = cb, .arg = arg};
	uint32_t seq = ++nl->seq;
	struct nlmsghdr *nlh = put_header(req, NFT_TYPE(type), NLM_F_DUMP, family, 0, seq);

	if (v1)
		mnl_attr_put_strz(nlh, attr1, v1);
	if (v2)
		mnl_attr_put_strz(nlh, attr2, v2);
	if (mnl_socket_sendto(nl->sock, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	return receive(nl, seq, &c);
}

static void put_data(struct nlmsghdr *nlh, uint16_t type, const uint8_t *v, size_t len)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, type);

	mnl_attr_put(nlh, NFTA_DATA_VALUE, len, v);
	mnl_attr_nest_end(nlh, nest);
}

int nft_nl_elem(struct nft_nl *nl, const char *table, const char *set, const struct nft_shape *shape,
		const uint8_t *key, const uint8_t *end, int (*cb)(const struct nlmsghdr *, void *), void *arg)
{
	char req[1024];
	struct dump_ctx c = {.cb = cb, .arg = arg};
	uint32_t seq = ++nl->seq;
	struct nlmsghdr *nlh = put_header(req, NFT_TYPE(NFT_MSG_GETSETELEM), NLM_F_ACK, NFPROTO_INET, 0, seq);
	struct nlattr *list, *nest;

	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, table);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, set);
	list = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_LIST_ELEMENTS);
	nest = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);
	put_data(nlh, NFTA_SET_ELEM_KEY, key, nft_shape_keylen(shape));
	if (shape->interval)
		put_data(nlh, NFTA_SET_ELEM_KEY_END, end, nft_shape_keylen(shape));
	mnl_attr_nest_end(nlh, nest);
	mnl_attr_nest_end(nlh, list);
	if (mnl_socket_sendto(nl->sock, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	return receive(nl, seq, &c);
}

static int genid_cb(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) == NFTA_GEN_ID)
			*(uint32_t *)arg = ntohl(mnl_attr_get_u32(attr));
	}
	return 0;
}

int nft_nl_genid(struct nft_nl *nl, uint32_t *ret)
{
	char req[256];
	uint32_t seq = ++nl->seq;
	struct dump_ctx c = {.cb = genid_cb, .arg = ret};
	struct nlmsghdr *nlh = put_header(req, NFT_TYPE(NFT_MSG_GETGEN), NLM_F_ACK, NFPROTO_UNSPEC, 0, seq);

	if (mnl_socket_sendto(nl->sock, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	return receive(nl, seq, &c);
}

/* ---- batches: one transaction ---- */
void nft_batch_done(struct nft_batch *b)
{
	zt_strbuf_done(&b->buf);
}

static void append(struct nft_batch *b, const struct nlmsghdr *nlh)
{
	zt_strbuf_add(&b->buf, nlh, nlh->nlmsg_len);
}

int nft_batch_begin(struct nft_batch *b, struct nft_nl *nl, const char *table, uint32_t genid)
{
	char buf[256];
	struct nlmsghdr *nlh;

	(void)snprintf(b->table, sizeof(b->table), "%s", table);
	b->seq = nl->seq + 1;
	nlh = put_header(buf, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES, b->seq++);
	if (genid)
		mnl_attr_put_u32(nlh, NFNL_BATCH_GENID, htonl(genid));
	append(b, nlh);
	b->first_seq = b->seq;
	return zt_strbuf_error(&b->buf);
}

static void put_verdict(struct nlmsghdr *nlh, const struct zt_rule *rule)
{
	struct nlattr *data = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_DATA),
		      *verdict = mnl_attr_nest_start(nlh, NFTA_DATA_VERDICT);
	char text[64];

	nft_verdict_text(rule, text);
	if (!strcmp(text, "accept")) {
		mnl_attr_put_u32(nlh, NFTA_VERDICT_CODE, htonl(NF_ACCEPT));
	} else {
		mnl_attr_put_u32(nlh, NFTA_VERDICT_CODE, htonl((uint32_t)NFT_GOTO));
		mnl_attr_put_strz(nlh, NFTA_VERDICT_CHAIN, text + strlen("goto "));
	}
	mnl_attr_nest_end(nlh, verdict);
	mnl_attr_nest_end(nlh, data);
}

static void put_counter(struct nlmsghdr *nlh, const struct nft_elem *e)
{
	struct nlattr *expr = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_EXPR), *data;

	mnl_attr_put_strz(nlh, NFTA_EXPR_NAME, "counter");
	data = mnl_attr_nest_start(nlh, NFTA_EXPR_DATA);
	mnl_attr_put_u64(nlh, NFTA_COUNTER_BYTES, htobe64(e->bytes));
	mnl_attr_put_u64(nlh, NFTA_COUNTER_PACKETS, htobe64(e->packets));
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, expr);
}

/* nftables' user data: type, length, value; type 0 of an element is its comment. */
static void put_comment(struct nlmsghdr *nlh, const char *comment)
{
	uint8_t tlv[2 + NFT_COMMENT_MAX + 1];
	size_t len = strlen(comment) + 1;

	tlv[0] = 0;
	tlv[1] = (uint8_t)len;
	memcpy(tlv + 2, comment, len);
	mnl_attr_put(nlh, NFTA_SET_ELEM_USERDATA, len + 2, tlv);
}

static struct nlmsghdr *elem_message(struct nft_batch *b, char *buf, const char *table, const char *set, bool add)
{
	struct nlmsghdr *nlh = put_header(buf, NFT_TYPE(add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM),
					  add ? NLM_F_CREATE | NLM_F_EXCL : 0, NFPROTO_INET, 0, b->seq++);

	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, table);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, set);
	return nlh;
}

static void put_elem(struct nlmsghdr *nlh, const struct zt_image *img, const struct nft_shape *shape,
		     const struct nft_elem *e, bool add)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);
	size_t len = nft_shape_keylen(shape);
	char comment[NFT_COMMENT_MAX + 1];

	put_data(nlh, NFTA_SET_ELEM_KEY, e->key, len);
	if (shape->interval)
		put_data(nlh, NFTA_SET_ELEM_KEY_END, e->end, len);
	if (add) {
		put_verdict(nlh, &img->rs->rules[e->rule]);
		put_counter(nlh, e);
		nft_comment(img, e->rule, comment);
		put_comment(nlh, comment);
	}
	mnl_attr_nest_end(nlh, nest);
}

int nft_batch_elems(struct nft_batch *b, const struct zt_image *img, const char *table, bool add,
		    const struct nft_elem *const *elems, size_t n, const char *set, const struct nft_shape *shape)
{
	ZT_FREE char *buf = zt_malloc(MESSAGE_ROOM + 2048);
	size_t i = 0;

	if (!buf)
		return -ENOMEM;
	while (i < n) {
		struct nlmsghdr *nlh = elem_message(b, buf, table, set, add);
		struct nlattr *list = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_LIST_ELEMENTS);

		for (; i < n && nlh->nlmsg_len < MESSAGE_ROOM; i++)
			put_elem(nlh, img, shape, elems[i], add);
		mnl_attr_nest_end(nlh, list);
		append(b, nlh);
	}
	return zt_strbuf_error(&b->buf);
}

/* Everything that is in zt_meta goes, m comes in its place. */
int nft_batch_meta(struct nft_batch *b, const char *table, const struct nft_meta *m)
{
	ZT_FREE char *buf = zt_malloc(MESSAGE_ROOM + 2048);
	struct nlmsghdr *nlh;
	size_t i = 0;

	if (!buf)
		return -ENOMEM;
	nlh = put_header(buf, NFT_TYPE(NFT_MSG_DELSETELEM), 0, NFPROTO_INET, 0, b->seq++);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, table);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, "zt_meta");
	append(b, nlh);
	while (i < m->n) {
		struct nlattr *list;

		nlh = elem_message(b, buf, table, "zt_meta", true);
		list = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_LIST_ELEMENTS);
		for (; i < m->n && nlh->nlmsg_len < MESSAGE_ROOM; i++) {
			struct nlattr *nest = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);
			uint32_t key = (uint32_t)i + 1;

			put_data(nlh, NFTA_SET_ELEM_KEY, (const uint8_t *)&key, sizeof(key));
			put_comment(nlh, m->lines[i]);
			mnl_attr_nest_end(nlh, nest);
		}
		mnl_attr_nest_end(nlh, list);
		append(b, nlh);
	}
	return zt_strbuf_error(&b->buf);
}

/* The kernel answers each message that failed, and the last one because it asks for it. */
static int read_answer(struct nft_nl *nl, const struct nft_batch *b, uint32_t last)
{
	ZT_FREE char *buf = zt_malloc(1 << 16);
	int first_error = 0;

	while (buf) {
		ssize_t n = mnl_socket_recvfrom(nl->sock, buf, 1 << 16);

		if (n < 0)
			return first_error ? first_error : -errno;
		for (const struct nlmsghdr *h = (const struct nlmsghdr *)buf; mnl_nlmsg_ok(h, (int)n);) {
			const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
			int left = (int)n;

			if (h->nlmsg_type == NLMSG_ERROR && e->error && !first_error)
				first_error = e->error;
			if (h->nlmsg_type == NLMSG_ERROR && (h->nlmsg_seq == last || h->nlmsg_seq < b->first_seq))
				return first_error;
			h = mnl_nlmsg_next(h, &left);
			n = left;
		}
	}
	return -ENOMEM;
}

int nft_batch_commit(struct nft_batch *b, struct nft_nl *nl)
{
	char end[256], ack[256];
	int size, fd = mnl_socket_get_fd(nl->sock);
	uint32_t last = b->seq++;
	struct nlmsghdr *nlh = put_header(ack, NFT_TYPE(NFT_MSG_NEWTABLE), NLM_F_ACK | NLM_F_CREATE, NFPROTO_INET, 0,
					  last);
	struct sockaddr_nl to = {.nl_family = AF_NETLINK};
	struct iovec iov;
	struct msghdr msg = {.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &iov, .msg_iovlen = 1};

	/* A message that changes nothing carries the request for an acknowledgement of the whole. */
	mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, b->table);
	append(b, nlh);
	append(b, put_header(end, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES, b->seq++));
	if (zt_strbuf_error(&b->buf))
		return -ENOMEM;
	size = (int)ZT_MIN(b->buf.len + 4096, (size_t)1 << 30);
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)); /* if refused, sendmsg tells */
	iov.iov_base = b->buf.buf;
	iov.iov_len = b->buf.len;
	if (sendmsg(fd, &msg, 0) < 0)
		return -errno;
	nl->seq = b->seq;
	return read_answer(nl, b, last);
}

/* ---- the flag that takes a table's hooks off ---- */
#define DUMP_TRIES 20

struct dormant_ctx {
	const char *table;
	bool found;
};

static int dormant_cb(const struct nlmsghdr *nlh, void *arg)
{
	struct dormant_ctx *c = arg;
	const struct nlattr *a;
	bool it = false;
	uint32_t flags = 0;

	mnl_attr_for_each(a, nlh, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(a) == NFTA_TABLE_NAME)
			it = !strcmp(mnl_attr_get_str(a), c->table);
		if (mnl_attr_get_type(a) == NFTA_TABLE_FLAGS)
			flags = ntohl(mnl_attr_get_u32(a));
	}
	c->found = c->found || (it && flags & NFT_TABLE_F_DORMANT);
	return 0;
}

int nft_table_dormant(uint8_t family, const char *table, bool *ret)
{
	struct dormant_ctx c = {.table = table};
	struct nft_nl nl;
	int r = nft_nl_open(&nl);

	if (r < 0)
		return r;
	for (int i = 0; i == 0 || (r == -EINTR && i < DUMP_TRIES); i++) { /* others change tables meanwhile */
		c.found = false;
		r = nft_nl_dump(&nl, NFT_MSG_GETTABLE, family, 0, NULL, 0, NULL, dormant_cb, &c);
	}
	nft_nl_close(&nl);
	*ret = c.found;
	return r;
}

static int wake(struct nft_nl *nl, uint8_t family, const char *table)
{
	ZT_CLEANUP(nft_batch_done) struct nft_batch b = {0};
	char buf[256];
	struct nlmsghdr *nlh;
	uint32_t last;
	int r = nft_batch_begin(&b, nl, table, 0);

	last = b.seq++;
	nlh = put_header(buf, NFT_TYPE(NFT_MSG_NEWTABLE), NLM_F_ACK, family, 0, last);
	mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, table);
	mnl_attr_put_u32(nlh, NFTA_TABLE_FLAGS, 0);
	append(&b, nlh);
	append(&b, put_header(buf, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES, b.seq++));
	r = r ?: zt_strbuf_error(&b.buf);
	if (!r && mnl_socket_sendto(nl->sock, b.buf.buf, b.buf.len) < 0)
		r = -errno;
	return r ?: read_answer(nl, &b, last);
}

int nft_table_wake(uint8_t family, const char *table)
{
	struct nft_nl nl;
	int r = nft_nl_open(&nl);

	if (r < 0)
		return r;
	r = wake(&nl, family, table);
	nft_nl_close(&nl);
	return r;
}

/* ---- text through the nft program ---- */
static void report(const struct zt_run *run, struct zt_diags *d)
{
	size_t len = strcspn(run->err, "\n");

	(void)zt_diag(d, ZT_ERROR, 3102, NULL, "nft refused the ruleset: %.*s", (int)ZT_MIN(len, (size_t)300),
		      run->err);
	zt_diag_hint(d, "nothing was changed; `zt-segment render` prints what was to be loaded");
}

int nft_run_text(const char *text, size_t len, bool scratch, struct zt_diags *d)
{
	static const char *const argv[] = {"nft", "-f", "-", NULL};
	static const char *const env[] = {"TZ=UTC", NULL};
	ZT_CLEANUP(zt_run_done)
	struct zt_run run = {.argv = argv, .input = text, .input_len = len, .extra_env = env, .new_netns = scratch};
	int r = zt_run(&run);

	if (r < 0)
		return zt_diag_errno(d, 3103, r, "cannot run nft (package nftables)");
	if (run.status) {
		report(&run, d);
		return -EIO;
	}
	return 0;
}
