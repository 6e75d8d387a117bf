"""What is typed, on its way to the host: one after the other, all of it or nothing."""

from __future__ import annotations

import time

from sshexec.connectors.terminal import Terminal
from sshexec.errors import ConnectionLostError, NotAllowedError, SessionOverError
from sshexec.terminal.line import Line
from sshexec.terminal.observers import Observers
from sshexec.terminal.questions import one_line
from sshexec.terminal.stage import Stage
from sshexec.terminal.viewer import Viewer

_SLICE = 32 * 1024
"""Bytes that are handed to the terminal at once."""

_WRITING = 0.25
"""Seconds after which something typed counts as waiting for the host."""

_RETRY = 0.05
"""Seconds before a write is tried again that came back before its time."""


class Keyboard:
    """Takes what is typed in one session.

    Args:
        stage: the session's.
        line: where it goes.
        observers: who is asked and told before anything is sent.
    """

    def __init__(self, stage: Stage, line: Line, observers: Observers) -> None:
        self._stage = stage
        self._line = line
        self._observers = observers
        self._busy = False

    def check(self, viewer: Viewer | None = None) -> None:
        """Raise, with the stage's lock held, where nothing may be typed.

        Args:
            viewer: who types; None is the session's own caller, who may.

        Raises:
            NotAllowedError: the session is read-only or paused, or it is a watcher.
            SessionOverError: the session has ended or is not open yet, or the viewer is out of it.
        """
        stage = self._stage
        stage.check_open()
        if viewer is not None and viewer.detached:
            raise SessionOverError("the viewer is out of the session")
        if viewer is not None and viewer.role != "owner":
            raise NotAllowedError("only the owner of the session may type")
        if stage.policy.read_only:
            raise NotAllowedError("the session is read-only")
        if stage.paused is not None:
            raise NotAllowedError("the session is paused")

    def type(self, data: bytes, user: str, viewer: Viewer | None) -> None:
        """Send something typed, when its turn has come, and wait until the host has taken all of it.

        Args:
            data: what is typed.
            user: who types it.
            viewer: whose keyboard it is; None for the session's own caller.

        Raises:
            NotAllowedError: as `check`, or an observer does not permit it.
            SessionOverError: as `check`; also where the session ends meanwhile.
            RequiredObserverError: an observer failed; nothing was sent.
        """
        stage = self._stage
        with stage.lock:
            self.check(viewer)
            while self._busy:
                stage.turn.wait()
                self.check(viewer)
            self._busy = True
            terminal = self._line.terminal
        try:
            reason = self._observers.permits(data, user)
            if reason is not None:
                raise NotAllowedError(one_line(reason, 400))
            with stage.lock:
                self.check(viewer)  # to be asked may take its time
            self._observers.typed(data, user)
            if terminal is not None:
                self._send(terminal, data, viewer)
        finally:
            with stage.lock:
                self._busy = False
                stage.lifetime.typed(time.monotonic())
                if viewer is not None:
                    viewer.stuck(False)
                stage.turn.notify_all()

    def _send(self, terminal: Terminal, data: bytes, viewer: Viewer | None) -> None:
        """Send all of it, even if its viewer leaves or loses its role: half of a line may do what nobody wanted."""
        stage = self._stage
        left = memoryview(data)
        while left:
            with stage.lock:
                stage.check()
                if stage.paused is not None:
                    stage.turn.wait()
                    continue
            began = time.monotonic()
            try:
                sent = terminal.write(bytes(left[:_SLICE]), _WRITING)
            except ConnectionLostError:
                raise SessionOverError("the program on the terminal has ended") from None
            left = left[sent:]
            if not sent:
                with stage.lock:
                    if viewer is not None:
                        viewer.stuck(True)
                    # A `wake` that was for the reader makes the writer return too, which must not go round and round.
                    if time.monotonic() - began < _RETRY and stage.ended is None:
                        stage.turn.wait(_RETRY)
