"""Tools that are not ours read what we give out: docs/how-to/verify_log.py, which has the standard library and openssl only."""

from __future__ import annotations

import runpy
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from django.urls import reverse

from healing.ledger import selectors
from healing.ledger.export import export
from healing.models import LedgerEntry, LedgerHead, LedgerKey, LedgerTile, User

SCRIPT = Path(__file__).parents[3] / "docs" / "how-to" / "verify_log.py"

pytestmark = [pytest.mark.django_db, pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl here")]


@pytest.fixture
def outside() -> Callable[..., int]:
    main = runpy.run_path(str(SCRIPT))["main"]
    return lambda *arguments: main([LedgerKey.objects.get().vkey, *map(str, arguments)])


@pytest.fixture
def exported(grow, tmp_path) -> Path:
    """An export of 600 entries, and the head at 300 kept elsewhere."""
    grow(300)
    (tmp_path / "older").write_text(LedgerHead.objects.first().note)
    grow(300)
    export(tmp_path / "out")
    return tmp_path / "out"


def test_an_export_has_the_files_of_tlog_tiles(exported):
    files = sorted(str(path.relative_to(exported / "tile")) for path in (exported / "tile").rglob("*") if path.is_file())
    assert files == ["0/000", "0/001", "0/002.p/88", "1/000.p/2", "entries/000", "entries/001", "entries/002.p/88"]
    stored = LedgerTile.objects.order_by("index")
    assert [(exported / "tile/0/000").read_bytes(), (exported / "tile/0/001").read_bytes()] == [bytes(t.hashes) for t in stored]
    assert (exported / "tile/1/000.p/2").read_bytes() == b"".join(bytes(tile.root) for tile in stored)
    leaf = bytes(LedgerEntry.objects.get(index=512).leaf)
    assert (exported / "tile/entries/002.p/88").read_bytes().startswith(len(leaf).to_bytes(2) + leaf)


def test_an_export_is_verified_without_any_of_our_code(exported, outside, capsys):
    older = exported.parent / "older"
    assert outside(exported, older) == 0
    assert capsys.readouterr().out == "good: 600 entries, as signed\n"
    bundle = exported / "tile/entries/001"
    bundle.write_bytes(bundle.read_bytes().replace(b"tester", b"rester", 1))
    with pytest.raises(SystemExit, match="the tree of 600 entries is not the one that was signed"):
        outside(exported)
    older.write_text(older.read_text().replace("\n300\n", "\n301\n"))
    with pytest.raises(SystemExit, match="the signature of the tree head is wrong"):
        outside(exported, older)


def test_a_proof_is_verified_without_any_of_our_code(grow, outside, tmp_path, capsys):
    grow(7)
    file = tmp_path / "entry.tlog-proof"
    for index in (0, 3, 6):
        text = selectors.proof_text(index)
        file.write_text(text)
        assert outside(file) == 0
        leaf = bytes(LedgerEntry.objects.get(index=index).leaf)
        assert capsys.readouterr().out == f"good: entry {index} of 7 is\n{leaf.decode()}\n"
    file.write_text(text.replace("index 6", "index 5"))
    with pytest.raises(SystemExit, match="entry 5 is not shown"):
        outside(file)


def test_the_page_of_an_entry_gives_a_proof_that_is_verified_without_any_of_our_code(grow, outside, tmp_path, client, capsys):
    grow(3)
    client.force_login(User.objects.create_superuser("root"))
    address = reverse("admin:healing_ledgerentry_proof", args=[2])
    assert f'href="{address}"' in client.get(reverse("admin:healing_ledgerentry_change", args=[2])).content.decode()
    answer = client.get(address)
    assert answer["Content-Disposition"] == 'attachment; filename="2.tlog-proof"'
    (tmp_path / "2.tlog-proof").write_bytes(answer.content)
    assert outside(tmp_path / "2.tlog-proof") == 0
    assert "good: entry 2 of 3 is" in capsys.readouterr().out
    assert client.get(reverse("admin:healing_ledgerentry_proof", args=[3])).status_code == 404
    client.logout()
    assert client.get(address).status_code == 302
