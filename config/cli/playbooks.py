"""Playbooks, on this machine: what is wrong with the files, what is read from them, what one would do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from config.cli.base import Json, actor, fail, now, print_facts, print_json, print_table, ready, shown
from config.cli.client import connect

if TYPE_CHECKING:
    from healing.catalog import SyncReport
    from healing.catalog.reading import Tried

app = typer.Typer()
User = Annotated[str, typer.Option("--user", help="who asks, for the log; default: the login name")]


@app.command()
def lint(
    paths: Annotated[list[Path] | None, typer.Argument(help="files or directories; default: SELF_HEAL_PLAYBOOK_DIRS")] = None,
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Check playbooks without touching anything. Status 1 if one is wrong."""
    ready()
    from django.conf import settings

    from healing.catalog.reading import check

    files = check(settings.SELF_HEAL_CONFIG_DIR, paths or settings.SELF_HEAL_PLAYBOOK_DIRS)
    errors, warnings = [str(each) for each in files.errors], [str(each) for each in files.warnings]
    if as_json:
        print_json({"playbooks": [each.document.playbook for each in files.playbooks], "errors": errors, "warnings": warnings})
        raise typer.Exit(1 if errors else 0)
    for line in warnings:
        print(shown(f"{line} (warning)"))
    if errors:
        fail("\n".join(errors))
    print(f"{len(files.playbooks)} playbooks, nothing wrong")


@app.command(name="test")
def run_tests(
    what: Annotated[
        list[str] | None, typer.Argument(help="names, files or directories; default: SELF_HEAL_PLAYBOOK_DIRS")
    ] = None,
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Run the tests that playbooks carry. Touches nothing, needs no database. Status 1 if one fails."""
    ready()
    from django.conf import settings

    from healing.catalog.reading import try_out

    paths = [Path(each) for each in what or [] if Path(each).exists()]
    names = [each for each in what or [] if not Path(each).exists()]
    asked: list[tuple[list[Path], list[str]]] = [(paths, [])] if paths else []
    if names or not paths:
        asked.append((settings.SELF_HEAL_PLAYBOOK_DIRS, names))
    errors: list[str] = []
    tried: list[Tried] = []
    for places, wanted in asked:
        files, found = try_out(settings.SELF_HEAL_CONFIG_DIR, places, wanted)
        errors += map(str, files.errors)
        tried += found
    _report_tests(errors, tried, as_json)


@app.command(name="list")
def list_(as_json: Annotated[bool, Json] = False) -> None:
    """List the active version of each playbook."""
    ready()
    from healing.models import Playbook

    fields = ("name", "version", "impact", "diagnoses", "title", "path", "digest")
    rows = list(Playbook.objects.filter(active=True).values(*fields))
    if as_json:
        print_json(rows)
        return
    shown_fields = fields[:-2]
    cells = [[row[field] for field in shown_fields] for row in rows]
    print_table(shown_fields, cells, "there are no playbooks: `selfheal playbooks sync` reads them")


@app.command()
def sync(
    dry: Annotated[bool, typer.Option("--dry-run", help="only say what would change")] = False,
    user: User = "",
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Read services, map and playbooks from their files: all of them, or none if one is wrong."""
    run_sync(dry, user, as_json)


@app.command(name="dry-run")
def dry_run(
    name: str,
    service: Annotated[str, typer.Option(help="the service")],
    target: Annotated[str, typer.Option(help="one of its targets; default: the service itself")] = "",
    diagnosis: Annotated[str, typer.Option(help="what would be wrong")] = "service_down",
    parameter: Annotated[list[str] | None, typer.Option("--parameter", "--param", "-p", help="NAME=VALUE")] = None,
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Say what a playbook would do and what policy would decide. Touches nothing.

    Asks the server where SELF_HEAL_TOKEN is set, else this machine.
    """
    given = dict(_pair(each) for each in parameter or [])
    server = connect()
    if server.remote:
        body = {"service": service, "target": target, "diagnosis": diagnosis, "parameters": given}
        found = server.post(f"/api/self_heal/playbooks/{quote(name, safe='')}/dry_run", body)
    else:
        from healing.scheduler import dry_run as tried

        found = tried(service, target or service, diagnosis, name, given, now())
    if as_json:
        print_json(found)
    elif found["not_applicable"]:
        print(shown(f"{name} does not apply: {found['not_applicable']}"))
    elif found["plan"] is None:
        fail(f"{name} is denied: {found['decision']['why']}")
    else:
        _print_plan(found)


def run_sync(dry: bool, user: str, as_json: bool) -> None:
    """What `services sync` and `playbooks sync` do: the files belong together."""
    ready()
    from dataclasses import asdict

    from django.conf import settings

    from healing import catalog

    who = actor(user, "healing.configure")
    report = catalog.sync(settings.SELF_HEAL_CONFIG_DIR, settings.SELF_HEAL_PLAYBOOK_DIRS, now(), who, dry=dry)
    if as_json:
        print_json({**asdict(report), "dry_run": dry})
        raise typer.Exit(1 if report.errors else 0)
    _print_report(report, dry)


def _print_report(report: SyncReport, dry: bool) -> None:
    for line in report.warnings:
        print(shown(f"{line} (warning)"))
    if report.errors:
        fail("\n".join([*report.errors, "nothing was changed"]))
    mapped = "changed" if report.map_changed else "unchanged"
    print_facts([("services", report.services), ("playbooks", report.playbooks), ("windows", report.windows), ("map", mapped)])
    if dry:
        print("a dry run: nothing was changed")


def _report_tests(errors: list[str], tried: list[Tried], as_json: bool) -> None:
    cases = [case for each in tried for case in each.cases]
    failed = sum(not case.passed for case in cases)
    if as_json:
        print_json({"playbooks": [each.plain() for each in tried], "tests": len(cases), "failed": failed, "errors": errors})
        raise typer.Exit(1 if errors or failed else 0)
    for each in tried:
        if not each.cases:
            print(shown(f"{each.read.document.playbook}: has no tests"))
        for case in each.cases:
            if not case.passed:
                print("\n  ".join([shown(f"{each.read.document.playbook}: {case.name}"), *map(shown, case.mismatches)]))
    told = f"{len(tried)} playbooks, {len(cases)} tests"
    if errors or failed:
        fail("\n".join([*errors, f"{told}, {failed} failed"]))
    print(f"{told}, nothing wrong")


def _print_plan(found: dict[str, Any]) -> None:
    plan, decision = found["plan"], found["decision"]
    facts = [("playbook", f"{plan['playbook']} v{plan['version']}"), ("where", plan["targets"]), ("digest", found["digest"])]
    print_facts([*facts, *((f"parameter {name}", value) for name, value in plan["parameters"].items())])
    for each in plan["gather"]:
        print(shown(f"  gathered {each['id']}: {plan['gathered'][each['id']]}"))
    for step in plan["steps"]:
        where = f" on {step['target']}" if len(plan["targets"]) > 1 else ""
        print(shown(f"  {step['id']}{where}: {step.get('action') or step['check']} {step['with']}"))
    for each in plan["verify"]:
        print(shown(f"  verify on {each['target']}: {each['check']} {each['with']}"))
    print(shown(f"decision: {decision['verdict']}: {decision['why']}"))


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--parameter")
    return name, value
