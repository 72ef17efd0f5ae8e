#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The tools of the house themselves: a run that hides a failure is worse than none.

bats_require_minimum_version 1.5.0

setup() {
	TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	LOGS=$BATS_TEST_TMPDIR/logs
	mkdir -p "$LOGS"
	: >"$BATS_TEST_TMPDIR/allowed"
}

log() {
	printf '%b' "$3" >"$LOGS/$1.tap"
	echo "$2" >"$LOGS/$1.status"
}

summary() {
	run python3 "$TOP/tests/lib/summary.py" "$LOGS" "$BATS_TEST_TMPDIR/allowed"
	echo "$output"
	last=${lines[-1]}
}

@test "what passed is counted" {
	log a 0 '1..2\nok 1 one\nok 2 two\n'
	printf '{"name": "unit / base", "stdout": "1..2\\nok 1 - a\\nok 2 - b\\n", "result": "OK", "returncode": 0}\n' >"$LOGS/build.json"
	summary
	[ "$status" = 0 ]
	[ "$last" = "4 passed, 0 failed, 0 skipped" ]
}

@test "a failure, a plan not kept, a crash and a time-out fail the run" {
	log a 1 '1..2\nok 1 one\nnot ok 2 two\n'
	log b 124 '1..3\nok 1 one\n'
	log c 139 ''
	printf '{"name": "unit / base", "stdout": "", "result": "FAIL", "returncode": -11}\n' >"$LOGS/build.json"
	summary
	[ "$status" = 1 ]
	[ "$last" = "2 passed, 4 failed, 0 skipped" ]
}

@test "a file in which nothing ran is a failure, and so is no file at all" {
	log a 0 ''
	summary
	[ "$status" = 1 ]
	[ "$last" = "0 passed, 1 failed, 0 skipped" ]
	rm "$LOGS"/*
	summary
	[ "$status" = 1 ]
}

@test "only skips on the list are forgiven" {
	log a 0 '1..2\nok 1 one\nok 2 two # skip no such kernel\n'
	summary
	[ "$status" = 1 ]
	[ "$last" = "1 passed, 0 failed, 1 skipped" ]
	echo 'a: two' >"$BATS_TEST_TMPDIR/allowed"
	summary
	[ "$status" = 0 ]
	[ "$last" = "1 passed, 0 failed, 1 skipped" ]
}

@test "skips of cmocka and of whole files are skips" {
	printf '{"name": "unit / base", "stdout": "1..2\\nok 1 - a\\nnot ok 2 # SKIP b\\n", "result": "OK", "returncode": 0}\n' >"$LOGS/build.json"
	log a 0 '1..0 # skip nothing to do\n'
	printf 'base: b\na: *\n' >"$BATS_TEST_TMPDIR/allowed"
	summary
	[ "$status" = 0 ]
	[ "$last" = "1 passed, 0 failed, 2 skipped" ]
}

@test "a function of 101 lines and a file of 800 are refused" {
	mkdir -p "$BATS_TEST_TMPDIR/src" "$BATS_TEST_TMPDIR/tests"
	{
		printf 'int f(void)\n{\n'
		seq 101 | sed 's/.*/\tg();/'
		printf '}\n'
	} >"$BATS_TEST_TMPDIR/src/a.c"
	run "$TOP/tests/lib/check-lengths.sh" "$BATS_TEST_TMPDIR"
	[ "$status" != 0 ]
	sed -i 3d "$BATS_TEST_TMPDIR/src/a.c"
	run "$TOP/tests/lib/check-lengths.sh" "$BATS_TEST_TMPDIR"
	[ "$status" = 0 ]
	seq 800 | sed 's/.*/int a;/' >"$BATS_TEST_TMPDIR/src/b.c"
	run "$TOP/tests/lib/check-lengths.sh" "$BATS_TEST_TMPDIR"
	[ "$status" != 0 ]
}

@test "rooms of one floor, and an engine and the language, do not see each other" {
	for edge in event:apply engine:policy base:identity policy:ruleset; do
		mkdir -p "$BATS_TEST_TMPDIR/src/${edge%:*}"
		printf '#include "%s/x.h"\n' "${edge#*:}" >"$BATS_TEST_TMPDIR/src/${edge%:*}/a.c"
		run "$TOP/tests/lib/check-includes.sh" "$BATS_TEST_TMPDIR"
		[ "$status" != 0 ]
		[[ $output == *"${edge%:*} may not include"* ]]
		rm -r "$BATS_TEST_TMPDIR/src"
	done
	mkdir -p "$BATS_TEST_TMPDIR/src/cli"
	printf '#include "apply/apply.h"\n#include "cli/x.h"\n#include <stdio.h>\n' >"$BATS_TEST_TMPDIR/src/cli/a.c"
	run "$TOP/tests/lib/check-includes.sh" "$BATS_TEST_TMPDIR"
	[ "$status" = 0 ]
}

@test "programs in the kernel that decide otherwise have another number" {
	run "$TOP/tests/lib/layout.sh"
	[ "$status" = 0 ]
	[[ $output != *"not ok"* ]]
	mkdir -p "$BATS_TEST_TMPDIR/tree/tests"
	cp -r "$TOP/bpf" "$BATS_TEST_TMPDIR/tree"
	cp -r "$TOP/tests/lib" "$BATS_TEST_TMPDIR/tree/tests"
	cd "$BATS_TEST_TMPDIR/tree"
	echo '/* a word more */' >>bpf/live.bpf.h
	run tests/lib/layout.sh
	[[ $output != *"not ok"* ]]
	echo 'static int more;' >>bpf/packet.bpf.h
	run tests/lib/layout.sh
	[[ $output == *"not ok 1"* && $output == *"raise ZT_BPF_LAYOUT"* && $output == *"ok 2"* ]]
	echo 'static int more;' >>bpf/mark.bpf.c
	run tests/lib/layout.sh
	[[ $output == *"not ok 2"* && $output == *"raise ZT_MARK_LAYOUT"* ]]
}
