from __future__ import annotations

import json
import logging
import os
import sys

import pytest
from django.db import OperationalError
from django.test import RequestFactory

from config.logs import JsonLine, NotProbes, OneLine, Outage
from healing.log_context import about


def formatted(message: str, *arguments: object, exc_info: object = None) -> str:
    record = logging.LogRecord("healing.intake", logging.WARNING, __file__, 1, message, arguments, exc_info)  # type: ignore[arg-type]
    return OneLine().format(record)


def test_a_message_is_one_line_whatever_comes_from_outside() -> None:
    line = formatted("alert %s", "x\n2026-01-01T00:00:00Z INFO root[1] all is well\x1b[2J\x00\u2028\x85")
    assert "\n" not in line
    assert line.endswith(r"alert x\n2026-01-01T00:00:00Z INFO root[1] all is well\x1b[2J\x00\u2028\x85")


def test_no_line_of_a_traceback_can_pass_for_a_line_of_the_log() -> None:
    try:
        raise ValueError("bad\n2026-01-01T00:00:00.000Z INFO root[1] forged\r\x1b[A")
    except ValueError:
        first, *rest = formatted("it failed", exc_info=sys.exc_info()).split("\n")
    assert first.endswith("it failed")
    assert rest
    assert all(line.startswith("    ") for line in rest)
    assert not any(character in line for line in rest for character in "\r\x1b")


def test_a_line_names_instant_level_logger_and_process() -> None:
    assert formatted("hello").split(" ")[1:3] == ["WARNING", f"healing.intake[{os.getpid()}]"]


def test_a_line_says_what_it_is_about() -> None:
    with about(run="r1"), about(incident="i1"):
        assert formatted("begun").endswith("] begun run=r1 incident=i1")
    assert formatted("over").endswith("] over")


def test_as_json_each_line_is_an_object_with_what_it_is_about_and_its_error() -> None:
    try:
        raise ValueError("bad\nworse")
    except ValueError:
        record = logging.LogRecord("healing.runs", logging.ERROR, __file__, 1, "failed\n%s", ("x",), sys.exc_info())
    with about(run="r1"):
        line = JsonLine().format(record)
    found = json.loads(line)
    assert "\n" not in line
    assert {name: found[name] for name in ("level", "logger", "pid", "message", "run")} == {
        "level": "error", "logger": "healing.runs", "pid": os.getpid(), "message": "failed\nx", "run": "r1",
    }  # fmt: skip
    assert found["error"].endswith("ValueError: bad\nworse")


def test_a_probe_that_was_answered_with_503_is_no_line_of_the_log() -> None:
    record = logging.LogRecord("django.request", logging.ERROR, "", 0, "Service Unavailable", (), None)
    record.request = RequestFactory().get("/readyz")
    assert not NotProbes().filter(record)
    record.request = RequestFactory().get("/api/self_heal/runs")
    assert NotProbes().filter(record)


@pytest.mark.parametrize(("error", "traceback"), [(OperationalError("away"), False), (ValueError("a fault of ours"), True)])
def test_an_outage_is_one_line_and_a_fault_of_ours_keeps_its_traceback(error: Exception, traceback: bool) -> None:
    record = logging.LogRecord("celery.app.trace", logging.ERROR, "", 0, "failed", (), (type(error), error, None))
    assert Outage().filter(record)
    assert bool(record.exc_info) is traceback
