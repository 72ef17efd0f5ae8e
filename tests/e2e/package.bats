#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The package through its life in a fresh Debian 12 tree: installed, used, upgraded, removed, purged.

bats_require_minimum_version 1.5.0
load ../lib/package.bash

setup_file() {
	make_tree
	[ -z "$NO_TREE" ] || return 0
	export NS=ztpkg$$
	ip netns add "$NS"
	ip -n "$NS" link set lo up
	DEB=$(package_file)
	export DEB
	# Versions before and after, made from the one that was built.
	for version in 0.0.9 9.9; do
		dpkg-deb -R "$DEB" "$BATS_FILE_TMPDIR/$version"
		sed -i "s/^Version: .*/Version: $version/" "$BATS_FILE_TMPDIR/$version/DEBIAN/control"
		dpkg-deb --root-owner-group -b "$BATS_FILE_TMPDIR/$version" "$TREE/root/$version.deb" >/dev/null
	done
	cp "$DEB" "$TREE/root/zt.deb"
	rm -f "$TREE/usr/sbin/policy-rc.d"
}

teardown_file() {
	[ -z "${NS:-}" ] || ip netns del "$NS"
	drop_tree
}

setup() {
	[ -z "$NO_TREE" ] || skip "$NO_TREE"
}

write_policy() {
	cat >"$TREE/etc/zt-segment/rules.yaml" <<-'YAML'
		version: "1.0"
		settings: {default_policy: deny}
		rules:
		  - {name: allow-dns, from: {user: "*"}, to: {port: 53, protocol: both}, action: allow}
	YAML
}

tables() {
	nsenter --net="/run/netns/$NS" nft list tables
}

@test "lintian finds nothing to complain about" {
	run lintian --fail-on error,warning --allow-root "$DEB"
	[ "$status" = 0 ]
	[ -z "$output" ]
}

@test "it is hardened: PIE, full RELRO, no executable stack, fortified" {
	dpkg-deb -x "$DEB" "$BATS_TEST_TMPDIR/x"
	program=$BATS_TEST_TMPDIR/x/usr/sbin/zt-segment
	readelf -h "$program" | grep -q 'DYN'
	readelf -d "$program" | grep -q 'BIND_NOW\|FLAGS.*NOW'
	readelf -lW "$program" | grep -q 'GNU_RELRO'
	readelf -lW "$program" | grep 'GNU_STACK' | grep -qv 'RWE'
	readelf -sW --dyn-syms "$program" | grep -q '_chk@'
}

@test "the older version installs, enables its units and enforces nothing" {
	inside dpkg -i /root/0.0.9.deb
	[ -L "$TREE/etc/systemd/system/sysinit.target.wants/zt-segment.service" ]
	[ -L "$TREE/etc/systemd/system/multi-user.target.wants/zt-segment-refresh.path" ]
	[ -L "$TREE/etc/systemd/system/timers.target.wants/zt-segment-refresh.timer" ]
	grep -q '^zt-segment:x:[0-9]*:$' "$TREE/etc/group"
	[ -z "$(tables)" ]
	run inside zt-segment status
	[ "$status" = 3 ]
}

@test "the policy it installs is right and denies nothing" {
	inside zt-segment check
	run inside zt-segment why --user root --to 192.0.2.1:80/tcp --policy /etc/zt-segment/rules.yaml
	echo "$output"
	[ "$status" = 0 ]
	[[ ${output,,} == *allow* ]]
}

@test "completions and manual pages are in place" {
	for file in usr/share/bash-completion/completions/zt-segment usr/share/zsh/vendor-completions/_zt-segment \
		usr/share/fish/vendor_completions.d/zt-segment.fish; do
		[ -s "$TREE/$file" ]
	done
	dpkg-deb -c "$DEB" | grep -q '/man8/zt-segment.8.gz'
	dpkg-deb -c "$DEB" | grep -q '/man5/zt-segment.yaml.5.gz'
	bash -n "$TREE/usr/share/bash-completion/completions/zt-segment"
}

@test "a policy is applied" {
	write_policy
	inside zt-segment apply
	tables | grep -q 'table inet zt_segment$'
}

@test "the upgrade keeps enforcing, keeps the policy and the state" {
	before=$(nsenter --net="/run/netns/$NS" nft -a list table inet zt_segment | sed 's/counter packets [0-9]* bytes [0-9]*//; s/expires [^ ]*//')
	inside dpkg -i /root/zt.deb
	inside dpkg -i /root/9.9.deb
	after=$(nsenter --net="/run/netns/$NS" nft -a list table inet zt_segment | sed 's/counter packets [0-9]* bytes [0-9]*//; s/expires [^ ]*//')
	[ "$before" = "$after" ]
	grep -q 'default_policy: deny' "$TREE/etc/zt-segment/rules.yaml"
	inside zt-segment status
	inside zt-segment history --verify
}

@test "removing opens the host and keeps the policy" {
	nsenter --net="/run/netns/$NS" nft add table inet somebody_else
	inside dpkg -r zt-segment
	[ "$(tables)" = "table inet somebody_else" ]
	[ -f "$TREE/etc/zt-segment/rules.yaml" ]
	[ ! -e "$TREE/usr/sbin/zt-segment" ]
}

@test "purging removes all state, also from a host where rules are still in force, and nothing of others" {
	inside dpkg -i /root/zt.deb
	inside zt-segment apply
	# The program breaks before it can clean up after itself: postrm has to do it alone.
	printf '#!/bin/sh\nexit 1\n' >"$TREE/usr/sbin/zt-segment"
	inside dpkg -P zt-segment
	[ "$(tables)" = "table inet somebody_else" ]
	for left in etc/zt-segment var/lib/zt-segment run/zt-segment etc/systemd/system/sysinit.target.wants/zt-segment.service; do
		[ ! -e "$TREE/$left" ]
	done
	run -0 find "$TREE/etc" "$TREE/var/lib" "$TREE/usr" "$TREE/lib/" -name '*zt-segment*'
	[ -z "$output" ]
}
