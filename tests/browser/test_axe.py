"""axe looks at each kind of page, in light and in dark, and finds nothing serious."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from axe_playwright_python.base import AXE_SCRIPT
from django.utils import timezone

from healing import silences, trust
from healing.admin.base import address_of
from healing.models import Channel, Notification, ProblemIncident, SavedFilter, Service, TrustScore, User
from learning.models import Shadow
from metafocus import loop
from selfheal.choices import SAMPLING, Candidate, advised
from selfheal.ranking import Belief, Place
from selfheal.scores import Actor, Evidence, Kind
from selfheal.shadow import Judgement
from tests.factories import (
    make_decision,
    make_incident,
    make_playbook,
    make_problem,
    make_request,
    make_run,
    make_service,
    make_step,
    make_unmatched,
)

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
QUEUE = "/admin/healing/approvalrequest/"

# What is serious on the page as it stands; only that is sent back, a whole answer of axe is long.
SERIOUS = """async ([rules, left_out]) => {
    const found = await axe.run({ exclude: left_out }, { resultTypes: ["violations"], runOnly: rules });
    return found.violations
        .filter((each) => ["serious", "critical"].includes(each.impact))
        .flatMap((each) => each.nodes.map((node) => `${each.id}: ${node.html} ${node.failureSummary}`.slice(0, 600)));
}"""
STILL = """() => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync("* { transition: none !important; animation: none !important }");
    document.adoptedStyleSheets = [sheet];
}"""


TWO = (Candidate("first", "low", 3, 4), Candidate("second", "medium"))
ORDER = advised(TWO, [Place(each.playbook, Belief(2.0, 1.0, 1.0), 0.6, (1.0, 1.0, 1.0)) for each in TWO], SAMPLING, "seed")


def furnish() -> list[Any]:
    """One thing of each kind, with every colour of a badge that a list may show."""
    at = timezone.now()
    web = make_service("web", hosts=2)
    make_service("shop", depends_on=[web])
    book = make_playbook(impact="high")
    run = make_run(make_incident(web, target="web-01"), book, status="failed", reason="it did not help")
    make_step(run, status="failed", stdout="out", stdout_bytes=10, started_at=at, finished_at=at)
    for impact in ("low", "medium", "high", "critical"):
        service = make_service(f"on-{impact}", mode={"low": "observe", "medium": "ask"}.get(impact, "auto"))
        asked = make_run(make_incident(service, severity=impact), make_playbook(f"heal-{impact}", impact=impact))
        request = make_request(asked, impact=impact, escalations=1)
    make_unmatched()
    chosen = ORDER.told("first", {"second": "it does not apply"})
    told = make_run(make_incident(make_service("told")), book, decision=make_decision(choice=chosen))
    problem = make_problem(web)
    ProblemIncident.objects.create(problem=problem, incident=run.incident, seconds=240)
    trust.learn([Evidence(Actor(Kind.PLAYBOOK, book.name), n, at, False, "it failed") for n in range(3)], at)
    for n, judgement in enumerate(["", *Judgement]):
        about = {
            "run": UUID(int=n),
            "incident": UUID(int=n),
            "playbook": book.name,
            "service": "web",
            "diagnosis": "service_down",
        }
        Shadow.objects.create(**about, said=judgement, said_by="root", note="so", proposed_at=at)
    root = User.objects.get()
    silence = silences.create(root, at=at, ends_at=at + timedelta(hours=1), service="web", reason="new disks")
    channel = Channel.objects.create(name="on call", kind="apprise", url="json://localhost", least_impact="high")
    Notification.objects.create(
        channel=channel, event="run.failed", subject=f"run:{run.pk}", title="It failed", error="refused", created_at=at
    )
    score = TrustScore.objects.get()
    return [request, run.incident, run, told, book, Service.objects.first(), silence, channel, problem, score, root]


def serious(page: Any, *left_out: str) -> list[str]:
    """In light at everything, then in dark at the colours."""
    page.evaluate(f"{AXE_SCRIPT};({STILL})()")
    found = page.evaluate(SERIOUS, [WCAG, left_out])
    page.evaluate("document.documentElement.classList.add('dark')")
    found += page.evaluate(SERIOUS, [["color-contrast"], left_out])
    page.evaluate("document.documentElement.classList.remove('dark')")
    return [f"{page.url} {line}" for line in found]


def test_nothing_serious_on_any_page(desk: Callable[..., Any]) -> None:
    page = desk("root", "admin")
    things = furnish()
    SavedFilter.objects.create(user=User.objects.get(), page=QUEUE, name="mine", query="impact__exact=low")
    would = "/admin/what-if/?service=web&target=web-01&diagnosis=service_down&playbook=restart-unit"
    cycle = loop.cycle(timezone.now())
    assert cycle
    own = [
        "/admin/account/",
        "/admin/health/",
        "/admin/domains/",
        "/admin/log/?actor=nobody",
        "/admin/meta/",
        f"/admin/meta/cycles/{cycle.pk}/",
        would,
    ]
    forms = [f"/admin/healing/{name}/new/" for name in ("silence", "channel")]
    lists = [
        "/admin/healing/problem/",
        "/admin/healing/trustscore/",
        "/admin/healing/incident/",
        "/admin/healing/service/",
        f"{QUEUE}?impact__exact=low",
    ]
    page.goto("/admin/")
    found = serious(page)
    for address in [*own, *map(address_of, things), *forms, *lists]:
        page.goto(address)
        found += serious(page, "#nav-sidebar")  # which is the same on each
    page.locator(".sh-choose input").first.check()
    page.click("[data-bulk=reject]")
    found += serious(page, "#nav-sidebar")
    page.keyboard.press("Escape")
    found += serious(page, "#nav-sidebar")
    page.context.clear_cookies()
    page.goto("/admin/login/")
    found += serious(page)
    assert found == []


def test_axe_sees_what_is_wrong(desk: Callable[..., Any]) -> None:
    page = desk("root", "admin")
    page.goto("/admin/")
    wrong = '<img src="data:,"><input><p style="color: #777; background: #888">grey</p>'
    page.evaluate("html => { document.querySelector('#content').innerHTML = html }", wrong)
    assert {line.split()[1] for line in serious(page)} >= {"image-alt:", "label:", "color-contrast:"}
