# SPDX-License-Identifier: GPL-2.0-or-later
"""What zt-segmentd costs: loops of programs, connections and files with and without it, side by side in one run; how many events a second it takes; what
the journal writes; memory, and how often it wakes when nothing happens. In a network namespace and a control group of its own."""
import ctypes
import json
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STORM, JOURNAL = (os.path.join(TOP, "build/tests/lib", x) for x in ("zt-storm", "zt-journal-bench"))
NAME = f"ztdbench{os.getpid()}"
ENV = dict(os.environ, ZT_TEST="1")
LIBC = ctypes.CDLL(None, use_errno=True)
POLICY = """version: "1.0"
rules:
  - {name: open, from: {user: "*"}, to: {host: localhost}, action: allow}
"""
LOOPS = ("exec", "connect", "open")
WEEK = 10000000  # connections
RATES = (10000, 20000, 50000, 100000, 200000, 400000, 1000000)


class Bed:
    def __init__(self, zt, cgroups):
        # Folders above what is watched are watched as well: not below /tmp, where there is always something going on.
        self.zt_path, self.group, self.dir = zt, os.path.join(cgroups, NAME), tempfile.mkdtemp(prefix=NAME, dir="/var/lib")
        self.args = ["--netns", NAME, "--cgroup", NAME, "--state-dir", os.path.join(self.dir, "state")]
        self.policy, self.settings = os.path.join(self.dir, "rules.yaml"), os.path.join(self.dir, "daemon.yaml")
        self.daemon = None

    def __enter__(self):
        os.chmod(self.dir, 0o755)
        os.mkdir(self.group)
        subprocess.run(["ip", "netns", "add", NAME], check=True)
        subprocess.run(["ip", "-n", NAME, "link", "set", "lo", "up"], check=True)
        for path, text in ((self.policy, POLICY), (self.settings, "refresh_every: 0s\n")):
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
            os.chmod(path, 0o644)
        return self

    def __exit__(self, *_):
        self.stop()
        subprocess.run(["ip", "netns", "del", NAME], check=False)
        for _ in range(100):
            try:
                os.rmdir(self.group)
                break
            except OSError:
                time.sleep(0.05)
        shutil.rmtree(self.dir, ignore_errors=True)
        shutil.rmtree(f"/run/zt-segment/netns-{NAME}", ignore_errors=True)

    def zt(self, *args):
        subprocess.run([self.zt_path, *args, *self.args], env=ENV, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start(self):
        log = os.path.join(self.dir, "log")
        with open(log, "w", encoding="utf-8") as f:
            self.daemon = subprocess.Popen([os.path.join(os.path.dirname(self.zt_path), "zt-segmentd"), *self.args, "--policy", self.policy,
                                            "--settings", self.settings], env=ENV, stderr=f)
        for _ in range(600):
            with open(log, encoding="utf-8") as f:
                if "in force" in f.read():
                    break
            time.sleep(0.05)
        time.sleep(0.3)  # what it does at its start is done

    def stop(self):
        if self.daemon:
            self.daemon.terminate()
            self.daemon.wait()
            self.daemon = None

    def run(self, *args):
        def inside():
            with open(os.path.join(self.group, "cgroup.procs"), "w", encoding="ascii") as f:
                f.write("0")
            LIBC.setns(os.open(f"/run/netns/{NAME}", os.O_RDONLY | os.O_CLOEXEC), 0x40000000)
        return float(subprocess.run([STORM, *map(str, args)], stdout=subprocess.PIPE, check=True, preexec_fn=inside).stdout)

    def ask(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(f"/run/zt-segment/netns-{NAME}/default/control")
            s.sendall(b'{"request":"status"}\n')
            return json.loads(b"".join(iter(lambda: s.recv(65536), b"")))

    def losses(self):
        return sum(v["lost"] for v in self.ask()["events"].values())


def loops(bed, msec):
    return {k: bed.run("loop", k, msec) for k in LOOPS}


def ratios(bed, rounds, msec, policy):
    """{loop: (median ratio with to without, median of without)} and of two that are both without: the noise."""
    found, noise, base = ({k: [] for k in LOOPS} for _ in range(3))
    before = loops(bed, msec)
    for _ in range(rounds):
        if policy:
            bed.zt("apply", "--engine", "bpf", bed.policy)
        bed.start()
        here = loops(bed, msec)
        bed.stop()
        if policy:
            bed.zt("flush", "--engine", "bpf")
        after = loops(bed, msec)
        for k in LOOPS:
            found[k].append(2 * here[k] / (before[k] + after[k]))
            noise[k].append(after[k] / before[k])
            base[k].append(after[k])
        before = after
    return {k: (statistics.median(found[k]), statistics.median(noise[k]), statistics.median(base[k])) for k in LOOPS}


def sustained(bed):
    """[(asked, sent a second, lost)] up to the first rate with losses."""
    rows = []
    for rate in RATES:
        before = bed.losses()
        n = bed.run("dns", rate, 1500)
        time.sleep(2.5)  # losses are looked for every two seconds
        rows.append((rate, n / 1.5, bed.losses() - before))
        if rows[-1][2] or rows[-1][1] < rate * 0.7:
            break
    return rows


def switches(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("voluntary"))


def idle(bed):
    bed.start()
    time.sleep(8)  # it looks less often the longer nothing happens
    before = switches(bed.daemon.pid)
    time.sleep(10)
    woken = switches(bed.daemon.pid) - before
    bed.stop()
    return woken


def journal():
    folder = tempfile.mkdtemp(prefix=NAME, dir="/var/lib")
    out = subprocess.run([JOURNAL, os.path.join(folder, "events.db"), "1000000"], stdout=subprocess.PIPE, check=True).stdout.split()
    shutil.rmtree(folder)
    return [float(x) for x in out]  # a second of the clock, of the processor, lost, bytes


def whatif(zt, n):
    """What a policy would have done with n connections of a week: seconds of the clock and of the processor, flows that they are, MiB of memory."""
    folder = tempfile.mkdtemp(prefix=NAME, dir="/var/lib")
    state, old, new = (os.path.join(folder, x) for x in ("state", "old.yaml", "new.yaml"))
    os.makedirs(os.path.join(state, "journal"))
    subprocess.run([JOURNAL, os.path.join(state, "journal/events.db"), str(n), "week"], stdout=subprocess.DEVNULL, check=True)
    for path, users in ((old, "1000-1004"), (new, "1000-1003")):
        with open(path, "w", encoding="ascii") as f:
            f.write(f'version: "1.0"\nrules:\n  - {{name: most, from: {{uid: {users}}}, to: {{host: 10.0.0.0/16, port: 443, protocol: tcp}}, action: allow}}\n')
        os.chmod(path, 0o644)
    status = json.loads(subprocess.run([zt, "journal", "-o", "json", "--state-dir", state], env=ENV, stdout=subprocess.PIPE, check=True).stdout)
    runs = []
    for _ in range(3):
        began = time.monotonic()
        p = subprocess.Popen([zt, "whatif", new, "--against", old, "--since", "8d", "-o", "json", "--state-dir", state], env=ENV, stdout=subprocess.PIPE)
        said = json.loads(p.stdout.read())
        _, _, usage = os.wait4(p.pid, 0)
        assert said["connections"] == n and said["newly_blocked"]["connections"] * 5 == n, said["connections"]
        runs.append((time.monotonic() - began, usage.ru_utime + usage.ru_stime, status["flows"], usage.ru_maxrss / 1024))
    shutil.rmtree(folder)
    return min(runs)


def measure(zt, cgroups, quick):
    rounds, msec = (3, 200) if quick else (7, 300)
    with Bed(zt, cgroups) as bed:
        found = {"daemon": ratios(bed, rounds, msec, False), "bpf": ratios(bed, max(3, rounds // 2), msec, True)}
        bed.start()
        found["rates"] = sustained(bed)
        found["resident"] = bed.ask()["resident_kib"] / 1024
        bed.stop()
        found["idle"] = idle(bed)
    found["journal"] = journal()
    found["whatif"] = None if quick else whatif(zt, WEEK)
    return found


def aims(out, found, aim):
    d, b = found["daemon"], found["bpf"]
    aim(out, "daemon, with the bpf engine: connect p50 to no firewall", b["connect"][0], 1.07, "")
    aim(out, "daemon: open p50 to without", d["open"][0], 1.03, "")
    aim(out, "daemon: fork and exec p50 to without", d["exec"][0], 1.05, "")
    clean = max([r[1] for r in found["rates"] if not r[2]] or [0])
    aim(out, "daemon: DNS messages told without loss, two events each", clean * 2, 1000000, "events/s", True)
    aim(out, "journal: written without loss", found["journal"][0], 200000, "events/s", True)
    if found["whatif"]:
        aim(out, f"whatif: {WEEK:,} connections of a week", found["whatif"][0], 10, "s")
    aim(out, "daemon: resident", found["resident"], 64, "MiB")
    aim(out, "daemon: woken in ten idle seconds", found["idle"], 0, "")


def tables(found):
    j = found["journal"]
    lines = ["", "## The daemon", "",
             "Loops with zt-segmentd to without, the median operation; slices without, with, without in the same run, the daemon started and ended",
             "for each. `noise` is without to without. The first three rows have no policy in force, the others that of one rule with the bpf engine.", "",
             "| loop | without, us | with | noise |", "|---|---|---|---|"]
    for name, key in (("", "daemon"), (", policy of the bpf engine", "bpf")):
        for k in LOOPS:
            ratio, noise, base = found[key][k]
            lines.append(f"| {'fork and exec' if k == 'exec' else k}{name} | {base / 1000:.1f} | {ratio:.3f} | {noise:.3f} |")
    lines += ["", "DNS messages over loopback, each parsed and told at both ends, into the journal; the rate is raised until something is lost or the sender",
              "cannot go faster.", "", "| asked, messages/s | sent | events lost |", "|---|---|---|"]
    lines += [f"| {r[0]:,} | {r[1]:,.0f} | {r[2]:,} |" for r in found["rates"]]
    lines += ["", f"The journal alone takes {j[0]:,.0f} connections a second ({j[1]:,.0f} for each second of a processor), loses {j[2]:.0f} of a million, which "
              f"are {j[3] / 1e6:.1f} MB on the disk. Resident after all this: {found['resident']:.0f} MiB. Idle: woken {found['idle']} times in ten seconds. "
              "A file that lies in a folder that is watched for another (/etc) is opened some 12 % slower."]
    if found["whatif"]:
        wall, cpu, flows, mib = found["whatif"]
        lines += ["", f"`whatif` answers for {WEEK:,} connections of a week, {flows:,} flows by the minute of 10,000 different ones, in {wall:.1f} s ({cpu:.1f} s of a "
                  f"processor) with {mib:.0f} MiB: nearly all of it is SQLite, which reads each of these flows once."]
    return lines
