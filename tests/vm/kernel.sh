#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# kernel.sh 6.1|6.12: prints a folder that holds this kernel of Debian: vmlinuz, initrd, lib/modules, the release in `release`, and
# in tools/ the nft that Debian ships with it (an older one and a newer kernel do not always understand each other). Made when it is missing, outside the repository; a change of this file or of init makes a new one. The mirror is the one that apt
# of this machine uses. Fails with the reason on stderr.
set -eu
cd "$(dirname "$0")"

case ${1:-} in
6.1) suite=bookworm ;;
6.12) suite=trixie ;;
*) echo "usage: kernel.sh 6.1|6.12" >&2; exit 2 ;;
esac
cache=${ZT_TREE_CACHE:-/var/cache/zt-segment-tests}
kernel=$cache/kernel-$1-$(cat kernel.sh init | sha256sum | cut -c1-12)
# What the initramfs needs to find its root; everything else is loaded by the kernel itself from lib/modules.
early="virtio_pci 9pnet_virtio 9p overlay virtio_rng"

fail() {
	echo "$*" >&2
	exit 1
}

# The archives apt knows, with another suite: "deb URL SUITE main".
sources() {
	keys=/usr/share/keyrings/debian-archive-keyring.gpg
	[ -e "$keys" ] || keys=
	# shellcheck disable=SC2016 # apt's own form
	apt-get indextargets --format '$(SITE) $(RELEASE)' 'Identifier: Packages' | sort -u |
		while read -r site release; do
			case $release in
			*-security) release=$suite-security ;;
			*-*) continue ;;
			*) release=$suite ;;
			esac
			echo "deb ${keys:+[signed-by=$keys] }$site $release main"
		done
}

# apt with a state of its own in $work: the machine's lists and packages stay as they are.
own_apt() {
	command=$1
	shift
	"$command" -q -o Dir::State="$work/state" -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache" \
		-o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null -o APT::Sandbox::User=root \
		-o APT::Architecture=amd64 -o APT::Architectures=amd64 -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "$@"
}

download() {
	mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial"
	: >"$work/status"
	sources >"$work/sources.list"
	[ -s "$work/sources.list" ] || fail "apt of this machine knows no archive"
	own_apt apt-get update >"$log" 2>&1 || fail "no package lists of $suite: $(grep -m 1 '^[EW]:' "$log")"
	package=$(own_apt apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
	[ -n "$package" ] || fail "no kernel in $suite"
	(cd "$work" && own_apt apt-get download "$package" busybox-static) >"$log" 2>&1 || fail "$package: $(tail -n 1 "$log")"
	own_apt apt-get install -y --download-only --no-install-recommends nftables </dev/null >"$log" 2>&1 ||
		fail "nftables: $(tail -n 1 "$log")"
}

# Unpacks what tests can need: no drivers of hardware, no sound, no file systems but ours.
unpack() {
	release=${package#linux-image-}
	dpkg-deb --fsys-tarfile "$work/$package"_*.deb | tar -x -C "$work" --exclude='*/usr/share' --exclude='*/boot/System.map*' \
		--exclude='*/kernel/sound' --exclude='*/kernel/drivers/[abd-mo-uw-z]*' --exclude='*/kernel/drivers/net/*/*' \
		--exclude='*/kernel/fs/[abdeg-mp-z]*'
	mkdir -p "$kernel.tmp/lib"
	[ -d "$work/lib" ] || mv "$work/usr/lib" "$work/lib"
	mv "$work/lib/modules" "$kernel.tmp/lib/"
	mv "$work/boot/vmlinuz-$release" "$kernel.tmp/vmlinuz"
	depmod -b "$kernel.tmp" "$release" 2>"$log" || fail "depmod: $(tail -n 1 "$log")"
	echo "$release" >"$kernel.tmp/release"
	mkdir "$work/tools"
	for deb in "$work"/cache/archives/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$work/tools" --exclude='./usr/share' --exclude='./etc' --exclude='*/gconv' --exclude='./var' --exclude='*/perl*'
	done
	mv "$work/tools" "$kernel.tmp/tools"
}

initramfs() {
	root=$work/initramfs
	mkdir -p "$root/bin" "$root/modules"
	dpkg-deb --fsys-tarfile "$work"/busybox-static_*.deb | tar -x -O --wildcards "*bin/busybox" >"$root/bin/busybox"
	cp init "$root/init"
	chmod 755 "$root/init" "$root/bin/busybox"
	number=100
	for module in $early; do
		modprobe -d "$kernel.tmp" -S "$release" --show-depends "$module" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
	done | awk '!seen[$0]++' | while read -r file; do
		name=$(basename "$file")
		case $file in
		*.xz) xz -dc "$file" >"$root/modules/$number-${name%.xz}" ;;
		*.zst) zstd -qdc "$file" >"$root/modules/$number-${name%.zst}" ;;
		*) cp "$file" "$root/modules/$number-$name" ;;
		esac
		number=$((number + 1))
	done
	(cd "$root" && find . | cpio --quiet -o -H newc) | zstd -q >"$kernel.tmp/initrd"
}

make_kernel() {
	for tool in apt-get dpkg-deb depmod modprobe cpio zstd; do
		command -v "$tool" >/dev/null || fail "$tool is not installed"
	done
	[ "$(df --output=avail -m "$cache" | tail -n 1)" -gt 1000 ] || fail "less than 1 GB free in $cache"
	work=$kernel.work
	log=$cache/kernel.log
	rm -rf "$kernel.tmp" "$work"
	trap 'rm -rf "$kernel.tmp" "$work"' EXIT
	download
	unpack
	initramfs
	mv "$kernel.tmp" "$kernel"
}

mkdir -p "$cache" 2>/dev/null || fail "cannot write $cache"
exec 9>"$cache/kernel.lock"
flock 9
[ -d "$kernel" ] || make_kernel "$1" 9>&-
echo "$kernel"
