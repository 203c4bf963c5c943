"""The four sources of troubles that no alert tells of, by one contract.

A source MUST have a trigger of its own, and a `look` that gives candidates from what is there at `at`: the same from the same,
at no cost that grows with the history. It MUST NOT write. It SHOULD name in `foresees` the alerts that it is there to be earlier
than: they are what its recall is of. It MAY be in shadow: what it finds is then recorded and judged, and opens nothing.
`tests/metafocus/sources/test_contract.py` holds each of them to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Q

from metafocus.models import Cycle
from metafocus.sources import failing, forecast, graph, log_patterns
from selfheal.sources import Candidate
from selfheal.states import Trigger


@dataclass(frozen=True)
class Source:
    """`foresees`: of incidents that an alert has opened, those that it should have found before."""

    trigger: Trigger
    says: str
    look: Callable[[Cycle, datetime], Iterable[Candidate]]
    foresees: Q
    shadow: Callable[[], bool] = lambda: False


SOURCES = {
    each.trigger: each
    for each in (
        Source(
            Trigger.META_LOOP,
            "a playbook goes wrong more often on a service than it did in the seven days before",
            failing.look,
            Q(diagnosis="misconfiguration"),
        ),
        Source(
            Trigger.PROACTIVE_ML,
            "a forecast sees a capacity beyond its limit within 15 min",
            forecast.look,
            Q(diagnosis="capacity_strain"),
            lambda: bool(settings.SELF_HEAL_PREDICTIVE_SHADOW),
        ),
        Source(
            Trigger.AGENTIC_SPINE,
            "services that depend on one are unwell, and nobody complains of that one",
            graph.look,
            Q(parts__isnull=False),
        ),
        Source(
            Trigger.IMMUTABLE_LOG,
            "steps fail with the same error at one place, three times within 10 min",
            log_patterns.look,
            ~Q(diagnosis="general_degradation"),
        ),
    )
}
