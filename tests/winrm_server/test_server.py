"""The endpoint, asked by plain pywinrm."""

from __future__ import annotations

import base64

import pytest
from winrm.exceptions import InvalidCredentialsError
from winrm.protocol import Protocol

from tests.winrm_server import Answer, WinrmServer

USERS = {"vagrant": "se:cr€t"}


def client(server: WinrmServer, transport: str, **more):
    user, password = next(iter(server.users.items()))
    more = {"username": user, "password": password, "proxy": None, "ca_trust_path": None, **more}
    return Protocol(server.url, transport=transport, **more)


def run(protocol: Protocol, line: str, arguments=(), stdin: bytes | None = None, **more):
    shell = protocol.open_shell(codepage=65001, **more)
    command = protocol.run_command(shell, line, arguments)
    if stdin is not None:
        protocol.send_command_input(shell, command, stdin, end=True)
    done = protocol.get_command_output(shell, command)
    protocol.cleanup_command(shell, command)
    protocol.close_shell(shell)
    return done


def powershell(script: str) -> str:
    return "powershell -NoProfile -EncodedCommand " + base64.b64encode(script.encode("utf-16-le")).decode()


@pytest.fixture
def server():
    with WinrmServer(USERS, ("ntlm", "basic"), allow_unencrypted=True) as server:
        yield server


@pytest.mark.parametrize(
    ("transport", "encryption", "requests"), [("basic", "auto", 5), ("ntlm", "never", 7), ("ntlm", "auto", 8)]
)
def test_a_command_runs(server, transport, encryption, requests):
    assert run(client(server, transport, message_encryption=encryption), "echo hallo") == (b"hallo\r\n", b"", 0)
    assert (server.requests, server.connections, server.logins) == (requests, 1, 1)
    assert server.operations == ["Create", "Command", "Receive", "Signal", "Delete"]
    assert server.unsealed == (0 if encryption == "auto" and transport == "ntlm" else 5)
    assert not server.shells


@pytest.mark.parametrize("transport", ["basic", "ntlm"])
def test_a_wrong_password(server, transport):
    with pytest.raises(InvalidCredentialsError):
        client(server, transport, password="wrong").open_shell()
    assert (server.logins, server.failed_logins) == (1, 1)


def test_a_program_reads_and_writes(server):
    out, err, rc = run(client(server, "ntlm"), "sh -c 'cat; echo oops >&2; exit 3'", stdin=b"\xc3\xa4\r\n\xff")
    assert (out, err, rc) == (b"\xc3\xa4\r\n\xff", b"oops\r\n", 3)


def test_scripted_powershell(server):
    server.powershell["Get-Date"] = Answer("heute\r\n", "bad\r\n", 5)
    out, err, rc = run(client(server, "ntlm"), powershell("Get-Date"))
    assert (out, rc) == (b"heute\r\n", 5)
    assert err.startswith(b"#< CLIXML\r\n<Objs ")
    assert b'<S S="Error">bad_x000D__x000A_</S>' in err
