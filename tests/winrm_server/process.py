"""What runs behind a command: a real process, or something that looks like one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

ROOM = 1 << 20
"""How many bytes of input or output wait, before their writer has to."""
_SET_PIPE_SIZE = 1031
"""F_SETPIPE_SZ; `fcntl` has it from Python 3.10 on, but not everywhere."""
_SLICE = 0.2
"""How long a reader is deaf to the news that the process was killed, in seconds."""
CTRL_C = 0xC000013A
"""STATUS_CONTROL_C_EXIT."""


def running(group: int) -> bool:
    """Whether any process of a group runs; what has ended and waits for init to reap it does not."""
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            with contextlib.suppress(OSError):
                state, _, its_group, *_ = (each / "stat").read_text().rpartition(")")[2].split()
                if int(its_group) == group and state not in "ZX":
                    return True
    return False


class Process(Protocol):
    """A running command, as a shell knows it."""

    pid: int | None

    def read(self, timeout: float, size: int) -> tuple[list[tuple[str, bytes]], int | None]:
        """Wait for output or the end.

        Args:
            timeout: for how long, in seconds.
            size: how many bytes at most.

        Returns:
            Pieces (stdout or stderr, bytes), and the exit code where it has ended and all output is out.
        """

    def write(self, data: bytes, end: bool, timeout: float) -> bool:
        """Take input; return False where it still waits to be read when the time, in seconds, is over.

        Raises:
            BrokenPipeError: nobody reads it any more.
        """

    def interrupt(self) -> None:
        """What ctrl_c does."""

    def kill(self) -> None:
        """End it and all that it started."""

    def close(self) -> None:
        """Release what it holds; it is killed."""


class Finished:
    """What was over at once, such as an ``echo``."""

    pid: int | None = None

    def __init__(self, stdout: bytes = b"", stderr: bytes = b"", rc: int = 0) -> None:
        self._pieces = [(name, data) for name, data in (("stdout", stdout), ("stderr", stderr)) if data]
        self._rc = rc

    def read(self, timeout: float, size: int) -> tuple[list[tuple[str, bytes]], int | None]:
        pieces: list[tuple[str, bytes]] = []
        while self._pieces and size > 0:
            name, data = self._pieces.pop(0)
            pieces.append((name, data[:size]))
            if len(data) > size:
                self._pieces.insert(0, (name, data[size:]))
            size -= len(data)
        return pieces, None if self._pieces else self._rc

    def write(self, data: bytes, end: bool, timeout: float) -> bool:
        if data:
            raise BrokenPipeError
        return True

    def interrupt(self) -> None:
        pass

    def kill(self) -> None:
        pass

    def close(self) -> None:
        pass


class Child:
    """A process of this machine, the leader of its own process group.

    Args:
        argv: program and arguments.
        directory: where it runs.
        environment: all its variables.
        crlf: whether line feeds of its output become CR LF, as programs of Windows print them.
        exit_code: whether it may write its exit code, as a number of any size, to the descriptor in the variable
            ``EXIT_CODE_FD``; an exit status has 8 bits only.

    Raises:
        OSError: it can't be started.
    """

    def __init__(
        self,
        argv: Sequence[str],
        directory: Path,
        environment: Mapping[str, str],
        *,
        crlf: bool = True,
        exit_code: bool = False,
    ) -> None:
        self._crlf = crlf
        self._after_cr = {"stdout": False, "stderr": False}
        self._code: int | None = None
        code: int | None = None
        if exit_code:
            self._code, code = os.pipe()
        if code is not None:
            environment = {**environment, "EXIT_CODE_FD": str(code)}
        try:
            self._popen = subprocess.Popen(
                list(argv),
                cwd=directory,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
                pass_fds=() if code is None else (code,),
            )
        except BaseException:
            if self._code is not None:
                os.close(self._code)
            raise
        finally:
            if code is not None:
                os.close(code)
        self.pid: int | None = self._popen.pid
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        assert self._popen.stderr is not None
        self._stdin = self._popen.stdin
        self._open = {self._popen.stdout.fileno(): "stdout", self._popen.stderr.fileno(): "stderr"}
        os.set_blocking(self._stdin.fileno(), False)
        with contextlib.suppress(OSError):
            # So that an answer is not limited by what a pipe holds, 64 KB.
            fcntl.fcntl(self._popen.stdout, _SET_PIPE_SIZE, 1 << 18)
        self._waiting: list[bytes] = []
        self._end = False
        self._input = threading.Lock()
        self._output = threading.Lock()
        self._interrupted = False
        self._killed = False

    def read(self, timeout: float, size: int) -> tuple[list[tuple[str, bytes]], int | None]:
        with self._output:
            return self._read(time.monotonic() + timeout, size)

    def _read(self, until: float, size: int) -> tuple[list[tuple[str, bytes]], int | None]:
        pieces: list[tuple[str, bytes]] = []
        while self._open and not pieces:
            poll = select.poll()
            for number in self._open:
                poll.register(number, select.POLLIN)
            ready = poll.poll(min(_SLICE, max(0, until - time.monotonic())) * 1000)
            if not ready:
                if self._killed and self._popen.poll() is not None:
                    # What left the group still holds the pipes; nobody waits for that.
                    self._open.clear()
                elif time.monotonic() >= until:
                    return [], None
            for number, _ in ready:
                name = self._open[number]
                data = os.read(number, max(1, size))
                if data:
                    pieces.append((name, self._lines(name, data)))
                    size -= len(data)
                else:
                    del self._open[number]
        if self._open:
            return pieces, None
        try:
            self._popen.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            return pieces, None
        return pieces, self._exit_code()

    def _lines(self, name: str, data: bytes) -> bytes:
        if not self._crlf or (b"\n" not in data and b"\r" not in data):
            self._after_cr[name] = False
            return data
        after_cr, self._after_cr[name] = self._after_cr[name], data.endswith(b"\r")
        if b"\r" in data or after_cr:
            kept = data[:1] if after_cr and data.startswith(b"\n") else b""
            rest = data[len(kept) :]
            return kept + rest.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        return data.replace(b"\n", b"\r\n")

    def _exit_code(self) -> int:
        if self._code is not None:
            code = os.read(self._code, 100)
            if code:
                return int(code)
        status = self._popen.returncode
        if status >= 0:
            return status
        return CTRL_C if self._interrupted else 1

    def write(self, data: bytes, end: bool, timeout: float) -> bool:
        with self._input:
            if self._stdin.closed:
                if data:
                    raise BrokenPipeError
                return True
            if data:
                self._waiting.append(data)
            self._end = self._end or end
            return self._feed(time.monotonic() + timeout)

    def _feed(self, until: float) -> bool:
        poll = select.poll()
        poll.register(self._stdin.fileno(), select.POLLOUT)
        while self._waiting:
            try:
                done = os.write(self._stdin.fileno(), self._waiting[0])
            except BlockingIOError:
                if not poll.poll(max(0, until - time.monotonic()) * 1000):
                    return False
                continue
            except BrokenPipeError:
                self._waiting.clear()
                self._stdin.close()
                raise
            rest = memoryview(self._waiting[0])[done:]
            if rest:
                self._waiting[0] = bytes(rest)
            else:
                del self._waiting[0]
        if self._end:
            self._stdin.close()
        return True

    def interrupt(self) -> None:
        self._interrupted = True
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        self._killed = True
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # The group outlives its leader where a child still runs.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, number)

    def close(self) -> None:
        self.kill()
        self._popen.wait()
        with self._input, self._output:
            self._stdin.close()
            assert self._popen.stdout is not None
            assert self._popen.stderr is not None
            self._open.clear()
            self._popen.stdout.close()
            self._popen.stderr.close()
            if self._code is not None:
                os.close(self._code)
                self._code = None
