/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Entries of connection tracking. */
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>

#include "base/net.h"

/* Who sends to whom, in the direction of the first packet. */
void zt_ct_set_ends(struct nf_conntrack *ct, const struct zt_addr *src, const struct zt_addr *dst, uint8_t proto,
		    uint16_t sport, uint16_t dport);
