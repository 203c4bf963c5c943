from __future__ import annotations

import http.server
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from healing.actions.base import Context
from healing.launcher import Launched, launch
from selfheal.places import Place
from tests.processes import carrying, until


@pytest.fixture
def marker() -> Iterator[str]:
    """A text that only processes of this test carry; all of them are ended afterwards."""
    text = f"marker-{uuid.uuid4().hex}"
    yield text
    for process in carrying(text):
        process.kill()
    assert until(lambda: not carrying(text))


@pytest.fixture
def context(tmp_path: Path) -> Context:
    (tmp_path / "secrets").mkdir()
    return Context(idempotency_key="k", service="web", target="web-01", secrets_dir=tmp_path / "secrets", home=tmp_path / "home")


@pytest.fixture
def perform(context: Context) -> Callable[..., Launched]:
    """Freeze and run an action or a check as the runner does: by its plan's arguments, under a launcher."""

    def performed(doer: Any, given: dict[str, Any], place: Place, *, context: Context = context, bound: float = 20) -> Launched:
        arguments = json.loads(json.dumps(doer.freeze(given, place)))
        return launch(lambda channel: doer.run(arguments, context.on(channel)), bound_seconds=bound)

    return performed


class Answers(http.server.BaseHTTPRequestHandler):
    """A server whose path says what it does: /200, /503, /echo, /redirect, /slow, /drip, /big.

    /control/… is a service that can be controlled, with `server.state`; /api/v1/query is Prometheus, with `server.series`.
    """

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, self.path, dict(self.headers), body.decode()))  # type: ignore[attr-defined]
        what = self.path.partition("?")[0].strip("/")
        if what.isdigit():
            self.reply(int(what), b"answer")
        elif what in ("health", "healthz"):
            self.reply(200, b"fine")
        elif what.startswith("control/"):
            self.control(what.removeprefix("control/"), json.loads(body or "{}"))
        elif what == "api/v1/query":
            self.reply(*self.server.prometheus(parse_qs(body.decode())))  # type: ignore[attr-defined]
        elif what == "echo":
            self.reply(200, json.dumps(dict(self.headers)).encode() + body)
        elif what == "redirect":
            self.reply(302, b"", Location="/200")
        elif what == "big":
            self.reply(200, b"x" * 3_000_000)
        elif what == "slow":
            time.sleep(1)
            self.reply(200, b"late")
        else:
            self.drip()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = answer

    def control(self, what: str, body: dict[str, Any]) -> None:
        state = self.server.state  # type: ignore[attr-defined]
        if self.command != "GET" and what in self.server.deaf:  # type: ignore[attr-defined]
            self.reply(200, b"")
        elif self.command != "GET":
            state[what] = state[what] | ({"open": []} if what == "breakers" else {"warm": True} if what == "cache" else body)
            self.reply(204, b"")
        elif what in state:
            self.reply(200, json.dumps(state[what]).encode())
        else:
            self.reply(404, b"")

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def drip(self) -> None:
        """A byte of a header each 50 ms, for ever: no single wait is long."""
        for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 1000:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(0.05)

    def log_message(self, *_: Any) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        pass  # a client that was cut off, which is what several tests want


def vector(series: list[tuple[dict[str, str], str]]) -> dict[str, Any]:
    result = [{"metric": labels, "value": [1.7e9, value]} for labels, value in series]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


@pytest.fixture
def server() -> Iterator[Any]:
    """A real server on loopback: `.url`, and `.seen` with (method, path, headers, body). What is in `.deaf` changes nothing."""
    made: Any = Server(("127.0.0.1", 0), Answers)
    made.seen, made.url, made.deaf = [], f"http://127.0.0.1:{made.server_port}", set()
    made.state = {
        "flags/new-checkout": {"value": True},
        "instances": {"instances": 4},
        "log_level/ROOT": {"configuredLevel": "WARN", "effectiveLevel": "WARN"},
        "cache": {"warm": False},
        "breakers": {"open": ["db", "mail"]},
    }
    made.series = [({"job": "web"}, "1.5")]
    made.prometheus = lambda _: (200, json.dumps(vector(made.series)).encode())
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
