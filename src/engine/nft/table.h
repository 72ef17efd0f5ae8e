/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* A table of nf_tables that may be another program's, by name; the network namespace is that of the caller. For the iptables engine too. */
#include <stdint.h>

#include "base/macros.h"

/* NFT_TABLE_F_DORMANT of <linux/netfilter/nf_tables.h>: the table keeps all that is in it and decides nothing. family is NFPROTO_…. False also where
 * there is no such table. */
int nft_table_dormant(uint8_t family, const char *table, bool *ret);
int nft_table_wake(uint8_t family, const char *table); /* takes the flag off, in one transaction */
