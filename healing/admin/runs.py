"""Runs: the plan, the decision, every step with its output, and how it ended."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.http import content_disposition_header
from unfold.decorators import display

from healing import shadow, silences
from healing.admin import labels, words
from healing.admin.base import Act, Reason, sentence
from healing.admin.filters import PlaybookFilter
from healing.admin.grid import grid
from healing.admin.saved_filters import FilteredAdmin
from healing.approvals import requests_of
from healing.ledger.replay import replay_run
from healing.models import ApprovalRequest, Run, Step
from healing.runs import abort
from selfheal.errors import Invalid
from selfheal.replay import name_of
from selfheal.shadow import Judgement
from selfheal.states import ALIVE_RUN, OUTCOME_OF, StepStatus

SYMPTOM = {"failed": "still wrong", "timed_out": "still wrong", "succeeded": "no longer wrong"}  # it must fail for a run to go on
SHORT = 600  # characters of output that are shown without unfolding
LAST = 20  # lines that are shown of a step that goes on: as many as are seen without scrolling


def abort_run(request: HttpRequest, thing: Run, said: dict[str, Any], at: datetime) -> str:
    after = abort(thing.pk, actor=request.user.get_username(), reason=said["comment"], at=at)
    return "aborted before it started" if after.status in OUTCOME_OF else "asked to stop: its worker ends it within seconds"


class Word(Reason):
    """What it would have done, and why one thinks so."""

    judgement = forms.ChoiceField(
        label="It",
        choices=[
            (Judgement.AGREED, "is what people did as well"),
            (Judgement.HELPED, "would have helped"),
            (Judgement.HARMED, "would have harmed"),
            (Judgement.UNKNOWN, "cannot be judged"),
        ],
    )
    field_order = ("judgement", "comment")


def judge(request: HttpRequest, thing: Run, said: dict[str, Any], at: datetime) -> str:
    shadow.say(thing.pk, said["judgement"], said["comment"], request.user, at)  # type: ignore[arg-type]  # signed in
    return "thank you: it stands in the log, and counts on the page of the playbook within seconds"


@admin.register(Run)
class RunAdmin(FilteredAdmin):
    live_seconds = 5
    page_template = "admin/healing/run.html"
    list_display = ("what", "where", "impact_label", "status_label", "asked_by", "age", "took", "held_label")
    list_filter = ("status", "impact", "trigger", "service", PlaybookFilter)
    list_select_related = ("service", "playbook")
    search_fields = ("target", "service__name", "playbook__name", "diagnosis", "digest")
    search_help_text = "Service, target, playbook, diagnosis or digest"
    empty_title = "Nothing ran yet"
    empty_hint = (
        "A run appears when policy or a person lets a playbook start. What keeps an incident from healing stands on its page."
    )
    empty_next = (("Open incidents", "/admin/healing/incident/"), ("Playbooks", "/admin/healing/playbook/"))
    acts = (
        Act(
            "abort",
            "Abort",
            "healing.operate",
            abort_run,
            "Stop this run? What is half-done stays as it is or is undone, as the plan says.",
            Reason,
            "danger",
            applies=lambda run: run.status in ALIVE_RUN,
        ),
        Act(
            "judge",
            "Say what it would have done",
            shadow.PERMISSION,
            judge,
            "Only the mode kept this from running. What would it have done?",
            Word,
            applies=shadow.is_shadow,
        ),
    )

    def live_page(self, thing: Run) -> int:
        return 2 if thing.status in ALIVE_RUN else 0

    @display(description="playbook")
    def what(self, row: Run) -> str:
        return row.playbook.name

    @display(description="where")
    def where(self, row: Run) -> str:
        return f"{row.service.name} / {row.target}"

    @display(description="impact", label=labels.IMPACT)
    def impact_label(self, row: Run) -> tuple[str, str]:
        return row.impact, row.get_impact_display()

    @display(description="status", label=labels.RUN)
    def status_label(self, row: Run) -> tuple[str, str]:
        return row.status, row.get_status_display()

    @display(description="asked by")
    def asked_by(self, row: Run) -> str:
        return row.requested_by

    @display(description="proposed", ordering="created_at")
    def age(self, row: Run) -> str:
        return words.relative_tag(row.created_at, timezone.now())

    @display(description="took")
    def took(self, row: Run) -> str:
        if not (row.started_at and row.finished_at):
            return "–"
        return words.span((row.finished_at - row.started_at).total_seconds())

    @display(description="held")
    def held_label(self, row: Run) -> str:
        return {True: "held", False: "came back", None: "–"}[row.held]

    def page(self, request: HttpRequest, thing: Run, at: datetime) -> dict[str, Any]:
        return {
            "run": thing,
            "plan": thing.plan,
            **progress(thing),
            "requests": [about(request) for request in requests_of(thing).prefetch_related("votes__user")],
            "changed": thing.decision.get("changed"),
            "silenced": silences.told(thing.incident, at) if not thing.started_at and thing.status in ALIVE_RUN else "",
        }

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.replay_view)
        output = self.admin_site.admin_view(self.output_view)
        return [
            path("<path:object_id>/replay/", view, name="healing_run_replay"),
            path("<path:object_id>/output/", output, name="healing_run_output"),
            *super().get_urls(),
        ]

    def output_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """GET: what the steps wrote, as it is kept, as a text file; with `?step=` that of one of them."""
        thing = self._thing(request, object_id)
        steps = list(thing.steps.filter(started_at__isnull=False).order_by("started_at", "position"))
        if wanted := request.GET.get("step"):
            steps = [step for step in steps if str(step.pk) == wanted]
            if not steps:
                raise Http404(f"the run has no step {wanted} that has begun")
        name = f"{thing.pk}-{steps[0].name}.txt" if wanted else f"{thing.pk}.txt"
        answer = HttpResponse("".join(map(raw, steps)), content_type="text/plain; charset=utf-8")
        answer["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name)
        answer["X-Content-Type-Options"] = "nosniff"
        return answer

    def replay_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The run as its entries in the log tell it, and whether the tables say the same."""
        thing = self._thing(request, object_id)
        try:
            more = {"title": f"{thing}, from the log", "replayed": replayed(thing)}
        except Invalid as error:
            messages.error(request, sentence(str(error)))
            return HttpResponseRedirect(self.address(thing))
        return self._respond(request, thing, "admin/healing/replay.html", more)


def replayed(run: Run) -> dict[str, Any]:
    found = replay_run(run.pk)
    steps = [
        {"name": name_of(place), **step, "times": [words.moment(step.get(key)) for key in ("started_at", "finished_at")]}
        for place, step in found.story.steps.items()
    ]
    lines = [{"line": line, "at": words.moment(line.at)} for line in found.story.lines]
    return {"story": found.story, "steps": steps, "lines": lines, "agrees": found.agrees, "differences": found.differences}


def progress(run: Run) -> dict[str, Any]:
    """What was done so far: the steps that have begun in the order in which they did, and how many have not."""
    rows = list(run.steps.select_related("put_back"))
    begun = sorted((row for row in rows if row.started_at), key=lambda row: (row.started_at, row.position))
    return {"steps": [shown(row) for row in begun], "waiting_steps": len(rows) - len(begun), "grid": grid(run, rows)}


def about(request: ApprovalRequest) -> dict[str, Any]:
    """A request with what it is about: the run, or one step that waits for a person (`confirm`)."""
    return {"request": request, "what": "approval request" if request.subject_type == "run" else request.title}


def raw(step: Step) -> str:
    """What a step wrote, below a line for each stream that says whose it is."""
    place = f"{step.phase} {step.name} on {step.target}, attempt {step.attempt}"
    streams = (("stdout", step.stdout, step.stdout_bytes), ("stderr", step.stderr, step.stderr_bytes))
    return "".join(f"==> {place}: {name}, {size} bytes\n{text}\n" for name, text, size in streams)


def shown(step: Step) -> dict[str, Any]:
    """A step as the page shows it: its streams with what was not kept counted, long ones folded; the end of one that goes on."""
    running = step.status == StepStatus.RUNNING
    streams = [("stdout", step.stdout, step.stdout_bytes), ("stderr", step.stderr, step.stderr_bytes)]
    return {
        "step": step,
        "text": SYMPTOM.get(step.status, "") if step.phase == "symptom" else "",
        "colour": "skipped" if step.phase == "symptom" else step.status,
        "put_back": getattr(step, "put_back", None),
        "streams": [
            {
                "name": name,
                "text": "\n".join(text.splitlines()[-LAST:]) if running else text,
                "bytes": size,
                "cut": size > len(text.encode()),
                "last": running and text.count("\n") > LAST,
                "long": len(text) > SHORT and not running,
            }
            for name, text, size in streams
            if text or size
        ],
    }
