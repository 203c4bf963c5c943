"""A little HTTP service that can be unwell: a real process of the demo. Standard library only.

GET /healthz answers 200, or 503 while `--broken`. GET and PUT /workers read and set a number, as an operator's knob would.
"""

from __future__ import annotations

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    broken = False
    workers = 2

    def do_GET(self) -> None:
        if self.path == "/workers":
            self._answer(200, {"workers": Handler.workers})
        else:
            self._answer(503 if Handler.broken else 200, {"healthy": not Handler.broken})

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        Handler.workers = int(body["workers"])
        self._answer(200, {"workers": Handler.workers})

    def _answer(self, status: int, body: dict) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--broken", action="store_true")
    given = parser.parse_args()
    Handler.broken = given.broken
    ThreadingHTTPServer(("127.0.0.1", given.port), Handler).serve_forever()
