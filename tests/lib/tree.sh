#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Prints the path of a fresh Debian 12 tree with systemd and what the package depends on, making it when it is missing.
# Cached outside the repository; copies of it are cheap (tests/lib/tree.sh copy DIR). Fails with the reason on stderr.
set -eu

cache=${ZT_TREE_CACHE:-/var/cache/zt-segment-tests}
include=systemd,systemd-sysv,dbus,iproute2,iptables,nftables,openssh-server,procps,bash-completion
include=$include,libcap2,libjansson4,libmnl0,libnetfilter-conntrack3,libnetfilter-log1,libnfnetlink0,libnftnl11
include=$include,libseccomp2,libsodium23,libsqlite3-0,libyaml-0-2,libzstd1
tree=$cache/bookworm-$(printf %s "$include" | sha256sum | cut -c1-12)

make_tree() {
	command -v mmdebstrap >/dev/null || { echo "mmdebstrap is not installed" >&2; return 1; }
	[ "$(id -u)" = 0 ] || { echo "making a Debian tree needs root" >&2; return 1; }
	mkdir -p "$cache"
	[ "$(df --output=avail -m "$cache" | tail -n 1)" -gt 2000 ] || { echo "less than 2 GB free in $cache" >&2; return 1; }
	rm -rf "$tree.tmp"
	mmdebstrap --quiet --variant=minbase --include="$include" --aptopt='APT::Install-Recommends "false"' \
		--dpkgopt='path-exclude=/usr/share/locale/*' bookworm "$tree.tmp" </dev/null >"$cache/mmdebstrap.log" 2>&1 || {
		echo "mmdebstrap failed: $(tail -n 1 "$cache/mmdebstrap.log")" >&2
		rm -rf "$tree.tmp"
		return 1
	}
	mv "$tree.tmp" "$tree"
}

mkdir -p "$cache" 2>/dev/null || { echo "cannot write $cache" >&2; exit 1; }
exec 9>"$cache/lock"
flock 9
[ -d "$tree" ] || make_tree 9>&-
case ${1:-path} in
path) echo "$tree" ;;
copy) cp -a --reflink=auto "$tree/." "$2" ;;
*) echo "usage: tree.sh [path | copy DIR]" >&2; exit 2 ;;
esac
