"""Exchanges with real Windows hosts, as pywinrm keeps them beside its own tests, and a service that repeats them.

The texts are read from the installed package (`winrm/tests`, MIT) without running it, since its tests need packages
that nobody else needs. No test of ours holds a copy.
"""

from __future__ import annotations

import ast
import base64
import importlib.util
import re
import threading
import xml.etree.ElementTree as ET
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

PREFIXES = {
    "http://www.w3.org/2003/05/soap-envelope": "env",
    "http://schemas.xmlsoap.org/ws/2004/08/addressing": "a",
    "http://schemas.xmlsoap.org/ws/2004/09/transfer": "x",
    "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd": "w",
    "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd": "p",
    "http://schemas.microsoft.com/wbem/wsman/1/windows/shell": "rsp",
    "http://www.w3.org/XML/1998/namespace": "xml",
}
MESSAGE_ID = "env:Envelope/env:Header/a:MessageID"
ACTION = "env:Envelope/env:Header/a:Action"


def folder() -> Path | None:
    """Return where pywinrm's recordings are; None where its packaging left them out."""
    found = importlib.util.find_spec("winrm")
    if found is None or found.origin is None:
        return None
    place = Path(found.origin).parent / "tests"
    return place if (place / "conftest.py").is_file() and (place / "test_exceptions.py").is_file() else None


@cache
def texts(name: str) -> dict[str, Any]:
    """Return the constants of one of its files: those of the module by name, those of a function as ``function.name``.

    Args:
        name: such as ``conftest.py``.
    """
    place = folder()
    assert place is not None
    found: dict[str, Any] = {}

    def look(body: list[ast.stmt], before: str) -> None:
        for each in body:
            if isinstance(each, ast.FunctionDef):
                look(each.body, f"{each.name}.")
            elif isinstance(each, ast.Assign) and isinstance(each.value, ast.Constant):
                assert isinstance(each.targets[0], ast.Name)
                found[before + each.targets[0].id] = each.value.value

    look(ast.parse((place / name).read_text("utf-8")).body, "")
    return found


def flat(message: str | bytes) -> dict[str, str]:
    """Return what an envelope says, by place; prefixes, the order of attributes and of headers, and blanks are nothing.

    An element with a ``Name`` is known by it; elements of one name are numbered from the second on.
    """
    said: dict[str, str] = {}

    def short(name: str) -> str:
        namespace, _, local = name.rpartition("}")
        return f"{PREFIXES[namespace[1:]]}:{local}" if namespace else local

    def walk(node: ET.Element, before: str) -> None:
        name = node.get("Name")
        path = before + short(node.tag) + (f"[{name}]" if name else "")
        copies = sum(1 for known in said if known == path or known.startswith(f"{path}#"))
        path += f"#{copies + 1}" if copies else ""
        said[path] = (node.text or "").strip()
        said.update({f"{path}@{short(key)}": value for key, value in node.attrib.items() if key != "Name"})
        for child in node:
            walk(child, f"{path}/")

    walk(ET.fromstring(message.encode() if isinstance(message, str) else message), "")
    return said


@dataclass(frozen=True)
class Difference:
    """Where a message of ours says something else than pywinrm's.

    Args:
        place: of the element or the attribute, without ``env:Envelope/``.
        recorded: what pywinrm said; None where it said nothing.
        ours: what was said now; None likewise.
    """

    place: str
    recorded: str | None
    ours: str | None


def differences(recorded: str, ours: bytes) -> list[Difference]:
    """Compare a message with the recorded one."""
    then, now = flat(recorded), flat(ours)
    places = [*then, *(place for place in now if place not in then)]
    return [
        Difference(place.removeprefix("env:Envelope/"), then.get(place), now.get(place))
        for place in places
        if then.get(place) != now.get(place)
    ]


@dataclass(frozen=True)
class Answer:
    """What the service answers once.

    Args:
        text: the envelope.
        status: of HTTP.
    """

    text: str
    status: int = 200


@dataclass
class Exchange:
    """One request as it came."""

    op: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class Replay:
    """A service that answers each kind of request with what was recorded, in turn; the last answer stays.

    It knows no state: what it is asked is in `exchanges`, for the test to judge. Of an answer it changes nothing but
    ``RelatesTo``, which must name the request, as Windows does it.
    """

    def __init__(self, **answers: list[Answer]) -> None:
        self._answers: defaultdict[str, deque[Answer]] = defaultdict(deque)
        for op, some in answers.items():
            self._answers[op].extend(some)
        self.exchanges: list[Exchange] = []
        self.connections = 0
        replay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version: ClassVar[str] = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def setup(self) -> None:
                super().setup()
                replay.connections += 1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, text = replay.answer(body, dict(self.headers))
                self.send_response(status)
                self.send_header("Content-Type", "application/soap+xml;charset=UTF-8")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def ops(self) -> list[str]:
        """What was asked, in order."""
        return [each.op for each in self.exchanges]

    def asked(self, op: str) -> Iterator[bytes]:
        """Yield the requests of one kind."""
        return (each.body for each in self.exchanges if each.op == op)

    def answer(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """Keep a request and return the answer that is next for its kind."""
        said = flat(body)
        op = said[ACTION].rpartition("/")[2]
        self.exchanges.append(Exchange(op, body, headers))
        some = self._answers[op]
        if not some:
            return 500, b""
        given = some.popleft() if len(some) > 1 else some[0]
        relates = f"<a:RelatesTo>{said[MESSAGE_ID]}</a:RelatesTo>"
        return given.status, re.sub("<a:RelatesTo>[^<]*</a:RelatesTo>", relates, given.text).encode()

    def __enter__(self) -> Replay:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()


def streams(answer: str, name: str) -> bytes:
    """Return what a recorded Receive answer holds of a stream."""
    pieces = re.findall(rf'<rsp:Stream (?=[^>]*Name="{name}")[^>]*[^/]>([^<]*)</rsp:Stream>', answer)
    return b"".join(base64.b64decode(piece) for piece in pieces)


def with_stream(answer: str, name: str, *pieces: bytes) -> str:
    """Return a recorded Receive answer whose stream holds these pieces instead."""
    bare = re.sub(rf'<rsp:Stream (?=[^>]*Name="{name}")[^>]*[^/]>[^<]*</rsp:Stream>\s*', "", answer)
    command = re.search(r'CommandId="([^"]*)"', answer)
    assert command is not None
    more = "".join(
        f'<rsp:Stream Name="{name}" CommandId="{command[1]}">{base64.b64encode(piece).decode()}</rsp:Stream>'
        for piece in pieces
    )
    return bare.replace("<rsp:ReceiveResponse>", f"<rsp:ReceiveResponse>{more}", 1)
