"""The playbooks that are shipped: sound, tested, and none of them in the way of another."""

from __future__ import annotations

from pathlib import Path

import pytest

from healing.catalog.reading import try_out

CONFIG = Path(__file__).parents[2] / "config"
FILES, SHIPPED = try_out(CONFIG, [CONFIG / "playbooks"])
DEMO = try_out(CONFIG, [CONFIG / "demo" / "playbooks"])[1]
TRIED = [*SHIPPED, *DEMO]
NAMES = [each.read.path for each in TRIED]


def test_each_is_sound_without_a_warning():
    assert (FILES.errors, FILES.warnings) == ([], [])


@pytest.mark.parametrize("tried", TRIED, ids=NAMES)
def test_its_own_tests_hold(tried):
    assert tried.cases
    assert [(case.name, case.mismatches) for case in tried.cases if not case.passed] == []


@pytest.mark.parametrize("tried", TRIED, ids=NAMES)
def test_its_tests_show_when_it_does_not_start_by_itself(tried):
    assert any(not case.expect.applicable or case.expect.decision != "auto" for case in tried.read.document.tests)


def test_those_that_a_service_is_down_for_are_the_two_that_were_there():
    for_it = [each.read.document.playbook for each in SHIPPED if "service_down" in each.read.document.diagnoses]
    assert for_it == ["restart-process", "restart-quiet-process"]
