"""What the advisers say about a file, which needs no home, no settings and no database; and how they stand, which does."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from config.cli.base import Json, fail, print_json, print_table

if TYPE_CHECKING:
    from selfheal.series import Point

Series = Annotated[Path, typer.Argument(metavar="FILE.csv", help="with the columns timestamp and value, in the order of time")]
Scored = tuple[str, str, float]  # timestamp and value as the file has them, score
T = TypeVar("T")
SHOWN = 0.001  # a node that less comes from is left out of the table
app = typer.Typer()


class Forecaster(StrEnum):
    """Who forecasts."""

    FORECAST = "forecast"
    DEEP = "deep"


@app.command()
def anomaly(file: Series, as_json: Annotated[bool, Json] = False) -> None:
    """Print timestamp,value,anomaly_score (0 to 1) for each row, from what came before it."""
    from selfheal.anomaly import Scorer

    scorer = Scorer()
    rows = back = 0
    before = float("-inf")
    say = _as_json if as_json else _as_csv
    say(None)
    for at, value, point in _rows(file):
        say((at, value, scorer.score(*point)))
        rows += 1
        back += point.at < before
        before = point.at
    if back:
        said = f"{back} of {rows} rows {'is' if back == 1 else 'are'} earlier than the one before it"
        print(f"{said}; scored in the order of the file", file=sys.stderr)


def _as_csv(row: Scored | None) -> None:
    """A row as it comes; None: the head."""
    print("timestamp,value,anomaly_score" if row is None else f"{row[0]},{row[1]},{row[2]:.6f}")


def _as_json(row: Scored | None) -> None:
    """An object a line, as it comes: a file may be long."""
    if row is not None:
        print(json.dumps({"timestamp": row[0], "value": row[1], "anomaly_score": round(row[2], 6)}))


@app.command()
def forecast(
    file: Series,
    steps: Annotated[int, typer.Option(help="so many steps after the last row; a step is the usual distance of two rows")] = 12,
    by: Annotated[
        Forecaster, typer.Option("--with", help="deep: a small neural network, of the extra of that name")
    ] = Forecaster.FORECAST,
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Say what comes next, with intervals that hold with 80 % and 95 %."""
    from datetime import UTC, datetime

    if by is Forecaster.DEEP:
        from learning.advisers.deep import forecast as look_ahead
    else:
        from selfheal.forecast import forecast as look_ahead

    names = ("value", "low80", "high80", "low95", "high95")
    rows = [
        {"timestamp": datetime.fromtimestamp(each.at, UTC).isoformat(), **{name: getattr(each, name) for name in names}}
        for each in look_ahead([point for _, _, point in _rows(file)], steps)
    ]
    if as_json:
        print_json({"forecast": rows})
        return
    print_table(("timestamp", *names), [[row["timestamp"], *(f"{row[name]:g}" for name in names)] for row in rows], "")


@app.command()
def rootcause(
    graph: Annotated[Path, typer.Option(metavar="FILE.csv", help="who calls whom: a matrix, a line for each caller")],
    normal: Annotated[Path, typer.Option(metavar="FILE.csv", help="the metrics when nothing was wrong")],
    incident: Annotated[Path, typer.Option(metavar="FILE.csv", help="the metrics around the incident")],
    target: Annotated[
        str, typer.Option(metavar="JSON", help='what was seen: {"node": …, "metric": …, "agg": …, "timestamp": …}')
    ],
    as_json: Annotated[bool, Json] = False,
) -> None:
    """Name the node that most of what the target suffers comes from, then the others, with reasons. Files may be gzipped."""
    from selfheal.rootcause import graph_from_csv, metrics_from_csv, rank, target_from_json

    seen = target_from_json(target)
    ranking = rank(_read(graph, graph_from_csv), _read(normal, metrics_from_csv), _read(incident, metrics_from_csv), seen)
    if as_json:
        print_json({"ranking": [{"node": each.node, "score": each.score, "reasons": list(each.reasons)} for each in ranking]})
        return
    rows = [(each.node, f"{each.score:.1%}", "; ".join(each.reasons)) for each in ranking if each.score >= SHOWN]
    print_table(("node", "share", "why"), rows, "")


@app.command("list")
def standing(as_json: Annotated[bool, Json] = False) -> None:
    """Say which advisers selfheal asks while it runs, which are switched off, and why."""
    from config.cli.client import connect

    found = connect().get("/api/meta/advisers")["advisers"]
    if as_json:
        print_json(found)
        return
    columns = ("adviser", "asked", "state", "off_until", "reason", "questions", "waiting", "answered_at")
    print_table([name.replace("_", " ") for name in columns], [[row[name] for name in columns] for row in found], "none is asked")


def _read(file: Path, parse: Callable[[Iterable[str], str], T]) -> T:
    import gzip
    import zlib

    opened = gzip.open if file.suffix == ".gz" else open
    try:
        with opened(file, "rt", encoding="utf-8-sig", newline="") as lines:
            return parse(lines, str(file))
    except (gzip.BadGzipFile, zlib.error, EOFError):
        fail(f"{file}: is not gzipped, or cut off")
    except OSError as error:
        fail(f"{file}: {error.strerror}")
    except UnicodeDecodeError:
        fail(f"{file}: is not text in UTF-8")


def _rows(file: Path) -> Iterator[tuple[str, str, Point]]:
    from selfheal.series import from_csv

    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            yield from from_csv(lines, str(file))
    except OSError as error:
        fail(f"{file}: {error.strerror}")
    except UnicodeDecodeError:
        fail(f"{file}: is not text in UTF-8")
