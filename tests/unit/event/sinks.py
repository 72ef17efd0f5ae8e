#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Records full of hostile names, parsed by parsers that are not ours: Python's json, RFC 5424 to the letter, journald's format.

Usage: sinks.py TEST-EVENT-SINK. Every record must come out as one record, with its number fields untouched and no more fields than it had.
"""
import json
import re
import subprocess
import sys

KINDS, NAMES = 17, 20  # kinds of activities, hostile texts of test_sink.c
PID = 2  # the place of pid in the table: its value in every record


def printed(form):
    out = subprocess.run([sys.argv[1], "print", form], check=True, stdout=subprocess.PIPE).stdout
    out.decode("utf-8")  # valid throughout
    return out


def lines(form):
    found = printed(form).decode().split("\n")
    assert found.pop() == "" and len(found) == KINDS * NAMES, (form, len(found))
    for line in found:
        assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", line), line
    return found


def syslog(line):
    """RFC 5424, section 6: header, one element, message. Names of parameters and their values."""
    name = r"[!#-<>-\\^-~]{1,32}"  # printable ASCII without '=', ']', '"', blank
    head = re.match(
        r"<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) ([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) ", line
    )
    assert head and int(head[1]) <= 191, line
    rest = line[head.end() :]
    element = re.match(r"\[(" + name + r")", rest)
    assert element and element[1] == "zt@32473", line
    rest, found = rest[element.end() :], {}
    while rest[0] == " ":
        param = re.match(r' (' + name + r')="((?:\\["\\\]]|[^"\\\]])*)"', rest)
        assert param and param[1] not in found, rest
        found[param[1]] = re.sub(r'\\(["\\\]])', r"\1", param[2])
        rest = rest[param.end() :]
    assert rest[:2] == "] ", rest
    message = rest[2:]
    assert message.isascii() or message.startswith("\ufeff"), message
    return found


def journald(data):
    """Entries are separated by an empty line here; each field is NAME=value in one line: none may be in the binary form."""
    entries = data.decode().split("\n\n")
    assert entries.pop() == "" and len(entries) == KINDS * NAMES
    for entry in entries:
        fields = [line.split("=", 1) for line in entry.split("\n")]
        names = [f[0] for f in fields]
        assert len(set(names)) == len(names) and all(re.fullmatch("[A-Z][A-Z0-9_]{0,63}", n) for n in names), names
        yield dict(fields)


records = [json.loads(line) for line in lines("json")]
for record, line in zip(records, lines("syslog")):
    fields = syslog(line)
    assert fields == {k: str(v) for k, v in record.items() if k not in ("time", "kind")}, (fields, record)
for record, entry in zip(records, journald(printed("journald"))):
    assert {k: str(v) for k, v in record.items()} == {k[3:].lower(): v for k, v in entry.items() if k.startswith("ZT_")}
    assert set(entry) - {"ZT_" + k.upper() for k in record} == {"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER"}


def leaves(doc):
    if isinstance(doc, (dict, list)):
        return [x for v in (doc.values() if isinstance(doc, dict) else doc) for x in leaves(v)]
    return [doc]


for record, line in zip(records, lines("ecs")):
    doc = json.loads(line)
    assert doc["ecs"]["version"] == "8.11.0" and doc["@timestamp"] == record["time"]
    assert doc["event"]["action"] == record["kind"] and doc["event"]["kind"] == "event" and doc["event"]["sequence"] == 7
    assert isinstance(doc["event"]["category"], list) and isinstance(doc["event"]["type"], list) and doc["event"]["type"]
    assert doc["event"]["outcome"] in ("success", "failure") and doc["event"]["duration"] == record["duration"] * 1000
    assert doc["process"]["pid"] == PID and doc["user"]["id"] == str(record["uid"]) and isinstance(doc["process"]["args"], list)
    assert record["label"] == doc["zt"]["label"] and doc["host"]["name"] == "host.example"
for record, line in zip(records, lines("ocsf")):
    doc = json.loads(line)
    assert doc["metadata"]["version"] == "1.5.0" and doc["metadata"]["product"]["name"] == "zt-segment"
    assert doc["class_uid"] // 1000 == doc["category_uid"] and doc["type_uid"] == doc["class_uid"] * 100 + doc["activity_id"]
    assert doc["time"] == 1735293600123 and 1 <= doc["severity_id"] <= 6
    assert doc["actor"]["process"]["pid"] == PID and doc["actor"]["user"]["uid"] == str(record["uid"])
    assert doc["unmapped"]["label"] == record["label"] and record["comm"] in leaves(doc)
print(f"{len(records)} records in five forms")
