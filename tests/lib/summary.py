#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Adds up the results in a folder of test logs: NAME.json (meson test log) and NAME.tap with NAME.status (exit code).

Prints what failed and what was skipped, then the line "N passed, N failed, N skipped". Exit 1 when anything failed, when
nothing ran, or when a skip is not named in the allowed list (one pattern of "suite: test" a line).
"""
import fnmatch
import json
import pathlib
import re
import sys

LINE = re.compile(r"^(not )?ok\b\s*\d*\s*-?\s*([^#]*)(?:#\s*(skip\S*|todo)\b\s*(.*))?", re.I)
PLAN = re.compile(r"^1\.\.(\d+)(?:\s*#\s*skip\S*\s*(.*))?", re.I)


def tap(suite, text):
    """(suite: test, result, reason) for every TAP line; a plan that was not kept is a failure."""
    rows, plan = [], None
    for line in text.splitlines():
        if m := PLAN.match(line):
            plan = int(m[1])
            if plan == 0 and m[2] is not None:
                return [(f"{suite}: all", "skipped", m[2])]
        elif m := LINE.match(line):
            name = (m[2] or "").strip() or (m[4] or "").strip()
            skipped = (m[3] or "").lower().startswith("skip")
            rows.append((f"{suite}: {name}", "skipped" if skipped else "failed" if m[1] else "passed", (m[4] or "").strip()))
    if plan is not None and plan > len(rows):
        rows.append((f"{suite}: plan", "failed", f"{plan} tests planned, {len(rows)} ran"))
    return rows


def meson_rows(prefix, line):
    test = json.loads(line)
    suite = prefix + re.sub(r"^.*? / ", "", test["name"])
    rows = [r for r in tap(suite, test.get("stdout", ""))]
    good = test["result"] in ("OK", "EXPECTEDFAIL")
    if test["result"] == "SKIP":
        rows = rows or [(suite, "skipped", "skipped by itself")]
    elif not good and not any(r[1] == "failed" for r in rows):
        rows.append((suite, "failed", f"{test['result']}, exit code {test['returncode']}"))
    elif good and not rows:
        rows.append((suite, "passed", ""))
    return rows


def shell_rows(path):
    rows = tap(path.stem, path.read_text(errors="replace"))
    code = int(path.with_suffix(".status").read_text().strip() or 1)
    if code != 0 and not any(r[1] == "failed" for r in rows):
        rows.append((f"{path.stem}: run", "failed", "timed out" if code == 124 else f"exit code {code}"))
    if code == 0 and not rows:
        rows.append((f"{path.stem}: run", "failed", "no test ran"))
    return rows


def main():
    logs, allowed_file = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    allowed = [s for s in map(str.strip, allowed_file.read_text().splitlines()) if s and not s.startswith("#")]
    rows = []
    for path in sorted(logs.glob("*.json")):
        prefix = "" if path.stem == "build" else path.stem + "/"
        for line in path.read_text(errors="replace").splitlines():
            rows += meson_rows(prefix, line)
    for path in sorted(logs.glob("*.tap")):
        rows += shell_rows(path)

    skipped = [r for r in rows if r[1] == "skipped"]
    refused = [r for r in skipped if not any(fnmatch.fnmatchcase(r[0], p) for p in allowed)]
    failed = [r for r in rows if r[1] == "failed"]
    for name, _, reason in skipped:
        print(f"skipped: {name} ({reason or 'no reason given'})")
    for name, _, _ in refused:
        print(f"not an allowed skip: {name}")
    for name, _, reason in failed:
        print(f"FAILED: {name}" + (f" ({reason})" if reason else ""))
    passed = len(rows) - len(skipped) - len(failed)
    print(f"{passed} passed, {len(failed)} failed, {len(skipped)} skipped")
    return 1 if failed or refused or not passed else 0


sys.exit(main())
