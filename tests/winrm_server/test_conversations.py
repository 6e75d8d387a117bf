"""The endpoint, judged by clients that nobody here wrote: pypsrp and pywinrm hold the same conversations with it."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.winrm_server import faults
from tests.winrm_server.clients import CLIENTS, Client, FaultError, Login, RejectedError, encoded
from tests.winrm_server.conftest import USERS
from tests.winrm_server.powershell import Answer
from tests.winrm_server.server import WinrmServer

CONTROL_C_EXIT = 0xC000013A
Connect = Callable[[Login], Client]

pytestmark = pytest.mark.usefixtures("no_realm")


@pytest.fixture
def server(drive: Path) -> Iterator[WinrmServer]:
    """A service that takes everything, sealed or not."""
    with WinrmServer(
        users=USERS, transports=("basic", "ntlm", "negotiate"), allow_unencrypted=True, drive=drive
    ) as started:
        yield started


@pytest.fixture(params=sorted(CLIENTS))
def kind(request: pytest.FixtureRequest) -> str:
    """Each client in turn."""
    return str(request.param)


@pytest.fixture
def connect(kind: str, server: WinrmServer) -> Iterator[Connect]:
    """Opens connections of one client, and closes them at the end, before the server ends."""
    opened: list[Client] = []

    def one(login: Login) -> Client:
        client: Client = CLIENTS[kind](login)
        opened.append(client)
        return client

    yield one
    for client in opened:
        with contextlib.suppress(FaultError):  # the shell is gone
            client.close()


LOGINS = {
    "basic": Login(0, "basic"),
    "ntlm in the clear": Login(0, "ntlm", sealed=False),
    "ntlm": Login(0, "ntlm", sealed=True),
}
"""By transport; the port is filled in."""


@pytest.fixture(params=sorted(LOGINS))
def login(request: pytest.FixtureRequest, server: WinrmServer) -> Login:
    """Each transport in turn."""
    return replace(LOGINS[request.param], port=server.port)


@pytest.fixture
def sealed(server: WinrmServer) -> Login:
    """The login of conversations that need not be held by every transport: NTLM, encrypted."""
    return replace(LOGINS["ntlm"], port=server.port)


def operations(server: WinrmServer) -> list[str]:
    """What was asked, with Receives and Sends that follow each other counted once."""
    named = [event.op for event in server.log]
    return [
        op for before, op in zip([None, *named], named, strict=False) if op not in ("Receive", "Send") or op != before
    ]


ONE = ["Command", "Receive", "Signal"]


def test_commands_share_one_shell_and_one_connection(connect: Connect, login: Login, server: WinrmServer) -> None:
    """The first login's cost is not paid again, whatever the transport."""
    client = connect(login)
    for word in ("one", "two", "three"):
        assert client.run(f"echo {word}").stdout == f"{word}\r\n".encode()
    client.close()
    assert operations(server) == ["Create", *ONE * 3, "Delete"]
    assert server.connections == 1
    assert not server.shells
    assert server.unsealed == (0 if login.sealed else 11)


def test_streams_and_exit_code(connect: Connect, login: Login) -> None:
    answer = connect(login).run("echo out; echo err >&2; exit 3")
    assert (answer.stdout, answer.stderr, answer.rc) == (b"out\r\n", b"err\r\n", 3)


@pytest.mark.parametrize("code", [0, 1, 255, 259, 9009, -1, -1073741510])
def test_exit_codes_are_unsigned(connect: Connect, sealed: Login, code: int) -> None:
    assert connect(sealed).run(f"exit {code}").rc == code & 0xFFFFFFFF


def test_utf_8(connect: Connect, login: Login) -> None:
    text = "grüße 日本 € 🙂 <&> ]]>"
    assert connect(login).run("cat", stdin=text.encode()).stdout == text.encode()
    assert connect(login).run(f"echo '{text}'").stdout.strip() == text.encode()


def test_300_kb_of_input(connect: Connect, login: Login, server: WinrmServer) -> None:
    """It arrives whole, over several Sends, of which the last has End."""
    data = bytes(range(1, 255)) * 1200
    answer = connect(login).run("sha1sum", stdin=data)
    assert answer.stdout.split()[0].decode() == hashlib.sha1(data).hexdigest()
    assert sum(event.op == "Send" for event in server.log) == 4


def test_no_input_at_all_ends_it(connect: Connect, sealed: Login) -> None:
    assert connect(sealed).run("cat; echo after", stdin=b"").stdout == b"after\r\n"


def test_300_kb_of_output(connect: Connect, login: Login, server: WinrmServer) -> None:
    """It comes whole, in answers that fit the envelope's size."""
    answer = connect(login).run("seq 1 50000")
    assert answer.stdout == "".join(f"{n}\r\n" for n in range(1, 50001)).encode()
    assert sum(event.op == "Receive" for event in server.log) >= 3


def test_operation_timeout(connect: Connect, sealed: Login) -> None:
    """A Receive without output ends with a fault, and the next goes on."""
    client = connect(replace(sealed, seconds=1))
    command = client.start("read line; echo got $line")
    with pytest.raises(FaultError) as raised:
        client.receive(command)
    assert raised.value.code == faults.TIMED_OUT
    client.signal(command, "terminate")


def test_output_after_an_operation_timeout(connect: Connect, sealed: Login) -> None:
    """Both clients go on asking by themselves."""
    assert connect(replace(sealed, seconds=1)).run("echo a; sleep 1.3; echo b").stdout == b"a\r\nb\r\n"


QUOTA = {"pypsrp": ("w:QuotaLimit", "w:InternalError"), "pywinrm": (faults.MAX_SHELLS, faults.MAX_OPERATIONS)}
"""What the clients make of a quota's fault: pypsrp does not read MSFT_WmiError, where the number is."""


def test_quota_of_shells(connect: Connect, kind: str, sealed: Login, server: WinrmServer) -> None:
    server.max_shells = 1
    first = connect(sealed)
    with pytest.raises(FaultError, match="allowed a maximum number of 1 concurrent shells") as raised:
        connect(sealed)
    assert raised.value.code == QUOTA[kind][0]
    assert first.run("echo still").stdout == b"still\r\n"


def test_quota_of_operations(connect: Connect, kind: str, sealed: Login, server: WinrmServer) -> None:
    server.max_operations = 1
    client = connect(sealed)
    client.run("echo one")
    with pytest.raises(FaultError) as raised:
        client.run("echo two")
    assert raised.value.code == QUOTA[kind][1]


def test_shell_not_found(connect: Connect, sealed: Login, server: WinrmServer) -> None:
    """What the service says after its restart."""
    client = connect(sealed)
    command = client.start("cat")
    server.misbehave("forget")
    for ask in (lambda: client.receive(command), lambda: client.run("echo")):
        with pytest.raises(FaultError) as raised:
            ask()
        assert raised.value.code == faults.NO_SHELL
    assert not server.shells


def test_ctrl_c(sealed: Login, server: WinrmServer) -> None:
    """It ends what runs, and the exit code says so; pywinrm can't send it."""
    client = CLIENTS["pypsrp"](sealed)
    try:
        command = client.start("echo up; exec sleep 60")
        assert client.receive(command)[0] == b"up\r\n"
        client.signal(command, "ctrl_c")
        assert client.receive(command) == (b"", b"", CONTROL_C_EXIT)
    finally:
        client.close()
    signals = [event.detail for event in server.log if event.op == "Signal"]
    assert len(signals) == 1
    assert "ctrl_c" in str(signals[0])


def test_terminate_ends_the_process(connect: Connect, sealed: Login, server: WinrmServer, tmp_path: Path) -> None:
    client = connect(sealed)
    command = client.start("echo $$; exec sleep 60")
    pid = int(client.receive(command)[0])
    assert Path(f"/proc/{pid}").exists()
    client.signal(command, "terminate")
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(FaultError):
        client.receive(command)


def test_powershell_double(connect: Connect, sealed: Login, server: WinrmServer) -> None:
    server.powershell["Get-Thing -Name 'x'"] = Answer("thing\r\n", "no other thing", 5)
    server.powershell[re.compile("Read-All")] = Answer(run=lambda call: call.out("|".join(call.stdin)) or 0)
    client = connect(sealed)
    answer = client.run(encoded("Get-Thing -Name 'x'"))
    assert (answer.stdout, answer.rc) == (b"thing\r\n", 5)
    assert answer.stderr.startswith(b"#< CLIXML\r\n<Objs ")
    assert b'<S S="Error">no other thing</S>' in answer.stderr
    assert client.run(encoded("Read-All"), stdin=b"a\r\nb\r\n").stdout == b"a|b"


def test_ntlm_within_spnego(server: WinrmServer) -> None:
    """What Windows' own clients send; pywinrm does not."""
    client = CLIENTS["pypsrp"](Login(server.port, "negotiate", sealed=True))
    assert client.run("wc -c", stdin=b"x" * 300_000).stdout.strip() == b"300000"
    assert client.run("seq 1 50000").stdout.endswith(b"\r\n50000\r\n")
    client.close()
    assert (server.connections, server.unsealed, server.login_log) == (1, 0, [(True, "Negotiate", "vagrant")])


@pytest.mark.parametrize("name", ["basic", "ntlm"])
def test_wrong_password(connect: Connect, name: str, server: WinrmServer) -> None:
    with pytest.raises(RejectedError):
        connect(replace(LOGINS[name], port=server.port, password="wrong"))
    assert not server.shells
    assert operations(server) == []


def test_password_that_is_not_ascii(connect: Connect, sealed: Login) -> None:
    user, password = next(reversed(USERS.items()))
    assert connect(replace(sealed, user=user, password=password)).run("echo in").stdout == b"in\r\n"


def test_unsealed_is_refused(connect: Connect, drive: Path) -> None:
    """AllowUnencrypted is off on Windows unless somebody turns it on: there Basic over HTTP is a 401."""
    with WinrmServer(users=USERS, transports=("basic", "ntlm"), drive=drive) as strict:
        with pytest.raises(Exception, match=r"401|500|rejected|authenticate"):
            connect(Login(strict.port, "basic"))
        client = connect(Login(strict.port, "ntlm", sealed=True))
        assert client.run("echo in").stdout == b"in\r\n"
        client.close()
        assert strict.unsealed == 0 or not [event for event in strict.log if event.op == "Create"][1:]
