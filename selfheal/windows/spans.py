"""Sets of instants: half-open spans of whole seconds since 1970, sorted, none touching another, looked up page by page.

A page is 32 days: what opens and closes is worked out for a page once, kept, and looked up from then on.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo

Span = tuple[int, int]
Spans = tuple[Span, ...]

PAGE = 32 * 86_400
YEAR = 12  # pages: 384 days
_LONGER_THAN_A_GAP = timedelta(days=2)  # zones have left out a whole day


def second_of(at: datetime) -> int:
    """The whole second that `at` is in."""
    return int(at.timestamp() // 1)


def moment_of(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def bounds(page: int) -> Span:
    return page * PAGE, (page + 1) * PAGE


def merged(spans: Iterable[Span]) -> Spans:
    """The same instants, sorted, overlapping and touching spans made one, empty ones left out."""
    found: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return tuple(found)


def without(spans: Spans, holes: Spans) -> Spans:
    """The instants of `spans` that are in none of `holes`."""
    left: list[Span] = []
    for start, end in spans:
        begin = start
        for hole_start, hole_end in holes:
            if begin < hole_end and hole_start < end:
                left.append((begin, hole_start))
                begin = max(begin, hole_end)
        left.append((begin, end))
    return tuple(span for span in left if span[0] < span[1])


def clipped(spans: Iterable[Span], start: int, end: int) -> Iterator[Span]:
    return ((max(a, start), min(b, end)) for a, b in spans)


def following(page_of: Callable[[int], Spans], second: int, pages: int) -> Iterator[Span]:
    """The spans that end after `second`, in order, over so many pages. One that goes on over the edge of a page is one span."""
    first, held = second // PAGE, None
    for page in range(first, first + pages):
        spans = page_of(page)
        for start, end in spans[bisect_right(spans, second, key=lambda span: span[1]) :]:
            if held and start > held[1]:
                yield held
                held = None
            held = (held[0], end) if held else (start, end)
        if held and held[1] < (page + 1) * PAGE:
            yield held
            held = None
    if held:
        yield held


def instant(wall: datetime, zone: tzinfo) -> int:
    """The second at which clocks of `zone` show `wall`, as RFC 5545 has it (3.3.5).

    Of a time that comes twice the first; a time that is left out is read with the offset before the gap.
    """
    moment = wall.replace(tzinfo=zone, fold=0)
    second = second_of(moment)
    if datetime.fromtimestamp(second, zone).replace(tzinfo=None, fold=0) == wall.replace(microsecond=0, fold=0):
        return second
    before = (moment - _LONGER_THAN_A_GAP).utcoffset() or timedelta(0)
    return second_of(wall.replace(tzinfo=UTC, fold=0) - before)
