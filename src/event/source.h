/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Inside the event room: what the kinds of sources share. */
#include <sys/types.h>

#include "event/event.h"

struct zt_event_ops {
	const char *name;
	/* Next event that is already there: 1; 0 = nothing now; -ENODATA = never again; -errno. */
	int (*read)(struct zt_event_source *s, struct zt_event *ret);
	void (*close)(struct zt_event_source *s);
};

enum { ZT_LINE_MAX = 16384 };

struct zt_event_source {
	const struct zt_event_ops *ops;
	char *prefix;  /* of blocked traffic */
	zt_usec since; /* older events are left out; those without a time are kept */
	bool follow;
	int fd;
	uint64_t lost, damaged;
	/* line sources */
	char *buf; /* ZT_LINE_MAX bytes */
	size_t len, done;
	bool skipping, eof;
	pid_t child;
	zt_usec boot; /* realtime of the kernel log's time zero */
	/* nflog */
	void *handle, *group;
	struct zt_event *queue; /* one datagram holds many records */
	size_t n_queue, cap_queue, next;
};

extern const struct zt_event_ops zt_event_nflog, zt_event_kmsg, zt_event_file, zt_event_journal;
int zt_event_nflog_open(struct zt_event_source *s, struct zt_diags *d);
int zt_event_kmsg_open(struct zt_event_source *s, struct zt_diags *d);
int zt_event_file_open(struct zt_event_source *s, const char *path, struct zt_diags *d);
int zt_event_journal_open(struct zt_event_source *s, struct zt_diags *d);

/* The headers of a captured packet, from the network header on; fills src dst proto ports length. 0 or -EBADMSG. */
int zt_event_parse_packet(const uint8_t *p, size_t len, struct zt_event *e);
/* What a log statement put before the packet: kind and rule. 0 or -ENOMSG. */
int zt_event_parse_prefix(const char *text, const char *blocked_prefix, struct zt_event *e);
/* program of an event that just happened, "" when it cannot be told. */
void zt_event_find_program(struct zt_event *e);
