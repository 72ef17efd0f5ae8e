# SPDX-License-Identifier: GPL-2.0-or-later
"""The elements of the nft engine's verdict maps as nft takes them back, for tests that break them. Of the network namespace of the caller, or
behind a prefix such as nsenter."""
import json
import subprocess


def nft(*args, stdin=None, prefix=()):
    return subprocess.run([*prefix, "nft", *args], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def number_text(v):
    """One part of a key: single values in interval maps as ranges (nft 1.0.6 finds them only so)."""
    if isinstance(v, dict):
        if "range" in v:
            return "-".join(str(x) for x in v["range"])
        if "prefix" in v:
            return f"{v['prefix']['addr']}/{v['prefix']['len']}"
    return str(v)


def key_text(key, interval):
    parts = key["concat"] if isinstance(key, dict) and "concat" in key else [key]
    texts = [number_text(p) for p in parts]
    if interval:
        texts = [t if "-" in t or "/" in t else f"{t}-{t}" for t in texts]
    return " . ".join(texts)


def elements(prefix=()):
    """(map, key text, verdict text, comment) of every element of every verdict map."""
    table = json.loads(nft("-j", "-nn", "list", "table", "inet", "zt_segment", prefix=prefix).stdout)
    found = []
    for item in table["nftables"]:
        m = item.get("map")
        if not m:
            continue
        for key, verdict in m.get("elem", []):
            e = key.get("elem", {}) if isinstance(key, dict) else {}
            value = next(iter(verdict.items()))
            text = "accept" if value[0] == "accept" else f"goto {value[1]['target']}"
            found.append((m["name"], key_text(e.get("val", key), "interval" in m.get("flags", [])), text, e.get("comment", "")))
    return found


def load(text, prefix=()):
    done = nft("-f", "-", stdin=text, prefix=prefix)
    if done.returncode:
        print(f"# nft: {done.stdout}")
    return done.returncode == 0
