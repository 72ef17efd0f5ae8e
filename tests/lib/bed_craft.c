/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets made by hand: RFC 791, 8200 (extension headers), 8754 (segment routing), 5722 (overlapping fragments), 7112 (header chains). */
#include "bed.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

static const char *const names[] = {
	"plain",
	"loose source route",
	"strict source route",
	"record route",
	"router alert",
	"fragments",
	"tiny first fragment",
	"overlapping fragments",
	"trailing fragment alone",
	"hop-by-hop options",
	"destination options",
	"routing header type 0",
	"segment routing header",
	"atomic fragment",
	"authentication header",
	"12 destination options headers",
	"2 KB of headers in fragments",
	"unknown extension header",
	"no next header",
};
_Static_assert(ZT_ARRAY_SIZE(names) == BED_N_SHAPES, "one name a shape");

const char *bed_shape_name(enum bed_shape s)
{
	return names[s];
}

bool bed_shape_is_v6(enum bed_shape s)
{
	return s == BED_S_PLAIN || s >= BED_S_FRAGMENTS;
}

bool bed_shape_is_v4(enum bed_shape s)
{
	return s <= BED_S_TRAILING || s == BED_S_AH;
}

uint16_t bed_checksum(const void *data, size_t len, uint32_t sum)
{
	const uint8_t *p = data;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	if (len & 1)
		sum += (uint32_t)p[len - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static size_t put_addr(const char *text, uint8_t *out)
{
	if (inet_pton(AF_INET, text, out) == 1)
		return 4;
	return inet_pton(AF_INET6, text, out) == 1 ? 16 : 0;
}

uint32_t bed_pseudo(const char *src, const char *dst, uint8_t proto, size_t len)
{
	uint8_t a[32];
	size_t n = put_addr(src, a);
	uint32_t sum = proto + (uint32_t)len;

	n += put_addr(dst, a + n);
	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)a[i] << 8 | a[i + 1];
	return sum;
}

static void put16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* ---- the transport ---- */
/* Each piece of 16 bytes of a long payload carries the mark, so that every fragment can be told. */
static size_t put_payload(const struct bed_craft *c, size_t copies, uint8_t *out)
{
	if (c->payload) {
		memcpy(out, c->payload, c->payload_len);
		return c->payload_len;
	}
	for (size_t i = 0; i < copies; i++) {
		struct bed_mark m = bed_mark(c->id);

		memset(out + i * 16, 0, 16);
		memcpy(out + i * 16, &m, sizeof(m));
	}
	return copies * 16;
}

static size_t put_transport(const struct bed_craft *c, size_t copies, uint8_t *out)
{
	size_t head = c->proto == 17 ? 8 : c->proto == 6 ? 20 : 0, len;
	uint16_t sum;

	memset(out, 0, head);
	len = head + put_payload(c, copies, out + head);
	if (!head)
		return len;
	put16(out, c->proto == 6 && !c->sport ? 10000 + c->id : c->sport);
	put16(out + 2, c->port);
	if (c->proto == 17) {
		put16(out + 4, len);
	} else {
		len = head;
		out[12] = 5 << 4;
		out[13] = 2; /* SYN */
		put16(out + 14, 1024);
	}
	sum = bed_checksum(out, len, bed_pseudo(c->src, c->dst, c->proto, len));
	memcpy(out + (c->proto == 17 ? 6 : 16), &sum, 2);
	return len;
}

/* ---- IPv4 ---- */
static size_t put_options4(const struct bed_craft *c, uint8_t *out)
{
	static const uint8_t codes[] = {[BED_S_LSRR] = 131, [BED_S_SSRR] = 137, [BED_S_RECORD_ROUTE] = 7};

	memset(out, 0, 8);
	switch (c->shape) {
	case BED_S_LSRR:
	case BED_S_SSRR:
	case BED_S_RECORD_ROUTE:
		out[0] = codes[c->shape];
		out[1] = 7;
		out[2] = c->shape == BED_S_RECORD_ROUTE || c->past ? 4 : 8;
		(void)put_addr(c->past ? c->past : c->dst, out + 3);
		return 8;
	case BED_S_ROUTER_ALERT:
		memcpy(out, "\x94\x04\0\0", 4);
		return 4;
	default:
		return 0;
	}
}

static void add4(const struct bed_craft *c, uint8_t proto, const uint8_t *body, size_t len, size_t offset, bool more,
		 struct bed_packets *ret)
{
	uint8_t *p = ret->p[ret->n].bytes;
	size_t options = put_options4(c, p + 20), head = 20 + options;
	uint16_t sum;

	memset(p, 0, 20);
	p[0] = (uint8_t)(0x40 | head / 4);
	put16(p + 2, head + len);
	put16(p + 4, 0x2000 + c->id % 0x8000);
	put16(p + 6, (more ? 0x2000 : 0) | offset / 8);
	p[8] = c->hops ? c->hops : 64;
	p[9] = proto;
	(void)put_addr(c->src, p + 12);
	(void)put_addr(c->dst, p + 16);
	sum = bed_checksum(p, head, 0);
	memcpy(p + 10, &sum, 2);
	memcpy(p + head, body, len);
	ret->p[ret->n++].len = head + len;
}

/* ---- IPv6 ---- */
static void add6(const struct bed_craft *c, uint8_t next, const uint8_t *body, size_t len, struct bed_packets *ret)
{
	uint8_t *p = ret->p[ret->n].bytes;

	memset(p, 0, 40);
	p[0] = 0x60;
	put16(p + 4, len);
	p[6] = next;
	p[7] = c->hops ? c->hops : 64;
	(void)put_addr(c->src, p + 8);
	(void)put_addr(c->dst, p + 24);
	memcpy(p + 40, body, len);
	ret->p[ret->n++].len = 40 + len;
}

/* An extension header of `size` bytes with one option that receivers skip (RFC 4727; the kernel refuses long padding). */
static size_t put_options6(uint8_t next, size_t size, uint8_t *out)
{
	memset(out, 0, size);
	out[0] = next;
	out[1] = (uint8_t)(size / 8 - 1);
	out[2] = 0x1e;
	out[3] = (uint8_t)(size - 4);
	return size;
}

static size_t put_routing(const struct bed_craft *c, uint8_t type, uint8_t *out)
{
	memset(out, 0, 24);
	out[0] = c->proto;
	out[1] = 2;
	out[2] = type;
	out[3] = type == 0; /* segments left: without any, type 0 is not acted on */
	(void)put_addr(c->dst, out + 8);
	return 24;
}

static void fragment6(const struct bed_craft *c, uint8_t next, const uint8_t *body, size_t len, size_t offset,
		      bool more, struct bed_packets *ret)
{
	uint8_t part[2600] = {next};

	put16(part + 2, offset | (more ? 1 : 0));
	put16(part + 6, 0x2000 + c->id);
	memcpy(part + 8, body, len);
	add6(c, 44, part, len + 8, ret);
}

/* ---- fragments of either family ---- */
static void fragment(const struct bed_craft *c, const uint8_t *body, size_t len, size_t offset, bool more,
		     struct bed_packets *ret)
{
	if (strchr(c->dst, ':'))
		fragment6(c, c->proto, body, len, offset, more, ret);
	else
		add4(c, c->proto, body, len, offset, more, ret);
}

/* Two fragments; an overlap writes another first part, with the decoy's port, before them. */
static void fragments(const struct bed_craft *c, struct bed_packets *ret)
{
	uint8_t body[256], decoy[256];
	size_t len = put_transport(c, 4, body), cut = c->shape == BED_S_TINY ? 8 : 40;
	struct bed_craft other = *c;

	other.port = c->decoy;
	(void)put_transport(&other, 4, decoy);
	if (c->shape == BED_S_OVERLAP)
		fragment(c, decoy, cut, 0, true, ret);
	if (c->shape != BED_S_TRAILING)
		fragment(c, body, cut, 0, true, ret);
	if (c->shape == BED_S_OVERLAP)
		fragment(c, body + 8, len - 8, 8, false, ret);
	else
		fragment(c, body + cut, len - cut, cut, false, ret);
}

/* In IPv6 the tiny first fragment holds an extension header and nothing of the transport (RFC 7112 forbids it). */
static void tiny6(const struct bed_craft *c, struct bed_packets *ret)
{
	uint8_t body[256];
	size_t len = put_options6(c->proto, 8, body);

	len += put_transport(c, 4, body + len);
	fragment6(c, 60, body, 8, 0, true, ret);
	fragment6(c, 60, body + 8, len - 8, 8, false, ret);
}

static void headers6(const struct bed_craft *c, struct bed_packets *ret)
{
	uint8_t body[2600];
	size_t len = 0, n = c->shape == BED_S_CHAIN ? 12 : 16, size = c->shape == BED_S_CHAIN ? 16 : 128, cut;
	uint8_t next = c->proto;

	switch (c->shape) {
	case BED_S_HOPOPTS:
	case BED_S_DSTOPTS:
		next = c->shape == BED_S_HOPOPTS ? 0 : 60;
		len = put_options6(c->proto, 16, body);
		break;
	case BED_S_RH0:
	case BED_S_SRH:
		next = 43;
		len = put_routing(c, c->shape == BED_S_RH0 ? 0 : 4, body);
		break;
	case BED_S_UNKNOWN:
		next = 139; /* HIP: an extension header that the kernel does not know */
		len = put_options6(c->proto, 8, body);
		break;
	case BED_S_NO_NEXT:
		next = 59;
		break;
	case BED_S_CHAIN:
	case BED_S_CHAIN_2K:
		next = 60;
		for (size_t i = 0; i < n; i++)
			len += put_options6(i + 1 < n ? 60 : c->proto, size, body + len);
		break;
	default:
		break;
	}
	len += put_transport(c, 1, body + len);
	if (c->shape != BED_S_CHAIN_2K) {
		add6(c, next, body, len, ret);
		return;
	}
	cut = 1024; /* the first fragment ends within the chain */
	fragment6(c, next, body, cut, 0, true, ret);
	fragment6(c, next, body + cut, len - cut, cut, false, ret);
}

static void authenticated(const struct bed_craft *c, struct bed_packets *ret)
{
	uint8_t body[256] = {c->proto, 4, 0, 0, 0, 0, 0, 7}; /* 24 bytes */
	size_t len = 24 + put_transport(c, 1, body + 24);

	if (strchr(c->dst, ':'))
		add6(c, 51, body, len, ret);
	else
		add4(c, 51, body, len, 0, false, ret);
}

int bed_craft(const struct bed_craft *c, struct bed_packets *ret)
{
	bool v6 = strchr(c->dst, ':');
	uint8_t body[2600];
	size_t len;

	if (!(v6 ? bed_shape_is_v6(c->shape) : bed_shape_is_v4(c->shape)) || c->payload_len > 1400)
		return -EINVAL;
	ret->n = 0;
	switch (c->shape) {
	case BED_S_FRAGMENTS:
	case BED_S_OVERLAP:
	case BED_S_TRAILING:
		fragments(c, ret);
		return 0;
	case BED_S_TINY:
		if (v6)
			tiny6(c, ret);
		else
			fragments(c, ret);
		return 0;
	case BED_S_AH:
		authenticated(c, ret);
		return 0;
	case BED_S_ATOMIC:
		len = put_transport(c, 1, body);
		fragment6(c, c->proto, body, len, 0, false, ret);
		return 0;
	default:
		break;
	}
	if (v6) {
		headers6(c, ret);
		return 0;
	}
	len = put_transport(c, 1, body);
	add4(c, c->proto, body, len, 0, false, ret);
	return 0;
}

/* ---- frames ---- */
int bed_frames(struct bed *b, bool from_peer, const struct bed_packets *p)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET, .sll_halen = 6, .sll_addr = {2, 0, 0, 0, 0, from_peer ? 1 : 2}};
	int fd = b->frames[from_peer];

	to.sll_ifindex = b->device[from_peer];
	for (size_t i = 0; i < p->n; i++) {
		to.sll_protocol = htons(p->p[i].bytes[0] >> 4 == 6 ? ETH_P_IPV6 : ETH_P_IP);
		if (sendto(fd, p->p[i].bytes, p->p[i].len, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
			return -errno;
	}
	return 0;
}
