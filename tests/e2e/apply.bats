#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# apply, plan, confirm, rollback, status, flush, history, drift, refresh: exit codes, JSON, the dead-man process, two at once, broken
# states, other programs.

bats_require_minimum_version 1.5.0
load apply.bash

setup_file() {
	apply_setup v
	zt apply "$P/old.yaml" >/dev/null
	hashes
}

teardown_file() {
	apply_teardown
}

setup() {
	zt flush >/dev/null
	rm -rf "$STATE"
}

# json CODE FILTER VERB …: the verb ends with that code, and its JSON satisfies the filter.
json() {
	local want=$1 filter=$2 code=0
	shift 2
	zt "$@" -o json >"$P/json" 2>"$P/err" || code=$?
	if [ "$code" = "$want" ] && jq -en "input | $filter" "$P/json" >/dev/null; then return 0; fi
	echo "exit code $code of $*"
	cat "$P/json" "$P/err"
	return 1
}

# The kernel holds that policy.
is() {
	local what
	what=$(held)
	[ "$what" = "$1" ] || {
		echo "$what instead of $1 is in force"
		return 1
	}
}

# The dead-man process of what is pending.
deadman() { jq .pid "$STATE/pending"; }

nft_ns() { in_ns nft "$@"; }

@test "exit codes and JSON from nothing to flushed" {
	json 1 '.active == false and .differs' plan "$P/old.yaml"
	json 3 '.active == false' status
	json 3 '.active == false and .drifted == false' drift
	json 0 '.generations == []' history
	run zt refresh
	[ "$status" = 3 ]
	run zt confirm
	[ "$status" = 1 ]
	run zt rollback
	[ "$status" = 1 ]
	json 0 '.generation == null and .emergency == false' restore
	json 0 '.outcome == "dry-run"' apply --dry-run "$P/old.yaml"
	is none
	json 0 '.outcome == "applied" and .generation == 1 and .rules == 1 and .engine == "nft"' apply "$P/old.yaml"
	is old
	json 0 '.outcome == "unchanged" and .generation == 1' apply "$P/old.yaml"
	json 0 '.active and (.differs | not) and .changes == []' plan "$P/old.yaml"
	json 1 '.differs and (.changes | length) == 1 and .changes[0].change == "changed" and .changes[0].before.from == "uid 2001"' plan "$P/new.yaml"
	json 0 '.active and .generation == 1 and .drift == "none" and .rules[0].name == "only"' status
	json 0 '.drifted == false and .notes == []' drift
	json 0 '.changed == false' refresh
	json 0 '.outcome == "applied" and .generation == 2' apply --reason 'because "x"' "$P/new.yaml"
	json 0 '(.generations | length) == 2 and .generations[0].current and (.generations[0].summary | contains("because \"x\"")) and .generations[1].state == "confirmed"' history
	json 0 '.outcome == "applied" and .generation == 3' rollback
	is old
	json 0 '.outcome == "applied" and .generation == 4' rollback 2
	is new
	run zt rollback 77
	[ "$status" = 1 ]
	run zt rollback nonsense
	[ "$status" = 2 ]
	run zt apply "$P/none.yaml"
	[ "$status" != 0 ]
	is new
	echo 'version: "1.0"
rules: [{name: x, from: {uid: 1}, to: {prot: 1}, action: allow}]' >"$P/bad.yaml"
	run zt apply "$P/bad.yaml"
	[ "$status" = 65 ]
	is new
	run zt apply --confirm 0 "$P/old.yaml"
	[ "$status" = 2 ]
	json 0 '.ok and .findings == 0 and .entries >= 4' history --verify
	[ "$(zt history --show 1)" = "$(cat "$P/old.yaml")" ]
	json 0 '.outcome == "flushed"' flush
	is none
	json 3 '.active == false' status
	json 0 '.generation == null and .emergency == false' restore
	is none
	settled
}

@test "status tells that nobody will roll back once the dead-man process was killed, and refresh does" {
	zt apply "$P/old.yaml"
	zt apply --confirm 60s "$P/new.yaml"
	[[ $(zt status) == *"left until it is rolled back"* ]]
	pid=$(deadman)
	kill -9 "$pid"
	wait_for test ! -e "/proc/$pid"
	run zt status
	[[ $output == *"its process was killed: refresh rolls it back"* && $output != *"left until"* ]]
	[ "$(awk '{ print length }' <<<"$output" | sort -n | tail -1)" -le 80 ]
	zt refresh
	is old
	settled
}

@test "a lost generation is drift, not inactivity" {
	zt apply "$P/old.yaml"
	rm -r "$STATE/generations"
	json 1 '.active and .drifted and (.notes | map(contains("not in the state folder")) | any)' drift
	[[ $(zt status) == *"Drift: unknown"* ]]
	nft_ns flush ruleset
	json 1 '(.active | not) and .drifted' drift
	zt apply "$P/old.yaml"
	json 0 '.drifted == false' drift
}

@test "whoever may not read the history is not told that there is none" {
	zt apply "$P/old.yaml"
	run setpriv --reuid=2666 --regid=2666 --clear-groups "$ZT_SEGMENT" history --state-dir "$STATE"
	[ "$status" = 77 ]
	[[ $output == *"Permission denied"* && $output != *"never applied"* ]]
}

@test "a second apply changes no counter and no generation" {
	zt apply "$P/old.yaml"
	can 2001 7001
	before=$(zt status -o json | jq -c '[.rules, .generation, .counters]')
	zt apply "$P/old.yaml"
	[ "$(zt status -o json | jq -c '[.rules, .generation, .counters]')" = "$before" ]
	[[ $before == *'"packets":1'* ]]
}

@test "apply --confirm and silence: rolled back, and everything is clean afterwards" {
	zt apply "$P/old.yaml"
	json 0 '.outcome == "pending" and (.deadline | length) > 10' apply --confirm 2s "$P/new.yaml"
	is new
	wait_for test ! -e "$STATE/pending"
	is old
	json 0 '.active and .drift == "none" and .generation == 1' status
	json 0 '.drifted == false' drift
	json 0 '.generations[0].state == "rolled-back" and .generations[1].current' history
	run zt confirm
	[ "$status" = 124 ]
	zt apply "$P/old.yaml" | grep -q 'No changes'
	settled
}

@test "the first policy of all, unconfirmed, leaves nothing" {
	zt apply --confirm 1s "$P/old.yaml"
	wait_for test ! -e "$STATE/pending"
	is none
	[[ $(nft_ns list tables) != *zt_segment* ]]
	settled
}

@test "confirm keeps it, also when the time is over" {
	zt apply "$P/old.yaml"
	zt apply --confirm 2s "$P/new.yaml"
	pid=$(deadman)
	json 0 '.outcome == "confirmed" and .generation == 2' confirm
	wait_for bash -c "! kill -0 $pid"
	sleep 2
	is new
	settled
}

@test "the dead-man process is killed: the next command rolls back, before and after the time" {
	for wait in 0 2; do
		zt apply "$P/old.yaml"
		zt apply --confirm 1s "$P/new.yaml"
		kill -9 "$(deadman)"
		sleep "$wait"
		is new
		zt refresh
		is old
		settled
	done
}

@test "the dead-man process is told to end, as at shutdown: it rolls back at once" {
	zt apply "$P/old.yaml"
	zt apply --confirm 1h "$P/new.yaml"
	kill "$(deadman)"
	wait_for test ! -e "$STATE/pending"
	is old
	settled
}

@test "while a policy waits, another apply is refused and refresh leaves it alone" {
	zt apply "$P/old.yaml"
	zt apply --confirm 1h "$P/new.yaml"
	run zt apply "$P/old.yaml"
	[ "$status" = 1 ]
	[[ $output == *confirm* ]]
	run zt refresh
	[ "$status" = 0 ]
	is new
	[ -e "$STATE/pending" ]
	run zt rollback
	[ "$status" = 0 ]
	is old
	settled
}

@test "confirm needs a policy that is still there" {
	zt apply "$P/old.yaml"
	zt apply --confirm 1h "$P/new.yaml"
	nft_ns flush ruleset
	run zt confirm --force
	[ "$status" = 124 ]
	is old
	settled
}

@test "a reboot while it waits: confirm is refused, the boot restores what was confirmed" {
	zt apply "$P/old.yaml"
	zt apply --confirm 1h "$P/new.yaml"
	kill -9 "$(deadman)"
	nft_ns flush ruleset
	sed -i 's/"boot_id": "[^"]*"/"boot_id": "00000000-0000-0000-0000-000000000000"/' "$STATE/pending"
	json 0 '.generation == 1 and .emergency == false' restore
	is old
	settled
	# And without the unit: the first command of the new boot.
	zt apply --confirm 1h "$P/new.yaml"
	kill -9 "$(deadman)"
	sed -i 's/"boot_id": "[^"]*"/"boot_id": "00000000-0000-0000-0000-000000000000"/' "$STATE/pending"
	run zt confirm --force
	[ "$status" = 124 ]
	is old
	settled
}

@test "the session that applied may not confirm, another may" {
	zt apply "$P/old.yaml"
	SSH_CONNECTION="127.0.0.1 50000 127.0.0.1 22" zt apply --confirm 1h "$P/new.yaml"
	SSH_CONNECTION="127.0.0.1 50000 127.0.0.1 22" run zt confirm
	[ "$status" = 1 ]
	[[ $output == *"session that applied"* ]]
	[ -e "$STATE/pending" ]
	# Also where sudo has emptied the environment: the parents are asked.
	run env SSH_CONNECTION="127.0.0.1 50000 127.0.0.1 22" bash -c "env -u SSH_CONNECTION '$ZT_SEGMENT' confirm --netns $NS --state-dir $STATE; exit \$?"
	[ "$status" = 1 ]
	[ -e "$STATE/pending" ]
	SSH_CONNECTION="127.0.0.1 50001 127.0.0.1 22" run zt confirm
	[ "$status" = 0 ]
	is new
	settled
}

@test "what would cut off the session is refused with the reason, and --force overrides it" {
	{
		policy 2001 7001
		echo '  - {name: no-ssh, direction: ingress, from: {host: 192.0.2.7}, to: {port: 22, protocol: tcp}, action: deny}'
	} | sed 's/log_blocked: false/log_blocked: false, preserve_ssh: false/' >"$P/cut.yaml"
	export SSH_CONNECTION="192.0.2.7 50000 192.0.2.1 22"
	run zt apply "$P/cut.yaml"
	[ "$status" = 1 ]
	[[ $output == *ZT4101* ]]
	is none
	zt apply --force "$P/cut.yaml"
}

@test "two at once: one waits, or fails cleanly where it may not wait" {
	zt apply "$P/old.yaml"
	exec 9>"$STATE/lock"
	flock 9
	run zt apply --lock-wait 0 "$P/new.yaml" 9>&-
	[ "$status" = 1 ]
	[[ $output == *another* ]]
	is old
	zt apply --lock-wait 30s "$P/new.yaml" >/dev/null 9>&- &
	pid=$!
	sleep 0.3
	is old
	exec 9>&-
	wait "$pid"
	is new
	for _ in 1 2 3; do
		zt apply "$P/old.yaml" >"$P/a" 2>&1 &
		a=$!
		zt apply "$P/new.yaml" >"$P/b" 2>&1 &
		b=$!
		wait "$a"
		wait "$b"
		held
		settled
	done
}

@test "history keeps 20 generations, and the one in force" {
	for _ in $(seq 12); do
		zt apply "$P/old.yaml"
		zt apply "$P/new.yaml"
	done >/dev/null
	json 0 '(.generations | length) == 20 and .generations[0].generation == 24 and .generations[19].generation == 5' history
	zt rollback 5
	is old
	settled
}

@test "history --verify finds a changed byte, a removed line, a cut log, a lost log, a changed generation" {
	zt apply "$P/old.yaml"
	zt apply "$P/new.yaml"
	zt apply "$P/old.yaml"
	cp -a "$STATE" "$P/good"
	restore_good() { rm -rf "$STATE" && cp -a "$P/good" "$STATE"; }
	finds() {
		json 1 '.ok == false and .findings > 0' history --verify || {
			echo "not found: $1"
			return 1
		}
		restore_good
	}
	json 0 '.ok' history --verify
	size=$(stat -c %s "$STATE/audit.jsonl")
	for at in 1 20 100 $((size / 2)) $((size - 5)); do
		printf '\001' | dd of="$STATE/audit.jsonl" bs=1 seek="$at" conv=notrunc status=none
		finds "byte $at"
	done
	sed -i 2d "$STATE/audit.jsonl"
	finds "removed line"
	sed -i '$d' "$STATE/audit.jsonl"
	finds "removed last line"
	truncate -s -10 "$STATE/audit.jsonl"
	finds "cut log"
	truncate -s 0 "$STATE/audit.jsonl"
	finds "emptied log"
	rm "$STATE/audit.jsonl"
	finds "lost log"
	rm "$STATE/audit.jsonl" "$STATE/audit.head"
	finds "lost log and head"
	rm "$STATE/audit.head"
	finds "lost head"
	for f in policy.yaml image ruleset.json meta.json; do
		printf X | dd of="$STATE/generations/2/$f" bs=1 seek=30 conv=notrunc status=none
		finds "$f"
	done
	sed -i 's/"who": "[^"]*"/"who": "somebody"/' "$STATE/generations/2/meta.json"
	finds "who in meta.json"
	# A new line does not hide what was cut off before it.
	sed -i '$d' "$STATE/audit.jsonl"
	zt apply "$P/new.yaml"
	finds "cut log, gone on"
	rm -rf "$P/good"
}

# broken NAME COMMAND …: after it, flush removes all of ours, apply works again, and a foreign table is untouched.
broken() {
	local name=$1
	shift
	nft_ns add table inet other
	nft_ns 'add chain inet other c { type filter hook output priority 10; }'
	nft_ns add rule inet other c counter comment '"foreign"'
	zt apply "$P/old.yaml" >/dev/null
	"$@" || {
		echo "$name could not be made"
		return 1
	}
	if opens_and_closes; then return 0; fi
	echo "$name"
	cat "$P/out"
	nft_ns list ruleset
	return 1
}

opens_and_closes() {
	zt status >"$P/out" 2>&1 || :
	zt flush >>"$P/out" 2>&1 || return 1
	! nft_ns list tables | grep -q zt_segment || return 1
	is none || return 1
	nft_ns list table inet other | grep -q foreign || return 1
	zt apply "$P/new.yaml" >>"$P/out" 2>&1 || return 1
	is new || return 1
	settled || return 1
	zt flush >>"$P/out" || return 1
	nft_ns list table inet other | grep -q foreign || return 1
	nft_ns delete table inet other
}

@test "flush works on every broken state and touches nothing of others" {
	broken "netdev table gone" nft_ns delete table netdev zt_segment
	broken "inet table gone" nft_ns delete table inet zt_segment
	broken "table flushed" nft_ns flush table inet zt_segment
	broken "meta emptied" nft_ns flush set inet zt_segment zt_meta
	foreign_chain() {
		nft_ns 'add chain inet zt_segment theirs { type filter hook input priority 5; }' &&
			nft_ns add rule inet zt_segment theirs counter
	}
	broken "foreign chain" foreign_chain
	foreign_jump() { nft_ns add chain inet zt_segment theirs && nft_ns insert rule inet zt_segment output jump theirs; }
	broken "foreign jump" foreign_jump
	foreign_set() { nft_ns 'add set inet zt_segment theirs { type ipv4_addr; }'; }
	broken "foreign set" foreign_set
	no_state() { rm -rf "$STATE"; }
	broken "state folder gone" no_state
	bad_current() { echo '{' >"$STATE/current"; }
	broken "damaged record" bad_current
	bad_pending() { echo 'nonsense' >"$STATE/pending"; }
	broken "damaged journal" bad_pending
	no_generations() { rm -rf "$STATE/generations"; }
	broken "no generations" no_generations
}

@test "apply repairs every broken state" {
	for damage in "delete table netdev zt_segment" "delete table inet zt_segment" "flush table inet zt_segment" "flush set inet zt_segment zt_meta" \
		"flush chain inet zt_segment output" "insert rule inet zt_segment output accept" "add chain inet zt_segment theirs { type filter hook input priority 5 ; }" \
		"add chain inet zt_segment output { policy accept ; }" "flush ruleset" \
		"add table inet zt_segment { flags dormant ; }" "add table netdev zt_segment { flags dormant ; }" \
		"flush chain netdev zt_segment raw_owned" "insert rule netdev zt_segment raw_blocked accept"; do
		zt apply "$P/old.yaml" >/dev/null
		# shellcheck disable=SC2086 # words of nft
		nft_ns $damage
		run zt drift
		[ "$status" = 1 ] || {
			echo "no drift after $damage"
			return 1
		}
		zt apply "$P/old.yaml" >/dev/null
		if is old && settled; then continue; fi
		echo "not repaired: $damage"
		nft_ns list ruleset
		return 1
	done
}

@test "someone empties or widens a device's egress chain: drift, and apply or refresh mends it" {
	in_ns ip link add d0 type veth peer name d1
	in_ns ip link set d0 up
	in_ns ip link set d1 up
	zt apply "$P/old.yaml"
	json 0 '.drifted == false' drift
	for mend in "apply $P/old.yaml" refresh; do
		for damage in "flush chain netdev zt_segment fence_d0" "insert rule netdev zt_segment fence_d0 accept" "delete chain netdev zt_segment fence_d1"; do
			# shellcheck disable=SC2086 # words of nft
			nft_ns $damage
			json 1 '.drifted' drift
			# shellcheck disable=SC2086
			zt $mend
			json 0 '.drifted == false' drift || {
				echo "$mend does not mend: $damage"
				return 1
			}
		done
	done
	in_ns ip link del d0
}

@test "a device that appears later is reported, and refresh mends it" {
	zt apply "$P/old.yaml"
	in_ns ip link add late0 type veth peer name late1
	in_ns ip link set late0 up
	json 1 '.drifted and (.notes | map(contains("late0")) | any)' drift
	json 0 '.changed' refresh
	json 0 '.drifted == false' drift
	in_ns ip link del late0
	json 0 '.drifted == false' drift
}

@test "drift names the rules that differ and the program that changed them" {
	zt apply "$P/old.yaml"
	"$ZT_SEGMENT" drift --watch --netns "$NS" --state-dir "$STATE" -o json >"$P/watch" 3>&- &
	watcher=$!
	# Its socket is in the namespace's table: protocol 12, its pid, and a group.
	wait_for eval "in_ns cat /proc/net/netlink | awk '\$2 == 12 && \$3 == $watcher && \$4 !~ /^0+\$/' | grep -q ."
	zt apply "$P/new.yaml"
	nft_ns add table inet other
	nft_ns delete table inet other
	nft_ns flush table inet zt_segment
	wait_for grep -q . "$P/watch"
	sleep 0.3
	kill "$watcher"
	cat "$P/watch"
	# One change of ours by another: the apply of ours and the foreign table are not told.
	[ "$(wc -l <"$P/watch")" = 1 ]
	jq -en 'input | .program == "nft" and .pid > 0' "$P/watch"
	json 1 '.drifted and (.culprit | startswith("nft (pid "))' drift
	zt apply "$P/new.yaml"
	json 0 '.drifted == false and .culprit == null' drift
}

# with_hosts LINE VERB...: the command, on a host whose /etc/hosts has just that line
with_hosts() {
	echo "$1" >"$P/hosts"
	shift
	# shellcheck disable=SC2016 # expanded by the inner shell
	unshare -m --propagation private sh -c 'mount --bind "$1" /etc/hosts && shift && exec "$@"' - "$P/hosts" \
		"$ZT_SEGMENT" "$@" --netns "$NS" --state-dir "$STATE"
}

@test "refresh looks up everything anew, of a policy with includes as well" {
	mkdir "$P/policy.d"
	printf 'version: "1.0"\nsettings: {log_blocked: false}\ninclude: [policy.d/*.yaml]\n' >"$P/many.yaml"
	policy 2001 7001 | grep -v settings >"$P/policy.d/a.yaml"
	printf 'version: "1.0"\nrules:\n  - {name: soon, from: {uid: 2002}, to: {host: 127.0.0.0/8, port: 7002, protocol: tcp}, action: allow, schedule: {days: [mon-sun]}}\n' >"$P/policy.d/b.yaml"
	chmod 0644 "$P/many.yaml" "$P"/policy.d/*
	printf 'version: "1.0"\nrules:\n  - {name: named, from: {uid: 2003}, to: {host: shop.test, port: 7001, protocol: tcp}, action: allow}\n' >"$P/policy.d/c.yaml"
	chmod 0644 "$P"/policy.d/c.yaml
	with_hosts "127.0.0.9 shop.test" apply "$P/many.yaml"
	with_hosts "127.0.0.9 shop.test" refresh | grep -q "No changes"
	# The generation is whole by itself: what was applied counts, not what the files have become since. And what names mean is
	# looked up anew, that of an included file too.
	rm -r "$P/policy.d" "$P/many.yaml"
	run ! can 2003 7001
	with_hosts "127.0.0.1 shop.test" refresh
	can 2003 7001
	zt history --show 1 | grep -q '^#zt-file [0-9]* .*policy.d/b.yaml$'
	can 2001 7001
	can 2002 7002
	settled
}
