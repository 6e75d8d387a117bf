"""The SSH connector."""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, ClassVar

from sshexec.connectors.base import Capability, Command, Completed, Connector, Deadline, Phase, Timeouts, Upload
from sshexec.connectors.catfiles import CatFiles
from sshexec.connectors.escalation import Dialogue, Escalation, escalation
from sshexec.connectors.output import Output
from sshexec.connectors.source import Source, opened
from sshexec.connectors.ssh.auth import Login, StaleLinkError
from sshexec.connectors.ssh.context import Address, SshContext
from sshexec.connectors.ssh.execution import Execution, SessionRefusedError
from sshexec.connectors.ssh.files import Files
from sshexec.connectors.ssh.hostkeys import OtherKindsError, known_name
from sshexec.connectors.ssh.keys import SigningKey
from sshexec.connectors.ssh.optimistic import Group, OptimismError, Start, group_of, tolerated
from sshexec.connectors.ssh.options import SshOptions
from sshexec.connectors.ssh.questions import Questions
from sshexec.connectors.ssh.severed import keep_from_children
from sshexec.connectors.ssh.transport import Link, LinkDownError
from sshexec.errors import (
    AuthenticationError,
    BannerError,
    CancelledError,
    CommandTimeoutError,
    ConnectionLostError,
    ConnectTimeoutError,
    HostError,
    NoRouteError,
    OptionError,
    ProtocolError,
    RefusedError,
    ResolveError,
    UnreachableError,
)
from sshexec.secret import Secret

_CONNECTIONS = 4
"""Connections that one login may take: a person may need longer for an answer than the host waits for one."""

_NO_ROUTE = frozenset(
    {
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.ENETDOWN,
        errno.EADDRNOTAVAIL,
        errno.EACCES,  # a route of the type "prohibit"
        errno.EINVAL,  # a route of the type "blackhole"; a link-local address without an interface
    }
)


class SshConnector(Connector[SshOptions, SshContext]):
    """One SSH connection to one host (see `Connector`)."""

    name: ClassVar[str] = "ssh"
    capabilities: ClassVar[Capability] = Capability.FILES | Capability.POSIX | Capability.BECOME
    Options = SshOptions
    Context = SshContext

    def __init__(self, host: str, options: SshOptions, context: SshContext, timeouts: Timeouts) -> None:
        super().__init__(host, options, context, timeouts)
        self._phase = Phase.WAITING
        self._socket: socket.socket | None = None
        self._link: Link | None = None
        self._start: Start | None = None
        """A login that waits for the first command."""
        self._group: Group | None = None
        self._opened_by = Deadline()
        self._files: Files | None = None
        self._way: Escalation | None = None
        self._cancelled = False
        self._ending = False
        """Whether the call in progress was cancelled, and ends."""
        self._deadline = Deadline()
        """That of the call in progress."""
        self._asked: list[str] = []
        """Types of host keys that the host was asked for first."""
        self._where = options.address or host
        self._known_as = (options.host_key_alias or known_name(self._where, options.port)).lower()

    def enter(self, phase: Phase) -> None:
        """Tell the listener, and remember for errors, what the host is busy with now."""
        self._phase = phase
        super().enter(phase)

    @property
    def known_as(self) -> str:
        """The host's name in known_hosts."""
        return self._known_as

    @property
    def alive(self) -> bool:
        """Whether the connection is open as far as this side knows."""
        link = self._link
        return link is not None and link.active and (link.authenticated or self._start is not None)

    def open(self, deadline: Deadline) -> None:
        """Connect, check the host key, log in (see `Connector.open`)."""
        self._opened_by = deadline
        # Its limits are looked at between the steps, none of which sends more than a socket has room for.
        with self._errors(Deadline()):
            self._open(optimistic=self.options.optimistic)

    def _open(self, *, optimistic: bool, refused: bool = False) -> None:
        """Open, leaving out the credential where the host has refused it already."""
        self.close()
        deadline = self._opened_by
        with contextlib.ExitStack() as asked:
            # What a person is asked for outlives a connection that the host closes meanwhile.
            questions = None
            if self.context.asks(self.options):
                questions = self._questions(deadline)
                asked.callback(questions.close)
            keys = [] if refused else self._keys(deadline)
            for _ in range(_CONNECTIONS):
                with contextlib.suppress(StaleLinkError):
                    self._open_with(keys, None if refused else self.options.password, questions, optimistic)
                    return
            raise AuthenticationError(f"{self._where} closed every connection while an answer was waited for")

    def _open_with(
        self, keys: Sequence[SigningKey], password: Secret | None, questions: Questions | None, optimistic: bool
    ) -> None:
        deadline = self._opened_by
        limit = deadline.sooner(self.options.connect_timeout or self.timeouts.connect)
        try:
            link = self._arrive(limit)
            if not self._check_host_key(link):
                self.close()
                link = self._arrive(limit)
                self._check_host_key(link, again=True)
            self.enter(Phase.AUTHENTICATING)
            if not (optimistic and self._log_in_later(link, keys)):
                self._log_in(link, keys, password, questions, deadline.sooner(self.timeouts.auth))
        except BaseException:
            self.close()
            raise

    def execute(self, command: Command, output: Output, deadline: Deadline) -> Completed:
        """Run a command (see `Connector.execute`)."""
        with self._errors(deadline):
            self._ready()
            if self._start is not None and self.become is None:
                return self._run_early(command, output, deadline)
            self._logged_in()
            self.enter(Phase.RUNNING)
            return self._run(command, output, deadline)

    def _run_early(self, command: Command, output: Output, deadline: Deadline) -> Completed:
        """Send the login together with the command; where that does not work out, go the patient way, once."""
        link = self._ready()
        start, self._start = self._start, None
        run = Execution(link, command, output, deadline, idle=self.timeouts.idle, guard=self._guard, start=start)
        try:
            return run.run()
        except (OptimismError, AuthenticationError) as error:
            refused = isinstance(error, AuthenticationError)
            if refused and not self.context.asks(self.options):
                raise
            if not refused and self._group is not None:
                self.context.starts.failed(self._group, self._known_as)
            self._open(optimistic=False, refused=refused)
            self.enter(Phase.RUNNING)
            return self._run(command, output, deadline)
        finally:
            if not link.authenticated:
                link.close()

    def _run(self, command: Command, output: Output, deadline: Deadline) -> Completed:
        if self.become is None:
            return self._run_once(command, output, deadline)
        way = self._way = escalation(self, self.become, self.options.user, self._way)
        return way.run(lambda dialogue: self._run_once(command, output, deadline, dialogue), self._guard)

    def _run_once(
        self, command: Command, output: Output, deadline: Deadline, dialogue: Dialogue | None = None
    ) -> Completed:
        link = self._ready()
        idle = self.timeouts.idle
        run = Execution(link, command, output, deadline, idle=idle, guard=self._guard, dialogue=dialogue)
        try:
            return run.run()
        except SessionRefusedError:
            # With MaxSessions 1 the file session, which is kept for the next transfer, takes the only place.
            if self._files is None or not self._files.release():
                raise
            return run.run()

    def put(
        self,
        source: Source,
        path: str,
        deadline: Deadline,
        *,
        mode: int | None = None,
        progress: Callable[[int], None] | None = None,
        sha1: str | None = None,
    ) -> None:
        """Write a file atomically (see `Connector.put`)."""
        with self._errors(deadline):
            if self.become is not None:
                with opened(source) as file:
                    self._cat().put(file, path, deadline, mode=mode, progress=progress)
                return
            self._transfer(deadline).put(source, path, deadline, mode=mode, progress=progress, sha1=sha1)

    def get(
        self,
        path: str,
        target: BinaryIO,
        deadline: Deadline,
        *,
        progress: Callable[[int], None] | None = None,
        offset: int = 0,
    ) -> None:
        """Read a file (see `Connector.get`)."""
        with self._errors(deadline):
            if self.become is not None:
                self._cat().get(path, target, deadline, progress=progress, offset=offset)
                return
            self._transfer(deadline).get(path, target, deadline, progress=progress, offset=offset)

    def put_all(
        self, uploads: Sequence[Upload], deadline: Deadline, *, progress: Callable[[int], None] | None = None
    ) -> None:
        """Write several files, the small ones together (see `Connector.put_all`)."""
        with self._errors(deadline):
            way = self._cat() if self.become is not None else self._transfer(deadline)
            way.put_all(uploads, deadline, progress=progress)

    def get_all(self, paths: Sequence[str], take: Callable[[int, bytes], None], deadline: Deadline) -> None:
        """Read several small files together (see `Connector.get_all`)."""
        with self._errors(deadline):
            way = self._cat() if self.become is not None else self._transfer(deadline)
            way.get_all(paths, take, deadline)

    def cancel(self) -> None:
        """Make the call in progress, or the next one, end with CancelledError soon; from any thread."""
        self._cancelled = True
        link, sock = self._link, self._socket
        if link is not None:
            link.signal.set()
        elif sock is not None:
            _shut(sock)

    def close(self) -> None:
        """Close the connection; safe to call twice and after a failed `open`."""
        link, self._link = self._link, None
        sock, self._socket = self._socket, None
        self._files = self._start = None
        if link is not None:
            link.close()
        if sock is not None:
            _shut(sock)

    def _guard(self) -> None:
        if self._cancelled:
            self._cancelled = False
            self._ending = True
            raise CancelledError("cancelled")

    def _hurried(self) -> bool:
        return self._cancelled or self._ending or self._deadline.expired

    @property
    def _patience(self) -> float | None:
        """Seconds that the host may take nothing: until it counts as idle, or as one without a sign of life."""
        limits = [self.timeouts.idle, self.options.alive_interval * self.options.alive_count or None]
        return min((limit for limit in limits if limit is not None), default=None)

    def _ready(self) -> Link:
        self._guard()
        link = self._link
        if link is None or not self.alive:
            why = link.why() if link is not None else "it is not open"
            raise ConnectionLostError(f"the connection is gone ({why}); nothing was run", started=False)
        return link

    def _logged_in(self) -> Link:
        link = self._ready()
        return link if self._start is None else self._log_in_now(link)

    def _transfer(self, deadline: Deadline) -> Files:
        link = self._logged_in()
        self.enter(Phase.TRANSFERRING)
        if self._files is None:
            self._files = Files(link, self._guard, self._run, self.timeouts.idle)
        return self._files

    def _cat(self) -> CatFiles:
        """Return what reads and writes files as the other user: SFTP is the login user's."""
        self._logged_in()
        self.enter(Phase.TRANSFERRING)
        return CatFiles(self._run)

    @contextlib.contextmanager
    def _errors(self, deadline: Deadline) -> Iterator[None]:
        """Give every error of a host its name and phase."""
        self._ending = False
        self._deadline = deadline
        try:
            try:
                yield
            except ConnectionLostError as error:
                link = self._link
                if link is None or not link.packetizer.gave_up:
                    raise
                # The end of the connection was our own doing: what matters is why.
                killed = False if error.started and self._phase is Phase.RUNNING else None
                if self._cancelled:
                    self._cancelled = False
                    raise CancelledError("cancelled", killed=killed) from None
                if self._hurried():
                    raise CommandTimeoutError(
                        "the host takes no data any more, and the deadline passed", killed=killed
                    ) from None
                if self._patience is not None and self._patience == self.timeouts.idle:
                    raise CommandTimeoutError(
                        f"the host took no data for {self._patience:g} s", killed=killed, silence=self._patience
                    ) from None
                raise
        except HostError as error:
            error.host = error.host or self.host
            error.phase = error.phase or self._phase.value
            raise

    # Opening, step by step.

    def _arrive(self, limit: Deadline) -> Link:
        """Connect and exchange keys."""
        self._socket = self._connect(limit)
        self.answered()
        return self._negotiate(self._socket, limit)

    def _kinds(self) -> list[str]:
        """Return the types of host keys to ask for first."""
        options = self.options
        if options.policy == "off" and not options.pinned:
            return []
        return self.context.host_keys.kinds(self._known_as, options.known_hosts, options.pinned)

    def _connect(self, limit: Deadline) -> socket.socket:
        self._guard()
        self.enter(Phase.RESOLVING)
        addresses = self._allowed(self.context.resolver.resolve(self._where, self.options.port, limit, self._guard))
        self.enter(Phase.CONNECTING)
        failure: OSError | None = None
        for number, address in enumerate(addresses):
            # Each address gets its share of the time: a dead IPv6 route must not keep the IPv4 address from its turn.
            left = limit.remaining()
            share = None if left is None else left / (len(addresses) - number)
            try:
                return self._connect_to(address, limit.sooner(share))
            except OSError as error:
                self._guard()
                failure = error
        raise self._connect_error(failure)

    def _allowed(self, addresses: list[Address]) -> list[Address]:
        """Return the addresses of the family that AddressFamily asks for."""
        family = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}.get(self.options.address_family)
        allowed = [address for address in addresses if family is None or address.family == family]
        if not allowed:
            wanted = "IPv4" if family == socket.AF_INET else "IPv6"
            raise ResolveError(f"{self._where} has no {wanted} address, and AddressFamily allows no other")
        return allowed

    def _connect_to(self, address: Address, limit: Deadline) -> socket.socket:
        sock = self._socket = socket.socket(address.family, socket.SOCK_STREAM)
        keep_from_children(sock)
        try:
            left = limit.remaining()
            # A time-out of 0 would mean a socket that does not block.
            sock.settimeout(None if left is None else max(left, 0.001))
            sock.connect(address.target)
            self._guard()
        except BaseException:
            self._socket = None
            sock.close()
            raise
        return sock

    def _connect_error(self, error: OSError | None) -> UnreachableError:
        where = f"{self._where} port {self.options.port}"
        if isinstance(error, ConnectionRefusedError):
            return RefusedError(f"{where} refused the connection")
        if isinstance(error, TimeoutError):
            return ConnectTimeoutError(f"{where} did not answer in time")
        if error is not None and error.errno in _NO_ROUTE:
            return NoRouteError(f"no route to {where}: {error.strerror}")
        return UnreachableError(f"can't connect to {where}: {error.strerror or error if error else 'no address'}")

    def _negotiate(self, sock: socket.socket, limit: Deadline) -> Link:
        asked = self._asked = self._kinds()
        where = f"{self._where} port {self.options.port}"
        try:
            link = self._link = Link(
                sock,
                asked,
                (self.options.alive_interval, self.options.alive_count),
                self.options.algorithms(),
            )
        except OSError as error:  # the host, or `cancel`, has closed the connection already
            self._guard()
            raise BannerError(f"{where} closed the connection at once: {error.strerror}") from None
        link.packetizer.hurried = self._hurried
        link.packetizer.patience = self._patience
        link.begin()
        try:
            if not link.wait_until(lambda: link.greeted, limit, self._guard):
                raise BannerError(f"{where} accepted the connection and sent no SSH greeting in time")
            self.enter(Phase.KEY_EXCHANGE)
            begun = time.monotonic()
            if not link.wait_until(lambda: link.initial_kex_done, limit, self._guard):
                raise ConnectTimeoutError(f"{where} did not finish the key exchange in time")
            link.timed(time.monotonic() - begun)
        except LinkDownError as error:
            if not link.greeted:
                raise BannerError(f"{where} does not speak SSH, or turned us away: {error}") from None
            raise ProtocolError(f"the key exchange with {where} failed: {error}") from None
        return link

    def _check_host_key(self, link: Link, *, again: bool = False) -> bool:
        """Check the host key; return False where the host is to be asked for another of its keys, which is known.

        Args:
            link: the connection on which it was shown.
            again: the host was asked so already.
        """
        key = link.host_key
        try:
            learned = self.context.host_keys.check(
                self._known_as,
                key.get_name(),
                key.asbytes(),
                self.options.known_hosts,
                self.options.policy,
                certificate=link.certificate,
                pins=self.options.pinned,
                asked=None if again else self._asked,
            )
        except OtherKindsError:
            return False
        if learned is not None:
            self.notices.append(learned.notice())
        return True

    def _keys(self, deadline: Deadline) -> list[SigningKey]:
        try:
            return self.context.unlocked_keys(self.options, self.host, deadline, self._guard)
        except OptionError as error:
            raise AuthenticationError(error.message, phase=Phase.AUTHENTICATING.value) from None

    def _questions(self, deadline: Deadline) -> Questions:
        return Questions(
            self.context.prompts,
            self.host,
            self.options.user,
            self.options.credential_group,
            deadline,
            self._guard,
            passwords=self.options.ask_password is not False,
        )

    def _log_in_later(self, link: Link, keys: Sequence[SigningKey]) -> bool:
        """Leave the login for the first command, where that is promising; return whether it is."""
        group = self._group = group_of(self.options.user, keys, self.options.password)
        if group is None or not self.context.starts.allowed(group, self._known_as) or not tolerated(link, keys):
            return False
        credential = keys[0] if keys else self.options.password
        if credential is not None:
            login = Login(link, self.options.user, self._where)
            limit = self.timeouts.auth
            self._start = Start(link, login, credential, self._where, limit, lambda: self.enter(Phase.RUNNING))
        return credential is not None

    def _log_in_now(self, link: Link) -> Link:
        """Make up for a login that was left for a command; return the connection that it is on."""
        self._start = None
        if self.context.asks(self.options):
            self._open(optimistic=False)  # a person may need longer than the host waits
        else:
            keys = self._keys(self._opened_by)
            self._log_in(link, keys, self.options.password, None, Deadline.after(self.timeouts.auth))
        return self._ready()

    def _log_in(
        self,
        link: Link,
        keys: Sequence[SigningKey],
        password: Secret | None,
        questions: Questions | None,
        limit: Deadline,
    ) -> None:
        login = Login(link, self.options.user, self._where)
        try:
            login.run(keys, password, limit, self._guard, questions)
        except LinkDownError as error:
            raise ConnectionLostError(f"the connection broke during the login: {error}", started=False) from None
        except AuthenticationError as error:
            trouble = self.context.keyring.agent_of(self.options).trouble
            if keys or self.options.password is not None or not trouble:
                raise
            raise AuthenticationError(f"{error.message}; {trouble}") from None
        group = group_of(self.options.user, keys, password)
        if group is not None and self.options.optimistic:
            self.context.starts.worked(group)


def _shut(sock: socket.socket) -> None:
    """Close a socket so that a thread blocked on it wakes."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
