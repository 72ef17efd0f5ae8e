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
		    MAP_LABELS,
		    MAP_COUNTS,
		    MAP_META,
		    MAP_REASONS,
		    MAP_SOCKS,
		    MAP_FLOWS,
		    MAP_EVENTS,
		    MAP_LIMIT,
		    N_MAPS,
};
enum { N_LINKS = 9 };
struct bpf_live {
	int map[N_MAPS]; /* descriptors, -1 = none */
	int egress;	 /* program, for test runs; -1 */
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
/* Attaches to the control group, stamps existing sockets before anything decides, pins in dir+new, renames to dir. */
int bpf_attach(struct core_bpf *obj, const struct bpf_live *l, const char *cgroup, struct zt_diags *d);
int bpf_stamp_all(const struct bpf_live *l); /* one pass over existing sockets, through the pinned iterator */
int bpf_remove(const char *dir);	     /* detaches and removes; 0 also when there was nothing */

/* ---- fill.c ---- */
/* New inner maps with the contents of img for the slot of epoch; the configuration with that epoch comes last. */
int bpf_fill(const struct bpf_live *l, const struct zt_image *img, uint32_t epoch);
/* Do the maps of the slot hold just what img says? 0; 1: no, *ret_what says where; -errno. */
int bpf_compare(const struct bpf_live *l, const struct zt_image *img, uint32_t slot, const char **ret_what);
int bpf_read_config(const struct bpf_live *l, uint32_t slot, struct zt_bpf_config **ret);
int bpf_read_meta(const struct bpf_live *l, uint32_t slot, size_t len, char **ret);
int bpf_read_counts(const struct bpf_live *l, uint32_t slot, const struct zt_bpf_config *cfg, struct zt_count **ret);
int bpf_write_counts(const struct bpf_live *l, uint32_t slot, const struct zt_count *v, size_t n);
int bpf_clear_slot(const struct bpf_live *l, uint32_t slot);
int bpf_inner(int outer, uint32_t slot); /* descriptor of an inner map, or -errno */
int bpf_cpus(void);
uint64_t bpf_netns_cookie(void);

/* ---- commit.c, raise.c ---- */
int bpf_check(const struct zt_image *img, struct zt_diags *d);
int bpf_commit(const struct zt_image *img, bool *ret_changed, struct zt_diags *d);
int bpf_load_text(const char *instance, const char *text, size_t len, struct zt_diags *d);
int bpf_raise(const char *instance, struct zt_ruleset **ret, struct zt_diags *d);
int bpf_identify(const char *instance, uint64_t *ret_generation, char ret_hash[static 65]);
int bpf_counters(const struct zt_ruleset *rs, struct zt_counters *ret);
/* Runs the egress program on a packet of the flow (no socket, on lo): 1 passes, 0 is denied, -errno. */
int bpf_test_packet(const struct bpf_live *l, const struct zt_bpf_flow *f);
extern const char *bpf_cgroup; /* --cgroup, NULL = the root */
