"""This machine as a host: commands as child processes, files copied in place."""

from __future__ import annotations

import contextlib
import errno
import getpass
import os
import secrets
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from sshexec.connectors.base import (
    Capability,
    Command,
    Completed,
    Connector,
    Context,
    Deadline,
    Phase,
    Timeouts,
)
from sshexec.connectors.catfiles import CatFiles
from sshexec.connectors.escalation import Dialogue, Escalation, escalation
from sshexec.connectors.localterminal import LocalTerminal
from sshexec.connectors.options import ConnectorOptions, option
from sshexec.connectors.output import Output
from sshexec.connectors.posix import Frame
from sshexec.connectors.process import Escalated, Process, on_terminal
from sshexec.connectors.source import Source, opened
from sshexec.connectors.terminal import Size, check_program
from sshexec.errors import (
    BecomeError,
    CancelledError,
    CommandTimeoutError,
    ConnectionLostError,
    HostError,
    OptionError,
    TransferError,
    UnreachableError,
)
from sshexec.secret import is_secret_name

_PIECE = 2**16
_KILL_LIMIT = 5.0
"""Seconds for a signal to another user's processes."""


@dataclass(frozen=True)
class LocalOptions(ConnectorOptions):
    """Settings of the local connector."""

    shell: str = option("/bin/sh", "ansible_shell_executable", help="the shell that commands are handed to")


class LocalContext(Context):
    """What the local connections of one engine share: nothing but what was found out about their shells."""

    def __init__(self) -> None:
        self._programs: set[str] = set()

    def check(self, options: ConnectorOptions) -> None:
        """Check that the shell is a program.

        Raises:
            OptionError: it is not.
        """
        if isinstance(options, LocalOptions) and options.shell not in self._programs:
            if shutil.which(options.shell) is None:
                raise OptionError(f"ansible_shell_executable: there is no program {options.shell}")
            self._programs.add(options.shell)


class LocalConnector(Connector[LocalOptions, LocalContext]):
    """Run commands on this machine; relative paths are relative to the current directory."""

    name = "local"
    capabilities = Capability.FILES | Capability.POSIX | Capability.BECOME | Capability.TERMINAL | Capability.SIGNALS
    Options = LocalOptions
    Context = LocalContext

    def __init__(self, host: str, options: LocalOptions, context: LocalContext, timeouts: Timeouts) -> None:
        super().__init__(host, options, context, timeouts)
        self._wake: tuple[int, int] | None = None
        self._cancelled = False
        self._way: Escalation | None = None
        self._terminals: set[LocalTerminal] = set()

    def open(self, deadline: Deadline) -> None:
        """Make the pipe by which `cancel` wakes a call in progress.

        Raises:
            UnreachableError: too many files are open.
        """
        if self._wake is None:
            try:
                self._wake = os.pipe()
            except OSError as error:
                raise UnreachableError(f"can't make a pipe: {error.strerror}", host=self.host) from error
            for end in self._wake:
                os.set_blocking(end, False)
        self._check_cancelled()

    @property
    def alive(self) -> bool:
        """Whether `open` was called, and `close` was not."""
        return self._wake is not None

    def execute(self, command: Command, output: Output, deadline: Deadline) -> Completed:
        """Run a command in a session of its own."""
        if self._wake is None:
            raise ConnectionLostError("the connection is not open", host=self.host, phase=Phase.RUNNING, started=False)
        self._check_cancelled()
        self.enter(Phase.RUNNING)
        return self._run(command, output, deadline)

    def _run(self, command: Command, output: Output, deadline: Deadline) -> Completed:
        if self.become is None:
            return self._run_once(command, output, deadline)
        way = self._way = escalation(self, self.become, _login(), self._way)
        try:
            return way.run(lambda dialogue: self._run_once(command, output, deadline, dialogue), self._check_cancelled)
        except BecomeError as error:
            error.host = self.host
            raise

    def _run_once(
        self, command: Command, output: Output, deadline: Deadline, dialogue: Dialogue | None = None
    ) -> Completed:
        frame = Frame(command, output, dialogue)
        line = frame.line()
        output.last = time.monotonic()
        child = self._start(line, command, frame, dialogue)
        try:
            self._pump(child, output, deadline, dialogue)
            return frame.finish(child.wait())
        finally:
            # Whatever way the call ends, nothing of an unfinished command is left behind.
            child.close()

    def _start(self, line: bytes, command: Command, frame: Frame, dialogue: Dialogue | None) -> Process:
        if self._wake is None:
            raise ConnectionLostError("the connection is not open", host=self.host, phase=Phase.RUNNING, started=False)
        wake = self._wake[0]
        process: subprocess.Popen[bytes] | None = None
        try:
            if dialogue is not None and dialogue.tty:
                process = on_terminal([self.options.shell, "-c", line], _environment())
                return Escalated(process, command, frame, wake, dialogue, self._undo)
            silent = command.stdin is None and dialogue is None
            process = subprocess.Popen(
                [self.options.shell, "-c", line],
                stdin=subprocess.DEVNULL if silent else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(),
                bufsize=0,
                start_new_session=True,
            )
            if dialogue is not None:
                return Escalated(process, command, frame, wake, dialogue, self._undo)
            return Process(process, command, frame, wake)
        except OSError as error:
            if process is not None:
                with process, contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            if error.errno == errno.E2BIG:
                raise HostError(
                    "the command and its environment are too long for this system",
                    host=self.host,
                    phase=Phase.RUNNING,
                ) from error
            raise UnreachableError(
                f"can't start a process here: {error.strerror}", host=self.host, phase=Phase.RUNNING
            ) from error

    def _undo(self, number: int, groups: Iterable[int]) -> None:
        """Signal processes that are another user's, as that user."""
        way = self._way
        if way is None:
            return
        ends = "; ".join(f"kill -s {int(number)} -- -{group}" for group in groups)
        kill, output = Command(f"kill_all() {{ {ends}; }}; kill_all 2>/dev/null", verbatim=True), Output(4096)
        dialogue = way.killer()
        frame = Frame(kill, output, dialogue)
        child = self._start(frame.line(), kill, frame, dialogue)
        limit = Deadline.after(_KILL_LIMIT)
        try:
            while not child.finished and not limit.expired:
                child.step(limit.remaining())
        except BecomeError:
            return
        finally:
            child.close()

    def _pump(self, child: Process, output: Output, deadline: Deadline, dialogue: Dialogue | None) -> None:
        idle = self.timeouts.idle
        while not child.finished:
            if dialogue is not None and not dialogue.begun:
                deadline = dialogue.excused(deadline)
                output.last = time.monotonic()  # nothing runs yet that could be silent
            if self._cancelled:
                self._cancelled = False
                killed = child.kill()
                raise CancelledError("cancelled", host=self.host, phase=Phase.RUNNING, killed=killed)
            silence = None if idle is None else max(0.0, output.last + idle - time.monotonic())
            if deadline.expired or silence == 0.0:
                late = deadline.expired
                what = f"the command did not end {deadline.within}" if late else f"no output for {idle:g} s"
                killed = child.kill()
                fate = "its processes were killed" if killed else "it is not certain that its processes are gone"
                raise CommandTimeoutError(
                    f"{what}; {fate}",
                    host=self.host,
                    phase=Phase.RUNNING,
                    killed=killed,
                    silence=None if late else idle,
                )
            child.step(deadline.remaining(silence))

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
        """Write a file by way of a temporary one beside it."""
        self._check_cancelled()
        self.enter(Phase.TRANSFERRING)
        if self.become is not None:
            with self._named():
                CatFiles(self._run).put(source, path, deadline, mode=mode, progress=progress, sha1=sha1)
            return
        name = os.fsencode(path)
        temporary = os.path.join(os.path.dirname(name), b".sshexec-" + secrets.token_hex(8).encode())
        with self._translated(path):
            final = _mode_of(name) if mode is None else mode
            # Only a new file whose mode the umask decides may be readable by others while it is written.
            handle = os.open(
                temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666 if final is None else 0o600
            )
            try:
                with os.fdopen(handle, "wb") as target, opened(source) as reader:
                    self._copy(reader.read, target, deadline, progress)
                    if final is not None:
                        os.fchmod(target.fileno(), final)
                os.replace(temporary, name)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
                raise

    def get(
        self,
        path: str,
        target: BinaryIO,
        deadline: Deadline,
        *,
        progress: Callable[[int], None] | None = None,
        offset: int = 0,
    ) -> None:
        """Read a regular file."""
        self._check_cancelled()
        self.enter(Phase.TRANSFERRING)
        if self.become is not None:
            with self._named():
                CatFiles(self._run).get(path, target, deadline, progress=progress, offset=offset)
            return
        with self._translated(path):
            # Opening a FIFO must not wait for a writer.
            handle = os.open(os.fsencode(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                kind = os.fstat(handle).st_mode
                if stat.S_ISDIR(kind):
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
                if not stat.S_ISREG(kind):
                    raise OSError(errno.EINVAL, "is not a regular file", path)
            except BaseException:
                os.close(handle)
                raise

        def read(size: int) -> bytes:
            # What goes wrong with the target is none of this path's.
            with self._translated(path):
                return reader.read(size)

        with os.fdopen(handle, "rb") as reader:
            reader.seek(offset)
            self._copy(read, target, deadline, progress, offset)

    def terminal(
        self,
        size: Size,
        term: str,
        deadline: Deadline,
        *,
        environment: Mapping[str, str] | None = None,
        command: str | None = None,
    ) -> LocalTerminal:
        """Start the user's login shell in his home directory (see `Connector.terminal`)."""
        if self._wake is None:
            raise ConnectionLostError("the connection is not open", host=self.host, phase=Phase.RUNNING, started=False)
        check_program(term, environment or {}, command)
        self._check_cancelled()
        self.enter(Phase.RUNNING)
        variables = {**_environment(), **(environment or {})}
        for name in ("COLUMNS", "LINES"):  # of the terminal that this process was started on
            variables.pop(name, None)
        terminal = LocalTerminal(self.host, self.options.shell, size, term, variables, command, self._terminals.discard)
        self._terminals.add(terminal)
        return terminal

    def cancel(self) -> None:
        """End the call in progress, or the next one, with CancelledError."""
        self._cancelled = True
        wake = self._wake
        if wake is not None:
            # A full pipe wakes as well, and a closed one has nobody to wake.
            with contextlib.suppress(OSError):
                os.write(wake[1], b"!")

    def close(self) -> None:
        """Close the pipe and the terminals; safe to call twice."""
        for terminal in list(self._terminals):
            terminal.close()
        wake, self._wake = self._wake, None
        for end in wake or ():
            os.close(end)

    def _check_cancelled(self) -> None:
        if self._cancelled:
            self._cancelled = False
            raise CancelledError("cancelled", host=self.host)

    def _copy(
        self,
        read: Callable[[int], bytes],
        target: BinaryIO,
        deadline: Deadline,
        progress: Callable[[int], None] | None,
        done: int = 0,
    ) -> None:
        while piece := read(_PIECE):
            self._check_cancelled()
            if deadline.expired:
                raise CommandTimeoutError(
                    f"the transfer did not end {deadline.within}", host=self.host, phase=Phase.TRANSFERRING
                )
            target.write(piece)
            done += len(piece)
            if progress is not None:
                progress(done)
        target.flush()

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Give every error its host and phase."""
        try:
            yield
        except HostError as error:
            error.host = error.host or self.host
            error.phase = error.phase or Phase.TRANSFERRING
            raise

    @contextlib.contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        try:
            with self._named():
                yield
        except HostError:
            raise
        except (OSError, ValueError) as error:
            number = error.errno if isinstance(error, OSError) else None
            what = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise TransferError(
                f"{path!r}: {what}",
                host=self.host,
                phase=Phase.TRANSFERRING,
                path=path,
                reason=_REASONS.get(number or 0, "failed"),
            ) from error


_REASONS = {
    errno.ENOENT: "missing",
    errno.ENOTDIR: "missing",
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.EROFS: "permission",
    errno.ENOSPC: "no_space",
    errno.EDQUOT: "no_space",
    errno.EISDIR: "is_directory",
}


def _login() -> str:
    """Return the name of this process's user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without an entry in passwd
        return str(os.getuid())


def _environment() -> dict[str, str]:
    """Return this process's environment without the passwords that sshexec and Ansible read from it."""
    return {
        name: value
        for name, value in os.environ.items()
        if not (name.startswith(("SSHEXEC_", "ANSIBLE_")) and is_secret_name(name))
    }


def _mode_of(path: bytes) -> int | None:
    """Return the permission bits of a file; None where there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "is not a regular file")  # a device would be one from now on
    return stat.S_IMODE(found.st_mode)
