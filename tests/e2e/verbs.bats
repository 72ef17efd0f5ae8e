#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Every verb that reads or asks, against real rules of the kernel in a network namespace: tables, JSON, exit codes, remedies.

bats_require_minimum_version 1.5.0
load ../lib/verbs.bash

setup_file() {
	make_bed ztverbs
}

teardown_file() {
	remove_bed
}

teardown() {
	zt flush -q || :
}

@test "check loads for real, names every error with its line, and warns with both lines" {
	shop
	run zt check "$POLICY"
	[ "$status" = 0 ]
	[[ $output == *"OK, 4 rules, 2 tests"*"Loaded by nft in a scratch network namespace"* ]]
	is_json '.ok and .loaded and .rules == 4' check "$POLICY"
	nsenter --net="/run/netns/$NS" nft list tables | grep -c . | grep -qx 0
	sed 's/port: 6379/potr: 6379/; s/action: deny/action: dney/' "$POLICY" >"$BATS_TEST_TMPDIR/bad.yaml"
	run zt check "$BATS_TEST_TMPDIR/bad.yaml"
	[ "$status" = 65 ]
	[[ $output == *'bad.yaml:4:'*'unknown key "potr"'*'did you mean "port"'*'bad.yaml:5:'*'dney'* ]]
	is_json '.ok == false and (.findings | length) >= 2 and .findings[0].line == 4' check "$BATS_TEST_TMPDIR/bad.yaml"
	[ "$code" = 65 ]
	policy shadow <<-YAML
		version: "1.0"
		rules:
		  - {name: wide, from: {uid: $WEB}, to: {host: any}, action: deny}
		  - {name: narrow, from: {uid: $WEB}, to: {host: 10.0.0.1, port: 80}, action: allow}
	YAML
	run zt check "$POLICY"
	[ "$status" = 0 ]
	[[ $output == *'shadow.yaml:4:'*'"narrow" is unreachable: rule "wide" (line 3)'*'ZT2011'* ]]
}

@test "a policy of another user, or one that others may write, is refused with the remedy" {
	shop
	chown "$WEB" "$POLICY"
	run zt check "$POLICY"
	[ "$status" = 65 ]
	[[ $output == *'ZT1003'*'hint: '*"chown root"* ]]
	chown 0 "$POLICY"
	chmod 666 "$POLICY"
	run zt check "$POLICY"
	[ "$status" = 65 ]
	[[ $output == *'ZT1003'*'hint: '*chmod* ]]
	run zt check - <"$POLICY"
	[ "$status" = 0 ]
}

@test "without root what touches the kernel is exit 77, and what does not works" {
	shop
	dir=$(mktemp -d /tmp/ztverbs.XXXXXX) # those of bats are closed to others
	chmod 755 "$dir"
	cp "$PROGRAM" "$dir/program"
	for verb in status plan flush apply drift confirm refresh; do
		run setpriv --reuid="$WEB" --regid="$WEB" --clear-groups -- "$dir/program" "$verb"
		echo "$verb: $status $output"
		[ "$status" = 77 ]
		case $verb in
		status | drift) [[ $output == *ZT4650*"run it as root, or start zt-segmentd"* ]] ;;
		*) [[ $output == *ZT5003*sudo* ]] ;;
		esac
	done
	cp "$POLICY" "$dir/mine.yaml"
	chown "$WEB" "$dir/mine.yaml"
	chmod 644 "$dir/mine.yaml"
	for verb in check test fmt render; do
		run setpriv --reuid="$WEB" --regid="$WEB" --clear-groups -- "$dir/program" "$verb" "$dir/mine.yaml"
		echo "$verb: $status $output"
		[ "$status" = 0 ]
	done
	rm -rf "$dir"
}

@test "the forms of the reference: --config, --status, --flush" {
	shop
	run zt --config "$POLICY"
	[ "$status" = 0 ]
	[[ $output == *"Rule 'web-to-redis': UID $WEB -> localhost:6379/tcp"*"Micro-segmentation ACTIVE"* ]]
	run zt --status
	[ "$status" = 0 ]
	[[ $output == *"ZT-SEGMENT STATUS"*"| web-to-redis"* ]]
	run zt --flush
	[ "$status" = 0 ]
	run zt --status
	[ "$status" = 3 ]
}

@test "status is the reference's table, counts packets, shows drift, gaps and foreign tables, and fits 80 columns" {
	shop
	run zt status
	[ "$status" = 3 ]
	[[ $output == *"not active"* ]]
	is_json '.active == false' status
	[ "$code" = 3 ]
	zt apply -q "$POLICY"
	denied "$WEB" 127.0.0.1 6379
	denied "$INTRUDER" 127.0.0.1 6379
	nsenter --net="/run/netns/$NS" nft add table inet someone_else
	run zt status
	[ "$status" = 0 ]
	fits
	for line in '| Policy: DEFAULT DENY ' '| Active Rules: 9 ' '| Last Updated: 20' '| Engine: nftables ' '| Drift: none ' \
		'| #  | Rule Name ' '| default-deny ' 'inet someone_else' 'Not covered here:'; do
		grep -qF -- "$line" <<<"$output"
	done
	grep -qE '^\| [0-9]+ +\| web-to-redis +\| .*\| 1 +\|$' <<<"$output"
	grep -qE '^\| [0-9]+ +\| default-deny +\| .*\| 1 +\|$' <<<"$output"
	is_json '.active and .generation >= 1 and .drift == "none" and (.rules[] | select(.name == "web-to-redis") | .packets) == 1
		and .counters.default_policy.egress.packets == 1 and .foreign_tables[0].name == "someone_else"
		and (.not_covered | length) > 0' status
	nsenter --net="/run/netns/$NS" nft delete table inet someone_else
	read -r _ family table _ < <(nsenter --net="/run/netns/$NS" nft list tables | grep -m1 inet)
	nsenter --net="/run/netns/$NS" nft flush table "$family" "$table"
	run zt status
	[[ $output == *[Dd]rift* ]]
	run zt drift
	[ "$status" = 1 ]
}

@test "status --watch refreshes until it is stopped" {
	shop
	zt apply -q "$POLICY"
	"$PROGRAM" --netns "$NS" --state-dir "$STATE" status --watch >"$BATS_TEST_TMPDIR/watch" 3>&- &
	pid=$!
	wait_for 20 bash -c "[ \$(grep -c 'ZT-SEGMENT STATUS' '$BATS_TEST_TMPDIR/watch') -ge 2 ]"
	kill "$pid"
	run ! grep -q $'\033' "$BATS_TEST_TMPDIR/watch"
}

@test "plan tells what would change, by exit code too, and changes nothing" {
	shop
	run zt plan "$POLICY"
	[ "$status" = 1 ]
	is_json '.active == false and .differs' plan "$POLICY"
	[ "$code" = 1 ]
	zt apply -q "$POLICY"
	before=$(nsenter --net="/run/netns/$NS" nft -a list ruleset | sed 's/packets [0-9]* bytes [0-9]*//')
	run zt plan "$POLICY"
	[ "$status" = 0 ]
	sed 's/port: 443/port: 8443/; /name: dns/d' "$POLICY" >"$BATS_TEST_TMPDIR/new.yaml"
	run zt plan "$BATS_TEST_TMPDIR/new.yaml"
	[ "$status" = 1 ]
	fits
	[[ $output == *dns*8443* ]]
	is_json '.differs and ([.changes[].change] | sort) == ["changed", "removed"]' plan "$BATS_TEST_TMPDIR/new.yaml"
	[ "$before" = "$(nsenter --net="/run/netns/$NS" nft -a list ruleset | sed 's/packets [0-9]* bytes [0-9]*//')" ]
	run zt plan "$BATS_TEST_TMPDIR/missing.yaml"
	[ "$status" != 0 ]
	[[ $output == *missing.yaml* ]]
}

@test "test runs the policy's tests, and --mutate finds what none of them notices" {
	shop
	run zt test "$POLICY"
	[ "$status" = 0 ]
	[[ $output == *"2 passed, 0 failed"* ]]
	run zt test --mutate "$POLICY"
	[[ $output == *"no test notices"*dns* ]]
	is_json '.passed == 2 and (.mutations_unnoticed | length) > 0' test --mutate "$POLICY"
	sed 's/expect: deny/expect: allow/' "$POLICY" >"$BATS_TEST_TMPDIR/wrong.yaml"
	run zt test "$BATS_TEST_TMPDIR/wrong.yaml"
	[ "$status" = 1 ]
	[[ $output == *"FAIL"*"others do not"* ]]
}

@test "why answers from the kernel, with file and line, and its edit, applied, is what the kernel then does" {
	shop
	run zt why --user "$INTRUDER" --to 127.0.0.1:6379
	[ "$status" = 3 ]
	[[ $output == *ZT5016*--policy* ]]
	zt apply -q "$POLICY"
	run zt why --user "$WEB" --to 127.0.0.1:6379/tcp
	[ "$status" = 0 ]
	[[ $output == *"ALLOWED by rule 'web-to-redis'"*"shop.yaml:4"* ]]
	run zt why --user "$INTRUDER" --to 127.0.0.1:6379/tcp
	[ "$status" = 0 ]
	[[ $output == *"DENIED by the default policy"*"shop.yaml:4"*"user is not UID $WEB"*"It opens:"*"uid $INTRUDER -> 127.0.0.1:6379/tcp"* ]]
	fits
	is_json ".allowed == false and .edits[0].kind == \"add\" and .edits[1].kind == \"widen\" and .edits[1].rule.line == 4
		and .edits[1].opens == [\"uid $INTRUDER -> localhost:6379/tcp\"]" why --user "$INTRUDER" --to 127.0.0.1:6379/tcp
	nsenter --net="/run/netns/$NS" timeout 60 nc -lk 127.0.0.1 6379 >/dev/null 2>&1 3>&- &
	wait_for 10 try "$WEB" 127.0.0.1 6379
	denied "$INTRUDER" 127.0.0.1 6379
	{
		sed '/^tests:/,$d' "$POLICY"
		jq -r '.edits[0].yaml' "$BATS_TEST_TMPDIR/json"
	} >"$BATS_TEST_TMPDIR/edited.yaml"
	zt apply -q "$BATS_TEST_TMPDIR/edited.yaml"
	try "$INTRUDER" 127.0.0.1 6379
	denied "$INTRUDER" 127.0.0.2 6379
	denied $((INTRUDER + 1)) 127.0.0.1 6379
	kill %1
}

@test "apply --verbose says why it takes this engine" {
	shop
	run -0 zt apply -v "$POLICY"
	[[ $output == *"Using the nft engine: it is the first choice"* ]]
	run -0 zt apply -v "$POLICY"
	[[ $output == *"Using the nft engine: it enforces here already"* ]]
	run -0 zt apply "$POLICY"
	[[ $output != *"Using the"* ]]
}

@test "why offers edits also where loopback is only observed" {
	printf 'version: "1.0"\nsettings: {loopback: observe}\nrules:\n  - {name: web, from: {uid: %s}, to: {host: 127.0.0.1, port: 6379, protocol: tcp}, action: allow}\n' "$WEB" \
		>"$BATS_TEST_TMPDIR/lo.yaml"
	is_json '.allowed and .decision.verdict == "observe" and .edits[0].kind == "add" and (.edits[0].opens | length) == 1 and .edits[1].kind == "widen"' \
		why --user "$INTRUDER" --to 127.0.0.1:6379/tcp --policy "$BATS_TEST_TMPDIR/lo.yaml"
}

@test "why puts the edit in front of the rule that denies, with its priority, also from the kernel" {
	shop
	zt apply -q "$POLICY"
	is_json '.edits[0].before.name == "db-isolated" and (.edits[0].yaml | contains("priority: 50"))' why --user "$DB" --to 127.0.0.1:6379
	{
		sed '/db-isolated/,$d' "$POLICY"
		jq -r '.edits[0].yaml' "$BATS_TEST_TMPDIR/json"
		sed -n '/db-isolated/,/https-in/p' "$POLICY"
	} >"$BATS_TEST_TMPDIR/edited.yaml"
	zt apply -q "$BATS_TEST_TMPDIR/edited.yaml"
	is_json '.allowed' why --user "$DB" --to 127.0.0.1:6379
	is_json '.allowed == false' why --user "$DB" --to 127.0.0.1:6380
}

@test "why inbound, by service, at a time, and what is not a question" {
	shop
	zt apply -q "$POLICY"
	is_json '.allowed and .decision.rule.name == "https-in"' why --from 192.0.2.1 --to :443/tcp
	is_json '.allowed == false and .edits[0].opens == ["198.51.100.1 -> :443/tcp"]' why --from 198.51.100.1 --to :443/tcp
	is_json '.allowed == false and (.edits[0].yaml | contains("service: x.service"))' why --service x.service --to 192.0.2.1:80
	is_json '.allowed' why --group 7 --to 192.0.2.1:53/udp
	run zt why --user "$WEB" --to 127.0.0.1:80 --at yesterday
	[ "$status" = 2 ]
	[[ $output == *ZT5013*hint* ]]
	run zt why --to 127.0.0.1:80
	[ "$status" = 2 ]
	[[ $output == *ZT5011*--user* ]]
	run zt why --user no-such-user-here --to 127.0.0.1:80
	[ "$status" = 2 ]
	run zt why --user "$WEB" --to nonsense
	[ "$status" = 2 ]
	[[ $output == *ZT5010*hint* ]]
}

@test "flush removes ours and only ours, and says so" {
	shop
	zt apply -q "$POLICY"
	nsenter --net="/run/netns/$NS" nft add table inet someone_else
	is_json '. != null' flush
	[ "$code" = 0 ]
	tables=$(nsenter --net="/run/netns/$NS" nft list tables)
	[ "$tables" = "table inet someone_else" ]
	nsenter --net="/run/netns/$NS" nft delete table inet someone_else
	run zt flush
	[ "$status" = 0 ]
	run zt drift
	[ "$status" = 3 ]
}

@test "fmt is stable, render loads elsewhere, schema is a schema" {
	shop
	zt fmt "$POLICY" >"$BATS_TEST_TMPDIR/once.yaml"
	zt fmt "$BATS_TEST_TMPDIR/once.yaml" | cmp - "$BATS_TEST_TMPDIR/once.yaml"
	run zt fmt --check "$POLICY"
	[ "$status" = 1 ]
	zt fmt --check "$BATS_TEST_TMPDIR/once.yaml"
	zt render "$POLICY" >"$BATS_TEST_TMPDIR/rules.nft"
	unshare -n nft -f "$BATS_TEST_TMPDIR/rules.nft"
	zt --engine iptables render "$POLICY" | grep -q -- '--uid-owner'
	zt schema | jq -en 'input | ."$schema" | contains("2020-12")' >/dev/null
}

@test "explain knows every code that is listed, and no other" {
	zt explain >"$BATS_TEST_TMPDIR/codes"
	codes=$(grep -oE '^ *ZT[0-9]{4}' "$BATS_TEST_TMPDIR/codes")
	[ "$(wc -w <<<"$codes")" -gt 80 ]
	for code in $codes; do
		zt explain "$code" | grep -q "$code"
	done
	run zt explain ZT9999
	[ "$status" = 1 ]
	[[ $output == *ZT5019* ]]
}

@test "version" {
	[[ $(zt version) =~ ^zt-segment\ [0-9] ]]
	is_json '[.engines[].name] | contains(["nft", "iptables"])' version
}

@test "wrong usage is exit 2, with the nearest word" {
	run zt staus
	[ "$status" = 2 ]
	[[ $output == *'did you mean'*status* ]]
	run zt status --wach
	[ "$status" = 2 ]
	[[ $output == *'did you mean'*--watch* ]]
	run zt apply a b
	[ "$status" = 2 ]
	run "$PROGRAM" --netns no-such-namespace status
	[ "$status" = 1 ]
	[[ $output == *ZT5004*"ip netns list"* ]]
	run zt --engine nothing status
	[ "$status" = 2 ]
	[[ $output == *ZT5005* ]]
}

@test "rules about Unix sockets: offline anywhere, refused where nobody sees them, left out where the policy says so" {
	policy unix <<-YAML
		version: "1.0"
		rules:
		  - {name: web-to-redis, from: {uid: $WEB}, to: {unix: /run/redis/redis.sock, uid: $DB}, action: allow}
		  - {name: all-of-db, from: {uid: $WEB}, to: {unix: any, uid: $DB}, action: allow}
		  - {name: dns, from: {user: "*"}, to: {port: 53, protocol: both}, action: allow}
		tests:
		  - {name: web, from: {uid: $WEB}, to: {unix: /run/redis/redis.sock, uid: $DB}, expect: allow}
		  - {name: a false redis, from: {uid: $WEB}, to: {unix: /run/redis/redis.sock, uid: $INTRUDER}, expect: deny}
		  - {name: others, from: {uid: $INTRUDER}, to: {unix: /run/else, uid: $DB}, expect: deny}
		  - {name: nobody's business, from: {uid: $INTRUDER}, to: {unix: /run/else, uid: $INTRUDER}, expect: allow}
	YAML
	run zt test "$POLICY"
	[ "$status" = 0 ]
	[[ $output == *"4 passed, 0 failed"*"1 of 3"* ]]
	[[ $output == *"decided no test: dns"* && $output != *"decided no test: unix-"* ]]
	run zt who $$ --policy "$POLICY"
	[[ $output == *"is not "*"uid $WEB:"* ]]
	is_json '.allowed == false and .decision.rule.name == "unix-others" and .flow.unix == "/run/redis/redis.sock"' \
		why --policy "$POLICY" --user "$INTRUDER" --to unix:/run/redis/redis.sock
	for engine in nft iptables; do
		run zt -e "$engine" apply "$POLICY"
		[ "$status" = 65 ]
		[[ $output == *'unix.yaml:3:'*"the $engine engine does not see Unix sockets [ZT4920]"*"where-possible"* ]]
	done
	run zt status
	[ "$status" = 3 ]
	sed -i 's/^rules:/settings: {unix: where-possible}\nrules:/' "$POLICY"
	run zt -e nft apply "$POLICY"
	[ "$status" = 0 ]
	[[ $output == *"[ZT2120]"* ]]
	is_json '[.rules[].name] == ["dns"]' status
	run zt plan "$POLICY"
	[ "$status" = 0 ]
	run zt prove "$POLICY"
	[ "$status" = 0 ]
}

@test "check by an ordinary user works, and says what it could not look at" {
	local at user=(setpriv --reuid="$INTRUDER" --regid="$INTRUDER" --clear-groups --inh-caps=-all)
	at=$(mktemp -d)
	mkdir -m 700 "$at/locked"
	chmod 755 "$at"
	cp "$PROGRAM" "$at/zt-segment"
	cp /bin/true "$at/locked/"
	cat >"$at/policy.yaml" <<-YAML
		version: "1.0"
		settings: {unix: where-possible}
		rules:
		  - {name: pair, from: {uid: $WEB, exe: /bin/sh}, to: {uid: $DB, host: localhost, port: 6379}, action: allow}
		  - {name: unit, from: {service: zt-none}, to: {host: any, port: [53, 67, 123], protocol: both}, action: allow}
		  - {name: box, from: {container: zt-none}, to: {host: any, port: 443}, action: allow}
		  - {name: socket, from: {uid: $WEB}, to: {unix: /run/redis/redis.sock, uid: $DB}, action: allow}
		  - {name: hidden, from: {exe: $at/locked/true}, to: {host: any, port: 80}, action: allow}
	YAML
	chmod 644 "$at/policy.yaml"
	run "${user[@]}" "$at/zt-segment" check --engine bpf "$at/policy.yaml"
	echo "$output"
	[ "$status" = 0 ]
	[[ $output == *"OK"*", 5 rules"*"Not loaded"* && $output == *"zt-none.service"* ]]
	[[ $output == *"Unix sockets"*"was not looked at: only root"*"[ZT4921]"* && $output != *ZT2120* ]]
	[[ $output == *"may not look at the program \"$at/locked/true\" [ZT2135]"* && $output == *"you may not read its name"* ]]
	run zt check --engine bpf "$at/policy.yaml"
	[ "$status" = 0 ]
	[[ $output != *ZT2135* && $output != *ZT4921* ]]
	rm -r "$at"
}

@test "why finds who receives on a Unix socket" {
	local at
	at=$(mktemp -d)
	chmod 777 "$at"
	policy receiver <<-YAML
		version: "1.0"
		rules:
		  - {name: web-to-db, from: {uid: $WEB}, to: {unix: [$at/s, "@$NS"], uid: $DB}, action: allow}
	YAML
	as "$DB" /usr/bin/python3 -c '
import os, socket, sys, time
a = socket.socket(socket.AF_UNIX); a.bind(sys.argv[1]); a.listen()
b = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); b.bind("\0" + sys.argv[2])
open(sys.argv[1] + ".new", "w").write(str(os.getpid()))
os.rename(sys.argv[1] + ".new", sys.argv[1] + ".up")
time.sleep(600)'  "$at/s" "$NS" 3>&- &
	local pid=$!
	wait_for 20 test -e "$at/s.up"
	is_json '.allowed and .decision.rule.name == "web-to-db"' why --policy "$POLICY" --user "$WEB" --to "unix:$at/s"
	is_json '.allowed' why --policy "$POLICY" --user "$WEB" --to "unix:@$NS"
	is_json '.allowed == false and .edits[0].yaml' why --policy "$POLICY" --user "$INTRUDER" --to "unix:@$NS"
	kill "$(cat "$at/s.up")"
	wait $pid || :
	is_json '.allowed == false' why --policy "$POLICY" --user "$WEB" --to "unix:@$NS"
	rm -r "$at"
}
