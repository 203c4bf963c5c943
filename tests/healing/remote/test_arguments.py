"""What ssh is started with, and what a plan holds of a host: no sshd is needed."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from healing.actions import ACTIONS
from healing.checks import CHECKS
from healing.remote import Remote, remote_of, setup, ssh
from selfheal.errors import Invalid, NotApplicable
from selfheal.places import Place

PLACE = Place("web", "web-01", labels={"unit": "web.service"}, via="ssh", user="heal", command_allow=("/bin/true",))
KEY, KNOWN = Path("/run/secrets/ssh_key"), Path("/etc/selfheal/ssh_known_hosts")


def test_the_argument_list_holds_no_command_and_ends_with_the_host():
    argv = ssh.command(Remote(host="web-01", user="heal"), KEY, KNOWN)
    assert argv[:6] == ["/usr/bin/ssh", "-F", "none", "-T", "-e", "none"]
    assert argv[-6:] == ["-p", "22", "-l", "heal", "--", "web-01"]


def test_every_option_is_one_that_the_client_knows():
    """It shows what it made of them."""
    argv = ssh.command(Remote(host="web-01", user="heal", port=2222), Path("/a b/100%/key"), KNOWN)
    done = subprocess.run([argv[0], "-G", *argv[1:]], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    wanted = {
        "batchmode": "yes", "stricthostkeychecking": "true", "userknownhostsfile": str(KNOWN), "globalknownhostsfile": "none",
        "identitiesonly": "yes", "identityagent": "none", "identityfile": "/a b/100%%/key", "forwardagent": "no",
        "forwardx11": "no", "clearallforwardings": "yes", "permitlocalcommand": "no", "controlmaster": "false", "tunnel": "false",
        "requesttty": "false", "port": "2222", "user": "heal", "hostname": "web-01",
    }  # fmt: skip
    assert {name: said.get(name) for name in wanted} == wanted
    assert not {"proxycommand", "proxyjump", "knownhostscommand", "localcommand"} & set(said)


@pytest.mark.parametrize("path", ["relative", '/a"b', "/a\nb", "/${HOME}/key", "/a\\b"])
def test_a_path_that_ssh_would_read_as_something_else_is_refused(path):
    with pytest.raises(Invalid, match="no path that ssh can be given"):
        ssh.command(Remote(host="web-01", user="heal"), KEY, Path(path))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("target", host) for host in ("-oProxyCommand=id", "a b", "a@b", "a;b", "ssh://a", "a\nb", "", "a%h", "a/b")],
        *[("user", user) for user in ("-l", "root ", "a;b", "Root", "a@b", "a\n")],
    ],
)
def test_no_host_and_no_user_is_an_option_or_anything_else(field, value):
    with pytest.raises(Invalid):
        remote_of(replace(PLACE, **{field: value}))


def test_a_host_without_a_user_says_what_to_add():
    with pytest.raises(Invalid, match="does not say as which user web-01 is reached by ssh"):
        remote_of(replace(PLACE, user=""))


@pytest.mark.parametrize(
    ("doer", "given"),
    [
        (ACTIONS["process.restart"], {}),
        (ACTIONS["process.stop"], {"unit": "other.service"}),
        (ACTIONS["command.run"], {"argv": ["/bin/true"]}),
        (CHECKS["process_up"], {}),
        (CHECKS["command"], {"argv": ["/bin/true"]}),
    ],
)
def test_what_is_frozen_says_where_it_runs(doer, given):
    """So the digest that is approved covers it."""
    assert doer.freeze(given, PLACE)["remote"] == {"host": "web-01", "user": "heal"}
    assert doer.freeze(given, replace(PLACE, port=2222))["remote"]["port"] == 2222
    assert "remote" not in doer.freeze(given, replace(PLACE, via="local"))


def test_the_words_for_an_approver_name_the_host():
    for name, given in (("process.restart", {}), ("command.run", {"argv": ["/bin/true"]})):
        action = ACTIONS[name]
        assert action.dry_run(action.freeze(given, PLACE)).endswith(" on web-01")
        assert action.targets(action.freeze(given, PLACE))[0].endswith(" on web-01")


def test_a_pidfile_is_for_this_machine_and_says_what_to_do_instead():
    place = replace(PLACE, labels={"pidfile": "/run/web.pid", "start": '["/usr/bin/web"]'})
    with pytest.raises(NotApplicable, match=r"web-01 is reached by ssh, .* have systemd or supervisord keep it"):
        ACTIONS["process.restart"].freeze({}, place)


def test_the_line_for_authorized_keys_allows_the_forced_command_only():
    assert setup.authorized_key("ssh-ed25519 AAAA selfheal") == (
        'restrict,command="/usr/bin/python3 -I /usr/local/lib/selfheal/forced_command.py --allow /etc/selfheal/allow" '
        "ssh-ed25519 AAAA selfheal"
    )
