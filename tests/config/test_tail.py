from __future__ import annotations

import pytest

from config.cli.runs import new_lines


@pytest.mark.parametrize(
    ("before", "after", "new"),
    [
        ("", "a\nb\n", ["a", "b"]),
        ("a\n", "a\nb\n", ["b"]),
        ("a\nb\n", "a\nb\n", []),
        ("a\nb\nc\n", "a\n… 900 bytes left out …\nc\nd\n", ["d"]),
        ("a\nb\nc\n", "a\n… 900 bytes left out …\nx\n", ["a", "… 900 bytes left out …", "x"]),
    ],
)
def test_only_what_is_new_is_printed(before: str, after: str, new: list[str]) -> None:
    assert new_lines(before, after) == new
