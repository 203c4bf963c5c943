from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfheal.memory.words import asked_tokens, is_sensitive, kept_tokens, pair_token, tag_token, words_of


def test_words_are_small_different_and_in_their_order() -> None:
    assert words_of("Disk full: disk /var/log 98%!") == ["disk", "full", "var", "log", "98"]


@settings(max_examples=50)
@given(st.text(max_size=200), st.lists(st.text(max_size=20), max_size=5))
def test_no_token_can_be_taken_apart_by_a_database(text: str, tags: list[str]) -> None:
    terms, pairs = asked_tokens(text, tags, {text: text})
    for token in [*terms, *pairs]:
        assert token == token.strip()
        assert not set(token) & set(" '\"\\()&|!*:<>-^+,")
        assert token.casefold() == token or token.startswith("§") or len(token) == 64


@settings(max_examples=50)
@given(st.text(max_size=50))
def test_no_text_pretends_to_be_a_tag(text: str) -> None:
    assert not any(word.startswith("§") for word in words_of(text))


def test_a_memory_is_found_by_text_tags_and_context() -> None:
    tokens = kept_tokens({"note": "Rotate logs", "n": [3]}, ["disk-full"], {"service": "web"}, sensitive=False)
    assert {tag_token("disk-full"), pair_token("service", "web"), "rotate", "logs", "3", "disk", "full"} == set(tokens)


def test_what_is_sensitive_is_found_by_tags_and_context_alone() -> None:
    assert kept_tokens("hunter2", ["vault"], {"service": "web"}, sensitive=True) == [
        tag_token("vault"),
        pair_token("service", "web"),
    ]


@pytest.mark.parametrize(
    ("content", "tags"),
    [
        ("password: hunter2", []),
        ({"env": ["DB_URL=postgres://ann:hunter2@db/x"]}, []),
        ({"api-key": "x"}, []),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nabc", []),
        ("Authorization: Bearer abcdefghij", []),
        ("AKIAIOSFODNN7EXAMPLE", []),
        ("nothing", ["PII"]),
    ],
)
def test_what_looks_sensitive_is(content: Any, tags: list[str]) -> None:
    assert is_sensitive(content, tags)


@pytest.mark.parametrize(
    "content", ["the token expired", "restart web", {"passwords": 3}, "https://web.internal/healthz", 7, None]
)
def test_what_only_talks_of_it_is_not(content: Any) -> None:
    assert not is_sensitive(content, [])
