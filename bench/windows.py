"""The Windows hosts: the WinRM endpoint of the tests in a process of its own; each 127.x.y.z is one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SLOW = "ping -n 4 127.0.0.1"
"""A command line that takes three seconds."""
USER = "vagrant"
PASSWORD = "vagrant"
ROOT = Path(__file__).parents[1]
PATIENCE_SECONDS = 10.0


class Windows:
    """Hosts that speak WinRM, NTLM with sealed messages; the endpoint is started when it is asked for.

    Args:
        folder: where inventories live.
        drive: the hosts' ``C:\\``.
    """

    def __init__(self, folder: Path, drive: Path) -> None:
        self.folder = folder
        self.drive = drive
        self._process: subprocess.Popen[str] | None = None
        self._ports: dict[str, int] = {}

    def start(self) -> None:
        """Start the endpoint, once."""
        if self._process is not None:
            return
        self.drive.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "bench.endpoint", str(self.drive), USER, PASSWORD]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        if not said:
            raise RuntimeError("the WinRM endpoint did not start")
        self._ports = json.loads(said)

    def job(self, size: int) -> dict[str, Any]:
        """Return what a client has to know, instead of what it is told of SSH hosts.

        Args:
            size: bytes that a command is to print.
        """
        self.start()
        return {
            "user": USER,
            "password": PASSWORD,
            "drive": str(self.drive),
            "line": "exit 0",
            "slow": SLOW,
            "sink": "cat > /dev/null",
            "source": f"cat {self._lines(size)}",
            **self._ports,
        }

    def _lines(self, size: int) -> Path:
        """Return a file of that many bytes, in lines of Windows."""
        path = self.drive / f"lines.{size}"
        if not path.exists():
            line = b"0123456789" * 9 + b"01234567\r\n"
            path.write_bytes(line * (size // len(line)))
        return path

    def inventory(self, addresses: list[str]) -> Path:
        """Return an inventory, as Ansible and sshexec read it."""
        self.start()
        path = self.folder / f"inventory.windows.{len(addresses)}.ini"
        path.write_text(
            "\n".join(addresses) + "\n\n[all:vars]\n"
            "ansible_connection=winrm\n"
            "ansible_winrm_scheme=http\n"
            "ansible_winrm_transport=ntlm\n"
            f"ansible_port={self._ports['port']}\n"
            f"ansible_user={USER}\n"
            f"ansible_password={PASSWORD}\n"
        )
        return path

    def stop(self) -> None:
        """End the endpoint."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None
