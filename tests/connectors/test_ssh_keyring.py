"""Certificates and agents: which keys are offered, and that one agent connection is enough for all hosts."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sshexec import Engine, Host, Inventory
from sshexec.connectors.base import Deadline, Timeouts
from sshexec.connectors.ssh import usercertificates
from sshexec.connectors.ssh.connector import SshConnector
from sshexec.connectors.ssh.context import SshContext
from sshexec.connectors.ssh.keys import strings
from sshexec.connectors.ssh.options import SshOptions
from sshexec.errors import AuthenticationError, OptionError
from tests.testbed import Sshd, keygen


@pytest.fixture(autouse=True)
def _no_credentials_of_the_developer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


class Agent:
    """A real ssh-agent."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(["ssh-agent", "-D", "-a", str(self.path)], stdout=subprocess.DEVNULL)
        for _ in range(500):
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(self.path))
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.02)
        raise RuntimeError("ssh-agent did not start")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)

    def add(self, key: Path) -> None:
        env = {**os.environ, "SSH_AUTH_SOCK": str(self.path)}
        subprocess.run(["ssh-add", "-q", str(key)], check=True, env=env, stdin=subprocess.DEVNULL, capture_output=True)


@pytest.fixture
def start_agent(tmp_path: Path) -> Iterator[Callable[[str], Agent]]:
    """Return a function that starts an agent."""
    started: list[Agent] = []

    def start(name: str) -> Agent:
        started.append(Agent(tmp_path / name))
        return started[-1]

    yield start
    for agent in started:
        agent.stop()


def options_of(server: Sshd, key: Path | None, **more: Any) -> SshOptions:
    variables = server.variables(ansible_host="127.0.8.1", ansible_private_key_file=key and str(key))
    variables = {name: value for name, value in variables.items() if value is not None}
    return dataclasses.replace(SshConnector.Options.from_vars(variables, "web1"), **more)


def enter(options: SshOptions, context: SshContext | None = None) -> None:
    own = context or SshContext()
    connector = SshConnector("web1", options, own, Timeouts())
    try:
        own.check(options)
        connector.open(Deadline.after(30))
    finally:
        connector.close()
        if context is None:
            own.close()


def sign(folder: Path, public: Path, user: str) -> Path:
    """Make a certificate for a public key, and return its path: away from the key."""
    if not (folder / "ca").exists():
        keygen(folder / "ca", "-t", "ed25519", "-N", "")
    command = ["ssh-keygen", "-q", "-s", str(folder / "ca"), "-I", "test", "-n", user, str(public)]
    subprocess.run(command, check=True, capture_output=True)
    made = public.with_name(public.name.replace(".pub", "-cert.pub"))
    return made.rename(folder / f"elsewhere-{public.name}")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sshd, Path]]:
    """An sshd that knows no key, only who signs them."""
    folder = tmp_path_factory.mktemp("ca")
    keygen(folder / "ca", "-t", "ed25519", "-N", "")
    server = Sshd(folder / "sshd", f"TrustedUserCAKeys {folder / 'ca.pub'}")
    server.authorized_keys.write_text("")
    server.start()
    yield server, folder
    server.stop()


@pytest.mark.parametrize("text", ["ansible_private_key_file", "CertificateFile"])
def test_a_pipe_that_nobody_writes_to_is_not_waited_for(sshd: Sshd, tmp_path: Path, text: str) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    if text == "CertificateFile":
        options = dataclasses.replace(options_of(sshd, sshd.key), certificate_files=(str(pipe),))
    else:
        options = options_of(sshd, pipe)
    # What waited for a writer would wait in a system call, whatever the deadline.
    rescue = threading.Timer(20, lambda: os.close(os.open(pipe, os.O_RDWR)))
    rescue.start()
    try:
        with pytest.raises((OptionError, AuthenticationError), match=r"holds no (private key|certificate)"):
            enter(options)
        assert rescue.is_alive(), "it was waited for"
    finally:
        rescue.cancel()
        rescue.join()


def test_a_key_comes_from_a_pipe(sshd: Sshd, tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    try:
        os.write(theirs, sshd.key.read_bytes())
        os.close(theirs)
        enter(options_of(sshd, Path(f"/dev/fd/{ours}")))
    finally:
        os.close(ours)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa -b 2048"])
def test_a_certificate_from_elsewhere_goes_with_its_key(
    authority: tuple[Sshd, Path], kind: str, tmp_path: Path
) -> None:
    server, folder = authority
    key, other = (
        keygen(tmp_path / "key", "-t", *kind.split(), "-N", ""),
        keygen(tmp_path / "other", "-t", *kind.split(), "-N", ""),
    )
    files = tuple(
        str(sign(folder, each.with_suffix(".pub"), server.user).rename(tmp_path / f"{each.name}-c"))
        for each in (other, key)
    )
    enter(options_of(server, key, certificate_files=files))
    with pytest.raises(AuthenticationError):
        enter(options_of(server, key, certificate_files=(files[0], "/missing")))
    context = SshContext()
    offered = context.signing_keys(options_of(server, key, certificate_files=files))
    assert [each.kind.endswith("-cert-v01@openssh.com") for each in offered] == [True, False]


def test_a_key_is_offered_without_its_certificate_too(sshd: Sshd, tmp_path: Path) -> None:
    # The host does not trust who signed it, and knows the key itself.
    (tmp_path / "key.pub").write_text((sshd.folder / "id_ed25519.pub").read_text())
    certificate = sign(tmp_path, tmp_path / "key.pub", sshd.user)
    enter(options_of(sshd, sshd.key, certificate_files=(str(certificate),)))


def test_a_damaged_certificate_is_named(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text((sshd.folder / "id_ed25519.pub").read_text())
    good = sign(tmp_path, tmp_path / "key.pub", sshd.user).read_text().split()
    blob = base64.b64decode(good[1])
    for text in ("no certificate", f"{good[0]} ****", f"ssh-ed25519 {good[1]}", f"{good[0]} {good[1][:40]}"):
        bad = tmp_path / "bad"
        bad.write_text(text)
        with pytest.raises(OptionError, match=f"certificate file {bad} is unreadable"):
            SshContext().check(options_of(sshd, sshd.key, certificate_files=(str(bad),)))
    assert usercertificates.key_of(good[0], blob) is not None


def test_a_certificate_that_only_the_agent_holds(
    authority: tuple[Sshd, Path], tmp_path: Path, start_agent: Callable[[str], Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, folder = authority
    key = keygen(tmp_path / "key", "-t", "rsa", "-b", "2048", "-N", "")
    sign(folder, key.with_suffix(".pub"), server.user).rename(tmp_path / "key-cert.pub")
    agent = start_agent("agent")
    agent.add(key)  # and the certificate beside it
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent.path))
    enter(options_of(server, None))
    # A public key's file chooses the agent's key, whose private half is nowhere on this machine.
    public = key.with_suffix(".pub").rename(tmp_path / "chosen.pub")
    key.unlink()
    (tmp_path / "key-cert.pub").unlink()
    enter(options_of(server, public))
    enter(options_of(server, tmp_path / "chosen"))


def test_which_agent_is_asked(
    sshd: Sshd, tmp_path: Path, start_agent: Callable[[str], Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, own = start_agent("usual"), start_agent("own")
    own.add(sshd.key)
    usual.add(keygen(tmp_path / "wrong", "-t", "ed25519", "-N", ""))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(usual.path))
    context = SshContext()
    enter(options_of(sshd, None, identity_agent=str(own.path)), context)
    for path, message in ((None, "agent key"), ("", "no credential")):
        with pytest.raises(AuthenticationError, match=message):
            enter(options_of(sshd, None, identity_agent=path), context)
    context.close()


def test_an_agents_keys_are_offered_where_a_file_names_them_only(
    sshd: Sshd, tmp_path: Path, start_agent: Callable[[str], Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = start_agent("agent")
    agent.add(sshd.key)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent.path))
    enter(options_of(sshd, None))
    with pytest.raises(AuthenticationError, match="no credential"):
        enter(options_of(sshd, None, identities_only=True))
    folder = tmp_path / "home" / ".ssh"
    folder.mkdir(parents=True)
    (folder / "id_ed25519").write_bytes((sshd.folder / "id_ed25519.pub").read_bytes())
    enter(options_of(sshd, None, identities_only=True))


def test_an_agent_that_went_is_told_and_one_that_came_back_is_found(
    sshd: Sshd, tmp_path: Path, start_agent: Callable[[str], Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = start_agent("agent")
    other = keygen(tmp_path / "other", "-t", "ed25519", "-N", "")
    agent.add(other)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent.path))
    context = SshContext()
    with pytest.raises(AuthenticationError, match="offered: key agent key test"):
        enter(options_of(sshd, None), context)
    agent.stop()
    for _ in range(2):  # while a signature is wanted, and when the keys are asked for
        with pytest.raises(AuthenticationError, match=f"the ssh-agent at {agent.path} is gone: "):
            enter(options_of(sshd, None), context)
    agent.start()
    agent.add(sshd.key)
    enter(options_of(sshd, None), context)
    context.close()


def test_many_hosts_share_one_agent_connection(
    sshd: Sshd, tmp_path: Path, start_agent: Callable[[str], Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = start_agent("agent")
    agent.add(sshd.key)
    connections: list[socket.socket] = []

    def relay(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, real = listener.accept()[0], socket.socket(socket.AF_UNIX)
                real.connect(str(agent.path))
                connections.extend((client, real))
                for pair in ((client, real), (real, client)):
                    threading.Thread(target=relay, args=pair, daemon=True).start()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "counted"))
        listener.listen(64)
        thread = threading.Thread(target=accept)
        thread.start()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "counted"))
        hosts = sshd.hosts(150)
        for variables in hosts.values():
            del variables["ansible_private_key_file"]
        with Engine(Inventory.from_hosts([Host(*host) for host in hosts.items()]), concurrency=150) as engine:
            result = engine.run("all", "raw", "true")
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
    for each in connections:
        each.close()
    assert {host.status for host in result.values()} == {"changed"}, result.to_ansible()["unreachable"]
    assert len(connections) == 2, "one connection to the relay, and its own to the agent"


@contextlib.contextmanager
def token_agent(path: Path, key: Ed25519PrivateKey) -> Iterator[bytes]:
    """An agent with one key on a security token (OpenSSH's PROTOCOL.u2f); yields the public key."""
    name, application = b"sk-ssh-ed25519@openssh.com", b"ssh:"
    public = strings(name, key.public_key().public_bytes_raw(), application)

    def answer(request: bytes) -> bytes:
        if request[0] == 11:
            return b"\x0c\0\0\0\x01" + strings(public, b"token")
        at = 5 + len(public)
        size = struct.unpack_from(">I", request, at)[0]
        data = request[at + 4 : at + 4 + size]
        touched = b"\x01" + struct.pack(">I", 7)
        signed = hashlib.sha256(application).digest() + touched + hashlib.sha256(data).digest()
        return b"\x0e" + strings(strings(name, key.sign(signed)) + touched)

    def serve() -> None:
        with contextlib.suppress(OSError):
            client = listener.accept()[0]
            with client:
                while size := client.recv(4):
                    client.sendall(strings(answer(client.recv(struct.unpack(">I", size)[0]))))

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)
        thread = threading.Thread(target=serve)
        thread.start()
        yield public
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_a_key_on_a_security_token_signs_as_the_agent_has_it(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with token_agent(tmp_path / "agent", Ed25519PrivateKey.generate()) as public:
        before = sshd.authorized_keys.read_text()
        line = f"sk-ssh-ed25519@openssh.com {base64.b64encode(public).decode()} token\n"
        sshd.authorized_keys.write_text(line)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        context = SshContext()
        try:
            enter(options_of(sshd, None), context)
        finally:
            context.close()
            sshd.authorized_keys.write_text(before)
