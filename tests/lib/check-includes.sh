#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The rooms of src/ may include only downwards: cli, daemon > learn > apply, event > engine > ruleset > policy > identity > base.
# Rooms of one floor do not see each other, and an engine does not see the language. Fails with each edge that is wrong.
set -eu
cd "${1:-.}"
# shellcheck disable=SC2016 # awk, not shell
find src -name '*.[ch]' | sort | xargs awk '
BEGIN {
	n = split("base identity policy ruleset engine apply event learn cli daemon", names, " ")
	split("0 1 2 3 4 5 5 6 7 7", floors, " ")
	for (i = 1; i <= n; i++)
		floor[names[i]] = floors[i]
}
FNR == 1 {
	split(FILENAME, path, "/")
	room = path[2]
	if (!(room in floor)) {
		printf "%s: room %s is not in the house (tests/lib/check-includes.sh)\n", FILENAME, room
		bad = 1
	}
}
/^[ \t]*#[ \t]*include[ \t]*["<]/ {
	split($0, part, /["<>]/)
	if (part[2] ~ /^\.\.?\//) {
		printf "%s:%d: include \"%s\" by its path from src/\n", FILENAME, FNR, part[2]
		bad = 1
	}
	if (split(part[2], target, "/") < 2 || !(target[1] in floor) || target[1] == room)
		next
	if (floor[target[1]] >= floor[room] || (room == "engine" && target[1] == "policy")) {
		printf "%s:%d: %s may not include \"%s\"\n", FILENAME, FNR, room, part[2]
		bad = 1
	}
}
END { exit bad }' >&2
