"""The way to a host up to its host key: over its address, a jump host or a ProxyCommand."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable

from sshexec.connectors.base import Connector, Deadline, Phase
from sshexec.connectors.dial import dial
from sshexec.connectors.resolver import Address
from sshexec.connectors.severed import keep_from_children
from sshexec.connectors.ssh.admission import BackOff, Ticket, TurnedAway, is_farewell, turned_away
from sshexec.connectors.ssh.conduit import Wire
from sshexec.connectors.ssh.context import SshContext
from sshexec.connectors.ssh.jump import Caller, Hop, Make
from sshexec.connectors.ssh.options import SshOptions
from sshexec.connectors.ssh.proxy import Proxy
from sshexec.connectors.ssh.transport import Link, LinkDownError, Signal
from sshexec.errors import (
    BannerError,
    ConnectionLostError,
    ConnectTimeoutError,
    HostError,
    ProtocolError,
    ResolveError,
)

_LONGEST_QUOTE = 100
"""Characters of what came in the place of a greeting that a message holds."""


class Approach:
    """The way of one connector to its host, and what it has opened on it.

    Args:
        connector: whose way it is.
        guard: raises where the caller shall wait no longer.
        hurried: tells whether the caller has no time left.
        kinds: returns the types of host keys to ask for first.
        make: makes the connector of a jump host.
    """

    def __init__(
        self,
        connector: Connector[SshOptions, SshContext],
        guard: Callable[[], None],
        hurried: Callable[[], bool],
        kinds: Callable[[], list[str]],
        make: Make,
    ) -> None:
        self._connector = connector
        self._options = connector.options
        self._context = connector.context
        self._guard = guard
        self._hurried = hurried
        self._kinds = kinds
        self._make = make
        self._where = connector.options.address or connector.host
        self._phase = Phase.WAITING
        self._bell = Signal()
        """Set by `wake`, and by whom the opener waits for."""
        self._wire: Wire | None = None
        self._proxy: Proxy | None = None
        self._ticket: Ticket | None = None
        self.link: Link | None = None
        """The connection, once it has begun."""

    def arrive(self, deadline: Deadline, patience: float | None = None) -> Link:
        """Reach the host's SSH server up to its host key, again where it turns us away before its greeting.

        Neither the wait for a place among the connections to its address, nor for a jump host, nor before another
        attempt counts against the time that the host itself has to answer.

        Args:
            deadline: the caller's.
            patience: seconds that the host may take nothing of a write; None for no limit.
        """
        options = self._options
        seconds = options.connect_timeout or self._connector.timeouts.connect
        back_off = BackOff(seconds)
        hop: Hop | None = None
        if options.jump and options.proxy_command is None:
            hop = self._context.hops.last(options.jump)
        key = (self._where, options.port, hop, options.proxy_command)
        while True:
            ticket = self._ticket = self._context.admission.enter(key, self._named, deadline, self._guard, self._bell)
            limit = deadline.sooner(seconds)
            try:
                if options.proxy_command is not None:
                    self._wire = self._start_proxy(options.proxy_command)
                elif hop is not None:
                    self._enter(Phase.CONNECTING)
                    self._wire, limit = hop.reach(self._where, options.port, self._caller(deadline, seconds))
                    self._guard()
                else:
                    self._wire = self._connect(limit)
                self._connector.answered()
                return self._negotiate(self._wire, limit, patience)
            except TurnedAway as away:
                ticket.leave(away)
                self.close()
                back_off.pause(away, limit, deadline, self._guard, self._bell)
            except BaseException as error:
                ticket.leave(error)
                raise

    def logged_in(self) -> None:
        """Take note that the host has let us in."""
        if self._ticket is not None:
            self._ticket.leave(logged_in=True)

    def wake(self) -> None:
        """Make whoever waits here ask his guard; from any thread."""
        self._bell.set()
        link, wire = self.link, self._wire
        if link is not None:
            link.signal.set()
        elif wire is not None:
            _shut(wire)

    def close(self) -> None:
        """Close what was opened; safe to call twice."""
        link, self.link = self.link, None
        wire, self._wire = self._wire, None
        proxy, self._proxy = self._proxy, None
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            ticket.leave()
        if link is not None:
            link.close()
        if wire is not None:
            _shut(wire)
        if proxy is not None:
            proxy.close()

    @property
    def _named(self) -> str:
        return f"{self._where} port {self._options.port}"

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._connector.enter(phase)

    def _caller(self, deadline: Deadline, seconds: float | None) -> Caller:
        def ready() -> None:
            self._connector.answered()
            # Now the host's own time to answer begins.
            self._enter(Phase.WAITING)
            self._enter(Phase.CONNECTING)

        return Caller(deadline, seconds, self._guard, self._bell, self._connector.notices, ready, self._make)

    def _start_proxy(self, command: str) -> socket.socket:
        self._guard()
        self._enter(Phase.CONNECTING)
        self._proxy = Proxy(command)
        return self._proxy.socket

    def _connect(self, limit: Deadline) -> socket.socket:
        self._guard()
        self._enter(Phase.RESOLVING)
        addresses = self._allowed(self._context.resolver.resolve(self._where, self._options.port, limit, self._guard))
        self._enter(Phase.CONNECTING)
        return dial(addresses, self._named, limit, self._guard, self._connect_to)

    def _allowed(self, addresses: list[Address]) -> list[Address]:
        """Return the addresses of the family that AddressFamily asks for."""
        family = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}.get(self._options.address_family)
        allowed = [address for address in addresses if family is None or address.family == family]
        if not allowed:
            wanted = "IPv4" if family == socket.AF_INET else "IPv6"
            raise ResolveError(f"{self._where} has no {wanted} address, and AddressFamily allows no other")
        return allowed

    def _connect_to(self, address: Address, limit: Deadline) -> socket.socket:
        sock = self._wire = socket.socket(address.family, socket.SOCK_STREAM)
        keep_from_children(sock)
        try:
            left = limit.remaining()
            # A time-out of 0 would mean a socket that does not block.
            sock.settimeout(None if left is None else max(left, 0.001))
            sock.connect(address.target)
            self._guard()
        except BaseException:
            self._wire = None
            sock.close()
            raise
        return sock

    def _negotiate(self, wire: Wire, limit: Deadline, patience: float | None) -> Link:
        options = self._options
        alive = (options.alive_interval, options.alive_count)
        try:
            link = self.link = Link(wire, self._kinds(), alive, options.algorithms())
        except OSError as error:  # the host, or `wake`, has closed the connection already
            self._guard()
            text, guess = self._closed(error.strerror or str(error))
            raise TurnedAway(BannerError(text, phase=self._phase.value), guess) from None
        link.packetizer.hurried = self._hurried
        link.packetizer.patience = patience
        link.begin()
        try:
            if not link.wait_until(lambda: link.greeted, limit, self._guard):
                raise BannerError(f"{self._named} accepted the connection and sent no SSH greeting in time")
            self._enter(Phase.KEY_EXCHANGE)
            begun = time.monotonic()
            if not link.wait_until(lambda: link.initial_kex_done, limit, self._guard):
                raise ConnectTimeoutError(f"{self._named} did not finish the key exchange in time")
            link.timed(time.monotonic() - begun)
        except LinkDownError as error:
            raise self._broken_off(link, error) from None
        return link

    def _broken_off(self, link: Link, error: LinkDownError) -> Exception:
        """Return what it means that a connection ended before the host key was known."""
        words, status = self._proxy.last_words() if self._proxy is not None else ("", None)
        if trouble := link.trouble():
            return ConnectionLostError(f"{self._named} was not reached: {trouble}", started=False)
        last = words or (f"exit status {status}" if status else "")
        guess = ""
        if link.greeted:
            reason = f"the ProxyCommand ended: {last}" if last else str(error)
            known: HostError = ProtocolError(f"the key exchange with {self._named} failed: {reason}")
        elif last and not link.packetizer.greeting:
            known = BannerError(f"the ProxyCommand to {self._named} ended before the host's greeting: {last}")
        else:
            text, guess = self._no_greeting(link, str(error))
            known = BannerError(text)
        known.phase = self._phase.value
        return TurnedAway(known, guess) if turned_away(link, words, status) else known

    def _no_greeting(self, link: Link, reason: str) -> tuple[str, str]:
        """Return what came in the place of a greeting, and what may be behind it."""
        said = link.packetizer.greeting
        if is_farewell(said):
            return f"{self._named} turned us away: {said[:_LONGEST_QUOTE]}", ""
        if said or not link.packetizer.ended:
            quote = f", it says {said[:_LONGEST_QUOTE]!r}" if said and said not in reason else ""
            return f"{self._named} does not speak SSH{quote}: {reason}", ""
        return self._closed(reason if link.packetizer.was_reset else "")

    def _closed(self, reason: str) -> tuple[str, str]:
        how = f" ({reason})" if reason else ""
        return (
            f"{self._named} closed the connection before its greeting{how}",
            "MaxStartups of its sshd, or a firewall?",
        )


def _shut(wire: Wire) -> None:
    """Close a wire so that a thread blocked on it wakes."""
    with contextlib.suppress(OSError):
        wire.shutdown(socket.SHUT_RDWR)
    wire.close()
