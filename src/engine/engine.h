/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * engine: enforcement back ends behind one ops struct; nft/ iptables/ memory/ (later bpf/) sit side by side.
 * May use ruleset, policy types through it, identity, base.
 *
 * All calls act on the network namespace the calling process is in (the command line enters --netns first).
 * Contract, for every engine:
 *  - lower is pure: no kernel, no files. What it cannot express it refuses: -ENOTSUP with one diagnostic a rule
 *    (id, file:line, reason). It never weakens a rule.
 *  - commit is one transaction: afterwards the kernel holds the new image, or exactly what it held before. Base chains
 *    with their drop policy exist from the first commit until flush.
 *  - raise(commit(lower(rs))) has the canonical bytes, generation, hash and names of rs.
 *  - Nothing of another program is read beyond listing, nothing of it is changed.
 */
#include <stdio.h>

#include "ruleset/ruleset.h"

#define ZT_NFLOG_GROUP 9044 /* netlink group every engine logs to, next to the kernel log */
#define ZT_PREFIX_OBSERVED "ZT-OBSERVED: "
#define ZT_PREFIX_ALLOWED "ZT-ALLOWED: "

struct zt_image; /* an engine's lowered form, opaque */

struct zt_count {
	uint64_t packets, bytes;
};
enum zt_lsm_kind { ZT_LSM_FAMILY, ZT_LSM_PASSED, ZT_LSM_TRACED, ZT_LSM_TAMPER, ZT_LSM_KINDS };
extern const char *const zt_lsm_kinds[ZT_LSM_KINDS]; /* one word each */
struct zt_counters {
	struct zt_count *rule; /* by index of the ruleset's rules; summed over the elements of a rule */
	size_t n_rules;
	struct zt_count established, related, essential, loopback, ssh; /* accepted by the fixed parts */
	struct zt_count invalid, dropped[3], logged, suppressed,
		raw_frames; /* dropped: by default policy and direction */
	struct zt_count no_rules,
		no_memory; /* bpf, part of invalid: the maps were not there; a socket that could not be remembered */
	struct zt_count unknown;    /* bpf: sent by a process that could not be identified, by whatever it was denied */
	uint64_t lsm[ZT_LSM_KINDS]; /* calls that the LSM layer of the bpf engine refused */
};
void zt_counters_done(struct zt_counters *c);
/* Without those of the rules; from_json takes what to_json made, and 0 for what is missing. */
struct json_t;
struct json_t *zt_counters_json(const struct zt_counters *c);
void zt_counters_from_json(const struct json_t *j, struct zt_counters *ret);

struct zt_gap { /* something this engine or kernel does not cover, for `status` */
	char *what, *why;
};
struct zt_caps {
	bool usable; /* can this engine enforce here at all? else why_not */
	char *why_not;
	struct zt_gap *gaps;
	size_t n_gaps;
};
void zt_caps_done(struct zt_caps *c);
int zt_caps_gap(struct zt_caps *c, const char *what, const char *why);

struct zt_foreign { /* tables of others, for `status` */
	char *family, *name;
};

/* ---- what was decided lately, of engines that keep it in the kernel ---- */
struct zt_record_end { /* the process at an end of a flow */
	bool known;    /* else nothing but the label counts */
	int pid;
	uint64_t start; /* ns since boot: with the pid the identity of the process */
	uint32_t uid, gid;
	uint64_t cgroup;       /* id */
	struct zt_file_id exe; /* ino 0: it has none (a kernel thread, or it was ending) */
	bool deleted;	       /* its program has no name any more, or never had one */
	char comm[16];	       /* as the process has it: anything */
	uint32_t label;	       /* see ruleset/label.h */
};
enum zt_record_reason {
	ZT_RECORD_RULE,
	ZT_RECORD_DEFAULT,
	ZT_RECORD_UNKNOWN, /* by default, and the sender could not be identified */
	ZT_RECORD_REVOKED, /* an established flow that the policy does not allow any more */
	ZT_RECORD_FENCED,  /* a frame of a packet socket */
};
struct zt_record {
	uint64_t number; /* 1..: of all that were told */
	zt_usec when;	 /* realtime */
	uint64_t generation;
	uint32_t rule; /* index in the ruleset of the generation; UINT32_MAX: none */
	enum zt_record_reason reason;
	enum zt_verdict verdict;
	enum zt_direction dir;
	bool owned, loopback, received; /* received: somebody here would have got it */
	uint32_t uid, gid;
	struct zt_addr src, dst;
	uint8_t proto;
	uint16_t sport, dport;
	uint64_t suppressed; /* between the one before and this one, by the limit of the policy */
	char unix_name[112]; /* of ZT_DIR_UNIX: what the receiver's socket is bound to, any bytes; "" nothing */
	struct zt_record_end sender, receiver;
};
struct zt_records {
	struct zt_record *v; /* ascending */
	size_t n;
	uint64_t told;	      /* number of the newest, also where it is not among v */
	uint64_t overwritten; /* after the number asked for, but gone */
	uint64_t suppressed;  /* after the newest */
	uint64_t held_back;   /* all that were suppressed since the counters are */
};
void zt_records_done(struct zt_records *r);

enum zt_follows {
	ZT_FOLLOWS_NONE,
	ZT_FOLLOWS_SUBJECTS /* not rules that ask for no more than a group */,
	ZT_FOLLOWS_ALL
};

/* What rings when something happens to what is in force, so that nobody has to look. */
enum { ZT_BELL_LINKS = 16 };
struct zt_bells {
	int ring; /* a ring buffer that gets something in with each record (base/ring.h), the caller's then; -1 */
	uint32_t ring_id;
	uint32_t links[ZT_BELL_LINKS]; /* ids of the kernel's: as long as they hang where they do, it decides */
	size_t n_links;
};

struct zt_forwarded { /* a flow through this host, by its first packet */
	struct zt_addr src, dst;
	uint8_t proto;
	uint16_t sport, dport; /* sport: the id of an echo */
};

struct zt_engine {
	const char *name;
	/* Optional (NULL): can rules about Unix sockets be enforced here, for this instance? 0, -ENOTSUP, or
	 * -EPERM where the caller may not find out, and *ret_why (static). */
	int (*unix_sockets)(const char *instance, const char **ret_why);
	bool labels; /* knows programs, supplementary groups and receivers: rules with subjects (see struct zt_subject) */
	bool recalls; /* raise need not read anew from text what this process has lowered */
	bool finds_all; /* where raise finds nothing wrong, a commit of the same rules without subjects would change nothing */
	int (*probe)(const char *instance, struct zt_caps *ret);
	bool (*usable)(void); /* what probe says of that, without the gaps, which take longer; NULL: ask probe */
	int (*lower)(const struct zt_ruleset *rs, struct zt_image **ret, struct zt_diags *d);
	void (*image_free)(struct zt_image *img);
	/* The complete text that the engine's own tool would load on an empty kernel (nft -f, iptables-restore): what `render`
	 * prints, what backups and generation files hold. Cgroups that do not exist are left out. */
	int (*image_text)(const struct zt_image *img, struct zt_strbuf *out);
	/* Really loads the image in a scratch network namespace, of which nothing is left. */
	int (*check)(const struct zt_image *img, struct zt_diags *d);
	/* Swap. Brings the live state to img with the smallest change; counters of unchanged rules survive.
	 * *ret_changed tells whether the kernel was touched. */
	int (*commit)(const struct zt_image *img, bool *ret_changed, struct zt_diags *d);
	/* Puts text made by image_text in place of whatever of ours is there, whatever state that is in (rollback, boot). */
	int (*load_text)(const char *instance, const char *text, size_t len, struct zt_diags *d);
	/* What the kernel enforces now. -ENOENT: nothing of ours is there. -EUCLEAN: ours, but damaged by someone (d says what). */
	int (*raise)(const char *instance, struct zt_ruleset **ret, struct zt_diags *d);
	/* Cheap identification without listing: generation and hash as the kernel objects carry them. -ENOENT as above. */
	int (*identify)(const char *instance, uint64_t *ret_generation, char ret_hash[static 65]);
	/* rs must be what raise returned. */
	int (*counters)(const struct zt_ruleset *rs, struct zt_counters *ret);
	/* Removes all and only what is ours, also from a damaged state. keep nothing. 0 also when there was nothing. */
	int (*flush)(const char *instance, struct zt_diags *d);
	/* Tables of others, malloc'ed array. */
	int (*foreign)(const char *instance, struct zt_foreign **ret, size_t *ret_n);
	/* Optional (NULL): the number that kernel objects know a process by, where that is not the label (see ruleset/label.h). */
	int (*number)(const char *instance, const struct zt_actor *a, uint32_t *ret);
	/* Optional (NULL): an engine that can prove cheaply that nothing has touched what it committed keeps the proof in a file.
	 * use_memo: commit and check of img may rely on path and bring it up to date. raise_memo: raise from it, or an
	 * error, after which the caller raises. Only transactions use them; what is shown to people is read from the kernel. */
	void (*use_memo)(struct zt_image *img, const char *path);
	int (*raise_memo)(const char *instance, const char *path, struct zt_ruleset **ret);
	/* Optional (NULL): the newest decisions that were told, with a number above `after`. Reading takes nothing away. -ENOENT as above. */
	int (*records)(const char *instance, uint64_t after, struct zt_records *ret);
	/* Optional (NULL). -ENOENT as above. */
	int (*bells)(const char *instance, struct zt_bells *ret);
	/* Optional (NULL: it can): can forwarded packets be decided here? 0, or -ENOTSUP and *ret_why (static). */
	int (*forwards)(const char *instance, const char **ret_why);
	/* Optional (NULL), both: flows through this host that the engine keeps in mind itself, malloc'ed array; NULL: connection tracking does. A flow that
	 * is forgotten is asked about anew. -ENOENT as above. */
	int (*forwarded)(const char *instance, struct zt_forwarded **ret, size_t *ret_n);
	int (*forget_forwarded)(const char *instance, const struct zt_forwarded *f);
	/* Optional (NULL): does what is in force know control groups by what their paths are now, whatever they were at the commit? */
	enum zt_follows (*follows)(const char *instance);
};
void zt_foreign_free(struct zt_foreign *f, size_t n);

extern const struct zt_engine zt_engine_nft, zt_engine_bpf, zt_engine_iptables, zt_engine_memory;
const struct zt_engine *
zt_engine_by_name(const char *name); /* "nft" "bpf" "iptables" "memory" "auto" (first usable); NULL */
/* Why "auto" passed over those before e: "nft cannot be used: …; bpf …". Nothing where e is the first. */
void zt_engine_passed_over(const struct zt_engine *e, struct zt_strbuf *out);
/* The engine (but skip) that holds something of ours in the kernel now, damaged or not; NULL. Never the memory engine. */
const struct zt_engine *zt_engine_active(const char *instance, const struct zt_engine *skip);

/* --cgroup: the control group inside cgroup2 that the bpf engine attaches to; NULL or "" = the root. path is borrowed and stays. The process's
 * network namespace bounds all engines. */
void zt_engine_cgroup(const char *path);
/* For measuring: programs that do nothing at the hooks of the bpf engine, for sockets of the control group (inside cgroup2), until this process ends.
 * storage: sockets get the room that the engine needs for what it knows of them. */
int zt_bpf_floor(const char *cgroup, bool storage);

/* Loads rs for real in an empty network namespace and a control group in which nobody is, of which nothing is left, and reads it back: what the
 * engine makes of it [ZT3102]. */
int zt_engine_scratch(const struct zt_engine *e, const struct zt_ruleset *rs, struct zt_ruleset **ret,
		      struct zt_diags *d);

/* Engines without labels: refuses rules with subjects (programs, receivers) by name and line [ZT3001]. */
int zt_engine_refuse_subjects(const struct zt_engine *e, const struct zt_ruleset *rs, struct zt_diags *d);
/* For zt_compile_options.no_unix: does e see Unix sockets here, or does p not speak of them? */
bool zt_engine_sees_unix(const struct zt_engine *e, const char *instance, const struct zt_policy *p);
/* Nobody chose an engine: e, or, where e is another and none is active, the one that can enforce what p says (root: if usable here). */
const struct zt_engine *zt_engine_suiting(const struct zt_engine *e, const char *instance, const struct zt_policy *p);
/* Engines that see no Unix sockets: refuses rules about them by name and line [ZT4920]. */
int zt_engine_refuse_unix(const struct zt_engine *e, const struct zt_ruleset *rs, struct zt_diags *d);
