#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# docs/coverage.md from what the bed programs found (build/coverage/NAME, see bed-run.sh); those that have not run since they were built are run.
# coverage.sh          writes the document
# coverage.sh differences COMMITTED FOUND   only compares two such documents
# coverage.sh check    compares it with what is committed (TAP). What this kernel cannot try is no difference.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
build=$top/build
parts='adversarial identity ingress closed flood conformance property pairs programs'

# Not a bed program, but a test of its own.
crash() {
	ZT_TEST=1 ZT_TOP=$top ZT_SEGMENT=${ZT_SEGMENT:-$build/zt-segment} ZT_SEGMENT_FAULTS=${ZT_SEGMENT_FAULTS:-$top/build-check/zt-segment} \
		"$top/tests/e2e/crash.test" >/dev/null 2>&1 || :
}

collect() {
	for part in $parts; do
		found=$build/coverage/$part
		[ -n "$(find "$found" -newer "$build/tests/lib/zt-$part" 2>/dev/null)" ] ||
			"$top/tests/lib/bed-run.sh" "$part" >/dev/null 2>&1 || :
		cat "$found" 2>/dev/null || :
	done
	found=$build/coverage/crash
	[ -n "$(find "$found" -newer "$build/zt-segment" 2>/dev/null)" ] || crash
	cat "$found" "$top/tests/vm/lsm.found" "$top/tests/adversarial/opensnitch.found"
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

		With the nft and iptables engines a packet belongs to the user who made its socket; with the bpf engine to the process that connects or
		sends, which is looked at again at every connect and sendmsg.

		## Ways out for a denied user
		Sender with CAP_NET_RAW and CAP_NET_ADMIN where that helps it. A row that leaks is one that `zt-segment status` names as not covered.
		OpenSnitch, from Debian's package, is there to compare: default deny, unknown programs intercepted, one rule that allows a user, proc
		monitor; run by hand with tests/adversarial/opensnitch.sh and not repeated by the tests. Rows it was not tried on say "not run".
		bpf+LSM is the bpf engine with its LSM layer, on Debian's 6.12 in a virtual machine, whose kernel has SCTP, DCCP and L2TP too: the
		same programs as the other columns (tests/vm/attacks) and what the layer adds (tests/vm/lsm), held to these rows by
		tests/e2e/vm-lsm.test. Not run there: what the layer has no part in, and row 19, whose race is none on an emulated processor.

	TEXT
	table attacks 1
	cat <<-'TEXT'

		## Who is it?
		For engines that know programs: one program of one user may reach one server and one port of the peer, nobody else anything.

	TEXT
	table programs 0
	cat <<-'TEXT'

		## What a neighbour sends in
		Shapes are sent to an open and to a closed port: the closed one never gets any.

	TEXT
	table inbound 1
	cat <<-'TEXT'

		## When something breaks
		Engines need no process of ours: killing whatever runs of zt-segment changes nothing in the kernel. Corrupt boot files are in
		tests/e2e/boot.bats (falls back to the previous generation, then to the emergency policy). Rows "1 crash" are tests/e2e/crash.test: a
		denied user floods all the time, an allowed one keeps a TCP connection and sends datagrams, and what counts is what was received.

	TEXT
	table closed 0
	cat <<-'TEXT'

		## Proof by numbers

	TEXT
	table proof 1
	cat <<-'TEXT'

		Row 39 (hostile policy files) is held by tests/golden and tests/fuzz; row 41 by the property test above; row 42 is the swaps under flood.
		Not here: rows 31 (names) and 40 (no network interface to attack).
	TEXT
}

# differences COMMITTED FOUND: rows are told by their first three cells, cells by the heading of their column. "Not in this kernel" on either side is
# a difference of kernels, not of the code: such a cell is not compared, the others of its row are.
differences() {
	awk -F'|' '
		/^\|---/ { next }
		/^\| row / {
			with_to = $4 ~ /^ to $/
			for (i = 4 + with_to; i < NF; i++) heading[i] = $i
			key = "heading|" $0
		}
		/^\|/ {
			if ($2 != " row ") key = $2 "|" $3 "|" (with_to ? $4 : "")
			if (!(key in known)) { known[key] = 1; order[++n] = key }
			rows[FILENAME, key] = $0
			for (i = 4 + with_to; i < NF; i++) {
				if (!((key, heading[i]) in column)) { column[key, heading[i]] = 1; columns[key, ++cells[key]] = heading[i] }
				cell[FILENAME, key, heading[i]] = $i
			}
			next
		}
		{ text[FILENAME] = text[FILENAME] $0 "\n" }
		END {
			if (text[ARGV[1]] != text[ARGV[2]]) print "the text between the tables"
			for (i = 1; i <= n; i++) {
				key = order[i]
				x = rows[ARGV[1], key]
				y = rows[ARGV[2], key]
				differs = !x || !y ? x y !~ /not in this kernel/ : 0
				for (j = 1; x && y && j <= cells[key]; j++) {
					a = cell[ARGV[1], key, columns[key, j]]
					b = cell[ARGV[2], key, columns[key, j]]
					if (a != b && a b !~ /not in this kernel/) differs = 1
				}
				if (differs)
					print "committed: " (x ? x : "no such row") "\nfound: " (y ? y : "no such row")
			}
		}' "$1" "$2"
}

if [ "${1:-}" = differences ]; then
	differences "$2" "$3"
	exit
fi
raw=$(mktemp)
made=$(mktemp)
trap 'rm -f "$raw" "$made"' EXIT
collect >"$raw"
document >"$made"
if [ "${1:-}" != check ]; then
	cp "$made" "$top/docs/coverage.md"
	exit
fi

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
