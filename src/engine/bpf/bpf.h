/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * engine/bpf: enforcement by programs on the hooks of a control group, without netfilter. May use ruleset, identity, base.
 *
 * What is in the kernel: links (pinned in the bpf file system, a folder for each instance and network namespace), each holding its program,
 * each program holding the maps. The maps are found through the links, not through pins of their own: what is read back is what the
 * attached programs use, and nothing else can be mistaken for it. Every live object therefore dies with its link, and flush is removing
 * the folder.
 *
 * Files: classes.c (elementary intervals), lower.c, lower_labels.c (ruleset to contents of the maps, pure), load.c, lsm.c (objects, links), fill.c
 * (contents into maps and back), follow.c (control groups that come and go), fence.c (frames of packet sockets), forward.c (forwarded packets), commit.c, raise.c, record.c, bpf.c (the ops). bpf/abi.h has the records, bpf/decide.h the decision.
 */
#include "abi.h"
#include "engine/engine.h"
#include "ruleset/label.h"

typedef unsigned __int128 bpf_u128;

/* ---- classes.c ---- */
struct bpf_range {
	bpf_u128 lo, hi;
};
struct bpf_piece { /* an elementary interval, up to the next one's lo */
	bpf_u128 lo;
	uint32_t id; /* pieces covered by the same ranges share one; 0 = by none */
};
struct bpf_classes {
	struct bpf_range *ranges; /* that constrain; each once after bpf_classes_make */
	size_t n_ranges, cap_ranges;
	struct bpf_piece *pieces;
	size_t n_pieces;
	uint32_t n_ids; /* 1..n_ids */
	uint32_t *mark; /* of each id: the number of the last bpf_classes_of that gave it */
	uint32_t asked;
};
int bpf_classes_add(struct bpf_classes *c, bpf_u128 lo, bpf_u128 hi);
int bpf_classes_make(struct bpf_classes *c);
/* Calls found for each class of the range, once each. The range was added before make. */
int bpf_classes_of(struct bpf_classes *c, bpf_u128 lo, bpf_u128 hi, int (*found)(void *arg, uint32_t id), void *arg);
/* Calls found for each prefix (left-aligned in `bits`) of the pieces that have a class. */
int bpf_classes_prefixes(const struct bpf_classes *c, unsigned bits,
			 int (*found)(void *arg, bpf_u128 base, unsigned len, uint32_t id), void *arg);
int bpf_range_prefixes(bpf_u128 lo, bpf_u128 hi, unsigned bits,
		       int (*found)(void *arg, bpf_u128 base, unsigned len, uint32_t id), void *arg, uint32_t id);
void bpf_classes_done(struct bpf_classes *c);

/* ---- contents ---- */
#define BPF_ENTRIES_MAX 2000000u
struct bpf_pair {
	struct zt_bpf_key key;
	struct zt_bpf_entry entry;
};
struct bpf_lpm {
	struct zt_bpf_lpm key;
	uint32_t id;
};
struct bpf_evidence {
	struct zt_bpf_evidence key;
	struct zt_bpf_set set;
};
struct bpf_path {
	struct zt_bpf_path_key key;
	struct zt_bpf_path value;
};
struct bpf_label {
	struct zt_bpf_label_key key;
	uint32_t label;
};
struct bpf_name {
	struct zt_bpf_name key;
	uint32_t number; /* 1.. */
};
struct zt_image {
	unsigned refs; /* of who lowered it, and of bpf_known() */
	struct zt_ruleset *rs;
	struct zt_bpf_config *cfg;
	struct bpf_pair *entries; /* sorted by key, each key once */
	size_t n_entries, cap_entries;
	struct bpf_lpm *lpms;
	size_t n_lpms, cap_lpms;
	struct bpf_evidence *evidence;
	size_t n_evidence, cap_evidence;
	struct bpf_path *paths; /* of the control groups among it, whether they exist or not */
	size_t n_paths, cap_paths;
	struct bpf_label *labels;
	size_t n_labels, cap_labels;
	struct bpf_name *names; /* of Unix sockets */
	size_t n_names, cap_names;
	uint16_t *ports; /* 65536, or NULL */
	char *json;	 /* the ruleset */
	size_t json_len;
	struct zt_labels subjects, cgroups; /* label spaces */
	struct zt_ruleset *cgroup_rs;	    /* one subject for each distinct list of control groups of a rule */
};
int bpf_lower(const struct zt_ruleset *rs, struct zt_image **ret, struct zt_diags *d);
/* The image of a ruleset that was lowered lately and is this text, borrowed; NULL: none. One transaction reads the same text again and again. */
const struct zt_image *bpf_known(const char *json, size_t len);
void bpf_image_free(struct zt_image *img); /* one reference less */
void bpf_image_freep(struct zt_image **img);
int bpf_add_lpm(struct zt_image *img, uint32_t kind, bpf_u128 base, unsigned len, unsigned bits, uint32_t id);
/* lower_labels.c */
int bpf_lower_labels(struct zt_image *img, struct zt_diags *d);
uint32_t bpf_cgroup_subject(const struct zt_image *img, const struct zt_match *m); /* index in cgroup_rs */
/* The decision on the contents, by the code of the kernel (decide.h). f->from, to and cgroup are labels. at: seconds since the epoch. */
struct zt_bpf_flow;
struct zt_bpf_decision;
void bpf_decide(const struct zt_image *img, const struct zt_bpf_flow *f, uint64_t at, struct zt_bpf_decision *ret);
