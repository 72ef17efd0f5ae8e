#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Containers of real runtimes, without an image registry: a root of busybox, a cgroup of our own, private /run.

bats_require_minimum_version 1.5.0

setup_file() {
	export LOOK=${ZT_TOP:-$(cd "$BATS_TEST_DIRNAME/../.." && pwd)}/build/tests/unit/identity/container-look
	export CG="zt-containers-$$"
	CG2=$(awk '$(NF-3) == "cgroup2" || / - cgroup2 / { print $5; exit }' /proc/self/mountinfo)
	export CG2
	export BUNDLE=$BATS_FILE_TMPDIR/bundle
	mkdir -p "$BUNDLE"/rootfs/{bin,lib,lib64,proc,sys,dev,tmp} "$CG2/$CG"
	cp /bin/busybox "$BUNDLE/rootfs/bin/"
	# what a dynamic busybox needs
	ldd /bin/busybox 2>/dev/null | grep -o '/[^ ]*' | while read -r lib; do
		mkdir -p "$BUNDLE/rootfs$(dirname "$lib")"
		cp -L "$lib" "$BUNDLE/rootfs$lib"
	done
}

teardown_file() {
	rmdir "$CG2/$CG"/* "$CG2/$CG" 2>/dev/null || true
	[ ! -d "$CG2/$CG" ]
}

# In the box: pure cgroup v2 whose root is ours, and a /run of its own. The script must end all that it starts.
box() {
	cat >"$BATS_TEST_TMPDIR/box.sh" <<-'SH'
		set -e
		umount -R /sys/fs/cgroup
		mount -t cgroup2 zt-test /sys/fs/cgroup
		mount -t tmpfs zt-test /run
		mkdir /sys/fs/cgroup/init
		echo 0 >/sys/fs/cgroup/init/cgroup.procs
	SH
	cat >>"$BATS_TEST_TMPDIR/box.sh"
	# shellcheck disable=SC2016 # for the inner shell
	run timeout -k 5 60 sh -c 'echo 0 >"$CG2/$CG/cgroup.procs" && exec unshare -m -C sh "$1"' sh "$BATS_TEST_TMPDIR/box.sh"
	echo "$output"
	echo 1 >"$CG2/$CG/cgroup.kill" # what a failed script left running in there
	for _ in $(seq 100); do
		find "$CG2/$CG" -mindepth 1 -depth -type d -exec rmdir {} + 2>/dev/null || true
		[ -n "$(find "$CG2/$CG" -mindepth 1 -type d)" ] || break
		sleep 0.05
	done
}

spec() {
	(cd "$BUNDLE" && rm -f config.json && "$1" spec)
	python3 - "$BUNDLE/config.json" <<-'PY'
		import json, sys
		s = json.load(open(sys.argv[1]))
		s["process"]["args"] = ["/bin/busybox", "sleep", "600"]
		s["process"]["terminal"] = False
		s["process"].pop("rlimits", None)
		s["linux"]["resources"] = {}
		json.dump(s, open(sys.argv[1], "w"))
	PY
}

# lifecycle RUNTIME ARGS...: by name while it runs, with the processes inside; not any more afterwards
lifecycle() {
	spec "$1"
	export RUNTIME="$*" ID="zt-$1-$$"
	box <<-'SH'
		cd "$BUNDLE"
		not_there() { "$LOOK" "$ID" 2>/dev/null && exit 97 || :; }
		not_there
		$RUNTIME run --detach "$ID" </dev/null >"$BATS_TEST_TMPDIR/err" 2>&1 || { cat "$BATS_TEST_TMPDIR/err"; exit 98; }
		pid=$($RUNTIME state "$ID" | jq .pid)
		echo "cgroup $("$LOOK" "$ID")"
		echo "process $(sed -n s,^0::/,,p "/proc/$pid/cgroup")"
		"$ZT_SEGMENT" who "$pid" -o json >"$BATS_TEST_TMPDIR/who.json"
		"$ZT_SEGMENT" who "$pid" >"$BATS_TEST_TMPDIR/who.txt"
		$RUNTIME kill "$ID" KILL
		while ! $RUNTIME delete "$ID" 2>/dev/null; do sleep 0.05; done
		not_there
		echo done
	SH
	[ "$status" = 0 ]
	[[ $output == *done ]]
	cgroup=$(echo "$output" | sed -n 's/^cgroup //p')
	process=$(echo "$output" | sed -n 's/^process //p')
	[ -n "$cgroup" ]
	[[ $process/ == "$cgroup"/* ]]
	python3 - "$BATS_TEST_TMPDIR/who.json" "$1" "$ID" "$cgroup" <<-'PY'
		import json, sys
		p = json.load(open(sys.argv[1]))["processes"][0]
		assert p["container"] == {"name": sys.argv[3], "id": sys.argv[3], "runtime": sys.argv[2], "cgroup": sys.argv[4]}, p
	PY
	grep -q "container  *$ID ($1)" "$BATS_TEST_TMPDIR/who.txt"
}

@test "a container of crun is found by its name, its processes lie inside" {
	lifecycle crun --cgroup-manager=cgroupfs
}

@test "a container of runc is found by its name, its processes lie inside" {
	lifecycle runc
}
