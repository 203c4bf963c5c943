"""What would have happened: the alerts of the past against what is declared now, and against a changed policy."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from config.cli.base import Json, fail, now, print_json, print_table, ready, shown

if TYPE_CHECKING:
    from selfheal.alerts import Alert
    from selfheal.backtest import Declared, Refused, Told
    from selfheal.states import Level

ENDED = "for an alert that ended within 5 min anyway"
WORDS = {
    "auto": "would have started by itself",
    "approval": "a person would have been asked",
    "defer": "would have waited for the window",
    "deny": "policy would have refused",
    "skipped": "nothing would have been proposed",
    "joined": "belonged to an incident that was open",
    "unmatched": "belongs to no declared service",
    "sign_of_life": "Watchdog, a sign of life",
}
SHOWN = 10  # rows of each table
CHANGES = 30


def command(
    prometheus: Annotated[str, typer.Option(metavar="URL", help="read ALERTS from this Prometheus")] = "",
    days: Annotated[float, typer.Option(help="so many days back")] = 30,
    step: Annotated[str, typer.Option(help="how exactly: 15s, 1m, 5m")] = "60s",
    match: Annotated[str, typer.Option(help="""narrow the alerts, as PromQL does: 'severity="critical"'""")] = "",
    alerts: Annotated[Path | None, typer.Option(metavar="FILE", help="read alerts, or bodies of a webhook, from a file")] = None,
    services: Annotated[
        Path | None, typer.Option(metavar="FILE", help="services and map from this file; nothing is read from the database")
    ] = None,
    changed: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="compare: with this setting")] = None,
    level: Annotated[str, typer.Option(metavar="tighten|maintain|loosen", help="compare: at this guardrail level")] = "",
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Say what would have become of past alerts. Touches nothing.

    With --set or --level twice: as it is, and with the changed policy; and which decisions differ.
    """
    if bool(prometheus) == bool(alerts):
        raise typer.BadParameter("name one of the two: where the alerts of the past are", param_hint="--prometheus or --alerts")
    ready()
    from healing.backtest import limits_of
    from selfheal.backtest import difference, replay, report

    values = _settings({})
    declared, standing = _declared(services, values)
    other = _changed(values, standing, changed or [], level)
    found, refused = _from_file(alerts) if alerts else _from_prometheus(prometheus, days, _duration(step), match)
    zone = ZoneInfo(values["SELF_HEAL_TIME_ZONE"] or "UTC")
    told = replay(found, declared, limits_of(values, standing))
    answer: dict[str, Any] = {"now": report(told, zone), "level": standing, "observed": declared.observed}
    answer["refused"] = [{"where": each.where, "reason": each.reason} for each in refused]
    if other:
        after = replay(found, declared, limits_of(*other))
        answer |= {"changed": report(after, zone), "difference": difference(told, after)}
    if as_json:
        print_json(answer)
    else:
        _print(answer, zone, told)


def _settings(changes: Mapping[str, str]) -> dict[str, Any]:
    import os

    from config.env import ConfigError, load

    try:
        return load({**os.environ, **changes})
    except ConfigError as error:
        raise typer.BadParameter("; ".join(error.lines), param_hint="--set") from None


def _changed(
    values: Mapping[str, Any], standing: Level, changed: Sequence[str], level: str
) -> tuple[dict[str, Any], Level] | None:
    """Settings and level of the policy to compare with; None: there is none."""
    from healing.backtest import SETTINGS
    from selfheal.states import Level

    pairs = dict(each.partition("=")[::2] for each in changed)
    for name in pairs:
        if name not in SETTINGS:
            said = f"{name} does not enter a backtest; these do: {', '.join(SETTINGS)}"
            raise typer.BadParameter(said, param_hint="--set")
    if level and level not in list(Level):
        raise typer.BadParameter(f"must be one of {', '.join(Level)}", param_hint="--level")
    if not pairs and not level:
        return None
    return {**values, **{name: _settings(pairs)[name] for name in pairs}}, Level(level) if level else standing


def _declared(services: Path | None, values: Mapping[str, Any]) -> tuple[Declared, Level]:
    from healing import backtest
    from selfheal.errors import InvalidDocument
    from selfheal.states import Level

    if services is None:
        return backtest.from_database(values)
    try:
        return backtest.from_files(services, values), Level.MAINTAIN
    except InvalidDocument as error:
        fail("\n".join(map(str, error.errors)))


def _from_file(path: Path) -> tuple[list[Alert], list[Refused]]:
    from selfheal.backtest import read_file
    from selfheal.errors import Invalid

    try:
        with path.open("rb") as file:
            return read_file(file.read(), now())
    except OSError as error:
        fail(f"{path}: {error.strerror}")
    except Invalid as error:
        fail(f"{path}: {error.message}")


def _from_prometheus(url: str, days: float, step: timedelta, match: str) -> tuple[list[Alert], list[Refused]]:
    from healing.history import from_prometheus
    from healing.prometheus import PrometheusError

    until = now()
    try:
        with _progress() as progress:
            return from_prometheus(url, until - timedelta(days=days), until, step, match=match, progress=progress)
    except PrometheusError as error:
        fail(str(error))


@contextmanager
def _progress() -> Iterator[Any]:
    """A bar on a terminal, on standard error."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(file=sys.stderr)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading ALERTS", total=1.0)
        yield lambda share: bar.update(task, completed=share)


def _duration(text: str) -> timedelta:
    units = {"s": 1, "m": 60, "h": 3600}
    number, unit = text[:-1], text[-1:]
    if unit not in units or not number.isdigit():
        raise typer.BadParameter("is a time like 15s, 1m or 5m", param_hint="--step")
    return timedelta(seconds=int(number[:6]) * units[unit])


def _print(answer: Mapping[str, Any], zone: ZoneInfo, told: Sequence[Told]) -> None:
    before, after = answer["now"], answer.get("changed")
    if not told:
        print("no alert was found: nothing would have happened")
        _print_refused(answer["refused"])
        return
    print(f"{before['alerts']:,} alerts from {_clock(before['from'], zone)} to {_clock(before['until'], zone)}")
    print()
    _print_counts(before, after)
    _print_notes(answer, zone)
    if after:
        _print_difference(answer["difference"], zone)
        return
    _print_tables(before)


def _print_counts(before: Mapping[str, Any], after: Mapping[str, Any] | None) -> None:
    columns = ["alerts", *(["changed", "difference"] if after else []), "what"]
    rows = [_row(before, after, "verdicts", verdict, words) for verdict, words in WORDS.items()]
    print_table(columns, [row for row in rows if any(cell not in ("0", "±0") for cell in row[:-1])], "")
    print()
    hours = "–".join(map(str, before["night"]["hours"]))
    rows = [
        _row(before, after, "brief", "auto", f"would have started by itself, {ENDED}"),
        _row(before, after, "brief", "approval", f"a person would have been asked, {ENDED}"),
        _row(before, after, "night", "pages", f"critical alerts at night ({hours} h)"),
        _row(before, after, "night", "auto", "of these would have started by themselves"),
    ]
    print_table(columns, rows, "")


def _row(before: Mapping[str, Any], after: Mapping[str, Any] | None, part: str, name: str, words: str) -> list[str]:
    was = before[part][name]
    if after is None:
        return [f"{was:,}", words]
    will = after[part][name]
    return [f"{was:,}", f"{will:,}", f"{will - was:+,}" if will != was else "±0", words]


def _print_notes(answer: Mapping[str, Any], zone: ZoneInfo) -> None:
    print()
    print("What a run would have changed is not known: an alert ends here when it ended. Times are in", zone.key)
    if answer["observed"]:
        print(f"{answer['observed']} services are only observed today; they count as if policy decided for them.")
    _print_refused(answer["refused"])


def _print_refused(refused: Sequence[Mapping[str, Any]]) -> None:
    if refused:
        first = refused[0]
        print(shown(f"{len(refused):,} alerts cannot be read, the first: {first['where']}: {first['reason']}"))


def _print_tables(found: Mapping[str, Any]) -> None:
    if found["reasons"]:
        print("\nWhy not by itself")
        cells = [[each["alerts"], each["verdict"], each["rule"], _short(each["example"])] for each in found["reasons"][:SHOWN]]
        print_table(("alerts", "verdict", "rule or skip", "for example"), cells, "")
    for title, rows in (("By alert", found["by_alertname"]), ("By service", found["by_service"])):
        if rows:
            verdicts = [verdict for verdict in WORDS if any(row[verdict] for row in rows[:SHOWN])]
            print(f"\n{title}")
            print_table(
                ["name", "alerts", *verdicts], [[r["name"], r["alerts"], *(r[v] for v in verdicts)] for r in rows[:SHOWN]], ""
            )
    if found["unmatched"]:
        print("\nUnmatched, with the line for `map:` in services.yaml that would match")
        for each in found["unmatched"][:SHOWN]:
            print(shown(f"{each['alerts']:,}  {each['alertname']}: {each['reason']}"))
            print(shown(f"    {each['suggestion']}"))


def _print_difference(changes: Sequence[Mapping[str, Any]], zone: ZoneInfo) -> None:
    print()
    columns = ("began", "alert", "where", "playbook", "as it is", "changed", "because")
    cells = [
        [
            _clock(each["starts_at"], zone),
            each["alertname"],
            f"{each['service']}/{each['target']}",
            each["playbook"],
            each["before"],
            each["after"],
            _short(each["reason"]),
        ]
        for each in changes[:CHANGES]
    ]
    print_table(columns, cells, "no decision changes")
    if len(changes) > CHANGES:
        print(f"… and {len(changes) - CHANGES:,} more: --json has them all")


def _clock(at: datetime | None, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M}" if at else "–"


def _short(text: str) -> str:
    return text if len(text) <= 100 else text[:99] + "…"
