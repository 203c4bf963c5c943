"""Playbooks as rows: what a version does is never changed, a change of that makes the next one.

Its tests say what it should do and are no part of that: when only they changed, the version keeps its digest, its approvals and
its record, and the row takes the new tests.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import ValidationError

from healing import ledger
from healing.actions import ACTIONS
from healing.checks import CHECKS
from healing.models import Playbook
from selfheal.canonical import digest
from selfheal.errors import Invalid
from selfheal.playbooks import Case, PlaybookDocument, Rehearsed, Vocabulary, impact_of, rehearse

from .places import commands, queries
from .reading import Read

_KEPT = 500
_documents: dict[str, PlaybookDocument] = {}


def document_of(playbook: Playbook) -> PlaybookDocument:
    """The playbook's document, read once per version. Raises Invalid if the row does not hold what its digest names."""
    if playbook.digest not in _documents:
        try:
            document = PlaybookDocument.of({key: value for key, value in playbook.document.items() if key != "tests"})
        except ValidationError as error:
            raise Invalid(f"{playbook} cannot be read: {error.error_count()} faults; sync it again", field="playbook") from error
        if document.digest != playbook.digest:
            raise Invalid(f"{playbook} is not what its digest names: it was changed in the database", field="playbook")
        if len(_documents) >= _KEPT:
            _documents.clear()
        _documents[playbook.digest] = document
    return _documents[playbook.digest]


def write_version(read: Read, active: Playbook | None, at: datetime, actor: str) -> Playbook:
    """The next version of a playbook, in place of the active one, with its log entry."""
    document = read.document
    newest = Playbook.objects.filter(name=document.playbook).order_by("-version").values_list("version", flat=True).first()
    if active is not None:
        Playbook.objects.filter(pk=active.pk).update(active=False)
    row = Playbook.objects.create(
        name=document.playbook,
        version=(newest or 0) + 1,
        digest=document.digest,
        title=document.title,
        domain=document.domain,
        impact=impact_of(document, Vocabulary(ACTIONS, CHECKS)),
        diagnoses=document.diagnoses,
        reversible=document.reversible,
        source=read.source,
        document=document.plain,
        path=read.path,
        created_at=at,
    )
    payload = {
        "version": row.version,
        "digest": row.digest,
        "impact": str(row.impact),
        "before": active.digest if active else None,
    }
    ledger.append(actor=actor, action="playbook.version", resource=f"playbook:{row.name}", payload=payload, at=at)
    return row


def write_tests(read: Read, active: Playbook, at: datetime, actor: str) -> None:
    """The same version with other tests, with its log entry."""
    before, after = active.document.get("tests", []), read.document.plain.get("tests", [])
    Playbook.objects.filter(pk=active.pk).update(document=read.document.plain, source=read.source, path=read.path)
    payload = {"version": active.version, "digest": active.digest, "before": digest(before), "after": digest(after)}
    ledger.append(actor=actor, action="playbook.tests", resource=f"playbook:{active.name}", payload=payload, at=at)


def rehearsed(playbook: Playbook) -> list[tuple[Case, Rehearsed]]:
    """The tests of a version with how they go now, by today's commands and queries. Raises Invalid as `document_of` does."""
    try:
        document = PlaybookDocument.of(playbook.document)
    except ValidationError:
        raise Invalid(f"the tests of {playbook} cannot be read: sync it again", field="tests") from None
    results = rehearse(document, Vocabulary(ACTIONS, CHECKS, commands(), queries()))
    return list(zip(document.tests, results, strict=True))


def withdraw(playbook: Playbook, at: datetime, actor: str) -> None:
    """The file is gone: no new run takes it; its versions stay."""
    Playbook.objects.filter(pk=playbook.pk).update(active=False)
    payload = {"version": playbook.version, "digest": playbook.digest}
    ledger.append(actor=actor, action="playbook.removed", resource=f"playbook:{playbook.name}", payload=payload, at=at)
