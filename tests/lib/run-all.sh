#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Everything that proves something: unit and golden tests, the same under ASan and UBSan with the anomaly loops, then every
# end-to-end file (*.bats, or an executable *.test that prints TAP). With a PATTERN only the end-to-end files that match.
# The last line is "N passed, N failed, N skipped"; logs stay in build/test-logs.
# Unit tests of the suite "once" take long and run with the sanitizers only.
# Files run four at a time: they wait more than they work. Those that say "run: first" in their head (virtual machines) begin while the
# sanitizers' build is compiled and the unit tests run, one after another, and count as one of those that run until they end. A file whose daemon
# must keep up says "run: pairs" and has one other beside it; one that measures time or races says "run: alone" and has the machine to itself;
# one that looks at what others found says "run: last".
set -eu
cd "$(dirname "$0")/../.."
top=$PWD
logs=$top/build/test-logs
# The distribution's programs, whatever else is installed: a shim before python3 takes a second of each of a thousand calls.
export PATH="/usr/sbin:/usr/bin:/sbin:/bin:$PATH"

compile() {
	dir=$1
	shift
	if [ -f "$dir/build.ninja" ]; then :; else meson setup "$dir" "$@" >/dev/null; fi
	ninja --quiet -C "$dir"
}

meson_suite() {
	echo "== $1: unit and golden tests"
	CMOCKA_MESSAGE_OUTPUT=TAP meson test -C "$1" --no-rebuild --print-errorlogs --timeout-multiplier "$2" ${3:+--no-suite "$3"} \
		</dev/null >"$logs/$1.out" 2>&1 || tail -n 60 "$logs/$1.out"
	cp "$1/meson-logs/testlog.json" "$logs/$1.json"
}

# processor FILE: seconds of processor time of what a shell has run and waited for; FILE has what its "times" printed.
processor() {
	awk 'NR == 2 { for (i = 1; i <= 2; i++) { split($i, t, /[ms]/); sum += t[1] * 60 + t[2] } printf "%d", sum }' "$1"
}

log_name() {
	echo "${1#tests/}" | sed 's/\.[a-z]*$//; s,/,-,g'
}

shell_suite() {
	name=$(log_name "$1")
	began=$(date +%s)
	times >"$logs/$name.times"
	worked=$(processor "$logs/$name.times")
	code=0
	limit=${ZT_TEST_LIMIT:-900}
	! grep -q '^# run: first' "$1" || limit=$((limit * 2))
	case $1 in
	*.bats) timeout -k 10 "$limit" bats --tap "$1" </dev/null >"$logs/$name.tap" 2>"$logs/$name.err" || code=$? ;;
	*) timeout -k 10 "$limit" "$1" </dev/null >"$logs/$name.tap" 2>"$logs/$name.err" || code=$? ;;
	esac
	echo "$code" >"$logs/$name.status"
	times >"$logs/$name.times"
	worked=$(($(processor "$logs/$name.times") - worked))
	printf '== %s: %s ok, %s not ok, %s s, %s s of processor\n' "$1" "$(grep -c '^ok' "$logs/$name.tap")" \
		"$(grep -c '^not ok' "$logs/$name.tap")" "$(($(date +%s) - began))" "$worked"
	[ "$code" = 0 ] || {
		grep -A 12 '^not ok' "$logs/$name.tap" | head -n 60
		tail -n 10 "$logs/$name.err"
	}
}

# Files that failed while others ran beside them or just before, each once more, by itself: a machine that was too busy is not a fault of the
# program. That it was unsteady is printed, and the logs of the first run stay. Where many failed nothing is tried again.
once_more() {
	set --
	for suite in $(files first "$pattern") $(files beside "$pattern") $(files pairs "$pattern") $(files alone "$pattern"); do
		name=$(log_name "$suite")
		{ [ "$(cat "$logs/$name.status")" = 0 ] && ! grep -q '^not ok' "$logs/$name.tap"; } || set -- "$@" "$suite"
	done
	[ $# -le 5 ] || return 0
	for suite in "$@"; do
		name=$(log_name "$suite")
		mkdir -p "$logs/first"
		mv "$logs/$name.tap" "$logs/$name.err" "$logs/$name.status" "$logs/first/"
		echo "UNSTEADY: $suite: exit code $(cat "$logs/first/$name.status")"
		grep '^not ok' "$logs/first/$name.tap" | sed "s|^|UNSTEADY: $suite: |" || :
		shell_suite "$suite"
	done
}

# files WAY PATTERN: the end-to-end files that run that way: first, beside, pairs, alone or last.
files() {
	find tests/conformance tests/adversarial tests/e2e \( -name '*.bats' -o -name '*.test' \) | sort | while read -r suite; do
		way=$(sed -n '1,20s/^# run: \([a-z]*\).*/\1/p' "$suite")
		case $suite in *"$2"*) [ "${way:-beside}" != "$1" ] || echo "$suite" ;; esac
	done
}

case ${1:-} in
--one)
	shell_suite "$2"
	exit 0
	;;
--first)
	for suite in $(files first "$2"); do
		shell_suite "$suite"
	done
	exit 0
	;;
--wait) # until the files that began first have ended, or nothing of this way is left to begin
	while kill -0 "$2" 2>/dev/null && [ ! -e "$logs/begun-$3" ]; do sleep 1; done
	exit 0
	;;
--begun)
	: >"$logs/begun-$2"
	exit 0
	;;
esac

[ ! -d build ] || rm -rf "$logs"
compile build
mkdir -p "$logs"
export ZT_TEST=1 ZT_SEGMENT="$top/build/zt-segment" ZT_SEGMENT_FAULTS="$top/build-check/zt-segment" ZT_TOP="$top"
unset NO_COLOR CLICOLOR_FORCE
pattern=${1:-}
began_first=
if [ -n "$(files first "$pattern")" ]; then
	setsid tests/lib/run-all.sh --first "$pattern" &
	began_first=$!
	trap 'pkill -s "$began_first" || :' EXIT # the machine with all that it started
	trap 'exit 130' INT TERM # it is in a session of its own: no Ctrl-C of a terminal comes there
fi
# Optimised less: it compiles in two thirds of the time. What the compiler then warns of is no matter of the program.
compile build-check -Dfaults=true -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=1 -Dc_args=-Wno-format-truncation
# A small quarantine and short stacks: tests that fork a thousand times copy them each time. A third of the time of the anomaly loops.
small=quarantine_size_mb=1:thread_local_quarantine_size_kb=16:malloc_context_size=4:max_malloc_fill_size=0
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=1:allocator_may_return_null=1:$small}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-halt_on_error=1:print_stacktrace=1}"

[ $# -gt 0 ] || {
	meson_suite build 2 once
	meson_suite build-check 6
}
# together WAY N: so many at a time.
together() {
	{
		[ -z "$began_first" ] || echo "--wait $began_first $1"
		files "$1" "$pattern" | sed 's/^/--one /'
		echo "--begun $1"
	} | xargs -r -P "$2" -L 1 tests/lib/run-all.sh
}
together beside 4
together pairs 2
[ -z "$began_first" ] || wait "$began_first" || :
trap - EXIT INT TERM
for suite in $(files alone "$pattern"); do
	shell_suite "$suite"
done
once_more
for suite in $(files last "$pattern"); do
	shell_suite "$suite"
done
exec python3 tests/lib/summary.py "$logs" tests/allowed-skips
