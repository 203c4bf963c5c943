"""What is different between two documents, place by place: for people who have to see why a plan is not the one they approved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, takewhile, zip_longest
from typing import Any, NamedTuple

MOST = 50  # places; who changed more than that looks at the documents
MAX_TEXT = 200

MISSING = object()


class Change(NamedTuple):
    """`path` is dotted ("steps.0.with.unit"); a value is None where there was, or is, nothing."""

    path: str
    before: Any
    after: Any

    @property
    def words(self) -> str:
        return f"{self.path} was {_short(self.before)} and is {_short(self.after)}"


def changes(before: Any, after: Any) -> list[Change]:
    """The places where they differ, at most `MOST`, in the order of their paths."""
    return list(islice(_walk(before, after, ""), MOST))


def words(found: Iterable[Change]) -> str:
    return "; ".join(change.words for change in found)


def _walk(before: Any, after: Any, path: str) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            yield from _walk(before.get(key, MISSING), after.get(key, MISSING), f"{path}.{key}" if path else key)
    elif isinstance(before, list) and isinstance(after, list):
        same = _same_end(before, after) if len(before) != len(after) else 0
        pairs = zip_longest(before[: len(before) - same], after[: len(after) - same], fillvalue=MISSING)
        for position, pair in enumerate(pairs):
            yield from _walk(*pair, f"{path}.{position}")
    elif before != after:
        yield Change(path, None if before is MISSING else before, None if after is MISSING else after)


def _same_end(before: list[Any], after: list[Any]) -> int:
    """How many elements two lists end with alike: what is put in or taken out before them does not make others of them."""
    pairs = zip(reversed(before), reversed(after), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _short(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"
