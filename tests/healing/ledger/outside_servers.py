"""A witness as tlog-witness has it, and a server that keeps what it is given: real HTTP, each in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from selfheal.errors import LedgerError
from selfheal.merkle import verify_consistency
from selfheal.signing import Verifier, split_note, unb64
from selfheal.witness import WitnessSigner

Answer = tuple[int, str, str]  # status, content type, body


class SmallWitness:
    """Knows one log by its key; signs for a head only if it goes on from the last one that it has signed for."""

    def __init__(self, vkey: str, time: int = 1_764_072_000) -> None:
        self.log = Verifier.parse(vkey)
        self.signer = WitnessSigner("witness.example.com/w1", bytes(range(32)))
        self.size, self.root, self.time = 0, b"", time
        self.asked = 0

    def add_checkpoint(self, body: str) -> Answer:
        self.asked += 1
        lines, _, note = body.partition("\n\n")
        first, *proof = lines.split("\n")
        old = int(first.removeprefix("old "))
        try:
            head = self.log.open_checkpoint(note)
        except LedgerError as error:
            return 403, "text/plain", str(error)
        if old > head.size:
            return 400, "text/plain", "old is greater"
        if old != self.size:
            return 409, "text/x.tlog.size", f"{self.size}\n"
        if old == head.size and head.root != self.root:
            return 409, "text/plain", "another root"
        try:
            if old:
                verify_consistency(old, head.size, self.root, head.root, [unb64(hash_) for hash_ in proof])
        except LedgerError as error:
            return 422, "text/plain", str(error)
        self.size, self.root = head.size, head.root
        return 200, "text/plain", self.signer.cosign(split_note(note)[0], self.time)


class Keeper:
    """Keeps each body by method and path; `status` is what it answers."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.tokens: list[str] = []
        self.status = 201

    def answer(self, method: str, path: str, body: str) -> Answer:
        if method == "GET":
            found = self.kept.get(("PUT", path))
            return (200, "text/plain", found) if found else (404, "text/plain", "")
        if self.status < 300:
            self.kept[method, path] = body
        return self.status, "text/plain", ""


@contextmanager
def serving(answer: Callable[[str, str, str], Answer], tokens: list[str] | None = None) -> Iterator[str]:
    """The address of a server that answers each request by `answer(method, path, body)`."""

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            if tokens is not None:
                tokens.append(self.headers.get("Authorization", ""))
            status, kind, text = answer(self.command, self.path, body)
            data = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST = _do

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
