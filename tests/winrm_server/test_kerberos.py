"""The endpoint in a real Kerberos realm, judged by pypsrp and pywinrm: tickets of MIT's KDC, none of it simulated."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from spnego.exceptions import SpnegoError

from tests.winrm_server.certificates import Certificates
from tests.winrm_server.clients import CLIENTS, Client, Login, RejectedError
from tests.winrm_server.conftest import USERS
from tests.winrm_server.kdc import REALM, Kdc, environment, realm
from tests.winrm_server.server import WinrmServer
from tests.winrm_server.tls import Tls

KINDS = sorted(CLIENTS)
TRANSPORTS = [("pypsrp", "kerberos"), ("pypsrp", "negotiate"), ("pywinrm", "kerberos")]
"""pypsrp's Kerberos is wrapped in SPNEGO, pywinrm's is not."""

Tickets = Callable[..., contextlib.AbstractContextManager[Path]]


def failure() -> tuple[type[Exception], ...]:
    """What the clients raise where they can't make a token."""
    from winrm.vendor.requests_kerberos.exceptions import KerberosExchangeError

    return SpnegoError, KerberosExchangeError


def rejection() -> tuple[type[Exception], ...]:
    """What the clients raise where the service refuses their token."""
    from winrm.vendor.requests_kerberos.exceptions import MutualAuthenticationError

    return RejectedError, MutualAuthenticationError


@pytest.fixture(scope="module")
def ticket(kdc: Kdc, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the first user's ticket, that may be passed on."""
    cache = tmp_path_factory.mktemp("tickets") / "cache"
    user, password = next(iter(USERS.items()))
    kdc.kinit(cache, user, password, forwardable=True)
    return cache


@pytest.fixture
def own(kdc: Kdc, ticket: Path) -> Iterator[None]:
    """This process has the first user's ticket."""
    with environment(kdc.environment(ticket)):
        yield


@contextlib.contextmanager
def serving(kdc: Kdc, tls: Tls | None = None) -> Iterator[WinrmServer]:
    """A service of the realm that takes nothing else."""
    with WinrmServer(
        users=USERS, transports=("kerberos",), allow_unencrypted=True, tls=tls, surroundings=acceptor(kdc)
    ) as started:
        yield started


def acceptor(kdc: Kdc) -> dict[str, str]:
    """The variables that the service needs; they say nothing of the client's tickets."""
    return {name: value for name, value in kdc.environment().items() if name != "KRB5CCNAME"}


@pytest.fixture
def server(kdc: Kdc) -> Iterator[WinrmServer]:
    """The service over HTTP."""
    with serving(kdc) as started:
        yield started


def connect(kind: str, server: WinrmServer, transport: str = "kerberos", **more: object) -> Client:
    """Log in with the ticket that is there."""
    login = Login(server.port, transport, user=None, password=None, sealed=True)
    return CLIENTS[kind](replace(login, **more))


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(("kind", "transport"), TRANSPORTS)
@pytest.mark.parametrize("sealed", [True, False])
def test_ticket_of_the_cache(kind: str, transport: str, sealed: bool, server: WinrmServer) -> None:
    """One login for all requests, and nothing readable on the wire where it is sealed."""
    client = connect(kind, server, transport, sealed=sealed)
    assert client.run("echo %USERNAME%").stdout == b"vagrant\r\n"
    assert client.run("wc -c", stdin=bytes(300_000)).stdout.split() == [b"300000"]
    assert client.run("echo err >&2; exit 3").rc == 3
    client.close()
    assert server.login_log == [(True, "Negotiate", "vagrant")]
    assert server.connections == 1
    assert (server.unsealed == 0) is sealed
    assert not server.shells


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(("kind", "transport"), TRANSPORTS)
@pytest.mark.parametrize("delegate", [True, False])
def test_delegation(kind: str, transport: str, delegate: bool, server: WinrmServer) -> None:
    """The service gets the user's own ticket where the client was told so, and only there."""
    client = connect(kind, server, transport, delegate=delegate)
    client.close()
    assert server.delegated == ([f"vagrant@{REALM}"] if delegate else [])


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bindings", [True, False])
def test_channel_bindings(kdc: Kdc, certificates: Certificates, kind: str, bindings: bool) -> None:
    """MIT's acceptor compares bindings that are sent, and takes a login without any."""
    tls = Tls(certificates.right.certificate, certificates.right.key)
    with serving(kdc, tls) as server:
        client = connect(kind, server, authority=certificates.authority.certificate, bindings=bindings, sealed=False)
        assert client.run("echo in").stdout == b"in\r\n"
        client.close()
        assert server.failed_logins == 0


@pytest.mark.usefixtures("own")
def test_bindings_of_another_channel(kdc: Kdc, certificates: Certificates) -> None:
    """They are compared; pywinrm 0.5.0 sends none with Kerberos, since it logs in before any answer (its #404)."""
    tls = Tls(certificates.right.certificate, certificates.right.key)
    tls._digest = bytes(32)
    with serving(kdc, tls) as server:
        with pytest.raises(RejectedError):
            connect("pypsrp", server, authority=certificates.authority.certificate, sealed=False)
        assert server.failed_logins >= 1
        assert not server.shells
        failed = server.failed_logins
        connect("pywinrm", server, authority=certificates.authority.certificate, sealed=False).close()
        assert server.failed_logins == failed


def test_pypsrp_gets_a_ticket_by_password(kdc: Kdc, server: WinrmServer, tmp_path: Path) -> None:
    with environment(kdc.environment(tmp_path / "none")):
        for (user, password), name in zip(USERS.items(), USERS, strict=True):
            client = connect("pypsrp", server, user=f"{user}@{REALM}", password=password)
            assert client.run("echo %USERNAME%").stdout.decode() == f"{name}\r\n"
            client.close()
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_no_ticket(kdc: Kdc, kind: str, server: WinrmServer, tmp_path: Path) -> None:
    with environment(kdc.environment(tmp_path / "none")), pytest.raises(failure(), match="No Kerberos credentials"):
        connect(kind, server)
    assert server.logins == 0


def test_expired_ticket(kdc: Kdc, server: WinrmServer, tmp_path: Path) -> None:
    """No token is made, so that the service hears of no login."""
    cache = tmp_path / "old"
    kdc.kinit(cache, *next(iter(USERS.items())), life="1s")
    kdc.wait_until_expired(cache)
    for kind in KINDS:
        with environment(kdc.environment(cache)), pytest.raises(failure(), match="Ticket expired"):
            connect(kind, server)
    assert server.logins == 0


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize("kind", KINDS)
def test_service_that_the_realm_does_not_know(kind: str, server: WinrmServer) -> None:
    with pytest.raises(failure(), match=r"HTTP/127\.0\.0\.1@\S+ not found in Kerberos database"):
        connect(kind, server, host="127.0.0.1")
    assert server.logins == 0


def test_ticket_of_another_realm(kdc: Kdc, server: WinrmServer, tmp_path: Path) -> None:
    """The same names and another KDC: the service can't read the ticket."""
    user, password = next(iter(USERS.items()))
    with realm(tmp_path / "other", {user: password}) as other:
        other.kinit(tmp_path / "cache", user, password)
        for kind in KINDS:
            with environment(other.environment(tmp_path / "cache")), pytest.raises(rejection()):
                connect(kind, server)
    assert server.failed_logins >= 2
    assert not [event for event in server.log if event.op == "Create"]


def test_kdc_away(tmp_path: Path) -> None:
    """With the service's ticket in the cache nobody asks the KDC; without it there is no login."""
    user, password = next(iter(USERS.items()))
    with realm(tmp_path / "kdc", {user: password}) as own, serving(own) as server:
        for name in ("used", "unused"):
            own.kinit(tmp_path / name, user, password)
        with environment(own.environment(tmp_path / "used")):
            connect("pywinrm", server).close()
        assert f"HTTP/localhost@{REALM}" in own.tickets(tmp_path / "used")
        own.stop()
        for kind in KINDS:
            with environment(own.environment(tmp_path / "used")):
                connect(kind, server).close()
            with (
                environment(own.environment(tmp_path / "unused")),
                pytest.raises(failure(), match="Cannot contact any"),
            ):
                connect(kind, server)
        assert server.failed_logins == 0
