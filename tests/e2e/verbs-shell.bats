#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# What is generated from the table of verbs: help, completions in the shells themselves, manual pages; and the terminal: colours,
# width, NO_COLOR.

bats_require_minimum_version 1.5.0
load ../lib/verbs.bash

setup_file() {
	make_bed ztshell
	mkdir "$BATS_FILE_TMPDIR/bin"
	ln -s "$PROGRAM" "$BATS_FILE_TMPDIR/bin/zt-segment"
	export PATH=$BATS_FILE_TMPDIR/bin:$PATH
	for shell in bash zsh fish; do
		zt-segment completion "$shell" >"$BATS_FILE_TMPDIR/completion.$shell"
	done
	VERBS=$(sed -n "s/.* verbs='\([^']*\)'.*/\1/p" "$BATS_FILE_TMPDIR/completion.bash")
	export VERBS
}

teardown_file() {
	remove_bed
}

@test "every verb has help that names its options, exit codes and an example, in 80 columns" {
	[ "$(wc -w <<<"$VERBS")" -ge 20 ]
	run zt-segment --help
	[ "$status" = 0 ]
	fits
	short=$output
	for verb in $VERBS; do
		run zt-segment "$verb" --help
		[ "$status" = 0 ]
		fits
		[[ $output == "zt-segment $verb: "*"Usage: zt-segment $verb"*"xample"* ]]
		[ "$output" = "$(zt-segment help "$verb")" ]
		[ "$verb" = restore ] || [ "$verb" = version ] || grep -qE "^ +$verb\b" <<<"$short"
	done
	run zt-segment help nonsense
	[ "$status" = 2 ]
}

# in_bash WORDS...: what bash offers for the last word
in_bash() {
	# shellcheck disable=SC2016 # for the inner shell
	bash --norc -c '. /usr/share/bash-completion/bash_completion; . "$1"; shift
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
		spec=$(complete -p zt-segment); fn=${spec##* -F }; fn=${fn%% *}
		"$fn" zt-segment "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
		printf "%s\n" "${COMPREPLY[@]}"' bash "$BATS_FILE_TMPDIR/completion.bash" "$@"
}

@test "bash completes verbs, options, words, users, namespaces and files" {
	[ "$(in_bash zt-segment '' | tr '\n' ' ' | xargs)" = "$(xargs <<<"$VERBS")" ]
	[ "$(in_bash zt-segment statu)" = status ]
	in_bash zt-segment why --us | grep -qx -- --user
	in_bash zt-segment why --user roo | grep -qx root
	in_bash zt-segment status -o js | grep -qx json
	in_bash zt-segment --netns "${NS%?}" | grep -qx "$NS"
	in_bash zt-segment completion f | grep -qx fish
	in_bash zt-segment help dri | grep -qx drift
	cd "$TOP"
	in_bash zt-segment prove --against ip | grep -qx iptables
	in_bash zt-segment whatif new.yaml --against examples/web-sh | grep -qx examples/web-shop.yaml
	in_bash zt-segment check examples/web-sh | grep -qx examples/web-shop.yaml
	[ -z "$(in_bash zt-segment flush --wa)" ]
}

# in_fish LINE
in_fish() {
	HOME=$BATS_TEST_TMPDIR XDG_CONFIG_HOME=$BATS_TEST_TMPDIR fish --no-config -c "source $BATS_FILE_TMPDIR/completion.fish; complete -C '$1'" 2>&1 |
		cut -f1
}

@test "fish completes the same" {
	[ "$(in_fish 'zt-segment ' | sort | xargs)" = "$(tr ' ' '\n' <<<"$VERBS" | sort | xargs)" ]
	[ "$(in_fish 'zt-segment statu')" = status ]
	in_fish 'zt-segment why --us' | grep -qx -- --user
	in_fish 'zt-segment why --user roo' | grep -qx root
	in_fish 'zt-segment status -o js' | grep -qx json
	in_fish "zt-segment --netns ${NS%?}" | grep -qx "$NS"
	in_fish 'zt-segment completion f' | grep -qx fish
	in_fish 'zt-segment prove --against ip' | grep -qx iptables
	run ! grep -qx iptables <<<"$(in_fish 'zt-segment whatif --against ip')"
	run ! grep -q . <<<"$(in_fish 'zt-segment flush --wa')"
}

# in_zsh LINE: what the line becomes on a terminal after one TAB
in_zsh() {
	mkdir -p "$BATS_TEST_TMPDIR/fpath"
	cp "$BATS_FILE_TMPDIR/completion.zsh" "$BATS_TEST_TMPDIR/fpath/_zt-segment"
	# shellcheck disable=SC2016 # for the inner shell
	timeout 20 zsh -f -c 'zmodload zsh/zpty
		zpty z zsh -f -i
		zpty -w z "PROMPT=; unsetopt zle_bracketed_paste 2>/dev/null; fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D; print REA\"\"DY"
		zpty -r -m z out "*READY*" || exit 1
		zpty -w -n z "$2"$'"'\\t'"'
		for i in {1..60}; do
			sleep 0.05
			zpty -r -t z out && all+=$out
			[[ $all == *"$3"* ]] && exit 0
		done
		print -r -- "got: ${(V)all}"; exit 1' zsh "$BATS_TEST_TMPDIR/fpath" "$1" "$2"
}

@test "zsh completes on a terminal" {
	in_zsh 'zt-segment stat' 'us'
	in_zsh 'zt-segment why --us' 'er'
	in_zsh 'zt-segment status -o js' 'on'
	in_zsh 'zt-segment completion fi' 'sh'
	in_zsh 'zt-segment prove --against ip' 'tables'
	in_zsh "zt-segment --netns ${NS%?}" "${NS: -1}"
}

@test "manual pages have every verb, option and key, and no warnings" {
	command -v scdoc >/dev/null || skip "no scdoc here"
	for page in man:zt-segment.8 man-yaml:zt-segment.yaml.5; do
		file=$BATS_TEST_TMPDIR/${page#*:}
		zt-segment completion "${page%:*}" | scdoc >"$file"
		warnings=$(LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$file" 2>&1 >/dev/null)
		echo "$warnings"
		[ -z "$warnings" ]
		LC_ALL=C.UTF-8 MANWIDTH=80 man -l "$file" | col -b >"$file.txt"
		[ -s "$file.txt" ]
	done
	for verb in $VERBS; do
		grep -qE "^ +$verb( |$)" "$BATS_TEST_TMPDIR/zt-segment.8.txt"
		for option in $(zt-segment "$verb" --help | grep -oE -- '--[a-z-]+' | sort -u); do
			grep -qF -- "$option" "$BATS_TEST_TMPDIR/zt-segment.8.txt"
		done
	done
	for key in default_policy log_limit preserve_ssh schedule expires priority include identities; do
		grep -q "$key" "$BATS_TEST_TMPDIR/zt-segment.yaml.5.txt"
	done
}

@test "help, manual page and the completions of all shells agree on options and exit codes of every verb" {
	zt-segment completion man >"$BATS_FILE_TMPDIR/completion.man"
	# shellcheck disable=SC2086 # words
	/usr/bin/python3 - "$BATS_FILE_TMPDIR" $VERBS <<-'PY'
		import re, subprocess, sys
		folder, verbs = sys.argv[1], sys.argv[2:]
		text = {kind: open(f"{folder}/completion.{kind}").read() for kind in ("man", "bash", "zsh", "fish")}
		text["man"] = re.sub(r"\\([-_*#|~])", r"\1", text["man"])
		def helped(*words):
		    return subprocess.run(["zt-segment", *words, "--help"], capture_output=True, text=True, check=True).stdout
		def part(s, begin, end):
		    m = re.search(begin + "(.*?)" + end, s, re.S | re.M)
		    return m.group(1) if m else ""
		def options(s):
		    return set(re.findall(r"^ +(?:-., )?(--[a-z-]+)", s, re.M))
		def agree(verb, what, have, want):
		    assert have == want, f"{verb}: {what} has not {sorted(want - have)}, has {sorted(have - want)}"
		common = options(part(helped(), "^Options of every command:", r"^$\n"))
		assert len(common) >= 10, common
		statuses = set(re.findall(r"^\*(\d+)\*$", part(text["man"], "^# EXIT STATUS", "^# "), re.M))
		for verb in verbs:
		    page = helped(verb)
		    own = options(part(page, "^Options:", r"^$\n"))
		    exits = set(re.findall(r"^ +(\d+) ", part(page, "^Exit codes:", r"^$\n"), re.M))
		    assert "0" in exits and "2" in exits, (verb, exits)
		    agree(verb, "the list of exit statuses", statuses | exits, statuses)
		    man = re.search(rf"^\*{verb}\*.*?(?=^\*[a-z]|^#)", text["man"], re.S | re.M).group(0)
		    agree(verb, "the manual page", set(re.findall(r"^\t(?:\*-.\*, )?\*(--[a-z-]+)\*", man, re.M)), own)
		    agree(verb, "the manual page", set(re.findall(r"[:;] (\d+) ", part(man, "^\tExit codes", r"$"))), exits)
		    bash = re.search(rf'^\t{verb}\)\n.*?compgen -W "([^"]*)"', text["bash"], re.M).group(1)
		    agree(verb, "bash", set(bash.split()), common | own)
		    zsh = part(text["zsh"], rf"^\t{verb}\) _arguments", "&& return")
		    agree(verb, "zsh", set(re.findall(r"^\t\t'[^\[]*?(--[a-z-]+)[}'\[]", zsh, re.M)), own)
		    agree(verb, "fish", set("--" + o for o in re.findall(rf"__fish_seen_subcommand_from {verb}' -l ([a-z-]+)", text["fish"])), own)
	PY
}

@test "who may use a verb without being root is told in its help and in the manual page" {
	for verb in $VERBS; do
		line=$(zt-segment "$verb" --help | grep -E '^ +77 ' || :)
		case $verb in
		status | events | why | drift | blocked | report | stats) [[ $line == *"the group zt-segment through zt-segmentd"* ]] ;;
		*) [[ $line != *"group zt-segment"* ]] ;;
		esac
	done
	zt-segment completion man | grep -q 'zt-segment may use status, events, why, drift, blocked, report and stats'
}

# on_terminal COMMAND: its output on a terminal of 80 columns
on_terminal() {
	script -qec "stty cols 80 rows 24; $1" /dev/null </dev/null | tr -d '\r'
}

@test "colours are for terminals, and not with NO_COLOR or TERM=dumb" {
	shop
	zt apply -q "$POLICY"
	command="$PROGRAM --netns $NS --state-dir $STATE"
	for verb in status "why --user $INTRUDER --to 127.0.0.1:6379" "check $POLICY" "why --user $WEB --to 127.0.0.1:6379"; do
		on_terminal "TERM=xterm $command $verb" | grep -q $'\033\\['
		run ! grep -q $'\033' <<<"$(on_terminal "TERM=xterm NO_COLOR=1 $command $verb")"
		run ! grep -q $'\033' <<<"$(on_terminal "TERM=dumb $command $verb")"
		# shellcheck disable=SC2086 # words
		run ! grep -q $'\033' <<<"$($command $verb)"
		[[ $verb == check* ]] || [ "$(on_terminal "TERM=xterm $command $verb" | sed 's/\x1b\[[0-9;]*m//g' | grep -cE '^.{81}')" = 0 ]
	done
	run ! grep -q $'\033' <<<"$(on_terminal "TERM=xterm $command status -o json")"
	zt flush -q
}

@test "a closed pipe or a full disk is an error, not silence" {
	mkdir -m 700 "$BATS_TEST_TMPDIR/wide" "$BATS_TEST_TMPDIR/wide/journal"
	for i in {1..99}; do
		echo "{\"time\":\"$(date -u +%FT%TZ)\",\"kind\":\"connect\",\"pid\":7,\"uid\":$i,\"direction\":\"egress\",\"protocol\":\"tcp\",\"src\":\"127.0.0.1\",\"dst\":\"127.0.0.1\",\"dport\":80}"
	done | "$TOP/build/tests/lib/fill-journal" "$BATS_TEST_TMPDIR/wide/journal/events.db"
	run -1 bash -c "'$PROGRAM' stats -v --state-dir '$BATS_TEST_TMPDIR/wide' >/dev/full"
	[ "$output" = "zt-segment: error: the output could not be written, or not all of it [ZT5000]" ] || { echo "$output"; false; }
	run bash -c "'$PROGRAM' explain >/dev/full"
	[ "$status" != 0 ]
	[[ $output == *ZT5000* || $output == *space* ]]
	mkdir -p "$BATS_TEST_TMPDIR/full/journal"
	echo "{\"time\":\"$(date -u +%FT%TZ)\",\"kind\":\"exec\",\"pid\":7,\"uid\":1}" | "$TOP/build/tests/lib/fill-journal" "$BATS_TEST_TMPDIR/full/journal/events.db"
	for words in events "journal export" "journal flows"; do
		run -1 bash -c "'$PROGRAM' $words --state-dir '$BATS_TEST_TMPDIR/full' >/dev/full"
		[[ $output == *ZT5000* && $output != *descriptor* ]] || { echo "$words: $output"; false; }
	done
}

@test "who is not root is told once what is root's, and who else may ask what" {
	mkdir -p "$BATS_TEST_TMPDIR/state/journal"
	echo "{\"time\":\"$(date -u +%FT%TZ)\",\"kind\":\"exec\",\"pid\":7,\"uid\":1}" | "$TOP/build/tests/lib/fill-journal" "$BATS_TEST_TMPDIR/state/journal/events.db"
	chmod 700 "$BATS_TEST_TMPDIR/state"
	for words in journal "journal check" "journal export" learn unused; do
		# shellcheck disable=SC2086 # words
		run -77 setpriv --reuid=65534 --clear-groups "$PROGRAM" $words --state-dir "$BATS_TEST_TMPDIR/state"
		[[ $output == *"reads the whole journal, which only root may"*ZT5003*"members of the group zt-segment"* && $(grep -c error: <<<"$output") = 1 ]] || { echo "$words: $output"; false; }
	done
	[ ! -r /dev/kmsg ] || for verb in blocked report; do
		run -77 setpriv --reuid=65534 --clear-groups "$PROGRAM" $verb --source kmsg --state-dir "$BATS_TEST_TMPDIR/state"
		[[ $output == *ZT4503*"as a member of the group zt-segment while zt-segmentd runs"* ]]
	done
	"$PROGRAM" explain ZT4503 | tr -s ' \n' ' ' | grep -q 'members of the group zt-segment may ask it'
}
