#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# run-fuzz.sh [SECONDS [NAME...]]: runs every fuzzer of tests/fuzz (or those named) for some seconds each under ASan and UBSan, one
# a processor, from its corpus (tests/fuzz/corpus/NAME) and with its dictionary (tests/fuzz/NAME.dict). New inputs go to
# build-fuzz/corpus/NAME, a crash to build-fuzz/crash-NAME-*. Fails when one finds something.
set -eu
cd "$(dirname "$0")/../.."
build="build-fuzz"

fuzz_one() {
	work=$build/corpus/$name
	mkdir -p "$work"
	set -- -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$build/crash-$name-"
	[ ! -f "tests/fuzz/$name.dict" ] || set -- "$@" -dict="tests/fuzz/$name.dict"
	if UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 ZT_TEST=1 "$build/tests/fuzz/fuzz_$name" "$@" "$work" "tests/fuzz/corpus/$name" \
		</dev/null >"$build/$name.log" 2>&1; then
		units=$(sed -n 's/.*number_of_executed_units: *//p' "$build/$name.log")
		printf '%-14s clean, %s inputs in %s s, %s edges\n' "$name" "$units" "$seconds" \
			"$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$build/$name.log" | tail -n 1)"
	else
		printf '%-14s FOUND something, see %s\n' "$name" "$build/$name.log"
		tail -n 15 "$build/$name.log"
		return 1
	fi
}

if [ "${1:-}" = one ]; then
	name=$3
	seconds=$2
	fuzz_one
	exit
fi
seconds=${1:-60}
[ $# = 0 ] || shift
if [ -f $build/build.ninja ]; then :; else
	CC=clang meson setup $build -Dtests=false -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false >/dev/null
fi
ninja --quiet -C $build
# shellcheck disable=SC2046 # a list of words
[ $# != 0 ] || set -- $(find tests/fuzz -name 'fuzz_*.c' | sed 's,.*/fuzz_,,; s,\.c$,,' | sort)
# One a processor; xargs says whether all of them ended well.
printf '%s\n' "$@" | xargs -P "$(nproc)" -I NAME "$0" one "$seconds" NAME
