"""A vocabulary of fakes: they freeze what they are given, beside what the place says of the process."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ConfigDict

from selfheal.bounds import Strict
from selfheal.commands import Command
from selfheal.errors import Invalid
from selfheal.places import Place
from selfheal.playbooks import Facts, Vocabulary
from selfheal.states import Impact


class Anything(Strict):
    model_config = ConfigDict(extra="allow")


class Unit(Strict):
    unit: str | None = None


class Fake:
    def __init__(self, name: str, impact: Impact = Impact.LOW, parameters: type[Strict] = Anything) -> None:
        self.name, self.impact, self.Parameters = name, impact, parameters
        self.undoes, self.reads_only = name == "flag.set", name == "wait"

    def freeze(self, given: dict[str, Any], place: Place) -> dict[str, Any]:
        if self.name.startswith("process") and "unit" not in given | dict(place.labels):
            raise Invalid("nothing says what the process is", field="unit")
        return {"unit": place.labels.get("unit"), **given} if self.name.startswith("process") else dict(given)


def named(*fakes: Fake) -> dict[str, Fake]:
    return {fake.name: fake for fake in fakes}


@pytest.fixture
def vocabulary() -> Vocabulary:
    commands = {"rotate": Command(argv=["/bin/rotate", "${args.n}"], args={"n": {"type": "integer"}})}
    return Vocabulary(
        actions=named(
            Fake("process.restart", parameters=Unit),
            Fake("process.start", parameters=Unit),
            Fake("process.stop", parameters=Unit),
            Fake("command.run"),
            Fake("http.request"),
            Fake("notify"),
            Fake("wait"),
            Fake("flag.set", Impact.MEDIUM),
        ),
        checks=named(Fake("http_health"), Fake("process_up", parameters=Unit), Fake("command")),
        commands=commands,
    )


@pytest.fixture
def place() -> Place:
    return Place(
        service="web",
        target="web-01",
        url="https://web.internal",
        target_url="http://web-01:8080",
        labels={"unit": "web.service", "weight": "7"},
        base_url="http://localhost:8000",
    )


@pytest.fixture
def facts(place: Place) -> Facts:
    incident = {
        "id": "6f1c",
        "diagnosis": "service_down",
        "severity": "critical",
        "title": "web is down",
        "labels": {"alertname": "InstanceDown", "shard": "s3"},
        "confidence": 0.95,
    }
    return Facts(incident, place)
