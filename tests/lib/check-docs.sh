#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Documents say what is true: links resolve, ./dev commands and zt-segment verbs exist, generated pages can be made.
# shellcheck disable=SC2013 # words are meant
set -eu
cd "${1:-.}"
program=${ZT_SEGMENT:-build/zt-segment}
status=0

complain() {
	echo "$*" >&2
	status=1
}

verbs=$("$program" completion bash | grep -oE '[a-z]+' | sort -u)
for file in README.md CONTRIBUTING.md docs/*.md; do
	for link in $(grep -oE '\]\([^)#]+' "$file" | cut -c3-); do
		case $link in
		http*:*) continue ;;
		esac
		[ -e "$(dirname "$file")/$link" ] || complain "$file: broken link $link"
	done
	for word in $(grep -oE '\./dev [a-z]+' "$file" | cut -d' ' -f2 | sort -u); do
		grep -qE "^(.*\| )?$word( \|.*)?\)\$" dev || complain "$file: there is no ./dev $word"
	done
	for verb in $(grep -oE '(`|sudo )zt-segment [a-z]+' "$file" | sed 's/.* //' | sort -u); do
		echo "$verbs" | grep -qx "$verb" || complain "$file: there is no zt-segment $verb"
	done
done
"$program" completion man | scdoc >/dev/null || complain "the manual page of the program is broken"
"$program" completion man-yaml | scdoc >/dev/null || complain "the manual page of the language is broken"
daemon=${ZT_SEGMENTD:-$(dirname "$program")/zt-segmentd}
"$daemon" --man | scdoc >/dev/null || complain "the manual page of the daemon is broken"
exit $status
