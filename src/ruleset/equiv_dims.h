/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Inside the room: the dimensions of a flow for equiv.c. Each rule is a box: a flow is in the rule if it is in each dimension. */
#include "ruleset/label.h"

enum {
	EQUIV_KIND, /* where it goes: to elsewhere, to a local process, from elsewhere, forwarded, to a Unix socket; SSH or not; owned or not */
	EQUIV_FAMILY,
	EQUIV_KNOWN,
	EQUIV_UID,
	EQUIV_GROUP,
	EQUIV_CGROUP,
	EQUIV_EXE,
	EQUIV_PARENT, /* the sender */
	EQUIV_TO_KNOWN,
	EQUIV_TO_UID,
	EQUIV_TO_GROUP,
	EQUIV_TO_CGROUP,
	EQUIV_TO_EXE,
	EQUIV_TO_PARENT, /* the receiver */
	EQUIV_SRC,
	EQUIV_DST,
	EQUIV_PROTO,
	EQUIV_PORT,
	EQUIV_NAME, /* of a Unix socket */
	EQUIV_WEEK,
	EQUIV_EXPIRY,
	EQUIV_DIMS
};
enum equiv_known { EQUIV_NOBODY, EQUIV_UNKNOWN, EQUIV_PROCESS };

struct equiv_process {
	enum equiv_known known;
	uint32_t uid, gid;

	uint32_t group[64];
	size_t n_groups;
	const char *cgroup, *exe, *parent;
};
struct equiv_point { /* one class, by a representative of each dimension */
	enum zt_direction dir;
	bool loopback;
	uint8_t family;
	struct equiv_process p[2]; /* sender, receiver */
	struct zt_addr src, dst;
	uint8_t proto;
	uint16_t port;
	const char *name; /* NULL: none that a policy could say */
	uint32_t week;	  /* seconds since Monday 00:00 UTC */
	zt_usec time;	  /* for expiry */
};
struct equiv_value {
	uint64_t number;
	struct zt_addr addr;
	const char *text;
};
struct equiv_classes {
	struct equiv_value *v;
	size_t n, cap;
};

struct equiv_point equiv_start(void);
struct zt_rule equiv_ssh_rule(const struct zt_ruleset *rs); /* the SSH ports stand before all rules; borrows */
bool equiv_asks(const struct zt_rule *r, int dim);	    /* does the rule constrain the dimension at all? */
bool equiv_matches(const struct zt_rule *r, int dim, const struct equiv_point *at);
int equiv_classes_make(const struct zt_rule *const *a, size_t n, const struct zt_rule *const *b, size_t m, int dim,
		       const struct equiv_point *at, struct equiv_classes *ret);
void equiv_classes_done(struct equiv_classes *c);
void equiv_set(const struct equiv_classes *c, size_t i, int dim, struct equiv_point *at);
void equiv_flow(const struct equiv_point *at, struct zt_flow *f, struct zt_actor *sender, struct zt_actor *receiver);
