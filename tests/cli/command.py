"""The `sshexec` command as a process, the way an operator starts it."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PATIENCE = 120
"""Seconds after which a test calls a process stuck."""

SSHEXEC = [sys.executable, "-m", "sshexec"]


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment without what changes the command's behaviour; runs are not recorded."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SSHEXEC_") and k not in ("NO_COLOR", "COLUMNS")}
    return {**kept, "TERM": "xterm", "SSHEXEC_HISTORY": "none", **more}


def sshexec(*args: object, env: dict[str, str] | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, without a terminal."""
    return subprocess.run(
        [*SSHEXEC, *map(str, args)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(**(env or {})),
        **options,
    )


def start(*args: object, env: dict[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
    """Start the command with pipes for its outputs; it heeds signals even where the tests do not."""
    options.setdefault("preexec_fn", heed_interrupts)
    return subprocess.Popen(
        [*SSHEXEC, *map(str, args)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**(env or {})),
        **options,
    )


def heed_interrupts() -> None:
    """Heed signals in a child, though the tests may run in the background or under nohup."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Wait for a started command; kill it where it is stuck."""
    try:
        return process.communicate(timeout=PATIENCE)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def wait_for(path: Path) -> str:
    """Wait until a file has a line in it, and return it."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        if path.exists() and (text := path.read_text()).endswith("\n"):
            return text
        time.sleep(0.05)
    raise AssertionError(f"{path} was never written")


class Terminal:
    """The command on a terminal of its own.

    Args:
        args: what follows ``sshexec``.
        env: variables on top of the environment.
        stdin: file that standard input comes from instead of the terminal.
    """

    def __init__(self, *args: object, env: dict[str, str] | None = None, stdin: str | None = None) -> None:
        self.seen = ""
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            heed_interrupts()
            if stdin is not None:
                os.dup2(os.open(stdin, os.O_RDONLY), 0)
            os.execve(sys.executable, [*SSHEXEC, *map(str, args)], environment(**(env or {})))

    def until(self, text: str) -> str:
        """Read until a text is on the screen."""
        limit = time.monotonic() + PATIENCE
        while text not in self.seen:
            assert time.monotonic() < limit, self.seen
            if not self._read():
                raise AssertionError(f"ended without {text!r}: {self.seen!r}")
        return self.seen

    def shows_more(self) -> bool:
        """Return whether something has come on the screen since the last look."""
        return bool(select.select([self.descriptor], [], [], 0)[0])

    def type(self, text: str) -> None:
        """Type a text; ``\\x03`` is Ctrl-C."""
        os.write(self.descriptor, text.encode())

    def end(self) -> int:
        """Read to the end and return the exit code."""
        limit = time.monotonic() + PATIENCE
        try:
            while self._read():
                if time.monotonic() > limit:
                    os.kill(self.pid, signal.SIGKILL)
                    raise AssertionError(f"stuck: {self.seen!r}")
        finally:
            os.close(self.descriptor)
            _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)

    def _read(self) -> bool:
        if not select.select([self.descriptor], [], [], 1)[0]:
            return True
        try:
            data = os.read(self.descriptor, 65536)
        except OSError:  # Linux: the other side has closed
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)
