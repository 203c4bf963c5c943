"""Write the reference pages from the code: `python docs/generate.py`, or `--check` to see whether they are up to date."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from config.env import SETTINGS  # noqa: E402
from selfheal.guardrails import LIMITS, SHOWN  # noqa: E402
from selfheal.policy import RULES, Facts, Proposal, decide  # noqa: E402
from selfheal.states import (  # noqa: E402
    MOVES,
    OUTCOME_OF,
    GlobalMode,
    Impact,
    KillState,
    Level,
    Mode,
    Trigger,
    Verdict,
)

HEADER = "<!-- written by docs/generate.py from the code; do not edit -->\n\n"


def settings_page() -> str:
    rows = [f"| `{s.name}` | {s.kind} | `{_default(s.default)}` | {s.meaning} |" for s in SETTINGS]
    return (
        "# Settings\n\nEach is an environment variable. A wrong one stops the start with a line that says what to do.\n\n"
        "| name | type | default | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


def states_page() -> str:
    parts = ["# States\n\nThe only moves. Each is one conditional UPDATE with its log entry in the same transaction.\n"]
    for kind, moves in MOVES.items():
        lines = [f"    {source} --> {to}" for source, targets in moves.items() for to in targets]
        ends = [f"    {status} --> [*]" for status in OUTCOME_OF] if kind == "run" else []
        parts.append(f"## {kind}\n\n```mermaid\nstateDiagram-v2\n" + "\n".join(lines + ends) + "\n```\n")
    return "\n".join(parts)


def policy_page() -> str:
    rules = "\n".join(f"{n}. `{name}`: {rule.__doc__}" for n, (name, rule) in enumerate(RULES.items(), 1))
    levels = "\n".join(
        f"| `{level}` ({SHOWN[level]}) | {x.confidence:.2f} | {x.blast_radius} | {x.impact} |" for level, x in LIMITS.items()
    )
    return (
        "# Policy\n\nEvery rule is looked at and reported; the strictest wins: `deny` > `defer` > `approval` > `auto`. An error\n"
        "in a rule is `deny`. What comes of it for each impact, level and blast radius stands in [decisions](decisions.md).\n\n"
        f"{rules}\n\n## Guardrail levels\n\n| level | confidence ≥ | blast radius ≤ | impact ≤ |\n|---|---|---|---|\n{levels}\n"
    )


_AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
_PROPOSAL = Proposal(
    playbook="restart-unit",
    service="web",
    targets=("web-01",),
    diagnosis="service_down",
    impact=Impact.LOW,
    confidence=1.0,
    trigger=Trigger.ALERT,
    own_alert=True,
    verified=True,
)
_FACTS = Facts(
    global_mode=GlobalMode.EXECUTE,
    service_mode=Mode.AUTO,
    kill_switch=KillState.OFF,
    level=Level.MAINTAIN,
    blast_radius=0,
    in_window=True,
    window="",
    autonomous=True,
    autonomy="earned",
    opens_at=_AT + timedelta(hours=20),
)


_DECISIONS = """\
# Decisions

What `decide()` says for each impact, guardrail level, change window and blast radius (0 to 4 services that depend on it, directly
or not; a service that nobody declared counts as 5). Everything else is at its best here: the installation executes, the service
is on `auto`, the alert fires, the diagnosis is sure, the playbook verifies and has earned its autonomy, nothing is silenced, and
there is no storm. What is worse makes it stricter, never looser: see [policy](policy.md).

- **auto**: it starts by itself
- approval: a person approves it first; by two: two different people do
- defer: it waits, and is decided again when the window opens, because the playbook says `outside_window: wait`
"""


def decisions_page() -> str:
    parts = [_DECISIONS]
    for level in Level:
        head = " | ".join(map(str, range(5)))
        rows = [
            f"| {impact} | {words} | " + " | ".join(_cell(impact, level, radius, **how) for radius in range(5)) + " |"
            for impact in Impact
            for words, how in _windows(impact).items()
        ]
        parts.append(f"## `{level}` ({SHOWN[level]})\n\n| impact | change window | {head} |\n|---|---|---|---|---|---|---|\n")
        parts[-1] += "\n".join(rows) + "\n"
    return "\n".join(parts)


def _windows(impact: Impact) -> dict[str, dict[str, Any]]:
    """The rows of an impact: what the playbook says matters where it is medium and outside."""
    outside: dict[str, dict[str, Any]] = {"outside": {"inside": False}}
    if impact is Impact.MEDIUM:
        outside = {f"outside, `{said}`": {"inside": False, "outside_window": said} for said in ("ask", "wait")}
    return {"inside": {"inside": True}, **outside}


def _cell(impact: Impact, level: Level, radius: int, inside: bool, outside_window: str = "ask") -> str:
    proposal = replace(_PROPOSAL, impact=impact, outside_window=outside_window)
    decision = decide(proposal, replace(_FACTS, level=level, blast_radius=radius, in_window=inside), _AT)
    if decision.verdict is Verdict.APPROVAL:
        return "approval by two" if decision.needed == 2 else "approval"
    return "**auto**" if decision.verdict is Verdict.AUTO else str(decision.verdict)


SAID = {"reads_only": "may stand under `gather`", "undoes": "`rollback: undo`"}


def actions_page() -> str:
    import django

    django.setup()
    from healing.actions import ACTIONS
    from healing.checks import CHECKS

    parts = ["# Actions and checks\n\nWhat a playbook can do and look at. Anything else is refused when the file is read.\n"]
    for title, registry in (("Actions", ACTIONS), ("Checks", CHECKS)):
        parts.append(f"## {title}\n")
        for name, doer in sorted(registry.items()):
            impact = f" · impact at least `{doer.impact}`" if hasattr(doer, "impact") else ""
            facts = "".join(f" · {words}" for part, words in SAID.items() if getattr(doer, part, False))
            parts.append(f"### `{name}`{impact}{facts}\n\n{_said(doer)}\n\n{_fields(doer.Parameters.model_json_schema())}")
    return "\n".join(parts)


_DOMAINS = """\
# Domains

What selfheal looks at itself where `SELF_HEAL_SENSE` names it: [have services looked at](../how-to/add-a-domain.md). A metric
without thresholds judges nothing; it is kept for people, checks and forecasts. A line of `signals.yaml` changes a threshold.
"""


def domains_page() -> str:
    import django

    django.setup()
    from healing.adapters import ADAPTERS

    parts = [_DOMAINS]
    for name, adapter in sorted(ADAPTERS.items()):
        rows = [
            f"| `{each.name}` | {each.unit or 'none'} | {each.meaning} | {_threshold(each.threshold)} |"
            for each in adapter.telemetry
        ]
        used = "; ".join(
            f"{kind} {', '.join(f'`{word}`' for word in words)}"
            for kind, words in (("acts by", adapter.actions), ("verifies by", adapter.checks), ("heals by", adapter.playbooks))
        )
        table = "| metric | unit | what it means | bad |\n|---|---|---|---|\n" + "\n".join(rows)
        parts.append(f"## `{name}`\n\n{_said(adapter)}\n\n{table}\n\nIt {used}.\n")
    return "\n".join(parts)


def _threshold(threshold: Any) -> str:
    if threshold is None:
        return "judges nothing"
    side = "≤" if threshold.below else "≥"
    limits = ((words, getattr(threshold, words)) for words in ("degraded", "critical"))
    return ", ".join(f"{words} {side} {limit:g}" for words, limit in limits if limit is not None) + f": `{threshold.diagnosis}`"


def shipped_page() -> str:
    import django

    django.setup()
    from healing.actions import ACTIONS
    from healing.catalog.reading import read_files
    from healing.checks import CHECKS
    from selfheal.playbooks import Vocabulary, impact_of

    files = read_files(ROOT / "config", [ROOT / "config" / "playbooks"])
    parts = [
        "# Playbooks that come with selfheal\n\nThey stand in `config/playbooks` with their tests, and their commands in "
        "`config/commands.yaml`. Each runs only where\na service has the labels that it names. "
        "[Write your own](../how-to/write-a-playbook.md) beside them.\n"
    ]
    for read in files.playbooks:
        book = read.document
        over = " · all targets of a service" if book.targets == "service" else ""
        heals = ", ".join(f"`{diagnosis}`" for diagnosis in book.diagnoses)
        head = read.source.partition("playbook:")[0].splitlines()
        said = "\n".join(line.removeprefix("#").removeprefix(" ") for line in head)
        impact = impact_of(book, Vocabulary(ACTIONS, CHECKS))
        parts.append(f"## `{book.playbook}`\n\n{book.title}. For {heals} · impact `{impact}`{over}\n\n```text\n{said}\n```\n")
    return "\n".join(parts)


_METRICS = """\
# Metrics

`GET /metrics` answers a bearer token of the scope `read` in the text format of Prometheus. The dashboard
[grafana/selfheal.json](../grafana/selfheal.json) asks for exactly these names.

```yaml
scrape_configs:
  - job_name: selfheal
    authorization: {credentials_file: /etc/prometheus/selfheal.token}   # selfheal token create --user prometheus --scope read
    static_configs: [{targets: ["selfheal.internal:8000"]}]
```

Any web process says the same: everything is read from the database, and each number costs what is open or waiting, not what was.
Several of them under one job need a `max by (…)`, never a `sum` over instances. A skip is counted when it begins, not with each
look that finds it still there. What was proposed counts as proposed, whatever policy said of it; where mode, storm or window keep
it from starting by itself, that counts as a skip too.

| metric | type | labels | what |
|---|---|---|---|
"""


def metrics_page() -> str:
    import django

    django.setup()
    from healing.metrics import METRICS, PREFIX

    rows = [
        f"| `{PREFIX}{each.name}` | {'counter' if each.name.endswith('_total') else 'gauge'} |"
        f" {', '.join(f'`{label}`' for label in each.labels) or 'none'} | {each.help} |"
        for each in METRICS
    ]
    return _METRICS + "\n".join(rows) + "\n"


_COMMANDS = """\
# Commands

`selfheal COMMAND --help` says the same in the terminal, and `selfheal --install-completion` has your shell complete them. Where
SELF_HEAL_TOKEN is set, `incidents`, `why`, `approvals`, `runs` and their like ask the server at SELF_HEAL_BASE_URL; everything
else acts on this machine. Exit status: 0; 1 where it failed or found something wrong; 2 where it was used wrongly or a setting
is wrong.
"""


def commands_page() -> str:
    from typer.main import get_group

    from config.cli import COMMANDS, _root

    parts = [_COMMANDS]
    for name in sorted(COMMANDS):
        command = get_group(_root(name)).commands[name]
        below = getattr(command, "commands", None)
        if below:
            parts.append(f"## selfheal {name}\n\n{COMMANDS[name]}\n")
            parts += [_command(f"{name} {word}", "###", below[word]) for word in sorted(below)]
        else:
            parts.append(_command(name, "##", command))
    return "\n".join(parts)


def _command(words: str, heading: str, command: Any) -> str:
    said = " ".join((command.help or "").split())
    shown = [each for each in command.params if each.name != "help"]
    usage = " ".join(_usage(each) for each in shown)
    rows = [f"| `{_named(each)}` | {each.help.replace('|', chr(92) + '|')} |" for each in shown if each.help]
    table = "\n| | |\n|---|---|\n" + "\n".join(rows) + "\n" if rows else ""
    return f"{heading} `selfheal {' '.join([words, usage]).strip()}`\n\n{said}\n{table}"


def _usage(parameter: Any) -> str:
    named = _named(parameter)
    return named if parameter.required else f"[{named.strip('[]')}]"


def _named(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    return str(max(parameter.opts, key=len))


_ENDPOINTS = """\
# Endpoints

An installation shows them at `/api/docs`, to be tried there, and gives the whole schema (OpenAPI 3) at `/api/schema`. A request
names itself by `Authorization: Bearer <token>` (`selfheal token create`), or by the session of the admin. An error is
`application/problem+json` (RFC 9457): `title`, `detail`, and `errors` by field. A list has `results` and `next`.

| method | path | what |
|---|---|---|
"""


def endpoints_page() -> str:
    import django

    django.setup()
    from drf_spectacular.generators import SchemaGenerator

    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    rows = [
        f"| {method.upper()} | `{path}` | {_first(operation)} |"
        for path, operations in sorted(paths.items())
        for method, operation in sorted(operations.items())
    ]
    return _ENDPOINTS + "\n".join(rows) + "\n"


def _first(operation: Mapping[str, Any]) -> str:
    """The first sentence of what an operation says of itself."""
    said = " ".join(operation.get("description", operation.get("summary", "")).split())
    return said.partition(". ")[0].rstrip(".").replace("|", "\\|")


def _said(doer: object) -> str:
    return (type(doer).__doc__ or "").strip().replace("\n    ", "\n")


def _fields(schema: Mapping[str, Any]) -> str:
    required = schema.get("required", [])
    rows = [
        f"| `{name}` | {_kind(field)} | {'required' if name in required else '`' + _default(field.get('default')) + '`'} |"
        for name, field in schema.get("properties", {}).items()
    ]
    return "| field | type | default |\n|---|---|---|\n" + "\n".join(rows) + "\n" if rows else "No fields.\n"


def _kind(field: Mapping[str, Any]) -> str:
    kinds = [option.get("type", option.get("$ref", "").rsplit("/", 1)[-1]) for option in field.get("anyOf", [field])]
    bounds = [f"{k} {field[k]}" for k in ("minimum", "maximum", "maxLength", "pattern") if k in field]
    return " or ".join(filter(None, kinds)).replace("|", "\\|") + (
        f" ({', '.join(bounds)})".replace("|", "\\|") if bounds else ""
    )


def _default(value: Any) -> str:
    if value is None or value == "":
        return "none"
    if isinstance(value, list):
        return ", ".join(value) or "empty"
    return str(value).lower() if isinstance(value, bool) else str(value)


PAGES = {
    "reference/settings.md": settings_page,
    "reference/states.md": states_page,
    "reference/policy.md": policy_page,
    "reference/decisions.md": decisions_page,
    "reference/actions.md": actions_page,
    "reference/domains.md": domains_page,
    "reference/shipped-playbooks.md": shipped_page,
    "reference/metrics.md": metrics_page,
    "reference/commands.md": commands_page,
    "reference/endpoints.md": endpoints_page,
}


def main(check: bool) -> int:
    stale = []
    for name, page in PAGES.items():
        path, text = ROOT / "docs" / name, HEADER + page()
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if not check:
            path.write_text(text)
    for name in stale:
        sys.stdout.write(f"{'stale' if check else 'written'}: docs/{name}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    sys.exit(main("--check" in sys.argv))
