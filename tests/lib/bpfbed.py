# SPDX-License-Identifier: GPL-2.0-or-later
"""Beds of the bpf engine's end-to-end tests: a mount namespace with a bpf file system of its own, a network namespace, a control group. A test
calls enter() first: it starts itself again inside. Output is TAP."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ZT = os.environ["ZT_SEGMENT"]
ENGINE = os.environ.get("ENGINE", "bpf")
number = 0


def enter(seconds=300):
    if sys.argv[1:] != ["inside"]:
        os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, sys.argv[0], "inside"])
    signal.alarm(seconds)


def result(good, name, why=""):
    global number
    number += 1
    print(f"{'ok' if good else 'not ok'} {number} - {name}", flush=True)
    if not good and why:
        for line in str(why)[:2000].splitlines():
            print(f"# {line}")
    return good


def plan():
    print(f"1..{number}")


def cgroup2():
    for path in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        if os.path.exists(os.path.join(path, "cgroup.procs")) and os.path.exists(os.path.join(path, "cgroup.controllers")):
            return path
    raise RuntimeError("no cgroup2 mount")


def bpftool(*args):
    return json.loads(subprocess.run(["bpftool", "-j", *args], stdout=subprocess.PIPE, check=True).stdout or "null")


def inner_maps():
    """Name and id of each map that stands in a slot of the programs pinned here: never of another test's."""
    for folder, _, files in os.walk("/sys/fs/bpf/zt-segment"):
        heart = [f for f in files if f in ("zt_egress", "zt_m_setsockopt")]  # of the bpf engine, of the nft engine's labels
        if not heart:
            continue
        prog = bpftool("link", "show", "pinned", os.path.join(folder, heart[0]))["prog_id"]
        for number_of in bpftool("prog", "show", "id", str(prog))["map_ids"]:
            shown = bpftool("map", "show", "id", str(number_of))
            if shown["type"] == "array_of_maps":
                for entry in bpftool("map", "dump", "id", str(number_of)):
                    yield shown["name"], int.from_bytes(bytes(int(x, 16) for x in entry["value"]), "little")


def wait_for(what, seconds=10):
    end = time.time() + seconds
    while time.time() < end:
        if what():
            return True
        time.sleep(0.02)
    return False


class Bed:
    """name: of the namespace and of the control group, in which groups of the test's own may be made."""

    def __init__(self, name):
        self.name = f"{name}{os.getpid()}"

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix=self.name)
        os.chmod(self.dir, 0o755)
        self.cgroup = os.path.join(cgroup2(), self.name)
        os.mkdir(self.cgroup)
        subprocess.run(["mount", "-t", "bpf", "bpf", "/sys/fs/bpf"], check=True)
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        subprocess.run(["ip", "-n", self.name, "link", "set", "lo", "up"], check=True)
        return self

    def __exit__(self, *_):
        self.zt("flush")
        self.kill()
        for folder, _, _ in os.walk(self.cgroup, topdown=False):
            os.rmdir(folder)
        subprocess.run(["ip", "netns", "del", self.name], check=False)
        shutil.rmtree(self.dir)

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(self.path(name), 0o644)
        return self.path(name)

    def program(self, name, of="/usr/bin/python3"):
        shutil.copy(os.path.realpath(of), self.path(name))
        return self.path(name)

    def group(self, name):
        path = os.path.join(self.cgroup, name)
        os.mkdir(path)
        return path

    def kill(self, group=None):
        group = group or self.cgroup
        with open(os.path.join(group, "cgroup.kill"), "w", encoding="ascii") as f:
            f.write("1")
        wait_for(lambda: "populated 0" in open(os.path.join(group, "cgroup.events"), encoding="ascii").read())

    def inside(self, uid, *argv, group=None, netns=None, **kw):
        script = ('echo $$ >"$0/cgroup.procs"; exec nsenter --net=/run/netns/"$1" setpriv --reuid="$2" --regid="$2" --clear-groups '
                  '--inh-caps=+net_raw,+net_admin --ambient-caps=+net_raw,+net_admin "${@:3}"' if kw.pop("raw", False) else
                  'echo $$ >"$0/cgroup.procs"; exec nsenter --net=/run/netns/"$1" setpriv --reuid="$2" --regid="$2" --clear-groups "${@:3}"')
        kw.setdefault("stdout", subprocess.PIPE)
        kw.setdefault("stderr", subprocess.DEVNULL)
        return subprocess.Popen(["bash", "-c", script, group or self.cgroup, netns or self.name, str(uid), *argv], text=True, **kw)

    def run(self, uid, *argv, **kw):
        return self.inside(uid, *argv, **kw).communicate(timeout=60)[0].strip()

    def zt(self, *args, **kw):
        return subprocess.run([ZT, "--engine", ENGINE, "--netns", self.name, "--cgroup", self.name, "--state-dir", self.path("state"), *args],
                              env=dict(os.environ, ZT_TEST="1"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **kw)
