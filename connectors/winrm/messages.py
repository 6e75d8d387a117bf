"""What is said to a WinRM service, and what it answers: envelopes of WS-Management for a shell (MS-WSMV 2.2.4, 3.1.4).

Requests have the content of those that pywinrm 0.5 makes. They are filled into templates that are made once: to build
each from a tree would cost more than all else on the way.
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from sshexec.connectors.output import Stream
from sshexec.errors import ConnectionLostError, HostError

MAX_ENVELOPE = 153600
"""Bytes of an envelope that every service takes (MaxEnvelopeSizekb is 150 in Windows Server 2008 R2, later 500)."""

_SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
_TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
_CODEPAGE = 65001

_NAMESPACES = {
    "xsd": "http://www.w3.org/2001/XMLSchema",
    "xsi": "http://www.w3.org/2001/XMLSchema-instance",
    "env": "http://www.w3.org/2003/05/soap-envelope",
    "a": "http://schemas.xmlsoap.org/ws/2004/08/addressing",
    "b": "http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd",
    "n": "http://schemas.xmlsoap.org/ws/2004/09/enumeration",
    "x": _TRANSFER,
    "w": "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd",
    "p": "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd",
    "rsp": _SHELL,
    "cfg": "http://schemas.microsoft.com/wbem/wsman/1/config",
}

_ENVELOPE = (
    '<?xml version="1.0" encoding="utf-8"?>\n<env:Envelope'
    + "".join(f' xmlns:{prefix}="{name}"' for prefix, name in _NAMESPACES.items())
    + "><env:Header><a:To>http://windows-host:5985/wsman</a:To><a:ReplyTo>"
    f'<a:Address mustUnderstand="true">{_NAMESPACES["a"]}/role/anonymous</a:Address></a:ReplyTo>'
    f'<w:MaxEnvelopeSize mustUnderstand="true">{MAX_ENVELOPE}</w:MaxEnvelopeSize>'
    "<a:MessageID>uuid:%s</a:MessageID>"
    '<w:Locale mustUnderstand="false" xml:lang="en-US"></w:Locale>'
    '<p:DataLocale mustUnderstand="false" xml:lang="en-US"></p:DataLocale>'
    "<w:OperationTimeout>%s</w:OperationTimeout>"
    f'<w:ResourceURI mustUnderstand="true">{_SHELL}/cmd</w:ResourceURI>'
    '<a:Action mustUnderstand="true">%s</a:Action>%s</env:Header><env:Body>%s</env:Body></env:Envelope>'
)

_UNSENDABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""What XML 1.0 has no way to write, not even by its number."""

_MARKUP = re.compile('[&<>"\t\n\r]')
"""What is written by its number; an XML reader would turn ends of lines in attributes, and any CR, into others."""


def escaped(text: str, what: str) -> str:
    """Return a text as it stands in an envelope.

    Args:
        text: what to send.
        what: its name, for the message.

    Raises:
        HostError: it has characters that XML can't carry.
    """
    found = _UNSENDABLE.search(text)
    if found is not None:
        raise HostError(
            f"{what} has the character U+{ord(found[0]):04X}, which WinRM can't carry: its messages are XML; "
            "send it in a file, or have PowerShell make it, as by [char]"
        )
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", text)


_NUMBER = re.compile("[+-]?[0-9]{1,10}")


def duration(seconds: float) -> str:
    """Return seconds as ``xs:duration``."""
    return f"PT{seconds:.3f}".rstrip("0").rstrip(".") + "S"


@dataclass(frozen=True, slots=True)
class Request:
    """One envelope that is ready to be sent.

    Args:
        id: of the message, to which the answer relates.
        body: the envelope.
    """

    id: str
    body: bytes

    def check(self, answer: Element) -> None:
        """Check that an answer is the one to this request; one that does not say so passes.

        Raises:
            ConnectionLostError: it is the answer to another one.
        """
        related = answer.findtext(_RELATES_TO)
        if related is not None and related.strip().rpartition(":")[2].casefold() != self.id:
            raise ConnectionLostError("the host's answer belongs to another request; is there a proxy in between?")


_RELATES_TO = f"{{{_NAMESPACES['env']}}}Header/{{{_NAMESPACES['a']}}}RelatesTo"


def _request(action: str, header: str, body: str, timeout: float) -> Request:
    number = str(uuid.uuid4())
    return Request(number, (_ENVELOPE % (number, duration(timeout), action, header, body)).encode())


def _options(**options: str) -> str:
    inner = "".join(f'<w:Option Name="{name}">{value}</w:Option>' for name, value in options.items())
    return f"<w:OptionSet>{inner}</w:OptionSet>"


def create(environment: Mapping[str, str], directory: str | None, timeout: float) -> Request:
    """Return the request for a shell.

    Args:
        environment: variables of its commands, besides those of the login.
        directory: where its commands run; None is the login's.
        timeout: seconds within which the service is to answer.

    Raises:
        HostError: a text can't be sent.
    """
    body = "<rsp:InputStreams>stdin</rsp:InputStreams><rsp:OutputStreams>stdout stderr</rsp:OutputStreams>"
    if directory is not None:
        body += f"<rsp:WorkingDirectory>{escaped(directory, 'the directory')}</rsp:WorkingDirectory>"
    if environment:
        body += "<rsp:Environment>"
        for name, value in environment.items():
            text = escaped(value, f"the value of the environment variable {name!r}")
            body += f'<rsp:Variable Name="{escaped(name, "the name of an environment variable")}">{text}</rsp:Variable>'
        body += "</rsp:Environment>"
    header = _options(WINRS_NOPROFILE="FALSE", WINRS_CODEPAGE=str(_CODEPAGE))
    return _request(f"{_TRANSFER}/Create", header, f"<rsp:Shell>{body}</rsp:Shell>", timeout)


class ShellMessages:
    """Requests to one shell.

    Args:
        shell: its id.
    """

    def __init__(self, shell: str) -> None:
        name = escaped(shell, "a shell's id")
        self._selector = f'<w:SelectorSet><w:Selector Name="ShellId">{name}</w:Selector></w:SelectorSet>'

    def command(self, line: str, timeout: float) -> Request:
        """Return the request to start a command, whose standard input is a pipe.

        Args:
            line: for ``cmd.exe /c``.
            timeout: seconds.

        Raises:
            HostError: a text can't be sent.
        """
        header = self._selector + _options(WINRS_CONSOLEMODE_STDIN="FALSE", WINRS_SKIP_CMD_SHELL="FALSE")
        body = f"<rsp:Command>{escaped(line, 'the command')}</rsp:Command>"
        return _request(f"{_SHELL}/Command", header, f"<rsp:CommandLine>{body}</rsp:CommandLine>", timeout)

    def send(self, command: str, data: bytes, timeout: float, *, end: bool) -> Request:
        """Return the request that takes a piece of standard input to a command."""
        attributes = f'CommandId="{escaped(command, "an id")}" Name="stdin" End="{str(end).lower()}"'
        text = base64.b64encode(data).decode()
        body = f"<rsp:Send><rsp:Stream {attributes}>{text}</rsp:Stream></rsp:Send>"
        return _request(f"{_SHELL}/Send", self._selector, body, timeout)

    def room(self, command: str, largest: int) -> int:
        """Return how many bytes of standard input fit into one `send`.

        Args:
            command: its id.
            largest: bytes of an envelope that the service takes.
        """
        empty = len(self.send(command, b"", 100.001, end=False).body)
        return max(0, largest - empty) // 4 * 3

    def receive(self, command: str, timeout: float) -> Request:
        """Return the request for output; the service answers when there is some, or after ``timeout`` seconds."""
        stream = f'<rsp:DesiredStream CommandId="{escaped(command, "an id")}">stdout stderr</rsp:DesiredStream>'
        return _request(f"{_SHELL}/Receive", self._selector, f"<rsp:Receive>{stream}</rsp:Receive>", timeout)

    def signal(self, command: str, code: str, timeout: float) -> Request:
        """Return the request to signal a command.

        Args:
            command: its id.
            code: ``ctrl_c`` or ``terminate``.
            timeout: seconds.
        """
        body = f'<rsp:Signal CommandId="{escaped(command, "an id")}"><rsp:Code>{_SHELL}/signal/{code}</rsp:Code>'
        return _request(f"{_SHELL}/Signal", self._selector, body + "</rsp:Signal>", timeout)

    def delete(self, timeout: float) -> Request:
        """Return the request to end the shell and all that runs in it."""
        return _request(f"{_TRANSFER}/Delete", self._selector, "", timeout)


@dataclass(frozen=True, slots=True)
class Received:
    """What came in answer to a `ShellMessages.receive`.

    Args:
        pieces: of both streams, in the order in which they came.
        done: whether the command has ended.
        rc: its exit code as a signed number of 32 bits; None where the service named none.
    """

    pieces: list[tuple[Stream, bytes]]
    done: bool
    rc: int | None


def shell_of(answer: Element) -> str:
    """Return the id of the shell that was made.

    Raises:
        ConnectionLostError: the answer has none.
    """
    for node in answer.iter(f"{{{_NAMESPACES['w']}}}Selector"):
        if node.get("Name") == "ShellId" and node.text:
            return node.text.strip()
    raise _incomplete("Create", "no ShellId")


def command_of(answer: Element) -> str:
    """Return the id of the command that was started.

    Raises:
        ConnectionLostError: the answer has none.
    """
    found = _texts(answer, f"{{{_SHELL}}}CommandId")
    for text in found:
        return text
    raise _incomplete("Command", "no CommandId")


def received_of(answer: Element, command: str) -> Received:
    """Return what an answer says of a command's output and end.

    Raises:
        ConnectionLostError: it is no such answer.
    """
    pieces: list[tuple[Stream, bytes]] = []
    done, rc, seen = False, None, False
    own = command.casefold()
    for node in answer.iter():
        if node.tag == f"{{{_SHELL}}}Stream":
            if node.text and node.get("CommandId", command).casefold() == own:
                pieces.append(("stderr" if node.get("Name") == "stderr" else "stdout", _decoded(node.text)))
        elif node.tag == f"{{{_SHELL}}}CommandState":
            done = done or node.get("State", "").endswith("CommandState/Done")
            for text in _texts(node, f"{{{_SHELL}}}ExitCode"):
                rc = _signed(text)
        elif node.tag == f"{{{_SHELL}}}ReceiveResponse":
            seen = True
    if not seen:
        raise _incomplete("Receive", "no ReceiveResponse")
    return Received(pieces, done, rc)


def _texts(root: Element, tag: str) -> Iterable[str]:
    return (node.text.strip() for node in root.iter(tag) if node.text and node.text.strip())


def _decoded(text: str) -> bytes:
    try:
        # Without `validate`, what was damaged would be left out silently.
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise _incomplete("Receive", "no base64 where output should be") from None


def _signed(text: str) -> int:
    """Return an exit code, which Windows has as a DWORD, as a signed number: NTSTATUS codes are negative ones."""
    number = int(text) if _NUMBER.fullmatch(text) else 2**32
    if not -(2**31) <= number < 2**32:
        raise _incomplete("Receive", f"an exit code that is no number of 32 bits: {text[:20]!a}")
    return (number + 2**31) % 2**32 - 2**31


def _incomplete(operation: str, what: str) -> ConnectionLostError:
    return ConnectionLostError(f"the host answered {operation} with {what}; this is no WinRM service, or a broken one")
