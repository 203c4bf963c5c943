"""A body that is refused unread is read out of the way, so that whoever sends it gets the answer."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from config import web


@pytest.fixture
def connection() -> Iterator[socket.socket]:
    one, other = socket.socketpair()
    with one, other:
        yield one


def refuse(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    return [b"too large"]


def answer(body: Any, connection: socket.socket, **environ: str) -> list[bytes]:
    said = {"wsgi.input": body, "gunicorn.socket": connection, **environ}
    found: list[bytes] = web.read_out(refuse)(said, None)
    return found


class Endless:
    taken = 0

    def read(self, size: int) -> bytes:
        self.taken += size
        return bytes(size)


class Silent:
    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def read(self, size: int) -> bytes:
        return self.connection.recv(size)


def test_what_a_view_left_unread_is_read(connection: socket.socket) -> None:
    body = io.BytesIO(bytes(10**6))
    assert answer(body, connection, CONTENT_LENGTH="1000000") == [b"too large"]
    assert body.read() == b""


def test_a_body_without_an_end_is_read_so_far_and_no_further(connection: socket.socket) -> None:
    body = Endless()
    assert answer(body, connection, HTTP_TRANSFER_ENCODING="chunked") == [b"too large"]
    assert body.taken <= web.DISCARDED


def test_who_sends_nothing_more_is_answered_all_the_same(connection: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "DISCARDING", 0.05)
    assert answer(Silent(connection), connection, CONTENT_LENGTH="100") == [b"too large"]
    assert connection.gettimeout() is None


def test_without_a_body_nothing_is_read(connection: socket.socket) -> None:
    body = Endless()
    assert answer(body, connection) == [b"too large"]
    assert body.taken == 0
