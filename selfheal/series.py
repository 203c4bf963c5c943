"""A metric over time, as it comes: points of (time, value), from text or from facts."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from selfheal.errors import Invalid

MISSING = {"", "nan", "null", "none", "na", "n/a"}


class Point(NamedTuple):
    """`at` is seconds since 1970; `value` is NaN where nothing was measured."""

    at: float
    value: float


def from_csv(lines: Iterable[str], file: str = "") -> Iterator[tuple[str, str, Point]]:
    """Each row of a CSV with the columns timestamp and value (others are passed over): both as written, and the point.

    A time is ISO 8601 (without a zone: UTC) or seconds since 1970. Raises Invalid with file and line.
    """
    rows = csv.reader(lines)
    header = [name.strip().lower() for name in next(rows, [])]
    try:
        time, value = header.index("timestamp"), header.index("value")
    except ValueError:
        raise Invalid("the first line must name the columns timestamp and value", file=file, line=1, column=1) from None
    for row in rows:
        if not row:
            continue
        if len(row) <= max(time, value):
            raise Invalid(f"{len(row)} columns, the first line names {len(header)}", file=file, line=rows.line_num, column=1)
        try:
            yield row[time], row[value], Point(seconds(row[time]), number(row[value]))
        except Invalid as error:
            raise Invalid(error.message, file=file, line=rows.line_num, column=1) from None


def from_facts(facts: Any, field: str = "points") -> Sequence[Point]:
    """`facts[field]`, a list of (time, value), as points. Raises Invalid that names the point."""
    pairs = facts.get(field)
    if not isinstance(pairs, (list, tuple)) or not pairs:
        raise Invalid("must be a list of (time, value) with at least one", field=field)
    points = []
    for index, pair in enumerate(pairs):
        try:
            at, value = pair
            points.append(Point(seconds(at), number(value)))
        except (TypeError, ValueError):
            raise Invalid("must be (time, value)", field=f"{field}.{index}") from None
        except Invalid as error:
            raise Invalid(error.message, field=f"{field}.{index}") from None
    return points


def seconds(value: Any) -> float:
    """A time as seconds since 1970, from a datetime, ISO 8601 or a number of seconds; without a zone it is UTC."""
    if isinstance(value, str):
        text = value.strip()
        try:
            value = datetime.fromisoformat(text)
        except ValueError:
            try:
                value = float(text)
            except ValueError:
                raise Invalid(f"{text!r} is no time: write 2026-11-25T04:00:00Z or seconds since 1970") from None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise Invalid(f"{value!r} is no time")
    return float(value)


def number(value: Any) -> float:
    """A value; NaN for None, an empty text, NaN and what is not finite: nothing was measured."""
    if value is None or (isinstance(value, str) and value.strip().lower() in MISSING):
        return math.nan
    if isinstance(value, bool):
        raise Invalid(f"{value!r} is no number")
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise Invalid(f"{value!r} is no number") from None
    return found if math.isfinite(found) else math.nan
