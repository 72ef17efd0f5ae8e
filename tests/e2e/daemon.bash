# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A zt-segmentd in a network namespace with the listeners and policies of apply.bash. Its policy is $LIVE, its settings $SETTINGS. It sees an
# /etc of its own ($ETC), so that accounts and groups can change.

load apply.bash

daemon_setup() {
	apply_setup "$1"
	export ZT_SEGMENTD=${ZT_SEGMENTD:-$(dirname "$ZT_SEGMENT")/zt-segmentd}
	export LIVE=$P/live/rules.yaml SETTINGS=$P/daemon.yaml ETC=$P/etc SOCKET=/run/zt-segment/netns-$NS/default/control
	mkdir -p "$P/live"
	cp -a /etc "$ETC" 2>/dev/null || [ -e "$ETC/passwd" ] # what vanishes while it is copied is not missed
	# Its mounts: an /etc of its own, and a bpf file system.
	# shellcheck disable=SC2016 # for the inner shell
	unshare -m --propagation private sh -c 'mount --bind "$1" /etc && mount -t bpf bpf /sys/fs/bpf && : >"$2/mounted" && exec sleep 100000' sh \
		"$ETC" "$P" 3>&- 4>&- &
	echo $! >"$P/mounts.pid"
	wait_for test -e "$P/mounted"
	grep -q '^zt-segment:' "$ETC/group" || echo 'zt-segment:x:2999:' >>"$ETC/group"
}

daemon_teardown() {
	daemon_stop
	kill "$(cat "$P/mounts.pid")"
	rm -rf "/run/zt-segment/netns-$NS"
	apply_teardown
}

live() {
	policy "$@" >"$P/live.new"
	cat >>"$P/live.new"
	chmod 644 "$P/live.new"
	mv "$P/live.new" "$LIVE"
} </dev/null

settings() {
	printf '%s\n' "$@" >"$SETTINGS"
	chmod 644 "$SETTINGS"
}

# daemon_start [OPTIONS]: and waits until it has adopted what is in force.
daemon_start() {
	: >"$P/log"
	nsenter --mount="/proc/$(cat "$P/mounts.pid")/ns/mnt" "$ZT_SEGMENTD" --netns "$NS" --state-dir "$STATE" --policy "$LIVE" --settings "$SETTINGS" \
		"$@" 2>>"$P/log" 3>&- 4>&- &
	echo $! >"$P/daemon.pid"
	wait_for answers || {
		cat "$P/log"
		return 1
	}
}

inside_mounts() { nsenter --mount="/proc/$(cat "$P/mounts.pid")/ns/mnt" "$@"; }

daemon_pid() { cat "$P/daemon.pid"; }

# Also what it does at its start is done.
answers() { ask status | jq -en 'input | .ok and .jobs.look > 0 and .jobs.running == null and (.active == false or (.jobs.check > 0 and .jobs.refresh > 0))'; }

daemon_stop() {
	local pid
	[ -e "$P/daemon.pid" ] || return 0
	pid=$(daemon_pid)
	rm -f "$P/daemon.pid"
	kill "$pid" 2>/dev/null || return 0
	kill -CONT "$pid" 2>/dev/null || :
	wait "$pid" 2>/dev/null || :
}

# ask REQUEST [UID]: the answer.
ask() {
	setpriv --reuid="${2:-0}" --regid="${3:-${2:-0}}" --clear-groups /usr/bin/python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
s.connect(sys.argv[1])
try:
    s.sendall(b"{\"request\":\"" + sys.argv[2].encode() + b"\"}\n")
except BrokenPipeError: # refused before it was heard
    pass
try:
    for part in iter(lambda: s.recv(65536), b""):
        sys.stdout.write(part.decode())
except ConnectionResetError: # the answer comes before what was not read
    pass' "$SOCKET" "$1"
}

# in_a_second COMMAND: it becomes true within a second; prints how long it took. On a machine with more to do than it has processors
# the second is so many times longer.
in_a_second() { in_seconds 1 "$@"; }

in_seconds() {
	local start now limit
	limit=$(awk -v cpus="$(nproc)" -v n="$1" '{ x = $1 / cpus; printf "%.0f", n * 1000000000 * (x > 1 ? x : 1) }' /proc/loadavg)
	shift
	start=$(date +%s%N)
	while :; do
		now=$(date +%s%N)
		if "$@" >/dev/null 2>&1; then
			echo "# after $(((now - start) / 1000000)) ms: $*"
			return 0
		fi
		[ $((now - start)) -lt "$limit" ] || break
		sleep 0.02
	done
	echo "not within $((limit / 1000000)) ms: $*"
	cat "$P/log"
	return 1
}

denied() { ! can "$@"; }
generation() { zt status -o json | jq .generation; }
logged() { grep -q -- "$1" "$P/log"; }
status_is() { ask status | jq -en "input | $1"; }
