"""What users do with terminals, told to the sinks that keep watch (`sshexec.audit`)."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sshexec.errors import SshexecError

if TYPE_CHECKING:
    from sshexec.terminal.session import TerminalSession

log = logging.getLogger(__name__)

TerminalKind = Literal[
    "terminal_token",
    "terminal_refused",
    "terminal_started",
    "terminal_joined",
    "terminal_ended",
    "terminal_terminated",
    "terminal_paused",
    "terminal_resumed",
    "terminal_signalled",
    "terminal_handed_over",
    "terminal_uploaded",
    "terminal_downloaded",
    "terminal_replayed",
    "signed_in",
    "signed_out",
]


@dataclass(frozen=True, slots=True)
class TerminalEvent:
    """One thing that an auditor wants to know of terminals; it holds nothing typed or shown, no token and no secret.

    Args:
        event: ``terminal_token`` (one was issued), ``terminal_refused`` (something was not allowed, or a token opened
            nothing), ``terminal_started`` (a session begins; told before its host is contacted), ``terminal_joined``,
            ``terminal_ended``, what was done to a session, ``terminal_replayed`` (a recording, or what was typed in it,
            was fetched), or ``signed_in`` and ``signed_out`` (by the page's own sign-in).
        time: seconds since the epoch.
        user: who did it; of ``terminal_ended`` the session's owner; None where nobody knows.
        action: of ``terminal_refused``: what was refused: a `sshexec.terminal.permission.Action`, ``redeem``,
            ``signin``, or what only a session's owner may: ``type``, ``resize``, ``signal``, ``answer``, ``close``.
        session: its identifier; None where there is none yet.
        host: inventory name, or what was asked for as one.
        owner: whose session it is.
        role: of ``terminal_token`` and ``terminal_joined``.
        viewer: of ``terminal_handed_over``: the user who has it now.
        address: the network address, where it is known.
        path: of a transfer: the file on the host.
        size: of a transfer: bytes that arrived.
        signal: of ``terminal_signalled``.
        recording: name of the session's recording, or of what was replayed.
        seconds: of ``terminal_ended``: how long it lasted.
        reason: of ``terminal_ended`` and ``terminal_terminated``: why.
        cause: of ``terminal_ended``, where it could not be opened: the word of `sshexec.errors.HostError`.
        message: one line for people.
    """

    event: TerminalKind
    time: float
    user: str | None = None
    action: str | None = None
    session: str | None = None
    host: str | None = None
    owner: str | None = None
    role: str | None = None
    viewer: str | None = None
    address: str | None = None
    path: str | None = None
    size: int | None = None
    signal: str | None = None
    recording: str | None = None
    seconds: float | None = None
    reason: str | None = None
    cause: str | None = None
    message: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the event as plain data, each key at every event."""
        return {name: getattr(self, name) for name in self.__slots__}


def about(session: TerminalSession) -> dict[str, Any]:
    """Return what an event says of a session."""
    info = session.info()
    return {"session": info.id, "host": info.host, "owner": info.owner, "recording": info.recording}


def ending(session: TerminalSession) -> dict[str, Any]:
    """Return what an event says of a session that has ended."""
    info = session.info()
    ended = info.ended
    return {
        **about(session),
        "user": session.owner,
        "seconds": round(time.time() - info.started, 3),
        "reason": None if ended is None else ended.reason,
        "cause": None if ended is None else ended.cause,
        "message": (None if ended is None else ended.text) or None,
    }


def shown(text: object) -> str:
    """Return what somebody asked for, as one line may show it."""
    return "".join(each for each in str(text)[:80] if each.isprintable())


TerminalSink = Callable[[TerminalEvent], None]


class Watch:
    """Tells a manager's sinks, one event at a time, by whoever does what is told.

    What a sink raises is logged once and disturbs nobody. One may act on the manager, such as to end a session; of that
    it is told in between.

    Args:
        sinks: who is told.
    """

    def __init__(self, sinks: Sequence[TerminalSink]) -> None:
        self._sinks = list(sinks)
        self._lock = threading.RLock()
        self._failed: set[int] = set()

    def tell(self, event: TerminalKind, **more: Any) -> None:
        """Tell what happened.

        Args:
            event: its kind.
            **more: the other fields of `TerminalEvent`.
        """
        if not self._sinks:
            return
        with self._lock:
            told = TerminalEvent(event, time.time(), **more)
            for number, sink in enumerate(self._sinks):
                try:
                    sink(told)
                except Exception as error:
                    if number not in self._failed:
                        self._failed.add(number)
                        with contextlib.suppress(Exception):
                            log.exception("audit: %s failed, and events of terminals are lost: %s", sink, error)

    @contextlib.contextmanager
    def transfer(
        self, event: TerminalKind, progress: Callable[[int], None] | None, **more: Any
    ) -> Iterator[Callable[[int], None]]:
        """Count what arrives of a file, and tell how its transfer ended, well or not.

        Args:
            event: its kind.
            progress: is called too.
            **more: the other fields of `TerminalEvent`.
        """
        arrived = 0

        def count(done: int) -> None:
            nonlocal arrived
            arrived = done
            if progress is not None:
                progress(done)

        message: str | None = None
        try:
            yield count
        except BaseException as error:
            message = str(error) if isinstance(error, SshexecError) else type(error).__name__
            raise
        finally:
            self.tell(event, size=arrived, message=message, **more)
