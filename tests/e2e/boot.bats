#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Real boots of one Debian tree: systemd as process 1 in namespaces of its own, the package installed. What was confirmed before
# a reboot is in force before the network comes up after it.

load ../lib/package.bash
load ../lib/boot.bash

setup_file() {
	make_tree
	[ -z "$NO_TREE" ] || return 0
	export NS=ztboot$$
	ip netns add "$NS"
	cp "$(package_file)" "$TREE/root/zt.deb"
	inside dpkg -i /root/zt.deb >/dev/null
	echo 'nameserver 192.0.2.53' >"$TREE/etc/resolv.conf"
	unit early.service 'DefaultDependencies=no
		After=network-pre.target
		Before=network.target' sysinit.target 'nft list table inet zt_segment >/var/log/early 2>&1 || :'
	# A service that says every 100 ms whether it may connect to a port of this host.
	unit client.service '' multi-user.target '' 'while sleep 0.1; do
		if (exec 3<>/dev/tcp/127.0.0.1/22) 2>/dev/null; then echo open; else echo closed; fi >/run/client; done'
	unit probe.service 'After=multi-user.target ssh.service client.service' multi-user.target 'bash /probe >/var/log/probe 2>&1; systemctl poweroff'
	rm -f "$TREE/etc/systemd/system/multi-user.target.wants/probe.service"
	mkdir -p "$TREE/etc/systemd/system/default.target.wants"
	ln -sf /etc/systemd/system/probe.service "$TREE/etc/systemd/system/default.target.wants/"
	policy deny ''
}

teardown_file() {
	[ -z "${NS:-}" ] || ip netns del "$NS"
	drop_tree
}

setup() {
	[ -z "$NO_TREE" ] || skip "$NO_TREE"
	rm -f "$TREE/var/log/probe" "$TREE/var/log/early"
}

newest() {
	find "$TREE/var/lib/zt-segment/default/generations" -mindepth 1 -maxdepth 1 -name '[0-9]*' -printf '%f\n' | sort -n | tail -n 1
}

spoil() {
	find "$TREE/var/lib/zt-segment/default/generations/$1" -type f -exec sh -c 'for f; do printf X | dd of="$f" bs=1 seek=20 conv=notrunc status=none; done' sh {} +
}

@test "first boot: nothing is in force; a policy is applied" {
	boot 'zt-segment status >/dev/null; echo "status $?"; can 65534 127.0.0.1 22; zt-segment apply; echo "apply $?"; can 65534 127.0.0.1 22
		systemctl is-failed zt-segment.service zt-segment-refresh.path zt-segment-refresh.timer
		systemd-analyze verify --man=no zt-segment.service zt-segment-refresh.service zt-segment-refresh.path zt-segment-refresh.timer && echo "units are right"'
	[[ $output == *"status 3"*"65534 can 22"*"apply 0"*"65534 cannot 22"*"units are right"* ]]
	[[ $output != *failed* ]]
}

@test "second boot: it is in force before the network comes up" {
	boot 'zt-segment status; echo "status $?"; can 65534 127.0.0.1 22
		systemctl show -P ActiveState zt-segment.service
		a=$(systemctl show -P ActiveEnterTimestampMonotonic zt-segment.service)
		b=$(systemctl show -P ActiveEnterTimestampMonotonic network-pre.target)
		[ "$a" -le "$b" ] && echo "restored first"'
	[[ $output == *"status 0"*"65534 cannot 22"*active*"restored first"* ]]
	grep -q 'policy drop' "$TREE/var/log/early"
}

@test "a reboot while an apply waits for confirmation boots what was confirmed" {
	policy deny '  - {name: anything, from: {user: nobody}, to: {port: 22, protocol: tcp}, action: allow}'
	boot 'zt-segment apply --confirm 1h; echo "apply $?"; can 65534 127.0.0.1 22'
	[[ $output == *"apply 0"*"65534 can 22"* ]]
	boot 'can 65534 127.0.0.1 22; zt-segment status | head -n 12'
	[[ $output == *"65534 cannot 22"* ]]
}

@test "restarting nftables.service, which flushes everything, brings the policy back" {
	boot 'systemctl restart nftables.service
		wait_for bash -c "nft list chain inet zt_segment output 2>/dev/null | grep -q policy.drop"; can 65534 127.0.0.1 22'
	[[ $output == *"65534 cannot 22"* && $output != *vain* ]]
}

@test "a restarted service keeps its rule" {
	policy deny '  - {name: client, from: {service: client.service}, to: {port: 22, protocol: tcp}, action: allow}'
	boot 'grep -q . /run/client || sleep 1; zt-segment apply; echo "apply $?"
		wait_for grep -q open /run/client && echo "before: open"
		systemctl restart client.service; rm -f /run/client
		wait_for grep -q open /run/client && echo "after: open"
		systemctl show -P NRestarts,ActiveState zt-segment-refresh.path; echo "refreshes: $(journalctl -q -u zt-segment-refresh.service 2>/dev/null | grep -c Finished)"'
	[[ $output == *"before: open"*"after: open"* ]]
}

@test "a damaged generation falls back to the one before it" {
	policy deny ''
	boot 'zt-segment apply; echo "apply $?"; can 65534 127.0.0.1 22'
	policy deny '  - {name: anything, from: {user: nobody}, to: {port: 22, protocol: tcp}, action: allow}'
	boot 'zt-segment apply; echo "apply $?"; can 65534 127.0.0.1 22'
	[[ $output == *"apply 0"*"65534 can 22"* ]]
	spoil "$(newest)"
	boot 'can 65534 127.0.0.1 22; zt-segment status | head -n 12'
	[[ $output == *"65534 cannot 22"* ]]
	grep -q 'policy drop' "$TREE/var/log/early"
}

@test "with every generation damaged the emergency policy is in force: loopback and SSH, nothing else" {
	for n in $(seq 20); do
		[ ! -d "$TREE/var/lib/zt-segment/default/generations/$n" ] || spoil "$n"
	done
	boot 'ip link add d0 type veth peer name d1 && ip addr add 203.0.113.1/24 dev d0 && ip link set d0 up && ip link set d1 up && ip route add default dev d0
		can 65534 127.0.0.1 22
		timeout 2 setpriv --reuid=65534 --clear-groups --regid=65534 bash -c "exec 3>/dev/udp/203.0.113.9/9; echo x >&3" && echo "udp left" || echo "udp stayed"
		zt-segment status | head -n 20'
	[[ $output == *"65534 can 22"*"udp stayed"* ]]
	grep -q 'policy drop' "$TREE/var/log/early"
}

@test "a host whose generations are lost as a whole boots the emergency policy, not open" {
	[ -e "$TREE/var/lib/zt-segment/default/current" ]
	rm -r "$TREE/var/lib/zt-segment/default/generations"
	boot 'systemctl show -P ActiveState zt-segment.service; zt-segment status | head -n 20; can 65534 127.0.0.1 22'
	[[ $output == *active*"65534 can 22"* ]]
	grep -q 'policy drop' "$TREE/var/log/early"
}

@test "a policy that names programs is restored by the bpf engine" {
	policy deny '  - {name: shells, from: {exe: /usr/bin/bash, uid: 65534}, to: {host: localhost, port: 22, protocol: tcp}, action: allow}'
	boot 'zt-segment flush; zt-segment apply; echo "apply $?"; can 65534 127.0.0.1 22; can 65533 127.0.0.1 22'
	[[ $output == *"apply 0"*"65534 can 22"*"65533 cannot 22"* ]]
	boot 'systemctl show -P ActiveState zt-segment.service; zt-segment status | head -n 12; can 65534 127.0.0.1 22; can 65533 127.0.0.1 22; zt-segment prove; echo "proved $?"'
	[[ $output == *active*"Engine: bpf"*"65534 can 22"*"65533 cannot 22"*"proved 0"* ]]
}
