/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Inside the room: from flows to a policy, in the order of the files:
 *   party.c   who a process is in the policy; asks the language what it can name
 *   cells.c   flows to cells, what goes further than was seen
 *   groups.c  cells to rules
 *   write.c   rules to text
 *   expect.c  tests for them
 *   learn.c   the driver
 */
#include "learn/learn.h"

struct zt_party {		       /* an identity of the policy */
	const struct zt_seen_who *who; /* one of its processes */
	unsigned parts;		       /* ZT_BY_… */
	bool user_named;	       /* user: NAME means this uid */
	char name[65];
	unsigned uses; /* in rules; more than one: it gets a name */
};
struct zt_name { /* a host name that was looked up */
	const char *text;
	uint64_t count;
	bool usable; /* the language takes it, and it resolves */
	struct zt_addr_ranges addrs;
};

enum zt_host_kind { ZT_HOST_LOCAL, ZT_HOST_NAME, ZT_HOST_OWN, ZT_HOST_RANGE, ZT_HOST_INTERNET };
struct zt_host {
	enum zt_host_kind kind;
	uint8_t families;	    /* that were seen; not compared */
	const char *name;	    /* ZT_HOST_NAME */
	struct zt_addr_range range; /* ZT_HOST_OWN, ZT_HOST_RANGE */
};
enum { ZT_NO_PARTY = -1 };
struct zt_evidence_sum {
	uint64_t count, bytes;
	zt_usec first, last;
	double cells;		       /* distinct ones */
	const struct zt_seen *example; /* the heaviest */
};
struct zt_cell {
	int32_t sender, receiver;
	enum zt_direction dir;
	uint8_t proto;
	uint16_t lo, hi; /* ports */
	struct zt_host host;
	struct zt_evidence_sum seen;
};
struct zt_draft { /* a rule in the making: the product of its lists */
	int32_t *senders;
	size_t n_senders;
	int32_t receiver;
	enum zt_direction dir;
	struct zt_u32_ranges proto, port;
	struct zt_host *hosts;
	size_t n_hosts;
	int32_t set; /* number of the set that holds hosts, or -1 */
	struct zt_evidence_sum seen;
	double score;
	bool any_program;
	char name[65];
};

struct zt_learning {
	const struct zt_seen_list *l;
	struct zt_learn_options o;
	unsigned
		*usable; /* ZT_BY_… that the language can name, by index of the process; of those that were asked for */
	int32_t *party_of; /* the same */
	struct zt_party *parties;
	size_t n_parties, cap_parties;
	struct zt_name *names; /* by address of the text */
	size_t n_names, cap_names;
	struct zt_cell *cells;
	size_t n_cells, cap_cells;
	struct zt_draft *drafts;
	size_t n_drafts, cap_drafts;
	struct zt_addr_ranges internet;
	struct zt_learned *out;
	struct zt_diags *d;
};

/* ---- party.c ---- */
int zt_party(struct zt_learning *x, const struct zt_seen_who *w, int32_t *ret); /* ZT_NO_PARTY: without a user */
int zt_parties_name(struct zt_learning *x);					/* after uses are known */
int zt_names_make(struct zt_learning *x);
const struct zt_name *zt_names_find(const struct zt_learning *x, const char *text); /* NULL: none, or not usable */
void zt_learning_done(struct zt_learning *x);

/* ---- cells.c ---- */
extern const char *const zt_internet[]; /* what the set holds; NULL ends */
int zt_cells_make(struct zt_learning *x);
int zt_host_compare(const struct zt_host *a, const struct zt_host *b);
int zt_cell_compare(const void *a, const void *b); /* host last */
void zt_evidence_join(struct zt_evidence_sum *a, const struct zt_evidence_sum *b);

/* ---- groups.c ---- */
int zt_drafts_make(struct zt_learning *x);
void zt_drafts_sets(struct zt_learning *x); /* numbers them in the order of the rules */
bool zt_drafts_same_hosts(const struct zt_draft *a, const struct zt_draft *b);

/* ---- write.c ---- */
int zt_drafts_name(struct zt_learning *x);
int zt_write_policy(const struct zt_learning *x, struct zt_strbuf *out); /* without tests */
void zt_write_host(const struct zt_host *h, struct zt_strbuf *out);	 /* as a YAML string */
/* "user: x, exe: y": in a flow mapping */
void zt_write_parts(const struct zt_seen_who *w, unsigned parts, bool user_named, struct zt_strbuf *out);
void zt_write_protocol(uint8_t proto, struct zt_strbuf *out);

/* ---- expect.c ---- */
/* Appends "tests:" with those that hold. */
int zt_write_tests(struct zt_learning *x, struct zt_strbuf *policy);
int zt_learn_parse(const struct zt_learning *x, const char *text, size_t len, struct zt_policy **ret,
		   struct zt_diags *d);
