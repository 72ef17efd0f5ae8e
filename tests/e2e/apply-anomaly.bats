#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Anomaly loops over the verbs that change something, on real kernels' engines: the Nth step fails, the process is killed at the Nth
# step, the Nth write finds no space, for N = 1, 2, … until it passes. Each time the kernel holds exactly the old or the new policy, a
# denied user stays denied, and the next command leaves everything settled. tests/unit/apply does the same and allocations in memory, at every
# step; here it is every fifth one, or each with ZT_EACH=1.

# shellcheck disable=SC2030,SC2031 # every test has a process of its own, and means only itself

load apply.bash

setup_file() {
	apply_setup a
}

teardown_file() {
	apply_teardown
}

setup() {
	[ -x "$ZT_SEGMENT_FAULTS" ] || skip "no build with fault injection"
}

# engine NAME: what follows is about it
engine() {
	zt flush >/dev/null
	rm -rf "$STATE"
	export ZT_ENGINE_NAME=$1
	zt apply --engine "$1" "$P/new.yaml" >/dev/null
	hashes
}

prepare() {
	zt apply "$P/old.yaml" >/dev/null || return
	case $1 in
	pending) zt apply --confirm 1h "$P/new.yaml" >/dev/null ;;
	two) zt apply "$P/new.yaml" >/dev/null ;;
	esac
}

# The next command, and the one after it where a policy waits for its confirmation.
recover() {
	zt refresh >"$P/out" 2>&1 || [ "$?" = 3 ] || return
	[ ! -e "$STATE/pending" ] || if [ $(($1 % 2)) = 0 ]; then zt confirm --force; else zt rollback; fi >"$P/out" 2>&1
}

# attempt VARIABLE N BEFORE ENDS VERB …: one turn. The exit code of the verb is in $code.
attempt() {
	local variable=$1 n=$2 before=$3 ends=$4 what
	shift 4
	prepare "$before" || {
		echo "prepare $before"
		return 1
	}
	code=0
	zt_fault "$variable" "$n" "$@" >"$P/out" 2>&1 </dev/null || code=$?
	# A background process that was killed with its parent may still be on its way.
	what=$(held) && { [ "$what" != mixed ] || [ "$code" = 137 ]; } && { [ "$code" != 0 ] || [ "$what" = "$ends" ]; } && recover "$n" && held >"$P/what" && settled && return
	echo "$variable=$n $*: exit $code, then \"$what\", then \"$(cat "$P/what")\""
	cat "$P/out"
	return 1
}

# loop BEFORE ENDS VERB …
loop() {
	local n steps quiet=0 code each=5
	[ -z "${ZT_EACH:-}" ] || each=1
	for ((n = 1; n < 100; n += each)); do
		attempt ZT_KILL_STEP "$n" "$@" || return 1
		[ "$code" = 137 ] || break
	done
	steps=$n
	for ((n = (steps - 1) % each + 1; n <= steps; n += each)); do
		attempt ZT_FAIL_STEP "$n" "$@" || return 1
	done
	[ "$code" = 0 ]
	for ((n = 1; n < 100 && quiet < 3; n += each)); do
		attempt ZT_FAIL_WRITE "$n" "$@" || return 1
		if [ "$code" = 0 ]; then quiet=$((quiet + 1)); else quiet=0; fi
	done
	echo "# $ZT_ENGINE_NAME: $2 by ${*:3}: up to step $steps and write $n"
	[ "$quiet" = 3 ] && [ "$steps" -gt 1 ]
}

@test "nft: apply" {
	engine nft
	loop old new apply "$P/new.yaml"
}

@test "nft: apply --confirm" {
	engine nft
	loop old new apply --confirm 1h "$P/new.yaml"
}

@test "nft: confirm" {
	engine nft
	loop pending new confirm --force
}

@test "nft: rollback" {
	engine nft
	loop pending old rollback
	loop two old rollback
}

@test "nft: flush" {
	engine nft
	loop old none flush
}

@test "iptables: apply" {
	engine iptables
	loop old new apply "$P/new.yaml"
}

@test "iptables: apply --confirm" {
	engine iptables
	loop old new apply --confirm 1h "$P/new.yaml"
}

@test "iptables: rollback and flush" {
	engine iptables
	loop pending old rollback
	loop old none flush
}

@test "kill -9 at any moment: old or new, and the next command settles it" {
	engine nft
	local i pid
	for i in $(seq 1 4 40); do
		prepare old
		setsid "$ZT_SEGMENT" apply --netns "$NS" --state-dir "$STATE" "$P/new.yaml" >/dev/null 2>&1 &
		pid=$!
		sleep "0.0$(printf %02d $((i * 2)))"
		kill -9 "$pid" 2>/dev/null || :
		wait "$pid" 2>/dev/null || :
		held
		recover "$i"
		settled
	done
}

@test "a disk with ever less space: old or new" {
	engine nft
	local full="$P/full" keep="$STATE" k code done=0 failed=0
	mkdir "$full"
	mount -t tmpfs -o size=400k,mode=0700 ztapply "$full"
	export STATE="$full/state"
	for ((k = 0; k <= 80; k += 16)); do
		rm -f "$full/fill"
		prepare old || break
		dd if=/dev/zero of="$full/fill" bs=4k >/dev/null 2>&1 || :
		truncate -s -"$((k * 1024))" "$full/fill"
		code=0
		zt apply "$P/new.yaml" >"$P/out" 2>&1 || code=$?
		if [ "$code" = 0 ]; then done=$((done + 1)); else failed=$((failed + 1)); fi
		[ "$(held)" = "$([ "$code" = 0 ] && echo new || echo old)" ] || {
			cat "$P/out"
			break
		}
		# On the full disk still: a flush opens the host, and a waiting policy goes back.
		rm -f "$full/fill"
		recover "$k" && settled || break
	done
	umount "$full"
	STATE=$keep
	zt flush >/dev/null
	echo "# $done went well, $failed found no space"
	[ "$k" -gt 80 ] && [ "$done" -gt 0 ] && [ "$failed" -gt 0 ]
}

@test "the disk fills up while a policy waits: it is rolled back all the same" {
	engine nft
	local full="$P/full2" keep="$STATE" ok=1
	mkdir "$full"
	mount -t tmpfs -o size=400k,mode=0700 ztapply "$full"
	export STATE="$full/state"
	prepare old && zt apply --confirm 2s "$P/new.yaml" >/dev/null
	dd if=/dev/zero of="$full/fill" bs=4k >/dev/null 2>&1 || :
	wait_for test ! -e "$STATE/pending" && [ "$(held)" = old ] || ok=0
	zt flush >"$P/out" 2>&1 && [ "$(held)" = none ] || ok=0
	rm -f "$full/fill"
	umount "$full"
	STATE=$keep
	[ "$ok" = 1 ]
}
