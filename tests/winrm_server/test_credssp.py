"""The endpoint by CredSSP, judged by pypsrp and pywinrm: always sealed, and the service gets the password."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.winrm_server.certificates import Certificates
from tests.winrm_server.clients import CLIENTS, Client, Login, RejectedError
from tests.winrm_server.conftest import USERS
from tests.winrm_server.server import WinrmServer
from tests.winrm_server.tls import Tls

KINDS = sorted(CLIENTS)

pytestmark = [
    pytest.mark.usefixtures("no_realm", "swept"),
    # Both clients leave a socket behind, in a cycle, where the login fails half-way.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.fixture
def swept() -> Iterator[None]:
    """What a client left behind is gone with the test that used it."""
    yield
    gc.collect()


@pytest.fixture
def server(drive: Path) -> Iterator[WinrmServer]:
    """A service that takes nothing else."""
    with WinrmServer(users=USERS, transports=("credssp",), drive=drive) as started:
        yield started


def connect(kind: str, server: WinrmServer, **more: Any) -> Client:
    """Log in."""
    return CLIENTS[kind](replace(Login(server.port, "credssp", sealed=True), **more))


@pytest.mark.parametrize("kind", KINDS)
def test_delegated_password(kind: str, server: WinrmServer) -> None:
    """One login for all requests; the service can log in elsewhere as the user."""
    client = connect(kind, server)
    assert client.run("echo %USERNAME%").stdout == b"vagrant\r\n"
    answer = client.run("echo out; echo err >&2; exit 3")
    assert (answer.stdout, answer.stderr, answer.rc) == (b"out\r\n", b"err\r\n", 3)
    client.close()
    assert [(each.username, each.password) for each in server.delegated] == [("vagrant", "secret")]
    assert (server.connections, server.logins, server.unsealed) == (1, 1, 0)
    assert not server.shells


@pytest.mark.parametrize("kind", KINDS)
def test_messages_larger_than_a_record_of_tls(kind: str, server: WinrmServer) -> None:
    """16 KB is what one sealed part holds: larger ones are several, in both directions."""
    client = connect(kind, server)
    assert client.run("wc -c", stdin=bytes(300_000)).stdout.split() == [b"300000"]
    for size in (16_000, 49_000, 300_000):
        assert len(client.run(f"head -c {size} /dev/zero | tr '\\0' x").stdout) == size
    client.close()


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_password(kind: str, server: WinrmServer) -> None:
    with pytest.raises(Exception, match="0x8009030c") as raised:  # SEC_E_LOGON_DENIED
        connect(kind, server, password="wrong")
    assert "wrong" not in str(raised.value)
    assert server.failed_logins == 1
    assert server.operations == []
    assert server.delegated == []


@pytest.mark.parametrize("kind", KINDS)
def test_account_that_is_not_there(kind: str, server: WinrmServer) -> None:
    with pytest.raises(Exception, match="Received NTStatus in TSRequest"):
        connect(kind, server, user="nobody")
    assert server.failed_logins == 1


@pytest.mark.parametrize("kind", KINDS)
def test_over_https(certificates: Certificates, kind: str) -> None:
    """Its own TLS runs within that of the channel; messages need no seal then."""
    tls = Tls(certificates.right.certificate, certificates.right.key)
    with WinrmServer(users=USERS, transports=("credssp",), tls=tls) as server:
        for sealed in (True, None):
            client = connect(kind, server, authority=certificates.authority.certificate, sealed=sealed)
            assert client.run("echo in").stdout == b"in\r\n"
            client.close()


@pytest.mark.parametrize("kind", KINDS)
def test_not_offered(kind: str, drive: Path) -> None:
    """CredSSP is off on Windows unless somebody turns it on."""
    with WinrmServer(users=USERS, transports=("ntlm",), drive=drive) as server:
        with pytest.raises((RejectedError, Exception), match=r"(?i)credssp|credentials"):
            connect(kind, server)
        assert server.logins == 0
