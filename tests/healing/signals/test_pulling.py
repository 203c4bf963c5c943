from __future__ import annotations

import json
import logging
import shutil
import socket
import subprocess
from datetime import timedelta

import pytest
from django.test import override_settings
from django.utils import timezone

from healing import catalog, tasks
from healing.models import Incident, JobRun, Sample, Signal
from healing.prometheus import PrometheusError, vector
from healing.signals import keeping, pulling
from tests.healing.actions.conftest import server  # noqa: F401  (a fixture)
from tests.healing.intake.conftest import declare
from tests.processes import until

FILES = {
    "queries.yaml": "ups: {promql: up}\nshare: {promql: error_share}\n",
    "signals.yaml": (
        "pull:\n  - {signal: up, query: ups}\n  - {signal: error_rate, query: share, service: web, target: labels.pod}\n"
    ),
}


@pytest.fixture
def configured(db, settings, tmp_path, monkeypatch):
    monkeypatch.setattr("healing.intake.look", lambda: None)
    settings.SELF_HEAL_CONFIG_DIR = tmp_path
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    declare("web", "web-01", "web-02")
    return tmp_path


@pytest.fixture
def prometheus(configured, server, settings):  # noqa: F811
    """A server that answers as Prometheus does: `answers` by query."""
    settings.SELF_HEAL_PROMETHEUS_URL = server.url
    server.answers = {
        "up": [({"service": "web", "instance": "web-01:9100"}, "0"), ({"job": "other", "instance": "x:1"}, "1")],
        "error_share": [({"pod": "web-02"}, "0.2"), ({"pod": "web-01"}, "NaN")],
    }

    def answer(form):
        series = server.answers[form["query"][0]]
        result = [{"metric": labels, "value": [1.7e9, value]} for labels, value in series]
        return 200, json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()

    server.prometheus = answer
    return server


def test_every_series_that_finds_its_place_is_a_sample(prometheus, at):
    assert pulling.pull(at) == 2
    found = set(Sample.objects.values_list("target", "metric", "value", "at"))
    assert found == {("web-01", "up", 0.0, at), ("web-02", "error_rate", 0.2, at)}


def test_polls_in_a_row_open_an_incident(prometheus, at):
    pulling.pull(at)
    assert Incident.objects.count() == 0
    pulling.pull(at + timedelta(seconds=30))
    assert {str(each) for each in Incident.objects.all()} == {"service_down on web/web-01", "elevated_errors on web/web-02"}


def test_who_does_not_answer_is_said_once_and_becomes_unknown(prometheus, at, settings, caplog):
    pulling.pull(at)
    pulling.pull(at + timedelta(seconds=30))
    with socket.create_server(("127.0.0.1", 0)) as free:
        settings.SELF_HEAL_PROMETHEUS_URL = f"http://127.0.0.1:{free.getsockname()[1]}"
    incidents = Incident.objects.count()
    with caplog.at_level(logging.WARNING):
        for minutes in (1, 2, 3):
            assert pulling.pull(at + timedelta(minutes=minutes)) == 0
    assert caplog.text.count("what is pulled is not whole") == 1
    assert "refused" in JobRun.objects.get(job="pull").error
    keeping.expire(at + timedelta(minutes=12))
    assert set(Signal.objects.values_list("state", flat=True)) == {"unknown"}
    assert Incident.objects.count() == incidents
    settings.SELF_HEAL_PROMETHEUS_URL = prometheus.url
    assert pulling.pull(at + timedelta(minutes=13)) == 2
    assert JobRun.objects.get(job="pull").error == ""


def test_a_line_that_is_wrong_does_not_stop_the_others(prometheus, at):
    whole = prometheus.prometheus
    wrong = 400, b'{"status": "error", "error": "parse error"}'
    prometheus.prometheus = lambda form: wrong if form["query"] == ["up"] else whole(form)
    assert pulling.pull(at) == 1
    assert JobRun.objects.get().error == "ups: Prometheus says: parse error"


def test_more_series_than_the_limit_are_not_taken(prometheus, at, monkeypatch):
    monkeypatch.setattr(pulling, "MOST_SERIES", 1)
    assert pulling.pull(at) == 2
    assert "ups gives 2 series, the first 1 are taken" in JobRun.objects.get().error


def test_a_wrong_file_is_said_and_pulls_nothing(prometheus, configured, at):
    (configured / "signals.yaml").write_text("pull: [{signal: up, query: none}]\n")
    assert pulling.pull(at) == 0
    assert "signals.yaml:1:" in JobRun.objects.get().error


def test_a_sync_says_what_is_wrong_with_the_file(configured, at):
    (configured / "signals.yaml").write_text("pull: [{signal: up, query: none}]\n")
    report = catalog.sync(configured, [], at, "test")
    assert report.errors == [f"{configured}/signals.yaml:1:28: query: 'none' is no query of queries.yaml"]


def test_without_an_address_or_lines_nothing_is_asked(configured, at, settings):
    assert pulling.pull(at) == 0
    settings.SELF_HEAL_PROMETHEUS_URL = "http://127.0.0.1:9"
    (configured / "signals.yaml").unlink()
    assert pulling.pull(at) == 0
    assert JobRun.objects.get().error == ""


def test_the_beat_pulls_once_a_slot_and_not_while_the_mode_is_off(prometheus):
    with override_settings(SELF_HEAL_EXECUTE=False, SELF_HEAL_OBSERVE_ONLY=False):
        tasks.measure()
    assert prometheus.seen == []
    tasks.measure()
    asked = len(prometheus.seen)
    assert asked >= 2
    tasks.measure()
    assert len(prometheus.seen) in (asked, 2 * asked)  # another slot may have begun


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("prometheus"), reason="there is no prometheus here")
def test_a_real_prometheus_says_what_is_down(configured, settings, tmp_path):
    declare("itself", "127.0.0.1")
    declare("gone", "127.0.0.2")
    with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as nobody:
        address, closed = (f"127.0.0.1:{each.getsockname()[1]}" for each in (free, nobody))
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n"
        "  - job_name: all\n    static_configs:\n"
        f"      - {{targets: ['{address}'], labels: {{service: itself}}}}\n"
        f"      - {{targets: ['{closed.replace('127.0.0.1', '127.0.0.2')}'], labels: {{service: gone}}}}\n"
    )
    (tmp_path / "queries.yaml").write_text(
        "ups: {promql: 'up{job=${args.job}}', args: {job: {type: string, pattern: '^[a-z]+$'}}}\n"
    )
    (tmp_path / "signals.yaml").write_text("pull: [{signal: up, query: ups, args: {job: all}}]\n")
    settings.SELF_HEAL_PROMETHEUS_URL = f"http://{address}"
    argv = [
        "prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address={address}",
    ]  # fmt: skip
    with (tmp_path / "log").open("w") as log:
        child = subprocess.Popen(argv, stdout=log, stderr=log, cwd=tmp_path)

    def both_were_scraped() -> bool:
        try:
            return sorted(value for _, value in vector(settings.SELF_HEAL_PROMETHEUS_URL, "up")) == [0, 1]
        except PrometheusError:
            return False

    try:
        assert until(both_were_scraped, 90)
        now = timezone.now()
        assert pulling.pull(now) == 2
        assert pulling.pull(now + timedelta(seconds=1)) == 2
    finally:
        child.kill()
        child.wait()
    assert set(Signal.objects.values_list("service__name", "state")) == {("itself", "healthy"), ("gone", "critical")}
    assert str(Incident.objects.get()) == "service_down on gone/127.0.0.2"


def test_an_extra_probe_samples_only_what_it_is_asked_for_and_says_nothing_of_faults(prometheus, at):
    pulling.pull(at)
    said = JobRun.objects.get(job="pull").started_at
    assert pulling.pulled() == ["up", "error_rate"]
    assert pulling.probe(["up"], at + timedelta(seconds=10)) == 1
    assert set(Sample.objects.filter(at__gt=at).values_list("metric", flat=True)) == {"up"}
    assert JobRun.objects.get(job="pull").started_at == said


def test_without_prometheus_or_with_a_wrong_file_nothing_is_probed(configured, settings, at):
    assert (pulling.pulled(), pulling.probe(["up"], at)) == ([], 0)
    settings.SELF_HEAL_PROMETHEUS_URL = "http://prometheus:9090"
    (configured / "signals.yaml").write_text("pull: nonsense\n")
    assert pulling.pulled() == []
