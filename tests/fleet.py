"""Real processes of one service behind a little proxy, each on a loopback address of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import requests

from config.demo.installation import free_port
from tests.processes import until

HOSTS = [f"127.0.1.{n}" for n in range(1, 6)]

NODE = """
import http.server, os, pathlib, sys
host, port, folder = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
with (folder / "starts").open("a") as file:
    file.write(host + "\\n")
(folder / (host + ".pid")).write_text(str(os.getpid()))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if (folder / ("ill-" + host)).exists() else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer((host, port), Handler).serve_forever()
"""

PROXY = """
import http.client, http.server, json, sys, threading, time
port, backend, hosts = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
seen = {"least": len(hosts), "up": 0, "rounds": 0, "failed": 0, "turn": 0}
def asks(host):
    try:
        link = http.client.HTTPConnection(host, backend, timeout=20)
        link.request("GET", "/")
        return link.getresponse().status == 200
    except OSError:
        return False
def watch():
    while True:
        seen["up"] = sum(map(asks, hosts))
        seen["least"], seen["rounds"] = min(seen["least"], seen["up"]), seen["rounds"] + 1
        time.sleep(0.03)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/seen":
            code, body = 200, json.dumps(seen).encode()
        else:
            seen["turn"] += 1
            turned = hosts[seen["turn"] % len(hosts):] + hosts[:seen["turn"] % len(hosts)]
            code, body = (200 if any(map(asks, turned)) else 502), b""
            seen["failed"] += code != 200
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
def use():
    while True:
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        link.request("GET", "/")
        link.getresponse().read()
        time.sleep(0.02)
server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
for each in (watch, use):
    threading.Thread(target=each, daemon=True).start()
server.serve_forever()
"""


class Fleet:
    """`down` are not started. Everything is ended by `end`."""

    def __init__(self, folder: Path, hosts: Sequence[str], *, down: Collection[str] = ()) -> None:
        self.folder, self.hosts, self.port, self.proxy_port = folder, hosts, free_port(), free_port()
        (folder / "node.py").write_text(NODE)
        up = [host for host in hosts if host not in down]
        self.children = [subprocess.Popen(self._argv(host), start_new_session=True) for host in up]
        assert until(lambda: all(self.answers(host) for host in up), 60)
        (folder / "starts").write_text("")
        self.proxy: subprocess.Popen[bytes] | None = None

    def _argv(self, host: str) -> list[str]:
        return [sys.executable, str(self.folder / "node.py"), host, str(self.port), str(self.folder)]

    def answers(self, host: str) -> bool:
        try:
            return requests.get(f"http://{host}:{self.port}/", timeout=2).ok
        except requests.RequestException:
            return False

    def declared(self, mode: str = "auto") -> dict[str, Any]:
        """The service, as services.yaml says it: one set of labels for all of its targets."""
        labels = {"pidfile": str(self.folder / "${target.name}.pid"), "start": json.dumps(self._argv("${target.name}"))}
        targets = {"hosts": list(self.hosts), "url": f"http://${{target.host}}:{self.port}"}
        return {"mode": mode, "labels": labels, "targets": targets}

    def fall_ill(self, host: str) -> None:
        """From its next look on the node answers 503."""
        (self.folder / f"ill-{host}").touch()

    def starts(self) -> list[int]:
        """How often each node was started since the fleet was up."""
        started = (self.folder / "starts").read_text().split()
        return [started.count(host) for host in self.hosts]

    def watch(self) -> None:
        """Put the proxy in front, and its clients at work."""
        (self.folder / "proxy.py").write_text(PROXY)
        argv = [sys.executable, str(self.folder / "proxy.py"), str(self.proxy_port), str(self.port), *self.hosts]
        self.proxy = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        assert until(lambda: self._asked() and self.seen()["rounds"] > 2, 60)

    def _asked(self) -> bool:
        with suppress(requests.RequestException):
            return requests.get(f"http://127.0.0.1:{self.proxy_port}/seen", timeout=5).ok
        return False

    def seen(self) -> dict[str, int]:
        """From the proxy's side: {least: nodes that were up at once, up: now, rounds, failed: requests that nobody answered}."""
        found: dict[str, int] = requests.get(f"http://127.0.0.1:{self.proxy_port}/seen", timeout=10).json()
        return found

    def end(self) -> None:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if str(self.folder / "node.py") in process.cmdline():
                    os.kill(process.pid, signal.SIGKILL)
        for child in (*self.children, *([self.proxy] if self.proxy else [])):
            child.kill()
            child.wait()
