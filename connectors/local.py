"""This machine as a host: commands as child processes, files copied in place."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import selectors
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from sshexec.connectors.base import (
    Capability,
    Command,
    Completed,
    Connector,
    Context,
    Deadline,
    Phase,
    Source,
    Timeouts,
)
from sshexec.connectors.options import ConnectorOptions, option
from sshexec.connectors.output import Output
from sshexec.connectors.posix import Frame
from sshexec.errors import (
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
_TICK = 0.1
"""Seconds between looks at the child, where the system has no pidfd to wait on."""
_LEFTOVER = 2**20
"""Bytes read from a pipe after the command has ended; what it wrote itself fits into the pipe."""
_GRACE = 2.0
"""Seconds a process group has to obey TERM, and to be gone after KILL."""


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
    capabilities = Capability.FILES | Capability.POSIX
    Options = LocalOptions
    Context = LocalContext

    def __init__(self, host: str, options: LocalOptions, context: LocalContext, timeouts: Timeouts) -> None:
        super().__init__(host, options, context, timeouts)
        self._wake: tuple[int, int] | None = None
        self._cancelled = False

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
        frame = Frame(command, output)
        line = frame.line()
        output.last = time.monotonic()
        child = self._start(line, command, frame, self._wake[0])
        try:
            self._pump(child, output, deadline)
            return frame.finish(child.wait())
        finally:
            # Whatever way the call ends, nothing of an unfinished command is left behind.
            child.close()

    def _start(self, line: bytes, command: Command, frame: Frame, wake: int) -> _Child:
        process: subprocess.Popen[bytes] | None = None
        try:
            process = subprocess.Popen(
                [self.options.shell, "-c", line],
                stdin=subprocess.DEVNULL if command.stdin is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(),
                bufsize=0,
                start_new_session=True,
            )
            return _Child(process, command, frame, wake)
        except OSError as error:
            if process is not None:
                with process, contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            raise UnreachableError(
                f"can't start a process here: {error.strerror}", host=self.host, phase=Phase.RUNNING
            ) from error

    def _pump(self, child: _Child, output: Output, deadline: Deadline) -> None:
        idle = self.timeouts.idle
        while not child.finished:
            if self._cancelled:
                self._cancelled = False
                killed = child.kill()
                raise CancelledError("cancelled", host=self.host, phase=Phase.RUNNING, killed=killed)
            silence = None if idle is None else max(0.0, output.last + idle - time.monotonic())
            if deadline.expired or silence == 0.0:
                late = deadline.expired
                what = "the deadline passed" if late else f"no output for {idle:g} s"
                killed = child.kill()
                fate = "killed" if killed else "may still run"
                raise CommandTimeoutError(
                    f"{what} while the command ran ({fate})",
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
    ) -> None:
        """Write a file by way of a temporary one beside it."""
        self._check_cancelled()
        self.enter(Phase.TRANSFERRING)
        name = os.fsencode(path)
        temporary = os.path.join(os.path.dirname(name), b".sshexec-" + secrets.token_hex(8).encode())
        with self._translated(path):
            final = _mode_of(name) if mode is None else mode
            # Only a new file whose mode the umask decides may be readable by others while it is written.
            handle = os.open(
                temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666 if final is None else 0o600
            )
            try:
                with os.fdopen(handle, "wb") as target, _reading(source) as reader:
                    self._copy(reader.read, target, deadline, progress)
                    if final is not None:
                        os.fchmod(target.fileno(), final)
                os.replace(temporary, name)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
                raise

    def get(
        self, path: str, target: BinaryIO, deadline: Deadline, *, progress: Callable[[int], None] | None = None
    ) -> None:
        """Read a regular file."""
        self._check_cancelled()
        self.enter(Phase.TRANSFERRING)
        with self._translated(path):
            # Opening a FIFO must not wait for a writer.
            handle = os.open(os.fsencode(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                kind = os.fstat(handle).st_mode
                if stat.S_ISDIR(kind):
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
                if not stat.S_ISREG(kind):
                    raise OSError(errno.EINVAL, "not a regular file", path)
            except BaseException:
                os.close(handle)
                raise

        def read(size: int) -> bytes:
            # What goes wrong with the target is none of this path's.
            with self._translated(path):
                return reader.read(size)

        with os.fdopen(handle, "rb") as reader:
            self._copy(read, target, deadline, progress)

    def cancel(self) -> None:
        """End the call in progress, or the next one, with CancelledError."""
        self._cancelled = True
        wake = self._wake
        if wake is not None:
            # A full pipe wakes as well, and a closed one has nobody to wake.
            with contextlib.suppress(OSError):
                os.write(wake[1], b"!")

    def close(self) -> None:
        """Close the pipe; safe to call twice."""
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
    ) -> None:
        done = 0
        while piece := read(_PIECE):
            self._check_cancelled()
            if deadline.expired:
                raise CommandTimeoutError(
                    "the deadline passed while a file was copied", host=self.host, phase=Phase.TRANSFERRING
                )
            target.write(piece)
            done += len(piece)
            if progress is not None:
                progress(done)
        target.flush()

    @contextlib.contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        try:
            yield
        except HostError as error:
            error.host = error.host or self.host
            error.phase = error.phase or Phase.TRANSFERRING
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


class _Child:
    """A child process with its pipes, none of which ever blocks.

    Args:
        process: the child.
        command: what it reads.
        frame: where its output goes.
        wake: a descriptor that becomes readable when the wait shall end.
    """

    def __init__(self, process: subprocess.Popen[bytes], command: Command, frame: Frame, wake: int) -> None:
        self._process = process
        self._frame = frame
        self._wake = wake
        self._selector = selectors.DefaultSelector()
        self._input = io.BytesIO(command.stdin) if isinstance(command.stdin, bytes) else command.stdin
        self._unwritten = b""
        self._exited = False
        self._owner = os.getpid()
        self._pidfd = _pidfd(process.pid)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                event = selectors.EVENT_WRITE if pipe is process.stdin else selectors.EVENT_READ
                self._selector.register(pipe, event)
        for descriptor in (wake, self._pidfd):
            if descriptor is not None:
                self._selector.register(descriptor, selectors.EVENT_READ)

    def _drop(self, pipe: IO[bytes]) -> None:
        if not pipe.closed:
            self._selector.unregister(pipe)
            pipe.close()

    @property
    def finished(self) -> bool:
        """Whether the command has ended and all that it wrote was read."""
        return self._exited

    @property
    def _inherited(self) -> bool:
        """Whether this is a forked child, where greenlets go on that are the parent's: so are its commands."""
        return os.getpid() != self._owner

    def step(self, timeout: float | None) -> None:
        """Wait until there is something to do, and do it.

        Args:
            timeout: seconds; None waits without limit.
        """
        process = self._process
        if self._pidfd is None:
            timeout = _TICK if timeout is None else min(timeout, _TICK)
        ready = self._selector.select(timeout)
        if self._inherited:
            raise ConnectionLostError("this process was forked off; the command is its parent's")
        for key, _ in ready:
            if key.fd == self._wake:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake, 4096)
            elif key.fileobj is process.stdin:
                self._feed(process.stdin)
            elif key.fileobj is process.stdout or key.fileobj is process.stderr:
                self._read(key.fileobj)
        if process.poll() is not None:
            # Background children may hold the pipes open: what is in them now is read, the rest is not waited for.
            for pipe in (process.stdout, process.stderr):
                left = _LEFTOVER
                while left > 0 and pipe is not None and (size := self._read(pipe)):
                    left -= size
            self._exited = True

    def _read(self, pipe: IO[bytes]) -> int:
        """Take one piece; return its size, 0 where there is none."""
        if pipe.closed:
            return 0
        try:
            data = os.read(pipe.fileno(), _PIECE)
        except BlockingIOError:
            return 0
        if not data:
            self._drop(pipe)
        elif pipe is self._process.stderr:
            self._frame.feed(data)
        else:
            self._frame.feed_stdout(data)
        return len(data)

    def _feed(self, pipe: IO[bytes]) -> None:
        if not self._unwritten and self._input is not None:
            self._unwritten = self._input.read(_PIECE)
        if not self._unwritten:
            self._drop(pipe)
            return
        try:
            self._unwritten = self._unwritten[os.write(pipe.fileno(), self._unwritten) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            # The command does not want to read more; that is its own affair.
            self._drop(pipe)

    def wait(self) -> int:
        """Return the exit status of the ended command."""
        return self._process.wait()

    def kill(self) -> bool:
        """End the process group, TERM before KILL; return whether its death was confirmed."""
        if self._inherited:
            return False
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
            until = time.monotonic() + _GRACE
            while time.monotonic() < until:
                self._process.poll()
                if not _lives(self._process.pid):
                    return True
                self.step(0.02)
        return False

    def close(self) -> None:
        """Close the pipes; kill what is not finished."""
        if self._process.poll() is None:
            self.kill()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                self._drop(pipe)
        self._selector.close()
        if self._pidfd is not None:
            os.close(self._pidfd)


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


def _pidfd(pid: int) -> int | None:
    """Return a descriptor that becomes readable when the process ends (Linux 5.3); None where there is none."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _lives(group: int) -> bool:
    """Return whether a process of the group still runs; zombies don't, and an init that reaps none leaves them."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    stats = list(Path("/proc").glob("[0-9]*/stat"))
    if not stats:
        return True
    for path in stats:
        try:
            state, _, found = path.read_bytes().rpartition(b")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(found) == group and state not in (b"Z", b"X"):
            return True
    return False


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
    return stat.S_IMODE(found.st_mode)


@contextlib.contextmanager
def _reading(source: Source) -> Iterator[BinaryIO]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
    elif isinstance(source, Path):
        try:
            opened = source.open("rb")
        except OSError as error:
            raise TransferError(f"can't read {source}: {error.strerror}", path=str(source)) from None
        with opened:
            yield opened
    else:
        yield source
