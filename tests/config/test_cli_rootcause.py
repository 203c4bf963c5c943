"""`selfheal advise rootcause`: from files to a ranking, with no home, settings or database."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from config.cli import run

Command = Callable[..., tuple[int, str, str]]
GRAPH = ",shop,pay\nshop,0,1\npay,0,0\n"
HEAD = "microservice,shop,pay\nmetric,latency,latency\nstatistic,Average,Average\nunix_timestamp,,\n"
NORMAL = HEAD + "".join(f"{60 * index},0.2,0.1\n" for index in range(1, 20))
INCIDENT = HEAD + "6000,0.2,0.1\n6060,1.2,1.1\n6120,1.3,1.2\n"
TARGET = '{"node": "shop", "metric": "latency", "agg": "Average", "timestamp": 6060}'


@pytest.fixture
def rootcause(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "graph.csv").write_text(GRAPH)
    (tmp_path / "normal.csv").write_text(NORMAL)
    (tmp_path / "incident.csv").write_text(INCIDENT)

    def carry_out(*more: str, target: str = TARGET, **files: str) -> tuple[int, str, str]:
        named = [f"--{name}={tmp_path / files.get(name, name + '.csv')}" for name in ("graph", "normal", "incident")]
        return run(["advise", "rootcause", *named, "--target", target, *more]), *capsys.readouterr()

    return carry_out


def test_for_programs_it_is_a_ranking_of_nodes_with_score_and_reasons(rootcause: Command) -> None:
    ranking = json.loads(rootcause("--json")[1])["ranking"]
    assert [sorted(each) for each in ranking] == [["node", "reasons", "score"]] * 2


def test_the_first_of_the_ranking_is_the_root(rootcause: Command) -> None:
    assert json.loads(rootcause("--json")[1])["ranking"][0]["node"] == "pay"


def test_for_people_it_is_a_table_with_the_root_first(rootcause: Command) -> None:
    status, said, _ = rootcause()
    assert (status, said.splitlines()[1].split()[0]) == (0, "pay")


def test_files_may_be_gzipped(rootcause: Command, tmp_path: Path) -> None:
    (tmp_path / "normal.csv.gz").write_bytes(gzip.compress(NORMAL.encode()))
    assert rootcause("--json", normal="normal.csv.gz")[1] == rootcause("--json")[1]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("bad.csv", INCIDENT.replace("1.1", "slow").encode(), "bad.csv:6:3: 'slow' is no number"),
        ("bad.csv", b"\xff\xfe", "bad.csv: is not text in UTF-8"),
        ("bad.csv.gz", INCIDENT.encode(), "bad.csv.gz: is not gzipped, or cut off"),
        ("", b"", ": Is a directory"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_line_and_column(
    rootcause: Command, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    if name:
        (tmp_path / name).write_bytes(content)
    status, _, error = rootcause(incident=name)
    assert (status, said in error) == (1, True), error


def test_a_target_that_is_no_object_is_refused(rootcause: Command) -> None:
    assert rootcause(target="[]")[0] == 1
