"""Playbooks: every version as it was written, whether its own tests hold, and how it did."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from healing import catalog, shadow
from healing.admin import labels, words
from healing.admin.base import PageAdmin
from healing.admin.proposing import bounds
from healing.models import Playbook, Record, Run
from selfheal.errors import Invalid
from selfheal.playbooks import PlaybookDocument
from selfheal.playbooks.model import Step

SHOWN = 20


@admin.register(Playbook)
class PlaybookAdmin(PageAdmin):
    page_template = "admin/healing/playbook.html"
    list_display = ("name", "version", "title", "impact_label", "heals", "reversible", "active", "written")
    list_filter = ("active", "impact", "domain")
    search_fields = ("name", "title")
    empty_title = "No playbook"
    empty_hint = "Put a YAML file into a directory of SELF_HEAL_PLAYBOOK_DIRS and run `selfheal playbooks sync`."

    @display(description="impact", label=labels.IMPACT)
    def impact_label(self, row: Playbook) -> tuple[str, str]:
        return row.impact, row.get_impact_display()

    @display(description="heals")
    def heals(self, row: Playbook) -> str:
        return ", ".join(row.diagnoses)

    @display(description="written", ordering="created_at")
    def written(self, row: Playbook) -> str:
        return words.relative_tag(row.created_at, timezone.now())

    def page(self, request: HttpRequest, thing: Playbook, at: datetime) -> dict[str, Any]:
        return {
            **_written(thing),
            "versions": Playbook.objects.filter(name=thing.name).defer("source", "document"),
            "shadow": shadow.score_of(thing.name),
            "records": Record.objects.filter(playbook=thing.name),
            "runs": Run.objects.filter(playbook__name=thing.name).select_related("service", "playbook")[:SHOWN],
        }


def _written(playbook: Playbook) -> dict[str, Any]:
    """What it takes and does, and how its tests go; `unreadable` says why that cannot be shown."""
    try:
        document, tests = catalog.document_of(playbook), catalog.rehearsed(playbook)
    except Invalid as error:
        return {"unreadable": str(error)}
    return {
        "parameters": [(name, bounds(each), each.source, each.default) for name, each in document.parameters.items()],
        "gather": [(name, each.check or each.action, each.arguments) for name, each in document.gather.items()],
        "steps": [(step, step.action or step.check, step.arguments, _undo(step)) for step in document.steps],
        "checks": [(part, check) for part, checks in _checks(document) for check in checks],
        "when": document.when,
        "tests": tests,
        "failed": sum(not result.passed for _, result in tests),
    }


def _checks(document: PlaybookDocument) -> list[tuple[str, Any]]:
    return [("must fail before it starts", document.symptom), ("must hold afterwards", document.verify)]


def _undo(step: Step) -> str:
    """How the step is undone, in words; empty for a check, which changes nothing."""
    if step.check:
        return ""
    if step.rollback is None:
        return "not undone"
    return "undone by itself" if step.rollback == "undo" else f"undone by {step.rollback.action}"
