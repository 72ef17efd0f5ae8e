/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What the programs in the kernel and the engine in user space both know: keys and values of the maps. Fixed width, explicit padding,
 * sizes asserted; compiled by both compilers. A change of any of it is a new ZT_BPF_LAYOUT: programs of another layout are replaced, never
 * fed.
 *
 * Maps (s = slot, 0 or 1; the live one is epoch & 1):
 *   epoch    array[1]                u32, written last: one store switches everything
 *   config   array[2]                settings, shapes and guards of a slot
 *   entries  array of maps[2]        hash: zt_bpf_key -> zt_bpf_entry
 *   classes  array of maps[2]        LPM trie: zt_bpf_lpm -> u32 class (addresses, users, groups)
 *   ports    array of maps[2]        array[1] of 65536 u16 classes
 *   evidence array of maps[2]        hash: zt_bpf_evidence -> zt_bpf_set
 *   labels   array of maps[2]        hash: zt_bpf_label_key -> u32 label
 *   counts   array of maps[2]        array[cpus * stride]: zt_bpf_count of a rule, each cpu its own row
 *   meta     array of maps[2]        array of chunks: the ruleset as JSON, what raise reads
 *   reasons  per-cpu array           zt_bpf_count of everything that is not a rule
 *   socks    socket storage          zt_bpf_sock
 *   flows    LRU hash                zt_bpf_flow_key -> zt_bpf_flow_seen: what may be answered
 *   events   ring buffer             zt_bpf_event
 *   limit    array[1]                zt_bpf_limit of the events
 */
#ifdef __bpf__
typedef __u8 zt_u8;
typedef __u16 zt_u16;
typedef __u32 zt_u32;
typedef __u64 zt_u64;
#else
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
typedef uint8_t zt_u8;
typedef uint16_t zt_u16;
typedef uint32_t zt_u32;
typedef uint64_t zt_u64;
#endif

#define ZT_BPF_LAYOUT 1

enum {
	ZT_BPF_SHAPES = 64,   /* of one direction and family */
	ZT_BPF_GUARDS = 32,   /* distinct schedules with expiry; guard 0 is "always" */
	ZT_BPF_WINDOWS = 28,  /* weekly windows of a schedule */
	ZT_BPF_SET_WORDS = 8, /* ZT_SUBJECTS_MAX / 64 */
	ZT_BPF_CHUNK = 16384, /* of meta */
	ZT_BPF_LEVELS = 16,   /* control groups are looked at down to this depth */
	ZT_BPF_GROUPS = 64,   /* supplementary groups; a process with more is unknown */
	ZT_BPF_KEY_WORDS = 8,
};

/* Verdicts have the numbers of enum zt_verdict, directions those of enum zt_direction. */
enum { ZT_BPF_ALLOW, ZT_BPF_DROP, ZT_BPF_REJECT, ZT_BPF_OBSERVE };
enum { ZT_BPF_EGRESS, ZT_BPF_INGRESS };
#define ZT_BPF_NO_RULE 0xffffffffu

/* ---- the decision ---- */
/*
 * A key is eight words; what a shape does not look at is zero. Word 0 shape | from << 32, 1 to | cgroup label << 32, 2 uid | gid << 32,
 * 3-4 source, 5-6 destination, 7 port | protocol << 16 | owned << 24.
 */
struct zt_bpf_key {
	zt_u64 w[ZT_BPF_KEY_WORDS];
};
#define ZT_BPF_OWNED (1ull << 24)

enum { ZT_BPF_LOG = 1 };
struct zt_bpf_entry {
	zt_u32 seq;  /* of the rule, 1.. : the smallest wins */
	zt_u32 rule; /* index: its counter */
	zt_u8 verdict, flags, pad[6];
};

enum { ZT_BPF_WANT_UID = 1, ZT_BPF_WANT_GID = 2, ZT_BPF_WANT_SRC = 4, ZT_BPF_WANT_DST = 8, ZT_BPF_WANT_PORT = 16 };
struct zt_bpf_shape {
	zt_u32 min_seq; /* of all its entries: shapes are sorted by it */
	zt_u32 guard;
	struct zt_bpf_key exact, classed; /* masks over the flow's values and over its classes */
};

struct zt_bpf_guard {
	zt_u64 expires; /* seconds since the epoch, 0 = never; microseconds are rounded up by lower */
	zt_u32 n_windows, pad;
	struct {
		zt_u32 start, end; /* seconds since Monday 00:00 UTC */
	} windows[ZT_BPF_WINDOWS];
};

/* Kinds of classes, the first bytes of a key of the trie. */
enum zt_bpf_class {
	ZT_BPF_SRC4,
	ZT_BPF_SRC6,
	ZT_BPF_DST4,
	ZT_BPF_DST6,
	ZT_BPF_UID,
	ZT_BPF_GID,
	ZT_BPF_UID_SET,
	ZT_BPF_GID_SET
};
struct zt_bpf_lpm {
	zt_u32 prefix; /* bits of what follows */
	zt_u32 kind;   /* big endian */
	zt_u8 data[16];
};
#define ZT_BPF_LPM_BITS(data_bits) (32u + (data_bits))

/* ---- labels ---- */
enum zt_bpf_evidence_kind {
	ZT_BPF_E_UID,
	ZT_BPF_E_GROUP,
	ZT_BPF_E_CGROUP,
	ZT_BPF_E_EXE,
	ZT_BPF_E_PARENT,
	ZT_BPF_E_RULE_CGROUP
};
struct zt_bpf_evidence {
	zt_u64 kind;
	zt_u64 a, b; /* class of the uid or gid; id of the control group; inode, device */
	zt_u64 c, d; /* change time */
};
struct zt_bpf_set {
	zt_u64 w[ZT_BPF_SET_WORDS];
};
enum { ZT_BPF_L_SUBJECTS, ZT_BPF_L_CGROUPS };
struct zt_bpf_label_key {
	zt_u64 space;
	struct zt_bpf_set set;
};

/* What a process is to a slot. */
struct zt_bpf_who {
	zt_u32 label;  /* of the subjects */
	zt_u32 cgroup; /* of the control groups that rules name without a subject */
};

/* ---- configuration of a slot ---- */
enum {
	ZT_BPF_HAS_SUBJECTS = 1 << 0,
	ZT_BPF_HAS_FROM = 1 << 1,
	ZT_BPF_HAS_TO = 1 << 2,
	ZT_BPF_HAS_CGROUPS = 1 << 3, /* of rules */
	ZT_BPF_E_GROUPS_USED = 1 << 5,
	ZT_BPF_E_CGROUPS_USED = 1 << 6,
	ZT_BPF_E_EXES_USED = 1 << 7,
	ZT_BPF_E_PARENTS_USED = 1 << 8,
	ZT_BPF_SRC_MATTERS4 = 1 << 9, /* some egress rule looks at the source */
	ZT_BPF_SRC_MATTERS6 = 1 << 10,
	ZT_BPF_KEEP_ESTABLISHED = 1 << 11,
	ZT_BPF_LOG_BLOCKED = 1 << 12,
	ZT_BPF_HAS_GUARDS = 1 << 13,
};
enum { ZT_BPF_LO_ENFORCE, ZT_BPF_LO_OBSERVE, ZT_BPF_LO_ALLOW };
enum { ZT_BPF_SSH_RANGES = 16 };
struct zt_bpf_config {
	zt_u32 layout, flags;
	zt_u32 epoch, pad; /* in which this slot is live; 0 = not filled */
	zt_u64 generation;
	zt_u64 netns;	   /* cookie of the network namespace that is enforced, 0 = not filled */
	zt_u64 cgroup;	   /* id of the control group of the attachment */
	zt_u64 tai_offset; /* seconds that TAI is ahead of the clock */
	char hash[72];	   /* hex, NUL */
	char instance[24];
	zt_u32 def[2]; /* verdict of the default by direction */
	zt_u32 loopback;
	zt_u32 cgroup_depth; /* the deepest level that matters */
	zt_u32 stride;	     /* of counts */
	zt_u32 n_rules;
	zt_u32 log_limit; /* events in log_window */
	zt_u32 n_ssh;
	zt_u64 log_window; /* ns */
	zt_u64 meta_len;
	struct zt_bpf_set group_other, cgroup_other, exe_other, parent_other;
	struct {
		zt_u16 lo, hi;
	} ssh[ZT_BPF_SSH_RANGES];
	struct zt_bpf_guard guards[ZT_BPF_GUARDS];
	zt_u32 n_shapes[4]; /* dir * 2 + (family is 6) */
	zt_u32 kinds[4];    /* which classes its shapes look at, a bit for each of ZT_BPF_WANT_* */
	struct zt_bpf_shape shapes[4 * ZT_BPF_SHAPES];
};

/* ---- counters ---- */
struct zt_bpf_count {
	zt_u64 packets, bytes;
};
enum zt_bpf_reason {
	ZT_BPF_R_ESTABLISHED,
	ZT_BPF_R_RELATED,
	ZT_BPF_R_ESSENTIAL,
	ZT_BPF_R_LOOPBACK,
	ZT_BPF_R_SSH,
	ZT_BPF_R_DEFAULT_EGRESS,
	ZT_BPF_R_DEFAULT_INGRESS,
	ZT_BPF_R_UNREADABLE, /* a packet that is too short or of no known version */
	ZT_BPF_R_NO_CONFIG,  /* the maps are not there: everything is denied */
	ZT_BPF_R_UNKNOWN,    /* decided for a process that could not be identified */
	ZT_BPF_R_NO_STORAGE, /* no memory for what is known of a socket */
	ZT_BPF_R_FENCED,     /* a frame that no socket of ours sent */
	ZT_BPF_R_REVOKED,    /* an established flow that the policy denies now */
	ZT_BPF_R_LOGGED,
	ZT_BPF_R_SUPPRESSED, /* over the limit of the policy */
	ZT_BPF_R_LOST,	     /* the ring was full */
	ZT_BPF_REASONS = 32,
};

/* ---- sockets and flows ---- */
enum { ZT_BPF_STAMPED = 1, ZT_BPF_ACTIVE = 2 };
struct zt_bpf_sock {
	zt_u32 epoch[2]; /* of the slot for which who[] holds; 0 = none */
	struct zt_bpf_who who[2];
	zt_u32 uid, gid;
	zt_u32 flags;
	/* The last destination that was allowed, so that it need not be decided again in the same epoch. seq is odd while it is written. */
	zt_u32 seq;
	zt_u32 epoch_allowed, rule;
	zt_u32 port;   /* destination port | protocol << 16 | family << 24 */
	zt_u32 judged; /* epoch in which an established TCP connection was last decided */
	zt_u8 dst[16];
	zt_u64 noted; /* ns: when flows was last told */
};

struct zt_bpf_flow_key { /* as the process on this host sees it, that may answer or be answered */
	zt_u8 remote[16];
	zt_u16 local_port, remote_port; /* host order; the echo id in local_port */
	zt_u8 proto, family, dir, pad;	/* dir: who began */
	zt_u64 netns;
};
struct zt_bpf_flow_seen {
	zt_u64 last; /* ns */
	zt_u8 local[16];
	zt_u32 answered;
	zt_u32 label; /* of the sender, for the receiver's side of loopback */
	zt_u32 epoch;
	zt_u32 pad;
};

/* ---- events ---- */
struct zt_bpf_limit {
	zt_u64 since; /* ns */
	zt_u32 used, suppressed;
};
struct zt_bpf_event {
	zt_u64 time; /* ns since boot */
	zt_u64 generation;
	zt_u64 cgroup;
	zt_u32 rule;	      /* ZT_BPF_NO_RULE: the default */
	zt_u32 uid, gid, pid; /* pid 0: not known where it was decided */
	zt_u32 from, to;
	zt_u16 port, sport;
	zt_u8 verdict, dir, proto, family;
	zt_u8 src[16], dst[16];
	char comm[16];
	zt_u32 suppressed; /* before this one */
	zt_u32 owned;
};

_Static_assert(sizeof(struct zt_bpf_key) == 64, "layout");
_Static_assert(sizeof(struct zt_bpf_entry) == 16, "layout");
_Static_assert(sizeof(struct zt_bpf_shape) == 136, "layout");
_Static_assert(sizeof(struct zt_bpf_guard) == 240, "layout");
_Static_assert(sizeof(struct zt_bpf_lpm) == 24, "layout");
_Static_assert(sizeof(struct zt_bpf_evidence) == 40, "layout");
_Static_assert(sizeof(struct zt_bpf_label_key) == 72, "layout");
_Static_assert(sizeof(struct zt_bpf_config) == 512 + 32 * 240 + 32 + 256 * 136, "layout");
_Static_assert(sizeof(struct zt_bpf_sock) == 80, "layout");
_Static_assert(sizeof(struct zt_bpf_flow_key) == 32, "layout");
_Static_assert(sizeof(struct zt_bpf_flow_seen) == 40, "layout");
_Static_assert(sizeof(struct zt_bpf_event) == 112, "layout");
