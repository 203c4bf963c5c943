"""The metric checks against a real Prometheus that scrapes itself."""

from __future__ import annotations

import shutil
import socket
import subprocess
from dataclasses import replace

import pytest

from healing.checks import CHECKS
from healing.checks.metrics import MetricsError, ask
from selfheal.places import Place
from selfheal.queries import Query
from tests.processes import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("prometheus"),
    pytest.mark.skipif(not shutil.which("prometheus"), reason="there is no prometheus here"),
]

JOB = {"job": {"type": "string", "pattern": "^[a-z]+$"}}
PLACE = Place(
    "web",
    "web-01",
    queries={
        "up": Query(promql="up{job=${args.job}}", args=JOB),
        "samples": Query(promql="sum(prometheus_tsdb_head_samples_appended_total) # since it began"),
        "broken": Query(promql="sum by up"),
        "number": Query(promql="1"),
    },
)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    home = tmp_path_factory.mktemp("prometheus")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    (home / "config.yml").write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        f"scrape_configs: [{{job_name: itself, static_configs: [{{targets: ['{address}']}}]}}]\n"
    )
    argv = [
        "prometheus",
        f"--config.file={home}/config.yml",
        f"--storage.tsdb.path={home}/data",
        f"--web.listen-address={address}",
    ]
    with (home / "log").open("w") as log:
        child = subprocess.Popen(argv, stdout=log, stderr=log, cwd=home)
    yield f"http://{address}"
    child.kill()
    child.wait()


@pytest.fixture
def ready(context, prometheus):
    asked = replace(context, prometheus_url=prometheus)

    def has_three_points():
        try:
            return ask("count_over_time(prometheus_tsdb_head_samples_appended_total[1m])", asked)[0][1] >= 3
        except MetricsError:
            return False

    assert until(has_three_points, 90)
    return asked


@pytest.mark.parametrize(
    ("check", "given", "ok", "says"),
    [
        ("metrics_threshold", {"query": "up", "args": {"job": "itself"}, "gte": 1}, True, "up is 1 (instance=127.0.0.1:"),
        ("metrics_threshold", {"query": "up", "args": {"job": "itself"}, "lte": 0.5}, False, "which is not at most 0.5"),
        ("metrics_threshold", {"query": "up", "args": {"job": "none"}, "gte": 1}, False, "up: there is no data"),
        ("metrics_trend", {"query": "samples", "direction": "rising", "by": 1}, True, "samples is "),
        ("metrics_trend", {"query": "samples", "direction": "falling"}, False, "which is not falling over 10 s"),
        ("metrics_threshold", {"query": "broken", "gte": 1}, False, "broken: Prometheus says: invalid parameter"),
        ("metrics_threshold", {"query": "number", "gte": 1}, False, "number: Prometheus says: invalid parameter"),
    ],
)
def test_it_says_what_prometheus_says(perform, ready, check, given, ok, says):
    launched = perform(CHECKS[check], {"window": "10s", **given}, PLACE, context=ready)
    assert says in launched.message
    assert launched.result.ok is ok
