"""CloudEvents 1.0 over HTTP: structured, in batches, and binary.

Rules that this module keeps:
1. `data` is an alert of our plain form; keys that it does not have are ignored. `type`, `source` and `subject` of the event
   become the labels `ce_type`, `ce_source` and `ce_subject`, so that an event without `data` can be mapped by them. The alert is
   known by the labels of `data`, source and subject: an event that tells of its end may be of another type.
2. An event is known by what it says, not by when it arrives: a firing alert without `starts_at` began at the event's `time`, or
   belongs to the episode that was firing then. The same event again, however late, changes nothing.
3. One bad event of a batch never blocks the others.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import unquote

import msgspec

from selfheal.alerts import (
    Alert,
    Instant,
    PlainAlert,
    Received,
    bounded,
    clean,
    decode,
    each,
    envelope,
    fingerprint_of,
    from_plain,
    instant,
    paired,
)
from selfheal.errors import Invalid

STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
BINARY = ("application/json", "text/json")
CONTENT_TYPES = (STRUCTURED, BATCH, *BINARY)
HEADERS = ("specversion", "id", "source", "type", "subject", "time", "datacontenttype")

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


class CloudEvent(msgspec.Struct):
    """An event in JSON. Extension attributes are ignored."""

    specversion: Literal["1.0"]
    id: Name
    source: Name
    type: Name
    subject: str | None = None
    time: Instant | None = None
    datacontenttype: str | None = None
    data: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    data_base64: str | None = None


class EventData(PlainAlert, forbid_unknown_fields=False):
    """The alert that an event carries."""


_EVENT = msgspec.json.Decoder(CloudEvent)
_EVENTS = msgspec.json.Decoder(list[msgspec.Raw])
_DATA = msgspec.json.Decoder(EventData)


def read_events(body: bytes, content_type: str, headers: Mapping[str, str], at: datetime) -> Received:
    """The alerts of a request. `headers` in lower case. Raises Invalid (a batch: for the envelope alone), TooLarge."""
    received = Received("cloudevents")
    bounded(body)
    if content_type == BATCH:
        return each(received, envelope(_EVENTS, body), lambda raw: _read(decode(_EVENT, raw), at))
    event = decode(_EVENT, paired(body)) if content_type == STRUCTURED else _binary(paired(body), headers)
    received.alerts.append(_read(event, at))
    return received


def _binary(body: bytes, headers: Mapping[str, str]) -> CloudEvent:
    """The event whose attributes stand in headers `ce-…`, percent-encoded, and whose data is the body."""
    said = {name: unquote(headers[f"ce-{name}"]) for name in HEADERS if f"ce-{name}" in headers}
    for name in ("specversion", "id", "source", "type"):
        if name not in said:
            raise Invalid(
                f"is missing: a CloudEvent has its attributes in headers ce-…, or is sent as {STRUCTURED}", field=f"ce-{name}"
            )
    event = decode(_EVENT, msgspec.json.encode(said))
    event.data = msgspec.Raw(body.strip())
    return event


def _read(event: CloudEvent, at: datetime) -> Alert:
    data = _data(event)
    said = {"ce_type": event.type, "ce_source": event.source, "ce_subject": event.subject or ""}
    attributes = {name: clean(value, name[3:]) for name, value in said.items() if value}
    data.fingerprint = data.fingerprint or fingerprint_of(_identity(data, attributes))
    if not (data.title or data.diagnosis or (data.annotations or {}).get("summary") or (data.labels or {}).get("alertname")):
        data.title = event.type
    data.labels = {**(data.labels or {}), **attributes}
    alert = from_plain(data, at)
    time = instant(event.time, "time")
    if alert.starts_at or time is None:
        return alert
    ended = alert.ends_at if data.ends_at else time
    return replace(alert, said_at=time, ends_at=ended if alert.ends_at else None)


def _identity(data: EventData, attributes: Mapping[str, str]) -> dict[str, str]:
    """What the events of one alert have in common; their types differ where one tells of its end."""
    own = {"service": data.service, "instance": data.target, "diagnosis": data.diagnosis, **(data.labels or {})}
    named = {name: value for name, value in own.items() if value}
    return {**named, **{name: value for name, value in attributes.items() if name != "ce_type" or not named}}


def _data(event: CloudEvent) -> EventData:
    if event.datacontenttype and "json" not in event.datacontenttype.lower():
        raise Invalid("is application/json, nothing else is read here", field="datacontenttype")
    text = bytes(event.data)
    if event.data_base64 is not None:
        try:
            text = base64.b64decode(event.data_base64, validate=True)
        except (binascii.Error, ValueError) as error:
            raise Invalid("is no base64", field="data_base64") from error
    if text in (b"", b"null"):
        return EventData()
    try:
        data: EventData = decode(_DATA, bounded(text))
        return data
    except Invalid as wrong:
        raise Invalid(wrong.message, field=f"data.{wrong.field}".rstrip(".")) from wrong
