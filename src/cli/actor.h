/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Running processes as the rules see them: for who, and for why --pid. What the kernel programs go by counts (ids of files and cgroups),
 * not paths, so that what was replaced or recreated since the policy was applied shows.
 */
#include "base/net.h"
#include "cli/cli.h"
#include "identity/identity.h"
#include "ruleset/label.h"

/* ---- actor.c ---- */
enum { ZT_PARENTS_MAX = 32 };
struct zt_person {
	struct zt_process process, parents[ZT_PARENTS_MAX]; /* the nearest parent first, init last */
	size_t n_parents;
	char digest[65]; /* of the program that runs, also of one that has no name any more; "": not readable */
	struct zt_container *container; /* NULL: in none; owned */
	struct zt_actor actor;		/* borrows from the above */
};
/* -ESRCH. rs: whether programs count at all (NULL: they do). */
int zt_person_read(int pid, const struct zt_ruleset *rs, struct zt_person *ret);
/* Of the record: the process itself where it lives and runs the same program, else what the record says of it (no groups, no parents). */
int zt_person_of_event(const struct zt_event_end *e, struct zt_person *ret);
int zt_person_details(struct zt_person *p);				/* digest and container too */
void zt_person_judge(struct zt_person *p, const struct zt_ruleset *rs); /* was it read before rs was known? */
void zt_person_done(struct zt_person *p);
char *zt_person_service(const struct zt_person *p); /* "nginx.service" of its cgroup; malloc'ed, NULL: none */
/* Why the process is not the subject: "group: 33 is not in 1000", "program: /usr/bin/python3 is not /usr/sbin/nginx",
 * "program: /usr/sbin/nginx was replaced: digest differs …". */
void zt_subject_miss_text(const struct zt_subject *s, const struct zt_person *p, enum zt_subject_miss miss,
			  struct zt_strbuf *out);

/* ---- sockets.c: of the network namespace the program is in ---- */
struct zt_netsock {
	uint64_t inode;
	uint8_t proto;
	bool listens; /* or, UDP: takes what comes from anybody */
	struct zt_addr local, remote;
	uint16_t port, remote_port;
};
struct zt_netsocks {
	struct zt_netsock *v; /* by inode */
	size_t n, cap;
};
struct zt_owner { /* a socket may have several: workers inherit it */
	int pid;
	const struct zt_netsock *socket; /* borrowed */
};
struct zt_owners {
	struct zt_owner *v; /* by pid; what listens first */
	size_t n, cap;
};
int zt_netsocks_read(struct zt_netsocks *ret);
/* Unix sockets that are bound to name (as a policy says it) and take connections or datagrams; of each only the inode. */
int zt_unixsocks_read(const char *name, struct zt_netsocks *ret);
void zt_netsocks_done(struct zt_netsocks *l);
int zt_owners_read(const struct zt_netsocks *sockets, struct zt_owners *ret);
void zt_owners_done(struct zt_owners *l);
void zt_netsock_text(const struct zt_netsock *s,
		     struct zt_strbuf *out); /* "tcp 127.0.0.1:6379", "udp [::1]:9 -> [::1]:53" */
