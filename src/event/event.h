/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * event: what happened. Reads blocked-packet records from wherever they are: nflog (own netlink socket, works in every network
 * namespace), the journal (journalctl child), the kernel log (/dev/kmsg, /var/log/kern.log), the record that the bpf engine keeps in the
 * kernel. May use engine and below. Later: schema, ring buffers, conntrack, journal of its own, sinks.
 *
 * Record text is the reference's: "ZT-BLOCKED: IN= OUT=lo SRC=127.0.0.1 DST=127.0.0.1 … PROTO=TCP SPT=54321 DPT=6379 … UID=1003 GID=1003",
 * with "rule=NAME " after the prefix where one rule (log: true) decided. Observed traffic has "ZT-OBSERVED: ", allowed traffic of
 * rules with log: true has "ZT-ALLOWED: ".
 */
#include "engine/engine.h"

enum zt_event_kind { ZT_EVENT_BLOCKED, ZT_EVENT_OBSERVED, ZT_EVENT_ALLOWED };

enum zt_event_how { /* where the program's name is from */
		    ZT_HOW_UNKNOWN,
		    ZT_HOW_GUESS, /* comm of a live process that holds the socket or belongs to the uid */
		    ZT_HOW_NAME, /* comm of the process itself, which is gone, in brackets: any process can call itself so */
		    ZT_HOW_FOLDER,  /* a file of the usual folders, by its inode */
		    ZT_HOW_POLICY,  /* a program of the policy, by its inode */
		    ZT_HOW_PROCESS, /* the process lives and was looked at */
};
const char *zt_event_how_name(enum zt_event_how h);
struct zt_event_end { /* the process at an end; only the record tells so much */
	bool known;
	int pid;
	uint64_t start; /* ns since boot */
	uint32_t uid, gid;
	struct zt_file_id exe;
	bool deleted; /* its program has no name any more, or never had one */
	char comm[16];
	enum zt_event_how how;
	char program[160]; /* a long path is cut in front: ".../bin/x" */
	char cgroup[160];  /* path; "" when it is gone */
	char service[80];  /* "nginx.service" of that path */
	uint32_t label;
	char subjects[160]; /* of the policy, "@web, @cache"; "" none */
};

struct zt_event {
	enum zt_event_kind kind;
	zt_usec when;  /* realtime; 0 when the source has no time */
	char rule[72]; /* "" = default policy */
	char in[16], out[16];
	const char *hook; /* where it was decided, as in struct zt_activity; NULL: the source does not say */
	struct zt_addr src, dst;
	uint8_t proto;
	bool has_ports, has_uid;
	uint16_t sport, dport;
	uint32_t uid, gid;
	uint32_t length;
	char program[160]; /* of the sender; "" unknown */
	enum zt_event_how how;
	/* of the record alone: */
	uint64_t number; /* 1.. of all; 0: not of the record */
	uint64_t generation;
	bool inbound, received, forwarded;
	bool is_unix;	     /* to a Unix socket: no addresses, no protocol */
	char unix_name[112]; /* any bytes; "": it is bound to nothing */
	enum zt_record_reason reason;
	struct zt_event_end sender, receiver;
};
enum zt_direction zt_event_direction(const struct zt_event *e);
const char *zt_event_reason_name(enum zt_record_reason r); /* "rule" "default" "unknown" … */
void zt_event_reason_text(const struct zt_event *e,
			  struct zt_strbuf *out); /* for people; nothing where a rule decided */

/* Parses one log line (kernel log, journal, syslog file: anything before the prefix is ignored except a leading timestamp).
 * 0; -ENOMSG when it is not one of ours; -EBADMSG when it is damaged. Never reads past len. */
int zt_event_parse_line(const char *line, size_t len, const char *blocked_prefix, struct zt_event *ret);
/* The reference's log form of an event, prefix included, without newline. */
int zt_event_format_line(const struct zt_event *e, const char *blocked_prefix, struct zt_strbuf *out);

struct zt_event_source;
/* Names: "nflog", "journal", "kmsg", "file:/path", or NULL = the best that is there for the past (and nflog for following). */
int zt_event_open(const char *name, const char *blocked_prefix, zt_usec since, bool follow,
		  struct zt_event_source **ret, struct zt_diags *d);
struct zt_event_record {		/* what the record is read with */
	const struct zt_engine *engine; /* one that keeps a record */
	const char *instance;
	/* The ruleset of a generation, for names of rules and subjects: 0, or -ENOENT and the names are missing. The source releases it. */
	int (*ruleset)(void *arg, uint64_t generation, struct zt_ruleset **ret);
	void *arg;
	uint64_t after; /* not 0: only what has a higher number; without following */
};
int zt_event_record_open(const struct zt_event_record *from, zt_usec since, bool follow, struct zt_event_source **ret,
			 struct zt_diags *d);
struct zt_activity;
void zt_event_of_activity(const struct zt_activity *a,
			  struct zt_event *ret); /* a record of the journal; what it has not stays empty */
/* What zt-segmentd writes into its journal at path; what it lost of it counts as lost here. -ENOENT: there is none; -ESRCH: nobody writes it at the
 * moment. */
int zt_event_told_open(const char *path, zt_usec since, bool follow, struct zt_event_source **ret, struct zt_diags *d);
/* Next event: 1 and *ret; 0 = end (not following) or timeout_msec passed; -errno. timeout_msec -1 = wait. */
int zt_event_next(struct zt_event_source *s, int timeout_msec, struct zt_event *ret);
/* What the policy that is in force now puts before blocked traffic. */
void zt_event_set_prefix(struct zt_event_source *s, const char *blocked_prefix);
int zt_event_fd(const struct zt_event_source *s);
const char *zt_event_source_name(const struct zt_event_source *s);
/* Records the source could not deliver (a full queue), and lines that were ours but damaged. */
uint64_t zt_event_lost(const struct zt_event_source *s);
uint64_t zt_event_damaged(const struct zt_event_source *s);
/* Events that the limit of the policy kept out, of the record only. */
uint64_t zt_event_suppressed(const struct zt_event_source *s);
/* Of a record: all that the limit kept back since the engine counts, as of the last read. */
uint64_t zt_event_held_back(const struct zt_event_source *s);
void zt_event_close(struct zt_event_source *s);
void zt_event_closep(struct zt_event_source **s);

/* Grouping for `blocked` and `report`: by uid, then destination, protocol, port, and where they are known the programs of both ends. */
struct zt_event_group {
	struct zt_event sample; /* the last one */
	uint64_t count;
	zt_usec first, last;
};
struct zt_event_groups {
	struct zt_event_group *items;
	size_t n, cap;
	uint64_t total, overflowed; /* at most 10,000 groups; the rest is only counted */
	uint64_t lost, suppressed;  /* as the source tells */
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
