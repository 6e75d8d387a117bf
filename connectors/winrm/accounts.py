"""Passwords of domain accounts: all hosts count the wrong ones together, so one is tried on few hosts.

A domain locks an account after some wrong passwords, five or ten as a rule. A fleet whose password is wrong would use
them up in one run.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from sshexec.connectors.winrm.options import WinrmOptions
from sshexec.errors import AuthenticationError
from sshexec.secret import Secret

TRIES = 3
"""Hosts that may refuse a password before it is tried on no other: the first ones may be the ones that are odd."""

REFUSED_FOR = 300.0
"""Seconds for which it is not tried then, as long as a KDC's refusal counts (`tickets`)."""

PATIENCE = 2.0
"""Seconds that one host's login has, before the next host tries beside it: one that is frozen holds up nobody."""

_LOOK = 0.5
"""Seconds between looks at whether who waits shall go on waiting."""


class _Account:
    """What is known of one account's password."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.proven = False
        self.refused: list[str] = []
        """Hosts that refused it."""
        self.until = 0.0
        """When that is forgotten, on the monotonic clock."""
        self.trying: object | None = None
        """Who tries it now."""
        self.since = 0.0

    def enter(self, user: str, guard: Callable[[], None]) -> object:
        """Wait for one's turn to try it.

        Raises:
            AuthenticationError: it was refused by others, and is not tried.
        """
        me = object()
        with self.changed:
            while True:
                now = time.monotonic()
                if self.refused and now >= self.until:
                    self.refused.clear()
                if len(self.refused) >= TRIES:
                    refused = AuthenticationError(
                        f"{', '.join(self.refused)} refused the password of {user}; it is not tried here,"
                        " since that might lock the account"
                    )
                    refused.counted = True
                    raise refused
                if self.proven or self.trying is None or now - self.since >= PATIENCE:
                    self.trying, self.since = me, now
                    return me
                guard()
                self.changed.wait(min(_LOOK, self.since + PATIENCE - now))

    def leave(self, me: object, host: str, right: bool | None) -> None:
        """Say how the login went; None where it did not come to that."""
        with self.changed:
            if right:
                self.proven = True
                self.refused.clear()
            elif right is False:
                self.proven = False
                self.until = time.monotonic() + REFUSED_FOR
                if host not in self.refused:
                    self.refused.append(host)
            if self.trying is me:
                self.trying = None
            self.changed.notify_all()


class Accounts:
    """The domain accounts of one engine."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, Secret], _Account] = {}

    @contextlib.contextmanager
    def trying(
        self, host: str, options: WinrmOptions, password: Secret | None, guard: Callable[[], None]
    ) -> Iterator[None]:
        """Try a login in the block; till one has worked, hosts of the same account take turns.

        Args:
            host: the inventory name.
            options: who.
            password: the user's.
            guard: raises where the caller shall wait no longer.

        Raises:
            AuthenticationError: the password was refused by others, and is not tried.
        """
        if password is None or not _of_domain(options):
            yield
            return
        with self._lock:
            account = self._known.setdefault((options.user.lower(), password), _Account())
        me = account.enter(options.user, guard)
        right: bool | None = None
        try:
            yield
            right = True
        except AuthenticationError as error:
            right = False if error.counted else None
            raise
        finally:
            account.leave(me, host, right)


def _of_domain(options: WinrmOptions) -> bool:
    """Return whether it is an account that other hosts have too; Kerberos remembers what its KDC refused itself."""
    domain, backslash, _ = options.user.partition("\\")
    return options.transport in ("ntlm", "credssp") and ("@" in options.user or bool(backslash and domain.strip(".")))
