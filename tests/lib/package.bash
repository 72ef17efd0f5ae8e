# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# For package.bats and boot.bats: the package as built from this tree, and a Debian tree to put it into.

TOP=$(cd "${BATS_TEST_DIRNAME:?}/../.." && pwd)

# Prints the path of the package, built anew when a source is newer.
package_file() {
	local deb out=$TOP/build/package
	deb=$(find "$out" -name 'zt-segment_*.deb' 2>/dev/null | head -n 1)
	if [ -z "$deb" ] || [ -n "$(find "$TOP/src" "$TOP/packaging" "$TOP/meson.build" -type f -newer "$deb" | head -n 1)" ]; then
		"$TOP/tests/lib/run-package.sh" "$out" >"$BATS_FILE_TMPDIR/package.log" 2>&1 || {
			cat "$BATS_FILE_TMPDIR/package.log" >&3
			return 1
		}
	fi
	find "$out" -name 'zt-segment_*.deb' | head -n 1
}

# Makes $TREE, or says in $NO_TREE why there is none.
make_tree() {
	[ "$(id -u)" = 0 ] || { NO_TREE="needs root" && return 0; }
	TREE=$(mktemp -d /var/tmp/zt-tree.XXXXXX)
	chmod 755 "$TREE"
	"$TOP/tests/lib/tree.sh" copy "$TREE" 2>"$BATS_FILE_TMPDIR/tree.err" || NO_TREE="no Debian tree: $(tail -n 1 "$BATS_FILE_TMPDIR/tree.err")"
	export TREE NO_TREE
}

drop_tree() {
	[ -z "${TREE:-}" ] || rm -rf --one-file-system "$TREE"
}

# inside COMMAND...: in the tree, in a network namespace ($NS), mount and process namespace of its own; never in those of this host.
# Process 1 of it is in that network namespace too, so that ZT_TEST would take it for the initial one.
inside() {
	# shellcheck disable=SC2016 # for the inner shell
	nsenter --net="/run/netns/$NS" unshare -m -p -f --kill-child --propagation private sh -c '
		cd "$1" && shift
		mount -t proc proc proc
		mount -t sysfs -o ro sysfs sys
		mount -t cgroup2 cgroup2 sys/fs/cgroup
		mount -t tmpfs tmpfs run
		mount --bind /dev dev
		exec chroot . env -i DEBIAN_FRONTEND=noninteractive HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
	' sh "$TREE" "$@" </dev/null
}
