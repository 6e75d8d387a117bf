"""Every exception of sshexec, as one tree.

::

    SshexecError
    ├── InputError                  bad input: nothing was contacted, exit code 5
    │   ├── InventoryError          a source of hosts is unreadable or wrong (path, line)
    │   ├── PatternError            a host pattern that is wrong or matches nothing
    │   ├── UnknownModuleError      no such module
    │   ├── ArgumentError           an argument of a module is unknown, missing or wrong
    │   ├── OptionError             a connection variable is unknown or wrong (host, variable)
    │   ├── CredentialError         a secret at rest can't be read: no key, the wrong one, no answer from its provider
    │   ├── HistoryError            no such run, or its record does not say enough to go on with it
    │   └── DatabaseError           a database's address or schema is wrong
    │       ├── ValueRefusedError   it does not take a row for what is in it
    │       └── DatabaseUnavailableError  it does not answer, is locked, full or read-only: it may work later
    ├── HostError                   one host; a run turns it into that host's result
    │   ├── UnreachableError        the task could not be handed to the host
    │   │   ├── ResolveError        the name does not resolve
    │   │   ├── RefusedError        connection refused
    │   │   ├── NoRouteError        no route, network unreachable
    │   │   ├── ConnectTimeoutError nothing answered in time
    │   │   ├── BannerError         something answered, and it does not speak the protocol
    │   │   ├── ProtocolError       the handshake failed (no common algorithm, ...)
    │   │   ├── AuthenticationError the host refused every credential
    │   │   ├── UnknownHostKeyError the host key is not in known_hosts
    │   │   ├── ChangedHostKeyError another key is known or pinned, or this one is revoked
    │   │   ├── ConnectionLostError the connection broke
    │   │   └── WorkerLostError     the worker process that held the connection died
    │   ├── CommandTimeoutError     the deadline passed while the task ran
    │   ├── CancelledError          the caller cancelled the run
    │   ├── NotStartedError         the host has no such program, or can't start it
    │   ├── BecomeError             sudo, su or doas refused: the command did not begin
    │   └── TransferError           a file operation failed on the host (disk full, permission, ...)
    ├── TerminalError               a terminal session does not do what was asked of it
    │   ├── SessionOverError        it has ended
    │   ├── NoSuchSessionError      there is none, or none that this user may know of
    │   ├── NotAllowedError         not for this user, or not for this viewer
    │   ├── LimitError              there are as many as there may be
    │   └── TokenError              the token does not open anything (any more)
    ├── WorkerStartError            a worker process can't be started
    └── HostsFailedError            RunResult.raise_for_status()

``cause`` is a stable word for programs, the message is one line for people.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class SshexecError(Exception):
    """Root of every exception that sshexec raises on purpose."""


class InputError(SshexecError, ValueError):
    """Bad input: one clear line, and nothing was contacted.

    Args:
        message: what is wrong and what to do, one line.
        path: the file that holds the mistake.
        line: its line, counted from 1.
    """

    def __init__(self, message: str, *, path: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.line = line

    def __str__(self) -> str:
        """Return the message behind ``path:line:``, as compilers print it."""
        where = ":".join(str(part) for part in (self.path, self.line) if part is not None)
        return f"{where}: {self.message}" if where else self.message


class InventoryError(InputError):
    """A source of hosts is unreadable or wrong."""


class PatternError(InputError):
    """A host pattern that is wrong or matches nothing."""


class UnknownModuleError(InputError):
    """No module has this name."""


class ArgumentError(InputError):
    """An argument of a module is unknown, missing or wrong."""


class OptionError(InputError):
    """A connection variable is unknown or wrong."""


class CredentialError(InputError):
    """A secret at rest can't be read: there is no key, it is the wrong one, or its provider does not answer."""


class HistoryError(InputError):
    """There is no such run, or its record does not say enough to go on with it."""


class DatabaseError(InputError):
    """A database's address or schema is wrong."""


class ValueRefusedError(DatabaseError):
    """A database does not take a row for what is in it; it takes others."""


class DatabaseUnavailableError(DatabaseError):
    """The database does not answer, is locked, full or read-only; it may work later."""


class HostError(SshexecError):
    """What went wrong with one host.

    Args:
        message: what happened and, where there is one, what to do; one line, without secrets.
        host: the host's inventory name.
        phase: the phase it happened in (`sshexec.connectors.base.Phase`).
    """

    status: ClassVar[str] = "failed"
    cause: ClassVar[str] = "failed"

    def __init__(self, message: str, *, host: str | None = None, phase: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.host = host
        self.phase = phase


class UnreachableError(HostError):
    """The task could not be handed to the host, or its answer did not come back."""

    status = "unreachable"
    cause = "unreachable"


class ResolveError(UnreachableError):
    """The host's name does not resolve."""

    cause = "resolve"


class RefusedError(UnreachableError):
    """The host refused the connection."""

    cause = "refused"


class NoRouteError(UnreachableError):
    """There is no route to the host."""

    cause = "no_route"


class ConnectTimeoutError(UnreachableError, TimeoutError):
    """Nothing answered before the connect deadline."""

    cause = "connect_timeout"


class BannerError(UnreachableError):
    """The peer closed or stayed silent before its protocol banner, or speaks another protocol."""

    cause = "banner"


class ProtocolError(UnreachableError):
    """The handshake failed."""

    cause = "protocol"


class AuthenticationError(UnreachableError):
    """The host refused every credential that was offered."""

    cause = "authentication"
    counted = False
    """Whether it may be counted against the account, which a few more attempts would lock."""


class UnknownHostKeyError(UnreachableError):
    """Nothing is known of the host's key; no credential was sent."""

    cause = "host_key_unknown"


class ChangedHostKeyError(UnreachableError):
    """Another key is known or pinned for this host, or this one is revoked; no credential was sent."""

    cause = "host_key_changed"


class ConnectionLostError(UnreachableError, ConnectionError):
    """The connection broke.

    Args:
        started: whether the command may have started on the host; False makes one retry safe.
    """

    cause = "connection_lost"

    def __init__(
        self, message: str, *, host: str | None = None, phase: str | None = None, started: bool = True
    ) -> None:
        super().__init__(message, host=host, phase=phase)
        self.started = started


class WorkerLostError(UnreachableError):
    """The worker process that held the host's connection died."""

    cause = "worker_lost"


class CommandTimeoutError(HostError, TimeoutError):
    """The deadline passed while the task ran.

    Args:
        killed: whether the death of the remote process group was confirmed; None where nothing ran.
        silence: seconds without output that were too many; None where the task's own time was over.
    """

    status = "timeout"
    cause = "timeout"

    def __init__(
        self,
        message: str,
        *,
        host: str | None = None,
        phase: str | None = None,
        killed: bool | None = None,
        silence: float | None = None,
    ) -> None:
        super().__init__(message, host=host, phase=phase)
        self.killed = killed
        self.silence = silence


class CancelledError(HostError):
    """The caller cancelled the run.

    Args:
        killed: whether the death of the remote process group was confirmed; None where nothing ran.
    """

    status = "cancelled"
    cause = "cancelled"

    def __init__(
        self, message: str, *, host: str | None = None, phase: str | None = None, killed: bool | None = None
    ) -> None:
        super().__init__(message, host=host, phase=phase)
        self.killed = killed


class NotStartedError(HostError):
    """The host did not start the program.

    Args:
        code: its system's number for that; 0 where it gave none.
    """

    cause = "not_started"

    def __init__(self, message: str, *, host: str | None = None, phase: str | None = None, code: int = 0) -> None:
        super().__init__(message, host=host, phase=phase)
        self.code = code


class BecomeError(HostError):
    """The host did not let the task become another user; the command did not begin."""

    cause = "become"


class TransferError(HostError, OSError):
    """A file operation failed on the host.

    Args:
        path: the remote path.
        reason: a stable word: missing, permission, no_space, is_directory, failed.
    """

    cause = "transfer"

    def __init__(
        self,
        message: str,
        *,
        host: str | None = None,
        phase: str | None = None,
        path: str = "",
        reason: str = "failed",
    ) -> None:
        super().__init__(message, host=host, phase=phase)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        """Return the message (OSError would print its errno)."""
        return self.message


class TerminalError(SshexecError):
    """A terminal session does not do what was asked of it."""

    code: ClassVar[str] = "terminal"


class SessionOverError(TerminalError):
    """The session has ended."""

    code = "over"


class NoSuchSessionError(TerminalError):
    """There is no such session, or none that this user may know of."""

    code = "no_session"


class NotAllowedError(TerminalError):
    """It is not for this user, or not for this viewer."""

    code = "not_allowed"


class LimitError(TerminalError):
    """There are as many sessions or viewers as there may be."""

    code = "limit"


class TokenError(TerminalError):
    """The token does not open anything, for whatever reason: wrong, used, too old, somebody else's."""

    code = "token"


class WorkerStartError(SshexecError):
    """A worker process can't be started, so nothing was run."""


class HostsFailedError(SshexecError):
    """Some hosts of a run did not end well.

    Args:
        hosts: their names.
    """

    def __init__(self, hosts: Sequence[str]) -> None:
        shown = ", ".join(hosts[:10]) + (f" and {len(hosts) - 10} more" if len(hosts) > 10 else "")
        super().__init__(f"{len(hosts)} host(s) did not end well: {shown}")
        self.hosts = tuple(hosts)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.hosts,), vars(self)
