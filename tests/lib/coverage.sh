#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Writes docs/coverage.md from a run of the adversarial program: coverage.sh PROGRAM
set -eu
cd "$(dirname "$0")/../.."
raw=$(mktemp)
trap 'rm -f "$raw"' EXIT
ZT_TEST=1 ZT_COVERAGE=$raw "${1:-build/tests/lib/zt-adversarial}" >/dev/null
{
	printf '# Coverage\n\nAttacks by a user whom the policy denies, asserted at the peer. Written by `tests/lib/coverage.sh`; rows are numbered as in\n'
	printf 'the list of attacks in tests/adversarial. A row that leaks is shown as leaking.\n\n| row | attack | to | nft | iptables |\n|---|---|---|---|---|\n'
	awk -F'|' '{ key = $1 "|" $2 "|" $3; if (!(key in seen)) { seen[key] = 1; order[++n] = key } result[key, $4] = $5 }
		END { for (i = 1; i <= n; i++) { split(order[i], p, "|"); printf "| %s | %s | %s | %s | %s |\n", p[1], p[2], p[3],
			result[order[i], "nft"], result[order[i], "iptables"] } }' "$raw"
	cat <<-'TEXT'

	Not covered by either engine, and said so by `zt-segment status`: AF_XDP, vsock and Unix sockets (no netfilter hook sees them), sockets handed
	over to another process, supplementary groups. Rows 3 (io_uring) and 34 (conntrack exhaustion) are not measured yet; row 41 is
	tests/conformance/property, row 42 tests/adversarial/flood, row 39 the golden tests and fuzzers of the policy, row 37 those of log lines.
	TEXT
} >docs/coverage.md
