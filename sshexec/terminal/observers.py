"""Telling a session's observers what goes through it: in order, and so that none of them disturbs it."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence

from sshexec.connectors.terminal import Size
from sshexec.terminal.observer import Observer, SessionInfo

log = logging.getLogger(__name__)


class RequiredObserverError(Exception):
    """An observer that the session may not go on without has failed; the text is for the log's reader."""


class Observers:
    """The observers of one session.

    Args:
        observers: in the order in which they are told.
    """

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)
        # A thread types while another one shows; and an observer may act on its session.
        self._turn = threading.RLock()
        self._over = False
        self._failed: set[Observer] = set()

    def add(self, observer: Observer) -> None:
        """Add one more; before the session starts."""
        self._observers = (*self._observers, observer)

    def opened(self, info: SessionInfo) -> None:
        """See `Observer.opened`."""
        self._tell(lambda observer: observer.opened(info))

    def permits(self, data: bytes, user: str) -> str | None:
        """Return why something typed is not sent, as the first one says who objects; None where nobody does.

        It takes no turn: who is asked may ask somebody else, and what the program writes does not wait for that.

        Raises:
            RequiredObserverError: one failed that the session may not go on without.
        """
        for observer in self._observers:
            try:
                reason = observer.permits(data, user)
            except Exception as error:  # noqa: BLE001 - the observer's own code
                self._fail(observer, error)
            else:
                if reason is not None:
                    return reason
        return None

    def typed(self, data: bytes, user: str) -> None:
        """See `Observer.typed`."""
        self._tell(lambda observer: observer.typed(data, user))

    def shown(self, data: bytes) -> None:
        """See `Observer.shown`."""
        self._tell(lambda observer: observer.shown(data))

    def resized(self, size: Size) -> None:
        """See `Observer.resized`."""
        self._tell(lambda observer: observer.resized(size))

    def ended(self, info: SessionInfo) -> None:
        """See `Observer.ended`; each is told, whatever the others do, and nothing after it."""
        with self._turn:
            self._over = True
            for observer in self._observers:
                try:
                    observer.ended(info)
                except Exception as error:  # noqa: BLE001 - the observer's own code
                    self._note(observer, error)

    def _tell(self, what: Callable[[Observer], None]) -> None:
        if not self._observers:
            return
        with self._turn:
            if self._over:
                return
            for observer in self._observers:
                try:
                    what(observer)
                except Exception as error:  # noqa: BLE001 - the observer's own code
                    self._fail(observer, error)

    def _fail(self, observer: Observer, error: Exception) -> None:
        self._note(observer, error)
        if observer.required:
            raise RequiredObserverError(_named(observer, error)) from None

    def _note(self, observer: Observer, error: Exception) -> None:
        # Not its text: it may hold what was typed.
        if observer not in self._failed:
            self._failed.add(observer)
            log.warning(
                "an observer of a terminal session failed: %s: %s", type(observer).__name__, type(error).__name__
            )


def _named(observer: Observer, error: Exception) -> str:
    """Return which observer failed and, of an error of the system, why; in the system's own words."""
    name = type(observer).__name__
    return f"{name}: {os.strerror(error.errno)}" if isinstance(error, OSError) and error.errno else name
