#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# run: pairs
# zt-segmentd: follows the policy file, repairs drift, is no part of enforcement, and bears bad clients. Traffic is real.

bats_require_minimum_version 1.5.0
load daemon.bash

setup_file() {
	daemon_setup d
}

teardown_file() {
	daemon_teardown
}

reasons() { zt history -o json | jq -r '.generations[].summary'; }

setup() {
	zt flush >/dev/null
	rm -rf "$STATE" "$P/live" && mkdir -p "$P/live"
	settings 'refresh_every: 0s'
	live 2001 7001
	zt apply "$LIVE" >/dev/null
}

teardown() {
	daemon_stop
}

@test "what is in force is adopted: no new generation, not on a restart either" {
	daemon_start
	[ "$(generation)" = 1 ]
	logged "generation 1 is in force (nft), adopted"
	zt status | grep -q "Daemon: pid $(daemon_pid), up "
	daemon_stop
	run -0 zt status
	[[ $output != *Daemon* ]]
	daemon_start
	sleep 0.5
	[ "$(generation)" = 1 ]
	status_is '.gap.why == "stopped" and .last_reload == null'
	[ "$(zt history -o json | jq '.generations | length')" = 1 ]
}

@test "where nothing is enforced the daemon enforces nothing, until it is told to" {
	zt flush >/dev/null
	daemon_start
	live 2002 7002
	sleep 0.6
	[ "$(hash_now)" = none ]
	can 2666 7001
	zt reload
	can 2002 7002
	denied 2666 7001
}

@test "the first apply by hand is no attack, whatever programs it starts" {
	zt flush >/dev/null
	daemon_start
	sleep 0.5
	zt apply "$LIVE" >/dev/null
	wait_for grep -q "apply by root" "$P/log"
	sleep 1
	run ! grep "were changed by" "$P/log"
	run ! grep '"action":"heal"' "$STATE/audit.jsonl"
}

@test "an edited policy is in force within a second, whatever the editor does" {
	daemon_start
	live 2002 7002 # renamed over it
	in_a_second can 2002 7002
	denied 2001 7001
	policy 2001 7001 >"$LIVE" # written in place
	in_a_second can 2001 7001
	denied 2002 7002
	mv "$LIVE" "$LIVE~" # backup, new file
	policy 2002 7002 >"$LIVE"
	chmod 644 "$LIVE"
	in_a_second can 2002 7002
	mv "$P/live" "$P/live.old" # the whole folder
	mkdir "$P/live"
	live 2001 7001
	in_a_second can 2001 7001
	rm -rf "$P/live.old"
	zt history | grep -q "reload: rules.yaml changed"
}

@test "included files and folders count" {
	printf 'include: [policy.d/*.yaml]\n' >>"$LIVE"
	zt apply "$LIVE" >/dev/null
	daemon_start
	mkdir "$P/live/policy.d"
	sleep 0.3
	printf 'version: "1.0"\nrules:\n  - {name: more, from: {uid: 2002}, to: {host: 127.0.0.0/8, port: 7002, protocol: tcp}, action: allow}\n' >"$P/live/policy.d/more.yaml"
	in_a_second can 2002 7002
	rm "$P/live/policy.d/more.yaml"
	in_a_second denied 2002 7002
	can 2001 7001
}

@test "a wrong policy changes nothing, and status and the log say where it is wrong" {
	daemon_start
	policy 2002 7002 | sed 's/port:/potr:/' >"$LIVE"
	in_a_second logged 'unknown key "potr"'
	[ "$(generation)" = 1 ]
	can 2001 7001
	denied 2002 7002
	zt status | grep -q "Last Reload: REFUSED, the policy is wrong"
	zt status -v | grep -q "rules.yaml:4:.*potr.*ZT1107"
	zt status -o json | jq -en 'input | .daemon.last_reload | .ok == false and .errors == 1'
	run -65 zt reload
	[[ $output == *"rules.yaml:4:"*"did you mean"*"generation 1 stays in force"* ]]
	chmod 666 "$LIVE"
	run -65 zt reload
	[[ $output == *ZT1003* ]]
	live 2002 7002
	in_a_second can 2002 7002
	in_a_second status_is '.last_reload.ok and .last_reload.outcome == "applied"' # it is verified before it is told
	zt status | grep -q "Last Reload: applied"
}

@test "reload and SIGHUP put the file in force where it is not followed, settings too" {
	settings 'follow_policy: no' 'refresh_every: 0s'
	daemon_start
	live 2002 7002
	sleep 0.5
	[ "$(generation)" = 1 ]
	run -0 zt reload
	[[ $output == *"Reloaded: generation 2 is in force"* ]]
	can 2002 7002
	run -0 zt reload
	[[ $output == *"No changes: generation 2"* ]]
	live 2001 7001
	kill -HUP "$(daemon_pid)"
	in_a_second can 2001 7001
	settings 'drift: never'
	zt reload >/dev/null
	logged "daemon.yaml:1: not a value for drift"
	settings 'drift: alert'
	zt reload >/dev/null
	status_is '.drift.mode == "alert"'
	run logged "take effect when zt-segmentd is restarted"
	[ "$status" = 1 ]
	settings 'drift: alert' 'keep_events: 2d'
	zt reload >/dev/null
	logged "keep_flows, journal_mib and failed_opens take effect when zt-segmentd is restarted"
}

@test "without a daemon reload says so, and everything else works" {
	run -3 zt reload
	[[ $output == *ZT5090*"zt-segment apply"* ]]
	zt status >/dev/null
}

@test "a policy that waits for its confirmation is not overwritten; the edit comes after it" {
	daemon_start
	zt apply --confirm 1h "$P/new.yaml" >/dev/null
	can 2002 7002
	live 2666 7001
	sleep 0.6
	can 2002 7002
	denied 2666 7001
	run -1 zt reload
	[[ $output == *ZT4003* ]]
	zt confirm --force
	in_a_second can 2666 7001
}

@test "what was rolled back does not come back by itself" {
	daemon_start
	zt apply --confirm 1h "$P/new.yaml" >/dev/null
	live 2666 7001
	sleep 0.4
	zt rollback >/dev/null
	sleep 0.6
	can 2001 7001
	denied 2666 7001
	daemon_stop
	daemon_start
	sleep 0.4
	denied 2666 7001
	live 2002 7002 # while no daemon runs
	in_a_second can 2002 7002
	daemon_stop
	live 2001 7001
	daemon_start
	in_a_second can 2001 7001
	logged "changed while no daemon ran: generation"
}

@test "what another program flushes is back within a second, and it is named" {
	daemon_start
	in_ns nft flush ruleset
	in_a_second denied 2666 7001
	can 2001 7001
	in_a_second logged "our rules were changed by nft (pid "
	[ "$(generation)" = 1 ]
	in_ns nft add rule inet zt_segment output accept
	in_a_second status_is '.drift.healed == 2'
	denied 2666 7001
	zt drift
	grep -q '"heal".*changed by nft (pid ' "$STATE/audit.jsonl"
	zt history --verify
	zt status | grep -q "drift repaired 2 times"
}

@test "a change that comes together with others is named, once, and no generation is made of it" {
	settings 'refresh_every: 0s' 'heals_per_minute: 60'
	daemon_start
	for ms in 010 060 100 110 120 130 140 200; do # a refresh begins after 100
		echo "root$ms:x:0:0::/:/bin/sh" >>"$ETC/passwd"
		sleep "0.$ms"
		in_ns nft flush ruleset
		in_a_second logged "our rules were changed by nft (pid "
		in_a_second denied 2666 7001
	done
	[ "$(generation)" = 1 ]
	for ms in 080 100 120 140 160 200; do
		live 2001 7001
		echo "# $ms" >>"$LIVE"
		: >"$P/log"
		sleep "0.$ms"
		in_ns nft flush ruleset
		in_a_second logged "our rules were changed by nft (pid "
		in_a_second denied 2666 7001
	done
	! logged "changed by an unknown program" || false
	sleep 0.4
	[ "$(grep -c '"heal".*changed by nft (pid ' "$STATE/audit.jsonl")" = 14 ]
	status_is '.drift.healed == 14'
}

@test "other tables are nobody's business" {
	daemon_start
	in_ns nft add table inet other
	in_ns nft add chain inet other x
	sleep 0.3
	status_is '.drift.found == 0'
	in_ns nft delete table inet other
}

@test "with drift: alert it only tells" {
	settings 'drift: alert'
	daemon_start
	in_ns nft flush ruleset
	in_a_second logged "changed by nft (pid .*are not repaired"
	sleep 0.3
	can 2666 7001
	echo 'root2:x:0:0::/:/bin/sh' >>"$ETC/passwd" # a refresh would put it in order
	sleep 0.4
	can 2666 7001
	zt status | grep -q "drift: NOT REPAIRED"
	status_is '.drift.alerts == 1 and .drift.healed == 0'
}

@test "it does not fight for ever with another manager" {
	settings 'heals_per_minute: 2'
	daemon_start
	in_ns nft flush ruleset
	in_a_second status_is '.drift.healed == 1'
	in_ns nft flush ruleset
	in_a_second status_is '.drift.healed == 2 and .drift.backoff'
	in_ns nft flush ruleset
	in_a_second status_is '.drift.alerts == 1'
	can 2666 7001
	logged "2 repairs within a minute"
	zt status | grep -q "NOT REPAIRED (somebody else"
	zt rollback >/dev/null 2>&1 || zt apply "$LIVE" >/dev/null # a person may
	denied 2666 7001
}

@test "killed and stopped at random: no verdict changes, no generation" {
	for round in 1 2 3 4 5 6; do
		daemon_start
		sleep "0.$((RANDOM % 10))"
		if [ $((round % 2)) = 0 ]; then kill -STOP "$(daemon_pid)"; else kill -KILL "$(daemon_pid)"; fi
		for _ in 1 2 3; do
			can 2001 7001
			denied 2666 7001
			denied 2001 7002
		done
		kill -KILL "$(daemon_pid)" || :
		wait "$(daemon_pid)" 2>/dev/null || :
		[ "$(generation)" = 1 ]
	done
	daemon_start
	status_is '.gap.why == "killed"'
	logged "no daemon from .*(killed)"
	[ "$(generation)" = 1 ]
}

@test "killed in the middle of a change: one policy or the other, whole" {
	zt flush >/dev/null
	hashes
	for round in 1 2 3 4 5 6 7 8; do
		zt apply "$P/old.yaml" >/dev/null
		cp "$P/old.yaml" "$LIVE"
		daemon_start
		policy 2002 7002 >"$LIVE"
		sleep "0.$((10 + round * 3))"
		# All of it: the loop, the hand, the child that does the work.
		while pids=$(pgrep -f -- "zt-segmentd --netns $NS "); do
			# shellcheck disable=SC2086 # a list
			kill -KILL $pids || :
		done
		wait "$(daemon_pid)" 2>/dev/null || :
		run held
		echo "round $round: $output"
		[ "$status" = 0 ]
	done
	zt apply "$LIVE" >/dev/null
	settled
}

@test "only one daemon an instance" {
	daemon_start
	run -1 "$ZT_SEGMENTD" --netns "$NS" --state-dir "$STATE" --policy "$LIVE"
	[[ $output == *"another zt-segmentd runs"* ]]
	answers
}

@test "with ZT_TEST it does not touch the namespace of the machine" {
	run -77 "$ZT_SEGMENTD" --state-dir "$STATE" --policy "$LIVE"
	[[ $output == *ZT4001* ]]
}

@test "the loop has given its rights away" {
	daemon_start
	[ "$(awk '/^CapBnd|^CapPrm|^CapEff/ { print $2 }' "/proc/$(daemon_pid)/status" | sort -u)" = 0000000000080004 ]
	grep -q '^Seccomp:.*2' "/proc/$(daemon_pid)/status"
	grep -q '^NoNewPrivs:.*1' "/proc/$(daemon_pid)/status"
}

@test "the control socket answers root, tells the group, and refuses everybody else" {
	daemon_start
	[ "$(stat -c '%a %u %g' "$SOCKET")" = "660 0 2999" ]
	ask ping | jq -en 'input | .ok and .pid == '"$(daemon_pid)"
	ask status 2001 2999 | jq -en 'input | .ok'
	ask reload 2001 2999 | jq -en 'input | (.ok | not) and .error == "only root may ask for this"'
	run ask ping 2001
	[ "$status" != 0 ]
	[[ $output == *PermissionError* ]]
	chmod 666 "$SOCKET"
	ask ping 2001 | jq -en 'input | (.ok | not) and (.error | contains("group zt-segment"))'
	[ "$(generation)" = 1 ]
}

@test "garbage, a line without end, slow and many clients: refused, dropped by deadline, bounded, and root still gets through" {
	daemon_start
	before=$(ask status | jq .resident_kib)
	run python3 - "$SOCKET" <<-'PY'
		import json, os, socket, sys, time
		path = sys.argv[1]
		def connect():
		    s = socket.socket(socket.AF_UNIX)
		    s.connect(path)
		    s.settimeout(10)
		    return s
		def answer(data):
		    s = connect()
		    try:
		        s.sendall(data)
		    except BrokenPipeError:
		        pass
		    return b"".join(iter(lambda: s.recv(65536), b""))
		for bad in (b"\n", b"\0\n", b"{}\n", b"[" * 4000 + b"\n", os.urandom(2000).replace(b"\n", b"x") + b"\n", b'{"request":"ping","x":1}\n'):
		    assert json.loads(answer(bad))["ok"] is False, bad
		try:
		    assert b"too long" in answer(b"x" * 1000000)
		except ConnectionResetError: # it did not read all of it
		    pass
		slow = [connect() for _ in range(6)]
		start = time.time()
		for i in range(30): # slow loris: a byte now and then
		    for s in slow:
		        try:
		            s.send(b"{")
		        except (BrokenPipeError, ConnectionResetError):
		            pass
		    time.sleep(0.1)
		for s in slow:
		    try:
		        assert s.recv(100) == b"", "not dropped"
		    except ConnectionResetError:
		        pass
		assert time.time() - start < 4
		many = [connect() for _ in range(200)]
		busy = 0
		for s in many[16:]:
		    try:
		        busy += b"too many" in s.recv(100)
		    except ConnectionResetError:
		        busy += 1
		assert busy == 184, busy
		time.sleep(2.3)
		assert json.loads(answer(b'{"request":"ping"}\n'))["ok"]
	PY
	echo "$output"
	[ "$status" = 0 ]
	status_is '(.limits[] | select(.name == "clients") | .used == 1 and .max == 16 and .lost >= 190)'
	after=$(ask status | jq .resident_kib)
	echo "# resident: $before then $after KiB"
	[ "$after" -lt $((before + 2048)) ]
}

@test "the group cannot keep root out" {
	daemon_start
	setpriv --reuid=2001 --regid=2999 --clear-groups /usr/bin/python3 -c '
import socket, sys, time
held = []
for _ in range(30):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    held.append(s)
print("held", flush=True)
time.sleep(1.5)' "$SOCKET" >"$P/held" &
	holder=$!
	wait_for grep -q held "$P/held"
	status_is '(.limits[] | select(.name == "clients") | .used <= 5)'
	wait "$holder"
}

@test "accounts: a name that means another user is looked up within a second" {
	echo 'ztsomebody:x:2001:2001::/:/bin/sh' >>"$ETC/passwd"
	live 2001 7002
	sed -i 's/uid: 2001/user: ztsomebody/' "$LIVE"
	daemon_start
	zt reload
	can 2001 7002
	sed -i 's/^ztsomebody:x:2001/ztsomebody:x:2003/' "$ETC/passwd" # renamed over it, as passwd(1) does
	in_a_second can 2003 7002
	denied 2001 7002
	reasons | grep "refresh: passwd changed"
}

@test "control groups: one that is made anew is known within a second" {
	local base=/sys/fs/cgroup
	[ ! -d "$base/unified" ] || base=$base/unified
	CG=$base/$NS-cg
	mkdir "$CG" "$CG/app"
	printf 'version: "1.0"\nrules:\n  - {name: app, from: {cgroup: %s/app}, to: {host: 127.0.0.0/8, port: 7001, protocol: tcp}, action: allow}\n' "$NS-cg" >"$LIVE"
	zt apply "$LIVE" >/dev/null
	daemon_start
	# shellcheck disable=SC2016 # for the inner shell
	in_group() { sh -c 'echo $$ >"$1/app/cgroup.procs" && exec nsenter --net="/run/netns/$2" timeout 2 bash -c "exec 3<>/dev/tcp/127.0.0.1/7001"' sh "$CG" "$NS" 2>/dev/null; }
	in_group
	rmdir "$CG/app" && mkdir "$CG/app"
	in_a_second in_group
	rmdir "$CG/app" "$CG" && sleep 0.2 && mkdir -p "$CG/app" # the folder above it as well
	in_a_second in_group
	denied 2666 7001
	reasons | grep "refresh: control group .* came or went"
	daemon_stop
	rmdir "$CG/app" "$CG"
}

@test "devices: a new one gets its fence within a second" {
	daemon_start
	in_ns ip link add ztd0 type veth peer name ztd1
	fenced() { in_ns nft list ruleset | grep -q 'device "ztd1"'; }
	in_a_second fenced
	in_ns ip link del ztd0
	zt drift
}

@test "a grant that expires leaves the kernel, and history says so" {
	printf '  - {name: for-now, from: {uid: 2003}, to: {host: 127.0.0.0/8, port: 7002, protocol: tcp}, action: allow, expires: %s}\n' \
		"$(date -u -d '+8 seconds' +%Y-%m-%dT%H:%M:%SZ)" >>"$LIVE"
	zt apply "$LIVE" >/dev/null
	daemon_start
	zt status | grep -q for-now
	can 2003 7002
	status_is '.next_expiry != null'
	wait_for denied 2003 7002 # the kernel alone
	gone() { ! zt status | grep -q for-now; }
	in_a_second gone
	zt history -o json | jq -en 'input | .generations[0].summary == "0 added, 1 removed, 0 changed, 0 moved (refresh: a rule expired)"'
	can 2001 7001
	zt plan "$LIVE" # the file still has it: nothing to do
}

@test "idle, nothing wakes it" {
	# Not below /tmp: every folder above what is watched is watched for its next part, and there is always something going on there.
	inside_mounts mount -t tmpfs tmpfs /mnt
	cp "$LIVE" "$ETC/rules.yaml"
	inside_mounts "$ZT_SEGMENT" apply --netns "$NS" --state-dir /mnt/state /etc/rules.yaml >/dev/null
	LIVE=/etc/rules.yaml STATE=/mnt/state daemon_start
	sleep 7 # the heart beats once after the last event
	ticks() { awk '/^voluntary_ctxt_switches/ { print $2 }' "/proc/$(daemon_pid)/status"; }
	before=$(ticks)
	sleep 6
	after=$(ticks)
	daemon_stop
	inside_mounts umount /mnt
	echo "# woken $((after - before)) times in 6 s"
	[ $((after - before)) = 0 ]
}
