#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# zt-segmentd under a real systemd, in the sandbox of its unit: it starts, follows the policy with both engines, repairs, reloads, and the watchdog
# restarts one that hangs.

bats_require_minimum_version 1.5.0
load ../lib/package.bash
load ../lib/boot.bash

setup_file() {
	make_tree
	[ -z "$NO_TREE" ] || return 0
	export NS=ztdboot$$
	ip netns add "$NS"
	cp "$(package_file)" "$TREE/root/zt.deb"
	inside dpkg -i /root/zt.deb >/dev/null
	unit probe.service 'After=multi-user.target ssh.service' multi-user.target 'bash /probe >/var/log/probe 2>&1; systemctl poweroff'
	rm -f "$TREE/etc/systemd/system/multi-user.target.wants/probe.service"
	mkdir -p "$TREE/etc/systemd/system/default.target.wants" "$TREE/etc/systemd/system/zt-segmentd.service.d"
	ln -sf /etc/systemd/system/probe.service "$TREE/etc/systemd/system/default.target.wants/"
	printf '[Service]\nWatchdogSec=3s\n' >"$TREE/etc/systemd/system/zt-segmentd.service.d/test.conf" # or the test waits for long
	policy deny ''
}

teardown_file() {
	[ -z "${NS:-}" ] || ip netns del "$NS"
	drop_tree
}

setup() {
	[ -z "$NO_TREE" ] || skip "$NO_TREE"
	rm -f "$TREE/var/log/probe"
}

RULES='
rules() { printf "version: \"1.0\"\nsettings: {default_policy: deny, log_blocked: false}\nrules:\n%s\n%s\n" "$dns" "$1" >/etc/zt-segment/rules.yaml; }
dns="  - {name: allow-dns, from: {user: \"*\"}, to: {port: 53, protocol: both}, action: allow}"
nobody="  - {name: anything, from: {user: nobody}, to: {port: 22, protocol: tcp}, action: allow}"
shells="  - {name: shells, from: {exe: /usr/bin/bash, uid: 65534}, to: {host: localhost, port: 22, protocol: tcp}, action: allow}"
is_open() { can 65534 127.0.0.1 22 | grep -q "can 22"; }
is_closed() { ! is_open; }
restarts() { systemctl show -P NRestarts zt-segmentd; }
'

@test "the package does not enable it; its unit is right" {
	boot "$RULES"'systemctl is-enabled zt-segmentd; systemctl is-active zt-segmentd
		systemd-analyze verify --man=no zt-segmentd.service && echo "unit is right"
		systemd-analyze security --no-pager zt-segmentd.service | tail -n 1'
	[[ $output == *disabled*inactive*"unit is right"* ]]
}

@test "it follows, reloads and repairs in its sandbox, and the watchdog restarts it" {
	boot "$RULES"'zt-segment apply >/dev/null; echo "apply $?"
		systemctl start zt-segmentd; echo "start $?"; systemctl is-active zt-segmentd
		zt-segment status | grep "Daemon: pid"
		is_closed && echo "closed first"
		wait_for bash -c "/bin/true; zt-segment events -o json 2>/dev/null | grep -q /bin/true" && echo "recorded"
		rules "$nobody"; wait_for is_open && echo "followed"
		rules ""; systemctl reload zt-segmentd; echo "reload $?"; is_closed && echo "reloaded"
		rules "$nobody x"; systemctl reload zt-segmentd 2>/dev/null; echo "bad reload $?"; is_closed && echo "kept"
		systemctl is-active zt-segmentd
		rules ""; sleep 0.5; nft flush ruleset; wait_for zt-segment drift >/dev/null && is_closed && echo "repaired"
		journalctl -q --no-pager -u zt-segmentd 2>/dev/null | grep -o "changed by nft (pid [0-9]*)" | head -n 1
		grep -o "changed by nft" /var/lib/zt-segment/default/audit.jsonl
		pid=$(systemctl show -P MainPID zt-segmentd); grep -E "^(CapEff|Seccomp):" /proc/$pid/status
		kill -STOP $pid; is_closed && echo "closed while it hangs"
		wait_for bash -c "[ \$(systemctl show -P NRestarts zt-segmentd) = 1 ] && systemctl is-active -q zt-segmentd" && echo "restarted by the watchdog"
		is_closed && echo "closed after"
		zt-segment status -o json | grep -o "\"why\": *\"killed\""
		zt-segment history | head -n 4
		systemctl stop zt-segmentd; echo "stop $?"; is_closed && echo "closed without"; ls /run/zt-segment/default/control; zt-segment reload; echo "code $?"'
	[[ $output == *"apply 0"*"start 0"*active*"Daemon: pid"*"closed first"*recorded*followed*"reload 0"*reloaded*"bad reload "[1-9]*kept*active*repaired* ]]
	[[ $output == *"changed by nft"*"closed while it hangs"*"restarted by the watchdog"*"closed after"*killed* ]]
	[[ $output == *"stop 0"*"closed without"*"code 3"* ]]
}

@test "the same with the bpf engine" {
	boot "$RULES"'zt-segment flush; rules "$shells"; zt-segment apply >/dev/null; echo "apply $?"; zt-segment status | grep -o "Engine: bpf"
		systemctl start zt-segmentd; echo "start $?"
		is_open && echo "open first"
		rules ""; wait_for is_closed && echo "followed"
		rules "$shells"; systemctl reload zt-segmentd; echo "reload $?"; is_open && echo "reloaded"
		can 65533 127.0.0.1 22
		rm -r /sys/fs/bpf/zt-segment/*; for _ in 1 2 3 4 5; do sleep 1; zt-segment drift >/dev/null && break; done; can 65533 127.0.0.1 22 && is_open && echo "repaired"
		zt-segment status | grep Daemon
		systemctl kill -s KILL zt-segmentd; can 65533 127.0.0.1 22; wait_for systemctl is-active -q zt-segmentd; zt-segment prove; echo "proved $?"'
	[[ $output == *"apply 0"*"Engine: bpf"*"start 0"*"open first"*followed*"reload 0"*reloaded*"65533 cannot 22"*repaired*"65533 cannot 22"*"proved 0"* ]]
}
