#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# docs/coverage.md from what the bed programs found (build/coverage/NAME, see bed-run.sh); those that have not run since they were built are run.
# coverage.sh          writes the document
# coverage.sh check    compares it with what is committed (TAP). Rows that this kernel cannot try are no difference.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
build=$top/build
parts='adversarial identity ingress closed flood conformance property'

collect() {
	for part in $parts; do
		found=$build/coverage/$part
		[ -n "$(find "$found" -newer "$build/tests/lib/zt-$part" 2>/dev/null)" ] ||
			"$top/tests/lib/bed-run.sh" "$part" >/dev/null 2>&1 || :
		cat "$found" 2>/dev/null || :
	done
}

# table NAME: the rows of one table, a column an engine, sorted by the number of the row and else as they came.
table() {
	awk -F'|' -v name="$1" -v with_to="$2" '
		$1 != name { next }
		{ key = $2 "|" $3 "|" $4
		  if (!(key in seen)) { seen[key] = 1; order[++n] = key }
		  if (!($5 in column)) { column[$5] = 1; columns[++m] = $5 }
		  result[key, $5] = $6 }
		END {
			printf(with_to ? "| row | what | to |" : "| row | what |")
			for (j = 1; j <= m; j++) printf(" %s |", columns[j])
			printf(with_to ? "\n|---|---|---|" : "\n|---|---|")
			for (j = 1; j <= m; j++) printf("---|")
			printf("\n")
			for (i = 1; i <= n; i++) {
				split(order[i], p, "|")
				line = "| " p[1] " | " p[2] " |" (with_to ? " " p[3] " |" : "")
				for (j = 1; j <= m; j++) line = line " " ((order[i], columns[j]) in result ? result[order[i], columns[j]] : "not run") " |"
				printf("%d\t%d\t%s\n", p[1], i, line) | "sort -n -k1,1 -k2,2 | cut -f3-"
			}
			close("sort -n -k1,1 -k2,2 | cut -f3-")
		}' "$raw"
}

document() {
	cat <<-'TEXT'
		# Coverage

		What was tried against each engine and what happened, with real packets: written by `tests/lib/coverage.sh` from a run, and held to it
		by tests/conformance/table.test. "Blocked" means that no packet reached the peer (or, inbound, passed the input hook), whatever the
		sender was told; wherever a user can be allowed the method at all, an allowed user's packet was seen to arrive. Rows have the numbers
		of the list of attacks that the suite was written from.

		## Ways out for a denied user
		Sender with CAP_NET_RAW and CAP_NET_ADMIN where that helps it. A row that leaks is one that `zt-segment status` names as not covered.

	TEXT
	table attacks 1
	cat <<-'TEXT'

		## What a neighbour sends in
		Shapes are sent to an open and to a closed port: the closed one never gets any.

	TEXT
	table inbound 1
	cat <<-'TEXT'

		## When something breaks
		Engines need no process of ours: killing whatever runs of zt-segment changes nothing in the kernel. Corrupt boot files are in
		tests/e2e/boot.bats (falls back to the previous generation, then to the emergency policy).

	TEXT
	table closed 0
	cat <<-'TEXT'

		## Proof by numbers

	TEXT
	table proof 1
	cat <<-'TEXT'

		Row 39 (hostile policy files) is held by tests/golden and tests/fuzz; row 41 by the property test above; row 42 is the swaps under flood.
		Not here, because these engines have no labels: rows 15, 16, 18 to 25 (identity of the program), 31 (names), 35, 36 (maps and rings of
		BPF), 40 (no network interface to attack).
	TEXT
}

raw=$(mktemp)
made=$(mktemp)
trap 'rm -f "$raw" "$made"' EXIT
collect >"$raw"
document >"$made"
if [ "${1:-}" != check ]; then
	cp "$made" "$top/docs/coverage.md"
	exit
fi

# Rows are told by their first three cells. "Not in this kernel" on either side is a difference of kernels, not of the code.
differences() {
	awk -F'|' '
		/^\|/ {
			key = $2 "|" $3 "|" (NF > 6 ? $4 : "")
			if (!(key in known)) { known[key] = 1; order[++n] = key }
			rows[FILENAME, key] = $0
			next
		}
		{ text[FILENAME] = text[FILENAME] $0 "\n" }
		END {
			if (text[ARGV[1]] != text[ARGV[2]]) print "the text between the tables"
			for (i = 1; i <= n; i++) {
				x = rows[ARGV[1], order[i]]
				y = rows[ARGV[2], order[i]]
				if (x != y && (x y) !~ /not in this kernel/)
					print "committed: " (x ? x : "no such row") "\nfound: " (y ? y : "no such row")
			}
		}' "$1" "$2"
}
found=$(differences "$top/docs/coverage.md" "$made")
leaks=$(awk -F'|' '$6 ~ /^LEAKS$|WRONG/' "$raw")
echo "1..2"
if [ -z "$found" ]; then echo "ok 1 - docs/coverage.md is what the run found"; else
	echo "not ok 1 - docs/coverage.md is what the run found"
	echo "$found" | sed 's/^/# /'
fi
if [ -z "$leaks" ]; then echo "ok 2 - nothing leaks that status does not name"; else
	echo "not ok 2 - nothing leaks that status does not name"
	echo "$leaks" | sed 's/^/# /'
fi
[ -z "$found$leaks" ]
