#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# who: processes as the rules see them. Real sockets in a network namespace, the engine that enforces nothing.

bats_require_minimum_version 1.5.0

setup() {
	NS=zt-who-$$-$BATS_TEST_NUMBER
	DIR=$BATS_TEST_TMPDIR
	export ZT_TEST=1 ZT_MEMORY_KERNEL=$DIR/kernel NO_COLOR=1
	chmod 755 "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR" "$DIR" 2>/dev/null || true
	ip netns add "$NS"
	ip -n "$NS" link set lo up
	cp /bin/busybox "$DIR/busybox"
	PIDS=
}

teardown() {
	# shellcheck disable=SC2086 # a list
	[ -z "$PIDS" ] || kill -9 $PIDS 2>/dev/null || true
	ip netns del "$NS"
}

zt() {
	COLUMNS=80 "$ZT_SEGMENT" --engine memory --netns "$NS" --state-dir "$DIR/state" "$@"
}

# start COMMAND...: in the namespace; PID names it
start() {
	nsenter --net="/run/netns/$NS" "$@" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	PIDS="$PIDS $PID"
}

# until the port is there
listening() {
	for _ in $(seq 200); do
		nsenter --net="/run/netns/$NS" ss -Hltun "sport = :$1" | grep -q . && return
		sleep 0.05
	done
	return 1
}

policy() {
	cat >"$DIR/rules.yaml"
	chmod 644 "$DIR/rules.yaml"
}

# says PYTHON: of the JSON (as x) and of its first process (as p)
says() {
	python3 -c 'import json, sys
x = json.load(sys.stdin); p = (x["processes"] + [None])[0]
assert eval("(" + sys.argv[1] + ")"), json.dumps(x, indent=1)' "$1"
}

narrow() {
	! awk 'length($0) > 80' | grep .
}

pair() {
	policy <<-YAML
		version: "1.0"
		settings: {default_policy: deny}
		rules:
		  - name: "tool-to-cache"
		    from: {uid: 65534, group: daemon, exe: $DIR/busybox}
		    to: {host: "127.0.0.1", port: 6379, protocol: tcp}
		    action: allow
		  - name: "root-tool"
		    from: {uid: 0, exe: $DIR/busybox}
		    to: {host: "127.0.0.1", port: 6380, protocol: tcp}
		    action: allow
		  - name: "python"
		    from: {uid: 65534, exe: $(readlink -f /usr/bin/python3)}
		    to: {port: 443, protocol: tcp}
		    action: allow
		  - name: "names"
		    from: {uid: 0}
		    to: {port: 53, protocol: udp}
		    action: allow
	YAML
}

@test "the holder of a port: identity, parents, digest" {
	start "$DIR/busybox" nc -l -p 6399
	listening 6399
	zt who :6399 -o json | says "
		p['pid'] == $PID and p['uid'] == 0 and p['program'] == '$DIR/busybox' and not p['deleted']
		and p['sha256'] == '$(sha256sum "$DIR/busybox" | cut -d' ' -f1)'
		and p['parents'][0]['pid'] == $$ and p['parents'][-1]['pid'] == 1
		and p['sockets'][0]['port'] == 6399 and p['sockets'][0]['listens']
		and not x['active'] and p['label'] is None and len(x['processes']) == 1" 2>&1
	zt who ":6399/tcp" -o json | says "p['pid'] == $PID"
	zt who "$PID" | grep -q 'nothing is enforced'
	zt who "$PID" | narrow
	run ! zt who :6399/udp
	[[ $output == *ZT5042* ]]
}

@test "which of the policy it is, and the first condition that fails" {
	pair
	start setpriv --reuid 65534 --regid 65534 --groups 1,7 "$DIR/busybox" nc -l -p 6399
	listening 6399
	zt who :6399 --policy "$DIR/rules.yaml" -o json >"$DIR/out"
	says "
		[i['rules'] for i in p['is']] == ['tool-to-cache']
		and {i['rules']: i['why'].split(':')[0] for i in p['is_not']} ==
			{'root-tool': 'user', 'python': 'program', 'names': 'user'}
		and p['label'] > 1" <"$DIR/out"
	kill -9 "$PID"
	start setpriv --reuid 65534 --regid 65534 --groups 7 "$DIR/busybox" nc -l -p 6398
	listening 6398
	zt who "$PID" --policy "$DIR/rules.yaml" >"$DIR/out"
	tr -s ' \n' ' ' <"$DIR/out" | grep -q 'group: 65534, 7 are not in 1'
	tr -s ' \n' ' ' <"$DIR/out" | grep -q "program: $DIR/busybox is not $(readlink -f /usr/bin/python3)"
	grep -q 'is  *nobody the policy names' "$DIR/out"
}

@test "a program replaced since apply is told so, and refresh mends it" {
	pair
	zt apply --force "$DIR/rules.yaml"
	start "$DIR/busybox" nc -l -p 6399
	listening 6399
	zt who "$PID" -o json | says "x['active'] and any(i['rules'] == 'root-tool' for i in p['is'])"

	cp "$DIR/busybox" "$DIR/busybox.new"
	echo more >>"$DIR/busybox.new"
	mv "$DIR/busybox.new" "$DIR/busybox"
	zt who "$PID" -o json | says "p['deleted'] and p['label'] == 0
		and 'was replaced or deleted since the process started' in {i['rules']: i.get('why') for i in p['is_not']}['root-tool']"

	start "$DIR/busybox" nc -l -p 6398
	listening 6398
	zt who "$PID" -o json | says "not p['deleted']
		and 'was replaced: digest differs' in {i['rules']: i.get('why') for i in p['is_not']}['root-tool']"
	zt refresh
	zt who "$PID" -o json | says "any(i['rules'] == 'root-tool' for i in p['is'])"
}

@test "a program without a file is unknown" {
	pair
	start python3 -c '
import os, socket
s = socket.socket(); s.bind(("127.0.0.1", 6399)); s.listen(); os.set_inheritable(s.fileno(), True)
fd = os.memfd_create("ghost", 0)
os.write(fd, open("/bin/busybox", "rb").read())
os.execve(fd, ["sleep", "600"], {})'
	listening 6399
	for _ in $(seq 100); do
		[[ $(readlink "/proc/$PID/exe") != /memfd:* ]] || break
		sleep 0.05
	done
	zt who :6399 -p "$DIR/rules.yaml" -o json | says "p['label'] == 0 and p['deleted'] and p['program'] == '/memfd:ghost'
		and [i['rules'] for i in p['is']] == ['names']"
	zt who :6399 -p "$DIR/rules.yaml" | narrow
}

@test "all that hold sockets: sorted, each once, within 80 columns" {
	pair
	start "$DIR/busybox" nc -l -p 6399
	listening 6399
	start python3 -c '
import os, socket, time
t = socket.socket(); t.bind(("127.0.0.2", 7001)); t.listen()
u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); u.bind(("::1", 5353))
c = socket.create_connection(("127.0.0.2", 7001))
os.fork(); time.sleep(600)'
	listening 7001
	for _ in $(seq 100); do
		zt who --all -o json >"$DIR/out"
		[ "$(jq '.processes | length' "$DIR/out")" != 3 ] || break
		sleep 0.05
	done
	PIDS="$PIDS $(jq -r '.processes[].pid' "$DIR/out" | grep -vx "$PID" | tail -n 1)"
	says "[q['pid'] for q in x['processes']] == sorted(q['pid'] for q in x['processes']) and len(x['processes']) == 3" <"$DIR/out"
	says "any(s['text'].endswith('-> 127.0.0.2:7001') for q in x['processes'] for s in q['sockets'])" <"$DIR/out"
	says "any(s['text'] == 'udp [::1]:5353' and s['listens'] for q in x['processes'] for s in q['sockets'])" <"$DIR/out"
	zt who :7001 -o json | says "len(x['processes']) == 2"
	zt who --all -p "$DIR/rules.yaml" >"$DIR/out"
	narrow <"$DIR/out"
	[ "$(grep -c '^| *[0-9]' "$DIR/out")" = 3 ]
	grep -q 'tcp :6399' "$DIR/out"
}

@test "what is not understood, not there, not allowed" {
	for word in 0 -1 :0 :99999 :x nginx 99999999999; do
		run zt who -- "$word" 2>&1
		[ "$status" = 2 ] || [ "$status" = 1 ]
	done
	run -2 zt who
	run -2 zt who --all 1
	run -1 zt who 2147483647
	[[ $output == *ZT5041* ]]
	run -1 zt who :1
	[[ $output == *ZT5042* ]]
}

@test "why with running processes: both ends, and what differs" {
	policy <<-YAML
		version: "1.0"
		settings: {default_policy: deny}
		rules:
		  - name: "pair"
		    from: {uid: 0, exe: $DIR/busybox}
		    to: {host: "127.0.0.1", port: 6399, protocol: tcp, exe: $DIR/busybox}
		    action: allow
	YAML
	zt apply --force "$DIR/rules.yaml"
	start "$DIR/busybox" nc -l -p 6399
	listening 6399
	server=$PID
	start "$DIR/busybox" sleep 600
	client=$PID
	start python3 -c 'import time; time.sleep(600)'
	other=$PID
	ask() { zt why --to 127.0.0.1:6399/tcp "$@"; }
	for _ in $(seq 100); do
		[ "$(readlink "/proc/$client/exe")" != "$DIR/busybox" ] || break
		sleep 0.05
	done
	ask --pid "$client" | grep -q "ALLOWED by rule 'pair'" # the receiver was found by its port
	ask --pid "$client" --to-pid "$server" | grep -q "ALLOWED by rule 'pair'"
	ask --pid "$client" --to-pid "$other" >"$DIR/out"
	grep -q DENIED "$DIR/out"
	tr -s ' \n' ' ' <"$DIR/out" | grep -q "receiver $other .*: program: .* is not $DIR/busybox"
	ask --pid "$other" | tr -s ' \n' ' ' | grep -q "sender $other .*: program: .* is not $DIR/busybox"
	narrow <"$DIR/out"

	cp "$DIR/busybox" "$DIR/new"
	echo more >>"$DIR/new"
	mv "$DIR/new" "$DIR/busybox"
	ask --pid "$client" | tr -s ' \n' ' ' | grep -q 'was replaced or deleted since the process started'
	start "$DIR/busybox" sleep 600
	for _ in $(seq 100); do
		[ "$(readlink "/proc/$PID/exe")" != "$DIR/busybox" ] || break
		sleep 0.05
	done
	ask --pid "$PID" | tr -s ' \n' ' ' | grep -q 'digest differs from the one in the policy'
	kill -9 "$server"
	run -2 ask --pid "$client" --user 0
	run -2 ask --pid 2147483647
	run -2 ask --pid x
}
