from __future__ import annotations

from pathlib import Path

import pytest

from config import broker


def test_directories_are_made_private(tmp_path: Path) -> None:
    broker.prepare(tmp_path / "run" / "broker.sock", tmp_path / "data")
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("run", "data")] == [0o700, 0o700]


def test_a_directory_that_others_may_enter_is_tightened(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    broker.private_dir(tmp_path / "run")
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700


def test_a_link_that_somebody_laid_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(broker.BrokerError, match="not a directory of yours"):
        broker.private_dir(tmp_path / "run")


def test_the_directory_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(broker.os, "getuid", lambda: 4711)
    with pytest.raises(broker.BrokerError, match="not a directory of yours"):
        broker.private_dir(tmp_path / "run")


def test_a_new_up_forgets_the_messages_of_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "appendonly.aof").write_text("old")
    broker.prepare(tmp_path / "run" / "broker.sock", tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


def test_a_broker_that_does_not_answer_is_an_error_that_names_its_socket(tmp_path: Path) -> None:
    with pytest.raises(broker.BrokerError, match=r"does not answer on .*none\.sock"):
        broker.wait(tmp_path / "none.sock", seconds=0.1)
