# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the tests of apply share. A network namespace with listeners on 127.0.0.1, ports 7001 and 7002; policy old lets uid 2001 reach
# the first, policy new uid 2002 the second; uid 2666 may never reach anything. Everything is named after the file and removed.

apply_setup() {
	export ZT_TEST=1
	export NS="ztapply$1$$" STATE="$BATS_FILE_TMPDIR/state" P="$BATS_FILE_TMPDIR"
	export ENGINE=${ENGINE:-nft}
	ip netns add "$NS"
	nsenter --net="/run/netns/$NS" ip link set lo up
	policy 2001 7001 >"$P/old.yaml"
	policy 2002 7002 >"$P/new.yaml"
	chmod 0644 "$P"/*.yaml
	nsenter --net="/run/netns/$NS" python3 - "$P/listening" 3>&- 4>&- <<-'PY' &
		import select, socket, sys
		socks = [socket.create_server(("127.0.0.1", port), backlog=64) for port in (7001, 7002)]
		open(sys.argv[1], "w").close()
		while True:
		    for s in select.select(socks, [], [])[0]:
		        s.accept()[0].close()
	PY
	echo $! >"$P/listener.pid"
	wait_for test -e "$P/listening"
}

apply_teardown() {
	[ ! -e "$P/listener.pid" ] || kill "$(cat "$P/listener.pid")" || :
	ip netns del "$NS" || :
}

# policy UID PORT: on standard output
policy() {
	cat <<-YAML
		version: "1.0"
		settings: {log_blocked: false}
		rules:
		  - {name: only, from: {uid: $1}, to: {host: 127.0.0.0/8, port: $2, protocol: tcp}, action: allow}
	YAML
}

wait_for() {
	local i
	for ((i = 0; i < 200; i++)); do
		if "$@" >/dev/null 2>&1; then return 0; fi
		sleep 0.1
	done
	echo "waited in vain for: $*"
	return 1
}

zt() {
	local verb=$1
	shift
	"$ZT_SEGMENT" "$verb" --netns "$NS" --state-dir "$STATE" "$@"
}

# The same program with faults: zt_fault VARIABLE N VERB …
zt_fault() {
	local fault="$1=$2" verb=$3
	shift 3
	env "$fault" "$ZT_SEGMENT_FAULTS" "$verb" --netns "$NS" --state-dir "$STATE" "$@"
}

in_ns() { nsenter --net="/run/netns/$NS" "$@"; }

can() {
	in_ns setpriv --reuid="$1" --regid="$1" --clear-groups timeout 2 bash -c "exec 3<>/dev/tcp/127.0.0.1/$2" 2>/dev/null
}

hash_now() { zt status -o json 2>/dev/null | jq -r '.hash // "none"'; }

# The kernel holds exactly the old or the new policy, or nothing at all where that may be: prints which. Asserted with packets.
held() {
	local hash
	hash=$(hash_now)
	case $hash in
	"$H_OLD") can 2001 7001 && ! can 2002 7002 && ! can 2666 7001 && echo old ;;
	"$H_NEW") can 2002 7002 && ! can 2001 7001 && ! can 2666 7002 && echo new ;;
	none) can 2666 7001 && echo none ;;
	# iptables is atomic a family: killed between the two, one has the old and one the new policy, each whole.
	"") [ "${ZT_ENGINE_NAME:-}" = iptables ] && ! can 2666 7001 && ! can 2666 7002 && { ! can 2001 7001 || ! can 2002 7002; } && echo mixed ;;
	*) echo "neither: $hash" && false ;;
	esac
}

# Nothing half-done is left.
settled() {
	local left drift=0
	left=$(find "$STATE" -name '*.tmp' -o -name pending -o -name backup)
	[ -z "$left" ] || {
		echo "left behind: $left"
		return 1
	}
	zt drift >"$P/drift" 2>&1 || drift=$?
	[ "$drift" = 0 ] || [ "$drift" = 3 ] || {
		cat "$P/drift"
		return 1
	}
	zt history --verify >"$P/verify" 2>&1 || {
		cat "$P/verify"
		return 1
	}
	! zt history -o json | jq -e '.generations[] | select(.state == "pending" or .corrupt)'
}

hashes() {
	zt apply "$P/new.yaml" >/dev/null && H_NEW=$(hash_now) && export H_NEW
	zt apply "$P/old.yaml" >/dev/null && H_OLD=$(hash_now) && export H_OLD
	[ "$H_OLD" != "$H_NEW" ] && [ "$H_OLD" != none ]
}
