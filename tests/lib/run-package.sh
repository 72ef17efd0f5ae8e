#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds the Debian package from an export of the tree into build/package (or the folder named) and lets lintian judge it.
# ZT_PACKAGE_VERSION overrides the version, for tests of upgrades.
set -eu
cd "$(dirname "$0")/../.."
out=${1:-build/package}
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/zt-segment"
tar -c --exclude='./build*' --exclude=./.git --exclude=./debian . | tar -x -C "$work/zt-segment"
cd "$work/zt-segment"
cp -r packaging/debian debian
[ -z "${ZT_PACKAGE_VERSION:-}" ] || sed -i "1s/(.*)/($ZT_PACKAGE_VERSION)/" debian/changelog
DEB_BUILD_OPTIONS="${DEB_BUILD_OPTIONS:-} terse noautodbgsym" dpkg-buildpackage -b -us -uc -rfakeroot >"$work/log" 2>&1 || {
	tail -n 60 "$work/log" >&2
	echo "run-package: dpkg-buildpackage failed" >&2
	exit 1
}
lintian --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs,bad-distribution-in-changes-file \
	--allow-root "$work"/*.changes
rm -f "$out"/*.deb
cp "$work"/*.deb "$work"/*.changes "$work"/*.buildinfo "$out"
ls "$out"/*.deb
