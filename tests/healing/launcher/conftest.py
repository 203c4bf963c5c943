from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import psutil
import pytest

from healing.forking import execute
from healing.launcher import Channel
from tests.processes import PYTHON, carrying, end_all, until


@pytest.fixture
def marker() -> Iterator[str]:
    """A text that only processes of this test carry; none of them may be left."""
    text = f"marker-{uuid.uuid4().hex}"
    yield text
    gone = until(lambda: not carrying(text), 1)  # who was killed just now may not have ended yet
    assert gone, end_all(text)


@pytest.fixture
def children() -> Callable[[], list[psutil.Process]]:
    """The children that this process has got since the test began: a browser's, say, are not this test's."""
    others = set(psutil.Process().children())
    return lambda: [child for child in psutil.Process().children() if child not in others]


@pytest.fixture
def program(marker: str) -> Callable[[str], Callable[[Channel], None]]:
    """Work that becomes a Python program, which carries the marker."""

    def made(script: str) -> Callable[[Channel], None]:
        def work(channel: Channel) -> None:
            raise execute([PYTHON, "-c", script, marker])

        return work

    return made
