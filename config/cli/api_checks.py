"""What can be asked of the API by GET alone: that each list and page has its declared shape, and that the log's end is whole.

The same for the views of this process and for a server far away: nothing here reads the database.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from config.cli.base import Failed
from config.cli.client import Server

LAST = 100  # entries of the log that are looked at
TEXT = "text/plain"


def shapes(server: Server) -> str:
    """Ask for everything that the API's own description says can be had without an argument, and hold each answer against it."""
    document = server.get("/api/schema", format="json")
    paths = list(_askable(document))
    if not paths:
        raise Failed("/api/schema describes no call that could be asked")
    for path, content in paths:
        wrong = _wrong(server, path, content, document)
        if wrong:
            raise Failed(f"GET {path}: {wrong}")
    return f"{len(paths)} calls answer in their declared shape"


def _askable(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, calls in document.get("paths", {}).items():
        call = calls.get("get")
        if call and not any(one.get("required") for one in call.get("parameters", ())):
            yield path, call["responses"].get("200", {}).get("content", {})


def _wrong(server: Server, path: str, content: dict[str, Any], document: dict[str, Any]) -> str:
    """Empty, or how the answer is not what is declared."""
    if TEXT in content:
        return "" if server.text(path).strip() else "an empty answer"
    from jsonschema import Draft202012Validator

    declared = content.get("application/json", {}).get("schema", {})
    schema = {**_nullable(declared), "components": _nullable(document.get("components", {}))}
    error = next(Draft202012Validator(schema).iter_errors(server.get(path)), None)
    return f"{error.json_path} {error.message[:200]}" if error else ""


def _nullable(node: Any) -> Any:
    """`nullable: true` of OpenAPI 3.0, which the pages of lists still say, as JSON Schema has it."""
    if isinstance(node, list):
        return [_nullable(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {name: _nullable(value) for name, value in node.items()}
    if made.pop("nullable", False) is True and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made


def log_tail(server: Server) -> str:
    """Check the signed head, the signatures of the last entries, and the way from the first and last of them to its root."""
    from selfheal.verify import Key, Ring, check

    keys = _keys(server)
    ring = Ring(Key(key["vkey"], key["since_index"]) for key in (keys, *keys["retired"]))
    note = server.text("/api/log/checkpoint")
    signer = ring.at(_size(note) - 1)
    if signer is None:
        raise Failed("the signed head is of an empty log, or older than every key")
    head = signer.open_checkpoint(note)
    start = max(0, head.size - LAST)
    entries = [_entry(row) for row in server.get("/api/log/entries", start=start, end=head.size)["entries"]]
    if [entry.index for entry in entries] != list(range(start, head.size)):
        raise Failed(f"entries are missing between {start} and {head.size - 1}")
    checked = check(entries, ring)
    if checked.failures:
        raise Failed(str(checked.failures[0]))
    for index, leaf in {checked.leaves[0], checked.leaves[-1]}:
        _prove(server, index, leaf, head.size, head.root)
    return f"{head.size:,} entries under the signed head, the last {len(entries)} verify"


def _keys(server: Server) -> dict[str, Any]:
    try:
        return dict(server.get("/api/log/key"))
    except Failed as error:
        raise Failed(f"it shows no key, as a log that has not begun: {error}") from None


def _prove(server: Server, index: int, leaf: bytes, size: int, root: bytes) -> None:
    from selfheal.merkle import verify_inclusion
    from selfheal.signing import unb64

    hashes = server.get("/api/log/proof/inclusion", index=index, size=size)["hashes"]
    verify_inclusion(index, size, leaf, [unb64(text) for text in hashes], root)


def _size(note: str) -> int:
    """What the note says, before anybody has believed it: it decides which key has to have signed it."""
    from selfheal.signing import Checkpoint

    return Checkpoint.parse(note.partition("\n\n")[0] + "\n").size


def _entry(row: dict[str, Any]) -> Any:
    from selfheal.signing import unb64
    from selfheal.verify import Entry

    return Entry(row["index"], unb64(row["leaf"]), unb64(row["signature"]), row["key_id"])
