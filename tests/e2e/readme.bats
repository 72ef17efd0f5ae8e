#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# What the README promises: the demo, the commands, the links, the house rules.

bats_require_minimum_version 1.5.0

setup() {
	TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	cd "$TOP" || return
	[ "$(id -u)" = 0 ] || skip "needs root"
}

left_behind() {
	ip netns list | grep -E "zt(demo|peer)" || :
	find /sys/fs/cgroup /sys/fs/cgroup/unified -maxdepth 1 -name 'ztdemo*' 2>/dev/null || :
	find /tmp -maxdepth 1 -name 'ztdemo.*' || :
}

@test "the demo keeps every promise and leaves nothing behind" {
	run packaging/demo.sh
	echo "$output"
	[ "$status" = 0 ]
	[ "$(grep -c 'NOT as promised' <<<"$output")" = 0 ]
	[ "$(grep -c 'as promised:' <<<"$output")" -ge 14 ] # the cases, and the pair of programs
	grep -q 'the fake redis of another user on the same port is not reached' <<<"$output"
	[ -z "$(left_behind)" ]
}

@test "the demo fits 80 columns in its table and uses no colours without a terminal" {
	COLUMNS=80 run packaging/demo.sh
	[[ $output != *$'\033'* ]]
	wide=$(sed -n '/^zt-segment status/,/^Both ends/p' <<<"$output" | grep -E '^.{83}' || :)
	[ -z "$wide" ]
}

@test "a demo that is interrupted leaves nothing behind" {
	packaging/demo.sh >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	demo=$!
	for _ in $(seq 200); do
		grep -q 'Before' "$BATS_TEST_TMPDIR/out" && break
		sleep 0.1
	done
	kill -TERM "$demo"
	code=0
	wait "$demo" || code=$?
	[ "$code" = 130 ]
	[ -z "$(left_behind)" ]
}

@test "links, commands and generated pages of the documents are right" {
	run tests/lib/check-docs.sh .
	echo "$output"
	[ "$status" = 0 ]
}

@test "the policy in the README is valid and its tests pass" {
	sed -n '/^## A policy/,/^[^ #]/p' README.md | sed -n 's/^    //p' | sed 's/user: web-user/uid: 61001/; s/user: attacker-user/uid: 61003/' >"$BATS_TEST_TMPDIR/rules.yaml"
	grep -q web-to-redis "$BATS_TEST_TMPDIR/rules.yaml"
	run "$ZT_SEGMENT" test "$BATS_TEST_TMPDIR/rules.yaml"
	echo "$output"
	[ "$status" = 0 ]
}

@test "an upward include fails the build" {
	mkdir -p "$BATS_TEST_TMPDIR/src/base"
	printf '#include "base/mem.h"\n#include "apply/apply.h"\n' >"$BATS_TEST_TMPDIR/src/base/x.c"
	run tests/lib/check-includes.sh "$BATS_TEST_TMPDIR"
	[ "$status" != 0 ]
	[[ $output == *'src/base/x.c:2: base may not include "apply/apply.h"'* ]]
	run tests/lib/check-includes.sh .
	[ "$status" = 0 ]
	grep -q check-includes.sh build/build.ninja
}

@test "./dev says what it can do, and refuses what it cannot" {
	run ./dev
	[ "$status" = 0 ]
	for word in setup build test demo bench lint fuzz fmt docs package install; do
		grep -q "^  $word " <<<"$output"
	done
	run ./dev nonsense
	[ "$status" = 2 ]
}
