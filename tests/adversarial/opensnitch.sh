#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# opensnitch.sh: the ways out of docs/coverage.md tried against OpenSnitch, as Debian packages it, for comparison. Run by hand, as root; what it finds
# goes to tests/adversarial/opensnitch.found, which tests/lib/coverage.sh publishes. Nothing is installed: the package is unpacked into a folder
# that is removed afterwards, and everything runs in namespaces of its own.
#
# Set up as strictly as it can be: the default is deny, connections of unknown processes are intercepted too, and the one rule allows a user. Its
# eBPF monitor needs kernel probes, which not every machine has: the proc monitor is used. The sender's sockets stay open for the daemon to find.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)

prepare() {
	cd "$1"
	apt-get -q download opensnitch libnetfilter-queue1 >/dev/null 2>&1
	for package in *.deb; do dpkg -x "$package" root; done
	cp -a /etc etc
	mkdir -p etc/opensnitchd rules
	cat >etc/opensnitchd/default-config.json <<-'JSON'
		{"Server": {"Address": "unix:///nowhere.sock", "LogFile": "/dev/null"}, "DefaultAction": "deny", "DefaultDuration": "always",
		 "InterceptUnknown": true, "ProcMonitorMethod": "proc", "LogLevel": 2, "Firewall": "iptables", "Stats": {"MaxEvents": 150, "MaxStats": 25}}
	JSON
	echo '{"SystemRules": []}' >etc/opensnitchd/system-fw.json
	cat >rules/allowed.json <<-'JSON'
		{"created": "2024-01-01T00:00:00Z", "updated": "2024-01-01T00:00:00Z", "name": "allowed", "enabled": true, "precedence": true, "action": "allow",
		 "duration": "always", "operator": {"type": "simple", "operand": "user.id", "sensitive": false, "data": "2001", "list": []}}
	JSON
}

# Inside the bed: its network namespace, a mount and a process namespace of the run.
start() {
	mount --bind "$1/etc" /etc
	LD_LIBRARY_PATH=$(echo "$1"/root/usr/lib/*-linux-gnu) setsid "$1/root/usr/bin/opensnitchd" -rules-path "$1/rules" -process-monitor-method proc \
		>"$1/log" 2>&1 </dev/null &
	for _ in $(seq 100); do
		iptables -t mangle -S OUTPUT 2>/dev/null | grep -q NFQUEUE && sleep 1 && return
		sleep 0.1
	done
	cat "$1/log" >&2
	return 1
}

if [ "${1:-}" = start ]; then
	start "$2"
	exit
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(prepare "$work")
version=$(dpkg-deb -f "$work"/opensnitch_*.deb Version | sed 's/-.*//')
rm -f "$work/found"
ZT_TEST=1 ZT_COVERAGE=$work/found ZT_PEER="OpenSnitch $version" ZT_PEER_START="$top/tests/adversarial/opensnitch.sh start $work" \
	unshare -m -p -f --mount-proc --propagation private --kill-child "$top/build/tests/lib/zt-adversarial"
# The daemon outlived the test that made its cgroup, and ended with the process namespace, in which the test was number 1.
for mount in /sys/fs/cgroup/unified /sys/fs/cgroup; do
	[ ! -d "$mount/ztadv-1" ] || find "$mount/ztadv-1" -depth -type d -exec rmdir {} +
done
cp "$work/found" "$top/tests/adversarial/opensnitch.found"
