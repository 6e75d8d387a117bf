"""The endpoint over HTTPS, judged by pypsrp and pywinrm: certificates of both sides, channel bindings."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests.exceptions

from tests.winrm_server.certificates import Certificate, Certificates
from tests.winrm_server.clients import CLIENTS, Login, RejectedError
from tests.winrm_server.conftest import USERS
from tests.winrm_server.server import WinrmServer
from tests.winrm_server.tls import Tls

KINDS = sorted(CLIENTS)

pytestmark = pytest.mark.usefixtures("no_realm")


@contextlib.contextmanager
def serving(
    certificates: Certificates, certificate: Certificate | None = None, host: str = "127.0.0.1"
) -> Iterator[WinrmServer]:
    """A service with this certificate, or the right one; it takes client certificates of the same authority."""
    shown = certificate or certificates.right
    tls = Tls(
        shown.certificate,
        shown.key,
        ca=certificates.authority.certificate,
        client_ca=certificates.authority.certificate,
        client_users={"vagrant": "vagrant"},
    )
    with WinrmServer(users=USERS, transports=("basic", "ntlm", "certificate"), tls=tls, host=host) as started:
        yield started


def login(server: WinrmServer, certificates: Certificates, transport: str = "basic", **more: object) -> Login:
    """A login that trusts the authority."""
    return replace(Login(server.port, transport, authority=certificates.authority.certificate), **more)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["right", "rsa"])
def test_right_certificate(certificates: Certificates, kind: str, name: str) -> None:
    """One handshake for all requests; bodies need no other seal."""
    with serving(certificates, getattr(certificates, name)) as server:
        client = CLIENTS[kind](login(server, certificates))
        data = bytes(range(256)) * 1200
        assert client.run("wc -c", stdin=data).stdout.split() == [b"307200"]
        client.close()
        assert server.connections == 1
        assert server.operations[0] == "Create"
        assert server.operations[-1] == "Delete"


def _ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_certificate_for_an_address(certificates: Certificates, kind: str, host: str) -> None:
    if host == "::1" and not _ipv6():
        pytest.skip("this machine has no IPv6")
    with serving(certificates, host=host) as server:
        shown = f"[{host}]" if ":" in host else host
        client = CLIENTS[kind](login(server, certificates, host=shown))
        assert client.run("echo in").stdout == b"in\r\n"
        client.close()


WRONG = {
    "wrong_name": r"[Hh]ostname mismatch|doesn't match",
    "expired": "certificate has expired",
    "too_early": "not yet valid",
    "self_signed": "self-signed certificate",
    "untrusted": "unable to get local issuer",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", sorted(WRONG))
def test_wrong_certificate(certificates: Certificates, kind: str, name: str) -> None:
    """The client says what is wrong with it, and sends no password."""
    with serving(certificates, getattr(certificates, name)) as server:
        with pytest.raises(requests.exceptions.SSLError, match=WRONG[name]):
            CLIENTS[kind](login(server, certificates))
        assert (server.requests, server.logins) == (0, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_client_certificate(certificates: Certificates, kind: str) -> None:
    with serving(certificates) as server:
        mine = login(server, certificates, "certificate", client=certificates.client, user=None, password=None)
        client = CLIENTS[kind](mine)
        assert client.run("echo %USERNAME%").stdout == b"vagrant\r\n"
        client.close()
        assert server.login_log == [(True, "certificate", "vagrant")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["foreign_client", "expired_client"])
def test_client_certificate_that_is_not_taken(certificates: Certificates, kind: str, name: str) -> None:
    """TLS ends before a request is read."""
    with serving(certificates) as server:
        wrong = login(server, certificates, "certificate", client=getattr(certificates, name))
        with pytest.raises(requests.exceptions.ConnectionError):
            CLIENTS[kind](wrong)
        assert server.requests == 0


@pytest.mark.parametrize("kind", KINDS)
def test_client_certificate_of_nobody(certificates: Certificates, kind: str) -> None:
    """A certificate that no account is mapped to is a login that failed."""
    stranger = certificates.authority.client("nobody")
    with serving(certificates) as server:
        with pytest.raises(RejectedError):
            CLIENTS[kind](login(server, certificates, "certificate", client=stranger))
        assert [right for right, *_ in server.login_log] == [False]


@pytest.mark.parametrize(("kind", "transport"), [("pypsrp", "ntlm"), ("pypsrp", "negotiate"), ("pywinrm", "ntlm")])
@pytest.mark.parametrize("name", ["right", "rsa"])
@pytest.mark.parametrize("sealed", [False, True])
def test_channel_bindings(certificates: Certificates, kind: str, transport: str, name: str, sealed: bool) -> None:
    """A login is tied to the channel that it was sent over."""
    with serving(certificates, getattr(certificates, name)) as server:
        client = CLIENTS[kind](login(server, certificates, transport, sealed=sealed))
        assert client.run("echo in").stdout == b"in\r\n"
        client.close()
        assert (server.connections, server.logins, server.failed_logins) == (1, 1, 0)
        assert (server.unsealed == 0) is sealed


@pytest.mark.parametrize(("kind", "transport"), [("pypsrp", "ntlm"), ("pypsrp", "negotiate"), ("pywinrm", "ntlm")])
def test_no_channel_bindings(certificates: Certificates, kind: str, transport: str) -> None:
    with serving(certificates) as server:
        with pytest.raises(RejectedError):
            CLIENTS[kind](login(server, certificates, transport, bindings=False))
        assert server.failed_logins == 1
        assert not server.shells


@pytest.mark.parametrize(("kind", "transport"), [("pypsrp", "ntlm"), ("pypsrp", "negotiate"), ("pywinrm", "ntlm")])
def test_bindings_of_another_channel(certificates: Certificates, kind: str, transport: str) -> None:
    """Somebody in the middle has a certificate that the client trusts, but not the service's."""
    with serving(certificates) as server:
        assert server.tls is not None
        bindings = server.tls.bindings
        assert bindings == certificates.right.bindings
        server.tls = replace(server.tls, certificate=certificates.rsa.certificate, key=certificates.rsa.key)
        server.tls._digest = bindings.removeprefix(b"tls-server-end-point:")
        with pytest.raises(RejectedError):
            CLIENTS[kind](login(server, certificates, transport))
        assert server.failed_logins == 1


@pytest.mark.parametrize("kind", KINDS)
def test_http_on_the_https_port_and_the_reverse(certificates: Certificates, kind: str, drive: Path) -> None:
    with serving(certificates) as server:
        with pytest.raises((requests.exceptions.ConnectionError, Exception), match=r"(?i)400|aborted|reset|closed"):
            CLIENTS[kind](Login(server.port))
        assert server.requests == 0
    with WinrmServer(users=USERS, transports=("basic",), drive=drive) as plain:
        with pytest.raises(requests.exceptions.SSLError):
            CLIENTS[kind](login(plain, certificates))
        assert plain.requests == 0
