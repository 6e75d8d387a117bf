"""A fleet of demo hosts on loopback addresses, brought up and taken down as one."""

from __future__ import annotations

import getpass
import json
import select
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType

import paramiko
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from sshexec.demo.backend import AUTHORIZED_KEYS, HOST_KEY
from sshexec.demo.server import addresses
from sshexec.errors import SshexecError

USER_KEY = "id_ed25519"
"""Name of the private key that logs in."""

_START = 15.0
"""Seconds in which the listening process must tell its port."""
_STOP = 10.0
"""Seconds in which it must end."""


class FleetError(SshexecError):
    """The fleet can't be brought up."""


class Fleet:
    """Hosts ``demo01``, ``demo02`` ..., each on an address of its own, all of them this machine and this user.

    ::

        with Fleet("openssh").start() as fleet: ...

    Their server is a process that ends, and removes the folder, once this one closes its end of a pipe; so nothing is
    left behind even where this process is killed.

    Args:
        backend: openssh or embedded.
        count: hosts.
    """

    def __init__(self, backend: str, count: int = 20) -> None:
        self.backend = backend
        self.hosts = [f"demo{n:02d}" for n in range(1, count + 1)]
        self.folder = Path()
        """Keys, known_hosts, inventory, and a directory for each host; mode 0700."""
        self.inventory = Path()
        """The inventory file."""
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> Fleet:
        """Bring the hosts up.

        Raises:
            FleetError: the server does not start, or lets nobody log in.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="sshexec-demo-")).absolute()
        try:
            _make_key(self.folder / HOST_KEY)
            public = _make_key(self.folder / USER_KEY)
            (self.folder / AUTHORIZED_KEYS).write_text(public)
            port = self._launch()
            self._write_inventory(port)
            self._log_in(port)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Take everything down; safe to call twice."""
        server, self._server = self._server, None
        if server is not None and server.stdin is not None and server.stdout is not None:
            server.stdin.close()
            try:
                server.wait(_STOP)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
            server.stdout.close()
        if self.folder.name:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Fleet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def alive(self) -> bool:
        """Whether the server runs."""
        return self._server is not None and self._server.poll() is None

    def _launch(self) -> int:
        """Start the server and return its port."""
        log = self.folder / "server.log"
        with log.open("wb") as stderr:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "sshexec.demo.server", self.backend, self.folder, str(len(self.hosts))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                # With -m the current folder is where modules are looked for first; this one holds none.
                cwd=self.folder,
                start_new_session=True,
            )
        told = self._server.stdout
        ready = told is not None and select.select([told], [], [], _START)[0]
        line = told.readline() if told is not None and ready else b""
        if not line.strip().isdigit():
            said = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
            raise FleetError(f"the {self.backend} server did not start{f': {said[-1]}' if said else ''}")
        return int(line)

    def _log_in(self, port: int) -> None:
        """Log in once: a server may run and still let this user not in (a locked account, no shell)."""
        user = getpass.getuser()
        try:
            with socket.create_connection((addresses(1)[0], port), _START) as connection:
                transport = paramiko.Transport(connection)
                transport.banner_timeout = transport.auth_timeout = _START
                try:
                    transport.connect(username=user, pkey=paramiko.Ed25519Key(filename=str(self.folder / USER_KEY)))
                finally:
                    transport.close()
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise FleetError(f"the {self.backend} server does not let {user} in: {str(error).rstrip('.')}") from None

    def _write_inventory(self, port: int) -> None:
        kind, blob = (self.folder / f"{HOST_KEY}.pub").read_text().split()[:2]
        known_hosts = self.folder / "known_hosts"
        known_hosts.write_text("".join(f"[{a}]:{port} {kind} {blob}\n" for a in addresses(len(self.hosts))))
        # Quoted twice: the variable is split into words, and so is the value of this option.
        trust = shlex.quote(f"UserKnownHostsFile={shlex.quote(str(known_hosts))}")
        groups: dict[str, list[str]] = {"web": [], "db": []}
        for n, (host, address) in enumerate(zip(self.hosts, addresses(len(self.hosts)), strict=True)):
            home = self.folder / "hosts" / host
            home.mkdir(parents=True)
            groups["db" if n % 4 == 3 else "web"].append(
                f"        {host}: {{ansible_host: {address}, number: {n + 1}, home: {_yaml(home)}}}\n"
            )
        self.inventory = self.folder / "hosts.yml"
        self.inventory.write_text(
            "all:\n  vars:\n"
            f"    ansible_port: {port}\n"
            f"    ansible_user: {_yaml(getpass.getuser())}\n"
            f"    ansible_private_key_file: {_yaml(self.folder / USER_KEY)}\n"
            f"    ansible_ssh_common_args: {_yaml(f'-F none -o {trust}')}\n"
            "  children:\n"
            + "".join(
                f"    {group}:\n      vars: {{role: {group}}}\n      hosts:\n{''.join(hosts)}"
                for group, hosts in groups.items()
            )
        )


def _make_key(path: Path) -> str:
    """Write a new key pair as ssh-keygen would, and return the line of the public one."""
    key = Ed25519PrivateKey.generate()
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + " sshexec-demo\n"
    path.with_name(f"{path.name}.pub").write_text(public)
    return public


def _yaml(value: object) -> str:
    """Return a text as YAML, of which JSON is a part."""
    return json.dumps(str(value))
