"""Heads are pushed to directories, repositories and HTTP servers, each by itself; a log that was written anew is refused."""

from __future__ import annotations

import json
import logging
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from config.cli import run
from healing import findings, metrics, tasks
from healing.ledger import git, guards, kept, pushing, selectors
from healing.models import LedgerEntry, LedgerHead, LedgerKey, LedgerPlace, LedgerTile, Notification
from selfheal.errors import LedgerError
from selfheal.signing import Signer

from .outside_servers import Keeper, SmallWitness, serving

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def home(settings, tmp_path: Path) -> Path:
    settings.SELF_HEAL_HOME = tmp_path / "home"
    return settings.SELF_HEAL_HOME


@pytest.fixture
def directory(settings, tmp_path: Path) -> Path:
    settings.SELF_HEAL_LOG_PUSH = [f"file://{tmp_path}/kept"]
    return tmp_path / "kept"


@pytest.fixture
def repository(tmp_path: Path) -> str:
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "heads.git"], check=True)
    return f"file://{tmp_path}/heads.git"


@pytest.fixture
def rewrite(write, grow) -> Callable[[int], None]:
    """Another log of the same key."""

    def anew(length: int) -> None:
        guards.remove()
        for model in (LedgerHead, LedgerEntry, LedgerTile, LedgerKey):
            model.objects.all().delete()
        guards.install()
        write(1, actor="mallory")
        grow(length - 1)

    return anew


def push_all(at: datetime) -> dict[str, LedgerPlace]:
    found = [pushing.push(row.name, at, now=True) for _, row in pushing.rows(at)]
    return {row.name: row for row in found if row is not None}


def only(at: datetime) -> LedgerPlace:
    (row,) = push_all(at).values()
    return row


def test_a_directory_has_a_file_for_each_head(directory, grow, at):
    for count in (3, 4):
        grow(count)
        assert only(at).error == ""
    assert [path.name for path in kept.files(directory)] == ["3.checkpoint", "7.checkpoint"]
    assert run(["log", "verify", "--kept", str(directory)]) == 0


def test_a_repository_has_a_commit_for_each_head(settings, repository, grow, at):
    settings.SELF_HEAL_LOG_PUSH = [f"git+{repository}"]
    for count in (3, 4):
        grow(count)
        assert only(at).error == ""
    notes = [head.note for head in LedgerHead.objects.order_by("-size")]
    assert git.history(repository) == notes
    assert run(["log", "verify", "--kept", f"git+{repository}"]) == 0


def test_an_http_server_gets_each_head_by_put_or_by_post(settings, grow, at, tmp_path):
    settings.SELF_HEAL_SECRETS_DIR = tmp_path
    (tmp_path / "store").write_text("s3cret\n")
    grow(3)
    keeper = Keeper()
    with serving(keeper.answer, keeper.tokens) as url:
        settings.SELF_HEAL_LOG_PUSH = [f"put+{url}/heads/ ${{secret.store}}", f"post+{url}/inbox"]
        assert {row.error for row in push_all(at).values()} == {""}
        assert keeper.kept == dict.fromkeys((("PUT", "/heads/3.checkpoint"), ("POST", "/inbox")), selectors.last_head().note)
        assert keeper.tokens == ["Bearer s3cret", ""]
        assert run(["log", "verify", "--kept", f"{url}/heads/3.checkpoint"]) == 0


@pytest.mark.parametrize("kind", ["file", "git", "put", "post"])
def test_a_log_that_was_written_anew_is_refused_and_nothing_is_pushed(
    kind, settings, repository, grow, rewrite, at, tmp_path, caplog
):
    keeper = Keeper()
    with serving(keeper.answer) as url:
        places = {"file": f"file://{tmp_path}/kept", "git": f"git+{repository}", "put": f"put+{url}/a", "post": f"post+{url}/a"}
        settings.SELF_HEAL_LOG_PUSH = [places[kind]]
        grow(3)
        only(at)
        rewrite(5)
        LedgerPlace.objects.update(note="", size=0)  # whoever writes the database anew writes this anew too
        with caplog.at_level(logging.ERROR):
            row = only(at)
        assert row.refused
        assert "written anew" in row.error
        assert "written anew" in caplog.text
        assert len(keeper.kept) == (kind in ("put", "post"))
    if kind == "git":
        assert len(git.history(repository)) == 1
    if kind == "file":
        assert len(kept.files(tmp_path / "kept")) == 1


@pytest.mark.parametrize("kind", ["file", "git"])
def test_what_lies_there_is_asked_even_if_all_of_ours_is_forgotten(kind, settings, repository, grow, rewrite, at, home, tmp_path):
    settings.SELF_HEAL_LOG_PUSH = [f"file://{tmp_path}/kept" if kind == "file" else f"git+{repository}"]
    grow(3)
    only(at)
    rewrite(5)
    LedgerPlace.objects.all().delete()
    for file in (home / "pushed").iterdir():
        file.unlink()
    assert only(at).refused


@pytest.mark.parametrize("where", ["file", "directory", "url", "git"])
def test_verify_with_any_kept_head_catches_a_log_that_was_written_anew(where, repository, grow, rewrite, tmp_path, capsys):
    grow(3)
    note = selectors.last_head().note
    kept.keep(tmp_path / "kept")
    git.push(repository, note, "three", lambda before: None)
    rewrite(9)
    keeper = Keeper()
    keeper.kept["PUT", "/head"] = note
    with serving(keeper.answer) as url:
        address = {
            "file": str(tmp_path / "kept" / "3.checkpoint"),
            "directory": str(tmp_path / "kept"),
            "url": f"{url}/head",
            "git": f"git+{repository}",
        }[where]
        assert run(["log", "verify"]) == 0
        assert run(["log", "verify", "--kept", address]) == 1
    assert "a head of size 3 that is not in this log: it was written anew" in capsys.readouterr().out


def test_what_is_kept_nowhere_is_said_to_be_no_tree_head(grow, tmp_path, capsys):
    grow(3)
    for address in (str(tmp_path / "none"), f"git+file://{tmp_path}/none", "http://127.0.0.1:1/none"):
        assert run(["log", "verify", "--kept", address]) == 1
        assert "has no tree head" in capsys.readouterr().err


def test_a_rolled_back_log_is_refused_until_it_is_back(directory, grow, at, signer):
    grow(3)
    grow(4)
    only(at)
    last = LedgerHead.objects.first()
    guards.remove()
    LedgerHead.objects.filter(size=7).delete()
    guards.install()
    row = only(at)
    assert row.refused
    assert "rolled back: it has 3 entries" in row.error
    last.save(force_insert=True)
    row = only(at)
    assert (row.refused, row.error, row.failures) == (False, "", 0)


def test_what_fails_is_tried_again_later_and_later_and_keeps_its_error(settings, grow, at):
    keeper = Keeper()
    keeper.status = 503
    settings.SELF_HEAL_LOG_PUSH_MIN = 5
    grow(3)
    with serving(keeper.answer) as url:
        settings.SELF_HEAL_LOG_PUSH = [f"post+{url}"]
        pushing.rows(at)
        waits = []
        for _ in range(4):
            row = pushing.push(f"post+{url}", at, now=True)
            assert row.error == f"post+{url} answered 503"
            waits.append(row.due_at - at)
        assert waits == [MINUTE, 2 * MINUTE, 4 * MINUTE, 5 * MINUTE]
        assert row.succeeded_at is None
        keeper.status = 204
        row = pushing.push(f"post+{url}", at + 5 * MINUTE)
        assert (row.error, row.failures, row.succeeded_at, row.due_at) == ("", 0, at + 5 * MINUTE, at + 10 * MINUTE)


def test_one_that_is_not_due_or_is_claimed_by_another_is_left_alone(directory, grow, at):
    grow(3)
    (name,) = pushing.due(at)
    LedgerPlace.objects.update(due_at=at + pushing.CLAIMED)  # as the worker that has it left it
    assert pushing.push(name, at) is None
    assert pushing.push("nobody", at) is None
    assert not directory.exists()


def test_a_place_that_fails_holds_up_no_other(settings, repository, grow, at, tmp_path, monkeypatch):
    grow(3)
    (tmp_path / "a-file").write_text("")
    settings.SELF_HEAL_LOG_PUSH = [
        f"file://{tmp_path}/a-file/x",
        f"git+file://{tmp_path}/none",
        "put+http://127.0.0.1:1",
        f"git+{repository}",
    ]
    sent: list[str] = []
    monkeypatch.setattr(tasks.push_head, "delay", sent.append)
    tasks.push_heads()
    assert sent == settings.SELF_HEAL_LOG_PUSH
    for name in sent:
        tasks.push_head(name)
    failed = dict(LedgerPlace.objects.values_list("name", "failures"))
    assert failed == dict.fromkeys(sent[:3], 1) | {sent[3]: 0}
    grow(2)
    assert selectors.size() == 5


def test_a_place_waits_until_the_witnesses_were_asked_and_is_given_what_they_signed(settings, signer, grow, at, tmp_path):
    small = SmallWitness(signer.verifier.vkey)
    settings.SELF_HEAL_LOG_PUSH = [f"file://{tmp_path}/kept"]
    grow(3)
    with serving(lambda method, path, body: small.add_checkpoint(body)) as url:
        settings.SELF_HEAL_LOG_WITNESSES = [f"{small.signer.witness.vkey} {url}"]
        assert list(pushing.due(at)) == ["witness.example.com/w1"]
        pushing.push("witness.example.com/w1", at)
        grow(2)
        assert list(pushing.due(at)) == [f"file://{tmp_path}/kept"]
        pushing.push(f"file://{tmp_path}/kept", at)
    (path,) = kept.files(tmp_path / "kept")
    assert path.name == "3.checkpoint"
    assert small.signer.witness.find_in(path.read_text())


def test_a_witness_that_fails_keeps_no_place_waiting(settings, grow, at, tmp_path):
    small = SmallWitness(Signer("other", bytes(32)).verifier.vkey)
    settings.SELF_HEAL_LOG_WITNESSES = [f"{small.signer.witness.vkey} http://127.0.0.1:1"]
    settings.SELF_HEAL_LOG_PUSH = [f"file://{tmp_path}/kept"]
    grow(3)
    pushing.rows(at)
    assert pushing.push("witness.example.com/w1", at).error
    later = at + 10 * MINUTE
    LedgerPlace.objects.update(due_at=at)
    assert list(pushing.due(later)) == ["witness.example.com/w1", f"file://{tmp_path}/kept"]


def test_a_refusal_is_told_to_people_once_and_is_wrong_for_the_doctor_and_in_the_metrics(settings, directory, grow, rewrite, at):
    settings.SELF_HEAL_NOTIFY_URLS = ["json://localhost"]
    grow(3)
    only(at)
    assert findings.log_places().ok
    rewrite(3)
    for _ in range(2):
        only(at)
    assert list(Notification.objects.values_list("event", flat=True)) == ["log.refused"]
    found = findings.log_places()
    assert not found.ok
    assert "written anew" in found.found
    assert f'selfheal_ledger_push_failing{{place="file://{directory}"}} 2.0' in metrics.text(at).decode()


def test_the_command_pushes_to_all_at_once_and_says_how_it_went(directory, grow, capsys):
    assert run(["log", "push", "nobody"]) == 1
    assert "no witness or place 'nobody'" in capsys.readouterr().err
    grow(3)
    assert run(["log", "push"]) == 0
    assert run(["log", "status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.partition("\n{")[2].join(("{", "")))
    assert (found["size"], [place["size"] for place in found["places"]]) == (3, [3])


def test_git_that_is_not_done_in_time_is_ended(monkeypatch, tmp_path):
    monkeypatch.setattr(git, "SECONDS", 0.2)
    monkeypatch.setenv("GIT_SSH_COMMAND", "sleep 600 #")
    monkeypatch.setattr(git, "_QUIET", {})
    with pytest.raises(LedgerError, match="was not done within"):
        git.history("ssh://localhost/none")


def test_a_symbolic_link_in_the_repository_leads_nowhere(repository, grow, tmp_path):
    grow(3)
    outside = tmp_path / "outside"
    outside.write_text("ours")
    work = tmp_path / "work"
    who = ["-c", "user.name=x", "-c", "user.email=x@x"]
    subprocess.run(["git", "clone", "--quiet", repository, work], check=True, capture_output=True)
    (work / git.FILE).symlink_to(outside)
    for arguments in (["add", "."], [*who, "commit", "-qm", "x"], ["push", "-q", "origin", "HEAD"]):
        subprocess.run(["git", *arguments], cwd=work, check=True, capture_output=True)
    read: list[str] = []
    git.push(repository, "note", "x", read.append)
    assert read == [str(outside)]
    assert outside.read_text() == "ours"
