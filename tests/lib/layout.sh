#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# An upgrade replaces programs in the kernel whose layout has another number, and leaves the others where they are. So a change of what they do
# needs a new number (bpf/abi.h, bpf/mark.h): this compares their sources, without comments and blanks, with the digests that were taken with
# the number. TAP; "layout.sh write" takes the digests anew.
set -eu
cd "$(dirname "$0")/../.."
record=tests/lib/layout.table

digest() {
	for f in "$@"; do
		"${CC:-cc}" -w -fpreprocessed -dD -E -P -x c "bpf/$f" | tr -d '[:space:]'
		echo "$f"
	done | sha256sum | cut -d ' ' -f 1
}

number() {
	sed -n "s/^#define $1 \([0-9]*\)$/\1/p" bpf/abi.h bpf/mark.h
}

# What is loaded and stays: all but the daemon's own programs, which end with it, and the marks of the nft engine, which have a number of their own.
table() {
	echo "# layout number digest: what is loaded and stays, see tests/lib/layout.sh"
	# shellcheck disable=SC2046 # names without blanks
	echo "ZT_BPF_LAYOUT $(number ZT_BPF_LAYOUT) $(digest $(cd bpf && LC_ALL=C find . -name '*.[ch]' | sed 's,^\./,,' |
		LC_ALL=C sort | grep -vE '^(trace|calls|tries|sentry|mark)[._]|^mark_iter'))"
	echo "ZT_MARK_LAYOUT $(number ZT_MARK_LAYOUT) $(digest abi.h below.bpf.h identity.bpf.h kernel.h maps.bpf.h mark.bpf.c mark.bpf.h mark.h mark_iter.bpf.c)"
}

if [ "${1:-}" = write ]; then
	table >"$record"
	exit
fi
found=$(mktemp)
trap 'rm -f "$found"' EXIT
table >"$found"
n=0
for name in ZT_BPF_LAYOUT ZT_MARK_LAYOUT; do
	n=$((n + 1))
	if [ "$(grep "^$name " "$record")" = "$(grep "^$name " "$found")" ]; then
		echo "ok $n - the programs of $name are those that have its number"
		continue
	fi
	echo "not ok $n - the programs of $name are those that have its number"
	echo "# Where what they decide, or a map, has changed: raise $name. Then, and where only words changed: tests/lib/layout.sh write"
done
echo "1..$n"
