#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# For tests/e2e/vm-*.test: runs scripts of tests/vm inside virtual machines and prints what they found as one TAP stream. What a kernel refuses
# there is a failure here, not a skip.
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
n=0
code=0
# Seconds for one machine: emulated, beside other tests, on a slow processor. None was seen to need a third of it.
limit=${ZT_MACHINE_LIMIT:-840}

# machine KERNEL PART...: the parts one after another in one machine; what they print as rows of a table of coverage is in $cells after it.
machine() {
	local kernel=$1 inside='code=0' out
	shift
	for part in "$@"; do
		inside+="; \$ZT_TOP/tests/vm/$part || code=\$?"
	done
	code=0
	out=$(tests/vm/run -t "$limit" "$kernel" "export ZT_CONTAINERS=${tree:-}; $inside; exit \$code" 2>&1) || code=$?
	# shellcheck disable=SC2034 # for who sources this
	cells=$(sed -n 's/^# cell|//p' <<<"$out")
	if [ "$code" = 77 ]; then
		n=$((n + 1))
		echo "ok $n - Linux $kernel: $* # SKIP $(tail -n 1 <<<"$out")"
		return
	fi
	while IFS= read -r line; do
		case $line in
		"# cell|"*) ;;
		"ok "*"# SKIP"*)
			n=$((n + 1))
			echo "not ok $n - Linux $kernel: $(sed 's/^ok [0-9]* - //; s/ # SKIP/, /' <<<"$line")"
			;;
		"ok "* | "not ok "*)
			n=$((n + 1))
			# shellcheck disable=SC2001 # two groups
			sed "s/^\(not ok\|ok\) [0-9]* -/\1 $n - Linux $kernel:/" <<<"$line"
			;;
		1..*) ;;
		*) echo "# ${line#\# }" ;;
		esac
	done <<<"$out"
	if [ "$code" != 0 ] || [ "$(grep -c '^1\.\.' <<<"$out")" != $# ]; then
		n=$((n + 1))
		echo "not ok $n - Linux $kernel: $* ran to the end"
		[ "$code" != 124 ] || echo "# it took more than $limit s"
	fi
}
