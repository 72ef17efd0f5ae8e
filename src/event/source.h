/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Inside the event room: what the kinds of sources share. */
#include <sys/types.h>

#include "base/ring.h"
#include "event/event.h"
#include "ruleset/label.h"

struct zt_event_ops {
	const char *name;
	/* Next event that is already there: 1; 0 = nothing now; -ENODATA = never again; -errno. */
	int (*read)(struct zt_event_source *s, struct zt_event *ret);
	void (*close)(struct zt_event_source *s);
};

enum { ZT_LINE_MAX = 16384 };

struct zt_event_source {
	const struct zt_event_ops *ops;
	char *prefix;		/* of blocked traffic */
	zt_usec since;		/* older events are left out; those without a time are kept */
	bool follow, no_search; /* no_search: somebody else finds the program */
	int fd;
	uint64_t lost, damaged, suppressed, held_back;
	/* line sources */
	char *buf; /* ZT_LINE_MAX bytes */
	size_t len, done;
	bool skipping, eof;
	pid_t child;
	/* nflog */
	void *handle, *group;
	struct zt_event *queue; /* one datagram holds many records */
	size_t n_queue, cap_queue, next, max_queue, peak_queue;
	uint32_t seq;		  /* of the next packet */
	bool counted, overflowed; /* seq is known; packets are missing since, how many the next one shows */
	/* record */
	struct zt_record_reader *reader;
	struct zt_ring ring; /* fd, where the engine rings */
	/* journal of zt-segmentd */
	struct zt_told *told;
};

extern const struct zt_event_ops zt_event_nflog, zt_event_kmsg, zt_event_file, zt_event_journal, zt_event_record_ops,
	zt_event_told_ops;
int zt_event_nflog_open(struct zt_event_source *s, struct zt_diags *d);
int zt_event_kmsg_open(struct zt_event_source *s, struct zt_diags *d);
int zt_event_file_open(struct zt_event_source *s, const char *path, struct zt_diags *d);
int zt_event_journal_open(struct zt_event_source *s, struct zt_diags *d);

/* The headers of a captured packet, from the network header on; fills src dst proto ports length. 0 or -EBADMSG. */
int zt_event_parse_packet(const uint8_t *p, size_t len, struct zt_event *e);
/* What a log statement put before the packet: kind and rule. 0 or -ENOMSG. */
int zt_event_parse_prefix(const char *text, const char *blocked_prefix, struct zt_event *e);
/* end.c: the names of what the record knows by number. */
struct zt_record_names; /* remembers what was looked up */
struct zt_record_names *zt_record_names_new(void);
void zt_record_names_free(struct zt_record_names *n);
/* rs, labels: of the record's generation, or NULL. */
void zt_record_end_names(struct zt_record_names *n, const struct zt_record_end *from, const struct zt_ruleset *rs,
			 const struct zt_labels *labels, struct zt_event_end *ret);
/* program of an event that just happened, "" when it cannot be told. */
void zt_event_find_program(struct zt_event *e);
