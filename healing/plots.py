"""Plots as inline SVG, drawn on the server: nothing is fetched, colours come from the stylesheet, the numbers stand beside them.

Rules that this module keeps:
1. Every text is escaped; a plot has a title and a description for those who hear it, and a table with the same numbers.
2. Nothing here asks a database or a clock: numbers in, markup out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

Value = float | None  # None: there was nothing to measure
Text = Callable[[float], str]

WIDTH, HEIGHT = 360.0, 150.0
LEFT, RIGHT, TOP, BOTTOM = 38.0, 4.0, 8.0, 18.0
LABELS = 6  # along the bottom, about
ROW = 30.0  # of a plot of bars that lie


@dataclass(frozen=True)
class Series:
    """One kind of value over the labels; `colour` is a class of the stylesheet."""

    name: str
    colour: str
    values: Sequence[Value]


@dataclass(frozen=True)
class Plot:
    key: str  # unique on its page
    title: str
    description: str
    series: tuple[Series, ...]
    svg: SafeString
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    empty: str  # what to say where there is nothing to draw


def bars(key: str, title: str, labels: Sequence[str], series: Sequence[Series], *, empty: str) -> Plot:
    """Bars side by side over each label: counts."""
    top = nice(max((value or 0 for each in series for value in each.values), default=0))
    slot = (WIDTH - LEFT - RIGHT) / max(len(labels), 1)
    width = slot * 0.8 / max(len(series), 1)
    marks = [
        format_html(
            '<rect class="sh-{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>',
            each.colour, _n(LEFT + slot * (place + 0.1) + width * turn), _n(_y(value, top)), _n(width),
            _n(HEIGHT - BOTTOM - _y(value, top)), f"{labels[place]}: {each.name} {value:g}",
        )
        for turn, each in enumerate(series)
        for place, value in enumerate(each.values)
        if value
    ]  # fmt: skip
    return _plot(key, title, labels, series, [*_scale(top, _count), *_below(labels), *marks], _count, empty)


def lines(
    key: str, title: str, labels: Sequence[str], series: Sequence[Series], *, text: Text, empty: str, top: float = 0
) -> Plot:
    """A line a series with a dot a value; where nothing was measured it has a gap. Lengths of time in seconds, or else `top`
    says what the highest value can be."""
    top = top or round_time(max((value or 0 for each in series for value in each.values), default=0))
    slot = (WIDTH - LEFT - RIGHT) / max(len(labels), 1)
    marks = []
    for each in series:
        points = [
            (LEFT + slot * (place + 0.5), _y(value, top)) if value is not None else None
            for place, value in enumerate(each.values)
        ]
        marks += [
            format_html(
                '<polyline class="sh-stroke sh-{}" points="{}"/>', each.colour, " ".join(f"{_n(x)},{_n(y)}" for x, y in run)
            )
            for run in _runs(points)
        ]
        marks += [
            format_html(
                '<circle class="sh-{}" cx="{}" cy="{}" r="2.5"><title>{}</title></circle>',
                each.colour, _n(point[0]), _n(point[1]), f"{labels[place]}: {each.name} {text(each.values[place] or 0)}",
            )
            for place, point in enumerate(points)
            if point
        ]  # fmt: skip
    return _plot(key, title, labels, series, [*_scale(top, text), *_below(labels), *marks], text, empty)


def lying(key: str, title: str, labels: Sequence[str], series: Sequence[Series], *, empty: str) -> Plot:
    """A bar for each label, of the parts that the series are; the label stands above it."""
    sums = [sum(each.values[place] or 0 for each in series) for place in range(len(labels))]
    top, marks = max(sums, default=0) or 1, []
    for place, label in enumerate(labels):
        y, x = ROW * place, 0.0
        marks.append(format_html('<text x="0" y="{}">{}</text>', _n(y + 11), label[:60]))
        marks.append(format_html('<text x="{}" y="{}" text-anchor="end">{}</text>', _n(WIDTH), _n(y + 11), _count(sums[place])))
        for each in series:
            value = each.values[place] or 0
            width = WIDTH * value / top
            if value:
                marks.append(
                    format_html(
                        '<rect class="sh-{}" x="{}" y="{}" width="{}" height="8"><title>{}</title></rect>',
                        each.colour, _n(x), _n(y + 15), _n(width), f"{label}: {each.name} {_count(value)}",
                    )
                )  # fmt: skip
            x += width
    return _plot(key, title, labels, series, marks, _count, empty, max(ROW * len(labels), 1))


def nice(value: float) -> float:
    """The least of 1, 2, 5, 10, 20 … that is no less."""
    if value <= 1:
        return 1
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)


def round_time(seconds: float) -> float:
    """The least round length of time that is no less: 20 s, 10 min, 2 h, 5 days."""
    for unit, most in ((1, 60), (60, 3600), (3600, 48 * 3600)):
        if seconds <= most / 2:
            return nice(seconds / unit) * unit if seconds > unit else unit
        if seconds <= most:
            return most
    return nice(seconds / 86400) * 86400


def percentile(values: Sequence[float], share: float) -> Value:
    """The nearest rank: the least value that `share` of them do not exceed; None of none."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)] if ordered else None


def _plot(
    key: str,
    title: str,
    labels: Sequence[str],
    series: Sequence[Series],
    marks: Iterable[SafeString],
    text: Text,
    empty: str,
    height: float = HEIGHT,
) -> Plot:
    measured = any(value for each in series for value in each.values)
    description = _said(labels, series, text) if measured else empty
    svg = format_html(
        '<svg class="sh-plot" viewBox="0 0 {} {}" role="img" aria-labelledby="{}-title {}-desc">'
        '<title id="{}-title">{}</title><desc id="{}-desc">{}</desc>{}</svg>',
        _n(WIDTH), _n(height), key, key, key, title, key, description, mark_safe("".join(marks)),  # noqa: S308 - each is escaped
    )  # fmt: skip
    rows = tuple((label, *(_cell(each.values[place], text) for each in series)) for place, label in enumerate(labels))
    columns = ("", *(each.name for each in series))
    return Plot(
        key, title, description, tuple(series), svg if measured else SafeString(), columns, rows, "" if measured else empty
    )


def _said(labels: Sequence[str], series: Sequence[Series], text: Text) -> str:
    """`opened: at most 4, at 14:00; healed: at most 3, at 15:00`."""
    said = []
    for each in series:
        value, place = max(((value or 0, -place) for place, value in enumerate(each.values)), default=(0, 0))
        said.append(f"{each.name}: at most {text(value)}, {labels[-place]}" if value else f"{each.name}: nothing")
    return "; ".join(said)


def _scale(top: float, text: Text) -> list[SafeString]:
    """Lines across with what they stand for."""
    marks = []
    for value in (0.0, top) if top <= 1 else (0.0, top / 2, top):
        y = _y(value, top)
        line = '<line class="sh-grid-line" x1="{}" x2="{}" y1="{}" y2="{}"/><text x="{}" y="{}" text-anchor="end">{}</text>'
        marks.append(format_html(line, _n(LEFT), _n(WIDTH - RIGHT), _n(y), _n(y), _n(LEFT - 3), _n(y + 3), text(value)))
    return marks


def _below(labels: Sequence[str]) -> list[SafeString]:
    slot = (WIDTH - LEFT - RIGHT) / max(len(labels), 1)
    every = max(math.ceil(len(labels) / LABELS), 1)
    return [
        format_html('<text x="{}" y="{}" text-anchor="middle">{}</text>', _n(LEFT + slot * (place + 0.5)), _n(HEIGHT - 5), label)
        for place, label in enumerate(labels)
        if place % every == every // 2
    ]


def _runs(points: Sequence[tuple[float, float] | None]) -> list[list[tuple[float, float]]]:
    """The points in pieces without a gap, of two at least."""
    runs: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if point is None:
            runs.append([])
        else:
            runs[-1].append(point)
    return [run for run in runs if len(run) > 1]


def _y(value: float, top: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _count(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


def _cell(value: Value, text: Text) -> str:
    return "–" if value is None else text(value)
