"""WS-Man messages: what a request asks, and answers made from templates (MS-WSMV 3.1.4)."""

from __future__ import annotations

import binascii
import functools
import itertools
import re
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from tests.winrm_server import faults

_S = "{http://www.w3.org/2003/05/soap-envelope}"
_A = "{http://schemas.xmlsoap.org/ws/2004/08/addressing}"
_W = "{http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd}"
_R = "{http://schemas.microsoft.com/wbem/wsman/1/windows/shell}"
SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
FAULT_ACTION = "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault"
RESOURCE = f"{SHELL}/cmd"

_ENVELOPE = (
    '<s:Envelope xml:lang="en-US" xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
    'xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
    'xmlns:x="http://schemas.xmlsoap.org/ws/2004/09/transfer" '
    'xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:rsp="' + SHELL + '" '
    'xmlns:p="http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"><s:Header><a:Action>%s</a:Action>'
    "<a:MessageID>uuid:%s</a:MessageID>"
    "<a:To>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:To>"
    "%s</s:Header><s:Body>%s</s:Body></s:Envelope>"
)

_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")
_NUMBERS = itertools.count(1)


@dataclass
class Request:
    """One WS-Man request.

    Args:
        op: Create, Command, Send, Receive, Signal or Delete; the action's last word for another.
        message_id: to be related to.
        timeout: OperationTimeout in seconds.
        max_envelope: how large the answer may be, in bytes.
        shell: id, "" where none was given.
        command: id, "" where none was given.
        options: of the OptionSet.
        resource: ResourceURI.
        body: its element.
    """

    op: str
    message_id: str
    timeout: float
    max_envelope: int
    shell: str
    command: str
    options: dict[str, str]
    resource: str
    body: ET.Element = field(repr=False)
    event: object = None
    """Its place in the log."""

    def text(self, name: str) -> str | None:
        """Return the text of the first element of this name in the Body."""
        found = self.body.find(f".//{_R}{name}")
        return None if found is None else found.text or ""

    def texts(self, name: str) -> list[str]:
        """Return the texts of all elements of this name in the Body."""
        return [each.text or "" for each in self.body.iterfind(f".//{_R}{name}")]

    @property
    def codepage(self) -> int:
        """WINRS_CODEPAGE, of a shell that is to be made."""
        return _number(self.options.get("WINRS_CODEPAGE") or "437")

    @property
    def variables(self) -> dict[str, str]:
        """The environment of a shell that is to be made."""
        return {each.get("Name", ""): each.text or "" for each in self.body.iterfind(f".//{_R}Variable")}

    @functools.cached_property
    def streams(self) -> list[tuple[bytes, bool]]:
        """What is sent to standard input: bytes, and whether that is all.

        Raises:
            Fault: it is not base64.
        """
        pieces = []
        for each in self.body.iterfind(f".//{_R}Stream"):
            try:
                data = binascii.a2b_base64(each.text or "")
            except ValueError:
                raise faults.known(faults.SCHEMA) from None
            pieces.append((data, (each.get("End") or "").lower() in ("true", "1")))
        return pieces


def read(envelope: bytes) -> Request:
    """Return what an envelope asks.

    Raises:
        Fault: it is no WS-Man request about a Windows shell.
    """
    try:
        root = ET.fromstring(envelope)
    except ET.ParseError:
        raise faults.known(faults.SCHEMA) from None
    header, body = root.find(f"{_S}Header"), root.find(f"{_S}Body")
    if header is None or body is None:
        raise faults.known(faults.SCHEMA)
    found = {each.tag: each for each in header}
    action = _text(found.get(f"{_A}Action"))
    options = {each.get("Name", ""): each.text or "" for each in found.get(f"{_W}OptionSet", ())}
    selectors = {each.get("Name", "").lower(): each.text or "" for each in found.get(f"{_W}SelectorSet", ())}
    shell = selectors.get("shellid", "")
    command = ""
    for each in body.iter():
        command = command or each.get("CommandId", "")
        if each.tag == f"{_R}Shell":
            shell = shell or each.get("ShellId", "")
    return Request(
        action.rsplit("/", 1)[-1],
        _text(found.get(f"{_A}MessageID")),
        seconds(_text(found.get(f"{_W}OperationTimeout")) or "PT60S"),
        _number(_text(found.get(f"{_W}MaxEnvelopeSize")) or "153600"),
        shell.upper(),
        command.upper(),
        options,
        _text(found.get(f"{_W}ResourceURI")),
        body,
    )


def seconds(duration: str) -> float:
    """Return an xs:duration in seconds.

    Raises:
        Fault: it is none.
    """
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise faults.known(faults.SCHEMA)
    days, hours, minutes, rest = (float(group or 0) for group in match.groups())
    return days * 86400 + hours * 3600 + minutes * 60 + rest


def _number(text: str) -> int:
    if not text.isdecimal():
        raise faults.known(faults.SCHEMA)
    return int(text)


def _text(element: ET.Element | None) -> str:
    return "" if element is None else (element.text or "").strip()


def new_id() -> str:
    """Return an id as Windows makes them."""
    return str(uuid.uuid4()).upper()


def answer(action: str, relates_to: str, body: str) -> bytes:
    """Return an envelope; without a RelatesTo where that is ""."""
    message_id = f"00000000-0000-0000-0000-{next(_NUMBERS):012X}"
    related = f"<a:RelatesTo>{escape(relates_to)}</a:RelatesTo>" if relates_to else ""
    return (_ENVELOPE % (action, message_id, related, body)).encode()


def created(shell: str, url: str) -> str:
    """Return the Body that says that a shell was made (ResourceCreated, and what Windows tells of it beside that)."""
    return (
        f"<x:ResourceCreated><a:Address>{escape(url)}</a:Address><a:ReferenceParameters>"
        f"<w:ResourceURI>{RESOURCE}</w:ResourceURI><w:SelectorSet>"
        f'<w:Selector Name="ShellId">{shell}</w:Selector></w:SelectorSet></a:ReferenceParameters></x:ResourceCreated>'
        f'<rsp:Shell xmlns:rsp="{SHELL}"><rsp:ShellId>{shell}</rsp:ShellId><rsp:ResourceUri>{RESOURCE}'
        "</rsp:ResourceUri><rsp:Owner>user</rsp:Owner><rsp:ClientIP>127.0.0.1</rsp:ClientIP>"
        "<rsp:IdleTimeOut>PT7200.000S</rsp:IdleTimeOut><rsp:InputStreams>stdin</rsp:InputStreams>"
        "<rsp:OutputStreams>stdout stderr</rsp:OutputStreams></rsp:Shell>"
    )


def started(command: str) -> str:
    """Return the Body that says that a command runs."""
    return f"<rsp:CommandResponse><rsp:CommandId>{command}</rsp:CommandId></rsp:CommandResponse>"


def received(command: str, pieces: Iterable[tuple[str, bytes]], rc: int | None) -> str:
    """Return the Body with a command's output.

    Args:
        command: its id.
        pieces: name of a stream and bytes.
        rc: exit code where it has ended; sent as Windows does, as an unsigned number of 32 bits.
    """
    streams = "".join(
        f'<rsp:Stream Name="{name}" CommandId="{command}">{_base64(data)}</rsp:Stream>' for name, data in pieces
    )
    if rc is None:
        state = f'<rsp:CommandState CommandId="{command}" State="{SHELL}/CommandState/Running"/>'
    else:
        streams += "".join(
            f'<rsp:Stream Name="{name}" CommandId="{command}" End="true"></rsp:Stream>' for name in ("stdout", "stderr")
        )
        state = (
            f'<rsp:CommandState CommandId="{command}" State="{SHELL}/CommandState/Done">'
            f"<rsp:ExitCode>{rc & 0xFFFFFFFF}</rsp:ExitCode></rsp:CommandState>"
        )
    return f"<rsp:ReceiveResponse>{streams}{state}</rsp:ReceiveResponse>"


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()
