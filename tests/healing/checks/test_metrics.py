from __future__ import annotations

import json
from dataclasses import replace

import pytest

from healing.checks import CHECKS
from selfheal.errors import Invalid
from selfheal.places import Place
from selfheal.queries import Query

THRESHOLD, TREND = CHECKS["metrics_threshold"], CHECKS["metrics_trend"]
HOST = {"host": {"type": "string", "pattern": "^[a-z0-9-]+$"}}
PLACE = Place(
    "web",
    "web-01",
    queries={"load": Query(promql="node_load1{instance=${args.host}} # of a host", args=HOST), "up": Query(promql="up")},
)


@pytest.fixture
def look(perform, context, server):
    ready = replace(context, prometheus_url=server.url)

    def looked(check, given, context=ready):
        return perform(check, {"query": "up", **given}, PLACE, context=context)

    return looked


def test_the_finished_query_is_frozen():
    frozen = THRESHOLD.freeze({"query": "load", "args": {"host": "web-01"}, "lte": 2}, PLACE)
    assert frozen == {
        "query": "load",
        "promql": 'avg_over_time((\nnode_load1{instance="web-01"} # of a host\n)[300000ms:30000ms])',
        "lte": "2",
    }


def test_the_trend_is_the_slope_over_the_window():
    frozen = TREND.freeze({"query": "up", "direction": "falling", "window": "10m", "by": 0.5}, PLACE)
    assert frozen["promql"] == "600 * deriv((\nup\n)[600000ms:60000ms])"
    assert (frozen["by"], frozen["window_ms"]) == ("0.5", 600_000)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"query": "up"}, ""),
        ({"lte": 1}, ""),
        ({"query": "up", "signal": "cpu", "lte": 1}, ""),
        ({"query": "up", "gte": 2, "lte": 1}, ""),
        ({"query": "none", "lte": 1}, "query"),
        ({"query": "load", "lte": 1}, "args.host"),
        ({"query": "load", "args": {"host": 'x"} or up{a="'}, "lte": 1}, "args.host"),
        ({"query": "up", "lte": "much"}, "lte"),
        ({"query": "up", "lte": float("nan")}, "lte"),
        ({"query": "up", "lte": True}, "lte"),
        ({"query": "up", "lte": 1, "window": "1s"}, "window"),
        ({"query": "up", "lte": 1, "promql": "up"}, "promql"),
        ({"signal": "c p u", "lte": 1}, "signal"),
        ({"signal": "cpu", "args": {"host": "a"}, "lte": 1}, ""),
        ({"signal": "cpu", "window": "61m", "lte": 1}, ""),
    ],
)
def test_what_is_not_declared_is_refused(given, field):
    with pytest.raises(Invalid) as raised:
        THRESHOLD.freeze(given, PLACE)
    assert raised.value.field == field


@pytest.mark.parametrize(
    ("bounds", "ok"),
    [({"lte": 1.5}, True), ({"gte": 1.5}, True), ({"lte": 1.49}, False), ({"gte": 1.51}, False), ({"gte": 1, "lte": 2}, True)],
)
def test_the_bounds_are_part_of_what_passes(look, bounds, ok):
    assert look(THRESHOLD, bounds).result.ok is ok


def test_each_series_must_pass(look, server):
    server.series = [({"host": "a"}, "1"), ({"host": "b"}, "9")]
    launched = look(THRESHOLD, {"lte": 5})
    assert (launched.result.ok, launched.message) == (False, "up is 9 (host=b), which is not at most 5")


@pytest.mark.parametrize(("change", "ok"), [("-0.1", True), ("0", False), ("0.1", False)])
def test_falling_is_falling(look, server, change, ok):
    server.series = [({}, change)]
    assert look(TREND, {"direction": "falling"}).result.ok is ok


@pytest.mark.parametrize(("change", "ok"), [("2", True), ("1.9", False), ("-3", False)])
def test_rising_by_so_much_is_rising_by_so_much(look, server, change, ok):
    server.series = [({}, change)]
    assert look(TREND, {"direction": "rising", "by": 2}).result.ok is ok


@pytest.mark.parametrize("value", ["NaN", "+Inf"])
def test_what_is_no_number_does_not_pass(look, server, value):
    server.series = [({}, value)]
    assert not look(THRESHOLD, {"lte": 5}).result.ok


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((200, b"<html>"), "what answered 200 there is no Prometheus"),
        ((200, b"[]"), "what answered 200 there is no Prometheus"),
        ((400, b'{"status": "error", "error": "parse error"}'), "Prometheus says: parse error"),
        ((200, b'{"status": "success", "data": {"resultType": "matrix", "result": []}}'), "gives a matrix"),
        ((200, b'{"status": "success", "data": {"resultType": "vector", "result": []}}'), "there is no data"),
        ((200, b"x" * 2_000_000), "over 1 MiB"),
    ],
)
def test_what_cannot_be_found_out_fails(look, server, answer, says):
    server.prometheus = lambda _: answer
    launched = look(THRESHOLD, {"lte": 5})
    assert not launched.result.ok
    assert says in launched.message


def test_without_an_address_it_fails_and_says_what_to_set(look, context):
    launched = look(THRESHOLD, {"lte": 5}, context)
    assert "set SELF_HEAL_PROMETHEUS_URL" in launched.message


def test_the_query_goes_to_the_server_as_it_was_frozen(look, server):
    asked = []
    server.prometheus = lambda form: asked.append(form["query"][0]) or (200, json.dumps({}).encode())
    look(THRESHOLD, {"lte": 5})
    assert asked == ["avg_over_time((\nup\n)[300000ms:30000ms])"]


CPU = ((1.0, 9.0), (2.0, 6.0), (3.0, 3.0), (20.0, 100.0))  # seconds ago, value


def test_a_signal_and_its_window_are_frozen():
    assert THRESHOLD.freeze({"signal": "cpu", "lte": 2}, PLACE) == {"signal": "cpu", "window_ms": 300_000, "lte": "2"}
    frozen = TREND.freeze({"signal": "cpu", "direction": "rising", "window": "10s"}, PLACE)
    assert frozen == {"signal": "cpu", "window_ms": 10_000, "direction": "rising", "by": "0"}
    assert TREND.targets(frozen) == ("signal cpu",)
    assert TREND.dry_run(frozen) == "signal cpu is rising over 10 s: samples of 10 s"


@pytest.mark.parametrize(
    ("check", "given", "samples", "ok", "says"),
    [
        (THRESHOLD, {"lte": 6}, CPU, True, "signal cpu is 6"),
        (THRESHOLD, {"lte": 5.9}, CPU, False, "signal cpu is 6, which is not at most 5.9"),
        (THRESHOLD, {"lte": 9}, (), False, "signal cpu: there is no sample of web-01 within 10 s"),
        (THRESHOLD, {"lte": 9}, ((20.0, 1.0),), False, "there is no sample"),
        (TREND, {"direction": "rising", "by": 29}, CPU, True, "signal cpu is 30"),
        (TREND, {"direction": "falling"}, CPU, False, "which is not falling over 10 s"),
        (TREND, {"direction": "rising"}, CPU[:1], False, "one sample shows no trend"),
        (TREND, {"direction": "rising"}, CPU[:1] * 2, False, "one sample shows no trend"),
    ],
)
def test_a_signal_is_judged_by_the_samples_that_were_handed_in(perform, context, check, given, samples, ok, says):
    launched = perform(check, {"signal": "cpu", "window": "10s", **given}, PLACE, context=replace(context, samples=samples))
    assert launched.result.ok is ok
    assert says in launched.message
