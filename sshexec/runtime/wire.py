"""What a worker and its parent say to each other: length-prefixed pickles over a private socket pair.

Both ends are the same code on the same machine, and nobody else holds the sockets. Secrets, which refuse to be
pickled anywhere else, are unwrapped here on purpose.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import socket
import struct
import threading
from typing import Any

from sshexec.secret import LockedSecret, Secret, SecretExpression

_HEADER = struct.Struct("!Q")
_PIECE = 2**18


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: object) -> tuple[int, str] | None:
        if not isinstance(obj, Secret):
            return None
        if isinstance(obj, LockedSecret):
            return _LOCKED, obj.reason
        # One that is opened lazily is opened here: the other end has no keys.
        return _EXPRESSION if isinstance(obj, SecretExpression) else _OPEN, obj.reveal()


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, pid: Any) -> Secret:
        kind: int
        text: str
        kind, text = pid
        return _KINDS[kind](text)


_OPEN, _EXPRESSION, _LOCKED = range(3)
_KINDS: tuple[type[Secret], ...] = (Secret, SecretExpression, LockedSecret)


def pack(value: object) -> bytes:
    """Return a value as bytes, to be unpacked by the other end at a moment of its own choosing.

    Raises:
        Exception: it can't be sent at all; its own classes may raise anything.
    """
    buffer = io.BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


def unpack(data: bytes) -> Any:
    """Return what was packed; whatever the classes in it raise comes out."""
    return _Unpickler(io.BytesIO(data)).load()


def sendable(value: object) -> bool:
    """Return whether a value can be sent at all."""
    try:
        pack(value)
    except Exception:  # noqa: BLE001 - that of its own classes
        return False
    return True


class Wire:
    """One end of the pair; `receive` has one caller, `send` any number.

    Args:
        sock: this end.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._sending = threading.Lock()

    def send(self, message: tuple[Any, ...]) -> None:
        """Send one message.

        Raises:
            OSError: the other end is gone.
        """
        buffer = io.BytesIO()
        buffer.write(_HEADER.pack(0))
        _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(message)
        with buffer.getbuffer() as view:
            _HEADER.pack_into(view, 0, len(view) - _HEADER.size)
            with self._sending:
                self._socket.sendall(view)

    def receive(self) -> tuple[Any, ...] | None:
        """Return the next message; None once the other end is gone."""
        header = self._read(_HEADER.size)
        if header is None:
            return None
        body = self._read(_HEADER.unpack(header)[0])
        if body is None:
            return None
        message: tuple[Any, ...] = _Unpickler(io.BytesIO(body)).load()
        return message

    def _read(self, size: int) -> bytearray | None:
        data = bytearray()
        while len(data) < size:
            try:
                piece = self._socket.recv(min(size - len(data), _PIECE))
            except OSError:
                return None
            if not piece:
                return None
            data += piece
        return data

    def shut(self) -> None:
        """Wake the other end and our own `receive`: nothing more will come."""
        with contextlib.suppress(OSError):  # the other end was faster
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
