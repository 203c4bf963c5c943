"""What a leaf of the log is: the RFC 8785 bytes of {actor, action, resource, subsystem, result, payload, at}.

`read` takes the bytes back strictly: whatever would not be written again byte for byte is refused. `columns` says what the
database keeps beside a leaf to find it by; the same rule serves who writes the columns and who verifies them.

Most leaves are read by msgspec, several times as fast as by json. What it does not write again byte for byte, and what it would
judge otherwise than the rule, is read the slow way, which says what is wrong.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from selfheal.canonical import MAX_INTEGER, encode
from selfheal.errors import Invalid

FIELDS = frozenset({"actor", "action", "resource", "subsystem", "result", "payload", "at"})
KEY_ACTION = "log.key"  # the leaf that introduces a key; its payload has the vkey
WIDTHS = {"actor": 150, "action": 60, "resource": 300, "subsystem": 30}


@dataclass(frozen=True)
class Columns:
    """What is kept beside a leaf. Cut to the columns' widths and without NUL, so that no leaf can ever stop the log."""

    actor: str
    action: str
    resource: str
    subsystem: str
    at: datetime


class _Leaf(msgspec.Struct, forbid_unknown_fields=True):
    """The fields in the order in which RFC 8785 has them."""

    action: str
    actor: str
    at: str
    payload: dict[str, Any]
    resource: str
    result: str
    subsystem: str


def read(leaf: bytes) -> dict[str, Any]:
    """The value of a leaf. Raises Invalid for bytes that are not the canonical form of a leaf."""
    value = _quickly(leaf)
    return _strictly(leaf) if value is None else value


def _quickly(leaf: bytes) -> dict[str, Any] | None:
    """The value, or None where only the slow way can tell.

    An integer outside ±(2^53 − 1) has 16 digits or more. Keys sort by UTF-16 as by code point up to U+FFFF; above it UTF-8 begins
    with a byte of 0xF0 or more.
    """
    seen = leaf.translate(_SEEN)
    if _DIGITS in seen or _ABOVE in seen:
        return None
    try:
        value = _QUICK.decode(leaf)
        if _WRITER.encode(value) != leaf:
            return None
    except (ValueError, RecursionError):
        return None
    return {
        "action": value.action,
        "actor": value.actor,
        "at": value.at,
        "payload": value.payload,
        "resource": value.resource,
        "result": value.result,
        "subsystem": value.subsystem,
    }


def _strictly(leaf: bytes) -> dict[str, Any]:
    try:
        value = _DECODER.decode(leaf.decode())
        again = encode(value)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"is no JSON that a leaf may hold: {error}") from error
    if again != leaf:
        raise Invalid("is not in canonical form (RFC 8785)")
    if not isinstance(value, dict) or value.keys() != FIELDS or not isinstance(value["payload"], dict):
        raise Invalid(f"is no object of {', '.join(sorted(FIELDS))}")
    if not all(isinstance(value[name], str) for name in FIELDS - {"payload"}):
        raise Invalid("has a field that should be a string")
    return value


def columns(value: dict[str, Any]) -> Columns:
    """What stands beside the leaf. Raises Invalid if `at` is no instant with an offset."""
    try:
        at = datetime.fromisoformat(value["at"])
    except ValueError as error:
        raise Invalid(f"{value['at']!r} is no instant", field="at") from error
    if at.tzinfo is None:
        raise Invalid(f"{value['at']!r} has no offset", field="at")
    return Columns(
        _cut(value["actor"], WIDTHS["actor"]),
        _cut(value["action"], WIDTHS["action"]),
        _cut(value["resource"], WIDTHS["resource"]),
        _cut(value["subsystem"], WIDTHS["subsystem"]),
        at,
    )


def _cut(text: str, width: int) -> str:
    return text.replace("\x00", "�")[:width]


def _integer(text: str) -> int:
    value = int(text)
    if abs(value) > MAX_INTEGER:
        raise ValueError(f"{text} is outside ±(2^53 − 1)")
    return value


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is no integer")


_DECODER = json.JSONDecoder(parse_float=_refuse, parse_int=_integer, parse_constant=_refuse)
_QUICK = msgspec.json.Decoder(_Leaf, float_hook=_refuse)
_WRITER = msgspec.json.Encoder(order="sorted")
_SEEN = bytes(b"0"[0] if b"0"[0] <= byte <= b"9"[0] else 0xFF if byte >= 0xF0 else byte for byte in range(256))
_DIGITS, _ABOVE = b"0" * len(str(MAX_INTEGER)), b"\xff"
