from __future__ import annotations

import json
from datetime import timedelta
from itertools import product

import pytest

from selfheal.documents import read
from selfheal.errors import Invalid, InvalidDocument
from selfheal.queries import Query
from selfheal.signals import (
    BUILT_IN,
    Condition,
    Threshold,
    begin,
    change_over,
    is_news,
    is_stale,
    mean,
    of_severity,
    parse,
    read_samples,
    step,
    worst,
)
from selfheal.states import Health

HEALTHY, DEGRADED, CRITICAL, UNKNOWN = Health.HEALTHY, Health.DEGRADED, Health.CRITICAL, Health.UNKNOWN
LETTERS = {"h": HEALTHY, "d": DEGRADED, "c": CRITICAL, "u": UNKNOWN}
HOUR = timedelta(hours=1)


def follow(at, start: str, samples: str) -> Condition:
    """The condition after these samples, one a second, from a state that has lasted."""
    now = Condition(LETTERS[start], at, 0, at)
    for seconds, letter in enumerate(samples, 1):
        now = step(now, LETTERS[letter], seconds, at + timedelta(seconds=seconds))
    return now


@pytest.mark.parametrize(
    ("metric", "value", "health", "diagnosis"),
    [
        ("up", 1, HEALTHY, "service_down"),
        ("up", 0, CRITICAL, "service_down"),
        ("latency_ms", 999.9, HEALTHY, "latency_spike"),
        ("latency_ms", 1000, DEGRADED, "latency_spike"),
        ("error_rate", 0.0499, HEALTHY, "elevated_errors"),
        ("error_rate", 0.05, DEGRADED, "elevated_errors"),
    ],
)
def test_what_is_built_in_is_bad_from_these_values_on(metric, value, health, diagnosis):
    assert (BUILT_IN[metric].judge(value), BUILT_IN[metric].diagnosis) == (health, diagnosis)


def test_low_values_may_be_the_bad_ones():
    free = Threshold("capacity_strain", degraded=10, critical=2.5, below=True)
    assert [free.judge(value) for value in (11, 10, 2.6, 2.5, 0)] == [HEALTHY, DEGRADED, DEGRADED, CRITICAL, CRITICAL]


@pytest.mark.parametrize(
    ("start", "samples", "ends"),
    [
        ("h", "d", "h"),
        ("h", "dd", "d"),
        ("h", "dhdhdhdh", "h"),
        ("h", "dc", "d"),  # both say at least degraded
        ("h", "cdcd", "d"),
        ("h", "cc", "c"),
        ("d", "cdc", "d"),
        ("c", "hh", "c"),
        ("c", "hhh", "h"),
        ("c", "hdh", "d"),  # the best that all three say
        ("c", "hhchh", "c"),
        ("d", "hh", "d"),
        ("d", "hhh", "h"),
        ("u", "hh", "u"),
        ("u", "hhh", "h"),
        ("u", "c", "u"),
        ("u", "cc", "c"),
        ("u", "hchc", "u"),
    ],
)
def test_a_state_counts_when_it_was_seen_often_enough_in_a_row(at, start, samples, ends):
    assert follow(at, start, samples).health is LETTERS[ends]


def test_no_series_changes_state_before_its_time(at):
    for start in LETTERS:
        for samples in product("hdc", repeat=5):
            assert len({follow(at, start, "".join(samples[:n])).health for n in range(2)}) == 1, (start, samples)


def test_since_is_the_sample_that_counted(at):
    now = follow(at, "h", "ddd")
    assert (now.since, now.seen_at, now.value) == (at + timedelta(seconds=2), at + timedelta(seconds=3), 3)


def test_a_target_that_was_never_measured_is_healthy_at_once_but_not_bad_at_once(at):
    assert begin(HEALTHY, 1, at).health is HEALTHY
    first = begin(CRITICAL, 0, at)
    assert (first.health, first.candidate, first.times) == (UNKNOWN, CRITICAL, 1)
    assert step(first, CRITICAL, 0, at + timedelta(seconds=1)).health is CRITICAL


def test_only_what_is_newer_is_news_but_for_a_clock_that_was_set_back(at):
    second = timedelta(seconds=1)
    assert is_news(at, at - second, at)
    assert not is_news(at, at, at)
    assert not is_news(at - second, at, at)
    assert is_news(at, at + HOUR, at)


def test_what_is_stale_is_old_or_from_the_future(at):
    window = timedelta(minutes=10)
    assert not is_stale(at - window, at, window)
    assert is_stale(at - window - timedelta(seconds=1), at, window)
    assert not is_stale(at + timedelta(seconds=59), at, window)
    assert is_stale(at + HOUR, at, window)


def test_the_worst_counts_and_unknown_may_hide_anything():
    assert worst([]) is UNKNOWN
    assert worst([HEALTHY, UNKNOWN]) is UNKNOWN
    assert worst([UNKNOWN, DEGRADED, HEALTHY]) is DEGRADED
    assert worst([DEGRADED, CRITICAL]) is CRITICAL
    assert [of_severity(s) for s in ("low", "medium", "high", "critical")] == [DEGRADED] * 3 + [CRITICAL]


def test_the_change_is_that_of_the_line_through_all_points():
    assert change_over([(-4, 1), (-3, 2), (-2, 3), (-1, 4)], 60) == pytest.approx(60)
    assert change_over([(0, 5), (1, 3)], 1) == pytest.approx(-2)
    assert mean([1, 2, 6]) == 3


def samples(text, at):
    body = text if isinstance(text, bytes) else json.dumps(text).encode()
    return read_samples(body, at, HOUR)


def test_one_sample_or_many_are_read(at):
    one = {"service": "web", "target": "web-01", "metric": "up", "value": 1, "at": (at - HOUR).isoformat()}
    (first,) = samples(one, at).samples
    assert (first.labels, first.metric, first.value, first.at) == (
        {"service": "web", "instance": "web-01"}, "up", 1.0, at - HOUR,
    )  # fmt: skip
    both = samples([one, {"service": "web", "metric": "up", "value": 0}], at).samples
    assert [each.at for each in both] == [at - HOUR, at]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"service": None}, "service"),
        ({"service": ""}, "service"),
        ({"service": "x" * 300}, "service"),
        ({"service": "a\0"}, "service"),
        ({"metric": "a b"}, "metric"),
        ({"metric": "m" * 101}, "metric"),
        ({"value": "1"}, "value"),
        ({"value": True}, "value"),
        ({"value": None}, "value"),
        ({"value": float("nan")}, "value"),
        ({"value": float("inf")}, "value"),
        ({"value": float("-inf")}, "value"),
        ({"value": 10**400}, "value"),
        ({"at": "yesterday"}, "at"),
        ({"at": "2026-11-25T12:00:00"}, "at"),
        ({"at": "2026-11-25T12:01:01Z"}, "at"),
        ({"at": "2026-11-25T10:59:59Z"}, "at"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_bad_sample_is_named_and_blocks_no_other(at, change, field):
    good = {"service": "NaN", "metric": "up", "value": 1}
    found = samples([{**good, **change}, good], at)
    assert [(each.index, each.field) for each in found.rejected] == [(0, field)]
    assert found.samples[0].labels["service"] == "NaN"
    with pytest.raises(Invalid) as alone:
        samples({**good, **change}, at)
    assert alone.value.field == field


@pytest.mark.parametrize("body", [b"", b"{", b"[1,", b"\xff", b'"x"', b"[" * 50 + b"]" * 50])
def test_what_is_no_body_of_samples_is_refused(at, body):
    with pytest.raises(Invalid):
        samples(body, at)


QUERIES = {
    "share": Query(promql="x{job=${args.job}}", args={"job": {"type": "string", "pattern": "^[a-z]+$"}}),
    "ups": Query(promql="up"),
}


def file(text):
    return parse(read(text, "signals.yaml"), QUERIES)


def test_a_file_says_what_is_bad_and_what_is_pulled():
    found = file(
        "signals:\n  queue: {degraded: 10, critical: '12.5'}\n  latency_ms: {critical: 5000}\n"
        "  disk: {degraded: 5, worse: below, diagnosis: capacity_strain}\n"
        "pull:\n  - {signal: up, query: ups}\n  - {signal: e, query: share, args: {job: web}, service: web, target: labels.pod}\n"
    )
    known = found.thresholds()
    assert known["queue"] == Threshold("general_degradation", 10, 12.5)
    assert known["latency_ms"] == Threshold("latency_spike", None, 5000)
    assert known["disk"] == Threshold("capacity_strain", 5, None, True)
    assert known["up"] == BUILT_IN["up"]
    series = {"instance": "a:9100", "pod": "p1", "job": "web"}
    assert found.pull[0].labels(series) == series
    assert found.pull[1].labels(series) == {**series, "instance": "p1", "service": "web"}


def test_an_empty_file_leaves_what_is_built_in():
    assert file("").thresholds() == BUILT_IN


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("signals: {q: {}}", "names `degraded`, `critical`, or both"),
        ("signals: {q: {degraded: 5, critical: 5}}", "`critical` must be above `degraded`"),
        ("signals: {q: {degraded: 5, critical: 9, worse: below}}", "`critical` must be below `degraded`"),
        ("signals: {q: {degraded: nan}}", "expected a finite number"),
        ("signals: {q: {degraded: much}}", "expected a number"),
        ("signals: {a b: {degraded: 1}}", "is no name"),
        ("signal: {}", "did you mean 'signals'?"),
        ("pull: [{signal: up, query: none}]", "signals.yaml:1:28: query: 'none' is no query of queries.yaml"),
        ("pull: [{signal: up, query: share}]", "args.job: is missing"),
        ("pull: [{signal: up, query: share, args: {job: WEB}}]", "WEB"),
        ("pull: [{signal: up}]", "'query' is missing"),
    ],
)
def test_a_wrong_file_says_where(text, says):
    with pytest.raises(InvalidDocument) as raised:
        file(text)
    assert says in str(raised.value)
