from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfheal.documents import read
from selfheal.errors import Invalid, InvalidDocument
from selfheal.services import find_circle, for_host, parse, parse_service, process_labels, start_command

CONTRACT = """
map:
  - match: {alertname: "NodeFilesystem.*"}
    service: by_target              # the one service that lists this host; none or two: unmatched
    target: labels.instance         # port stripped
    diagnosis: capacity_strain
services:
  - name: web
    mode: observe
    tier: standard
    url: https://web.internal
    depends_on: [db]
    min_instances: 36
    targets: {hosts: [web-01, web-02], url: "http://${target.host}:8080", via: ssh, user: heal}   # none: here
    labels: {unit: web.service}
  - name: db
"""


def faults(text: str) -> list[str]:
    with pytest.raises(InvalidDocument) as caught:
        parse(read(text, "services.yaml"))
    return [str(each) for each in caught.value.errors]


def test_the_file_of_the_contract_is_read():
    file = parse(read(CONTRACT, "services.yaml"))
    web, db = file.services
    assert web.plain()["targets"] == {
        "hosts": ["web-01", "web-02"],
        "url": "http://${target.host}:8080",
        "via": "ssh",
        "user": "heal",
    }
    assert web.places() == [("web-01", "http://web-01:8080"), ("web-02", "http://web-02:8080")]
    assert (db.mode, db.places()) == ("observe", [("db", "")])
    assert file.map[0].diagnosis == "capacity_strain"


def test_an_empty_file_declares_nothing():
    assert parse(read("", "services.yaml")).services == []


def test_a_service_on_one_host_lends_it_its_url():
    assert parse_service({"name": "a", "url": "http://a", "targets": {"hosts": ["h"]}}).places() == [("h", "http://a")]
    assert parse_service({"name": "a", "url": "http://a", "targets": {"hosts": ["h", "i"]}}).places() == [("h", ""), ("i", "")]


def test_an_ipv6_host_gets_its_brackets():
    assert for_host("http://${target.host}:80/${target.name}", "fd00::1") == "http://[fd00::1]:80/[fd00::1]"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("depends_on: [db]", "depends_on: [bd]", "services.yaml:12:18: service 'bd' is not declared in this file"),
        ("  - name: db", "  - name: web", "services.yaml:16:11: service 'web' stands here twice"),
        ("  - name: db", "  - {name: db, depends_on: [web]}", "dependencies go round in a circle: web → db → web"),
        ("service: by_target", "service: nope", "services.yaml:4:14: service 'nope' is not declared"),
        ("mode: observe", "mode: on", "services.yaml:9:11: mode: expected 'observe', 'ask' or 'auto', got 'on'"),
        ("mode: observe", "moed: ask", "services.yaml:9:5: unknown key 'moed'; did you mean 'mode'?"),
        ("NodeFilesystem.*", "Node(", "is no pattern"),
        ("web-02]", "web-01]", "host 'web-01' stands here twice"),
        ("${target.host}", "${target.port}", "only ${target.host} may stand"),
        ("https://web.internal", "file:///etc/passwd", "must be an absolute http or https URL"),
        ("https://web.internal", "https://a:b@web", "must not hold a name or a password"),
        ("min_instances: 36", "min_instances: many", "expected a whole number"),
        ("{unit: web.service}", "{unit: a, program: b}", "both say what its process is"),
        ("{unit: web.service}", "{pidfile: /run/x}", "pidfile and start go together"),
        ("{unit: web.service}", '{pidfile: x, start: ["/x"]}', "must be an absolute path"),
        ("{unit: web.service}", '{pidfile: /x, start: "x y"}', "must be a JSON argument list"),
        ("{unit: web.service}", "{pidfile: /x, start: [x]}", "must begin with an absolute path"),
    ],
)
def test_a_fault_is_told_where_it_stands(old, new, said):
    assert any(said in each for each in faults(CONTRACT.replace(old, new)))


def test_each_target_has_its_own_process_and_other_labels_stay_as_they_are():
    labels = {"pidfile": "/run/web-${target.name}.pid", "start": '["/bin/web", "${target.host}"]', "note": "${target.name}"}
    filled = process_labels(labels, "10.0.0.1")
    assert filled == {"pidfile": "/run/web-10.0.0.1.pid", "start": '["/bin/web", "10.0.0.1"]', "note": "${target.name}"}


def test_the_start_command_may_be_a_list_and_is_kept_as_json():
    service = parse_service({"name": "a", "labels": {"pidfile": "/run/a", "start": ["/bin/a", "b c", '"']}})
    assert start_command(service.labels) == ["/bin/a", "b c", '"']
    assert json.loads(service.labels["start"])


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "name"),
        (5, ""),
        ({"name": "a/b"}, "name"),
        ({"name": "a", "colour": "red"}, "colour"),
        ({"name": "a", "targets": {"hosts": []}}, "targets.hosts"),
        ({"name": "a", "targets": {"hosts": ["a b"]}}, "targets.hosts.0"),
        ({"name": "a", "labels": {"x": "a\nb"}}, "labels.x"),
        ({"name": "a", "depends_on": [3]}, "depends_on.0"),
        ({"name": "a", "min_instances": True}, "min_instances"),
        ({"name": "a", "url": "http://[::1"}, "url"),
        ({"name": "a", "depends_on": ["a"]}, "depends_on"),
    ],
)
def test_a_program_is_told_the_field(document, field):
    with pytest.raises(Invalid) as caught:
        parse_service(document)
    assert caught.value.field == field


def test_what_is_written_reads_the_same():
    spec = parse(read(CONTRACT, "s")).services[0]
    assert parse_service(spec.plain()) == spec


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), max_size=4)))
def test_a_circle_is_found_exactly_when_something_needs_itself(needs):
    circle = find_circle(needs)
    reach = {name: set(others) for name, others in needs.items()}
    for _ in reach:
        reach = {name: others | {far for near in others for far in reach.get(near, ())} for name, others in reach.items()}
    assert bool(circle) == any(name in others for name, others in reach.items())
    assert all(after in needs[before] for before, after in itertools.pairwise(circle))


def test_the_port_of_sshd_goes_with_ssh():
    targets = {"hosts": ["h"], "via": "ssh", "user": "heal", "port": 2222}
    assert parse_service({"name": "a", "targets": targets}).plain()["targets"] == {**targets, "url": ""}
    for wrong, said in (({"via": "local"}, "goes with `via: ssh`"), ({"port": 0}, "greater than or equal to 1")):
        with pytest.raises(Invalid, match=said):
            parse_service({"name": "a", "targets": {**targets, **wrong}})
