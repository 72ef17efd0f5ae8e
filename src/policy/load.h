/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Inside the room: what one load of a policy works with, and its stages in order:
 *   include.c   files to trees
 *   names.c     users and groups       hosts.c     addresses, ports, protocols, sets
 *   who.c       who a process is       program.c   programs, containers
 *   unix.c      Unix sockets
 *   identities.c named identities      schedule.c  times
 *   rule.c      rules, directions      expect.c    tests
 *   settings.c  settings               policy.c    the driver
 * Functions return 0, -EINVAL after having complained (others go on, so that all errors of a run are seen), or -ENOMEM, which
 * ends the run. zt_also() keeps the worse of two results.
 */
#include <sys/types.h>

#include "policy/keys.h"
#include "policy/policy.h"
#include "policy/strmap.h"

enum {
	ZT_TOTAL_MAX = 16 << 20,
	ZT_FILES_MAX = 1000,
	ZT_RULES_MAX = 100000,
	ZT_RANGES_MAX = 4000000, /* of addresses, ports, ids in all rules: sets multiply */
};

struct zt_source {
	struct zt_doc doc;
	char *text;
	size_t len;
	struct zt_fields fields;
	struct zt_source *parent, **includes; /* in order */
	size_t n_includes, cap_includes;
	bool has_id;
	dev_t dev;
	ino_t ino;
};

struct zt_account { /* a user or a group */
	char *name;
	uint32_t id, gid;    /* gid: primary group of a user */
	bool known, members; /* members: supplementary ones (groups) */
	bool used;	     /* is among the accounts of the policy */
};
struct zt_names {
	bool loaded; /* from the files of --root: then complete */
	struct zt_strmap users, groups;
	struct zt_account **all;
	size_t n, cap;
};

struct zt_set {
	const struct zt_doc *doc;
	const struct zt_node *key;
	struct zt_addr_ranges addresses;
	struct zt_u32_ranges ports;
	bool has_addresses, has_ports, used, bad, open; /* open: being read */
};
struct zt_identity {
	const struct zt_doc *doc;
	const struct zt_node *key;
	struct zt_who *whos; /* alternatives */
	size_t n_whos;
	enum { ZT_IDENTITY_NEW, ZT_IDENTITY_READING, ZT_IDENTITY_DONE } state;
	bool used, bad;
};

struct zt_load {
	const struct zt_policy_options *o;
	struct zt_diags *d;
	struct zt_policy *p;
	const struct zt_doc *doc; /* of what is being read */
	struct zt_source **sources;
	size_t n_sources, cap_sources, cap_files, cap_rules, cap_tests;
	size_t n_bytes;
	const char *recorded, *recorded_end; /* what is left of a recorded source of several files, or NULL */
	struct zt_strmap sets, identities;   /* to struct zt_set, struct zt_identity */
	struct zt_strmap rule_names;	     /* to the rule's index + 1 */
	struct zt_strmap hosts, services;    /* looked up before */
	struct zt_names names;
	size_t n_ranges;
	zt_usec now;
};

static inline int zt_also(int r, int e)
{
	return r == -ENOMEM || !e ? r : e;
}
/* zt_diag() at a node of l->doc; always the result of the severity. */
#define zt_complain(l, code, node, ...) zt_doc_diag((l)->doc, (l)->d, ZT_ERROR, code, node, __VA_ARGS__)
#define zt_warn(l, code, node, ...) (void)zt_doc_diag((l)->doc, (l)->d, ZT_WARNING, code, node, __VA_ARGS__)
/* The node's text, fit for a message, in one of four static buffers. */
const char *zt_shown(const struct zt_node *node);

/* Scalar or list: for (i = zt_first(v); i; i = zt_next(v, i)) */
static inline const struct zt_node *zt_first(const struct zt_node *v)
{
	return !v ? NULL : v->kind == ZT_NODE_LIST ? v->first : v;
}
static inline const struct zt_node *zt_next(const struct zt_node *v, const struct zt_node *i)
{
	return v->kind == ZT_NODE_LIST ? i->next : NULL;
}
char *zt_as_written(const struct zt_node *v); /* "a", "a,b"; NULL on ENOMEM */

/* ---- include.c ---- */
int zt_sources_load(struct zt_load *l, const char *path);
int zt_sources_add_text(struct zt_load *l, const char *name, const char *text, size_t len);
int zt_sources_join(const struct zt_load *l, struct zt_policy *p); /* sets p->source */
void zt_sources_done(struct zt_load *l);

/* ---- names.c: 0, -ENOENT, -ENOMEM ---- */
int zt_names_user(struct zt_load *l, const char *name, const struct zt_account **ret);
int zt_names_group(struct zt_load *l, const char *name, const struct zt_account **ret);
int zt_names_uid(struct zt_load *l, uint32_t uid, uint32_t *ret_gid); /* primary group of a number */
bool zt_names_group_has_members(struct zt_load *l, uint32_t gid);     /* supplementary ones */
int zt_names_used(struct zt_load *l, const char *name, bool group); /* one that was found: among those of the policy */
char *zt_names_nearest(struct zt_load *l, const char *name, bool group);
void zt_names_done(struct zt_names *n);

/* ---- hosts.c ---- */
int zt_sets_read(struct zt_load *l, const struct zt_node *node); /* sets: of one file */
void zt_sets_done(struct zt_load *l);
/* loose: host names may be there, sets too. Appends to ret, which is normalised. */
int zt_hosts_read(struct zt_load *l, const struct zt_node *v, struct zt_addr_ranges *ret);
int zt_ports_read(struct zt_load *l, const struct zt_node *v, struct zt_u32_ranges *ret);
int zt_protocols_read(struct zt_load *l, const struct zt_node *v, struct zt_u32_ranges *ret);
int zt_range_read(struct zt_load *l, const struct zt_node *v, uint32_t lo, uint32_t hi,
		  struct zt_u32_range *ret); /* "5", "5-7"; silent */
int zt_count_ranges(struct zt_load *l, const struct zt_node *v, size_t n);
int zt_name_check(struct zt_load *l, const struct zt_node *key, const char *what); /* of a set or an identity */

/* ---- unix.c: names of Unix sockets, and what cannot stand beside them ---- */
int zt_unix_read(struct zt_load *l, const struct zt_node *v, struct zt_unix_names *ret); /* "any" adds nothing */
/* others: keys that were given beside unix:, or NULL; complains about the first. */
int zt_unix_alone(struct zt_load *l, const struct zt_node *const *others, size_t n);

/* ---- program.c: lists of programs, containers ---- */
void zt_exe_refs_done(struct zt_exe_ref **refs, size_t *n);
int zt_exe_refs_read(struct zt_load *l, const struct zt_node *v, struct zt_exe_ref **refs, size_t *n);
/* a becomes what is in both lists; an empty list is every program. */
int zt_exe_refs_and(struct zt_exe_ref **a, size_t *n_a, const struct zt_exe_ref *b, size_t n_b, bool *ret_empty);
int zt_container_read(struct zt_load *l, struct zt_who *w, const struct zt_node *v);

/* ---- who.c: one conjunction ---- */
/* The keys of who that stand first in f; test: of a test's mapping. */
int zt_who_inline(struct zt_load *l, const struct zt_fields *f, bool test, struct zt_who *w, bool *ret_given);
int zt_who_and(struct zt_load *l, struct zt_who *w, const struct zt_who *b,
	       const struct zt_node *at); /* w: both hold */
int zt_who_label(struct zt_who *w, const char *text);
void zt_who_settle(struct zt_who *w); /* sets any */
void zt_who_done(struct zt_who *w);
int zt_who_add_cgroup(struct zt_load *l, struct zt_who *w, const struct zt_node *v, char *path,
		      char *service); /* takes both */

/* ---- identities.c ---- */
int zt_identities_read(struct zt_load *l, const struct zt_node *node);	  /* the names of one file */
int zt_identities_resolve(struct zt_load *l, const struct zt_node *node); /* what they mean, once all names are known */
void zt_identities_done(struct zt_load *l);
/* The keys of who of a mapping, and identity: (names, may be NULL), as alternatives into ep->whos. */
int zt_whos_read(struct zt_load *l, const struct zt_fields *f, const struct zt_node *names, bool test,
		 struct zt_endpoint *ep);

/* ---- schedule.c ---- */
int zt_schedule_read(struct zt_load *l, const struct zt_node *node, struct zt_policy_rule *rule);
int zt_when_read(struct zt_load *l, const struct zt_node *v, zt_usec *ret);

/* ---- rule.c, expect.c, settings.c ---- */
int zt_rules_read(struct zt_load *l, const struct zt_node *list);
int zt_tests_read(struct zt_load *l, const struct zt_node *list);
int zt_settings_init(struct zt_settings *s);
int zt_settings_read(struct zt_load *l, const struct zt_node *node);
