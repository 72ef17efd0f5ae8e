#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""ECS and OCSF documents against what these standards say of the names that we use: types, what is required, which numbers there are. The
tables below are ours, made by reading ECS 8.11 and OCSF 1.5.0; a name that is not in them is no name of the standard.

Usage: documents.py TEST-EVENT-SINK. Of every kind of event: all fields, each field alone, each word that a field may hold."""
import ipaddress
import json
import re
import subprocess
import sys

# ---- ECS: name, type; [] after it: an array ----
ECS = dict(line.split() for line in """
@timestamp date
ecs.version keyword
message text
error.message text
error.code keyword
event.action keyword
event.category keyword[]
event.dataset keyword
event.duration long
event.kind keyword
event.module keyword
event.outcome keyword
event.reason keyword
event.sequence long
event.type keyword[]
host.name keyword
service.name keyword
container.id keyword
process.args keyword[]
process.executable keyword
process.exit_code long
process.hash.sha256 keyword
process.name keyword
process.parent.pid long
process.pid long
user.effective.id keyword
user.group.id keyword
user.id keyword
user.name keyword
network.direction keyword
network.transport keyword
source.bytes long
source.ip ip
source.port long
destination.bytes long
destination.domain keyword
destination.ip ip
destination.port long
rule.name keyword
dns.question.name keyword
dns.question.type keyword
dns.resolved_ip ip[]
dns.response_code keyword
dns.type keyword
file.path keyword
""".split("\n") if line)
ECS_REQUIRED = {"@timestamp", "ecs.version", "event.kind", "event.category", "event.type", "event.action"}
ECS_TYPES = {  # of a category
    "process": {"access", "change", "end", "info", "start"},
    "network": {"access", "allowed", "connection", "denied", "end", "info", "protocol", "start"},
    "file": {"access", "change", "creation", "deletion", "info"},
    "iam": {"admin", "change", "creation", "deletion", "group", "info", "user"},
    "driver": {"change", "end", "info", "start"},
    "configuration": {"access", "change", "creation", "deletion", "info"},
    "host": {"access", "change", "end", "info", "start"},
}

# ---- OCSF: attributes of an object or a class; ! after a name: required; one of: at least one of them ----
OBJECTS = {
    "metadata": ("version! string, product! product, profiles string[], sequence integer", ""),
    "product": ("name string, vendor_name string, version string", "name uid"),
    "device": ("type_id! integer, hostname string", "ip uid name hostname instance_uid interface_uid interface_name"),
    "actor": ("process process, user user, app_name string", "process user invoked_by session app_name app_uid"),
    "process": ("pid integer, name string, path string, cmd_line string, file file, parent_process process, container container", "pid uid cpid"),
    "user": ("name string, uid string", "account name uid"),
    "file": ("name! string, type_id! integer, path string, hashes fingerprint[]", ""),
    "fingerprint": ("algorithm_id! integer, algorithm string, value! string", ""),
    "container": ("uid string", "uid name"),
    "network_connection_info": ("direction_id! integer, direction string, protocol_name string, protocol_num integer", ""),
    "network_endpoint": ("ip ip, port port, hostname string, name string",
                         "ip uid name hostname svc_name instance_uid interface_uid interface_name domain"),
    "network_traffic": ("bytes_in long, bytes_out long", ""),
    "dns_query": ("hostname! string, type string", ""),
    "dns_answer": ("rdata! string", ""),
    "firewall_rule": ("name string", "name uid"),
    "kernel_driver": ("file! file", ""),
}
BASE = """time! long, class_uid! integer, category_uid! integer, activity_id! integer, activity_name string, type_uid! long, severity_id! integer, metadata! metadata,
status_id integer, status_code string, status_detail string, message string, count integer, duration long, unmapped unmapped, device device, actor actor,
action_id integer, disposition_id integer, disposition string, firewall_rule firewall_rule"""
NETWORK = "connection_info network_connection_info, src_endpoint network_endpoint, dst_endpoint network_endpoint, traffic network_traffic"
CLASSES = {  # more attributes, at least one of, activities
    1001: ("actor! actor, device! device, file! file", "", {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}),
    1002: ("actor! actor, device! device, driver! kernel_driver", "", {1, 2}),
    1007: ("actor! actor, device! device, process! process, exit_code integer", "", {1, 2, 3, 4, 5}),
    1008: ("log_name string", "log_file log_name log_provider log_type log_type_id", {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}),
    4001: (NETWORK, "src_endpoint dst_endpoint", {1, 2, 3, 4, 5, 6, 7}),
    4003: (NETWORK + ", query dns_query, answers dns_answer[], rcode string, rcode_id integer", "src_endpoint dst_endpoint", {1, 2, 6}),
    5019: ("device! device", "", {1, 2}),
}
NUMBERS = {
    "severity_id": set(range(7)) | {99}, "status_id": {0, 1, 2, 99}, "action_id": {0, 1, 2, 3, 4, 99}, "disposition_id": set(range(28)) | {99},
    "direction_id": {0, 1, 2, 3, 99}, "type_id": set(range(16)) | {99}, "algorithm_id": {0, 1, 2, 3, 4, 5, 6, 7, 99},
    "rcode_id": set(range(12)) | set(range(16, 26)) | {99}, "protocol_num": set(range(256)),
}
CAPTIONS = {  # a name and its number say the same
    "direction": ("direction_id", {"Unknown": 0, "Inbound": 1, "Outbound": 2, "Local": 99}),
    "disposition": ("disposition_id", {"Allowed": 1, "Blocked": 2, "Logged": 17}),
    "rcode": ("rcode_id", {"NoError": 0, "FormError": 1, "ServError": 2, "NXDomain": 3, "NotImp": 4, "Refused": 5, "Other": 99}),
    "algorithm": ("algorithm_id", {"SHA-256": 3}),
}
PROFILES = {"action_id": "security_control", "disposition_id": "security_control", "firewall_rule": "security_control", "container": "container",
            "actor": "host", "device": "host"}


def is_ip(v):
    try:
        ipaddress.ip_address(v)
        return True
    except ValueError:
        return False


TYPES = {
    "date": lambda v: isinstance(v, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", v),
    "keyword": lambda v: isinstance(v, str) and v, "text": lambda v: isinstance(v, str) and v, "string": lambda v: isinstance(v, str) and v,
    "long": lambda v: type(v) is int and -2**63 <= v < 2**63, "integer": lambda v: type(v) is int and 0 <= v < 2**32, "port": lambda v: type(v) is int and 0 <= v < 2**16,
    "ip": lambda v: isinstance(v, str) and is_ip(v), "unmapped": lambda v: isinstance(v, dict) and v,
}


def documents(form):
    for mode in ("print", "sparse"):
        out = subprocess.run([sys.argv[1], mode, form], check=True, stdout=subprocess.PIPE).stdout.decode()
        yield from map(json.loads, out.splitlines())


def of_type(kind, v, where):
    if kind.endswith("[]"):
        assert isinstance(v, list), (where, v)
        for x in v:
            of_type(kind[:-2], x, where)
    elif kind in OBJECTS:
        check(v, *OBJECTS[kind], where)
    else:
        assert TYPES[kind](v), (where, kind, v)


def check(doc, attributes, one_of, where):
    table = {n.rstrip("!"): k for n, k in (a.split() for a in attributes.split(","))}
    required = {a.split()[0][:-1] for a in attributes.split(",") if "!" in a}
    assert isinstance(doc, dict) and not required - set(doc), (where, required - set(doc), doc)
    assert not one_of or set(one_of.split()) & set(doc), (where, one_of, doc)
    for name, v in doc.items():
        assert name in table, (where, name, doc)
        of_type(table[name], v, f"{where}.{name}")
        assert name not in NUMBERS or v in NUMBERS[name], (where, name, v)
        if name in CAPTIONS:
            number, captions = CAPTIONS[name]
            assert doc.get(number) == captions[v], (where, name, v, doc.get(number))


def names(doc):
    for k, v in doc.items():
        if k != "unmapped":
            yield k
            for x in v if isinstance(v, list) else [v]:
                if isinstance(x, dict):
                    yield from names(x)


def ocsf(doc):
    attributes, one_of, activities = CLASSES[doc["class_uid"]]
    check(doc, BASE + ", " + attributes, one_of, str(doc["class_uid"]))
    assert doc["category_uid"] == doc["class_uid"] // 1000 and doc["type_uid"] == doc["class_uid"] * 100 + doc["activity_id"], doc
    assert doc["activity_id"] in activities or (doc["activity_id"] == 99 and doc.get("activity_name")), doc
    assert doc["metadata"]["version"] == "1.5.0", doc
    profiles = {PROFILES[n] for n in names(doc) if n in PROFILES}
    assert set(doc["metadata"]["profiles"]) >= profiles, (profiles, doc)


def flat(doc, under=""):
    for k, v in doc.items():
        if under + k == "zt":
            continue
        if isinstance(v, dict):
            yield from flat(v, under + k + ".")
        else:
            yield under + k, v


def ecs(doc):
    found = dict(flat(doc))
    assert not ECS_REQUIRED - set(found), ECS_REQUIRED - set(found)
    for name, v in found.items():
        assert name in ECS, (name, doc)
        of_type(ECS[name], v, name)
    assert found["event.kind"] == "event" and found.get("event.outcome", "unknown") in ("success", "failure", "unknown"), doc
    category, = found["event.category"]
    assert set(found["event.type"]) <= ECS_TYPES[category] and found["event.type"], doc
    assert found.get("dns.type", "query") in ("query", "answer"), doc


counted = {}
for form, validate in (("ecs", ecs), ("ocsf", ocsf)):
    for document in documents(form):
        validate(document)
        counted[form] = counted.get(form, 0) + 1
assert min(counted.values()) > 1000, counted
print(counted)
