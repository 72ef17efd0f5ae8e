/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * policy: the language (version "1.0", DESIGN section 3). parse (libyaml events) -> validate -> resolve (names to
 * numbers) -> struct zt_policy. Also formats (fmt), and describes itself (JSON Schema, man page) from the same table
 * of keys (keys.def / keys.h). May use identity and base. Never sees a ruleset or an engine.
 *
 * Limits: 4 MiB a file and 16 MiB in all includes, depth 32, 100,000 rules. Beyond: a clear refusal.
 * Everything a zt_policy points to belongs to it and dies with zt_policy_free().
 */
#include "base/diag.h"
#include "base/net.h"
#include "base/strbuf.h"
#include "base/time.h"
#include "policy/unixname.h"

enum zt_action { ZT_ACTION_ALLOW, ZT_ACTION_DENY, ZT_ACTION_REJECT, ZT_ACTION_OBSERVE };
/* UNIX: from one process of this host to another's Unix socket; no packets, and no default that blocks. */
enum zt_direction { ZT_DIR_EGRESS, ZT_DIR_INGRESS, ZT_DIR_FORWARD, ZT_DIR_UNIX };
enum zt_default { ZT_DEFAULT_DENY, ZT_DEFAULT_ALLOW };
enum zt_mode { ZT_MODE_ENFORCE, ZT_MODE_OBSERVE };
enum zt_block { ZT_BLOCK_REJECT, ZT_BLOCK_DROP };
enum zt_unix { ZT_UNIX_ENFORCE, ZT_UNIX_WHERE_POSSIBLE };
enum zt_loopback { ZT_LOOPBACK_ENFORCE, ZT_LOOPBACK_OBSERVE, ZT_LOOPBACK_ALLOW };

struct zt_settings {
	enum zt_default def[3]; /* by enum zt_direction but UNIX; default deny */
	enum zt_mode mode;	/* default enforce */
	enum zt_block block;	/* default reject */
	enum zt_loopback loopback;
	bool log_blocked, preserve_ssh, preserve_established; /* default true */
	char *log_prefix; /* default "ZT-BLOCKED: "; at most 60 bytes, printable ASCII without quotes and backslashes */
	uint32_t log_limit; /* messages per log_limit_per; default 10 per second */
	enum { ZT_PER_SECOND, ZT_PER_MINUTE, ZT_PER_HOUR, ZT_PER_DAY } log_limit_per;
	uint32_t mark_mask;	   /* private bits of socket marks; 0 = the upper 16 */
	enum zt_unix unix_sockets; /* what compiling goes by; engines know nothing of it */
	bool socket_passing;	   /* allowed; default false */
};

/* A cgroup that a rule names; existence is looked up later, when the ruleset is compiled. */
struct zt_cgroup_ref {
	char *path;    /* inside cgroup2, no slash at the ends */
	char *service; /* the unit or container it came from, or NULL */
	bool among;    /* others of the same unit exist: that this one does not is nothing to tell of */
	struct zt_span span;
};
/* A program: looked up when the ruleset is compiled. */
struct zt_exe_ref {
	char *path;
	char digest[65]; /* pinned by "PATH@sha256:HEX", else "" */
	struct zt_span span;
};
/* One alternative of "who": all the parts that are set must hold; n == 0 means that part does not matter. */
struct zt_who {
	bool any; /* user: "*" (or 0 constraints): every sender, sockets without an owner included */
	struct zt_u32_ranges uid, gid;
	struct zt_cgroup_ref *cgroups; /* services and containers too */
	size_t n_cgroups;
	struct zt_exe_ref *exes, *parents; /* one of: the program, the program of the parent process */
	size_t n_exes, n_parents;
	char *label; /* as written, for the From column: "web-user", "@web", "nginx.service", "uid 1000-1999" */
};
struct zt_endpoint {
	bool given;	     /* the key from:/to: was there */
	struct zt_who *whos; /* alternatives (identity lists); n == 0: no process identity was named */
	size_t n_whos;
	bool host_given;	     /* then an empty hosts list cannot happen */
	struct zt_addr_ranges hosts; /* both families mixed; both `0.0.0.0/0` and `::/0` from "any"/"*" */
	char *host_text;	     /* as written, for the To column: "127.0.0.1", "@lan", "example.org" */
};
/* Weekly windows in UTC seconds since Monday 00:00, [start, end), end <= 604800, sorted, disjoint. */
struct zt_window {
	uint32_t start, end;
};

/* Names of the rules that follow from rules about Unix sockets (ruleset/unix.c); no rule of a policy has them. */
#define ZT_RULE_UNIX_OTHERS "unix-others"
#define ZT_RULE_UNIX_SYSTEM "unix-system"

struct zt_policy_rule {
	char *name, *description;
	struct zt_span span; /* of the rule's `- name:` */
	enum zt_direction dir;
	struct zt_endpoint from, to;
	struct zt_u32_ranges proto;	 /* numbers 0..255; empty = any */
	struct zt_u32_ranges port;	 /* destination port; empty = any */
	char *port_text;		 /* as written: "6379", "@mail" */
	struct zt_unix_names unix_names; /* with ZT_DIR_UNIX; empty = any */
	enum zt_action action;
	bool log;
	int32_t priority; /* default 100; smaller first, then file order */
	struct zt_window *windows;
	size_t n_windows; /* 0 = always */
	zt_usec expires;  /* 0 = never */
};

/* One expectation of `tests:`. Lists are not allowed here: one concrete flow. */
struct zt_test_process {
	bool given, has_uid, has_gid;
	uint32_t uid, gid; /* gid: the user's primary group when only a user was named */
	char *cgroup;	   /* path or NULL */
	char *exe, *parent;
};
struct zt_policy_test {
	char *name;
	struct zt_span span;
	enum zt_direction dir;
	struct zt_test_process from, to; /* to: the local receiver */
	struct zt_addr src,
		dst;   /* unset (family 0): any address of the family of the other; for egress src may be unset */
	uint8_t proto; /* default tcp when a port is given */
	uint16_t port; /* 0 with port_given false */
	bool port_given;
	char *unix_name;       /* with ZT_DIR_UNIX */
	zt_usec at;	       /* key `at:`, RFC 3339; 0 = now */
	enum zt_action expect; /* allow or deny (deny covers drop and reject), reject, observe */
};

/* A user or group that rules name, and the number that the name had: what it means as long as nobody looks again. */
struct zt_account_name {
	char *name;
	uint32_t id;
	bool group;
};
void zt_account_names_free(struct zt_account_name *v, size_t n);
int zt_account_names_copy(const struct zt_account_name *v, size_t n, struct zt_account_name **ret, size_t *ret_n);

struct zt_policy {
	char *name;   /* path of the main file, or "-" */
	char **files; /* every file read, [0] the main one; spans point to these strings */
	size_t n_files;
	struct zt_settings settings;
	struct zt_policy_rule *rules; /* file order, includes in place */
	size_t n_rules;
	struct zt_policy_test *tests;
	size_t n_tests;
	struct zt_account_name *accounts; /* each once; of tests too */
	size_t n_accounts, cap_accounts;
	/* What history keeps: the file's bytes as read; of several files each after a line "#zt-file LENGTH NAME". */
	char *source;
	size_t source_len;
};

struct zt_policy_options {
	const char *root; /* --root DIR: names resolve against DIR/etc/passwd and group, no DNS; NULL = this host */
	bool allow_unsafe_file;	 /* standard input and tests: skip the owner and mode checks of the file */
	bool no_resolve;	 /* check syntax only: unknown users, groups and hostnames are not errors (fmt) */
	const char *cgroup_root; /* services are looked for below this control group; NULL = everywhere */
	/* Called for every file that is read or would be, and every pattern that is looked through, also of a policy with errors. May be NULL. */
	void (*place)(void *arg, const char *path);
	void *place_arg;
	bool recorded; /* parse: the text is a policy's source; what it includes is taken from there, not from the disk */
};

/* Reads, validates and resolves. 0 and *ret set when there was no error (warnings may be in d), else -EINVAL / -errno with
 * all errors of all files in d. d keeps spans valid by interning file names. */
int zt_policy_load(const char *path, const struct zt_policy_options *o, struct zt_policy **ret, struct zt_diags *d);
/* The same from memory; name is what diagnostics call it. include: is relative to the folder of name. */
int zt_policy_parse(const char *name, const char *text, size_t len, const struct zt_policy_options *o,
		    struct zt_policy **ret, struct zt_diags *d);
/* Names programs, or the processes that receive: an engine with labels is needed. */
bool zt_policy_needs_labels(const struct zt_policy *p);
bool zt_policy_needs_unix(const struct zt_policy *p); /* has rules for Unix sockets */
void zt_policy_free(struct zt_policy *p);
void zt_policy_freep(struct zt_policy **p);

/* Canonical YAML of one file (comments kept where they stand before or after a key), stable under itself. */
int zt_policy_format(const char *name, const char *text, size_t len, struct zt_strbuf *out, struct zt_diags *d);
/* A name as `fmt` writes it: in quotes where it needs them; flow: inside of { } or [ ]. */
void zt_yaml_scalar(const char *text, bool flow, struct zt_strbuf *out);
/* Generated from the key table. */
int zt_policy_schema(struct zt_strbuf *out); /* JSON Schema draft 2020-12 */
int zt_policy_man(struct zt_strbuf *out);    /* the key reference part of zt-segment.yaml.5.scd (scdoc) */

const char *zt_action_name(enum zt_action a);
const char *zt_direction_name(enum zt_direction d); /* "egress" "ingress" "forward" "unix" */
