#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# run: pairs
# zt-segmentd records what happens: real processes and connections into the journal, denies of both engines, through kills and gaps.

bats_require_minimum_version 1.5.0
load daemon.bash

setup_file() {
	daemon_setup v
	CG_MOUNT=$(awk '$3 == "cgroup2" {print $2; exit}' /proc/mounts)
	export CG=zt-daemon-events-$$
	export CG_DIR=$CG_MOUNT/$CG
	mkdir "$CG_DIR"
	export BLOCKED='
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(int(sys.argv[1])):
    try:
        s.sendto(b"x", ("127.0.0.1", 7003))
    except OSError:
        pass'
}

teardown_file() {
	daemon_teardown
	for _ in $(seq 50); do
		rmdir "$CG_DIR" 2>/dev/null && return
		sleep 0.1
	done
	return 1
}

setup() {
	rm -rf "$STATE" "$P/live" && mkdir -p "$P/live"
	settings 'refresh_every: 0s'
	logging 2001 7001
}

# The policy of apply.bash, with a log of what it blocks: without one nothing tells of it.
logging() {
	policy "$@" | sed 's/log_blocked: false/log_limit: 1000\/second/' >"$LIVE"
	chmod 644 "$LIVE"
}

teardown() {
	# shellcheck disable=SC2086 # several
	[ -z "${followers:-}" ] || kill $followers 2>/dev/null || :
	daemon_stop
	zt flush --cgroup "$CG" >/dev/null
}

# inside COMMAND...: in the control group and the network namespace
inside() {
	(echo "$BASHPID" >"$CG_DIR/cgroup.procs" && exec timeout 30 nsenter --net="/run/netns/$NS" "$@") 3>&-
}

as() {
	local uid=$1
	shift
	inside setpriv --reuid="$uid" --regid="$uid" --clear-groups "$@"
}

events() { zt events -o json "$@"; }

# within FILTER: soon exactly one event is so
within() {
	local i n
	for ((i = 0; i < 250; i++)); do
		n=$(events | jq -c "select($1)" | wc -l)
		[ "$n" = 0 ] || break
		sleep 0.1
	done
	[ "$n" = 1 ] || { echo "$n events: $1"; events | tail -n 20; cat "$P/log"; return 1; }
}

@test "programs, connections and denies are in the journal, attributed, a second later at most" {
	zt apply "$LIVE" >/dev/null
	daemon_start --cgroup "$CG"
	as 2001 bash -c 'exec 3<>/dev/tcp/127.0.0.1/7001'
	as 2666 bash -c 'exec 3<>/dev/tcp/127.0.0.1/7002' || true
	within '.kind == "connect" and .uid == 2001 and .dport == 7001 and .exe == "/usr/bin/bash" and (.digest | length == 64) and .cgroup == env.CG'
	within '.kind == "close" and .uid == 2001 and .dport == 7001 and .direction == "egress"'
	within '.kind == "deny" and .uid == 2666 and .dport == 7002 and .verdict == "drop" and .rule == null'
	within '.kind == "exec" and .uid == 2001 and .comm == "bash" and (.args | contains("/dev/tcp/127.0.0.1/7001"))'
	run -0 zt stats user
	[[ $output == *"UID 2666"* && $output == *"UID 2001"* ]]
	status_is '.limits | map(select(.name == "journal" and .used > 0)) | length == 1'
	run -0 zt blocked
	[[ $output == *"UID 2666"*127.0.0.1:7002* ]]
	run -0 zt why last
	text=$(tr -s ' \n' ' ' <<<"$output") # it is wrapped
	[[ $text == *"UID 2666 /usr/bin/bash -> 127.0.0.1:7002/tcp"*"was blocked."*"Started by: timeout["*"] (/usr/bin/timeout, SHA-256 $(sha256sum /usr/bin/timeout | cut -d' ' -f1))"*"SHA-256 of the program: "*"Decided by generation 1 at output."* ]] || { echo "$text"; false; }
	[[ $text == *"Seen 1 time, first "*"DENIED by the default policy"*"allow: only ("*"rules.yaml:4) user is not UID 2001; port 7002 is not 7001"* ]]
	[[ $text == *"from: {uid: 2666} to: {host: 127.0.0.1, port: 7002, protocol: tcp} action: allow"*"It opens: uid 2666 -> 127.0.0.1:7002/tcp"*"apply FILE --confirm 60s"* ]] || { echo "$output"; false; }
	status_is '.events_recorded and ([.events_not_seen[].kind] - ["module", "ptrace", "privilege", "open"] == [])'
}

# on_terminal ARGS...: events on a terminal of 80 columns
on_terminal() {
	script -qec "stty cols 80; NO_COLOR=1 '$ZT_SEGMENT' events $* --netns $NS --state-dir '$STATE'" /dev/null </dev/null | tr -d '\r'
}

@test "on a narrow terminal events fit, and what happened goes on below; a pipe has it in one line" {
	zt apply "$LIVE" >/dev/null
	daemon_start --cgroup "$CG"
	as 2001 bash -c "exec 3<>/dev/tcp/127.0.0.1/7001; : $(printf 'argument-%s ' $(seq 16))"
	as 2666 bash -c 'exec 3<>/dev/tcp/127.0.0.1/7002' || true
	within '.kind == "deny" and .uid == 2666 and .dport == 7002'
	within '.kind == "close" and .uid == 2001 and .dport == 7001'
	for view in '' exec tcp dns; do
		on_terminal "$view" >"$P/seen"
		run ! grep -E '^.{81}' "$P/seen"
		grep -q '^ *ID ' "$P/seen"
	done
	on_terminal >"$P/seen"
	grep -qE ' deny .* 127\.0\.0\.1:7002/tcp' "$P/seen"
	grep -A 1 -E ' close .* 127\.0\.0\.1:7001/tcp$' "$P/seen" | grep -qE '^ {10}sent 0 received'
	grep -A 2 ' exec .* bash ' "$P/seen" | grep -qE '^ {10}.{60,}\.\.$' # long arguments are cut, and that shows
	run ! grep -q argument-16 "$P/seen"
	on_terminal --verbose | grep -q argument-16
	zt events | grep -q ' exec .*argument-16'
}

@test "events --follow is what the daemon records, without programs of its own" {
	zt apply "$LIVE" >/dev/null
	daemon_start --cgroup "$CG"
	as 2001 bash -c 'exec 3<>/dev/tcp/127.0.0.1/7001'
	within '.kind == "connect" and .uid == 2001'
	"$ZT_SEGMENT" events --follow --since 1h --kind connect,deny --user 2666 -o json --netns "$NS" --state-dir "$STATE" >"$P/followed" 2>&1 3>&- 4>&- &
	followers=$!
	"$ZT_SEGMENT" events --follow --cgroup "$CG/none" -o json --netns "$NS" --state-dir "$STATE" >"$P/elsewhere" 2>&1 3>&- 4>&- &
	followers="$followers $!"
	sleep 1
	for pid in $followers; do
		[ -d "/proc/$pid/fdinfo" ]
		run ! grep -q 'prog_type' "/proc/$pid/fdinfo/"*
	done
	as 2001 bash -c 'exec 3<>/dev/tcp/127.0.0.1/7001'
	as 2666 bash -c 'exec 3<>/dev/tcp/127.0.0.1/7002' || true
	wait_for grep -q '"deny"' "$P/followed"
	sleep 3 # the last is written within a second
	ticks() { awk '/^voluntary_ctxt_switches/ { print $2 }' "/proc/${followers%% *}/status"; }
	before=$(ticks)
	sleep 3
	[ "$(ticks)" = "$before" ] # nothing is written: it is not woken
	# shellcheck disable=SC2086 # two
	kill -INT $followers && wait $followers
	followers=
	daemon_stop
	[ "$(jq -c 'select(.uid != 2666 or .id == null)' "$P/followed" | wc -l)" = 0 ]
	[ -z "$(jq -c 'select(.kind != "lost" and .kind != "state")' "$P/elsewhere")" ] || { cat "$P/elsewhere"; false; } # those are of the daemon itself
	run -1 zt events --follow --since 1h --cgroup "$CG"
	[[ $output == *"needs a running zt-segmentd"*ZT5026* ]]
}

# by UID GID VERB …: as it is typed, with one group
by() {
	local uid=$1 gid=$2 verb=$3
	shift 3
	setpriv --reuid="$uid" --regid="$gid" --clear-groups "$ZT_SEGMENT" "$verb" --netns "$NS" --state-dir "$STATE" "$@"
}

@test "a member of the group zt-segment reads through the daemon what root sees; others are told how to become one" {
	run -77 by 2001 2999 status # no daemon
	[[ $output == *"no zt-segmentd runs"*ZT4650* ]]
	zt apply "$LIVE" >/dev/null
	daemon_start --cgroup "$CG"
	as 2001 bash -c 'exec 3<>/dev/tcp/127.0.0.1/7001'
	as 2666 bash -c 'exec 3<>/dev/tcp/127.0.0.1/7002' || true
	within '.kind == "deny" and .uid == 2666 and .dport == 7002'
	for verb in status events 'why last' drift; do
		# shellcheck disable=SC2086 # words
		run -77 by 2001 2001 $verb
		[[ $output == *"root and the group zt-segment"*"usermod -aG zt-segment"* ]]
	done
	of_root=$(zt status -o json | jq -c '[.active, .engine, .generation, .hash, .drift, .counters.default_policy.egress.packets, [.rules[] | [.name, .line, .packets]]]')
	[ "$(by 2001 2999 status -o json | jq -c '[.active, .engine, .generation, .hash, .drift, .counters.default_policy.egress.packets, [.rules[] | [.name, .line, .packets]]]')" = "$of_root" ]
	run -0 by 2001 2999 status
	[[ $output == *"Drift: none"*"Daemon: pid $(daemon_pid), up "*"answers in "*" ms"*only* ]]
	[ "$(by 2001 2999 events --kind deny -o json)" = "$(zt events --kind deny -o json)" ]
	[ "$(by 2001 2999 events --user 2666 -o json | jq -s 'length > 0 and all(.uid == 2666)')" = true ]
	[ "$(by 2001 2999 why last)" = "$(zt why last)" ]
	id=$(zt events --kind connect -o json | jq -s '.[0].id')
	[ "$(by 2001 2999 why "$id")" = "$(zt why "$id")" ]
	run -1 by 2001 2999 why 999999999
	[[ $output == *ZT5023* ]]
	run -0 by 2001 2999 drift
	[[ $output == *"No drift: the kernel holds exactly generation 1."* ]]
	run -77 setpriv --reuid=2001 --regid=2999 --clear-groups "$ZT_SEGMENT" unused "$LIVE" --state-dir "$STATE"
	[[ $output == *'"status", "events", "why", "drift", "blocked", "report" and "stats"'* ]]
	run -77 by 2001 2999 flush
}

@test "a member has blocked, report and stats, the same as root; others have not" {
	zt apply "$LIVE" >/dev/null
	daemon_start --cgroup "$CG"
	as 2001 bash -c 'exec 3<>/dev/tcp/127.0.0.1/7001'
	as 2666 bash -c 'exec 3<>/dev/tcp/127.0.0.1/7002' || true
	within '.kind == "deny" and .uid == 2666 and .dport == 7002'
	within '.kind == "close" and .uid == 2001 and .dport == 7001 and .direction == "egress"'
	wait_for test "$(zt stats -o json | jq '.sums | length')" = 2
	for verb in blocked 'blocked --raw' 'blocked --user 2666' report stats 'stats program' 'stats peer' 'stats rule' 'stats service'; do
		# shellcheck disable=SC2086 # words
		run -77 by 2001 2001 $verb
		[[ $output == *"root and the group zt-segment"*"usermod -aG zt-segment"* ]]
		# shellcheck disable=SC2086 # words
		[ "$(by 2001 2999 $verb)" = "$(zt $verb)" ]
		# shellcheck disable=SC2086 # words
		[ "$(by 2001 2999 $verb -o json)" = "$(zt $verb -o json)" ]
	done
	run -0 by 2001 2999 blocked
	[[ $output == *"UID 2666"*127.0.0.1:7002* ]]
	by 2001 2999 stats -o json | jq -e '.sums | map(select(.user == "UID 2666" and .denied > 0)) | length == 1' >/dev/null
	setpriv --reuid=2001 --regid=2999 --clear-groups "$ZT_SEGMENT" blocked --follow --netns "$NS" --state-dir "$STATE" >"$P/followed" 2>&1 3>&- 4>&- &
	followers=$!
	follower_told() { as 2666 bash -c 'exec 3<>/dev/tcp/127.0.0.1/7003' || grep -q 'blocked .*127.0.0.1:7003' "$P/followed"; }
	wait_for follower_told
	run ! grep 7002 "$P/followed" # that was before
	kill -INT "$followers" && wait "$followers"
	followers=
	grep -q "BLOCKED TRAFFIC" "$P/followed"
	daemon_stop
	run -77 by 2001 2999 stats
	[[ $output == *"no zt-segmentd runs"*ZT4650* ]]
}

@test "why speaks of the rules of the generation that decided, as long as it is kept" {
	sed 's/^rules:/rules:\n  - {name: no-way, from: {uid: 2666}, to: {host: 127.0.0.1, port: 7002, protocol: tcp}, action: deny, log: true}/' "$LIVE" >"$P/no-way.yaml"
	zt apply "$P/no-way.yaml" >/dev/null
	settings 'refresh_every: 0s' 'follow_policy: no'
	daemon_start --cgroup "$CG"
	as 2666 bash -c 'exec 3<>/dev/tcp/127.0.0.1/7002' || true
	within '.kind == "deny" and .uid == 2666 and .rule == "no-way" and .generation == 1'
	id=$(events --kind deny | jq -s '.[0].id')
	run -0 zt why "$id"
	[[ $output != *"policy of then"* && $output == *"DENIED by rule 'no-way'"* ]]
	zt apply "$LIVE" >/dev/null
	run -0 zt why "$id"
	text=$(tr -s ' \n' ' ' <<<"$output")
	[[ $text == *"By the policy of then: rule 'no-way' of generation 1, "*"no-way.yaml:4: "*"By the policy that is in force now: "*"DENIED by the default policy"* ]]
	zt why "$id" -o json | jq -e '.then.generation == 1 and .then.rules == "kept" and .then.decision.rule.name == "no-way" and .then.decision.rule.line == 4
		and (.parents[0].comm == "timeout") and (.parents[0].digest | length) == 64' >/dev/null
	run -0 by 2001 2999 why "$id"
	[[ $(tr -s ' \n' ' ' <<<"$output") == *"the rules of generation 1 are for root"* ]]
	rm -r "$STATE/generations/1"
	run -0 zt why "$id"
	[[ $(tr -s ' \n' ' ' <<<"$output") == *"generation 1 is not kept any more; of what decided only the name is known: rule no-way."* ]]
}

# limit NAME FILTER
limit() { status_is '.limits | map(select(.name == "'"$1"'")) | length == 1 and (.[0] | .max > 0 and '"$2"')'; }

@test "every limit is shown, with what is in use, and moves" {
	zt apply "$LIVE" >/dev/null
	daemon_start --cgroup "$CG"
	kill -STOP "$(daemon_pid)"
	as 2001 bash -c 'exec 3<>/dev/tcp/127.0.0.1/7001'
	for _ in 1 2 3; do as 2666 bash -c 'exec 3<>/dev/tcp/127.0.0.1/7002' || true; done
	kill -CONT "$(daemon_pid)"
	within '.kind == "connect" and .uid == 2001'
	limit 'ring of events' '.unit == "bytes" and .peak > 1000 and .used <= .peak'
	wait_for limit 'queue of denies' '.peak >= 1 and .used == 0'
	for name in processes programs 'control groups' users 'ends of connections' 'sensitive files'; do limit "$name" '.used > 0'; done
	wait_for limit 'flows of the journal' '.used > 0'
	limit 'journal' '.used > 0'
	limit descriptors '.used > 3'
	limit clients '.used == 1' # who asks
	run -0 zt status --verbose
	[[ $output =~ "ring of events        "[0-9,]+" of 4,194,304 bytes, at most "[0-9,]+" so far, lost 0" ]] || { echo "$output"; false; }
	[[ $output =~ "Events told since it started:".*"  connect               "[1-9][0-9,]*", lost 0" ]] || { echo "$output"; false; }
	for name in 'listening ports' 'open flows' names answers 'journal queue' 'watched names' 'who changed rules'; do limit "$name" '.used >= 0'; done
}

@test "programs as large as anybody likes hold up nothing: they have no digest, and that is counted" {
	zt apply "$LIVE" >/dev/null
	daemon_start --cgroup "$CG"
	for i in 1 2 3; do
		cp /usr/bin/true "$P/large$i"
		truncate -s 3900M "$P/large$i"
		as 2001 "$P/large$i"
	done
	in_seconds 3 ask ping
	within ".kind == \"exec\" and .exe == \"$P/large3\" and .digest == null"
	within '.kind == "exec" and .exe == "/usr/bin/setpriv" and .digest != null and (.args | contains("large3"))'
	limit digests '.lost >= 3'
	rm "$P"/large?
}

# opened FILE: an event says that it was
opened() {
	cat "$1" >/dev/null
	sleep 0.2
	events --kind open | jq -c "select(.path == \"$1\")" | grep -q .
}

@test "the settings name the sensitive files, also at a reload" {
	mkdir -p "$P/keys" "$P/others"
	echo secret | tee "$P/keys/one" >"$P/others/two"
	settings 'refresh_every: 0s' "sensitive_files: [default, \"$P/keys/*\"]"
	daemon_start --cgroup "$CG"
	wait_for opened "$P/keys/one"
	run ! opened "$P/others/two"
	settings 'refresh_every: 0s' "sensitive_files: [\"$P/others/*\"]"
	ask reload >/dev/null
	wait_for opened "$P/others/two"
	before=$(events --kind open | grep -c /keys/one)
	cat "$P/keys/one" >/dev/null
	opened "$P/others/two"
	[ "$(events --kind open | grep -c /keys/one)" = "$before" ]
}

# refused_told FILTER: a user who may not read it opens the shadow file until an event that is so says it
refused_told() {
	as 2666 cat /etc/shadow 2>/dev/null || :
	sleep 0.2
	events open | jq -ec "select(.path == \"/etc/shadow\" and .uid == 2666 and .error_number == 13 and ($1))" | grep -q .
}

@test "who was refused a sensitive file is recorded, and not where the settings say so" {
	settings 'refresh_every: 0s'
	daemon_start --cgroup "$CG"
	wait_for refused_told '.error == "Permission denied" and .exe == "/usr/bin/cat" and .pid > 1 and (.digest | length == 64) and .fd == null'
	run -0 zt events open
	[[ ${lines[0]} == *"PID     COMM             USER          FD ERR PATH" ]] || { echo "$output"; false; }
	grep -Eq ' cat +- +-  13 /etc/shadow$' <<<"$output" || { echo "$output"; false; }
	status_is '.events_not_seen | map(select(.kind == "open" and .some and (.why | startswith("a failed open by io_uring")))) | length == 1'
	daemon_stop
	settings 'refresh_every: 0s' 'failed_opens: no'
	daemon_start --cgroup "$CG"
	before=$(events open | jq -c 'select(.error_number != null)' | wc -l)
	as 2666 cat /etc/shadow 2>/dev/null || :
	wait_for opened /etc/shadow
	[ "$(events open | jq -c 'select(.error_number != null)' | wc -l)" = "$before" ]
	[ "$(events open | jq -sc 'map(select(.path == "/etc/shadow")) | last | .fd')" = null ]
	status_is '.events_not_seen | map(select(.kind == "open" and (.why | contains("failed_opens: no")))) | length == 1'
}

# is_told PORT: a connection to it is refused, and that is recorded
is_told() {
	as 2666 bash -c "exec 3<>/dev/tcp/127.0.0.1/$1" || true
	sleep 0.3
	[ "$(events --kind deny | jq -c "select(.uid == 2666 and .dport == $1 and .verdict == \"drop\")" | wc -l)" -gt 0 ]
}

@test "a prefix of the log that the policy chooses is known, also when it changes" {
	sed -i 's/log_limit/log_prefix: "MINE: ", log_limit/' "$LIVE"
	zt apply "$LIVE" >/dev/null
	daemon_start --cgroup "$CG"
	wait_for is_told 7002
	sed 's/MINE: /YOURS /' "$LIVE" >"$P/yours"
	chmod 644 "$P/yours"
	mv "$P/yours" "$LIVE"
	wait_for status_is '.generation == 2'
	wait_for is_told 7003
}

@test "denies of the bpf engine are recorded as well, and those that the limit kept back counted" {
	sed -i "s/log_limit: 1000/log_limit: 20/; s|^rules:|identities:\n  thief: {uid: 2666, exe: $(readlink -f "$(command -v bash)")}\nrules:\n  - {name: thieves, from: {identity: thief}, to: {host: 127.0.0.1, port: 7009, protocol: tcp}, action: allow}|" "$LIVE"
	unshare -m --propagation private sh -c 'mount -t bpf bpf /sys/fs/bpf && exec "$@"' sh bash -c '
		. tests/e2e/daemon.bash 2>/dev/null || true
		"$ZT_SEGMENT" apply "$LIVE" --engine bpf --netns "$NS" --cgroup "$CG" --state-dir "$STATE" >/dev/null
		"$ZT_SEGMENTD" --netns "$NS" --cgroup "$CG" --state-dir "$STATE" --policy "$LIVE" --settings "$SETTINGS" 2>"$P/log" 3>&- 4>&- &
		echo $! >"$P/daemon.pid"
		for i in $(seq 50); do grep -q "is in force (bpf), adopted" "$P/log" && break; sleep 0.1; done
		sleep 1
		(echo $BASHPID >"$CG_DIR/cgroup.procs" && exec timeout 20 nsenter --net="/run/netns/$NS" setpriv --reuid=2666 --regid=2666 --clear-groups bash -c "exec 3<>/dev/tcp/127.0.0.1/7002") || true
		for i in $(seq 16); do
			"$ZT_SEGMENT" events -o json --netns "$NS" --state-dir "$STATE" | grep "\"deny\"" >"$P/denies" && break
			sleep 0.1
		done
		"$ZT_SEGMENT" why last --netns "$NS" --state-dir "$STATE" --cgroup "$CG" >"$P/why"
		(echo $BASHPID >"$CG_DIR/cgroup.procs" && exec timeout 20 nsenter --net="/run/netns/$NS" setpriv --reuid=2666 --regid=2666 --clear-groups /usr/bin/python3 -c "$BLOCKED" 300)
		for i in $(seq 100); do
			"$ZT_SEGMENT" events -o json --netns "$NS" --state-dir "$STATE" >"$P/all"
			jq -s "(map(select(.kind == \"deny\" and .dport == 7003)) | length) + (map(select(.kind == \"lost\" and .detail == \"deny\") | .count) | add // 0)" "$P/all" >"$P/accounted"
			[ "$(cat "$P/accounted")" != 300 ] || break
			sleep 0.1
		done
		kill $!; wait $!
		"$ZT_SEGMENT" flush --engine bpf --netns "$NS" --cgroup "$CG" --state-dir "$STATE" >/dev/null'
	rm -f "$P/daemon.pid"
	cat "$P/log"
	cat "$P/denies"
	[ "$(cat "$P/accounted")" = 300 ] && grep -q '"lost"' "$P/all" || { cat "$P/accounted"; grep '"lost"' "$P/all"; false; }
	jq -es 'any(.[]; .uid == 2666 and .dport == 7002 and .exe == "/usr/bin/bash" and .generation == 1 and .pid > 0 and .start > 0
		and .hook == "control group, sending" and .label == "@thief" and (.digest | length == 64) and (.parents | test("^timeout\\[")))' "$P/denies"
	cat "$P/why"
	text=$(tr -s ' \n' ' ' <"$P/why")
	[[ $text == *"Started by: timeout["*"SHA-256 of the program: "*"Decided by generation 1 at control group, sending."*"DENIED by the default policy"* ]]
}

# blocked N: so many datagrams that the policy blocks
blocked() { as 2666 /usr/bin/python3 -c "$BLOCKED" "$1"; }

# accounted N: denies that were told, and lost ones, are so many
accounted() {
	events | jq -es --argjson n "$1" '(map(select(.kind == "deny" and .dport == 7003)) | length) as $told
		| (map(select(.kind == "lost" and .detail == "deny") | .count) | add // 0) as $lost
		| $told > 0 and $lost > 0 and $told + $lost == $n'
}

@test "who changes by hand what is in force is told, what the daemon does is not taken for it" {
	daemon_start --cgroup "$CG"
	zt apply "$LIVE" >/dev/null
	within '.kind == "state" and .reason == "apply" and .generation == 1 and (.detail | test("^apply by root.*: generation 1"))'
	sed 's/7001/7003/' "$LIVE" >"$P/live.new"
	chmod 644 "$P/live.new"
	mv "$P/live.new" "$LIVE"
	within '.kind == "state" and .reason == "reloaded" and .generation == 2'
	zt rollback >/dev/null
	within '.kind == "state" and .reason == "rollback" and (.detail | test("^rollback by root.*: generation 3"))'
	zt flush >/dev/null
	within '.kind == "state" and .reason == "flush"'
	within '.kind == "state" and .reason == "apply"' # still one
}

# labelled PORT: a policy whose apply is several transactions, of several programs
labelled() {
	policy 2001 "$1" | sed "s|to: {|to: {user: root, |; s|from: {|from: {exe: $(readlink -f "$(command -v bash)"), |" >"$P/labelled.yaml"
	chmod 644 "$P/labelled.yaml"
	inside_mounts "$ZT_SEGMENT" apply --engine nft --netns "$NS" --cgroup "$CG" --state-dir "$STATE" "$P/labelled.yaml" >/dev/null
}

@test "an apply by hand is no attack, however many steps it has, and its event names its generation" {
	settings 'refresh_every: 0s' 'follow_policy: no'
	zt apply "$LIVE" >/dev/null
	daemon_start --cgroup "$CG"
	first=$(generation)
	for port in 7003 7004 7005; do
		labelled "$port"
		sleep 1 # between two that somebody types
	done
	wait_for grep -q "generation $((first + 3))" "$P/log"
	inside_mounts "$ZT_SEGMENT" apply --engine nft --netns "$NS" --cgroup "$CG" --state-dir "$STATE" "$LIVE" >/dev/null
	wait_for grep -q "generation $((first + 4))" "$P/log"
	sleep 1
	run ! grep "were changed by" "$P/log"
	run ! grep '"action":"heal"' "$STATE/audit.jsonl"
	told=$(zt events --kind state -o json | jq -c 'select(.reason == "apply") | [.generation, (.detail | capture("generation (?<n>[0-9]+)").n | tonumber)]')
	[ "$(wc -l <<<"$told")" = 4 ]
	[ "$(jq -s 'all(.[0] == .[1])' <<<"$told")" = true ] || { echo "$told"; false; }
}

@test "connection tracking that is nearly full is an alarm, once" {
	daemon_start --cgroup "$CG"
	zt apply "$LIVE" >/dev/null
	max=$(cat /proc/sys/net/netfilter/nf_conntrack_max)
	[ "$max" -le 524288 ] || skip "the table of this kernel takes too long to fill: $max entries"
	awk -v n="$((max * 83 / 100))" 'BEGIN { for (i = 0; i < n; i++)
		printf "-A -s 10.9.%d.1 -d 10.9.0.9 -p udp --sport %d --dport 9 -t 600\n", i / 50000, 1 + i % 50000 }' >"$P/tracked"
	run ! grep -q "Connection tracking is" <(zt status)
	ip netns exec "$NS" conntrack -R "$P/tracked" >/dev/null 2>&1
	zt status | grep "^Connection tracking is 8[23] % full"
	[ "$(zt status -o json | jq '.tracked.connections * 10 > .tracked.max * 8')" = true ]
	for _ in 1 2 3; do # somebody is there to be told of
		denied 2666 7003
		sleep 1
	done
	within '.kind == "state" and .reason == "tracking-full" and (.detail | test("8[23] % full"))'
	ip netns exec "$NS" conntrack -F >/dev/null 2>&1
}

# told N: so many of them
told() { [ "$(events --kind deny | grep -c '"dport":7003')" = "$1" ]; }

@test "thousands of denies of the bpf engine at once are told at once" {
	sed -i 's/log_limit: 1000/log_limit: 10000/' "$LIVE"
	inside_mounts "$ZT_SEGMENT" apply "$LIVE" --engine bpf --netns "$NS" --cgroup "$CG" --state-dir "$STATE" >/dev/null
	daemon_start --cgroup "$CG"
	blocked 3000
	in_seconds 6 told 3000 # 64 KiB every half a second would be 12 s
	daemon_stop
	inside_mounts "$ZT_SEGMENT" flush --engine bpf --netns "$NS" --cgroup "$CG" --state-dir "$STATE" >/dev/null
}

@test "denies that the limit kept back are lost, and that is told" {
	settings 'refresh_every: 1s'
	policy 2001 7001 | sed 's/log_blocked: false/log_blocked: true/' >"$LIVE"
	zt apply "$LIVE" >/dev/null
	daemon_start --cgroup "$CG"
	blocked 300
	wait_for accounted 300
	blocked 50
	wait_for accounted 350
	# Who asks what was blocked learns that there was more, root and a member alike.
	lost=$(events | jq -s 'map(select(.kind == "lost" and .detail == "deny") | .count) | add')
	for verb in blocked report 'blocked --raw'; do
		for who in 0 2999; do
			# shellcheck disable=SC2086 # words
			run -0 --separate-stderr by $((who ? 2001 : 0)) "$who" $verb
			# shellcheck disable=SC2154 # bats sets it
			[[ $stderr == *"$lost more are not among these: kept back by log_limit of the policy, or lost"* ]] || { echo "$verb of $who: $stderr"; false; }
		done
	done
	zt report -o json | jq -e ".lost == $lost" >/dev/null
	by 2001 2999 blocked -o json | jq -e ".lost == $lost" >/dev/null
	by 2001 2999 events --kind deny 2>"$P/said" | grep -q ' deny ' && grep -q "$lost more events of kind deny were lost" "$P/said"
}

@test "killed: enforcement goes on, the next start records the gap, the journal is whole" {
	zt apply "$LIVE" >/dev/null
	daemon_start --cgroup "$CG"
	as 2001 bash -c 'exec 3<>/dev/tcp/127.0.0.1/7001'
	within '.kind == "connect" and .uid == 2001'
	sleep 1.2
	kill -9 "$(daemon_pid)"
	can 2001 7001
	denied 2666 7001
	daemon_start --cgroup "$CG"
	within '.kind == "state" and .reason == "gap" and (.detail | contains("(killed)"))'
	within '.kind == "connect" and .uid == 2001 and .dport == 7001 and .exe == "/usr/bin/bash"'
	run -0 zt events --kind state
	[[ $output == *"no daemon from"* ]]
	[ "$(events --kind state | jq -c 'select(.detail | test("gap|no daemon"))' | wc -l)" = 1 ]
}

@test "events: no and journal: no are obeyed" {
	settings 'refresh_every: 0s' 'events: no'
	zt apply "$LIVE" >/dev/null
	daemon_start --cgroup "$CG"
	as 2001 bash -c 'exec 3<>/dev/tcp/127.0.0.1/7001'
	as 2666 bash -c 'exec 3<>/dev/tcp/127.0.0.1/7002' || true
	within '.kind == "deny" and .uid == 2666'
	[ "$(events | jq -c 'select(.kind == "exec" or .kind == "connect")' | wc -l)" = 0 ]
	daemon_stop
	rm -r "$STATE/journal"
	settings 'refresh_every: 0s' 'journal: no'
	daemon_start --cgroup "$CG"
	sleep 1
	[ ! -e "$STATE/journal" ]
	run -1 zt events
	[[ $output == *ZT5026* ]]
}

@test "a storm of 3,000 programs: recorded and lost are all there were, a deny among them is there" {
	zt apply "$LIVE" >/dev/null
	daemon_start --cgroup "$CG"
	inside sh -c 'i=0; while [ $i -lt 1500 ]; do /bin/true; i=$((i+1)); done' &
	inside sh -c 'i=0; while [ $i -lt 1500 ]; do /bin/true; i=$((i+1)); done'
	as 2666 bash -c 'exec 3<>/dev/tcp/127.0.0.1/7002' || true
	wait $!
	within '.kind == "deny" and .uid == 2666'
	sleep 1.5
	told=$(events --kind exec | jq -c 'select(.comm == "true")' | wc -l)
	lost=$(ask status | jq '.events.exec.lost')
	echo "told $told lost $lost"
	[ $((told + lost)) -ge 3000 ]
	[ $((told + lost)) -le 3020 ] # those that started it all may be among the lost
}
