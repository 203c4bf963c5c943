"""`selfheal log push` and `status`, and what `verify` asks of witnesses and of heads that are kept elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.cli.base import Failed, Json, now, print_facts, print_json, print_table, ready

if TYPE_CHECKING:
    from healing.models import LedgerPlace
    from selfheal.verify import Report


def push(
    place: Annotated[str, typer.Argument(help="its name; all of them if none is given")] = "",
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Hand the last signed head to the witnesses and places now. Status 1 if one of them does not have it afterwards."""
    ready()
    from healing.ledger import pushing

    names = [row.name for _, row in pushing.rows(now()) if place in ("", row.name)]
    if not names:
        raise Failed(
            f"there is no witness or place {place!r}"
            if place
            else "there is no witness and no place: set SELF_HEAL_LOG_WITNESSES or SELF_HEAL_LOG_PUSH"
        )
    done = [row for name in names if (row := pushing.push(name, now(), now=True))]
    if as_json:
        print_json({"places": [_document(row) for row in done]})
    else:
        print_table(["", "place", "head", "why"], [(_said(row), row.name, row.size or None, row.error) for row in done], "")
    if any(row.error for row in done):
        raise Failed(
            "the log does not go on from what is elsewhere" if any(row.refused for row in done) else "not all have the head"
        )


def status(as_json: Annotated[bool, Json] = False) -> None:
    """Say how long the log is, who has signed for which head, where heads are kept, and how it went. Status 1 if one fails."""
    ready()
    from healing.ledger import pushing, selectors

    head, rows = selectors.last_head(), [row for _, row in pushing.rows(now())]
    if as_json:
        print_json(
            {"size": head.size if head else 0, "signed_at": head.at if head else None, "places": [_document(r) for r in rows]}
        )
    else:
        print_facts([("entries", f"{head.size:,}" if head else "none"), ("signed", head.at if head else None)])
        print()
        table = [(_said(row), row.kind, row.name, row.size or None, row.succeeded_at, row.due_at, row.error) for row in rows]
        columns = ["", "kind", "place", "head", "went well last", "next", "error"]
        print_table(columns, table, "no witness and no place: set SELF_HEAL_LOG_WITNESSES or SELF_HEAL_LOG_PUSH")
    raise typer.Exit(1 if any(row.error for row in rows) else 0)


def _said(row: LedgerPlace) -> str:
    if row.refused:
        return "REFUSED"
    return "FAILED" if row.error else "ok" if row.succeeded_at else "not yet"


def _document(row: LedgerPlace) -> dict[str, Any]:
    names = ("name", "kind", "size", "tried_at", "succeeded_at", "due_at", "failures", "error", "refused")
    return {name: getattr(row, name) for name in names}


def compare(report: Report, kept: str, using: str) -> None:
    """Heads that were kept elsewhere must be of this log: else it was written anew from some point on."""
    from healing.ledger.kept import opened
    from healing.ledger.selectors import keys
    from healing.models import LedgerHead
    from selfheal.errors import LedgerError
    from selfheal.verify import Ring

    ring = Ring(keys(using))
    for where, note in _notes(kept):
        try:
            head = opened(note, ring)
        except LedgerError as error:
            report.add("head", 0, f"{where}: {error}")
            continue
        row = LedgerHead.objects.using(using).filter(size=head.size).first()
        if row is None or bytes(row.root) != head.root:
            report.add("head", head.size, f"{where} has a head of size {head.size} that is not in this log: it was written anew")


def _notes(kept: str) -> Iterator[tuple[str, str]]:
    """What is kept in a file, in a directory of `keep`, behind an address, or in the history of a repository. Raises Failed."""
    from healing import http
    from healing.ledger import git
    from healing.ledger.kept import files
    from selfheal.errors import SelfhealError

    try:
        if kept.startswith("git+"):
            for number, note in enumerate(git.history(kept.removeprefix("git+"))):
                yield (f"{kept}, {number} commits ago" if number else kept), note
        elif kept.startswith(("http://", "https://")):
            answer = http.fetch("GET", kept, http.Guard.of([kept]))
            if answer.status != 200:
                raise Failed(f"{kept} answered {answer.status}")
            yield kept, answer.body.decode()
        else:
            path = Path(kept.removeprefix("file://"))
            for file in files(path) if path.is_dir() else [path]:
                yield str(file), file.read_text()
    except (OSError, UnicodeDecodeError, SelfhealError) as error:
        raise Failed(f"{kept} has no tree head: {error}") from None


def witnesses(report: Report, using: str) -> list[tuple[str, int, Any]]:
    """Each stored line of a configured witness must fit its head. Name, size and time of the newest of each."""
    from django.conf import settings

    from healing.models import LedgerCosignature
    from selfheal.errors import LedgerError
    from selfheal.outside import parse_witness

    newest = []
    for witness in (place.witness for place in map(parse_witness, settings.SELF_HEAL_LOG_WITNESSES) if place.witness):
        found = LedgerCosignature.objects.using(using).filter(key_id=witness.key_id, head__size__lte=report.size)
        last: tuple[int, Any] = (0, None)
        for row in found.order_by("head").select_related("head").iterator():
            try:
                good = witness.find_in(row.head.note + row.line)
                problem = "" if good else f"has no line of {witness.name} {witness.key_id}"
            except LedgerError as error:
                problem = str(error)
            if problem:
                report.add("witness", row.head_id, f"the head of size {row.head_id}: {problem}")
            else:
                last = row.head_id, row.at
        newest.append((witness.name, *last))
    return newest
