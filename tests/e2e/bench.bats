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
	# One round of three: the numbers themselves are for ./dev bench.
	run timeout 240 "$PROGRAM" bench --rounds 1
	echo "$output"
	[ "$status" = 0 ]
	fits
	[ "$(grep -c '^| zt-segment *| *10000 |' <<<"$output")" = 2 ]
	# Requests a second of the second namespace without a firewall, against the first one.
	[ "$(awk -F'|' '/^\| none again/ && $7 > 0.6 && $7 < 1.7' <<<"$output" | wc -l)" = 2 ]
	# Nothing is left: what there is belongs to another bench that runs.
	local left
	while read -r left; do
		kill -0 "${left##*-}"
	done < <(find /run/netns /sys/fs/cgroup -maxdepth 2 -name 'zt-bench-*')
}

@test "bench --rounds takes a number from 1 to 32" {
	for wrong in 0 33 x ''; do
		run "$PROGRAM" bench --rounds "$wrong"
		[ "$status" = 2 ]
		[[ $output == *"is not a number from 1 to 32"* ]]
	done
}
