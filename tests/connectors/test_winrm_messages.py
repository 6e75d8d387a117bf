"""Envelopes: what is said to a WinRM service, and what is made of its answers."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest
import xmltodict
from hypothesis import given
from hypothesis import strategies as st
from winrm.protocol import Protocol

from sshexec.connectors.winrm import messages
from sshexec.connectors.winrm.messages import Request, ShellMessages
from sshexec.connectors.winrm.soap import NotSoap, root_of
from sshexec.errors import ConnectionLostError, HostError

SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
NAME = "5B1F0F2C-0000-4000-8000-00000000000A"
COMMAND = "5B1F0F2C-0000-4000-8000-00000000000B"


class Kept(Protocol):
    """pywinrm's client, which keeps what it would send."""

    def __init__(self) -> None:
        super().__init__("http://host:5985/wsman", "basic", "user", "secret", ca_trust_path="none", proxy=None)
        self.sent: str = ""

    def send_message(self, message: str) -> bytes:
        self.sent = message
        raise StopIteration


def theirs(method: str, *args: Any, **kwargs: Any) -> str:
    """Return what pywinrm would send."""
    kept = Kept()
    with pytest.raises(StopIteration):
        getattr(kept, method)(*args, **kwargs)
    return kept.sent


def content(message: str | bytes) -> Any:
    """Return an envelope as plain data, its ids taken out; the order of what stands beside each other stays."""
    text = message if isinstance(message, str) else message.decode()
    return xmltodict.parse(re.sub(r"uuid:[0-9a-f-]+", "uuid:", text))


def same(ours: Request, message: str) -> None:
    assert content(ours.body) == content(message)
    assert list(content(ours.body)["env:Envelope"]["env:Header"]) == list(
        content(message)["env:Envelope"]["env:Header"]
    )


def test_requests_are_those_of_pywinrm() -> None:
    shell = ShellMessages(NAME)
    same(messages.create({}, None, 20), theirs("open_shell", codepage=65001))
    same(
        messages.create({"A": "1 < 2", "B": 'say "x"'}, "C:\\a & b", 20),
        theirs("open_shell", codepage=65001, working_directory="C:\\a & b", env_vars={"A": "1 < 2", "B": 'say "x"'}),
    )
    for line in ("dir /s", '"a" | b'):
        same(shell.command(line, 20), theirs("run_command", NAME, line, console_mode_stdin=False))
    same(shell.receive(COMMAND, 20), theirs("get_command_output_raw", NAME, COMMAND))
    same(shell.signal(COMMAND, "terminate", 20), theirs("cleanup_command", NAME, COMMAND))
    same(shell.delete(20), theirs("close_shell", NAME))


@pytest.mark.parametrize("end", [False, True])
def test_input_is_that_of_pywinrm(end: bool) -> None:
    ours = content(ShellMessages(NAME).send(COMMAND, b"\x00\xff text", 20, end=end).body)
    # pywinrm declares the prefix once more on the element itself.
    message = theirs("send_command_input", NAME, COMMAND, b"\x00\xff text", end=end)
    assert ours == content(re.sub(rf'(<rsp:Stream[^>]*) xmlns:rsp="{SHELL}"', r"\1", message))


def test_each_request_has_an_id_of_its_own() -> None:
    shell = ShellMessages(NAME)
    first, second = shell.receive(COMMAND, 20), shell.receive(COMMAND, 20)
    assert first.id != second.id
    assert f"<a:MessageID>uuid:{first.id}</a:MessageID>".encode() in first.body


@pytest.mark.parametrize(
    ("seconds", "text"), [(20, "PT20S"), (0.5, "PT0.5S"), (1.25, "PT1.25S"), (100, "PT100S"), (0.12345, "PT0.123S")]
)
def test_seconds(seconds: float, text: str) -> None:
    assert messages.duration(seconds) == text
    assert f"<w:OperationTimeout>{text}<".encode() in ShellMessages(NAME).delete(seconds).body


XML_TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\ufffe\uffff")).filter(
    lambda text: not any(char < " " and char not in "\t\n\r" for char in text)
)


@given(XML_TEXT, XML_TEXT.filter(bool), XML_TEXT)
def test_texts_arrive_as_they_are(line: str, name: str, value: str) -> None:
    root = ET.fromstring(ShellMessages(name).command(line, 20).body)
    assert (root.findtext(f".//{{{SHELL}}}Command") or "") == line
    root = ET.fromstring(messages.create({name: value}, line, 20).body)
    variable = root.find(f".//{{{SHELL}}}Variable")
    assert variable is not None
    assert variable.get("Name") == name
    assert (variable.text or "") == value
    assert (root.findtext(f".//{{{SHELL}}}WorkingDirectory") or "") == line


@pytest.mark.parametrize("char", ["\x00", "\x1b", "\x0b", "\ufffe", "\ud800"])
@pytest.mark.parametrize("where", ["line", "name", "value", "directory"])
def test_what_xml_cannot_carry_is_told(char: str, where: str) -> None:
    text = f"a{char}b"
    shell = ShellMessages(NAME)
    tries = {
        "line": lambda: shell.command(text, 20),
        "name": lambda: messages.create({text: "secret"}, None, 20),
        "value": lambda: messages.create({"NAME": text}, None, 20),
        "directory": lambda: messages.create({"NAME": "secret"}, text, 20),
    }
    with pytest.raises(HostError, match=f"U\\+{ord(char):04X}") as caught:
        tries[where]()
    assert caught.value.status == "failed"
    assert "secret" not in caught.value.message
    assert char not in caught.value.message


@pytest.mark.parametrize("largest", [153600, 512000, 8192])
def test_the_largest_piece_of_input_fits_and_no_larger_one(largest: int) -> None:
    shell = ShellMessages(NAME)
    room = shell.room(COMMAND, largest)
    assert len(shell.send(COMMAND, bytes(room), 1234.567, end=False).body) <= largest
    assert len(shell.send(COMMAND, bytes(room + 6), 20, end=False).body) > largest - 8
    assert shell.room(COMMAND, 100) == 0


# Answers


def envelope(body: str, related: str | None = None) -> ET.Element:
    header = "" if related is None else f"<a:RelatesTo>{related}</a:RelatesTo>"
    return ET.fromstring(
        '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"'
        ' xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
        ' xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"'
        f' xmlns:rsp="{SHELL}"><s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>'
    )


def test_an_answer_must_be_the_one_to_the_request() -> None:
    request = ShellMessages(NAME).delete(20)
    request.check(envelope("", f"uuid:{request.id}"))
    request.check(envelope("", f" uuid:{request.id.upper()}\n"))
    request.check(envelope("", f"urn:uuid:{request.id}"))
    request.check(envelope(""))
    with pytest.raises(ConnectionLostError, match="another request"):
        request.check(envelope("", f"uuid:{ShellMessages(NAME).delete(20).id}"))


def test_ids() -> None:
    selector = f'<w:SelectorSet><w:Selector Name="ShellId"> {NAME}</w:Selector></w:SelectorSet>'
    assert messages.shell_of(envelope(selector)) == NAME
    assert messages.command_of(envelope(f"<rsp:CommandId>{COMMAND}</rsp:CommandId>")) == COMMAND


@pytest.mark.parametrize(
    "body", ["", '<w:Selector Name="ShellId"/>', '<w:Selector Name="Other">1</w:Selector>', "<rsp:CommandId/>"]
)
def test_answers_without_ids(body: str) -> None:
    with pytest.raises(ConnectionLostError, match="no ShellId"):
        messages.shell_of(envelope(body))
    with pytest.raises(ConnectionLostError, match="no CommandId"):
        messages.command_of(envelope(body))


def received(*inner: str) -> messages.Received:
    return messages.received_of(envelope(f"<rsp:ReceiveResponse>{''.join(inner)}</rsp:ReceiveResponse>"), COMMAND)


def stream(name: str, data: bytes, command: str = COMMAND) -> str:
    text = base64.b64encode(data).decode()
    return f'<rsp:Stream Name="{name}" CommandId="{command}">{text}</rsp:Stream>'


def state(word: str, inner: str = "") -> str:
    return f'<rsp:CommandState CommandId="{COMMAND}" State="{SHELL}/CommandState/{word}">{inner}</rsp:CommandState>'


def test_output_keeps_its_order() -> None:
    pieces = [("stdout", b"a\xc3"), ("stderr", b"\x00"), ("stdout", b"\xa4")]
    got = received(*(stream(name, data) for name, data in pieces), state("Running"))
    assert got.pieces == pieces
    assert (got.done, got.rc) == (False, None)


def test_empty_streams_and_those_of_another_command_are_nothing() -> None:
    got = received(
        f'<rsp:Stream Name="stdout" End="true" CommandId="{COMMAND}"/>',
        stream("stdout", b"not ours", NAME),
        stream("stdout", b"ours", COMMAND.lower()),
    )
    assert got.pieces == [("stdout", b"ours")]


@pytest.mark.parametrize(
    ("text", "rc"),
    [
        ("0", 0),
        ("255", 255),
        ("259", 259),
        ("9009", 9009),
        ("-1", -1),
        ("4294967295", -1),
        ("3221225786", -1073741510),
        ("2147483647", 2147483647),
        ("2147483648", -2147483648),
        (" 7\n", 7),
    ],
)
def test_exit_codes_are_signed(text: str, rc: int) -> None:
    got = received(state("Done", f"<rsp:ExitCode>{text}</rsp:ExitCode>"))
    assert (got.done, got.rc) == (True, rc)


@pytest.mark.parametrize("inner", ["", "<rsp:ExitCode/>", "<rsp:ExitCode> </rsp:ExitCode>"])
def test_an_end_without_an_exit_code(inner: str) -> None:
    got = received(state("Done", inner))
    assert (got.done, got.rc) == (True, None)


@pytest.mark.parametrize(
    "inner",
    [
        f'<rsp:Stream Name="stdout" CommandId="{COMMAND}">a</rsp:Stream>',
        f'<rsp:Stream Name="stdout" CommandId="{COMMAND}">\u20ac</rsp:Stream>',
        f'<rsp:Stream Name="stdout" CommandId="{COMMAND}">aGVs*#bG8h</rsp:Stream>',
        f'<rsp:Stream Name="stdout" CommandId="{COMMAND}">YQ==YQ==</rsp:Stream>',
        state("Done", "<rsp:ExitCode>zero</rsp:ExitCode>"),
        state("Done", "<rsp:ExitCode>1_0</rsp:ExitCode>"),
        state("Done", "<rsp:ExitCode>4294967296</rsp:ExitCode>"),
        state("Done", "<rsp:ExitCode>-2147483649</rsp:ExitCode>"),
        state("Done", f"<rsp:ExitCode>{'9' * 5000}</rsp:ExitCode>"),
    ],
)
def test_broken_output(inner: str) -> None:
    with pytest.raises(ConnectionLostError, match="broken"):
        received(inner)


def test_ends_of_lines_in_base64_are_no_damage() -> None:
    stream = f'<rsp:Stream Name="stdout" CommandId="{COMMAND}">aGVs\r\n  bG8h\n</rsp:Stream>'
    assert received(stream).pieces == [("stdout", b"hello!")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_an_answer_that_declares_entities_is_not_read(encoding: str) -> None:
    bomb = '<!DOCTYPE s:Envelope [<!ENTITY a "x">]><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope">&a;'
    with pytest.raises(NotSoap):
        root_of(f"{bomb}</s:Envelope>".encode(encoding))


def test_no_output_at_all() -> None:
    with pytest.raises(ConnectionLostError, match="no ReceiveResponse"):
        messages.received_of(envelope(""), COMMAND)
