"""The ssh-agent: one connection for a whole context, one request at a time (draft-miller-ssh-agent)."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable

from sshexec.connectors.ssh.hostkeys import fingerprint
from sshexec.connectors.ssh.keys import SigningKey, strings

_LIMIT = 20.0
"""Seconds that the agent may take for a signature (it may ask its user)."""

_LIST_LIMIT = 3.0
"""Seconds that it may take to list its keys: nobody is asked for that."""

_SILENT_FOR = 30.0
"""Seconds for which an agent that did not answer is not asked again: every host would wait for it in its turn."""

_LONGEST = 256 * 1024
_IDENTITIES, _IDENTITIES_ANSWER, _SIGN, _SIGN_ANSWER = 11, 12, 13, 14
_FLAGS = {"rsa-sha2-256": 2, "rsa-sha2-512": 4}


class Agent:
    """The user's ssh-agent, if there is one.

    Args:
        path: its socket; None where there is no agent.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._keys: list[SigningKey] | None = None
        self._silent_until = 0.0

    def keys(self) -> list[SigningKey]:
        """Return the keys it holds, asked for once; none where there is no agent or it does not answer."""
        with self._lock:
            if self._keys is None:
                try:
                    self._keys = self._list() if self._path else []
                except (OSError, ValueError, struct.error):
                    return []
            return self._keys

    def find(self, blob: bytes | None) -> SigningKey | None:
        """Return the key with this public part, if the agent holds it."""
        return next((key for key in self.keys() if key.blob == blob), None) if blob else None

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._disconnect()

    def _list(self) -> list[SigningKey]:
        answer = self._ask(bytes((_IDENTITIES,)), _IDENTITIES_ANSWER)
        count = struct.unpack_from(">I", answer, 0)[0]
        at, keys = 4, []
        for _ in range(count):
            blob, at = _string(answer, at)
            comment, at = _string(answer, at)
            kind, _end = _string(blob, 0)
            name = comment.decode("utf-8", "replace") or fingerprint(blob)
            keys.append(SigningKey(f"agent key {name}", kind.decode("ascii", "replace"), blob, self._signer(blob)))
        return keys

    def _signer(self, blob: bytes) -> Callable[[bytes, str], bytes]:
        def sign(data: bytes, algorithm: str) -> bytes:
            flags = next((flag for name, flag in _FLAGS.items() if algorithm.startswith(name)), 0)
            request = bytes((_SIGN,)) + strings(blob, data) + struct.pack(">I", flags)
            with self._lock:
                return _string(self._ask(request, _SIGN_ANSWER), 0)[0]

        return sign

    def _ask(self, request: bytes, expected: int) -> bytes:
        """Return the body of the agent's answer; a connection that has broken is made anew once.

        Raises:
            OSError: the agent does not answer, or refuses.
        """
        if time.monotonic() < self._silent_until:
            raise TimeoutError("the ssh-agent does not answer")
        for attempt in (1, 2):
            try:
                answer = self._exchange(request)
            except TimeoutError:
                self._disconnect()
                self._silent_until = time.monotonic() + _SILENT_FOR
                raise TimeoutError("the ssh-agent does not answer") from None
            except OSError:
                self._disconnect()
                if attempt == 2:
                    raise
                continue
            if answer[0] != expected:
                break
            return answer[1:]
        raise OSError("the ssh-agent refused")

    def _exchange(self, request: bytes) -> bytes:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.settimeout(_LIST_LIMIT)
            self._socket.connect(self._path or "")
        self._socket.settimeout(_LIST_LIMIT if request[0] == _IDENTITIES else _LIMIT)
        self._socket.sendall(strings(request))
        size = struct.unpack(">I", self._receive(4))[0]
        if not 0 < size <= _LONGEST:
            raise OSError("the ssh-agent's answer is damaged")
        return self._receive(size)

    def _receive(self, size: int) -> bytes:
        pieces = b""
        while len(pieces) < size:
            piece = self._socket.recv(size - len(pieces)) if self._socket is not None else b""
            if not piece:
                raise OSError("the ssh-agent closed the connection")
            pieces += piece
        return pieces

    def _disconnect(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None


def user_agent() -> Agent:
    """Return the agent that SSH_AUTH_SOCK names."""
    return Agent(os.environ.get("SSH_AUTH_SOCK") or None)


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    size = struct.unpack_from(">I", data, at)[0]
    end = at + 4 + size
    if end > len(data):
        raise ValueError("the ssh-agent's answer is damaged")
    return data[at + 4 : end], end
