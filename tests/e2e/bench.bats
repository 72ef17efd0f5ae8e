#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# run: alone
# The verb bench on real packets: what it says of one machine twice has to be the same.

bats_require_minimum_version 1.5.0
load ../lib/verbs.bash

setup_file() {
	make_bed ztbench
}

teardown_file() {
	remove_bed
}

@test "bench measures in throw-away namespaces, and twice the same is the same" {
	run timeout 240 "$PROGRAM" bench
	echo "$output"
	[ "$status" = 0 ]
	fits
	[ "$(grep -c '^| zt-segment *| *10000 |' <<<"$output")" = 2 ]
	# Requests a second of the second namespace without a firewall, against the first one.
	[ "$(awk -F'|' '/^\| none again/ && $7 > 0.7 && $7 < 1.4' <<<"$output" | wc -l)" = 2 ]
	# Nothing is left: what there is belongs to another bench that runs.
	local left
	while read -r left; do
		kill -0 "${left##*-}"
	done < <(find /run/netns /sys/fs/cgroup -maxdepth 2 -name 'zt-bench-*')
}
