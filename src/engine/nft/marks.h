/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Labels of the nft engine. Every process that rules tell apart has a number, which programs (bpf/mark.bpf.c) keep in private bits of the
 * marks of its sockets; a packet carries its socket's mark, also through lo. marks.c is pure: which numbers there are and what they mean.
 * stamp.c keeps the programs and their maps in the kernel. Neither knows nft's image, nor the bpf engine's (both have a struct zt_image).
 *
 * A number stands for a set of subjects. The subjects of the policy alone do not do: on lo nothing but the number is left of the sender, so
 * that with receivers in the policy ("pairs") users and control groups of rules become subjects as well, the plain ones. A process that is
 * unknown to the policy's subjects still is one of the plain ones: it has numbers of its own.
 *
 * A number keeps its meaning for good. In a new policy a set gets the number of the old set that means exactly the same processes, else the
 * next one that was never used; after the last the lowest come again that are not in use.
 */
#include "ruleset/label.h"

enum { MARK_KNOWN, MARK_PLAIN, N_MARK_SPACES };
struct nft_marks {
	struct zt_ruleset *plain, *real; /* only their subjects: of rules that name users and groups; of the policy */
	struct zt_ruleset *joint;	 /* plain, then real; borrows the subjects */
	bool pairs;			 /* some rule names who receives from whom */
	struct zt_labels sets[N_MARK_SPACES];
	uint32_t *number
		[N_MARK_SPACES]; /* of sets[].sets[i]; 0: there are no plain subjects, unknown is not known at all */
	uint32_t next;		 /* the first number that was never used */
	uint32_t mask;		 /* private bits; the highest is the engine's own */
};
/* NULL in *ret where no rule needs numbers. More sets than numbers: -ENOTSUP [3109]. */
int nft_marks_make(const struct zt_ruleset *rs, struct nft_marks **ret, struct zt_diags *d);
/* No subjects, numbers from next on: for nft_marks_follow() where nothing else is known. */
int nft_marks_blank(const struct nft_marks *like, uint32_t next, struct nft_marks **ret);
int nft_marks_of(struct zt_ruleset *plain, struct zt_ruleset *real, bool pairs, uint32_t mask,
		 struct nft_marks **ret); /* takes both rulesets, also on failure; numbers are 0 */
void nft_marks_free(struct nft_marks *m);
void nft_marks_freep(struct nft_marks **m);
uint32_t nft_marks_shift(const struct nft_marks *m);
uint32_t nft_marks_max(const struct nft_marks *m);  /* the largest number */
uint32_t nft_marks_flag(const struct nft_marks *m); /* "is to be decided where it arrives", of a packet on lo */
/* Takes over the numbers of what means the same in old; the rest is counted on from old's and m's next. */
int nft_marks_follow(struct nft_marks *m, const struct nft_marks *old);
/* The subject of a rule in joint, counted from 1: of the sender, of the receiver; 0 = none. */
uint32_t nft_marks_from(const struct nft_marks *m, const struct zt_rule *rule);
uint32_t nft_marks_to(const struct nft_marks *m, const struct zt_rule *rule);
uint32_t nft_marks_number(const struct nft_marks *m, const struct zt_actor *a); /* what the programs give its sockets */
/* Calls found for each number of a process that is the subject (from 1), for a rule with this verdict: an unknown process is each subject
 * of the policy of a rule that blocks, and none of another. What no socket sends is no user. */
int nft_marks_each(const struct nft_marks *m, uint32_t subject, enum zt_verdict verdict,
		   int (*found)(void *arg, uint32_t number), void *arg);
bool nft_marks_has(const struct nft_marks *m, uint32_t subject, enum zt_verdict verdict, uint32_t number);
/* {"mask", "pairs", "next", "numbers", "plain", "real"}; compact text and back. -EINVAL: not such a text. */
int nft_marks_text(const struct nft_marks *m, char **ret);
/* Of that text, without what comes next: what rules and stamp know each other by. */
int nft_marks_hash(const struct nft_marks *m, char ret[static 65]);
int nft_marks_parse(const char *text, size_t len, struct nft_marks **ret);

/* ---- stamp.c: what is in the kernel ----
 * Pins of their own beside the bpf engine's: FOLDER+mark. Two slots as there; the slot's text of the policy is nft_marks_text(). */
struct nft_stamp;			 /* a change that is being made */
int nft_stamp_probe(char **ret_why_not); /* NULL: the programs load here */
/* The numbering of the live stamp. -ENOENT: none is there. -EUCLEAN: damaged; *ret may still be set, as far as numbers can be read. */
int nft_stamp_read(const char *instance, struct nft_marks **ret, struct zt_diags *d);
int nft_stamp_check(const struct nft_marks *m, struct zt_diags *d); /* loads and fills, attaches nothing */
/* Everything that has to be there before rules with m's numbers come: programs attached, the slot filled. Nothing is changed for rules with
 * the old numbers. *ret is NULL where the live stamp is m's already. */
int nft_stamp_begin(const char *instance, const struct nft_marks *m, struct nft_stamp **ret, struct zt_diags *d);
/* The rules are there: switches, and marks all sockets again. Frees st. */
int nft_stamp_finish(struct nft_stamp *st, struct zt_diags *d);
void nft_stamp_abort(struct nft_stamp *st); /* as it was before begin; frees st; NULL is fine */
int nft_stamp_remove(const char *instance);
bool nft_stamp_follows(const char *instance); /* control groups of subjects, as they come and go */
struct zt_bells;
int nft_stamp_bells(const char *instance, struct zt_bells *ret); /* as zt_engine.bells */
int nft_stamp_identify(const char *instance); /* 0: attached and complete, as far as that is cheap to say */
