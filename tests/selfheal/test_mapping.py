import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from selfheal.mapping import Facts, Matched, Rule, Unmatched, place, questions, strip_port

WEB = ("web-01", "web-02")
DISK = Rule({"alertname": "NodeFilesystem.*"}, "by_target", "labels.instance", "capacity_strain")


def facts(**more):
    hosts = {"web": frozenset(WEB), "db": frozenset({"db-01"}), "mail": frozenset(), "cache": frozenset({"web-02"})} | more
    on_host = {}
    for service, names in hosts.items():
        for name in names:
            on_host[name] = (*on_host.get(name, ()), service)
    return Facts(hosts, on_host)


def read(suggestion):
    """The suggested line as services.yaml would read it."""
    (entry,) = YAML(typ="safe").load(io.StringIO(suggestion))
    return Rule(entry["match"], entry["service"], entry["target"], entry["diagnosis"])


@pytest.mark.parametrize(
    ("labels", "target"),
    [
        ({"service": "web", "instance": "web-01"}, "web-01"),
        ({"service": "web", "instance": "web-01:9100"}, "web-01"),
        ({"service": "mail"}, "mail"),
        ({"service": "mail", "instance": "10.0.0.5:9100"}, "mail"),
        ({"service": "db"}, "db-01"),
    ],
)
def test_without_a_map_entry_the_labels_service_and_instance_name_the_place(labels, target):
    found = place({"alertname": "InstanceDown", **labels}, [], facts())
    assert found == Matched(labels["service"], target, "service_down", 0.95)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({}, "no map entry matches, and there is no label service"),
        ({"service": "nobody"}, "service 'nobody' is not declared"),
        ({"service": "web", "instance": "db-01:9100"}, "service web is known, but host 'db-01' is none of its 2 hosts"),
        ({"service": "web"}, "service web is known, but the alert names no instance, and it has 2 hosts"),
        ({"service": "web", "instance": "web-01", "diagnosis": "no name"}, "label diagnosis is no name"),
    ],
)
def test_nothing_is_guessed_and_the_reason_is_said(labels, said):
    found = place({"alertname": "InstanceDown", **labels}, [], facts())
    assert isinstance(found, Unmatched)
    assert said in found.reason


def test_the_first_entry_that_matches_decides_alone():
    rules = [DISK, Rule({"alertname": ".*"}, "mail")]
    labels = {"alertname": "NodeFilesystemFull", "instance": "nowhere:9100"}
    found = place(labels, rules, facts())
    assert isinstance(found, Unmatched)
    assert found.reason == "no service lists host 'nowhere'"
    assert place({"alertname": "Other"}, rules, facts()) == Matched("mail", "mail", "general_degradation", 0.5)


def test_by_target_takes_the_one_service_that_lists_the_host():
    found = place({"alertname": "NodeFilesystemFull", "instance": "db-01:9100"}, [DISK], facts())
    assert found == Matched("db", "db-01", "capacity_strain", 0.85)


def test_by_target_with_two_services_on_the_host_is_unmatched():
    found = place({"alertname": "NodeFilesystemFull", "instance": "web-02:9100"}, [DISK], facts())
    assert isinstance(found, Unmatched)
    assert found.reason == "host 'web-02' is listed by 2 services: web, cache"


def test_patterns_match_the_whole_value():
    rules = [Rule({"alertname": "Disk"}, "mail")]
    assert isinstance(place({"alertname": "DiskFull"}, rules, facts()), Unmatched)
    assert isinstance(place({"alertname": "Disk\n"}, rules, facts()), Unmatched)
    assert isinstance(place({"alertname": "Disk"}, rules, facts()), Matched)


def test_a_label_that_is_not_there_is_the_empty_string():
    assert isinstance(place({"alertname": "A"}, [Rule({"team": ""}, "mail")], facts()), Matched)
    assert isinstance(place({"alertname": "A"}, [Rule({"team": ".+"}, "mail")], facts()), Unmatched)


def test_service_and_target_may_come_from_other_labels():
    rule = Rule({"job": "node"}, "labels.app", "labels.node")
    found = place({"job": "node", "app": "web", "node": "web-02:1"}, [rule], facts())
    assert isinstance(found, Matched)
    assert (found.service, found.target) == ("web", "web-02")


@pytest.mark.parametrize(
    ("instance", "host"),
    [
        ("web-01:9100", "web-01"),
        ("web-01", "web-01"),
        ("[::1]:9100", "::1"),
        ("[::1]", "::1"),
        ("fe80::1", "fe80::1"),
        ("https://web.internal/healthz", "https://web.internal/healthz"),
        ("web:http", "web:http"),
        ("web:", "web:"),
    ],
)
def test_a_port_is_stripped_and_nothing_else(instance, host):
    assert strip_port(instance) == host


def test_only_what_may_be_asked_is_asked():
    services, hosts = questions([{"service": "web", "instance": "a:1"}, {"node": "b"}], [Rule({}, "mail", "labels.node"), DISK])
    assert services == {"web", "mail"}
    assert hosts == {"a:1", "a", "b"}


TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)


@given(st.dictionaries(st.sampled_from(["alertname", "job", "instance", "team", "x y"]), TEXT, min_size=1), TEXT)
def test_the_suggested_line_matches_once_its_service_is_declared(labels, service):
    labels = {**labels, "service": service} if service else labels
    found = place(labels, [], facts())
    if isinstance(found, Unmatched):
        rule = read(found.suggestion)
        assert "\n" not in found.suggestion
        again = place(labels, [rule], facts(**{rule.service: frozenset()}) if rule.service != "by_target" else facts())
        assert isinstance(again, Matched), (found, again)


def test_the_suggestion_for_a_host_of_another_service_names_that_service_by_target():
    labels = {"alertname": "DiskFull", "service": "web", "instance": "db-01:9100"}
    found = place(labels, [], facts())
    assert isinstance(found, Unmatched)
    assert found.suggestion == (
        '- {match: {alertname: "DiskFull", service: "web"}, service: by_target, '
        "target: labels.instance, diagnosis: capacity_strain}"
    )
    assert place(labels, [read(found.suggestion)], facts()) == Matched("db", "db-01", "capacity_strain", 0.85)


def test_a_target_that_only_a_person_can_choose_stands_in_angle_brackets():
    found = place({"alertname": "InstanceDown", "service": "web"}, [], facts())
    assert isinstance(found, Unmatched)
    assert 'target: "<web-01 or web-02>"' in found.suggestion
