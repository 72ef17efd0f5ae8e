#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Hard caps: a function has at most 100 lines, a file fewer than 800. Tables are not functions.
set -eu
cd "${1:-.}"
# shellcheck disable=SC2016 # awk, not shell
find src tests -name '*.[ch]' | sort | xargs awk '
function file_end() {
	if (last_file != "" && last_line >= 800) {
		printf "%s: %d lines, the cap is 799\n", last_file, last_line
		bad = 1
	}
}
FNR == 1 { file_end(); start = 0 }
/^\{/ { start = FNR; name = previous }
/^\}/ && start {
	if (FNR - start - 1 > 100) {
		printf "%s:%d: function of %d lines, the cap is 100: %s\n", FILENAME, start, FNR - start - 1, name
		bad = 1
	}
	start = 0
}
{ previous = $0; last_file = FILENAME; last_line = FNR }
END { file_end(); exit bad }' >&2
