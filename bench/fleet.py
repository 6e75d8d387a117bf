"""The hosts: one real sshd, known_hosts files of any length, and inventories."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.testbed import Sshd

SETTLE_SECONDS = 10.0
PROXY = Path(__file__).with_name("proxy.py")
MEMORY = Path("/dev/shm")
STORE_BYTES = 2 * 10**9


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
        # AES-GCM for all: what a client prefers is not what is measured.
        ciphers = "Ciphers aes128-gcm@openssh.com,aes256-gcm@openssh.com"
        self.sshd = Sshd(folder / "sshd", config=f"MaxStartups 2000\nSetEnv HOME={home}\n{ciphers}").start()
        self._proxies: dict[float, tuple[subprocess.Popen[bytes], int, int]] = {}
        self._silent: list[socket.socket] = []
        roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > STORE_BYTES
        self.store = Path(tempfile.mkdtemp(prefix="bench-", dir=MEMORY if roomy else folder))
        """Where transferred files live, in memory if there is room: a disk is not what is measured."""

    def stop(self) -> None:
        """Stop the server and what stands before it."""
        for process, _, _ in self._proxies.values():
            process.kill()
            process.wait()
        for sock in self._silent:
            sock.close()
        shutil.rmtree(self.store, ignore_errors=True)
        self.sshd.stop()

    def delayed(self, rtt: float) -> dict[str, object]:
        """Return two ports of the first host, one as it is and one that adds a round-trip time, and known_hosts.

        Both lead through a proxy, so that what a proxy costs is in both.
        """
        address = self.addresses(1)[0]
        if rtt not in self._proxies:
            command = [sys.executable, "-I", "-S", str(PROXY), address, str(self.sshd.port), "0", str(rtt / 2)]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            assert process.stdout is not None
            self._proxies[rtt] = (process, *json.loads(process.stdout.readline()))
        _, near, far = self._proxies[rtt]
        known_hosts = self.folder / f"known_hosts.delayed.{rtt}"
        kind, blob = Path(f"{self.sshd.host_key}.pub").read_text().split()[:2]
        known_hosts.write_text("".join(f"[{address}]:{port} {kind} {blob}\n" for port in (near, far)))
        return {"near": near, "far": far, "known_hosts": str(known_hosts)}

    def silent(self) -> int:
        """Return a port that answers no connection: a full queue of a listener that accepts none drops each SYN."""
        if not self._silent:
            listener = socket.create_server(("0.0.0.0", 0), backlog=0)
            self._silent.append(listener)
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    filler.connect(("127.0.0.1", listener.getsockname()[1]))
                self._silent.append(filler)
        return int(self._silent[0].getsockname()[1])

    def beside_dead(self, inventory: Path, dead: int) -> Path:
        """Return an inventory with the hosts of another one and, between them, some that do not answer."""
        path = inventory.with_name(f"{inventory.stem}.dead.{dead}.ini")
        if not path.exists():
            hosts, _, rest = inventory.read_text().partition("\n\n")
            port = self.silent()
            lines = hosts.splitlines()
            lines[:] = [line for n, host in enumerate(lines) for line in (host, _dead(n, port) if n < dead else "")]
            path.write_text("\n".join(lines) + "\n\n" + rest)
        return path

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


def _dead(number: int, port: int) -> str:
    return f"dead{number} ansible_host=127.1.{1 + number // 250}.{1 + number % 250} ansible_port={port}"
