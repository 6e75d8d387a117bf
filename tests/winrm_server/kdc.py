"""A real Kerberos realm: MIT's KDC on a free port of the loopback, with its database in a folder of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.testbed import lacking

REALM = "TEST.SSHEXEC"
SERVICES = ("HTTP/localhost", "WSMAN/localhost", "host/localhost")
_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin", "/usr/lib/mit/sbin"))

KRB5_CONF = """\
[libdefaults]
  default_realm = {realm}
  dns_lookup_realm = false
  dns_lookup_kdc = false
  dns_canonicalize_hostname = false
  rdns = false
  forwardable = false
  udp_preference_limit = 1
[realms]
  {realm} = {{
    kdc = 127.0.0.1:{port}
  }}
[domain_realm]
  localhost = {realm}
"""
KDC_CONF = """\
[kdcdefaults]
  kdc_listen = 127.0.0.1:{port}
  kdc_tcp_listen = 127.0.0.1:{port}
[realms]
  {realm} = {{
    database_name = {folder}/principal
    key_stash_file = {folder}/stash
    acl_file = {folder}/acl
    max_life = 10h
    max_renewable_life = 0s
    supported_enctypes = aes256-cts-hmac-sha1-96:normal
    master_key_type = aes256-cts
  }}
[logging]
  kdc = FILE:{folder}/kdc.log
"""


def missing() -> list[str]:
    """Return what a login by Kerberos lacks on this machine; empty if nothing."""
    programs = {"krb5kdc": "krb5-kdc", "kadmin.local": "krb5-admin-server", "kinit": "krb5-user"}
    absent = [package for program, package in programs.items() if _find(program) is None]
    modules = {"gssapi": "gssapi", "krb5": "krb5", "kerberos": "pykerberos"}
    return absent + [f"{name} (Python)" for module, name in modules.items() if not importlib.util.find_spec(module)]


class Kdc:
    """One realm with its key distribution centre, started by `start` and ended by `stop`.

    Args:
        folder: where its database, keytab and configuration live; made if missing.
        users: passwords by user.
        services: principals whose keys are in the keytab.
    """

    def __init__(self, folder: Path, users: Mapping[str, str], services: tuple[str, ...] = SERVICES) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self.folder = folder
        self.keytab = folder / "server.keytab"
        self.config = folder / "krb5.conf"
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.config.write_text(KRB5_CONF.format(realm=REALM, port=self.port))
        (folder / "kdc.conf").write_text(KDC_CONF.format(realm=REALM, port=self.port, folder=folder))
        self._run(["kdb5_util", "create", "-s", "-r", REALM, "-W"], input="master\nmaster\n")
        questions = [f'addprinc -pw "{password}" {user}' for user, password in users.items()]
        questions += [f"addprinc -randkey {service}" for service in services]
        questions += [f"ktadd -k {self.keytab} {service}" for service in services]
        self._run(["kadmin.local", "-r", REALM], input="\n".join(questions) + "\n")
        if not self.keytab.exists():
            raise RuntimeError("kadmin.local made no keytab")

    def start(self) -> Kdc:
        """Start the KDC and wait until it answers."""
        program = _find("krb5kdc")
        assert program is not None
        with (self.folder / "krb5kdc.out").open("ab") as out:
            self._process = subprocess.Popen(
                [program, "-n", "-r", REALM],
                env=os.environ | self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return self
            time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"krb5kdc did not start: {(self.folder / 'krb5kdc.out').read_text()}")

    def stop(self) -> None:
        """Stop the KDC; from then on nobody gets a ticket."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def environment(self, cache: Path | None = None) -> dict[str, str]:
        """Return the variables that lead libkrb5 to this realm, for a client and for an acceptor.

        Args:
            cache: the client's tickets; a file that does not exist if None, so that nobody's own tickets are used.
        """
        return {
            "KRB5_CONFIG": str(self.config),
            "KRB5_KDC_PROFILE": str(self.folder / "kdc.conf"),
            "KRB5_KTNAME": f"FILE:{self.keytab}",
            "KRB5CCNAME": f"FILE:{cache or self.folder / 'no-tickets'}",
            "KRB5RCACHENAME": f"file2:{self.folder / 'replay'}",
        }

    def kinit(self, cache: Path, user: str, password: str, *, forwardable: bool = False, life: str = "1h") -> None:
        """Get a user's first ticket.

        Args:
            cache: the file that it is written to.
            user: whose.
            password: the user's.
            forwardable: whether a host may get it with the login (delegation).
            life: how long it is valid, as `kinit -l` takes it (``5s``).
        """
        flag = "-f" if forwardable else "-F"
        self._run(["kinit", flag, "-l", life, user], cache, input=f"{password}\n")

    def tickets(self, cache: Path) -> list[str]:
        """Return the principals that this cache has tickets for."""
        lines = self._run(["klist", "-c", f"FILE:{cache}"], cache).splitlines()
        return [line.split()[-1] for line in lines if line.rstrip().endswith(f"@{REALM}") and "principal:" not in line]

    def wait_until_expired(self, cache: Path, timeout: float = 10) -> None:
        """Wait until a cache holds no ticket that is valid, and a second more: the one it ends in still counts.

        Args:
            cache: the file of tickets.
            timeout: seconds.
        """
        klist = _find("klist")
        assert klist is not None
        deadline = time.monotonic() + timeout
        while subprocess.run([klist, "-s", "-c", f"FILE:{cache}"], check=False, timeout=10).returncode == 0:
            if time.monotonic() > deadline:
                raise RuntimeError("the tickets do not expire")
            time.sleep(0.05)
        time.sleep(1.1)

    def _run(self, command: list[str], cache: Path | None = None, input: str = "") -> str:
        program = _find(command[0])
        if program is None:
            raise RuntimeError(f"{command[0]} is not installed")
        done = subprocess.run(
            [program, *command[1:]],
            env=os.environ | self.environment(cache) | {"LC_ALL": "C"},
            input=input,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stderr or done.stdout}")
        return done.stdout


@contextlib.contextmanager
def realm(folder: Path, users: Mapping[str, str]) -> Iterator[Kdc]:
    """Start a realm with these users; skip where a part of Kerberos is not installed.

    Args:
        folder: where it lives.
        users: passwords by user.
    """
    if absent := missing():
        lacking(", ".join(absent) + " (make kerberos)")
    kdc = Kdc(folder, users)
    try:
        yield kdc.start()
    finally:
        kdc.stop()


@contextlib.contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set these variables of this process's environment, and put back what was there.

    Args:
        variables: by name.
    """
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _find(program: str) -> str | None:
    return shutil.which(program, path=_PATH)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
