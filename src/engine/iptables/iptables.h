/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * iptables engine, internals: for machines without nftables. Files in the order of the pipeline: match.c lower.c meta.c (ruleset to
 * iptables-restore text), state.c normal.c (text of either direction to lines that can be compared), run.c (the tools), commit.c,
 * raise.c, iptables.c (the ops).
 *
 * Kernel form, table filter of IPv4 and of IPv6, all chains `ZT-…[-instance]`:
 *  - ZT-OUT, ZT-IN, ZT-FWD are jumped to by the first rule of OUTPUT, INPUT, FORWARD and decide everything: nothing returns from them.
 *    Established and related traffic, link essentials and SSH in fixed chains; then the rules (ZT-OP ZT-IP ZT-FP), then the default.
 *  - A rule with at most four combinations of values is that many lines; a bigger one is a head line and a chain a dimension
 *    (ZT-<hash of its id><letter>). The line that decides has the comment "rule ID #PART" and counts.
 *  - ZT-META is never jumped to. The comments of its lines, put together, are the ruleset in a compact form (meta.c); in IPv6 only its
 *    head. raise reads it, lowers it again and compares every line with the kernel's: what differs is damage.
 * One iptables-restore a family: each is atomic, and when the second fails the first is undone.
 *
 * The tools are `iptables-restore` … as installed; ZT_IPTABLES_VARIANT=legacy or nft in the environment chooses one.
 */
#include "base/mem.h"
#include "engine/engine.h"

enum { IPT_4, IPT_6, IPT_FAMILIES };
#define IPT_MARK_4 "# zt-segment iptables: IPv4\n"
#define IPT_MARK_6 "# zt-segment iptables: IPv6\n"
#define IPT_CHAIN_MAX 28
#define IPT_COMMENT_CHUNK 240 /* a comment holds 255 bytes */
#define IPT_DIRECT_MAX 4      /* combinations of values that become lines of their own */

struct zt_image {
	char *instance;
	char *text[IPT_FAMILIES];
};

/* ---- match.c: the values of a rule's dimensions as match options ---- */
enum { IPT_WINDOW, IPT_UID, IPT_GID, IPT_CGROUP, IPT_SRC, IPT_DST, IPT_SERVICE, IPT_DIMS };
struct ipt_values {
	char **v; /* n == 0: not constrained */
	size_t n, cap;
};
struct ipt_box {
	struct ipt_values dim[IPT_DIMS];
	bool never; /* matches nothing in this family now */
};
int ipt_box_make(const struct zt_rule *rule, int family, struct ipt_box *ret);
void ipt_box_done(struct ipt_box *b);
/* One diagnostic and -ENOTSUP when the rule cannot be expressed. */
int ipt_rule_refuse(const struct zt_ruleset *rs, const struct zt_rule *rule, struct zt_diags *d);
void ipt_quote(struct zt_strbuf *out, const char *s);

/* ---- lower.c ---- */
int ipt_lower(const struct zt_ruleset *rs, struct zt_image **ret, struct zt_diags *d);
void ipt_image_free(struct zt_image *img);
void ipt_image_freep(struct zt_image **img);
const char *ipt_suffix(const char *instance, char buf[static 20]); /* "" or "-instance" */
unsigned ipt_log_burst(const struct zt_settings *s);		   /* 0: the limit cannot be expressed */

/* ---- meta.c ---- */
int ipt_meta_make(const struct zt_ruleset *rs, bool whole, struct zt_strbuf *out);
int ipt_meta_parse(const char *text, struct zt_ruleset *rs); /* -EUCLEAN */

/* ---- normal.c: arguments of a rule, in one form whichever tool wrote them ---- */
/* Cuts args into words (quotes and escapes undone) in place; -E2BIG. */
int ipt_words(char *args, char **words, size_t max, size_t *ret_n);
/* Sorted options with normal values; *ret_comment and *ret_target may be NULL. All malloc'ed. */
int ipt_normal(const char *args, char **ret, char **ret_comment, char **ret_target);

/* ---- state.c ---- */
struct ipt_line {
	char *chain, *args, *normal, *comment;
	uint64_t packets, bytes;
	bool plain; /* among links: the jump from a built-in chain, as we make it */
};
struct ipt_lines {
	struct ipt_line *v;
	size_t n, cap;
};
struct ipt_table {
	char **chains; /* ours */
	size_t n_chains, cap_chains;
	struct ipt_lines lines; /* in our chains, in order */
	struct ipt_lines links; /* lines of chains of others that name a chain of ours */
	bool linked[3]; /* by direction: the first rule of the built-in chain, and that one alone, jumps to ours */
	bool first_seen[3];
	bool others;  /* rules of others are in the table */
	bool dormant; /* of the kernel's: the table decides nothing, which iptables-save does not tell */
};
extern const char *const ipt_builtin[3], *const ipt_entry[3]; /* "OUTPUT", "OUT"; by enum zt_direction */
bool ipt_chain_is_ours(const char *instance, const char *chain);
/* Reads iptables-save or -restore text, table filter. -EBADMSG: not such text. */
int ipt_table_parse(const char *instance, const char *text, struct ipt_table *ret);
void ipt_table_done(struct ipt_table *t);
bool ipt_table_has_chain(const struct ipt_table *t, const char *chain);
bool ipt_table_empty(const struct ipt_table *t); /* nothing of ours */
/* First difference between two tables, linking apart: 0 none, else 1. All borrowed. */
struct ipt_difference {
	const char *chain;
	const struct ipt_line *a, *b; /* NULL: no such line; both NULL: the chain is in one of the tables only */
};
int ipt_table_compare(const struct ipt_table *a, const struct ipt_table *b, struct ipt_difference *ret);
int ipt_table_carry(struct ipt_table *to, const struct ipt_table *from); /* counters of equal lines */
char *ipt_table_meta(const struct ipt_table *t); /* comments of ZT-META put together; NULL on ENOMEM */
/* The text for iptables-restore --noflush --counters that turns `from` into `to`; to NULL = nothing of ours. */
int ipt_swap_text(const char *instance, const struct ipt_table *from, const struct ipt_table *to,
		  struct zt_strbuf *out);

/* ---- run.c ---- */
int ipt_save(int family, bool all_tables, char **ret);
int ipt_restore(int family, const char *text, size_t len, bool scratch, struct zt_diags *d);
int ipt_version(char **ret); /* "iptables v1.8.9 (nf_tables)" */

/* ---- dormant.c: where iptables is a program of nf_tables ---- */
int ipt_dormant(int family, const char *saved, bool *ret); /* saved: what iptables-save wrote */
int ipt_wake(int family);

/* ---- commit.c, raise.c ---- */
struct ipt_state {
	struct ipt_table t[IPT_FAMILIES];
};
int ipt_state_read(const char *instance, struct ipt_state *ret);
void ipt_state_done(struct ipt_state *s);
int ipt_check(const struct zt_image *img, struct zt_diags *d);
int ipt_commit(const struct zt_image *img, bool *ret_changed, struct zt_diags *d);
int ipt_load_text(const char *instance, const char *text, size_t len, struct zt_diags *d);
int ipt_flush(const char *instance, struct zt_diags *d);
int ipt_raise(const char *instance, struct zt_ruleset **ret, struct zt_diags *d);
int ipt_identify(const char *instance, uint64_t *ret_generation, char ret_hash[static 65]);
int ipt_counters(const struct zt_ruleset *rs, struct zt_counters *ret);
