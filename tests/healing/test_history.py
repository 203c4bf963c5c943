"""`ALERTS` as Prometheus remembers it: asked for in parts, against a double and against a real one."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs

import pytest

from healing.history import from_prometheus
from healing.prometheus import NoAnswer, PrometheusError, vector
from selfheal.errors import Invalid, TooLarge
from tests.processes import until

AT = datetime(2026, 11, 20, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@contextmanager
def serving(firing: list[tuple[float, float]], padding: int = 0) -> Iterator[tuple[str, list[dict[str, float]]]]:
    """A Prometheus with one alert that fires from hour to hour; `padding` bytes in each answer, for each hour asked about."""
    asked: list[dict[str, float]] = []

    class Double(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            asked.append({name: float(said[name][0]) for name in ("start", "end", "step")})
            start, end, step = asked[-1].values()
            instants = [start + n * step for n in range(int((end - start) // step) + 1)]
            values = [[t, "1"] for t in instants if any(f <= (t - AT.timestamp()) / 3600 < u for f, u in firing)]
            series = [{"metric": {"alertname": "Down", "alertstate": "firing", "service": "web"}, "values": values}]
            pad = "x" * int(padding * (end - start) / 3600)
            body = json.dumps({"status": "success", "pad": pad, "data": {"resultType": "matrix", "result": series}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Double)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_an_occurrence_that_lies_in_several_parts_is_one() -> None:
    shares: list[float] = []
    with serving([(1, 9), (20, 21)]) as (url, asked):
        found, _ = from_prometheus(url, AT, AT + timedelta(days=1), MINUTE, progress=shares.append)
    assert [(a.starts_at, a.ends_at) for a in found] == [
        (AT + timedelta(hours=1), AT + timedelta(hours=9)),
        (AT + timedelta(hours=20), AT + timedelta(hours=21)),
    ]
    assert len(asked) == 4
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_what_is_too_much_at_once_is_asked_for_in_halves() -> None:
    with serving([(1, 2)], padding=400_000) as (url, asked):
        (alert,), _ = from_prometheus(url, AT, AT + timedelta(hours=6), MINUTE)
    assert (alert.starts_at, alert.ends_at) == (AT + timedelta(hours=1), AT + timedelta(hours=2))
    assert all(each["end"] - each["start"] <= 3 * 3600 for each in asked[1:])


def test_what_is_always_too_much_ends_with_what_to_do() -> None:
    with (
        serving([(0, 1)], padding=80_000_000) as (url, _),
        pytest.raises(TooLarge, match="narrow them by --match"),
    ):
        from_prometheus(url, AT, AT + 4 * MINUTE, MINUTE)


@pytest.mark.parametrize(
    ("days", "step", "field"), [(0, MINUTE, "--days"), (400, MINUTE, "--days"), (1, timedelta(days=1), "--step")]
)
def test_what_is_out_of_bounds_is_named(days: int, step: timedelta, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        from_prometheus("http://127.0.0.1:1", AT, AT + timedelta(days=days), step)
    assert refused.value.field == field


def test_nobody_there_is_said() -> None:
    with pytest.raises(NoAnswer):
        from_prometheus("http://127.0.0.1:1", AT, AT + timedelta(days=1), MINUTE)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("prometheus") or not shutil.which("promtool"), reason="there is no prometheus here")
def test_a_real_prometheus_tells_its_history(tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    spans = [(now - timedelta(hours=30), 40), (now - timedelta(hours=9), 5)]
    with backfilled(tmp_path, spans) as url:
        found, wrong = from_prometheus(url, now - timedelta(days=2), now, MINUTE, match='service="web"')
    assert not wrong
    assert [alert.labels for alert in found] == [{"alertname": "Down", "service": "web"}] * 2
    for alert, (begin, minutes) in zip(found, spans, strict=True):
        assert abs(alert.began - begin) <= MINUTE
        assert alert.ends_at is not None
        assert abs(alert.ends_at - begin - timedelta(minutes=minutes)) <= 2 * MINUTE


@contextmanager
def backfilled(home: Path, spans: list[tuple[datetime, int]]) -> Iterator[str]:
    """A Prometheus with samples of `ALERTS`, one in 15 s, for so many minutes from each instant."""
    lines = ["# TYPE ALERTS gauge"]
    for begin, minutes in spans:
        for name in ("web", "other"):
            instants = [begin.timestamp() + 15 * n for n in range(4 * minutes)]
            lines += [f'ALERTS{{alertname="Down",alertstate="firing",service="{name}"}} 1 {at:.0f}' for at in instants]
    (home / "samples").write_text("\n".join([*lines, "# EOF", ""]))
    (home / "config.yml").write_text("{}\n")
    argv = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(home / "samples"), str(home / "data")]
    subprocess.run(argv, check=True, capture_output=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    argv = [
        "prometheus", f"--config.file={home}/config.yml", f"--storage.tsdb.path={home}/data", f"--web.listen-address={address}"
    ]  # fmt: skip
    with (home / "log").open("w") as log:
        child = subprocess.Popen(argv, stdout=log, stderr=log, cwd=home)

    def answers() -> bool:
        try:
            return bool(vector(f"http://{address}", "vector(1)"))
        except PrometheusError:
            return False

    try:
        assert until(answers, 90)
        yield f"http://{address}"
    finally:
        child.kill()
        child.wait()
