"""From files to rows.

Rules that this module keeps:
1. All files are read before anything is written; one fault in one of them, and nothing is.
2. Everything is one transaction, with a log entry for each thing that changed and none for what did not.
3. A service that is no longer in the file is no longer active; its history stays. Services that came by the API are left alone.
4. No services.yaml, no `map:` in it, or no directory windows, at all is not an empty one: it removes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from django.db import transaction

from healing import ledger
from healing.models import MapRule, Playbook, Service
from selfheal.services import MapEntry, ServicesFile
from selfheal.windows import Declared

from .playbooks import withdraw, write_tests, write_version
from .reading import Files, Read, read_files
from .services import connect, lock, log_change, remove_service, service_document, told, write
from .windows import read_windows, sync_windows


@dataclass
class Tally:
    """Names of what became different, and how many stayed as they were."""

    created: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    unchanged: int = 0

    def __str__(self) -> str:
        parts = [(len(self.created), "created"), (len(self.changed), "changed"), (len(self.removed), "removed")]
        return ", ".join(f"{n} {what}" for n, what in [*parts, (self.unchanged, "unchanged")] if n) or "none"


@dataclass
class SyncReport:
    """What a sync did, or would do.

    `errors` and `warnings` are lines `file:line:column: message`; with errors, nothing changed.
    """

    services: Tally = field(default_factory=Tally)
    playbooks: Tally = field(default_factory=Tally)
    windows: Tally = field(default_factory=Tally)
    map_changed: bool = False
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        tallies = (self.services, self.playbooks, self.windows)
        return self.map_changed or any(t.created or t.changed or t.removed for t in tallies)


def sync(
    config_dir: Path | str, playbook_dirs: Iterable[Path | str], at: datetime, actor: str, *, dry: bool = False
) -> SyncReport:
    """Make services, map, playbooks and windows what the files say. `dry`: only say what would change."""
    files = read_files(Path(config_dir), [Path(each) for each in playbook_dirs])
    windows, faults = read_windows(Path(config_dir))
    report = SyncReport(warnings=[str(each) for each in files.warnings], errors=[str(each) for each in [*files.errors, *faults]])
    if report.errors:
        return report
    with transaction.atomic():
        lock()
        _apply(files, windows, report, at, actor)
        if dry or report.errors:
            transaction.set_rollback(True)
    return report


def _apply(files: Files, windows: list[Declared] | None, report: SyncReport, at: datetime, actor: str) -> None:
    if files.services is None:
        report.warnings.append("there is no services.yaml: services and map stay as they are")
    else:
        _services(files.services, report.services, at, actor)
        if "map" in files.services.model_fields_set:
            report.map_changed = _map(files.services.map, at, actor)
        elif MapRule.objects.exists():
            report.warnings.append("services.yaml has no `map:`: the map stays as it is; `map: []` would empty it")
    _playbooks(files.playbooks, report.playbooks, at, actor)
    if windows is not None:
        report.errors += sync_windows(windows, report.windows, at, actor)


def _services(file: ServicesFile, tally: Tally, at: datetime, actor: str) -> None:
    rows = {row.name: row for row in Service.objects.prefetch_related("depends_on", "targets")}
    changed = []
    for spec in file.services:
        row = rows.get(spec.name)
        before = service_document(row) if row and row.active else {}
        service, different = write(spec, row, before, from_file=True)
        if different:
            changed.append((service, spec, before))
            (tally.changed if before else tally.created).append(spec.name)
        else:
            tally.unchanged += 1
    for service, spec, before in changed:
        connect(service, spec)
        log_change(service, before, at, actor)
    named = {spec.name for spec in file.services}
    for row in rows.values():
        if row.from_file and row.active and row.name not in named:
            remove_service(row, at, actor)
            tally.removed.append(row.name)


def _map(entries: list[MapEntry], at: datetime, actor: str) -> bool:
    fields = ("match", "service", "target", "diagnosis")
    before, after = list(MapRule.objects.values(*fields)), [entry.model_dump(mode="json") for entry in entries]
    if before == after:
        return False
    MapRule.objects.all().delete()
    MapRule.objects.bulk_create(MapRule(position=n, **entry) for n, entry in enumerate(after))
    payload = {"before": told(before), "after": told(after)}
    ledger.append(actor=actor, action="map.changed", resource="map", payload=payload, at=at)
    return True


def _playbooks(read: list[Read], tally: Tally, at: datetime, actor: str) -> None:
    active = {row.name: row for row in Playbook.objects.filter(active=True)}
    for each in read:
        row = active.pop(each.document.playbook, None)
        if row is not None and row.digest == each.document.digest:
            if row.document.get("tests") == each.document.plain.get("tests"):
                tally.unchanged += 1
            else:
                write_tests(each, row, at, actor)
                tally.changed.append(row.name)
            continue
        write_version(each, row, at, actor)
        (tally.changed if row else tally.created).append(each.document.playbook)
    for row in active.values():
        withdraw(row, at, actor)
        tally.removed.append(row.name)
