/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "base/net.h"
#include "event/source.h"

enum { EXTENSIONS_MAX = 16 };

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void take_ports(const uint8_t *p, size_t len, struct zt_event *e)
{
	if (!zt_proto_has_ports(e->proto) || len < 4)
		return;
	e->has_ports = true;
	e->sport = be16(p);
	e->dport = be16(p + 2);
}

static int parse4(const uint8_t *p, size_t len, struct zt_event *e)
{
	size_t ihl = (size_t)(p[0] & 15) * 4;

	if (len < 20 || ihl < 20)
		return -EBADMSG;
	e->src.family = e->dst.family = 4;
	memcpy(e->src.b, p + 12, 4);
	memcpy(e->dst.b, p + 16, 4);
	e->length = be16(p + 2);
	e->proto = p[9];
	if ((be16(p + 6) & 0x1fff) == 0 && len >= ihl)
		take_ports(p + ihl, len - ihl, e);
	return 0;
}

/* Length of an extension header, 0 when the header is not one that can be stepped over. *ret_later: a later fragment. */
static size_t extension(uint8_t next, const uint8_t *p, bool *ret_later)
{
	switch (next) {
	case 0:	  /* hop by hop */
	case 43:  /* routing */
	case 60:  /* destination options */
	case 135: /* mobility */
	case 139: /* HIP */
	case 140: /* shim6 */
		return (size_t)p[1] * 8 + 8;
	case 51: /* authentication */
		return (size_t)p[1] * 4 + 8;
	case 44: /* fragment */
		*ret_later = be16(p + 2) & 0xfff8;
		return 8;
	default:
		return 0;
	}
}

static int parse6(const uint8_t *p, size_t len, struct zt_event *e)
{
	size_t at = 40;
	bool later = false;

	if (len < 40)
		return -EBADMSG;
	e->src.family = e->dst.family = 6;
	memcpy(e->src.b, p + 8, 16);
	memcpy(e->dst.b, p + 24, 16);
	e->length = be16(p + 4) + 40u;
	e->proto = p[6];
	for (unsigned i = 0; i < EXTENSIONS_MAX && at + 8 <= len && !later; i++) {
		size_t n = extension(e->proto, p + at, &later);

		if (!n)
			break;
		e->proto = p[at];
		at += n;
	}
	if (!later && at <= len)
		take_ports(p + at, len - at, e);
	return 0;
}

int zt_event_parse_packet(const uint8_t *p, size_t len, struct zt_event *e)
{
	if (len < 1)
		return -EBADMSG;
	switch (p[0] >> 4) {
	case 4:
		return parse4(p, len, e);
	case 6:
		return parse6(p, len, e);
	default:
		return -EBADMSG;
	}
}
