"""The connector contract: one host, one login.

A connector blocks and has one caller at a time. It uses `threading`, `socket` and `time` only and never imports
gevent: on real threads it blocks a thread, in a patched process a greenlet. Only `Connector.cancel` may be called from
elsewhere. Errors are those of `sshexec.errors`; no exception of a library leaks.
"""

from __future__ import annotations

import copy
import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Generic, TypeVar

from sshexec import expect
from sshexec.connectors.deadline import Deadline
from sshexec.connectors.options import ConnectorOptions
from sshexec.connectors.output import Output
from sshexec.connectors.prompts import Prompts
from sshexec.connectors.source import Source
from sshexec.connectors.terminal import Size, Terminal
from sshexec.errors import OptionError

if TYPE_CHECKING:
    from sshexec.connectors.become import Become

__all__ = [
    "Capability",
    "Command",
    "Completed",
    "Connector",
    "Context",
    "Deadline",
    "Form",
    "Phase",
    "Source",
    "Timeouts",
    "Upload",
]


class Capability(enum.Flag):
    """What a connector can do beyond running a command."""

    NONE = 0
    FILES = enum.auto()
    """`put` and `get` work."""
    POSIX = enum.auto()
    """The host has a POSIX shell and coreutils or busybox."""
    BECOME = enum.auto()
    """Commands and files can be another user's (`Connector.become`)."""
    WINDOWS = enum.auto()
    """The host is Windows: a command's script is PowerShell, or see `Form`; paths are Windows paths."""
    TERMINAL = enum.auto()
    """`terminal` works."""
    SIGNALS = enum.auto()
    """`Terminal.signal` reaches the host."""


class Form(str, enum.Enum):
    """Who takes a command's text on the host; a host with a POSIX shell takes it by `SHELL` only."""

    SHELL = "shell"
    """The host's shell: POSIX sh, on Windows PowerShell."""
    CMD = "cmd"
    """cmd.exe of Windows, as one line."""
    PROGRAM = "program"
    """Nobody: a command line of Windows, its first word the program that is started."""


class Phase(str, enum.Enum):
    """What a host is busy with, as a person wants to read it."""

    WAITING = "waiting"
    RESOLVING = "resolving"
    CONNECTING = "connecting"
    KEY_EXCHANGE = "key exchange"
    AUTHENTICATING = "authenticating"
    RUNNING = "running"
    TRANSFERRING = "transferring"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each step may take, in seconds; None means no limit.

    Args:
        connect: from name resolution to the end of the key exchange (`ansible_timeout` overrides it for a host).
        auth: authentication.
        command: one task on one host, from an open connection to its result.
        idle: silence of a running command that does not read its input either, or a transfer that stands still.
        total: the whole run.

    Raises:
        ArgumentError: one is no number of seconds above 0.
    """

    connect: float | None = 10.0
    auth: float | None = 30.0
    command: float | None = None
    idle: float | None = None
    total: float | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            expect.seconds(each.name, getattr(self, each.name))


@dataclass(frozen=True, slots=True)
class Command:
    """What one host is to run.

    Args:
        script: the text; a POSIX shell script, or with ``verbatim`` what the login shell gets as it is.
        stdin: what the command reads; None is an empty standard input. A file object is read in pieces.
        environment: variables to export before the script (ignored with ``verbatim``).
        verbatim: hand the text over untouched; `Completed` then has no note and no times of the host's clock.
        about: what the script is for, as words, for a connector that has no shell (`sshexec.connectors.fake`).
        form: who takes the text on the host.
        directory: where a command of Windows runs; None is the login's. A POSIX script changes to it itself.
        profile: whether PowerShell runs the user's profile first.
    """

    script: str
    stdin: bytes | BinaryIO | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    verbatim: bool = False
    about: tuple[str, ...] = ()
    form: Form = Form.SHELL
    directory: str | None = None
    profile: bool = False


@dataclass(frozen=True, slots=True)
class Completed:
    """How a command ended.

    Args:
        rc: exit status; ``-n`` where signal n ended it; of Windows as a signed number of 32 bits.
        start: when it began, on the host's own clock and in its time zone (naive); None where the host did not say.
        end: when it ended, likewise.
        delta: how long it took by the host's clock.
        note: what the script told its caller beside its output (`sshexec.connectors.posix.NOTE`), a line each
            time; "" where nothing.
    """

    rc: int
    start: datetime | None = None
    end: datetime | None = None
    delta: timedelta | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Upload:
    """One of several files that are written, as `Connector.put` takes them.

    Args:
        source: what to send.
        path: where to.
        mode: permission bits; None keeps those of a file that is replaced, else the host's umask decides.
        sha1: of the content, where it is known.
    """

    source: Source
    path: str
    mode: int | None = None
    sha1: str | None = None


class Context:
    """What all connectors of one kind share within one engine: parsed keys, known_hosts, an agent connection.

    Made once by the runtime, closed with it. Its methods may be called by many connectors at once.
    """

    prompts: Prompts = Prompts()
    """Where questions go; set by whoever makes the context."""

    def check(self, options: ConnectorOptions) -> None:
        """Check what can be checked before anything is contacted, such as key files; answers are cached.

        Raises:
            OptionError: a file is missing, unreadable or needs a passphrase.
        """

    def asking(self: ContextT, prompts: Prompts) -> ContextT:
        """Return the same context with other prompts, so that one connection's questions reach whom they concern.

        It shares all else with this one, which has to live for as long and is the one that is closed.

        Args:
            prompts: where the questions of the connectors go that are made with it.
        """
        view = copy.copy(self)
        view.prompts = prompts
        # An attribute of the object stands before the method: to close the view closes nothing of others.
        view.close = _nothing  # type: ignore[method-assign]
        return view

    def close(self) -> None:
        """Release what is shared."""


def _nothing() -> None:
    return None


OptionsT = TypeVar("OptionsT", bound=ConnectorOptions)
ContextT = TypeVar("ContextT", bound=Context)


class Connector(ABC, Generic[OptionsT, ContextT]):
    """A connection to one host.

    Args:
        host: the inventory name, for messages.
        options: validated connection settings.
        context: what all connectors of this kind share.
        timeouts: limits; `connect`, `auth` and `idle` are applied by the connector, the rest by its caller's deadline.
    """

    name: ClassVar[str]
    capabilities: ClassVar[Capability]
    Options: ClassVar[type[ConnectorOptions]]
    Context: ClassVar[type[Context]] = Context

    def __init__(self, host: str, options: OptionsT, context: ContextT, timeouts: Timeouts) -> None:
        self.host = host
        self.options = options
        self.context = context
        self.timeouts = timeouts
        self.on_phase: Callable[[Phase], None] | None = None
        self.become: Become | None = None
        """Whom commands run as, and files are read and written as; None for the login user. Set for each task."""
        self.on_answer: Callable[[], None] | None = None
        """Called once the host has taken the connection; what it raises ends `open`."""
        self.notices: list[Mapping[str, Any]] = []
        """What is worth knowing of the connection and no failure, such as a host key that was trusted on first sight.

        Plain data each: ``notice`` is a stable word for programs, ``message`` one line for people, and what else
        belongs to it. The caller takes them out.
        """

    def enter(self, phase: Phase) -> None:
        """Tell the listener, if there is one, what the host is busy with now."""
        if self.on_phase is not None:
            self.on_phase(phase)

    def answered(self) -> None:
        """Tell the listener, if there is one, that the host has taken the connection."""
        if self.on_answer is not None:
            self.on_answer()

    @abstractmethod
    def open(self, deadline: Deadline) -> None:
        """Connect and log in, within the deadline and the connect and auth limits.

        Raises:
            UnreachableError: by its leaf, the cause.
            CancelledError: `cancel` was called.
        """

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Whether the connection is open as far as this side knows."""

    @property
    def worth_keeping(self) -> bool:
        """Whether the connection, while it is idle, is worth being kept for the next task."""
        return self.alive

    @abstractmethod
    def execute(self, command: Command, output: Output, deadline: Deadline) -> Completed:
        """Run a command, writing what it prints to ``output`` as it comes.

        When the deadline passes or `cancel` is called, the remote process group gets TERM, then KILL (on Windows
        ctrl_c, then terminate), and the exception says whether its death was confirmed. Background children that keep
        the pipes open after the command has ended are not waited for.

        Raises:
            CommandTimeoutError: the deadline or the idle limit passed.
            CancelledError: `cancel` was called.
            BecomeError: the host did not let it run as another user.
            ConnectionLostError: the connection broke; ``started`` tells whether the command may have run.
        """

    @abstractmethod
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
        """Write a file on the host atomically: temporary name in the same directory, mode, rename.

        Args:
            source: what to send.
            path: absolute, or relative to the login directory; names that are not UTF-8 use surrogateescape.
            deadline: by when.
            mode: permission bits; None keeps those of a file that is replaced, else the host's umask decides.
            progress: called with the number of bytes that have arrived so far.
            sha1: of the content, in hexadecimal, where it is known: then an upload of 4 MiB or more that a lost
                connection broke off goes on where it ended.

        Raises:
            TransferError: the host refused (disk full, permission, no such directory); no partial file is left.
            CommandTimeoutError, CancelledError, ConnectionLostError: as `execute`.
        """

    @abstractmethod
    def get(
        self,
        path: str,
        target: BinaryIO,
        deadline: Deadline,
        *,
        progress: Callable[[int], None] | None = None,
        offset: int = 0,
    ) -> None:
        """Read a file of the host into an open binary file.

        Args:
            path: as in `put`.
            target: gets the bytes.
            deadline: by when.
            progress: called with the number of bytes so far, those before ``offset`` among them.
            offset: where to begin.

        Raises:
            TransferError: the file is missing, unreadable or a directory.
            OSError: the target's own, as it raised it, such as for a full disk here.
            CommandTimeoutError, CancelledError, ConnectionLostError: as `execute`.
        """

    def put_all(
        self, uploads: Sequence[Upload], deadline: Deadline, *, progress: Callable[[int], None] | None = None
    ) -> None:
        """Write several files, each as `put` does, in no particular order; the first that is refused ends it.

        A connector that can has several of them under way at once, so that latency doesn't rule.

        Args:
            uploads: what to write where.
            deadline: by when all of them.
            progress: called with the number of bytes of all files that have arrived so far.

        Raises:
            TransferError, CommandTimeoutError, CancelledError, ConnectionLostError: as `put`.
        """
        total = 0
        for upload in uploads:
            told = _Sum(total, progress)
            self.put(upload.source, upload.path, deadline, mode=upload.mode, progress=told, sha1=upload.sha1)
            total = told.total

    def get_all(self, paths: Sequence[str], take: Callable[[int, bytes], None], deadline: Deadline) -> None:
        """Read several small files into memory.

        Args:
            paths: where they are.
            take: called with the number and the content of each, in any order.
            deadline: by when all of them.

        Raises:
            TransferError, CommandTimeoutError, CancelledError, ConnectionLostError: as `get`.
        """
        for number, path in enumerate(paths):
            content = BytesIO()
            self.get(path, content, deadline)
            take(number, content.getvalue())

    def terminal(
        self,
        size: Size,
        term: str,
        deadline: Deadline,
        *,
        environment: Mapping[str, str] | None = None,
        command: str | None = None,
    ) -> Terminal:
        """Start the login shell, or a command, on a terminal; as the login user, whatever `become` says.

        Args:
            size: how large the terminal is.
            term: its type (``xterm-256color``), for programs on the host.
            deadline: by when it has to be there; what runs on it has no limit.
            environment: variables to set, as far as the host allows (``AcceptEnv`` of sshd).
            command: what runs instead of the login shell, a text for the user's shell.

        Raises:
            OptionError: connections of this kind have no terminals.
            ArgumentError: the type, a variable or the command can't be given to a host.
            UnreachableError: the host refused.
            CommandTimeoutError, CancelledError, ConnectionLostError: as `execute`.
        """
        raise OptionError(f"host {self.host}: a {self.name} connection has no terminal")

    @abstractmethod
    def cancel(self) -> None:
        """Make the call in progress, or the next one, end with CancelledError soon; from any thread.

        A terminal's write that the host does not take is given up, which may cost the connection.
        """

    @abstractmethod
    def close(self) -> None:
        """Close channels, transport and processes; safe to call twice and after a failed `open`."""


class _Sum:
    """Adds the progress of one file to that of those before it."""

    def __init__(self, before: int, progress: Callable[[int], None] | None) -> None:
        self._before = self.total = before
        self._progress = progress

    def __call__(self, done: int) -> None:
        self.total = self._before + done
        if self._progress is not None:
            self._progress(self.total)
