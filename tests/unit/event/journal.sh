#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The verb journal on journals that a writer made, made and still writes, or somebody damaged; docs/events.md has the tables of the program.
# Usage: journal.sh PROGRAM TEST-EVENT-JOURNAL DOCUMENT
set -u
program=$1 maker=$2 document=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export ZT_TEST=1 ZT_TEST_ALLOW_INITIAL_NETNS=1 NO_COLOR=1
failed=0

zt() {
	"$program" --state-dir "$dir/state" journal "$@"
}

# expect CODE PATTERN ARGS...
expect() {
	local code=$1 pattern=$2 got
	shift 2
	zt "$@" >"$dir/out" 2>"$dir/err" </dev/null
	got=$?
	if [ "$got" != "$code" ] || ! cat "$dir/out" "$dir/err" | grep -qE -- "$pattern"; then
		failed=$((failed + 1))
		echo "FAIL: $* (exit $got, expected $code and /$pattern/)"
		head -c 2000 "$dir/out" "$dir/err"
	fi
}

# json CODE FILTER ARGS...: each line of the output is x in turn
json() {
	local filter=$2
	expect "$1" . "${@:3}"
	python3 -c 'import json, sys
for line in open(sys.argv[1]) if sys.argv[3] == "lines" else [open(sys.argv[1]).read()]:
    x = json.loads(line); assert eval(sys.argv[2]), x' "$dir/out" "$filter" "${as:-whole}" 2>"$dir/err" || {
		failed=$((failed + 1))
		echo "FAIL: ${*:3}: $filter"
		tail -n 1 "$dir/err"
	}
}

lines() {
	local n
	n=$(wc -l <"$dir/out")
	[ "$n" = "$1" ] || { failed=$((failed + 1)); echo "FAIL: $n lines instead of $1"; }
}

expect 1 'ZT5026' status
expect 1 'ZT5026' vacuum
expect 1 'ZT5026' export
expect 2 'ZT5001' shrink
expect 2 'ZT5061' export --format xml
expect 2 'ZT5025' export --kind nothing
expect 2 'ZT4520' export --to nowhere
expect 2 'ZT5013' export --since sometimes

mkdir -p "$dir/state"
"$maker" write "$dir/state/journal/events.db" 5000 || failed=1
expect 0 'Events: +5,000, since 2024-12-27T10:00:00Z' status
json 0 'x["records"] == 5000 and x["clean"] and not x["written"] and x["flows"] > 0' status -o json
expect 0 'Intact: 5,000 events' check
json 0 'x["ok"] and x["records"] == 5000 and x["damaged_chunks"] == 0' check -o json
expect 0 'given back' vacuum
for format in json ecs ocsf syslog; do
	expect 0 . export --format "$format"
	lines 5000
done
as=lines
json 0 'x["kind"] in ("deny", "connect") and x["uid"] == 1003' export --kind deny,connect --user 1003
json 0 'x["ecs"]["version"] == "8.11.0"' export --format ecs --until 2024-12-27T10:00:01Z
lines 1001
json 0 'x["type_uid"] == x["class_uid"] * 100 + x["activity_id"]' export --format ocsf --since 2024-12-27T10:00:04Z
lines 1000
as=whole
expect 0 '^\| +TIMES|WHO|Times' flows
json 0 'sum(f["count"] for f in x["flows"]) > 1000 and x["flows"][0]["count"] >= x["flows"][-1]["count"]' flows -o json
json 0 '[f["name"] for f in x["fields"]][:2] == ["time", "kind"] and len(x["kinds"]) == 17' fields -o json

# sent to a log server: all of it arrives, each once
python3 - "$dir" <<'PY' &
import socket, sys
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen()
open(sys.argv[1] + "/port.new", "w").write(str(s.getsockname()[1]))
import os
os.rename(sys.argv[1] + "/port.new", sys.argv[1] + "/port")
data = s.accept()[0].makefile("rb").read()
n = 0
while data:
    length, _, rest = data.partition(b" ")
    assert rest[: int(length)].startswith(b"<"), rest[:80]
    data, n = rest[int(length) :], n + 1
open(sys.argv[1] + "/received", "w").write(str(n))
PY
receiver=$!
until [ -s "$dir/port" ]; do kill -0 "$receiver" || break; done
expect 0 '5000 events sent' export --to "syslog:tcp:127.0.0.1:$(cat "$dir/port")"
wait "$receiver"
[ "$(cat "$dir/received")" = 5000 ] || { failed=$((failed + 1)); echo "FAIL: not all arrived"; }
expect 1 '5000 of 5000 events could not be sent to .*: No such file or directory.*ZT4521' export --to "syslog:unix:$dir/none"

# while somebody writes
mkfifo "$dir/more" "$dir/written"
"$maker" hold "$dir/state/journal/events.db" 1000 <"$dir/more" >"$dir/written" &
writer=$!
exec 3>"$dir/more" 4<"$dir/written"
read -r _ <&4
json 0 'x["records"] == 6000 and x["written"]' status -o json
expect 0 'Intact: 6,000 events' check
expect 0 'given back' vacuum
expect 0 . export
lines 6000

# Ctrl-C: what happened before it, and is written a moment later, is sent all the same
rm "$dir/port"
python3 - "$dir" 3>&- 4<&- <<'PY' &
import socket, sys
s = socket.create_server(("127.0.0.1", 0))
open(sys.argv[1] + "/port", "w").write(str(s.getsockname()[1]))
f, n = s.accept()[0].makefile("rb"), 0
for size in iter(lambda: b"".join(iter(lambda: f.read(1).strip(), b"")), b""):
    f.read(int(size))
    n += 1
    if n in (6000, 6500):
        open(sys.argv[1] + "/received", "w").write(str(n))
PY
receiver=$!
until [ -s "$dir/port" ]; do kill -0 "$receiver" || break; done
"$program" --state-dir "$dir/state" journal export --follow --to "syslog:tcp:127.0.0.1:$(cat "$dir/port")" >"$dir/out" 2>"$dir/err" 3>&- 4<&- &
follower=$!
until [ "$(cat "$dir/received")" = 6000 ]; do kill -0 "$receiver" || break; done
head -c 500 /dev/zero >&3
kill -INT "$follower"
sleep 0.5
exec 3>&- 4<&-
wait "$writer"
wait "$follower" || { failed=$((failed + 1)); echo "FAIL: export --follow: $?"; cat "$dir/err"; }
wait "$receiver"
[ "$(cat "$dir/received" "$dir/out")" = "65006500 events sent." ] || { failed=$((failed + 1)); echo "FAIL: the last lines: $(cat "$dir/received" "$dir/out")"; }

# damage is found, and what is readable comes out
python3 - "$dir/state/journal/events.db" <<'PY'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("UPDATE ordinary SET data = zeroblob(100) WHERE first = (SELECT min(first) FROM ordinary)")
db.commit()
PY
expect 1 'ZT5062' check
json 1 'not x["ok"] and x["damaged_chunks"] == 1' check -o json
expect 1 'ZT5062' export
[ "$(wc -l <"$dir/out")" -gt 4000 ] || { failed=$((failed + 1)); echo "FAIL: too little came out"; }
head -c 5000 /dev/urandom >"$dir/state/journal/events.db"
expect 1 'ZT4515' status
expect 1 'the next start of zt-segmentd sets it aside' status

zt fields >"$dir/out"
sed -n '/^| kind |/,$p' "$document" | sed '/^<!-- end/,$d' | diff - "$dir/out" || {
	failed=$((failed + 1))
	echo "FAIL: the tables of $document are not those of \"zt-segment journal fields\""
}
echo "$failed failures"
[ "$failed" = 0 ]
