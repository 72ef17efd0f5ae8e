#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The cases of the README on real services. Everything lives in two network namespaces, a child cgroup and a temporary
# folder; nothing is left behind. Ends with 0 only when every case went as promised.
set -eu
cd "$(dirname "$0")/.."
# A mount namespace of its own: the programs of the bpf engine are pinned in a file system that nobody else sees.
[ -n "${ZT_DEMO_MOUNTS:-}" ] || ZT_DEMO_MOUNTS=1 exec unshare -m --propagation private "$PWD/packaging/demo.sh" "$@"
export ZT_TEST=1
zt_segment=${ZT_SEGMENT:-$PWD/build/zt-segment}
ns=ztdemo$$
peer=ztpeer$$
tmp=$(mktemp -d /tmp/ztdemo.XXXXXX)
chmod 755 "$tmp"
cgroup=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
failed=0
sshd_run=
pinned=

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
	bold=$(printf '\033[1m') green=$(printf '\033[32m') red=$(printf '\033[31m') dim=$(printf '\033[2m') off=$(printf '\033[0m')
else
	bold='' green='' red='' dim='' off=''
fi

die() {
	echo "demo: $*" >&2
	exit 1
}

cleanup() {
	trap - EXIT
	[ -z "$pinned" ] || zt flush >/dev/null 2>&1 || :
	[ -z "$cgroup" ] || ! [ -d "$cgroup/$ns" ] || {
		echo 1 >"$cgroup/$ns/cgroup.kill"
		wait_for 50 emptied || :
		rmdir "$cgroup/$ns" || :
	}
	ip netns del "$ns" 2>/dev/null || :
	ip netns del "$peer" 2>/dev/null || :
	[ -z "$sshd_run" ] || rmdir /run/sshd 2>/dev/null || :
	rm -rf "$tmp"
}

emptied() {
	grep -q '^populated 0' "$cgroup/$ns/cgroup.events"
}

# wait_for TENTHS COMMAND...: until the command is true; false when it takes longer.
wait_for() {
	tenths=$1
	shift
	while ! "$@" >/dev/null 2>&1; do
		tenths=$((tenths - 1))
		[ "$tenths" -gt 0 ] || return 1
		sleep 0.1
	done
}

# in_ns NAMESPACE COMMAND...: as root, in the namespace and the cgroup of the demo.
in_ns() {
	space=$1
	shift
	# shellcheck disable=SC2016 # for the inner shell
	sh -c 'echo $$ >"$1/cgroup.procs"; space=$2; shift 2; exec nsenter --net=/run/netns/$space "$@"' sh "$cgroup/$ns" "$space" "$@"
}

# as USER COMMAND...: the same as one of the demo users, whether or not it exists. ping has what its file gives it: CAP_NET_RAW.
as() {
	id=$(user_id "$1")
	shift
	case $* in
	*ping*-c*) in_ns "$ns" setpriv --reuid="$id" --regid="$id" --clear-groups --inh-caps=+net_raw --ambient-caps=+net_raw -- "$@" ;;
	*) in_ns "$ns" setpriv --reuid="$id" --regid="$id" --clear-groups --inh-caps=-all -- env HOME=/ "$@" ;;
	esac
}

user_id() {
	id -u "$1" 2>/dev/null || case $1 in
	web-user) echo 61001 ;;
	db-user) echo 61002 ;;
	attacker-user) echo 61003 ;;
	esac
}

zt() {
	in_ns "$ns" "$zt_segment" --netns "$ns" --cgroup "$ns" --state-dir "$tmp/state" "$@"
}

title() {
	printf '\n%s%s%s\n' "$bold" "$*" "$off"
}

# attempt USER COMMAND...: shows the command as its user would type it and what came of it; the code is in $code.
attempt() {
	user=$1
	shift
	printf '  %s$ sudo -u %s %s%s\n' "$dim" "$user" "$*" "$off"
	code=0
	as "$user" "$@" >"$tmp/out" 2>&1 </dev/null || code=$?
	sed 's/^/  /; s/[[:space:]]*$//' "$tmp/out" | grep -v '^ *$' | head -n 6 || :
}

# promise TEXT COMMAND...: keeps the score.
promise() {
	text=$1
	shift
	if "$@" >/dev/null 2>&1; then
		printf '  %sas promised:%s %s\n' "$green" "$off" "$text"
	else
		printf '  %sNOT as promised:%s %s\n' "$red" "$off" "$text"
		failed=$((failed + 1))
	fi
}

# logged PATTERN...: a line of the log that matches all of them, within three seconds.
logged() {
	wait_for 30 find_line "$@" || :
	line=$(find_line "$@") || { line='' && return 0; }
	printf '  %slogged: %s%s\n' "$dim" "$(echo "$line" | sed 's/MAC=[^ ]* //; s/ LEN=.*PROTO/ … PROTO/; s/ SEQ=[^ ]*//; s/ ACK=[^ ]*//; s/ WINDOW=.*URGP=[^ ]*/ …/')" "$off"
}

find_line() {
	found=$(cat "$tmp/log")
	for pattern in "$@"; do
		found=$(echo "$found" | grep -E -- "$pattern") || return 1
	done
	echo "$found" | tail -n 1
}

[ "$(id -u)" = 0 ] || die "needs root: sudo ./dev demo"
[ -x "$zt_segment" ] || die "$zt_segment is missing: ./dev build"
[ -n "$cgroup" ] || die "no cgroup2 is mounted"
trap cleanup EXIT
trap 'exit 130' INT TERM

# A server at 192.168.1.100; behind 192.168.1.1 the rest of the world, 8.8.8.8 and a machine of an administrator.
mkdir "$cgroup/$ns"
ip netns add "$ns"
ip netns add "$peer"
ip -n "$ns" link add eth0 type veth peer name eth0 netns "$peer"
ip -n "$ns" addr add 192.168.1.100/24 dev eth0
ip -n "$peer" addr add 192.168.1.1/24 dev eth0
ip -n "$peer" addr add 8.8.8.8/32 dev lo
for space in "$ns" "$peer"; do
	ip -n "$space" link set lo up
	ip -n "$space" link set eth0 up
done
ip -n "$ns" route add default via 192.168.1.1

# The services.
mkdir "$tmp/db" "$tmp/web"
chown "$(user_id db-user)" "$tmp/db"
echo "<h1>web shop</h1>" >"$tmp/web/index.html"
as db-user redis-server --port 6379 --bind 127.0.0.1 ::1 --dir "$tmp/db" --save '' --pidfile "$tmp/db/pid" >"$tmp/redis.log" 2>&1 </dev/null &
as web-user python3 -m http.server 8080 --directory "$tmp/web" >"$tmp/web.log" 2>&1 </dev/null &
in_ns "$peer" python3 -m http.server 80 --bind 8.8.8.8 --directory "$tmp/web" >"$tmp/peer.log" 2>&1 </dev/null &
ssh-keygen -q -t ed25519 -N '' -f "$tmp/host_key"
ssh-keygen -q -t ed25519 -N '' -f "$tmp/key"
cat >"$tmp/sshd_config" <<CONFIG
Port 22
HostKey $tmp/host_key
AuthorizedKeysFile $tmp/key.pub
PidFile none
StrictModes no
UsePAM no
UseDNS no
PermitRootLogin yes
CONFIG
[ -d /run/sshd ] || { mkdir -m 755 /run/sshd && sshd_run=1; }
in_ns "$ns" /usr/sbin/sshd -D -e -f "$tmp/sshd_config" >"$tmp/sshd.log" 2>&1 </dev/null &

answers() {
	in_ns "$1" python3 -c 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)' "$2" "$3"
}
wait_for 100 answers "$ns" 127.0.0.1 6379 || die "redis-server does not answer: $(tail -n 2 "$tmp/redis.log")"
wait_for 100 answers "$ns" 127.0.0.1 8080 || die "the web server does not answer: $(tail -n 2 "$tmp/web.log")"
wait_for 100 answers "$peer" 192.168.1.100 22 || die "sshd does not answer: $(tail -n 2 "$tmp/sshd.log")"
wait_for 100 answers "$ns" 8.8.8.8 80 || die "the other machine does not answer"

# Users that do not exist here appear in the policy as the numbers that stand in for them.
cp examples/web-shop.yaml "$tmp/rules.yaml"
for user in web-user db-user attacker-user; do
	id "$user" >/dev/null 2>&1 || sed -i -E "s/user: *\"?$user\"?/uid: $(user_id "$user")/g" "$tmp/rules.yaml"
done

title "One server, real services"
echo "  redis-server on port 6379      as db-user       (UID $(user_id db-user))"
echo "  a web server on port 8080      as web-user      (UID $(user_id web-user))"
echo "  an intruder                    as attacker-user (UID $(user_id attacker-user))"
echo "  sshd on port 22, an administrator at 192.168.1.1, the internet at 8.8.8.8"

title "Before: everything may talk to everything"
attempt attacker-user redis-cli -h 127.0.0.1 ping
promise "without a policy the intruder reads the cache" grep -q PONG "$tmp/out"
attempt web-user busybox ping -c 1 -W 2 8.8.8.8
promise "and a compromised web server reaches the internet" [ "$code" = 0 ]

title "The policy (examples/web-shop.yaml)"
grep -v '^ *#' "$tmp/rules.yaml" | sed -n '/^rules:/,/^tests:/p' | grep -v '^tests:' | sed 's/^./  &/'
printf '  %s$ sudo zt-segment apply rules.yaml%s\n' "$dim" "$off"
zt apply "$tmp/rules.yaml" >"$tmp/out" 2>&1 || { sed 's/^/  /' "$tmp/out" && die "the policy could not be applied"; }
sed 's/^/  /' "$tmp/out"
zt blocked --follow --raw --source nflog >"$tmp/log" 2>"$tmp/log.err" </dev/null &
# It listens once it reports what is tried.
heard() {
	answers "$ns" 127.0.0.1 1 || find_line 'DPT=1 '
}
wait_for 50 heard || die "nothing is logged: $(tail -n 2 "$tmp/log.err")"

title "Test case 1: the authorised path, web-user to redis"
attempt web-user redis-cli -h 127.0.0.1 ping
promise "redis answers web-user" grep -q PONG "$tmp/out"

title "Test case 2: an unauthorised path, attacker-user to redis"
attempt attacker-user curl -sS --max-time 5 http://127.0.0.1:6379
promise "the intruder is refused at once" grep -qi -E 'refused|failed to connect|couldn.t connect' "$tmp/out"
logged 'DPT=6379 ' "UID=$(user_id attacker-user)( |\$)"
promise "the log names the intruder" [ -n "$line" ]
printf '  %s$ sudo zt-segment why --user attacker-user --to 127.0.0.1:6379%s\n' "$dim" "$off"
zt why --user "$(user_id attacker-user)" --to 127.0.0.1:6379 >"$tmp/out" 2>&1 || :
sed -n '1,/^$/{/./s/^/  /p}' "$tmp/out"
promise "and why says what decided" grep -q 'DENIED by the default policy' "$tmp/out"

title "Test case 3: lateral movement, web-user to the internet"
attempt web-user busybox ping -c 1 -W 2 8.8.8.8
promise "ping: Operation not permitted" grep -q 'Operation not permitted' "$tmp/out"
logged 'DST=8.8.8.8 ' 'PROTO=ICMP' "UID=$(user_id web-user)( |\$)"
promise "the log names web-user" [ -n "$line" ]
attempt web-user curl -sS --max-time 5 http://8.8.8.8/
promise "no download, no command and control" [ "$code" != 0 ]

title "Test case 4: SSH still works"
printf '  %sadmin@192.168.1.1$ ssh root@192.168.1.100%s\n' "$dim" "$off"
# shellcheck disable=SC2016 # for the shell at the other end
in_ns "$peer" ssh -n -F /dev/null -i "$tmp/key" -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
	-o LogLevel=ERROR -o ConnectTimeout=5 root@192.168.1.100 'echo "logged in, from ${SSH_CLIENT%% *}"' >"$tmp/out" 2>&1 || :
sed 's/^/  /' "$tmp/out"
promise "a new SSH connection from another machine logs in" grep -q '^logged in' "$tmp/out"

title "zt-segment status"
zt status >"$tmp/out" 2>&1 || failed=$((failed + 1))
sed 's/^/  /' "$tmp/out"

# ---- both ends by program ----
pair_policy() {
	cat >"$tmp/pair.yaml" <<-POLICY
		version: "1.0"
		identities:
		  web: {user: $1, exe: $(command -v redis-cli)}
		  cache: {user: $2, exe: $(command -v redis-server)}
		rules:
		  - name: web-to-cache
		    from: {identity: web}
		    to: {identity: cache, host: localhost, port: 6379}
		    action: allow
	POLICY
}

pair() {
	attempt web-user redis-cli -h 127.0.0.1 ping
	promise "the pair talks: web-user by redis-cli, db-user by redis-server" grep -q PONG "$tmp/out"
	attempt web-user curl -sS --max-time 5 http://127.0.0.1:6379
	promise "another program of web-user is refused at once" grep -qi -E 'refused|failed to connect|couldn.t connect' "$tmp/out"
	attempt attacker-user redis-cli -h 127.0.0.1 ping
	promise "the same program of another user is refused" grep -qi refused "$tmp/out"
	kill "$(cat "$tmp/db/pid")"
	wait_for 100 free || die "redis-server does not end"
	printf '  %s$ sudo -u attacker-user redis-server --port 6379   # redis is gone, a fake takes its place%s\n' "$dim" "$off"
	as attacker-user redis-server --port 6379 --bind 127.0.0.1 --dir / --save '' >"$tmp/fake.log" 2>&1 </dev/null &
	wait_for 100 grep -q 'Ready to accept' "$tmp/fake.log" || die "the fake redis does not start: $(tail -n 2 "$tmp/fake.log")"
	attempt web-user redis-cli -h 127.0.0.1 ping
	promise "the fake redis of another user on the same port is not reached" grep -qi refused "$tmp/out"
	printf '  %s$ sudo zt-segment who :6379%s\n' "$dim" "$off"
	zt who :6379 >"$tmp/out" 2>&1 || :
	grep -E '^PID|user|program|is not|^  is ' "$tmp/out" | sed 's/^/  /'
	promise "and who tells why: it is not @cache" grep -q 'is not.*@cache' "$tmp/out"
}

# Nobody listens on redis' port.
free() {
	! nsenter --net="/run/netns/$ns" python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 6379))' 2>&1 | grep -q 'in use'
}

title "Both ends by program: the bpf engine"
for user in web-user db-user; do # by number where they do not exist
	id "$user" >/dev/null 2>&1 || user=$(user_id "$user")
	set -- "$@" "$user"
done
pair_policy "$@"
zt flush >/dev/null 2>&1
if mount -t bpf bpf /sys/fs/bpf >"$tmp/out" 2>&1 && zt --engine bpf apply "$tmp/pair.yaml" >"$tmp/out" 2>&1; then
	pinned=1
	sed -n '/^identities/,$s/^/  /p' "$tmp/pair.yaml"
	pair
else
	echo "  not shown, the bpf engine cannot enforce here: $(tail -n 1 "$tmp/out")"
fi

[ "$failed" = 0 ] || die "$failed promises were not kept"
printf '\n%sAll cases went as promised.%s\n' "$bold" "$off"
