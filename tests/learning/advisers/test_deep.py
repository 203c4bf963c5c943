"""The neural forecaster: the same points, the same forecast; without its extra a line that says how to get it."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from random import Random

import pytest

from config.cli import run
from config.env import ConfigError, load
from learning.advisers import deep
from selfheal.errors import Invalid
from selfheal.series import Point

HOUR, DAY = 3_600.0, 86_400.0
NETWORK = "learning.advisers.network"


def daily(days: int, noise: float = 0.2) -> list[Point]:
    """A point each half an hour, with a season of a day."""
    random = Random(5)
    return [Point(n * HOUR / 2, 10 + 5 * math.sin(2 * math.pi * n / 48) + random.gauss(0, noise)) for n in range(48 * days)]


@pytest.fixture
def without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, NETWORK, raising=False)
    for name in ("sklearn", "sklearn.exceptions", "sklearn.neural_network"):
        monkeypatch.setitem(sys.modules, name, None)


def test_it_learns_a_season(tmp_path: Path) -> None:
    ahead = deep.forecast(daily(14), 48)
    errors = [abs(each.value - (10 + 5 * math.sin(2 * math.pi * (each.at % DAY) / DAY))) for each in ahead]
    assert sum(errors) / len(errors) < 0.5


def test_the_same_points_give_the_same_forecast() -> None:
    points = daily(4)
    assert deep.forecast(points, 12) == deep.forecast(points, 12)


def test_the_intervals_hold_one_another_at_every_step() -> None:
    for each in deep.forecast(daily(6), 40):
        assert each.low95 <= each.low80 <= each.value <= each.high80 <= each.high95


def test_gaps_are_not_made_up_and_times_go_on_after_the_last_point() -> None:
    points = [point for point in daily(6) if not 50 < point.at / HOUR < 60]
    ahead = deep.forecast(points, 2)
    assert [each.at for each in ahead] == [points[-1].at + HOUR / 2, points[-1].at + HOUR]


def test_a_constant_stays_as_it_is() -> None:
    ahead = deep.forecast([Point(60.0 * n, 7.0) for n in range(100)], 5)
    assert all(abs(each.value - 7) < 0.5 for each in ahead)


def test_its_advice_is_the_chance_to_pass_the_limit() -> None:
    rising = [[60.0 * n, float(n)] for n in range(240)]
    near, far = (deep.advise({"points": rising, "limit": limit, "within": 900}).score for limit in (200.0, 2_000.0))
    assert near > 0.9 > 0.1 > far


@pytest.mark.parametrize("points", [[], daily(1)[:30]], ids=["none", "few"])
def test_too_few_points_are_refused(points: list[Point]) -> None:
    with pytest.raises(Invalid, match="points"):
        deep.forecast(points, 3)


def series(folder: Path) -> str:
    file = folder / "cpu.csv"
    file.write_text("timestamp,value\n" + "".join(f"{at},{value}\n" for at, value in daily(2)))
    return str(file)


def test_the_command_line_asks_it_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["advise", "forecast", series(tmp_path), "--steps", "2", "--with", "deep"]) == 0
    assert "low80" in capsys.readouterr().out


@pytest.mark.usefixtures("without_the_extra")
def test_without_the_extra_the_command_line_says_how_to_install_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["advise", "forecast", series(tmp_path), "--with", "deep"]) == 1
    assert "needs the extra: pip install 'selfheal[deep]'" in capsys.readouterr().err


def test_without_the_extra_it_cannot_be_set_as_the_forecaster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("config.env.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"SELF_HEAL_FORECASTER='deep' needs the extra: pip install 'selfheal\[deep\]'"):
        load({"SELF_HEAL_FORECASTER": "deep"})


def test_a_forecaster_that_nobody_knows_is_used_wrongly(tmp_path: Path) -> None:
    assert run(["advise", "forecast", series(tmp_path), "--with", "oracle"]) == 2
