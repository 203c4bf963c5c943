"""Alerts as others send them, made one form of our own.

Rules that this module keeps:
1. One bad alert never blocks its group: it becomes a `Rejection` that names index, field and reason, the others go on.
2. What the labels say is data. It is bounded, holds no NUL byte, and is never run, rendered or logged as it is.
3. The fingerprint is Alertmanager's own where it is given, else the SHA-256 of the canonical form of the labels.
4. `0001-01-01T00:00:00Z` is Go's "not set": as an end it means that the alert is firing.
5. The same bytes give the same alerts: nothing is made up here but, for what has no end, that it ended at `at`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec

from selfheal import canonical
from selfheal.errors import Invalid, TooLarge
from selfheal.nesting import check_depth
from selfheal.states import EpisodeStatus, Severity

MAX_BODY_BYTES = 32 * 2**20
MAX_LABELS = 100
MAX_NAME = 1_000  # characters
MAX_VALUE_BYTES = 4_096
MAX_ANNOTATION = 4_096  # characters; longer ones are cut, an alert is not lost for its prose
MAX_FINGERPRINT = 64
MAX_TITLE = 300
MAX_URL = 1_000

SEVERITIES = {
    "info": Severity.LOW,
    "low": Severity.LOW,
    "warning": Severity.MEDIUM,
    "medium": Severity.MEDIUM,
    "error": Severity.HIGH,
    "high": Severity.HIGH,
    "critical": Severity.CRITICAL,
    "page": Severity.CRITICAL,
}

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
Status = Literal["firing", "resolved"]


class WebhookAlert(msgspec.Struct):
    """One alert of an Alertmanager webhook, version 4. Keys that we do not use are ignored."""

    status: Status
    labels: dict[str, str]
    startsAt: Instant
    endsAt: Instant | None = None
    annotations: dict[str, str] | None = None
    generatorURL: str = ""
    fingerprint: str = ""


class GrafanaAlert(WebhookAlert):
    """One alert of Grafana's unified alerting: Alertmanager's form, with links and the values that were measured."""

    valueString: str | None = None
    silenceURL: str | None = None
    dashboardURL: str | None = None
    panelURL: str | None = None


class WebhookBody(msgspec.Struct):
    """The envelope. The alerts stay raw, so that a bad one is refused alone."""

    alerts: list[msgspec.Raw]
    receiver: str = ""
    truncatedAlerts: Annotated[int, msgspec.Meta(ge=0, le=canonical.MAX_INTEGER)] = 0


class PlainAlert(msgspec.Struct, forbid_unknown_fields=True):
    """One alert of our own form. Without `starts_at` it belongs to the episode that is firing, or begins one now."""

    service: str = ""
    target: str = ""
    diagnosis: str = ""
    title: str = ""
    severity: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    status: Status | None = None
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert in our form. `starts_at` is None where the sender did not say; instants are UTC."""

    fingerprint: str
    starts_at: datetime | None
    status: EpisodeStatus
    ends_at: datetime | None
    severity: Severity
    title: str
    labels: dict[str, str]
    annotations: dict[str, str]
    generator_url: str = ""
    said_at: datetime | None = None  # without a beginning: the instant that it speaks of, if it does not speak of now

    @property
    def began(self) -> datetime:
        """`starts_at` of an alert whose beginning is known by now."""
        if self.starts_at is None:
            raise ValueError(f"alert {self.fingerprint} has no beginning yet")
        return self.starts_at


@dataclass(frozen=True, slots=True)
class Rejection:
    index: int
    field: str
    reason: str


@dataclass
class Received:
    """One body: the good alerts in their order, the others, and how many the sender left out."""

    source: str
    alerts: list[Alert] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    truncated: int = 0


_BODY = msgspec.json.Decoder(WebhookBody)
_ALERT = msgspec.json.Decoder(WebhookAlert)
_GRAFANA = msgspec.json.Decoder(GrafanaAlert)
_PLAIN = msgspec.json.Decoder(PlainAlert)
_ESCAPE = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<half>\\u[dD][89a-fA-F]..)|\\.", re.DOTALL)
_LIST = msgspec.json.Decoder(list[msgspec.Raw])


def read_webhook(body: bytes, at: datetime) -> Received:
    """A body of Alertmanager's webhook. Raises Invalid if the envelope is wrong, TooLarge if it is over 32 MiB."""
    sent = envelope(_BODY, bounded(body))
    received = Received("alertmanager", truncated=sent.truncatedAlerts)
    return each(received, sent.alerts, lambda raw: _from_webhook(decode(_ALERT, raw), at))


def read_grafana(body: bytes, at: datetime) -> Received:
    """A body of the webhook contact point of Grafana's unified alerting. Raises as `read_webhook` does."""
    sent = envelope(_BODY, bounded(body))
    received = Received("grafana", truncated=sent.truncatedAlerts)
    return each(received, sent.alerts, lambda raw: _from_grafana(decode(_GRAFANA, raw), at))


def read_plain(body: bytes, at: datetime) -> Received:
    """One plain alert, or an array of them. Raises as `read_webhook` does."""
    many = bounded(body).lstrip()[:1] == b"["
    raws = envelope(_LIST, body) if many else [paired(body)]
    received = each(Received("plain"), raws, lambda raw: from_plain(decode(_PLAIN, raw), at))
    if received.rejected and not many:
        refused = received.rejected[0]
        raise Invalid(refused.reason, field=refused.field)
    return received


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when an alert fired; without an end it is firing."""

    starts_at: datetime
    ends_at: datetime | None


def place_in_time(newest: Span | None, alert: Alert) -> tuple[datetime | None, Span | None]:
    """When the episode began that an alert without a beginning belongs to, by the instant it speaks of; and the newest after it.

    What speaks of a time before the newest episode ended tells nothing new, and belongs to it. None: it ends nothing.
    """
    said, firing = alert.said_at, alert.status == EpisodeStatus.FIRING
    if said is None:
        raise ValueError(f"alert {alert.fingerprint} does not say of when it speaks")
    if newest is None or (newest.ends_at is not None and said > newest.ends_at):
        return (said, Span(said, None)) if firing else (None, newest)
    if newest.ends_at is not None or firing:
        return newest.starts_at, newest
    if said < newest.starts_at:
        return None, newest
    return newest.starts_at, Span(newest.starts_at, said)


def severity_of(text: str) -> Severity:
    """What others call a severity, in our words; absent or unknown is medium."""
    return SEVERITIES.get(text.strip().lower(), Severity.MEDIUM)


def fingerprint_of(labels: dict[str, str]) -> str:
    """SHA-256 of the canonical form (sorted) of the labels, 64 hex digits."""
    return canonical.digest(labels)


def bounded(body: bytes) -> bytes:
    """The body, if it is neither too long nor too deep. Raises TooLarge, Invalid."""
    if len(body) > MAX_BODY_BYTES:
        raise TooLarge(f"the body has more than {MAX_BODY_BYTES:,} bytes")
    check_depth(body)
    return body


def each(received: Received, raws: Iterable[Any], read: Callable[[Any], Alert]) -> Received:
    """Read every one of `raws`, the bad ones into `rejected`."""
    for index, raw in enumerate(raws):
        try:
            received.alerts.append(read(raw))
        except Invalid as wrong:
            received.rejected.append(Rejection(index, wrong.field, wrong.message))
    return received


def envelope(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    """The envelope; half a surrogate pair in one alert, which msgspec calls malformed, must not block the others."""
    try:
        return decode(decoder, body)
    except Invalid:
        mended = paired(body)
        if mended == body:
            raise
        return decode(decoder, mended)


def paired(body: bytes) -> bytes:
    """Each escaped half of a surrogate pair becomes an escaped NUL, which its own alert is refused for."""
    return _ESCAPE.sub(lambda found: rb"\u0000" if found["half"] else found[0], body)


def decode(decoder: msgspec.json.Decoder[Any], text: Any) -> Any:
    """What `decoder` reads. Raises Invalid with the field."""
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        missing = re.search(r"(?:required|unknown) field `(.*)`", message)
        where = path.strip("`").replace("[...]", "") or (missing[1] if missing else "")
        raise Invalid(_cut(message, 200), field=_cut(where, 200)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"is no valid JSON: {error}") from error
    except RecursionError as error:
        raise Invalid("is nested too deep") from error


def _from_webhook(sent: WebhookAlert, at: datetime) -> Alert:
    labels = _labels(sent.labels)
    starts_at = instant(sent.startsAt, "startsAt")
    if starts_at is None:
        raise Invalid("is not set", field="startsAt")
    annotations = _annotations(sent.annotations)
    resolved = sent.status == "resolved"
    return Alert(
        fingerprint=_fingerprint(sent.fingerprint) or fingerprint_of(labels),
        starts_at=starts_at,
        status=EpisodeStatus(sent.status),
        ends_at=(instant(sent.endsAt, "endsAt") or at) if resolved else None,
        severity=severity_of(labels.get("severity", "")),
        title=_title(labels, annotations),
        labels=labels,
        annotations=annotations,
        generator_url=_url(sent.generatorURL),
    )


def _from_grafana(sent: GrafanaAlert, at: datetime) -> Alert:
    extra = {name: getattr(sent, name) for name in ("valueString", "silenceURL", "dashboardURL", "panelURL")}
    sent.annotations = {**{name: text for name, text in extra.items() if text}, **(sent.annotations or {})}
    return _from_webhook(sent, at)


def from_plain(sent: PlainAlert, at: datetime) -> Alert:
    """A plain alert in our form. Raises Invalid."""
    said = {"service": sent.service, "instance": sent.target, "diagnosis": sent.diagnosis}
    labels = _labels({**(sent.labels or {}), **{name: value for name, value in said.items() if value}}, "labels, or a service,")
    annotations = _annotations(sent.annotations)
    ends_at = instant(sent.ends_at, "ends_at")
    status = sent.status or ("resolved" if ends_at and ends_at <= at else "firing")
    return Alert(
        fingerprint=_fingerprint(sent.fingerprint) or fingerprint_of(labels),
        starts_at=instant(sent.starts_at, "starts_at"),
        status=EpisodeStatus(status),
        ends_at=(ends_at or at) if status == "resolved" else None,
        severity=severity_of(sent.severity or labels.get("severity", "")),
        title=_line(clean(sent.title, "title")) or _title(labels, annotations),
        labels=labels,
        annotations=annotations,
    )


def _labels(labels: dict[str, str], what: str = "labels") -> dict[str, str]:
    if not labels:
        raise Invalid(f"{what} must be given: an alert is known by its labels", field="labels")
    if len(labels) > MAX_LABELS:
        raise Invalid(f"an alert may have {MAX_LABELS} labels, this one has {len(labels):,}", field="labels")
    for name, value in labels.items():
        if not name or len(name) > MAX_NAME:
            raise Invalid(f"the name of a label has from 1 to {MAX_NAME:,} characters, one has {len(name):,}", field="labels")
        clean(name, "labels")
        if len(clean(value, f"labels.{name}").encode()) > MAX_VALUE_BYTES:
            raise Invalid(f"the value of a label may have {MAX_VALUE_BYTES:,} bytes", field=f"labels.{name}")
    return labels


def _annotations(annotations: dict[str, str] | None) -> dict[str, str]:
    if not annotations:
        return {}
    if len(annotations) > MAX_LABELS:
        raise Invalid(f"an alert may have {MAX_LABELS} annotations, this one has {len(annotations):,}", field="annotations")
    for name in annotations:
        if len(name) > MAX_NAME:
            raise Invalid(f"the name of an annotation may have {MAX_NAME:,} characters", field="annotations")
    return {
        clean(name, "annotations"): _cut(clean(text, f"annotations.{name}"), MAX_ANNOTATION) for name, text in annotations.items()
    }


def clean(text: str, where: str) -> str:
    """The text, if a database can hold it. Raises Invalid."""
    if "\0" in text:
        raise Invalid("holds a NUL byte or half a surrogate pair, which cannot be stored", field=where.replace("\0", "␀"))
    return text


def _fingerprint(text: str) -> str:
    if len(text) > MAX_FINGERPRINT or not text.isprintable():
        raise Invalid(f"has at most {MAX_FINGERPRINT} printable characters", field="fingerprint")
    return text


def _url(text: str) -> str:
    """A URL cut short is no URL: a longer one is left out."""
    return text if len(text) <= MAX_URL and text.isprintable() else ""


def instant(value: datetime | None, where: str) -> datetime | None:
    """In UTC; Go's zero time is none. Raises Invalid."""
    if value is None or value.year == 1:
        return None
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise Invalid("is outside the years 1 to 9999", field=where) from error


def _title(labels: dict[str, str], annotations: dict[str, str]) -> str:
    where = labels.get("instance") or labels.get("service") or ""
    name = labels.get("alertname") or labels.get("diagnosis") or "alert"
    return _line(annotations.get("summary") or "") or _line(f"{name} on {where}" if where else name)


def _line(text: str) -> str:
    """One line that may be printed anywhere: white space is one blank, control characters and the like are �."""
    return _cut("".join(c if c.isprintable() else "�" for c in " ".join(text[: 4 * MAX_TITLE].split())), MAX_TITLE)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
