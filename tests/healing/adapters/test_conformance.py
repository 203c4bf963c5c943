"""What every adapter must keep. A new one of ours is added to the examples, or this file fails; one from outside is tried too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from healing import heartbeats
from healing.adapters import ADAPTERS, OURS, conformance
from healing.adapters.base import Metric, Node, Placed, Seen
from healing.adapters.conformance import Example
from healing.adapters.host import Host
from healing.catalog.reading import read_files
from selfheal.errors import Invalid
from selfheal.places import Place
from selfheal.playbooks import PlaybookDocument
from selfheal.signals import Threshold
from selfheal.states import Health
from selfheal.telemetry import DOMAINS

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def shipped() -> dict[str, PlaybookDocument]:
    return {read.document.playbook: read.document for read in read_files(ROOT / "config", [ROOT / "config/playbooks"]).playbooks}


@pytest.fixture
def examples(little: Any, server: Any, shipped: Any, tmp_path: Path) -> dict[str, Example]:
    at = timezone.now()
    heartbeats.beat("sequencer-1@here", "sequencer", at)
    places = {
        "host": [little.place(), Place("machine", "machine", labels={"disk": "/"})],
        "http": [Place("web", "web-01", target_url=server.url), Place("web", "web-02", target_url=server.url)],
        "platform": [Place("selfheal-sequencer", "selfheal-sequencer", labels={"part": "sequencer"})],
    }
    around = conformance.around(tmp_path, at=at + timedelta(seconds=1), urls=[server.url])
    return {name: Example(adapter, places[name], around, shipped) for name, adapter in ADAPTERS.items()}


@pytest.mark.parametrize("rule", conformance.RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_it_keeps(rule: Callable[[Example], None], name: str, examples: dict[str, Example]) -> None:
    rule(examples[name])


def test_the_setting_knows_every_domain_of_ours() -> None:
    assert tuple(adapter.name for adapter in OURS) == DOMAINS


class Queues(Placed):
    """Queues of a broker, as a package of somebody else might see them."""

    name = "queues"
    telemetry = (Metric("queues.length", "messages", "that wait", Threshold("service_down", degraded=1000)),)
    actions, checks, playbooks = ("process.restart",), ("http_health",), ("restart-process",)

    def sense(self, places: Any, around: Any) -> list[Seen]:
        return [self.look(place) for place in places]

    def look(self, place: Place) -> Seen:
        queue = place.labels.get("queue")
        return Seen(place, {"queues.length": 7.0}) if queue else Seen(place, why="it names no queue")


@pytest.fixture
def of_acme(shipped: Any, tmp_path: Path) -> Callable[..., Example]:
    def made(adapter: Any) -> Example:
        return Example(adapter, [Place("queue", "queue", labels={"queue": "orders"})], conformance.around(tmp_path), shipped)

    return made


@pytest.mark.parametrize("rule", conformance.RULES, ids=lambda rule: rule.__name__)
def test_one_from_outside_can_keep_it(rule: Callable[[Example], None], of_acme: Any) -> None:
    rule(of_acme(Queues()))


class Dotted(Queues):
    name = "acme.queues"


class Guesses(Queues):
    def look(self, place: Place) -> Seen:
        return Seen(place, {"queues.length": 0.0})


class Silent(Queues):
    def look(self, place: Place) -> Seen:
        return Seen(place)


class Undeclared(Queues):
    def look(self, place: Place) -> Seen:
        return Seen(place, {"queues.age": 1.0})


class Forgetful(Queues):
    def sense(self, places: Any, around: Any) -> list[Seen]:
        return []


class Hopeful(Queues):
    def nodes(self, services: Any, at: Any) -> tuple[Node, ...]:
        return tuple(Node(each.service, Health.HEALTHY, "surely") for each in services)


class Circular(Queues):
    def nodes(self, services: Any, at: Any) -> tuple[Node, ...]:
        return (Node("a", Health.HEALTHY, "well", ("b",)), Node("b", Health.HEALTHY, "well", ("a",)))


class Takes(Queues):
    telemetry = (Metric("queue_length", "", "that wait", Threshold("service_down", degraded=1)),)


class OtherUp(Queues):
    telemetry = (Metric("up", "", "that wait", Threshold("service_down", critical=0.5, below=True)),)


class ElsewhereHeals(Queues):
    playbooks = ("rotate-logs",)


class ActsOtherwise(Queues):
    actions = ("noop",)


@pytest.mark.parametrize(
    ("adapter", "rule", "says"),
    [
        (Dotted, conformance.has_every_part, "is no name of a domain"),
        (Guesses, conformance.says_what_it_cannot_see, "where nothing is declared"),
        (Silent, conformance.says_what_it_cannot_see, "does not say why"),
        (Undeclared, conformance.sees_its_places, "not in the telemetry"),
        (Forgetful, conformance.sees_its_places, None),
        (Hopeful, conformance.leaves_unknown_what_nobody_knows, "though nobody knows"),
        (Circular, conformance.tells_of_its_parts, "in a circle"),
        (Takes, conformance.judges_only_what_is_its_own, "begin it with queues."),
        (OtherUp, conformance.judges_only_what_is_its_own, "another threshold than everywhere"),
        (ElsewhereHeals, conformance.heals_by_its_playbooks, "heals nothing that its telemetry finds"),
        (ActsOtherwise, conformance.heals_by_its_playbooks, "uses action process.restart"),
    ],
)
def test_one_that_does_not_keep_it_is_found(adapter: Any, rule: Any, says: str, of_acme: Any) -> None:
    with pytest.raises((AssertionError, Invalid), match=says):
        rule(of_acme(adapter()))


def test_one_without_a_playbook_that_is_there_is_found(of_acme: Any) -> None:
    with pytest.raises(AssertionError, match="lacks the playbook restart-process"):
        conformance.heals_by_its_playbooks(replace(of_acme(Host()), playbooks={}))
