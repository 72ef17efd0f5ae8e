/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * nft engine, internals. Files in the order of the pipeline: shape.c lower.c strata.c (ruleset to maps), text.c fence.c (maps to
 * nft text), netlink.c (messages), state.c (what the kernel holds), commit.c, raise.c, nft.c (the ops).
 *
 * Kernel form. One table `inet zt_segment[_instance]`, one table `netdev` of the same name.
 *  - Base chains input, output, forward (policy drop) and prerouting (frames written raw to lo) are created once. Established and
 *    related traffic, link essentials and SSH are decided in fixed chains; then `out_rules`, `in_rules`, `fwd_rules` look the packet
 *    up in verdict maps, one lookup a map; then `<dir>_default`.
 *  - A map holds rules of one shape: which fields make up the key, single values (hash) or ranges (pipapo), under one guard (time
 *    windows, expiry). Rules that overlap stay in order by standing in maps that are looked up one after another ("strata").
 *  - Maps of another form come beside the old ones; one transaction turns the chains over; the old maps go in a later one, when no packet is on its
 *    way through the old chains any more (commit.c). Where only that fails, the commit fails with the new chains in place, weaker
 *    than engine.h says: apply rolls back, a heal loads the whole text instead. Killed there, the next command settles it.
 *  - Every element has its own counter and the comment `<rule id> #<order key>[.<part>]`. Order keys leave gaps, so that inserting
 *    a rule does not touch its neighbours' elements.
 *  - The set `zt_meta` carries generation, hash, settings, guards, cgroup paths: one element a line of text, in its comment.
 *  - Rules of chains have named counters only, so their kernel form never changes: a digest of it in zt_meta shows tampering.
 * Map names say everything about a map: `out0_uid_d4_proto_port_x_g0_v3` = output, first stratum, key uid . ip daddr . l4proto . dport,
 * exact, guard 0, version 3.
 */
#include <libmnl/libmnl.h>

#include "base/mem.h"
#include "engine/engine.h"
#include "engine/nft/marks.h"

enum nft_dim {
	DIM_FROM, /* number of the sender, see marks.h */
	DIM_TO,	  /* of the receiver */
	DIM_CGROUP,
	DIM_UID,
	DIM_GID,
	DIM_NFPROTO,
	DIM_SRC,
	DIM_DST,
	DIM_PROTO,
	DIM_PORT,
	N_DIMS
};
#define NFT_KEY_MAX \
	64 /* 4 + 8 + 4 + 4 + 4 + 16 + 16 + 4 + 4: a sender has a number, or a user, groups and a control group */
#define NFT_COMMENT_MAX 127 /* bytes without the NUL; NFTNL_UDATA_COMMENT_MAXLEN is 128 */
#define NFT_BASE_CHAINS 4   /* input output forward prerouting */
#define NFT_ELEMS_MAX 2000000u
#define NFT_ABSENT_CGROUP \
	(UINT64_C(1) << 63) /* ids from here up never exist: rules of cgroups that are not there now */

struct nft_shape {
	uint16_t dims;	/* bit mask of enum nft_dim */
	uint8_t family; /* 4 or 6 when SRC or DST is in the key, else 0 */
	uint8_t level;	/* of the cgroup when CGROUP is in the key */
	bool interval;	/* ranges (pipapo), else single values (hash) */
};

struct nft_value { /* one range of one dimension, numbers or address */
	uint64_t lo, hi;
	struct zt_addr alo, ahi;
};

struct nft_guard { /* borrowed from the rule */
	const struct zt_window *windows;
	size_t n_windows;
	zt_usec expires;
};

struct nft_stratum {
	enum zt_direction dir;
	unsigned pos; /* place among the strata of its direction */
	struct nft_shape shape;
	uint32_t guard; /* index into guards, 0 = none */
	char name[120];
};

struct nft_elem {
	uint32_t stratum, rule;	 /* indices */
	uint64_t packets, bytes; /* carried over */
	uint8_t key[NFT_KEY_MAX],
		end[NFT_KEY_MAX]; /* in the kernel's byte order for this kind of map; end == key when exact */
};

struct zt_image {
	const struct zt_ruleset *rs; /* borrowed */
	struct nft_guard *guards;
	size_t n_guards, cap_guards;
	struct nft_stratum *strata;
	size_t n_strata, cap_strata;
	struct nft_elem *elems;
	size_t n_elems, cap_elems;
	uint64_t *okey;		 /* by rule */
	struct nft_marks *marks; /* NULL: no rule needs them */
	struct nft_refs *refs;	 /* by rule; NULL as well */
	struct nft_work *work;
};
struct nft_refs { /* subjects of a rule, from 1; see nft_marks_from() */
	uint32_t from, to;
};
struct nft_plan;
struct nft_work { /* found out while the image is used; the image itself stays const */
	unsigned version;
	bool numbered;	       /* the marks have the numbers that the kernel is to know */
	char digest[65];       /* of the chain rules in kernel form, once loaded somewhere; "" = unknown */
	char *memo;	       /* file of the memo, NULL = none is kept */
	struct nft_plan *plan; /* of a small change against what the memo proves; NULL */
};

/* ---- shape.c ---- */
size_t nft_shape_keylen(const struct nft_shape *s);
bool nft_shape_eq(const struct nft_shape *a, const struct nft_shape *b);
void nft_shape_name(const struct nft_shape *s, struct zt_strbuf *out); /* "uid_d4_proto_port_x" */
int nft_shape_parse(const char *name, struct nft_shape *ret,
		    const char **ret_rest); /* inverse; rest after "_x" / "_r" */
/* "meta skuid . ip daddr . …"; mask: private bits of a mark that are the number, 0 = for a typeof; ended: where the receiver's mark came with the
 * packet (see bpf/mark.h, ZT_MARK_ENDED) */
void nft_shape_key_text(const struct nft_shape *s, uint32_t mask, bool ended, struct zt_strbuf *out);
/* Encodes one box; lo into key, hi into end. vals by dimension. */
void nft_shape_encode(const struct nft_shape *s, const struct nft_value *vals, uint8_t *key, uint8_t *end);
void nft_shape_decode(const struct nft_shape *s, const uint8_t *key, const uint8_t *end, struct nft_value *vals);
/* nft text of an element's key. False: it cannot be written as text (a cgroup that does not exist). */
bool nft_shape_elem_text(const struct zt_image *img, const struct nft_shape *s, const struct nft_elem *e,
			 const char *prefix, struct zt_strbuf *out);
/* id and path of the rule's cgroup behind an id in a key; NULL when unknown */
const char *nft_cgroup_path(const struct zt_ruleset *rs, uint64_t key_id);
uint64_t nft_cgroup_key(const struct zt_cgroup *c); /* its id, or a stable never-matching one made of its path */

/* ---- lower.c, strata.c ---- */
int nft_lower(const struct zt_ruleset *rs, struct zt_image **ret, struct zt_diags *d);
void nft_image_free(struct zt_image *img);
void nft_work_free(struct nft_work *w);					  /* commit.c */
void nft_image_set_version(const struct zt_image *img, unsigned version); /* renames the strata */
int nft_lower_count(const struct nft_marks *m, const struct zt_rule *rule,
		    size_t *ret); /* how many elements the rule becomes */
/* The numbers that the kernel is to know, once: those of the live policy where they mean the same. Keys change. */
int nft_image_number(const struct zt_image *img, struct zt_diags *d);
struct nft_refs nft_refs_of(const struct zt_image *img, uint32_t rule);
struct nft_index;
struct nft_index *nft_index_new(const struct zt_ruleset *rs);
void nft_index_free(struct nft_index *ix);
/* The first place (stratum number within the direction) at which rule may stand, given all rules placed so far. */
unsigned nft_index_floor(const struct nft_index *ix, uint32_t rule);
int nft_index_place(struct nft_index *ix, uint32_t rule, unsigned pos);

/* ---- text.c ---- */
const char *nft_dir_name(enum zt_direction dir); /* "out" "in" "fwd" */
void nft_table_name(const char *instance, char buf[static 64]);
/* "accept", "goto out_reject", … of a rule */
void nft_verdict_text(const struct zt_rule *r, char buf[static 64]);
bool nft_verdict_parse(bool accept, const char *chain, enum zt_verdict *ret, bool *ret_log);
void nft_text_counters(const struct zt_image *img,
		       struct zt_strbuf *out);			       /* counter objects, meta set, in `table {}` */
void nft_text_same(const struct zt_image *img, struct zt_strbuf *out); /* add element … zt_same */
void nft_text_maps(const struct zt_image *img, struct zt_strbuf *out); /* empty maps */
void nft_text_helpers(const struct zt_image *img,
		      struct zt_strbuf *out); /* verdict chains the elements go to, with rules */
void nft_text_helper_names(const struct zt_image *img, struct zt_strbuf *out); /* the same chains, empty */
void nft_text_base(const struct zt_image *img, struct zt_strbuf *out);	       /* base chains and what they jump to */
int nft_text_elements(const struct zt_image *img,
		      struct zt_strbuf *out);		       /* add element …, cgroups that are there only */
void nft_text_stamp(const char *marks, struct zt_strbuf *out); /* commit.c: comment lines that nft_load_text() reads */
int nft_text_full(const struct zt_image *img, bool with_elements, struct zt_strbuf *out);
void nft_comment(const struct zt_image *img, uint32_t rule, char buf[static NFT_COMMENT_MAX + 1]);

/* ---- fence.c: the netdev egress chains ---- */
struct nft_nl;
void nft_fence_text(const struct zt_image *img,
		    struct zt_strbuf *out); /* table netdev with the common chain, no device */
/* Empties the common chains and takes away what is torn, in text that nft_fence_text() goes on from. */
struct nft_state;
void nft_fence_reset(const struct nft_state *live, struct zt_strbuf *out);
/* Chains on devices that do not hold what they should, and strangers, go to s->torn; everything that tells damage into the text of the
 * digest. v: the rules of the netdev table. Where all is well the text does not depend on the devices. */
struct nft_rule_line {
	char *chain, *text;
	size_t index;
};
int nft_fence_judge(struct nft_nl *nl, struct nft_state *s, const struct nft_rule_line *v, size_t n,
		    struct zt_strbuf *text);
bool nft_fence_supported(void); /* tries it in a scratch namespace */
/* Adds device chains for every device that has none; *ret_added counts them. The current namespace. */
int nft_fence_devices(const char *table, unsigned *ret_added, struct zt_diags *d);
int nft_fence_missing(const char *table, char ***ret_names, size_t *ret_n);

/* ---- meta.c: lines of text in the zt_meta set ---- */
struct nft_meta {
	char **lines;
	size_t n, cap;
};
int nft_meta_make(const struct zt_image *img, struct nft_meta *ret);
const char *nft_meta_get(const struct nft_meta *m, const char *key); /* "gen" -> "12"; NULL */
char *nft_meta_join_value(const struct nft_meta *m, const char *key,
			  size_t skip);				     /* the whole value from byte skip on */
int nft_meta_apply(const struct nft_meta *m, struct zt_ruleset *rs); /* settings, names, … into rs */
void nft_meta_done(struct nft_meta *m);
void nft_meta_text(const struct nft_meta *m, const char *table, struct zt_strbuf *out);

/* ---- netlink.c ---- */
struct nft_nl {
	struct mnl_socket *sock;
	uint32_t portid, seq;
};
struct nft_batch {
	struct zt_strbuf buf;
	uint32_t first_seq, last_seq, seq;
	char table[64];
};
int nft_nl_open(struct nft_nl *nl);
void nft_nl_close(struct nft_nl *nl);
/* Sends a dump request {type, family, string attributes (table, name)} and feeds every reply to cb. -EINTR: changed meanwhile. */
int nft_nl_dump(struct nft_nl *nl, int type, uint8_t family, uint16_t attr1, const char *v1, uint16_t attr2,
		const char *v2, int (*cb)(const struct nlmsghdr *, void *), void *arg);
/* Asks for one element of a map and feeds the reply to cb. -ENOENT: no such element, map or table. */
int nft_nl_elem(struct nft_nl *nl, const char *table, const char *set, const struct nft_shape *shape,
		const uint8_t *key, const uint8_t *end, int (*cb)(const struct nlmsghdr *, void *), void *arg);
int nft_nl_genid(struct nft_nl *nl, uint32_t *ret);
/* genid 0 = whatever the kernel holds now, else -ERESTART when it changed since. */
int nft_batch_begin(struct nft_batch *b, struct nft_nl *nl, const char *table, uint32_t genid);
/* Elements elems[i] with i from order[0..n) of one map, added or deleted. */
int nft_batch_elems(struct nft_batch *b, const struct zt_image *img, const char *table, bool add,
		    const struct nft_elem *const *elems, size_t n, const char *set, const struct nft_shape *shape);
int nft_batch_meta(struct nft_batch *b, const char *table, const struct nft_meta *m);
int nft_batch_commit(struct nft_batch *b, struct nft_nl *nl);
void nft_batch_done(struct nft_batch *b);
/* nft -f - in the current namespace; stderr becomes the diagnostic. */
int nft_run_text(const char *text, size_t len, bool scratch, struct zt_diags *d);

/* ---- state.c: what the kernel holds ---- */
struct nft_live_elem {
	uint32_t map;
	uint8_t key[NFT_KEY_MAX], end[NFT_KEY_MAX];
	uint64_t packets, bytes, okey;
	uint32_t part;
	struct nft_refs refs;
	char *id; /* interned in the state */
	bool accept;
	bool flat; /* comment did not parse: foreign or damaged */
	char chain[48];
};
struct nft_live_map {
	char name[120];
	enum zt_direction dir;
	unsigned pos, version;
	struct nft_shape shape;
	uint32_t guard;
};
struct nft_state {
	bool present; /* table inet exists */
	bool dormant; /* that table, or the netdev table, has its hooks taken off: nothing of it decides */
	char table[64];
	struct nft_live_map *maps;
	size_t n_maps, cap_maps;
	struct nft_live_elem *elems;
	size_t n_elems, cap_elems;
	char **chains;
	size_t n_chains, cap_chains;
	char **strangers; /* sets and maps in our table whose names are not ours: "map inet TABLE NAME" */
	size_t n_strangers, cap_strangers;
	char **torn; /* chains of the netdev table that are not as they were made */
	size_t n_torn, cap_torn, n_fences;
	struct nft_meta meta;
	bool same; /* the set zt_same is there */
	char digest[65];
	uint32_t genid;
	unsigned base_chains;	     /* how many of ours are there with their hook; NFT_BASE_CHAINS when all are */
	struct nft_strings *strings; /* see state.c */
	bool from_memo;		     /* not read: element counters are NFT_UNREAD */
};
#define NFT_UNREAD UINT64_MAX
/* parts: what to read */
enum { NFT_READ_META = 1, NFT_READ_RULES = 2, NFT_READ_ELEMS = 4, NFT_READ_ALL = 7 };
int nft_state_read(const char *instance, unsigned parts, struct nft_state *ret);
void nft_state_done(struct nft_state *s);
/* Reads the element with e's key and end into e, without its id; -ENOENT: there is none just so. */
int nft_state_elem(struct nft_nl *nl, const char *table, const char *set, const struct nft_shape *shape,
		   struct nft_live_elem *e);
int nft_map_name_parse(const char *name, struct nft_live_map *ret);
int nft_state_strings(struct nft_state *s);
char *nft_state_intern(const struct nft_state *s, const char *str, size_t len);
int nft_state_counters(const char *instance, struct zt_counters *ret); /* the named counters */

/* ---- memo.c: what the kernel holds, without reading it ----
 * Listing 100,000 elements takes the kernel most of a second. A memo is a file with what a state holds, counters apart, together with
 * the generation number of nftables in this namespace (every transaction of any program adds one), the namespace's cookie and the
 * boot's id. While all three are what they were, no element, rule, chain or map can be other than the memo says, and the number goes
 * into the batch that is built on it: the kernel refuses the batch (-ERESTART) if anything came between. It is written after a complete
 * listing has been compared with the image, or after a batch that went in on top of a valid memo. Whoever wants to see
 * the kernel itself (drift, status, raise) never uses it. */
#define NFT_MEMO_MIN 5000u /* elements below which listing is as quick */
int nft_memo_read(const char *path, const char *instance,
		  struct nft_state *ret); /* -ESTALE: it proves nothing (any more) */
int nft_memo_write(const char *path, const struct zt_image *img, char *const *chains, size_t n_chains, uint32_t genid);
void nft_use_memo(struct zt_image *img, const char *path);
int nft_raise_memo(const char *instance, const char *path, struct zt_ruleset **ret);

/* ---- delta.c: from the live elements to the image's ---- */
struct nft_delta {
	struct nft_elem *del; /* only keys and stratum are set */
	size_t n_del, cap_del;
	const struct nft_elem **add;
	size_t n_add, cap_add;
};
/* Same maps in the same order, versions apart? Then the image takes the live version. */
bool nft_same_maps(const struct zt_image *img, const struct nft_state *live);
/* Takes order keys and counters of what stays from live into img, and lists what differs. Maps must be the same. */
int nft_delta_make(const struct zt_image *img, struct nft_state *live, struct nft_delta *ret);
/* Only takes the counters over (maps differ). Reorders live->elems. */
void nft_carry_counters(const struct zt_image *img, struct nft_state *live);
void nft_delta_done(struct nft_delta *d);

/* ---- seed.c: TCP flows that are older than the firewall enter the conntrack table; -errno when that is not possible ---- */
int nft_seed_conntrack(void);

/* ---- commit.c, raise.c ---- */
int nft_commit(const struct zt_image *img, bool *ret_changed, struct zt_diags *d);
int nft_check(const struct zt_image *img, struct zt_diags *d);
int nft_load_text(const char *instance, const char *text, size_t len, struct zt_diags *d);
int nft_raise(const char *instance, struct zt_ruleset **ret, struct zt_diags *d);
int nft_counters(const struct zt_ruleset *rs, struct zt_counters *ret);
