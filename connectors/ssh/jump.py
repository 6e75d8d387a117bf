"""Jump hosts: one connection to each, which all hosts behind it share (ssh_config(5), ProxyJump).

A connection to a jump host is opened for all who wait for it, by a thread of its own, which then looks after it: asks
for signs of life, and closes it once nobody has used it for a while. Hops nest: the second one is reached over the
first one's connection, like any host.
"""

from __future__ import annotations

import copy
import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from sshexec.connectors.base import Deadline
from sshexec.connectors.ssh.options import SshOptions
from sshexec.connectors.ssh.stream import Backlog, ChannelStream, share
from sshexec.connectors.ssh.transport import Link, LinkDownError, Signal
from sshexec.errors import (
    CancelledError,
    ConnectionLostError,
    ConnectTimeoutError,
    HostError,
    NoRouteError,
    RefusedError,
    ResolveError,
    UnreachableError,
)

_MOST = 500
"""Hosts behind one connection: each costs the jump host's sshd a descriptor, of which it often has 1024."""

_IDLE = 60.0
"""Seconds for which a connection is kept that nobody uses."""

_FAILED_FOR = 5.0
"""Seconds for which a jump host that failed is not tried again: its hosts get the same answer at once."""

_HOPS = 1000
"""Jump hosts that are remembered before those without a connection are dropped."""

_CLOSING = 5.0
"""Seconds that connections have to close."""

_PROHIBITED, _CONNECT_FAILED, _SHORTAGE = 1, 2, 4
_TRIES = 6
"""Connections that one host tries, where the jump host refuses it or breaks off."""


class Opener(Protocol):
    """What opens a connection to a jump host: its connector."""

    notices: list[Mapping[str, Any]]

    @property
    def link(self) -> Link | None:
        """The connection, once it is open."""

    def open(self, deadline: Deadline) -> None:
        """Connect and log in."""

    def cancel(self) -> None:
        """Make `open` end."""

    def close(self) -> None:
        """Close the connection."""


Make = Callable[[str, SshOptions], Opener]


@dataclasses.dataclass(frozen=True, slots=True)
class Caller:
    """Who wants to get through.

    Args:
        deadline: by when, the time that the jump host takes to open included.
        seconds: how long the host itself may take to be reached; None for no limit.
        guard: raises where he shall wait no longer.
        bell: set when the guard is to be asked.
        notices: where what the jump host's opening had to say goes.
        ready: called where he had to wait for the jump host, once it is open; what it raises ends his attempt.
        make: makes the jump host's connector, where there is no connection yet.
    """

    deadline: Deadline
    seconds: float | None
    guard: Callable[[], None]
    bell: Signal
    notices: list[Mapping[str, Any]]
    ready: Callable[[], None]
    make: Make


class _Line:
    """One connection to a jump host."""

    def __init__(self, hop: Hop, opener: Opener, maker: Signal) -> None:
        self.hop = hop
        self.opener = opener
        self.maker = maker
        """The bell of whom its opening asks what it needs to know."""
        self.abandoned = False
        """Whether it failed when he had left already; then it is no answer to those who still wait."""
        self.waiters: set[Signal] = set()
        self.opening = True
        self.error: HostError | None = None
        self.link: Link | None = None
        self.backlog: Backlog | None = None
        self.used = 0
        """Streams that are open or asked for."""
        self.idle_since = 0.0
        self.thread = threading.Thread(target=self._run, name=f"sshexec-jump-{hop.name}", daemon=True)

    @property
    def ready(self) -> bool:
        """Whether it is open, as far as this side knows."""
        return self.link is not None and self.link.active

    def _run(self) -> None:
        try:
            self.opener.open(Deadline())
            self.link = self.opener.link
            if self.link is not None:
                self.backlog = share(self.link)
        except HostError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001 - handed on
            # Whatever it is: those who wait must hear of it.
            self.error = UnreachableError(f"internal error: {type(error).__name__}: {error}")
        self.hop._opened(self)
        if self.link is not None:
            self._keep(self.link)
        self.opener.close()

    def _keep(self, link: Link) -> None:
        """Look after the connection until it ends: nobody else waits for its signs of life."""
        while link.active and not self.hop._surplus(self):
            try:
                link.pause(Deadline.after(_IDLE / 2))
            except LinkDownError:
                break


class _Place:
    """A place for one stream on a line."""

    __slots__ = ("line",)

    def __init__(self, line: _Line) -> None:
        self.line = line

    def stream(self, target: tuple[str, int], bell: Signal) -> ChannelStream:
        """Ask for a stream to a host; the place is free again once the stream is closed.

        Raises:
            LinkDownError: the connection is gone.
        """
        stream: ChannelStream | None = None
        try:
            link, backlog = self.line.link, self.line.backlog
            if link is None or backlog is None:
                raise LinkDownError("it is not open")
            stream = ChannelStream(link, backlog, self.line.hop.name, target, bell, self.release)
        finally:
            if stream is None:
                self.release()
        return stream

    def release(self) -> None:
        """Give it back; called once."""
        self.line.hop._released(self.line)


class Hop:
    """One jump host with the connections to it.

    Args:
        options: how to reach it; its own ``jump`` leads to it.
    """

    def __init__(self, options: SshOptions) -> None:
        where = options.address if options.port == 22 else f"{options.address}:{options.port}"
        # One connection serves all who call it otherwise; the first one's name is in the messages.
        self.name = f"{options.named} ({where})" if options.named else where
        self._options = options
        self._lock = threading.Lock()
        self._lines: list[_Line] = []
        self._opening: _Line | None = None
        self._failure: HostError | None = None
        self._failed = 0.0
        self._most = _MOST
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether there is a connection, or will be."""
        return self._opening is not None or bool(self._lines)

    def reach(self, host: str, port: int, caller: Caller) -> tuple[ChannelStream, Deadline]:
        """Open a stream to a host behind this one.

        Args:
            host: its name or address, as the jump host knows it.
            port: its port.
            caller: who asks.

        Returns:
            the stream, and by when the host has to be reached: the time that the jump host took does not count.

        Raises:
            UnreachableError: by its leaf, why it can't be reached.
        """
        target = f"{host} port {port}"
        avoid: _Line | None = None
        for attempt in range(_TRIES):
            place = self._take(caller, avoid)
            limit = caller.deadline.sooner(caller.seconds)
            stream: ChannelStream | None = None
            try:
                stream = place.stream((host, port), caller.bell)
                if not stream.wait_open(limit, caller.guard):
                    silence = stream.trouble(silent=True)
                    raise ConnectTimeoutError(silence or f"{target} did not answer jump host {self.name} in time")
                if stream.channel.refused is None:
                    return stream, limit
                if not self._limited(stream) or attempt + 1 == _TRIES:
                    raise self._refusal(target, stream)
                stream.close()
                avoid = place.line
            except LinkDownError as error:
                if stream is not None:
                    stream.close()
                if attempt + 1 == _TRIES:
                    raise ConnectionLostError(f"jump host {self.name}: {error}", started=False) from None
            except BaseException:
                if stream is not None:
                    stream.close()
                raise
        raise AssertionError("the last attempt returns or raises")

    def _take(self, caller: Caller, avoid: _Line | None) -> _Place:
        """Take a place on a connection; the first who finds none has one opened."""
        while True:
            caller.guard()
            with self._lock:
                if self._closed:
                    raise ConnectionLostError(f"jump host {self.name}: it was closed", started=False)
                self._lines = [line for line in self._lines if line.ready]
                for line in self._lines:
                    if line is not avoid and line.used < self._most:
                        line.used += 1
                        return _Place(line)
                if self._opening is None and self._failure is not None:
                    if time.monotonic() - self._failed < _FAILED_FOR:
                        raise self._named(self._failure)
                    self._failure = None
                opening = self._opening or self._begin(caller)
                opening.waiters.add(caller.bell)
            try:
                self._wait(opening, caller)
            finally:
                with self._lock:
                    opening.waiters.discard(caller.bell)
                    unwanted = opening.opening and not opening.waiters
                if unwanted:
                    opening.opener.cancel()
            failed = opening.error is not None and not isinstance(opening.error, CancelledError)
            if opening.error is not None and failed and not opening.abandoned:
                raise self._named(opening.error)
            with self._lock:
                told, opening.opener.notices = opening.opener.notices, []
            caller.notices.extend(told)  # the first of those who waited has them
            if opening.error is None:
                caller.ready()

    def _begin(self, caller: Caller) -> _Line:
        line = _Line(self, caller.make(self.name, self._options), caller.bell)
        try:
            line.thread.start()
        except RuntimeError as error:
            raise UnreachableError(f"jump host {self.name}: {error}") from None
        self._opening = line
        return line

    def _wait(self, opening: _Line, caller: Caller) -> None:
        while opening.opening:
            caller.guard()
            if caller.deadline.expired:
                raise ConnectTimeoutError(f"jump host {self.name} was not open in time")
            caller.bell.wait(caller.deadline.remaining())

    def _named(self, error: HostError) -> HostError:
        """Return the same failure, for one of those who wanted to get through."""
        again = copy.copy(error)
        if not error.message.startswith("jump host "):
            again.message = f"jump host {self.name}: {error.message}"
            again.args = (again.message,)
        again.host = None
        return again

    def _opened(self, line: _Line) -> None:
        with self._lock:
            line.opening = False
            self._opening = None
            if line.error is None:
                line.idle_since = time.monotonic()
                self._failure = None
                self._lines.append(line)
            elif line.maker not in line.waiters:
                line.abandoned = True
            elif not isinstance(line.error, CancelledError):
                self._failure, self._failed = line.error, time.monotonic()
            for bell in line.waiters:
                bell.set()

    def _released(self, line: _Line) -> None:
        with self._lock:
            line.used -= 1
            line.idle_since = time.monotonic()

    def _surplus(self, line: _Line) -> bool:
        """Return whether nobody has used a connection for a while; then nobody will."""
        with self._lock:
            if self._closed:
                return True
            if line.used or time.monotonic() - line.idle_since < _IDLE:
                return False
            self._lines = [each for each in self._lines if each is not line]
            return True

    def _limited(self, stream: ChannelStream) -> bool:
        """Return whether a refusal may come from a limit of the connection, and keep to that limit then.

        It does not where nobody else is on the connection, or where clearly more have been open at once before.
        """
        channel = stream.channel
        text = (channel.refused or "").lower()
        # "open failed" is all that OpenSSH says where it has no descriptor left (or no route, or a literal is wrong).
        if channel.reason not in (_SHORTAGE, _PROHIBITED) and "too many" not in text and text != "open failed":
            return False
        with self._lock:
            proven = max((line.link.most_channels for line in self._lines if line.link is not None), default=0)
            # What has just been closed may still count there, hence the margin.
            if channel.company and channel.company + 1 + proven // 10 >= proven:
                self._most = min(self._most, channel.company)
                return True
            # It says nothing of a limit, nor did what this host was told on other connections.
            self._most = _MOST
            return False

    def _refusal(self, target: str, stream: ChannelStream) -> UnreachableError:
        """Return the error for a host that the jump host does not connect to; OpenSSH gives the system's words."""
        channel = stream.channel
        reason = channel.refused or ""
        text = reason.lower()
        behind = f"{target} behind jump host {self.name}"
        if channel.reason == _PROHIBITED:
            return RefusedError(f"jump host {self.name} lets nobody through to {target}: {reason}")
        if channel.reason != _CONNECT_FAILED:
            return UnreachableError(f"jump host {self.name} opens no channel to {target}: {reason}")
        if "refused" in text:
            return RefusedError(f"{behind} refused the connection")
        if "timed out" in text:
            return ConnectTimeoutError(f"{behind} did not answer in time")
        if "no route" in text or "unreachable" in text:
            return NoRouteError(f"no route to {behind}: {reason}")
        if "not known" in text or "resol" in text or "no address" in text:
            return ResolveError(f"{behind} does not resolve there: {reason}")
        return UnreachableError(f"can't connect to {behind}: {reason}")

    def close(self) -> None:
        """Close the connections, and wait for the threads that look after them."""
        with self._lock:
            self._closed = True
            lines = [*self._lines, *([self._opening] if self._opening is not None else [])]
            self._lines = []
        for line in lines:
            line.opener.cancel()
            if line.link is not None:
                line.link.close()
        end = Deadline.after(_CLOSING)
        for line in lines:
            if line.thread is not threading.current_thread():
                line.thread.join(end.remaining())


class Hops:
    """The jump hosts of an engine."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hops: dict[SshOptions, Hop] = {}

    def last(self, jump: tuple[SshOptions, ...]) -> Hop:
        """Return the hop that a chain ends with.

        Args:
            jump: the chain, the first hop first. The first hop's own way is its own affair, as with OpenSSH's ``-J``.
        """
        options = jump[-1]
        if len(jump) > 1:
            options = dataclasses.replace(options, jump=jump[:-1], proxy_command=None)
        with self._lock:
            hop = self._hops.get(options)
            if hop is None:
                if len(self._hops) >= _HOPS:
                    self._hops = {known: each for known, each in self._hops.items() if each.busy}
                hop = self._hops[options] = Hop(options)
            return hop

    def close(self) -> None:
        """Close all connections, those of the last hops first."""
        with self._lock:
            hops = sorted(self._hops.values(), key=lambda hop: len(hop._options.jump), reverse=True)
            self._hops.clear()
        for hop in hops:
            hop.close()
