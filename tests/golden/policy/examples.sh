#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Every example passes its own tests, its tests notice every change of a rule, and fmt is stable on it.
# usage: examples.sh ZT_SEGMENT SOURCE_ROOT
set -eu
failed=0
n=0
for file in "$2"/examples/*.yaml; do
	n=$((n + 1))
	out=$("$1" test --mutate --root "$2/tests/golden/policy/root" "$file" 2>&1) && case $out in
	*"no test notices"*) false ;;
	esac || {
		failed=$((failed + 1))
		printf 'not ok - %s\n%s\n' "$file" "$out"
	}
	once=$("$1" fmt "$file") && twice=$(printf '%s\n' "$once" | "$1" fmt -) && [ "$once" = "$twice" ] || {
		failed=$((failed + 1))
		printf 'not ok - fmt %s\n' "$file"
	}
done
echo "$n examples, $failed failures"
[ "$failed" = 0 ] && [ "$n" -ge 5 ]
