"""The alerts of the past: from a file of them, or from the samples of `ALERTS` that Prometheus keeps. Bounded, whatever comes in.

Rules that this module keeps:
1. One alert an occurrence, (fingerprint, beginning); what is told twice is one, and resolved is final for it.
2. Samples with less than `TOGETHER` between them are one occurrence: Prometheus itself looks back as far, and Alertmanager does
   not tell of a shorter gap.
3. What is over its bounds is an error that says which; one bad alert is refused alone, with its reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from selfheal import alerts
from selfheal.alerts import Alert, PlainAlert, Received
from selfheal.errors import Invalid, TooLarge
from selfheal.states import EpisodeStatus

TOGETHER = timedelta(minutes=5)
MOST_SERIES = 50_000
MOST_ALERTS = 200_000
MOST_BYTES = 256 * 2**20
PLAIN = ("service", "starts_at", "diagnosis", "target", "title")  # a key of these: an alert of our own form


@dataclass(frozen=True)
class Refused:
    """`where`: line or position."""

    where: str
    reason: str


class Series:
    """Collects the samples of series, in the order of time, into occurrences."""

    def __init__(self, step: timedelta) -> None:
        self.step = step
        self.spans: dict[frozenset[tuple[str, str]], list[list[float]]] = {}
        self.count = 0

    def add(self, labels: Mapping[str, str], instants: Sequence[float]) -> None:
        """More samples of one series; later ones than those before. Raises TooLarge."""
        key = frozenset((name, value) for name, value in labels.items() if name not in ("__name__", "alertstate"))
        spans = self.spans.setdefault(key, [])
        if len(self.spans) > MOST_SERIES:
            raise TooLarge(f"there are more than {MOST_SERIES:,} series: ask for fewer days, or narrow them by --match")
        apart = max(TOGETHER, self.step * 1.5).total_seconds()
        for at in instants:
            if spans and at - spans[-1][1] <= apart:
                spans[-1][1] = at
            else:
                spans.append([at, at])
                self.count += 1
        if self.count > MOST_ALERTS:
            raise TooLarge(f"there are more than {MOST_ALERTS:,} alerts: ask for fewer days, or narrow them by --match")

    def alerts(self, until: datetime) -> tuple[list[Alert], list[Refused]]:
        """The occurrences; what still had a sample within a step before `until` is firing."""
        found, wrong = [], []
        for key, spans in self.spans.items():
            for begin, last in spans:
                ends_at = datetime.fromtimestamp(last, UTC) + self.step
                firing = ends_at >= until - self.step
                sent = PlainAlert(
                    labels=dict(key),
                    starts_at=datetime.fromtimestamp(begin, UTC),
                    ends_at=None if firing else ends_at,
                    status="firing" if firing else "resolved",
                )
                try:
                    found.append(alerts.from_plain(sent, until))
                except Invalid as error:
                    wrong.append(Refused(", ".join(f"{k}={v}" for k, v in sorted(key))[:80], str(error)))
                    break
        return found, wrong


def read_file(data: bytes, at: datetime) -> tuple[list[Alert], list[Refused]]:
    """The alerts of a file: bodies of Alertmanager's webhook, plain alerts, or lists of them; as JSON or as JSON lines.

    Raises Invalid for a file that holds none of these, TooLarge.
    """
    if len(data) > MOST_BYTES:
        raise TooLarge(f"has more than {MOST_BYTES // 2**20} MiB")
    found: list[Alert] = []
    wrong: list[Refused] = []
    for where, value in _values(data):
        for received in _received(value, where, at):
            found += received.alerts
            wrong += [Refused(f"{where}, alert {each.index}", f"{each.field}: {each.reason}") for each in received.rejected]
    if len(found) > MOST_ALERTS * 5:
        raise TooLarge(f"holds {len(found):,} alerts; at most {MOST_ALERTS * 5:,} are read")
    whole = [alert for alert in found if alert.starts_at]
    wrong += [Refused(alert.title, "starts_at: is not set") for alert in found if not alert.starts_at]
    return merged(whole), wrong


def merged(found: Iterable[Alert]) -> list[Alert]:
    """One alert an occurrence. Raises TooLarge."""
    once: dict[tuple[str, datetime], Alert] = {}
    for alert in found:
        before = once.setdefault((alert.fingerprint, alert.began), alert)
        if before.status != EpisodeStatus.RESOLVED:
            once[alert.fingerprint, alert.began] = alert
    if len(once) > MOST_ALERTS:
        raise TooLarge(f"there are more than {MOST_ALERTS:,} alerts: take a shorter time")
    return list(once.values())


def _values(data: bytes) -> Iterator[tuple[str, Any]]:
    """Each JSON value of the file and where it stands."""
    try:
        whole = json.loads(data)
    except RecursionError:
        raise Invalid("is nested too deep") from None
    except ValueError as error:
        yield from _lines(data, error)
        return
    if isinstance(whole, dict) and isinstance(whole.get("posts"), list):
        whole = whole["posts"]
    yield from ((f"value {n}", each) for n, each in enumerate(whole, 1)) if isinstance(whole, list) else [("value 1", whole)]


def _lines(data: bytes, error: ValueError) -> Iterator[tuple[str, Any]]:
    lines = [(n, line) for n, line in enumerate(data.splitlines(), 1) if line.strip()]
    if len(lines) < 2:
        raise Invalid(f"is no JSON: {error}") from None
    for n, line in lines:
        try:
            yield f"line {n}", json.loads(line)
        except (ValueError, RecursionError) as wrong:
            raise Invalid(f"is neither JSON nor JSON lines: line {n}: {wrong}", line=n) from None


def _received(value: Any, where: str, at: datetime) -> Iterator[Received]:
    if isinstance(value, list):
        for position, each in enumerate(value, 1):
            yield from _received(each, f"{where}.{position}", at)
        return
    if not isinstance(value, dict):
        raise Invalid(f"{where} is no alert: expected an object, got {type(value).__name__}")
    if isinstance(value.get("alerts"), list):
        yield alerts.read_webhook(json.dumps(value).encode(), at)
    elif "startsAt" in value:
        yield alerts.read_webhook(json.dumps({"alerts": [value]}).encode(), at)
    elif "labels" in value or any(key in value for key in PLAIN):
        yield alerts.read_plain(json.dumps([value]).encode(), at)
    else:
        raise Invalid(f"{where} is no alert: expected a body with `alerts`, or an alert with `labels`")
