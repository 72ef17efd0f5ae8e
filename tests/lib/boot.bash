# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# For boot.bats and daemon-boot.bats: units, a policy and a script for the tree of package.bash, and a boot of it.

# unit NAME DEPENDENCIES WANTED-BY ONESHOT [RUN]
unit() {
	{
		printf '[Unit]\n%s\n[Service]\n' "$2"
		if [ -n "$4" ]; then
			printf 'Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/bash -c "%s"\n' "$4"
		else
			printf 'ExecStart=/bin/bash -c "%s"\n' "$(echo "$5" | tr -d '\n')"
		fi
		printf '[Install]\nWantedBy=%s\n' "$3"
	} | sed 's/^[ \t]*//' >"$TREE/etc/systemd/system/$1"
	mkdir -p "$TREE/etc/systemd/system/$3.wants"
	ln -sf "/etc/systemd/system/$1" "$TREE/etc/systemd/system/$3.wants/"
}

# policy DEFAULT MORE-RULES
policy() {
	cat >"$TREE/etc/zt-segment/rules.yaml" <<-YAML
		version: "1.0"
		settings: {default_policy: $1, log_blocked: false}
		rules:
		  - {name: allow-dns, from: {user: "*"}, to: {port: 53, protocol: both}, action: allow}
		$2
	YAML
}

# boot SCRIPT: boots, runs it when everything is up, powers off. Its output is in $output.
boot() {
	cat >"$TREE/probe" <<-'SH'
		can() { timeout 2 setpriv --reuid="$1" --regid="$1" --clear-groups bash -c "exec 3<>/dev/tcp/$2/$3" 2>/dev/null && echo "$1 can $3" || echo "$1 cannot $3"; }
		wait_for() { for _ in $(seq 100); do "$@" && return 0; sleep 0.1; done; echo "waited in vain for $*"; return 1; }
	SH
	echo "$1" >>"$TREE/probe"
	"$TOP/tests/lib/boot.sh" "$TREE" "$NS" 60 >"$BATS_TEST_TMPDIR/console" 2>&1 || {
		tail -n 40 "$BATS_TEST_TMPDIR/console"
		return 1
	}
	output=$(cat "$TREE/var/log/probe")
	echo "$output"
}
