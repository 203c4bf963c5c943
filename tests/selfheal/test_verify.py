from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfheal import exported
from selfheal.__main__ import main
from selfheal.canonical import dumps
from selfheal.errors import LedgerError
from selfheal.exported import verify_export
from selfheal.leaves import Columns, columns
from selfheal.merkle import Frontier, leaf_hash
from selfheal.signing import Signer, b64
from selfheal.verify import Entry, Head, Key, Report, Ring, check, verify

SIGNER = Signer("example.com/log", bytes(range(32)))
OTHER = Signer("example.com/log", bytes(32))
KEYS = [Key(SIGNER.verifier.vkey, 0)]
SIZE = 30


def leaf(index: int, signer: Signer = SIGNER) -> dict:
    key = {"action": "log.key", "payload": {"vkey": signer.verifier.vkey}}
    made = {"actor": "a", "action": "test", "resource": f"r:{index}", "subsystem": "s", "result": "ok", "payload": {"n": index}}
    return made | {"at": "2026-11-25T12:00:00.000000Z"} | (key if index == 0 else {})


def entry(index: int, value: dict, signer: Signer = SIGNER) -> Entry:
    data = dumps(value)
    digest = leaf_hash(data)
    return Entry(index, data, signer.sign_entry(index, digest), signer.verifier.key_id, digest, columns(value))


def heads_of(entries: list[Entry], sizes: tuple[int, ...], signer: Signer = SIGNER) -> list[Head]:
    tree, heads = Frontier(), []
    for one in entries:
        tree.append(leaf_hash(one.leaf))
        if tree.size in sizes:
            heads.append(Head(tree.size, signer.sign_checkpoint(tree.size, tree.root()), tree.root()))
    return heads


ENTRIES = [entry(index, leaf(index)) for index in range(SIZE)]
HEADS = heads_of(ENTRIES, (1, 7, 8, 20, 30))
KNOWN = {check(ENTRIES, Ring(KEYS)).seal}


def kinds(report: Report) -> set[tuple[str, int]]:
    return {(failure.kind, failure.index) for failure in report.failures}


def without(entries: list[Entry]) -> list[Entry]:
    """As an export has them: nothing beside the leaf."""
    return [replace(one, leaf_hash=None, columns=None) for one in entries]


def test_a_good_log_is_good():
    report = verify(ENTRIES, HEADS, KEYS)
    assert (report.ok, report.size, report.heads, report.root) == (True, 30, 5, HEADS[-1].root)
    assert verify(without(ENTRIES), HEADS, KEYS).ok
    assert verify([], [], []).ok


@given(st.data())
def test_any_changed_bit_of_any_entry_is_found(data):
    index = data.draw(st.integers(0, SIZE - 1))
    name = data.draw(st.sampled_from(["leaf", "signature", "leaf_hash"]))
    value = bytearray(getattr(ENTRIES[index], name))
    bit = data.draw(st.integers(0, len(value) * 8 - 1))
    value[bit // 8] ^= 1 << bit % 8
    changed = [*ENTRIES]
    changed[index] = replace(ENTRIES[index], **{name: bytes(value)})
    report = verify(changed, HEADS, KEYS)
    assert kinds(report) == {("signature" if name == "signature" else "content", index)}
    assert f"entry {index} " in str(report.failures[0])
    if name != "leaf_hash":
        exported = verify(without(changed), HEADS, KEYS)
        assert ("signature", index) in kinds(exported)


@given(st.integers(0, SIZE - 1), st.sampled_from([f.name for f in dataclasses.fields(Columns)]))
def test_any_changed_column_is_found(index, name):
    beside = ENTRIES[index].columns
    other = beside.at.replace(year=1999) if name == "at" else getattr(beside, name) + "x"
    changed = [*ENTRIES]
    changed[index] = replace(ENTRIES[index], columns=replace(beside, **{name: other}))
    report = verify(changed, HEADS, KEYS)
    assert kinds(report) == {("content", index)}
    assert report.failures[0].message.endswith(name)


@given(st.integers(0, SIZE - 1))
def test_any_removed_entry_is_found(index):
    report = verify(ENTRIES[:index] + ENTRIES[index + 1 :], HEADS, KEYS)
    assert kinds(report) == {("gap", index)}
    assert f"entry {index} is missing" in str(report.failures[0])


@given(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1))
def test_any_duplicated_entry_is_found(index, place):
    doubled = [*ENTRIES[: place + 1], ENTRIES[index], *ENTRIES[place + 1 :]]
    report = verify(doubled, HEADS, KEYS)
    assert not report.ok
    if index <= place:
        assert kinds(report) == {("order", index)}


@given(st.lists(st.integers(0, SIZE - 1), min_size=2, max_size=2, unique=True))
def test_any_two_swapped_entries_are_found(places):
    first, second = sorted(places)
    swapped = [*ENTRIES]
    swapped[first], swapped[second] = ENTRIES[second], ENTRIES[first]
    report = verify(swapped, HEADS, KEYS)
    assert {("gap", first), ("order", first)} <= kinds(report)
    relabelled = [replace(one, index=index) for index, one in enumerate(swapped)]
    assert {("signature", first), ("signature", second)} <= kinds(verify(relabelled, HEADS, KEYS))


@given(st.integers(0, SIZE - 1))
def test_an_entry_written_anew_with_hash_and_columns_is_found(index):
    """Without the key nobody can sign it; and the heads above it are those of another tree."""
    value = leaf(index) | {"actor": "mallory"}
    changed = [*ENTRIES]
    changed[index] = replace(entry(index, value), signature=ENTRIES[index].signature)
    above = next(head.size for head in HEADS if head.size > index)
    assert kinds(verify(changed, HEADS, KEYS)) == {("signature", index), ("head", above)}
    assert kinds(verify(changed, HEADS, KEYS, signatures=False)) == {("head", above)}


@given(st.integers(0, SIZE - 1))
def test_an_entry_signed_anew_with_the_stolen_key_is_found_by_the_heads(index):
    value = leaf(index) | {"actor": "mallory"}
    changed = [*ENTRIES]
    changed[index] = entry(index, value)
    below = max([head.size for head in HEADS if head.size <= index], default=0)
    above = next(head.size for head in HEADS if head.size > index)
    report = verify(changed, HEADS, KEYS)
    assert kinds(report) == {("head", above)}
    lost = f"entry {below} is" if above - below == 1 else f"entries {below} to {above - 1} are"
    assert str(report.failures[0]).endswith(f"{lost} not as signed")


def test_entries_cut_off_under_a_signed_head_are_found():
    report = verify(ENTRIES[:25], HEADS, KEYS)
    assert [str(failure) for failure in report.failures] == ["gap: entries 25 to 29 are missing: a head of size 30 is signed"]


def test_entries_under_no_head_are_found():
    report = verify(ENTRIES, HEADS[:-1], KEYS)
    assert [str(failure) for failure in report.failures] == ["head: entries 20 to 29 are under no signed head"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda head: replace(head, note=head.note.replace("\n8\n", "\n9\n")), "does not fit the note"),
        (lambda head: replace(head, note="x"), "no signed note"),
        (lambda head: replace(head, note=OTHER.sign_checkpoint(8, head.root)), "not signed by example.com/log"),
        (lambda head: replace(head, root=bytes(32)), "another size or root than its note"),
        (lambda head: replace(head, note=SIGNER.sign_checkpoint(9, head.root)), "another size or root than its note"),
        (lambda head: Head(8, SIGNER.sign_checkpoint(8, bytes(32)), bytes(32)), "entry 7 is not as signed"),
        (lambda head: replace(head, note=SIGNER.sign_note(f"other\n8\n{b64(head.root)}\n")), "of 'other'"),
    ],
)
def test_a_changed_head_is_found_and_no_other_is_blamed(change, words):
    heads = [change(head) if head.size == 8 else head for head in HEADS]
    report = verify(ENTRIES, heads, KEYS)
    assert kinds(report) == {("head", 8)}
    assert words in str(report.failures[0])


def test_heads_out_of_order_are_found():
    assert ("head", 7) in kinds(verify(ENTRIES, [HEADS[0], HEADS[2], HEADS[1], *HEADS[3:]], KEYS))


def test_keys_take_over_at_their_index_and_are_introduced_there():
    signed_for = b64(SIGNER.sign_successor(10, OTHER.verifier.vkey))
    value = leaf(10) | {"action": "log.key", "payload": {"vkey": OTHER.verifier.vkey, "signed_for": signed_for}}
    entries = ENTRIES[:10] + [entry(10, value, OTHER)] + [entry(n, leaf(n), OTHER) for n in range(11, 15)]
    heads = heads_of(entries, (10,)) + heads_of(entries, (15,), OTHER)
    keys = [*KEYS, Key(OTHER.verifier.vkey, 10)]
    assert verify(entries, heads, keys).ok
    assert ("signature", 10) in kinds(verify(entries, heads, KEYS))
    late = verify(entries, heads, [*KEYS, Key(OTHER.verifier.vkey, 11)])
    assert {("signature", 10), ("key", 11)} <= kinds(late)
    signed_on = [*ENTRIES[:10], entry(10, value), *ENTRIES[11:]]
    assert ("key", 10) in kinds(verify(signed_on, [], KEYS))


@pytest.mark.parametrize(
    "signed_for",
    [
        None,
        7,
        "=",
        b64(bytes(64)),
        b64(SIGNER.sign_successor(11, OTHER.verifier.vkey)),
        b64(OTHER.sign_successor(10, OTHER.verifier.vkey)),
    ],
)
def test_a_key_for_which_the_one_before_has_not_signed_is_found(signed_for):
    payload = {"vkey": OTHER.verifier.vkey} | ({} if signed_for is None else {"signed_for": signed_for})
    entries = [*ENTRIES[:10], entry(10, leaf(10) | {"action": "log.key", "payload": payload}, OTHER)]
    heads = heads_of(entries, (11,), OTHER)
    assert kinds(verify(entries, heads, [*KEYS, Key(OTHER.verifier.vkey, 10)])) == {("key", 10)}


def test_an_entry_that_names_another_key_is_found():
    changed = [*ENTRIES]
    changed[3] = replace(ENTRIES[3], key_id="00000000")
    assert kinds(verify(changed, HEADS, KEYS)) == {("signature", 3)}


def test_a_log_without_keys_or_with_a_bad_one_is_not_good():
    assert ("signature", 0) in kinds(verify(ENTRIES, HEADS, []))
    assert kinds(verify(ENTRIES, HEADS, [Key("nonsense", 0)])) == {("key", 0)}


def test_a_leaf_that_is_signed_but_not_canonical_is_found():
    data = json.dumps(leaf(30)).encode()
    digest = leaf_hash(data)
    more = [*ENTRIES, Entry(30, data, SIGNER.sign_entry(30, digest), SIGNER.verifier.key_id, digest)]
    assert kinds(verify(more, heads_of(more, (31,)), KEYS)) == {("content", 30)}


def test_a_thousand_failures_are_counted_and_a_hundred_named():
    wrong = [replace(one, signature=b"") for one in ENTRIES] * 10
    report = verify([replace(one, index=n) for n, one in enumerate(wrong)], [], KEYS)
    assert report.count > 300
    assert len(report.failures) == 100


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return written(tmp_path)


def written(tmp_path: Path) -> Path:
    document = {"vkey": SIGNER.verifier.vkey, "origin": SIGNER.verifier.name, "since_index": 0, "retired": []}
    (tmp_path / "log.json").write_text(json.dumps(document))
    rows = [{"index": e.index, "leaf": b64(e.leaf), "signature": b64(e.signature), "key_id": e.key_id} for e in ENTRIES]
    (tmp_path / "entries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "heads.jsonl").write_text("".join(json.dumps({"size": h.size, "note": h.note}) + "\n" for h in HEADS))
    (tmp_path / "checkpoint").write_text(HEADS[-1].note)
    return tmp_path


def test_an_export_is_verified_without_a_database(export, capsys):
    assert main(["verify", str(export)]) == 0
    assert capsys.readouterr().out == "30 entries, 5 signed heads: good\n"


def test_a_changed_export_is_found_and_the_entry_named(export, capsys):
    lines = (export / "entries.jsonl").read_text().splitlines(keepends=True)
    (export / "entries.jsonl").write_text("".join(lines[:4] + lines[5:]))
    assert main(["verify", str(export)]) == 1
    assert "gap: entry 4 is missing before entry 5" in capsys.readouterr().out


def test_an_export_is_verified_by_several_processes_alike(export, monkeypatch):
    monkeypatch.setattr(exported, "CHUNK", 7)
    monkeypatch.setattr(exported, "WORTH_PROCESSES", 0)
    seen = []
    report = verify_export(export, seen.append, processes=2)
    assert (report.ok, report.size, report.heads, seen) == (True, 30, 5, [7, 14, 21, 28, 30])
    lines = (export / "entries.jsonl").read_text().splitlines(keepends=True)
    (export / "entries.jsonl").write_text("".join([*lines[:8], lines[9], lines[8], *lines[10:]]))
    assert {("gap", 8), ("order", 8)} <= kinds(verify_export(export, processes=2))
    (export / "entries.jsonl").write_text("".join([*lines[:20], "{}\n", *lines[21:]]))
    with pytest.raises(LedgerError, match="line 21: "):
        verify_export(export, processes=2)


@given(st.data())
def test_any_changed_bit_in_an_exported_leaf_or_signature_is_found(tmp_path_factory, data):
    directory = written(tmp_path_factory.mktemp("export"))
    index, name = data.draw(st.integers(0, SIZE - 1)), data.draw(st.sampled_from(["leaf", "signature"]))
    lines = (directory / "entries.jsonl").read_bytes().splitlines(keepends=True)
    text = json.loads(lines[index])[name].encode()
    place, bit = lines[index].index(text) + data.draw(st.integers(0, len(text) - 1)), data.draw(st.integers(0, 7))
    changed = bytearray(lines[index])
    changed[place] ^= 1 << bit
    (directory / "entries.jsonl").write_bytes(b"".join([*lines[:index], bytes(changed), *lines[index + 1 :]]))
    try:
        found = {failure.index for failure in verify_export(directory).failures}
    except LedgerError as error:
        found = {int(str(error).split("line ")[1].split(":")[0]) - 1}
    assert index in found


def test_the_progress_of_an_auditor_is_shown_on_a_terminal_alone(export, capsys, monkeypatch):
    assert main(["verify", str(export)]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert main(["verify", str(export)]) == 0
    assert "verifying: 30 entries" in capsys.readouterr().err


def test_an_export_with_another_checkpoint_is_not_good(export, capsys):
    (export / "checkpoint").write_text(HEADS[0].note)
    assert main(["verify", str(export)]) == 1
    assert "the checkpoint is not the last head" in capsys.readouterr().out


def test_files_that_are_no_export_are_a_line_and_not_a_traceback(export, tmp_path, capsys):
    assert main(["verify", str(tmp_path / "none")]) == 1
    for broken in ("{", "[]", '{"index": 0}', '{"index": "x", "leaf": 3, "signature": "", "key_id": ""}'):
        (export / "entries.jsonl").write_text(broken + "\n")
        assert main(["verify", str(export)]) == 1
        assert "is no export of a log" in capsys.readouterr().err
    assert main([]) == 2


def test_a_chunk_that_is_as_it_was_is_not_looked_at_again():
    ring = Ring(KEYS)
    first = check(ENTRIES, ring)
    again = check(ENTRIES, ring, known={first.seal})
    assert (first.known, again.known) == (False, True)
    assert (again.leaves, again.failures, again.seal) == (first.leaves, [], first.seal)


@given(st.integers(0, SIZE - 1), st.sampled_from(["leaf", "signature", "key_id", "leaf_hash", "index", "columns", "key"]))
def test_any_change_to_a_known_chunk_is_found(index, name):
    one = ENTRIES[index]
    beside = replace(one.columns, actor="mallory")
    changes = {
        "leaf": b"{}",
        "signature": bytes(64),
        "key_id": "00000000",
        "leaf_hash": bytes(32),
        "index": 77,
        "columns": beside,
    }
    entries = [replace(entry, **{name: changes[name]}) if entry is one and name in changes else entry for entry in ENTRIES]
    keys = [*KEYS, Key(OTHER.verifier.vkey, index)] if name == "key" else KEYS
    found = check(entries, Ring(keys), known=KNOWN)
    assert not found.known
    assert found.failures
    assert found.seal == b""


def test_what_was_only_half_looked_at_has_no_seal():
    assert check(ENTRIES, Ring(KEYS), signatures=False).seal == b""


def damaged(draw) -> list[Entry]:
    """The log with one thing done to it: a changed bit, or an entry taken out, doubled, swapped, or all after it cut off."""
    how = draw(st.sampled_from(["bit", "bit", "bit", "remove", "swap", "double", "truncate"]))
    at, other = draw(st.integers(0, SIZE - 1)), draw(st.integers(0, SIZE - 2))
    other += other >= at
    if how == "bit":
        name = draw(st.sampled_from(["leaf", "signature", "leaf_hash"]))
        value = bytearray(getattr(ENTRIES[at], name))
        bit = draw(st.integers(0, len(value) * 8 - 1))
        value[bit // 8] ^= 1 << bit % 8
        return [*ENTRIES[:at], replace(ENTRIES[at], **{name: bytes(value)}), *ENTRIES[at + 1 :]]
    if how == "swap":
        swapped = [*ENTRIES]
        swapped[at], swapped[other] = ENTRIES[other], ENTRIES[at]
        return swapped
    changed = {
        "remove": ENTRIES[:at] + ENTRIES[at + 1 :],
        "double": [*ENTRIES[: other + 1], ENTRIES[at], *ENTRIES[other + 1 :]],
        "truncate": ENTRIES[:at],
    }
    return changed[how]


@pytest.mark.soak
@settings(max_examples=10_000, deadline=None)
@given(st.data())
def test_of_ten_thousand_damaged_logs_each_is_found(data):
    entries = damaged(data.draw)
    assert not verify(entries, HEADS, KEYS).ok
