/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Messages of the domain name system (RFC 1035), as far as it takes to say who asked for what and what was answered. The bytes are those of strangers. */
#include "base/net.h"
#include "base/time.h"

enum { ZT_DNS_NAME = 256, ZT_DNS_ANSWERS = 16 };
struct zt_dns {
	bool response;
	uint16_t id, type; /* of the first question */
	uint8_t rcode;
	char name[ZT_DNS_NAME]; /* of the question, without the last dot, lower case; "." for the root */
	struct zt_dns_answer {
		uint16_t type; /* 1 A, 28 AAAA, 5 CNAME, 12 PTR: others are counted only */
		uint32_t ttl;  /* seconds */
		struct zt_addr addr;
		char name[ZT_DNS_NAME];
	} answers[ZT_DNS_ANSWERS];
	size_t n_answers; /* that are in answers */
	bool truncated; /* the packet was cut, by its sender (TC) or where it was looked at: some answers may be missing */
};
/* tcp: the message follows two bytes of length. -EBADMSG: none, or one that lies about itself. */
int zt_dns_parse(const uint8_t *p, size_t len, bool tcp, struct zt_dns *ret);
const char *zt_dns_type_name(uint16_t type, char buf[static 16]);  /* "A", "TYPE65" */
const char *zt_dns_rcode_name(uint8_t rcode, char buf[static 16]); /* "NXDOMAIN", "RCODE11" */
