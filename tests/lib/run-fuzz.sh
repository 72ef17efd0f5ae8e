#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs every fuzzer of tests/fuzz (NAME.c with LLVMFuzzerTestOneInput) for some seconds each under ASan and UBSan, from its
# corpus (tests/fuzz/corpus/NAME) and with its dictionary (tests/fuzz/NAME.dict). New inputs go to build-fuzz/corpus/NAME, a
# crash to build-fuzz/crash-NAME-*. Fails when one finds something.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-60}
build="build-fuzz"

if [ -f $build/build.ninja ]; then :; else
	CC=clang meson setup $build -Dtests=false -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false >/dev/null
fi
ninja --quiet -C $build
status=0
for program in "$build"/tests/fuzz/fuzz_*; do
	case $program in *.p | *\*) continue ;; esac
	name=${program##*/fuzz_}
	work=$build/corpus/$name
	mkdir -p "$work"
	set -- -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$build/crash-$name-"
	[ ! -f "tests/fuzz/$name.dict" ] || set -- "$@" -dict="tests/fuzz/$name.dict"
	set -- "$@" "$work"
	[ ! -d "tests/fuzz/corpus/$name" ] || set -- "$@" "tests/fuzz/corpus/$name"
	printf '== %s for %s s: ' "$name" "$seconds"
	if ZT_TEST=1 "$program" "$@" </dev/null >"$build/$name.log" 2>&1; then
		echo "clean, $(sed -n 's/.*number_of_executed_units: *//p' "$build/$name.log") inputs"
	else
		echo "FOUND something, see $build/$name.log"
		tail -n 15 "$build/$name.log"
		status=1
	fi
done
exit $status
