"""Samples as others send them: one or many `{service, target, metric, value, at}`.

Rules that this module keeps:
1. One bad sample never blocks the others: it becomes a `Rejection` that names index, field and reason.
2. A value is a finite number. NaN and the infinities, which are no JSON but which programs write, are refused like other bad
   values, each with its own sample.
3. An instant is not from the future, and not older than samples are kept. Without one, it was measured when it arrived.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated

import msgspec

from selfheal.alerts import Instant, Rejection, clean, decode, envelope, instant, paired
from selfheal.errors import Invalid
from selfheal.nesting import check_depth

from .rules import FUTURE

METRIC = r"^[A-Za-z_][A-Za-z0-9_:.-]{0,99}$"
MAX_PLACE = 253
_CONSTANT = re.compile(rb'"(?:\\.|[^"\\])*"|-?(?:NaN|Infinity|inf|nan)', re.DOTALL)
_MANY = msgspec.json.Decoder(list[msgspec.Raw])

Place = Annotated[str, msgspec.Meta(max_length=MAX_PLACE)]


class SentSample(msgspec.Struct, forbid_unknown_fields=True):
    """One measured value. Without `target` it is of the only target of the service; without `at` it is of now."""

    service: Place
    metric: Annotated[str, msgspec.Meta(pattern=METRIC)]
    value: float
    target: Place = ""
    at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """A value, and the labels that say where it was measured. `mapped`: by the map that alerts have; else they name it."""

    labels: Mapping[str, str]
    metric: str
    value: float
    at: datetime
    mapped: bool = False


@dataclass
class ReadSamples:
    samples: list[Measured] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)


_SAMPLE = msgspec.json.Decoder(SentSample)


def read_samples(body: bytes, at: datetime, kept: timedelta) -> ReadSamples:
    """The samples of a body. Raises Invalid if the body is no JSON, or if its only sample is wrong."""
    check_depth(body)
    many = body.lstrip()[:1] == b"["
    text = _CONSTANT.sub(_as_text, body)
    raws = envelope(_MANY, text) if many else [paired(text)]
    found = ReadSamples()
    for index, raw in enumerate(raws):
        try:
            found.samples.append(_read(raw, at, kept))
        except Invalid as wrong:
            reason = "must be a finite number" if wrong.field == "value" else wrong.message
            found.rejected.append(Rejection(index, wrong.field, reason))
    if found.rejected and not many:
        raise Invalid(found.rejected[0].reason, field=found.rejected[0].field)
    return found


def _read(raw: bytes, at: datetime, kept: timedelta) -> Measured:
    sent = decode(_SAMPLE, raw)
    if not sent.service:
        raise Invalid("names the service that was measured", field="service")
    measured_at = instant(sent.at, "at") or at
    if measured_at > at + FUTURE:
        raise Invalid(f"is more than {FUTURE.seconds} s in the future; it is {at:%Y-%m-%dT%H:%M:%SZ} here", field="at")
    if measured_at < at - kept:
        raise Invalid(f"is older than {kept.total_seconds() / 60:.0f} min, for which samples are kept", field="at")
    labels = {"service": clean(sent.service, "service"), "instance": clean(sent.target, "target")}
    return Measured(labels, sent.metric, sent.value, measured_at)


def _as_text(found: re.Match[bytes]) -> bytes:
    return found[0] if found[0][:1] == b'"' else b'"' + found[0] + b'"'
