"""Windows hosts that answer, and not as they should: nothing is left there, and no deadline is passed."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.winrm import files
from sshexec.connectors.winrm.connector import WinrmConnector
from sshexec.connectors.winrm.messages import ShellMessages
from sshexec.connectors.winrm.options import WinrmOptions
from sshexec.connectors.winrm.wire import Wire
from sshexec.errors import AuthenticationError, CommandTimeoutError, ConnectionLostError, UnreachableError
from tests.connectors.winrm_host import opened, run, until
from tests.winrm_server import WinrmServer, authentication
from tests.winrm_server.certificates import Certificates
from tests.winrm_server.process import running


@pytest.fixture
def server() -> Iterator[WinrmServer]:
    with WinrmServer({"vagrant": "secret"}) as server:
        yield server


@pytest.mark.parametrize(
    ("kind", "detail"),
    [
        ("status", {"code": 501}),
        ("503", {}),
        ("html", {}),
        ("garbage", {}),
        ("cut", {}),
        ("empty500", {}),
        ("truncated", {}),
        ("relates_to", {}),
        ("unsealed", {}),
    ],
)
def test_a_host_that_never_gives_output_keeps_no_shell(server: WinrmServer, kind: str, detail: dict[str, Any]) -> None:
    server.misbehave(kind, "Receive", times=100, **detail)
    with opened(server) as win:
        with pytest.raises(ConnectionLostError) as caught:
            run(win, "echo once & sleep 60")
        assert caught.value.started
        # Not only once the connection is closed: it is kept for the next task.
        assert server.shells == {}
        pid = next(event.detail["pid"] for event in server.log if event.op == "Command")
        until(lambda: not running(pid))
        server.misbehaviours.clear()
        assert run(win, "exit 3")[0].rc == 3
    assert server.operations.count("Command") == 2


def test_answers_that_say_nothing_do_not_keep_this_side_busy(server: WinrmServer) -> None:
    with opened(server) as win:
        server.misbehave("fault", "Receive", times=100_000, code=2150858793)
        with pytest.raises(CommandTimeoutError):
            run(win, "sleep 60", seconds=1)
        assert server.operations.count("Receive") < 40


def test_tls_that_trickles_ends_at_the_deadline_under_gevent(tmp_path: Path) -> None:
    program = Path(__file__).with_name("winrm_trickle.py")
    right = Certificates(tmp_path).right
    said = subprocess.run(
        [sys.executable, str(program), str(right.certificate), str(right.key)],
        capture_output=True,
        timeout=60,
        check=True,
        text=True,
    )
    ends = json.loads(said.stdout)
    assert {step: how for step, (how, _) in ends.items()} == {
        "handshake": "TimeoutError",
        "request": "Expired",
        "answer": "Expired",
    }
    assert all(took < 2 for _, took in ends.values())


@pytest.mark.parametrize("transport", ["ntlm", "credssp"])
def test_a_message_leaves_room_for_its_encryption(transport: str) -> None:
    variables = {"ansible_user": "u@REALM", "ansible_winrm_transport": transport, "ansible_winrm_scheme": "http"}
    wire = Wire(
        "win1", WinrmOptions.from_vars({**variables, "ansible_host": "127.0.0.1"}, "win1"), WinrmConnector.Context()
    )
    assert wire.max_envelope <= 153_600 - 4096
    name = "5B1F0F2C-0000-4000-8000-00000000000A"
    assert 0.98 * wire.max_envelope < files.PIECE / 3 * 4 < wire.max_envelope
    assert ShellMessages(name).room(name, wire.max_envelope) >= files.PIECE


@pytest.mark.parametrize(
    ("begin", "more", "words"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", "does not begin"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", "too many pieces"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n", "too many pieces"),
    ],
)
def test_an_answer_without_end_is_given_up_on(server: WinrmServer, begin: bytes, more: bytes, words: str) -> None:
    # Long before a deadline: one that comes as fast as it is read leaves a process that gevent has patched no turn.
    with opened(server) as win:
        server.misbehave("garbage", "Receive", data=begin + more * 100_000)
        with pytest.raises(ConnectionLostError, match=words):
            run(win, "echo")


def test_a_huge_answer_is_not_read(server: WinrmServer) -> None:
    with opened(server) as win:
        server.misbehave("garbage", "Receive", data=b"HTTP/1.1 200 OK\r\nContent-Length: 60000000\r\n\r\n")
        begun = time.monotonic()
        with pytest.raises(ConnectionLostError, match="60000000 bytes; the command was running"):
            run(win, "echo")
        assert time.monotonic() - begun < 10


@pytest.mark.parametrize("transport", ["ntlm", "basic"])
@pytest.mark.parametrize("op", [None, "Command", "Receive", "Send", "Signal"])
def test_a_password_that_was_changed_meanwhile_is_tried_once(transport: str, op: str | None, tmp_path: Path) -> None:
    # Whatever else was to be done: signals, Delete, the next command. A few attempts lock an account.
    users = tmp_path / "users"
    authentication.write_users(users, {"vagrant": "secret"})
    given = {"NTLM_USER_FILE": str(users)}
    with WinrmServer({"vagrant": "secret"}, (transport,), allow_unencrypted=True, surroundings=given) as server:
        with opened(server, left=1) as win:
            assert run(win, "exit 0")[0].rc == 0
            server.users["vagrant"] = "another"
            authentication.write_users(users, server.users)
            if op is None:
                server.cut_connections()
            else:
                server.misbehave("cut", op)
            with contextlib.suppress(UnreachableError):
                run(win, "cat", stdin=b"text")
            with pytest.raises(AuthenticationError):
                run(win, "exit 0")
        assert (server.failed_logins, server.logins) == (1, 2)
