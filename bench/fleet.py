"""The hosts: one real sshd, known_hosts files of any length, and inventories."""

from __future__ import annotations

import base64
import os
import time
from pathlib import Path

from tests.testbed import Sshd

SETTLE_SECONDS = 10.0


class Fleet:
    """Fresh hosts for every run; each 127.x.y.z is one.

    Args:
        folder: where the server's files, known_hosts and inventories live.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        home = folder / "remote"
        home.mkdir()
        # bash reads ~/.bashrc when sshd starts it: what the user keeps there is not what is measured.
        self.sshd = Sshd(folder / "sshd", config=f"MaxStartups 2000\nSetEnv HOME={home}").start()

    def stop(self) -> None:
        """Stop the server."""
        self.sshd.stop()

    def addresses(self, count: int) -> list[str]:
        """Return the addresses of this many hosts."""
        return [f"127.0.{1 + n // 250}.{1 + n % 250}" for n in range(count)]

    def known_hosts(self, count: int, lines: int) -> Path:
        """Return a known_hosts of this many lines: one for each of ``count`` hosts, the rest of them strangers."""
        path = self.folder / f"known_hosts.{count}.{lines}"
        if not path.exists():
            kind, blob = Path(f"{self.sshd.host_key}.pub").read_text().split()[:2]
            entries = [f"[{address}]:{self.sshd.port} {kind} {blob}\n" for address in self.addresses(count)]
            prefix = base64.b64decode(blob)[:-32]
            for n in range(lines - count):
                stranger = base64.b64encode(prefix + os.urandom(32)).decode()
                entries.append(f"[10.{n // 62500}.{n // 250 % 250}.{n % 250}]:{self.sshd.port} {kind} {stranger}\n")
            path.write_text("".join(entries))
        return path

    def inventory(self, count: int, known_hosts: Path) -> Path:
        """Return an inventory of this many hosts, as Ansible and sshexec read it."""
        path = self.folder / f"inventory.{count}.{known_hosts.name}.ini"
        if not path.exists():
            path.write_text(
                "\n".join(self.addresses(count)) + "\n\n[all:vars]\n"
                f"ansible_port={self.sshd.port}\n"
                f"ansible_user={self.sshd.user}\n"
                f"ansible_private_key_file={self.sshd.key}\n"
                f"ansible_ssh_common_args=-o UserKnownHostsFile={known_hosts}\n"
            )
        return path

    def settle(self) -> None:
        """Wait until the server has ended every session, so that no client pays for the one before it."""
        children = Path(f"/proc/{self.sshd.pid}/task/{self.sshd.pid}/children")
        deadline = time.monotonic() + SETTLE_SECONDS
        while children.read_text().strip() and time.monotonic() < deadline:
            time.sleep(0.02)
