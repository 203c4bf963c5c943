"""`selfheal advise anomaly` over files, in this process. It needs no home."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from random import Random

import pytest

from config.cli import run

HEAD = "timestamp,value\n"


def made(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def series(length: int = 900) -> list[tuple[str, float]]:
    random = Random(3)
    return [
        (f"2026-11-{1 + index // 288:02} {index // 12 % 24:02}:{index % 12 * 5:02}:00", round(50 + random.gauss(0, 1), 3))
        for index in range(length)
    ]


def test_each_row_is_printed_as_it_was_with_its_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = series()
    points[800] = (points[800][0], 99.0)
    file = made(tmp_path / "cpu.csv", HEAD + "".join(f"{at},{value}\n" for at, value in points))
    assert run(["advise", "anomaly", file]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["timestamp"], float(row["value"])) for row in rows] == points
    scores = [float(row["anomaly_score"]) for row in rows]
    assert max(range(len(rows)), key=scores.__getitem__) == 800
    assert scores[800] > 0.9


def test_columns_may_stand_in_another_order_among_others_and_values_may_be_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = made(
        tmp_path / "x.csv", "\ufeffhost,Value,Timestamp\r\na,1,1700000000\r\n\r\na,,1700000060\r\na,NaN,2023-11-14T22:15:20Z\r\n"
    )
    assert run(["advise", "anomaly", file]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == ["1700000000", "1700000060", "2023-11-14T22:15:20Z"]
    assert lines[2].endswith(",0.000000")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "x.csv:1:1: the first line must name the columns timestamp and value"),
        ("time,value\n1,2\n", "x.csv:1:1: the first line must name the columns timestamp and value"),
        (HEAD + "1,2\nyesterday,3\n", "x.csv:3:1: 'yesterday' is no time"),
        (HEAD + "1,2\n2,high\n", "x.csv:3:1: 'high' is no number"),
        (HEAD + "1\n", "x.csv:2:1: 1 columns, the first line names 2"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    assert run(["advise", "anomaly", made(tmp_path / "x.csv", text)]) == 1
    assert said in capsys.readouterr().err


def test_a_file_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["advise", "anomaly", str(tmp_path / "none.csv")]) == 1
    assert "none.csv: No such file" in capsys.readouterr().err


def test_times_that_go_back_are_scored_in_the_order_of_arrival_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = made(tmp_path / "x.csv", HEAD + "100,1\n200,2\n150,3\n300,4\n")
    assert run(["advise", "anomaly", file]) == 0
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 5
    assert "1 of 4 rows is earlier than the one before it" in told.err


def test_an_infinite_value_counts_as_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["advise", "anomaly", made(tmp_path / "x.csv", HEAD + f"1,2\n2,{math.inf}\n")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2,inf,0.000000"


def test_a_forecast_has_a_row_for_each_step_with_its_intervals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = made(tmp_path / "cpu.csv", HEAD + "".join(f"{at},{value}\n" for at, value in series(864)))
    assert run(["advise", "forecast", file, "--steps", "3", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["forecast"]
    assert [row["timestamp"] for row in rows] == [f"2026-11-04T00:{minute:02}:00+00:00" for minute in (0, 5, 10)]
    for row in rows:
        assert row["low95"] <= row["low80"] <= row["value"] <= row["high80"] <= row["high95"]
        assert 49 < row["value"] < 51


def test_a_forecast_for_people_is_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = made(tmp_path / "cpu.csv", HEAD + "".join(f"{at},{value}\n" for at, value in series(100)))
    assert run(["advise", "forecast", file, "--steps", "2"]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("low80", "high95", "2026-11-01T08:25"))


def test_a_forecast_of_too_little_or_too_far_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = made(tmp_path / "cpu.csv", HEAD + "1,1\n2,2\n")
    assert run(["advise", "forecast", file]) == 1
    assert "a forecast needs 10" in capsys.readouterr().err
    file = made(tmp_path / "more.csv", HEAD + "".join(f"{at},1\n" for at in range(20)))
    assert run(["advise", "forecast", file, "--steps", "99999"]) == 1
    assert "steps: must be at most 2016" in capsys.readouterr().err
