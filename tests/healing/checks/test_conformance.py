"""What every check must do when it looks. What it must keep before is in tests/healing/actions/test_conformance.py."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace

import pytest

from healing.checks import CHECKS
from selfheal.canonical import dumps
from selfheal.errors import Invalid
from tests.healing.actions import examples


@pytest.fixture
def place(tmp_path, marker, server):
    start = ["/bin/sleep", "60"]
    child = subprocess.Popen(start, env={"M": marker})
    (tmp_path / "web.pid").write_text(str(child.pid))
    labels = {"pidfile": str(tmp_path / "web.pid"), "start": json.dumps(start)}
    yield replace(examples.place(tmp_path, marker, server.url), labels=labels)
    child.kill()
    child.wait()


@pytest.fixture
def ready(context, server):
    return replace(context, allowed=[server.url], prometheus_url=server.url, cli_verify=True)


@pytest.fixture(params=sorted(CHECKS))
def doer(request):
    return CHECKS[request.param]


@pytest.mark.parametrize("wrong", [{"nonsense": 1}, {"url": 7}, {"unit": "a; rm -rf /"}, {"argv": "ls"}, {"retries": -1}])
def test_it_refuses_what_it_does_not_know_and_names_the_field(doer, place, wrong):
    with pytest.raises(Invalid) as raised:
        doer.freeze({**examples.GOOD[doer.name], **wrong}, place)
    assert raised.value.field == next(iter(wrong))


def test_what_is_well_passes_again_and_again(doer, place, perform, ready):
    for _ in range(2):
        launched = perform(doer, examples.GOOD[doer.name], place, context=ready)
        assert launched.result.ok, (launched.message, launched.stderr)
        dumps({"message": launched.message, "data": launched.result.data})


def test_what_is_not_well_fails_and_says_why(doer, place, perform, ready):
    launched = perform(doer, examples.BAD[doer.name], place, context=ready)
    assert not launched.result.ok
    assert launched.message


def test_one_that_cannot_look_fails(doer, place, perform, ready):
    launched = perform(doer, examples.GOOD[doer.name], place, context=ready, bound=0)
    assert not launched.result.ok
