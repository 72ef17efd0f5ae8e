/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/ct.h"

#include <arpa/inet.h>
#include <string.h>

void zt_ct_set_ends(struct nf_conntrack *ct, const struct zt_addr *src, const struct zt_addr *dst, uint8_t proto,
		    uint16_t sport, uint16_t dport)
{
	nfct_set_attr_u8(ct, ATTR_L3PROTO, src->family == 4 ? AF_INET : AF_INET6);
	if (src->family == 4) {
		uint32_t a;

		memcpy(&a, src->b, 4);
		nfct_set_attr_u32(ct, ATTR_IPV4_SRC, a);
		memcpy(&a, dst->b, 4);
		nfct_set_attr_u32(ct, ATTR_IPV4_DST, a);
	} else {
		nfct_set_attr(ct, ATTR_IPV6_SRC, src->b);
		nfct_set_attr(ct, ATTR_IPV6_DST, dst->b);
	}
	nfct_set_attr_u8(ct, ATTR_L4PROTO, proto);
	nfct_set_attr_u16(ct, ATTR_PORT_SRC, htons(sport));
	nfct_set_attr_u16(ct, ATTR_PORT_DST, htons(dport));
}
