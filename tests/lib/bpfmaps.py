# SPDX-License-Identifier: GPL-2.0-or-later
"""The maps of the bpf engine, and those of the labels of the nft engine, found as it finds them itself (through the pinned links) and read and written with bpftool, for tests that break
them."""
import atexit
import functools
import glob
import json
import os
import shutil
import struct
import subprocess
import tempfile

MAPS = ("entries", "classes", "ports", "evidence", "labels", "counts", "meta")
HEARTS = ("zt_egress", "follow_mkdir", "zt_lsm_connect")  # links whose programs have all maps together


@functools.cache
def guarded():
    """bpftool under the name of the program that may change our maps where the LSM layer guards them; in a folder of its own until the end."""
    folder = tempfile.mkdtemp(prefix="zt-bpftool")
    atexit.register(shutil.rmtree, folder)
    return shutil.copy(shutil.which("bpftool") or "/usr/sbin/bpftool", os.path.join(folder, "zt-segment"))


def bpftool(*args):
    done = subprocess.run([guarded(), "-j", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"bpftool {' '.join(args[:4])}: {done.stdout[:200]}{done.stderr[:200]}")
    return json.loads(done.stdout) if done.stdout.strip() else None


def octets(data):
    return ["hex"] + [f"{b:02x}" for b in data]


def raw(listed):
    return bytes(int(x, 16) for x in listed)


class Maps:
    def __init__(self, folder=None):
        """folder: of the pins; the only one of this mount namespace where none is named."""
        self.folder = folder or next(d for d in glob.glob("/sys/fs/bpf/zt-segment/*") if not d.endswith("+new"))
        self.ids = {}
        for heart in os.listdir(self.folder) if self.folder.endswith("+mark") else HEARTS:
            self.take(os.path.join(self.folder, heart))
        self.epoch = struct.unpack("<I", raw(self.lookup(self.ids["epoch"], struct.pack("<I", 0))["value"]))[0]
        self.slot = self.epoch & 1

    def take(self, pin):
        if not os.path.exists(pin):
            return
        link = bpftool("link", "show", "pinned", pin)
        link = link[0] if isinstance(link, list) else link
        for number in bpftool("prog", "show", "id", str(link["prog_id"]))["map_ids"]:
            self.ids[bpftool("map", "show", "id", str(number)).get("name")] = number

    @staticmethod
    def lookup(number, key):
        return bpftool("map", "lookup", "id", str(number), "key", *octets(key))

    def inner(self, name):
        found = self.lookup(self.ids[name], struct.pack("<I", self.slot))
        return found["inner_map_id"] if "inner_map_id" in found else struct.unpack("<I", raw(found["value"]))[0]

    def dump(self, name):
        return [(raw(e["key"]), raw(e["value"])) for e in bpftool("map", "dump", "id", str(self.inner(name)))]

    def write(self, number, key, value):
        bpftool("map", "update", "id", str(number), "key", *octets(key), "value", *octets(value))

    def put(self, name, key, value):
        self.write(self.inner(name), key, value)

    def delete(self, name, key):
        bpftool("map", "delete", "id", str(self.inner(name)), "key", *octets(key))

    def config(self):
        return raw(self.lookup(self.ids["config"], struct.pack("<I", self.slot))["value"])

    def put_config(self, value):
        """Longer than a command line may be? 43 kB in hexadecimal words is not."""
        self.write(self.ids["config"], struct.pack("<I", self.slot), value)

    def memory(self):
        """Bytes that the kernel accounts for all of them, the inner maps of the live slot included."""
        numbers = list(self.ids.values()) + [self.inner(m) for m in MAPS]
        return sum(int(bpftool("map", "show", "id", str(n)).get("bytes_memlock", 0)) for n in numbers)
