/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Messages of DNS in the two directions of TCP connections, however their sender cuts them into packets. Of each packet the beginning is seen, in
 * the order in which they pass; what is sent again is left out. A packet whose number is more than a MiB away from what comes next is taken for a message of its own: anybody can
 * send it. Of a message at most ZT_DNS_STREAM bytes are put together. When the table is full, what is
 * begun of the connection that was quiet for longest is forgotten.
 */
#include "base/macros.h"

enum { ZT_DNS_STREAM = 512 /* with the two bytes of length */, ZT_DNS_STREAMS = 256 };
struct zt_dns_streams;
struct zt_dns_piece {	 /* a packet */
	uint64_t socket; /* and which way: one end of a connection on this machine is another socket */
	uint32_t seq, out;
	const uint8_t *data;
	size_t len, all; /* what is seen of all its bytes */
};
typedef void zt_dns_message(void *arg, const uint8_t *p, size_t len); /* with its length in front; may be cut */

int zt_dns_streams_new(struct zt_dns_streams **ret);
void zt_dns_streams_free(struct zt_dns_streams *s);
void zt_dns_streams_add(struct zt_dns_streams *s, struct zt_dns_piece p, zt_dns_message *got, void *arg);
uint32_t zt_dns_streams_count(const struct zt_dns_streams *s, uint64_t *ret_forgotten);
