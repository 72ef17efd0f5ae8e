/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack_tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "engine/ct.h"
#include "engine/nft/nft.h"

/*
 * Flows that are older than the firewall. Connection tracking begins when the first policy is loaded; it would take the next packet of
 * an old connection, whichever end sends it, for a new flow, and the rules would judge it in the wrong direction. So every
 * established TCP socket is entered into the table beforehand, with the connecting side as the original direction: the side whose
 * port nobody listens on. Source: /proc/net/tcp and tcp6 (Documentation/networking/proc_net_tcp.rst).
 */
#define SEED_MAX 65536
#define SEED_TIMEOUT 432000 /* seconds; the kernel's own for established flows */

struct tcp_row {
	struct zt_addr local, remote;
	uint16_t lport, rport;
	unsigned state;
};

static bool parse_addr(const char *hex, struct zt_addr *ret, uint16_t *ret_port)
{
	size_t digits = strcspn(hex, ":");
	unsigned port;

	if (digits != 8 && digits != 32)
		return false;
	*ret = (struct zt_addr){.family = digits == 8 ? 4 : 6};
	for (size_t word = 0; word < digits / 8; word++) {
		unsigned v;

		if (sscanf(hex + word * 8, "%8x", &v) != 1)
			return false;
		memcpy(ret->b + word * 4, &v, 4); /* the kernel prints words of memory as numbers */
	}
	if (sscanf(hex + digits, ":%4x", &port) != 1)
		return false;
	*ret_port = (uint16_t)port;
	if (digits == 32 && !memcmp(ret->b, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12)) {
		memmove(ret->b, ret->b + 12, 4);
		memset(ret->b + 4, 0, 12);
		ret->family = 4;
	}
	return true;
}

static bool parse_row(const char *line, struct tcp_row *ret)
{
	char local[48], remote[48];

	return sscanf(line, " %*u: %47s %47s %x", local, remote, &ret->state) == 3 &&
	       parse_addr(local, &ret->local, &ret->lport) && parse_addr(remote, &ret->remote, &ret->rport);
}

static int each_row(const char *path, int (*cb)(void *, const struct tcp_row *), void *arg)
{
	FILE *f = fopen(path, "re");
	char line[512];
	int r = 0;

	while (f && !r && fgets(line, sizeof(line), f)) {
		struct tcp_row row;

		if (parse_row(line, &row))
			r = cb(arg, &row);
	}
	if (f)
		(void)fclose(f); /* only read */
	return r;
}

struct seed_ctx {
	struct zt_u32_ranges listening;
	struct nfct_handle *h;
	unsigned n;
};

static int note_listener(void *arg, const struct tcp_row *row)
{
	struct seed_ctx *c = arg;

	return row->state == 10 /* TCP_LISTEN */ ? zt_u32_ranges_add(&c->listening, row->lport, row->lport) : 0;
}

static int seed_row(void *arg, const struct tcp_row *row)
{
	struct seed_ctx *c = arg;
	bool accepted = zt_u32_ranges_has(&c->listening, row->lport);
	uint8_t flags = IP_CT_TCP_FLAG_BE_LIBERAL | IP_CT_TCP_FLAG_SACK_PERM;
	struct nf_conntrack *ct;

	if (row->state != 1 /* TCP_ESTABLISHED */ || c->n >= SEED_MAX)
		return 0;
	ct = nfct_new();
	if (!ct)
		return -ENOMEM;
	if (accepted)
		zt_ct_set_ends(ct, &row->remote, &row->local, IPPROTO_TCP, row->rport, row->lport);
	else
		zt_ct_set_ends(ct, &row->local, &row->remote, IPPROTO_TCP, row->lport, row->rport);
	nfct_setobjopt(ct, NFCT_SOPT_SETUP_REPLY);
	nfct_set_attr_u8(ct, ATTR_TCP_STATE, TCP_CONNTRACK_ESTABLISHED);
	nfct_set_attr_u32(ct, ATTR_TIMEOUT, SEED_TIMEOUT);
	nfct_set_attr_u32(ct, ATTR_STATUS, IPS_SEEN_REPLY | IPS_ASSURED | IPS_CONFIRMED);
	nfct_set_attr_u8(ct, ATTR_TCP_FLAGS_ORIG, flags);
	nfct_set_attr_u8(ct, ATTR_TCP_MASK_ORIG, flags);
	nfct_set_attr_u8(ct, ATTR_TCP_FLAGS_REPL, flags);
	nfct_set_attr_u8(ct, ATTR_TCP_MASK_REPL, flags);
	/* Exists already (the other end of a loopback connection, or tracked before): just right. */
	if (nfct_query(c->h, NFCT_Q_CREATE, ct) >= 0)
		c->n++;
	nfct_destroy(ct);
	return 0;
}

int nft_seed_conntrack(void)
{
	struct seed_ctx c = {.h = nfct_open(CONNTRACK, 0)};
	int r;

	if (!c.h)
		return -errno;
	r = each_row("/proc/thread-self/net/tcp", note_listener, &c);
	if (!r)
		r = each_row("/proc/thread-self/net/tcp6", note_listener, &c);
	zt_u32_ranges_normalise(&c.listening);
	if (!r)
		r = each_row("/proc/thread-self/net/tcp", seed_row, &c);
	if (!r)
		r = each_row("/proc/thread-self/net/tcp6", seed_row, &c);
	(void)nfct_close(c.h); /* every entry was acknowledged */
	zt_u32_ranges_done(&c.listening);
	return r;
}
