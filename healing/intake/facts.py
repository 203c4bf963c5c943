"""What mapping must know of services and their hosts, read for the alerts at hand and no others."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from healing.models import MapRule, Service, Target
from healing.transitions import in_batches
from selfheal import mapping


class Places:
    """Finds the place of alerts with these labels, by the map or (not `mapped`) by name; `ids` are the keys of the services.

    `first`: rules that stand before those of the map.
    Who lists which host is read only when it is asked: by a rule, or for the suggestion to somebody whose alert is unmatched.
    """

    def __init__(self, labels: Sequence[Mapping[str, str]], *, mapped: bool = True, first: Sequence[mapping.Rule] = ()) -> None:
        rows = MapRule.objects.values_list("match", "service", "target", "diagnosis") if mapped else ()
        self.rules = [*first, *(mapping.Rule(*row) for row in rows)]
        self.names, self.hosts = mapping.questions(labels, self.rules)
        self.ids: dict[str, uuid.UUID] = {}
        self.whole = any(rule.service == mapping.BY_TARGET for rule in self.rules)
        self.facts = self._facts(_on_host(self.hosts) if self.whole else {})

    def find(self, labels: Mapping[str, str]) -> mapping.Matched | mapping.Unmatched:
        found = mapping.place(labels, self.rules, self.facts)
        if isinstance(found, mapping.Unmatched) and not self.whole:
            self.whole = True
            self.facts = self._facts(_on_host(self.hosts))
            return self.find(labels)
        return found

    def _facts(self, on_host: Mapping[str, tuple[str, ...]]) -> mapping.Facts:
        hosts: dict[str, frozenset[str]] = {}
        for some in in_batches(sorted(self.names.union(*on_host.values()))):
            services = Service.objects.filter(name__in=some, active=True)
            for pk, name, spec in services.values_list("pk", "name", "targets_spec"):
                self.ids[name] = pk
                hosts[name] = frozenset(spec.get("hosts") or ())
        return mapping.Facts(hosts, on_host)


def _on_host(hosts: set[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for some in in_batches(sorted(hosts)):
        rows = Target.objects.filter(name__in=some, service__active=True).values_list("name", "service__name")
        for host, service in rows.order_by("service__name"):
            found[host] = (*found.get(host, ()), service)
    return found
