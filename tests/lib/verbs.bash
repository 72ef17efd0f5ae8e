# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2034,SC2154 # read by the files that load this, and set by bats
# For the tests of verbs: a network namespace of the file's own, with an address besides loopback, and a state folder.
# Users are numbers, so that nothing has to exist.

WEB=64001 DB=64002 INTRUDER=64003

make_bed() {
	[ "$(id -u)" = 0 ] || skip "needs root"
	export NS=$1$$ STATE=$BATS_FILE_TMPDIR/state TOP=${ZT_TOP:-$(cd "$BATS_TEST_DIRNAME/../.." && pwd)}
	export PROGRAM=${ZT_SEGMENT:-$TOP/build/zt-segment} ZT_TEST=1 COLUMNS=80
	unset NO_COLOR CLICOLOR_FORCE
	ip netns add "$NS"
	ip -n "$NS" link set lo up
	ip -n "$NS" addr add 192.0.2.10/24 dev lo
	chmod 755 "$BATS_FILE_TMPDIR"
}

remove_bed() {
	[ -z "${NS:-}" ] || ip netns del "$NS"
}

# zt ARGS...: the program on the bed.
zt() {
	"$PROGRAM" --netns "$NS" --state-dir "$STATE" "$@"
}

# as UID COMMAND...
as() {
	local id=$1
	shift
	nsenter --net="/run/netns/$NS" setpriv --reuid="$id" --regid="$id" --clear-groups -- "$@"
}

# wait_for SECONDS COMMAND...
wait_for() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.1
	done
}

# policy NAME: standard input becomes a policy file, its path is in $POLICY.
policy() {
	POLICY=$BATS_TEST_TMPDIR/$1.yaml
	cat >"$POLICY"
	chmod 644 "$POLICY"
}

shop() {
	policy "${1:-shop}" <<-YAML
		version: "1.0"
		settings: {log_limit: 1000/second}
		rules:
		  - {name: web-to-redis, from: {uid: $WEB}, to: {host: localhost, port: 6379, protocol: tcp}, action: allow}
		  - {name: db-isolated, from: {uid: $DB}, to: {host: any}, action: deny, log: true, priority: 50}
		  - {name: dns, from: {user: "*"}, to: {port: 53, protocol: both}, action: allow}
		  - {name: https-in, from: {host: 192.0.2.0/24}, to: {port: 443, protocol: tcp}, action: allow}
		tests:
		  - {name: web reads, from: {uid: $WEB}, to: {host: 127.0.0.1, port: 6379}, expect: allow}
		  - {name: others do not, from: {uid: $INTRUDER}, to: {host: 127.0.0.1, port: 6379}, expect: deny}
	YAML
}

# is_json FILTER ARGS...: standard output is one JSON value of which jq says FILTER is true; the exit code is in $code.
is_json() {
	local filter=$1
	shift
	code=0
	zt "$@" -o json >"$BATS_TEST_TMPDIR/json" 2>"$BATS_TEST_TMPDIR/err" || code=$?
	jq -en "input | $filter" "$BATS_TEST_TMPDIR/json" >/dev/null || {
		echo "not $filter:"
		head -c 2000 "$BATS_TEST_TMPDIR/json" "$BATS_TEST_TMPDIR/err"
		return 1
	}
}

fits() {
	! grep -E '^.{81}' <<<"$output"
}

# try UID HOST PORT: a connection; what came of it is in the exit code (0 open, 1 refused or forbidden).
try() {
	as "$1" timeout 5 bash -c "exec 3<>/dev/tcp/$2/$3" 2>/dev/null
}

denied() {
	! try "$@"
}
