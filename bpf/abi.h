/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What the programs in the kernel and the engine in user space both know: keys and values of the maps. Fixed width, explicit padding,
 * sizes asserted; compiled by both compilers. A change of any of it, or of what the programs decide, is a new ZT_BPF_LAYOUT: programs of
 * another layout are replaced by the next apply or refresh, never fed. Else an upgrade would leave the old ones in the kernel till the next boot;
 * tests/lib/layout.sh compares.
 *
 * Maps (s = slot, 0 or 1; the live one is epoch & 1):
 *   epoch    array[1]                u32, written last: one store switches everything
 *   config   array[2]                settings, shapes and guards of a slot
 *   entries  array of maps[2]        hash: zt_bpf_key -> zt_bpf_entry
 *   classes  array of maps[2]        LPM trie: zt_bpf_lpm -> u32 class (addresses, users, groups)
 *   ports    array of maps[2]        array[1] of 65536 u16 classes
 *   evidence array of maps[2]        hash: zt_bpf_evidence -> zt_bpf_set
 *   paths    array of maps[2]        hash: zt_bpf_path_key -> zt_bpf_path: control groups whose ids are evidence once they are made
 *   labels   array of maps[2]        hash: zt_bpf_label_key -> u32 label
 *   names    array of maps[2]        hash: zt_bpf_name -> u32, the number of a name of Unix sockets that rules have
 *   counts   array of maps[2]        array[cpus * stride]: zt_bpf_count of a rule, each cpu its own row
 *   meta     array of maps[2]        array of chunks: the ruleset as JSON, what raise reads
 *   reasons  per-cpu array           zt_bpf_count of everything that is not a rule
 *   socks    socket storage          zt_bpf_sock
 *   seen     per-cpu array           zt_bpf_seen: what processes were found to be
 *   flows    LRU hash                zt_bpf_flow_key -> zt_bpf_flow_seen: what may be answered
 *   forwards LRU hash                zt_bpf_flow_key -> zt_bpf_forward: flows that pass through this host, of the programs that look at them
 *   record   array                   zt_bpf_event: the last ZT_BPF_RECORDED ones, for whoever looks; number n is at n % ZT_BPF_RECORDED
 *   fences   hash                    u32 index of a device -> zt_bpf_fence: what holds back frames of packet sockets there
 *   events   ring buffer             zt_bpf_event, the same, for one consumer that waits
 *   limit    array[1]                zt_bpf_limit of the events
 *   ward     array[1]                zt_bpf_ward, of the LSM layer alone
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

#define ZT_BPF_LAYOUT 11

enum {
	ZT_BPF_SHAPES = 64, /* of one table */
	ZT_BPF_TABLES = 7,  /* direction * 2 + (family is 6); the last is of Unix sockets */
	ZT_BPF_UNIX_TABLE = 6,
	ZT_BPF_GUARDS = 32,   /* distinct schedules with expiry; guard 0 is "always" */
	ZT_BPF_WINDOWS = 28,  /* weekly windows of a schedule */
	ZT_BPF_SET_WORDS = 8, /* ZT_SUBJECTS_MAX / 64 */
	ZT_BPF_CHUNK = 16384, /* of meta */
	ZT_BPF_LEVELS = 16,   /* control groups are looked at down to this depth */
	ZT_BPF_GROUPS = 64,   /* supplementary groups; a process with more is unknown */
	ZT_BPF_KEY_WORDS = 8,
	ZT_BPF_RECORDED = 4096, /* a power of two */
	ZT_BPF_SEEN = 256,	/* too */
};

/* Verdicts have the numbers of enum zt_verdict, directions those of enum zt_direction. */
enum { ZT_BPF_ALLOW, ZT_BPF_DROP, ZT_BPF_REJECT, ZT_BPF_OBSERVE };
enum { ZT_BPF_EGRESS, ZT_BPF_INGRESS, ZT_BPF_FORWARD, ZT_BPF_UNIX };
#define ZT_BPF_NO_RULE 0xffffffffu

/* ---- the decision ---- */
/*
 * A key is eight words; what a shape does not look at is zero. Word 0 shape | from << 32, 1 to | cgroup label << 32, 2 uid | gid << 32,
 * 3-4 source, 5-6 destination (of a Unix socket the number of its name), 7 port | protocol << 16 | owned << 24.
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
	ZT_BPF_GID_SET,
	ZT_BPF_ONE_UID, /* of all that rules name, single numbers too: two of one class are one to the policy */
	ZT_BPF_ONE_GID,
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
enum { ZT_BPF_PATH = 256 }; /* longer ones are known by their ids only */
struct zt_bpf_path_key {
	char path[ZT_BPF_PATH]; /* from the root of cgroup2, "/system.slice/x.service" */
};
struct zt_bpf_path {
	zt_u64 kinds; /* bit ZT_BPF_E_CGROUP: subjects, ZT_BPF_E_RULE_CGROUP: rules */
	struct zt_bpf_set subjects, rules;
};
enum { ZT_BPF_L_SUBJECTS, ZT_BPF_L_CGROUPS };
struct zt_bpf_label_key {
	zt_u64 space;
	struct zt_bpf_set set;
};

/* The name of a Unix socket, NUL to the end: a path, or what it has as an abstract name behind "@". Others than these have none. */
enum { ZT_BPF_NAME = 108 };
struct zt_bpf_name {
	zt_u32 len;
	char text[ZT_BPF_NAME];
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
	ZT_BPF_FOLLOWED = 1 << 14,     /* control groups are: set by who attached the programs that do */
	ZT_BPF_ENFORCE = 1 << 15,      /* not only observed */
	ZT_BPF_HAS_UNIX = 1 << 16,     /* rules about Unix sockets */
	ZT_BPF_GUARDED = 1 << 18,      /* the LSM layer is there: set by who attached it */
	ZT_BPF_PASS_SOCKETS = 1 << 17, /* open sockets may be handed to other identities */
	ZT_BPF_FORWARDED = 1 << 19,    /* forwarded packets are looked at: set by who attached the programs that do */
};
enum { ZT_BPF_LO_ENFORCE, ZT_BPF_LO_OBSERVE, ZT_BPF_LO_ALLOW };
enum { ZT_BPF_SSH_RANGES = 16 };
struct zt_bpf_config {
	zt_u32 layout, flags;
	zt_u32 epoch;	     /* in which this slot is live; 0 = not filled */
	zt_u32 cgroup_level; /* of cgroup below, 0 = the root */
	zt_u64 generation;
	zt_u64 netns;	   /* cookie of the network namespace that is enforced, 0 = not filled */
	zt_u64 cgroup;	   /* id of the control group of the attachment */
	zt_u64 tai_offset; /* seconds that TAI is ahead of the clock */
	char hash[72];	   /* hex, NUL */
	char instance[24];
	zt_u32 def[4]; /* verdict of the default by direction; Unix sockets have none */
	zt_u32 loopback;
	zt_u32 cgroup_depth; /* the deepest level that matters */
	zt_u32 stride;	     /* of counts */
	zt_u32 n_rules;
	zt_u32 log_limit; /* events in log_window */
	zt_u32 n_ssh;
	zt_u64 log_window; /* ns */
	zt_u64 meta_len;
	zt_u32 spent; /* the last epoch that this slot was filled for, also in vain: what was found in one must not hold in another */
	zt_u32 pad;
	struct zt_bpf_set group_other, cgroup_other, exe_other, parent_other;
	struct {
		zt_u16 lo, hi;
	} ssh[ZT_BPF_SSH_RANGES];
	struct zt_bpf_guard guards[ZT_BPF_GUARDS];
	zt_u32 n_shapes[ZT_BPF_TABLES];
	zt_u32 kinds[ZT_BPF_TABLES]; /* which classes its shapes look at, a bit for each of ZT_BPF_WANT_* */
	struct zt_bpf_shape shapes[ZT_BPF_TABLES * ZT_BPF_SHAPES];
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
	ZT_BPF_R_DEFAULT_FORWARD,
	ZT_BPF_R_UNREADABLE, /* a packet that is too short or of no known version */
	ZT_BPF_R_NO_CONFIG,  /* the maps are not there: everything is denied */
	ZT_BPF_R_UNKNOWN,    /* decided for a process that could not be identified */
	ZT_BPF_R_NO_STORAGE, /* no memory for what is known of a socket */
	ZT_BPF_R_FENCED,     /* a frame that no socket of ours sent */
	ZT_BPF_R_REVOKED,    /* an established flow that the policy denies now */
	ZT_BPF_R_FAMILY,     /* LSM: a socket of a family that no hook looks at */
	ZT_BPF_R_PASSED,     /* LSM: an open socket, handed to another identity */
	ZT_BPF_R_TRACED,     /* LSM: another identity's process, attached to by a debugger */
	ZT_BPF_R_TAMPER,     /* LSM: our links, pins and maps, touched by another program */
	ZT_BPF_R_LOGGED,
	ZT_BPF_R_SUPPRESSED, /* over the limit of the policy */
	ZT_BPF_R_LOST,	     /* the ring was full: nobody waits there. The record has it nevertheless */
	ZT_BPF_R_COLLIDED,   /* not recorded: its place was being written */
	ZT_BPF_REASONS = 32,
};

/* ---- sockets and flows ---- */
/* Bits of a device that no device has: its file system is a process's, or was mounted in a user namespace. */
#define ZT_BPF_DEV_FUSE 0x80000000u
#define ZT_BPF_DEV_USERS 0x40000000u

/* The process that made the socket, or used it last to connect, send or bind. For people: nothing is decided by it. */
enum { ZT_BPF_M_NO_PROGRAM = 1, ZT_BPF_M_DELETED = 2 /* or never had a name, or it was not exec that opened it */ };
struct zt_bpf_maker {
	zt_u64 start;  /* ns since boot, of the process; 0: nothing is known of it */
	zt_u64 cgroup; /* id of its control group */
	zt_u64 ino, ctime_sec;
	zt_u32 dev, ctime_nsec; /* of its program */
	zt_u32 pid, flags;
	zt_u32 uid, gid;
	char comm[16];
};

/*
 * A process that was looked at, by what its labels follow from: its program, user, group and control group. It holds while the slots have these
 * epochs. A place belongs to one cpu; seq is odd while it is written. Nothing is noted where supplementary groups or parents count as well.
 */
struct zt_bpf_seen_key {
	zt_u64 ino, ctime_sec;
	zt_u32 dev, ctime_nsec;
	zt_u64 cgroup;
	zt_u32 uid, gid;
};
struct zt_bpf_seen {
	zt_u32 seq, epoch[2], pad;
	struct zt_bpf_who who[2];
	struct zt_bpf_seen_key key;
};

/*
 * What a socket may do without another decision: the last flow that was allowed, by whom, and why that still holds. Whoever sends again with the
 * same identity to the same receiver gets the same answer, and a ticket for the packet that follows, which then asks nothing more.
 */
enum {
	ZT_BPF_A_LASTING = 1, /* nothing but the destination decides */
	ZT_BPF_A_TIMED = 2,   /* the time does, too */
};
struct zt_bpf_allowed {
	zt_u32 epoch, rule;
	zt_u32 port; /* destination port | protocol << 16 | family << 24 | lo << 28 */
	zt_u32 how;
	zt_u32 from, to, cgroup, uid, gid;
	zt_u32 sport; /* with src: of the flow that was noted last */
	zt_u8 dst[16], src[16];
	zt_u64 noted; /* ns, coarse: when flows was told; 0 = never */
};

enum { ZT_BPF_STAMPED = 1, ZT_BPF_ACTIVE = 2 };
struct zt_bpf_sock {
	zt_u32 epoch[2]; /* of the slot for which who[] holds; 0 = none */
	struct zt_bpf_who who[2];
	zt_u32 uid, gid;
	struct zt_bpf_maker maker;
	zt_u32 flags;
	zt_u32 seq; /* odd while allowed is written */
	struct zt_bpf_allowed allowed;
	zt_u64 ticket; /* ns, coarse: when a packet was let through in advance; 0 = none */
	zt_u32 judged; /* epoch in which an established TCP connection was last decided */
	zt_u32 pad;
};

struct zt_bpf_flow_key { /* as the process on this host sees it, that may answer or be answered */
	zt_u8 remote[16], local[16];
	zt_u16 local_port, remote_port; /* host order; the echo id in local_port */
	zt_u8 proto, family, dir, pad;	/* dir: who began */
	zt_u64 netns;
};
struct zt_bpf_flow_seen {
	zt_u64 last; /* ns */
	zt_u64 told; /* ns: when the flow without a local address was brought up to date, which is all that a socket bound to none can ask for */
	zt_u32 whose; /* who began it here, or was asked; the lowest bit: it was answered */
	zt_u32 epoch; /* in which it was allowed last */
};

/* A flow through this host, by the packet that began it (local: its source). Pieces of a packet have dir ZT_BPF_PIECES and its number in the ports. */
enum { ZT_BPF_PIECES = 7 };
enum { ZT_BPF_W_ANSWERED = 1, ZT_BPF_W_ENDED = 2, ZT_BPF_W_END_ANSWERED = 4, ZT_BPF_W_RESET = 8 };
struct zt_bpf_forward {
	zt_u64 last;  /* ns */
	zt_u32 epoch; /* in which it was allowed last */
	zt_u32 state;
};

/* ---- events ---- */
struct zt_bpf_limit {
	zt_u64 since; /* ns */
	zt_u32 used, suppressed;
	zt_u64 told; /* how many events there have been: the number of the next one */
};
#define ZT_BPF_WRITING (1ull << 63)
enum { ZT_BPF_EV_OWNED = 1, ZT_BPF_EV_LO = 2, ZT_BPF_EV_RECEIVED = 4 /* somebody here would have received it */ };
struct zt_bpf_event {
	zt_u64 seq;  /* its number + 1, written last; with ZT_BPF_WRITING while the rest is written */
	zt_u64 time; /* ns since boot */
	zt_u64 generation;
	zt_u32 rule;   /* ZT_BPF_NO_RULE: the default */
	zt_u32 reason; /* enum zt_bpf_reason, with no rule or where an established flow ended; else ZT_BPF_NO_RULE */
	zt_u32 uid, gid;
	zt_u32 from, to; /* labels */
	zt_u16 port, sport;
	zt_u8 verdict, dir, proto, family;
	zt_u8 src[16], dst[16];
	zt_u32 suppressed; /* before this one */
	zt_u32 flags;
	struct zt_bpf_maker sender, receiver;
	struct zt_bpf_name
		name; /* of the receiver's Unix socket, with ZT_BPF_UNIX: whatever it was bound to; else empty */
};

/* ---- fences: kept for user space, no program looks ---- */
enum { ZT_BPF_FENCE_TCX = 1 /* a pinned link */, ZT_BPF_FENCE_FILTER /* of clsact, before Linux 6.6 */ };
enum { ZT_BPF_FENCES = 4096 };
struct zt_bpf_fence {
	zt_u32 how, prog; /* id of the program */
};

/* ---- the LSM layer ---- */
enum { ZT_BPF_PROGRAM_NAME = 32, ZT_BPF_WARDED = 64 };
struct zt_bpf_ward {   /* what is enforced, and what is guarded against other programs */
	zt_u64 cgroup; /* of the attachment; 0: nothing yet */
	zt_u64 folder; /* inode of the folder of the pins */
	zt_u64 parent; /* and of the one above */
	zt_u32 level;  /* of the control group */
	zt_u32 dev;    /* of the bpf file system */
	zt_u32 pid_ns; /* inode of the pid namespace of who applied */
	zt_u32 alive;  /* set when anybody looks a map up: the hooks do run */
	zt_u32 n_links, n_maps;
	zt_u32 links[ZT_BPF_WARDED], maps[ZT_BPF_WARDED]; /* ids */
	char program[ZT_BPF_PROGRAM_NAME];		  /* file name of who applied; "zt-segment" may always */
};

_Static_assert(sizeof(struct zt_bpf_key) == 64, "layout");
_Static_assert(sizeof(struct zt_bpf_entry) == 16, "layout");
_Static_assert(sizeof(struct zt_bpf_shape) == 136, "layout");
_Static_assert(sizeof(struct zt_bpf_guard) == 240, "layout");
_Static_assert(sizeof(struct zt_bpf_lpm) == 24, "layout");
_Static_assert(sizeof(struct zt_bpf_evidence) == 40, "layout");
_Static_assert(sizeof(struct zt_bpf_path) == 136, "layout");
_Static_assert(sizeof(struct zt_bpf_label_key) == 72, "layout");
_Static_assert(sizeof(struct zt_bpf_config) == 528 + 32 * 240 + 56 + 448 * 136, "layout");
_Static_assert(sizeof(struct zt_bpf_name) == 112, "layout");
_Static_assert(sizeof(struct zt_bpf_maker) == 72, "layout");
_Static_assert(sizeof(struct zt_bpf_seen) == 72, "layout");
_Static_assert(sizeof(struct zt_bpf_allowed) == 80, "layout");
_Static_assert(sizeof(struct zt_bpf_sock) == 208, "layout");
_Static_assert(sizeof(struct zt_bpf_flow_key) == 48, "layout");
_Static_assert(sizeof(struct zt_bpf_flow_seen) == 24, "layout");
_Static_assert(sizeof(struct zt_bpf_forward) == 16, "layout");
_Static_assert(sizeof(struct zt_bpf_limit) == 24, "layout");
_Static_assert(sizeof(struct zt_bpf_event) == 240 + 112, "layout");
_Static_assert(sizeof(struct zt_bpf_ward) == 24 + 24 + 512 + 32, "layout");
