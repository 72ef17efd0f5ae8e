/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * apply: transactions on a live host (DESIGN section 5): plan, backup, swap, verify, confirm, rollback, persist, drift, audit.
 * May use engine, ruleset, policy, identity, base. Knows no terminal: results are structs, progress goes to a callback.
 *
 * State folder of an instance (default /var/lib/zt-segment/<instance>, mode 0700):
 *   lock                    flock: one apply at a time (also held by confirm, rollback, flush, refresh)
 *   generations/N/          policy.yaml (as read), ruleset.json, image (engine text), meta.json (who, when by two clocks, from where, hash, sha256 of
 *                           the other files, engine, diff summary); made write-aside as generations/.N.tmp, then renamed
 *   current                 {"generation":N,"state":"confirmed"}; written last. The last *confirmed* generation is what boots
 *   pending                 journal of a running transaction: {"generation":N,"backup_of":M,"deadline":…,"pid":…,"boot_id":…,"session":…}
 *   backup                  engine text of what the kernel held before a pending apply (absent = nothing was there)
 *   memo                    proof of what the engine committed (engine.h); only a short cut, gone is as good as there
 *   audit.jsonl             append-only, one JSON object a line, each with the SHA-256 of the line before ("prev") and its own number
 * A transaction ends by writing current and unlinking pending; whoever takes the lock and finds a pending whose owner is dead
 * (or another boot id) rolls it back first. kill -9 at any point therefore ends in a confirmed policy.
 */
#include "engine/engine.h"

struct zt_apply_ctx {
	const struct zt_engine *engine;
	const char *instance;	 /* "default" … */
	const char *state_dir;	 /* of the instance, see above */
	const char *cgroup_root; /* --cgroup, or NULL */
	const char *netns; /* --netns name as given, or NULL = the one we started in; the process is already inside */
	bool quiet;
	bool sound; /* zt_refresh() does nothing (-EUCLEAN) where somebody changed what the kernel holds, instead of putting it in order as well. A
		      change while it runs is not always seen */
	/* Progress, one line each without newline, "Loading micro-segmentation rules from ./rules.yaml"; may be NULL. */
	void (*say)(void *arg, const char *line);
	void *say_arg;
};

/* Safety: enforcing on the initial network namespace while ZT_TEST is set in the environment is refused (-EPERM, ZT4001) unless
 * ZT_TEST_ALLOW_INITIAL_NETNS=1. Every function below that changes the kernel checks it first. */
int zt_apply_guard(struct zt_diags *d);

/* The ports sshd listens on: sshd_config (Port, ListenAddress, Match ignored, Include followed), systemd ssh.socket, and
 * listening TCP sockets whose owner is sshd (sock_diag(7), else /proc/net/tcp{,6}; /proc/PID/comm). {22} when nothing can be known. */
int zt_ssh_ports(const char *root, struct zt_u32_ranges *ret);

struct zt_apply_options {
	bool force;	    /* overrides the lock-out checks */
	zt_usec confirm;    /* 0 = confirmed at once; else roll back unless confirmed within this time */
	bool dry_run;	    /* stop before the swap (check) */
	const char *reason; /* free text for the audit log, may be NULL */
	zt_usec lock_wait;  /* 0 = fail at once when another apply runs */
};
enum zt_apply_outcome { ZT_APPLY_UNCHANGED, ZT_APPLY_APPLIED, ZT_APPLY_PENDING };
struct zt_apply_result {
	enum zt_apply_outcome outcome;
	uint64_t generation;
	size_t n_rules;
	zt_usec deadline; /* with PENDING */
};
/* The whole transaction for a compiled ruleset. source: the policy's bytes for history. */
int zt_apply(const struct zt_apply_ctx *c, struct zt_ruleset *rs, const char *source, size_t source_len,
	     const struct zt_apply_options *o, struct zt_apply_result *ret, struct zt_diags *d);

/* Ends a pending apply: -ENOENT nothing pending; -ETIME it was rolled back in time already; -EACCES (ZT41xx) when the calling
 * session is the very one that applied and lives by established state only, unless force. */
int zt_confirm(const struct zt_apply_ctx *c, bool force, uint64_t *ret_generation, struct zt_diags *d);
/* To generation n (0 = the one before the current, or the backup of a pending apply). A rollback is a new generation. */
int zt_rollback(const struct zt_apply_ctx *c, uint64_t n, const struct zt_apply_options *o, struct zt_apply_result *ret,
		struct zt_diags *d);
/* Removes all and only ours, records it; the host is open afterwards, SSH with it. Works on any broken state. */
int zt_flush(const struct zt_apply_ctx *c, struct zt_diags *d);
/* Re-resolves users, hosts, cgroups, devices of the current generation's policy and commits the difference; rules that expired go. reason: for
 * history, NULL = "refresh". */
int zt_refresh(const struct zt_apply_ctx *c, const char *reason, bool *ret_changed, struct zt_diags *d);
/* Now, for what allows and expires: never less than what has passed since somebody put generation n in force (a refresh is nobody), by a clock that
 * is not set, on top of the time it was then; in another boot not before that time. With a clock that was not set back it is what that says. */
zt_usec zt_expiry_now(const struct zt_apply_ctx *c, uint64_t n);
/* Boot: last confirmed generation, else the one before …, else the built-in emergency policy (loopback, DHCP, DNS, SSH in).
 * *ret_generation 0 = emergency. -ENOENT: nothing is meant to be in force, nothing was ever applied or all was flushed. */
int zt_restore(const struct zt_apply_ctx *c, uint64_t *ret_generation, struct zt_diags *d);

struct zt_plan {
	struct zt_diff diff;
	struct zt_ruleset *before; /* NULL: nothing active. Owned. */
};
int zt_plan(const struct zt_apply_ctx *c, const struct zt_ruleset *rs, struct zt_plan *ret, struct zt_diags *d);
void zt_plan_done(struct zt_plan *p);

struct zt_drift {
	bool active; /* something of ours is in the kernel */
	bool drifted;
	struct zt_diff diff; /* from what was confirmed to what the kernel holds */
	struct zt_ruleset *expected, *actual;
	char **notes; /* damage found by raise, missing devices, stale cgroups */
	size_t n_notes;
	char *culprit; /* "nft (pid 4711)" where the kernel tells (NFT_MSG_NEWGEN of a watcher), or NULL */
};
int zt_drift_check(const struct zt_apply_ctx *c, struct zt_drift *ret, struct zt_diags *d);
void zt_drift_done(struct zt_drift *d);
/* Watches NFNLGRP_NFTABLES in the current netns and calls back with who changed the rules (pid, name), ours excluded by generation;
 * `drift --watch`. With the bpf engine, of which the kernel tells nothing, it looks every second, and names nobody (0, ""). Returns when the callback returns non-zero or on timeout (0 = none). */
int zt_drift_watch(const struct zt_apply_ctx *c, zt_usec timeout,
		   int (*changed)(void *arg, uint32_t pid, const char *program, uint32_t nft_generation), void *arg);

/* The same for a loop of one's own: a descriptor that becomes readable, and what is read from it. Needs root to open, not to read. */
struct zt_watch;
int zt_watch_open(struct zt_watch **ret);
void zt_watch_free(struct zt_watch *w);
/* Which changes count: those of the engine's own table; all of them with iptables. */
void zt_watch_engine(struct zt_watch *w, const struct zt_engine *e, const char *instance);
int zt_watch_fd(const struct zt_watch *w);
uint64_t zt_watch_lost(const struct zt_watch *w); /* bursts that did not fit into the socket's buffer */
/* Reads all there is. fn hears of each transaction that may have touched ours, our own too; non-zero ends and is returned. */
int zt_watch_read(struct zt_watch *w, int (*fn)(void *arg, uint32_t pid, const char *program, uint32_t nft_generation),
		  void *arg);

/* ---- heal.c ---- */
struct zt_culprit {
	uint32_t pid;
	char program[32]; /* "": unknown */
};
char *zt_culprit_name(const struct zt_culprit *by); /* malloc'ed: "nft (pid 7)" */
/* Compares as zt_drift_check() does, with the lock held, and with mend puts back what the confirmed generation says, under the same number; one
 * that waits for its confirmation is left to its dead-man. by: who is known to have changed it, or NULL; then w is asked, which
 * may be NULL, too. Healed or failed, *ret says what was found. */
int zt_heal(const struct zt_apply_ctx *c, const struct zt_culprit *by, struct zt_watch *w, bool mend,
	    struct zt_drift *ret, bool *ret_healed, struct zt_diags *d);
/* Nothing is wrong any more, because a refresh that ran when `by` changed our rules put them in order as well: recorded as a repair, x (of
 * zt_heal()) too. */
int zt_heal_undone(const struct zt_apply_ctx *c, const struct zt_culprit *by, struct zt_drift *x, struct zt_diags *d);

struct zt_in_force {
	const struct zt_engine
		*engine; /* c->engine, else whose rules are in the kernel, else of the current generation, else auto */
	bool active, damaged; /* something of ours is in the kernel; and somebody changed it */
	uint64_t generation;
	char hash[65];
	bool meant;	  /* a generation is meant to be in force */
	uint64_t current; /* … this one */
	zt_usec settled;  /* when the newest generation was confirmed, rolled back, … */
	bool pending;	  /* one waits for its confirmation, or is being applied now */
};
/* Cheap, without listing. c->engine may be NULL. -ENODEV: no engine is usable. */
int zt_in_force(const struct zt_apply_ctx *c, struct zt_in_force *ret);

struct zt_generation {
	uint64_t number;
	zt_usec when;
	char *who, *from, *hash, *engine, *summary,
		*state; /* "alice via sudo", "192.0.2.7 (ssh)", …; state: confirmed, pending, rolled-back, flushed */
	bool current, corrupt;
};
int zt_history(const struct zt_apply_ctx *c, struct zt_generation **ret, size_t *ret_n, struct zt_diags *d);
void zt_history_free(struct zt_generation *g, size_t n);
uint64_t zt_audit_written(void); /* how many lines of the audit log this process has written */
/* The lines of the audit log after number `after`, at most those of its last 64 KiB, into the array ret_list (NULL: none), and the last number. */
struct json_t;
int zt_audit_tail(const struct zt_apply_ctx *c, uint64_t after, struct json_t *ret_list, uint64_t *ret_last);
/* Verifies audit chain and every generation's digests; every finding is an error in d. 0 = all good. */
int zt_history_verify(const struct zt_apply_ctx *c, size_t *ret_entries, struct zt_diags *d);
/* The policy bytes / the ruleset of a generation. */
int zt_generation_load(const struct zt_apply_ctx *c, uint64_t n, struct zt_ruleset **ret_rs, char **ret_source,
		       size_t *ret_len, struct zt_diags *d);

/* ---- revoke.c: ending running flows ---- */
struct zt_revoke_filter {
	bool has_uid;
	uint32_t uid;	  /* only flows of this user, at either end */
	const char *rule; /* only flows this rule decides, also those it allows */
	const char *
		subject; /* only flows one of whose ends is this process identity ("@web", "web", as the policy has it) */
	bool allowed;	 /* also flows that the policy allows */
	bool dry_run;	 /* only tell */
};
struct zt_revoked {
	enum zt_direction dir; /* egress: began here; forward: no socket is here, uid and pid say nothing */
	uint8_t proto;
	struct zt_addr src, dst; /* of the first packet */
	uint16_t sport, dport;
	uint32_t uid; /* of the socket here */
	int pid;
	char *program, *rule; /* the rule that decides now; NULL: the default policy */
	bool failed;	      /* the kernel did not end it */
};
struct zt_revoke_report {
	struct zt_revoked *v;
	size_t n, cap;
	size_t looked_at; /* flows */
	size_t unclear; /* left alone: nothing tells which end began, or nobody holds the socket that the rules ask about */
	zt_usec took;
};
/* Ends the flows (TCP, connected UDP) of the current network namespace that rs, what the kernel enforces, denies: both sockets where both are
 * here (the program gets ECONNABORTED, a peer elsewhere a reset), and their conntrack entries. Of flows through this host, of any protocol, what is known
 * of them is forgotten where rs denies them, so that their next packet is denied; what rs allows cannot be ended. No other flow is touched. f may be NULL. */
int zt_revoke(const struct zt_ruleset *rs, const struct zt_revoke_filter *f, struct zt_revoke_report *ret,
	      struct zt_diags *d);
void zt_revoke_report_done(struct zt_revoke_report *r);
