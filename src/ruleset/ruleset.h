/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * ruleset: the one intermediate form between a policy and an engine, and everything that can be said about it without
 * a kernel: ordering, overlap, lint, diff, the oracle. May use policy, identity, base.
 *
 * A rule is a box: a product of independent dimensions (uid, gid, cgroup, source, destination, protocol, port), each a
 * normalised list of ranges, empty = not constrained. The first rule in `rules` order that contains the flow decides.
 *
 * How a policy becomes rules:
 *  - a `from` with alternatives (a list of identities) becomes several rules with one id and part 0, 1, …;
 *  - rules for traffic between local processes are ZT_DIR_EGRESS: what leaves through `lo` is judged once, at the sender
 *    (output); what arrives from `lo` was judged already and is accepted. A rule whose `from` has only a host decides
 *    traffic that arrives from other machines; where that host lies in 127.0.0.0/8 or ::1 it names local processes
 *    and becomes an egress rule for any sender. So the ingress default never vetoes a local flow, and an ingress rule for
 *    "any host" opens nothing to local processes;
 *  - rules about Unix sockets are ZT_DIR_UNIX: a direction of its own, whose default allows. What such a rule names is closed to everybody
 *    else by further rules that stand behind all others (unix.c), so that engines, oracle and proofs see nothing but rules;
 *  - deny becomes REJECT or DROP by settings.block; mode observe turns every deny/reject into OBSERVE.
 */
#include "policy/policy.h"

enum zt_verdict {
	ZT_ALLOW,
	ZT_DROP,
	ZT_REJECT,
	ZT_OBSERVE
}; /* OBSERVE: allowed, and logged as what would be blocked */

struct zt_cgroup {
	char *path;  /* inside cgroup2 */
	uint64_t id; /* 0: does not exist now; then the engine leaves it out and `refresh` brings it in */
	uint32_t level;
};

enum { ZT_FAMILY_4 = 1, ZT_FAMILY_6 = 2 };

/*
 * A subject: who a process must be where the packet filter's own matches (uid, gid, cgroup of the sender) do not reach: programs, parents,
 * supplementary groups, and everything about the process that *receives*. All parts that are given must hold; a list is "one of".
 * A process whose identity cannot be told (memfd, deleted program, a socket nobody stamped) is *unknown*: it is none of the subjects of an
 * allow or observe rule, and each subject of a deny or reject rule.
 */
struct zt_file_id {   /* as the kernel tells a running program; ino 0 = no such file */
	uint64_t dev; /* of the superblock, kernel form: major << 20 | minor */
	uint64_t ino;
	int64_t ctime_sec; /* a file written or replaced since is another one */
	uint32_t ctime_nsec;
};
struct zt_exe {
	char *path;	      /* absolute, as the policy has it */
	struct zt_file_id id; /* what the path was when the ruleset was compiled */
	char digest[65];      /* SHA-256 of that file, hex; "" while it does not exist or offline */
	bool pinned;	      /* the policy gave the digest */
};
enum { ZT_SUBJECTS_MAX = 512 };
struct zt_subject {
	uint32_t index;		       /* in the ruleset's subjects */
	char *text;		       /* for people: "@cache", "db-user /usr/bin/redis-server" */
	struct zt_u32_ranges uid, gid; /* gid: the primary group or a supplementary one */
	struct zt_cgroup *cgroups;
	size_t n_cgroups;
	struct zt_exe *exes, *parents; /* the program, and that of the parent process */
	size_t n_exes, n_parents;
};

struct zt_match {
	struct zt_u32_ranges uid, gid;
	struct zt_cgroup *cgroups;
	size_t n_cgroups;
	uint8_t families; /* bit mask: which IP versions the rule covers at all */
	/* A family that is in `families` with an empty list is not constrained in that family. */
	struct zt_addr_ranges src4, src6, dst4, dst6;
	struct zt_u32_ranges proto, port; /* port constrained implies proto is constrained to protocols with ports */
	struct zt_unix_names unix_names;  /* of ZT_DIR_UNIX, which constrains no address, protocol and port */
	/* Subjects of the sender and of the local receiver, borrowed from the ruleset; NULL = any. With a sender's subject uid and cgroups above
	 * repeat it (so that overlap is seen), gid is empty. */
	const struct zt_subject *from, *to;
};

struct zt_rule {
	char *id;      /* the rule's name: stable text, 1..64 bytes of printable ASCII without quotes, backslash, ';' */
	uint32_t part; /* 0.. : the alternative, see above */
	uint32_t seq;  /* 1.. : place in evaluation order; equals index + 1 */
	enum zt_direction dir;
	enum zt_verdict verdict;
	bool log;
	uint32_t file, line; /* index into files; line 1.. */
	struct zt_match match;
	struct zt_window *windows;
	size_t n_windows;
	zt_usec expires;
	/* What follows is not in the kernel and not compared: */
	int32_t priority;	   /* as the policy has it; 0 where a rule was raised */
	char *from_text, *to_text; /* for tables */
};

struct zt_ruleset {
	char *instance;	     /* "default", or the --instance name: [a-z0-9_]{1,16} */
	uint64_t generation; /* 1..; 0 = not yet applied */
	char hash[65];	     /* SHA-256 of zt_ruleset_canonical(), hex */
	char *policy_name;   /* path of the main file */
	char **files;
	size_t n_files;
	struct zt_settings settings;	/* owns log_prefix */
	struct zt_u32_ranges ssh_ports; /* empty when preserve_ssh is off */
	struct zt_subject **subjects;	/* each once; at most ZT_SUBJECTS_MAX */
	size_t n_subjects, cap_subjects;
	struct zt_rule *rules;
	size_t n_rules, cap_rules;
	/* What names of the policy meant. Not in the kernel's rules and not compared. */
	struct zt_account_name *accounts;
	size_t n_accounts;
	uint32_t table_owner; /* spare */
};

struct zt_compile_options {
	const char *instance;		       /* NULL = "default" */
	const char *cgroup_root;	       /* --cgroup bound put in front of every cgroup path, or NULL */
	const struct zt_u32_ranges *ssh_ports; /* what was detected; NULL or empty = 22 */
	bool offline;			       /* do not look cgroups and programs up (ids stay 0) */
	bool no_unix; /* neither engine nor kernel knows Unix sockets: with unix: where-possible their rules are left out */
	bool labels; /* the engine knows supplementary groups: a sender's group: becomes a subject instead of match.gid */
	const char *root; /* where programs are looked up; NULL = this host */
	zt_usec at;	  /* rules that expired before this moment are left out; 0 = none */
	zt_usec steady;	  /* the same for those that allow, where it is later: the clock may have been set back */
};
/* Policy to ruleset: order by (priority, file order), directions, verdicts, cgroup ids, hash. Cgroups that do not exist are a
 * warning (2xxx). */
int zt_ruleset_compile(const struct zt_policy *p, const struct zt_compile_options *o, struct zt_ruleset **ret,
		       struct zt_diags *d);
void zt_ruleset_free(struct zt_ruleset *rs);
void zt_ruleset_freep(struct zt_ruleset **rs);
int zt_ruleset_new(struct zt_ruleset **ret); /* empty, default settings */
/* Room for one more rule, zeroed, seq set; NULL on ENOMEM. Not a policy's business: compile, raise and tests use it. */
struct zt_rule *zt_ruleset_add(struct zt_ruleset *rs);
/* The ruleset's own copy of s (text, index apart); -E2BIG beyond ZT_SUBJECTS_MAX. */
int zt_ruleset_subject(struct zt_ruleset *rs, const struct zt_subject *s, const struct zt_subject **ret);
bool zt_subject_eq(const struct zt_subject *a,
		   const struct zt_subject *b); /* what must be enforced, text and index apart */
bool zt_subject_overlap(const struct zt_subject *a, const struct zt_subject *b);
bool zt_subject_contains(const struct zt_subject *outer, const struct zt_subject *inner);
void zt_subject_done(struct zt_subject *s);
int zt_ruleset_dup(const struct zt_ruleset *rs, struct zt_ruleset **ret);

/* Canonical bytes: everything an engine must enforce (settings, ssh ports, rules with all matches), nothing else: no
 * generation, no texts. Two rulesets are the same policy iff these bytes are equal. hash is over them. */
int zt_ruleset_canonical(const struct zt_ruleset *rs, struct zt_strbuf *out);
int zt_ruleset_rehash(struct zt_ruleset *rs);
/* Without the rules about Unix sockets, what zt_compile_options.no_unix leaves out, and the subjects that only they had; hashed anew. */
int zt_ruleset_drop_unix(struct zt_ruleset *rs);
/* One run of at least four bits with as many below but one: what settings.mark_mask may be. */
bool zt_mark_mask_valid(int64_t mask);
/* JSON, complete: what `-o json`, history and generation files hold; from_json(to_json(x)) has the same canonical bytes. */
struct json_t;
int zt_ruleset_to_json(const struct zt_ruleset *rs, struct json_t **ret);
/* The compact text of the same, without the tree in between; -EINVAL where some text is not UTF-8. */
int zt_ruleset_json_text(const struct zt_ruleset *rs, struct zt_strbuf *out);
int zt_ruleset_from_json(struct json_t *j, struct zt_ruleset **ret, struct zt_diags *d);
/* From text in any spelling, a tree for one rule at a time: half the time and a fraction of the memory where there are thousands. */
int zt_ruleset_from_text(const char *text, size_t len, struct zt_ruleset **ret, struct zt_diags *d);

void zt_match_done(struct zt_match *m);
int zt_match_copy(struct zt_match *dst, const struct zt_match *src); /* dst zeroed; zt_match_done() it in any case */
bool zt_match_eq(const struct zt_match *a, const struct zt_match *b);
bool zt_match_overlap(const struct zt_match *a, const struct zt_match *b); /* is there a flow in both? */
bool zt_match_contains(const struct zt_match *outer, const struct zt_match *inner);
bool zt_rule_eq(const struct zt_rule *a, const struct zt_rule *b); /* all that canonical covers, seq apart */

/* Does r follow from rules about Unix sockets, written by nobody? */
bool zt_rule_follows(const struct zt_rule *r);

/* ---- flows and the oracle ---- */
struct zt_actor {   /* one process at an end of a flow */
	bool known; /* else nothing below counts */
	uint32_t uid, gid;
	const uint32_t *groups; /* supplementary */
	size_t n_groups;
	uint64_t cgroup[16];	 /* ids from level 1 down, 0-terminated */
	const char *cgroup_path; /* or by path; either is enough */
	struct zt_file_id exe, parent;
	const char *exe_path, *parent_path; /* or by path */
};
struct zt_flow { /* the first packet of a flow */
	enum zt_direction dir;
	bool owned; /* has a sending socket with a uid (egress) */
	uint32_t uid, gid;
	uint64_t cgroup[16];	 /* ids of the sender's cgroup from level 1 down; 0-terminated */
	const char *cgroup_path; /* or by path (tests, why): "a/b/c", may be NULL; either is enough */
	bool loopback;		 /* leaves through lo (egress) or came from lo (ingress) */
	struct zt_addr src,
		dst; /* family 0 in src: unspecified (matches only rules that do not constrain it, or all when any) */
	uint8_t proto;
	uint16_t port; /* destination port; 0 where the protocol has none */
	const char *
		unix_name; /* of ZT_DIR_UNIX: what the receiver's socket is bound to; NULL: no name that a policy could say */
	zt_usec at;	   /* realtime, for schedule and expires */
	/* For rules with subjects. NULL sender: uid, gid, cgroup above are all that is known of it, and its program is unknown.
	 * NULL receiver: no local process receives (another host, or nobody listens). */
	const struct zt_actor *sender, *receiver;
};
enum zt_decider { /* what decided */
		  ZT_BY_RULE,
		  ZT_BY_DEFAULT,
		  ZT_BY_LOOPBACK, /* settings.loopback allow, or arriving from lo */
		  ZT_BY_SSH,
		  ZT_BY_ESSENTIAL,
};
enum zt_miss { /* why an earlier rule did not match: the first condition that failed */
	       ZT_MISS_NONE,
	       ZT_MISS_DIRECTION,
	       ZT_MISS_UID,
	       ZT_MISS_GID,
	       ZT_MISS_CGROUP,
	       ZT_MISS_FAMILY,
	       ZT_MISS_SRC,
	       ZT_MISS_DST,
	       ZT_MISS_PROTO,
	       ZT_MISS_PORT,
	       ZT_MISS_SCHEDULE,
	       ZT_MISS_EXPIRED,
	       ZT_MISS_SENDER,
	       ZT_MISS_RECEIVER,
	       ZT_MISS_UNIX_NAME,
};
struct zt_decision {
	enum zt_verdict verdict;
	enum zt_decider by;
	const struct zt_rule *rule; /* with ZT_BY_RULE */
};
/* Plain, slow, obviously correct. */
void zt_oracle_decide(const struct zt_ruleset *rs, const struct zt_flow *f, struct zt_decision *ret);
/* The same where it is known that no rule but these can match: indices, ascending. */
void zt_oracle_decide_among(const struct zt_ruleset *rs, const struct zt_flow *f, const uint32_t *rules, size_t n,
			    struct zt_decision *ret);
enum zt_miss zt_oracle_match(const struct zt_rule *r, const struct zt_flow *f); /* ZT_MISS_NONE = matches */
const char *zt_miss_name(enum zt_miss m);					/* "user", "destination address", … */
/* What a rule expires by: what lets through never later because a clock was set back, as in the options above. */
zt_usec zt_expiry_clock(enum zt_verdict v, zt_usec wall, zt_usec steady);
const char *zt_verdict_name(enum zt_verdict v); /* "allow" "drop" "reject" "observe" */

/* ---- tests of a policy ---- */
struct zt_expectation {
	const struct zt_policy_test *test;
	struct zt_actor sender, receiver;
	/* One flow; where the test names no address both families, to addresses no rule names by accident (RFC 5737, RFC 3849). */
	struct zt_flow flow[2];
	unsigned n_flows;
};
void zt_expectation_init(struct zt_expectation *e, const struct zt_policy_test *t); /* e stays where it is */
bool zt_action_expects(enum zt_action expect, enum zt_verdict v);

/* ---- what an edit would open ---- */
struct zt_opened {  /* flows that are all newly allowed: those in match, and in none of the cgroups of not_in */
	bool owned; /* egress: with a sending process; false: what has none (the kernel's own) */
	struct zt_match match;
	struct zt_cgroup *not_in;
	size_t n_not_in;
};
struct zt_opening {
	struct zt_opened *v; /* disjoint */
	size_t n, cap;
	size_t *kept; /* rules (indices) that go on deciding parts of the match as they did: allowed anyway, or still denied */
	size_t n_kept, cap_kept;
	bool cut;     /* there is more: the computation is bounded */
	bool at_most; /* rules by subject, or about Unix sockets, are in it: who they decide for is not known here, so nothing is taken out for them */
};
/* The flows that an allow rule with this match would let through, put in front of rule index `at` (n_rules = at the end), and that are
 * blocked without it at that moment: the match, less what earlier rules decide, less what later rules or the default allow anyway.
 * Exact: every flow is in it or not as the oracle decides (own addresses of the host outside of 127.0.0.0/8 and ::1 count as
 * other hosts where settings.loopback is not enforce). */
int zt_ruleset_opens(const struct zt_ruleset *rs, size_t at, enum zt_direction dir, const struct zt_match *m,
		     zt_usec when, struct zt_opening *ret);
bool zt_opening_has(const struct zt_opening *o, enum zt_direction dir, const struct zt_flow *f);
double zt_opening_size(const struct zt_opening *o); /* for comparing */
void zt_opening_done(struct zt_opening *o);

/* ---- lint: shadowed, unreachable, contradictory, over-broad, literal 127.0.0.1, cuts DNS/DHCP/NTP; warnings into d ----
 * root: the tree whose resolver, DHCP client and time daemon are meant, NULL = this host. Rules that contradict each other are left
 * alone where their priorities differ: the author has said which one is meant. */
int zt_ruleset_lint(const struct zt_ruleset *rs, const char *root, struct zt_diags *d);

/* ---- diff by (id, part): what plan shows and apply minimises ---- */
enum zt_change { ZT_ADDED, ZT_REMOVED, ZT_CHANGED, ZT_MOVED };
struct zt_diff_item {
	enum zt_change change;
	const struct zt_rule *before, *after; /* NULL where there is none; borrowed */
};
struct zt_diff {
	struct zt_diff_item *items; /* in the order of the new ruleset, removed ones first */
	size_t n, cap;
	bool settings_changed;
	char *settings_text; /* "block: reject -> drop, ..." or NULL */
};
/* before may be NULL (nothing active). Equal canonical bytes give an empty diff. */
int zt_ruleset_diff(const struct zt_ruleset *before, const struct zt_ruleset *after, struct zt_diff *ret);
void zt_diff_done(struct zt_diff *d);
bool zt_diff_empty(const struct zt_diff *d);
/* One rule as one line of text: "allow web-to-redis: uid 1001 -> 127.0.0.1 tcp/6379" */
int zt_rule_text(const struct zt_ruleset *rs, const struct zt_rule *r, struct zt_strbuf *out);
