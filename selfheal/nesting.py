"""How deep a JSON text goes, told without parsing it: a parser must not meet a text that is too deep.

The strings are cut out, only brackets stay, and innermost pairs are removed one level at a time. Linear, and 5 MB take some
ten milliseconds. Text that is no JSON may get any answer; the parser refuses it afterwards.
"""

from __future__ import annotations

import re

from selfheal.errors import Invalid

MAX_DEPTH = 32
_LONGEST_KEY = 100
_LOOKED_AT = 2**20  # bytes
_TOKEN = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)(?:"(\s*+:)?|\Z|\\\Z)|[\[\]{}]', re.DOTALL)  # possessive: each byte once
_NO_BRACKET = bytes(sorted(set(range(256)) - set(b'[]{}"')))


def check_depth(text: bytes, limit: int = MAX_DEPTH) -> None:
    """Raises Invalid if arrays and objects are nested more than `limit` deep, or do not close."""
    left = _brackets(text)
    for _ in range(limit):
        if not left:
            return
        left = left.replace(b"{}", b"").replace(b"[]", b"")
    if left:
        raise Invalid(f"is nested more than {limit} deep, or its brackets do not close", field=_too_deep(text, limit))


def _too_deep(text: bytes, limit: int) -> str:
    """The key of the outermost object below which it goes deeper; empty if the beginning of the text does not show it."""
    depth, key = 0, b""
    for token in _TOKEN.finditer(text, 0, _LOOKED_AT):
        first = text[token.start()]
        if first in b"[{":
            depth += 1
        elif first in b"]}":
            depth -= 1
        elif depth == 1 and token[2]:
            key = token[1]
        if depth > limit:
            return key.decode(errors="replace")[:_LONGEST_KEY]
    return ""


def _brackets(text: bytes) -> bytes:
    bare = text.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NO_BRACKET)
    return b"".join(bare.split(b'"')[::2])
