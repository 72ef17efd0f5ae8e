#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# run: pairs
# zt-segmentd where nobody tells when something is changed: bpf and the labels of nft (detached, unpinned, programs that are replaced), iptables.

bats_require_minimum_version 1.5.0
load daemon.bash

setup_file() {
	daemon_setup g
	export CGROUP=$NS-d
	mkdir "$(cgroups)/$CGROUP"
}

teardown_file() {
	daemon_teardown
	wait_for rmdir "$(cgroups)/$CGROUP"
}

setup() {
	settings 'refresh_every: 0s'
	rm -rf "$STATE" "$P/live" && mkdir -p "$P/live"
	live 2001 7001
}

teardown() {
	daemon_stop
	for engine in bpf nft iptables; do
		inside_mounts "$ZT_SEGMENT" flush --netns "$NS" --state-dir "$STATE" --cgroup "$CGROUP" --engine "$engine" >/dev/null 2>&1 || :
	done
}

cgroups() {
	if [ -d /sys/fs/cgroup/unified ]; then echo /sys/fs/cgroup/unified; else echo /sys/fs/cgroup; fi
}

ztc() {
	local verb=$1
	shift
	inside_mounts "$ZT_SEGMENT" "$verb" --netns "$NS" --state-dir "$STATE" --cgroup "$CGROUP" "$@"
}

# In the control group that the bpf engine is attached to.
can() {
	# shellcheck disable=SC2016 # for the inner shell
	sh -c 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"' sh "$(cgroups)/$CGROUP" \
		nsenter --net="/run/netns/$NS" setpriv --reuid="$1" --regid="$1" --clear-groups timeout 2 "${3:-bash}" -c "exec 3<>/dev/tcp/127.0.0.1/$2" 2>/dev/null
}

# put_back PIN: taken away, and then detached, it is back within two seconds; $healed counts.
put_back() {
	local how
	for how in rm "bpftool link detach pinned"; do
		inside_mounts sh -c "$how /sys/fs/bpf/zt-segment/*/$1"
		healed=$((healed + 1))
		in_seconds 2 status_is ".drift.healed == $healed" || return
	done
}

@test "bpf: adopted; pins that are removed and programs that are detached are put back" {
	settings 'refresh_every: 0s' 'heals_per_minute: 20'
	ztc apply --engine bpf "$LIVE" >/dev/null
	can 2001 7001
	denied 2666 7001
	daemon_start --cgroup "$CGROUP"
	status_is '.engine == "bpf" and .generation == 1'
	inside_mounts sh -c 'rm /sys/fs/bpf/zt-segment/*/*'
	in_seconds 2 status_is '.drift.healed == 1' # all programs are loaded anew
	denied 2666 7001
	can 2001 7001
	inside_mounts sh -c 'bpftool link detach pinned /sys/fs/bpf/zt-segment/*/zt_egress'
	in_seconds 2 status_is '.drift.healed == 2'
	denied 2666 7001
	can 2001 7001
	healed=2
	for pin in fence_options forward6; do # Linux 6.4 has the latter
		inside_mounts sh -c "ls /sys/fs/bpf/zt-segment/*/$pin" || continue
		put_back "$pin"
	done
	status_is '.generation == 1'
}

@test "nft: programs of the labels that are removed or detached are put back" {
	settings 'refresh_every: 0s' 'heals_per_minute: 20'
	printf 'version: "1.0"\nrules:\n  - {name: prog, from: {uid: 2001, exe: %s}, to: {host: localhost, port: 7001}, action: allow}\n' "$(readlink -f /bin/bash)" >"$LIVE"
	ztc apply --engine nft "$LIVE" >/dev/null
	can 2001 7001
	daemon_start --cgroup "$CGROUP"
	status_is '.engine == "nft" and .generation == 1'
	healed=0
	for program in zt_m_connect4 zt_m_setsockopt; do
		put_back "$program"
		can 2001 7001
		denied 2666 7001
	done
	status_is '.generation == 1'
}

# Nothing changes which is not told: of the programs that are detached (above), of what is blocked.
@test "bpf: idle, nothing wakes it; what is blocked does, from the first packet on" {
	# Every folder above what is watched is watched, and below /tmp there is always something going on.
	inside_mounts mount -t tmpfs tmpfs /mnt
	sed "s/log_blocked: false/log_blocked: true/" "$LIVE" >"$ETC/rules.yaml"
	chmod 644 "$ETC/rules.yaml"
	LIVE=/etc/rules.yaml STATE=/mnt/state daemon_start --cgroup "$CGROUP"
	inside_mounts "$ZT_SEGMENT" apply --engine bpf --netns "$NS" --state-dir /mnt/state --cgroup "$CGROUP" /etc/rules.yaml >/dev/null
	denied 2666 7001 # it knows of no policy yet
	told() { [ "$(inside_mounts "$ZT_SEGMENT" events --kind deny --since 1h --netns "$NS" --state-dir /mnt/state -o json | jq -c "select(.dport == $1)" | wc -l)" = "$2" ]; }
	in_seconds 3 told 7001 1
	sleep 9 # connections that were closed are forgotten, and the heart beats once after the last event
	ticks() { awk '/^voluntary_ctxt_switches/ { print $2 }' "/proc/$(daemon_pid)/status"; }
	before=$(ticks)
	sleep 10
	after=$(ticks)
	echo "# woken $((after - before)) times in 10 s"
	denied 2666 7002
	in_seconds 2 told 7002 1
	daemon_stop
	inside_mounts "$ZT_SEGMENT" flush --netns "$NS" --state-dir /mnt/state --cgroup "$CGROUP" >/dev/null
	inside_mounts umount /mnt
	[ $((after - before)) = 0 ]
}

@test "reload without an engine chosen takes the one that apply would take: bpf where rules name Unix sockets" {
	daemon_start --cgroup "$CGROUP"
	printf '%s\n' 'version: "1.0"' 'settings: {unix: where-possible}' 'rules:' '  - {name: a, from: {uid: 2001}, to: {host: localhost, port: 7001}, action: allow}' \
		'  - {name: b, from: {uid: 2001}, to: {unix: /run/zt-none.socket}, action: allow}' >"$LIVE"
	ztc reload
	status_is '.engine == "bpf"'
	can 2001 7001
	denied 2666 7001
}

@test "bpf: a program of the policy that is replaced is known within a second" {
	mkdir -p "$P/bin"
	chmod 755 "$P" "$P/bin" "$BATS_RUN_TMPDIR" "$(dirname "$P")" 2>/dev/null || :
	dir=$(mktemp -d /var/tmp/ztd.XXXXXX)
	chmod 755 "$dir"
	cp /bin/bash "$dir/client"
	printf 'version: "1.0"\nrules:\n  - {name: prog, from: {exe: %s/client}, to: {host: 127.0.0.0/8, port: 7001, protocol: tcp}, action: allow}\n' "$dir" >"$LIVE"
	ztc apply --engine bpf "$LIVE" >/dev/null
	daemon_start --cgroup "$CGROUP"
	can 2001 7001 "$dir/client"
	denied 2001 7001 bash
	cp /bin/bash "$dir/new"
	mv "$dir/new" "$dir/client" # as a package manager does
	in_a_second can 2001 7001 "$dir/client"
	touch "$dir/client" # the same file, but changed as far as the kernel knows
	in_a_second can 2001 7001 "$dir/client"
	denied 2001 7001 bash
	ztc history | grep -q "refresh: client changed"
	rm -rf "$dir"
}

@test "bpf: reload and live updates" {
	ztc apply --engine bpf "$LIVE" >/dev/null
	daemon_start --cgroup "$CGROUP"
	live 2002 7002
	in_a_second can 2002 7002
	denied 2001 7001
	for _ in 1 2 3; do
		kill -KILL "$(daemon_pid)"
		wait "$(daemon_pid)" 2>/dev/null || :
		can 2002 7002
		denied 2666 7001
		daemon_start --cgroup "$CGROUP"
	done
	status_is '.generation == 2'
}

@test "iptables: flushed by another, back within a second" {
	ztc apply --engine iptables "$LIVE" >/dev/null
	daemon_start
	status_is '.engine == "iptables"'
	in_ns iptables -P OUTPUT ACCEPT
	in_ns iptables -F
	in_a_second denied 2666 7001
	in_a_second status_is '.drift.healed >= 1 and .generation == 1'
	can 2001 7001
	grep '"heal"' "$STATE/audit.jsonl"
}
