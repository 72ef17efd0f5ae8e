#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# run: alone
# Who was blocked: connections of real users that the kernel really denies, told by the netlink log, the kernel's log and a real
# systemd journal; and names that an attacker chooses (row 37 of the adversarial suite), which must break no line, terminal or parser.

bats_require_minimum_version 1.5.0
load ../lib/verbs.bash

setup_file() {
	make_bed ztevents
	ALL_NETNS=$(cat /proc/sys/net/netfilter/nf_log_all_netns)
	export ALL_NETNS
	echo 1 >/proc/sys/net/netfilter/nf_log_all_netns # of all that log, so that nobody else may meanwhile
	cat >"$BATS_FILE_TMPDIR/client.py" <<-'PY'
		# client.py COMM SECONDS HOST:PORT...: a process of this name (a Python bytes literal) connects, then stays so long.
		import ast, socket, sys, time
		with open("/proc/self/comm", "wb") as f:
		    f.write(ast.literal_eval(sys.argv[1]))
		for target in sys.argv[3:]:
		    host, port = target.rsplit(":", 1)
		    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
		    s.settimeout(1)
		    try:
		        s.connect((host, int(port)))
		    except OSError:
		        pass
		time.sleep(float(sys.argv[2]))
	PY
	chmod 644 "$BATS_FILE_TMPDIR/client.py"
}

teardown_file() {
	[ -z "${ALL_NETNS:-}" ] || echo "$ALL_NETNS" >/proc/sys/net/netfilter/nf_log_all_netns
	remove_bed
}

setup() {
	prefix="ZT-$NS-$BATS_TEST_NUMBER: " # the kernel's log is everybody's
	policy events <<-YAML
		version: "1.0"
		settings: {log_prefix: "$prefix", log_limit: 10000/second}
		rules:
		  - {name: db-isolated, from: {uid: $DB}, to: {host: any}, action: deny, log: true}
		  - {name: dns, from: {user: "*"}, to: {port: 53, protocol: both}, action: allow}
	YAML
	zt apply -q "$POLICY"
	began=$(date -u +%FT%TZ) # what is older in the kernel's log is others'
	pid=
}

teardown() {
	[ -z "$pid" ] || kill "$pid" 2>/dev/null || :
	zt flush -q || :
}

# client UID COMM SECONDS TARGETS...
client() {
	local id=$1
	shift
	as "$id" /usr/bin/python3 - "$@" <"$BATS_FILE_TMPDIR/client.py"
}

# follow ARGS...: in the background, with what it says in $said; returns once it listens.
follow() {
	said=$BATS_TEST_TMPDIR/said
	"$PROGRAM" --netns "$NS" --state-dir "$STATE" "$@" >"$said" 2>"$said.err" 3>&- &
	pid=$!
	wait_for 10 listens
}

listens() {
	awk -v pid="$pid" '$2 == pid { found = 1 } END { exit !found }' <(nsenter --net="/run/netns/$NS" cat /proc/net/netfilter/nfnetlink_log) ||
		grep -q . <(find "/proc/$pid/fd" -lname '/dev/kmsg')
}

stop() {
	kill -INT "$pid"
	code=0
	wait "$pid" || code=$?
	pid=
	[ "$code" = 0 ]
}

lines() {
	[ "$(grep -c "$1" "$said")" -ge "$2" ]
}

@test "blocked --follow names user and program while it happens, and ends with the table" {
	follow blocked --follow
	client "$INTRUDER" "b'sneaky'" 1 127.0.0.1:6379 127.0.0.1:6379 '::1:6379'
	wait_for 5 lines ' blocked ' 3
	stop
	output=$(cat "$said")
	echo "$output"
	fits
	grep -qE "^20[0-9TZ:-]+ +blocked +UID $INTRUDER sneaky -> 127.0.0.1:6379/tcp$" "$said"
	grep -qE "^\| UID $INTRUDER +\| sneaky +\| 127.0.0.1:6379/tcp +\| +2 \|" "$said"
	grep -qE "^\| UID $INTRUDER +\| sneaky +\| \[::1\]:6379/tcp +\| +1 \|" "$said"
	run ! grep -q $'\033' "$said"
}

@test "the raw line is the reference's, and a rule that logs is named" {
	follow blocked --follow --raw
	client "$INTRUDER" "b'x'" 0 127.0.0.1:6379
	client "$DB" "b'x'" 0 192.0.2.10:443
	wait_for 5 lines 'DPT=' 2
	stop
	cat "$said"
	grep -qE "^${prefix}IN= OUT=lo SRC=127.0.0.1 DST=127.0.0.1 .*PROTO=TCP SPT=[0-9]+ DPT=6379 UID=$INTRUDER GID=$INTRUDER$" "$said"
	grep -qE "^${prefix}rule=db-isolated IN= OUT=lo .*DPT=443 UID=$DB" "$said"
	run zt blocked --source "file:$said" --since 2020-01-01
	[ "$status" = 0 ]
	[[ $output == *"Logged: 2 packets, 2 kinds"* ]]
}

@test "report finds a scan of ports and a sweep of hosts by one user" {
	follow report --follow --source nflog
	ports=$(seq -f '127.0.0.1:%.0f' 2000 2014)
	hosts=$(seq -f '127.0.1.%.0f:80' 1 12)
	# shellcheck disable=SC2086 # words
	client "$INTRUDER" "b'nmap'" 0 $ports
	# shellcheck disable=SC2086
	client "$DB" "b'worm'" 0 $hosts
	sleep 0.5 # the kernel hands over within 10 ms; nothing to wait for can be seen from here
	stop
	cat "$said"
	grep -q "15 packets to 15 destinations" "$said"
	grep -qE "port scan: UID $INTRUDER tried 15 ports of 127.0.0.1" "$said"
	grep -qE "host sweep: UID $DB tried 12 hosts" "$said"
	run ! grep -qE "host sweep: UID $INTRUDER" "$said"
}

@test "the kernel's log tells the same afterwards, grouped, by user, as JSON" {
	[ -r /dev/kmsg ] || skip "no /dev/kmsg here"
	client "$INTRUDER" "b'x'" 0 127.0.0.1:6379 127.0.0.1:6379 127.0.0.1:80
	client "$DB" "b'x'" 0 192.0.2.10:443
	wait_for 5 is_json '.total == 4' blocked --source kmsg --since "$began"
	is_json ".source == \"the kernel's ring buffer\" and ([.groups[] | select(.uid == $INTRUDER and .port == 6379)][0].count) == 2
		and ([.groups[] | select(.uid == $DB)][0].rule) == \"db-isolated\"" blocked --source kmsg --since "$began"
	is_json '.total == 3' blocked --source kmsg --since "$began" --user "$INTRUDER"
	is_json "([.senders[].who] | sort) == [\"UID $DB\", \"UID $INTRUDER\"]" report --source kmsg --since "$began"
	run zt blocked --source kmsg --since "$began"
	echo "$output"
	fits
	[[ $output == *"| UID $INTRUDER"*"127.0.0.1:6379/tcp"* ]]
	sleep 1
	is_json '.total == 0' blocked --source kmsg --since 1s
}

# journal COMMAND...: with a systemd-journald of our own that reads the real kernel log, in a mount namespace of its own.
journal() {
	# shellcheck disable=SC2016 # for the inner shell
	unshare -m --propagation private bash -c '
		mkdir -p "$1/netns" && mount --rbind /run/netns "$1/netns"
		mount -t tmpfs tmpfs /run
		[ ! -d /var/log/journal ] || mount -t tmpfs tmpfs /var/log/journal
		mkdir -p /run/netns /run/systemd/journal /run/log/journal
		mount --rbind "$1/netns" /run/netns
		shift
		/lib/systemd/systemd-journald >/dev/null 2>&1 3>&- &
		journald=$!
		trap "kill $journald" EXIT
		"$@"' bash "$BATS_TEST_TMPDIR" "$@"
}

in_journal() {
	wait_for 15 bash -c "journalctl -q _TRANSPORT=kernel --no-pager | grep -c '$prefix' | grep -qx 3" || return 9
	"$PROGRAM" --netns "$NS" --state-dir "$STATE" blocked --since "$began" -o json >"$BATS_TEST_TMPDIR/json" || return 8
	# what a user writes himself does not count, whatever it says it is
	logger -u /run/systemd/journal/dev-log -t kernel -p kern.warning "${prefix}IN= OUT=lo SRC=127.0.0.1 DST=127.0.0.1 PROTO=TCP SPT=1 DPT=1 UID=0 GID=0" || return 7
	wait_for 15 bash -c "journalctl -q --no-pager | grep -q 'DPT=1 '" || return 6
	"$PROGRAM" --netns "$NS" --state-dir "$STATE" blocked --since "$began" -o json >"$BATS_TEST_TMPDIR/json2" || return 5
	"$PROGRAM" --netns "$NS" --state-dir "$STATE" blocked --follow --source journal --raw >"$BATS_TEST_TMPDIR/said" 3>&- &
	pid=$!
	wait_for 10 bash -c "pgrep -P $pid journalctl" || return 4
	sleep 0.5 # journalctl says nothing when it has begun to wait
	client "$DB" "b'x'" 0 192.0.2.10:444 || return 3
	wait_for 15 grep -q 'DPT=444' "$BATS_TEST_TMPDIR/said" || return 2
	kill "$pid"
}

@test "a real journal, which is the default where there is one; users cannot write into it" {
	[ -x /lib/systemd/systemd-journald ] || skip "no systemd-journald here"
	client "$INTRUDER" "b'x'" 0 127.0.0.1:6379 127.0.0.1:6379 127.0.0.1:80
	export prefix began PROGRAM NS STATE BATS_TEST_TMPDIR BATS_FILE_TMPDIR DB
	export -f in_journal wait_for client as
	run journal bash -c in_journal
	echo "exit $status: $output"
	[ "$status" = 0 ]
	# What others only observed has no prefix of theirs, and to the journal all is new that it finds.
	jq -en 'input | .source == "the journal" and ([.groups[] | select(.kind == "blocked").count] | add) == 3 and .groups[0].first != null' "$BATS_TEST_TMPDIR/json"
	jq -en 'input | ([.groups[] | select(.kind == "blocked").count] | add) == 3' "$BATS_TEST_TMPDIR/json2"
	grep -qE "UID=$DB" "$BATS_TEST_TMPDIR/said"
	run ! grep -qE 'DPT=(6379|80|1) ' "$BATS_TEST_TMPDIR/said"
}

@test "row 37: names of an attacker break no line, no terminal and no parser" {
	names=("b'\\x1b[31mred\\n\\xff\\xfe'" "b'\\nZT-BLOCKED: IN='" "b'\"}],\"uid\":0,\"'" "b'x' * 4096" "b'\\xe2\\x80\\xaeevil'" "b'| x | y |'")
	follow blocked --follow -o json
	for name in "${names[@]}"; do
		[ "$name" != "b'x' * 4096" ] || name="b'$(printf 'x%.0s' {1..4096})'"
		client "$INTRUDER" "$name" 0.3 127.0.0.1:6379
	done
	wait_for 10 lines '"port"' ${#names[@]}
	stop
	cat -A "$said"
	[ "$(wc -l <"$said")" = ${#names[@]} ]
	jq -e -s "length == ${#names[@]} and all(.[]; .uid == $INTRUDER and .port == 6379 and (.program | length) > 0)" "$said"
	jq -e -s 'any(.[]; .program | contains("red")) and any(.[]; .program | startswith("\"}],"))' "$said"
	iconv -f UTF-8 -t UTF-8 "$said" >/dev/null
	run ! env LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f]' "$said"
	follow blocked --follow
	for name in "${names[@]}"; do
		[ "$name" != "b'x' * 4096" ] || continue
		client "$INTRUDER" "$name" 0.3 127.0.0.1:6379
	done
	wait_for 10 lines ' blocked ' $((${#names[@]} - 1))
	stop
	cat -A "$said"
	run ! env LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f]' "$said"
	iconv -f UTF-8 -t UTF-8 "$said" >/dev/null
	run ! grep -q $'\u202e' "$said"
	grep -qF 'UID '"$INTRUDER"' \x0aZT-BLOCKED: IN -> ' "$said"
	[ "$(grep -c "^20.* blocked  *UID $INTRUDER" "$said")" = $((${#names[@]} - 1)) ]
	run ! grep -q '^ZT-BLOCKED' "$said"
}

@test "row 37: a log file full of lies is read without harm" {
	{
		printf 'Nov 24 10:00:00 h kernel: %sIN= OUT=lo SRC=127.0.0.1 DST=127.0.0.1 PROTO=TCP SPT=1 DPT=22 UID=%s GID=1\n' "$prefix" "$INTRUDER"
		printf '%sIN=\033[2J OUT=\033]0;x\007 SRC=127.0.0.1 DST=127.0.0.1 PROTO=TCP SPT=1 DPT=23 UID=1 GID=1\n' "$prefix"
		printf '%srule=a"b\\;c IN= OUT=lo SRC=127.0.0.1 DST=127.0.0.1 PROTO=TCP SPT=1 DPT=24 UID=1 GID=1\n' "$prefix"
		printf '%sIN= OUT=lo SRC=127.0.0.1 DST=127.0.0.1 PROTO=TCP SPT=1 DPT=99999 UID=-1 GID=1\n' "$prefix"
		head -c 100000 /dev/urandom
		printf '\n%s%s\n' "$prefix" "$(head -c 70000 /dev/zero | tr '\0' 'A')"
		printf 'Nov 24 10:00:01 h kernel: %sIN= OUT=lo SRC=::1 DST=::1 PROTO=UDP SPT=1 DPT=53 UID=%s GID=1\n' "$prefix" "$INTRUDER"
	} >"$BATS_TEST_TMPDIR/log"
	for form in "" "-o json" --raw; do
		# shellcheck disable=SC2086 # words
		run zt blocked $form --source "file:$BATS_TEST_TMPDIR/log" --since 2020-01-01
		[ "$status" = 0 ]
		run ! env LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f]' <<<"$output"
	done
	is_json "[.groups[] | select(.uid == $INTRUDER) | .port] == [22, 53] or [.groups[] | select(.uid == $INTRUDER) | .port] == [53, 22]" \
		blocked --source "file:$BATS_TEST_TMPDIR/log" --since 2020-01-01
	run zt blocked --source "file:$BATS_TEST_TMPDIR/log" --since 2020-01-01
	[[ $output == *"damaged log lines were left out"* ]]
}

@test "sources that do not exist, times that are none, and nothing to tell" {
	run zt blocked --source nonsense
	[ "$status" != 0 ]
	[[ $output == *ZT4501* ]]
	run zt blocked --source nflog
	[ "$status" != 0 ]
	[[ $output == *--follow*ZT4504* ]]
	run zt blocked --source file:/no/such/file
	[ "$status" != 0 ]
	[[ $output == *ZT4503* ]]
	run zt blocked --since soon
	[ "$status" = 2 ]
	[[ $output == *ZT5013*hint* ]]
	: >"$BATS_TEST_TMPDIR/empty"
	run zt blocked --source "file:$BATS_TEST_TMPDIR/empty"
	[ "$status" = 0 ]
	[[ $output == "Nothing was blocked in the last 24 hours, says $BATS_TEST_TMPDIR/empty."* ]]
	run zt report --source "file:$BATS_TEST_TMPDIR/empty"
	[ "$status" = 0 ]
	follow blocked --follow
	run zt blocked --follow --source nflog
	[ "$status" != 0 ]
	[[ $output == *ZT4502*hint* ]]
	stop
}
