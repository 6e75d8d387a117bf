"""The ssh-agent: one connection for a whole context, one request at a time (draft-miller-ssh-agent)."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable

from sshexec.connectors.deadline import Deadline
from sshexec.connectors.severed import keep_from_children
from sshexec.connectors.ssh.keys import Sign, SigningKey, strings
from sshexec.connectors.ssh.keytypes import fingerprint
from sshexec.connectors.ssh.usercertificates import key_of

_LIMIT = 20.0
"""Seconds that the agent may take for a signature (it may ask its user)."""

_LIST_LIMIT = 3.0
"""Seconds that it may take to list its keys: nobody is asked for that."""

_SILENT_FOR = 30.0
"""Seconds for which an agent that did not answer is not asked again: every host would wait for it in its turn."""

_LOOK = 0.2
"""Seconds between looks at whether somebody who waits for the agent shall go on waiting."""

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
        self._listing = threading.Lock()
        self._socket: socket.socket | None = None
        self._keys: list[SigningKey] | None = None
        self._silent_until = 0.0
        self.trouble = ""
        """Why it did not tell its keys; "" where it did."""

    def keys(self) -> list[SigningKey]:
        """Return the keys it holds, asked for once; none where there is no agent or it does not answer.

        ``trouble`` then says why it does not. After its connection broke it is asked anew: another agent may be there.
        """
        with self._listing:
            if self._keys is None:
                try:
                    self._keys = self._list() if self._path else []
                    self.trouble = ""
                except (OSError, ValueError, struct.error) as error:
                    self.trouble = str(error)
                    return []
            return self._keys

    @property
    def lacks(self) -> str:
        """Say that it does not hold a key, or why nobody knows."""
        if not self._path:
            return "there is no agent that could hold its key (SSH_AUTH_SOCK is not set)"
        return self.trouble or "the agent does not hold its key (ssh-add -l lists those that it does)"

    def find(self, blob: bytes | None) -> list[SigningKey]:
        """Return the key with this public part, if the agent holds it, behind its certificates there."""
        if not blob:
            return []
        found = self.keys()
        mine = [key for key in found if key.blob == blob]
        return [key for key in found if key_of(key.kind, key.blob) == blob] + mine if mine else []

    def close(self) -> None:
        """Close the connection; who waits for an answer gets none."""
        sock = self._socket
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._disconnect()

    def _list(self) -> list[SigningKey]:
        answer = self._ask(
            bytes((_IDENTITIES,)), _IDENTITIES_ANSWER, _Patience(_LIST_LIMIT, Deadline.after(_LIST_LIMIT + _LIMIT))
        )
        count = struct.unpack_from(">I", answer, 0)[0]
        at, keys = 4, []
        for _ in range(count):
            blob, at = _string(answer, at)
            comment, at = _string(answer, at)
            kind, _end = _string(blob, 0)
            name = comment.decode("utf-8", "replace") or fingerprint(blob)
            keys.append(SigningKey(f"agent key {name}", kind.decode("ascii", "replace"), blob, self._signer(blob)))
        return keys

    def _signer(self, blob: bytes) -> Sign:
        def sign(data: bytes, algorithm: str, deadline: Deadline, guard: Callable[[], None]) -> bytes:
            flags = next((flag for name, flag in _FLAGS.items() if algorithm.startswith(name)), 0)
            request = bytes((_SIGN,)) + strings(blob, data) + struct.pack(">I", flags)
            answer = self._ask(request, _SIGN_ANSWER, _Patience(_LIMIT, deadline, guard))
            return _string(answer, 0)[0]

        return sign

    def _ask(self, request: bytes, expected: int, patience: _Patience) -> bytes:
        """Return the body of the agent's answer; a connection that has broken is made anew once.

        Raises:
            OSError: the agent does not answer, or refuses.
        """
        # One request at a time, as the agent itself works; who waits for his turn keeps his own time.
        while not self._lock.acquire(timeout=_LOOK):
            patience.check()
        try:
            if time.monotonic() < self._silent_until:
                raise TimeoutError("the ssh-agent does not answer")
            patience.begin()
            return self._ask_now(request, expected, patience)
        finally:
            self._lock.release()

    def _ask_now(self, request: bytes, expected: int, patience: _Patience) -> bytes:
        for attempt in (1, 2):
            try:
                answer = self._exchange(request, patience)
            except TimeoutError:
                self._disconnect()
                if patience.exhausted:
                    self._silent_until = time.monotonic() + _SILENT_FOR
                raise
            except OSError as error:
                self._disconnect()
                self._keys = None
                if attempt == 2:
                    raise OSError(f"the ssh-agent at {self._path} is gone: {error.strerror or error}") from None
                continue
            except BaseException:
                self._disconnect()  # or the next one would get the answer to this request
                raise
            if answer[0] != expected:
                break
            return answer[1:]
        raise OSError("the ssh-agent refused, or does not hold the key any more")

    def _exchange(self, request: bytes, patience: _Patience) -> bytes:
        if self._socket is None:
            fresh = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            keep_from_children(fresh)
            fresh.settimeout(_LOOK)
            try:
                fresh.connect(self._path or "")
            except BaseException:
                fresh.close()
                raise
            self._socket = fresh
        self._socket.sendall(strings(request))
        size = struct.unpack(">I", self._receive(4, patience))[0]
        if not 0 < size <= _LONGEST:
            raise OSError("its answer is damaged")
        return self._receive(size, patience)

    def _receive(self, size: int, patience: _Patience) -> bytes:
        pieces = b""
        while len(pieces) < size:
            try:
                piece = self._socket.recv(size - len(pieces)) if self._socket is not None else b""
            except TimeoutError:
                patience.check()
                continue
            if not piece:
                raise OSError("it closed the connection")
            pieces += piece
        return pieces

    def _disconnect(self) -> None:
        sock, self._socket = self._socket, None
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.close()


class _Patience:
    """How long one request may wait for the agent.

    Args:
        seconds: at most so long.
        deadline: and no longer than to here.
        guard: raises where the caller shall wait no longer.
    """

    def __init__(
        self, seconds: float, deadline: Deadline | None = None, guard: Callable[[], None] | None = None
    ) -> None:
        self._seconds = seconds
        self._own = Deadline()
        self._deadline = deadline or Deadline()
        self._guard = guard

    def begin(self) -> None:
        """Count the agent's own time from now on: who waited for his turn did not wait for the agent."""
        self._own = Deadline.after(self._seconds)

    @property
    def exhausted(self) -> bool:
        """Whether the agent had all the time that it may take."""
        return self._own.expired

    def check(self) -> None:
        """Raise TimeoutError once the time is over."""
        if self._guard is not None:
            self._guard()
        if self._own.expired or self._deadline.expired:
            raise TimeoutError("the ssh-agent does not answer")


def user_agent() -> Agent:
    """Return the agent that SSH_AUTH_SOCK names."""
    return Agent(os.environ.get("SSH_AUTH_SOCK") or None)


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    size = struct.unpack_from(">I", data, at)[0]
    end = at + 4 + size
    if end > len(data):
        raise ValueError("the ssh-agent's answer is damaged")
    return data[at + 4 : end], end
