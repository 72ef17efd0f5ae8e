#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# How docs/coverage.md is held to what a run found: cell by cell, but for what one of two kernels has not.

setup() {
	TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	DOC=$TOP/docs/coverage.md
	FOUND=$BATS_TEST_TMPDIR/found.md
}

# with SED: what is told where the run found the document so changed
with() {
	sed "$1" "$DOC" >"$FOUND"
	! cmp -s "$DOC" "$FOUND"
	"$TOP/tests/lib/coverage.sh" differences "$DOC" "$FOUND"
}

@test "the same is no difference" {
	[ -z "$("$TOP/tests/lib/coverage.sh" differences "$DOC" "$DOC")" ]
}

@test "a cell that changed is told, also beside one that this kernel has not" {
	with '/^| 1 | icmp echo | 10/s/| blocked |/| LEAKS |/' | grep -q '^found: | 1 | icmp echo | 10.99.0.2 | LEAKS |'
	grep -q '^| 2 | AF_XDP, zero copy | .*not in this kernel' "$DOC"
	with '/^| 2 | AF_XDP, zero copy/s/| blocked |/| LEAKS |/' | grep -q '^found: .*LEAKS'
	with '/^| 15 | the program that may/s/| passes |/| WRONG |/' | grep -q '^found: .*WRONG'
}

@test "what one kernel has and the other has not is none" {
	[ -z "$(with '/^| 2 | AF_XDP, zero copy/s/not in this kernel/blocked/')" ]
	[ -z "$(with '/^| 1 | icmp echo | 10/s/blocked/not in this kernel/')" ]
}

@test "rows and columns that are missing are told, and other text" {
	with '/^| 1 | icmp echo | 10/d' | grep -q '^found: no such row'
	with '0,/^| row /s/| nft | bpf |/| bpf | nft |/' | grep -q '^found: '
	with 's/^What was tried/What is tried/' | grep -q 'the text between'
}
