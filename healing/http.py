"""HTTP to addresses that were declared, bounded in time and size.

Rules that this module keeps:
1. A host is resolved once, each of its addresses is judged, and the connection goes to an address that passed: no second lookup,
   so no rebinding. What stands inside an IPv6 address (mapped, 6to4, NAT64) is judged as well.
2. An address passes if the URL's origin (scheme, host, port) is declared, or if it lies in an allowed network. Link-local,
   metadata, unspecified, multicast and reserved addresses never pass.
3. No redirect is followed, no proxy and no other variable of the environment is looked at, no name or password stands in a URL.
4. Looking up, connecting, TLS, sending and reading together take no longer than `timeout` seconds; a body is read up to 1 MiB.

It stands on `http.client`, whose `connect` is a public method; requests would need a private one of urllib3 for rule 1.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from selfheal.errors import Invalid, NotAllowed

MAX_BODY = 1024 * 1024
PORTS = {"http": 80, "https": 443}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA = {
    ipaddress.ip_address(text)
    for text in ("169.254.169.254", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "192.0.0.192")
}
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


class Unreachable(OSError):
    """No answer: refused, unresolvable, cut off, or not in time. The message says which."""


class Unresolved(Unreachable):
    """The name has no address, as far as can be found out here."""


@dataclass(frozen=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool
    address: str
    certificate_ends: float | None = None  # of https, in seconds since 1970


@dataclass(frozen=True)
class Guard:
    """What may be reached: declared origins (URLs; what follows the port does not count) and networks."""

    origins: frozenset[str] = frozenset()
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    @classmethod
    def of(cls, urls: Iterable[str], networks: Iterable[str] = ()) -> Guard:
        return cls(frozenset(origin(url) for url in urls if url), tuple(ipaddress.ip_network(each) for each in networks))

    def passes(self, declared: bool, address: Address) -> bool:
        path = embedded(address)
        if any(_never(each) for each in path) or (path[-1].is_reserved and not path[-1].is_loopback):
            return False
        return declared or any(path[-1] in network for network in self.networks)


@dataclass(frozen=True)
class Url:
    scheme: str
    host: str
    port: int
    target: str = field(default="/")

    @property
    def origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse(url: str) -> Url:
    """The parts of an absolute http or https URL. Raises Invalid for anything else, and for a name or password in it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Invalid(f"is no URL: {error}", field="url") from error
    if parts.scheme not in PORTS or not parts.hostname:
        raise Invalid(f"must be an absolute http or https URL, not {url[:200]!r}", field="url")
    if parts.username is not None or parts.password is not None:
        raise Invalid("must not hold a name or a password: use `auth`", field="url")
    if any(ord(c) <= 32 or ord(c) == 127 for c in url):
        raise Invalid("must not hold spaces or control characters: write %20 for a space", field="url")
    if not url.isascii():
        raise Invalid("must be ASCII: percent-encode the path, write the host as xn--…", field="url")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Url(parts.scheme, parts.hostname, PORTS[parts.scheme] if port is None else port, target)


def origin(url: str) -> str:
    """`scheme://host:port`, with the port always written."""
    return parse(url).origin


def embedded(address: Address) -> list[Address]:
    """The address, and the IPv4 addresses that it carries; the last one is where it leads."""
    found: list[Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        for inner in (address.ipv4_mapped, address.sixtofour, address.teredo and address.teredo[1]):
            if inner:
                found.append(inner)
        if any(address in network for network in _NAT64) or (int(address) >> 32 == 0 and int(address) > 1):
            found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return found


def _never(address: Address) -> bool:
    if address in _METADATA or address.is_link_local or address.is_unspecified or address.is_multicast:
        return True
    return address.is_site_local if isinstance(address, ipaddress.IPv6Address) else address in _THIS_NETWORK


def fetch(
    method: str,
    url: str,
    guard: Guard,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout: float = 10.0,
) -> Response:
    """One request, one response. Raises Invalid (the URL), NotAllowed (the address), Unreachable (no answer in time)."""
    parts = parse(url)
    connection = (_Tls if parts.scheme == "https" else _Plain)(parts, guard, time.monotonic() + timeout)
    alarm = threading.Timer(timeout, connection.cut)
    alarm.daemon = True
    alarm.start()
    try:
        connection.request(method, parts.target, body=body, headers={"User-Agent": "selfheal", **(headers or {})})
        return _answer(connection)
    except Unresolved:
        raise
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(_why(error, connection.was_cut, parts, timeout)) from error
    except ValueError as error:
        raise Invalid(f"cannot stand in a request: {error}", field="headers") from error
    finally:
        alarm.cancel()
        connection.close()


def _answer(connection: _Guarded) -> Response:
    answer = connection.getresponse()
    body = answer.read(MAX_BODY + 1)
    if connection.was_cut:
        raise TimeoutError
    fields = {name.lower(): value for name, value in answer.getheaders()}
    return Response(answer.status, fields, body[:MAX_BODY], len(body) > MAX_BODY, connection.address, connection.certificate_ends)


def _why(error: Exception, cut: bool, parts: Url, timeout: float) -> str:
    if cut or isinstance(error, TimeoutError):
        return f"{parts.origin} gave no whole answer within {timeout * 1000:.0f} ms"
    if isinstance(error, Unreachable):
        return str(error)
    if isinstance(error, OSError):
        return f"{parts.origin}: {error.strerror or error}"
    return f"{parts.origin} does not speak HTTP: {type(error).__name__} {str(error)[:200]}".rstrip()


class _Guarded(http.client.HTTPConnection):
    """A connection that goes only where the guard lets it, and can be cut from outside."""

    def __init__(self, parts: Url, guard: Guard, deadline: float) -> None:
        super().__init__(parts.host, parts.port)
        self.parts, self.guard, self.deadline = parts, guard, deadline
        self.address, self.was_cut = "", False
        self.certificate_ends: float | None = None
        self.wire: socket.socket | None = None  # `sock` is None as soon as a response says that it is the last

    def left(self) -> float:
        return max(0.001, self.deadline - time.monotonic())

    def connect(self) -> None:
        found = resolve(self.parts, self.left())
        declared = self.parts.origin in self.guard.origins
        passed = [each for each in found if self.guard.passes(declared, each[1])]
        if not passed:
            raise NotAllowed(
                f"{self.parts.host} is {', '.join(sorted({str(address) for _, address in found}))}, which HTTP may not reach: "
                "declare it as the url of a service, or its network in SELF_HEAL_HTTP_ALLOW"
            )
        self._use(self._first(passed))

    def _use(self, sock: socket.socket) -> None:
        self.sock = self.wire = sock
        sock.settimeout(self.left())
        if self.was_cut:  # before there was anything to cut
            raise TimeoutError

    def _first(self, passed: list[tuple[Any, Address]]) -> socket.socket:
        error = OSError("no address")
        for (family, kind, protocol, _, where), address in passed:
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(self.left())
                sock.connect(where)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.address = str(address)
                return sock
            except OSError as failed:
                sock.close()
                error = failed
        raise error

    def cut(self) -> None:
        """Called by the alarm's thread: whoever reads or writes now gets an end."""
        self.was_cut = True
        if self.wire is not None:
            with contextlib.suppress(OSError):  # it was closed a moment ago, which is what is wanted
                socket.socket.shutdown(self.wire, socket.SHUT_RDWR)


class _Plain(_Guarded):
    pass


class _Tls(_Guarded):
    def connect(self) -> None:
        super().connect()
        context = ssl.create_default_context()
        wrapped = context.wrap_socket(self.sock, server_hostname=self.parts.host, do_handshake_on_connect=False)
        self._use(wrapped)
        wrapped.do_handshake()
        ends = (wrapped.getpeercert() or {}).get("notAfter")
        self.certificate_ends = ssl.cert_time_to_seconds(str(ends)) if ends else None


def resolve(parts: Url, seconds: float) -> list[tuple[Any, Address]]:
    """What `getaddrinfo` says, with each address parsed. Raises Unreachable if it says nothing in time."""
    found: list[Any] = []
    failed: list[OSError] = []

    def look() -> None:
        try:
            found.extend(socket.getaddrinfo(parts.host, parts.port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            failed.append(error if isinstance(error, OSError) else OSError(str(error)))

    looking = threading.Thread(target=look, daemon=True)  # the C library takes no timeout
    looking.start()
    looking.join(seconds)
    if failed:
        raise Unresolved(f"{parts.host} cannot be resolved: {failed[0].strerror or failed[0]}") from failed[0]
    if not found:
        raise Unresolved(f"{parts.host} was not resolved in time")
    return [(each, ipaddress.ip_address(each[4][0].partition("%")[0])) for each in list(found)]


def same_status(status: int, wanted: int | Collection[int]) -> bool:
    return status == wanted if isinstance(wanted, int) else status in wanted
