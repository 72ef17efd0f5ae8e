#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Every example passes its own tests, its tests notice every change of a rule, and fmt is stable on it,
# and check has nothing to warn of.
# usage: examples.sh ZT_SEGMENT SOURCE_ROOT
set -eu
program=$1
root=$2
failed=0
n=0
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cp -r "$root/tests/golden/policy/root/." "$tree"
mkdir -p "$tree/usr/sbin" "$tree/usr/bin"
for exe in usr/sbin/nginx usr/bin/redis-server; do # programs that examples name
	cp "$(readlink -f /bin/true)" "$tree/$exe"
done

passes() {
	out=$("$program" test --mutate --root "$tree" "$1" 2>&1) || return 1
	case $out in *"no test notices"*) return 1 ;; esac
}

stable() {
	out=$("$program" fmt "$1" 2>&1) || return 1
	[ "$(printf '%s\n' "$out" | "$program" fmt - 2>&1)" = "$out" ]
}

# As root check loads it for real too; what the host that runs this needs (DNS, DHCP) is not the example's business.
clean() {
	out=$("$program" check -o json --root "$tree" "$1" 2>&1) || return 1
	case $out in *'"warning"'*) return 1 ;; esac
}

for file in "$root"/examples/*.yaml; do
	n=$((n + 1))
	for check in passes stable clean; do
		if ! $check "$file"; then
			failed=$((failed + 1))
			printf 'not ok - %s: %s\n%s\n' "$check" "$file" "$out"
		fi
	done
done
echo "$n examples, $failed failures"
[ "$failed" = 0 ] && [ "$n" -ge 6 ]
