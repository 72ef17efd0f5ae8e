/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Labels: the subjects of a ruleset compiled to small numbers. A process satisfies a set of subjects; every set that some process can
 * satisfy is a label. The kernel finds a process's set by one lookup for each kind of evidence (user, groups, control groups, program,
 * parent's program): each lookup gives the subjects which that evidence does not exclude, and the set is what they have in common.
 *
 *   label 0  unknown: the process could not be identified (see struct zt_subject)
 *   label 1  known, and none of the subjects
 *   label 2… the other sets, numbered in the order of their bits
 */
#include "identity/identity.h"
#include "ruleset/ruleset.h"

enum { ZT_SET_WORDS = ZT_SUBJECTS_MAX / 64, ZT_LABELS_MAX = 65535, ZT_LABEL_UNKNOWN = 0, ZT_LABEL_NONE = 1 };

struct zt_set_bits {
	uint64_t w[ZT_SET_WORDS]; /* bit i: subject i */
};
struct zt_labels {
	struct zt_set_bits *sets; /* sets[k] is label k + 1; sets[0] is empty */
	size_t n, cap;
};
/* -E2BIG (diagnostic 2101): more than ZT_LABELS_MAX sets are possible. No subjects: one label, ZT_LABEL_NONE. */
int zt_labels_make(const struct zt_ruleset *rs, struct zt_labels *ret, struct zt_diags *d);
void zt_labels_done(struct zt_labels *l);
uint32_t zt_labels_find(const struct zt_labels *l,
			const struct zt_set_bits *s); /* ZT_LABEL_UNKNOWN when it is none of them */
static inline bool zt_labels_has(const struct zt_labels *l, uint32_t label, uint32_t subject) /* subject: index */
{
	return label && l->sets[label - 1].w[subject / 64] >> (subject % 64) & 1;
}

/* What one piece of evidence leaves possible. Evidence that no subject mentions: the *_other set. */
struct zt_uid_class {
	struct zt_u32_range range; /* ranges cover 0..4294967295 without gaps, sorted */
	struct zt_set_bits set;
};
struct zt_group_class { /* the set of a process is other | the sets of all its groups, or of all its cgroups' ancestors */
	struct zt_u32_range range; /* disjoint, sorted; only groups that some subject names */
	struct zt_set_bits set;
};
struct zt_cgroup_class {
	const struct zt_cgroup *cgroup; /* borrowed from the ruleset */
	struct zt_set_bits set;
};
struct zt_exe_class {
	const struct zt_exe *exe; /* borrowed; one for each path */
	struct zt_set_bits set;
};
struct zt_evidence {
	struct zt_uid_class *uids;
	struct zt_group_class *groups;
	struct zt_cgroup_class *cgroups;
	struct zt_exe_class *exes, *parents;
	size_t n_uids, n_groups, n_cgroups, n_exes, n_parents;
	struct zt_set_bits group_other, cgroup_other, exe_other, parent_other; /* subjects without such a condition */
};
int zt_evidence_make(const struct zt_ruleset *rs, struct zt_evidence *ret);
void zt_evidence_done(struct zt_evidence *e);
/* Does the process satisfy the subject, and if not, which condition is the first that fails? Plain: what the oracle uses and the sets are
 * tested against. */
enum zt_subject_miss {
	ZT_SUBJECT_MATCH,
	ZT_SUBJECT_UNKNOWN,
	ZT_SUBJECT_UID,
	ZT_SUBJECT_GID,
	ZT_SUBJECT_CGROUP,
	ZT_SUBJECT_EXE,
	ZT_SUBJECT_PARENT,
};
enum zt_subject_miss zt_subject_miss(const struct zt_subject *s, const struct zt_actor *a);
bool zt_subject_match(const struct zt_subject *s, const struct zt_actor *a);
/* A running process as the kernel programs see it; cgroup is left out. parent may be NULL. Borrows p's groups. */
struct zt_actor zt_actor_of(const struct zt_process *p, const struct zt_process *parent, const struct zt_ruleset *rs);
/* Has its program a file, or does no rule ask for programs, so that this does not count (rs NULL: some do)? */
bool zt_actor_told(const struct zt_actor *a, const struct zt_ruleset *rs);
