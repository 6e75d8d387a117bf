"""A real OpenSSH server on a free high port, where every 127.x.y.z is a host of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest

SSHD = shutil.which("sshd") or ("/usr/sbin/sshd" if os.path.exists("/usr/sbin/sshd") else None)


def lacking(what: str) -> NoReturn:
    """Skip a test for want of something that the project's own files install as root; where they have to, fail."""
    if os.environ.get("SSHEXEC_REQUIRE_SERVICES") and os.geteuid() == 0:
        pytest.fail(f"not installed: {what}")
    pytest.skip(f"not installed: {what}")


def keygen(path: Path, *options: str) -> Path:
    """Make a key pair with ssh-keygen."""
    subprocess.run(["ssh-keygen", "-q", "-f", str(path), "-C", "test", *options], check=True, stdin=subprocess.DEVNULL)
    return path


class Sshd:
    """One `sshd`, started by `start` and ended by `stop`.

    Args:
        folder: where its keys, configuration and log live.
        config: extra lines of sshd_config; they win over the defaults below, since sshd takes the first value.
        sftp: whether it offers the SFTP subsystem.
        program: another path of the program; its base name is the PAM service.
        profile: whether login shells read the profile of the account that the tests run as, whatever is in it. One that
            waits for a lock (pyenv's does, for a minute, where a shell was killed before) makes every prompt late.
    """

    def __init__(
        self,
        folder: Path,
        config: str = "",
        *,
        sftp: bool = True,
        program: str | None = None,
        profile: bool = True,
    ) -> None:
        if SSHD is None:
            raise RuntimeError("openssh-server is not installed")
        self._program = program or SSHD
        self.folder = folder
        self.user = getpass.getuser()
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self.key = keygen(folder / "id_ed25519", "-t", "ed25519", "-N", "")
        self.host_key = keygen(folder / "host_ed25519", "-t", "ed25519", "-N", "")
        self.authorized_keys = folder / "authorized_keys"
        self.authorized_keys.write_text((folder / "id_ed25519.pub").read_text())
        self.authorized_keys.chmod(0o600)
        self.known_hosts = folder / "known_hosts"
        self.log = folder / "sshd.log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        environment = "SHLVL=2"
        if not profile:
            home = folder / "home"
            home.mkdir(exist_ok=True)
            environment += f" HOME={home}"
        self.config = folder / "sshd_config"
        self.config.write_text(
            f"{config}\nPort {self.port}\nListenAddress 0.0.0.0\nHostKey {self.host_key}\n"
            f"AuthorizedKeysFile {self.authorized_keys}\nPidFile none\nStrictModes no\nUsePAM no\n"
            "PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            # Of MaxStartups sshd takes the last value.
            + ("" if "MaxStartups" in config else "MaxStartups 1000\n")
            + "MaxSessions 100\nLogLevel ERROR\nUseDNS no\nPrintMotd no\n"
            # bash reads ~/.bashrc for commands of sshd, unless it believes to be a shell within a shell.
            f"SetEnv {environment}\n" + ("Subsystem sftp internal-sftp\n" if sftp else "")
        )
        self.trust()
        self._process: subprocess.Popen[bytes] | None = None

    def trust(self, *names: str) -> None:
        """Write known_hosts for every 127.* address, or for these names only."""
        kind, blob = (self.folder / "host_ed25519.pub").read_text().split()[:2]
        shown = [f"[{name}]:{self.port}" for name in names or ("127.*", "localhost")]
        self.known_hosts.write_text(f"{','.join(shown)} {kind} {blob}\n")

    def start(self) -> Sshd:
        """Start the server and wait until it answers."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-D", "-e", "-f", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                    if probe.recv(4) == b"SSH-":
                        return self
            except OSError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.02)
        raise RuntimeError(f"sshd did not start: {self.log.read_text()}")

    @property
    def pid(self) -> int:
        """Process id of the listening sshd."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        """Stop the server; sessions that are open go on until their client closes them."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def variables(self, **more: Any) -> dict[str, Any]:
        """Return the host variables that reach this server (key, port, user, known_hosts)."""
        return {
            "ansible_port": self.port,
            "ansible_user": self.user,
            "ansible_private_key_file": str(self.key),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={self.known_hosts}",
            **more,
        }

    def hosts(self, count: int, first: int = 1) -> dict[str, dict[str, Any]]:
        """Return ``{"h001": variables, ...}``, each with a loopback address of its own."""
        numbers = range(first, first + count)
        return {f"h{n:03d}": self.variables(ansible_host=f"127.0.{1 + n // 250}.{1 + n % 250}") for n in numbers}


class DeadHosts:
    """Addresses that answer nothing: a listener whose queue is full makes Linux drop what comes in.

    Args:
        first: an address of 127.0.0.0/8; those that follow are dead too.
        count: how many.
    """

    def __init__(self, first: str, count: int) -> None:
        number = int.from_bytes(socket.inet_aton(first), "big")
        self.addresses = [socket.inet_ntoa((number + n).to_bytes(4, "big")) for n in range(count)]
        self._sockets: list[socket.socket] = []
        self.port = 0
        for address in self.addresses:
            listener = socket.socket()
            listener.bind((address, self.port))
            listener.listen(0)
            self.port = listener.getsockname()[1]
            self._sockets += [listener, socket.create_connection((address, self.port))]

    def close(self) -> None:
        """Give the addresses back."""
        for each in self._sockets:
            each.close()
