"""The page about domains is carried out: its services are declared, its adapter keeps the contract and is sensed."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from config.cli import run
from config.env import load
from healing import health
from healing.adapters import ADAPTERS, conformance
from healing.catalog.reading import read_files
from healing.models import Sample, Service
from healing.signals import sensing
from selfheal.documents import read
from selfheal.services import parse
from tests.docs.pages import ROOT, blocks
from tests.healing.intake.conftest import declare

PAGE = "how-to/add-a-domain.md"
ADAPTER, SUITE = blocks(PAGE, "python")


@pytest.fixture
def page() -> dict[str, Any]:
    """What the two blocks of Python on the page define."""
    space: dict[str, Any] = {}
    exec(compile(ADAPTER + SUITE, PAGE, "exec"), space)
    return space


@pytest.fixture(scope="module")
def playbooks() -> dict[str, Any]:
    return {each.document.playbook: each.document for each in read_files(ROOT / "config", [ROOT / "config/playbooks"]).playbooks}


@pytest.mark.parametrize("rule", conformance.RULES, ids=lambda rule: rule.__name__)
def test_the_adapter_of_the_page_passes_the_suite_as_the_page_calls_it(
    rule: Any, page: dict[str, Any], tmp_path: Path, playbooks: dict[str, Any]
) -> None:
    page["test_it_keeps"](rule, tmp_path, playbooks)


@pytest.mark.django_db
def test_what_the_adapter_of_the_page_sees_becomes_samples(
    page: dict[str, Any], tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch, at: datetime
) -> None:
    monkeypatch.setitem(ADAPTERS, "spool", page["Spool"]())
    settings.SELF_HEAL_SENSE = ["spool"]
    (tmp_path / "order-1").touch()
    service = declare("orders")
    Service.objects.filter(pk=service.pk).update(domain="spool", labels={"spool": str(tmp_path)})
    assert sensing.sense(at) == 1
    assert (Sample.objects.get().metric, Sample.objects.get().value) == ("spool.waiting", 1)


def test_the_services_of_the_page_can_be_declared() -> None:
    (text,) = blocks(PAGE, "yaml")
    services = parse(read(text, "services.yaml")).services
    assert [service.domain for service in services] == ["host", "host", "http", "platform"]


@pytest.mark.django_db
def test_the_commands_of_the_page_are_carried_out(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    export, shown = blocks(PAGE)
    name, _, value = export.strip().removeprefix("export ").partition("=")
    settings.SELF_HEAL_SENSE = load({name: value})[name]
    monkeypatch.setattr(health, "broker", lambda: "")
    settings.SELF_HEAL_CONFIG_DIR, settings.SELF_HEAL_PLAYBOOK_DIRS = tmp_path, [ROOT / "config/playbooks"]
    for file in ("commands.yaml", "queries.yaml"):
        (tmp_path / file).write_text((ROOT / "config" / file).read_text())
    (tmp_path / "services.yaml").write_text(blocks(PAGE, "yaml")[0])
    for line in shown.splitlines():
        assert run(line.split()[1:]) == 0, line
    said = capsys.readouterr().out
    assert all(part in said for part in ("this-machine", "queue", "shop", "worker control"))
