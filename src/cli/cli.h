/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * cli: the program zt-segment. One table of verbs and options (verbs.c) drives parsing, help, completions and the man
 * page; one thin file a verb (cmd_*.c): read options, call a room below, print. May use every other room.
 *
 * A verb returns the exit code of the process. Tables and JSON go to c->out, everything said to a person about the work
 * itself (errors, warnings) to c->err. Nothing that came from outside is printed unescaped.
 */
#include <stdio.h>

#include "apply/apply.h"
#include "base/strbuf.h"
#include "event/event.h"
#include "event/journal.h"
#include "event/seen.h"
#include "event/sums.h"

enum zt_exit {
	ZT_EXIT_OK = 0,
	ZT_EXIT_FAILED = 1, /* nothing changed; for plan, drift, test: there are differences or failures */
	ZT_EXIT_USAGE = 2,
	ZT_EXIT_INACTIVE = 3,
	ZT_EXIT_POLICY = 65,
	ZT_EXIT_PERMISSION = 77,
	ZT_EXIT_UNCONFIRMED = 124,
};

#define ZT_DEFAULT_POLICY "/etc/zt-segment/rules.yaml"
#define ZT_DEFAULT_STATE "/var/lib/zt-segment"

/* One name has one number of arguments everywhere, so that options may stand before the verb. */
enum zt_opt {
	ZT_OPT_HELP,
	ZT_OPT_VERSION,
	ZT_OPT_OUTPUT,
	ZT_OPT_ENGINE,
	ZT_OPT_NETNS,
	ZT_OPT_CGROUP,
	ZT_OPT_ROOT,
	ZT_OPT_INSTANCE,
	ZT_OPT_STATE_DIR,
	ZT_OPT_QUIET,
	ZT_OPT_VERBOSE,
	ZT_OPT_CONFIG,
	ZT_OPT_STATUS,
	ZT_OPT_FLUSH,
	ZT_OPT_FORCE,
	ZT_OPT_CONFIRM,
	ZT_OPT_REASON,
	ZT_OPT_LOCK_WAIT,
	ZT_OPT_DRY_RUN,
	ZT_OPT_WATCH,
	ZT_OPT_MUTATE,
	ZT_OPT_USER,
	ZT_OPT_GROUP,
	ZT_OPT_SERVICE,
	ZT_OPT_FROM,
	ZT_OPT_TO,
	ZT_OPT_POLICY,
	ZT_OPT_AT,
	ZT_OPT_SINCE,
	ZT_OPT_FOLLOW,
	ZT_OPT_SOURCE,
	ZT_OPT_RAW,
	ZT_OPT_VERIFY,
	ZT_OPT_SHOW,
	ZT_OPT_WRITE,
	ZT_OPT_CHECK,
	ZT_OPT_FULL,
	ZT_OPT_ROUNDS,
	ZT_OPT_ALL,
	ZT_OPT_PID,
	ZT_OPT_TO_PID,
	ZT_OPT_AGAINST,
	ZT_OPT_PACKETS,
	ZT_OPT_SEED,
	ZT_OPT_REVOKE,
	ZT_OPT_RULE,
	ZT_OPT_LABEL,
	ZT_OPT_ALLOWED,
	ZT_OPT_KIND,
	ZT_OPT_INTERVAL,
	ZT_OPT_COUNT_OF,
	ZT_OPT_UNTIL,
	ZT_OPT_FORMAT,
	ZT_OPT_FOR,
	ZT_OPT_DENIED,
	ZT_OPT_COUNT,
};

enum zt_complete { /* what a shell offers for an argument */
		   ZT_COMPLETE_NOTHING,
		   ZT_COMPLETE_WORDS,
		   ZT_COMPLETE_FILE,
		   ZT_COMPLETE_DIR,
		   ZT_COMPLETE_USER,
		   ZT_COMPLETE_GROUP,
		   ZT_COMPLETE_NETNS,
		   ZT_COMPLETE_VERB,
};

struct zt_option {
	const char *name; /* without the dashes */
	char letter;	  /* 0 = none */
	const char *arg;  /* "FILE", or NULL for a switch */
	bool global;
	enum zt_complete complete;
	const char *words; /* with ZT_COMPLETE_WORDS, blank-separated */
	const char *doc;
};

enum {
	ZT_VERB_JSON = 1,   /* has a JSON form */
	ZT_VERB_POLICY = 2, /* its argument is a policy file; --config names it too */
	ZT_VERB_KERNEL = 4, /* touches the kernel: needs an engine and, but for the memory engine, root */
	ZT_VERB_READS = 16, /* changes nothing: members of the group zt-segment too, through zt-segmentd */
	ZT_VERB_HIDDEN = 8, /* not in the short list of --help */
	ZT_VERB_ROOT = 32,  /* reads what only root may, without asking the kernel for its rules */
};

struct zt_cli;
struct zt_verb {
	const char *name;
	const char *args;    /* "[FILE]", or "" */
	const char *group;   /* heading in --help */
	const char *summary; /* one line */
	const char *help;    /* paragraphs separated by an empty line */
	const char *example; /* one command line */
	unsigned flags, max_args;
	enum zt_complete complete; /* of its argument */
	const char *words;
	struct {
		enum zt_opt opt;
		const char *doc; /* NULL = the option's own */
	} opts[12];
	unsigned n_opts;
	struct {
		enum zt_opt opt;
		const char
			*words; /* with this verb a shell offers these for that option; NULL: what it offers with all */
	} other;
	struct {
		int code;
		const char *text;
	} exits[5]; /* its own ones; text NULL ends. The common ones are added */
	int (*run)(struct zt_cli *c);
};
extern const struct zt_option zt_options[ZT_OPT_COUNT];
extern const struct zt_verb zt_verbs[];
extern const size_t zt_n_verbs;
const struct zt_verb *zt_verb_by_name(const char *name); /* NULL */
bool zt_verb_takes(const struct zt_verb *v, enum zt_opt o);
const char *zt_verb_opt_doc(const struct zt_verb *v, enum zt_opt o);
/* The i-th of its exit codes, its own ones first. false: there are no more. */
bool zt_verb_exit(const struct zt_verb *v, size_t i, int *ret_code, const char **ret_text);

struct zt_args {
	const struct zt_verb *verb;
	const char *value[ZT_OPT_COUNT]; /* NULL = not given; "" for a switch that was */
	const char *pos[4];		 /* after the verb */
	size_t n_pos;
};
/* 0, or -EINVAL with a one-line reason in err. verb NULL afterwards: nothing was asked for, or only --help/--version. */
int zt_args_parse(int argc, char *const *argv, struct zt_args *ret, struct zt_strbuf *err);

struct zt_cli {
	struct zt_args args;
	FILE *out, *err;
	bool json, quiet, verbose, colour, err_colour;
	const char *instance;
	char *state_dir;
	const struct zt_engine *engine; /* set by zt_cli_engine() */
	bool engine_active;		/* nobody chose it: it enforces here */
	bool member;			/* not root: what the engine says comes from zt-segmentd */
	struct zt_diags diags;
	bool keep_diags;  /* they become part of the JSON result: nothing prints them */
	unsigned width;	  /* of text */
	unsigned columns; /* of a line; 0: there is no terminal, tables are as wide as what is in them */
};

/* ---- session.c ---- */
int zt_cli_init(
	struct zt_cli *c); /* from c->args: netns entered, state folder chosen. An exit code; says what is wrong */
void zt_cli_done(struct zt_cli *c);
#define zt_opt(c, o) ((c)->args.value[ZT_OPT_##o])
/* The engine asked for, else the one that enforces here now, else the first usable. An exit code. */
int zt_cli_engine(struct zt_cli *c);
int zt_cli_engine_or_nft(struct zt_cli *c); /* for what touches no kernel: asked for, else nft */
struct zt_apply_ctx zt_cli_apply_ctx(struct zt_cli *c);
const char *zt_cli_policy_path(const struct zt_cli *c);
/* Prints what was collected; the exit code for r (-EPERM 77, -ENOTSUP of a policy 65, …). */
int zt_cli_fail(struct zt_cli *c, int r);
int zt_cli_fail_policy(struct zt_cli *c, int r); /* the same where the policy itself is at fault: 65 */
void zt_cli_flush_diags(struct zt_cli *c);
/* "zt-segment: error: … [ZT5001]" and a hint; returns code. */
int zt_cli_error(struct zt_cli *c, int code, unsigned zt_code, const char *hint, const char *fmt, ...) ZT_PRINTF(5, 6);
int zt_cli_load(struct zt_cli *c, struct zt_policy **ret);						/* exit code */
int zt_cli_compile(struct zt_cli *c, const struct zt_policy *p, bool offline, struct zt_ruleset **ret); /* exit code */
int zt_cli_raise(struct zt_cli *c, struct zt_ruleset **ret); /* exit code; ZT_EXIT_INACTIVE when nothing is there */
/* Lines of the policy are not in every kernel, and priorities in none: the stored generation has them, where it is the same ruleset. */
void zt_cli_add_lines(struct zt_cli *c, struct zt_ruleset *rs);
/* One line of progress, "[INFO] 2024-12-27T10:00:00Z …". */
void zt_cli_info(struct zt_cli *c, const char *fmt, ...) ZT_PRINTF(2, 3);

/* A descriptor that becomes readable on Ctrl-C or SIGTERM, which no longer end the process; or -1 and errno. */
int zt_cli_signals(void);

/* ---- pastevents.c ---- */
char *zt_cli_journal_path(const struct zt_cli *c);	       /* NULL on ENOMEM */
int zt_cli_journal(struct zt_cli *c, struct zt_journal **ret); /* read-only. Exit code; says when there is none */
/* --since, or what stands for it ("24h", NULL = everything). Exit code */
int zt_cli_kinds(struct zt_cli *c, uint32_t *ret); /* --kind: bits; not written when it is not given */
int zt_cli_event_user(struct zt_cli *c, bool *ret_has, uint32_t *ret); /* --user: a name or a number */
int zt_cli_since(struct zt_cli *c, const char *otherwise, zt_usec *ret);
int zt_cli_time(struct zt_cli *c, enum zt_opt opt, const char *otherwise, zt_usec *ret); /* the same of any option */

/* For answers from sums of flows: says how many events of these kinds (bits) were lost since then. j NULL: through zt-segmentd. Exit code */
#define ZT_FLOW_KINDS (1u << ZT_ACTIVITY_CONNECT | 1u << ZT_ACTIVITY_ACCEPT | 1u << ZT_ACTIVITY_FLOW)
int zt_cli_say_lacking(struct zt_cli *c, struct zt_journal *j, zt_usec since, uint32_t kinds);
int zt_cli_no_journal(struct zt_cli *c);	    /* exit code; says so */
int zt_cli_no_event(struct zt_cli *c, uint64_t id); /* the same */

/* ---- member.c: not root, through zt-segmentd ---- */
bool zt_cli_is_member(
	const struct zt_cli *c); /* not root, and the state folder is closed to us: perhaps a member of the group */
int zt_cli_member_engine(struct zt_cli *c); /* c->engine is one that can only be read. Exit code */
/* After zt_cli_member_engine(): drift (without rules), when the newest generation was settled, whether one waits. false: drift is not known. */
bool zt_cli_member_state(struct zt_drift *ret, zt_usec *ret_settled, bool *ret_pending);
int zt_cli_member_newest(struct zt_cli *c, uint64_t *ret_id); /* of any kind. Exit code */
/* Events that fit q (time, kinds, uid, pid, after), in the order of ids, or with reverse the newest of them; q->after goes on. fn ends it with a value
 * other than 0. Exit code */
typedef int (*zt_member_event_fn)(void *arg, uint64_t id, const struct zt_activity *a);
int zt_cli_member_events(struct zt_cli *c, struct zt_journal_query *q, zt_member_event_fn fn, void *arg);
/* Of flows since then, merged; s->by says by what. Exit code */
int zt_cli_member_sums(struct zt_cli *c, zt_usec since, struct zt_sums *s);
int zt_cli_member_event(struct zt_cli *c, uint64_t id, struct zt_activity *ret, struct zt_seen_often *ret_seen);

/* ---- out.c ---- */
enum zt_colour { ZT_PLAIN, ZT_BOLD, ZT_RED, ZT_GREEN, ZT_YELLOW, ZT_DIM };
const char *zt_colour(const struct zt_cli *c, enum zt_colour k); /* an escape sequence or "" */
int zt_cli_json(struct zt_cli *c, struct json_t *root);		 /* prints and releases; exit code */
struct json_t *zt_json_text(const char *s);			 /* null for NULL; what is not UTF-8 comes escaped */
void zt_cli_wrap(FILE *f, const char *text, unsigned indent, unsigned width); /* paragraphs */
void zt_cli_bullet(FILE *f, const char *text, unsigned width); /* "  - text", wrapped below its first word */
void zt_cli_puts_escaped(FILE *f, const char *s);
/* "5 minutes ago"-like short age: "42s", "12m", "3h", "5d". */
void zt_age_format(zt_usec age, char buf[static 16]);
void zt_amount_text(double v, char buf[static 16]);    /* "999", "1.2K", "3.4M" */
void zt_uid_text(uint32_t uid, struct zt_strbuf *out); /* "web-user (UID 1001)" or "UID 4711" */

/* ---- ruletext.c: rules for people; texts of the policy when the rule still has them, else from the match ---- */
void zt_rule_from(const struct zt_rule *r, struct zt_strbuf *out);	/* "web-user", "10.0.0.0/8", "*" */
void zt_rule_from_long(const struct zt_rule *r, struct zt_strbuf *out); /* "web-user (UID 1001)" */
void zt_rule_to(const struct zt_rule *r, struct zt_strbuf *out);	/* "127.0.0.1:6379/tcp", ":443/tcp" inbound */
void zt_rule_hosts(const struct zt_rule *r, bool source, struct zt_strbuf *out); /* only the addresses */
void zt_rule_place(const struct zt_ruleset *rs, const struct zt_rule *r, struct zt_strbuf *out); /* "rules.yaml:12" */
void zt_u32_ranges_text(const struct zt_u32_ranges *l, struct zt_strbuf *out);	   /* "80,443,8000-8080" */
struct json_t *zt_rule_json(const struct zt_ruleset *rs, const struct zt_rule *r); /* short form for reports */
size_t zt_active_rules(const struct zt_ruleset *rs);	  /* rows of status: rules by name and the built-in ones */
const char *zt_engine_title(const char *name);		  /* "nftables" */
const char *zt_default_text(const struct zt_settings *s); /* "DEFAULT DENY" … */

/* ---- cmd_revoke.c: what was ended ---- */
struct json_t *zt_revoked_json(const struct zt_revoke_report *r, bool dry_run);
/* Ends what rs, just put in force, denies; the report goes to the screen, or into the object. Exit code. */
int zt_revoke_denied(struct zt_cli *c, const struct zt_ruleset *rs, struct json_t *into);
int zt_revoked_print(struct zt_cli *c, const struct zt_revoke_report *r, bool dry_run); /* exit code */

/* ---- flowtext.c: "HOST:PORT/PROTO" ---- */
struct zt_target {
	bool has_host;
	char host[256];
	uint8_t proto;
	uint16_t port;
	bool has_port;
	char unix_name[ZT_UNIX_NAME_MAX + 1]; /* then nothing else */
};
/* "unix:/run/x.sock", "127.0.0.1:6379/tcp", "[::1]:53/udp", ":22", "10.0.0.1/icmp", "db.example:5432"; 0 or -EINVAL. Default protocol tcp. */
int zt_target_parse(const char *s, struct zt_target *ret);
void zt_flow_text(const struct zt_flow *f, struct zt_strbuf *out); /* "web-user (UID 1001) -> 127.0.0.1:6379/tcp" */
struct json_t *zt_flow_json(const struct zt_flow *f);
struct json_t *zt_decision_json(const struct zt_ruleset *rs, const struct zt_decision *d);
const char *zt_decider_text(const struct zt_decision *d); /* "the default policy", "rule"… */
bool zt_addr_is_own(const struct zt_addr *a);		  /* loopback, or an address of this host */

/* ---- neartext.c: near misses ---- */
struct zt_near {
	const struct zt_rule *rule;
	unsigned n_misses;
	enum zt_miss misses[12]; /* every condition that failed */
};
void zt_near_miss(const struct zt_rule *r, const struct zt_flow *f, struct zt_near *ret);
/* Rules that did not decide, nearest first (fewest failed conditions, then order); *ret malloc'ed. */
int zt_near_list(const struct zt_ruleset *rs, const struct zt_flow *f, const struct zt_rule *until,
		 struct zt_near **ret, size_t *ret_n);
void zt_near_text(const struct zt_near *n, const struct zt_flow *f,
		  struct zt_strbuf *out); /* "user: wants web-user …" */

/* ---- edits.c: the smallest edits of the policy that would allow a flow ---- */
enum zt_edit_kind {
	ZT_EDIT_ADD,   /* a rule of its own */
	ZT_EDIT_WIDEN, /* a value more in the one condition of a rule that failed */
	ZT_EDIT_TIME,  /* the schedule or expiry of a rule */
	ZT_EDIT_MOVE,  /* a rule that allows it in front of the one that decides */
};
struct zt_edit {
	enum zt_edit_kind kind;
	const struct zt_rule *rule;   /* the one to change; NULL for ADD */
	const struct zt_rule *before; /* ADD, MOVE: the rule it goes in front of; NULL: at the end */
	enum zt_miss miss;	      /* WIDEN, TIME: the condition */
	struct zt_match added;	      /* what the rules match more */
	struct zt_opening opening;    /* everything it would newly allow, the flow itself included */
};
/* For a flow that d denies; near as zt_near_list() gives it for the rules before the decider. The first is a rule of its own, then
 * at most three others, those that open least first. Each was proven to allow f. */
int zt_edits_find(const struct zt_ruleset *rs, const struct zt_flow *f, const struct zt_decision *d,
		  const struct zt_near *near, size_t n_near, struct zt_edit **ret, size_t *ret_n);
void zt_edits_free(struct zt_edit *e, size_t n);
/* "in rule 'web-to-redis' (rules.yaml:4), add 443 to the ports of to:" */
void zt_edit_text(const struct zt_ruleset *rs, const struct zt_edit *e, const struct zt_flow *f, struct zt_strbuf *out);
void zt_opened_text(const struct zt_opened *o, enum zt_direction dir,
		    struct zt_strbuf *out); /* "web -> 10.0.0.7:443/tcp" */
void zt_edit_opens_text(const struct zt_ruleset *rs, const struct zt_edit *e, enum zt_direction dir,
			struct zt_strbuf *out);
/* YAML of the rule of ADD. */
void zt_edit_yaml(const struct zt_flow *f, const struct zt_rule *before, struct zt_strbuf *out);
bool zt_flow_names_group(const struct zt_flow *f); /* its group is not just the primary one of its user */

/* ---- generated texts ---- */
void zt_help_short(FILE *f);
void zt_help_verb(FILE *f, const struct zt_verb *v);
int zt_completion_print(FILE *f, const char *shell); /* -EINVAL: unknown shell */
void zt_man_print(FILE *f);			     /* zt-segment.8.scd */
int zt_man_yaml_print(FILE *f);			     /* zt-segment.yaml.5.scd */
/* Title and text of a diagnostic code; false when there is none. i-th code for lists. */
bool zt_code_find(unsigned code, const char **ret_title, const char **ret_text);
size_t zt_code_count(void);
void zt_code_at(size_t i, unsigned *ret_code, const char **ret_title);

/* ---- cmd_apply.c, also for rollback ---- */
int zt_apply_options_from(struct zt_cli *c, struct zt_apply_options *ret); /* exit code */
/* revoke: the ruleset whose denied flows are ended, or NULL */
int zt_apply_report(struct zt_cli *c, const struct zt_apply_result *r, bool dry_run, const struct zt_ruleset *revoke);

/* ---- difftext.c: for plan and drift ---- */
void zt_diff_print(struct zt_cli *c, const struct zt_diff *d, const struct zt_ruleset *before,
		   const struct zt_ruleset *after);
struct json_t *zt_diff_json(const struct zt_diff *d, const struct zt_ruleset *before, const struct zt_ruleset *after);

/* ---- events.c: shared by blocked and report ---- */
int zt_cli_events(struct zt_cli *c, bool follow, struct zt_event_source **ret, char **ret_prefix); /* exit code */
bool zt_cli_event_wanted(const struct zt_cli *c, const struct zt_event *e);
/* Ctrl-C ends the watching and not the program, from now on: what was seen is summed up. A second one ends it. */
void zt_cli_catch_end(void);
bool zt_cli_stopped(void);						/* it came */
int zt_cli_next_event(struct zt_event_source *s, struct zt_event *ret); /* 1; 0: the end, or Ctrl-C came; -errno */
/* All of the past, or with --follow until Ctrl-C. Exit code; *ret_source: "the journal", a path, … */
int zt_cli_events_group(struct zt_cli *c, struct zt_event_groups *ret, const char **ret_source);
/* Not root, and zt-segmentd tells: what it recorded, and with follow what comes, until Ctrl-C. fn: 0, or -errno, which ends it. *ret_lost: denies that were
 * not recorded, which is said as well. Exit code */
bool zt_cli_events_told(struct zt_cli *c);
int zt_cli_told_events(struct zt_cli *c, bool follow, int (*fn)(void *arg, const struct zt_event *e), void *arg,
		       uint64_t *ret_lost);
void zt_cli_no_past_hint(struct zt_cli *c, const char *source); /* why nothing may have been found there */
struct json_t *zt_event_json(const struct zt_event *e);
void zt_event_to_text(const struct zt_event *e, struct zt_strbuf *out); /* "127.0.0.1:6379/tcp" */
void zt_event_who_text(const struct zt_event *e, struct zt_strbuf *out);
/* "web-user (UID 1001) /usr/bin/curl in web.service (is @web)", what is known of it. */
void zt_event_end_text(const struct zt_event_end *e, bool user, struct zt_strbuf *out);
/* Says what is missing of the past, beyond these counts. */
void zt_cli_event_losses(struct zt_cli *c, const struct zt_event_source *s, uint64_t lost, uint64_t suppressed);
struct json_t *zt_group_json(const struct zt_event_group *g);
struct json_t *zt_patterns_json(const struct zt_event_groups *g);

/* ---- cmd_reload.c: zt-segmentd ---- */
/* Its answer to a request without arguments; -errno as zt_control_call(). */
int zt_cli_daemon(struct zt_cli *c, const char *request, zt_usec timeout, struct json_t **ret);
/* Adds to its status how long an answer takes ("answers_usec"). */
void zt_daemon_measure(struct zt_cli *c, struct json_t *status);
void zt_daemon_line(const struct json_t *status, struct zt_strbuf *out);	/* "Daemon: pid 12, up 3h, …" */
bool zt_daemon_reload_line(const struct json_t *status, struct zt_strbuf *out); /* false: none yet */
void zt_daemon_details(struct zt_cli *c, const struct json_t *status);

/* ---- cmd_*.c: one a verb; all return an exit code ---- */
int zt_cmd_check(struct zt_cli *c);
int zt_cmd_test(struct zt_cli *c);
int zt_cmd_plan(struct zt_cli *c);
int zt_cmd_fmt(struct zt_cli *c);
int zt_cmd_bench(struct zt_cli *c);
int zt_cmd_render(struct zt_cli *c);
int zt_cmd_schema(struct zt_cli *c);
int zt_cmd_apply(struct zt_cli *c);
int zt_cmd_confirm(struct zt_cli *c);
int zt_cmd_rollback(struct zt_cli *c);
int zt_cmd_flush(struct zt_cli *c);
int zt_cmd_refresh(struct zt_cli *c);
int zt_cmd_restore(struct zt_cli *c);
int zt_cmd_reload(struct zt_cli *c);
int zt_cmd_status(struct zt_cli *c);
int zt_cmd_why(struct zt_cli *c);
int zt_cmd_who(struct zt_cli *c);
int zt_cmd_blocked(struct zt_cli *c);
int zt_cmd_report(struct zt_cli *c);
int zt_cmd_journal(struct zt_cli *c);
int zt_cmd_events(struct zt_cli *c);
int zt_cmd_top(struct zt_cli *c);
int zt_cmd_stats(struct zt_cli *c);
int zt_cmd_learn(struct zt_cli *c);
int zt_cmd_whatif(struct zt_cli *c);
int zt_cmd_unused(struct zt_cli *c);
int zt_cmd_history(struct zt_cli *c);
int zt_cmd_drift(struct zt_cli *c);
int zt_cmd_prove(struct zt_cli *c);
int zt_cmd_revoke(struct zt_cli *c);
int zt_cmd_explain(struct zt_cli *c);
int zt_cmd_completion(struct zt_cli *c);
int zt_cmd_help(struct zt_cli *c);
int zt_cmd_version(struct zt_cli *c);
