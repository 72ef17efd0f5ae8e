/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * event: what happened. Reads blocked-packet records from wherever they are: nflog (own netlink socket, works in every network
 * namespace), the journal (journalctl child), the kernel log (/dev/kmsg, /var/log/kern.log). May use engine and below.
 * Later: schema, ring buffers, conntrack, journal of its own, sinks.
 *
 * Record text is the reference's: "ZT-BLOCKED: IN= OUT=lo SRC=127.0.0.1 DST=127.0.0.1 … PROTO=TCP SPT=54321 DPT=6379 … UID=1003 GID=1003",
 * with "rule=NAME " after the prefix where one rule (log: true) decided. Observed traffic has "ZT-OBSERVED: ", allowed traffic of
 * rules with log: true has "ZT-ALLOWED: ".
 */
#include "engine/engine.h"

enum zt_event_kind { ZT_EVENT_BLOCKED, ZT_EVENT_OBSERVED, ZT_EVENT_ALLOWED };

struct zt_event {
	enum zt_event_kind kind;
	zt_usec when;  /* realtime; 0 when the source has no time */
	char rule[72]; /* "" = default policy */
	char in[16], out[16];
	struct zt_addr src, dst;
	uint8_t proto;
	bool has_ports, has_uid;
	uint16_t sport, dport;
	uint32_t uid, gid;
	uint32_t length;
	char program[64]; /* comm of a live process that holds the socket or belongs to the uid; "" unknown */
};

/* Parses one log line (kernel log, journal, syslog file: anything before the prefix is ignored except a leading timestamp).
 * 0; -ENOMSG when it is not one of ours; -EBADMSG when it is damaged. Never reads past len. */
int zt_event_parse_line(const char *line, size_t len, const char *blocked_prefix, struct zt_event *ret);
/* The reference's log form of an event, prefix included, without newline. */
int zt_event_format_line(const struct zt_event *e, const char *blocked_prefix, struct zt_strbuf *out);

struct zt_event_source;
/* Names: "nflog", "journal", "kmsg", "file:/path", or NULL = the best that is there for the past (and nflog for following). */
int zt_event_open(const char *name, const char *blocked_prefix, zt_usec since, bool follow,
		  struct zt_event_source **ret, struct zt_diags *d);
/* Next event: 1 and *ret; 0 = end (not following) or timeout_msec passed; -errno. timeout_msec -1 = wait. */
int zt_event_next(struct zt_event_source *s, int timeout_msec, struct zt_event *ret);
int zt_event_fd(const struct zt_event_source *s);
const char *zt_event_source_name(const struct zt_event_source *s);
/* Records the source could not deliver (a full queue), and lines that were ours but damaged. */
uint64_t zt_event_lost(const struct zt_event_source *s);
uint64_t zt_event_damaged(const struct zt_event_source *s);
void zt_event_close(struct zt_event_source *s);
void zt_event_closep(struct zt_event_source **s);

/* Grouping for `blocked` and `report`: by uid, then destination, protocol, port. */
struct zt_event_group {
	struct zt_event sample; /* the last one */
	uint64_t count;
	zt_usec first, last;
};
struct zt_event_groups {
	struct zt_event_group *items;
	size_t n, cap;
	uint64_t total, overflowed; /* at most 10,000 groups; the rest is only counted */
};
int zt_event_groups_add(struct zt_event_groups *g, const struct zt_event *e);
void zt_event_groups_done(struct zt_event_groups *g);
struct zt_event_pattern { /* worth a look */
	const char *kind; /* "port scan" "host sweep" "burst" */
	uint32_t uid;
	bool has_uid;
	char text[160];
};
int zt_event_patterns(const struct zt_event_groups *g, struct zt_event_pattern **ret, size_t *ret_n);
