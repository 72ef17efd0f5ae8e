#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Everything that proves something: unit and golden tests, the same under ASan and UBSan with the anomaly loops, then every
# end-to-end file (*.bats, or an executable *.test that prints TAP). With a PATTERN only the end-to-end files that match.
# The last line is "N passed, N failed, N skipped"; logs stay in build/test-logs.
set -eu
cd "$(dirname "$0")/../.."
top=$PWD
logs=$top/build/test-logs
limit=${ZT_TEST_LIMIT:-900}

compile() {
	dir=$1
	shift
	if [ -f "$dir/build.ninja" ]; then :; else meson setup "$dir" "$@" >/dev/null; fi
	ninja --quiet -C "$dir"
}

meson_suite() {
	echo "== $1: unit and golden tests"
	CMOCKA_MESSAGE_OUTPUT=TAP meson test -C "$1" --no-rebuild --print-errorlogs --timeout-multiplier "$2" \
		</dev/null >"$logs/$1.out" 2>&1 || tail -n 60 "$logs/$1.out"
	cp "$1/meson-logs/testlog.json" "$logs/$1.json"
}

shell_suite() {
	name=$(echo "${1#tests/}" | sed 's/\.[a-z]*$//; s,/,-,g')
	began=$(date +%s)
	code=0
	case $1 in
	*.bats) timeout -k 10 "$limit" bats --tap "$1" </dev/null >"$logs/$name.tap" 2>"$logs/$name.err" || code=$? ;;
	*) timeout -k 10 "$limit" "$1" </dev/null >"$logs/$name.tap" 2>"$logs/$name.err" || code=$? ;;
	esac
	echo "$code" >"$logs/$name.status"
	printf '== %s: %s ok, %s not ok, %s s\n' "$1" "$(grep -c '^ok' "$logs/$name.tap")" \
		"$(grep -c '^not ok' "$logs/$name.tap")" "$(($(date +%s) - began))"
	[ "$code" = 0 ] || {
		grep -A 12 '^not ok' "$logs/$name.tap" | head -n 60
		tail -n 10 "$logs/$name.err"
	}
}

[ ! -d build ] || rm -rf "$logs"
compile build
mkdir -p "$logs"
compile build-check -Dfaults=true -Db_sanitize=address,undefined -Db_lundef=false
export ZT_TEST=1 ZT_SEGMENT="$top/build/zt-segment" ZT_SEGMENT_FAULTS="$top/build-check/zt-segment" ZT_TOP="$top"
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=1:allocator_may_return_null=1}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-halt_on_error=1:print_stacktrace=1}"
unset NO_COLOR CLICOLOR_FORCE

[ $# -gt 0 ] || {
	meson_suite build 2
	meson_suite build-check 6
}
for suite in $(find tests/conformance tests/adversarial tests/e2e \( -name '*.bats' -o -name '*.test' \) 2>/dev/null | sort); do
	case $suite in *"${1:-}"*) shell_suite "$suite" ;; esac
done
exec python3 tests/lib/summary.py "$logs" tests/allowed-skips
