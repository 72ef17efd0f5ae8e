#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# boot.sh TREE NAME SECONDS: boots the systemd of a Debian tree as process 1 of its own namespaces (network, mounts, processes,
# cgroups), with NAME as its cgroup, and returns when it powers off. Console on stdout. 124 when it takes longer than SECONDS.
set -eu

tree=$(realpath "$1")
name=$2
limit=$3
base=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
cgroup=$base/$name

if [ "${4:-}" = inside ]; then
	# Already in the new namespaces. cgroup2 of the tree begins at our own cgroup, so systemd sees a root of its own.
	mount --make-rprivate /
	mount --bind "$tree" "$tree"
	mount -t proc proc "$tree/proc"
	# What belongs to the whole machine stays out of its reach; net is that of the namespace.
	mount --bind "$tree/proc/sys/net" "$tree/mnt"
	mount --bind -o ro "$tree/proc/sys" "$tree/proc/sys"
	mount -o remount,bind,ro "$tree/proc/sys"
	mount --move "$tree/mnt" "$tree/proc/sys/net"
	[ ! -e "$tree/proc/sysrq-trigger" ] || mount --bind /dev/null "$tree/proc/sysrq-trigger"
	mount -t sysfs -o ro sysfs "$tree/sys"
	mount -t cgroup2 cgroup2 "$tree/sys/fs/cgroup"
	[ ! -d "$tree/sys/fs/bpf" ] || mount -t bpf bpf "$tree/sys/fs/bpf" # outside of a container systemd does it
	mount -t tmpfs -o mode=755 tmpfs "$tree/run"
	mount -t tmpfs -o mode=755 tmpfs "$tree/dev"
	for device in null zero full random urandom tty; do
		: >"$tree/dev/$device"
		mount --bind "/dev/$device" "$tree/dev/$device"
	done
	mkdir "$tree/dev/pts" "$tree/dev/shm"
	mount -t devpts -o newinstance,ptmxmode=0666 devpts "$tree/dev/pts"
	ln -s pts/ptmx "$tree/dev/ptmx"
	ln -s /proc/self/fd "$tree/dev/fd"
	cd "$tree"
	mkdir -p mnt
	pivot_root . mnt
	exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		sh -c 'umount -l /mnt; exec /sbin/init --log-target=console --log-level=notice --show-status=no' 2>&1
fi

mkdir "$cgroup"
finish() {
	echo 1 >"$cgroup/cgroup.kill" || :
	tries=50
	while grep -q '^populated 1' "$cgroup/cgroup.events" && [ "$tries" -gt 0 ]; do
		sleep 0.1
		tries=$((tries - 1))
	done
	find "$cgroup" -depth -type d -exec rmdir {} + || :
}
trap finish EXIT
code=0
# shellcheck disable=SC2016 # for the inner shell
timeout -k 5 "$limit" sh -c 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"' sh "$cgroup" \
	unshare -m -p -f -n -C -i -u --propagation private --kill-child "$0" "$tree" "$name" "$limit" inside </dev/null || code=$?
# The kernel ends process 1 with SIGINT when it powers off.
[ "$code" = 130 ] || exit "$code"
