"""What `healing.http` may reach, over real sockets."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import subprocess
import threading
import time

import pytest

from healing import http
from healing.http import MAX_BODY, Guard, Unreachable, fetch, origin
from selfheal.errors import Invalid, NotAllowed

NOWHERE = Guard()
EVERYWHERE = Guard.of([], ["0.0.0.0/0", "::/0"])


@pytest.fixture
def connections(monkeypatch):
    """Every address that a connection was tried to."""
    tried = []
    real = socket.socket.connect

    def connect(self, where):
        tried.append(where)
        return real(self, where)

    monkeypatch.setattr(socket.socket, "connect", connect)
    return tried


@pytest.fixture
def names(monkeypatch):
    """A resolver that a test can lie with: name → addresses, one list an answer."""
    answers: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def look(host, port, *args, **kwargs):
        if host not in answers:
            return real(host, port, *args, **kwargs)
        found = answers[host].pop(0) if len(answers[host]) > 1 else answers[host][0]
        kinds = [(socket.AF_INET6 if ":" in each else socket.AF_INET, each) for each in found]
        return [
            (kind, socket.SOCK_STREAM, 6, "", (each, port) if kind == socket.AF_INET else (each, port, 0, 0))
            for kind, each in kinds
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look)
    return answers


def test_a_declared_origin_is_reached_on_loopback(server):
    answer = fetch("GET", f"{server.url}/200?a=1", Guard.of([f"{server.url}/any/path"]))
    assert (answer.status, answer.body, answer.address, answer.truncated) == (200, b"answer", "127.0.0.1", False)
    assert server.seen[0][1] == "/200?a=1"


def test_an_allowed_network_is_reached(server):
    assert fetch("GET", f"{server.url}/200", Guard.of([], ["127.0.0.0/8"])).status == 200


def test_another_port_scheme_or_name_is_another_origin(server):
    host, port = server.server_address
    for other in (f"http://{host}:{port + 1}", f"https://{host}:{port}", f"http://localhost:{port}"):
        with pytest.raises(NotAllowed, match="declare it as the url of a service, or its network in SELF_HEAL_HTTP_ALLOW"):
            fetch("GET", f"{server.url}/200", Guard.of([other]))


SIDE_DOORS = [
    "http://127.0.0.1/", "http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/", "http://localhost/",
    "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://0.0.0.0/", "http://0/", "http://[::]/",
    "http://10.0.0.1/", "http://192.168.1.1/", "http://172.16.0.1/", "http://[fd00::1]/", "http://[64:ff9b::7f00:1]/",
]  # fmt: skip
NEVER = [
    "http://169.254.169.254/latest/meta-data/", "http://2852039166/", "http://0xA9FEA9FE/", "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:a9fe:a9fe]/", "http://[64:ff9b::a9fe:a9fe]/", "http://[2002:a9fe:a9fe::]/", "http://[fe80::1]/",
    "http://[fd00:ec2::254]/", "http://100.100.100.200/", "http://168.63.129.16/", "http://169.254.170.2/", "http://0.0.0.0/",
    "http://[::]/", "http://0.1.2.3/", "http://224.0.0.1/", "http://[ff02::1]/", "http://255.255.255.255/", "http://240.0.0.1/",
    "http://[::169.254.169.254]/", "http://[fec0::1]/",
]  # fmt: skip


@pytest.mark.parametrize("url", SIDE_DOORS)
def test_an_undeclared_address_is_never_connected_to(url, connections):
    with pytest.raises(NotAllowed):
        fetch("GET", url, NOWHERE, timeout=2)
    assert connections == []


@pytest.mark.parametrize("url", NEVER)
def test_metadata_and_link_local_are_never_connected_to_even_if_all_is_allowed(url, connections):
    for guard in (EVERYWHERE, Guard.of([url], ["0.0.0.0/0", "::/0"])):
        with pytest.raises(NotAllowed):
            fetch("GET", url, guard, timeout=2)
    assert connections == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1/", "//127.0.0.1/", "/health", "", "http://", "http:///x",
        "http://user:word@127.0.0.1/", "http://127.0.0.1@169.254.169.254/", "http://127.0.0.1:99999/", "http://127.0.0.1:x/",
        "http://127.0.0.1/a b", "http://127.0.0.1/a\r\nHost: evil", "http://127.0.0.1/\0", "http://ｅxample.com/", "http://[::1/",
    ],
)  # fmt: skip
def test_what_is_no_plain_url_is_refused(url, connections):
    with pytest.raises(Invalid):
        fetch("GET", url, EVERYWHERE)
    assert connections == []


METADATA_OTHERWISE = [
    # trailing dots, and digits that are written in another way
    "http://169.254.169.254./", "http://169.254.169.254.:80/", "http://0251.0376.0251.0376/", "http://0xa9.0xfe.0xa9.0xfe/",
    "http://169.254.43518/", "http://169.16689662/", "http://025177524776/", "http://0xa9fea9fe/", "http://169.0376.0xa9fe/",
    "http://①⑥⑨.②⑤④.①⑥⑨.②⑤④/", "http://１６９.254.169.254/", "http://169。254。169。254/", "http://169%2E254%2E169%2E254/",
    # a host that hides behind a name, a fragment, a query or a backslash
    "http://169.254.169.254#@web.internal/", "http://169.254.169.254?@web.internal/", "http://169.254.169.254/@web.internal",
    "http://web.internal@169.254.169.254/", "http://web.internal:80@169.254.169.254/", "http://:@169.254.169.254/",
    "http://web.internal\\@169.254.169.254/", "http://169.254.169.254\\@web.internal/", "http://web.internal%2F@169.254.169.254/",
    "http:///169.254.169.254/", "http:169.254.169.254/", "http://[169.254.169.254]/", "http:\\\\169.254.169.254/",
    # IPv4 inside IPv6, and link-local with a zone
    "http://[::ffff:0:a9fe:a9fe]/", "http://[64:ff9b:1::a9fe:a9fe]/", "http://[::ffff:100.100.100.200]/", "http://[::a9fe:a9fe]/",
    "http://[2002:a9fe:a9fe:1::1]/", "http://[2001:0:a9fe:a9fe:0:0:5601:5601]/", "http://[fe80::1%25lo]/", "http://[FE80::A]/",
    "http://[fd00:ec2::254]:80/", "http://[fd20:ce::254]/", "http://192.0.0.192/",
    # other schemes, and other ports of what is never reached
    "https://169.254.169.254/", "http://169.254.169.254:8080/", "http://169.254.169.254:0/", "dict://169.254.169.254:11211/",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/info", "jar:http://169.254.169.254!/", "HTTP://169.254.169.254/",
]  # fmt: skip


@pytest.mark.parametrize("url", METADATA_OTHERWISE)
def test_metadata_is_not_connected_to_however_it_is_written(url, connections, names):
    names["web.internal"] = [["169.254.169.254"]]
    with pytest.raises((Invalid, NotAllowed, Unreachable)):
        fetch("GET", url, Guard.of(["http://web.internal/", "http://169.254.169.254/"], ["0.0.0.0/0", "::/0"]), timeout=1)
    assert connections == []


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fd00:ec2::254", "fe80::1", "0.0.0.0", "224.0.0.1"],
)
@pytest.mark.parametrize("name", ["web.internal", "web.internal."])
def test_a_declared_name_that_leads_there_is_not_connected_to(address, name, connections, names):
    names[name] = [[address]]
    with pytest.raises(NotAllowed):
        fetch("GET", f"http://{name}/", Guard.of([f"http://{name}/"], ["0.0.0.0/0", "::/0"]), timeout=2)
    assert connections == []


def test_a_name_with_a_dot_at_its_end_is_not_the_one_that_was_declared(connections, names):
    names["web.internal."] = [["127.0.0.1"]]
    with pytest.raises(NotAllowed):
        fetch("GET", "http://web.internal./", Guard.of(["http://web.internal/"]), timeout=2)
    assert connections == []


def test_a_name_that_changes_its_address_gets_no_second_look(names, server, connections):
    names["rebind.test"] = [["127.0.0.1"], ["169.254.169.254"]]
    url = f"http://rebind.test:{server.server_port}/200"
    assert fetch("GET", url, Guard.of([url])).status == 200
    assert connections == [("127.0.0.1", server.server_port)]


def test_of_several_addresses_only_those_that_pass_are_tried(names, server, connections):
    names["many.test"] = [["169.254.169.254", "127.0.0.2", "127.0.0.1"]]
    url = f"http://many.test:{server.server_port}/200"
    assert fetch("GET", url, Guard.of([url])).address == "127.0.0.1"
    assert [where[0] for where in connections] == ["127.0.0.2", "127.0.0.1"]


def test_a_redirect_is_an_answer_and_is_not_followed(server):
    answer = fetch("GET", f"{server.url}/redirect", Guard.of([server.url]))
    assert (answer.status, answer.headers["location"]) == (302, "/200")
    assert len(server.seen) == 1


def test_the_environment_does_not_choose_a_proxy(server, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")
    assert fetch("GET", f"{server.url}/200", Guard.of([server.url])).status == 200


def test_a_body_is_read_up_to_its_bound(server):
    answer = fetch("GET", f"{server.url}/big", Guard.of([server.url]))
    assert (len(answer.body), answer.truncated) == (MAX_BODY, True)


@pytest.mark.parametrize("path", ["/slow", "/drip"])
def test_an_answer_that_takes_its_time_is_cut_off(server, path):
    begun = time.monotonic()
    with pytest.raises(Unreachable, match="gave no whole answer within 200 ms"):
        fetch("GET", server.url + path, Guard.of([server.url]), timeout=0.2)
    assert time.monotonic() - begun < 20


def test_an_address_that_nobody_listens_on_says_so():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Unreachable, match="Connection refused"):
        fetch("GET", f"http://127.0.0.1:{port}/", EVERYWHERE)


def test_a_name_that_nobody_has_says_so(names, monkeypatch):
    def fail(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(Unreachable, match=r"nobody.test cannot be resolved: Name or service not known"):
        fetch("GET", "http://nobody.test/", EVERYWHERE)


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch):
    waits = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [waits.wait(5)][1:])
    with pytest.raises(Unreachable, match=r"slow\.test was not resolved in time|gave no whole answer"):
        fetch("GET", "http://slow.test/", EVERYWHERE, timeout=0.5)
    waits.set()


def test_what_speaks_no_http_says_so():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"

        def greet():
            connection, _ = listener.accept()
            connection.recv(1000)
            connection.sendall(b"SSH-2.0-OpenSSH\r\n")
            connection.close()

        greeting = threading.Thread(target=greet, daemon=True)
        greeting.start()
        with pytest.raises(Unreachable, match="does not speak HTTP"):
            fetch("GET", url, EVERYWHERE)
        greeting.join()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    home = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=web.test", "-addext", "subjectAltName=DNS:web.test", "-keyout", home / "key", "-out", home / "cert"],
        check=True, capture_output=True,
    )  # fmt: skip
    return home


@pytest.fixture
def secure(server, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert", certificate / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server


def test_tls_is_checked_against_the_name_while_the_address_was_judged(secure, names, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert"))
    names["web.test"] = names["other.test"] = [["127.0.0.1"]]
    url = f"https://web.test:{secure.server_port}/200"
    assert fetch("GET", url, Guard.of([url])).status == 200
    with pytest.raises(Unreachable, match="certificate"):
        fetch("GET", url.replace("web.test", "other.test"), EVERYWHERE)


def test_a_handshake_that_never_ends_is_cut_off():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        with pytest.raises(Unreachable, match="gave no whole answer within 200 ms"):
            fetch("GET", f"https://127.0.0.1:{silent.getsockname()[1]}/", EVERYWHERE, timeout=0.2)
        assert time.monotonic() - begun < 20


def test_a_header_cannot_smuggle_another(server):
    with pytest.raises(Invalid):
        fetch("GET", f"{server.url}/200", EVERYWHERE, headers={"X-A": "1\r\nX-B: 2"})


def test_an_origin_is_written_with_its_port():
    assert origin("http://Web.Internal/a?b") == "http://web.internal:80"
    assert origin("https://[::1]/") == "https://[::1]:443"


def test_what_stands_inside_an_address_is_seen():
    inside = http.embedded(ipaddress.ip_address("64:ff9b::10.0.0.1"))
    assert str(inside[-1]) == "10.0.0.1"
