"""The demo fleet answered by OpenSSH: one ``sshd -i`` for each connection, as inetd would start it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from sshexec.demo.backend import AUTHORIZED_KEYS, HOST_KEY, Backend

_CONFIG = """HostKey {host_key}
AuthorizedKeysFile {authorized_keys}
AuthenticationMethods publickey
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
UseDNS no
PrintMotd no
LogLevel ERROR
Subsystem sftp internal-sftp
"""
_GRACE = 2.0
"""Seconds between TERM and KILL."""


def find_sshd() -> str | None:
    """Return the absolute path of OpenSSH's server, which is often outside of a user's PATH; None without one."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/sbin"))
    found = shutil.which("sshd", path=path)
    return os.path.abspath(found) if found else None


class OpensshBackend(Backend):
    """Starts a real sshd for each connection.

    Args:
        folder: the fleet's folder.
    """

    name = "openssh"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._sshd = find_sshd() or "sshd"
        self._config = folder / "sshd_config"
        self._config.write_text(
            _CONFIG.format(host_key=_word(folder / HOST_KEY), authorized_keys=_word(folder / AUTHORIZED_KEYS))
        )
        self._sessions: set[subprocess.Popen[bytes]] = set()
        if os.geteuid() == 0:
            # sshd gives up its rights in this empty directory; packages make it when their service starts.
            with contextlib.suppress(OSError):
                Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)

    def serve(self, connection: socket.socket) -> None:
        """Hand the connection to an sshd of its own."""
        command = [self._sshd, "-i", "-e", "-f", str(self._config)]
        number = connection.fileno()
        with connection, (self.folder / "sshd.log").open("ab") as log:
            self._sessions.add(subprocess.Popen(command, stdin=number, stdout=number, stderr=log))

    def reap(self) -> None:
        """Collect the sshds whose connection has ended."""
        self._sessions = {session for session in self._sessions if session.poll() is None}

    def close(self) -> None:
        """End every sshd and all that runs below it: without a terminal, commands outlive their connection."""
        self.reap()
        family = descendants(os.getpid())
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in family:
                with contextlib.suppress(OSError):
                    os.kill(pid, number)
            limit = time.monotonic() + _GRACE
            while family and time.monotonic() < limit:
                self.reap()
                family = [pid for pid in family if _lives(pid)]
                time.sleep(0.02)


def descendants(pid: int) -> list[int]:
    """Return the processes below one, children before grandchildren; none where there is no /proc."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            # The command name in parentheses may hold anything, spaces and parentheses too.
            parent = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    family = list(children.get(pid, ()))
    for member in family:
        family += children.get(member, ())
    return family


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def _word(path: Path) -> str:
    """Return a path as one word of sshd_config."""
    return f'"{path}"'
