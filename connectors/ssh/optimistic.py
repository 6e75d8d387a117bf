"""The optimistic start: login, session and command leave in one flight, before the host has answered any of them.

A login step by step waits four times for the host after the key exchange: for the login, the session, the command, its
end. OpenSSH handles what it is sent in order, so that all of it can be sent at once, and one wait is left. That is
right only where the login succeeds, so it is done only with a credential that has let this user in before, in this
run, in the patient way (the first host is the canary), and with servers that are known to bear it. When it does not
work out, the connector goes the patient way on a fresh connection, once; but never where the host has refused the
credential itself, and never where the command may have been started.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sshexec.connectors.deadline import Deadline, unguarded
from sshexec.connectors.ssh.keys import SigningKey
from sshexec.connectors.ssh.transport import Link, LinkDownError
from sshexec.errors import CommandTimeoutError, ConnectTimeoutError, UnreachableError
from sshexec.secret import Secret

if TYPE_CHECKING:
    from sshexec.connectors.ssh.auth import Login
    from sshexec.connectors.ssh.channel import Channel

_OPENSSH = re.compile(r"SSH-2\.0-OpenSSH_(\d+)\.(\d+)")
_OLDEST = (7, 4)
"""Older servers, and those of others, are not tried: what they do with a request that comes too early is unknown."""

_REFUSED = "Too many authentication failures"
"""What OpenSSH says in place of a refusal where no further attempt is allowed (MaxAuthTries)."""

_MOST_MISHAPS = 3
"""Starts that may go wrong before a group's hosts are all reached in the patient way."""

_MOMENT = 1.0
"""Seconds that a login which nobody waits for any more has to become clear."""

_MOST_HOSTS = 10_000

Group = tuple[str, bytes | Secret]
"""A user and a credential: the public key, or the password."""


class OptimismError(UnreachableError):
    """The optimistic start did not work out, and nothing was run: the patient way is to be gone (leaves no room)."""


class Starts:
    """Which credentials have let which user in, and where the optimistic start went wrong; shared by all hosts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._proven: set[Group] = set()
        self._mishaps: dict[Group, int] = {}
        self._hosts: set[str] = set()

    def worked(self, group: Group) -> None:
        """Take note that a credential let a user in, in the patient way."""
        with self._lock:
            self._proven.add(group)

    def failed(self, group: Group, host: str) -> None:
        """Take note that the optimistic start went wrong: never again for this host, and not often for this group."""
        with self._lock:
            self._mishaps[group] = self._mishaps.get(group, 0) + 1
            if len(self._hosts) < _MOST_HOSTS:
                self._hosts.add(host)

    def allowed(self, group: Group, host: str) -> bool:
        """Return whether a host may be met with optimism."""
        with self._lock:
            return group in self._proven and host not in self._hosts and self._mishaps.get(group, 0) < _MOST_MISHAPS

    def clear(self) -> None:
        """Forget everything, the credentials above all."""
        with self._lock:
            self._proven.clear()
            self._mishaps.clear()
            self._hosts.clear()


def group_of(user: str, keys: Sequence[SigningKey], password: Secret | None) -> Group | None:
    """Return the group of a host, or None where there is not exactly one credential."""
    if len(keys) == 1 and password is None:
        return user, keys[0].blob
    if not keys and password is not None:
        return user, password
    return None


def tolerated(link: Link, keys: Sequence[SigningKey]) -> bool:
    """Return whether the server is known to bear an optimistic start with these keys."""
    found = _OPENSSH.match(link.remote_version)
    if found is None or (int(found[1]), int(found[2])) < _OLDEST:
        return False
    # Which RSA signatures it takes, it says on its own, at its leisure (RFC 8308).
    return not any(key.kind.startswith("ssh-rsa") for key in keys) or "server-sig-algs" in link.server_extensions


class Start:
    """A login that has not been sent yet, and goes out together with the first command.

    Args:
        link: the connection; its host key has been checked.
        login: the login.
        credential: the one key or password.
        where: the host, for messages.
        limit: seconds for the login.
        entered: called when the host has let us in.
    """

    def __init__(
        self,
        link: Link,
        login: Login,
        credential: SigningKey | Secret,
        where: str,
        limit: float | None,
        entered: Callable[[], None],
    ) -> None:
        self._link = link
        self._login = login
        self._credential = credential
        self._where = where
        self._limit = limit
        self._entered = entered
        self._channel: Channel | None = None
        self._settled = False

    def open_channel(self, guard: Callable[[], None]) -> Channel:
        """Prepare login and session; they leave with the next `Link.flush`.

        Raises:
            LinkDownError: the connection is gone.
            OptimismError: there is no signature to be had.
        """
        limit = Deadline.after(self._limit)
        self._link.packetizer.hold()
        if not self._login.begin(self._credential, limit, guard):
            raise OptimismError("the key can't sign")
        # Until the host confirms it, the session counts as its number 0, which is what OpenSSH calls its first one.
        self._channel = self._link.add_channel()
        return self._channel

    def settle(self, deadline: Deadline, guard: Callable[[], None]) -> None:
        """Wait until it is clear that the command was taken by the session that it was meant for.

        Args:
            deadline: by when the host has to open the session; the login has its own limit.
            guard: raises where the caller shall wait no longer.

        Raises:
            AuthenticationError: the host refused the credential.
            ConnectTimeoutError: it did not answer the login in time.
            CommandTimeoutError: it opened no session in time.
            OptimismError: it did not work out, and nothing was run.
            LinkDownError: the connection is gone, and the command may have been started.
        """
        login, channel = self._login, self._channel
        if channel is None:
            return
        try:
            if not self._link.wait_until(lambda: login.answered is not None, Deadline.after(self._limit), guard):
                raise ConnectTimeoutError(f"{self._where} did not answer the login in time")
            if login.answered:
                self._entered()
                if not self._link.wait_until(lambda: channel.accepted or channel.refused, deadline, guard):
                    raise CommandTimeoutError("the host opened no session in time", killed=None)
        except LinkDownError:
            self.check()
            raise
        self.check()

    def came_to_nothing(self) -> bool | None:
        """Return None where the host has let us in, else whether it is certain that nothing was run.

        What is under way is given a moment: a command that is being started can only be ended once it is there.
        """
        with contextlib.suppress(LinkDownError):
            self._link.wait_until(lambda: self._login.answered is not None, Deadline.after(_MOMENT), unguarded)
        return None if self._login.answered else self._login.answered is False

    def check(self) -> None:
        """Tell what became of a start that is not settled; does nothing where the command may have been started.

        Raises:
            AuthenticationError, OptimismError: as `settle`.
        """
        channel = self._channel
        if self._settled or channel is None:
            return
        if self._login.answered is False:
            if not self._login.partial:
                raise self._login.refusal()
            raise OptimismError("the host wants one more credential")
        if channel.refused is not None:
            raise OptimismError(f"the host opened no session: {channel.refused}")
        if channel.accepted:
            if channel.remote != 0:
                raise OptimismError("the host numbers its sessions in another way")
            self._settled = True
        elif not self._link.authenticated and self._link.said_all:
            if self._link.farewell.startswith(_REFUSED):
                raise self._login.refusal()
            # Its end came behind all that it had to say, and the login's success was not among it.
            raise OptimismError("the host closed the connection during the login")
