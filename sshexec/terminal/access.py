"""Whether a user may do something: the platform's `Permit` is asked, and True alone allows."""

from __future__ import annotations

import inspect
import logging

from sshexec.errors import ArgumentError, NoSuchSessionError
from sshexec.terminal.observer import SessionInfo
from sshexec.terminal.permission import Action, Permit

log = logging.getLogger(__name__)

_OTHERS: tuple[Action, ...] = ("watch", "control", "terminate")
"""Whoever may do one of these to a session may know of it."""


class Access:
    """Asks for each step, and refuses what nobody allows.

    Args:
        permit: the question; None refuses everything.

    Raises:
        ArgumentError: it is no plain function.
    """

    def __init__(self, permit: Permit | None) -> None:
        call = getattr(permit, "__call__", None)  # noqa: B004 - of an object, whether its method is asynchronous
        if permit is not None and not callable(permit):
            raise ArgumentError(f"permit: expected a function (user, action, host), got {type(permit).__name__}")
        if inspect.iscoroutinefunction(permit) or inspect.iscoroutinefunction(call):
            raise ArgumentError("permit: expected a plain function, got an asynchronous one, which would allow nothing")
        self._permit = permit
        self._complained = False

    def allowed(self, user: str, action: Action, host: str) -> bool:
        """Return whether a user may do something on a host.

        Args:
            user: who.
            action: what.
            host: inventory name.
        """
        return self._answer(user, action, host) is True

    def withdrawn(self, user: str, action: Action, host: str) -> bool:
        """Return whether a user who had something may not have it any more; where ``permit`` fails nobody knows that.

        Args:
            user: who.
            action: what.
            host: inventory name.
        """
        return self._answer(user, action, host) is False

    def _answer(self, user: str, action: Action, host: str) -> bool | None:
        """Return what ``permit`` says; None where it failed."""
        if self._permit is None or not isinstance(user, str) or not user:
            return False
        try:
            answer: object = self._permit(user, action, host)
        except Exception:
            if not self._complained:
                self._complained = True
                log.exception("permit failed, and what it was asked for is refused")
            return None
        if inspect.iscoroutine(answer):
            answer.close()
        return answer is True

    def knows(self, user: str, info: SessionInfo) -> bool:
        """Return whether a user may know that a session is there."""
        return _owns(user, info) or any(self.allowed(user, action, info.host) for action in _OTHERS)

    def masters(self, user: str, info: SessionInfo, action: Action) -> bool:
        """Return whether a session is a user's own, or one to which that user may do something."""
        return _owns(user, info) or self.allowed(user, action, info.host)


def missing() -> NoSuchSessionError:
    """Return what is said of a session that is not there, and of one that a user may not know of."""
    return NoSuchSessionError("there is no such session")


def needed_for(role: object) -> Action:
    """Return what a role in somebody else's session needs.

    Raises:
        ArgumentError: it is no role.
    """
    if role == "owner":
        return "control"
    if role == "watcher":
        return "watch"
    raise ArgumentError(f"role: expected owner or watcher, got {role!r:.40}")


def _owns(user: object, info: SessionInfo) -> bool:
    return isinstance(user, str) and bool(user) and user == info.owner
