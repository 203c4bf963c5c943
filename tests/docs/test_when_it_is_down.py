"""Whatever selfheal raises about itself has a section that says what to do, and what it says can be done."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from healing import health, heartbeats, metrics
from selfheal.messages import EVENTS, ON_REQUEST
from selfheal.runbooks import PAGE, SECTIONS, section
from tests.docs.pages import DOCS, ROOT, blocks, run
from tests.installation import Installation

TEXT = (DOCS / f"{PAGE}.md").read_text()
ANCHORS = {re.sub(r"[^a-z0-9]+", "-", heading.lower()) for heading in re.findall(r"^## (.+)$", TEXT, re.MULTILINE)}
RULES = YAML(typ="safe").load(DOCS / "prometheus" / "selfheal.rules.yml")["groups"][0]["rules"]
MAKERS = ("Finding", "guarded", "_tried", "_queue", "claim_slot", "written_down")
ELSEWHERE = ("healing/health.py",)  # its `_tried` takes what is wrong, not a name
NEWS = {"approval.requested", "playbook.message", ON_REQUEST}  # are about a service, or ask for an answer on a page of their own


def raised() -> Iterator[tuple[str, str]]:
    """The file and the name of each finding and job that the code makes; of a name that is put together, how it begins."""
    for folder in ("config", "healing", "learning", "metafocus"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            where = str(path.relative_to(ROOT))
            if where not in ELSEWHERE:
                nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call) and node.args]
                names = (beginning(node.args[0]) for node in nodes if called(node) in MAKERS)
                yield from (
                    (where, name) for name in (*names, *re.findall(r'^JOB = "(.+)"$', path.read_text(), re.MULTILINE)) if name
                )


def called(node: ast.Call) -> str:
    return str(getattr(node.func, "attr", getattr(node.func, "id", "")))


def beginning(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr) and node.values and isinstance(node.values[0], ast.Constant):
        return f"{node.values[0].value}x"
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def test_every_finding_and_every_job_has_a_section() -> None:
    found = set(raised())
    assert len(found) > 40
    assert sorted((path, name) for path, name in found if not section(name)) == []


def test_the_parts_of_the_way_of_a_throwaway_installation_have_a_section() -> None:
    source = (ROOT / "config/demo/smoke.py").read_text()
    (table,) = re.findall(r"in \{(.+?)\}\.items\(\)", source)
    assert all(section(name) for name in re.findall(r'"(\w+)":', table))


def test_every_part_of_readyz_has_a_section() -> None:
    assert all(section(health.PARTS.get(role, role)) for role in heartbeats.ROLES)
    assert all(section(part) for part in ("database", "broker"))


def test_every_event_about_something_that_is_wrong_has_a_section() -> None:
    wrong = {name for name, event in EVENTS.items() if not event.good} - NEWS
    assert {name for name in wrong if not section(name)} == set()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_names_its_section(rule: dict) -> None:
    assert rule["annotations"]["page"] == f"docs/{PAGE}.md#{section(rule['alert'])}"


def test_every_section_that_something_leads_to_is_on_the_page_and_none_besides() -> None:
    assert set(SECTIONS) == ANCHORS


def test_what_the_table_names_is_raised_by_something() -> None:
    made = {name for _, name in raised()} | set(EVENTS) | {rule["alert"] for rule in RULES} | set(health.PARTS.values())
    said = (ROOT / "config/demo/smoke.py").read_text() + "".join(p.read_text() for p in (ROOT / "healing").rglob("*.py"))
    known = made | {"web", "beat", "sequencer", *re.findall(r'"([^"\n]+)"', said)}
    left = {name for each in SECTIONS.values() for name in each if name not in known and f"{name}x" not in made}
    assert left <= {"Watchdog of ", "ssh "}  # which are put together elsewhere


def test_the_rules_ask_for_nothing_that_is_not_there() -> None:
    asked = {name for rule in RULES for name in re.findall(r"selfheal_\w+", rule["expr"])}
    assert asked <= {metrics.PREFIX + each.name for each in metrics.METRICS}


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (apt-get install prometheus)")
def test_the_rules_fire_when_they_should_and_only_then() -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", "tests/data/selfheal.rules.test.yml"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.soak
def test_every_command_of_the_page_can_be_given(tmp_path: Path) -> None:
    with Installation(
        tmp_path, SELF_HEAL_EXECUTE="true", SELF_HEAL_TIME_ZONE="UTC", SELF_HEAL_LOG_PUSH=f"file://{tmp_path}/heads"
    ) as house:
        (tmp_path / "heads").mkdir()
        house.start()
        environment = house.shell()
        # `why Watchdog` answers 1 where none ever came: here is one.
        run("selfheal user create am --role viewer", environment)
        token = json.loads(run("selfheal token create --user am --scope ingest --json", environment))["token"]
        alert = '{"labels": {"alertname": "Watchdog"}, "title": "Watchdog", "service": "none", "target": "none"}'
        run(f"curl -sSf -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' "
            f"$SELF_HEAL_BASE_URL/api/self_heal/alerts -d '{alert}'", environment)  # fmt: skip
        for block in dict.fromkeys(blocks(f"{PAGE}.md")):
            run(block, environment)
