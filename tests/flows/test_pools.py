"""Two sites, each a network namespace: a worker in it reaches only broker and database, and heals what only it can reach."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest

from config.demo.installation import Installation, wait_for
from config.demo.storage import database

PLAYBOOK = """
playbook: mend-there
title: Mend what answers on its own site only
domain: http
diagnoses: [service_down]
impact: low
reversible: false
timeout: 2m
steps:
  - {id: mend, action: http.request, with: {method: PUT, url: "${target.url}/mend", expect: {status: 200}}, timeout: 20s}
verify:
  - {check: http_health, url: "${target.url}/", expect: {status: 200}, timeout: 5s, within: 60s, every: 500ms}
"""
SERVICE = """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Till(BaseHTTPRequestHandler):
    status = 503
    def do_GET(self):
        self.send_response(Till.status)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def do_PUT(self):
        Till.status = 200
        self.do_GET()
HTTPServer(("127.0.0.1", 9000), Till).serve_forever()
"""


class Pipe(socketserver.BaseRequestHandler):
    """Passes a connection on to `server.behind`."""

    def handle(self) -> None:
        with socket.create_connection(self.server.behind) as behind:  # type: ignore[attr-defined]
            back = threading.Thread(target=self._pass, args=(behind, self.request), daemon=True)
            back.start()
            self._pass(self.request, behind)
            back.join()

    @staticmethod
    def _pass(source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                to.sendall(chunk)
        with contextlib.suppress(OSError):
            to.shutdown(socket.SHUT_WR)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads, allow_reuse_address, block_on_close = True, True, False


class Site:
    """A network namespace whose one cable leads to us, where nothing answers but the broker and the database."""

    def __init__(self, number: int) -> None:
        self.name, self.pool = f"sh{os.getpid() % 10**6}{number}", f"edge-{number}"
        self.subnet = f"10.{200 + number}.{os.getpid() % 250}"
        self.things = contextlib.ExitStack()

    def __enter__(self) -> Site:
        ours, theirs = f"{self.name}o", f"{self.name}t"
        ip("netns", "add", self.name)
        self.things.callback(ip, "netns", "del", self.name)
        ip("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", self.name)
        ip("addr", "add", f"{self.subnet}.1/24", "dev", ours)
        ip("link", "set", ours, "up")
        for words in (
            ("addr", "add", f"{self.subnet}.2/24", "dev", theirs),
            ("link", "set", theirs, "up"),
            ("link", "set", "lo", "up"),
        ):
            ip("-n", self.name, *words)
        self.start(sys.executable, "-c", SERVICE)
        return self

    def __exit__(self, *_: object) -> None:
        self.things.close()

    def address(self, url: str) -> str:
        """`url` as it is reached from here: its server answers on our end of the cable."""
        parts = urlparse(url)
        server = Server((f"{self.subnet}.1", 0), Pipe)
        server.behind = (parts.hostname, parts.port)  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.things.callback(server.shutdown)
        user = f"{parts.username}@" if parts.username else ""
        return parts._replace(netloc=f"{user}{self.subnet}.1:{server.server_address[1]}").geturl()

    def start(self, *argv: str, **environment: Any) -> None:
        """Run a program here until the test ends."""
        child = subprocess.Popen(["ip", "netns", "exec", self.name, *argv], start_new_session=True, **environment)
        self.things.callback(child.wait)
        self.things.callback(child.terminate)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def namespaces() -> bool:
    if not shutil.which("ip") or os.getuid():
        return False
    name = f"sh{os.getpid()}probe"
    made = subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True).returncode == 0
    if made:
        ip("netns", "del", name)
    return made


pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not os.environ.get("DATABASE_URL"), reason="other hosts need PostgreSQL and Redis"),
    pytest.mark.skipif(not namespaces(), reason="needs root, iproute2 and network namespaces"),
]


@pytest.fixture
def sites() -> Iterator[list[Site]]:
    with Site(1) as one, Site(2) as two:
        yield [one, two]


def test_each_site_heals_its_own_through_its_own_worker(sites: list[Site], tmp_path: Path) -> None:
    with database(tmp_path, keep=False) as url:
        house = Installation([], tmp_path, url)
        books = tmp_path / "books"
        books.mkdir()
        (books / "mend.yaml").write_text(PLAYBOOK)
        house.environment["SELF_HEAL_PLAYBOOK_DIRS"] = str(books)
        services = [
            {"name": f"till-{site.pool}", "mode": "auto", "url": "http://127.0.0.1:9000", "domain": "http", "pool": site.pool}
            for site in sites
        ]
        (tmp_path / "config" / "services.yaml").write_text(json.dumps({"map": [], "services": services}))
        house.start()
        try:
            house.cli("autonomy", "grant", "mend-there", "service_down", "--reason", "a test", "--user", "admin")
            token = house.token("admin", "ingest,read")
            for site in sites:
                work_at(site, house)
                labels = {"alertname": "ServiceDown", "service": f"till-{site.pool}"}
                house.call(
                    "POST", "/api/self_heal/alerts", token, {"labels": labels, "severity": "critical", "title": "it is down"}
                )

            def over() -> list[dict[str, Any]]:
                runs = house.call("GET", "/api/self_heal/runs", token)["results"]
                return [run for run in runs if run["outcome"]]

            wait_for(lambda: len(over()) == 2, f"two runs are not over; {house.log.read_text()[-3000:]}")
            assert {run["service"]: run["status"] for run in over()} == {service["name"]: "succeeded" for service in services}
        finally:
            house.stop()


def work_at(site: Site, house: Installation) -> None:
    """A worker of the site's pool, with the installation's settings and the two addresses."""
    addresses = {name: site.address(house.environment[name]) for name in ("DATABASE_URL", "CELERY_BROKER_URL")}
    with (house.home / f"{site.pool}.log").open("wb") as log:
        worker = [sys.executable, "-m", "config.cli", "worker", "--pool", site.pool]
        site.start(*worker, env={**house.environment, **addresses}, stdout=log, stderr=log)
