"""What a memory is found by: words of its text, its tags and pairs of its context, as tokens that no database takes apart.

Rules that this module keeps:
1. A token is one word: letters, digits and _, small. A tag and a pair of a context are one token each, and begin with § so that
   no text can pretend to be one.
2. What is sensitive is found by its tags and context alone. A search for its words must not tell that they are there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

MOST_ASKED = 16  # words, tags and pairs of one question, each
MOST_KEPT = 2_000  # tokens of one memory
LONGEST = 64  # characters of a token
_WORD = re.compile(r"\w+")
_OTHER = re.compile(r"\W+")
# Keys, passwords and tokens as they stand in configuration, logs and headers.
_SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\bBearer\s+\S{8,}|\bgh[pousr]_\w{20,}|\bsh_\w{20,}|://[^/\s:@]+:[^/\s@]+@"
    r"|\b(?:password|passwd|pwd|secret|token|api[_-]?key|private[_-]?key|access[_-]?key)\b[\"']?\s*[:=]\s*[\"']?[^\s\"',}]",
    re.IGNORECASE,
)
SENSITIVE_TAGS = frozenset({"sensitive", "secret", "credential", "credentials", "pii", "personal"})
SENSITIVE_KEYS = frozenset({"password", "passwd", "secret", "token", "api_key", "apikey", "private_key", "access_key"})


def words_of(text: str) -> list[str]:
    """The different words of a text, small, in their order."""
    return list(dict.fromkeys(word[:LONGEST] for word in _WORD.findall(text.casefold())))


def tag_token(tag: str) -> str:
    return f"§t{_slug(tag)}"


def pair_token(name: str, value: Any) -> str:
    """The token of one pair of a context: `service: web`."""
    return f"§c{_slug(name)}§{_slug(str(value))}"


def asked_tokens(query: str, tags: Iterable[str], context: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What a question looks for: the tokens of its words and tags, and those of its context."""
    terms = [*words_of(query)[:MOST_ASKED], *dict.fromkeys(tag_token(tag) for tag in list(tags)[:MOST_ASKED])]
    return terms, [pair_token(name, value) for name, value in list(context.items())[:MOST_ASKED]]


def kept_tokens(content: Any, tags: Iterable[str], context: Mapping[str, Any], sensitive: bool) -> list[str]:
    """What a memory is found by."""
    named = list(tags)
    own = [tag_token(tag) for tag in named] + [pair_token(name, value) for name, value in context.items()]
    said = [] if sensitive else words_of(" ".join([*texts(content), *named]))
    return list(dict.fromkeys([*own, *said]))[:MOST_KEPT]


def texts(content: Any) -> Iterator[str]:
    """Every text and number in a JSON value, without the names of its fields."""
    if isinstance(content, Mapping):
        for value in content.values():
            yield from texts(value)
    elif isinstance(content, list):
        for value in content:
            yield from texts(value)
    elif content is not None and not isinstance(content, bool):
        yield str(content)


def is_sensitive(content: Any, tags: Iterable[str]) -> bool:
    """Whether it says so by a tag, has a field that is named like a secret, or holds what looks like one."""
    if SENSITIVE_TAGS & {tag.casefold() for tag in tags}:
        return True
    return any(_SECRET.search(text) for text in texts(content)) or any(key in SENSITIVE_KEYS for key in _keys(content))


def _keys(content: Any) -> Iterator[str]:
    if isinstance(content, Mapping):
        for name, value in content.items():
            yield str(name).casefold().replace("-", "_")
            yield from _keys(value)
    elif isinstance(content, list):
        for value in content:
            yield from _keys(value)


def _slug(text: str) -> str:
    return _OTHER.sub("_", text.casefold())[:LONGEST]
