"""The fake connector's terminal: typed lines get the scripted answers."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from sshexec.connectors.base import Capability, Deadline, Timeouts
from sshexec.connectors.fake import FakeConnector, FakeContext, FakeOptions
from sshexec.connectors.local import LocalConnector, LocalContext, LocalOptions
from sshexec.connectors.terminal import Size
from sshexec.errors import ArgumentError, ConnectionLostError
from tests.connectors.screen import rest, shell, until


def connect(**variables: Any) -> FakeConnector:
    connector = FakeConnector("web1", FakeOptions.from_vars(variables, "web1"), FakeContext(), Timeouts())
    connector.open(Deadline.after(10))
    return connector


def test_lines_are_answered_and_recorded() -> None:
    connector = connect(
        fake_answers={"uptime": "up 1 day\n", "fail": {"rc": 3, "stderr": "no\n"}}, fake_prompt="web1$ "
    )
    assert Capability.TERMINAL | Capability.SIGNALS in connector.capabilities
    terminal = shell(connector, size=Size(101, 33))
    assert terminal.read(1) == b"web1$ "
    terminal.write("uptimé".encode())
    terminal.write(b"\x7fe\r")
    assert until(terminal, b"day\r\nweb1$ ") == "uptimé\b \be\r\nup 1 day\r\nweb1$ ".encode()
    terminal.write(b"nonsense\x15stty size\r")
    assert b"33 101\r\n" in until(terminal, b"101\r\nweb1$ ")
    terminal.resize(Size(77, 22))
    terminal.write(b"stty size\runknown\rfail\rexit\r")
    assert b"22 77\r\n" in (seen := rest(terminal))
    assert b"no answer for 'unknown'" in seen
    assert terminal.exit_status == 3
    calls = connector.context.hosts["web1"].calls
    assert [each["call"] for each in calls] == ["open", "terminal", "typed", "typed", "resize", *["typed"] * 4]
    assert calls[2]["line"] == "uptime"


def test_delays_pass_and_are_interrupted() -> None:
    connector = connect(fake_answers={"slow": {"stdout": "done\n", "delay": 0.1}, "never": {"delay": 600}})
    terminal = shell(connector)
    terminal.write(b"slow\rstty size\r")
    assert until(terminal, b"24 80").index(b"done") > 0, "what is typed meanwhile comes after"
    terminal.write(b"never\r")
    assert until(terminal, b"never\r\n").endswith(b"never\r\n")
    assert terminal.read(0) is None
    terminal.signal("INT")
    assert until(terminal, b"$ ") == b"^C\r\n$ "
    terminal.write(b"\x04")
    rest(terminal)
    assert terminal.exit_status == 0
    with pytest.raises(ConnectionLostError):
        terminal.write(b"x")
    with pytest.raises(ArgumentError):
        terminal.signal("STOP")


def test_a_command_alone() -> None:
    terminal = shell(connect(fake_answers={"make *": {"stdout": "made\n", "rc": 2}}), "make it")
    assert rest(terminal) == b"made\r\n"
    assert terminal.exit_status == 2


@pytest.mark.parametrize(
    ("term", "more"),
    [
        ("", {}),
        ("x\0term", {}),
        ("-x", {}),
        ("xterm", {"environment": {"A=B": "c"}}),
        ("xterm", {"environment": {"": "c"}}),
        ("xterm", {"environment": {"A": "b\0c"}}),
        ("xterm", {"environment": {"A": "\ud800"}}),
        ("xterm", {"command": ""}),
        ("xterm", {"command": "a\0b"}),
        ("xterm", {"command": "\ud800"}),
    ],
)
def test_what_no_host_can_be_given_is_bad_input(term: str, more: dict[str, Any]) -> None:
    fake = connect()
    local = LocalConnector("here", LocalOptions(), LocalContext(), Timeouts())
    local.open(Deadline.after(10))
    for connector in (fake, local):
        with pytest.raises(ArgumentError):
            connector.terminal(Size(), term, Deadline.after(10), **more)
    local.close()


def test_faults() -> None:
    lost = shell(connect(fake_fault="lost", fake_answers={"x": "some\n"}))
    lost.write(b"x\r")
    with pytest.raises(ConnectionLostError, match="broke"):
        rest(lost)
    hung = shell(connect(fake_fault="hang"))
    hung.write(b"x\r")
    until(hung, b"x\r\n")
    hung.signal("TERM")
    rest(hung)
    assert hung.exit_signal == "TERM"


def test_who_waits_is_woken_and_the_connector_closes_it() -> None:
    connector = connect(fake_answers={"flood": "x" * 300_000})
    terminal = shell(connector)
    terminal.write(b"flood\r")
    assert terminal.write(b"x", 0) == 0, "nobody has read what is there"
    until(terminal, b"x$ ")
    answers: list[bytes | None] = []
    for end in (terminal.wake, connector.close):
        thread = threading.Thread(target=lambda: answers.append(terminal.read()))
        thread.start()
        end()
        thread.join(10)
    assert answers == [None, b""]
    with pytest.raises(ConnectionLostError, match="not open"):
        shell(connector)
