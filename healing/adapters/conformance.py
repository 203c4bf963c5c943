"""What every adapter must keep, as far as it can be tried: for ours, and for yours.

```python
@pytest.mark.parametrize("rule", conformance.RULES, ids=lambda rule: rule.__name__)
def test_it_keeps(rule, tmp_path):
    places = [Place("queue", "queue", labels={"queue": "orders"})]
    rule(conformance.Example(Queues(), places, around=conformance.around(tmp_path), playbooks=playbooks))
```

Each rule takes an `Example` and raises AssertionError. `places` can be seen from where the suite runs; `playbooks` holds, by its
name, each document that the adapter names.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from healing.actions import ACTIONS
from healing.checks import CHECKS
from healing.http import Guard
from healing.plugins import NAME
from selfheal.places import Place
from selfheal.playbooks import PlaybookDocument
from selfheal.services import find_circle
from selfheal.signals import BUILT_IN, METRIC
from selfheal.states import Health
from selfheal.telemetry import Node, check_values, thresholds

from .base import PARTS, Around, Seen, Standing

SECONDS = 10.0  # in which the places of an example are seen
LATE = 1.0  # seconds by which a look may be late
NOWHERE = Place("nowhere", "nowhere")  # of which nothing is declared that could be looked at
DOMAIN = re.compile(r"[a-z][a-z0-9_-]{0,29}")  # as services name it
AT = datetime(2026, 11, 25, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Example:
    """An adapter, places that it can see, and the playbooks that it names."""

    adapter: Any
    places: Sequence[Place]
    around: Around
    playbooks: Mapping[str, PlaybookDocument] = field(default_factory=dict)


def around(home: Path, *, at: datetime = AT, seconds: float = SECONDS, urls: Sequence[str] = ()) -> Around:
    """What an adapter may use in this suite; `urls` may be reached."""
    return Around(at=at, until=time.monotonic() + seconds, home=home, guard=Guard.of(urls))


def has_every_part(example: Example) -> None:
    missing = [part for part in PARTS if not hasattr(example.adapter, part)]
    assert not missing, f"it has no {', '.join(missing)}"
    named = NAME.fullmatch(example.adapter.name) and DOMAIN.fullmatch(example.adapter.name)
    assert named, f"{example.adapter.name!r} is no name of a domain, like queues"


def says_what_it_is(example: Example) -> None:
    assert type(example.adapter).__doc__, "its class has no docstring, and people are shown it"


def says_what_it_measures(example: Example) -> None:
    names = [metric.name for metric in example.adapter.telemetry]
    assert names, "it measures nothing"
    assert len(set(names)) == len(names), "it declares a metric twice"
    for metric in example.adapter.telemetry:
        assert re.fullmatch(METRIC, metric.name), f"{metric.name!r} is no name of a metric"
        assert metric.meaning, f"{metric.name} does not say what it means"


def judges_only_what_is_its_own(example: Example) -> None:
    for metric in example.adapter.telemetry:
        if metric.name in BUILT_IN:
            assert metric.threshold == BUILT_IN[metric.name], f"{metric.name} has another threshold than everywhere"
        else:
            own = metric.name.startswith(f"{example.adapter.name}.")
            assert own, f"{metric.name} may be what others send: begin it with {example.adapter.name}."


def sees_its_places(example: Example) -> None:
    """Each place once, with something measured there, and nothing that was not declared."""
    seen = example.adapter.sense(list(example.places), example.around)
    assert _places(seen) == sorted((place.service, place.target) for place in example.places)
    for each in seen:
        assert each.values, f"nothing was measured at {each.place.target}: {each.why}"
        check_values(example.adapter.telemetry, each.values)


def says_what_it_cannot_see(example: Example) -> None:
    (seen,) = example.adapter.sense([NOWHERE], example.around)
    assert not seen.values, f"it measures {dict(seen.values)} where nothing is declared"
    assert seen.why.strip(), "it does not say why it saw nothing"


def keeps_its_time(example: Example) -> None:
    """Without any time left it still answers for each place, at once."""
    began = time.monotonic()
    seen = example.adapter.sense(list(example.places), replace(example.around, until=began))
    assert time.monotonic() - began < LATE, "it looks longer than it may"
    assert _places(seen) == sorted((place.service, place.target) for place in example.places)
    assert all(each.values or each.why for each in seen), "it says nothing of a place that it had no time for"


def tells_of_its_parts(example: Example) -> None:
    nodes = _nodes(example, Health.HEALTHY)
    names = [node.name for node in nodes]
    assert names, "it has no parts"
    assert len(set(names)) == len(names), "two parts have one name"
    assert all(node.why.strip() and node.why.isprintable() for node in nodes), "a part does not say why, in a line"
    circle = find_circle({node.name: node.depends_on for node in nodes})
    assert not circle, f"parts depend on each other in a circle: {' → '.join(circle)}"


def leaves_unknown_what_nobody_knows(example: Example) -> None:
    services = {place.service for place in example.places}
    well = [node.name for node in _nodes(example, Health.UNKNOWN) if node.name in services and node.health is Health.HEALTHY]
    assert not well, f"{', '.join(well)}: well, though nobody knows"


def names_what_there_is(example: Example) -> None:
    for kind, names, known in (("action", example.adapter.actions, ACTIONS), ("check", example.adapter.checks, CHECKS)):
        unknown = [name for name in names if name not in known]
        assert not unknown, f"there is no {kind} {', '.join(unknown)}"


def heals_by_its_playbooks(example: Example) -> None:
    """Each is for something that it finds, acts and verifies by what it names."""
    adapter, raised = example.adapter, {each.diagnosis for each in thresholds(example.adapter.telemetry).values()}
    assert adapter.playbooks, "nothing heals in this domain"
    for name in adapter.playbooks:
        document = example.playbooks.get(name)
        assert document, f"the example lacks the playbook {name}"
        assert raised & set(document.diagnoses), f"{name} heals nothing that its telemetry finds"
        assert document.verify, f"{name} does not verify"
        allowed = {"action": adapter.actions, "check": adapter.checks}
        strange = [f"{kind} {used}" for kind, used in document.doers() if used not in allowed[kind]]
        assert not strange, f"{name} uses {', '.join(strange)}, which the adapter does not name"


def _nodes(example: Example, health: Health) -> tuple[Node, ...]:
    services = dict.fromkeys(place.service for place in example.places)
    nodes: tuple[Node, ...] = example.adapter.nodes([Standing(name, health, "as the suite says") for name in services], AT)
    return nodes


def _places(seen: Sequence[Seen]) -> list[tuple[str, str]]:
    return sorted((each.place.service, each.place.target) for each in seen)


RULES: tuple[Callable[[Example], None], ...] = (
    has_every_part,
    says_what_it_is,
    says_what_it_measures,
    judges_only_what_is_its_own,
    sees_its_places,
    says_what_it_cannot_see,
    keeps_its_time,
    tells_of_its_parts,
    leaves_unknown_what_nobody_knows,
    names_what_there_is,
    heals_by_its_playbooks,
)
