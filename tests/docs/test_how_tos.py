"""The how-tos are carried out: every command in them, in their order, at an installation that runs."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from config.env import SETTINGS
from healing import idempotency
from healing.notifications import sending
from tests.docs.pages import DOCS, ROOT, blocks, run
from tests.installation import Installation
from tests.processes import until

pytestmark = pytest.mark.xdist_group("how-tos")
yaml = YAML(typ="safe")


LABELS = "labels: {pidfile: /tmp/no-such.pid, start: '[\"/bin/true\"]'}"
SERVICES = f"services:\n  - {{name: web, mode: observe, url: 'http://127.0.0.1:1', {LABELS}}}\n"


class House:
    """An installation, a token that may read and deliver, and a directory to work in."""

    def __init__(self, at: Installation, folder: Path) -> None:
        self.at, self.folder = at, folder
        (folder / "secrets").mkdir()
        (folder / "backups").mkdir()
        at.run("user", "create", "alertmanager", "--role", "viewer")
        said = at.run("token", "create", "--user", "alertmanager", "--scope", "read,ingest", "--json").stdout
        self.token = json.loads(said)
        shell = at.shell()
        self.environment = shell | {
            "TOKEN": self.token["token"],
            "PYTHONPATH": str(ROOT),
            "PATH": f"{folder}/bin:{shell['PATH']}",
            "SELF_HEAL_SECRETS_DIR": str(folder / "secrets"),
        }

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token['token']}"}

    def do(self, block: str, **instead: str) -> str:
        """Run a block; `instead` has the words in the place of which others stand."""
        for word, other in {"/backups": f"{self.folder}/backups", **instead}.items():
            block = block.replace(word, other)
        return run(block, self.environment, self.folder)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("how-tos")
    execute = {"SELF_HEAL_EXECUTE": "true", "SELF_HEAL_TIME_ZONE": "UTC"}
    with Installation(folder, SELF_HEAL_PLAYBOOK_DIRS=str(folder / "playbooks"), **execute) as installation:
        (installation.config / "services.yaml").write_text(SERVICES)
        for name in ("commands.yaml", "queries.yaml"):
            shutil.copy(ROOT / "config" / name, installation.config)
        shutil.copytree(ROOT / "config/playbooks", folder / "playbooks")
        (folder / "work").mkdir()
        yield House(installation.start(), folder / "work")


# ---- each page


@pytest.mark.soak
def test_alerts_of_grafana_arrive_as_the_page_sends_them(house: House) -> None:
    make, test = blocks("how-to/grafana.md")
    assert "sh_" in house.do(make)
    said = house.do(test)
    assert '"accepted":1' in said.replace(" ", "")
    assert "web" in said


@pytest.mark.soak
def test_a_token_and_the_keys_are_changed_as_the_page_says(house: House) -> None:
    make, revoke, log, session, ssh = blocks("how-to/rotate-keys.md")
    listed = house.do(make)
    assert "Alertmanager, new" in listed
    extra = json.loads(house.do("selfheal token create --user alertmanager --scope read --json"))
    house.do(revoke, **{"6f9c…": extra["id"]})
    before = house.do(KEY)
    verified = house.do(log.replace("rotate\n", "rotate\n" + until_true(f'test "$({KEY})" != "{before.strip()}"')))
    assert re.search(r"\bok\b|verif|whole", verified)
    assert (house.folder / "backups/selfheal-new-key.tar").stat().st_mode & 0o077 == 0
    old = (house.at.home / "secret.key").read_text()
    house.do(session)
    house.do(ssh)
    assert (house.folder / "secrets/ssh_key.new.pub").exists()
    assert house.at.signal(signal.SIGTERM) == 0
    house.at.start()
    assert (house.at.home / "secret.key").read_text() != old


KEY = """curl --silent --fail -H "Authorization: Bearer $TOKEN" $SELF_HEAL_BASE_URL/api/log/key"""


def until_true(command: str) -> str:
    return f"for each in $(seq 100); do if {command}; then break; fi; read -t 0.1 <> <(:) || true; done\n"


@pytest.mark.soak
def test_an_auditor_verifies_as_the_page_says(house: House) -> None:
    get, small, pure, again, proof, replay = (
        block for under in AUDIT for block in blocks("how-to/audit-the-log.md", under=under)
    )
    alert = '{"service": "web", "target": "web", "diagnosis": "service_down", "title": "audited", "severity": "low"}'
    house.do(f"curl -sf -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' "
             f"$SELF_HEAL_BASE_URL/api/self_heal/alerts -d '{alert}'")  # fmt: skip
    decided = house.do(until_true('selfheal runs list --json | grep -q "\\"id\\""') + "selfheal runs list --json")
    number = json.loads(decided)[0]["id"]
    house.do(until_true(f"selfheal log replay {number} >/dev/null 2>&1"))
    shutil.copy(DOCS / "how-to/verify_log.py", house.folder)
    shutil.rmtree(house.folder / "for-the-auditor", ignore_errors=True)
    house.do(get)
    assert "whole" in house.do(small) or "entries" in house.do(small)
    house.do(pure)
    house.do(again)
    printed = house.do(proof)
    assert json.loads(printed[printed.index("{") :])["actor"]
    told = json.loads(house.do(replay, RUN=number))
    assert (told["run"]["playbook"], told["faults"]) == ("restart-process", [])


AUDIT = ("Get it", "Is it whole?", "Is it the log that I saw before?", "One entry, with its proof", "What did this run do?")


@pytest.mark.soak
def test_a_further_worker_shows_itself_as_the_page_says_and_ends_when_it_is_asked_to(house: House) -> None:
    start, look = blocks("how-to/scale-out.md")
    before = house.do(look).splitlines()
    words = start.replace("--concurrency 8", "--concurrency 1").split()
    with (house.folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen(words, env=house.environment, stdout=log, stderr=log)
    try:
        assert until(lambda: len(house.do(look).splitlines()) == len(before) + 1), (house.folder / "worker.log").read_text()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
        assert len(house.do(look).splitlines()) == len(before)
    finally:
        worker.kill()


@pytest.mark.soak
def test_the_settings_of_keeping_are_taken(house: House) -> None:
    (block,) = blocks("how-to/keep-for-how-long.md")
    house.do(block)


@pytest.mark.soak
def test_the_secret_of_slack_is_written_as_the_page_says(house: House) -> None:
    (block,) = [each for each in blocks("how-to/notifications.md") if "SLACK" in each]
    house.do("SLACK_BOT_TOKEN=xoxb-1-2-3\n" + block)
    written = house.folder / "secrets/SLACK_BOT_TOKEN"
    assert (written.read_text(), written.stat().st_mode & 0o777) == ("xoxb-1-2-3\n", 0o600)


# ---- what they say


def test_the_figures_of_keeping_are_those_of_the_code() -> None:
    page = (DOCS / "how-to/keep-for-how-long.md").read_text()
    defaults = {setting.name: setting.default for setting in SETTINGS}
    rows = {name: words for words, name in re.findall(r"\| (\d+ \w+)[^|]*\| `(SELF_HEAL_\w+)` \|", page)}
    assert rows == {
        "SELF_HEAL_KEEP_OUTPUT_DAYS": f"{defaults['SELF_HEAL_KEEP_OUTPUT_DAYS']} days",
        "SELF_HEAL_KEEP_SIGNALS_HOURS": f"{defaults['SELF_HEAL_KEEP_SIGNALS_HOURS']} hour",
    }
    assert f"| messages that were sent, or given up | {sending.KEPT.days} days |" in page
    assert f"Idempotency-Key gives again | {idempotency.KEPT.total_seconds() / 3600:.0f} hours |" in page


def test_the_size_of_each_table_is_asked_for_by_a_statement_that_postgresql_takes(db: None) -> None:
    from django.db import connection

    (statement,) = blocks("how-to/keep-for-how-long.md", "sql")
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(statement)
            assert cursor.fetchall()
    else:
        assert statement.startswith("SELECT relname")


def test_the_provisioning_of_grafana_leads_to_a_path_that_is_there() -> None:
    from django.urls import resolve

    provisioned, _ = (yaml.load(block) for block in blocks("how-to/grafana.md", "yaml"))
    (point,) = provisioned["contactPoints"]
    (receiver,) = point["receivers"]
    assert resolve(receiver["settings"]["url"].removeprefix("https://selfheal.internal"))
    assert provisioned["policies"][0]["routes"][0]["receiver"] == point["name"]


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (apt-get install prometheus)")
def test_the_snippet_for_prometheus_is_one_that_it_reads(tmp_path: Path) -> None:
    (tmp_path / "selfheal.token").write_text("sh_x")
    shutil.copy(DOCS / "prometheus/selfheal.rules.yml", tmp_path)
    text = blocks("how-to/grafana.md", "yaml")[1].replace("/etc/prometheus", str(tmp_path))
    (tmp_path / "prometheus.yml").write_text(text)
    done = subprocess.run(
        ["promtool", "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def addresses() -> list[str]:
    text = (DOCS / "how-to/notifications.md").read_text()
    found = re.findall(r"^(?:[a-z]+://|\$\{)\S+$", text, re.MULTILINE) + re.findall(r"`((?:slack://)?\$\{secret\.[^`]+)`", text)
    return list(dict.fromkeys(found))


FILES = {
    "SLACK_ADDRESS": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops",
    "TEAMS_ADDRESS": "json://teams.example/hook",
}


@pytest.mark.parametrize("address", addresses())
def test_every_address_of_the_page_is_one_that_apprise_knows(address: str, tmp_path: Path, settings: Any) -> None:
    import apprise

    from healing.notifications import secrets

    settings.SELF_HEAL_SECRETS_DIR = tmp_path
    for name in re.findall(r"\$\{secret\.(\w+)\}", address):
        (tmp_path / name).write_text(FILES.get(name, "xoxb-1234-1234-abcdef"))
    revealed, _ = secrets.reveal(address)
    assert apprise.Apprise().add(revealed)
