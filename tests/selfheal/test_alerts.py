import contextlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfheal import alerts
from selfheal.alerts import read_plain, read_webhook, severity_of
from selfheal.errors import Invalid, TooLarge
from selfheal.nesting import check_depth

START = "2026-11-22T19:50:38.895171Z"
NEVER = "0001-01-01T00:00:00Z"


def alert(**changes):
    values = {
        "status": "firing",
        "labels": {"alertname": "InstanceDown", "service": "web", "severity": "critical"},
        "annotations": {"summary": "web is down"},
        "startsAt": START,
        "endsAt": NEVER,
        "generatorURL": "http://prom/graph",
        "fingerprint": "4d959f86d61a4236",
    }
    return {k: v for k, v in {**values, **changes}.items() if v is not None}


def body(*items, **envelope):
    return json.dumps({"version": "4", "receiver": "hook", "alerts": list(items), "truncatedAlerts": 0, **envelope}).encode()


def one(at, **changes):
    received = read_webhook(body(alert(**changes)), at)
    assert not received.rejected
    return received.alerts[0]


def refused(at, *items):
    return [(r.index, r.field, r.reason) for r in read_webhook(body(*items), at).rejected]


def test_a_firing_alert_is_read(at):
    found = one(at)
    assert found.fingerprint == "4d959f86d61a4236"
    assert found.starts_at == datetime(2026, 11, 22, 19, 50, 38, 895171, tzinfo=UTC)
    assert (found.status, found.ends_at, found.severity, found.title) == ("firing", None, "critical", "web is down")


def test_the_year_one_as_an_end_means_firing(at):
    assert one(at, endsAt="0001-01-01T00:00:00+05:00").ends_at is None
    assert one(at, status="resolved").ends_at == at
    assert one(at, status="resolved", endsAt=START).ends_at == datetime(2026, 11, 22, 19, 50, 38, 895171, tzinfo=UTC)


def test_instants_become_utc(at):
    assert one(at, startsAt="2026-11-22T20:50:38.895171234+01:00").starts_at == one(at).starts_at


@pytest.mark.parametrize(
    ("said", "severity"),
    [
        ("info", "low"),
        ("low", "low"),
        ("warning", "medium"),
        ("error", "high"),
        ("high", "high"),
        ("critical", "critical"),
        ("Page", "critical"),
        ("", "medium"),
        ("P1", "medium"),
    ],
)
def test_severities_of_others_become_ours(said, severity):
    assert severity_of(said) == severity


def test_without_a_fingerprint_the_sorted_labels_give_one(at):
    labels = {"b": "2", "a": "1"}
    first = one(at, fingerprint=None, labels=labels).fingerprint
    assert first == one(at, fingerprint="", labels=dict(sorted(labels.items()))).fingerprint
    assert len(first) == 64
    assert first != one(at, fingerprint=None, labels={"b": "2", "a": "3"}).fingerprint


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"status": "suppressed"}, "status", "Invalid enum value 'suppressed'"),
        ({"status": None}, "status", "missing required field"),
        ({"labels": None}, "labels", "missing required field"),
        ({"labels": {}}, "labels", "an alert is known by its labels"),
        ({"labels": {"a": 1}}, "labels", "Expected `str`, got `int`"),
        ({"labels": {"a": "x\0y"}}, "labels.a", "NUL byte"),
        ({"labels": {"a\0": "x"}}, "labels", "NUL byte"),
        ({"labels": {"": "x"}}, "labels", "from 1 to 1,000 characters"),
        ({"labels": {"n" * 1001: "x"}}, "labels", "from 1 to 1,000 characters"),
        ({"labels": {"a": "é" * 2049}}, "labels.a", "4,096 bytes"),
        ({"labels": {f"l{n}": "x" for n in range(10_000)}}, "labels", "may have 100 labels, this one has 10,000"),
        ({"annotations": {"a": "\0"}}, "annotations.a", "NUL byte"),
        ({"annotations": {f"l{n}": "x" for n in range(101)}}, "annotations", "may have 100 annotations"),
        ({"startsAt": "yesterday"}, "startsAt", "Invalid RFC3339"),
        ({"startsAt": "2026-11-22T19:50:38"}, "startsAt", "timezone"),
        ({"startsAt": NEVER}, "startsAt", "is not set"),
        ({"startsAt": "9999-12-31T23:59:59-01:00"}, "startsAt", "outside the years"),
        ({"fingerprint": "f" * 65}, "fingerprint", "64 printable"),
        ({"fingerprint": "a\nb"}, "fingerprint", "64 printable"),
        ({"fingerprint": 7}, "fingerprint", "Expected `str`"),
    ],
)
def test_a_bad_alert_is_refused_by_index_field_and_reason_and_the_others_go_on(at, changes, field, reason):
    received = read_webhook(body(alert(), alert(**changes), alert(fingerprint="other")), at)
    assert [a.fingerprint for a in received.alerts] == ["4d959f86d61a4236", "other"]
    (wrong,) = received.rejected
    assert (wrong.index, wrong.field) == (1, field)
    assert reason in wrong.reason


def test_an_alert_that_is_no_object_is_refused_alone(at):
    assert [(index, field) for index, field, _ in refused(at, 7, alert(), None, "x", [])] == [(0, ""), (2, ""), (3, ""), (4, "")]


@pytest.mark.parametrize("half", [rb"\ud800", rb"\uDC00", rb"a\ud800b", rb"\\\ud800", rb"\ud800\ud83d\ude00"])
def test_half_a_surrogate_pair_is_refused_alone(at, half):
    text = body(alert(labels={"a": "😀"}), alert(labels={"a": "HALF"}), alert(labels={"a": "\\ud800"})).replace(b"HALF", half)
    received = read_webhook(text, at)
    assert [a.labels["a"] for a in received.alerts] == ["😀", "\\ud800"]
    assert [(r.index, r.field) for r in received.rejected] == [(1, "labels.a")]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"alerts": {}}',
        b'{"alerts": null}',
        b"\xff",
        b'{"alerts": [{"a": }]}',
        b'{"alerts": [1,]}',
    ],
)
def test_a_body_that_is_no_webhook_is_invalid(at, text):
    with pytest.raises(Invalid):
        read_webhook(text, at)


def test_a_wrong_count_of_truncated_alerts_names_its_field(at):
    with pytest.raises(Invalid) as caught:
        read_webhook(body(truncatedAlerts=-1), at)
    assert caught.value.field == "truncatedAlerts"
    assert read_webhook(body(truncatedAlerts=7), at).truncated == 7


def test_a_body_over_32_mib_is_too_large(at):
    with pytest.raises(TooLarge):
        read_webhook(b" " * (alerts.MAX_BODY_BYTES + 1), at)


@pytest.mark.parametrize("pair", [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth_is_bounded_before_anything_is_parsed(at, pair):
    opening, closing = pair
    check_depth(opening * 32 + b"1" + closing * 32)
    with pytest.raises(Invalid):
        check_depth(opening * 33 + b"1" + closing * 33)
    with pytest.raises(Invalid):
        read_webhook(b'{"alerts":[' + opening * 100_000 + b"1" + closing * 100_000 + b"]}", at)


def test_what_is_too_deep_is_named_by_its_key():
    text = b'{"text": "[[{", "a\\"b": [1], "context": ' + b"[" * 40 + b"]" * 40 + b"}"
    with pytest.raises(Invalid) as deep:
        check_depth(text)
    assert deep.value.field == "context"


@pytest.mark.parametrize(
    "text", [b'{"text": [1, 2}', b'{"a' + b"x" * 100, b'"' + b'"\\' * 5_000_000 + b"[", b'{"a":' + b'"a" ' * 5_000_000]
)
def test_what_does_not_close_has_no_name_and_is_read_once_only(text):
    with pytest.raises(Invalid) as broken:
        check_depth(text)
    assert broken.value.field == ""


def test_brackets_inside_strings_are_no_depth():
    check_depth(json.dumps({"a": "[" * 100, '\\"' + "{" * 100: ["\\", '"[[', "\\\\"]}).encode())


def test_long_annotations_are_cut_and_a_long_url_is_left_out(at):
    found = one(at, annotations={"description": "x" * 5_000}, generatorURL="http://" + "x" * 2_000)
    assert len(found.annotations["description"]) == alerts.MAX_ANNOTATION
    assert found.generator_url == ""


def test_a_title_is_one_printable_line(at):
    found = one(at, annotations={"summary": "down\nERROR forged \x1b[31m line\u202e" + "x" * 400})
    assert found.title.startswith("down ERROR forged �[31m line�")
    assert found.title.isprintable()
    assert len(found.title) == alerts.MAX_TITLE


def test_without_a_summary_the_name_of_the_alert_is_its_title(at):
    assert one(at, annotations=None, labels={"alertname": "DiskFull", "instance": "a:1"}).title == "DiskFull on a:1"
    assert one(at, annotations={}, labels={"x": "y"}).title == "alert"


def plain(at, **values):
    return read_plain(json.dumps(values).encode(), at).alerts[0]


def test_a_plain_alert_is_read(at):
    found = plain(
        at, service="web", target="web-01", diagnosis="service_down", title="down", severity="page", labels={"team": "a"}
    )
    assert found.labels == {"team": "a", "service": "web", "instance": "web-01", "diagnosis": "service_down"}
    assert (found.status, found.starts_at, found.severity, found.title) == ("firing", None, "critical", "down")


def test_the_severity_of_a_plain_alert_is_no_part_of_its_identity(at):
    assert plain(at, service="web", severity="low").fingerprint == plain(at, service="web", severity="high").fingerprint


def test_a_plain_alert_is_resolved_by_an_end_that_has_passed(at):
    past, future = (at - timedelta(minutes=1)).isoformat(), (at + timedelta(minutes=1)).isoformat()
    assert plain(at, service="web", ends_at=past).status == "resolved"
    assert plain(at, service="web", ends_at=future).status == "firing"
    assert plain(at, service="web", ends_at=NEVER).status == "firing"
    assert plain(at, service="web", status="resolved").ends_at == at


def test_many_plain_alerts_come_as_an_array(at):
    received = read_plain(json.dumps([{"service": "web"}, {"sevrity": "low"}, {"service": "db"}]).encode(), at)
    assert [a.labels["service"] for a in received.alerts] == ["web", "db"]
    assert [(r.index, r.field) for r in received.rejected] == [(1, "sevrity")]


def test_a_single_bad_plain_alert_is_invalid(at):
    with pytest.raises(Invalid) as caught:
        read_plain(b"{}", at)
    assert caught.value.field == "labels"


KEYS = st.sampled_from([*alert(), "service", "target", "starts_at", "ends_at", "title", "severity"])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([START, NEVER, "firing", "resolved"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | KEYS, inner, max_size=5),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(KEYS, JSON, max_size=8) | JSON, max_size=4), st.booleans())
def test_whatever_stands_in_a_body_each_alert_is_read_or_refused(items, escaped):
    at = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
    text = json.dumps({"alerts": items}, ensure_ascii=escaped).encode("utf-8", "replace")
    many = json.dumps(items, ensure_ascii=escaped).encode("utf-8", "replace")
    for read, sent in ((read_webhook, text), (read_plain, many)):
        try:
            received = read(sent, at)
        except Invalid:  # NaN and the like are no JSON
            continue
        assert len(received.alerts) + len(received.rejected) == len(items)


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")))
def test_whatever_the_bytes_are_they_are_read_or_invalid(text):
    for read in (read_webhook, read_plain):
        with contextlib.suppress(Invalid):
            read(text, datetime(2026, 11, 25, 12, 0, tzinfo=UTC))
