#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# run: pairs
# events: what real processes do, attributed and counted. A control group and a network namespace bound what is looked at.

bats_require_minimum_version 1.5.0

setup_file() {
	export ZT_TEST=1 NO_COLOR=1 NS=zt-events-$$ CG=zt-events-$$ P=$BATS_FILE_TMPDIR
	CG_MOUNT=$(awk '$3 == "cgroup2" {print $2; exit}' /proc/mounts)
	export CG_DIR=$CG_MOUNT/$CG
	mkdir "$CG_DIR"
	ip netns add "$NS"
	ip -n "$NS" link set lo up
}

teardown_file() {
	ip netns del "$NS"
	for _ in $(seq 50); do
		rmdir "$CG_DIR" 2>/dev/null && return
		sleep 0.1
	done
	return 1
}

teardown() {
	[ ! -e "$P/watcher" ] || kill "$(cat "$P/watcher")" 2>/dev/null || true
	rm -f "$P/watcher"
}

# watch ARGS...: events into $P/events until stop
watch() {
	"$ZT_SEGMENT" events --follow -o json --cgroup "$CG" --netns "$NS" "$@" >"$P/events" 2>"$P/said" 3>&- &
	echo $! >"$P/watcher"
	# It tells of the first program that it sees.
	for _ in $(seq 100); do
		inside true
		[ ! -s "$P/events" ] || return 0
		kill -0 "$(cat "$P/watcher")" || { cat "$P/said"; return 1; }
		sleep 0.05
	done
	return 1
}

stop() {
	sleep 0.3
	kill -INT "$(cat "$P/watcher")"
	wait "$(cat "$P/watcher")" || true
	rm "$P/watcher"
	cat "$P/said"
}

# inside COMMAND...: in the control group and the network namespace
inside() {
	(echo "$BASHPID" >"$CG_DIR/cgroup.procs" && exec timeout 60 nsenter --net="/run/netns/$NS" "$@") 3>&-
}

# one FILTER: exactly one event is so
one() {
	local n
	n=$(jq -c "select($1)" "$P/events" | wc -l)
	[ "$n" = 1 ] || { echo "$n events: $1"; grep -v '"exit"' "$P/events" | tail -n 30; return 1; }
}

@test "a program: its file, digest, arguments, user, control group and the tree above it" {
	watch
	inside setpriv --reuid=65534 --regid=65534 --clear-groups /usr/bin/env -i A=b /usr/bin/printf '%s' "one two" >/dev/null
	inside /usr/bin/env "$(printf 'A=%0600d' 0)" /usr/bin/uname -a >/dev/null
	inside sh -c 'exit 7' || true
	# shellcheck disable=SC2016 # expanded by the inner shell
	inside sh -c 'kill -9 $$' || true
	stop
	one '.kind == "exec" and .exe == "/usr/bin/printf" and .uid == 65534 and .user == "nobody" and .args == "/usr/bin/printf %s one two"
		and .cgroup == env.CG and (.parents | test("\\[1\\]$"))'
	[ "$(jq -r 'select(.exe == "/usr/bin/printf" and .kind == "exec").digest' "$P/events")" = "$(sha256sum /usr/bin/printf | cut -d' ' -f1)" ]
	# What is left out shows: an attacker can put his arguments behind as many others as he likes.
	one '.kind == "exec" and .comm == "env" and (.args | test("^/usr/bin/env A=0{493}[.]{3}$"))'
	one '.kind == "exec" and .comm == "uname" and .args == "/usr/bin/uname -a"'
	one '.kind == "exit" and .exit_code == 7 and .comm == "sh"'
	one '.kind == "exit" and .signal == 9 and .comm == "sh"'
}

@test "a program of another mount namespace with the path and the inode number of an honest one has not its digest" {
	mkdir -p "$P/disk"
	mount -t tmpfs none "$P/disk"
	cp /usr/bin/printf "$P/disk/tool"
	watch
	# shellcheck disable=SC2016 # expanded by the inner shell
	run inside unshare -m --propagation private sh -c 'before=$(stat -c %i "$1/tool") && mount -t tmpfs none "$1" && cp /usr/bin/sleep "$1/tool" &&
		[ "$before" = "$(stat -c %i "$1/tool")" ] && "$1/tool" 1 && cp /usr/bin/true "$1/more" && mv "$1/more" "$1/tool" && "$1/tool"' sh "$P/disk"
	umount "$P/disk"
	stop
	[ "$status" = 0 ]
	[ "$(jq -r "select(.kind == \"exec\" and .filename == \"$P/disk/tool\" and .args != \"$P/disk/tool\").digest" "$P/events")" = "$(sha256sum /usr/bin/sleep | cut -d' ' -f1)" ]
	run ! grep "$(sha256sum /usr/bin/printf | cut -d' ' -f1)" "$P/events"
}

@test "a process ends with its last thread, once; until then it is known" {
	leaderless='
import ctypes, os, socket, sys, threading, time
def work():
    time.sleep(int(sys.argv[1]))
    try:
        socket.create_connection(("127.0.0.1", 9))
    except OSError:
        pass
    [threading.Thread(target=time.sleep, args=(9,)).start() for _ in range(9)]
    os._exit(7)
threading.Thread(target=work).start()
ctypes.CDLL(None).syscall(60, 0) # exit of this thread alone'
	inside /usr/bin/python3 -c "$leaderless" 3 3>&- &
	older=$!
	sleep 0.5
	watch
	inside /usr/bin/python3 -c "$leaderless" 0 || true
	inside /usr/bin/python3 -c '
import os, threading
threading.Thread(target=lambda: os.execv("/usr/bin/true", ["true", "by-thread"])).start()
threading.Event().wait()'
	wait "$older" || true
	stop
	[ "$(jq -c 'select(.kind == "connect") | select(.exe | test("/python3")) | .error' "$P/events" | wc -l)" = 2 ] || { cat "$P/events"; false; }
	[ "$(jq -c 'select(.comm == "python3" and .kind == "exit") | .exit_code' "$P/events" | tr '\n' ' ')" = "7 7 " ] || { jq -c 'select(.kind == "exit")' "$P/events"; false; }
	one '.kind == "exec" and .args == "true by-thread"'
	pid=$(jq 'select(.args == "true by-thread").pid' "$P/events")
	one ".kind == \"exit\" and .pid == $pid"
}

@test "a connection that both sides begin, or that goes to itself, is one of who began it" {
	watch
	inside /usr/bin/python3 -c '
import socket
c = socket.socket()
c.bind(("127.0.0.1", 7113))
c.connect(("127.0.0.1", 7113))'
	stop
	one '.kind == "connect" and .dport == 7113 and .sport == 7113 and .error == null'
	run ! grep '"accept"' "$P/events"
}

@test "TCP: both ends with their bytes, exactly, and a connection that is refused" {
	watch
	inside /usr/bin/python3 -c '
import socket, os
s = socket.create_server(("127.0.0.1", 7001))
if os.fork() == 0:
    os.setgid(2001); os.setuid(2001)
    c = socket.socket(); c.connect(("127.0.0.1", 7001))
    c.sendall(b"q" * 12345)
    c.shutdown(socket.SHUT_WR)
    n = 0
    while True:
        d = c.recv(65536)
        if not d: break
        n += len(d)
    assert n == 2345678
    os._exit(0)
c, _ = s.accept()
n = 0
while n < 12345:
    n += len(c.recv(65536))
c.sendall(b"a" * 2345678)
c.close()
os.wait()
try:
    socket.create_connection(("127.0.0.1", 7002))
except ConnectionRefusedError:
    pass
t = socket.create_server(("::1", 7003), family=socket.AF_INET6)
d = socket.create_connection(("::1", 7003))
'
	stop
	one '.kind == "listen" and .dst == "127.0.0.1" and .dport == 7001 and .uid == 0'
	one '.kind == "connect" and .uid == 2001 and .dst == "127.0.0.1" and .dport == 7001 and .protocol == "tcp" and .error == null'
	one '.kind == "accept" and .uid == 0 and .dport == 7001 and .direction == "ingress"'
	one '.kind == "close" and .direction == "egress" and .dport == 7001 and .bytes_sent == 12345 and .bytes_received == 2345678 and .uid == 2001'
	one '.kind == "close" and .direction == "ingress" and .dport == 7001 and .bytes_sent == 2345678 and .bytes_received == 12345 and .duration > 0'
	one '.kind == "connect" and .dport == 7002 and .error == "Connection refused" and .sport > 0'
	one '.kind == "connect" and .dst == "::1" and .dport == 7003'
}

@test "sockets that are older than we: whose they are, and both ends of what comes" {
	cat >"$P/old.py" <<-'PY'
		import os, socket, sys
		t = socket.create_server(("127.0.0.1", 7031)); v = socket.create_server(("::", 7032), family=socket.AF_INET6, dualstack_ipv6=True)
		u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("127.0.0.1", 7033))
		if os.fork() == 0:
		    os.setgid(2002); os.setuid(2002)
		    old = socket.socket(); old.connect(("127.0.0.1", 7031)); old.sendall(b"o" * 100)
		    old.recv(1)
		    os._exit(0)
		c, _ = t.accept(); c.recv(100, socket.MSG_WAITALL)
		print("ready", file=open(sys.argv[1], "w"))
		os.setgid(2001); os.setuid(2001)
		n, _ = t.accept(); n.recv(5, socket.MSG_WAITALL); n.close()
		n, _ = v.accept(); n.recv(6, socket.MSG_WAITALL); n.close()
		u.recv(100)
		c.close(); os.wait()
	PY
	mkfifo "$P/old.fifo"
	inside /usr/bin/python3 "$P/old.py" "$P/old.fifo" &
	old=$!
	read -r _ <"$P/old.fifo"
	watch
	inside setpriv --reuid=2003 --regid=2003 --clear-groups bash -c '
		exec 3<>/dev/tcp/127.0.0.1/7031; printf 12345 >&3; exec 3>&-
		exec 3<>/dev/tcp/127.0.0.1/7032; printf 123456 >&3; exec 3>&-
		echo x >/dev/udp/127.0.0.1/7033'
	wait "$old"
	stop
	rm "$P/old.fifo"
	server=$(jq -r 'select(.kind == "accept" and .dport == 7031).pid' "$P/events")
	export server
	one '.kind == "accept" and .dport == 7031 and .uid == 2001 and .exe == "/usr/bin/python3.11" and .peer_uid == 2003 and .peer_gid == 2003 and .peer_exe == "/usr/bin/bash" and .peer_pid > 1 and .peer_start > 0 and (.peer_digest | length) == 64 and .peer_cgroup == env.CG'
	one '.kind == "connect" and .dport == 7031 and .uid == 2003 and .peer_pid == (env.server | tonumber) and .peer_uid == 2001 and .peer_gid == 2001 and .peer_exe == "/usr/bin/python3.11" and (.peer_digest | length) == 64 and .peer_cgroup == env.CG'
	one '.kind == "connect" and .dport == 7032 and .peer_pid == (env.server | tonumber)'
	one '.kind == "accept" and .dport == 7032 and .pid == (env.server | tonumber) and .peer_uid == 2003'
	one '.kind == "close" and .dport == 7032 and .direction == "egress" and .bytes_sent == 6 and .uid == 2003 and .peer_pid == (env.server | tonumber)'
	one '.kind == "close" and .dport == 7032 and .direction == "ingress" and .pid == (env.server | tonumber) and .peer_uid == 2003'
	# The connection that was there: both of its ends, which of them began, and that its age is not known.
	one '.kind == "close" and .dport == 7031 and .direction == "ingress" and .bytes_received == 100 and .pid == (env.server | tonumber) and .peer_uid == 2002 and .duration == null'
	one '.kind == "close" and .dport == 7031 and .direction == "egress" and .bytes_sent == 100 and .uid == 2002 and .peer_pid == (env.server | tonumber)'
	one '.kind == "flow" and .dport == 7033 and .direction == "egress" and .uid == 2003 and .peer_pid == (env.server | tonumber) and .peer_uid == 2001'
	one '.kind == "flow" and .dport == 7033 and .direction == "ingress" and .pid == (env.server | tonumber) and .peer_uid == 2003'
}

@test "sockets that get an address: of UDP, and of TCP that nobody waits at; a port that the kernel chose is told, one it gave unasked is not" {
	watch --kind exec,bind,listen
	inside setpriv --reuid=2001 --regid=2001 --clear-groups /usr/bin/python3 -c '
import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(("127.0.0.1", 7041))
socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).bind(("::1", 7042))
socket.socket().bind(("127.0.0.1", 7043))
socket.socket().bind(("127.0.0.1", 0))
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 7041))'
	stop
	one '.kind == "bind" and .dport == 7041 and .protocol == "udp" and .dst == "127.0.0.1" and .uid == 2001 and .exe == "/usr/bin/python3.11" and .direction == "ingress" and .src == null'
	one '.kind == "bind" and .dport == 7042 and .protocol == "udp" and .dst == "::1"'
	one '.kind == "bind" and .dport == 7043 and .protocol == "tcp"'
	one '.kind == "bind" and .dport > 32767'
}

# Where the kernel lets programs look at its functions the call itself is told (tests/vm/calls), else what the process does next.
@test "a process that runs gets another user: told, from which to which" {
	watch --kind exec,privilege
	inside /usr/bin/python3 -c '
import os
os.setgid(2001)
os.setuid(2001)
os.execv("/bin/true", ["true"])'
	stop
	one '.kind == "privilege" and .uid == 0 and .euid == 2001 and (.detail | test("uid 0 to 2001"))'
}

@test "a program that has more rights than who starts it: by its user, its group, or capabilities of its file" {
	for name in plain suid sgid caps ambient; do cp /usr/bin/true "$BATS_TEST_TMPDIR/$name"; done
	chmod 755 "$BATS_FILE_TMPDIR" "$BATS_TEST_TMPDIR"
	chgrp 2002 "$BATS_TEST_TMPDIR/sgid"
	chmod 4755 "$BATS_TEST_TMPDIR/suid"
	chmod 2755 "$BATS_TEST_TMPDIR/sgid"
	/usr/bin/python3 -c 'import os, struct, sys; os.setxattr(sys.argv[1], "security.capability", struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0))' "$BATS_TEST_TMPDIR/caps"
	watch --kind privilege,exec
	for name in plain suid sgid caps; do inside setpriv --reuid=2001 --regid=2001 --clear-groups "$BATS_TEST_TMPDIR/$name"; done
	inside setpriv --reuid=2001 --regid=2001 --clear-groups --inh-caps=+net_raw --ambient-caps=+net_raw "$BATS_TEST_TMPDIR/ambient"
	inside setpriv --reuid=2001 --regid=2001 --clear-groups unshare -U "$BATS_TEST_TMPDIR/plain" || true # not allowed everywhere
	stop
	one '.kind == "privilege" and .comm == "suid" and .uid == 2001 and .euid == 0 and .detail == "euid 2001 to 0"'
	one '.kind == "privilege" and .comm == "sgid" and .uid == 2001 and .gid == 2002 and .detail == "gid 2001 to 2002"'
	one '.kind == "privilege" and .comm == "caps" and .uid == 2001 and .detail == "capabilities 0x2000 more"'
	run ! jq -e 'select(.kind == "privilege" and .uid == 2001 and (.comm == "plain" or .comm == "ambient"))' "$P/events"
}

@test "UDP, ICMP and a mapped address: the flow is told once, its bytes when it is idle or over" {
	watch --kind exec,flow,close
	inside /usr/bin/python3 -c '
import socket
r = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); r.bind(("127.0.0.1", 7004))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 7005))
for i in range(100): s.sendto(b"x" * 77, ("127.0.0.1", 7004))
m = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); m.sendto(b"y" * 5, ("::ffff:127.0.0.1", 7006))
p = socket.socket(socket.AF_INET, socket.SOCK_RAW, 253); p.sendto(b"z" * 9, ("127.0.0.1", 0))
'
	stop
	one '.kind == "flow" and .direction == "egress" and .sport == 7005 and .dport == 7004 and .protocol == "udp"'
	one '.kind == "flow" and .direction == "ingress" and .sport == 7005 and .dport == 7004'
	one '.kind == "flow" and .dst == "127.0.0.1" and .dport == 7006'
	one '.kind == "flow" and .direction == "egress" and .protocol == "253" and .dst == "127.0.0.1"'
}

@test "DNS: who asked for what, what was answered, and the name on the connection that follows" {
	watch
	inside /usr/bin/python3 -c '
import socket, os
q = bytes.fromhex("123401000001000000000000") + b"\x04shop\x04test\x00\x00\x01\x00\x01"
r = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); r.bind(("127.0.0.1", 53))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(q, ("127.0.0.1", 53))
d, who = r.recvfrom(512)
r.sendto(bytes.fromhex("123481800001000100000000") + q[12:] + bytes.fromhex("c00c00010001000000ff00047f000009"), who)
s.recv(512)
l = socket.create_server(("127.0.0.9", 7007))
socket.create_connection(("127.0.0.9", 7007))
r.sendto(b"no DNS at all", who)
'
	stop
	[ "$(jq -c 'select(.kind == "dns" and .direction == "egress" and .query == "shop.test" and .query_type == "A" and .rcode == null)' "$P/events" | wc -l)" = 1 ]
	[ "$(jq -c 'select(.kind == "dns" and .rcode == "NOERROR" and .answers == "127.0.0.9")' "$P/events" | wc -l)" = 2 ]
	one '.kind == "connect" and .dst == "127.0.0.9" and .name == "shop.test"'
	[ "$(jq -c 'select(.kind == "dns" and .detail == "not a message of DNS")' "$P/events" | wc -l)" = 2 ] || { jq -c 'select(.kind == "dns" or .kind == "flow")' "$P/events"; false; }
}

@test "DNS over TCP: a message is told once, however its sender cuts it" {
	watch --kind exec,dns
	inside /usr/bin/python3 -c '
import socket, struct, time
def message(name, flags, more=b""):
    m = struct.pack("!6H", 7, flags, 1, 1 if more else 0, 0, 0) + b"".join(bytes([len(x)]) + x for x in name.split(b".")) + b"\0\0\1\0\1" + more
    return struct.pack("!H", len(m)) + m
server = socket.create_server(("127.0.0.1", 53))
c = socket.create_connection(("127.0.0.1", 53))
a = server.accept()[0]
for s in (a, c):
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
questions = message(b"cut.test", 0x100) + message(b"next.test", 0x100)
for i in range(0, len(questions), 5):
    c.send(questions[i:i + 5])
    time.sleep(0.002)
answers = message(b"cut.test", 0x8180, b"\xc0\x0c\0\1\0\1\0\0\1\0\0\4" + bytes([192, 0, 2, 7])) + message(b"next.test", 0x8183)
a.send(answers[:1])
a.send(answers[1:])
time.sleep(0.1)'
	sleep 0.3
	stop
	for name in cut next; do
		[ "$(jq -c "select(.query == \"$name.test\") | .direction + \" \" + (.rcode // \"\")" "$P/events" | sort | uniq -c | wc -l)" = 4 ]
		[ "$(jq -c "select(.query == \"$name.test\")" "$P/events" | wc -l)" = 4 ]
	done
	[ "$(jq -r 'select(.query == "cut.test" and .rcode).answers' "$P/events" | uniq)" = 192.0.2.7 ]
	run ! grep 'not a message' "$P/events"
}

@test "DNS over TCP: a message that begins in the first packet of its connection" {
	inside sh -c 'echo 519 >/proc/sys/net/ipv4/tcp_fastopen' # without cookies, as after an earlier connection
	watch --kind exec,dns
	inside /usr/bin/python3 -c '
import socket
q = bytes.fromhex("123401000001000000000000") + b"\4fast\4test\0\0\1\0\1"
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)
server.bind(("127.0.0.1", 53))
server.listen()
c = socket.socket()
c.sendto(len(q).to_bytes(2, "big"), 0x20000000, ("127.0.0.1", 53)) # MSG_FASTOPEN
a = server.accept()[0]
assert a.recv(2) == len(q).to_bytes(2, "big")
c.sendall(q)
a.recv(len(q), socket.MSG_WAITALL)'
	stop
	one '.kind == "dns" and .query == "fast.test" and .direction == "egress"'
}

@test "DNS over TCP: told of this network namespace, not of others; which one it was" {
	cat >"$P/tcp53.py" <<-'PY'
		import os, socket, sys
		q = bytes.fromhex("123401000001000000000000") + bytes([len(sys.argv[1])]) + sys.argv[1].encode() + b"\x04test\x00\x00\x01\x00\x01"
		t = socket.create_server(("127.0.0.1", 53))
		c = socket.socket(); c.connect(("127.0.0.1", 53)); a, _ = t.accept()
		c.sendall(len(q).to_bytes(2, "big") + q); a.recv(len(q) + 2, socket.MSG_WAITALL)
	PY
	watch --kind dns,exec
	inside unshare -n sh -c 'ip link set lo up && exec /usr/bin/python3 "$@"' sh "$P/tcp53.py" elsewhere
	inside /usr/bin/python3 "$P/tcp53.py" here
	stop
	[ "$(jq -c 'select(.kind == "dns" and .query == "here.test" and .exe == "/usr/bin/python3.11" and .netns > 0 and .peer_exe == .exe)' "$P/events" | wc -l)" = 2 ]
	[ "$(jq -c 'select(.kind == "dns" and .query == "elsewhere.test")' "$P/events" | wc -l)" = 0 ]
}

# told_of FILE: it is opened until an event says so
told_of() {
	local before i
	before=$(grep -c "$1" "$P/events" || true)
	for ((i = 0; i < 200; i++)); do
		cat "$P/home/ann/.ssh/$1" >/dev/null
		[ "$(grep -c "$1" "$P/events")" = "$before" ] || return 0
		sleep 0.05
	done
	echo "$1 is not watched${2:+: $2}"
	return 1
}

# The watcher takes $P/home for /home: the keys of a user that only it has.
@test "a sensitive file: who opened it, by whatever path, also after it was replaced again and again" {
	mkdir -p "$P/home/ann/.ssh"
	echo secret | tee "$P/home/ann/.ssh/id_one" >"$P/home/ann/.ssh/id_two"
	# shellcheck disable=SC2016 # for the inner shell
	unshare -m --propagation private sh -c 'mount --bind "$1" /home && shift && exec "$@"' sh "$P/home" \
		"$ZT_SEGMENT" events open --follow -o json >"$P/events" 2>"$P/said" 3>&- &
	echo $! >"$P/watcher"
	told_of id_one
	# Some are gone before anybody can look: a program, and a process that never started one.
	inside /usr/bin/python3 -c 'import sys, time; f = open(sys.argv[1]); time.sleep(0.5)' "$P/home/ann/.ssh/id_one"
	# shellcheck disable=SC2016
	inside sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do /usr/bin/head -c 0 "$1"; done
		/usr/bin/perl -e "for (1 .. 20) { fork or do { open my \$f, q(<), \$ARGV[0]; exit }; wait }" "$1"' sh "$P/home/ann/.ssh/id_two"
	for _ in $(seq 200); do
		[ "$(grep -c /id_two "$P/events")" -lt 40 ] || break
		sleep 0.1
	done
	for i in 1 2 3 4; do # file systems give the number of a file that is gone to another one
		echo "$i" >"$P/home/ann/new" && mv "$P/home/ann/new" "$P/home/ann/.ssh/id_one"
		told_of id_one "replaced for the $i. time"
	done
	stop
	one '.kind == "open" and .comm == "python3" and .exe == "/usr/bin/python3.11" and (.path | endswith("/id_one"))'
	gone='.path | endswith("/id_two")'
	[ "$(jq -c "select(.comm == \"head\" and .exe == \"/usr/bin/head\" and (.parents | test(\"sh\")) and .uid == 0 and ($gone))" "$P/events" | wc -l)" = 20 ] ||
		{ jq -c "select($gone) | {pid, comm, exe, parents}" "$P/events"; false; }
	[ "$(jq -c "select(.comm == \"perl\" and (.exe | startswith(\"/usr/bin/perl\")) and ($gone))" "$P/events" | wc -l)" = 20 ] ||
		{ jq -c "select($gone) | {pid, comm, exe, parents}" "$P/events"; false; }
}

# told_to FILTER: soon exactly one event is so
told_to() {
	for _ in $(seq 300); do
		! jq -ec "select($1)" "$P/events" 2>/dev/null | grep -q . || break
		sleep 0.1
	done
	one "$1"
}

@test "a sensitive file that is refused: to whom, why, by whatever way it is named; of others the descriptor" {
	"$ZT_SEGMENT" events open --follow -o json >"$P/events" 2>"$P/said" 3>&- &
	echo $! >"$P/watcher"
	for _ in $(seq 300); do
		cat /etc/shadow >/dev/null
		[ ! -s "$P/events" ] || break
		sleep 0.1
	done
	run -1 as_nobody cat /etc/shadow
	told_to '.kind == "open" and .path == "/etc/shadow" and .error == "Permission denied" and .error_number == 13 and .uid == 65534 and .user == "nobody" and
		.exe == "/usr/bin/cat" and .comm == "cat" and .pid > 1 and .fd == null and .cgroup == env.CG and (.parents | length > 0)'
	as_nobody /usr/bin/python3 -c '
import os, sys
def refused(name, error, flags=os.O_RDONLY, dir_fd=None):
    try:
        os.open(name, flags, dir_fd=dir_fd)
    except OSError as e:
        assert e.errno == error, (name, e)
        return
    raise SystemExit(name)
os.chdir("/etc")
refused("shadow", 13)
refused("ssl/.././/gshadow", 13)
os.chdir("/usr/lib")
refused("../../etc/./gshadow", 13)
refused("/usr/../proc/self/../../home/zt/.ssh/id_none", 2)
root = os.open("/", os.O_RDONLY)
refused("home/zt/.ssh/id_none", 2, dir_fd=root)
refused("/home/zt/.ssh/id_none", 2, os.O_RDONLY | os.O_DIRECTORY)
refused("/etc/shadow", 17, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
refused("/home/zt/.ssh/id_\x1b[2J\n\"}", 2)
# None of these is in the list.
refused("/etc/shadow.none", 2)
refused("/home/zt/.ssh/id_none/deeper", 2)
refused("/home/zt/deeper/.ssh/id_one", 2)
refused("/home/zt/.ssh/id_one.pub", 2)
refused("/etc/none", 2)
' 2>&1 || { cat "$P/said"; false; }
	# The last word of this test: what came before it has been told.
	run ! /usr/bin/python3 -c 'import os; os.chroot("/usr"); open("/etc/shadow")' # another file of that name
	/usr/bin/python3 -c 'import os
spare = [os.open("/dev/null", os.O_RDONLY) for _ in range(40)]
os.close(spare[20])
assert os.open("/etc/shadow", os.O_RDONLY) == spare[20]'
	told_to '.kind == "open" and .comm == "python3" and .path == "/etc/shadow" and .fd >= 20 and .error == null and .error_number == null'
	stop
	jq -c 'select(.comm == "python3" and .error != null) | [.path, .error_number]' "$P/events" >"$P/refused"
	printf '%s\n' '["/etc/shadow",13]' '["/etc/gshadow",13]' '["/etc/gshadow",13]' '["/home/zt/.ssh/id_none",2]' '["/home/zt/.ssh/id_none",2]' \
		'["/home/zt/.ssh/id_none",2]' '["/etc/shadow",17]' '["/home/zt/.ssh/id_\\x1b[2J\\x0a\"}",2]' >"$P/expected"
	diff "$P/expected" "$P/refused"
	run ! env LC_ALL=C grep -P '[\x00-\x08\x0b-\x1f\x7f]' "$P/events"
	# Each is told once: as the program counts them.
	[ "$(jq -c 'select(.comm == "cat" and .uid == 65534)' "$P/events" | wc -l)" = 1 ]
	run ! jq -ec 'select(.error == null and .fd == null)' "$P/events"
}

@test "a process takes control of another: who, of whom; what this kernel cannot show is said" {
	watch --kind exec,ptrace
	# Again and again: an attach can come before the kernel tells of the program as started.
	for i in $(seq 60); do cp /bin/sleep "$P/program$i"; done
	inside /usr/bin/python3 -c '
import ctypes, os, subprocess, sys
def attach(program):
    p = subprocess.Popen([program, "60"])
    assert ctypes.CDLL(None).ptrace(16, p.pid, 0, 0) == 0
    os.waitpid(p.pid, 0x40000000)
    p.kill()
    p.wait()
attach("/bin/sleep")
for program in sys.argv[1:]:
    attach(program)
' "$P"/program*
	stop
	one '.kind == "ptrace" and .request == "PTRACE_ATTACH" and .exe == "/usr/bin/python3.11" and .peer_pid > 1 and (.peer_exe // "" | endswith("/sleep")) and .cgroup == env.CG'
	n=$(jq -c 'select(.kind == "ptrace" and (.peer_exe // "" | contains("/program")))' "$P/events" | wc -l)
	[ "$n" = 60 ] || { jq -c 'select(.kind == "ptrace") | [.peer_pid, .peer_exe]' "$P/events"; false; }
	# Either every way is seen, or it is said which are not.
	run -0 timeout --preserve-status -s INT 2 "$ZT_SEGMENT" events --follow --kind ptrace --cgroup "$CG"
	[[ ${#lines[@]} = 1 || ${lines[0]} == "zt-segment: ptrace: only PTRACE_ATTACH is seen"* ]] || { echo "$output"; false; }
	if [ ! -e /proc/modules ]; then
		run -1 "$ZT_SEGMENT" events --follow --kind module --cgroup "$CG"
		[[ $output == *"events of kind module cannot be seen here: this kernel has no modules"*ZT4530* ]]
	fi
}

@test "hostile names break no line, no terminal and no parser" {
	watch
	printf '#!/bin/sh\n' >"$P/x"
	inside /usr/bin/python3 -c '
import os, sys
name = b"\x1b[2J\n\"},{\"kind\":\"exec\xff\xe2\x80\xae"
os.symlink(sys.argv[1].encode(), sys.argv[2].encode() + name)
os.execv(sys.argv[2].encode() + name, [name, name + b"\r"])
' /bin/true "$P/h"
	stop
	jq -es "length > 0" "$P/events" >/dev/null
	run ! env LC_ALL=C grep -P '[\x00-\x08\x0b-\x1f\x7f]' "$P/events"
	one '.kind == "exec" and .exe == "/usr/bin/true" and (.filename | contains("\\x1b[2J\\x0a"))' ||
		one '.kind == "exec" and (.exe | endswith("/true")) and (.filename | contains("\\x1b[2J\\x0a"))'
}

@test "10,000 programs in a row: told and lost are all there were" {
	watch --kind exec
	before=$(wc -l <"$P/events")
	inside sh -c 'i=0; while [ $i -lt 10000 ]; do /bin/true; i=$((i+1)); done'
	stop
	told=$(jq -c 'select(.kind == "exec" and .comm == "true")' "$P/events" | wc -l)
	lost=$(sed -n 's/^zt-segment: \([0-9]*\) events of kind exec were lost.*/\1/p' "$P/said")
	echo "told $told lost ${lost:-0}, before $before"
	[ $((told + ${lost:-0})) -ge 10000 ]
	[ $((told + ${lost:-0})) -le $((10000 + before + 10)) ] # those that started it all may be among the lost
	[ "$(jq -r 'select(.comm == "true") | .exe' "$P/events" | sort -u | wc -l)" = 1 ]
}

@test "who ends events --follow is told first what happened until then" {
	watch --kind exec
	kill -STOP "$(cat "$P/watcher")"
	for i in 1 2 3; do inside /bin/true "last-$i"; done
	kill -INT "$(cat "$P/watcher")"
	kill -CONT "$(cat "$P/watcher")"
	wait "$(cat "$P/watcher")"
	rm "$P/watcher"
	for i in 1 2 3; do one ".kind == \"exec\" and .args == \"/bin/true last-$i\""; done
}

@test "the columns of execsnoop, tcplife and opensnoop; mistakes are told" {
	timeout 60 "$ZT_SEGMENT" events exec --follow --cgroup "$CG" >"$P/events" 3>&- &
	follower=$!
	for _ in $(seq 300); do
		[ ! -s "$P/events" ] || break # its head comes once it looks
		sleep 0.1
	done
	inside /bin/true one
	for _ in $(seq 300); do
		! grep -q 'true one' "$P/events" || break
		sleep 0.1
	done
	kill "$follower"
	wait "$follower" || :
	[ "$(head -n 1 "$P/events")" = "PCOMM            PID     PPID    RET ARGS" ]
	grep -Eq '^true             [0-9]+ +[0-9]+ +  0 /bin/true one$' "$P/events"
	run -2 "$ZT_SEGMENT" events --follow --kind exec,nothing
	[[ $output == *'"nothing" is no kind of event'*ZT5025* ]]
	run -2 "$ZT_SEGMENT" events everything
	run -2 "$ZT_SEGMENT" events open --kind exec --follow
	run -1 "$ZT_SEGMENT" events --state-dir "$P/state"
	[[ $output == *ZT5026* ]]
	run -1 "$ZT_SEGMENT" events --follow --kind exec --cgroup no/such/group
	[[ $output == *ZT4507* ]]
	run -77 setpriv --reuid=65534 --clear-groups "$ZT_SEGMENT" events --follow --cgroup "$CG"
	# A test that names no control group would look at the whole machine.
	run -77 timeout 5 "$ZT_SEGMENT" events --follow
	[[ $output == *"nothing is attached to the root control group"* ]]
}

as_nobody() { inside setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }

@test "what the policy blocks is among the events, with rule and verdict and the processes of both ends" {
	cat >"$P/rules.yaml" <<-'YAML'
		version: "1.0"
		settings: {log_limit: 1000/second}
		rules:
		  - {name: no-telnet, from: {uid: 65534}, to: {host: 127.0.0.0/8, port: 23, protocol: tcp}, action: deny, log: true}
	YAML
	chmod 644 "$P/rules.yaml"
	"$ZT_SEGMENT" apply "$P/rules.yaml" --engine nft --netns "$NS" --state-dir "$P/state"
	mkfifo "$P/hold"
	inside /usr/bin/python3 -c 'import socket, sys; s = socket.create_server(("127.0.0.1", 23)); u = socket.socket(type=socket.SOCK_DGRAM); u.bind(("127.0.0.1", 25))
print(flush=True); sys.stdin.read()' <"$P/hold" >"$P/holds" &
	exec 5>"$P/hold"
	until [ -s "$P/holds" ]; do sleep 0.05; done
	watch --state-dir "$P/state"
	as_nobody bash -c 'exec 3<>/dev/tcp/127.0.0.1/23' || true
	as_nobody timeout 0.2 bash -c 'exec 3<>/dev/tcp/127.0.0.1/24' || true
	# A connected socket of UDP, as of a resolver, whose process has ended before the record can be read.
	as_nobody /usr/bin/python3 -c '
import socket
s = socket.socket(type=socket.SOCK_DGRAM); s.connect(("127.0.0.1", 25)); s.send(b"x")' || true
	stop
	exec 5>&-
	"$ZT_SEGMENT" flush --netns "$NS" --state-dir "$P/state"
	one '.kind == "deny" and .dport == 23 and .exe == "/usr/bin/bash" and .pid > 1 and .start > 0 and (.parents | test("\\[1\\]$")) and (.digest | length) == 64
		and .cgroup == env.CG and .peer_uid == 0 and .peer_exe == "/usr/bin/python3.11" and .peer_pid > 1 and .netns > 0'
	one '.kind == "deny" and .dport == 24 and .exe == "/usr/bin/bash" and .peer_pid == null'
	one '.kind == "deny" and .dport == 25 and .exe == "/usr/bin/python3.11" and .uid == 65534 and .pid > 1 and .peer_exe == "/usr/bin/python3.11" and .peer_uid == 0'
	one '.kind == "deny" and .rule == "no-telnet" and .dport == 23 and .uid == 65534 and .user == "nobody" and .direction == "egress" and .verdict == "drop"'
	one '.kind == "deny" and .rule == null and .dport == 24 and .protocol == "tcp" and .dst == "127.0.0.1"'
}

@test "top: what a process sends and receives a second, and that it ends" {
	inside /usr/bin/python3 -c '
import socket, threading, time
s = socket.create_server(("127.0.0.1", 7011))
def serve():
    c, _ = s.accept()
    while c.recv(65536): pass
threading.Thread(target=serve, daemon=True).start()
c = socket.create_connection(("127.0.0.1", 7011))
end = time.time() + 6
while time.time() < end:
    c.sendall(b"x" * 10000)
    time.sleep(0.01)
' 3>&- &
	sleep 1
	run timeout 20 "$ZT_SEGMENT" top --netns "$NS" --cgroup "$CG" --count 1 --interval 2s -o json
	[ "$status" = 0 ]
	jq -en 'input | .[0] | .program == "python3.11" and .open == 2 and .sent_per_second > 100000 and .sent_per_second < 1100000
		and .received_per_second / .sent_per_second > 0.8 and .peer == "127.0.0.1"' <<<"$output" || { echo "$output"; false; }
	run timeout 20 "$ZT_SEGMENT" top --netns "$NS" --cgroup "$CG" --count 1 --interval 1s
	[[ $status = 0 && $output == *python3.11* ]]
	# On a terminal: q ends it and the screen is as it was.
	(sleep 2.5; printf q) | timeout 20 script -qec "$ZT_SEGMENT top --netns $NS --cgroup $CG --interval 1s" /dev/null >"$P/screen"
	grep -q $'\033\\[?1049h' "$P/screen"
	tail -c 20 "$P/screen" | grep -q $'\033\\[?1049l'
	wait
	run -2 "$ZT_SEGMENT" top --interval 1ms
}

@test "the journal: what happened can be read again, and summed up" {
	watch --state-dir "$P/state"
	inside setpriv --reuid=65534 --regid=65534 --clear-groups /usr/bin/python3 -c '
import socket
s = socket.create_server(("127.0.0.1", 7021)); c = socket.socket(); c.connect(("127.0.0.1", 7021)); a, _ = s.accept()
c.sendall(b"x" * 1500); assert len(a.recv(2000)) == 1500; c.close(); a.close()'
	stop
	mkdir -p "$P/past/journal"
	jq -c 'select(.kind != "exec" or .uid == 65534)' "$P/events" | "$ZT_TOP/build/tests/lib/fill-journal" "$P/past/journal/events.db"
	run "$ZT_SEGMENT" events --state-dir "$P/past" --kind connect,close
	[ "$status" = 0 ]
	[[ $output == *ID*TIME*connect*nobody*python3.11*127.0.0.1:7021/tcp* ]] || { echo "$output"; cut -c1-200 "$P/events"; false; }
	"$ZT_SEGMENT" events --state-dir "$P/past" --kind close -o json >"$P/again"
	diff <(jq -S 'del(.id)' "$P/again") <(jq -S 'select(.kind == "close")' "$P/events")
	run "$ZT_SEGMENT" events tcp --state-dir "$P/past"
	[[ $output == *LADDR*python3*127.0.0.1*7021* ]]
	run "$ZT_SEGMENT" stats user --state-dir "$P/past" -o json
	jq -en 'input | .sums[0] | .user == "nobody" and .flows == 2 and .bytes_sent == 1500 and .bytes_received == 1500 and .denied == 0' <<<"$output"
	run "$ZT_SEGMENT" stats program --state-dir "$P/past"
	[[ $output == */usr/bin/python3.11*1.5K* ]]
	run -1 "$ZT_SEGMENT" stats --state-dir "$P/none"
	[[ $output == *"there is no journal of events"*ZT5026* ]]
	run -2 "$ZT_SEGMENT" stats colour
}

@test "stats: what was only observed was not denied; options that a part does not take are refused" {
	mkdir -p "$P/odd/journal"
	for v in '"connect"' '"deny","verdict":"observe"' '"deny","verdict":"drop"'; do
		echo "{\"time\":\"$(date -u -d '5 minutes ago' +%FT%TZ)\",\"kind\":$v,\"uid\":2001,\"direction\":\"egress\",\"protocol\":\"tcp\",\"dst\":\"192.0.2.7\",\"dport\":443}"
	done | "$ZT_TOP/build/tests/lib/fill-journal" "$P/odd/journal/events.db"
	"$ZT_SEGMENT" stats --state-dir "$P/odd" -o json | jq -e '.sums == [.sums[0]] and (.sums[0] | .flows == 1 and .denied == 1 and .observed == 1)'
	for words in "status --kind connect" "vacuum --since 1h" "vacuum --user root" "fields --follow" "fields --to tcp:127.0.0.1:1" "check --until 1h" "flows --format ecs" "flows --kind connect"; do
		# shellcheck disable=SC2086 # several words
		run -2 "$ZT_SEGMENT" journal $words --state-dir "$P/odd"
		[[ $output == *"does not take --"*ZT5001* ]]
	done
	# Of another year: it shows.
	for d in "2 years ago" "2 years" "2 days ago"; do
		echo "{\"time\":\"$(date -u -d "$d" +%FT%TZ)\",\"kind\":\"exec\",\"pid\":7,\"uid\":2001}"
	done | "$ZT_TOP/build/tests/lib/fill-journal" "$P/odd/journal/events.db"
	run -0 "$ZT_SEGMENT" events --kind exec --since 1000d --state-dir "$P/odd"
	for d in "$(date -u -d "2 years ago" +%F)" "$(date -u -d "2 years" +%F)" "$(date -u -d "2 days ago" "+%m-%d %H:")"; do [[ $output == *" $d"* ]] || { echo "$output"; false; }; done
	# Whatever allocation fails: all rows, whole, or an error.
	full=$("$ZT_SEGMENT" journal export --format syslog --until 1m --state-dir "$P/odd")
	for n in {10..24}; do
		run env ZT_FAIL_ALLOC="$n" "${ZT_SEGMENT_FAULTS:-$ZT_SEGMENT}" journal export --format syslog --until 1m --state-dir "$P/odd"
		[ "$status" != 0 ] || [ "$output" = "$full" ] || { echo "allocation $n: $output"; false; }
	done
	n=0
	full=$("$ZT_SEGMENT" stats --since 1000d --state-dir "$P/odd" | wc -l)
	until [ "$status" = 0 ] && [ "$n" -gt 48 ]; do
		n=$((n + 1))
		run env ZT_FAIL_ALLOC=$n "${ZT_SEGMENT_FAULTS:-$ZT_SEGMENT}" stats --since 1000d --state-dir "$P/odd"
		[ "$status" != 0 ] || [ "${#lines[@]}" = "$full" ] || { echo "allocation $n: $output"; false; }
	done
	run -2 "$ZT_SEGMENT" top --count 0
	run -65 "$ZT_SEGMENT" whatif "$P/no-such-file" --state-dir "$P/odd"
}

@test "who looks at a part of the events is told what was lost of it" {
	mkdir -p "$P/lossy/journal"
	at=$(date -u -d '5 minutes ago' +%FT%TZ)
	for v in '"connect","pid":7,"uid":2001,"comm":"x","cgroup":"a/b","direction":"egress","protocol":"tcp","dst":"192.0.2.7","dport":443' \
		'"lost","detail":"connect","count":1204' '"lost","detail":"exec","count":3' '"lost","detail":"deny","count":2' '"state","reason":"gap","detail":"nobody watched"'; do
		echo "{\"time\":\"$at\",\"kind\":$v}"
	done | "$ZT_TOP/build/tests/lib/fill-journal" "$P/lossy/journal/events.db"
	# look ROWS LOST ARGS...: so many rows, and standard error says this of losses: count and kind, a blank between the pairs
	look() {
		local rows=$1 lost=$2 have
		shift 2
		run -0 --separate-stderr "$ZT_SEGMENT" events "$@" --state-dir "$P/lossy" -o json
		have=$(sed -n 's/^zt-segment: \([0-9,]*\) more events of kind \([a-z]*\) were lost, .*/\1 \2/p' <<<"$stderr" | xargs)
		# shellcheck disable=SC2154 # bats sets it
		[[ $(grep -c . <<<"$output") = "$rows" && $have = "$lost" && $(grep -c . <<<"$stderr") = $((($(wc -w <<<"$lost") + 1) / 2)) ]] || { echo "$*: $output; $stderr"; false; }
	}
	look 5 ''
	look 1 '1,204 connect' --kind connect
	look 1 '3 exec 1,204 connect' --kind connect,exec
	look 1 '3 exec 1,204 connect 2 deny' --user 2001
	look 1 '3 exec 1,204 connect 2 deny' --pid 7
	look 0 '3 exec' exec
	look 0 '' tcp
	look 0 '' --kind connect --since 1m
	look 3 '' --kind lost
	look 5 '' --cgroup /a/ # as others write it
	look 5 '' --cgroup a # what concerns the journal itself concerns all
	look 4 '' --cgroup b
	look 0 '1,204 connect' --cgroup b --kind connect
	# Answers from sums of connections say that some are missing.
	printf 'version: "1.0"\nrules:\n  - {name: out, from: {uid: 2001}, to: {host: 192.0.2.7, port: 443, protocol: tcp}, action: allow}\n' >"$P/sums.yaml"
	chmod 644 "$P/sums.yaml"
	for words in "1,206 stats" "1,204 learn" "1,204 whatif $P/sums.yaml --against $P/sums.yaml" "1,204 unused $P/sums.yaml"; do
		# shellcheck disable=SC2086 # words
		run -0 --separate-stderr "$ZT_SEGMENT" ${words#* } --state-dir "$P/lossy" -o json
		[[ $stderr == "zt-segment: ${words%% *} events of connections were lost in that time"* ]] || { echo "$words: $stderr"; false; }
		jq -en 'input' <<<"$output" >/dev/null
	done
	run -0 --separate-stderr "$ZT_SEGMENT" stats --since 1m --state-dir "$P/lossy"
	[ -z "$stderr" ]
	run -0 "$ZT_SEGMENT" events --kind lost --state-dir "$P/lossy"
	[[ $output == *" lost "*" 1,204 of kind connect"*" 3 of kind exec"* ]] || { echo "$output"; false; }
	run -0 "$ZT_SEGMENT" journal --state-dir "$P/lossy"
	[[ $output == *"  kept apart: 4 (deny, privilege, module, ptrace, state, lost)"* ]] || { echo "$output"; false; }
}

@test "why of an event: the tree above the process, how often, and an edit that allows it" {
	mkdir -p "$P/asked/journal"
	cat >"$P/asked.yaml" <<-'YAML'
		version: "1.0"
		rules:
		  - {name: web, from: {uid: 2001}, to: {host: 127.0.0.0/8, port: 80, protocol: tcp}, action: allow}
	YAML
	chmod 644 "$P/asked.yaml"
	digest=$(sha256sum /usr/bin/python3.11 | cut -d' ' -f1)
	for t in $(date -u -d '3 hours ago' +%FT%TZ) $(date -u -d '1 hour ago' +%FT%TZ); do
		cat <<-JSON
			{"time":"$t","kind":"deny","pid":4194303,"start":7,"uid":2001,"gid":2001,"comm":"python3","exe":"/usr/bin/python3.11","digest":"$digest","parents":"bash[9] sshd[8] systemd[1]","direction":"egress","protocol":"tcp","src":"10.0.0.1","sport":40000,"dst":"192.0.2.7","dport":443,"name":"api.example.org","verdict":"drop","generation":3}
		JSON
	done | "$ZT_TOP/build/tests/lib/fill-journal" "$P/asked/journal/events.db"
	run -0 "$ZT_SEGMENT" why 2 --policy "$P/asked.yaml" --state-dir "$P/asked"
	text=$(tr -s ' \n' ' ' <<<"$output") # it is wrapped
	[[ $text == *"UID 2001 /usr/bin/python3.11 -> 192.0.2.7:443/tcp was blocked."* ]]
	[[ $text == *"bash[9], sshd[8], systemd[1]"*"$digest"*"as api.example.org"*"generation 3"*"Seen 2 times, first "* ]]
	[[ $text == *"DENIED by the default policy"*"to: {host: 192.0.2.7, port: 443, protocol: tcp}"* ]]
	run -0 "$ZT_SEGMENT" why 1 --policy "$P/asked.yaml" --state-dir "$P/asked" -o json
	jq -en 'input | .allowed == false and .seen.count == 2 and .recorded.name == "api.example.org" and .edits[0].kind == "add"' <<<"$output"
	run -1 "$ZT_SEGMENT" why 99 --policy "$P/asked.yaml" --state-dir "$P/asked"
	[[ $output == *"there is no event 99"* ]]
	run -2 "$ZT_SEGMENT" why never --policy "$P/asked.yaml" --state-dir "$P/asked"
}

@test "why --pid with a policy file: all groups of the process count" {
	cat >"$P/groups.yaml" <<-'YAML'
		version: "1.0"
		rules:
		  - {name: by-group, from: {group: 7777}, to: {port: 80, protocol: tcp}, action: allow}
	YAML
	chmod 644 "$P/groups.yaml"
	setpriv --reuid=65534 --regid=65534 --groups=7777 sleep 30 3>&- &
	pid=$!
	until grep -q '^Uid:.65534' "/proc/$pid/status"; do sleep 0.05; done
	"$ZT_SEGMENT" why --pid "$pid" --to 192.0.2.1:80/tcp --policy "$P/groups.yaml" -o json >"$P/answer"
	kill "$pid"
	jq -e '.allowed and .decision.rule.name == "by-group"' "$P/answer"
}

@test "why of a process, and of what is only observed; what it does not take it refuses" {
	mkdir -p "$P/pids/journal"
	cat >"$P/pids.yaml" <<-'YAML'
		version: "1.0"
		settings: {mode: observe}
		rules:
		  - {name: web, from: {uid: 2001}, to: {host: 127.0.0.0/8, port: 80, protocol: tcp}, action: allow}
	YAML
	chmod 644 "$P/pids.yaml"
	n=1 # later than all that the log of this machine may hold of other tests
	for of in 4194301:drop 4194302:observe 4194301:drop 4194303:drop; do
		cat <<-JSON
			{"time":"$(date -u -d "$((60 + n)) minutes" +%FT%TZ)","kind":"deny","pid":${of%:*},"uid":2001,"gid":2001,"comm":"x","exe":"/usr/bin/x","direction":"egress","protocol":"tcp","src":"10.0.0.1","sport":40000,"dst":"192.0.2.7","dport":$((440 + n)),"verdict":"${of#*:}"}
		JSON
		n=$((n + 1))
	done | "$ZT_TOP/build/tests/lib/fill-journal" "$P/pids/journal/events.db"
	why() { "$ZT_SEGMENT" why "$@" --policy "$P/pids.yaml" --state-dir "$P/pids" --netns "$NS" --engine nft; }
	for words in "--pid 4194301" "last --pid 4194301"; do
		# shellcheck disable=SC2086 # several words
		[ "$(why $words -o json 2>"$P/said" | jq .recorded.dport)" = 443 ] || { cat "$P/said"; false; }
	done
	[ "$(why last -o json | jq .recorded.dport)" = 444 ] # of a journal that nobody writes to
	why --pid 4194302 -o json | jq -e '.recorded.dport == 442 and .allowed and .edits[0].kind == "add" and .edits[0].opens == ["uid 2001 -> 192.0.2.7:442/tcp"]'
	run -0 why 1
	text=$(tr -s ' \n' ' ' <<<"$output")
	[[ $text == *"By $P/pids.yaml: "*"ALLOWED (observed: would be denied)"*"What would allow it"*"1. Add"* && $text != *"in force now"* ]] || { echo "$text"; false; }
	run -1 why --pid 77
	[[ $output == *"of this process"*ZT5023* ]]
	for words in "1 --user root" "1 --to 192.0.2.1:80" "1 --pid 4" "last --to 192.0.2.1:80" "last --at 2026-01-01" "--pid x" "last --user nosuch" "--pid 4 --group root"; do
		# shellcheck disable=SC2086
		run -2 why $words
	done
}
