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
struct zt_counters {
	struct zt_count *rule; /* by index of the ruleset's rules; summed over the elements of a rule */
	size_t n_rules;
	struct zt_count established, related, essential, loopback, ssh; /* accepted by the fixed parts */
	struct zt_count invalid, dropped[3], logged, suppressed,
		raw_frames; /* dropped: by default policy and direction */
};
void zt_counters_done(struct zt_counters *c);

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

struct zt_engine {
	const char *name;
	bool labels; /* knows programs, supplementary groups and receivers: rules with subjects (see struct zt_subject) */
	int (*probe)(const char *instance, struct zt_caps *ret);
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
	/* Optional (NULL): an engine that can prove cheaply that nothing has touched what it committed keeps the proof in a file.
	 * use_memo: commit and check of img may rely on path and bring it up to date. raise_memo: raise from it, or an
	 * error, after which the caller raises. Only transactions use them; what is shown to people is read from the kernel. */
	void (*use_memo)(struct zt_image *img, const char *path);
	int (*raise_memo)(const char *instance, const char *path, struct zt_ruleset **ret);
};
void zt_foreign_free(struct zt_foreign *f, size_t n);

extern const struct zt_engine zt_engine_nft, zt_engine_bpf, zt_engine_iptables, zt_engine_memory;
const struct zt_engine *
zt_engine_by_name(const char *name); /* "nft" "bpf" "iptables" "memory" "auto" (first usable); NULL */

/* --cgroup: the control group inside cgroup2 that the bpf engine attaches to; NULL or "" = the root. path is borrowed and stays. The process's
 * network namespace bounds all engines. */
void zt_engine_cgroup(const char *path);

/* Loads rs for real in an empty network namespace, of which nothing is left, and reads it back: what the engine makes of it [ZT3102]. */
int zt_engine_scratch(const struct zt_engine *e, const struct zt_ruleset *rs, struct zt_ruleset **ret,
		      struct zt_diags *d);

/* Engines without labels: refuses rules with subjects (programs, receivers) by name and line [ZT3001]. */
int zt_engine_refuse_subjects(const struct zt_engine *e, const struct zt_ruleset *rs, struct zt_diags *d);
/* Common to the engines: refuses rules with needs (app) by name and line [ZT3001]. */
int zt_engine_refuse_needs(const struct zt_engine *e, const struct zt_ruleset *rs, struct zt_diags *d);
