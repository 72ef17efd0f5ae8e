/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What is live, and how it comes and goes.
 *
 * A folder of the bpf file system holds the pinned links of one instance in one network namespace: /sys/fs/bpf/zt-segment/INSTANCE, with the
 * namespace's cookie added ("default@17") anywhere but in the initial namespace. A new set is pinned in FOLDER+new and renamed when it is
 * complete; two sets side by side deny what either denies.
 */
#include "engine/bpf/bpf.h"

enum bpf_map_name { /* the maps of the programs, by name */
		    MAP_EPOCH,
		    MAP_CONFIG,
		    MAP_ENTRIES,
		    MAP_CLASSES,
		    MAP_PORTS,
		    MAP_EVIDENCE,
		    MAP_PATHS,
		    MAP_LABELS,
		    MAP_NAMES,
		    MAP_COUNTS,
		    MAP_META,
		    MAP_REASONS,
		    MAP_SOCKS,
		    MAP_SEEN,
		    MAP_FLOWS,
		    MAP_RECORD,
		    MAP_FENCES,
		    MAP_EVENTS,
		    MAP_LIMIT,
		    N_MAPS,
};
enum { N_LINKS = 9 };
/* Names of further links whose loss is told at once (bpf_bells). */
#define FENCE_OPTIONS "fence_options"
#define FORWARD4 "forward4"
#define FORWARD6 "forward6"
struct bpf_live {
	int map[N_MAPS]; /* descriptors, -1 = none */
	int egress;	 /* program, for test runs; -1 */
	int follow[2];	 /* links not yet pinned, see bpf_follow_attach(); -1 */
	bool followed;	 /* control groups of the policy are followed as they come and go */
	uint32_t epoch;
	unsigned missing; /* links that are gone, or hang on another control group than the rest */
	uint64_t cgroup;  /* id of the group that the links are attached to */
	char dir[160];
};
void bpf_live_init(struct bpf_live *l);
void bpf_live_done(struct bpf_live *l);
/* The folder of instance, "" when no bpf file system is there. */
int bpf_dir(const char *instance, bool create, char ret[static 160]);
int bpf_live_open(const char *instance,
		  struct bpf_live *ret); /* -ENOENT: nothing of ours; -EUCLEAN: unusable remains */
/* Loads programs and empty maps, attaches nothing. *ret_obj is given to bpf_attach or bpf_unload. */
struct core_bpf;
int bpf_load(struct core_bpf **ret_obj, struct bpf_live *ret, struct zt_diags *d);
void bpf_unload(struct core_bpf *obj);
/* lsm_needed: an error where the LSM layer cannot be. Attaches to the control group, stamps existing sockets before anything decides, pins in dir+new, renames to dir. */
int bpf_attach(struct core_bpf *obj, const struct bpf_live *l, const char *cgroup, bool lsm_needed, struct zt_diags *d);
int bpf_stamp_all(const struct bpf_live *l); /* one pass over existing sockets, through the pinned iterator */
/* Parts of the above, for others who keep programs in the kernel (engine/nft/stamp.c). */
struct bpf_link;
struct bpf_link_info;
int bpf_open_link(const char *dir, const char *name, struct bpf_link_info *ret);
int bpf_pin_link(struct bpf_link *link, const char *dir, const char *name);
int bpf_open_cgroup(
	const char *cgroup); /* a descriptor; NULL or "": the root, which is refused (-EPERM) while ZT_TEST is set */
int bpf_remove(const char *dir); /* detaches and removes; 0 also when there was nothing */
/* For objects that share maps of l; their other maps are not made. */
struct bpf_object;
int bpf_share_maps(struct bpf_object *obj, const struct bpf_live *l, const int *shared, size_t n);

/* ---- follow.c: bpf/follow.bpf.c. Works on any bpf_live that has evidence and paths ---- */
/* Attaches the programs, which act on each slot whose paths are there. 0, also where the kernel does not take them: then l->followed stays false. */
int bpf_follow_attach(struct bpf_live *l);
int bpf_follow_pin(const struct bpf_live *l, const char *dir); /* what was attached; 0 also when nothing was */
bool bpf_follow_pinned(const char *dir);
bool bpf_follow_lost(const struct bpf_live *l); /* they were attached at the commit, and are not now */
bool bpf_follow_probe(void);			/* does the kernel take them? */
/* After the paths of the slot are in place: ids of groups that were made or removed between the compilation and now. */
int bpf_follow_catch_up(const struct bpf_live *l, const struct zt_image *img, uint32_t slot);
/* Does the evidence of the slot say what img says, control groups by what they are now? As bpf_compare. */
int bpf_follow_compare(const struct bpf_live *l, const struct zt_image *img, uint32_t slot);

/* ---- fence.c: bpf/fence.bpf.c, frames of packet sockets ---- */
/* Each device of the network namespace that has no fence, or not ours any more, gets one; the options that send past it are refused in the
 * control group. Links are pinned in dir; filters of older kernels stay by themselves. */
int bpf_fence(const struct bpf_live *l, const char *dir, int cgroup, unsigned *ret_added);
/* Names (all malloc'ed) of devices without a fence: they came later, or the kernel takes none. torn: one was taken off. */
int bpf_fence_missing(const struct bpf_live *l, char ***ret, size_t *ret_n, bool *ret_torn);
unsigned bpf_fence_options_missing(const struct bpf_live *l); /* 1: there are fences, and nothing refuses the options */
void bpf_fence_remove(const char *dir);			      /* filters; links go with the folder */
bool bpf_fence_probe(void);

/* ---- forward.c: forwarded packets, at a hook of the network namespace, where the kernel takes programs there (Linux 6.4) ---- */
enum { N_FORWARD_LINKS = 2 };
/* Attaches to both families and pins in dir. 1: it is there; 0: this kernel has no such hook. */
int bpf_forward_attach(const struct bpf_live *l, const char *dir);
bool bpf_forward_probe(void);
unsigned bpf_forward_links(const struct bpf_live *l);	/* how many are pinned, and have the maps of l */
unsigned bpf_forward_missing(const struct bpf_live *l); /* how many there were at the commit, and are not now */
bool bpf_forward_needed(const struct zt_image *img);	/* are there rules about forwarded packets? */
int bpf_refuse_forward(const struct zt_image *img,
		       struct zt_diags *d); /* by name and line, where they cannot be enforced [ZT3401] */
/* As zt_engine.forwarded and forget_forwarded. */
int bpf_forwarded(const char *instance, struct zt_forwarded **ret, size_t *ret_n);
int bpf_forget_forwarded(const char *instance, const struct zt_forwarded *f);

/* ---- lsm.c: the layer of bpf/lsm.bpf.c, where the kernel lets programs be a security module ---- */
enum { N_LSM_LINKS = 12 };
/* Attaches it to processes below the control group and pins it in dir, all or nothing. 1: it is there; 0: this kernel has none. */
int bpf_lsm_attach(const struct bpf_live *l, const char *cgroup, const char *dir);
/* Can rules about Unix sockets be enforced: is the layer attached, or could it be? As zt_engine.unix_sockets. */
int bpf_unix_sockets(const char *instance, const char **ret_why);
unsigned bpf_lsm_pins(const char *dir); /* how many of its links are pinned */
/* Could it be attached? 0, or an error and *ret_why. Attaches it for a moment, to nobody. */
int bpf_lsm_probe(const char **ret_why);
const char *bpf_map_name(int map); /* of enum bpf_map_name */

/* ---- fill.c ---- */
/* New inner maps with the contents of img for the slot of epoch; the configuration with that epoch comes last. */
int bpf_fill(const struct bpf_live *l, const struct zt_image *img, uint32_t epoch);
/* After attaching: notes in the slot in force whether the LSM layer and the hook for forwarded packets are there, so that they are missed when all their
 * pins are gone. */
int bpf_note_guard(const struct bpf_live *l);
/* Do the maps of the slot hold just what img says? 0; 1: no, *ret_what says where; -errno. */
int bpf_compare(const struct bpf_live *l, const struct zt_image *img, uint32_t slot, const char **ret_what);
/* The control group: that of the links where they are attached, else --cgroup. *ret_path is to be freed in any case. */
int bpf_where(const struct bpf_live *l, char **ret_path, uint64_t *ret_id, uint32_t *ret_level);
int bpf_read_config(const struct bpf_live *l, uint32_t slot, struct zt_bpf_config **ret);
int bpf_read_meta(const struct bpf_live *l, uint32_t slot, size_t len, char **ret);
int bpf_read_reason(const struct bpf_live *l, uint32_t reason, struct zt_count *ret); /* adds */
int bpf_read_counts(const struct bpf_live *l, uint32_t slot, const struct zt_bpf_config *cfg, struct zt_count **ret);
int bpf_write_counts(const struct bpf_live *l, uint32_t slot, const struct zt_count *v, size_t n);
/* For the slot that is not live, and never used before: sockets remember in which epoch their labels were found. */
uint32_t bpf_next_epoch(const struct bpf_live *l);
int bpf_clear_slot(const struct bpf_live *l, uint32_t slot);
int bpf_inner(int outer, uint32_t slot); /* descriptor of an inner map, or -errno */
int bpf_cpus(void);
uint64_t bpf_netns_cookie(void);

/* ---- commit.c, raise.c ---- */
/* Keeps what it loaded for bpf_commit() of the same image, until the image is freed. */
int bpf_check(const struct zt_image *img, struct zt_diags *d);
void bpf_image_forgotten(const struct zt_image *img);
int bpf_commit(const struct zt_image *img, bool *ret_changed, struct zt_diags *d);
int bpf_load_text(const char *instance, const char *text, size_t len, struct zt_diags *d);
int bpf_raise(const char *instance, struct zt_ruleset **ret, struct zt_diags *d);
/* What the live slot says of itself, not compared with its maps. -EUCLEAN: it cannot be read. */
int bpf_read_ruleset(const struct bpf_live *l, struct zt_ruleset **ret);
int bpf_identify(const char *instance, uint64_t *ret_generation, char ret_hash[static 65]);
int bpf_records(const char *instance, uint64_t after, struct zt_records *ret); /* record.c */
int bpf_bells(const char *instance, struct zt_bells *ret);
int bpf_counters(const struct zt_ruleset *rs, struct zt_counters *ret);
/* Runs the egress program on a packet of the flow (no socket, on lo): 1 passes, 0 is denied, -errno. */
int bpf_test_packet(const struct bpf_live *l, const struct zt_bpf_flow *f);
extern const char *bpf_cgroup; /* --cgroup, NULL = the root */
