"""What an adapter may measure, and which of its parts to look at first."""

from __future__ import annotations

import pytest

from selfheal.errors import Invalid
from selfheal.signals import Threshold
from selfheal.states import Health
from selfheal.telemetry import Metric, Node, check_values, first_ill, known, thresholds

FULL = Threshold("capacity_strain", degraded=90)
TELEMETRY = (known("up", "it lives"), Metric("host.disk", "%", "of the disk", FULL), Metric("host.age", "s", "of the process"))


def test_only_what_has_a_threshold_judges_health() -> None:
    assert thresholds(TELEMETRY) == {"up": Threshold("service_down", critical=0, below=True), "host.disk": FULL}


def test_what_was_declared_is_taken() -> None:
    check_values(TELEMETRY, {"up": 1.0, "host.age": 3})


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"host.age": 1.0, "host.typo": 1.0}, "host.typo is not in the telemetry"),
        ({"host.age": float("nan")}, "no finite number"),
        ({"host.age": float("inf")}, "no finite number"),
    ],
)
def test_what_was_not_declared_or_is_no_number_is_refused(values: dict[str, float], says: str) -> None:
    with pytest.raises(Invalid, match=says):
        check_values(TELEMETRY, values)


def node(name: str, health: Health, *needs: str) -> Node:
    return Node(name, health, "as it is", needs)


def test_who_is_unwell_because_of_another_is_not_looked_at_first() -> None:
    nodes = [
        node("web", Health.CRITICAL, "database"),
        node("worker", Health.CRITICAL, "broker", "database"),
        node("database", Health.CRITICAL),
        node("broker", Health.HEALTHY),
    ]
    assert first_ill(nodes) == ("database",)


def test_the_critical_ones_stand_before_the_degraded() -> None:
    assert first_ill([node("a", Health.DEGRADED), node("b", Health.CRITICAL)]) == ("b", "a")


@pytest.mark.parametrize("health", [Health.HEALTHY, Health.UNKNOWN])
def test_what_is_well_or_unknown_is_not_ill(health: Health) -> None:
    assert first_ill([node("a", health)]) == ()


def test_who_needs_something_unknown_is_ill_by_itself() -> None:
    assert first_ill([node("a", Health.CRITICAL, "b"), node("b", Health.UNKNOWN)]) == ("a",)
