"""A shell on a terminal of this machine whose keys and output go through an observer, as a session's do."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
import time
from dataclasses import replace
from pathlib import Path

from sshexec.connectors.terminal import Size
from sshexec.terminal.events import Ended
from sshexec.terminal.observer import Observer, SessionInfo

PATIENCE = 30
PROMPT = "ready$ "


def session(host: str = "web1", **more: object) -> SessionInfo:
    """Return what a session says of itself."""
    info = SessionInfo("an-id", host, "ann", "opening", 1_800_000_000.5, Size(80, 24))
    return replace(info, **more)  # type: ignore[arg-type]


class Shell:
    """bash, which an observer watches.

    Args:
        observer: is told of everything.
        info: the session.
    """

    def __init__(self, observer: Observer, info: SessionInfo | None = None) -> None:
        self.observer = observer
        self.info = info or session()
        self.seen = b""
        self._from = 0
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            kept = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
            environment = {
                **kept,
                "PS1": PROMPT,
                "TERM": "xterm-256color",
                "LC_ALL": "C.UTF-8",
                "HISTFILE": "/dev/null",
            }
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], environment)
        size = self.info.size
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", size.rows, size.columns, 0, 0))
        observer.opened(self.info)
        self.until(PROMPT)

    def type(self, text: str | bytes, until: str = PROMPT) -> None:
        """Type something, and read until something new is on the screen."""
        data = text.encode() if isinstance(text, str) else text
        self._from = len(self.seen)
        if self.observer.permits(data, "ann") is None:
            self.observer.typed(data, "ann")
            os.write(self.descriptor, data)
            self.until(until)

    def keys(self, text: str) -> None:
        """Type a text key by key, each of which is shown before the next."""
        for key in text:
            self.type(key, key)

    def until(self, text: str) -> None:
        """Read until a text is on the screen."""
        limit = time.monotonic() + PATIENCE
        while text.encode() not in self.seen[self._from :]:
            assert time.monotonic() < limit, self.seen[self._from :]
            if select.select([self.descriptor], [], [], 1)[0]:
                self._take(os.read(self.descriptor, 65536))
        self._from = len(self.seen)

    def settle(self) -> None:
        """Read until bash waits for a key: it draws no prompt after a Ctrl-C that came while it was drawing."""
        limit = time.monotonic() + PATIENCE
        while (state := Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]) != "S":
            assert time.monotonic() < limit, state
            time.sleep(0.001)
        while select.select([self.descriptor], [], [], 0)[0]:
            self._take(os.read(self.descriptor, 65536))

    def _take(self, data: bytes) -> None:
        self.seen += data
        self.observer.shown(data)

    def end(self, reason: str = "exited") -> None:
        """Hang up, and say that the session is over."""
        os.close(self.descriptor)
        os.waitpid(self.pid, 0)
        self.observer.ended(replace(self.info, state="ended", ended=Ended(reason, exit_status=0)))
