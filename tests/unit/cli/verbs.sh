#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every verb as a user types it, on the engine that enforces nothing: exit codes, what is said, JSON that parses, width.
# Usage: verbs.sh PROGRAM
set -u
program=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export ZT_TEST=1 ZT_TEST_ALLOW_INITIAL_NETNS=1 ZT_MEMORY_KERNEL=$dir/kernel NO_COLOR=1 COLUMNS=80
failed=0
count=0

zt() {
	"$program" --engine memory --state-dir "$dir/state" "$@"
}

# expect CODE PATTERN ARGS...: exit code, and a pattern (extended, may be empty) that the output has to hold
expect() {
	local code=$1 pattern=$2 got
	shift 2
	count=$((count + 1))
	zt "$@" >"$dir/out" 2>"$dir/err" </dev/null
	got=$?
	if [ "$got" != "$code" ] || { [ -n "$pattern" ] && ! cat "$dir/out" "$dir/err" | grep -qE -- "$pattern"; }; then
		failed=$((failed + 1))
		echo "FAIL: $* (exit $got, expected $code and /$pattern/)"
		sed 's/^/    /' "$dir/out" "$dir/err"
	fi
}

# json CODE FILTER ARGS...: the output is one JSON value and python says FILTER of it (as x) is true
json() {
	local code=$1 filter=$2
	shift 2
	expect "$code" '' "$@" -o json
	python3 -c 'import json, sys; x = json.load(open(sys.argv[1])); assert eval(sys.argv[2]), x' "$dir/out" "$filter" 2>"$dir/err" || {
		failed=$((failed + 1))
		echo "FAIL: $* -o json: $filter"
		tail -n 1 "$dir/err"
		head -c 2000 "$dir/out"
	}
}

narrow() {
	if awk 'length($0) > 80 { bad = 1; print "wider than 80: " $0 } END { exit !bad }' "$dir/out"; then
		failed=$((failed + 1))
	fi
}

cat >"$dir/rules.yaml" <<'YAML'
version: "1.0"
settings:
  default_policy: deny
rules:
  - name: "web-to-redis"
    from: {uid: 64001}
    to: {host: "127.0.0.1", port: 6379, protocol: tcp}
    action: allow
  - name: "db-no-egress"
    from: {uid: 64002}
    to: {host: "0.0.0.0/0"}
    action: deny
    log: true
  - name: "allow-dns"
    from: {user: "*"}
    to: {port: 53, protocol: udp}
    action: allow
  - name: "office-to-web-and-a-name-that-is-far-too-long-for-the-table"
    from: {host: 10.0.0.0/8}
    to: {port: 443, protocol: tcp}
    action: allow
tests:
  - {name: web reads the cache, from: {uid: 64001}, to: {host: 127.0.0.1, port: 6379, protocol: tcp}, expect: allow}
  - {name: an intruder does not, from: {uid: 64003}, to: {host: 127.0.0.1, port: 6379, protocol: tcp}, expect: deny}
YAML
chmod 644 "$dir/rules.yaml"
sed 's/expect: deny/expect: allow/' "$dir/rules.yaml" >"$dir/failing.yaml"
sed 's/port: 6379/potr: 6379/' "$dir/rules.yaml" >"$dir/bad.yaml"
sed 's/port: 443/port: 8443/' "$dir/rules.yaml" >"$dir/second.yaml"
rules=$dir/rules.yaml

# nothing yet
expect 3 'not active' status
json 3 'x["active"] is False' status
expect 3 'not active' drift
expect 3 'ZT5016' why --user 64001 --to 127.0.0.1:6379/tcp
expect 1 'would put in force' plan "$rules"
expect 0 'No generations yet' history

# policy files
expect 0 'OK.*4 rules' check "$rules"
json 0 'x["ok"] and x["rules"] == 4 and x["tests"] == 2' check "$rules"
expect 65 'potr' check "$dir/bad.yaml"
json 65 'not x["ok"] and any("potr" in f["message"] for f in x["findings"])' check "$dir/bad.yaml"
expect 65 'did you mean' apply "$dir/bad.yaml"
expect 0 '2 passed, 0 failed' test "$rules"
expect 1 'FAIL  an intruder' test "$dir/failing.yaml"
json 1 'x["failed"] == 1 and x["coverage"]["covered"] == 1' test "$dir/failing.yaml"
expect 0 'no test notices when .allow-dns. is turned into deny or removed' test --mutate "$rules"
json 0 'len(x["mutations_unnoticed"]) == 6' test --mutate "$rules"
expect 0 'web-to-redis' fmt "$rules"
cp "$dir/out" "$dir/formatted.yaml"
expect 0 '' fmt --check "$dir/formatted.yaml"
expect 0 '' fmt --write "$rules"
expect 0 '' fmt --check "$rules"
expect 2 '--write goes with a file' fmt --write -
expect 0 '.' render "$rules"
expect 0 'draft/2020-12' schema
python3 -m json.tool "$dir/out" >/dev/null || failed=$((failed + 1))

# enforce
expect 0 "Rule 'web-to-redis': UID 64001 -> 127.0.0.1:6379/tcp" --config "$rules"
grep -qE '^\[INFO\] [0-9-]+T[0-9:]+Z Loading micro-segmentation rules from ' "$dir/out" || failed=$((failed + 1))
grep -qE '^\[INFO\] .* Micro-segmentation ACTIVE$' "$dir/out" || { failed=$((failed + 1)); echo "FAIL: not ACTIVE"; cat "$dir/out"; }
expect 0 'web-to-redis' --status
narrow
for row in established preserve-ssh link-essentials log-denied default-deny; do
	grep -q "| $row " "$dir/out" || { failed=$((failed + 1)); echo "FAIL: no row $row"; }
done
grep -q '| office-to-web-and.*\.\. |' "$dir/out" || { failed=$((failed + 1)); echo "FAIL: the long name is not shortened"; }
# Into a pipe a table is as wide as what is in it.
unset COLUMNS
expect 0 '[|] office-to-web-and-a-name-that-is-far-too-long-for-the-table +[|]' --status
export COLUMNS=80
json 0 'x["active"] and x["generation"] == 1 and [r["name"] for r in x["rules"]][0] == "web-to-redis"' status
expect 0 'no changes|No changes' apply "$rules"
json 0 'x["outcome"] == "unchanged"' apply "$rules"
expect 0 'No changes' plan "$rules"
json 0 'x["active"] and not x["differs"]' plan "$rules"
expect 1 '1 changed' plan "$dir/second.yaml"
json 1 'x["differs"] and x["changes"][0]["change"] == "changed"' plan "$dir/second.yaml"
expect 0 'No drift' drift
json 0 'x["drifted"] is False' drift
expect 0 '' -q apply "$dir/second.yaml"
[ ! -s "$dir/out" ] || { failed=$((failed + 1)); echo "FAIL: -q is not quiet"; cat "$dir/out"; }
expect 0 '\*' history
narrow
json 0 'len(x["generations"]) >= 2' history
expect 0 'intact' history --verify
expect 0 'web-to-redis' history --show 1
expect 1 'ZT5015|no generation|4[0-9]{3}' history --show 99
expect 0 'Rolled back' rollback 1
expect 0 'No changes' plan "$rules"
expect 0 '' refresh
json 0 '"changed" in x' refresh

# explain
expect 0 "ALLOWED by rule 'web-to-redis'" why --user 64001 --to 127.0.0.1:6379/tcp
expect 0 'DENIED by the default policy' why --user 64003 --to 127.0.0.1:6379/tcp
grep -q 'user is not UID 64001' "$dir/out" || failed=$((failed + 1))
grep -q 'from: {uid: 64003}' "$dir/out" || failed=$((failed + 1))
narrow
expect 0 "DENIED by rule 'db-no-egress'" why --user 64002 --to 192.0.2.1:443
expect 0 'ALLOWED by rule .office' why --from 10.1.2.3 --to :443/tcp
expect 0 'ALLOWED by preserve-ssh' why --from 192.0.2.1 --to :22/tcp
expect 0 "ALLOWED by rule 'web-to-redis'" why --policy "$rules" --user 64001 --to localhost:6379
json 0 'x["allowed"] is False and x["edits"][0]["kind"] == "add" and x["edits"][0]["opens"] == ["uid 64003 -> 127.0.0.1:6379/tcp"]' why --user 64003 --to 127.0.0.1:6379/tcp
expect 2 'ZT5010' why --user 64001 --to nonsense
expect 2 'ZT5011' why --to 127.0.0.1:1
expect 2 'ZT5011' why --user no-such-user-here --to 127.0.0.1:1
expect 2 'ZT5013' why --user 1 --to 127.0.0.1:1 --at yesterday
expect 0 '^ZT5001: wrong usage' explain ZT5001
expect 1 'ZT5019' explain 4
expect 0 'ZT1' explain

# processes
expect 2 "ZT5040" who
expect 2 "ZT5040" who nobody
expect 1 "ZT5041" who 2147483647
expect 0 "policy|label|is not|is  " who $$ --policy "$rules"
narrow
json 0 "x[\"processes\"][0][\"pid\"] == $$" who $$

# events
cat >"$dir/log" <<'LOG'
1795494000.100000 h kernel: ZT-BLOCKED: IN= OUT=lo SRC=127.0.0.1 DST=127.0.0.1 LEN=60 PROTO=TCP SPT=5 DPT=6379 UID=64003 GID=64003
1795494001.100000 h kernel: ZT-BLOCKED: IN= OUT=lo SRC=127.0.0.1 DST=127.0.0.1 LEN=60 PROTO=TCP SPT=6 DPT=6379 UID=64003 GID=64003
1795494002.100000 h kernel: ZT-OBSERVED: IN= OUT=eth0 SRC=10.0.0.1 DST=192.0.2.9 LEN=60 PROTO=ICMP UID=64002 GID=64002
LOG
expect 0 'UID 64003 .* 2 ' blocked --since 2026-01-01 --source "file:$dir/log"
narrow
json 0 'x["total"] == 3 and len(x["groups"]) == 2' blocked --since 2026-01-01 --source "file:$dir/log"
expect 0 '^ZT-BLOCKED: IN= OUT=lo SRC=127.0.0.1 DST=127.0.0.1 LEN=60 PROTO=TCP SPT=5 DPT=6379 UID=64003 GID=64003$' \
	blocked --raw --since 2026-01-01 --source "file:$dir/log"
expect 0 'Nothing was blocked' blocked --user 1 --since 2026-01-01 --source "file:$dir/log"
expect 0 'UID 64003: 2 packets to 1 destination' report --since 2026-01-01 --source "file:$dir/log"
json 0 'len(x["senders"]) == 2' report --since 2026-01-01 --source "file:$dir/log"
expect 2 'there is no user "no-such-user-here".*ZT5011' blocked --user no-such-user-here --since 2026-01-01 --source "file:$dir/log"
expect 2 'there is no user "no-such-user-here".*ZT5011' report --user no-such-user-here --since 2026-01-01 --source "file:$dir/log"
expect 1 'ZT4503' blocked --source file:/no/such/file
expect 2 'ZT5013' blocked --since sometimes

# what happened: without a journal
expect 1 'ZT5026.*|zt-segmentd' learn
expect 2 'ZT5070' learn --for colour
expect 1 'ZT5026' whatif "$rules"
expect 1 'ZT5026' unused "$rules"

# usage
expect 2 'did you mean "apply"' aply
expect 2 'ZT5002' --instance 'A b' status
expect 2 'ZT5001' --netns '' --status --flush
expect 0 'zt-segment [0-9]' version
json 0 'any(e["name"] == "nft" for e in x["engines"])' version
for verb in $("$program" completion bash | sed -n "s/.* verbs='\([^']*\)'.*/\1/p"); do
	expect 0 "^zt-segment $verb: " "$verb" --help
	narrow
done

# the end
expect 0 'removed' --flush
expect 3 'not active' status
expect 0 '' flush

echo "$count commands, $failed failures"
[ "$failed" = 0 ]
