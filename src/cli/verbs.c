/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "cli/cli.h"

/* The one table: parsing, --help, completions and zt-segment(8) are made from it. */
const struct zt_option zt_options[ZT_OPT_COUNT] = {
	[ZT_OPT_HELP] = {"help", 'h', NULL, true, ZT_COMPLETE_NOTHING, NULL, "show help and exit"},
	[ZT_OPT_VERSION] = {"version", 'V', NULL, true, ZT_COMPLETE_NOTHING, NULL, "show the version and exit"},
	[ZT_OPT_OUTPUT] = {"output", 'o', "FORMAT", true, ZT_COMPLETE_WORDS, "table json",
			   "table (default) or json"},
	[ZT_OPT_ENGINE] = {"engine", 'e', "NAME", true, ZT_COMPLETE_WORDS, "auto nft iptables memory",
			   "what enforces: nft, iptables, memory, or auto (default: the one active now, else the first usable)"},
	[ZT_OPT_NETNS] = {"netns", 0, "NAME", true, ZT_COMPLETE_NETNS, NULL,
			  "work inside this network namespace and nowhere else"},
	[ZT_OPT_CGROUP] = {"cgroup", 0, "PATH", true, ZT_COMPLETE_NOTHING, NULL,
			   "take every cgroup of the policy to lie below this one"},
	[ZT_OPT_ROOT] = {"root", 0, "DIR", true, ZT_COMPLETE_DIR, NULL,
			 "take users, groups and sshd settings from this tree instead of /"},
	[ZT_OPT_INSTANCE] = {"instance", 0, "NAME", true, ZT_COMPLETE_NOTHING, NULL,
			     "which of several policies side by side (default \"default\")"},
	[ZT_OPT_STATE_DIR] = {"state-dir", 0, "DIR", true, ZT_COMPLETE_DIR, NULL,
			      "where generations and the audit log are kept"},
	[ZT_OPT_QUIET] = {"quiet", 'q', NULL, true, ZT_COMPLETE_NOTHING, NULL, "say nothing but errors and results"},
	[ZT_OPT_VERBOSE] = {"verbose", 'v', NULL, true, ZT_COMPLETE_NOTHING, NULL, "shorten no list"},
	[ZT_OPT_CONFIG] = {"config", 'c', "FILE", false, ZT_COMPLETE_FILE, NULL,
			   "the policy file; alone it means apply"},
	[ZT_OPT_STATUS] = {"status", 0, NULL, false, ZT_COMPLETE_NOTHING, NULL, "the same as the command status"},
	[ZT_OPT_FLUSH] = {"flush", 0, NULL, false, ZT_COMPLETE_NOTHING, NULL, "the same as the command flush"},
	[ZT_OPT_FORCE] = {"force", 'f', NULL, false, ZT_COMPLETE_NOTHING, NULL,
			  "do it although it would cut this session or the host's DNS off"},
	[ZT_OPT_CONFIRM] = {"confirm", 0, "TIME", false, ZT_COMPLETE_WORDS, "30s 60s 5m",
			    "go back to what was there before unless confirmed within this time"},
	[ZT_OPT_REASON] = {"reason", 0, "TEXT", false, ZT_COMPLETE_NOTHING, NULL, "why, for the audit log"},
	[ZT_OPT_LOCK_WAIT] = {"lock-wait", 0, "TIME", false, ZT_COMPLETE_WORDS, "10s 1m",
			      "wait this long for another apply to end (default: 10s)"},
	[ZT_OPT_DRY_RUN] = {"dry-run", 'n', NULL, false, ZT_COMPLETE_NOTHING, NULL,
			    "do everything up to the swap, then stop"},
	[ZT_OPT_WATCH] = {"watch", 'w', NULL, false, ZT_COMPLETE_NOTHING, NULL, "keep looking; end with Ctrl-C"},
	[ZT_OPT_MUTATE] = {"mutate", 0, NULL, false, ZT_COMPLETE_NOTHING, NULL,
			   "flip and remove each rule in turn and list what no test notices"},
	[ZT_OPT_USER] = {"user", 'u', "USER", false, ZT_COMPLETE_USER, NULL, "the sending user, name or uid"},
	[ZT_OPT_GROUP] = {"group", 'g', "GROUP", false, ZT_COMPLETE_GROUP, NULL,
			  "the sending group, name or gid (default: the user's primary group)"},
	[ZT_OPT_SERVICE] = {"service", 0, "UNIT", false, ZT_COMPLETE_NOTHING, NULL, "the sending systemd service"},
	[ZT_OPT_FROM] = {"from", 0, "HOST", false, ZT_COMPLETE_NOTHING, NULL, "the other machine that sends (inbound)"},
	[ZT_OPT_TO] = {"to", 't', "HOST:PORT/PROTO", false, ZT_COMPLETE_NOTHING, NULL,
		       "where to; \":PORT/PROTO\" is a port of this host; \"HOST/icmp\" has no port; tcp where none is named"},
	[ZT_OPT_POLICY] = {"policy", 'p', "FILE", false, ZT_COMPLETE_FILE, NULL,
			   "ask this file instead of what the kernel enforces"},
	[ZT_OPT_AT] = {"at", 0, "TIME", false, ZT_COMPLETE_NOTHING, NULL,
		       "as of this moment, 2026-12-31T18:00:00Z (for schedules and expiry)"},
	[ZT_OPT_SINCE] = {"since", 's', "TIME", false, ZT_COMPLETE_WORDS, "10m 1h 24h 7d",
			  "how far back: 10m, 2h, 7d, or a date"},
	[ZT_OPT_FOLLOW] = {"follow", 'F', NULL, false, ZT_COMPLETE_NOTHING, NULL,
			   "print what happens from now on; end with Ctrl-C"},
	[ZT_OPT_SOURCE] = {"source", 0, "NAME", false, ZT_COMPLETE_WORDS, "nflog journal kmsg file:",
			   "where to read: nflog, journal, kmsg or file:PATH (default: the best that is there)"},
	[ZT_OPT_RAW] = {"raw", 0, NULL, false, ZT_COMPLETE_NOTHING, NULL, "one line an event, in the form of the kernel log"},
	[ZT_OPT_VERIFY] = {"verify", 0, NULL, false, ZT_COMPLETE_NOTHING, NULL,
			   "check the audit chain and the digest of every stored file"},
	[ZT_OPT_SHOW] = {"show", 0, "N", false, ZT_COMPLETE_NOTHING, NULL, "print the policy of generation N"},
	[ZT_OPT_WRITE] = {"write", 0, NULL, false, ZT_COMPLETE_NOTHING, NULL, "put the result in place of the file"},
	[ZT_OPT_CHECK] = {"check", 0, NULL, false, ZT_COMPLETE_NOTHING, NULL,
			  "print nothing; exit 1 when the file is not in canonical form"},
};

#define SAME_AS_FILE "the policy file, the same as FILE"
#define ENFORCE "Enforce"
#define WRITE_POLICY "Policy files"
#define LOOK "Look"
#define MORE "More"

const struct zt_verb zt_verbs[] = {
	{.name = "check", .args = "[FILE]", .group = WRITE_POLICY, .summary = "is this policy right?",
	 .help = "Reads the policy, reports every error and warning with its line, lowers it for the engine and, as root, really "
		 "loads the result in a scratch network namespace of which nothing is left. Nothing on this host changes.",
	 .example = "zt-segment check rules.yaml", .flags = ZT_VERB_JSON | ZT_VERB_POLICY, .max_args = 1,
	 .complete = ZT_COMPLETE_FILE, .opts = {{ZT_OPT_CONFIG, SAME_AS_FILE}}, .n_opts = 1,
	 .exits = {{0, "the policy is right (there may be warnings)"}}, .run = zt_cmd_check},
	{.name = "test", .args = "[FILE]", .group = WRITE_POLICY, .summary = "run the policy's own tests, offline",
	 .help = "Evaluates the tests: of the policy against its rules. Needs no root and touches no kernel. Shows which rules "
		 "decided no test.\n\nWith --mutate each rule is flipped and removed in turn; what no test notices is listed: those "
		 "are mistakes the tests would not catch. A policy in observe mode is tested as if it enforced.",
	 .example = "zt-segment test --mutate rules.yaml", .flags = ZT_VERB_JSON | ZT_VERB_POLICY, .max_args = 1,
	 .complete = ZT_COMPLETE_FILE, .opts = {{ZT_OPT_CONFIG, SAME_AS_FILE}, {ZT_OPT_MUTATE, NULL}}, .n_opts = 2,
	 .exits = {{0, "all tests passed"}, {1, "a test failed"}}, .run = zt_cmd_test},
	{.name = "plan", .args = "[FILE]", .group = WRITE_POLICY, .summary = "what would change?",
	 .help = "Compares the policy with what the kernel enforces now and prints the difference. Changes nothing.",
	 .example = "zt-segment plan rules.yaml", .flags = ZT_VERB_JSON | ZT_VERB_POLICY | ZT_VERB_KERNEL, .max_args = 1,
	 .complete = ZT_COMPLETE_FILE, .opts = {{ZT_OPT_CONFIG, SAME_AS_FILE}}, .n_opts = 1,
	 .exits = {{0, "no differences"}, {1, "there are differences"}}, .run = zt_cmd_plan},
	{.name = "fmt", .args = "[FILE]", .group = WRITE_POLICY, .summary = "print the policy in canonical form",
	 .help = "Comments are kept. The result formatted again is the same. Users and hosts need not exist.",
	 .example = "zt-segment fmt --write rules.yaml", .flags = ZT_VERB_POLICY, .max_args = 1,
	 .complete = ZT_COMPLETE_FILE,
	 .opts = {{ZT_OPT_CONFIG, SAME_AS_FILE}, {ZT_OPT_WRITE, NULL}, {ZT_OPT_CHECK, NULL}}, .n_opts = 3,
	 .exits = {{0, "done"}, {1, "with --check: the file is not in canonical form"}}, .run = zt_cmd_fmt},
	{.name = "render", .args = "[FILE]", .group = WRITE_POLICY, .summary = "print what the engine would load",
	 .help = "The complete text for the engine's own tool (nft -f, iptables-restore) on an empty kernel. Touches no kernel.",
	 .example = "zt-segment render rules.yaml | less", .flags = ZT_VERB_POLICY, .max_args = 1,
	 .complete = ZT_COMPLETE_FILE, .opts = {{ZT_OPT_CONFIG, SAME_AS_FILE}}, .n_opts = 1, .exits = {{0, "done"}},
	 .run = zt_cmd_render},
	{.name = "schema", .args = "", .group = WRITE_POLICY, .summary = "print the JSON Schema of the language",
	 .help = "Editors complete and check policy files with it.", .example = "zt-segment schema > zt-segment.schema.json",
	 .exits = {{0, "done"}}, .run = zt_cmd_schema},

	{.name = "apply", .args = "[FILE]", .group = ENFORCE, .summary = "enforce a policy, as one transaction",
	 .help = "Checks the policy completely, keeps the way back, swaps the rules atomically, reads them back and compares. "
		 "Any failure leaves what was there before. Connections that are already established keep running. Applying the "
		 "same policy again changes nothing.\n\nA policy that would cut off new SSH connections from where you are, or the "
		 "host's DNS, is refused; --force overrides that. With --confirm the change is undone by itself unless \"zt-segment "
		 "confirm\" is run, best from a new login, within the time.",
	 .example = "zt-segment apply --confirm 60s rules.yaml", .flags = ZT_VERB_JSON | ZT_VERB_POLICY | ZT_VERB_KERNEL,
	 .max_args = 1, .complete = ZT_COMPLETE_FILE,
	 .opts = {{ZT_OPT_CONFIG, SAME_AS_FILE}, {ZT_OPT_CONFIRM, NULL}, {ZT_OPT_FORCE, NULL}, {ZT_OPT_DRY_RUN, NULL},
		  {ZT_OPT_REASON, NULL}, {ZT_OPT_LOCK_WAIT, NULL}}, .n_opts = 6,
	 .exits = {{0, "enforced, or nothing had to change"}, {1, "failed, nothing changed"}}, .run = zt_cmd_apply},
	{.name = "confirm", .args = "", .group = ENFORCE, .summary = "keep what \"apply --confirm\" put in place",
	 .help = "Refused from the session that applied where that session only lives on because established connections do: "
		 "open a new login first.",
	 .example = "zt-segment confirm", .flags = ZT_VERB_JSON | ZT_VERB_KERNEL,
	 .opts = {{ZT_OPT_FORCE, "confirm from the session that applied"}}, .n_opts = 1,
	 .exits = {{0, "confirmed"}, {1, "nothing is waiting to be confirmed"}, {124, "too late, it was rolled back"}},
	 .run = zt_cmd_confirm},
	{.name = "rollback", .args = "[N]", .group = ENFORCE, .summary = "go back to an earlier generation",
	 .help = "To generation N of \"zt-segment history\"; without N to the one before, or to what was there before an "
		 "unconfirmed apply. A rollback is a new generation of its own.",
	 .example = "zt-segment rollback 7", .flags = ZT_VERB_JSON | ZT_VERB_KERNEL, .max_args = 1,
	 .opts = {{ZT_OPT_CONFIRM, NULL}, {ZT_OPT_FORCE, NULL}, {ZT_OPT_REASON, NULL}, {ZT_OPT_LOCK_WAIT, NULL}},
	 .n_opts = 4, .exits = {{0, "done"}, {1, "failed, nothing changed"}}, .run = zt_cmd_rollback},
	{.name = "flush", .args = "", .group = ENFORCE, .summary = "remove all rules of zt-segment, and only those",
	 .help = "The host is open afterwards, as if zt-segment had never run. Works on a damaged state too. Rules of other "
		 "programs are not touched.",
	 .example = "zt-segment flush", .flags = ZT_VERB_JSON | ZT_VERB_KERNEL, .exits = {{0, "nothing of ours is left"}},
	 .run = zt_cmd_flush},
	{.name = "refresh", .args = "", .group = ENFORCE, .summary = "look up users, hosts and cgroups anew",
	 .help = "Resolves the names in the current policy again and puts the difference in force: after a service was "
		 "restarted (its cgroup is a new one), a host name moved or a network device appeared.",
	 .example = "zt-segment refresh", .flags = ZT_VERB_JSON | ZT_VERB_KERNEL, .exits = {{0, "done"}},
	 .run = zt_cmd_refresh},
	{.name = "restore", .args = "", .group = ENFORCE, .summary = "put the last confirmed generation in force (boot)",
	 .help = "What the boot unit runs before the network comes up. A damaged generation falls back to the one before, and "
		 "in the end to a built-in emergency policy: loopback, DHCP, DNS and SSH in.",
	 .example = "zt-segment restore", .flags = ZT_VERB_JSON | ZT_VERB_KERNEL | ZT_VERB_HIDDEN,
	 .exits = {{0, "in force"}, {1, "not even the emergency policy could be loaded"}}, .run = zt_cmd_restore},

	{.name = "status", .args = "", .group = LOOK, .summary = "what is enforced, with counters",
	 .help = "Read from the kernel, not from memory of ours: rules and their packets, generation, drift, a pending "
		 "confirmation, tables of other programs, and what this engine does not cover on this kernel.",
	 .example = "zt-segment status --watch", .flags = ZT_VERB_JSON | ZT_VERB_KERNEL,
	 .opts = {{ZT_OPT_WATCH, "refresh every two seconds; end with Ctrl-C"}}, .n_opts = 1,
	 .exits = {{0, "active"}, {3, "not active"}}, .run = zt_cmd_status},
	{.name = "why", .args = "", .group = LOOK, .summary = "would this be allowed, and why (not)?",
	 .help = "Names the rule that decides, with file and line, the rules before it and the condition of each that failed, "
		 "and, where the answer is no, the smallest rule that would allow it and what else that rule opens. The answer "
		 "is computed on what the kernel holds, or on --policy FILE.\n\nOutbound: --user (or --service, --cgroup) and --to "
		 "HOST:PORT/PROTO. Inbound: --from HOST and --to :PORT/PROTO.",
	 .example = "zt-segment why --user web-user --to 127.0.0.1:6379/tcp", .flags = ZT_VERB_JSON,
	 .opts = {{ZT_OPT_USER, NULL}, {ZT_OPT_GROUP, NULL}, {ZT_OPT_SERVICE, NULL},
		  {ZT_OPT_CGROUP, "the sender's cgroup"}, {ZT_OPT_TO, NULL}, {ZT_OPT_FROM, NULL},
		  {ZT_OPT_POLICY, NULL}, {ZT_OPT_AT, NULL}}, .n_opts = 8,
	 .exits = {{0, "answered, allowed or not"}, {3, "nothing is enforced and no --policy was named"}},
	 .run = zt_cmd_why},
	{.name = "blocked", .args = "", .group = LOOK, .summary = "who was blocked?",
	 .help = "Reads the kernel log, the journal or the netlink log, whichever is there, and groups what was blocked by "
		 "user, program where it is known, destination and port, with counts and first and last time.",
	 .example = "zt-segment blocked --since 1h", .flags = ZT_VERB_JSON,
	 .opts = {{ZT_OPT_SINCE, NULL}, {ZT_OPT_FOLLOW, NULL}, {ZT_OPT_SOURCE, NULL},
		  {ZT_OPT_USER, "only what this user tried, name or uid"}, {ZT_OPT_RAW, NULL}}, .n_opts = 5,
	 .exits = {{0, "done"}}, .run = zt_cmd_blocked},
	{.name = "report", .args = "", .group = LOOK, .summary = "blocked traffic by user, with patterns worth a look",
	 .help = "Sums up what was blocked: by user, the most frequent destinations of each, and patterns such as many ports or "
		 "many hosts tried by one user.",
	 .example = "zt-segment report --since 24h", .flags = ZT_VERB_JSON,
	 .opts = {{ZT_OPT_SINCE, NULL}, {ZT_OPT_SOURCE, NULL}, {ZT_OPT_USER, "only what this user tried, name or uid"}},
	 .n_opts = 3, .exits = {{0, "done"}}, .run = zt_cmd_report},
	{.name = "history", .args = "", .group = LOOK, .summary = "the generations: who, when, from where",
	 .help = "The last 20 generations. --show N prints the policy of one; --verify checks the hash chain of the audit log "
		 "and the digest of every stored file and finds a changed byte.",
	 .example = "zt-segment history --verify", .flags = ZT_VERB_JSON,
	 .opts = {{ZT_OPT_VERIFY, NULL}, {ZT_OPT_SHOW, NULL}}, .n_opts = 2,
	 .exits = {{0, "done"}, {1, "with --verify: something was changed"}}, .run = zt_cmd_history},
	{.name = "drift", .args = "", .group = LOOK, .summary = "does the kernel still hold what was applied?",
	 .help = "Compares the confirmed generation with what the kernel holds and names who changed it where the kernel tells. "
		 "--watch waits for changes of the packet filter and reports each with the program that made it.",
	 .example = "zt-segment drift", .flags = ZT_VERB_JSON | ZT_VERB_KERNEL, .opts = {{ZT_OPT_WATCH, NULL}}, .n_opts = 1,
	 .exits = {{0, "no drift"}, {1, "there is drift"}, {3, "not active"}}, .run = zt_cmd_drift},

	{.name = "explain", .args = "[CODE]", .group = MORE, .summary = "what an error code means and how to get rid of it",
	 .help = "CODE as printed after a message: ZT1107 or 1107. Without one all codes are listed.",
	 .example = "zt-segment explain ZT1107", .max_args = 1, .exits = {{0, "done"}, {1, "there is no such code"}},
	 .run = zt_cmd_explain},
	{.name = "completion", .args = "SHELL", .group = MORE, .summary = "print completions for bash, zsh or fish",
	 .help = "Source it, or put it where your shell looks: for bash /usr/share/bash-completion/completions/zt-segment. "
		 "\"man\" and \"man-yaml\" print the sources (scdoc) of the two manual pages.",
	 .example = "zt-segment completion bash", .max_args = 1, .complete = ZT_COMPLETE_WORDS, .words = "bash zsh fish",
	 .exits = {{0, "done"}}, .run = zt_cmd_completion},
	{.name = "help", .args = "[COMMAND]", .group = MORE, .summary = "help for one command", .help = "The same as COMMAND --help.",
	 .example = "zt-segment help apply", .max_args = 1, .complete = ZT_COMPLETE_VERB, .exits = {{0, "done"}},
	 .run = zt_cmd_help},
	{.name = "version", .args = "", .group = MORE, .summary = "print the version",
	 .help = "With -o json also the engines and whether each is usable here.", .example = "zt-segment version",
	 .flags = ZT_VERB_JSON, .exits = {{0, "done"}}, .run = zt_cmd_version},
};
const size_t zt_n_verbs = ZT_ARRAY_SIZE(zt_verbs);

const struct zt_verb *zt_verb_by_name(const char *name)
{
	for (size_t i = 0; i < zt_n_verbs; i++)
		if (!strcmp(zt_verbs[i].name, name))
			return &zt_verbs[i];
	return NULL;
}

bool zt_verb_takes(const struct zt_verb *v, enum zt_opt o)
{
	if (zt_options[o].global)
		return true;
	for (unsigned i = 0; i < v->n_opts; i++)
		if (v->opts[i].opt == o)
			return true;
	return false;
}

const char *zt_verb_opt_doc(const struct zt_verb *v, enum zt_opt o)
{
	for (unsigned i = 0; i < v->n_opts; i++)
		if (v->opts[i].opt == o && v->opts[i].doc)
			return v->opts[i].doc;
	return zt_options[o].doc;
}
