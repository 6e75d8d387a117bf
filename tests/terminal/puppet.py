"""A host whose every move the test makes: a connector and a terminal without a network."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from sshexec.connectors.base import Capability, Completed, Connector, Context, Deadline, Phase, Source, Timeouts
from sshexec.connectors.options import ConnectorOptions
from sshexec.connectors.prompts import Prompts, Question
from sshexec.connectors.terminal import PIECE, Size, Terminal
from sshexec.errors import CancelledError, ConnectionLostError
from sshexec.terminal.events import Detached, Ended, ViewerEvent
from sshexec.terminal.viewer import Viewer

PATIENCE = 10.0
"""Seconds that a test waits for what must come."""


class PuppetTerminal(Terminal):
    """Shows what the test has it show, and keeps what is typed."""

    def __init__(self, size: Size) -> None:
        self.host = "puppet"
        self.sizes = [size]
        self.signals: list[str] = []
        self.typed = bytearray()
        self.room: int | None = None
        """Bytes that it still takes; None for any number."""
        self.taken = 0
        """Bytes that were read from it."""
        self.writing = False
        """Whether somebody is in `write`."""
        self.closed = False
        self._changed = threading.Condition()
        self._shown: deque[bytes] = deque()
        self._woken = False
        self._end: BaseException | bool = False

    def show(self, *pieces: bytes) -> None:
        """Write something, as the program does."""
        with self._changed:
            self._shown.extend(pieces)
            self._changed.notify_all()

    def exit(self, status: int | None = 0, signal: str | None = None) -> None:
        """End, as the program does."""
        with self._changed:
            self.exit_status, self.exit_signal, self._end = status, signal, True
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Break, as the connection does."""
        with self._changed:
            self._end = error
            self._changed.notify_all()

    def take(self, room: int | None) -> None:
        """Take so many bytes more."""
        with self._changed:
            self.room = room
            self._changed.notify_all()

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds of it."""
        with self._changed:
            assert self._changed.wait_for(holds, PATIENCE)

    def read(self, timeout: float | None = None) -> bytes | None:
        with self._changed:
            self._changed.wait_for(lambda: self._shown or self._end or self._woken or self.closed, timeout)
            if self.closed:
                return b""
            if self._shown:
                piece = self._shown.popleft()
                if len(piece) > PIECE:
                    self._shown.appendleft(piece[PIECE:])
                self.taken += len(piece[:PIECE])
                self._changed.notify_all()
                return piece[:PIECE]
            if isinstance(self._end, BaseException):
                raise self._end
            if self._end:
                return b""
            self._woken = False
            return None

    def write(self, data: bytes, timeout: float | None = None) -> int:
        with self._changed:
            self.writing = True
            self._changed.notify_all()
            try:
                return self._write(data, timeout)
            finally:
                self.writing = False

    def _write(self, data: bytes, timeout: float | None) -> int:
        self._changed.wait_for(lambda: self.room != 0 or self._end or self._woken or self.closed, timeout)
        if self._end or self.closed:
            raise ConnectionLostError("gone")
        taken = data if self.room is None else data[: self.room]
        if self.room is not None:
            self.room -= len(taken)
        self.typed += taken
        self._changed.notify_all()
        return len(taken)

    def resize(self, size: Size) -> None:
        with self._changed:
            self.sizes.append(size)
            self._changed.notify_all()

    def signal(self, name: str) -> None:
        self.signals.append(name)

    def wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self.closed = True
            self._changed.notify_all()


class Puppet(Connector[Any, Any]):
    """Opens as the test says.

    Args:
        opening: called in `open`, with the connector; what it raises is how it fails.
    """

    name = "puppet"
    capabilities = Capability.TERMINAL | Capability.SIGNALS | Capability.FILES
    Options = ConnectorOptions

    def __init__(self, opening: Callable[[Puppet], None] = lambda puppet: None) -> None:
        super().__init__("puppet", ConnectorOptions(), Context(), Timeouts())
        self.prompts = Prompts()
        self.opening = opening
        self.cancelled = threading.Event()
        self.closed = threading.Event()
        self.screen: PuppetTerminal | None = None
        self.files: dict[str, bytes] = {}
        self.started = threading.Event()
        """Set once a transfer has begun."""
        self.stalled = False
        """Whether transfers stand still until they are cancelled."""

    def connect(self, prompts: Prompts) -> Puppet:
        """Serve as the session's `Connect`."""
        self.prompts = prompts
        return self

    def open(self, deadline: Deadline) -> None:
        self.enter(Phase.CONNECTING)
        self.opening(self)
        self.guard()

    def guard(self) -> None:
        """Raise where it was cancelled."""
        if self.cancelled.is_set():
            raise CancelledError("cancelled")

    def ask(self, question: Question) -> str | None:
        """Ask the session's owner something."""
        with self.prompts.ask(question, Deadline(), self.guard) as answer:
            return None if answer.secret is None else answer.secret.reveal()

    @property
    def alive(self) -> bool:
        return not self.closed.is_set()

    def terminal(
        self,
        size: Size,
        term: str,
        deadline: Deadline,
        *,
        environment: Mapping[str, str] | None = None,
        command: str | None = None,
    ) -> PuppetTerminal:
        self.screen = PuppetTerminal(size)
        return self.screen

    def execute(self, command: object, output: object, deadline: Deadline) -> Completed:
        raise NotImplementedError

    def put(self, source: Source, path: str, deadline: Deadline, **more: Any) -> None:
        assert isinstance(source, bytes)
        self.started.set()
        while self.stalled and not self.cancelled.wait(0.01):
            pass
        self.guard()
        self.files[path] = source

    def get(self, path: str, target: BinaryIO, deadline: Deadline, **more: Any) -> None:
        target.write(self.files[path])

    def cancel(self) -> None:
        self.cancelled.set()

    def close(self) -> None:
        self.closed.set()


def settle(holds: Callable[[], Any]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it did not settle"
        time.sleep(0.001)


def received(viewer: Viewer, wanted: bytes, *, acknowledge: bool = True) -> bytes:
    """Read until bytes have come that contain something; return them all, without the events between."""
    found = bytearray()
    deadline = time.monotonic() + PATIENCE
    while wanted not in found:
        assert time.monotonic() < deadline, f"{wanted!r} did not come: {bytes(found[-80:])!r}"
        piece = viewer.read(0.5)
        if isinstance(piece, bytes):
            found += piece
            if acknowledge:
                viewer.ack(len(piece))
    return bytes(found)


def event(viewer: Viewer, *kinds: type[Any]) -> Any:
    """Read until an event of one of the kinds comes, and return it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = viewer.read(0.5)
        if isinstance(found, kinds):
            return found
        if isinstance(found, bytes):
            viewer.ack(len(found))
    raise AssertionError(f"no {kinds} came")


def rest(viewer: Viewer) -> tuple[bytes, list[ViewerEvent]]:
    """Read to the end; return the bytes, and the events."""
    shown, events = bytearray(), []
    while not viewer.closed:
        found = viewer.read(PATIENCE)
        assert found is not None, (bytes(shown[-80:]), events)
        if isinstance(found, bytes):
            shown += found
        else:
            events.append(found)
    assert isinstance(events[-1], Ended | Detached)
    return bytes(shown), events
