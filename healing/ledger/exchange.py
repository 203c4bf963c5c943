"""One head to one place: a witness, a directory, a repository, an HTTP server. Bounded in time; no row is written here.

Rules that this module keeps:
1. Before anything is handed over, the log is shown to go on from what the place has, or was given last (RFC 9162 §2.1.4).
2. A witness' answer counts only once its signature fits the head.
"""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from healing import http
from healing.ledger import git, kept, selectors
from healing.ledger.kept import Refused
from selfheal.errors import LedgerError
from selfheal.outside import Kind, Place
from selfheal.witness import Cosignature, Witness, request

SECONDS = 10.0  # for one HTTP exchange
SIZE_TYPE = "text/x.tlog.size"
TEXT = "text/plain; charset=utf-8"


def hand_over(place: Place, size: int, note: str) -> None:
    """Give the head of `size` in `note` to a place that keeps it. Raises LedgerError, Refused, Unreachable, or OSError."""
    if place.kind is Kind.FILE:
        kept.add(Path(place.address), size, note)
    elif place.kind is Kind.GIT:
        git.push(place.address, note, f"head of {size:,} entries", lambda before: kept.goes_on(before, place.name, note))
    else:
        _send(place, size, note)


def cosign(place: Place, witness: Witness, old: int, size: int, note: str) -> Cosignature:
    """Ask a witness to sign for the head of `size` in `note`; `old` is the size of the last one that it has signed for.

    Raises Refused if it knows another log, LedgerError for an answer that is none, Unreachable.
    """
    answer = _ask(place, old, size, note)
    if answer.status == 409 and (known := _known(answer)) is not None:
        if known > size:
            raise Refused(f"the log was rolled back: it has {size:,} entries, and {place.name} has signed for {known:,}")
        if known == old:
            raise Refused(f"the log was written anew: {place.name} has signed for another tree of {known:,} entries")
        answer = _ask(place, known, size, note)
    if answer.status == 422 or (answer.status == 409 and _known(answer) in (None, size)):
        raise Refused(f"the log was written anew: {place.name} does not see it go on from what it has signed for")
    if answer.status != 200:
        raise LedgerError(f"{place.name} answered {answer.status}{_why(answer)}")
    return witness.answered(note, answer.body.decode(errors="replace"))


def _ask(place: Place, old: int, size: int, note: str) -> http.Response:
    proof = selectors.consistency(old, size) if 0 < old < size else []
    body = request(min(old, size), proof, note)
    url = f"{place.address}/add-checkpoint"
    return http.fetch("POST", url, http.Guard.of([url]), headers={"Content-Type": TEXT}, body=body, timeout=SECONDS)


def _known(answer: http.Response) -> int | None:
    """The size that a witness says it has signed for; None: it says none."""
    text = answer.body[:30].decode(errors="replace").strip()
    is_size = answer.headers.get("content-type", "").startswith(SIZE_TYPE)
    return int(text) if is_size and text.isascii() and text.isdecimal() else None


def _why(answer: http.Response) -> str:
    text = " ".join(answer.body[:200].decode(errors="replace").split())
    return f": {text}" if text else ""


def _send(place: Place, size: int, note: str) -> None:
    headers = {"Content-Type": TEXT}
    if place.secret:
        headers["Authorization"] = f"Bearer {_secret(place.secret)}"
    url = f"{place.address}/{size}{kept.SUFFIX}" if place.kind is Kind.PUT else place.address
    body = note.encode()
    answer = http.fetch(place.kind.upper(), url, http.Guard.of([url]), headers=headers, body=body, timeout=SECONDS)
    if not 200 <= answer.status < 300:
        raise LedgerError(f"{place.name} answered {answer.status}")


def _secret(name: str) -> str:
    path = settings.SELF_HEAL_SECRETS_DIR / name
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise LedgerError(f"secret {name} cannot be read from {path}: {type(error).__name__}") from error
