"""A client of `sshexec.term.v1` for tests."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

import websocket

SUBPROTOCOL = "sshexec.term.v1"


TEXT, BINARY, CLOSE, PING, PONG, MORE = 1, 2, 8, 9, 10, 0


def frame(kind: int, data: bytes = b"", *, fin: bool = True, masked: bool = True, length: int | None = None) -> bytes:
    """Return a client's frame; with ``length``, one whose header says so."""
    size = len(data) if length is None else length
    first = bytes([(128 if fin else 0) | kind])
    mask = 128 if masked else 0
    if size < 126:
        head = first + bytes([mask | size])
    elif size < 65536:
        head = first + struct.pack("!BH", mask | 126, size)
    else:
        head = first + struct.pack("!BQ", mask | 127, size)
    if not masked:
        return head + data
    key = os.urandom(4)
    return head + key + bytes(byte ^ key[place % 4] for place, byte in enumerate(data))


def answers(theirs: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Yield the server's frames up to the end."""
    data = b""

    def take(size: int) -> bytes:
        nonlocal data
        while len(data) < size:
            piece = theirs.recv(65536)
            if not piece:
                raise EOFError
            data += piece
        taken, data = data[:size], data[size:]
        return taken

    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            kind, size = take(2)
            if size == 126:
                (size,) = struct.unpack("!H", take(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", take(8))
            yield kind & 15, take(size)


REQUEST = {
    "Host": "127.0.0.1",
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "other, sshexec.term.v1",
}


def knock(port: int, path: str, changed: dict[str, str | None], method: str = "GET", version: str = "HTTP/1.1") -> int:
    """Send a request for a WebSocket, with some headers changed, and return the answer's status."""
    lines = [f"{method} {path} {version}"]
    lines += [f"{name}: {value}" for name, value in {**REQUEST, **changed}.items() if value is not None]
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
        sock.sendall("\r\n".join([*lines, "", ""]).encode())
        return int(sock.recv(1000).decode("latin-1").split(" ", 2)[1])


class Talk:
    """One WebSocket, at the other end of which a terminal may be.

    Args:
        url: of the endpoint.
        token: for the hello; None says none.
        acknowledges: whether what comes is acknowledged.
        hello: more of the hello, or instead.
        connecting: of `websocket.create_connection`.
    """

    def __init__(self, url: str, token: str | None = None, *, acknowledges: bool = True, **more: Any) -> None:
        connecting = {
            "subprotocols": [SUBPROTOCOL],
            "suppress_origin": True,
            "timeout": 60,
            **more.pop("connecting", {}),
        }
        self.socket = websocket.create_connection(url, **connecting)
        self.acknowledges = acknowledges
        self.output = bytearray()
        self.told: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        if token is not None:
            self.say("hello", token=token, **{"columns": 80, "rows": 24, **more})

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.shutdown()

    def say(self, kind: str, **values: Any) -> None:
        self.socket.send(json.dumps({"t": kind, **values}))

    def type(self, text: str | bytes) -> None:
        self.socket.send_binary(text.encode() if isinstance(text, str) else text)

    def step(self) -> bytes | dict[str, Any] | None:
        """Take one message; None where the WebSocket was closed."""
        opcode, data = self.socket.recv_data()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            self.closed = (struct.unpack("!H", data[:2])[0], data[2:].decode()) if data else (1005, "")
            return None
        if opcode == websocket.ABNF.OPCODE_BINARY:
            self.output += data
            if self.acknowledges:
                self.say("ack", bytes=len(data))
            return bytes(data)
        message: dict[str, Any] = json.loads(data)
        self.told.append(message)
        return message

    def until(self, kind: str) -> dict[str, Any]:
        """Take messages up to one of a kind."""
        while True:
            message = self.step()
            assert message is not None, f"closed with {self.closed} before {kind}; told {self.told}"
            if isinstance(message, dict) and message["t"] == kind:
                return message

    def shows(self, text: str | bytes, within: float = 60.0) -> bytes:
        """Take messages until a text was shown; return the output up to its end, and forget that."""
        wanted = text.encode() if isinstance(text, str) else text
        deadline = time.monotonic() + within
        while (found := self.output.find(wanted)) < 0:
            assert time.monotonic() < deadline, f"{wanted!r} not shown in {bytes(self.output[-500:])!r}"
            assert self.step() is not None, f"closed with {self.closed}; shown {bytes(self.output[-500:])!r}"
        shown = bytes(self.output[: found + len(wanted)])
        del self.output[: found + len(wanted)]
        return shown

    def end(self) -> tuple[int, str]:
        """Take messages up to the end; return the close code and why."""
        while self.step() is not None:
            pass
        assert self.closed is not None
        return self.closed
