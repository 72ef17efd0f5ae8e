/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The state folder, see apply.h. Internal to the room. */
#include <jansson.h>

#include "apply/apply.h"

#define ZT_GENERATIONS_KEPT 20
#define ZT_VERIFY_FULL 5000u /* rules up to which a swap is verified by reading everything back */
#define ZT_STATE_BYTES ((size_t)512 << 20)

struct zt_pending {
	uint64_t generation, backup_of; /* backup_of 0: nothing was active */
	uint64_t deadline;		/* CLOCK_BOOTTIME microseconds; 0: the transaction itself still runs */
	int64_t pid;			/* of the transaction or of the dead-man */
	char boot_id[40];
	char session[128]; /* SSH_CONNECTION of who applied, or "" */
	char engine[16];   /* whose text the backup is */
};

/* ---- anchor.c ---- */
struct zt_anchor { /* the same moment by both clocks */
	zt_usec wall, boot;
	char boot_id[40];
};
void zt_anchor_take(struct zt_anchor *ret); /* now */
json_t *zt_anchor_json(const struct zt_anchor *a);

/* Joins the state folder and a printf-formatted rest; NULL on ENOMEM. */
char *zt_state_path(const struct zt_apply_ctx *c, const char *fmt, ...) ZT_PRINTF(2, 3);
/* Makes the folder and checks that it is ours alone. */
int zt_state_prepare(const struct zt_apply_ctx *c, struct zt_diags *d);
int zt_state_lock(const struct zt_apply_ctx *c, zt_usec wait, int *ret_fd, struct zt_diags *d);

int zt_state_current(const struct zt_apply_ctx *c, uint64_t *ret_generation, bool *ret_flushed); /* -ENOENT: none */
int zt_state_set_current(const struct zt_apply_ctx *c, uint64_t generation, bool flushed);
int zt_pending_read(const struct zt_apply_ctx *c, struct zt_pending *ret); /* -ENOENT: none */
int zt_pending_write(const struct zt_apply_ctx *c, const struct zt_pending *p);
int zt_pending_clear(const struct zt_apply_ctx *c);
/* With the lock held: removes what a killed process left half-written, and brings the state of generations in line with `current`. */
void zt_state_sweep(const struct zt_apply_ctx *c);
/* Who changed our rules, as a watcher saw it; forgotten at the next change of ours. */
int zt_culprit_write(const struct zt_apply_ctx *c, uint32_t pid, const char *program);
char *zt_culprit_read(const struct zt_apply_ctx *c); /* "nft (pid 4711)", NULL: nobody saw it */
void zt_boot_id(char buf[static 40]);

/* Generations, ascending; malloc'ed. None where there is no folder; a folder that cannot be read is an error. */
int zt_generations(const struct zt_apply_ctx *c, uint64_t **ret, size_t *ret_n);
int zt_generation_write(const struct zt_apply_ctx *c, const struct zt_ruleset *rs, const char *image, size_t image_len,
			const char *source, size_t source_len, const char *summary, const char *reason,
			const struct zt_anchor *anchor);
int zt_generation_anchor(const struct zt_apply_ctx *c, uint64_t n,
			 struct zt_anchor *ret); /* -ENODATA: none was written */
int zt_generation_remove(const struct zt_apply_ctx *c, uint64_t n);
int zt_generation_set_state(const struct zt_apply_ctx *c, uint64_t n, const char *state);
int zt_generation_meta(const struct zt_apply_ctx *c, uint64_t n, json_t **ret);
/* Digest of all that is said of generation n and never changes, its files with it. */
int zt_generation_digest(const struct zt_apply_ctx *c, uint64_t n, char ret[static 65]);
/* The engine's bytes, digest checked: -EUCLEAN when it does not fit. */
int zt_generation_image(const struct zt_apply_ctx *c, uint64_t n, char **ret, size_t *ret_len);
/* 0, or -EUCLEAN with a diagnostic a damaged file. */
int zt_generation_check(const struct zt_apply_ctx *c, uint64_t n, struct zt_diags *d);
void zt_generations_prune(const struct zt_apply_ctx *c, uint64_t keep);

/* ---- who.c ---- */
char *zt_who_am_i(void);	       /* "alice via sudo", "root" */
char *zt_where_from(void);	       /* "192.0.2.7 (ssh)", "tty1", "no terminal" */
bool zt_session(char buf[static 128]); /* SSH_CONNECTION of this process or its nearest ancestor that has one */

/* ---- audit.c ---- */
int zt_audit(const struct zt_apply_ctx *c, const char *action, uint64_t generation, const char *hash,
	     const char *detail, struct zt_diags *d);
int zt_audit_verify(const struct zt_apply_ctx *c, size_t *ret_entries, struct zt_diags *d);

/* ---- safety.c ---- */
int zt_safety_check(const struct zt_apply_ctx *c, const struct zt_ruleset *rs, struct zt_diags *d);

/* ---- deadman.c ---- */
/*
 * Armed before the swap, so that no moment is without it. It writes the journal with its own pid and reads it again every 200 ms: a
 * later deadline there counts, a missing journal ends it. On return p is what it wrote.
 */
int zt_deadman_start(const struct zt_apply_ctx *c, struct zt_pending *p);
/* With the lock held: the journal. One that only was not tidied up after its generation was confirmed is removed: -ENOENT as well. */
int zt_pending_open(const struct zt_apply_ctx *c, struct zt_pending *ret);
/* Swapped, in time, in this boot and still in the kernel: it can be confirmed. */
bool zt_pending_waits(const struct zt_apply_ctx *c, const struct zt_pending *p);
/* Puts the backup back (or removes everything) and clears the journal. The lock is held. */
int zt_pending_rollback(const struct zt_apply_ctx *c, const struct zt_pending *p, const char *why, struct zt_diags *d);
/* With the lock held: ends what a dead owner left. -EBUSY: a pending apply waits for its confirmation. */
int zt_pending_recover(const struct zt_apply_ctx *c, struct zt_diags *d);
