/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "cli/cli.h"

/* The one table: parsing, --help, completions and zt-segment(8) are made from it. */
const struct zt_option zt_options[ZT_OPT_COUNT] = {
	[ZT_OPT_HELP] = {"help", 'h', NULL, true, ZT_COMPLETE_NOTHING, NULL, "show help and exit"},
	[ZT_OPT_VERSION] = {"version", 'V', NULL, true, ZT_COMPLETE_NOTHING, NULL, "show the version and exit"},
	[ZT_OPT_OUTPUT] = {"output", 'o', "FORMAT", true, ZT_COMPLETE_WORDS, "table json", "table (default) or json"},
	[ZT_OPT_ENGINE] =
		{"engine", 'e', "NAME", true, ZT_COMPLETE_WORDS, "auto nft bpf iptables memory",
		 "what enforces: nft, bpf, iptables, memory, or auto (default: the one active now, else the first usable)"},
	[ZT_OPT_NETNS] = {"netns", 0, "NAME", true, ZT_COMPLETE_NETNS, NULL,
			  "work inside this network namespace and nowhere else"},
	[ZT_OPT_CGROUP] =
		{"cgroup", 0, "PATH", true, ZT_COMPLETE_NOTHING, NULL,
		 "take every cgroup of the policy to lie below this one; the bpf engine enforces there and nowhere else, and to the nft engine processes outside are unknown"},
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
	[ZT_OPT_TO] =
		{"to", 't', "HOST:PORT/PROTO", false, ZT_COMPLETE_NOTHING, NULL,
		 "where to; \":PORT/PROTO\" is a port of this host; \"HOST/icmp\" has no port; tcp where none is named"},
	[ZT_OPT_POLICY] = {"policy", 'p', "FILE", false, ZT_COMPLETE_FILE, NULL,
			   "ask this file instead of what the kernel enforces"},
	[ZT_OPT_AT] = {"at", 0, "TIME", false, ZT_COMPLETE_NOTHING, NULL,
		       "as of this moment, 2026-12-31T18:00:00Z (for schedules and expiry)"},
	[ZT_OPT_SINCE] = {"since", 's', "TIME", false, ZT_COMPLETE_WORDS, "10m 1h 24h 7d",
			  "how far back: 10m, 2h, 7d, or a date"},
	[ZT_OPT_FOLLOW] = {"follow", 'F', NULL, false, ZT_COMPLETE_NOTHING, NULL,
			   "print what happens from now on; end with Ctrl-C"},
	[ZT_OPT_SOURCE] =
		{"source", 0, "NAME", false, ZT_COMPLETE_WORDS, "record nflog journal kmsg file:",
		 "where to read: record (of the bpf engine), nflog, journal, kmsg or file:PATH (default: the best that is there)"},
	[ZT_OPT_RAW] = {"raw", 0, NULL, false, ZT_COMPLETE_NOTHING, NULL,
			"one line an event, in the form of the kernel log"},
	[ZT_OPT_VERIFY] = {"verify", 0, NULL, false, ZT_COMPLETE_NOTHING, NULL,
			   "check the audit chain and the digest of every stored file"},
	[ZT_OPT_SHOW] = {"show", 0, "N", false, ZT_COMPLETE_NOTHING, NULL, "print the policy of generation N"},
	[ZT_OPT_WRITE] = {"write", 0, NULL, false, ZT_COMPLETE_NOTHING, NULL, "put the result in place of the file"},
	[ZT_OPT_CHECK] = {"check", 0, NULL, false, ZT_COMPLETE_NOTHING, NULL,
			  "print nothing; exit 1 when the file is not in canonical form"},
	[ZT_OPT_REVOKE] = {"revoke", 0, NULL, false, ZT_COMPLETE_NOTHING, NULL,
			   "end the running flows that the policy denies, at both ends, and list them"},
	[ZT_OPT_RULE] = {"rule", 0, "NAME", false, ZT_COMPLETE_NOTHING, NULL,
			 "only flows that this rule decides, also where it allows them"},
	[ZT_OPT_LABEL] = {"label", 0, "NAME", false, ZT_COMPLETE_NOTHING, NULL,
			  "only flows with this process identity at one end, as the policy names it"},
	[ZT_OPT_ALLOWED] = {"allowed", 0, NULL, false, ZT_COMPLETE_NOTHING, NULL, "also flows that the policy allows"},
	[ZT_OPT_KIND] =
		{"kind", 'k', "KIND,...", false, ZT_COMPLETE_WORDS,
		 "exec exit connect accept listen close flow dns open deny allow privilege module ptrace state lost bind",
		 "only these kinds: exec, exit, connect, accept, listen, close, flow, dns, open, deny, allow, privilege, "
		 "module, ptrace, state, lost, bind"},
	[ZT_OPT_INTERVAL] = {"interval", 0, "TIME", false, ZT_COMPLETE_WORDS, "1s 2s 10s", "how often (default: 2s)"},
	[ZT_OPT_COUNT_OF] = {"count", 0, "N", false, ZT_COMPLETE_NOTHING, NULL, "end after so many times"},
	[ZT_OPT_UNTIL] = {"until", 0, "TIME", false, ZT_COMPLETE_WORDS, "10m 1h 24h 7d",
			  "up to then: 10m, 2h, 7d ago, or a date"},
	[ZT_OPT_FORMAT] = {"format", 0, "FORMAT", false, ZT_COMPLETE_WORDS, "json ecs ocsf syslog journald",
			   "json (default), ecs, ocsf, syslog or journald"},
	[ZT_OPT_AGAINST] = {"against", 0, "WHAT", false, ZT_COMPLETE_FILE, NULL, "compare with this"},
	[ZT_OPT_PACKETS] = {"packets", 0, "N", false, ZT_COMPLETE_WORDS, "200 1000 5000",
			    "send this many real flows through every engine, each in throw-away namespaces"},
	[ZT_OPT_SEED] =
		{"seed", 0, "NUMBER", false, ZT_COMPLETE_NOTHING, NULL,
		 "with --packets: the same number gives the same flows (default: another each time, which is printed)"},
	[ZT_OPT_FULL] = {"full", 0, NULL, false, ZT_COMPLETE_NOTHING, NULL,
			 "up to 100,000 rules, iptables as well, more rounds: about six minutes"},
	[ZT_OPT_ROUNDS] = {"rounds", 0, "N", false, ZT_COMPLETE_WORDS, "1 3 5 10",
			   "so many rounds, whose medians count (default: 3, with --full 5); 1 is rough"},
	[ZT_OPT_PID] = {"pid", 0, "PID", false, ZT_COMPLETE_NOTHING, NULL,
			"the sending process: its user, groups, cgroup and program are taken"},
	[ZT_OPT_TO_PID] = {"to-pid", 0, "PID", false, ZT_COMPLETE_NOTHING, NULL,
			   "the receiving process of this host (default: the one that listens there now)"},
	[ZT_OPT_FOR] = {"for", 0, "PART,...", false, ZT_COMPLETE_WORDS, "user exe service container",
			"what identities are made of: user, exe, service, container (default: all that is known)"},
	[ZT_OPT_DENIED] = {"denied", 0, NULL, false, ZT_COMPLETE_NOTHING, NULL, "also learn from what was blocked"},
	[ZT_OPT_ALL] = {"all", 0, NULL, false, ZT_COMPLETE_NOTHING, NULL,
			"every process that holds a socket of this network namespace"},
};

#define SAME_AS_FILE "the policy file, the same as FILE"
#define ENFORCE "Enforce"
#define WRITE_POLICY "Policy files"
#define LOOK "Look"
#define MORE "More"

const struct zt_verb zt_verbs[] = {
	{.name = "check",
	 .args = "[FILE]",
	 .group = WRITE_POLICY,
	 .summary = "is this policy right?",
	 .help = "Reads the policy, reports every error and warning with its line, lowers it for the engine and, as root, really "
		 "loads the result in a scratch network namespace of which nothing is left. Nothing on this host changes.",
	 .example = "zt-segment check rules.yaml",
	 .flags = ZT_VERB_JSON | ZT_VERB_POLICY,
	 .max_args = 1,
	 .complete = ZT_COMPLETE_FILE,
	 .opts = {{ZT_OPT_CONFIG, SAME_AS_FILE}},
	 .n_opts = 1,
	 .exits = {{0, "the policy is right (there may be warnings)"}},
	 .run = zt_cmd_check},
	{.name = "test",
	 .args = "[FILE]",
	 .group = WRITE_POLICY,
	 .summary = "run the policy's own tests, offline",
	 .help = "Evaluates the tests: of the policy against its rules. Needs no root and touches no kernel. Shows which rules "
		 "decided no test.\n\nWith --mutate each rule is flipped and removed in turn; what no test notices is listed: those "
		 "are mistakes the tests would not catch. A policy in observe mode is tested as if it enforced.",
	 .example = "zt-segment test --mutate rules.yaml",
	 .flags = ZT_VERB_JSON | ZT_VERB_POLICY,
	 .max_args = 1,
	 .complete = ZT_COMPLETE_FILE,
	 .opts = {{ZT_OPT_CONFIG, SAME_AS_FILE}, {ZT_OPT_MUTATE, NULL}},
	 .n_opts = 2,
	 .exits = {{0, "all tests passed"}, {1, "a test failed"}},
	 .run = zt_cmd_test},
	{.name = "learn",
	 .args = "",
	 .group = WRITE_POLICY,
	 .summary = "write the policy that covers what this host did",
	 .help = "Prints the smallest readable policy for the connections that the journal of zt-segmentd has seen: by service, program and user, "
		 "with host names in place of addresses where they had been looked up, and with networks only where enough different addresses "
		 "support it. Each rule says when and how often it was needed and how much of it was never seen; tests at the end say what must "
		 "work and what must not.\n\nWhat `mode: observe` let through is learned, what was blocked is not (--denied). To know how well the "
		 "past foretells the future, it also learns from the first four fifths of the time only and says what that would have blocked of "
		 "the rest.",
	 .example = "zt-segment learn --since 7d > rules.yaml",
	 .flags = ZT_VERB_JSON | ZT_VERB_ROOT,
	 .opts = {{ZT_OPT_SINCE, "how far back: 10m, 2h, 7d, or a date (default 7d)"},
		  {ZT_OPT_FOR, NULL},
		  {ZT_OPT_DENIED, NULL}},
	 .n_opts = 3,
	 .exits = {{0, "done"}, {1, "there is no journal, or nothing in it"}},
	 .run = zt_cmd_learn},
	{.name = "whatif",
	 .args = "[FILE]",
	 .group = WRITE_POLICY,
	 .summary = "what would this policy have blocked or allowed?",
	 .help = "Judges each connection that the journal of zt-segmentd has seen by the policy FILE and by the one in force (or --against another "
		 "file) and lists those that are decided differently, the heaviest first: who, where to, how often, and the rule that decides. "
		 "Where no policy is in force it compares with what happened. Names and users count as they are now.\n\nWhat records do not tell "
		 "(supplementary groups, parents, control groups besides services and containers) is said for each rule that depends on it.",
	 .example = "zt-segment whatif new.yaml --since 7d",
	 .flags = ZT_VERB_JSON | ZT_VERB_ROOT | ZT_VERB_POLICY,
	 .max_args = 1,
	 .complete = ZT_COMPLETE_FILE,
	 .opts = {{ZT_OPT_CONFIG, SAME_AS_FILE},
		  {ZT_OPT_SINCE, "how far back: 10m, 2h, 7d, or a date (default 7d)"},
		  {ZT_OPT_AGAINST, "compare with this policy file, not with the policy in force"}},
	 .n_opts = 3,
	 .exits = {{0, "no difference"}, {1, "there are differences, or there is no journal"}},
	 .run = zt_cmd_whatif},
	{.name = "plan",
	 .args = "[FILE]",
	 .group = WRITE_POLICY,
	 .summary = "what would change?",
	 .help = "Compares the policy with what the kernel enforces now and prints the difference. Changes nothing.",
	 .example = "zt-segment plan rules.yaml",
	 .flags = ZT_VERB_JSON | ZT_VERB_POLICY | ZT_VERB_KERNEL,
	 .max_args = 1,
	 .complete = ZT_COMPLETE_FILE,
	 .opts = {{ZT_OPT_CONFIG, SAME_AS_FILE}},
	 .n_opts = 1,
	 .exits = {{0, "no differences"}, {1, "there are differences"}},
	 .run = zt_cmd_plan},
	{.name = "fmt",
	 .args = "[FILE]",
	 .group = WRITE_POLICY,
	 .summary = "print the policy in canonical form",
	 .help = "Comments are kept. The result formatted again is the same. Users and hosts need not exist.",
	 .example = "zt-segment fmt --write rules.yaml",
	 .flags = ZT_VERB_POLICY,
	 .max_args = 1,
	 .complete = ZT_COMPLETE_FILE,
	 .opts = {{ZT_OPT_CONFIG, SAME_AS_FILE}, {ZT_OPT_WRITE, NULL}, {ZT_OPT_CHECK, NULL}},
	 .n_opts = 3,
	 .exits = {{0, "done"}, {1, "with --check: the file is not in canonical form"}},
	 .run = zt_cmd_fmt},
	{.name = "render",
	 .args = "[FILE]",
	 .group = WRITE_POLICY,
	 .summary = "print what the engine would load",
	 .help = "The complete text for the engine's own tool (nft -f, iptables-restore) on an empty kernel. Touches no kernel.",
	 .example = "zt-segment render rules.yaml | less",
	 .flags = ZT_VERB_POLICY,
	 .max_args = 1,
	 .complete = ZT_COMPLETE_FILE,
	 .opts = {{ZT_OPT_CONFIG, SAME_AS_FILE}},
	 .n_opts = 1,
	 .exits = {{0, "done"}},
	 .run = zt_cmd_render},
	{.name = "schema",
	 .args = "",
	 .group = WRITE_POLICY,
	 .summary = "print the JSON Schema of the language",
	 .help = "Editors complete and check policy files with it.",
	 .example = "zt-segment schema > zt-segment.schema.json",
	 .exits = {{0, "done"}},
	 .run = zt_cmd_schema},

	{.name = "apply",
	 .args = "[FILE]",
	 .group = ENFORCE,
	 .summary = "enforce a policy, as one transaction",
	 .help = "Checks the policy completely, keeps the way back, swaps the rules atomically, reads them back and compares. "
		 "Any failure leaves what was there before. Connections that are already established keep running. Applying the "
		 "same policy again changes nothing.\n\nA policy that would cut off new SSH connections from where you are, or the "
		 "host's DNS, is refused; --force overrides that. With --confirm the change is undone by itself unless \"zt-segment "
		 "confirm\" is run, best from a new login, within the time.",
	 .example = "zt-segment apply --confirm 60s rules.yaml",
	 .flags = ZT_VERB_JSON | ZT_VERB_POLICY | ZT_VERB_KERNEL,
	 .max_args = 1,
	 .complete = ZT_COMPLETE_FILE,
	 .opts = {{ZT_OPT_CONFIG, SAME_AS_FILE},
		  {ZT_OPT_CONFIRM, NULL},
		  {ZT_OPT_FORCE, NULL},
		  {ZT_OPT_DRY_RUN, NULL},
		  {ZT_OPT_REASON, NULL},
		  {ZT_OPT_LOCK_WAIT, NULL},
		  {ZT_OPT_REVOKE, NULL}},
	 .n_opts = 7,
	 .exits = {{0, "enforced, or nothing had to change"}, {1, "failed, nothing changed"}},
	 .run = zt_cmd_apply},
	{.name = "confirm",
	 .args = "",
	 .group = ENFORCE,
	 .summary = "keep what \"apply --confirm\" put in place",
	 .help = "Refused from the session that applied where that session only lives on because established connections do: "
		 "open a new login first.",
	 .example = "zt-segment confirm",
	 .flags = ZT_VERB_JSON | ZT_VERB_KERNEL,
	 .opts = {{ZT_OPT_FORCE, "confirm from the session that applied"}, {ZT_OPT_REVOKE, NULL}},
	 .n_opts = 2,
	 .exits = {{0, "confirmed"}, {1, "nothing is waiting to be confirmed"}, {124, "too late, it was rolled back"}},
	 .run = zt_cmd_confirm},
	{.name = "rollback",
	 .args = "[N]",
	 .group = ENFORCE,
	 .summary = "go back to an earlier generation",
	 .help = "To generation N of \"zt-segment history\"; without N to the one before, or to what was there before an "
		 "unconfirmed apply. A rollback is a new generation of its own.",
	 .example = "zt-segment rollback 7",
	 .flags = ZT_VERB_JSON | ZT_VERB_KERNEL,
	 .max_args = 1,
	 .opts = {{ZT_OPT_CONFIRM, NULL}, {ZT_OPT_FORCE, NULL}, {ZT_OPT_REASON, NULL}, {ZT_OPT_LOCK_WAIT, NULL}},
	 .n_opts = 4,
	 .exits = {{0, "done"}, {1, "failed, nothing changed"}},
	 .run = zt_cmd_rollback},
	{.name = "flush",
	 .args = "",
	 .group = ENFORCE,
	 .summary = "remove all rules of zt-segment, and only those",
	 .help = "The host is open afterwards, as if zt-segment had never run. Works on a damaged state too. Rules of other "
		 "programs are not touched.",
	 .example = "zt-segment flush",
	 .flags = ZT_VERB_JSON | ZT_VERB_KERNEL,
	 .exits = {{0, "nothing of ours is left"}},
	 .run = zt_cmd_flush},
	{.name = "revoke",
	 .args = "",
	 .group = ENFORCE,
	 .summary = "end running flows that the policy denies",
	 .help = "Connections that an earlier policy allowed keep running (preserve_established). This ends those that the policy in force denies: "
		 "TCP and connected UDP sockets, both ends where both are on this host, and their entries in connection tracking. Programs see "
		 "\"Software caused connection abort\", peers elsewhere a reset. No other flow is touched, SSH sessions that the policy would let in "
		 "again least of all. \"apply --revoke\" does it right after the swap.\n\nWith --user, --rule or --label only the flows of that user, "
		 "rule or identity; --allowed takes flows that the policy allows as well.\n\nConnections over Unix sockets run on: the kernel has no call that ends them. "
		 "Where the LSM layer is there, what is sent through one to a process that it may not reach is refused at the next connect or datagram.\n\n"
		 "Flows through this host have no socket here: those that the policy denies are forgotten, so that their next packet is decided anew and denied. "
		 "What it allows cannot be ended, and with --user or --label they are left alone.",
	 .example = "zt-segment revoke --user web-user --dry-run",
	 .flags = ZT_VERB_JSON | ZT_VERB_KERNEL,
	 .opts = {{ZT_OPT_USER, "only flows of this user, at either end"},
		  {ZT_OPT_RULE, NULL},
		  {ZT_OPT_LABEL, NULL},
		  {ZT_OPT_ALLOWED, NULL},
		  {ZT_OPT_DRY_RUN, "only list what would be ended"}},
	 .n_opts = 5,
	 .exits = {{0, "ended, or there was nothing to end"},
		   {1, "some could not be ended"},
		   {3, "nothing is enforced"}},
	 .run = zt_cmd_revoke},
	{.name = "refresh",
	 .args = "",
	 .group = ENFORCE,
	 .summary = "look up users, hosts and cgroups anew",
	 .help = "Resolves the names in the current policy again and puts the difference in force: after a service was "
		 "restarted (its cgroup is a new one), a host name moved or a network device appeared.",
	 .example = "zt-segment refresh",
	 .flags = ZT_VERB_JSON | ZT_VERB_KERNEL,
	 .exits = {{0, "done"}, {3, "nothing is meant to be in force"}},
	 .run = zt_cmd_refresh},
	{.name = "reload",
	 .args = "",
	 .group = ENFORCE,
	 .summary = "have zt-segmentd put its policy file in force",
	 .help = "Asks the daemon to read its settings and its policy file anew and to put the policy in force, and prints what it found: "
		 "a policy with errors changes nothing. The daemon does the same by itself when the file changes. Without a daemon "
		 "\"zt-segment apply\" does it.",
	 .example = "zt-segment reload",
	 .flags = ZT_VERB_JSON | ZT_VERB_ROOT,
	 .exits = {{0, "in force"}, {3, "no daemon runs"}},
	 .run = zt_cmd_reload},
	{.name = "restore",
	 .args = "",
	 .group = ENFORCE,
	 .summary = "put the last confirmed generation in force (boot)",
	 .help = "What the boot unit runs before the network comes up. A damaged generation falls back to the one before, and "
		 "in the end to a built-in emergency policy: loopback, DHCP, DNS and SSH in.",
	 .example = "zt-segment restore",
	 .flags = ZT_VERB_JSON | ZT_VERB_KERNEL | ZT_VERB_HIDDEN,
	 .exits = {{0, "in force"}, {1, "not even the emergency policy could be loaded"}},
	 .run = zt_cmd_restore},

	{.name = "status",
	 .args = "",
	 .group = LOOK,
	 .summary = "what is enforced, with counters",
	 .help = "Read from the kernel, not from memory of ours: rules and their packets, generation, drift, a pending "
		 "confirmation, tables of other programs, and what this engine does not cover on this kernel.",
	 .example = "zt-segment status --watch",
	 .flags = ZT_VERB_JSON | ZT_VERB_KERNEL | ZT_VERB_READS,
	 .opts = {{ZT_OPT_WATCH, "refresh every two seconds; end with Ctrl-C"}},
	 .n_opts = 1,
	 .exits = {{0, "active"}, {3, "not active"}},
	 .run = zt_cmd_status},
	{.name = "why",
	 .args = "[last|EVENT]",
	 .group = LOOK,
	 .summary = "would this be allowed, and why (not)?",
	 .help = "Names the rule that decides, with file and line, the rules before it and the condition of each that failed, "
		 "and, where the answer is no (with mode: observe, would be), the smallest edits that would allow it, each with everything it opens: what would be "
		 "newly allowed, without what other rules allow anyway or still deny. The answer is computed on what the kernel holds, or "
		 "on --policy FILE.\n\nOutbound: --user (or --service, --cgroup, --pid) and --to "
		 "HOST:PORT/PROTO. Inbound: --from HOST and --to :PORT/PROTO. Unix sockets: --to unix:/PATH, unix:@NAME.\n\n\"last\" asks about what was blocked last (with --user, "
		 "of that user), with the processes that the record of the bpf engine names; --pid without --to, about what was blocked last of that process, or would have been with mode: observe. EVENT is a number that \"zt-segment events\" shows: "
		 "the journal also tells the tree above the process with the digests of its programs, the name it had looked up, how often and since when; where another generation "
		 "decided than the one in force, its rule and line, as long as it is kept (the newest 20 are).",
	 .example = "zt-segment why --user web-user --to 127.0.0.1:6379/tcp",
	 .flags = ZT_VERB_JSON | ZT_VERB_READS,
	 .max_args = 1,
	 .complete = ZT_COMPLETE_WORDS,
	 .words = "last",
	 .opts = {{ZT_OPT_USER, NULL},
		  {ZT_OPT_GROUP, NULL},
		  {ZT_OPT_SERVICE, NULL},
		  {ZT_OPT_CGROUP, "the sender's cgroup"},
		  {ZT_OPT_TO, NULL},
		  {ZT_OPT_FROM, NULL},
		  {ZT_OPT_POLICY, NULL},
		  {ZT_OPT_AT, NULL},
		  {ZT_OPT_PID, NULL},
		  {ZT_OPT_TO_PID, NULL}},
	 .n_opts = 10,
	 .exits = {{0, "answered, allowed or not"}, {3, "nothing is enforced and no --policy was named"}},
	 .run = zt_cmd_why},
	{.name = "who",
	 .args = "[PID|:PORT]",
	 .group = LOOK,
	 .summary = "who is this process, as the rules see it?",
	 .help = "Shows a process, or those that hold a local port (:PORT or :PORT/PROTOCOL): parents, user, groups, service, container, "
		 "program with its digest, sockets, and which senders and receivers of the policy it is. For each that it is not, the "
		 "first condition that fails. The policy is what the kernel holds, or --policy FILE.\n\nWhat counts is what the kernel "
		 "goes by: a program or service that was replaced since the policy was resolved shows as such.",
	 .example = "zt-segment who :6379",
	 .flags = ZT_VERB_JSON | ZT_VERB_ROOT,
	 .max_args = 1,
	 .opts = {{ZT_OPT_ALL, NULL}, {ZT_OPT_POLICY, NULL}},
	 .n_opts = 2,
	 .exits = {{0, "shown"}, {1, "no such process, or nobody holds the port"}},
	 .run = zt_cmd_who},
	{.name = "blocked",
	 .args = "",
	 .group = LOOK,
	 .summary = "who was blocked?",
	 .help = "Reads the journal, /var/log/kern.log or the kernel's ring buffer, whichever is there, and groups what was blocked by "
		 "user, program where it is known, destination and port, with counts and first and last time. The bpf engine writes no log: "
		 "its newest 4,096 decisions are read from the kernel, with the programs of both ends; a name in brackets is only what the "
		 "process called itself.\n\nWith --follow it prints what happens from now on (from the record, or from the netlink log, "
		 "which knows programs) and ends on Ctrl-C with the table.",
	 .example = "zt-segment blocked --since 1h",
	 .flags = ZT_VERB_JSON | ZT_VERB_READS,
	 .opts = {{ZT_OPT_SINCE, NULL},
		  {ZT_OPT_FOLLOW, NULL},
		  {ZT_OPT_SOURCE, NULL},
		  {ZT_OPT_USER, "only what this user tried, name or uid"},
		  {ZT_OPT_RAW, NULL}},
	 .n_opts = 5,
	 .exits = {{0, "done"}},
	 .run = zt_cmd_blocked},
	{.name = "report",
	 .args = "",
	 .group = LOOK,
	 .summary = "blocked traffic by user, with patterns worth a look",
	 .help = "Sums up what was blocked: by user, the most frequent destinations of each, and patterns such as many ports or "
		 "many hosts tried by one user.",
	 .example = "zt-segment report --since 24h",
	 .flags = ZT_VERB_JSON | ZT_VERB_READS,
	 .opts = {{ZT_OPT_SINCE, NULL},
		  {ZT_OPT_FOLLOW, "watch from now on and report on Ctrl-C"},
		  {ZT_OPT_SOURCE, NULL},
		  {ZT_OPT_USER, "only what this user tried, name or uid"}},
	 .n_opts = 4,
	 .exits = {{0, "done"}},
	 .run = zt_cmd_report},
	{.name = "events",
	 .args = "[exec|tcp|open|dns]",
	 .group = LOOK,
	 .summary = "what do processes do? programs, connections, names, files",
	 .help = "Shows programs that are started, processes that end, TCP connections, other flows with their bytes, DNS questions and "
		 "answers with who asked, and opens of sensitive files (/etc/shadow, private keys), each with the process tree, user, "
		 "program and service. A view prints the columns of execsnoop, tcplife or opensnoop.\n\nWithout --follow it reads the "
		 "journal of zt-segmentd, of the last 24 hours unless --since says otherwise. With --follow it goes on with what zt-segmentd writes there each second; where that "
		 "does not run, the events come from programs in the kernel, which only look and are gone when the command ends. What comes faster "
		 "than it can be printed is then lost, and counted at the end. --cgroup and --netns bound what is looked at.\n\nWhat zt-segmentd could not "
		 "record is an event itself, of kind lost. Where only a part is shown, of some kinds, of a user or of a process, how many of these kinds were lost meanwhile is said on "
		 "standard error, since nobody knows whose they were.",
	 .example = "zt-segment events --follow --kind connect,close --user web-user",
	 .flags = ZT_VERB_JSON | ZT_VERB_READS,
	 .max_args = 1,
	 .complete = ZT_COMPLETE_WORDS,
	 .words = "exec tcp open dns",
	 .opts = {{ZT_OPT_FOLLOW, NULL},
		  {ZT_OPT_SINCE, NULL},
		  {ZT_OPT_KIND, NULL},
		  {ZT_OPT_USER, "only what this user's processes do, name or uid"},
		  {ZT_OPT_PID, "only what this process does"}},
	 .n_opts = 5,
	 .exits = {{0, "done"}},
	 .run = zt_cmd_events},
	{.name = "top",
	 .args = "",
	 .group = LOOK,
	 .summary = "who uses the network now?",
	 .help = "Processes by what they send and receive, every two seconds, the busiest first: open connections and flows, new ones a "
		 "second, bytes of payload a second, the last peer. q or Ctrl-C ends it.\n\nWithout a terminal the table is printed "
		 "again and again; -o json prints a list a line. --verbose shows all processes, else 20.",
	 .example = "zt-segment top --interval 5s",
	 .flags = ZT_VERB_JSON | ZT_VERB_ROOT,
	 .opts = {{ZT_OPT_INTERVAL, NULL}, {ZT_OPT_COUNT_OF, NULL}},
	 .n_opts = 2,
	 .exits = {{0, "done"}},
	 .run = zt_cmd_top},
	{.name = "stats",
	 .args = "[BY]",
	 .group = LOOK,
	 .summary = "traffic by user, program, service, peer or rule",
	 .help = "Sums up the flows that the journal of zt-segmentd keeps: how many, how many the policy denied, the bytes of payload, by "
		 "user (default), group, program, service, container, peer or rule, the heaviest first. The journal keeps flows for "
		 "more than a year, by the minute.",
	 .example = "zt-segment stats program --since 7d",
	 .flags = ZT_VERB_JSON | ZT_VERB_READS,
	 .max_args = 1,
	 .complete = ZT_COMPLETE_WORDS,
	 .words = "user group program service container peer rule",
	 .opts = {{ZT_OPT_SINCE, NULL}},
	 .n_opts = 1,
	 .exits = {{0, "done"}},
	 .run = zt_cmd_stats},
	{.name = "journal",
	 .args = "[status|export|flows|check|vacuum|fields]",
	 .group = LOOK,
	 .summary = "what is remembered of events: size, export, soundness",
	 .help = "zt-segmentd keeps what happened in journal/events.db of the state folder: events for days, and for long who talked to whom, "
		 "by the minute. All of this works with and without the daemon.\n\nstatus (default): how much there is, since when, is it being "
		 "written; those that tell of attacks (deny, privilege, module, ptrace, state, lost) are kept apart from those that anybody can cause "
		 "in any number and that cannot push them out when space is short. export: the events, one a line, to the screen or, with --to, to a log server; --follow goes on with what comes. flows: "
		 "who talked to whom, added up. check: reads everything and finds damage. vacuum: gives free space back. fields: the fields "
		 "of an event and their names in ECS and OCSF.",
	 .example = "zt-segment journal export --since 1h --format ecs",
	 .flags = ZT_VERB_JSON | ZT_VERB_ROOT,
	 .max_args = 1,
	 .complete = ZT_COMPLETE_WORDS,
	 .words = "status export flows check vacuum fields",
	 .opts = {{ZT_OPT_SINCE, NULL},
		  {ZT_OPT_UNTIL, NULL},
		  {ZT_OPT_KIND, NULL},
		  {ZT_OPT_USER, "only of this user's processes, name or uid"},
		  {ZT_OPT_FORMAT, NULL},
		  {ZT_OPT_TO,
		   "send there: journald, syslog:unix:/dev/log, syslog:udp:ADDRESS:PORT, syslog:tcp:ADDRESS:PORT"},
		  {ZT_OPT_FOLLOW, "export also what comes from now on; end with Ctrl-C"}},
	 .n_opts = 7,
	 .exits = {{0, "done"}, {1, "damaged, or events were lost; there is no journal"}},
	 .run = zt_cmd_journal},
	{.name = "unused",
	 .args = "[FILE]",
	 .group = LOOK,
	 .summary = "rules that nothing used, and tighter ones that would do",
	 .help = "Lists the rules (of the kernel, or of FILE) that no recorded connection and no packet used, and those that allow more than was "
		 "seen: \"port 1-1024 -> 80,443\". A recorded connection counts for the rule that would decide it now. With rules of the kernel "
		 "the packets that their counters saw since they were put in force count as use too. --verbose lists all rules.",
	 .example = "zt-segment unused --since 30d",
	 .flags = ZT_VERB_JSON | ZT_VERB_ROOT | ZT_VERB_POLICY,
	 .max_args = 1,
	 .complete = ZT_COMPLETE_FILE,
	 .opts = {{ZT_OPT_CONFIG, SAME_AS_FILE}, {ZT_OPT_SINCE, "how far back: 10m, 2h, 7d, or a date (default 30d)"}},
	 .n_opts = 2,
	 .exits = {{0, "all rules are used, and as tight as what was seen"},
		   {1, "some are not, or there is no journal"},
		   {3, "nothing is enforced and no FILE was named"}},
	 .run = zt_cmd_unused},
	{.name = "history",
	 .args = "",
	 .group = LOOK,
	 .summary = "the generations: who, when, from where",
	 .help = "The last 20 generations. --show N prints the policy of one; --verify checks the hash chain of the audit log "
		 "and the digest of every stored file and finds a changed byte.",
	 .example = "zt-segment history --verify",
	 .flags = ZT_VERB_JSON | ZT_VERB_ROOT,
	 .opts = {{ZT_OPT_VERIFY, NULL}, {ZT_OPT_SHOW, NULL}},
	 .n_opts = 2,
	 .exits = {{0, "done"}, {1, "with --verify: something was changed"}},
	 .run = zt_cmd_history},
	{.name = "drift",
	 .args = "",
	 .group = LOOK,
	 .summary = "does the kernel still hold what was applied?",
	 .help = "Compares the confirmed generation with what the kernel holds and names who changed it where the kernel tells. "
		 "--watch waits for changes of the packet filter and reports each with the program that made it; with the bpf engine "
		 "it looks every second, since the kernel tells of nobody.",
	 .example = "zt-segment drift",
	 .flags = ZT_VERB_JSON | ZT_VERB_KERNEL | ZT_VERB_READS,
	 .opts = {{ZT_OPT_WATCH, NULL}},
	 .n_opts = 1,
	 .exits = {{0, "no drift"}, {1, "there is drift"}, {3, "not active"}},
	 .run = zt_cmd_drift},
	{.name = "prove",
	 .args = "[FILE]",
	 .group = LOOK,
	 .summary = "does the kernel decide every flow as the policy says?",
	 .help = "Reads the rules back from the kernel and compares them with the policy (FILE, or the source of the generation in force) over "
		 "every class of flows that either distinguishes: direction, sender, receiver, addresses, protocol, port and time. The result is "
		 "\"equivalent over N classes\", or the smallest flow that is decided differently: the one with the fewest attributes that a rule names, then "
		 "with the lowest port and address.\n\nWith --against the kernel is also compared with what "
		 "another engine makes of the same policy.\n\nWith --packets N flows are drawn from these classes (a value inside, the first and the last of "
		 "each) and really sent, by processes with the user, groups and control group of the flow, over TCP, UDP and ICMP, IPv4 and IPv6: to "
		 "other hosts, between processes of this host, from other hosts, and through this host where the engine looks at forwarded packets. Each "
		 "class of each rule has one before any has a second. Programs that the policy names are not started: a copy of this one that only "
		 "sends and receives stands in for them, where nobody else sees it. Every engine that can take the policy (or the one that --engine names) is loaded into network and mount "
		 "namespaces and a control group made for it, of which nothing is left; what is in force here is not touched. A flow counts where it "
		 "arrives, and has to do what the policy says. 1,000 probes take some seconds an engine; one that needs more than five minutes is ended and "
		 "counts as not proved. Programs that are not on this host, other protocols and other times than now are not sent; how many were "
		 "drawn and left out is told. With FILE this works where nothing is enforced, too.",
	 .example = "zt-segment prove --packets 1000",
	 .flags = ZT_VERB_JSON | ZT_VERB_POLICY | ZT_VERB_KERNEL,
	 .max_args = 1,
	 .complete = ZT_COMPLETE_FILE,
	 .opts = {{ZT_OPT_CONFIG, SAME_AS_FILE},
		  {ZT_OPT_AGAINST,
		   "compare also with what this engine (nft, bpf, iptables, memory) makes of the policy, loaded for real in a "
		   "scratch network namespace"},
		  {ZT_OPT_PACKETS, NULL},
		  {ZT_OPT_SEED, NULL}},
	 .n_opts = 4,
	 .other = {ZT_OPT_AGAINST, "nft bpf iptables memory"},
	 .exits = {{0, "equivalent, and all probes as the policy says"},
		   {1, "not equivalent, or not proved"},
		   {3, "nothing is enforced"}},
	 .run = zt_cmd_prove},

	{.name = "bench",
	 .args = "",
	 .group = MORE,
	 .summary = "measure what a connection costs on this kernel",
	 .help = "Measures connections, UDP packets, requests, throughput and denied connections without a firewall, with connection tracking alone, "
		 "with rulesets of this program (nft, nft with labels, bpf) and with linear nft and iptables rules, each in throw-away namespaces "
		 "and a control group of its own, side by side. Nothing is loaded into the namespace of the caller. Numbers are ratios to no firewall; UDP is nanoseconds added to a "
		 "packet.",
	 .example = "sudo zt-segment bench",
	 .flags = ZT_VERB_JSON | ZT_VERB_ROOT,
	 .opts = {{ZT_OPT_FULL, NULL}, {ZT_OPT_ROUNDS, NULL}},
	 .n_opts = 2,
	 .exits = {{0, "done"}},
	 .run = zt_cmd_bench},
	{.name = "explain",
	 .args = "[CODE]",
	 .group = MORE,
	 .summary = "what an error code means and how to get rid of it",
	 .help = "CODE as printed after a message: ZT1107 or 1107. Without one all codes are listed.",
	 .example = "zt-segment explain ZT1107",
	 .max_args = 1,
	 .exits = {{0, "done"}, {1, "there is no such code"}},
	 .run = zt_cmd_explain},
	{.name = "completion",
	 .args = "SHELL",
	 .group = MORE,
	 .summary = "print completions for bash, zsh or fish",
	 .help = "Source it, or put it where your shell looks: for bash /usr/share/bash-completion/completions/zt-segment. "
		 "\"man\" and \"man-yaml\" print the sources (scdoc) of the two manual pages.",
	 .example = "zt-segment completion bash",
	 .max_args = 1,
	 .complete = ZT_COMPLETE_WORDS,
	 .words = "bash zsh fish",
	 .exits = {{0, "done"}},
	 .run = zt_cmd_completion},
	{.name = "help",
	 .args = "[COMMAND]",
	 .group = MORE,
	 .summary = "help for one command",
	 .help = "The same as COMMAND --help.",
	 .example = "zt-segment help apply",
	 .max_args = 1,
	 .complete = ZT_COMPLETE_VERB,
	 .exits = {{0, "done"}},
	 .run = zt_cmd_help},
	{.name = "version",
	 .args = "",
	 .group = MORE,
	 .summary = "print the version",
	 .help = "With -o json also the engines and whether each is usable here.",
	 .example = "zt-segment version",
	 .flags = ZT_VERB_JSON,
	 .exits = {{0, "done"}},
	 .run = zt_cmd_version},
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

bool zt_verb_exit(const struct zt_verb *v, size_t i, int *ret_code, const char **ret_text)
{
	const struct {
		bool has;
		int code;
		const char *text;
	} common[] = {
		{true, ZT_EXIT_USAGE, "wrong usage"},
		{v->flags & ZT_VERB_POLICY, ZT_EXIT_POLICY, "the policy is wrong, or the engine cannot enforce it"},
		{v->flags & ZT_VERB_READS, ZT_EXIT_PERMISSION,
		 "not allowed: for root, and the group zt-segment through zt-segmentd"},
		{!(v->flags & ZT_VERB_READS) && v->flags & (ZT_VERB_KERNEL | ZT_VERB_ROOT), ZT_EXIT_PERMISSION,
		 "not allowed; root is needed"},
	};

	for (size_t k = 0; k < ZT_ARRAY_SIZE(v->exits) && v->exits[k].text; k++)
		if (!i--) {
			*ret_code = v->exits[k].code;
			*ret_text = v->exits[k].text;
			return true;
		}
	for (size_t k = 0; k < ZT_ARRAY_SIZE(common); k++)
		if (common[k].has && !i--) {
			*ret_code = common[k].code;
			*ret_text = common[k].text;
			return true;
		}
	return false;
}
