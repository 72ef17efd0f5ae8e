#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# containers.sh: prints a folder that holds podman and Docker of Debian, and what of their dependencies this machine lacks: a tree to be laid over that
# of the machine, in a virtual machine. Made when it is missing, outside the repository; nothing is installed here and no daemon starts. Fails with the
# reason on stderr.
set -eu
cd "$(dirname "$0")"
cache=${ZT_TREE_CACHE:-/var/cache/zt-segment-tests}
packages="podman docker.io conmon containerd crun runc"
# shellcheck disable=SC2086 # words
tree=$cache/containers-$({ cat containers.sh && apt-cache policy $packages 2>/dev/null; } | sha256sum | cut -c1-12)

fail() {
	echo "$*" >&2
	exit 1
}

make_tree() {
	work=$tree.work
	log=$cache/containers.log
	rm -rf "$work"
	trap 'rm -rf "$work"' EXIT
	mkdir -p "$work/cache/archives/partial" "$work/tree"
	# shellcheck disable=SC2086 # words
	apt-get -q -y -o Debug::NoLocking=1 -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root install --reinstall --download-only \
		--no-install-recommends $packages </dev/null >"$log" 2>&1 || fail "no packages: $(grep -m 1 '^[EW]:' "$log")"
	for deb in "$work"/cache/archives/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$work/tree" --exclude='./usr/share/doc' --exclude='./usr/share/man' --exclude='./lib/systemd'
	done
	for part in bin sbin lib; do # of packages that know /usr alone only by a link
		[ ! -d "$work/tree/$part" ] || { mkdir -p "$work/tree/usr/$part" && cp -a "$work/tree/$part/." "$work/tree/usr/$part/"; }
	done
	mv "$work/tree" "$tree"
}

mkdir -p "$cache" 2>/dev/null || fail "cannot write $cache"
exec 9>"$cache/containers.lock"
flock 9
[ -d "$tree" ] || make_tree 9>&-
echo "$tree"
